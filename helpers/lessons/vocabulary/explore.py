"""Lesson 07: the staircase of the bytes that are alive after each operation."""

import re

import ipywidgets
from matplotlib.patches import Patch, Polygon

from helpers.classroom.bilingual import comma, say
from helpers.classroom.drawing import GREEN, INK, LILAC, MINT, NAMED, PLUM, RED, VIOLET, canvas, house_style
from helpers.classroom.explorer import Explorer, sized
from helpers.lessons.vocabulary.stairs import BYTES, METHODS, TENSORS, stairs

__all__ = ["staircase"]

GIB = 2**30
CARD = 16  # GiB of a graphics card that many have
TOKENS = (512, 1024, 2048, 4096, 8192, 16384, 32768)
CLASSES = (32000, 50257, 128256, 151936, 256000)
FEATURES = (512, 1024, 2048, 4096)
PARTS = (1, 2, 4, 8, 16)
COLOURS = dict(zip(TENSORS, (PLUM, GREEN, MINT, RED, LILAC, VIOLET), strict=True))


@house_style()
def staircase() -> Explorer:
    """Bytes alive after each operation of an output layer and its loss, one step an operation, a colour a tensor.

    Controls: T tokens, V classes, D features; `parts`, so many chunks of T / parts tokens; `method` and `keep` as in
    `stairs`. The floor is dW + dh, which every method must make in the end; the dashed line is a card of 16 GiB.
    """
    figure = canvas(400)
    axes = figure.add_axes((0.07, 0.1, 0.49, 0.78))
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[0, 0.25, 0.5, 0.75, 1])
    axes.set_yticklabels([])
    axes.set_title(say("每步之后的 GiB", "GiB after each step"), loc="left")
    axes.set_xlabel(say("一步步运算", "step by step") + " →")
    ticks = [axes.text(-0.018, at / 4, "", ha="right", va="center", gid=f"tick{at}", animated=True) for at in range(5)]
    blocks = {}
    for name in TENSORS:
        style = {"facecolor": COLOURS[name], "edgecolor": INK, "linewidth": 0.6, "animated": True}
        blocks[name] = axes.add_patch(Polygon([[0, 0]], closed=True, gid=re.sub("[ ,]+", "-", name), **style))
    line = {"color": INK, "animated": True}
    (floor,) = axes.plot([0, 1], [0, 0], linewidth=2, gid="floor", **line)
    (card,) = axes.plot([0, 1], [0, 0], linewidth=2, linestyle=(0, (5, 3)), gid="card", **line)
    (turn,) = axes.plot([0, 0], [0, 1], linewidth=1.2, linestyle=(0, (1, 2)), gid="turn", **line)
    card_label = axes.text(1.012, 0, "", va="center", gid="card-number", animated=True)
    peak_label = axes.text(0, 0, "", ha="center", va="bottom", fontsize=16, gid="peak-number", animated=True)
    said = {
        "dW, dh": say("dW 和 dh", "dW and dh"),
        "ln p": say("对数概率 ln p", "log-probs ln p"),
        "z": say("分数 z", "logits z"),
        "z kept": say("名字留住的 z", "z kept by a name"),
        "d ln p": say("ln p 的梯度", "gradient of ln p"),
        "dz": say("z 的梯度", "gradient of z"),
    }
    shown = [Patch(facecolor=COLOURS[name], edgecolor=INK, linewidth=0.6, label=said[name]) for name in TENSORS[::-1]]
    legend = {"loc": "upper left", "frameon": False, "fontsize": 12, "borderaxespad": 0}
    lines = [
        axes.plot([], [], color=INK, linewidth=2, label=say("底线：", "floor: ", "") + "dW + dh")[0],
        axes.plot([], [], color=INK, linewidth=2, linestyle=(0, (5, 3)), label=say("16 GiB 的卡", "16 GiB card"))[0],
        axes.plot([], [], color=INK, linewidth=1.2, linestyle=(0, (1, 2)),
                  label=say("反向开始", "backward begins"))[0],
    ]  # fmt: skip
    figure.legend(handles=shown + lines, bbox_to_anchor=(0.652, 0.9), **legend)

    words = {
        "chunk": say("每块词元", "tokens in a chunk"),
        "copy": say("一份分数", "one copy of the logits"),
        "peak": say("峰值", "peak"),
        "copies_at": say("份，在", "copies, at"),
        "card": say("一块卡", "one card"),
        "comma": comma(),
    }

    def draw(T: int, V: int, D: int, parts: int, method: str, keep: bool) -> str:
        chunk = T // parts
        steps = stairs(T, V, D, chunk, method, keep)
        sums = [sum(alive.values()) for _, alive in steps]
        peak, copy, both = max(sums), BYTES * T * V, BYTES * D * (T + V)
        at = sums.index(peak)
        top = next(size for size in scales() if 1.12 * peak <= size * GIB)
        edges = [i / len(steps) for i in range(len(steps) + 1)]
        low = [0.0] * len(steps)
        for name, block in blocks.items():
            high = [under + alive.get(name, 0) / GIB / top for under, (_, alive) in zip(low, steps, strict=True)]
            block.set_xy(outline(edges, low, high))
            low = high
        floor.set_ydata([both / GIB / top] * 2)
        card.set_data(([0, 1], [CARD / top] * 2) if top >= CARD else ([], []))
        card_label.set(y=min(CARD / top, 1), text=f"{CARD} GiB" if top >= CARD else "")
        turns = [edges[i] for i, (operation, _) in enumerate(steps) if operation == "backward"]
        turn.set_data([turns * 2, [0, 1] * len(turns)] if turns else ([], []))
        peak_label.set(x=min(max((edges[at] + edges[at + 1]) / 2, 0.1), 0.9), y=peak / GIB / top + 0.01)
        peak_label.set_text(f"{peak / GIB:.2f} GiB")
        for quarter, tick in enumerate(ticks):
            tick.set_text(f"{top * quarter / 4:g}")
        tokens = chunk if method != "whole" else T
        return "\n".join(
            [
                f"T = {T}, V = {V}, D = {D}{words['comma']}{words['chunk']} = {tokens}",
                f"{words['copy']} = {copy / GIB:.2f} GiB",
                f"{words['peak']} = {peak / GIB:.2f} GiB = {peak / copy:.2f} {words['copies_at']} {steps[at][0]}",
                f"dW + dh = {both / GIB:.2f} GiB{words['comma']}{words['card']} = {CARD} GiB",
            ]
        )

    names = {
        "whole": say("F.cross_entropy，整批", "F.cross_entropy, all tokens"),
        "chunks": say("分块", "chunks"),
        "checkpoint": say("分块，反向时重算", "chunks, recomputed in backward"),
        "forward": say("分块，前向就算梯度", "chunks, gradient in the forward pass"),
    }

    def choice(label: str, values: tuple[int, ...], value: int, form: str = "{}") -> ipywidgets.SelectionSlider:
        options = [(form.format(one), one) for one in values]
        return ipywidgets.SelectionSlider(options=options, value=value, description=label, **sized(80, 310))

    colours = {name: NAMED[colour] for name, colour in COLOURS.items()}
    drawing = {"name": "staircase", "colours": colours, "card": CARD, "scales": scales(), "words": words}
    return Explorer(
        figure,
        draw,
        drawing=drawing,
        T=choice("T", TOKENS, 8192),
        V=choice("V", CLASSES, 256000),
        D=choice("D", FEATURES, 2048),
        parts=choice(say("块", "chunk"), PARTS, 8, "T / {}"),
        method=ipywidgets.Dropdown(
            options=[(names[one], one) for one in METHODS],
            value="whole",
            description=say("做法", "method"),
            **sized(100, 530),
        ),
        keep=ipywidgets.Checkbox(
            value=False, indent=False, description=say("给分数起名字", "the logits have a name"), **sized(0, 300)
        ),
    )


def scales() -> list[float]:
    """What the axis may end at, in GiB."""
    return [2.0**k * half for k in range(-1, 9) for half in (1.0, 1.5) if k >= 0 or half == 1.0]


def outline(edges: list[float], low: list[float], high: list[float]) -> list[tuple[float, float]]:
    """The corners of the area between two staircases whose steps lie between `edges`."""
    up = [(x, y) for i, y in enumerate(high) for x in edges[i : i + 2]]
    down = [(x, y) for i, y in reversed(list(enumerate(low))) for x in edges[i : i + 2][::-1]]
    return up + down
