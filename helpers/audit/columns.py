"""The gradients that a loop can mix, at the point where it starts: one of each token, and those of other terms.

All are taken row by row, without padding, in float64 and in eval mode.
"""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .arguments import IGNORE_INDEX
from .names import in_language
from .rows import Layout

# What may be in a gradient besides the tokens' own: the name of the fault or remark, and the kind of its columns.
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
    """The gradient (P,) and the value in nats of one term of the loss.

    `kind`: "token", "masked" (a target with the label -100) or one of the values of `FAMILIES`. `row`: its number, -1
    for weight decay. `count`: how many positions it stands for, 1 but for the padding of a row.
    """

    kind: str
    row: int
    count: int
    value: float
    gradient: Tensor


class Columns:
    """The model as it was before the loop, and the columns of `rows`; each is computed once, when it is asked for.

    `copied`: another model like it, which becomes float64. `start`: the values of the trainable parameters by name.
    `picks`: which coordinates of each are kept, as indices: all, or about `LARGEST` in all of those in which some row
    has a gradient; P are kept in all. `exact`: whether all are of float64. `factored` and `normal` are what
    `least_squares` keeps for the next audit. Raises ValueError for a model not trainable or that cannot read the rows.
    """

    def __init__(self, model: nn.Module, copied: nn.Module, rows: list[dict[str, list[int]]], language: str) -> None:
        self.rows, self.language = rows, language
        names = [name for name, p in model.named_parameters() if p.requires_grad and p.is_floating_point()]
        if not names:
            zh, en = "模型没有可训练的参数，也就没有梯度", "the model has no parameter that requires a gradient"
            raise ValueError(in_language(language, zh, en))
        self.exact = all(p.dtype == torch.float64 for p in model.parameters() if p.requires_grad)
        self._model = _in_float64(copied).eval()
        parameters = dict(self._model.named_parameters())
        self._parameters = [parameters[name] for name in names]
        self.start = {name: parameters[name].detach().clone() for name in names}
        with torch.enable_grad():
            self._logits = [self._forward(number, row["input_ids"]) for number, row in enumerate(rows)]
            self.picks = dict(zip(names, self._coordinates(), strict=True))
        self._cache: dict[tuple[str, int, int], list[Column]] = {}
        self.factored: dict[tuple[str, ...], dict] = {}
        self.normal: tuple = ((),)
        for number, (row, logits) in enumerate(zip(rows, self._logits, strict=True)):
            for place, label in enumerate(row["labels"]):
                if label >= logits.shape[-1]:
                    zh = f"rows[{number}] 的第 {place} 个标签是 {label}，而模型只有 {logits.shape[-1]} 类"
                    en = f"label {label} of rows[{number}] at {place} is outside the model's {logits.shape[-1]} classes"
                    raise ValueError(in_language(language, zh, en))

    def of(self, name: str, layout: Layout) -> list[Column]:
        """The columns of "tokens", one for each target, or of one of `FAMILIES`, for the rows as `layout` has them."""
        if name == "weight_decay":
            return self._cached(name, -1, 0)
        found = []
        for micro in layout.micro_batches:
            longest = max(len(self.rows[row]["labels"]) for row in micro)
            for row in micro:
                extra = longest - len(self.rows[row]["labels"])
                beside = {"padding_in_loss": extra, "left_padding": extra > 0, "packed_boundary": row != micro[-1]}
                found += self._cached(name, row, int(beside.get(name, 0)))
        return found

    def _cached(self, name: str, row: int, beside: int) -> list[Column]:
        key = name, row, beside
        if key not in self._cache:
            with torch.enable_grad():
                made = [
                    Column(kind, row, beside if kind == "padding" else 1, loss.item(), self._gradient(loss))
                    for kind, loss in self._losses(name, row, beside)
                ]
            self._cache.setdefault(key, made)  # the first, if two threads make it
        return self._cache[key]

    def _losses(self, name: str, number: int, beside: int) -> Iterator[tuple[str, Tensor]]:
        """(kind, loss) of the terms of one row. `beside`: the row's padding, or whether there is any, or a next row."""
        kind = FAMILIES.get(name, "")
        if kind == "decay":
            yield from ((kind, (parameter**2).sum() / 2) for parameter in self._parameters if parameter.any())
            return
        ids, labels = self.rows[number]["input_ids"], self.rows[number]["labels"]
        logits, length = self._logits[number], len(ids)
        if kind in ("here", "twice"):
            distance = 0 if kind == "here" else 2
            for place in range(distance, length):
                if labels[place] != IGNORE_INDEX:
                    yield kind, _loss(logits[place - distance], labels[place])
        elif kind == "padding" and beside:
            padded = self._forward(number, ids + [0] * beside, [1] * length + [0] * beside)
            yield kind, sum(_loss(padded[length - 1 + place], 0) for place in range(beside))
        elif kind == "left" and beside and labels[0] != IGNORE_INDEX:
            yield kind, _loss(self._forward(number, [0, *ids], [0] + [1] * length)[0], labels[0])
        elif kind == "boundary" and beside and self.rows[number + 1]["labels"][0] != IGNORE_INDEX:
            yield kind, _loss(logits[-1], self.rows[number + 1]["labels"][0])
        elif kind in ("", "uniform", "z"):
            for before, token, label in zip(logits[:-1], ids[1:], labels[1:], strict=True):
                if kind == "uniform":
                    yield kind, -before.log_softmax(0).mean()
                elif kind == "z":
                    yield kind, before.logsumexp(0) ** 2
                elif label == IGNORE_INDEX:
                    yield "masked", _loss(before, token)
                else:
                    yield "token", _loss(before, label)

    def _forward(self, number: int, ids: list[int], mask: list[int] | None = None) -> Tensor:
        """(n,) -> logits (n, V) in float64."""
        input_ids = torch.tensor([ids], device=self._parameters[0].device)
        mask = torch.ones_like(input_ids) if mask is None else torch.tensor([mask], device=input_ids.device)
        try:
            logits = _logits_of(self._model, input_ids, mask)[0]
            if logits.dim() != 2 or len(logits) != len(ids):
                raise ValueError(f"logits of shape {tuple(logits.shape)} for {len(ids)} tokens")
        except (Exception, SystemExit) as error:
            zh = f"模型算不了 rows[{number}]：{type(error).__name__}: {error}"
            en = f"the model cannot read rows[{number}]: {type(error).__name__}: {error}"
            raise ValueError(in_language(self.language, zh, en)) from error
        return logits.double()

    def _gradients(self, loss: Tensor) -> list[Tensor]:
        """One gradient for each parameter, flat."""
        given = torch.autograd.grad(loss, self._parameters, retain_graph=True, allow_unused=True)
        pairs = zip(given, self._parameters, strict=True)
        return [(torch.zeros_like(p) if gradient is None else gradient).reshape(-1) for gradient, p in pairs]

    def _gradient(self, loss: Tensor) -> Tensor:
        """The kept coordinates of all, (P,)."""
        return torch.cat([g[pick] for g, pick in zip(self._gradients(loss), self.picks.values(), strict=True)]).cpu()

    def _coordinates(self) -> list[Tensor]:
        if sum(p.numel() for p in self._parameters) <= LARGEST:
            return [torch.arange(p.numel(), device=p.device) for p in self._parameters]
        energy = [torch.zeros(p.numel(), dtype=p.dtype, device=p.device) for p in self._parameters]
        for row, logits in zip(self.rows, self._logits, strict=True):
            targets = torch.tensor(row["input_ids"][1:], device=logits.device)
            if len(targets) and logits.requires_grad:
                loss = nn.functional.cross_entropy(logits[:-1], targets, reduction="sum")
                for total, gradient in zip(energy, self._gradients(loss), strict=True):
                    total += gradient**2
        used = [(part > 0).nonzero().squeeze(1) for part in energy]
        whole, generator, picks = sum(map(len, used)), torch.Generator().manual_seed(0), []
        for index in used:
            keep = -(-len(index) * LARGEST // max(whole, LARGEST))
            chosen = torch.randperm(len(index), generator=generator, device="cpu")[:keep].to(index.device)
            picks.append(index[chosen].sort().values)
        return picks


def _in_float64(model: nn.Module) -> nn.Module:
    try:
        return model.double()
    except TypeError:  # Apple's GPU has no float64
        return model.cpu().double()


def _loss(logits: Tensor, target: int) -> Tensor:
    return -logits.log_softmax(0)[target]


def _logits_of(model: nn.Module, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """The logits (B, T, V) of a model, which it returns as they are, in an attribute, in a dict or in a tuple."""
    try:
        parameters = inspect.signature(model.forward).parameters
    except (TypeError, ValueError):  # of TorchScript
        parameters = {}
    takes_mask = "attention_mask" in parameters or any(p.kind == p.VAR_KEYWORD for p in parameters.values())
    output = model(input_ids, attention_mask=attention_mask) if takes_mask else model(input_ids)
    if isinstance(output, Mapping):
        output = output["logits"]
    elif hasattr(output, "logits"):
        output = output.logits
    return output[0] if isinstance(output, tuple | list) else output
