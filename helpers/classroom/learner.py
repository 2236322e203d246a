"""What can be read off a function that a learner hands in: whether it is written yet, where an error arose in it."""

import dis
import functools
import inspect
import os
import sysconfig
import traceback
from collections.abc import Callable
from typing import Any

import torch

__all__ = ["awaits", "line_in", "returns_something"]

LIBRARIES = tuple(os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "purelib", "platlib"))


def unwrapped(answer: Any) -> Callable | None:
    """The function of the learner's that decorators, partial, a method or a module are wrapped around, if any."""
    for _ in range(20):
        if inspect.isfunction(answer) and not hasattr(answer, "__wrapped__"):
            return answer
        if hasattr(answer, "__wrapped__"):
            answer = answer.__wrapped__
        elif isinstance(answer, functools.partial):
            answer = answer.func
        elif inspect.ismethod(answer):
            answer = answer.__func__
        elif isinstance(answer, torch.nn.Module):
            answer = type(answer).forward
        else:
            answer = vars(type(answer)).get("__call__")
            return answer if inspect.isfunction(answer) else None
    return None


def awaits(answer: Any) -> bool:
    """Whether the answer is `...`, or a function whose body is still `...`, a docstring or `pass`."""
    if answer is ...:
        return True
    try:
        function = unwrapped(answer)
        inner = [cell.cell_contents for cell in (function.__closure__ or ())] if function else []  # a decorator's
    except Exception:  # an attribute of the learner's that raises, an empty cell
        return False
    stubs = [one for one in inner if inspect.isfunction(one) and one.__name__ != "<lambda>"]
    return any(_is_empty(one) for one in (function, *stubs) if inspect.isfunction(one))


def _is_empty(function: Callable) -> bool:
    operations = {instruction.opname for instruction in dis.get_instructions(function)}
    constants = {constant for constant in function.__code__.co_consts if constant is not None}
    return operations <= {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"} and constants <= {
        function.__doc__
    }


def returns_something(answer: Any) -> bool:
    """Whether there is a `return` with a value in the learner's function."""
    try:
        steps = list(dis.get_instructions(unwrapped(answer)))
    except Exception:
        return True
    pairs = zip([None, *steps], steps, strict=False)
    return any(
        step.opname == "RETURN_VALUE" and not (before.opname == "LOAD_CONST" and before.argval is None)
        for before, step in pairs
    )


def line_in(answer: Any, error: BaseException) -> int | None:
    """The line of the learner's cell, counted from 1, where the error arose; None if it arose elsewhere."""
    try:
        file = unwrapped(answer).__code__.co_filename
        if file.startswith(LIBRARIES):
            return None
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    except Exception:
        return None
    return lines[-1] if lines else None
