"""The data that lesson 02 tests a loss with: logits (T, V) and targets (T,)."""

import torch
from torch import Tensor

from helpers.classroom.grading import Recipe

# exp of all these fits into fp64, since lesson 02 subtracts no maximum yet; the ratios do not.
_BATCHES = [
    ([[0.0, 1.0]], [0]),
    ([[0.0, 1.0]], [1]),  # a target that is its row's largest costs something too
    ([[2.0, 0.0, 1.0], [0.0, 1.0, 0.0]], [2, 0]),
    ([[1.0, 3.0, 0.0], [0.0, 2.0, 1.0], [3.0, 1.0, 1.0]], [1, 0, 2]),  # square: a shape cannot tell the axes apart
    ([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [1.0, 1.0]], [0, 1, 0, 1]),
    ([[2.0, 2.0, 2.0, 2.0]], [1]),
    ([[0.0, -1000.0, 1.0], [2.0, 0.0, 1.0]], [1, 2]),
    ([[80.3, 79.1, 78.2], [-700.3, -701.1, -699.2]], [2, 0]),
]
LARGE = "torch.manual_seed(0)\nlogits = (2 * torch.randn(20, 50)).round(decimals=3)\ntargets = torch.randint(50, (20,))"


def batches() -> list[tuple[Tensor, Tensor]]:
    return [(torch.tensor(logits, dtype=torch.float64), torch.tensor(targets)) for logits, targets in _BATCHES]


def cases() -> list[tuple | Recipe]:
    return [*batches(), Recipe(LARGE)]


TESTED = (
    "1 到 20 行、2 到 50 类，有的目标是该行最大的，有的分数相差 1000",
    "1 to 20 rows, 2 to 50 classes, targets that are their row's largest, scores 1000 apart",
)
