"""`audit`: checks what it is given, runs the loop on every partition, and has the gradients diagnosed."""

import inspect
from collections.abc import Callable, Sequence

from torch import nn

from .diagnosis import diagnose
from .layout import Layout, deal
from .recording import Run, left_in_grad, record
from .reference import Reference
from .rows import AuditLM, check_rows, collate, default_rows
from .sentences import LANGUAGES, in_language
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
    if not isinstance(language, str) or language not in LANGUAGES:
        raise ValueError(f'language 必须是 "zh"、"en" 或 "both" · must be "zh", "en" or "both", got {language!r}')
    epoch = _is_epoch(train, language)
    rows = default_rows() if rows is None else check_rows(rows, language)
    if not any(label >= 0 for row in rows for label in row["labels"][1:]):
        zh, en = "rows 里没有任何要预测的标签", "rows holds no label to predict: all are -100 or the first of their row"
        raise ValueError(in_language(language, zh, en))
    pairs = _pairs(partitions, language)
    if type(world) is not int or world < 1:
        zh, en = f"world 必须是正整数，得到 {world!r}", f"world must be a positive integer, got {world!r}"
        raise (ValueError if type(world) is int else TypeError)(in_language(language, zh, en))
    first = _make(model, language)
    state = {name: value.clone() for name, value in first.state_dict().items()}
    reference = Reference(first, rows, language)
    layouts = [deal(len(rows), batch_size, K, world) for batch_size, K in pairs]
    runs: list[Run] = []
    for layout in layouts:
        subject = first if not runs else _make(model, language)
        subject.load_state_dict(state)
        runs.append(_run(train, epoch, subject, rows, layout, reference))
        if runs[-1].error:
            zh, en = f"循环报错：{runs[-1].error}", f"the loop raised {runs[-1].error}"
            name = f"{layout.batch_size} × {layout.K}"
            return Verdict(
                "unknown", remarks=[in_language(language, f"{name}：{zh}", f"{name}: {en}")], language=language
            )
    return _verdict(runs, layouts, reference, language)


def _run(train: Callable, epoch: bool, model: nn.Module, rows: list[dict], layout: Layout, reference: Reference) -> Run:
    for parameter in model.parameters():
        parameter.grad = None
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
        return Verdict("unknown", remarks=[in_language(language, zh, en)], language=language)
    for run, layout in zip(runs, layouts, strict=True):
        for number, step in enumerate(run.steps, 1):
            if not all(bool(kept.isfinite().all()) and square < float("inf") for kept, square in step.values()):
                name = f"{layout.batch_size} × {layout.K}"
                zh = f"{name} 的第 {number} 步：梯度里有 nan 或 inf"
                en = f"{name}, step {number}: the gradient holds nan or inf"
                return Verdict("unknown", remarks=[in_language(language, zh, en)], language=language)
    seen = [(run, layout) for run, layout in zip(runs, layouts, strict=True) if run.steps]
    return diagnose([run for run, _ in seen], [layout for _, layout in seen], reference, language, stepless)


def _is_epoch(train: object, language: str) -> bool:
    """True for `train(model, rows, batch_size, K)`, False for `train(model, micro_batches)`."""
    zh = "train 必须是函数 train(model, rows, batch_size, K) 或 train(model, micro_batches)，得到 "
    en = "train must be a function train(model, rows, batch_size, K) or train(model, micro_batches), got "
    if not callable(train):
        raise TypeError(in_language(language, f"{zh}{train!r}", f"{en}{train!r}"))
    try:
        signature = inspect.signature(train)
    except (TypeError, ValueError):
        raise TypeError(in_language(language, f"{zh}{train!r}", f"{en}{train!r}")) from None
    for count in (4, 2):
        try:
            signature.bind(*range(count))
        except TypeError:
            continue
        return count == 4
    raise TypeError(in_language(language, f"{zh}train{signature}", f"{en}train{signature}"))


def _pairs(partitions: object, language: str) -> list[tuple[int, int]]:
    zh, en = (
        "partitions 必须是由 (batch_size, K) 组成的列表，都是正整数",
        "partitions must be pairs (batch_size, K) of positive integers",
    )
    if isinstance(partitions, str | dict) or not isinstance(partitions, Sequence) or not partitions:
        raise TypeError(in_language(language, f"{zh}，得到 {partitions!r}", f"{en}, got {partitions!r}"))
    pairs = []
    for pair in partitions:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(type(n) is int for n in pair):
            raise TypeError(in_language(language, f"{zh}，得到 {pair!r}", f"{en}, got {pair!r}"))
        if min(pair) < 1:
            raise ValueError(in_language(language, f"{zh}，得到 {pair!r}", f"{en}, got {pair!r}"))
        pairs.append(tuple(pair))
    return list(dict.fromkeys(pairs))


def _make(model: object, language: str) -> nn.Module:
    zh, en = "model 必须是不带参数、返回模型的函数", "model must be a function without arguments that returns a model"
    if isinstance(model, nn.Module) or not callable(model):
        kind = type(model).__name__
        raise TypeError(in_language(language, f"{zh}，得到 {kind}", f"{en}, got {kind}: say lambda: model"))
    try:
        made = model()
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        raise ValueError(in_language(language, f"{zh}，它报错：{text}", f"{en}, it raised {text}")) from error
    if not isinstance(made, nn.Module):
        kind = type(made).__name__
        raise TypeError(in_language(language, f"{zh}，它返回了 {kind}", f"{en}, it returned {kind}"))
    return made
