"""All weights that were read, in one row, so that a prediction is compared with every partition at once."""

import torch
from torch import Tensor

from .structure import Aligned

__all__ = ["Observed"]


class Observed:
    """One entry for each step and column of every partition, and one value for each step and group of equal columns."""

    def __init__(self, partitions: list[Aligned], kinds: set[str], clipped: list[Tensor], smoothed: float) -> None:
        index, inside, observed, step, largest, self.kind, self.row, self.count = [], [], [], [], [], [], [], []
        self.steps = [len(aligned.coefficients) for aligned in partitions]
        places = steps = 0
        for aligned in partitions:
            columns = aligned.reading.columns
            chosen = [i for i, column in enumerate(columns) if column.kind in kinds]
            rows = torch.tensor([columns[i].row for i in chosen])
            used, group = aligned.reading.group[chosen].unique(return_inverse=True)
            values = aligned.coefficients[:, used] / (1 - smoothed)
            for number, line in enumerate(values):
                index.append(group + places + number * len(used))
                step.append(torch.full((len(used),), steps + number))
                largest.append(torch.full((len(used),), line.abs().max().item()))
            inside.append(aligned.inside[:, rows].reshape(-1))
            observed.append(values.reshape(-1))
            self.kind.append([columns[i].kind for i in chosen])
            self.row.append(rows)
            self.count.append(torch.tensor([float(columns[i].count) for i in chosen], dtype=torch.float64))
            places, steps = places + values.numel(), steps + len(values)
        self.index, self.inside, self.observed = torch.cat(index), torch.cat(inside), torch.cat(observed)
        self.step, self.largest, self.free = torch.cat(step), torch.cat(largest), torch.cat(clipped)

    def spread(self, per_row: list[Tensor]) -> Tensor:
        """One value a row (R,) for each partition -> one an entry."""
        return torch.cat([v[r].repeat(n) for v, r, n in zip(per_row, self.row, self.steps, strict=True)])

    def among(self, kinds: set[str]) -> Tensor:
        """Whether an entry is inside its step and of these kinds."""
        of = [torch.tensor([kind in kinds for kind in names]) for names in self.kind]
        return self.inside & torch.cat([mask.repeat(n) for mask, n in zip(of, self.steps, strict=True)])

    def grouped(self, entries: Tensor) -> Tensor:
        """The sum of the entries of equal columns."""
        zeros = torch.zeros(*entries.shape[:-1], len(self.observed), dtype=torch.float64)
        return zeros.index_add(-1, self.index, entries)

    def fit(self, predicted: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
        """Predictions (F, groups) -> whether each holds everywhere, (F,), and the scales of the steps, (F, steps)."""
        zeros = torch.zeros(len(predicted), len(self.free), dtype=torch.float64)
        products = zeros.index_add(1, self.step, predicted * self.observed)
        squares = zeros.index_add(1, self.step, predicted * predicted)
        scale = torch.where(self.free & (squares > 0), products / squares.clamp(min=1e-300), 1.0)
        close = (predicted * scale[:, self.step] - self.observed).abs() <= tolerance * self.largest
        most = float("inf") if bool(self.free.all()) else 1 + tolerance  # clipping makes nothing larger
        return close.all(1) & (scale > 0).all(1) & (scale <= most).all(1), scale
