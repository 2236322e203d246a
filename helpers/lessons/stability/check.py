"""The exercises of lesson 03: the truth, the data that can tell, and the mistakes that they know by name."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from helpers import losses
from helpers.classroom.bilingual import say
from helpers.classroom.grading import Mistake, as_tensor, grade, right, waiting, wrong
from helpers.lessons.stability.shifts import log_softmax, logsumexp

__all__ = ["log_softmax", "logsumexp", "lost_ratio", "merge", "z_gradient"]


def merge(answer: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> None:
    """Exercise 3: (M1, S1) and (M2, S2), each (T,), of the two halves of each row -> logsumexp of the rows (T,)."""

    def truth(M1: Tensor, S1: Tensor, M2: Tensor, S2: Tensor) -> Tensor:
        return torch.logaddexp(M1 + S1.log(), M2 + S2.log())

    def merged(total: Callable) -> Callable:
        """M + log of `total`, which sees both pairs and the larger maximum."""

        def function(M1: Tensor, S1: Tensor, M2: Tensor, S2: Tensor) -> Tensor:
            M = torch.maximum(M1, M2)
            return M + total(M1, S1, M2, S2, M).log()

        return function

    def rescaled(M1: Tensor, S1: Tensor, M2: Tensor, S2: Tensor, M: Tensor) -> Tensor:
        return S1 * (M1 - M).exp() + S2 * (M2 - M).exp()

    def around(shift: Callable[[Tensor, Tensor], Tensor]) -> Callable:
        """The right formula around another number than the larger maximum."""
        return lambda M1, S1, M2, S2: (m := shift(M1, M2)) + rescaled(M1, S1, M2, S2, m).log()

    mistakes = [
        Mistake("两个和直接相加了：它们各以自己的最大值为准，要先换算到共同的 M",
                "the sums were added as they are; each belongs to its own maximum, and both have to be brought to M",
                merged(lambda M1, S1, M2, S2, M: S1 + S2)),
        Mistake("只换算了一个和；换成了新的 M，两个都要乘 e^(Mi − M)",
                "only one of the sums was rescaled; both need their factor e^(Mi − M)",
                merged(lambda M1, S1, M2, S2, M: S1 * (M1 - M).exp() + S2),
                merged(lambda M1, S1, M2, S2, M: S1 + S2 * (M2 - M).exp()),
                around(lambda M1, M2: M1), around(lambda M1, M2: M2)),
        Mistake("换算的指数反了：是 e^(Mi − M)，不大于 1",
                "the exponent is turned around: it is e^(Mi − M), which is at most 1",
                merged(lambda M1, S1, M2, S2, M: S1 * (M - M1).exp() + S2 * (M - M2).exp())),
        Mistake("两个因子对调了",
                "the two factors changed places",
                merged(lambda M1, S1, M2, S2, M: S1 * (M2 - M).exp() + S2 * (M1 - M).exp())),
        Mistake("M 没有加回来",
                "M was not added back",
                lambda M1, S1, M2, S2: rescaled(M1, S1, M2, S2, torch.maximum(M1, M2)).log()),
        Mistake("没有减去 M 就取了指数：数一大就上溢",
                "the exponentials were taken without subtracting M: they overflow",
                lambda M1, S1, M2, S2: (S1 * M1.exp() + S2 * M2.exp()).log()),
        Mistake("用了较小的最大值：另一半会上溢",
                "the smaller of the two maxima was used: the other half overflows",
                around(torch.minimum)),
        Mistake("用了所有行共同的最大值；每行要用自己的",
                "one maximum was used for all rows; each row needs its own",
                around(lambda M1, M2: torch.maximum(M1, M2).max())),
        Mistake("用了两个最大值的平均",
                "the mean of the two maxima was used",
                around(lambda M1, M2: (M1 + M2) / 2)),
        Mistake("两个 logsumexp 直接相加了：对数相加，是原来的数相乘",
                "the two logsumexps were added: adding logarithms multiplies the numbers",
                lambda M1, S1, M2, S2: M1 + S1.log() + M2 + S2.log()),
        Mistake("取了较大的一个 logsumexp，另一半丢了",
                "this is the larger of the two logsumexps; the other half is lost",
                lambda M1, S1, M2, S2: torch.maximum(M1 + S1.log(), M2 + S2.log())),
        Mistake("没有取对数",
                "no logarithm was taken",
                lambda M1, S1, M2, S2: rescaled(M1, S1, M2, S2, torch.maximum(M1, M2)),
                lambda M1, S1, M2, S2: torch.maximum(M1, M2) + rescaled(M1, S1, M2, S2, torch.maximum(M1, M2))),
        Mistake("返回的是一对 (M, S)；还要算出 M + log S",
                "this is the pair (M, S); what is wanted is M + log S",
                lambda M1, S1, M2, S2: torch.stack(
                    [torch.maximum(M1, M2), rescaled(M1, S1, M2, S2, torch.maximum(M1, M2))])),
    ]  # fmt: skip
    pairs = [
        [[1.0], [1.5], [2.0], [1.2]],
        [[3.0, -1.0, 2.0], [1.5, 2.0, 1.0], [1.0, 4.0, 2.0], [2.5, 1.25, 1.75]],
        [[1000.0, 0.0, -3000.0], [1.25, 1.0, 1.5], [998.0, -1000.0, 0.0], [2.0, 1.75, 1.0]],
        [[-math.inf, 2.0], [0.0, 1.5], [3.0, -math.inf], [1.25, 0.0]],
    ]
    cases = [tuple(torch.tensor(values, dtype=torch.float64) for values in case) for case in pairs]
    tested = (
        "1 到 3 行，M 从 −3000 到 1000，也有空的一半 (−inf, 0)",
        "1 to 3 rows, M from −3000 to 1000, and an empty half (−inf, 0)",
    )
    grade(answer, truth, cases, mistakes, tested)


def lost_ratio(answer: Any) -> None:
    """Exercise 4: fp32 logits (V,), every exponential a number above 0, and log(softmax) -inf all the same."""
    if answer is ...:
        return waiting()
    z = as_tensor(answer)
    if z is None or z.dtype == torch.bool or z.dim() != 1 or not 2 <= len(z) <= 1000:
        return wrong(
            "要一个一维张量，2 到 1000 个实数", "a tensor of one dimension is wanted, from 2 to 1000 real numbers"
        )
    z = z.float()
    for place, (value, e) in enumerate(zip(z.tolist(), z.exp().tolist(), strict=True)):
        if not math.isfinite(value):
            return wrong(
                f"z[{place}] 是 {value}，在 fp32 里不是有限的数", f"z[{place}] is {value}, no finite number in fp32"
            )
        if math.isinf(e):
            return wrong(f"e 的 z[{place}] = {value:.6g} 次方上溢了", f"e to the z[{place}] = {value:.6g} overflows")
        if e == 0.0:
            return wrong(f"e 的 z[{place}] = {value:.6g} 次方下溢了", f"e to the z[{place}] = {value:.6g} underflows")
    if z.exp().sum().isinf():
        return wrong("每个指数都在范围内，它们的和却上溢了", "each exponential is in range, but their sum overflows")
    log_probs = losses.softmax(z).log()
    if not log_probs.isinf().any():
        gap, lowest = (z.max() - z.min()).item(), log_probs.min().item()
        return wrong(
            f"log(softmax) 都是有限的，最小 {lowest:.6g}；最大与最小的分数只差 {gap:.6g}",
            f"log(softmax) is finite throughout, at least {lowest:.6g}; the logits are at most {gap:.6g} apart",
            "→ " + say("概率要小到 fp32 装不下", "a probability has to be too small for fp32"),
        )
    low, high, lowest = z.exp().min().item(), z.exp().max().item(), losses.log_softmax(z).min().item()
    right(
        f"指数从 {low:.2g} 到 {high:.2g}，log(softmax) 是 −inf，log_softmax 是 {lowest:.6g}",
        f"exponentials from {low:.2g} to {high:.2g}, log(softmax) −inf, log_softmax {lowest:.6g}",
    )


def z_gradient(answer: Callable[[Tensor, float], Tensor]) -> None:
    """Exercise 5: logits (T, V), λ -> the gradient of λ · mean(LSE²) (T, V), without autograd."""

    def truth(logits: Tensor, coefficient: float) -> Tensor:
        logits = logits.clone().requires_grad_()
        return torch.autograd.grad(losses.z_loss(logits, coefficient=coefficient), logits)[0]

    def lse(z: Tensor) -> Tensor:
        return losses.logsumexp(z, keepdim=True)

    def naive(z: Tensor) -> Tensor:
        return z.exp().sum(1, keepdim=True).log()

    mistakes = [
        Mistake("少了因子 2：平方的导数是两倍",
                "the factor 2 of the square's derivative is missing",
                lambda z, c: truth(z, c) / 2),
        Mistake("没有用到系数 λ",
                "the coefficient λ was not used",
                lambda z, c: truth(z, 1.0)),
        Mistake("没有除以词元数 T",
                "not divided by the number of tokens T",
                lambda z, c: truth(z, c) * len(z)),
        Mistake("除以了 V 或 T·V，应除以 T",
                "divided by V or T·V instead of T",
                lambda z, c: truth(z, c) * len(z) / z.shape[1], lambda z, c: truth(z, c) / z.shape[1]),
        Mistake("少了概率 p：LSE 对 z 的导数是 p",
                "the probability p is missing: it is the derivative of LSE by z",
                lambda z, c: (2 * c * lse(z) / len(z)).expand_as(z), lambda z, c: 2 * c * lse(z) / len(z)),
        Mistake("少了 LSE：平方的导数是 2·LSE",
                "LSE is missing: the derivative of its square is 2·LSE",
                lambda z, c: 2 * c * losses.softmax(z) / len(z)),
        Mistake("LSE 多乘了一次：平方求导后只剩一次方",
                "LSE stands there squared; the derivative of a square has it once",
                lambda z, c: truth(z, c) * lse(z), lambda z, c: truth(z, c) * lse(z) / 2),
        Mistake("用的是 LSE − M，M 没有加回来",
                "this takes LSE − M: M was not added back",
                lambda z, c: 2 * c * (lse(z) - z.amax(1, keepdim=True)) * losses.softmax(z) / len(z)),
        Mistake("用的是最大值 M，不是 LSE",
                "this takes the maximum M for LSE",
                lambda z, c: 2 * c * z.amax(1, keepdim=True) * losses.softmax(z) / len(z)),
        Mistake("用了对数概率，应为概率 p",
                "this multiplies by log p instead of p",
                lambda z, c: 2 * c * lse(z) * losses.log_softmax(z) / len(z)),
        Mistake("乘的是分数 z，应为概率 p",
                "this multiplies by the logits z instead of p",
                lambda z, c: 2 * c * lse(z) * z / len(z)),
        Mistake("少了 keepdim：LSE 广播到了列上，方阵也不会报错",
                "keepdim is missing: LSE is spread over columns, and a square hides it",
                lambda z, c: 2 * c * losses.logsumexp(z) * losses.softmax(z) / len(z)),
        Mistake("softmax 或 LSE 沿着批次维（dim=0）算了",
                "softmax or LSE ran over the batch (dim=0)",
                lambda z, c: 2 * c * lse(z) * losses.softmax(z, 0) / len(z),
                lambda z, c: 2 * c * losses.logsumexp(z, 0) * losses.softmax(z) / len(z)),
        Mistake("先对 LSE 取了平均；每个词元要用自己的 LSE",
                "LSE was averaged first; each token has its own",
                lambda z, c: 2 * c * lse(z).mean() * losses.softmax(z) / len(z)),
        Mistake("没有减去最大值：分数很大时 LSE 成了 inf",
                "nothing was subtracted: for large logits LSE is inf",
                lambda z, c: 2 * c * naive(z) * losses.softmax(z) / len(z),
                lambda z, c: 2 * c * naive(z) * z.exp() / z.exp().sum(1, keepdim=True) / len(z)),
        Mistake("符号反了",
                "the sign is turned around",
                lambda z, c: -truth(z, c)),
        Mistake("这是 z-loss 本身，要的是它的梯度",
                "this is the z-loss itself; what is wanted is its gradient",
                lambda z, c: losses.z_loss(z, coefficient=c), lambda z, c: c * losses.logsumexp(z).square()),
    ]  # fmt: skip
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    batches = [
        (torch.tensor([[0.0, 1.0, -1.0]], dtype=torch.float64), 0.5),
        (3.0 * noise, 0.1),
        (2.0 * noise[:, :3] + torch.tensor([[5.0], [0.0], [-3.0]], dtype=torch.float64), 0.25),
        (torch.tensor([[1000.0, 1001.0, 999.0], [-800.0, -801.0, -802.0]], dtype=torch.float64), 0.01),
    ]
    tested = "1 到 3 行，λ 从 0.01 到 0.5，与自动求导一致", "1 to 3 rows, λ from 0.01 to 0.5, as autograd has it"
    grade(answer, truth, batches, mistakes, tested)
