"""What a loop is run on: a model that does not mix tokens, rows in which every token id occurs once, and batches.

A micro-batch is B rows. A window, which ends in one optimizer step, is K micro-batches for each of W ranks; rank r
takes `window[r::W]`. R is the number of all rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from .arguments import IGNORE_INDEX, check_rows

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
            values = torch.randn(VOCABULARY, WIDTH, generator=generator, dtype=torch.float64, device="cpu") * deviation
            self.register_parameter(name, nn.Parameter(values.to(torch.empty(0).device, dtype)))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """input_ids (B, T) int64 -> logits (B, T, 97). The mask is taken, since loops give one, and not used."""
        return self.e[input_ids] @ self.o.T


def default_rows() -> list[dict[str, list[int]]]:
    """Ten rows of 3 to 14 tokens, no id twice, with prompts of 4, 5, 2, 3 tokens masked in rows 1, 3, 5, 7.

    What a loop may take for N differs on them: valid targets, labels before the shift, tokens, padded positions.

    >>> [len(row["labels"]) for row in default_rows()]
    [4, 11, 6, 13, 5, 9, 3, 14, 7, 8]
    """
    order = torch.randperm(VOCABULARY - 1, generator=torch.Generator().manual_seed(0), device="cpu")
    ids = iter((order + 1).tolist())
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


@dataclass(frozen=True)
class Layout:
    """The rows of one partition: `micro_batches` are lists of row numbers, `windows` lists of micro-batch numbers."""

    batch_size: int
    K: int
    world: int
    micro_batches: list[list[int]]
    windows: list[list[int]]
    size: int  # R, the rows in all

    @property
    def name(self) -> str:
        """What sentences call it: B × K."""
        return f"{self.batch_size} × {self.K}"

    def rows_of(self, window: int) -> list[int]:
        """The numbers of the rows in a window."""
        return [row for micro in self.windows[window] for row in self.micro_batches[micro]]

    @cached_property
    def places(self) -> dict[str, Tensor]:
        """(R,) each: the number of the "window", the "rank"'s part of it, the "micro"-batch of a row; -1 for none."""
        places = {scope: [-1] * self.size for scope in ("window", "rank", "micro")}
        for number, window in enumerate(self.windows):
            for position, micro in enumerate(window):
                rank = number * self.world + position % self.world
                for row in self.micro_batches[micro]:
                    places["window"][row], places["rank"][row], places["micro"][row] = number, rank, micro
        return {scope: torch.tensor(numbers) for scope, numbers in places.items()}

    def total(self, per_row: Tensor, scope: str) -> Tensor:
        """(R,) -> (R,): for each row, the sum of `per_row` over the window, rank or micro-batch that it is in."""
        places = self.places[scope]
        sums = torch.zeros(int(places.max()) + 2, dtype=torch.float64)  # the last is of the rows that are in none
        sums = sums.index_add(0, places % len(sums), per_row.double())
        return torch.where(places >= 0, sums[places], 0.0)

    def micro_steps(self) -> "Layout":
        """The same rows, with a step after each micro-batch: of every rank, if there are several."""
        parts = [window[i : i + self.world] for window in self.windows for i in range(0, len(window), self.world)]
        return replace(self, windows=parts)

    def steps(self) -> Tensor:
        """k (R,): the micro-batches that the rank of a row really has in the row's window."""
        first = torch.zeros(self.size)
        first[[rows[0] for rows in self.micro_batches]] = 1
        return self.total(first, "rank")

    def measure(self, rows: list[dict[str, list[int]]]) -> dict[str, Tensor]:
        """What a loop may take for the number of tokens, (R,) each: that of one row, to be summed over a scope."""
        real = torch.tensor([len(row["labels"]) for row in rows], dtype=torch.float64)
        padded = torch.zeros_like(real)
        for micro in self.micro_batches:
            padded[micro] = real[micro].max()
        labels = [[label != IGNORE_INDEX for label in row["labels"]] for row in rows]
        return {
            "valid": torch.tensor([sum(row[1:]) for row in labels], dtype=torch.float64),
            "unshifted": torch.tensor([sum(row) for row in labels], dtype=torch.float64),
            "real": real,
            "targets": real - 1,
            "padded": padded,
            "padded_targets": padded - 1,
        }


def deal(size: int, batch_size: int, K: int, world: int) -> Layout:
    """`size` rows in order: micro-batches of `batch_size`, windows of K × world micro-batches; the last may be less.

    >>> [len(window) for window in deal(10, 1, 4, 1).windows]
    [4, 4, 2]
    """
    rows = list(range(size))
    micro_batches = [rows[i : i + batch_size] for i in range(0, size, batch_size)]
    micros = list(range(len(micro_batches)))
    windows = [micros[i : i + K * world] for i in range(0, len(micros), K * world)]
    return Layout(batch_size, K, world, micro_batches, windows, size)
