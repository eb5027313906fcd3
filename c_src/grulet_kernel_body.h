/* The arithmetic of recurrent and dense layers and of the common activations, written once (the other operators:
 * grulet_vector_ops.c).  An ISA file defines the primitives listed below, includes this file, and gets `KERNEL_TABLE`.
 * docs/numerics.md is the contract that each line here keeps; grulet/reference.py is the same in numpy.
 *
 * What an ISA file defines before the include:
 *   KERNEL_TABLE         the grulet_kernel to define; KERNEL_NAME its name; KERNEL_USABLE its run-time probe
 *   LANES                floats in a vector: 1, 4, 8 or 16
 *   vf, vi               a vector of LANES float32, of LANES int32
 *   vf_load/store(p)     LANES floats, any alignment;  vf_load_part/store_part(p, n): the first n < LANES, rest zero/kept
 *   vf_set, vf_add, vf_sub, vf_mul, vf_div   one IEEE operation per lane, never fused
 *   vf_min(a, b), vf_max(a, b)   a < b ? a : b and a > b ? a : b, so that a NaN in `a` gives b
 *   vf_abs, vf_copysign(magnitude, sign)
 *   vf_less(a, b, t, e)  per lane a < b ? t : e
 *   vf_bits, vi_float    reinterpret;  vi_add, vi_shift_left_23
 *   vi_round(v)          the nearest integers of |v| <= 32767, ties to even
 *   vf_largest(v)        the largest of the lanes, none of which is a NaN
 *   put_int16(operand, stride, i, v), put_int8(operand, i, v)   store LANES integers as the operand's elements i..., for
 *                        int8 weights; `stride`: the number of elements, rounded up to 64
 *   FRAMES               how many frames its products take over one read of the weights: 1 to GRULET_TILE
 *   sum_f32, sum_int8_int16, sum_int8_int8   a panel times the operands of 1 or FRAMES frames: f32 weights, and int8 weights
 *                        with the levels of both widths:
 *
 *   void sum_f32(float *const *sums, const unsigned char *panel, const void *const *operands, const int frames,
 *                uint32_t inputs, uint32_t width, const int sets)
 *   void sum_int8_*(as sum_f32, const int32_t *row_sums)
 * gives sums[frame][set * 16 + row] for row < width; `frames` and `sets` are constants, `width` is 16 or 4, 8, 12 and
 * then a constant only if 16.  Integer kinds: the exact sum of every span of GRULET_SPAN inputs, converted to float, spans
 * added in order; `row_sums` [span][set][row] serve ISAs whose dot product wants an unsigned operand.  f32: four partial
 * sums, input i into sum i mod 4, in order; then (s0 + s1) + (s2 + s3).
 *
 * What it may define, each with the macro; otherwise plain C does the work (generic/grulet_plain_*.h):
 *   HAS_F16_SUMS         sum_f16, as sum_f32 with weights that are halves
 *   HAS_INT4_SUMS        sum_int4_int16, sum_int4_int8:   void sum_int4_*(as sum_int8_*, const int8_t *multipliers), and
 *     put_int4(operand, stride, i, v, planes)       store LANES integers of `planes` bytes (2 or 1, constant), for int4 weights
 *     finish_int4(operand, stride, n, planes)       once all n elements are stored: zero-pads them as the sums want it
 *     An operand has 4 bytes an element, so behind integers there is room for 2 `stride` bytes that are computed once a frame.
 *   BLOCKS               how many full blocks of a cell its products of int8 weights take over one read of the operand
 *   sum_blocks_int8_int16, sum_blocks_int8_int8:   then
 *
 *   void sum_blocks_*(float *sums, uint32_t next_sums, const unsigned char *panel, ptrdiff_t next, const void *operand,
 *                     uint32_t inputs, const int sets, const int32_t *row_sums)
 * gives sums[block * next_sums + set * 16 + row]; panel and row sums of a block lie `next` bytes from those of the block
 * before.
 */
#include <float.h>
#include <string.h>

#include "grulet_functions.h"
#include "grulet_inline.h"

#ifndef BLOCKS
#define BLOCKS 1
#endif
#ifndef HAS_INT4_SUMS
#include "generic/grulet_plain_int4.h"
#endif
#ifndef HAS_F16_SUMS
#include "generic/grulet_plain_f16.h"
#endif

/* Weights, and the levels that integer weights are multiplied by. */
typedef enum { MODE_F32, MODE_F16, MODE_INT8_INT16, MODE_INT8_INT8, MODE_INT4_INT16, MODE_INT4_INT8, MODES } mode;

KERNEL_INLINE int is_float(const mode m) { return m == MODE_F32 || m == MODE_F16; }
KERNEL_INLINE int is_int4(const mode m) { return m == MODE_INT4_INT16 || m == MODE_INT4_INT8; }
KERNEL_INLINE int is_int16(const mode m) { return m == MODE_INT8_INT16 || m == MODE_INT4_INT16; }

/* ---- functions ------------------------------------------------------------------------------------------------ */

KERNEL_INLINE vf apply_function(vf x, uint32_t function, float alpha)
{
    switch (function) {
    case GRULET_FUNCTION_RELU: return vf_max(x, vf_set(0.0f));
    case GRULET_FUNCTION_LEAKY_RELU: return vf_less(x, vf_set(0.0f), to_finite(vf_mul(x, vf_set(alpha))), x);
    case GRULET_FUNCTION_SIGMOID: return sigmoid(x);
    case GRULET_FUNCTION_TANH: return tanh_gate(x);
    default: return x;
    }
}

/* ---- operands: a float vector as the dot products want it ------------------------------------------------------ */

/* Loads and stores that know at compile time whether a vector may be partial. */
KERNEL_INLINE vf load_upto(const float *p, uint32_t n) { return n >= LANES ? vf_load(p) : vf_load_part(p, n); }
KERNEL_INLINE void store_upto(float *p, vf v, uint32_t n)
{
    if (n >= LANES) vf_store(p, v);
    else vf_store_part(p, v, n);
}

KERNEL_INLINE float largest_magnitude(const float *x, uint32_t n)
{
    vf top = vf_set(0.0f);
    for (uint32_t i = 0; i < n; i += LANES) top = vf_max(vf_abs(load_upto(x + i, n - i)), top);
    return vf_largest(top);
}

/* Store LANES levels as the operand's elements i... of n. */
KERNEL_INLINE void put_levels(void *operand, uint32_t n, uint32_t i, vi level, const mode m)
{
    const uint32_t stride = grulet_round_up(n, 64);
    if (is_int4(m)) put_int4(operand, stride, i, level, is_int16(m) ? 2 : 1);
    else if (is_int16(m)) put_int16(operand, stride, i, level);
    else put_int8(operand, i, level);
}

/* Quantize x to [-levels, levels] for the range [-peak, peak]; peak 0: the frame's own largest magnitude, of which less
 * than 2^-100 counts as silence.  Returns the value of one level.  Zero-pads to whole groups. */
KERNEL_INLINE float prepare_integers(void *operand, const float *x, uint32_t n, float peak, const mode m)
{
    const float levels = is_int16(m) ? 32767.0f : 127.0f;
    if (peak == 0.0f) peak = largest_magnitude(x, n);
    const int silent = peak < 7.888609052e-31f; /* 2^-100: levels / peak stays finite */
    const vf inverse = vf_set(silent ? 0.0f : levels / peak);
    const vf top = vf_set(levels), bottom = vf_set(-levels);
    uint32_t i = 0;
    for (; i < n; i += LANES)
        put_levels(operand, n, i, vi_round(vf_max(vf_min(vf_mul(load_upto(x + i, n - i), inverse), top), bottom)), m);
    if (LANES < GRULET_GROUP && !is_int4(m))
        for (; i % GRULET_GROUP; i += LANES) put_levels(operand, n, i, vf_bits(vf_set(0.0f)), m);
    if (is_int4(m)) finish_int4(operand, grulet_round_up(n, 64), n, is_int16(m) ? 2 : 1);
    return silent ? 0.0f : peak / levels;
}

static mode mode_of(const grulet_op *op)
{
    const int int8 = op->activations == GRULET_ACTIVATIONS_INT8;
    switch (op->weights) {
    case GRULET_WEIGHTS_F32: return MODE_F32;
    case GRULET_WEIGHTS_F16: return MODE_F16;
    case GRULET_WEIGHTS_INT8: return int8 ? MODE_INT8_INT8 : MODE_INT8_INT16;
    default: return int8 ? MODE_INT4_INT8 : MODE_INT4_INT16;
    }
}

static float prepare(void *operand, const float *x, uint32_t n, float peak, mode m)
{
    switch (m) {
    case MODE_INT8_INT16: return prepare_integers(operand, x, n, peak, MODE_INT8_INT16);
    case MODE_INT8_INT8: return prepare_integers(operand, x, n, peak, MODE_INT8_INT8);
    case MODE_INT4_INT16: return prepare_integers(operand, x, n, peak, MODE_INT4_INT16);
    case MODE_INT4_INT8: return prepare_integers(operand, x, n, peak, MODE_INT4_INT8);
    default: /* floats stay as they are */
        memcpy(operand, x, n * sizeof(float));
        memset((float *)operand + n, 0, (grulet_round_up(n, GRULET_GROUP) - n) * sizeof(float));
        return 1.0f;
    }
}

static void prepare_x(const grulet_task *task, grulet_stream *const *streams, size_t count)
{
    const grulet_op *op = task->op;
    for (size_t s = 0; s < count; s++)
        streams[s]->x_level = prepare(streams[s]->x_operand, streams[s]->arena + task->x, op->inputs, op->beta,
                                      mode_of(op));
}

/* ---- panels ------------------------------------------------------------------------------------------------------ */

/* A panel and what belongs to it: bytes from its block's beginning; and floats from where the block's sums begin to its
 * own. */
typedef struct {
    size_t weights, row_sums, multipliers;
    uint32_t inputs, sums;
} panel_layout;

static uint32_t panel_bytes(uint32_t inputs, uint32_t width, uint32_t sets, mode m)
{
    const uint32_t rows = width * sets;
    if (is_int4(m)) return grulet_round_up(grulet_round_up(inputs, GRULET_PAIR) * rows / 2, GRULET_ALIGN);
    const uint32_t weight = m == MODE_F32 ? 4 : m == MODE_F16 ? 2 : 1;
    return grulet_round_up(grulet_round_up(inputs, GRULET_GROUP) * rows * weight, GRULET_ALIGN);
}

/* Bytes of the row sums, and of the multipliers. */
static uint32_t row_sum_bytes(uint32_t inputs, uint32_t rows, mode m)
{
    return is_float(m) ? 0 : (inputs + GRULET_SPAN - 1) / GRULET_SPAN * rows * (uint32_t)sizeof(int32_t);
}
static uint32_t multiplier_bytes(uint32_t inputs, uint32_t rows, mode m)
{
    return is_int4(m) ? (inputs + GRULET_MULTIPLIER_INPUTS - 1) / GRULET_MULTIPLIER_INPUTS * rows : 0;
}

/* The sums of every mode, of panels of three sets of rows and of one, each a function of its own: of one frame, of FRAMES
 * frames, and of one frame and a narrow block. */
typedef void (*sum_function)(float *const *sums, const unsigned char *block, const panel_layout *at,
                             const void *const *operands, uint32_t width);
enum { ONE_FRAME, MANY_FRAMES, NARROW, SUM_FORMS };

/* What the sums want beside the weights. */
#define ROW_SUMS (const int32_t *)(const void *)(block + at->row_sums)
#define MULTIPLIERS (const int8_t *)(block + at->multipliers)
#define BESIDE_f32
#define BESIDE_f16
#define BESIDE_int8_int16 , ROW_SUMS
#define BESIDE_int8_int8 , ROW_SUMS
#define BESIDE_int4_int16 , ROW_SUMS, MULTIPLIERS
#define BESIDE_int4_int8 , ROW_SUMS, MULTIPLIERS

#define SUM_FUNCTION(name, kind, frames, constant_width, sets)                                                         \
    static void name(float *const *sums, const unsigned char *block, const panel_layout *at,                           \
                     const void *const *operands, uint32_t width)                                                      \
    {                                                                                                                  \
        (void)width;                                                                                                   \
        sum_##kind(sums, block + at->weights, operands, frames, at->inputs, constant_width, sets BESIDE_##kind);       \
    }
#if FRAMES > 1
#define MANY_FUNCTION(kind, sets) SUM_FUNCTION(kind##_many_frames_##sets, kind, FRAMES, GRULET_BLOCK_ROWS, sets)
#define MANY_ENTRY(kind, sets) kind##_many_frames_##sets
#else
#define MANY_FUNCTION(kind, sets)
#define MANY_ENTRY(kind, sets) NULL
#endif
#define SUM_FUNCTIONS(kind, sets)                                                                                      \
    SUM_FUNCTION(kind##_one_frame_##sets, kind, 1, GRULET_BLOCK_ROWS, sets)                                            \
    MANY_FUNCTION(kind, sets)                                                                                          \
    SUM_FUNCTION(kind##_narrow_##sets, kind, 1, width & 12, sets) /* which the compiler sees is not 16 */
#define SUM_TABLE(kind, sets) {kind##_one_frame_##sets, MANY_ENTRY(kind, sets), kind##_narrow_##sets}

/* By mode, in its order. */
#define EACH_MODE(of, sets)                                                                                            \
    of(f32, sets) of(f16, sets) of(int8_int16, sets) of(int8_int8, sets) of(int4_int16, sets) of(int4_int8, sets)
EACH_MODE(SUM_FUNCTIONS, 1)
EACH_MODE(SUM_FUNCTIONS, 3)
#define SUM_ENTRY(kind, sets) SUM_TABLE(kind, sets),
static const sum_function SUMS_OF_1[MODES][SUM_FORMS] = {EACH_MODE(SUM_ENTRY, 1)};
static const sum_function SUMS_OF_3[MODES][SUM_FORMS] = {EACH_MODE(SUM_ENTRY, 3)};

/* The same of BLOCKS full blocks of one frame, where an ISA has them: of int8 weights. */
typedef void (*blocks_function)(float *sums, uint32_t next_sums, const unsigned char *block, ptrdiff_t next,
                                const panel_layout *at, const void *operand);
KERNEL_INLINE int takes_blocks(const mode m) { return BLOCKS > 1 && (m == MODE_INT8_INT16 || m == MODE_INT8_INT8); }
#if BLOCKS > 1
#define BLOCKS_FUNCTION(kind, sets)                                                                                    \
    static void kind##_blocks_##sets(float *sums, uint32_t next_sums, const unsigned char *block, ptrdiff_t next,      \
                                     const panel_layout *at, const void *operand)                                      \
    {                                                                                                                  \
        sum_blocks_##kind(sums, next_sums, block + at->weights, next, operand, at->inputs, sets BESIDE_##kind);        \
    }
BLOCKS_FUNCTION(int8_int16, 1)
BLOCKS_FUNCTION(int8_int16, 3)
BLOCKS_FUNCTION(int8_int8, 1)
BLOCKS_FUNCTION(int8_int8, 3)
static const blocks_function BLOCKS_OF_1[MODES] = {
    [MODE_INT8_INT16] = int8_int16_blocks_1, [MODE_INT8_INT8] = int8_int8_blocks_1};
static const blocks_function BLOCKS_OF_3[MODES] = {
    [MODE_INT8_INT16] = int8_int16_blocks_3, [MODE_INT8_INT8] = int8_int8_blocks_3};
#else
static const blocks_function BLOCKS_OF_1[MODES] = {NULL}, BLOCKS_OF_3[MODES] = {NULL};
#endif

/* A panel times the operands of up to GRULET_TILE frames. */
static void panel_sums(const sum_function functions[SUM_FORMS], float *const *sums, const unsigned char *block,
                       const panel_layout *at, const void *const *operands, uint32_t frames, uint32_t width)
{
    const sum_function one = functions[width == GRULET_BLOCK_ROWS ? ONE_FRAME : NARROW];
    uint32_t f = 0;
    if (FRAMES > 1 && width == GRULET_BLOCK_ROWS)
        for (; f + FRAMES <= frames; f += FRAMES) functions[MANY_FRAMES](sums + f, block, at, operands + f, width);
    for (; f < frames; f++) one(sums + f, block, at, operands + f, width);
}

/* Number of blocks of rows, and the `i`-th of a sweep. */
static uint32_t block_count(const grulet_op *op) { return (op->units + GRULET_BLOCK_ROWS - 1) / GRULET_BLOCK_ROWS; }
static uint32_t block_index(const grulet_task *task, uint32_t i)
{
    return task->backwards ? block_count(task->op) - 1 - i : i;
}

/* Rows of a block: those that are real, and those that the file stores. */
static uint32_t block_rows(const grulet_op *op, uint32_t index)
{
    const uint32_t left = op->units - index * GRULET_BLOCK_ROWS;
    return left < GRULET_BLOCK_ROWS ? left : GRULET_BLOCK_ROWS;
}

#include "grulet_kernel_cells.h"

/* ---- dense, activations -------------------------------------------------------------------------------------------- */

KERNEL_INLINE void dense_outputs(const grulet_op *op, float *y, const float *sums, const float *scale, const float *bias,
                                 float level, uint32_t width, uint32_t rows)
{
    for (uint32_t u = 0; u < rows; u += LANES) {
        vf sum = vf_load(sums + u);
        if (scale) sum = vf_mul(vf_mul(sum, load_upto(scale + u, width - u)), vf_set(level));
        sum = to_finite(vf_add(sum, load_upto(bias + u, width - u)));
        store_upto(y + u, apply_function(sum, op->function, op->alpha), rows - u);
    }
}

/* One block of rows for all frames; returns the end of the block. */
static const unsigned char *dense_block(const grulet_task *task, const unsigned char *block, uint32_t index,
                                        grulet_stream *const *streams, size_t count)
{
    const grulet_op *op = task->op;
    const mode m = mode_of(op);
    const uint32_t rows = block_rows(op, index), width = grulet_round_up(rows, GRULET_GROUP);
    const int scaled = !is_float(m);
    const float *parameters = (const float *)(const void *)(block + panel_bytes(op->inputs, width, 1, m));
    const float *scale = scaled ? parameters : NULL, *bias = scaled ? parameters + width : parameters;
    const size_t row_sums = (size_t)((const unsigned char *)(bias + width) - block);
    const size_t multipliers = row_sums + row_sum_bytes(op->inputs, width, m);
    const panel_layout at = {0, row_sums, multipliers, op->inputs, 0};
    const size_t bytes = multipliers + multiplier_bytes(op->inputs, width, m);
    const void *operands[GRULET_TILE];
    float *sums[GRULET_TILE];
    for (uint32_t k = 0; k < GRULET_TILE; k++) sums[k] = streams[0]->sums + k * GRULET_BLOCK_ROWS;
    for (size_t s = 0; s < count; s += GRULET_TILE) {
        const uint32_t frames = count - s < GRULET_TILE ? (uint32_t)(count - s) : GRULET_TILE;
        for (uint32_t k = 0; k < frames; k++) operands[k] = streams[s + k]->x_operand;
        panel_sums(SUMS_OF_1[m], sums, block, &at, operands, frames, width);
        for (uint32_t k = 0; k < frames; k++)
            dense_outputs(op, streams[s + k]->arena + task->y + index * GRULET_BLOCK_ROWS, sums[k], scale, bias,
                          streams[s + k]->x_level, width, rows);
    }
    return block + grulet_round_up((uint32_t)bytes, GRULET_ALIGN);
}

/* Softmax in place: the largest is subtracted first; the sum runs in order. */
static void softmax(float *y, uint32_t n)
{
    float top = y[0], sum = 0.0f;
    for (uint32_t i = 1; i < n; i++) top = y[i] > top ? y[i] : top;
    for (uint32_t i = 0; i < n; i += LANES)
        store_upto(y + i, exponential(vf_sub(load_upto(y + i, n - i), vf_set(top))), n - i);
    for (uint32_t i = 0; i < n; i++) sum += y[i];
    for (uint32_t i = 0; i < n; i += LANES)
        store_upto(y + i, vf_div(load_upto(y + i, n - i), vf_set(sum)), n - i);
}

static void dense(const grulet_task *task, grulet_stream *const *streams, size_t count)
{
    const unsigned char *data = task->data;
    prepare_x(task, streams, count);
    for (uint32_t index = 0; index < block_count(task->op); index++)
        data = dense_block(task, data, index, streams, count);
    if (task->op->function == GRULET_FUNCTION_SOFTMAX)
        for (size_t s = 0; s < count; s++) softmax(streams[s]->arena + task->y, task->op->units);
}

/* Elements that a softmax makes add up to 1. */
static uint32_t part_size(const grulet_op *op) { return op->parameter ? op->parameter : op->units; }

static void activation(const grulet_task *task, grulet_stream *const *streams, size_t count)
{
    const grulet_op *op = task->op;
    for (size_t s = 0; s < count; s++) {
        const float *x = streams[s]->arena + task->x;
        float *y = streams[s]->arena + task->y;
        for (uint32_t i = 0; i < op->units; i += LANES)
            store_upto(y + i, apply_function(load_upto(x + i, op->units - i), op->function, op->alpha), op->units - i);
        if (op->function == GRULET_FUNCTION_SOFTMAX)
            for (uint32_t part = 0; part < op->units; part += part_size(op)) softmax(y + part, part_size(op));
    }
}

/* ---- frames and reading -------------------------------------------------------------------------------------------- */

/* A subnormal (or -0) is read as +0.  What is not less than infinity is bad; the loop runs to the end all the same. */
static int take_frame(float *to, const float *x, uint32_t n)
{
    const uint32_t infinity_bits = 0x7F800000u;
    float infinity;
    memcpy(&infinity, &infinity_bits, sizeof infinity);
    vf bad = vf_set(0.0f);
    for (uint32_t i = 0; i < n; i += LANES) {
        const vf v = load_upto(x + i, n - i), magnitude = vf_abs(v);
        bad = vf_less(magnitude, vf_set(infinity), bad, vf_set(1.0f));
        store_upto(to + i, vf_less(magnitude, vf_set(FLT_MIN), vf_set(0.0f), v), n - i);
    }
    return vf_largest(bad) == 0.0f;
}

/* Whole 64-byte lines, added up, as fast as this ISA can read: vectors in four sums; single lanes in the last loop, which
 * compilers vectorize (GCC 12 gets several interleaved sums of them wrong at -O3 -mavx2).  No array of sums: GCC leaves
 * it in memory. */
KERNEL_INLINE void add_vector(vi *sum, const unsigned char *vectors, int i)
{
    *sum = vi_add(*sum, vf_bits(vf_load((const float *)(const void *)vectors + i * LANES)));
    KEEP_IN_REGISTER(*sum);
}

static uint32_t read_lines(const unsigned char *lines, size_t bytes)
{
    enum { VECTOR = LANES * sizeof(float), ROUND = 8 * VECTOR };
    const unsigned char *const end = lines + bytes, *const last_round = LANES > 1 ? end - bytes % ROUND : lines;
    vi a = vf_bits(vf_set(0.0f)), b = a, c = a, d = a;
    uint32_t words[LANES], total = 0;
    float lanes[LANES];
    for (; lines < last_round; lines += ROUND) {
        add_vector(&a, lines, 0);
        add_vector(&b, lines, 1);
        add_vector(&c, lines, 2);
        add_vector(&d, lines, 3);
        add_vector(&a, lines, 4);
        add_vector(&b, lines, 5);
        add_vector(&c, lines, 6);
        add_vector(&d, lines, 7);
    }
    for (; lines < end; lines += VECTOR) a = vi_add(a, vf_bits(vf_load((const float *)(const void *)lines)));
    vf_store(lanes, vi_float(vi_add(vi_add(a, b), vi_add(c, d))));
    memcpy(words, lanes, sizeof words);
    for (int lane = 0; lane < LANES; lane++) total += words[lane];
    return total;
}

const grulet_kernel KERNEL_TABLE = {KERNEL_NAME, KERNEL_USABLE, take_frame, cell, dense, activation, cell_sequence,
                                    read_lines};
