/* grulet: run GRU networks on a device, one frame at a time.  This header is the whole public C API.
 *
 * The library needs memcpy and memset and nothing else: no malloc, stdio, errno, locale or threads.  (On Linux on ARM it
 * also asks getauxval what the CPU has, once, when the first model is opened.)  The caller owns all memory.  A model is
 * read-only after opening and may be shared by threads; a stream belongs to one thread at a time.  The one global is the
 * chosen instruction set.
 *
 *     grulet_model model;
 *     grulet_stream *stream;
 *     status = grulet_model_open(&model, file, file_bytes);          // `file` stays in place (flash, mmap, array)
 *     bytes  = grulet_stream_bytes(&model, 1);
 *     status = grulet_stream_init(&stream, memory, bytes, &model, 1); // `memory` is yours, `bytes` long
 *     status = grulet_step(stream, y, x);                            // once per frame
 *
 * Results are the same bits on every CPU and compiler that keeps IEEE-754 single precision in round-to-nearest mode
 * with subnormals (no -ffast-math, no flush-to-zero); docs/numerics.md says why.
 */
#ifndef GRULET_H
#define GRULET_H

#include <stddef.h>
#include <stdint.h>

#define GRULET_VERSION "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif
#if defined(GRULET_BUILDS_SHARED) && defined(__GNUC__) && !defined(_WIN32)
#pragma GCC visibility push(default) /* what is declared here is all that the shared library exports */
#endif

/* cffi: begin (plain declarations only between these marks: the Python binding is generated from them) */

typedef enum grulet_status {
    GRULET_OK = 0,
    GRULET_NOT_A_MODEL = 1,     /* the file does not start with grulet's magic bytes */
    GRULET_WRONG_VERSION = 2,   /* the file's format version is not one this library reads */
    GRULET_WRONG_SIZE = 3,      /* the file is shorter or longer than its header says */
    GRULET_DAMAGED = 4,         /* the checksum does not match: some bit of the file has changed */
    GRULET_FORBIDDEN = 5,       /* the file breaks a rule of docs/format.md */
    GRULET_MISALIGNED = 6,      /* the file's address is not a multiple of 4 */
    GRULET_BIG_ENDIAN = 7,      /* this CPU is big-endian; the format is little-endian and read in place */
    GRULET_SMALL_MEMORY = 8,    /* the memory given is smaller than grulet_stream_bytes or grulet_save_bytes says */
    GRULET_BAD_FRAME = 9,       /* a NaN, an infinity or no token in the input; state and output have not changed */
    GRULET_BAD_STATE = 10,      /* the saved state is damaged or of another model; the state has not changed */
    GRULET_UNKNOWN_ISA = 11,    /* no such instruction set in this library or on this CPU */
    GRULET_OTHER_MODEL = 12,    /* the streams stepped together are not all of one model; nothing has changed */
    GRULET_NO_OPERATOR = 13,    /* the model has fewer operators */
    GRULET_NEEDS_SEQUENCE = 14, /* the model runs whole sequences only (grulet_needs_sequence); nothing has changed */
    GRULET_LONG_SEQUENCE = 15,  /* the sequence has more frames than the stream's block; nothing has changed */
    GRULET_LEFT_OUT = 16,       /* the model needs what this build of the library leaves out (grulet_config.h) */
    GRULET_WRONG_LENGTH = 17    /* grulet.hpp, which knows lengths: a vector does not have the model's */
} grulet_status;

/* GRULET_VERSION of the library that is linked. */
const char *grulet_version(void);

/* One English sentence for a status; static storage, never NULL. */
const char *grulet_status_text(grulet_status status);

/* A model: pointers into the file and sizes.  Copying it is allowed.  Contents are private. */
typedef struct grulet_model { const void *file; uint32_t sizes[12]; } grulet_model;

/* A stream: the state of one voice, and scratch.  Lives in the caller's memory. */
typedef struct grulet_stream grulet_stream;

/* sizeof(grulet_model), for callers that are not C. */
size_t grulet_model_bytes(void);

/* Check the whole file (`bytes` long) and fill `*model`.  The file is borrowed: it must stay in place, unchanged, as
 * long as the model or any of its streams is used.  Its address must be a multiple of 4; a multiple of 64 is fastest.
 * The file may be hostile: nothing outside its bytes is read.  On an error `*model` is unusable. */
grulet_status grulet_model_open(grulet_model *model, const void *file, size_t bytes);

/* Elements of the input vector and of the output vector of one frame (float32 each). */
size_t grulet_input_width(const grulet_model *model);
size_t grulet_output_width(const grulet_model *model);

/* 1 if the model is a whole-sequence model: some of its layers go from the last frame to the first.  It cannot be stepped;
 * grulet_run takes one whole sequence, which must fit the stream's block. */
int grulet_needs_sequence(const grulet_model *model);

/* Bytes of the file that one frame reads: weights, scales, biases, row sums, padding; of a table of embeddings as many rows
 * as it has tokens. */
size_t grulet_weight_bytes(const grulet_model *model);

/* Read those bytes once, in order, and do nothing else: the floor under the time of a step, for benchmarks.  The answer is
 * a sum without meaning, so that the compiler keeps the reads. */
uint32_t grulet_read_weights(const grulet_model *model);

/* Run one operator, counted from 0, for one frame, on the stream's values and state as they stand: for measuring what it
 * costs.  A step is all of them in order. */
grulet_status grulet_step_operator(grulet_stream *stream, uint32_t index);

/* Memory for one stream that runs up to `block` frames (at least 1) at once inside grulet_run.  1 is right for frame
 * by frame use and small memories; more makes grulet_run on long inputs faster.  Results never depend on it.  Of a
 * whole-sequence model it is the length of the longest sequence.  0 if the size does not fit size_t. */
size_t grulet_stream_bytes(const grulet_model *model, size_t block);

/* Make a stream in `memory` (any alignment), set to the model's initial state.  `*stream` points into `memory`. */
grulet_status grulet_stream_init(grulet_stream **stream, void *memory, size_t bytes, const grulet_model *model,
                                 size_t block);

/* Back to the model's initial state. */
void grulet_stream_reset(grulet_stream *stream);

/* One frame: y[0 .. output width) from x[0 .. input width).  y and x may not overlap.  Never allocates, locks, blocks or
 * calls the system.  GRULET_BAD_FRAME if x holds a NaN or infinity, or where the model wants a token no whole number from 0
 * to below its limit: then neither the state nor y has changed. */
grulet_status grulet_step(grulet_stream *stream, float *y, const float *x);

/* One frame of each of `count` streams of one model, over one read of the weights: y[count][output width] from
 * x[count][input width], each row with the bits of grulet_step.  The streams must be distinct; they may have any block and
 * lie anywhere.  A bad frame refuses the whole call: then no state and nothing of y has changed. */
grulet_status grulet_step_many(grulet_stream *const *streams, size_t count, float *y, const float *x);

/* `frames` frames, rows of y and x; the same bits as that many steps.  A bad frame anywhere refuses the whole call:
 * then neither the state nor y has changed.
 *
 * Of a whole-sequence model the frames are one sequence, from the model's initial state on; what the stream ran before has
 * no effect.  GRULET_LONG_SEQUENCE if they are more than the stream's block. */
grulet_status grulet_run(grulet_stream *stream, float *y, const float *x, size_t frames);

/* The state as bytes that may be stored and moved between CPUs.  A blob is bound to its model by the file's checksum;
 * grulet_restore refuses it with GRULET_BAD_STATE, too, if it holds what no step could have left (docs/format.md). */
size_t grulet_save_bytes(const grulet_model *model);
grulet_status grulet_save(const grulet_stream *stream, void *blob, size_t bytes);
grulet_status grulet_restore(grulet_stream *stream, const void *blob, size_t bytes);

/* Instruction sets: those this library was built with and this CPU and its operating system can run, best first.
 * `grulet_isa_name(i)` is NULL from i = count on; the last is always "generic".  The best is chosen when the first model
 * is opened; grulet_isa_use overrides it for all streams at once (tests, benchmarks).  grulet_isa_used names the choice. */
const char *grulet_isa_name(size_t i);
const char *grulet_isa_used(void);
grulet_status grulet_isa_use(const char *name);

/* cffi: end */

#if defined(GRULET_BUILDS_SHARED) && defined(__GNUC__) && !defined(_WIN32)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
