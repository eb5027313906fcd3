"""docs/benchmarks.md and its pictures, made wholly from the JSON that the benchmarks leave (`python -m
benchmarks.report`).

Nothing in them is written by hand: whoever measures on another machine gets that machine's text.
"""
