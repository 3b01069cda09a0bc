"""Does every family of timm train under the default head? `make sweep`, an hour or two on two cores.

    python bench/sweep.py [FAMILY ...] [--most-millions 150] [--epochs 40]

One network of every module of timm's registry, the smallest, learns four colors from 64 generated images at the
smallest size that it takes, from random weights. Learned: 100 % of 32 more images; refused: an error that says why.
Larger networks than --most-millions of parameters are listed as too large. Exits 1 where a network failed.
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import timm
import torch
from fastai.callback.core import Callback, CancelFitException
from PIL import Image
from timm.models import list_modules

from ensemble.errors import EnsembleError
from ensemble.learn import learner
from ensemble.learn.sizes import takes
from ensemble.recipe import Model, Recipe

COLORS = {
    "blue": (40, 60, 220),
    "green": (40, 200, 60),
    "red": (220, 50, 40),
    "white": (230, 230, 230),
}
SIZES = (64, 96, 128, 160, 192, 224, 256, 384, 512, 768)
RECIPE = """
data: {{source: folder, path: {images}, train: train, valid: valid, size: {size}}}
augment: none
model: {{arch: {arch}, pretrained: false}}
fit: {{strategy: scratch, epochs: 1, lr: 0.001, batch_size: 16}}
"""


class StopAtPerfect(Callback):
    """Ends training once every validation image is right; n_epochs and accuracy are those at the end."""

    order = 60  # after the Recorder

    def after_epoch(self) -> None:
        self.n_epochs, self.accuracy = self.epoch + 1, float(self.learn.recorder.values[-1][-1])
        if self.accuracy == 1:
            raise CancelFitException


def main() -> None:
    """Try the families one after the other."""
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("families", nargs="*")
    parser.add_argument("--most-millions", type=float, default=150)
    parser.add_argument("--epochs", type=int, default=40)
    arguments = parser.parse_args()
    counts = {"learned": 0, "refused": 0, "too large": 0, "failed": 0}
    print("| family | network | parameters | size | outcome | |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        paint(Path(folder) / "images")
        for family in arguments.families or sorted(list_modules()):
            arch, n_parameters = smallest(family)
            size, started = 0, time.perf_counter()
            if n_parameters > 1e6 * arguments.most_millions:
                outcome, detail = "too large", ""
            else:
                size = smallest_size(arch)
                outcome, detail = trained(arch, size, Path(folder), arguments.epochs)
            counts[outcome] += 1
            seconds = time.perf_counter() - started
            shown = f"{family} | {arch} | {n_parameters / 1e6:.1f} M | {size or ''} | {outcome} | {detail}"
            print(f"| {shown} {seconds:.0f} s |", flush=True)
    print(", ".join(f"{n} {outcome}" for outcome, n in counts.items()))
    raise SystemExit(counts["failed"] > 0)


def paint(folder: Path) -> None:
    """Shades of four colors, 16 of each to train on and 8 to validate; little noise, which csatv2 would memorize."""
    rng = np.random.default_rng(0)
    for split, n_images in (("train", 16), ("valid", 8)):
        for name, color in COLORS.items():
            (folder / split / name).mkdir(parents=True)
            for i in range(n_images):
                shade = np.array(color) + rng.normal(0, 15, 3)
                pixels = shade + rng.normal(0, 3, (64, 64, 3))
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(
                    folder / split / name / f"{i:02d}.png"
                )


def smallest(family: str) -> tuple[str, int]:
    """The network with the fewest parameters of a module of timm's, counted without memory for them."""
    n_parameters = {}
    for arch in timm.list_models(module=family):
        with torch.device("meta"):
            network = timm.create_model(arch, pretrained=False)
        n_parameters[arch] = sum(parameter.numel() for parameter in network.parameters())
    arch = min(n_parameters, key=n_parameters.__getitem__)
    return arch, n_parameters[arch]


def smallest_size(arch: str) -> int:
    """The smallest of SIZES that the network takes, else that of its weights."""
    model = Model(arch=arch, pretrained=False)
    return next(
        (size for size in SIZES if takes(model, size)), timm.get_pretrained_cfg(arch).input_size[-1]
    )


def trained(arch: str, size: int, folder: Path, n_epochs: int) -> tuple[str, str]:
    """How training ended, and a detail: the error, or the accuracy and the epochs."""
    path = folder / "sweep.yaml"
    path.write_text(RECIPE.format(images=folder / "images", arch=arch, size=size))
    stop = StopAtPerfect()
    try:
        learn = learner(Recipe.load(path))
        with learn.no_bar(), learn.no_logging():
            learn.fit(n_epochs, 1e-3, cbs=[stop])
    except EnsembleError as error:
        return "refused", " / ".join(str(error).splitlines())
    except Exception as error:  # whatever it is, this script looks for it
        return "failed", f"{type(error).__name__}: {str(error)[:100]}"
    outcome = "learned" if stop.accuracy == 1 else "failed"
    return outcome, f"{stop.accuracy:.0%} after {stop.n_epochs} epochs,"


if __name__ == "__main__":
    main()
