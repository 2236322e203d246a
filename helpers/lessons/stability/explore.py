"""Lesson 03: four formulas for one loss, each in a real dtype, and where each fails."""

from functools import cache

import ipywidgets
import torch
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from torch import Tensor

from helpers.classroom.bilingual import say
from helpers.classroom.drawing import BLUE, GREY, INK, ORANGE, RED, canvas, house_style, number
from helpers.classroom.explorer import Explorer, sized
from helpers.lessons.next_word import LOGITS
from helpers.precision import DTYPES, limits

NAMES = dict(zip(("fp16", "bf16", "fp32", "fp64"), DTYPES, strict=True))
STEPS = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.3, 2.6, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0)  # about equally far apart
SCALES = [round(step * ten, 1) for ten in (1, 10, 100) for step in STEPS] + [1000.0]
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
    "−log(exp / Σ exp)": _naive,
    "−log(softmax)": _log_of_softmax,
    "M + log Σ − z": _shifted,
    "−log_softmax": _log_softmax,
}


def true_loss(z: Tensor, target: int) -> Tensor:
    """The loss of the very logits `z` (..., V), in fp64 and with log1p, so that a tiny loss is not taken for 0."""
    z = z.double()
    M, top = z.max(-1)
    others = torch.where(torch.arange(z.shape[-1]) == top.unsqueeze(-1), 0.0, (z - M.unsqueeze(-1)).exp())
    return (M - z[..., target]) + others.sum(-1).log1p()


def outcomes(got: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Where a result is right, off by over 1 %, 0 without an error, inf or nan: a mask for each, one of them true."""
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
    scales = torch.tensor(SCALES, dtype=torch.float64)
    sweep = (scales.unsqueeze(1) * torch.tensor(LOGITS, dtype=torch.float64)).to(dtype)  # (scales, V)
    truth = true_loss(sweep, target)
    places = {kind: ([], []) for kind in ("right", "off", "zero", "inf", "nan")}
    for row, recipe in enumerate(RECIPES.values()):
        for kind, mask in outcomes(recipe(sweep, target), truth).items():
            places[kind][0].extend(scales[mask].tolist())
            places[kind][1].extend([row] * int(mask.sum()))
    return places


@house_style()
def cliff() -> Explorer:
    """Five logits times a scale, in a dtype: for which exponents x it can hold e^x, and the loss by four formulas."""
    figure = canvas(440)
    window = figure.add_axes((0.19, 0.75, 0.66, 0.17))
    map_ = figure.add_axes((0.19, 0.24, 0.66, 0.33))

    window.set_xscale("symlog", linthresh=10)
    window.set(xlim=(-EDGE, EDGE), ylim=(-0.6, 1.6), yticks=[0, 1], yticklabels=["z − M", "z"])
    window.set_xticks([-1000, -100, -10, 0, 10, 100, 1000], ["−1000", "−100", "−10", "0", "10", "100", "1000"])
    window.set_title(say("指数 x，白色：e 的 x 次方可以表示", "exponents x; white: e to the x can be held"))
    grey = {"facecolor": GREY, "edgecolor": INK, "animated": True}
    nothing = window.add_patch(Rectangle((-EDGE, -0.6), 0, 2.2, gid="underflow", **grey))
    infinite = window.add_patch(Rectangle((EDGE, -0.6), 0, 2.2, gid="overflow", **grey))
    dots = {"linestyle": "", "markeredgecolor": INK, "markersize": 9}
    exponents, aims = [], []  # of z - M and of z: of all, and of the target on top of them
    for name, shape in (("z-M", "s"), ("z", "o")):
        exponents += window.plot([], [], shape, color=BLUE, gid=name, animated=True, **dots)
        aims += window.plot([], [], shape, color=ORANGE, gid=f"{name}-target", animated=True, **dots)
    window.text(-0.93 * EDGE, 1, "$e^x = 0$", va="center", gid="underflow-words", animated=True)
    window.text(0.93 * EDGE, 0, r"$e^x = \infty$", va="center", ha="right", gid="overflow-words", animated=True)
    sample = Line2D([], [], marker="o", color=ORANGE, label=say("目标", "target", "\n"), **dots)
    figure.legend(handles=[sample], loc="center left", bbox_to_anchor=(0.85, 0.83), frameon=False, handletextpad=0)

    map_.set_xscale("log")
    map_.set(xlim=(0.93, 1075), ylim=(3.6, -1.3), xlabel=say("分数的倍数", "scale of the logits"))
    map_.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
    map_.set_yticks(range(4), RECIPES)
    map_.set_title(say("损失：每个倍数，四种写法", "the loss at each scale, by four formulas"))
    map_.minorticks_off()
    map_.spines["left"].set_bounds(3.6, -0.5)  # the room above is for the present scale
    here = map_.axvline(1, ymax=0.9, color=INK, linewidth=1.5, zorder=1, gid="here", animated=True)
    caption = map_.text(1, -0.6, "", ha="center", va="bottom", gid="here-number", animated=True)
    styles = {
        "right": marker("o", BLUE, BLUE, say("正确", "right")),
        "off": marker("o", "white", RED, say("误差超过 1%", "off by over 1%")),
        "zero": marker("D", RED, RED, say("不报错的 0", "0, no error")),
        "inf": marker(r"$\infty$", RED, RED, "inf"),
        "nan": marker("x", RED, RED, "nan"),
    }
    marks = {kind: map_.plot([], [], gid=kind, animated=True, **style)[0] for kind, style in styles.items()}
    samples = [Line2D([], [], **style) for style in styles.values()]
    figure.legend(handles=samples, loc="lower center", ncols=5, frameon=False, handletextpad=0.2, columnspacing=1.2)
    heights = [figure.transFigure.inverted().transform(map_.transData.transform((1, row)))[1] for row in range(4)]
    style = {"va": "center", "fontsize": 15, "animated": True}
    readings = [figure.text(0.86, y, "", gid=f"loss{row}", **style) for row, y in enumerate(heights)]

    def draw(dtype: torch.dtype, scale: float, target: int) -> str:
        logits = torch.tensor(LOGITS, dtype=torch.float64)
        z = (scale * logits).to(dtype)
        for row, values in enumerate((z - z.amax(), z)):
            exponents[row].set_data(values.double(), [row] * len(LOGITS))
            aims[row].set_data([values[target].item()], [row])
        bounds = limits(dtype)
        nothing.set_width(bounds.exp_underflow + EDGE)
        infinite.set_x(bounds.exp_overflow)
        infinite.set_width(EDGE - bounds.exp_overflow)

        here.set_xdata([scale, scale])
        caption.set(x=scale, text=f"×{scale:g}")
        for kind, (scales, places) in map_of(dtype, target).items():
            marks[kind].set_data(scales, places)

        results = [recipe(z, target).item() for recipe in RECIPES.values()]
        for reading, result in zip(readings, results, strict=True):
            reading.set_text(short(result))
        name = next(name for name, kind in NAMES.items() if kind == dtype)
        aim = f"{say('目标：', 'target: ', '')}{short(z[target].item())}"
        lines = [f"{name}   z = {' '.join(short(value) for value in z.tolist())}   {aim}"]
        lines += [f"{recipe:17} = {short(result)}" for recipe, result in zip(RECIPES, results, strict=True)]
        lines.append(f"{say('损失的真值：', 'true loss: ', '')}{short(true_loss(z, target).item())}")
        return "\n".join(lines)

    dtype = ipywidgets.Dropdown(
        options=list(NAMES.items()), value=torch.float32, description=say("数据类型", "dtype"), **sized(140, 400)
    )
    scale = ipywidgets.SelectionSlider(
        options=[(f"{scale:g}", scale) for scale in SCALES],
        value=1.0,
        description=say("倍数", "scale"),
        **sized(140, 400, wraps=True),
    )
    target = ipywidgets.Dropdown(
        options=[(str(value), row) for row, value in enumerate(LOGITS)],
        value=2,
        description=say("目标的分数", "target’s z", " "),
        **sized(140, 400),
    )
    return Explorer(figure, draw, dtype=dtype, scale=scale, target=target)


def marker(shape: str, face: str, edge: str, label: str) -> dict:
    """The style of one outcome: told by its shape, not by its colour alone."""
    return {
        "linestyle": "",
        "marker": shape,
        "markersize": 6,
        "markerfacecolor": face,
        "markeredgecolor": edge,
        "markeredgewidth": 0.8 if shape.startswith("$") else 1.4,
        "label": label,
    }


def short(value: float) -> str:
    """A number to four digits."""
    return number(value, ".4g")
