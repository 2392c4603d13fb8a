"""Checks of what users pass, shared by the estimators: penalties and weights."""

import numbers
from contextlib import contextmanager

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array
from sklearn.utils.class_weight import compute_class_weight


def check_alpha(alpha, n_features):
    """Penalties as one number per feature.

    Parameters
    ----------
    alpha : float or array-like of shape (n_features,)
        One penalty for all features, or one per feature; finite, zero or more.
    n_features : int

    Returns
    -------
    ndarray of shape (n_features,), dtype float64
        A new array.
    """
    try:
        values = np.asarray(alpha, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"alpha must be a number, or one number per feature; got {alpha!r}. "
            "Give a float such as 1.0, or an array of shape (n_features,)."
        ) from error
    if values.ndim and values.shape != (n_features,):
        raise ValueError(
            f"alpha has shape {values.shape} but X has {n_features} features; "
            f"give one number for all features, or an array of shape ({n_features},)."
        )
    values = np.array(np.broadcast_to(values, n_features))
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if wrong.size:
        raise ValueError(
            f"alpha must be finite and zero or more; got {values[wrong[0]]} for feature {wrong[0]} "
            f"({wrong.size} such in all). Use 0 to leave a feature unpenalised, "
            "and a large number to keep one out."
        )
    return values


def check_sample_weight(sample_weight, n_samples):
    """Sample weights as one number per row.

    Parameters
    ----------
    sample_weight : None, float or array-like of shape (n_samples,)
        None is one for every row. Zero or more, and not all zero.
    n_samples : int

    Returns
    -------
    ndarray of shape (n_samples,), dtype float64
    """
    if sample_weight is None or isinstance(sample_weight, numbers.Number):
        sample_weight = np.full(n_samples, 1.0 if sample_weight is None else sample_weight)
    weights = check_array(
        sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight"
    )
    if weights.shape != (n_samples,):
        raise ValueError(
            f"sample_weight has shape {weights.shape} but X has {n_samples} rows; "
            f"give one number for all rows, or an array of shape ({n_samples},)."
        )
    if weights.min() < 0:
        row = int(weights.argmin())
        raise ValueError(
            f"sample_weight must be zero or more; got {weights[row]} for row {row}. "
            "Use 0 to leave a row out."
        )
    if not weights.any():
        raise ValueError(
            "sample_weight must contain at least one non-zero number; all are 0, so no row is "
            "left. Leave sample_weight out to weigh all rows alike."
        )
    return weights


def class_weight_vector(class_weight, classes, codes, weights):
    """The factor of each class.

    "balanced" is ``weights.sum() / (n_classes * weight of the class)``, so that a row of weight two
    counts like two rows; a class that has no weight at all gets the factor 0.

    Parameters
    ----------
    class_weight : None, dict or "balanced"
        A dict may leave classes out; their factor is 1.
    classes : ndarray of shape (n_classes,)
        Sorted labels.
    codes : ndarray of int of shape (n_samples,)
        Index of each row's label in ``classes``.
    weights : ndarray of shape (n_samples,)
        Sample weights.

    Returns
    -------
    ndarray of shape (n_classes,)
    """
    if isinstance(class_weight, str) and class_weight == "balanced":
        totals = np.bincount(codes, weights, minlength=len(classes))
        with_weight = totals > 0
        even = np.divide(weights.sum(), len(classes) * totals, where=with_weight, out=totals * 0)
        return even
    if class_weight is None:
        return np.ones(len(classes))
    if isinstance(class_weight, dict):
        # a fold may lack a class that has a weight
        known = {label: class_weight[label] for label in classes.tolist() if label in class_weight}
        for label, weight in known.items():
            if not (np.isfinite(weight) and weight >= 0):
                raise ValueError(
                    f"class_weight must be finite numbers, zero or more; got {weight!r} for class "
                    f"{label!r}. Leave a class out of the dict for a weight of 1."
                )
        return compute_class_weight(known or class_weight, classes=classes, y=classes[codes])
    raise ValueError(
        "class_weight must be None, 'balanced' or a dict from class labels to numbers; "
        f"got {class_weight!r}."
    )


def check_squares(X, largest):
    """Refuse columns whose penalties, squares of their size, outgrow the doubles."""
    cells = X.data if issparse(X) else X
    found = max(float(cells.max(initial=0.0)), -float(cells.min(initial=0.0)))
    if found > largest:
        raise ValueError(
            f"X must hold numbers of at most {largest:g} in size, so that squares and "
            f"penalties are far from the largest double; "
            f"got {found:g}. Divide the columns that are so large by a constant."
        )


def check_classes(classes, weights=None):
    """Refuse a target of one class, or of one alone that ``class_weight`` leaves any weight."""
    if len(classes) < 2:
        raise ValueError(
            f"y must hold two classes or more; got the one class {classes[0]!r}. "
            "Use sklearn.dummy.DummyClassifier where there is nothing to tell apart."
        )
    if weights is not None and (weights > 0).sum() < 2:
        raise ValueError(
            "class_weight must leave two classes or more a weight above zero; got the weights "
            f"{dict(zip(classes.tolist(), weights.tolist()))}. Give small weights in place of zero."
        )


@contextmanager
def numbers_wanted(X=None):
    """Where strings fail to become numbers, tell which columns of X hold them; else it is y."""
    try:
        yield
    except ValueError as error:
        table = X is None or len(getattr(X, "shape", np.shape(X))) == 2
        if "could not convert string to float" not in str(error) or not table:
            raise
        what, way = "the target of a regression must hold numbers", "use a classifier"
        for name in _text_columns(X):
            what = f"X must hold numbers, and column {name!r} does not"
            way = "encode it in a pipeline, with OneHotEncoder in a ColumnTransformer, say"
            break
        raise ValueError(f"{error}: {what}; {way}.") from error


def _text_columns(X):
    """Names, or positions, of the columns that are not numbers; sparse ones always are."""
    if X is None or issparse(X):
        return
    values = np.asarray(X, dtype=object)
    for name, column in zip(getattr(X, "columns", range(values.shape[1])), values.T, strict=True):
        if not _is_number(column):
            yield name


def _is_number(column):
    try:
        column.astype(float)
    except (TypeError, ValueError):
        return False
    return True
