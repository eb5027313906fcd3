"""What `grulet bench` found: for people as tables, for programs as a dictionary (docs/bench.md has its keys)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grulet.measuring.histogram import distribution_json
from grulet.measuring.imported import Imported
from grulet.measuring.latency import HEADINGS, Latency
from grulet.measuring.machine import described
from grulet.measuring.names import NOTHING, READ, REST, STEP, TICK, duration, kind
from grulet.measuring.operators import OperatorCost
from grulet.measuring.paced import PacedTimes
from grulet.measuring.side_by_side import side_by_side

Times = NDArray[np.int64]


@dataclass(frozen=True)
class PacedRun:
    """Frames in real time."""

    period: int  # nanoseconds
    between_bytes: int  # that something else was to touch between two frames
    touched_bytes: int  # that it had time for: the median
    times: dict[str, PacedTimes]

    @property
    def seconds(self) -> float:
        """What the run was planned to take."""
        return sum(len(times.late) for times in self.times.values()) * self.period / 1e9


@dataclass(frozen=True)
class BenchReport:
    """Everything that was measured; ``hot``: nanoseconds of every step by contestant."""

    model: str
    model_crc32: str
    title: str
    weight_bytes: int
    answers: dict[str, Any]
    machine: dict[str, Any]
    hot: dict[str, Times]
    operators: tuple[OperatorCost, ...]
    paced: PacedRun | None = None
    imported: tuple[Imported, ...] = field(default=())

    @property
    def latencies(self) -> dict[str, Latency]:
        """Of the hot steps."""
        return {name: Latency.of(times) for name, times in self.hot.items()}

    @property
    def rivals(self) -> tuple[str, ...]:
        """Who was measured beside us."""
        return tuple(name for name in self.hot if name not in (NOTHING, READ, TICK, STEP))

    def hot_p50(self, name: str) -> float:
        """Microseconds."""
        return float(np.median(self.hot[name])) / 1e3

    @property
    def rest(self) -> float:
        """What a tick takes beside its operators, in microseconds."""
        return self.hot_p50(TICK) - sum(cost.latency.p50 for cost in self.operators)

    def as_json(self) -> dict[str, Any]:
        """For ``--json``; docs/bench.md lists the keys, `grulet.measuring.schema` holds them."""
        data: dict[str, Any] = {
            "model": self.model,
            "model_crc32": self.model_crc32,
            "weight_bytes": self.weight_bytes,
            "machine": self.machine,
            "answers": self.answers,
            "microseconds": {name: distribution_json(times) for name, times in self.hot.items()},
            "operators": [cost.as_json() for cost in self.operators],
            "rest": {"microseconds": self.rest, "share": self.rest / self.hot_p50(TICK)},
        }
        if self.paced is not None:
            data["paced"] = self._paced_json(self.paced)
        if self.imported:
            data["imported"] = [board.data for board in self.imported]
        return data

    def _paced_json(self, paced: PacedRun) -> dict[str, Any]:
        contestants = {
            name: {
                "compute_microseconds": distribution_json(times.compute),
                "late_microseconds": distribution_json(times.late),
                "answer_microseconds": distribution_json(times.answer),
                "deadline_misses": times.misses,
                "real_time_factor": Latency.of(times.compute).p50 * 1e3 / paced.period,
                "real_time_factor_hot": self.hot_p50(name) * 1e3 / paced.period,
            }
            for name, times in paced.times.items()
        }
        return {
            "period_seconds": paced.period / 1e9,
            "between_bytes": paced.between_bytes,
            "touched_bytes": paced.touched_bytes,
            "contestants": contestants,
        }

    # ---- tables ------------------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        blocks = [self._head(), self._hot_table(), self._operator_table()]
        if self.paced is not None:
            blocks.append(self._paced_table(self.paced))
        if self.imported:
            blocks.append(side_by_side(self.as_json(), self.imported))
        return "\n\n".join("\n".join(block) for block in blocks)

    def _head(self) -> list[str]:
        answers = self.answers
        return [
            self.title,
            *described(self.machine),
            f"model {self.model_crc32}, answers to {answers['frames']} frames ({answers['inputs_crc32']}): "
            f"{answers['outputs_crc32']} (CRC-32; the same on every machine)",
        ]

    def _hot_table(self) -> list[str]:
        latencies = self.latencies
        ours, read, steps = self.hot_p50(STEP), self.hot_p50(READ), latencies[STEP].steps
        lines = [
            f"Hot: microseconds of a frame, weights in the caches, {steps:,} steps each, in turn",
            f"(a step reads {self.weight_bytes:,} bytes of weights; merely reading them goes at "
            f"{self.weight_bytes / read / 1e3:.1f} GB/s)",
            f"{'':<28} {HEADINGS} {'jitter':>9} {'p50 ratio':>10}",
        ]
        return lines + [
            f"{name:<28} {latency.row()} {latency.jitter:>9.2f} {latency.p50 / ours:>10.2f}"
            for name, latency in latencies.items()
        ]

    def _operator_table(self) -> list[str]:
        """One line an operator, and what is left of a tick, so that the shares are those of a whole."""
        lines = [
            "Operators: microseconds of each, hot, one by one in order, an empty call taken off",
            f"{'':<24} {'':<16} {'size':>13}  {'weights x act.':<14} {'bytes':>10} {'p50':>9} {'share':>6} "
            f"{'x its read':>10}",
        ]
        for cost in self.operators:
            info, reads = cost.info, "" if cost.reads is None else f"{cost.reads:.2f}"
            formats = f"{info.weights} x {info.activations}" if info.weight_bytes else ""
            lines.append(
                f"{info.name:<24} {kind(info):<16} {f'{info.inputs} -> {info.units}':>13}  {formats:<14} "
                f"{info.weight_bytes:>10,} {cost.latency.p50:>9.2f} {cost.share:>6.1%} {reads:>10}"
            )
        return [*lines, f"{REST:<81} {self.rest:>9.2f} {self.rest / self.hot_p50(TICK):>6.1%}"]

    def _paced_table(self, paced: PacedRun) -> list[str]:
        period = duration(paced.period / 1e9)
        lines = [
            f"Paced: a frame every {period} for {paced.seconds:.3g} s, something else touches "
            f"{paced.touched_bytes / 2**20:.1f} MB in between; microseconds",
            f"{'':<28} {'':<13} {HEADINGS} {'jitter':>9} {'p50 / hot':>10} {'steps':>8}",
        ]
        for name, times in paced.times.items():
            latency = Latency.of(times.compute)
            ratio = f"{latency.p50 / self.hot_p50(name):>10.2f} {latency.steps:>8,}"
            lines.append(f"{name:<28} {'compute':<13} {latency.row()} {latency.jitter:>9.2f} {ratio}")
            if name != READ:
                for title, part in (("begun late", times.late), ("due to answer", times.answer)):
                    latency = Latency.of(part)
                    lines.append(f"{'':<28} {title:<13} {latency.row()} {latency.jitter:>9.2f}")
        for name, times in paced.times.items():
            if name != READ:
                hot, cold = (p50 * 1e3 / paced.period for p50 in (self.hot_p50(name), Latency.of(times.compute).p50))
                lines.append(
                    f"{name}: {times.misses:,} of {len(times.late):,} deadlines missed; "
                    f"real-time factor {cold:.2g} in real time, {hot:.2g} hot (p50 / period)"
                )
        return lines
