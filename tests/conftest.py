import os

import pytest

from helpers.bilingual import set_language


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Run on two processes, a whole file or lesson on each, unless -n says otherwise."""
    if "PYTEST_XDIST_WORKER" not in os.environ and getattr(config.option, "numprocesses", 0) is None:
        config.option.numprocesses = 2
        config.option.dist = "loadscope"


@pytest.fixture(autouse=True)
def both_languages():
    """Every test starts, and leaves, in the bilingual edition."""
    set_language("both")
    yield
    set_language("both")
