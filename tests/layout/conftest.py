"""Folders of tiny images and tables, as a test describes them."""

import pytest
from PIL import Image


@pytest.fixture
def ens(ens, tmp_path, monkeypatch):
    """ens(*words) in a folder of its own."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return ens


@pytest.fixture
def layout(tmp_path):
    """layout(images, tables): images by path, tables by file as rows of text; the root is returned.

    Images of one file name and one folder level have the same pixels.
    """
    root = tmp_path / "set"

    def layout(images, tables=()):
        for number, name in enumerate(images):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (number % 251, number // 251, 7)).save(root / name)
        for file, rows in dict(tables).items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_text("".join(f"{row}\n" for row in rows))
        return root

    return layout


@pytest.fixture
def classes():
    """classes(folder, *names, n=…): the paths of n images in each of the class folders."""

    def classes(folder, *names, n=6):
        start = f"{folder}/" if folder else ""
        return [f"{start}{name}/{name}_{i}.png" for name in names for i in range(n)]

    return classes
