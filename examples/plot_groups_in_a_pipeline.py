"""
=========================================
Groups of features, through a pipeline
=========================================

Features often come in blocks that differ in how much they can say: clinical variables beside gene
expression, a few good sensors beside many poor ones. One penalty for all either lets the noise of
the large block in or holds the small block down. :class:`~sk_qnbo.QNBOSearchCV` tunes one
penalty a group; a confounder can be left without any.

The data are made: a data frame with four clinical columns, eighty markers of which none matters, an
age that shifts the outcome and must be adjusted for, and the hospital as text.
"""

# %%
# Made data
# ---------
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sk_qnbo import QNBOSearchCV
from sk_qnbo.display import PenaltyDisplay

rng = np.random.default_rng(0)
n_train, n = 200, 4200
clinical = pd.DataFrame(rng.standard_normal((n, 4)), columns=["bmi", "pressure", "sugar", "iron"])
markers = pd.DataFrame(rng.standard_normal((n, 80)), columns=[f"marker {j}" for j in range(80)])
age = rng.uniform(30, 80, n)
X = pd.concat([clinical, markers], axis=1).assign(age=age, hospital=rng.choice(list("abc"), n))
logit = clinical @ [1.2, -1.0, 0.8, 0.6] + 0.08 * (age - 55)
y = np.where(rng.random(n) < 1 / (1 + np.exp(-logit)), "ill", "well")
X_train, y_train, X_test, y_test = X[:n_train], y[:n_train], X[n_train:], y[n_train:]

# %%
# A pipeline with names
# ---------------------
# Groups and confounders are named as the columns are when they reach the linear model.
columns = ColumnTransformer(
    [
        ("numbers", StandardScaler(), [*clinical, *markers, "age"]),
        ("hospital", OneHotEncoder(handle_unknown="ignore"), ["hospital"]),
    ],
    verbose_feature_names_out=False,
)
model = Pipeline([("columns", columns), ("logistic", LogisticRegression(max_iter=1000))])
groups = {
    "clinical": [*clinical, "age"],
    "markers": [*markers],
    "hospital": ["hospital_a", "hospital_b", "hospital_c"],
}

# %%
# Three searches
# --------------
# The transformers are refitted inside every fold, as ``GridSearchCV`` does. ``scale=1`` takes the
# columns as if they had unit variance, which the scaler has given the numbers already, and without
# the adaptive rung nothing but the groups sets the penalties apart.
grid = GridSearchCV(model, {"logistic__C": np.logspace(-4, 4, 17)}, scoring="neg_log_loss")
by_group = QNBOSearchCV(model, penalty=groups, adaptive=False, scale=1, unpenalized=["age"])
searches = {
    "grid, one penalty": grid,
    "gradient, one penalty": QNBOSearchCV(model, penalty="shared", adaptive=False, scale=1),
    "gradient, a penalty a group": by_group,
}
for name, search in searches.items():
    search.fit(X_train, y_train)
    loss = log_loss(y_test, search.predict_proba(X_test), labels=search.classes_)
    print(f"{name:28s} log loss on 4,000 new rows {loss:.3f}")

# %%
# What was tuned, on which rung, and what the model makes of age:
print(f"rung chosen: {by_group.best_rung_}, cross-fitted score {by_group.best_score_:.3f}")
names = by_group.best_estimator_[:-1].get_feature_names_out()
for number, group in enumerate(by_group.groups_):
    own = (by_group.group_labels_ == number) & (names != "age")
    print(f"{group:10s} median penalty {np.median(by_group.alpha_[own]):.3g}")
print(f"age        penalty {by_group.alpha_[list(names).index('age')]:.3g}")

# %%
# The best estimator is an ordinary pipeline. In the picture the markers stand far to the right:
# held down, where one shared penalty would have let each of them in a little.
figure, axes = plt.subplots(1, 2, figsize=(10.5, 4.4), sharey=True, layout="constrained")
shared = searches["gradient, one penalty"]
PenaltyDisplay.from_estimator(shared, X_train, ax=axes[0], n_names=6)
axes[0].set_title("One penalty for all", fontsize=10)
PenaltyDisplay.from_estimator(by_group, X_train, ax=axes[1], n_names=6)
axes[1].set_title("A penalty a group, none on age", fontsize=10)
axes[0].set_xlim(axes[1].get_xlim())
plt.show()
