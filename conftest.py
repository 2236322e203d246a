import gc
import os
from collections.abc import Iterator
from contextlib import nullcontext

# Two processes and their kernels share a small machine: a second thread each waits more than it works. Before PyTorch
# is imported, and for every kernel; who sets it has it his way.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from nbval.plugin import IPyNbCell

from helpers.classroom.bilingual import set_language
from tests.kernels import ROOT, forked


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Run on two processes unless -n or a debugger says otherwise, and never cut a file or a lesson in two."""
    option = config.option
    if "PYTEST_XDIST_WORKER" in os.environ or not hasattr(option, "numprocesses"):
        return
    if option.numprocesses is None:
        option.numprocesses = 0 if option.usepdb or option.trace else 2
    option.distload = False  # -d, which is --dist load
    if option.dist not in ("each", "loadfile"):
        option.dist = "loadscope"


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session):
    """The kernels of this repository's lessons start in half a second instead of two."""
    with forked() if session.config.rootpath == ROOT else nullcontext():
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session):
    """After all that selects and orders tests: a lesson's cells stand together, in order, with all that come before."""
    session.items[:] = list(with_cells_before(session.items))
    present = {item.nodeid for item in session.items}
    if terminal := session.config.pluginmanager.get_plugin("terminalreporter"):
        deselected = terminal.stats.get("deselected", [])
        deselected[:] = [item for item in deselected if item.nodeid not in present]


def with_cells_before(items: list[pytest.Item]) -> Iterator[pytest.Item]:
    """`items`, with each lesson at the place of its first selected cell, up to its last selected one."""
    selected = {}
    for item in items:
        if isinstance(item, IPyNbCell):
            selected.setdefault(item.path, []).append(item)
    for item in items:
        if not isinstance(item, IPyNbCell):
            yield item
        elif cells := selected.pop(item.path, None):
            last = max(cell.cell_num for cell in cells)
            yield from (cell for cell in item.parent.collect() if cell.cell_num <= last)


@pytest.fixture(autouse=True, scope="module")
def little_to_look_through():
    """What is imported and collected stays; to look through it for garbage, again and again, takes 20 seconds."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def both_languages():
    """Every test starts, and leaves, in the bilingual edition."""
    set_language("both")
    yield
    set_language("both")
