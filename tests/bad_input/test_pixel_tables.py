"""CSVs of pixels that are damaged, or can be read in two ways."""

import gzip
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mutated import mutated

from ensemble.convert import table_rows
from ensemble.convert.plan import conversion_of

HEADER = "label,pixel0,pixel1,pixel2,pixel3\n"
GOOD = HEADER + "a,1,2,3,200\nb,5,6,7,8\n"
TEXT = "emotion,pixels,Usage\n"
NUMBERS = " ".join(["7"] * 16)


def header(n, prefix="pixel", first=0):
    return "label," + ",".join(f"{prefix}{i}" for i in range(first, first + n)) + "\n"


def line(n, cell="1"):
    return "a," + ",".join([cell] * n) + "\n"


TRAIN = {
    "a value of 256": (GOOD + "c,1,2,256,4\n", ["train.csv:4", "256"]),
    "a value below 0": (GOOD + "c,1,-1,3,4\n", ["train.csv:4", "-1"]),
    "half a value": (GOOD + "c,1,2.5,3,4\n", ["train.csv:4", "2.5"]),
    "a text": (GOOD + "c,1,x,3,4\n", ["train.csv:4", "'x' is not a number"]),
    "an empty pixel": (GOOD + "c,1,,3,4\n", ["train.csv:4", "a pixel is empty"]),
    "NaN": (GOOD + "c,1,nan,3,4\n", ["train.csv:4", "'nan' is not a number"]),
    "infinity": (GOOD + "c,1,inf,3,4\n", ["train.csv:4", "'inf' is not a number"]),
    "a number beyond all": (GOOD + "c,1,1e999,3,4\n", ["train.csv:4", "inf"]),
    "a hexadecimal number": (GOOD + "c,1,0x1f,3,4\n", ["train.csv:4", "'0x1f'"]),
    "digits in groups": (GOOD + "c,1,1_0,3,4\n", ["train.csv:4", "'1_0'"]),
    "digits of another script": (GOOD + "c,1,٣,3,4\n", ["train.csv:4", "is not a number"]),
    "a fraction after 200 whole rows": (
        HEADER + "a,1,2,3,4\n" * 300 + "c,1,0.5,3,4\n",
        ["train.csv:302", "0.5", "from 0 to 255"],
    ),
    "a whole number after 200 rows of fractions": (
        HEADER + "a,1,0.2,0.3,0.4\n" * 300 + "c,1,7,0,0\n",
        ["train.csv:302", "7.0", "from 0 to 1"],
    ),
    "a row that is too short": (GOOD + "c,1,2,3\n", ["train.csv:4", "4 cells", "has 5"]),
    "a row that is too long": (GOOD + "c,1,2,3,4,5\n", ["train.csv:4", "6 cells", "has 5"]),
    "a row that is cut off": (GOOD + "c,1,2", ["train.csv:4", "3 cells"]),
    "a quote that never ends": (GOOD + 'c,1,2,"3,4\n', ["train.csv", "not a readable CSV"]),
    "a NUL": (GOOD + "c,1,\0,3,4\n", ["train.csv:4", "NUL"]),
    "bytes that are not UTF-8": (
        GOOD.encode() + b"\xff,1,2,3,4\n",
        ["train.csv:4", "not a readable CSV in UTF-8"],
    ),
    "no rows": (HEADER, ["train.csv", "no row below the header"]),
    "an empty label": (GOOD + ",1,2,3,4\n", ["train.csv:4", "label", "is empty"]),
    "a label with a line end": (GOOD + '"c\nd",1,2,3,4\n', ["train.csv:5", "not printable"]),
    "783 pixels": (header(783) + line(783), ["783", "neither n × n nor 3 × n × n"]),
    "a pixel column that is missing": (
        "label,pixel0,pixel1,pixel3\na,1,2,3\n",
        ["pixel3 follows pixel1"],
    ),
    "pixel columns in another order": (
        "label,pixel0,pixel2,pixel1,pixel3\na,1,2,3,4\n",
        ["pixel2 follows pixel0"],
    ),
    "a pixel column that appears twice": (
        "label,pixel0,pixel1,pixel1,pixel2\na,1,2,3,4\n",
        ["pixel1 follows pixel1"],
    ),
    "pixel columns from 5 on": (header(4, first=5) + line(4), ["the first is pixel5"]),
    "a column between the pixels": (
        "pixel0,pixel1,label,pixel2,pixel3\n1,2,a,3,4\n",
        ["other columns are between them"],
    ),
    "rows and columns that are not whole": (
        "label,1x1,1x2,2x1,2x3\na,1,2,3,4\n",
        ["1x1 to 2x3 are no image row by row"],
    ),
    "columns before rows": ("label,1x1,2x1,1x2,2x2\na,1,2,3,4\n", ["no image row by row"]),
    "three channels in an order that is not clear": (
        header(12) + line(12),
        ["12 values are 2 × 2 pixels of three channels", "in which order"],
    ),
    "no label": ("pixel0,pixel1,pixel2,pixel3\n1,2,3,4\n", ["no other column: none is a label"]),
    "two labels": (
        "label,target,pixel0,pixel1,pixel2,pixel3\na,b,1,2,3,4\n",
        ["label, target: each could be the label"],
    ),
    "two unknown columns": (
        "a,b,pixel0,pixel1,pixel2,pixel3\na,b,1,2,3,4\n",
        ["a, b: each could be the label"],
    ),
    "two ids": (
        "id,image_id,label,pixel0,pixel1,pixel2,pixel3\n1,2,a,1,2,3,4\n",
        ["id and image_id could be the id"],
    ),
    "an id that climbs": (
        "id,label,pixel0,pixel1,pixel2,pixel3\n../x,a,1,2,3,4\n",
        ["train.csv:2", "'../x' cannot name a file"],
    ),
    "an id that appears twice": (
        "id,label,pixel0,pixel1,pixel2,pixel3\nx,a,1,2,3,4\nx.png,a,1,2,3,4\n",
        ["train.csv:3", "'x' appears twice"],
    ),
    "an empty id": (
        "id,label,pixel0,pixel1,pixel2,pixel3\n,a,1,2,3,4\n",
        ["train.csv:2", "it is empty"],
    ),
    "no header": ("5," + ",".join("0" * 784) + "\n", ["train.csv:1", "785 columns", "no header"]),
    "a text of 15 numbers after one of 16": (
        TEXT + f"1,{NUMBERS},Training\n2,{NUMBERS[2:]},Training\n",
        ["train.csv:3", "15 pixels, the first row has 16"],
    ),
    "a text of 17 numbers": (
        TEXT + f"1,{NUMBERS} 7,Training\n",
        ["train.csv", "pixels has 17 numbers"],
    ),
    "a word in a text of numbers": (
        TEXT + f"1,{NUMBERS},Training\n2,{NUMBERS[:-1]}x,Training\n",
        ["train.csv:3", "'x' is not a number"],
    ),
    "256 in a text of numbers": (
        TEXT + f"1,{NUMBERS[:-1]}256,Training\n",
        ["train.csv:2", "256.0"],
    ),
    "an empty text of numbers": (
        TEXT + f"1,{NUMBERS},Training\n2,,Training\n",
        ["train.csv:3", "0 pixels"],
    ),
    "two columns of numbers": (
        f"label,image,pixels\n1,{NUMBERS},{NUMBERS}\n",
        ["image and pixels could be the pixels"],
    ),
    "a part that is unknown": (
        TEXT + f"1,{NUMBERS},Training\n2,{NUMBERS},later\n",
        ["train.csv:3", "Usage 'later'", "neither training"],
    ),
}


@pytest.mark.parametrize("case", TRAIN)
def test_a_table_of_pixels_that_is_damaged(case, work, write, not_converted):
    text, texts = TRAIN[case]
    write("in/train.csv", text)
    not_converted(Path("in"), "in", *texts)


PAIRS = {
    "a test table of other images": (
        {"test.csv": header(9)[6:] + "1," * 8 + "1\n"},
        ["test.csv: 9 pixels in a row, train.csv has 4"],
    ),
    "an empty test table": ({"test.csv": ""}, ["test.csv", "the file is empty"]),
    "a test table that is no text": ({"test.csv": b"\xff\xfe\0"}, ["test.csv:1", "not a readable"]),
    "a test table without rows": ({"test.csv": HEADER[6:]}, ["test.csv", "no row"]),
    "two training tables": ({"training.csv": GOOD}, ["train.csv and training.csv"]),
    "a validation table without labels": (
        {"valid.csv": "pixel0,pixel1,pixel2,pixel3\n1,2,3,4\n"},
        ["valid.csv", "no column 'label'"],
    ),
    "some test rows without labels": (
        {"test.csv": GOOD + ",1,2,3,4\n"},
        ["test.csv:4", "this test image has no label"],
    ),
    "test labels that name no folder": (
        {"test.csv": HEADER + "a/b,1,2,3,4\n"},
        ["test.csv:2", "'a/b' cannot name a folder"],
    ),
    "a table in a folder of another part": (
        {"test/train.csv": GOOD},
        ["test/train.csv", "more than one part"],
    ),
    "two sample submissions that count differently": (
        {
            "test.csv": HEADER[6:] + "1,2,3,4\n",
            "sample_submission.csv": "id,label\n0,a\n",
            "sample2.csv": "id,label\n1,a\n",
        },
        ["sample2.csv and sample_submission.csv", "differently"],
    ),
    "a part that contradicts the file's name": (
        {
            "train.csv": TEXT + f"1,{NUMBERS},Training\n",
            "test.csv": TEXT + f"1,{NUMBERS},Training\n",
        },
        ["test.csv:2", "Usage 'Training' in a file of the test images"],
    ),
    "the same id in training and validation": (
        {
            "train.csv": "id," + HEADER + "x,a,1,2,3,4\n",
            "valid.csv": "id," + HEADER + "x,a,1,2,3,4\n",
        },
        ["valid.csv:2", "'x' appears twice"],
    ),
    "a compressed table that is cut off": (
        {"train.csv": b"", "train.csv.gz": gzip.compress(GOOD.encode() * 99)[:-30]},
        ["train.csv"],
    ),
}


@pytest.mark.parametrize("case", PAIRS)
def test_tables_of_pixels_that_do_not_fit_together(case, work, write, not_converted):
    files, texts = PAIRS[case]
    for name, content in {"train.csv": GOOD, **files}.items():
        write(f"in/{name}", content)
    if "train.csv.gz" in files:
        Path("in/train.csv").unlink()
        write("in/test.csv", HEADER[6:] + "1,2,3,4\n")
    not_converted(Path("in"), "in", *texts)


def test_a_line_without_an_end_takes_no_memory(work, write, not_converted, monkeypatch):
    monkeypatch.setattr(table_rows, "MAX_LINE", 1000)
    write("in/train.csv", GOOD + "1," * 1000)
    not_converted(Path("in"), "in/train.csv:4", "longer than 1,000 bytes")


def convert(root, folder):
    conversion = conversion_of(root)
    if conversion is not None:
        conversion.write(folder, lambda done, total: None)


GOODS = [GOOD.encode(), (TEXT + f"1,{NUMBERS},Training\n").encode()]


@example(b"\x01\n" + b",0" * 16)  # a row longer than the header
@example(b"\x01\n," + b"0\t" * 16)
@given(st.binary(max_size=200) | mutated(GOODS))
def test_any_table_is_converted_or_a_data_error(tmp_path_factory, lines_of_refusal, raw):
    root, folder = tmp_path_factory.mktemp("in"), tmp_path_factory.mktemp("out")
    (root / "train.csv").write_bytes(raw)
    assert len(lines_of_refusal(convert, root, folder)) <= 3


CASES = TRAIN | PAIRS
