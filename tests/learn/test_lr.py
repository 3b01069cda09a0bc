"""The range test: it changes nothing else, its curve is fastai's own, and a curve that says nothing is told so."""

import json
import math

import numpy as np
import pytest
import torch
from fastai.callback.schedule import minimum, slide, steep, valley
from hypothesis import given
from hypothesis import strategies as st

from ensemble.dataset.load import load
from ensemble.events import Note, Step
from ensemble.learn import learner
from ensemble.learn.callbacks import FrozenInEval, SeedEpochs
from ensemble.learn.keepers import copy_of
from ensemble.learn.lr import FALLBACK, RULES, n_steps_for, range_test, read_curve
from ensemble.learn.train import find_lr
from ensemble.runs.job import Job

HEAD = "model.head={pool: avg, hidden: [8], dropout: 0.5}"


def rates(n=100, start=1e-7, end=10):
    return (start * (end / start) ** (np.arange(n) / n)).tolist()


def a_valley(n=100):
    """A loss that is flat, falls and rises steeply, as a real one does."""
    t = np.arange(n) / n
    return (
        2.0 - 1.5 / (1 + np.exp(-20 * (t - 0.5))) + 6 * np.maximum(t - 0.85, 0) ** 2 * 50
    ).tolist()


@pytest.mark.slow
@pytest.mark.parametrize(
    "said",
    [
        ("augment=standard", HEAD),
        ("fit.strategy=fine_tune", "augment=standard", HEAD),
        ("fit.strategy=fine_tune", "augment.mixup=0.4", "model.options={drop_rate: 0.3}"),
    ],
    ids=["scratch", "frozen first", "mixup"],
)
def test_a_found_rate_gives_the_same_bytes_as_that_rate_written_in_the_recipe(said, fit):
    found = fit(*said, "fit.lr=find")
    written = fit(*said, f"fit.lr={found.trained.record.lr!r}")
    assert found.trained.range_test
    assert not written.trained.range_test
    assert written.trained.record.lr == found.trained.record.lr
    assert written.files == found.files


def test_another_rate_gives_other_bytes(fit):
    assert fit("fit.lr=0.001").weights != fit("fit.lr=0.0011").weights


def test_the_curve_and_every_rule_are_those_of_fastais_lr_find(recipe_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # fastai's leaves a folder behind
    recipe = recipe_of("fit.lr=find")
    found = find_lr(Job(recipe, 0), load(recipe.data))
    learn = learner(recipe)
    with learn.no_bar(), learn.no_logging():
        learn.add_cbs([SeedEpochs(0, "lr_find"), FrozenInEval()])
        theirs = learn.lr_find(
            1e-5, 1, found.n_steps, show_plot=False, suggest_funcs=(valley, slide, steep, minimum)
        )
    assert found.suggestions == theirs._asdict()
    assert found.chosen == theirs.valley
    assert (found.rule, found.note) == ("valley", "")
    assert np.allclose(found.losses, [float(loss) for loss in learn.recorder.losses])


def test_a_recipe_may_name_another_rule(recipe_of):
    recipe = recipe_of("fit.lr={find: minimum}")
    found = find_lr(Job(recipe, 0), load(recipe.data))
    assert found.rule == "minimum"
    assert found.chosen == found.suggestions["minimum"] != found.suggestions["valley"]


def test_finding_a_rate_leaves_no_file_and_puts_the_network_back(recipe_of, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    learn = learner(recipe_of("fit.lr=find"))
    before, path = copy_of(learn.model), learn.path
    with learn.no_bar(), learn.no_logging():
        range_test(learn, "valley", 40, [SeedEpochs(0, "lr_find"), FrozenInEval()])
    assert list(here.iterdir()) == []
    assert learn.path == path
    after = learn.model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_the_range_test_reports_its_steps(recipe_of):
    recipe, events = recipe_of("fit.lr=find"), []
    found = find_lr(Job(recipe, 0), load(recipe.data), events.append)
    steps = [event for event in events if isinstance(event, Step) and event.phase == "lr_find"]
    assert [step.done for step in steps] == list(range(1, len(steps) + 1))
    assert (
        len(steps) >= len(found.losses) - 1
    )  # fastai ends the test before listeners hear of the last step
    assert {step.total for step in steps} == {40}
    (note,) = [event.text for event in events if isinstance(event, Note)]
    assert (
        note
        == f"range test: rate {found.chosen:.2g} (valley rule, 40 steps, 2000% of the 2 training steps)"
    )


@pytest.mark.parametrize(
    ("epochs", "n_steps", "start", "end"), [(250, 100, 1e-7, 10), (200, 80, 1e-5, 1)]
)
def test_a_long_run_is_tested_over_the_full_range_and_a_shorter_one_over_a_narrower(
    epochs, n_steps, start, end, recipe_of
):
    recipe = recipe_of("fit.lr=find", f"fit.epochs={epochs}")  # two steps an epoch
    found = find_lr(Job(recipe, 0), load(recipe.data))
    assert found.n_steps == n_steps
    assert found.rates[0] == pytest.approx(start)
    assert found.rates[1] / found.rates[0] == pytest.approx((end / start) ** (1 / n_steps))


@given(st.integers(0, 10**7))
def test_a_range_test_has_40_to_100_steps_a_fifth_of_the_run(n):
    assert n_steps_for(n) == min(max(n // 5, 40), 100)


def test_a_normal_valley_gives_fastais_answers():
    losses = a_valley()
    found = read_curve(rates(), losses, "valley", 100)
    x, y = torch.tensor(rates()[10:-5]), torch.tensor(losses[10:-5])
    assert found.suggestions == {name: rule(x, y, 100)[0] for name, rule in RULES.items()}
    assert found.chosen == valley(x, y, 100)[0]
    assert (found.rule, found.note) == ("valley", "")
    assert (found.rates, found.losses) == (tuple(rates()), tuple(losses))


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_of_the_recipe_is_taken(rule):
    found = read_curve(rates(), a_valley(), rule, 100)
    assert found.chosen == found.suggestions[rule]
    assert found.rule == rule


NAN = float("nan")
CURVES = {
    "flat": ([2.0] * 100, "the curve is flat"),
    "nearly flat": ([2 - 1e-4 * i for i in range(100)], "the curve is flat"),
    "only rising": ([2 + 0.05 * i for i in range(100)], "the loss only rises"),
    "falling before the rules look": (
        [2.615 - 0.0131 * i for i in range(11)] + [2.484 + 0.04 * i for i in range(89)],
        "the loss falls from 2.615 to 2.484 at the rate 6.3e-07 and rises from there",
    ),
    "falling by little, then rising": (
        [2 - 1e-3 * i for i in range(30)] + [1.98 + 0.05 * i for i in range(70)],
        "the loss falls from 2.000 to 1.971 at the rate 2.1e-05 and rises from there",
    ),
    "falling at the very end": (
        [2.0] * 96 + [1.9, 1.8, 1.7, 1.6],
        "the loss falls from 2.000 to 1.600 at the rate 8.3 in steps that the rules leave out",
    ),
    "rising unevenly": (
        [2 + 0.1 * i + 0.11 * (i % 2) for i in range(100)],
        "the loss never falls below its first value, 2.000",
    ),
    "nan at once": ([NAN] * 100, "only 0 points before the loss was NaN or infinite"),
    "nan early": (
        [2.0, 1.9, 1.8, *[NAN] * 97],
        "only 0 points before the loss was NaN or infinite",
    ),
    "infinite early": (
        [2 - 0.05 * i for i in range(16)] + [math.inf] * 4,
        "only 6 points before the loss was NaN or infinite",
    ),
    "too short": (a_valley()[:14], "only 4 points"),
    "empty": ([], "only 0 points"),
}


@pytest.mark.parametrize("case", CURVES)
@pytest.mark.parametrize("rule", RULES)
def test_a_curve_that_no_rule_can_read_falls_back_to_one_thousandth_with_the_reason(rule, case):
    losses, reason = CURVES[case]
    found = read_curve(rates(len(losses)), losses, rule, 100)
    assert (found.chosen, found.rule) == (1e-3, "fallback")
    assert found.chosen == FALLBACK
    assert found.note.startswith(f"the range test found no rate ({reason}")
    assert found.note.endswith("; using 0.001")
    json.dumps(
        [found.losses, found.suggestions], allow_nan=False
    )  # run.json must be able to hold it


def test_points_after_a_nan_loss_do_not_count():
    losses = [*a_valley()[:80], *[NAN] * 20]
    found = read_curve(rates(), losses, "valley", 100)
    assert found.note == ""
    assert len(found.losses) == len(found.rates) == 80
    assert found.chosen == read_curve(rates()[:80], losses[:80], "valley", 100).chosen


def test_a_rule_with_too_few_points_is_none_and_a_fallback_where_the_recipe_names_it():
    losses = np.linspace(2, 1, 19).tolist()
    found = read_curve(rates(19), losses, "slide", 40)
    assert found.suggestions["slide"] is None
    assert all(found.suggestions[rule] for rule in ("valley", "steep", "minimum"))
    assert (found.chosen, found.rule) == (1e-3, "fallback")
    assert "the slide rule found too few points" in found.note
    assert read_curve(rates(19), losses, "valley", 40).note == ""
