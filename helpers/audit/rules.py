"""Which rule gives the weights that were read? w d must be one constant a window, for a denominator d that loops use.

A candidate is a set of positions, a denominator and a constant; it predicts every weight of every step of every
partition. The simplest that predicts them all is the rule.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .rows import Layout
from .steps import Aligned

# What may be counted, and the fault of counting it; "own" counts the positions that are in the loss.
COUNTS = {
    "own": (),
    "unshifted": ("unshifted_count",),
    "targets": ("prompt_count",),
    "real": ("attention_count",),
    "padded": ("padded_count",),
    "padded_targets": ("padded_count",),
    "valid": (),
}
# The constants that loops have too much: the powers of k and of K, and the fault. The first of equal ones counts.
CONSTANTS = (
    (0, 0, ()), (1, -1, ("fixed_divisor",)), (0, 1, ("times_K",)), (1, 0, ("times_K",)), (0, -1, ("over_K",)),
    (-1, 0, ("over_K",)), (1, -2, ("over_K",)), (0, -2, ("over_K",)), (-1, -1, ("over_K",)), (-2, 0, ("over_K",)),
    (0, 2, ("times_K",)), (2, 0, ("times_K",)),
)  # fmt: skip
WORLDS = ((0, ()), (1, ("times_world",)), (-1, ("over_world",)))  # the same for the ranks: the power of W
# The kinds of columns that a fault puts in the place of the tokens, or adds to them.
REPLACING = {"labels_not_shifted": "here", "labels_shifted_twice": "twice"}
ADDING = {"padding_in_loss": "padding", "left_padding": "left", "packed_boundary": "boundary"}
RULES = ("token_mean", "mean_of_means", "sequence_mean", "sum")  # the simplest first


@dataclass(frozen=True)
class Match:
    """A rule that fits, its faults, a note where the rule's name says too little, and the scale of each step.

    `scales`: for each partition (steps,), by what the gradient was multiplied after the rule; 1 unless clipped.
    `constants`: for each partition (R,), the factor that the faults stand for.
    """

    rule: str
    faults: tuple[str, ...]
    note: str
    scales: tuple[Tensor, ...]
    constants: tuple[Tensor, ...]


def find(
    partitions: list[Aligned],
    rows: list[dict[str, list[int]]],
    families: tuple[str, ...],
    clipped: list[Tensor],
    smoothed: float,
    tolerance: float,
) -> list[Match]:
    """All candidates that predict what was read to within `tolerance`, the simplest first.

    `families` are in the gradient besides the tokens, `smoothed` is the share of label smoothing. The scale of the
    steps that are `clipped` (steps,), for each partition, is free.
    """
    table = _Weights(partitions, ("token", "masked", *REPLACING.values(), *ADDING.values()), smoothed)
    matches = []
    masked = bool(partitions[0].reading.of("masked").any())  # all partitions have the same tokens
    for kinds, base in _sets(families, masked):
        among = table.among(kinds)
        if not torch.equal(table.grouped(among.double()) > 0, table.values.abs() > tolerance * table.largest):
            continue  # other positions are in the loss
        for variant in range(max(len(aligned.layouts) for aligned in partitions)):
            layouts = [aligned.layouts[min(variant, len(aligned.layouts) - 1)] for aligned in partitions]
            counts = [
                {"own": aligned.reading.positions(kinds, len(rows)), **layout.measure(rows)}
                for aligned, layout in zip(partitions, layouts, strict=True)
            ]
            names = [n for n in COUNTS if n == "own" or not all(torch.equal(c[n], c["own"]) for c in counts)]
            constants = constants_of(layouts)
            factors = torch.stack([table.spread(constant) for _, constant in constants])
            each = [_units(layout, c, names) for layout, c in zip(layouts, counts, strict=True)]
            for units in zip(*each, strict=True):
                rule, faults, note, _ = units[0]
                unit = table.spread([weights for *_, weights in units])
                predicted = table.grouped(torch.where(among, unit * factors, 0.0))
                fits, scales = table.compare(predicted, torch.cat(clipped), tolerance)
                for place in fits.nonzero().squeeze(1).tolist():
                    extra, constant = constants[place]
                    every = tuple(dict.fromkeys((*base, *faults, *extra)))
                    matches.append(Match(rule, every, note, scales[place].split(table.steps), tuple(constant)))
    return sorted(matches, key=lambda match: (len(match.faults), RULES.index(match.rule), bool(match.note)))


def _sets(families: tuple[str, ...], masked: bool) -> list[tuple[set[str], tuple[str, ...]]]:
    """The kinds of columns that may be in the loss, and the faults that this is; `masked`: are there such targets?"""
    replacing = {REPLACING[name] for name in families if name in REPLACING}
    adding = {ADDING[name] for name in families if name in ADDING}
    if replacing:
        return [(replacing | adding, ())]
    return [({"token"} | adding, ()), ({"token", "masked"} | adding, ("prompt_in_loss",))][: 1 + masked]


def _units(
    layout: Layout, counts: dict[str, Tensor], names: list[str]
) -> Iterator[tuple[str, tuple[str, ...], str, Tensor]]:
    """(rule, faults, note, w (R,)): what a token of each row weighs by each rule, with the constant 1.

    It is not finite in a row that has nothing to count, where no token can have that weight.
    """
    world, rows = layout.world, torch.ones(layout.size, dtype=torch.float64)
    scopes = {"window": (1.0, "token_mean", ()), "micro": (layout.steps() * world, "mean_of_means", ())}
    if world > 1:
        scopes["rank"] = (float(world), "mean_of_means", ("local_count",))
    for name in names:
        count = counts[name]
        for scope, (parts, rule, faults) in scopes.items():
            yield rule, (*COUNTS[name], *faults), "", 1 / (parts * layout.total(count, scope))
        for scope, (parts, _, faults) in scopes.items():
            rule, note = ("mean_of_means", "rows") if scope == "micro" else ("sequence_mean", "")
            yield rule, (*COUNTS[name], *faults), note, 1 / (parts * count * layout.total(rows, scope))
        share = layout.total(rows, "micro") / layout.total(rows, "window")
        yield "mean_of_means", COUNTS[name], "by rows", share / layout.total(count, "micro")
    yield "sum", (), "", rows / world
    for scope, (parts, _, _) in scopes.items():
        yield "sum", (), "", 1 / (parts * layout.total(rows, scope))


def constants_of(layouts: list[Layout]) -> list[tuple[tuple[str, ...], list[Tensor]]]:
    """(faults, constants): one (R,) for each layout; those that are equal on all of them once."""
    found: list[tuple[tuple[str, ...], list[Tensor]]] = []
    steps = [layout.steps().clamp(min=1) for layout in layouts]
    for of_world, fault in WORLDS if layouts[0].world > 1 else WORLDS[:1]:
        for of_k, of_K, name in CONSTANTS:
            constants = [
                float(layout.world) ** of_world * k**of_k * float(layout.K) ** of_K
                for layout, k in zip(layouts, steps, strict=True)
            ]
            if not any(all(map(torch.allclose, constants, other)) for _, other in found):
                found.append(((*name, *fault), constants))
    return found


class _Weights:
    """The weights of all partitions in one row: `values`, one for each step and group of equal columns.

    A prediction has one entry for each step and column, and is summed over equal columns before it is compared.
    `largest`: the largest weight of the step of each value. `steps`: how many each partition has.
    """

    def __init__(self, partitions: list[Aligned], kinds: tuple[str, ...], smoothed: float) -> None:
        self.steps = [len(aligned.inside) for aligned in partitions]
        self._chosen, index, inside, place, values, groups = [], [], [], [], [], 0
        for number, (aligned, steps) in enumerate(zip(partitions, self.steps, strict=True)):
            reading, size = aligned.reading, aligned.inside.shape[1]
            chosen = reading.of(*kinds).nonzero().squeeze(1)
            used, group = reading.group[chosen].unique(return_inverse=True)
            values.append(aligned.coefficients[:, used] / (1 - smoothed))
            index.append((groups + torch.arange(steps)[:, None] * len(used) + group).flatten())
            inside.append(aligned.inside[:, reading.row[chosen]].flatten())
            place.append((number * size + reading.row[chosen]).repeat(steps))
            self._chosen.append((reading, chosen, steps))
            groups += values[-1].numel()
        widths = torch.tensor([part.shape[1] for part in values for _ in part])
        self._index, self._inside, self._place = torch.cat(index), torch.cat(inside), torch.cat(place)
        self._step = torch.arange(len(widths)).repeat_interleave(widths)
        self.values = torch.cat([part.flatten() for part in values])
        self.largest = torch.cat([part.abs().amax(1) for part in values])[self._step]

    def among(self, kinds: set[str]) -> Tensor:
        """Whether an entry is inside its step and of these kinds."""
        return self._inside & torch.cat([reading.of(*kinds)[c].repeat(steps) for reading, c, steps in self._chosen])

    def spread(self, per_row: list[Tensor]) -> Tensor:
        """One value a row (R,) for each partition -> one an entry."""
        return torch.cat(per_row)[self._place]

    def grouped(self, entries: Tensor) -> Tensor:
        """The sum of the entries of equal columns."""
        zeros = torch.zeros(*entries.shape[:-1], len(self.values), dtype=torch.float64)
        return zeros.index_add(-1, self._index, entries)

    def compare(self, predicted: Tensor, free: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
        """Predictions (F, groups) -> whether each holds everywhere, (F,), and the scales of the steps, (F, steps)."""
        zeros = torch.zeros(len(predicted), len(free), dtype=torch.float64)
        products = zeros.index_add(1, self._step, predicted * self.values)
        squares = zeros.index_add(1, self._step, predicted * predicted)
        scale = torch.where(free, products / squares, 1.0)
        close = (predicted * scale[:, self._step] - self.values).abs() <= tolerance * self.largest
        most = float("inf") if bool(free.all()) else 1 + tolerance  # clipping makes nothing larger
        return close.all(1) & (scale > 0).all(1) & (scale <= most).all(1), scale
