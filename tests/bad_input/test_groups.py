"""Groups, test images and labels in file names that a recipe asks for and the files do not have."""

import pytest

RECIPE = """data: {source: folder, path: pictures, valid: 0.5}
model: {arch: resnet18, pretrained: false}
"""
TABLE = "image,patient\n" + "".join(f"{i}{name}.png,p{i}\n" for i in range(4) for name in "ab")
GROUP = "group={file: groups.csv, id: image, column: patient}"


@pytest.fixture
def pictures(work, folders, write):
    """pictures/train/{a,b} with four images each of a patient, pictures/groups.csv about them."""
    image = (folders / "test" / "t0.png").read_bytes()
    for name in "ab":
        for old in (folders / "train" / name).iterdir():
            old.unlink()
        for i in range(4):
            write(f"pictures/train/{name}/{i}{name}.png", image + bytes([i]))
    write("pictures/groups.csv", TABLE)
    write("r.yaml", RECIPE)


TABLES = {
    "no rows": ("image,patient\n", ["groups.csv", "a header and at least one row"]),
    "no such id column": (TABLE.replace("image", "file"), ["groups.csv: no column 'image'"]),
    "no such group column": (TABLE.replace("patient", "eye"), ["groups.csv: no column 'patient'"]),
    "an image without a row": (
        TABLE.replace("3b.png,p3\n", ""),
        ["groups.csv", "1 of 8 images have no row: 'b/3b.png'", "every image"],
    ),
    "several images without a row": (
        TABLE.replace("a.png", "c.png"),
        ["4 of 8 images have no row: 'a/0a.png', 'a/1a.png', 'a/2a.png'"],
    ),
    "an image without a group": (
        TABLE.replace("3b.png,p3", "3b.png, "),
        ["groups.csv:9: 'b/3b.png' has no patient"],
    ),
    "an image with two groups": (
        TABLE + "0a.png,p9\n",
        ["groups.csv:10: 'a/0a.png' has patient 'p9', but 'p0' in line 2"],
    ),
    "an image with two groups, with and without suffix": (
        TABLE + "0a,p9\n",
        ["groups.csv:10: 'a/0a.png' has patient 'p9'"],
    ),
    "one group for all": (
        "image,patient\n" + "".join(f"{i}{name},p\n" for i in range(4) for name in "ab"),
        ["data.valid: groups cannot be split"],
    ),
    "a NUL": (TABLE + "\0,p\n", ["groups.csv", "NUL"]),
    "an image as table": (b"\x89PNG\r\n\x1a\n\x00\xff", ["groups.csv", "not a readable CSV"]),
    "ids that climb out": (
        TABLE.replace("0a.png", "../../../outside/secret.txt"),
        ["1 of 8 images have no row: 'a/0a.png'"],
    ),
    "an id of 10,000 letters": (
        TABLE.replace("0a.png", "i" * 10_000),
        ["1 of 8 images have no row: 'a/0a.png'"],
    ),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_table_of_groups_that_does_not_fit(case, refused, write, pictures):
    content, expected = TABLES[case]
    write("pictures/groups.csv", content)
    refused(f"train r.yaml --set 'data.{GROUP}'", *expected)


def test_an_id_that_fits_two_images_is_refused(refused, write, pictures, folders):
    (folders / "train" / "a" / "0a.png").rename(folders / "train" / "a" / "0b.png")
    refused(f"train r.yaml --set 'data.{GROUP}'", "groups.csv:3: image '0b.png' fits 2 images")


SETTINGS = {
    "no such table": (
        "group={file: none.csv, id: image, column: patient}",
        ["none.csv: no such file", "holds: "],
    ),
    "somebody's password as table": (
        "group={file: ../../outside/secret.txt, id: image, column: patient}",
        ["secret.txt", "a header and at least one row"],
    ),
    "a table without a column": ("group={file: groups.csv, id: image}", ["data.group", "column"]),
    "a pattern that is none": ('group={pattern: "("}', ["data.group.pattern", '"("']),
    "a pattern without a group": ('group={pattern: "x"}', ["data.group.pattern", '"x"']),
    "a pattern that fits no name": (
        'group={pattern: "p(.)"}',
        ["data.group: 8 of 8 file names do not fit: '0a.png'", "the pattern is p(.)"],
    ),
    "a pattern that fits some names": (
        'group={pattern: "(.)a"}',
        ["data.group: 4 of 8 file names do not fit: '0b.png', '1b.png', '2b.png'"],
    ),
    "a pattern that finds nothing": (
        'group={pattern: "(x*)"}',
        ["data.group: 8 of 8 file names do not fit"],
    ),
    "groups where a folder validates": (
        'group={pattern: "(.)"}, valid: val',
        ["data.group: {pattern: (.)}: the folder val is the validation set"],
    ),
    "a column of class folders": ("group=patient", ["class folders have no columns"]),
    "a column of labels in names": (
        'source=csv, labels: {pattern: "(.)$"}, group: patient',
        ["data.group: 'patient': labels in file names have no columns"],
    ),
    "a split by a column of labels in names": (
        'source=csv, labels: {pattern: "(.)$"}, valid: {column: part}',
        ["data.valid: {column"],
    ),
    "names without a label": (
        'source=csv, labels: {pattern: "([a])$"}',
        ["4 of 8 file names do not fit data.labels: '0b.png'", "the pattern is ([a])$"],
    ),
    "names with an empty label": (
        'source=csv, labels: {pattern: "(x*)$"}',
        ["8 of 8 file names do not fit data.labels"],
    ),
    "labels of one class in names": (
        'source=csv, labels: {pattern: "^.(.)"}, train: train/a',
        ["only one class ('a')"],
    ),
    "a pattern for names of no image": (
        'source=csv, labels: {pattern: "(.)$"}, train: empty',
        ["pictures/empty", "no such folder"],
    ),
    "no such table of test images": (
        "test={file: none.csv, id: image}",
        ["none.csv: no such file"],
    ),
    "no such column of test images": (
        "test={file: groups.csv, id: name}",
        ["groups.csv: no column 'name'; it has image, patient"],
    ),
    "all training images as test images": (
        "test={file: groups.csv, id: image}",
        ["data.test: ", "names every image in ", "no image is left"],
    ),
    "a table of test images with a column of images": (
        "test={file: groups.csv, id: image, image: patient}",
        ["data.test", "image"],
    ),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_a_recipe_that_asks_for_what_the_files_do_not_have(case, refused, pictures):
    setting, expected = SETTINGS[case]
    first, *more = setting.split(", ") if "source=" in setting or "valid:" in setting else [setting]
    flags = [
        f"--set 'data.{first}'",
        *(f"--set 'data.{text.replace(': ', '=', 1)}'" for text in more),
    ]
    refused(f"train r.yaml {' '.join(flags)}", *expected)


TEST_TABLES = {
    "an id without an image": (
        "id\nt0\nt9\n",
        ["test.csv:3: id 't9' has no file in", "'t9', a file"],
    ),
    "ids without images": (
        "id\nt0\nt6\nt7\nt8\nt9\n",
        ["4 rows have none: 't6', 't7', 't8'", "name another column in data.test"],
    ),
    "an id twice": ("id\nt0\nt0\n", ["test.csv:3: id 't0' appears twice"]),
    "an id in two spellings": ("id\nt0\ntest/t0.png\n", ["test.csv:3", "appears twice"]),
    "an id of two images": ("id\n0\n", ["test.csv:2: id '0' fits 2 files: "]),
    "an id that climbs out": ("id\n../../outside/secret.txt\n", ["test.csv:2", "has no file"]),
    "an empty id": ('id,x\n"",x\n', ["test.csv:2: id '' has no file"]),
    "Latin-1": ("id\ngrün\n".encode("latin-1"), ["test.csv", "UTF-8", "iconv -f WINDOWS-1252"]),
}


@pytest.mark.parametrize("case", TEST_TABLES)
def test_a_table_of_test_images_that_does_not_fit(case, refused, write, pictures):
    content, expected = TEST_TABLES[case]
    write("pictures/test.csv", content)
    refused("train r.yaml --set 'data.test={file: test.csv, id: id}'", *expected)


CASES = TABLES | SETTINGS | TEST_TABLES
