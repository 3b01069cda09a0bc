"""Finished trainings on disk: one folder each, run.json written last.

A folder without run.json is unfinished and invisible to blending. Nothing here knows how a run was trained.
"""

from ensemble.runs.folds import Folded
from ensemble.runs.history import drawable, history_of, range_test_of
from ensemble.runs.run import FORMAT, DataInfo, LrFind, Run, Scores, publish, read_run
from ensemble.runs.store import Damaged, Listing, RunStore

__all__ = [
    "FORMAT",
    "Damaged",
    "DataInfo",
    "Folded",
    "Listing",
    "LrFind",
    "Run",
    "RunStore",
    "Scores",
    "drawable",
    "history_of",
    "publish",
    "range_test_of",
    "read_run",
]
