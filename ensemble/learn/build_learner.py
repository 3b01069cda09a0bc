"""From a recipe and its images to the fastai Learner that every phase works on."""

from dataclasses import dataclass, replace
from functools import partial

import torch
from fastai.callback.core import Callback
from fastai.callback.mixup import CutMix, MixUp
from fastai.callback.progress import ProgressCallback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.metrics import accuracy
from fastai.optimizer import OptimWrapper
from torch import nn

from ensemble.dataset.load import DataSet, load
from ensemble.dataset.pixel_store import Streamed, open_store
from ensemble.errors import RecipeError
from ensemble.events import Emit, Note, ignore, steps
from ensemble.learn import callbacks, models, probe
from ensemble.learn.amp import AMP, Amp
from ensemble.learn.catalog import Catalog, catalog_of
from ensemble.learn.device import (
    compile_in_place,
    device,
    precision,
    seed_everything,
    set_deterministic,
)
from ensemble.learn.epoch_metric import OfAllRows, epoch_metric
from ensemble.learn.layer_groups import module_named, splitter
from ensemble.learn.load_weights import load_exactly
from ensemble.learn.loaders import Stats, loaders, normalization
from ensemble.learn.losses import LossOnDevice, MeanMetric, loss_of
from ensemble.learn.micro_batch import AUTO
from ensemble.learn.outputs import Outputs
from ensemble.learn.preprocess import Preprocess, weights_config
from ensemble.learn.weights import find_weights
from ensemble.metrics import Metric
from ensemble.recipe import Fit, Recipe
from ensemble.runs import Run, RunStore
from ensemble.runs.job import Job
from ensemble.runs.record import NumberScale

EXCLUSIVE = (
    ("fit.compile", "fit.cuda_graphs"),
    ("fit.sampler: balanced", "fit.class_weights"),
    ("fit.strategy: linear_probe", "fit.pseudo.soft"),
)
OPTIMIZERS = {
    "adamw": partial(torch.optim.AdamW, betas=(0.9, 0.99), fused=True),
    "sgd": partial(torch.optim.SGD, momentum=0.9, nesterov=True, lr=1e-3, fused=True),
}


@dataclass(frozen=True, eq=False)
class BuiltLearner:
    """A Learner and what it was built from; start describes the network's initial weights.

    metric is that of data.metric, the Learner's last one, None without it.
    """

    learn: Learner
    start: str
    images: Catalog
    preprocess: Preprocess
    precision: str
    metric: Metric | None = None


def learner_of_recipe(recipe: Recipe, seed: int | None = None) -> Learner:
    """The Learner that `ens train` works on, by default of the first seed. Raises EnsembleError."""
    job = Job(recipe, recipe.seeds[0] if seed is None else seed)
    if recipe.fit.pseudo:
        raise RecipeError(
            f"recipe {recipe.name}: fit.pseudo: `ens train` asks the teachers, a Learner does not\n"
            "leave it out here, or load the run that `ens train` made"
        )
    return _with_progress(set_up(job, load(recipe.data), RunStore(), ignore).learn)


def learner_of_run(run: Run) -> Learner:
    """The Learner of a finished run with its weights, without images that teachers labeled.

    Raises EnsembleError.
    """
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
    scale: NumberScale | None = None,
) -> BuiltLearner:
    """Find the initial weights, decode the images, build network and Learner. Raises EnsembleError.

    start describes the initial weights where stored ones will replace them; none are looked for.
    mean_std replaces the normalization that the recipe asks for, scale that of the numbers.
    """
    recipe = job.recipe
    if recipe.fit.unfreeze_from and recipe.fit.strategy != "gradual":
        raise RecipeError(
            f"recipe {recipe.name}: fit.unfreeze_from belongs to strategy gradual, "
            f"this is {recipe.fit.strategy}"
        )
    _check_exclusive(recipe)
    probe.check_recipe(recipe)
    models.check_arch(recipe.model.arch)
    weights = find_weights(recipe.model, store) if start is None else None
    _check_target(recipe)
    images, preprocess = _images(job, data, emit, mean_std, scale)
    batch_size = AUTO if recipe.fit.batch_size == "auto" else recipe.fit.batch_size
    stats = (preprocess.mean, preprocess.std)
    is_balanced = recipe.fit.sampler == "balanced"
    dls = loaders(images, batch_size, recipe.augmentation, stats, job.seed, is_balanced)
    set_deterministic(recipe.fit.deterministic)
    seed_everything(job.seed, "network")
    built = models.build(recipe.network, len(data.classes), preprocess.geometry.size, weights)
    network = built.network.to(device()).to(memory_format=torch.channels_last)
    if recipe.fit.compile:
        compile_in_place(network)
    chosen = precision(recipe.fit.precision)
    metric, problem = epoch_metric(recipe, images)
    if problem:
        emit(Note(job.run_id, f"trained without data.metric: {problem}"))
    learn = _learner(recipe, dls, network, images, chosen)
    learn.metrics += [OfAllRows(metric, images.outputs)] if metric else []
    learn.remove_cb(ProgressCallback)  # progress leaves as events
    learn.logger = callbacks.nothing
    learn.create_opt()
    start = built.start if start is None else start
    return BuiltLearner(learn, start, images, preprocess, chosen, metric)


def _check_exclusive(recipe: Recipe) -> None:
    """Raises RecipeError for settings that exclude each other."""
    fit = recipe.fit
    is_set = {
        "fit.compile": fit.compile,
        "fit.cuda_graphs": fit.cuda_graphs,
        "fit.sampler: balanced": fit.sampler == "balanced",
        "fit.class_weights": fit.class_weights != "none",
        "fit.strategy: linear_probe": fit.strategy == "linear_probe",
        "fit.pseudo.soft": fit.pseudo is not None and fit.pseudo.soft,
    }
    for first, second in EXCLUSIVE:
        if is_set[first] and is_set[second]:
            raise RecipeError(
                f"recipe {recipe.name}: {first} and {second} exclude each other\nset one of them"
            )


def _check_target(recipe: Recipe) -> None:
    """Raises RecipeError for settings that data.target does not have."""
    target, fit = recipe.data.target, recipe.fit
    is_number, is_class = target == "number", target == "class"
    settings = {
        "fit.loss: mse": (fit.loss == "mse" and not is_number, "number"),
        "fit.sampler: balanced": (fit.sampler == "balanced" and not is_class, "class"),
        "fit.label_smoothing": (fit.label_smoothing > 0 and is_number, "class or labels"),
        "fit.class_weights": (fit.class_weights != "none" and is_number, "class or labels"),
        "augment.cutmix": (recipe.augmentation.cutmix > 0 and is_number, "class or labels"),
        "fit.monitor: accuracy": (fit.monitor == "accuracy" and not is_class, "class"),
    }
    for key, (is_wrong, targets) in settings.items():
        if is_wrong:
            raise RecipeError(
                f"recipe {recipe.name}: {key} belongs to data.target: {targets}, this is {target}\n"
                f"leave {key.partition(':')[0]} out"
            )


def _images(
    job: Job, data: DataSet, emit: Emit, mean_std: Stats | None, scale: NumberScale | None
) -> tuple[Catalog, Preprocess]:
    """The decoded images, and how they become the network's input."""
    recipe, progress = job.recipe, steps(emit, job.run_id, "decoding")
    config, disk = weights_config(recipe), recipe.resources.disk
    budget = None if disk is None else int(disk * 1e9)
    store = open_store(data.hashes, config.geometry, progress, budget, data.ranges)
    if isinstance(store.pixels, Streamed):
        why = "decoded pixels would exceed the disk budget"
        emit(Note(job.run_id, f"{why}: every epoch decodes the images again"))
    images = catalog_of(data, store, recipe.data.skip_unreadable)
    outputs = Outputs(data.target, scale or images.outputs.scale, recipe.data.clip)
    images = replace(images, outputs=outputs)
    mean, std = mean_std or normalization(recipe.data.normalize, (config.mean, config.std), images)
    stored = store.pixels.shape[1:3] if store.is_native else None
    return images, replace(config, mean=mean, std=std, stored=stored, ranges=data.ranges)


def _learner(
    recipe: Recipe, dls: DataLoaders, network: nn.Module, images: Catalog, chosen: str
) -> Learner:
    fit = recipe.fit
    return Learner(
        dls,
        network,
        loss_func=loss_of(fit, images, device()),
        metrics=[MeanMetric(accuracy)] if images.outputs.target == "class" else [],
        splitter=splitter(fit.unfreeze_from),
        opt_func=partial(OptimWrapper, opt=OPTIMIZERS[fit.optimizer]),
        wd=fit.weight_decay,
        train_bn=False,  # else fastai keeps training the batch norms of a frozen body
        cbs=[
            callbacks.ChannelsLast(),
            callbacks.ReturnMemory(),
            LossOnDevice(),
            *_penalties(fit, network),
            *_mixing(recipe),
            *_amp(chosen),
        ],
    )


def _penalties(fit: Fit, network: nn.Module) -> list[Callback]:
    terms = [
        (module_named(network, name, "fit.penalty"), penalty.l1, penalty.l2)
        for name, penalty in fit.penalty.items()
    ]
    return [callbacks.Penalize(terms)] if terms else []


def _mixing(recipe: Recipe) -> list[Callback]:
    augment = recipe.augmentation
    if augment.mixup and augment.cutmix:
        return [callbacks.MixUpOrCutMix(augment.mixup, augment.cutmix)]
    if augment.mixup:
        return [MixUp(augment.mixup)]
    return [CutMix(augment.cutmix)] if augment.cutmix else []


def _amp(chosen: str) -> list[Callback]:
    return [Amp(chosen)] if chosen in AMP else []
