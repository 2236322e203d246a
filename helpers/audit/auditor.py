"""`audit`: checks what it is given, runs the loop on every partition, and has the gradients diagnosed."""

import copy
import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from .arguments import check_language, check_partitions, check_rows, check_targets, check_world, is_epoch, make_model
from .columns import LARGEST, Columns
from .diagnosis import diagnose
from .names import in_language
from .recording import Run, record
from .rows import AuditLM, Layout, collate, deal, default_rows
from .verdict import Verdict

PARTITIONS = ((1, 4), (3, 2), (4, 3), (5, 1))


@torch.inference_mode(False)
def audit(
    train: Callable,
    model: Callable[[], nn.Module] = AuditLM,
    rows: Sequence[dict] | None = None,
    partitions: Sequence[tuple[int, int]] = PARTITIONS,
    world: int = 1,
    language: str = "en",
) -> Verdict:
    """Which weight does the training loop `train` give to each token? Its rule, and its faults by name.

    `train(model, rows, batch_size, K)` trains one epoch over `rows`, in order, with any `torch.optim` optimizer: a step
    after every K micro-batches (K × world with several ranks) and after the last. It may return the losses that it
    logs, one a step. Or, told by its two parameters, `train(model, micro_batches)` is one step that leaves its
    gradient in `.grad`; the micro-batches are collated, and it may return its loss.
    `model`: makes the model, without arguments; its logits (B, T, V) may be in `.logits` or `["logits"]`.
    `rows`: dicts of `input_ids` and `labels`, lists of ints, not shifted, -100 where ignored. `partitions`:
    (batch_size, K) of each run. `world`: rank r takes `window[r::world]` of a window of K × world micro-batches;
    no process is started here, and the loop is always handed the rows of all ranks. `language`: "zh", "en" or "both".
    Raises TypeError or ValueError for arguments that are none of these; what goes wrong in the loop is in the verdict.

    >>> def step(model, micro_batches):
    ...     count = sum((batch["labels"][:, 1:] != -100).sum() for batch in micro_batches)
    ...     for batch in micro_batches:
    ...         logits, labels = model(batch["input_ids"])[:, :-1], batch["labels"][:, 1:]
    ...         loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
    ...         (loss / count).backward()
    >>> audit(step).ok
    True
    """
    check_language(language)
    epoch = is_epoch(train, language)
    rows = check_rows(default_rows() if rows is None else rows, language)
    check_targets(rows, language)
    pairs = check_partitions(partitions, language)
    check_world(world, language)
    first = make_model(model, language)
    state = {
        name: value.clone() if isinstance(value, Tensor) else copy.deepcopy(value)  # of `get_extra_state`
        for name, value in first.state_dict().items()
    }
    layouts, threads = [deal(len(rows), batch_size, K, world) for batch_size, K in pairs], torch.get_num_threads()
    runs: list[Run] = []
    try:
        if sum(parameter.numel() for parameter in first.parameters()) <= LARGEST:
            torch.set_num_threads(1)  # a second one waits more than it works: seconds, where another program is busy
        if model is AuditLM:
            fixed = tuple((tuple(row["input_ids"]), tuple(row["labels"])) for row in rows)
            known = _of_audit_lm(first.e.device, fixed, language)
        else:
            known = Columns(first, _another(first, model, state, language), rows, language)
        for layout in layouts:
            subject = make_model(model, language) if runs else first
            _restore(subject, state, language)
            runs.append(_run(train, epoch, subject, rows, layout, known, state))
            if runs[-1].error:
                break
        trouble = _unreadable(runs, layouts)
        if trouble:
            return Verdict("unknown", remarks=[in_language(language, *trouble)], language=language)
        return diagnose(runs, layouts, known, language)
    finally:
        torch.set_num_threads(threads)
        if not any(hasattr(parameter, "full_tensor") for parameter in first.parameters()):
            _restore(first, state, language)  # it may be the caller's own


@functools.lru_cache(maxsize=8)
def _of_audit_lm(device: torch.device, rows: tuple, language: str) -> Columns:
    """The columns of an `AuditLM`, computed once for all audits of it on the same rows."""
    first, other = AuditLM().to(device), AuditLM().to(device)
    return Columns(first, other, [{"input_ids": [*ids], "labels": [*labels]} for ids, labels in rows], language)


def _another(first: nn.Module, model: Callable[[], nn.Module], state: dict, language: str) -> nn.Module:
    """A copy of `first`; or one made anew, where a lock or a tensor with a graph in it allows no copy."""
    try:
        return copy.deepcopy(first)
    except Exception as error:
        other = make_model(model, language)
        if other is first:
            zh = "模型不能复制，所以 model 每次必须返回新的"
            en = "the model cannot be copied, so model must make one each time"
            raise ValueError(in_language(language, f"{zh}：{error}", f"{en}: {error}")) from error
        _restore(other, state, language)
        return other


def _restore(model: nn.Module, state: dict[str, Tensor], language: str) -> None:
    """Back to where the audit began, without a gradient."""
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        zh, en = "model 每次必须返回同样的模型", "model must return the same model each time"
        raise ValueError(in_language(language, f"{zh}：{error}", f"{en}: {error}")) from error
    for parameter in model.parameters():
        parameter.grad = None


def _run(
    train: Callable, epoch: bool, model: nn.Module, rows: list[dict], layout: Layout, known: Columns, state: dict
) -> Run:
    """An epoch at once; or, in the step form, each window from the same start. The loop is given rows to spoil."""
    run, world = Run(), layout.world
    model.train()
    if epoch:
        given = copy.deepcopy(rows), layout.batch_size, layout.K
        run.returned = record(run, lambda m: train(m, *given), model, known, world, in_grad=False)
        return run
    run.returned = []
    for window in layout.windows:
        batches = [collate([rows[row] for row in layout.micro_batches[micro]]) for micro in window]
        _restore(model, state, known.language)
        run.returned.append(record(run, lambda m, given=batches: train(m, given), model, known, world, in_grad=True))
        if run.error:
            break
    return run


def _unreadable(runs: list[Run], layouts: list[Layout]) -> tuple[str, str] | None:
    """Why no weight can be read at all, in both languages: an error, no step, or gradients that are no numbers."""
    if runs[-1].error:
        name, error = layouts[len(runs) - 1].name, runs[-1].error
        zh, en = f"{name}：循环报错：{error}", f"{name}: the loop raised {error}"
        if "MPS" in error and "float64" in error:
            zh += "；苹果的 GPU 没有 float64：留在 CPU 上，或用 model=lambda: AuditLM(torch.float32)"
            en += "; Apple's GPU has no float64: stay on the CPU, or give model=lambda: AuditLM(torch.float32)"
        return zh, en
    if not any(run.steps for run in runs):
        if any(run.moved for run in runs):
            zh = "参数动了，却没有 torch.optim 的优化器走过一步：别的优化器看不到，改用 train(model, micro_batches)"
            en = "parameters moved, but no optimizer of torch.optim took a step, and no other can be seen"
            return zh, f"{en}: use the form train(model, micro_batches)"
        zh = "循环没有走任何一步：没有调用模型参数的优化器，.grad 里也没有梯度"
        return zh, "the loop took no step: no optimizer of the model's parameters was called, and .grad holds nothing"
    for run, layout in zip(runs, layouts, strict=True):
        for number, step in enumerate(run.steps, 1):
            if not all(bool(kept.isfinite().all()) and square < float("inf") for kept, square in step.values()):
                zh = f"{layout.name} 的第 {number} 步：梯度里有 nan 或 inf"
                return zh, f"{layout.name}, step {number}: the gradient holds nan or inf"
    return None
