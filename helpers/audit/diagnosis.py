"""From the gradients of a loop to a verdict: read the weights, align the steps, find the rule, compare the log."""

from dataclasses import replace

import torch
from torch import Tensor

from . import remarks as say
from .clipping import clipped_steps, clipped_too_early
from .columns import FAMILIES, Columns
from .least_squares import EXACT, UNEXPLAINED, differ_by_parameter, read
from .logged import descended_losses, logged_losses, same_as_logged
from .names import FAULTS, in_language
from .recording import Run
from .rows import Layout
from .rules import find
from .steps import Aligned, align
from .verdict import Step, Verdict

OF_K = {"times_K", "over_K", "fixed_divisor"}  # say nothing where a window is not what was asked for
NO_FAULTS = ("label_smoothing", "z_loss")  # families that get a remark


def diagnose(runs: list[Run], layouts: list[Layout], known: Columns, language: str) -> Verdict:
    """The verdict on the runs of one loop, one for each layout. Some run has a step, and no gradient is nan."""
    faults = set() if all(run.steps for run in runs) else {"window_dropped"}
    runs, layouts = zip(*((run, layout) for run, layout in zip(runs, layouts, strict=True) if run.steps), strict=True)
    names = [name for name in known.start if any(name in step for run in runs for step in run.steps)]
    exact = known.exact and all(run.exact for run in runs)
    readings, families = read(runs, layouts, known, names, exact)
    if not readings:
        zh = "这些行的词元梯度在这个模型里线性相关，读不出各自的权重：换更大的模型"
        en = "the tokens' gradients are not independent in this model, so no weight can be read: take a larger one"
        return Verdict("unknown", remarks=[in_language(language, zh, en)], language=language)
    residual = max(reading.residual.max().item() for reading in readings)
    unexplained = residual > (EXACT if exact else UNEXPLAINED)
    apart = unexplained and differ_by_parameter(readings, [len(known.picks[name]) for name in names])
    tolerance = EXACT if exact else max(2e-4, 5 * residual)

    # The steps: which rows they hold, and whether they were clipped.
    partitions = [align(reading, max(tolerance, 5 * residual)) for reading in readings]
    if residual > UNEXPLAINED:  # then rows cannot be told from noise
        partitions = [replace(aligned, faults=[], remark=None, fits=False) for aligned in partitions]
    rights = [_right(aligned) for aligned in partitions]
    norms = [(w @ aligned.reading.matrix.T).norm(dim=1) for w, aligned in zip(rights, partitions, strict=True)]
    clipped = clipped_steps(partitions, norms, tolerance)
    any_clipped = bool(torch.cat(clipped).any())
    faults |= {name for name in families if name not in NO_FAULTS} | {f for a in partitions for f in a.faults}
    remarks = [aligned.remark for aligned in partitions if aligned.remark] + say.partly(partitions)

    # The rule.
    smoothed, readable = 0.0, not unexplained and all(aligned.fits for aligned in partitions)
    if "weight_decay" in families and say.falls_with_squares(partitions, tolerance):
        faults, readable = faults - {"weight_decay"}, False
        remarks.append(say.SUBTRACTED)
    for family in filter(families.__contains__, NO_FAULTS):
        value, same = say.share(partitions, FAMILIES[family], smoothed, tolerance)
        smoothed = value if family == "label_smoothing" else smoothed
        readable = readable and same and value > 0
        remarks.append(say.shared(family, value, same))
    matches = []
    if readable and not any(run.disagree for run in runs):
        matches = find(partitions, known.rows, families, clipped, smoothed, tolerance)
        whole = [match for match in matches if all((part - 1).abs().max() <= tolerance for part in match.scales)]
        any_clipped, matches = any_clipped and not whole, whole or matches  # what is whole looked clipped by chance
    rule = matches[0].rule if matches else "unknown"
    if matches:
        faults |= set(matches[0].faults) - (OF_K if faults & {"no_accumulation", "shuffled"} else set())
        remarks += say.matched(matches, any_clipped)
    elif readable and not families and any_clipped and clipped_too_early(partitions, tolerance):
        faults.add("clipped_too_early")
    elif readable:
        pairs = zip(partitions, rights, strict=True)
        remarks += next(filter(None, (say.odd_weights(*pair, smoothed, tolerance) for pair in pairs)), [])
    if any_clipped:
        remarks.append(say.clipped(max(reading.norm.max().item() for reading in readings)))
    remarks += say.noise(residual, exact, unexplained, tolerance, apart) + say.ran(runs, known, names, rule)

    # The numbers of each step, and its log.
    steps: list[Step] = []
    for place, (run, aligned, right) in enumerate(zip(runs, partitions, rights, strict=True)):
        logged, remark = logged_losses(run.returned, len(run.steps))
        remarks += [remark] if remark else []
        scales = matches[0].scales[place] if matches else torch.ones(len(right), dtype=torch.float64)
        constants = matches[0].constants[place] if matches else torch.ones(len(known.rows))
        for number, candidates in enumerate(descended_losses(aligned, scales)):
            step = _numbers(aligned, right[number], number, logged[number], candidates[0] * scales[number].item())
            steps.append(step)
            factors = sorted({1.0, *constants[aligned.inside[number]].tolist()})
            compared = step.logged is not None and not unexplained and (matches or not any_clipped)
            if compared and not same_as_logged(step.logged, candidates, factors, tolerance):
                faults.add("logged_not_descended")
                remarks += [say.nan_log(step)] if step.logged != step.logged else []

    tokens = known.of("tokens", layouts[0])
    pairs = [(layout.batch_size, layout.K) for layout in layouts]
    shares = [aligned.reading.shares(aligned.reading.coefficients, aligned.inside) for aligned in partitions]
    return Verdict(
        rule,
        [name for name in FAULTS if name in faults],
        list(dict.fromkeys(in_language(language, *remark) for remark in remarks)),
        {pair: values[:, : len(tokens)].clone() for pair, values in zip(pairs, shares, strict=True)},
        {pair: values[:, : len(tokens)].clone() for pair, values in zip(pairs, rights, strict=True)},
        torch.tensor([column.kind == "masked" for column in tokens]),
        steps,
        language,
    )


def _right(aligned: Aligned) -> Tensor:
    """(steps, C): 1/N for the valid tokens of the rows that belong to a step, 0 for every other column."""
    reading, inside = aligned.reading, aligned.inside
    if not aligned.fits:  # beside the windows that were asked for, as far as there are any
        inside = torch.zeros_like(inside)
        for step in range(min(len(inside), len(reading.layout.windows))):
            inside[step, reading.layout.rows_of(step)] = True
    weights = (reading.within(inside) & reading.of("token")).double()
    return weights / weights.sum(1, keepdim=True).clamp(min=1)


def _numbers(aligned: Aligned, right: Tensor, number: int, logged: float | None, descended: float) -> Step:
    """One step beside the right weights (C,)."""
    reading, layout = aligned.reading, aligned.reading.layout
    wanted, gradient = reading.matrix @ right, reading.gradients[number]
    length, own = wanted.norm().item() or float("nan"), gradient.norm().item() or float("nan")
    ratio, error = gradient.norm().item() / length, (gradient - wanted).norm().item() / length
    cosine, loss = (wanted @ gradient).item() / (length * own), (right @ reading.value).item()
    return Step(layout.batch_size, layout.K, number + 1, ratio, cosine, error, loss, logged, descended)
