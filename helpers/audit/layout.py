"""Which row stands in which micro-batch, window and rank, and everything that a loop can count there.

A window holds K micro-batches for each of W ranks; rank r takes `window[r::W]`. R rows in all.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .rows import IGNORE_INDEX

__all__ = ["SCOPES", "Layout", "deal"]

SCOPES = ("window", "rank", "micro")


@dataclass(frozen=True)
class Layout:
    """The rows of one partition: `micro_batches` are lists of row numbers, `windows` lists of micro-batch numbers."""

    batch_size: int
    K: int
    world: int
    micro_batches: list[list[int]]
    windows: list[list[int]]
    size: int  # R, the rows in all

    def rows_of(self, window: int) -> list[int]:
        """The numbers of the rows in a window."""
        return [row for micro in self.windows[window] for row in self.micro_batches[micro]]

    def place(self, scope: str) -> Tensor:
        """(R,): the number of the window, of the rank's part of a window, or of the micro-batch that a row is in."""
        places = [-1] * self.size
        for number, window in enumerate(self.windows):
            for position, micro in enumerate(window):
                rank = number * self.world + position % self.world
                for row in self.micro_batches[micro]:
                    places[row] = {"window": number, "rank": rank, "micro": micro}[scope]
        return torch.tensor(places)

    def total(self, per_row: Tensor, scope: str) -> Tensor:
        """(R,) -> (R,): for each row, the sum of `per_row` over the window, rank or micro-batch that it is in."""
        places = self.place(scope)
        there = places >= 0
        sums = torch.zeros(int(places.max()) + 1, dtype=torch.float64)
        sums = sums.index_add(0, places[there], per_row[there].double())
        return torch.where(there, sums[places.clamp(min=0)], 0.0)

    def micro_steps(self) -> "Layout":
        """The same rows, with a step after each micro-batch: of every rank, if there are several."""
        parts = [window[i : i + self.world] for window in self.windows for i in range(0, len(window), self.world)]
        return replace(self, windows=parts)

    def steps(self) -> Tensor:
        """k (R,): the micro-batches that the rank of a row really has in the row's window."""
        first = torch.zeros(self.size)
        first[[rows[0] for rows in self.micro_batches]] = 1
        return self.total(first, "rank")

    def measure(self, rows: list[dict[str, list[int]]]) -> dict[str, Tensor]:
        """What a loop can count, each (R,) for one row; sums over a scope are the counts of the scope."""
        real = torch.tensor([len(row["labels"]) for row in rows], dtype=torch.float64)
        padded = torch.zeros_like(real)
        for micro in self.micro_batches:
            padded[micro] = real[micro].max()
        labels = [[label != IGNORE_INDEX for label in row["labels"]] for row in rows]
        return {
            "valid": torch.tensor([sum(row[1:]) for row in labels], dtype=torch.float64),
            "unshifted": torch.tensor([sum(row) for row in labels], dtype=torch.float64),
            "real": real,
            "targets": real - 1,
            "padded": padded,
            "padded_targets": padded - 1,
            "rows": torch.ones_like(real),
        }


def deal(size: int, batch_size: int, K: int, world: int) -> Layout:
    """`size` rows in order: micro-batches of `batch_size`, windows of K x world micro-batches; the last may be less.

    >>> [len(window) for window in deal(10, 1, 4, 1).windows]
    [4, 4, 2]
    """
    rows = list(range(size))
    micro_batches = [rows[i : i + batch_size] for i in range(0, size, batch_size)]
    micros = list(range(len(micro_batches)))
    windows = [micros[i : i + K * world] for i in range(0, len(micros), K * world)]
    return Layout(batch_size, K, world, micro_batches, windows, size)
