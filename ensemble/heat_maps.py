"""What the networks of a finished run see of its validation images, and where they look."""

from pathlib import Path

import numpy as np
from PIL import Image

from ensemble.dataset.decode import read_image
from ensemble.predictions import Array
from ensemble.runs import Run


class RunHeatMaps:
    """Grad-CAM by the networks of a run; with folds by the one that did not train on the image.

    Raises RunError where the run stored no weights, DamagedError.
    """

    def __init__(self, run: Run) -> None:
        from ensemble.learn.stored import stored_network

        self.networks = [stored_network(fold) for fold in run.folds]
        self.fold_of = {
            image_id: fold
            for fold, part in enumerate(run.folds)
            for image_id in part.valid().ids.tolist()
        }

    def __call__(
        self, image_id: str, file: Path, content: bytes, class_name: str
    ) -> tuple[Array, Array | None]:
        """(size, size, 3) uint8 pixels, and (size, size) from 0 to 1, how much they speak for the class.

        content holds the bytes of the file. The map is None where nothing speaks for the class.
        Raises UnreadableImage, DataError.
        """
        from ensemble.learn.heat_map import heat_map

        network = self.networks[self.fold_of[image_id]]
        reader = network.input_format
        image = read_image(file, reader.geometry.least_side, reader.ranges, content)
        pixels = reader.pixels_of(image)
        seen = reader.geometry.apply(Image.fromarray(pixels))
        return np.asarray(seen), heat_map(network, pixels, class_name)
