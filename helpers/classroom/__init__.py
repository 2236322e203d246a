"""What any lesson needs, whatever it teaches: two languages, explorers, grading, progress. No mathematics."""

import logging
import os
import tempfile
from pathlib import Path


def _import_matplotlib() -> None:
    """Import matplotlib and its fonts without a word on stderr, even where neither it nor fontconfig can write."""
    log = logging.getLogger("matplotlib")
    level, cache = log.level, os.environ.get("XDG_CACHE_HOME")
    log.setLevel(logging.ERROR)
    try:
        import matplotlib

        own = matplotlib.get_cachedir()  # a temporary folder where no other can be written
        try:  # the same for fontconfig, which matplotlib asks for fonts
            fontconfig = Path(cache or "~/.cache").expanduser() / "fontconfig"
            fontconfig.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=fontconfig).close()
        except OSError:
            os.environ["XDG_CACHE_HOME"] = own
        import matplotlib.font_manager
    finally:
        log.setLevel(level)
        os.environ.pop("XDG_CACHE_HOME", None)
        if cache is not None:
            os.environ["XDG_CACHE_HOME"] = cache


_import_matplotlib()
