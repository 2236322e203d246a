"""The one door for input: whatever is not what a function needs is refused here, in a sentence.

A wrong kind is a TypeError, a wrong value or shape a ValueError, a class or a position outside its range an IndexError.
Every sentence says what was expected, what came and where it stood. An integer is an int or a NumPy integer and a
number any real one; `True` and a tensor of one number are neither. Each function returns what it was given.

>>> cup = integer("a", "cup")
Traceback (most recent call last):
TypeError: cup must be an int, got 'a' (str)
"""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

__all__ = ["FLOATS", "choice", "indices", "instance", "integer", "number", "readable", "tensor", "vector"]

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
LOWEST, HIGHEST = -(2**63), 2**63 - 1  # of an int64
KINDS = {"floating-point": FLOATS, "integer": INTEGERS, "int64": (torch.int64,)}


def instance(value: Any, name: str, kinds: Any, what: str) -> Any:
    """`value`, if it is one of `kinds`, as `isinstance` takes them; `what` says in words what they are.

    >>> instance(1, "keepdim", bool, "True or False")
    Traceback (most recent call last):
    TypeError: keepdim must be True or False, got 1 (int)
    """
    if not isinstance(value, kinds):
        raise TypeError(f"{name} must be {what}, got {shown(value)}")
    return value


def integer(value: Any, name: str, low: float = LOWEST, high: float = HIGHEST, meaning: str = "") -> int:
    """`value` as an int of at least `low` and at most `high`, by default of 64 bits; `meaning` says what they are.

    >>> integer(9, "prompt_length", 0, 4, "the tokens of its sequence")
    Traceback (most recent call last):
    ValueError: prompt_length must lie in [0, 4], the tokens of its sequence, got 9
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, got {shown(value)}")
    _check_range(value, name, low, high, meaning)
    return int(value)


def number(value: Any, name: str, low: float = -math.inf, high: float = math.inf) -> float:
    """`value` as a finite float of at least `low` and at most `high`.

    >>> number(float("nan"), "coefficient")
    Traceback (most recent call last):
    ValueError: coefficient must be finite, got nan
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {shown(value)}")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise ValueError(f"{name} must be finite, got {_short(value)}")
    _check_range(value, name, low, high)
    return found


def choice(value: Any, name: str, choices: Sequence[str]) -> str:
    """`value`, if it is one of the strings in `choices`.

    >>> choice("sum", "rule", ("token_mean", "mean_of_means"))
    Traceback (most recent call last):
    ValueError: rule must be "token_mean" or "mean_of_means", got 'sum'
    """
    *others, last = (f'"{one}"' for one in choices)
    words = f"{', '.join(others)} or {last}"
    instance(value, name, str, words)
    if value not in choices:
        raise ValueError(f"{name} must be {words}, got {_short(value)}")
    return value


def tensor(
    value: Any, name: str, kind: str, shape: Any = None, *, meaning: str = "", like: Tensor | None = None
) -> Tensor:
    """`value`, if it is a dense tensor of `kind`, one of `KINDS`, of the shape and on the device that are asked for.

    `shape` is exact, (3, 5), or names its dimensions, "(B, T)"; `meaning` says in words what the shape is.
    `like` is a tensor on whose device `value` must be.

    >>> tensor(torch.zeros(3), "segment_ids", "floating-point", "(B, T)")
    Traceback (most recent call last):
    ValueError: segment_ids must have shape (B, T), got (3,)
    """
    if not isinstance(value, Tensor) or value.dtype not in KINDS[kind]:
        raise TypeError(f"{name} must be {_tensor_of(kind)}, got {shown(value)}")
    if value.layout != torch.strided or value.is_nested:
        layout = "nested" if value.is_nested else value.layout
        raise TypeError(f"{name} must be a dense tensor, got one of layout {layout}")
    names = shape.strip("()").replace(",", " ").split() if isinstance(shape, str) else None
    if shape is not None and (value.dim() != len(names) if names is not None else value.shape != shape):
        wanted = shape if names is not None else tuple(shape)
        raise ValueError(f"{name} must have shape {wanted}, {meaning and meaning + ', '}got {tuple(value.shape)}")
    if like is not None and value.device != like.device:
        raise ValueError(f"{name} must be on {like.device}, as the rest is, got a tensor on {value.device}")
    return value


def readable(value: Tensor, name: str) -> Tensor:
    """`value`, if its numbers can be read: not a tensor of device "meta", nor one inside `torch.func.vmap`."""
    try:
        value.tolist()
    except RuntimeError:
        raise TypeError(f"{name} must have numbers that can be read, got a tensor on {value.device}") from None
    return value


def vector(values: Any, name: str, kind: str) -> Tensor:
    """`values`, one after the other, as a tensor (n,): a tensor of `kind`, or a list or array of ints, or of numbers.

    >>> vector([4, 3], "counts", "integer")
    tensor([4, 3])
    >>> vector([4, 3.0], "counts", "integer")
    Traceback (most recent call last):
    TypeError: counts[1] must be an int, got 3.0 (float)
    """
    if hasattr(values, "tolist") and not isinstance(values, Tensor):  # a NumPy array
        values = values.tolist()
    if isinstance(values, list | tuple):
        one, dtype = (number, torch.float64) if kind == "floating-point" else (integer, torch.int64)
        return torch.tensor([one(value, f"{name}[{i}]") for i, value in enumerate(values)], dtype=dtype)
    if not isinstance(values, Tensor):
        raise TypeError(f"{name} must be a list or {_tensor_of(kind)}, got {shown(values)}")
    return readable(tensor(values, name, kind, "(n,)"), name)


def indices(values: Tensor, noun: str, size: int | None, *, of: str = "", ignore_index: int | None = None) -> Tensor:
    """`values`, if each lies in [0, size), or is 0 or more where `size` is None, or is `ignore_index`.

    Where the numbers cannot be read, inside `torch.compile` or `torch.func.vmap` or on device "meta", nothing is said.

    >>> indices(torch.tensor([3, 5]), "target", 5)
    Traceback (most recent call last):
    IndexError: target 5 at position (1,) is not in [0, 5)
    """
    if torch.compiler.is_compiling():
        return values
    outside = values < 0 if size is None else (values < 0) | (values >= size)
    if ignore_index is not None:
        outside = outside & (values != ignore_index)
    try:
        refused = bool(outside.any())
    except RuntimeError:
        return values
    if refused:
        position = tuple(outside.nonzero()[0].tolist())
        place = f"{noun} {values[position].item()} at position {position}" + (f" of {of}" if of else "")
        allowed = "0 or more" if size is None else f"in [0, {size})"
        wanted = f"not {allowed}" if ignore_index is None else f"neither {allowed} nor ignore_index {ignore_index}"
        raise IndexError(f"{place} is {wanted}")
    return values


def shown(value: Any) -> str:
    """What came, in a few words: a short value itself and its kind, else only the kind."""
    if isinstance(value, Tensor):
        return f"a tensor of {value.dtype}"
    if isinstance(value, int | float | complex | str | bytes):
        return f"{_short(value)} ({type(value).__name__})"
    return "None" if value is None else type(value).__name__


def _tensor_of(kind: str) -> str:
    return f"a{'n' * kind.startswith('int')} {kind} tensor"


def _short(value: Any) -> str:
    """`repr`, cut where it is long; Python refuses to write out an int of more than 4300 digits."""
    try:
        text = repr(value)
    except ValueError:
        return f"a very long {type(value).__name__}"
    return text if len(text) <= 40 else f"{text[:18]}...{text[-19:]}"


def _check_range(value: Any, name: str, low: float, high: float, meaning: str = "") -> None:
    """Raises unless low <= value <= high."""
    if low <= value <= high:
        return
    allowed = f"lie in [{low}, {high}]"
    if low == LOWEST or (high == HIGHEST and value > high):
        allowed = "fit in 64 bits"
    elif high in (math.inf, HIGHEST):
        allowed = f"be at least {low}"
    raise ValueError(f"{name} must {allowed}, {meaning and meaning + ', '}got {_short(value)}")
