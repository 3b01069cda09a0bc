"""What commands that train, blend, predict or submit print with `--json`."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensemble.runs import Run

if TYPE_CHECKING:
    from ensemble.blending import Blend
    from ensemble.engines.jobs import Failure
    from ensemble.engines.tune import Search, TrialSummary
    from ensemble.inference import Predicted
    from ensemble.kaggle import Quota
    from ensemble.learn.cost import Cost
    from ensemble.learn.lr import RangeTest
    from ensemble.runs.job import Job
    from ensemble.submission import Submission
    from ensemble.submission.ledger import Entry
    from ensemble.submission.verify import Verified


def training_json(
    runs: Sequence[Run], failures: "Sequence[Failure]", left: Sequence[str] = ()
) -> dict[str, Any]:
    """The finished runs as `ens runs --json` has them, the failed ones, and those left."""
    return {
        "runs": [run.as_row() for run in runs],
        "failures": _failures(failures),
        "left": list(left),
    }


def costs_json(
    costs: "Sequence[tuple[Job, Cost]]", failures: "Sequence[Failure]"
) -> dict[str, Any]:
    """Seconds and bytes of each run that is to be trained."""
    rows = [
        {"run": job.run_id, **asdict(cost), "seconds": cost.seconds}
        | {"phases": [asdict(phase) | {"seconds": phase.seconds} for phase in cost.phases]}
        for job, cost in costs
    ]
    return {"costs": rows, "failures": _failures(failures)}


def _failures(failures: "Sequence[Failure]") -> list[dict[str, str]]:
    return [{"run": failure.run_id, "reason": failure.reason} for failure in failures]


def range_test_json(test: "RangeTest", folder: Path) -> dict[str, Any]:
    """As `lr_find` of run.json, without the share of a run; and where the curve is."""
    return {
        "suggestions": test.suggestions,
        "chosen": test.chosen,
        "rule": test.rule,
        "steps": test.n_steps,
        "note": test.note,
        "csv": str(folder / "lr_find.csv"),
        "figure": str(folder / "lr_find.png"),
    }


def search_json(search: "Search") -> dict[str, Any]:
    """Every trial in its order, and the best finished one, null without one."""
    return {
        "search": search.name,
        "metric": search.metric,
        "is_higher_better": search.is_higher_better,
        "trials": [_trial_json(trial) for trial in search.trials],
        "best": _trial_json(search.best) if search.best else None,
    }


def _trial_json(trial: "TrialSummary") -> dict[str, Any]:
    is_finished = trial.score is not None
    return {
        "number": trial.number,
        "state": trial.state,
        "score": trial.score,
        "values": trial.values,
        "run": trial.note if is_finished else None,
        "reason": "" if is_finished else trial.note,
    }


def blend_json(
    blend: "Blend", submission: "Submission | None" = None, manifest: Path | None = None
) -> dict[str, Any]:
    """The blend as `--json` prints it, with the submission and the manifest that were written.

    score is the cross-fitted value of the metric with its interval, whose ends are null where the
    rows are too few.
    """
    cross_fitted = blend.valid.as_dict()
    return {
        "data": blend.group.name,
        "members": [
            {
                "run": member.run.id,
                "weight": member.weight,
                "reason": member.reason,
                "score": blend.run_scores[member.run.id],
                "number": member.number,
            }
            for member in blend.members
        ],
        "options": asdict(blend.options),
        "weighting": blend.chosen_weighting,
        "favored": {"weights": blend.favored, "gain": blend.favored_gain}
        if blend.favored
        else None,
        "refits": blend.of_refits,
        "decision": asdict(blend.mixture.decision),
        "metric": blend.options.metric,
        "score": cross_fitted["score"],
        "in_sample": blend.in_sample,
        "cross_fitted": cross_fitted,
        "table": [rating.as_dict() for rating in blend.table],
        "gain": blend.gains,
        "disagreement": blend.diversity.disagreement.tolist(),
        "double_fault": None
        if blend.diversity.double_fault is None
        else blend.diversity.double_fault.tolist(),
        "calibration": asdict(blend.calibrated) if blend.calibrated else None,
        "test": asdict(blend.test) if blend.test else None,
        "submission": str(submission.path) if submission else None,
        "manifest": str(manifest) if manifest else None,
        "answer": submission.shape.answer if submission else None,
        "rows": list(submission.examples) if submission else [],
        "notes": list(submission.notes) if submission else [],
        "warnings": list(submission.warnings) if submission else [],
    }


def predicted_json(predicted: "Predicted", members: Sequence[str]) -> dict[str, Any]:
    """The written CSV, the runs that predicted it, and why images were unreadable."""
    listed = predicted.unreadable_path
    return {
        "csv": str(predicted.path),
        "columns": list(predicted.columns),
        "n_images": predicted.n_images,
        "runs": list(members),
        "n_networks": predicted.n_networks,
        "unreadable": predicted.unreadable,
        "unreadable_list": None if listed is None else str(listed),
    }


def verified_json(verified: "Verified") -> dict[str, Any]:
    """A submission whose bytes were computed again."""
    return {
        "submission": str(verified.path),
        "sha256": verified.manifest.csv_sha256,
        "answer": verified.shape.answer,
        "n_rows": len(verified.shape.ids),
        "members": [
            {"run": run, "weight": verified.manifest.mixture.weights[run]} for run in verified.runs
        ],
    }


def submit_json(
    verified: "Verified",
    entries: "Sequence[Entry]",
    quota: "Quota | None",
    warnings: Sequence[str],
) -> dict[str, Any]:
    """The submission, uploads as `ens runs --submissions --json` has them, quota and warnings.

    quota is None where nothing was to be sent, as this submission is waiting for its score.
    """
    return {
        **verified_json(verified),
        "submissions": [entry.model_dump() for entry in entries],
        "quota": asdict(quota) if quota else None,
        "warnings": list(warnings),
    }
