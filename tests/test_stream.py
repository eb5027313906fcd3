"""A stream is a contract: any split gives the same bits, state can be moved, a bad frame changes nothing."""

import array
import copy
import itertools
import pickle
import struct
import subprocess
import sys
import threading
import weakref
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import (
    FORMATS,
    Builder,
    Floats,
    assert_same_bits,
    build,
    extreme_frames,
    plain_frames,
    recipes,
    small_file,
)

import grulet
from grulet import format as grulet_format
from grulet.reference import Reference

WIDTH = 5  # of small_file's input
BLOB_HEADER = struct.Struct("<8sII")  # magic, CRC of the model file, CRC of the state


@pytest.fixture(params=FORMATS, ids="-".join)
def model(request: pytest.FixtureRequest) -> grulet.Model:
    """A small model in each format."""
    return grulet.load(small_file(*request.param))


@pytest.fixture(scope="module")
def two_outputs() -> grulet.Model:
    """A model with two inputs and three outputs, one of them named like a keyword."""
    builder = Builder(3)
    a, b = builder.input("left", 4), builder.input("right", 3)
    h = builder.gru(a, 9)
    builder.output("class", builder.dense(b, 2, "tanh"))
    builder.output("state", h)
    builder.output("probability", builder.dense(h, 3, "softmax"))
    return grulet.load(grulet_format.write(builder.program()))


def mixed_frames(count: int, width: int = WIDTH) -> Floats:
    """Ordinary and extreme frames in turn."""
    frames = plain_frames(1, count, width)
    frames[::5] = extreme_frames(2, len(frames[::5]), width)
    return frames


# ---- splits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [1, 2, 7, 32])
def test_frames_chunks_whole(model: grulet.Model, block: int) -> None:
    """Step by step, in random chunks, whole, at every block size: the bits of the oracle."""
    frames = mixed_frames(75)
    whole = model.stream(block).run(frames)
    assert_same_bits(whole, Reference(small_file(*_formats(model))).run(frames))
    stepped = model.stream(block)
    assert_same_bits(np.stack([stepped.step(frame) for frame in frames]), whole, "steps")
    rng = np.random.default_rng(block)
    for _ in range(10):
        cuts = np.sort(rng.integers(0, len(frames) + 1, rng.integers(1, 12)))
        stream = model.stream(block)
        parts = [stream.run(part) for part in np.split(frames, cuts)]
        assert_same_bits(np.concatenate(parts), whole, cuts)
        assert stream.save() == stepped.save()


def _formats(model: grulet.Model) -> tuple[str, str]:
    return model.ops[0].weights, model.ops[0].activations


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    recipe=recipes(largest=40),
    sizes=st.lists(st.integers(0, 9), max_size=8),
    block=st.sampled_from([1, 2, 7, 32]),
    step=st.booleans(),
)
def test_any_split_of_any_model(recipe: Any, sizes: list[int], block: int, step: bool) -> None:
    """Random models, random chunks, some chunks as single steps: the bits of the whole, outputs and state."""
    program = build(recipe)
    model = grulet.load(grulet_format.write(program))
    frames = extreme_frames(recipe.seed, sum(sizes) + 1, program.input_width)
    whole = model.stream(32)
    expected = whole.run_vector(frames)
    stream = model.stream(block)
    parts = []
    for part in np.split(frames, np.cumsum(sizes)):
        if step:
            for frame in part:
                stream.input[:] = frame
                stream.tick()
                parts.append(stream.output[None].copy())
        else:
            parts.append(stream.run_vector(part))
    assert_same_bits(np.concatenate(parts), expected)
    assert stream.save() == whole.save()


def test_step_tick_run_agree(model: grulet.Model) -> None:
    """`step` gives a new array, `tick` uses the stream's own buffers, `run` rows: the same bits."""
    frames = mixed_frames(6)
    expected = model.stream().run(frames)
    by_step, by_tick = model.stream(), model.stream(1)
    kept = [by_step.step(frame) for frame in frames]
    assert_same_bits(np.stack(kept), expected)
    buffers = by_tick.input, by_tick.output
    for t, frame in enumerate(frames):
        by_tick.input[:] = frame
        assert by_tick.tick() is None
        assert_same_bits(by_tick.output, expected[t])
    assert buffers[0] is by_tick.input
    assert buffers[1] is by_tick.output
    assert (by_tick.input.shape, by_tick.output.shape) == ((5,), (3,))
    assert_same_bits(np.stack(kept), expected, "answers of earlier steps must not change")


def test_run_of_nothing(model: grulet.Model) -> None:
    """Zero frames give zero rows and leave the state."""
    stream = model.stream()
    stream.run(mixed_frames(3))
    before = stream.save()
    assert_same_bits(stream.run(np.empty((0, WIDTH), np.float32)), np.empty((0, 3), np.float32))
    assert stream.save() == before


def test_run_takes_any_memory_layout(model: grulet.Model) -> None:
    """Transposed, strided, reversed, read-only, misaligned and subclassed arrays give the bits of a plain one."""
    frames = mixed_frames(8)
    expected = model.stream().run(frames)
    padded = np.zeros((16, 2 * WIDTH), np.float32)
    padded[::2, ::2] = frames
    read_only = frames.copy()
    read_only.flags.writeable = False
    raw = bytearray(frames.nbytes + 1)
    raw[1:] = frames.tobytes()
    layouts = {
        "transposed": np.asfortranarray(frames),
        "strided": padded[::2, ::2],
        "reversed": frames[::-1].copy()[::-1],
        "read-only": read_only,
        "misaligned": np.frombuffer(raw, np.float32, frames.size, 1).reshape(frames.shape),
        "subclass": frames.view(np.matrix),
    }
    for name, layout in layouts.items():
        assert_same_bits(np.asarray(model.stream().run(layout)), expected, name)
    for name, layout in layouts.items():
        stream = model.stream()
        steps = [stream.step(np.ravel(frame) if name == "subclass" else frame) for frame in layout]
        assert_same_bits(np.stack(steps).reshape(expected.shape), expected, (name, "steps"))


class Tagged(np.ndarray):
    """A subclass of ndarray, as libraries have them."""


def test_step_takes_subclasses(model: grulet.Model) -> None:
    """Frames and ``out`` of other array types are fine as long as their memory is."""
    frame, out = mixed_frames(1)[0].view(Tagged), np.zeros(3, np.float32).view(Tagged)
    assert model.stream().step(frame, out) is out
    assert_same_bits(np.asarray(out), model.stream().step(np.asarray(frame)))


def test_out(model: grulet.Model) -> None:
    """``out`` is filled and returned; rows of a larger array, overlapping the frame, the stream's own buffers."""
    frames = mixed_frames(6)
    expected = model.stream().run(frames)
    stream, answers = model.stream(), np.full((6, 3), np.nan, np.float32)
    for t, frame in enumerate(frames):
        row = answers[t]
        assert stream.step(frame, out=row) is row
        assert_same_bits(stream.output, expected[t])
    assert_same_bits(answers, expected)
    stream, memory = model.stream(), np.empty(WIDTH + 1, np.float32)
    for t, frame in enumerate(frames):
        memory[1:] = frame
        assert_same_bits(stream.step(memory[1:], out=memory[t % 4 :][:3]), expected[t])
    stream = model.stream()
    stream.input[:] = frames[0]
    assert stream.step(stream.input, out=stream.output) is stream.output
    assert_same_bits(stream.output, expected[0])


def test_out_again_and_again(model: grulet.Model) -> None:
    """The same ``out`` for every frame, two in turn, none, parts of a larger array between: the bits of a new array."""
    frames = mixed_frames(40)
    stream, expected = model.stream(), model.stream().run(frames)
    one, two, rows = np.empty(3, np.float32), np.empty(3, np.float32), np.empty((40, 3), np.float32)
    for t, out in enumerate([one, one, two, one, two, two, None, None, one, rows[0], rows[1], one, one, *rows[2:29]]):
        answer = stream.step(frames[t], out=out)
        assert out is None or answer is out
        assert_same_bits(answer, expected[t], t)
        assert_same_bits(stream.output, expected[t], t)
        for unused in (one, two, rows):
            if unused is not out and not np.shares_memory(unused, answer):
                unused[:] = np.nan
    assert np.isnan(one).all(), "no later step wrote here"
    assert np.isnan(two).all()


@pytest.mark.parametrize("spoil", ["read-only", "other out"])
def test_good_out_turns_bad(started: tuple[grulet.Stream, grulet.Stream], spoil: str) -> None:
    """An ``out`` that was fine before is refused once it is read-only; so is a bad one after a good one."""
    frame, out = mixed_frames(1)[0], np.empty(3, np.float32)
    for stream in started:
        stream.step(frame, out=out)
    before = out.copy()
    if spoil == "read-only":
        out.flags.writeable = False
    with pytest.raises(grulet.FrameError, match=r"^out: a writable, C-contiguous float32 array \(3,\) was expected"):
        started[0].step(frame, out=out if spoil == "read-only" else np.empty(4, np.float32))
    assert_same_bits(out, before)
    assert_as_if_nothing_happened(*started)


def test_out_keeps_no_recording_alive(model: grulet.Model) -> None:
    """A stream that was given a row of an array to fill does not hold the whole array."""
    stream, answers = model.stream(), np.empty((6, 3), np.float32)
    gone = weakref.ref(answers)
    for frame, row in zip(mixed_frames(6), answers, strict=True):
        stream.step(frame, out=row)
    del answers, row
    assert gone() is None


def test_out_of_several_outputs(two_outputs: grulet.Model) -> None:
    """The named tuple's arrays are slices of ``out``."""
    frame, out = plain_frames(4, 1, 7)[0], np.empty(14, np.float32)
    answer = two_outputs.stream().step(frame, out=out)
    assert all(np.shares_memory(part, out) for part in answer)
    assert_same_bits(np.concatenate([*answer]), out)
    assert_same_bits(out, two_outputs.stream().run_vector(frame[None])[0])


def test_named_outputs(two_outputs: grulet.Model) -> None:
    """Several outputs come as a named tuple of slices; a name that is no identifier is reached by position."""
    frames = plain_frames(4, 6, 7)
    expected = Reference(two_outputs._kernel.data.tobytes()).run(frames)
    stream = two_outputs.stream()
    answer = stream.step(frames[0])
    assert [port.name for port in two_outputs.outputs] == ["class", "state", "probability"]
    assert [port.width for port in two_outputs.outputs] == [2, 9, 3]
    assert_same_bits(answer[0], expected[0, :2])
    assert_same_bits(answer.state, expected[0, 2:11])
    assert_same_bits(answer.probability, expected[0, 11:])
    many = stream.run(frames[1:])
    assert_same_bits(many.probability, expected[1:, two_outputs.outputs[2].slice])
    assert_same_bits(np.concatenate([*many], axis=1), expected[1:])
    assert_same_bits(two_outputs.stream().run_vector(frames), expected)
    assert_same_bits(stream.output, np.concatenate([*answer]), "step's answers are the output buffer's slices")


def test_one_output_is_a_plain_array(model: grulet.Model) -> None:
    """A model with one output gives arrays, not tuples."""
    stream = model.stream()
    assert type(stream.step(plain_frames(0, 1, WIDTH)[0])) is np.ndarray
    assert type(stream.run(plain_frames(0, 2, WIDTH))) is np.ndarray


def test_reset(model: grulet.Model) -> None:
    """After `reset` a stream is as new, initial state of the file included."""
    frames = mixed_frames(20)
    stream, new = model.stream(), model.stream()
    assert np.frombuffer(new.save(), np.float32, offset=BLOB_HEADER.size).any(), "the first layer has an initial state"
    first = stream.run(frames)
    assert stream.save() != new.save()
    stream.reset()
    assert stream.save() == new.save()
    assert_same_bits(stream.run(frames), first)


@pytest.mark.parametrize("block", [0, -1])
def test_impossible_block(model: grulet.Model, block: int) -> None:
    """A block holds at least one frame."""
    with pytest.raises(grulet.GruletError, match="1 is the least"):
        model.stream(block)


def test_streams_of_one_model_are_independent(model: grulet.Model) -> None:
    """Interleaved streams do not see each other."""
    frames = mixed_frames(20)
    others = plain_frames(9, 20, WIDTH)
    expected = model.stream().run(frames)
    one, two = model.stream(), model.stream()
    answers = []
    for frame, other in zip(frames, others, strict=True):
        answers.append(one.step(frame))
        two.step(other)
    assert_same_bits(np.stack(answers), expected)


# ---- moving a state -------------------------------------------------------------------------------------------------

CONTINUE = """
import sys
import numpy as np
import grulet

model_path, blob_path, frames_path, answer_path = sys.argv[1:]
stream = grulet.load(model_path).stream(block=2)
with open(blob_path, "rb") as file:
    stream.restore(file.read())
np.save(answer_path, stream.run(np.load(frames_path)))
"""


def test_restore_in_a_new_process(model: grulet.Model, tmp_path: Path) -> None:
    """Save, restore in a new process, continue: the bits of a stream that never stopped."""
    frames = mixed_frames(60)
    whole = model.stream().run(frames)
    stream = model.stream()
    stream.run(frames[:23])
    paths = [tmp_path / name for name in ("model.grulet", "blob", "frames.npy", "answer.npy")]
    paths[0].write_bytes(model._kernel.data.tobytes())
    paths[1].write_bytes(stream.save())
    np.save(paths[2], frames[23:])
    subprocess.run([sys.executable, "-c", CONTINUE, *map(str, paths)], check=True)
    assert_same_bits(np.load(paths[3]), whole[23:])


def test_blob_is_the_same_on_every_kernel(model: grulet.Model) -> None:
    """A state saved on one kernel is, byte for byte, the state saved on another, and continues there."""
    frames = mixed_frames(40)
    blobs = {}
    for isa in grulet.isas():
        grulet.use_isa(isa)
        stream = model.stream()
        stream.run(frames[:17])
        blobs[isa] = stream.save()
    assert len(set(blobs.values())) == 1
    moved = model.stream()
    moved.restore(blobs["generic"])
    assert_same_bits(moved.run(frames[17:]), model.stream().run(frames)[17:])


def test_kernel_may_change_from_step_to_step(model: grulet.Model) -> None:
    """A stream in use goes on with another kernel, whose operands look different, as if nothing had happened."""
    frames = mixed_frames(30)
    whole = model.stream().run(frames)
    stream, kernels = model.stream(), itertools.cycle(grulet.isas())
    for frame, answer in zip(frames, whole, strict=True):
        grulet.use_isa(next(kernels))
        assert_same_bits(stream.step(frame), answer)


def test_clone(model: grulet.Model) -> None:
    """A clone continues alike and apart."""
    frames = mixed_frames(30)
    whole = model.stream(7).run(frames)
    stream = model.stream(7)
    stream.run(frames[:11])
    other = stream.clone()
    other.input[:] = 1.0
    stream.run(plain_frames(8, 4, WIDTH))  # the original goes elsewhere
    assert other.model is model
    assert_same_bits(other.run(frames[11:]), whole[11:])


@pytest.mark.parametrize("duplicate", [lambda x: pickle.loads(pickle.dumps(x)), copy.copy, copy.deepcopy])
def test_pickle_and_copy(model: grulet.Model, duplicate: Callable[[Any], Any]) -> None:
    """Pickled and copied models and streams give the same bits as the originals."""
    frames = mixed_frames(30)
    whole = model.stream().run(frames)
    assert_same_bits(duplicate(model).stream().run(frames), whole)
    stream = model.stream(block=3)
    stream.run(frames[:13])
    other = duplicate(stream)
    assert other.save() == stream.save()
    assert other.memory_bytes == stream.memory_bytes, "the block size travels too"
    assert_same_bits(other.run(frames[13:]), whole[13:])


def test_model_outlives_its_name() -> None:
    """A stream keeps the file's bytes alive after the model and the buffer are gone."""
    expected = grulet.load(small_file()).stream().run(mixed_frames(10))
    stream = grulet.load(bytearray(small_file())).stream()
    assert_same_bits(stream.run(mixed_frames(10)), expected)


# ---- bad frames -----------------------------------------------------------------------------------------------------


def _one(value: float, at: int = 3) -> Floats:
    frame = np.ones(WIDTH, np.float32)
    frame[at] = value
    return frame


def _nan_with_payload() -> Floats:
    frame = np.ones(WIDTH, np.float32)
    frame.view(np.uint32)[WIDTH - 1] = 0xFF800001
    return frame


BAD_FRAMES: dict[str, tuple[Callable[[], Any], str]] = {
    "NaN": (lambda: _one(np.nan), r"NaN or an infinity \(elements 3\)"),
    "first element": (lambda: _one(np.nan, 0), r"NaN or an infinity \(elements 0\)"),
    "signalling NaN": (_nan_with_payload, r"NaN or an infinity \(elements 4\)"),
    "+Inf": (lambda: _one(np.inf), r"NaN or an infinity \(elements 3\)"),
    "-Inf": (lambda: _one(-np.inf), r"NaN or an infinity \(elements 3\)"),
    "all NaN": (lambda: np.full(WIDTH, np.nan, np.float32), r"elements 0, 1, 2, 3, 4\)"),
    "too long": (lambda: np.zeros(WIDTH + 1, np.float32), r"shape \(5,\) was expected, not \(6,\)"),
    "too short": (lambda: np.zeros(WIDTH - 1, np.float32), r"shape \(5,\) was expected, not \(4,\)"),
    "empty": (lambda: np.zeros(0, np.float32), r"shape \(5,\) was expected, not \(0,\)"),
    "a row": (lambda: np.zeros((1, WIDTH), np.float32), r"shape \(5,\) was expected, not \(1, 5\)"),
    "0-d": (lambda: np.array(1, np.float32), r"shape \(5,\) was expected, not \(\)"),
    "float64": (lambda: np.zeros(WIDTH), r"float32 was expected, not float64.*astype"),
    "float16": (lambda: np.zeros(WIDTH, np.float16), "float32 was expected, not float16"),
    "int32": (lambda: np.zeros(WIDTH, np.int32), "float32 was expected, not int32"),
    "complex": (lambda: np.zeros(WIDTH, np.complex64), "float32 was expected, not complex64"),
    "big-endian": (lambda: np.zeros(WIDTH, ">f4"), "float32 was expected, not >f4"),
    "objects": (lambda: np.zeros(WIDTH, object), "float32 was expected, not object"),
    "list": (lambda: [0.0] * WIDTH, r"float32 array \(5,\) was expected, not list"),
    "tuple": (lambda: (0.0,) * WIDTH, "not tuple"),
    "None": (lambda: None, "not NoneType"),
    "number": (lambda: 1.0, "not float"),
    "numpy scalar": (lambda: np.float32(1), "not float32"),
    "bytes": (lambda: bytes(4 * WIDTH), "not bytes"),
    "array of floats": (lambda: array.array("f", [0.0] * WIDTH), "not array"),
    "view of floats": (lambda: np.zeros(WIDTH, np.float32).data, "not memoryview"),
    "dates": (lambda: np.zeros(WIDTH, "M8[s]"), "float32 was expected, not datetime64"),
    "record": (lambda: np.zeros(WIDTH, [("x", "f4")]), "float32 was expected, not "),
    "misaligned float64": (lambda: np.frombuffer(bytes(81), np.float64, WIDTH, 1), "float32 was expected, not float64"),
    "subclass": (lambda: np.zeros(WIDTH, np.float32).view(np.matrix), r"shape \(5,\) was expected, not \(1, 5\)"),
    "string": (lambda: "hello", "not str"),
}
NOT_FINITE = ("NaN", "first element", "signalling NaN", "+Inf", "-Inf", "all NaN")


@pytest.fixture
def started(model: grulet.Model) -> tuple[grulet.Stream, grulet.Stream]:
    """Two streams in the same state, after a few frames: one gets the bad frame, one does not."""
    streams = model.stream(), model.stream()
    for stream in streams:
        for frame in mixed_frames(9):
            stream.step(frame)
    return streams


def assert_as_if_nothing_happened(hit: grulet.Stream, spared: grulet.Stream) -> None:
    """State, output buffer and everything that follows."""
    assert hit.save() == spared.save()
    assert_same_bits(hit.output, spared.output, "output buffer")
    frames = plain_frames(5, 12, WIDTH)
    assert_same_bits(hit.step(frames[0]), spared.step(frames[0]), "next step")
    assert_same_bits(hit.run(frames[1:]), spared.run(frames[1:]), "next frames")


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_bad_frame_in_step(started: tuple[grulet.Stream, grulet.Stream], name: str) -> None:
    """Every bad frame has its own clear `FrameError`; state, output and future are unchanged."""
    frame, message = BAD_FRAMES[name]
    with pytest.raises(grulet.FrameError, match=message):
        started[0].step(frame())
    assert_as_if_nothing_happened(*started)


def _read_only() -> Floats:
    frame = np.zeros(3, np.float32)
    frame.flags.writeable = False
    return frame


BAD_OUTS: dict[str, tuple[Callable[[], Any], str]] = {
    "too long": (lambda: np.zeros(4, np.float32), r"not float32 \(4,\)"),
    "a row": (lambda: np.zeros((1, 3), np.float32), r"not float32 \(1, 3\)"),
    "float64": (lambda: np.zeros(3), r"not float64 \(3,\)"),
    "big-endian": (lambda: np.zeros(3, ">f4"), r"not >f4 \(3,\)"),
    "read-only": (_read_only, "not a read-only one"),
    "strided": (lambda: np.zeros(6, np.float32)[::2], "not a strided one"),
    "reversed": (lambda: np.zeros(3, np.float32)[::-1], "not a strided one"),
    "misaligned": (lambda: np.frombuffer(bytearray(13), np.float32, 3, 1), "not a misaligned one"),
    "list": (lambda: [0.0] * 3, "not list"),
    "bytes": (lambda: bytearray(12), "not bytearray"),
    "number": (lambda: 0, "not int"),
}


@pytest.mark.parametrize("name", BAD_OUTS)
def test_bad_out(started: tuple[grulet.Stream, grulet.Stream], name: str) -> None:
    """An ``out`` that cannot take the answer is refused before anything has changed."""
    out, message = BAD_OUTS[name]
    with pytest.raises(grulet.FrameError, match=rf"^out: a writable, C-contiguous float32 array \(3,\) .*{message}"):
        started[0].step(mixed_frames(1)[0], out=out())
    assert_as_if_nothing_happened(*started)


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_bad_frame_leaves_out(started: tuple[grulet.Stream, grulet.Stream], name: str) -> None:
    """A frame that is refused leaves ``out`` as it was."""
    out = np.full(3, 7, np.float32)
    with pytest.raises(grulet.FrameError, match=BAD_FRAMES[name][1]):
        started[0].step(BAD_FRAMES[name][0](), out=out)
    assert (out == 7).all()
    assert_as_if_nothing_happened(*started)


@pytest.mark.parametrize("name", NOT_FINITE)
def test_bad_frame_in_tick(started: tuple[grulet.Stream, grulet.Stream], name: str) -> None:
    """The same for frames written into the stream's own buffer."""
    frame, message = BAD_FRAMES[name]
    started[0].input[:] = frame()
    with pytest.raises(grulet.FrameError, match=message):
        started[0].tick()
    assert_as_if_nothing_happened(*started)


@pytest.mark.parametrize("at", [0, 1, 31, 32, 69])
@pytest.mark.parametrize("name", NOT_FINITE)
def test_bad_frame_in_run(started: tuple[grulet.Stream, grulet.Stream], name: str, at: int) -> None:
    """A bad frame anywhere, in the first block of 32 or a later one, refuses the whole run; it is named."""
    frames = plain_frames(6, 70, WIDTH)
    frames[at] = BAD_FRAMES[name][0]()
    with pytest.raises(grulet.FrameError, match=f"frame {at} of 70 holds a NaN or an infinity .*; none was run"):
        started[0].run(frames)
    assert_as_if_nothing_happened(*started)


BAD_RUNS: dict[str, tuple[Callable[[], Any], str]] = {
    "one frame": (lambda: np.zeros(WIDTH, np.float32), r"shape \(frames, 5\) was expected, not \(5,\)"),
    "wrong width": (lambda: np.zeros((3, 4), np.float32), r"shape \(frames, 5\) was expected, not \(3, 4\)"),
    "transposed": (lambda: np.zeros((5, 3), np.float32), r"not \(5, 3\)"),
    "three axes": (lambda: np.zeros((1, 3, 5), np.float32), r"not \(1, 3, 5\)"),
    "0-d": (lambda: np.array(0, np.float32), r"not \(\)"),
    "no frames, wrong width": (lambda: np.zeros((0, 4), np.float32), r"not \(0, 4\)"),
    "float64": (lambda: np.zeros((3, 5)), "float32 was expected, not float64"),
    "big-endian": (lambda: np.zeros((3, 5), ">f4"), "float32 was expected, not >f4"),
    "list": (lambda: [[0.0] * 5], r"float32 array \(frames, 5\) was expected, not list"),
    "None": (lambda: None, "not NoneType"),
}


@pytest.mark.parametrize("name", BAD_RUNS)
def test_bad_array_in_run(started: tuple[grulet.Stream, grulet.Stream], name: str) -> None:
    """Wrong shapes and types of many frames are refused like those of one."""
    frames, message = BAD_RUNS[name]
    with pytest.raises(grulet.FrameError, match=message):
        started[0].run(frames())
    assert_as_if_nothing_happened(*started)


def test_frame_error_is_catchable_as_value_error() -> None:
    """All errors have one root, and are ValueErrors to code that does not know grulet."""
    for error in (grulet.FrameError, grulet.StateError, grulet.FormatError, grulet.IsaError):
        assert issubclass(error, grulet.GruletError)
        assert issubclass(error, ValueError)


# ---- bad blobs ------------------------------------------------------------------------------------------------------


def _with_state(blob: bytes, change: Callable[[Floats], None]) -> bytes:
    """The blob with other state floats and a right checksum."""
    magic, model, _ = BLOB_HEADER.unpack_from(blob)
    state = np.frombuffer(blob, np.float32, offset=BLOB_HEADER.size).copy()
    change(state)
    return BLOB_HEADER.pack(magic, model, zlib.crc32(state)) + state.tobytes()


def _set(at: int, value: float) -> Callable[[Floats], None]:
    def change(state: Floats) -> None:
        state[at] = value

    return change


BAD_BLOBS: dict[str, Callable[[bytes], Any]] = {
    "empty": lambda blob: b"",
    "header only": lambda blob: blob[: BLOB_HEADER.size],
    "one byte short": lambda blob: blob[:-1],
    "one float short": lambda blob: blob[:-4],
    "one byte long": lambda blob: blob + b"\0",
    "one float long": lambda blob: blob + bytes(4),
    "other magic": lambda blob: b"X" + blob[1:],
    "other model": lambda blob: grulet.load(small_file(seed=8)).stream().save(),
    "text": lambda blob: "a string",
    "nothing": lambda blob: None,
    "number": lambda blob: len(blob),
    "NaN": lambda blob: _with_state(blob, _set(4, np.nan)),
    "Inf": lambda blob: _with_state(blob, _set(0, np.inf)),
    "above 1": lambda blob: _with_state(blob, _set(25, np.nextafter(np.float32(1), np.float32(2)))),
    "below -1": lambda blob: _with_state(blob, _set(19, -1.5)),
}


@pytest.mark.parametrize("name", BAD_BLOBS)
def test_bad_blob(started: tuple[grulet.Stream, grulet.Stream], name: str) -> None:
    """Every bad blob is a clear `StateError` and changes nothing."""
    blob = started[0].save()
    assert len(blob) == BLOB_HEADER.size + 4 * (19 + 7)
    with pytest.raises(grulet.StateError, match=r"saved state"):
        started[0].restore(BAD_BLOBS[name](blob))
    assert_as_if_nothing_happened(*started)


def test_every_flipped_bit_of_a_blob(started: tuple[grulet.Stream, grulet.Stream]) -> None:
    """A blob with any one bit flipped is refused."""
    blob = bytearray(started[0].save())
    for bit in range(8 * len(blob)):
        blob[bit // 8] ^= 1 << bit % 8
        with pytest.raises(grulet.StateError):
            started[0].restore(bytes(blob))
        blob[bit // 8] ^= 1 << bit % 8
    assert_as_if_nothing_happened(*started)


def test_good_blobs_at_the_edges(model: grulet.Model) -> None:
    """States of exactly 1 and -1 are allowed, in any bytes-like object."""
    stream = model.stream()

    def ends(state: Floats) -> None:
        state[::2], state[1::2] = 1.0, -1.0

    blob = _with_state(stream.save(), ends)
    for buffer in (blob, bytearray(blob), memoryview(blob)):
        stream.restore(buffer)
        assert stream.save() == blob
    assert np.isfinite(stream.run(mixed_frames(5))).all()


# ---- threads, silence -----------------------------------------------------------------------------------------------


def test_two_threads_one_model(model: grulet.Model) -> None:
    """A model is shared by threads, each with its own stream: right bits in both, steps and runs alike."""
    frames = [mixed_frames(3000), plain_frames(11, 3000, WIDTH)]
    expected = [model.stream().run(part) for part in frames]
    answers: list[list[Floats]] = [[], []]
    together = threading.Barrier(2)

    def work(i: int) -> None:
        stream = model.stream(block=5)
        together.wait()
        for at in range(0, 2400, 40):
            answers[i].append(stream.run(frames[i][at : at + 40]))
        answers[i] += [stream.step(frame)[None] for frame in frames[i][2400:]]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(2):
        assert_same_bits(np.concatenate(answers[i]), expected[i], i)


@pytest.mark.parametrize("forget", [0.0, 2.0, 5.0])
def test_long_silence_leaves_no_subnormal(forget: float) -> None:
    """A silent stream decays to exact zero; on the way its state is never subnormal (such a step would crawl)."""
    builder = Builder(1, "f32", "f32")
    builder.output("state", builder.gru(builder.input("input", 3), 33, bias=False, forget=forget))
    stream = grulet.load(grulet_format.write(builder.program())).stream()
    stream.run(plain_frames(0, 10, 3))
    assert stream.output.shape == (33,)
    states = stream.run(np.zeros((20_000, 3), np.float32))
    magnitude = np.abs(states)
    assert magnitude[0].min() > 1e-6
    assert not magnitude[-1].any(), "decayed"
    assert magnitude[magnitude > 0].min() >= np.float32(2.0**-64), "flushed before it is subnormal"
