"""ONNX files in onnxruntime, frame by frame or whole, for the proofs."""
