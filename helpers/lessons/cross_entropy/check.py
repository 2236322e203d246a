"""The exercises of lesson 02: the truth, the data that can tell, and the mistakes that they know by name."""

import math
from typing import Any

import torch
import torch.nn.functional as F
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
from helpers.lessons.cross_entropy.data import TESTED, cases
from helpers.lessons.cross_entropy.smoothing import smoothed_loss
from helpers.lessons.cross_entropy.token_loss import token_losses

__all__ = ["gradient", "perplexity", "revealing_targets", "smoothed_loss", "token_losses"]

SEED_LOGITS = torch.tensor(
    [[1.2, 3.1, 0.7, 2.4, 0.9], [0.5, 1.8, 2.9, 1.1, 0.3], [4.2, 2.5, 3.7, 1.9, 0.8]], dtype=torch.float64
)


@exercise
def perplexity() -> Exercise:
    """Exercise 1: the losses of all tokens (T,) in nats -> their perplexity ()."""

    def truth(token_losses: Tensor) -> Tensor:
        return token_losses.mean().exp()

    mistakes = [
        Mistake("先求 e^L 再平均；要先平均",
                "the exponentials were averaged; take the mean first",
                lambda x: x.exp().mean()),
        Mistake("用了总和，没有除以词元数",
                "this is the sum, not divided by the number of tokens",
                lambda x: x.sum().exp()),
        Mistake("底数用了 2，而损失以 nat 为单位，底数是 e",
                "the base is 2, but losses in nats belong to base e",
                lambda x: 2 ** x.mean()),
        Mistake("底数用了 10，应为 e",
                "the base is 10 and should be e",
                lambda x: 10 ** x.mean()),
        Mistake("用了中位数，要的是平均",
                "the median was taken instead of the mean",
                lambda x: x.median().exp()),
        Mistake("每个词元都有了一个数；先取平均，只留一个",
                "there is a number for each token; take the mean first, and one is left",
                lambda x: x.exp()),
        Mistake("没有求 e 的次方，这是平均损失",
                "no exponential was taken: this is the mean loss",
                lambda x: x.mean()),
        Mistake("指数上多了负号，这是平均（几何）概率",
                "the exponent has a minus sign: this is the (geometric) mean probability",
                lambda x: (-x.mean()).exp()),
    ]  # fmt: skip
    rows = [[1.0], [0.0, 2.0], [1.0, 1.0], [3.0, 0.0, 0.0, 1.0], [0.4375, 1.375, 0.625, 1.125], [10.379] * 3]
    large = Recipe("torch.manual_seed(0)\ntoken_losses = (4 * torch.rand(20)).round(decimals=3)")
    cases = [*((torch.tensor(row, dtype=torch.float64),) for row in rows), large]
    return Exercise(truth, cases, mistakes, ("1 到 20 个词元", "1 to 20 tokens"))


@exercise
def gradient() -> Exercise:
    """Exercise 3: logits (T, V), targets (T,) -> the gradient of the mean loss (T, V), without autograd."""

    def truth(logits: Tensor, targets: Tensor) -> Tensor:
        logits = logits.clone().requires_grad_()
        return torch.autograd.grad(losses.cross_entropy(logits, targets), logits)[0]

    def one_hot(z: Tensor, y: Tensor) -> Tensor:
        return F.one_hot(y, z.shape[1]).to(z.dtype)

    mistakes = [
        Mistake("没有除以词元数 T：这是总和的梯度",
                "not divided by the number of tokens T: this is the gradient of the sum",
                lambda z, y: z.softmax(1) - one_hot(z, y)),
        Mistake("符号反了：应为 p − q",
                "the sign is turned around: it is p − q",
                lambda z, y: (one_hot(z, y) - z.softmax(1)) / len(y), lambda z, y: one_hot(z, y) - z.softmax(1)),
        Mistake("除以了 T·V；平均只对词元",
                "divided by T·V; the mean is over tokens alone",
                lambda z, y: (z.softmax(1) - one_hot(z, y)) / z.numel()),
        Mistake("除以了 V，应除以 T",
                "divided by V instead of T",
                lambda z, y: (z.softmax(1) - one_hot(z, y)) / z.shape[1]),
        Mistake("one_hot 没有写类别数 V：目标里没有最大的编号时，宽度不对",
                "one_hot was called without V: where the largest class is no target, the width is wrong",
                lambda z, y: (z.softmax(1) - F.one_hot(y)) / len(y)),
        Mistake("[:, targets] 从每一行减去了所有目标；每一行只减自己的那一个",
                "[:, targets] subtracts all targets from every row; each row has its own",
                lambda z, y: (z.softmax(1) - one_hot(z, y).amax(0)) / len(y)),
        Mistake("用了 log_softmax，应为概率 p",
                "this takes log_softmax instead of the probabilities p",
                lambda z, y: (z.log_softmax(1) - one_hot(z, y)) / len(y)),
        Mistake("没有减去独热目标",
                "the one-hot target was not subtracted",
                lambda z, y: z.softmax(1) / len(y), lambda z, y: z.softmax(1)),
        Mistake("softmax 做在了批次维上（dim=0）",
                "softmax ran over the batch (dim=0), not over the classes",
                lambda z, y: (z.softmax(0) - one_hot(z, y)) / len(y), lambda z, y: z.softmax(0) - one_hot(z, y)),
        Mistake("减去的是最大的那一类，不是目标",
                "the largest class was subtracted, not the target",
                lambda z, y: (z.softmax(1) - one_hot(z, z.argmax(1))) / len(y)),
        Mistake("用分数减独热，少了 softmax",
                "softmax is missing: these are raw scores minus one-hot",
                lambda z, y: (z - one_hot(z, y)) / len(y)),
        Mistake("这是对概率 p 的梯度 −1/p，要的是对分数 z 的梯度",
                "this is the gradient with respect to p, −1/p; what is wanted is that with respect to z",
                lambda z, y: -one_hot(z, y) / z.softmax(1) / len(y)),
    ]  # fmt: skip
    return Exercise(truth, cases(), mistakes, TESTED, AUTOGRAD)


@finding
def revealing_targets(answer: Any) -> Verdict:
    """Exercise 4: targets (3,) for the seed's logits with which a flipped sign shows in every row."""
    targets = as_tensor(answer)
    zh, en = "要一个 int64 张量，三个类别编号，从 0 到 4", "an int64 tensor is wanted, three class numbers from 0 to 4"
    if targets is None or targets.shape != (3,):
        return refused(answer, zh, en)
    if targets.dtype != torch.int64:
        return wrong(zh, en, ("得到", "got", str(targets.dtype)))
    if not 0 <= min(targets) <= max(targets) < 5:
        return wrong(zh, en, ("得到", "got", str(targets.tolist())))
    if targets.tolist() == [0, 3, 4]:
        return wrong("0、3、4 正文已经用过，另找一组", "the lesson has used 0, 3, 4 already; find another set")
    true = losses.token_losses(SEED_LOGITS, targets)
    shifted = SEED_LOGITS - SEED_LOGITS.amax(1, keepdim=True)
    flipped = shifted.gather(1, targets.unsqueeze(1)).squeeze(1) + shifted.exp().sum(1).log()
    for row, (one, other) in enumerate(zip(true.tolist(), flipped.tolist(), strict=True)):
        if math.isclose(one, other):
            return wrong(
                f"矩阵第 {row} 行（从 0 数）：正确的公式和符号写反的公式都给出 {one:.4f}",
                f"row {row} (from 0): the right formula and the one with the wrong sign both give {one:.4f}",
                (
                    "→ 这个目标就是该行的最大值，减去最大值后分数为 0",
                    "→ this target is the row's maximum, so its score is 0 after the shift",
                ),
            )
    losses_of = [", ".join(f"{value:.4f}" for value in values.tolist()) for values in (true, flipped)]
    return right(f"正确 {losses_of[0]}；写反 {losses_of[1]}", f"{losses_of[0]} when right, {losses_of[1]} when wrong")
