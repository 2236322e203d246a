"""Lesson 02: what one prediction costs, and which way it pulls."""

import math

import ipywidgets
import numpy as np
import torch
from matplotlib.patches import Patch

from helpers.classroom.bilingual import say
from helpers.classroom.drawing import BLUE, INK, ORANGE, canvas, house_style, labelled_bars
from helpers.classroom.explorer import Explorer, sized
from helpers.lessons.next_word import row_of, sliders, words
from helpers.losses import softmax, token_losses


@house_style()
def surprise() -> Explorer:
    """Five logits and a target: the surprise -ln p of the target on its curve, and the pull p - q on each logit."""
    names = words()
    aim = say("目标：", "target: ", "")
    figure = canvas(380)
    curve = figure.add_axes((0.07, 0.21, 0.22, 0.67))
    chances = figure.add_axes((0.4, 0.21, 0.17, 0.67))
    pulls = figure.add_axes((0.725, 0.21, 0.18, 0.67))  # with room for numbers on either side

    p = np.linspace(1e-4, 1.0, 500)
    curve.plot(p, -np.log(p), color=INK, gid="curve")
    curve.set(xlim=(0, 1), ylim=(0, 10), xlabel=say("目标的概率 p", "p of the target"))
    curve.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    curve.set_title(say("惊讶度 −ln p", "surprise −ln p"), pad=12)  # above the number at the top of the axis
    drop = curve.plot([], [], color=INK, linewidth=1, linestyle="--", gid="drop", animated=True)[0]
    dot = {"color": ORANGE, "markeredgecolor": INK, "markersize": 14, "clip_on": False}
    point = curve.plot([], [], "o", **dot, gid="surprise", animated=True)[0]
    reading = curve.text(0.98, 8.8, "", ha="right", fontsize=16, gid="surprise-number", animated=True)

    chances.set(xlim=(0, 1), ylim=(4.6, -0.6), yticks=range(5), yticklabels=names, xticks=[0, 0.5, 1])
    chances.set_xticklabels(["0", "0.5", "1"])
    chances.set_title(say("概率 p", "probability p"), pad=12)
    pulls.set(xlim=(-1, 1), ylim=(4.6, -0.6), yticks=[], xticks=[-1, 0, 1], xticklabels=["−1", "0", "1"])
    pulls.spines["left"].set_visible(False)
    pulls.axvline(0, color=INK, linewidth=1)
    pulls.set_title(say("拉力", "pull") + " p − q", pad=12)
    move_chances, move_pulls = labelled_bars(chances, "p", 5), labelled_bars(pulls, "pull", 5)
    sample = Patch(facecolor=ORANGE, edgecolor=INK)
    figure.legend([sample], [say("目标", "target")], loc="lower center", frameon=False, borderaxespad=0.2)

    def draw(z0: float, z1: float, z2: float, z3: float, z4: float, target: int) -> str:
        logits = torch.tensor([z0, z1, z2, z3, z4], dtype=torch.float64)
        loss = token_losses(logits, torch.tensor(target)).item()
        probabilities = softmax(logits)
        pull = probabilities.clone()
        pull[target] -= 1

        drop.set_data([probabilities[target]] * 2, [0, loss])
        point.set_data([probabilities[target]], [loss])
        reading.set_text(f"−ln p = {loss:.4f}")
        colours = [ORANGE if row == target else BLUE for row in range(5)]
        move_chances(probabilities.tolist(), ".4f", colours)
        move_pulls(pull.tolist(), ".4f", colours)
        return "\n".join(
            [
                f"z     = {row_of(logits, 1)}",
                f"p     = {row_of(probabilities)}",
                f"p − q = {row_of(pull)}",
                f"−ln p = {loss:.4f} nat = {loss / math.log(2):.4f} {say('比特', 'bits')}   {aim}{names[target]}",
            ]
        )

    target = ipywidgets.Dropdown(
        options=[(word, row) for row, word in enumerate(names)], value=1, description=say("目标", "target"), **sized()
    )
    said = {"nat": "nat", "bit": say("比特", "bits"), "target": aim, "names": names}
    drawing = {"name": "surprise", "words": said}
    return Explorer(figure, draw, drawing=drawing, **sliders(), target=target)
