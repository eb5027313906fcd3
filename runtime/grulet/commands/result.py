"""What a command gives: text for people, a dictionary for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """A plain result: ``text`` is printed, ``data`` is what ``--json`` prints."""

    text: str
    data: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return self.data

    def __str__(self) -> str:
        return self.text
