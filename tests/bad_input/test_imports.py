"""Predictions from elsewhere that are broken, hostile, or about other rows: CSV and .npz."""

import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ensemble import npz as stored_npz
from ensemble.predictions import Predictions

GOOD = "id,a,b,label\n" + "".join(f"{i},0.{i + 1},0.{9 - i},{'ab'[i > 4]}\n" for i in range(8))


def row(text):
    return GOOD + text + "\n"


CSVS = {
    "a picture": (b"\x89PNG\xff", ["v.csv", "not a readable CSV in UTF-8"]),
    "empty": ("", ["v.csv", "a header and at least one row"]),
    "no rows": ("id,a,b,label\n", ["v.csv", "a header and at least one row"]),
    "one class": ("id,a,label\n0,1,a\n", ["v.csv", "one column per class", "id, a, label"]),
    "only ids and labels": ("id,label\n0,a\n", ["v.csv", "one column per class"]),
    "a class twice": ("id,a,a,label\n0,0.5,0.5,a\n", ["v.csv", "appears twice"]),
    "no labels": (
        "id,a,b\n0,0.5,0.5\n",
        ["v.csv", "not the validation rows of any run", "column `label`"],
    ),
    "a row too short": (row("9,1"), ["v.csv", "row 10 has 2 cells, the header 4"]),
    "a row too long": (row("9,1,0,a,b"), ["v.csv", "row 10 has 5 cells, the header 4"]),
    "text as probability": (row("9,much,little,a"), ["v.csv", "'9'", "a is 'much', not a number"]),
    "ids after the classes": (
        "a,b,file\n0.4,0.6,x\n0.7,0.3,y\n",
        ["file is 'x', not a number", "ids are in `a`", "call that of the ids `id`"],
    ),
    "nothing as probability": (row("9,,1,a"), ["v.csv", "'9'", "a is empty"]),
    "a decimal comma": (
        row('9,"0,5","0,5",a'),
        ["v.csv", "'9'", "a is '0,5', with a decimal comma"],
    ),
    "a share in per cent": (row("9,50%,50%,a"), ["v.csv", "'50%'", "without the sign"]),
    "a formula as probability": (row("9,=1/2,=1/2,a"), ["v.csv", "'=1/2', not a number"]),
    "a hexadecimal number": (row("9,0x1,0x0,a"), ["v.csv", "'0x1', not a number"]),
    "a complex number": (row("9,1j,1,a"), ["v.csv", "'1j', not a number"]),
    "200 kB of digits": (row(f"9,0.{'1' * 200_000},1,a"), ["v.csv", "not a readable CSV"]),
    "nan": (row("9,nan,1,a"), ["v.csv", "'9'", "NaN or infinite"]),
    "infinity": (row("9,inf,0,a"), ["v.csv", "'9'", "NaN or infinite"]),
    "a number beyond floats": (row("9,1e999,0,a"), ["v.csv", "'9'", "NaN or infinite"]),
    "a negative probability": (row("9,-0.5,1.5,a"), ["v.csv", "'9'", "outside 0 to 1"]),
    "a logit": (row("9,7.5,-3.1,a"), ["v.csv", "'9'", "outside 0 to 1"]),
    "a row that sums to a half": (row("9,0.25,0.25,a"), ["v.csv", "'9'", "sum to 0.5000, not 1"]),
    "a row of zeros": (row("9,0,0,a"), ["v.csv", "'9'", "sum to 0.0000"]),
    "per cent": (
        "id,a,b,label\n0,40,60,b\n1,99.5,0.5,a\n",
        ["v.csv", "outside 0 to 1", "divide them by 100"],
    ),
    "logits": ("id,a,b,label\n0,-2,3,b\n1,4,-1,a\n", ["v.csv", "'0'", "after the softmax"]),
    "rounded": (
        "id,a,b,c,label\n0,0.34,0.34,0.33,b\n1,0,1,0,b\n",
        ["v.csv", "sum to 1.0100", "more digits"],
    ),
    "a column of folds": (
        "id,a,b,fold,label\n0,0.5,0.5,0,b\n1,0,1,4,a\n",
        ["v.csv", "outside 0 to 1", "leave out column 'fold'"],
    ),
    "a column of predictions": (
        "id,a,b,predicted,label\n0,0.6,0.4,a,b\n",
        ["v.csv", "predicted is 'a', not a number", "leave other columns out"],
    ),
    "other names of classes": (
        "id,prob_a,prob_b,label\n0,0.6,0.4,a\n",
        ["v.csv", "'a' in column label", "prob_a, prob_b: name them as the classes"],
    ),
    "an id twice": (row("3,0.5,0.5,a"), ["v.csv", "id '3' appears 2 times"]),
    "an id that ends in NUL": (row("3\0,0.5,0.5,a"), ["v.csv", "NUL"]),
    "a label that is no class": (row("9,0.5,0.5,c"), ["v.csv", "'c' in column label"]),
    "an empty label": (row("9,0.5,0.5,"), ["v.csv", "'' in column label"]),
    "an open quote": (row('"9,0.5,0.5,a'), ["v.csv", "not a readable CSV"]),
    "Latin-1": (row("grün,0.5,0.5,a").encode("latin-1"), ["v.csv", "not a readable CSV in UTF-8"]),
}


@pytest.mark.parametrize("case", CSVS)
def test_a_csv_that_holds_no_predictions(case, refused, write):
    content, said = CSVS[case]
    write("v.csv", content)
    refused("import x --arch y --valid v.csv", *said)


def arrays(**changed):
    """Eight good rows of two classes, changed; None leaves an array out."""
    good = {
        "ids": np.array([f"{i}" for i in range(8)]),
        "classes": np.array(["a", "b"]),
        "probs": np.full((8, 2), 0.5, np.float32),
        "targets": np.arange(8) % 2,
    }
    return {name: array for name, array in (good | changed).items() if array is not None}


def npz(path="v.npz", **changed):
    np.savez(path, allow_pickle=True, **arrays(**changed))


def with_member(name, content):
    """A good file with one member replaced by these bytes."""
    stored = {}
    npz()
    with zipfile.ZipFile("v.npz") as archive:
        stored = {own: archive.read(own) for own in archive.namelist()} | {name: content}
    with zipfile.ZipFile("v.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for own, content in stored.items():
            archive.writestr(own, content)


def header(text):
    """The beginning of an .npy file with this header."""
    text = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def npy(array):
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def changed(old, new):
    npz()
    Path("v.npz").write_bytes(Path("v.npz").read_bytes().replace(old, new, 1))


def cut(share):
    npz()
    raw = Path("v.npz").read_bytes()
    Path("v.npz").write_bytes(raw[: int(len(raw) * share)])


class Evil:
    """Runs a command where it is unpickled."""

    def __reduce__(self):
        return Path.write_text, (Path("pwned"), "pwned")


def pickled():
    Path("v.npz").write_bytes(pickle.dumps(Evil()))


def of_objects(name):
    shape = (8, 2) if name == "probs" else (8,)
    npz(**{name: np.full(shape, Evil(), dtype=object)})


def points(code):
    """Ids whose last letter is this code point, which is none."""
    ids = np.array([f"{i}" for i in range(8)], dtype="<U1")
    ids.view(np.uint32)[7] = code
    return ids


HUGE = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 2), }"
PARENTHESES = "{'descr': '<f4', 'fortran_order': False, 'shape': " + "(" * 3000 + ")" * 3000 + ", }"
NPZS = {
    "empty": (lambda: Path("v.npz").write_bytes(b""), ["cannot be read"]),
    "text": (lambda: Path("v.npz").write_text("hello\n"), ["cannot be read"]),
    "a pickle that runs something": (pickled, ["cannot be read"]),
    "one array without names": (
        lambda: Path("v.npz").write_bytes(npy(np.zeros(3))),
        ["cannot be read"],
    ),
    "a zip without arrays": (
        lambda: zipfile.ZipFile("v.npz", "w").close(),
        ["no array named classes, ids, probs"],
    ),
    "half": (lambda: cut(0.5), ["cannot be read"]),
    "all but the end": (lambda: cut(0.99), ["cannot be read"]),
    "a changed number": (
        lambda: changed(np.full(4, 0.5, "f4").tobytes(), b"\xff" * 16),
        ["cannot be read"],
    ),
    "a changed header": (lambda: changed(b"descr", b"dscr "), ["cannot be read"]),
    "no ids": (lambda: npz(ids=None), ["no array named ids"]),
    "no classes": (lambda: npz(classes=None), ["no array named classes"]),
    "no probs": (lambda: npz(probs=None), ["no array named probs"]),
    "no targets": (lambda: npz(targets=None), ["not the validation rows of any run", "`targets`"]),
    "ids that are objects": (lambda: of_objects("ids"), ["ids holds Python objects"]),
    "classes that are objects": (lambda: of_objects("classes"), ["classes holds Python objects"]),
    "probs that are objects": (lambda: of_objects("probs"), ["probs holds Python objects"]),
    "targets that are objects": (lambda: of_objects("targets"), ["targets holds Python objects"]),
    "another array of objects": (
        lambda: npz(more=np.array([Evil()], dtype=object)),
        ["more holds Python objects"],
    ),
    "ids that are numbers": (
        lambda: npz(ids=np.arange(8)),
        ["ids must be a list of texts, not int64"],
    ),
    "ids that are bytes": (
        lambda: npz(ids=np.array([b"a"] * 8)),
        ["ids must be a list of texts, not |S1"],
    ),
    "ids in a table": (lambda: npz(ids=np.array([["a"] * 8])), ["ids must be a list of texts"]),
    "one id without a list": (lambda: npz(ids=np.array("a")), ["v.npz"]),
    "an id twice": (lambda: npz(ids=np.array(list("abcdefga"))), ["id 'a' appears 2 times"]),
    "an id that is half a letter": (lambda: npz(ids=points(0xD800)), ["ids", "not valid Unicode"]),
    "an id beyond Unicode": (lambda: npz(ids=points(0x110000)), ["ids", "not valid Unicode"]),
    "an id of negative letters": (
        lambda: npz(ids=points(0xFFFFFFFF)),
        ["ids", "not valid Unicode"],
    ),
    "classes that are numbers": (
        lambda: npz(classes=np.arange(2)),
        ["classes must be a list of texts"],
    ),
    "classes in a table": (
        lambda: npz(classes=np.array([["a", "b"]])),
        ["classes must be a list of texts"],
    ),
    "a class twice": (lambda: npz(classes=np.array(["a", "a"])), ["a class name appears twice"]),
    "a class that is half a letter": (
        lambda: npz(classes=np.array(["a", "\ud800"])),
        ["classes", "not valid Unicode"],
    ),
    "no class": (
        lambda: npz(classes=np.array([], "U1"), probs=np.zeros((8, 0), np.float32)),
        ["no classes"],
    ),
    "one class": (
        lambda: npz(classes=np.array(["a"]), probs=np.ones((8, 1)), targets=np.zeros(8, int)),
        ["two"],
    ),
    "whole probs": (lambda: npz(probs=np.ones((8, 2), int)), ["probs is int64"]),
    "complex probs": (lambda: npz(probs=np.full((8, 2), 0.5 + 0j)), ["probs is complex128"]),
    "probs in a row": (
        lambda: npz(probs=np.full(16, 0.5)),
        ["probs is float64 (16,), expected floats (8, 2)"],
    ),
    "too few probs": (lambda: npz(probs=np.full((7, 2), 0.5)), ["expected floats (8, 2)"]),
    "a column too many": (lambda: npz(probs=np.full((8, 3), 1 / 3)), ["expected floats (8, 2)"]),
    "probs with fields": (
        lambda: npz(probs=np.zeros((8, 2), [("x", "f4")])),
        ["v.npz", "probs is"],
    ),
    "nan": (lambda: npz(probs=np.full((8, 2), np.nan)), ["'0'", "NaN or infinite"]),
    "logits": (lambda: npz(probs=np.tile([3.0, -2.0], (8, 1))), ["'0'", "outside 0 to 1"]),
    "sums of 2": (lambda: npz(probs=np.ones((8, 2))), ["'0'", "sum to 2.0000"]),
    "numbers beyond float32": (
        lambda: npz(probs=np.full((8, 2), 1e300)),
        ["'0'", "outside 0 to 1"],
    ),
    "targets that are fractions": (lambda: npz(targets=np.zeros(8)), ["targets is float64"]),
    "too many targets": (lambda: npz(targets=np.zeros(9, int)), ["targets is int64 (9,)"]),
    "a negative target": (lambda: npz(targets=np.full(8, -1)), ["targets outside 0 to 1"]),
    "a target beyond the classes": (lambda: npz(targets=np.full(8, 2)), ["targets outside 0 to 1"]),
    "a target beyond int64": (
        lambda: npz(targets=np.full(8, 2**64 - 1, np.uint64)),
        ["targets outside 0 to 1"],
    ),
    "groups that are numbers": (lambda: npz(groups=np.arange(8)), ["groups must be (8,) texts"]),
    "too few groups": (lambda: npz(groups=np.array(["a"])), ["groups must be (8,) texts"]),
    "a group that is half a letter": (
        lambda: npz(groups=points(0xDFFF)),
        ["groups", "not valid Unicode"],
    ),
    "no rows": (
        lambda: npz(
            ids=np.array([], "U1"), probs=np.zeros((0, 2), np.float32), targets=np.array([], int)
        ),
        ["has no rows"],
    ),
    "a terabyte in the header": (
        lambda: with_member("probs.npy", header(HUGE)),
        ["cannot be read"],
    ),
    "a header of parentheses": (
        lambda: with_member("probs.npy", header(PARENTHESES)),
        ["cannot be read"],
    ),
    "a call in the header": (
        lambda: with_member("probs.npy", header("open('pwned', 'w')")),
        ["cannot be read"],
    ),
    "a header that is no map": (
        lambda: with_member("probs.npy", header("[1, 2]")),
        ["cannot be read"],
    ),
    "an unknown type": (
        lambda: with_member("probs.npy", header(HUGE.replace("<f4", "<x9"))),
        ["cannot be read"],
    ),
    "a negative shape": (
        lambda: with_member("probs.npy", header(HUGE.replace("1000000000000", "-8"))),
        ["v.npz"],
    ),
    "a member that is no array": (lambda: with_member("ids.npy", b"hello"), ["cannot be read"]),
    "a member of a later format": (
        lambda: with_member("ids.npy", b"\x93NUMPY\x09\x00" + bytes(90)),
        ["cannot be read"],
    ),
    "a bomb": (
        lambda: with_member("more.npy", npy(np.zeros(1_000_000))),
        ["v.npz", "bytes when unpacked"],
    ),
}


@pytest.mark.parametrize("case", NPZS)
def test_an_npz_that_holds_no_predictions(case, refused, work, monkeypatch):
    monkeypatch.setattr(stored_npz, "FREE_BYTES", 1_000_000)
    prepare, said = NPZS[case]
    prepare()
    refused("import x --arch y --valid v.npz", "v.npz", *said)


def one_known_run(fake_run, rng, made_up):
    fake_run(
        "runs",
        "known-1-s0",
        predictions=made_up(rng, 8, ("a", "b"), ids=[f"0{i}" for i in range(8)]),
    )


KNOWN = "id,a,b\n" + "".join(f"0{i},0.5,0.5\n" for i in range(8))
TESTS = "id,a,b\n" + "".join(f"t{i:05d},0.5,0.5\n" for i in range(50))
OTHERS = {
    "a row too few": (
        KNOWN.replace("07,0.5,0.5\n", ""),
        None,
        ["v.csv", "not the validation rows", "missing '07'"],
    ),
    "a row too many": (KNOWN + "08,0.5,0.5\n", None, ["v.csv", "unknown '08'"]),
    "other rows": (
        KNOWN.replace("\n0", "\nx"),
        None,
        ["v.csv", "not the validation rows of any run"],
    ),
    "leading zeros lost": (KNOWN.replace("\n0", "\n"), None, ["v.csv", "leading zeros"]),
    "another class": (
        KNOWN.replace("b\n", "c\n", 1),
        None,
        ["v.csv", "its classes differ", "missing 'b'"],
    ),
    "a class too many": (
        KNOWN.replace("b\n", "b,c\n", 1).replace("0.5\n", "0.5,0\n"),
        None,
        ["v.csv", "its classes differ", "unknown 'c'"],
    ),
    "other true classes": (
        KNOWN.replace("b\n", "b,label\n", 1).replace("0.5\n", "0.5,a\n"),
        None,
        ["v.csv", "4 true classes differ", "'01'"],
    ),
    "no test file": (KNOWN, None, ["t.csv: no such file"]),
    "other test rows": (KNOWN, TESTS.replace("t00049", "t00050"), ["t.csv", "missing 't00049'"]),
    "a test row too few": (
        KNOWN,
        TESTS.replace("t00049,0.5,0.5\n", ""),
        ["t.csv", "49 rows, the runs have 50"],
    ),
    "other test classes": (
        KNOWN,
        TESTS.replace("b\n", "c\n", 1),
        ["t.csv", "its classes differ"],
    ),
    "broken test rows": (
        KNOWN,
        TESTS.replace("0.5\n", "x\n", 1),
        ["t.csv", "'t00000'", "not a number"],
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_predictions_about_other_rows(case, refused, work, write, fake_run, rng, made_up):
    one_known_run(fake_run, rng, made_up)
    valid, test, said = OTHERS[case]
    write("v.csv", valid)
    if test:
        write("t.csv", test)
    with_test = " --test t.csv" if test or "t.csv" in said[0] else ""
    refused(f"import x --arch y --valid v.csv{with_test}", *said)


NAMES = {
    "a climbing name": ("import ../../x --arch y --valid v.csv", ["'../../x' is not a valid name"]),
    "an absolute name": ("import /tmp/x --arch y --valid v.csv", ["'/tmp/x' is not a valid name"]),
    "a name of two lines": (
        "import 'x\ny' --arch y --valid v.csv",
        ["'x\\ny' is not a valid name"],
    ),
    "a name that is hidden": ("import .x --arch y --valid v.csv", ["'.x' is not a valid name"]),
    "a name of 200 letters": (
        f"import {'n' * 200} --arch y --valid v.csv",
        ["is not a valid name"],
    ),
    "a climbing data set": (
        "import x --arch y --valid v.csv --data ../x",
        ["'../x' is not a valid name"],
    ),
    "an architecture of escape codes": (
        "import x --arch '\x1b[2J' --valid v.csv",
        ["--arch '\\x1b[2J'"],
    ),
    "an architecture that is not UTF-8": (
        "import x --arch '\udcff' --valid v.csv",
        ["--arch '\\udcff'"],
    ),
    "no file": ("import x --arch y --valid none.csv", ["none.csv: no such file"]),
    "no .npz": ("import x --arch y --valid none.npz", ["none.npz: is missing"]),
    "a folder": ("import x --arch y --valid runs", ["runs", "not a readable CSV"]),
    "a folder named as .npz": (
        "import x --arch y --valid folder.npz",
        ["folder.npz: cannot be read"],
    ),
    "a file below a file": ("import x --arch y --valid v.csv/x.csv", ["v.csv/x.csv"]),
    "a file of 5,000 letters": (
        f"import x --arch y --valid {'v' * 5000}.csv",
        ["not a readable CSV"],
    ),
    "runs that are a file": (
        "import x --arch y --valid v.csv --runs v.csv",
        ["v.csv", "cannot be written"],
    ),
}


@pytest.mark.parametrize("case", NAMES)
def test_an_import_that_is_named_wrongly(case, refused, write):
    write("v.csv", GOOD)
    Path("runs").mkdir()
    Path("folder.npz").mkdir()
    command, said = NAMES[case]
    refused(command, *said)


def test_the_good_files_that_these_are_made_from_are_good(work, write):
    npz()
    assert len(Predictions.load(Path("v.npz")).ids) == 8


CASES = CSVS | {f"npz: {name}": case for name, case in NPZS.items()} | OTHERS | NAMES
