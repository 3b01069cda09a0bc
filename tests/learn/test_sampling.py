"""What an epoch draws when every class is to appear equally often."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.dataset.load import load
from ensemble.errors import RecipeError
from ensemble.learn.build_learner import set_up
from ensemble.learn.features import feature_learner
from ensemble.learn.sampling import balanced_order
from ensemble.runs import RunStore
from ensemble.runs.job import Job

LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=80).map(np.array)


@given(labels=LABELS, seed=st.integers(0, 99))
def test_an_epoch_has_as_many_images_each_class_equally_often(labels, seed):
    order = balanced_order(labels, random.Random(seed))
    assert len(order) == len(labels)
    counts = np.unique(labels[order], return_counts=True)[1]
    expected = len(labels) / len(np.unique(labels))
    assert len(labels) < len(np.unique(labels)) or counts.max() - counts.min() <= 1
    assert abs(counts - expected).max() < 1
    assert order == balanced_order(labels, random.Random(seed))


@given(labels=LABELS, seed=st.integers(0, 99))
def test_no_image_repeats_before_all_of_its_class_were_drawn(labels, seed):
    order = balanced_order(labels, random.Random(seed))
    draws = np.bincount(order, minlength=len(labels))
    for label in np.unique(labels):
        of_class = draws[labels == label]
        assert of_class.max() - of_class.min() <= 1


def test_equal_classes_are_a_plain_shuffle_of_all_images():
    labels = np.arange(60) % 3
    order = balanced_order(labels, random.Random(0))
    assert sorted(order) == list(range(60))
    assert order != sorted(order)
    assert order != balanced_order(labels, random.Random(1))


def counts_of_an_epoch(loader):
    return np.bincount(np.concatenate([y.numpy() for _, y in loader]), minlength=3).tolist()


@pytest.fixture
def built(recipe_of, tmp_path):
    """built(*overrides): the Learner of the small recipe, whose second and third class have few images."""

    def built(*overrides):
        recipe = recipe_of("fit.batch_size=2", *overrides)
        folders = sorted(
            path for path in (tmp_path / "images" / "train").iterdir() if path.is_dir()
        )
        for folder in folders[1:]:
            for file in sorted(folder.iterdir())[8:]:
                file.unlink()
        return set_up(Job(recipe, 0), load(recipe.data), RunStore(), lambda event: None)

    return built


def test_batches_hold_every_class_equally_often_in_training_alone(built):
    shuffled, balanced = built(), built("fit.sampler=balanced")
    assert max(counts_of_an_epoch(shuffled.learn.dls.train)) >= 12
    counts = counts_of_an_epoch(balanced.learn.dls.train)
    assert max(counts) - min(counts) <= 2  # a remainder, and an image that no batch has
    valid = [counts_of_an_epoch(either.learn.dls.valid) for either in (shuffled, balanced)]
    assert valid[0] == valid[1]


def test_cached_features_are_drawn_equally_often_too(built, recipe_of):
    balanced = built("fit.sampler=balanced")
    learn = feature_learner(balanced, recipe_of().model, 1, 0, lambda done, total: None)
    counts = counts_of_an_epoch(learn.dls.train)
    assert max(counts) - min(counts) <= 2
    assert len(learn.dls.train.features[0]) == len(balanced.images.readable("train"))


def test_two_remedies_for_rare_classes_are_refused(fit):
    with pytest.raises(RecipeError, match="exclude each other"):
        fit("fit.sampler=balanced", "fit.class_weights=balanced")
