"""What freezing saves: one training step of a frozen and an unfrozen network, ours and fastai's own freeze().

    python bench/frozen_step.py [--arch tf_efficientnet_lite0] [--size 224] [--batch 32] [--pairs 5]

Random weights and random images already in memory: only the step is timed. Alternating; medians and their ratios.
"""

import argparse
import statistics
import time
from functools import partial

import torch
from fastai.callback.core import TrainEvalCallback
from fastai.data.core import DataLoader, DataLoaders
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.optimizer import OptimWrapper

from ensemble.learn.callbacks import ChannelsLast, FrozenInEval
from ensemble.learn.device import device
from ensemble.learn.layer_groups import layer_groups
from ensemble.learn.models import build
from ensemble.recipe import Model


def learner(arguments: argparse.Namespace, is_frozen: bool, is_ours: bool) -> Learner:
    """A Learner over one batch that repeats."""
    items = [
        (torch.randn(3, arguments.size, arguments.size), i % 2) for i in range(arguments.batch)
    ]
    dls = DataLoaders(
        DataLoader(items, bs=arguments.batch),
        DataLoader(items, bs=arguments.batch),
        device=device(),
    )
    network = build(
        Model(arch=arguments.arch, pretrained=False, head="keep"), 2, arguments.size
    ).network
    made = Learner(
        dls,
        network.to(device(), memory_format=torch.channels_last),
        loss_func=CrossEntropyLossFlat(),
        splitter=layer_groups,
        opt_func=partial(OptimWrapper, opt=partial(torch.optim.AdamW, fused=True)),
        train_bn=not is_ours,
        default_cbs=False,
        cbs=[TrainEvalCallback(), ChannelsLast(), *([FrozenInEval()] if is_ours else [])],
    )
    made.logger = lambda _: None
    made.create_opt()
    if is_frozen:
        made.freeze_to(-1)
    return made


def seconds(made: Learner) -> float:
    """One epoch of one batch, without validation."""
    xb, yb = next(iter(made.dls.train))
    xb, yb = xb.to(device()), yb.to(device())
    made.model.train()
    for callback in made.cbs:
        if isinstance(callback, FrozenInEval):
            callback.before_train()
    started = time.perf_counter()
    loss = made.loss_func(made.model(xb.contiguous(memory_format=torch.channels_last)), yb)
    loss.backward()
    made.opt.step()
    made.opt.zero_grad()
    if device().type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def main() -> None:
    """Print the medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", default="tf_efficientnet_lite0")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=5)
    arguments = parser.parse_args()
    kinds = {
        "unfrozen": learner(arguments, False, True),
        "fastai's freeze()": learner(arguments, True, False),
        "ours, frozen": learner(arguments, True, True),
    }
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(arguments.pairs + 1):
        for name, made in kinds.items():
            taken = seconds(made)
            if turn:  # the first turn warms up
                times[name].append(taken)
    whole = statistics.median(times["unfrozen"])
    for name, values in times.items():
        median = statistics.median(values)
        ratio = f"unfrozen / this {whole / median:.2f}"
        print(f"{name:20s} median {median:.3f} s ({min(values):.3f}-{max(values):.3f}), {ratio}")


if __name__ == "__main__":
    main()
