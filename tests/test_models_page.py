"""docs/models.md names every ONNX operator that runs, and every one that has a refusal of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from grulet_export.onnx_reading.handlers import HANDLERS
from grulet_export.onnx_reading.handlers.refused import REASONS

WORDS = set(re.findall(r"\w+", (Path(__file__).parents[1] / "docs/models.md").read_text()))


@pytest.mark.parametrize("operators", [HANDLERS, REASONS], ids=["run", "refused"])
def test_every_operator_is_on_the_page(operators: dict[str, object]) -> None:
    """A user who searches the page for an operator finds it."""
    assert sorted(set(operators) - WORDS) == []
