/* Golden vectors on every instruction set of this library and CPU: selftest VECTORS_FOLDER [at-one-address].
 *
 * Step, run and step_many, several block sizes and file addresses, save and restore half-way; whole-sequence models run
 * whole: the bits of the numpy oracle.  Files, frames, outputs and stream memory end at pages without rights, so that one
 * byte too many faults.
 * Prints one line a vector and kernel with the CRC-32 of the computed outputs; tools/emulate.py compares many CPUs'. */
#include "check.h"
#include "grulet.h"

typedef struct {
    const char *name;
    const float *x, *expected;
    size_t frames, in, out;
} vector;

static int same(const float *y, const float *expected, size_t floats) { return memcmp(y, expected, floats * 4) == 0; }

static grulet_stream *make_stream(guarded *memory, const grulet_model *model, size_t block)
{
    grulet_stream *stream = NULL;
    *memory = guarded_alloc(grulet_stream_bytes(model, block));
    memset(memory->data, 0xA5, memory->bytes);
    CHECK(grulet_stream_init(&stream, memory->data, memory->bytes, model, block) == GRULET_OK, "block %zu", block);
    return stream;
}

/* Returns the CRC-32 of all outputs. */
static uint32_t check_steps(const grulet_model *model, const vector *v)
{
    guarded memory, x = guarded_alloc(v->in * 4), y = guarded_alloc(v->out * 4);
    guarded all = guarded_alloc(v->frames * y.bytes);
    grulet_stream *stream = make_stream(&memory, model, 1);
    for (size_t f = 0; f < v->frames; f++) {
        memcpy(x.data, v->x + f * v->in, v->in * 4);
        CHECK(grulet_step(stream, (float *)(void *)y.data, (const float *)(void *)x.data) == GRULET_OK, "%s", v->name);
        CHECK(same((const float *)(void *)y.data, v->expected + f * v->out, v->out), "%s: step %zu on %s", v->name, f,
              grulet_isa_used());
        memcpy(all.data + f * y.bytes, y.data, y.bytes);
    }
    const uint32_t crc = test_crc32(all.data, all.bytes);
    guarded_free(&memory);
    guarded_free(&x);
    guarded_free(&y);
    guarded_free(&all);
    return crc;
}

/* Run `first` frames, save, restore into a second stream, run the rest there; then reset and run all. */
static void check_run(const grulet_model *model, const vector *v, size_t block, size_t first)
{
    guarded memory, other_memory, blob = guarded_alloc(grulet_save_bytes(model)), y = guarded_alloc(v->frames * v->out * 4);
    float *answer = (float *)(void *)y.data;
    grulet_stream *stream = make_stream(&memory, model, block), *other = make_stream(&other_memory, model, block);
    if (first > v->frames) first = v->frames;
    CHECK(grulet_run(stream, answer, v->x, first) == GRULET_OK, "%s", v->name);
    CHECK(grulet_save(stream, blob.data, blob.bytes) == GRULET_OK, "%s", v->name);
    CHECK(grulet_restore(other, blob.data, blob.bytes) == GRULET_OK, "%s", v->name);
    CHECK(grulet_run(other, answer + first * v->out, v->x + first * v->in, v->frames - first) == GRULET_OK, "%s", v->name);
    CHECK(same(answer, v->expected, v->frames * v->out), "%s: run in blocks of %zu on %s", v->name, block,
          grulet_isa_used());
    memset(y.data, 0, y.bytes);
    grulet_stream_reset(stream);
    CHECK(grulet_run(stream, answer, v->x, v->frames) == GRULET_OK, "%s", v->name);
    CHECK(same(answer, v->expected, v->frames * v->out), "%s: run after reset on %s", v->name, grulet_isa_used());
    guarded_free(&memory);
    guarded_free(&other_memory);
    guarded_free(&blob);
    guarded_free(&y);
}

/* More streams at once than a kernel takes together, each a frame behind the one before: they come and go one by one. */
static void check_many(const grulet_model *model, const vector *v)
{
    enum { STREAMS = 7 };
    guarded memory[STREAMS], x = guarded_alloc(STREAMS * v->in * 4), y = guarded_alloc(STREAMS * v->out * 4);
    grulet_stream *streams[STREAMS];
    for (size_t s = 0; s < STREAMS; s++) streams[s] = make_stream(&memory[s], model, 1);
    for (size_t time = 0; time + 1 < v->frames + STREAMS; time++) {
        const size_t first = time < v->frames ? 0 : time - v->frames + 1;
        const size_t count = (time < STREAMS ? time + 1 : STREAMS) - first;
        float *rows = (float *)(void *)x.data + (STREAMS - count) * v->in;
        float *answer = (float *)(void *)y.data + (STREAMS - count) * v->out;
        for (size_t s = 0; s < count; s++)
            memcpy(rows + s * v->in, v->x + (time - first - s) * v->in, v->in * 4);
        CHECK(grulet_step_many(streams + first, count, answer, rows) == GRULET_OK, "%s", v->name);
        for (size_t s = 0; s < count; s++)
            CHECK(same(answer + s * v->out, v->expected + (time - first - s) * v->out, v->out),
                  "%s: stream %zu of %zu on %s", v->name, s, count, grulet_isa_used());
    }
    for (size_t s = 0; s < STREAMS; s++) guarded_free(&memory[s]);
    guarded_free(&x);
    guarded_free(&y);
}

/* A whole-sequence model: run after run the same, whatever the block, if it is large enough; nothing else is possible.
 * Returns the CRC-32 of all outputs. */
static uint32_t check_sequence(const grulet_model *model, const vector *v, size_t block)
{
    guarded memory, y = guarded_alloc(v->frames * v->out * 4);
    float *answer = (float *)(void *)y.data;
    grulet_stream *stream = make_stream(&memory, model, block);
    for (int times = 0; times < 3; times++) {
        memset(y.data, 0xA5, y.bytes);
        CHECK(grulet_run(stream, answer, v->x, v->frames) == GRULET_OK, "%s", v->name);
        CHECK(same(answer, v->expected, v->frames * v->out), "%s: a sequence in a block of %zu on %s", v->name, block,
              grulet_isa_used());
        CHECK(grulet_run(stream, answer, v->x, block + 1) == GRULET_LONG_SEQUENCE, "%s", v->name);
        CHECK(grulet_step(stream, answer, v->x) == GRULET_NEEDS_SEQUENCE, "%s", v->name);
        CHECK(grulet_step_many(&stream, 1, answer, v->x) == GRULET_NEEDS_SEQUENCE, "%s", v->name);
        CHECK(same(answer, v->expected, v->frames * v->out), "%s: a refusal has changed the answers", v->name);
    }
    const uint32_t crc = test_crc32(y.data, y.bytes);
    guarded_free(&memory);
    guarded_free(&y);
    return crc;
}

static void check_steps_and_runs(const grulet_model *model, const vector *v)
{
    printf("%-20s %-12s %08lx\n", v->name, grulet_isa_used(), (unsigned long)check_steps(model, v));
    check_run(model, v, 1, 0);
    check_run(model, v, 2, v->frames / 2);
    check_run(model, v, 7, 5);
    check_run(model, v, 32, v->frames);
    check_many(model, v);
}

static void check_sequences(const grulet_model *model, const vector *v)
{
    printf("%-20s %-12s %08lx\n", v->name, grulet_isa_used(), (unsigned long)check_sequence(model, v, v->frames));
    check_sequence(model, v, v->frames + 7);
}

/* A file may lie at any multiple of 4. */
static void check_addresses(const guarded *file, const vector *v)
{
    guarded copy = guarded_alloc(file->bytes + 64);
    vector beginning = *v; /* of a few frames: a step reads all there is */
    if (beginning.frames > 3) beginning.frames = 3;
    for (size_t shift = 0; shift < 64; shift++) {
        grulet_model model;
        memcpy(copy.data + shift, file->data, file->bytes);
        const grulet_status status = grulet_model_open(&model, copy.data + shift, file->bytes);
        if ((uintptr_t)(copy.data + shift) % 4 != 0) {
            CHECK(status == GRULET_MISALIGNED, "%s: address + %zu", v->name, shift);
            continue;
        }
        CHECK(status == GRULET_OK, "%s: address + %zu", v->name, shift);
        if (grulet_needs_sequence(&model)) check_sequence(&model, v, v->frames);
        else check_run(&model, &beginning, 2, 1);
    }
    guarded_free(&copy);
}

static uint32_t read_sum;

static void check_vector(const char *folder, const char *name, size_t frames, uint32_t crc, int addresses)
{
    guarded file = read_file(folder, name, ".grulet"), x = read_file(folder, name, ".input.f32");
    guarded expected = read_file(folder, name, ".output.f32");
    const vector empty = {name, (const float *)(void *)x.data, (const float *)(void *)expected.data, frames, 0, 0};
    vector v = empty;
    grulet_model model;
    const grulet_status status = grulet_model_open(&model, file.data, file.bytes);
    CHECK(status == GRULET_OK, "%s: %s", name, grulet_status_text(status));
    if (status != GRULET_OK) return;
    v.in = grulet_input_width(&model);
    v.out = grulet_output_width(&model);
    CHECK(x.bytes == frames * v.in * 4 && expected.bytes == frames * v.out * 4, "%s: sizes of the vector", name);
    CHECK(test_crc32(expected.data, expected.bytes) == crc, "%s: index.txt has another checksum", name);
    for (size_t i = 0; grulet_isa_name(i) != NULL; i++) {
        CHECK(grulet_isa_use(grulet_isa_name(i)) == GRULET_OK, "%s", grulet_isa_name(i));
        if (grulet_needs_sequence(&model)) check_sequences(&model, &v);
        else check_steps_and_runs(&model, &v);
        const uint32_t sum = grulet_read_weights(&model);
        if (i == 0) read_sum = sum;
        CHECK(sum == read_sum, "%s: weights read by %s", name, grulet_isa_used());
        if (addresses) check_addresses(&file, &v);
    }
    guarded_free(&file);
    guarded_free(&x);
    guarded_free(&expected);
}

int main(int count, char **arguments)
{
    const int at_one_address = count == 3 && strcmp(arguments[2], "at-one-address") == 0; /* a third of the time */
    REQUIRE(count == 2 + at_one_address, "usage: selftest VECTORS_FOLDER [at-one-address]");
    printf("grulet %s:", grulet_version());
    for (size_t i = 0; grulet_isa_name(i) != NULL; i++) printf(" %s", grulet_isa_name(i));
    printf("\n");
    FILE *index = open_index(arguments[1]);
    char name[64];
    unsigned long frames, crc;
    int vectors = 0;
    while (fscanf(index, "%63s %lu %lx", name, &frames, &crc) == 3) {
        check_vector(arguments[1], name, frames, (uint32_t)crc, !at_one_address);
        vectors++;
    }
    fclose(index);
    CHECK(vectors > 0, "no vectors in %s", arguments[1]);
    return finish("selftest");
}
