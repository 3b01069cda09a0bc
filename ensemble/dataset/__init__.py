"""Which images, which labels, which split, and their decoded pixels. No torch here."""

from ensemble.dataset.load import DataSet, load
from ensemble.dataset.tables import Images

__all__ = ["DataSet", "Images", "load"]
