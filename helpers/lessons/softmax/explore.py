"""Lesson 01: how scores become probabilities, and what a shift and a temperature do to them."""

import math

import numpy as np
import torch

from helpers.classroom.bilingual import colon, say
from helpers.classroom.drawing import BLUE, INK, canvas, house_style, labelled_bars, number
from helpers.classroom.explorer import Explorer, slider
from helpers.lessons.next_word import row_of, sliders, words
from helpers.losses import softmax

HOTTEST = 5.0
REACHES = (5, 10, 15)  # of the axis of scores: the shortest that holds all


@house_style()
def temperature() -> Explorer:
    """Five logits, a shift c and a temperature τ: z + c, the softmax of (z + c) / τ, and its entropy against τ."""
    names = words()
    figure = canvas(360)
    scores = figure.add_axes((0.15, 0.16, 0.19, 0.72))
    chances = figure.add_axes((0.415, 0.16, 0.17, 0.72))
    curve = figure.add_axes((0.72, 0.16, 0.26, 0.72))

    for axes, title in ((scores, say("分数", "scores") + " z + c"), (chances, say("概率 p", "probabilities p"))):
        axes.set(ylim=(4.6, -0.6), yticks=range(5), yticklabels=names if axes is scores else [])
        axes.set_title(title)
    scores.set(xlim=(-1, 1), xticks=[])
    scores.plot([0.5, 0.5], [0, 1], color=INK, linewidth=1, transform=scores.transAxes)
    scores.spines["left"].set_visible(False)
    scores.tick_params(axis="y", length=0, pad=40)  # room for the numbers of bars to the left
    chances.set(xlim=(0, 1), xticks=[0, 0.5, 1], xticklabels=["0", "0.5", "1"])
    move_scores, move_chances = labelled_bars(scores, "z", 5), labelled_bars(chances, "p", 5)
    marks = [
        scores.text(0, -0.03, "", ha="center", va="top", gid=f"tick{at}", animated=True) for at in range(3)
    ]  # of the axis of scores, which changes its reach
    for mark in marks:
        mark.set_transform(scores.get_xaxis_transform())

    curve.set(xlim=(0, HOTTEST), ylim=(0, 1.8), xlabel=say("温度 τ", "temperature τ"))
    curve.set_title(say("熵（nat）", "entropy (nats)", " "))
    curve.axhline(math.log(5), color=INK, linewidth=1, linestyle="--", gid="limit")
    curve.text(HOTTEST, math.log(5) + 0.03, "ln 5", ha="right", va="bottom")
    temperatures = np.linspace(0.05, HOTTEST, 100)
    entropies = curve.plot([], [], color=INK, gid="entropies", animated=True)[0]
    point = curve.plot([], [], "o", color=INK, markersize=12, clip_on=False, gid="here", animated=True)[0]

    def draw(z0: float, z1: float, z2: float, z3: float, z4: float, c: float, tau: float) -> str:
        shifted = torch.tensor([z0, z1, z2, z3, z4], dtype=torch.float64) + c
        p = softmax(shifted / tau)
        entropy = entropy_of(p).item()
        largest = int(p.argmax())

        reach = next(reach for reach in REACHES if shifted.abs().max() <= reach)
        scores.set_xlim(-1.1 * reach, 1.1 * reach)
        for mark, x in zip(marks, (-reach, 0, reach), strict=True):
            mark.set(x=x, text=number(x, "d"))
        move_scores(shifted.tolist(), ".1f", [BLUE] * 5)
        move_chances(p.tolist(), ".4f", [BLUE] * 5)
        along = softmax(shifted / torch.from_numpy(temperatures).unsqueeze(1))  # (temperatures, V)
        entropies.set_data(temperatures, entropy_of(along).numpy())
        point.set_data([tau], [entropy])
        return "\n".join(
            [
                f"z + c = {row_of(shifted, 1)}",
                f"p     = {row_of(p)}",
                f"τ = {tau:.1f}   {say('熵', 'entropy')} {number(entropy, '.4f')} nat   "
                f"{say('最大的 p', 'largest p')}{colon()}{names[largest]} {p[largest]:.4f}",
            ]
        )

    shift, heat = slider("c", 0.0, -10.0, 10.0, 0.5), slider("τ", 1.0, 0.1, HOTTEST, 0.1)
    said = {
        "entropy": say("熵", "entropy"),
        "unit": "nat",
        "largest": say("最大的 p", "largest p") + colon(),
        "names": names,
    }
    drawing = {"name": "temperature", "hottest": HOTTEST, "reaches": REACHES, "words": said}
    return Explorer(figure, draw, drawing=drawing, **sliders(), c=shift, tau=heat)


def entropy_of(p: torch.Tensor) -> torch.Tensor:
    """-Σ p ln p in nats, (..., V) -> (...)."""
    return -torch.xlogy(p, p).sum(-1)
