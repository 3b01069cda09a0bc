"""From a recipe and its images to the fastai Learner that every phase works on."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.callback.mixup import CutMix, MixUp
from fastai.callback.progress import ProgressCallback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.optimizer import OptimWrapper
from torch import nn

from ensemble.dataset.load import DataSet, load
from ensemble.dataset.pixel_store import Streamed, open_store
from ensemble.errors import RecipeError
from ensemble.events import Emit, Note, Step, ignore
from ensemble.learn import callbacks, models
from ensemble.learn.amp import AMP, Amp
from ensemble.learn.data import Catalog, Stats, catalog, loaders, normalisation
from ensemble.learn.device import (
    compile_in_place,
    device,
    make_deterministic,
    precision,
    seed_everything,
)
from ensemble.learn.micro_batch import AUTO
from ensemble.learn.preprocess import Preprocess, weights_config
from ensemble.learn.weights import find_weights, load_exactly
from ensemble.recipe import Fit, Recipe
from ensemble.runs import Run, RunStore
from ensemble.runs.job import Job

OPTIMISERS = {
    "adamw": partial(torch.optim.AdamW, betas=(0.9, 0.99), fused=True),
    "sgd": partial(torch.optim.SGD, momentum=0.9, nesterov=True, lr=1e-3, fused=True),
}


@dataclass(frozen=True, eq=False)
class Setup:
    """What the phases work on; start says which weights the network began with."""

    learn: Learner
    start: str
    images: Catalog
    preprocess: Preprocess
    precision: str


def learner(recipe: Recipe | Path | str, seed: int | None = None) -> Learner:
    """The plain fastai Learner of a recipe: same data, network, loss, optimiser and groups as `ens train`.

    Raises EnsembleError. Images are decoded on the first call.
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    job = Job(recipe, recipe.seeds[0] if seed is None else seed)
    learn = set_up(job, load(recipe.data), RunStore(), ignore).learn
    return _with_progress(learn)


def trained_learner(run: Run) -> Learner:
    """The Learner of a finished run with its weights. Raises EnsembleError."""
    stored, start = run.single(), run.record().start
    stored.check_file("recipe.yaml")
    recipe = Recipe.load(stored.folder / "recipe.yaml")
    job = Job(recipe, run.seed, run.fold)
    data = load(recipe.data, run.fold or 0)
    learn = set_up(job, data, RunStore(stored.folder.parent), ignore, start).learn
    load_exactly(learn.model, stored)
    return _with_progress(learn)


def _with_progress(learn: Learner) -> Learner:
    """The Learner with fastai's own progress bar and table, as a notebook expects."""
    learn.add_cb(ProgressCallback())
    learn.logger = print
    return learn


def set_up(
    job: Job,
    data: DataSet,
    store: RunStore,
    emit: Emit,
    start: str | None = None,
    mean_std: Stats | None = None,
) -> Setup:
    """Find the initial weights, decode the images, build network and Learner. Raises EnsembleError.

    start describes the initial weights where stored ones will replace them; none are looked for.
    mean_std replaces the normalization that the recipe asks for.
    """
    recipe = job.recipe
    if recipe.fit.unfreeze_from and recipe.fit.strategy != "gradual":
        raise RecipeError(
            f"recipe {recipe.name}: fit.unfreeze_from belongs to strategy gradual, this is {recipe.fit.strategy}"
        )
    if recipe.fit.compile and recipe.fit.cuda_graphs:
        raise RecipeError(
            f"recipe {recipe.name}: fit.compile and fit.cuda_graphs both say how passes are launched\nset one of them"
        )
    models.check_arch(recipe.model.arch)
    weights = find_weights(recipe.model, store) if start is None else None
    images, preprocess = _images(job, data, emit, mean_std)
    batch_size = AUTO if recipe.fit.batch_size == "auto" else recipe.fit.batch_size
    dls = loaders(
        images, batch_size, recipe.augmentation, (preprocess.mean, preprocess.std), job.seed
    )
    make_deterministic(recipe.fit.deterministic)
    seed_everything(job.seed, "network")
    built = models.build(recipe.model, len(data.classes), preprocess.geometry.size, weights)
    network = built.network.to(device(), memory_format=torch.channels_last)
    if recipe.fit.compile:
        compile_in_place(network)
    chosen = precision(recipe.fit.precision)
    learn = _learner(recipe, dls, network, images, chosen)
    learn.remove_cb(ProgressCallback)  # progress leaves as events
    learn.logger = callbacks.nothing
    learn.create_opt()
    return Setup(learn, built.start if start is None else start, images, preprocess, chosen)


def _images(
    job: Job, data: DataSet, emit: Emit, mean_std: Stats | None
) -> tuple[Catalog, Preprocess]:
    """The decoded images, and how they reach the network."""
    recipe = job.recipe

    def progress(done: int, total: int) -> None:
        emit(Step(job.run_id, "decoding", done, total))

    wanted, disk = weights_config(recipe), recipe.resources.disk
    budget = None if disk is None else int(disk * 1e9)
    store = open_store(data.hashes, wanted.geometry, progress, budget, data.ranges)
    if isinstance(store.pixels, Streamed):
        emit(
            Note(
                job.run_id,
                "decoded pixels would pass the disk budget: pictures are decoded afresh every epoch",
            )
        )
    images = catalog(data, store, recipe.data.skip_unreadable)
    mean, std = mean_std or normalisation(recipe.data.normalize, (wanted.mean, wanted.std), images)
    stored = store.pixels.shape[1:3] if store.is_native else None
    return images, replace(wanted, mean=mean, std=std, stored=stored, ranges=data.ranges)


def _learner(
    recipe: Recipe, dls: DataLoaders, network: nn.Module, images: Catalog, chosen: str
) -> Learner:
    fit = recipe.fit
    return Learner(
        dls,
        network,
        loss_func=_loss(fit, images),
        metrics=[callbacks.MeanMetric(accuracy)],
        splitter=models.splitter(fit.unfreeze_from),
        opt_func=partial(OptimWrapper, opt=OPTIMISERS[fit.optimizer]),
        wd=fit.weight_decay,
        train_bn=False,  # else fastai goes on training the batch norms of a frozen body
        cbs=[
            callbacks.ChannelsLast(),
            callbacks.LossOnDevice(),
            *_penalties(fit, network),
            *_mixing(recipe),
            *_amp(chosen),
        ],
    )


def _loss(fit: Fit, images: Catalog) -> CrossEntropyLossFlat:
    weight = None
    if fit.class_weights == "balanced":
        counts = images.train_counts
        weight = torch.tensor(
            counts.sum() / (len(counts) * np.maximum(counts, 1)), dtype=torch.float32
        )
        weight = weight.to(device())
    return CrossEntropyLossFlat(weight=weight, label_smoothing=fit.label_smoothing)


def _penalties(fit: Fit, network: nn.Module) -> list[Callback]:
    parts = [
        (models.module_named(network, name, "fit.penalty"), cost.l1, cost.l2)
        for name, cost in fit.penalty.items()
    ]
    return [callbacks.Penalise(parts)] if parts else []


def _mixing(recipe: Recipe) -> list[Callback]:
    augment = recipe.augmentation
    if augment.mixup and augment.cutmix:
        return [callbacks.MixUpOrCutMix(augment.mixup, augment.cutmix)]
    return ([MixUp(augment.mixup)] if augment.mixup else []) + (
        [CutMix(augment.cutmix)] if augment.cutmix else []
    )


def _amp(chosen: str) -> list[Callback]:
    return [Amp(chosen)] if chosen in AMP else []
