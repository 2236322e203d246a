"""Running an answer: once for each case, watched, with everything that it changes in Python and PyTorch put back."""

import contextlib
import dis
import functools
import inspect
import io
import random
import sys
import traceback
import types
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch._tensor_str import PRINT_OPTS
from torch.overrides import TorchFunctionMode

__all__ = ["Run", "awaits", "line_in", "run", "undisturbed"]


def _set_deterministic(state: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(state[0], warn_only=state[1])


def _set_device(device: torch.device) -> None:
    torch.set_default_device(None if device == torch.device("cpu") else device)


# What outlives a cell: how it is read, and how it is set.
_STATE = (
    (torch.is_grad_enabled, torch._C._set_grad_enabled),
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_default_device, _set_device),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (lambda: (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()),
     _set_deterministic),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (lambda: dict(vars(PRINT_OPTS)), lambda options: vars(PRINT_OPTS).update(options)),
    (np.get_printoptions, lambda options: np.set_printoptions(**options)),
    (np.geterr, lambda options: np.seterr(**options)),
    (sys.getrecursionlimit, sys.setrecursionlimit),
)  # fmt: skip
_SEEDS = (
    (torch.get_rng_state, torch.set_rng_state),
    (random.getstate, random.setstate),
    (np.random.get_state, np.random.set_state),
)


@contextlib.contextmanager
def undisturbed(dtype: torch.dtype = torch.float64) -> Iterator[None]:
    """With gradients, on the CPU, `dtype` the default dtype, whatever a cell has set; afterwards all is as before."""
    before = [read() for read, _ in _STATE]
    seeds = [read() for read, _ in _SEEDS]
    try:
        with warnings.catch_warnings(), torch.inference_mode(False), torch.autocast("cpu", enabled=False):
            torch._C._set_grad_enabled(True)
            torch.set_default_dtype(dtype)
            if torch.get_default_device() != torch.device("cpu"):
                torch.set_default_device(None)
            yield
    finally:
        for (read, put), value in zip(_STATE, before, strict=True):
            if read() != value:
                put(value)
        for (_, put), seed in zip(_SEEDS, seeds, strict=True):
            put(seed)


class Watch(TorchFunctionMode):
    """Counts by name the calls to functions of PyTorch, SciPy and helpers, but not those that helpers makes itself."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self._inside_helpers = 0

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if not self._inside_helpers:
            self._count(getattr(func, "__name__", ""))
        return func(*args, **(kwargs or {}))

    def profile(self, frame: types.FrameType, event: str, _: Any) -> None:
        """For sys.setprofile: sees what is written in Python, under whatever name it was imported."""
        module = frame.f_globals.get("__name__") or ""
        if module.startswith("helpers.") and module != __name__ and event in ("call", "return"):
            if event == "call" and not self._inside_helpers:
                self._count(frame.f_code.co_name)
            self._inside_helpers += 1 if event == "call" else -1
        elif event == "call" and module.startswith(("torch.", "scipy.")) and not self._inside_helpers:
            self._count(frame.f_code.co_name)

    def _count(self, name: str) -> None:
        self.calls[name.partition(".")[0].removeprefix("special_")] += 1  # softmax.int and special_softmax are softmax


class Run(NamedTuple):
    """What one call gave: `value` or `error`, the arguments as it left them, what it printed, and what it called."""

    value: Any
    error: BaseException | None
    arguments: tuple
    printed: str
    calls: Counter


def run(
    function: Callable, arguments: tuple, dtype: torch.dtype = torch.float64, gradient_of: int | None = None
) -> Run:
    """Call `function` on copies of `arguments`, their floating-point tensors in `dtype`.

    gradient_of: the number of an argument that is part of a graph, as it would be in training.
    Everything but KeyboardInterrupt is caught.
    """
    given = tuple(_copy(value, dtype) for value in arguments)
    if gradient_of is not None:  # not a leaf, which would forbid what only a change of the argument is
        given = tuple(
            value.requires_grad_().view_as(value) if place == gradient_of else value
            for place, value in enumerate(given)
        )
    printed, watch = io.StringIO(), Watch()
    profiled = sys.getprofile() is not None  # by the learner; his profiler could not be put back
    value = error = None
    with undisturbed(dtype), contextlib.redirect_stdout(printed):
        warnings.simplefilter("ignore")  # they would name a line of this file
        if not profiled:
            sys.setprofile(watch.profile)
        try:
            with watch:
                value = function(*given)
        except KeyboardInterrupt:
            raise
        except BaseException as raised:  # SystemExit among them
            error = raised
        finally:
            if not profiled:
                sys.setprofile(None)
        if inspect.iscoroutine(value):
            value.close()  # or Python warns that nobody awaited it
    return Run(value, error, given, printed.getvalue(), watch.calls)


def _copy(value: Any, dtype: torch.dtype) -> Any:
    if not isinstance(value, Tensor):
        return value
    return value.to(dtype, copy=True) if value.is_floating_point() else value.clone()


def unwrapped(answer: Any) -> Callable | None:
    """The function of the learner's that decorators, partial, a method or a module are wrapped around, if any."""
    for _ in range(20):
        if inspect.isfunction(answer) and not hasattr(answer, "__wrapped__"):
            return answer
        if hasattr(answer, "__wrapped__"):
            answer = answer.__wrapped__
        elif isinstance(answer, functools.partial):
            answer = answer.func
        elif inspect.ismethod(answer):
            answer = answer.__func__
        elif isinstance(answer, torch.nn.Module):
            answer = type(answer).forward
        else:
            answer = vars(type(answer)).get("__call__")
            return answer if inspect.isfunction(answer) else None
    return None


def awaits(answer: Any) -> bool:
    """Whether the answer is `...`, or a function whose body is still `...`, a docstring or `pass`."""
    if answer is ...:
        return True
    try:
        function = unwrapped(answer)
        inner = [cell.cell_contents for cell in (function.__closure__ or ())] if function else []  # a decorator's
    except Exception:  # an attribute of the learner's that raises, an empty cell
        return False
    return any(inspect.isfunction(one) and _is_empty(one) for one in (function, *inner))


def _is_empty(function: Callable) -> bool:
    operations = {instruction.opname for instruction in dis.get_instructions(function)}
    constants = {constant for constant in function.__code__.co_consts if constant is not None}
    return operations <= {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"} and constants <= {
        function.__doc__
    }


def returns_something(answer: Any) -> bool:
    """Whether there is a `return` with a value in the learner's function."""
    try:
        steps = list(dis.get_instructions(unwrapped(answer)))
    except Exception:
        return True
    pairs = zip([None, *steps], steps, strict=False)
    return any(
        step.opname == "RETURN_VALUE" and not (before.opname == "LOAD_CONST" and before.argval is None)
        for before, step in pairs
    )


def line_in(answer: Any, error: BaseException) -> int | None:
    """The line of the learner's cell, counted from 1, where the error arose; None if it arose elsewhere."""
    try:
        file = unwrapped(answer).__code__.co_filename
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    except Exception:
        return None
    return lines[-1] if lines else None
