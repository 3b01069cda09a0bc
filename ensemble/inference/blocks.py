"""Blocks of images: decoded while the block before them is predicted by networks in memory."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ensemble.blending.mixture import Answered
from ensemble.dataset.decode import UnreadableImage, decode_image
from ensemble.inference.predictor import Predictor
from ensemble.predictions import Array, Predictions, aligned
from ensemble.runs import GradedRun

if TYPE_CHECKING:
    from ensemble.learn.stored import InputFormat, StoredNetwork

    Decoded = (
        dict[InputFormat, Array] | UnreadableImage
    )  # an image's pixels, as each reader makes them

BLOCK = 256  # images decoded at a time, while the block before them is predicted


class Blocks:
    """Decodes and predicts blocks of images.

    networks are by run id, one for each fold, of a refit a single one; unscaled: files whose bit
    depth no training image had. Raises RunError, DamagedError, TrainingError.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.mixture, self.runs = predictor.mixture, predictor.runs
        self.references = predictor.mixture.references(predictor.runs)
        self.networks = _networks_of(predictor)
        self.readers = {
            network.input_format for member in self.networks.values() for network in member
        }
        self.decodings = {(reader.geometry.least_side, reader.ranges) for reader in self.readers}
        self.unscaled: set[str] = set()

    @property
    def n_networks(self) -> int:
        """The networks of all members and folds."""
        return sum(map(len, self.networks.values()))

    def decoded(self, files: Sequence[str]) -> "Iterator[list[Decoded]]":
        """The images as each reader decodes them, by block; the next block is decoded meanwhile."""
        remaining = iter(files)
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            ahead = pool.map(self._decode, islice(remaining, BLOCK))
            while block := list(ahead):
                ahead = pool.map(self._decode, islice(remaining, BLOCK))
                yield block

    def decoded_rows(self, files: Sequence[str], rows: Sequence[str]) -> "Iterator[list[Decoded]]":
        """The same in blocks that part no row; rows has the row of each image, row after row."""
        images = chain.from_iterable(self.decoded(files))
        block: list[Decoded] = []
        for n_images in Counter(rows).values():
            block += islice(images, n_images)
            if len(block) >= BLOCK:
                yield block
                block = []
        if block:
            yield block

    def _decode(self, file: str) -> "Decoded":
        """One image as each reader needs it, decoded once per least side and ranges."""
        images = {}
        try:
            for least_side, ranges in self.decodings:
                decoded = decode_image(Path(file), least_side, ranges)
                images[least_side, ranges] = decoded.image
                if not ranges.covers(decoded.mode):
                    self.unscaled.add(file)
        except UnreadableImage as error:
            return error
        return {
            reader: reader.pixels_of(images[reader.geometry.least_side, reader.ranges])
            for reader in self.readers
        }

    def answered(self, ids: Array, decoded: "Sequence[Decoded]") -> Answered:
        """The predictions and answers of one block, in the order of its ids.

        An id of several images has the mean of their predictions.
        """
        members = {run_id: partial(self.member, run_id, ids, decoded) for run_id in self.networks}
        answered = self.mixture.of(members, self.references)
        mixed, in_order = answered.predictions, np.array(list(dict.fromkeys(ids.tolist())))
        rows = np.argsort(np.argsort(in_order))  # members are aligned by sorted ids
        ordered = replace(mixed, ids=in_order, probs=mixed.probs[rows], is_checked=True)
        return Answered(ordered, answered.answers[rows])

    def member(self, run_id: str, ids: Array, decoded: "Sequence[Decoded]") -> Predictions:
        """The mean of a member's folds, as expected grades where it predicts those of classes."""
        is_read = np.array([not isinstance(image, UnreadableImage) for image in decoded])
        images = np.arange(len(ids)).astype(str)

        def of_fold(network: "StoredNetwork") -> Predictions:
            pixels = [
                None if isinstance(image, UnreadableImage) else image[network.input_format]
                for image in decoded
            ]
            probs, target = network.probabilities(pixels), network.outputs.target
            by_image = Predictions(images, network.classes, probs, None, ids, target)
            return by_image.by_group(is_read)

        networks = enumerate(self.networks[run_id])
        folds = list(aligned({str(i): partial(of_fold, network) for i, network in networks}))
        probs = np.mean([fold.probs for fold in folds], axis=0)
        mean, run = replace(folds[0], probs=probs, is_checked=True), self.runs[run_id]
        return run.graded(mean) if isinstance(run, GradedRun) else mean


def _networks_of(predictor: Predictor) -> "dict[str, list[StoredNetwork]]":
    from ensemble.learn.stored import stored_network

    of_refits = predictor.mixture.of_refits
    return {
        run_id: [
            stored_network(fold, of_refits) for fold in (run.folds[:1] if of_refits else run.folds)
        ]
        for run_id, run in predictor.runs.items()
    }
