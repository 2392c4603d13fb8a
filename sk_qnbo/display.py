"""Pictures of a fitted search, in the manner of scikit-learn's displays."""

import numpy as np
from sklearn.pipeline import Pipeline

from ._point_names import name_points
from ._shown import check_search, fitted_models, names_at_model, variances_at_model

__all__ = ["LadderDisplay", "PenaltyDisplay"]

# coefficients smaller than this part of the largest are drawn at the lower edge
_SMALLEST = 1e-6
# groups beyond this number get no legend
_MAX_LEGEND = 10


def _pyplot(who):
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{who} draws with matplotlib, which is not installed; "
            "install it with the extra: pip install 'sk-qnbo[plot]'."
        ) from error
    return plt


class _Display:
    def _axes(self, ax, size):
        """Axes to draw on, kept with their figure."""
        plt = _pyplot(type(self).__name__)
        if ax is None:
            _, ax = plt.subplots(figsize=size, layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        return ax


class LadderDisplay(_Display):
    """Score of every rung of the ladder, cross-fitted and as the search believed it in its folds.

    The gap between the two is the optimism of tuning: the penalties were moved to fit the folds, so
    the score in the folds flatters the freer rungs. The cross-fitted score comes from rows that
    had no part in the tuning; by it the rung is chosen.

    Made by :meth:`from_estimator`.

    Parameters
    ----------
    rungs : sequence of str
        Names, from most to least constrained.
    mean_scores : ndarray of shape (n_rungs,)
        Cross-fitted scores (or scores in the folds where there was no cross-fit).
    errors : ndarray of shape (n_rungs,)
        Standard errors of those.
    fold_scores : ndarray of shape (n_rungs,) or None
        Scores in the folds that tuned the penalties; None where they are not known apart.
    best_index : int or None
        The chosen rung; None where none was chosen.
    score_name : str, default="score"
        As a scorer is named; ``"neg_"`` in front says that it is minus a loss.
    cross_fitted : bool, default=True
        Whether ``mean_scores`` are cross-fitted.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    errorbar_ : matplotlib ErrorbarContainer
        The mean scores with their standard errors.
    fold_line_ : matplotlib Line2D or None
        The scores in the folds.
    gap_ : matplotlib artist or None
        The area between the two.
    chosen_ : matplotlib Line2D or None
        The mark of the chosen rung.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> from sk_qnbo import QNBOSearchCV
    >>> from sk_qnbo.display import LadderDisplay
    >>> X, y = load_diabetes(return_X_y=True, scaled=False)
    >>> display = LadderDisplay.from_estimator(QNBOSearchCV(Ridge()).fit(X, y))
    >>> display.ax_.get_ylabel()
    'Mean squared error (lower is better)'
    """

    def __init__(
        self,
        *,
        rungs,
        mean_scores,
        errors,
        fold_scores=None,
        best_index,
        score_name="score",
        cross_fitted=True,
    ):
        self.rungs = rungs
        self.mean_scores = mean_scores
        self.errors = errors
        self.fold_scores = fold_scores
        self.best_index = best_index
        self.score_name = score_name
        self.cross_fitted = cross_fitted

    @classmethod
    def from_estimator(
        cls, search, *, metric=None, negate_score=None, score_name=None, ax=None, **errorbar_kw
    ):
        """Make and draw the display of a fitted search.

        Parameters
        ----------
        search : QNBOSearchCV
            Fitted.
        metric : str, default=None
            Which metric to show if there are several; None is the one that chose the rung. The
            scores in the folds are known of that one only.
        negate_score, score_name, ax, **errorbar_kw
            As in :meth:`plot`.

        Returns
        -------
        LadderDisplay
        """
        check_search(search, cls.__name__)
        table, cross_fitted = search.cv_results_, isinstance(search.shrinkage, str)
        known = [key[10:] for key in table if key.startswith("mean_test_")]
        decides = search.refit if isinstance(search.refit, str) else known[0]
        decides = decides if search.multimetric_ else "score"
        metric = decides if metric is None else metric
        if metric not in known:
            raise ValueError(f"metric must be one of {known}, or None; got {metric!r}.")
        errors, folds = table["se_test_score"], table["mean_fold_score"]
        if metric != decides:
            errors, folds = table[f"std_test_{metric}"] / np.sqrt(search.n_splits_), None
        display = cls(
            rungs=list(table["rung"]),
            mean_scores=table[f"mean_test_{metric}"],
            errors=errors,
            fold_scores=folds if cross_fitted else None,
            best_index=getattr(search, "best_index_", None),
            score_name=_name_of_score(search, metric),
            cross_fitted=cross_fitted,
        )
        return display.plot(ax, negate_score=negate_score, score_name=score_name, **errorbar_kw)

    def plot(self, ax=None, *, negate_score=None, score_name=None, **errorbar_kw):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        negate_score : bool, default=None
            Whether to show minus the score; None does so where the score is minus a loss, so that
            the loss itself is shown.
        score_name : str, default=None
            Label of the axis of scores.
        **errorbar_kw : dict
            Passed to matplotlib's ``errorbar``.

        Returns
        -------
        self : LadderDisplay
        """
        ax = self._axes(ax, (6.4, 4.2))
        negate = self.score_name.startswith("neg_") if negate_score is None else negate_score
        sign, at = (-1.0 if negate else 1.0), np.arange(len(self.rungs))
        mean = sign * np.asarray(self.mean_scores)
        self.fold_line_ = self.gap_ = None
        if self.fold_scores is not None:
            folds = sign * np.asarray(self.fold_scores)
            self.gap_ = ax.fill_between(at, folds, mean, color="C1", alpha=0.12, linewidth=0)
            (self.fold_line_,) = ax.plot(
                at, folds, "--s", color="C1", markersize=4, label="in the folds that tuned it"
            )
        label = "on rows kept out of tuning" if self.cross_fitted else "in the folds that tuned it"
        style = {"fmt": "-o", "color": "C0", "capsize": 3, "elinewidth": 1, "label": label}
        self.errorbar_ = ax.errorbar(at, mean, yerr=self.errors, **{**style, **errorbar_kw})
        self.chosen_ = None if self.best_index is None else self._mark(ax, mean)
        ax.set_xticks(at, self.rungs, rotation=35, ha="right", rotation_mode="anchor")
        ax.set(xlabel="rung, from most to least constrained")
        ax.set_ylabel(score_name or _axis_label(self.score_name, negate))
        ax.grid(axis="y", alpha=0.3)
        shown = [self.errorbar_, self.fold_line_, self.chosen_]
        ax.legend(handles=[artist for artist in shown if artist is not None], frameon=False)
        return self

    def _mark(self, ax, mean):
        """A ring around the chosen rung."""
        at, name = self.best_index, self.rungs[self.best_index]
        ring = {"markersize": 13, "fillstyle": "none", "color": "black", "markeredgewidth": 1.5}
        return ax.plot(at, mean[at], "o", label=f"chosen: {name}", **ring)[0]


def _name_of_score(search, metric):
    """Name of a metric as a scorer is named, with "neg_" where it is minus a loss."""
    if metric != "score":
        return str(metric)
    if search.scoring is None:
        smooth = getattr(search.scorer_, "family", "logistic")
        return "neg_log_loss" if smooth == "logistic" else "neg_mean_squared_error"
    if isinstance(search.scoring, str):
        return search.scoring
    return getattr(search.scoring, "__name__", "score")


def _axis_label(name, negate):
    is_minus_loss = name.startswith("neg_")
    words = (name[4:] if is_minus_loss else name).replace("_", " ")
    shown = words if negate == is_minus_loss else f"negative {words}"
    side = "lower" if negate else "higher"
    return f"{shown[0].upper()}{shown[1:]} ({side} is better)"


class PenaltyDisplay(_Display):
    """Size of every coefficient against its penalty, both on logarithmic axes.

    Made by :meth:`from_estimator`.

    Parameters
    ----------
    alpha : ndarray of shape (n_features,)
        Penalties; zeros are drawn at the left edge as triangles.
    sizes : ndarray of shape (n_features,)
        Absolute coefficients, or their norms over classes or targets. Those that are below a
        millionth of the largest are drawn at the lower edge.
    feature_names : sequence of str
    labels : ndarray of int of shape (n_features,), default=None
        Group of each feature, for the colours.
    groups : sequence, default=None
        Names of the groups.
    scaled : bool, default=False
        Whether ``alpha`` and ``sizes`` are those of columns of unit variance.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    points_ : list of matplotlib PathCollection
        One a group (one in all without groups), then the features without penalty, if any.
    texts_ : list of matplotlib Annotation
        Names of the largest coefficients.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> from sk_qnbo import QNBOSearchCV
    >>> from sk_qnbo.display import PenaltyDisplay
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    >>> search = QNBOSearchCV(Ridge()).fit(X, y)
    >>> display = PenaltyDisplay.from_estimator(search, X, n_names=3)
    >>> len(display.texts_)
    3
    """

    def __init__(self, *, alpha, sizes, feature_names, labels=None, groups=None, scaled=False):
        self.alpha = alpha
        self.sizes = sizes
        self.feature_names = feature_names
        self.labels = labels
        self.groups = groups
        self.scaled = scaled

    @classmethod
    def from_estimator(cls, search, X=None, *, n_names=5, ax=None, **scatter_kw):
        """Make and draw the display of a fitted search, or of a fitted model.

        Parameters
        ----------
        search : QNBOSearchCV, MultiPenalty model, or Pipeline that ends in such a model
            Fitted; a search with ``refit``.
        X : array-like or sparse matrix of shape (n_samples, n_features), default=None
            Rows as given to ``fit``, from which the variances of the columns are taken: penalties
            and coefficients are then shown as for columns of unit variance, which can be
            compared with one another. None shows them as they are, in the units of the columns.
        n_names, ax, **scatter_kw
            As in :meth:`plot`.

        Returns
        -------
        PenaltyDisplay
        """
        best = fitted_models(search, cls.__name__)
        model = best[-1] if isinstance(best, Pipeline) else best
        alpha = np.array(search.alpha_ if hasattr(search, "alpha_") else model.alpha_)
        sizes = np.sqrt(np.square(np.atleast_2d(model.coef_)).sum(axis=0))
        if X is not None:
            variance = variances_at_model(best, X)
            alpha = alpha / np.where(variance > 0, variance, 1.0)
            sizes = sizes * np.sqrt(variance)
        # a model alone knows of no groups
        labels, groups = getattr(search, "group_labels_", None), getattr(search, "groups_", ())
        grouped = labels is not None and 1 < len(groups) < len(alpha)
        display = cls(
            alpha=alpha,
            sizes=sizes,
            feature_names=names_at_model(best, len(alpha)),
            labels=np.asarray(labels)[: len(alpha)] if grouped else None,
            groups=list(groups) if grouped else None,
            scaled=X is not None,
        )
        return display.plot(ax, n_names=n_names, **scatter_kw)

    def plot(self, ax=None, *, n_names=5, **scatter_kw):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        n_names : int, default=5
            How many features to name, those with the largest coefficients.
        **scatter_kw : dict
            Passed to matplotlib's ``scatter``.

        Returns
        -------
        self : PenaltyDisplay
        """
        ax = self._axes(ax, (6.4, 4.4))
        x, free = self._places()
        y = np.maximum(self.sizes, _SMALLEST * max(np.max(self.sizes), np.finfo(float).tiny))
        style = {"s": 26, "alpha": 0.8, "linewidths": 0, **scatter_kw}
        self.points_ = []
        for number, (name, members) in enumerate(self._groups()):
            at = members & ~free
            if not at.any():
                continue
            self.points_.append(
                ax.scatter(x[at], y[at], label=name, **{"color": f"C{number % 10}", **style})
            )
        if free.any():
            style |= {"marker": "<", "color": "black", "label": "no penalty"}
            self.points_.append(ax.scatter(x[free], y[free], **style))
        ax.set(xscale="log", yscale="log")
        _at_least_two_decades(ax)
        unit = ", columns of unit variance" if self.scaled else ""
        ax.set(xlabel=f"penalty alpha{unit}", ylabel=f"size of coefficient{unit}")
        ax.grid(alpha=0.3)
        if 1 < len(self.points_) <= _MAX_LEGEND + 1:
            ax.legend(frameon=False, title=None if self.groups is None else "group")
        self.texts_ = name_points(ax, self.feature_names, x, y, n_names)
        return self

    def _places(self):
        """Abscissae, and which features have no penalty: those go to the left of all others."""
        free = ~(np.asarray(self.alpha) > 0)
        left = 1.0 if free.all() else np.min(self.alpha[~free]) / 10.0
        return np.where(free, left, self.alpha), free

    def _groups(self):
        if self.labels is None:
            return [("penalised", np.ones(len(self.alpha), dtype=bool))]
        groups = [(str(group), self.labels == g) for g, group in enumerate(self.groups)]
        others = self.labels >= len(groups)  # columns with a fixed penalty may have no group
        return [*groups, ("no group", others)] if others.any() else groups


def _at_least_two_decades(ax):
    """Limits around the points, so wide that a narrow range does not look like a wide one."""
    box, set_limits = ax.dataLim, (ax.set_xlim, ax.set_ylim)
    for ends, least, limit in zip(box.get_points().T, box.minpos, set_limits, strict=True):
        low, high = np.log10(np.maximum(ends, least))
        widen = max(0.12 * (high - low), 1.0 - 0.5 * (high - low))
        limit(10.0 ** (low - widen), 10.0 ** (high + widen))
