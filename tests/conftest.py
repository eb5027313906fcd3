"""Shared by all tests: the helper modules of this folder, and the instruction set put back after every test."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import grulet

sys.path.insert(0, str(Path(__file__).parent))  # programs, mutations, vectors.make_vectors, hostile.make_hostile


@pytest.fixture(autouse=True)
def same_isa_afterwards() -> Iterator[None]:
    """The instruction set is the process's one global: no test may leave it changed."""
    before = grulet.isa()
    yield
    grulet.use_isa(before)
