"""What an answer gives, read as numbers, compared and shown, whatever it is."""

import math
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["as_tensor", "difference", "kind", "literal", "same"]

MOST = 100_000  # numbers in lists; more are not read
_NEW = {torch.uint16, torch.uint32, torch.uint64}  # of which PyTorch computes little
_NEW |= {dtype for dtype in vars(torch).values() if isinstance(dtype, torch.dtype) and "float8" in str(dtype)}
WIDEST = 160  # characters of a line that is still read


def as_tensor(value: Any) -> Tensor | None:
    """A number, a list, an array or a dense tensor as a detached real tensor on the CPU; None for anything else.

    Lists may hold numbers, lists, arrays and tensors; Python's floats become float64. Truth values are no numbers.

    >>> as_tensor([torch.ones(2), [0.5, 2]])
    tensor([[1.0000, 1.0000],
            [0.5000, 2.0000]], dtype=torch.float64)
    """
    try:
        tensor = _read(value, depth=0)
        if tensor is not None and tensor.dtype in _NEW:
            tensor = tensor.double()
    except Exception:  # whatever a class of the learner's does when it is asked for its numbers
        return None
    return None if tensor is None or tensor.is_complex() or tensor.dtype == torch.bool else tensor


def _read(value: Any, depth: int) -> Tensor | None:
    if isinstance(value, Tensor):
        dense = value.layout == torch.strided and not (value.is_nested or value.is_quantized or value.is_meta)
        return value.detach().cpu() if dense else None
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return torch.tensor(int(value))
    if isinstance(value, Real | Decimal) and not isinstance(value, np.generic):
        return torch.tensor(float(value), dtype=torch.float64)
    if isinstance(value, list | tuple | range):
        return _read_list(value, depth) if depth < 8 and len(value) <= MOST else None
    return torch.from_numpy(np.array(value)) if hasattr(type(value), "__array__") else None


def _read_list(values: list | tuple | range, depth: int) -> Tensor | None:
    types = {type(item) for item in values}
    if types <= {int, float}:
        return torch.tensor(list(values), dtype=torch.float64 if float in types else torch.int64)
    items = [_read(item, depth + 1) for item in values]
    if any(item is None or item.dtype == torch.bool for item in items) or sum(item.numel() for item in items) > MOST:
        return None
    dtype = items[0].dtype
    for item in items:
        dtype = torch.promote_types(dtype, item.dtype)
    return torch.stack([item.to(dtype) for item in items])


def same(one: Tensor | None, other: Tensor | None, size: float = 0.0) -> bool:
    """Whether two tensors are equal as far as float32 can tell in a computation with numbers up to `size`.

    That is five digits, and less where `size` exceeds 50; nan is equal to nan.
    """
    if one is None or other is None or one.shape != other.shape:
        return False
    relative = max(1e-5, 2e-7 * size)
    return torch.allclose(one.double(), other.double(), rtol=relative, atol=1e-7 + 2e-7 * size, equal_nan=True)


def difference(got: Tensor, want: Tensor) -> tuple[str, str, str]:
    """What came and what should have come, in digits enough to tell them apart, and the place if they are long.

    >>> difference(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 3.0]))
    ('[1, 2]', '[1, 3]', '')
    """
    place = ""
    if got.shape == want.shape and len(_digits(want, 6)) > WIDEST:
        apart = (got.double() - want.double()).abs()
        apart[(got == want) | (got.isnan() & want.isnan())] = 0.0
        index = tuple(torch.unravel_index(apart.nan_to_num(math.inf, math.inf).argmax(), apart.shape))
        place = "[" + ", ".join(str(int(i)) for i in index) + "]"
        got, want = got[index], want[index]
    for digits in (6, 9, 12, 17):
        texts = tuple(_digits(value, digits) for value in (got, want))
        if texts[0] != texts[1]:
            break
    shapes = str(tuple(got.shape)), str(tuple(want.shape))
    return *(text if len(text) <= WIDEST else shape for text, shape in zip(texts, shapes, strict=True)), place


def _digits(value: Tensor, digits: int) -> str:
    def text(item: Any) -> str:
        if isinstance(item, list):
            return "[" + ", ".join(map(text, item)) + "]"
        return f"{item:.{digits}g}" if isinstance(item, float) else str(item)

    return text(value.tolist()) if value.numel() <= 2000 else "[" + "…" * WIDEST + "]"


def literal(value: Any) -> str:
    """A value as it can be pasted into a cell.

    >>> literal(torch.tensor([0.5, -math.inf]))
    'torch.tensor([0.5, -torch.inf])'
    """
    if not isinstance(value, Tensor):
        return repr(value)
    return f"torch.tensor({_python(value.tolist())})"


def _python(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_python, value)) + "]"
    text = repr(value)
    return text.replace("inf", "torch.inf").replace("nan", "torch.nan")


def kind(value: Any) -> str:
    """In a few words, without asking the value to describe itself: its type, and of a tensor dtype and shape."""
    if isinstance(value, Tensor):
        shape = "" if value.is_nested else f", shape {tuple(value.shape)}"
        return f"{type(value).__name__}({value.dtype}{shape})"
    if isinstance(value, np.ndarray):
        return f"ndarray({value.dtype}, shape {value.shape})"
    if type(value) in (list, tuple, dict, set, str, bytes):
        return f"{type(value).__name__}, len {len(value)}"
    return type(value).__name__
