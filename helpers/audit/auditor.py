"""`audit`: checks what it is given, runs the loop on every partition, and has the gradients diagnosed."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from .arguments import check_language, check_partitions, check_targets, check_world, is_epoch, make_model
from .diagnosis import diagnose
from .layout import Layout, deal
from .recording import Run, left_in_grad, record
from .reference import Reference
from .rows import AuditLM, check_rows, collate, default_rows
from .sentences import in_language
from .verdict import Verdict

__all__ = ["audit"]

PARTITIONS = ((1, 4), (3, 2), (4, 3), (5, 1))


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
    rows = check_targets(default_rows() if rows is None else check_rows(rows, language), language)
    pairs = check_partitions(partitions, language)
    check_world(world, language)
    first = make_model(model, language)
    state = {name: value.clone() for name, value in first.state_dict().items()}
    reference = Reference(first, rows, language)
    layouts = [deal(len(rows), batch_size, K, world) for batch_size, K in pairs]
    runs: list[Run] = []
    try:
        for layout in layouts:
            subject = first if not runs else make_model(model, language)
            _restore(subject, state, language)
            runs.append(_run(train, epoch, subject, rows, layout, reference))
            if runs[-1].error:
                zh, en = f"循环报错：{runs[-1].error}", f"the loop raised {runs[-1].error}"
                name = f"{layout.batch_size} × {layout.K}"
                return _unknown(language, f"{name}：{zh}", f"{name}: {en}")
    finally:
        if not any(hasattr(parameter, "full_tensor") for parameter in first.parameters()):
            _restore(first, state, language)  # it may be the caller's own
    return _verdict(runs, layouts, reference, language)


def _restore(model: nn.Module, state: dict[str, Tensor], language: str) -> None:
    """Back to where the audit began, without a gradient."""
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        zh, en = "model 每次必须返回同样的模型", "model must return the same model each time"
        raise ValueError(in_language(language, f"{zh}：{error}", f"{en}: {error}")) from error
    for parameter in model.parameters():
        parameter.grad = None


def _unknown(language: str, zh: str, en: str) -> Verdict:
    return Verdict("unknown", remarks=[in_language(language, zh, en)], language=language)


def _run(train: Callable, epoch: bool, model: nn.Module, rows: list[dict], layout: Layout, reference: Reference) -> Run:
    model.train()

    def copied(numbers: Sequence[int]) -> list[dict]:
        return [{name: list(values) for name, values in rows[number].items()} for number in numbers]

    if epoch:
        everything = copied(range(len(rows)))
        return record(lambda m: train(m, everything, layout.batch_size, layout.K), model, reference, layout.world)
    whole = Run(returned=[])
    for window in layout.windows:
        micro_batches = [collate(copied(layout.micro_batches[micro])) for micro in window]
        for name, parameter in model.named_parameters():
            parameter.grad = None
            if name in reference.start:
                parameter.data.copy_(reference.start[name])
        run = record(lambda m, batches=micro_batches: train(m, batches), model, reference, layout.world)
        left_in_grad(model, reference, run)
        whole.steps += run.steps
        whole.returned.append(run.returned)
        whole.exact, whole.moved = whole.exact and run.exact, whole.moved or run.moved
        whole.disagree, whole.error = whole.disagree or run.disagree, run.error
        if run.error:
            break
    return whole


def _verdict(runs: list[Run], layouts: list[Layout], reference: Reference, language: str) -> Verdict:
    """Deals with loops without steps and with gradients that are no numbers; all others are diagnosed."""
    stepless = [layout for run, layout in zip(runs, layouts, strict=True) if not run.steps]
    if len(stepless) == len(runs):
        if any(run.moved for run in runs):
            zh = "参数动了，却没有 torch.optim 的优化器走过一步：别的优化器看不到，改用 train(model, micro_batches)"
            en = (
                "the parameters moved, but no optimizer of torch.optim took a step, and no other can be seen: "
                "use the form train(model, micro_batches)"
            )
        else:
            zh = "循环没有走任何一步：没有调用模型参数的优化器，.grad 里也没有梯度"
            en = "the loop took no step: no optimizer of the model's parameters was called, and .grad holds nothing"
        return _unknown(language, zh, en)
    for run, layout in zip(runs, layouts, strict=True):
        for number, step in enumerate(run.steps, 1):
            if not all(bool(kept.isfinite().all()) and square < float("inf") for kept, square in step.values()):
                name = f"{layout.batch_size} × {layout.K}"
                zh = f"{name} 的第 {number} 步：梯度里有 nan 或 inf"
                en = f"{name}, step {number}: the gradient holds nan or inf"
                return _unknown(language, zh, en)
    seen = [(run, layout) for run, layout in zip(runs, layouts, strict=True) if run.steps]
    return diagnose([run for run, _ in seen], [layout for _, layout in seen], reference, language, stepless)
