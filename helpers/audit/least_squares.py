"""Reads the weights back: which combination of the columns is the gradient of a step? Least squares has the answer.

The columns of tokens are nearly orthogonal in `AuditLM` (the condition number of the normalised ones is 1.49), so
each weight comes back to 1e-15. Columns that are equal, as those of equal prefixes, are solved as one: their sum.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from .columns import FAMILIES, Column, Columns
from .recording import Run
from .rows import Layout

EXACT = 1e-6  # what may stay unexplained in float64, as a part of the gradient's norm
ROUNDED = 1e-5  # the same where a narrower type rounds, if further columns are to explain it
UNEXPLAINED = 0.03  # more than rounding can be
CONDITION = 1e4  # beyond it the columns are not independent enough to be told apart
TINY = 1e-300  # instead of a division by 0


@dataclass
class Reading:
    """One partition, read. C columns fall into G groups of equal ones, P coordinates are kept.

    `columns`: the first of them are the tokens. `group` (C,): the group of each. `coefficients` (steps, G): what a
    step holds of each group. `residual` (steps,): the part of the gradient's norm that no column explains. `norm`
    (steps,): the norm of the whole gradient. `gradients` (steps, P) and `matrix` (P, C), on the kept coordinates.
    """

    layout: Layout
    columns: list[Column]
    group: Tensor
    coefficients: Tensor
    residual: Tensor
    norm: Tensor
    gradients: Tensor
    matrix: Tensor

    def __post_init__(self) -> None:
        self.row = torch.tensor([column.row for column in self.columns])
        self.value = torch.tensor([column.value for column in self.columns], dtype=torch.float64)

    def of(self, *kinds: str) -> Tensor:
        """(C,): which columns are of one of these kinds."""
        return torch.tensor([column.kind in kinds for column in self.columns])

    def positions(self, kinds: set[str], size: int) -> Tensor:
        """(R,): how many positions of these kinds each of the R = `size` rows has."""
        chosen, count = self.of(*kinds), torch.tensor([float(column.count) for column in self.columns]).double()
        return torch.zeros(size, dtype=torch.float64).index_add(0, self.row[chosen], count[chosen])

    def within(self, inside: Tensor) -> Tensor:
        """(steps, R) bool -> (steps, C) bool: which columns are from the rows of a step."""
        return inside[:, self.row.clamp(min=0)] & (self.row >= 0)

    def shares(self, coefficients: Tensor, inside: Tensor) -> Tensor:
        """(steps, G) -> (steps, C): equal columns share theirs; if some are `inside` (steps, R), only these."""
        wanted = self.within(inside).double()
        sizes = torch.zeros_like(coefficients).index_add(1, self.group, wanted)[:, self.group]
        every = torch.bincount(self.group, minlength=coefficients.shape[1])[self.group]
        return coefficients[:, self.group] * torch.where(sizes > 0, wanted / sizes.clamp(min=1), 1 / every)


def read(
    runs: list[Run], layouts: list[Layout], known: Columns, names: list[str], exact: bool
) -> tuple[list[Reading], tuple[str, ...]]:
    """The readings of all partitions, on the parameters `names`, and the families that were needed besides the tokens.

    The smallest set of one or two families that explains every gradient wins: to 1e-6 if all is `exact`, in float64;
    else to 1e-5 or to 3 %. If none does, the tokens alone are read; nothing is, where they are not independent.
    """
    keep = torch.cat([torch.full((len(pick),), name in names) for name, pick in known.picks.items()])
    given = [_gradients(run, names, known) for run in runs]
    factored: dict[tuple[int, ...], tuple] = {}

    def attempt(families: tuple[str, ...]) -> list[Reading]:
        readings = []
        for layout, (gradients, norm) in zip(layouts, given, strict=True):
            columns = [column for name in ("tokens", *families) for column in known.of(name, layout)]
            kept = factored if families else known.factored.setdefault(tuple(names), {})
            readings.append(_solve(layout, columns, keep, gradients, norm, kept))
        return [] if None in readings else readings

    alone = attempt(())
    limits = [EXACT] if exact else [ROUNDED, UNEXPLAINED]
    if not alone or _worst(alone) <= limits[0]:
        return alone, ()
    estimate = _estimate(known, layouts, keep, given)
    sets = [families for size in (1, 2) for families in combinations(FAMILIES, size)]
    for limit in limits:
        if _worst(alone) <= limit:
            break
        if limit == UNEXPLAINED:  # several sets may be that near: the nearest first
            sets.sort(key=lambda families: (len(families), estimate(families)))
        for families in sets:
            if estimate(families) <= max(2 * limit, 1e-5):
                readings = attempt(families)
                if readings and _worst(readings) <= limit:
                    return readings, families
    return alone, ()


def differ_by_parameter(readings: list[Reading], sizes: list[int]) -> bool:
    """Whether the tokens explain each parameter alone; one of more coordinates (`sizes`) than tokens is among them."""
    matrix, every = readings[0].matrix, torch.cat([reading.gradients for reading in readings]).T
    parts = zip(matrix.split(sizes), every.split(sizes), strict=True)  # all partitions have the same tokens
    return max(sizes) > matrix.shape[1] and all(_alone(*part) <= ROUNDED for part in parts)


def _alone(matrix: Tensor, gradients: Tensor) -> float:
    """What columns (P, C), perhaps dependent, leave unexplained of gradients (P, steps)."""
    columns = matrix / matrix.norm(dim=0).clamp(min=TINY)
    values, vectors = torch.linalg.eigh(columns.T @ columns)
    basis = (columns @ vectors / values.clamp(min=TINY).sqrt())[:, values > 1e-11 * values[-1]]
    left = gradients - basis @ (basis.T @ gradients)
    return (left.norm(dim=0) / gradients.norm(dim=0).clamp(min=TINY)).max().item()


def _worst(readings: list[Reading]) -> float:
    return max(reading.residual.max().item() for reading in readings)


def _gradients(run: Run, names: list[str], known: Columns) -> tuple[Tensor, Tensor]:
    """The kept coordinates (steps, P) and the norms (steps,) of a run; 0 for a parameter that a step has not."""
    rows, squares = [], []
    for step in run.steps:
        parts = [step.get(name, (torch.zeros(len(known.picks[name]), dtype=torch.float64), 0.0)) for name in names]
        rows.append(torch.cat([kept for kept, _ in parts]))
        squares.append(sum(square for _, square in parts))
    return torch.stack(rows), torch.tensor(squares, dtype=torch.float64).sqrt()


def _solve(
    layout: Layout, columns: list[Column], keep: Tensor, gradients: Tensor, norm: Tensor, factored: dict
) -> Reading | None:
    """None where the columns are not independent. `factored` keeps the QR decomposition of the same columns."""
    key = tuple(map(id, columns))
    if key not in factored:
        matrix = torch.stack([column.gradient[keep] for column in columns], 1)
        group, first = _groups(matrix)
        lengths = matrix[:, first].norm(dim=0)
        orthogonal, triangle = torch.linalg.qr(matrix[:, first] / lengths)
        values = torch.linalg.svdvals(triangle)
        independent = len(triangle) == len(lengths) and bool(values[0] <= CONDITION * values[-1])
        factored[key] = matrix, group, lengths, orthogonal, triangle, independent
    matrix, group, lengths, orthogonal, triangle, independent = factored[key]
    if not independent:
        return None
    projected = orthogonal.T @ gradients.T
    solved = torch.linalg.solve_triangular(triangle, projected, upper=True).T / lengths
    left, own = (gradients.T - orthogonal @ projected).norm(dim=0), gradients.norm(dim=1)
    residual = torch.where(own > 0, left / own.clamp(min=TINY), 0.0)
    return Reading(layout, columns, group, solved, residual, norm, gradients, matrix)


def _groups(columns: Tensor) -> tuple[Tensor, list[int]]:
    """(P, C) -> the group of each column, (C,), and the first column of each group."""
    products = columns.T @ columns
    squares = products.diagonal()
    distances = squares[:, None] + squares[None, :] - 2 * products
    equal = distances <= 1e-12 * squares[:, None].maximum(squares[None, :])
    first = equal.int().argmax(1)
    kept = first.unique()
    return torch.searchsorted(kept, first), kept.tolist()


def _estimate(
    known: Columns, layouts: list[Layout], keep: Tensor, given: list[tuple[Tensor, Tensor]]
) -> Callable[[tuple[str, ...]], float]:
    """A function of families that says by normal equations, which are fast, what would stay unexplained: to 1e-6."""
    of = [{name: known.of(name, layout) for name in ("tokens", *FAMILIES)} for layout in layouts]
    every = {id(column): column for names in of for columns in names.values() for column in columns}
    places = {key: place for place, key in enumerate(every)}
    key = *every, *keep.nonzero().squeeze(1).tolist()
    if (kept := known.normal)[0] != key:  # looked at once: an audit in another thread may put its own there
        matrix = torch.stack([column.gradient[keep] for column in every.values()])
        matrix /= matrix.norm(dim=1, keepdim=True).clamp(min=TINY)
        gram = matrix @ matrix.T + 1e-13 * torch.eye(len(every), dtype=matrix.dtype)
        known.normal = kept = key, matrix, gram
    _, matrix, gram = kept
    products = [matrix @ gradients.T for gradients, _ in given]

    def left(families: tuple[str, ...]) -> float:
        worst = 0.0
        for columns, product, (gradients, _) in zip(of, products, given, strict=True):
            index = torch.tensor([places[id(column)] for name in ("tokens", *families) for column in columns[name]])
            factor, failed = torch.linalg.cholesky_ex(gram[index][:, index])
            if failed:
                return float("inf")
            explained = (torch.cholesky_solve(product[index], factor) * product[index]).sum(0)
            square = gradients.square().sum(1)
            worst = max(worst, ((square - explained).clamp(min=0) / square.clamp(min=TINY)).max().item())
        return worst**0.5

    return left
