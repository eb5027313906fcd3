"""Modules that `grulet_export.torch_reading.graph` cannot follow: through torch's own exporter, which needs an example.

What that exporter writes is taken for nothing but a proposal: it goes through the ONNX front end as every file does,
and the module itself is run over the same frames (`TorchSession`) and compared.
"""

from __future__ import annotations

import inspect
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
import torch
from numpy.typing import NDArray
from onnx import helper
from torch import Tensor, nn

from grulet_export import metadata
from grulet_export.canonical import Names
from grulet_export.errors import Refusal, UnsupportedGraph
from grulet_export.onnx_reading.read import read_onnx
from grulet_export.torch_reading.axes import Group, Run, first_only, free_axes, run_once
from grulet_export.torch_reading.graph import as_found, named_leaves, output_names, tensors
from grulet_export.torch_reading.steps import CELLS, Twice, carries, has_cells, paired, with_layers

OPSET = 17

_USE_LAYERS = "use nn.GRU, nn.LSTM or nn.RNN for the loop, or give a module of one step: forward(x, h) -> (y, h)"


@dataclass(frozen=True)
class Exported:
    """A module as torch's exporter wrote it.

    ``states``: name of a state's input -> name of its output, for a module that is one step.  ``session``: the module
    itself.
    """

    model: bytes
    states: Mapping[str, str]
    session: TorchSession


class TorchSession:
    """A module behind the interface of an onnxruntime session: arrays in and out, by the names of its ONNX model."""

    def __init__(self, module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> None:
        """``inputs``: by name, in order, what to give where a run says nothing: what its answers do not depend on."""
        self._module, self._inputs, self._outputs = module, inputs, tuple(outputs)

    def run(self, names: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the outputs ``names``; raises whatever the module raises."""
        # Copies, since a module may work in place.
        given = {
            name: torch.tensor(feeds[name], device=example.device) if name in feeds else example.clone()
            for name, example in self._inputs.items()
        }
        with as_found(self._module), torch.no_grad():
            returned = tensors(self._module(*given.values()))
        answers = dict(zip(self._outputs, returned, strict=True))
        return [answers[name].cpu().numpy() for name in names]


def export_by_torch(
    module: nn.Module, example: tuple[Tensor, ...], states: Mapping[str, str] | None, notes: str
) -> Exported:
    """Return a module as ONNX, with every axis free that the module leaves free.

    ``states``: which input takes what which output gave in the frame before, for a module of one step; without, a
    module that has cells (nn.GRUCell, ...) is one step, its states in order at the end of its inputs and outputs.
    ``notes``: the metadata as JSON.  Raises `Refusal`.
    """
    inputs = _input_names(module, example)
    usual = _run(module, example)
    for name, part in module.named_modules():
        if isinstance(part, tuple(CELLS)) and usual.calls[name] > 1:
            raise Refusal(f"it calls '{name}' in a loop of its own, which torch's exporter would unroll", _USE_LAYERS)
    groups = free_axes(module, example)
    one_step = bool(states) or has_cells(module)
    if one_step:  # a stream is one voice, and its frames have no other axes
        example, groups = first_only(example, groups), ()
    outputs, returned = _outputs(module, example, inputs)
    pairs = dict(states or {})
    if one_step and not pairs:
        pairs = paired(inputs, example, outputs, returned)
    if one_step and has_cells(module):
        source = _by_layers(module, example, inputs, outputs, pairs, notes)
        if source is not None:
            return Exported(source, pairs, TorchSession(module, dict(zip(inputs, example, strict=True)), outputs))
    if one_step and len(pairs) == len(outputs):
        module = Twice(module)
        outputs, _ = _outputs(module, example, inputs)
        pairs = dict(zip(pairs, outputs[-len(pairs) :], strict=True))
    source = _exported(module, example, inputs, outputs, groups, notes)
    return Exported(source, pairs, TorchSession(module, dict(zip(inputs, example, strict=True)), outputs))


def _by_layers(
    module: nn.Module,
    example: tuple[Tensor, ...],
    inputs: list[str],
    outputs: list[str],
    states: Mapping[str, str],
    notes: str,
) -> bytes | None:
    """Return a step with its cells as operators of their own, which run faster than what they are spelled out to.

    None if its states are more than what its cells start from.
    """
    try:
        source = _exported(with_layers(module), example, inputs, outputs, (), notes)
        imported = read_onnx(source, states=states)
    except (Refusal, UnsupportedGraph):
        return None
    return source if carries(imported, states) else None


def _run(module: nn.Module, example: tuple[Tensor, ...]) -> Run:
    try:
        return run_once(module, example)
    except Exception as error:  # a forward may raise anything
        raise Refusal(
            f"it does not run on the example ({_first_line(error)})", "give an example that it takes"
        ) from error


def _outputs(module: nn.Module, example: tuple[Tensor, ...], inputs: Sequence[str]) -> tuple[list[str], list[Tensor]]:
    """Return the names of what the module returns, none of which is that of an input, and the tensors."""
    leaves = _returned(_run(module, example).returned)
    names = Names()
    for name in inputs:
        names.unique(name)
    return output_names([name for name, _ in leaves], names), [tensor for _, tensor in leaves]


def _input_names(module: nn.Module, example: tuple[Tensor, ...]) -> list[str]:
    """Return the names of the arguments that the example is for."""
    try:
        bound = inspect.signature(module.forward).bind(*example)
    except TypeError as error:
        raise Refusal(f"the example does not fit its arguments ({error})", "give one tensor for each") from error
    names: list[str] = []
    for name, value in bound.arguments.items():
        many = isinstance(value, tuple)  # *args
        names += [f"{name}{number}" for number in range(len(value))] if many else [name]
    return names


def _returned(value: Any) -> list[tuple[str | None, Tensor]]:
    """Return the tensors that a module returned, in order, with their names."""
    leaves = list(named_leaves(value))
    for _, leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise Refusal(f"it returns a {type(leaf).__name__}", "return tensors")
    return leaves


def _exported(
    module: nn.Module,
    example: tuple[Tensor, ...],
    inputs: list[str],
    outputs: list[str],
    groups: Sequence[Group],
    notes: str,
) -> bytes:
    axes: dict[str, dict[int, str]] = {}
    for group in groups:
        for number, axis in group:
            axes.setdefault(inputs[number], {})[axis] = f"{inputs[group[0][0]]}_{group[0][1]}"
    buffer = io.BytesIO()
    with as_found(module), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what the comparison with the module finds out
        try:
            torch.onnx.export(
                module,
                example,
                buffer,  # type: ignore[arg-type]  # it takes one, whatever its annotation says
                dynamo=False,
                input_names=inputs,
                output_names=outputs,
                dynamic_axes=axes,
                opset_version=OPSET,
            )
        except Exception as error:  # torch's exporter has no common class of errors
            reason = f"torch's exporter cannot write it ({_first_line(error)})"
            raise Refusal(reason, "export it to ONNX another way (dynamo=True), and convert that file") from error
    model = onnx.load_model_from_string(buffer.getvalue())
    helper.set_model_props(model, {metadata.KEY: notes})
    return bytes(model.SerializeToString(deterministic=True))


def _first_line(error: Exception) -> str:
    return next(filter(None, str(error).splitlines()), repr(error)).partition(". ")[0]
