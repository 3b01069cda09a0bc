"""What a data set is: get it, look at it, write recipes for it."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli.options import Json, OneRecipe, Set, one_present_or_shipped, said


def init(
    path: Annotated[str, typer.Argument(metavar="PATH", help="a folder of images or an archive")],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="what the recipes are called (the folder)")
    ] = None,
) -> None:
    """Look at a folder or archive, say what it found, and write recipes for it."""
    from ensemble import display
    from ensemble.display import starts
    from ensemble.init import start

    started = start(path, name, Path("recipes"))
    starts.show_start(started)
    stem = str(started.files[0]).removesuffix(".base.yaml")
    display.next_commands(
        f"ens inspect {started.files[2]}", f"ens train {stem}_*.yaml && ens blend --weights best"
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
    """The recipes that come with ens; `ens train recipes/NAME.yaml` takes them from any folder."""
    from ensemble import display
    from ensemble.display import starts
    from ensemble.recipe.shipped import copy_shipped, shipped_recipes

    if copy is not None:
        is_new = copy_shipped(copy)
        if json:
            display.show_json(
                {str(path): "written" if new else "unchanged" for path, new in is_new.items()}
            )
            return
        for path, new in is_new.items():
            display.say(f"{path}: written" if new else f"{path}: here already, as it ships")
        display.next_commands(f"ens train {next(iter(is_new))}")
        return
    listed = shipped_recipes()
    if json:
        display.show_json([asdict(recipe) for recipe in listed])
        return
    starts.show_recipes(listed)
    display.next_commands(
        "ens train recipes/digits_resnet.yaml", "ens recipes --copy digits_resnet"
    )


def list_data(json: Json = False) -> None:
    """The sets that `ens data get` knows, and which of them are on this machine."""
    from ensemble import display
    from ensemble.dataset.download import datasets
    from ensemble.display import starts

    listed = datasets()
    if json:
        display.show_json([asdict(one) for one in listed])
        return
    starts.show_datasets(listed)
    missing = [one.name for one in listed if one.n_found < one.n_images]
    display.next_commands(f"ens data get {missing[0]}" if missing else "ens train RECIPE")


def get_data(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="cifar10, flowers102, hymenoptera or kaggle:<slug>"),
    ],
    given: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FILE", help="an archive, or a folder of files, already here"
        ),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="where it goes (ENS_DATA, else here)")
    ] = None,
) -> None:
    """Download a set, check it, and lay it out as the recipes expect; what is there stays as it is."""
    from ensemble import display
    from ensemble.dataset.download import get, source_named
    from ensemble.display import live
    from ensemble.signals import stoppable

    source = source_named(name)
    with live.progress() as show, stoppable(show) as emit:
        got = get(source, given, to, emit)
    display.say(
        f"{got.folder}: {got.n_images:,} images" + (", there already" if got.was_there else "")
    )
    elsewhere = f" --set {shlex.quote(f'data.path={got.folder}')}" if to else ""
    recipe = (
        f"ens train {source.recipe}{elsewhere}"
        if source.recipe
        else f"ens init {shlex.quote(str(got.folder))}"
    )
    display.next_commands(recipe)


def inspect(
    recipe: OneRecipe,
    set_: Set = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="where the PNGs go (inspect/NAME)")
    ] = None,
    json: Json = False,
) -> None:
    """The data: counts, sizes, odd and unreadable files, copies within and across the parts, a sample of each class."""
    from ensemble import display
    from ensemble.dataset.audit import audit
    from ensemble.dataset.load import load
    from ensemble.display import audits, live
    from ensemble.events import Step
    from ensemble.files import PNG_MARK, check_replaceable
    from ensemble.recipe import Recipe
    from ensemble.report.inspect import save_counts, save_samples
    from ensemble.signals import stoppable

    file = one_present_or_shipped(recipe)
    described = Recipe.load(file, tuple(set_ or ()))
    folder = out or Path("inspect") / described.name
    for name in ("classes.png", "samples.png") if out else ():
        check_replaceable(folder / name, PNG_MARK)
    images = load(described.data)
    with live.progress() as show, stoppable(show) as emit:
        found = audit(
            images, lambda done, total: emit(Step(described.name, "decoding", done, total))
        )
    save_counts(found, folder / "classes.png")
    save_samples(images.train, folder / "samples.png", images.ranges)
    if json:
        display.show_json(audits.audit_json(found))
        return
    audits.show_audit(found)
    display.say(f"pictures: {folder / 'classes.png'}, {folder / 'samples.png'}")
    display.next_commands(f"ens train {shlex.quote(str(recipe))}{said('--set', set_)}")
