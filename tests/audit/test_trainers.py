"""The table of real trainers: its names are the auditor's, and its functions exist. No trainer is imported."""

import ast
import re

import pytest

from helpers.audit.names import FAULTS, RULES
from tests.trainers import __main__ as command
from tests.trainers import models
from tests.trainers.table import DATE, ENVIRONMENTS, EVAL_LOSS, ROWS, TRUE_EVAL_LOSS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_of_the_table_of_trainers(row):
    tree = ast.parse((command.ROOT / "tests/trainers" / f"{row.module}.py").read_text(encoding="utf-8"))
    functions = {
        node.name: [argument.arg for argument in node.args.args]
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }
    loops = [target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    assert row.train in loops or functions[row.train] == ["model", "rows", "batch_size", "K"]
    assert row.model == "AuditLM" or row.model in models.__all__
    assert row.recorded and set(row.recorded) <= set(ENVIRONMENTS)
    for rule, faults in row.recorded.values():
        assert rule in RULES and set(faults) <= set(FAULTS) and list(faults) == sorted(faults, key=list(FAULTS).index)


def test_each_environment_is_used_and_pinned_and_none_chooses_torch():
    used = {name for row in ROWS for name in row.recorded}
    assert used == set(ENVIRONMENTS) and set(EVAL_LOSS) == {name for name in used if name.startswith("transformers")}
    assert len({row.name for row in ROWS}) == len(ROWS)
    for name, packages in ENVIRONMENTS.items():
        assert name.replace(" ", "==") == packages[0]
        assert all(re.fullmatch(r"[a-z]+==[\d.]+", package) for package in packages)
    assert re.fullmatch(r"torch==[\d.]+", command.TORCH) and re.fullmatch(r"\d{4}-\d\d-\d\d", DATE)


def test_the_true_evaluation_loss():
    from helpers.audit import AuditLM, collate, default_rows

    batch = collate(default_rows())
    assert f"{models.mean_loss(AuditLM()(batch['input_ids']), batch['labels']).item():.4f}" == TRUE_EVAL_LOSS


def test_a_verdict_that_is_not_as_recorded_is_told(capsys):
    name, row = "lightning 2.6.6", next(row for row in ROWS if row.module == "lightning_trainer")
    seen = {"rule": "mean_of_means", "faults": ["fixed_divisor", "window_dropped"], "remarks": [], "ratio": 1.12821}
    found = {name: {"verdicts": {row.name: seen}, "versions": {"torch": "0"}, "eval_loss": {}}}
    (difference,) = command.compare(found)
    assert difference.startswith(f"{name}, {row.name}: ('mean_of_means', ('fixed_divisor', 'window_dropped'))")
    command.show(found)
    assert f"| {row.name} | mean_of_means, fixed_divisor (1.1282) † |" in capsys.readouterr().out
    seen["faults"].pop()
    assert list(command.compare(found)) == []
    assert list(command.compare({name: {"error": "not installed"}}))  # what is not there is no agreement
