"""How a file wants to be run: where its axes of time and batch lie, and what it needs besides frames."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from grulet_export.graph import Graph
from grulet_export.onnx_reading.axes import Axes


@dataclass(frozen=True)
class StateInput:
    """An input that holds the state before the first frame; ``output`` holds it behind the last, "" if none does."""

    shape: tuple[int, ...]  # for one stream
    output: str


@dataclass(frozen=True)
class Layout:
    """The axes of every input and output of frames: sizes of features, or the roles "time" and "batch".

    ``sizes``: the fixed number of frames or streams, by role, where the file fixes one.  ``sequence``: the file takes
    whole sequences; otherwise one frame at a time, and ``carries`` says whether its states are inputs and outputs.
    ``last``: outputs that it gives for the last frame only.
    """

    inputs: dict[str, Axes]
    outputs: dict[str, Axes]
    sizes: dict[str, int]
    sequence: bool
    carries: bool = True
    last: frozenset[str] = frozenset()
    states: dict[str, StateInput] = field(default_factory=dict)
    sequence_lens: tuple[str, ...] = ()
    constants: dict[str, NDArray[np.generic]] = field(default_factory=dict)


@dataclass(frozen=True)
class Imported:
    """An ONNX file as a graph, how to run the file itself, and short sentences on what the conversion decided."""

    graph: Graph
    layout: Layout
    notes: tuple[str, ...]
