"""data.exclude and data.relabel: training images alone, matched by id, class names checked."""

import pytest

from ensemble.dataset.load import load
from ensemble.errors import DataError, RecipeError
from ensemble.recipe import Recipe

RECIPE = "data: {{path: '{}', train: ., valid: {valid}, {more}}}\nmodel: {{arch: resnet18}}\n"


@pytest.fixture
def data_of(tmp_path, tiny_images):
    """data_of(more, rows, valid): the data with a list of these rows as list.csv."""
    folder = tiny_images(tmp_path / "tiny")

    def data_of(more="", rows=(), valid=0.4, fold=0, header="id,new_label"):
        (tmp_path / "list.csv").write_text(header + "\n" + "".join(f"{row}\n" for row in rows))
        recipe = tmp_path / "r.yaml"
        filled = more.format(list=tmp_path / "list.csv")
        if "source" not in filled:
            filled = f"source: folder, {filled}"
        recipe.write_text(RECIPE.format(folder, valid=valid, more=filled))
        return load(Recipe.load(recipe).data, fold)

    return data_of


EXCLUDE, RELABEL = "exclude: '{list}'", "relabel: '{list}'"
FOLDS = "{folds: 3}"


def test_listed_training_images_are_left_out_and_the_fingerprint_follows(data_of):
    plain = data_of()
    ids = plain.train.ids[:3]
    without = data_of(EXCLUDE, [f"{name}," for name in ids])
    assert set(plain.train.ids) - set(without.train.ids) == set(ids)
    assert without.valid.ids == plain.valid.ids
    assert without.valid_fingerprint == plain.valid_fingerprint
    assert without.fingerprint != plain.fingerprint
    assert f"data.exclude: 3 of {len(plain.train)} training images are left out" in without.notes
    assert not set(ids) & set(without.joined().train.ids)


def test_listed_training_images_get_their_new_label(data_of):
    plain = data_of()
    name, label = plain.train.ids[0], plain.train.classes[0]
    new_label = next(each for each in plain.classes if each != label)
    relabeled = data_of(RELABEL, [f"{name},{new_label}"])
    pairs = dict(zip(plain.train.ids, plain.train.classes, strict=True)) | {name: new_label}
    assert dict(zip(relabeled.train.ids, relabeled.train.classes, strict=True)) == pairs
    assert relabeled.fingerprint != plain.fingerprint


def test_with_folds_a_listed_image_is_never_trained_on_and_still_validated_once(data_of):
    whole = [data_of(valid=FOLDS, fold=fold) for fold in range(3)]
    ids = whole[0].valid.ids[:2] + whole[1].valid.ids[:1]
    for fold in range(3):
        data = data_of(EXCLUDE, [f"{name}," for name in ids], valid=FOLDS, fold=fold)
        assert data.valid.ids == whole[fold].valid.ids
        assert data.valid.labels == whole[fold].valid.labels
        assert not set(ids) & set(data.train.ids)
        assert len(data.train) == len(whole[fold].train) - len(
            set(ids) & set(whole[fold].train.ids)
        )
        assert data.valid_fingerprint == whole[fold].valid_fingerprint
        assert not set(ids) & set(data.joined().train.ids)
    assert any("are validated here and stay" in note for note in data.notes)


def test_a_list_that_does_not_fit_is_refused_with_its_line(data_of):
    plain = data_of()
    name, label = plain.train.ids[0], plain.train.classes[0]
    other = next(each for each in plain.classes if each != label)
    cases = [
        (EXCLUDE, ["nothing,"], "id,new_label", "'nothing' is no training image"),
        (EXCLUDE, [f"{plain.valid.ids[0]},"], "id,new_label", "is a validation image, which stays"),
        (EXCLUDE, [f"{name},", f"{name},"], "id,new_label", "is listed twice"),
        (EXCLUDE, [f"{name},{other}"], "id,label", f"has the label '{label}', the list says"),
        (RELABEL, [f"{name},violet"], "id,new_label", "new_label 'violet' is not one of blue"),
        (RELABEL, [f"{name},{other}"], "id,label", "no column 'new_label'"),
        (EXCLUDE, [f"{name},"], "name,x", "no column 'id'"),
        (f"{EXCLUDE}, {RELABEL}", [f"{name},{other}"], "id,new_label", "in data.exclude and in"),
    ]
    for more, rows, header, message in cases:
        with pytest.raises(DataError, match=message) as caught:
            data_of(more, rows, header=header)
        assert "list.csv" in str(caught.value)
        assert len(str(caught.value).splitlines()) <= 3


def test_a_list_that_is_not_there_is_named_with_its_key(data_of):
    with pytest.raises(
        DataError, match=r"data.relabel: none.csv does not exist(.|\n)*data.relabel=…"
    ):
        data_of("relabel: none.csv")


def test_a_list_that_empties_a_class_is_refused(data_of):
    plain = data_of()
    pairs = zip(plain.train.ids, plain.train.classes, strict=True)
    rows = [f"{name}," for name, label in pairs if label == "red"]
    with pytest.raises(DataError, match="no training image of 'red'"):
        data_of(EXCLUDE, rows)


def test_only_one_class_per_image_is_corrected(data_of):
    table = data_of().train.files[0].parents[1] / "labels.csv"
    table.write_text(
        "id,label\n" + "".join(f"red/{i:02d},a b\nblue/{i:02d},b\n" for i in range(20))
    )
    with pytest.raises(RecipeError, match="data.exclude is for one class per image"):
        data_of(f"{EXCLUDE}, target: labels, source: csv, separator: ' '")
