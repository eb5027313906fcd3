"""What a task is: trained networks, a test, and training data that never meet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import grulet

if TYPE_CHECKING:
    from torch import nn

Frames = NDArray[np.float32]


@dataclass(frozen=True)
class Measure:
    """What a task's quality is called, its unit, and how much of it int8 and trained int4 may lose."""

    name: str
    unit: str
    more_is_better: bool
    int8_limit: float
    int4_limit: float
    digits: int = 2

    def loss(self, quality: float, reference: float) -> float:
        """How much worse a quality is than a reference, in the unit; negative where it is better."""
        return reference - quality if self.more_is_better else quality - reference


@dataclass(frozen=True)
class Score:
    """How good a network is on the test set."""

    quality: float  # in the unit of the task's measure
    details: dict[str, Any]  # counts and other figures, as JSON


class Task(ABC):
    """A task's networks by name (most have one), each with its own frames."""

    title: str
    about: str  # the network, the test, the calibration
    measure: Measure
    networks: tuple[str, ...]  # their names
    decides: str  # the network whose step is the step of the task

    @abstractmethod
    def modules(self) -> dict[str, nn.Module]:
        """The trained networks as torch modules, ready for inference; new ones at every call."""

    @abstractmethod
    def score(self, models: Mapping[str, grulet.Model]) -> Score:
        """Their quality on the test set."""

    @abstractmethod
    def calibration(self) -> dict[str, Sequence[Frames]]:
        """For each network recordings (T, in) that no test contains."""

    @abstractmethod
    def fine_tune(self, modules: Mapping[str, nn.Module], seed: int) -> None:
        """Train modules that `grulet_export.qat.prepare` has made round, on training data, in place."""
