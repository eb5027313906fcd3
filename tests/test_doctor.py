"""`grulet doctor`: each fault is found in a good model with that one change, and nothing else is."""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import nn

from grulet.__main__ import main
from grulet_export import UnsupportedGraph, export
from grulet_export.doctor import CHECKS, KINDS, Diagnosis, Finding, Severity, examine
from grulet_export.doctor.outliers import Rounding

WIDTH, UNITS, OUTPUTS = 18, 16, 20
DOCUMENT = Path(__file__).parents[1] / "docs" / "doctor.md"


def good(*, opset: int = 17, layout: int = 0, time: Any = "time", batch: Any = "batch") -> ModelProto:
    """Return a GRU and a head: x and h in, y and h_out out, all axes but the widths free."""
    draw = np.random.default_rng(3)
    weights = {
        "W": draw.standard_normal((1, 3 * UNITS, WIDTH)),
        "R": draw.standard_normal((1, 3 * UNITS, UNITS)) / 4,
        "B": draw.standard_normal((1, 6 * UNITS)),
        "H": draw.standard_normal((UNITS, OUTPUTS)),
    }
    leading, state = ((batch, time), (batch, 1)) if layout else ((time, batch), (1, batch))
    direction_axis = 2 if layout else 1
    axes = {"axes": [direction_axis]} if opset < 13 else {}
    nodes = [
        helper.make_node(
            "GRU",
            ["x", "W", "R", "B", "", "h"],
            ["Y", "h_out"],
            name="gru",
            hidden_size=UNITS,
            linear_before_reset=1,
            **({"layout": 1} if layout else {}),
        ),
        helper.make_node("Squeeze", ["Y"] if axes else ["Y", "axes"], ["frames"], name="squeeze", **axes),
        helper.make_node("MatMul", ["frames", "H"], ["y"], name="head"),
    ]
    constants = {name: array.astype(np.float32) for name, array in weights.items()}
    graph = helper.make_graph(
        nodes,
        "good",
        [tensor("x", *leading, WIDTH), tensor("h", *state, UNITS)],
        [tensor("y", *leading, OUTPUTS), tensor("h_out", *state, UNITS)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    if not axes:
        graph.initializer.append(numpy_helper.from_array(np.array([direction_axis]), "axes"))
    opsets = [helper.make_opsetid(*pair) for pair in (("", opset), ("com.microsoft", 1), ("org.nobody", 1))]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def tensor(name: str, *dims: Any, type_: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    """Return a named tensor of the graph's inputs or outputs."""
    return helper.make_tensor_value_info(name, type_, list(dims))


def weights_of(model: ModelProto, name: str) -> NDArray[Any]:
    """Return a copy of an initializer."""
    return numpy_helper.to_array(initializer(model, name)).copy()


def initializer(model: ModelProto, name: str) -> TensorProto:
    """Return an initializer by name."""
    return next(entry for entry in model.graph.initializer if entry.name == name)


def set_weights(model: ModelProto, name: str, array: NDArray[Any]) -> ModelProto:
    """Replace an initializer, or add it."""
    kept = [entry for entry in model.graph.initializer if entry.name != name]
    del model.graph.initializer[:]
    model.graph.initializer.extend([*kept, numpy_helper.from_array(array, name)])
    return model


def change_weights(name: str, where: Any, value: Any) -> ModelProto:
    """Return a good model with some weights set to a value."""
    model = good()
    array = weights_of(model, name)
    array[where] = value
    return set_weights(model, name, array)


def set_attribute(model: ModelProto, **values: Any) -> ModelProto:
    """Set attributes of the GRU."""
    gru = model.graph.node[0]
    kept = [entry for entry in gru.attribute if entry.name not in values]
    del gru.attribute[:]
    gru.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in values.items())])
    return model


def between(operator: str, *more: str, outputs: Sequence[str] = ("changed",), **attributes: Any) -> ModelProto:
    """Return a good model with one more node, "extra", between the GRU and the head."""
    model = good()
    model.graph.node.insert(2, helper.make_node(operator, ["frames", *more], outputs, name="extra", **attributes))
    model.graph.node[3].input[0] = outputs[0]
    return model


def beside(node: NodeProto, output: onnx.ValueInfoProto | None = None, model: ModelProto | None = None) -> ModelProto:
    """Return a good model with one more node after all others, and perhaps one more output."""
    model = model or good()
    model.graph.node.append(node)
    if output is not None:
        model.graph.output.append(output)
    return model


def without(model: ModelProto, *, state_input: bool = False, state_output: bool = False) -> ModelProto:
    """Remove the state from the inputs or the outputs."""
    if state_input:
        del model.graph.input[1]
        model.graph.node[0].input[5] = ""
    if state_output:
        del model.graph.output[1]
    return model


def from_torch(model: ModelProto) -> ModelProto:
    """Say that torch has made it."""
    model.producer_name = "pytorch"
    return model


def with_dropout(*, training: bool) -> ModelProto:
    """Return a good model with a Dropout between."""
    model = between("Dropout", "ratio", "training")
    set_weights(model, "ratio", np.float32(0.5).reshape(()))
    return set_weights(model, "training", np.array(training))


def with_batch_norm(**attributes: Any) -> ModelProto:
    """Return a good model with a BatchNormalization over the frames."""
    model = between("BatchNormalization", *"abcd", **attributes)
    model.graph.node[2].input[0] = "flat"
    model.graph.node.insert(2, helper.make_node("Reshape", ["frames", "two axes"], ["flat"], name="flatten"))
    set_weights(model, "two axes", np.array([-1, UNITS]))
    for name in "abcd":
        set_weights(model, name, np.linspace(0.5, 1.5, UNITS, dtype=np.float32))
    model.graph.output[0].CopyFrom(tensor("y", "frames", OUTPUTS))
    return model


def with_reshape(*target: int) -> ModelProto:
    """Return a good model with a Reshape before the head."""
    model = set_weights(between("Reshape", "target"), "target", np.array(target))
    model.graph.output[0].CopyFrom(tensor("y", *"abcd"[: len(target) - 1], 3))
    return set_weights(model, "H", np.random.default_rng(0).standard_normal((target[-1], 3), np.float32))


def state_from(nodes: Sequence[NodeProto], source: str, *, keep_input: bool = True) -> ModelProto:
    """Return a good model whose GRU starts from what these nodes compute."""
    model = good() if keep_input else without(good(), state_input=True)
    for position, node in enumerate(nodes):
        model.graph.node.insert(position, node)
    model.graph.node[len(nodes)].input[5] = source
    return model


def cast_output(type_: int) -> ModelProto:
    """Return a good model with one more output, of another type."""
    node = helper.make_node("Cast", ["y"], ["other"], name="cast", to=type_)
    return beside(node, tensor("other", "time", "batch", OUTPUTS, type_=type_))


def two_heads() -> ModelProto:
    """Return a good model with a second head of the same weights."""
    node = helper.make_node("MatMul", ["frames", "H2"], ["y2"], name="head2")
    model = beside(node, tensor("y2", "time", "batch", OUTPUTS))
    return set_weights(model, "H2", weights_of(model, "H"))


def other_direction(direction: str) -> ModelProto:
    """Return a good model that reads the sequence from its end."""
    model = set_attribute(good(), direction=direction)
    if direction == "bidirectional":
        for name in "WRB":
            both = weights_of(model, name)
            set_weights(model, name, np.concatenate((both, 2 * both)))
        model.graph.input[1].CopyFrom(tensor("h", 2, "batch", UNITS))
        model.graph.output[1].CopyFrom(tensor("h_out", 2, "batch", UNITS))
        model.graph.node[1].CopyFrom(helper.make_node("ReduceMean", ["Y"], ["frames"], axes=[1], keepdims=0))
        del model.graph.initializer[[entry.name for entry in model.graph.initializer].index("axes")]
    return model


def dead_unit(unit: int) -> ModelProto:
    """Return a good model, one unit of which makes the same new state in every frame."""
    model = good()
    for name in "WR":
        array = weights_of(model, name)
        array[0, 2 * UNITS + unit] = 0
        set_weights(model, name, array)
    return model


@dataclass(frozen=True)
class Fault:
    """A broken model; where the finding is, its number (None: none; or a range), and what else must be found."""

    kind: str
    make: Callable[[], ModelProto]
    node: str
    operator: str
    value: float | tuple[float, float] | None = None
    also: frozenset[str] = frozenset()


relu = helper.make_node("Relu", ["y"], ["other"], name="extra")
FAULTS = {
    "linear_before_reset 0 from torch": Fault(
        "linear_before_reset",
        lambda: from_torch(set_attribute(good(), linear_before_reset=0)),
        "gru",
        "GRU",
        (0.01, 1),
    ),
    "layout 1": Fault("layout", lambda: good(layout=1), "gru", "GRU", None, frozenset({"onnxruntime"})),
    "NaN and infinity": Fault(
        "nonfinite_weights", lambda: change_weights("W", (0, 5, slice(2)), [np.nan, np.inf]), "gru", "GRU", 2
    ),
    "training Dropout": Fault("training_mode", lambda: with_dropout(training=True), "extra", "Dropout"),
    "training BatchNormalization": Fault(
        "training_mode",
        lambda: with_batch_norm(training_mode=1),
        "extra",
        "BatchNormalization",
        None,
        frozenset({"onnxruntime"}),
    ),
    "unknown name": Fault(
        "invalid", lambda: beside(helper.make_node("Relu", ["nothing"], ["z"])), "", "ONNX file"
    ),
    "damaged tensor": Fault("invalid", lambda: damaged(), "", "ONNX file"),
    "old operator set": Fault("opset", lambda: good(opset=6), "", "ONNX file", 6, frozenset({"onnxruntime"})),
    "operator set of the future": Fault(
        "opset", lambda: good(opset=999), "", "ONNX file", 999, frozenset({"onnxruntime"})
    ),
    "operator of onnxruntime": Fault(
        "domain", lambda: between("Gelu", domain="com.microsoft"), "extra", "com.microsoft.Gelu", 1
    ),
    "operator of nobody": Fault(
        "domain",
        lambda: between("Magic", domain="org.nobody"),
        "extra",
        "org.nobody.Magic",
        1,
        frozenset({"onnxruntime"}),
    ),
    "activation that onnxruntime lacks": Fault(
        "onnxruntime", lambda: set_attribute(good(), activations=["Sigmoid", "Magic"]), "", "ONNX file"
    ),
    "operator that grulet lacks": Fault("grulet", lambda: between("RandomNormalLike"), "extra", "RandomNormalLike"),
    "batch of 4": Fault("frozen_batch", lambda: good(batch=4), "gru", "GRU", 4),
    "state of 1": Fault(
        "frozen_batch",
        lambda: set_weights(
            state_from([], "zeros", keep_input=False), "zeros", np.zeros((1, 1, UNITS), np.float32)
        ),
        "gru",
        "GRU",
        1,
        frozenset({"state_not_taken"}),
    ),
    "sequence of 7": Fault("frozen_time", lambda: good(time=7), "gru", "GRU", 7),
    "one frame without a state": Fault(
        "frozen_time",
        lambda: without(good(time=1, batch=1), state_input=True, state_output=True),
        "gru",
        "GRU",
        1,
        frozenset({"no_state"}),
    ),
    "reshape to one size": Fault("frozen_reshape", lambda: with_reshape(2, 3, UNITS), "extra", "Reshape", 6),
    "reshape to two streams": Fault("frozen_reshape", lambda: with_reshape(2, -1, UNITS), "extra", "Reshape", 2),
    "frames stacked in pairs": Fault("frozen_reshape", lambda: with_reshape(-1, 2 * UNITS), "extra", "Reshape", 2),
    "state computed": Fault(
        "initial_state", lambda: state_from([helper.make_node("Tanh", ["h"], ["start"])], "start"), "gru", "GRU", 1
    ),
    "state learned": Fault(
        "initial_state",
        lambda: set_weights(
            state_from([], "start", keep_input=False), "start", np.ones((1, 1, UNITS), np.float32)
        ),
        "gru",
        "GRU",
        1,
        frozenset({"frozen_batch"}),
    ),
    "state in only": Fault("state_not_returned", lambda: without(good(), state_output=True), "gru", "GRU", 1),
    "state out only": Fault("state_not_taken", lambda: without(good(), state_input=True), "gru", "GRU", 1),
    "no state": Fault("no_state", lambda: without(good(), state_input=True, state_output=True), "gru", "GRU", 1),
    "outlier in the GRU": Fault("outliers", lambda: change_weights("R", (0, 5, 3), 20), "gru", "GRU", (40, 60)),
    "outlier in the head": Fault("outliers", lambda: change_weights("H", (3, 5), 100), "head", "MatMul", (40, 60)),
    "float16": Fault("float16", lambda: cast_output(TensorProto.FLOAT16), "other", "output", 1),
    "float64": Fault("float64", lambda: cast_output(TensorProto.DOUBLE), "other", "output", 1),
    "weights twice": Fault("duplicate_weights", two_heads, "head2", "MatMul", 4 * UNITS * OUTPUTS),
    "weights for nothing": Fault(
        "unused_weights", lambda: set_weights(good(), "spare", np.ones(100, np.float32)), "spare", "weights", 400
    ),
    "dead unit": Fault("zero_rows", lambda: dead_unit(3), "gru", "GRU", 4 * (WIDTH + UNITS)),
    "dead outputs": Fault(
        "zero_rows", lambda: change_weights("H", (slice(None), slice(2, 9)), 0), "head", "MatMul", 7 * 4 * UNITS
    ),
    "reverse": Fault("whole_sequence", lambda: other_direction("reverse"), "gru", "GRU", 1),
    "bidirectional": Fault("whole_sequence", lambda: other_direction("bidirectional"), "gru", "GRU", 1),
    "subnormal": Fault("subnormal_weights", lambda: change_weights("H", (0, slice(3)), 1e-40), "head", "MatMul", 3),
    "constant output": Fault(
        "constant_output",
        lambda: beside(helper.make_node("Relu", ["B"], ["other"]), tensor("other", 1, 6 * UNITS)),
        "other",
        "output",
    ),
    "dead node": Fault("dead_nodes", lambda: beside(relu), "extra", "Relu", 1),
    "unused input": Fault("unused_input", lambda: with_input("spare"), "spare", "input"),
    "unread mask": Fault(
        "unused_output", lambda: between("Dropout", outputs=["changed", "mask"]), "extra", "Dropout", 1
    ),
}  # fmt: skip


def with_input(name: str) -> ModelProto:
    """Return a good model with one more input."""
    model = good()
    model.graph.input.append(tensor(name, "time", 3))
    return model


def damaged() -> ModelProto:
    """Return a good model, a tensor of which is one byte short."""
    model = good()
    entry = initializer(model, "W")
    entry.raw_data = entry.raw_data[:-1]
    return model


def examined(model: ModelProto) -> Diagnosis:
    """Examine a model as a file has it."""
    return examine(model.SerializeToString())


def only(diagnosis: Diagnosis, kind: str) -> Finding:
    """Return the one finding of a kind."""
    (finding,) = [finding for finding in diagnosis.findings if finding.kind == kind]
    return finding


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_found_and_nothing_else(name: str) -> None:
    """One finding at the right node, with the right number.

    What grulet refuses is the importer's matter; whether it also refuses a broken model is not asserted here.
    """
    fault = FAULTS[name]
    diagnosis = examined(fault.make())
    finding = only(diagnosis, fault.kind)
    assert (finding.node, finding.operator) == (fault.node, fault.operator)
    if isinstance(fault.value, tuple):
        assert finding.value is not None
        assert fault.value[0] < finding.value < fault.value[1]
    else:
        assert finding.value == fault.value
    assert {found.kind for found in diagnosis.findings} - {"grulet"} == {fault.kind, *fault.also} - {"grulet"}
    for sentence in (finding.risk, finding.remedy):
        assert sentence.endswith(".")
        assert ".." not in sentence


def test_every_kind_is_tested_and_documented() -> None:
    """Each has a broken model above (data in other files: below), and a row in docs/doctor.md."""
    assert {fault.kind for fault in FAULTS.values()} | {"external_data", "missing_data"} == set(KINDS)
    rows = [line.split("|")[1].strip(" `") for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    assert rows == list(KINDS)


@pytest.mark.parametrize(
    "make",
    [
        good,
        lambda: good(time=1, batch=1),
        lambda: good(batch=1),
        lambda: good(opset=11),
        lambda: with_dropout(training=False),
        with_batch_norm,
        lambda: with_reshape(-1, UNITS),
        lambda: with_reshape(0, 0, 4, 4),
        lambda: with_reshape(0, -1, 8),
        lambda: set_attribute(good(), linear_before_reset=0),  # Keras and others mean it
    ],
)
def test_nothing_is_found_in_good_models(make: Callable[[], ModelProto]) -> None:
    """One line, which says what was checked. Reshapes and 0 of linear_before_reset may be beyond grulet."""
    diagnosis = examined(make())
    assert [finding for finding in diagnosis.findings if finding.kind != "grulet"] == []


def test_nothing_is_found_in_what_grulet_writes(tmp_path: Path) -> None:
    """Neither in the form for whole sequences nor in the one for single frames."""
    torch.manual_seed(0)
    module = nn.GRU(WIDTH, UNITS, num_layers=2, batch_first=True)
    files = [tmp_path / "net.onnx", tmp_path / "step.onnx"]
    export(module, tmp_path / "net.grulet", onnx=files[0], onnx_step=files[1], frames=20)
    for file in files:
        text = str(examine(file))
        assert text == f"{file.name}: nothing found in {', '.join(CHECKS)}"


@pytest.mark.parametrize("layers", [1, 2])
def test_nothing_is_found_in_what_torch_writes(tmp_path: Path, layers: int) -> None:
    """A batch-first GRU and a Linear, its axes free, its state in and out."""

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(WIDTH, UNITS, layers, batch_first=True)
            self.head = nn.Linear(UNITS, OUTPUTS)

        def forward(self, x: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            y, h = self.gru(x, h)
            return self.head(y), h

    torch.manual_seed(0)
    file = tmp_path / "net.onnx"
    frames = {0: "batch", 1: "time"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that it would rather be asked for the other exporter
        torch.onnx.export(
            Network().eval(),
            (torch.zeros(1, 3, WIDTH), torch.zeros(layers, 1, UNITS)),
            str(file),
            dynamo=False,
            input_names=["x", "h"],
            output_names=["y", "h_out"],
            dynamic_axes={"x": frames, "y": frames, "h": {1: "batch"}, "h_out": {1: "batch"}},
        )
    diagnosis = examine(file)
    assert diagnosis.findings == ()
    assert diagnosis.recurrent_layers == layers
    assert diagnosis.producer.startswith("pytorch")


def test_linear_before_reset_is_measured_by_running() -> None:
    """Where nothing passes the reset gate the two are one, so the number is 0; onnxruntime may also be of no help."""
    model = from_torch(set_attribute(good(), linear_before_reset=0))
    for name, where in (("R", np.s_[0, 2 * UNITS :]), ("B", np.s_[0, 5 * UNITS :])):
        array = weights_of(model, name)
        array[where] = 0
        set_weights(model, name, array)
    assert only(examined(model), "linear_before_reset").value == 0
    unloadable = examined(set_attribute(model, activations=["Sigmoid", "Magic"]))
    finding = only(unloadable, "linear_before_reset")
    assert finding.value is None
    assert finding.details[0].startswith("not measured: ")
    assert only(unloadable, "onnxruntime").severity is Severity.WILL_NOT_RUN


def test_traces_of_torch_remain_in_nodes() -> None:
    """A tool may have changed the producer's name; the dynamo exporter has signed every node."""
    model = set_attribute(good(), linear_before_reset=0)
    entry = model.graph.node[0].metadata_props.add()
    entry.key, entry.value = "pkg.torch.onnx.fx_node", "gru"
    assert [finding.kind for finding in examined(model).findings if finding.kind != "grulet"] == ["linear_before_reset"]


def test_outliers_name_the_worst_rows() -> None:
    """Rows in the order of the file, the worst first, with max/RMS and SNR."""
    model = good()
    array = weights_of(model, "R")
    array[0, 7, 2], array[0, 40, 0] = 15, -60
    finding = only(examined(set_weights(model, "R", array)), "outliers")
    assert [detail.split(":")[0] for detail in finding.details] == ["row 40", "row 7"]
    assert "In 2 of 48 rows of 'R'" in finding.risk


def test_rounding_is_that_of_numerics() -> None:
    """The SNR of rounding is the one of the weights that grulet stores; exact rows lose nothing."""
    from grulet_export.quantization.grids import find_grid, round_to

    rows = np.random.default_rng(0).standard_normal((5, 64)).astype(np.float32)
    rows[0] = 0
    rows[1, 1:] = 0
    grid = find_grid(rows[None], "int8", "plain")
    error = rows - grid.values(round_to(rows[None], grid))[0].astype(np.float64)
    rounding = Rounding.of(rows)
    assert rounding.snr_db == pytest.approx(10 * np.log10(np.square(rows).sum() / np.square(error).sum()), abs=0.01)
    assert np.isinf(rounding.others_snr_db[:2]).all()
    assert ((rounding.others_snr_db[2:] > 38) & (rounding.others_snr_db[2:] < 50)).all()
    assert rounding.peak[1] == pytest.approx(8)  # sqrt(64)


def test_weights_made_by_little_operators() -> None:
    """Weights that are a Concat of Slices are weights, too."""
    model = good()
    array = weights_of(model, "R")
    array[0, 5, 3] = 20
    for name, part in (("R1", array[:, :16]), ("R2", array[:, 16:])):
        set_weights(model, name, part)
    model.graph.node.insert(0, helper.make_node("Concat", ["R1", "R2"], ["R12"], axis=1))
    model.graph.node[1].input[2] = "R12"
    finding = only(examined(model), "outliers")
    assert finding.node == "gru"
    assert finding.details[0].startswith("row 5:")


def test_external_data(tmp_path: Path) -> None:
    """Weights in a file beside are read and checked; without that file there is one finding."""
    path = tmp_path / "net.onnx"
    model = change_weights("R", (0, 5, 3), 20)
    size = sum(len(entry.raw_data) for entry in model.graph.initializer if len(entry.raw_data) >= 1024)
    onnx.save(model, path, save_as_external_data=True, location="net.data", size_threshold=1024)
    diagnosis = examine(path)
    assert [finding.kind for finding in diagnosis.findings] == ["outliers", "external_data"]
    assert only(diagnosis, "external_data").value == size
    (tmp_path / "net.data").unlink()
    assert [finding.kind for finding in examine(path).findings] == ["missing_data"]
    assert [finding.kind for finding in examine(path.read_bytes()).findings] == ["missing_data"]


def test_external_data_stays_in_its_folder(tmp_path: Path) -> None:
    """A file that points elsewhere is refused, not read."""
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(4 * 3 * UNITS * WIDTH))
    model = good()
    entry = initializer(model, "W")
    onnx.external_data_helper.set_external_data(entry, "../secret")
    entry.ClearField("raw_data")
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    assert [finding.kind for finding in examine(folder / "net.onnx").findings] == ["missing_data"]


def test_findings_are_ordered_and_readable() -> None:
    """The worst first, numbered, in 100 columns."""
    model = beside(relu, model=from_torch(set_attribute(good(batch=4), linear_before_reset=0)))
    diagnosis = examined(set_weights(model, "spare", np.ones(100, np.float32)))
    assert [finding.severity for finding in diagnosis.findings] == sorted(f.severity for f in diagnosis.findings)
    assert diagnosis.findings[0].kind == "linear_before_reset"
    lines = str(diagnosis).splitlines()
    assert max(map(len, lines)) <= 100
    heads = [line for line in lines[1:] if line and not line.startswith("    ")]
    assert [int(line.split()[0]) for line in heads] == list(range(1, len(diagnosis.findings) + 1))
    assert heads[0].startswith(" 1  WRONG NUMBERS  GRU 'gru': 0.")


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 0 with findings and without; the same facts for people and for programs."""
    for name, model, count in (("good", good(), 0), ("bad", without(good(), state_input=True), 1)):
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(model.SerializeToString())
        assert main(["doctor", str(path)]) == 0
        assert capsys.readouterr().out == f"{examine(path)}\n"
        assert main(["doctor", str(path), "--json"]) == 0
        data = json.loads(capsys.readouterr().out)
        assert data == json.loads(json.dumps(examine(path).as_json()))
        assert len(data["findings"]) == count
        assert data["checked"] == list(CHECKS)
    assert data["findings"][0] | {"risk": "", "remedy": ""} == {
        "severity": "note",
        "kind": "state_not_taken",
        "node": "gru",
        "operator": "GRU",
        "risk": "",
        "remedy": "",
        "value": 1,
        "unit": "layer",
        "details": [],
    }


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"text, not a model", good().SerializeToString()[:-1], None])
def test_what_is_no_onnx_ends_with_status_2(
    data: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on stderr, nothing on stdout."""
    path = tmp_path / "net.onnx"
    if data is not None:
        path.write_bytes(data)
    assert main(["doctor", str(path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("grulet doctor: ")
    assert printed.err.count("\n") == 1


def test_hostile_bytes() -> None:
    """Whatever is flipped, cut or doubled: a diagnosis that can be printed, or the one refusal."""
    draw = random.Random(5)
    whole = beside(relu, model=with_reshape(2, -1, UNITS)).SerializeToString()
    outcomes: set[str] = set()
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(draw.randrange(1, 4)):
            place = draw.choice(
                [draw.randrange(500), draw.randrange(len(data) - 250, len(data))]
            )  # between them: weights
            data[place] = draw.randrange(256)
        try:
            outcomes.update(finding.kind for finding in examine(bytes(data)).findings)
        except UnsupportedGraph:
            outcomes.add("no ONNX")
    assert {"no ONNX", "invalid", "dead_nodes"} <= outcomes
