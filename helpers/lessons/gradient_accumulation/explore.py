"""Lesson 05: what a token weighs in a mean of means, and three training runs beside each other."""

from collections.abc import Sequence

import ipywidgets
import numpy as np
from matplotlib.collections import LineCollection

from helpers.accumulation import gap, token_weights
from helpers.classroom.bilingual import say
from helpers.classroom.explorer import BLUE, GREY, INK, ORANGE, Explorer, canvas

MOST = 8  # tokens in a micro-batch
LEFT = (0.06, 0.27, 0.34, 0.58)  # of the figure: x, y, width, height
RIGHT = (0.51, 0.27, 0.34, 0.58)

HALO = {"color": "white", "linewidth": 6}
SOLID = {"color": INK, "linewidth": 3}
DASHED = {"color": INK, "linewidth": 1.5, "linestyle": (0, (4, 3))}


def skyline(
    counts: Sequence[int] = (8, 2, 5, 1), means: Sequence[float] = (1.6, 4.2, 2.4, 3.4), highest: float = 6.0
) -> Explorer:
    """Micro-batches as buildings: a token is a column, as wide as it weighs and as high as its micro-batch's mean loss.

    On the left each token weighs 1/N, on the right 1/(K n_i). Either skyline is 1 wide, so its area is the mean that
    it stands for: levelled to the ground, it would be as high as the line across it.
    Controls n1, n2, ... from 1 to 8 and m1, m2, ... from 0 to `highest`, one each for a micro-batch.
    """
    K, unit = len(counts), highest / 6
    digits = 2 if K > 3 else 3
    figure = canvas(380)
    fair, naive = figure.add_axes(LEFT), figure.add_axes(RIGHT)
    for axes in (fair, naive):
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
    naive.set_xlabel(say("每个词元的分量，应为 ×1", "what one token weighs, fair is ×1", "\n"), labelpad=28)

    blocks = [[axes.bar(0, 0, align="edge", color=GREY, animated=True)[0] for _ in range(K)] for axes in (fair, naive)]
    joints = [LineCollection([], colors="white", linewidths=1, animated=True) for _ in range(2)]
    walls = [LineCollection([], colors="white", linewidths=5, animated=True) for _ in range(2)]
    for axes, thin, thick in zip((fair, naive), joints, walls, strict=True):
        axes.add_collection(thin, autolim=False)
        axes.add_collection(thick, autolim=False)
    captions = [
        [axes.text(0, -0.2 * unit, "", ha="center", va="top", fontsize=size, animated=True) for _ in range(K)]
        for axes, size in ((fair, 17), (naive, 17))
    ]
    whole, dashed = (0.01, 1), (-0.32, 1)
    levels = [
        axes.plot(x, [0, 0], clip_on=False, animated=True, **style)[0]
        for axes, x, style in (
            (fair, whole, HALO),  # white first, so that the line stands out on any colour
            (naive, whole, HALO),
            (naive, whole, HALO),
            (fair, whole, SOLID),
            (naive, dashed, DASHED),
            (naive, whole, SOLID),
        )
    ]
    lift = naive.plot([1.035, 1.035], [0, 0], color=INK, linewidth=8, solid_capstyle="butt", clip_on=False)[0]
    lift.set_animated(True)
    reading = naive.text(-0.17, 0, "", ha="center", va="bottom", fontsize=14, animated=True)
    verdict = naive.text(1.075, 0, "", va="top", fontsize=15, linespacing=1.5, animated=True)

    def draw(**values: float) -> str:
        n = np.array([values[f"n{i}"] for i in range(1, K + 1)])
        m = np.array([values[f"m{i}"] for i in range(1, K + 1)])
        fair_weight = token_weights(n, "token_mean").numpy()
        naive_weight = token_weights(n, "mean_of_means").numpy()
        ratios = naive_weight / fair_weight
        G, A = (n * fair_weight) @ m, (n * naive_weight) @ m
        difference = gap(n, m).item()

        for panel, weight in enumerate((fair_weight, naive_weight)):
            edges = np.concatenate([[0.0], np.cumsum(n * weight)])
            for i, (block, caption) in enumerate(zip(blocks[panel], captions[panel], strict=True)):
                block.set(x=edges[i], width=edges[i + 1] - edges[i], height=m[i])
                caption.set_x((edges[i] + edges[i + 1]) / 2)
                caption.set_text(f"×{ratios[i]:.{digits}f}" if panel else str(n[i]))
                block.set_facecolor(ORANGE if ratios[i] > 1 else BLUE if ratios[i] < 1 else GREY)
            inner = [edges[i] + weight[i] * j for i in range(K) for j in range(1, n[i])]
            tops = [m[i] for i in range(K) for _ in range(1, n[i])]
            joints[panel].set_segments([[(x, 0), (x, top)] for x, top in zip(inner, tops, strict=True)])
            gaps = [(edges[i], max(m[i - 1], m[i]) + 0.05 * unit) for i in range(1, K)]
            walls[panel].set_segments([[(x, 0), (x, top)] for x, top in gaps])
        for line, height in zip(levels, (G, G, A, G, G, A), strict=True):
            line.set_ydata([height, height])
        lift.set_ydata([G, A])
        room = highest + 0.2 * unit - G  # above the line
        reading.set(y=G + (0.1 if room > 0.9 * unit else -0.6) * unit, text=f"G = {G:.3f}")
        verdict.set(y=np.clip(A + 0.3 * unit, 2 * unit, highest), text=f"A = {A:.3f}\nA−G =\n{signed(difference, 3)}")
        covariance = -difference * n.mean()
        return "\n".join(
            [
                f"n = {row_of(n, 0)}    N = {n.sum()}, mean(n) = {n.mean():.2f}",
                f"m = {row_of(m, 2)}",
                f"K·n/N = {row_of(1 / ratios, 3)}    {say('分量', 'weight')} N/(K·n): "
                + " ".join(f"×{ratio:.3f}" for ratio in ratios),
                f"{say('词元平均', 'token mean')} G = Σnm/N = {G:.4f}    "
                f"{say('平均的平均', 'mean of means')} A = Σm/K = {A:.4f}",
                f"Cov(n, m) = {signed(covariance, 4)}    A − G = −Cov(n, m)/mean(n) = {signed(difference, 4)}",
            ]
        )

    controls = {f"n{i}": count_slider(f"n{subscript(i)}", n) for i, n in enumerate(counts, 1)}
    controls |= {f"m{i}": loss_slider(f"m{subscript(i)}", m, highest) for i, m in enumerate(means, 1)}
    return Explorer(figure, draw, **controls)


def curves(full: Sequence[float], naive: Sequence[float], repaired: Sequence[float], every: int = 10) -> Explorer:
    """Three training runs, measured every `every` steps; the control `step` reads them off.

    On the left their losses, on the right how far the two with micro-batches are from the full batch, on a
    logarithmic scale.
    """
    figure = canvas(310)
    losses, distances = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.07, right=0.98, bottom=0.18, top=0.88, wspace=0.2)
    steps = np.arange(len(full)) * every
    runs = np.array([full, repaired, naive])
    names = [say("整批", "full batch"), say("修好的累积", "repaired"), say("直接平均", "naive")]
    styles = [
        {"color": GREY, "linewidth": 8},
        {"color": BLUE, "linewidth": 2.5, "linestyle": "--"},
        {"color": ORANGE, "linewidth": 2.5, "marker": "o", "markersize": 5},
    ]
    for name, run, style in zip(names, runs, styles, strict=True):
        losses.plot(steps, run, label=name, **style)
    losses.set(xlim=(0, steps[-1] * 1.02), ylim=(runs.min() - 0.2, runs.max() + 0.2), xlabel=say("步", "step"))
    losses.set_title(say("语料的损失（nat）", "loss on the corpus (nats)", " "))
    losses.legend(frameon=False, loc="upper right")
    away = np.abs(runs - runs[0])
    for name, run, style in list(zip(names, away, styles, strict=True))[1:]:
        distances.plot(steps[1:], np.maximum(run[1:], 1e-17), label=name, **style)
    distances.axhline(1e-5, color=INK, linewidth=1)
    distances.set(yscale="log", ylim=(1e-18, 10), xlim=losses.get_xlim(), xlabel=say("步", "step"))
    distances.set_yticks([1e-15, 1e-10, 1e-5, 1])
    distances.minorticks_off()
    distances.set_title(say("与整批相差", "distance from the full batch"))

    cursors = [axes.axvline(0, color=INK, linewidth=1, animated=True) for axes in (losses, distances)]
    points = losses.plot(np.zeros(3), np.zeros(3), "o", markersize=9, color=INK, fillstyle="none", animated=True)[0]

    def draw(step: int) -> str:
        at = step // every
        for cursor in cursors:
            cursor.set_xdata([step, step])
        points.set_data([step] * 3, runs[:, at])
        close = "< 1e-5" if away[1, : at + 1].max() < 1e-5 else "≥ 1e-5"
        return "\n".join(
            [
                f"{say('第 {} 步', 'step {}').format(step, step)}",
                f"{names[0]}: {runs[0, at]:.4f}",
                f"{names[1]}: {runs[1, at]:.4f}    {say('到此最多相差', 'so far at most')} {close}",
                f"{names[2]}: {runs[2, at]:.4f}    {say('相差', 'away by')} {signed(runs[2, at] - runs[0, at], 4)}",
            ]
        )

    slider = ipywidgets.IntSlider(
        value=steps[-1], max=steps[-1], step=every, description=say("步", "step"), layout={"width": "450px"}
    )
    return Explorer(figure, draw, step=slider)


def count_slider(label: str, value: int) -> ipywidgets.IntSlider:
    return ipywidgets.IntSlider(value=value, min=1, max=MOST, description=label, **narrow())


def loss_slider(label: str, value: float, highest: float) -> ipywidgets.FloatSlider:
    return ipywidgets.FloatSlider(
        value=value, min=0.0, max=highest, step=0.1, readout_format=".1f", description=label, **narrow()
    )


def narrow() -> dict[str, dict[str, str]]:
    """Four sliders in a row."""
    return {"style": {"description_width": "30px"}, "layout": {"width": "230px"}}


def subscript(number: int) -> str:
    return chr(ord("₀") + number)


def signed(value: float, digits: int) -> str:
    """A number with its sign, the minus of mathematics, and no sign on zero."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def row_of(values: Sequence[float], digits: int) -> str:
    return " ".join(f"{value:.{digits}f}" for value in values)
