"""Exercise 3 of lesson 04: token losses that survive −100."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from helpers import losses
from helpers.batches import IGNORE_INDEX
from helpers.classroom.grading import Exercise, Mistake, Recipe, exercise

__all__ = ["token_losses"]


@exercise
def token_losses() -> Exercise:
    """Exercise 3: logits (T, V), targets (T,), some -100 -> the loss of each position (T,), 0 where ignored."""

    def truth(logits: Tensor, targets: Tensor) -> Tensor:
        return losses.token_losses(logits, targets)

    def picked(z: Tensor, index: Tensor) -> Tensor:
        return -z.log_softmax(1).gather(1, index.unsqueeze(1)).squeeze(1)

    def through(z: Tensor, index: Tensor, log: Callable[[Tensor], Tensor]) -> Tensor:
        return -log(z.softmax(1)).gather(1, index.unsqueeze(1)).squeeze(1)

    def naive(z: Tensor, index: Tensor) -> Tensor:
        return z.exp().sum(1).log() - z.gather(1, index.unsqueeze(1)).squeeze(1)

    def indexed(z: Tensor, index: Tensor) -> Tensor:
        return -z.log_softmax(1)[torch.arange(len(index)), index]

    def zeroed(values: Tensor, y: Tensor) -> Tensor:
        return torch.where(y != IGNORE_INDEX, values, 0.0)

    def safe(y: Tensor) -> Tensor:
        return y.clamp(min=0)

    mistakes = [
        Mistake("−100 到了 gather：它会报错。先换成一个合法的编号，取完再把那里清零",
                "−100 reached gather, which raises: put a legal number in its place, gather, then set it to 0",
                picked),
        Mistake("−100 当了下标：V < 100 时报错，V ≥ 100 时不报错，取的是第 V − 100 类",
                "−100 was used as an index: an error if V < 100, and class V − 100 without an error if V ≥ 100",
                indexed),
        Mistake("−100 当了下标，V < 100 时会报错；先换成一个合法的编号",
                "−100 was used as an index, an error if V < 100; put a legal number in its place first",
                lambda z, y: zeroed(indexed(z, y), y)),
        Mistake("只换了编号，没有清零：忽略的位置得到了第 0 类的损失",
                "the number was replaced but nothing set to 0: ignored positions have the loss of class 0",
                lambda z, y: picked(z, safe(y))),
        Mistake("−100 绕回到了别的类（对 V 取余），没有清零",
                "−100 was wrapped around to some class (modulo V), and nothing set to 0",
                lambda z, y: picked(z, y % z.shape[1])),
        Mistake("−100 绕回到了最后一类，没有清零",
                "−100 became the last class, and nothing was set to 0",
                lambda z, y: picked(z, torch.where(y == IGNORE_INDEX, z.shape[1] - 1, y))),
        Mistake("目标 0 也是有效的，只有 −100 才忽略；用原来的 targets 判断",
                "a target of 0 is valid too; −100 alone is ignored, so ask the original `targets`",
                lambda z, y: torch.where(y > 0, picked(z, safe(y)), 0.0), lambda z, y: picked(z, safe(y)) * (y > 0),
                lambda z, y: torch.where(y > 0, losses.token_losses(z, y), 0.0)),
        Mistake("只返回了有效的位置；这里每个位置都要有一个数，忽略的是 0",
                "only valid positions were returned; here every position has a number, 0 where ignored",
                lambda z, y: picked(z[y != IGNORE_INDEX], y[y != IGNORE_INDEX])),
        Mistake("少了负号",
                "the minus sign is missing",
                lambda z, y: -zeroed(picked(z, safe(y)), y), lambda z, y: -picked(z, safe(y))),
        Mistake("有效的目标分数是 −inf 时，损失是 inf，是 nan 时是 nan；不要把它截断或换掉",
                "a valid target with a logit of −inf costs inf, and one of nan costs nan; do not clamp or replace it",
                lambda z, y: (picked(z, safe(y)) * (y != IGNORE_INDEX)).nan_to_num(0.0, math.inf, -math.inf),
                lambda z, y: zeroed(picked(z, safe(y)).nan_to_num(), y), lambda z, y: truth(z, y).nan_to_num(),
                lambda z, y: truth(z, y).nan_to_num(0.0, 0.0, 0.0),
                lambda z, y: zeroed(picked(z.nan_to_num(), safe(y)), y)),
        Mistake("先算出概率再取对数：相差 1000 的分数，概率下溢成 0，损失成了 inf",
                "this is the logarithm of a probability: where scores are 1000 apart that is 0, and the loss inf",
                lambda z, y: zeroed(through(z, safe(y), torch.log), y)),
        Mistake("取对数前截断了概率，或加了一个小数：很小的概率都成了同一个数",
                "the probability was clamped, or something added to it: all small ones become the same",
                *(lambda z, y, n=n: zeroed(through(z, safe(y), lambda p: p.clamp(min=10.0**-n).log()), y)
                  for n in range(5, 21)),
                *(lambda z, y, n=n: zeroed(through(z, safe(y), lambda p: (p + 10.0**-n).log()), y)
                  for n in range(5, 10))),
        Mistake("没有减去最大值：分数很大时 exp 上溢，很低时都成了 0",
                "no maximum was subtracted: large scores overflow, and low ones are all 0",
                lambda z, y: zeroed(naive(z, safe(y)), y)),
        Mistake("没有取对数，返回的是概率",
                "no logarithm was taken: this is the probability",
                lambda z, y: zeroed(-through(z, safe(y), lambda p: p), y),
                lambda z, y: zeroed(through(z, safe(y), lambda p: p), y)),
        Mistake("softmax 做在了批次维上（dim=0）",
                "softmax ran over the batch (dim=0), not over the classes",
                lambda z, y: zeroed(-z.log_softmax(0).gather(1, safe(y).unsqueeze(1)).squeeze(1), y)),
        Mistake("对数的底不是 e",
                "the logarithm is not to base e",
                lambda z, y: truth(z, y) / math.log(2), lambda z, y: truth(z, y) / math.log(10)),
        Mistake("squeeze() 没有写 dim：批次只有一行时，那一维也没了",
                "squeeze() without a dimension also drops a batch of one",
                lambda z, y: truth(z, y).squeeze()),
        Mistake("one_hot 没有写类别数 V：目标里没有最大的编号时，宽度不对",
                "one_hot was called without V: where the largest class is no target, the width is wrong",
                lambda z, y: zeroed(-(one_hot(safe(y)) * z.log_softmax(1)).sum(1), y)),
        Mistake("没有做 log_softmax",
                "log_softmax is missing",
                lambda z, y: zeroed(-z.gather(1, safe(y).unsqueeze(1)).squeeze(1), y)),
        Mistake("已经平均或求和了；这里每个位置一个损失",
                "this is already averaged or added up; here each position has its own loss",
                lambda z, y: losses.cross_entropy(z, y), lambda z, y: losses.cross_entropy(z, y, reduction="sum"),
                lambda z, y: zeroed(picked(z, safe(y)), y).mean()),
        Mistake("忽略的位置应是 0，不是 nan 或 −100",
                "an ignored position is 0, not nan or −100",
                lambda z, y: torch.where(y != IGNORE_INDEX, picked(z, safe(y)), torch.nan),
                lambda z, y: torch.where(y != IGNORE_INDEX, picked(z, safe(y)), -100.0)),
        Mistake("用乘法清零：0 · inf 是 nan，用 torch.where 或 masked_fill",
                "zeros by a product: 0 · inf is nan; use torch.where or masked_fill",
                lambda z, y: picked(z, safe(y)) * (y != IGNORE_INDEX),
                lambda z, y: -((y != IGNORE_INDEX).unsqueeze(1) * one_hot(safe(y), z.shape[1])
                               * z.log_softmax(1)).sum(1)),
    ]  # fmt: skip
    cases = [
        ([[0.0, 1.0]], [0]),
        ([[0.0, 1.0], [2.0, 0.0]], [1, -100]),
        ([[0.0, 1.0, 2.0], [1.0, 0.0, 0.0], [0.0, 3.0, 1.0], [2.0, 2.0, 0.0]], [0, -100, 2, 0]),
        ([[1.0, 3.0, 0.0], [0.0, 2.0, 1.0], [3.0, 1.0, 1.0]], [-100, 1, 0]),  # square
        ([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]], [-100, -100]),
        ([[-math.inf, 1.0, 2.0], [-math.inf, 0.5, 0.0]], [2, -100]),
        ([[-math.inf, 1.0, 0.0], [0.0, 1.0, 0.0]], [0, 1]),  # an impossible target costs inf
        ([[math.nan, math.inf, 0.0], [0.0, 1.0, 2.0]], [-100, 1]),
        ([[math.nan, 0.0, 1.0], [0.0, 1.0, 2.0]], [2, -100]),  # and scores that are nan cost nan
        ([[0.0, -1000.0, 1.0], [1000.0, 1001.0, 999.0], [-1000.0, -1001.0, -999.0]], [1, 2, 0]),
    ]
    wide = """torch.manual_seed(0)
logits = (2 * torch.randn(4, 130)).round(decimals=3)
targets = torch.tensor([7, -100, 129, 0])"""
    large = """torch.manual_seed(0)
logits = (2 * torch.randn(20, 50)).round(decimals=3)
targets = torch.randint(50, (20,))
targets[torch.rand(20) < 0.3] = -100"""
    tested = (
        "2 到 130 类，目标里有 0、有 −100、有全是 −100 的，有的类概率是 0，分数相差 1000",
        "2 to 130 classes, with targets 0, −100 and nothing but −100, classes of probability 0, scores 1000 apart",
    )
    made = [*((torch.tensor(z, dtype=torch.float64), torch.tensor(y)) for z, y in cases), Recipe(wide), Recipe(large)]
    ready_made = {"cross_entropy": "F.cross_entropy", "cross_entropy_loss": "F.cross_entropy"}
    return Exercise(truth, made, mistakes, tested, {**ready_made, "token_losses": "token_losses"})
