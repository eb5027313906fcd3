"""The budget of instructions: what `benchmarks.instructions` counted when it was last agreed to; counts beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.common import ROOT

BUDGET = ROOT / "benchmarks" / "instructions.json"
SLACK_PERCENT = 3.0


@dataclass(frozen=True)
class Verdict:
    """A count beside its budget."""

    case: str
    count: int
    budget: int | None

    @property
    def percent(self) -> float | None:
        """Above the budget."""
        return None if self.budget is None else 100.0 * (self.count / self.budget - 1.0)

    @property
    def exceeds(self) -> bool:
        """Beyond the slack, or without a budget."""
        return self.percent is None or self.percent > SLACK_PERCENT


def verdicts(results: dict[str, Any]) -> list[Verdict]:
    """All counts beside their budgets."""
    budget = results["budget"].get("instructions", {})
    return [Verdict(case, number, budget.get(case)) for case, number in results["counts"].items()]


def same_compiler(results: dict[str, Any]) -> bool:
    """Whether the budget was counted with this compiler, on this kind of machine."""
    return bool(results["budget"].get("compiler") == results["compiler"])
