"""What single options bring: recipes with and without each, over several data.split_seed.

python bench/gains.py WORK path/to/hymenoptera_data path/to/cifar10 [--splits 5] [--only dihedral ...]

Images and runs go to the folder WORK; finished runs are not trained again. A row is the paired gain over splits
with its 95 % interval, which counts their overlap (`ens compare A B --splits`), the splits on which the option is
ahead, and the median ratio of wall times, of training and of predicting. Positive is better, for log loss too.
Learned: the cross-fitted score of `ens blend` of that run alone, with learned decisions, on both sides.
"""

import argparse
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

import ensemble
from ensemble.blending.split_runs import SplitRuns
from ensemble.blending.splits import compare_splits, corrected_t
from ensemble.metrics import Interval
from ensemble.numbers import difference
from ensemble.predictions import Array
from ensemble.recipe import Recipe
from ensemble.runs import Run

SCRATCH = """
data: {source: folder, path: images, sample: 0.6, size: 16, resize: squish, valid: 0.33}
augment: {flip: true, shift: 0.1}
model: {arch: scratch_residual, pretrained: false, head: keep, options: {filters: [8, 16, 32, 64], end: max}}
fit: {strategy: scratch, epochs: 10, batch_size: 64, optimizer: sgd, lr: 0.1, weight_decay: 0.0005, keep: last}
"""
LITE = """
data: {source: folder, path: images, size: 64, resize: squish, valid: 0.2}
augment: none
model: {arch: tf_efficientnet_lite0, pretrained: package, head: keep}
fit: {strategy: feature_extract, epochs: 10, batch_size: 64, keep: last}
"""
PER_CLASS = 625  # of CIFAR-10, as it is and turned by quarter turns at random
LARGEST, SMALLEST = 1_500, 75  # classes of the imbalanced set, in equal ratios between


class Pair(NamedTuple):
    """Overrides of a recipe on a folder of images: of both sides, with and without an option."""

    images: str
    recipe: str
    option: str
    both: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("accuracy",)


PHOTOS = ("data.size=160", "data.valid={folds: 3}", "fit.batch_size=32")
RARE = ("data.metric=balanced_accuracy", "data.valid=0.33", "data.sample=1.0")
RARE_METRICS = ("balanced_accuracy", "f1_macro")
PROBE = "fit.strategy=linear_probe"
FLIP, DIHEDRAL = "tta=flip", "tta=dihedral"
PAIRS = {
    "linear_probe, photos": Pair("photos", "lite", PROBE, PHOTOS),
    "linear_probe, cifar": Pair("cifar", "lite", PROBE),
    "dihedral": Pair("turned", "scratch", DIHEDRAL, without=(FLIP,)),
    "vflip": Pair("turned", "scratch", "augment.vflip=true", (FLIP,)),
    "ema": Pair("cifar", "scratch", "fit.ema=0.99"),
}
for recipe in ("lite", "scratch"):
    options = ("rare", recipe, "fit.sampler=balanced", RARE)
    PAIRS[f"sampler, {recipe}"] = Pair(*options, metrics=RARE_METRICS)


def write_images(photos: Path, cifar: Path) -> None:
    """Class folders of four sets: photos, cifar, turned and rare."""

    def target(name: str, path: Path) -> Path:
        folder = Path(name, "train", path.parent.name)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / path.name

    for path in [*photos.glob("train/*/*.jp*g"), *photos.glob("val/*/*.jp*g")]:
        shutil.copy(path, target("photos", path))
    quarter_turns = np.random.default_rng(0)
    classes = sorted((cifar / "train").iterdir())
    for i, class_folder in enumerate(classes):
        n_rare = round(LARGEST * (SMALLEST / LARGEST) ** (i / (len(classes) - 1)))
        for number, path in enumerate(sorted(class_folder.iterdir())):
            if number < n_rare:
                shutil.copy(path, target("rare", path))
            if number < PER_CLASS:
                shutil.copy(path, target("cifar", path))
                turned = Image.open(path).rotate(90 * int(quarter_turns.integers(4)))
                turned.save(target("turned", path))


def trained(pair: Pair, split_seed: int) -> list[Run]:
    """The runs of a split with and without the option, finished before or trained now."""
    runs = []
    for options in ((pair.option,), pair.without):
        overrides = [f"data.path={pair.images}", *pair.both, *options]
        recipe = Recipe.load(f"{pair.recipe}.yaml", [*overrides, f"data.split_seed={split_seed}"])
        runs += ensemble.train(recipe)
    return runs


def times(run: Run) -> Array:
    """Seconds of training, without reading the images, and of predicting."""
    seconds = run.record().seconds
    predicting = seconds["predict"]
    return np.array([sum(seconds.values()) - seconds["data"] - predicting, predicting])


def rows_of(
    splits: list[list[Run]], metrics: tuple[str, ...]
) -> Iterator[tuple[str, Interval, int]]:
    """What the gain is in, the gain over splits, and the splits with a gain."""
    sides = [
        SplitRuns(name, {i: (run,) for i, run in enumerate(runs)})
        for name, runs in zip(("with", "without"), zip(*splits, strict=True), strict=True)
    ]
    for metric in metrics:
        gains, _ = compare_splits(*sides, metric)
        for gain in gains if metric == metrics[0] else gains[:1]:
            yield gain.metric, gain.value, gain.n_ahead
        if metric in RARE_METRICS:
            blends = [[ensemble.blend(run, metric=metric) for run in split] for split in splits]
            scores = np.array([[blend.valid.score.value for blend in split] for split in blends])
            changes = scores[:, 0] - scores[:, 1]
            value, _ = corrected_t(changes, gains[0].ratio)
            yield f"{metric}, learned", value, int((changes > 0).sum())


def main() -> None:
    """Train what is missing and print the table, a pair after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    for folder in ("work", "photos", "cifar"):
        parser.add_argument(folder, type=Path)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=list(PAIRS), choices=PAIRS, metavar="PAIR")
    arguments = parser.parse_args()
    photos, cifar = arguments.photos.resolve(), arguments.cifar.resolve()
    arguments.work.mkdir(parents=True, exist_ok=True)
    os.chdir(arguments.work)
    if not Path("turned").exists():
        write_images(photos, cifar)
    Path("scratch.yaml").write_text(SCRATCH)
    Path("lite.yaml").write_text(LITE)
    print("| option | gain in | mean (95 %) | ahead | training | predicting |\n" + 6 * "|---" + "|")
    for name in arguments.only:
        splits = [trained(PAIRS[name], split_seed) for split_seed in range(arguments.splits)]
        ratios = np.median([times(run) / times(without) for run, without in splits], axis=0)
        for metric, gain, n_ahead in rows_of(splits, PAIRS[name].metrics):
            mean, low, high = (difference(x, metric) for x in (gain.value, gain.low, gain.high))
            cells = [name, metric, f"{mean} ({low} to {high})", f"{n_ahead} of {len(splits)}"]
            print("|", " | ".join([*cells, *(f"{ratio:.2f}" for ratio in ratios)]), "|", flush=True)


if __name__ == "__main__":
    main()
