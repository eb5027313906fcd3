/* What the benchmarks' C programs share: a model with its streams and frames. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include "grulet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Different frames in turn, so that no step is given what the last one was. */
enum { FRAMES = 8 };

typedef struct {
    grulet_model model;
    float *frames;              /* [streams][FRAMES][inputs] */
    float *outputs;             /* room for `streams` x FRAMES answers */
    grulet_stream **streams;
    size_t inputs;
} bench;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

/* Zeroed memory that starts on a page: where the pages' borders lie is then the same in every run. */
static void *memory_of(size_t bytes)
{
    void *memory = NULL;
    if (posix_memalign(&memory, 4096, bytes) != 0) fail("memory", "there is not enough");
    memset(memory, 0, bytes);
    return memory;
}

static unsigned char *contents_of(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    long length = -1;
    if (file != NULL && fseek(file, 0, SEEK_END) == 0) length = ftell(file);
    if (length < 0 || fseek(file, 0, SEEK_SET) != 0) fail(path, "cannot be read");
    *bytes = (size_t)length;
    unsigned char *contents = memory_of(*bytes);
    if (fread(contents, 1, *bytes, file) != *bytes) fail(path, "cannot be read");
    fclose(file);
    return contents;
}

/* Open a model, make `count` streams that run blocks of `block` frames, and frames between -1 and 1. */
static bench bench_of(const char *path, const char *isa, size_t count, size_t block)
{
    bench b;
    size_t bytes;
    const unsigned char *file = contents_of(path, &bytes);
    grulet_status status = grulet_model_open(&b.model, file, bytes);
    if (status != GRULET_OK) fail(path, grulet_status_text(status));
    status = grulet_isa_use(isa);
    if (status != GRULET_OK) fail(isa, grulet_status_text(status));
    b.inputs = grulet_input_width(&b.model);
    b.streams = memory_of(count * sizeof *b.streams);
    b.outputs = memory_of(count * FRAMES * block * grulet_output_width(&b.model) * sizeof *b.outputs);
    b.frames = memory_of(count * FRAMES * block * b.inputs * sizeof *b.frames);
    for (size_t i = 0; i < count; i++) {
        size_t size = grulet_stream_bytes(&b.model, block);
        status = grulet_stream_init(&b.streams[i], memory_of(size), size, &b.model, block);
        if (status != GRULET_OK) fail(path, grulet_status_text(status));
    }
    uint32_t random = 1;
    for (size_t i = 0; i < count * FRAMES * block * b.inputs; i++) {
        random = random * 1664525u + 1013904223u;
        b.frames[i] = (float)(int32_t)random / 2147483648.0f;
    }
    return b;
}

#endif
