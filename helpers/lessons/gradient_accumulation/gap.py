"""Exercise 1 of lesson 05: by how much the mean of means exceeds the token mean."""

from collections.abc import Callable

import torch
from torch import Tensor

from helpers import accumulation
from helpers.classroom.grading import Exercise, Mistake, Recipe, exercise

__all__ = ["gap"]


@exercise
def gap() -> Exercise:
    """Exercise 1: counts (K,), means (K,) -> mean of means minus token mean ()."""

    def truth(counts: Tensor, means: Tensor) -> Tensor:
        return accumulation.gap(counts, means)

    def sums(n: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
        """Σ of the products of the deviations, and mean(n)."""
        n = n.double()
        return ((n - n.mean()) * (m - m.mean())).sum(), n.mean()

    def of(formula: Callable[[Tensor, Tensor, int], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda n, m: formula(*sums(n, m), len(n))

    mistakes = [
        Mistake("符号反了：要的是 A − G，前面有一个负号",
                "the sign is turned around: A − G has a minus before the covariance",
                of(lambda s, mean, k: s / k / mean)),
        Mistake("用了样本协方差，除以 K − 1；这里除以 K（torch.cov 要写 correction=0）",
                "this is the sample covariance, divided by K − 1; here it is K (torch.cov wants correction=0)",
                of(lambda s, mean, k: -s / (k - 1) / mean), of(lambda s, mean, k: s / (k - 1) / mean)),
        Mistake("协方差没有除以 K",
                "the covariance was not divided by K",
                of(lambda s, mean, k: -s / mean), of(lambda s, mean, k: s / mean)),
        Mistake("多除了一次 K，比如除以了 Σn，应除以 mean(n)",
                "divided by K once too often, by Σn for example instead of mean(n)",
                of(lambda s, mean, k: -s / k / (mean * k)), of(lambda s, mean, k: s / k / (mean * k))),
        Mistake("没有除以 mean(n)",
                "not divided by mean(n)",
                of(lambda s, mean, k: -s / k), of(lambda s, mean, k: s / k)),
        Mistake("除以了平均损失 mean(m)，应除以平均词元数 mean(n)",
                "divided by the mean loss mean(m) instead of mean(n)",
                lambda n, m: -sums(n, m)[0] / len(n) / m.mean()),
        Mistake("返回的是平均的平均 A，还没有减去 G",
                "this is the mean of means A; G is not subtracted yet",
                lambda n, m: m.mean()),
        Mistake("返回的是词元平均 G",
                "this is the token mean G",
                lambda n, m: (n * m).sum() / n.sum()),
        Mistake("取了绝对值；差距有正有负",
                "the absolute value was taken; the gap has either sign",
                of(lambda s, mean, k: (s / k / mean).abs())),
        Mistake("Σ n m 少除了：G = Σ n m / Σ n",
                "Σ n m is not divided by Σ n: G = Σ n m / Σ n",
                lambda n, m: m.mean() - (n * m).sum(), lambda n, m: m.mean() - (n * m).mean()),
    ]  # fmt: skip
    rows = [
        ([1, 3], [1.0, 2.0]),
        ([4, 2], [1.0, 4.0]),
        ([5, 5, 5], [1.0, 2.0, 6.0]),
        ([7], [2.0]),
        ([1, 2, 3], [2.0, 2.0, 2.0]),
        ([36, 10, 44, 42], [3.125, 4.75, 2.875, 3.25]),
        ([3, 1, 2, 7, 4], [0.5, 0.375, 2.25, 2.0, 0.125]),
    ]
    large = "torch.manual_seed(0)\ncounts, means = torch.randint(1, 60, (20,)), (4 * torch.rand(20)).round(decimals=3)"
    cases = [(torch.tensor(counts), torch.tensor(means, dtype=torch.float64)) for counts, means in rows]
    tested = "1 到 20 个微批次，差距有正、有负、有零", "1 to 20 micro-batches, gaps above, below and at zero"
    return Exercise(truth, [*cases, Recipe(large)], mistakes, tested)
