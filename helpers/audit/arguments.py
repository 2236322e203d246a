"""What `audit` is given, checked at the door: each error says what was wanted and what came."""

import inspect
from collections.abc import Sequence
from numbers import Integral

from torch import nn
from torch.nn.parameter import is_lazy

from .names import LANGUAGES, in_language

IGNORE_INDEX = -100  # the label of a token that is in no loss
MOST_TARGETS = 1000  # each has a column of its own


def check_language(language: object) -> None:
    """Raises ValueError, in both languages, for another one."""
    if not isinstance(language, str) or language not in LANGUAGES:
        raise ValueError(f'language 必须是 "zh"、"en" 或 "both" · must be "zh", "en" or "both", got {language!r}')


def check_world(world: object, language: str) -> None:
    """Raises TypeError or ValueError for what is no number of ranks."""
    if type(world) is not int or world < 1:
        zh, en = f"world 必须是正整数，得到 {world!r}", f"world must be a positive integer, got {world!r}"
        raise (ValueError if type(world) is int else TypeError)(in_language(language, zh, en))


def is_epoch(train: object, language: str) -> bool:
    """True for `train(model, rows, batch_size, K)`, False for `train(model, micro_batches)`, else TypeError."""
    for count in (4, 2):
        try:
            inspect.signature(train).bind(*range(count))
        except (TypeError, ValueError):  # no function, one without a signature, or one of other parameters
            continue
        return count == 4
    shown = f"train{inspect.signature(train)}" if inspect.isfunction(train) else repr(train)
    zh = f"train 必须是函数 train(model, rows, batch_size, K) 或 train(model, micro_batches)，得到 {shown}"
    en = f"train must be a function train(model, rows, batch_size, K) or train(model, micro_batches), got {shown}"
    raise TypeError(in_language(language, zh, en))


def check_partitions(partitions: object, language: str) -> list[tuple[int, int]]:
    """The pairs (batch_size, K), each once; raises TypeError or ValueError for what are none."""
    listed = isinstance(partitions, Sequence) and not isinstance(partitions, str) and len(partitions) > 0
    for pair in partitions if listed else [partitions]:
        whole = listed and isinstance(pair, list | tuple) and len(pair) == 2 and all(type(n) is int for n in pair)
        if not whole or min(pair) < 1:
            zh = f"partitions 必须是由 (batch_size, K) 组成的列表，都是正整数，得到 {pair!r}"
            en = f"partitions must be pairs (batch_size, K) of positive integers, got {pair!r}"
            raise (ValueError if whole else TypeError)(in_language(language, zh, en))
    return list(dict.fromkeys(map(tuple, partitions)))


def make_model(model: object, language: str) -> nn.Module:
    """A new model; raises TypeError or ValueError for what makes none."""
    zh, en = "model 必须是不带参数、返回模型的函数", "model must be a function without arguments that returns a model"
    if isinstance(model, nn.Module) or not callable(model):
        kind = type(model).__name__
        raise TypeError(in_language(language, f"{zh}，得到 {kind}", f"{en}, got {kind}: say lambda: model"))
    try:
        made = model()
    except (Exception, SystemExit) as error:
        text = f"{type(error).__name__}: {error}"
        raise ValueError(in_language(language, f"{zh}，它报错：{text}", f"{en}, it raised {text}")) from error
    if not isinstance(made, nn.Module):
        kind = type(made).__name__
        raise TypeError(in_language(language, f"{zh}，它返回了 {kind}", f"{en}, it returned {kind}"))
    for name, value in (*made.named_parameters(), *made.named_buffers()):
        if is_lazy(value) or value.is_meta:
            zh = f"模型的 {name} 还没有数值（LazyModule，或 meta 设备）：先给它数值"
            en = f"{name} of the model has no numbers yet (a lazy module, or the device meta): give it some first"
            raise ValueError(in_language(language, zh, en))
    return made


def check_rows(rows: object, language: str) -> list[dict[str, list[int]]]:
    """The rows as lists of ints; raises TypeError or ValueError, with the row's number, for what are none."""
    if isinstance(rows, str | bytes | dict) or not isinstance(rows, Sequence):
        zh = f"rows 必须是由字典组成的列表，每行有 input_ids 和 labels，得到 {_shown(rows)}"
        en = f"rows must be a list of dicts, input_ids and labels each, got {_shown(rows)}"
        raise TypeError(in_language(language, zh, en))
    if not rows:
        raise ValueError(in_language(language, "rows 是空的：至少要有一行", "rows is empty: give one row at least"))
    return [_check_row(row, f"rows[{number}]", language) for number, row in enumerate(rows)]


def _check_row(row: object, name: str, language: str) -> dict[str, list[int]]:
    if not isinstance(row, dict) or not {"input_ids", "labels"} <= set(row):
        zh = f"{name} 必须是有 input_ids 和 labels 的字典，得到 {_shown(row)}"
        en = f"{name} must be a dict with input_ids and labels, got {_shown(row)}"
        raise TypeError(in_language(language, zh, en))
    ids = _integers(row["input_ids"], f"{name}['input_ids']", language)
    labels = _integers(row["labels"], f"{name}['labels']", language)
    if not ids or len(ids) != len(labels):
        zh = f"{name} 的 input_ids 有 {len(ids)} 个，labels 有 {len(labels)} 个：两者必须一样长，且不为空"
        en = f"{name} has {len(ids)} input_ids and {len(labels)} labels: give as many of each, one at least"
        raise ValueError(in_language(language, zh, en))
    for place, (token, label) in enumerate(zip(ids, labels, strict=True)):
        if token < 0 or (label < 0 and label != IGNORE_INDEX):
            zh = f"{name} 的第 {place} 个位置是词元 {token}、标签 {label}：编号不能为负，标签可以是 -100"
            en = f"{name} has token {token} and label {label} at position {place}: ids are 0 or more, or label -100"
            raise ValueError(in_language(language, zh, en))
    return {"input_ids": ids, "labels": labels}


def _integers(values: object, name: str, language: str) -> list[int]:
    values = values.tolist() if hasattr(values, "tolist") else values  # a tensor, or an array
    integers = isinstance(values, list | tuple) and all(isinstance(value, Integral) for value in values)
    if not integers or any(isinstance(value, bool) for value in values):
        zh = f"{name} 必须是整数的列表，得到 {_shown(values)}"
        en = f"{name} must be a list of integers, got {_shown(values)}"
        raise TypeError(in_language(language, zh, en))
    return [int(value) for value in values]


def _shown(value: object) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text}" if len(text) <= 60 else type(value).__name__


def check_targets(rows: list[dict[str, list[int]]], language: str) -> None:
    """Raises ValueError if nothing in the rows is predicted, or too much."""
    if not any(label != IGNORE_INDEX for row in rows for label in row["labels"][1:]):
        zh, en = "rows 里没有任何要预测的标签", "rows holds no label to predict: all are -100 or the first of their row"
        raise ValueError(in_language(language, zh, en))
    targets = sum(len(row["labels"]) - 1 for row in rows)
    if targets > MOST_TARGETS:
        zh = f"rows 里有 {targets} 个目标，太多了：最多 {MOST_TARGETS} 个"
        raise ValueError(in_language(language, zh, f"rows holds {targets} targets, give {MOST_TARGETS} at most"))
