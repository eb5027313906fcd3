"""The cffi build script: the Python binding's declarations are cut from grulet.h itself, so they cannot drift."""

from pathlib import Path

from cffi import FFI

C_SRC = Path(__file__).resolve().parents[1]


def public_declarations(header: str) -> str:
    """Return what stands between the header's two cffi marks."""
    _, _, rest = header.partition("/* cffi: begin")
    body, _, _ = rest.partition("/* cffi: end */")
    return body.partition("*/")[2]


ffibuilder = FFI()
ffibuilder.cdef(public_declarations((C_SRC / "grulet.h").read_text()))
ffibuilder.set_source("grulet._kernel", '#include "grulet.h"')
