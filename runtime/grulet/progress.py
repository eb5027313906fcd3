"""A progress bar where there is a person to see it and tqdm to draw it; otherwise nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(title: str, total: int, unit: str = "frames") -> Iterator[Callable[[int], None]]:
    """Give a function to call with the number done so far."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield lambda done: None
        return
    with tqdm(total=total, desc=title, unit=f" {unit}", file=sys.stderr, disable=None, leave=False) as bar:
        yield lambda done: bar.update(done - bar.n) and None
