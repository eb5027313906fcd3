"""One GRU layer, one frame: every kernel of this machine, onnxruntime and torch, in turn, beside the read floor.

    python benchmarks/latency.py [--sizes 32,64,128,256,512] [--steps 20000] [--output results/latency.json]

Whole Python calls on held buffers (``tick``) for us, the fastest call known for the others (grulet_export.rivals).
Weights and frames are random; times do not depend on them.  One thread, pinned, garbage collector off.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import grulet
from grulet.bench import ROUND, Latency, machine, measure, quiet_process
from grulet.progress import progress
from grulet_export import export
from grulet_export.rivals import OnnxRival, TorchRival

FORMATS = (("int8", "int8"), ("int8", "int16"), ("f32", "f32"))


def contestants(size: int, folder: Path) -> dict[str, Callable[[int], object]]:
    """Every way to take one step of one layer of ``size`` inputs and units."""
    torch.manual_seed(0)
    layer = nn.GRU(size, size)
    rows = list(np.random.default_rng(0).standard_normal((1000, size), np.float32))
    found: dict[str, Callable[[int], object]] = {}
    for weights, activations in FORMATS:
        path = folder / f"{size}.{weights}.{activations}.grulet"
        export(layer, path, weights=weights, activations="int16" if weights == "f32" else activations, frames=20)
        model = grulet.load(path)
        name = weights if weights == "f32" else f"{weights} x {activations}"
        found[f"read {weights}"] = on_isa(grulet.isas()[0], lambda step, model=model: model.read_weights())
        for isa in grulet.isas():
            stream = model.stream(block=1)
            stream.input[:] = rows[0]
            found[f"{isa} {name}"] = on_isa(isa, lambda step, tick=stream.tick: tick())
    data = path.read_bytes()
    for rival in (OnnxRival(data), TorchRival(data)):
        found[rival.title] = lambda step, rival=rival: rival.step(rows[step % len(rows)])
    return found


def on_isa(isa: str, call: Callable[[int], object]) -> Callable[[int], object]:
    """Choose the instruction set at the beginning of every round: its first call pays, beyond the 99th percentile."""

    def chosen(step: int) -> object:
        if step % ROUND == 0:
            grulet.use_isa(isa)
        return call(step)

    return chosen


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="32,64,128,256,512", help="inputs = units, separated by commas")
    parser.add_argument("--steps", type=int, default=20_000, help="steps of each at each size")
    parser.add_argument("--output", type=Path, help="write everything as JSON")
    options = parser.parse_args()
    results: dict[str, Any] = {"machine": machine(), "microseconds": {}}
    with tempfile.TemporaryDirectory() as folder, quiet_process():
        for size in map(int, options.sizes.split(",")):
            with progress(f"{size} units", options.steps, "steps") as done:
                times = measure(contestants(size, Path(folder)), options.steps, done)
            latencies = {name: Latency.of(sample) for name, sample in times.items()}
            results["microseconds"][size] = {name: asdict(latency) for name, latency in latencies.items()}
            print(f"\n{size} units{'':<18} {'p50':>9} {'p99':>9} {'p99.9':>9} {'worst':>9}   p50 / read")
            for name, latency in latencies.items():
                floor = latencies["read f32" if "f" in name.split()[-1] else "read int8"].p50
                print(f"{name:<26} {latency.row()} {latency.p50 / floor:>12.2f}")
    if options.output:
        options.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
