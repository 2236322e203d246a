"""Exercise 5 of lesson 07: a vocabulary on two ranks, graded by what both ranks give."""

import functools
import threading
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.audit import in_ranks
from helpers.classroom.errors import Refusal
from helpers.classroom.grading import Check, Exercise, Mistake, Recipe, Verdict, graded
from helpers.classroom.learner import awaits
from helpers.classroom.running import undisturbed
from helpers.classroom.values import as_tensor

__all__ = ["split_loss"]


def _stacked(losses: list[Tensor], dh: list[Tensor]) -> Tensor:
    """For each rank one row with its loss, then its dh (N, D)."""
    rows = [(loss.reshape(1, 1).expand(1, d.shape[1]), d) for loss, d in zip(losses, dh, strict=True)]
    return torch.cat([part for row in rows for part in row])


def _exercise() -> Exercise:
    """Exercise 5: hidden, a half of weight, targets, first, V, epsilon, all_reduce -> the whole's loss and dh."""

    def truth(hidden: Tensor, weight: Tensor, targets: Tensor, epsilon: float) -> Tensor:
        h = hidden.clone().requires_grad_()
        loss = F.cross_entropy(h @ weight.T, targets, label_smoothing=epsilon)
        (dh,) = torch.autograd.grad(loss, h)
        return _stacked([loss.detach()] * 2, [dh] * 2)

    def by(
        *, shared_max: bool = True, shared_sum: bool = True, score: str = "own", classes: str = "all",
        shared_mean: bool = True, shared_dh: bool = True, one_hot: bool = True, mean: bool = True,
        smooth: bool = True, add_max: bool = True, twice: bool = False,
    ) -> Callable[..., Tensor]:  # fmt: skip
        """What two ranks give that take a false step; `score`: "own", "clamped" (of another's row too), "local"."""

        def function(hidden: Tensor, weight: Tensor, targets: Tensor, epsilon: float) -> Tensor:
            e = epsilon if smooth else 0.0
            halves = weight.chunk(2)
            N, starts = len(targets) if mean else 1, (0, len(halves[0]))
            z = [hidden @ w.T for w in halves]
            tops = [x.amax(1) for x in z]
            M = [torch.maximum(*tops)] * 2 if shared_max else tops
            sums = [(x - m[:, None]).exp().sum(1) for x, m in zip(z, M, strict=True)]
            S = [sums[0] + sums[1]] * 2 if shared_sum else sums
            local = [targets - first for first in starts]
            places = [at.clamp(0, len(w) - 1) for at, w in zip(local, halves, strict=True)]
            mine = [(at >= 0) & (at < len(w)) for at, w in zip(local, halves, strict=True)]
            if score == "clamped":
                mine = [torch.ones_like(own) for own in mine]
            found = [torch.where(own, x.gather(1, at[:, None])[:, 0], 0.0)
                     for own, x, at in zip(mine, z, places, strict=True)]  # fmt: skip
            target = found if score == "local" else [found[0] + found[1]] * 2
            means = [x.sum(1) for x in z]
            total = [means[0] + means[1]] * 2 if shared_mean else means
            losses, dh = [], []
            for r in range(2):
                V = len(weight) if classes == "all" else len(halves[r])
                lse = S[r].log() + (M[r] if add_max else 0.0)
                losses.append((lse - (1 - e) * target[r] - e / V * total[r]).sum() / N)
                dz = (z[r] - M[r][:, None]).exp() / S[r][:, None] - e / V
                if one_hot:
                    dz[torch.arange(len(targets))[mine[r]], places[r][mine[r]]] -= 1 - e
                dh.append(dz @ halves[r] / N)
            if shared_dh:
                dh = [dh[0] + dh[1]] * 2
            return _stacked([2 * loss if twice else loss for loss in losses], dh)

        return function

    mistakes = [
        Mistake("最大值是本进程自己的：两个总和以不同的 M 为准，不能相加",
                "each rank took its own maximum, so the two sums belong to different M and cannot be added",
                by(shared_max=False)),
        Mistake("总和没有 all-reduce：每个进程只有自己那一半词表的 S",
                "the sums were not reduced: each rank has the S of its own half alone",
                by(shared_sum=False), by(shared_max=False, shared_sum=False)),
        Mistake("取了不在本进程的目标的分数：下标夹住之后，别人的目标也取到一个数",
                "a score was taken for targets of the other rank: a clamped index finds a number for them too",
                by(score="clamped")),
        Mistake("目标的分数没有 all-reduce：目标在另一个进程时，这里是 0",
                "the target's score was not reduced: it is 0 on the rank that does not hold the target",
                by(score="local")),
        Mistake("ε 除以了本进程的词表大小：要除以整个 V",
                "ε was divided by the rank's own vocabulary; divide it by the whole V",
                by(classes="local"), by(classes="local", shared_mean=False)),
        Mistake("平滑用的分数之和只有本进程的一半",
                "the sum of scores for the smoothing has this rank's half alone",
                by(shared_mean=False)),
        Mistake("dh 没有 all-reduce：每个进程只有自己那一半词表给的梯度",
                "dh was not reduced: each rank has the part that its half of the vocabulary gives",
                by(shared_dh=False)),
        Mistake("dz 里少了独热向量",
                "the one-hot vector is missing in dz",
                by(one_hot=False)),
        Mistake("没有对词元取平均",
                "not averaged over the tokens",
                by(mean=False)),
        Mistake("没有标签平滑",
                "there is no label smoothing",
                by(smooth=False)),
        Mistake("M 没有加回来",
                "M was not added back",
                by(add_max=False)),
        Mistake("损失又 all-reduce 了一次：它在两个进程上已经相同",
                "the loss was reduced once more; it is the same on both ranks already",
                by(twice=True)),
    ]  # fmt: skip
    rows = [
        ([[1.0]], [[0.0], [2.0]], [1], 0.0),
        ([[1.0]], [[2.0], [0.0]], [1], 0.5),
        ([[1.0, 0.0], [0.0, 2.0]], [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, -1.0]], [3, 0], 0.0),
        ([[1.0, 0.0], [0.0, 2.0], [3.0, 1.0]], [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, -1.0]], [2, 1, 0], 0.1),
        ([[1.0], [2.0]], [[0.0], [1.0], [2.0]], [2, 1], 0.5),  # the first rank has a row more
        ([[1000.0]], [[1.0], [0.0]], [0], 0.0),
        ([[1000.0]], [[-1.0], [-0.99]], [0], 0.0),
    ]
    large = """torch.manual_seed(0)
hidden, weight = torch.randn(11, 6).round(decimals=3), torch.randn(41, 6).round(decimals=3)
targets, epsilon = torch.randint(41, (11,)), 0.1"""
    cases = [(torch.tensor(h), torch.tensor(w), torch.tensor(y), e) for h, w, y, e in rows]
    tested = (
        "两个进程的损失和 dh，与整个词表一起算的相同，词表对半分或差一行，ε 从 0 到 0.5，分数大到 1000",
        "loss and dh of both ranks, as of the whole vocabulary, in halves or one row apart, for ε from 0 to 0.5 and "
        "scores up to 1000",
    )
    return Exercise(truth, [*cases, Recipe(large)], mistakes, tested)


def _on_two_ranks(loss_of: Callable) -> Callable:
    """What the learner's function gives on two ranks, in one tensor."""

    @functools.wraps(loss_of)
    def run(hidden, weight, targets, epsilon):
        halves = weight.chunk(2)

        def work(rank: int, all_reduce: Callable) -> Any:
            own, first = halves[rank].clone(), rank * len(halves[0])
            return loss_of(hidden.clone(), own, targets.clone(), first, len(weight), epsilon, all_reduce)

        try:
            given = in_ranks(2, work, simulated=True)
        except threading.BrokenBarrierError:
            zh = "两个进程调用 all_reduce 的次数不同：少调用的一方会让另一个一直等"
            raise Refusal(
                zh, "the ranks do not call all_reduce equally often: one waits for the other for ever"
            ) from None
        if any(one is None for one in given):
            return None
        if not all(isinstance(one, tuple | list) and len(one) == 2 for one in given):
            raise Refusal("要返回一对：loss, dh", "a pair is to be returned: loss, dh")
        losses, dh = ([as_tensor(x) for x in part] for part in zip(*given, strict=True))
        if any(x is None for x in (*losses, *dh)):
            raise Refusal("loss 和 dh 要是实数张量", "loss and dh are to be tensors of real numbers")
        if any(x.numel() != 1 for x in losses) or any(x.shape != hidden.shape for x in dh):
            got = ", ".join(str(tuple(x.shape)) for x in (losses[0], dh[0]))
            zh = f"loss 是一个数，dh 的形状是 {tuple(hidden.shape)}；得到 {got}"
            raise Refusal(zh, f"loss is one number, and dh has the shape {tuple(hidden.shape)}; got {got}")
        return _stacked(losses, dh)

    return run


def _judge(answer: Any) -> tuple[Verdict, str]:
    with undisturbed():
        return graded(answer if awaits(answer) or not callable(answer) else _on_two_ranks(answer), _exercise())


_exercise.__name__ = "split_loss"
split_loss = Check(_exercise, _judge, lambda: _exercise().mistakes)
