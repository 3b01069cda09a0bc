"""Put tensors into a network by name: all of them fit, or an error lists those that do not."""

import sys

from torch import nn

from ensemble.errors import TrainingError
from ensemble.learn.sizes import resampling
from ensemble.learn.weights import MODEL, OUR_BODY, State, Weights, stored_weights
from ensemble.runs import StoredRun


def load_named(network: nn.Module, weights: Weights, stem: str | None = None) -> str:
    """Put timm-named weights into a timm network; only a classifier with a different shape stays as it is.

    A shrunk stem also keeps its initial weights where shapes differ. Returns a note for run.json.
    Raises TrainingError listing tensors that are missing, left over or with a different shape.
    """
    assert weights.state is not None  # timm itself reads the hub's files
    expected, state = network.state_dict(), dict(weights.state)
    if stem is not None:
        for name in state.keys() & expected.keys():
            if name.startswith(f"{stem}.") and state[name].shape != expected[name].shape:
                state[name] = expected[name]
    return _load_at_size(network, state, _classifier_names(network), weights.source)


def load_own(network: nn.Module, weights: Weights) -> str:
    """Put the weights of a network with our head into another one; a head with a different shape starts afresh.

    Returns a note for run.json. Raises TrainingError.
    """
    assert weights.state is not None
    names = weights.state.keys() | network.state_dict().keys()
    head = tuple(name for name in names if name.startswith("head."))
    return _load_at_size(network, weights.state, head, weights.source)


def load_exactly(network: nn.Module, run: StoredRun, name: str = MODEL) -> None:
    """Put a run's weights back into its network. Raises RunError, TrainingError, DamagedError."""
    _load(network, stored_weights(run, name), (), str(run.folder / name))


def _load_at_size(network: nn.Module, state: State, head: tuple[str, ...], source: str) -> str:
    """_load; resamples what was trained at another image size (position embeddings) first, as timm does it."""
    expected = network.state_dict()
    common = state.keys() & expected.keys() - set(head)
    if all(state[name].shape == expected[name].shape for name in common):
        return _load(network, state, head, source)
    resampled = _resampled(network, state)
    note = "" if resampled is state else "; resampled to this image size"
    return note + _load(network, resampled, head, source)


def _resampled(network: nn.Module, state: State) -> State:
    """Weights at the network's image size, by the function that timm keeps beside the network's class, if any."""
    prefix = OUR_BODY if any(name.startswith(OUR_BODY) for name in state) else ""
    body = network.get_submodule(prefix.rstrip("."))
    convert = getattr(sys.modules[type(body).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return state
    of_body = {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix)
    }
    try:
        with resampling():
            converted = convert(of_body, body)
    except (AttributeError, KeyError, RuntimeError, ValueError, TypeError, AssertionError):
        return state  # weights of another network: loading them lists what does not fit
    rest = {name: tensor for name, tensor in state.items() if not name.startswith(prefix)}
    return rest | {f"{prefix}{name}": tensor for name, tensor in converted.items()}


def _classifier_names(network: nn.Module) -> tuple[str, ...]:
    names = getattr(network, "default_cfg", {}).get("classifier") or ()
    names = (names,) if isinstance(names, str) else tuple(names)
    return tuple(f"{name}.{tensor}" for name in names for tensor in ("weight", "bias"))


def _load(network: nn.Module, state: State, head: tuple[str, ...], source: str) -> str:
    """Load a state dict whose tensors named in `head` need not fit; all of the head is used, or none of it."""
    expected = network.state_dict()
    fits = all(
        name in state and name in expected and state[name].shape == expected[name].shape
        for name in head
    )
    skipped = set() if fits else set(head)
    tensors = {name: tensor for name, tensor in state.items() if name not in skipped}
    names = {name for name in expected if name not in skipped}
    common = names & tensors.keys()
    problems = {
        "missing": names - tensors.keys(),
        "left over": tensors.keys() - names,
        "with a different shape": {n for n in common if tensors[n].shape != expected[n].shape},
    }
    listed = [
        f"{len(wrong)} {problem}: {', '.join(sorted(wrong)[:4])}"
        for problem, wrong in problems.items()
        if wrong
    ]
    if listed:
        raise TrainingError(
            f"{source}: does not fit this network: {'; '.join(listed)}\n"
            "check model.arch, model.options and data.size"
        )
    network.load_state_dict(tensors, strict=False)
    return "" if fits else "; its classifier is new"
