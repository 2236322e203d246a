"""What `audit` is given, checked at the door: each error says what was wanted and what came."""

import inspect
from collections.abc import Sequence

from torch import nn

from .sentences import LANGUAGES, in_language

__all__ = ["check_language", "check_partitions", "check_targets", "check_world", "is_epoch", "make_model"]

MOST = 1000  # targets, each of which has a column of its own


def check_language(language: object) -> None:
    """Raises ValueError for another language, in both."""
    if not isinstance(language, str) or language not in LANGUAGES:
        raise ValueError(f'language 必须是 "zh"、"en" 或 "both" · must be "zh", "en" or "both", got {language!r}')


def check_world(world: object, language: str) -> None:
    """Raises TypeError or ValueError for what is no number of ranks."""
    if type(world) is not int or world < 1:
        zh, en = f"world 必须是正整数，得到 {world!r}", f"world must be a positive integer, got {world!r}"
        raise (ValueError if type(world) is int else TypeError)(in_language(language, zh, en))


def check_targets(rows: list[dict], language: str) -> list[dict]:
    """The rows; raises ValueError if nothing in them is predicted, or too much."""
    if not any(label >= 0 for row in rows for label in row["labels"][1:]):
        zh, en = "rows 里没有任何要预测的标签", "rows holds no label to predict: all are -100 or the first of their row"
        raise ValueError(in_language(language, zh, en))
    targets = sum(len(row["labels"]) - 1 for row in rows)
    if targets > MOST:
        zh, en = (
            f"rows 里有 {targets} 个目标，太多了：最多 {MOST} 个",
            f"rows holds {targets} targets, give {MOST} at most",
        )
        raise ValueError(in_language(language, zh, en))
    return rows


def is_epoch(train: object, language: str) -> bool:
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


def check_partitions(partitions: object, language: str) -> list[tuple[int, int]]:
    """The pairs (batch_size, K), each once; raises TypeError or ValueError for what are none."""
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


def make_model(model: object, language: str) -> nn.Module:
    """A new model; raises TypeError or ValueError for what makes none."""
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
