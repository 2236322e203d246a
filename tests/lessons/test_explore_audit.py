"""The X-ray of lesson 06 over its whole range, against weights computed here."""

import time

import pytest
from matplotlib.colors import to_hex

from helpers.audit import AuditLM, Verdict, audit, collate, default_rows, in_ranks
from helpers.audit.names import FAULTS
from helpers.classroom.bilingual import set_language
from helpers.classroom.drawing import BLUE, GREY, PALE, RED
from helpers.lessons.audit.explore import TOP, xray
from helpers.lessons.audit.loops import LOOPS, SIZES, black_boxes, examined, mystery, rows_in, step
from tests.classroom.explorers import moved

# What each loop is to be found guilty of, when the partitions can tell.
GUILTY = {
    "right": ("token_mean", []),
    "means": ("mean_of_means", []),
    "fixed": ("mean_of_means", ["fixed_divisor"]),
    "times_K": ("token_mean", ["times_K"]),
    "unshifted": ("token_mean", ["unshifted_count"]),
    "prompt": ("token_mean", ["prompt_in_loss"]),
    "padding": ("token_mean", ["padding_in_loss"]),
    "logged": ("token_mean", ["logged_not_descended"]),
}


def windows(batch_size: int, K: int, W: int, padded: bool) -> list[list[list[dict]]]:
    """The rows of each micro-batch of each window."""
    rows = rows_in(padded)
    batches = [rows[at : at + batch_size] for at in range(0, len(rows), batch_size)]
    return [batches[at : at + K * W] for at in range(0, len(batches), K * W)]


def labels(rows: list[dict]) -> list[int]:
    return [label for row in rows for label in row["labels"][1:]]


def valid(rows: list[dict]) -> int:
    return sum(label != -100 for label in labels(rows))


def expected(name: str, batch_size: int, K: int, W: int, padded: bool) -> list[float]:
    """w · N of every target, by the formula of the loop `name`."""
    heights = []
    for window in windows(batch_size, K, W, padded):
        rows = [row for batch in window for row in batch]
        N = valid(rows)
        for at, batch in enumerate(window):
            mine = len(window[at % W :: W])
            others = {
                "means": N / (valid(batch) * mine * W),
                "fixed": N / (valid(batch) * K * W),
                "times_K": K,
                "unshifted": N / sum(label != -100 for row in rows for label in row["labels"]),
                "prompt": N / sum(len(row["input_ids"]) - 1 for row in rows),
                "world": 1 / W,
            }
            if name == "padding":
                filled = sum(max(len(row["labels"]) for row in one) * len(one) for one in window)
                filled -= sum(len(row["labels"]) for row in rows)
                others["padding"] = N / (N + filled)
            for label in labels(batch):
                heights.append(others.get(name, 1.0) if label != -100 or name == "prompt" else 0.0)
    return heights


def heights_of(explorer) -> list[float]:
    return [path.get_extents().y1 for path in explorer["bars"].get_paths()]


STATES = [(1, 4, 1, True), (3, 2, 1, True), (4, 3, 1, True), (5, 1, 1, True), (2, 2, 2, True), (1, 4, 2, False)]


@pytest.mark.parametrize("name", LOOPS)
def test_the_columns_are_the_weights_of_the_loop(name):
    explorer = xray()
    for batch_size, K, W, padded in STATES:
        moved(explorer, loop=name, batch_size=batch_size, K=K, ranks=W, padding=padded)
        want = expected(name, batch_size, K, W, padded)
        targets = labels(rows_in(padded))
        got = heights_of(explorer)
        assert len(got) == len(want) == 70
        shown = [max(h, 0.05) if label == -100 else h for h, label in zip(want, targets, strict=True)]
        assert got == pytest.approx(shown, abs=1e-6)
        assert max(got) <= TOP
        colours = [to_hex(colour) for colour in explorer["bars"].get_facecolors()]
        for height, label, colour in zip(want, targets, colours, strict=True):
            fair = BLUE if abs(height - 1) < 1e-6 else RED if height > 1 else PALE
            assert colour == (GREY if label == -100 else fair)


def test_no_column_leaves_the_axis():
    """In any of the 720 states: by the formulas, which the test above holds against what is read back."""
    for name in LOOPS:
        for batch_size in SIZES:
            for K in range(1, 5):
                for W in (1, 2):
                    assert max(max(expected(name, batch_size, K, W, padded)) for padded in (True, False)) <= 4


def test_windows_and_micro_batches_are_parted():
    explorer = xray()
    for batch_size, K, W, padded in STATES:
        moved(explorer, batch_size=batch_size, K=K, ranks=W, padding=padded)
        sizes = [[len(labels(batch)) for batch in window] for window in windows(batch_size, K, W, padded)]
        ends = [sum(map(sum, sizes[: at + 1])) for at in range(len(sizes))]
        assert [x for (x, _), _ in explorer["windows"].get_segments()] == ends[:-1]
        inner = [x for at, window in enumerate(sizes) for x in inside(window, ends[at] - sum(window))]
        assert [x for (x, _), _ in explorer["micro-batches"].get_segments()] == inner
        words = [explorer[f"tick-window{i}"] for i in range(10)]
        places = [(text.get_text(), text.get_position()[0]) for text in words]
        middles = [end - sum(window) / 2 for end, window in zip(ends, sizes, strict=True)]
        assert places[: len(ends)] == [(str(i + 1), x) for i, x in enumerate(middles)]
        assert all(text == "" for text, _ in places[len(ends) :])


def inside(window: list[int], start: int) -> list[int]:
    return [start + sum(window[: at + 1]) for at in range(len(window) - 1)]


def test_the_numbers_are_those_of_the_first_and_the_last_window():
    set_language("en")
    explorer = xray()
    text = moved(explorer, loop="means", batch_size=1, K=4)
    assert "window 1: ratio of norms 1.1282" in text
    assert [explorer[f"number0{i}"].get_text() for i in range(5)] == ["1.1282", "0.93368", "0.4075", "9.4987", "9.8153"]
    assert [explorer[f"number1{i}"].get_text() for i in range(5)] == ["1.0085", "0.99721", "0.0756", "8.9228", "8.9853"]
    assert "N = 23 24 13" in text and "padding: 0 / 80" in text
    moved(explorer, loop="logged", batch_size=1, K=4)
    assert [explorer[f"number0{i}"].get_text() for i in range(5)] == ["1.0000", "1.00000", "0.0000", "9.4987", "9.8153"]


def test_padding_is_counted():
    set_language("en")
    explorer = xray()
    for batch_size, K, W, padded in STATES:
        text = moved(explorer, batch_size=batch_size, K=K, ranks=W, padding=padded)
        batches = [batch for window in windows(batch_size, K, W, padded) for batch in window]
        whole = sum(collate(batch)["input_ids"].numel() for batch in batches)
        assert f"padding: {whole - 80} / {whole}" in text


def test_blind_hides_the_name_and_mixes_the_list():
    set_language("en")
    explorer = xray("fixed")
    assert "the divisor is always K" in explorer.text
    explorer.set(blind=True)
    assert explorer.controls["loop"].value == "fixed"
    listed = [label for label, _ in explorer.controls["loop"].options]
    assert listed == [f"? {place}" for place in range(1, len(LOOPS) + 1)]
    assert [name for _, name in explorer.controls["loop"].options] != list(LOOPS)
    for name in LOOPS:
        text = explorer.set(loop=name).text
        assert text.splitlines()[0] == "loop: ?"
        assert not any(loop.en in text for loop in LOOPS.values())
    explorer.set(blind=False)
    assert explorer.controls["loop"].value == list(LOOPS)[-1]
    assert LOOPS[list(LOOPS)[-1]].en in explorer.text
    assert [name for _, name in explorer.controls["loop"].options] == list(LOOPS)


def test_a_move_is_quick_once_the_loop_was_read():
    explorer = xray()
    best = min(timed(lambda size=size: moved(explorer, batch_size=size)) for size in (1, 2, 3, 4, 5, 1, 2, 3))
    assert best < 0.025


def test_the_first_look_at_a_loop_is_quick():
    """It reads the one partition that is shown, so that no class waits: the median, in processor time."""
    explorer = xray("right")
    examined.cache_clear()
    seconds = []
    for name in LOOPS:
        start = time.process_time()
        moved(explorer, loop=name)
        seconds.append(time.process_time() - start)
    assert sorted(seconds)[len(seconds) // 2] < 0.3
    assert examined.cache_info().misses == len(LOOPS)
    assert list(examined("means", 3, 2, 1, True).weights) == [(3, 2)]


def timed(move) -> float:
    start = time.perf_counter()
    move()
    return time.perf_counter() - start


def named(name: str, K: int, W: int) -> Verdict:
    """The verdict on a loop from five sizes of micro-batches."""
    return audit(step(name, K, W), rows=rows_in(True), partitions=[(size, K) for size in SIZES], world=W)


@pytest.mark.parametrize("name", GUILTY)
def test_audit_names_each_loop(name):
    verdict = named(name, 3, 1)
    assert (verdict.rule, verdict.faults) == GUILTY[name]
    assert set(verdict.faults) <= set(FAULTS)


def test_the_factor_of_the_ranks():
    verdict = named("world", 3, 2)
    assert (verdict.rule, verdict.faults) == ("token_mean", ["over_world"])
    assert named("world", 3, 1).ok and named("right", 3, 2).ok


def test_ranks_in_one_process_are_ranks_in_threads():
    """The gradient that the explorer shows for two ranks is that of two threads with an all-reduce between them."""
    batches = [collate([row]) for row in default_rows()[:4]]
    whole = AuditLM()
    step("means", 2, 2)(whole, batches)

    def work(rank, all_reduce):
        model, mine = AuditLM(), batches[rank::2]
        for batch in mine:
            LOOPS["means"].loss(model, batch, mine, batches, 2, 2).backward()
        for parameter in model.parameters():
            all_reduce(parameter.grad)
        return [parameter.grad / 2 for parameter in model.parameters()]

    for parameter, gradient in zip(whole.parameters(), in_ranks(2, work)[0], strict=True):
        assert (parameter.grad - gradient).norm() < 1e-12 * gradient.norm()


def test_one_black_box_is_broken():
    verdicts = {name: audit(box) for name, box in black_boxes().items()}
    assert [name for name, verdict in verdicts.items() if not verdict.ok] == ["B"]
    assert verdicts["B"].rule == "mean_of_means"


@pytest.mark.parametrize(("batch_size", "K"), [(1, 4), (3, 2), (5, 1)])
def test_the_mystery_divides_by_n_K(batch_size, K):
    found = mystery(batch_size, K)
    rows = default_rows()
    counts = [valid(rows[at : at + batch_size]) for at in range(0, 10, batch_size)]
    assert [n for window in found for n, _ in window] == counts
    assert [len(window) for window in found] == [len(window) for window in windows(batch_size, K, 1, True)]
    assert [inverse for window in found for _, inverse in window] == pytest.approx([n * K for n in counts])
