"""What is asked of the device and cannot be had is said before training; what can be had is used."""

import pytest

from ensemble.errors import TrainingError
from ensemble.learn import learner
from ensemble.learn.device import device


def test_a_compiled_network_keeps_its_parameters_names(recipe_of):
    plain, compiled = (
        learner(recipe_of(f"fit.compile={said}")).model for said in ("false", "true")
    )
    assert (
        compiled._compiled_call_impl is not None
    )  # made at the first call: a minute or two on a CPU
    assert plain._compiled_call_impl is None
    assert list(compiled.state_dict()) == list(plain.state_dict())


@pytest.mark.skipif(device().type != "cpu", reason="a GPU's compiler is another one")
def test_without_a_compiler_the_recipe_is_refused(recipe_of, monkeypatch):
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    with pytest.raises(TrainingError, match=r"fit\.compile: no C\+\+ compiler found\ninstall"):
        learner(recipe_of("fit.compile=true"))
