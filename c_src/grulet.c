/* Models, streams and saved states: what happens before and between steps. */
#include "grulet_config.h"
#include "grulet_kernel.h"

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
    case GRULET_LEFT_OUT:
        return "the model needs an operator, a function or a weight format that this build of the library leaves out";
    case GRULET_WRONG_LENGTH: return "a vector does not have the length of the model's frames";
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
        sum += grulet_kernel_used()->floats->read_lines(t.file + t.ops[o].data, lines < all ? lines : all);
    }
    return sum;
}

/* ---- streams -------------------------------------------------------------------------------------------------------- */

/* A stream's memory, each part on a 64-byte boundary: the lanes (lane 0 is the stream), pointers to them, state, hidden
 * operand, sweep, sums; then for each lane its arena, input operand and, in a block of several, projected sums.  runtime/grulet/
 * memory.py has the same sums, for CPUs that are not this one. */
typedef struct { size_t lanes, pointers, state, h_operand, sweep, sums, arena, x_operand, projected; } stream_parts;

static size_t aligned(size_t bytes) { return (bytes + GRULET_ALIGN - 1) / GRULET_ALIGN * GRULET_ALIGN; }

static stream_parts parts_of(const grulet_model *model, size_t block)
{
    const grulet_header *header = (const grulet_header *)model->file;
    const uint32_t units = model->sizes[CELL_UNITS], sets = model->sizes[SETS];
    stream_parts parts;
    parts.lanes = aligned(block * sizeof(grulet_stream));
    parts.pointers = GRULET_WITH_BLOCKS ? aligned(block * sizeof(grulet_stream *)) : 0;
    parts.state = aligned(header->state_floats * sizeof(float));
    parts.h_operand = grulet_operand_bytes(units);
    parts.sweep = GRULET_HAS_CELLS && units ? aligned(grulet_sweep_bytes()) : 0;
    parts.sums = GRULET_TILE * 2 * sets * GRULET_BLOCK_ROWS * sizeof(float);
    parts.arena = aligned(header->arena_floats * sizeof(float));
    parts.x_operand = grulet_operand_bytes(model->sizes[OPERAND_WIDTH]);
    parts.projected = block == 1 ? 0 : sets * sizeof(float) * grulet_round_up(units, GRULET_BLOCK_ROWS);
    return parts;
}

size_t grulet_stream_bytes(const grulet_model *model, size_t block)
{
    const size_t slack = GRULET_ALIGN - 1, largest = (size_t)-1 / 2;
    if (!GRULET_WITH_BLOCKS && block != 1) return 0;
    stream_parts p = parts_of(model, 2);
    const size_t fixed = slack + p.state + p.h_operand + p.sweep + p.sums;
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
    unsigned char *at = (unsigned char *)memory;
    at += (GRULET_ALIGN - (uintptr_t)at % GRULET_ALIGN) % GRULET_ALIGN;
    const stream_parts parts = parts_of(model, block);
    grulet_stream *lanes = (grulet_stream *)take(&at, parts.lanes);
    grulet_stream **pointers = (grulet_stream **)take(&at, parts.pointers);
    grulet_stream shared;
    memset(&shared, 0, sizeof shared);
    shared.state = (float *)take(&at, parts.state);
    shared.h_operand = take(&at, parts.h_operand);
    shared.sweep = take(&at, parts.sweep);
    shared.sums = (float *)take(&at, parts.sums);
    shared.tables = grulet_tables_of(model->file);
    shared.block = block;
    shared.input_width = grulet_input_width(model);
    shared.output_width = grulet_output_width(model);
    shared.lanes = pointers;
    shared.needs_sequence = model->sizes[NEEDS_SEQUENCE];
    for (size_t f = 0; f < block; f++) {
        lanes[f] = shared;
        lanes[f].arena = (float *)take(&at, parts.arena);
        lanes[f].x_operand = take(&at, parts.x_operand);
        if (parts.projected) lanes[f].projected = (float *)take(&at, parts.projected);
        if (parts.pointers) pointers[f] = &lanes[f];
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

/* ---- saved states --------------------------------------------------------------------------------------------------- */

/* A blob: this header, then the states' floats, all little-endian like the CPU. */
typedef struct { unsigned char magic[8]; uint32_t model_crc32, blob_crc32; } blob_header;
static const unsigned char BLOB_MAGIC[8] = {0x89, 'G', 'R', 'U', 'S', 'T', '1', '\n'};

static uint32_t state_bytes(const grulet_stream *s) { return s->tables.header->state_floats * (uint32_t)sizeof(float); }

size_t grulet_save_bytes(const grulet_model *model)
{
    const grulet_header *header = (const grulet_header *)model->file;
    return sizeof(blob_header) + header->state_floats * sizeof(float);
}

grulet_status grulet_save(const grulet_stream *s, void *blob, size_t bytes)
{
    blob_header header;
    if (!GRULET_WITH_SAVE) return GRULET_LEFT_OUT;
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
    if (!GRULET_WITH_SAVE) return GRULET_LEFT_OUT;
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
