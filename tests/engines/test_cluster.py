"""A Ray cluster of two machines that share no disk, one of them killed while it trains."""

import logging
import signal
import sys

import pytest

from ensemble.engines.choose import engine_of
from ensemble.engines.cluster import Cluster, _locked_run
from ensemble.engines.jobs import Task
from ensemble.engines.local import train_all
from ensemble.engines.tune import tune
from ensemble.engines.worker import EventActor, Report, StateUpdate
from ensemble.errors import EnsembleError, Stopped
from ensemble.events import EpochEnded, Note, RunEnded, RunStarted
from ensemble.runs import RunStore
from ensemble.runs.job import jobs_of


@pytest.fixture
def nodes(monkeypatch):
    """Two nodes of one core and a head without any, started in a folder without the images."""
    import ray
    from ray.cluster_utils import Cluster as TestCluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    small = {"object_store_memory": 150 << 20}
    cluster = TestCluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **small}
    )
    nodes = [cluster.add_node(num_cpus=1, **small) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    yield cluster, nodes
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")
def test_a_killed_node_costs_an_epoch_and_nothing_else(nodes, tiny, one_by_one, content, tmp_path):
    cluster, (first_node, _) = nodes
    long = ("fit.epochs=24",)
    recipes = [
        tiny("one", *long),
        tiny("two", *long),
        tiny("after", "model.pretrained=run:one", "refit=true"),
    ]
    jobs, store, events, is_killed = jobs_of(recipes), RunStore(tmp_path / "runs"), [], []

    def listen(event):
        events.append(event)
        epochs = [event for event in events if isinstance(event, EpochEnded)]
        runs_past_five = {epoch.run for epoch in epochs if epoch.epoch >= 5}
        if len(runs_past_five) == 2 and not is_killed:
            is_killed.append(True)
            cluster.remove_node(first_node, allow_graceful=False)

    runs, failures = train_all(jobs, store, listen, engine=Cluster())
    assert failures == []
    assert is_killed
    assert [run.recipe for run in runs] == ["one", "two", "after"]
    assert content(runs) == content(one_by_one(recipes))
    assert runs[2].refit_epochs
    notes = [event.text for event in events if isinstance(event, Note)]
    assert len([text for text in notes if text.startswith("its worker was lost (")]) == 1
    assert len([text for text in notes if text.startswith("resuming from epoch")]) == 1
    assert sum(isinstance(event, RunEnded) for event in events) == 3
    assert not list((tmp_path / "runs").glob("*/state"))
    assert list((tmp_path / "cache" / "received").rglob("*.png")), "the images came by their hashes"
    events.clear()
    again, _ = train_all(jobs, store, events.append, engine=Cluster())
    assert again == runs
    assert {type(event) for event in events} == {RunStarted, RunEnded}
    searched = tiny("searched", "fit.epochs=1")
    search = tune(searched, 2, ["fit.lr=1e-4..1e-1"], store, events.append, Cluster())
    assert [trial.state for trial in search.trials] == ["finished", "finished"]
    assert {trial.note for trial in search.trials} <= {run.id for run in store.finished()}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")
def test_a_run_that_fits_on_no_machine_says_what_it_waits_for(nodes, tiny, tmp_path):
    recipe = tiny("large", "resources.cpu=2")

    def listen(event):
        if isinstance(event, Note):
            assert event.text == "waits: no machine of the cluster has 2 CPU (resources)"
            raise Stopped(signal.SIGINT)

    with pytest.raises(Stopped):
        train_all(jobs_of([recipe]), RunStore(tmp_path / "runs"), listen, engine=Cluster())


def test_a_refit_with_a_damaged_fold_locks_its_own_job(tiny, tmp_path):
    store = RunStore(tmp_path / "runs")
    job = jobs_of([tiny("folds", "data.valid={folds: 2}", "refit=true")])[0]
    store.folder(job.run_id).mkdir(parents=True)
    (store.folder(job.run_id) / "run.json").write_text("half")
    assert _locked_run(Task(job, is_refit=True), store) == job.run_id


def test_a_newer_state_replaces_an_unfetched_one_and_keeps_the_files_that_both_have():
    actor, note = EventActor(), Note("r", "")
    first = StateUpdate(
        "r/state", {"kept-1": b"1", "old-1": b"0", "state": b"a"}, ("kept-1", "old-1", "state")
    )
    second = StateUpdate("r/state", {"state": b"b"}, ("kept-1", "state"))
    of_another_task = StateUpdate("s/state", {"state": b"x"}, ("state",))
    actor.report(Report(1, note, first))
    actor.report(Report(2, note, of_another_task))
    actor.report(Report(1, note, second))
    merged = StateUpdate("r/state", {"kept-1": b"1", "state": b"b"}, ("kept-1", "state"))
    assert [report.state for report in actor.fetch()] == [None, of_another_task, merged]
    assert actor.fetch() == []


def test_a_pruned_task_learns_it_from_its_next_report():
    actor = EventActor()
    actor.prune(2)
    assert [actor.report(Report(number, Note("r", ""))) for number in (1, 2)] == [False, True]


def test_a_stored_state_keeps_only_the_files_that_belong_to_it(tmp_path):
    StateUpdate("r/state", {"kept": b"1", "old": b"0"}, ("kept", "old")).store(tmp_path)
    StateUpdate("r/state", {"new": b"2"}, ("kept", "new")).store(tmp_path)
    files = {path.name: path.read_bytes() for path in (tmp_path / "r" / "state").iterdir()}
    assert files == {"kept": b"1", "new": b"2"}


def test_without_ray_the_error_says_how_to_install_it(tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EnsembleError, match="needs Ray, which is not installed\npip install 'ray"):
        engine_of([tiny("r")], 2, "ray")


def test_a_url_is_not_an_address(tiny):
    with pytest.raises(EnsembleError, match="run ens on a machine of the cluster\nwrite HOST:PORT"):
        engine_of([tiny("r")], 2, "ray", address="ray://1.2.3.4:10001")
