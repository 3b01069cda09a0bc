"""Reading run.json with suspicion: whatever is wrong with it ends as a DamagedError."""

import json
import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ensemble.errors import DamagedError
from ensemble.files import reason_of
from ensemble.runs.record import TrainingRecord
from ensemble.runs.run import FORMAT, StoredRun

FLAT = 1  # the format that held the fields of the training among those of the run


def read_run(path: Path) -> StoredRun:
    """The run that a run.json describes. Raises DamagedError."""
    fields = _fields(path)
    stored_format = fields.get("format")
    if stored_format not in (FLAT, FORMAT):
        raise DamagedError(
            f"{path}: format {repr(stored_format)[:20]}, this version reads {FLAT} and {FORMAT}; "
            "use the version of ens that wrote it, or train again"
        )
    if stored_format == FLAT:
        fields = _nested(fields)
    try:
        run = StoredRun.model_validate({**fields, "folder": path.parent})
    except ValidationError as error:
        raise DamagedError(f"{path}: {_problem(error, stored_format)}") from None
    _check_files(run, path)
    return run


def _fields(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(fields, ensure_ascii=False).encode()  # half a surrogate pair cannot be shown
    except (OSError, ValueError, RecursionError) as error:
        # ValueError: not UTF-8, not JSON, or a number of 5,000 digits
        raise DamagedError(f"{path}: cannot be read ({reason_of(error)})") from None
    if not isinstance(fields, dict):
        raise DamagedError(f"{path}: not a run")
    return fields


def _nested(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of format 1 as format 2 has them. An imported run had zeros for its training."""
    record = {name: fields[name] for name in TrainingRecord.model_fields if name in fields}
    rest = {name: field for name, field in fields.items() if name not in record}
    is_imported = fields.get("strategy") == "imported"
    return {**rest, "format": FORMAT, "training": None if is_imported else record}


def _problem(error: ValidationError, stored_format: int) -> str:
    """The first problem in words, with the key as the file has it."""
    first = error.errors()[0]
    if first["type"] == "value_error":
        return first["msg"].removeprefix("Value error, ")
    key = ".".join(str(part)[:60] for part in first["loc"])
    if stored_format == FLAT:
        key = key.removeprefix("training.")
    return f"{key} is missing or wrong"


def _check_files(run: StoredRun, path: Path) -> None:
    """Check that all files lie in the folder and that the folder has the run's name."""
    for name in run.files:
        if Path(name).name != name:
            raise DamagedError(
                f"{path}: files: {name[:100]!r} is not the name of a file in this folder"
            )
    for name in run.files:
        if not os.path.isfile(run.folder / name):
            raise DamagedError(f"{str(run.folder / name)[:300]}: is missing")
    if run.id != run.folder.name:
        raise DamagedError(
            f"{path}: says it is {run.id[:100]!r}; the folder was renamed: "
            "give it that name again, or remove it if it is a copy"
        )
