"""The loops that the X-ray of lesson 06 is taken of: the right one, and eight with a fault, each for W ranks.

Ranks are played in one process: rank r has `micro_batches[r::W]`, and the gradients of all ranks are averaged, which
is what `in_ranks` does with threads and gives the same numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.audit import Verdict, audit, default_rows
from helpers.batches import IGNORE_INDEX
from helpers.classroom.running import undisturbed

__all__ = ["LOOPS", "SIZES", "black_boxes", "examined", "flat", "mystery", "rows_in", "summed", "valid"]

SIZES = range(1, 6)  # rows in a micro-batch

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Loop:
    """A loop by its names: `code` is the loss of a micro-batch as one would write it, `loss` computes it.

    loss: of a micro-batch, those of its rank, those of all ranks, the K asked for, and the number of ranks.
    """

    zh: str
    en: str
    code: str
    loss: Callable[[nn.Module, Batch, Sequence[Batch], Sequence[Batch], int, int], Tensor]


def flat(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits (B·(T − 1), V) and the targets (B·(T − 1),) that they predict."""
    return model(batch["input_ids"])[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten()


def valid(batch: Batch) -> Tensor:
    """How many targets are valid, ()."""
    return (batch["labels"][:, 1:] != IGNORE_INDEX).sum()


def summed(model: nn.Module, batch: Batch) -> Tensor:
    """The sum of the losses of all valid targets, ()."""
    return F.cross_entropy(*flat(model, batch), reduction="sum")


def mean(model: nn.Module, batch: Batch) -> Tensor:
    """Their mean, nan if there is none, ()."""
    return F.cross_entropy(*flat(model, batch))


def count(batches: Sequence[Batch]) -> Tensor:
    """N, the valid targets of all these micro-batches, ()."""
    return sum(map(valid, batches))


def labelled(batches: Sequence[Batch]) -> int:
    """Labels before the shift, the first of a row among them."""
    return sum(int((batch["labels"] != IGNORE_INDEX).sum()) for batch in batches)


def with_prompt(batch: Batch) -> Batch:
    """The batch with the prompts among the labels."""
    return {**batch, "labels": batch["input_ids"].masked_fill(batch["attention_mask"] == 0, IGNORE_INDEX)}


def with_padding(batch: Batch) -> Batch:
    """The batch with the padding among the labels."""
    return {**batch, "labels": batch["labels"].masked_fill(batch["attention_mask"] == 0, 0)}


def right(model: nn.Module, batch: Batch, mine: Sequence[Batch], all: Sequence[Batch], K: int, W: int) -> Tensor:
    return summed(model, batch) * W / count(all)


def relabelled(change: Callable[[Batch], Batch]) -> Callable:
    """The right loop, but on batches whose labels are changed."""
    return lambda model, batch, mine, all, K, W: summed(model, change(batch)) * W / count(list(map(change, all)))


LOOPS = {
    "right": Loop("正确的循环", "the right loop", "sum · W / N", right),
    "means": Loop("平均的平均", "mean of means", "mean / k", lambda m, b, mine, all, K, W: mean(m, b) / len(mine)),
    "fixed": Loop("除数固定为 K", "the divisor is always K", "mean / K", lambda m, b, mine, all, K, W: mean(m, b) / K),
    "times_K": Loop(
        "多乘了 K",
        "K times too large",
        "sum · W / N · K",
        lambda m, b, mine, all, K, W: right(m, b, mine, all, K, W) * K,
    ),
    "unshifted": Loop(
        "错开之前数 N",
        "N counted before the shift",
        "(labels != -100).sum()",
        lambda m, b, mine, all, K, W: summed(m, b) * W / labelled(all),
    ),
    "prompt": Loop("提示计入损失", "prompts in the loss", "labels = input_ids", relabelled(with_prompt)),
    "padding": Loop("填充计入损失", "padding in the loss", "labels[padding] = 0", relabelled(with_padding)),
    "world": Loop("少乘了 W", "W left out", "sum / N", lambda m, b, mine, all, K, W: summed(m, b) / count(all)),
    "logged": Loop("记录了另一个损失", "another loss is logged", "log(mean / k)", right),
}


def step(name: str, K: int, W: int) -> Callable[[nn.Module, Sequence[Batch]], float]:
    """The loop `name` as a step for `audit`: it leaves the gradient that the ranks agree on, and returns its log."""

    def run(model: nn.Module, micro_batches: Sequence[Batch]) -> float:
        logged = 0.0
        for rank in range(W):
            mine = micro_batches[rank::W]
            for batch in mine:
                loss = LOOPS[name].loss(model, batch, mine, micro_batches, K, W) / W
                loss.backward()
                told = mean(model, batch) / len(micro_batches) if name == "logged" else loss
                logged += told.item()
        return logged

    return run


def black_boxes() -> dict[str, Callable[[nn.Module, Sequence[Batch]], float]]:
    """Steps for `audit` whose code the lesson does not show; each returns the token mean, whatever it descends."""

    def box(loss: Callable[[nn.Module, Batch, Sequence[Batch]], Tensor]) -> Callable:
        def run(model: nn.Module, micro_batches: Sequence[Batch]) -> float:
            for batch in micro_batches:
                loss(model, batch, micro_batches).backward()
            return sum(summed(model, batch).item() for batch in micro_batches) / count(micro_batches).item()

        return run

    return {
        "A": box(lambda model, batch, window: summed(model, batch) / count(window)),
        "B": box(lambda model, batch, window: mean(model, batch) / len(window)),
        "C": box(lambda model, batch, window: mean(model, batch) * valid(batch) / count(window)),
    }


def mystery(batch_size: int, K: int) -> list[list[tuple[int, float]]]:
    """For each window of a loop that the lesson does not show: (n, 1/w) of each micro-batch, as `audit` reads them."""
    with undisturbed():
        verdict = audit(step("fixed", K, 1), partitions=[(batch_size, K)])
    (weights,) = verdict.weights.values()  # (steps, targets)
    ends = torch.tensor([len(row["labels"]) - 1 for row in default_rows()]).cumsum(0).tolist()
    edges, windows = [0, *ends[batch_size - 1 : -1 : batch_size], ends[-1]], []
    for number, (start, end) in enumerate(pairwise(edges)):
        own = weights[number // K, start:end][~verdict.masked[start:end]]
        windows += [[]] if number % K == 0 else []
        windows[-1].append((len(own), 1 / own[0].item()))
    return windows


@cache
def examined(name: str, batch_size: int, K: int, W: int, padded: bool) -> Verdict:
    """What `audit` reads back from the loop `name`, on one partition of the rows `rows_in(padded)`.

    One, since a class waits for it; to name every fault takes several, as `audit` has them by default.
    """
    with undisturbed():
        return audit(step(name, K, W), rows=rows_in(padded), partitions=[(batch_size, K)], world=W)


def rows_in(padded: bool) -> list[dict[str, list[int]]]:
    """The ten rows of `audit` as they come, or sorted by length, so that little padding is needed."""
    return default_rows() if padded else sorted(default_rows(), key=lambda row: len(row["labels"]))
