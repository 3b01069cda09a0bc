"""`ens init`: every usual layout is recognized, its recipes load and find the images, and nothing is overwritten."""

import shutil
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ensemble.dataset.load import load
from ensemble.errors import DataError, EnsembleError
from ensemble.hardware import Machine
from ensemble.init import write_recipes
from ensemble.init.yaml_text import quoted
from ensemble.layout.understanding import understand
from ensemble.recipe import Recipe
from ensemble.runs import RunStore
from ensemble.submission.shape import matched_rows, shape_of_sample

MACHINES = {
    "laptop": Machine(False, False, False),
    "offline": Machine(False, False, True),
    "online": Machine(False, True, False),
    "gpu": Machine(True, True, True),
    "gpu offline": Machine(True, False, False),
}


@pytest.fixture
def kaggle(tmp_path, tiny_images):
    """A competition: labels.csv, train/, test/, sample_submission.csv with a column per class."""
    made = tiny_images(tmp_path / "by-class")
    root = tmp_path / "dog-breeds"
    for part in ("train", "test"):
        (root / part).mkdir(parents=True)
    lines = ["id,breed"]
    for number, path in enumerate(sorted(made.rglob("*.png"))):
        part = "test" if number % 5 == 4 else "train"
        shutil.copy(path, root / part / f"{number:03d}.png")
        if part == "train":
            lines.append(f"{number:03d},{path.parent.name}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    tests = sorted(path.stem for path in (root / "test").iterdir())
    rows = "".join(f"{name},0.3,0.3,0.4\n" for name in tests)
    (root / "sample_submission.csv").write_text("id,red,green,blue\n" + rows)
    return root


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_recipes_of_a_competition_load_and_find_its_images(kaggle, machine, tmp_path):
    new = write_recipes(str(kaggle), None, tmp_path / "recipes", machine)
    families = ["vgg", "resnet", "densenet", "efficientnet"]
    if machine.has_hub:
        families = ["dinov2", "convnext", *families]
    assert [path.name for path in new.files] == [
        "dog-breeds.base.yaml",
        *(f"dog-breeds_{family}.yaml" for family in families),
    ]
    recipes = [Recipe.load(path) for path in new.files[1:]]
    assert len({recipe.model.arch for recipe in recipes}) == len(families)
    assert len({recipe.digest for recipe in recipes}) == len(families)
    for recipe in recipes:
        found = load(recipe.data)
        assert found.classes == ("blue", "green", "red")
        assert (len(found.train) + len(found.valid), len(found.test)) == (48, 12)
        assert found.sample_submission == kaggle / "sample_submission.csv"
        assert recipe.model.pretrained in ((True,) if machine.has_hub else (False, "package"))


@pytest.mark.parametrize(
    ("mark", "start", "codec"),
    [("\t", "", "utf-16"), (";", "sep=;\r\n", "utf-8-sig"), ("|", "", "utf-8")],
)
def test_tables_as_spreadsheets_save_them_are_read_like_any(kaggle, mark, start, codec, tmp_path):
    for table in kaggle.glob("*.csv"):
        text = table.read_text().replace(",", mark).replace("\n", "\r\n")
        table.write_bytes((start + text).encode(codec))
    new = write_recipes(str(kaggle), None, tmp_path / "recipes", MACHINES["laptop"])
    assert new.understanding.doubts == ()
    data = load(Recipe.load(new.files[1]).data)
    assert (data.classes, len(data.test)) == (("blue", "green", "red"), 12)
    shape = shape_of_sample(data.sample_submission, data.classes)
    assert shape.columns == ("id", "red", "green", "blue")
    assert len(matched_rows(shape, data.test.ids)[0]) == 12


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dinov2", "convnext"])
def test_a_probe_that_init_writes_trains(kaggle, name, tmp_path, monkeypatch, ens):
    monkeypatch.chdir(tmp_path)
    new = write_recipes(str(kaggle), "dogs", Path("recipes"), MACHINES["online"])
    (path,) = [path for path in new.files if path.stem == f"dogs_{name}"]
    ens("train", path, "--set", "model.pretrained=false", "--runs", "runs")
    (run,) = RunStore(Path("runs")).all().runs
    assert (run.recipe, len(run.valid().ids)) == (path.stem, 10)


def test_what_init_recognizes_in_a_competition(kaggle):
    understood = understand(kaggle)
    assert str(understood.labeling) == "labels.csv: breed"
    assert understood.counts == {"blue": 16, "green": 16, "red": 16}
    assert (understood.n_train, understood.n_test, understood.sizes.side) == (48, 12, 32)
    assert understood.doubts == ()
    (kaggle / "sample_submission.csv").write_text("id,red,green,blue\n054,1,0,0\n")
    (kaggle / "train" / "extra.png").write_text("no image")
    understood = understand(kaggle)
    assert understood.notes == ("not used: 1 image, such as train/extra.png",)
    doubts = "; ".join(understood.doubts)
    assert "sample_submission.csv has 1 rows, test has 12 images" in doubts


@pytest.mark.parametrize(
    ("parts", "train", "valid", "test"),
    [
        (("train", "val", "test"), "train", "val", "test"),
        (("Training", "validation"), "Training", "validation", None),
        (("train",), "train", None, None),
        ((".",), ".", None, None),
    ],
)
def test_class_folders_of_every_kind(parts, train, valid, test, tmp_path, tiny_images):
    for part in parts:
        tiny_images(tmp_path / "set" / part)
    understood = understand(tmp_path / "set")
    folders = (
        understood.labeling.folder,
        understood.valid,
        understood.test and understood.test.folder,
    )
    assert understood.labeling.source == "folders"
    assert tuple(folder and folder.name for folder in folders) == (train, valid, test)
    new = write_recipes(str(tmp_path / "set"), "mine", tmp_path / "recipes", MACHINES["offline"])
    found = load(Recipe.load(new.files[1]).data)
    assert found.test is not None, "without a test folder some images are held out"
    assert set(found.classes) == {"blue", "green", "red"}


def test_an_archive_and_a_wrapped_folder_are_looked_into(kaggle, tmp_path):
    packed = shutil.make_archive(str(tmp_path / "comp"), "zip", tmp_path, kaggle.name)
    new = write_recipes(packed, None, tmp_path / "recipes", MACHINES["laptop"])
    assert str(new.understanding.labeling) == "labels.csv: breed"
    assert len(load(Recipe.load(new.files[1]).data).test) == 12
    (tmp_path / "outer").mkdir()
    kaggle.rename(tmp_path / "outer" / "inner")
    new = write_recipes(str(tmp_path / "outer"), None, tmp_path / "recipes", MACHINES["laptop"])
    assert len(load(Recipe.load(new.files[1]).data).test) == 12


def test_a_path_is_written_as_the_user_wrote_it(kaggle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    new = write_recipes("dog-breeds", "here", Path("recipes"), MACHINES["laptop"])
    assert Recipe.load(new.files[1]).data.path == "dog-breeds"
    (tmp_path / "data").mkdir()
    kaggle.rename(tmp_path / "data" / "dogs")
    monkeypatch.setenv("ENS_DATA", str(tmp_path / "data"))
    new = write_recipes("dogs", "there", Path("recipes"), MACHINES["laptop"])
    assert Recipe.load(new.files[1]).data.path == "dogs"
    assert len(load(Recipe.load(new.files[1]).data).train) > 0


def test_nothing_is_overwritten(kaggle, tmp_path):
    recipes = tmp_path / "recipes"
    new = write_recipes(str(kaggle), None, recipes, MACHINES["laptop"])
    before = {path: path.read_bytes() for path in recipes.iterdir()}
    with pytest.raises(EnsembleError, match="exists and is not overwritten\nchoose another --name"):
        write_recipes(str(kaggle), None, recipes, MACHINES["gpu"])
    new.files[0].unlink()
    with pytest.raises(EnsembleError, match="exists and is not overwritten"):
        write_recipes(str(kaggle), None, recipes, MACHINES["gpu"])
    before.pop(new.files[0])
    assert {path: path.read_bytes() for path in recipes.iterdir()} == before


def test_an_unknown_layout_is_refused_with_the_contents_of_the_folder(tmp_path):
    (tmp_path / "set").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "set" / "one.png")
    with pytest.raises(DataError, match="neither class folders .* nor a table") as refused:
        understand(tmp_path / "set")
    assert "holds: one.png" in str(refused.value)
    assert str(refused.value).count("\n") < 3
    (tmp_path / "set" / "labels.xlsx").write_bytes(b"PK\3\4")
    with pytest.raises(DataError, match="\nlabels.xlsx is not read as labels: save it as a CSV"):
        understand(tmp_path / "set")
    with pytest.raises(DataError, match="no such file or folder"):
        write_recipes(str(tmp_path / "nowhere"), None, tmp_path / "recipes")


@given(st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_a_name_stays_text_in_yaml(text):
    assert yaml.safe_load(f"key: {quoted(text)}")["key"] == text


@pytest.mark.parametrize(
    "text", ["no", "007", "1e5", "null", "Yes", "a: b", "#1", "it's", "~", "-"]
)
def test_names_that_yaml_would_take_for_something_else_stay_text(text):
    assert yaml.safe_load(f"{{key: {quoted(text)}}}")["key"] == text


@pytest.mark.parametrize(
    "names", [("NA", "None", "true"), ("1e5", "007", "no"), ("Cat", "cat", "a b/c")]
)
def test_classes_with_odd_names_keep_them(names, kaggle, tmp_path):
    text = (kaggle / "labels.csv").read_text()
    for old, new in zip(("blue", "green", "red"), names, strict=True):
        text = text.replace(f",{old}", f",{new}")
    (kaggle / "labels.csv").write_text(text)
    (kaggle / "sample_submission.csv").unlink()
    new = write_recipes(str(kaggle), "odd", tmp_path / "recipes", MACHINES["laptop"])
    assert load(Recipe.load(new.files[1]).data).classes == tuple(sorted(names))


def test_a_class_of_two_images_is_trained_on_and_validated_and_one_image_is_a_doubt(
    tiny_images, tmp_path
):
    root = tiny_images(tmp_path / "few")
    for path in sorted((root / "red").iterdir())[2:]:
        path.unlink()
    new = write_recipes(str(root), None, tmp_path / "recipes", MACHINES["laptop"])
    found = load(Recipe.load(new.files[1]).data)
    assert (found.train.classes.count("red"), found.valid.classes.count("red"), found.test) == (
        1,
        1,
        None,
    )
    next((root / "red").iterdir()).unlink()
    assert understand(root).doubts[0] == (
        "class 'red' has one image, so it cannot be split: add some, or remove the class"
    )


def moved(kaggle, **folders):
    """The competition with its folders and files elsewhere."""
    for old, new in folders.items():
        (kaggle / new).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(kaggle / old, kaggle / new)


def rewritten(kaggle, change, *names):
    """The competition with other lines in these files."""
    for name in names:
        part = "train" if name == "labels.csv" else "test"
        lines = [line.split(",") for line in (kaggle / name).read_text().splitlines()]
        (kaggle / name).write_text("\n".join([*change(part, lines)]) + "\n")


def with_folders(part, lines):
    yield ",".join(lines[0])
    yield from (",".join([f"{part}/{own}.png", *more]) for own, *more in lines[1:])


KAGGLE_SHAPES = {
    "ids with their folder": lambda root: rewritten(
        root, with_folders, "labels.csv", "sample_submission.csv"
    ),
    "semicolons": lambda root: rewritten(
        root, lambda part, lines: map(";".join, lines), "labels.csv"
    ),
    "images/train and images/test": lambda root: moved(
        root, train="images/train", test="images/test"
    ),
    "one folder for all": lambda root: [
        shutil.copytree(root / part, root / "images", dirs_exist_ok=True)
        and shutil.rmtree(root / part)
        for part in ("train", "test")
    ],
}


@pytest.mark.parametrize("shape", KAGGLE_SHAPES.values(), ids=KAGGLE_SHAPES)
def test_competitions_that_name_and_keep_their_images_otherwise_are_recognized(
    shape, kaggle, tmp_path
):
    usual = load(
        Recipe.load(write_recipes(str(kaggle), "usual", tmp_path / "recipes").files[1]).data
    )
    asked = [
        line.split(",")[0]
        for line in (kaggle / "sample_submission.csv").read_text().splitlines()[1:]
    ]
    shape(kaggle)
    new = write_recipes(str(kaggle), "other", tmp_path / "recipes")
    assert new.understanding.doubts == ()
    found = load(Recipe.load(new.files[1]).data)
    assert len(found.train) + len(found.valid) == 48
    assert sorted(path.stem for path in found.test.files) == sorted(
        path.stem for path in usual.test.files
    )
    assert found.classes == usual.classes
    sample = shape_of_sample(found.sample_submission, found.classes)
    assert [found.test.files[row].stem for row in matched_rows(sample, found.test.ids)[0]] == asked


def test_a_test_folder_that_is_the_training_folder_needs_images_without_a_label(kaggle, tmp_path):
    new = write_recipes(str(kaggle), None, tmp_path / "recipes")
    with pytest.raises(DataError, match="every image in it has a label"):
        load(Recipe.load(new.files[1], ("data.test=train",)).data)


@pytest.mark.parametrize("words", [("train", "val", "test"), ("Training", "dev", "testing")])
def test_a_column_of_splits_in_any_words_becomes_a_recipe_that_reads_them(
    words, kaggle, tmp_path, monkeypatch
):
    header, *rows = (kaggle / "labels.csv").read_text().splitlines()
    parts = [f"{row},{words[0 if i % 4 else 1]}" for i, row in enumerate(rows)]
    (kaggle / "labels.csv").write_text("\n".join([f"{header},part", *parts]) + "\n")
    monkeypatch.chdir(tmp_path)
    new = write_recipes(str(kaggle), "split", Path("recipes"))
    assert new.understanding.doubts == ()
    images = load(Recipe.load(new.files[1]).data)
    assert (len(images.train), len(images.valid), len(images.test)) == (36, 12, 12)


def test_a_column_for_each_class_becomes_a_table_of_labels_beside_the_recipes(
    kaggle, tmp_path, monkeypatch
):
    before = load(Recipe.load(write_recipes(str(kaggle), "a", tmp_path / "r").files[1]).data)
    rows = [line.split(",") for line in (kaggle / "labels.csv").read_text().splitlines()[1:]]
    cells = [
        ",".join([own, *(str(float(label == name)) for name in ("red", "green", "blue"))])
        for own, label in rows
    ]
    (kaggle / "labels.csv").write_text("\n".join(["id,red,green,blue", *cells]) + "\n")
    monkeypatch.chdir(tmp_path)
    new = write_recipes(str(kaggle), "b", Path("recipes"))
    assert new.files[-1] == Path("recipes/b.labels.csv")
    after = load(Recipe.load(new.files[1]).data)
    for first, second in ((before.train, after.train), (before.valid, after.valid)):
        assert dict(zip(first.files, first.labels, strict=True)) == dict(
            zip(second.files, second.labels, strict=True)
        )
