"""Show submissions, their scores, and predictions of any images."""

from collections.abc import Sequence
from typing import Any

from ensemble.display.text import count, escape, out, say, table, warn_suspicious
from ensemble.inference import Predicted
from ensemble.kaggle import Quota
from ensemble.numbers import interval_in_metric, metric_in_words
from ensemble.submission.ledger import COMPLETE, FAILED, Entry
from ensemble.submission.picks import Pick
from ensemble.submission.verify import Verified


def show_before_sending(
    verified: Verified, entry: Entry, quota: Quota, warnings: Sequence[str]
) -> None:
    """What will be sent where, what is left of the quota, and what looks suspicious."""
    shape = verified.shape
    members = count(entry.members, "member")
    rows = f"{len(shape.ids):,} rows, {shape.answer}"
    say(f"{verified.path}: {rows}, same bytes when computed again from {members}")
    say(f"competition {entry.competition}, message {entry.message!r}")
    if quota.n_left is None:
        say("quota: unknown; Kaggle shows none before a team's first submission")
    else:
        submissions = count(quota.n_today, "submission")
        period = "in this competition" if quota.is_total else "today"
        say(f"quota: {submissions} made today, {quota.n_left} left {period}")
    warn_suspicious(warnings)


def show_score(entry: Entry) -> None:
    """The public score of an upload next to its cross-fitted score."""
    if entry.status == COMPLETE:
        say(f"{entry.file}: public score {entry.public}, cross-fitted {_score(entry)}")
    elif entry.status != FAILED:  # a failure is the command's error
        say(
            f"{entry.file}: no score yet; repeat the same `ens submit` to check again: "
            "it does not send the file twice"
        )


def show_ledger(slug: str, entries: Sequence[Entry], picks: Sequence[Pick]) -> None:
    """All uploads to a competition, the newest last, and two to choose in the end."""
    title = f"{slug}: {count(len(entries), 'submission')}"
    numbers = ("cross-fitted (95 % interval)", "public", "private")
    uploads = table(title, "submitted", "file", numbers=numbers)
    for entry in entries:
        when = entry.submitted[:16].replace("T", " ")
        public = entry.public if entry.status == COMPLETE else entry.status
        cells = (when, entry.file, _score(entry), public, entry.private)
        uploads.add_row(*map(escape, cells))
    out.print(uploads)
    for ordinal, pick in zip(("first", "second"), picks, strict=False):
        say(f"{ordinal} final pick: {pick.entry.file}: {pick.reason}")
    if len(picks) == 1:
        say("no second pick: every other submission is outside its interval")


def ledger_json(slug: str, entries: Sequence[Entry], picks: Sequence[Pick]) -> dict[str, Any]:
    """A competition of `ens runs --submissions` as `--json` prints it."""
    return {
        "competition": slug,
        "submissions": [entry.model_dump() for entry in entries],
        "picks": [
            {"file": pick.entry.file, "ref": pick.entry.ref, "reason": pick.reason}
            for pick in picks
        ],
    }


def _score(entry: Entry) -> str:
    score = entry.scored_by(entry.metric)
    name = metric_in_words(entry.metric)
    return f"{name} {interval_in_metric(score, entry.metric)}" if score else name


def show_predicted(predicted: Predicted, members: Sequence[str]) -> None:
    """The written CSV, what predicted it, and which images were unreadable."""
    source = members[0] if len(members) == 1 else f"a blend of {len(members)} runs"
    networks = f" ({count(predicted.n_networks, 'network')})" if predicted.n_networks > 1 else ""
    columns = ", ".join(predicted.columns[:6]) + (", …" if len(predicted.columns) > 6 else "")
    images = count(predicted.n_images, "image")
    say(f"{predicted.path}: {images} by {source}{networks}; columns {columns}")
    if predicted.unreadable:
        images = count(len(predicted.unreadable), "unreadable image")
        say(
            f"{images} got the class shares of the training set; "
            f"{predicted.unreadable_path} lists them all:"
        )
        for name, reason in list(predicted.unreadable.items())[:5]:
            say(f"  {name}: {reason}")
