"""A copy of a module with some of its parts replaced."""

from __future__ import annotations

import copy
from collections.abc import Callable

from torch import nn

#: (path of a part, part) -> what takes its place; None: it stays.
Replace = Callable[[str, nn.Module], nn.Module | None]


def with_parts(module: nn.Module, replace: Replace) -> nn.Module:
    """Return a copy; a part that stands in several places is replaced by one that stands in all of them."""
    return _replaced(copy.deepcopy(module), "", replace, {})


def _replaced(part: nn.Module, path: str, replace: Replace, made: dict[int, nn.Module]) -> nn.Module:
    if id(part) not in made:
        other = replace(path, part)
        made[id(part)] = part if other is None else other
        if other is None:
            for name, child in list(part.named_children()):
                setattr(part, name, _replaced(child, f"{path}.{name}".lstrip("."), replace, made))
    return made[id(part)]
