"""
================
How far to scale
================

Dividing each column by its standard deviation is a bet: that how much a column varies says
nothing of how much it matters. Leaving columns raw is the opposite bet. Between the two stands one
number, the *scale exponent* g in ``alpha_j = level * variance_j ** g``: 1 is what a
``StandardScaler`` does, 0 leaves the columns raw. :class:`~sk_qnbo.QNBOSearchCV` tunes it.

The data are made, like spectra or counts: columns of very different variance, where those that
vary more also matter somewhat more, though not in proportion.
"""

# %%
# Made data
# ---------
# The standard deviations of 100 columns spread over three decades. The effect of a standardised
# column grows with the fourth root of its variance, so the best exponent is near 1/2.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from sk_qnbo import QNBOSearchCV
from sk_qnbo.display import PenaltyDisplay

rng = np.random.default_rng(0)
n_train, n_test, d = 250, 2000, 100
deviation = np.logspace(-1.5, 1.5, d)
Z = rng.standard_normal((n_train + n_test, d))
effect = deviation**0.5 * rng.standard_normal(d)
signal = Z @ effect
y = signal + signal.std() * rng.standard_normal(len(Z))
X = Z * deviation
X_test, y_test = X[n_train:], y[n_train:]
X, y = X[:n_train], y[:n_train]

# %%
# A walk along the exponent
# -------------------------
# With a number for ``scale`` and one shared penalty the search tunes the level alone.
exponents = np.linspace(-0.5, 1.5, 9)
fixed = {"penalty": "shared", "adaptive": False, "shrinkage": np.inf}
walk = [QNBOSearchCV(Ridge(), scale=g, **fixed).fit(X, y) for g in exponents]

# %%
# And with ``scale="learn"`` it tunes both. The exponent can be read off the penalties.
learned = QNBOSearchCV(Ridge(), scale="learn", **fixed).fit(X, y)
slope = np.polyfit(np.log(X.var(axis=0)), np.log(learned.alpha_), 1)[0]
print(f"learned exponent {slope:.2f}, on the rung {learned.best_rung_!r}")
for label, search in [("raw", walk[2]), ("standardised", walk[6]), ("learned", learned)]:
    print(f"{label:13s} R2 on new rows {r2_score(y_test, search.predict(X_test)):.3f}")

# %%
# In the picture the loss in the folds, by which the exponent is tuned, and the loss on 2,000 new
# rows have their valleys close together, between the two customs.
figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.2), layout="constrained")
variance = y_test.var()
in_folds = [-search.best_score_ / variance for search in walk]
on_new = [np.mean((y_test - search.predict(X_test)) ** 2) / variance for search in walk]
left.plot(exponents, in_folds, "--s", color="C1", markersize=4, label="in the folds")
left.plot(exponents, on_new, "-o", color="C0", markersize=5, label="on new rows")
left.axvline(slope, color="black", linewidth=1.2, label=f"learned: {slope:.2f}")
for g, label in [(0, "raw"), (1, "standardised")]:
    left.axvline(g, color="0.7", linewidth=1, linestyle=":")
    left.annotate(
        label, (g, 1), xycoords=("data", "axes fraction"), xytext=(3, -12),
        textcoords="offset points", fontsize=8, color="0.4",
    )  # fmt: skip
left.set(xlabel="scale exponent", ylabel="squared error / variance of y")
left.legend(frameon=False, loc="center left")
PenaltyDisplay.from_estimator(learned, ax=right, n_names=0)
right.set_title("Raw columns: penalties follow the variances", fontsize=10)
plt.show()
