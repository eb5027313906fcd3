"""What the caller of `export` or `verify` wants to know about quantization, and the answer."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from grulet.errors import GruletError
from grulet.files import check_writable, write_whole
from grulet.operators import Program
from grulet_export.graph import Array
from grulet_export.quality.assess import assess
from grulet_export.quality.material import Material
from grulet_export.quality.metric import Network, UserMetric
from grulet_export.quality.page import page
from grulet_export.quality.result import Quality, TradeOff

#: Frames (T, in) float32, or several recordings of them.
Frames: TypeAlias = Array | Sequence[Array]


@dataclass(frozen=True)
class Answer:
    """The measurement, None where nobody asked, and the page as it will be written."""

    quality: Quality | None = None
    path: Path | None = None
    page: str = ""

    def write(self) -> None:
        """Write the page if one was asked for."""
        if self.path is not None:
            write_whole(self.path, self.page.encode())


@dataclass(frozen=True)
class Request:
    """A page, the user's metric, both, or nothing."""

    path: Path | None = None
    metric: UserMetric | None = None

    @classmethod
    def of(
        cls, report: str | os.PathLike[str] | None, metric: Callable[[Network], float] | None, metric_name: str
    ) -> Request:
        """Refuse now what would fail after minutes: no matplotlib, no name of a page, nowhere to write it."""
        if metric is not None and not callable(metric):
            raise GruletError(f"metric must be a function of a network (docs/quantization.md), not {metric!r}")
        if report is not None:
            import matplotlib  # noqa: F401

            if Path(report).suffix.lower() not in (".html", ".htm"):
                raise GruletError(f"report: the name of a .html file was expected, not {os.fspath(report)!r}")
            check_writable(report)
        return cls(Path(report) if report is not None else None, UserMetric(metric, metric_name) if metric else None)

    def answer(
        self,
        model: str,
        float_program: Program,
        quantized: Program,
        given: Frames | None = None,
        *,
        trade_off: Sequence[TradeOff] = (),
        notes: Sequence[str] = (),
    ) -> Answer:
        """Measure what was asked for, over frames (T, in), recordings one behind the other, or random frames."""
        if self.path is None and self.metric is None:
            return Answer()
        frames = given if given is None or isinstance(given, np.ndarray) else np.concatenate(list(given))
        material = Material.of(quantized, frames)
        quality = assess(
            model, float_program, quantized, material, metric=self.metric, trade_off=trade_off, notes=notes
        )
        labels = quantized.text.metadata.get("labels")
        names = [str(label) for label in labels] if isinstance(labels, list) else None
        return Answer(quality, self.path, page(quality, material, names) if self.path else "")
