"""What real trainers do: audits each of them in an environment of its own, and prints the table with its date.

    python -m tests.trainers [--cache FOLDER] [ENVIRONMENT ...]

makes one virtual environment for each version in FOLDER, where the next run finds it, or in a temporary folder: about
1 GB each, with the torch of requirements.txt. On Linux, PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu leaves
CUDA out. Not in continuous integration, since it downloads a great deal and takes minutes; tried with Python 3.11.
Where a verdict is not the one recorded in table.py, it says so and exits with 1.

A new version is a line in table.py; how a trainer is handed to `audit` is seen in the modules beside it.
"""

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.trainers.table import DATE, ENVIRONMENTS, EVAL_LOSS, ROWS, TRUE_EVAL_LOSS

ROOT = Path(__file__).parents[2]
TORCH = re.search(r"^torch==\S+", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE).group()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.trainers", description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, help="where environments are kept; a temporary folder if not given")
    parser.add_argument("environments", nargs="*", metavar="ENVIRONMENT", help=", ".join(ENVIRONMENTS))
    given = parser.parse_args()
    names = given.environments or list(ENVIRONMENTS)
    if unknown := set(names) - set(ENVIRONMENTS):
        parser.error(f"no environment {', '.join(sorted(unknown))}; there are {', '.join(ENVIRONMENTS)}")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        cache = (given.cache or Path(temporary)).resolve()
        found = {name: audit_in(name, cache, Path(temporary)) for name in names}
    show(found)
    print(f"\n{time.perf_counter() - start:.0f} s in all")
    differences = list(compare(found))
    print("\n".join(differences) or f"Everything as recorded on {DATE}.")
    return bool(differences)


def audit_in(name: str, cache: Path, temporary: Path) -> dict:
    """What run.py found in one environment, which is made if it is not there; {"error": why} if there is none."""
    print(f"== {name}", flush=True)
    python = make(name, cache)
    if python is None:
        return {"error": "not installed"}
    found: dict = {"verdicts": {}}
    for ranks in sorted({row.ranks for row in ROWS if name in row.recorded}):
        file = temporary / f"{ranks}.json"
        file.unlink(missing_ok=True)
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
        command = [python, *(torchrun if ranks > 1 else []), "-m", "tests.trainers.run", name, str(ranks), file]
        run(command)
        part = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        found["verdicts"] |= part.pop("verdicts", {})
        found = part | found
    return found


def make(name: str, cache: Path) -> Path | None:
    """The Python of an environment; None where a package could not be installed."""
    folder = cache / name.replace(" ", "-")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    done = run([python, "-m", "pip", "install", "--quiet", "--no-compile", TORCH, *ENVIRONMENTS[name]])
    return python if done else None


def run(command: list) -> bool:
    """Whether a command ended well; what it printed is shown if it did not."""
    offline = {
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **offline}, capture_output=True, text=True)
    if done.returncode:
        print("\n".join((done.stdout + done.stderr).splitlines()[-20:]), flush=True)
    return done.returncode == 0


def show(found: dict[str, dict]) -> None:
    """The table: a row a way of use, a column an environment; the ratio of norms is that of the first window."""
    print(f"\nMeasured on {datetime.date.today()}, on a CPU, with Python {sys.version.split()[0]}. † the last, partial")
    print("window takes no step. (The ratio of the gradient's norm to the right one, at the first step of 1 × 4.)\n")
    print("| | " + " | ".join(found) + " |\n|---|" + "---|" * len(found))
    for row in ROWS:
        if not set(found) & set(row.recorded):
            continue
        cells = [cell(part.get("verdicts", {}).get(row.name)) for part in found.values()]
        print(f"| {row.name} | " + " | ".join(cells) + " |")
    sizes = [" ".join(f"{loss:.4f}" for loss in part.get("eval_loss", {}).values()) for part in found.values()]
    if any(sizes):
        print(f"| eval_loss, batch size 1, 3, 10 (true {TRUE_EVAL_LOSS}) | " + " | ".join(sizes) + " |")
    print()
    for name, part in found.items():
        installed = ", ".join(" ".join(pair) for pair in part.get("versions", {}).items())
        print(f"- {name}: {part.get('error') or installed}")


def cell(verdict: dict | None) -> str:
    """A verdict in few words: rule, faults, ratio; the remark where the loop raised."""
    if verdict is None:
        return ""
    if verdict["ratio"] is None:
        return verdict["remarks"][0]
    faults = [fault for fault in verdict["faults"] if fault != "window_dropped"]
    text = ", ".join([verdict["rule"], *faults]) + f" ({verdict['ratio']:.4f})"
    return text + (" †" if "window_dropped" in verdict["faults"] else "")


def compare(found: dict[str, dict]):
    """Yields what is not as recorded."""
    for name, part in found.items():
        for row in ROWS:
            if name not in row.recorded:
                continue
            verdict = part.get("verdicts", {}).get(row.name)
            here = verdict and (verdict["rule"], tuple(verdict["faults"]))
            if here != row.recorded[name]:
                yield f"{name}, {row.name}: {here}, recorded on {DATE} {row.recorded[name]}"
        losses = tuple(f"{loss:.4f}" for loss in part.get("eval_loss", {}).values())
        if losses != (recorded := EVAL_LOSS.get(name, ())):
            yield f"{name}, eval_loss: {losses}, recorded on {DATE} {recorded}"


if __name__ == "__main__":
    sys.exit(main())
