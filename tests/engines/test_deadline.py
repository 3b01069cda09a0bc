"""`ens train --hours`: ends in time, loses no finished epoch, and the same command resumes."""

import re

import pytest

from ensemble.engines.deadline import Deadline
from ensemble.engines.jobs import Pruned
from ensemble.engines.local import Here, train_all
from ensemble.engines.processes import Processes
from ensemble.events import EpochEnded, RunLeft, Step
from ensemble.runs import RunStore
from ensemble.runs.job import jobs_of


def epoch(run, seconds):
    return EpochEnded(run, "scratch", 1, 2, 1.0, 1.0, 0.5, seconds, True)


def test_an_epoch_begins_only_where_one_like_the_last_still_fits():
    deadline = Deadline(hours=1)
    deadline.hear(epoch("a", 3500))
    deadline.hear(Step("a", "scratch", 1, 9))
    deadline.hear(epoch("b", 3700))
    with pytest.raises(Pruned, match="no time is left for another epoch"):
        deadline.hear(Step("b", "scratch", 1, 9))
    assert list(deadline.left) == ["b"]
    assert deadline.is_over
    deadline.hear(Step("a", "scratch", 2, 9))


def test_after_its_last_epoch_a_run_predicts_and_finishes():
    deadline = Deadline(hours=1)
    deadline.hear(epoch("a", 3700))
    deadline.hear(Step("a", "predicting", 1, 9))
    assert not deadline.is_over


def test_when_time_is_up_anything_ends():
    deadline = Deadline(hours=0)
    for phase in ("lr_find", "scratch", "predicting"):
        with pytest.raises(Pruned):
            deadline.hear(Step("a", phase, 1, 9))


class ByEpochs(Deadline):
    """A deadline after some epochs, which no clock decides."""

    def __init__(self, n_epochs):
        super().__init__(hours=1)
        self.n_epochs = n_epochs

    def hear(self, event):
        if isinstance(event, EpochEnded):
            self.n_epochs -= 1
            if not self.n_epochs:
                self.end = -1
        super().hear(event)


@pytest.mark.slow
@pytest.mark.parametrize("engine", [Here(), Processes(2, 1)], ids=["here", "processes"])
def test_what_a_deadline_left_is_resumed_to_the_same_bytes(tiny, one_by_one, content, engine):
    recipes = [tiny("first", "fit.epochs=6", "seeds=[0, 1]"), tiny("second", "refit=true")]
    jobs, store, heard = jobs_of(recipes), RunStore("runs"), []
    deadline = ByEpochs(3)
    finished, failures = train_all(jobs, store, heard.append, False, engine, deadline)
    assert (finished, failures) == ([], [])
    assert set(deadline.left) == {job.run_id for job in jobs}
    assert any(isinstance(event, RunLeft) for event in heard)
    states = [store.folder(job.run_id) / "state" for job in jobs]
    assert any(state.is_dir() for state in states)
    resumed, failures = train_all(jobs, store, heard.append, False, engine)
    assert failures == []
    assert any("resuming from epoch" in getattr(event, "text", "") for event in heard)
    assert content(resumed) == content(one_by_one(recipes))


@pytest.mark.slow
def test_the_command_says_what_is_left_and_how_to_go_on(tiny, run_ens, tmp_path):
    tiny("first", "seeds=[0, 1]")
    command = ["train", "first.yaml", "--set", "seeds=[0, 1]", "--hours"]
    status, out, err = run_ens(*command, "0")
    assert status == 124, err
    left, last = out.splitlines()[-2:]
    assert re.match(
        r"time is up \(--hours 0\): 2 of 2 runs left: first-\w+-s0, first-\w+-s1$", left
    )
    assert last == "next:  ens train first.yaml --set 'seeds=[0, 1]' --hours 0"
    assert "Traceback" not in err
    status, out, err = run_ens(*command, "1")
    assert status == 0, err
    assert "time is up" not in out
    assert len(RunStore(tmp_path / "runs").finished()) == 2
