/* What grulet.h promises beside the numbers: contract VECTORS_FOLDER HOSTILE_FOLDER.
 *
 * Hostile files get the status of hostile/index.txt, bad frames and bad blobs change nothing, sizes are checked. */
#include "check.h"
#include "grulet.h"

static const char *const STATUS[] = {
    "GRULET_OK", "GRULET_NOT_A_MODEL", "GRULET_WRONG_VERSION", "GRULET_WRONG_SIZE", "GRULET_DAMAGED", "GRULET_FORBIDDEN",
    "GRULET_MISALIGNED", "GRULET_BIG_ENDIAN", "GRULET_SMALL_MEMORY", "GRULET_BAD_FRAME", "GRULET_BAD_STATE",
    "GRULET_UNKNOWN_ISA", "GRULET_OTHER_MODEL", "GRULET_NO_OPERATOR", "GRULET_NEEDS_SEQUENCE", "GRULET_LONG_SEQUENCE",
    "GRULET_LEFT_OUT", "GRULET_WRONG_LENGTH"};
enum { STATUSES = sizeof STATUS / sizeof *STATUS };

static void check_texts(void)
{
    for (int a = 0; a < STATUSES; a++) {
        const char *text = grulet_status_text((grulet_status)a);
        CHECK(text != NULL && strlen(text) > 5 && strcmp(text, "unknown status") != 0, "%s", STATUS[a]);
        for (int b = 0; b < a; b++)
            CHECK(strcmp(text, grulet_status_text((grulet_status)b)) != 0, "%s, %s", STATUS[a], STATUS[b]);
    }
    CHECK(strcmp(grulet_status_text((grulet_status)STATUSES), "unknown status") == 0, "a status more than is tested");
    CHECK(strcmp(grulet_version(), GRULET_VERSION) == 0, "%s", grulet_version());
    CHECK(grulet_model_bytes() == sizeof(grulet_model), "%zu", grulet_model_bytes());
}

static void check_isas(void)
{
    size_t count = 0;
    const char *before = grulet_isa_used();
    CHECK(grulet_isa_name(0) != NULL && strcmp(before, grulet_isa_name(0)) == 0, "the best is chosen, not %s", before);
    while (grulet_isa_name(count) != NULL) count++;
    CHECK(count > 0 && strcmp(grulet_isa_name(count - 1), "generic") == 0, "the last of %zu is generic", count);
    CHECK(grulet_isa_name(count + 1) == NULL && grulet_isa_name((size_t)-1) == NULL, "nothing behind the last");
    CHECK(grulet_isa_use("generi") == GRULET_UNKNOWN_ISA && grulet_isa_use("generics") == GRULET_UNKNOWN_ISA, "prefix");
    CHECK(grulet_isa_use("") == GRULET_UNKNOWN_ISA, "empty");
    CHECK(strcmp(before, grulet_isa_used()) == 0, "unknown names change nothing");
}

static void check_hostile_files(const char *folder)
{
    FILE *index = open_index(folder);
    char name[128], expected[64];
    int files = 0;
    while (fscanf(index, "%127s %63s", name, expected) == 2) {
        guarded file = read_file(folder, name, "");
        grulet_model model;
        const grulet_status status = grulet_model_open(&model, file.data, file.bytes);
        CHECK((size_t)status < STATUSES && strcmp(STATUS[status], expected) == 0, "%s: %s", name,
              grulet_status_text(status));
        guarded_free(&file);
        files++;
    }
    fclose(index);
    CHECK(files > 10, "%d hostile files", files);
}

/* Every length of a good file but the right one. */
static void check_truncations(const guarded *file)
{
    for (size_t bytes = 0; bytes < file->bytes; bytes++) {
        guarded part = guarded_alloc(bytes);
        grulet_model model;
        memcpy(part.data, file->data, bytes);
        const grulet_status status = grulet_model_open(&model, part.data, bytes);
        CHECK(status == (bytes < 12 ? GRULET_NOT_A_MODEL : GRULET_WRONG_SIZE), "%zu bytes: %s", bytes,
              grulet_status_text(status));
        guarded_free(&part);
    }
}

static void check_sizes(const grulet_model *model)
{
    grulet_stream *stream = NULL;
    CHECK(grulet_stream_bytes(model, 0) == 0, "no block");
    CHECK(grulet_stream_bytes(model, (size_t)-1) == 0 && grulet_stream_bytes(model, (size_t)-1 / 8) == 0, "too large");
    const size_t bytes = grulet_stream_bytes(model, 3);
    CHECK(grulet_stream_bytes(model, 4) > bytes && bytes > grulet_stream_bytes(model, 1), "grows with the block");
    guarded memory = guarded_alloc(bytes + 64);
    CHECK(grulet_stream_init(&stream, memory.data, bytes - 1, model, 3) == GRULET_SMALL_MEMORY, "one byte short");
    CHECK(grulet_stream_init(&stream, memory.data, bytes, model, 0) == GRULET_SMALL_MEMORY, "no block");
    CHECK(stream == NULL, "untouched on an error");
    for (size_t shift = 0; shift <= 64; shift++)
        CHECK(grulet_stream_init(&stream, memory.data + shift, bytes, model, 3) == GRULET_OK, "address + %zu", shift);
    guarded_free(&memory);
}

/* A stream's memory and blobs may lie anywhere (x and y, as C has it, on a multiple of 4): the state moves from one address
 * to the next with every frame. */
static void check_addresses(const grulet_model *model, const float *x, const float *expected)
{
    const size_t in = grulet_input_width(model), out = grulet_output_width(model);
    const size_t bytes = grulet_stream_bytes(model, 1), blob_bytes = grulet_save_bytes(model);
    guarded memory = guarded_alloc(bytes + 64), blob = guarded_alloc(blob_bytes + 64), y = guarded_alloc(out * sizeof(float));
    float *answer = (float *)(void *)y.data;
    for (size_t shift = 0; shift < 64; shift++) {
        const size_t frame = shift % 7;
        grulet_stream *stream;
        CHECK(grulet_stream_init(&stream, memory.data + shift, bytes, model, 1) == GRULET_OK, "address + %zu", shift);
        if (frame > 0)
            CHECK(grulet_restore(stream, blob.data + shift - 1, blob_bytes) == GRULET_OK, "address + %zu", shift - 1);
        CHECK(grulet_step(stream, answer, x + frame * in) == GRULET_OK, "address + %zu", shift);
        CHECK(memcmp(answer, expected + frame * out, out * sizeof(float)) == 0, "other bits at address + %zu", shift);
        CHECK(grulet_save(stream, blob.data + shift, blob_bytes) == GRULET_OK, "address + %zu", shift);
    }
    guarded_free(&memory), guarded_free(&blob), guarded_free(&y);
}

/* Bad frames at every element; the last frame of a run; then the stream goes on as if nothing had been. */
static void check_bad_frames(const grulet_model *model, const float *x, const float *expected)
{
    enum { FRAMES = 6 };
    static const uint32_t BAD[] = {0x7F800000u, 0xFF800000u, 0x7FC00000u, 0xFFC00000u, 0x7F800001u, 0xFFFFFFFFu};
    const size_t in = grulet_input_width(model), out = grulet_output_width(model), blob_bytes = grulet_save_bytes(model);
    guarded memory = guarded_alloc(grulet_stream_bytes(model, 2)), bad = guarded_alloc(FRAMES * in * 4);
    guarded y = guarded_alloc(FRAMES * out * 4), kept = guarded_alloc(y.bytes);
    guarded before = guarded_alloc(blob_bytes), after = guarded_alloc(blob_bytes);
    float *answer = (float *)(void *)y.data;
    grulet_stream *stream;
    CHECK(grulet_stream_init(&stream, memory.data, memory.bytes, model, 2) == GRULET_OK, "init");
    CHECK(grulet_run(stream, answer, x, 3) == GRULET_OK, "first frames");
    grulet_save(stream, before.data, blob_bytes);
    memcpy(kept.data, y.data, y.bytes);
    for (size_t at = 0; at < FRAMES * in; at++)
        for (size_t kind = 0; kind < sizeof BAD / sizeof *BAD; kind++) {
            memcpy(bad.data, x, bad.bytes);
            memcpy(bad.data + 4 * at, &BAD[kind], 4);
            const float *frames = (const float *)(void *)bad.data;
            CHECK(grulet_run(stream, answer, frames, FRAMES) == GRULET_BAD_FRAME, "element %zu", at);
            if (at < in) CHECK(grulet_step(stream, answer, frames) == GRULET_BAD_FRAME, "element %zu", at);
            CHECK(memcmp(y.data, kept.data, y.bytes) == 0, "outputs changed by element %zu", at);
            grulet_save(stream, after.data, blob_bytes);
            CHECK(memcmp(before.data, after.data, blob_bytes) == 0, "state changed by element %zu", at);
        }
    CHECK(grulet_run(stream, answer, x + 3 * in, FRAMES - 3) == GRULET_OK, "next frames");
    CHECK(memcmp(answer, expected + 3 * out, (FRAMES - 3) * out * 4) == 0, "next frames have other bits");
    CHECK(grulet_run(stream, NULL, NULL, 0) == GRULET_OK, "no frames");
    guarded_free(&memory), guarded_free(&bad), guarded_free(&y), guarded_free(&kept);
    guarded_free(&before), guarded_free(&after);
}

static void check_bad_blobs(const grulet_model *model, const grulet_model *other, const float *x)
{
    const size_t bytes = grulet_save_bytes(model), out = grulet_output_width(model);
    guarded memory = guarded_alloc(grulet_stream_bytes(model, 1));
    guarded other_memory = guarded_alloc(grulet_stream_bytes(other, 1));
    guarded blob = guarded_alloc(bytes), bad = guarded_alloc(bytes), now = guarded_alloc(bytes);
    guarded y = guarded_alloc(4 * out), foreign = guarded_alloc(grulet_save_bytes(other));
    grulet_stream *stream, *other_stream;
    CHECK(grulet_stream_init(&stream, memory.data, memory.bytes, model, 1) == GRULET_OK, "init");
    CHECK(grulet_stream_init(&other_stream, other_memory.data, other_memory.bytes, other, 1) == GRULET_OK, "init");
    grulet_step(stream, (float *)(void *)y.data, x);
    CHECK(grulet_save(stream, blob.data, bytes - 1) == GRULET_SMALL_MEMORY, "one byte short");
    CHECK(grulet_save(stream, blob.data, 0) == GRULET_SMALL_MEMORY, "no room");
    CHECK(grulet_save(stream, blob.data, bytes) == GRULET_OK, "save");
    for (size_t bit = 0; bit < 8 * bytes; bit++) {
        memcpy(bad.data, blob.data, bytes);
        bad.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        CHECK(grulet_restore(stream, bad.data, bytes) == GRULET_BAD_STATE, "bit %zu", bit);
    }
    for (size_t size = 0; size < bytes; size++)
        CHECK(grulet_restore(stream, blob.data + bytes - size, size) == GRULET_BAD_STATE, "%zu bytes", size);
    CHECK(grulet_save(other_stream, foreign.data, foreign.bytes) == GRULET_OK, "save");
    CHECK(grulet_restore(stream, foreign.data, foreign.bytes) == GRULET_BAD_STATE, "another model's");
    static const float OUTSIDE[] = {1.0000001f, -1.5f, 3e38f};
    for (size_t i = 0; i < sizeof OUTSIDE / sizeof *OUTSIDE; i++) { /* the state's checksum made right */
        memcpy(bad.data, blob.data, bytes);
        memcpy(bad.data + bytes - 4, &OUTSIDE[i], 4);
        const uint32_t crc = test_crc32(bad.data + 16, bytes - 16);
        memcpy(bad.data + 12, &crc, 4);
        CHECK(grulet_restore(stream, bad.data, bytes) == GRULET_BAD_STATE, "a state of %g", (double)OUTSIDE[i]);
    }
    CHECK(grulet_save(stream, now.data, bytes) == GRULET_OK && memcmp(now.data, blob.data, bytes) == 0, "state changed");
    CHECK(grulet_restore(stream, blob.data, bytes) == GRULET_OK, "the good one");
    guarded_free(&memory), guarded_free(&other_memory), guarded_free(&blob), guarded_free(&bad);
    guarded_free(&now), guarded_free(&y), guarded_free(&foreign);
}

/* Voices of one model, of different blocks and ages, that are stepped together. */
enum { VOICES = 7 };
typedef struct { grulet_stream *streams[VOICES]; guarded memory[VOICES], x, y; float *frames, *answers; } voices;

/* Voice v has run v frames of x. */
static voices voices_of(const grulet_model *model, const float *x)
{
    const size_t in = grulet_input_width(model), out = grulet_output_width(model);
    voices all;
    all.x = guarded_alloc(VOICES * in * sizeof(float));
    all.y = guarded_alloc(VOICES * out * sizeof(float));
    all.frames = (float *)(void *)all.x.data;
    all.answers = (float *)(void *)all.y.data;
    for (size_t v = 0; v < VOICES; v++) {
        const size_t block = 1 + v % 3;
        all.memory[v] = guarded_alloc(grulet_stream_bytes(model, block));
        CHECK(grulet_stream_init(&all.streams[v], all.memory[v].data, all.memory[v].bytes, model, block) == GRULET_OK,
              "voice %zu", v);
        for (size_t f = 0; f < v; f++)
            CHECK(grulet_step(all.streams[v], all.answers, x + f * in) == GRULET_OK, "voice %zu, frame %zu", v, f);
    }
    memset(all.y.data, 0x55, all.y.bytes);
    return all;
}

static void voices_free(voices *all)
{
    for (size_t v = 0; v < VOICES; v++) guarded_free(&all->memory[v]);
    guarded_free(&all->x), guarded_free(&all->y);
}

static void save_all(const voices *all, guarded *blobs)
{
    const size_t bytes = blobs->bytes / VOICES;
    for (size_t v = 0; v < VOICES; v++)
        CHECK(grulet_save(all->streams[v], blobs->data + v * bytes, bytes) == GRULET_OK, "save voice %zu", v);
}

/* Together == each alone: any number of voices, in any order. */
static void check_step_many(const grulet_model *model, const float *x, const float *expected)
{
    const size_t in = grulet_input_width(model), out = grulet_output_width(model);
    for (size_t count = 0; count <= VOICES; count++) {
        voices all = voices_of(model, x);
        grulet_stream *backwards[VOICES];
        for (size_t v = 0; v < count; v++) {
            backwards[v] = all.streams[count - 1 - v];
            memcpy(all.frames + v * in, x + (count - 1 - v) * in, in * sizeof(float));
        }
        CHECK(grulet_step_many(backwards, count, all.answers, all.frames) == GRULET_OK, "%zu voices", count);
        for (size_t v = 0; v < count; v++)
            CHECK(memcmp(all.answers + v * out, expected + (count - 1 - v) * out, out * sizeof(float)) == 0,
                  "voice %zu of %zu on %s has other bits", v, count, grulet_isa_used());
        for (size_t i = count * out * sizeof(float); i < all.y.bytes; i++)
            CHECK(all.y.data[i] == 0x55, "%zu voices: y is written behind their answers", count);
        for (size_t v = 0; v < VOICES; v++) { /* and they go on alone */
            const size_t next = v + (v < count);
            CHECK(grulet_step(all.streams[v], all.answers, x + next * in) == GRULET_OK, "voice %zu", v);
            CHECK(memcmp(all.answers, expected + next * out, out * sizeof(float)) == 0, "voice %zu goes astray", v);
        }
        voices_free(&all);
    }
    CHECK(grulet_step_many(NULL, 0, NULL, NULL) == GRULET_OK, "nobody");
}

/* A bad frame of anyone, or a stream of another model, changes nothing of anybody. */
static void check_bad_many(const grulet_model *model, const grulet_model *other, const float *x, const float *expected)
{
    static const uint32_t BAD[] = {0x7F800000u, 0xFFC00000u, 0x7F800001u};
    const size_t in = grulet_input_width(model), out = grulet_output_width(model);
    voices all = voices_of(model, x);
    guarded before = guarded_alloc(VOICES * grulet_save_bytes(model)), after = guarded_alloc(before.bytes);
    guarded kept = guarded_alloc(all.y.bytes), foreign = guarded_alloc(grulet_stream_bytes(other, 1));
    save_all(&all, &before);
    memcpy(kept.data, all.y.data, kept.bytes);
    memcpy(all.frames, x, all.x.bytes); /* voice v, of age v, gets frame v */
    for (size_t at = 0; at < VOICES * in; at++) {
        const float good = all.frames[at];
        memcpy(&all.frames[at], &BAD[at % 3], sizeof(float));
        CHECK(grulet_step_many(all.streams, VOICES, all.answers, all.frames) == GRULET_BAD_FRAME, "element %zu", at);
        save_all(&all, &after);
        CHECK(memcmp(before.data, after.data, before.bytes) == 0, "a state changed by element %zu", at);
        CHECK(memcmp(all.y.data, kept.data, kept.bytes) == 0, "answers changed by element %zu", at);
        all.frames[at] = good;
    }
    grulet_stream *other_stream;
    CHECK(grulet_stream_init(&other_stream, foreign.data, foreign.bytes, other, 1) == GRULET_OK, "init");
    for (size_t v = 0; v < VOICES; v++) {
        grulet_stream *const own = all.streams[v];
        all.streams[v] = other_stream;
        CHECK(grulet_step_many(all.streams, VOICES, all.answers, all.frames) == GRULET_OTHER_MODEL, "place %zu", v);
        all.streams[v] = own;
        save_all(&all, &after);
        CHECK(memcmp(before.data, after.data, before.bytes) == 0, "a state changed by another model at %zu", v);
        CHECK(memcmp(all.y.data, kept.data, kept.bytes) == 0, "answers changed by another model at %zu", v);
    }
    CHECK(grulet_step_many(all.streams, VOICES, all.answers, all.frames) == GRULET_OK, "good frames");
    CHECK(memcmp(all.answers, expected, VOICES * out * sizeof(float)) == 0, "other bits after the refusals");
    voices_free(&all);
    guarded_free(&before), guarded_free(&after), guarded_free(&kept), guarded_free(&foreign);
}

/* All operators in order, on the frame that is still there, are a step with the same frame; there are no others. */
static void check_step_operator(const grulet_model *model, const float *x)
{
    const size_t bytes = grulet_save_bytes(model), in = grulet_input_width(model);
    voices all = voices_of(model, x);
    guarded by_step = guarded_alloc(bytes), by_operators = guarded_alloc(bytes);
    grulet_stream *one = all.streams[0], *two = all.streams[3]; /* of blocks 1 and 1 */
    uint32_t operators = 0;
    grulet_stream_reset(two);
    for (int times = 0; times < 3; times++) CHECK(grulet_step(one, all.answers, x) == GRULET_OK, "step");
    CHECK(grulet_step(two, all.answers + grulet_output_width(model), x) == GRULET_OK, "step");
    for (int times = 0; times < 2; times++)
        for (operators = 0; grulet_step_operator(two, operators) == GRULET_OK; operators++)
            REQUIRE(operators < 1024, "operators without end");
    CHECK(operators > 1, "%u operators", (unsigned)operators);
    grulet_save(one, by_step.data, bytes);
    grulet_save(two, by_operators.data, bytes);
    CHECK(memcmp(by_step.data, by_operators.data, bytes) == 0, "%u operators are no step", (unsigned)operators);
    CHECK(grulet_step_operator(two, operators) == GRULET_NO_OPERATOR, "one too many");
    CHECK(grulet_step_operator(two, 0x80000000u) == GRULET_NO_OPERATOR, "far too many");
    CHECK(grulet_step_operator(two, 0xFFFFFFFFu) == GRULET_NO_OPERATOR, "the largest number");
    grulet_save(two, by_operators.data, bytes);
    CHECK(memcmp(by_step.data, by_operators.data, bytes) == 0, "operators that are not there have changed the state");
    CHECK(grulet_step(one, all.answers, x + in) == GRULET_OK, "next step");
    CHECK(grulet_step(two, all.answers + grulet_output_width(model), x + in) == GRULET_OK, "next step");
    CHECK(memcmp(all.answers, all.answers + grulet_output_width(model), grulet_output_width(model) * 4) == 0,
          "the next step has other bits");
    voices_free(&all);
    guarded_free(&by_step), guarded_free(&by_operators);
}

/* What a restored state may hold: by the place of a float in the state of a vector's model. */
typedef struct { size_t at; float value; grulet_status status; } bound;

static void check_bounds(const char *folder, const char *name, const bound *bounds, size_t count)
{
    guarded file = read_file(folder, name, ".grulet");
    grulet_model model;
    grulet_stream *stream;
    REQUIRE(grulet_model_open(&model, file.data, file.bytes) == GRULET_OK, name);
    const size_t bytes = grulet_save_bytes(&model);
    guarded memory = guarded_alloc(grulet_stream_bytes(&model, 1)), blob = guarded_alloc(bytes), now = guarded_alloc(bytes);
    CHECK(grulet_stream_init(&stream, memory.data, memory.bytes, &model, 1) == GRULET_OK, "%s", name);
    for (size_t b = 0; b < count; b++) {
        grulet_stream_reset(stream);
        CHECK(grulet_save(stream, blob.data, bytes) == GRULET_OK, "%s", name);
        memcpy(blob.data + 16 + 4 * bounds[b].at, &bounds[b].value, 4);
        const uint32_t crc = test_crc32(blob.data + 16, bytes - 16);
        memcpy(blob.data + 12, &crc, 4);
        CHECK(grulet_restore(stream, blob.data, bytes) == bounds[b].status, "%s: float %zu of the state is %g", name,
              bounds[b].at, (double)bounds[b].value);
        CHECK(grulet_save(stream, now.data, bytes) == GRULET_OK, "%s", name);
        CHECK((memcmp(now.data, blob.data, bytes) == 0) == (bounds[b].status == GRULET_OK), "%s: restored or not?", name);
    }
    guarded_free(&file), guarded_free(&memory), guarded_free(&blob), guarded_free(&now);
}

static void check_state_bounds(const char *folder)
{
    /* operators_int8: a history of 4 frames of 24 floats, the position first; an LSTM of 24 units. */
    enum { H = 1 + 4 * 24, C = H + 24, LAST_C = C + 23 };
    const float huge = 3.40282347e+38f, two_64 = 18446744073709551616.0f;
    const bound operators[] = {
        {0, 3.0f, GRULET_OK}, {0, 4.0f, GRULET_BAD_STATE}, {0, 0.5f, GRULET_BAD_STATE}, {0, -1.0f, GRULET_BAD_STATE},
        {0, huge, GRULET_BAD_STATE}, {1, huge, GRULET_OK}, {H - 1, -huge, GRULET_OK}, {H, 1.0f, GRULET_OK},
        {H, 1.0000001f, GRULET_BAD_STATE}, {C - 1, -2.0f, GRULET_BAD_STATE}, {C, two_64, GRULET_OK},
        {LAST_C, -two_64, GRULET_OK}, {LAST_C, -2.0f * two_64, GRULET_BAD_STATE}, {C, huge, GRULET_BAD_STATE}};
    /* loop_int16: a state of 18 floats that a loop reads and writes, a history of 1 frame of them, an RNN of 18 units. */
    enum { RING = 18 + 1, RNN = RING + 18 };
    const bound loop[] = {{0, -huge, GRULET_OK}, {17, huge, GRULET_OK}, {18, 1.0f, GRULET_BAD_STATE},
                          {RING, huge, GRULET_OK}, {RNN, 1.5f, GRULET_BAD_STATE}, {RNN, 0.5f, GRULET_OK}};
    check_bounds(folder, "operators_int8", operators, sizeof operators / sizeof *operators);
    check_bounds(folder, "loop_int16", loop, sizeof loop / sizeof *loop);
    static const uint32_t NOT_FINITE[] = {0x7F800000u, 0xFF800000u, 0x7FC00000u};
    for (size_t i = 0; i < 3; i++) {
        bound each = {0, 0.0f, GRULET_BAD_STATE};
        memcpy(&each.value, &NOT_FINITE[i], 4);
        for (each.at = 0; each.at <= RNN; each.at++) check_bounds(folder, "loop_int16", &each, 1);
        for (each.at = 0; each.at <= LAST_C; each.at += 8) check_bounds(folder, "operators_int8", &each, 1);
    }
}

/* operators_int8 takes two tokens of 9, then 10 numbers. */
static void check_tokens(const char *folder)
{
    static const float BAD[] = {9.0f, -1.0f, 0.5f, 8.5f, 1e30f, -1e30f, 8.9999995f, 1e-37f};
    guarded file = read_file(folder, "operators_int8", ".grulet"), x = read_file(folder, "operators_int8", ".input.f32");
    guarded expected = read_file(folder, "operators_int8", ".output.f32");
    grulet_model model;
    grulet_stream *stream;
    REQUIRE(grulet_model_open(&model, file.data, file.bytes) == GRULET_OK, "operators_int8");
    const size_t in = grulet_input_width(&model), out = grulet_output_width(&model);
    guarded memory = guarded_alloc(grulet_stream_bytes(&model, 2)), bad = guarded_alloc(3 * in * 4);
    guarded y = guarded_alloc(3 * out * 4);
    float *frames = (float *)(void *)bad.data, *answer = (float *)(void *)y.data;
    CHECK(grulet_stream_init(&stream, memory.data, memory.bytes, &model, 2) == GRULET_OK, "init");
    for (size_t at = 0; at < 3 * in; at++)
        for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
            if (at % in > 1) continue;
            memcpy(bad.data, x.data, bad.bytes);
            frames[at] = BAD[i];
            CHECK(grulet_run(stream, answer, frames, 3) == GRULET_BAD_FRAME, "%g", (double)BAD[i]);
            if (at < in) CHECK(grulet_step(stream, answer, frames) == GRULET_BAD_FRAME, "%g", (double)BAD[i]);
            if (at < in) CHECK(grulet_step_many(&stream, 1, answer, frames) == GRULET_BAD_FRAME, "%g", (double)BAD[i]);
        }
    memcpy(bad.data, x.data, bad.bytes);
    CHECK(grulet_run(stream, answer, frames, 3) == GRULET_OK && memcmp(y.data, expected.data, y.bytes) == 0,
          "bad tokens have changed something");
    grulet_stream_reset(stream);
    frames[0] = 0.0f, frames[1] = 8.0f;
    CHECK(grulet_step(stream, answer, frames) == GRULET_OK, "the first token and the last");
    frames[0] = -0.0f, frames[1] = 1e-40f;
    CHECK(grulet_step(stream, answer, frames) == GRULET_OK, "what is read as +0 is token 0");
    guarded_free(&file), guarded_free(&x), guarded_free(&expected), guarded_free(&memory), guarded_free(&bad);
    guarded_free(&y);
}

int main(int count, char **arguments)
{
    REQUIRE(count == 3, "usage: contract VECTORS_FOLDER HOSTILE_FOLDER");
    check_texts();
    check_isas();
    check_hostile_files(arguments[2]);
    check_state_bounds(arguments[1]);
    check_tokens(arguments[1]);

    guarded file = read_file(arguments[1], "int16_7_19", ".grulet");
    guarded other_file = read_file(arguments[1], "f32_5_13", ".grulet");
    guarded x = read_file(arguments[1], "int16_7_19", ".input.f32");
    guarded expected = read_file(arguments[1], "int16_7_19", ".output.f32");
    check_truncations(&file);
    grulet_model model, other, copy;
    CHECK(grulet_model_open(&model, file.data, file.bytes) == GRULET_OK, "int16_7_19");
    CHECK(grulet_model_open(&other, other_file.data, other_file.bytes) == GRULET_OK, "f32_5_13");
    CHECK(grulet_input_width(&model) == 7 && grulet_output_width(&model) == 5 + 19, "widths");
    REQUIRE(x.bytes >= (VOICES + 1) * 7 * sizeof(float), "too few frames");
    copy = model; /* copying a model is allowed */
    memset(&model, 0, sizeof model);
    check_sizes(&copy);
    for (size_t i = 0; grulet_isa_name(i) != NULL; i++) {
        grulet_isa_use(grulet_isa_name(i));
        check_addresses(&copy, (const float *)(void *)x.data, (const float *)(void *)expected.data);
        check_bad_frames(&copy, (const float *)(void *)x.data, (const float *)(void *)expected.data);
        check_bad_blobs(&copy, &other, (const float *)(void *)x.data);
        check_step_many(&copy, (const float *)(void *)x.data, (const float *)(void *)expected.data);
        check_bad_many(&copy, &other, (const float *)(void *)x.data, (const float *)(void *)expected.data);
        check_step_operator(&copy, (const float *)(void *)x.data);
    }
    guarded_free(&file), guarded_free(&other_file), guarded_free(&x), guarded_free(&expected);
    return finish("contract");
}
