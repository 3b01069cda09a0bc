"""Predictions of any images, submissions and what became of them."""

from collections.abc import Sequence

from ensemble.display.text import count, escape, out, percent, say, table, warn_smells
from ensemble.inference import Predicted
from ensemble.submission.ledger import COMPLETE, FAILED, Entry, Pick
from ensemble.submission.send import Quota
from ensemble.submission.verify import Verified


def show_before(checked: Verified, entry: Entry, quota: Quota, warnings: Sequence[str]) -> None:
    """What will be sent where, what is left of the quota, and what smells wrong."""
    shape = checked.shape
    by = count(entry.members, "member")
    say(f"{checked.path}: {len(shape.ids):,} rows, {shape.kind}, the same bytes again from {by}")
    say(f"to {entry.competition}, as {entry.message!r}")
    if quota.n_left is None:
        say("quota: Kaggle tells none before a team's first submission")
    else:
        rest = "in this competition" if quota.of_total else "today"
        say(f"quota: {count(quota.n_today, 'submission')} made today, {quota.n_left} left {rest}")
    warn_smells(warnings)


def show_score(entry: Entry) -> None:
    """What became of one upload, beside its cross-fitted score."""
    if entry.status == COMPLETE:
        say(f"{entry.file}: public score {entry.public}, cross-fitted {_score(entry)}")
    elif entry.status != FAILED:  # a failure is the command's error
        say(f"{entry.file}: no score yet; the same `ens submit` asks again and sends nothing twice")


def show_ledger(slug: str, entries: Sequence[Entry], picks: Sequence[Pick]) -> None:
    """All uploads to a competition, the newest last, and two to choose in the end."""
    shown = table(f"{slug}: {count(len(entries), 'submission')}", "submitted", "file")
    for name in ("cross-fitted (95 % interval)", "public", "private"):
        shown.add_column(name, justify="right", no_wrap=True)
    for one in entries:
        public = one.public if one.status == COMPLETE else one.status
        cells = (one.submitted[:16].replace("T", " "), one.file, _score(one), public, one.private)
        shown.add_row(*map(escape, cells))
    out.print(shown)
    for place, pick in zip(("first", "second"), picks, strict=False):
        say(f"{place} final pick: {pick.entry.file}: {pick.reason}")
    if len(picks) == 1:
        say("no second pick: no other submission is inside its interval")


def _score(entry: Entry) -> str:
    value = entry.score(entry.metric)
    if entry.metric == "accuracy":
        return f"accuracy {percent(value.value)} ({100 * value.low:.2f}–{100 * value.high:.2f})"
    return f"log loss {value.value:.4f} ({value.low:.4f}–{value.high:.4f})"


def show_predicted(predicted: Predicted, members: Sequence[str]) -> None:
    """Where the CSV is, by whom, and which images nobody could read."""
    by = members[0] if len(members) == 1 else f"a blend of {len(members)} runs"
    networks = f" ({count(predicted.n_networks, 'network')})" if predicted.n_networks > 1 else ""
    columns = ", ".join(predicted.columns[:6]) + (", …" if len(predicted.columns) > 6 else "")
    say(
        f"{predicted.path}: {count(predicted.n_images, 'image')} by {by}{networks}; columns {columns}"
    )
    if predicted.unreadable:
        images = count(len(predicted.unreadable), "unreadable image")
        say(
            f"{images} got the class shares of the training set; {predicted.unreadable_path} lists them all:"
        )
        for name, reason in list(predicted.unreadable.items())[:5]:
            say(f"  {name}: {reason}")
