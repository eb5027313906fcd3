"""Where we stand: our time of one frame against the best rival with such weights, and against what was wanted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.common import Document

#: How many times as fast as the best rival a step should be, by units; between, the smaller entry counts.
TARGETS = {1: 4.0, 128: 2.0, 256: 1.5, 512: 1.25, 1024: 1.0}


def target_of(size: int) -> float:
    """The factor wanted at this size."""
    return TARGETS[max(least for least in TARGETS if least <= size)]


@dataclass(frozen=True)
class Comparison:
    """One size and format; microseconds."""

    size: int
    form: str
    weights: str
    floor: float
    tick: float
    step: float
    rival: str | None
    rival_time: float | None

    @property
    def ahead(self) -> float | None:
        """The best rival's time over ours."""
        return None if self.rival_time is None else self.rival_time / self.tick

    @property
    def target(self) -> float:
        """The factor wanted."""
        return target_of(self.size)

    @property
    def exception(self) -> str | None:
        """What there is to admit, as a sentence."""
        if self.ahead is None or self.ahead >= self.target:
            return None
        what = f"{self.size} units, {self.form}: {self.tick:.2f} us against {self.rival_time:.2f} us of {self.rival}"
        if self.ahead < 1.0:
            return f"{what}: **slower**, by a factor of {1 / self.ahead:.2f}"
        return f"{what}: ahead by {self.ahead:.2f}, {self.target:g} was wanted"


def contestants_of(results: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Those of one kind: grulet, rival, floor."""
    return {name: facts for name, facts in results["contestants"].items() if facts["kind"] == kind}


#: Whose place a rival may take: where its float32 is faster than its int8, nobody would take its int8.
NO_COARSER = {"f32": ("f32",), "int8": ("int8", "f32"), "int4": ("int4", "int8", "f32")}


def best(contestants: dict[str, dict[str, Any]], weights: str, key: str = "p50") -> tuple[str | None, float | None]:
    """The fastest with these weights or finer ones, and its figure."""
    allowed = {name: facts[key] for name, facts in contestants.items() if facts["weights"] in NO_COARSER[weights]}
    if not allowed:
        return None, None
    name = min(allowed, key=lambda name: float(allowed[name]))
    return name, allowed[name]


def ours_chosen(results: dict[str, Any], key: str, call: str | None = None) -> dict[str, dict[str, Any]]:
    """Of each of our formats the call that is named, or the fastest: by "grulet" and format."""
    ours = contestants_of(results, "grulet").values()
    found: dict[str, dict[str, Any]] = {}
    for form in dict.fromkeys(facts["format"] for facts in ours):
        of_format = [facts for facts in ours if facts["format"] == form and call in (None, facts.get("call"))]
        found[f"grulet {form}"] = min(of_format, key=lambda facts: float(facts[key]))
    return found


def comparisons(latency: Document) -> Iterator[Comparison]:
    """Of every size and format of `benchmarks.latency`."""
    for size, results in latency["results"]["sizes"].items():
        ours = contestants_of(results, "grulet")
        floors = {facts["weights"]: facts["p50"] for facts in contestants_of(results, "floor").values()}
        for facts in ours.values():
            if facts["call"] == "tick":
                step = ours[f"grulet {facts['format']}, step"]["p50"]
                rival, rival_time = best(contestants_of(results, "rival"), facts["weights"])
                yield Comparison(
                    int(size), facts["format"], facts["weights"], floors[facts["weights"]],
                    facts["p50"], step, rival, rival_time,
                )  # fmt: skip


def picture_size(results: dict[str, Any], wanted: int = 256) -> str:
    """The size whose distribution is shown: the one wanted, or the largest below it."""
    sizes = [int(size) for size in results["sizes"]]
    return str(max((size for size in sizes if size <= wanted), default=min(sizes)))
