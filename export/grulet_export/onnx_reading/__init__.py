"""ONNX files as float graphs: `grulet_export.onnx_reading.read.read_onnx` is the way in, `handlers` the operators."""
