"""A fit shared by several processes: each takes its part of every batch, through fastai's DistributedTrainer.

Imported only where there are several processes: fastai.distributed needs accelerate, which the extra `gpus` installs.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch
from fastai.torch_core import to_detach
from torch import distributed

from ensemble.learn.device import seed_everything
from ensemble.learn.ranks import GROUP

try:
    from fastai.distributed import DistributedDL, DistributedTrainer
except (
    NameError,
    ImportError,
):  # fastai 2.8.12 without accelerate; `ranks.join` says what to install
    DistributedDL = DistributedTrainer = object


class Shard(DistributedDL):
    """A process's share of a loader: of each training batch so many images, of what is validated every n-th row.

    fastai's own share is a stretch of the whole epoch, so that its batches are other ones than those of one process.
    """

    def __init__(self, dl: Any) -> None:
        whole = dl.bs
        if dl.drop_last:
            dl.bs = whole // GROUP.size
        super().__init__(dl, GROUP.rank, GROUP.size, dl.device)
        self.bs, self.own_bs = whole, dl.bs

    @property
    def rng(self) -> Any:
        """The loader's generator of random orders."""
        return self.dl.rng

    @rng.setter
    def rng(self, generator: Any) -> None:
        self.dl.rng = generator

    def __len__(self) -> int:
        if self.drop_last:
            return self.dl.n // self.bs
        return -(-len(range(GROUP.rank, self.dl.n, GROUP.size)) // self.own_bs)

    def get_idxs(self) -> list[int]:
        """Positions in the loader's dataset."""
        every = iter(self.dl.get_idxs())
        if not self.drop_last:
            return list(every)[GROUP.rank :: GROUP.size]
        start = GROUP.rank * self.own_bs
        return [
            i
            for _ in range(len(self))
            for i in list(islice(every, self.bs))[start : start + self.own_bs]
        ]

    def to_detach(self, b: Any, cpu: bool = True, gather: bool = True) -> Any:
        """Without gathering: what processes share is reduced once."""
        return to_detach(b, cpu, gather=False)

    def give_back(self) -> None:
        """The loader as it was."""
        self.dl.bs = self.bs


class Parallel(DistributedTrainer):
    """A fit on all processes: gradients and losses are means over them, each has random streams of its own.

    Every one sees the same losses and scores, so that all stop, keep and end alike. Batch norm sees its share of a
    batch; fastai's way to more, torch's SyncBatchNorm, would drop the activation in timm's BatchNormAct2d.
    """

    def __init__(self) -> None:
        super().__init__(sync_bn=False, cpu=not torch.cuda.is_available())

    def _wrap_dl(self, dl: Any) -> Any:
        return dl if isinstance(dl, Shard) else Shard(dl)

    def before_epoch(self) -> None:  # noqa: D102
        if GROUP.rank:
            seed_everything(torch.initial_seed(), "rank", GROUP.rank)

    def after_batch(self) -> None:  # noqa: D102
        if self.training:
            self.learn.loss = self.accelerator.reduce(self.learn.loss.detach().clone(), "mean")

    def before_validate(self) -> None:  # noqa: D102
        super().before_validate()
        for buffer in (
            self.learn.model.buffers()
        ):  # each process moved its batch norms' statistics in its last step
            distributed.broadcast(buffer, 0)

    def after_validate(self) -> None:  # noqa: D102
        for score in (self.learn.recorder.loss, *self.learn.metrics):
            sums: Sequence[Any] = [None] * GROUP.size
            distributed.all_gather_object(sums, (float(score.total), score.count))
            score.total, score.count = (sum(column) for column in zip(*sums, strict=True))

    def after_fit(self) -> None:  # noqa: D102
        for loader in self.learn.dls.loaders:
            loader.give_back()
        super().after_fit()
