"""Quantization-aware training: layers that round as the exported file does, so that training makes up for it.

    from grulet_export import export, qat
    qat.prepare(model, weights="int4")    # a trained model; its layers now round as the kernels do
    ...                                   # some more epochs of the training it came from, at a tenth of its rate
    export(model, "net.grulet")           # the very integers that were trained

`GRU`, `LSTM` and `Linear` are torch's layers with two arguments more, ``weights`` and ``activations``.  In evaluation
mode on a CPU they give what the kernel gives (docs/quantization.md, "Training that removes the loss").
"""

from grulet_export.qat.layers import GRU, LSTM, Linear
from grulet_export.qat.preparing import prepare, refit

__all__ = ["GRU", "LSTM", "Linear", "prepare", "refit"]
