"""Each known set is unpacked into the folders that its recipes expect."""

import io
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from ensemble.dataset import unpackers

CIFAR_BATCHES = [*(f"data_batch_{i}" for i in (1, 2, 3, 4, 5)), "test_batch"]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    return folder


def write_tar(path, files):
    with tarfile.open(path, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_pngs_of_cifar10_hold_the_pixels_of_the_binary_version(tmp_path, folder, rng):
    labels = {name: rng.integers(0, 10, 7, np.uint8) for name in CIFAR_BATCHES}
    pixels = {name: rng.integers(0, 256, (7, 3, 32, 32), np.uint8) for name in CIFAR_BATCHES}
    files = {"cifar-10-batches-bin/readme.html": b"<html>"}
    for name in CIFAR_BATCHES:
        records = np.hstack([labels[name][:, None], pixels[name].reshape(7, -1)])
        files[f"cifar-10-batches-bin/{name}.bin"] = records.tobytes()
    progress = []
    archive = write_tar(tmp_path / "cifar-10-binary.tar.gz", files)
    unpackers.cifar10([archive], folder, lambda *counts: progress.append(counts))
    for split, batches in (("train", CIFAR_BATCHES[:5]), ("test", CIFAR_BATCHES[5:])):
        expected = np.concatenate([pixels[name] for name in batches])
        for i, label in enumerate(np.concatenate([labels[name] for name in batches])):
            path = folder / split / unpackers.CIFAR10_CLASSES[label] / f"{i:05d}.png"
            assert np.array_equal(np.asarray(Image.open(path)), expected[i].transpose(1, 2, 0))
    assert len(contents(folder)) == 42
    assert sorted(child.name for child in folder.iterdir()) == ["test", "train"]
    assert progress[-1] == (42, 42)


def test_flowers_are_split_as_published_into_folders_named_by_number(tmp_path, folder):
    from scipy.io import savemat

    labels = np.array([102, 1, 1, 77, 102, 3], np.uint8)
    splits = {"trnid": [6, 2], "valid": [3], "tstid": [1, 4, 5]}
    savemat(tmp_path / "imagelabels.mat", {"labels": labels[None]})
    split_rows = {key: np.array([rows], np.uint16) for key, rows in splits.items()}
    savemat(tmp_path / "setid.mat", split_rows)
    photos = {f"jpg/image_{i:05d}.jpg": bytes([i]) for i in range(1, 7)}
    archive = write_tar(tmp_path / "102flowers.tgz", photos)
    files = [archive, tmp_path / "imagelabels.mat", tmp_path / "setid.mat"]
    unpackers.flowers102(files, folder, lambda n_done, n_images: None)
    assert contents(folder) == {
        "train/003/image_00006.jpg": b"\x06",
        "train/001/image_00002.jpg": b"\x02",
        "valid/001/image_00003.jpg": b"\x03",
        "test/102/image_00001.jpg": b"\x01",
        "test/077/image_00004.jpg": b"\x04",
        "test/102/image_00005.jpg": b"\x05",
    }


def test_hymenoptera_loses_its_outer_folder_and_the_files_of_a_mac(tmp_path, folder):
    images = {"train/ants/1.jpg": b"1", "val/bees/2.jpg": b"2"}
    archive = tmp_path / "hymenoptera_data.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for name, content in images.items():
            out.writestr(f"hymenoptera_data/{name}", content)
        out.writestr("__MACOSX/._a.png", b"junk")
    unpackers.hymenoptera([archive], folder, lambda n_done, n_images: None)
    assert contents(folder) == images
