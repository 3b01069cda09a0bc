"""Which two submissions to select for the end of a competition. Public scores take no part."""

from collections.abc import Sequence
from dataclasses import dataclass

from ensemble.metrics import Interval, metric_of_any_target
from ensemble.numbers import metric_in_words, percent
from ensemble.submission.csv_answers import answers, share_differing
from ensemble.submission.ledger import FAILED, Entry, Ledger


@dataclass(frozen=True)
class Pick:
    """A submission for the final selection, and the reason."""

    entry: Entry
    reason: str


def final_picks(ledger: Ledger, entries: Sequence[Entry]) -> list[Pick]:
    """The best cross-fitted submission, and the most different one within its interval.

    entries belong to one competition; the metric is that of the newest.
    """
    uploads = [entry for entry in entries if entry.status != FAILED and ledger.is_unchanged(entry)]
    candidates = list({entry.sha256: entry for entry in uploads}.values())
    if not candidates:
        return []
    metric = entries[-1].metric
    sign = -1 if metric_of_any_target(metric).is_higher_better else 1
    scores = {entry.sha256: entry.scored_by(metric) for entry in candidates}
    scored = [(score, entry) for entry in candidates if (score := scores[entry.sha256])]
    if not scored:
        return []
    best_score, best = min(scored, key=lambda pair: sign * pair[0].value)
    reason = f"best cross-fitted {metric_in_words(metric)} of {len(scored)}"
    second = _most_different(ledger, best, best_score, scored, metric)
    return [Pick(best, reason), *([second] if second else [])]


def _most_different(
    ledger: Ledger,
    best: Entry,
    interval: Interval,
    scored: Sequence[tuple[Interval, Entry]],
    metric: str,
) -> Pick | None:
    """The submission within the best one's interval that differs from it on the most rows."""
    equals = [
        entry
        for score, entry in scored
        if entry is not best and interval.low <= score.value <= interval.high
    ]
    if not equals:
        return None
    best_answers = _answers(ledger, best)
    shares = [share_differing(best_answers, _answers(ledger, entry)) for entry in equals]
    largest = max(shares)
    name = metric_in_words(metric)
    reason = (
        f"differs from it on {percent(largest, 1)} of the rows, the most of {len(equals)} "
        f"whose {name} is within its interval"
    )
    return Pick(equals[shares.index(largest)], reason)


def _answers(ledger: Ledger, entry: Entry) -> dict[str, str]:
    return answers((ledger.folder / entry.file).read_text(encoding="utf-8"))
