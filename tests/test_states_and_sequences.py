"""Hidden states handed over, models that need the whole sequence, and inputs of tokens, as Python users meet them."""

from __future__ import annotations

import numpy as np
import pytest

import grulet
from grulet import format as grulet_format
from grulet.frames import random_frames
from grulet.reference import Reference
from grulet_export.graph import Concat, Embedding, Graph, Gru, Lstm, Node, Port
from grulet_export.lower import lower
from grulet_export.quantization.quantize import quantize
from grulet_export.quantization.settings import Settings

RANDOM = np.random.default_rng(5)
UNITS, WIDTH, TOKENS = 6, 3, 11


def floats(*shape: int) -> np.ndarray:
    """Random weights."""
    return RANDOM.normal(0, 0.5, shape).astype(np.float32)


def gru(name: str, source: str, target: str, width: int, reverse: bool = False) -> Node:
    """A GRU layer."""
    weights = floats(3, UNITS, width), floats(3, UNITS, UNITS), floats(3, UNITS), floats(3, UNITS)
    return Gru(name, (source,), target, *weights, np.zeros(UNITS, np.float32), reverse)


def file_of(*nodes: Node, tokens: int = 0) -> bytes:
    """A file of these nodes from the input "x" to the output "y"."""
    ports = (Port("x", "x", 1 if tokens else WIDTH, tokens),), (Port("y", "y", 0),)
    graph = Graph(*ports, nodes, "")
    return grulet_format.write(lower(graph, quantize(graph, Settings("int8"))))


LSTM = Lstm(
    "lstm", ("h",), "y", floats(4, UNITS, UNITS), floats(4, UNITS, UNITS), floats(4, UNITS),
    np.zeros((2, UNITS), np.float32),
)  # fmt: skip
STACK = file_of(gru("gru", "x", "h", WIDTH), LSTM)
BOTH = file_of(
    gru("there", "x", "a", WIDTH), gru("back", "x", "b", WIDTH, reverse=True), Concat("both", ("a", "b"), "y")
)
SPOKEN = file_of(Embedding("table", ("x",), "e", floats(TOKENS, WIDTH)), gru("gru", "e", "y", WIDTH), tokens=TOKENS)
FRAMES = random_frames([(WIDTH, 0)], 40)


def test_a_state_handed_over_continues_the_stream() -> None:
    """All layers of one stream, given to another, make it the same stream; shapes as documented."""
    model = grulet.load(STACK)
    one, other = model.stream(), model.stream()
    one.run(FRAMES[:9])
    assert (one.hidden("gru").shape, one.hidden("lstm").shape) == ((UNITS,), (2, UNITS))
    for name in ("gru", "lstm"):
        other.set_hidden(name, one.hidden(name))
    assert other.save() == one.save()
    assert other.run(FRAMES[9:]).tobytes() == one.run(FRAMES[9:]).tobytes()


@pytest.mark.parametrize(
    ("name", "state", "message"),
    [
        ("dense", np.zeros(UNITS, np.float32), "no recurrent layer 'dense'; it has: gru, lstm"),
        ("gru", np.zeros(UNITS), "float32 .6,., not float64 .6,."),
        ("lstm", np.zeros(2 * UNITS, np.float32), "float32 .2, 6., not float32 .12,."),
        ("gru", np.full(UNITS, 1.5, np.float32), "an h outside"),
        ("gru", np.full(UNITS, np.nan, np.float32), "holds a NaN"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(name: str, state: np.ndarray, message: str) -> None:
    """It is named, and the stream goes on as before."""
    stream = grulet.load(STACK).stream()
    stream.run(FRAMES[:5])
    before = stream.save()
    with pytest.raises(grulet.StateError, match=message):
        stream.set_hidden(name, state)
    assert stream.save() == before


def test_whole_sequences() -> None:
    """Each run is a sequence of its own, whatever its length beside the stream's block: the oracle's bits."""
    model = grulet.load(BOTH)
    stream = model.stream(block=4)
    for count in (3, 40, 1, 17):
        expected = Reference(BOTH).run(FRAMES[:count])
        assert stream.run(FRAMES[:count]).tobytes() == expected.tobytes()


def test_only_the_reversed_layer_sees_the_end() -> None:
    """Twenty frames more change nothing in the forward layer's answers to the first twenty."""
    stream = grulet.load(BOTH).stream()
    shorter, longer = stream.run(FRAMES[:20]), stream.run(FRAMES)[:20]
    assert (shorter[:, :UNITS] == longer[:, :UNITS]).all()
    assert (shorter[:, UNITS:] != longer[:, UNITS:]).any()


def test_a_model_of_both_directions_says_why_it_cannot_step() -> None:
    """step, tick and pools name the layer."""
    model = grulet.load(BOTH)
    stream = model.stream(block=4)
    stream.run(FRAMES)  # longer than a block: in other memory
    for refused in (lambda: stream.step(FRAMES[0]), stream.tick, lambda: model.pool(2)):
        with pytest.raises(grulet.SequenceError, match="'back' runs from the last frame to the first"):
            refused()


@pytest.mark.parametrize("token", [-1.0, 0.5, 11.0, 3e9])
def test_what_is_no_token_is_refused(token: float) -> None:
    """By step, run and pool; the message has the number and the range, and no state has changed."""
    model = grulet.load(SPOKEN)
    stream, pool = model.stream(), model.pool(2)
    good, bad = np.full((2, 1), 10, np.float32), np.array([[3], [token]], np.float32)
    stream.run(good)
    before = stream.save()
    message = f"{token:g} for 'x', which takes whole numbers from 0 to 10".replace("+", r"\+")
    for refused in (lambda: stream.step(bad[1]), lambda: stream.run(bad), lambda: pool.step(bad)):
        with pytest.raises(grulet.FrameError, match=message):
            refused()
    assert stream.save() == before
    assert pool[0].save() == model.stream().save()
