"""docs/arm.md, from the two results: `python -m benchmarks.arm.page`.  No figure on it is written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.arm.loops import CORES, LIMITS, MATRIX_CORES, SEVERAL_PARTS, TARGETS, missed
from benchmarks.common import RESULTS, ROOT, Document
from benchmarks.report.tables import bullets, factor, table, three_digits

DOCS = ROOT / "docs" / "arm.md"

HEAD = """# 64-bit ARM without a board

What is said here was counted by an emulator or computed by a model of a core, as each heading tells. Nothing was timed:
a board's own times come from `grulet-bench`. Made by `python -m benchmarks.arm.emulated` and
`python -m benchmarks.arm.loops`; `python -m benchmarks.arm.page` rewrites this page from
[benchmarks/results](../benchmarks/results)."""

COUNTED = """One GRU layer with as many inputs as units, one frame at a time, the state carried along: instructions that
the emulated CPU executes in a step, as the difference of {steps} and {twice} steps, so that what surrounds them drops
out; and divided by the bytes of the bare weights (3 x units x (inputs + units) of 1 or 4 bytes). Instructions are no
time: one may take a cycle or many, and a weight may come from any cache. From Python each is called as
[benchmarks/rivals](../benchmarks/rivals) calls it; `C` is `grulet_step` alone. In bold the fewest from Python with such
weights. What to bear in mind: grulet multiplies and adds floats in two instructions, for the same bits on every CPU,
its rivals in one; and they have 8-bit activations, beside which int8 x int16 does twice the work."""

MODELLED = """The loops that sum up a GRU's panel of one frame (three sets of 16 rows), taken from the object files that
the cross compiler made; cycles of one pass by llvm-mca {llvm}, all weights in the first cache. The shares are those of
the cycles that the core needs at least for the loop's multiplications; for all of its arithmetic, which is that of its
busiest pipeline; and with its loads: every weight serves one frame, so it is loaded for one multiplication, and some
cores cannot issue that load beside other vector work."""

PASS_PRODUCTS = 1024  # a pass of SDOT's loop

SEVERAL = """Many streams in one step and `grulet_run` multiply four frames by every weight that is read. The kernel
`dotprod` does so with SDOT, 16 multiply-adds of bytes in one instruction, `i8mm` with SMMLA, 32, for which it has to
interleave groups of weights, and frames. All figures are for {products} multiply-adds, of which int8 x int16 takes two
for a weight and a level; three sets of 16 rows, as above. Last, SDOT's cycles over SMMLA's. [kernels.md](kernels.md)
has what others have measured."""

ROUGH = """Shares are rough where a core executes in order (Cortex-A53, A55). llvm-mca lets an instruction finish only
behind those before it, so that a load behind a longer multiplication waits in the model; and LLVM's costs of 16-byte
loads there are not the guide's (Cortex-A55: `ldr` 1 cycle and `ldp` 6, for 2 and 4), so that a share can pass 100 %.
llvm-mca knows nothing of caches."""


def origin(document: Document) -> str:
    """When, where and with what."""
    where = f"{document['date']}, on {document['host']}"
    return f"{where}; grulet {document['grulet']}, compiled by {document['compiler']}."


def emulated_section(document: Document) -> str:
    """Instructions of a step."""
    results = document["results"]
    parts = [
        "## Counted: instructions of a step, beside onnxruntime and ncnn",
        COUNTED.format(steps=results["steps"], twice=2 * results["steps"]),
        f"{origin(document)} {results['emulator']}.",
    ]
    for cpu, sizes in results["cpus"].items():
        weights = {name: facts["weights"] for found in sizes.values() for name, facts in found.items()}
        headings = ["", "weights"]
        headings += [f"{size} units: {what}" for size in sizes for what in ("a step", "a weight byte")]
        rows = []
        for name, of_name in weights.items():
            rows.append([name, of_name, *(cell for found in sizes.values() for cell in figures(found, name))])
        parts += [f"### {cpu}", table(headings, rows, 2)]
    ahead = [
        f"{cpu}, {size} units: {', '.join(factor_over(ours, found) for ours in COMPARED)}"
        for cpu, sizes in results["cpus"].items()
        for size, found in sizes.items()
    ]
    parts += ["Instructions of the best rival, with such weights or float ones, over grulet's:", bullets(ahead)]
    parts += ["Settings:", bullets([f"{name}: {text}" for name, text in results["settings"].items()])]
    parts += ["Absent:", bullets([f"{name}: {reason}" for name, reason in results["absent"].items()])]
    return "\n\n".join(parts)


def figures(found: dict[str, Any], name: str) -> list[str]:
    """A contestant's cells of one size; dashes where it is absent, which the page's last list explains."""
    if name not in found:
        return ["-", "-"]
    figure = three_digits(found[name]["per_weight_byte"])
    return [f"{found[name]['instructions']:,}", f"**{figure}**" if is_fewest(found, name) else figure]


#: Of ours, what is held against the best rival.
COMPARED = ("grulet int8 x int8, Python", "grulet int8 x int16, Python", "grulet f32, Python")


def is_fewest(found: dict[str, Any], name: str) -> bool:
    """Whether no contestant from Python with such weights needs fewer."""
    from_python = {key: facts for key, facts in found.items() if not key.endswith(", C")}
    same = [facts["instructions"] for facts in from_python.values() if facts["weights"] == found[name]["weights"]]
    return name in from_python and found[name]["instructions"] == min(same)


def factor_over(ours: str, found: dict[str, Any]) -> str:
    """The best rival's instructions over ours, with its name."""
    allowed = (found[ours]["weights"], "f32")
    rivals = {
        name: facts["instructions"]
        for name, facts in found.items()
        if not name.startswith("grulet") and facts["weights"] in allowed
    }
    if not rivals:
        return f"no rival beside {ours.removesuffix(', Python')}"
    best = min(rivals, key=lambda name: rivals[name])
    return f"{factor(rivals[best] / found[ours]['instructions'])} ({ours.removesuffix(', Python')}; {best})"


def loops_section(document: Document) -> str:
    """Cycles of the inner loops."""
    results = document["results"]
    parts = [
        "## Modelled: cycles of the inner loops, beside the cores' limits",
        MODELLED.format(llvm=results["llvm"]),
        origin(document),
    ]
    for part, cores in results["parts"].items():
        rows = [loop_row(core, form, facts) for core, formats in cores.items() for form, facts in formats.items()]
        headings = ["core", "weights", "instructions", "weight bytes", "cycles"]
        headings += [text for limit in LIMITS for text in (f"least: {limit}", "share")]
        parts += [f"### c_src/arm/grulet_{part}.c", table(headings, rows, 2)]
    several = results["several"]
    rows = [several_row(core, form, facts) for core, forms in several.items() for form, facts in forms.items()]
    headings = ["core", "weights"]
    headings += [f"{name}: {what}" for name in SEVERAL_PARTS for what in ("instructions", "cycles", "a cycle")]
    text = SEVERAL.format(products=f"{PASS_PRODUCTS:,}")
    parts += ["### Several frames at once: SDOT or SMMLA", text, table([*headings, "gain"], rows, 2)]
    models = ", ".join(f"{model} ({title})" for title, model in MATRIX_CORES.items())
    parts.append(f"llvm-mca's models, as they are: {models}.")
    wanted = [
        f"{core}, {part}, int8 weights: at least {least:.0%} of the limit of {limit}"
        for (core, part), (limit, least) in TARGETS.items()
    ]
    short = missed(results)
    sources = [f"{core.title}: {core.source}. llvm-mca: {' '.join((core.model, *core.options))}." for core in CORES]
    parts += ["### What was wanted", bullets(wanted)]
    parts.append("All reached." if not short else "Not reached:\n\n" + bullets(short))
    parts += ["### Where the limits come from", bullets(sources), ROUGH]
    return "\n\n".join(parts)


def loop_row(core: str, form: str, facts: dict[str, Any]) -> list[str]:
    """One line of a part's table."""
    row = [core, form, str(facts["instructions"]), str(facts["weight_bytes"]), three_digits(facts["cycles"])]
    for limit in LIMITS:
        row += [three_digits(facts["limits"][limit]), f"{100 * facts['shares'][limit]:.0f} %"]
    return row


def several_row(core: str, form: str, facts: dict[str, Any]) -> list[str]:
    """One line of the table of several frames."""
    row = [core, form]
    for found in facts.values():
        passes = PASS_PRODUCTS / found["products"]
        row += [f"{passes * found['instructions']:.0f}", three_digits(passes * found["cycles"])]
        row.append(three_digits(found["products_per_cycle"]))
    dot, matrix = (facts[name]["products_per_cycle"] for name in SEVERAL_PARTS)
    return [*row, factor(matrix / dot)]


def page(results: Path) -> str:
    """The page, of the results that are there."""
    parts = [HEAD]
    for name, section in (("arm-instructions", emulated_section), ("arm-loops", loops_section)):
        path = results / f"{name}.json"
        if path.exists():
            parts.append(section(json.loads(path.read_text(encoding="utf-8"))))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    DOCS.write_text(page(RESULTS), encoding="utf-8")
