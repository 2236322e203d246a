"""Lesson 05: three training runs beside each other."""

from collections.abc import Sequence

import numpy as np
from matplotlib.lines import Line2D

from helpers.classroom.bilingual import colon, say
from helpers.classroom.drawing import BLUE, INK, RED, canvas, house_style, number
from helpers.classroom.explorer import Explorer, slider

CLOSE = 1e-5  # a distance from the full batch that is one of rounding
FLOOR = 1e-17  # where a distance of 0 is drawn: a logarithmic axis has no 0


@house_style()
def curves(full: Sequence[float], naive: Sequence[float], repaired: Sequence[float], every: int = 10) -> Explorer:
    """Three training runs, measured every `every` steps; the control `step` reads them off.

    On the left their losses, on the right how far the two with micro-batches are from the full batch, on a
    logarithmic scale.
    """
    figure = canvas(370)
    losses, distances = figure.add_axes((0.06, 0.27, 0.4, 0.57)), figure.add_axes((0.56, 0.27, 0.42, 0.57))
    steps = np.arange(len(full)) * every
    runs = np.array([full, repaired, naive])
    names = [say("整批", "full batch"), say("修好的累积", "repaired"), say("直接平均", "naive")]
    styles = [
        {"color": INK, "linewidth": 2},
        {"color": BLUE, "linestyle": "", "marker": "o", "markersize": 9, "fillstyle": "none", "markeredgewidth": 2},
        {"color": RED, "linewidth": 2, "marker": "s", "markersize": 5},
    ]
    keys = ("full", "repaired", "naive")
    for key, name, run, style in zip(keys, names, runs, styles, strict=True):
        losses.plot(steps, run, label=name, gid=key, **style)
    losses.set(xlim=(0, steps[-1] * 1.02), ylim=(runs.min() - 0.2, runs.max() + 0.2), xlabel=say("步", "step"))
    losses.set_title(say("语料的损失（nat）", "loss on the corpus (nats)", "\n"))
    away = np.abs(runs - runs[0])
    for key, run, style in list(zip(keys, away, styles, strict=True))[1:]:
        distances.plot(steps[1:], np.maximum(run[1:], FLOOR), gid=f"{key}-away", **style)
    bound, zero = say("界限", "bound", " ") + " 10⁻⁵", say("0 画在这里", "0 is drawn here")
    for height, label, name in ((CLOSE, bound, "bound"), (FLOOR, zero, "zero")):
        distances.axhline(height, color=INK, linewidth=1, linestyle="--", gid=name)
        distances.text(0, height / 8, f" {label}", va="top", gid=f"{name}-words")
    distances.set(yscale="log", ylim=(1e-20, 10), xlim=losses.get_xlim(), xlabel=say("步", "step"))
    distances.set_yticks([1e-15, 1e-10, 1e-5, 1])
    distances.minorticks_off()
    distances.set_title(say("与整批相差（nat）", "distance from the full batch (nats)", "\n"))

    cursors = [axes.axvline(0, color=INK, linewidth=1, animated=True) for axes in (losses, distances)]
    for cursor, name in zip(cursors, ("here-left", "here-right"), strict=True):
        cursor.set_gid(name)
    ring = {"linestyle": "", "marker": "o", "markersize": 14, "color": INK, "fillstyle": "none"}
    points = losses.plot(np.zeros(3), np.zeros(3), **ring, gid="here", animated=True)[0]
    sample = Line2D([], [], label=say("所选的步", "step chosen"), **ring)
    layout = {"loc": "lower center", "ncols": 4, "columnspacing": 1, "handletextpad": 0.4, "borderaxespad": 0.2}
    figure.legend(handles=[*losses.lines[:3], sample], frameon=False, **layout)

    def draw(step: int) -> str:
        at = step // every
        for cursor in cursors:
            cursor.set_xdata([step, step])
        points.set_data([step] * 3, runs[:, at])
        close = "< 1e-5" if away[1, : at + 1].max() < CLOSE else "≥ 1e-5"
        return "\n".join(
            [
                f"{say('第 {} 步', 'step {}').format(step, step)}",
                f"{names[0]}{colon()}{runs[0, at]:.4f}",
                f"{names[1]}{colon()}{runs[1, at]:.4f}    {say('到此最多相差', 'so far at most')} {close}",
                f"{names[2]}{colon()}{runs[2, at]:.4f}    "
                f"{say('相差', 'away by')} {number(runs[2, at] - runs[0, at], '+.4f')}",
            ]
        )

    last = int(steps[-1])
    return Explorer(figure, draw, step=slider(say("步", "step"), last, 0, last, every, label=90, width=450))
