"""A new data set and the recipes written for it; the recipes and data sets that ens knows."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensemble.display.text import count, escape, out, percent, say, table

if TYPE_CHECKING:
    from ensemble.blending.label_errors import LabelError
    from ensemble.dataset.known_sets import SetStatus
    from ensemble.init import NewRecipes
    from ensemble.layout.understanding import Understanding
    from ensemble.recipe.describe import Key
    from ensemble.recipe.shipped import Shipped

MAX_ERRORS = 20  # likely wrong labels in the terminal


def show_start(new: "NewRecipes") -> None:
    """A few lines about the images, then the recipes."""
    show_understanding(new.understanding)
    names = ", ".join(file.name for file in new.files)
    say(f"written for this machine ({new.machine}): {names}")


def show_understanding(understood: "Understanding") -> None:
    """What the images are and why, what to check, and the questions that are open."""
    labeling = understood.labeling
    evidence = f" ({labeling.evidence})" if labeling.evidence else ""
    say(f"{understood.root}: labels from {labeling}{evidence}; {_splits(understood)}")
    say(_image_counts(understood))
    (w, h), (a, b), (y, z) = (
        understood.sizes.median,
        understood.sizes.smallest,
        understood.sizes.largest,
    )
    say(f"sizes: {a}×{b} to {y}×{z} px, median {w}×{h}")
    if understood.labeling.target == "class":
        say(f"balance: {_balance(understood.counts)}")
    say(f"submission: {_cells(understood)}")
    for note in understood.notes:
        say(note)
    for group in understood.groups:
        is_used = group is understood.used_group
        state = "images of one stay together" if is_used else "offered as data.group, not used"
        say(f"groups: {group.source} ({group.n_groups:,}); {state}")
    say(f"please check: {'; '.join(understood.doubts) if understood.doubts else 'nothing so far'}")
    for question in understood.questions:
        say(f"question: {question}")


def _splits(understood: "Understanding") -> str:
    """The folders and tables of the splits."""
    parts = [f"train {understood.labeling.folder.name}"]
    if understood.valid is not None:
        parts.append(f"valid {understood.valid.name}")
    if understood.splits:
        parts.append(f"splits by {understood.splits.column or 'folders and tables'}")
    test = understood.test
    if test is not None:
        listed = f" (by {test.table.file})" if test.table else ""
        parts.append(f"test {test.folder.name}{listed}")
    if understood.sample is not None:
        parts.append(f"sample {understood.sample.file}")
    return ", ".join(parts)


def _cells(understood: "Understanding") -> str:
    """What a cell of the submission says, and what the score is."""
    cells = understood.cells
    default = " (the default; --metric NAME)" if cells.is_default else ""
    if cells.answer is None:
        return f"scored by {cells.metric}{default}"
    positive = f" of {cells.positive}" if cells.positive else ""
    return f"{cells.answer}{positive}, scored by {cells.metric}{default}"


def _image_counts(understood: "Understanding") -> str:
    labeling = understood.labeling
    names = {"class": "classes", "labels": "labels", "number": "numbers"}[labeling.target]
    n_names = len(labeling.label_names)
    kinds = f" of {n_names} {names}" if n_names else f" with {names}"
    counts = [f"{count(understood.n_train, 'labeled image')}{kinds}"]
    for split, n in (("valid", understood.n_valid), ("test", understood.n_test)):
        if n:
            counts.append(count(n, f"{split} image"))
    test = understood.test
    if test is not None and test.is_averaged:
        counts.append(f"averaged in {count(test.n_rows, 'row')} of the sample")
    return ", ".join(counts)


def init_json(understood: "Understanding", files: "Sequence[Path]") -> dict[str, Any]:
    """What `ens init` understood, as one JSON object; files are the recipes."""
    return {
        "target": understood.labeling.target,
        "classes": len(understood.labeling.label_names),
        "labelled": understood.n_train + understood.n_valid,
        "valid": understood.n_valid,
        "test": understood.n_test,
        "answer": understood.cells.answer,
        "positive": understood.cells.positive,
        "metric": understood.cells.metric,
        "groups": [group.column for group in understood.groups],
        "questions": [
            {
                "question": question.text,
                "choices": [
                    {"option": option, "meaning": meaning} for option, meaning in question.choices
                ],
            }
            for question in understood.questions
        ],
        "recipes": [str(file) for file in files],
        "doubts": list(understood.doubts),
        "notes": list(understood.notes),
    }


def _balance(counts: Mapping[str, int]) -> str:
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


def show_keys(keys: "Sequence[Key]") -> None:
    """Every key of a recipe, one row each."""
    shown = table("keys of a recipe", "key", "type", "default", "meaning")
    for key in keys:
        is_below = isinstance(key.default, dict) and key.default
        default = "" if is_below else json.dumps(key.default)
        cells = (key.key, key.type, "required" if key.required else default, key.meaning)
        shown.add_row(*map(escape, cells))
    out.print(shown)


def show_label_errors(name: str, errors: "Sequence[LabelError]", n_rows: int) -> None:
    """The likeliest wrong labels, with the class that is more likely."""
    if not errors:
        say(f"{name}: no label of {n_rows:,} images is likely wrong")
        return
    shown = table(f"{name}: {len(errors):,} of {n_rows:,} labels are likely wrong", "image")
    for column in ("label", "more likely"):
        shown.add_column(column)
    shown.add_column("confidence", justify="right")
    for error in errors[:MAX_ERRORS]:
        label = f"{escape(error.label)} {percent(error.prob_of_label, 0)}"
        new_label = f"{escape(error.new_label)} {percent(error.prob_of_new_label, 0)}"
        shown.add_row(escape(error.id), label, new_label, f"{error.confidence:.2f}")
    out.print(shown)
    if len(errors) > MAX_ERRORS:
        say(f"and {len(errors) - MAX_ERRORS:,} more")
