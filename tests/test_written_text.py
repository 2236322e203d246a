"""What the model of lesson 04 writes: no draw falls close to where one character ends and the next begins.

Other machines and other versions of PyTorch compute the probabilities to about 1e-14; nbval compares the letters.
"""

import nbformat
import pytest
import torch

from helpers.build.editions import NOTEBOOKS

CLOSEST = 1e-6


@pytest.fixture(scope="module")
def lesson() -> dict:
    """The names of lesson 04 after the imports, the training of `writer` and the definition of `write`."""
    book = nbformat.read(NOTEBOOKS / "04_one_loss.ipynb", 4)
    cells = [cell.source for cell in book.cells if cell.cell_type == "code"]
    wanted = [cells[1], *(source for source in cells if source.startswith(("writer =", "def write(")))]
    assert len(wanted) == 3
    names = {}
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("helpers.tiny_lm.MEASURE_EVERY", 10**6)  # a third of the time, and nothing that is written
        for source in wanted:
            exec(source, names)
    torch.set_num_threads(threads)
    return names


WRITTEN = [*((start, tau) for start in ("今天", "The ") for tau in (0.3, 1.0, 2.0)), ("今", 0.3), ("T", 0.3)]


@pytest.mark.parametrize(("start", "tau"), WRITTEN)
def test_no_draw_is_on_an_edge(lesson, start, tau, monkeypatch):
    margins, draw = [], torch.multinomial

    def watched(probs, count, *, replacement, generator):
        state = generator.get_state()
        point = torch.rand(count, dtype=torch.float64, generator=generator)[0]  # what multinomial is about to read
        generator.set_state(state)
        drawn = draw(probs, count, replacement=replacement, generator=generator)
        ends = probs.cumsum(0)
        assert (ends < point).sum() == drawn[0]
        margins.append((ends - point).abs().min().item())
        return drawn

    monkeypatch.setattr(torch, "multinomial", watched)
    assert lesson["write"](start, tau).startswith(start)
    assert len(margins) >= 5
    assert min(margins) > CLOSEST
