"""Labels of COCO-style JSON files: by file name, once per image and category."""

import json

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
    assert labels.names == {"7": "cat", "9": "dog"}
    assert labels.categories == {"0.jpg": {"7"}, "1.jpg": {"7", "9"}}
    assert labels.unlabelled == ("2.jpg",)
    assert (labels.is_test, labels.n_most) == (False, 2)


def test_a_file_about_test_images_lists_them(tmp_path):
    labels = coco_labels(written(tmp_path / "a.json", images=IMAGES))
    assert labels.unlabelled == ("0.jpg", "1.jpg", "2.jpg")
    assert (labels.is_test, labels.n_most, labels.rows) == (True, 0, ())


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
