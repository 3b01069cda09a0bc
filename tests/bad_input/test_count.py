"""How many faults are tried: the tables of this folder, counted."""

import runpy
from pathlib import Path


def test_there_are_at_least_200_cases():
    tables = {path.stem: runpy.run_path(str(path)).get("CASES", {}) for path in Path(__file__).parent.glob("test_*.py")
              if path != Path(__file__)}  # fmt: skip
    assert sum(map(len, tables.values())) >= 200
