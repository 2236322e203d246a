"""From the gradients of a loop to a verdict: read, align, find the rule, compare the logs."""

from dataclasses import replace

import torch
from torch import Tensor

from .clipping import clipped_steps, clipped_too_early
from .columns import FAMILIES, Columns
from .layout import Layout
from .logs import descended, logged_losses, same_as_logged
from .names import FAULTS
from .recording import Run
from .reference import Reference
from .remarks import clipped as clip_remark
from .remarks import matched, nan_log, noise, odd_weights, ran, shared
from .rules import Match, find
from .sentences import in_language
from .shares import share
from .structure import Aligned, align
from .verdict import Step, Verdict
from .weights import EXACT, UNEXPLAINED, read

__all__ = ["diagnose"]

OF_K = {"times_K", "over_K", "fixed_divisor"}  # say nothing where a window is not what was asked for
REMARKS = ("label_smoothing", "z_loss")  # families that are no faults


def diagnose(
    runs: list[Run], layouts: list[Layout], reference: Reference, language: str, stepless: list[Layout]
) -> Verdict:
    """The verdict on the runs of one loop, one for each layout; every run has a step, and no gradient is nan."""
    names = [n for n in reference.names if any(n in step for run in runs for step in run.steps)]
    exact = reference.exact and all(run.exact for run in runs)
    columns = Columns(reference)
    readings, families, readable = read(runs, layouts, columns, names)
    if not readable:
        zh = "这些行的词元梯度在这个模型里线性相关，读不出各自的权重：换更大的模型"
        en = "the tokens' gradients are not independent in this model, so no weight can be read: take a larger one"
        return Verdict("unknown", remarks=[in_language(language, zh, en)], language=language)
    residual = max(reading.residual.max().item() for reading in readings)
    unexplained = residual > (EXACT if exact else UNEXPLAINED)
    tolerance = EXACT if exact else max(2e-4, 5 * residual)
    partitions = [align(reading, max(tolerance, 5 * residual)) for reading in readings]
    if residual > UNEXPLAINED:  # then rows cannot be told from noise
        partitions = [replace(aligned, faults=[], remarks=[], fits=False) for aligned in partitions]
    wanted = [_right(aligned) for aligned in partitions]
    norms = [(w @ aligned.reading.matrix.T).norm(dim=1) for w, aligned in zip(wanted, partitions, strict=True)]
    clipped = clipped_steps(partitions, norms, tolerance)
    remarks = [remark for aligned in partitions for remark in aligned.remarks]

    smoothed, regular = 0.0, True
    for family in REMARKS:
        if family in families:
            value, same = share(partitions, FAMILIES[family], smoothed, tolerance)
            smoothed = value if family == "label_smoothing" else smoothed
            regular = regular and same
            remarks.append(shared(family, value, same))
    matches: list[Match] = []
    if not unexplained and regular and all(a.fits for a in partitions) and not any(run.disagree for run in runs):
        matches = find(partitions, reference.rows, families, clipped, smoothed, tolerance)
    faults = {"window_dropped"} if stepless else set()
    faults |= {name for name in families if name not in REMARKS} | {f for a in partitions for f in a.faults}
    rule, best = "unknown", matches[0] if matches else None
    if best:
        rule = best.rule
        faults |= set(best.faults) - (OF_K if faults & {"no_accumulation", "shuffled"} else set())
        remarks += matched(matches, bool(torch.cat(clipped).any()))
    elif not families and not unexplained and clipped_too_early(partitions, clipped, tolerance):
        faults.add("clipped_too_early")
    elif not unexplained and regular and all(aligned.fits for aligned in partitions):
        odd = [odd_weights(aligned, right, tolerance) for aligned, right in zip(partitions, wanted, strict=True)]
        remarks += next((found for found in odd if found), [])
    if any(bool(steps.any()) for steps in clipped):
        remarks.append(clip_remark(torch.cat([a.reading.norm for a in partitions]).max().item()))
    remarks += noise(residual, exact, unexplained, tolerance)
    remarks += ran(runs, reference, names, rule)

    comparable = not unexplained and (best is not None or not any(bool(steps.any()) for steps in clipped))
    steps: list[Step] = []
    for number, (run, aligned, right) in enumerate(zip(runs, partitions, wanted, strict=True)):
        logged, remark = logged_losses(run.returned, len(run.steps))
        remarks += [remark] if remark else []
        lines = _steps(aligned, right, logged, best, number)
        steps += [line for line, _ in lines]
        constants = best.constants[number] if best else torch.ones(aligned.reading.layout.size)
        for (line, candidates), inside in zip(lines, aligned.inside, strict=True):
            factors = sorted({1.0, *constants[inside].tolist()})
            if line.logged is None or not comparable:
                continue
            if not same_as_logged(line.logged, candidates, factors, tolerance):
                faults.add("logged_not_descended")
                remarks += nan_log(line) if line.logged != line.logged else []
    tokens = len(columns.tokens())
    pairs = [(layout.batch_size, layout.K) for layout in layouts]
    weights = [aligned.reading.shares(inside=aligned.inside) for aligned in partitions]
    return Verdict(
        rule,
        [name for name in FAULTS if name in faults],
        list(dict.fromkeys(in_language(language, *remark) for remark in remarks)),
        {pair: values[:, :tokens].clone() for pair, values in zip(pairs, weights, strict=True)},
        {pair: values[:, :tokens].clone() for pair, values in zip(pairs, wanted, strict=True)},
        torch.tensor([column.kind == "masked" for column in columns.tokens()]),
        steps,
        language,
    )


def _right(aligned: Aligned) -> Tensor:
    """(steps, C): 1/N for the valid tokens of the rows that belong to a step, 0 for every other column."""
    columns = aligned.reading.columns
    token = torch.tensor([column.kind == "token" for column in columns])
    row = torch.tensor([column.row for column in columns])
    inside = aligned.inside
    if not aligned.fits:  # beside the windows that were asked for, as far as there are any
        inside = torch.zeros_like(inside)
        for step in range(min(len(inside), len(aligned.reading.layout.windows))):
            inside[step, aligned.reading.layout.rows_of(step)] = True
    weights = (inside[:, row.clamp(min=0)] & token).double()
    return weights / weights.sum(1, keepdim=True).clamp(min=1)


def _steps(aligned: Aligned, right: Tensor, logged: list, best: Match | None, number: int) -> list:
    """For each step its numbers, and the losses that it may log."""
    reading = aligned.reading
    scales = best.scales[number] if best else torch.ones(len(right), dtype=torch.float64)
    value = torch.tensor([column.value for column in reading.columns], dtype=torch.float64)
    found = []
    for step, candidates in enumerate(descended(aligned, scales)):
        wanted, gradient = reading.matrix @ right[step], reading.gradients[step]
        length, own = wanted.norm().item(), gradient.norm().item()
        nan = float("nan")
        ratio = own / length if length else nan
        cosine = (wanted @ gradient).item() / (length * own) if length * own else nan
        error = (gradient - wanted).norm().item() / length if length else nan
        found.append(
            (
                Step(
                    reading.layout.batch_size, reading.layout.K, step + 1, ratio, cosine, error,
                    (right[step] @ value).item(), logged[step], candidates[0] * scales[step].item(),
                ),
                candidates,
            )
        )  # fmt: skip
    return found
