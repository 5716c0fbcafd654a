"""What the type of an option says to those who use it: whether a value fits, and what was expected, in words."""

import re
import types
from collections.abc import Callable, Generator, Iterator
from functools import wraps
from inspect import signature
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from gram_reasoning.errors import UserError, check

P = ParamSpec("P")
Result = TypeVar("Result")
WORDS = {int: "a whole number", float: "a number", bool: "True or False", Path: "the name of a file", str: "a word"}


def kinds_of(hint: Any) -> tuple[Any, ...]:
    """The types of a union; of any other type itself."""
    return get_args(hint) if get_origin(hint) in (types.UnionType, Union) else (hint,)


def in_words(hint: Any) -> str:
    """What a value of this type is; None is never asked for."""
    return " or ".join(
        f"one of {', '.join(map(str, get_args(kind)))}"
        if get_origin(kind) is Literal
        else WORDS.get(kind, "another value")
        for kind in kinds_of(hint)
        if kind is not types.NoneType
    )


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type; numbers of numpy are numbers, truth values are none."""
    for kind in kinds_of(hint):
        if get_origin(kind) is Literal:
            if isinstance(value, str) and value in get_args(kind):
                return True
        elif kind in (int, float):
            if isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool):
                return True
        elif isinstance(value, kind):
            return True
    return False


def in_python(error: UserError) -> UserError:
    """The same error, with the option of the command line that it begins with as Python writes it."""
    return type(error)(re.sub(r"^--([a-z-]+)", lambda name: name[1].replace("-", "_"), str(error)))


def _told(items: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from items
    except UserError as error:
        raise in_python(error) from error


def is_plain(hint: Any) -> bool:
    """Whether a type is made of those that have words, and can so be checked."""
    return all(kind in WORDS or kind is types.NoneType or get_origin(kind) is Literal for kind in kinds_of(hint))


def number_of(value: Any) -> Any:
    """A number of numpy or a fraction as one of Python; anything else as it is."""
    if isinstance(value, bool | int | float) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def typed(function: Callable[P, Result]) -> Callable[P, Result]:
    """A function of Python's interface: an argument of a type that it does not take is a UserError before it begins.

    What it raises as a UserError itself, also while it yields, names options as Python does.
    """
    parameters = signature(function)
    hints: dict[str, Any] = {}

    @wraps(function)
    def checked(*args: P.args, **given: P.kwargs) -> Result:
        if not hints:  # only now, when all names in annotations are known
            every = get_type_hints(function)
            hints.update({name: hint for name, hint in every.items() if name != "return" and is_plain(hint)})
        bound = parameters.bind(*args, **given)
        for name in hints.keys() & bound.arguments.keys():
            value = bound.arguments[name]
            check(fits(value, hints[name]), name, value, in_words(hints[name]))
            bound.arguments[name] = number_of(value)
        try:
            result: Any = function(*bound.args, **bound.kwargs)
        except UserError as error:
            raise in_python(error) from error
        found: Any = _told(result) if isinstance(result, Generator) else result
        return found

    return checked
