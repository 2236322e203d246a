"""What a loop is run on: a model that does not mix tokens, rows in which every token id occurs once, and batches."""

from collections.abc import Sequence
from numbers import Integral

import torch
from torch import Tensor, nn

from .sentences import in_language

__all__ = ["IGNORE_INDEX", "AuditLM", "check_rows", "collate", "default_rows"]

IGNORE_INDEX = -100
VOCABULARY, WIDTH = 97, 24
LENGTHS = (4, 11, 6, 13, 5, 9, 3, 14, 7, 8)
PROMPTS = {1: 4, 3: 5, 5: 2, 7: 3}


class AuditLM(nn.Module):
    """A language model whose logits depend on the last token alone, so that each token has a gradient of its own.

    Parameters e (97, 24), normal with deviation 2, and o (97, 24), with deviation 0.3, drawn in float64 in this
    order from one generator with seed 1: the same on every machine and in every `dtype`.

    >>> AuditLM()(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3, 97])
    """

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        for name, deviation in (("e", 2.0), ("o", 0.3)):
            values = torch.randn(VOCABULARY, WIDTH, generator=generator, dtype=torch.float64) * deviation
            self.register_parameter(name, nn.Parameter(values.to(dtype)))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """input_ids (B, T) int64 -> logits (B, T, 97). The mask is taken, since loops give one, and not used."""
        return self.e[input_ids] @ self.o.T


def default_rows() -> list[dict[str, list[int]]]:
    """Ten rows of 3 to 14 tokens, no id twice, with prompts of 4, 5, 2, 3 tokens masked in rows 1, 3, 5, 7.

    The counts that a loop may take for N all differ on them: valid targets, labels before the shift, real
    tokens, padded positions.

    >>> [len(row["labels"]) for row in default_rows()]
    [4, 11, 6, 13, 5, 9, 3, 14, 7, 8]
    """
    ids = iter((torch.randperm(VOCABULARY - 1, generator=torch.Generator().manual_seed(0)) + 1).tolist())
    rows = []
    for number, length in enumerate(LENGTHS):
        tokens = [next(ids) for _ in range(length)]
        prompt = PROMPTS.get(number, 0)
        rows.append({"input_ids": tokens, "labels": [IGNORE_INDEX] * prompt + tokens[prompt:]})
    return rows


def collate(rows: Sequence[dict[str, Sequence[int]]]) -> dict[str, Tensor]:
    """One micro-batch from B rows, padded on the right to the longest, T tokens.

    -> `input_ids` (padded with 0), `attention_mask` (1 for a token, 0 for padding), `labels` (padded with -100,
    not shifted), each (B, T) int64. What is collated already is returned as it is.
    Raises TypeError or ValueError for what are no rows.

    >>> collate([{"input_ids": [5, 6], "labels": [5, 6]}, {"input_ids": [7], "labels": [7]}])["labels"]
    tensor([[   5,    6],
            [   7, -100]])
    """
    if isinstance(rows, dict) and all(isinstance(value, Tensor) for value in rows.values()):
        return rows
    rows = check_rows(rows, "both")
    longest = max(len(row["input_ids"]) for row in rows)

    def filled(values: list[list[int]], padding: int) -> Tensor:
        return torch.tensor([row + [padding] * (longest - len(row)) for row in values], dtype=torch.int64)

    return {
        "input_ids": filled([row["input_ids"] for row in rows], 0),
        "attention_mask": filled([[1] * len(row["input_ids"]) for row in rows], 0),
        "labels": filled([row["labels"] for row in rows], IGNORE_INDEX),
    }


def check_rows(rows: object, language: str) -> list[dict[str, list[int]]]:
    """The rows as lists of ints; raises TypeError or ValueError, with the row's number, for what are none."""
    wanted = "rows"
    if isinstance(rows, str | bytes | dict) or not isinstance(rows, Sequence):
        zh, en = (
            "必须是由字典组成的列表，每行有 input_ids 和 labels",
            "must be a list of dicts, input_ids and labels each",
        )
        raise TypeError(
            in_language(language, f"{wanted} {zh}，得到 {_kind(rows)}", f"{wanted} {en}, got {_kind(rows)}")
        )
    if not rows:
        raise ValueError(in_language(language, "rows 是空的：至少要有一行", "rows is empty: give one row at least"))
    checked = []
    for number, row in enumerate(rows):
        where = f"rows[{number}]"
        if not isinstance(row, dict) or not {"input_ids", "labels"} <= set(row):
            zh = f"{where} 必须是有 input_ids 和 labels 的字典，得到 {_kind(row)}"
            en = f"{where} must be a dict with input_ids and labels, got {_kind(row)}"
            raise TypeError(in_language(language, zh, en))
        ids = _integers(row["input_ids"], f"{where}['input_ids']", language)
        labels = _integers(row["labels"], f"{where}['labels']", language)
        if not ids or len(ids) != len(labels):
            zh = f"{where} 的 input_ids 有 {len(ids)} 个，labels 有 {len(labels)} 个：两者必须一样长，且不为空"
            en = f"{where} has {len(ids)} input_ids and {len(labels)} labels: give as many of each, one at least"
            raise ValueError(in_language(language, zh, en))
        for place, (token, label) in enumerate(zip(ids, labels, strict=True)):
            if token < 0 or (label < 0 and label != IGNORE_INDEX):
                zh = f"{where} 的第 {place} 个位置是词元 {token}、标签 {label}：编号不能为负，标签可以是 -100"
                en = (
                    f"{where} has token {token} and label {label} at position {place}: ids are 0 or more, or label -100"
                )
                raise ValueError(in_language(language, zh, en))
        checked.append({"input_ids": ids, "labels": labels})
    return checked


def _integers(values: object, where: str, language: str) -> list[int]:
    values = values.tolist() if hasattr(values, "tolist") else values  # a tensor, or an array
    integers = isinstance(values, list | tuple) and all(isinstance(value, Integral) for value in values)
    if not integers or any(isinstance(value, bool) for value in values):
        zh = f"{where} 必须是整数的列表，得到 {_kind(values)}"
        en = f"{where} must be a list of integers, got {_kind(values)}"
        raise TypeError(in_language(language, zh, en))
    return [int(value) for value in values]


def _kind(value: object) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text}" if len(text) <= 60 else type(value).__name__
