"""A new data set and the recipes written for it; the recipes and data sets that ens knows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ensemble.display.text import count, escape, out, percent, say, table

if TYPE_CHECKING:
    from ensemble.dataset.known_sets import SetStatus
    from ensemble.init import NewRecipes
    from ensemble.recipe.shipped import Shipped


def show_start(new: "NewRecipes") -> None:
    """A few lines about the images, then the recipes."""
    layout, sizes = new.layout, new.layout.sizes
    splits = {
        "train": layout.train,
        "valid": layout.valid,
        "test": layout.test,
        "sample": layout.sample_submission,
    }
    paths = ", ".join(f"{split} {path}" for split, path in splits.items() if path)
    kind = "labels in {} ({}, {})".format(*layout.labels) if layout.labels else "class folders"
    say(f"{layout.root}: {kind}; {paths}")
    say(_image_counts(new))
    (w, h), (a, b), (y, z) = sizes.median, sizes.smallest, sizes.largest
    say(f"sizes: {a}×{b} to {y}×{z} px, median {w}×{h}")
    say(f"balance: {_balance(layout.counts)}")
    for note in layout.notes:
        say(note)
    say(f"please check: {'; '.join(layout.doubts) if layout.doubts else 'nothing so far'}")
    base, *recipes = new.files
    names = ", ".join(file.name for file in recipes)
    say(f"written for this machine ({new.machine}): {base}, {names}")


def _image_counts(new: "NewRecipes") -> str:
    layout = new.layout
    counts = [f"{count(layout.n_train, 'labeled image')} of {len(layout.counts)} classes"]
    for split, n in (("valid", layout.n_valid), ("test", layout.n_test)):
        if n:
            counts.append(count(n, f"{split} image"))
    return ", ".join(counts)


def _balance(counts: dict[str, int]) -> str:
    """The largest and the smallest class, and the accuracy of always predicting the largest."""
    largest, smallest = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    share = percent(counts[largest] / sum(counts.values()), 1)
    if counts[largest] == counts[smallest]:
        return f"{counts[largest]:,} of each class; always predicting {largest}: {share}"
    sizes = f"{largest} {counts[largest]:,}, {smallest} {counts[smallest]:,}"
    return f"{sizes}; always predicting {largest}: {share}"


def show_recipes(recipes: "Sequence[Shipped]") -> None:
    """The recipes that come with ens, and the images that each is about."""
    shown = table("recipes", "name", "what", "images")
    for recipe in recipes:
        images = f"{recipe.path}/" if recipe.path else "come with scikit-learn"
        images += f" (ens data get {recipe.get})" if recipe.get else ""
        shown.add_row(*map(escape, (recipe.name, recipe.description, images)))
    out.print(shown)


def show_datasets(datasets: "Sequence[SetStatus]") -> None:
    """What `ens data get` knows, and what is on this machine."""
    shown = table("sets", "name", "what", "images", "download", "license", "from", "here")
    for dataset in datasets:
        cells = (
            dataset.name,
            dataset.title,
            f"{dataset.n_images:,}",
            f"{dataset.n_bytes / 2**20:.0f} MB",
            dataset.licence,
            dataset.url,
            f"{dataset.here}: {dataset.n_found:,}" if dataset.here else "no",
        )
        shown.add_row(*map(escape, cells))
    kaggle = "https://www.kaggle.com"
    shown.add_row("kaggle:<slug>", "the files of a competition", "", "", "its rules", kaggle, "")
    out.print(shown)
