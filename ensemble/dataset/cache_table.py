"""A SQLite table in the cache: it only saves time, so a damaged or locked one is never an error."""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BATCH = 500  # keys of one query; SQLite may be built to take no more than 999


@dataclass(frozen=True)
class CacheTable:
    """The only table of a file; columns are SQL definitions, the first of them the text key."""

    file: Path
    name: str
    columns: tuple[str, ...]

    def rows(self, keys: Iterable[str]) -> list[tuple[Any, ...]]:
        """The stored rows of these keys, in any order; none where the file is damaged."""
        keys = list(keys)
        rows: list[tuple[Any, ...]] = []
        if not self.file.exists():
            return rows
        with suppress(sqlite3.Error, ValueError), closing(self._connect()) as database:
            for start in range(0, len(keys), BATCH):
                batch = keys[start : start + BATCH]
                marks = ",".join("?" * len(batch))
                query = f"SELECT * FROM {self.name} WHERE {self._key} IN ({marks})"
                rows += database.execute(query, batch)
        return rows

    def store(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Add rows, or replace those of the same keys; nothing where the file cannot be written."""
        if not rows:
            return
        columns, marks = ", ".join(self.columns), ",".join("?" * len(self.columns))
        with suppress(sqlite3.Error, ValueError, OSError):  # ValueError: a key that is not UTF-8
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connect()) as database, database:
                database.execute(
                    f"CREATE TABLE IF NOT EXISTS {self.name} ({columns}) WITHOUT ROWID"
                )
                database.executemany(f"INSERT OR REPLACE INTO {self.name} VALUES ({marks})", rows)

    def remove(self, key: str) -> None:
        """Remove the row of a key, where there is one."""
        if not self.file.exists():
            return
        statement = f"DELETE FROM {self.name} WHERE {self._key} = ?"
        with suppress(sqlite3.Error), closing(self._connect()) as database, database:
            database.execute(statement, (key,))

    @property
    def _key(self) -> str:
        return self.columns[0].split()[0]

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.file, timeout=30)
