"""Devices that a machine without a GPU can pretend to have."""

from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class AnotherDevice(TorchFunctionMode):
    """As after `torch.set_default_device("cuda")`: a CPU's generator draws nothing unless it is told to on the CPU."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if kwargs.get("generator") is not None and torch.device(kwargs.get("device") or "cuda").type != "cpu":
            raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        return func(*args, **kwargs)
