"""Prints the table of names as it comes out: `python -m tests.audit`."""

import statistics
import time

from helpers.audit import audit
from tests.audit.table import CASES


def main() -> None:
    print("| loop | ratio, cosine | rule | faults | ok |")
    print("|---|---|---|---|---|")
    seconds = []
    for case in CASES:
        start = time.process_time()
        verdict = audit(case.train, **case.given)
        seconds.append(time.process_time() - start)
        places = {(step.batch_size, step.K, step.number): step for step in verdict.steps}
        shown = [
            f"{b} × {k} step {n}: {places[b, k, n].ratio:.4f}, {places[b, k, n].cosine:.5f}"
            for b, k, n in case.numbers
            if (b, k, n) in places
        ]
        remarks = "".join(f"; {remark}" for remark in verdict.remarks)
        faults = ", ".join(verdict.faults) + remarks
        print(f"| {case.name} | {'; '.join(shown)} | {verdict.rule} | {faults} | {verdict.ok} |")
    median, slowest = statistics.median(seconds), max(seconds[1:])
    print(f"\n{len(seconds)} audits, seconds of processor time: median {median:.2f}, slowest {slowest:.2f}")


if __name__ == "__main__":
    main()
