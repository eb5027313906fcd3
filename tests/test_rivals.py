"""The rivals of a benchmark compute the model that they are measured against, or say that they cannot."""

from __future__ import annotations

import numpy as np
import pytest
from every_node import EVERYWHERE, LOOPS, WHOLE, frames_of, graph_of, program_of

from grulet import format as grulet_format
from grulet.errors import GruletError
from grulet.reference import Reference
from grulet_export.errors import UnsupportedGraph
from grulet_export.graph import FUNCTIONS, Node
from grulet_export.rivals import OnnxRival, TorchRival

STEPPED = EVERYWHERE | LOOPS
IN_TORCH = ["gru", "lstm", "rnn", "dense", *FUNCTIONS, "gru from a state", "lstm from a state", "rnn from a state"]


@pytest.mark.parametrize("nodes", STEPPED.values(), ids=STEPPED)
def test_onnxruntime_steps_every_model(nodes: list[Node]) -> None:
    """Frame by frame, from the model's own initial state."""
    program = program_of(graph_of(nodes))
    frames = frames_of(graph_of(nodes), 9)
    rival = OnnxRival(grulet_format.write(program))
    answers = np.stack([rival.step(frame) for frame in frames])
    np.testing.assert_allclose(answers, Reference(program).run(frames), atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("name", IN_TORCH)
def test_torch_steps_stacks(name: str) -> None:
    """Cells, dense layers and functions."""
    program = program_of(graph_of(STEPPED[name]))
    frames = frames_of(graph_of(STEPPED[name]), 9)
    rival = TorchRival(grulet_format.write(program))
    answers = np.stack([rival.step(frame) for frame in frames])
    np.testing.assert_allclose(answers, Reference(program).run(frames), atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("name", [name for name in STEPPED if name not in IN_TORCH and name != "dense without bias"])
def test_torch_is_not_available_for_the_rest(name: str) -> None:
    """One line that names what it has no layer for."""
    with pytest.raises(GruletError, match=r"torch: not available for this model, which has \w+ .+; it takes stacks"):
        TorchRival(grulet_format.write(program_of(graph_of(STEPPED[name]))))


@pytest.mark.parametrize("name", WHOLE)
def test_no_rival_steps_what_goes_backwards(name: str) -> None:
    """Nor does grulet."""
    data = grulet_format.write(program_of(graph_of(WHOLE[name])))
    with pytest.raises(UnsupportedGraph, match="from the last frame to the first"):
        OnnxRival(data)
    with pytest.raises(GruletError, match="torch: not available for this model"):
        TorchRival(data)
