/* The public functions: models, streams, steps, saved states. */
#include "grulet_impl.h"

#include <string.h>

const char *grulet_version(void) { return GRULET_VERSION; }

const char *grulet_status_text(grulet_status status)
{
    switch (status) {
    case GRULET_OK: return "no error";
    case GRULET_NOT_A_MODEL: return "this is not a .grulet file";
    case GRULET_WRONG_VERSION: return "the file's format version is not the one this library reads";
    case GRULET_WRONG_SIZE: return "the file is truncated or has trailing bytes";
    case GRULET_DAMAGED: return "the file is damaged: its checksum does not match";
    case GRULET_FORBIDDEN: return "the file breaks a rule of the format";
    case GRULET_MISALIGNED: return "the file's address is not a multiple of 4";
    case GRULET_BIG_ENDIAN: return "this CPU is big-endian; .grulet files are little-endian";
    case GRULET_SMALL_MEMORY: return "the memory given is too small";
    case GRULET_BAD_FRAME: return "the frame holds a NaN or an infinity";
    case GRULET_BAD_STATE: return "the saved state is damaged or belongs to another model";
    case GRULET_UNKNOWN_ISA: return "no such instruction set in this library or on this CPU";
    }
    return "unknown status";
}

/* ---- models --------------------------------------------------------------------------------------------------------- */

/* What grulet_model.sizes holds: sums over the file that a step should not take again. */
enum { INPUT_WIDTH, OUTPUT_WIDTH, WEIGHT_BYTES, OPERAND_WIDTH_0, OPERAND_WIDTH_1 };

size_t grulet_model_bytes(void) { return sizeof(grulet_model); }

grulet_status grulet_model_open(grulet_model *model, const void *file, size_t bytes)
{
    memset(model, 0, sizeof *model);
    const grulet_status status = grulet_check_file(file, bytes);
    if (status != GRULET_OK) return status;
    const grulet_tables t = grulet_tables_of(file);
    model->file = file;
    for (uint32_t p = 0; p < t.header->inputs; p++) model->sizes[INPUT_WIDTH] += t.values[t.ports[p].value].width;
    for (uint32_t p = 0; p < t.header->outputs; p++)
        model->sizes[OUTPUT_WIDTH] += t.values[t.ports[t.header->inputs + p].value].width;
    for (uint32_t o = 0; o < t.header->ops; o++) {
        const grulet_op *op = &t.ops[o];
        model->sizes[WEIGHT_BYTES] += op->data_bytes;
        if (op->weights == GRULET_WEIGHTS_NONE) continue;
        if (op->inputs > model->sizes[OPERAND_WIDTH_0]) model->sizes[OPERAND_WIDTH_0] = op->inputs;
        if (op->kind == GRULET_OP_GRU && op->units > model->sizes[OPERAND_WIDTH_1])
            model->sizes[OPERAND_WIDTH_1] = op->units;
    }
    grulet_kernel_used(); /* choose now: a step must not probe the CPU */
    return GRULET_OK;
}

size_t grulet_input_width(const grulet_model *model) { return model->sizes[INPUT_WIDTH]; }
size_t grulet_output_width(const grulet_model *model) { return model->sizes[OUTPUT_WIDTH]; }
size_t grulet_weight_bytes(const grulet_model *model) { return model->sizes[WEIGHT_BYTES]; }

uint32_t grulet_read_weights(const grulet_model *model)
{
    const grulet_tables t = grulet_tables_of(model->file);
    return grulet_kernel_used()->read_lines(t.file + t.header->data, grulet_weight_bytes(model));
}

/* ---- streams -------------------------------------------------------------------------------------------------------- */

/* In the caller's memory, each part on a 64-byte boundary: this struct, state, scratch, arena.  The arena holds all values
 * of a frame; `block` frames have one arena each, one behind the other. */
struct grulet_stream {
    grulet_tables tables;
    size_t block, arena_stride, input_width;
    float *state, *arena;
    void *scratch;
};

static size_t aligned(size_t bytes) { return (bytes + GRULET_ALIGN - 1) / GRULET_ALIGN * GRULET_ALIGN; }

static size_t scratch_bytes(const grulet_model *model)
{
    return grulet_operand_bytes(model->sizes[OPERAND_WIDTH_0]) + grulet_operand_bytes(model->sizes[OPERAND_WIDTH_1]);
}

size_t grulet_stream_bytes(const grulet_model *model, size_t block)
{
    const grulet_header *header = model->file;
    const size_t arena = aligned(header->arena_floats * sizeof(float));
    const size_t fixed = (GRULET_ALIGN - 1) + aligned(sizeof(grulet_stream)) +
                         aligned(header->state_floats * sizeof(float)) + scratch_bytes(model);
    if (block == 0 || block > ((size_t)-1 - fixed) / arena) return 0;
    return fixed + block * arena;
}

grulet_status grulet_stream_init(grulet_stream **stream, void *memory, size_t bytes, const grulet_model *model,
                                 size_t block)
{
    const grulet_tables t = grulet_tables_of(model->file);
    const size_t need = grulet_stream_bytes(model, block);
    if (need == 0 || bytes < need) return GRULET_SMALL_MEMORY;
    unsigned char *at = memory;
    at += (GRULET_ALIGN - (uintptr_t)at % GRULET_ALIGN) % GRULET_ALIGN;
    grulet_stream *s = (grulet_stream *)(void *)at;
    at += aligned(sizeof *s);
    s->tables = t;
    s->block = block;
    s->arena_stride = aligned(t.header->arena_floats * sizeof(float)) / sizeof(float);
    s->input_width = grulet_input_width(model);
    s->state = (float *)(void *)at;
    at += aligned(t.header->state_floats * sizeof(float));
    s->scratch = at;
    at += scratch_bytes(model);
    s->arena = (float *)(void *)at;
    memset(s->scratch, 0, scratch_bytes(model));
    memset(s->arena, 0, block * s->arena_stride * sizeof(float));
    grulet_stream_reset(s);
    *stream = s;
    return GRULET_OK;
}

void grulet_stream_reset(grulet_stream *s)
{
    for (uint32_t i = 0; i < s->tables.header->states; i++) {
        const grulet_state *state = &s->tables.states[i];
        float *h = s->state + state->offset;
        if (state->initial) memcpy(h, s->tables.file + state->initial, state->width * sizeof(float));
        else memset(h, 0, state->width * sizeof(float));
    }
}

static int frame_is_finite(const float *x, size_t n)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bad |= (uint32_t)((bits & 0x7F800000u) == 0x7F800000u);
    }
    return !bad;
}

/* A subnormal input is read as zero (docs/numerics.md). */
static void copy_frame(float *to, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bits = bits & 0x7F800000u ? bits : 0;
        memcpy(to + i, &bits, sizeof bits);
    }
}

static void run_op(const grulet_stream *s, const grulet_kernel *kernel, const grulet_op *op, float *arena)
{
    const grulet_tables *t = &s->tables;
    const float *x = arena + t->values[op->input].offset;
    float *y = arena + t->values[op->output].offset;
    const unsigned char *data = t->file + op->data;
    switch (op->kind) {
    case GRULET_OP_GRU: kernel->gru(op, data, y, x, s->state + t->states[op->state].offset, s->scratch); break;
    case GRULET_OP_DENSE: kernel->dense(op, data, y, x, s->scratch); break;
    case GRULET_OP_ACTIVATION: kernel->activation(op, y, x); break;
    }
}

/* Up to `block` checked frames, operator by operator: an operator's weights stay in cache for the whole block. */
static void run_block(const grulet_stream *s, const grulet_kernel *kernel, float *y, const float *x, size_t frames)
{
    const grulet_tables *t = &s->tables;
    const grulet_port *outputs = t->ports + t->header->inputs;
    for (size_t f = 0; f < frames; f++) copy_frame(s->arena + f * s->arena_stride, x + f * s->input_width, s->input_width);
    for (uint32_t o = 0; o < t->header->ops; o++)
        for (size_t f = 0; f < frames; f++) run_op(s, kernel, &t->ops[o], s->arena + f * s->arena_stride);
    for (size_t f = 0; f < frames; f++)
        for (uint32_t p = 0; p < t->header->outputs; p++) {
            const grulet_value *value = &t->values[outputs[p].value];
            memcpy(y, s->arena + f * s->arena_stride + value->offset, value->width * sizeof(float));
            y += value->width;
        }
}

grulet_status grulet_step(grulet_stream *s, float *y, const float *x)
{
    if (!frame_is_finite(x, s->input_width)) return GRULET_BAD_FRAME;
    run_block(s, grulet_kernel_used(), y, x, 1);
    return GRULET_OK;
}

grulet_status grulet_run(grulet_stream *s, float *y, const float *x, size_t frames)
{
    const grulet_tables *t = &s->tables;
    const grulet_kernel *kernel = grulet_kernel_used();
    size_t output_width = 0;
    for (uint32_t p = 0; p < t->header->outputs; p++)
        output_width += t->values[t->ports[t->header->inputs + p].value].width;
    for (size_t f = 0; f < frames; f++)
        if (!frame_is_finite(x + f * s->input_width, s->input_width)) return GRULET_BAD_FRAME;
    for (size_t f = 0; f < frames; f += s->block) {
        const size_t count = frames - f < s->block ? frames - f : s->block;
        run_block(s, kernel, y + f * output_width, x + f * s->input_width, count);
    }
    return GRULET_OK;
}

/* ---- saved states --------------------------------------------------------------------------------------------------- */

/* A blob: this header, then the states' floats, all little-endian like the CPU. */
typedef struct { unsigned char magic[8]; uint32_t model_crc32, blob_crc32; } blob_header;
static const unsigned char BLOB_MAGIC[8] = {0x89, 'G', 'R', 'U', 'S', 'T', '1', '\n'};

static uint32_t state_bytes(const grulet_stream *s) { return s->tables.header->state_floats * (uint32_t)sizeof(float); }

size_t grulet_save_bytes(const grulet_model *model)
{
    const grulet_header *header = model->file;
    return sizeof(blob_header) + header->state_floats * sizeof(float);
}

grulet_status grulet_save(const grulet_stream *s, void *blob, size_t bytes)
{
    blob_header header;
    if (bytes < sizeof header + state_bytes(s)) return GRULET_SMALL_MEMORY;
    memcpy(header.magic, BLOB_MAGIC, sizeof BLOB_MAGIC);
    header.model_crc32 = s->tables.header->crc32;
    header.blob_crc32 = grulet_crc32(0, s->state, state_bytes(s));
    memcpy(blob, &header, sizeof header);
    memcpy((unsigned char *)blob + sizeof header, s->state, state_bytes(s));
    return GRULET_OK;
}

grulet_status grulet_restore(grulet_stream *s, const void *blob, size_t bytes)
{
    blob_header header;
    const unsigned char *saved = (const unsigned char *)blob + sizeof header;
    if (bytes != sizeof header + state_bytes(s)) return GRULET_BAD_STATE;
    memcpy(&header, blob, sizeof header);
    if (!grulet_same_bytes(header.magic, BLOB_MAGIC, sizeof BLOB_MAGIC)) return GRULET_BAD_STATE;
    if (header.model_crc32 != s->tables.header->crc32) return GRULET_BAD_STATE;
    if (header.blob_crc32 != grulet_crc32(0, saved, state_bytes(s))) return GRULET_BAD_STATE;
    for (uint32_t i = 0; i < s->tables.header->state_floats; i++) { /* the kernels rely on |h| <= 1 */
        float h;
        memcpy(&h, saved + i * sizeof h, sizeof h);
        if (!(h >= -1.0f && h <= 1.0f)) return GRULET_BAD_STATE;
    }
    memcpy(s->state, saved, state_bytes(s));
    return GRULET_OK;
}
