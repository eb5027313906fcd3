"""The sections below Python: the CPU's limits, the C call, a GRU beside an LSTM, kernels, instructions."""

from __future__ import annotations

from typing import Any

from benchmarks.budget import SLACK_PERCENT, same_compiler, verdicts
from benchmarks.common import Document
from benchmarks.limits import multiply_adds
from benchmarks.report.tables import bullets, factor, kibibytes, span, table, three_digits

Results = dict[str, Document]


def arithmetic_limits(limits: dict[str, Any], size: int) -> dict[str, float]:
    """Microseconds that the multiplications and additions of one step take at least, by format.

    A 16-bit activation is two 8-bit dot products.
    """
    dots = multiply_adds(size) / limits["dot"]["giga_multiply_adds"] / 1e3
    floats = multiply_adds(size) / limits["f32"]["giga_multiply_adds"] / 1e3
    return {"int8 x int8": dots, "int8 x int16": 2 * dots, "f32": floats}


def limits_section(results: Results) -> str:
    """What this CPU can do at most."""
    limits = results["limits"]["results"]
    kinds = list(next(iter(limits["read"].values())))
    headings = ["units", *(f"read {kind}" for kind in kinds), *(f"{kind}, GB/s" for kind in kinds)]
    arithmetic = [f"arithmetic {name}" for name in arithmetic_limits(limits, 1)]
    rows = []
    for size, reads in limits["read"].items():
        times = [three_digits(reads[kind]["us"]) for kind in kinds]
        speeds = [three_digits(reads[kind]["bytes"] / reads[kind]["us"] / 1e3) for kind in kinds]
        rows.append([size, *times, *speeds, *map(three_digits, arithmetic_limits(limits, int(size)).values())])
    return "\n\n".join(
        [
            "## What this CPU can do at most",
            "One thread, [benchmarks/limits.c](../benchmarks/limits.c), compiled for this CPU. Reading: exactly the "
            "weights' bytes, hot in whatever cache holds them. Arithmetic: the layer's multiplications and additions "
            "at the peak rate, twice as many for 16-bit activations. Microseconds; a step can be no faster than "
            "arithmetic, nor, in the long run, than reading in turns, forwards and backwards, as steps do: of what a "
            "cache cannot hold as a whole it then still holds the end.",
            bullets(
                [
                    f"Clock: about {limits['clock_ghz']:.2f} GHz.",
                    f"int8 dot products ({limits['dot']['instructions']}): "
                    f"{three_digits(limits['dot']['giga_multiply_adds'])} thousand million multiply-adds a second.",
                    f"float32 products and sums, not fused ({limits['f32']['instructions']}): "
                    f"{three_digits(limits['f32']['giga_multiply_adds'])} thousand million multiply-adds a second.",
                    f"Compiler: {limits['compiler']}.",
                ]
            ),
            table([*headings, *arithmetic], rows),
            table(
                ["units", *(f"read {kind} in turns" for kind in kinds)],
                [[size, *(in_turns(reads[kind]) for kind in kinds)] for size, reads in limits["read"].items()],
            ),
        ]
    )


def in_turns(reading: dict[str, float]) -> str:
    """Microseconds, and what that is of reading forwards."""
    return f"{three_digits(reading['in_turns_us'])} ({factor(reading['in_turns_us'] / reading['us'])})"


def calls_section(results: Results) -> str:
    """The C call over the floor."""
    calls = results["calls"]["results"]
    kernels = calls["kernels"]
    best_isa, best = next(iter(kernels.items()))
    return "\n\n".join(
        [
            "## The C call alone",
            "`grulet_step` over `grulet_read_weights` in bursts that take turns "
            f"([benchmarks/calls.c](../benchmarks/calls.c)); medians of {calls['passes']} processes, microseconds, and "
            f"in brackets the smallest and the largest ratio of a process. Kernel {best_isa}; library built by "
            f"{calls['compiler']}.",
            "What is read are the weights with their scales, biases, row sums and padding: more than the bare weights "
            "of the limits below.",
            call_table(best),
            *backwards_note(best),
            *(
                f"Kernel {isa}, beside reading by {best_isa}:\n\n{call_table(of_isa)}"
                for isa, of_isa in kernels.items()
                if isa != best_isa
            ),
        ]
    )


def call_table(formats: dict[str, Any]) -> str:
    """Step, floor and ratio by size."""
    rows = []
    for size in next(iter(formats.values())):
        row = [size]
        for of_size in formats.values():
            call = of_size[size]
            low, high = call["ratios"]
            row += [three_digits(call["step_us"]), three_digits(call["read_us"])]
            row.append(f"**{factor(call['ratio'])}** ({factor(low)}-{factor(high)})")
        rows.append(row)
    headings = [f"{form}: {what}" for form in formats for what in ("step", "read", "ratio")]
    return table(["units", *headings], rows)


def backwards_note(formats: dict[str, Any]) -> list[str]:
    """Why a step can be faster than the floor, where one is."""
    if all(call["ratio"] >= 0.97 for sizes in formats.values() for call in sizes.values()):
        return []
    return [
        "A ratio below 1 is no mistake: every second step sweeps the weights backwards and so begins with what a cache "
        "that cannot hold all of them still has; reading always begins at the front."
    ]


def calls_summary(document: Document) -> list[str]:
    """For the top of the page."""
    isa, formats = next(iter(document["results"]["kernels"].items()))
    return [
        f"The C call, {form}, kernel {isa}: {span([call['ratio'] for call in sizes.values()])} times the time of "
        "reading the weights, over all sizes."
        for form, sizes in formats.items()
    ]


def cells_section(results: Results) -> str:
    """A GRU beside an LSTM."""
    cells = results["cells"]["results"]
    pairs = [(size, form, both) for form, sizes in cells["formats"].items() for size, both in sizes.items()]
    rows = []
    for size, form, both in pairs:
        low, high = both["step_ratios"]
        row = [size, form, *(three_digits(both[cell]["step_us"]) for cell in ("gru", "lstm"))]
        row.append(f"**{factor(both['step_ratio'])}** ({factor(low)}-{factor(high)})")
        row += [kibibytes(both[cell]["weight_bytes"]) for cell in ("gru", "lstm")]
        rows.append([*row, f"**{factor(both['bytes_ratio'])}**"])
    headings = ["units", "format", "GRU, us", "LSTM, us", "GRU / LSTM", "GRU", "LSTM", "GRU / LSTM"]
    step_ratios, bytes_ratios = ([both[key] for _, _, both in pairs] for key in ("step_ratio", "bytes_ratio"))
    return "\n\n".join(
        [
            "## GRU beside LSTM",
            f"A GRU takes {span(step_ratios)} of the LSTM's time and {span(bytes_ratios)} of its weights: it has three "
            "sets of rows, the LSTM four, of which a sweep sums up three together and the fourth by itself "
            "([docs/kernels.md](kernels.md)).",
            "One layer with as many inputs as units; `grulet_step` in bursts "
            f"([benchmarks/cells.py](../benchmarks/cells.py)), medians of {cells['passes']} processes, in brackets the "
            "smallest and the largest ratio of a process; weights with their scales, biases, row sums and padding, as "
            f"a step reads them. Kernel {cells['kernel']}; library built by {cells['compiler']}.",
            table(headings, rows, 2),
        ]
    )


def isa_section(results: Results) -> str:
    """Kernels of this machine."""
    document = results["isa"]["results"]
    isas = document["isas"]
    rows = []
    for size, kernels in document["sizes"].items():
        for form in next(iter(kernels.values())):
            times = {isa: kernels[isa][form]["p50"] for isa in isas}
            faster = [f"{factor(times[isas[-1]] / times[isa])}" for isa in isas[:-1]]
            rows.append([size, form, *(three_digits(times[isa]) for isa in isas), *faster])
    headings = ["units", "format", *isas, *(f"{isas[-1]} / {isa}" for isa in isas[:-1])]
    return "\n\n".join(
        [
            "## Kernels of this CPU",
            "p50 of a `tick` from Python in microseconds; the same bits from each.",
            table(headings, rows, 2),
        ]
    )


def instructions_section(results: Results) -> str:
    """Counts beside their budget."""
    document = results["instructions"]["results"]
    found = verdicts(document)
    rows = [[item.case, f"{item.count:,}", "-" if item.percent is None else f"{item.percent:+.1f} %"] for item in found]
    judgement = "within"
    if any(item.exceeds for item in found):
        judgement = "NOT all within"
    enforced = ""
    if not same_compiler(document):
        other = document["budget"].get("compiler", "none")
        enforced = f" The budget was counted with another compiler ({other}) and is not enforced."
    return "\n\n".join(
        [
            "## Instructions",
            "Counted by valgrind, which has no AVX-512; these repeat where times do not. CI compares them with "
            f"[the budget](../benchmarks/instructions.json): {judgement} {SLACK_PERCENT:g} % here.{enforced} "
            f"{document['compiler']}.",
            table(["case", "instructions", "against the budget"], rows),
        ]
    )
