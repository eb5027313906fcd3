"""torch modules as ONNX and float graphs: `grulet_export.torch_reading.front` is the way in."""
