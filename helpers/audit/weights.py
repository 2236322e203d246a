"""Reads the weights back: which combination of the columns is the gradient of a step? Least squares has the answer.

The columns of tokens are nearly orthogonal in `AuditLM` (the condition number of the normalised ones is 1.49), so
each weight comes back to 1e-15. Columns that are equal, as those of equal prefixes, are solved as one: their sum.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import torch
from torch import Tensor

from .columns import FAMILIES, Column, Columns
from .layout import Layout
from .recording import Run
from .reference import Reference

__all__ = ["EXACT", "UNEXPLAINED", "Reading", "gradients", "read"]

EXACT = 1e-6  # what may stay unexplained in float64, as a part of the gradient's norm
ROUNDED = 1e-5  # the same where a narrower type rounds, if further columns are to explain it
UNEXPLAINED = 0.03  # more than rounding can be
CONDITION = 1e4  # beyond it the columns are not independent enough to be told apart


@dataclass
class Reading:
    """One partition, read: coefficients (steps, G) of groups of equal columns.

    `group` (C,): the group of each of the C `columns`; the first of them are the tokens. `residual` (steps,): the
    part of the gradient's norm that no column explains. `norm` (steps,): the norm of the whole gradient.
    """

    layout: Layout
    columns: list[Column]
    group: Tensor
    coefficients: Tensor
    residual: Tensor
    norm: Tensor
    gradients: Tensor
    matrix: Tensor

    def shares(self, coefficients: Tensor | None = None, inside: Tensor | None = None) -> Tensor:
        """(steps, C): the coefficient of each column; equal columns share theirs, `inside` (steps, R) first."""
        coefficients = self.coefficients if coefficients is None else coefficients
        wanted = torch.ones(len(coefficients), len(self.columns), dtype=torch.float64)
        if inside is not None:
            row = torch.tensor([column.row for column in self.columns])
            wanted = (inside[:, row.clamp(min=0)] & (row >= 0)).double()
        sizes = torch.zeros_like(coefficients).index_add(1, self.group, wanted)[:, self.group]
        every = torch.bincount(self.group, minlength=coefficients.shape[1])[self.group]
        return coefficients[:, self.group] * torch.where(sizes > 0, wanted / sizes.clamp(min=1), 1 / every)


def gradients(run: Run, names: list[str], reference: Reference) -> tuple[Tensor, Tensor]:
    """The kept coordinates (steps, P) and the norms (steps,) of a run, over the parameters in `names`."""
    rows, norms = [], []
    for step in run.steps:
        parts, total = [], 0.0
        for name in names:
            pick, start = reference.picks[name], reference.start[name]
            zeros = torch.zeros(start.numel() if pick is None else len(pick), dtype=torch.float64)
            kept, square = step.get(name, (zeros, 0.0))
            parts.append(kept)
            total += square
        rows.append(torch.cat(parts))
        norms.append(total**0.5)
    return torch.stack(rows), torch.tensor(norms, dtype=torch.float64)


def read(
    runs: list[Run], layouts: list[Layout], known: Columns, names: list[str]
) -> tuple[list[Reading], tuple[str, ...], bool]:
    """The readings of all partitions, the families that were needed besides the tokens, and whether they can be told.

    The smallest set of families that explains every gradient wins: to 1e-6 in float64, to 1e-5 or, failing that,
    to 3 % in narrower types. If none does, the reading is that of the tokens alone.
    """
    reference = known.reference
    keep = torch.cat(
        [
            torch.full((p.numel() if reference.picks[n] is None else len(reference.picks[n]),), n in names)
            for n, p in reference.start.items()
        ]
    )
    given = [gradients(run, names, reference) for run in runs]
    exact = reference.exact and all(run.exact for run in runs)

    factors: dict[tuple[int, ...], tuple] = {}

    def attempt(families: tuple[str, ...]) -> list[Reading] | None:
        readings = []
        for layout, (gradient, norm) in zip(layouts, given, strict=True):
            columns = list(known.tokens())
            for family in families:
                columns += known.family(family, layout)
            readings.append(_solve(layout, columns, keep, gradient, norm, factors))
        return None if any(reading is None for reading in readings) else readings

    alone = attempt(())
    if alone is None:
        return [], (), False
    sets = [(name,) for name in FAMILIES] + list(combinations(FAMILIES, 2))
    limits = [EXACT] if exact else [ROUNDED, UNEXPLAINED]
    if _worst(alone) <= limits[0]:
        return alone, (), True
    promising = _screen(known, layouts, keep, given)
    for limit in limits:
        if _worst(alone) <= limit:
            break
        for families in sets:
            if promising(families) <= max(2 * limit, 1e-5):
                readings = attempt(families)
                if readings is not None and _worst(readings) <= limit:
                    return readings, families, True
    return alone, (), True


def _worst(readings: list[Reading]) -> float:
    return max(reading.residual.max().item() for reading in readings)


def _solve(
    layout: Layout, columns: list[Column], keep: Tensor, gradient: Tensor, norm: Tensor, factors: dict
) -> Reading | None:
    """None where the columns are not independent. `factors` keeps what was factored for the same columns."""
    key = tuple(map(id, columns))
    if key not in factors:
        whole = torch.stack([column.gradient[keep] for column in columns], 1)
        group, first = _groups(whole)
        lengths = whole[:, first].norm(dim=0)
        factors[key] = whole, group, lengths, *torch.linalg.qr(whole[:, first] / lengths)
    whole, group, lengths, orthogonal, triangle = factors[key]
    values = torch.linalg.svdvals(triangle)
    if len(triangle) < len(lengths) or not values[0] <= CONDITION * values[-1]:
        return None
    projected = orthogonal.T @ gradient.T
    solved = torch.linalg.solve_triangular(triangle, projected, upper=True)
    left = (gradient.T - orthogonal @ projected).norm(dim=0)
    own = gradient.norm(dim=1)
    residual = torch.where(own > 0, left / own.clamp(min=1e-300), 0.0)
    return Reading(layout, columns, group, (solved.T / lengths), residual, norm, gradient, whole)


def _groups(columns: Tensor) -> tuple[Tensor, list[int]]:
    """(P, C) -> the group of each column, (C,), and the first column of each group."""
    products = columns.T @ columns
    squares = products.diagonal()
    distances = squares[:, None] + squares[None, :] - 2 * products
    equal = distances <= 1e-12 * squares[:, None].maximum(squares[None, :])
    first = equal.int().argmax(1)
    kept = first.unique()
    return torch.searchsorted(kept, first), kept.tolist()


def _screen(
    known: Columns, layouts: list[Layout], keep: Tensor, given: list[tuple[Tensor, Tensor]]
) -> Callable[[tuple[str, ...]], float]:
    """A function of families that says, by normal equations, how much would stay unexplained: fast, to 1e-6 or so."""
    places: dict[int, int] = {}
    every: list[Column] = []
    parts: list[dict[str, list[int]]] = []
    for layout in layouts:
        parts.append({})
        for name in ("", *FAMILIES):
            columns = known.family(name, layout) if name else known.tokens()
            for column in columns:
                if id(column) not in places:
                    places[id(column)] = len(every)
                    every.append(column)
            parts[-1][name] = [places[id(column)] for column in columns]
    matrix = torch.stack([column.gradient[keep] for column in every])
    matrix /= matrix.norm(dim=1, keepdim=True).clamp(min=1e-300)
    gram = matrix @ matrix.T + 1e-13 * torch.eye(len(every), dtype=matrix.dtype)
    products = [matrix @ gradient.T for gradient, _ in given]
    squares = [gradient.square().sum(1) for gradient, _ in given]

    def left(families: tuple[str, ...]) -> float:
        worst = 0.0
        for part, product, square in zip(parts, products, squares, strict=True):
            index = torch.tensor([place for name in ("", *families) for place in part[name]])
            factor, failed = torch.linalg.cholesky_ex(gram[index][:, index])
            if failed:
                return float("inf")
            explained = (torch.cholesky_solve(product[index], factor) * product[index]).sum(0)
            worst = max(worst, ((square - explained).clamp(min=0) / square.clamp(min=1e-300)).max().item())
        return worst**0.5

    return cache(left)
