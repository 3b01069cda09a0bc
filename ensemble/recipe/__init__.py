"""A recipe: everything that decides what a run computes, one frozen value read from YAML."""

from ensemble.recipe.data import (
    AUGMENT_PRESETS,
    Augment,
    ColumnSplit,
    Data,
    Folds,
    IdPattern,
    LabelColumns,
    LabelsFile,
    LabelsPattern,
    TableColumn,
    TestTable,
)
from ensemble.recipe.fit import EarlyStop, Find, Fit, Pseudo
from ensemble.recipe.model import Head, Model
from ensemble.recipe.recipe import Recipe, Resources

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
    "IdPattern",
    "LabelColumns",
    "LabelsFile",
    "LabelsPattern",
    "Model",
    "Pseudo",
    "Recipe",
    "Resources",
    "TableColumn",
    "TestTable",
]
