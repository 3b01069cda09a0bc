"""Labels files that are broken, hostile, or about other images; what a split reads in them."""

import pytest

RECIPE = """data: {source: csv, path: set, train: images, labels: labels.csv, valid: 0.5, group: null}
model: {arch: resnet18, pretrained: false}
"""
ROWS = "".join(f"{name}{i},{name},p{i},train\n" for name in "ab" for i in range(4))
GOOD = "id,label,patient,part\n" + ROWS

FILES = {
    "empty": ("", ["labels.csv", "a header and at least one row"]),
    "only a mark of order": (b"\xef\xbb\xbf", ["labels.csv", "a header and at least one row"]),
    "only a header": ("id,label\n", ["labels.csv", "a header and at least one row"]),
    "only empty lines": ("\n\n\n", ["labels.csv", "a header and at least one row"]),
    "one column": ("id\na0\n", ["labels.csv", "two columns", "'id'"]),
    "colons": ("id:label\na0:a\n", ["labels.csv", "two columns", "'id:label'"]),
    "a column twice": ("id,label,label\na0,a,a\n", ["labels.csv", "twice", "id, label, label"]),
    "two columns without a name": ("id,label,,\na0,a,b,c\n", ["labels.csv", "twice"]),
    "200 kB of header": (f"id,{',label' * 40_000}\na0,a\n", ["labels.csv", "row 2 has 2 cells"]),
    "200 kB of header and row": (
        f"id{',label' * 40_000}\na0{',a' * 40_000}\n",
        ["labels.csv", "twice"],
    ),
    "a row too short": ("id,label\na0,a\na1\n", ["labels.csv", "row 3 has 1 cells, the header 2"]),
    "a row too long": ("id,label\na0,a,b\n", ["labels.csv", "row 2 has 3 cells, the header 2"]),
    "an open quote": ('id,label\na0,"a\n', ["labels.csv", "not a readable CSV"]),
    "a quote inside": ('id,label\na0,"a"b\n', ["labels.csv", "not a readable CSV"]),
    "a cell of 200 kB": (f"id,label\na0,{'x' * 200_000}\n", ["labels.csv", "not a readable CSV"]),
    "Latin-1": (
        "id,label\na0,grün\n".encode("latin-1"),
        ["labels.csv", "not a readable CSV in UTF-8"],
    ),
    "UTF-16 without its mark": (GOOD.encode("utf-16-le"), ["labels.csv", "NUL: save it as"]),
    "half a letter of UTF-16": (GOOD.encode("utf-16")[:-1], ["labels.csv", "not a readable CSV"]),
    "an image": (b"\x89PNG\r\n\x1a\n\x00\xff", ["labels.csv", "not a readable CSV in UTF-8"]),
    "a NUL in an id": ("id,label\na0\0,a\n", ["labels.csv", "NUL"]),
    "a NUL in a label": (GOOD.replace("a0,a,", "a0,a\0,"), ["labels.csv", "NUL"]),
    "an archive": (b"PK\x05\x06" + bytes(18), ["labels.csv"]),
    "JSON": ('{"a0": "a"}\n', ["labels.csv"]),
    "HTML": ("<html>\n<b>not found</b>\n</html>\n", ["labels.csv", "two columns"]),
    "an id without a file": (
        GOOD + "c9,a,p,train\n",
        ["labels.csv:10", "id 'c9' has no file in set/images"],
    ),
    "an id of nothing": (GOOD + ",a,p,train\n", ["labels.csv:10", "id '' has no file"]),
    "an id twice": (GOOD + "a0,b,p,train\n", ["labels.csv:10", "'a0' appears twice"]),
    "an id twice, with and without suffix": (
        GOOD + "a0.png,a,p,train\n",
        ["labels.csv:10", "'a0.png' appears twice"],
    ),
    "an id for two files": (GOOD + "c,a,p,train\n", ["labels.csv:10", "'c' fits 2 files"]),
    "an empty label": (GOOD.replace("a1,a,", "a1,,"), ["labels.csv:3", "'a1' has an empty label"]),
    "an id that climbs out": (
        GOOD + "../../outside/secret,a,p,train\n",
        ["labels.csv:10", "has no file"],
    ),
    "an id that is an absolute path": (
        GOOD + "/etc/passwd,a,p,train\n",
        ["labels.csv:10", "'/etc/passwd' has no"],
    ),
    "an id in its own folder by detour": (
        GOOD + "../images/a0,a,p,train\n",
        ["labels.csv:10", "has no file"],
    ),
    "an id that is a formula": (
        GOOD + "=cmd()|x,a,p,train\n",
        ["labels.csv:10", "'=cmd()|x' has no file"],
    ),
    "an id of two lines": (GOOD + '"a0\nb",a,p,train\n', ["labels.csv:10", "'a0\\nb' has no file"]),
    "an id with escape codes": (
        GOOD + "\x1b[2Ja0,a,p,train\n",
        ["labels.csv:10", "'\\x1b[2Ja0' has no file"],
    ),
    "an id with spaces around": (
        GOOD + " a0 ,a,p,train\n",
        ["labels.csv:10", "'a0' appears twice"],
    ),
    "an id of 10,000 letters": (
        GOOD + f"{'i' * 10_000},a,p,train\n",
        ["labels.csv:10", "has no file"],
    ),
    "no header": (
        GOOD.partition("\n")[2].replace("a0,a", "a0.png,a", 1),
        ["labels.csv: its first row names the image 'a0.png'", "seems to have no header"],
    ),
    "no header and no suffixes": (
        GOOD.partition("\n")[2],
        ["labels.csv: its first row names the image 'a0'", "seems to have no header"],
    ),
    "an index before the ids": (
        ",id,label\n" + "".join(f"{i},a{i},a\n" for i in range(4)),
        ["labels.csv: the first of 3 columns has no name", "data.labels: {file: labels.csv, id:"],
    ),
    "a column for each class": (
        "id,a,b\n"
        + "".join(f"{k}{i},{int(k == 'a')},{int(k == 'b')}\n" for k in "ab" for i in "01"),
        ["labels.csv: a, b: a column for each class", "ens init"],
    ),
    "a column for each class in decimals, and a fold": (
        "id,a,b,fold\n" + "".join(f"{k}0,{k == 'a':.1f},{k == 'b':.1f},3\n" for k in "ab"),
        ["labels.csv: a, b: a column for each class"],
    ),
    "nothing but blanks and delimiters": (
        " , \n,\n\t,\n",
        ["labels.csv", "a header and at least one row"],
    ),
    "names of columns that differ by blanks": ("id, id\na0,a\n", ["twice in id, id"]),
    "several ids without a file": (
        GOOD + "".join(f"c{i},a,p,train\n" for i in range(5, 10)),
        ["labels.csv:10: id 'c5' has no file", "5 rows have none: 'c5', 'c6', 'c7'", "'a0.png'"],
    ),
    "no id with a file": (
        "id,label\nx,a\ny,b\n",
        ["labels.csv:2: id 'x' has no file", "2 rows have none", "data.skip_missing: true"],
    ),
    "several empty labels": (
        GOOD.replace("a1,a,", "a1,,").replace("b1,b,", "b1, ,"),
        ["labels.csv:3: 'a1' has an empty label (2 such rows)"],
    ),
    "a missing label": (GOOD.replace("a1,a,", "a1,nan,"), ["class 'nan' has one image"]),
    "one class when blanks are left out": (
        GOOD.replace(",b,", ", a ,"),
        ["set", "only one class ('a')"],
    ),
    "an id twice when blanks are left out": (GOOD + "a0 ,b,p,train\n", ["'a0' appears twice"]),
    "two delimiters": ("id;label,x\na0;a\na1\n", ["labels.csv", "row 2 has 1 cells"]),
    "Windows text": (
        "id,label\na0,gr\xfcn\n".encode("cp1252"),
        ["labels.csv", "CSV UTF-8", "iconv -f WINDOWS-1252 -t UTF-8 labels.csv"],
    ),
    "one class": (GOOD.replace(",b,", ",a,"), ["set", "only one class ('a')"]),
    "a class of one image": (GOOD.replace("b3,b,", "b3,c,"), ["class 'c' has one image"]),
}


@pytest.fixture
def labelled(work, folders, write):
    """set/images with a0 … a3, b0 … b3 and c in two formats; set/test with one; set/labels.csv is good."""
    image = (folders / "test" / "t0.png").read_bytes()
    for name in [f"{name}{i}.png" for name in "ab" for i in range(4)] + ["c.png", "c.jpg"]:
        write(f"set/images/{name}", image)
    write("set/labels.csv", GOOD)
    write("r.yaml", RECIPE)


@pytest.mark.parametrize("case", FILES)
def test_a_labels_file_that_is_none(case, refused, write, labelled):
    content, said = FILES[case]
    write("set/labels.csv", content)
    refused("train r.yaml", *said)


SETTINGS = {
    "no labels file": ("labels=none.csv", ["set/none.csv: no such file", "set holds: "]),
    "a labels file below a file": ("labels=labels.csv/x.csv", ["labels.csv/x.csv"]),
    "a folder as labels file": ("labels=images", ["set/images", "not a readable CSV"]),
    "an image as labels file": ("labels=images/a0.png", ["images/a0.png", "not a readable CSV"]),
    "a labels file of 5,000 letters": (f"labels={'l' * 5000}", ["not a readable CSV"]),
    "a NUL in the labels file's name": ('labels="l\\0.csv"', ["not a readable CSV"]),
    "somebody's password as labels file": (
        "labels=../../outside/secret.txt",
        ["secret.txt", "a header and at least"],
    ),
    "no such id column": (
        "labels={file: labels.csv, id: name, label: label}",
        ["labels.csv", "no column 'name'"],
    ),
    "no such label column": (
        "labels={file: labels.csv, id: id, label: kind}",
        ["labels.csv", "no column 'kind'"],
    ),
    "no such folder of images": ("train=photos", ["set/photos", "no such folder", "holds: "]),
    "a folder of images of 300 letters": (f"train={'t' * 300}", ["no such folder"]),
    "no such column of groups": ("group=doctor", ["data.group", "no column 'doctor'", "patient"]),
    "no such column of the split": (
        "valid={column: fold}",
        ["data.valid.column", "no column 'fold'"],
    ),
    "a split of odd words": (
        "valid={column: label}",
        ["data.valid.column", "'a0' has label 'a'", "train, valid, test"],
    ),
    "a split without validation": (
        "valid={column: part}",
        ["data.valid.column", "no row has part valid"],
    ),
    "validation in no folder": ("valid=val", ["set/val", "no such folder"]),
    "validation in the training folder": (
        "valid=images",
        ["labels.csv:2", "id 'a0' has a file in"],
    ),
    "a group for each fold but one": ("group=label", ["data.valid", "groups cannot be split"]),
    "no test folder": ("test=test", ["set/test", "no such folder"]),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_a_recipe_that_does_not_fit_its_labels_file(case, refused, labelled):
    setting, said = SETTINGS[case]
    refused(f"train r.yaml --set 'data.{setting}'", *said)


SPLITS = {
    "one part misspelt": (GOOD.replace("p3,train", "p3,trian"), ["'a3' has part 'trian'"]),
    "one part empty": (GOOD.replace("p3,train", "p3,"), ["'a3' has part ''"]),
    "no training rows": (GOOD.replace("train", "valid"), ["no row has part train"]),
    "a validated class that is not trained on": (
        GOOD.replace(",b,", ",b,").replace("b0,b,p0,train", "b0,c,p0,valid"),
        ["validation has classes without training images: c"],
    ),
}


@pytest.mark.parametrize("case", SPLITS)
def test_a_column_that_states_no_split(case, refused, write, labelled):
    content, said = SPLITS[case]
    write("set/labels.csv", content)
    refused("train r.yaml --set 'data.valid={column: part}'", *said)


GROUPS = {
    "a group in two parts": (
        GOOD.replace("b1,b,p1,train", "b1,b,p1,valid"),
        ["data.group", "'p1'", "train", "valid"],
    ),
    "an image without a group": (
        GOOD.replace("b1,b,p1,", "b1,b,,"),
        ["data.group", "'b1' has no patient"],
    ),
}


@pytest.mark.parametrize("case", GROUPS)
def test_a_column_of_groups_that_part(case, refused, write, labelled):
    content, said = GROUPS[case]
    write("set/labels.csv", content)
    refused("train r.yaml --set 'data.valid={column: part}' --set data.group=patient", *said)


SKIPPED = {
    "no image left": ("id,label\nx,a\ny,b\n", ["labels.csv:2: id 'x' has no file"]),
    "one class left": (GOOD.replace("b", "x"), ["only one class ('a')"]),
    "an id twice": (GOOD + "x,a,p,train\na0,b,p,train\n", ["labels.csv:11", "'a0' appears twice"]),
    "an id for two files": (GOOD + "x,a,p,train\nc,a,p,train\n", ["labels.csv:11", "fits 2 files"]),
}


@pytest.mark.parametrize("case", SKIPPED)
def test_rows_without_an_image_are_left_out_and_nothing_else(case, refused, write, labelled):
    content, said = SKIPPED[case]
    write("set/labels.csv", content)
    refused("train r.yaml --set data.skip_missing=true", *said)


CASES = FILES | SETTINGS | SKIPPED | SPLITS | GROUPS
