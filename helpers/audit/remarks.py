"""What a verdict adds in sentences, each in Chinese and in English: what is no fault, and what could not be seen."""

import torch
from torch import Tensor

from .columns import Columns
from .recording import Run
from .rules import Match
from .steps import Aligned
from .verdict import Step

Remark = tuple[str, str]


def share(partitions: list[Aligned], kind: str, smoothed: float, tolerance: float) -> tuple[float, bool]:
    """How much of the loss is label smoothing or z-loss, and whether it is as much for every token.

    `kind` "uniform": ε, since label smoothing is (1 - ε) of a token's loss and ε of the mean over the classes. "z":
    λ, for a token of weight 1, once `smoothed` (ε) is known.
    """
    weight = total = 0.0
    for aligned in partitions:
        weight += aligned.shares()[:, aligned.reading.of("token", "masked")].sum().item()
        total += aligned.shares()[:, aligned.reading.of(kind)].sum().item()
    whole = weight + total if kind == "uniform" else weight / (1 - smoothed)
    value = total / whole if whole else 0.0
    a_token = value / (1 - value) if kind == "uniform" else value / (1 - smoothed)
    for aligned in partitions:
        reading, shares = aligned.reading, aligned.shares()
        tokens, added = reading.of("token", "masked"), reading.of(kind)
        _, place = reading.group[added].unique(return_inverse=True)
        zeros = torch.zeros(len(shares), int(place.max()) + 1, dtype=torch.float64)
        of_tokens = zeros.index_add(1, place, shares[:, tokens])
        of_added = zeros.index_add(1, place, shares[:, added])
        lengths = reading.matrix.norm(dim=0)
        margin = 10 * tolerance * of_tokens.abs().amax(1, keepdim=True) * (lengths[tokens].max() / lengths[added].max())
        if ((of_added - of_tokens * a_token).abs() > margin).any():
            return value, False
    return value, True


def falls_with_squares(partitions: list[Aligned], tolerance: float) -> bool:
    """Whether the squares of some parameter are subtracted from the loss."""
    least = [
        (aligned.shares() * aligned.reading.matrix.norm(dim=0) / aligned.reading.norm[:, None])[:, of].min().item()
        for aligned in partitions
        if (of := aligned.reading.of("decay")).any()
    ]
    return min(least) < -2 * tolerance


SUBTRACTED = "损失里减去了参数的平方（L2 的系数是负的）", "squares of parameters are subtracted from the loss (L2)"


def partly(partitions: list[Aligned]) -> list[Remark]:
    """Faults of steps that are in some partitions only, though others could show them too."""
    found = []
    steps = sum(len(aligned.inside) > 1 for aligned in partitions)
    sums = sum(aligned.reading.layout.micro_steps() != aligned.reading.layout for aligned in partitions)
    for fault, could in (("zero_grad_forgotten", steps), ("no_accumulation", sums)):
        has = [aligned for aligned in partitions if fault in aligned.faults]
        if 0 < len(has) < could:
            names = ", ".join(aligned.reading.layout.name for aligned in has)
            found.append((f"{fault}：只在 {names}", f"{fault}: in {names} only"))
    return found


def shared(family: str, value: float, same: bool) -> Remark:
    """Label smoothing or z-loss, with its coefficient."""
    zh, en, symbol = ("标签平滑", "label smoothing", "ε") if family == "label_smoothing" else ("z-loss", "z-loss", "λ")
    if same:
        found = f"{zh}，{symbol} = {value:.4g}", f"{en}, {symbol} = {value:.4g}"
        return found if value > 0 else (f"{found[0]}，是负的", f"{found[1]}, which is negative")
    zh = f"{zh}的系数 {symbol} 不是每个词元都一样（平均 {value:.4g}）"
    return zh, f"{en} whose {symbol} is not the same for every token ({value:.4g} on average)"


def matched(matches: list[Match], clipped: bool) -> list[Remark]:
    """What the rule's name leaves out, and the other rules that give the same weights on these rows."""
    notes = {
        "rows": ("微批次之内每条序列的权重相同", "within a micro-batch every sequence weighs the same"),
        "by rows": ("每个微批次按行数加权", "each micro-batch weighs by its rows"),
    }
    found = [notes[matches[0].note]] if matches[0].note else []
    mine, *others = [match.rule if clipped else ", ".join((match.rule, *match.faults)) for match in matches]
    others = [other for other in dict.fromkeys(others) if other != mine and not (clipped and other == "sum")]
    if others:
        zh = f"在这些行和拆法上，下面的规则给出同样的权重，分不开：{'；'.join(others[:4])}"
        found.append((zh, f"these rows and partitions cannot tell this from: {'; '.join(others[:4])}"))
    return found


def clipped(norm: float) -> Remark:
    """Clipping hides the scale."""
    zh = f"梯度被裁剪到范数 {norm:.4g}（clipped）：只能看出各词元权重的比例，看不出整体大小"
    return zh, f"clipped, proportions only: the norm is brought to {norm:.4g}, which hides the scale of a step"


def noise(residual: float, exact: bool, unexplained: bool, tolerance: float, apart: bool) -> list[Remark]:
    """How exactly the weights are known, or how much of the gradient is in no known term.

    `apart`: each parameter alone is explained.
    """
    if unexplained and apart:
        zh = "每个参数的梯度单独看都是各词元梯度的加权和，但权重不一样：有的参数没有一起清零、一起走步，或单独缩放过？"
        en = "each parameter's gradient alone is a weighted sum of the tokens', but not all with the same weights: "
        return [(zh, en + "are some parameters not set to zero or not stepped with the others, or scaled alone?")]
    if unexplained:
        part = f"{100 * residual:.2g} %"
        zh = f"梯度有 {part} 不在任何已知的项里（unexplained）：dropout、辅助损失、注意力看到填充"
        en = f"unexplained: {part} of the gradient is in no known term: "
        en += "dropout, an auxiliary loss, attention to padding"
        if exact and residual <= 0.03:
            zh, en = f"{zh}，或者循环用低于 float64 的精度计算", f"{en}, or the loop computes in less than float64"
        return [(zh, en)]
    if exact:
        return []
    part, most = (f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e+") for value in (residual, tolerance))
    zh = f"噪声 {part}（noise）：参数或梯度不是 float64，权重只精确到相对误差 {most}"
    return [(zh, f"noise {part}: not all is float64, so weights are known to within {most} only")]


def nan_log(step: Step) -> Remark:
    """A micro-batch without a target: its mean is nan, and its gradient 0."""
    name = f"{step.batch_size} × {step.K}"
    zh = f"{name} 的第 {step.number} 步记录的是 nan，而它的梯度不是：有微批次一个目标也没有？"
    return zh, f"{name}, step {step.number} logs nan, and its gradient is none: has a micro-batch no target?"


def ran(runs: list[Run], known: Columns, names: list[str], rule: str) -> list[Remark]:
    """Parameters that no optimizer has, parameters that moved, ranks that disagree. `names` are those seen."""
    found = []
    left = [name for name in known.start if name not in names]
    if left:
        listed = ", ".join(left[:5]) + (", …" if len(left) > 5 else "")
        found.append((f"没有看到这些参数的梯度：{listed}", f"no gradient of these parameters was seen: {listed}"))
    if any(run.disagree for run in runs):
        zh = "各进程交给优化器的梯度不一样：没有做 all-reduce？"
        found.append((zh, "the ranks hand different gradients to their optimizers: is the all-reduce missing?"))
    if rule == "unknown" and any(run.moved for run in runs):
        zh = "参数在优化器的步骤之外被改动过，所以各步的梯度不是在同一点上算的"
        found.append((zh, "parameters moved outside the optimizer, so the gradients are not all taken at one point"))
    return found


def odd_weights(aligned: Aligned, right: Tensor, smoothed: float, tolerance: float) -> list[Remark]:
    """For the first step that is not the token mean, `right` (steps, C): what its weights look like beside 1/N.

    `smoothed`: the share of label smoothing, which belongs to a token's weight.
    """
    reading, apart = aligned.reading, aligned.reading.of("uniform", "z", "decay")  # these have names of their own
    for step, weights in enumerate((aligned.shares() / (1 - smoothed)).masked_fill(apart, 0.0)):
        members, largest = right[step] > 0, weights.abs().max()
        if not members.any() or (weights - right[step]).abs().max() <= tolerance * right[step].max():
            continue
        relative = weights[members] / right[step].max()
        relative = torch.where(relative.abs() > tolerance, relative, 0.0)
        low, high = relative.min().item(), relative.max().item()
        zh = [f"窗口里各词元的权重是 1/N 的 {low:.6g} 到 {high:.6g} 倍"]
        en = [f"the tokens of the window weigh {low:.6g} to {high:.6g} times 1/N"]
        rows = reading.row[members].unique().tolist()
        empty = [r for r in rows if weights[members & (reading.row == r)].abs().max() <= tolerance * largest]
        if empty:
            listed = ", ".join(map(str, empty))
            zh.append(f"这些行的权重是 0：{listed}")
            en.append(f"rows that weigh nothing: {listed}")
        if (weights[reading.of("token") & ~members].abs() > tolerance * largest).any():
            zh.append("窗口之外的词元也有权重")
            en.append("tokens outside the window have weight too")
        if (weights[reading.of("masked")].abs() > tolerance * largest).any():
            zh.append("被掩掉的目标也有权重")
            en.append("masked targets have weight too")
        name, number = reading.layout.name, step + 1
        return [(f"{name} 的第 {number} 步：{z}", f"{name}, step {number}: {e}") for z, e in zip(zh, en, strict=True)]
    return []
