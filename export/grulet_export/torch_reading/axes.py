"""Which axes of an example may have another size, found by trying: run the module with one frame or one voice more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

import torch
from torch import Tensor, nn

from grulet_export.errors import Refusal
from grulet_export.torch_reading.graph import as_found

#: So many ways to link an axis with axes of other inputs are tried.
_MOST_TRIES = 64

#: Axes that change together, at most one of each input: (number of the input, number of the axis).
Group = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Run:
    """What a module returned, and how often it called each of its parts."""

    returned: Any
    calls: Counter[str]


def run_once(module: nn.Module, inputs: Sequence[Tensor]) -> Run:
    """Run the module, in evaluation mode; raises whatever its forward raises."""
    calls: Counter[str] = Counter()
    with as_found(module), torch.no_grad(), ExitStack() as stack:
        for name, part in module.named_modules():
            stack.callback(part.register_forward_pre_hook(_count(calls, name)).remove)
        return Run(module(*(tensor.clone() for tensor in inputs)), calls)


def _count(calls: Counter[str], name: str) -> Callable[[nn.Module, Any], None]:
    def count(part: nn.Module, inputs: Any) -> None:
        calls[name] += 1

    return count


def free_axes(module: nn.Module, example: Sequence[Tensor]) -> tuple[Group, ...]:
    """Return the axes with which the module also runs when they are one longer.

    Axes of equal size in several inputs that must change together form one group.  Of a float input whose axes are all
    free, the last is not: it holds the features.  Raises `Refusal` for a module that loops over such an axis by itself.
    """
    usual = run_once(module, example).calls
    groups: list[Group] = []
    taken: set[tuple[int, int]] = set()
    for number, tensor in enumerate(example):
        for axis in range(tensor.ndim):
            if (number, axis) in taken:
                continue
            for group in islice(_links(example, number, axis, taken), _MOST_TRIES):
                calls = _calls_with(module, example, group)
                if calls is not None:
                    _refuse_loop(usual, calls)
                    groups.append(group)
                    taken.update(group)
                    break
    return tuple(group for group in groups if not any(_is_last(axis, example, taken) for axis in group))


def first_only(example: Sequence[Tensor], groups: Sequence[Group]) -> tuple[Tensor, ...]:
    """Return the example with every free axis cut down to its first element: one frame of one voice."""
    cut = list(example)
    for number, axis in (member for group in groups for member in group):
        cut[number] = cut[number].narrow(axis, 0, 1)
    return tuple(cut)


def _links(example: Sequence[Tensor], number: int, axis: int, taken: set[tuple[int, int]]) -> Iterator[Group]:
    """Yield the groups that an axis may belong to, the smallest first."""
    size = example[number].shape[axis]
    others = []
    for other, tensor in enumerate(example):
        if other != number:
            same = [(other, at) for at in range(tensor.ndim) if tensor.shape[at] == size and (other, at) not in taken]
            others.append([None, *same])
    chosen = ([member for member in choice if member is not None] for choice in product(*others))
    yield from (((number, axis), *members) for members in sorted(chosen, key=len))


def _calls_with(module: nn.Module, example: Sequence[Tensor], group: Group) -> Counter[str] | None:
    """Return the calls of a run with these axes one longer; None if the module cannot."""
    longer = list(example)
    for number, axis in group:
        tensor = longer[number]
        longer[number] = torch.cat([tensor, tensor.narrow(axis, 0, 1)], axis)
    try:
        return run_once(module, longer).calls
    except Exception:  # a forward may raise anything for a size that it does not take, which is what we ask here
        return None


def _refuse_loop(usual: Counter[str], calls: Counter[str]) -> None:
    for name in calls:
        if calls[name] != usual[name]:
            raise Refusal(
                f"it calls '{name}' once for every frame in a loop of its own, which torch's exporter would unroll",
                "use nn.GRU, nn.LSTM or nn.RNN for the loop, or give a module of one step: forward(x, h) -> (y, h)",
            )


def _is_last(member: tuple[int, int], example: Sequence[Tensor], taken: set[tuple[int, int]]) -> bool:
    """Whether an axis is the last of a float input whose axes all seem free."""
    number, axis = member
    tensor = example[number]
    all_free = all((number, at) in taken for at in range(tensor.ndim))
    return all_free and tensor.is_floating_point() and axis == tensor.ndim - 1
