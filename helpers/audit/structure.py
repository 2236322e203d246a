"""Which rows are in which step: is it the window that was asked for, and does a step hold what came before it?"""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from .layout import Layout
from .weights import Reading

__all__ = ["Aligned", "align"]


@dataclass
class Aligned:
    """One partition with each step put beside its window.

    `layouts`: what the counts of a rule may be taken over, one after the other. `inside` (steps, R): the rows that
    belong to each step. `coefficients` (steps, G): what the step itself put into the gradient. `fits`: whether
    every step is a window, so that a rule can be looked for.
    """

    reading: Reading
    layouts: list[Layout]
    inside: Tensor
    coefficients: Tensor
    faults: list[str] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)
    fits: bool = True

    def shares(self) -> Tensor:
        """(steps, C): what each step itself gave to each column."""
        return self.reading.shares(self.coefficients, self.inside)


def align(reading: Reading, tolerance: float) -> Aligned:
    """Puts the steps of a partition beside its windows and names what is wrong with them."""
    layout = reading.layout
    targets = {column.row for column in reading.columns if column.kind == "token"}
    templates = [layout]
    if layout.K > 1:
        templates.append(layout.micro_steps())
    before = torch.cat([torch.zeros_like(reading.coefficients[:1]), reading.coefficients[:-1]])
    for coefficients, carried in ((reading.coefficients, []), (reading.coefficients - before, ["zero_grad_forgotten"])):
        held = _held(reading, coefficients, tolerance)
        for template in templates:
            members = [set(template.rows_of(w)) & targets for w in range(len(template.windows))]
            windows = _match(held, members)
            if windows is None or (template is not layout and len(template.windows) == len(layout.windows)):
                continue
            faults, layouts = list(carried), [layout]
            if template is not layout:
                faults, layouts = [*faults, "no_accumulation"], [layout, template]
            if len(windows) < sum(map(bool, members)):
                faults.append("window_dropped")
            inside = _mask([template.rows_of(w) for w in windows], layout.size)
            return Aligned(reading, layouts, inside, coefficients, faults)
    return _misfit(reading, _held(reading, reading.coefficients, tolerance), targets)


def _held(reading: Reading, coefficients: Tensor, tolerance: float) -> list[list[set[int]]]:
    """For each step what has some weight in it: groups of equal columns, each as the rows that they are from."""
    rows: list[set[int]] = [set() for _ in range(coefficients.shape[1])]
    for column, group in zip(reading.columns, reading.group.tolist(), strict=True):
        if column.row >= 0 and column.kind not in ("uniform", "z"):
            rows[group].add(column.row)
    linked = torch.tensor([bool(members) for members in rows])
    heaviest = coefficients[:, linked].abs().max()
    heavy = (coefficients.abs() > 10 * tolerance * heaviest) & linked
    return [[rows[group] for group in line.nonzero().squeeze(1).tolist()] for line in heavy]


def _match(held: list[list[set[int]]], windows: list[set[int]]) -> list[int] | None:
    """The window of each step, in order, some perhaps left out; None if a step holds rows of another."""

    def within(step: list[set[int]], window: set[int]) -> bool:
        return all(rows & window for rows in step)

    if len(held) == len(windows):
        return list(range(len(held))) if all(map(within, held, windows)) else None
    found: list[int] = []
    for step in held:
        first = found[-1] + 1 if found else 0
        later = [w for w in range(first, len(windows)) if step and within(step, windows[w])]
        if not later:
            return None
        found.append(later[0])
    return found


def _mask(rows: list[list[int]], size: int) -> Tensor:
    inside = torch.zeros(len(rows), size, dtype=torch.bool)
    for step, members in enumerate(rows):
        inside[step, members] = True
    return inside


def _misfit(reading: Reading, held: list[list[set[int]]], targets: set[int]) -> Aligned:
    """Steps that are no windows: shuffled rows, rows seen twice or in another window."""
    layout, rows = reading.layout, [set[int]().union(*step) for step in held]
    listed = [row for step in rows for row in sorted(step)]
    inside = _mask([sorted(step) for step in rows], layout.size)
    once = len(listed) == len(set(listed))
    steps = [sorted(step) for step in rows]
    aligned = Aligned(reading, [layout], inside, reading.coefficients, fits=False)
    if once and listed != sorted(listed):
        windows = [[number] for number in range(len(steps))]
        aligned.layouts = [replace(layout, micro_batches=steps, windows=windows, world=1)]
        aligned.faults, aligned.fits = ["shuffled"], all(steps)
        return aligned
    expected = [sorted(set(layout.rows_of(w)) & targets) for w in range(len(layout.windows))]
    name = f"{layout.batch_size} × {layout.K}"
    zh = f"{name}：各步含的行是 {_list(steps)}，而各个累积窗口的行是 {_list(expected)}"
    en = f"{name}: the steps hold the rows {_list(steps)}, where the windows are {_list(expected)}"
    aligned.remarks = [(zh, en)]
    return aligned


def _list(rows: list[list[int]]) -> str:
    text = [
        f"{step[0]}–{step[-1]}" if len(step) > 1 and step[-1] - step[0] == len(step) - 1 else str(step)[1:-1]
        for step in rows
    ]
    return "; ".join(f"({part})" for part in text)
