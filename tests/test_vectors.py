"""Golden vectors: committed files, the oracle and every kernel say the same."""

import zlib

import numpy as np
import pytest
from programs import KERNELS, Floats, assert_same_bits
from vectors.make_vectors import FOLDER, VECTORS, vector_files

import grulet


def _read(name: str, kind: str, width: int) -> Floats:
    return np.fromfile(FOLDER / f"{name}.{kind}.f32", "<f4").astype(np.float32).reshape(-1, width)


def test_committed_files_are_made_by_the_script() -> None:
    """Bytes of files, inputs and the oracle's outputs: a difference is a change of format or numerics."""
    files = vector_files()
    committed = {path.name for pattern in ("*.grulet", "*.f32", "*.txt") for path in FOLDER.glob(pattern)}
    assert committed == set(files)
    for name, data in files.items():
        assert (FOLDER / name).read_bytes() == data, name


@pytest.mark.parametrize("isa", KERNELS)
@pytest.mark.parametrize("name", VECTORS)
def test_vector(name: str, isa: str) -> None:
    """Every kernel gives the committed outputs, as steps and as a run."""
    if isa not in grulet.isas():
        pytest.skip(f"this CPU or this build has no {isa}")
    grulet.use_isa(isa)
    model = grulet.load(FOLDER / f"{name}.grulet")
    frames, expected = _read(name, "input", model.input_width), _read(name, "output", model.output_width)
    assert_same_bits(model.stream(block=5).run_vector(frames), expected)
    stream = model.stream(block=1)
    for t, frame in enumerate([] if model.needs_sequence else frames):
        stream.input[:] = frame
        stream.tick()
        assert_same_bits(stream.output, expected[t], t)


def test_index() -> None:
    """index.txt is what the C self-test goes by: names, frames, CRC-32 of the outputs."""
    lines = [line.split() for line in (FOLDER / "index.txt").read_text().splitlines()]
    assert [line[0] for line in lines] == list(VECTORS)
    for name, frames, crc in lines:
        outputs = (FOLDER / f"{name}.output.f32").read_bytes()
        assert int(crc, 16) == zlib.crc32(outputs)
        width = grulet.load(FOLDER / f"{name}.grulet").output_width
        assert len(outputs) == int(frames) * width * 4


def test_outputs_are_worth_comparing() -> None:
    """No vector is a row of constants: its outputs vary over frames and elements."""
    for name in VECTORS:
        width = grulet.load(FOLDER / f"{name}.grulet").output_width
        outputs = _read(name, "output", width)
        assert len(np.unique(outputs)) > outputs.size // 3, name
