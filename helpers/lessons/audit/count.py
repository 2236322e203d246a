"""An exercise of lesson 06: the valid tokens of all ranks, by a real all-reduce between threads."""

import contextlib
import io
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from helpers.audit import in_ranks
from helpers.batches import IGNORE_INDEX
from helpers.classroom.errors import Refusal
from helpers.classroom.faults import raised, unchanged
from helpers.classroom.grading import Mistake, Runs, Verdict, finding, right, wrong
from helpers.classroom.learner import awaits, returns_something
from helpers.classroom.running import Run
from helpers.classroom.values import as_tensor, kind, same
from helpers.classroom.verdicts import waiting

__all__ = ["MISTAKES", "global_count"]

RANKS = (
    ([[3, 1, -100, -100]], [[5, -100, -100, -100]]),
    ([[0, 0, 5], [1, -100, -100]], [[-100, -100, 4], [2, 2, 2]], [[-100, -100, -100]]),
    ([[7, 0]],),
    ([[1, 1, 1, 1]], [[2, 2, 2, 2]]),
    ([[1] * 300], [[2] * 3001]),  # more than 8 bits hold, and than half precision counts
)  # the targets (B, T) of each rank


def valid(targets: Tensor) -> int:
    return int((targets != IGNORE_INDEX).sum())


# Each from the targets of all ranks to what every rank gets.
MISTAKES = [
    Mistake("只数了本进程的：没有把各进程的数加起来",
            "this is the rank's own count: those of the other ranks were not added",
            lambda all: [valid(own) for own in all]),
    Mistake("求成了平均：各进程的数要相加，不除以进程数",
            "this is the mean of the counts: they are to be added, and not divided by the number of ranks",
            lambda all: [sum(map(valid, all)) / len(all)] * len(all)),
    Mistake("多乘了一次进程数：all_reduce 给出的已经是总和",
            "multiplied by the number of ranks: what all_reduce leaves is the sum already",
            lambda all: [sum(map(valid, all)) * len(all)] * len(all)),
    Mistake("填充也数了进去：只数 targets != -100 的",
            "padding was counted too: count where targets != -100",
            lambda all: [sum(own.numel() for own in all)] * len(all)),
    Mistake("目标 0 也是有效的，只有 −100 才忽略",
            "a target of 0 is valid too; −100 alone is ignored",
            lambda all: [sum(int((own > 0).sum()) for own in all)] * len(all)),
    Mistake("加的是目标的编号，不是有效目标的个数",
            "the indices of the targets were added, instead of counting the valid ones",
            lambda all: [sum(int(own[own != IGNORE_INDEX].sum()) for own in all)] * len(all),
            lambda all: [sum(int(own.sum()) for own in all)] * len(all)),
    Mistake("各进程各除各的，再平均：这是 1，不是词元数",
            "each count was divided by itself: this is 1, and no number of tokens",
            lambda all: [1.0] * len(all), lambda all: [1.0 if valid(own) else math.nan for own in all]),
    Mistake("数的是行，不是词元",
            "rows were counted instead of tokens",
            lambda all: [sum(len(own) for own in all)] * len(all)),
]  # fmt: skip


@finding
def global_count(answer: Any) -> Verdict:
    """Exercise 3: targets (B, T) of a rank, and all_reduce, which sums in place -> N, the valid tokens of all ranks."""
    if awaits(answer):
        return waiting()
    if not callable(answer):
        return wrong("交来的不是函数：要函数本身，不带括号", "hand over the function itself, without calling it")
    cases = [[torch.tensor(own) for own in ranks] for ranks in RANKS]
    runs = Runs(on_ranks(answer), [tuple(targets) for targets in cases])
    for ranks, targets, one in zip(RANKS, cases, runs, strict=True):
        if fault := fault_of(answer, targets, one):
            print(one.printed, end="")
            shown = [f"targets {rank}: {written(own)}" for rank, own in enumerate(ranks)]
            return wrong(*fault[:2], *shown, *fault[2:], *diagnosis(cases, runs))
    print(runs[0].printed, end="")
    return right(
        "1、2、3 个进程，真正的 all_reduce，其中一个进程没有有效词元",
        "1, 2 and 3 ranks with a real all-reduce, one rank without a valid token",
    )


def written(targets: list[list[int]]) -> str:
    """As it can be pasted into a cell, the long rows of one number by their length."""
    return str(targets) if len(targets[0]) < 20 else f"[[{targets[0][0]}] * {len(targets[0])}]"


def on_ranks(answer: Callable) -> Callable[..., list]:
    """What each rank returns, from the targets of all ranks."""

    def on(*targets: Tensor) -> list:
        with contextlib.redirect_stdout(io.StringIO()):
            shapes = [dry(answer, own) for own in targets]
        if len(set(map(len, shapes))) > 1:
            said = ", ".join(str(len(calls)) for calls in shapes)
            zh = f"各进程调用 all_reduce 的次数不同（{said}）：少调用的一方会让别的进程一直等"
            raise Refusal(
                zh, f"the ranks call all_reduce {said} times: the others would wait for the one that calls less"
            )
        if len(set(map(tuple, shapes))) > 1:
            said = "; ".join(", ".join(map(str, calls)) for calls in shapes)
            zh = f"各进程交给 all_reduce 的张量形状不同（{said}），加不起来"
            raise Refusal(zh, f"the ranks hand all_reduce tensors of different shapes, which cannot be added: {said}")
        return in_ranks(len(targets), lambda rank, all_reduce: answer(targets[rank], in_place(all_reduce)))

    return on


def fault_of(answer: Callable, targets: list[Tensor], one: Run) -> tuple | None:
    """What is wrong with one run, in both languages and in detail; None if nothing is."""
    if isinstance(one.error, Refusal):
        return one.error.args
    if one.error is not None:
        return raised(answer, one.error, [])
    if not all(map(unchanged, targets, one.arguments)):
        return "函数改动了传入的 targets，先复制再改", "the function changes targets; copy it first"
    if any(value is None for value in one.value):
        if returns_something(answer):
            zh, en = "函数返回的是 None", "the function returned None"
            return (
                f"{zh}：all_reduce 不返回什么，它改的是你交给它的张量",
                f"{en}: all_reduce returns nothing, it changes the tensor",
            )
        return "函数没有返回值，少了 return 吗？", "the function returns nothing; is a return missing?"
    numbers, want = numbers_of(one), sum(map(valid, targets))
    if numbers is None:
        said = kind(one.value[0])
        return "每个进程要返回一个数 N", "each rank is to return one number, N", ("得到", "got", said)
    if numbers == [want] * len(targets):
        return None
    got = ", ".join(f"{number:g}" for number in numbers)
    return "N 不对", "N is wrong", ("各进程得到", "the ranks got", got), ("应为", "should be", str(want))


def numbers_of(one: Run) -> list[float] | None:
    """What the ranks returned, if each returned one number."""
    values = [as_tensor(value) for value in one.value or ()]
    if not values or any(value is None or value.numel() != 1 for value in values):
        return None
    return [value.double().item() for value in values]


def diagnosis(cases: list[list[Tensor]], runs: Runs) -> list[tuple[str, str]]:
    """The name of the mistake that gives these numbers in every case, if there is one."""
    for mistake in MISTAKES:
        for function in mistake.functions:
            if all(alike(function(targets), numbers_of(one)) for targets, one in zip(cases, runs, strict=True)):
                return [("→ " + mistake.zh, "→ " + mistake.en)]
    return []


def alike(numbers: list[float], others: list[float] | None) -> bool:
    return others is not None and same(torch.tensor(numbers), torch.tensor(others))


def in_place(all_reduce: Callable) -> Callable[[Tensor], None]:
    """The same, returning nothing."""

    def reduce(tensor: Tensor) -> None:
        all_reduce(tensor)

    return reduce


def dry(answer: Callable, own: Tensor) -> list[tuple[int, ...]]:
    """The shapes of the tensors that a rank hands to all_reduce; here it leaves them as they are."""
    calls: list[tuple[int, ...]] = []
    answer(own.clone(), in_place(lambda tensor: calls.append(tuple(tensor.shape))))
    return calls
