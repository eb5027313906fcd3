"""The cffi build script: declarations are cut from grulet.h and binding.h themselves, so they cannot drift."""

from pathlib import Path

from cffi import FFI

C_SRC = Path(__file__).resolve().parents[1]


def public_declarations(header: str) -> str:
    """Return what stands between a header's two cffi marks."""
    _, _, rest = header.partition("/* cffi: begin")
    body, _, _ = rest.partition("/* cffi: end */")
    return body.partition("*/")[2]


ffibuilder = FFI()
for header in ("grulet.h", "ffi/binding.h"):
    ffibuilder.cdef(public_declarations((C_SRC / header).read_text()))
ffibuilder.set_source("grulet._kernel", '#include "ffi/binding.h"')
