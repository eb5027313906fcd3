"""The whole page: its head, then every benchmark's section with its pictures."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from benchmarks.common import RESULTS, ROOT, Document
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
repeats everything; `python -m benchmarks.report` makes this page and its pictures from
{results}: no figure or sentence on it is written by hand."""


class Page(NamedTuple):
    """A page, the results it is made from, and the folder of its pictures, which lies below the page's."""

    docs: Path
    results: Path
    pictures: Path


DOCS = ROOT / "docs"
#: The last `make bench`.
MAIN = Page(DOCS / "benchmarks.md", RESULTS, DOCS / "pictures")
#: That, and what is kept of other machines.
PAGES = [MAIN, Page(DOCS / "benchmarks-xeon.md", RESULTS / "xeon", DOCS / "pictures" / "xeon")]


def load(folder: Path) -> Results:
    """All results in a folder."""
    found = {}
    for name in SECTIONS:
        path = folder / f"{name}.json"
        if path.exists():
            found[name] = json.loads(path.read_text(encoding="utf-8"))
    return found


def page(
    results: Results, results_folder: str, pictures: dict[str, dict[str, str]], pictures_folder: str, others: str
) -> str:
    """The page; ``pictures``: messages by section and file name; ``others``: links to pages of other machines."""
    parts = ["# Benchmarks", HOW.format(results=results_folder)]
    if any(document["quick"] for document in results.values()):
        parts.append("**Made with --quick, which only tries that everything works: these figures mean nothing.**")
    parts += [machine(results, others), standing_out(results)]
    for name, section in SECTIONS.items():
        if name in results:
            head, _, rest = section(results).partition("\n\n")
            images = [f"![{message}]({pictures_folder}/{file}.png)" for file, message in pictures.get(name, {}).items()]
            parts += [head, results[name].get("remark", ""), *images, rest]
    if "results" in results.get("latency", {}):
        parts += ["## The rivals' settings", latency.settings(results["latency"])]
    return "\n\n".join(part for part in parts if part) + "\n"


def cpus(results: Results) -> str:
    """What the CPU calls itself."""
    return ", ".join(dict.fromkeys(str(document["machine"]["cpu"]) for document in results.values()))


def machine(results: Results, others: str) -> str:
    """The facts without which a figure means nothing."""
    facts = [document["machine"] for document in results.values()]
    dates = sorted(document["date"] for document in results.values())
    minutes = sum(document["seconds"] for document in results.values()) / 60

    def every(key: str) -> str:
        return ", ".join(dict.fromkeys(str(fact[key]) for fact in facts))

    loads = [fact["load_before"] for fact in facts if fact["load_before"] is not None]
    rows = [
        ["measured", f"{dates[0]} to {dates[-1]}, {three_digits(minutes)} minutes in all"],
        ["CPU", f"{cpus(results)}; {every('cpus')} of them"],
        ["system", every("system")],
        ["grulet", f"{every('grulet')}, kernel {every('isa')}"],
        ["Python, numpy", f"{every('python')}, {every('numpy')}"],
    ]
    if loads:
        rows.append(["load before each benchmark", f"{min(loads):.2f} to {max(loads):.2f} (1 is one busy CPU)"])
    rows += [["noise", text] for text in noise(results)]
    if others:
        rows.append(["the same on other machines", others])
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


def write(which: Page, others: Iterable[Page] = ()) -> None:
    """Make the pictures and the page."""
    results = load(which.results)
    if not results:
        raise FileNotFoundError(f"{which.results}: no results; python -m benchmarks makes them")
    messages = {
        name: {file: save(draw, results, which.pictures / f"{file}.png") for file, draw in draws.items()}
        for name, draws in PICTURES.items()
        if "results" in results.get(name, {})
    }
    text = page(
        results,
        folder_link(which.results),
        messages,
        which.pictures.resolve().relative_to(which.docs.resolve().parent).as_posix(),
        ", ".join(f"[{cpus(load(other.results))}]({other.docs.name})" for other in others),
    )
    which.docs.parent.mkdir(parents=True, exist_ok=True)
    which.docs.write_text(text, encoding="utf-8")


def folder_link(folder: Path) -> str:
    """A folder as a page in docs/ names it."""
    if not folder.resolve().is_relative_to(ROOT):
        return f"the results in `{folder.name}`"
    name = folder.resolve().relative_to(ROOT).as_posix()
    return f"[{name}](../{name})"


def write_all() -> None:
    """All pages in docs/: each names the others."""
    for which in PAGES:
        write(which, [other for other in PAGES if other is not which])
