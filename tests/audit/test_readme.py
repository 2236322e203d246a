"""The lines in README.md for an engineer who wants only the audit: they run, and print what stands below them."""

import io
import re
import sys

import pytest

from helpers.audit import audit
from helpers.build.editions import ROOT
from tests.audit.loops import epoch, mean, other_log, summed


def test_the_lines_in_the_readme(capsys):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code, printed = re.search(
        r"<!-- audit -->\n```python\n(.*?)```\n<!-- /audit -->\n\n```text\n(.*?)```", text, re.DOTALL
    ).groups()
    exec(code, {})
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize("encoding", ["gbk", "cp1252", "cp437", "ascii"])
def test_a_verdict_can_be_printed_where_there_are_no_such_marks(encoding, monkeypatch):
    marks = []
    for loop in (epoch(summed), epoch(lambda model, batch, window, K: mean(model, batch) / K), other_log):
        console = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, "stdout", console)
        print(audit(loop, partitions=[(3, 2)], language="both"))
        console.seek(0)
        marks.append(console.read()[0])
    assert len(set(marks[:2])) == 2 and "?" not in marks and marks[1] == marks[2]
