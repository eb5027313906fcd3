"""grulet: run GRU networks on a device, frame by frame, with the same bits on every CPU.

    model = grulet.load("net.grulet")
    stream = model.stream()
    y = stream.step(x)          # one frame (in,) -> (out,), float32
    Y = stream.run(X)           # many      (T, in) -> (T, out); any split, same bits
    Y = model.pool(n).step(X)   # one frame of each of n voices (n, in) -> (n, out), over one read of the weights

Needs numpy and cffi.  Making `.grulet` files from torch or ONNX models is `grulet_export`'s work.
"""

from typing import TYPE_CHECKING, Any

from grulet.errors import FormatError, FrameError, GruletError, IsaError, SequenceError, StateError
from grulet.kernel import isa, isas, use_isa, version
from grulet.model import Model, load
from grulet.pool import Pool
from grulet.stream import Stream

if TYPE_CHECKING:
    from grulet.parts import OperatorInfo, Port

__version__ = version()

__all__ = [
    "FormatError",
    "FrameError",
    "GruletError",
    "IsaError",
    "Model",
    "OperatorInfo",
    "Pool",
    "Port",
    "SequenceError",
    "StateError",
    "Stream",
    "__version__",
    "isa",
    "isas",
    "load",
    "use_isa",
]


def __getattr__(name: str) -> Any:
    """`OperatorInfo` and `Port`: a third of the time of the import, and running a model does not need them."""
    if name in ("OperatorInfo", "Port"):
        from grulet import parts

        return getattr(parts, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
