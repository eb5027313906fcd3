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
    case GRULET_OTHER_MODEL: return "the streams are not all of the same model";
    case GRULET_NO_OPERATOR: return "the model has no operator of this number";
    case GRULET_UNKNOWN_ISA: return "no such instruction set in this library or on this CPU";
    }
    return "unknown status";
}

/* ---- models --------------------------------------------------------------------------------------------------------- */

/* What grulet_model.sizes holds: sums over the file that a step should not take again. */
enum { INPUT_WIDTH, OUTPUT_WIDTH, WEIGHT_BYTES, OPERAND_WIDTH, GRU_UNITS };

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
        if (op->inputs > model->sizes[OPERAND_WIDTH]) model->sizes[OPERAND_WIDTH] = op->inputs;
        if (op->kind == GRULET_OP_GRU && op->units > model->sizes[GRU_UNITS]) model->sizes[GRU_UNITS] = op->units;
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

/* A stream's memory, each part on a 64-byte boundary: the lanes (lane 0 is the stream), pointers to them, state, hidden
 * operand, sums; then for each lane its arena, input operand and, in a block of several, projected sums. */
typedef struct { size_t lanes, pointers, state, h_operand, sums, arena, x_operand, projected; } stream_parts;

static size_t aligned(size_t bytes) { return (bytes + GRULET_ALIGN - 1) / GRULET_ALIGN * GRULET_ALIGN; }

static stream_parts parts_of(const grulet_model *model, size_t block)
{
    const grulet_header *header = model->file;
    const uint32_t gru_units = model->sizes[GRU_UNITS];
    stream_parts parts;
    parts.lanes = aligned(block * sizeof(grulet_stream));
    parts.pointers = aligned(block * sizeof(grulet_stream *));
    parts.state = aligned(header->state_floats * sizeof(float));
    parts.h_operand = grulet_operand_bytes(gru_units);
    parts.sums = GRULET_TILE * 2 * 3 * GRULET_BLOCK_ROWS * sizeof(float);
    parts.arena = aligned(header->arena_floats * sizeof(float));
    parts.x_operand = grulet_operand_bytes(model->sizes[OPERAND_WIDTH]);
    parts.projected = block == 1 ? 0 : 3 * sizeof(float) * grulet_round_up(gru_units, GRULET_BLOCK_ROWS);
    return parts;
}

size_t grulet_stream_bytes(const grulet_model *model, size_t block)
{
    const size_t slack = GRULET_ALIGN - 1, largest = (size_t)-1 / 2;
    stream_parts p = parts_of(model, 2);
    const size_t fixed = slack + p.state + p.h_operand + p.sums;
    const size_t lane = p.arena + p.x_operand + p.projected + p.lanes + p.pointers;
    if (block == 0 || block > (largest - fixed) / lane) return 0;
    p = parts_of(model, block);
    return fixed + p.lanes + p.pointers + block * (p.arena + p.x_operand + p.projected);
}

/* Cut the next part off the memory. */
static void *take(unsigned char **at, size_t bytes)
{
    void *part = *at;
    memset(part, 0, bytes);
    *at += bytes;
    return part;
}

grulet_status grulet_stream_init(grulet_stream **stream, void *memory, size_t bytes, const grulet_model *model,
                                 size_t block)
{
    const size_t need = grulet_stream_bytes(model, block);
    if (need == 0 || bytes < need) return GRULET_SMALL_MEMORY;
    unsigned char *at = memory;
    at += (GRULET_ALIGN - (uintptr_t)at % GRULET_ALIGN) % GRULET_ALIGN;
    const stream_parts parts = parts_of(model, block);
    grulet_stream *lanes = take(&at, parts.lanes);
    grulet_stream **pointers = take(&at, parts.pointers);
    grulet_stream shared = {0};
    shared.state = take(&at, parts.state);
    shared.h_operand = take(&at, parts.h_operand);
    shared.sums = take(&at, parts.sums);
    shared.tables = grulet_tables_of(model->file);
    shared.block = block;
    shared.input_width = grulet_input_width(model);
    shared.output_width = grulet_output_width(model);
    shared.lanes = pointers;
    for (size_t f = 0; f < block; f++) {
        lanes[f] = shared;
        lanes[f].arena = take(&at, parts.arena);
        lanes[f].x_operand = take(&at, parts.x_operand);
        if (parts.projected) lanes[f].projected = take(&at, parts.projected);
        pointers[f] = &lanes[f];
    }
    grulet_stream_reset(lanes);
    *stream = lanes;
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

/* One operator for one frame of each of `count` streams, or (`sequence`) for `count` frames of one. */
static void run_op(const grulet_kernel *kernel, const grulet_op *op, grulet_stream *const *streams, size_t count,
                   int sequence)
{
    const grulet_tables *t = &streams[0]->tables;
    grulet_task task = {op, t->file + op->data, t->values[op->input].offset, t->values[op->output].offset, 0,
                        streams[0]->backwards};
    switch (op->kind) {
    case GRULET_OP_GRU:
        task.h = t->states[op->state].offset;
        if (sequence) kernel->gru_sequence(&task, streams, count);
        else kernel->gru(&task, streams, count);
        break;
    case GRULET_OP_DENSE: kernel->dense(&task, streams, count); break;
    case GRULET_OP_ACTIVATION: kernel->activation(&task, streams, count); break;
    }
}

static void run_ops(const grulet_kernel *kernel, grulet_stream *const *streams, size_t count, int sequence)
{
    const grulet_tables *t = &streams[0]->tables;
    for (uint32_t o = 0; o < t->header->ops; o++) run_op(kernel, &t->ops[o], streams, count, sequence);
}

static int take_frame(const grulet_kernel *kernel, const grulet_stream *stream, const float *x)
{
    return kernel->take_frame(stream->arena, x, (uint32_t)stream->input_width);
}

static void give_outputs(const grulet_stream *stream, float *y)
{
    const grulet_tables *t = &stream->tables;
    const grulet_port *outputs = t->ports + t->header->inputs;
    for (uint32_t p = 0; p < t->header->outputs; p++) {
        const grulet_value *value = &t->values[outputs[p].value];
        memcpy(y, stream->arena + value->offset, value->width * sizeof(float));
        y += value->width;
    }
}

grulet_status grulet_step(grulet_stream *s, float *y, const float *x)
{
    const grulet_kernel *kernel = grulet_kernel_used();
    if (!take_frame(kernel, s, x)) return GRULET_BAD_FRAME;
    run_ops(kernel, &s, 1, 0);
    s->backwards ^= 1;
    give_outputs(s, y);
    return GRULET_OK;
}

grulet_status grulet_step_operator(grulet_stream *s, uint32_t index)
{
    if (index >= s->tables.header->ops) return GRULET_NO_OPERATOR;
    run_op(grulet_kernel_used(), &s->tables.ops[index], &s, 1, 0);
    return GRULET_OK;
}

grulet_status grulet_step_many(grulet_stream *const *streams, size_t count, float *y, const float *x)
{
    const grulet_kernel *kernel = grulet_kernel_used();
    for (size_t s = 0; s < count; s++)
        if (streams[s]->tables.file != streams[0]->tables.file) return GRULET_OTHER_MODEL;
    for (size_t s = 0; s < count; s++)
        if (!take_frame(kernel, streams[s], x + s * streams[s]->input_width)) return GRULET_BAD_FRAME;
    if (count == 0) return GRULET_OK;
    run_ops(kernel, streams, count, 0);
    streams[0]->backwards ^= 1;
    for (size_t s = 0; s < count; s++) give_outputs(streams[s], y + s * streams[s]->output_width);
    return GRULET_OK;
}

/* Up to `block` frames, operator by operator: what an operator reads stays in cache for the whole block. */
static void run_block(const grulet_kernel *kernel, const grulet_stream *s, float *y, const float *x, size_t frames)
{
    for (size_t f = 0; f < frames; f++) (void)take_frame(kernel, s->lanes[f], x + f * s->input_width);
    run_ops(kernel, s->lanes, frames, frames > 1);
    for (size_t f = 0; f < frames; f++) give_outputs(s->lanes[f], y + f * s->output_width);
}

grulet_status grulet_run(grulet_stream *s, float *y, const float *x, size_t frames)
{
    const grulet_kernel *kernel = grulet_kernel_used();
    for (size_t f = 0; f < frames; f++)
        if (!take_frame(kernel, s, x + f * s->input_width)) return GRULET_BAD_FRAME;
    for (size_t f = 0; f < frames; f += s->block) {
        const size_t count = frames - f < s->block ? frames - f : s->block;
        run_block(kernel, s, y + f * s->output_width, x + f * s->input_width, count);
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
