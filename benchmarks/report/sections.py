"""Which section of the page tells which benchmark, in the page's order."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.common import Document
from benchmarks.report import c_level, floors, footprint, latency, many

Results = dict[str, Document]
Section = Callable[[Results], str]


def named_reason(name: str, section: Section) -> Section:
    """The same, but a benchmark that could not be run says why."""

    def told(results: Results) -> str:
        reason = results[name].get("absent")
        return section(results) if reason is None else f"## {name.capitalize()}\n\nNot measured: {reason}."

    return told


SECTIONS: dict[str, Section] = {
    name: named_reason(name, section)
    for name, section in {
        "latency": latency.section,
        "calls": c_level.calls_section,
        "cells": c_level.cells_section,
        "limits": c_level.limits_section,
        "floors": floors.section,
        "isa": c_level.isa_section,
        "streams": many.streams_section,
        "sequence": many.sequence_section,
        "instructions": c_level.instructions_section,
        "coldstart": footprint.coldstart_section,
        "size": footprint.size_section,
    }.items()
}
