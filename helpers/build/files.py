"""Notebooks as files: what an editor or a broken transfer made of one is put right, or told in a sentence."""

import base64
import io
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).parents[2]
LARGEST = 400_000  # bytes of a stored notebook
SUMMARY = re.compile("<summary>.*?</summary>")


class BuildError(Exception):
    """What keeps a lesson from being built; the message names the lesson."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def read(path: Path, twins: Iterable[Path] = (), repairs: list[str] | None = None) -> NotebookNode:
    """The notebook at `path` in format 4.5, with an id of its own in each cell.

    Lost ids come back from `twins`, other editions of the same lesson. What had to be put right is added to
    `repairs`. Raises BuildError where a notebook cannot be told from the file.
    """
    name, repairs = name_of(path), [] if repairs is None else repairs
    data = parse(path)
    version = f"{data.get('nbformat')}.{data.get('nbformat_minor')}"
    if data.get("nbformat") != 4 or not isinstance(data.get("cells"), list):
        raise BuildError(f"{name} is not a notebook in format 4: open it in JupyterLab and save it, which writes one")
    if data.get("nbformat_minor") != 5:
        repairs.append(f"it is stored in format {version} instead of 4.5")
    data["nbformat_minor"] = 5
    if not isinstance(data.get("metadata"), dict):
        data["metadata"] = {}
    for number, cell in enumerate(data["cells"], 1):
        if not isinstance(cell, dict):
            raise BuildError(f"{name}, cell {number} is not a cell but {json.dumps(cell)[:40]}")
        if not isinstance(cell.get("cell_type"), str):
            raise BuildError(f"{name}, cell {number} is not as the notebook format wants it: it has no cell_type")
        complete(cell)
    repairs += give_ids(data["cells"], twins)
    validate(data, name)
    return nbformat.v4.to_notebook(data)


def parse(path: Path) -> dict:
    """What the JSON of a notebook holds; a byte order mark and any line ends are no matter."""
    name = name_of(path)
    try:
        content = path.read_bytes()
        if not content.strip():
            raise BuildError(f"{name} is empty")
        data = json.loads(content.decode("utf-8-sig"))
        json.dumps(data, ensure_ascii=False).encode()
    except OSError as error:
        reason = "it is a folder" if path.is_dir() else error.strerror
        raise BuildError(f"{name} cannot be read: {reason}") from None
    except UnicodeDecodeError as error:
        raise BuildError(f"{name} is not text in UTF-8: byte {error.start} is no part of a character") from None
    except UnicodeEncodeError:
        raise BuildError(f"{name} holds half a character (a lone surrogate), which UTF-8 cannot store") from None
    except json.JSONDecodeError as error:
        cut = "it breaks off" if error.pos >= len(error.doc.rstrip()) else error.msg
        cut = "it breaks off" if error.msg.startswith("Unterminated string") else cut
        raise BuildError(f"{name} is not a notebook: {cut} in line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError):
        raise BuildError(f"{name} is not a notebook: its JSON holds a number too long or is nested too deep") from None
    if not isinstance(data, dict):
        raise BuildError(f"{name} is not a notebook: its JSON is {type(data).__name__}, not an object")
    return data


def complete(cell: dict) -> None:
    """Give a cell the parts that some editors leave out, and take away those that belong to code alone."""
    cell.setdefault("metadata", {})
    if cell.get("cell_type") == "code":
        cell.setdefault("outputs", [])
        cell.setdefault("execution_count", None)
    else:
        cell.pop("outputs", None)
        cell.pop("execution_count", None)


def validate(data: dict, name: str) -> None:
    """Raise BuildError with the first place in the cells that the notebook format does not allow."""
    try:
        nbformat.validate({**data, "metadata": {}})
    except (TypeError, LookupError):  # nbformat stumbles over a type that is no string
        raise BuildError(f"{name} is not as the notebook format wants it: a cell or an output has no type") from None
    except nbformat.ValidationError as error:
        at = list(error.absolute_path)
        cell = f", cell {at[1] + 1}" if len(at) > 1 and at[0] == "cells" else ""
        part = "".join(f" {key}" for key in at[2:] if isinstance(key, str))
        raise BuildError(f"{name}{cell} is not as the notebook format wants it:{part} {error.message[:200]}") from None


def give_ids(cells: list[dict], twins: Iterable[Path]) -> Iterator[str]:
    """Give each cell without an id, or with one that stands twice, the one it has in a twin, or else a new one."""
    seen: set[str] = set()
    without = []
    for number, cell in enumerate(cells, 1):
        given = cell.get("id")
        if not isinstance(given, str) or not re.fullmatch(r"[\w-]{1,64}", given, re.ASCII):
            without.append((number, cell, "no id"))
        elif given in seen:
            without.append((number, cell, f"the id {given} of another cell"))
        else:
            seen.add(given)
    known = stored_ids(twins) if without else {}
    for number, cell, had in without:
        back = next((old for old in known.get(likeness(cell), []) if old not in seen), None)
        cell["id"] = back or nbformat.v4.new_raw_cell().id
        seen.add(cell["id"])
        yield f"cell {number} has {had}"


def stored_ids(twins: Iterable[Path]) -> dict[str, list[str]]:
    known: dict[str, list[str]] = {}
    for path in twins:
        try:
            cells = parse(path).get("cells", [])
        except BuildError:
            continue
        for cell in cells if isinstance(cells, list) else []:
            if isinstance(cell, dict) and isinstance(cell.get("id"), str):
                known.setdefault(likeness(cell), []).append(cell["id"])
    return known


def likeness(cell: dict) -> str:
    """What a cell of a lesson has in common with itself in another edition, where some words differ."""
    metadata, source = cell.get("metadata"), cell.get("source", "")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    for written in ("setup", "links"):
        if isinstance(tags, list) and written in tags:
            return written
    text = "".join(map(str, source)) if isinstance(source, list) else str(source)
    return f"{cell.get('cell_type')} {SUMMARY.sub('', text, count=1).strip()}"


def stored(path: Path) -> NotebookNode | None:
    """The notebook that the build left at `path`; None where there is none that can be read."""
    try:
        return read(path)
    except BuildError:
        return None


def write(notebook: NotebookNode, path: Path, before: NotebookNode | None) -> None:
    """Store `notebook`, with the pictures of `before` wherever they show the same, so that diffs stay small."""
    if before:
        keep_pictures(before, notebook)
    text = nbformat.writes(notebook) + "\n"
    if len(text.encode()) > LARGEST:
        raise BuildError(f"{path.name} would take {len(text.encode()) // 1000} kB, more than {LARGEST // 1000}")
    write_text(text, path)


def write_text(text: str, path: Path) -> None:
    """Store `text` if it is not what is stored, and say so."""
    changed = not path.exists() or path.read_bytes() != text.encode()
    if changed:
        path.write_bytes(text.encode())
    print(f"{name_of(path)}: {'written' if changed else 'unchanged'}", flush=True)


def keep_pictures(old: NotebookNode, new: NotebookNode) -> None:
    """Another version of a compressor gives other bytes for the same pixels: then the stored bytes stay."""
    outputs = {cell.id: cell.get("outputs", []) for cell in old.cells}
    for cell in new.cells:
        for before, now in zip(outputs.get(cell.id, []), cell.get("outputs", []), strict=False):
            pictures = [output.get("data", {}).get("image/png") for output in (before, now)]
            if all(pictures) and pictures[0] != pictures[1] and show_the_same(*pictures):
                now.data["image/png"] = pictures[0]


def show_the_same(*pictures: str) -> bool:
    """Whether two PNG files, in base64, hold the same pixels."""
    from PIL import Image  # half a second that a corrected sentence need not wait for

    try:
        one, other = (Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB") for png in pictures)
    except (OSError, ValueError, SyntaxError):
        return False  # one of them is no picture
    return one.size == other.size and one.tobytes() == other.tobytes()
