"""How much of the loss is label smoothing or z-loss: one share for all tokens, or it is no rule."""

import torch

from .structure import Aligned

__all__ = ["share"]


def share(partitions: list[Aligned], kind: str, smoothed: float, tolerance: float) -> tuple[float, bool]:
    """The coefficient of columns of `kind` for a token of weight 1, and whether it is the same for every token.

    "uniform": ε, since label smoothing is (1 - ε) of the token's loss and ε of the mean over the classes. "z": λ.
    `smoothed` is ε, once it is known.
    """
    total = weight = 0.0
    for aligned in partitions:
        columns, shares = aligned.reading.columns, aligned.shares()
        for place, column in enumerate(columns):
            if column.kind in ("token", "masked"):
                weight += shares[:, place].sum().item()
            elif column.kind == kind:
                total += shares[:, place].sum().item()
    whole = weight + total if kind == "uniform" else weight / (1 - smoothed)
    value = total / whole if whole else 0.0
    for aligned in partitions:
        columns, shares, group = aligned.reading.columns, aligned.shares(), aligned.reading.group
        tokens = [i for i, column in enumerate(columns) if column.kind in ("token", "masked")]
        added = [i for i, column in enumerate(columns) if column.kind == kind]
        lengths = aligned.reading.matrix.norm(dim=0)
        _, place = group[added].unique(return_inverse=True)
        zeros = torch.zeros(len(shares), int(place.max()) + 1, dtype=torch.float64)
        of_tokens = zeros.index_add(1, place, shares[:, tokens])
        of_added = zeros.index_add(1, place, shares[:, added])
        expected = of_tokens * (value / (1 - value) if kind == "uniform" else value / (1 - smoothed))
        margin = 10 * tolerance * of_tokens.abs().amax(1, keepdim=True) * (lengths[tokens].max() / lengths[added].max())
        if ((of_added - expected).abs() > margin).any():
            return value, False
    return value, value > 0
