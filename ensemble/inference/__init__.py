"""Predict any images with a stored run or a blend, block by block, in constant memory."""

from ensemble.inference.predictor import Predictor
from ensemble.inference.write import Predicted, predict

__all__ = ["Predicted", "Predictor", "predict"]
