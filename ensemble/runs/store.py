"""The folder of runs: finished and damaged ones, folds as one run, and a lock per training."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ensemble.errors import DamagedError, RunError
from ensemble.files import ENVIRONMENT, locked, not_written
from ensemble.runs.folds import whole_runs
from ensemble.runs.read import read_run
from ensemble.runs.run import MEND, Run, StoredRun
from ensemble.runs.writer import STATE


@dataclass(frozen=True)
class Damaged:
    """A run folder that cannot be trusted, and why."""

    folder: Path
    reason: str


@dataclass(frozen=True)
class Listing:
    """What a folder of runs holds: finished runs by id, damaged ones, incomplete folds."""

    runs: list[Run]
    damaged: list[Damaged]
    incomplete: list[str]


class RunStore:
    """The folder of runs. Reading needs no lock; training a run holds its lock."""

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = Path(root or os.environ.get("ENS_RUNS") or "runs")

    def folder(self, run_id: str) -> Path:
        """The folder of a run, finished or not."""
        return self.root / run_id

    def all(self, patterns: Sequence[str] = (), check: bool = False) -> Listing:
        """What the folder holds; of the runs those whose id or recipe matches one of the patterns.

        Patterns are those of a shell, a text alone is one. check reads the stored predictions too, to
        find damaged ones.
        """
        patterns = [patterns] if isinstance(patterns, str) else patterns
        runs: list[StoredRun] = []
        damaged: list[Damaged] = []
        for path in sorted(self.root.glob("*/run.json")):
            try:
                run = read_run(path)
                if check:
                    run.check()
                runs.append(run)
            except DamagedError as error:
                if not patterns or any(_is_like(path.parent.name, pattern) for pattern in patterns):
                    damaged.append(Damaged(path.parent, str(error)))
        whole, incomplete = whole_runs(runs)
        if patterns:
            whole = [run for run in whole if any(_matches(run, pattern) for pattern in patterns)]
        return Listing(whole, damaged, incomplete)

    def finished(self, patterns: Sequence[str] = ()) -> list[Run]:
        """The runs of `all` alone."""
        return self.all(patterns).runs

    def unfinished(self, patterns: Sequence[str] = ()) -> list[str]:
        """The ids of runs without run.json that stored a state, which training resumes from."""
        stored = sorted({path.parent.parent for path in self.root.glob(f"*/{STATE}/*")})
        ids = [folder.name for folder in stored if not (folder / "run.json").exists()]
        return [
            name for name in ids if not patterns or any(_is_like(name, like) for like in patterns)
        ]

    def none_found(self, patterns: Sequence[str]) -> str:
        """What to say where no run matches: `no finished run in runs matches a_*`."""
        named = patterns if isinstance(patterns, str) else " ".join(patterns)
        matching = f" matches {named}" if named else ""
        missing = f": {missing}" if (missing := self._missing_root()) else ""
        return f"no finished run in {self.root}{matching}{missing}"

    def _missing_root(self) -> str:
        """That there is no folder of runs, or ""."""
        if os.path.isdir(self.root):
            return ""
        return "it is a file" if os.path.exists(self.root) else "there is no such folder"

    def get(self, run_id: str) -> Run:
        """A finished run, with or without folds, or one fold. Raises RunError, DamagedError."""
        path = self.folder(run_id) / "run.json"
        if os.path.isfile(path) and "/" not in run_id and "\\" not in run_id:
            return _read(path)
        folds = [_read(path) for path in self._folds_of(run_id)]
        whole, incomplete = whole_runs(folds)
        if whole:
            return whole[0]
        if incomplete:
            raise RunError(f"{incomplete[0]}\n`ens train` the recipe again to train the others")
        from difflib import get_close_matches

        near = get_close_matches(run_id, [run.id for run in self.finished()], n=3, cutoff=0.4)
        hint = f"nearest: {', '.join(near)}" if near else f"`ens runs` lists what is in {self.root}"
        if missing := self._missing_root():
            hint = f"{self.root}: {missing}; --runs DIR or ENS_RUNS names the folder of the runs"
        raise RunError(f"{run_id[:100]!r} is not a finished run in {self.root}\n{hint}")

    def _folds_of(self, run_id: str) -> list[Path]:
        prefix = f"{run_id}-f"
        paths = {path.parent.name: path for path in sorted(self.root.glob("*/run.json"))}
        return [
            path
            for name, path in paths.items()
            if name.startswith(prefix) and name.removeprefix(prefix).isdecimal()
        ]

    @contextmanager
    def lock(self, run_id: str, wait: bool) -> Iterator[bool]:
        """Hold a run's lock; yields False if another process holds it and wait is off.

        Raises RunError.
        """
        folder = self.root / ".locks"
        with ExitStack() as held:
            try:
                is_held = held.enter_context(locked(folder / f"{run_id}.lock", wait))
            except (OSError, NotImplementedError) as error:
                raise RunError(_no_lock(folder, run_id, error)) from None
            yield is_held


def _read(path: Path) -> StoredRun:
    """The run of a run.json. Raises DamagedError with what to do about it."""
    try:
        return read_run(path)
    except DamagedError as error:
        raise DamagedError(f"{error}\n{MEND}") from None


def _no_lock(folder: Path, run_id: str, error: Exception) -> str:
    in_the_way = isinstance(error, NotADirectoryError | FileExistsError)
    if isinstance(error, OSError) and (error.errno in ENVIRONMENT or in_the_way):
        return not_written(folder, error)
    reason = getattr(error, "strerror", None) or error
    return f"{folder}: cannot lock {run_id} there ({reason}); try --runs on a local disk"


def _matches(run: Run, pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in (run.id, run.recipe))


def _is_like(name: str, pattern: str) -> bool:
    """Whether a pattern may mean this folder, which has no run.json that names its recipe."""
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}-*")
