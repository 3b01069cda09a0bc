"""How often an honest submission looks suspicious, and a wrong one: python bench/suspicious.py

Made-up test sets of four classes, even or skewed, three members of one accuracy, and an honest
previous submission. Wrong: all members' classes in another order, all rows under other ids, or one
member's classes in another order.
"""

import csv
import io
from dataclasses import dataclass

import numpy as np

from ensemble.blending.mixture import Mixture
from ensemble.predictions import Array, Predictions
from ensemble.submission.choices import PROBABILITIES
from ensemble.submission.csv_answers import answers
from ensemble.submission.suspicious import PreviousSubmission, suspicions

CLASSES, N_WORLDS = ("a", "b", "c", "d"), 200
SHARES = {"even": (0.25,) * 4, "skewed": (0.5, 0.25, 0.15, 0.1)}


@dataclass
class Member:
    """The part of a run that the checks need."""

    counts: Array
    predictions: dict[str, Predictions]
    classes: tuple[str, ...] = CLASSES

    def prior(self) -> Array:
        """The shares of the training images by class."""
        return self.counts

    def valid(self) -> Predictions:
        """Its predictions of the validation rows."""
        return self.predictions["v"]

    def test(self) -> Predictions:
        """Its predictions of the test rows."""
        return self.predictions["t"]


def guesses(
    rng: np.random.Generator, targets: Array, accuracy: float, split: str, has_targets: bool
) -> Predictions:
    labels = np.where(
        rng.random(len(targets)) < (accuracy - 0.25) / 0.75,
        targets,
        rng.integers(0, 4, len(targets)),
    )
    probs = rng.dirichlet(np.ones(4), len(targets))
    probs[np.arange(len(targets)), labels] += 1
    ids = np.array([f"{split}{i:05d}" for i in range(len(targets))])
    return Predictions(ids, CLASSES, probs / 2, targets if has_targets else None)


def world(
    rng: np.random.Generator, shares: tuple[float, ...], accuracy: float, n: int
) -> dict[str, Member]:
    truth = {"v": rng.choice(4, 1_000, p=shares), "t": rng.choice(4, n, p=shares)}
    return {
        f"m{i}": Member(
            np.array(shares), {p: guesses(rng, truth[p], accuracy, p, p == "v") for p in truth}
        )
        for i in range(6)
    }


def permuted(member: Member) -> Member:
    test = member.test()
    return Member(
        member.counts,
        member.predictions | {"t": Predictions(test.ids, ("b", "c", "d", "a"), test.probs)},
    )


def shuffled(member: Member) -> Member:
    test = member.test()
    ids = np.random.default_rng(0).permutation(test.ids)
    return Member(member.counts, member.predictions | {"t": Predictions(ids, CLASSES, test.probs)})


def text_of(test: Predictions) -> str:
    out = io.StringIO()
    rows = zip(test.ids.tolist(), *test.probs.T.tolist(), strict=True)
    csv.writer(out).writerows([("id", *test.classes), *rows])
    return out.getvalue()


def is_suspicious(
    members: dict[str, Member], accuracy: float, previous: PreviousSubmission | None
) -> bool:
    mixture = Mixture(dict.fromkeys(members, 1 / len(members)), False, None)
    test = mixture.of({name: member.test for name, member in members.items()}, {})
    return bool(
        suspicions(members, mixture, test, text_of(test), PROBABILITIES, accuracy, previous)
    )


def main() -> None:
    print(
        "shares  accuracy  test rows  honest  classes (first, later)  ids (first, later)  one member"
    )
    for name, shares in SHARES.items():
        for accuracy in (0.3, 0.5, 0.9):
            for n in (50, 1_000):
                n_warned = np.zeros(6)
                for seed in range(N_WORLDS):
                    rng = np.random.default_rng(seed)
                    members = world(rng, shares, accuracy, n)
                    current = dict(list(members.items())[:3])
                    earlier = dict(list(members.items())[3:])
                    mixture = Mixture(dict.fromkeys(earlier, 1 / 3), False, None)
                    test = mixture.of({key: member.test for key, member in earlier.items()}, {})
                    previous = PreviousSubmission("last.csv", answers(text_of(test)), accuracy)
                    wrong = [
                        {key: change(member) for key, member in current.items()}
                        for change in (permuted, shuffled)
                    ]
                    one_wrong = current | {"m1": permuted(current["m1"])}
                    cases = [
                        (current, previous),
                        (wrong[0], None),
                        (wrong[0], previous),
                        (wrong[1], None),
                        (wrong[1], previous),
                    ]
                    n_warned += [
                        is_suspicious(blend, accuracy, reference)
                        for blend, reference in [*cases, (one_wrong, None)]
                    ]
                shown = "  ".join(f"{100 * share:5.1f} %" for share in n_warned / N_WORLDS)
                print(f"{name:6}  {accuracy:8}  {n:9,}  {shown}")


if __name__ == "__main__":
    main()
