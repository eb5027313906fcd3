"""Write random models in the layout of `tests/vectors`: `python tests/random_vectors.py FOLDER`.

For machines on which the C tests run but Python does not: `selftest FOLDER` there compares every kernel with the numpy
oracle on models and frames that were made here.  `tools/emulate.py` does so under emulation.
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

import numpy as np
from any_program import STEPS, Plan, any_program, frames_for
from builder import CELLS, FORMATS, STYLES
from programs import ACTIVATIONS, DENSE_FUNCTIONS, Recipe, build

from grulet import format as grulet_format
from grulet.operators import Program
from grulet.reference import Reference

SMALL, WIDE, ANY = 60, 36, 90  # models
FRAMES, WIDE_FRAMES = 6, 4  # as many as a kernel takes together, or more


def _small(seed: int) -> Recipe:
    """Inputs and units of 1 to 70; formats, weights and functions in turn, so that all come up together."""
    rng = np.random.default_rng(seed)
    turn = seed // len(FORMATS)
    layers = tuple(int(n) for n in rng.integers(1, 71, rng.integers(1, 4)))
    heads = tuple(
        (int(rng.integers(1, 71)), DENSE_FUNCTIONS[(turn + k) % len(DENSE_FUNCTIONS)])
        for k in range(rng.integers(0, 3))
    )
    return Recipe(
        seed,
        FORMATS[seed % len(FORMATS)],
        tuple(int(n) for n in rng.integers(1, 71, rng.integers(1, 3))),
        layers,
        heads,
        style=STYLES[(seed + turn) % len(STYLES)],
        bias=bool(rng.integers(2)),
        initial=bool(rng.integers(2)),
        peak=float(rng.choice([0.0, 0.0, 3.0, 1e-20, 1e30])),
        between=("none", *ACTIVATIONS)[int(rng.integers(len(ACTIVATIONS) + 1))],
        state_out=True,
        reuse=bool(rng.integers(2)),
        cells=tuple(str(rng.choice(tuple(CELLS))) for _ in layers),
    )


def _wide(seed: int) -> Recipe:
    """More inputs than one span of 512, as input and as state; weights next to the largest sums among them."""
    sizes = ((516, 20), (1025, 7), (9, 521))[seed // len(FORMATS) % 3]
    saturated = seed // (3 * len(FORMATS)) % 2 == 1
    return Recipe(
        seed, FORMATS[seed % len(FORMATS)], sizes[:1], sizes[1:], ((5, "none"),), state_out=True,
        style="saturated" if saturated else "plain", cells=("gru", "lstm") if saturated else ("lstm",),
    )  # fmt: skip


def _any(seed: int) -> Plan:
    """Any operators, every kind of step in turn and others after it; two of five go backwards somewhere."""
    rng = np.random.default_rng(seed)
    names = tuple(STEPS)
    steps = (names[seed % len(names)], *(str(name) for name in rng.choice(names, rng.integers(6))))
    formats, style = FORMATS[seed // len(names) % len(FORMATS)], STYLES[seed % len(STYLES)]
    return Plan(seed, formats, steps, style, whole=seed % 5 < 2, reuse=bool(rng.integers(2)))


def _programs() -> list[tuple[int, Program, int]]:
    """Seed, program and number of frames of all models."""
    made = [(seed, build(_small(seed)), FRAMES) for seed in range(SMALL)]
    made += [(seed, build(_wide(seed)), WIDE_FRAMES) for seed in range(WIDE)]
    return made + [(seed, any_program(_any(seed)), FRAMES) for seed in range(ANY)]


def write(folder: Path) -> int:
    """Write all vectors and the index; return how many there are."""
    index = []
    for number, (seed, program, count) in enumerate(_programs()):
        data = grulet_format.write(program)
        frames = frames_for(program, seed, count)
        outputs = Reference(data).run(frames).astype("<f4").tobytes()
        name = f"random_{number:03}"
        (folder / f"{name}.grulet").write_bytes(data)
        (folder / f"{name}.input.f32").write_bytes(frames.astype("<f4").tobytes())
        (folder / f"{name}.output.f32").write_bytes(outputs)
        index.append(f"{name} {len(frames)} {zlib.crc32(outputs):08x}\n")
    (folder / "index.txt").write_text("".join(index))
    return len(index)


if __name__ == "__main__":
    FOLDER = Path(sys.argv[1])
    FOLDER.mkdir(parents=True, exist_ok=True)
    print(f"{write(FOLDER)} random models in {FOLDER}")
