"""JSON to typed values and back, by the annotations of dataclasses.

A field of an answer that is not known is passed over, so that an older package understands a newer daemon; one that is
missing or has another type is a `ProtocolError` that names it. The classes register the schema of the API's document
that they stand for: the tests compare them with it.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar

from .errors import ProtocolError

T = TypeVar("T")

_ABSENT = object()

ANSWERS: dict[type, str] = {}
"""Classes of answers, and the schemas that they stand for."""

REQUESTS: dict[type, str] = {}
"""Classes of request bodies, and the schemas that they stand for."""


def answer(schema: str) -> Callable[[type[T]], type[T]]:
    """Registers the class of an answer."""

    def register(cls: type[T]) -> type[T]:
        ANSWERS[cls] = schema
        return cls

    return register


def request(schema: str) -> Callable[[type[T]], type[T]]:
    """Registers the class of a request body."""

    def register(cls: type[T]) -> type[T]:
        REQUESTS[cls] = schema
        return cls

    return register


def decode(kind: Any, value: Any, at: str = "answer") -> Any:
    """`value` as `kind`: a dataclass, `list[…]`, `dict[str, …]`, `… | None`, `str`, `int`, `float`, `bool` or `Any`."""
    if kind is Any:
        return value
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        inner = [one for one in typing.get_args(kind) if one is not type(None)]
        # Of several, text is text and the other one an object.
        fits = [one for one in inner if (one is str) == isinstance(value, str)] or inner
        return decode(fits[0], value, at)
    if origin is list:
        (item,) = typing.get_args(kind)
        if not isinstance(value, list):
            raise ProtocolError(f"{at} is no list")
        return [decode(item, one, at) for one in value]
    if origin is dict:
        item = typing.get_args(kind)[1]
        if not isinstance(value, dict):
            raise ProtocolError(f"{at} is no object")
        return {str(key): decode(item, one, at) for key, one in value.items()}
    if dataclasses.is_dataclass(kind):
        return _decode_class(typing.cast("type[Any]", kind), value, at)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ProtocolError(f"{at} is not of the type {kind.__name__}")
    return value


def _decode_class(kind: type[Any], value: Any, at: str) -> Any:
    if not isinstance(value, dict):
        raise ProtocolError(f"{at} is no object")
    values: dict[str, Any] = {}
    for name, annotation, has_default in fields_of(kind):
        told = value.get(wire_name(name), _ABSENT)
        if told is not _ABSENT and not (told is None and has_default):
            values[name] = decode(annotation, told, f"{at}.{name}")
        elif not has_default:
            raise ProtocolError(f"{at} has no {name}")
    return kind(**values)


_FIELDS: dict[type, list[tuple[str, Any, bool]]] = {}


def fields_of(kind: type[Any]) -> list[tuple[str, Any, bool]]:
    """Names, annotations and whether there is a default, of a dataclass."""
    if kind not in _FIELDS:
        _FIELDS[kind] = _look(kind)
    return _FIELDS[kind]


def _look(kind: type[Any]) -> list[tuple[str, Any, bool]]:
    hints = typing.get_type_hints(kind)
    missing = dataclasses.MISSING
    return [
        (one.name, hints[one.name], one.default is not missing or one.default_factory is not missing)
        for one in dataclasses.fields(kind)
    ]


def encode(value: Any) -> dict[str, Any]:
    """A request body without the fields that are `None`, which mean "not said"."""
    return {wire_name(name): _plain(one) for name, one in _items(value) if one is not None}


def wire_name(name: str) -> str:
    """The name of a field in JSON: Python's own words have an underscore behind them."""
    return name.removesuffix("_")


def _items(value: Any) -> list[tuple[str, Any]]:
    return [(one.name, getattr(value, one.name)) for one in dataclasses.fields(value)]


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return encode(value)
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value
