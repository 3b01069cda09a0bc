"""Files that are not images, or far larger than they look: a validation image, then every training image."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

RECIPE = """data: {source: folder, path: pictures, valid: val, size: 32}
model: {arch: resnet10t, pretrained: false}
fit: {strategy: scratch, epochs: 1}
"""


def stored(format_, mode="RGB", **options):
    """A good image of 64 × 48 noisy pixels in a format, as bytes."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(out, format_, **options)
    return out.getvalue()


def chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png(width, height, depth=8, colour=2, pixels=b"", more=b""):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + more
        + chunk(b"IDAT", zlib.compress(pixels))
        + chunk(b"IEND", b"")
    )


def bmp(width, height):
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 12, 0, 0, 54) + header + bytes(12)


def gif(width, height):
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + frame + b";"


def tiff(*entries, after=0):
    """Little-endian, one directory of (tag, type, count, value) entries; after is the next directory's place."""
    rows = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return (
        b"II*\0" + struct.pack("<IH", 8, len(entries)) + rows + struct.pack("<I", after) + bytes(64)
    )


SIDE = 100_000
LARGE_TIFF = (
    (256, 4, 1, SIDE),
    (257, 4, 1, SIDE),
    (258, 3, 1, 8),
    (259, 3, 1, 1),
    (262, 3, 1, 1),
    (273, 4, 1, 90),
)
IMAGES = {
    "empty.png": b"",
    "one_byte.png": b"\x89",
    "text.png": b"this is not an image\n",
    "a_login_page.jpg": b"<!DOCTYPE html><html><title>Sign in</title></html>",
    "a_script.png": b"#!/bin/sh\ntouch pwned\n",
    "a_pickle.png": b"cos\nsystem\n(S'touch pwned'\ntR.",
    "an_archive.png": b"PK\x05\x06" + bytes(18),
    "a_drawing.png": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "postscript.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(pwned) (w) file\n",
    "a_document.png": b"%PDF-1.7\n1 0 obj\n",
    "a_film.gif": b"\x00\x00\x00\x18ftypmp42" + bytes(16),
    "zeros.png": bytes(4096),
    "only_a_signature.png": b"\x89PNG\r\n\x1a\n",
    "half.png": stored("PNG")[:4000],
    "header_only.png": png(64, 64)[:33],
    "another_sum.png": stored("PNG").replace(b"IHDR\x00\x00\x00\x40", b"IHDR\x00\x00\x00\x41"),
    "no_pixels.png": png(64, 64),
    "too_few_pixels.png": png(64, 64, pixels=bytes(100)),
    "no_width.png": png(0, 64),
    "most_pixels.png": png(2**31 - 1, 2**31 - 1),
    "bomb.png": png(20_000, 20_000),
    "bomb_of_one_row.png": png(2**30, 1),
    "no_such_depth.png": png(8, 8, depth=7),
    "no_such_colour.png": png(8, 8, colour=9),
    "text_bomb.png": png(8, 8, more=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(90_000_000)))),
    "profile_bomb.png": png(8, 8, more=chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(90_000_000)))),
    "endless_chunk.png": png(8, 8).replace(b"IDAT", b"IDAT", 1)[:33] + b"\xff\xff\xff\xffIDAT",
    "half.jpg": stored("JPEG")[:600],
    "start_only.jpg": b"\xff\xd8\xff",
    "no_scan.jpg": stored("JPEG")[:200] + b"\xff\xd9",
    "bomb.jpg": stored("JPEG").replace(
        struct.pack(">HH", 48, 64), struct.pack(">HH", 65500, 65500), 1
    ),
    "no_height.jpg": stored("JPEG").replace(
        struct.pack(">HH", 48, 64), struct.pack(">HH", 0, 64), 1
    ),
    "half.gif": stored("GIF", "P")[:30],
    "bomb.gif": gif(65_535, 65_535),
    "half.bmp": stored("BMP")[:60],
    "bomb.bmp": bmp(2**31 - 1, 2**31 - 1),
    "negative.bmp": bmp(-64, -64),
    "half.webp": stored("WEBP", lossless=True)[:100],
    "no_chunk.webp": b"RIFF\x04\x00\x00\x00WEBP",
    "half.tif": stored("TIFF")[:200],
    "circle.tif": tiff((256, 4, 1, 8), after=8),
    "bomb.tif": tiff(*LARGE_TIFF),
    "a_billion_values.tif": tiff((256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 10**9, 8)),
    "nothing_in_it.tif": tiff(),
    "bomb.ppm": b"P6 100000 100000 255\n",
    "negative.ppm": b"P6 -8 8 255\n" + bytes(192),
    "half.ppm": b"P6 8 8 255\n" + bytes(20),
    "letters.pgm": b"P2 8 8 255\n" + b"x " * 64,
    "deep.pgm": b"P5 8 8 99999\n" + bytes(128),
}


@pytest.fixture(scope="module", autouse=True)
def _libraries():
    """Some make folders of their own when they are first imported."""
    import ensemble.engines.local
    import ensemble.learn.train
    import ensemble.reporting.figures  # noqa: F401


@pytest.mark.parametrize("name", IMAGES)
def test_a_validation_file_that_is_not_an_image_is_named(name, refused, write, folders):
    write("r.yaml", RECIPE)
    write(f"pictures/val/a/{name}", IMAGES[name])
    refused(
        "train r.yaml",
        "unreadable validation image",
        f"pictures/val/a/{name}: ",
        "data.skip_unreadable",
    )


def every_train(content):
    for path in Path("pictures/train").rglob("*.png"):
        path.write_bytes(content + bytes([len(path.name)]))


OTHERS = {
    "no training image is one": (
        lambda: every_train(b"not an image"),
        "train r.yaml",
        ["no train image is readable", "pictures/train/"],
    ),
    "no validation image is one, and they are skipped": (
        lambda: [path.write_bytes(b"not an image") for path in Path("pictures/val").rglob("*.png")],
        "train r.yaml --set data.skip_unreadable=true",
        ["no valid image is readable", "pictures/val/"],
    ),
    "a folder without a readable image": (
        lambda: [path.write_bytes(b"not an image") for path in Path("pictures").rglob("*.png")],
        "init pictures",
        ["pictures/test", "no image there can be opened"],
    ),
    "recipes with a climbing name": (
        lambda: None,
        "init pictures --name ../../outside/x",
        ["--name '../../outside/x'"],
    ),
    "recipes with an absolute name": (
        lambda: None,
        "init pictures --name /tmp/x",
        ["--name '/tmp/x'"],
    ),
    "recipes with a hidden name": (lambda: None, "init pictures --name .x", ["--name '.x'"]),
    "recipes with a name of 90 letters": (
        lambda: None,
        f"init pictures --name {'n' * 90}",
        ["--name 'nnn", "80 at most"],
    ),
    "recipes that are there": (
        lambda: (Path("recipes").mkdir(), Path("recipes/pictures.base.yaml").write_text("mine")),
        "init pictures",
        ["recipes/pictures.base.yaml: exists and is not overwritten"],
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_folders_of_images_that_lead_to_nothing(case, refused, write, folders):
    prepare, command, said = OTHERS[case]
    write("r.yaml", RECIPE)
    prepare()
    refused(command, *said)


def test_a_pipe_a_socket_and_a_device_named_as_images_are_passed_over(folders):
    """Opening a pipe would wait for ever."""
    from ensemble.dataset.scan import image_files

    os.mkfifo(folders / "test" / "pipe.png")
    (folders / "test" / "device.png").symlink_to("/dev/zero")
    assert [path.name for path in image_files(folders / "test")] == ["t0.png", "t1.png"]


def test_folders_with_odd_names_get_recipes_that_mean_them(folders, monkeypatch):
    """A line end, a quote, markup of YAML and HTML in the name of the training folder's parts."""
    from ensemble.hardware import Machine
    from ensemble.init import write_recipes
    from ensemble.recipe import Recipe

    odd = folders.rename(folders.with_name("pic: {\n'a': \"b\"} # <script>\t&x *y"))
    new = write_recipes(odd.name, None, Path("recipes"), Machine(False, False, False))
    for file in new.files[1:]:
        assert Recipe.load(file).data.path == odd.name


CASES = IMAGES | OTHERS
