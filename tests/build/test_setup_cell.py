"""The first code cell of every lesson, run by a Python of its own in the places where a notebook may stand.

The repository that it fetches is a small one, with the helpers of edition 2 that the cell looks for.
"""

import http.server
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import unicodedata
from pathlib import Path

import pytest

from helpers.build.editions import ROOT
from helpers.build.setup_cell import SETUP, setup_cell

WHERE = """
from helpers.classroom.bilingual import language
print(Path(helpers.__file__).parents[1], language())
"""
BILINGUAL = """
def set_language(code):
    global spoken
    spoken = code


def language():
    return spoken
"""
GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", "-c", "core.hooksPath="]


def cell(
    repository: str = "/nowhere", edition: int = 2, before: str = "", after: str = WHERE, timeout: int = 120
) -> str:
    """The setup cell of an English lesson that needs helpers of `edition`, between the code `before` and `after`."""
    code = setup_cell("en", "OWNER/NAME", ROOT).replace("https://github.com/OWNER/NAME", repository)
    code = re.sub(r"^EDITION = \d+", f"EDITION = {edition}", code, flags=re.M)
    assert '"timeout": 120' in code
    return before + "\n" + code.replace('"timeout": 120', f'"timeout": {timeout}') + "\n" + after


def run(folder: Path, *arguments, **options) -> subprocess.CompletedProcess:
    """Run the cell in `folder`; it must end by itself, with an error or with where the helpers are."""
    python = [sys.executable, "-X", "utf8", "-c", cell(*arguments, **options)]
    return subprocess.run(python, cwd=folder, capture_output=True, text=True, encoding="utf-8", timeout=100)


def error(done: subprocess.CompletedProcess) -> str:
    """The sentence that the cell ends with: one error, not one raised while another was handled."""
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    return done.stderr.partition("RuntimeError: ")[2]


def helpers_in(folder: Path, number: int | None = 2) -> Path:
    """Small helpers of the edition `number` in `folder`; before there were numbers if it is None."""
    (folder / "helpers" / "classroom").mkdir(parents=True)
    line = "" if number is None else f"EDITION = {number}\n"
    (folder / "helpers" / "__init__.py").write_text(f'"""Helpers."""\n\n{line}')
    (folder / "helpers" / "tokenizer.py").touch()
    (folder / "helpers" / "classroom" / "bilingual.py").write_text(BILINGUAL)
    return folder


def repository_in(folder: Path, number: int) -> str:
    """The address of a repository with the helpers of an edition."""
    helpers_in(folder, number)
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "a"]):
        subprocess.run([*GIT, *command], cwd=folder, check=True)
    return f"file://{folder}"


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return repository_in(tmp_path_factory.mktemp("repository"), 2)


@pytest.fixture
def alone(tmp_path):
    """A folder in which a notebook stands alone."""
    folder = tmp_path / "a folder · 文件夹"
    folder.mkdir()
    return folder


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Put a program of some name and text before all others in PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def write(name: str, text: str) -> None:
        (folder / name).write_text("#!/bin/sh\n" + textwrap.dedent(text))
        (folder / name).chmod(0o755)

    return write


def files(folder: Path) -> dict:
    """What lies in a folder: the bytes of each file, where each link leads."""
    return {
        path: os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


# where helpers are found


@pytest.mark.parametrize("folder", [".", "notebooks", "notebooks/zh", "notebooks/en", "tests"])
def test_within_the_repository_nothing_is_fetched(folder):
    done = run(ROOT / folder)
    assert (done.stdout, done.stderr) == (f"{ROOT} en\n", "")


def test_a_notebook_alone_fetches_the_repository_once(alone, repository):
    for address in (repository, "/nowhere"):  # the second time nothing is fetched
        done = run(alone, address)
        assert (done.stdout, done.stderr) == (f"{alone / 'loss-lab'} en\n", "")
    assert [path.name for path in alone.iterdir()] == ["loss-lab"]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this copy is no clone, so there is nothing to clone from")
def test_this_repository_can_be_fetched(alone):
    done = run(alone, f"file://{ROOT}")
    assert done.stdout.splitlines()[-1] == f"{alone / 'loss-lab'} en"
    assert done.stderr == ""


def test_a_repository_unpacked_beside_the_notebook_is_found(alone):
    helpers_in(alone / "loss-lab-main")
    assert run(alone).stdout == f"{alone / 'loss-lab-main'} en\n"


@pytest.mark.parametrize("between", ["", "import os; os.chdir('/')"])
def test_the_cell_runs_twice_and_out_of_order(alone, repository, between):
    done = run(alone, repository, before=cell(repository) + between)
    assert done.stdout == f"{alone / 'loss-lab'} en\n" * 2
    assert done.stderr == ""


def test_two_notebooks_at_once_do_not_spoil_each_other(alone, repository):
    both = [
        subprocess.Popen([sys.executable, "-c", cell(repository)], cwd=alone, stdout=subprocess.PIPE) for _ in range(2)
    ]
    for process in both:
        said = process.communicate(timeout=100)[0].decode(errors="replace")
        assert re.search(r"loss-lab2? en\n$", said)


@pytest.mark.parametrize("number", [2, 1])
def test_another_notebook_puts_its_own_there_between_the_look_and_the_renaming(alone, repository, number):
    before = f"""
import os
from pathlib import Path
rename = Path.rename
def late(self, target):
    os.rename({str(helpers_in(alone / "other", number))!r}, target)
    return rename(self, target)
Path.rename = late
"""
    done = run(alone, repository, before=before)
    if number == 2:
        assert (done.stdout, done.stderr) == (f"{alone / 'loss-lab'} en\n", "")
    else:  # it is older than this lesson needs, so the next try fetches once more
        assert "run again" in error(done)
        assert run(alone, repository).stdout == f"{alone / 'loss-lab2'} en\n"
    assert [path for path in alone.iterdir() if path.name.startswith(".")] == []


# folders that are in the way stay as they are


def interrupted(folder: Path) -> None:
    (folder / ".git" / "objects").mkdir(parents=True)
    (folder / ".git" / "HEAD").write_text("ref: refs/heads/main\n")


def half(folder: Path) -> None:
    helpers_in(folder)
    (folder / "helpers" / "tokenizer.py").unlink()


def foreign(folder: Path) -> None:
    folder.mkdir()
    (folder / "homework.txt").write_text("mine")


def foreign_package(folder: Path) -> None:
    (folder / "helpers").mkdir(parents=True)
    (folder / "helpers" / "__init__.py").write_bytes("# 我的".encode("gbk"))


STATES = {
    "interrupted": interrupted,
    "half": half,
    "empty": Path.mkdir,
    "foreign": foreign,
    "foreign package": foreign_package,
    "file": Path.touch,
    "broken link": lambda folder: folder.symlink_to("nothing"),
    "first edition": lambda folder: helpers_in(folder, None),
    "old": lambda folder: helpers_in(folder, 1),
}


@pytest.mark.parametrize("state", STATES)
def test_a_folder_in_the_way_stays_and_another_is_fetched(alone, repository, state):
    STATES[state](alone / "loss-lab")
    before = files(alone)
    done = run(alone, repository)
    assert (done.stdout, done.stderr) == (f"{alone / 'loss-lab2'} en\n", "")
    after = files(alone)
    assert before == {path: after[path] for path in before}
    assert run(alone).stdout == done.stdout


def test_old_helpers_above_the_notebook_are_named_and_stay(alone, repository):
    for number, folder in ((None, "first"), (1, "second")):
        helpers_in(alone / folder, number)
        (alone / folder / "notebooks").mkdir()
        before = files(alone)
        said = error(run(alone / folder / "notebooks", repository))
        assert said.startswith(f"{alone / folder / 'helpers' / '__init__.py'} 比这一课旧")
        assert "is older than this lesson, or is another helpers: update it (git pull)" in said
        assert not [path for path in files(alone) if path not in before and "__pycache__" not in path.parts]


def test_helpers_that_the_kernel_holds_from_before_an_update(alone):
    helpers_in(alone, 2)
    said = error(run(alone, before="import helpers; helpers.EDITION = 1"))
    assert "再重启内核运行" in said
    assert "then restart the kernel and run again" in said


def test_a_repository_older_than_the_lesson_is_not_kept(alone, repository):
    for _ in range(2):
        assert f"{repository} is older than this lesson" in error(run(alone, repository, edition=3))
        assert files(alone) == {}


def test_a_lesson_older_than_its_helpers_runs_and_says_so(alone):
    helpers_in(alone, 3)
    assert run(alone).stdout == (
        f"这一课比 helpers 旧：重新下载它 · Older than its helpers: download it again\n{alone} en\n"
    )


# a learner's own helpers

OWN = {
    "helpers.py": lambda folder: (folder / "helpers.py").touch(),
    "helpers/__init__.py": lambda folder: ((folder / "helpers").mkdir(), (folder / "helpers" / "__init__.py").touch()),
    "helpers": lambda folder: (folder / "helpers").mkdir(),
}


@pytest.mark.parametrize("own", OWN)
def test_helpers_of_the_learners_own(alone, repository, own):
    OWN[own](alone)
    done = run(alone, repository)
    assert (done.stdout, done.stderr) == (f"{alone / 'loss-lab'} en\n", "")
    said = error(run(alone, repository, before="import helpers"))
    assert said.startswith(f"{alone / own} 比这一课旧，或者是另一个 helpers")
    assert f"{alone / own} is older than this lesson, or is another helpers: " in said
    assert "rename it, then restart the kernel" in said


def test_helpers_earlier_in_the_path_of_imports(alone, tmp_path, monkeypatch):
    helpers_in(alone)
    (tmp_path / "helpers.py").touch()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (tmp_path, alone))))
    assert run(alone).stdout == f"{alone} en\n"


# git


def test_git_is_asked_for_no_word_by_whatever_may_ask(alone, tmp_path, monkeypatch):
    """A server that wants a password, and all the ways in which git asks for one."""

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="a"')
            self.end_headers()

        def log_message(self, *_):
            pass

    ask = tmp_path / "ask"
    ask.write_text(f"#!/bin/sh\ntouch '{tmp_path}/asked'\nsleep 200\n")
    ask.chmod(0o755)
    (tmp_path / ".gitconfig").write_text(
        f'[credential]\nhelper = {ask}\n[credential "http://127.0.0.1"]\nhelper = {ask}\n[core]\naskPass = {ask}\n'
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("GIT_ASKPASS", "SSH_ASKPASS"):
        monkeypatch.setenv(name, str(ask))
    monkeypatch.setenv("DISPLAY", ":0")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        said = error(run(alone, f"http://127.0.0.1:{server.server_port}/a"))
        server.shutdown()
    assert "fatal: could not read Username" in said
    assert "terminal prompts disabled" in said
    assert not (tmp_path / "asked").exists()
    assert files(alone) == {}


@pytest.mark.parametrize("names", [["GIT_DIR", "GIT_WORK_TREE"], ["GIT_INDEX_FILE"], ["GIT_OBJECT_DIRECTORY"]])
def test_git_works_in_no_other_place_than_its_own(alone, repository, names, tmp_path, monkeypatch):
    """As in a kernel that a hook of git has started, or where the home folder is a work tree of its own."""
    for name in names:
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name / "a" if name == "GIT_INDEX_FILE" else tmp_path / name))
    run(alone, repository).check_returncode()
    assert (alone / "loss-lab" / "helpers" / "__init__.py").exists()
    assert all(files(tmp_path / name) == {} for name in names)


@pytest.mark.parametrize("setting", ["[core]\nhooksPath = {}\n", "[init]\ntemplateDir = {}\n"])
def test_hooks_of_the_learners_own_do_not_run(alone, repository, setting, tmp_path, monkeypatch):
    """Such as that of Git LFS where Git LFS is missing."""
    for folder in (tmp_path / "mine", tmp_path / "mine" / "hooks"):
        folder.mkdir()
        (folder / "post-checkout").write_text("#!/bin/sh\nexit 2\n")
        (folder / "post-checkout").chmod(0o755)
    (tmp_path / ".gitconfig").write_text(setting.format(tmp_path / "mine"))
    monkeypatch.setenv("HOME", str(tmp_path))
    run(alone, repository).check_returncode()
    assert (alone / "loss-lab" / "helpers" / "__init__.py").exists()


def test_ssh_asks_nothing(alone, program, tmp_path):
    program("ssh", f'echo "$@" > "{tmp_path}/said"; exit 255')
    error(run(alone, "ssh://git@localhost/a"))
    assert "-o BatchMode=yes" in (tmp_path / "said").read_text()


def test_nothing_can_be_asked_in_the_terminal(alone, program):
    """Jupyter is started from a terminal: whatever git starts must not find it."""
    program("git", "echo asks >/dev/tty && read answer </dev/tty; read answer; exit 7")
    code = textwrap.dedent("""
        import os, pty, sys
        child, terminal = pty.fork()
        if child == 0:
            os.environ["PYTHON_COLORS"] = "0"  # from 3.13 on, tracebacks have colours in a terminal
            os.execv(sys.executable, [sys.executable, "-X", "utf8", "-c", sys.argv[1]])
        said = b""
        try:
            while piece := os.read(terminal, 1000):
                said += piece
        except OSError:  # the terminal has no other end any more
            pass
        sys.stdout.buffer.write(said)
    """)
    done = subprocess.run([sys.executable, "-c", code, cell()], cwd=alone, capture_output=True, timeout=60)
    said = done.stdout.decode(errors="replace")
    assert "RuntimeError: " in said
    assert "asks\r\n" not in said


def test_git_that_does_not_end(alone, program):
    program("git", 'for last; do :; done; mkdir -p "$last"; sleep 50')
    started = time.monotonic()
    assert "timed out after 1 seconds" in error(run(alone, timeout=1))
    assert time.monotonic() - started < 30
    assert files(alone) == {}


@pytest.mark.parametrize("words", ["\\262\\273\\277\\311\\304\\334", "\\377\\376a", "\\346\\227\\240\\346\\263\\225"])
def test_git_speaks_in_any_encoding(alone, program, words):
    program("git", f"printf 'fatal: {words} LC_ALL=%s' $LC_ALL >&2; exit 128")
    said = error(run(alone))
    assert "fatal: " in said
    assert said.rstrip().endswith("LC_ALL=C")


def wait_for(folder: Path, pattern: str) -> None:
    end = time.monotonic() + 30
    while not list(folder.glob(pattern)):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_an_interrupted_fetch_leaves_nothing(alone, program, repository):
    program("git", 'for last; do :; done; mkdir -p "$last/.git"; sleep 50')
    heard = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"  # or not, in the background
    process = subprocess.Popen([sys.executable, "-c", heard + cell()], cwd=alone, stderr=subprocess.PIPE)
    wait_for(alone, ".loss-lab-*/new/.git")
    process.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in process.communicate(timeout=60)[1]
    assert files(alone) == {}


def test_after_a_fetch_that_was_killed_the_next_is_whole(alone, program, repository):
    program("git", 'for last; do :; done; mkdir -p "$last/.git"; sleep 5')
    process = subprocess.Popen([sys.executable, "-c", cell()], cwd=alone)
    wait_for(alone, ".loss-lab-*/new/.git")
    process.kill()
    process.wait()
    program("git", f'PATH="{os.environ["PATH"].partition(os.pathsep)[2]}"; exec git "$@"')
    assert run(alone, repository).stdout == f"{alone / 'loss-lab'} en\n"


def test_a_machine_without_git(alone, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "No such file or directory: 'git'" in error(run(alone))
    (tmp_path / "git").write_text("not a program")
    assert "Permission denied: 'git'" in error(run(alone))


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/a", "/nothing"])
def test_what_to_do_when_nothing_can_be_fetched(alone, address):
    said = error(run(alone, address))
    assert said.startswith(f"{alone} 和上级文件夹里没有 helpers，也没下载成：检查网络、git、写入权限，再运行一次；")
    assert f"或下载 {address} 的 ZIP，在这里解压成 loss-lab · No helpers in {alone} or above, " in said
    assert "check network, git and write access and run again, or download the repository's ZIP" in said
    assert said.splitlines()[1].startswith("fatal: ")
    assert files(alone) == {}


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder in which nobody can write")
def test_a_folder_that_cannot_be_written():
    assert "No helpers in /proc or above, nor could they be fetched" in error(run(Path("/proc")))


# nothing is printed

FC_LIST = """
    mkdir -p "${XDG_CACHE_HOME:-$HOME/.cache}/fontconfig" 2>/dev/null || echo "Fontconfig error: No writable cache" >&2
    [ "$1" = --help ] && echo --format
    exit 0
"""


@pytest.mark.parametrize("unwritable", ["HOME", "MPLCONFIGDIR", "XDG_CACHE_HOME"])
def test_nothing_is_printed_where_no_cache_can_be_written(tmp_path, program, monkeypatch, unwritable):
    program("fc-list", FC_LIST)
    (tmp_path / "file").touch()
    for name in ("MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(unwritable, str(tmp_path / "file" / "folder"))
    after = "import logging, os, matplotlib.font_manager; print(logging.getLogger('matplotlib').level)\n"
    done = run(ROOT, after=after + "print(os.environ.get('XDG_CACHE_HOME'))")
    assert done.stderr == ""
    assert done.stdout == f"0\n{tmp_path / 'file' / 'folder' if unwritable == 'XDG_CACHE_HOME' else None}\n"


# the text of the cell


@pytest.mark.parametrize("language", ["zh", "en", "both"])
def test_the_cell_has_the_language_the_repository_and_the_edition_of_the_helpers(tmp_path, language):
    helpers_in(tmp_path, 41)
    lines = setup_cell(language, "ab/cd", tmp_path).splitlines()
    assert lines[0] == f'LANGUAGE = "{language}"  # "zh" · "en" · "both"'
    assert 'REPOSITORY = "https://github.com/ab/cd"' in lines
    assert "EDITION = 41  # of the helpers that this lesson needs" in lines


def test_no_line_is_wider_than_a_page():
    def width(line: str) -> int:
        return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in line)

    assert [line for line in SETUP.splitlines() if width(line) > 88] == []


def test_the_cell_looks_for_the_file_that_git_writes_last():
    last = max(path.relative_to(ROOT).as_posix() for path in (ROOT / "helpers").rglob("*.py"))
    assert last == "helpers/tokenizer.py"
    assert 'LAST = Path.cwd(), "tokenizer.py"' in SETUP
