"""Running an answer: once for each case, watched, with everything that it changes in Python and PyTorch put back."""

import contextlib
import inspect
import io
import random
import sys
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

__all__ = ["Run", "on_the_cpu", "run", "run_known", "undisturbed"]


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
    (np.random.get_bit_generator, np.random.set_bit_generator),  # another takes its place: its state is slow to copy
)
_ANOTHER = np.random.MT19937(0)


def on_the_cpu() -> contextlib.AbstractContextManager:
    """Where tensors are made; nothing if they are made there anyway, since it makes every call of PyTorch slower."""
    cpu = torch.device("cpu")
    return contextlib.nullcontext() if torch.get_default_device() == cpu else cpu


@contextlib.contextmanager
def undisturbed(dtype: torch.dtype = torch.float64) -> Iterator[None]:
    """With gradients, on the CPU, `dtype` the default dtype, whatever a cell has set; afterwards all is as before."""
    before = [read() for read, _ in _STATE]
    seeds = [read() for read, _ in _SEEDS]
    try:
        with (
            warnings.catch_warnings(),
            torch.inference_mode(False),
            torch.autocast("cpu", enabled=False),
            on_the_cpu(),
        ):
            np.random.set_bit_generator(_ANOTHER)
            torch._C._set_grad_enabled(True)
            torch.set_default_dtype(dtype)
            yield
    finally:
        for (read, put), value in zip(_STATE, before, strict=True):
            if read() != value:
                put(value)
        for (_, put), seed in zip(_SEEDS, seeds, strict=True):
            put(seed)


class Watch(TorchFunctionMode):
    """Counts by name the calls to functions of PyTorch, NumPy, SciPy and helpers, but not those of helpers itself."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.largest = 0
        self._inside_helpers = 0

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if not self._inside_helpers:
            self._count(getattr(func, "__name__", ""))
        result = func(*args, **(kwargs or {}))
        if type(result) is Tensor and not self._inside_helpers:
            self.largest = max(self.largest, result.nelement())
        return result

    def profile(self, frame: types.FrameType, event: str, _: Any) -> None:
        """For sys.setprofile: sees what is written in Python, under whatever name it was imported."""
        module = frame.f_globals.get("__name__") or ""
        if module.startswith("helpers.") and module != __name__ and event in ("call", "return"):
            if event == "call" and not self._inside_helpers:
                self._count(frame.f_code.co_name)
            self._inside_helpers += 1 if event == "call" else -1
        elif event == "call" and module.startswith(("torch.", "numpy.", "scipy.")) and not self._inside_helpers:
            self._count(frame.f_code.co_name)

    def _count(self, name: str) -> None:
        self.calls[name.partition(".")[0].removeprefix("special_")] += 1  # softmax.int and special_softmax are softmax


class Run(NamedTuple):
    """What one call gave: `value` or `error`, the arguments as it left them, and what it printed.

    calls: how often which functions were called; largest: the numbers in the largest tensor that one of them gave.
    """

    value: Any
    error: BaseException | None
    arguments: tuple
    printed: str
    calls: Counter
    largest: int = 0


def run(
    function: Callable, arguments: tuple, dtype: torch.dtype = torch.float64, gradient_of: tuple[int, ...] = ()
) -> Run:
    """Call `function` on copies of `arguments`, their floating-point tensors in `dtype`.

    gradient_of: the numbers of the arguments that are part of a graph, as they would be in training.
    Everything but KeyboardInterrupt is caught.
    """
    given = tuple(_copy(value, dtype) for value in arguments)
    given = tuple(  # not a leaf, which would forbid what only a change of the argument is
        value.requires_grad_().view_as(value) if place in gradient_of else value for place, value in enumerate(given)
    )
    printed, watch = io.StringIO(), Watch()
    profiled = sys.getprofile() is not None  # by the learner; his profiler could not be put back
    value = error = None
    with undisturbed(dtype), _eager(), contextlib.redirect_stdout(printed):
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
    return Run(value, error, given, printed.getvalue(), watch.calls, watch.largest)


def _eager() -> contextlib.AbstractContextManager:
    """Leaves functions uncompiled, also those under `torch.compile`, which does not take a mode that watches."""
    compiles = "torch._dynamo" in sys.modules  # to import it takes a second
    return torch.compiler.set_stance("force_eager") if compiles else contextlib.nullcontext()


def run_known(function: Callable, arguments: tuple) -> Run:
    """The same of a function of our own, which needs neither watching nor putting back."""
    try:
        return Run(function(*(_copy(value, torch.float64) for value in arguments)), None, (), "", Counter())
    except Exception as error:
        return Run(None, error, (), "", Counter())


def _copy(value: Any, dtype: torch.dtype) -> Any:
    if not isinstance(value, Tensor):
        return value
    return value.to(dtype, copy=True) if value.is_floating_point() else value.clone()
