"""Lesson 06: an X-ray of a training loop, the weights of all tokens as `audit` reads them back."""

import random
from collections.abc import Sequence

import ipywidgets
import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from helpers.audit import Verdict
from helpers.audit.verdict import Step
from helpers.classroom.bilingual import colon, comma, say
from helpers.classroom.drawing import BLUE, GREY, INK, PALE, RED, canvas, house_style, number
from helpers.classroom.explorer import Explorer, sized, slider
from helpers.lessons.audit.loops import LOOPS, SIZES, examined, rows_in

__all__ = ["xray"]

TOP = 4.2  # of the axis: w · N reaches 4, if each token weighs K times too much
CLOSE = 1e-6  # as `audit` does, in float64
STUB = 0.05  # the height of a masked target without a weight, so that it can be seen
COLUMNS = (0.36, 0.5, 0.645, 0.785, 0.92)  # of the numbers, as parts of the figure's width


@house_style()
def xray(loop: str = "means") -> Explorer:
    """The weights that a loop gives to all targets of ten rows, as they are read back from its gradients.

    A column is a target, row after row, and as high as its weight w times the valid tokens N of its window, so that
    every valid token should stand at 1 and every masked one at 0. Above: the numbers of the first and the last window.
    Controls: `loop` (a name in `LOOPS`), `batch_size` 1 to 5, `K` 1 to 4, `ranks` 1 or 2, `padding` (False for rows
    sorted by length, which need little), and `blind`, which hides the name.
    """
    figure = canvas(500)
    heads = [
        say("范数之比", "ratio of norms", "\n"),
        say("余弦", "cosine", "\n"),
        say("相对误差", "relative error", "\n"),
        say("损失（nat）", "loss (nats)", "\n"),
        say("记录的损失", "logged loss", "\n"),
    ]
    cells = {}
    for x, head in zip(COLUMNS, heads, strict=True):
        figure.text(x, 0.885, head, ha="center", va="bottom")
    for row, (y, label) in enumerate(
        ((0.845, say("第一个窗口", "first window", " · ")), (0.775, say("最后一个窗口", "last window", " · ")))
    ):
        figure.text(0.28, y, label, ha="right", va="center", fontsize=11)
        cells[row] = [
            figure.text(x, y, "", ha="center", va="center", fontsize=15, gid=f"number{row}{i}", animated=True)
            for i, x in enumerate(COLUMNS)
        ]
    targets = sum(len(row["labels"]) - 1 for row in rows_in(True))
    axes = figure.add_axes((0.07, 0.25, 0.915, 0.46))
    axes.set(xlim=(0, targets), ylim=(0, TOP), xticks=[], yticks=[0, 1, 2, 3, 4])
    axes.set_ylabel(say("权重", "weight", " ") + " w × N")
    axes.set_xlabel(
        say("目标，一行接一行；数字是窗口", "targets, row after row; the digits number the windows"), labelpad=22
    )
    bars = PolyCollection([], edgecolors=INK, linewidths=0.6, gid="bars", animated=True)
    walls = LineCollection([], colors=INK, linewidths=2, gid="windows", animated=True)
    dashes = (0, (3, 3))
    fences = LineCollection(
        [], colors=INK, linewidths=0.8, linestyles=[(0, (3, 3))], gid="micro-batches", animated=True
    )
    for artist in (bars, fences, walls):
        axes.add_collection(artist, autolim=False)
    axes.plot([0, targets], [1, 1], color=INK, linewidth=1.2, gid="fair", animated=True)
    windows = [
        axes.text(0, -0.12, "", ha="center", va="top", fontsize=12, gid=f"tick-window{i}", animated=True)
        for i in range(10)
    ]
    samples = [
        Patch(facecolor=BLUE, edgecolor=INK, label=say("应有的 1/N", "1/N, as it should be")),
        Patch(facecolor=RED, edgecolor=INK, label=say("太重", "too heavy")),
        Patch(facecolor=PALE, edgecolor=INK, label=say("太轻", "too light")),
        Patch(facecolor=GREY, edgecolor=INK, label=say("被掩掉", "masked")),
        Line2D([], [], color=INK, linewidth=2, label=say("窗口", "window")),
        Line2D([], [], color=INK, linewidth=0.8, linestyle=dashes, label=say("微批次", "micro-batch")),
    ]
    layout = {"loc": "lower center", "ncols": 3, "columnspacing": 1.5, "handletextpad": 0.3, "borderaxespad": 0.1}
    figure.legend(handles=samples, frameon=False, fontsize=11, handlelength=1.2, **layout)

    def draw(loop: str, batch_size: int, K: int, ranks: int, padding: bool, blind: bool) -> str:
        verdict = examined(loop, batch_size, K, ranks, padding)
        lengths = [len(row["labels"]) for row in rows_in(padding)]
        heights, counts, ends = read_off(verdict, lengths, batch_size * K * ranks)
        masked = verdict.masked.numpy()
        shown = np.where(masked & (heights < STUB), STUB, heights)
        bars.set_verts([[(x, 0), (x, h), (x + 1, h), (x + 1, 0)] for x, h in enumerate(shown)])
        bars.set_facecolors([colour(h, hidden) for h, hidden in zip(heights, masked, strict=True)])
        micro = np.cumsum([length - 1 for length in lengths])[batch_size - 1 : -1 : batch_size]
        walls.set_segments([[(x, 0), (x, TOP)] for x in ends[:-1]])
        fences.set_segments([[(x, 0), (x, TOP)] for x in micro if x not in ends])
        for i, text in enumerate(windows):
            there = i < len(ends)
            text.set_text(str(i + 1) if there else "")
            text.set_x((([0, *ends][i] + ends[i]) / 2) if there else 0)
        told = [numbers_of(verdict.steps[0]), numbers_of(verdict.steps[-1])]
        for row, values in enumerate(told):
            for text, value in zip(cells[row], values, strict=True):
                text.set_text(value)
        name = "?" if blind else f"{say(LOOPS[loop].zh, LOOPS[loop].en)}    {LOOPS[loop].code}"
        empty = sum(max(part) * len(part) - sum(part) for part in parts(lengths, batch_size))
        spans = [(heights[slice(*span)], ~masked[slice(*span)]) for span in zip([0, *ends], ends, strict=False)]
        ranges = [f"{number(h[v].min(), '.3f')}–{number(h[v].max(), '.3f')}" for h, v in spans]
        lines = [
            f"{say('循环', 'loop')}{colon()}{name}",
            f"B = {batch_size}, K = {K}, W = {ranks}    "
            f"{say('填充', 'padding')}{colon()}{empty} / {sum(lengths) + empty}",
        ]
        for at, values in ((1, told[0]), (len(ends), told[1])):
            named = [f"{head.replace(chr(10), ' · ')} {value}" for head, value in zip(heads, values, strict=True)]
            named = [part.replace("） ", "）") for part in named]
            lines.append(f"{say('窗口', 'window')} {at}{colon()}{comma().join(named)}")
        lines.append(f"N = {' '.join(map(str, counts))}    w × N = {' '.join(ranges)}")
        return "\n".join(lines)

    return with_hidden_names(figure, draw, loop)


def read_off(verdict: Verdict, lengths: Sequence[int], rows: int) -> tuple:
    """w · N of all targets (T,), N of each window, and where each window ends; a window has so many `rows`."""
    (weights,) = (value.numpy() for value in verdict.weights.values())  # (steps, T)
    ends = np.cumsum([sum(part) - len(part) for part in parts(lengths, rows)]).tolist()
    heights, counts = np.zeros(weights.shape[1]), []
    for step, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        counts.append(int((~verdict.masked[start:end]).sum()))
        heights[start:end] = weights[step, start:end] * counts[-1]
    return heights, counts, ends


def numbers_of(step: Step) -> list[str]:
    """The three numbers, the right loss and the logged one."""
    error = 0.0 if step.error < 1e-9 else step.error  # rounding is not the same on every machine
    forms = zip(
        (step.ratio, step.cosine, error, step.loss, step.logged), (".4f", ".5f", ".4f", ".4f", ".4f"), strict=True
    )
    return [number(value, form) for value, form in forms]


def parts(lengths: Sequence[int], size: int) -> list[Sequence[int]]:
    return [lengths[at : at + size] for at in range(0, len(lengths), size)]


def colour(height: float, masked: bool) -> str:
    if masked:
        return GREY
    return BLUE if abs(height - 1) < CLOSE else RED if height > 1 else PALE


def with_hidden_names(figure, draw, loop: str) -> Explorer:
    """The explorer with its controls; while `blind` is checked, the list of loops has numbers, in another order."""
    named = [(say(one.zh, one.en), key) for key, one in LOOPS.items()]
    order = random.Random(6).sample(list(LOOPS), len(LOOPS))
    hidden = [(f"? {place}", key) for place, key in enumerate(order, 1)]
    wide, narrow = sized(105, 450), sized(105, 370)
    loops = ipywidgets.Dropdown(options=named, value=loop, description=say("循环", "loop"), **wide)
    much, little = say("多：行不排序", "much: rows unsorted"), say("少：行按长度排序", "little: rows sorted by length")
    padding = ipywidgets.Dropdown(
        options=[(much, True), (little, False)], value=True, description=say("填充", "padding"), **wide
    )
    blind = ipywidgets.Checkbox(value=False, description=say("隐去名字", "hide the name"), indent=False)
    explorer = Explorer(
        figure,
        draw,
        groups=[("loop", "blind")],
        loop=loops,
        blind=blind,
        batch_size=slider(say("批次", "batch size", " "), 1, SIZES[0], SIZES[-1], label=105, width=370),
        K=slider("K", 4, 1, 4, label=105, width=370),
        ranks=ipywidgets.Dropdown(options=[1, 2], value=1, description=say("进程", "ranks"), **narrow),
        padding=padding,
    )

    def rename(change: dict) -> None:
        kept, explorer._setting = loops.value, True  # the list goes through its first loop: nobody should see that
        loops.options = hidden if change["new"] else named
        loops.value, explorer._setting = kept, False

    blind.observe(rename, "value")
    return explorer
