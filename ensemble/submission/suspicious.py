"""What smells wrong about a submission, though its format is right: a permuted class order, rows under other ids.

Three looks, none of which needs a label of the test set: the class shares against those of the training images, the
members among each other, and the last submission. Each limit allows for what the validation rows show and for chance.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ensemble.blending.mixture import Mixture
from ensemble.metrics import predicted
from ensemble.predictions import Array, Predictions, aligned
from ensemble.runs import Run
from ensemble.submission.ledger import Ledger, answers

SHIFT = (
    0.05  # a test set whose classes differ by this much from the training set's is nothing special
)


@dataclass(frozen=True)
class Last:
    """The last submission: its name, what it says of each id, and its cross-fitted accuracy."""

    name: str
    said: Mapping[str, str]
    accuracy: float


def last_submission(folder: Path, **which: str) -> Last | None:
    """The newest submission of a competition, or about a data set, that the ledger knows and that is still here."""
    ledger = Ledger(folder)
    entry = ledger.last(**which)
    if entry is None:
        return None
    return Last(
        entry.file, answers((folder / entry.file).read_text(encoding="utf-8")), entry.accuracy
    )


def smells(
    runs: Mapping[str, Run],
    mixture: Mixture,
    predictions: Predictions,
    text: str,
    accuracy: float,
    last: Last | None,
) -> list[str]:
    """Warnings about a blend's CSV, in words; text is the CSV and accuracy its cross-fitted one."""
    found = [
        _shares(runs, mixture.of_valid(runs), predictions),
        _strangers({name: runs[name] for name in mixture.weights}, mixture.of_refits),
        _beside_last(answers(text), accuracy, last) if last else "",
    ]
    return [warning for warning in found if warning]


def _shares(runs: Mapping[str, Run], valid: Predictions, test: Predictions) -> str:
    """The classes that the blend sees in the test set against the training images', and what it sees in validation."""
    one = next(iter(runs.values()))
    by_name = dict(zip(one.classes, one.class_shares().tolist(), strict=True))
    trained = np.array([by_name[name] for name in test.classes])
    seen, usual = test.probs.mean(0), valid.probs.mean(0)
    chance = (
        0.8 * np.sqrt(trained * (1 - trained) / len(test.ids)).sum()
    )  # twice the mean distance of a sample
    limit = SHIFT + chance
    if (
        min(_distance(seen, trained), _distance(seen, usual)) <= limit
    ):  # a weak blend evens out the shares
        return ""
    worst = int(np.abs(seen - trained).argmax())
    sorted_alike = (
        min(_distance(np.sort(seen), np.sort(other)) for other in (trained, usual)) <= limit
    )
    order = " (as if the classes stood in another order)" if sorted_alike else ""
    return (
        f"class shares{order}: {100 * seen[worst]:.0f} % of the test images are said to be {test.classes[worst]}, "
        f"{100 * trained[worst]:.0f} % of the training images are"
    )


def _distance(one: Array, other: Array) -> float:
    """Total variation: the share that would have to change its class."""
    return float(np.abs(one - other).sum() / 2)


def _strangers(runs: Mapping[str, Run], of_refits: bool) -> str:
    """A member that agrees with the others on the validation rows, and hardly on the test rows."""
    if len(runs) < 2:
        return ""
    names = sorted(runs)
    valid = _labels({name: runs[name].valid for name in names})
    test = _labels(
        {name: runs[name].test_refit if of_refits else runs[name].test for name in names}
    )
    usual, chance = _agreement(valid)
    agree, chance = _agreement(test)
    drop = agree - ((usual + chance) / 2 - 1 / math.sqrt(test.shape[1]))
    worst = int(drop.argmin())
    if drop[worst] >= 0:
        return ""
    who = names[worst] if len(names) > 2 else " or ".join(names)
    return (
        f"{who}: agrees with the other members on {100 * agree[worst]:.0f} % of the test rows, "
        f"on {100 * usual[worst]:.0f} % of the validation rows: are its test rows or classes in another order?"
    )


def _labels(members: Mapping[str, Callable[[], Predictions]]) -> Array:
    """(members, rows): the class that each member names."""
    return np.stack([predicted(one.probs) for one in aligned(members)])


def _agreement(labels: Array) -> tuple[Array, Array]:
    """Each member's mean share of rows on which another agrees, and what chance would give, (members,)."""
    n, n_rows = labels.shape
    shares = np.stack([np.bincount(own, minlength=labels.max() + 1) for own in labels]) / n_rows
    same = np.array([(labels == own).mean(1) for own in labels])
    by_chance = shares @ shares.T
    return (same.sum(1) - 1) / (n - 1), (by_chance.sum(1) - np.diag(by_chance)) / (n - 1)


def _beside_last(said: Mapping[str, str], accuracy: float, last: Last) -> str:
    """What the last submission said of the same ids; two agree at least as often as if they erred independently."""
    common = [name for name in said if name in last.said]
    if len(common) < max(len(said), len(last.said)):
        return f"ids: {len(common):,} of {len(said):,} are also in {last.name}, which has {len(last.said):,}"
    agreement = sum(said[name] == last.said[name] for name in common) / len(common)
    mine, others = Counter(said.values()), Counter(last.said.values())
    chance = sum(n * others[value] for value, n in mine.items()) / len(common) ** 2
    wrong_alike = (1 - accuracy) * (1 - last.accuracy) / max(1, len(mine | others) - 1)
    expected = max(accuracy * last.accuracy + wrong_alike, chance)
    if agreement >= (expected + chance) / 2 - 1 / math.sqrt(len(common)):
        return ""
    return (
        f"the last submission, {last.name}, says the same of {100 * agreement:.0f} % of the images, chance alone of "
        f"{100 * chance:.0f} %: is the class order or the id column another one?"
    )
