"""A conversion into a new folder, and what it holds."""

import csv

import pytest

from ensemble.convert.plan import conversion_of


@pytest.fixture
def converted(tmp_path):
    """converted(root): the conversion, and the folder that it has filled."""

    def converted(root):
        conversion = conversion_of(root)
        assert conversion is not None
        folder = tmp_path / "converted"
        folder.mkdir()
        steps = []
        conversion.write(folder, lambda done, total: steps.append((done, total)))
        n_images = sum(1 for part in ("train", "valid", "test") for _ in files(folder / part))
        assert n_images == conversion.n_images == len(steps)
        assert steps[-1] == (n_images, n_images)
        return conversion, folder

    return converted


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


@pytest.fixture
def names():
    """names(folder): the files below it, as sorted POSIX paths."""
    return lambda folder: sorted(path.relative_to(folder).as_posix() for path in files(folder))


@pytest.fixture
def labels():
    """labels(folder): the rows of its labels.csv."""

    def labels(folder):
        with (folder / "labels.csv").open(encoding="utf-8", newline="") as stored:
            header, *rows = csv.reader(stored)
        assert header == ["id", "label"]
        return dict(rows)

    return labels
