"""COCO-style JSON files that are damaged, or whose lists do not fit together."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.convert.coco import coco_labels
from ensemble.errors import DataError

IMAGES = [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}]
ANNOTATIONS = [{"image_id": 1, "category_id": 7}, {"image_id": 2, "category_id": 9}]
CATEGORIES = [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}]
GOOD = {"images": IMAGES, "annotations": ANNOTATIONS, "categories": CATEGORIES}


def of(**changed):
    return json.dumps(GOOD | changed)


def image(**changed):
    return of(images=[IMAGES[0], IMAGES[1] | changed])


def annotation(**changed):
    return of(annotations=[ANNOTATIONS[0], ANNOTATIONS[1] | changed])


def category(**changed):
    return of(categories=[CATEGORIES[0], CATEGORIES[1] | changed])


FAULTS = {
    "an empty file": ("", ["not a readable JSON file"]),
    "a file that is cut off": (of()[:-9], ["not a readable JSON file"]),
    "a text": ("hello", ["not a readable JSON file"]),
    "bytes that are not UTF-8": (b'{"images": "\xff"}', ["not a readable JSON file"]),
    "lists in lists without end": ("[" * 100_000, ["not a readable JSON file"]),
    "a number of 10,000 digits": ('{"images": ' + "1" * 10_000 + "}", ["not a readable JSON"]),
    "a list": ("[]", ["holds a list, not an object"]),
    "null": ("null", ["holds nothing, not an object"]),
    "a number": ("1", ["holds a number"]),
    "no images": (json.dumps({"annotations": []}), ["images is missing"]),
    "images that are empty": (of(images=[]), ["images is empty"]),
    "images that are an object": (of(images={"1": "a.jpg"}), ["images is an object, not a list"]),
    "images that are null": (of(images=None), ["images is nothing, not a list"]),
    "an image that is a text": (of(images=["a.jpg"]), ["images[0] is a text"]),
    "annotations that are a text": (of(annotations="none"), ["annotations is a text"]),
    "annotations that are null": (of(annotations=None), ["annotations is nothing"]),
    "an annotation that is a list": (of(annotations=[[1, 7]]), ["annotations[0] is a list"]),
    "categories that are false": (of(categories=False), ["categories is true or false"]),
    "an image without an id": (of(images=[{"file_name": "a.jpg"}]), ["images[0]: id is missing"]),
    "an image without a file": (of(images=[{"id": 1}]), ["images[0]: file_name is missing"]),
    "a file name that is a number": (image(file_name=3), ["images[1]: file_name is 3"]),
    "a file name that is empty": (image(file_name=""), ["images[1]: file_name is ''"]),
    "a file name with a NUL": (image(file_name="a\0"), ["images[1]: file_name is 'a\\x00'"]),
    "an id that is a fraction": (image(id=1.5), ["images[1]: id is 1.5"]),
    "an id that is true": (image(id=True), ["images[1]: id is True"]),
    "an id that is null": (image(id=None), ["images[1]: id is None"]),
    "an id that is NaN": (image(id=float("nan")), ["images[1]: id is nan"]),
    "an id that is a list": (image(id=[1]), ["images[1]: id is [1]"]),
    "an id that appears twice": (image(id=1), ["images[1]: id '1' appears twice"]),
    "an id that appears twice as text": (image(id="1"), ["images[1]: id '1' appears twice"]),
    "a file that appears twice": (
        image(file_name="a.jpg"),
        ["images[1]: file_name 'a.jpg' appears twice"],
    ),
    "an annotation of no image": (
        annotation(image_id=3),
        ["annotations[1]: image_id '3' is not in images"],
    ),
    "an annotation without an image": (
        of(annotations=[{"category_id": 7}]),
        ["annotations[0]: image_id is missing"],
    ),
    "an annotation without a category": (
        of(annotations=[{"image_id": 1}]),
        ["annotations[0]: category_id is missing"],
    ),
    "an annotation of no category": (
        annotation(category_id=8),
        ["annotations[1]: category_id '8' is not in categories"],
    ),
    "an annotation of several categories, one of them unknown": (
        annotation(category_id=[7, 8]),
        ["annotations[1]: category_id '8' is not in categories"],
    ),
    "an annotation of several categories, one of them a list": (
        annotation(category_id=[7, [9]]),
        ["annotations[1]: category_id is [9]"],
    ),
    "a category without a name": (
        of(categories=[{"id": 7}]),
        ["categories[0]: name is missing"],
    ),
    "a category whose name is a number": (category(name=9), ["categories[1]: name is 9"]),
    "a category whose name is empty": (category(name=" "), ["categories[1]: name is ' '"]),
    "a category that appears twice": (category(id=7), ["categories[1]: id '7' appears twice"]),
    "a name of two categories": (category(name="cat"), ["2 categories have the name 'cat'"]),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_json_file_that_is_no_labels(case, work, write):
    content, texts = FAULTS[case]
    path = write("in/train.json", content)
    with pytest.raises(DataError) as refusal:
        coco_labels(path)
    message = str(refusal.value)
    assert message.startswith("in/train.json: ")
    assert message.count("\n") <= 2
    assert len(message) < 800
    for text in texts:
        assert text in message


def test_a_file_that_does_not_exist_is_named():
    with pytest.raises(DataError, match="gone.json: not a readable JSON file"):
        coco_labels(Path("gone.json"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)


@st.composite
def mutated(draw):
    """Good labels with one value, anywhere, replaced by another; or with some bytes changed."""
    content = json.loads(of())
    entries = content[draw(st.sampled_from(sorted(content)))]
    if draw(st.booleans()):
        entry = draw(st.sampled_from(entries))
        entry[draw(st.sampled_from(sorted(entry)))] = draw(JSON)
    else:
        entries[draw(st.integers(0, 1))] = draw(JSON)
    raw = bytearray(json.dumps(content).encode())
    for offset in draw(st.lists(st.integers(0, len(raw) - 1), max_size=2)):
        raw[offset] ^= draw(st.integers(0, 255))
    return bytes(raw)


@given(st.binary(max_size=60) | JSON.map(lambda content: json.dumps(content).encode()) | mutated())
def test_any_json_is_labels_or_a_data_error(tmp_path, lines_of_refusal, raw):
    path = tmp_path / "a.json"
    path.write_bytes(raw)
    assert len(lines_of_refusal(coco_labels, path)) <= 3


CASES = FAULTS
