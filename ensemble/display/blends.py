"""Blends: members, weightings, calibration, submissions."""

from pathlib import Path

from ensemble.blending import Blend, Member
from ensemble.blending.rating import Rating
from ensemble.blending.test_set import TestScores
from ensemble.display.text import count, escape, out, percent, say, table, warn_suspicious
from ensemble.metrics.decision import PLAIN, is_plain
from ensemble.numbers import difference, in_metric, interval_in_metric, metric_in_words, unit
from ensemble.submission import Submission


def show_blend(blend: Blend) -> None:
    """The group, the members, every weighting side by side, and what the numbers mean."""
    say(group_line(blend))
    _members(blend)
    _weightings(blend)
    _notes(blend)
    _refits(blend)
    _calibration(blend)
    _decision(blend)
    _verdict_on_weights(blend)


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
    if blend.metric_note:
        say(blend.metric_note)
    if blend.valid.too_few:
        say(f"too few rows for an interval of {blend.valid.metric}: {blend.valid.too_few}")
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
    metric, gains = blend.valid.metric, blend.gains
    is_class = blend.target == "class"
    has_column = not is_class or metric not in ("accuracy", "log_loss")
    scores = [f"valid {metric}"] if has_column else []
    scores += ["valid accuracy"] if is_class else []
    numbers = (*scores, "weight", f"contribution, {unit(metric)}", "differs from others")
    shown = table("", "member", "why", numbers=numbers)
    for member in blend.members:
        by_metric = in_metric(blend.run_scores[member.run.id], metric)
        shown.add_row(
            escape(member.run.id),
            escape(blend.reason_of(member)),
            *([by_metric] if has_column else []),
            *([percent(member.run.scores.accuracy)] if is_class else []),
            f"{member.weight:.4f}",
            difference(gains[member.run.id], metric),
            _mean_disagreement(member, blend),
        )
    out.print(shown)
    for run in blend.unused_runs:
        added = f"would have added {difference(gains[run.id], metric)} {unit(metric)}"
        by_metric = f"{metric} {in_metric(blend.run_scores[run.id], metric)}"
        levels = [by_metric] if has_column else []
        levels += [percent(run.scores.accuracy)] if is_class else []
        say(f"left out: {run.id} at {', '.join(levels)}, {added}")
    if len(blend.members) > 1:
        _most_similar(blend)


def _most_similar(blend: Blend) -> None:
    run_a, run_b = blend.most_similar
    differing = _difference_of(blend, blend.disagreement(run_a, run_b))
    both_wrong = blend.double_fault(run_a, run_b)
    if both_wrong is None:
        by = f"by {differing} (root of the mean squared difference)"
        say(f"most similar: {run_a} and {run_b} differ {by}")
        return
    noun = "rows" if blend.target == "class" else "labels of all rows"
    say(
        f"most similar: {run_a} and {run_b} differ on {differing} of the {noun} "
        f"and are both wrong on {percent(both_wrong)}"
    )


def _difference_of(blend: Blend, disagreement: float) -> str:
    """A share of rows or labels, or how far values are apart."""
    return f"{disagreement:.4g}" if blend.target == "number" else percent(disagreement)


def _mean_disagreement(member: Member, blend: Blend) -> str:
    rest = [run_id for run_id in blend.mixture.weights if run_id != member.run.id]
    if not rest:
        return "–"
    shares = [blend.disagreement(member.run.id, run_id) for run_id in rest]
    return _difference_of(blend, sum(shares) / len(shares))


def _weightings(blend: Blend) -> None:
    metric = blend.valid.metric
    name_of_metric = metric_in_words(metric)
    of_classes = ("accuracy", "log_loss") if blend.target == "class" else ()
    beside = [name for name in of_classes if name != metric]
    columns = [f"cross-fitted {name_of_metric}", *map(metric_in_words, beside)]
    numbers = (*columns, f"in-sample {name_of_metric}", "optimism")
    shown = table("", "weights", numbers=numbers)
    shown.add_column("vs best member", no_wrap=True)
    for rating in blend.table:
        is_chosen = rating.name == blend.options.weights
        shown.add_row(
            f"[bold]{rating.name} ←[/]" if is_chosen else rating.name,
            interval_in_metric(rating.score, metric),
            *(_beside(rating, name, has_interval=len(beside) == 1) for name in beside),
            in_metric(rating.fitted_score, metric),
            difference(rating.optimism, metric),
            "" if rating is blend.best else rating.verdict,
        )
    out.print(shown)


def _beside(rating: Rating, metric: str, has_interval: bool) -> str:
    """Accuracy or log loss beside the metric; without its interval where both are shown."""
    score = rating.accuracy if metric == "accuracy" else rating.log_loss
    assert score is not None  # rows of one class each have both
    return interval_in_metric(score, metric) if has_interval else in_metric(score.value, metric)


def _calibration(blend: Blend) -> None:
    calibrated = blend.calibrated
    if calibrated is None:
        also = "; accuracy and log loss are those of the mean of probabilities"
        if blend.options.is_rank:
            say(f"ranks are averaged{also if blend.target == 'class' else ''}")
        return
    calibration, before, after = calibrated.calibration, calibrated.before, calibrated.after
    losses = f"log loss {before.log_loss:.4f} → {after.log_loss:.4f} in the first repeat"
    if not calibrated.helps:
        say(f"calibration: not applied, it does not lower the cross-fitted log loss: {losses}")
        return
    applied = "applied" if blend.options.calibrate else "not applied; --calibrate applies it"
    say(
        f"calibration: temperature {calibration.temperature:.2f}, "
        f"floor {calibration.floor:g} ({applied}): {losses}, "
        f"ECE {percent(before.ece)} → {percent(after.ece)} "
        f"(on so few rows a true confidence shows {percent(after.ece_noise)}), "
        f"Brier {before.brier:.4f} → {after.brier:.4f}"
    )


def _verdict_on_weights(blend: Blend) -> None:
    """A warning if the weights are worse than the best member, and a better weighting."""
    metric, valid = blend.valid.metric, blend.valid
    if valid.verdict.startswith("worse"):
        lead = valid.difference
        ends = f"{difference(lead.low, metric)} to {difference(lead.high, metric)}"
        out.print(
            f"[bold red]warning:[/] {valid.name} weights are worse than the best member alone: "
            f"{difference(lead.value, metric)} {unit(metric)} ({ends})",
            soft_wrap=True,
        )
    if blend.favored:
        say(
            f"the table favors {blend.favored} weights: "
            f"{difference(blend.favored_gain, metric)} {unit(metric)} cross-fitted, beyond one "
            f"standard error of the paired difference: --weights {blend.favored}"
        )


def _decision(blend: Blend) -> None:
    """How the blend answers, where the metric reads decisions and they may be learned."""
    decision = blend.mixture.decision
    if not blend.is_decision_learned:
        return
    if is_plain(decision, blend.target):
        gains = "a learned decision gains less than one standard error"
        say(f"decision: {decision.words}; {gains}")
    else:
        say(
            f"decision: {escape(decision.words)}; learned with the weights, without the scored rows"
        )


def group_line(blend: Blend) -> str:
    """`9 runs on cifar10, 10,000 rows; 4 on digits left out: --data digits`."""
    group = blend.group
    line = f"{count(len(group.runs), 'run')} on {group.name}, {count(blend.valid.n_rows, 'row')}"
    for name, n_runs in group.left_out.items():
        hint = " (other rows)" if name == group.name else f": --data {name}"
        line += f"; {n_runs} on {name} left out{hint}"
    if group.n_graded:
        line += f"; {group.n_graded} on classes as expected grades (a PATTERN leaves them out)"
    return line


def show_submission(submission: Submission) -> None:
    """Where the CSV is, what is in it, and what to know about it."""
    shape = submission.shape
    say(
        f"{submission.path}: {len(shape.ids):,} rows, {shape.answer}, checked; "
        f"{submission.manifest.name} explains it"
    )
    if submission.is_decision_unused:
        say(
            "the CSV asks for probabilities, which the decision does not change; "
            f"--decision plain scores {PLAIN[shape.target].words}"
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


def show_kept(manifest: Path) -> None:
    """Where a blend without test images is, and why there is no CSV."""
    say(
        f"{manifest} keeps the blend for new images; no submission, because the runs have no "
        "test set: set data.test in the recipes"
    )


def sentence(scores: TestScores, noun: str) -> str:
    """The test scores in one line.

    `blend 98.9 % (97.2–99.6) on 360 test digits; best single 98.3 %; not distinguishable at n=360`
    """
    if scores.metric != "accuracy" or scores.accuracy is None:
        return (
            f"blend {scores.metric} {interval_in_metric(scores.score, scores.metric)} "
            f"on {scores.n_rows:,} {noun}; "
            f"best single {in_metric(scores.best_score, scores.metric)}; {scores.verdict}"
        )
    low, high = 100 * scores.accuracy.low, 100 * scores.accuracy.high
    return (
        f"blend {percent(scores.accuracy.value, 1)} ({low:.1f}–{high:.1f}) "
        f"on {scores.n_rows:,} {noun}; "
        f"best single {percent(scores.best_accuracy, 1)}; {scores.verdict}"
    )
