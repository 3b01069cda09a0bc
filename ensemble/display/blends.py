"""Blends: members, weightings, calibration, paired tests, submissions."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ensemble.blending import Blend
from ensemble.blending.blend import TestScores
from ensemble.display.text import count, escape, interval, out, percent, say, table, warn_suspicious
from ensemble.submission import Submission

if TYPE_CHECKING:
    from ensemble.blending.compare import Difference


def show_blend(blend: Blend) -> None:
    """Which group, the members with their weights, every weighting side by side, and what the numbers mean."""
    say(group_line(blend))
    _members(blend)
    _weightings(blend)
    valid, options = blend.valid, blend.options
    if options.weights == "best":
        say(f"best: {blend.learnt_by} weights, the simplest within one standard error of the best")
    weights = [member.weight for member in blend.members]
    if blend.learnt_by == "accuracy" and len(weights) > 1 and max(weights) < 1.05 * min(weights):
        say(
            f"accuracy weights are almost equal weights: largest / smallest = {max(weights) / min(weights):.3f}"
        )
    if blend.missing:
        say(f"not in the table: {blend.missing}")
    of_first = ", of the first fits" if blend.of_refits else ""
    kept = sum(member.run.is_epoch_chosen for member in blend.members)
    say(
        f"cross-fitted on {count(valid.n_rows, 'validation row')}{of_first}: learnt on four fifths, "
        "scored on the rest, 10 times over (best: 3 times, nested);\n  slightly pessimistic; intervals know the "
        "weights' own variance. "
        f"Epoch chosen on these rows: {kept} of {len(blend.members)}"
    )
    _refits(blend)
    _calibration(blend)


def _refits(blend: Blend) -> None:
    refitted = [member.run.id for member in blend.members if member.run.refit_epochs is not None]
    if blend.of_refits:
        say(
            f"test predictions: the refits (train + validation images) of all {count(len(refitted), 'member')}"
        )
    elif refitted:
        without = next(member.run.id for member in blend.members if member.run.refit_epochs is None)
        say(
            f"test predictions: the first fits; {without} has no refit, so that of {', '.join(refitted)} is not used"
        )


def _members(blend: Blend) -> None:
    unit = "points" if blend.options.metric == "accuracy" else "nats"
    shown = table("", "member", "why")
    for name in ("valid accuracy", "weight", f"loses without it, {unit}", "differs from others"):
        shown.add_column(name, justify="right", no_wrap=True)
    threshold, gains = blend.options.min_acc, blend.gains
    for member in blend.members:
        why = member.reason or (f"≥ {percent(threshold)}" if threshold else "every run")
        others = [
            blend.disagreement(member.run.id, other.run.id)
            for other in blend.members
            if other is not member
        ]
        shown.add_row(
            escape(member.run.id),
            escape(why),
            percent(member.run.scores.accuracy),
            f"{member.weight:.4f}",
            _gain(gains[member.run.id], blend),
            percent(sum(others) / len(others)) if others else "–",
        )
    out.print(shown)
    for run in blend.passed_over:
        added = f"would have added {_gain(gains[run.id], blend)} {unit}"
        say(f"left out: {run.id} at {percent(run.scores.accuracy)}, {added}")
    if len(blend.members) > 1:
        one, other = blend.most_alike
        say(
            f"most alike: {one} and {other}, who differ on {percent(blend.disagreement(one, other))} "
            f"and are both wrong on {percent(blend.double_fault(one, other))}"
        )


def _gain(value: float, blend: Blend) -> str:
    if value != value:
        return "–"
    scale, digits = (100, 2) if blend.options.metric == "accuracy" else (1, 4)
    return f"{round(scale * value, digits) + 0.0:+.{digits}f}"  # no -0.00


def _weightings(blend: Blend) -> None:
    is_accuracy = blend.options.metric == "accuracy"
    shown = table("", "weights")
    fitted = "accuracy" if is_accuracy else "log loss"
    for name in (
        "cross-fitted accuracy",
        "log loss",
        f"fitted {fitted}",
        "optimism",
        "beside the best member",
    ):
        shown.add_column(
            name, justify="left" if name.startswith("beside") else "right", no_wrap=True
        )
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
    found = blend.calibrated
    one, before, after = found.calibration, found.before, found.after
    applied = "applied" if blend.options.calibrate else "not applied: --calibrate"
    say(
        f"calibration: temperature {one.temperature:.2f}, floor {one.floor:g} ({applied}): "
        f"log loss {before.log_loss:.4f} → {after.log_loss:.4f}, "
        f"ECE {percent(before.ece)} → {percent(after.ece)}, "
        f"Brier {before.brier:.4f} → {after.brier:.4f}"
    )


def group_line(blend: Blend) -> str:
    """`9 runs on cifar10, 10,000 rows; 4 on digits left out: --data digits`."""
    group = blend.group
    line = f"{count(len(group.runs), 'run')} on {group.name}, {count(blend.valid.n_rows, 'row')}"
    for name, n_runs in group.left_out.items():
        line += f"; {n_runs} on {name} left out" + (
            f": --data {name}" if name != group.name else " (other rows)"
        )
    return line


def show_differences(found: "Sequence[Difference]") -> None:
    """Paired tests, a line for each pair and metric."""
    shown = table(
        f"{count(found[0].n_rows, 'validation row')}, the same for all", "first", "second"
    )
    for name in ("metric", "first less second", "p", "p (Holm)"):
        shown.add_column(name, justify="left" if name == "metric" else "right", no_wrap=True)
    shown.add_column("the first is", no_wrap=True)
    for one in found:
        is_accuracy, value = one.metric == "accuracy", one.value
        numbers = [
            f"{100 * x:+.2f}" if is_accuracy else f"{x:+.4f}"
            for x in (value.value, value.low, value.high)
        ]
        shown.add_row(
            escape(one.first),
            escape(one.second),
            "accuracy, points" if is_accuracy else "log loss, nats",
            f"{numbers[0]} ({numbers[1]} to {numbers[2]})",
            _p(one.p),
            _p(one.adjusted_p),
            one.verdict.partition(" at ")[0],
        )
    out.print(shown)
    for test, about in dict.fromkeys((one.test, one.about) for one in found):
        say(f"{test}: about {about}")
    say(
        "+ is better, for log loss too; the verdict follows Holm's p over all pairs of a metric, "
        "the 95 % intervals are not adjusted"
    )


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def show_submission(submission: Submission) -> None:
    """Where the CSV is, what is in it, and what a reader should know about it."""
    shape = submission.shape
    say(
        f"{submission.path}: {len(shape.ids):,} rows, {shape.kind}, checked; {submission.manifest.name} explains it"
    )
    warn_suspicious(submission.warnings)
    if submission.n_unused:
        say(
            f"{submission.n_unused:,} test images are not in the sample submission and were left out"
        )
    if submission.unreadable:
        images = count(len(submission.unreadable), "unreadable test image")
        say(
            f"{images} got the class shares of the training set: {', '.join(submission.unreadable[:5])}"
        )


def sentence(scores: TestScores, noun: str) -> str:
    """`blend 98.9 % (97.2–99.6) on 360 test digits; best single 98.3 %; not distinguishable at n=360`."""
    low, high = 100 * scores.accuracy.low, 100 * scores.accuracy.high
    return (
        f"blend {percent(scores.accuracy.value, 1)} ({low:.1f}–{high:.1f}) on {scores.n_rows:,} {noun}; "
        f"best single {percent(scores.best_accuracy, 1)}; {scores.verdict}"
    )


def blend_json(blend: Blend, submission: Submission | None) -> dict[str, Any]:
    """The blend as `--json` prints it."""
    return {
        "data": blend.group.name,
        "members": [
            {"run": m.run.id, "weight": m.weight, "reason": m.reason} for m in blend.members
        ],
        "options": asdict(blend.options),
        "weighting": blend.learnt_by,
        "refits": blend.of_refits,
        "cross_fitted": blend.valid.as_dict(),
        "table": [rating.as_dict() for rating in blend.table],
        "gain": {name: None if gain != gain else gain for name, gain in blend.gains.items()},
        "disagreement": blend.diversity.disagreement.tolist(),
        "double_fault": blend.diversity.double_fault.tolist(),
        "calibration": asdict(blend.calibrated),
        "test": asdict(blend.test) if blend.test else None,
        "submission": str(submission.path) if submission else None,
        "warnings": list(submission.warnings) if submission else [],
    }
