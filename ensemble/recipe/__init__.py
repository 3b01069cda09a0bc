"""A recipe: everything that decides what a training run computes, as one frozen value read from YAML."""

from ensemble.recipe.sections import (
    AUGMENT_PRESETS,
    Augment,
    ColumnSplit,
    Data,
    EarlyStop,
    Find,
    Fit,
    Folds,
    Head,
    LabelsFile,
    Model,
    Recipe,
    Resources,
)

__all__ = [
    "AUGMENT_PRESETS",
    "Augment",
    "ColumnSplit",
    "Data",
    "EarlyStop",
    "Find",
    "Fit",
    "Folds",
    "Head",
    "LabelsFile",
    "Model",
    "Recipe",
    "Resources",
]
