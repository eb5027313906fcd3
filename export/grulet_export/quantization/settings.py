"""What a user asks for: formats, roundings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from grulet.errors import GruletError
from grulet_export.graph import Dense, Embedding, Graph, Gru, Lstm, Rnn
from grulet_export.quantization.grids import ACTIVATIONS, INTEGERS, ROUNDINGS, WEIGHTS
from grulet_export.quantization.node import TrainedNode, Weighted

#: In a mapping of formats: every operator that is not named.
OTHERS = "*"


@dataclass(frozen=True)
class Settings:
    """How to quantize a graph.

    ``weights``: a format for every operator, or operator name -> format, "*" for those that are not named (default:
    int8).  ``rounding``: "plain", "fitted" or "compensated"; None: the best that is possible.  ``trained``: operator
    name -> what its training has settled, which is taken as it is.
    """

    weights: str | Mapping[str, str] = "int8"
    activations: str = "int16"
    rounding: str | None = None
    trained: Mapping[str, TrainedNode] = field(default_factory=dict)

    def __post_init__(self) -> None:
        formats = [self.weights] if isinstance(self.weights, str) else self.weights.values()
        for weights in formats:
            check_choice("weights", weights, WEIGHTS)
        check_choice("activations", self.activations, ACTIVATIONS)
        if self.rounding is not None:
            check_choice("rounding", self.rounding, ROUNDINGS)

    def weights_of(self, node: Weighted) -> str:
        """Return the format of a node's weights."""
        if node.name in self.trained:
            return self.trained[node.name].weights
        if isinstance(node, Dense) and node.exact:
            return "f32"
        if isinstance(self.weights, str):
            return self.weights
        return self.weights.get(node.name, self.weights.get(OTHERS, "int8"))

    def compensates(self, node: Weighted) -> bool:
        """Whether a node is to be rounded by what it sees, if there is a calibration."""
        untouched = node.name in self.trained or isinstance(node, Embedding)  # a table has no inputs to speak of
        return self.rounding in (None, "compensated") and self.weights_of(node) in INTEGERS and not untouched

    def check(self, graph: Graph) -> None:
        """Raise `GruletError` if an operator is named that the graph does not have."""
        known = [node.name for node in weighted(graph)]
        named = [] if isinstance(self.weights, str) else [name for name in self.weights if name != OTHERS]
        for name in [*named, *self.trained]:
            if name not in known:
                raise GruletError(f"weights: no operator with weights is called {name!r}; there are {_listed(known)}")


def weighted(graph: Graph) -> list[Weighted]:
    """The nodes that have weights, in the graph's order."""
    return [node for node in graph.nodes if isinstance(node, Gru | Lstm | Rnn | Dense | Embedding)]


def check_request(
    weights: str | Mapping[str, str] | None,
    calibrated: bool,
    rounding: str | None,
    mix: bool,
    max_bytes: int | None,
    max_loss: float | None,
) -> None:
    """Raise `GruletError` for options that do not go together, before any work is done."""
    if rounding == "compensated" and not calibrated:
        raise GruletError("rounding 'compensated' needs frames to compensate on: give a calibration")
    if not mix and (max_bytes is not None or max_loss is not None):
        raise GruletError("max_bytes and max_loss go with mix")
    if mix and weights is not None:
        raise GruletError("mix chooses every operator's format: leave out weights")
    if mix and (max_bytes is None) == (max_loss is None):
        raise GruletError("mix needs either max_bytes, the most bytes of the file, or max_loss, such as 0.01")
    if max_bytes is not None and max_bytes < 1:
        raise GruletError(f"max_bytes must be at least 1, not {max_bytes}")
    if max_loss is not None and not 0 <= max_loss < math.inf:
        raise GruletError(f"max_loss must be a share of the output's RMS such as 0.01, not {max_loss}")


def check_formats_of_training(
    trained: Mapping[str, TrainedNode], weights: str | Mapping[str, str] | None, activations: str | None
) -> None:
    """Raise `GruletError` if formats are asked for that are not those in which operators were trained."""
    for name, node in trained.items():
        asked = weights.get(name) if isinstance(weights, Mapping) else weights
        rounds = node.activations in ACTIVATIONS
        formats = f"{node.weights} weights and {node.activations} activations" if rounds else f"{node.weights} weights"
        if asked not in (None, node.weights) or (rounds and activations not in (None, node.activations)):
            raise GruletError(
                f"operator '{name}' was trained with {formats}: leave out the options weights and activations, or "
                "prepare the module with others and train it"
            )


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise `GruletError` if ``value`` is none of the choices."""
    if value not in choices:
        raise GruletError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def _listed(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names) or "none"
