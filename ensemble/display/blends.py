"""Blends: members, weightings, calibration, paired tests, submissions."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ensemble.blending import Blend, Member
from ensemble.blending.blend import TestScores
from ensemble.display.text import count, escape, interval, out, percent, say, table, warn_suspicious
from ensemble.submission import Submission

if TYPE_CHECKING:
    from ensemble.blending.compare import Difference


def show_blend(blend: Blend) -> None:
    """The group, the members, every weighting side by side, and what the numbers mean."""
    say(group_line(blend))
    _members(blend)
    _weightings(blend)
    _notes(blend)
    _refits(blend)
    _calibration(blend)


def _notes(blend: Blend) -> None:
    """What to know about the chosen weighting and about the scores in the table."""
    weighting = blend.chosen_weighting
    if blend.options.weights == "best":
        say(f"best: {weighting} weights, the simplest within one standard error of the best")
    weights = [member.weight for member in blend.members]
    ratio = max(weights) / min(weights)
    if weighting == "accuracy" and len(weights) > 1 and max(weights) < 1.05 * min(weights):
        say(f"accuracy weights are almost equal: largest / smallest = {ratio:.3f}")
    if blend.missing:
        say(f"not in the table: {blend.missing}")
    before_refits = ", before the refits" if blend.of_refits else ""
    n_chosen = sum(member.run.is_epoch_chosen for member in blend.members)
    say(
        f"cross-fitted on {count(blend.valid.n_rows, 'validation row')}{before_refits}: fitted on "
        "four fifths, scored on the rest, 10 repeats (best: 3 repeats, nested);\n  slightly "
        "pessimistic; intervals include the variance of the weights. "
        f"Members that chose their epoch on these rows: {n_chosen} of {len(blend.members)}"
    )


def _refits(blend: Blend) -> None:
    runs = [member.run for member in blend.members]
    refitted = [run.id for run in runs if run.refit_epochs is not None]
    if blend.of_refits:
        members = count(len(refitted), "member")
        say(f"test predictions: by the refits (train + validation images) of all {members}")
    elif refitted:
        without_refit = next(run.id for run in runs if run.refit_epochs is None)
        unused = ", ".join(refitted)
        say(
            f"test predictions: without refits: {without_refit} has none, "
            f"so the refit of {unused} is not used"
        )


def _members(blend: Blend) -> None:
    unit = "points" if blend.options.metric == "accuracy" else "nats"
    shown = table("", "member", "why")
    for name in ("valid accuracy", "weight", f"contribution, {unit}", "differs from others"):
        shown.add_column(name, justify="right", no_wrap=True)
    threshold, gains = blend.options.min_acc, blend.gains
    for member in blend.members:
        why = member.reason or (f"≥ {percent(threshold)}" if threshold else "every run")
        shown.add_row(
            escape(member.run.id),
            escape(why),
            percent(member.run.scores.accuracy),
            f"{member.weight:.4f}",
            _gain(gains[member.run.id], blend),
            _mean_disagreement(member, blend),
        )
    out.print(shown)
    for run in blend.unused_runs:
        added = f"would have added {_gain(gains[run.id], blend)} {unit}"
        say(f"left out: {run.id} at {percent(run.scores.accuracy)}, {added}")
    if len(blend.members) > 1:
        run_a, run_b = blend.most_similar
        say(
            f"most similar: {run_a} and {run_b} differ on "
            f"{percent(blend.disagreement(run_a, run_b))} of the rows "
            f"and are both wrong on {percent(blend.double_fault(run_a, run_b))}"
        )


def _mean_disagreement(member: Member, blend: Blend) -> str:
    rest = [run_id for run_id in blend.mixture.weights if run_id != member.run.id]
    if not rest:
        return "–"
    shares = [blend.disagreement(member.run.id, run_id) for run_id in rest]
    return percent(sum(shares) / len(shares))


def _gain(gain: float, blend: Blend) -> str:
    if math.isnan(gain):
        return "–"
    scale, digits = (100, 2) if blend.options.metric == "accuracy" else (1, 4)
    return f"{round(scale * gain, digits) + 0.0:+.{digits}f}"  # no -0.00


def _weightings(blend: Blend) -> None:
    is_accuracy = blend.options.metric == "accuracy"
    shown = table("", "weights")
    metric = "accuracy" if is_accuracy else "log loss"
    for name in ("cross-fitted accuracy", "log loss", f"in-sample {metric}", "optimism"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("vs best member", no_wrap=True)
    for rating in blend.table:
        is_chosen = rating.name == blend.options.weights
        optimism = f"{100 * rating.optimism:+.2f}" if is_accuracy else f"{rating.optimism:+.4f}"
        shown.add_row(
            f"[bold]{rating.name} ←[/]" if is_chosen else rating.name,
            interval(rating.accuracy),
            f"{rating.log_loss.value:.4f} ({rating.log_loss.low:.4f}–{rating.log_loss.high:.4f})",
            percent(rating.fitted_accuracy) if is_accuracy else f"{rating.fitted_log_loss:.4f}",
            optimism,
            "" if rating is blend.best else rating.verdict,
        )
    out.print(shown)


def _calibration(blend: Blend) -> None:
    calibrated = blend.calibrated
    calibration, before, after = calibrated.calibration, calibrated.before, calibrated.after
    applied = "applied" if blend.options.calibrate else "not applied; --calibrate applies it"
    say(
        f"calibration: temperature {calibration.temperature:.2f}, "
        f"floor {calibration.floor:g} ({applied}): "
        f"log loss {before.log_loss:.4f} → {after.log_loss:.4f}, "
        f"ECE {percent(before.ece)} → {percent(after.ece)}, "
        f"Brier {before.brier:.4f} → {after.brier:.4f}"
    )


def group_line(blend: Blend) -> str:
    """`9 runs on cifar10, 10,000 rows; 4 on digits left out: --data digits`."""
    group = blend.group
    line = f"{count(len(group.runs), 'run')} on {group.name}, {count(blend.valid.n_rows, 'row')}"
    for name, n_runs in group.left_out.items():
        hint = " (other rows)" if name == group.name else f": --data {name}"
        line += f"; {n_runs} on {name} left out{hint}"
    return line


def show_differences(differences: "Sequence[Difference]") -> None:
    """Paired tests, a line for each pair and metric."""
    rows = count(differences[0].n_rows, "validation row")
    shown = table(f"{rows}, the same for all", "A", "B", "metric")
    for name in ("A − B", "p", "p (Holm)"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("A is", no_wrap=True)
    for difference in differences:
        is_accuracy, value = difference.metric == "accuracy", difference.value
        numbers = [
            f"{100 * x:+.2f}" if is_accuracy else f"{x:+.4f}"
            for x in (value.value, value.low, value.high)
        ]
        shown.add_row(
            escape(difference.first),
            escape(difference.second),
            "accuracy, points" if is_accuracy else "log loss, nats",
            f"{numbers[0]} ({numbers[1]} to {numbers[2]})",
            _p(difference.p),
            _p(difference.adjusted_p),
            difference.verdict.partition(" at ")[0],
        )
    out.print(shown)
    tests = [(difference.test, difference.about) for difference in differences]
    for test, about in dict.fromkeys(tests):
        say(f"{test}: about {about}")
    say(
        "+ means A is better, for log loss too; the verdict follows Holm's p over all pairs of a "
        "metric, the 95 % intervals are not adjusted"
    )


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"


def show_submission(submission: Submission) -> None:
    """Where the CSV is, what is in it, and what to know about it."""
    shape = submission.shape
    say(
        f"{submission.path}: {len(shape.ids):,} rows, {shape.answer}, checked; "
        f"{submission.manifest.name} explains it"
    )
    for row in submission.examples:
        say(f"  {row}")
    for line in submission.notes:
        say(line)
    warn_suspicious(submission.warnings)
    if submission.n_unused:
        say(
            f"{submission.n_unused:,} test images are not in the sample submission "
            "and were left out"
        )
    if submission.unreadable:
        images = count(len(submission.unreadable), "unreadable test image")
        names = ", ".join(submission.unreadable[:5])
        say(f"{images} got the class shares of the training set: {names}")


def sentence(scores: TestScores, noun: str) -> str:
    """The test scores in one line.

    `blend 98.9 % (97.2–99.6) on 360 test digits; best single 98.3 %; not distinguishable at n=360`
    """
    low, high = 100 * scores.accuracy.low, 100 * scores.accuracy.high
    return (
        f"blend {percent(scores.accuracy.value, 1)} ({low:.1f}–{high:.1f}) "
        f"on {scores.n_rows:,} {noun}; "
        f"best single {percent(scores.best_accuracy, 1)}; {scores.verdict}"
    )


def blend_json(blend: Blend, submission: Submission | None) -> dict[str, Any]:
    """The blend as `--json` prints it."""
    return {
        "data": blend.group.name,
        "members": [
            {"run": member.run.id, "weight": member.weight, "reason": member.reason}
            for member in blend.members
        ],
        "options": asdict(blend.options),
        "weighting": blend.chosen_weighting,
        "refits": blend.of_refits,
        "cross_fitted": blend.valid.as_dict(),
        "table": [rating.as_dict() for rating in blend.table],
        "gain": {run: None if math.isnan(gain) else gain for run, gain in blend.gains.items()},
        "disagreement": blend.diversity.disagreement.tolist(),
        "double_fault": blend.diversity.double_fault.tolist(),
        "calibration": asdict(blend.calibrated),
        "test": asdict(blend.test) if blend.test else None,
        "submission": str(submission.path) if submission else None,
        "answer": submission.shape.answer if submission else None,
        "rows": list(submission.examples) if submission else [],
        "notes": list(submission.notes) if submission else [],
        "warnings": list(submission.warnings) if submission else [],
    }
