"""Exercises 2 and 3 of lesson 04: what counts when some targets are ignored."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from helpers import losses
from helpers.classroom.grading import Mistake, grade


def mean_loss(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise 2: token losses (B, T), anything where ignored, and targets (B, T) -> the mean over valid targets ()."""

    def truth(token_losses: Tensor, targets: Tensor) -> Tensor:
        return token_losses[targets != -100].mean()

    def zeroed(x: Tensor, y: Tensor) -> Tensor:
        return torch.where(y != -100, x, 0.0)

    def row_means(x: Tensor, y: Tensor) -> Tensor:
        return zeroed(x, y).sum(1) / (y != -100).sum(1)

    mistakes = [
        Mistake("除以了所有位置 B·T：忽略的位置清零了，却仍在分母里",
                "divided by all B·T positions: those ignored were set to 0 and still count below",
                lambda x, y: zeroed(x, y).mean()),
        Mistake("没有用到 −100：忽略的位置也计了分",
                "−100 was not used: the ignored positions are scored as well",
                lambda x, y: x.mean(), lambda x, y: x.sum() / (y != -100).sum()),
        Mistake("用乘法清零：0 · inf 和 0 · nan 都是 nan，用 torch.where 或布尔下标",
                "zeros by a product: 0 · inf and 0 · nan are nan; use torch.where or a boolean index",
                lambda x, y: (x * (y != -100)).sum() / (y != -100).sum()),
        Mistake("用乘法清零，分母也不对：0 · inf 是 nan，分母应为有效词元的个数",
                "zeros by a product, and the wrong divisor: 0 · inf is nan, and the divisor is the number of valid "
                "targets",
                lambda x, y: (x * (y != -100)).mean(), lambda x, y: (x * (y != -100)).sum() / len(y),
                lambda x, y: (x * (y != -100)).sum()),
        Mistake("先求每句的平均，再平均：这是平均的平均，短句的词元分量更重",
                "a mean for each sentence, then the mean of those: tokens of short sentences weigh more",
                lambda x, y: row_means(x, y).mean(), lambda x, y: row_means(x, y).nanmean()),
        Mistake("除以了句数 B",
                "divided by the number of sentences B",
                lambda x, y: zeroed(x, y).sum() / len(y)),
        Mistake("除以了长度 T",
                "divided by the length T",
                lambda x, y: zeroed(x, y).sum() / y.shape[1]),
        Mistake("这是总和，还没有除以有效词元的个数",
                "this is the sum, not yet divided by the number of valid targets",
                lambda x, y: zeroed(x, y).sum()),
        Mistake("目标 0 也是有效的，只有 −100 才忽略",
                "a target of 0 is valid too; −100 alone is ignored",
                lambda x, y: x[y > 0].mean()),
        Mistake("按损失是否为 0 来判断；要看目标是否为 −100",
                "this looks at whether the loss is 0; look at whether the target is −100",
                lambda x, y: x[x != 0].mean(), lambda x, y: zeroed(x, y).sum() / (zeroed(x, y) != 0).sum()),
        Mistake("平均的是被忽略的位置，条件反了",
                "this is the mean over the ignored positions: the condition is turned around",
                lambda x, y: x[y == -100].mean()),
    ]  # fmt: skip
    inf = float("inf")
    cases = [
        ([[1.0, 3.0]], [[4, -100]]),
        ([[1.0, 2.0, 6.0], [5.0, 0.0, 0.0]], [[3, 0, 7], [2, -100, -100]]),
        ([[9.0, 1.5, 0.0, 0.5], [2.5, 4.0, 9.0, 9.0], [8.0, 8.0, 8.0, 3.0]],
         [[-100, 0, 2, 5], [1, 6, -100, -100], [-100, -100, -100, 4]]),
        ([[2.0, inf], [1.0, 5.0]], [[3, -100], [0, 1]]),
        ([[2.0, 4.0], [7.0, 7.0]], [[3, 6], [-100, -100]]),
    ]  # fmt: skip
    tested = (
        "1 到 3 句，忽略的位置在头、在尾、占满一整句，那里的损失可以是任何数，包括 inf",
        "1 to 3 sentences, ignored at the start, at the end, and throughout, with any loss there, even inf",
    )
    grade(
        answer,
        truth,
        [(torch.tensor(x, dtype=torch.float64), torch.tensor(y)) for x, y in cases],
        mistakes,
        tested,
    )


def token_losses(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise 3: logits (T, V), targets (T,), some -100 -> the loss of each position (T,), 0 where ignored."""

    def picked(z: Tensor, index: Tensor) -> Tensor:
        return -z.log_softmax(1).gather(1, index.unsqueeze(1)).squeeze(1)

    def indexed(z: Tensor, index: Tensor) -> Tensor:
        return -z.log_softmax(1)[torch.arange(len(index)), index]

    def zeroed(values: Tensor, y: Tensor) -> Tensor:
        return torch.where(y != -100, values, 0.0)

    def safe(y: Tensor) -> Tensor:
        return y.clamp(min=0)

    mistakes = [
        Mistake("−100 到了 gather：它会报错。先换成一个合法的编号，取完再把那里清零",
                "−100 reached gather, which raises: put a legal number in its place, gather, then set it to 0",
                picked),
        Mistake("−100 当了下标：V < 100 时报错，V ≥ 100 时不声不响地取第 V − 100 类",
                "−100 was used as an index: an error if V < 100, and in silence class V − 100 if V ≥ 100",
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
                lambda z, y: picked(z, torch.where(y == -100, z.shape[1] - 1, y))),
        Mistake("换过编号之后才找要忽略的位置，于是真正的第 0 类也被忽略了；用原来的 targets 判断",
                "the ignored were looked for after the replacement, so the real class 0 is ignored too; ask `targets`",
                lambda z, y: torch.where(y > 0, picked(z, safe(y)), 0.0), lambda z, y: picked(z, safe(y)) * (y > 0)),
        Mistake("只返回了有效的位置；这里每个位置都要有一个数，忽略的是 0",
                "only valid positions were returned; here every position has a number, 0 where ignored",
                lambda z, y: picked(z[y != -100], y[y != -100])),
        Mistake("少了负号",
                "the minus sign is missing",
                lambda z, y: -zeroed(picked(z, safe(y)), y), lambda z, y: -picked(z, safe(y))),
        Mistake("没有做 log_softmax",
                "log_softmax is missing",
                lambda z, y: zeroed(-z.gather(1, safe(y).unsqueeze(1)).squeeze(1), y)),
        Mistake("已经平均或求和了；这里每个位置一个损失",
                "this is already averaged or added up; here each position has its own loss",
                lambda z, y: losses.cross_entropy(z, y), lambda z, y: losses.cross_entropy(z, y, reduction="sum"),
                lambda z, y: zeroed(picked(z, safe(y)), y).mean()),
        Mistake("忽略的位置应是 0，不是 nan 或 −100",
                "an ignored position is 0, not nan or −100",
                lambda z, y: torch.where(y != -100, picked(z, safe(y)), torch.nan),
                lambda z, y: torch.where(y != -100, picked(z, safe(y)), -100.0)),
        Mistake("用乘法清零：0 · inf 是 nan，用 torch.where 或 masked_fill",
                "zeros by a product: 0 · inf is nan; use torch.where or masked_fill",
                lambda z, y: picked(z, safe(y)) * (y != -100),
                lambda z, y: -(one_hot(safe(y), z.shape[1]) * (y != -100).unsqueeze(1) * z.log_softmax(1)).sum(1)),
    ]  # fmt: skip
    generator = torch.Generator().manual_seed(0)

    def example(classes: int, *numbers: int) -> tuple[Tensor, Tensor]:
        logits = 2 * torch.randn(len(numbers), classes, generator=generator, dtype=torch.float64)
        return logits, torch.tensor(numbers)

    forbidden = torch.tensor([[float("-inf"), 1.0, 2.0], [float("-inf"), 0.5, 0.0]], dtype=torch.float64)
    cases = [
        example(3, 2),
        example(3, 1, -100),
        example(4, 0, -100, 3, 0),
        example(5, -100, -100),
        example(130, 7, -100, 129, 0),
        (forbidden, torch.tensor([2, -100])),
    ]
    tested = (
        "3 到 130 类，目标里有 0、有 −100、有全是 −100 的，还有一类的概率是 0",
        "3 to 130 classes, with targets 0, −100 and nothing but −100, and a class of probability 0",
    )
    grade(answer, losses.token_losses, cases, mistakes, tested)
