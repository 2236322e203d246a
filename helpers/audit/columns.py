"""The gradients that a loop can mix: one of each token, and those that appear when a loop does something else.

All are taken row by row, without padding, in float64 and in eval mode, at the parameters that the loop starts from.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .layout import Layout
from .reference import Reference
from .rows import IGNORE_INDEX

__all__ = ["FAMILIES", "Column", "Columns"]

# What may be in a gradient besides the tokens' own: the names of the faults or remarks, and the kind of column.
FAMILIES = {
    "label_smoothing": "uniform",
    "z_loss": "z",
    "weight_decay": "decay",
    "padding_in_loss": "padding",
    "labels_not_shifted": "here",
    "labels_shifted_twice": "twice",
    "left_padding": "left",
    "packed_boundary": "boundary",
}


@dataclass(frozen=True)
class Column:
    """The gradient (P,) and the value () of one term: of which kind, from which row, standing for `count` positions."""

    kind: str
    row: int
    count: int
    value: float
    gradient: Tensor


class Columns:
    """The columns of all rows of a reference; each is computed once, when it is asked for."""

    def __init__(self, reference: Reference) -> None:
        self.reference, self.rows = reference, reference.rows
        self._cache: dict[object, list[Column]] = {}

    def tokens(self) -> list[Column]:
        """One column for each target, row after row: "token", or "masked" where its label is -100."""
        return self._cached("tokens", self._tokens)

    def family(self, name: str, layout: Layout) -> list[Column]:
        """The columns of one of `FAMILIES` for the rows as `layout` batches them."""
        if name in ("padding_in_loss", "left_padding", "packed_boundary"):
            lengths = [len(row["labels"]) for row in self.rows]
            found = []
            for micro in layout.micro_batches:
                longest = max(lengths[row] for row in micro)
                if name == "packed_boundary":
                    found += [self._cached((name, a), lambda a=a: self._boundary(a)) for a in micro[:-1]]
                    continue
                for row in micro:
                    extra = longest - lengths[row]
                    if extra and name == "padding_in_loss":
                        found.append(self._cached((name, row, extra), lambda r=row, m=extra: self._padding(r, m)))
                    elif extra:
                        found.append(self._cached((name, row), lambda r=row: self._left(r)))
            return [column for columns in found for column in columns]
        return self._cached(name, getattr(self, f"_{name}"))

    def _cached(self, key: object, make: Callable[[], Iterable[Column]]) -> list[Column]:
        if key not in self._cache:
            with torch.enable_grad():
                self._cache[key] = list(make())
        return self._cache[key]

    def _tokens(self) -> Iterator[Column]:
        for number, row in enumerate(self.rows):
            for place in range(1, len(row["labels"])):
                label = row["labels"][place]
                kind = "masked" if label == IGNORE_INDEX else "token"
                target = row["input_ids"][place] if label == IGNORE_INDEX else label
                yield self._column(kind, number, self._loss(self.reference.logits[number][place - 1], target))

    def _label_smoothing(self) -> Iterator[Column]:
        for number, row in enumerate(self.rows):
            for place in range(1, len(row["labels"])):
                yield self._column("uniform", number, -self.reference.logits[number][place - 1].log_softmax(0).mean())

    def _z_loss(self) -> Iterator[Column]:
        for number, row in enumerate(self.rows):
            for place in range(1, len(row["labels"])):
                yield self._column("z", number, self.reference.logits[number][place - 1].logsumexp(0) ** 2)

    def _weight_decay(self) -> Iterator[Column]:
        for parameter in filter(torch.any, self.reference.parameters):
            yield self._column("decay", -1, (parameter**2).sum() / 2)

    def _labels_not_shifted(self) -> Iterator[Column]:
        yield from self._elsewhere("here", 0)

    def _labels_shifted_twice(self) -> Iterator[Column]:
        yield from self._elsewhere("twice", 2)

    def _elsewhere(self, kind: str, distance: int) -> Iterator[Column]:
        for number, row in enumerate(self.rows):
            for place in range(distance, len(row["labels"])):
                if row["labels"][place] != IGNORE_INDEX:
                    loss = self._loss(self.reference.logits[number][place - distance], row["labels"][place])
                    yield self._column(kind, number, loss)

    def _padding(self, number: int, extra: int) -> Iterator[Column]:
        ids = self.rows[number]["input_ids"]
        logits = self.reference.forward(number, ids + [0] * extra, [1] * len(ids) + [0] * extra)
        losses = [self._loss(logits[len(ids) - 1 + i], 0) for i in range(extra)]
        yield self._column("padding", number, torch.stack(losses).sum(), extra)

    def _left(self, number: int) -> Iterator[Column]:
        row = self.rows[number]
        if row["labels"][0] != IGNORE_INDEX:
            logits = self.reference.forward(number, [0, *row["input_ids"]], [0] + [1] * len(row["input_ids"]))
            yield self._column("left", number, self._loss(logits[0], row["labels"][0]))

    def _boundary(self, number: int) -> Iterator[Column]:
        label = self.rows[number + 1]["labels"][0]
        if label != IGNORE_INDEX:
            yield self._column("boundary", number, self._loss(self.reference.logits[number][-1], label))

    def _column(self, kind: str, row: int, loss: Tensor, count: int = 1) -> Column:
        return Column(kind, row, count, loss.item(), self.reference.gradient(loss))

    def _loss(self, logits: Tensor, target: int) -> Tensor:
        return -logits.log_softmax(0)[target]
