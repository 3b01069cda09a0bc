"""Labels of COCO-style JSON files: by file name, once per image and category."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.convert.coco import coco_labels

IMAGES = [{"id": i, "file_name": f"{i}.jpg", "width": 3} for i in range(3)]
CATEGORIES = [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}]


def written(path, **content):
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def annotation(image, category):
    return {"id": 1, "image_id": image, "category_id": category, "bbox": [0, 0, 1, 1]}


def test_labels_are_by_file_name_and_duplicates_are_one(tmp_path):
    annotations = [annotation(1, 9), annotation(0, 7), annotation(1, 9), annotation(1, 7)]
    content = {"images": IMAGES, "annotations": annotations, "categories": CATEGORIES}
    labels = coco_labels(written(tmp_path / "a.json", info={}, **content))
    assert labels.rows == (*(("0.jpg", "7", "cat"), ("1.jpg", "9", "dog"), ("1.jpg", "7", "cat")),)
    assert labels.unlabelled == ("2.jpg",)


def test_a_file_about_test_images_lists_them(tmp_path):
    labels = coco_labels(written(tmp_path / "a.json", images=IMAGES))
    assert labels.unlabelled == ("0.jpg", "1.jpg", "2.jpg")
    assert labels.rows == ()


SPELLINGS = {
    "herbarium": (
        [
            {"image_id": "00__1", "file_name": "0/1.jpg"},
            {"image_id": "01__2", "file_name": "1/2.jpg"},
        ],
        [{"image_id": "00__1", "category_id": 1}, {"image_id": "01__2", "category_id": 0}],
        [{"category_id": 0, "scientificName": "Acer"}, {"category_id": 1, "scientificName": "Poa"}],
        (("0/1.jpg", "1", "Poa"), ("1/2.jpg", "0", "Acer")),
    ),
    "furniture, with addresses for files": (
        [{"url": ["http://a/b.jpg"], "image_id": 1}, {"url": ["http://a/c.jpg"], "image_id": 2}],
        [{"image_id": 1, "label_id": 5}, {"image_id": 2, "label_id": 6}],
        None,
        (("1", "5", "5"), ("2", "6", "6")),
    ),
    "fashion, with lists of labels": (
        [{"url": "http://a/b.jpg", "imageId": "1"}, {"url": "http://a/c.jpg", "imageId": "2"}],
        [{"imageId": "1", "labelId": ["95", "66"]}, {"imageId": "2", "labelId": ["66"]}],
        None,
        (("1", "95", "95"), ("1", "66", "66"), ("2", "66", "66")),
    ),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_competitions_spell_the_keys_otherwise(spelling, tmp_path):
    images, annotations, categories, rows = SPELLINGS[spelling]
    content = {"images": images, "annotations": annotations}
    content |= {"categories": categories} if categories else {}
    assert coco_labels(written(tmp_path / "a.json", **content)).rows == rows


NAMES = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=6)


@given(
    st.lists(NAMES, min_size=1, max_size=6, unique=True),
    st.lists(NAMES, min_size=1, max_size=4, unique=True),
    st.data(),
)
def test_every_pair_of_image_and_category_comes_back(tmp_path, files, names, data):
    indices = st.tuples(st.integers(0, len(files) - 1), st.integers(0, len(names) - 1))
    pairs = data.draw(st.lists(indices, max_size=12))
    path = written(
        tmp_path / "a.json",
        images=[{"id": f"i{i}", "file_name": name} for i, name in enumerate(files)],
        annotations=[annotation(f"i{i}", c) for i, c in pairs],
        categories=[{"id": c, "name": name} for c, name in enumerate(names)],
    )
    labels = coco_labels(path)
    assert sorted(labels.rows) == sorted({(files[i], str(c), names[c]) for i, c in pairs})
    assert set(labels.unlabelled) == {name for i, name in enumerate(files) if i not in dict(pairs)}
