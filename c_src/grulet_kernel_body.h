/* The arithmetic of every operator, written once.  An ISA file defines the primitives listed below, includes this file,
 * and gets `KERNEL_TABLE`.  docs/numerics.md is the contract that each line here keeps; grulet/reference.py is the same
 * in numpy.
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
 *   vf_bits, vi_float    reinterpret;  vi_add, vi_sub, vi_shift_left_23
 *   put_int16(operand, stride, i, v), put_int8(operand, i, v)   store LANES integers as the operand's elements i...
 *   sum_int16, sum_int8, sum_f32   a panel times an operand, see below
 *
 *   void sum_*(float *sums, const unsigned char *panel, const void *operand, uint32_t inputs, uint32_t width,
 *              const int sets, const int32_t *row_sums)
 * gives sums[set * 16 + row] for row < width.  Integer kinds: the exact sum of every span of GRULET_SPAN inputs,
 * converted to float, spans added in order; `row_sums` [span][set][row] serve ISAs whose dot product wants an unsigned
 * operand.  f32: four partial sums, input i into sum i mod 4, in order; then (s0 + s1) + (s2 + s3).
 */
#include <float.h>
#include <string.h>

#include "grulet_inline.h"

#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0
#error "float expressions must be computed in float: on 32-bit x86 compile with -msse2 -mfpmath=sse"
#endif
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "-ffast-math changes results: grulet promises the same bits everywhere"
#endif

typedef enum { MODE_F32, MODE_INT16, MODE_INT8 } mode;

/* ---- functions ------------------------------------------------------------------------------------------------ */

/* 2^k and expm1(r) of y = k ln 2 + r, |y| < 127 ln 2.  Adding 1.5 * 2^23 rounds to an integer whose bits are then the
 * low bits of the float (round-half-even like the addition itself).  ln 2 is split so that k * LN2_HIGH is exact
 * (Cody and Waite 1980).  Coefficients: tools/derive_expm1.py, relative error 1.4e-8 in exact arithmetic. */
KERNEL_INLINE vf expm1_parts(vf y, vf *power)
{
    const vf magic = vf_set(12582912.0f);
    const vf shifted = vf_add(vf_mul(y, vf_set(1.44269504f)), magic);
    const vf k = vf_sub(shifted, magic);
    const vf r = vf_sub(vf_sub(y, vf_mul(k, vf_set(0.693359375f))), vf_mul(k, vf_set(-2.12194440e-4f)));
    const vf r2 = vf_mul(r, r);
    const vf low = vf_add(vf_set(4.999999702e-01f), vf_mul(r, vf_set(1.666654646e-01f)));
    const vf high = vf_add(vf_set(4.166743904e-02f), vf_mul(r, vf_set(8.366251364e-03f)));
    const vf q = vf_add(low, vf_mul(r2, vf_add(high, vf_mul(r2, vf_set(1.387028024e-03f)))));
    *power = vi_float(vi_add(vi_shift_left_23(vf_bits(shifted)), vf_bits(vf_set(1.0f))));
    return vf_add(r, vf_mul(r2, q));
}

/* e^y for y <= 0; below -87 as at -87. */
KERNEL_INLINE vf exp_negative(vf y)
{
    vf power;
    const vf p = expm1_parts(vf_max(y, vf_set(-87.0f)), &power);
    return vf_add(power, vf_mul(power, p));
}

/* 1 / (1 + e^-x), in [0, 1]; a NaN counts as 87. */
KERNEL_INLINE vf sigmoid(vf x)
{
    vf power;
    const vf bounded = vf_max(vf_min(x, vf_set(87.0f)), vf_set(-87.0f));
    const vf p = expm1_parts(vf_sub(vf_set(0.0f), bounded), &power);
    return vf_div(vf_set(1.0f), vf_add(vf_set(1.0f), vf_add(power, vf_mul(power, p))));
}

/* With t = expm1(-2|x|): |tanh x| = -t / (2 + t), exact in relative terms near 0, in [-1, 1], odd; a NaN counts as 10. */
KERNEL_INLINE vf tanh_gate(vf x)
{
    vf power;
    const vf bounded = vf_max(vf_min(x, vf_set(10.0f)), vf_set(-10.0f));
    const vf p = expm1_parts(vf_mul(vf_abs(bounded), vf_set(-2.0f)), &power);
    const vf t = vf_add(vf_sub(power, vf_set(1.0f)), vf_mul(power, p));
    return vf_copysign(vf_div(vf_abs(t), vf_add(vf_set(2.0f), t)), bounded);
}

/* An overflowed sum becomes the largest float, a NaN (infinities of both signs met) the largest positive. */
KERNEL_INLINE vf to_finite(vf x)
{
    const vf largest = vf_set(3.40282347e+38f);
    return vf_max(vf_min(x, largest), vf_set(-3.40282347e+38f));
}

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
    float lanes[LANES];
    vf top = vf_set(0.0f);
    for (uint32_t i = 0; i < n; i += LANES) top = vf_max(vf_abs(load_upto(x + i, n - i)), top);
    vf_store(lanes, top);
    for (int i = 1; i < LANES; i++) lanes[0] = lanes[i] > lanes[0] ? lanes[i] : lanes[0];
    return lanes[0];
}

/* Quantize x to [-levels, levels] for the range [-peak, peak]; peak 0: the frame's own largest magnitude, of which less
 * than 2^-100 counts as silence.  Returns the value of one level.  Zero-pads to whole groups. */
KERNEL_INLINE float prepare(void *operand, const float *x, uint32_t n, float peak, const mode m)
{
    if (m == MODE_F32) {
        memcpy(operand, x, n * sizeof(float));
        memset((float *)operand + n, 0, (grulet_round_up(n, GRULET_GROUP) - n) * sizeof(float));
        return 1.0f;
    }
    const float levels = m == MODE_INT16 ? 32767.0f : 127.0f;
    if (peak == 0.0f) peak = largest_magnitude(x, n);
    const int silent = peak < 7.888609052e-31f; /* 2^-100: levels / peak stays finite */
    const vf inverse = vf_set(silent ? 0.0f : levels / peak);
    const vf top = vf_set(levels), bottom = vf_set(-levels), magic = vf_set(12582912.0f);
    for (uint32_t i = 0; i < n; i += LANES) {
        const vf scaled = vf_max(vf_min(vf_mul(load_upto(x + i, n - i), inverse), top), bottom);
        const vi level = vi_sub(vf_bits(vf_add(scaled, magic)), vf_bits(magic));
        if (m == MODE_INT16) put_int16(operand, grulet_round_up(n, 64), i, level);
        else put_int8(operand, i, level);
    }
    if (LANES < GRULET_GROUP)
        for (uint32_t i = n; i % GRULET_GROUP; i += LANES) {
            const vi zero = vf_bits(vf_set(0.0f));
            if (m == MODE_INT16) put_int16(operand, grulet_round_up(n, 64), i, zero);
            else put_int8(operand, i, zero);
        }
    return silent ? 0.0f : peak / levels;
}

/* ---- panels ------------------------------------------------------------------------------------------------------ */

KERNEL_INLINE uint32_t panel_bytes(uint32_t inputs, uint32_t width, int sets, const mode m)
{
    const uint32_t weight = m == MODE_F32 ? 4 : 1;
    return grulet_round_up(grulet_round_up(inputs, GRULET_GROUP) * width * (uint32_t)sets * weight, GRULET_ALIGN);
}

KERNEL_INLINE void panel_sums(float *sums, const unsigned char *panel, const void *operand, uint32_t inputs,
                              uint32_t width, const int sets, const int32_t *row_sums, const mode m)
{
    if (m == MODE_F32) sum_f32(sums, panel, operand, inputs, width, sets, row_sums);
    else if (m == MODE_INT16) sum_int16(sums, panel, operand, inputs, width, sets, row_sums);
    else sum_int8(sums, panel, operand, inputs, width, sets, row_sums);
}

KERNEL_INLINE uint32_t spans(uint32_t inputs) { return (inputs + GRULET_SPAN - 1) / GRULET_SPAN; }

/* ---- operators ---------------------------------------------------------------------------------------------------- */

/* One block of a GRU layer: `rows` (of `width` stored) hidden units.  h' = n + z (h - n) stays in [-1, 1]; below 2^-64 it
 * is flushed to zero, so that a silent stream never computes with subnormals.  Returns the end of the block's bytes. */
KERNEL_INLINE const unsigned char *gru_block(const grulet_op *op, const unsigned char *block, float *y, float *h,
                                             const void *x_operand, const void *h_operand, float x_level,
                                             uint32_t width, uint32_t rows, const mode m)
{
    float from_x[3 * GRULET_BLOCK_ROWS], from_h[3 * GRULET_BLOCK_ROWS];
    const unsigned char *x_panel = block;
    const unsigned char *h_panel = x_panel + panel_bytes(op->inputs, width, 3, m);
    const float *parameters = (const float *)(const void *)(h_panel + panel_bytes(op->units, width, 3, m));
    const float *x_scale = parameters, *h_scale = parameters + 3 * width;
    const float *bias = m == MODE_F32 ? parameters : parameters + 6 * width;
    const int32_t *x_row_sums = (const int32_t *)(const void *)(bias + 4 * width);
    const int32_t *h_row_sums = x_row_sums + spans(op->inputs) * 3 * width;
    const unsigned char *end =
        m == MODE_F32 ? (const unsigned char *)(bias + 4 * width)
                      : (const unsigned char *)(h_row_sums + spans(op->units) * 3 * width);

    panel_sums(from_x, x_panel, x_operand, op->inputs, width, 3, x_row_sums, m);
    panel_sums(from_h, h_panel, h_operand, op->units, width, 3, h_row_sums, m);

    const vf level = vf_set(x_level);
    for (uint32_t u = 0; u < rows; u += LANES) {
        vf x_part[3], h_part[3];
        for (uint32_t gate = 0; gate < 3; gate++) {
            x_part[gate] = vf_load(from_x + gate * GRULET_BLOCK_ROWS + u);
            h_part[gate] = vf_load(from_h + gate * GRULET_BLOCK_ROWS + u);
            if (m != MODE_F32) {
                const vf scale = load_upto(x_scale + gate * width + u, width - u);
                x_part[gate] = vf_mul(vf_mul(x_part[gate], scale), level);
                h_part[gate] = vf_mul(h_part[gate], load_upto(h_scale + gate * width + u, width - u));
            }
        }
        const vf z_bias = load_upto(bias + u, width - u), r_bias = load_upto(bias + width + u, width - u);
        const vf n_x_bias = load_upto(bias + 2 * width + u, width - u);
        const vf n_h_bias = load_upto(bias + 3 * width + u, width - u);
        const vf r = sigmoid(vf_add(vf_add(x_part[1], h_part[1]), r_bias));
        const vf z = sigmoid(vf_add(vf_add(x_part[0], h_part[0]), z_bias));
        const vf n = tanh_gate(vf_add(vf_add(x_part[2], n_x_bias), vf_mul(r, vf_add(h_part[2], n_h_bias))));
        const vf blended = vf_add(n, vf_mul(z, vf_sub(load_upto(h + u, rows - u), n)));
        const vf state = vf_less(vf_abs(blended), vf_set(5.421010862e-20f), vf_set(0.0f), blended); /* 2^-64 */
        store_upto(h + u, state, rows - u);
        store_upto(y + u, state, rows - u);
    }
    return block + grulet_round_up((uint32_t)(end - block), GRULET_ALIGN);
}

KERNEL_INLINE void gru_mode(const grulet_op *op, const unsigned char *data, float *y, const float *x, float *h,
                            void *scratch, const mode m)
{
    void *h_operand = (char *)scratch + grulet_operand_bytes(op->inputs);
    const float x_level = prepare(scratch, x, op->inputs, op->input_peak, m);
    prepare(h_operand, h, op->units, 1.0f, m); /* |h| <= 1; its level 1 / 32767 is folded into the stored scales */
    uint32_t row = 0;
    for (; row + GRULET_BLOCK_ROWS <= op->units; row += GRULET_BLOCK_ROWS)
        data = gru_block(op, data, y + row, h + row, scratch, h_operand, x_level, GRULET_BLOCK_ROWS,
                         GRULET_BLOCK_ROWS, m);
    if (row < op->units)
        gru_block(op, data, y + row, h + row, scratch, h_operand, x_level,
                  grulet_round_up(op->units - row, GRULET_GROUP), op->units - row, m);
}

KERNEL_INLINE const unsigned char *dense_block(const grulet_op *op, const unsigned char *block, float *y,
                                               const void *operand, float x_level, uint32_t width, uint32_t rows,
                                               const mode m)
{
    float from_x[GRULET_BLOCK_ROWS];
    const float *parameters = (const float *)(const void *)(block + panel_bytes(op->inputs, width, 1, m));
    const float *scale = parameters;
    const float *bias = m == MODE_F32 ? parameters : parameters + width;
    const int32_t *row_sums = (const int32_t *)(const void *)(bias + width);
    const unsigned char *end = m == MODE_F32 ? (const unsigned char *)(bias + width)
                                             : (const unsigned char *)(row_sums + spans(op->inputs) * width);

    panel_sums(from_x, block, operand, op->inputs, width, 1, row_sums, m);
    for (uint32_t u = 0; u < rows; u += LANES) {
        vf sum = vf_load(from_x + u);
        if (m != MODE_F32) sum = vf_mul(vf_mul(sum, load_upto(scale + u, width - u)), vf_set(x_level));
        sum = to_finite(vf_add(sum, load_upto(bias + u, width - u)));
        store_upto(y + u, apply_function(sum, op->function, op->alpha), rows - u);
    }
    return block + grulet_round_up((uint32_t)(end - block), GRULET_ALIGN);
}

/* Softmax in place: the largest is subtracted first; the sum runs in order. */
static void softmax(float *y, uint32_t n)
{
    float top = y[0], sum = 0.0f;
    for (uint32_t i = 1; i < n; i++) top = y[i] > top ? y[i] : top;
    for (uint32_t i = 0; i < n; i += LANES)
        store_upto(y + i, exp_negative(vf_sub(load_upto(y + i, n - i), vf_set(top))), n - i);
    for (uint32_t i = 0; i < n; i++) sum += y[i];
    for (uint32_t i = 0; i < n; i += LANES)
        store_upto(y + i, vf_div(load_upto(y + i, n - i), vf_set(sum)), n - i);
}

KERNEL_INLINE void dense_mode(const grulet_op *op, const unsigned char *data, float *y, const float *x, void *scratch,
                              const mode m)
{
    const float x_level = prepare(scratch, x, op->inputs, op->input_peak, m);
    uint32_t row = 0;
    for (; row + GRULET_BLOCK_ROWS <= op->units; row += GRULET_BLOCK_ROWS)
        data = dense_block(op, data, y + row, scratch, x_level, GRULET_BLOCK_ROWS, GRULET_BLOCK_ROWS, m);
    if (row < op->units)
        dense_block(op, data, y + row, scratch, x_level, grulet_round_up(op->units - row, GRULET_GROUP),
                    op->units - row, m);
    if (op->function == GRULET_FUNCTION_SOFTMAX) softmax(y, op->units);
}

/* ---- the table ------------------------------------------------------------------------------------------------------ */

static mode mode_of(const grulet_op *op)
{
    if (op->weights == GRULET_WEIGHTS_F32) return MODE_F32;
    return op->activations == GRULET_ACTIVATIONS_INT16 ? MODE_INT16 : MODE_INT8;
}

static void gru(const grulet_op *op, const unsigned char *data, float *y, const float *x, float *h, void *scratch)
{
    switch (mode_of(op)) {
    case MODE_F32: gru_mode(op, data, y, x, h, scratch, MODE_F32); break;
    case MODE_INT16: gru_mode(op, data, y, x, h, scratch, MODE_INT16); break;
    case MODE_INT8: gru_mode(op, data, y, x, h, scratch, MODE_INT8); break;
    }
}

static void dense(const grulet_op *op, const unsigned char *data, float *y, const float *x, void *scratch)
{
    switch (mode_of(op)) {
    case MODE_F32: dense_mode(op, data, y, x, scratch, MODE_F32); break;
    case MODE_INT16: dense_mode(op, data, y, x, scratch, MODE_INT16); break;
    case MODE_INT8: dense_mode(op, data, y, x, scratch, MODE_INT8); break;
    }
}

static void activation(const grulet_op *op, float *y, const float *x)
{
    for (uint32_t i = 0; i < op->units; i += LANES)
        store_upto(y + i, apply_function(load_upto(x + i, op->units - i), op->function, op->alpha), op->units - i);
    if (op->function == GRULET_FUNCTION_SOFTMAX) softmax(y, op->units);
}

/* Whole 64-byte lines, added up, as fast as this ISA can read: vectors in four sums; single lanes in one, which compilers
 * vectorize (GCC 12 gets four interleaved sums wrong at -O3 -mavx2). */
static uint32_t read_lines(const unsigned char *lines, size_t bytes)
{
    enum { SUMS = LANES == 1 ? 1 : 4 };
    uint32_t words[LANES], total = 0;
    vi sums[SUMS];
    for (int s = 0; s < SUMS; s++) sums[s] = vf_bits(vf_set(0.0f));
    size_t at = 0;
    for (; at + SUMS * sizeof words <= bytes; at += SUMS * sizeof words)
        for (int s = 0; s < SUMS; s++)
            sums[s] = vi_add(sums[s], vf_bits(vf_load((const float *)(const void *)(lines + at) + s * LANES)));
    for (; at < bytes; at += sizeof words)
        sums[0] = vi_add(sums[0], vf_bits(vf_load((const float *)(const void *)(lines + at))));
    for (int s = 1; s < SUMS; s++) sums[0] = vi_add(sums[0], sums[s]);
    memcpy(words, &sums[0], sizeof words);
    for (int lane = 0; lane < LANES; lane++) total += words[lane];
    return total;
}

const grulet_kernel KERNEL_TABLE = {KERNEL_NAME, KERNEL_USABLE, gru, dense, activation, read_lines};
