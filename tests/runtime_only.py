"""What must work in a virtual environment that has numpy and cffi alone: run by CI, not by pytest.

python tests/runtime_only.py MODEL.grulet
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np

import grulet
from grulet.reference import Reference


def main(path: str) -> None:
    """Load, run on every kernel, compare with the oracle; then the command line."""
    for name in ("torch", "onnx", "onnxruntime", "tqdm", "matplotlib"):
        assert importlib.util.find_spec(name) is None, f"{name} is installed: this test shows nothing"
    model = grulet.load(path)
    frames = np.random.default_rng(0).standard_normal((50, model.input_width), np.float32)
    expected = Reference(Path(path).read_bytes()).run(frames)
    for isa in grulet.isas():
        grulet.use_isa(isa)
        assert model.stream().run(frames).tobytes() == expected.tobytes(), isa
    for arguments in (["inspect", path], ["bench", path, "--steps", "200"]):
        subprocess.run([sys.executable, "-m", "grulet", *arguments], check=True, stdout=subprocess.DEVNULL)
    refused = subprocess.run(
        [sys.executable, "-m", "grulet", "convert", "x.onnx", "-o", "x.grulet"], capture_output=True, text=True
    )
    assert refused.returncode == 2, refused
    assert "pip install 'grulet[export]'" in refused.stderr, refused.stderr
    print(f"numpy and cffi alone: {', '.join(grulet.isas())} give the oracle's bits on {path}")


if __name__ == "__main__":
    main(sys.argv[1])
