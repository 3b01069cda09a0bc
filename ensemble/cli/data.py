"""Commands for data sets: download, inspect, write recipes."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ensemble.cli.options import SUBMISSIONS, Json, Runs, Set, one_present_or_shipped, repeated

if TYPE_CHECKING:
    from ensemble.dataset.load import DataSet
    from ensemble.recipe import Data


def init(
    path: Annotated[str, typer.Argument(metavar="PATH", help="a folder of images or an archive")],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="name of the recipes (default: the folder's)")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(metavar="METRIC", help="what the competition scores by")
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="the labels: a column, FILE:COLUMN, folders or partN"),
    ] = None,
    id_: Annotated[
        str | None, typer.Option("--id", metavar="COLUMN", help="the column that names the images")
    ] = None,
    train: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="the folder of the training images")
    ] = None,
    test: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="the folder of the test images")
    ] = None,
    sample: Annotated[
        str | None, typer.Option(metavar="FILE", help="the sample submission, or `none`")
    ] = None,
    answer: Annotated[
        str | None, typer.Option(metavar="ANSWER", help="what a cell of the submission means")
    ] = None,
    positive: Annotated[
        str | None, typer.Option(metavar="CLASS", help="the class whose probability is asked for")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="take the first choice of every question but --positive")
    ] = False,
    json: Json = False,
) -> None:
    """Inspect a folder or archive, report what is in it, and write recipes for it."""
    from ensemble import display
    from ensemble.display import live
    from ensemble.display.data import init_json, show_start, show_understanding
    from ensemble.init import NotWritten, write_recipes
    from ensemble.layout.questions import Options

    options = Options(label, id_, train, test, sample, answer, positive, metric, yes)
    try:
        with live.progress() as emit:
            new = write_recipes(path, name, Path("recipes"), options=options, emit=emit)
    except NotWritten as stop:
        if json:
            display.show_json(init_json(stop.understanding, ()))
        else:
            show_understanding(stop.understanding)
        raise
    if json:
        display.show_json(init_json(new.understanding, new.files))
        return
    show_start(new)
    stem = str(new.files[0]).removesuffix(".base.yaml")
    display.next_commands(
        f"ens inspect {new.files[2]}", f"ens train {stem}_*.yaml && ens blend --weights best"
    )


def recipes(
    copy: Annotated[
        str | None,
        typer.Option(
            "--copy",
            metavar="NAME",
            help="write this recipe and its base into recipes/; * and ? match several",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """List the recipes that come with ens; `ens train recipes/NAME.yaml` works in any folder."""
    from ensemble import display
    from ensemble.display.data import show_recipes
    from ensemble.recipe.shipped import copy_shipped, shipped_recipes

    if copy is not None:
        is_new = copy_shipped(copy)
        if json:
            display.show_json(
                {str(path): "written" if new else "unchanged" for path, new in is_new.items()}
            )
            return
        for path, new in is_new.items():
            display.say(f"{path}: written" if new else f"{path}: unchanged, already as shipped")
        display.next_commands(f"ens train {next(iter(is_new))}")
        return
    shipped = shipped_recipes()
    if json:
        display.show_json([asdict(recipe) for recipe in shipped])
        return
    show_recipes(shipped)
    display.next_commands(
        "ens train recipes/digits_resnet.yaml", "ens recipes --copy digits_resnet"
    )


def describe(json: Json = False) -> None:
    """List every key of a recipe with its type, default and meaning."""
    from ensemble import display
    from ensemble.display.data import show_keys
    from ensemble.recipe.describe import recipe_keys

    keys = recipe_keys()
    if json:
        display.show_json([asdict(key) for key in keys])
        return
    show_keys(keys)
    display.next_commands("ens train RECIPE --set KEY=VALUE")


def list_data(json: Json = False) -> None:
    """List the sets that `ens data get` can download, and which are on this machine."""
    from ensemble import display
    from ensemble.dataset.known_sets import list_sets
    from ensemble.display.data import show_datasets

    statuses = list_sets()
    if json:
        display.show_json([asdict(status) for status in statuses])
        return
    show_datasets(statuses)
    missing = [status.name for status in statuses if status.n_found < status.n_images]
    display.next_commands(f"ens data get {missing[0]}" if missing else "ens train RECIPE")


SetName = Annotated[
    str, typer.Argument(metavar="NAME", help="cifar10, flowers102, hymenoptera or kaggle:<slug>")
]
LocalFiles = Annotated[
    Path | None,
    typer.Option(
        "--from", metavar="FILE", help="use this archive, or this folder of files, as the download"
    ),
]
Destination = Annotated[
    Path | None,
    typer.Option("--to", metavar="DIR", help="parent of the set's folder (ENS_DATA, else here)"),
]


def get_data(
    name: SetName, local_files: LocalFiles = None, to: Destination = None, json: Json = False
) -> None:
    """Download a set, check it, and unpack it for its recipes; an existing folder is kept."""
    from ensemble import display
    from ensemble.dataset.download import get
    from ensemble.dataset.known_sets import set_named
    from ensemble.display import live

    dataset = set_named(name)
    with live.progress() as emit:
        local = get(dataset, local_files, to, emit)
    if json:
        display.show_json({"name": name, **asdict(local), "folder": str(local.folder)})
        return
    state = ", present already" if local.was_present else ""
    display.say(f"{local.folder}: {local.n_images:,} images{state}")
    if dataset.recipe:
        path = f" --set {shlex.quote(f'data.path={local.folder}')}" if to else ""
        display.next_commands(f"ens train {dataset.recipe}{path}")
    else:
        display.next_commands(f"ens init {shlex.quote(str(local.folder))}")


UnpackTo = Annotated[
    Path | None, typer.Option("--to", metavar="DIR", help="the folder to fill (NAME_images, here)")
]


def unpack_data(
    path: Annotated[str, typer.Argument(metavar="PATH", help="a folder or an archive")],
    to: UnpackTo = None,
    json: Json = False,
) -> None:
    """Turn archives, pixel tables, TFRecords and arrays into image folders and tables, once."""
    from ensemble import display
    from ensemble.display import live
    from ensemble.init.unpack import unpacked_folder

    with live.progress() as emit:
        folder = unpacked_folder(path, to, emit)
    if json:
        display.show_json({"folder": str(folder)})
        return
    display.say(f"{folder}: image folders and tables")
    display.next_commands(f"ens init {shlex.quote(str(folder))}")


InspectedRecipe = Annotated[Path | None, typer.Argument(metavar="RECIPE", help="recipe file")]
FigureFolder = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="DIR", help="folder of the figures or of the list (inspect/NAME)"
    ),
]


LabelsOf = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="NAME",
        help="instead of a recipe: rank likely wrong labels by this blend or run",
    ),
]


def inspect(
    recipe: InspectedRecipe = None,
    set_: Set = None,
    out: FigureFolder = None,
    labels: LabelsOf = None,
    submissions: Annotated[
        Path, typer.Option(metavar="DIR", help="where the blend of --labels is")
    ] = SUBMISSIONS,
    runs: Runs = None,
    json: Json = False,
) -> None:
    """Check the data: counts, sizes, odd files, copies, samples; or its labels."""
    if (recipe is None) == (labels is None) or (labels is not None and set_):
        raise typer.BadParameter("name a recipe, or a blend or run with --labels, without --set")
    if labels is not None:
        from ensemble.cli.wrong_labels import rank_labels

        rank_labels(labels, out, submissions, runs, json)
    elif recipe is not None:
        _inspect_images(recipe, set_, out, json)


def _inspect_images(recipe: Path, set_: list[str] | None, out: Path | None, json: bool) -> None:
    from ensemble import display
    from ensemble.dataset.audit import audit
    from ensemble.dataset.label_counts import one_per_label
    from ensemble.dataset.load import load
    from ensemble.display import audits, live
    from ensemble.events import steps
    from ensemble.files import PNG_MARK, check_replaceable
    from ensemble.recipe import Recipe
    from ensemble.reporting.data_figures import draw_counts, draw_samples

    path = one_present_or_shipped(recipe)
    loaded = Recipe.load(path, tuple(set_ or ()))
    folder = out or Path("inspect") / loaded.name
    counts_png, samples_png = folder / "classes.png", folder / "samples.png"
    if out:
        check_replaceable(counts_png, PNG_MARK)
        check_replaceable(samples_png, PNG_MARK)
    images = load(loaded.data)
    with live.progress() as emit:
        image_audit = audit(images, steps(emit, loaded.name, "decoding"))
    draw_counts(image_audit, counts_png)
    draw_samples(one_per_label(images), samples_png, images.ranges)
    if json:
        answer = _answer(images, loaded.data)
        display.show_json(audits.inspect_json(str(path), loaded.data, images, answer, image_audit))
        return
    audits.show_audit(image_audit)
    display.say(f"figures: {counts_png}, {samples_png}")
    display.next_commands(f"ens train {shlex.quote(str(recipe))}{repeated('--set', set_)}")


def _answer(images: "DataSet", data: "Data") -> str | None:
    """What a cell of the submission means, None where that is open."""
    from ensemble.submission.answer import answer_without_sample, read_answer

    settings = (images.classes, data.answer)
    if images.sample_submission is None:
        return answer_without_sample(*settings, data.positive, data.target).answer
    about = (data.metric, data.positive)
    ids = images.test.ids if images.test else ()
    return read_answer(images.sample_submission, *settings, *about, data.target, ids).answer
