/* The checker of the data section: how many bytes each operator's weights and states take, and which numbers they may
 * hold (docs/format.md, rules 17 to 20).  The file is hostile: sizes are computed in 64 bits. */
#include "grulet_impl.h"

#include <string.h>

static uint64_t round_up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }

/* ---- blocks of weights -------------------------------------------------------------------------------------------- */

static uint32_t spans_of(uint32_t inputs) { return (inputs + GRULET_SPAN - 1) / GRULET_SPAN; }

static uint32_t biases_of(const grulet_op *op)
{
    return op->kind == GRULET_OP_GRU || op->kind == GRULET_OP_LSTM ? 4 : 1;
}

/* A panel: a matrix's rows of up to three sets. */
typedef struct { uint64_t at, bytes, row_sums, row_sum_bytes; uint32_t inputs, sets; } panel_layout;

/* Where the parts of one block lie, in bytes from its start. */
typedef struct { panel_layout panels[4]; uint32_t count; uint64_t scales, biases, end, bytes; } block_layout;

static block_layout layout_of(const grulet_op *op, uint32_t width)
{
    const uint32_t sets = grulet_sets(op), matrices = grulet_is_cell(op) ? 2 : 1;
    const uint64_t weight = op->weights == GRULET_WEIGHTS_F32 ? 4 : 1, row = 4 * (uint64_t)width;
    const int quantized = op->weights == GRULET_WEIGHTS_INT8;
    block_layout b;
    uint64_t at = 0;
    memset(&b, 0, sizeof b);
    for (uint32_t matrix = 0; matrix < matrices; matrix++)
        for (uint32_t set = 0; set < sets; set += GRULET_PANEL_SETS) {
            panel_layout *panel = &b.panels[b.count++];
            panel->inputs = matrix == 0 ? op->inputs : op->units;
            panel->sets = sets - set < GRULET_PANEL_SETS ? sets - set : GRULET_PANEL_SETS;
            panel->at = at;
            panel->bytes = round_up(round_up(panel->inputs, GRULET_GROUP) * width * panel->sets * weight, GRULET_ALIGN);
            at += panel->bytes;
        }
    b.scales = at;
    if (quantized) at += row * sets * matrices;
    b.biases = at;
    at += row * biases_of(op);
    for (uint32_t p = 0; p < b.count && quantized; p++) {
        b.panels[p].row_sums = at;
        b.panels[p].row_sum_bytes = row * b.panels[p].sets * spans_of(b.panels[p].inputs);
        at += b.panels[p].row_sum_bytes;
    }
    b.end = at;
    b.bytes = round_up(at, GRULET_ALIGN);
    return b;
}

static uint32_t last_width(const grulet_op *op)
{
    return (uint32_t)round_up(op->units % GRULET_BLOCK_ROWS, GRULET_GROUP);
}

/* ---- sizes -------------------------------------------------------------------------------------------------------- */

/* Floats (or other elements of 4 bytes) that an operator without blocks has. */
static uint64_t plain_elements(const grulet_op *op)
{
    switch (op->kind) {
    case GRULET_OP_AFFINE: return 2 * (uint64_t)op->units;
    case GRULET_OP_PRELU:
    case GRULET_OP_SELECT: return op->units;
    case GRULET_OP_LAYER_NORM: return 2 * (uint64_t)op->parameter;
    case GRULET_OP_DEPTHWISE: return (uint64_t)op->inputs + op->units;
    case GRULET_OP_EMBEDDING: /* the table, or the scales behind an int8 table */
        return op->weights == GRULET_WEIGHTS_F32 ? (uint64_t)op->parameter * (op->units / op->inputs) : op->parameter;
    default: return 0;
    }
}

/* Elements of an int8 table of embeddings. */
static uint64_t table_elements(const grulet_op *op)
{
    if (op->kind != GRULET_OP_EMBEDDING || op->weights != GRULET_WEIGHTS_INT8) return 0;
    return (uint64_t)op->parameter * (op->units / op->inputs);
}

uint64_t grulet_op_data_bytes(const grulet_op *op)
{
    if (grulet_sets(op) == 0)
        return round_up(table_elements(op), GRULET_ALIGN) + round_up(4 * plain_elements(op), GRULET_ALIGN);
    uint64_t bytes = op->units / GRULET_BLOCK_ROWS * layout_of(op, GRULET_BLOCK_ROWS).bytes;
    if (last_width(op)) bytes += layout_of(op, last_width(op)).bytes;
    return bytes;
}

uint64_t grulet_state_floats(const grulet_op *op)
{
    switch (op->kind) {
    case GRULET_OP_GRU:
    case GRULET_OP_RNN:
    case GRULET_OP_STATE_READ: return op->units;
    case GRULET_OP_LSTM: return 2 * (uint64_t)op->units;
    case GRULET_OP_HISTORY: return 1 + (uint64_t)(op->units - op->inputs) * op->parameter;
    default: return 0;
    }
}

/* ---- numbers --------------------------------------------------------------------------------------------------------- */

int grulet_all_zero(const void *data, uint64_t bytes)
{
    const unsigned char *byte = data;
    uint32_t any = 0;
    while (bytes--) any |= *byte++;
    return !any;
}

/* Floats at any address, none of them NaN, all from `lowest` to `highest`. */
static int all_within(const void *floats, uint64_t count, float lowest, float highest)
{
    const unsigned char *at = floats;
    float value;
    for (; count--; at += sizeof value) {
        memcpy(&value, at, sizeof value);
        if (!(value >= lowest && value <= highest)) return 0;
    }
    return 1;
}

static int all_finite(const void *floats, uint64_t count)
{
    return all_within(floats, count, -3.40282347e+38f, 3.40282347e+38f);
}

#define TWO_64 18446744073709551616.0f

/* Rule: a scale is in [0, 2^64]; larger ones could turn a finite sum into an infinity before the level is applied. */
static int scales_allowed(const void *scales, uint64_t count) { return all_within(scales, count, 0.0f, TWO_64); }

/* Rule: what pads a panel is zero: the rows of a last block beyond the units, the inputs of a last group beyond the
 * inputs, the bytes behind.  A weight is `size` bytes; strides are in weights (int8: row 4, input 1; f32: row 1, input
 * `width`). */
typedef struct { uint32_t inputs, sets, width, rows, size, row_stride, input_stride; } panel_shape;

static int panel_padding_allowed(const unsigned char *panel, const panel_shape *s)
{
    const uint32_t groups = (s->inputs + GRULET_GROUP - 1) / GRULET_GROUP;
    const uint64_t used = (uint64_t)groups * GRULET_GROUP * s->sets * s->width * s->size;
    const unsigned char *weights = panel;
    for (uint32_t group = 0; group < groups; group++)
        for (uint32_t set = 0; set < s->sets; set++, weights += (uint64_t)GRULET_GROUP * s->width * s->size) {
            const uint32_t left = s->inputs - group * GRULET_GROUP;
            if (s->rows == s->width && left >= GRULET_GROUP) continue;
            for (uint32_t row = 0; row < s->width; row++)
                for (uint32_t i = 0; i < GRULET_GROUP; i++)
                    if ((row >= s->rows || i >= left) &&
                        !grulet_all_zero(weights + (row * s->row_stride + i * s->input_stride) * s->size, s->size))
                        return 0;
        }
    return grulet_all_zero(panel + used, round_up(used, GRULET_ALIGN) - used);
}

/* Rule: vectors of `width` elements (scales, biases) are zero beyond the rows. */
static int vector_padding_allowed(const unsigned char *vectors, uint32_t count, uint32_t width, uint32_t rows)
{
    for (uint32_t v = 0; v < count; v++)
        if (!grulet_all_zero(vectors + 4 * ((uint64_t)v * width + rows), 4 * (uint64_t)(width - rows))) return 0;
    return 1;
}

/* Rules: no weight is -128 (|w| must fit int8); a row sum is the sum of its row's weights over its span.  Kernels that use
 * the row sums must give the bits of those that do not. */
static int int8_panel_allowed(const unsigned char *panel, const unsigned char *row_sums, uint32_t inputs, uint32_t rows)
{
    const int8_t *weights = (const int8_t *)panel;
    for (uint32_t first = 0; first < inputs; first += GRULET_SPAN, row_sums += 4 * rows) {
        const uint32_t end = inputs - first > GRULET_SPAN ? first + GRULET_SPAN : inputs;
        int32_t sums[GRULET_PANEL_SETS * GRULET_BLOCK_ROWS] = {0};
        int forbidden = 0;
        for (uint32_t i = first; i < end; i += GRULET_GROUP)
            for (uint32_t row = 0; row < rows; row++, weights += GRULET_GROUP) {
                sums[row] += weights[0] + weights[1] + weights[2] + weights[3];
                forbidden |= (weights[0] == -128) | (weights[1] == -128) | (weights[2] == -128) | (weights[3] == -128);
            }
        if (forbidden || !grulet_same_bytes(sums, row_sums, 4 * (size_t)rows)) return 0;
    }
    return 1;
}

/* One block of `width` stored rows, the first `rows` of them units. */
static int block_allowed(const grulet_op *op, const unsigned char *block, uint32_t width, uint32_t rows)
{
    const block_layout b = layout_of(op, width);
    const int f32 = op->weights == GRULET_WEIGHTS_F32;
    const uint32_t scale_vectors = (uint32_t)((b.biases - b.scales) / (4 * (uint64_t)width));
    for (uint32_t p = 0; p < b.count; p++) {
        const panel_layout *panel = &b.panels[p];
        const panel_shape shape = {panel->inputs, panel->sets, width, rows, f32 ? 4 : 1, f32 ? 1 : GRULET_GROUP,
                                   f32 ? width : 1};
        const unsigned char *weights = block + panel->at;
        if (!panel_padding_allowed(weights, &shape)) return 0;
        if (f32 ? !all_finite(weights, panel->bytes / 4)
                : !int8_panel_allowed(weights, block + panel->row_sums, panel->inputs, panel->sets * width))
            return 0;
    }
    return scales_allowed(block + b.scales, (uint64_t)scale_vectors * width) &&
           vector_padding_allowed(block + b.scales, scale_vectors, width, rows) &&
           all_finite(block + b.biases, (uint64_t)biases_of(op) * width) &&
           vector_padding_allowed(block + b.biases, biases_of(op), width, rows) &&
           grulet_all_zero(block + b.end, b.bytes - b.end);
}

static int blocks_allowed(const grulet_op *op, const unsigned char *data)
{
    uint32_t row = 0;
    for (; row + GRULET_BLOCK_ROWS <= op->units; row += GRULET_BLOCK_ROWS) {
        if (!block_allowed(op, data, GRULET_BLOCK_ROWS, GRULET_BLOCK_ROWS)) return 0;
        data += layout_of(op, GRULET_BLOCK_ROWS).bytes;
    }
    return row == op->units || block_allowed(op, data, last_width(op), op->units - row);
}

/* Rule: no element of an int8 table is -128; zeros behind it. */
static int table_allowed(const unsigned char *table, uint64_t elements)
{
    for (uint64_t i = 0; i < elements; i++)
        if (table[i] == 0x80) return 0;
    return grulet_all_zero(table + elements, round_up(elements, GRULET_ALIGN) - elements);
}

static int indices_allowed(const void *indices, uint32_t count, uint32_t limit)
{
    const uint32_t *index = indices;
    for (uint32_t i = 0; i < count; i++)
        if (index[i] >= limit) return 0;
    return 1;
}

int grulet_data_allowed(const grulet_op *op, const unsigned char *data)
{
    if (grulet_sets(op)) return blocks_allowed(op, data);
    const uint64_t table = table_elements(op), count = plain_elements(op), bytes = 4 * count;
    if (!table_allowed(data, table)) return 0;
    data += round_up(table, GRULET_ALIGN);
    if (!grulet_all_zero(data + bytes, round_up(bytes, GRULET_ALIGN) - bytes)) return 0;
    if (op->kind == GRULET_OP_SELECT) return indices_allowed(data, op->units, op->inputs);
    return table ? scales_allowed(data, count) : all_finite(data, count);
}

/* Rule: a history's position is a slot of its ring. */
static int history_allowed(const grulet_op *op, const unsigned char *floats)
{
    const uint32_t slots = (op->units / op->inputs - 1) * op->parameter;
    float position;
    memcpy(&position, floats, sizeof position);
    return position >= 0.0f && position < (float)slots && position == (float)(uint32_t)position &&
           all_finite(floats + sizeof position, (uint64_t)slots * op->inputs);
}

int grulet_state_allowed(const grulet_op *op, const void *floats)
{
    const unsigned char *const first = floats, *const second = first + 4 * (size_t)op->units;
    switch (op->kind) {
    case GRULET_OP_LSTM:
        return all_within(first, op->units, -1.0f, 1.0f) && all_within(second, op->units, -TWO_64, TWO_64);
    case GRULET_OP_HISTORY: return history_allowed(op, first);
    case GRULET_OP_STATE_READ: return all_finite(first, op->units);
    default: return all_within(first, op->units, -1.0f, 1.0f);
    }
}
