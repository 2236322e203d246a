"""The exercises of lesson 02: the truth, the data that can tell, and the mistakes that they know by name."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from helpers import losses
from helpers.classroom.bilingual import say
from helpers.classroom.grading import Mistake, grade, right, waiting, wrong

SEED_LOGITS = torch.tensor(
    [[1.2, 3.1, 0.7, 2.4, 0.9], [0.5, 1.8, 2.9, 1.1, 0.3], [4.2, 2.5, 3.7, 1.9, 0.8]], dtype=torch.float64
)


def _example(rows: int, classes: int, seed: int) -> tuple[Tensor, Tensor]:
    """Random logits (rows, classes) and targets (rows,), none of them the largest logit of its row."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(rows, classes, generator=generator, dtype=torch.float64)
    return logits, (logits.argmax(-1) + torch.randint(1, classes, (rows,), generator=generator)) % classes


_TWO = (torch.tensor([[0.0, 1.0]], dtype=torch.float64), torch.tensor([0]))
_FAR = (torch.tensor([[0.0, 60.0, 1.0], [2.0, 0.5, 1.0]], dtype=torch.float64), torch.tensor([0, 2]))
_BATCHES = [_TWO, _example(2, 3, seed=1), _example(4, 4, seed=2), _example(6, 5, seed=3)]


def token_losses(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise 1: logits (T, V), targets (T,) -> the loss of each token (T,), in nats."""

    def picked(log_probs: Tensor, targets: Tensor) -> Tensor:
        return log_probs.gather(1, targets.unsqueeze(1)).squeeze(1)

    def through(log: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        """The loss with `log` in the place of the logarithm of the probabilities."""
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
        Mistake("概率先四舍五入，再取对数",
                "the probability was rounded before its logarithm was taken",
                *(through(lambda p, n=n: p.round(decimals=n).log()) for n in (2, 3, 4, 5, 6))),
        Mistake("取对数前截断了概率，或加了一个小数：很小的概率都成了同一个数",
                "the probability was clamped, or something added to it: all small ones become the same",
                *(through(lambda p, n=n: p.clamp(min=10.0**-n).log()) for n in range(5, 21)),
                *(through(lambda p, n=n: (p + 10.0**-n).log()) for n in (5, 6))),  # less gives what clamping gives
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
    tested = "2 到 6 行、2 到 5 类，其中一个目标的概率只有 e⁻⁶⁰", "1 to 6 rows, 2 to 5 classes, a target with p = e⁻⁶⁰"
    grade(answer, losses.token_losses, [*_BATCHES, _FAR], mistakes, tested)


def perplexity(answer: Callable[[Tensor], Tensor]) -> None:
    """Exercise 2: the losses of all tokens (T,) in nats -> their perplexity ()."""

    def truth(token_losses: Tensor) -> Tensor:
        return token_losses.mean().exp()

    mistakes = [
        Mistake("先取指数再平均；要先平均",
                "the exponentials were averaged; take the mean first",
                lambda x: x.exp().mean()),
        Mistake("用了总和，没有除以词元数",
                "this is the sum, not divided by the number of tokens",
                lambda x: x.sum().exp()),
        Mistake("底数用了 2，而损失以 nat 为单位，底数是 e",
                "the base is 2, but losses in nats belong to base e",
                lambda x: 2 ** x.mean()),
        Mistake("没有取指数，这是平均损失",
                "no exponential was taken: this is the mean loss",
                lambda x: x.mean()),
        Mistake("指数上多了负号，这是平均（几何）概率",
                "the exponent has a minus sign: this is the (geometric) mean probability",
                lambda x: (-x.mean()).exp()),
    ]  # fmt: skip
    cases = [
        (torch.tensor(values, dtype=torch.float64),)
        for values in ([1.0], [0.0, 2.0], [0.4644, 1.3435, 0.6435, 1.1355], [10.3735] * 3)
    ]
    grade(answer, truth, cases, mistakes, ("1 到 4 个词元", "1 to 4 tokens"))


def gradient(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise 4: logits (T, V), targets (T,) -> the gradient of the mean loss (T, V), without autograd."""

    def truth(logits: Tensor, targets: Tensor) -> Tensor:
        logits = logits.clone().requires_grad_()
        return torch.autograd.grad(losses.cross_entropy(logits, targets), logits)[0]

    def one_hot(z: Tensor, y: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(y, z.shape[1]).to(z.dtype)

    mistakes = [
        Mistake("没有除以词元数 T：这是总和的梯度",
                "not divided by the number of tokens T: this is the gradient of the sum",
                lambda z, y: z.softmax(1) - one_hot(z, y)),
        Mistake("符号反了：应为 p − y",
                "the sign is turned around: it is p − y",
                lambda z, y: (one_hot(z, y) - z.softmax(1)) / len(y), lambda z, y: one_hot(z, y) - z.softmax(1)),
        Mistake("除以了 T·V；平均只对词元",
                "divided by T·V; the mean is over tokens alone",
                lambda z, y: (z.softmax(1) - one_hot(z, y)) / z.numel()),
        Mistake("除以了 V，应除以 T",
                "divided by V instead of T",
                lambda z, y: (z.softmax(1) - one_hot(z, y)) / z.shape[1]),
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
    grade(
        answer,
        truth,
        _BATCHES,
        mistakes,
        ("1 到 6 行、2 到 5 类，与自动求导一致", "1 to 6 rows, 2 to 5 classes, as autograd has it"),
    )


def smoothed_loss(answer: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """Exercise 5: logits (T, V), targets (T,), ε -> the mean loss with label smoothing ()."""

    def truth(logits: Tensor, targets: Tensor, epsilon: float) -> Tensor:
        return losses.cross_entropy(logits, targets, label_smoothing=epsilon)

    def parts(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The mean loss of the targets, and the mean over tokens of Σ_c -log p_c."""
        return losses.token_losses(z, y).mean(), -z.log_softmax(1).sum(1).mean()

    def mixed(formula: Callable[[Tensor, Tensor, float, int], Tensor]) -> Callable[[Tensor, Tensor, float], Tensor]:
        return lambda z, y, e: formula(*parts(z, y), e, z.shape[1])

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
    cases = [(*batch, epsilon) for batch in _BATCHES for epsilon in (0.1, 0.3, 0.0)]
    grade(answer, truth, cases, mistakes, ("12 组，ε 为 0、0.1 和 0.3", "12 inputs, ε of 0, 0.1 and 0.3"))


def revealing_targets(answer: Tensor) -> None:
    """Exercise 3: targets (3,) for the seed's logits with which a flipped sign shows in every row."""
    if answer is ...:
        return waiting()
    try:
        targets = torch.as_tensor(answer)
        true = losses.token_losses(SEED_LOGITS, targets)
        shifted = SEED_LOGITS - SEED_LOGITS.amax(1, keepdim=True)
        flipped = shifted.gather(1, targets.unsqueeze(1)).squeeze(1) + shifted.exp().sum(1).log()
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        return wrong(
            "要一个 int64 张量，三个类别编号，从 0 到 4",
            "an int64 tensor is wanted, three class numbers from 0 to 4",
            str(error),
        )
    for row, (one, other) in enumerate(zip(true.tolist(), flipped.tolist(), strict=True)):
        if math.isclose(one, other):
            return wrong(
                f"第 {row} 行：正确的公式和符号写反的公式都给出 {one:.4f}",
                f"row {row}: the right formula and the one with the wrong sign both give {one:.4f}",
                "→ "
                + say(
                    "这个目标就是该行的最大值，减去最大值后分数为 0",
                    "this target is the row's maximum, so its score is 0 after the shift",
                ),
            )
    losses_of = [", ".join(f"{value:.4f}" for value in values.tolist()) for values in (true, flipped)]
    right(f"正确 {losses_of[0]}；写反 {losses_of[1]}", f"{losses_of[0]} when right, {losses_of[1]} when wrong")
