"""Every kernel == generic == numpy oracle, bit for bit (docs/numerics.md)."""

import dataclasses
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from any_program import STEPS, Plan, any_program, frames_for, plans
from builder import CELLS
from hypothesis import HealthCheck, given, settings
from programs import (
    ACTIVATIONS,
    ARGUMENTS,
    BINARY_FUNCTIONS,
    FORMATS,
    KERNELS,
    LARGEST,
    Builder,
    Floats,
    Recipe,
    assert_same_bits,
    build,
    extreme_frames,
    plain_frames,
    recipes,
)

import grulet
from grulet import format as grulet_format
from grulet.operators import KINDS
from grulet.reference import Reference

MODELS = 300
C_SRC = Path(__file__).resolve().parents[1] / "c_src"


@pytest.fixture(params=KERNELS)
def isa(request: pytest.FixtureRequest) -> str:
    """Every instruction set in turn, in use; skipped in sight where this CPU or this build lacks it."""
    name = str(request.param)
    if name not in grulet.isas():
        pytest.skip(f"this CPU or this build has no {name}")
    grulet.use_isa(name)
    return name


_expected: dict[bytes, Floats] = {}


def oracle(data: bytes, frames: Floats) -> Floats:
    """Outputs of the numpy reference; the same models come up again for every instruction set, so they are kept."""
    key = hashlib.sha256(data + frames.tobytes()).digest()
    if key not in _expected:
        _expected[key] = Reference(data).run(frames)
    return _expected[key]


def check(data: bytes, frames: Floats, what: object) -> None:
    """Compare step by step and block by block (or as a sequence) against the oracle, on the instruction set in use."""
    expected = oracle(data, frames)
    model = grulet.load(data)
    if model.needs_sequence:
        assert_same_bits(model.stream(block=len(frames)).run_vector(frames), expected, (what, "sequence"))
        return
    assert_same_bits(model.stream(block=3).run_vector(frames), expected, (what, "run"))
    stream = model.stream(block=1)
    for t, frame in enumerate(frames):
        stream.input[:] = frame
        stream.tick()
        assert_same_bits(stream.output, expected[t], (what, "step", t))


def test_random_models(isa: str) -> None:
    """300 random models: 1 to 3 layers, sizes 1 to 300, every format and function, extreme weights and frames."""
    tried = set()

    # Hypothesis draws a few models twice, hence a tenth more than promised.
    @settings(max_examples=MODELS * 11 // 10, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(recipe=recipes())
    def one_model(recipe: Recipe) -> None:
        assert grulet.isa() == isa
        tried.add(recipe)
        program = build(recipe)
        width = program.input_width
        frames = np.concatenate([plain_frames(recipe.seed, 2, width), extreme_frames(recipe.seed, 3, width)])
        check(grulet_format.write(program), frames, recipe)

    one_model()
    assert len(tried) >= MODELS


def test_random_programs_of_all_operators(isa: str) -> None:
    """Random operators behind each other: every kind, loops, skip connections, tokens, layers that go backwards."""
    seen: set[tuple[str, str]] = set()

    @settings(max_examples=MODELS * 3 // 2, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(plan=plans())
    def one_program(plan: Plan) -> None:
        program = any_program(plan)
        seen.update((type(op).__name__, getattr(op, "function", "")) for op in program.operators)
        check(grulet_format.write(program), frames_for(program, plan.seed, 5), plan)

    one_program()
    assert {name for name, _ in seen} == {kind.__name__ for kind in KINDS}
    functions = {function for name, function in seen if name in ("Activation", "Binary")}
    assert functions == {*ACTIVATIONS, *BINARY_FUNCTIONS}


@pytest.mark.parametrize("step", STEPS)
def test_every_kind_of_step(isa: str, step: str) -> None:
    """One kind of operator, over and over, in every format."""
    for formats in FORMATS:
        for seed in range(4):
            plan = Plan(seed, formats, (step,) * 3, whole=seed % 2 == 1, reuse=seed > 1)
            program = any_program(plan)
            check(grulet_format.write(program), frames_for(program, seed, 9), plan)


@pytest.mark.parametrize("formats", FORMATS, ids="-".join)
@pytest.mark.parametrize(("inputs", "units"), [(512, 513), (516, 20), (1025, 7), (1030, 3), (9, 1029)])
def test_several_spans(isa: str, formats: tuple[str, str], inputs: int, units: int) -> None:
    """Above 512 and 1024 inputs the exact sums are taken in spans; +-127 weights bring them next to 2^31."""
    for style in ("plain", "saturated"):
        for cell in CELLS if units < 30 else ("gru", "lstm"):
            builder = Builder(inputs, *formats)
            h = builder.cell(cell, builder.input("input", inputs), units, style=style)
            builder.output("output", builder.dense(h, 5, style=style))
            program = builder.program()
            frames = np.concatenate([extreme_frames(3, 4, inputs), np.full((1, inputs), 2.5, np.float32)])
            check(grulet_format.write(program), frames, (cell, formats, inputs, units, style))


def test_largest_exact_sum(isa: str) -> None:
    """512 products of 127 and 32767, the largest sum of a span, is exact; so is its negative."""
    builder = Builder(0, "int8", "int16")
    builder.output("output", builder.dense(builder.input("input", 512), 6, bias=False, style="saturated"))
    data = grulet_format.write(builder.program())
    check(data, np.stack([np.full(512, 1.0, np.float32), np.full(512, -7.0, np.float32)]), "largest sum")


def test_every_width_of_the_last_block(isa: str) -> None:
    """Blocks of 16 rows end in one of 4, 8, 12 or 16 stored rows, with 0 to 3 of them padding; inputs likewise."""
    for cell in CELLS:
        for formats in FORMATS:
            for size in range(1, 37):
                builder = Builder(size, *formats)
                h = builder.cell(cell, builder.input("input", 37 - size), size, initial=True)
                builder.output("output", builder.dense(h, 38 - size, "sigmoid"))
                data = grulet_format.write(builder.program())
                check(data, extreme_frames(size, 3, 37 - size), (cell, formats, size))


@pytest.mark.parametrize("formats", FORMATS, ids="-".join)
def test_inputs_around_every_edge(isa: str, formats: tuple[str, str]) -> None:
    """Groups of 4 inputs, pairs of them, groups of 32, spans of 512: whole ones, and with one input less or more."""
    for inputs in (*range(1, 71), 127, 128, 129, 479, 480, 481, *range(508, 518), 543, 544, 545):
        for style in ("plain", "saturated"):
            builder = Builder(inputs, *formats)
            x = builder.input("input", inputs)
            builder.output("dense", builder.dense(x, 21, style=style))
            builder.output("state", builder.cell("lstm" if inputs % 2 else "gru", x, 5, style=style))
            check(grulet_format.write(builder.program()), extreme_frames(inputs, 4, inputs), (formats, inputs, style))


@pytest.mark.parametrize("formats", [formats for formats in FORMATS if formats[0] in ("int4", "f16")], ids="-".join)
def test_units_around_every_edge(isa: str, formats: tuple[str, str]) -> None:
    """The same for the recurrent matrix: as many inputs as units."""
    for units in (31, 32, 33, 63, 64, 65, 511, 512, 513, 545):
        builder = Builder(units, *formats)
        h = builder.cell("rnn" if units > 500 else "lstm", builder.input("input", 3), units, initial=True)
        builder.output("state", h)
        check(grulet_format.write(builder.program()), extreme_frames(units, 4, 3), (formats, units))


WIDTHS = (1, 2, 7, 8, 9, 15, 16, 17, 33)  # around a register's


def test_functions_on_all_extremes(isa: str) -> None:
    """Every function of one vector, alone, on vectors of extremes, of every width around a register's."""
    for function in ACTIVATIONS:
        arguments = {"leaky_relu": (1e30,), "elu": (1e30,)}.get(function, ARGUMENTS.get(function, ()))
        for width in WIDTHS:
            builder = Builder(0)
            builder.output("output", builder.activation(builder.input("input", width), function, *arguments))
            check(grulet_format.write(builder.program()), extreme_frames(width, 12, width), (function, width))


def test_functions_of_two_vectors_on_all_extremes(isa: str) -> None:
    """Every function of two vectors on extremes met with extremes: overflow, 0 / 0, zeros of both signs."""
    for function in BINARY_FUNCTIONS:
        for width in WIDTHS:
            builder = Builder(0)
            left, right = builder.input("left", width), builder.input("right", width)
            negative = builder.binary(builder.activation(right, "relu"), right, "sub")  # -0 where right is 0
            builder.output("output", builder.binary(left, right, function))
            builder.output("negative", builder.binary(left, negative, function))
            rows = extreme_frames(width, 12, width)
            frames = np.concatenate([np.repeat(rows, 12, axis=0), np.tile(rows, (12, 1))], axis=1)
            check(grulet_format.write(builder.program()), np.ascontiguousarray(frames), (function, width))


def test_norms_of_extremes(isa: str) -> None:
    """Layer norms of the largest floats, of silence and of equal elements: nothing overflows into a NaN."""
    for width, size in ((1, 1), (5, 5), (16, 16), (17, 17), (40, 8), (66, 33), (200, 200)):
        builder = Builder(width)
        builder.output("output", builder.layer_norm(builder.input("input", width), size, 2.0**-100))
        frames = np.concatenate([extreme_frames(width, 12, width), np.full((1, width), 3.0, np.float32)])
        check(grulet_format.write(builder.program()), frames, (width, size))


def test_whole_sequences_of_every_length(isa: str) -> None:
    """A bidirectional layer of every cell on 1 to 9 frames, in one stream after the other: each from the start."""
    for cell in CELLS:
        for formats in FORMATS:
            builder = Builder(3, *formats)
            x = builder.input("input", 5)
            both = builder.concat(
                builder.cell(cell, x, 18, initial=True), builder.cell(cell, x, 18, initial=True, reverse=True)
            )
            builder.output("both", both)
            builder.output("summary", builder.first_frame(both))
            data = grulet_format.write(builder.program())
            stream = grulet.load(data).stream(block=9)
            for length in range(1, 10):
                frames = plain_frames(length, length, 5)
                assert_same_bits(stream.run_vector(frames), oracle(data, frames), (cell, formats, length))


def test_long_memories(isa: str) -> None:
    """An LSTM whose c grows for 300 frames, and a history longer than the run, have the oracle's bits all the way."""
    for formats in FORMATS:
        builder = Builder(4, *formats)
        x = builder.input("input", 3)
        h = builder.cell("lstm", x, 20, style="saturated")
        builder.output("output", builder.depthwise(builder.history(h, 3, 70), 3))
        frames = np.full((300, 3), LARGEST, np.float32)
        check(grulet_format.write(builder.program()), frames, formats)


@pytest.mark.parametrize("formats", FORMATS, ids="-".join)
def test_state_is_flushed_below_2_to_the_minus_64(isa: str, formats: tuple[str, str]) -> None:
    """With all weights zero a step halves the state exactly: 2^-64 stays, the float below it becomes +0."""
    builder = Builder(0, *formats)
    builder.output("state", builder.gru(builder.input("input", 1), 20, bias=False, style="zeros"))
    program = builder.program()
    initial = np.zeros(20, np.float32)
    edge = np.float32(2.0**-63)
    initial[:6] = edge, -edge, np.nextafter(edge, edge * 0), -np.nextafter(edge, edge * 0), 2 * edge, 1e-40
    initial[17:] = edge, -np.nextafter(edge, edge * 0), np.nextafter(edge, 2 * edge)
    operators = (dataclasses.replace(program.operators[0], initial_state=initial),)
    data = grulet_format.write(dataclasses.replace(program, operators=operators))
    half = initial / np.float32(2)
    expected = np.where(np.abs(half) < 2.0**-64, np.float32(0), half)
    frames = np.zeros((3, 1), np.float32)
    assert_same_bits(grulet.load(data).stream().run(frames)[0], expected)
    assert np.count_nonzero(expected) == 5
    check(data, frames, formats)


def test_decay(isa: str) -> None:
    """A silent stream from 1 down through 2^-64 to 0, as slow as 0.9 a step, has the oracle's bits all the way."""
    for cell in CELLS:
        for formats in FORMATS:
            builder = Builder(7, *formats)
            h = builder.cell(cell, builder.input("input", 2), 21, bias=False, initial=True, forget=2.0, style="mixed")
            builder.output("state", h)
            check(grulet_format.write(builder.program()), np.zeros((420, 2), np.float32), (cell, formats))


def test_read_weights_runs(isa: str) -> None:
    """The benchmarks' read floor reads whole lines of the file and nothing behind them."""
    builder = Builder(0)
    words = builder.embedding(builder.input("tokens", 2, 40), 3)
    builder.output("output", builder.gru(words, 5))
    model = grulet.load(grulet_format.write(builder.program()))
    assert model.read_weights() is None
    assert model.weight_bytes == 2 * 3 + sum(op.weight_bytes for op in model.ops if op.kind == "gru")


def test_this_file_knows_every_kernel() -> None:
    """A new ISA file must be added to KERNELS, or it would go untested."""
    named = re.findall(r'\{"(\w+)", \w+, &grulet_floats_', (C_SRC / "grulet_cpu.c").read_text())
    assert sorted(named) == sorted(KERNELS)
    products = {path.stem.removeprefix("grulet_products_") for path in C_SRC.glob("*/grulet_products_*.c")}
    assert products == set(named)


def test_isas_and_use_isa() -> None:
    """`isas` lists best first and ends with generic; the best is chosen; `use_isa` changes what `isa` says."""
    names = grulet.isas()
    assert names[-1] == "generic"
    assert [name for name in KERNELS if name in names] == list(names)
    for name in names:
        grulet.use_isa(name)
        assert grulet.isa() == name


@pytest.mark.parametrize("name", ["", "sse9", "AVX2", "avx", "avx22", "generic ", "generic\0"])
def test_unknown_isa(name: str) -> None:
    """An unknown name is refused, lists what there is, and changes nothing."""
    before = grulet.isa()
    with pytest.raises(grulet.IsaError, match="generic"):
        grulet.use_isa(name)
    assert grulet.isa() == before


def _import_with(isa: str) -> "subprocess.CompletedProcess[str]":
    code = "import grulet; print(grulet.isa())"
    environment = {**os.environ, "GRULET_ISA": isa}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", [*KERNELS, ""])
def test_environment_variable(name: str) -> None:
    """GRULET_ISA chooses the kernel of a whole process; empty means the best."""
    if name and name not in grulet.isas():
        pytest.skip(f"this CPU or this build has no {name}")
    answer = _import_with(name)
    assert (answer.returncode, answer.stdout.strip()) == (0, name or grulet.isas()[0]), answer.stderr


def test_environment_variable_unknown() -> None:
    """A wrong GRULET_ISA stops the process with an `IsaError`: a test run must not silently use another kernel."""
    answer = _import_with("sse9")
    assert answer.returncode != 0
    assert "IsaError: no instruction set 'sse9' here" in answer.stderr
