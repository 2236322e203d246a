"""Lesson 03: four ways to compute one loss, each in a real dtype, and where each falls off the cliff."""

from functools import cache

import ipywidgets
import torch
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from torch import Tensor

from helpers.classroom.bilingual import say
from helpers.classroom.explorer import BLUE, GREY, INK, ORANGE, Explorer, canvas
from helpers.lessons.next_word import LOGITS
from helpers.precision import DTYPES, limits

NAMES = dict(zip(("fp16", "bf16", "fp32", "fp64"), DTYPES, strict=True))
SCALES = torch.logspace(0, 3, 46, dtype=torch.float64)
EDGE = 10_000  # of the axis of exponents


def _naive(z: Tensor, target: int) -> Tensor:
    e = z.exp()
    return -(e[..., target] / e.sum(-1)).log()


def _log_of_softmax(z: Tensor, target: int) -> Tensor:
    e = (z - z.amax(-1, keepdim=True)).exp()
    return -(e[..., target] / e.sum(-1)).log()


def _shifted(z: Tensor, target: int) -> Tensor:
    M = z.amax(-1)
    return M + (z - M.unsqueeze(-1)).exp().sum(-1).log() - z[..., target]


def _log_softmax(z: Tensor, target: int) -> Tensor:
    shifted = z - z.amax(-1, keepdim=True)
    return -(shifted[..., target] - shifted.exp().sum(-1).log())


RECIPES = {
    "log(exp / Σ exp)": _naive,
    "log(softmax)": _log_of_softmax,
    "M + log Σ − z": _shifted,
    "log_softmax": _log_softmax,
}


def true_loss(z: Tensor, target: int) -> Tensor:
    """The loss of the very logits `z` (..., V), in fp64 and with log1p, so that a tiny loss is not taken for 0."""
    z = z.double()
    M, top = z.max(-1)
    others = torch.where(torch.arange(z.shape[-1]) == top.unsqueeze(-1), 0.0, (z - M.unsqueeze(-1)).exp())
    return (M - z[..., target]) + others.sum(-1).log1p()


def outcomes(got: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Where a result is right, off by more than 1 %, a silent 0, inf or nan: a mask for each, one of them true."""
    got = got.double()
    zero = (got == 0) & (truth > 0)
    right = ((got - truth).abs() <= 0.01 * truth) & ~zero
    return {
        "right": right,
        "off": ~right & ~zero & got.isfinite(),
        "zero": zero,
        "inf": got.isinf(),
        "nan": got.isnan(),
    }


@cache
def map_of(dtype: torch.dtype, target: int) -> dict[str, tuple[list[float], list[int]]]:
    """For each outcome, the scales and the recipes, by row, that have it."""
    sweep = (SCALES.unsqueeze(1) * torch.tensor(LOGITS, dtype=torch.float64)).to(dtype)  # (scales, V)
    truth = true_loss(sweep, target)
    places = {kind: ([], []) for kind in ("right", "off", "zero", "inf", "nan")}
    for row, recipe in enumerate(RECIPES.values()):
        for kind, mask in outcomes(recipe(sweep, target), truth).items():
            places[kind][0].extend(SCALES[mask].tolist())
            places[kind][1].extend([row] * int(mask.sum()))
    return places


def cliff() -> Explorer:
    """Five logits times a scale, in a dtype: which exponents of e it can hold, and what four recipes make of them."""
    figure = canvas(440)
    window = figure.add_axes((0.19, 0.75, 0.66, 0.17))
    map_ = figure.add_axes((0.19, 0.24, 0.66, 0.33))

    window.set_xscale("symlog", linthresh=10)
    window.set(xlim=(-EDGE, EDGE), ylim=(-0.6, 1.6), yticks=[0, 1], yticklabels=["z − M", "z"])
    window.set_xticks([-1000, -100, -10, 0, 10, 100, 1000], ["−1000", "−100", "−10", "0", "10", "100", "1000"])
    window.set_title(say("e 的指数，白色：这种类型装得下", "exponents of e; white: this dtype holds the result"))
    nothing = window.add_patch(Rectangle((-EDGE, -0.6), 0, 2.2, color=GREY, animated=True))
    infinite = window.add_patch(Rectangle((EDGE, -0.6), 0, 2.2, color=GREY, animated=True))
    rows = [
        window.plot([], [], marker, color=colour, markeredgecolor=INK, markersize=9, animated=True)[0]
        for marker, colour in (("s", BLUE), ("o", ORANGE))
    ]
    window.text(-0.93 * EDGE, 1, "$e^x = 0$", va="center", animated=True)
    window.text(0.93 * EDGE, 0, r"$e^x = \infty$", va="center", ha="right", animated=True)

    map_.set_xscale("log")
    map_.set(xlim=(0.93, 1075), ylim=(3.6, -0.6), xlabel=say("分数的倍数", "scale of the logits"))
    map_.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
    map_.set_yticks(range(4), RECIPES)
    map_.set_title(say("损失", "the loss"))
    map_.minorticks_off()
    here = map_.axvline(1, color=ORANGE, linewidth=10, alpha=0.6, zorder=1, animated=True)
    styles = {
        "right": marker("o", BLUE, BLUE, say("正确", "right")),
        "off": marker("o", "white", BLUE, say("误差超过 1%", "off by over 1%")),
        "zero": marker("D", ORANGE, INK, say("无声的 0", "silent 0")),
        "inf": marker(r"$\infty$", INK, INK, "inf"),
        "nan": marker("x", INK, INK, "nan"),
    }
    marks = {kind: map_.plot([], [], animated=True, **style)[0] for kind, style in styles.items()}
    samples = [Line2D([], [], **style) for style in styles.values()]
    figure.legend(handles=samples, loc="lower center", ncols=5, frameon=False, handletextpad=0.2, columnspacing=1.2)
    readings = [figure.text(0.86, 0, "", va="center", fontsize=15, animated=True) for _ in RECIPES]
    for row, reading in enumerate(readings):
        reading.set_y(figure.transFigure.inverted().transform(map_.transData.transform((1, row)))[1])

    def draw(dtype: torch.dtype, scale: float, target: int) -> str:
        logits = torch.tensor(LOGITS, dtype=torch.float64)
        z = (scale * logits).to(dtype)
        for row, exponents in zip(rows, (z - z.amax(), z), strict=True):
            row.set_data(exponents.double(), [float(row is rows[1])] * len(LOGITS))
        bounds = limits(dtype)
        nothing.set_width(bounds.exp_underflow + EDGE)
        infinite.set_x(bounds.exp_overflow)
        infinite.set_width(EDGE - bounds.exp_overflow)

        here.set_xdata([scale, scale])
        for kind, (scales, places) in map_of(dtype, target).items():
            marks[kind].set_data(scales, places)

        results = [recipe(z, target).item() + 0.0 for recipe in RECIPES.values()]  # + 0.0: no minus zero
        for reading, result in zip(readings, results, strict=True):
            reading.set_text(short(result))
        name = next(name for name, kind in NAMES.items() if kind == dtype)
        lines = [f"{name}   z = {' '.join(short(value) for value in z.tolist())}"]
        lines += [f"{recipe:16} = {short(result)}" for recipe, result in zip(RECIPES, results, strict=True)]
        lines.append(f"{say('真值', 'truth', ' ')}: {short(true_loss(z, target).item())}")
        return "\n".join(lines)

    options = {"style": {"description_width": "150px"}, "layout": {"width": "350px"}}
    dtype = ipywidgets.Dropdown(
        options=list(NAMES.items()), value=torch.float32, description=say("类型", "dtype"), **options
    )
    scale = ipywidgets.FloatLogSlider(
        value=1.0, min=0, max=3, step=0.02, readout_format=".3g", description=say("倍数", "scale"), **options
    )
    target = ipywidgets.Dropdown(
        options=[(str(value), row) for row, value in enumerate(LOGITS)],
        value=2,
        description=say("目标的分数", "target’s z", " "),
        **options,
    )
    return Explorer(figure, draw, dtype=dtype, scale=scale, target=target)


def marker(shape: str, face: str, edge: str, label: str) -> dict:
    """The style of one outcome: told by its shape, not by its colour alone."""
    return {
        "linestyle": "",
        "marker": shape,
        "markersize": 7,
        "markerfacecolor": face,
        "markeredgecolor": edge,
        "markeredgewidth": 0.8 if shape.startswith("$") else 1.4,
        "label": label,
    }


def short(value: float) -> str:
    """A number to four digits, with the minus sign of mathematics."""
    return f"{value:.4g}".replace("-", "−")
