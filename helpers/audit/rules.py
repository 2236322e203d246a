"""Which rule gives the weights that were read? w d must be one constant a window, for a denominator d that loops use.

A candidate is a set of positions, a denominator and a constant; it predicts every weight of every step of every
partition. The simplest that predicts them all is the rule.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .layout import Layout
from .observed import Observed
from .structure import Aligned

__all__ = ["Match", "find"]

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
REPLACING = {"labels_not_shifted": "here", "labels_shifted_twice": "twice"}
ADDING = {"padding_in_loss": "padding", "left_padding": "left", "packed_boundary": "boundary"}
RULES = ("token_mean", "mean_of_means", "sequence_mean", "sum")


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
    """All candidates that predict what was read, the simplest first. `smoothed` is the share of label smoothing."""
    table = Observed(partitions, {"token", "masked", *REPLACING.values(), *ADDING.values()}, clipped, smoothed)
    matches = []
    for kinds, base in _sets(families):
        if "masked" in kinds and not any("masked" in names for names in table.kind):
            continue
        among = table.among(kinds)
        present = table.grouped(among.double()) > 0
        if not torch.equal(present, table.observed.abs() > tolerance * table.largest):
            continue
        for variant in range(max(len(aligned.layouts) for aligned in partitions)):
            layouts = [aligned.layouts[min(variant, len(aligned.layouts) - 1)] for aligned in partitions]
            own = []
            for numbers, names, counts, layout in zip(table.row, table.kind, table.count, layouts, strict=True):
                mask = torch.tensor([name in kinds for name in names])
                own.append(torch.zeros(layout.size, dtype=torch.float64).index_add(0, numbers[mask], counts[mask]))
            extras = _factors(layouts)
            spread = torch.stack([table.spread(factors) for _, factors in extras])
            counts = [{"own": o, **layout.measure(rows)} for o, layout in zip(own, layouts, strict=True)]
            different = [
                name for name in COUNTS if name == "own" or not all(torch.equal(c[name], c["own"]) for c in counts)
            ]
            units = [
                list(_units(layout, {name: c[name] for name in different}))
                for layout, c in zip(layouts, counts, strict=True)
            ]
            for candidates in zip(*units, strict=True):
                rule, faults, note, _ = candidates[0]
                unit = table.spread([candidate[3] for candidate in candidates])
                fits, scales = table.fit(table.grouped(torch.where(among, unit * spread, 0.0)), tolerance)
                for place in fits.nonzero().squeeze(1).tolist():
                    extra, factors = extras[place]
                    every = tuple(dict.fromkeys((*base, *faults, *extra)))
                    matches.append(Match(rule, every, note, scales[place].split(table.steps), tuple(factors)))
    return sorted(matches, key=lambda match: (len(match.faults), RULES.index(match.rule), bool(match.note)))


def _sets(families: tuple[str, ...]) -> Iterator[tuple[set[str], tuple[str, ...]]]:
    """The kinds of columns that may be in the loss, and the faults that this is."""
    replacing = {REPLACING[name] for name in families if name in REPLACING}
    adding = {ADDING[name] for name in families if name in ADDING}
    if replacing:
        yield replacing | adding, ()
        return
    yield {"token"} | adding, ()
    yield {"token", "masked"} | adding, ("prompt_in_loss",)


def _units(layout: Layout, counts: dict[str, Tensor]) -> Iterator[tuple[str, tuple[str, ...], str, Tensor]]:
    """(rule, faults, note, w (R,)): what a token of each row weighs by each rule, with the constant 1."""
    world, k = layout.world, layout.steps()
    places = {"window": (1.0, "token_mean", ()), "micro": (k * world, "mean_of_means", ())}
    if world > 1:
        places["rank"] = (float(world), "mean_of_means", ("local_count",))
    rows = torch.ones(layout.size, dtype=torch.float64)
    for name, per_row in counts.items():
        for scope, (parts, rule, faults) in places.items():
            yield rule, (*COUNTS[name], *faults), "", _inverse(parts * layout.total(per_row, scope))
        for scope, (parts, _, faults) in places.items():
            rule = "sequence_mean" if scope != "micro" else "mean_of_means"
            note = "" if scope != "micro" else "rows"
            weight = _inverse(parts * per_row * layout.total(rows, scope))
            yield rule, (*COUNTS[name], *faults), note, weight
        share = layout.total(rows, "micro") / layout.total(rows, "window").clamp(min=1)
        yield "mean_of_means", COUNTS[name], "by rows", share * _inverse(layout.total(per_row, "micro"))
    yield "sum", (), "", rows / world
    for scope, (parts, _, _) in places.items():
        yield "sum", (), "", _inverse(parts * layout.total(rows, scope))


def _inverse(values: Tensor) -> Tensor:
    return torch.where(values > 0, 1 / values.clamp(min=1e-300), 0.0)


def _factors(layouts: list[Layout]) -> list[tuple[tuple[str, ...], list[Tensor]]]:
    """(faults, constants): the constants that loops have too much, (R,) for each partition, each once."""
    found: list[tuple[tuple[str, ...], list[Tensor]]] = []
    known = [
        {"k": layout.steps(), "K": torch.full((layout.size,), float(layout.K), dtype=torch.float64)}
        for layout in layouts
    ]
    for power, fault in ((0, ()), (1, ("times_world",)), (-1, ("over_world",))):
        for times, over, name in (
            ("", "", ()), ("k", "K", ("fixed_divisor",)), ("K", "", ("times_K",)), ("k", "", ("times_K",)),
            ("", "K", ("over_K",)), ("", "k", ("over_K",)), ("k", "KK", ("over_K",)), ("", "KK", ("over_K",)),
            ("", "kK", ("over_K",)), ("", "kk", ("over_K",)), ("KK", "", ("times_K",)), ("kk", "", ("times_K",)),
        ):  # fmt: skip
            constants = []
            for layout, values in zip(layouts, known, strict=True):
                constant = torch.full((layout.size,), float(layout.world) ** power, dtype=torch.float64)
                for letter in times:
                    constant = constant * values[letter]
                for letter in over:
                    constant = constant / values[letter].clamp(min=1)
                constants.append(constant)
            if not any(all(map(torch.equal, constants, other)) for _, other in found):
                found.append(((*name, *fault), constants))
    return found
