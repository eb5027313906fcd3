"""Find the torch module that `grulet export package.module:factory` names."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import torch
from torch import nn

from grulet.errors import GruletError


def load_module(factory: str, checkpoint: str | None = None) -> nn.Module:
    """Import ``package.module``, call ``factory()`` and load ``checkpoint``, a state_dict, into what it gives.

    The current folder is searched first, as by ``python -m``.  Raises `GruletError` with what went wrong.
    """
    package, separator, name = factory.partition(":")
    if not separator or not package or not name:
        raise GruletError(f"{factory!r}: PACKAGE.MODULE:FACTORY was expected, such as examples.model:Net")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        make = getattr(import_module(package), name)
    except ModuleNotFoundError as error:
        raise GruletError(f"{package}: no such Python module (missing: {error.name})") from error
    except AttributeError as error:
        raise GruletError(f"{package} has no {name!r}") from error
    try:
        module = make()
    except TypeError as error:
        raise GruletError(f"{factory} cannot be called without arguments: {error}") from error
    if not isinstance(module, nn.Module):
        raise GruletError(f"{factory} gave a {type(module).__name__}, not a torch.nn.Module")
    if checkpoint is not None:
        _load_checkpoint(module, checkpoint)
    return module.eval()


def _load_checkpoint(module: nn.Module, path: str) -> None:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise GruletError(f"{path}: no such file") from error
    except Exception as error:  # torch raises pickle, zip, runtime and key errors for files that are no checkpoints
        raise GruletError(f"{path}: not a checkpoint that torch can load safely (weights_only=True)") from error
    if not isinstance(state, dict):
        raise GruletError(f"{path}: a state_dict was expected, not a {type(state).__name__}")
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        problem = " ".join(str(error).split())
        raise GruletError(f"{path}: does not fit {type(module).__name__}: {problem}") from error
