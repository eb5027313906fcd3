"""Measuring latency: clocks and percentiles, reports, pictures; what `grulet bench` and the benchmarks are made of."""

from grulet.measuring.latency import HEADINGS, ROUND, Latency, measure, quiet_process
from grulet.measuring.machine import machine

__all__ = ["HEADINGS", "ROUND", "Latency", "machine", "measure", "quiet_process"]
