"""What `evaluate` measured as the Markdown tables of the README."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

#: Times beside those of the networks: a network's name and this for reading its weights; everything but the network.
READING = ": reading the weights"
AROUND = "transforms, logarithm, mask (numpy)"


def tables(metrics: Mapping[str, Any]) -> str:
    """First how good, then how large and how fast."""
    return "\n\n".join((_quality(metrics), _cost(metrics)))


def _quality(metrics: Mapping[str, Any]) -> str:
    ratios: dict[str, Any] = metrics["quality"]
    changes = " / ".join(name.removesuffix(" dB") for name in ratios)
    first, *others = next(iter(ratios.values()))["networks"]
    rows = [
        ["SI-SDR, dB", *(f"noise at {name}" for name in ratios), f"change, at {changes} dB", "of one sentence, at most",
         "largest difference of a gain"],
        ["as recorded", *(f"{entry['noisy_si_sdr']:.2f}" for entry in ratios.values()), "", "", ""],
    ]  # fmt: skip
    for name in (first, *others):
        results = [entry["networks"][name] for entry in ratios.values()]
        row = [name, *(f"{result['si_sdr']:.2f}" for result in results)]
        if name == first:
            row += ["", "", ""]
        else:
            row.append(" / ".join(f"{round(result['change'], 3) + 0.0:+.3f}" for result in results))
            row.append(f"{max(result['largest_change_of_a_sentence'] for result in results):.3f}")
            row.append(f"{max(result['largest_gain_difference'] for result in results):.1e}")
        rows.append(row)
    return _markdown(rows)


def _cost(metrics: Mapping[str, Any]) -> str:
    rows = [
        ["one frame, microseconds", "p50", "p99", "p99.9", "worst", "reading the weights", "all frames at once (mean)",
         "file, KB", "of the ONNX"],
    ]  # fmt: skip
    latency, file_bytes = metrics["latency"], metrics["file_bytes"]
    onnx_bytes = next(iter(file_bytes.values()))
    for name, mean in metrics["whole_sequence"].items():
        cells = [*_times(latency[name]), f"{latency[name + READING]['p50']:.0f}"] if name in latency else ["-"] * 5
        share = file_bytes[name] / onnx_bytes
        rows.append([name, *cells, f"{mean:.0f}", f"{file_bytes[name] / 1e3:,.0f}", f"{share:.3f}"])
    rows.append([AROUND, *_times(latency[AROUND]), "", "", "", ""])
    return _markdown(rows)


def _times(latency: Mapping[str, float]) -> list[str]:
    return [f"{latency[name]:.0f}" for name in ("p50", "p99", "p999", "worst")]


def _markdown(rows: Iterable[list[str]]) -> str:
    heading, *body = rows
    rule = ["---"] + ["---:"] * (len(heading) - 1)
    return "\n".join(f"| {' | '.join(row)} |" for row in (heading, rule, *body))
