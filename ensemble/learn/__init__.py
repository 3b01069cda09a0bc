"""Everything that needs torch, fastai and timm: from a recipe to trained weights and predictions.

from ensemble.learn import learner
learn = learner("recipes/digits_resnet.yaml")   # the plain fastai Learner: show_batch, lr_find, fit, Interpretation
"""

import warnings

with warnings.catch_warnings():
    # torch 2.15 warns about torch.jit while timm and fastai are imported; users can do nothing about it
    warnings.filterwarnings("ignore", message=".*torch.jit", category=Warning)
    from ensemble.learn.build_learner import learner, trained_learner

__all__ = ["learner", "trained_learner"]
