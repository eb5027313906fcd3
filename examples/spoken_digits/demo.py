"""The main job, end to end: torch checkpoint -> ONNX -> .grulet -> C kernel, on a continuous recording with noise.

Run it with ``grulet demo``. It exports the checkpoint (with proof), streams the recording frame by frame as a device
would, says what was heard and when, and measures the same frames through onnxruntime and torch in the same run.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from clips import Samples, load_clips
from decode import DigitDetector, Event, probabilities
from evaluate import RECORDINGS, Heard, Word, continuous, pair
from model import load
from numpy.typing import NDArray

import grulet
from grulet.audio import Frames, LogMel, read_wav
from grulet.measuring import HEADINGS, Latency, machine, measure, quiet_process
from grulet.progress import progress
from grulet_export import Report, export
from grulet_export.rivals import OnnxRival, TorchRival

OURS = "grulet"


@dataclass(frozen=True)
class Demo:
    """Everything the demo saw."""

    report: Report
    seconds: float
    snr: float
    heard: list[Heard]
    agreement: dict[str, float]
    latencies: dict[str, Latency]
    front_end: Latency
    read_floor: Latency
    hop_seconds: float
    facts: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "export": self.report.as_json(),
            "recording": {"seconds": self.seconds, "signal_to_noise_db": self.snr},
            "heard": [asdict(entry) | {"right": entry.is_right} for entry in self.heard],
            "largest_logit_difference": self.agreement,
            "microseconds": {name: asdict(latency) for name, latency in self.latencies.items()}
            | {"log-mel front end": asdict(self.front_end), "reading the weights": asdict(self.read_floor)},
            "budget_microseconds": self.hop_seconds * 1e6,
            "machine": self.facts,
        }

    def __str__(self) -> str:
        right = sum(entry.is_right for entry in self.heard)
        words = sum(entry.said is not None for entry in self.heard)
        extra = len(self.heard) - words
        return "\n".join(
            [
                "1. The export: the torch checkpoint becomes one file, and proves itself",
                "",
                str(self.report),
                "",
                f"2. The stream: {self.seconds:.1f} s of digits over kitchen noise ({self.snr:.0f} dB), frame by frame",
                "",
                f"{'said':>6} {'from':>7} {'to':>7}    {'heard':>5} {'at':>7}  {'sure':>5}",
                *map(_line, self.heard),
                "",
                f"{right} of {words} digits right, {extra} announced where none was said",
                "",
                f"3. The latency of one frame, of the {self.hop_seconds * 1e3:.0f} ms a frame lasts (microseconds)",
                "",
                *self._latency_lines(),
                "",
                f"{self.facts['cpu']}, kernel {self.facts['isa']}, one thread, pinned, in turn, "
                f"{next(iter(self.latencies.values())).steps:,} steps each",
            ]
        )

    def _latency_lines(self) -> list[str]:
        ours = self.latencies[OURS].p50
        budget = self.hop_seconds * 1e6
        lines = [f"{'':<24} {HEADINGS}  {'p50 ratio':>9}  {'worst, of budget':>16}"]
        for name, latency in self.latencies.items():
            lines.append(f"{name:<24} {latency.row()}  {latency.p50 / ours:>9.2f}  {latency.worst / budget:>16.2%}")
        lines.append(f"{'reading the weights':<24} {self.read_floor.row()}  {self.read_floor.p50 / ours:>9.2f}")
        lines.append(f"{'log-mel front end':<24} {self.front_end.row()}  {self.front_end.p50 / ours:>9.2f}  (numpy)")
        others = ", ".join(f"{name} {difference:.1e}" for name, difference in self.agreement.items())
        lines += ["", f"largest difference of a logit from ours, the weights being the same: {others}"]
        return lines


def _line(entry: Heard) -> str:
    said = f"{entry.said.label:>6} {entry.said.start:7.2f} {entry.said.end:7.2f}" if entry.said else f"{'-':>6} {'':15}"
    if entry.event is None:
        return f"{said}    {'-':>5}                   missed"
    verdict = "" if entry.is_right else "   wrong" if entry.said else "   nobody spoke"
    return f"{said}    {entry.event.label:>5} {entry.event.end:7.2f}  {entry.event.confidence:5.0%}{verdict}"


def run(options: Namespace) -> Demo:
    """Run the demo as the options say; with ``plot`` also draw it."""
    module = load()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "digits.grulet"
        report = replace(export(module, file), model=file.name)
        data = file.read_bytes()
    model = grulet.load(data)
    front = LogMel.from_metadata(model.metadata["audio"])
    samples, words = _recording(options.snr, options.seed)

    frames, logits, events = _stream(model, front, samples)
    rivals = {OnnxRival.title: OnnxRival(data), TorchRival.title: TorchRival(data)}
    agreement = {
        name: float(np.abs(np.stack([rival.step(frame) for frame in frames]) - logits).max())
        for name, rival in rivals.items()
    }
    with quiet_process() as cpu:
        times = _measure(model, front, samples, frames, rivals, options.steps)
    latencies = {name: Latency.of(sample) for name, sample in times.items()}
    demo = Demo(
        report=report,
        seconds=len(samples) / front.sample_rate,
        snr=options.snr,
        heard=_in_order(pair(events, words)),
        agreement=agreement,
        front_end=latencies.pop("log-mel front end"),
        read_floor=latencies.pop("reading the weights"),
        latencies=latencies,
        hop_seconds=front.hop_seconds,
        facts=machine() | {"pinned_to_cpu": cpu},
    )
    if options.plot:
        from picture import draw

        shown = {name: times[name] for name in latencies}
        draw(options.plot, samples, front, probabilities(logits), demo.heard, shown)
    return demo


def _recording(snr: float, seed: int) -> tuple[Samples, list[Word]]:
    """All recordings beside this file, in random order, with pauses, under the background noise."""
    clips = load_clips(RECORDINGS)
    background, _ = read_wav(RECORDINGS / "background.wav")
    order = np.random.default_rng(seed).permutation(len(clips))
    return continuous([clips[i] for i in order], background, snr, seed)


def _stream(model: grulet.Model, front: LogMel, samples: Samples) -> tuple[Frames, NDArray[np.float32], list[Event]]:
    """Samples come a hop at a time, as from a microphone; every frame is answered before the next samples come."""
    stream = model.stream()
    detector = DigitDetector(front.hop_seconds, front.window_seconds)
    front.reset()
    frames, logits, events = [], [], []
    for start in range(0, len(samples), front.hop):
        for frame in front.push(samples[start : start + front.hop]):
            answer = stream.step(frame)
            event = detector.step(answer)
            frames.append(frame)
            logits.append(answer)
            if event is not None:
                events.append(event)
    return np.stack(frames), np.stack(logits), events


def _in_order(heard: list[Heard]) -> list[Heard]:
    """By the time something was said or, where nothing was, announced."""
    return sorted(heard, key=lambda entry: entry.said.start if entry.said else entry.event.end if entry.event else 0.0)


def _measure(
    model: grulet.Model,
    front: LogMel,
    samples: Samples,
    frames: Frames,
    rivals: dict[str, OnnxRival | TorchRival],
    steps: int,
) -> dict[str, NDArray[np.int64]]:
    """Time a step of everyone on the recording's frames, over and over, in turn."""
    rows = list(frames)
    hops = [samples[i * front.hop : (i + 1) * front.hop] for i in range(len(samples) // front.hop)]
    step = model.stream().step

    def over(call: Any, items: list[Any]) -> Any:
        return lambda number: call(items[number % len(items)])

    contestants = {OURS: over(step, rows)}
    contestants |= {name: over(rival.step, rows) for name, rival in rivals.items()}
    contestants["reading the weights"] = lambda number: model.read_weights()
    contestants["log-mel front end"] = over(front.push, hops)
    with progress("latency", steps, "steps") as done:
        return measure(contestants, steps, done)
