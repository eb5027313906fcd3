"""An existing model's layers, made to round as a `.grulet` file does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from torch import nn

from grulet.errors import GruletError
from grulet_export.errors import UnsupportedGraph
from grulet_export.qat.layers import GRU, LSTM, Linear
from grulet_export.qat.rounded_layer import RoundedLayer, check_formats

_Module = TypeVar("_Module", bound=nn.Module)

#: What each of torch's layers becomes.
_ROUNDED: Mapping[type[nn.Module], type[RoundedLayer]] = {nn.GRU: GRU, nn.LSTM: LSTM, nn.Linear: Linear}


def prepare(
    module: _Module, weights: str | Mapping[str, str] = "int4", activations: str = "int16", skip: Iterable[str] = ()
) -> _Module:
    """Make every nn.GRU, nn.LSTM and nn.Linear inside a module round as the exported file will; return the module.

    The layers stay the objects they are, with their parameters, so that optimizers and state_dicts go on to fit.
    ``weights``: a format for all, or path of a layer -> format, where the others stay floats.  ``skip``: paths of
    layers, or of modules with layers inside, that stay floats.  Raises `GruletError` for formats and paths that do not
    exist, and `UnsupportedGraph` for layers that cannot be followed; then nothing has changed.
    """
    kinds = tuple(_ROUNDED)
    layers: dict[str, nn.Module] = {path: part for path, part in module.named_modules() if isinstance(part, kinds)}
    skipped = {path for name in skip for path in _inside(name, module, layers)}
    if not isinstance(weights, str):
        for name in weights:
            if name not in layers:
                raise GruletError(f"weights: no GRU, LSTM or Linear is called {name!r}; there are {_listed(layers)}")
        skipped |= set(layers) - set(weights)
    chosen = {path: part for path, part in layers.items() if path not in skipped}
    if not chosen:
        why = f"the layers {_listed(layers)} are all skipped" if layers else "the module has no GRU, LSTM or Linear"
        raise GruletError(f"nothing to prepare: {why}")
    made = {path: _rounded_kind(path, part) for path, part in chosen.items()}
    for path in chosen:
        check_formats(weights if isinstance(weights, str) else weights[path], activations)
    for path, part in chosen.items():
        part.__class__ = made[path]
        assert isinstance(part, RoundedLayer)
        part.round_as(weights if isinstance(weights, str) else weights[path], activations)
    return module


def refit(module: nn.Module) -> None:
    """Fit the grids of all prepared layers inside a module anew to the weights as they are now."""
    for part in module.modules():
        if isinstance(part, RoundedLayer):
            part.refit()


def _inside(name: str, module: nn.Module, layers: Mapping[str, nn.Module]) -> list[str]:
    """The paths of the layers that a path to skip names."""
    paths = [path for path in layers if path == name or path.startswith(f"{name}.")]
    if not paths:
        raise GruletError(f"skip: no GRU, LSTM or Linear is called {name!r}, or inside it; there are {_listed(layers)}")
    return paths


def _rounded_kind(path: str, part: nn.Module) -> type[RoundedLayer]:
    """The class that a layer takes on."""
    if isinstance(part, RoundedLayer):
        return type(part)
    kind = type(part)
    if kind not in _ROUNDED:
        raise UnsupportedGraph(
            path,
            kind.__name__,
            "it is a class of its own, whose forward may differ from torch's",
            "use torch's own layer, remove its parametrizations, or name it in skip",
        )
    if getattr(part, "proj_size", 0):
        raise UnsupportedGraph(path, kind.__name__, "it projects its state (proj_size)", "train it without proj_size")
    return _ROUNDED[kind]


def _listed(layers: Iterable[str]) -> str:
    return ", ".join(repr(path) for path in layers) or "none"
