"""Pillow's settings are changed when an image is opened, never by importing a module."""

import json
import os
import pkgutil
import struct
import subprocess
import sys
import warnings
import zlib

import pytest
from PIL import Image

import ensemble.dataset
from ensemble.dataset.image_file import MAX_PIXELS, open_image

MODULES = [module.name for module in pkgutil.iter_modules(ensemble.dataset.__path__)]
IMPORT = """
import importlib, json, os, sys, warnings
import filelock, numpy, PIL.Image, PIL.PngImagePlugin, PIL.TiffImagePlugin, pydantic, yaml

def state():
    return [PIL.Image.MAX_IMAGE_PIXELS, list(map(str, warnings.filters)), dict(os.environ)]

before = state()
for name in sys.argv[1:]:
    importlib.import_module(f"ensemble.dataset.{name}")
json.dump([before, state()], sys.stdout)
"""


def test_importing_dataset_modules_changes_nothing_global():
    assert "image_file" in MODULES
    ended = subprocess.run(
        [sys.executable, "-c", IMPORT, *MODULES], capture_output=True, text=True, check=True
    )
    before, after = json.loads(ended.stdout)
    assert before == after


def header_only(path, width, height):
    """A PNG that states a size and has no pixels."""
    content = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + content + struct.pack(">I", zlib.crc32(content))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + bytes(4))
    return path


def test_images_of_up_to_200_million_pixels_are_opened_without_a_warning(tmp_path):
    path = header_only(tmp_path / "large.png", 20_000, 10_000)
    with warnings.catch_warnings(action="error"), open_image(path) as image:
        assert image.width * image.height == MAX_PIXELS


def test_a_larger_image_is_refused(tmp_path):
    path = header_only(tmp_path / "bomb.png", 20_001, 10_000)
    with pytest.raises(Image.DecompressionBombError):
        open_image(path)


OPEN_IN_A_WORKER = """
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from ensemble.dataset.decode import UnreadableImage, read_image

def reason(path):
    try:
        read_image(Path(path))
    except UnreadableImage as error:
        return str(error)

if __name__ == "__main__":
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        print(*pool.map(reason, sys.argv[1:]), sep="\\n")
"""


def test_a_worker_process_has_the_same_limit(tmp_path):
    large = header_only(tmp_path / "large.png", 19_000, 10_000)
    bomb = header_only(tmp_path / "bomb.png", 20_001, 10_000)
    script = tmp_path / "worker.py"
    script.write_text(OPEN_IN_A_WORKER)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, str(script), str(large), str(bomb)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    of_large, of_bomb = ended.stdout.splitlines()
    assert "decompression bomb" not in of_large
    assert "exceeds limit of 200000000 pixels" in of_bomb
    assert ended.stderr == ""
