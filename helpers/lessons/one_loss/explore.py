"""Lesson 04: a batch as a grid of tokens, the cells that are valid, and the loss that they give."""

import numpy as np
import torch
from matplotlib.colors import to_rgba
from matplotlib.patches import Patch

from helpers.classroom.bilingual import colon, comma, say
from helpers.classroom.drawing import BLUE, GREY, INK, PALE, RED, canvas, house_style, labelled_bars
from helpers.classroom.explorer import Explorer, slider
from helpers.losses import token_losses
from helpers.tiny_lm import END, TinyLM, decode, encode

SENTENCES = ("早。", "猫在哪里？", "Hello.", "Sleep well.")
LONGEST, PADDING = 13, 8  # tokens of the longest sentence, END before and after; columns that can be added
VALID, PROMPT, LAST, EMPTY, OUTSIDE = range(5)  # what a cell is; only the first counts in the loss


@house_style()
def ballot(model: TinyLM) -> Explorer:
    """Four sentences as a batch (B, T): the loss of every cell that has a valid target, and their mean.

    Above each cell stands the token that the model reads there. Beside the mean over the valid targets stands the
    mean over all cells, in which those without a target count as 0.
    """
    sequences = [encode(END + sentence + END) for sentence in SENTENCES]
    B, columns = len(sequences), LONGEST + PADDING
    losses = np.zeros((B, LONGEST))
    with torch.no_grad():  # the model is causal, so a sentence cut short has the losses of its beginning
        for row, tokens in enumerate(sequences):
            logits = model(tokens[:-1].unsqueeze(0).to(model.token_embedding.device))
            losses[row, : len(tokens) - 1] = token_losses(logits[0].cpu(), tokens[1:]).numpy()

    names = [say("计入损失", "valid", " "), say("提示", "prompt", " ")]
    names += [say("没有目标", "no target", " "), say("填充", "padding", " ")]
    faces = (BLUE, PALE, "white", GREY)
    figure = canvas(440)
    grid = figure.add_axes((0.115, 0.3, 0.88, 0.615))
    grid.axis("off")
    patches = [Patch(facecolor=face, edgecolor=INK) for face in faces]
    grid.legend(patches, names, loc="lower left", bbox_to_anchor=(-0.01, 0.98), ncols=4, frameon=False)
    # Of each sentence an upper strip holds the tokens, a lower one blue cells with their losses. All that is drawn
    # once; what moves is a layer above, opaque where something is hidden or has another colour.
    layer = {"extent": (0, columns, B, 0), "aspect": "auto", "interpolation": "nearest"}
    below = np.ones((B, 2, columns, 4))
    for row, tokens in enumerate(sequences):
        below[row, 1, : len(tokens) - 1] = to_rgba(BLUE)
        for t, character in enumerate(decode(tokens).replace(END, "↵")):
            grid.text(t + 0.5, row + 0.27, character, ha="center", va="center")
        for t in range(len(tokens) - 1):
            grid.text(t + 0.5, row + 0.75, f"{losses[row, t]:.1f}", ha="center", va="center", color="white")
    for y, label in ((0.27, say("读到", "reads", " ")), (0.75, say("损失", "loss", " "))):
        grid.text(-0.2, y, label, ha="right", va="center")
    grid.imshow(below.reshape(2 * B, columns, 4), gid="cells", **layer)
    above = grid.imshow(np.zeros((2 * B, columns, 4)), zorder=4, gid="cover", animated=True, **layer)
    lines = grid.plot([], [], color=INK, linewidth=1, zorder=5, clip_on=False, gid="outlines", animated=True)[0]
    grid.set(xlim=(0, columns), ylim=(B, 0))

    means = figure.add_axes((0.34, 0.135, 0.58, 0.14))
    means.set(xlim=(0, 6), ylim=(1.6, -0.6), yticks=(0, 1), xlabel=say("平均损失", "mean loss"))
    means.set_yticklabels([say("除以计入损失的格数", "÷ valid cells"), say("除以所有格数", "÷ all cells")])
    move_means = labelled_bars(means, "mean", 2)
    colours = np.array([(0, 0, 0, 0), *map(to_rgba, (PALE, "white", GREY, "white"))])

    def draw(longest: int, padding: int, prompt: int) -> str:
        T = longest + padding
        kinds = np.full((B, columns), OUTSIDE)
        kinds[:, :T] = EMPTY
        hidden = np.zeros((B, 2, columns, 4))
        for row, tokens in enumerate(sequences):
            n = min(len(tokens), longest)
            kinds[row, : n - 1] = VALID
            kinds[row, n - 1] = LAST
            kinds[row, : max(min(prompt, n) - 1, 0)] = PROMPT  # P tokens hold P - 1 targets
            hidden[row, 0, n:] = 1.0
        hidden[:, 1] = colours[kinds]
        above.set_data(hidden.reshape(2 * B, columns, 4))
        lines.set_data(*outlines(B, T))

        kinds = kinds[:, :T]
        counts = [int((kinds == kind).sum()) for kind in range(4)]
        total, valid = float(losses[:, :T][kinds[:, :LONGEST] == VALID].sum()), counts[VALID]
        results = total / valid if valid else float("nan"), total / kinds.size
        move_means(results, ".4f", (BLUE, RED))
        words = comma().join(f"{name} {count}" for name, count in zip(names, counts, strict=True))
        return "\n".join(
            [
                *("".join("●○–·"[kind] for kind in row) for row in kinds),
                f"B × T = {B} × {T} = {kinds.size}{colon()}{words}",
                f"{total:.4f} / {valid} = {results[0]:.4f}, {total:.4f} / {kinds.size} = {results[1]:.4f}",
            ]
        )

    size = {"label": 220, "width": 520}
    return Explorer(
        figure,
        draw,
        longest=slider(say("每句最多词元数", "tokens at most", " "), LONGEST, 2, LONGEST, **size),
        padding=slider(say("额外填充列数", "more padding", " "), 0, 0, PADDING, **size),
        prompt=slider(say("提示词元数", "tokens of prompt", " "), 1, 1, LONGEST, **size),
    )


def outlines(rows: int, columns: int) -> tuple[list[float], list[float]]:
    """The outlines of the cells, the lower half of each row, as one line with gaps: its x and its y."""
    x, y = [], []
    for row in range(rows):
        for t in range(columns + 1):
            x += [t, t, np.nan]
            y += [row + 0.5, row + 1, np.nan]
        for height in (row + 0.5, row + 1):
            x += [0, columns, np.nan]
            y += [height, height, np.nan]
    return x, y
