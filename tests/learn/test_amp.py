"""Mixed precision ends with its batch, also where the batch ends in an error."""

import pytest
import torch

from ensemble.learn import learner
from ensemble.learn.amp import Amp, autocast, clean_on_error
from ensemble.learn.micro_batch import is_out_of_memory


class FailsAt(torch.nn.Module):
    """Passes images on until its n-th pass, which fails as a full GPU does."""

    def __init__(self, n_passes, error):
        super().__init__()
        self.n_passes, self.error, self.dtype = n_passes, error, None

    def forward(self, x):
        self.n_passes -= 1
        self.dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
        if self.n_passes == 0:
            raise self.error
        return x


@pytest.fixture
def failing(recipe_of):
    """failing(error): a bf16 Learner whose second forward pass fails, and the layer that fails."""

    def failing(error):
        learn = learner(recipe_of())
        layer = FailsAt(2, error)
        learn.model = torch.nn.Sequential(learn.model, layer)
        learn.splitter = lambda network: [list(network.parameters())]
        learn.add_cb(Amp("bf16"))
        learn.create_opt()
        return learn, layer

    return failing


@pytest.mark.filterwarnings("ignore:CUDA is not available:UserWarning")
@pytest.mark.filterwarnings("ignore:.*GradScaler.*:UserWarning")
@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("CUDNN_STATUS_EXECUTION_FAILED")],
)
def test_an_error_in_the_forward_pass_leaves_no_autocast_and_no_gradients(error, failing):
    learn, layer = failing(error)
    with pytest.raises(type(error)), clean_on_error(learn), learn.no_bar(), learn.no_logging():
        learn.fit(1)
    assert layer.dtype == torch.bfloat16, "the pass that failed was in half precision"
    assert not torch.is_autocast_enabled("cpu")
    assert all(weight.grad is None for weight in learn.model.parameters())
    assert learn.pred is None
    assert learn.loss_grad is None
    weights = torch.nn.Linear(4, 4)
    assert weights(torch.ones(1, 4)).dtype == torch.float32


@pytest.mark.filterwarnings("ignore:CUDA is not available:UserWarning")
@pytest.mark.filterwarnings("ignore:.*GradScaler.*:UserWarning")
def test_weights_that_change_after_the_error_are_the_ones_that_predict(failing):
    learn, layer = failing(RuntimeError("out of memory"))
    with pytest.raises(RuntimeError), clean_on_error(learn), learn.no_bar(), learn.no_logging():
        learn.fit(1)
    linear = learn.model[0].get_classifier()
    x = torch.ones(2, linear.in_features)
    with torch.no_grad():
        linear.weight.fill_(2.0)
        linear.bias.zero_()
    with torch.no_grad(), autocast("bf16", x.device):
        predicted = linear(x)
    assert torch.equal(
        predicted.float(), torch.full_like(predicted, 2.0 * linear.in_features).float()
    )


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (
            RuntimeError(
                "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
            ),
            True,
        ),
        (
            RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
            False,
        ),  # no GPU here, so none that is full
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied (4x8 and 9x2)"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_is_recognized_in_every_librarys_words(error, is_memory):
    assert is_out_of_memory(error) is is_memory
