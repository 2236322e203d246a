import os

import pytest

from helpers.classroom.bilingual import set_language


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Run on two processes unless -n says otherwise, and never cut a file or a lesson in two."""
    if "PYTEST_XDIST_WORKER" in os.environ or not hasattr(config.option, "numprocesses"):
        return
    if config.option.numprocesses is None:
        config.option.numprocesses = 2
    if config.option.dist == "no":
        config.option.dist = "loadscope"


@pytest.fixture(autouse=True)
def both_languages():
    """Every test starts, and leaves, in the bilingual edition."""
    set_language("both")
    yield
    set_language("both")
