"""A blend without test images: its manifest alone, from which new images are predicted."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from ensemble.blending import Blend
from ensemble.errors import SubmissionError
from ensemble.files import not_written, write_json
from ensemble.submission.manifest import manifest_content
from ensemble.submission.output_files import check_name, other_content
from ensemble.submission.sample import meaning_of

COMPARED = ("members", "options", "decision", "calibration", "refits")


def keep_blend(
    blend: Blend,
    folder: Path,
    name: str | None = None,
    force: bool = False,
    command: Sequence[str] = (),
    positive: str | None = None,
) -> Path:
    """Write the manifest of a blend whose runs have no test set; returns its path.

    Raises SubmissionError.
    """
    runs = [member.run for member in blend.members]
    metric = blend.options.metric
    meaning = meaning_of(runs, None, positive, metric, blend.is_metric_given)
    content = manifest_content(blend, None, "", (), command, meaning, ())
    compared = _compared(content)
    stem = name or f"{blend.group.name}-{hashlib.sha256(compared.encode()).hexdigest()[:8]}"
    check_name(stem)
    path = folder / f"{stem}.json"
    csv = path.with_suffix(".csv")
    if os.path.exists(csv):  # Path.exists raises where a name is too long
        raise SubmissionError(
            f"{csv}: a submission, which a blend without test images cannot replace\n"
            "choose another --name"
        )
    if not (force or _is_replaceable(path, compared)):
        raise other_content(path)
    write_json(path, content)
    return path


def _compared(content: object) -> str:
    """What decides whether two manifests are the same blend."""
    keys = content if isinstance(content, dict) else {}
    return json.dumps({key: keys.get(key) for key in COMPARED}, sort_keys=True)


def _is_replaceable(path: Path, compared: str) -> bool:
    """Whether nothing is lost: no file, or one of the same blend. Raises SubmissionError."""
    try:
        return _compared(json.loads(path.read_text(encoding="utf-8"))) == compared
    except FileNotFoundError:
        return True
    except OSError as error:
        raise SubmissionError(not_written(path, error)) from None
    except ValueError:
        return False
