/* The file checker: after grulet_check_file says OK, every offset, size and number in the file may be trusted.
 * docs/format.md is the list of rules; the comments here name them.  The file is hostile: no value is used before it
 * was checked, sizes are computed in 64 bits. */
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
    const unsigned char *byte = data;
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
    const unsigned char *left = a, *right = b;
    for (; bytes--; left++, right++)
        if (*left != *right) return 0;
    return 1;
}

grulet_tables grulet_tables_of(const void *file)
{
    grulet_tables t;
    t.file = file;
    t.header = file;
    t.ports = (const grulet_port *)(const void *)(t.header + 1);
    t.ops = (const grulet_op *)(const void *)(t.ports + t.header->inputs + t.header->outputs);
    t.states = (const grulet_state *)(const void *)(t.ops + t.header->ops);
    t.values = (const grulet_value *)(const void *)(t.states + t.header->states);
    return t;
}

/* ---- sizes of weights -------------------------------------------------------------------------------------------- */

static uint64_t round_up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }

static uint32_t spans_of(uint32_t inputs) { return (inputs + GRULET_SPAN - 1) / GRULET_SPAN; }

static uint32_t sets_of(const grulet_op *op) { return op->kind == GRULET_OP_GRU ? 3 : 1; }

static uint64_t panel_bytes(const grulet_op *op, uint32_t inputs, uint32_t width)
{
    const uint64_t weight = op->weights == GRULET_WEIGHTS_F32 ? 4 : 1;
    return round_up(round_up(inputs, GRULET_GROUP) * width * sets_of(op) * weight, GRULET_ALIGN);
}

/* Where the parts of one block lie, in bytes from its start.  Panels 0 (inputs) and, of a GRU, 1 (units). */
typedef struct { uint64_t panel[2], scale[2], bias, row_sums[2], bytes; uint32_t panels, inputs[2]; } block_layout;

static block_layout layout_of(const grulet_op *op, uint32_t width)
{
    block_layout b = {{0}, {0}, 0, {0}, 0, 0, {0}};
    const uint64_t row = 4 * (uint64_t)width;
    uint64_t at = 0;
    b.panels = op->kind == GRULET_OP_GRU ? 2 : 1;
    b.inputs[0] = op->inputs;
    b.inputs[1] = op->units;
    for (uint32_t p = 0; p < b.panels; p++) {
        b.panel[p] = at;
        at += panel_bytes(op, b.inputs[p], width);
    }
    for (uint32_t p = 0; p < b.panels && op->weights == GRULET_WEIGHTS_INT8; p++) {
        b.scale[p] = at;
        at += row * sets_of(op);
    }
    b.bias = at;
    at += row * (op->kind == GRULET_OP_GRU ? 4 : 1);
    for (uint32_t p = 0; p < b.panels && op->weights == GRULET_WEIGHTS_INT8; p++) {
        b.row_sums[p] = at;
        at += row * sets_of(op) * spans_of(b.inputs[p]);
    }
    b.bytes = round_up(at, GRULET_ALIGN);
    return b;
}

static uint32_t last_width(const grulet_op *op)
{
    return (uint32_t)round_up(op->units % GRULET_BLOCK_ROWS, GRULET_GROUP);
}

uint64_t grulet_op_data_bytes(const grulet_op *op)
{
    if (op->weights == GRULET_WEIGHTS_NONE) return 0;
    uint64_t bytes = op->units / GRULET_BLOCK_ROWS * layout_of(op, GRULET_BLOCK_ROWS).bytes;
    if (last_width(op)) bytes += layout_of(op, last_width(op)).bytes;
    return bytes;
}

/* ---- numbers --------------------------------------------------------------------------------------------------------- */

static int all_zero(const void *data, uint64_t bytes)
{
    const unsigned char *byte = data;
    uint32_t any = 0;
    while (bytes--) any |= *byte++;
    return !any;
}

static int all_finite(const void *floats, uint64_t count)
{
    const unsigned char *at = floats;
    uint32_t bits;
    for (; count--; at += sizeof bits) {
        memcpy(&bits, at, sizeof bits);
        if ((bits & 0x7F800000u) == 0x7F800000u) return 0;
    }
    return 1;
}

/* Rule: a scale is in [0, 2^64]; larger ones could turn a finite sum into an infinity before the level is applied. */
static int scales_allowed(const void *scales, uint64_t count)
{
    const float *scale = scales;
    for (uint64_t i = 0; i < count; i++)
        if (!(scale[i] >= 0.0f && scale[i] <= 18446744073709551616.0f)) return 0;
    return 1;
}

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
                        !all_zero(weights + (row * s->row_stride + i * s->input_stride) * s->size, s->size))
                        return 0;
        }
    return all_zero(panel + used, round_up(used, GRULET_ALIGN) - used);
}

/* Rule: vectors of `width` elements (scales, biases) are zero beyond the rows. */
static int vector_padding_allowed(const unsigned char *vectors, uint32_t count, uint32_t width, uint32_t rows)
{
    for (uint32_t v = 0; v < count; v++)
        if (!all_zero(vectors + 4 * ((uint64_t)v * width + rows), 4 * (uint64_t)(width - rows))) return 0;
    return 1;
}

/* Rules: no weight is -128 (|w| must fit int8); a row sum is the sum of its row's weights over its span.  Kernels that use
 * the row sums must give the bits of those that do not. */
static int int8_panel_allowed(const unsigned char *panel, const unsigned char *row_sums, uint32_t inputs, uint32_t rows)
{
    const int8_t *weights = (const int8_t *)panel;
    for (uint32_t first = 0; first < inputs; first += GRULET_SPAN, row_sums += 4 * rows) {
        const uint32_t end = inputs - first > GRULET_SPAN ? first + GRULET_SPAN : inputs;
        int32_t sums[3 * GRULET_BLOCK_ROWS] = {0};
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
    const uint32_t sets = sets_of(op), biases = op->kind == GRULET_OP_GRU ? 4 : 1;
    const int f32 = op->weights == GRULET_WEIGHTS_F32;
    uint64_t end = b.bias + 4 * (uint64_t)biases * width;
    for (uint32_t p = 0; p < b.panels; p++) {
        const panel_shape shape = {b.inputs[p], sets, width, rows, f32 ? 4 : 1, f32 ? 1 : GRULET_GROUP, f32 ? width : 1};
        if (!panel_padding_allowed(block + b.panel[p], &shape)) return 0;
        if (f32) {
            if (!all_finite(block + b.panel[p], panel_bytes(op, b.inputs[p], width) / 4)) return 0;
            continue;
        }
        if (!int8_panel_allowed(block + b.panel[p], block + b.row_sums[p], b.inputs[p], sets * width)) return 0;
        if (!scales_allowed(block + b.scale[p], sets * width)) return 0;
        if (!vector_padding_allowed(block + b.scale[p], sets, width, rows)) return 0;
        end = b.row_sums[p] + 4 * (uint64_t)sets * width * spans_of(b.inputs[p]);
    }
    return all_finite(block + b.bias, (uint64_t)biases * width) &&
           vector_padding_allowed(block + b.bias, biases, width, rows) && all_zero(block + end, b.bytes - end);
}

static int weights_allowed(const grulet_op *op, const unsigned char *data)
{
    uint32_t row = 0;
    if (op->weights == GRULET_WEIGHTS_NONE) return 1;
    for (; row + GRULET_BLOCK_ROWS <= op->units; row += GRULET_BLOCK_ROWS) {
        if (!block_allowed(op, data, GRULET_BLOCK_ROWS, GRULET_BLOCK_ROWS)) return 0;
        data += layout_of(op, GRULET_BLOCK_ROWS).bytes;
    }
    return row == op->units || block_allowed(op, data, last_width(op), op->units - row);
}

/* ---- tables ---------------------------------------------------------------------------------------------------------- */

static int overlap(const grulet_value *a, const grulet_value *b)
{
    return a->offset < b->offset + b->width && b->offset < a->offset + a->width;
}

/* Rules: a value lies in the arena; the arena ends where a value does and is no larger than all values side by side, each
 * on a multiple of 16 floats; inputs are the first values and fill the arena's start in order; port names are not empty and
 * padded with NUL; kind and limit are 0 in this version. */
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
        if (port->value >= h->values || port->kind != 0 || port->limit != 0) return 0;
        size_t length = 0;
        while (length < sizeof port->name && port->name[length]) length++;
        if (length == 0 || length == sizeof port->name) return 0;
        if (!all_zero(port->name + length, sizeof port->name - length)) return 0;
        if (p >= h->inputs) continue;
        if (port->value != p || t->values[p].offset != input_width) return 0;
        input_width += t->values[p].width;
    }
    return 1;
}

/* Rules: known kinds and formats; unused fields are 0 (or NONE); widths match the values; finite numbers. */
static int op_fields_allowed(const grulet_tables *t, const grulet_op *op)
{
    const grulet_header *h = t->header;
    const int quantized = op->weights == GRULET_WEIGHTS_INT8;
    if (op->input >= h->values || op->output >= h->values || op->second_input != GRULET_NONE) return 0;
    if (op->inputs != t->values[op->input].width || op->units != t->values[op->output].width) return 0;
    if (op->reserved[0] || op->reserved[1] || op->function > GRULET_FUNCTION_SOFTMAX) return 0;
    if (!all_finite(&op->alpha, 1) || !all_finite(&op->input_peak, 1)) return 0;
    if (op->function != GRULET_FUNCTION_LEAKY_RELU && op->alpha != 0.0f) return 0;
    if (quantized ? op->activations != GRULET_ACTIVATIONS_INT16 && op->activations != GRULET_ACTIVATIONS_INT8
                  : op->activations != GRULET_ACTIVATIONS_F32)
        return 0;
    /* 2^-100: below it every frame would be silent; 0: each frame's own peak. */
    if (quantized ? op->input_peak != 0.0f && !(op->input_peak >= 7.888609052e-31f) : op->input_peak != 0.0f) return 0;
    switch (op->kind) {
    case GRULET_OP_GRU:
        return op->function == GRULET_FUNCTION_NONE && op->weights != GRULET_WEIGHTS_NONE &&
               op->weights <= GRULET_WEIGHTS_INT8 && op->state < h->states;
    case GRULET_OP_DENSE:
        return op->weights != GRULET_WEIGHTS_NONE && op->weights <= GRULET_WEIGHTS_INT8 && op->state == GRULET_NONE;
    case GRULET_OP_ACTIVATION:
        return op->weights == GRULET_WEIGHTS_NONE && op->function != GRULET_FUNCTION_NONE && op->state == GRULET_NONE &&
               op->inputs == op->units;
    default: return 0;
    }
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
            if (t->ops[o].input != v) continue;
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

/* Rules: state s belongs to the operator that names it, follows state s - 1 without a hole, has the operator's width; its
 * initial vector is absent (0: zeros) or finite and within [-1, 1]. */
static int states_allowed(const grulet_tables *t)
{
    uint64_t offset = 0;
    for (uint32_t s = 0; s < t->header->states; s++) {
        const grulet_state *state = &t->states[s];
        if (state->op >= t->header->ops || t->ops[state->op].state != s) return 0;
        if (state->offset != offset || state->width != t->ops[state->op].units) return 0;
        offset += state->width;
    }
    for (uint32_t o = 0; o < t->header->ops; o++)
        if (t->ops[o].state != GRULET_NONE && t->states[t->ops[o].state].op != o) return 0;
    return offset == t->header->state_floats;
}

static int initial_allowed(const void *floats, uint32_t count)
{
    const float *h = floats;
    for (uint32_t i = 0; i < count; i++)
        if (!(h[i] >= -1.0f && h[i] <= 1.0f)) return 0;
    return 1;
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
        if (!weights_allowed(op, t->file + op->data)) return 0;
        at += bytes;
    }
    for (uint32_t s = 0; s < h->states; s++) {
        const grulet_state *state = &t->states[s];
        const uint64_t bytes = round_up(4 * (uint64_t)state->width, GRULET_ALIGN);
        if (state->initial == 0) continue;
        if (state->initial != at || bytes > end - at) return 0;
        if (!initial_allowed(t->file + at, state->width)) return 0;
        if (!all_zero(t->file + at + 4 * (uint64_t)state->width, bytes - 4 * (uint64_t)state->width)) return 0;
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
    if (h->data != round_up(at, GRULET_ALIGN) || (uint64_t)h->data + h->data_bytes != h->file_bytes) return 0;
    return all_zero((const unsigned char *)h + at, h->data - at);
}

grulet_status grulet_check_file(const void *file, size_t bytes)
{
    static const uint32_t ONE = 1;
    static const unsigned char NO_CRC[4] = {0};
    const grulet_header *h = file;
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
        if (!op_fields_allowed(&t, &t.ops[o])) return GRULET_FORBIDDEN;
    if (!data_flow_allowed(&t) || !states_allowed(&t) || !data_allowed(&t)) return GRULET_FORBIDDEN;
    return GRULET_OK;
}
