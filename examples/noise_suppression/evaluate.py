"""NSNet2 over 66 s of speech in kitchen noise: onnxruntime against grulet, float against int8.

python -m examples.noise_suppression.evaluate    # prints the tables of the README and writes metrics.json

Needs torch, onnx, onnxruntime and soundfile.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from examples.command import exit_status
from examples.noise_suppression.contestants import (
    ONNXRUNTIME,
    Whole,
    convert_all,
    frame_by_frame,
    grulet_whole,
    onnxruntime_whole,
)
from examples.noise_suppression.denoiser import Denoiser, features
from examples.noise_suppression.mixture import Mixture, mix, noise, sentences
from examples.noise_suppression.network import HERE, fetch
from examples.noise_suppression.quality import Comparison, enhance, si_sdr
from examples.noise_suppression.stft import SAMPLE_RATE, analyse, hops
from examples.noise_suppression.tables import AROUND, READING, tables

import grulet
from grulet.errors import GruletError
from grulet.files import check_writable, write_whole
from grulet.measuring import Latency, machine, measure, quiet_process
from grulet.progress import progress

#: How far the noise is below the speech, dB.
RATIOS = (0, 5, 10)


def quality(networks: Mapping[str, Whole], mixture: Mixture) -> dict[str, Any]:
    """SI-SDR of one mixture as it is and after every network, each beside the first one."""
    results = enhance(networks, mixture)
    first = next(iter(results.values()))
    return {
        "noisy_si_sdr": si_sdr(mixture.noisy, mixture.clean),
        "networks": {name: asdict(Comparison.of(result, first)) for name, result in results.items()},
    }


def latencies(models: Mapping[str, grulet.Model], mixture: Mixture, steps: int) -> dict[str, Any]:
    """Microseconds of one frame, in turn: every file's step, merely reading its weights, and all but the network."""
    recording = hops(mixture.noisy)
    frames = list(features(analyse(mixture.noisy)))
    around = Denoiser(lambda frame: frame).step

    def stepping(model: grulet.Model) -> Callable[[int], object]:
        step = model.stream().step
        return lambda number: step(frames[number % len(frames)])

    def reading(model: grulet.Model) -> Callable[[int], object]:
        return lambda number: model.read_weights()

    contestants = {name: stepping(model) for name, model in models.items()}
    contestants |= {f"{name}{READING}": reading(model) for name, model in models.items()}
    contestants[AROUND] = lambda number: around(recording[number % len(recording)])
    with quiet_process(), progress("latency", steps, "steps") as done:
        times = measure(contestants, steps, done)
    return {name: asdict(Latency.of(sample)) for name, sample in times.items()}


def whole_sequence_latency(network: Whole, mixture: Mixture, runs: int = 3) -> float:
    """Microseconds of a frame where all frames are given at once: the median of some runs, after one to warm up."""
    frames = features(analyse(mixture.noisy))
    times = []
    with quiet_process():
        for _ in range(runs + 1):
            begin = time.perf_counter_ns()
            network(frames)
            times.append((time.perf_counter_ns() - begin) / 1e3 / len(frames))
    return float(np.median(times[1:]))


def evaluate(steps: int) -> dict[str, Any]:
    """Everything, as `metrics.json` holds it: SI-SDR in dB, times in microseconds."""
    speech, background = sentences(), noise()
    mixtures = {ratio: mix(speech, background, ratio) for ratio in RATIOS}
    with tempfile.TemporaryDirectory() as folder:
        models = convert_all(Path(folder))
        networks = {ONNXRUNTIME: onnxruntime_whole()}
        wholes = networks | {name: grulet_whole(model) for name, model in models.items()}
        networks |= {name: frame_by_frame(model) for name, model in models.items()}
        return {
            "seconds": round(len(mixtures[0].noisy) / SAMPLE_RATE, 1),
            "quality": {f"{ratio} dB": quality(networks, mixture) for ratio, mixture in mixtures.items()},
            "file_bytes": {ONNXRUNTIME: fetch().stat().st_size}
            | {name: model.file_bytes for name, model in models.items()},
            "whole_sequence": {name: whole_sequence_latency(network, mixtures[0]) for name, network in wholes.items()},
            "latency": latencies(models, mixtures[0], steps),
            "machine": machine(),
        }


def run(options: argparse.Namespace) -> None:
    """Measure, write, print."""
    if options.steps < 1:
        raise GruletError(f"--steps must be at least 1, not {options.steps}")
    check_writable(options.output)
    metrics = evaluate(options.steps)
    write_whole(options.output, (json.dumps(metrics, indent=2) + "\n").encode())
    print(tables(metrics))


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="noise_suppression.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=20_000, metavar="N", help="frames to time; default: 20,000")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "metrics.json", metavar="FILE.json")
    options = parser.parse_args()
    return exit_status("noise_suppression.evaluate", lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
