"""The ballot explorer over its whole range, against counts and losses taken cell by cell."""

import itertools
import math
import re
from functools import cache

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex, to_rgb

from helpers.classroom.bilingual import set_language
from helpers.classroom.drawing import BLUE, GREY, PALE, RED
from helpers.classroom.explorer import Explorer
from helpers.lessons.one_loss.explore import LONGEST, PADDING, SENTENCES, ballot
from helpers.tiny_lm import END, TinyLM, encode, vocabulary
from tests.classroom.explorers import assert_labels_at_the_ends_of_bars, moved


@cache
def model() -> TinyLM:
    return TinyLM(len(vocabulary()), seed=1).requires_grad_(False)


@cache
def loss_of_next(beginning: str, character: str) -> float:
    """What `character` costs after `beginning`: the model runs on that alone."""
    z = model()(encode(beginning).unsqueeze(0))[0, -1].tolist()
    return math.log(sum(map(math.exp, z))) - z[encode(character)]


@pytest.fixture(scope="module")
def explorer() -> Explorer:
    set_language("en")
    return ballot(model())


def expected(longest: int, padding: int, prompt: int) -> tuple[list[str], list[float]]:
    """What each cell is, one letter a cell, and the losses of the valid ones."""
    rows, valid_losses = [], []
    for sentence in SENTENCES:
        tokens = (END + sentence + END)[:longest]
        kinds = ""
        for t in range(longest + padding):
            if t >= len(tokens):
                kinds += "·"
            elif t == len(tokens) - 1:
                kinds += "–"
            elif t + 1 < prompt:
                kinds += "○"
            else:
                kinds += "●"
                valid_losses.append(loss_of_next(tokens[: t + 1], tokens[t + 1]))
        rows.append(kinds)
    return rows, valid_losses


SETTINGS = [
    (13, 0, 1), (13, 8, 1), (13, 0, 2), (13, 3, 4), (2, 0, 1), (2, 8, 13), (4, 0, 4), (4, 4, 3),
    (7, 1, 6), (8, 0, 8), (13, 0, 12), (13, 8, 13), (12, 5, 5),
]  # fmt: skip


@pytest.mark.parametrize(("longest", "padding", "prompt"), SETTINGS)
def test_text_and_bars(explorer, longest, padding, prompt):
    rows, valid_losses = expected(longest, padding, prompt)
    *shown, counts, means = moved(explorer, longest=longest, padding=padding, prompt=prompt).splitlines()
    assert shown == rows
    cells = 4 * (longest + padding)
    letters = "".join(rows)
    words = [("valid", "●"), ("prompt", "○"), ("no target", "–"), ("padding", "·")]
    text = ", ".join(f"{word} {letters.count(letter)}" for word, letter in words)
    assert counts == f"B × T = 4 × {longest + padding} = {cells}: {text}"
    total = math.fsum(valid_losses)
    valid = total / len(valid_losses) if valid_losses else math.nan
    numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?|nan", means)]
    wanted = [total, len(valid_losses), valid, total, cells, total / cells]
    assert numbers == pytest.approx(wanted, abs=5.1e-5, nan_ok=True)
    lengths = [explorer[f"mean{row}"].get_width() for row in (0, 1)]
    assert lengths == pytest.approx([0.0 if math.isnan(valid) else valid, total / cells])
    assert [explorer[f"mean{row}-number"].get_text() for row in (0, 1)] == [
        "nan" if math.isnan(valid) else f"{valid:.4f}",
        f"{total / cells:.4f}",
    ]
    assert_labels_at_the_ends_of_bars(explorer, "mean", 2)


@pytest.mark.parametrize(("longest", "padding", "prompt"), SETTINGS)
def test_colours(explorer, longest, padding, prompt):
    """What shows in the lower half of each row: the layer that moves over the one that does not."""
    moved(explorer, longest=longest, padding=padding, prompt=prompt)
    below, above = (np.asarray(explorer[name].get_array(), float) for name in ("cells", "cover"))
    seen = np.where(above[..., 3:] > 0, above, below)[1::2, :, :3]
    colours = {"●": BLUE, "○": PALE, "–": "white", "·": GREY}
    rows, _ = expected(longest, padding, prompt)
    for row, t in itertools.product(range(4), range(LONGEST + PADDING)):
        colour = colours[rows[row][t]] if t < len(rows[row]) else "white"
        assert seen[row, t] == pytest.approx(to_rgb(colour), abs=1e-6), (row, t)


@pytest.mark.parametrize(("longest", "padding"), [(13, 8), (2, 0), (7, 3)])
def test_each_cell_has_an_outline(explorer, longest, padding):
    """Around the lower half of each row, column by column; no stroke anywhere else."""
    moved(explorer, longest=longest, padding=padding, prompt=1)
    starts, ends, gaps = (explorer["outlines"].get_xydata().reshape(-1, 3, 2)[:, at] for at in range(3))
    assert np.isnan(gaps).all()
    strokes = {(*map(float, start), *map(float, end)) for start, end in zip(starts, ends, strict=True)}
    T = longest + padding
    upright = {(t, row + 0.5, t, row + 1) for row in range(4) for t in range(T + 1)}
    level = {(0, height, T, height) for row in range(4) for height in (row + 0.5, row + 1)}
    assert strokes == upright | level


def test_each_token_stands_over_its_cell(explorer):
    grid, means = explorer["cells"].axes, explorer["mean0"].axes
    labels = {text.get_position(): text.get_text() for text in grid.texts if text.get_position()[0] >= 0}
    for row, sentence in enumerate(SENTENCES):
        tokens = "↵" + sentence + "↵"
        for t, character in enumerate(tokens):
            (label,) = [text for (x, y), text in labels.items() if x == t + 0.5 and row < y < row + 0.5]
            assert label == character
        losses = [x for (x, y) in labels if row + 0.5 < y < row + 1]
        assert losses == [t + 0.5 for t in range(len(tokens) - 1)]
    beside = sorted((text.get_position()[1], text.get_text()) for text in grid.texts if text.get_position()[0] < 0)
    assert [(0 < y < 0.5, text) for y, text in beside] == [(True, "reads"), (False, "loss")]
    assert 0.5 < beside[1][0] < 1
    top, bottom = sorted(means.get_ylim())
    assert all(top < bar.get_y() and bar.get_y() + bar.get_height() < bottom for bar in means.patches)


def test_what_is_cut_off_is_hidden(explorer):
    moved(explorer, longest=5, padding=0, prompt=1)
    above = np.asarray(explorer["cover"].get_array())[0::2, :, 3]
    for row, sentence in enumerate(SENTENCES):
        n = min(len(sentence) + 2, 5)
        assert not above[row, :n].any()
        assert above[row, n:].all()


def test_twice_the_padding_halves_one_mean_and_not_the_other(explorer):
    valid, everything = explorer["mean0"], explorer["mean1"]
    moved(explorer, longest=8, padding=0, prompt=1)
    before = valid.get_width(), everything.get_width()
    moved(explorer, longest=8, padding=8, prompt=1)  # twice the columns
    assert (valid.get_width(), everything.get_width()) == pytest.approx((before[0], before[1] / 2))


def test_the_mean_that_counts_is_set_apart_from_the_one_that_does_not(explorer):
    assert [to_hex(explorer[f"mean{row}"].get_facecolor()) for row in (0, 1)] == [BLUE, RED]


@pytest.mark.parametrize(("code", "word"), [("zh", "，填充"), ("en", ", padding"), ("both", ", 填充 padding")])
def test_the_text_in_each_language(code, word):
    set_language(code)
    text = ballot(model()).text
    assert f"{word} 20" in text
    assert ("= 52：计入损失" in text) == (code == "zh")


def test_the_losses_in_the_cells_are_those_of_the_model(explorer):
    labels = [text for text in explorer["cells"].axes.texts if re.fullmatch(r"\d+\.\d", text.get_text())]
    _, valid_losses = expected(LONGEST, 0, 0)
    assert [label.get_text() for label in labels] == [f"{loss:.1f}" for loss in valid_losses]


def test_the_model_is_left_as_it_was():
    fresh = TinyLM(len(vocabulary()))
    ballot(fresh)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in fresh.parameters())
    assert torch.is_grad_enabled()
