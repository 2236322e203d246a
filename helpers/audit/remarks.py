"""What a verdict adds in sentences, each in Chinese and in English: what is no fault, and what could not be seen."""

import torch
from torch import Tensor

from .recording import Run
from .reference import Reference
from .rules import Match
from .structure import Aligned
from .verdict import Step

__all__ = ["clipped", "matched", "nan_log", "noise", "number", "odd_weights", "ran", "shared"]

Remark = tuple[str, str]


def number(value: float) -> str:
    """A small number with one digit, 4e-3.

    >>> number(0.0041)
    '4e-3'
    """
    return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e+")


def shared(family: str, value: float, same: bool) -> Remark:
    """Label smoothing or z-loss, with its coefficient."""
    symbol = "ε" if family == "label_smoothing" else "λ"
    name = {"label_smoothing": ("标签平滑", "label smoothing"), "z_loss": ("z-loss", "z-loss")}[family]
    if same:
        return f"{name[0]}，{symbol} = {value:.4g}", f"{name[1]}, {symbol} = {value:.4g}"
    zh = f"{name[0]}的系数 {symbol} 不是每个词元都一样（平均 {value:.4g}）"
    return zh, f"{name[1]} whose {symbol} is not the same for every token ({value:.4g} on average)"


def matched(matches: list[Match], clipped: bool) -> list[Remark]:
    """What the rule's name leaves out, and the other rules that give the same weights on these rows."""
    best, found = matches[0], []
    notes = {
        "rows": ("微批次之内每条序列的权重相同", "within a micro-batch every sequence weighs the same"),
        "by rows": ("每个微批次按行数加权", "each micro-batch weighs by its rows"),
    }
    if best.note:
        found.append(notes[best.note])
    others = [
        match.rule if clipped or not match.faults else ", ".join((match.rule, *match.faults)) for match in matches
    ]
    mine = best.rule if clipped or not best.faults else ", ".join((best.rule, *best.faults))
    others = [other for other in dict.fromkeys(others) if other != mine and not (clipped and other == "sum")]
    if others:
        listed = "; ".join(others[:4])
        zh = f"在这些行和拆法上，下面的规则给出同样的权重，分不开：{listed}"
        found.append((zh, f"these rows and partitions cannot tell this from: {listed}"))
    return found


def clipped(norm: float) -> Remark:
    """Clipping hides the scale."""
    zh = f"梯度被裁剪到范数 {norm:.4g}（clipped）：只能看出各词元权重的比例，看不出整体大小"
    return zh, f"clipped, proportions only: the norm is brought to {norm:.4g}, which hides the scale of a step"


def noise(residual: float, exact: bool, unexplained: bool, tolerance: float) -> list[Remark]:
    """How exactly the weights are known, or how much of the gradient is in no known term."""
    if unexplained:
        part = f"{100 * residual:.2g} %"
        zh = f"梯度有 {part} 不在任何已知的项里（unexplained）：dropout、辅助损失、注意力看到填充"
        en = (
            f"unexplained: {part} of the gradient is in no known term: dropout, an auxiliary loss, attention to padding"
        )
        if exact and residual <= 0.03:
            zh, en = f"{zh}，或者循环用低于 float64 的精度计算", f"{en}, or the loop computes in less than float64"
        return [(zh, en)]
    if exact:
        return []
    zh = f"噪声 {number(residual)}（noise）：参数或梯度不是 float64，权重只精确到相对误差 {number(tolerance)}"
    return [
        (zh, f"noise {number(residual)}: not all is float64, so weights are known to within {number(tolerance)} only")
    ]


def nan_log(step: Step) -> list[Remark]:
    """A micro-batch without a target: its mean is nan, and its gradient 0."""
    where = f"{step.batch_size} × {step.K}"
    zh = f"{where} 的第 {step.number} 步记录的是 nan，而它的梯度不是：有微批次一个目标也没有？"
    en = f"{where}, step {step.number} logs nan, and its gradient is none: has a micro-batch no target?"
    return [(zh, en)]


def ran(runs: list[Run], reference: Reference, names: list[str], rule: str) -> list[Remark]:
    """Parameters that no optimizer has, parameters that moved, ranks that disagree."""
    found = []
    left = [name for name in reference.names if name not in names]
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


def odd_weights(aligned: Aligned, right: Tensor, tolerance: float) -> list[Remark]:
    """For the first step that is not the token mean: what its weights look like beside 1/N."""
    columns = aligned.reading.columns
    name = f"{aligned.reading.layout.batch_size} × {aligned.reading.layout.K}"
    token = torch.tensor([column.kind == "token" for column in columns])
    row = torch.tensor([column.row for column in columns])
    for step, weights in enumerate(aligned.shares()):
        members = right[step] > 0
        if not members.any() or (weights - right[step]).abs().max() <= tolerance * right[step].max():
            continue
        relative = weights[members] / right[step].max()
        relative = torch.where(relative.abs() > tolerance, relative, 0.0)
        low, high = relative.min().item(), relative.max().item()
        where = (f"{name} 的第 {step + 1} 步", f"{name}, step {step + 1}")
        found = [
            (
                f"{where[0]}：窗口里各词元的权重是 1/N 的 {low:.6g} 到 {high:.6g} 倍",
                f"{where[1]}: the tokens of the window weigh {low:.6g} to {high:.6g} times 1/N",
            )
        ]
        empty = [
            r
            for r in row[members].unique().tolist()
            if weights[members & (row == r)].abs().max() <= tolerance * weights.abs().max()
        ]
        if empty:
            listed = ", ".join(map(str, empty))
            found.append((f"{where[0]}：这些行的权重是 0：{listed}", f"{where[1]}: rows that weigh nothing: {listed}"))
        if (weights[token & ~members].abs() > tolerance * weights.abs().max()).any():
            zh, en = f"{where[0]}：窗口之外的词元也有权重", f"{where[1]}: tokens outside the window have weight too"
            found.append((zh, en))
        return found
    return []
