"""torch modules to `grulet_export.graph.Graph`: what a module's forward does to one frame, or why we cannot say.

``torch.fx`` follows the forward once with stand-ins for its arguments; every call it meets is looked up in the
tables of `layers`. Only what the module returns is looked at. The module itself is left as it was.
"""

from __future__ import annotations

import inspect
import operator
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn

from grulet_export.canonical import Names, canonical, live
from grulet_export.errors import Refusal, UnsupportedGraph
from grulet_export.graph import Graph, Port
from grulet_export.torch_reading.layers import FUNCTIONS, READS, REASONS, handler_of
from grulet_export.torch_reading.signals import (
    EVERY_FRAME,
    GIVE_EXAMPLE,
    RUNS,
    Builder,
    FinalState,
    Signal,
    StateOrigin,
    Width,
    input_value,
)


@dataclass(frozen=True)
class Traced:
    """A module as a graph, and how torch's tensors correspond to it.

    ``arguments`` names the forward's argument of every input port. ``origins`` has one entry for every state of
    ``graph.nodes``, in their order (an LSTM has two; reverse cells have none). ``returns`` has one entry for every
    tensor the module returns, as `tensors` lists them: the output port's name, or None for the final state of a layer.
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
    return [tensor for _, tensor in named_leaves(returned)]


def named_leaves(returned: Any, name: str | None = None) -> Iterator[tuple[str | None, Any]]:
    """Yield what lists, tuples and dicts hold, in order, with the name that a dict or a named tuple gives, or None."""
    match returned:
        case Mapping():
            for key, item in returned.items():
                yield from named_leaves(item, str(key))
        case list() | tuple():
            names = getattr(returned, "_fields", [name] * len(returned))
            for item_name, item in zip(names, returned, strict=True):
                yield from named_leaves(item, item_name)
        case _:
            yield name, returned


def output_names(names: Sequence[str | None], taken: Names) -> list[str]:
    """Return a free name for every output: its own, else "output", numbered if there are several without."""
    unnamed = names.count(None)
    default = iter(["output"] if unnamed == 1 else [f"output{number}" for number in range(unnamed)])
    return [taken.unique(next(default) if name is None else name) for name in names]


# Following the forward -----------------------------------------------------------------------------------------------


class _Tracer(fx.Tracer):
    """Stops at all modules torch brings, also at the ones we have to refuse, and at what behaves like ours."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return handler_of(m) is not None or super().is_leaf_module(m, module_qualified_name)


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


def _build(root: nn.Module, example: tuple[Tensor, ...] | None) -> Traced:
    _refuse_changes(root)
    parameters = inspect.signature(root.forward).parameters
    for parameter in parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise Refusal(f"it takes any number of arguments ('{parameter.name}')", "name every input")
    arguments = [name for name, item in parameters.items() if item.default is item.empty]
    widths = {argument: Width() for argument in arguments}
    if example is not None:
        if len(example) != len(arguments):
            raise Refusal(f"there are {len(example)} examples for {len(arguments)} inputs", "give one for each")
        widths = {name: Width(_example_width(tensor)) for name, tensor in zip(arguments, example, strict=True)}

    calls = _follow(root, {name: item.default for name, item in parameters.items() if name not in widths})
    builder = Builder(root, inputs={input_value(argument) for argument in arguments})
    found: dict[fx.Node, Any] = {}
    live = _live(calls)
    for call in calls.nodes:
        name, kind = _described(root, call)
        if call.op == "placeholder" and name in widths:
            if call not in live:
                raise Refusal(f"its argument '{name}' does not reach what it returns", "remove the argument")
            found[call] = Signal(input_value(name), widths[name])
        elif call in live:
            args, kwargs = fx.node.map_arg((call.args, call.kwargs), found.get)
            builder.shared = any(len(maker.users) > 1 for maker in call.all_input_nodes)
            try:
                found[call] = _look_up(builder, call, args, kwargs)
            except Refusal as refusal:
                raise refusal.at(name, kind) from refusal
        builder.calls[name] += call.op == "call_module"

    leaves = list(_leaves(found[next(iter(reversed(calls.nodes)))]))
    graph = _graph(builder, widths, leaves)
    ports = iter(graph.outputs)
    returns = tuple(next(ports).name if isinstance(leaf, Signal) else None for _, leaf in leaves)
    return Traced(graph, builder.batch_first is not False, tuple(arguments), tuple(builder.origins), returns)


def _example_width(tensor: Tensor) -> int:
    """Return how many features a frame of an example has; tokens (batch, time) are one a frame."""
    if tensor.is_floating_point():
        return int(tensor.shape[-1])
    if tensor.ndim > 2:
        raise Refusal("it takes several tokens a frame", "grulet follows tokens (batch, time)")
    return 1


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


def _look_up(builder: Builder, call: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
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
        handler = handler_of(module)
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


def _graph(builder: Builder, widths: Mapping[str, Width], leaves: list[tuple[str | None, Any]]) -> Graph:
    """Return the graph in canonical form; its states are in the order of the builder's origins."""
    signals = [(name, leaf) for name, leaf in leaves if isinstance(leaf, Signal)]
    if not signals:
        raise Refusal("it returns nothing per frame, only final states", EVERY_FRAME)
    for name, width in widths.items():
        if width.size is None:
            raise Refusal(f"the width of its input '{name}' is unknown", GIVE_EXAMPLE)
    names = Names()  # one for both, since ONNX has no tensor that is an input and another that is an output
    inputs = [
        Port(
            names.unique("input" if len(widths) == 1 else name),
            input_value(name),
            width.known,
            builder.tokens.get(input_value(name), 0),
        )
        for name, width in widths.items()
    ]
    outputs = [
        Port(name, signal.value, signal.width.known)
        for name, (_, signal) in zip(output_names([name for name, _ in signals], names), signals, strict=True)
    ]
    graph = Graph(tuple(inputs), tuple(outputs), tuple(builder.nodes), source_sha256="")
    alive = {node.output for node in live(graph)}
    for node in builder.nodes:
        if node.output not in alive:
            # Every call is one that a result depends on, so here the result is the final state alone.
            raise Refusal(f"it returns the final state of '{node.name}', but nothing per frame from it", EVERY_FRAME)
    return canonical(graph)


def _leaves(returned: Any) -> Iterator[tuple[str | None, Signal | FinalState]]:
    """Yield what the module returns, in the order of `tensors`, with its names."""
    for name, leaf in named_leaves(returned):
        if not isinstance(leaf, Signal | FinalState):
            raise Refusal(f"it returns a {type(leaf).__name__} that is not computed from frames", EVERY_FRAME)
        yield name, leaf
