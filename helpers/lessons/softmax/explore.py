"""Lesson 01: how scores become probabilities, and what a shift and a temperature do to them."""

import math

import numpy as np
import torch

from helpers.classroom.bilingual import say
from helpers.classroom.explorer import BLUE, GREY, INK, ORANGE, Explorer, canvas, slider
from helpers.lessons.next_word import row_of, sliders, words
from helpers.losses import softmax

HOTTEST = 5.0


def temperature() -> Explorer:
    """Five logits, a shift c and a temperature T: z + c, the softmax of (z + c) / T, and its entropy against T."""
    names = words()
    figure = canvas(360)
    scores, chances, curve = figure.subplots(1, 3)
    figure.subplots_adjust(left=0.1, right=0.98, bottom=0.16, top=0.88, wspace=0.42)

    rows = np.arange(5)
    for axes, title, low, high in (
        (scores, say("分数", "scores") + " z + c", -29, 29),
        (chances, say("概率 p", "probabilities p"), 0, 1.4),
    ):
        axes.set(xlim=(low, high), ylim=(4.6, -0.6), yticks=rows, yticklabels=names)
        axes.set_title(title)
        axes.axvline(0, color=INK, linewidth=1)
    scores.set_xticks([-20, 0, 20])
    chances.set_xticks([0, 0.5, 1])
    chances.set_yticklabels([])
    bars = [axes.barh(rows, np.zeros(5), color=BLUE, animated=True) for axes in (scores, chances)]
    labels = [[axes.text(0, row, "", va="center", animated=True) for row in rows] for axes in (scores, chances)]

    curve.set(xlim=(0, HOTTEST + 0.1), ylim=(0, 1.8), xlabel=say("温度 T", "temperature T"))
    curve.set_title(say("熵（nat）", "entropy (nats)", " "))
    curve.axhline(math.log(5), color=GREY, linestyle="--")
    curve.text(HOTTEST, math.log(5) + 0.03, "ln 5", ha="right", va="bottom")
    temperatures = np.linspace(0.05, HOTTEST, 100)
    entropies = curve.plot([], [], color=INK, animated=True)[0]
    point = curve.plot([], [], "o", color=ORANGE, markeredgecolor=INK, markersize=14, clip_on=False, animated=True)[0]

    def draw(z0: float, z1: float, z2: float, z3: float, z4: float, c: float, T: float) -> str:
        shifted = torch.tensor([z0, z1, z2, z3, z4], dtype=torch.float64) + c
        p = softmax(shifted / T)
        entropy = entropy_of(p).item()
        largest = int(p.argmax())

        for values, offset, parts, texts in zip((shifted, p), (0.6, 0.04), bars, labels, strict=True):
            for row, value in enumerate(values.tolist()):
                parts[row].set(width=value, facecolor=ORANGE if row == largest else BLUE)
                texts[row].set(
                    x=value + math.copysign(offset, value), text=reading(value, 3 if parts is bars[1] else 1)
                )
                texts[row].set_horizontalalignment("left" if value >= 0 else "right")
        along = softmax(shifted / torch.from_numpy(temperatures).unsqueeze(1))  # (temperatures, V)
        entropies.set_data(temperatures, entropy_of(along).numpy())
        point.set_data([T], [entropy])
        return "\n".join(
            [
                f"z + c = {row_of(shifted)}",
                f"p     = {row_of(p)}",
                f"T = {T:.1f}   {say('熵', 'entropy')} {entropy:.4f} nats   "
                f"{say('最大的 p', 'largest p')} {p[largest]:.4f} ({names[largest]})",
            ]
        )

    shift, heat = slider("c", 0.0, -10.0, 10.0, 0.5), slider("T", 1.0, 0.1, HOTTEST, 0.1)
    return Explorer(figure, draw, **sliders(), c=shift, T=heat)


def entropy_of(p: torch.Tensor) -> torch.Tensor:
    """-Σ p ln p in nats, (..., V) -> (...)."""
    return -torch.xlogy(p, p).sum(-1)


def reading(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "−")
