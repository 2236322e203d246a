"""The lines in README.md for an engineer who wants only the audit: they run, and print what stands below them."""

import re

from helpers.build.editions import ROOT


def test_the_lines_in_the_readme(capsys):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code, printed = re.search(
        r"<!-- audit -->\n```python\n(.*?)```\n<!-- /audit -->\n\n```text\n(.*?)```", text, re.DOTALL
    ).groups()
    exec(code, {})
    assert capsys.readouterr().out.startswith(printed)
