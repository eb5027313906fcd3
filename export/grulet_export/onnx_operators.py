"""What each ONNX operator means frame by frame: the table from operator to handler, and the values handlers pass on.

Every tensor of a file is one of four things: numbers known now (an array), a tensor that repeats numbers (`Fill`),
one vector per frame (`Signal`) or the state of GRU layers (`State`). A handler takes an `Operation` and returns what
it writes, adding to the `Program` what has to run once per frame; it raises `Refusal` for everything that would change
the numbers or that needs more than one frame at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator

from grulet_export import onnx_axes
from grulet_export.errors import Refusal
from grulet_export.graph import Activation, Array, Dense, Gru, Node
from grulet_export.onnx_axes import ONE, Axes, Axis, features
from grulet_export.onnx_file import EXPORT_AGAIN, ONNX_DOMAINS, finite, first_line

#: Folding constants may not start from more elements than this (512 MB), whatever a file asks for.
LARGEST_CONSTANT = 1 << 27

RUNS = "grulet runs GRU, MatMul + Add, Gemm, Relu, LeakyRelu, Sigmoid, Tanh and Softmax, once per frame"


@dataclass(frozen=True, eq=False)
class Fill:
    """A tensor of any shape that repeats these numbers along its leading axes."""

    numbers: NDArray[Any]


@dataclass(frozen=True)
class Signal:
    """One vector per frame; ``value`` is the program's name for it."""

    value: str
    axes: Axes


@dataclass(frozen=True)
class State:
    """Recurrent state: that of one GRU layer, or of several stacked along the first axis.

    Each part of an initial state (``final`` is False) is named after the graph input and its place in it; each part
    of a final state is the value that the GRU writes.
    """

    parts: tuple[str, ...]
    final: bool
    axes: Axes


Value: TypeAlias = Signal | State | Fill | NDArray[Any]


@dataclass(frozen=True)
class Operation:
    """A node with its inputs looked up; an optional input that is left out is None."""

    name: str
    opset: int
    input_names: tuple[str, ...]
    inputs: tuple[Value | None, ...]
    attributes: dict[str, Any]

    def input(self, index: int) -> Value | None:
        """Return an input, None if it is not there."""
        return self.inputs[index] if index < len(self.inputs) else None

    def first(self) -> Value:
        """Return the first input, whatever it is."""
        value = self.input(0)
        if value is None:
            raise Refusal("it has no input", EXPORT_AGAIN)
        return value

    def constant(self, index: int, what: str) -> NDArray[Any]:
        """Return an input whose numbers must be in the file."""
        value = self.input(index)
        if not isinstance(value, np.ndarray):
            raise Refusal(f"its {what} is not a constant of the file", "store it as an initializer")
        return value

    def weights(self, index: int, what: str) -> Array:
        """Return a constant input that must be finite float32."""
        return finite(self.constant(index, what), f"its {what} '{self.input_names[index]}'")

    def integers(self, index: int, what: str) -> list[int] | None:
        """Return a list of integers that older operator sets hold as an attribute and newer ones as an input."""
        if what in self.attributes:
            return [int(number) for number in self.attributes[what]]
        if self.input(index) is None:
            return None
        numbers = self.constant(index, what)
        if numbers.dtype.kind not in "iu":
            raise Refusal(f"its {what} holds no integers", EXPORT_AGAIN)
        return [int(number) for number in numbers.reshape(-1)]


@dataclass
class Program:
    """What runs once per frame, as far as the nodes of a file have been walked."""

    producer: str  # the program that says it wrote the file
    nodes: dict[str, Node] = field(default_factory=dict)  # in order, by the value they write
    roles: dict[Axis, str] = field(default_factory=dict)
    time_axes: dict[str, Axis] = field(default_factory=dict)  # by GRU value
    initial_states: dict[str, str] = field(default_factory=dict)  # the part it starts from, by GRU value

    def fresh(self) -> str:
        """Return the name of the next node's value; it cannot be the name of an input."""
        return f"node {len(self.nodes)}"

    def frames(self, value: Value | None) -> Signal:
        """Return an input that must be one vector per frame."""
        match value:
            case Signal():
                return value
            case State(parts=(part,), final=True, axes=axes) if self.time_axes[part] is ONE:
                # A graph of a single frame: its last frame is its only one.
                return Signal(part, axes)
            case State(final=True):
                raise Refusal(
                    "it uses the final state (Y_h), which a stream has only after its last frame",
                    "feed it Y, one vector per frame, so that every frame has an answer",
                )
            case State():
                raise Refusal("it reads an initial state as if it were frames", RUNS)
        raise Refusal("its input is a constant, not one vector per frame", RUNS)

    def bind(self, axis: Axis, role: str) -> None:
        """Note that an axis is time, batch or direction; one axis cannot be two of them."""
        if axis is not ONE and self.roles.setdefault(axis, role) != role:
            raise Refusal(
                f"it takes {axis.label} as {role}, which elsewhere is {self.roles[axis]}",
                "transpose between batch-first and time-first where the order changes",
            )


Handler: TypeAlias = Callable[[Program, Operation], Sequence[Value]]


def run(program: Program, node: NodeProto, operation: Operation) -> Sequence[Value]:
    """Return what a node writes, adding to the program what it does once per frame."""
    if node.domain not in ONNX_DOMAINS:
        raise Refusal(f"it is of the operator domain '{node.domain}'", RUNS)
    if node.op_type in FOLDED and not any(isinstance(value, Signal | State | Fill) for value in operation.inputs):
        return _fold(node, operation)
    handler = HANDLERS.get(node.op_type)
    if handler is None:
        raise Refusal(*REASONS.get(node.op_type, ("it is not an operator of a frame program", RUNS)))
    return handler(program, operation)


def reads(node: NodeProto) -> int:
    """Return how many of its inputs say what a node means to us."""
    return READS.get(node.op_type, len(node.input))


def _fold(node: NodeProto, operation: Operation) -> Sequence[Value]:
    """Return what a node of constants gives, computed by the ONNX project's own reference."""
    pairs = zip(operation.input_names, operation.inputs, strict=True)
    given = {name: value for name, value in pairs if isinstance(value, np.ndarray)}
    if sum(value.size for value in operation.inputs if isinstance(value, np.ndarray)) > LARGEST_CONSTANT:
        raise Refusal("it makes a constant of more than 512 MB", "fold the constants when exporting")
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in names]
        for names in (given, filter(None, node.output))
    )
    graph = helper.make_graph([node], "fold", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", operation.opset)])
    try:
        results = iter(ReferenceEvaluator(model).run(None, given))
    except Exception as error:  # the reference raises whatever numpy raises
        raise Refusal(f"it cannot be computed ({first_line(error)})", EXPORT_AGAIN) from error
    # An output without a name is not computed; something has to keep its place.
    return [np.asarray(next(results)) if name else Fill(np.zeros(())) for name in node.output]


# Operators that only move things -------------------------------------------------------------------------------------


def _pass_on(program: Program, operation: Operation) -> Sequence[Value]:
    return [operation.first()]


def _dropout(program: Program, operation: Operation) -> Sequence[Value]:
    training = operation.input(2)
    if training is not None and not (isinstance(training, np.ndarray) and not training.any()):
        raise Refusal("it is in training mode, so its answers are random", "export the model in evaluation mode")
    return [operation.first()]


def _cast(program: Program, operation: Operation) -> Sequence[Value]:
    if operation.attributes["to"] != TensorProto.FLOAT:
        raise Refusal("it converts frames from float32 to another type", "keep frames float32")
    return [operation.first()]


def _rearranged(operation: Operation, move: Callable[[Axes], Axes]) -> Sequence[Value]:
    value = operation.first()
    if isinstance(value, Signal | State):
        return [replace(value, axes=move(value.axes))]
    return _moved(value)


def _moved(value: Value) -> Sequence[Value]:
    """Return a Fill whose axes are moved or cut: what it holds is the same if that is one number."""
    if isinstance(value, Fill) and value.numbers.size == 1:
        return [value]
    raise Refusal("it moves the axes of a constant that is repeated", "repeat it last, or start from zeros")


def _transpose(program: Program, operation: Operation) -> Sequence[Value]:
    return _rearranged(operation, lambda axes: onnx_axes.transpose(axes, operation.attributes.get("perm")))


def _squeeze(program: Program, operation: Operation) -> Sequence[Value]:
    which = operation.integers(1, "axes")
    return _rearranged(operation, lambda axes: onnx_axes.squeeze(axes, which))


def _unsqueeze(program: Program, operation: Operation) -> Sequence[Value]:
    which = operation.integers(1, "axes")
    return _rearranged(operation, lambda axes: onnx_axes.unsqueeze(axes, which or []))


def _reshape(program: Program, operation: Operation) -> Sequence[Value]:
    if isinstance(operation.input(0), Fill):
        return _moved(operation.first())  # its new shape may follow the batch, so it may be unknown
    shape = operation.integers(1, "shape")
    allow_zero = bool(operation.attributes.get("allowzero", 0))
    return _rearranged(operation, lambda axes: onnx_axes.reshape(axes, shape or [], allow_zero))


def _constant_of_shape(program: Program, operation: Operation) -> Sequence[Value]:
    numbers = np.asarray(operation.attributes.get("value", np.zeros(1, np.float32)))
    if numbers.size != 1:
        raise Refusal("its value is not one number", EXPORT_AGAIN)
    return [Fill(numbers)]


def _expand(program: Program, operation: Operation) -> Sequence[Value]:
    match operation.first():
        case np.ndarray() as numbers:
            return [Fill(numbers)]
        case Fill(numbers):
            return [Fill(numbers)]
    raise Refusal("it repeats frames", RUNS)


def _slice(program: Program, operation: Operation) -> Sequence[Value]:
    value = operation.first()
    if isinstance(value, Fill):
        return _moved(value)
    if not isinstance(value, State):
        raise Refusal(*REASONS["Slice"])
    starts, ends, axes, steps = (
        operation.integers(index, what) for index, what in enumerate(("starts", "ends", "axes", "steps"), start=1)
    )
    layers_only = axes in (None, [0]) and steps in (None, [1]) and value.axes[0].size in (1, len(value.parts))
    if not layers_only or starts is None or ends is None or len(starts) != 1 or len(ends) != 1:
        raise Refusal("it cuts a state other than into layers", "cut it along its first axis, in steps of 1")
    return [_stacked(value, value.parts[starts[0] : ends[0]])]


def _concat(program: Program, operation: Operation) -> Sequence[Value]:
    states = [value for value in operation.inputs if isinstance(value, State)]
    if len(states) != len(operation.inputs) or any(state.axes[0] is not ONE for state in states):
        raise Refusal(*REASONS["Concat"])
    if operation.attributes["axis"] not in (0, -len(states[0].axes)) or len({state.final for state in states}) != 1:
        raise Refusal("it joins states other than along the layers", "join them along axis 0")
    return [_stacked(states[0], tuple(part for state in states for part in state.parts))]


def _stacked(like: State, parts: tuple[str, ...]) -> State:
    """Return a state of these layers."""
    if not parts:
        raise Refusal("it leaves no layer of a state", EXPORT_AGAIN)
    layers = ONE if len(parts) == 1 else Axis("layers", len(parts))
    return State(parts, like.final, (layers, *like.axes[1:]))


# Operators that run once per frame -----------------------------------------------------------------------------------


def _gru(program: Program, operation: Operation) -> Sequence[Value]:
    _check_gru(program, operation)
    frames = program.frames(operation.input(0))
    if len(frames.axes) != 3:
        raise Refusal(f"its input has {len(frames.axes)} axes", "give it (time, batch, features)")
    weights, recurrent = operation.weights(1, "W"), operation.weights(2, "R")
    time, batch, _ = frames.axes
    width, units = onnx_axes.width(frames.axes), int(recurrent.shape[-1]) if recurrent.ndim else 0
    bias = np.zeros((1, 6 * units), np.float32) if operation.input(3) is None else operation.weights(3, "B")
    needed = {"W": (1, 3 * units, width), "R": (1, 3 * units, units), "B": (1, 6 * units)}
    for (name, shape), numbers in zip(needed.items(), (weights, recurrent, bias), strict=True):
        if numbers.shape != shape or units == 0:
            raise Refusal(f"the shape of its {name} is {numbers.shape} where {shape} is needed", EXPORT_AGAIN)
    if operation.attributes.get("hidden_size", units) != units:
        raise Refusal(f"its hidden_size is not {units}, the size of R", EXPORT_AGAIN)
    program.bind(time, "time")
    program.bind(batch, "batch")
    value = program.fresh()
    program.time_axes[value] = time
    program.nodes[value] = Gru(
        operation.name,
        frames.value,
        value,
        input_weights=weights.reshape(3, units, width),
        recurrent_weights=recurrent.reshape(3, units, units),
        input_bias=bias[0, : 3 * units].reshape(3, units),
        recurrent_bias=bias[0, 3 * units :].reshape(3, units),
        initial_state=_initial_state(program, operation, value, units),
    )
    every_frame = Signal(value, (time, ONE, batch, features(units)))
    return [every_frame, State((value,), True, (ONE, batch, features(units)))]


def _check_gru(program: Program, operation: Operation) -> None:
    """Refuse every option of the operator that would change the numbers."""
    given = operation.attributes
    if given.get("direction", "forward") != "forward":
        raise Refusal(
            f"its direction is {given['direction']}, which needs the end of the sequence first",
            "train a forward GRU: a stream runs frame by frame",
        )
    if given.get("layout", 0) != 0:
        raise Refusal("its layout is 1 (batch first)", "use layout 0 with a Transpose around it, as torch does")
    if not given.get("linear_before_reset", 0):
        _refuse_reset_first(program.producer)
    if "clip" in given:
        raise Refusal("it clips its gates (clip)", "train and export without clip")
    activations = [name.lower() for name in given.get("activations", ["Sigmoid", "Tanh"])]
    if activations != ["sigmoid", "tanh"] or given.get("activation_alpha") or given.get("activation_beta"):
        raise Refusal(f"its activations are {', '.join(activations)}", "use the defaults, Sigmoid and Tanh")
    if operation.input(4) is not None:
        raise Refusal("it takes sequence_lens", "leave it out: a stream has no padding, it ends when it ends")


def _refuse_reset_first(producer: str) -> NoReturn:
    reason = (
        "linear_before_reset is 0: the reset gate is applied before the recurrent product, while grulet's layer, as in "
        "torch, cuDNN and Keras (reset_after), applies it behind"
    )
    if producer == "pytorch":
        raise Refusal(
            f"{reason}; a torch GRU is never of that kind, but torch's exporter wrote it so, and its numbers wrong, up "
            "to onnxscript 0.7.0",
            "export the torch module with grulet_export, or with onnxscript 0.7.1 or newer",
        )
    raise Refusal(reason, "train with linear_before_reset=1 (Keras: reset_after=True)")


def _initial_state(program: Program, operation: Operation, value: str, units: int) -> Array:
    """Return (units,) what a reset stream starts from: zeros where the state is an input."""
    match operation.input(5):
        case None:
            return np.zeros(units, np.float32)
        case Fill(numbers) if numbers.size == 1 or numbers.shape[-1:] == (units,) == (numbers.size,):
            return _repeated(finite(numbers, "its initial_h"), units)
        case Fill():
            raise Refusal("its initial_h is not one state of (1, batch, units), equal over the batch", EXPORT_AGAIN)
        case State(parts=(part,), final=False, axes=(direction, batch, feature)) if feature.size == units:
            program.bind(direction, "direction")
            program.bind(batch, "batch")
            if part in program.initial_states.values():
                raise Refusal(f"another GRU starts from '{part}' too", "give every layer its own initial state")
            program.initial_states[value] = part
            return np.zeros(units, np.float32)
        case State(final=False):
            raise Refusal("its initial_h is not (1, batch, units)", "give every layer its own initial state")
        case State() | Signal():
            raise Refusal(
                "its initial_h is computed by the graph, so every sequence would start from another state",
                "start from zeros, from a constant, or from an input whose Y_h is an output",
            )
    state = operation.weights(5, "initial_h")
    if state.shape[:1] + state.shape[2:] != (1, units) or state.size == 0 or (state != state[:, :1]).any():
        raise Refusal("its initial_h is not one state of (1, batch, units), equal over the batch", EXPORT_AGAIN)
    first: Array = state[0, 0].copy()
    return first


def _mat_mul(program: Program, operation: Operation) -> Sequence[Value]:
    if isinstance(operation.input(0), np.ndarray):
        raise Refusal("it has its weights on the left, so it mixes frames", "multiply from the right: frames @ weights")
    frames = program.frames(operation.input(0))
    return _dense(program, operation.name, frames, _matrix(operation, frames, transposed=False))


def _add(program: Program, operation: Operation) -> Sequence[Value]:
    bias_at = 0 if isinstance(operation.input(0), np.ndarray) else 1
    if not isinstance(operation.input(bias_at), np.ndarray):
        raise Refusal("it adds two tensors that are both computed", f"skip connections are not supported: {RUNS}")
    frames = program.frames(operation.input(1 - bias_at))
    product = program.nodes.get(frames.value)
    if not isinstance(product, Dense) or product.bias.any():
        raise Refusal("it adds a constant to something else than a plain MatMul", "use Add for the bias of a MatMul")
    # A second Dense, with the bias: the first one, now without a reader, is dropped unless another node wants it.
    bias = _bias(operation, bias_at, len(product.weights), rank=len(frames.axes))
    return _dense(program, product.name, replace(frames, value=product.input), product.weights, bias)


def _gemm(program: Program, operation: Operation) -> Sequence[Value]:
    given = operation.attributes
    frames = program.frames(operation.input(0))
    if given.get("transA", 0):
        raise Refusal("it transposes its input (transA), so it mixes frames", "use transA = 0")
    if len(frames.axes) != 2:
        raise Refusal(f"its input has {len(frames.axes)} axes", "Gemm takes (frames, features)")
    weights = np.float32(given.get("alpha", 1.0)) * _matrix(operation, frames, bool(given.get("transB", 0)))
    bias = np.zeros(len(weights), np.float32)
    if operation.input(2) is not None:
        bias = np.float32(given.get("beta", 1.0)) * _bias(operation, 2, len(weights), rank=2)
    scaled = (finite(weights, "alpha times its weights"), finite(bias, "beta times its bias"))
    return _dense(program, operation.name, frames, *scaled)


def _dense(program: Program, name: str, frames: Signal, weights: Array, bias: Array | None = None) -> Sequence[Value]:
    """Add a Dense with weights (units, inputs) and bias (units,)."""
    units = len(weights)
    value = program.fresh()
    bias = np.zeros(units, np.float32) if bias is None else bias
    program.nodes[value] = Dense(name, frames.value, value, np.ascontiguousarray(weights), bias)
    return [Signal(value, (*frames.axes[:-1], features(units)))]


def _matrix(operation: Operation, frames: Signal, transposed: bool) -> Array:
    """Return (units, inputs) the second input, a constant of shape (inputs, units) or, transposed, already so."""
    weights = operation.weights(1, "weight matrix")
    if weights.ndim != 2:
        raise Refusal(f"its weights have {weights.ndim} axes", "use one matrix (inputs, units) for all frames")
    weights = weights if transposed else weights.T
    units, width = weights.shape
    if width != onnx_axes.width(frames.axes) or units == 0:
        raise Refusal(f"its weights take {width} features of {onnx_axes.width(frames.axes)}", EXPORT_AGAIN)
    return weights


def _bias(operation: Operation, index: int, units: int, rank: int) -> Array:
    """Return (units,) a constant input that ONNX broadcasts over the frames."""
    bias = operation.weights(index, "bias")
    last = bias.shape[-1] if bias.ndim else 1
    if bias.ndim > rank or bias.size != last or last not in (1, units):
        raise Refusal(f"the shape of its bias is {bias.shape}, not ({units},)", "use one bias for all frames")
    return _repeated(bias, units)


def _repeated(numbers: Array, units: int) -> Array:
    """Return (units,) numbers of which one, or one for every unit, is given."""
    everywhere: Array = np.broadcast_to(numbers.reshape(-1), units).copy()
    return everywhere


def _activation(program: Program, operation: Operation, function: str, alpha: float = 0.0) -> Sequence[Value]:
    frames = program.frames(operation.input(0))
    value = program.fresh()
    program.nodes[value] = Activation(operation.name, frames.value, value, function, alpha)
    return [replace(frames, value=value)]


def _elementwise(function: str) -> Handler:
    return lambda program, operation: _activation(program, operation, function)


def _leaky_relu(program: Program, operation: Operation) -> Sequence[Value]:
    alpha = float(finite(np.asarray(operation.attributes.get("alpha", 0.01), np.float32), "its alpha"))
    return _activation(program, operation, "leaky_relu", alpha)


def _softmax(program: Program, operation: Operation) -> Sequence[Value]:
    rank = len(program.frames(operation.input(0)).axes)
    # Before operator set 13 all axes from this one on are one, and the default was axis 1.
    axis = operation.attributes.get("axis", -1 if operation.opset >= 13 else 1)
    if axis not in (-1, rank - 1):
        raise Refusal(f"its axis {axis} is not the feature axis", "use axis -1, the probabilities of one frame")
    return _activation(program, operation, "softmax")


#: How many of its inputs an operator needs to be looked at; all others need them all. The shape of a tensor that is
#: filled with a constant follows the batch, and means nothing here.
READS = {"ConstantOfShape": 0, "Expand": 1}

#: Operators computed here and now when all their inputs are constants; none of them makes more than it is given.
FOLDED = frozenset(
    ("Cast", "Concat", "Constant", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze")
)

#: Operators behind which a graph input is still an initial state, if a GRU starts from it.
PASS_ON = frozenset(("Cast", "Dropout", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"))

HANDLERS: dict[str, Handler] = {
    "Add": _add,
    "Cast": _cast,
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Dropout": _dropout,
    "Expand": _expand,
    "Gemm": _gemm,
    "GRU": _gru,
    "Identity": _pass_on,
    "LeakyRelu": _leaky_relu,
    "MatMul": _mat_mul,
    "Relu": _elementwise("relu"),
    "Reshape": _reshape,
    "Sigmoid": _elementwise("sigmoid"),
    "Slice": _slice,
    "Softmax": _softmax,
    "Squeeze": _squeeze,
    "Tanh": _elementwise("tanh"),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}

_SOME_FRAMES = (
    "it takes some frames or some features out of the sequence",
    "let the graph give one vector per frame, and pick from the answers of the stream",
)
_BY_HAND = ("it is a hand-written recurrence", "export the layer as one GRU operator")
_OTHER_LAYER = ("only GRU layers are supported", "train a GRU of the same size")

#: Why common operators are refused, and what would work.
REASONS: dict[str, tuple[str, str]] = {
    "BatchNormalization": ("it is not supported", "fold it into the MatMul or Gemm beside it"),
    "Concat": ("it joins tensors that are computed", f"joined signals are not supported: {RUNS}"),
    "Conv": ("it looks at several frames at once", RUNS),
    "Gather": _SOME_FRAMES,
    "If": ("what runs depends on the data", RUNS),
    "Loop": _BY_HAND,
    "LSTM": _OTHER_LAYER,
    "RNN": _OTHER_LAYER,
    "Scan": _BY_HAND,
    "Shape": ("it computes a shape at run time", "export with fixed shapes, or without reshaping frames"),
    "Slice": _SOME_FRAMES,
}
