"""The files of a submission: which names they may have, and what they never replace unasked."""

from pathlib import Path

from ensemble.dataset.filenames import is_sample
from ensemble.errors import SubmissionError
from ensemble.files import not_written
from ensemble.submission.ledger import NAME as LEDGER
from ensemble.submission.sample import Sample


def check_name(stem: str) -> None:
    """Refuse a --name that is not a file name or belongs to another file.

    Raises SubmissionError.
    """
    if Path(stem).name != stem or stem.startswith("."):
        raise SubmissionError(f"--name {stem!r} is not a plain file name")
    if stem.lower().endswith(".csv"):
        raise SubmissionError(f"--name {stem}: the .csv is added\nuse --name {stem[:-4]}")
    if is_sample(stem):
        raise SubmissionError(
            f"--name {stem}: named like a sample submission, which is never overwritten"
        )
    if f"{stem}.csv".casefold() == LEDGER.casefold():
        raise SubmissionError(
            f"--name {stem}: `ens submit` keeps its ledger in {LEDGER}\nchoose another --name"
        )


def check_replaceable(
    path: Path, manifest: Path, text: str, sample: Sample | None, force: bool
) -> None:
    """Refuse to overwrite other content without --force; the sample, and what is no submission, always.

    Raises SubmissionError.
    """
    if sample and path.resolve() == Path(sample.origin).resolve():
        raise SubmissionError(
            f"{path}: is the sample submission, which is never overwritten\nchoose another --name"
        )
    is_other = _has_other_content(path, text.encode())
    if is_other and not force:
        raise other_content(path)
    if is_other and not manifest.exists():
        raise SubmissionError(
            f"{path}: is no submission, since {manifest.name} is not beside it\n"
            "remove it yourself, or choose another --name"
        )
    if not force and manifest.exists() and not path.exists():
        raise other_content(manifest)


def other_content(path: Path) -> SubmissionError:
    """The refusal to replace a file without --force."""
    return SubmissionError(
        f"{path}: exists with other content\nchoose another --name, or --force to replace it"
    )


def _has_other_content(path: Path, content: bytes) -> bool:
    """Whether the file exists with other content. Raises SubmissionError."""
    try:
        return path.read_bytes() != content
    except FileNotFoundError:
        return False
    except OSError as error:
        raise SubmissionError(not_written(path, error)) from None
