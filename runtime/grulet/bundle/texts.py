"""The texts of a bundle that differ from model to model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from grulet.operators import KINDS, Port, Program

if TYPE_CHECKING:
    from grulet.bundle import Bundle


def plain(name: str) -> str:
    """Return a name that may stand in a comment of C and in Markdown."""
    return re.sub(r"[^\w.+-]", "_", name) or "model"


def library_head(made: Bundle, license_text: str) -> str:
    """Return the beginning of grulet.c: licence and configuration."""
    switches = "".join(f"#define GRULET_WITH_{name} 1\n" for name in made.needs)
    return (
        f"/* grulet {made.version} in one file, with what {made.name}.grulet needs; made by `grulet bundle`.\n"
        " * A C99 or C++11 compiler builds it without any flag.\n *\n"
        + "".join(f" * {line}".rstrip() + "\n" for line in license_text.strip().splitlines())
        + " */\n\n"
        "/* What is compiled; grulet_config.h, below, has the whole list.  Another model may need more, and so does\n"
        " * grulet_save: GRULET_WITH_SAVE. */\n"
        f"#define GRULET_WITH_DEFAULT 0\n{switches}\n"
        "#if defined(__clang__) /* it does not see that inline functions come from headers, where some stay unused */\n"
        '#pragma clang diagnostic ignored "-Wunused-function"\n'
        "#endif\n\n"
    )


def model_header(made: Bundle, program: Program) -> str:
    """Return model.h: sizes and the array's declaration."""
    return f"""/* {made.name}.grulet as an array, and sizes that belong to it; made by `grulet bundle`. */
#ifndef GRULET_BUNDLE_MODEL_H
#define GRULET_BUNDLE_MODEL_H

#include <stdint.h>

#define GRULET_FILE_BYTES {made.file_bytes}
#define GRULET_INPUT_WIDTH {program.input_width}
#define GRULET_OUTPUT_WIDTH {program.output_width}
#define GRULET_BLOCK {made.block} /* frames that a stream takes at once */

/* What grulet_stream_bytes gives for this model and block, on CPUs with pointers of 4 and of 8 bytes. */
#define GRULET_STREAM_BYTES (sizeof(void *) <= 4 ? {made.stream_bytes[4]} : {made.stream_bytes[8]})

#ifdef __cplusplus
extern "C" {{
#endif
extern const uint32_t grulet_file[GRULET_FILE_BYTES / 4];
#ifdef __cplusplus
}}
#endif
#endif
"""


def model_source(made: Bundle, data: bytes) -> str:
    """Return model.c: the file as little-endian words, so that any compiler puts it where it can be read."""
    words = [f"0x{word:x}" for word in np.frombuffer(data, "<u4").tolist()]
    rows = "".join(f"    {', '.join(words[at : at + 10])},\n" for at in range(0, len(words), 10))
    return f"""/* {made.name}.grulet, sha256 {made.sha256}; made by `grulet bundle`. */
#include "model.h"

#if defined(__cplusplus) && __cplusplus >= 201103L
#define ALIGNED_64 alignas(64)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define ALIGNED_64 _Alignas(64)
#elif defined(__GNUC__)
#define ALIGNED_64 __attribute__((aligned(64)))
#elif defined(_MSC_VER)
#define ALIGNED_64 __declspec(align(64))
#else
#define ALIGNED_64 /* 4 is enough; 64 is fastest where there is a cache */
#endif

ALIGNED_64 const uint32_t grulet_file[GRULET_FILE_BYTES / 4] = {{
{rows}}};
"""


def golden(made: Bundle, x: NDArray[np.float32], y: NDArray[np.float32]) -> str:
    """Return golden.h: frames, and the answers of the numpy oracle."""
    return f"""/* Frames for {made.name}.grulet, and the answers, bit for bit, of any CPU; made by `grulet bundle`. */
#ifndef GRULET_BUNDLE_GOLDEN_H
#define GRULET_BUNDLE_GOLDEN_H

#include "model.h"

#define GOLDEN_FRAMES {len(x)}u

static const float golden_input[GOLDEN_FRAMES][GRULET_INPUT_WIDTH] = {{
{_rows(x)}}};

static const float golden_output[GOLDEN_FRAMES][GRULET_OUTPUT_WIDTH] = {{
{_rows(y)}}};

#endif
"""


def _rows(numbers: NDArray[np.float32]) -> str:
    """Return one row a frame, each number as the shortest text that gives its bits back."""
    return "".join("    {" + ", ".join(f"{number!s}f" for number in row) + "},\n" for row in numbers)


def readme(made: Bundle, program: Program) -> str:
    """Return README.md."""
    made_of = f"grulet {made.version}, from the file with sha256 `{made.sha256[:16]}`"
    switches = ", ".join(f"`{name}`" for name in made.needs)
    call = "grulet_run(stream, y, x, frames)" if program.needs_sequence else "grulet_step(stream, y, x)"
    return f"""# {made.name}.grulet as C sources

Made by `grulet bundle`, {made_of}. Nothing else is needed: no library, no
flag, no malloc; of the C library `memcpy` and `memset` alone (`main.c` also prints).

| file | |
|---|---|
| `grulet.h`, `grulet.c` | the library, with what this model needs: {switches} |
| `model.h`, `model.c` | the model as a constant array, for flash, and sizes |
| `main.c`, `golden.h` | {made.golden_frames} golden frames, whose answers must have the golden bits; shows every call |
| `CMakeLists.txt` | the library and the model as `grulet_bundle`; `ctest` runs the golden frames |
| `bundle.json` | sizes; checksums, by which `grulet bundle` knows that it may replace this folder |

## Build and check

    cc -O2 main.c grulet.c model.c -o golden && ./golden

or `cmake -S . -B ../build && cmake --build ../build && ctest --test-dir ../build`. C99 or later, or C++11 or later
(`c++ -x c++ main.c grulet.c model.c`); GCC, Clang and others. Not with `-ffast-math`, which is refused;
Clang for 32-bit ARM with NEON needs `-fno-slp-vectorize`, because the vectors of that CPU flush subnormal numbers.

## Sizes

| | bytes |
|---|---|
| flash, the model: weights, scales, biases, tables | {made.file_bytes:,} |
| of which one frame reads | {made.weight_bytes:,} |
| flash, the code | `size grulet.o` tells; with `-ffunction-sections` and `--gc-sections` only what you call stays |
| memory of a stream, 32-bit CPU | {made.stream_bytes[4]:,} |
| memory of a stream, 64-bit CPU | {made.stream_bytes[8]:,} |
| of which is state | {made.state_bytes:,} |

## Inside

{_table("input", program, program.inputs)}
{_table("output", program, program.outputs)}
Operators, in order: {", ".join(KINDS[type(op)][1] for op in program.operators) or "none"}.

## Call it, from C and from C++

    #include "grulet.h"
    #include "model.h"

    static unsigned char memory[GRULET_STREAM_BYTES];   /* one for each voice */
    static grulet_model model;                          /* may be shared */
    static grulet_stream *stream;

    int start(void)                                     /* once */
    {{
        return grulet_model_open(&model, grulet_file, GRULET_FILE_BYTES) == GRULET_OK &&
               grulet_stream_init(&stream, memory, sizeof memory, &model, GRULET_BLOCK) == GRULET_OK;
    }}

then `{call}` with `float x[GRULET_INPUT_WIDTH]` and `float y[GRULET_OUTPUT_WIDTH]`{_per_frame(program)}
It returns `GRULET_OK`, or a status that `grulet_status_text` explains. A file that needs what this build leaves out is
refused by `grulet_model_open` with `GRULET_LEFT_OUT`; the switches are at the top of `grulet.c`.
"""


def _per_frame(program: Program) -> str:
    return " for each of the frames of a whole sequence." if program.needs_sequence else ", once per frame."


def _table(which: str, program: Program, ports: tuple[Port, ...]) -> str:
    lines, at = [f"| {which} | elements | |", "|---|---|---|"], 0
    for port in ports:
        width = program.width(port.value)
        kind = f"whole numbers from 0 to {port.tokens - 1}" if port.tokens else "numbers"
        lines.append(f"| {plain(port.name)} | {at} to {at + width - 1} | {kind} |")
        at += width
    return "\n".join(lines) + "\n"
