"""From a recipe and its images to the fastai Learner that every phase works on."""

from dataclasses import dataclass, replace
from functools import partial

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
from ensemble.dataset.pixels import Streamed, open_store
from ensemble.errors import RecipeError
from ensemble.events import Emit, Note, Step, ignore
from ensemble.learn import callbacks, models
from ensemble.learn.amp import AMP, Amp
from ensemble.learn.data import Catalog, catalog, loaders, normalisation
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


def learner_of_recipe(recipe: Recipe, seed: int | None = None) -> Learner:
    """The Learner that `ens train` works on, its first seed's where seed is None. Raises EnsembleError."""
    seed = recipe.seeds[0] if seed is None else seed
    return set_up(recipe, load(recipe.data), seed, ignore, RunStore()).learn


def learner_of_run(run: Run) -> Learner:
    """The Learner of a finished run with its weights. Raises EnsembleError."""
    run.check_file("recipe.yaml")
    recipe = Recipe.load(run.folder / "recipe.yaml")
    data = load(recipe.data, run.fold or 0)
    runs = RunStore(run.folder.parent)
    learn = set_up(recipe, data, run.seed, ignore, runs, start=run.start).learn
    load_exactly(learn.model, run)
    return learn


def set_up(
    recipe: Recipe,
    data: DataSet,
    seed: int,
    emit: Emit,
    runs: RunStore,
    run_id: str = "",
    start: str | None = None,
) -> Setup:
    """Find the first weights, decode the images, build network and Learner. Raises EnsembleError.

    Where other weights will replace the first ones, start says which those were, and they are not looked for.
    """
    if recipe.fit.unfreeze_from and recipe.fit.strategy != "gradual":
        raise RecipeError(
            f"recipe {recipe.name}: fit.unfreeze_from belongs to strategy gradual, this is {recipe.fit.strategy}"
        )
    if recipe.fit.compile and recipe.fit.cuda_graphs:
        raise RecipeError(
            f"recipe {recipe.name}: fit.compile and fit.cuda_graphs both say how passes are launched\nset one of them"
        )
    models.check_arch(recipe.model.arch)
    weights = find_weights(recipe.model, runs) if start is None else None
    images, preprocess = _images(recipe, data, run_id, emit)
    batch_size = AUTO if recipe.fit.batch_size == "auto" else recipe.fit.batch_size
    dls = loaders(images, batch_size, recipe.augmentation, (preprocess.mean, preprocess.std), seed)
    make_deterministic(recipe.fit.deterministic)
    seed_everything(seed, "network")
    built = models.build(recipe.model, len(data.classes), preprocess.geometry.size, weights)
    network = built.network.to(device(), memory_format=torch.channels_last)
    if recipe.fit.compile:
        compile_in_place(network)
    chosen = precision(recipe.fit.precision)
    learn = _learner(recipe, dls, network, images, chosen)
    if run_id:
        learn.remove_cb(ProgressCallback)
        learn.logger = callbacks.nothing
    learn.create_opt()
    return Setup(learn, built.start if start is None else start, images, preprocess, chosen)


def _images(recipe: Recipe, data: DataSet, run_id: str, emit: Emit) -> tuple[Catalog, Preprocess]:
    """The decoded images, and how they reach the network."""

    def progress(done: int, total: int) -> None:
        emit(Step(run_id, "decoding", done, total))

    wanted, disk = weights_config(recipe), recipe.resources.disk
    budget = None if disk is None else int(disk * 1e9)
    store = open_store(data.hashes, wanted.geometry, progress, budget, data.ranges)
    if isinstance(store.pixels, Streamed):
        emit(
            Note(
                run_id,
                "decoded pixels would pass the disk budget: pictures are decoded afresh every epoch",
            )
        )
    images = catalog(data, store, recipe.data.skip_unreadable)
    mean, std = normalisation(recipe.data.normalize, (wanted.mean, wanted.std), images)
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
        counts = np.bincount(images.codes[images.readable("train")], minlength=len(images.classes))
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
