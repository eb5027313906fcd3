"""All findings about one model, for people and for programs."""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass
from typing import Any

from grulet_export.doctor.finding import Finding

WIDTH = 100  # columns


@dataclass(frozen=True)
class Diagnosis:
    """What was looked at, and the findings, the worst first.

    ``opset`` is the version of ONNX's own operators (0 if there is none), ``weights`` the number of floats stored,
    ``checked`` the names of the checks that were made.
    """

    model: str
    producer: str
    opset: int
    nodes: int
    recurrent_layers: int
    weights: int
    checked: tuple[str, ...]
    findings: tuple[Finding, ...]

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self) | {"findings": [finding.as_json() for finding in self.findings]}

    def __str__(self) -> str:
        if not self.findings:
            return f"{self.model}: nothing found in {', '.join(self.checked)}"
        size = f"{self.nodes:,} nodes, {self.recurrent_layers:,} recurrent, {self.weights:,} weights"
        count = "1 finding" if len(self.findings) == 1 else f"{len(self.findings):,} findings"
        origin = f"{self.producer or 'unknown producer'}, operator set {self.opset}"
        lines = [f"{self.model}: {count} ({origin}; {size})"]
        for number, finding in enumerate(self.findings, start=1):
            head = f"{number:>2}  {str(finding.severity).upper()}  {finding.where}"
            lines += ["", f"{head}: {finding.measured}" if finding.measured else head]
            for mark, text in (("", finding.risk), *(("- ", text) for text in finding.details), ("> ", finding.remedy)):
                lines += textwrap.wrap(
                    text,
                    WIDTH,
                    initial_indent=f"    {mark}",
                    subsequent_indent=" " * (4 + len(mark)),
                    break_on_hyphens=False,
                )
        return "\n".join(lines)
