"""The same network in torch and onnxruntime, float32, one thread, at their best settings for one word at a time."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from examples.spelling_to_sound import model
from examples.spelling_to_sound.checkpoint import CHECKPOINT
from numpy.typing import NDArray
from torch import Tensor


class TorchNetwork:
    """torch in inference mode: a GRU for the whole word, a GRUCell, its fastest way to take one step, for phonemes."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self.file_bytes = CHECKPOINT.stat().st_size
        self._encoder = model.encoder()
        self._decoder = model.decoder()
        self._cell = torch.nn.GRUCell(model.UNITS, model.UNITS)
        layer = self._decoder.gru.state_dict()
        self._cell.load_state_dict({name.removesuffix("_l0"): tensor for name, tensor in layer.items()})
        self._state = torch.zeros(model.UNITS)

    @torch.inference_mode()
    def encode(self, letters: Sequence[int]) -> None:
        """The whole word in one call."""
        self._state = self._encoder(torch.tensor(letters)[None])[0, -1]

    @torch.inference_mode()
    def decode(self, phoneme: int) -> NDArray[np.float32]:
        """One step."""
        self._state = self._cell(self._decoder.embedding.weight[phoneme], self._state)
        logits: NDArray[np.float32] = self._decoder.output(self._state).numpy()
        return logits


class _Reader(torch.nn.Module):
    """Letters (1, time) to the last state (1, 1, 256)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = model.encoder()

    def forward(self, letters: Tensor) -> Tensor:
        _, state = self.encoder.gru(self.encoder.embedding(letters))
        return state  # type: ignore[no-any-return]


class _Speaker(torch.nn.Module):
    """The phoneme said last (1, 1) and the state (1, 1, 256) to logits (1, 1, 74) and the state after it."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = model.decoder()

    def forward(self, phoneme: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        states, state = self.decoder.gru(self.decoder.embedding(phoneme), state)
        return self.decoder.output(states), state


class OnnxNetwork:
    """onnxruntime on what torch.onnx.export makes of the two halves, the state going in and out of the decoder."""

    def __init__(self) -> None:
        letters, phoneme, state = torch.tensor([[3, 4]]), torch.tensor([[2]]), torch.zeros(1, 1, model.UNITS)
        reader = _onnx(_Reader(), (letters,), ["letters"], ["state"], {"letters": {1: "time"}})
        speaker = _onnx(_Speaker(), (phoneme, state), ["phoneme", "before"], ["logits", "after"], {})
        self.file_bytes = len(reader) + len(speaker)
        self._reader, self._speaker = _session(reader), _session(speaker)
        self._state = state.numpy()

    def encode(self, letters: Sequence[int]) -> None:
        """The whole word in one call."""
        (self._state,) = self._reader.run(None, {"letters": np.array([letters])})

    def decode(self, phoneme: int) -> NDArray[np.float32]:
        """One step."""
        logits, self._state = self._speaker.run(None, {"phoneme": np.array([[phoneme]]), "before": self._state})
        answer: NDArray[np.float32] = logits[0, 0]
        return answer


def _onnx(
    module: torch.nn.Module,
    example: tuple[Tensor, ...],
    inputs: list[str],
    outputs: list[str],
    dynamic_axes: dict[str, dict[int, str]],
) -> bytes:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of this exporter's age: the newer one needs one more package
        path = Path(folder) / "half.onnx"
        torch.onnx.export(
            module, example, path, input_names=inputs, output_names=outputs, dynamic_axes=dynamic_axes, dynamo=False
        )
        return path.read_bytes()


def _session(data: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
