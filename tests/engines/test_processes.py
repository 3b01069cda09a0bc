"""Several processes: the same bytes as in one, failures stay apart, a kill costs an epoch."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from ensemble.engines import choose
from ensemble.engines.choose import engine_of, n_unfinished
from ensemble.engines.jobs import Pruned, Sweep
from ensemble.engines.local import Here, train_all
from ensemble.engines.processes import Processes
from ensemble.engines.tune import tune
from ensemble.errors import EnsembleError, RecipeError, Stopped
from ensemble.events import EpochEnded, RunEnded, RunFailed, RunLeft, RunStarted, ignore
from ensemble.learn import device
from ensemble.runs import RunStore
from ensemble.runs.job import jobs_of


def test_two_processes_train_what_one_trains_and_skip_what_is_finished(
    tiny, one_by_one, content, tmp_path
):
    plain = tiny("plain", "seeds=[0, 1]")
    folds = tiny("folds", "data.valid={folds: 3}", "refit=true")
    later = tiny("later", "model.pretrained=run:base")
    base = tiny("base")
    wrong = tiny("wrong", "model.arch=resnet43")
    jobs = jobs_of([plain, folds, later, base, wrong])
    store, events = RunStore(tmp_path / "runs"), []
    runs, failures = train_all(jobs, store, events.append, engine=Processes(2, 1))
    assert [failure.run_id.split("-")[0] for failure in failures] == ["wrong"]
    assert "resnet34" in failures[0].reason
    assert [run.recipe for run in runs] == ["plain", "plain", "folds", "later", "base"]
    assert content(runs) == content(one_by_one([plain, folds, base, later]))
    counts = Counter(type(event) for event in events)
    assert (counts[RunStarted], counts[RunEnded], counts[RunFailed]) == (8, 7, 1)
    ended = [event.run for event in events if isinstance(event, RunEnded)]
    assert ended.index(jobs_of([base])[0].run_id) < ended.index(jobs_of([later])[0].run_id)
    assert n_unfinished(jobs, store, force=False) == 1
    assert n_unfinished(jobs, store, force=True) == len(jobs)
    again, _ = train_all(jobs, store, events.append, engine=Here())
    assert again == runs


def test_a_run_that_another_process_trains_is_left_for_later(tiny, tmp_path):
    jobs, store, events = jobs_of([tiny("busy"), tiny("free")]), RunStore(tmp_path / "runs"), []

    def stop_when_left(event):
        events.append(event)
        if isinstance(event, RunLeft):
            raise Stopped(signal.SIGTERM)

    with store.lock(jobs[0].run_id, wait=True), pytest.raises(Stopped):
        train_all(jobs, store, stop_when_left, engine=Processes(2, 1))
    assert [event.run for event in events if isinstance(event, RunLeft)] == [jobs[0].run_id]


def test_a_process_that_dies_fails_its_run_alone_and_the_next_task_follows_a_pruned_one(
    tiny, tmp_path
):
    recipes = [tiny("dies", "fit.epochs=200"), tiny("pruned", "fit.epochs=200"), tiny("next")]
    dies, pruned, _ = (job.run_id for job in jobs_of(recipes))
    store, epochs, events = RunStore(tmp_path / "runs"), Counter(), []

    def listen(event):
        events.append(event)
        if not isinstance(event, EpochEnded):
            return
        epochs[event.run] += 1
        if event.run == dies and epochs[dies] == 2:
            os.kill(process_that_locks(store.root / ".locks" / f"{dies}.lock"), signal.SIGKILL)
        if event.run == pruned and epochs[pruned] == 2:
            raise Pruned("enough events")

    runs, failures = train_all(jobs_of(recipes), store, listen, engine=Processes(2, 1))
    assert [run.recipe for run in runs] == ["next"]
    assert [failure.run_id for failure in failures] == [dies]
    assert failures[0].reason == (
        "the process that trained it was killed (SIGKILL)\n"
        "the same command resumes from the last stored epoch"
    )
    assert RunLeft(pruned, "enough events") in events
    assert (store.folder(dies) / "state").exists()


def test_an_idle_process_that_died_is_replaced(tiny, tmp_path):
    recipes = [
        tiny("first"),
        tiny("later", "model.pretrained=run:first"),
        tiny("last", "model.pretrained=run:later"),
    ]
    killed = []

    def listen(event):
        if isinstance(event, RunEnded) and not killed:  # its outcome is still to come
            killed.append(multiprocessing.active_children()[0])
            time.sleep(1)
            killed[0].kill()
            killed[0].join()

    runs, failures = train_all(
        jobs_of(recipes), RunStore(tmp_path / "runs"), listen, engine=Processes(2, 1)
    )
    assert failures == []
    assert [run.recipe for run in runs] == ["first", "later", "last"]


def process_that_locks(path):
    """The id of another process that holds a lock file open."""
    lock_file = os.stat(path)
    for handle in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            pid = int(handle.parts[2])
            if pid != os.getpid() and os.path.samestat(handle.stat(), lock_file):
                return pid
    raise AssertionError(f"no process holds {path}")


def test_stopped_processes_end_with_the_command_and_the_same_command_resumes(tiny, tmp_path):
    tiny("one")
    tiny("two")
    words = ["train", "one.yaml", "two.yaml", "--jobs", "2", "--set", "fit.epochs=400"]
    with subprocess.Popen(
        [sys.executable, "-m", "ensemble", *words],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        in_epoch_two = set()
        for line in process.stderr:
            if "epoch 2:" in line:
                in_epoch_two.add(line.split("-")[0].strip())
            if in_epoch_two == {"one", "two"}:
                break
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in rest
    assert "the same command resumes" in rest
    assert not list((tmp_path / "runs").glob("*/run.json"))
    assert len(list((tmp_path / "runs").glob("*/state/state.safetensors"))) == 2
    for lock in (tmp_path / "runs" / ".locks").glob("*.lock"):
        with RunStore().lock(lock.stem, wait=False) as is_free:
            assert is_free


def test_a_search_on_two_processes_has_one_study_and_all_its_trials(tiny, tmp_path):
    recipe = tiny("searched", "fit.epochs=1")
    store = RunStore(tmp_path / "runs")

    def search():
        return tune(recipe, 4, ["fit.lr=1e-4..1e-1"], store, ignore, Processes(2, 1))

    first = search()
    assert [trial.number for trial in first.trials] == [0, 1, 2, 3]
    assert first.trials[0].values == {"fit.lr": 0.003}
    runs = {trial.note for trial in first.trials if trial.state == "finished"}
    assert runs == {run.id for run in store.finished()}
    assert len(list((store.root / ".searches").glob("*.db"))) == 1
    assert search() == first


def test_a_recipe_waits_for_the_run_whose_weights_it_starts_from_and_for_no_other(tiny):
    package = tiny("package")
    weights_file = tiny("file", "model.pretrained=package")
    after = tiny("after", "model.pretrained=run:package")
    sweep = Sweep(jobs_of([package, weights_file, after]), ignore)
    tasks = [sweep.take() for _ in range(3)]
    assert [task and task.job.recipe.name for task in tasks] == ["package", "file", None]


def test_the_engine_follows_from_the_machine_and_the_number_of_runs(tiny, monkeypatch):
    monkeypatch.setattr(choose, "n_cores", lambda: 8)
    recipe = tiny("r")

    def workers_and_threads(n_gpus, n_jobs, n_tasks, *recipes):
        monkeypatch.setattr(choose, "_n_gpus", lambda: n_gpus)
        engine = engine_of(recipes or [recipe], n_tasks, n_jobs=n_jobs)
        n_workers = 1 if isinstance(engine, Here) else engine.n_workers
        return n_workers, engine.threads

    assert workers_and_threads(0, None, 5) == (1, None)
    assert workers_and_threads(2, None, 5) == (2, 4)
    assert workers_and_threads(2, None, 1) == (1, None)
    assert workers_and_threads(2, None, 5, tiny("half", "resources.gpu=0.5")) == (4, 2)
    assert workers_and_threads(0, 4, 5) == (4, 2)
    assert workers_and_threads(0, 4, 1) == (1, 2)  # the same bytes as beside other runs
    with pytest.raises(EnsembleError, match="--jobs 4 is for local processes"):
        engine_of([recipe], 2, "ray", n_jobs=4)
    with pytest.raises(EnsembleError, match="add --engine ray"):
        engine_of([recipe], 2, address="1.2.3.4:5")


def test_workers_take_the_gpus_in_turn(monkeypatch):
    monkeypatch.setattr(device, "visible_gpus", lambda: ["a", "b"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "a,b")
    device.take_gpu(3)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "b"


def test_a_run_on_several_gpus_is_refused(tiny):
    with pytest.raises(RecipeError, match=r"recipe w: resources.gpu: 2; a run trains on one GPU"):
        jobs_of([tiny("w", "resources.gpu=2")])
