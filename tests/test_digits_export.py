"""The flagship's file: the checkpoint exports to the committed .grulet, and int8 hears what float hears."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import grulet
from grulet import format as grulet_format
from grulet_export import export, verify

EXAMPLE = Path(__file__).parents[1] / "examples" / "spoken_digits"
sys.path.insert(0, str(EXAMPLE))

import clips  # noqa: E402
import evaluate  # noqa: E402
import model  # noqa: E402


def test_checkpoint_exports_to_the_committed_file(tmp_path: Path) -> None:
    """Same program; only the hash of the ONNX bytes may differ, with the version of the onnx package."""
    export(model.load(), tmp_path / "a.grulet", onnx=tmp_path / "digits.onnx", frames=100)
    made = grulet_format.read((tmp_path / "a.grulet").read_bytes())
    committed = grulet_format.read((EXAMPLE / "digits.grulet").read_bytes())
    same_text = replace(made, text=replace(made.text, source_sha256=committed.text.source_sha256))
    assert grulet_format.write(same_text) == (EXAMPLE / "digits.grulet").read_bytes()
    export(tmp_path / "digits.onnx", tmp_path / "b.grulet", frames=100)
    assert (tmp_path / "a.grulet").read_bytes() == (tmp_path / "b.grulet").read_bytes()
    report = verify(tmp_path / "digits.onnx", EXAMPLE / "digits.grulet", frames=100)
    assert report.between("oracle", "C kernel")[0].same_bits


@pytest.mark.parametrize("activations", ["int16", "int8"])
def test_quantization_hears_the_same(tmp_path: Path, activations: str) -> None:
    """On the recordings in the repository, each alone, the quantized answers are those of torch."""
    export(model.load(), tmp_path / "digits.grulet", activations=activations, frames=50)
    quantized = grulet.load(tmp_path / "digits.grulet")
    torch_network = evaluate.torch_network(model.load())
    for clip in clips.load_clips(evaluate.RECORDINGS):
        frames = evaluate.clip_frames(clip, model.AUDIO)
        ours = quantized.stream().run(frames)
        assert evaluate.classify(ours) == evaluate.classify(torch_network(frames)), clip.name


def test_activation_rounding_on_speech(tmp_path: Path) -> None:
    """On real frames too, int16 activations round 40 dB finer than int8."""
    (clip, *_) = clips.load_clips(evaluate.RECORDINGS)
    frames = evaluate.clip_frames(clip, model.AUDIO)
    frames = np.concatenate([frames] * (1000 // len(frames) + 1))[:1000]
    export(model.load(), tmp_path / "digits.grulet", onnx=tmp_path / "digits.onnx", frames=10)
    snr = {}
    for activations in ("int16", "int8"):
        export(tmp_path / "digits.onnx", tmp_path / "x.grulet", activations=activations, frames=10)
        report = verify(tmp_path / "digits.onnx", tmp_path / "x.grulet", input=frames)
        (rounding,) = report.between("oracle, exact activations", "oracle")
        assert rounding.frames == 1000
        snr[activations] = rounding.snr_db
    assert snr["int16"] - snr["int8"] >= 40
