"""Near duplicates: copies are found however they were made, other images are not; blanks match nothing."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from ensemble.dataset.content import content_hashes
from ensemble.dataset.duplicates import clusters, duplicate_groups, near_pairs


def photo(seed, size=(64, 64)):
    """A made-up image whose detail falls off with its frequency, as a photo's does."""
    rng = np.random.default_rng(seed)
    waves = np.add.outer(np.fft.fftfreq(size[1]) ** 2, np.fft.fftfreq(size[0]) ** 2)
    spectrum = np.fft.fft2(rng.normal(size=(3, size[1], size[0]))) / (waves + 1e-4) ** 0.6
    pixels = np.fft.ifft2(spectrum).real.transpose(1, 2, 0)
    pixels -= pixels.min()
    return Image.fromarray((255 * pixels / pixels.max()).astype(np.uint8))


def recompressed(image, quality):
    stored = io.BytesIO()
    image.save(stored, "JPEG", quality=quality)
    return Image.open(stored).convert("RGB")


def thumbs(images):
    return np.stack([np.asarray(image.resize((16, 16), Image.Resampling.BOX)) for image in images])


COPIES = {
    "recompressed": lambda image: recompressed(image, 40),
    "smaller": lambda image: image.resize((24, 24), Image.Resampling.BICUBIC),
    "larger": lambda image: image.resize((150, 150), Image.Resampling.BILINEAR),
    "mirrored": ImageOps.mirror,
    "cut and moved": lambda image: image.crop((1, 1, 64, 63)),
    "darker": lambda image: image.point(lambda level: 0.6 * level + 20),
    "all at once": lambda image: ImageOps.mirror(
        recompressed(image, 60).resize((40, 40)).point(lambda v: 0.8 * v)
    ),
}


@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_found_and_nothing_else(kind):
    originals = [photo(seed) for seed in range(30)]
    copies = [COPIES[kind](image) for image in originals[:10]]
    pairs = near_pairs(thumbs([*originals, *copies])).tolist()
    assert pairs == [[i, 30 + i] for i in range(10)]
    across = near_pairs(thumbs(copies), thumbs(originals)).tolist()
    assert across == [[i, i] for i in range(10)]


def test_other_images_are_not_copies():
    assert near_pairs(thumbs([photo(seed) for seed in range(300)])).tolist() == []


def test_a_negative_is_another_image():
    assert near_pairs(thumbs([photo(0), ImageOps.invert(photo(0))])).tolist() == []


def test_blank_images_are_like_nothing(rng):
    blanks = [Image.new("RGB", (32, 32), (level,) * 3) for level in (0, 128, 255)]
    noisy = [
        Image.fromarray(rng.integers(250, 253, (32, 32, 3)).astype(np.uint8)) for _ in range(5)
    ]
    assert near_pairs(thumbs([*blanks, *noisy, photo(0)])).tolist() == []


def test_many_copies_of_one_image_stay_together_and_few_pairs_are_kept(rng):
    image = np.asarray(photo(0).resize((16, 16), Image.Resampling.BOX)).astype(int)
    many = (image + rng.integers(-2, 3, (1000, 16, 16, 3))).clip(0, 255).astype(np.uint8)
    pairs = near_pairs(many)
    assert len(pairs) <= 1000 * 32
    assert set(clusters(1000, pairs.tolist())) == {0}


def test_no_image_and_one_image_have_no_pair():
    nothing = np.empty((0, 16, 16, 3), np.uint8)
    for some in (nothing, thumbs([photo(0)])):
        assert near_pairs(some).shape == (0, 2)
        assert near_pairs(some, nothing).shape == (0, 2)


@given(st.permutations(range(12)))
def test_the_order_of_images_does_not_matter(order):
    images = [photo(seed) for seed in range(9)] + [
        recompressed(photo(seed), 50) for seed in range(3)
    ]
    pairs = near_pairs(thumbs([images[i] for i in order]))
    assert {frozenset((order[i], order[j])) for i, j in pairs} == {
        frozenset((i, 9 + i)) for i in range(3)
    }


@given(st.integers(1, 12), st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=15))
def test_clusters_join_what_pairs_reach(n, pairs):
    pairs = [(i % n, j % n) for i, j in pairs]
    reach = np.eye(n, dtype=bool)
    for i, j in pairs:
        reach[i, j] = reach[j, i] = True
    for _ in range(n):
        reach = (reach.astype(int) @ reach.astype(int)) > 0
    assert clusters(n, pairs) == [int(np.flatnonzero(row)[0]) for row in reach]
    assert clusters(n, pairs[::-1]) == clusters(n, pairs)


def saved(path, image, **options):
    image.save(path, **options)
    return path


def test_files_that_show_one_image_are_one_group(tmp_path):
    files = [
        saved(tmp_path / "a.png", photo(0)),
        saved(tmp_path / "b.bmp", photo(0)),
        saved(tmp_path / "c.jpg", photo(0), quality=60),
        saved(tmp_path / "d.png", photo(1)),
        tmp_path / "broken.png",
    ]
    files[-1].write_bytes(b"text")
    groups = duplicate_groups(files, content_hashes(files))
    assert groups[0] == groups[1] == groups[2]
    assert len(set(groups)) == 3
    assert duplicate_groups(files[::-1], content_hashes(files[::-1])) == groups[::-1]


def test_images_of_fewer_pixels_than_a_thumbnail_are_only_compared_exactly(tmp_path):
    small = photo(0).resize((8, 8))
    files = [
        saved(tmp_path / "a.png", small),
        saved(tmp_path / "b.png", small.point(lambda v: min(v + 1, 255))),
        saved(tmp_path / "c.bmp", small),
    ]
    a, b, c = duplicate_groups(files, content_hashes(files))
    assert (a == c, a == b) == (True, False)
