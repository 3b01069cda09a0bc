"""From a data section to disjoint tables of images, with fingerprints that tell data sets apart."""

import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ensemble.dataset.load import load
from ensemble.errors import DataError, EnsembleError, MetricError, RecipeError
from ensemble.recipe import Data

COLOURS = ("blue", "green", "red")


@pytest.fixture
def root(tmp_path, tiny_images):
    tiny_images(tmp_path / "colours" / "train")
    return tmp_path / "colours"


@pytest.fixture(scope="module")
def shared_root(tmp_path_factory, tiny_images):
    folder = tmp_path_factory.mktemp("shared") / "colours"
    tiny_images(folder / "train")
    return folder


def folder(root, **said):
    return Data(source="folder", path=str(root), **said)


def csv_of(root):
    """The same images in one flat folder with a labels.csv."""
    rows = ["id,label"]
    (root / "flat").mkdir()
    for file in sorted((root / "train").rglob("*.png")):
        name = f"{file.parent.name}_{file.name}"
        shutil.copy(file, root / "flat" / name)
        rows.append(f"{name.removesuffix('.png')},{file.parent.name}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return Data(source="csv", path=str(root), train="flat", valid=0.25)


def refusal(data):
    with pytest.raises(EnsembleError) as refused:
        load(data)
    assert str(refused.value).count("\n") < 3
    return refused


def test_a_fraction_is_held_out_of_the_class_folders(root):
    data = load(folder(root, valid=0.25))
    assert (data.name, data.classes) == ("colours", COLOURS)
    assert (len(data.train), len(data.valid), data.test) == (45, 15, None)
    assert data.tables == [data.train, data.valid]
    assert [data.valid.labels.count(name) for name in COLOURS] == [5, 5, 5]
    assert data.majority == pytest.approx(1 / 3)
    assert set(data.hashes) == {*data.train.files, *data.valid.files}


@given(st.floats(0.06, 0.5), st.floats(0.06, 0.5), st.floats(0.5, 1), st.integers(0, 99))
def test_train_valid_and_test_are_disjoint_and_no_image_is_lost(
    shared_root, valid, test, sample, seed
):
    data = load(folder(shared_root, valid=valid, test=test, sample=sample, split_seed=seed))
    ids = [key for images in data.tables for key in images.ids]
    assert len(set(ids)) == len(ids)
    assert all(set(images.labels) == set(COLOURS) for images in data.tables)
    assert all(list(images.ids) == sorted(images.ids) for images in data.tables)
    whole = load(folder(shared_root, valid=valid, test=test, split_seed=seed))
    assert sum(len(images) for images in whole.tables) == 60
    assert whole.test.ids == data.test.ids
    assert len(data.train) + len(data.valid) == pytest.approx(sample * (60 - len(data.test)), abs=3)


def test_folders_and_csv_of_the_same_images_agree(root):
    data = load(csv_of(root))
    assert data.classes == COLOURS
    assert (len(data.train), len(data.valid)) == (45, 15)
    assert set(data.hashes.values()) == set(load(folder(root)).hashes.values())


def test_validation_and_test_can_have_folders_of_their_own(root, tiny_images):
    shutil.copytree(root / "train" / "red", root / "val" / "red")
    shutil.copytree(root / "train" / "red", root / "unlabelled")
    tiny_images(root / "labelled")
    data = load(folder(root, valid="val", test="unlabelled"))
    assert (len(data.train), set(data.valid.labels), data.test.labels) == (60, {"red"}, None)
    assert data.test.ids[0] == "00"
    assert set(load(folder(root, valid="val", test="labelled")).test.labels) == set(COLOURS)


def test_csv_rows_are_shared_out_to_the_folders_of_their_files(root):
    csv_of(root)
    (root / "held").mkdir()
    for file in sorted((root / "flat").iterdir())[::4]:
        file.rename(root / "held" / file.name)
    data = load(Data(source="csv", path=str(root), train="flat", valid="held"))
    assert (len(data.train), len(data.valid)) == (45, 15)


def test_an_archive_is_the_same_data_set_as_its_folder(root):
    packed = shutil.make_archive(str(root.parent / "colours"), "zip", root.parent, "colours")
    assert load(folder(packed)).fingerprint == load(folder(root)).fingerprint
    assert load(folder(packed)).name == "colours"


def test_the_digits_need_no_path():
    data = load(Data(source="digits", test=0.2))
    assert (data.name, len(data.classes)) == ("digits", 10)
    assert (len(data.train), len(data.valid), len(data.test)) == (1150, 288, 359)


def test_a_data_set_always_has_a_name(root, monkeypatch):
    monkeypatch.chdir(root)
    assert load(folder(".")).name == "folder"
    assert load(folder(".", get="cifar10")).name == "cifar10"


def test_fingerprints_do_not_depend_on_the_place(root, tmp_path):
    moved = shutil.copytree(root, tmp_path / "elsewhere" / "colours")
    first, second = load(folder(root, test=0.2)), load(folder(moved, test=0.2))
    assert first.fingerprint == second.fingerprint
    assert first.valid_fingerprint == second.valid_fingerprint


def test_a_changed_byte_label_or_split_gives_another_fingerprint(root):
    original = load(folder(root))
    reseeded = load(folder(root, split_seed=1))
    assert reseeded.fingerprint != original.fingerprint
    assert (
        load(folder(root, test=0.2)).test.ids != load(folder(root, test=0.2, split_seed=1)).test.ids
    )
    assert reseeded.valid_fingerprint != original.valid_fingerprint
    with original.train.files[0].open("ab") as file:
        file.write(b"one byte more")
    changed = load(folder(root))
    assert changed.fingerprint != original.fingerprint
    assert changed.valid_fingerprint == original.valid_fingerprint


def test_a_corrected_label_gives_another_fingerprint(root):
    data = csv_of(root)
    original = load(data)
    text = (root / "labels.csv").read_text()
    (root / "labels.csv").write_text(
        text.replace(",red", ",swap").replace(",blue", ",red").replace(",swap", ",blue")
    )
    assert load(data).valid.ids == original.valid.ids
    assert load(data).valid_fingerprint != original.valid_fingerprint


def test_what_is_missing_is_named(root):
    assert refusal(Data(source="folder")).type is RecipeError
    assert "data.path is missing" in str(refusal(Data(source="csv")).value)
    assert "does not exist; looked at" in str(refusal(folder(root / "nowhere")).value)
    assert "training: no such folder" in str(refusal(folder(root, train="training")).value)
    assert "val: no such folder" in str(refusal(folder(root, valid="val")).value)
    assert "--set data.sample_submission=…; null" in str(
        refusal(folder(root, sample_submission="sample.csv")).value
    )
    (root / "sample.csv").touch()
    assert (
        load(folder(root, sample_submission="sample.csv")).sample_submission == root / "sample.csv"
    )


def test_one_class_and_classes_that_only_validation_has_are_refused(root):
    shutil.copytree(root / "train" / "red", root / "val" / "pink")
    refused = refusal(folder(root, valid="val"))
    assert refused.type is DataError
    assert "validation has classes without training images: pink" in str(refused.value)
    shutil.rmtree(root / "train" / "red")
    shutil.rmtree(root / "train" / "blue")
    assert "only one class ('green'); a classifier needs at least two" in str(
        refusal(folder(root)).value
    )


def test_a_class_in_another_unicode_form_is_the_same_class_in_all_parts(root):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    (root / "train" / "red").rename(root / "train" / composed)
    for part in ("val", "test"):
        shutil.copytree(root / "train", root / part)
        (root / part / composed).rename(root / part / decomposed)
    data = load(folder(root, valid="val", test="test"))
    assert set(data.valid.labels) == set(data.test.labels) == set(data.classes)
    shutil.copytree(root / "train" / composed, root / "train" / decomposed)
    assert "two classes look the same" in str(refusal(folder(root, valid="val")).value)


def test_a_metric_that_the_classes_do_not_have_stops_a_training_before_it_begins(tmp_path):
    for name in ("cat", "dog"):
        for i in range(4):
            path = tmp_path / "set" / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (i, 0, 0)).save(path)
    data = Data(source="folder", path=str(tmp_path / "set"), train=".", valid=0.5)
    for metric, problem in (("f2", "is not a metric"), ("f1", "data.positive is not set")):
        with pytest.raises(MetricError, match=problem):
            load(data.model_copy(update={"metric": metric}))
    assert load(data.model_copy(update={"metric": "roc_auc"})).classes == ("cat", "dog")
    with pytest.raises(MetricError, match="data.positive is 'dogs', which is not a class"):
        load(data.model_copy(update={"positive": "dogs"}))
    assert load(data.model_copy(update={"positive": "dog"})).classes == ("cat", "dog")
