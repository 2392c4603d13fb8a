"""Real data sets, train/test splits and folds shared by the benchmarks.

    from datasets import list_sets, load_set, split
    for name in list_sets():
        data = split(load_set(name), seed=0)    # .X_train, .y_train, .X_test, .y_test
        data.folds                              # the splitter every method uses inside

The sets live in a folder of ``.npz`` files with its own ``load.py`` (``load(name)`` gives ``X,
y, info``). The folder is the environment variable ``SK_QNBO_DATASETS`` or
``../shared/datasets`` beside the repository; without it scikit-learn's own small sets are used,
so that anybody can run.

Sets were chosen by kind and size alone: every kind of task, more than half with more columns than
half the training rows, dense training data times classes within 5e6 numbers ("full": 2e6 stored
numbers), classes large enough to leave five rows each in training, and no set whose source asks for
clipping before any linear model. Columns stay raw (counts, pixels, intensities).
"""

import importlib.util
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from sklearn import datasets as bundled
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split

MAX_TRAIN = {"small": 400, "full": 5000}
MAX_TEST = 4000
TRAIN_FRACTION = 0.6
MIN_CLASS_ROWS = 5
MIN_LABEL_SHARE = 0.05

SETS = (
    # binary
    "arrhythmia bace_morgan bank_marketing basehock cell_segmentation codata_methylation_ecpc "
    "codata_mirna_crc colon_libsvm dhfr fine_foods gametes_1000 german_numer golub lsvt_voice "
    "madelon ml_emotions musk1 nki70 pd_speech pomeroy promoters saheart sonar_scale spambase "
    "splice_libsvm ticdata_caravan tox21_ahr_morgan west "
    # multiclass
    "christensen cnae9 covtype_20k dermatology dna_splice hmp_16s lung_discrete mfeat_fourier "
    "mnist_10k phoneme_logperiodogram primary_cancers_mirna sorlie su tcga_breast_blocks "
    "usps_test warppie10p "
    # regression
    "abalone ailerons ames_housing autompg bank32nh blog_feedback boston_housing chem_process "
    "communities_crime congress109_reg fri_c4_1000_100 hitters lu2004_brain_age mice_genomic "
    "permeability prostate_lpsa solubility wine_quality_white yarn_nir "
    # several targets
    "corn_nir ml_enron mt_atp1d mt_jura mt_oes10 mt_wq nutrimouse_lipids residential_building "
    "tecator we8there wheat_genomic yeast_tf"
).split()

FULL_SETS = (
    "ailerons ames_housing bace_morgan basehock cell_segmentation communities_crime dna_splice "
    "mfeat_fourier mt_wq solubility spambase splice_libsvm wine_quality_white"
).split()

QUICK_SETS = (
    "basehock colon_libsvm lsvt_voice sonar_scale hmp_16s mfeat_fourier tcga_breast_blocks "
    "hitters permeability solubility mt_oes10 tecator"
).split()

BUNDLED = {
    "breast_cancer": ("binary", bundled.load_breast_cancer),
    "wine": ("multiclass", bundled.load_wine),
    "digits": ("multiclass", bundled.load_digits),
    "diabetes": ("regression", bundled.load_diabetes),
}


@dataclass(frozen=True)
class Task:
    """One data set under one configuration, before it is split."""

    name: str
    kind: str  # binary, multiclass, regression or multi-target
    X: object
    y: np.ndarray
    n_train: int

    @property
    def classify(self):
        return self.kind in ("binary", "multiclass")


@dataclass(frozen=True)
class Split:
    """Training and test rows; regression targets are standardised by the training rows."""

    X_train: object
    y_train: np.ndarray
    X_test: object
    y_test: np.ndarray
    folds: object
    kind: str

    @property
    def classify(self):
        return self.kind in ("binary", "multiclass")


def default_folder():
    """The folder of data sets, or None where there is none."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "datasets"
    folder = Path(os.environ.get("SK_QNBO_DATASETS", beside))
    return folder if (folder / "load.py").is_file() else None


def list_sets(config="small", quick=False, folder=None):
    """Names of the sets of a configuration ("small" or "full")."""
    if (folder or default_folder()) is None:
        return list(BUNDLED) if config == "small" else ["digits"]
    if quick:
        return list(QUICK_SETS) if config == "small" else []
    return list(SETS if config == "small" else FULL_SETS)


@lru_cache(maxsize=2)
def load_set(name, config="small", folder=None):
    """The task ``name`` with at most ``MAX_TRAIN[config]`` training rows a split."""
    X, y, kind = _read(name, folder or default_folder())
    n_train = min(int(TRAIN_FRACTION * len(y)), MAX_TRAIN[config])
    if kind in ("binary", "multiclass"):
        X, y, n_train = _without_rare_classes(X, y, n_train)
    return Task(name, kind, X, y, n_train)


def split(task, seed):
    """Random training and test rows, stratified by class, and the folds for inside the training."""
    stratify = task.y if task.classify else None
    train, test = train_test_split(
        np.arange(len(task.y)), train_size=task.n_train, stratify=stratify, random_state=seed
    )
    test = test[:MAX_TEST]
    y_train, y_test = task.y[train], task.y[test]
    if not task.classify:
        mean, std = y_train.mean(axis=0), y_train.std(axis=0)
        std = np.where(std > 0, std, 1.0)
        y_train, y_test = (y_train - mean) / std, (y_test - mean) / std
    folds = (StratifiedKFold if task.classify else KFold)(5, shuffle=True, random_state=seed)
    return Split(task.X[train], y_train, task.X[test], y_test, folds, task.kind)


def _read(name, folder):
    if folder is None:
        kind, read = BUNDLED[name]
        return *read(return_X_y=True), kind
    X, y, info = loader_of(folder).load(name)
    return X, *_target(name, y, info["task"])


@lru_cache(maxsize=1)
def loader_of(folder):
    """The ``load.py`` of a folder, as a module."""
    spec = importlib.util.spec_from_file_location("dataset_loader", Path(folder) / "load.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _target(name, y, kind):
    """Target and kind of task; what the sources advise for counts and label matrices."""
    if name == "blog_feedback":  # heavy-tailed counts
        return np.log1p(y), kind
    if name == "ml_emotions":  # one label: the commonest
        return y[:, y.mean(axis=0).argmax()].astype(np.int64), "binary"
    if kind == "multi-label":  # all common labels at once
        return y[:, y.mean(axis=0) >= MIN_LABEL_SHARE], "multi-target"
    return y, kind


def _without_rare_classes(X, y, n_train):
    """Drop the classes that would have fewer than five training rows."""
    fraction = n_train / len(y)
    keep = np.isin(y, np.flatnonzero(np.bincount(y) * fraction >= MIN_CLASS_ROWS))
    y = np.unique(y[keep], return_inverse=True)[1]
    return X[np.flatnonzero(keep)], y, min(n_train, int(TRAIN_FRACTION * len(y)))
