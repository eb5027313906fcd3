"""What quantization costs on real tasks: every task in every format, its quality, its bytes, the time of a step.

`python -m benchmarks.accuracy` measures; docs/accuracy.md is made wholly from the JSON it leaves.
"""
