"""Predictions from anywhere become a run, matched by name; whatever does not match is refused and named."""

import json

import numpy as np
import pytest

from ensemble.blending import make_blend
from ensemble.errors import EnsembleError
from ensemble.predictions import Predictions
from ensemble.runs import RunStore
from ensemble.runs.import_files import read_predictions
from ensemble.runs.imported import import_run

CLASSES = ("ant", "bee", "wasp")


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


@pytest.fixture
def reference(store, rng, fake_run, made_up):
    """A run of 30 validation and 8 test images whose ids have leading zeros."""
    valid = made_up(rng, 30, CLASSES, 0.8)
    test = Predictions(
        np.array([f"{i:04d}" for i in range(8)]), CLASSES, rng.dirichlet(np.ones(3), 8).astype("f4")
    )
    return fake_run(store.root, "known-1-s0", predictions=valid, test=test)


def csv_of(path, predictions, change=lambda name: name, label=False, classes=None, scale=1.0):
    """The predictions as a CSV, rows and classes in another order."""
    classes = classes or predictions.classes[::-1]
    lines = [",".join(["id", *classes, *(["label"] if label else [])])]
    for i in range(len(predictions.ids))[::-1]:
        row = [
            f"{scale * predictions.probs[i, predictions.classes.index(name)]:.7f}"
            for name in classes
        ]
        truth = [predictions.classes[predictions.targets[i]]] if label else []
        lines.append(",".join([change(str(predictions.ids[i])), *row, *truth]))
    path.write_text("\n".join(lines) + "\n")
    return path


def refusal(*arguments, **named):
    with pytest.raises(EnsembleError) as refused:
        import_run(*arguments, **named)
    assert str(refused.value).count("\n") < 3
    return str(refused.value)


CHANGES = {
    "as they are": str,
    "with .jpg": lambda name: f"{name}.jpg",
    "with .heic": lambda name: f"{name}.heic",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_csv_in_any_order_joins_the_runs_that_know_its_rows(change, reference, store, tmp_path):
    valid, test = reference.valid(), reference.test()
    run = import_run(
        "mine",
        "vit",
        csv_of(tmp_path / "v.csv", valid, change),
        csv_of(tmp_path / "t.csv", test, change),
        store,
    )
    assert run.scores.accuracy == reference.scores.accuracy
    assert run.valid().ids.tolist() == valid.ids.tolist()
    np.testing.assert_allclose(run.valid().canonical().probs, valid.canonical().probs, atol=1e-6)
    assert run.valid().targets.tolist() == valid.targets.tolist()
    blend = make_blend(store.finished())
    assert [member.run.id for member in blend.members] == ["known-1-s0", run.id]
    assert blend.disagreement("known-1-s0", run.id) == 0
    assert store.get(run.id).strategy == "imported"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize(
    "order", [("ant", "id", "bee"), ("bee", "ant", "id"), ("id", "bee", "ant")]
)
def test_ids_are_in_their_column_wherever_it_is(order, delimiter, tmp_path):
    probs = {"ant": [0.75, 0.25, 0.5], "bee": [0.25, 0.75, 0.5], "id": ["x", "1", "0.5"]}
    lines = [delimiter.join(order)]
    lines += [delimiter.join(str(probs[name][i]) for name in order) for i in range(3)]
    (tmp_path / "v.csv").write_text("\n".join(lines) + "\n")
    found = read_predictions(tmp_path / "v.csv")
    assert found.ids.tolist() == probs["id"]
    for i, name in enumerate(found.classes):
        assert found.probs[:, i].tolist() == probs[name]


def test_an_npz_in_half_precision_joins_too(reference, store, tmp_path):
    valid, test = reference.valid(), reference.test()
    for name, part in (("v", valid), ("t", test)):
        np.savez(
            tmp_path / f"{name}.npz",
            ids=part.ids,
            classes=np.array(part.classes),
            probs=part.probs.astype(np.float16),
        )
    run = import_run("mine", "vit", tmp_path / "v.npz", tmp_path / "t.npz", store)
    np.testing.assert_allclose(run.valid().canonical().probs, valid.canonical().probs, atol=1e-3)
    assert len(make_blend(store.finished()).members) == 2


def test_a_column_for_two_classes_that_differ_in_case_is_refused(store, tmp_path, rng, made_up):
    known = made_up(rng, 12, ("A", "B", "a"))
    import_run("known", "vit", csv_of(tmp_path / "v.csv", known, label=True), None, store)
    rows = "".join(f"{name},0.4,0.6\n" for name in known.ids)
    (tmp_path / "w.csv").write_text(f"id,a,b\n{rows}")
    message = refusal("mine", "vit", tmp_path / "w.csv", None, store)
    assert "its classes differ: missing 'A', 'B'; unknown 'b'" in message


def test_rows_that_sum_to_0_999_are_taken_as_shares(reference, store, tmp_path):
    run = import_run(
        "mine", "vit", csv_of(tmp_path / "v.csv", reference.valid(), scale=0.999), None, store
    )
    np.testing.assert_allclose(
        run.valid().canonical().probs, reference.valid().canonical().probs, atol=1e-6
    )
    message = refusal(
        "mine", "vit", csv_of(tmp_path / "w.csv", reference.valid(), scale=0.9), None, store
    )
    assert "sum to 0.9000, not 1" in message


@pytest.mark.parametrize("header", ["id,0.0,1.0", ",0.0,1.0", "image_id,1.0,0.0"])
def test_classes_called_0_0_and_1_0_are_a_header(header, tmp_path):
    (tmp_path / "x.csv").write_text(f"{header}\na,0.25,0.75\nb,0.5,0.5\n")
    predictions = read_predictions(tmp_path / "x.csv")
    assert predictions.classes == tuple(header.split(",")[1:])
    assert predictions.ids.tolist() == ["a", "b"]


def test_a_class_called_by_a_letter_may_have_no_probability_in_any_row(tmp_path):
    (tmp_path / "x.csv").write_text("id,w,x,y\na,0.25,0,0.75\nb,0.5,0,0.5\n")
    assert read_predictions(tmp_path / "x.csv").classes == ("w", "x", "y")


def test_ids_that_pandas_wrote_as_floats_are_ids_beside_its_index(tmp_path):
    (tmp_path / "x.csv").write_text(",image_id,ant,bee\n0,12.0,0.25,0.75\n1,7.0,0.5,0.5\n")
    predictions = read_predictions(tmp_path / "x.csv")
    assert predictions.ids.tolist() == ["12.0", "7.0"]
    assert predictions.classes == ("ant", "bee")


def test_only_ids_of_digits_are_said_to_lack_leading_zeros(store, tmp_path, rng, made_up):
    ids = [f"{folder}/image{i}" for folder in "ab" for i in range(6)]
    known = made_up(rng, classes=CLASSES, ids=ids)
    import_run("known", "vit", csv_of(tmp_path / "v.csv", known, label=True), None, store)
    message = refusal("mine", "vit", csv_of(tmp_path / "w.csv", known, str.upper), None, store)
    assert "unknown 'A/IMAGE0'" in message
    assert "leading zeros" not in message


def test_ids_that_lost_their_leading_zeros_are_refused_with_the_reason(reference, store, tmp_path):
    path = csv_of(tmp_path / "v.csv", reference.valid(), lambda name: str(int(name)))
    message = refusal("mine", "vit", path, None, store)
    assert message.startswith(f"{path}: not the validation rows of any run")
    assert "without leading zeros" in message
    tests = csv_of(tmp_path / "t.csv", reference.test(), lambda name: str(int(name)))
    message = refusal("mine", "vit", csv_of(tmp_path / "ok.csv", reference.valid()), tests, store)
    assert message.startswith(f"{tests}: its ids look like the runs' without leading zeros")
    assert message.endswith("read and write ids as text")


def test_a_missing_class_and_missing_rows_are_named(reference, store, tmp_path):
    valid = reference.valid()
    two = Predictions(valid.ids, CLASSES[:2], np.full((30, 2), 0.5))
    message = refusal("mine", "vit", csv_of(tmp_path / "a.csv", two), None, store)
    assert "missing 'wasp'" in message
    assert message.endswith("name its columns as the classes are: ant, bee, wasp")
    more = Predictions(valid.ids, (*CLASSES, "run"), np.pad(valid.probs, ((0, 0), (0, 1))))
    message = refusal("mine", "vit", csv_of(tmp_path / "m.csv", more), None, store)
    assert message.endswith("leave out columns that are no class")
    fewer = Predictions(valid.ids[:29], CLASSES, valid.probs[:29])
    message = refusal("mine", "vit", csv_of(tmp_path / "b.csv", fewer), None, store)
    assert "missing '00029'" in message


def test_true_classes_that_differ_from_the_runs_are_refused(reference, store, tmp_path):
    valid = reference.valid()
    wrong = Predictions(valid.ids, CLASSES, valid.probs, (valid.targets + 1) % 3)
    message = refusal("mine", "vit", csv_of(tmp_path / "a.csv", wrong, label=True), None, store)
    assert "30 true classes differ from the runs', the first: '00000'" in message


def test_unknown_rows_with_true_classes_make_a_data_set_of_their_own(store, tmp_path, rng, made_up):
    for name, accuracy in (("mine", 0.8), ("other", 0.9)):
        path = csv_of(tmp_path / f"{name}.csv", made_up(rng, 40, CLASSES, accuracy), label=True)
        import_run(name, "vit", path, None, store, data="insects")
    blend = make_blend(store.finished())
    assert (blend.group.name, len(blend.members), blend.predictions) == ("insects", 2, None)
    assert blend.members[0].run.scores.accuracy == 0.8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,ant,bee,wasp\na,0.5,x,0.5\n", "'a': bee is 'x', not a number"),
        ("id,ant,bee,wasp\na,0.5,nan,0.5\n", "probabilities of 'a' are NaN or infinite"),
        ("id,ant,bee,wasp\na,0.5,0.5,0\na,0.5,0.5,0\n", "id 'a' appears 2 times"),
        ("id,ant\na,1\n", "needs an id column and one column per class"),
        (
            "id,ant,bee,label\na,0.5,0.5,fly\n",
            "'fly' in column label has no column of probabilities",
        ),
        ("id,ant,bee\na,2,-1\n", "probabilities of 'a' are outside 0 to 1"),
    ],
)
def test_a_csv_that_cannot_be_trusted_is_refused_by_file_and_row(text, message, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(EnsembleError) as refused:
        read_predictions(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert message in str(refused.value)


def test_rows_without_true_classes_in_an_empty_store_are_told_what_to_add(
    store, tmp_path, rng, made_up
):
    path = csv_of(tmp_path / "v.csv", made_up(rng, 9, CLASSES))
    assert "a column `label`" in refusal("mine", "vit", path, None, store)
    assert "'../mine' is not a valid name" in refusal("../mine", "vit", path, None, store)


def test_known_rows_in_other_clothes_are_refused_even_with_true_classes(reference, store, tmp_path):
    zeros = csv_of(tmp_path / "v.csv", reference.valid(), lambda name: str(int(name)), label=True)
    assert "leading zeros" in refusal("mine", "vit", zeros, None, store)
    valid = reference.valid()
    fewer = Predictions(valid.ids[:29], CLASSES, valid.probs[:29], valid.targets[:29])
    path = csv_of(tmp_path / "w.csv", fewer, label=True)
    assert "missing '00029'" in refusal("mine", "vit", path, None, store)
    assert "a new --data NAME" in refusal(
        "mine", "vit", path, None, store, data=reference.data.name
    )
    assert import_run("mine", "vit", path, None, store, data="own").data.name == "own"


def test_the_same_numbers_about_other_rows_are_another_run(store, tmp_path):
    targets = np.arange(10) % 3
    for data in ("one", "two"):
        ids = np.array([f"{data}{i}" for i in range(10)])
        even = Predictions(ids, CLASSES, np.full((10, 3), 1 / 3, np.float32), targets)
        import_run(
            "same",
            "vit",
            csv_of(tmp_path / f"{data}.csv", even, label=True),
            None,
            store,
            data=data,
        )
    assert sorted(run.data.name for run in store.finished()) == ["one", "two"]


def test_scores_are_those_that_a_blend_sees(reference, store, tmp_path):
    run = import_run(
        "mine", "vit", csv_of(tmp_path / "v.csv", reference.valid(), scale=0.992), None, store
    )
    assert run.scores.log_loss == pytest.approx(reference.scores.log_loss, abs=1e-5)
    assert make_blend([run]).valid.fitted_log_loss == pytest.approx(run.scores.log_loss, abs=1e-6)


def test_test_rows_are_those_of_a_run_that_has_some(reference, store, tmp_path):
    import_run(
        "aa", "vit", csv_of(tmp_path / "v.csv", reference.valid()), None, store
    )  # comes first, has no test set
    odd = Predictions(np.array(["x", "y"]), CLASSES, np.full((2, 3), 1 / 3, np.float32))
    message = refusal("zz", "vit", tmp_path / "v.csv", csv_of(tmp_path / "t.csv", odd), store)
    assert "2 rows, the runs have 8" in message


@pytest.mark.parametrize("name", ["", "a/b", "a\\b", "a\nb", "x" * 300, ".hidden"])
def test_names_that_make_no_folder_are_refused(name, reference, store, tmp_path):
    assert "is not a valid name" in refusal(
        name, "vit", csv_of(tmp_path / "v.csv", reference.valid()), None, store
    )


def test_a_file_without_rows_and_a_store_that_is_a_file_are_refused(reference, store, tmp_path):
    np.savez(
        tmp_path / "e.npz",
        ids=np.array([], "U1"),
        classes=np.array(CLASSES),
        probs=np.zeros((0, 3)),
    )
    assert "has no rows" in refusal("mine", "vit", tmp_path / "e.npz", None, store)
    (tmp_path / "file").write_text("")
    labelled = csv_of(tmp_path / "v.csv", reference.valid(), label=True)
    assert "cannot be written" in refusal(
        "mine", "vit", labelled, None, RunStore(tmp_path / "file")
    )


WRITTEN = {  # how other tools write the same table: columns of ids, the table as text, a note
    "a path": (
        lambda name: f"/kaggle/input/train/{name}.png",
        str,
        "without the ids' leading path",
    ),
    "a path of Windows": (
        lambda name: rf"C:\train\{name}.png",
        str,
        "without the ids' leading path",
    ),
    "classes in another case": (
        str,
        lambda text: text.replace("wasp,", "Wasp,"),
        "'Wasp' is the class",
    ),
    "a word before classes": (
        str,
        lambda text: text.replace("wasp,bee,ant", "prob_wasp,prob_bee,prob_ant"),
        "the column 'prob_wasp' is the class 'wasp'",
    ),
    "ids in another case": (str, lambda text: text.replace("id,", "ID,"), None),
    "blanks after commas": (str, lambda text: text.replace(",", ", "), None),
    "empty rows and columns": (str, lambda text: text.replace("\n", ",\n") + ",,,,\n\n", None),
    "pandas's index": (str, lambda text: with_index(text), None),
    "pandas's index, ids of another name": (
        str,
        lambda text: with_index(text.replace("id,", "image,")),
        None,
    ),
    "a column of labels that is empty": (
        str,
        lambda text: text.replace("\n", ",\n").replace(",\n", ",label\n", 1),
        None,
    ),
}


def with_index(text):
    header, *rows = text.splitlines()
    return "\n".join([f",{header}", *(f"{3 * i},{row}" for i, row in enumerate(rows))]) + "\n"


@pytest.mark.parametrize("case", WRITTEN)
def test_a_csv_as_other_tools_write_it_is_the_same_run(case, reference, store, tmp_path, run_ens):
    change, written, note = WRITTEN[case]
    path = csv_of(tmp_path / "v.csv", reference.valid(), change, classes=("wasp", "bee", "ant"))
    path.write_text(written(path.read_text()))
    words = ("--arch", "vit", "--valid", path, "--runs", store.root)
    status, _, err = run_ens("import", "mine", *words)
    assert status == 0, err
    assert err == "" if note is None else note in err
    run = next(run for run in store.finished() if run.recipe == "mine")
    assert run.valid().ids.tolist() == reference.valid().ids.tolist()
    assert run.classes == CLASSES
    np.testing.assert_allclose(
        run.valid().canonical().probs, reference.valid().canonical().probs, atol=1e-6
    )


REFUSED = {
    "id;ant;bee\na;0,25;0,75\n": "'a': ant is '0,25', with a decimal comma",
    "id,ant,bee\na,25%,75%\n": "'a': ant is '25%'\nwrite shares from 0 to 1",
    "id,ant,bee\na,0.5,\n": "'a': bee is empty",
    "id,ant,bee\na,True,False\n": "1 for True and 0 for False",
    "a,0.25,0.75\nb,0.5,0.5\n": "the first line seems to be a row, not a header",
    "id,class,prob\na,ant,0.4\na,bee,0.6\n": "table.pivot(index='id', columns='class', values='prob')",
    "id,prob\na,0.4\nb,0.7\n": "of two classes write both: one column is 1 minus the other",
    "id,ant,bee\na,1.0,-1e-17\n": "write 0 where numbers are negative",
    "id,ant,bee,fold\na,0.4,0.6,0\nb,0.7,0.3,0\n": "'fold' seems to be no class",
    "id,age,label\na,31,30\n": "of a number per image add --target number",
    "id,ant,bee,label\na,0.4,0.6,Bee\nb,0.4,0.6,bee\nc,0.7,0.3,ant\n": "'Bee' in column label",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_other_tools_write_in_other_ways_is_refused_with_the_next_step(text, tmp_path):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(EnsembleError) as refused:
        read_predictions(tmp_path / "x.csv")
    assert REFUSED[text] in str(refused.value)
    assert str(refused.value).count("\n") < 3


def test_other_formats_and_types_of_arrays_say_what_to_write(tmp_path):
    np.save(tmp_path / "x.npy", np.eye(3))
    arrays = {"ids": np.array(["a", "b"]), "classes": np.array(CLASSES[:2]), "probs": np.eye(2)}
    other = {
        "ids": (np.arange(2), "save them by .astype(str)"),
        "classes": (np.array([b"ant", b"bee"]), "save them by .astype(str)"),
        "probs": (np.eye(2, dtype=int), "save it by .astype(float)"),
    }
    texts = {"x.npy": "is neither a CSV nor an .npz"}
    for name, (array, text) in other.items():
        np.savez(tmp_path / f"{name}.npz", **arrays | {name: array})
        texts[f"{name}.npz"] = text
    np.savez(tmp_path / "logits.npz", **arrays | {"probs": np.array([[2.0, -1.5], [0.5, -3.0]])})
    texts["logits.npz"] = "they look like logits"
    for file, text in texts.items():
        with pytest.raises(EnsembleError) as refused:
            read_predictions(tmp_path / file)
        assert text in str(refused.value)


def test_columns_with_a_word_before_the_true_classes_are_named_by_these(store, tmp_path):
    path = tmp_path / "v.csv"
    path.write_text("id,prob_1,prob_0,label\na,0.9,0.1,1\nb,0.2,0.8,0\nc,0.4,0.6,1\n")
    run = import_run("mine", "vit", path, None, store)
    assert run.classes == ("0", "1")
    assert run.scores.accuracy == pytest.approx(2 / 3)
    path.write_text("id,1,0,label\na,0.9,0.1,1.0\nb,0.2,0.8,0.0\nc,0.4,0.6,1.0\n")
    assert import_run("same", "vit", path, None, store).classes == ("0", "1")


def test_the_validation_file_given_twice_is_no_test_set(store, tmp_path, rng, made_up):
    path = csv_of(tmp_path / "v.csv", made_up(rng, 9, CLASSES), label=True)
    assert "holds the validation rows" in refusal("mine", "vit", path, path, store)


def test_known_rows_under_other_paths_with_one_missing_are_no_new_data_set(
    reference, store, tmp_path
):
    valid = reference.valid()
    fewer = Predictions(valid.ids[:29], CLASSES, valid.probs[:29], valid.targets[:29])
    path = csv_of(tmp_path / "v.csv", fewer, lambda name: f"train/{name}.png", label=True)
    assert "missing '00029'; unknown none" in refusal("mine", "vit", path, None, store)


def test_a_data_set_without_runs_is_named_beside_those_that_have_some(reference, store, tmp_path):
    path = csv_of(tmp_path / "v.csv", reference.valid())
    message = refusal("mine", "vit", path, None, store, data="made-upp")
    assert "holds no run of the data made-upp, only of made-up" in message


def test_rows_that_belong_together_stay_so_in_what_is_imported(
    store, rng, made_up, fake_run, tmp_path, ens
):
    known = made_up(rng, 60, CLASSES, 0.7)
    groups = np.array([f"patient {i // 4}" for i in range(60)])
    grouped = Predictions(known.ids, CLASSES, known.probs, known.targets, groups)
    fake_run(store.root, "known-1-s0", predictions=grouped)
    import_run("mine", "vit", csv_of(tmp_path / "v.csv", known), None, store)
    first, second = json.loads(ens("runs", "--json", "--runs", store.root))
    assert first["scores"]["accuracy"] == second["scores"]["accuracy"]
    mine = next(run for run in store.finished() if run.recipe == "mine")
    assert mine.data.is_grouped
    assert mine.valid().groups.tolist() == groups.tolist()
    intervals = [
        line.split("(")[1]
        for line in ens("runs", "--runs", store.root).splitlines()
        if "-s0" in line
    ]
    assert intervals[0].split()[0] == intervals[1].split()[0]


def test_a_column_of_groups_and_groups_of_arrays_are_kept(store, tmp_path, made_up, rng):
    known = made_up(rng, 12, CLASSES)
    groups = np.array([f"{i // 4}" for i in range(12)])
    path = csv_of(tmp_path / "v.csv", known, label=True)
    header, *rows = path.read_text().splitlines()
    lines = [f"{row},{groups[11 - i]}" for i, row in enumerate(rows)]
    path.write_text("\n".join([f"{header},group", *lines]) + "\n")
    Predictions(known.ids, CLASSES, known.probs, known.targets, groups).save(tmp_path / "v.npz")
    for file in ("v.csv", "v.npz"):
        run = import_run(file[2:], "vit", tmp_path / file, None, RunStore(tmp_path / file[2:]))
        assert run.data.is_grouped
        assert run.valid().groups.tolist() == groups.tolist()
