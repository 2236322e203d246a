"""A forked kernel is like one that was started, and shares nothing with another."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from jupyter_client.manager import KernelManager, start_new_kernel
from jupyter_client.provisioning import KernelProvisionerFactory

from tests.kernels import POSSIBLE, Forked, forked

# PYDEVD_USE_FRAME_EVAL is set by the import of the debugger, which a forked kernel does not repeat.
pytestmark = pytest.mark.skipif(not POSSIBLE, reason="no kernel is forked here")
ABOUT = """
import json, os, sys
print(json.dumps({
    "path": sys.path, "folder": os.getcwd(), "name": __name__, "argv": sys.argv[0],
    "environment": {name: os.environ[name] for name in set(os.environ) - {"JPY_PARENT_PID", "PYDEVD_USE_FRAME_EVAL"}},
    "ours": sorted(name for name in sys.modules if name.startswith("helpers")),
    "interrupted": __import__("signal").getsignal(2).__name__, "leads": os.getsid(0) == os.getpid(),
}))
"""


@contextmanager
def kernel(folder, **environment: str) -> Iterator[tuple[KernelManager, Callable[[str], str]]]:
    """A kernel, and a function that executes code in it and returns what this prints, or the name of its error."""
    manager, client = start_new_kernel(cwd=str(folder), env=os.environ | environment)

    def execute(code: str) -> str:
        printed = []
        reply = client.execute_interactive(code, output_hook=lambda m: printed.append(m["content"].get("text", "")))
        return reply["content"].get("ename") or "".join(printed)

    try:
        yield manager, execute
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture(autouse=True)
def in_forked_kernels():
    with forked():
        yield


def test_it_is_like_one_that_was_started(tmp_path, monkeypatch):
    with kernel(tmp_path, LOSS="lab") as (manager, execute):
        assert isinstance(manager.provisioner, Forked)
        found = json.loads(execute(ABOUT))
    monkeypatch.setattr(KernelProvisionerFactory.instance(), "default_provisioner_name", "local-provisioner")
    with kernel(tmp_path, LOSS="lab") as (manager, execute):
        assert not isinstance(manager.provisioner, Forked)
        assert found == json.loads(execute(ABOUT))
    assert found["environment"]["LOSS"] == "lab" and found["folder"] == str(tmp_path) and found["ours"] == []


def test_kernels_share_nothing(tmp_path):
    with kernel(tmp_path) as (_, one), kernel(tmp_path) as (_, other):
        assert one("import torch; torch.set_default_dtype(torch.float64); torch.one = 1; x = 1") == ""
        assert other("import torch; print(torch.get_default_dtype(), hasattr(torch, 'one'))") == "torch.float32 False\n"
        assert other("x") == "NameError"
        assert one("import os; os.environ['LOSS'] = 'lab'; os.chdir('/')") == ""
        assert other("import os; print(os.environ.get('LOSS'), os.getcwd())") == f"None {tmp_path}\n"


def test_it_computes_on_as_many_threads_as_it_is_told(tmp_path):
    with kernel(tmp_path) as (_, execute):
        code = "import torch; torch.set_num_threads(2); x = torch.ones(999, 999); print(int((x @ x)[0, 0]))"
        assert execute(code) == "999\n"


def test_it_can_be_interrupted_ended_and_killed(tmp_path):
    with kernel(tmp_path) as (manager, execute):
        manager.interrupt_kernel()
        assert execute("print(1)") in ("1\n", "KeyboardInterrupt")
        assert execute("import os, signal; os.kill(os.getpid(), signal.SIGINT)\nimport time; time.sleep(9)") == (
            "KeyboardInterrupt"
        )
        assert manager.is_alive()
        manager.shutdown_kernel()
        assert not manager.is_alive()
    with kernel(tmp_path) as (manager, _):
        manager.shutdown_kernel(now=True)
        assert not manager.is_alive()
