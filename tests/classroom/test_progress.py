"""The progress bar: one line that stays, a widget that fills, and a lesson that nbval can replay."""

import json

import nbformat
from nbclient import NotebookClient

from helpers.build.editions import METADATA, ROOT
from helpers.classroom import progress as module
from helpers.classroom.bilingual import set_language
from helpers.classroom.progress import Progress

VIEW = "application/vnd.jupyter.widget-view+json"


def test_it_is_displayed_once_and_fills(monkeypatch):
    set_language("en")
    shown = []
    monkeypatch.setattr(module, "display", shown.append)
    progress = Progress("epoch")
    assert not shown
    assert progress._bar.value == 0
    values = []
    progress._bar.observe(lambda change: values.append(change.new), "value")
    for step in range(1, 201):
        progress(step, 200)
    assert shown == [progress]
    assert progress._bar.max == 200
    assert values == list(range(4, 201, 4))  # fifty messages to the browser
    bundle = progress._repr_mimebundle_()
    assert bundle["text/plain"] == repr(progress) == "epoch: 200 steps"
    assert bundle[VIEW] == progress._widget._repr_mimebundle_()[VIEW]  # ipywidgets' own words


def test_fewer_steps_than_messages(monkeypatch):
    monkeypatch.setattr(module, "display", lambda _: None)
    progress = Progress("epoch")
    for step in (1, 2, 3):
        progress(step, 3)
        assert progress._bar.value == step


def test_a_kernel_displays_the_same_line_however_long_it_runs():
    """Neither an output that is updated, nor one cleared, nor a stream: what is stored is what is replayed."""
    code = (
        "import sys\nsys.path.insert(0, '.')\nfrom helpers.classroom.progress import Progress\np = Progress('epoch')\n"
    )
    code += "for step in range(1, 101):\n    p(step, 100)"
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)], metadata=METADATA)
    NotebookClient(book, timeout=120, resources={"metadata": {"path": str(ROOT)}}).execute()
    (output,) = book.cells[0].outputs
    assert output.output_type == "display_data"
    assert "transient" not in json.dumps(output)
    assert output.data["text/plain"] == "epoch: 100 步 · steps"
