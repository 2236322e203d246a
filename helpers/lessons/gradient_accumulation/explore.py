"""Lesson 05: what a token weighs in a mean of means."""

from collections.abc import Sequence

import numpy as np
from matplotlib.collections import LineCollection

from helpers.accumulation import gap, token_weights
from helpers.classroom.bilingual import colon, say
from helpers.classroom.drawing import BLUE, INK, PALE, RED, canvas, house_style, number
from helpers.classroom.explorer import Explorer, slider
from helpers.lessons.gradient_accumulation.curves import curves

__all__ = ["curves", "skyline"]

MOST = 8  # tokens in a micro-batch
LEFT = (0.055, 0.27, 0.325, 0.58)  # of the figure: x, y, width, height
RIGHT = (0.52, 0.27, 0.325, 0.58)

RULES = {"fair": "token_mean", "naive": "mean_of_means"}  # of the two sides
HALO = {"color": "white", "linewidth": 6}
SOLID = {"color": INK, "linewidth": 3}
DASHED = {"color": INK, "linewidth": 1.5, "linestyle": (0, (4, 3))}


@house_style()
def skyline(
    counts: Sequence[int] = (8, 2, 5, 1), means: Sequence[float] = (1.6, 4.2, 2.4, 3.4), highest: float = 6.0
) -> Explorer:
    """Micro-batches as buildings: a token is a column, as wide as it weighs and as high as its micro-batch's mean loss.

    On the left each token weighs 1/N, on the right 1/(K n_i). Either skyline is 1 wide, so its area is the mean that
    it stands for: levelled to the ground, it would be as high as the line across it.
    Controls n1, n2, ... from 1 to 8 and m1, m2, ... from 0 to `highest`, one each for a micro-batch.
    """
    K, unit = len(counts), highest / 6
    figure = canvas(380)
    fair, naive = figure.add_axes(LEFT), figure.add_axes(RIGHT)
    sides = {"fair": fair, "naive": naive}
    for axes in sides.values():
        axes.set(
            xlim=(0, 1),
            ylim=(0, highest + 0.2 * unit),
            xticks=[],
            yticks=np.arange(0, highest + 1, 2 if highest > 3 else 1),
        )
        axes.spines["bottom"].set_position(("data", 0))
    naive.set_yticklabels([])
    fair.set_ylabel(say("损失 m（nat）", "loss m (nats)", " "))
    fair.set_title(say("词元平均：每个词元一样宽", "token mean: equal tokens", "\n"))
    naive.set_title(say("平均的平均：每个微批次一样宽", "mean of means: equal micro-batches", "\n"))
    fair.set_xlabel(say("每个微批次的有效词元数 n", "valid tokens n of each micro-batch", "\n"), labelpad=28)
    naive.set_xlabel(say("一个词元的权重（应为 ×1）", "weight of one token (fair = ×1)", "\n"), labelpad=28)

    blocks, captions, joints, walls = {}, {}, {}, {}
    for side, axes in sides.items():
        blocks[side] = [
            axes.bar(0, 0, align="edge", edgecolor=INK, gid=f"{side}{i}", animated=True)[0] for i in range(1, K + 1)
        ]
        style = {"ha": "center", "va": "top", "fontsize": 17 if side == "fair" else 14, "animated": True}
        captions[side] = [axes.text(0, -0.2 * unit, "", gid=f"{side}{i}-number", **style) for i in range(1, K + 1)]
        joints[side] = LineCollection([], linewidths=1, gid=f"{side}-joints", animated=True)
        walls[side] = LineCollection([], colors=INK, linewidths=3, gid=f"{side}-walls", animated=True)
        axes.add_collection(joints[side], autolim=False)
        axes.add_collection(walls[side], autolim=False)
    whole, across = (0.01, 1), (RIGHT[0] - LEFT[0] - LEFT[2]) / RIGHT[2]
    G_lines, A_lines = (
        [axes.plot(x, [0, 0], clip_on=False, gid=name, animated=True, **style)[0] for axes, x, name, style in lines]
        for lines in (
            (
                (fair, whole, "G-halo", HALO),  # white first, so that the line stands out on any colour
                (naive, whole, "G-dashed-halo", HALO),
                (fair, whole, "G", SOLID),
                (naive, (-across, 1), "G-dashed", DASHED),
            ),
            ((naive, whole, "A-halo", HALO), (naive, whole, "A", SOLID)),
        )
    )
    bar = {"color": INK, "linewidth": 8, "solid_capstyle": "butt", "clip_on": False}
    lift = naive.plot([1.035, 1.035], [0, 0], **bar, gid="gap", animated=True)[0]
    reading = naive.text(-across / 2, 0, "", ha="center", va="bottom", fontsize=13, gid="G-number", animated=True)
    style = {"va": "top", "fontsize": 13, "linespacing": 1.5}
    verdict = naive.text(1.075, 0, "", **style, gid="gap-number", animated=True)

    said = {
        "weight": say("权重", "weight"),
        "colon": colon(),
        "token_mean": say("词元平均", "token mean"),
        "mean_of_means": say("平均的平均", "mean of means"),
    }

    def draw(**values: float) -> str:
        n = np.array([values[f"n{i}"] for i in range(1, K + 1)])
        m = np.array([values[f"m{i}"] for i in range(1, K + 1)])
        weights = {side: token_weights(n.tolist(), rule).numpy() for side, rule in RULES.items()}
        ratios = weights["naive"] / weights["fair"]
        G, A = ((n * weight) @ m for weight in weights.values())
        difference = gap(n.tolist(), m.tolist()).item()

        colours = [RED if ratio > 1 else PALE if ratio < 1 else BLUE for ratio in ratios]
        for side, weight in weights.items():
            edges = np.concatenate([[0.0], np.cumsum(n * weight)])
            for i, (block, caption) in enumerate(zip(blocks[side], captions[side], strict=True)):
                block.set(x=edges[i], width=edges[i + 1] - edges[i], height=m[i], facecolor=colours[i])
                caption.set_x((edges[i] + edges[i + 1]) / 2)
                caption.set_text(str(n[i]) if side == "fair" else f"×{ratios[i]:.3f}")
            inner = [(i, edges[i] + weight[i] * j) for i in range(K) for j in range(1, n[i])]
            joints[side].set_segments([[(x, 0), (x, m[i])] for i, x in inner])
            joints[side].set_color([INK if colours[i] == PALE else "white" for i, _ in inner])
            walls[side].set_segments([[(edges[i], 0), (edges[i], max(m[i - 1], m[i]))] for i in range(1, K)])
        for lines, height in ((G_lines, G), (A_lines, A)):
            for line in lines:
                line.set_ydata([height, height])
        lift.set_ydata([G, A])
        room = highest + 0.2 * unit - G  # above the line
        reading.set(y=G + (0.1 if room > 0.9 * unit else -0.6) * unit, text=f"G = {G:.4f}")
        verdict.set_y(np.clip(A + 0.3 * unit, 2 * unit, highest))
        verdict.set_text(f"A = {A:.4f}\nA − G =\n{number(difference, '+.4f')}")
        return "\n".join(
            [
                f"n = {row_of(n, 'd')}    N = {n.sum()}, N/K = {n.mean():.2f}",
                f"m = {row_of(m, '.2f')}",
                f"{said['weight']} N/(K·n){said['colon']}" + " ".join(f"×{ratio:.3f}" for ratio in ratios),
                f"{said['token_mean']} G = Σnm/N = {G:.4f}    {said['mean_of_means']} A = Σm/K = {A:.4f}",
                f"Cov(n, m) = {number(-difference * n.mean(), '+.4f')}    "
                f"A − G = −Cov(n, m)·K/N = {number(difference, '+.4f')}",
            ]
        )

    size, controls = {"label": 30, "width": 206}, {}
    for i, (n, m) in enumerate(zip(counts, means, strict=True), 1):
        controls[f"n{i}"] = slider(f"n{subscript(i)}", n, 1, MOST, **size)
        controls[f"m{i}"] = slider(f"m{subscript(i)}", m, 0.0, highest, 0.1, **size)
    groups = [(f"n{i}", f"m{i}") for i in range(1, K + 1)]
    drawing = {"name": "skyline", "K": K, "highest": highest, "words": said}
    return Explorer(figure, draw, groups=groups, drawing=drawing, **controls)


def subscript(number: int) -> str:
    return chr(ord("₀") + number)


def row_of(values: Sequence[float], form: str) -> str:
    return " ".join(f"{value:{form}}" for value in values)
