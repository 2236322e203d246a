"""The exercises of lesson 01: the truth, the data that can tell, and the mistakes that they know by name."""

from collections.abc import Callable

import torch
from torch import Tensor

from helpers import losses
from helpers.classroom.bilingual import say
from helpers.classroom.grading import Mistake, as_tensor, grade, refused, right, waiting, wrong


def _numbers(*values: float | list) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _random(*shape: int, seed: int) -> Tensor:
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


_ROWS = [(_numbers(0.0, 1.0),), (_numbers(2.0, 0.5, 1.0),), (_numbers(-1.0, 0.0, 3.0, -2.0),), (_random(6, seed=1),)]
_BATCHES = [
    (_random(2, 3, seed=2),),
    (_random(3, 3, seed=3),),  # square: a shape cannot tell the axes apart
    (_random(4, seed=4),),
    (_random(2, 3, 4, seed=5),),
    (_random(3, 3, 3, seed=6),),
]


def _other_formulas() -> list[Mistake]:
    """Mistakes in the formula itself, whatever the shape."""

    def divided(f: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda z: f(z) / f(z).sum(-1, keepdim=True)

    return [
        Mistake("没有取指数，直接用分数除以总和",
                "no exponential was taken: these are the scores, divided by their sum",
                divided(lambda z: z), divided(torch.abs), divided(torch.relu)),
        Mistake("没有除以总和，这只是 exp(z)",
                "not divided by the sum: this is exp(z) alone",
                torch.exp),
        Mistake("这是 sigmoid：每个分数各算各的，总和不是 1",
                "this is the sigmoid: each score by itself, and the sum is not 1",
                torch.sigmoid, divided(torch.sigmoid)),
        Mistake("底数用了 2，应为 e",
                "the base is 2 and should be e",
                divided(lambda z: 2**z)),
        Mistake("除以了最大的一个，不是总和：最大的概率成了 1",
                "divided by the largest, not by the sum: the largest probability is 1",
                lambda z: z.exp() / z.exp().amax(-1, keepdim=True)),
        Mistake("这是对数概率，还差一步 exp",
                "these are log-probabilities: exp is missing",
                lambda z: z.log_softmax(-1)),
        Mistake("指数里的符号反了：分数越高，概率反而越小",
                "the exponent has the wrong sign: a higher score gets a smaller probability",
                lambda z: (-z).softmax(-1)),
        Mistake("做了两次 softmax",
                "softmax was applied twice",
                lambda z: z.softmax(-1).softmax(-1)),
        Mistake("平方不是指数",
                "a square is no exponential",
                divided(torch.square)),
    ]  # fmt: skip


def softmax_row(answer: Callable[[Tensor], Tensor]) -> None:
    """Exercise 1: the scores of one row (V,) -> their probabilities (V,)."""
    grade(answer, losses.softmax, _ROWS, _other_formulas(), ("一行，2 到 6 个分数", "one row of 2 to 6 scores"))


def softmax_batch(answer: Callable[[Tensor], Tensor]) -> None:
    """Exercise 2: scores (..., V) -> probabilities (..., V), over the last dimension."""
    mistakes = [
        Mistake("求和时少了 keepdim=True：方阵的形状凑巧相符，除的却是别的行的总和",
                "keepdim=True is missing in the sum: in a square batch the shapes fit by chance, and rows are divided "
                "by the sums of others",
                lambda z: z.exp() / z.exp().sum(-1)),
        Mistake("softmax 做在了第一维（dim=0），应为最后一维",
                "softmax ran over the first dimension (dim=0), not over the last",
                lambda z: z.softmax(0)),
        Mistake("dim=1 只在两维时是最后一维；用 dim=-1",
                "dim=1 is the last dimension only of two; use dim=-1",
                lambda z: z.softmax(1)),
        Mistake("除以了全体的总和，应为每一行自己的",
                "divided by the sum of everything; each row has its own",
                lambda z: z.exp() / z.exp().sum()),
        *_other_formulas(),
    ]  # fmt: skip
    tested = "1 到 3 维，也有方阵", "1 to 3 dimensions, square batches among them"
    grade(answer, losses.softmax, _BATCHES, mistakes, tested)


def temperature_for(answer: Callable[[Tensor, float], float]) -> None:
    """Exercise 4: scores (V,) with one largest, and a probability -> the temperature that gives it to the largest."""

    def truth(logits: Tensor, top: float) -> Tensor:
        low, high = torch.tensor(1e-6).double(), torch.tensor(1e6).double()
        for _ in range(200):  # halve the ratio of the bounds
            middle = (low * high).sqrt()
            low, high = (middle, high) if losses.softmax(logits / middle).max() > top else (low, middle)
        return middle

    def as_if_two(z: Tensor, top: float) -> Tensor:
        largest, second = z.topk(2).values
        return (largest - second) / torch.logit(_numbers(top)[0])

    mistakes = [
        Mistake("这是温度的倒数 1/T：分数要除以 T，不是乘",
                "this is 1/T: the scores are divided by T, not multiplied",
                lambda z, top: 1 / truth(z, top)),
        Mistake("只看了最大的两个分数；其余的也分走概率",
                "only the two largest scores were looked at; the others take their share too",
                as_if_two, lambda z, top: 1 / as_if_two(z, top)),
        Mistake("这是温度的对数，还差一步 exp",
                "this is the logarithm of the temperature: exp is missing",
                lambda z, top: truth(z, top).log()),
    ]  # fmt: skip
    cases = [
        (_numbers(0.0, 1.0), 0.9),
        (_numbers(2.0, 0.5, 1.0), 0.5),
        (_numbers(2.0, 0.5, 1.0), 0.99),
        (_numbers(1.2, 3.1, 0.7, 2.4, 0.9), 0.3),
        (_numbers(-100.0, 100.0, 0.0), 0.6),
    ]
    tested = "2 到 5 个分数，概率从 0.3 到 0.99", "2 to 5 scores, probabilities from 0.3 to 0.99"
    grade(answer, truth, cases, mistakes, tested)


def jacobian(answer: Callable[[Tensor], Tensor]) -> None:
    """Exercise 5: scores (V,) -> ∂p_i/∂z_j (V, V), without autograd."""

    def truth(logits: Tensor) -> Tensor:
        return torch.autograd.functional.jacobian(losses.softmax, logits)

    def from_p(f: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda z: f(losses.softmax(z))

    mistakes = [
        Mistake("只有对角线 p(1 − p)；别的分数也会改变 p",
                "this is the diagonal p(1 − p) alone; other scores change p too",
                from_p(lambda p: torch.diag(p * (1 - p)))),
        Mistake("对角线以外的 −p_i p_j 少了负号",
                "the −p_i p_j off the diagonal lacks its minus sign",
                from_p(lambda p: torch.diag(p) + torch.outer(p, p)),
                from_p(lambda p: torch.outer(p, p) + torch.diag(p - 2 * p * p))),
        Mistake("整个符号反了",
                "the sign is turned around",
                from_p(lambda p: torch.outer(p, p) - torch.diag(p))),
        Mistake("没有减去 p pᵀ",
                "p pᵀ was not subtracted",
                from_p(torch.diag)),
        Mistake("对角线上是 1，应为 p：减去 p pᵀ 的是 diag(p)，不是单位矩阵",
                "the diagonal has 1 for p: p pᵀ is subtracted from diag(p), not from the identity",
                from_p(lambda p: torch.eye(len(p), dtype=p.dtype) - torch.outer(p, p))),
        Mistake("这是 log p 的导数 δ − p_j，还要乘 p_i",
                "this is the derivative of log p, δ − p_j; it has yet to be multiplied by p_i",
                from_p(lambda p: torch.eye(len(p), dtype=p.dtype) - p),
                from_p(lambda p: (torch.eye(len(p), dtype=p.dtype) - p).T)),
        Mistake("代进公式的是分数 z，不是概率 p",
                "the scores z were put into the formula in the place of p",
                lambda z: torch.diag(z) - torch.outer(z, z)),
        Mistake("p pᵀ 应当是一个矩阵（torch.outer），这里成了逐项相乘",
                "p pᵀ is a matrix (torch.outer); here it was multiplied term by term",
                from_p(lambda p: torch.diag(p) - p * p), from_p(lambda p: p - p * p)),
    ]  # fmt: skip
    grade(answer, truth, _ROWS, mistakes, ("2 到 6 个分数，与自动求导一致", "2 to 6 scores, as autograd has it"))


def hiding_batch(answer: Tensor) -> None:
    """Exercise 3: a square batch of scores (n, n) on which softmax without keepdim gives the right numbers."""
    if answer is ...:
        return waiting()
    logits = as_tensor(answer)
    if logits is None or logits.dim() != 2 or logits.shape[0] != logits.shape[1] or len(logits) < 2:
        return refused(
            answer,
            "要一个实数方阵 (n, n)，n 至少是 2",
            "a square tensor (n, n) of real numbers is wanted, n being 2 or more",
        )
    logits = logits.double()
    probabilities = losses.softmax(logits)
    careless = logits.exp() / logits.exp().sum(1)
    if not (logits.isfinite().all() and careless.isfinite().all()):
        return wrong("分数要有限，exp 也不能溢出", "the scores must be finite, and so must their exp")
    if torch.allclose(probabilities, probabilities[:1].expand_as(probabilities), rtol=1e-3, atol=0.0):
        return wrong(
            "各行的概率几乎相同，那不算数：找几行不同的",
            "all rows have nearly the same probabilities, which does not count: find different ones",
        )
    if not torch.allclose(careless, probabilities, rtol=1e-6, atol=1e-12):
        row, column = divmod(int((careless - probabilities).abs().argmax()), len(logits))
        sums = ", ".join(f"{total:.6g}" for total in logits.exp().sum(1).tolist())
        return wrong(
            f"第 {row} 行第 {column} 列：少了 keepdim 得 {careless[row, column]:.4f}，"
            f"正确的是 {probabilities[row, column]:.4f}",
            f"row {row}, column {column}: {careless[row, column]:.4f} without keepdim, "
            f"and {probabilities[row, column]:.4f} is right",
            say("各行的 exp 之和", "the sums of exp in the rows") + f": {sums}",
        )
    right(
        "两种写法给出同样的概率，形状和数值都看不出错",
        "both give the same probabilities; neither shape nor value tells",
    )
