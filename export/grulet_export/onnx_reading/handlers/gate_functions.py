"""The functions that ONNX lets a GRU, LSTM or RNN use in its gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from grulet_export.errors import Refusal
from grulet_export.onnx_reading.file import EXPORT_AGAIN, finite

#: The defaults of alpha and beta by name in small letters; a function without one of them does not take it. None: the
#: standard gives none (or another one than onnxruntime), so the file must.
DEFAULTS: dict[str, dict[str, float | None]] = {
    "affine": {"alpha": None, "beta": None},
    "elu": {"alpha": 1.0},
    "hardsigmoid": {"alpha": 0.2, "beta": 0.5},
    "leakyrelu": {"alpha": 0.01},
    "relu": {},
    "scaledtanh": {"alpha": None, "beta": None},
    "sigmoid": {},
    "softplus": {},
    "softsign": {},
    "tanh": {},
    "thresholdedrelu": {"alpha": None},
}


@dataclass(frozen=True)
class GateFunction:
    """One function with its numbers (0 where it takes none)."""

    name: str
    alpha: float = 0.0
    beta: float = 0.0

    @property
    def is_share(self) -> bool:
        """Return whether its values lie within 0 and 1."""
        return self.name in ("sigmoid", "hardsigmoid")

    @property
    def is_bounded(self) -> bool:
        """Return whether its values lie within -1 and 1."""
        return self.is_share or self.name in ("tanh", "softsign")


def gate_functions(
    attributes: Mapping[str, Any], defaults: Sequence[str], directions: int
) -> list[tuple[GateFunction, ...]]:
    """Return the functions of every direction; alphas and betas go to those that take one, in order."""
    names = [name.lower() for name in attributes.get("activations", [*defaults] * directions)]
    if len(names) != len(defaults) * directions:
        raise Refusal(f"it has {len(names)} activations where {len(defaults) * directions} are needed", EXPORT_AGAIN)
    left = {key: list(attributes.get(f"activation_{key}", [])) for key in ("alpha", "beta")}
    functions = []
    for name in names:
        if name not in DEFAULTS:
            raise Refusal(f"its activation '{name}' is none of ONNX", f"use one of {', '.join(DEFAULTS)}")
        numbers: dict[str, float] = {}
        for key, default in DEFAULTS[name].items():
            number = left[key].pop(0) if left[key] else default
            if number is None:
                raise Refusal(
                    f"its activation '{name}' has no {key}, which runtimes take differently", f"give activation_{key}"
                )
            numbers[key] = float(finite(np.asarray(number, np.float32), f"its activation_{key}"))
        functions.append(GateFunction(name, **numbers))
    return [tuple(functions[start : start + len(defaults)]) for start in range(0, len(functions), len(defaults))]
