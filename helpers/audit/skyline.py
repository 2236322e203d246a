"""The picture of a verdict: the weights of all tokens as a skyline. It holds symbols and digits only."""

from matplotlib.figure import Figure

from .sentences import in_language

__all__ = ["draw"]

COLOURS = ("#1f6feb", "#d4740c", "#2a8f5b", "#8e4ec6")
GREY, LINE = "#9a9a9a", "#c62828"


def draw(verdict) -> Figure:
    """One panel for each partition B × K: a bar for each target, coloured by the step; the line is 1/N."""
    if not verdict.weights:
        zh, en = "没有读出权重，也就没有图可画", "no weights were read, so there is nothing to draw"
        raise ValueError(in_language(verdict.language, zh, en))
    figure = Figure(figsize=(8, 1.7 * len(verdict.weights) + 0.4), layout="constrained")
    panels = figure.subplots(len(verdict.weights), squeeze=False)[:, 0]
    for panel, (partition, weights) in zip(panels, verdict.weights.items(), strict=True):
        right = verdict.right[partition]
        places = range(weights.shape[1])
        for step, values in enumerate(weights.tolist()):
            colours = [GREY if masked else COLOURS[step % len(COLOURS)] for masked in verdict.masked.tolist()]
            width = 0.8 / len(weights)
            left = [place - 0.4 + width * (step + 0.5) for place in places] if _overlap(weights) else list(places)
            panel.bar(left, values, width if _overlap(weights) else 0.8, color=colours)
        for values in right:
            members = (values > 0).nonzero().squeeze(1).tolist()
            if members:
                ends = (members[0] - 0.5, members[-1] + 0.5)
                panel.plot(ends, [values.max().item()] * 2, color=LINE, linewidth=1.2)
        panel.set_title(f"{partition[0]} × {partition[1]}", loc="left", fontsize=9)
        panel.set_ylabel("$w$")
        panel.margins(x=0.01)
        panel.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel("$t$")
    return figure


def _overlap(weights) -> bool:
    """Whether a token has a weight in several steps, so that bars must stand side by side."""
    heavy = weights.abs() > 1e-6 * weights.abs().max()
    return bool((heavy.sum(0) > 1).any())
