"""Every error grulet raises on purpose has one root, `GruletError`."""


class GruletError(Exception):
    """Root of all errors raised by grulet and grulet_export."""


class FormatError(GruletError, ValueError):
    """The bytes are no `.grulet` file that this version can run: wrong magic, damaged, newer, or not allowed."""


class FrameError(GruletError, ValueError):
    """A frame was refused (shape, dtype, NaN or Inf, a number that is no token); the state has not changed."""


class SequenceError(GruletError, ValueError):
    """The model has layers that run from the last frame to the first: it runs whole sequences and cannot step."""


class StateError(GruletError, ValueError):
    """A saved state was refused (damaged, or of another model); the stream's state has not changed."""


class IsaError(GruletError, ValueError):
    """An instruction set was named that this library or this CPU does not have."""
