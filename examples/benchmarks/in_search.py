"""Every method as the ``method`` of a search: how far down it gets, and in what time.

    python examples/benchmarks/in_search.py --markdown in_search.md
    python examples/benchmarks/in_search.py --methods qnbo-bfgs hoag

Breast cancer (569 rows, 30 raw columns of scales from 1e-3 to 1e3), the whole ladder and the
cross-fit, at most 100 steps a rung. ``folds`` is the loss in the folds where the last rung ended
(``tau=1``, one penalty a feature), by fits that are solved again, whatever the method claims;
``cross-fitted`` that of the chosen rung on rows that its penalties have not seen. Each result is
one line of JSON in the file ``--out``.
"""

import warnings
from time import process_time

import pandas as pd
from common import markdown, parser_of, read, run_and_report, run_missing
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

from sk_qnbo import METHODS, QNBOSearchCV

SHOWN = ("method", "folds", "cross-fitted", "s")


def searched(method):
    """One search, as a list of one record."""
    search = QNBOSearchCV(
        LogisticRegression(), method=method, scoring="neg_log_loss", random_state=0
    )
    begun = process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what did not converge is what the table is about
        search.fit(*load_breast_cancer(return_X_y=True))
    seconds = process_time() - begun
    table = search.cv_results_
    record = {"folds": -table["mean_fold_score"][-1], "cross-fitted": -search.best_score_}
    return [{"method": method, **record, "s": seconds}]


def run(args):
    known = {record["method"] for record in read(args.out)}
    missing = [(name,) for name in args.methods if name not in known]
    run_missing(searched, missing, args.out, SHOWN)


def report(args):
    table = pd.DataFrame(read(args.out)).set_index("method").sort_values(["folds", "s"])
    digits = {"folds": "{:.4f}", "cross-fitted": "{:.4f}", "s": "{:.1f}"}
    shown = {name: table[name].map(form.format) for name, form in digits.items()}
    text = markdown(table.assign(**shown))
    print(text)
    if args.markdown:
        with open(args.markdown, "w") as out:
            out.write(text + "\n")


def parse_args():
    parser = parser_of(__doc__, "in_search.jsonl")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    return parser.parse_args()


if __name__ == "__main__":
    run_and_report(run, report, parse_args())
