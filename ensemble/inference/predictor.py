"""What predicts: the members of a run or a blend, and how their probabilities are mixed."""

from dataclasses import dataclass
from pathlib import Path

from ensemble.blending import Blend
from ensemble.blending.mixture import Mixture
from ensemble.metrics.decision import PLAIN
from ensemble.runs import Run, RunStore
from ensemble.submission.manifest import members_of, read_manifest
from ensemble.submission.sample import meaning_of
from ensemble.submission.shape import Meaning
from ensemble.submission.stored_blends import named_manifest
from ensemble.targets import Target


@dataclass(frozen=True)
class Predictor:
    """What predicts: members by run id, and how their probabilities are mixed."""

    runs: dict[str, Run]
    mixture: Mixture

    @classmethod
    def of_run(cls, run: Run, of_refit: bool = False) -> "Predictor":
        """One run, all its folds together; of_refit: by its refit on train + validation."""
        return cls(
            {run.id: run},
            Mixture({run.id: 1.0}, False, None, of_refit, decision=PLAIN[run.data.target]),
        )

    @classmethod
    def of_blend(cls, blend: Blend) -> "Predictor":
        """The members of a blend with their weights and its calibration."""
        return cls({member.run.id: member.run for member in blend.members}, blend.mixture)

    @classmethod
    def of_submission(
        cls, name: Path | str, store: RunStore, folder: Path = Path("submissions")
    ) -> "Predictor":
        """The blend of a submission, given by name, CSV or manifest. Raises SubmissionError."""
        path = named_manifest(name, folder)
        manifest = read_manifest(path)
        problem = f"{path}: cannot predict"
        return cls(
            members_of(manifest, store, manifest.files_to_predict, problem), manifest.mixture
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, sorted."""
        return tuple(sorted(next(iter(self.runs.values())).classes))

    @property
    def target(self) -> Target:
        """What its members predict."""
        return next(iter(self.runs.values())).data.target

    def meaning(self, answer: str | None = None, positive: str | None = None) -> Meaning:
        """What the runs hold about the cells of a submission; the arguments override it.

        Raises SubmissionError where runs disagree.
        """
        return meaning_of(list(self.runs.values()), answer, positive)
