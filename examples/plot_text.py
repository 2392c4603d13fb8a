"""
==============
Words and text
==============

A bag of words has more columns than rows, and how often a word occurs says something of how much it
can tell: very common words are glue, very rare ones are chance. ``TfidfVectorizer`` makes its
own guess at this (the logarithm in its weights); on top of it :class:`~sk_qnbo.QNBOSearchCV`
learns from the validation loss how far to scale the words by their variance, and how much less to
penalise those that carried weight in a first fit. Whether that pays, new notes tell.

The corpus is made, so that nothing is downloaded: short notes in which a few dozen of 600
words depend on the topic.
"""

# %%
# A made corpus
# -------------
# Words occur by Zipf's law; the 60 telling words are neither the most nor the least common.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sk_qnbo import QNBOSearchCV
from sk_qnbo.display import LadderDisplay, PenaltyDisplay

rng = np.random.default_rng(0)
n_words, n_train, n_test = 600, 200, 1500
syllables = ["ba", "de", "fi", "go", "lu", "ma", "ne", "pi", "ro", "su"]
words = np.array([a + b + c for a in syllables for b in syllables for c in syllables])[:n_words]
common = 1.0 / np.arange(1.0, n_words + 1)
tilt = np.zeros(n_words)
telling = rng.choice(np.arange(10, 200), 60, replace=False)
tilt[telling] = rng.choice([-0.8, 0.8], 60)


def notes(topics):
    """A note of about 40 words for every topic, 0 or 1."""
    texts = []
    for topic in topics:
        chance = common * np.exp(tilt * (topic - 0.5))
        texts.append(" ".join(rng.choice(words, rng.poisson(40) + 1, p=chance / chance.sum())))
    return texts


y_train, y_test = rng.integers(0, 2, n_train), rng.integers(0, 2, n_test)
train, test = notes(y_train), notes(y_test)

# %%
# The same pipeline in both searches
# ----------------------------------
# The vectorizer is refitted inside every fold. A word that a fold lacks is a column of zeros there.
# With three times as many words as notes a penalty of its own for each word is more than the notes
# can pay for, so ``penalty="shared"`` leaves the ladder with its few shared numbers.
pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000))
grid = {"logisticregression__C": np.logspace(-4, 4, 17)}
searches = {
    "grid": GridSearchCV(pipeline, grid, scoring="neg_log_loss"),
    "gradient": QNBOSearchCV(pipeline, penalty="shared"),
}
for name, search in searches.items():
    search.fit(train, y_train)
    proba = search.predict_proba(test)
    accuracy = accuracy_score(y_test, search.predict(test))
    print(f"{name:9s} new notes: log loss {log_loss(y_test, proba):.3f}, accuracy {accuracy:.3f}")
search = searches["gradient"]
print(f"rung chosen: {search.best_rung_}; {len(search.alpha_)} words")

# %%
# The ladder says what the freedoms were worth. In the picture on the right each point is a word.
figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.4), layout="constrained")
LadderDisplay.from_estimator(search, ax=left)
PenaltyDisplay.from_estimator(search, ax=right, n_names=6)
plt.show()
