"""Images per second of training and inference on one GPU: ours, the compute bound, fastai and timm's loop.

python bench/gpu.py path/to/cifar10 --minutes 4 --sizes 32 224

ours: what `ens train` works on, its Learner with its data, callbacks and schedule, and the prediction that it stores.
bound: the same step of the same network on one batch that is on the device already, and its forward pass alone.
fastai: ImageDataLoaders and Learner as its tutorials write them, a worker for each core.
timm: timm's own create_loader with its prefetcher, and the step of its train.py, a worker for each core.
graphs: ours with fit.cuda_graphs; compiled: ours and the bound after torch.compile.

All sides run in this process with the same switches (TF32, cuDNN's own choice of algorithms, bf16 autocast), after the
same number of steps to warm up, for the same number of steps. A side that fails is named; the others go on.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from itertools import chain, islice, repeat
from pathlib import Path

import timm
import torch
from fastai.callback.core import Callback, CancelFitException
from fastai.vision.all import (
    CrossEntropyLossFlat,
    Flip,
    ImageDataLoaders,
    Learner,
    Normalize,
    Resize,
    accuracy,
)
from timm.data import create_dataset, create_loader
from torch import Tensor, nn

from ensemble.dataset.load import load
from ensemble.events import ignore
from ensemble.learn.amp import autocast
from ensemble.learn.build_learner import BuiltLearner, set_up
from ensemble.learn.callbacks import FrozenInEval, SeedEpochs, Watch, nothing
from ensemble.learn.graphs import recorded
from ensemble.learn.loaders import split_loader
from ensemble.learn.phases import plan, schedule
from ensemble.learn.predict import probabilities
from ensemble.recipe import Recipe
from ensemble.runs import RunStore
from ensemble.runs.job import Job

ARCHS = ("resnet34", "densenet121", "efficientnet_b0", "vgg19", "convnext_tiny")
SIDES = ("ours", "graphs", "bound", "fastai", "timm", "compiled")
RATE = 1e-3
RECIPE = """
data: {{source: folder, path: {data}, train: train, valid: test, size: {size}, resize: squish}}
augment: {{flip: true}}
model: {{arch: {arch}, pretrained: false, head: keep}}
fit: {{strategy: scratch, epochs: 10, lr: {rate}, batch_size: {batch}, compile: {compile}, precision: {precision}}}
"""


class Steps:
    """Counts steps; seconds are those of n_steps after the ones that warm up."""

    def __init__(self, warm_up: int, n_steps: int) -> None:
        self.warm_up, self.n_steps, self.n_seen = warm_up, n_steps, 0
        self.started = self.seconds = 0.0

    def tick(self) -> bool:
        """A step is queued; whether it was the last one."""
        self.n_seen += 1
        if self.n_seen == self.warm_up:
            self.started = now()
        if self.n_seen == self.warm_up + self.n_steps:
            self.seconds = now() - self.started
        return self.seconds > 0

    @property
    def step_seconds(self) -> float:
        """The mean of a step."""
        return self.seconds / self.n_steps


def now() -> float:
    """The time once the device has done its work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


class Timed(Callback):
    """Ends a fit after the steps to measure."""

    order = 80

    def __init__(self, steps: Steps) -> None:
        self.steps = steps

    def after_batch(self) -> None:
        if self.training and self.steps.tick():
            raise CancelFitException


class Bench:
    """One network at one size."""

    def __init__(self, arch: str, size: int, flags: argparse.Namespace) -> None:
        self.arch, self.size, self.flags = arch, size, flags
        self.built = self.build()
        self.precision = self.built.precision

    def build(self, compile: bool = False) -> BuiltLearner:
        """What `ens train` works on."""
        text = RECIPE.format(
            data=self.flags.data,
            size=self.size,
            arch=self.arch,
            rate=RATE,
            batch=self.flags.batch,
            compile=str(compile).lower(),
            precision=self.flags.precision,
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "bench.yaml"
            path.write_text(text)
            self.recipe = Recipe.load(path)
        return set_up(Job(self.recipe, 0), load(self.recipe.data), RunStore(), ignore)

    def steps(self, share: float = 1.0) -> Steps:
        return Steps(self.flags.warm_up, max(4, int(self.flags.steps * share)))

    def ours(
        self, built: BuiltLearner | None = None, with_graphs: bool = False
    ) -> tuple[float, float]:
        built, steps = built or self.built, self.steps()
        (phase,) = plan(self.recipe.fit, 1)
        learn = built.learn
        cbs = [SeedEpochs(0, phase.name), FrozenInEval(), Watch(nothing, nothing), Timed(steps)]
        with recorded(learn, built.precision) if with_graphs else nullcontext():
            learn.fit(phase.n_epochs, cbs=[*cbs, *schedule(learn, "one_cycle", phase, RATE)])
        loader = split_loader(learn.dls, built.images, "valid", 2 * self.flags.batch)
        seconds = []
        for _ in range(2):
            started = now()
            probabilities(learn.model, loader, (), built.precision)
            seconds.append(now() - started)
        return steps.step_seconds, seconds[-1] / loader.n

    def batch(self, built: BuiltLearner) -> tuple[Tensor, Tensor]:
        x, y = built.learn.dls.train.one_batch()
        x = x.as_subclass(Tensor).contiguous(memory_format=torch.channels_last)
        return x, y.as_subclass(Tensor)

    def bound(self, built: BuiltLearner | None = None) -> tuple[float, float]:
        built = built or self.built
        network, batch = built.learn.model, self.batch(built)
        seconds = self.loop(network, repeat(batch), self.steps())
        network.eval()
        steps = self.steps()
        with torch.inference_mode(), autocast(self.precision, batch[0].device):
            while not steps.tick():
                network(batch[0])
        return seconds, steps.step_seconds / len(batch[0])

    def loop(
        self, network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], steps: Steps
    ) -> float:
        """Seconds of a step of plain PyTorch."""
        optimizer = torch.optim.AdamW(network.parameters(), RATE, fused=torch.cuda.is_available())
        network.train()
        for x, y in batches:
            optimizer.zero_grad()
            with autocast(self.precision, x.device):
                loss = nn.functional.cross_entropy(network(x), y)
            loss.backward()
            optimizer.step()
            if steps.tick():
                break
        return steps.step_seconds

    def graphs(self) -> tuple[float, float]:
        return self.ours(with_graphs=True)

    def compiled(self) -> dict[str, tuple[float, float]]:
        built = self.build(compile=True)
        return {"compiled ours": self.ours(built), "compiled bound": self.bound(built)}

    def fastai(self) -> tuple[float, float]:
        steps = self.steps(self.flags.share)
        dls = ImageDataLoaders.from_folder(
            self.flags.data,
            train="train",
            valid="test",
            bs=self.flags.batch,
            num_workers=self.flags.workers,
            item_tfms=Resize(self.size, method="squish") if self.size != 32 else None,
            batch_tfms=[Flip(), Normalize.from_stats([0.5] * 3, [0.25] * 3)],
        )
        network = timm.create_model(self.arch, num_classes=dls.c)
        learn = Learner(
            dls, network, loss_func=CrossEntropyLossFlat(), metrics=accuracy, cbs=[Timed(steps)]
        )
        if self.precision != "fp32":
            learn = learn.to_bf16() if self.precision == "bf16" else learn.to_fp16()
        with learn.no_bar(), learn.no_logging():
            learn.fit_one_cycle(10, RATE)
            started = now()
            learn.get_preds()
            return steps.step_seconds, (now() - started) / len(dls.valid_ds)

    def timm(self) -> tuple[float, float]:
        loaders = {
            split: create_loader(
                create_dataset("folder", str(self.flags.data), split=split),
                (3, self.size, self.size),
                self.flags.batch,
                is_training=split == "train",
                scale=(1, 1),
                ratio=(1, 1),
                color_jitter=None,
                num_workers=self.flags.workers,
                use_prefetcher=torch.cuda.is_available(),
                crop_pct=1.0,
                device=next(self.built.learn.model.parameters()).device,
                auto_augment=None,
            )
            for split in ("train", "test")
        }
        network = timm.create_model(self.arch, num_classes=10).to(self.batch(self.built)[0].device)
        network.to(memory_format=torch.channels_last)

        def laid_out(loader: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
            return ((x.contiguous(memory_format=torch.channels_last), y) for x, y in loader)

        batches = chain.from_iterable(laid_out(loaders["train"]) for _ in range(10))
        seconds = self.loop(network, batches, self.steps(self.flags.share))
        network.eval()
        started, n_images = now(), 0
        with torch.inference_mode():
            for x, _ in islice(laid_out(loaders["test"]), 1000):
                with autocast(self.precision, x.device):
                    network(x)
                n_images += len(x)
        return seconds, (now() - started) / n_images


def measure(bench: Bench, side: str, batch: int) -> dict[str, dict[str, float]]:
    """Images per second by side; an error is printed and leaves the side out."""
    work: Callable[[], object] = getattr(bench, side)
    try:
        seconds = work()
    except Exception as error:
        traceback.print_exc(limit=3)
        print(f"{bench.arch} {bench.size} px, {side}: {type(error).__name__}", flush=True)
        return {}
    sides = seconds if isinstance(seconds, dict) else {side: seconds}
    return {
        name: {"train": round(batch / step), "infer": round(1 / image)}
        for name, (step, image) in sides.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--minutes", type=float, default=4, help="measure nothing more after this time"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 224])
    parser.add_argument("--archs", nargs="+", default=list(ARCHS))
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES[:5]))
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument(
        "--share", type=float, default=0.4, help="of the steps that fastai and timm take"
    )
    parser.add_argument("--warm-up", type=int, default=10)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--precision", default="auto")
    flags = parser.parse_args()
    flags.data = flags.data.resolve()
    ends = time.monotonic() + 60 * flags.minutes
    for size in flags.sizes:
        for arch in flags.archs:
            bench = Bench(arch, size, flags)
            rates: dict[str, dict[str, float]] = {}
            for side in flags.sides:
                if time.monotonic() > ends:
                    print(f"{arch} {size} px, {side}: no time is left")
                    continue
                rates |= measure(bench, side, flags.batch)
            network = {"arch": arch, "size": size, "batch": flags.batch}
            print(json.dumps({**network, "precision": bench.precision, "img/s": rates}), flush=True)
            del bench
            torch.cuda.empty_cache()


if __name__ == "__main__":
    sys.exit(main())
