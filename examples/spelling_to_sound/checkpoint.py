"""The trained weights: out of the PyPI package g2p-en, whose own code is not needed."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from examples.pypi_file import PypiFile
from numpy.typing import NDArray

CHECKPOINT = Path(__file__).with_name("checkpoint20.npz")  # 3.3 MB, not in the repository: `fetch` puts it there
FILE = PypiFile(
    "g2p-en==2.1.0",
    "g2p_en/checkpoint20.npz",
    "b8af35e4596d8dd5836dfd3fe9b2ba4f97b9c311efe8879544cbcfcbd566d8c6",
    "3.1 MB",
)


def fetch() -> Path:
    """The checkpoint's path; it is downloaded if it is not there yet."""
    return FILE.fetch(CHECKPOINT)


def checked(data: bytes) -> bytes:
    """The same bytes; `GruletError` if they are not the checkpoint that the numbers here belong to."""
    return FILE.checked(data, CHECKPOINT)


def weights() -> Mapping[str, NDArray[np.float32]]:
    """The arrays by name: ``enc_emb`` (29, 256), ``enc_w_ih`` (768, 256), ..., ``fc_w`` (74, 256), ``fc_b`` (74,)."""
    with np.load(io.BytesIO(checked(fetch().read_bytes()))) as arrays:
        return dict(arrays)
