"""Options that a recipe or a command gives a judge, metric, scorer or model, looked at by the signature of its maker.

One that is None is not given.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from syn2real.errors import UserError, did_you_mean

T = TypeVar("T")
# What an annotation takes, and how it is called: one, and several.
_KINDS: dict[Any, tuple[tuple[type, ...], str, str]] = {
    bool: ((bool,), "true or false", "of true and false"),
    int: ((int,), "a whole number", "of whole numbers"),
    float: ((int, float), "a number", "of numbers"),
    str: ((str,), "a text in quotation marks", "of texts"),
    Path: ((Path,), "a file", "of files"),
}


def made(kind: str, name: str, maker: Callable[..., T], options: Mapping[str, Any]) -> T:
    """What ``maker`` makes of the options, after `require_options`."""
    require_options(kind, name, maker, options)
    try:
        return maker(**_given(options))
    except TypeError as error:  # of one that hands on whatever it is given
        if "unexpected keyword" not in str(error):
            raise
        raise UserError(f"{kind} {name!r} takes no option {str(error).split()[-1]}") from error


def require_options(kind: str, name: str, maker: Callable[..., object], options: Mapping[str, Any]) -> None:
    """Raise `UserError` for an option that the maker of the ``kind`` ("metric") called ``name`` does not take, for one
    that it needs and is not given, and for a value of another kind than the signature says. Of what the signature
    leaves open nothing is said."""
    parameters = inspect.signature(maker).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    known = {key: one for key, one in parameters.items() if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
    given = _given(options)
    for option, value in given.items():
        if option in known:
            annotation = known[option].annotation
            if not _is(value, annotation):
                raise UserError(f"{kind} {name}: {option} is {_in_words(annotation)}, not {value!r}")
        elif not open_ended:
            raise UserError(f"{kind} {name!r} takes no option {option!r}{did_you_mean(option, known)}")
    for option, parameter in known.items():
        if parameter.default is parameter.empty and option not in given:
            raise UserError(f"{kind} {name!r} needs the option {option!r}")


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {option: value for option, value in options.items() if value is not None}


def _is(value: Any, annotation: Any) -> bool:
    """Whether a value is what an annotation says; so is any of one that is none of ours."""
    if get_origin(annotation) in (Union, UnionType):
        return any(_is(value, one) for one in get_args(annotation))
    if annotation is type(None):
        return value is None
    if get_origin(annotation) is Sequence and (of := get_args(annotation)[0]) in _KINDS:
        return isinstance(value, list | tuple) and all(_is(one, of) for one in value)
    if annotation not in _KINDS:
        return True
    # To Python true and false are numbers.
    return isinstance(value, _KINDS[annotation][0]) and (annotation is bool or not isinstance(value, bool))


def _in_words(annotation: Any) -> str:
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(_in_words(one) for one in get_args(annotation) if one is not type(None))
    if get_origin(annotation) is Sequence:
        return f"a list {_KINDS[get_args(annotation)[0]][2]}"
    return _KINDS[annotation][1]
