"""Memory that a process keeps between steps, and what it returns."""

import subprocess
import sys

import pytest
import torch
from fastai.learner import Learner

from ensemble.learn import callbacks
from ensemble.learn.callbacks import ReturnMemory

HOLES = """
import psutil, torch
from ensemble.memory import keep_activations, return_free_memory
def held(): return psutil.Process().memory_info().rss / 2**20
keep_activations()
blocks = [torch.ones(2**18) for _ in range(400)]
del blocks[::2]
before = held()
return_free_memory()
print(before - held(), sum(float(block.sum()) for block in blocks) == 200 * 2**18)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc keeps memory in its own way")
def test_memory_between_living_tensors_is_returned():
    run = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True)
    returned, is_whole = run.stdout.split()
    assert float(returned) > 150  # of 200 MiB
    assert is_whole == "True"


def test_memory_is_returned_every_hundred_steps_of_training_alone(monkeypatch):
    calls = []
    monkeypatch.setattr(callbacks, "return_free_memory", lambda: calls.append(learn.train_iter))
    dls = _loaders(torch.rand(60, 2))
    learn = Learner(
        dls,
        torch.nn.Linear(2, 2),
        loss_func=torch.nn.CrossEntropyLoss(),
        cbs=[ReturnMemory()],
    )
    learn.logger = callbacks.nothing
    learn.fit(4)
    assert calls == [100, 200]


def _loaders(x):
    from fastai.data.core import DataLoaders

    rows = list(zip(x, torch.zeros(len(x), dtype=torch.long), strict=True))
    return DataLoaders.from_dsets(rows, rows, bs=1, device=torch.device("cpu"))
