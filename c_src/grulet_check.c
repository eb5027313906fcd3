/* The file checker: after grulet_check_file says OK, every offset, size and number in the file may be trusted.
 * docs/format.md is the list of rules; the comments here name them; those of the data section are in
 * grulet_check_weights.c.  The file is hostile: no value is used before it was checked, sizes are computed in 64 bits. */
#include "grulet_config.h"
#include "grulet_impl.h"

#include <string.h>

static const unsigned char MAGIC[8] = {0x89, 'G', 'R', 'U', 'L', 'E', 'T', '\n'};

/* CRC-32 of ISO-HDLC (zlib's), polynomial 0xEDB88320, a nibble at a time; long data eight nibbles at a time, each in its
 * own table, so that the look-ups do not wait for each other: table[j][n] is what nibble n becomes when j zero nibbles
 * follow.  512 bytes of stack instead of 4 KB of constants. */
uint32_t grulet_crc32(uint32_t crc, const void *data, size_t bytes)
{
    static const uint32_t NIBBLE[16] = {
        0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
        0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C, 0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C};
    const unsigned char *byte = (const unsigned char *)data;
    crc = ~crc;
    if (bytes >= 256) {
        uint32_t table[8][16];
        memcpy(table[0], NIBBLE, sizeof NIBBLE);
        for (int j = 1; j < 8; j++)
            for (int n = 0; n < 16; n++) table[j][n] = NIBBLE[table[j - 1][n] & 15] ^ table[j - 1][n] >> 4;
        for (; bytes >= 4; bytes -= 4, byte += 4) {
            crc ^= (uint32_t)byte[0] | (uint32_t)byte[1] << 8 | (uint32_t)byte[2] << 16 | (uint32_t)byte[3] << 24;
            crc = table[7][crc & 15] ^ table[6][crc >> 4 & 15] ^ table[5][crc >> 8 & 15] ^ table[4][crc >> 12 & 15] ^
                  table[3][crc >> 16 & 15] ^ table[2][crc >> 20 & 15] ^ table[1][crc >> 24 & 15] ^ table[0][crc >> 28];
        }
    }
    while (bytes--) {
        crc ^= *byte++;
        crc = NIBBLE[crc & 15] ^ crc >> 4;
        crc = NIBBLE[crc & 15] ^ crc >> 4;
    }
    return ~crc;
}

int grulet_same_bytes(const void *a, const void *b, size_t bytes)
{
    const unsigned char *left = (const unsigned char *)a, *right = (const unsigned char *)b;
    for (; bytes--; left++, right++)
        if (*left != *right) return 0;
    return 1;
}

grulet_tables grulet_tables_of(const void *file)
{
    grulet_tables t;
    t.file = (const unsigned char *)file;
    t.header = (const grulet_header *)file;
    t.ports = (const grulet_port *)(const void *)(t.header + 1);
    t.ops = (const grulet_op *)(const void *)(t.ports + t.header->inputs + t.header->outputs);
    t.states = (const grulet_state *)(const void *)(t.ops + t.header->ops);
    t.values = (const grulet_value *)(const void *)(t.states + t.header->states);
    return t;
}

/* Up to a multiple of 64: GRULET_ALIGN, a power of two (a division of 64-bit numbers is a function on small CPUs). */
static uint64_t aligned_64(uint64_t n) { return (n + (GRULET_ALIGN - 1)) & ~(uint64_t)(GRULET_ALIGN - 1); }

/* ---- tables ---------------------------------------------------------------------------------------------------------- */

static int overlap(const grulet_value *a, const grulet_value *b)
{
    return a->offset < b->offset + b->width && b->offset < a->offset + a->width;
}

/* Rule: an input is of numbers, without a limit, or of tokens, with one; outputs are of numbers. */
static int port_kind_allowed(const grulet_port *port, int is_input)
{
    if (port->kind == GRULET_PORT_NUMBERS) return port->limit == 0;
    return is_input && port->kind == GRULET_PORT_TOKENS && port->limit >= 1 && port->limit <= GRULET_MAX_TOKENS;
}

/* Rules: a value lies in the arena; the arena ends where a value does and is no larger than all values side by side, each
 * on a multiple of 16 floats; inputs are the first values and fill the arena's start in order; port names are not empty and
 * padded with NUL. */
static int ports_and_values_allowed(const grulet_tables *t)
{
    const grulet_header *h = t->header;
    uint32_t input_width = 0, end = 0, side_by_side = 0;
    for (uint32_t v = 0; v < h->values; v++) {
        const grulet_value *value = &t->values[v];
        if (value->width < 1 || value->width > GRULET_MAX_WIDTH) return 0;
        if (value->offset > h->arena_floats || value->width > h->arena_floats - value->offset) return 0;
        if (value->offset + value->width > end) end = value->offset + value->width;
        side_by_side += grulet_round_up(value->width, 16);
    }
    if (h->arena_floats != end || h->arena_floats > side_by_side) return 0;
    for (uint32_t p = 0; p < h->inputs + h->outputs; p++) {
        const grulet_port *port = &t->ports[p];
        if (port->value >= h->values || !port_kind_allowed(port, p < h->inputs)) return 0;
        size_t length = 0;
        while (length < sizeof port->name && port->name[length]) length++;
        if (length == 0 || length == sizeof port->name) return 0;
        if (!grulet_all_zero(port->name + length, sizeof port->name - length)) return 0;
        if (p >= h->inputs) continue;
        if (port->value != p || t->values[p].offset != input_width) return 0;
        input_width += t->values[p].width;
    }
    return 1;
}

/* What the records of each kind, by its number, may say: the range of functions, and which fields are used; and whether this
 * build has the kind.  Every build has activations: which functions, FUNCTIONS says. */
enum { WEIGHTS = 1, LEVELS = 2, STATE = 4, SECOND = 8, SAME_WIDTH = 16, LOOP_ONLY = 32, NO_INPUT = 64 };
typedef struct { unsigned char first_function, last_function, uses, included; } kind_rules;
static const kind_rules KINDS[GRULET_OP_KINDS] = {
    {0, 0, 0, 0},
    {0, 0, WEIGHTS | LEVELS | STATE, GRULET_WITH_GRU},
    {0, GRULET_FUNCTION_SOFTMAX, WEIGHTS | LEVELS, GRULET_WITH_DENSE},
    {GRULET_FUNCTION_RELU, GRULET_FUNCTION_RECIPROCAL, SAME_WIDTH, 1},
    {0, 0, WEIGHTS | LEVELS | STATE, GRULET_WITH_LSTM},
    {0, 0, WEIGHTS | LEVELS | STATE, GRULET_WITH_RNN},
    {GRULET_FUNCTION_ADD, GRULET_FUNCTION_MAX, SECOND | SAME_WIDTH, GRULET_WITH_BINARY},
    {0, 0, SAME_WIDTH, GRULET_WITH_AFFINE},
    {0, 0, SAME_WIDTH, GRULET_WITH_PRELU},
    {0, 0, SECOND, GRULET_WITH_CONCAT},
    {0, 0, 0, GRULET_WITH_SLICE},
    {0, 0, 0, GRULET_WITH_SELECT},
    {0, 0, WEIGHTS, GRULET_WITH_EMBEDDING},
    {0, 0, SAME_WIDTH, GRULET_WITH_LAYER_NORM},
    {0, 0, STATE, GRULET_WITH_HISTORY},
    {0, 0, 0, GRULET_WITH_DEPTHWISE},
    {0, 0, STATE | LOOP_ONLY | NO_INPUT, GRULET_WITH_STATES},
    {0, 0, STATE | LOOP_ONLY | SAME_WIDTH, GRULET_WITH_STATES},
    {0, 0, SAME_WIDTH, GRULET_WITH_FIRST_FRAME},
};

/* Rules: existing values, of the widths that the record says; a second input and a state where the kind has them. */
static int op_values_allowed(const grulet_tables *t, const grulet_op *op, uint32_t uses)
{
    const grulet_header *h = t->header;
    if (uses & NO_INPUT ? op->input != GRULET_NONE || op->inputs != 0
                        : op->input >= h->values || op->inputs != t->values[op->input].width)
        return 0;
    if (op->output >= h->values || op->units != t->values[op->output].width) return 0;
    if (uses & SAME_WIDTH && op->inputs != op->units) return 0;
    if (uses & SECOND ? op->second_input >= h->values : op->second_input != GRULET_NONE) return 0;
    return uses & STATE ? op->state < h->states : op->state == GRULET_NONE;
}

/* Rules: weights in a known format, or none; activations are integers exactly where int8 or int4 weights are multiplied. */
static int op_formats_allowed(const grulet_op *op, uint32_t uses)
{
    if (uses & WEIGHTS ? op->weights == GRULET_WEIGHTS_NONE || op->weights >= GRULET_WEIGHTS_FORMATS
                       : op->weights != GRULET_WEIGHTS_NONE)
        return 0;
    if (uses & LEVELS && grulet_is_quantized(op))
        return op->activations == GRULET_ACTIVATIONS_INT16 || op->activations == GRULET_ACTIVATIONS_INT8;
    return op->activations == GRULET_ACTIVATIONS_F32;
}

/* Rules: alpha and beta are finite, and 0 where neither the kind nor the function uses them.  A static range or an epsilon
 * is at least 2^-100: below that every frame would be silent, or a root no normal number. */
static int op_numbers_allowed(const grulet_op *op)
{
    const float smallest = 7.888609052e-31f;
    if (!(op->alpha - op->alpha == 0.0f && op->beta - op->beta == 0.0f)) return 0;
    if (op->kind == GRULET_OP_LAYER_NORM) return op->alpha >= smallest && op->beta == 0.0f;
    if (op->function == GRULET_FUNCTION_CLIP) return op->alpha <= op->beta;
    if (op->function == GRULET_FUNCTION_HARD_SIGMOID) return 1;
    if (op->beta != 0.0f && (op->activations == GRULET_ACTIVATIONS_F32 || op->beta < smallest)) return 0;
    return op->alpha == 0.0f || op->function == GRULET_FUNCTION_LEAKY_RELU || op->function == GRULET_FUNCTION_ELU ||
           op->function == GRULET_FUNCTION_THRESHOLDED_RELU;
}

/* Rule: an embedding reads a token port, and its table has a row for each of the tokens. */
static int embedding_allowed(const grulet_tables *t, const grulet_op *op)
{
    return op->input < t->header->inputs && t->ports[op->input].kind == GRULET_PORT_TOKENS &&
           t->ports[op->input].limit <= op->parameter && op->units % op->inputs == 0;
}

/* Rules: the parameter, and how the widths follow from each other. */
static int op_shape_allowed(const grulet_tables *t, const grulet_op *op)
{
    const uint32_t parameter = op->parameter;
    switch (op->kind) {
    case GRULET_OP_ACTIVATION:
        return parameter == 0 || (op->function == GRULET_FUNCTION_SOFTMAX && op->units % parameter == 0);
    case GRULET_OP_BINARY: return parameter == 0 && op->units == t->values[op->second_input].width;
    case GRULET_OP_CONCAT: return parameter == 0 && op->units == op->inputs + t->values[op->second_input].width;
    case GRULET_OP_SLICE: return parameter <= op->inputs && op->units <= op->inputs - parameter;
    case GRULET_OP_EMBEDDING: return embedding_allowed(t, op);
    case GRULET_OP_LAYER_NORM: return parameter != 0 && op->units % parameter == 0;
    case GRULET_OP_HISTORY: /* the position must be exact as a float */
        return parameter != 0 && op->units > op->inputs && op->units % op->inputs == 0 &&
               (uint64_t)(op->units / op->inputs - 1) * parameter <= GRULET_MAX_TOKENS;
    case GRULET_OP_DEPTHWISE: return parameter == 0 && op->inputs % op->units == 0;
    default: return parameter == 0;
    }
}

static int op_allowed(const grulet_tables *t, const grulet_op *op)
{
    if (op->kind == 0 || op->kind >= GRULET_OP_KINDS) return 0;
    const kind_rules *rules = &KINDS[op->kind];
    return op->function >= rules->first_function && op->function <= rules->last_function &&
           op_values_allowed(t, op, rules->uses) && op_formats_allowed(op, rules->uses) && op_numbers_allowed(op) &&
           op_shape_allowed(t, op);
}

/* Rules: operators of one loop follow each other and go in the same direction; loops are numbered from 1 in order.
 * Backwards alone go only cells and first frames, the latter always and never in a loop; states are read and written in
 * loops. */
static int schedules_allowed(const grulet_tables *t)
{
    uint32_t loops = 0;
    for (uint32_t o = 0; o < t->header->ops; o++) {
        const grulet_op *op = &t->ops[o];
        const uint32_t loop = op->schedule >> GRULET_LOOP_SHIFT;
        if (op->kind == GRULET_OP_FIRST_FRAME && op->schedule != GRULET_REVERSE) return 0;
        if (loop == 0) {
            if (KINDS[op->kind].uses & LOOP_ONLY) return 0;
            if (op->schedule == GRULET_REVERSE && !grulet_is_cell(op) && op->kind != GRULET_OP_FIRST_FRAME) return 0;
        } else if (o == 0 || op->schedule != t->ops[o - 1].schedule) {
            if (loop != ++loops) return 0;
        }
    }
    return 1;
}

/* The functions that this build has, a bit each: none, ReLU and those of two arguments always. */
#define BIT(name) (uint32_t)(GRULET_WITH_##name) << GRULET_FUNCTION_##name
static const uint32_t FUNCTIONS =
    1u << GRULET_FUNCTION_NONE | 1u << GRULET_FUNCTION_RELU | BIT(LEAKY_RELU) | BIT(SIGMOID) | BIT(TANH) | BIT(SOFTMAX) |
    BIT(CLIP) | BIT(ELU) | BIT(HARD_SIGMOID) | BIT(SOFTPLUS) | BIT(SOFTSIGN) | BIT(THRESHOLDED_RELU) | BIT(EXP) |
    BIT(LOG) | BIT(SQRT) | BIT(ABS) | BIT(RECIPROCAL) | 0xFFFFFFFFu << GRULET_FUNCTION_ADD;
#undef BIT

/* Weights that are multiplied; a table of embeddings may have any format. */
static int format_included(const grulet_op *op)
{
    const int int8 = op->activations == GRULET_ACTIVATIONS_INT8;
    switch (op->weights) {
    case GRULET_WEIGHTS_F32: return GRULET_WITH_F32;
    case GRULET_WEIGHTS_F16: return GRULET_WITH_F16;
    case GRULET_WEIGHTS_INT8: return int8 ? GRULET_WITH_INT8_INT8 : GRULET_WITH_INT8_INT16;
    default: return int8 ? GRULET_WITH_INT4_INT8 : GRULET_WITH_INT4_INT16;
    }
}

/* Has this build all that the operator needs?  Whole sequences are run as blocks. */
static int op_included(const grulet_op *op)
{
    if (!KINDS[op->kind].included || !(FUNCTIONS >> op->function & 1)) return 0;
    if (op->schedule & GRULET_REVERSE && !(GRULET_WITH_SEQUENCES && GRULET_WITH_BLOCKS)) return 0;
    if (op->schedule >> GRULET_LOOP_SHIFT && !GRULET_WITH_LOOPS) return 0;
    if (!(KINDS[op->kind].uses & LEVELS)) return 1;
    return format_included(op) && (GRULET_WITH_NARROW || op->units % GRULET_BLOCK_ROWS == 0);
}

/* The one operator that writes value v, of inputs the one "before the first"; GRULET_NONE if that rule is broken. */
static uint32_t first_after_writer(const grulet_tables *t, uint32_t v)
{
    uint32_t first = v < t->header->inputs ? 0 : GRULET_NONE;
    for (uint32_t o = 0; o < t->header->ops; o++) {
        if (t->ops[o].output != v) continue;
        if (first != GRULET_NONE) return GRULET_NONE;
        first = o + 1;
    }
    return first;
}

static int reads(const grulet_op *op, uint32_t v) { return op->input == v || op->second_input == v; }

/* Rules: every value is an input or written by exactly one operator, before it is read; until it was read for the last time
 * (outputs: to the end) nothing is written over it.  So a frame sees the frame before it through the state only. */
static int data_flow_allowed(const grulet_tables *t)
{
    const grulet_header *h = t->header;
    for (uint32_t v = 0; v < h->values; v++) {
        const uint32_t first = first_after_writer(t, v);
        uint32_t end = 0; /* behind the last reader */
        if (first == GRULET_NONE) return 0;
        for (uint32_t o = 0; o < h->ops; o++) {
            if (!reads(&t->ops[o], v)) continue;
            if (o < first) return 0;
            end = o + 1;
        }
        for (uint32_t p = 0; p < h->outputs; p++)
            if (t->ports[h->inputs + p].value == v) end = h->ops;
        for (uint32_t o = first; o < end; o++)
            if (overlap(&t->values[v], &t->values[t->ops[o].output])) return 0;
    }
    return 1;
}

/* Rule: what a state_read reads is written once, by a later operator of the same loop. */
static int state_written(const grulet_tables *t, uint32_t reader)
{
    uint32_t writers = 0;
    for (uint32_t o = 0; o < t->header->ops; o++) {
        const grulet_op *write = &t->ops[o], *read = &t->ops[reader];
        if (write->kind != GRULET_OP_STATE_WRITE || write->state != read->state) continue;
        if (o < reader || write->schedule != read->schedule || write->units != read->units) return 0;
        writers++;
    }
    return writers == 1;
}

/* Rules: state s belongs to the operator that names it, follows state s - 1 without a hole, has the width that its
 * operator needs. */
static int states_allowed(const grulet_tables *t)
{
    uint64_t offset = 0;
    for (uint32_t s = 0; s < t->header->states; s++) {
        const grulet_state *state = &t->states[s];
        if (state->op >= t->header->ops || t->ops[state->op].state != s) return 0;
        if (state->offset != offset || state->width != grulet_state_floats(&t->ops[state->op])) return 0;
        offset += state->width;
    }
    for (uint32_t o = 0; o < t->header->ops; o++) {
        const grulet_op *op = &t->ops[o];
        if (op->state == GRULET_NONE) continue;
        const grulet_state *state = &t->states[op->state];
        if (op->kind == GRULET_OP_STATE_WRITE ? t->ops[state->op].kind != GRULET_OP_STATE_READ : state->op != o) return 0;
        if (op->kind == GRULET_OP_STATE_READ && !state_written(t, o)) return 0;
    }
    return offset == t->header->state_floats;
}

/* Rules: the data section is the weights of every operator in order, then the given initial states in order, each part on
 * a multiple of 64, nothing between or behind them. */
static int data_allowed(const grulet_tables *t)
{
    const grulet_header *h = t->header;
    const uint64_t end = (uint64_t)h->data + h->data_bytes;
    uint64_t at = h->data;
    for (uint32_t o = 0; o < h->ops; o++) {
        const grulet_op *op = &t->ops[o];
        const uint64_t bytes = grulet_op_data_bytes(op);
        if (bytes == 0 ? op->data != 0 : op->data != at) return 0;
        if (op->data_bytes != bytes || bytes > end - at) return 0;
        if (!grulet_data_allowed(op, t->file + op->data)) return 0;
        at += bytes;
    }
    for (uint32_t s = 0; s < h->states; s++) {
        const grulet_state *state = &t->states[s];
        const uint64_t bytes = aligned_64(4 * (uint64_t)state->width);
        const grulet_op *op = &t->ops[state->op];
        if (state->initial == 0) continue;
        if (state->initial != at || bytes > end - at || op->kind == GRULET_OP_HISTORY) return 0;
        if (!grulet_state_allowed(op, t->file + at)) return 0;
        if (!grulet_all_zero(t->file + at + 4 * (uint64_t)state->width, bytes - 4 * (uint64_t)state->width)) return 0;
        at += bytes;
    }
    return at == end;
}

static int header_allowed(const grulet_header *h)
{
    uint64_t at = sizeof *h;
    if (h->inputs < 1 || h->inputs > GRULET_MAX_RECORDS || h->outputs < 1 || h->outputs > GRULET_MAX_RECORDS) return 0;
    if (h->values < h->inputs || h->values > GRULET_MAX_RECORDS || h->ops > GRULET_MAX_RECORDS) return 0;
    if (h->states > GRULET_MAX_RECORDS || h->reserved != 0) return 0;
    if (h->arena_floats > (1u << 28) || h->state_floats > (1u << 28)) return 0;
    at += ((uint64_t)h->inputs + h->outputs) * sizeof(grulet_port) + (uint64_t)h->ops * sizeof(grulet_op);
    at += (uint64_t)h->states * sizeof(grulet_state) + (uint64_t)h->values * sizeof(grulet_value);
    at += h->text_bytes;
    if (h->data != aligned_64(at) || (uint64_t)h->data + h->data_bytes != h->file_bytes) return 0;
    return grulet_all_zero((const unsigned char *)h + at, h->data - at);
}

grulet_status grulet_check_file(const void *file, size_t bytes)
{
    static const uint32_t ONE = 1;
    static const unsigned char NO_CRC[4] = {0};
    const grulet_header *h = (const grulet_header *)file;
    if (*(const unsigned char *)&ONE != 1) return GRULET_BIG_ENDIAN;
    if (bytes < sizeof MAGIC + 4 || !grulet_same_bytes(file, MAGIC, sizeof MAGIC)) return GRULET_NOT_A_MODEL;
    if ((uintptr_t)file % 4 != 0) return GRULET_MISALIGNED;
    if (h->version != GRULET_FORMAT_VERSION) return GRULET_WRONG_VERSION;
    if (bytes < sizeof *h || bytes != h->file_bytes || h->file_bytes > 0x7FFFFFFFu) return GRULET_WRONG_SIZE;
    const size_t crc_end = offsetof(grulet_header, crc32) + 4;
    uint32_t crc = grulet_crc32(0, file, offsetof(grulet_header, crc32));
    crc = grulet_crc32(crc, NO_CRC, sizeof NO_CRC);
    if (grulet_crc32(crc, (const unsigned char *)file + crc_end, bytes - crc_end) != h->crc32) return GRULET_DAMAGED;
    if (!header_allowed(h)) return GRULET_FORBIDDEN;
    const grulet_tables t = grulet_tables_of(file);
    if (!ports_and_values_allowed(&t)) return GRULET_FORBIDDEN;
    for (uint32_t o = 0; o < h->ops; o++)
        if (!op_allowed(&t, &t.ops[o])) return GRULET_FORBIDDEN;
    for (uint32_t o = 0; o < h->ops; o++)
        if (!op_included(&t.ops[o])) return GRULET_LEFT_OUT;
    if (!schedules_allowed(&t) || !data_flow_allowed(&t) || !states_allowed(&t) || !data_allowed(&t))
        return GRULET_FORBIDDEN;
    return GRULET_OK;
}
