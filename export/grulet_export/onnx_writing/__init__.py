"""`grulet_export.graph.Graph` to ONNX, right by construction.

Each node of the graph becomes the ONNX operators whose meaning is fixed: GRU with ``linear_before_reset=1``, gates in
the order z r h, layout 0, and its state in and out in the open.  The same graph gives the same bytes.

    parts     forms (whole sequences, single frames), states, and the ONNX graph as it grows
    vectors   nodes of one frame
    states    nodes that remember frames
    writing   the whole model
"""

from grulet_export.onnx_writing.parts import BATCH_FIRST, STEP, TIME_FIRST, Form, State
from grulet_export.onnx_writing.writing import write_onnx

__all__ = ["BATCH_FIRST", "STEP", "TIME_FIRST", "Form", "State", "write_onnx"]
