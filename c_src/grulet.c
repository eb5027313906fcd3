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
    case GRULET_BAD_FRAME: return "the frame holds a NaN, an infinity, or a number that is no token where one must be";
    case GRULET_BAD_STATE: return "the saved state is damaged or belongs to another model";
    case GRULET_OTHER_MODEL: return "the streams are not all of the same model";
    case GRULET_NO_OPERATOR: return "the model has no operator of this number";
    case GRULET_UNKNOWN_ISA: return "no such instruction set in this library or on this CPU";
    case GRULET_NEEDS_SEQUENCE: return "the model has layers that go backwards: it runs whole sequences, no single frames";
    case GRULET_LONG_SEQUENCE: return "the sequence is longer than the block that the stream was made for";
    }
    return "unknown status";
}

/* ---- models --------------------------------------------------------------------------------------------------------- */

/* What grulet_model.sizes holds: sums over the file that a step should not take again. */
enum { INPUT_WIDTH, OUTPUT_WIDTH, WEIGHT_BYTES, OPERAND_WIDTH, CELL_UNITS, SETS, NEEDS_SEQUENCE };

/* Bytes of an operator's weights that one frame reads: of an embedding's table, as many rows as there are tokens. */
static uint32_t bytes_read(const grulet_op *op)
{
    if (op->kind != GRULET_OP_EMBEDDING) return op->data_bytes;
    return op->inputs * (uint32_t)grulet_weight_bytes_of(op->weights, op->units / op->inputs);
}

static void keep_largest(uint32_t *size, uint32_t candidate) { if (candidate > *size) *size = candidate; }

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
        model->sizes[WEIGHT_BYTES] += bytes_read(op);
        model->sizes[NEEDS_SEQUENCE] |= op->schedule & GRULET_REVERSE;
        keep_largest(&model->sizes[SETS], grulet_sets(op));
        if (grulet_sets(op)) keep_largest(&model->sizes[OPERAND_WIDTH], op->inputs);
        if (grulet_is_cell(op)) keep_largest(&model->sizes[CELL_UNITS], op->units);
    }
    grulet_kernel_used(); /* choose now: a step must not probe the CPU */
    return GRULET_OK;
}

size_t grulet_input_width(const grulet_model *model) { return model->sizes[INPUT_WIDTH]; }
size_t grulet_output_width(const grulet_model *model) { return model->sizes[OUTPUT_WIDTH]; }
size_t grulet_weight_bytes(const grulet_model *model) { return model->sizes[WEIGHT_BYTES]; }
int grulet_needs_sequence(const grulet_model *model) { return model->sizes[NEEDS_SEQUENCE] != 0; }

uint32_t grulet_read_weights(const grulet_model *model)
{
    const grulet_tables t = grulet_tables_of(model->file);
    uint32_t sum = 0;
    for (uint32_t o = 0; o < t.header->ops; o++) {
        const uint32_t lines = grulet_round_up(bytes_read(&t.ops[o]), GRULET_ALIGN), all = t.ops[o].data_bytes;
        sum += grulet_kernel_used()->read_lines(t.file + t.ops[o].data, lines < all ? lines : all);
    }
    return sum;
}

/* ---- streams -------------------------------------------------------------------------------------------------------- */

/* A stream's memory, each part on a 64-byte boundary: the lanes (lane 0 is the stream), pointers to them, state, hidden
 * operand, sums; then for each lane its arena, input operand and, in a block of several, projected sums. */
typedef struct { size_t lanes, pointers, state, h_operand, sums, arena, x_operand, projected; } stream_parts;

static size_t aligned(size_t bytes) { return (bytes + GRULET_ALIGN - 1) / GRULET_ALIGN * GRULET_ALIGN; }

static stream_parts parts_of(const grulet_model *model, size_t block)
{
    const grulet_header *header = model->file;
    const uint32_t units = model->sizes[CELL_UNITS], sets = model->sizes[SETS];
    stream_parts parts;
    parts.lanes = aligned(block * sizeof(grulet_stream));
    parts.pointers = aligned(block * sizeof(grulet_stream *));
    parts.state = aligned(header->state_floats * sizeof(float));
    parts.h_operand = grulet_operand_bytes(units);
    parts.sums = GRULET_TILE * 2 * sets * GRULET_BLOCK_ROWS * sizeof(float);
    parts.arena = aligned(header->arena_floats * sizeof(float));
    parts.x_operand = grulet_operand_bytes(model->sizes[OPERAND_WIDTH]);
    parts.projected = block == 1 ? 0 : sets * sizeof(float) * grulet_round_up(units, GRULET_BLOCK_ROWS);
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
    shared.needs_sequence = model->sizes[NEEDS_SEQUENCE];
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

/* ---- steps ---------------------------------------------------------------------------------------------------------- */

/* What runs an operator: the kernel, or for what needs no instruction set of its own, plain C. */
static grulet_op_function function_of(const grulet_kernel *kernel, const grulet_op *op, int sequence)
{
    if (grulet_is_cell(op)) return sequence ? kernel->cell_sequence : kernel->cell;
    if (op->kind == GRULET_OP_DENSE) return kernel->dense;
    if (op->kind == GRULET_OP_ACTIVATION && op->function <= GRULET_FUNCTION_SOFTMAX) return kernel->activation;
    return grulet_vector_op;
}

/* One operator for one frame of each of `count` streams, or (`sequence`) for `count` frames of one. */
static void run_op(const grulet_kernel *kernel, const grulet_op *op, grulet_stream *const *streams, size_t count,
                   int sequence, uint32_t backwards)
{
    const grulet_tables *t = &streams[0]->tables;
    grulet_task task = {op, t->file + op->data, 0, 0, t->values[op->output].offset, 0, backwards};
    if (op->input != GRULET_NONE) task.x = t->values[op->input].offset;
    if (op->second_input != GRULET_NONE) task.x2 = t->values[op->second_input].offset;
    if (op->state != GRULET_NONE) task.h = t->states[op->state].offset;
    function_of(kernel, op, sequence)(&task, streams, count);
}

/* Exchange the first and the last of `count` lanes, the second and the last but one, ... */
static void reverse(grulet_stream **lanes, size_t count)
{
    for (size_t f = 0; f < count / 2; f++) {
        grulet_stream *const other = lanes[f];
        lanes[f] = lanes[count - 1 - f];
        lanes[count - 1 - f] = other;
    }
}

static uint32_t loop_of(const grulet_op *op) { return op->schedule >> GRULET_LOOP_SHIFT; }

/* All operators for `count` frames of one stream, frame f in lane f.  An operator alone runs over all frames at once, so
 * that what it reads stays in cache; those of a loop run together, frame by frame, because what one of them writes in a
 * frame another reads in the next.  What goes backwards in time gets the lanes in reverse order. */
static void run_frames(const grulet_kernel *kernel, grulet_stream **lanes, size_t count)
{
    const grulet_op *op = lanes[0]->tables.ops, *const end = op + lanes[0]->tables.header->ops;
    const uint32_t backwards = lanes[0]->backwards;
    while (op < end) {
        const grulet_op *const first = op++;
        if (first->schedule & GRULET_REVERSE) reverse(lanes, count);
        if (loop_of(first) == 0) run_op(kernel, first, lanes, count, count > 1, backwards);
        else {
            while (op < end && loop_of(op) == loop_of(first)) op++;
            for (size_t f = 0; f < count; f++)
                for (const grulet_op *o = first; o < op; o++) run_op(kernel, o, &lanes[f], 1, 0, (backwards + f) & 1);
        }
        if (first->schedule & GRULET_REVERSE) reverse(lanes, count);
    }
}

/* All operators for one frame of each of `count` streams. */
static void step_streams(const grulet_kernel *kernel, grulet_stream *const *streams, size_t count)
{
    const grulet_tables *t = &streams[0]->tables;
    for (uint32_t o = 0; o < t->header->ops; o++) run_op(kernel, &t->ops[o], streams, count, 0, streams[0]->backwards);
    streams[0]->backwards ^= 1;
}

static int tokens_allowed(const float *x, uint32_t n, uint32_t limit)
{
    for (uint32_t i = 0; i < n; i++)
        if (!(x[i] >= 0.0f && x[i] < (float)limit) || x[i] != (float)(uint32_t)x[i]) return 0;
    return 1;
}

/* Copy a frame into the arena; 0 if it is a bad one. */
static int take_frame(const grulet_kernel *kernel, const grulet_stream *stream, const float *x)
{
    const grulet_tables *t = &stream->tables;
    if (!kernel->take_frame(stream->arena, x, (uint32_t)stream->input_width)) return 0;
    for (uint32_t p = 0; p < t->header->inputs; p++) { /* input port p is value p */
        const grulet_value *value = &t->values[p];
        if (t->ports[p].kind == GRULET_PORT_TOKENS &&
            !tokens_allowed(stream->arena + value->offset, value->width, t->ports[p].limit))
            return 0;
    }
    return 1;
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
    if (s->needs_sequence) return GRULET_NEEDS_SEQUENCE;
    if (!take_frame(kernel, s, x)) return GRULET_BAD_FRAME;
    step_streams(kernel, &s, 1);
    give_outputs(s, y);
    return GRULET_OK;
}

grulet_status grulet_step_operator(grulet_stream *s, uint32_t index)
{
    if (index >= s->tables.header->ops) return GRULET_NO_OPERATOR;
    run_op(grulet_kernel_used(), &s->tables.ops[index], &s, 1, 0, s->backwards);
    return GRULET_OK;
}

grulet_status grulet_step_many(grulet_stream *const *streams, size_t count, float *y, const float *x)
{
    const grulet_kernel *kernel = grulet_kernel_used();
    if (count == 0) return GRULET_OK;
    for (size_t s = 0; s < count; s++)
        if (streams[s]->tables.file != streams[0]->tables.file) return GRULET_OTHER_MODEL;
    if (streams[0]->needs_sequence) return GRULET_NEEDS_SEQUENCE;
    for (size_t s = 0; s < count; s++)
        if (!take_frame(kernel, streams[s], x + s * streams[s]->input_width)) return GRULET_BAD_FRAME;
    step_streams(kernel, streams, count);
    for (size_t s = 0; s < count; s++) give_outputs(streams[s], y + s * streams[s]->output_width);
    return GRULET_OK;
}

/* Up to `block` frames. */
static void run_block(const grulet_kernel *kernel, const grulet_stream *s, float *y, const float *x, size_t frames)
{
    for (size_t f = 0; f < frames; f++) (void)take_frame(kernel, s->lanes[f], x + f * s->input_width);
    run_frames(kernel, s->lanes, frames);
    for (size_t f = 0; f < frames; f++) give_outputs(s->lanes[f], y + f * s->output_width);
}

grulet_status grulet_run(grulet_stream *s, float *y, const float *x, size_t frames)
{
    const grulet_kernel *kernel = grulet_kernel_used();
    if (s->needs_sequence && frames > s->block) return GRULET_LONG_SEQUENCE;
    for (size_t f = 0; f < frames; f++)
        if (!take_frame(kernel, s, x + f * s->input_width)) return GRULET_BAD_FRAME;
    if (s->needs_sequence && frames > 0) grulet_stream_reset(s);
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
    for (uint32_t i = 0; i < s->tables.header->states; i++) { /* a step relies on what its states may hold */
        const grulet_state *state = &s->tables.states[i];
        const grulet_op *owner = &s->tables.ops[state->op];
        if (!grulet_state_allowed(owner, saved + state->offset * sizeof(float))) return GRULET_BAD_STATE;
    }
    memcpy(s->state, saved, state_bytes(s));
    return GRULET_OK;
}
