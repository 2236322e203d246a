"""The Chinese glyphs that the figures use, cut from Noto Sans SC. To cut them again:

    python -m helpers.build.fonts NotoSansCJK-Regular.ttc

where the argument is any file of Noto Sans SC (Debian and Ubuntu: the package fonts-noto-cjk).
"""

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTCollection, TTFont

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "helpers" / "classroom" / "fonts" / "LossLabSansSC.otf"
FAMILY = "Loss Lab Sans SC"


def sources() -> Iterator[str]:
    """All code whose words may end up in a figure: the explorers and the code cells of the lessons."""
    for path in sorted((ROOT / "helpers" / "lessons").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "from helpers.classroom.drawing" in source:
            yield source
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                yield "".join(cell["source"])


def said(source: str) -> Iterator[str]:
    """Every string that `source` hands to `say`."""
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "say":
            for node in ast.walk(call):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def glyphs_in_use() -> str:
    """Every character beyond ASCII that is said in a figure or stands in the corpus, sorted."""
    used = set((ROOT / "helpers" / "corpus.txt").read_text(encoding="utf-8"))
    for source in sources():
        used.update("".join(said(source)))
    return "".join(sorted(character for character in used if ord(character) > 127))


def open_source(path: str) -> TTFont:
    """The simplified Chinese face in `path`, a single font or a collection."""
    if not path.endswith((".ttc", ".otc")):
        return TTFont(path)
    for font in TTCollection(path).fonts:
        if font["name"].getDebugName(1) in ("Noto Sans CJK SC", "Noto Sans SC"):
            return font
    raise SystemExit(f"{path} holds no face named Noto Sans CJK SC or Noto Sans SC")


def main(path: str) -> None:
    options = subset.Options(layout_features=[], hinting=False, name_IDs=[0, 13, 14], notdef_outline=True)
    options.drop_tables += ["vhea", "vmtx", "VORG", "BASE"]
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=glyphs_in_use())
    font = open_source(path)
    font.recalcTimestamp = False
    subsetter.subset(font)
    for identifier, text in {1: FAMILY, 2: "Regular", 4: FAMILY, 6: FAMILY.replace(" ", "")}.items():
        font["name"].setName(text, identifier, 3, 1, 0x409)
    top = font["CFF "].cff
    top.fontNames = [FAMILY.replace(" ", "")]
    font.save(TARGET)
    print(f"{TARGET.relative_to(ROOT)}: {len(font.getBestCmap())} glyphs, {TARGET.stat().st_size // 1000} kB")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
