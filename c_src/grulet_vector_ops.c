/* The operators that are not worth an instruction set of their own: elementwise functions, copies, norms, states.  Plain
 * C99 for every CPU, compiled once; compilers vectorize most of the loops.  docs/numerics.md is the contract. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-trapping-math") /* nobody looks at exception flags: GCC may compute both sides of a ?: */
#endif
#include "generic/grulet_scalar_lanes.h"
#include "grulet_config.h"
#include "grulet_functions.h"

#include <string.h>

/* One frame of an operator: where its vectors lie. */
typedef struct {
    const grulet_op *op;
    const void *data;
    const float *x, *x2;
    float *y, *state;
} frame;

/* ---- functions ------------------------------------------------------------------------------------------------ */

/* With x = m 2^e, sqrt(1/2) <= m < sqrt(2), and s = (m - 1) / (m + 1): log m = 2 (s + s^3/3 + s^5/5 + ...); e ln 2 comes
 * in two parts, the larger with so few bits that its product with e is exact. */
KERNEL_INLINE float logarithm(float x)
{
    const uint32_t one = 0x3F800000u, root_half = 0x3F3504F3u;
    const uint32_t bits = (uint32_t)vf_bits(vf_max(x, FLT_MIN));
    const int32_t e = (int32_t)((bits + (one - root_half)) >> 23) - 127;
    const float m = vi_float((vi)(bits - ((uint32_t)e << 23))), k = (float)e;
    const float s = (m - 1.0f) / (m + 1.0f), s2 = s * s;
    const float q = ((0.222222224f * s2 + 0.285714298f) * s2 + 0.4f) * s2 + 0.666666687f;
    const float r = (s + s) + (s * s2) * q;
    return (r + k * -2.12194440e-4f) + k * 0.693359375f;
}

/* Half the bits are a guess right to 4.5 %; Heron's rule three times.  0 below the smallest normal number. */
KERNEL_INLINE float square_root(float x)
{
    const float normal = vf_max(vf_abs(x), FLT_MIN); /* the root of a negative number would go through subnormals: slow */
    float y = vi_float((vi)(((uint32_t)vf_bits(normal) >> 1) + 0x1FBD1DF5u));
    for (int step = 0; step < 3; step++) y = 0.5f * (y + normal / y);
    return x < FLT_MIN ? 0.0f : y;
}

/* e^x - 1 for x < 0, with tanh_gate's care near 0. */
KERNEL_INLINE float exponential_minus_one(float x)
{
    const float t = vf_max(x, -87.0f) * LOG2_E;
    float p;
    vi power;
    exp2_parts(&t, &p, &power, 1);
    return times_power(LN_2, power) * p - (1.0f - times_power(1.0f, power));
}

KERNEL_INLINE float elu(float x, float alpha) { return x < 0.0f ? to_finite(alpha * exponential_minus_one(x)) : x; }
KERNEL_INLINE float softplus(float x) { return vf_max(x, 0.0f) + logarithm(1.0f + exponential(-vf_abs(x))); }

/* A loop of its own for every function, so that compilers can vectorize it. */
#define EACH(value)                                                                                                    \
    for (uint32_t i = 0; i < n; i++) {                                                                                 \
        const float v = x[i];                                                                                          \
        y[i] = (value);                                                                                                \
    }                                                                                                                  \
    break

#define FUNCTION(name, value)                                                                                          \
    case GRULET_FUNCTION_##name:                                                                                       \
        if (!GRULET_WITH_##name) break;                                                                                \
        EACH(value)

static void elementwise(const frame *f)
{
    const uint32_t n = f->op->units;
    const float alpha = f->op->alpha, beta = f->op->beta, *const x = f->x;
    float *const y = f->y;
    switch (f->op->function) {
    FUNCTION(CLIP, vf_max(vf_min(v, beta), alpha));
    FUNCTION(ELU, elu(v, alpha));
    FUNCTION(HARD_SIGMOID, vf_max(vf_min(v * alpha + beta, 1.0f), 0.0f));
    FUNCTION(SOFTPLUS, softplus(v));
    FUNCTION(SOFTSIGN, v / (1.0f + vf_abs(v)));
    FUNCTION(THRESHOLDED_RELU, v > alpha ? v : 0.0f);
    FUNCTION(EXP, exponential(v));
    FUNCTION(LOG, logarithm(v));
    FUNCTION(SQRT, square_root(v));
    FUNCTION(ABS, vf_abs(v));
    FUNCTION(RECIPROCAL, to_finite(1.0f / v));
    }
}

static void binary(const frame *f)
{
    const uint32_t n = f->op->units;
    const float *const x = f->x, *const x2 = f->x2;
    float *const y = f->y;
    switch (f->op->function) {
    case GRULET_FUNCTION_ADD: EACH(to_finite(v + x2[i]));
    case GRULET_FUNCTION_SUB: EACH(to_finite(v - x2[i]));
    case GRULET_FUNCTION_MUL: EACH(to_finite(v * x2[i]));
    case GRULET_FUNCTION_DIV: EACH(to_finite(v / x2[i]));
    case GRULET_FUNCTION_MIN: EACH(vf_min(v, x2[i]));
    case GRULET_FUNCTION_MAX: EACH(vf_max(v, x2[i]));
    }
}

static void affine(const frame *f)
{
    const float *scale = (const float *)f->data, *shift = scale + f->op->units;
    for (uint32_t i = 0; i < f->op->units; i++) f->y[i] = to_finite(f->x[i] * scale[i] + shift[i]);
}

static void prelu(const frame *f)
{
    const float *slopes = (const float *)f->data;
    for (uint32_t i = 0; i < f->op->units; i++)
        f->y[i] = f->x[i] < 0.0f ? to_finite(f->x[i] * slopes[i]) : f->x[i];
}

/* ---- copies --------------------------------------------------------------------------------------------------- */

static void copy(float *to, const float *from, uint32_t n) { memcpy(to, from, n * sizeof(float)); }

static void concat(const frame *f)
{
    copy(f->y, f->x, f->op->inputs);
    copy(f->y + f->op->inputs, f->x2, f->op->units - f->op->inputs);
}

static void slice(const frame *f) { copy(f->y, f->x + f->op->parameter, f->op->units); }

static void selection(const frame *f)
{
    const uint32_t *indices = (const uint32_t *)f->data;
    for (uint32_t i = 0; i < f->op->units; i++) f->y[i] = f->x[indices[i]];
}

/* One row of a table of `rows` rows: of the integer formats, behind the table and on a multiple of 64 bytes, scales; between
 * them, of int4, multipliers. */
static void int8_row(float *y, const int8_t *table, size_t row, uint32_t rows, uint32_t width)
{
    const float *scales = (const float *)(const void *)(table + grulet_round_up(rows * width, GRULET_ALIGN));
    for (uint32_t j = 0; j < width; j++) y[j] = (float)table[row * width + j] * scales[row];
}

static void int4_row(float *y, const unsigned char *table, size_t row, uint32_t rows, uint32_t width)
{
    const uint32_t row_bytes = (width + 1) / 2;
    const uint32_t row_multipliers = (width + GRULET_MULTIPLIER_INPUTS - 1) / GRULET_MULTIPLIER_INPUTS;
    const int8_t *multipliers = (const int8_t *)table + grulet_round_up(rows * row_bytes, GRULET_ALIGN);
    const float *scales = (const float *)(const void *)(multipliers + grulet_round_up(rows * row_multipliers, GRULET_ALIGN));
    for (uint32_t j = 0; j < width; j++) {
        const int q = (table[row * row_bytes + j / 2] >> (j % 2 ? 4 : 0) & 15) - 8;
        y[j] = (float)(q * multipliers[row * row_multipliers + j / GRULET_MULTIPLIER_INPUTS]) * scales[row];
    }
}

static void f16_row(float *y, const uint16_t *halves, uint32_t width)
{
    for (uint32_t j = 0; j < width; j++) y[j] = grulet_half(halves[j]);
}

static void embedding(const frame *f)
{
    const uint32_t width = f->op->units / f->op->inputs, rows = f->op->parameter;
    float *y = f->y;
    for (uint32_t i = 0; i < f->op->inputs; i++, y += width) {
        const size_t token = (size_t)f->x[i];
        switch (f->op->weights) {
        case GRULET_WEIGHTS_F32: copy(y, (const float *)f->data + token * width, width); break;
        case GRULET_WEIGHTS_F16: f16_row(y, (const uint16_t *)f->data + token * width, width); break;
        case GRULET_WEIGHTS_INT8: int8_row(y, (const int8_t *)f->data, token, rows, width); break;
        default: int4_row(y, (const unsigned char *)f->data, token, rows, width);
        }
    }
}

/* The input of the sequence's first frame, whatever this frame is: grulet_vector_op takes it from there. */
static void first_frame(const frame *f) { copy(f->y, f->x, f->op->units); }

/* ---- states --------------------------------------------------------------------------------------------------- */

static void state_read(const frame *f) { copy(f->y, f->state, f->op->units); }

static void state_write(const frame *f)
{
    copy(f->state, f->x, f->op->units);
    copy(f->y, f->x, f->op->units);
}

/* The state: where the oldest of the last (taps - 1) dilation frames lies, then a ring of them. */
static void history(const frame *f)
{
    const uint32_t width = f->op->inputs, dilation = f->op->parameter, others = f->op->units / width - 1;
    const uint32_t slots = others * dilation, oldest = (uint32_t)f->state[0];
    float *ring = f->state + 1;
    uint32_t slot = oldest;
    for (uint32_t tap = 0; tap < others; tap++) {
        copy(f->y + tap * width, ring + (size_t)slot * width, width);
        slot = slots - slot > dilation ? slot + dilation : slot + dilation - slots;
    }
    copy(f->y + others * width, f->x, width);
    copy(ring + (size_t)oldest * width, f->x, width);
    f->state[0] = (float)(oldest + 1 < slots ? oldest + 1 : 0);
}

/* ---- sums ----------------------------------------------------------------------------------------------------- */

static void depthwise(const frame *f)
{
    const uint32_t channels = f->op->units;
    const float *taps = (const float *)f->data, *bias = taps + f->op->inputs, *x = f->x;
    for (uint32_t i = 0; i < channels; i++) f->y[i] = taps[i] * x[i];
    for (uint32_t at = channels; at < f->op->inputs; at += channels)
        for (uint32_t i = 0; i < channels; i++) f->y[i] = f->y[i] + taps[at + i] * x[at + i];
    for (uint32_t i = 0; i < channels; i++) f->y[i] = to_finite(f->y[i] + bias[i]);
}

/* Element i goes into sum i mod 16; then halves onto halves. */
enum { SUMS = 16 };
static float total(float sums[SUMS])
{
    for (uint32_t half = SUMS / 2; half > 0; half /= 2)
        for (uint32_t j = 0; j < half; j++) sums[j] += sums[j + half];
    return sums[0];
}
static float sum(const float *x, uint32_t n)
{
    float sums[SUMS] = {0};
    for (uint32_t i = 0; i < n; i += SUMS)
        ROLLED for (uint32_t j = 0; j < (n - i < SUMS ? n - i : (uint32_t)SUMS); j++) sums[j] += x[i + j];
    return total(sums);
}
static float sum_of_squares(const float *x, uint32_t n)
{
    float sums[SUMS] = {0};
    for (uint32_t i = 0; i < n; i += SUMS)
        ROLLED for (uint32_t j = 0; j < (n - i < SUMS ? n - i : (uint32_t)SUMS); j++) sums[j] += x[i + j] * x[i + j];
    return total(sums);
}

static void layer_norm(const frame *f)
{
    const uint32_t n = f->op->parameter;
    const float *scale = (const float *)f->data, *shift = scale + n;
    for (uint32_t part = 0; part < f->op->units; part += n) {
        const float *x = f->x + part;
        float *y = f->y + part;
        const float mean = to_finite(sum(x, n) / (float)n);
        for (uint32_t i = 0; i < n; i++) y[i] = x[i] - mean;
        const float variance = to_finite(sum_of_squares(y, n) / (float)n);
        const float inverse = 1.0f / square_root(to_finite(variance + f->op->alpha));
        for (uint32_t i = 0; i < n; i++) y[i] = to_finite((y[i] * inverse) * scale[i] + shift[i]);
    }
}

/* ---- by kind -------------------------------------------------------------------------------------------------- */

static void run_frame(const frame *f)
{
    switch (f->op->kind) {
    case GRULET_OP_ACTIVATION: if (GRULET_HAS_ELEMENTWISE) elementwise(f); break;
    case GRULET_OP_BINARY: if (GRULET_WITH_BINARY) binary(f); break;
    case GRULET_OP_AFFINE: if (GRULET_WITH_AFFINE) affine(f); break;
    case GRULET_OP_PRELU: if (GRULET_WITH_PRELU) prelu(f); break;
    case GRULET_OP_CONCAT: if (GRULET_WITH_CONCAT) concat(f); break;
    case GRULET_OP_SLICE: if (GRULET_WITH_SLICE) slice(f); break;
    case GRULET_OP_SELECT: if (GRULET_WITH_SELECT) selection(f); break;
    case GRULET_OP_EMBEDDING: if (GRULET_WITH_EMBEDDING) embedding(f); break;
    case GRULET_OP_LAYER_NORM: if (GRULET_WITH_LAYER_NORM) layer_norm(f); break;
    case GRULET_OP_HISTORY: if (GRULET_WITH_HISTORY) history(f); break;
    case GRULET_OP_DEPTHWISE: if (GRULET_WITH_DEPTHWISE) depthwise(f); break;
    case GRULET_OP_STATE_READ: if (GRULET_WITH_STATES) state_read(f); break;
    case GRULET_OP_STATE_WRITE: if (GRULET_WITH_STATES) state_write(f); break;
    case GRULET_OP_FIRST_FRAME: if (GRULET_WITH_FIRST_FRAME) first_frame(f); break;
    }
}

void grulet_vector_op(const grulet_task *task, grulet_stream *const *streams, size_t count)
{
    const uint32_t kind = task->op->kind;
    for (size_t s = 0; s < count; s++) {
        const float *arena = streams[kind == GRULET_OP_FIRST_FRAME ? count - 1 : s]->arena; /* the lanes are reversed */
        const frame f = {task->op, task->data, arena + task->x, arena + task->x2,
                         streams[s]->arena + task->y, streams[s]->state + task->h};
        run_frame(&f);
    }
}
