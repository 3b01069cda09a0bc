"""What a new data set looks like, and which sets can be had."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ensemble.display.text import count, escape, out, percent, say, table

if TYPE_CHECKING:
    from ensemble.dataset.known_sets import SetStatus
    from ensemble.init import NewRecipes
    from ensemble.recipe.shipped import Shipped


def show_start(new: "NewRecipes") -> None:
    """Five lines about the images, then the recipes."""
    layout, sizes = new.layout, new.layout.sizes
    parts = {
        "train": layout.train,
        "valid": layout.valid,
        "test": layout.test,
        "sample": layout.sample_submission,
    }
    named = ", ".join(f"{part} {name}" for part, name in parts.items() if name)
    kind = (
        "class folders" if layout.labels is None else "labels in {} ({}, {})".format(*layout.labels)
    )
    say(f"{layout.root}: {kind}; {named}")
    more = [
        f"{count(n, f'{part} image')}"
        for part, n in (("valid", layout.n_valid), ("test", layout.n_test))
        if n
    ]
    say(
        ", ".join(
            [f"{count(layout.n_train, 'labelled image')} of {len(layout.counts)} classes", *more]
        )
    )
    (w, h), (a, b), (y, z) = sizes.median, sizes.smallest, sizes.largest
    say(f"sizes: {a}×{b} to {y}×{z} px, in the middle {w}×{h}")
    most, fewest = (
        max(layout.counts, key=layout.counts.__getitem__),
        min(layout.counts, key=layout.counts.__getitem__),
    )
    share = percent(layout.counts[most] / layout.n_train, 1)
    uneven = f"{most} {layout.counts[most]:,}, {fewest} {layout.counts[fewest]:,}"
    each = (
        uneven
        if layout.counts[most] > layout.counts[fewest]
        else f"{layout.counts[most]:,} of each class"
    )
    say(f"balance: {each}; always {most}: {share}")
    for note in layout.notes:
        say(note)
    say("doubts: " + ("; ".join(layout.doubts) if layout.doubts else "none at first sight"))
    base, *recipes = new.files
    say(
        f"written for this machine ({new.machine}): {base}, {', '.join(file.name for file in recipes)}"
    )


def show_recipes(listed: "Sequence[Shipped]") -> None:
    """The recipes that come with ens, and the images that each is about."""
    shown = table("recipes", "name", "what", "images")
    for recipe in listed:
        images = f"{recipe.path}/" if recipe.path else "come with scikit-learn"
        images += f" (ens data get {recipe.get})" if recipe.get else ""
        shown.add_row(*map(escape, (recipe.name, recipe.description, images)))
    out.print(shown)


def show_datasets(listed: "Sequence[SetStatus]") -> None:
    """What `ens data get` knows, and what is on this machine."""
    shown = table("sets", "name", "what", "images", "download", "licence", "from", "here")
    for one in listed:
        here = f"{one.here}: {one.n_found:,}" if one.here else "no"
        cells = (
            one.name,
            one.title,
            f"{one.n_images:,}",
            f"{one.n_bytes / 2**20:.0f} MB",
            one.licence,
            one.url,
            here,
        )
        shown.add_row(*map(escape, cells))
    shown.add_row(
        "kaggle:<slug>",
        "the files of a competition",
        "",
        "",
        "its rules",
        "https://www.kaggle.com",
        "",
    )
    out.print(shown)
