"""Noise suppression: NSNet2, an ONNX file of 2020, as a denoiser that hears 10 ms and answers 10 ms."""
