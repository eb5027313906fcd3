"""64-bit ARM without a board: what can be counted under emulation, and what a model of the cores says of the code.

    python -m benchmarks.arm.emulated    instructions of a step, beside onnxruntime and ncnn: counted
    python -m benchmarks.arm.loops       cycles of the inner loops by llvm-mca, beside the cores' limits: modelled
    python -m benchmarks.arm.page        docs/arm.md from the two results

Neither is a time: `grulet-bench` on a board measures those.
"""
