"""The errors of the export: what we cannot run, and what did not agree."""

from __future__ import annotations

from grulet.errors import GruletError


class UnsupportedGraph(GruletError, ValueError):  # noqa: N818 (the word users meet, not an implementation error)
    """A module or an ONNX graph holds something grulet cannot run; nothing was written.

    ``node`` is the name of the node or module ("" for the file as a whole), ``operator`` its kind, ``reason`` why it
    is refused and ``remedy`` what would work.
    """

    def __init__(self, node: str, operator: str, reason: str, remedy: str):
        # All four go to BaseException, so that the error can be pickled between processes.
        super().__init__(node, operator, reason, remedy)
        self.node = node
        self.operator = operator
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        where = f"{self.operator} '{self.node}'" if self.node else self.operator
        return f"{where}: {self.reason}; {self.remedy}"


class ExportMismatch(GruletError):  # noqa: N818
    """Two implementations of one model gave answers further apart than rounding explains; nothing was written."""


class Refusal(Exception):  # noqa: N818 (control flow inside a front end, never seen by a user)
    """Why an operator is refused, raised where the reason is known.

    The front end that walks the graph knows the node and turns it into `UnsupportedGraph`.
    """

    def __init__(self, reason: str, remedy: str):
        super().__init__(reason, remedy)
        self.reason = reason
        self.remedy = remedy

    def at(self, node: str, operator: str) -> UnsupportedGraph:
        """Return the error a user sees, with the node's name."""
        return UnsupportedGraph(node, operator, self.reason, self.remedy)
