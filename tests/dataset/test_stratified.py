"""Splits depend on ids and a seed alone."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.dataset.stratified import held_out
from ensemble.errors import DataError

COUNTS = st.lists(st.integers(2, 40), min_size=1, max_size=8)
SHARES = st.floats(0.01, 0.99)
SEEDS = st.integers(0, 2**32 - 1)


def rows(counts):
    labels = [f"class {c}" for c, count in enumerate(counts) for _ in range(count)]
    return [f"{label}/{i}" for i, label in enumerate(labels)], labels


@given(COUNTS, SHARES, SEEDS)
def test_every_class_stands_on_both_sides_and_counts_are_within_rounding(counts, share, seed):
    ids, labels = rows(counts)
    mask = held_out(ids, labels, share, seed, "valid")
    held = Counter(label for label, is_held in zip(labels, mask, strict=True) if is_held)
    for name, count in Counter(labels).items():
        assert 1 <= held[name] <= count - 1
        assert abs(held[name] - np.clip(count * share, 1, count - 1)) <= 1 + 1e-9


@given(st.lists(st.integers(20, 60), min_size=1, max_size=8), st.floats(0.1, 0.9), SEEDS)
def test_the_total_is_the_rounded_share_where_no_class_is_tiny(counts, share, seed):
    ids, labels = rows(counts)
    assert held_out(ids, labels, share, seed, "valid").sum() == round(len(ids) * share)


@given(COUNTS, SHARES, SEEDS, st.data())
def test_the_order_of_the_files_does_not_matter(counts, share, seed, data):
    ids, labels = rows(counts)
    mask = held_out(ids, labels, share, seed, "valid")
    order = data.draw(st.permutations(range(len(ids))))
    shuffled = held_out([ids[i] for i in order], [labels[i] for i in order], share, seed, "valid")
    assert shuffled.tolist() == mask[order].tolist()


@given(COUNTS, SHARES, SEEDS)
def test_the_same_seed_gives_the_same_split(counts, share, seed):
    ids, labels = rows(counts)
    masks = [held_out(ids, labels, share, seed, "valid") for _ in range(2)]
    assert masks[0].tolist() == masks[1].tolist()


def test_another_seed_or_another_use_gives_another_split():
    ids, labels = rows([50, 50])
    masks = [
        held_out(ids, labels, 0.3, seed, use)
        for seed, use in [(0, "valid"), (1, "valid"), (0, "test")]
    ]
    assert len({mask.tobytes() for mask in masks}) == 3


def test_a_tiny_class_does_not_take_the_rounding_of_the_others():
    ids, labels = rows([3, 5, 5])  # 0.9, 1.5 and 1.5 rows of four
    held = Counter(np.array(labels)[held_out(ids, labels, 0.3, 0, "valid")].tolist())
    assert held == {"class 0": 1, "class 1": 2, "class 2": 1}


def test_a_split_is_the_same_on_every_machine_and_in_every_version():
    ids, labels = rows([5, 5])
    held = [
        key
        for key, is_held in zip(ids, held_out(ids, labels, 0.4, 0, "valid"), strict=True)
        if is_held
    ]
    assert held == ["class 0/1", "class 0/4", "class 1/5", "class 1/9"]


def test_a_class_with_one_image_is_refused_by_name():
    with pytest.raises(DataError) as refused:
        held_out(["1", "2", "3", "4"], ["cat", "cat", "owl", "emu"], 0.5, 0, "valid")
    assert str(refused.value).startswith(
        "class 'emu' has one image and cannot be split (2 such classes)\nadd images"
    )
