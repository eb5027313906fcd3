"""A pool is its streams: together, some of them or one alone, the bits of streams that never met."""

import copy
import gc
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs import (
    FORMATS,
    Builder,
    Floats,
    Recipe,
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

WIDTH, OUT = 5, 3  # of small_file


@pytest.fixture(params=grulet.isas())
def isa(request: pytest.FixtureRequest) -> str:
    """Every instruction set of this machine in turn, in use (test_isa.py shows those that it lacks)."""
    grulet.use_isa(str(request.param))
    return str(request.param)


@pytest.fixture(params=FORMATS, ids="-".join)
def model(request: pytest.FixtureRequest) -> grulet.Model:
    """A small model in each format."""
    return grulet.load(small_file(*request.param))


@pytest.fixture
def small() -> grulet.Model:
    """A small model in one format."""
    return grulet.load(small_file())


def rounds(seed: int, count: int, voices: int, width: int = WIDTH) -> Floats:
    """Frames (count, voices, width), a third of them extreme."""
    frames = plain_frames(seed, count * voices, width)
    frames[::3] = extreme_frames(seed, len(frames[::3]), width)
    return frames.reshape(count, voices, width)


def assert_same_states(pool: grulet.Pool, apart: list[grulet.Stream]) -> None:
    """Voice by voice."""
    assert [stream.save() for stream in pool] == [stream.save() for stream in apart]


# ---- the same bits --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("formats", FORMATS, ids="-".join)
def test_every_size(isa: str, formats: tuple[str, str]) -> None:
    """Pools of 1 to 70 voices: all tiles of frames the kernels know, and all that is left over."""
    data = small_file(*formats)
    model, frames = grulet.load(data), rounds(1, 3, 70)
    expected = np.stack([Reference(data).run(frames[:, voice]) for voice in range(70)], axis=1)
    for size in range(1, 71):
        pool = model.pool(size)
        answers = np.stack([pool.step(part[:size]) for part in frames])
        assert_same_bits(answers, expected[:, :size], (isa, size))


class Twins:
    """A pool, and streams apart from each other, which are given the same frames by random means."""

    def __init__(self, model: grulet.Model, size: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.pool, self.apart = model.pool(size, block=int(self.rng.choice([1, 3]))), []
        self.apart = [model.stream() for _ in range(size)]
        self.width, self.several = model.input_width, len(model.outputs) > 1

    def vector(self, answers: Any) -> Floats:
        """The whole output vector, also of a model with several outputs."""
        return np.concatenate([*answers], axis=-1) if self.several else answers

    def frames(self, count: int) -> Floats:
        return rounds(int(self.rng.integers(1 << 30)), 1, count, self.width)[0]

    def voice(self) -> int:
        return int(self.rng.integers(len(self.pool)))

    def all_step(self) -> None:
        frames = self.frames(len(self.pool))
        answers = self.vector(self.pool.step(frames))
        assert_same_bits(answers, np.stack([self.vector(s.step(x)) for s, x in zip(self.apart, frames, strict=True)]))

    def all_tick(self) -> None:
        frames = self.frames(len(self.pool))
        self.pool.input[:] = frames
        self.pool.tick()
        expected = np.stack([self.vector(s.step(x)) for s, x in zip(self.apart, frames, strict=True)])
        assert_same_bits(self.pool.output, expected)

    def some_step(self) -> None:
        voices = self.rng.permutation(len(self.pool))[: self.rng.integers(len(self.pool) + 1)]
        frames = self.frames(len(voices) + 1)[: len(voices)]
        answers = self.vector(self.pool.step(frames, streams=voices))
        assert len(answers) == len(voices)
        for voice, frame, answer in zip(voices, frames, answers, strict=True):
            assert_same_bits(answer, self.vector(self.apart[voice].step(frame)))
            assert_same_bits(self.pool.output[voice], answer, "row of the pool's output")

    def one_step(self) -> None:
        voice, frame = self.voice(), self.frames(1)[0]
        assert_same_bits(self.vector(self.pool[voice].step(frame)), self.vector(self.apart[voice].step(frame)))

    def one_run(self) -> None:
        voice, frames = self.voice(), self.frames(int(self.rng.integers(1, 6)))
        assert_same_bits(self.pool[voice].run_vector(frames), self.apart[voice].run_vector(frames))

    def one_reset(self) -> None:
        voice = self.voice()
        self.pool[voice].reset()
        self.apart[voice].reset()

    def one_moves(self) -> None:
        source, target = self.voice(), self.voice()
        self.pool[target].restore(self.pool[source].save())
        self.apart[target].restore(self.apart[source].save())

    def one_is_cloned(self) -> None:
        voice, frames = self.voice(), self.frames(2)
        assert_same_bits(self.pool[voice].clone().run_vector(frames), self.apart[voice].clone().run_vector(frames))

    def all_reset(self) -> None:
        self.pool.reset()
        for stream in self.apart:
            stream.reset()

    def anything(self) -> None:
        steps = [self.all_step, self.all_tick, self.some_step, self.some_step, self.one_step, self.one_run]
        changes = [self.one_reset, self.one_moves, self.one_is_cloned]
        kinds = [*steps, *steps, *changes, self.all_reset]
        kinds[self.rng.integers(len(kinds))]()


def test_any_mixture_on_any_model(isa: str) -> None:
    """Random models and sizes; steps of all, some and one, ticks, runs, resets, saved states in random order."""

    @settings(max_examples=40, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(recipe=recipes(largest=70), size=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
    def one_model(recipe: Recipe, size: int, seed: int) -> None:
        twins = Twins(grulet.load(grulet_format.write(build(recipe))), size, seed)
        for _ in range(8):
            twins.anything()
        assert_same_states(twins.pool, twins.apart)

    one_model()


def test_long_mixture(isa: str, model: grulet.Model) -> None:
    """The same for long, on one model."""
    twins = Twins(model, 11, 5)
    for _ in range(150):
        twins.anything()
    assert_same_states(twins.pool, twins.apart)


def test_pools_of_one_model_are_independent(small: grulet.Model) -> None:
    """Nor do clones of a voice belong to its pool."""
    frames = rounds(2, 6, 4)
    expected = np.stack([small.pool(4).step(part) for part in frames[:1]])
    one, two = small.pool(4), small.pool(4)
    assert_same_bits(one.step(frames[0]), expected[0])
    clone = one[2].clone()
    before = one[2].save()
    for part in frames[1:]:
        two.step(part)
        clone.step(part[0])
    assert one[2].save() == before
    assert_same_bits(one.output, expected[0])


# ---- what a pool is -------------------------------------------------------------------------------------------------


def test_voices(small: grulet.Model) -> None:
    """Length, indices, iteration; voices' buffers are rows of the pool's; voices lie one behind the other in memory."""
    pool = small.pool(6)
    assert len(pool) == 6
    assert [*pool] == [pool[i] for i in range(6)]
    assert pool[-1] is pool[5] is pool[np.int64(5)]
    assert all(type(stream) is grulet.Stream and stream.model is small for stream in pool)
    assert (pool.input.shape, pool.output.shape) == ((6, WIDTH), (6, OUT))
    pool[3].input[:] = 0.25
    assert pool.input[3].tolist() == [0.25] * WIDTH
    pool[3].tick()
    assert pool.output[3].any()
    assert not pool.output[[0, 1, 2, 4, 5]].any()
    assert_same_bits(pool.output[3], pool[3].output)
    single = small.stream(block=1).memory_bytes
    assert pool[0].memory_bytes == single
    assert 6 * single <= pool.memory_bytes < 6 * (single + 64)
    addresses = pool._kernel._addresses
    assert (addresses % 64 == 0).all()
    assert (np.diff(addresses.astype(np.int64)) == pool.memory_bytes // 6).all()


@pytest.mark.parametrize("index", [6, -7, 1 << 70])
def test_no_such_voice(small: grulet.Model, index: int) -> None:
    """An index outside is an `IndexError`, as of any sequence."""
    with pytest.raises(IndexError, match=f"a pool of 6 voices has no voice {index}"):
        small.pool(6)[index]


@pytest.mark.parametrize("index", [slice(2), "1", 1.0, None, [1]])
def test_no_index(small: grulet.Model, index: Any) -> None:
    """Voices are named by integers."""
    with pytest.raises(TypeError):
        small.pool(6)[index]


@pytest.mark.parametrize("count", [0, -1, 2.0, None, "3", 1 << 31])
def test_impossible_count(small: grulet.Model, count: Any) -> None:
    """A pool holds at least one voice."""
    with pytest.raises(grulet.GruletError, match="1 is the least"):
        small.pool(count)


@pytest.mark.parametrize("block", [0, -1, None])
def test_impossible_block(small: grulet.Model, block: Any) -> None:
    """A block holds at least one frame."""
    with pytest.raises(grulet.GruletError, match="1 is the least"):
        small.pool(2, block=block)


def test_buffers_and_answers(small: grulet.Model) -> None:
    """`step` gives a new array, `tick` uses the pool's own buffers, ``out`` is filled and returned: the same bits."""
    frames = rounds(3, 5, 4)
    by_step, by_tick, by_out = small.pool(4), small.pool(4), small.pool(4)
    kept = [by_step.step(part) for part in frames]
    buffers = by_tick.input, by_tick.output
    taken = np.full((5, 4, OUT), np.nan, np.float32)
    for t, part in enumerate(frames):
        by_tick.input[:] = part
        assert by_tick.tick() is None
        assert_same_bits(by_tick.output, kept[t])
        out = taken[t]
        assert by_out.step(part, out=out) is out
        assert_same_bits(by_out.output, kept[t])
    assert buffers[0] is by_tick.input
    assert buffers[1] is by_tick.output
    assert_same_bits(taken, np.stack(kept), "answers of earlier steps must not change")


def test_frames_of_any_memory_layout(small: grulet.Model) -> None:
    """Any strides, read-only, misaligned and subclassed arrays give the bits of a plain one; ``out`` may overlap."""
    frames = rounds(4, 1, 6)[0]
    padded = np.zeros((12, 2 * WIDTH), np.float32)
    padded[::2, ::2] = frames
    read_only = frames.copy()
    read_only.flags.writeable = False
    raw = bytearray(frames.nbytes + 1)
    raw[1:] = frames.tobytes()
    layouts = {
        "transposed": np.asfortranarray(frames),
        "strided": padded[::2, ::2],
        "read-only": read_only,
        "misaligned": np.frombuffer(raw, np.float32, frames.size, 1).reshape(frames.shape),
        "subclass": frames.view(np.matrix),
    }
    voices = [4, 0, 3, 1, 5, 2]
    expected, reordered = small.pool(6).step(frames), small.pool(6).step(frames, streams=voices)
    for name, layout in layouts.items():
        assert_same_bits(np.asarray(small.pool(6).step(layout)), expected, name)
        assert_same_bits(np.asarray(small.pool(6).step(layout, streams=voices)), reordered, name)
    for streams, answers in ((None, expected), (voices, reordered)):
        memory = frames.copy().reshape(-1)
        out = memory[1 : 1 + 6 * OUT].reshape(6, OUT)
        assert_same_bits(small.pool(6).step(memory.reshape(6, WIDTH), streams, out), answers, "out overlaps the frames")


def test_several_outputs(isa: str) -> None:
    """Several outputs come as a named tuple of columns, of all voices or of some."""
    builder = Builder(3)
    a, b = builder.input("left", 4), builder.input("right", 3)
    h = builder.gru(a, 9)
    builder.output("class", builder.dense(b, 2, "tanh"))
    builder.output("state", h)
    data = grulet_format.write(builder.program())
    model, frames = grulet.load(data), rounds(6, 2, 5, 7)
    expected = np.stack([Reference(data).run(frames[:, voice]) for voice in range(5)], axis=1)
    pool = model.pool(5)
    answer = pool.step(frames[0])
    assert_same_bits(answer[0], expected[0, :, :2])
    assert_same_bits(answer.state, expected[0, :, 2:])
    out = np.empty((2, 11), np.float32)
    some = pool.step(frames[1, [4, 1]], streams=[4, 1], out=out)
    assert np.shares_memory(some.state, out)
    assert_same_bits(out, expected[1, [4, 1]])
    assert type(some)._fields == type(answer)._fields == ("_0", "state")


@pytest.mark.parametrize("streams", [[3, 5, 9], (3, 5, 9), np.array([3, 5, 9], np.uint8), range(3, 10, 3), [-7, 5, 9]])
def test_ways_to_name_voices(small: grulet.Model, streams: Any) -> None:
    """Any sequence of integers; the voices not named stay as they were."""
    pool, frames = small.pool(10), rounds(7, 1, 3)[0]
    new = pool[0].save()
    answers = pool.step(frames, streams=streams)
    named = [i % 10 for i in streams]
    for voice, frame, answer in zip(named, frames, answers, strict=True):
        assert_same_bits(answer, small.stream().step(frame))
        assert_same_bits(pool.output[voice], answer)
    assert [i for i in range(10) if pool[i].save() != new] == named
    assert not np.delete(pool.output, named, axis=0).any()


def test_nobody_named(small: grulet.Model) -> None:
    """No voices, no frames, no answers."""
    pool = small.pool(3)
    nothing = np.empty((0, WIDTH), np.float32)
    for streams in ([], (), np.empty(0, np.int64), range(0)):
        assert_same_bits(pool.step(nothing, streams=streams), np.empty((0, OUT), np.float32))
    assert_same_states(pool, [small.stream() for _ in range(3)])


@pytest.mark.parametrize("duplicate", [lambda x: pickle.loads(pickle.dumps(x)), copy.copy, copy.deepcopy])
def test_pickle_and_copy(small: grulet.Model, duplicate: Callable[[Any], Any]) -> None:
    """Pickled and copied pools continue alike and apart; so does one voice alone."""
    frames = rounds(8, 6, 4)
    pool = small.pool(4, block=3)
    for part in frames[:3]:
        pool.step(part)
    other, voice = duplicate(pool), duplicate(pool[1])
    assert type(other) is grulet.Pool
    assert (len(other), other.memory_bytes) == (4, pool.memory_bytes), "the block size travels too"
    states = [stream.save() for stream in pool]
    answers = [other.step(part) for part in frames[3:]]
    assert states == [stream.save() for stream in pool]
    for part, answer in zip(frames[3:], answers, strict=True):
        assert_same_bits(pool.step(part), answer)
        assert_same_bits(voice.step(part[1]), answer[1])


def test_a_voice_outlives_its_pool() -> None:
    """A stream of a pool, or its `tick` alone, keeps the memory alive."""
    frames = rounds(9, 1, 1)[0]
    expected = grulet.load(small_file()).stream().run(np.repeat(frames, 2, axis=0))
    stream = grulet.load(bytearray(small_file())).pool(5)[2]
    gc.collect()
    assert_same_bits(stream.step(frames[0]), expected[0])
    stream.input[:] = frames[0]
    tick, output = stream.tick, stream.output
    del stream
    gc.collect()
    tick()
    assert_same_bits(output, expected[1])


def test_memory_is_given_back_at_once(small: grulet.Model) -> None:
    """Pools and streams are no reference cycles: the last name that goes frees them."""
    gc.collect()
    gc.disable()
    try:
        pool = small.pool(3)
        streams = [*pool, small.stream()]
        pool.step(rounds(0, 1, 3)[0])
        del pool, streams
        assert gc.collect() == 0
    finally:
        gc.enable()


# ---- errors ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def started(model: grulet.Model) -> tuple[grulet.Pool, list[grulet.Stream]]:
    """A pool and streams apart in the same states, after a few frames."""
    pool, apart = model.pool(6), [model.stream() for _ in range(6)]
    for part in rounds(10, 4, 6):
        pool.step(part)
        for stream, frame in zip(apart, part, strict=True):
            stream.step(frame)
    return pool, apart


def assert_as_if_nothing_happened(pool: grulet.Pool, apart: list[grulet.Stream]) -> None:
    """States, output rows and everything that follows."""
    assert_same_states(pool, apart)
    assert_same_bits(pool.output, np.stack([stream.output for stream in apart]))
    frames = rounds(11, 1, 6)[0]
    expected = np.stack([stream.step(frame) for stream, frame in zip(apart, frames, strict=True)])
    assert_same_bits(pool.step(frames), expected, "next step")


BAD_VALUES = (np.nan, np.inf, -np.inf)


@pytest.mark.parametrize("voice", range(6))
def test_bad_frame(isa: str, started: tuple[grulet.Pool, list[grulet.Stream]], voice: int) -> None:
    """A NaN or an infinity anywhere refuses all frames, in `step` and `tick`; voice and elements are named."""
    pool, apart = started
    for element in range(WIDTH):
        frames = plain_frames(1, 6, WIDTH)
        frames[voice, element] = BAD_VALUES[(voice + element) % 3]
        message = rf"the frame of voice {voice} holds a NaN or an infinity \(elements {element}\); no voice was stepped"
        out = np.full((6, OUT), 7, np.float32)
        with pytest.raises(grulet.FrameError, match=message):
            pool.step(frames, out=out)
        pool.input[:] = frames
        with pytest.raises(grulet.FrameError, match=message):
            pool.tick()
        order = [5, 3, 1, 0, 2, 4]
        with pytest.raises(grulet.FrameError, match=message):
            pool.step(frames[order], streams=[i - 6 for i in order], out=out)
        assert (out == 7).all()
    assert_as_if_nothing_happened(pool, apart)


def test_bad_frames_of_several_voices(started: tuple[grulet.Pool, list[grulet.Stream]]) -> None:
    """The first is described, the others are counted."""
    frames = plain_frames(1, 6, WIDTH)
    frames[2, 1:4] = np.inf
    frames[4:] = np.nan
    message = r"voice 2 .*\(elements 1, 2, 3\), and 2 more are like it; no voice was stepped"
    with pytest.raises(grulet.FrameError, match=message):
        started[0].step(frames)
    with pytest.raises(grulet.FrameError, match=r"voice 5 .*\(elements 0, 1, 2, 3, 4\); no voice was stepped"):
        started[0].step(frames[[1, 5]], streams=[1, 5])
    assert_as_if_nothing_happened(*started)


def test_bad_frame_of_one_voice(started: tuple[grulet.Pool, list[grulet.Stream]]) -> None:
    """A voice that is stepped alone complains like any stream."""
    with pytest.raises(grulet.FrameError, match=r"^the frame holds a NaN or an infinity \(elements 0, 1, 2, 3, 4\)$"):
        started[0][3].step(np.full(WIDTH, np.nan, np.float32))
    assert_as_if_nothing_happened(*started)


BAD_ARRAYS: dict[str, tuple[Callable[[], Any], str]] = {
    "one frame": (lambda: np.zeros(WIDTH, np.float32), r"shape \(6, 5\) was expected, not \(5,\)"),
    "too few": (lambda: np.zeros((5, WIDTH), np.float32), r"shape \(6, 5\) was expected, not \(5, 5\)"),
    "one for all": (lambda: np.zeros((1, WIDTH), np.float32), r"not \(1, 5\)"),
    "wrong width": (lambda: np.zeros((6, 4), np.float32), r"not \(6, 4\)"),
    "transposed": (lambda: np.zeros((5, 6), np.float32), r"not \(5, 6\)"),
    "three axes": (lambda: np.zeros((1, 6, 5), np.float32), r"not \(1, 6, 5\)"),
    "float64": (lambda: np.zeros((6, 5)), "float32 was expected, not float64"),
    "big-endian": (lambda: np.zeros((6, 5), ">f4"), "float32 was expected, not >f4"),
    "list": (lambda: [[0.0] * 5] * 6, r"float32 array \(6, 5\) was expected, not list"),
    "None": (lambda: None, "not NoneType"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_array(started: tuple[grulet.Pool, list[grulet.Stream]], name: str) -> None:
    """Wrong shapes and types are refused like those of a stream."""
    frames, message = BAD_ARRAYS[name]
    for streams in (None, range(6)):
        with pytest.raises(grulet.FrameError, match=message):
            started[0].step(frames(), streams=streams)
    assert_as_if_nothing_happened(*started)


def _read_only() -> Floats:
    array = np.zeros((6, OUT), np.float32)
    array.flags.writeable = False
    return array


BAD_OUTS: dict[str, tuple[Callable[[], Any], str]] = {
    "shape": (lambda: np.zeros((6, 4), np.float32), r"array \(6, 3\) was expected, not float32 \(6, 4\)"),
    "flat": (lambda: np.zeros(18, np.float32), r"not float32 \(18,\)"),
    "float64": (lambda: np.zeros((6, OUT)), r"not float64 \(6, 3\)"),
    "read-only": (_read_only, "not a read-only one"),
    "strided": (lambda: np.zeros((12, OUT), np.float32)[::2], "not a strided one"),
    "transposed": (lambda: np.zeros((OUT, 6), np.float32).T, "not a strided one"),
    "list": (lambda: [[0.0] * OUT] * 6, "not list"),
}


@pytest.mark.parametrize("name", BAD_OUTS)
def test_bad_out(started: tuple[grulet.Pool, list[grulet.Stream]], name: str) -> None:
    """An ``out`` that cannot take the answers is refused before anything has changed."""
    out, message = BAD_OUTS[name]
    for streams in (None, range(6)):
        with pytest.raises(grulet.FrameError, match=f"^out: a writable, C-contiguous float32 .*{message}"):
            started[0].step(plain_frames(2, 6, WIDTH), streams=streams, out=out())
    assert_as_if_nothing_happened(*started)


BAD_STREAMS: dict[str, tuple[Any, str]] = {
    "twice": ([1, 2, 1], "voice 1 is named twice"),
    "twice, once from behind": ([5, 0, -1], "voice 5 is named twice"),
    "outside": ([0, 1, 6], "a pool of 6 voices has no voice 6"),
    "outside, from behind": ([0, 1, -7], "no voice -7"),
    "one number": (3, "a sequence of voice numbers was expected, not 3"),
    "floats": ([0.0, 1.0, 2.0], "a sequence of voice numbers"),
    "mask": (np.array([True, False, True]), "a sequence of voice numbers"),
    "two axes": ([[0, 1, 2]], "a sequence of voice numbers"),
    "ragged": ([[0], [1, 2], []], "a sequence of voice numbers"),
    "too large": ([0, 1, 1 << 70], "a sequence of voice numbers"),
    "text": ("012", "a sequence of voice numbers"),
    "an iterator": (iter([0, 1, 2]), "a sequence of voice numbers"),
    "long": (["voice"] * 1000, r"not .{,70}$"),
}


@pytest.mark.parametrize("name", BAD_STREAMS)
def test_bad_streams(started: tuple[grulet.Pool, list[grulet.Stream]], name: str) -> None:
    """Voices must exist and be distinct."""
    streams, message = BAD_STREAMS[name]
    with pytest.raises(grulet.FrameError, match=f"^streams: .*{message}"):
        started[0].step(plain_frames(2, 3, WIDTH), streams=streams)
    assert_as_if_nothing_happened(*started)


def test_frames_and_streams_of_different_numbers(started: tuple[grulet.Pool, list[grulet.Stream]]) -> None:
    """A frame for each voice that is named."""
    with pytest.raises(grulet.FrameError, match=r"shape \(3, 5\) was expected, not \(2, 5\)"):
        started[0].step(plain_frames(2, 2, WIDTH), streams=[0, 1, 2])
    assert_as_if_nothing_happened(*started)


# ---- threads --------------------------------------------------------------------------------------------------------


def test_two_threads_two_pools(model: grulet.Model) -> None:
    """Pools of one model, each in its own thread: right bits in both."""
    frames = [rounds(seed, 400, 7) for seed in (20, 21)]
    expected = [np.stack([model.stream().run(part[:, i]) for i in range(7)], axis=1) for part in frames]
    answers: list[list[Floats]] = [[], []]
    together = threading.Barrier(2)

    def work(i: int) -> None:
        pool = model.pool(7)
        together.wait()
        answers[i] += [pool.step(part) for part in frames[i]]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(2):
        assert_same_bits(np.stack(answers[i]), expected[i], i)


@pytest.fixture(scope="module")
def slow() -> grulet.Model:
    """A model whose steps take long on the generic kernel: about 100 us."""
    builder = Builder(0)
    builder.output("output", builder.gru(builder.input("input", 256), 256))
    return grulet.load(grulet_format.write(builder.program()))


def _run(model: grulet.Model) -> Callable[[], object]:
    stream, frames = model.stream(), plain_frames(0, 1500, 256)
    return lambda: stream.run(frames)


def _tick(model: grulet.Model) -> Callable[[], object]:
    return model.pool(1500).tick


def _some(model: grulet.Model) -> Callable[[], object]:
    pool, frames, voices = model.pool(1500), plain_frames(0, 1499, 256), range(1499)
    return lambda: pool.step(frames, streams=voices)


@pytest.fixture
def generic() -> None:
    """The slowest kernel."""
    grulet.use_isa("generic")


@pytest.mark.parametrize("make", [_run, _tick, _some])
def test_other_threads_go_on(slow: grulet.Model, generic: None, make: Callable[..., Callable[[], object]]) -> None:
    """Python's lock is not held while the C library computes: the main thread works in the midst of one long call."""
    call = make(slow)
    times: list[float] = []
    span: list[float] = []
    started = threading.Event()

    def work() -> None:
        started.set()
        begin = time.perf_counter()
        call()
        span.extend((begin, time.perf_counter()))

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    while thread.is_alive():
        times.append(time.perf_counter())
        time.sleep(0.001)
    thread.join()
    begin, end = span
    quarter = (end - begin) / 4
    assert any(begin + quarter < at < end - quarter for at in times), (end - begin, len(times))
