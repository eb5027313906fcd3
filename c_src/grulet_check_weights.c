/* The checker of the data section: how many bytes each operator's weights and states take, and which numbers they may
 * hold (docs/format.md, rules 17 to 20).  The file is hostile: sizes are computed in 64 bits. */
#include "grulet_config.h"
#include "grulet_impl.h"

#include <string.h>

static int has_int4(const grulet_op *op) { return GRULET_HAS_INT4 && op->weights == GRULET_WEIGHTS_INT4; }

/* `to`: a power of two; a division of 64-bit numbers is a function on small CPUs. */
static uint64_t round_up(uint64_t n, uint64_t to) { return (n + to - 1) & ~(to - 1); }

/* ---- blocks of weights -------------------------------------------------------------------------------------------- */

static uint32_t spans_of(uint32_t inputs) { return (inputs + GRULET_SPAN - 1) / GRULET_SPAN; }

static uint32_t biases_of(const grulet_op *op)
{
    return op->kind == GRULET_OP_GRU || op->kind == GRULET_OP_LSTM ? 4 : 1;
}

static uint32_t multiplier_groups(uint32_t inputs)
{
    return (inputs + GRULET_MULTIPLIER_INPUTS - 1) / GRULET_MULTIPLIER_INPUTS;
}

/* A panel: a matrix's rows of up to three sets. */
typedef struct { uint64_t at, bytes, row_sums, multipliers; uint32_t inputs, sets; } checked_panel;

/* Inputs of a panel as the format stores them: whole groups, of int4 whole pairs of groups. */
static uint64_t stored_inputs(const grulet_op *op, uint32_t inputs)
{
    return round_up(inputs, has_int4(op) ? GRULET_PAIR : GRULET_GROUP);
}

/* Where the parts of one block lie, in bytes from its start. */
typedef struct { checked_panel panels[4]; uint32_t count, scale_vectors; uint64_t scales, biases, end, bytes; } checked_block;

static void find_block(checked_block *b, const grulet_op *op, uint32_t width)
{
    const uint32_t sets = grulet_sets(op), matrices = grulet_is_cell(op) ? 2 : 1;
    const uint64_t row = 4 * (uint64_t)width;
    const int quantized = (GRULET_HAS_INT8 || GRULET_HAS_INT4) && grulet_is_quantized(op);
    uint64_t at = 0;
    memset(b, 0, sizeof *b);
    for (uint32_t matrix = 0; matrix < matrices; matrix++)
        for (uint32_t set = 0; set < sets; set += GRULET_PANEL_SETS) {
            checked_panel *panel = &b->panels[b->count++];
            panel->inputs = matrix == 0 ? op->inputs : op->units;
            panel->sets = sets - set < GRULET_PANEL_SETS ? sets - set : (uint32_t)GRULET_PANEL_SETS;
            panel->at = at;
            panel->bytes = round_up(
                grulet_weight_bytes_of(op->weights, stored_inputs(op, panel->inputs) * width * panel->sets), GRULET_ALIGN);
            at += panel->bytes;
        }
    b->scales = at;
    b->scale_vectors = quantized ? sets * matrices : 0;
    at += row * b->scale_vectors;
    b->biases = at;
    at += row * biases_of(op);
    for (uint32_t p = 0; p < b->count && quantized; p++) {
        b->panels[p].row_sums = at;
        at += row * b->panels[p].sets * spans_of(b->panels[p].inputs);
    }
    for (uint32_t p = 0; p < b->count && has_int4(op); p++) {
        b->panels[p].multipliers = at;
        at += (uint64_t)width * b->panels[p].sets * multiplier_groups(b->panels[p].inputs);
    }
    b->end = at;
    b->bytes = round_up(at, GRULET_ALIGN);
}

static uint64_t block_bytes(const grulet_op *op, uint32_t width)
{
    checked_block b;
    find_block(&b, op, width);
    return b.bytes;
}

/* Stored rows of a narrow last block; 0: there is none. */
static uint32_t last_width(const grulet_op *op)
{
    return GRULET_WITH_NARROW ? (uint32_t)round_up(op->units % GRULET_BLOCK_ROWS, GRULET_GROUP) : 0;
}

/* ---- sizes -------------------------------------------------------------------------------------------------------- */

/* What an operator without blocks has: bytes of its integers (a table of embeddings), of their multipliers, of its floats (or
 * other elements of 4 bytes: a select's indices), of its halves.  Each part that is there fills up to a multiple of 64. */
typedef struct { uint64_t integers, multipliers, floats, halves; } plain_layout;

static plain_layout plain_layout_of(const grulet_op *op)
{
    plain_layout p = {0, 0, 0, 0};
    switch (op->kind) {
    case GRULET_OP_AFFINE: p.floats = 8 * (uint64_t)op->units; break;
    case GRULET_OP_PRELU:
    case GRULET_OP_SELECT: p.floats = 4 * (uint64_t)op->units; break;
    case GRULET_OP_LAYER_NORM: p.floats = 8 * (uint64_t)op->parameter; break;
    case GRULET_OP_DEPTHWISE: p.floats = 4 * ((uint64_t)op->inputs + op->units); break;
    case GRULET_OP_EMBEDDING: {
        const uint32_t width = op->units / op->inputs;
        const uint64_t rows = op->parameter, table = rows * grulet_weight_bytes_of(op->weights, width);
        if (op->weights == GRULET_WEIGHTS_F32) p.floats = table;
        else if (op->weights == GRULET_WEIGHTS_F16) p.halves = table;
        else p.integers = table, p.floats = 4 * rows;
        if (op->weights == GRULET_WEIGHTS_INT4) p.multipliers = rows * multiplier_groups(width);
    }
    }
    return p;
}

uint64_t grulet_op_data_bytes(const grulet_op *op)
{
    if (grulet_sets(op) == 0) {
        const plain_layout p = plain_layout_of(op);
        return round_up(p.integers, GRULET_ALIGN) + round_up(p.multipliers, GRULET_ALIGN) +
               round_up(p.floats, GRULET_ALIGN) + round_up(p.halves, GRULET_ALIGN);
    }
    uint64_t bytes = op->units / GRULET_BLOCK_ROWS * block_bytes(op, GRULET_BLOCK_ROWS);
    if (last_width(op)) bytes += block_bytes(op, last_width(op));
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
    const unsigned char *byte = (const unsigned char *)data;
    uint32_t any = 0;
    while (bytes--) any |= *byte++;
    return !any;
}

/* Floats at any address, none of them NaN, all from `lowest` to `highest`. */
static int all_within(const void *floats, uint64_t count, float lowest, float highest)
{
    const unsigned char *at = (const unsigned char *)floats;
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

/* Halves, none of them infinite or NaN: those have the largest exponent. */
static int all_finite_halves(const unsigned char *halves, uint64_t bytes)
{
    int allowed = 1;
    for (uint64_t i = 1; i < bytes; i += 2) allowed &= (halves[i] & 0x7C) != 0x7C;
    return allowed;
}

#define TWO_64 18446744073709551616.0f

/* Rule: a scale is in [0, 2^64]; larger ones could turn a finite sum into an infinity before the level is applied. */
static int scales_allowed(const void *scales, uint64_t count) { return all_within(scales, count, 0.0f, TWO_64); }

/* Rule: what pads a panel is zero: the rows of a last block beyond the units, the inputs of a last group beyond the
 * inputs, the bytes behind.  A weight is `size` bytes; strides are in weights (int8: row 4, input 1; floats: row 1, input
 * `width`). */
typedef struct { uint32_t inputs, sets, width, rows, size, row_stride, input_stride; } panel_shape;

static panel_shape shape_of(const grulet_op *op, const checked_panel *panel, uint32_t width, uint32_t rows)
{
    panel_shape s = {panel->inputs, panel->sets, width, rows, 1, GRULET_GROUP, 1};
    if (op->weights == GRULET_WEIGHTS_INT8) return s;
    s.size = op->weights == GRULET_WEIGHTS_F32 ? 4 : 2;
    s.row_stride = 1;
    s.input_stride = width;
    return s;
}

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
        int32_t sums[(int)GRULET_PANEL_SETS * GRULET_BLOCK_ROWS] = {0};
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

static int multiplier_allowed(int multiplier)
{
    return multiplier >= -GRULET_MAX_MULTIPLIER && multiplier <= GRULET_MAX_MULTIPLIER;
}

/* The rules of the padding and of the row sums for int4: what is missing has q = 0, nibble 8, and multiplier 0; row sums are of
 * weights times their multipliers.  `rows` of `width` stored rows of each set are units. */
static int int4_panel_allowed(const unsigned char *panel, const unsigned char *row_sums, const int8_t *multipliers,
                              const panel_shape *s)
{
    const uint32_t all = s->sets * s->width;
    const unsigned char *weights = panel;
    for (uint32_t first = 0; first < s->inputs; first += GRULET_SPAN, row_sums += 4 * all) {
        int32_t sums[(int)GRULET_PANEL_SETS * GRULET_BLOCK_ROWS] = {0};
        for (uint32_t i = first; i < first + GRULET_SPAN && i < s->inputs; i += GRULET_PAIR) {
            const int8_t *of_group = multipliers + i / GRULET_MULTIPLIER_INPUTS * all;
            for (uint32_t row = 0; row < all; row++, weights += GRULET_GROUP) {
                const int is_unit = row % s->width < s->rows;
                int sum = 0;
                if (!multiplier_allowed(of_group[row]) || (!is_unit && of_group[row] != 0)) return 0;
                for (uint32_t j = 0; j < GRULET_PAIR; j++) {
                    const int q = (weights[j % GRULET_GROUP] >> (j / GRULET_GROUP * 4) & 15) - 8;
                    if (q != 0 && (!is_unit || i + j >= s->inputs)) return 0;
                    sum += q;
                }
                sums[row] += sum * of_group[row];
            }
        }
        if (!grulet_same_bytes(sums, row_sums, 4 * (size_t)all)) return 0;
    }
    const uint64_t used = (uint64_t)(weights - panel);
    return grulet_all_zero(weights, round_up(used, GRULET_ALIGN) - used);
}

static int panel_allowed(const grulet_op *op, const unsigned char *block, const checked_panel *panel, uint32_t width,
                         uint32_t rows)
{
    const panel_shape shape = shape_of(op, panel, width, rows);
    const unsigned char *weights = block + panel->at, *row_sums = block + panel->row_sums;
    if (has_int4(op))
        return int4_panel_allowed(weights, row_sums, (const int8_t *)block + panel->multipliers, &shape);
    if (!panel_padding_allowed(weights, &shape)) return 0;
    switch (op->weights) { /* a format that the build leaves out does not come here: GRULET_LEFT_OUT */
    case GRULET_WEIGHTS_F32: return GRULET_WITH_F32 && all_finite(weights, panel->bytes / 4);
    case GRULET_WEIGHTS_F16: return GRULET_WITH_F16 && all_finite_halves(weights, panel->bytes);
    default: return GRULET_HAS_INT8 && int8_panel_allowed(weights, row_sums, panel->inputs, panel->sets * width);
    }
}

/* One block of `width` stored rows, the first `rows` of them units; its end, NULL if something is forbidden. */
static const unsigned char *end_of_allowed(const grulet_op *op, const unsigned char *block, uint32_t width, uint32_t rows)
{
    checked_block b;
    find_block(&b, op, width);
    for (uint32_t p = 0; p < b.count; p++)
        if (!panel_allowed(op, block, &b.panels[p], width, rows)) return NULL;
    if (!scales_allowed(block + b.scales, (uint64_t)b.scale_vectors * width) ||
        !vector_padding_allowed(block + b.scales, b.scale_vectors, width, rows) ||
        !all_finite(block + b.biases, (uint64_t)biases_of(op) * width) ||
        !vector_padding_allowed(block + b.biases, biases_of(op), width, rows) ||
        !grulet_all_zero(block + b.end, b.bytes - b.end))
        return NULL;
    return block + b.bytes;
}

static int blocks_allowed(const grulet_op *op, const unsigned char *data)
{
    uint32_t row = 0;
    for (; data != NULL && row + GRULET_BLOCK_ROWS <= op->units; row += GRULET_BLOCK_ROWS)
        data = end_of_allowed(op, data, GRULET_BLOCK_ROWS, GRULET_BLOCK_ROWS);
    if (data != NULL && last_width(op)) data = end_of_allowed(op, data, last_width(op), op->units - row);
    return data != NULL;
}

/* Rule: no element of an int8 table is -128. */
static int int8_table_allowed(const unsigned char *table, uint64_t elements)
{
    for (uint64_t i = 0; i < elements; i++)
        if (table[i] == 0x80) return 0;
    return 1;
}

/* Rules: a missing column of an int4 table has q = 0, nibble 8; multipliers are in [-15, 15]. */
static int int4_table_allowed(const unsigned char *table, uint64_t rows, uint32_t width, const int8_t *multipliers,
                              uint64_t multiplier_count)
{
    const uint64_t row_bytes = ((uint64_t)width + 1) / 2;
    for (uint64_t row = 0; row < rows && width % 2; row++)
        if (table[(row + 1) * row_bytes - 1] >> 4 != 8) return 0;
    for (uint64_t i = 0; i < multiplier_count; i++)
        if (!multiplier_allowed(multipliers[i])) return 0;
    return 1;
}

static int indices_allowed(const void *indices, uint32_t count, uint32_t limit)
{
    const uint32_t *index = (const uint32_t *)indices;
    for (uint32_t i = 0; i < count; i++)
        if (index[i] >= limit) return 0;
    return 1;
}

/* Zeros fill a part up to a multiple of 64; `at` moves behind them. */
static int fill_allowed(const unsigned char **at, uint64_t bytes)
{
    const unsigned char *const end = *at + bytes;
    const uint64_t fill = round_up(bytes, GRULET_ALIGN) - bytes;
    *at = end + fill;
    return grulet_all_zero(end, fill);
}

int grulet_data_allowed(const grulet_op *op, const unsigned char *data)
{
    if (grulet_sets(op)) return blocks_allowed(op, data);
    const plain_layout p = plain_layout_of(op);
    const unsigned char *at = data;
    if (!fill_allowed(&at, p.integers)) return 0;
    const int8_t *multipliers = (const int8_t *)at;
    if (!fill_allowed(&at, p.multipliers)) return 0;
    const unsigned char *floats = at;
    if (!fill_allowed(&at, p.floats)) return 0;
    const unsigned char *halves = at;
    if (!fill_allowed(&at, p.halves)) return 0;
    if (GRULET_WITH_SELECT && op->kind == GRULET_OP_SELECT) return indices_allowed(floats, op->units, op->inputs);
    switch (GRULET_WITH_EMBEDDING ? op->weights : (uint32_t)GRULET_WEIGHTS_NONE) {
    case GRULET_WEIGHTS_INT8: return int8_table_allowed(data, p.integers) && scales_allowed(floats, op->parameter);
    case GRULET_WEIGHTS_INT4:
        return int4_table_allowed(data, op->parameter, op->units / op->inputs, multipliers, p.multipliers) &&
               scales_allowed(floats, op->parameter);
    default: return all_finite(floats, p.floats / 4) && all_finite_halves(halves, p.halves);
    }
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
    const unsigned char *const first = (const unsigned char *)floats, *const second = first + 4 * (size_t)op->units;
    switch (op->kind) {
    case GRULET_OP_HISTORY: return GRULET_WITH_HISTORY && history_allowed(op, first);
    case GRULET_OP_STATE_READ: return GRULET_WITH_STATES && all_finite(first, op->units);
    case GRULET_OP_LSTM:
        if (!GRULET_WITH_LSTM || !all_within(second, op->units, -TWO_64, TWO_64)) return 0;
        break;
    }
    return all_within(first, op->units, -1.0f, 1.0f);
}
