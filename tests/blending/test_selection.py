"""Which runs blend together, and which of them are in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.blending import Options, make_blend
from ensemble.blending.selection import Selection, choose_group
from ensemble.errors import SelectionError


def at(hour):
    return f"2024-01-01T{hour:02d}:00:00+00:00"


def ids(runs):
    return [run.id for run in runs]


def test_the_only_data_set_is_taken_and_nothing_is_left_out(run_on):
    runs = [run_on("flowers", "b-1-s0"), run_on("flowers", "a-1-s0")]
    group = choose_group(runs)
    assert (group.name, ids(group.runs), group.left_out) == ("flowers", ["a-1-s0", "b-1-s0"], {})


def test_the_newest_finished_run_decides_the_data_set_and_the_others_are_counted(run_on):
    old = [run_on("flowers", f"a-1-s{seed}", created=at(1)) for seed in range(2)]
    new = [run_on("cifar10", "b-1-s0", created=at(0)), run_on("cifar10", "b-1-s1", created=at(2))]
    digits = [run_on("digits", "c-1-s0", created=at(1))]
    for order in (old + new + digits, digits + new[::-1] + old):
        group = choose_group(order)
        assert (group.name, ids(group.runs)) == ("cifar10", ["b-1-s0", "b-1-s1"])
        assert group.left_out == {"digits": 1, "flowers": 2}


def test_the_data_set_can_be_chosen(run_on):
    runs = [run_on("flowers", "a-1-s0", created=at(1)), run_on("cifar10", "b-1-s0", created=at(2))]
    group = choose_group(runs, data="flowers")
    assert (ids(group.runs), group.left_out) == (["a-1-s0"], {"cifar10": 1})


def test_other_validation_rows_of_the_same_data_set_are_another_group(run_on, rng, made_up):
    old = run_on("flowers", "a-1-s0", created=at(1))
    new = run_on("flowers", "a-2-s0", created=at(2), predictions=made_up(rng, 30))
    for data in (None, "flowers"):
        group = choose_group([new, old], data)
        assert (ids(group.runs), group.left_out) == (["a-2-s0"], {"flowers": 1})


def test_a_data_set_without_runs_is_told_with_those_there_are(run_on):
    runs = [run_on("flowers", "a-1-s0"), run_on("cifar10", "b-1-s0")]
    with pytest.raises(SelectionError) as refused:
        choose_group(runs, data="flower")
    assert (
        str(refused.value)
        == "--data flower: no finished run uses this data set\nfinished runs use cifar10, flowers"
    )


def test_no_runs_at_all_is_told_with_what_to_do():
    with pytest.raises(SelectionError, match="no finished run .*\n.*`ens train RECIPE` makes one"):
        choose_group([])


@pytest.mark.parametrize(
    ("n", "accuracy", "min_acc", "is_in"),
    [
        (200, 0.95, 0.95, True),
        (2000, 1899 / 2000, 0.95, False),  # shown as 94.95 %, 95 % where digits are short
        (30, 20 / 30, 2 / 3, True),
        (30, 20 / 30, np.nextafter(2 / 3, 1), False),
        (10, 0.7, 0.7, True),
        (10, 1.0, 1.0, True),
    ],
)
def test_a_run_is_in_from_exactly_the_threshold_on_never_by_rounding(
    n, accuracy, min_acc, is_in, run_on, rng, made_up
):
    run_on_threshold = run_on("d", "a-1-s0", predictions=made_up(rng, n, accuracy=accuracy))
    runs = [run_on_threshold, run_on("d", "b-1-s0", predictions=made_up(rng, n, accuracy=1))]
    blend = make_blend(runs, Options(min_acc=float(min_acc)))
    assert ids(member.run for member in blend.members) == (
        ["a-1-s0", "b-1-s0"] if is_in else ["b-1-s0"]
    )
    assert ids(blend.unused_runs) == ([] if is_in else ["a-1-s0"])


def test_each_architecture_keeps_its_best_run_and_says_why(run_on):
    runs = [
        run_on("d", "r-1-s0", accuracy=0.97, arch="resnet18"),
        run_on("d", "r-1-s1", accuracy=0.96, arch="resnet18"),
        run_on("d", "v-1-s0", accuracy=0.80, arch="vgg19.tv_in1k"),
        run_on("d", "v-1-s1", accuracy=0.81, arch="vgg19.other_weights"),
    ]
    blend = make_blend(runs, Options(min_acc=0.97, per_arch=1))
    assert {member.run.id: member.reason for member in blend.members} == {
        "r-1-s0": "",
        "v-1-s1": "kept for vgg19",
    }
    assert ids(blend.unused_runs) == ["r-1-s1", "v-1-s0"]


def test_without_a_threshold_every_run_is_in_for_no_special_reason(run_on):
    blend = make_blend(
        [run_on("d", "a-1-s0", accuracy=0.1), run_on("d", "b-1-s0", accuracy=0.9)],
        Options(per_arch=1),
    )
    assert [member.reason for member in blend.members] == ["", ""]


def test_where_nothing_reaches_the_threshold_the_best_run_is_named(run_on):
    runs = [run_on("d", "a-1-s0", accuracy=0.8), run_on("d", "b-1-s0", accuracy=0.9)]
    with pytest.raises(SelectionError) as refused:
        make_blend(runs, Options(min_acc=0.95))
    assert "b-1-s0" in str(refused.value)
    assert "at 0.9" in str(refused.value)
    assert "--per-arch 1" in str(refused.value)


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.5, 0.9, 0.95, 1.0]), st.sampled_from("vrd")),
        min_size=1,
        max_size=9,
    ),
    st.sampled_from([0.0, 0.5, 0.95, 1.0]),
    st.integers(0, 3),
)
def test_a_run_is_in_by_the_threshold_or_as_one_of_the_best_of_its_architecture(
    runs, min_acc, per_arch
):
    accuracies, archs = np.array([run[0] for run in runs]), [run[1] for run in runs]
    kept = Selection(min_acc, per_arch).chosen(accuracies, accuracies, archs)
    assert list(kept) == sorted(kept)
    for i, (accuracy, arch) in enumerate(runs):
        of_arch = [j for j, other_arch in enumerate(archs) if other_arch == arch]
        ahead = [j for j in of_arch if (-accuracies[j], j) < (-accuracy, i)]
        if accuracy >= min_acc:
            assert kept[i] == ""
        elif len(ahead) < per_arch:
            assert kept[i] == f"kept for {arch}"
        else:
            assert i not in kept


def test_at_most_so_many_are_in_the_best_by_the_metric(run_on):
    accuracies, losses = np.array([0.9, 0.8, 0.7, 0.9]), np.array([0.5, 0.1, 0.2, 0.6])
    archs = ["v", "r", "r", "v"]
    assert list(Selection(max_members=2).chosen(accuracies, accuracies, archs)) == [0, 3]
    assert list(Selection(max_members=2).chosen(accuracies, -losses, archs)) == [1, 2]
    assert list(
        Selection(min_acc=0.85, per_arch=1, max_members=3).chosen(accuracies, accuracies, archs)
    ) == [0, 1, 3]
    runs = [run_on("d", f"a-{i}-s0", accuracy=0.7 + i / 20) for i in range(4)]
    blend = make_blend(runs, Options(max_members=2))
    assert ids(member.run for member in blend.members) == ["a-2-s0", "a-3-s0"]
    assert ids(blend.unused_runs) == ["a-0-s0", "a-1-s0"]
