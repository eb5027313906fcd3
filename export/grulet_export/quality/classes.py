"""Which outputs are classes, and how often the class stays the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from grulet.operators import Activation, Dense, Program
from grulet_export.graph import Array
from grulet_export.quality.result import Agreement


def why_classes(program: Program) -> dict[int, str]:
    """Outputs (by number) whose largest element is taken for a class, and why.

    Softmax, labels as many as elements in the metadata, or a dense layer of several units with no function behind it:
    the last may also be a prediction of several numbers, where the agreement means little; so the reason is shown.
    """
    makers = {op.output: op for op in program.operators}
    labels = program.text.metadata.get("labels")
    found = {}
    for number, port in enumerate(program.outputs):
        width, maker = program.width(port.value), makers.get(port.value)
        if width < 2:
            continue
        if isinstance(maker, Dense | Activation) and maker.function == "softmax":
            found[number] = "it is a softmax"
        elif isinstance(labels, list) and len(labels) == width:
            found[number] = "the model names a label for every element"
        elif isinstance(maker, Dense) and maker.function == "none":
            found[number] = "it is a dense layer of several units, taken for the scores of classes"
    return found


class ClassCount:
    """Counts, chunk by chunk, in which frames the largest element is the same."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self._same: list[NDArray[np.bool_]] = []
        self._leads: list[NDArray[np.float64]] = []

    def add(self, exact: Array, quantized: Array) -> None:
        """Take outputs (frames, classes) of both models."""
        self._same.append(exact.argmax(axis=1) == quantized.argmax(axis=1))
        second, first = np.partition(exact, -2, axis=1)[:, -2:].T.astype(np.float64)
        self._leads.append(first - second)

    def result(self) -> Agreement:
        """Agreement over all frames."""
        same, leads = np.concatenate(self._same), np.concatenate(self._leads)
        different = leads[~same]
        return Agreement(
            float(same.mean()),
            len(different),
            float(np.median(leads)),
            float(np.median(different)) if len(different) else None,
            self.reason,
        )
