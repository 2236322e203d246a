"""What happened to whole steps: rows in the wrong one, or a gradient that was not set to zero."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from .least_squares import Reading
from .rows import Layout


@dataclass
class Aligned:
    """One partition with each step put beside its window.

    `layouts`: what the counts of a rule may be taken over, one after the other. `inside` (steps, R): the rows that
    belong to each step. `coefficients` (steps, G): what the step itself put into the gradient. `fits`: whether
    every step is a window, so that a rule can be looked for; `remark` says in two languages why not.
    """

    reading: Reading
    layouts: list[Layout]
    inside: Tensor
    coefficients: Tensor
    faults: list[str] = field(default_factory=list)
    remark: tuple[str, str] | None = None
    fits: bool = True

    def shares(self) -> Tensor:
        """(steps, C): what each step itself gave to each column."""
        return self.reading.shares(self.coefficients, self.inside)


def align(reading: Reading, tolerance: float) -> Aligned:
    """Puts the steps of a partition beside its windows and names what is wrong with them.

    Four explanations are tried in turn: a step for each window, or for each micro-batch; and the same where each
    step holds the gradients of all steps before it.
    """
    layout, coefficients = reading.layout, reading.coefficients
    targets = set(reading.row[reading.of("token")].tolist())
    own = coefficients - torch.cat([torch.zeros_like(coefficients[:1]), coefficients[:-1]])
    for added, carried in ((coefficients, []), (own, ["zero_grad_forgotten"])):
        held = _held(reading, added, tolerance)
        for template in (layout, layout.micro_steps()):
            members = [set(template.rows_of(w)) for w in range(len(template.windows))]
            if len(held) != len(members):  # a window without a target may have a step, or none
                members = [rows if rows & targets else set() for rows in members]
            windows = _match(held, members)
            if windows is None:
                continue
            each = template is not layout
            dropped = len(windows) < sum(map(bool, members))
            faults = carried + ["no_accumulation"] * each + ["window_dropped"] * dropped
            inside = _mask([template.rows_of(w) for w in windows], layout.size)
            return Aligned(reading, [layout, template] if each else [layout], inside, added, faults)
    return _misfit(reading, _held(reading, coefficients, tolerance), targets)


def _held(reading: Reading, coefficients: Tensor, tolerance: float) -> list[list[set[int]]]:
    """For each step what has some weight in it: groups of equal columns, each as the rows that they are from."""
    rows: list[set[int]] = [set() for _ in range(coefficients.shape[1])]
    counted = (reading.row >= 0) & ~reading.of("uniform", "z")
    for group, row in zip(reading.group[counted].tolist(), reading.row[counted].tolist(), strict=True):
        rows[group].add(row)
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
    layout, steps = reading.layout, [sorted(set[int]().union(*step)) for step in held]
    listed = [row for step in steps for row in step]
    aligned = Aligned(reading, [layout], _mask(steps, layout.size), reading.coefficients, fits=False)
    if len(listed) == len(set(listed)) and listed != sorted(listed):
        windows = [[number] for number in range(len(steps))]
        aligned.layouts = [replace(layout, micro_batches=steps, windows=windows, world=1)]
        aligned.faults, aligned.fits = ["shuffled"], all(steps)
        return aligned
    expected = [sorted(set(layout.rows_of(w)) & targets.union(listed)) for w in range(len(layout.windows))]
    zh = f"各步含的行是 {_list(steps, '；')}，而各个累积窗口的行是 {_list(expected, '；')}"
    en = f"the steps hold the rows {_list(steps, '; ')}, where the windows are {_list(expected, '; ')}"
    aligned.remark = f"{layout.name}：{zh}", f"{layout.name}: {en}"
    return aligned


def _list(rows: list[list[int]], between: str) -> str:
    text = [
        f"{step[0]}–{step[-1]}" if len(step) > 1 and step[-1] - step[0] == len(step) - 1 else str(step)[1:-1]
        for step in rows
    ]
    return between.join(f"({part})" for part in text)
