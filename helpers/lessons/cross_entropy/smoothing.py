"""Exercise 5 of lesson 02: label smoothing."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from helpers import losses
from helpers.classroom.grading import Exercise, Mistake, Recipe, exercise
from helpers.lessons.cross_entropy.data import LARGE, TESTED, batches

__all__ = ["smoothed_loss"]

READY_MADE = ("cross_entropy", "cross_entropy_loss")


@exercise
def smoothed_loss() -> Exercise:
    """Exercise 5: logits (T, V), targets (T,), ε -> the mean loss with label smoothing ()."""

    def truth(logits: Tensor, targets: Tensor, epsilon: float) -> Tensor:
        return losses.cross_entropy(logits, targets, label_smoothing=epsilon)

    def parts(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The mean loss of the targets, and the mean over tokens of Σ_c -log p_c."""
        return losses.token_losses(z, y).mean(), -z.log_softmax(1).sum(1).mean()

    def mixed(formula: Callable[[Tensor, Tensor, float, int], Tensor]) -> Callable[[Tensor, Tensor, float], Tensor]:
        return lambda z, y, e: formula(*parts(z, y), e, z.shape[1])

    def through(z: Tensor, y: Tensor, e: float, log: Callable[[Tensor], Tensor]) -> Tensor:
        shares = (1 - e) * F.one_hot(y, z.shape[1]) + e / z.shape[1]
        return -(shares * log(z.softmax(1))).sum(1).mean()

    mistakes = [
        Mistake("ε 只分给了其余 V − 1 类；PyTorch 分给全部 V 类，目标也在内",
                "ε was shared among the other V − 1 classes; PyTorch shares it among all V, the target included",
                mixed(lambda hit, spread, e, v: (1 - e) * hit + e / (v - 1) * (spread - hit))),
        Mistake("均匀的那一部分没有除以 V",
                "the uniform part is not divided by V",
                mixed(lambda hit, spread, e, v: (1 - e) * hit + e * spread)),
        Mistake("目标的那一部分少了因子 1 − ε",
                "the target's part lacks its factor 1 − ε",
                mixed(lambda hit, spread, e, v: hit + e / v * spread)),
        Mistake("ε 和 1 − ε 用反了",
                "ε and 1 − ε changed places",
                mixed(lambda hit, spread, e, v: e * hit + (1 - e) / v * spread)),
        Mistake("平滑的是预测，不是目标：对数里面不能混合",
                "the prediction was smoothed, not the target: nothing is mixed inside the logarithm",
                lambda z, y, e: -((1 - e) * (-losses.token_losses(z, y)).exp() + e / z.shape[1]).log().mean()),
        Mistake("目标自己的那一份 ε/V 漏了：均匀的一份分给全部 V 类",
                "the target's own share ε/V is left out: all V classes get one",
                mixed(lambda hit, spread, e, v: (1 - e) * hit + e / v * (spread - hit))),
        Mistake("除以了 5：那是正文里的类别数，这里是 V",
                "divided by 5, the number of classes in the lesson's example; here it is V",
                mixed(lambda hit, spread, e, v: (1 - e) * hit + e / 5 * spread)),
        Mistake("除以了 T，均匀的一份应除以 V",
                "the uniform part was divided by T instead of V",
                lambda z, y, e: (1 - e) * parts(z, y)[0] + e / len(y) * parts(z, y)[1]),
        Mistake("只有均匀的那一部分，少了目标",
                "this is the uniform part alone; the target's is missing",
                mixed(lambda hit, spread, e, v: e / v * spread), mixed(lambda hit, spread, e, v: spread / v)),
        Mistake("先算出概率再取对数：相差 1000 的分数，概率下溢成 0，损失成了 inf",
                "this takes the logarithm of a probability: where scores are 1000 apart that is 0, and the loss inf",
                lambda z, y, e: through(z, y, e, lambda p: p.log())),
        Mistake("取对数前截断了概率，或加了一个小数：很小的概率都成了同一个数",
                "the probability was clamped, or something added to it: all small ones become the same",
                *(lambda z, y, e, n=n: through(z, y, e, lambda p: p.clamp(min=10.0**-n).log()) for n in range(5, 21))),
        Mistake("少了负号",
                "the minus sign is missing",
                lambda z, y, e: -truth(z, y, e)),
        Mistake("one_hot 没有写类别数 V：目标里没有最大的编号时，宽度不对",
                "one_hot was called without V: where the largest class is no target, the width is wrong",
                lambda z, y, e: -(((1 - e) * F.one_hot(y) + e / z.shape[1]) * z.log_softmax(1)).sum(1).mean()),
        Mistake("没有用到 ε",
                "ε was not used",
                mixed(lambda hit, spread, e, v: hit)),
        Mistake("是总和，不是词元的平均",
                "this is the sum over tokens, not their mean",
                lambda z, y, e: truth(z, y, e) * len(y)),
        Mistake("还没有对词元取平均",
                "the tokens have not been averaged yet",
                lambda z, y, e: losses.cross_entropy(z, y, label_smoothing=e, reduction="none")),
    ]  # fmt: skip
    small = [(*batch, epsilon) for batch in batches() for epsilon in (0.5, 0.1, 0.0)]
    made = [*small, Recipe(LARGE + "\nepsilon = 0.25")]
    tested = TESTED[0] + "，ε 从 0 到 0.5", TESTED[1] + ", ε from 0 to 0.5"
    return Exercise(truth, made, mistakes, tested, {name: "F.cross_entropy" for name in READY_MADE})
