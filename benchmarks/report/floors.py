"""What holds us here: every layer's floor and how it is made, many streams, and what calling from Python costs."""

from __future__ import annotations

from typing import Any

from benchmarks.common import Document
from benchmarks.report.tables import bullets, factor, listed, table, three_digits

Results = dict[str, Document]

#: How many times the reading of its weights a step was to take at most, by format and units.
WANTED = {
    "int8 x int8": {32: 6.0, 64: 3.0, 128: 1.5, 256: 1.35},
    "int8 x int16": {256: 1.6},
    "f32": {256: 1.05},
}
#: Microseconds that a stream's frame was to take at most among 64 at 256 units.
STREAM_WANTED = {"int8 x int8": 1.05}
#: Microseconds over the C call that a call from Python was to cost at most.
CALL_WANTED = {"tick": 0.25, "step": 0.8, "step(out)": 0.8}
#: How readers write it.
SPELLED = {"tick": "`tick()`", "step": "`step(x)`", "step(out)": "`step(x, out=y)`"}

MODEL = """Four things bound a step of one layer from below. **Reading**: every weight once, as in the C calls above.
**Products**: its multiplications and additions at this CPU's peak ([benchmarks/limits.c](../benchmarks/limits.c)), two
of them for a 16-bit level. **Gates**: those of all units at the rate at which many independent ones go through.
**Chain**: the shortest way from a state to the next, each instruction waiting for the one before: 16 units are
quantized, multiply one group of weights, and go through sigmoid, tanh and blend; the last two are
measured on the kernel's own functions ([benchmarks/chains.c](../benchmarks/chains.c)). Products and gates
take turns in the same vector units, and no product of the new state, which are half of all, begins before the state is
known. So

    floor = max(reading, products + gates, chain + products / 2)

It leaves out the calls, the copies of frame and answer, quantizing more than 16 elements, horizontal sums, and
that instructions further than a few hundred from the oldest unfinished one cannot start: no program reaches it."""


def section(results: Results) -> str:
    """All of it."""
    document = results["floors"]["results"]
    return "\n\n".join(
        [
            "## What holds us here",
            MODEL,
            f"Microseconds; kernel {document['isa']}; medians of {document['passes']} processes, in each of which all "
            "parts take turns.",
            layer_table(document["layers"]),
            *backwards_note(document["layers"]),
            bullets([verdict(form, int(size), layer) for form, size, layer in judged(document["layers"])]),
            *streams(document),
            *calls(document),
        ]
    )


def backwards_note(layers: dict[str, Any]) -> list[str]:
    """Why a step can be faster than its floor, where one is."""
    if all(layer["step_over_floor"] >= 0.97 for sizes in layers.values() for layer in sizes.values()):
        return []
    return [
        "Below 1 is no mistake: every second step sweeps the weights backwards and begins with what a cache that "
        "cannot hold all of them still has."
    ]


def judged(layers: dict[str, Any]) -> list[tuple[str, str, dict[str, float]]]:
    """Layers of which something was wanted."""
    return [
        (form, size, layer)
        for form, sizes in layers.items()
        for size, layer in sizes.items()
        if int(size) in WANTED[form]
    ]


def verdict(form: str, size: int, layer: dict[str, float]) -> str:
    """One sentence about what was wanted: reached, not reached, or out of reach."""
    wanted, least, ours = WANTED[form][size], layer["floor_over_read"], layer["step_over_read"]
    what = f"{size} units, {form}: {factor(ours)} times the reading, {factor(wanted)} was wanted"
    if ours <= wanted:
        return f"{what}: reached."
    if least > wanted:
        return f"{what}: **out of reach** on this CPU with these numerics, whose floor is {factor(least)}."
    return f"{what}: **not reached**; the floor, {factor(least)}, does not forbid it."


def layer_table(layers: dict[str, Any]) -> str:
    """The parts of every floor."""
    parts = ("read", "products", "gates", "state_chain", "frame_chain", "floor", "step")
    rows = [
        [
            *(size, form),
            *(three_digits(layer[f"{part}_us"]) for part in parts),
            f"**{factor(layer['step_over_floor'])}**",
            *(factor(layer[key]) for key in ("floor_over_read", "step_over_read")),
        ]
        for form, sizes in layers.items()
        for size, layer in sizes.items()
    ]
    headings = [
        *("units", "format", "reading", "products", "gates", "chain", "frame to answer", "floor", "step"),
        *("step / floor", "floor / reading", "step / reading"),
    ]
    return table(headings, rows, 2)


def streams(document: dict[str, Any]) -> list[str]:
    """Many streams in one step: the reading is shared and no chain waits."""
    pool = document["streams"]
    standard = pool["size"] == 256 and pool["count"] == 64
    rows, verdicts = [], []
    for form, facts in pool["formats"].items():
        layer = document["layers"][form][str(pool["size"])]
        ours, floor = facts["us_per_stream_step"], layer["products_us"] + layer["gates_us"]
        parts = (layer["products_us"], layer["gates_us"], floor, ours)
        rows.append([form, *map(three_digits, parts), factor(ours / floor)])
        if standard and form in STREAM_WANTED:
            verdicts.append(stream_verdict(form, ours, layer["products_us"], floor))
    return [
        f"### {pool['count']} streams in one step, {pool['size']} units",
        "Microseconds of each stream's frame. Reading is shared by all and no stream waits for another, so the floor "
        "is products + gates.",
        table(["format", "products", "gates", "floor", "pool.tick, a stream", "tick / floor"], rows),
        bullets(verdicts),
    ]


def stream_verdict(form: str, ours: float, products: float, floor: float) -> str:
    """The same sentence for a stream's frame."""
    wanted = STREAM_WANTED[form]
    what = f"{form}: {three_digits(ours)} us, {three_digits(wanted)} was wanted"
    if ours <= wanted:
        return f"{what}: reached."
    if floor > wanted:
        return f"{what}: **out of reach** on this CPU: at its peak the products alone take {three_digits(products)} us."
    return f"{what}: **not reached**; the floor, {three_digits(floor)} us, does not forbid it."


def calls(document: dict[str, Any]) -> list[str]:
    """From Python."""
    columns = [
        "C call",
        *(column for name in CALL_WANTED for column in (name, f"{name} over C", f"bare {name} over C")),
    ]
    rows = [[size, *(three_digits(call[f"{name}_us"]) for name in columns)] for size, call in document["calls"].items()]
    headings = ["units", "C call"]
    headings += [heading for spelled in SPELLED.values() for heading in (spelled, "over C", "bare over C")]
    return [
        "### From Python",
        "int8 x int8, microseconds. C ([benchmarks/loop.c](../benchmarks/loop.c)) and Python make bursts of calls in "
        "turn, in one process, on one stream and on frames in turn; the empty loop is taken off Python's; medians of "
        "all turns, also of the differences. A tick is a cffi call of one pointer and the step in C; `step` copies the "
        "frame in (a memoryview's assignment), ticks, and copies the answer out: to a new array, or to `out`, here the "
        "same array every time. *Bare* are those statements one behind the other, in the loop itself, without a "
        "function around them and without a check: what cffi and numpy cost behind a step, which has filled the caches "
        "with weights.",
        table(headings, rows),
        bullets([call_verdict(name, document["calls"]) for name in CALL_WANTED]),
    ]


def call_verdict(name: str, calls: dict[str, dict[str, float]]) -> str:
    """What a call from Python costs over the one from C, what was wanted, and where nobody's could cost so little."""
    wanted = CALL_WANTED[name]
    over = [call[f"{name} over C_us"] for call in calls.values()]
    costs = f"{SPELLED[name]}: {between(over)} us over the C call, {three_digits(wanted)} was wanted"
    if max(over) <= wanted:
        return f"{costs}: reached."
    beyond = {size: call[f"bare {name} over C_us"] for size, call in calls.items()}
    beyond = {size: bare for size, bare in beyond.items() if bare > wanted}
    reached = [size for size, call in calls.items() if call[f"{name} over C_us"] <= wanted]
    verdict = f"reached at {listed(reached)} units alone" if reached else "**not reached**"
    if not beyond:
        return f"{costs}: {verdict}."
    least = f"{between([*beyond.values()])} without anything of ours"
    return f"{costs}: {verdict}; **out of reach** at {listed([*beyond])} units, where it is {least}."


def between(values: list[float]) -> str:
    """The least and the most."""
    least, most = three_digits(min(values)), three_digits(max(values))
    return least if least == most else f"{least} to {most}"
