"""A blend: the same bytes from the same set, the weighted mean of its members, and scores that are what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble.blending import Options, make_blend
from ensemble.display.blends import show_blend
from ensemble.errors import DamagedError, MismatchError
from ensemble.metrics import predicted
from ensemble.predictions import Predictions
from ensemble.runs import publish
from ensemble.submission import write_submission


def with_data(run, **values):
    run = run.model_copy(update={"data": run.data.model_copy(update=values)})
    publish(run)
    return run


def labelled_test(rng, made_up, accuracy, n=60):
    predictions = made_up(rng, n, accuracy=accuracy)
    return Predictions(
        np.array([f"t{key}" for key in predictions.ids]),
        predictions.classes,
        predictions.probs,
        predictions.targets,
    )


def shuffled(draw, predictions):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, columns = rng.permutation(len(predictions.ids)), rng.permutation(len(predictions.classes))
    return Predictions(
        predictions.ids[rows],
        tuple(predictions.classes[i] for i in columns),
        predictions.probs[np.ix_(rows, columns)],
        None if predictions.targets is None else np.argsort(columns)[predictions.targets[rows]],
    )


def weights_of(blend):
    return {member.run.id: member.weight for member in blend.members}


@settings(max_examples=10)
@given(data=st.data())
def test_shuffling_rows_classes_files_or_members_gives_the_same_csv(
    data, tmp_path_factory, fake_run, made_up
):
    folder = tmp_path_factory.mktemp("shuffled")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    classes = ("b", "a", "É", "10", "9")[: data.draw(st.integers(2, 5))]
    sample = folder / "sample.csv"
    order = data.draw(st.permutations(range(12)))
    header = ",".join(["key", *data.draw(st.permutations(classes))])
    sample.write_text(
        "\n".join([header, *(f"t{i:05d}{',0' * len(classes)}" for i in order)]) + "\n"
    )
    original, again = [], []
    for name in ("m1-1-s0", "m2-1-s0", "m3-1-s0")[: data.draw(st.integers(1, 3))]:
        valid, test = made_up(rng, 30, classes, 0.8), made_up(rng, 12, classes)
        test = Predictions(np.array([f"t{key}" for key in test.ids]), test.classes, test.probs)
        original.append(fake_run(folder / "a", name, predictions=valid, test=test))
        valid, test = shuffled(data.draw, valid), shuffled(data.draw, test)
        again.append(fake_run(folder / "b", name, predictions=valid, test=test))
    options = Options(
        min_acc=0.5,
        per_arch=1,
        weights=data.draw(st.sampled_from(["accuracy", "logodds", "greedy", "best"])),
        metric=data.draw(st.sampled_from(["accuracy", "log_loss"])),
        average=data.draw(st.sampled_from(["arithmetic", "geometric"])),
        calibrate=data.draw(st.booleans()),
    )
    written = []
    for out, runs in (("x", original), ("y", data.draw(st.permutations(again)))):
        same = {
            "name": "d",
            "valid": "same",
            "fingerprint": "same",
            "sample_submission": str(sample),
        }
        blend = make_blend([with_data(run, **same) for run in runs], options)
        submission = write_submission(blend, folder / out)
        written.append(
            (submission.path.name, submission.path.read_bytes(), weights_of(blend), blend.table)
        )
    assert written[0] == written[1]


def test_a_blend_of_one_member_is_that_member(run_on):
    run = run_on("d", "a-1-s0")
    blend = make_blend([run])
    alone = run.test().canonical()
    assert weights_of(blend) == {"a-1-s0": 1}
    assert blend.predictions.ids.tolist() == alone.ids.tolist()
    assert np.array_equal(blend.predictions.probs, alone.probs)
    assert blend.valid.accuracy.value == pytest.approx(run.scores.accuracy)
    assert blend.valid.difference.value == 0
    assert blend.valid.fitted_log_loss == pytest.approx(run.scores.log_loss, abs=1e-6)
    assert blend.valid.optimism == pytest.approx(0, abs=1e-9)


def test_the_test_probabilities_are_the_weighted_mean_by_id_and_class(run_on):
    runs = [
        run_on("d", f"{name}-1-s0", accuracy=accuracy)
        for name, accuracy in zip("abc", (0.6, 0.8, 1), strict=True)
    ]
    blend = make_blend(runs)
    assert weights_of(blend) == pytest.approx({"a-1-s0": 0.25, "b-1-s0": 1 / 3, "c-1-s0": 5 / 12})
    tests = {run.id: run.test().canonical() for run in runs}
    expected = sum(weights_of(blend)[name] * tests[name].probs for name in tests)
    np.testing.assert_allclose(blend.predictions.probs, expected, rtol=0, atol=1e-15)
    np.testing.assert_allclose(blend.predictions.probs.sum(1), 1, rtol=0, atol=1e-12)


def test_members_and_weights_do_not_depend_on_the_order_of_the_runs(run_on):
    runs = [run_on("d", f"a-{i}-s0", accuracy=0.6 + i / 10) for i in range(4)]
    blend, turned = (
        make_blend(runs, Options(min_acc=0.7)),
        make_blend(runs[::-1], Options(min_acc=0.7)),
    )
    assert list(weights_of(blend).items()) == list(weights_of(turned).items())
    assert [run.id for run in turned.unused_runs] == ["a-0-s0"]
    assert blend.predictions.probs.tobytes() == turned.predictions.probs.tobytes()
    assert (blend.valid.accuracy, blend.valid.log_loss) == (
        turned.valid.accuracy,
        turned.valid.log_loss,
    )


def test_members_about_other_rows_inside_one_group_are_refused_and_named(run_on, rng, made_up):
    good = run_on("d", "a-1-s0")
    mismatched = run_on("d", "b-1-s0", predictions=made_up(rng, 199))
    with pytest.raises(
        MismatchError,
        match=r"a-1-s0 and b-1-s0 do not have the same rows: 200 and 199\n.*'00199'",
    ):
        make_blend([good, with_data(mismatched, valid=good.data.valid)])


def test_members_about_other_classes_inside_one_group_are_refused_and_named(run_on, rng, made_up):
    good = run_on("d", "a-1-s0")
    mismatched = run_on("d", "b-1-s0", predictions=made_up(rng, 200, classes=("a", "b", "z")))
    with pytest.raises(
        MismatchError, match=r"a-1-s0 and b-1-s0 do not have the same classes.*\n.*'c'.*'z'"
    ):
        make_blend([good, with_data(mismatched, valid=good.data.valid)])


def test_members_about_other_test_rows_are_refused_and_named(run_on, rng, made_up):
    runs = [run_on("d", "a-1-s0"), run_on("d", "b-1-s0", test=labelled_test(rng, made_up, 0.9))]
    with pytest.raises(
        MismatchError, match="a-1-s0 and b-1-s0 do not have the same rows: 50 and 60"
    ):
        make_blend(runs)


def test_a_member_without_a_test_set_among_others_is_refused_and_named(run_on):
    runs = [run_on("d", "a-1-s0"), with_data(run_on("d", "b-1-s0"), n_test=0)]
    with pytest.raises(
        MismatchError, match="b-1-s0 has no test predictions, a-1-s0 has\nblend the runs"
    ):
        make_blend(runs)


def test_a_damaged_member_is_named(run_on):
    runs = [run_on("d", "a-1-s0"), run_on("d", "b-1-s0")]
    (runs[1].folder / "valid.npz").write_bytes(b"half")
    with pytest.raises(
        DamagedError, match="b-1-s0/valid.npz: is not the file that run.json was written for"
    ):
        make_blend(runs)


def test_without_a_test_set_there_are_scores_and_no_predictions(run_on):
    blend = make_blend([with_data(run_on("d", f"a-{i}-s0"), n_test=0) for i in range(2)])
    assert blend.predictions is None
    assert blend.test is None
    assert blend.valid.n_rows == 200


def test_an_unlabelled_test_set_is_not_scored(run_on):
    assert make_blend([run_on("d", "a-1-s0")]).test is None


def test_a_labelled_test_set_is_scored_by_the_final_blend(run_on, rng, made_up):
    runs = [
        run_on("d", "a-1-s0", accuracy=0.9, test=labelled_test(rng, made_up, 0.8)),
        run_on("d", "b-1-s0", accuracy=0.8, test=labelled_test(rng, made_up, 1.0)),
    ]
    blend = make_blend(runs)
    hits = blend.predictions.probs.argmax(1) == blend.predictions.targets
    assert blend.test.n_rows == 60
    assert blend.test.accuracy.value == hits.mean()
    assert (blend.test.best, blend.test.best_accuracy) == ("a-1-s0", pytest.approx(0.8))
    assert blend.test.difference.value == pytest.approx(hits.mean() - 0.8)


def test_the_labels_of_the_test_set_change_nothing_but_the_test_score(
    run_on, rng, made_up, tmp_path
):
    blends = []
    for folder, shift in (("x", 0), ("y", 1)):
        runs = []
        for name, accuracy in (("a-1-s0", 0.9), ("b-1-s0", 0.6)):
            test = labelled_test(np.random.default_rng(len(runs)), made_up, 0.9)
            moved = Predictions(test.ids, test.classes, test.probs, (test.targets + shift) % 3)
            runs.append(run_on("d", name, store=tmp_path / folder, accuracy=accuracy, test=moved))
        blends.append(make_blend(runs, Options(min_acc=0.7, per_arch=1)))
    blend, blend_b = blends
    assert weights_of(blend) == weights_of(blend_b)
    assert blend.predictions.probs.tobytes() == blend_b.predictions.probs.tobytes()
    assert (blend.valid.accuracy, blend.valid.log_loss, blend.valid.fitted_accuracy) == (
        blend_b.valid.accuracy,
        blend_b.valid.log_loss,
        blend_b.valid.fitted_accuracy,
    )
    assert blend.test.accuracy.value > 0.8
    assert blend_b.test.accuracy.value < 0.2


def test_scores_carry_intervals_and_say_what_they_can_tell_apart(run_on, rng, made_up):
    runs = [
        run_on("d", f"a-{i}-s0", predictions=made_up(rng, 300, "abcde", accuracy=0.7))
        for i in range(5)
    ]
    blend = make_blend(runs)
    for value in (blend.valid.accuracy, blend.valid.log_loss):
        assert value.low < value.value < value.high
    assert blend.valid.accuracy.value > 0.85
    assert blend.valid.verdict == "better at n=300"
    assert blend.valid.optimism == blend.valid.fitted_accuracy - blend.valid.accuracy.value
    assert make_blend(runs[:1]).valid.verdict == "not distinguishable at n=300"


def test_a_blend_that_weak_members_pull_down_is_called_worse(run_on, rng, made_up):
    good = made_up(rng, 300, accuracy=1.0)
    weak = Predictions(
        good.ids, good.classes, np.roll(np.eye(3)[good.targets], 1, axis=1), good.targets
    )
    runs = [run_on("d", "a-1-s0", predictions=good)]
    runs += [run_on("d", f"b-{i}-s0", predictions=weak) for i in range(3)]
    assert make_blend(runs, Options(weights="equal")).valid.verdict == "worse at n=300"


def test_the_same_runs_give_the_same_scores_again(run_on):
    runs = [run_on("d", f"a-{i}-s0", accuracy=0.8) for i in range(3)]
    blend, again = make_blend(runs), make_blend(runs)
    assert (blend.valid.accuracy, blend.valid.log_loss, blend.valid.difference) == (
        again.valid.accuracy,
        again.valid.log_loss,
        again.valid.difference,
    )


def test_the_table_holds_the_best_member_and_every_weighting_and_marks_optimism(
    run_on, rng, made_up
):
    runs = [
        run_on("d", f"a-{i}-s0", predictions=made_up(rng, 300, accuracy=0.75 + i / 50))
        for i in range(5)
    ]
    for metric in ("accuracy", "log_loss"):
        blend = make_blend(runs, Options(metric=metric))
        names = [rating.name for rating in blend.table]
        assert names == ["best member", "equal", "accuracy", "logodds", "logloss", "greedy", "best"]
        assert blend.best.difference.value == 0
        for rating in blend.table:
            assert rating.accuracy.low <= rating.accuracy.value <= rating.accuracy.high
            assert rating.log_loss.low < rating.log_loss.value < rating.log_loss.high
        greedy = blend.table[5]
        assert greedy.optimism > 0
        if metric == "accuracy":
            assert greedy.optimism == greedy.fitted_accuracy - greedy.accuracy.value
        else:
            assert greedy.optimism == greedy.log_loss.value - greedy.fitted_log_loss


def test_best_uses_one_of_the_weightings_and_says_which(run_on, rng, made_up):
    runs = [
        run_on("d", f"a-{i}-s0", predictions=made_up(rng, 300, accuracy=a))
        for i, a in enumerate((0.5, 0.6, 0.95))
    ]
    blend = make_blend(runs, Options(weights="best"))
    assert blend.chosen_weighting in ("equal", "accuracy", "logodds", "logloss", "greedy")
    assert weights_of(blend) == weights_of(
        make_blend(runs, Options(weights=blend.chosen_weighting))
    )
    assert (
        blend.valid.fitted_accuracy
        == make_blend(runs, Options(weights=blend.chosen_weighting)).valid.fitted_accuracy
    )


def test_geometric_means_are_normalised_products(run_on):
    runs = [run_on("d", f"{name}-1-s0", accuracy=0.8) for name in "ab"]
    blend = make_blend(runs, Options(weights="equal", average="geometric"))
    product = np.prod([run.test().canonical().probs for run in runs], axis=0) ** 0.5
    np.testing.assert_allclose(
        blend.predictions.probs, product / product.sum(1, keepdims=True), atol=1e-9
    )


def test_calibration_is_shown_and_applied_only_when_asked(run_on, rng, made_up):
    runs = [run_on("d", f"a-{i}-s0", predictions=made_up(rng, 300, accuracy=0.9)) for i in range(3)]
    plain, calibrated = make_blend(runs), make_blend(runs, Options(calibrate=True))
    assert plain.calibrated == calibrated.calibrated
    assert plain.calibration is None
    assert calibrated.calibrated.after.log_loss < calibrated.calibrated.before.log_loss
    expected = calibrated.calibration.apply(plain.predictions.probs)
    np.testing.assert_array_equal(calibrated.predictions.probs, expected)
    assert plain.valid == calibrated.valid


def test_what_a_member_is_worth_and_what_another_run_would_have_added(run_on, rng, made_up):
    good = [run_on("d", f"g-{i}-s0", predictions=made_up(rng, 400, accuracy=0.9)) for i in range(3)]
    wrong = made_up(rng, 400, accuracy=0.9)
    wrong = Predictions(
        wrong.ids,
        wrong.classes,
        np.roll(np.eye(3, dtype=np.float32)[wrong.targets], 1, 1),
        wrong.targets,
    )
    bad = run_on("d", "bad-0-s0", predictions=wrong)
    blend = make_blend([*good, bad], Options(min_acc=0.5))
    assert [run.id for run in blend.unused_runs] == ["bad-0-s0"]
    assert blend.gains["bad-0-s0"] < -0.01
    assert min(blend.gains[run.id] for run in good) > 0
    joined = make_blend([*good, bad])
    assert joined.gains["bad-0-s0"] < 0
    alone = make_blend(good[:1])
    assert np.isnan(alone.gains["g-0-s0"])


def test_pairs_disagree_and_fail_together_as_often_as_counted(run_on, rng, made_up):
    runs = [
        run_on("d", f"a-{i}-s0", predictions=made_up(rng, 100, accuracy=a))
        for i, a in enumerate((0.8, 0.7, 0.9))
    ]
    blend = make_blend(runs)
    named = {run.id: run.valid().canonical().probs.argmax(1) for run in runs}
    targets = runs[0].valid().canonical().targets
    for run_a in named:
        for run_b in named:
            assert blend.disagreement(run_a, run_b) == pytest.approx(
                (named[run_a] != named[run_b]).mean()
            )
            both = (named[run_a] != targets) & (named[run_b] != targets)
            assert blend.double_fault(run_a, run_b) == pytest.approx(both.mean())
    assert blend.disagreement(*blend.most_similar) == min(
        blend.disagreement(a, b) for a in named for b in named if a != b
    )


def test_equal_weights_are_scikit_learns_soft_vote(run_on, rng, made_up):
    from sklearn.ensemble import VotingClassifier

    class Said:
        """A classifier that says what it was given."""

        def __init__(self, probs):
            self.probs = probs

        def predict_proba(self, _):
            return self.probs

    runs = [run_on("d", f"a-{i}-s0", accuracy=0.7) for i in range(3)]
    blend = make_blend(runs, Options(weights="accuracy"))
    vote = VotingClassifier([("a", None)], voting="soft", weights=list(weights_of(blend).values()))
    vote.estimators_ = [Said(run.test().canonical().probs) for run in runs]
    vote.estimators = [(run.id, est) for run, est in zip(runs, vote.estimators_, strict=True)]
    np.testing.assert_allclose(blend.predictions.probs, vote.predict_proba(None), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_half_precision_and_sums_of_0_999_blend_as_their_shares(dtype, run_on, rng, made_up):
    exact = made_up(rng, 100)
    rough = Predictions(
        exact.ids, exact.classes, (exact.probs * 0.999).astype(dtype), exact.targets
    )
    blend = make_blend(
        [run_on("d", "a-1-s0", predictions=exact), run_on("d", "b-1-s0", predictions=rough)]
    )
    assert blend.disagreement("a-1-s0", "b-1-s0") <= 0.01
    np.testing.assert_allclose(blend.predictions.probs.sum(1), 1, atol=1e-12)


def test_copies_of_one_run_are_not_distinguishable_and_best_stays_with_the_simplest(
    run_on, rng, made_up
):
    predictions = made_up(rng, 150, accuracy=0.8)
    for n_copies in (2, 3, 6, 7):
        runs = [
            run_on("d", f"a{n_copies}-{i}-s0", predictions=predictions) for i in range(n_copies)
        ]
        blend = make_blend(runs, Options(metric="log_loss", weights="best"))
        assert {rating.verdict for rating in blend.table} == {"not distinguishable at n=150"}
        assert blend.chosen_weighting == "equal"


@pytest.mark.parametrize("seed", range(8))
def test_the_blend_that_is_scored_is_the_one_that_is_written_where_members_vote(
    seed, run_on, made_up
):
    rng, runs = np.random.default_rng(seed), []
    for i in range(6):
        predictions = made_up(rng, 60, accuracy=rng.choice([0.3, 0.4, 0.5, 0.6, 0.7]))
        votes = Predictions(
            predictions.ids,
            predictions.classes,
            np.eye(3, dtype=np.float32)[predictions.probs.argmax(1)],
            predictions.targets,
        )
        runs.append(run_on("d", f"a{seed}-{i}-s0", predictions=votes, test=votes))
    for weights in ("accuracy", "equal"):
        plain = make_blend(runs, Options(weights=weights))
        assert plain.test.accuracy.value == pytest.approx(plain.valid.fitted_accuracy)
        calibrated = make_blend(runs, Options(weights=weights, calibrate=True))
        assert np.array_equal(
            predicted(calibrated.predictions.probs), predicted(plain.predictions.probs)
        )


def test_the_best_member_is_one_that_the_selection_lets_in(run_on, rng, made_up):
    sure = made_up(rng, 200, accuracy=0.8)
    runs = [run_on("d", "a-1-s0", accuracy=0.9), run_on("d", "c-1-s0", predictions=sure)]
    runs[1] = with_data(runs[1], valid=runs[0].data.valid)
    blend = make_blend(runs, Options(min_acc=0.85, metric="log_loss"))
    assert blend.best.fitted_accuracy == pytest.approx(0.9)


def test_a_best_member_about_other_test_rows_is_refused(run_on, rng, made_up):
    runs = [
        run_on("d", "a-1-s0", accuracy=0.8, test=labelled_test(rng, made_up, 0.9, 30)),
        run_on("d", "b-1-s0", accuracy=0.9, test=labelled_test(rng, made_up, 0.9, 20)),
    ]
    with pytest.raises(MismatchError, match="do not have the same rows"):
        make_blend(runs)


def test_a_log_loss_is_never_below_0(run_on):
    rng, targets = np.random.default_rng(0), np.arange(40) % 2
    runs = []
    for i in range(3):
        right = rng.random(40) < 0.95
        true = np.where(right, 0.999, 0.02)
        probs = np.where(np.arange(2) == targets[:, None], true[:, None], 1 - true[:, None]).astype(
            np.float32
        )
        predictions = Predictions(
            np.array([f"{n:02d}" for n in range(40)]), ("a", "b"), probs, targets
        )
        runs.append(run_on("d", f"a-{i}-s0", predictions=predictions))
    for rating in make_blend(runs).table:
        assert 0 <= rating.log_loss.low <= rating.log_loss.value <= rating.log_loss.high


def test_one_row_is_blended_and_calibrated_by_nothing(run_on, rng, made_up):
    runs = [
        run_on("d", f"a-{i}-s0", predictions=made_up(rng, 1, "ab", accuracy=1)) for i in range(2)
    ]
    blend = make_blend(runs)
    assert blend.calibrated.before == blend.calibrated.after
    assert make_blend(runs).calibrated == blend.calibrated


def test_a_calibration_that_does_not_help_is_neither_offered_nor_applied(run_on):
    rng = np.random.default_rng(9)
    honest = rng.dirichlet(np.ones(3), 60)
    targets = (honest.cumsum(1) < rng.random((60, 1))).sum(1)
    ids = np.array([f"{i:03d}" for i in range(60)])
    run = run_on("d", "a-1-s0", predictions=Predictions(ids, ("a", "b", "c"), honest, targets))
    blend = make_blend([run], Options(calibrate=True))
    assert not blend.calibrated.helps
    assert blend.calibration is None
    np.testing.assert_array_equal(blend.predictions.probs, make_blend([run]).predictions.probs)


def test_weights_that_weak_members_drag_down_are_a_warning_and_a_better_weighting_is_named(
    run_on, rng, made_up, capsys
):
    runs = [run_on("d", "a-1-s0", predictions=made_up(rng, 600, accuracy=0.95))]
    for name in ("b", "c", "d"):
        runs.append(run_on("d", f"{name}-1-s0", predictions=made_up(rng, 600, accuracy=0.4)))
    blend = make_blend(runs)
    assert blend.valid.verdict == "worse at n=600"
    best = make_blend(runs, Options(weights="best"))
    assert blend.favored == best.chosen_weighting != "accuracy"
    rating = next(rating for rating in blend.table if rating.name == blend.favored)
    assert blend.favored_gain == rating.score.value - blend.valid.score.value > 0.01
    assert best.favored == ""
    assert make_blend(runs, Options(weights=blend.favored)).favored == ""
    by_loss = make_blend(runs, Options(metric="log_loss"))
    assert by_loss.favored_gain > 0
    show_blend(blend)
    shown = capsys.readouterr().out
    assert "warning: accuracy weights are worse than the best member alone: -" in shown
    assert f"the table favors {blend.favored} weights: +" in shown
    show_blend(best)
    shown = capsys.readouterr().out
    assert "warning:" not in shown
    assert "the table favors" not in shown
