"""grulet: run GRU networks on a device, frame by frame, with the same bits on every CPU.

    model = grulet.load("net.grulet")
    stream = model.stream()
    y = stream.step(x)          # one frame (in,) -> (out,), float32
    Y = stream.run(X)           # many      (T, in) -> (T, out); any split, same bits

Needs numpy and cffi.  Making `.grulet` files from torch or ONNX models is `grulet_export`'s work.
"""

from grulet.errors import FormatError, FrameError, GruletError, IsaError, StateError
from grulet.kernel import isa, isas, use_isa, version
from grulet.model import Model, OperatorInfo, Port, load
from grulet.stream import Stream

__version__ = version()

__all__ = [
    "FormatError",
    "FrameError",
    "GruletError",
    "IsaError",
    "Model",
    "OperatorInfo",
    "Port",
    "StateError",
    "Stream",
    "__version__",
    "isa",
    "isas",
    "load",
    "use_isa",
]
