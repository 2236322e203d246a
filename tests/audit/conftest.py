"""Most tests audit the same model on the same rows: its columns are computed once, since nothing in them can change."""

import pytest

from helpers.audit import AuditLM, auditor
from helpers.audit.columns import Columns

made: dict[str, Columns] = {}


@pytest.fixture(autouse=True)
def columns_are_shared(monkeypatch, request):
    def shared(model, copied, rows, language):
        if type(model) is not AuditLM or not all(parameter.requires_grad for parameter in model.parameters()):
            return Columns(model, copied, rows, language)
        start = AuditLM(model.e.dtype)
        if not (model.e.equal(start.e) and model.o.equal(start.o)):
            return Columns(model, copied, rows, language)
        key = f"{model.e.dtype} {language} {rows}"
        if key not in made:
            made[key] = Columns(model, copied, rows, language)
        return made[key]

    if not hasattr(request.function, "hypothesis"):  # rows that are drawn are seldom the same
        monkeypatch.setattr(auditor, "Columns", shared)
