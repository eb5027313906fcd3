"""Random stacks of layers and random frames for the tests: extreme frames, hypothesis strategies.

Programs of any operators: `any_program`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from builder import CELLS, FORMATS, STYLES, Builder, Floats
from hypothesis import strategies as st

from grulet import format as grulet_format
from grulet.format import FUNCTIONS
from grulet.operators import Program
from grulet.weights import QUANTIZED

__all__ = ["FORMATS", "STYLES", "Builder", "Floats"]

# Of all CPUs, the best of each first.
KERNELS = (
    *("avx512vnni", "avxvnni", "avx2", "i8mm", "dotprod", "neon", "armv7neon"),
    *("helium", "dsp", "simd128", "generic"),
)
LARGEST = np.float32(3.4028235e38)

#: Functions that a dense operator may carry, and those that may stand alone, with an alpha and a beta for each.
DENSE_FUNCTIONS = FUNCTIONS[: FUNCTIONS.index("softmax") + 1]
ACTIVATIONS = FUNCTIONS[1 : FUNCTIONS.index("add")]
BINARY_FUNCTIONS = FUNCTIONS[FUNCTIONS.index("add") :]
ARGUMENTS = {
    "leaky_relu": (0.25, 0.0),
    "clip": (-0.5, 0.75),
    "elu": (1.5, 0.0),
    "hard_sigmoid": (0.2, 0.5),
    "thresholded_relu": (0.125, 0.0),
}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a random program: small fields, so that hypothesis can shrink a failure."""

    seed: int
    formats: tuple[str, str]
    inputs: tuple[int, ...]
    layers: tuple[int, ...]
    heads: tuple[tuple[int, str], ...]
    style: str = "plain"
    bias: bool = True
    initial: bool = False
    peak: float = 0.0
    between: str = "none"  # a function between the first layer and the second
    state_out: bool = False  # the last layer's state is an output too
    reuse: bool = False
    cells: tuple[str, ...] = ("gru",)  # of the layers, in turn


def build(recipe: Recipe) -> Program:
    """Return the program of a recipe.

    Layers are stacked on the first input; heads read the last layer and the further inputs in turn.
    """
    builder = Builder(recipe.seed, *recipe.formats)
    inputs = [builder.input(f"input_{i}", width) for i, width in enumerate(recipe.inputs)]
    value = inputs[0]
    for k, units in enumerate(recipe.layers):
        # A static peak belongs to the unbounded input; a hidden state needs none.
        peak = recipe.peak if k == 0 and recipe.formats[0] in QUANTIZED else 0.0
        options = {"bias": recipe.bias, "initial": recipe.initial, "style": recipe.style}
        value = builder.cell(recipe.cells[k % len(recipe.cells)], value, units, peak=peak, **options)
        if k == 0 and recipe.between != "none":
            value = builder.activation(value, recipe.between, *ARGUMENTS.get(recipe.between, ()))
    sources = [value, *inputs[1:]]
    if recipe.state_out or not recipe.heads:
        builder.output("state", value)
    for i, (units, function) in enumerate(recipe.heads):
        alpha = -0.5 if function == "leaky_relu" else 0.0
        source = sources[i % len(sources)]
        head = builder.dense(source, units, function, alpha=alpha, bias=recipe.bias, style=recipe.style)
        builder.output(f"output_{i}", head)
    return builder.program(reuse=recipe.reuse)


def recipes(largest: int = 300, layers: int = 3) -> st.SearchStrategy[Recipe]:
    """Recipes of up to ``layers`` layers of 1 to ``largest`` units and inputs: multiples of nothing."""
    size = st.one_of(st.integers(1, min(40, largest)), st.integers(1, largest))
    return st.builds(
        Recipe,
        seed=st.integers(0, 2**32 - 1),
        formats=st.sampled_from(FORMATS),
        inputs=st.lists(size, min_size=1, max_size=3).map(tuple),
        layers=st.lists(size, min_size=1, max_size=layers).map(tuple),
        heads=st.lists(st.tuples(size, st.sampled_from(DENSE_FUNCTIONS)), max_size=3).map(tuple),
        style=st.sampled_from(STYLES),
        bias=st.booleans(),
        initial=st.booleans(),
        peak=st.sampled_from([0.0, 0.0, 1.0, 3.0, 1e-20, 1e30]),
        between=st.sampled_from(("none", *ACTIVATIONS)),
        state_out=st.booleans(),
        reuse=st.booleans(),
        cells=st.lists(st.sampled_from(tuple(CELLS)), min_size=1, max_size=layers).map(tuple),
    )


def small_program(weights: str = "int8", activations: str = "int16", seed: int = 7) -> Program:
    """Return a small ordinary model: two layers, a softmax head, sizes that are multiples of nothing."""
    builder = Builder(seed, weights, activations)
    x = builder.input("input", 5)
    h = builder.gru(builder.gru(x, 19, initial=True), 7)
    builder.output("output", builder.dense(h, 3, "softmax"))
    return builder.program()


def small_file(weights: str = "int8", activations: str = "int16", seed: int = 7) -> bytes:
    """Return `small_program` as a file."""
    return grulet_format.write(small_program(weights, activations, seed))


# ---- frames ---------------------------------------------------------------------------------------------------------


def plain_frames(seed: int, count: int, width: int) -> Floats:
    """Normal noise (count, width)."""
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def _extreme_rows(rng: np.random.Generator, width: int) -> list[Floats]:
    signs = rng.choice(np.array([-1, 1], np.float32), width)
    noise = rng.normal(size=width)
    one_peak = noise * 1e-3
    one_peak[rng.integers(width)] = 1e3
    alternating = np.where(np.arange(width) % 2 == 0, 1.0, -1.0)
    rows = [
        noise,
        np.zeros(width),
        np.full(width, -0.0),
        signs * 1e-40,  # subnormal: read as zero
        signs * 1e-30,  # above 2^-100
        signs * 1e-31,  # below 2^-100: silence for quantized operands
        signs * float(LARGEST),
        np.full(width, float(LARGEST)),  # all levels at their end: the largest sums
        np.full(width, -float(LARGEST)),
        alternating * 3.0,
        one_peak,
        noise * 10.0 ** rng.uniform(-38, 38, width),
    ]
    return [np.clip(row, -float(LARGEST), float(LARGEST)).astype(np.float32) for row in rows]


def extreme_frames(seed: int, count: int, width: int) -> Floats:
    """Frames that break careless arithmetic: silence, subnormals, the largest floats, saturating sign patterns."""
    rng = np.random.default_rng(seed)
    rows: list[Floats] = []
    while len(rows) < count:
        batch = _extreme_rows(rng, width)
        rows += [batch[i] for i in rng.permutation(len(batch))]
    return np.stack(rows[:count])


# ---- comparing ------------------------------------------------------------------------------------------------------


def assert_same_bits(actual: Floats, expected: Floats, what: object = "") -> None:
    """Equal shapes, dtypes and bits; on failure says where and by how much."""
    assert actual.dtype == expected.dtype == np.float32, (what, actual.dtype, expected.dtype)
    assert actual.shape == expected.shape, (what, actual.shape, expected.shape)
    left, right = np.ascontiguousarray(actual).view(np.uint32), np.ascontiguousarray(expected).view(np.uint32)
    if not np.array_equal(left, right):
        where = np.argwhere(left != right)
        first = tuple(int(i) for i in where[0])
        raise AssertionError(f"{what}: {len(where)} floats differ, first at {first}: {actual[first]} {expected[first]}")
