"""Blends of runs that were trained for a chosen sample submission."""

import pytest

from ensemble.blending import make_blend
from ensemble.runs import publish


@pytest.fixture
def blend_of(tmp_path, rng, fake_run, made_up):
    """blend_of(*tests, options, **data): a blend of one run per test predictions; data are fields
    of its DataInfo.

    The runs are a_0-1-s0, a_1-1-s0, … in tmp_path / "runs".
    """

    def blend_of(*tests, options=None, **data):
        runs = []
        for i, test in enumerate(tests):
            valid = made_up(rng, 40, tests[0].classes)
            run = fake_run(tmp_path / "runs", f"a_{i}-1-s0", predictions=valid, test=test)
            run = run.model_copy(update={"data": run.data.model_copy(update=data)})
            publish(run)
            runs.append(run)
        return make_blend(runs, options)

    return blend_of
