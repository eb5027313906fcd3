"""What `grulet convert` refuses: each graph with the whole message, nothing written, exit status 2."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx_refused import REFUSED

from grulet.__main__ import main
from grulet_export import export
from grulet_export.errors import UnsupportedGraph
from grulet_export.onnx_reading.read import read_onnx

MESSAGES = {
    "activation unknown": (
        "GRU 'gru': its activation 'sinus' is none of ONNX; use one of affine, elu, hardsigmoid, leakyrelu, "
        "relu, scaledtanh, sigmoid, softplus, softsign, tanh, thresholdedrelu"
    ),
    "activations too few": (
        "GRU 'gru': it has 1 activations where 2 are needed; export the model again, or check where the file comes from"
    ),
    "activation without its number": (
        "GRU 'gru': its activation 'thresholdedrelu' has no alpha, which runtimes take differently; give "
        "activation_alpha"
    ),
    "clip": "GRU 'gru': its clip is 0.0; use a positive number, or none",
    "direction": "GRU 'gru': its direction is 'sideways'; export the model again, or check where the file comes from",
    "hidden_size": (
        "GRU 'gru': its hidden_size is not 4, the size of R; export the model again, or check where the file comes from"
    ),
    "shape of W": (
        "GRU 'gru': the shape of its W is (1, 12, 4) where (1, 12, 3) is needed; export the model again, or "
        "check where the file comes from"
    ),
    "shape of B": (
        "GRU 'gru': the shape of its B is (2,) where (1, 24) is needed; export the model again, or check where "
        "the file comes from"
    ),
    "weights from outside": (
        "GRU 'gru': its R is not a constant of the file; store it as an initializer, or bind it with --constant"
    ),
    "weights of double precision": "GRU 'gru': its R 'R' is float64; convert the model to float32",
    "weights not finite": (
        "GRU 'gru': its W 'W' holds NaN or infinity; look into the training: such weights give no answer"
    ),
    "frames of two axes": "GRU 'gru': its input has 2 axes; give it (time, batch, features)",
    "frames and streams interchanged": (
        "GRU 'second': its input is (batch, time, 4); give it (time, batch, features), features of a fixed size"
    ),
    "one frame beside sequences": (
        "GRU 'other': it runs over a single frame, while other inputs are sequences; give it one vector per frame"
    ),
    "encoder and decoder": (
        "GRU 'decoder': its initial_h is computed by the graph, so every sequence would start from another "
        "state; split an encoder from its decoder: export them as two models"
    ),
    "state of several streams": (
        "GRU 'gru': its initial_h differs between the streams of a batch; use one initial state for all"
    ),
    "state of the wrong shape": "GRU 'gru': its initial_h is (2, batch, 4); give it (1, batch, 4)",
    "state read as frames": (
        "Relu 'z': it reads the initial state 'h' as if it were frames; a stream keeps its state itself; for a "
        "state of your own, name it and its output with --state"
    ),
    "cell state read": (
        "Add 'y': it reads the final cell state (Y_c) of an LSTM, which grulet keeps inside the layer; read its "
        "hidden state (Y or Y_h)"
    ),
    "only a cell state": (
        "ONNX graph: it gives no answer per frame, only final cell states; return Y of the last layer, or what "
        "is computed from it: one vector per frame"
    ),
    "two states of one input in a step": (
        "GRU 'two': another state starts from the input 'h' too; give every layer its own initial state"
    ),
    "last frame and all frames": (
        "Add 'y': it joins the last frame of one sequence with all frames of another; feed it one vector per "
        "frame on both sides, so that every frame has an answer"
    ),
    "a frame of its own": (
        "Gather 'y': it takes frame 2 of the sequence; take all frames, or the last one (index -1), which a "
        "stream has at every frame"
    ),
    "some frames": (
        "Slice 'y': it cuts time, from 1 to frames - 1; let every frame have an answer, and pick from the "
        "answers of the stream"
    ),
    "every second frame": "Slice 'y': it takes time in steps of 2; let every frame have an answer, and pick from them",
    "frames turned round": (
        "Slice 'y': it turns the frames round; use a layer of direction reverse: a stream has its frames in one order"
    ),
    "mean over time": (
        "ReduceMean 'y': it sums or averages over time, so no frame has an answer before the last; take the "
        "last frame of a recurrent layer (its Y_h), which sums up what it has seen"
    ),
    "pooled over time": (
        "GlobalAveragePool 'y': it pools over time or features; use a recurrent layer, or a convolution with a "
        "kernel of the same size"
    ),
    "normalized over time": (
        "InstanceNormalization 'y': it normalizes over the whole sequence, which no frame knows before the end; "
        "use LayerNormalization over features, or BatchNormalization in evaluation mode"
    ),
    "attention": (
        "MatMul 'scores': it multiplies two tensors that are both computed from inputs, as attention does; use a "
        "recurrent layer or a causal convolution to look back; weights that are an input are bound with --constant"
    ),
    "frames joined": (
        "Concat 'y': it joins sequences one behind the other; only zeros in front, the padding of a causal "
        "convolution, can stay"
    ),
    "frames split": "Split 'y': it splits time; split features: a stream gives one frame at a time",
    "frames and features merged": (
        "Flatten 'y': its reshape to (frames, 4 * streams) mixes batch with features; keep the features of a "
        "frame on axes of their own"
    ),
    "two frames as one": (
        "Reshape 'y': it reshapes a tensor of 4 * frames * streams elements to (-1, 8); keep frames apart, and the "
        "sizes of time and batch open in the export (dynamic axes)"
    ),
    "positions": (
        "Range 'positions': it counts frames or streams; a stream has no position; leave positions to the "
        "recurrent layers"
    ),
    "a number for each frame": (
        "Add 'y': its constant holds 7 numbers along time, where one is needed for all; use one constant for "
        "all frames and streams"
    ),
    "sequences of two lengths": (
        "Add 'y': it joins sequences of different lengths; cut the frames that a padded convolution adds right "
        "behind it"
    ),
    "frames more than the input": (
        "output 'y': it has 2 frames more than the input; cut what the padding of a convolution adds: y[..., :-2]"
    ),
    "look-ahead": (
        "Conv 'conv': it looks 1 frame ahead: it spans 3 frames, and 1 zeros stand in front; pad (k - 1) * "
        "dilation = 2 zeros on the left"
    ),
    "look-ahead of a dilated kernel": (
        "Conv 'conv': it looks 2 frames ahead: it spans 7 frames, and 4 zeros stand in front; pad (k - 1) * "
        "dilation = 6 zeros on the left"
    ),
    "no padding": (
        "Conv 'conv': it looks 2 frames ahead: it spans 3 frames, and 0 zeros stand in front; pad (k - 1) * "
        "dilation = 2 zeros on the left"
    ),
    "too much padding": (
        "Conv 'conv': it puts 3 zeros in front of the sequence, more than the 2 it looks back; pad (k - 1) * "
        "dilation = 2 zeros on the left"
    ),
    "stride": "Conv 'conv': its stride over time is 2, so most frames have no answer; use stride 1 over time",
    "frequency and time": (
        "Conv 'conv': it convolves over an axis of 8 features besides time; convolve over time alone, (batch, "
        "channels, time), or cover the whole axis with the kernel"
    ),
    "transposed convolution": (
        "ConvTranspose 'y': it makes more than one frame of each; train with one answer per frame: stride 1 "
        "over time, and no upsampling"
    ),
    "padding nowhere near a convolution": (
        "Relu 'y': it reads frames with zeros in front of them; pad right before the convolution, with no node between"
    ),
    "weights on the left": (
        "MatMul 'y': it mixes frames or streams: its weights are on the left; multiply the features, on the "
        "last axis, with a constant matrix: frames @ weights"
    ),
    "weights for every frame": (
        "MatMul 'y': the shape of its weights is (7, 4, 4); use one matrix (inputs, units) for all frames"
    ),
    "wrong number of features": (
        "MatMul 'y': its weights take 2 features of (time, batch, 4); multiply the features, on the last axis, "
        "with a constant matrix: frames @ weights"
    ),
    "division by zero": "Div 'y': it divides by zero; look into the training: such a model gives no answer",
    "strange exponent": "Pow 'y': its exponent is 1.5; use an exponent of 2, 3, 4, 0.5, 1, -0.5, -1 or -2",
    "exact GELU": "Gelu 'y': it is the exact GELU, which needs the error function; use nn.GELU(approximate=\"tanh\")",
    "batch norm in training": (
        "BatchNormalization 'y': it is in training mode; export the model in evaluation mode (model.eval())"
    ),
    "dropout in training": (
        "Dropout 'y': it is in training mode, so its answers are random; export the model in evaluation mode"
    ),
    "softmax over time": "Softmax 'y': it makes shares along (time); use the axis of the features (axis -1)",
    "squeeze of unknown axes": (
        "Squeeze 'y': it names no axes, so what it removes depends on the sizes at run time; name the axes to squeeze"
    ),
    "half precision": "Cast 'y': it converts frames from float32 to another type; keep frames float32",
    "comparison": "Less 'l': it compares frames, so what follows would branch on them; use Relu, Clip, Min or Max",
    "arithmetic with tokens": (
        "Cast 'f': it calculates with integers of an input; look them up in an embedding, or make the input float32"
    ),
    "one-hot tokens": (
        "OneHot 'y': it makes vectors of tokens; use an embedding (Gather from a table), which does the same"
    ),
    "quantized frames": (
        "DynamicQuantizeLinear 'q': its numbers are quantized; convert the float model; grulet quantizes itself"
    ),
    "quantized LSTM": (
        "DynamicQuantizeLSTM 'y': its numbers are quantized; convert the float model; grulet quantizes itself"
    ),
    "another domain": (
        "Gelu 'y': it is of the operator domain 'com.microsoft'; docs/models.md lists what runs; rebuild this "
        "part with it"
    ),
    "features of open size": (
        "input 'x': more than two of its axes have no fixed size; fix all sizes but those of time and batch "
        "when exporting"
    ),
    "six axes": "input 'x': it has 6 axes; a frame program reads (batch, time, features) or the like",
    "a constant output": "output 'y': it does not depend on any frame; return one vector per frame",
    "an operator unknown": (
        "Sin 'y': it is no function that grulet has; use Sigmoid, Tanh, Relu, LeakyRelu, Elu, Softplus, "
        "Softsign, Exp, Log or Sqrt"
    ),
}


def test_every_refused_graph_has_its_message() -> None:
    """Neither table has a line that the other one lacks."""
    assert MESSAGES.keys() == REFUSED.keys()


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """The node, its operator, why, and what would work, in one line."""
    with pytest.raises(UnsupportedGraph) as caught:
        read_onnx(REFUSED[name])
    assert str(caught.value) == MESSAGES[name]


@pytest.mark.parametrize("name", REFUSED)
def test_nothing_is_written(tmp_path: Path, name: str) -> None:
    """An older file at the same place survives."""
    path = tmp_path / "net.grulet"
    path.write_bytes(b"older")
    with pytest.raises(UnsupportedGraph):
        export(REFUSED[name], path)
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["look-ahead", "encoder and decoder", "quantized LSTM", "features of open size"])
def test_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """The command line says the same in one line on stderr, and nothing else."""
    onnx.save(REFUSED[name], tmp_path / "net.onnx")
    assert main(["convert", str(tmp_path / "net.onnx"), "-o", str(tmp_path / "net.grulet")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.rstrip().endswith(MESSAGES[name])
    assert printed.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
