"""What this CPU can do at most: reading the weights' bytes, int8 dot products, float32 products and sums, the clock.

    python -m benchmarks.limits [--sizes 32,64,...] [--output FILE.json] [--quick]

benchmarks/limits.c measures, compiled on the spot for this CPU; one thread, pinned.  Reading also "in turns", forwards
and backwards, as the steps of a stream sweep their weights.  These are limits, so the fastest of several passes counts,
each the median of its rounds.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.building import compiler_version, native_program, run
from benchmarks.common import SIZES, command_line, numbers, rounded

from grulet.measuring import quiet_process

#: A round is 20 microseconds or one read; the first ones wake the CPU's wide registers.
ROUNDS = 101
#: Bits of a weight.
BITS = {"int4": 4, "int8": 8, "f16": 16, "f32": 32}


def weight_bytes(size: int, weights: str) -> int:
    """Bytes of the weights of one GRU layer with ``size`` inputs and units, and nothing else of it."""
    return 3 * size * (size + size) * BITS[weights] // 8


def multiply_adds(size: int) -> int:
    """Of one step of a GRU layer with ``size`` inputs and units."""
    return 3 * size * (size + size)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the program a few times."""
    program = native_program("limits", folder)
    wanted = sorted({weight_bytes(size, weights) for size in options.sizes for weights in BITS})
    passes = 2 if options.quick else 5
    command = [str(program), str(ROUNDS), *map(str, wanted)]
    found: dict[str, list[float]] = defaultdict(list)
    names: dict[str, str] = {}
    with quiet_process():
        for _ in range(passes):
            for line in run(command).splitlines():
                kind, first, *rest = line.split()
                if kind in ("read", "turns"):
                    found[f"{kind} {first}"].append(float(rest[0]))
                else:
                    found[kind].append(float(first))
                    names[kind] = " ".join(rest)
    return {
        "compiler": compiler_version(),
        "clock_ghz": max(found["clock"]),
        "dot": {"giga_multiply_adds": max(found["int8"]), "instructions": names["int8"]},
        "f32": {"giga_multiply_adds": max(found["f32"]), "instructions": names["f32"]},
        "read": {
            str(size): {
                weights: {
                    "bytes": count,
                    "us": rounded(min(found[f"read {count}"]) / 1e3),
                    "in_turns_us": rounded(min(found[f"turns {count}"]) / 1e3),
                }
                for weights in BITS
                for count in [weight_bytes(size, weights)]
            }
            for size in options.sizes
        },
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this benchmark."""
    parser.add_argument("--sizes", type=numbers, default=SIZES, help="inputs = units, separated by commas")


if __name__ == "__main__":
    command_line(__file__, __doc__, measure, add_arguments)
