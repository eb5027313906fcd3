"""Rounding of weights and inputs to the formats of the file: docs/quantization.md says what there is and why."""
