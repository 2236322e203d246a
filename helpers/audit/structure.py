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

    @property
    def changed(self) -> bool:
        """Whether the coefficients are differences between steps."""
        return "zero_grad_forgotten" in self.faults


def align(reading: Reading, tolerance: float) -> Aligned:
    """Puts the steps of a partition beside its windows and names what is wrong with them."""
    layout = reading.layout
    targets = {column.row for column in reading.columns if column.kind == "token"}
    templates = [layout]
    if layout.K > 1:
        templates.append(layout.micro_steps())
    before = torch.cat([torch.zeros_like(reading.coefficients[:1]), reading.coefficients[:-1]])
    for coefficients, carried in ((reading.coefficients, []), (reading.coefficients - before, ["zero_grad_forgotten"])):
        rows = _rows(reading, coefficients, tolerance)
        for template in templates:
            windows = _match(rows, [set(template.rows_of(w)) & targets for w in range(len(template.windows))])
            if windows is None or (template is not layout and len(template.windows) == len(layout.windows)):
                continue
            faults, layouts = list(carried), [layout]
            if template is not layout:
                faults, layouts = [*faults, "no_accumulation"], [layout, template]
            if len(windows) < sum(bool(set(template.rows_of(w)) & targets) for w in range(len(template.windows))):
                faults.append("window_dropped")
            inside = _mask([template.rows_of(w) for w in windows], layout.size)
            return Aligned(reading, layouts, inside, coefficients, faults)
    return _misfit(reading, _rows(reading, reading.coefficients, tolerance), targets)


def _rows(reading: Reading, coefficients: Tensor, tolerance: float) -> list[set[int]]:
    """The rows with some weight in each step."""
    sizes = torch.bincount(reading.group, minlength=coefficients.shape[1])
    shares = (coefficients / sizes)[:, reading.group].abs()
    linked = torch.tensor([column.row >= 0 and column.kind not in ("uniform", "z") for column in reading.columns])
    row = torch.tensor([column.row for column in reading.columns])[linked]
    mass = torch.zeros(len(shares), reading.layout.size, dtype=torch.float64).index_add(1, row, shares[:, linked])
    heaviest = shares[:, linked].max() if shares.numel() else torch.tensor(0.0)
    return [set((line > 10 * tolerance * heaviest).nonzero().squeeze(1).tolist()) for line in mass]


def _match(rows: list[set[int]], windows: list[set[int]]) -> list[int] | None:
    """The window of each step, in order, some perhaps left out; None if a step holds rows of another."""
    if len(rows) == len(windows):
        return list(range(len(rows))) if all(a <= b for a, b in zip(rows, windows, strict=True)) else None
    found: list[int] = []
    for step in rows:
        later = [w for w in range(found[-1] + 1 if found else 0, len(windows)) if step and step <= windows[w]]
        if not later:
            return None
        found.append(later[0])
    return found


def _mask(rows: list[list[int]], size: int) -> Tensor:
    inside = torch.zeros(len(rows), size, dtype=torch.bool)
    for step, members in enumerate(rows):
        inside[step, members] = True
    return inside


def _misfit(reading: Reading, rows: list[set[int]], targets: set[int]) -> Aligned:
    """Steps that are no windows: shuffled rows, rows seen twice or in another window."""
    layout = reading.layout
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
    text = [f"{step[0]}–{step[-1]}" if len(step) > 1 and step[-1] - step[0] == len(step) - 1 else str(step)[1:-1] for step in rows]
    return "; ".join(f"({part})" for part in text)
