"""The gradients that a loop can mix: one of each token, and those that appear when a loop does something else.

All are taken row by row, without padding, in float64 and in eval mode, at the parameters that the loop starts from.
"""

import copy
import inspect
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .layout import Layout
from .rows import IGNORE_INDEX
from .sentences import in_language

__all__ = ["FAMILIES", "Column", "Reference"]

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
LARGEST = 40_000  # coordinates of the gradient that are solved


@dataclass(frozen=True)
class Column:
    """The gradient (P,) and the value () of one term: of which kind, from which row, standing for `count` positions."""

    kind: str
    row: int
    count: int
    value: float
    gradient: Tensor


class Reference:
    """A model in float64 as it was before the loop, and the columns of `rows` in it.

    `names` are its trainable parameters, `start` their values, `picks` the coordinates of each that are kept: all,
    or `LARGEST` of those in which some row has a gradient.
    """

    def __init__(self, model: nn.Module, rows: list[dict[str, list[int]]], language: str) -> None:
        self.rows, self.language = rows, language
        self.names = [name for name, p in model.named_parameters() if p.requires_grad and p.is_floating_point()]
        if not self.names:
            zh, en = "模型没有可训练的参数，也就没有梯度", "the model has no parameter that requires a gradient"
            raise ValueError(in_language(language, zh, en))
        self.exact = all(p.dtype == torch.float64 for p in model.parameters() if p.requires_grad)
        self.model = copy.deepcopy(model).double().eval()
        parameters = dict(self.model.named_parameters())
        self.parameters = [parameters[name] for name in self.names]
        self.start = {name: parameters[name].detach().clone() for name in self.names}
        self.picks: dict[str, Tensor | None] = dict.fromkeys(self.names)
        self._cache: dict[object, list[Column]] = {}
        with torch.enable_grad():
            self._logits = [self._forward(i, row["input_ids"]) for i, row in enumerate(rows)]
            self._check_labels()
            if sum(p.numel() for p in self.parameters) > LARGEST:
                self._choose_coordinates()

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

    def _cached(self, key: object, make) -> list[Column]:
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
                yield self._column(kind, number, self._loss(self._logits[number][place - 1], target))

    def _label_smoothing(self) -> Iterator[Column]:
        for number, row in enumerate(self.rows):
            for place in range(1, len(row["labels"])):
                yield self._column("uniform", number, -self._logits[number][place - 1].log_softmax(0).mean())

    def _z_loss(self) -> Iterator[Column]:
        for number, row in enumerate(self.rows):
            for place in range(1, len(row["labels"])):
                yield self._column("z", number, self._logits[number][place - 1].logsumexp(0) ** 2)

    def _weight_decay(self) -> Iterator[Column]:
        for parameter in self.parameters:
            yield self._column("decay", -1, (parameter**2).sum() / 2)

    def _labels_not_shifted(self) -> Iterator[Column]:
        yield from self._elsewhere("here", 0)

    def _labels_shifted_twice(self) -> Iterator[Column]:
        yield from self._elsewhere("twice", 2)

    def _elsewhere(self, kind: str, distance: int) -> Iterator[Column]:
        for number, row in enumerate(self.rows):
            for place in range(distance, len(row["labels"])):
                if row["labels"][place] != IGNORE_INDEX:
                    loss = self._loss(self._logits[number][place - distance], row["labels"][place])
                    yield self._column(kind, number, loss)

    def _padding(self, number: int, extra: int) -> Iterator[Column]:
        ids = self.rows[number]["input_ids"]
        logits = self._forward(number, ids + [0] * extra, [1] * len(ids) + [0] * extra)
        losses = [self._loss(logits[len(ids) - 1 + i], 0) for i in range(extra)]
        yield self._column("padding", number, torch.stack(losses).sum(), extra)

    def _left(self, number: int) -> Iterator[Column]:
        row = self.rows[number]
        if row["labels"][0] != IGNORE_INDEX:
            logits = self._forward(number, [0, *row["input_ids"]], [0] + [1] * len(row["input_ids"]))
            yield self._column("left", number, self._loss(logits[0], row["labels"][0]))

    def _boundary(self, number: int) -> Iterator[Column]:
        label = self.rows[number + 1]["labels"][0]
        if label != IGNORE_INDEX:
            yield self._column("boundary", number, self._loss(self._logits[number][-1], label))

    def _column(self, kind: str, row: int, loss: Tensor, count: int = 1) -> Column:
        return Column(kind, row, count, loss.item(), self._flat(self._gradients(loss)))

    def _gradients(self, loss: Tensor) -> tuple[Tensor | None, ...]:
        return torch.autograd.grad(loss, self.parameters, retain_graph=True, allow_unused=True)

    def _flat(self, gradients: tuple[Tensor | None, ...]) -> Tensor:
        parts = []
        for name, gradient in zip(self.names, gradients, strict=True):
            gradient = torch.zeros_like(self.start[name]) if gradient is None else gradient
            pick = self.picks[name]
            parts.append(gradient.reshape(-1) if pick is None else gradient.reshape(-1)[pick])
        return torch.cat(parts).cpu().cpu()

    def _loss(self, logits: Tensor, target: int) -> Tensor:
        return -logits.log_softmax(0)[target]

    def _forward(self, number: int, ids: list[int], mask: list[int] | None = None) -> Tensor:
        """(n,) -> logits (n, V) in float64."""
        input_ids = torch.tensor([ids], device=self.parameters[0].device)
        mask = torch.ones_like(input_ids) if mask is None else torch.tensor([mask], device=input_ids.device)
        try:
            logits = logits_of(self.model, input_ids, mask)[0]
            if logits.dim() != 2 or len(logits) != len(ids):
                raise ValueError(f"logits of shape {tuple(logits.shape)} for {len(ids)} tokens")
        except Exception as error:
            zh = f"模型算不了 rows[{number}]：{type(error).__name__}: {error}"
            en = f"the model cannot read rows[{number}]: {type(error).__name__}: {error}"
            raise ValueError(in_language(self.language, zh, en)) from error
        return logits.double()

    def _check_labels(self) -> None:
        for number, (row, logits) in enumerate(zip(self.rows, self._logits, strict=True)):
            for place, label in enumerate(row["labels"]):
                if label >= logits.shape[-1]:
                    zh = f"rows[{number}] 的第 {place} 个标签是 {label}，而模型只有 {logits.shape[-1]} 类"
                    en = f"label {label} of rows[{number}] at {place} is outside the model's {logits.shape[-1]} classes"
                    raise ValueError(in_language(self.language, zh, en))

    def _choose_coordinates(self) -> None:
        energy = [torch.zeros_like(p) for p in self.parameters]
        for row, logits in zip(self.rows, self._logits, strict=True):
            targets = torch.tensor(row["input_ids"][1:], device=logits.device)
            if len(targets) and logits.requires_grad:
                loss = nn.functional.cross_entropy(logits[:-1], targets, reduction="sum")
                for total, gradient in zip(energy, self._gradients(loss), strict=True):
                    if gradient is not None:
                        total += gradient**2
        used = [(part.reshape(-1) > 0).nonzero().squeeze(1) for part in energy]
        whole = sum(map(len, used))
        generator = torch.Generator().manual_seed(0)
        for name, index in zip(self.names, used, strict=True):
            keep = -(-len(index) * LARGEST // max(whole, LARGEST))
            chosen = torch.randperm(len(index), generator=generator)[:keep].to(index.device)
            self.picks[name] = index[chosen].sort().values


def logits_of(model: nn.Module, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """The logits (B, T, V) of a model, which it returns as they are, in an attribute, in a dict or in a tuple."""
    parameters = inspect.signature(model.forward).parameters
    takes_mask = "attention_mask" in parameters or any(p.kind == p.VAR_KEYWORD for p in parameters.values())
    output = model(input_ids, attention_mask=attention_mask) if takes_mask else model(input_ids)
    if isinstance(output, dict):
        output = output["logits"]
    elif hasattr(output, "logits"):
        output = output.logits
    return output[0] if isinstance(output, tuple) else output
