"""The file: canonical round trips, and every damaged or hostile file refused with a clear `FormatError`."""

import dataclasses
import gc
import os
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from any_program import STEPS, Plan, any_program, plans
from hostile.make_hostile import FOLDER, hostile_files, index
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import (
    HEAD,
    INT8_GRU,
    MUTATIONS,
    SIZES,
    TEXT_MUTATIONS,
    WRITER_MUTATIONS,
    HostileFile,
    base_file,
    base_program,
    hostile,
)
from operator_mutations import OPERATOR_MUTATIONS, hostile_operator, unedited
from programs import (
    FORMATS,
    Builder,
    assert_same_bits,
    build,
    extreme_frames,
    plain_frames,
    recipes,
    small_file,
    small_program,
)

import grulet
from grulet import format as grulet_format
from grulet._kernel import ffi, lib
from grulet.kernel import aligned_bytes
from grulet.reference import Reference


def status_of(data: bytes) -> str:
    """What the C library itself says of a file, by name."""
    memory = aligned_bytes(data)
    status = lib.grulet_model_open(ffi.new("grulet_model *"), ffi.from_buffer(memory), len(memory))
    return str(ffi.typeof("grulet_status").elements[status])


def assert_same_program(actual: Any, expected: Any) -> None:
    """Equal programs: arrays by dtype and bits, everything else by value."""
    if isinstance(expected, np.ndarray):
        assert actual.dtype == expected.dtype
        assert actual.shape == expected.shape
        assert actual.tobytes() == expected.tobytes()
    elif dataclasses.is_dataclass(expected):
        assert type(actual) is type(expected)
        for field in dataclasses.fields(expected):
            assert_same_program(getattr(actual, field.name), getattr(expected, field.name))
    elif isinstance(expected, tuple):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            assert_same_program(one, other)
    elif isinstance(expected, float):
        assert np.float32(actual) == np.float32(expected)
    else:
        assert actual == expected


# ---- round trips ----------------------------------------------------------------------------------------------------


@settings(max_examples=150, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(recipe=recipes(largest=120), metadata=st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=9)))
def test_round_trip(recipe: Any, metadata: dict[str, Any]) -> None:
    """Written files are allowed, read back as the same program, and written again as the same bytes."""
    program = dataclasses.replace(build(recipe), text=grulet_format.Text("tests 1.0", "ab" * 32, metadata))
    data = grulet_format.write(program)
    assert len(data) % grulet_format.ALIGN == 0
    assert status_of(data) == "GRULET_OK"
    assert_same_program(grulet_format.read(data), program)
    assert grulet_format.write(grulet_format.read(data)) == data
    model = grulet.load(data)
    assert (model.metadata, model.exporter, model.source_sha256) == (metadata, "tests 1.0", "ab" * 32)


@settings(max_examples=300, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(plan=plans())
def test_round_trip_of_all_operators(plan: Plan) -> None:
    """The same for programs of all operators."""
    program = any_program(plan)
    data = grulet_format.write(program)
    assert status_of(data) == "GRULET_OK"
    assert_same_program(grulet_format.read(data), program)
    assert grulet_format.write(grulet_format.read(data)) == data


def test_header_of_a_small_file() -> None:
    """The layout of the header and the tables, field by field, as docs/format.md gives it."""
    data = base_file()
    fields = struct.unpack_from("<8s14I", data)
    assert fields[:2] == (b"\x89GRULET\n", 1)
    assert fields[2] == zlib.crc32(data[:12] + bytes(4) + data[16:])
    text_at = 64 + 4 * SIZES["port"] + 4 * SIZES["op"] + 2 * SIZES["state"] + 6 * SIZES["value"]
    text_bytes = fields[11]
    data_start = (text_at + text_bytes + 63) // 64 * 64
    assert fields[3:] == (len(data), 2, 2, 6, 4, 2, 17, 5, text_bytes, data_start, len(data) - data_start, 0)
    assert data[text_at : text_at + text_bytes] == (
        b'{"exporter":"tests","metadata":{},"operators":["gru_0","gru_1","dense_2","activation_3"],'
        b'"source_sha256":"' + b"0" * 64 + b'"}'
    )
    file = HostileFile(data)
    assert file.sealed() == data
    ops = [[file.get("op", o, name) for name in ("data", "data_bytes")] for o in range(4)]
    assert ops == [[data_start, 448], [data_start + 448, 448], [data_start + 896, 128], [0, 0]]
    assert [file.get("state", s, "initial") for s in (0, 1)] == [data_start + 1024, data_start + 1088]
    assert len(data) == data_start + 1152


def test_weights_lie_in_sweep_order() -> None:
    """A weight is found where docs/format.md says: [group][set][row][4 inputs], in blocks of 16 rows."""
    program = small_program()
    layer = program.operators[0]
    data = grulet_format.weight_data(layer)
    values = layer.input_matrix.values
    for unit, gate, i in [(0, 0, 0), (15, 2, 4), (7, 1, 3), (16, 0, 2), (18, 2, 1)]:
        first, width = (0, 16) if unit < 16 else (16, 4)
        block = 0 if unit < 16 else _block_bytes(5, 19, 16)
        at = block + ((i // 4 * 3 + gate) * width + unit - first) * 4 + i % 4
        assert np.int8(data[at] if data[at] < 128 else data[at] - 256) == values[gate, unit, i]
    assert len(data) == _block_bytes(5, 19, 16) + _block_bytes(5, 19, 4)


def _block_bytes(inputs: int, units: int, width: int) -> int:
    panels = sum(-(-(-(-n // 4) * 4 * 3 * width) // 64) * 64 for n in (inputs, units))
    rest = 4 * width * (3 + 3 + 4 + 3 + 3)
    return -(-(panels + rest) // 64) * 64


def test_dead_values_may_share_room() -> None:
    """A value may lie where a dead one lay: the same bits as with an arena of their own."""
    builder = Builder(3)
    value = builder.input("input", 9)
    for units in (11, 5, 14):
        value = builder.gru(value, units)
    builder.output("output", builder.dense(value, 9))
    apart, shared = builder.program(), builder.program(reuse=True)
    assert shared.arena_floats < apart.arena_floats
    frames = extreme_frames(1, 12, 9)
    one, other = (grulet.load(grulet_format.write(program)).stream() for program in (apart, shared))
    assert_same_bits(one.run(frames), other.run(frames))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": (grulet_format.Port("", 0),)}, "must be 1 to 51 bytes"),
        ({"inputs": (grulet_format.Port("ü" * 26, 0),)}, "must be 1 to 51 bytes"),
        ({"inputs": (grulet_format.Port("a\0b", 0),)}, "without NUL"),
        ({"text": grulet_format.Text("tests", "", {"x": float("nan")})}, "plain JSON"),
        ({"text": grulet_format.Text("tests", "", {"x": object()})}, "plain JSON"),
        ({"text": grulet_format.Text("tests", "", {"x": "\ud800"})}, "plain JSON"),
        ({"values": (grulet_format.Value(0, 5),) * 1025}, "a table has 1025 records; the format allows 1024"),
    ],
)
def test_write_refuses(change: dict[str, Any], message: str) -> None:
    """The writer refuses what the format cannot hold."""
    with pytest.raises(grulet.FormatError, match=message):
        grulet_format.write(dataclasses.replace(small_program(), **change))


def test_write_refuses_equal_names() -> None:
    """Operators are told apart by their names."""
    program = small_program()
    twice = (*program.operators[:1], dataclasses.replace(program.operators[1], name="gru_0"), *program.operators[2:])
    with pytest.raises(grulet.FormatError, match="same name"):
        grulet_format.write(dataclasses.replace(program, operators=twice))


def test_write_refuses_a_state_of_many_gigabytes() -> None:
    """A history that looks back 2^26 frames: refused, and no such state is made."""
    builder = Builder(0)
    builder.output("output", builder.history(builder.input("input", 5), 2, 2**26))
    with pytest.raises(grulet.FormatError, match="'history_0' have 335544321 floats; at most 2"):
        grulet_format.write(builder.program())


def test_port_name_of_51_bytes() -> None:
    """The longest name, in UTF-8, comes back."""
    builder = Builder(0)
    builder.output("ü" * 25 + "x", builder.gru(builder.input("x" * 51, 2), 2))
    model = grulet.load(grulet_format.write(builder.program()))
    assert (model.inputs[0].name, model.outputs[0].name) == ("x" * 51, "ü" * 25 + "x")


def test_model_tells_what_is_in_the_file() -> None:
    """`Model` properties against a file whose contents are known."""
    data = base_file()
    model = grulet.load(data)
    assert [(port.name, port.offset, port.width) for port in model.inputs] == [("left", 0, 5), ("right", 5, 2)]
    assert [(port.name, port.slice) for port in model.outputs] == [("scores", slice(0, 3)), ("squashed", slice(3, 5))]
    assert (model.input_width, model.output_width, model.state_floats) == (7, 5, 5)
    assert (model.file_bytes, model.weight_bytes) == (len(data), 448 + 448 + 128)
    assert [op.kind for op in model.ops] == ["gru", "gru", "dense", "activation"]
    assert [op.weights for op in model.ops] == ["int8", "f32", "int8", "none"]
    assert [op.activations for op in model.ops] == ["int16", "f32", "int8", "f32"]
    assert model.parameters == 3 * 3 * (5 + 3 + 2) + 3 * 2 * (3 + 2 + 2) + 3 * (2 + 1)
    described = model.describe()
    for word in ("left (5)", "squashed (2)", "gru_0", "dense + leaky_relu", "tanh", "5 -> 3", f"{len(data):,} bytes"):
        assert word in described


# ---- where files come from ------------------------------------------------------------------------------------------


def test_sources(tmp_path: Path) -> None:
    """A path, a string, bytes, and any buffer, aligned or not, give the same model."""
    data = small_file()
    path = tmp_path / "net.grulet"
    path.write_bytes(data)
    frames = plain_frames(0, 5, 5)
    expected = grulet.load(data).stream().run(frames)
    memory = np.memmap(path, np.uint8, "r")
    shifted = bytearray(3) + data
    sources = (path, str(path), os.fsencode(path).decode(), bytearray(data), memoryview(data), memory, shifted[3:])
    for source in (*sources, memoryview(shifted)[3:], np.frombuffer(data, np.uint32)):
        assert_same_bits(grulet.load(source).stream().run(frames), expected, type(source))


def test_aligned_buffer_is_used_in_place(tmp_path: Path) -> None:
    """A memory map is not copied, and is kept alive by the stream."""
    path = tmp_path / "net.grulet"
    path.write_bytes(small_file())
    memory = np.memmap(path, np.uint8, "r")
    model = grulet.load(memory)
    assert np.shares_memory(model._kernel.data, memory)
    stream = model.stream()
    expected = grulet.load(small_file()).stream().run(plain_frames(0, 4, 5))
    del model, memory
    gc.collect()
    assert_same_bits(stream.run(plain_frames(0, 4, 5)), expected)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "a path or a contiguous buffer was expected, not NoneType"),
        (7, "not int"),
        ([1, 2], "not list"),
        (np.frombuffer(small_file(), np.uint8)[::2], "contiguous"),
        (b"", "the file is empty"),
        (bytearray(), "the file is empty"),
        (np.empty(0, np.uint8), "the file is empty"),
        (b"x", "not a .grulet file"),
        (b"\x89GRULET\n", "not a .grulet file"),
        (b"# a text file\n" * 100, "not a .grulet file: it starts with b'# a text'"),
        (b"\x08\x08\x12\x07pytorch" * 100, "not a .grulet file"),
    ],
)
def test_wrong_source(source: Any, message: str) -> None:
    """What is no file at all is said to be none."""
    with pytest.raises(grulet.FormatError, match=message):
        grulet.load(source)


def test_wrong_paths(tmp_path: Path) -> None:
    """Paths that cannot be read, or hold something else, are named in the message."""
    (tmp_path / "empty.grulet").touch()
    (tmp_path / "text.grulet").write_text("hello, this is no model\n")
    (tmp_path / "short.grulet").write_bytes(small_file()[:100])
    for name, message in {
        "missing.grulet": "No such file or directory",
        ".": "Is a directory",
        "empty.grulet": "the file is empty",
        "text.grulet": "this is not a .grulet file",
        "short.grulet": "the file is truncated: 100 bytes of",
    }.items():
        for path in (tmp_path / name, str(tmp_path / name)):
            with pytest.raises(grulet.FormatError, match=message) as caught:
                grulet.load(path)
            assert str(path) in str(caught.value)


def test_path_that_no_system_can_have() -> None:
    """A path with a NUL is refused like one that does not exist."""
    with pytest.raises(grulet.FormatError, match="null byte"):
        grulet.load("net\0.grulet")


def test_newer_version() -> None:
    """A newer format is refused by name, before its unknown contents are looked at."""
    file = HostileFile(base_file())
    file.set("header", 0, "version", 2)
    for data in (file.sealed(), bytes(file.data[:12]), bytes(file.data[:12]) + b"something new"):
        assert status_of(data) == "GRULET_WRONG_VERSION"
        with pytest.raises(grulet.FormatError, match="format version 2, this grulet reads version 1: update grulet"):
            grulet.load(data)


# ---- damage ---------------------------------------------------------------------------------------------------------


def test_every_truncation() -> None:
    """A file cut off anywhere is refused, by the C library and in words."""
    data = base_file()
    for size in range(len(data)):
        part = data[:size]
        expected = "GRULET_NOT_A_MODEL" if size < 12 else "GRULET_WRONG_SIZE"
        assert status_of(part) == expected, size
        with pytest.raises(grulet.FormatError, match=r"empty|not a \.grulet file|truncated"):
            grulet.load(part)


@pytest.mark.parametrize("extra", [b"\0", bytes(64), b"\x89GRULET\n"])
def test_trailing_bytes(extra: bytes) -> None:
    """A file with something behind its end is refused."""
    data = base_file() + extra
    assert status_of(data) == "GRULET_WRONG_SIZE"
    with pytest.raises(grulet.FormatError, match=f"{len(extra)} trailing bytes"):
        grulet.load(data)


def _flips(data: bytes, bits: Any) -> None:
    file = bytearray(data)
    for bit in bits:
        file[bit // 8] ^= 1 << bit % 8
        with pytest.raises(grulet.FormatError):
            grulet.load(bytes(file))
        file[bit // 8] ^= 1 << bit % 8
    assert bytes(file) == data


def test_every_flipped_bit() -> None:
    """A file with any one bit flipped is refused."""
    data = base_file()
    _flips(data, range(8 * len(data)))


def test_flipped_bits_of_a_larger_file() -> None:
    """The same for a sample of the bits of a file of 100 KB."""
    builder = Builder(0)
    builder.output("output", builder.gru(builder.input("input", 100), 120))
    data = grulet_format.write(builder.program())
    _flips(data, np.random.default_rng(0).integers(0, 8 * len(data), 300).tolist())


# ---- hostile files with a right checksum ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", MUTATIONS)
def test_hostile_file(name: str) -> None:
    """The C library itself refuses every file that breaks a rule; `load` says so in words."""
    data = hostile(name)
    assert data != base_file()
    assert status_of(data) == MUTATIONS[name].status
    with pytest.raises(grulet.FormatError) as caught:
        grulet.load(data)
    assert len(str(caught.value)) > 20


@pytest.mark.parametrize("name", OPERATOR_MUTATIONS)
def test_hostile_operator(name: str) -> None:
    """The same for what operators between and around recurrent layers may not say."""
    data = hostile_operator(name)
    assert status_of(data) == "GRULET_FORBIDDEN"
    if OPERATOR_MUTATIONS[name].edits:
        assert status_of(unedited(name)) == "GRULET_OK"
    with pytest.raises(grulet.FormatError) as caught:
        grulet.load(data)
    assert len(str(caught.value)) > 20


def test_every_rule_is_tried() -> None:
    """Every numbered rule of docs/format.md has a file that breaks it."""
    text = (Path(__file__).resolve().parents[1] / "docs" / "format.md").read_text()
    forbidden = text.partition("## Forbidden")[2].partition("\n## ")[0]
    rules = {int(number) for number in re.findall(r"^(\d+)\. ", forbidden, re.MULTILINE)}
    assert len(rules) >= 22
    tried = {mutation.rule for mutation in [*MUTATIONS.values(), *OPERATOR_MUTATIONS.values()]}
    assert tried == rules | {0}


@pytest.mark.parametrize("name", WRITER_MUTATIONS)
def test_file_of_another_writer(name: str) -> None:
    """Rules for writers only: the file opens and runs alike on all kernels, while `read` does not accept it."""
    data = hostile(name)
    assert data != base_file()
    assert status_of(data) == "GRULET_OK"
    assert_kernels_agree(grulet.load(data), extreme_frames(0, 12, 7))
    with pytest.raises(grulet.FormatError):
        grulet_format.read(data)


@pytest.mark.parametrize("name", TEXT_MUTATIONS)
def test_hostile_text(name: str) -> None:
    """The C library does not read the text; Python refuses what is not the JSON that it expects."""
    data = hostile(name)
    assert status_of(data) == "GRULET_OK"
    with pytest.raises(grulet.FormatError, match=r"text|UTF-8"):
        grulet.load(data)


def test_base_of_hostile_files_is_good() -> None:
    """The file that the mutations edit is allowed, and runs."""
    assert status_of(base_file()) == "GRULET_OK"
    frames = extreme_frames(0, 24, 7)
    assert_same_bits(grulet.load(base_file()).stream().run_vector(frames), Reference(base_program()).run(frames))


def test_committed_hostile_files() -> None:
    """tests/hostile holds what make_hostile.py makes: run it after a change of the format."""
    files = hostile_files()
    assert {path.name for path in FOLDER.glob("*.grulet")} == set(files)
    for name, data in files.items():
        assert (FOLDER / name).read_bytes() == data, name
    assert (FOLDER / "index.txt").read_text() == index()


INTERESTING = (0, 1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 17, 63, 64, 65, 127, 128, 255, 1024, 1025, 65536, 2**28, 2**31)
INTERESTING_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 2.0**-100, 2.0**64, 3.4e38, float("inf"), float("nan"))
EVERYTHING = tuple(
    any_program(Plan(seed, formats, tuple(STEPS), whole=seed == 1)) for seed, formats in enumerate(FORMATS)
)
BASES = (
    base_file(),
    *(small_file(*formats) for formats in FORMATS),
    *map(grulet_format.write, EVERYTHING),
    grulet_format.write(any_program(Plan(7, FORMATS[0], tuple(STEPS), mixed=True))),
)

words = st.one_of(
    st.sampled_from(INTERESTING).map(lambda n: struct.pack("<I", n)),
    st.sampled_from(INTERESTING).map(lambda n: struct.pack("<I", 2**32 - 1 - n)),
    st.sampled_from(INTERESTING_FLOATS).map(lambda x: struct.pack("<f", x)),
    st.binary(min_size=1, max_size=8),
)


@settings(max_examples=3000, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    base=st.sampled_from(BASES),
    edits=st.lists(st.tuples(st.booleans(), st.integers(0, 10**6), words), min_size=1, max_size=4),
)
def test_random_mutations(base: bytes, edits: list[tuple[bool, int, bytes]]) -> None:
    """Random edits, checksum right: refused with a `FormatError`, or a model that runs, alike on all kernels."""
    file = HostileFile(base)
    text, end = file.start("text", 0), len(base)
    for in_tables, slot, data in edits:  # behind the magic bytes, in the tables or anywhere
        at = 8 + 4 * slot % ((text if in_tables else end) - 8)
        file.data[at : at + len(data)] = data
    del file.data[end:]
    mutated = file.sealed()
    try:
        model = grulet.load(mutated)
    except grulet.FormatError:
        return
    assert status_of(mutated) == "GRULET_OK"
    if model._tables.arena_floats > 2**22:
        return  # a stream of such a model would take many MB
    assert_kernels_agree(model, _frames(model, len(edits), 6))


def _frames(model: grulet.Model, seed: int, count: int) -> Any:
    """Extreme frames, with tokens where the model takes tokens."""
    frames = extreme_frames(seed, count, model.input_width)
    for port in model.inputs:
        if port.tokens:
            frames[:, port.slice] = np.random.default_rng(seed).integers(0, port.tokens, (count, port.width))
    return frames


def assert_kernels_agree(model: grulet.Model, frames: Any) -> None:
    """Equal bits on every kernel, finite outputs, and a state that can be restored."""
    answers = []
    for isa in grulet.isas():
        grulet.use_isa(isa)
        stream = model.stream(block=len(frames) if model.needs_sequence else 2)
        answers.append(stream.run_vector(frames))
        assert_same_bits(answers[-1], answers[0], isa)
        stream.restore(stream.save())
    assert np.isfinite(answers[0]).all()


@settings(max_examples=300, derandomize=True, deadline=None)
@given(name=st.sampled_from(sorted(MUTATIONS)), other=st.sampled_from(sorted(MUTATIONS)))
def test_two_mutations(name: str, other: str) -> None:
    """Two broken rules at once: one refusal, never another exception."""
    file = HostileFile(base_file())
    MUTATIONS[name].edit(file)
    try:
        MUTATIONS[other].edit(file)
    except (struct.error, IndexError, ValueError):
        return  # the first edit moved the field out of the file
    with pytest.raises(grulet.FormatError):
        _refuse(file.sealed())


def _refuse(data: bytes) -> None:
    grulet.load(data)
    raise grulet.FormatError("two edits may undo each other")


@pytest.mark.parametrize("formats", FORMATS, ids="-".join)
def test_random_numbers_in_the_weights(formats: tuple[str, str]) -> None:
    """Scales, biases and float weights of any allowed size: all kernels agree and nothing leaves the finite floats."""
    program = small_program(*formats)
    rng = np.random.default_rng(0)
    for _ in range(40):
        operators = tuple(_with_random_numbers(rng, op) for op in program.operators)
        model = grulet.load(grulet_format.write(dataclasses.replace(program, operators=operators)))
        assert_kernels_agree(model, extreme_frames(1, 12, 5))


def _with_random_numbers(rng: np.random.Generator, op: Any) -> Any:
    """The operator with biases, and float weights or scales, of any magnitude."""

    def magnitudes(like: Any, top: float) -> Any:
        signs = rng.choice([-1.0, 1.0], like.shape)
        return (signs * 10.0 ** rng.uniform(-45, top, like.shape)).astype(np.float32)

    def changed(matrix: grulet_format.Matrix) -> grulet_format.Matrix:
        if matrix.scale is None:
            largest = np.log10(np.finfo(matrix.values.dtype).max)
            return grulet_format.Matrix(magnitudes(matrix.values, largest).astype(matrix.values.dtype))
        return dataclasses.replace(matrix, scale=np.abs(magnitudes(matrix.scale, 19)))

    fields = [name for name in ("matrix", "input_matrix", "recurrent_matrix") if hasattr(op, name)]
    matrices = {name: changed(getattr(op, name)) for name in fields}
    return dataclasses.replace(op, bias=magnitudes(op.bias, 38.5), **matrices)


def test_numbers_of_operators_match_the_file() -> None:
    """The constants that name the operators of the base file are right."""
    kinds = [type(op).__name__ for op in base_program().operators]
    assert (kinds[INT8_GRU], kinds[HEAD]) == ("Gru", "Dense")
