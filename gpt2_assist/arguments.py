"""What programs hand to the calls of api.py: made what a call wants, or refused by a sentence that names it."""
import functools
import inspect
import operator
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, NoReturn, Protocol, TypeVar, get_args, get_origin

from gpt2_assist.errors import UsageError
from gpt2_assist.text.valid import valid

_SESSION = "Session"
"""How the classes of TensorFlow's sessions end, which gpt-2-simple's calls take first."""


_Made = TypeVar("_Made", covariant=True)


class _Call(Protocol[_Made]):
    """A function, which has a name."""

    __name__: str

    def __call__(self, *given: Any, **named: Any) -> _Made: ...


def checked(call: _Call[_Made]) -> Callable[..., _Made]:
    """`call`, with its arguments made what its annotations say.

    None is an argument that isn't given; one text stands for a sequence of one. A session in front is left aside.
    """
    shape = inspect.signature(call)
    first = next(iter(shape.parameters.values()))

    @functools.wraps(call)
    def told(*given: object, **named: Any) -> _Made:
        named.pop("sess", None)
        if given and (type(given[0]).__name__.endswith(_SESSION) or given[0] is None and first.name in named):
            given = given[1:]
        if given:
            _first(call.__name__, first, given[0])
        try:
            bound = shape.bind(*given, **named)
        except TypeError as error:
            raise UsageError(f"{call.__name__}: {error}.") from None
        for name, value in bound.arguments.items():
            wanted = shape.parameters[name]
            if wanted.kind is not wanted.VAR_KEYWORD:
                bound.arguments[name] = meant(name, value, wanted.annotation, wanted.default)
        return call(*bound.args, **bound.kwargs)
    return told


def _first(call: str, wanted: inspect.Parameter, value: object) -> None:
    try:
        meant(wanted.name, value, wanted.annotation, wanted.default)
    except UsageError as error:
        raise UsageError(f"{str(error).rstrip('.')}; {call} needs no session.") from None


def meant(name: str, value: object, kind: Any, default: object = inspect.Parameter.empty) -> Any:
    """`value` as a `kind` of Python's own. Raises UsageError."""
    if value is None and default is not inspect.Parameter.empty:
        return default
    try:
        return _as_one_of(_kinds(kind), value)
    except TypeError:
        words = " or ".join(dict.fromkeys(_WORDS[get_origin(one) or one] for one in _kinds(kind)))
        raise UsageError(f"{name} must be {words}, not {_short(value)}.") from None


def _kinds(kind: Any) -> list:
    return [one for one in (get_args(kind) if get_origin(kind) is UnionType else (kind,)) if one is not type(None)]


def _as_one_of(kinds: list, value: Any) -> Any:
    for kind in kinds:
        try:
            origin = get_origin(kind) or kind
            return _several(value, get_args(kind)[0]) if origin in (Sequence, tuple) else _MADE[origin](value)
        except (TypeError, ValueError, AttributeError):
            pass
    raise TypeError


def _text(value: Any) -> str:
    return valid(str(value)) if isinstance(value, str) else _no()


def _path(value: Any) -> Path:
    return Path(os.fsdecode(value)) if isinstance(value, (str, os.PathLike)) else _no()


def _whole(value: Any) -> int:
    return operator.index(value) if not isinstance(value, bool) else _no()


def _number(value: Any) -> float:
    return float(value) if not isinstance(value, (bool, str, bytes)) else _no()


def _flag(value: Any) -> bool:
    return bool(value) if bool(value == True) or bool(value == False) else _no()  # noqa: E712 numpy's too


def _list(value: Any) -> list:
    plain = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(plain, (list, tuple)):
        _no()
    return [_list(one) if isinstance(one, (list, tuple)) else one.tolist() if hasattr(one, "tolist") else one
            for one in plain]


def _called(value: Any) -> Callable:
    return value if callable(value) else _no()


def _several(value: Any, kind: Any) -> tuple:
    if isinstance(value, (str, os.PathLike)):
        value = (value,)
    if isinstance(value, (bytes, Mapping)):
        _no()
    return tuple(_as_one_of(_kinds(kind), entry) for entry in value)


def _no() -> NoReturn:
    raise TypeError


_MADE = {str: _text, Path: _path, int: _whole, float: _number, bool: _flag, list: _list, Callable: _called}
_WORDS = {str: "a text", Path: "a path", int: "a whole number", float: "a number", bool: "True or False",
          list: "a list", Sequence: "a text or several", tuple: "a text or several",
          Callable: "something that can be called"}


def _short(value: object) -> str:
    shown = " ".join(repr(value).split())
    return shown if len(shown) <= 60 else shown[:59] + "…"
