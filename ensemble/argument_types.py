"""The types that a function's annotations state, checked when Python code calls it."""

import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from inspect import Parameter, signature
from numbers import Integral, Real
from typing import Any, ParamSpec, TypeVar, get_args, get_origin

import numpy as np

from ensemble.errors import EnsembleError

Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")
# numpy's numbers are as good as Python's
_ACCEPTED: dict[type, tuple[type, ...]] = {
    bool: (bool, np.bool_),
    int: (Integral,),
    float: (Real,),
}


def types_checked(function: Callable[Arguments, Returned]) -> Callable[Arguments, Returned]:
    """The same function, which refuses keyword arguments of another type by an EnsembleError.

    It checks plain types, sequences and their unions; what is annotated otherwise is left alone.
    """
    parameters = {
        name: allowed
        for name, parameter in signature(function).parameters.items()
        if parameter.kind != Parameter.VAR_POSITIONAL
        and (allowed := _allowed(parameter.annotation))
    }

    @wraps(function)
    def checked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Returned:
        given = _given(function, args, kwargs)
        for name in given.keys() & parameters.keys():
            if not any(_is_of(given[name], kind) for kind in parameters[name]):
                names = ", ".join(_name(kind) for kind in parameters[name])
                raise EnsembleError(
                    f"ensemble.{function.__name__}: {name}: {type(given[name]).__name__} is given\n"
                    f"{name} takes {names}"
                )
        return function(*args, **kwargs)

    return checked


def _given(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The arguments by name. Raises TypeError, as Python does, where they do not fit."""
    return dict(signature(function).bind(*args, **kwargs).arguments)


def _allowed(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, or the type alone; empty where one is no type."""
    kinds = get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    is_plain = all(isinstance(kind, type) or get_origin(kind) is Sequence for kind in kinds)
    return kinds if is_plain and Parameter.empty not in kinds else ()


def _is_of(value: Any, kind: Any) -> bool:
    """Whether a value is of a type; a number is no truth value, and a text no sequence."""
    if get_origin(kind) is Sequence:
        return _lists(value, _allowed(get_args(kind)[0]))
    if kind in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, _ACCEPTED.get(kind, (kind,)))


def _lists(value: Any, kinds: tuple[Any, ...]) -> bool:
    """Whether a value lists values of these types; an iterator, which ends by it, is not read."""
    if not isinstance(value, Iterable) or isinstance(value, str | bytes):
        return False
    if isinstance(value, Iterator):
        return True
    return all(any(_is_of(member, kind) for kind in kinds) for member in value)


def _name(kind: Any) -> str:
    if get_origin(kind) is Sequence:
        return f"a list of {', '.join(map(_name, _allowed(get_args(kind)[0])))}"
    return "None" if kind is type(None) else str(kind.__name__)
