"""The controls of an explorer: how they are made, and which values they can hold.

What a control cannot hold exactly is refused, so that the page shows what was set.
"""

import math
from numbers import Real
from typing import Any

import ipywidgets

__all__ = ["held", "sized", "slider", "values_of"]


def sized(label: int = 90, width: int = 310, *, wraps: bool = False) -> dict[str, dict[str, str]]:
    """Options of a control that is `width` pixels wide, `label` of them for its description.

    `wraps`: a slider whose label is so long that a phone has no room beside it; a menu must not, it would be too flat.
    """
    flow = {"flex_flow": "row wrap", "height": "auto"} if wraps else {}
    return {"style": {"description_width": f"{label}px"}, "layout": {"width": f"{width}px", **flow}}


def slider(
    label: str, value: float, low: float, high: float, step: float = 1, /, **size: int
) -> ipywidgets.IntSlider | ipywidgets.FloatSlider:
    """A slider from `low` to `high` that answers while it is being moved: of whole numbers if `step` is one.

    Raises TypeError or ValueError for a `value` that it cannot hold exactly. `size`: see `sized`.
    """
    kind = ipywidgets.IntSlider if isinstance(step, int) else ipywidgets.FloatSlider
    form = "d" if isinstance(step, int) else ".1f" if step >= 0.1 else ".2f"
    looks = sized(**size, wraps=size.get("label", 0) > 100)
    control = kind(low, min=low, max=high, step=step, description=label, readout_format=form, **looks)
    control.value = held(label, control, value)
    return control


def held(name: str, control: ipywidgets.ValueWidget, value: Any) -> Any:
    """`value` as `control`, called `name`, holds it: what its page shows after it was set.

    A number may be of any kind (3.0 for a slider of whole numbers), but True is none. Raises TypeError for a value
    of another kind, ValueError, with the nearest value that the control can hold, for one that it cannot hold.
    """
    choices = None if hasattr(control, "step") else values_of(control)
    if choices and not is_number(choices[0]):
        kind = type(choices[0])
        if not isinstance(value, kind):
            raise TypeError(f"control {name!r} takes {kind.__name__}, got {value!r}")
        if value not in choices:
            raise ValueError(f"control {name!r} cannot hold {value!r}; it has {', '.join(map(str, choices))}")
        return value
    if not is_number(value):
        raise TypeError(f"control {name!r} takes a number, got {value!r}")
    if value != value:
        raise ValueError(f"control {name!r} cannot hold {value!r}")
    if choices:
        nearest = min(choices, key=lambda choice: abs(choice - value))
    else:  # the page counts whole steps from the left end
        at = round((min(max(value, control.min), control.max) - control.min) / control.step)
        nearest = step_of(control, min(at, steps_of(control)))
    if not math.isclose(nearest, value, rel_tol=1e-9, abs_tol=1e-9):
        raise ValueError(f"control {name!r} cannot hold {value!r}; the nearest it can hold is {nearest}")
    return nearest


def is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def values_of(control: ipywidgets.ValueWidget) -> list[Any]:
    """Every value that `control` can hold, from its first to its last."""
    if hasattr(control, "options"):
        return [option[1] if isinstance(option, tuple) else option for option in control.options]
    if isinstance(control, ipywidgets.Checkbox):
        return [False, True]
    return [step_of(control, at) for at in range(steps_of(control) + 1)]


def steps_of(slider: ipywidgets.IntSlider | ipywidgets.FloatSlider) -> int:
    """How many whole steps lie between the ends of a slider."""
    return math.floor((slider.max - slider.min) / slider.step + 1e-9)


def step_of(slider: ipywidgets.IntSlider | ipywidgets.FloatSlider, at: int) -> int | float:
    """The value after `at` whole steps from the left end."""
    return type(slider.min)(round(slider.min + at * slider.step, 9))
