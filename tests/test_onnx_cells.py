"""ONNX GRU, LSTM and RNN: the ONNX project's own tests, and random attributes against onnxruntime and a reference."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from float_graph import evaluate
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.loader import load_model_tests
from onnx_cells import ACTIVATIONS, CELLS, run_cell

from grulet.reference import Reference
from grulet_export.lower import lower
from grulet_export.onnx_reading.layout import Imported
from grulet_export.onnx_reading.read import read_onnx
from grulet_export.onnx_running.runner import session

Array = NDArray[np.float32]

# The ONNX project's node tests ----------------------------------------------------------------------------------------

NODE_TESTS = (
    "test_gru_defaults",
    "test_gru_with_initial_bias",
    "test_gru_seq_length",
    "test_gru_batchwise",
    "test_gru_reverse",
    "test_gru_bidirectional",
    "test_lstm_defaults",
    "test_lstm_with_initial_bias",
    "test_lstm_with_peepholes",
    "test_lstm_batchwise",
    "test_lstm_reverse",
    "test_lstm_bidirectional",
    "test_simple_rnn_defaults",
    "test_simple_rnn_with_initial_bias",
    "test_rnn_seq_length",
    "test_simple_rnn_batchwise",
    "test_simple_rnn_reverse",
    "test_simple_rnn_bidirectional",
)


@cache
def node_tests() -> dict[str, Any]:
    """Return the tests of the installed onnx package by name; they take half a minute to make."""
    with np.errstate(all="ignore"):
        return {case.name: case for case in load_model_tests(kind="node")}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", NODE_TESTS)
def test_node_tests_of_onnx(name: str) -> None:
    """Every stream of the batch, through conversion to float32 and the oracle of the kernel."""
    case = node_tests()[name]
    (layer,) = case.model.graph.node
    ((inputs, outputs),) = case.data_sets
    arrays = dict(zip([entry.name for entry in case.model.graph.input], inputs, strict=True))
    expected = dict(zip([entry.name for entry in case.model.graph.output], outputs, strict=True))
    frames = arrays.pop("X")
    imported = read_onnx(case.model, constants=arrays)
    batch_first = any(entry.name == "layout" and entry.i for entry in layer.attribute)
    for row in range(frames.shape[0 if batch_first else 1]):
        ours = oracle(imported, frames[row] if batch_first else frames[:, row])
        for port in imported.graph.outputs:  # Y, or Y_h where that is the only answer
            theirs = expected[port.name]
            if port.name == "Y_h":
                ours = ours[-1:]
                theirs = (theirs[row] if batch_first else theirs[:, row])[None]
            else:
                theirs = theirs[row] if batch_first else theirs[:, :, row]
            np.testing.assert_allclose(ours, theirs.reshape(ours.shape), rtol=case.rtol, atol=1e-6)


def test_no_node_test_is_left_out() -> None:
    """The list above is what the package has."""
    cells = [name for name in node_tests() if any(kind in name for kind in ("gru", "lstm", "rnn"))]
    assert sorted(cells) == sorted(NODE_TESTS)


def oracle(imported: Imported, frames: Array) -> Array:
    """Return the answers of the float32 program, (T, out)."""
    program = lower(imported.graph)
    return Reference(program).run(np.ascontiguousarray(frames))


# Random attributes ----------------------------------------------------------------------------------------------------

#: Of what an operator reads, in its order.
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")


@st.composite
def cells(draw: st.DrawFn, operator: str, direction: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Draw the attributes and inputs of an operator."""
    gates, functions, has_cell = CELLS[operator]
    directions = 2 if direction == "bidirectional" else 1
    time, batch, width, units = (draw(st.integers(1, most)) for most in (5, 3, 3, 4))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    attributes: dict[str, Any] = {"direction": direction, "hidden_size": units}
    if draw(st.booleans()):
        names = draw(st.lists(st.sampled_from(sorted(ACTIVATIONS)), min_size=functions * directions, max_size=6))
        names = names[: functions * directions]
        attributes["activations"] = names
        for key in ("alpha", "beta"):
            takes = [numbers[key] for _, numbers in (ACTIVATIONS[name] for name in names) if key in numbers]
            if takes and (np.isnan(takes).any() or draw(st.booleans())):
                drawn = [draw(st.integers(1, 9)) / 10 for _ in takes]
                attributes[f"activation_{key}"] = drawn
    if draw(st.booleans()):
        attributes["clip"] = draw(st.sampled_from([0.25, 1.0, 3.0]))
    if operator == "GRU":
        attributes["linear_before_reset"] = draw(st.integers(0, 1))
    if operator == "LSTM":
        attributes["input_forget"] = draw(st.integers(0, 1))
    batch_first = draw(st.booleans())
    if batch_first:
        attributes["layout"] = 1

    def numbers(*shape: int) -> Array:
        return (0.4 * random.standard_normal(shape)).astype(np.float32)

    state = (batch, directions, units) if batch_first else (directions, batch, units)
    inputs: dict[str, NDArray[Any]] = {
        "X": numbers(*((batch, time) if batch_first else (time, batch)), width),
        "W": numbers(directions, gates * units, width),
        "R": numbers(directions, gates * units, units),
    }
    optional: dict[str, NDArray[Any]] = {
        "B": numbers(directions, 2 * gates * units),
        "sequence_lens": random.integers(1, time + 1, batch).astype(np.int32),
        "initial_h": 2 * numbers(*state),
    }
    if has_cell:
        optional |= {"initial_c": numbers(*state), "P": numbers(directions, 3 * units)}
    inputs |= {name: array for name, array in optional.items() if draw(st.booleans())}
    return attributes, inputs


def one_cell(operator: str, attributes: dict[str, Any], inputs: dict[str, NDArray[Any]]) -> onnx.ModelProto:
    """Return a model of one operator, all but X constants."""
    names = [name if name in inputs else "" for name in INPUTS[: 8 if operator == "LSTM" else 6]]
    layer = helper.make_node(operator, names, ["Y", "Y_h"], name="cell", **attributes)
    graph = helper.make_graph(
        [layer],
        "test",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, inputs["X"].shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("Y", "Y_h")],
        [numpy_helper.from_array(array, name) for name, array in inputs.items() if name != "X"],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(made)


def by_onnxruntime(operator: str, attributes: dict[str, Any], inputs: dict[str, NDArray[Any]]) -> list[Array]:
    """Return Y and Y_h; layout 1, which onnxruntime refuses, as layout 0 with axes swapped."""
    attributes = dict(attributes)
    if not attributes.pop("layout", 0):
        return session(one_cell(operator, attributes, inputs).SerializeToString()).run(None, {"X": inputs["X"]})
    swapped = {
        name: np.ascontiguousarray(array.swapaxes(0, 1)) if name in ("X", "initial_h", "initial_c") else array
        for name, array in inputs.items()
    }
    y, y_h = by_onnxruntime(operator, attributes, swapped)
    return [y.transpose(2, 0, 1, 3), y_h.swapaxes(0, 1)]


def stream(attributes: dict[str, Any], inputs: dict[str, NDArray[Any]], row: int) -> dict[str, NDArray[Any]]:
    """Return the inputs of one stream of the batch, as long as it is."""
    batch_first = bool(attributes.get("layout"))
    alone = slice(row, row + 1)
    time = inputs["X"].shape[1 if batch_first else 0]
    length = int(inputs["sequence_lens"][row]) if "sequence_lens" in inputs else time
    cut = dict(inputs)
    cut["X"] = inputs["X"][alone, :length] if batch_first else inputs["X"][:length, alone]
    for name in {"initial_h", "initial_c"} & inputs.keys():
        cut[name] = inputs[name][alone] if batch_first else inputs[name][:, alone]
    if "sequence_lens" in inputs:
        cut["sequence_lens"] = np.array([length], np.int32)
    return cut


def check_cell(operator: str, attributes: dict[str, Any], inputs: dict[str, NDArray[Any]]) -> None:
    """onnxruntime, the numpy reference, the imported graph and the oracle of the kernel agree."""
    expected, expected_h, _ = run_cell(operator, attributes, inputs)
    theirs, theirs_h = by_onnxruntime(operator, attributes, inputs)
    np.testing.assert_allclose(theirs, expected, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(theirs_h, expected_h, atol=1e-5, rtol=1e-5)
    batch_first = bool(attributes.get("layout"))
    for row in range(inputs["X"].shape[0 if batch_first else 1]):
        cut = stream(attributes, inputs, row)
        imported = read_onnx(one_cell(operator, attributes, cut))
        length = cut["X"].shape[1 if batch_first else 0]
        frames = np.ascontiguousarray(cut["X"].reshape(length, -1))
        rows = (expected[row] if batch_first else expected[:, :, row])[:length].reshape(length, -1)
        # The two biases of an LSTM are added once, in float32.
        np.testing.assert_allclose(evaluate(imported.graph, {"X": frames})["Y"], rows, atol=1e-6, rtol=1e-6)
        np.testing.assert_allclose(oracle(imported, frames), rows, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("operator", CELLS)
def test_random_attributes(operator: str, direction: str) -> None:
    """60 draws for each of 9 tests: 540."""

    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(cells(operator, direction))
    def check(drawn: tuple[dict[str, Any], dict[str, NDArray[Any]]]) -> None:
        check_cell(operator, *drawn)

    check()
