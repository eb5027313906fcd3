"""The report as a short table for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from grulet_export.quality.result import Quality
from grulet_export.quality.verdict import headline, sentences


def table(quality: Quality) -> str:
    """Return the verdict, then a line for every operator."""
    return "\n".join(_lines(quality))


def _lines(quality: Quality) -> Iterator[str]:
    yield f"{headline(quality)}."
    yield from sentences(quality)
    yield ""
    yield (
        f"{'SNR, dB':<24} {'size':>13}  {'format':<13} {'its output':>10} {'alone':>8} {'share':>6} {'weights':>8}"
        f"   gates"
    )
    for op in quality.operators:
        gates = "  ".join(f"{gate} {number(value)}" for gate, value in op.gates.items())
        yield (
            f"{op.name:<24} {f'{op.inputs} -> {op.units}':>13}  {op.formats:<13} {number(op.snr_db):>10} "
            f"{number(op.alone_db):>8} {_percent(op.share):>6} {_percent(op.from_weights):>8}   {gates}"
        ).rstrip()
    yield ""
    yield "alone: SNR of the model's output if it alone is quantized; share: of the error power they so cause;"
    yield "weights: how much of it the rounding of weights causes, the rest is that of activations"
    for note in quality.notes:
        yield f"note: {note}"


def number(value: float | None) -> str:
    """SNR with a decimal, or a dash where there is no error."""
    return "-" if value is None else f"{value:.1f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
