"""An exercise of lesson 06: a loop with three faults, graded by `audit` itself."""

from collections.abc import Callable
from typing import Any

from helpers.audit import audit, default_rows
from helpers.audit.names import FAULTS, RULES
from helpers.classroom.checks import printed_once
from helpers.classroom.grading import Verdict, finding, right, wrong
from helpers.classroom.learner import awaits
from helpers.classroom.verdicts import waiting

__all__ = ["repair"]

LAST = 2  # the last of the three targets of row 0


@finding
def repair(answer: Any) -> Verdict:
    """Exercise 2: step(model, micro_batches) leaves the gradient of the token mean in `.grad` and returns its loss."""
    if awaits(answer):
        return waiting()
    step, printed = printed_once(answer) if callable(answer) else (answer, None)
    verdict = judged(step)
    if printed:
        print(printed.getvalue(), end="")
    return verdict


def judged(step: Callable) -> Verdict:
    try:
        verdict = audit(step)
    except (TypeError, ValueError):
        return wrong(
            "交来的不是 step(model, micro_batches) 这样的函数：要函数本身，不带括号",
            "this is no function step(model, micro_batches): hand over the function itself, without calling it",
        )
    if not verdict.ok:
        chinese = audit(step, language="zh")
        named = [FAULTS[name] for name in verdict.faults]
        named = ([] if verdict.rule in ("token_mean", "unknown") and named else [RULES[verdict.rule]]) + named
        if verdict.rule == "unknown":
            named += zip(chinese.remarks, verdict.remarks, strict=True)
        arrows = [("→ " + zh, "→ " + en) for zh, en in named]
        return wrong("还没有修好，audit 说：", "not repaired yet; audit says:", *arrows)
    if any(step.logged is None for step in verdict.steps):
        return wrong("梯度对了，但 step 没有返回损失", "the gradient is right, but the step returns no loss")
    if any(step.error > 1e-6 for step in verdict.steps):
        return wrong(
            "每个词元一样重，梯度却不是词元平均的梯度：多了裁剪，或损失里多了一项",
            "all tokens weigh the same, but the gradient is not that of the token mean: it was clipped, or the loss "
            "holds another term",
        )
    if any(abs(step.logged - step.loss) > 1e-6 for step in verdict.steps):
        return wrong(
            "梯度对了，但返回的不是词元平均的损失", "the gradient is right, but the loss returned is not the token mean"
        )
    rows = default_rows()
    for key in ("input_ids", "labels"):
        rows[0][key][-1] = 0
    verdict = audit(step, rows=rows, partitions=[(5, 2)])
    if not verdict.ok:
        lost = abs(verdict.weights[5, 2][0, LAST]) < 1e-9 if verdict.weights else False
        name = [("→ 目标 0 也是有效的，只有 −100 才忽略", "→ a target of 0 is valid too; −100 alone is ignored")]
        zh, en = (
            "默认的数据上对了，有一个目标是 0 的数据上不对",
            "right on the default rows, and wrong where a target is 0",
        )
        return wrong(zh, en, *name * bool(lost))
    return right("四种拆法，每一步的梯度和损失", "the gradient and the loss of every step, in four partitions")
