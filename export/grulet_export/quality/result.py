"""What the report says, as data: everything here is plain numbers, strings and tuples, so it is JSON as it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Agreement:
    """How often the largest element of an output, the class it names, is the same with float and quantized weights.

    ``lead``: by how much the float model's largest element leads the second, median over all frames;
    ``lead_where_different``: the same over the frames that disagree (None: there are none).
    """

    share: float
    different: int
    lead: float
    lead_where_different: float | None
    reason: str  # why this output is taken for a class


@dataclass(frozen=True)
class OutputLoss:
    """One output of the model over all frames of the run.

    ``snr_db``: power of the float output over that of the difference, None without a difference; ``rms``, ``largest``:
    of the difference; ``reach``: the largest magnitude of the float output.
    """

    name: str
    width: int
    snr_db: float | None
    rms: float
    largest: float
    reach: float
    agreement: Agreement | None


@dataclass(frozen=True)
class OperatorLoss:
    """One operator that has weights.

    ``snr_db``: of its own output, everything quantized.  ``alone_db``: of the model's output if this operator alone is
    quantized; ``share``: of the error power that all operators cause so, one by one; ``from_weights``: how much of
    it the rounding of its weights causes, the rest is its activations (all three None for an operator in f32, and
    the latter two where the operator does no harm at all).  ``gates``: SNR in dB of every gate, by its letter.
    """

    name: str
    kind: str
    inputs: int
    units: int
    weights: str
    activations: str
    snr_db: float | None
    alone_db: float | None
    share: float | None
    from_weights: float | None
    gates: Mapping[str, float | None]

    @property
    def formats(self) -> str:
        """Weights, and what they multiply."""
        return self.weights if self.activations == "f32" else f"{self.weights} x {self.activations}"


@dataclass(frozen=True)
class Drift:
    """The error over time.

    ``errors``: RMS error of each ``window`` frames over the output's own RMS in the whole run; ``quarters``: the same
    of the run's quarters.  ``ratio``: last quarter over second one, each relative to the output's RMS in that quarter
    (None if the second has no error); the error ``drifts`` if that is more than ``limit``.
    """

    window: int
    errors: tuple[float, ...]
    quarters: tuple[float, ...]
    ratio: float | None
    limit: float
    drifts: bool


@dataclass(frozen=True)
class WorstFrame:
    """A frame with a large error: float and quantized values of the output ``output``, where the error is largest."""

    index: int
    output: str
    error: float
    float_values: tuple[float, ...]
    quantized_values: tuple[float, ...]


@dataclass(frozen=True)
class WorstRow:
    """A row of weights whose rounding moves its sum most.

    ``matrix``: "input", "recurrent", or "table", whose rows are looked up; ``rms``: of what rounding adds to the row's
    sum over the frames, and ``snr_db`` of that sum; ``weights``: the float ones, ``rounded``: what the file holds in
    their place; ``levels``: values that the row's format allows from the least to the largest weight (of int4 those of
    all its groups).
    """

    operator: str
    matrix: str
    gate: str
    unit: int
    rms: float
    snr_db: float | None
    weights: tuple[float, ...]
    rounded: tuple[float, ...]
    levels: tuple[float, ...]


@dataclass(frozen=True)
class MetricValues:
    """The user's own measure of the float and of the quantized model."""

    name: str
    float_value: float
    quantized_value: float


@dataclass(frozen=True)
class TradeOff:
    """One choice of formats: the size of the file, the loss (SNR of the output in dB), and what was chosen."""

    file_bytes: int
    snr_db: float
    formats: str


@dataclass(frozen=True)
class Quality:
    """All of it.

    ``frames`` of ``source`` (in words: given or random, repeated or not), of which the first ``given`` are different
    ones; ``gate_frames``, ``alone_frames``: of these, how many the gates and the operators one by one were measured on.
    ``file_bytes``, ``float_bytes``: the file, and the same model as a file with f32 weights.
    """

    model: str
    weights: str
    activations: str
    file_bytes: int
    float_bytes: int
    frames: int
    given: int
    source: str
    gate_frames: int
    alone_frames: int
    outputs: tuple[OutputLoss, ...]
    operators: tuple[OperatorLoss, ...]
    drift: Drift
    worst_frames: tuple[WorstFrame, ...]
    worst_rows: tuple[WorstRow, ...]
    metric: MetricValues | None
    trade_off: tuple[TradeOff, ...]
    notes: tuple[str, ...]

    @property
    def exact(self) -> bool:
        """Whether no output differs from the float model's anywhere."""
        return all(output.largest == 0 for output in self.outputs)

    @property
    def worst_output(self) -> OutputLoss:
        """The output with the lowest SNR."""
        return min(self.outputs, key=lambda output: float("inf") if output.snr_db is None else output.snr_db)

    @property
    def costliest(self) -> OperatorLoss | None:
        """The operator that alone does the most harm to the output; None where none does any."""
        shares = [op for op in self.operators if op.share]
        return max(shares, key=lambda op: op.share or 0.0, default=None)

    def as_json(self) -> dict[str, Any]:
        """For ``--json``, the verdict's sentences among it."""
        from grulet_export.quality.verdict import headline, sentences

        return {"headline": headline(self), "verdict": sentences(self), **asdict(self)}

    def __str__(self) -> str:
        from grulet_export.quality.table import table

        return table(self)
