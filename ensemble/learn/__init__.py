"""Everything that needs torch, fastai and timm: from a recipe to trained weights and predictions.

from ensemble.learn import learner
learn = learner("recipes/digits_resnet.yaml")   # the plain fastai Learner: show_batch, lr_find, fit, Interpretation
"""

import os
import warnings

# Threads that wait by spinning made training 2.8 times slower on busy cores and hardly faster on quiet ones
# (docs/log.md). The OpenMP library reads this when torch loads it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

with warnings.catch_warnings():
    # torch 2.15 warns about torch.jit while timm and fastai are imported; users can do nothing about it
    warnings.filterwarnings("ignore", message=".*torch.jit", category=Warning)
    from ensemble.learn.build_learner import learner, trained_learner

__all__ = ["learner", "trained_learner"]
