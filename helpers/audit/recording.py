"""Runs a loop and writes down the gradient of each step, as the loop hands it to its optimizer.

torch calls global hooks before and after `step` of every `torch.optim` optimizer. The first reads the gradients; the
second puts the parameters back, so that all gradients belong to the same point, whatever the learning rate does.
"""

import random
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from .reference import Reference

__all__ = ["Run", "record"]


@dataclass
class Run:
    """What was seen of one partition: `steps` are {parameter name: (kept coordinates, squared norm)}."""

    steps: list[dict[str, tuple[Tensor, float]]] = field(default_factory=list)
    returned: object = None
    error: str = ""
    exact: bool = True  # whether every gradient was of float64
    moved: bool = False  # whether parameters moved outside an optimizer
    disagree: bool = False  # whether ranks handed different gradients to their optimizers


def record(call: Callable[[nn.Module], object], model: nn.Module, reference: Reference, world: int) -> Run:
    """Call `call(model)` under the hooks. What the loop raises is kept as a line of text, hooks are always removed."""
    run, events = Run(), []
    known = {id(p): name for name, p in model.named_parameters()}
    saved: dict[int, list[tuple[Tensor, Tensor]]] = {}
    lock = threading.Lock()

    def names(optimizer: torch.optim.Optimizer) -> list[tuple[str, Tensor]]:
        known.update({id(p): name for name, p in model.named_parameters()})  # FSDP2 puts others in their place
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        found = [(known[id(p)], p) for p in parameters if id(p) in known]
        return found or _by_value(parameters, reference)

    def before(optimizer: torch.optim.Optimizer, arguments: tuple, keywords: dict) -> tuple[tuple, dict]:
        closure = keywords.get("closure", arguments[1] if len(arguments) > 1 else None)
        if callable(closure):  # Lightning runs the last micro-batch in here
            with torch.enable_grad():
                loss = closure()
            if "closure" in keywords:
                keywords = {**keywords, "closure": lambda: loss}
            else:
                arguments = (arguments[0], lambda: loss, *arguments[2:])
        found = names(optimizer)
        scale = getattr(optimizer, "grad_scale", None)  # of GradScaler, which leaves it to fused optimizers
        if found:
            step = _read(found, reference, run, 1.0 if scale is None else float(scale))
            with lock:
                events.append((threading.current_thread(), step, dict(found)))
                saved[id(optimizer)] = [(p, p.detach().clone()) for _, p in found]
        return arguments, keywords

    def after(optimizer: torch.optim.Optimizer, arguments: tuple, keywords: dict) -> None:
        with torch.no_grad():
            for parameter, value in saved.pop(id(optimizer), []):
                parameter.copy_(value)

    state, python_state = torch.get_rng_state(), random.getstate()
    handles = [register_optimizer_step_pre_hook(before), register_optimizer_step_post_hook(after)]
    try:
        with torch.enable_grad():
            run.returned = call(model)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        run.error = f"{type(error).__name__}: {error} ({last.name}, line {last.lineno})"
    finally:
        for handle in handles:
            handle.remove()
        torch.set_rng_state(state)
        random.setstate(python_state)
    run.moved = run.moved or _moved(model, reference)
    run.steps = _steps(events, run, world)
    return run


def left_in_grad(model: nn.Module, reference: Reference, run: Run) -> None:
    """Adds the step that a loop without an optimizer leaves in `.grad`."""
    found = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not run.steps and any(p.grad is not None for _, p in found):
        run.steps = [_read(found, reference, run, 1.0)]


def _read(found: list[tuple[str, Tensor]], reference: Reference, run: Run, scale: float) -> dict:
    step = {}
    for name, parameter in found:
        if name not in reference.start or not parameter.requires_grad:
            continue
        start, pick = reference.start[name], reference.picks[name]
        value, gradient = _whole(parameter.detach()), parameter.grad
        if value.shape == start.shape and not _same(value, start):
            run.moved = True
        if gradient is None:
            gradient = torch.zeros_like(start)
        else:
            gradient = _whole(gradient)
            run.exact = run.exact and gradient.dtype == torch.float64
        if gradient.shape != start.shape:
            continue
        flat = gradient.double().cpu().reshape(-1) / scale
        kept = flat.clone() if pick is None else flat[pick.cpu()]
        step[name] = kept, flat.square().sum().item()
    return step


def _whole(tensor: Tensor) -> Tensor:
    """A gradient that is spread over ranks, or sparse, as one tensor."""
    tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return tensor.to_dense() if tensor.layout != torch.strided else tensor


def _same(value: Tensor, start: Tensor) -> bool:
    """Whether a parameter is where the audit began, but for the rounding of a narrower type."""
    difference = (value.double().cpu() - start.cpu()).norm().item()
    return difference <= 0.01 * start.norm().item() if value.dtype != torch.float64 else difference == 0


def _moved(model: nn.Module, reference: Reference) -> bool:
    for name, parameter in model.named_parameters():
        if name in reference.start and not hasattr(parameter, "full_tensor"):
            value, start = parameter.detach(), reference.start[name]
            if value.shape == start.shape and not _same(value, start):
                return True
    return False


def _by_value(parameters: list[Tensor], reference: Reference) -> list[tuple[str, Tensor]]:
    """Parameters of a copy of the model, as ranks in threads have one, told by their values."""
    found, free = [], dict(reference.start)
    for parameter in parameters:
        value = _whole(parameter.detach())
        for name, start in free.items():
            if value.shape == start.shape and _same(value, start):
                found.append((name, parameter))
                del free[name]
                break
    return found


def _steps(events: list[tuple[threading.Thread, dict, dict]], run: Run, world: int) -> list[dict]:
    """Optimizers of different parameters make one step together; so do W ranks that have a copy of the model each."""
    steps: list[dict] = []
    current: dict[threading.Thread, dict] = {}
    copies: dict[str, set[int]] = {}
    for thread, event, parameters in events:
        if thread not in current or current[thread].keys() & event.keys():
            current[thread] = {}
            steps.append(current[thread])
        current[thread].update(event)
        for name, parameter in parameters.items():
            copies.setdefault(name, set()).add(id(parameter))
    if world == 1 or not any(len(of_a_name) > 1 for of_a_name in copies.values()):
        return steps
    merged, tolerance = [], 1e-6 if run.exact else 1e-2
    for first in range(0, len(steps), world):
        ranks = steps[first : first + world]
        merged.append(ranks[0])
        run.disagree = run.disagree or len(ranks) < world
        for other in ranks[1:]:
            same = ranks[0].keys() == other.keys() and all(
                (ranks[0][name][0] - other[name][0]).norm() <= tolerance * ranks[0][name][0].norm() for name in other
            )
            run.disagree = run.disagree or not same
    return merged
