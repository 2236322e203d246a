"""What is wrong with an answer, and which known mistake that is."""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from helpers.classroom.errors import KNOWN_ERRORS, Refusal
from helpers.classroom.learner import line_in, returns_something
from helpers.classroom.running import Run, run
from helpers.classroom.values import WIDEST, as_tensor, difference, kind, same
from helpers.classroom.verdicts import article

if TYPE_CHECKING:
    from helpers.classroom.grading import Exercise

__all__ = ["diagnosis", "fault_of", "raised", "said", "unchanged"]


@functools.cache  # an exercise keeps its cases, and they are told apart by identity
def size_of(case: tuple) -> float:
    """The largest finite number among the floating-point tensors of a case."""
    tensors = [value for value in case if isinstance(value, Tensor) and value.is_floating_point()]
    return max((value[value.isfinite()].abs().max().item() for value in tensors if value.isfinite().any()), default=0.0)


def fault_of(answer: Callable, exercise: "Exercise", number: int, case: tuple, one: Run) -> tuple | None:
    """What is wrong with one run, in both languages and in detail; None if nothing is."""
    details = exercise.shown(number)
    if isinstance(one.error, Refusal):
        return *one.error.args, *details
    if one.error is not None:
        return raised(answer, one.error, details)
    if not all(unchanged(before, after) for before, after in zip(case, one.arguments, strict=True)):
        return "函数改动了传入的参数，先复制再改", "the function changes its argument; copy it first", *details
    if one.value is None:
        if returns_something(answer):
            return "函数返回的是 None", "the function returned None", *details
        return "函数没有返回值，少了 return 吗？", "the function returns nothing; is a return missing?", *details
    value, want = as_tensor(one.value), exercise.known(exercise.truth, number).value.detach()
    if value is None:
        name = kind(one.value)
        en = f"the function returns {article(name)} {name}, not a tensor of real numbers"
        return f"返回的是 {name}，不是实数张量", en, *details
    if value.shape != want.shape or not same(value, want, size_of(case)):
        got, expected, place = difference(value, want)
        details += [("位置", "at position", place)] if place else []
        details += [("得到", "got", got), ("应为", "should be", expected)]
        if value.shape == want.shape:
            return "数值不对", "the value is wrong", *details
        shapes = tuple(value.shape), tuple(want.shape)
        return "形状是 {}，应为 {}".format(*shapes), "the shape is {} and should be {}".format(*shapes), *details
    if exercise.gradient_of:
        return gradient_fault(exercise, case, one, details)
    return None


def raised(answer: Callable, error: BaseException, details: list) -> tuple:
    line = line_in(answer, error)
    details = [*details, quoted(error)]
    if line is None:
        return "运行时报错", "the function raised an error", *details
    return f"代码第 {line} 行出错", f"line {line} raised an error", *details


def quoted(error: BaseException) -> tuple[str, str, str]:
    return "报错原文", "the error", said(error)


def said(error: BaseException) -> str:
    """An error as Python would show it, on one line, also where its own `__str__` raises."""
    try:
        return " ".join(f"{type(error).__name__}: {error}".split())[: 4 * WIDEST]
    except Exception:
        return type(error).__name__


def gradient_fault(exercise: "Exercise", case: tuple, one: Run, details: list) -> tuple | None:
    places = exercise.gradient_of
    try:
        got = gradients(one, places)
    except Exception as error:  # of a backward pass that the learner wrote, for one
        return "数值对了，backward 时报错", "the value is right, but its backward raises", *details, quoted(error)
    want = gradients(run(exercise.truth, case, gradient_of=places), places)
    for place, mine, right in zip(places, got, want, strict=True):
        name = exercise.names()[place]
        if mine is None and not right.any():
            zh = "这里没有可加的项，结果成了常数；对空的选取求 sum() 也是 0，而且留在图里"
            en = "nothing is added here, and this is a constant; sum() of an empty selection is 0 too, and in the graph"
            zh, en = f"数值对了，可是与计算图断开了：{zh}", f"the value is right, but cut off from the graph: {en}"
            return zh, en, *details
        if mine is None:
            zh = f"数值对了，可是 backward 走不回 {name}：结果与计算图断开了"
            return zh, f"the value is right, but cut off from the graph: backward cannot reach {name}", *details
        if not same(mine, right, size_of(case)):
            texts = difference(mine, right)[:2]
            lines = [(f"{name} 的梯度", f"the gradient of {name}", texts[0]), ("应为", "should be", texts[1])]
            return "数值对了，梯度不对", "the value is right, but its gradient is wrong", *details, *lines
    return None


def gradients(one: Run, places: Sequence[int]) -> list[Tensor | None]:
    """Of the result by these arguments; through backward, since some checkpoints do not take `autograd.grad`."""
    leaves = [one.arguments[place]._base for place in places]
    for leaf in leaves:
        leaf.grad = None
    if isinstance(one.value, Tensor) and one.value.requires_grad:
        one.value.sum().backward()
    return [leaf.grad for leaf in leaves]


def unchanged(before: Any, after: Any) -> bool:
    if not isinstance(before, Tensor):
        return True  # a number, which no function can change
    after = as_tensor(after)
    return same(before if after is None else before.to(after.dtype), after)


def diagnosis(exercise: "Exercise", cases: Sequence[tuple], runs: Sequence[Run], fault: int) -> list[tuple[str, str]]:
    """The name of the mistake that gives what the answer gives, if there is one.

    On every case if it can be; else on every case of moderate numbers, if the fault showed on one of those: a formula
    that overflows where another does not may be wrong in the same way. What is right where the fault showed is none.
    """
    moderate = [number for number, case in enumerate(cases) if is_moderate(case)]
    order = [fault, *(number for number in range(len(cases)) if number != fault)]
    truth = exercise.known(exercise.truth, fault)

    def alike(function: Callable, number: int) -> bool:
        return same_outcome(runs[number], exercise.known(function, number), size_of(cases[number]))

    if not same_outcome(runs[fault], truth, size_of(cases[fault])) and any(map(tells, runs)):
        for numbers in (order, [number for number in order if number in moderate] if fault in moderate else []):
            for mistake in exercise.mistakes:
                for function in mistake.functions:
                    if numbers and all(alike(function, number) for number in numbers):
                        return [("→ " + mistake.zh, "→ " + mistake.en)]
    error = runs[fault].error
    for pattern, zh, en in KNOWN_ERRORS:
        if error is not None and pattern in said(error):
            return [("→ " + zh, "→ " + en)]
    return []


def tells(one: Run) -> bool:
    """Whether a run says anything about its formula: nan everywhere is the outcome of many."""
    value = as_tensor(one.value)
    return value is None or bool(value.isfinite().any())


@functools.cache
def is_moderate(case: tuple) -> bool:
    tensors = [value for value in case if isinstance(value, Tensor) and value.is_floating_point()]
    return all(value.isfinite().all() for value in tensors) and size_of(case) <= 50


def same_outcome(one: Run, other: Run, size: float) -> bool:
    """Whether two runs gave the same: the same error, in words but for its numbers, or the same numbers."""
    if one.error is not None or other.error is not None:
        return None not in (one.error, other.error) and _words(one.error) == _words(other.error)
    if one.value is None or other.value is None:
        return one.value is other.value
    return same(as_tensor(one.value), as_tensor(other.value), size)


def _words(error: BaseException) -> str:
    return "".join(letter for letter in said(error) if not letter.isdigit())
