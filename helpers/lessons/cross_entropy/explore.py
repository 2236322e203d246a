"""Lesson 02: what one prediction costs, and which way it pulls."""

import math

import ipywidgets
import numpy as np
import torch

from helpers.classroom.bilingual import say
from helpers.classroom.explorer import BLUE, INK, ORANGE, Explorer, canvas
from helpers.lessons.next_word import row_of, sliders, words
from helpers.losses import softmax, token_losses


def surprise() -> Explorer:
    """Five logits and a target: the surprise -ln p of the target on its curve, and the pull p - y on each logit."""
    names = words()
    figure = canvas(360)
    curve, chances, pulls = figure.subplots(1, 3)
    figure.subplots_adjust(left=0.06, right=0.98, bottom=0.15, top=0.88, wspace=0.42)

    p = np.linspace(1e-4, 1.0, 500)
    curve.plot(p, -np.log(p), color=INK)
    curve.set(xlim=(0, 1.02), ylim=(0, 10), xlabel=say("目标的概率 p", "p of the target"))
    curve.set_title(say("惊讶度 −ln p", "surprise −ln p"))
    drop = curve.plot([], [], color=ORANGE, linestyle="--", animated=True)[0]
    point = curve.plot([], [], "o", color=ORANGE, markeredgecolor=INK, markersize=14, animated=True)[0]
    reading = curve.text(0.96, 8.6, "", ha="right", fontsize=20, animated=True)

    rows = np.arange(5)
    for axes, title, low, high in (
        (chances, say("概率 p", "probability p"), 0.0, 1.4),
        (pulls, say("拉力", "pull") + " p − y", -2.3, 1.9),
    ):
        axes.set(xlim=(low, high), ylim=(4.6, -0.6), yticks=rows, yticklabels=names)
        axes.set_title(title)
        axes.axvline(0, color=INK, linewidth=1)
    chances.set_xticks([0, 0.5, 1])
    pulls.set_xticks([-1, 0, 1])
    bars = chances.barh(rows, np.zeros(5), color=BLUE, animated=True)
    forces = pulls.barh(rows, np.zeros(5), color=BLUE, animated=True)
    labels = [[axes.text(0, row, "", va="center", animated=True) for row in rows] for axes in (chances, pulls)]

    def draw(z0: float, z1: float, z2: float, z3: float, z4: float, target: int) -> str:
        logits = torch.tensor([z0, z1, z2, z3, z4], dtype=torch.float64)
        loss = token_losses(logits, torch.tensor(target)).item()
        probabilities = softmax(logits).numpy()
        pull = probabilities - (rows == target)

        drop.set_data([probabilities[target]] * 2, [0, loss])
        point.set_data([probabilities[target]], [loss])
        reading.set_text(f"{loss:.4f}")
        for row in rows:
            colour = ORANGE if row == target else BLUE
            for bar, length, label in (
                (bars[row], probabilities[row], labels[0][row]),
                (forces[row], pull[row], labels[1][row]),
            ):
                bar.set(width=length, facecolor=colour)
                label.set(x=length + math.copysign(0.04, length), text=f"{length:.3f}".replace("-", "−"))
                label.set_horizontalalignment("left" if length >= 0 else "right")
        return "\n".join(
            [
                f"z     = {row_of(logits)}",
                f"p     = {row_of(probabilities)}",
                f"p − y = {row_of(pull)}",
                f"−ln p = {loss:.4f} nats = {loss / math.log(2):.4f} bits   {say('目标', 'target')}: {names[target]}",
            ]
        )

    target = ipywidgets.Dropdown(
        options=[(word, row) for row, word in enumerate(names)],
        value=1,
        description=say("目标", "target"),
        style={"description_width": "90px"},
        layout={"width": "300px"},
    )
    return Explorer(figure, draw, **sliders(), target=target)
