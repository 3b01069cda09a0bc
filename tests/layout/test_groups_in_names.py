"""Images whose names say that they belong together: copies of one image, photos of one patient."""

import pytest

from ensemble.dataset.load import load
from ensemble.layout.questions import Options
from ensemble.layout.understanding import understand
from ensemble.recipe import Recipe

HASH = "3f9a01bc" * 4
COPIES = {
    "augmented": ("{}", "{}_aug1", "{}_aug_2", "{}_flip"),
    "plants": ("{}", "{}_flipLR", "{}_90deg", "{}_new30degFlipLR"),
    "roboflow": (f"{{}}_jpg.rf.a{HASH}", f"{{}}_jpg.rf.b{HASH}"),
    "patients": ("patient{}_0", "patient{}_1"),
    "eyes": ("{}_left", "{}_right"),
    "cameras": ("{}_rgb", "{}_depth"),
    "breasts": ("{}-CC", "{}-MLO"),
}


@pytest.mark.parametrize("kind", COPIES)
def test_images_that_belong_together_stay_in_one_split(kind, layout, ens):
    names = [
        f"{c}/{form.format(f'{c}{i}')}" for c in "ab" for i in range(8) for form in COPIES[kind]
    ]
    ens("init", layout([f"{name}.png" for name in names]), "--name", "a")
    data = load(Recipe.load("recipes/a_resnet.yaml").data)
    groups = [set(part.groups) for part in (data.train, data.valid, data.test)]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 16


@pytest.mark.parametrize(
    "forms", [("{c}/{i}.png",), ("{c}/apple_{c}_{i}.png",), ("{c}/photo ({i}).png",)]
)
def test_names_that_only_look_alike_are_no_groups(forms, layout):
    names = [
        form.format(c=c, i=i) for c in ("rotated", "fresh") for i in range(12) for form in forms
    ]
    assert understand(layout(names)).groups == ()


def test_persons_that_are_the_classes_are_no_groups(layout, classes):
    assert (
        understand(layout(classes("faces", *(f"subject{i:02d}b" for i in range(12))))).groups == ()
    )


FOLDERS = {  # of a patient or the like around class folders, inside them, and above further folders
    "around": ("{group}/{c}/{group}_{i}.png", "subfolders", "{}"),
    "inside": ("{c}/{group}/{i}.png", "folders", "{c}{}"),
    "deep": ("{c}/kind{c}1/{group}/40x/{i}.png", "folders", "{c}{}"),
    "words": ("{group}/{c}/{i}.png", "subfolders", "Subject {}"),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_images_of_one_folder_of_a_case_stay_in_one_split(kind, layout, ens):
    form, label, name = FOLDERS[kind]
    paths = [
        form.format(group=name.format(8000 + group, c=c), c=c, i=f"{c}{i}")
        for c in "ab"
        for group in range(12)
        for i in range(3)
    ]
    ens("init", layout(paths), "--name", "a", "--label", label)
    data = load(Recipe.load("recipes/a_resnet.yaml").data)
    groups = [set(part.groups) for part in (data.train, data.valid, data.test)]
    n_groups = 12 if "subfolders" in label else 24
    assert sum(map(len, groups)) == len(set.union(*groups)) == n_groups
    assert sum(map(len, (data.train, data.valid, data.test))) == 72


@pytest.mark.parametrize(
    "form",
    [
        "{c}/{kind}/{c}{i}.png",  # kinds of a class
        "{c}/part{n}/{c}{i}.png",
        "{c}/n0144000{n}/{c}{i}.png",  # classes of WordNet
        "{c}/{n}/{n}{c}{i}.png",  # by how the names begin
        "{c}/{c}0{c}/{c}{i}.png",  # one for each class
    ],
)
def test_folders_that_are_no_cases_are_no_groups(form, layout):
    names = [
        form.format(c=c, i=i, n=i % 4, kind=("apple", "pear", "plum", "fig")[i % 4])
        for c in "ab"
        for i in range(12)
    ]
    assert understand(layout(names), Options(label="folders")).groups == ()


def test_folders_of_patients_of_a_table_are_groups(layout):
    names = [f"train/patient{n:03d}/{view}.png" for n in range(12) for view in ("a", "b")]
    rows = [f"{name},{'xyz'[i // 2 % 3]}" for i, name in enumerate(names)]
    (group,) = understand(layout(names, {"labels.csv": ["path,label", *rows]})).groups
    assert (group.n_groups, group.pattern) == (12, "^([^/]+)/")


@pytest.mark.parametrize(
    ("form", "is_doubt"),
    [
        ("p{g:03d}_s{i}", True),
        ("{g}-{i}", True),
        ("scan7_{g}.view{i}", True),
        ("img_{n}", False),
        ("2024_{n}", False),
        ("class{c}_{n}", False),
    ],
)
def test_numbers_at_the_beginning_of_names_with_one_label_each_are_a_doubt(form, is_doubt, layout):
    numbers = [(n // 3, n % 3, n) for n in range(60)]
    labels = {form.format(g=g, i=i, n=n, c=g % 2): "ab"[g % 2] for g, i, n in numbers}
    rows = ["image,label", *(f"{name}.png,{label}" for name, label in labels.items())]
    root = layout([f"train/{name}.png" for name in labels], {"train.csv": rows})
    doubts = [doubt for doubt in understand(root).doubts if "beginnings of names" in doubt]
    assert len(doubts) == is_doubt
    assert all(doubt.startswith("20 beginnings of names such as ") for doubt in doubts)


def test_groups_in_names_are_used_where_those_of_a_table_are_too_few(layout):
    names = [f"{c}/patient{c}{i}_{k}" for c in "ab" for i in range(8) for k in range(2)]
    rows = [f"{name.partition('/')[2]}.png,cam{i % 3}" for i, name in enumerate(names)]
    root = layout([f"{name}.png" for name in names], {"info.csv": ["file,camera_id", *rows]})
    group = understand(root).used_group
    assert group is not None
    assert (group.table, group.n_groups) == (None, 16)
