/* Hostile files: whatever the bytes, grulet_model_open refuses them or gives a model that runs alike on all kernels.
 *
 * Size and checksum of every input are made right first, so that the rules behind them are reached.  With Clang and
 * -DGRULET_LIBFUZZER=ON this is a libFuzzer target (seeds: tests/vectors, tests/hostile); otherwise a program that replays
 * files and random edits of them: fuzz_open EDITS FILE... */
#include "check.h"
#include "grulet_impl.h"

enum { FRAMES = 2, MOST_STREAM_BYTES = 1 << 22, MOST_WEIGHT_BYTES = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);                                                     \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static void seal(unsigned char *file, size_t bytes)
{
    grulet_header header;
    if (bytes < sizeof header) return;
    memcpy(&header, file, sizeof header);
    header.file_bytes = (uint32_t)bytes;
    header.crc32 = 0;
    memcpy(file, &header, sizeof header);
    header.crc32 = grulet_crc32(0, file, bytes);
    memcpy(file, &header, sizeof header);
}

/* Frames of all magnitudes, from the file's own bytes: any finite float. */
static void fill_frames(float *x, size_t floats, const unsigned char *data, size_t bytes)
{
    for (size_t i = 0; i < floats; i++) {
        uint32_t bits = (uint32_t)i * 2654435761u;
        memcpy(&bits, data + bytes * i / floats / 4 * 4, 4);
        if ((bits & 0x7F800000u) == 0x7F800000u) bits &= ~0x00800000u;
        memcpy(x + i, &bits, sizeof bits);
    }
}

/* Tokens where the model wants some: any that are allowed. */
static void fill_tokens(float *x, const unsigned char *file)
{
    const grulet_tables t = grulet_tables_of(file);
    size_t width = 0;
    for (uint32_t p = 0; p < t.header->inputs; p++) width += t.values[p].width;
    for (size_t f = 0; f < FRAMES; f++, x += width)
        for (uint32_t p = 0; p < t.header->inputs; p++)
            for (uint32_t i = 0; i < t.values[p].width && t.ports[p].kind == GRULET_PORT_TOKENS; i++) {
                uint32_t bits;
                memcpy(&bits, x + t.values[p].offset + i, sizeof bits);
                x[t.values[p].offset + i] = (float)(bits % t.ports[p].limit);
            }
}

static void *new_bytes(size_t bytes)
{
    void *memory = malloc(bytes ? bytes : 1); /* exact, so that a sanitizer sees one byte too many */
    MUST(memory != NULL);
    return memory;
}

/* On one kernel: a run, steps (or the run again, of a whole sequence), a saved and restored state; all the same bits, all
 * finite, all states allowed. */
static void run_model(const grulet_model *model, float *y, const float *x)
{
    const size_t out = grulet_output_width(model), in = grulet_input_width(model), y_bytes = FRAMES * out * 4;
    const size_t bytes = grulet_stream_bytes(model, FRAMES), blob_bytes = grulet_save_bytes(model);
    void *memory = new_bytes(bytes), *blob = new_bytes(blob_bytes), *again = new_bytes(blob_bytes);
    float *stepped = new_bytes(y_bytes);
    grulet_stream *stream;
    MUST(grulet_stream_init(&stream, memory, bytes, model, FRAMES) == GRULET_OK);
    MUST(grulet_run(stream, y, x, FRAMES) == GRULET_OK);
    MUST(grulet_save(stream, blob, blob_bytes) == GRULET_OK);
    grulet_stream_reset(stream);
    if (grulet_needs_sequence(model)) MUST(grulet_run(stream, stepped, x, FRAMES) == GRULET_OK);
    else
        for (size_t f = 0; f < FRAMES; f++) MUST(grulet_step(stream, stepped + f * out, x + f * in) == GRULET_OK);
    MUST(memcmp(y, stepped, y_bytes) == 0);
    MUST(grulet_save(stream, again, blob_bytes) == GRULET_OK);
    MUST(memcmp(blob, again, blob_bytes) == 0);
    MUST(grulet_restore(stream, blob, blob_bytes) == GRULET_OK); /* checks the states */
    for (size_t i = 0; i < FRAMES * out; i++) MUST(y[i] - y[i] == 0.0f);
    free(memory), free(blob), free(again), free(stepped);
}

static int accepted;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    grulet_model model;
    unsigned char *file = new_bytes(bytes);
    if (bytes) memcpy(file, data, bytes);
    seal(file, bytes);
    const grulet_status status = grulet_model_open(&model, file, bytes);
    MUST(grulet_status_text(status) != NULL);
    accepted += status == GRULET_OK;
    if (status == GRULET_OK && grulet_stream_bytes(&model, FRAMES) <= MOST_STREAM_BYTES &&
        grulet_weight_bytes(&model) <= MOST_WEIGHT_BYTES) {
        const size_t x_floats = FRAMES * grulet_input_width(&model), y_floats = FRAMES * grulet_output_width(&model);
        float *x = new_bytes(x_floats * 4), *expected = new_bytes(y_floats * 4), *y = new_bytes(y_floats * 4);
        fill_frames(x, x_floats, file, bytes);
        fill_tokens(x, file);
        MUST(grulet_isa_use("generic") == GRULET_OK);
        run_model(&model, expected, x);
        for (size_t i = 0; grulet_isa_name(i) != NULL; i++) {
            MUST(grulet_isa_use(grulet_isa_name(i)) == GRULET_OK);
            run_model(&model, y, x);
            MUST(memcmp(y, expected, y_floats * 4) == 0);
        }
        free(x), free(expected), free(y);
    }
    free(file);
    return 0;
}

#ifndef GRULET_LIBFUZZER
static uint64_t random_state = 0x9E3779B97F4A7C15u;

/* xorshift64* (Marsaglia, Vigna): the same edits on every machine. */
static uint32_t random_below(uint32_t n)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * 0x2545F4914F6CDD1Du >> 32) % n);
}

static uint32_t interesting(void)
{
    static const uint32_t WORDS[] = {0, 1, 2, 3, 4, 16, 17, 64, 128, 512, 1025, 65536, 65537, 1u << 28, 0x3F800000u,
                                     0x7F800000u, 0x7FC00000u, 0x7F7FFFFFu, 0x80000000u, 0x00000001u, 0x5F800000u};
    const uint32_t word = WORDS[random_below(sizeof WORDS / sizeof *WORDS)];
    return random_below(4) ? word : ~word;
}

/* One edit: a word in the tables or anywhere, a changed field, a byte, a cut, a repeated piece. */
static size_t edit(unsigned char *file, size_t bytes)
{
    const uint32_t words = (uint32_t)(bytes / 4);
    uint32_t word, at = random_below(3) ? random_below(words < 400 ? words : 400) : random_below(words);
    switch (random_below(6)) {
    case 0: word = interesting(), memcpy(file + 4 * at, &word, 4); break;
    case 1: memcpy(&word, file + 4 * at, 4), word += random_below(9) - 4, memcpy(file + 4 * at, &word, 4); break;
    case 2: file[4 * at + random_below(4)] = (unsigned char)random_below(256); break;
    case 3: file[4 * at + random_below(4)] ^= (unsigned char)(1u << random_below(8)); break;
    case 4: memmove(file + 4 * at, file + 4 * random_below(words - 16), at + 16 < words ? 64 : 4); break;
    default: return random_below(8) ? bytes : bytes - 64 * random_below((uint32_t)(bytes / 64));
    }
    return bytes;
}

int main(int count, char **arguments)
{
    REQUIRE(count > 2, "usage: fuzz_open EDITS FILE...");
    const unsigned long edits = strtoul(arguments[1], NULL, 10);
    for (int f = 2; f < count; f++) {
        guarded file = read_path(arguments[f]);
        unsigned char *edited = new_bytes(file.bytes);
        LLVMFuzzerTestOneInput(file.data, file.bytes);
        for (unsigned long e = 0; e < edits && file.bytes >= 128; e++) {
            size_t bytes = file.bytes;
            memcpy(edited, file.data, bytes);
            for (uint32_t times = 1 + random_below(3); times-- && bytes >= 128;) bytes = edit(edited, bytes);
            LLVMFuzzerTestOneInput(edited, bytes);
        }
        free(edited);
        guarded_free(&file);
    }
    printf("%d accepted\n", accepted);
    CHECK(accepted > count / 4, "hardly any file was accepted: is the checksum still where it was?");
    return finish("fuzz_open");
}
#endif
