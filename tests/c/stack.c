/* How deep the stack of a step is: stack VECTORS_FOLDER [LIMIT].
 *
 * Below this function's frame the stack is painted, a step runs, and what is no longer paint was used.  Every golden vector,
 * every instruction set; prints the deepest of each, and fails above LIMIT bytes. */
#include "check.h"
#include "grulet.h"

#if defined(__GNUC__)
#define APART __attribute__((noinline))
#else
#define APART
#endif

enum { PAINTED = 16384, PAINT = 0xA5 };

/* The same memory in both: they are called from the same depth.  volatile: neither writing nor reading is left out. */
static APART void paint(void)
{
    volatile unsigned char below[PAINTED];
    for (size_t i = 0; i < PAINTED; i++) below[i] = PAINT;
    (void)below[0];
}
static APART size_t used(void)
{
    volatile unsigned char below[PAINTED]; /* not initialized: what the step left there */
    size_t untouched = 0;
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
    while (untouched < PAINTED && below[untouched] == PAINT) untouched++;
    return PAINTED - untouched;
}

static APART grulet_status step(grulet_stream *stream, float *y, const float *x) { return grulet_step(stream, y, x); }

static size_t deepest_step(const grulet_model *model, const float *x, size_t frames)
{
    const size_t in = grulet_input_width(model), out = grulet_output_width(model), bytes = grulet_stream_bytes(model, 1);
    void *memory = malloc(bytes);
    float *y = malloc(out * sizeof *y);
    grulet_stream *stream;
    size_t deepest = 0;
    REQUIRE(memory && y && grulet_stream_init(&stream, memory, bytes, model, 1) == GRULET_OK, "memory");
    for (size_t f = 0; f < frames; f++) {
        paint();
        const grulet_status status = step(stream, y, x + f * in);
        const size_t now = used();
        CHECK(status == GRULET_OK, "frame %d", (int)f);
        if (f > 0 && now > deepest) deepest = now; /* the first finds the functions: the linker's stack, not ours */
    }
    free(memory);
    free(y);
    return deepest;
}

int main(int count, char **arguments)
{
    REQUIRE(count == 2 || count == 3, "usage: stack VECTORS_FOLDER [LIMIT]");
    const size_t limit = count == 3 ? strtoul(arguments[2], NULL, 10) : PAINTED;
    size_t deepest[16] = {0};
    char where[16][64] = {{0}}, name[64];
    unsigned long frames, crc;
    FILE *index = open_index(arguments[1]);
    while (fscanf(index, "%63s %lu %lx", name, &frames, &crc) == 3) {
        guarded file = read_file(arguments[1], name, ".grulet"), x = read_file(arguments[1], name, ".input.f32");
        grulet_model model;
        REQUIRE(grulet_model_open(&model, file.data, file.bytes) == GRULET_OK, name);
        for (size_t i = 0; i < 16 && !grulet_needs_sequence(&model) && grulet_isa_name(i) != NULL; i++) {
            CHECK(grulet_isa_use(grulet_isa_name(i)) == GRULET_OK, "%s", grulet_isa_name(i));
            const size_t now = deepest_step(&model, (const float *)(const void *)x.data, frames);
            if (now <= deepest[i]) continue;
            deepest[i] = now;
            memcpy(where[i], name, sizeof name);
        }
        guarded_free(&file);
        guarded_free(&x);
    }
    fclose(index);
    for (size_t i = 0; grulet_isa_name(i) != NULL; i++) {
        printf("%-12s %4lu bytes (%s)\n", grulet_isa_name(i), (unsigned long)deepest[i], where[i]);
        CHECK(deepest[i] > 0 && deepest[i] <= limit, "%s: a step takes more than %lu bytes of stack", grulet_isa_name(i),
              (unsigned long)limit);
    }
    return finish("stack");
}
