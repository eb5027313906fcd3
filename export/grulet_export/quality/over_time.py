"""Thousands of frames through both models: the loss of every output, the error over time, the worst frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from grulet.operators import Program
from grulet_export.quality.classes import ClassCount, why_classes
from grulet_export.quality.material import Material
from grulet_export.quality.result import Drift, OutputLoss, WorstFrame
from grulet_export.quality.running import Chunk, SideBySide, opened, probed
from grulet_export.quality.signals import snr_db
from grulet_export.quality.variants import same_structure, weighted

Doubles: TypeAlias = NDArray[np.float64]

WINDOWS = 200
DRIFT_LIMIT = 1.25  # 2 dB
WORST = 10
APART = 10  # frames: what is nearer to a worse frame is the same event


@dataclass(frozen=True)
class LongRun:
    """What both models gave: losses of the outputs, SNR of every operator's output by name, the error over time."""

    outputs: tuple[OutputLoss, ...]
    operators: dict[str, float | None]
    drift: Drift
    worst: tuple[WorstFrame, ...]


class _Powers:
    """Power of a signal and of its error, frame by frame, for several parts of the answers."""

    def __init__(self, frames: int, parts: list[slice]) -> None:
        self.parts = parts
        self.signal, self.noise = np.zeros((frames, len(parts))), np.zeros((frames, len(parts)))
        self.reach, self.largest = np.zeros((frames, len(parts))), np.zeros((frames, len(parts)))

    def add(self, chunk: Chunk) -> None:
        """Take the answers of both models, the float one first."""
        for number, part in enumerate(self.parts):
            exact, rounded = (answers[:, part].astype(np.float64) for answers in chunk.answers)
            error = np.abs(rounded - exact)
            self.signal[chunk.slice, number] = np.square(exact).mean(axis=1)
            self.noise[chunk.slice, number] = np.square(error).mean(axis=1)
            self.reach[chunk.slice, number] = np.abs(exact).max(axis=1)
            self.largest[chunk.slice, number] = error.max(axis=1)

    def snr_db(self, number: int) -> float | None:
        """SNR of one part over all frames."""
        return snr_db(float(self.signal[:, number].mean()), float(self.noise[:, number].mean()))


def long_run(float_program: Program, quantized: Program, material: Material) -> LongRun:
    """Run both programs over all frames; operators are compared where both programs have the same ones."""
    outputs = [port.value for port in quantized.outputs]
    probes = [op.output for _, op in weighted(quantized) if op.output not in outputs]
    if not same_structure(float_program, quantized):
        probes = []
    models = [opened(probed(program, probes)) for program in (float_program, quantized)]
    pair = SideBySide(models, material)
    powers = _Powers(material.total, [port.slice for port in models[1].outputs])
    classes = {number: ClassCount(reason) for number, reason in why_classes(quantized).items()}
    for chunk in pair.run("long run"):
        powers.add(chunk)
        for number, count in classes.items():
            count.add(*(answers[:, powers.parts[number]] for answers in chunk.answers))
    losses = tuple(
        OutputLoss(
            port.name,
            quantized.width(port.value),
            powers.snr_db(number),
            float(powers.noise[:, number].mean() ** 0.5),
            float(powers.largest[:, number].max()),
            float(powers.reach[:, number].max()),
            classes[number].result() if number in classes else None,
        )
        for number, port in enumerate(quantized.outputs)
    )
    seen = [*outputs, *probes]
    operators = {op.name: powers.snr_db(seen.index(op.output)) for _, op in weighted(quantized) if op.output in seen}
    last = len(outputs)
    drift = drift_of(powers.signal[:, :last], powers.noise[:, :last])
    return LongRun(losses, operators, drift, _worst(pair, quantized, powers, material.distinct))


def drift_of(signal: Doubles, noise: Doubles) -> Drift:
    """Whether the error grows: powers (frames, outputs) of the outputs and of their errors."""
    usual = signal.mean(axis=0)
    relative = np.divide(noise, usual, out=np.zeros_like(noise), where=usual > 0).mean(axis=1)
    window = max(1, -(-len(relative) // WINDOWS))
    starts = np.arange(0, len(relative), window)
    counts = np.diff([*starts, len(relative)])
    errors = np.sqrt(np.add.reduceat(relative, starts) / counts)
    quarters = [np.sqrt(part.mean()) if len(part) else 0.0 for part in np.array_split(relative, 4)]
    second, last = (_share(np.array_split(signal, 4)[i], np.array_split(noise, 4)[i]) for i in (1, 3))
    ratio = (last / second) ** 0.5 if second > 0 else None
    drifts = ratio > DRIFT_LIMIT if ratio is not None else last > 0
    return Drift(window, tuple(map(float, errors)), tuple(map(float, quarters)), ratio, DRIFT_LIMIT, drifts)


def _share(signal: Doubles, noise: Doubles) -> float:
    """Error power over output power, the mean of all outputs that are not silent."""
    signals, noises = signal.sum(axis=0), noise.sum(axis=0)
    loud = signals > 0
    return float((noises[loud] / signals[loud]).mean()) if loud.any() else 0.0


def _worst(pair: SideBySide, program: Program, powers: _Powers, frames: int) -> tuple[WorstFrame, ...]:
    """Of the first ``frames`` those with the largest error, the worst first; of several within `APART` the worst."""
    largest = powers.largest[:frames, : len(program.outputs)]
    errors = largest.max(axis=1)
    found: list[int] = []
    for index in np.argsort(-errors, kind="stable"):
        if errors[index] == 0 or len(found) == WORST:
            break
        if all(abs(int(index) - other) >= APART for other in found):
            found.append(int(index))
    frames_found = []
    for index in found:
        number = int(largest[index].argmax())
        exact, rounded = (tuple(map(float, answer[powers.parts[number]])) for answer in pair.again(index))
        frames_found.append(WorstFrame(index, program.outputs[number].name, float(errors[index]), exact, rounded))
    return tuple(frames_found)
