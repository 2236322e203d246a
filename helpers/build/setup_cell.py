"""The setup cell, the first code cell of every lesson: it finds the helpers, or fetches them, and sets the language.

It takes helpers at least as new as the lesson, from a folder above the notebook or from a folder loss-lab* beside it.
Where there are none, as in Colab, it clones the repository under a temporary name and renames it when it is whole:
an interrupted clone never passes for the helpers, and a folder that was there before is never changed or deleted. Of
two notebooks that fetch at once, the later takes what the earlier has put there.
Old helpers above the notebook are a learner's own clone, so the cell asks for a `git pull` there.
"""

import re
from pathlib import Path

SETUP = r"""LANGUAGE = "both"  # "zh" · "en" · "both"

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

EDITION = 0  # of the helpers that this lesson needs
REPOSITORY = "https://github.com/OWNER/NAME"
HERE, LAST = Path.cwd(), "tokenizer.py"


def edition(folder):  # of the helpers in it, -1 if not all of them are there
    first, last = (folder / "helpers" / name for name in ("__init__.py", LAST))
    whole = os.path.isfile(first) and os.path.isfile(last)
    text = first.read_bytes() if whole else b"EDITION = -1"
    return int((re.findall(rb"(?m)^EDITION = (-?\d+)", text) or [0])[0])


def fetch():  # for a notebook that stands alone, as in Colab; git may ask nothing
    foreign = re.compile("GIT_(DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|COMMON_DIR)$")
    env = {name: v for name, v in os.environ.items() if not foreign.match(name)}
    env |= {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "LC_ALL": "C"}
    env["GIT_SSH_COMMAND"] = "ssh -o BatchMode=yes"
    options = {"stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "timeout": 120}
    git = ["git", "-c", "credential.helper=", "-c", "core.hooksPath=/dev/null"]
    git += ["clone", "-q", "--depth=1", REPOSITORY]
    try:
        with tempfile.TemporaryDirectory(prefix=".loss-lab-", dir=HERE) as part:
            new = Path(part, "new")
            git.append(str(new))
            subprocess.check_output(git, env=env, start_new_session=True, **options)
            if edition(new) < EDITION:
                raise OSError(f"{REPOSITORY} is older than this lesson")
            names = [HERE / f"loss-lab{number}" for number in ("", *range(2, 100))]
            name = next(name for name in names if not os.path.lexists(name))
            try:
                return new.rename(name)
            except OSError:  # another notebook has just put its own there
                if edition(name) < EDITION:
                    raise
                return name
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "output", None) or str(error).encode()
        raise RuntimeError(
            f"{HERE} 和上级文件夹里没有 helpers，也没下载成：检查网络、git、写入权限，"
            f"再运行一次；或下载 {REPOSITORY} 的 ZIP，在这里解压成 loss-lab · "
            f"No helpers in {HERE} or above, nor could they be fetched: check network, "
            "git and write access and run again, or download the repository's ZIP and "
            f"unpack it here as loss-lab\n{said.decode('utf-8', 'replace').strip()}"
        ) from None


if "helpers" not in sys.modules:
    above, beside = [HERE, *HERE.parents], sorted(HERE.glob("loss-lab*"))
    new = [folder for folder in above + beside if edition(folder) >= EDITION]
    old = [folder for folder in above if edition(folder) >= 0]
    sys.path.insert(0, str((new or old or [fetch()])[0]))

import helpers

if getattr(helpers, "EDITION", 0) < EDITION:
    found = getattr(helpers, "__file__", None) or next(iter(helpers.__path__))
    raise RuntimeError(
        f"{found} 比这一课旧，或者是另一个 helpers：更新它（git pull）或给它改名，"
        f"再重启内核运行 · {found} is older than this lesson, or is another helpers: "
        "update it (git pull) or rename it, then restart the kernel and run again"
    )
if helpers.EDITION > EDITION:
    print("这一课比 helpers 旧：重新下载它 · Older than its helpers: download it again")

from helpers.classroom.bilingual import set_language

set_language(LANGUAGE)"""


def setup_cell(language: str, repository: str, root: Path) -> str:
    """The cell in `language`, for the `repository` OWNER/NAME and the edition of the helpers that lie in `root`."""
    text = (root / "helpers" / "__init__.py").read_text(encoding="utf-8")
    number = re.search(r"^EDITION = (\d+)", text, re.M)[1]
    cell = SETUP.replace('"both"', f'"{language}"', 1).replace("OWNER/NAME", repository)
    return cell.replace("EDITION = 0", f"EDITION = {number}", 1)
