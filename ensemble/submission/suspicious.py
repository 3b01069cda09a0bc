"""What looks suspicious about a submission, though its format is right: permuted classes, rows
under other ids.

Three checks, none of which needs a label of the test set: the class shares against those of the
training images, the members against each other, and the CSV against the previous submission. Each
limit allows for what the validation rows show and for chance.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ensemble.blending.mixture import Mixture
from ensemble.metrics import predicted
from ensemble.numbers import percent
from ensemble.predictions import Array, Predictions, aligned
from ensemble.runs import Run
from ensemble.submission.choices import TOP_K
from ensemble.submission.csv_answers import answers
from ensemble.submission.ledger import Ledger

# A test set whose class shares differ by this much from the training set's is nothing special.
USUAL_SHIFT = 0.05
USUAL_SHIFT_OF_VALUES = 0.5  # standard deviations of the predicted values


@dataclass(frozen=True)
class PreviousSubmission:
    """An earlier submission: file name, answer for each id, cross-fitted accuracy."""

    name: str
    answers: Mapping[str, str]
    accuracy: float


def previous_submission(folder: Path, **fields: str) -> PreviousSubmission | None:
    """The newest upload with these fields (data or competition) whose file is unchanged, None
    where it is not about one class per image.

    Raises SubmissionError.
    """
    entry = Ledger(folder).last_unchanged(**fields)
    if entry is None or entry.accuracy is None:
        return None
    text = (folder / entry.file).read_text(encoding="utf-8")
    return PreviousSubmission(entry.file, answers(text), entry.accuracy)


def suspicions(
    runs: Mapping[str, Run],
    mixture: Mixture,
    predictions: Predictions,
    csv_text: str,
    answer: str,
    accuracy: float | None,
    previous: PreviousSubmission | None,
) -> list[str]:
    """Warnings about a blend's CSV with cells of this answer, in words.

    accuracy is the blend's cross-fitted one, None where images do not have one class each.
    Labels and numbers are compared with those on validation alone; lists of classes not with the
    previous submission: how often two lists agree says little.
    """
    valid = mixture.of_valid(runs)
    if predictions.target == "number":
        warnings = [_unusual_values(valid, predictions)]
    else:
        warnings = [_unusual_shares(runs, valid, predictions)]
    if predictions.target == "class":
        members = {run_id: runs[run_id] for run_id in mixture.weights}
        warnings.append(_disagreeing_member(members, mixture.of_refits))
    if accuracy is not None and answer != TOP_K and previous:
        warnings.append(_unlike_previous(answers(csv_text), accuracy, previous))
    return [warning for warning in warnings if warning]


def _unusual_values(valid: Predictions, test: Predictions) -> str:
    """Compare the mean value on the test images with that on validation."""
    center, spread = float(valid.probs.mean()), float(valid.probs.std())
    shift = abs(float(test.probs.mean()) - center)
    chance = 2 * spread * math.sqrt(1 / len(test.ids) + 1 / len(valid.ids))
    if shift <= USUAL_SHIFT_OF_VALUES * spread + chance:
        return ""
    return (
        f"values: {test.probs.mean():.4g} on average on the test images, {center:.4g} on the "
        f"validation images, where they differ by {spread:.4g}"
    )


def _unusual_shares(runs: Mapping[str, Run], valid: Predictions, test: Predictions) -> str:
    """Compare the blend's shares of classes or labels on the test images with the training images'
    and with those on validation.
    """
    run = next(iter(runs.values()))
    share_by_class = dict(zip(run.classes, run.prior().tolist(), strict=True))
    train_shares = np.array([share_by_class[name] for name in test.classes])
    test_shares, valid_shares = test.probs.mean(0), valid.probs.mean(0)
    # twice the mean distance of a random sample of this size
    chance = 0.8 * np.sqrt(train_shares * (1 - train_shares) / len(test.ids)).sum()
    limit = USUAL_SHIFT * max(1.0, float(train_shares.sum())) + chance
    references = (train_shares, valid_shares)  # a weak blend makes the shares more even
    if min(_distance(test_shares, shares) for shares in references) <= limit:
        return ""
    sorted_distances = [_distance(np.sort(test_shares), np.sort(shares)) for shares in references]
    order = " (as if the classes were in the wrong order)" if min(sorted_distances) <= limit else ""
    worst = int(np.abs(test_shares - train_shares).argmax())
    shares_of = "class" if test.target == "class" else "label"
    return (
        f"{shares_of} shares{order}: {percent(test_shares[worst], 0)} of the test images are predicted "
        f"as {test.classes[worst]}, {percent(train_shares[worst], 0)} of the training images are"
    )


def _distance(a: Array, b: Array) -> float:
    """Total variation: the share that would have to change its class."""
    return float(np.abs(a - b).sum() / 2)


def _disagreeing_member(runs: Mapping[str, Run], of_refits: bool) -> str:
    """Find a member that agrees with the rest on the validation rows, hardly on the test rows."""
    if len(runs) < 2:
        return ""
    names = sorted(runs)
    valid = _labels({name: runs[name].valid for name in names})
    test = _labels(
        {name: runs[name].test_refit if of_refits else runs[name].test for name in names}
    )
    on_valid, _ = _agreement(valid)
    on_test, by_chance = _agreement(test)
    limit = (on_valid + by_chance) / 2 - 1 / math.sqrt(test.shape[1])
    worst = int((on_test - limit).argmin())
    if on_test[worst] >= limit[worst]:
        return ""
    member = names[worst] if len(names) > 2 else " or ".join(names)
    return (
        f"{member}: agrees with the other members on {percent(on_test[worst], 0)} of the test "
        f"rows, on {percent(on_valid[worst], 0)} of the validation rows: "
        "are its test rows or classes in the wrong order?"
    )


def _labels(members: Mapping[str, Callable[[], Predictions]]) -> Array:
    """(members, rows): the most probable class of each member."""
    return np.stack([predicted(predictions.probs) for predictions in aligned(members)])


def _agreement(labels: Array) -> tuple[Array, Array]:
    """Each member's mean share of rows on which another agrees, and the share expected by chance,
    (members,) each.
    """
    n_members, n_rows = labels.shape
    n_classes = labels.max() + 1
    shares = np.stack([np.bincount(row, minlength=n_classes) for row in labels]) / n_rows
    observed = np.array([(labels == row).mean(1) for row in labels])
    by_chance = shares @ shares.T
    n_rest = n_members - 1
    return (observed.sum(1) - 1) / n_rest, (by_chance.sum(1) - np.diag(by_chance)) / n_rest


def _unlike_previous(
    current: Mapping[str, str], accuracy: float, previous: PreviousSubmission
) -> str:
    """Compare the answers with the previous ones; two blends agree at least as often as if they
    erred independently.
    """
    common = [name for name in current if name in previous.answers]
    if len(common) < max(len(current), len(previous.answers)):
        return (
            f"ids: {len(common):,} of {len(current):,} are also in {previous.name}, "
            f"which has {len(previous.answers):,}"
        )
    agreement = sum(current[name] == previous.answers[name] for name in common) / len(common)
    counts, previous_counts = Counter(current.values()), Counter(previous.answers.values())
    n_equal_by_chance = sum(n * previous_counts[answer] for answer, n in counts.items())
    chance = n_equal_by_chance / len(common) ** 2
    n_other_answers = max(1, len(counts | previous_counts) - 1)
    same_error = (1 - accuracy) * (1 - previous.accuracy) / n_other_answers
    expected = max(accuracy * previous.accuracy + same_error, chance)
    if agreement >= (expected + chance) / 2 - 1 / math.sqrt(len(common)):
        return ""
    return (
        f"the last submission, {previous.name}, agrees on {percent(agreement, 0)} of the images "
        f"({percent(chance, 0)} by chance): did the class order or the id column change?"
    )
