"""The model at the point where the loop starts: its logits, and the gradient of anything in them."""

import copy
import inspect

import torch
from torch import Tensor, nn

from .sentences import in_language

__all__ = ["Reference"]

LARGEST = 40_000  # coordinates of the gradient that are solved


class Reference:
    """A model in float64 and in eval mode, as it was before the loop.

    `names` are its trainable parameters, `start` their values, `picks` the coordinates of each that are kept: None
    for all, or `LARGEST` of those in which some row has a gradient. `logits` are those of each row, alone.
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
        with torch.enable_grad():
            self.logits = [self.forward(i, row["input_ids"]) for i, row in enumerate(rows)]
            self._check_labels()
            if sum(p.numel() for p in self.parameters) > LARGEST:
                self._choose_coordinates()

    def forward(self, number: int, ids: list[int], mask: list[int] | None = None) -> Tensor:
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

    def _gradients(self, loss: Tensor) -> tuple[Tensor | None, ...]:
        return torch.autograd.grad(loss, self.parameters, retain_graph=True, allow_unused=True)

    def gradient(self, loss: Tensor) -> Tensor:
        """The gradient of a loss, its kept coordinates (P,)."""
        parts = []
        for name, gradient in zip(self.names, self._gradients(loss), strict=True):
            gradient = torch.zeros_like(self.start[name]) if gradient is None else gradient
            pick = self.picks[name]
            parts.append(gradient.reshape(-1) if pick is None else gradient.reshape(-1)[pick])
        return torch.cat(parts).cpu().cpu()

    def _check_labels(self) -> None:
        for number, (row, logits) in enumerate(zip(self.rows, self.logits, strict=True)):
            for place, label in enumerate(row["labels"]):
                if label >= logits.shape[-1]:
                    zh = f"rows[{number}] 的第 {place} 个标签是 {label}，而模型只有 {logits.shape[-1]} 类"
                    en = f"label {label} of rows[{number}] at {place} is outside the model's {logits.shape[-1]} classes"
                    raise ValueError(in_language(self.language, zh, en))

    def _choose_coordinates(self) -> None:
        energy = [torch.zeros_like(p) for p in self.parameters]
        for row, logits in zip(self.rows, self.logits, strict=True):
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
