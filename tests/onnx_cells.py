"""A complete numpy reference of the ONNX operators GRU, LSTM and RNN, with every attribute and every input.

The reference that comes with the `onnx` package leaves out sequence_lens, activations, clip and, for the LSTM,
input_forget. Where the text of the standard leaves a choice, this follows onnxruntime: alphas and betas go, in order,
to the functions that take one, and clip limits the sums of the gates, but not the cell state on its way into the LSTM's
last function. Affine, ScaledTanh and ThresholdedRelu need their numbers given: without, onnxruntime takes 0, which no
text says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Function = Callable[[Floats], Floats]

#: Gates, number of functions, whether there is a cell state.
CELLS = {"GRU": (3, 2, False), "LSTM": (4, 3, True), "RNN": (1, 1, False)}

NEEDED = float("nan")

#: Functions of x, alpha and beta, and the defaults of those they take.
ACTIVATIONS: dict[str, tuple[Callable[[Floats, float, float], Floats], dict[str, float]]] = {
    "Affine": (lambda x, a, b: a * x + b, {"alpha": NEEDED, "beta": NEEDED}),
    "Elu": (lambda x, a, b: np.where(x < 0, a * np.expm1(np.minimum(x, 0)), x), {"alpha": 1.0}),
    "HardSigmoid": (lambda x, a, b: np.clip(a * x + b, 0, 1), {"alpha": 0.2, "beta": 0.5}),
    "LeakyRelu": (lambda x, a, b: np.where(x < 0, a * x, x), {"alpha": 0.01}),
    "Relu": (lambda x, a, b: np.maximum(x, 0), {}),
    "ScaledTanh": (lambda x, a, b: a * np.tanh(b * x), {"alpha": NEEDED, "beta": NEEDED}),
    "Sigmoid": (lambda x, a, b: 1 / (1 + np.exp(-x)), {}),
    "Softplus": (lambda x, a, b: np.logaddexp(x, 0), {}),
    "Softsign": (lambda x, a, b: x / (1 + np.abs(x)), {}),
    "Tanh": (lambda x, a, b: np.tanh(x), {}),
    "ThresholdedRelu": (lambda x, a, b: np.where(x > a, x, 0), {"alpha": NEEDED}),
}
DEFAULTS = {"GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"], "RNN": ["Tanh"]}


def functions_of(operator: str, attributes: Mapping[str, Any], directions: int) -> list[list[Function]]:
    """Return the functions of every direction, clip included."""
    names = attributes.get("activations") or DEFAULTS[operator] * directions
    left = {key: list(attributes.get(f"activation_{key}", [])) for key in ("alpha", "beta")}
    clip = attributes.get("clip")

    def function(name: str, clip: float | None) -> Function:
        of_all, defaults = ACTIVATIONS[name]
        numbers = {key: float(np.float32(left[key].pop(0) if left[key] else x)) for key, x in defaults.items()}
        alpha, beta = numbers.get("alpha", 0.0), numbers.get("beta", 0.0)
        if clip is None:
            return lambda x: of_all(x, alpha, beta)
        return lambda x: of_all(np.clip(x, -clip, clip), alpha, beta)

    count = CELLS[operator][1]
    # The last of the LSTM's three functions reads the cell state.
    every = [function(name, None if place % count == 2 else clip) for place, name in enumerate(names)]
    return [every[start : start + count] for start in range(0, count * directions, count)]


def gru_step(
    x: Floats, h: Floats, weights: dict[str, Floats], f: Sequence[Function], options: Mapping[str, Any]
) -> Floats:
    """Return the next state; x is (inputs,), h is (units,)."""
    wz, wr, wh = np.split(weights["W"] @ x, 3)
    rz, rr, rh = np.split(weights["R"], 3)
    wbz, wbr, wbh, rbz, rbr, rbh = np.split(weights["B"], 6)
    z = f[0](wz + rz @ h + wbz + rbz)
    r = f[0](wr + rr @ h + wbr + rbr)
    product = r * (rh @ h + rbh) if options.get("linear_before_reset") else rh @ (r * h) + rbh
    return (1 - z) * f[1](wh + product + wbh) + z * h


def lstm_step(
    x: Floats, h: Floats, c: Floats, weights: dict[str, Floats], f: Sequence[Function], options: Mapping[str, Any]
) -> tuple[Floats, Floats]:
    """Return the next states h and c."""
    bias, recurrent_bias = np.split(weights["B"], 2)
    i, o, forget, new = np.split(weights["W"] @ x + weights["R"] @ h + bias + recurrent_bias, 4)
    pi, po, pf = np.split(weights["P"], 3)
    i = f[0](i + pi * c)
    forget = 1 - i if options.get("input_forget") else f[0](forget + pf * c)
    c = forget * c + i * f[1](new)
    return f[0](o + po * c) * f[2](c), c


def rnn_step(x: Floats, h: Floats, weights: dict[str, Floats], f: Sequence[Function]) -> Floats:
    """Return the next state."""
    bias, recurrent_bias = np.split(weights["B"], 2)
    return f[0](weights["W"] @ x + weights["R"] @ h + bias + recurrent_bias)


def run_cell(
    operator: str, attributes: Mapping[str, Any], inputs: Mapping[str, NDArray[Any]]
) -> tuple[Floats, Floats, Floats]:
    """Return Y, Y_h and Y_c (zeros where there is none) in the shapes that ``layout`` asks for.

    ``inputs``: X, W, R and, if given, B, sequence_lens, initial_h, initial_c, P.
    """
    batch_first = bool(attributes.get("layout", 0))
    frames = np.asarray(inputs["X"], np.float64)
    frames = frames.swapaxes(0, 1) if batch_first else frames
    time, batch, _ = frames.shape
    directions, _, units = inputs["R"].shape
    gates, _, _ = CELLS[operator]
    lengths = inputs.get("sequence_lens", np.full(batch, time))
    direction = attributes.get("direction", "forward")
    functions = functions_of(operator, attributes, directions)
    y = np.zeros((time, directions, batch, units))
    final = {state: np.zeros((directions, batch, units)) for state in "hc"}
    for d in range(directions):
        zeros = {"B": np.zeros(2 * gates * units), "P": np.zeros(3 * units)}
        weights = {
            name: np.asarray(inputs[name][d], np.float64) if name in inputs else zeros[name]
            for name in ("W", "R", "B", "P")
        }
        for b in range(batch):
            state = {}
            for name in "hc":
                initial = np.asarray(inputs.get(f"initial_{name}", np.zeros((directions, batch, units))), np.float64)
                state[name] = (initial.swapaxes(0, 1) if batch_first and f"initial_{name}" in inputs else initial)[d, b]
            order = list(range(lengths[b]))
            for t in order[::-1] if direction == "reverse" or d == 1 else order:
                x = frames[t, b]
                if operator == "LSTM":
                    state["h"], state["c"] = lstm_step(x, state["h"], state["c"], weights, functions[d], attributes)
                elif operator == "GRU":
                    state["h"] = gru_step(x, state["h"], weights, functions[d], attributes)
                else:
                    state["h"] = rnn_step(x, state["h"], weights, functions[d])
                y[t, d, b] = state["h"]
            final["h"][d, b], final["c"][d, b] = state["h"], state["c"]
    if batch_first:
        return y.transpose(2, 0, 1, 3), final["h"].swapaxes(0, 1), final["c"].swapaxes(0, 1)
    return y, final["h"], final["c"]
