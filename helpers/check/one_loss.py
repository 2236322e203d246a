"""The exercises of lesson 04: the truth, the data that can tell, and the mistakes that they know by name."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from helpers import losses
from helpers.bilingual import say
from helpers.check.grading import Mistake, as_tensor, grade, right, waiting, wrong

FOOLED_TARGETS = torch.tensor([[2, 0, 1]])


def targets(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise 1: tokens (B, T), padded with 0, and their numbers (B,) -> targets (B, T), -100 where there is none."""

    def truth(tokens: Tensor, lengths: Tensor) -> Tensor:
        result = torch.full_like(tokens, -100)
        for row, n in enumerate(lengths.tolist()):
            for t in range(n - 1):
                result[row, t] = tokens[row, t + 1]
        return result

    def ahead(x: Tensor) -> Tensor:
        return x.roll(-1, 1)

    def before(x: Tensor, n: Tensor, margin: int) -> Tensor:
        """Where position t stands `margin` or more places before the end of its sentence."""
        return torch.arange(x.shape[1]) + margin < n.unsqueeze(1)

    def kept(values: Tensor, where: Tensor, ignored: int = -100) -> Tensor:
        return values.masked_fill(~where, ignored)

    def but_last(x: Tensor) -> Tensor:
        return torch.arange(x.shape[1]).expand_as(x) < x.shape[1] - 1

    mistakes = [
        Mistake("没有错开：目标就是输入自己，模型只要照抄",
                "there is no shift: the target is the input itself, and the model has only to copy it",
                lambda x, n: x, lambda x, n: kept(x, before(x, n, 0)), lambda x, n: kept(x, before(x, n, 1)),
                lambda x, n: x[:, :-1], lambda x, n: kept(x, x != 0)),
        Mistake("错开的方向反了：目标成了前一个词元",
                "the shift goes the wrong way: the target is the token before",
                *(lambda x, n, m=m: kept(x.roll(1, 1), before(x, n, m) & (torch.arange(x.shape[1]) > 0))
                  for m in (0, 1)),
                *(lambda x, n, m=m: kept(x.roll(1, 1), before(x, n, m)) for m in (0, 1)),
                lambda x, n: x.roll(1, 1),
                lambda x, n: kept(x.roll(1, 1), torch.arange(x.shape[1]).expand_as(x) > 0)),
        Mistake("按数值 0 找填充，连句末真正的词元 0 也忽略了；要按长度",
                "padding was found by its value 0, so a real token 0 is ignored as well; go by the lengths",
                lambda x, n: kept(ahead(x), but_last(x) & (ahead(x) != 0)), lambda x, n: kept(ahead(x), ahead(x) != 0),
                lambda x, n: kept(ahead(x), before(x, n, 1) & (ahead(x) != 0)),
                lambda x, n: kept(ahead(x), but_last(x) & (x != 0)),
                lambda x, n: kept(ahead(x), before(x, n, 1) & (x != 0))),
        Mistake("roll 把第一个词元送到了末尾：最后一个位置没有目标",
                "roll brings the first token round to the end: the last position has no target",
                lambda x, n: ahead(x), lambda x, n: kept(ahead(x), before(x, n, 0))),
        Mistake("句末的词元去预测填充了：它没有目标",
                "the last token is made to predict padding: it has no target",
                lambda x, n: kept(ahead(x), but_last(x) & before(x, n, 0))),
        Mistake("填充也计了分：0 是填充时，目标要写 −100",
                "padding is scored: where 0 is padding the target is −100",
                lambda x, n: kept(ahead(x), but_last(x))),
        Mistake("多忽略了一个：每句最后一个词元本身是目标",
                "one too many is ignored: the last token of a sentence is itself a target",
                lambda x, n: kept(ahead(x), before(x, n, 2))),
        Mistake("错开了两位",
                "this shifts by two",
                lambda x, n: kept(x.roll(-2, 1), before(x, n, 2)), lambda x, n: kept(x.roll(-2, 1), before(x, n, 1))),
        Mistake("少了最后一列：这里的目标与 tokens 同形状，没有目标的位置写 −100",
                "the last column is missing: here targets have the shape of tokens, with −100 where there is none",
                lambda x, n: x[:, 1:], lambda x, n: truth(x, n)[:, :-1], lambda x, n: kept(x, x != 0)[:, 1:]),
        Mistake("忽略的位置要写 −100",
                "the ignored positions are to hold −100",
                *(lambda x, n, i=i: kept(ahead(x), before(x, n, 1), i) for i in (-1, 0, 100))),
    ]  # fmt: skip
    cases = [
        ([[5, 3]], [2]),
        ([[5, 3, 8, 1], [7, 2, 0, 0]], [4, 2]),
        ([[0, 5, 3, 0, 0], [0, 7, 2, 6, 0], [9, 0, 0, 0, 0], [0, 4, 0, 8, 0]], [4, 5, 1, 5]),
    ]
    tested = (
        "1 到 4 句，有的到头，有的有填充，词元里有真正的 0，还有一句只有一个词元",
        "1 to 4 sentences, full or padded, with real tokens 0 among them, and one of a single token",
    )
    grade(answer, truth, [(torch.tensor(x), torch.tensor(n)) for x, n in cases], mistakes, tested)


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
                picked, lambda z, y: zeroed(picked(z, y), y)),
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


def perplexity(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise 4: the mean loss of each batch (K,) and its number of valid targets (K,) -> the perplexity of all ()."""

    def truth(means: Tensor, counts: Tensor) -> Tensor:
        everything = torch.repeat_interleave(means, counts)  # a token losses its batch's mean
        return everything.mean().exp()

    mistakes = [
        Mistake("平均的平均：每一批同样重，不管有多少词元",
                "a mean of means: every batch weighs the same, however many tokens it has",
                lambda m, n: m.mean().exp()),
        Mistake("先取指数再平均：困惑度不能平均",
                "the exponentials were averaged: perplexities have no mean worth the name",
                lambda m, n: m.exp().mean()),
        Mistake("先取指数再平均，权重对了也不行；先把损失平均好",
                "the exponentials were averaged, and right weights do not mend it; average the losses first",
                lambda m, n: (m.exp() * n).sum() / n.sum()),
        Mistake("没有取指数：这是平均损失",
                "no exponential was taken: this is the mean loss",
                lambda m, n: (m * n).sum() / n.sum(), lambda m, n: m.mean()),
        Mistake("除以了批数 K，应除以词元数",
                "divided by the number of batches K; it is the number of tokens",
                lambda m, n: ((m * n).sum() / len(n)).exp()),
        Mistake("没有除以词元数",
                "not divided by the number of tokens",
                lambda m, n: (m * n).sum().exp(), lambda m, n: m.sum().exp()),
        Mistake("把平均当成了总和：means 要先乘回各自的词元数",
                "means were taken for sums: first multiply each by its number of tokens",
                lambda m, n: (m.sum() / n.sum()).exp()),
        Mistake("底数用了 2，而损失以 nat 为单位，底数是 e",
                "the base is 2, but losses in nats belong to base e",
                lambda m, n: 2 ** ((m * n).sum() / n.sum())),
        Mistake("权重反了：除以了各批的词元数",
                "the weights are turned around: each mean was divided by its number of tokens",
                lambda m, n: ((m / n).sum() / (1 / n).sum()).exp(), lambda m, n: (m / n).mean().exp()),
    ]  # fmt: skip
    cases = [([1.0], [1]), ([1.0, 3.0], [1, 3]), ([1.0, 3.0], [10, 90]), ([2.5, 0.5, 4.0, 2.0], [7, 2, 1, 30])]
    tested = ("1 到 4 批，大小悬殊", "1 to 4 batches of very different sizes")
    grade(
        answer,
        truth,
        [(torch.tensor(m, dtype=torch.float64), torch.tensor(n)) for m, n in cases],
        mistakes,
        tested,
    )


def fooling_logits(answer: Tensor) -> None:
    """Exercise 5: logits (1, 3, 3) whose loss is right though (B, T, V) goes to PyTorch as it is."""
    if answer is ...:
        return waiting()
    logits = as_tensor(answer)
    if logits is None or logits.shape != (1, 3, 3) or logits.dtype == torch.bool:
        kind = tuple(logits.shape) if logits is not None else type(answer).__name__
        return wrong(
            "要一个形状为 (1, 3, 3) 的实数张量",
            "a tensor of real numbers of shape (1, 3, 3) is wanted",
            f"{say('得到', 'got')}: {kind}",
        )
    logits = logits.double()
    if not logits.isfinite().all() or logits.abs().max() > 100:
        return wrong("分数要在 −100 和 100 之间", "the scores are to lie between −100 and 100")
    for t, row in enumerate(logits[0]):
        if row.sort().values.diff().min() < 0.1 - 1e-6:
            return wrong(
                f"位置 {t} 有两个分数相差不到 0.1：都一样的分数谁也骗不了，要互不相同",
                f"at position {t} two scores differ by less than 0.1: equal scores prove nothing, let them differ",
            )
    true = cross_entropy(logits.flatten(0, 1), FOOLED_TARGETS.flatten()).item()
    unflattened = cross_entropy(logits, FOOLED_TARGETS).item()
    if abs(true - unflattened) > 1e-5:
        return wrong(
            f"展平之后是 {true:.4f}，不展平是 {unflattened:.4f}，不相等",
            f"flattened it is {true:.4f}, unflattened {unflattened:.4f}: not equal",
            "→ "
            + say(
                "不展平时，PyTorch 把第 1 维当成类别，读到的是转置的矩阵",
                "unflattened, PyTorch takes dimension 1 for the classes and reads the matrix transposed",
                "\n    ",
            ),
        )
    right(f"两种写法都给出 {true:.4f}", f"both give {true:.4f}")
