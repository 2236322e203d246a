"""How an answer is graded: against the truth, on small inputs first, and by name where the mistake is known.

A known mistake is not recognised by its looks. It is a function of its own: an answer that is wrong, and gives what
that function gives on every input, has made that mistake.
"""

import dis
import inspect
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from helpers.classroom.bilingual import say

__all__ = ["Mistake", "grade", "refused", "right", "waiting", "wrong"]


class Mistake:
    """A known error: its name in both languages, and the functions that make it."""

    def __init__(self, zh: str, en: str, *functions: Callable):
        self.zh, self.en, self.functions = zh, en, functions


def grade(
    answer: Callable, truth: Callable, cases: Sequence[tuple], mistakes: Sequence[Mistake], tested: tuple[str, str]
) -> None:
    """Print ○, ✓ or ✗ for the learner's function `answer`.

    truth: the right function; cases: its arguments, the smallest first; tested: what they cover, in both languages.
    """
    if answer is ... or (inspect.isfunction(answer) and is_empty(answer)):
        waiting()
    elif not callable(answer):
        wrong(
            f"交来的是 {type(answer).__name__}，要的是函数本身，不带括号",
            f"this is a {type(answer).__name__}; hand over the function itself, without calling it",
        )
    else:
        for case in cases:
            if fault := fault_of(answer, truth, case):
                return wrong(*fault, *diagnosis(answer, truth, cases, mistakes))
        right(*tested)


def waiting() -> None:
    print("○ " + say("等你作答", "awaiting your answer"))


def right(zh: str, en: str) -> None:
    print("✓ " + say(f"通过：{zh}", f"right: {en}", "\n  "))


def wrong(zh: str, en: str, *details: str) -> None:
    print("\n  ".join(["✗ " + say(zh, en, "\n  "), *details]))


def refused(answer: Any, zh: str, en: str) -> None:
    """Print ✗ for an answer of another kind than the one wanted, with its shape, or its type if it is no tensor."""
    tensor = as_tensor(answer)
    wrong(zh, en, f"{say('得到', 'got')}: {type(answer).__name__ if tensor is None else tuple(tensor.shape)}")


def is_empty(function: Callable) -> bool:
    """Whether the body is still `...`, a docstring or `pass`."""
    operations = {instruction.opname for instruction in dis.get_instructions(function)}
    constants = {constant for constant in function.__code__.co_consts if constant is not None}
    return operations <= {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"} and constants <= {
        function.__doc__
    }


def fault_of(answer: Callable, truth: Callable, case: tuple) -> tuple[str, ...] | None:
    """What is wrong with the answer to one case, in both languages and in detail; None if nothing is."""
    arguments = copy(case)
    got, want = outcome(answer, arguments), truth(*copy(case))
    names = inspect.signature(truth).parameters  # and options, which no case sets
    details = [f"{name} = {show(value)}" for name, value in zip(names, case, strict=False)]
    if isinstance(got, Exception):
        line = line_in(answer, got)
        return f"第 {line} 行出错", f"line {line} raised an error", *details, f"{type(got).__name__}: {got}"
    if not all(same(before, after) for before, after in zip(case, arguments, strict=True)):
        return "函数改动了传入的参数，先复制再改", "the function changes its argument; copy it first", *details
    details += [f"{say('得到', 'got')}: {show(got)}", f"{say('应为', 'should be')}: {show(want)}"]
    if got is None:
        return "函数没有返回值，少了 return 吗？", "the function returns nothing; is a return missing?", *details[:-2]
    value = as_tensor(got)
    if value is None:
        name = type(got).__name__
        return (
            f"返回的是 {name}，不是实数张量",
            f"the function returns a {name}, not a tensor of real numbers",
            *details,
        )
    if value.shape != want.shape:
        shapes = tuple(value.shape), tuple(want.shape)
        return "形状是 {}，应为 {}".format(*shapes), "the shape is {} and should be {}".format(*shapes), *details
    if not same(value, want):
        return "数值不对", "the value is wrong", *details
    return None


def diagnosis(answer: Callable, truth: Callable, cases: Sequence[tuple], mistakes: Sequence[Mistake]) -> list[str]:
    """The name of the mistake that gives what `answer` gives on every case, if there is one."""
    given = [outcome(answer, copy(case)) for case in cases]
    for mistake in mistakes:
        for function in mistake.functions:
            if all(same(got, outcome(function, copy(case))) for got, case in zip(given, cases, strict=True)):
                return ["→ " + say(mistake.zh, mistake.en, "\n    ")]
    return []


def outcome(function: Callable, arguments: tuple) -> Any:
    """What the function returns, or the exception that it raises."""
    try:
        result = function(*arguments)
    except Exception as error:
        return error
    return result.detach() if isinstance(result, Tensor) else result


def same(one: Any, other: Any) -> bool:
    """Whether two outcomes are equal: exceptions by type, numbers to five digits, nan being equal to nan."""
    if isinstance(one, Exception) or isinstance(other, Exception):
        return type(one) is type(other)
    one, other = as_tensor(one), as_tensor(other)
    if one is None or other is None or one.shape != other.shape:
        return False
    return torch.allclose(one.double(), other.double(), rtol=1e-5, atol=1e-7, equal_nan=True)


def as_tensor(value: Any) -> Tensor | None:
    """A number, a list of numbers, an array or a dense tensor as a real tensor on the CPU; None for anything else."""
    if value is None or isinstance(value, (str, bytes, bool)):
        return None
    try:
        tensor = torch.as_tensor(value).detach().cpu()
    except (TypeError, ValueError, RuntimeError, OverflowError):  # among them a meta tensor, which has no data
        return None
    return None if tensor.is_complex() or tensor.is_sparse else tensor


def copy(case: tuple) -> tuple:
    return tuple(value.clone() if isinstance(value, Tensor) else value for value in case)


def show(value: Any) -> str:
    """A value on one line, numbers to six digits, and no longer than a line can be read."""
    tensor = as_tensor(value) if isinstance(value, Tensor) else None
    text = shortened(value if tensor is None else tensor.tolist())
    return text if len(text) <= 160 else text[:157] + "..."


def shortened(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(shortened, value)) + "]"
    return f"{value:.6g}" if isinstance(value, float) else " ".join(repr(value).split())


def line_in(function: Callable, error: Exception) -> int:
    """The line of the learner's cell, counted from 1, where the error arose."""
    file = function.__code__.co_filename if inspect.isfunction(function) else None
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return lines[-1] if lines else 1
