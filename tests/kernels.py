"""Kernels for nbval, forked from a process that has imported what takes a kernel a second and a half to import.

A lesson imports as ever, and finds PyTorch loaded; it has a process, a folder and an environment of its own, and of
`helpers` nothing is loaded. Where nothing can be forked, and on macOS, whose libraries do not bear it, kernels are
started as everywhere else.
"""

import multiprocessing
import os
import runpy
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import EntryPoint
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

ROOT = Path(__file__).parents[1]
LOADED = ["ipykernel.debugger", "ipykernel.kernelapp", "ipywidgets", "matplotlib.pyplot", "tests.kernels"]
LOADED += ["torch", "torch._dynamo"]  # the second is what the first optimizer of a lesson imports, for a second
POSSIBLE = sys.platform == "linux"


class Forked(LocalProvisioner):
    """Starts a kernel by a fork, and watches over it as over any other."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> dict:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(LOADED)
        folder = str(kwargs.get("cwd") or Path.cwd())
        process = context.Process(target=kernel, args=(cmd, kwargs["env"], folder), daemon=True)
        process.start()
        self.process, self.pid, self.pgid, self.cwd = Handle(process), process.pid, None, folder
        if not isinstance(self.parent, AsyncKernelManager):
            self.parent.client_class = f"{__name__}.Client"
        return self.connection_info


class Client(BlockingKernelClient):
    """Takes a kernel for ready as soon as it has answered and is heard; others wait on, for 0.2 s of silence."""

    def wait_for_ready(self, timeout: float | None = None) -> None:
        for _ in range(50):
            self.kernel_info()
            with suppress(Empty):
                self.get_shell_msg(timeout=10)  # before the next is sent: nothing is left to answer afterwards
                self.get_iopub_msg(timeout=0.02)
                return
        super().wait_for_ready(timeout)


class Handle:
    """A process of `multiprocessing` with the methods of one of `subprocess`."""

    stdin = stdout = stderr = None

    def __init__(self, process: BaseProcess) -> None:
        self.process, self.terminate = process, process.terminate

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self) -> int | None:
        self.process.join()
        return self.process.exitcode

    def kill(self) -> None:
        """And see it dead: who asks later asks every 0.1 s."""
        self.process.kill()
        self.process.join()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.process.pid, number)


def kernel(command: list[str], environment: dict[str, str], folder: str) -> None:
    """In the new process: `python -m ipykernel_launcher ...`, with the path of imports that this would have."""
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    threading.Thread(target=end_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # as nbval has it
    sys.path[:] = [folder, *(entry for entry in sys.path if Path(entry) not in (ROOT, Path("")))]
    sys.argv = command[command.index("ipykernel_launcher") :]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def end_with(parent: BaseProcess) -> None:
    """A process that was killed ends nothing itself."""
    parent.join()
    os._exit(1)


@contextmanager
def forked() -> Iterator[None]:
    """Kernels that are started meanwhile are forked, if they can be."""
    factory = KernelProvisionerFactory.instance()
    factory.provisioners["forked"] = EntryPoint("forked", f"{__name__}:Forked", factory.GROUP_NAME)
    before = factory.default_provisioner_name
    factory.default_provisioner_name = "forked" if POSSIBLE else before
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # the debugger of a kernel warns when it is imported
    try:
        yield
    finally:
        factory.default_provisioner_name = before
