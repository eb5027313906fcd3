"""Fine-tuning of rounded modules: the same loop for every task; a task gives the loss of its next batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from grulet.progress import progress

if TYPE_CHECKING:
    from torch import Tensor, nn

LARGEST_GRADIENT = 1.0


def fine_tune(
    module: nn.Module, loss: Callable[[], Tensor], steps: int, learning_rate: float, seed: int, title: str
) -> None:
    """Adam at a rate that falls to nothing along a cosine; the module is ready for inference afterwards."""
    import torch

    torch.manual_seed(seed)
    module.train()
    optimizer = torch.optim.Adam(module.parameters(), learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    with progress(f"training: {title}", steps, "steps") as done:
        for step in range(1, steps + 1):
            optimizer.zero_grad()
            loss().backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(module.parameters(), LARGEST_GRADIENT)
            optimizer.step()
            schedule.step()
            done(step)
    module.eval()
