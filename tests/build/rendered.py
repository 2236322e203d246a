"""Prose as a reader sees it: rendered as CommonMark, with the formulas taken out first as JupyterLab does."""

import re
from html.parser import HTMLParser

from markdown_it import MarkdownIt

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
CODE_OR_FORMULA = re.compile(
    r"(^ *```.*?^ *```|(?<!`)(`+)(?!`).*?(?<!`)\2(?!`))|\$\$.+?\$\$|\$(?=\S)[^$\n]*?(?<=\S)\$", re.M | re.S
)
TAGS = "a blockquote br code details em h1 h2 h3 h4 hr img li ol p pre s strong summary table tbody td th thead tr ul"
WORD = "[A-Za-z0-9]"  # an underscore between two of these is part of a name
STRAY = re.compile(
    rf"(?<!{WORD})_|_(?!{WORD})|"
    + r"\*|\$|`|~~|</?[a-zA-Z!]|\]\(|!\[|\[[^\]]*\]\[|&[a-z]+;|\\[()\[\]]|^\s*(?:#{1,6} |>|\|)",
    re.M,
)


class Reader(HTMLParser):
    """Collects the text of a page that is not code, and the tags that are open, or that no page should have."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.open, self.wrong = "", [], []

    def handle_starttag(self, tag, attributes):
        if tag not in TAGS.split():
            self.wrong.append(f"<{tag}>")
        if tag not in ("br", "hr", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        if tag not in TAGS.split():
            self.wrong.append(f"<{tag}>")

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}>")

    def handle_comment(self, data):
        self.wrong.append("<!--")

    def handle_data(self, data):
        if not {"code", "pre"} & set(self.open):
            self.text += data


def without_formulas(source: str) -> str:
    """`source` with each formula replaced as in JupyterLab, by a word that begins and ends with punctuation."""
    return CODE_OR_FORMULA.sub(lambda found: found[0] if found[1] else "@@0@@", source)


def stray_marks(source: str) -> list[str]:
    """What a reader of the rendered `source` sees of its markup: asterisks, dollar signs, tags and the like."""
    reader = Reader()
    reader.feed(MARKDOWN.render(without_formulas(source)))
    reader.close()
    seen = [reader.text[max(found.start() - 15, 0) : found.end() + 15] for found in STRAY.finditer(reader.text)]
    return seen + reader.wrong + [f"<{tag}> without its end" for tag in reader.open]
