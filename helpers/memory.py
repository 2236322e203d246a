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

    >>> logits = torch.zeros(8, 1000)
    >>> with PeakMemory() as memory:
    ...     probs = logits.exp()
    ...     probs /= probs.sum(-1, keepdim=True)
    >>> memory.peak, memory.alive
    (32032, 32000)
    >>> memory.steps
    [('aten.exp', 32000), ('aten.sum', 32032), ('aten.div_', 32032)]

    alive  the bytes of the tensors that were made in the block and have not been freed
    peak   the largest `alive` so far
    steps  the operations in order, each with the bytes alive after it

    Tensors that share memory count once, so a view or an in-place operation adds nothing, and neither does a tensor
    that existed before the block. On the device "meta" tensors have shapes but no memory; they are counted as if they
    had it, so a layer of any size can be counted on any machine.
    On the CPU `peak` is what PyTorch's allocator hands out at most, to the byte, but for what cannot be seen here:

    - memory that a kernel takes and gives back while it runs: `logsumexp` makes a copy of its input, and all of
      `F.linear_cross_entropy` with `options` is one kernel;
    - memory that is not a tensor's, such as NumPy's or a matrix library's, or that no operation makes, such as the
      5056 bytes of `torch.get_rng_state`, which `checkpoint` keeps unless told otherwise;
    - the backward pass of `gather` and of indexing as it is when nobody watches: under any such mode PyTorch takes
      another path for it, with one more copy of the input. `F.nll_loss` has no second path.

    The resident memory of the process (RSS) is not the same: the C library keeps freed memory for later.
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
    """The bytes that autograd keeps for the backward pass of `function()`, of tensors made by `function` itself.

    >>> logits, targets = torch.zeros(8, 1000, requires_grad=True), torch.zeros(8, dtype=torch.int64)
    >>> saved_bytes(lambda: torch.nn.functional.cross_entropy(logits, targets))
    32004

    What is kept twice counts once. Autograd keeps inputs and parameters as well, but those exist anyway. What hooks
    of the function's own put elsewhere, such as `torch.autograd.graph.save_on_cpu`, is not counted.
    Raises TypeError if `function` cannot be called, RuntimeError inside `torch.func.grad`, `vjp`, `jacrev` and
    `hessian` and around them: PyTorch does not tell there what it keeps.
    """
    require.instance(function, "function", Callable, "a function without arguments")
    kept = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if _address(tensor) in memory._storages:
            kept[_address(tensor)] = storage.nbytes()
        return tensor.detach()

    try:
        with PeakMemory() as memory, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            result = function()  # holds the graph until all is counted
    except RuntimeError as error:
        if "saved tensor hooks" not in str(error):
            raise
        words = "saved_bytes works neither inside torch.func.grad, vjp, jacrev and hessian nor around them"
        raise RuntimeError(f"{words}: differentiate with torch.autograd.grad or backward") from error
    del result
    return sum(kept.values())


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor) and leaf.layout == torch.strided]


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
