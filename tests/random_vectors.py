"""Write random models in the layout of `tests/vectors`: `python tests/random_vectors.py FOLDER`.

For machines on which the C tests run but Python does not: `selftest FOLDER` there compares every kernel with the numpy
oracle on models and frames that were made here.  `tools/emulate.py` does so under emulation.
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

import numpy as np
from programs import FORMATS, STYLES, Recipe, build, extreme_frames

from grulet import format as grulet_format
from grulet.format import FUNCTIONS
from grulet.reference import Reference

SMALL, WIDE = 60, 9  # models
FRAMES, WIDE_FRAMES = 6, 4  # as many as a kernel takes together, or more


def _small(seed: int) -> Recipe:
    """Inputs and units of 1 to 70; formats, weights and functions in turn, so that all come up together."""
    rng = np.random.default_rng(seed)
    layers = tuple(int(n) for n in rng.integers(1, 71, rng.integers(1, 4)))
    heads = tuple((int(rng.integers(1, 71)), FUNCTIONS[(seed + k) % len(FUNCTIONS)]) for k in range(rng.integers(0, 3)))
    return Recipe(
        seed,
        FORMATS[seed % len(FORMATS)],
        tuple(int(n) for n in rng.integers(1, 71, rng.integers(1, 3))),
        layers,
        heads,
        style=STYLES[seed // len(FORMATS) % len(STYLES)],
        bias=bool(rng.integers(2)),
        initial=bool(rng.integers(2)),
        peak=float(rng.choice([0.0, 0.0, 3.0, 1e-20, 1e30])),
        between=FUNCTIONS[int(rng.integers(len(FUNCTIONS)))],
        state_out=True,
        reuse=bool(rng.integers(2)),
    )


def _wide(seed: int) -> Recipe:
    """More inputs than one span of 512, as input and as state; weights next to the largest sums among them."""
    sizes = ((516, 20), (1025, 7), (9, 521))[seed // len(FORMATS) % 3]
    style = "saturated" if seed % 2 else "plain"
    return Recipe(seed, FORMATS[seed % len(FORMATS)], sizes[:1], sizes[1:], ((5, "none"),), style=style, state_out=True)


def write(folder: Path) -> int:
    """Write all vectors and the index; return how many there are."""
    recipes = [_small(seed) for seed in range(SMALL)] + [_wide(seed) for seed in range(WIDE)]
    index = []
    for number, recipe in enumerate(recipes):
        program = build(recipe)
        data = grulet_format.write(program)
        frames = extreme_frames(recipe.seed, FRAMES if number < SMALL else WIDE_FRAMES, program.input_width)
        outputs = Reference(data).run(frames).astype("<f4").tobytes()
        name = f"random_{number:02}"
        (folder / f"{name}.grulet").write_bytes(data)
        (folder / f"{name}.input.f32").write_bytes(frames.astype("<f4").tobytes())
        (folder / f"{name}.output.f32").write_bytes(outputs)
        index.append(f"{name} {len(frames)} {zlib.crc32(outputs):08x}\n")
    (folder / "index.txt").write_text("".join(index))
    return len(recipes)


if __name__ == "__main__":
    FOLDER = Path(sys.argv[1])
    FOLDER.mkdir(parents=True, exist_ok=True)
    print(f"{write(FOLDER)} random models in {FOLDER}")
