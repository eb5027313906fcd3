"""Why common operators are refused, and what would work."""

from __future__ import annotations

RUNS = "docs/models.md lists what runs; rebuild this part with it"

_ATTENTION = (
    "attention looks at all frames of the sequence",
    "use a recurrent layer or a causal convolution to look back",
)
_BY_HAND = (
    "it is a loop over frames written by hand",
    "export the layer as one GRU, LSTM or RNN operator, or one frame of it with its states (--state IN=OUT)",
)
_OVER_SEQUENCE = (
    "it normalizes over the whole sequence, which no frame knows before the end",
    "use LayerNormalization over features, or BatchNormalization in evaluation mode",
)
_POOLING = ("it pools over time or features", "use a recurrent layer, or a convolution with a kernel of the same size")
_PICKING = ("it picks or writes numbers by computed places", "use Slice, Split or Gather with constants")
_QUANTIZED = ("its numbers are quantized", "convert the float model; grulet quantizes itself")
_STRIDED = (
    "it makes more than one frame of each",
    "train with one answer per frame: stride 1 over time, and no upsampling",
)
_LARGEST = ("it looks for the largest numbers of a frame", "return the scores, and pick outside of the model")
_RANDOM = ("its answers are random", "export the model in evaluation mode")
_WAVES = ("it transforms whole signals", "compute the features outside of the model")
_NO_FUNCTION = (
    "it is no function that grulet has",
    "use Sigmoid, Tanh, Relu, LeakyRelu, Elu, Softplus, Softsign, Exp, Log or Sqrt",
)

REASONS: dict[str, tuple[str, str]] = {
    "ArgMax": _LARGEST,
    "ArgMin": _LARGEST,
    "Attention": _ATTENTION,
    "AveragePool": _POOLING,
    "Bernoulli": _RANDOM,
    "Compress": _PICKING,
    "ConvInteger": _QUANTIZED,
    "ConvTranspose": _STRIDED,
    "Cos": _NO_FUNCTION,
    "CumSum": ("it sums up all frames so far", "use a recurrent layer"),
    "DFT": _WAVES,
    "DequantizeLinear": _QUANTIZED,
    "DynamicQuantizeLinear": _QUANTIZED,
    "Einsum": ("it multiplies by an equation", "use MatMul with a constant matrix"),
    "Erf": ("it needs the error function", 'use nn.GELU(approximate="tanh")'),
    "EyeLike": _PICKING,
    "GatherElements": _PICKING,
    "GatherND": _PICKING,
    "GlobalAveragePool": _POOLING,
    "GlobalMaxPool": _POOLING,
    "GridSample": _STRIDED,
    "GroupNormalization": _OVER_SEQUENCE,
    "If": ("what runs depends on the data", "export without branches, or as one model for each branch"),
    "InstanceNormalization": _OVER_SEQUENCE,
    "LRN": ("it normalizes over neighbours", "use LayerNormalization"),
    "Loop": _BY_HAND,
    "LpNormalization": ("it divides by a length", "use LayerNormalization"),
    "LpPool": _POOLING,
    "MatMulInteger": _QUANTIZED,
    "MaxPool": _POOLING,
    "MelWeightMatrix": _WAVES,
    "Multinomial": _RANDOM,
    "NonZero": _PICKING,
    "OneHot": ("it makes vectors of tokens", "use an embedding (Gather from a table), which does the same"),
    "QLinearConv": _QUANTIZED,
    "QLinearMatMul": _QUANTIZED,
    "QuantizeLinear": _QUANTIZED,
    "RMSNormalization": ("it divides by the root mean square", "use LayerNormalization"),
    "RandomNormal": _RANDOM,
    "RandomNormalLike": _RANDOM,
    "RandomUniform": _RANDOM,
    "RandomUniformLike": _RANDOM,
    "Range": ("it counts frames or streams", "a stream has no position; leave positions to the recurrent layers"),
    "ReduceMax": _LARGEST,
    "ReduceMin": _LARGEST,
    "Resize": _STRIDED,
    "ReverseSequence": (
        "it turns the frames round",
        "use a layer of direction reverse: a stream has its frames in one order",
    ),
    "STFT": _WAVES,
    "Scan": _BY_HAND,
    "ScatterElements": _PICKING,
    "ScatterND": _PICKING,
    "SequenceAt": ("it handles lists of tensors", "export without lists"),
    "SequenceConstruct": ("it handles lists of tensors", "export without lists"),
    "Sin": _NO_FUNCTION,
    "SplitToSequence": ("it handles lists of tensors", "export without lists"),
    "TopK": _LARGEST,
    "Trilu": _ATTENTION,
    "Upsample": _STRIDED,
}

#: The same for operators of other domains; all others are refused by their domain.
OTHER_DOMAINS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        (
            *("DynamicQuantizeGRU", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"),
            *("QAttention", "QGemm", "QLinearAdd", "QLinearConcat", "QLinearMul", "QLinearSigmoid"),
        ),
        _QUANTIZED,
    ),
    **dict.fromkeys(("Attention", "MultiHeadAttention", "GroupQueryAttention"), _ATTENTION),
}
