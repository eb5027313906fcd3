"""The whole page: its head, then every benchmark's section with its pictures."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.common import Document
from benchmarks.report import c_level, latency
from benchmarks.report.pictures import PICTURES, save
from benchmarks.report.sections import SECTIONS
from benchmarks.report.tables import bullets, table, three_digits
from benchmarks.report.verdicts import contestants_of

Results = dict[str, Document]

HOW = """One thread, pinned to one CPU; Python's garbage collector is off. Contestants take turns in short rounds, so
that a change of the machine's speed meets all of them. Weights are hot in whatever cache holds them, frames are
random, the state is carried from step to step. Every rival ([benchmarks/rivals](../benchmarks/rivals)) runs at the
best settings known, listed below, and `python -m benchmarks.rivals` holds its answers against torch. `make bench`
repeats everything and rewrites this page and its pictures from [benchmarks/results](../benchmarks/results): no figure
or sentence on it is written by hand."""


def load(folder: Path) -> Results:
    """All results in a folder."""
    found = {}
    for name in SECTIONS:
        path = folder / f"{name}.json"
        if path.exists():
            found[name] = json.loads(path.read_text(encoding="utf-8"))
    return found


def page(results: Results, pictures: dict[str, dict[str, str]], pictures_folder: str) -> str:
    """The page; ``pictures``: messages by section and file name."""
    parts = ["# Benchmarks", HOW]
    if any(document["quick"] for document in results.values()):
        parts.append("**Made with --quick, which only tries that everything works: these figures mean nothing.**")
    parts += [machine(results), standing_out(results)]
    for name, section in SECTIONS.items():
        if name in results:
            head, _, rest = section(results).partition("\n\n")
            images = [f"![{message}]({pictures_folder}/{file}.png)" for file, message in pictures.get(name, {}).items()]
            parts += [head, *images, rest]
    if "results" in results.get("latency", {}):
        parts += ["## The rivals' settings", latency.settings(results["latency"])]
    return "\n\n".join(part for part in parts if part) + "\n"


def machine(results: Results) -> str:
    """The facts without which a figure means nothing."""
    facts = [document["machine"] for document in results.values()]
    dates = sorted(document["date"] for document in results.values())
    minutes = sum(document["seconds"] for document in results.values()) / 60

    def every(key: str) -> str:
        return ", ".join(dict.fromkeys(str(fact[key]) for fact in facts))

    loads = [fact["load_before"] for fact in facts if fact["load_before"] is not None]
    rows = [
        ["measured", f"{dates[0]} to {dates[-1]}, {three_digits(minutes)} minutes in all"],
        ["CPU", f"{every('cpu')}; {every('cpus')} of them"],
        ["system", every("system")],
        ["grulet", f"{every('grulet')}, kernel {every('isa')}"],
        ["Python, numpy", f"{every('python')}, {every('numpy')}"],
    ]
    if loads:
        rows.append(["load before each benchmark", f"{min(loads):.2f} to {max(loads):.2f} (1 is one busy CPU)"])
    rows += [["noise", text] for text in noise(results)]
    return "\n\n".join(["## The machine", table(["", ""], rows, 2)])


def noise(results: Results) -> list[str]:
    """How far figures may be trusted."""
    texts = []
    if "results" in results.get("latency", {}):
        parts = results["latency"]["results"]["sizes"].values()
        nothing = [facts for part in parts for facts in contestants_of(part, "nothing").values()]
        texts.append(
            f"a call of nothing: p50 {three_digits(max(part['p50'] for part in nothing))} us, "
            f"p99.9 {three_digits(max(part['p999'] for part in nothing))} us, "
            f"worst {three_digits(max(part['worst'] for part in nothing))} us"
        )
    if "results" in results.get("calls", {}):
        kernels = results["calls"]["results"]["kernels"]
        calls = [call for sizes in next(iter(kernels.values())).values() for call in sizes.values()]
        spread = max(call["ratios"][1] / call["ratios"][0] - 1.0 for call in calls)
        texts.append(f"the ratio of the C call to reading, from process to process: up to {100 * spread:.0f} %")
    return texts


def standing_out(results: Results) -> str:
    """The page in a few sentences."""
    lines = []
    if "results" in results.get("latency", {}):
        lines += latency.summary(results["latency"])
    if "results" in results.get("calls", {}):
        lines += c_level.calls_summary(results["calls"])
    return "\n\n".join(["## In short", bullets(lines)]) if lines else ""


def write(results_folder: Path, docs: Path, pictures_folder: Path) -> None:
    """Make the pictures and the page."""
    results = load(results_folder)
    if not results:
        raise FileNotFoundError(f"{results_folder}: no results; python -m benchmarks makes them")
    messages = {
        name: {file: save(draw, results, pictures_folder / f"{file}.png") for file, draw in draws.items()}
        for name, draws in PICTURES.items()
        if "results" in results.get(name, {})
    }
    relative = pictures_folder.resolve().relative_to(docs.resolve().parent).as_posix()
    docs.parent.mkdir(parents=True, exist_ok=True)
    docs.write_text(page(results, messages, relative), encoding="utf-8")
