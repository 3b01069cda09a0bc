"""Likely wrong labels: how many planted ones are found, and what training without them brings.

`python bench/label_errors.py [FEATURES.npz N_SPLITS]`: scikit-learn's digits, or features x and
classes y of images; half of them for training, 5 % of whose labels are wrong. A linear model stands
for the network, five folds for the runs.
"""

import sys
from pathlib import Path

import numpy as np
from scipy.stats import t
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from ensemble.blending.label_errors import label_errors, thresholds
from ensemble.predictions import Array, Predictions

SHARE = 0.05


def model() -> Pipeline:
    """A linear model of scaled features."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=300))


def planted(labels: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """The labels with wrong ones among them, and the rows of these."""
    rows = rng.choice(len(labels), round(SHARE * len(labels)), replace=False)
    wrong = labels.copy()
    wrong[rows] = (wrong[rows] + rng.integers(1, 10, len(rows))) % 10
    return wrong, rows


def one_split(x: Array, y: Array, seed: int) -> list[float]:
    """Precision and recall of the list, at 5 %; accuracy as is, without, relabeled, true labels."""
    rng = np.random.default_rng(seed)
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.5, stratify=y, random_state=seed)
    labels, rows = planted(y, rng)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    probs = cross_val_predict(model(), x, labels, cv=folds, method="predict_proba")
    ids = np.array([f"{i:05d}" for i in range(len(y))])
    errors = label_errors(
        Predictions(ids, tuple(map(str, range(10))), probs, labels.astype(np.int64))
    )
    ranked = np.array([int(error.id) for error in errors])
    is_wrong = np.isin(ranked, rows)
    relabeled = labels.copy()
    relabeled[ranked] = [int(error.new_label) for error in errors]
    kept = np.setdiff1d(np.arange(len(y)), ranked)
    trainings = [(x, labels), (x[kept], labels[kept]), (x, relabeled), (x, y)]
    scores = [model().fit(*rows_).score(x_test, y_test) for rows_ in trainings]
    by_confidence = np.argsort((probs / thresholds(probs, labels))[np.arange(len(y)), labels])
    at_share = np.isin(by_confidence[: len(rows)], rows).mean()  # precision, and recall too
    return [is_wrong.mean(), is_wrong.sum() / len(rows), at_share, *scores]


def main() -> None:
    """Print means over splits, and paired differences with their 95 % intervals."""
    x, y = load_digits(return_X_y=True)
    if len(sys.argv) > 1:
        stored = np.load(Path(sys.argv[1]))
        x, y = stored["x"], stored["y"]
    n_splits = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    rows = np.array([one_split(x, y, seed) for seed in range(n_splits)])
    names = ("precision", "recall", "at 5 %", "as is", "without", "relabeled", "true labels")
    for name, column in zip(names, rows.T, strict=True):
        print(f"{name:12} {100 * column.mean():6.2f} %")
    # half of the images test: Nadeau and Bengio's variance of overlapping splits
    half_width = t.ppf(0.975, n_splits - 1) * np.sqrt(1 / n_splits + 1)
    for name, column in zip(names[4:], rows.T[4:], strict=True):
        gain = 100 * (column - rows[:, 3])
        interval = half_width * gain.std(ddof=1)
        print(f"{name:12} {gain.mean():+.2f} ± {interval:.2f} points, {(gain > 0).sum()} better")


if __name__ == "__main__":
    main()
