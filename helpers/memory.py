"""The bytes of tensors, counted instead of measured: the same on every machine, and on `meta`, where there are none."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from helpers import require

__all__ = ["PeakMemory", "saved_bytes"]

_FROM_OUTSIDE = torch.ops.aten.lift_fresh.default  # `torch.tensor(...)` hands its new tensor to this operation


class PeakMemory(TorchDispatchMode):
    """Counts the bytes of every tensor that is made inside the `with` block, also by the backward pass.

    alive  bytes that live now: made in the block and not yet freed
    peak   the largest `alive` so far
    steps  (operation, bytes alive after it) in order, such as ("aten.mm", 512)

    Tensors that share a storage count once, so views and in-place operations count nothing; tensors from before the
    block count nothing. On the device "meta" tensors have a shape and no memory, and are counted as if they had it.
    On the CPU `peak` is the count of PyTorch's allocator to the byte, wherever this holds:

    - A kernel's own scratch memory is not seen, nor what is not PyTorch's (numpy, a library's packed copy of a matrix).
    - PyTorch may choose another path while it is watched. So does the backward pass of `gather` and of indexing: its
      gradient is made with one more copy than otherwise. `F.nll_loss` has no such path.
    - The process's resident memory (RSS) is another thing: it holds what the C library keeps for later.
    - What other threads do is not seen, apart from the backward pass.

    >>> logits = torch.zeros(8, 1000)
    >>> with PeakMemory() as memory:
    ...     probs = logits.exp()
    ...     probs /= probs.sum(-1, keepdim=True)
    >>> memory.peak, memory.alive
    (32032, 32000)
    >>> memory.steps
    [('aten.exp', 32000), ('aten.sum', 32032), ('aten.div_', 32032)]
    """

    def __init__(self) -> None:
        super().__init__()
        self.alive = self.peak = 0
        self.steps: list[tuple[str, int]] = []
        self._storages: dict[int, weakref.ref] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        before = set() if func is _FROM_OUTSIDE else {_address(t) for t in _tensors((args, kwargs))}
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            address = _address(tensor)
            if address not in before and address not in self._storages:
                self._add(address, tensor.untyped_storage())
        self.steps.append((str(func.overloadpacket), self.alive))
        return result

    def _add(self, address: int, storage: torch.UntypedStorage) -> None:
        size = storage.nbytes()

        def freed(_: weakref.ref) -> None:
            self.alive -= size
            del self._storages[address]

        self._storages[address] = weakref.ref(storage, freed)
        self.alive += size
        self.peak = max(self.peak, self.alive)


def saved_bytes(function: Callable[[], Any]) -> int:
    """The bytes that autograd keeps for the backward pass of `function()`, of tensors that `function` made itself.

    A storage that is kept twice counts once. Inputs and parameters are kept too, but they exist anyway.
    Raises TypeError if `function` cannot be called.

    >>> logits, targets = torch.zeros(8, 1000, requires_grad=True), torch.zeros(8, dtype=torch.int64)
    >>> saved_bytes(lambda: torch.nn.functional.cross_entropy(logits, targets))
    32004
    """
    require.instance(function, "function", Callable, "a function without arguments")
    kept = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if _address(tensor) in memory._storages:
            kept[_address(tensor)] = storage.nbytes()
        return tensor.detach()

    with PeakMemory() as memory, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = function()  # holds the graph until all is counted
    del result
    return sum(kept.values())


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor) and leaf.layout == torch.strided]


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
