"""Which table is the sample submission, and which images its ids are."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from ensemble.layout.questions import Inquiry
from ensemble.layout.roles import Roles
from ensemble.layout.survey import Survey
from ensemble.layout.table import Table

_WORDS = ("submission", "submit")


def looks_like_sample(file: str) -> bool:
    """Whether a table is named like a sample submission."""
    name = PurePosixPath(file).stem.lower().replace("-", "_")
    return any(word in name for word in _WORDS) or "sample" in name.split("_")


def choose_sample(
    surveyed: Survey, roles: Roles, inquiry: Inquiry
) -> tuple[Table | None, list[str]]:
    """The sample submission among the tables, and notes about the others."""
    by_file = {table.file: table for table in surveyed.tables}
    named = [table for table in surveyed.tables if looks_like_sample(table.file)]
    if inquiry.options.sample is not None:
        meanings = {table.file: "" for table in surveyed.tables}
        return by_file[inquiry.choose("sample", "", meanings)], []
    if len(named) < 2:
        return (named[0] if named else None), []
    named = _about_images(surveyed, named)
    complete = [table for table in named if _has_all_rows(table, roles)]
    if len(complete) == 1 < len(named):
        note = f"sample submissions: {_listed(named)}; {complete[0].file} has all test images"
        return complete[0], [note]
    shapes = {(table.header, table.columns[0].cells) for table in named}
    if len(shapes) > 1:
        meanings = {
            table.file: f"{len(table):,} rows: {', '.join(table.header)[:60]}" for table in named
        }
        text = "several files could be the sample submission"
        return by_file[inquiry.choose("sample", text, meanings)], []
    note = f"sample submissions with the same ids: {_listed(named)}; the first is used"
    return named[0], [note] if len(named) > 1 else []


def _about_images(surveyed: Survey, tables: Sequence[Table]) -> list[Table]:
    """Those tables whose ids are images, if any are."""
    names = surveyed.folders["."].names
    about = [table for table in tables if all(map(names.positions, table.columns[0].some_cells))]
    return about or list(tables)


def _has_all_rows(table: Table, roles: Roles) -> bool:
    """Whether a sample has as many rows as a test folder has images."""
    return len(table) in {len(folder.images) for folder in roles["test"]}


def _listed(tables: Sequence[Table]) -> str:
    return ", ".join(table.file for table in tables)
