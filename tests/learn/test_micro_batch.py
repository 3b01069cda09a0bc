"""Out of memory: training goes on with fewer images at a time and steps on the recipe's batch all the same."""

import pytest
import torch
from fastai.callback.core import Callback

from ensemble.dataset.load import load
from ensemble.errors import TrainingError
from ensemble.events import Note, ignore
from ensemble.learn import fitting
from ensemble.learn.build_learner import set_up
from ensemble.learn.callbacks import SeedEpochs
from ensemble.learn.features import feature_learner
from ensemble.learn.micro_batch import MicroBatch, at_a_size_that_fits
from ensemble.runs import RunStore
from ensemble.runs.job import Job

NO_NORM = "model.arch=test_vit"  # without batch norm a sum of parts is the whole
# a schedule moves with every part of a batch, by less than one step
SAID = (
    NO_NORM,
    "model.head=keep",
    "fit.lr=0.0003",
    "fit.epochs=3",
    "fit.schedule=constant",
)


class Short(Callback):
    """Memory for so many images of a training step, from the n-th step on."""

    order = SeedEpochs.order + 1

    def __init__(self, most, first=0):
        self.most, self.first, self.n_steps = most, first, 0

    def before_batch(self):
        self.n_steps += self.training
        if self.training and self.n_steps > self.first and len(self.x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.fixture
def short(monkeypatch):
    """short(most, first): from here on training has memory for so many images at a time."""

    def short(most, first=0):
        one = Short(most, first)
        plain = fitting.schedule
        monkeypatch.setattr(fitting, "schedule", lambda *given: [*plain(*given), one])

    return short


def notes(made):
    return [
        event.text
        for event in made.events
        if isinstance(event, Note) and "out of memory" in event.text
    ]


def test_micro_batches_step_as_the_whole_batch(fit, short):
    whole = fit(*SAID)
    short(4)
    made = fit(*SAID)
    assert (made.trained.record.batch_size, made.trained.record.micro_batch) == (16, 4)
    assert len(notes(made)) == 2
    assert "4 images at a time, gradients accumulated over 16; batch norm uses 4" in notes(made)[1]
    for mine, theirs in zip(made.trained.history, whole.trained.history, strict=True):
        assert mine.valid_loss == pytest.approx(theirs.valid_loss, abs=1e-3)


def test_micro_batches_of_an_odd_batch_add_up_to_it(fit, short):
    said = (*SAID, "fit.batch_size=15")
    whole = fit(*said)
    short(7)
    made = fit(*said)
    assert (made.trained.record.batch_size, made.trained.record.micro_batch) == (15, 5)
    for mine, theirs in zip(made.trained.history, whole.trained.history, strict=True):
        assert mine.valid_loss == pytest.approx(theirs.valid_loss, abs=1e-3)


def test_the_head_on_cached_features_steps_on_the_whole_batch_while_images_pass_in_micro_batches(
    recipe_of,
):
    recipe = recipe_of("model.arch=resnet10t", "fit.strategy=feature_extract")
    setup = set_up(Job(recipe, 0), load(recipe.data), RunStore(), ignore)
    MicroBatch(setup.learn, print).shrink(4)
    learn = feature_learner(setup, recipe.model, 1, 0, lambda *_: None)
    assert (setup.learn.dls.train.bs, learn.dls.train.bs) == (4, 16)


def test_memory_that_runs_out_later_costs_the_epoch_in_hand_alone(fit, short):
    short(8, first=5)  # two steps an epoch: in the third
    made = fit(*SAID)
    assert [row.epoch for row in made.trained.history] == [1, 2, 3]
    assert made.trained.record.micro_batch == 8
    first_two = fit(*SAID).trained.history[:2]
    assert len(first_two) == 2


def test_when_a_pair_is_too_much_the_error_says_what_to_change(fit, short):
    short(1)
    with pytest.raises(
        TrainingError,
        match="out of memory .* asked for 2.00 GiB more\nset a smaller fit.batch_size",
    ):
        fit(*SAID)


def test_auto_takes_the_usual_batch_where_it_fits(fit):
    made = fit("fit.batch_size=auto")
    assert (
        made.trained.record.batch_size == made.trained.record.micro_batch == 38
    )  # no more than there are images


def memory_for(most, tried):
    """Work that has memory for this size, and lists the sizes it is tried at."""

    def work(size):
        tried.append(size)
        if size > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return f"done at {size}"

    return work


def test_work_is_tried_at_half_the_size_until_it_fits():
    tried = []
    assert at_a_size_that_fits(memory_for(5, tried), 17) == ("done at 4", 4)
    assert tried == [17, 8, 4]


def test_work_that_does_not_fit_at_size_one_raises_the_error_itself():
    tried = []
    with pytest.raises(torch.OutOfMemoryError):
        at_a_size_that_fits(memory_for(0, tried), 4)
    assert tried == [4, 2, 1]


def test_an_error_of_another_kind_is_not_tried_again():
    tried = []

    def work(size):
        tried.append(size)
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        at_a_size_that_fits(work, 4)
    assert tried == [4]
