"""Mixed precision: which operator gets which format, so that little is lost in few bytes.

Every operator is quantized alone in every format, and the answers of the model are compared with the float ones.  The
errors of several operators add up as independent noises do, in squares.  So from the smallest file on, the change that
takes away most squared loss for its bytes is made again and again: the curve of trade-offs.  What a choice really loses
is measured in the end.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from grulet import format as grulet_format
from grulet.errors import GruletError
from grulet.frames import random_frames
from grulet.model import load
from grulet.progress import progress
from grulet_export.graph import Array, Dense, Graph
from grulet_export.lower import lower
from grulet_export.quality.result import TradeOff
from grulet_export.quantization.calibration import Calibration
from grulet_export.quantization.grids import F16_LIMIT
from grulet_export.quantization.node import QuantizedNode, Weighted, in_floats, matrices_of
from grulet_export.quantization.quantize import moments_seen, quantize, quantized_node
from grulet_export.quantization.ranges import hidden_values
from grulet_export.quantization.settings import Settings, weighted

FORMATS = ("int4", "int8", "f16", "f32")
RANDOM_FRAMES = 1000


@dataclass(frozen=True)
class Choice:
    """A format for every operator that may be mixed, what the file then weighs, and what it is expected to lose.

    ``loss``: RMS error of the answers over the RMS of the float answers; of several outputs, the root of the sum of
    their squares.
    """

    formats: Mapping[str, str]
    file_bytes: int
    loss: float

    @property
    def summary(self) -> str:
        """How many operators have which format."""
        counts = Counter(self.formats.values())
        return ", ".join(f"{counts[weights]} {weights}" for weights in FORMATS if counts[weights])


@dataclass(frozen=True)
class Mixture:
    """What was chosen, what it really loses, and what else there was: from the smallest file to the least loss."""

    chosen: Choice
    measured_loss: float
    curve: tuple[Choice, ...]
    frames: int
    random: bool  # whether the frames were random ones

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know."""
        formats = ", ".join(f"{name} {weights}" for name, weights in self.chosen.formats.items())
        chosen = (
            f"mixed: {formats}; loss {self.measured_loss:.2%} of the output's RMS over {self.frames:,} frames "
            f"({self.chosen.loss:.2%} expected)"
        )
        warning = (
            "mixed by the answers to random frames: a calibration would say what counts where the model will be used"
        )
        return (chosen, warning) if self.random else (chosen,)

    @property
    def trade_off(self) -> tuple[TradeOff, ...]:
        """The curve for a report: what loses nothing has no SNR, and no place in it."""
        return tuple(
            TradeOff(choice.file_bytes, -20 * math.log10(choice.loss), choice.summary)
            for choice in self.curve
            if choice.loss > 0
        )


@dataclass(frozen=True)
class _Option:
    """One operator in one format: its bytes in the file, and the squared loss of quantizing it alone."""

    weights: str
    size: int
    squared_loss: float


def mix(
    graph: Graph,
    settings: Settings,
    calibration: Calibration | None,
    max_bytes: int | None = None,
    max_loss: float | None = None,
    exporter: str = "",
) -> tuple[Mixture, dict[str, QuantizedNode]]:
    """Choose formats, and quantize in them: the least loss in ``max_bytes``, or the smallest file within ``max_loss``.

    ``settings``: the activations and the rounding; operators trained in a format keep it.  Raises `GruletError` if
    ``max_bytes`` is less than the smallest file has.  ``exporter``: as for `lower`; it counts as bytes.
    """
    ports = [(port.width, port.tokens) for port in graph.inputs]
    frames = Calibration((random_frames(ports, RANDOM_FRAMES, 0),)) if calibration is None else calibration
    judge = _Judge(graph, frames, exporter)
    options = _options(graph, settings, calibration, judge)
    fixed = len(judge.file({})) - sum(choices[-1].size for choices in options.values())
    curve = tuple(_choice(state, fixed) for state in _upgrades(options, fixed, None))
    if max_bytes is not None:
        if curve[0].file_bytes > max_bytes:
            raise GruletError(
                f"max_bytes: the smallest file of this model has {curve[0].file_bytes:,} bytes, more than {max_bytes:,}"
            )
        *_, last = _upgrades(options, fixed, max_bytes)
        tried = [_choice(last, fixed)]
    else:
        assert max_loss is not None
        tried = [choice for choice in curve if choice.loss <= max_loss]
    for choice in tried:
        quantized = quantize(graph, replace(settings, weights=dict(choice.formats)), calibration)
        measured = judge.loss(quantized)
        if max_loss is None or measured <= max_loss:
            break
    return Mixture(choice, measured, curve, frames.frames, calibration is None), quantized


class _Judge:
    """Compares the answers of the quantized model with the float ones, on recordings."""

    def __init__(self, graph: Graph, calibration: Calibration, exporter: str) -> None:
        self._graph, self._recordings, self._exporter = graph, calibration.recordings, exporter
        self._float = self._answers({})

    def file(self, quantized: Mapping[str, QuantizedNode]) -> bytes:
        """Return the file."""
        return grulet_format.write(lower(self._graph, quantized, exporter=self._exporter))

    def loss(self, quantized: Mapping[str, QuantizedNode]) -> float:
        """Return the RMS error over the RMS of the answers, the root of the sum of squares over the outputs."""
        pairs = zip(self._answers(quantized), self._float, strict=True)
        return math.sqrt(sum(_share(np.square(ours - theirs), np.square(theirs)) for ours, theirs in pairs))

    def _answers(self, quantized: Mapping[str, QuantizedNode]) -> list[Array]:
        """Each output (frames, width), float64."""
        model = load(self.file(quantized))
        vectors = np.concatenate([model.stream().run_vector(frames) for frames in self._recordings])
        return [vectors[:, port.slice].astype(np.float64) for port in model.outputs]


def _share(error: Array, signal: Array) -> float:
    """The mean of the error in shares of that of the signal; of an output that is always 0, as it is."""
    return float(error.mean() / (signal.mean() or 1.0))


def _options(
    graph: Graph, settings: Settings, calibration: Calibration | None, judge: _Judge
) -> dict[str, list[_Option]]:
    """Operator name -> its sensible formats, from the smallest to f32, each with less loss than those before it."""
    hidden = hidden_values(graph)
    mixed = [node for node in weighted(graph) if _may_be_mixed(node, settings)]
    options: dict[str, list[_Option]] = {}
    with progress("sensitivity", len(mixed), "operators") as done:
        for count, node in enumerate(mixed, 1):
            asked = replace(settings, weights="int4")
            seen = calibration is not None and asked.compensates(node)
            moments = moments_seen(graph, {}, node, calibration) if calibration is not None and seen else None
            found = []
            for weights in FORMATS[:-1]:
                if weights == "f16" and max(float(np.abs(values).max()) for values in matrices_of(node)) > F16_LIMIT:
                    continue
                quantized = quantized_node(node, replace(settings, weights=weights), hidden, moments)
                loss = judge.loss({node.name: quantized})
                found.append(_Option(weights, _size(graph, node, quantized), loss**2))
            found.append(_Option("f32", _size(graph, node, in_floats(node)), 0.0))
            options[node.name] = [
                option
                for at, option in enumerate(found)
                if all(option.squared_loss < before.squared_loss for before in found[:at])
            ]
            done(count)
    return options


def _may_be_mixed(node: Weighted, settings: Settings) -> bool:
    return node.name not in settings.trained and not (isinstance(node, Dense) and node.exact)


def _size(graph: Graph, node: Weighted, quantized: QuantizedNode) -> int:
    """The bytes of a node's weights in the file."""
    program = lower(graph, {node.name: quantized})
    return next(len(grulet_format.weight_data(op)) for op in program.operators if op.name == node.name)


def _upgrades(options: Mapping[str, list[_Option]], fixed: int, max_bytes: int | None) -> Iterator[dict[str, _Option]]:
    """Yield each operator's option, from the smallest file on; each step is the best for its bytes that fits."""
    chosen = {name: choices[0] for name, choices in options.items()}
    while True:
        yield dict(chosen)
        room = math.inf if max_bytes is None else max_bytes - fixed - sum(o.size for o in chosen.values())
        steps = [
            ((now.squared_loss - option.squared_loss) / max(1, option.size - now.size), name, option)
            for name, now in chosen.items()
            for option in options[name]
            if option.squared_loss < now.squared_loss and option.size - now.size <= room
        ]
        if not steps:
            return
        _, name, option = max(steps, key=lambda step: step[0])
        chosen[name] = option


def _choice(chosen: Mapping[str, _Option], fixed: int) -> Choice:
    loss = math.sqrt(sum(option.squared_loss for option in chosen.values()))
    size = fixed + sum(option.size for option in chosen.values())
    return Choice({name: option.weights for name, option in chosen.items()}, size, loss)
