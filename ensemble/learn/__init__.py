"""Everything that needs torch, fastai and timm: from a recipe to trained weights and predictions.

from ensemble.learn import learner
learn = learner("recipes/digits_resnet.yaml")  # a plain fastai Learner: show_batch, lr_find, fit

Importing this package imports none of the three; calling one of its functions does.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from ensemble.recipe import Recipe
from ensemble.runs import Run
from ensemble.torch_env import prepare_torch

if TYPE_CHECKING:
    from fastai.learner import Learner

__all__ = ["learner", "load_learner"]


def learner(recipe: Recipe | Path | str, seed: int | None = None) -> "Learner":
    """The plain fastai Learner of a recipe: same data, network, loss, optimizer and layer groups as `ens train`.

    seed: the recipe's first one where it is None. Decodes the images on the first call.
    Raises EnsembleError.
    """
    prepare_torch()
    from ensemble.learn.build_learner import learner_of_recipe

    return learner_of_recipe(recipe if isinstance(recipe, Recipe) else Recipe.load(recipe), seed)


def load_learner(run: Run) -> "Learner":
    """The Learner of a finished run, with its trained weights. Raises EnsembleError."""
    prepare_torch()
    from ensemble.learn.build_learner import learner_of_run

    return learner_of_run(run)
