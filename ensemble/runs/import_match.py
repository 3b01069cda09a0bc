"""Predictions of other tools beside those of runs: the same rows, classes and truth, by name."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ensemble.dataset.class_columns import matched_columns
from ensemble.dataset.match import WITHOUT_ZEROS, Names, loosest_form
from ensemble.errors import MismatchError
from ensemble.predictions import Array, Predictions, some
from ensemble.runs.grades import rows_as
from ensemble.targets import IN_WORDS, by_column


def matched(
    path: Path, predictions: Predictions, reference: Predictions, tell: Callable[[str], object]
) -> Predictions:
    """Predictions in the reference's order of ids and classes. Raises MismatchError.

    Grades may be classes in one of them and numbers in the other.
    """
    reference = rows_as(reference, predictions)
    if predictions.target != reference.target:
        raise MismatchError(
            f"{path}: is about {IN_WORDS[predictions.target]}, "
            f"the runs with these rows are about {IN_WORDS[reference.target]}\n"
            f"add --target {reference.target}, if its columns are those"
        )
    predictions = with_classes(path, predictions, reference.classes, tell)
    rows, rule = rows_of(path, predictions.ids, reference.ids)
    if rule:
        example = f"{str(predictions.ids[rows[0]])[:60]!r} is {str(reference.ids[0])[:60]!r}"
        tell(f"{path.name}: ids are matched {rule}: {example}")
    columns = [predictions.classes.index(name) for name in reference.classes]
    if predictions.targets is not None and reference.targets is not None:
        order = np.array(columns)
        targets = by_column(predictions.target, predictions.targets[rows], order)
        _check_targets(path, targets, reference)
    probs = predictions.probs[rows][:, columns]
    groups = reference.groups
    if groups is None and predictions.groups is not None:
        groups = predictions.groups[rows]
    return replace(reference, probs=probs, groups=groups)


def _check_targets(path: Path, targets: Array, reference: Predictions) -> None:
    """Check that targets are those of the reference. Raises MismatchError."""
    differs = ~np.isclose(targets, reference.known_targets, rtol=1e-6, atol=0)
    wrong = np.flatnonzero(differs.reshape(len(targets), -1).any(1))
    if len(wrong):
        truths = {"class": "classes", "labels": "labels", "number": "values"}
        raise MismatchError(
            f"{path}: {len(wrong)} true {truths[reference.target]} differ from the runs', the first: "
            f"{str(reference.ids[wrong[0]])!r}"
        )


def with_classes(
    path: Path,
    predictions: Predictions,
    classes: Sequence[str],
    tell: Callable[[str], object],
) -> Predictions:
    """The same predictions, with their classes spelled as these. Raises MismatchError.

    A column of values may have any name.
    """
    if predictions.target == "number":
        return replace(predictions, classes=tuple(classes))
    matched = matched_columns(predictions.classes, classes)
    if matched is None:
        missing = set(classes) - set(predictions.classes)
        extra = set(predictions.classes) - set(classes)
        advice = f"name its columns as the classes are: {', '.join(sorted(classes))[:200]}"
        raise MismatchError(
            f"{path}: its classes differ: missing {some(missing, 40)}; "
            f"unknown {some(extra, 40)}\n"
            f"{advice if missing else 'leave out columns that are no class'}"
        )
    others = [pair for pair in zip(predictions.classes, matched, strict=True) if pair[0] != pair[1]]
    if others:
        tell(f"{path.name}: the column {others[0][0][:60]!r} is the class {others[0][1][:60]!r}")
    return replace(predictions, classes=matched)


def rows_of(path: Path, ids: Array, reference_ids: Array) -> tuple[Array, str]:
    """The row of each reference id, and the loose rule by which all ids match, or "".

    Ids are matched as in ensemble/dataset/match.py, but that lost zeros are refused: ids that count
    could also be positions. Raises MismatchError.
    """
    match = Names(reference_ids.tolist()).match(ids.tolist())
    row_of = {found[0]: row for row, found in enumerate(match.positions) if len(found) == 1}
    is_one_to_one = len(row_of) == len(ids) == len(reference_ids)
    if is_one_to_one and match.rule != WITHOUT_ZEROS:
        return np.array([row_of[position] for position in range(len(ids))]), match.rule
    if is_one_to_one:
        raise MismatchError(
            f"{path}: its ids look like the runs' without leading zeros, such as "
            f"{str(ids[0])[:40]!r}: read and write ids as text"
        )
    missing = [str(name) for i, name in enumerate(reference_ids) if i not in row_of]
    fitted = set(row_of.values())
    extra = [str(name) for row, name in enumerate(ids) if row not in fitted]
    alike = set(map(loosest_form, missing)) & set(map(loosest_form, extra))
    hint = "\nthey look like numbers without leading zeros: read and write ids as text"
    raise MismatchError(
        f"{path}: {len(ids):,} rows, the runs have {len(reference_ids):,}: missing {some(missing, 40)}; "
        f"unknown {some(extra, 40)}{hint if any(map(str.isdecimal, alike)) else ''}"
    )


def overlap(ids: Array, reference_ids: Array) -> float:
    """The share of the reference's ids among these, ignoring folders, suffixes and leading zeros."""
    forms = set(map(loosest_form, ids.tolist()))
    return float(np.mean([loosest_form(name) in forms for name in reference_ids.tolist()]))
