"""Random programs of all operators: every step of a plan adds one operator, or a small group, to what is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from builder import CELLS, FORMATS, STYLES, Builder, Floats
from hypothesis import strategies as st
from programs import ACTIVATIONS, ARGUMENTS, BINARY_FUNCTIONS, DENSE_FUNCTIONS, extreme_frames

from grulet.operators import Program

TOKENS = 11
WIDEST = 90  # a value that has become wider is cut


@dataclass(frozen=True)
class Plan:
    """Everything that decides a program: small fields, so that hypothesis can shrink a failure."""

    seed: int
    formats: tuple[str, str]
    steps: tuple[str, ...]  # of STEPS
    style: str = "plain"
    whole: bool = False  # some layers, and loops, go backwards in time
    reuse: bool = False
    mixed: bool = False  # every step has formats of its own


class Drawing:
    """A program in the making: which values there are, and random choices among them."""

    def __init__(self, plan: Plan) -> None:
        self.rng = np.random.default_rng(plan.seed)
        self.builder = Builder(plan.seed, *plan.formats)
        self.style, self.whole = plan.style, plan.whole
        self.tokens = self.builder.input("tokens", int(self.rng.integers(1, 4)), TOKENS)
        self.values = [self.builder.input("numbers", self.size()), self.tokens]
        self.in_loop = False

    def size(self, largest: int = 40) -> int:
        """A width, often small."""
        return int(self.rng.integers(1, self.rng.choice([5, 20, largest]) + 1))

    def chance(self) -> bool:
        """One in two."""
        return bool(self.rng.integers(2))

    def pick(self, options: tuple[str, ...]) -> str:
        """One of some names."""
        return str(self.rng.choice(options))

    def value(self) -> int:
        """One of the values so far, later ones more often; cut if it is too wide."""
        found = self.values[-1 - int(self.rng.integers(len(self.values)) * self.rng.random())]
        width = self.width(found)
        return found if width <= WIDEST else self.builder.slice(found, width - WIDEST // 2, WIDEST // 2)

    def width(self, value: int) -> int:
        """Elements of a value."""
        return self.builder.widths[value]

    def fit(self, value: int, width: int) -> int:
        """The value as a vector of ``width`` elements."""
        return value if self.width(value) == width else self.builder.select(value, width)

    def divisor(self, width: int) -> int:
        """Something that divides ``width``."""
        return int(self.rng.choice([n for n in range(1, width + 1) if width % n == 0]))


def _cell(d: Drawing) -> int:
    reverse = d.whole and d.chance() and not d.in_loop
    options = {"initial": d.chance(), "style": d.style, "reverse": reverse}
    return d.builder.cell(d.pick(tuple(CELLS)), d.value(), d.size(), **options)


def _dense(d: Drawing) -> int:
    function = d.pick(DENSE_FUNCTIONS)
    return d.builder.dense(d.value(), d.size(), function, alpha=ARGUMENTS.get(function, (0.0,))[0], style=d.style)


def _activation(d: Drawing) -> int:
    value, function = d.value(), d.pick(ACTIVATIONS)
    size = d.divisor(d.width(value)) if function == "softmax" and d.chance() else 0
    return d.builder.activation(value, function, *ARGUMENTS.get(function, (0.0, 0.0)), size)


def _binary(d: Drawing) -> int:
    value = d.value()
    return d.builder.binary(value, d.fit(d.value(), d.width(value)), d.pick(BINARY_FUNCTIONS))


def _slice(d: Drawing) -> int:
    value = d.value()
    first = int(d.rng.integers(d.width(value)))
    return d.builder.slice(value, first, int(d.rng.integers(1, d.width(value) - first + 1)))


def _embedding(d: Drawing) -> int:
    return d.builder.embedding(d.tokens, d.size(), TOKENS + int(d.rng.integers(3)), d.style)


def _layer_norm(d: Drawing) -> int:
    value = d.value()
    return d.builder.layer_norm(value, d.divisor(d.width(value)), float(d.rng.choice([1e-5, 1e-12, 2.0**-100])))


def _convolution(d: Drawing) -> int:
    taps = int(d.rng.integers(2, 5))
    window = d.builder.history(d.fit(d.value(), d.size(15)), taps, int(d.rng.integers(1, 4)))
    return d.builder.depthwise(window, taps) if d.chance() else window


def _loop(d: Drawing) -> int:
    """A state that is read, joined with an input, put through some operators and written."""
    width = d.size()
    x = d.value()
    with d.builder.loop(reverse=d.whole and d.chance()):
        d.in_loop = True
        state = d.builder.state_read(width, initial=d.chance())
        d.values.append(d.builder.concat(x, state))
        for _ in range(int(d.rng.integers(3))):
            d.values.append(STEPS[d.pick(INSIDE_LOOPS)](d))
        new = d.builder.dense(d.value(), width, d.pick(DENSE_FUNCTIONS[3:]), style=d.style)
        d.in_loop = False
        return d.builder.state_write(new, state)


#: What a step of a plan adds, by name.
STEPS: dict[str, Callable[[Drawing], int]] = {
    "cell": _cell,
    "dense": _dense,
    "activation": _activation,
    "binary": _binary,
    "affine": lambda d: d.builder.affine(d.value()),
    "prelu": lambda d: d.builder.prelu(d.value()),
    "concat": lambda d: d.builder.concat(d.value(), d.value()),
    "slice": _slice,
    "select": lambda d: d.builder.select(d.value(), d.size()),
    "embedding": _embedding,
    "layer_norm": _layer_norm,
    "convolution": _convolution,
    "loop": _loop,
    "first_frame": lambda d: d.builder.first_frame(d.value()) if d.whole else d.builder.affine(d.value()),
}
INSIDE_LOOPS = tuple(name for name in STEPS if name not in ("loop", "first_frame"))


def any_program(plan: Plan) -> Program:
    """Return the program of a plan; its last values are the outputs."""
    drawing = Drawing(plan)
    for step in plan.steps:
        if plan.mixed:
            drawing.builder.weights, drawing.builder.activations = FORMATS[int(drawing.rng.integers(len(FORMATS)))]
        drawing.values.append(STEPS[step](drawing))
    if plan.whole:
        drawing.values.append(drawing.builder.cell("gru", drawing.value(), drawing.size(), reverse=True))
    made = [value for value in dict.fromkeys(drawing.values) if value > drawing.tokens]
    for i, value in enumerate(made[-3:] or [0]):
        drawing.builder.output(f"output_{i}", value)
    return drawing.builder.program(reuse=plan.reuse)


def plans(steps: int = 8) -> st.SearchStrategy[Plan]:
    """Plans of up to ``steps`` steps."""
    return st.builds(
        Plan,
        seed=st.integers(0, 2**32 - 1),
        formats=st.sampled_from(FORMATS),
        steps=st.lists(st.sampled_from(tuple(STEPS)), min_size=1, max_size=steps).map(tuple),
        style=st.sampled_from(STYLES),
        whole=st.booleans(),
        reuse=st.booleans(),
        mixed=st.booleans(),
    )


def frames_for(program: Program, seed: int, count: int) -> Floats:
    """Extreme frames (count, in), with any tokens where the program takes tokens."""
    frames = extreme_frames(seed, count, program.input_width)
    at = 0
    for port in program.inputs:
        width = program.width(port.value)
        if port.tokens:
            frames[:, at : at + width] = np.random.default_rng(seed).integers(0, port.tokens, (count, width))
        at += width
    return frames
