"""Peak memory of `ens train` and of decoding, on sets of any size made from the pictures at hand.

python bench/memory.py train path/to/cifar10/train --images 5000 50000
python bench/memory.py decode path/to/hymenoptera_data/train --images 1000 10000

Copies differ in one row of pixels, so that each is its own content. anonymous: what the process holds; mapped: pages of
files, the decoded pixels among them, which the system takes back when it needs the memory.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

RECIPE = """
data: {{source: folder, path: {data}, valid: 0.2, size: 32}}
augment: {{flip: true}}
model: {{arch: test_resnet, pretrained: false, head: keep}}
fit: {{strategy: scratch, epochs: 1, lr: 0.003, batch_size: 128}}
"""
DECODE = """
import sys
from pathlib import Path
from ensemble.dataset.content import content_hashes
from ensemble.dataset.geometry import Geometry
from ensemble.dataset.pixel_store import open_store
files = sorted(Path(sys.argv[1]).rglob("*.*"))
open_store(dict(zip(files, content_hashes(files))), Geometry(224, "crop", 0.875), lambda done, n: None)
"""


def copies(source: Path, n_images: int, folder: Path) -> None:
    """n_images pictures under folder/train/<class>, from those of the source in turn."""
    files = [path for path in sorted(source.rglob("*")) if path.suffix in {".png", ".jpg", ".jpeg"}]
    rng = np.random.default_rng(0)
    for i in range(n_images):
        path = files[i % len(files)]
        pixels = np.array(Image.open(path).convert("RGB"))
        pixels[0] = rng.integers(0, 256, pixels[0].shape)
        target = folder / "train" / path.parent.name / f"{i}{path.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(target, **({} if path.suffix == ".png" else {"quality": 95}))


def peaks(command: list[str], folder: Path) -> tuple[float, float, float]:
    """Seconds, and the largest anonymous and mapped memory in MB while a command runs (Linux)."""
    started, most = time.perf_counter(), {"RssAnon": 0, "RssFile": 0}
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in most:
                most[name] = max(most[name], int(value.split()[0]))
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return time.perf_counter() - started, most["RssAnon"] / 1024, most["RssFile"] / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["train", "decode"])
    parser.add_argument("source", type=Path)
    parser.add_argument("--images", type=int, nargs="+", required=True)
    said = parser.parse_args()
    for n_images in said.images:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            copies(said.source.resolve(), n_images, folder / "set")
            (folder / "size.yaml").write_text(RECIPE.format(data="set"))
            command = [sys.executable, "-m", "ensemble", "train", "size.yaml"]
            if said.what == "decode":
                command = [sys.executable, "-c", DECODE, "set"]
            seconds, anonymous, mapped = peaks(command, folder)
            print(
                f"{n_images:,} images: {anonymous:,.0f} MB anonymous, {mapped:,.0f} MB mapped, {seconds:.0f} s"
            )


if __name__ == "__main__":
    main()
