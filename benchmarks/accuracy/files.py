"""Every network of every task in every format, as files: made once for a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.accuracy.tasks.task import Frames, Task
from benchmarks.accuracy.variants import VARIANTS, Variant
from benchmarks.common import ROOT, AbsentError

if TYPE_CHECKING:
    from torch import nn

#: What training leaves: int4 files of a few hundred kilobytes, so that nobody has to train to evaluate.
TRAINED_FILES = ROOT / "benchmarks" / "accuracy" / "trained"
PROOF_FRAMES = 32  # a short proof: what comes is compared over a whole test set
SEED = 1


def slug(name: str) -> str:
    """A title as a file's name."""
    return name.replace(", ", "-").replace(" ", "-")


def trained_path(task: Task, network: str) -> Path:
    """Where the trained file of a network lies."""
    return TRAINED_FILES / f"{slug(task.title)}.{network}.grulet"


class Files:
    """The files of one task in a folder."""

    def __init__(self, task: Task, folder: Path) -> None:
        self.task = task
        self._folder = folder / slug(task.title)
        self._calibration: Mapping[str, Sequence[Frames]] | None = None

    def paths(self, name: str) -> dict[str, Path]:
        """By network the files of a variant; `AbsentError` says what is missing to make them."""
        variant = VARIANTS[name]
        if variant.is_trained:
            return self._trained()
        folder = self._folder / slug(name)
        networks = list(self.task.networks)
        paths = {network: folder / f"{network}.grulet" for network in networks}
        if not all(path.exists() for path in paths.values()):
            folder.mkdir(parents=True, exist_ok=True)
            for network, module in self.task.modules().items():
                self._export(module, paths[network], network, variant)
        return paths

    def _trained(self) -> dict[str, Path]:
        paths = {network: trained_path(self.task, network) for network in self.task.networks}
        for path in paths.values():
            if not path.exists():
                raise AbsentError(f"{path.name} is not there yet: python -m benchmarks.accuracy --train makes it")
        return paths

    def _export(self, module: nn.Module, path: Path, network: str, variant: Variant) -> None:
        from grulet_export import export

        options = dict(variant.options)
        if variant.is_calibrated:
            options["calibration"] = self._recordings(network)
        if variant.between:
            sizes = [self.paths(name)[network].stat().st_size for name in variant.between]
            options |= {"mix": True, "max_bytes": sum(sizes) // len(sizes)}
        export(module, path, frames=PROOF_FRAMES, **options)

    def _recordings(self, network: str) -> Sequence[Frames]:
        if self._calibration is None:
            self._calibration = self.task.calibration()
        return self._calibration[network]


def train(task: Task) -> None:
    """Quantization-aware training of a task's networks, and their files into the repository."""
    import torch

    from grulet_export import export, qat

    torch.set_num_threads(1)
    modules = task.modules()
    for module in modules.values():
        qat.prepare(module, weights="int4", activations="int16")
    task.fine_tune(modules, SEED)
    TRAINED_FILES.mkdir(exist_ok=True)
    for network, module in modules.items():
        # Embeddings are not trained on; they are rounded.
        export(module, trained_path(task, network), weights={"*": "int4"}, frames=PROOF_FRAMES)
