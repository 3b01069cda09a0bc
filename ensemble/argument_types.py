"""The types that a function's annotations state, checked when Python code calls it."""

import types
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from inspect import Parameter, signature
from typing import Any, ParamSpec, TypeVar, get_args, get_origin

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError

from ensemble.errors import EnsembleError

Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")
_STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True)  # "no" is no truth value


def types_checked(function: Callable[Arguments, Returned]) -> Callable[Arguments, Returned]:
    """The same function, which refuses arguments of another type by an EnsembleError.

    Annotations in quotes, those of *args, and iterators, which end by being read, are left alone.
    """
    call = signature(function)
    annotations = {
        name: parameter.annotation
        for name, parameter in call.parameters.items()
        if parameter.kind != Parameter.VAR_POSITIONAL and not isinstance(parameter.annotation, str)
    }
    adapters = {name: TypeAdapter(kind, config=_STRICT) for name, kind in annotations.items()}

    @wraps(function)
    def checked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Returned:
        given = call.bind(*args, **kwargs).arguments
        for name in given.keys() & adapters.keys():
            value = given[name]
            if isinstance(value, Iterator):
                continue
            try:
                adapters[name].validate_python(
                    value.item() if isinstance(value, np.generic) else value
                )
            except ValidationError:
                raise EnsembleError(
                    f"ensemble.{function.__name__}: {name}: {type(value).__name__} is given\n"
                    f"{name} takes {_in_words(annotations[name])}"
                ) from None
        return function(*args, **kwargs)

    return checked


def _in_words(annotation: Any) -> str:
    """An annotation as `Path, str, a list of str`."""
    if isinstance(annotation, types.UnionType):
        return ", ".join(map(_in_words, get_args(annotation)))
    if get_origin(annotation) is Sequence:
        return f"a list of {_in_words(get_args(annotation)[0])}"
    if get_origin(annotation) is Callable:
        return "a function"
    return "None" if annotation is types.NoneType else str(annotation.__name__)
