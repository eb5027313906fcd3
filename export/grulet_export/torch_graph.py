"""torch modules to `grulet_export.graph.Graph`: what a module's forward does to one frame, or why we cannot say.

``torch.fx`` follows the forward once with stand-ins for its arguments; every call it meets is looked up in `MODULES`
or `FUNCTIONS`. Only what the module returns is looked at. The module itself is left as it was.
"""

from __future__ import annotations

import inspect
import operator
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from grulet_export.canonical import Names, canonical, live
from grulet_export.errors import Refusal, UnsupportedGraph
from grulet_export.graph import Activation, Array, Dense, Graph, Gru, Node, Port

RUNS = "grulet runs nn.GRU, nn.Linear, ReLU, LeakyReLU, Sigmoid, Tanh and Softmax, once per frame"
EVERY_FRAME = "return y, one vector per frame, and pick from the answers of the stream"


@dataclass(frozen=True)
class StateOrigin:
    """Where the state of one GRU layer lives in the module.

    ``module`` is the path of the nn.GRU below `rooted` (module), ``call`` counts its calls within one forward, and
    ``layer`` counts its layers.
    """

    module: str
    call: int
    layer: int


@dataclass(frozen=True)
class Traced:
    """A module as a graph, and how torch's tensors correspond to it.

    ``arguments`` names the forward's argument of every input port. ``origins`` has one entry for every Gru of
    ``graph.nodes``, in their order. ``returns`` has one entry for every tensor the module returns, as `tensors` lists
    them: the output port's name, or None for the final state of a GRU.
    """

    graph: Graph
    batch_first: bool
    arguments: tuple[str, ...]
    origins: tuple[StateOrigin, ...]
    returns: tuple[str | None, ...]


def trace(module: nn.Module, example: Tensor | tuple[Tensor, ...] | None = None) -> Traced:
    """Return what a module's forward does to one frame, in evaluation mode.

    ``example`` holds one tensor per input, shape (..., width); it is needed only where no GRU or Linear tells how wide
    an input is. Raises `UnsupportedGraph`.
    """
    if not isinstance(module, nn.Module):
        raise UnsupportedGraph("", type(module).__name__, "it is no torch.nn.Module", "give the module itself")
    root = rooted(module)
    with as_found(root):
        try:
            return _build(root, (example,) if isinstance(example, Tensor) else example)
        except Refusal as refusal:
            raise refusal.at("forward", type(module).__name__) from refusal


def rooted(module: nn.Module) -> nn.Module:
    """Return the module, or a container around one that is a single layer, so that every layer has a name."""
    if _Tracer().is_leaf_module(module, ""):
        return nn.Sequential(OrderedDict([(type(module).__name__.lower(), module)]))
    return module


@contextmanager
def as_found(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode, and afterwards back into the state it was in."""
    training = {part: part.training for part in module.modules()}
    attributes = set(vars(module))
    module.eval()
    try:
        yield
    finally:
        for part, was_training in training.items():
            part.training = was_training
        # torch.fx stores tensors that a forward makes itself as attributes of the module.
        for name in set(vars(module)) - attributes:
            delattr(module, name)


def tensors(returned: Any) -> list[Tensor]:
    """Return the tensors in what a module returned, in the order of `Traced.returns`."""
    match returned:
        case Mapping():
            return [tensor for item in returned.values() for tensor in tensors(item)]
        case list() | tuple():
            return [tensor for item in returned for tensor in tensors(item)]
    return [returned]


# Following the forward -----------------------------------------------------------------------------------------------


class _Tracer(fx.Tracer):
    """Stops at all modules torch brings, also at the ones we have to refuse, and at what behaves like ours."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return _handler(m) is not None or super().is_leaf_module(m, module_qualified_name)


def _follow(root: nn.Module, defaults: dict[str, Any]) -> fx.Graph:
    """Return the calls the forward makes, with the default values of all arguments that have one."""
    try:
        return _Tracer().trace(root, concrete_args=defaults or None)
    except Exception as error:  # a forward may raise anything when it meets a stand-in where it wants numbers
        reason = next(filter(None, str(error).splitlines()), repr(error)).partition(". ")[0]
        raise Refusal(
            f"torch.fx cannot follow it ({reason})",
            "let the forward make the same calls for all data and shapes: layers and activations only",
        ) from error


# Building the graph --------------------------------------------------------------------------------------------------


@dataclass
class _Width:
    """The width of a signal; unknown until the first layer that says so."""

    size: int | None = None


@dataclass(frozen=True)
class _Signal:
    """One vector per frame. A signal and an activation of it share their width."""

    value: str
    width: _Width


class _FinalState:
    """The h_n of a GRU: a stream has it, but no frame can read it."""


class _Zeros:
    """A tensor of zeros, whatever its shape: the state a stream starts from anyway."""


@dataclass
class _Builder:
    """What is known while the calls are looked at one by one."""

    root: nn.Module
    nodes: list[Node] = field(default_factory=list)
    origins: list[StateOrigin] = field(default_factory=list)  # one for every Gru of nodes
    calls: Counter[str] = field(default_factory=Counter)  # of every module so far, by path
    batch_first: bool | None = None
    shared: bool = False  # whether the input of the call now looked at has other readers

    def fresh(self) -> str:
        """Return the name of the next node's value; it cannot be the name of an input."""
        return f"node {len(self.nodes)}"


def _build(root: nn.Module, example: tuple[Tensor, ...] | None) -> Traced:
    _refuse_changes(root)
    parameters = inspect.signature(root.forward).parameters
    for parameter in parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise Refusal(f"it takes any number of arguments ('{parameter.name}')", "name every input")
    arguments = [name for name, item in parameters.items() if item.default is item.empty]
    widths = {argument: _Width() for argument in arguments}
    if example is not None:
        if len(example) != len(arguments):
            raise Refusal(f"there are {len(example)} examples for {len(arguments)} inputs", "give one for each")
        widths = {name: _Width(tensor.shape[-1]) for name, tensor in zip(arguments, example, strict=True)}

    calls = _follow(root, {name: item.default for name, item in parameters.items() if name not in widths})
    builder = _Builder(root)
    found: dict[fx.Node, Any] = {}
    live = _live(calls)
    for call in calls.nodes:
        name, kind = _described(root, call)
        if call.op == "placeholder" and name in widths:
            if call not in live:
                raise Refusal(f"its argument '{name}' does not reach what it returns", "remove the argument")
            found[call] = _Signal(f"input {name}", widths[name])
        elif call in live:
            args, kwargs = fx.node.map_arg((call.args, call.kwargs), found.get)
            builder.shared = any(len(maker.users) > 1 for maker in call.all_input_nodes)
            try:
                found[call] = _look_up(builder, call, args, kwargs)
            except Refusal as refusal:
                raise refusal.at(name, kind) from refusal
        builder.calls[name] += call.op == "call_module"

    leaves = list(_leaves(found[next(iter(reversed(calls.nodes)))], None))
    graph = _graph(builder, widths, leaves)
    ports = iter(graph.outputs)
    returns = tuple(next(ports).name if isinstance(leaf, _Signal) else None for _, leaf in leaves)
    return Traced(graph, builder.batch_first is not False, tuple(arguments), tuple(builder.origins), returns)


def _live(calls: fx.Graph) -> set[fx.Node]:
    """Return the calls that what the module returns depends on."""
    live: set[fx.Node] = set()
    for call in reversed(calls.nodes):
        if call.op == "output" or call in live:
            live.add(call)
            live.update(call.all_input_nodes[: READS.get(call.target)])
    return live


def _described(root: nn.Module, call: fx.Node) -> tuple[str, str]:
    """Return the name and the kind of a call, as its errors show them."""
    match call.op:
        case "call_module":
            return str(call.target), type(root.get_submodule(str(call.target))).__name__
        case "placeholder" | "get_attr":
            return str(call.target), "argument" if call.op == "placeholder" else "tensor"
    return call.name, getattr(call.target, "__name__", str(call.target))


def _look_up(builder: _Builder, call: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what one call gives, adding to the builder's nodes what it does once per frame."""
    name, kind = _described(builder.root, call)
    target = call.target
    if call.op == "output":
        return args[0]
    if call.op == "get_attr":
        return operator.attrgetter(name)(builder.root)
    if isinstance(target, type) and hasattr(target, "_fields"):
        return target(*args, **kwargs)  # a named tuple of results
    before: tuple[Any, ...] = (builder, name)
    if call.op == "call_module":
        module = builder.root.get_submodule(name)
        handler = _handler(module)
        _refuse_changes(module)
        before = (builder, name, module)
    else:
        handler = FUNCTIONS.get(target)
    if handler is None:
        raise Refusal(*REASONS.get(kind, ("it is not part of a frame program", RUNS)))
    try:
        inspect.signature(handler).bind(*before, *args, **kwargs)
    except TypeError as error:
        raise Refusal(f"it is called in a way grulet does not know ({error})", RUNS) from error
    return handler(*before, *args, **kwargs)


def _refuse_changes(module: nn.Module) -> None:
    """Refuse a module that does more than its class says, which torch.fx would not see."""
    if module._forward_hooks or module._forward_pre_hooks:
        raise Refusal("it has forward hooks, which may change its numbers", "remove them (remove_weight_norm, ...)")
    if "forward" in vars(module):
        raise Refusal("its forward was replaced after it was made", "derive a class with that forward")


def _graph(builder: _Builder, widths: Mapping[str, _Width], leaves: list[tuple[str | None, Any]]) -> Graph:
    """Return the graph in canonical form; its Grus are in the order of the builder's origins."""
    signals = [(name, leaf) for name, leaf in leaves if isinstance(leaf, _Signal)]
    if not signals:
        raise Refusal("it returns nothing per frame, only final states", EVERY_FRAME)
    for name, width in widths.items():
        if width.size is None:
            raise Refusal(f"the width of its input '{name}' is unknown", "give an example input")
    names = Names()  # one for both, since ONNX has no tensor that is an input and another that is an output
    inputs = [
        Port(names.unique("input" if len(widths) == 1 else name), f"input {name}", _size(width))
        for name, width in widths.items()
    ]
    unnamed = sum(name is None for name, _ in signals)
    default = iter(["output"] if unnamed == 1 else [f"output{number}" for number in range(unnamed)])
    outputs = [
        Port(names.unique(next(default) if name is None else name), signal.value, _size(signal.width))
        for name, signal in signals
    ]
    graph = Graph(tuple(inputs), tuple(outputs), tuple(builder.nodes), source_sha256="")
    alive = {node.output for node in live(graph)}
    for node in builder.nodes:
        if node.output not in alive:
            # Every call is one that a result depends on, so here the result is the final state alone.
            raise Refusal(f"it returns the final state of '{node.name}', but nothing per frame from it", EVERY_FRAME)
    return canonical(graph)


def _leaves(value: Any, name: str | None) -> Iterator[tuple[str | None, _Signal | _FinalState]]:
    """Yield what the module returns, in the order of `tensors`, with the name a dict or a named tuple gives."""
    match value:
        case _Signal() | _FinalState():
            yield name, value
        case Mapping():
            for key, item in value.items():
                yield from _leaves(item, str(key))
        case list() | tuple():
            names = getattr(value, "_fields", [name] * len(value))
            for item_name, item in zip(names, value, strict=True):
                yield from _leaves(item, item_name)
        case _:
            raise Refusal(f"it returns a {type(value).__name__} that is not computed from frames", EVERY_FRAME)


# Handlers ------------------------------------------------------------------------------------------------------------


def _frames(value: Any) -> _Signal:
    """Return an argument that must be one vector per frame."""
    match value:
        case _Signal():
            return value
        case _FinalState():
            raise Refusal("it uses the final state (h_n), which a stream has only after its last frame", EVERY_FRAME)
        case tuple():
            raise Refusal("it takes the pair (y, h_n) that a GRU returns", "take y: y, _ = gru(x)")
    raise Refusal("its input is not computed from frames", RUNS)


def _size(width: _Width) -> int:
    """Return a width that is known by now."""
    assert width.size is not None
    return width.size


def _takes(frames: _Signal, width: int) -> None:
    """Note that a signal has this width, or refuse it for having another."""
    if frames.width.size not in (None, width):
        raise Refusal(f"it takes {width} features, but is given {frames.width.size}", "make the widths agree")
    frames.width.size = width


def _array(tensor: Any, what: str) -> Array:
    """Return a copy of a parameter, which must be finite float32."""
    if not isinstance(tensor, Tensor):
        raise Refusal(f"its {what} is not a tensor of the module", "make it a parameter or a buffer")
    if tensor.dtype != torch.float32:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise Refusal(f"its {what} is {kind}", "convert the module to float32: module.float()")
    if tensor.is_meta:
        raise Refusal(f"its {what} has no numbers (device meta)", "load the weights first")
    array: Array = tensor.detach().cpu().contiguous().numpy().copy()
    if not np.isfinite(array).all():
        raise Refusal(f"its {what} holds NaN or infinity", "look into the training: such weights give no answer")
    return array


def _gru(builder: _Builder, name: str, module: nn.GRU, input: Any, hx: Any = None) -> tuple[_Signal, _FinalState]:
    frames = _frames(input)
    if module.bidirectional:
        raise Refusal("it is bidirectional, so it needs the end of the sequence first", "train a forward GRU")
    if module.proj_size:
        raise Refusal("it projects its state (proj_size)", "train it without proj_size")
    if hx is not None and not isinstance(hx, _Zeros):
        raise Refusal("it is given an initial state", "leave it out: a stream starts from zeros and keeps its state")
    if builder.batch_first not in (None, module.batch_first):
        raise Refusal(
            f"its batch_first is {module.batch_first}, unlike that of a GRU before it, so one of them takes sequences "
            "for frames",
            "give all GRUs the same batch_first",
        )
    builder.batch_first = module.batch_first
    _takes(frames, module.input_size)
    units = module.hidden_size

    def gates(parameter: str, *shape: int) -> Array:
        """Return (3, units, ...) a parameter in the order z r n; torch has r z n."""
        array = _array(getattr(module, parameter), parameter)
        return np.ascontiguousarray(array.reshape(3, units, *shape)[[1, 0, 2]])

    for layer in range(module.num_layers):
        value = builder.fresh()
        nothing = np.zeros((3, units), np.float32)
        builder.origins.append(StateOrigin(name, builder.calls[name], layer))
        builder.nodes.append(
            Gru(
                f"{name}.layer{layer}",
                frames.value,
                value,
                input_weights=gates(f"weight_ih_l{layer}", _size(frames.width)),
                recurrent_weights=gates(f"weight_hh_l{layer}", units),
                input_bias=gates(f"bias_ih_l{layer}") if module.bias else nothing,
                recurrent_bias=gates(f"bias_hh_l{layer}") if module.bias else nothing,
                initial_state=np.zeros(units, np.float32),
            )
        )
        frames = _Signal(value, _Width(units))  # dropout between the layers is for training alone
    return frames, _FinalState()


def _linear(builder: _Builder, name: str, module: nn.Linear, input: Any) -> _Signal:
    return _dense(builder, name, input, module.weight, module.bias)


def _functional_linear(builder: _Builder, name: str, input: Any, weight: Any, bias: Any = None) -> _Signal:
    return _dense(builder, name, input, weight, bias)


def _dense(builder: _Builder, name: str, input: Any, weight: Any, bias: Any) -> _Signal:
    frames = _frames(input)
    weights = _array(weight, "weight")
    if weights.ndim != 2:
        raise Refusal(f"its weight has {weights.ndim} axes", "use a weight of (units, inputs)")
    units, inputs = weights.shape
    _takes(frames, inputs)
    value = builder.fresh()
    biases = np.zeros(units, np.float32) if bias is None else _array(bias, "bias")
    if biases.shape != (units,):
        raise Refusal(f"its bias has the shape {biases.shape}", f"use a bias of ({units},)")
    builder.nodes.append(Dense(name, frames.value, value, weights, biases))
    return _Signal(value, _Width(units))


def _activation(
    builder: _Builder, name: str, input: Any, function: str, alpha: float = 0.0, inplace: bool = False
) -> _Signal:
    frames = _frames(input)
    if inplace and builder.shared:
        raise Refusal("it works in place on a tensor that others read too", "use inplace=False")
    value = builder.fresh()
    # The slope as ONNX keeps it.
    builder.nodes.append(Activation(name, frames.value, value, function, float(np.float32(alpha))))
    return _Signal(value, frames.width)


def _softmax(builder: _Builder, name: str, input: Any, dim: int | None = None, dtype: Any = None) -> _Signal:
    if dim not in (-1, 2):
        raise Refusal(f"its dim is {dim}, not the features", "use dim=-1, the probabilities of one frame")
    if dtype not in (None, torch.float32):
        raise Refusal(f"it converts to {dtype}", "leave dtype out")
    return _activation(builder, name, input, "softmax")


def _functional_softmax(
    builder: _Builder, name: str, input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> _Signal:
    return _softmax(builder, name, input, dim, dtype)


def _functional_leaky_relu(
    builder: _Builder, name: str, input: Any, negative_slope: float = 0.01, inplace: bool = False
) -> _Signal:
    return _activation(builder, name, input, "leaky_relu", negative_slope, inplace)


def _functional_dropout(
    builder: _Builder, name: str, input: Any, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Any:
    if training and p:
        raise Refusal("it drops values in evaluation too", "pass training=self.training, or use nn.Dropout")
    return input


def _elementwise(function: str) -> Handler:
    def handler(builder: _Builder, name: str, input: Any, inplace: bool = False) -> _Signal:
        return _activation(builder, name, input, function, inplace=inplace)

    return handler


def _module_elementwise(function: str) -> Handler:
    def handler(builder: _Builder, name: str, module: nn.Module, input: Any) -> _Signal:
        return _activation(builder, name, input, function, inplace=bool(getattr(module, "inplace", False)))

    return handler


def _module_leaky_relu(builder: _Builder, name: str, module: nn.LeakyReLU, input: Any) -> _Signal:
    return _activation(builder, name, input, "leaky_relu", module.negative_slope, module.inplace)


def _module_softmax(builder: _Builder, name: str, module: nn.Softmax, input: Any) -> _Signal:
    return _softmax(builder, name, input, module.dim)


def _module_pass_on(builder: _Builder, name: str, module: nn.Module, input: Any) -> Any:
    return input


def _pass_on(builder: _Builder, name: str, input: Any) -> Any:
    return input


def _item(builder: _Builder, name: str, value: Any, index: Any) -> Any:
    if isinstance(value, tuple) and index in (0, 1, -1, -2):
        return value[index]
    if isinstance(value, _FinalState):
        _frames(value)
    raise Refusal("it takes some frames or some features out of the sequence", EVERY_FRAME)


def _zeros(builder: _Builder, name: str, *args: Any, **kwargs: Any) -> _Zeros:
    return _Zeros()


def _to(builder: _Builder, name: str, value: Any, *args: Any, **kwargs: Any) -> _Zeros:
    if isinstance(value, _Zeros):
        return value
    raise Refusal("it changes the type or the device of frames", "keep frames float32 where they are")


Handler: TypeAlias = Callable[..., Any]  # (builder, name of the call, [module,] arguments of the call)

#: What the layers mean. A subclass means the same unless it has a forward of its own.
MODULES: dict[type[nn.Module], Handler] = {
    nn.Dropout: _module_pass_on,
    nn.GRU: _gru,
    nn.Identity: _module_pass_on,
    nn.LeakyReLU: _module_leaky_relu,
    nn.Linear: _linear,
    nn.ReLU: _module_elementwise("relu"),
    nn.Sigmoid: _module_elementwise("sigmoid"),
    nn.Softmax: _module_softmax,
    nn.Tanh: _module_elementwise("tanh"),
}

#: What functions, and methods of a tensor (by name), mean.
FUNCTIONS: dict[Any, Handler] = {
    operator.getitem: _item,
    functional.dropout: _functional_dropout,
    functional.leaky_relu: _functional_leaky_relu,
    functional.linear: _functional_linear,
    functional.relu: _elementwise("relu"),
    functional.sigmoid: _elementwise("sigmoid"),
    functional.softmax: _functional_softmax,
    functional.tanh: _elementwise("tanh"),
    torch.relu: _elementwise("relu"),
    torch.sigmoid: _elementwise("sigmoid"),
    torch.softmax: _softmax,
    torch.tanh: _elementwise("tanh"),
    torch.zeros: _zeros,
    torch.zeros_like: _zeros,
    "clone": _pass_on,
    "contiguous": _pass_on,
    "detach": _pass_on,
    "new_zeros": _zeros,
    "relu": _elementwise("relu"),
    "sigmoid": _elementwise("sigmoid"),
    "softmax": _softmax,
    "tanh": _elementwise("tanh"),
    "to": _to,
}

#: How many of its inputs a call needs to be looked at; all others need them all. Sizes and devices mean nothing here.
READS: dict[Any, int] = {torch.zeros: 0, torch.zeros_like: 0, "new_zeros": 0, "to": 1}

_OTHER_LAYER = ("only GRU layers are supported", "train a GRU of the same size")
_SEVERAL_FRAMES = ("it looks at several frames at once", RUNS)
_SKIP = ("it combines signals", f"skip connections and arithmetic between layers are not supported: {RUNS}")
_MOVES = ("it moves or merges axes", "drop it: Linear and activations take (batch, time, features) as it is")
_SHAPE = ("it looks at the shape of the data", "let the forward make the same calls for all shapes")

#: Why common layers and functions are refused, by the name of their kind, and what would work.
REASONS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell"), _OTHER_LAYER),
    **dict.fromkeys(("Conv1d", "Conv2d", "MultiheadAttention", "mean", "sum", "cumsum"), _SEVERAL_FRAMES),
    **dict.fromkeys(("add", "sub", "mul", "cat", "stack", "iadd"), _SKIP),
    **dict.fromkeys(("transpose", "permute", "reshape", "view", "flatten", "squeeze", "unsqueeze"), _MOVES),
    **dict.fromkeys(("size", "getattr", "dim"), _SHAPE),
    "BatchNorm1d": ("it is not supported", "fold it into the Linear beside it"),
    "LayerNorm": ("it is not supported", RUNS),
}


def _handler(module: nn.Module) -> Handler | None:
    """Return what to do with a module, None if that is not known."""
    for kind in type(module).__mro__:
        if kind in MODULES and type(module).forward is kind.forward:
            return MODULES[kind]
    return None
