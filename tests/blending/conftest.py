"""Runs about chosen data sets, and the blends made of them."""

import pytest

from ensemble.runs import publish


@pytest.fixture
def run_on(tmp_path, fake_run):
    """run_on(data, name, **as fake_run): a finished run on a data set of this name; its store is tmp_path / "runs"."""

    def make(data, name, store=None, **said):
        run = fake_run(store or tmp_path / "runs", name, **said)
        run = run.model_copy(update={"data": run.data.model_copy(update={"name": data})})
        publish(run)
        return run

    return make
