"""Runs a loop and writes down the gradient of each step, as the loop hands it to its optimizer.

torch calls global hooks before and after `step` of every `torch.optim` optimizer. The first reads the gradients; the
second puts the parameters back, so that all gradients belong to the same point, whatever the learning rate does.
"""

import inspect
import random
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from .columns import Columns


@dataclass
class Run:
    """What was seen of one partition. `steps`: {parameter name: (kept coordinates, squared norm of all)}, one each."""

    steps: list[dict[str, tuple[Tensor, float]]] = field(default_factory=list)
    returned: object = None
    error: str = ""
    exact: bool = True  # whether every gradient was of float64
    moved: bool = False  # whether parameters moved outside an optimizer
    disagree: bool = False  # whether ranks handed different gradients to their optimizers


def record(
    run: Run, call: Callable[[nn.Module], object], model: nn.Module, known: Columns, world: int, in_grad: bool
) -> object:
    """Adds to `run` what `call(model)` does under the hooks; without a step, with `in_grad`, what it leaves in `.grad`.

    -> what the call returns. What it raises is kept as a line of text, and the hooks are always removed.
    """
    events, returned = [], None
    saved: dict[int, list[tuple[Tensor, Tensor]]] = {}

    def before(optimizer: torch.optim.Optimizer, arguments: tuple, keywords: dict) -> tuple[tuple, dict]:
        closure = keywords.get("closure", arguments[1] if len(arguments) > 1 else None)
        if callable(closure):  # Lightning runs the last micro-batch in here
            with torch.enable_grad():
                loss = closure()
            if "closure" in keywords:
                keywords = {**keywords, "closure": lambda: loss}
            else:
                arguments = (arguments[0], lambda: loss, *arguments[2:])
        found = _parameters(optimizer, model, known)
        scale = getattr(optimizer, "grad_scale", None)  # of GradScaler, which leaves it to fused optimizers
        if found:
            step = _read(found, known, run, 1.0 if scale is None else float(scale))
            events.append((threading.current_thread(), step, found))
            saved[id(optimizer)] = [(p, p.detach().clone()) for p in found.values()]
        return arguments, keywords

    def after(optimizer: torch.optim.Optimizer, arguments: tuple, keywords: dict) -> None:
        with torch.no_grad():
            for parameter, value in saved.pop(id(optimizer), []):
                parameter.copy_(value)

    state, python_state = torch.get_rng_state(), random.getstate()
    handles = [register_optimizer_step_pre_hook(before), register_optimizer_step_post_hook(after)]
    try:
        with torch.enable_grad():
            returned = call(model)
            if inspect.isgenerator(returned):  # a loop that yields its losses runs only now
                returned = list(returned)
    except (Exception, SystemExit) as error:  # a parser of arguments exits
        last = traceback.extract_tb(error.__traceback__)[-1]
        run.error = f"{_text(error)} ({last.name}, line {last.lineno})"
    finally:
        for handle in handles:
            handle.remove()
        torch.set_rng_state(state)
        random.setstate(python_state)
    for name, parameter in model.named_parameters():
        if name in known.start and not hasattr(parameter, "full_tensor"):
            run.moved = run.moved or not _at(parameter, known.start[name])
    if in_grad and not events and any(p.grad is not None for p in model.parameters()):
        run.steps.append(_read(dict(model.named_parameters()), known, run, 1.0))
    run.steps += _steps(events, run, world)
    return returned


def _text(error: BaseException) -> str:
    """As Python would show it, also where its own `__str__` raises."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__


def _parameters(optimizer: torch.optim.Optimizer, model: nn.Module, known: Columns) -> dict[str, Tensor]:
    """The model's parameters in an optimizer; or those of a copy of it, as ranks in threads have, told by value."""
    every = [p for group in optimizer.param_groups for p in group["params"]]
    names = {id(p): name for name, p in model.named_parameters()}  # asked anew: FSDP2 puts others in their place
    found = {names[id(p)]: p for p in every if id(p) in names}
    for parameter in [] if found else every:
        name = next((n for n, start in known.start.items() if n not in found and _at(parameter, start)), None)
        found |= {name: parameter} if name else {}
    return found


def _read(found: dict[str, Tensor], known: Columns, run: Run, scale: float) -> dict[str, tuple[Tensor, float]]:
    """The gradients of one step over `scale`."""
    step = {}
    for name, parameter in found.items():
        if name not in known.start or not parameter.requires_grad:
            continue
        start = known.start[name]
        gradient = torch.zeros_like(start) if parameter.grad is None else _whole(parameter.grad)
        run.moved = run.moved or not _at(parameter, start)
        run.exact = run.exact and gradient.dtype == torch.float64
        if gradient.shape == start.shape:
            flat = gradient.cpu().double().reshape(-1) / scale
            step[name] = flat[known.picks[name].cpu()], flat.square().sum().item()
    return step


def _whole(tensor: Tensor) -> Tensor:
    """A gradient that is spread over ranks, or sparse, as one tensor."""
    tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return tensor.to_dense() if tensor.layout != torch.strided else tensor


def _at(parameter: Tensor, start: Tensor) -> bool:
    """Whether a parameter is where the audit began, but for the rounding of a narrower type."""
    value = _whole(parameter.detach())
    if value.shape != start.shape:
        return False
    difference = (value.cpu().double() - start.cpu()).norm().item()
    return difference <= (0.0 if value.dtype == torch.float64 else 0.01 * start.norm().item())


def _steps(events: list[tuple[threading.Thread, dict, dict]], run: Run, world: int) -> list[dict]:
    """Optimizers of different parameters make one step together; so do W ranks that have a copy of the model each."""
    steps: list[dict] = []
    current: dict[threading.Thread, dict] = {}
    copies: set[tuple[str, int]] = set()
    for thread, event, parameters in events:
        if thread not in current or current[thread].keys() & event.keys():
            current[thread] = {}
            steps.append(current[thread])
        current[thread].update(event)
        copies |= {(name, id(parameter)) for name, parameter in parameters.items()}
    if world == 1 or len(copies) == len({name for name, _ in copies}):
        return steps
    tolerance = 1e-6 if run.exact else 1e-2
    for first in range(0, len(steps), world):
        mine, *others = steps[first : first + world]
        run.disagree = run.disagree or len(others) < world - 1
        for other in others:
            both = [(mine[name][0], other[name][0]) for name in mine.keys() & other.keys()]
            far = any((a - b).norm() > tolerance * a.norm() for a, b in both)
            run.disagree = run.disagree or mine.keys() != other.keys() or far
    return steps[::world]
