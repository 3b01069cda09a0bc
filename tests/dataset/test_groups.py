"""Groups from columns, other tables and file names: every image has its own, and no group is split."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.dataset.split import split_images
from ensemble.errors import EnsembleError
from ensemble.recipe import Data, Folds, IdPattern, LabelsPattern, TableColumn

DRIVERS = TableColumn(file="drivers.csv", id="img", column="subject")


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


@pytest.fixture
def root(tmp_path):
    """imgs/train/c0 and c1 with 12 images each, three of every driver, whom drivers.csv names."""
    names = [f"{k}_{i:03d}" for k in (0, 1) for i in range(12)]
    make(tmp_path, *(f"imgs/train/c{name[0]}/{name}.jpg" for name in names))
    rows = [f"p{int(name[2:]) // 3},c{name[0]},{name}.jpg" for name in names]
    (tmp_path / "drivers.csv").write_text("\n".join(["subject,classname,img", *rows]))
    return tmp_path


def folders(**settings):
    return Data(**{"source": "folder", "path": "x", "train": "imgs/train", **settings})


def driver_of(image_id):
    return f"p{int(image_id[-3:]) // 3}"


def refusal(data, root):
    with pytest.raises(EnsembleError) as refused:
        split_images(data, root)
    assert str(refused.value).count("\n") < 2
    return str(refused.value)


@pytest.mark.parametrize(
    "settings", [{"valid": 0.25}, {"valid": Folds(folds=4)}, {"valid": 0.25, "test": 0.25}]
)
def test_drivers_of_another_table_stay_together_beside_class_folders(settings, root):
    splits = split_images(folders(group=DRIVERS, **settings), root)
    tables = [images for images in (splits.train, splits.valid, splits.test) if images]
    assert all(images.groups == tuple(map(driver_of, images.ids)) for images in tables)
    drivers = [set(images.groups) for images in tables]
    assert sum(map(len, drivers)) == len(set.union(*drivers)) == 4
    assert splits.notes == ()


@given(st.integers(0, 1000))
def test_the_order_of_the_groups_table_does_not_matter(tmp_path_factory, seed):
    root = make(
        tmp_path_factory.mktemp("g"), *(f"train/{k}/{k}{i}.jpg" for k in "ab" for i in range(6))
    )
    rows = [f"{k}{i},g{i // 2}" for k in "ab" for i in range(6)]
    random.Random(seed).shuffle(rows)
    (root / "g.csv").write_text("id,g\n" + "\n".join(rows))
    group = TableColumn(file="g.csv", id="id", column="g")
    splits = split_images(Data(source="folder", path="x", valid=0.34, group=group), root)
    for images in (splits.train, splits.valid):
        expected = tuple(f"g{int(image_id[-1]) // 2}" for image_id in images.ids)
        assert images.groups == expected


def test_a_groups_table_may_list_more_images_and_an_image_twice(root):
    text = (root / "drivers.csv").read_text()
    (root / "drivers.csv").write_text(text + "\np9,c0,t000.jpg\np0,c0,0_000.jpg\n")
    splits = split_images(folders(group=DRIVERS), root)
    assert splits.train.groups == tuple(map(driver_of, splits.train.ids))


@pytest.mark.parametrize("extra", ["", "\np9,c0,C:\\imgs\\t000.jpg"])
def test_ids_with_paths_of_another_machine_are_matched_and_that_is_said(extra, root):
    text = (root / "drivers.csv").read_text()
    for k in "01":
        text = text.replace(f",c{k},", f",c{k},C:\\imgs\\")
    (root / "drivers.csv").write_text(text + extra)
    splits = split_images(folders(group=DRIVERS), root)
    assert splits.train.groups == tuple(map(driver_of, splits.train.ids))
    assert splits.notes == ("drivers.csv: ids are matched without the ids' leading path",)


def test_a_whole_name_comes_before_the_end_of_a_name(tmp_path):
    root = make(tmp_path, *(f"train/{k}/{i}.jpg" for k in "ab" for i in range(4)))
    rows = "".join(f"{k}/{i},{k}{i}\n" for k in "ab" for i in range(4))
    (root / "g.csv").write_text("id,g\n" + rows + "3,other\n")
    group = TableColumn(file="g.csv", id="id", column="g")
    data = Data(source="folder", path="x", valid=0.5, group=group)
    splits = split_images(data, root)
    assert set(splits.train.groups + splits.valid.groups) == {
        f"{k}{i}" for k in "ab" for i in range(4)
    }
    (root / "g.csv").write_text("id,g\n" + rows.replace("a/3,a3\n", "") + "3,other\n")
    assert "'3' fits 2 images" in refusal(data, root)


def test_groups_that_file_names_hold(root):
    group = IdPattern(pattern=r"_(\d\d)\d")
    message = refusal(folders(group=IdPattern(pattern=r"x(\d+)")), root)
    assert message.startswith("data.group: 24 of 24 file names do not fit: '0_000.jpg', ")
    assert message.endswith("\nthe pattern is x(\\d+)")
    splits = split_images(folders(group=group, valid=0.2), root)
    assert set(splits.train.groups) | set(splits.valid.groups) == {"00", "01"}
    assert set(splits.train.groups).isdisjoint(splits.valid.groups)


def test_the_group_is_in_the_name_of_the_file_and_not_in_a_labels_tables_id(tmp_path):
    root = make(tmp_path, *(f"train/{eye}/{p}_{eye}.jpg" for p in range(6) for eye in "lr"))
    rows = "".join(f"{eye}/{p}_{eye},c{p % 2}\n" for p in range(6) for eye in "lr")
    (root / "labels.csv").write_text("id,label\n" + rows)
    group = IdPattern(pattern=r"(\d+)_")
    splits = split_images(Data(source="csv", path="x", valid=0.34, group=group), root)
    assert splits.valid.groups == tuple(image_id[2] for image_id in splits.valid.ids)
    assert set(splits.train.groups).isdisjoint(splits.valid.groups)


def test_a_groups_table_serves_a_labels_table_and_labels_in_names_too(tmp_path):
    names = [f"{k}.{i}" for k in "ab" for i in range(6)]
    root = make(tmp_path, *(f"train/{name}.jpg" for name in names))
    (root / "labels.csv").write_text("id,label\n" + "".join(f"{n},{n[0]}\n" for n in names))
    (root / "g.csv").write_text("id;g\n" + "".join(f"{n}.jpg;g{int(n[2]) // 2}\n" for n in names))
    group = TableColumn(file="g.csv", id="id", column="g")
    by_table = Data(source="csv", path="x", valid=0.34, group=group)
    by_name = by_table.model_copy(update={"labels": LabelsPattern(pattern=r"(.)\.\d")})
    first, second = split_images(by_table, root), split_images(by_name, root)
    assert first.valid.ids == second.valid.ids
    assert first.valid.groups == second.valid.groups
    assert set(first.train.groups).isdisjoint(first.valid.groups)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"group": "subject"}, "class folders have no columns\nallowed here: duplicates, {file:"),
        ({"group": DRIVERS, "valid": "imgs/train"}, "data.group: {file: drivers.csv, id: img, "),
        (
            {"source": "csv", "labels": LabelsPattern(pattern="(.)_"), "group": "subject"},
            "data.group: 'subject': labels in file names have no columns",
        ),
    ],
)
def test_groups_that_cannot_be_are_refused(settings, message, root):
    assert message in refusal(folders(**settings), root)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0_011.jpg", "9_999.jpg", "drivers.csv: 1 of 24 images have no row: 'c0/0_011.jpg'\n"),
        ("0_011.jpg", "0_010.jpg", "1 of 24 images have no row: 'c0/0_011.jpg'\nan id of img: '0"),
        ("p0,c0,0_000.jpg", ",c0,0_000.jpg", "drivers.csv:2: 'c0/0_000.jpg' has no subject"),
        ("img", "image", "drivers.csv: no column 'img'; it has subject, classname, image"),
        ("subject", "driver", "drivers.csv: no column 'subject'; it has driver, classname, img"),
    ],
)
def test_a_groups_table_that_does_not_say_one_group_for_each_image_is_refused(
    old, new, message, root
):
    text = (root / "drivers.csv").read_text()
    (root / "drivers.csv").write_text(text.replace(old, new, 1))
    assert message in refusal(folders(group=DRIVERS), root)


def test_two_groups_of_one_image_are_refused_with_both_lines(root):
    with (root / "drivers.csv").open("a") as table:
        table.write("\np3,c0,0_000.jpg\n")
    message = refusal(folders(group=DRIVERS), root)
    assert "drivers.csv:26: 'c0/0_000.jpg' has subject 'p3', but 'p0' in line 2" in message


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from("ab")), max_size=60), st.randoms())
def test_given_folds_as_groups_are_the_folds(tmp_path_factory, more, random):
    rows = [*((fold, label) for fold in range(5) for label in "ab"), *more]
    random.shuffle(rows)
    names = [f"t{i:02}" for i in range(len(rows))]
    root = make(tmp_path_factory.mktemp("f"), *(f"train/{name}.jpg" for name in names))
    table = [f"{n},{label},{fold}\n" for n, (fold, label) in zip(names, rows, strict=True)]
    (root / "train.csv").write_text("id,label,fold\n" + "".join(table))
    settings = {"labels": "train.csv", "group": "fold", "valid": Folds(folds=5)}
    data = Data(source="csv", path="x", train="train", **settings)
    held_out = [split_images(data, root, fold).valid for fold in range(5)]
    fold_of = {name: fold for name, (fold, _) in zip(names, rows, strict=True)}
    found = sorted(sorted({fold_of[i] for i in images.ids}) for images in held_out)
    assert found == [[fold] for fold in range(5)]
