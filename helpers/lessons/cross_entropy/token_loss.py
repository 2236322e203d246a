"""Exercise 2 of lesson 02: the loss of each token."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from helpers import losses
from helpers.classroom.grading import Exercise, Mistake, exercise
from helpers.lessons.cross_entropy.data import TESTED, cases

__all__ = ["token_losses"]


@exercise
def token_losses() -> Exercise:
    """Exercise 2: logits (T, V), targets (T,) -> the loss of each token (T,), in nats."""

    def truth(logits: Tensor, targets: Tensor) -> Tensor:
        return losses.token_losses(logits, targets)

    def picked(log_probs: Tensor, targets: Tensor) -> Tensor:
        return log_probs.gather(1, targets.unsqueeze(1)).squeeze(1)

    def through(log: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        """The loss with `log` instead of the logarithm of the probabilities."""
        return lambda z, y: -picked(log(z.softmax(1)), y)

    mistakes = [
        Mistake("少了负号：对数概率不大于 0，损失不小于 0",
                "the minus sign is missing: log p is at most 0, a loss at least 0",
                lambda z, y: picked(z.log_softmax(1), y)),
        Mistake("在词表维 V 上取了平均",
                "the mean was taken over the vocabulary V",
                lambda z, y: -picked(z.log_softmax(1), y) / z.shape[1]),
        Mistake("对数以 2 为底，单位成了比特",
                "the logarithm is to base 2, so the unit is bits",
                through(torch.log2)),
        Mistake("对数以 10 为底，应为 e",
                "the logarithm is to base 10 and should be to base e",
                through(torch.log10)),
        Mistake("先算出概率再取对数：相差 1000 的分数，概率下溢成 0，损失成了 inf",
                "this is the logarithm of a probability: where scores are 1000 apart that is 0, and the loss inf",
                through(torch.log)),
        Mistake("猜对的词元损失记成了 0；最大的一类也有代价 −ln p",
                "a right guess was made to cost nothing; the largest class costs −ln p as well",
                lambda z, y: truth(z, y) * (z.argmax(1) != y)),
        Mistake("one_hot 没有写类别数 V：目标里没有最大的编号时，宽度不对",
                "one_hot was called without V: where the largest class is no target, the width is wrong",
                lambda z, y: -(one_hot(y) * z.log_softmax(1)).sum(1)),
        Mistake("squeeze() 没有写 dim：批次只有一行时，那一维也没了",
                "squeeze() without a dimension also drops a batch of one",
                lambda z, y: truth(z, y).squeeze()),
        Mistake("概率先四舍五入，再取对数",
                "the probability was rounded before its logarithm was taken",
                *(through(lambda p, n=n: p.round(decimals=n).log()) for n in (2, 3, 4, 5, 6))),
        Mistake("取对数前截断了概率，或加了一个小数：很小的概率都成了同一个数",
                "the probability was clamped, or something added to it: all small ones become the same",
                *(through(lambda p, n=n: p.clamp(min=10.0**-n).log()) for n in range(5, 21)),
                *(through(lambda p, n=n: (p + 10.0**-n).log()) for n in range(5, 10))),  # less is as clamping
        Mistake("没有取对数，返回的是概率",
                "no logarithm was taken: this is the probability",
                lambda z, y: picked(z.softmax(1), y), lambda z, y: -picked(z.softmax(1), y),
                lambda z, y: 1 - picked(z.softmax(1), y)),
        Mistake("没有做 softmax，只取了目标的分数",
                "softmax is missing: this is the target's raw score",
                lambda z, y: -picked(z, y), picked),
        Mistake("做了两次 softmax",
                "softmax was applied twice",
                lambda z, y: -picked(z.softmax(1).log_softmax(1), y)),
        Mistake("softmax 做在了批次维上（dim=0）",
                "softmax ran over the batch (dim=0), not over the classes",
                lambda z, y: -picked(z.log_softmax(0), y)),
        Mistake("用了最大的概率，而不是目标的概率",
                "this takes the largest probability, not the target's",
                lambda z, y: -z.log_softmax(1).amax(1)),
        Mistake("gather 之后少了 squeeze(1)",
                "squeeze(1) is missing after gather",
                lambda z, y: -picked(z.log_softmax(1), y).unsqueeze(1)),
        Mistake("[:, targets] 给每一行取了所有目标，要的是每一行取自己的那一个",
                "[:, targets] takes all targets from every row; each row has its own",
                lambda z, y: -z.log_softmax(1)[:, y]),
        Mistake("已经对词元取了平均或求和；这里要每个词元一个损失",
                "the tokens were already averaged or added up; here each keeps its own loss",
                lambda z, y: -picked(z.log_softmax(1), y).mean(), lambda z, y: -picked(z.log_softmax(1), y).sum()),
    ]  # fmt: skip
    return Exercise(truth, cases(), mistakes, TESTED)
