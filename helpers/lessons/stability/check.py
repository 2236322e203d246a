"""The exercises of lesson 03: the truth, the data that can tell, and the mistakes that they know by name."""

import math
from typing import Any

import torch
from torch import Tensor

from helpers import losses
from helpers.classroom.grading import (
    AUTOGRAD,
    Exercise,
    Mistake,
    Recipe,
    Verdict,
    exercise,
    finding,
    refused,
    right,
    wrong,
)
from helpers.classroom.values import as_tensor
from helpers.lessons.stability.log_softmax import log_softmax
from helpers.lessons.stability.logsumexp import logsumexp

__all__ = ["log_softmax", "logsumexp", "lost_ratio", "z_gradient"]


@finding
def lost_ratio(answer: Any) -> Verdict:
    """Exercise 2: fp32 logits (V,), every exponential a number above 0, and log(softmax) -inf all the same."""
    z = as_tensor(answer)
    if z is None or z.dim() != 1 or not 2 <= len(z) <= 1000:
        return refused(
            answer,
            "要一个一维张量，2 到 1000 个实数",
            "a tensor of one dimension is wanted, from 2 to 1000 real numbers",
        )
    others = {torch.float64} if isinstance(answer, Tensor) else set()  # lists and NumPy have float64 unasked
    if z.dtype in {torch.float16, torch.bfloat16, *others}:
        name = str(z.dtype).removeprefix("torch.")
        return wrong(
            f"这是 {name}，它装得下的与 fp32 不同；要 float32，比如 .float()",
            f"this is {name}, which holds other numbers than fp32 does; float32 is wanted, by .float() for example",
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
        return wrong(
            "每个 e 的 z 次方都在范围内，总和却上溢了", "each exponential is in range, but their sum overflows"
        )
    log_probs = losses.softmax(z).log()
    if not log_probs.isinf().any():
        gap, lowest = (z.max() - z.min()).item(), log_probs.min().item()
        return wrong(
            f"log(softmax) 都是有限的，最小 {lowest:.6g}；最大与最小的分数只差 {gap:.6g}",
            f"log(softmax) is finite throughout, at least {lowest:.6g}; the logits are at most {gap:.6g} apart",
            ("→ 概率要小到 fp32 装不下", "→ a probability has to be too small for fp32"),
        )
    low, high, lowest = z.exp().min().item(), z.exp().max().item(), losses.log_softmax(z).min().item()
    return right(
        f"e 的 z 次方从 {low:.2g} 到 {high:.2g}，log(softmax) 是 −inf，log_softmax 是 {lowest:.6g}",
        f"exponentials from {low:.2g} to {high:.2g}, log(softmax) −inf, log_softmax {lowest:.6g}",
    )


@exercise
def z_gradient() -> Exercise:
    """Exercise 4: logits (T, V), λ -> the gradient of λ · mean(LSE²) (T, V), without autograd."""

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
                "the probability p is missing: it is the derivative of LSE with respect to z",
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
                "this takes the maximum M instead of LSE",
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
        Mistake("这是 log_softmax，应为 LSE",
                "this takes log_softmax instead of LSE",
                lambda z, c: 2 * c * losses.log_softmax(z) * losses.softmax(z) / len(z)),
        Mistake("λ 乘了两次",
                "λ stands there squared",
                lambda z, c: truth(z, c) * c),
        Mistake("符号反了",
                "the sign is turned around",
                lambda z, c: -truth(z, c)),
        Mistake("这是 z-loss 本身，要的是它的梯度",
                "this is the z-loss itself; what is wanted is its gradient",
                lambda z, c: losses.z_loss(z, coefficient=c), lambda z, c: c * losses.logsumexp(z).square()),
    ]  # fmt: skip
    rows = [
        ([[0.0, 1.0]], 0.5),
        ([[0.0, 1.0, 2.0], [1.0, 0.0, 0.0]], 0.5),
        ([[1.0, 3.0, 0.0], [5.0, 2.0, 1.0], [0.0, 4.0, 2.0]], 0.25),
        ([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]], 0.125),
        ([[2.0, 2.0, 2.0, 2.0]], 0.1),
        ([[-3.0, -2.0, -5.0], [0.0, -4.0, -4.0]], 0.5),
        ([[1000.0, 1001.0, 999.0], [-800.0, -801.0, -802.0]], 0.01),
        ([[0.0, -1000.0, 1.0]], 0.25),
    ]
    cases = [(torch.tensor(logits, dtype=torch.float64), coefficient) for logits, coefficient in rows]
    large = "torch.manual_seed(0)\nlogits = (2 * torch.randn(20, 50)).round(decimals=3)\ncoefficient = 0.5"
    tested = "1 到 20 行，λ 从 0.01 到 0.5，与自动求导一致", "1 to 20 rows, λ from 0.01 to 0.5, the same as autograd"
    return Exercise(truth, [*cases, Recipe(large)], mistakes, tested, AUTOGRAD)
