"""What runs the lessons, and the digest that tells whether a lesson has to be run again."""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from helpers.build.editions import repository
from helpers.build.files import ROOT, BuildError, name_of
from helpers.build.review import VIEW, output_problems

LOADED = """import helpers, os, sys
for name, module in sorted(sys.modules.items()):
    if name.partition(".")[0] == "helpers" and getattr(module, "__file__", None):
        print(os.path.relpath(module.__file__, os.path.dirname(helpers.__file__)).replace(os.sep, "/"))"""


def execute(notebook: NotebookNode, path: Path) -> None:
    """Run all cells of `notebook` in the folder of `path`, and keep of the outputs what belongs in a repository."""
    from nbclient import NotebookClient  # a third of a second that a corrected sentence need not wait for
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    started = time.perf_counter()
    running = [0]  # the cells so far, by index
    last = nbformat.v4.new_code_cell(LOADED)
    client = NotebookClient(
        nbformat.v4.new_notebook(cells=[*notebook.cells, last], metadata=dict(notebook.metadata)),
        timeout=300,
        resources={"metadata": {"path": str(path.parent)}},
        store_widget_state=False,
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],  # kernels of ipykernel 7 warn that they talk over TCP
        on_cell_execute=lambda cell, cell_index: running.append(cell_index),
    )
    try:
        client.execute(env={"OMP_NUM_THREADS": "1", **os.environ})  # two run at once: a second thread each would wait
    except CellExecutionError as error:
        raise failure(notebook, path, running[-1], f"{error.ename}: {error.evalue}") from None
    except (DeadKernelError, TimeoutError) as error:
        raise failure(notebook, path, running[-1], str(error)) from None
    except (OSError, RuntimeError, LookupError) as error:  # LookupError: no such kernel
        raise BuildError(f"{name_of(path)}: Jupyter cannot start its kernel: {error}") from None
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(VIEW, None)
    if found := list(output_problems(notebook)):
        raise BuildError(f"{name_of(path)}, {found[0]}")
    files = used_files(last.outputs[0].text.split())
    notebook.metadata["loss_lab"] = {"digest": digest(notebook, files), "helpers": files}
    print(f"{name_of(path)}: executed in {time.perf_counter() - started:.1f} s", flush=True)


def failure(notebook: NotebookNode, path: Path, at: int, reason: str) -> BuildError:
    source = notebook.cells[at].source if at < len(notebook.cells) else LOADED
    return BuildError(f"{name_of(path)}, cell {at + 1} fails: {reason}\n\n{source}")


def used_files(modules: list[str]) -> list[str]:
    """The files of helpers/ behind `modules`, their paths in helpers/, and the data that lie beside the packages."""
    package = ROOT / "helpers"
    found = set(modules)
    for module in modules:
        if module.endswith("__init__.py"):
            found |= {path.relative_to(package).as_posix() for path in data_in(package / Path(module).parent)}
    return sorted(found)


def data_in(folder: Path) -> Iterator[Path]:
    """The data in the folder of a package, and in its folders that are no packages; no code, and nothing for pages."""
    for path in folder.iterdir():
        if path.name.startswith((".", "__")):
            continue
        if path.is_dir() and not (path / "__init__.py").exists():
            yield from data_in(path)
        elif path.is_file() and path.suffix not in (".py", ".js", ".css"):
            yield path


def cover_outputs(notebook: NotebookNode) -> None:
    """Put an empty output before those that open folded: JupyterLab shows the first line of the first output."""
    empty = nbformat.v4.new_output("display_data")
    for cell in code_cells(notebook):
        cell.outputs = [output for output in cell.outputs if output != empty]
        if cell.outputs and cell.metadata.get("collapsed"):
            cell.outputs.insert(0, empty)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def digest(notebook: NotebookNode, files: list[str]) -> str:
    """Sixteen characters that change with any code cell, the language line and any of the `files` of helpers/."""
    hashed = hashlib.sha256()
    for cell in code_cells(notebook):
        hashed.update(cell.source.rstrip().replace(repository(), "OWNER/NAME").encode() + b"\0")
    for name in files:
        path = ROOT / "helpers" / name
        content = path.read_bytes().replace(b"\r\n", b"\n") if path.is_file() else b"\0"
        hashed.update(name.encode() + b"\0" + content + b"\0")
    return hashed.hexdigest()[:16]


def up_to_date(notebook: NotebookNode, stored: NotebookNode) -> bool:
    """Whether the outputs of `stored` are those of the code in `notebook` and of helpers/ as they are now."""
    noted = stored.metadata.get("loss_lab")
    if not isinstance(noted, dict) or not isinstance(files := noted.get("helpers"), list) or not files:
        return False
    if not all(isinstance(name, str) and "\0" not in name for name in files):
        return False
    return noted.get("digest") == digest(notebook, files) == digest(stored, files)


def carry_over(notebook: NotebookNode, stored: NotebookNode | None) -> bool:
    """Give `notebook` the outputs of `stored` and say True, or say False where the lesson has to be run."""
    if stored is None or list(output_problems(stored)) or not up_to_date(notebook, stored):
        return False
    for cell, before in zip(code_cells(notebook), code_cells(stored), strict=True):
        cell.outputs, cell.execution_count = before.outputs, before.execution_count
    notebook.metadata["loss_lab"] = stored.metadata["loss_lab"]
    return True
