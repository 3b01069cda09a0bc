"""Everything that needs torch, fastai and timm: from a recipe to trained weights and predictions.

    from ensemble.learn import learner
    learn = learner("recipes/digits_resnet.yaml")   # the plain fastai Learner: show_batch, lr_find, fit, Interpretation
"""

from ensemble.learn.train import learner, trained_learner

__all__ = ["learner", "trained_learner"]
