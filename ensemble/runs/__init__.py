"""Finished runs on disk: one folder each, run.json written last.

A folder without run.json is unfinished and invisible to blending. Nothing here knows how a network
is trained.
"""

from ensemble.runs.data_info import DataInfo
from ensemble.runs.folds import FoldedRun
from ensemble.runs.grades import GradedRun
from ensemble.runs.history import drawable, history_of, range_test_of
from ensemble.runs.read import read_run
from ensemble.runs.record import LrFind, Trained, TrainingRecord
from ensemble.runs.run import Run, StoredRun
from ensemble.runs.scores import Scores
from ensemble.runs.store import Damaged, Listing, RunStore
from ensemble.runs.writer import publish

__all__ = [
    "Damaged",
    "DataInfo",
    "FoldedRun",
    "GradedRun",
    "Listing",
    "LrFind",
    "Run",
    "RunStore",
    "Scores",
    "StoredRun",
    "Trained",
    "TrainingRecord",
    "drawable",
    "history_of",
    "publish",
    "range_test_of",
    "read_run",
]
