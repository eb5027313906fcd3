/* The float half of a kernel: gates, functions, sums of float weights, written once.  A file for one kind of vectors defines
 * the primitives listed below, includes this file, and gets `FLOATS_TABLE`.  docs/numerics.md is the contract that each line
 * here keeps; grulet/reference.py is the same in numpy.
 *
 * What the file defines before the include:
 *   FLOATS_TABLE         the grulet_floats to define
 *   LANES                floats in a vector: 1, 4, 8 or 16
 *   vf, vi               a vector of LANES float32, of LANES int32
 *   vf_load/store(p)     LANES floats, any alignment;  vf_load_part/store_part(p, n): the first n < LANES, rest zero/kept;
 *                        with MASKED_LANES defined also n >= LANES, which means all
 *   vf_set, vf_add, vf_sub, vf_mul, vf_div   one IEEE operation per lane, never fused
 *   vf_min(a, b), vf_max(a, b)   a < b ? a : b and a > b ? a : b, so that a NaN in `a` gives b
 *   vf_abs, vf_copysign(magnitude, sign)
 *   vf_less(a, b, t, e)  per lane a < b ? t : e
 *   vf_bits, vi_float    reinterpret;  vi_add, vi_shift_left_23
 *   vi_max(a, b), vi_largest(v)   the larger per lane; the largest of the lanes
 *   FRAMES               how many frames its sums take over one read of the weights: 1 to GRULET_TILE
 *   sum_f32, sum_f16     a panel times the operands of 1 or FRAMES frames:
 *
 *   void sum_f32(float *const *sums, const unsigned char *panel, const void *const *operands, const int frames,
 *                uint32_t inputs, uint32_t width, const int sets, uint32_t rows)
 * gives sums[frame][set * 16 + row] for row < width, of `sets` sets of rows, which lie at the beginning of groups of `rows` rows
 * of 4 inputs; `frames` and `sets` are constants, `width` is 16 or 4, 8, 12 and then no constant.  Four partial sums, input i
 * into sum i mod 4, in order; then (s0 + s1) + (s2 + s3).  generic/grulet_plain_f16.h is sum_f16 for any vectors.
 *
 * What it may define:
 *   vf_fraction(v)       v minus the nearest integer, ties to even, exact, for |v| < 2^21; and VF_FRACTION
 *   TWO_BLOCKS           if sum_blocks_f32 takes two full blocks of a cell over one read of the operand, in panels of three sets:
 *
 *   void sum_blocks_f32(float *sums, uint32_t next_sums, const unsigned char *panel, ptrdiff_t next, const void *operand,
 *                       uint32_t inputs)
 * gives sums[block * next_sums + set * 16 + row]; the panel of a block lies `next` bytes from that of the block before.
 */
#include <float.h>

#include "grulet_config.h"
#include "grulet_functions.h"
#include "grulet_kernel.h"
#include "grulet_lanes.h"
#include "grulet_sum_forms.h"

/* ---- functions ------------------------------------------------------------------------------------------------ */

/* Of one vector: functions that exist once.  CPUs that look far ahead overlap calls. */
KERNEL_SHARED vf one_sigmoid(vf x) { return sigmoid(x); }
KERNEL_SHARED vf one_tanh(vf x) { return tanh_gate(x); }

KERNEL_INLINE vf function_of_vector(vf x, uint32_t function, float alpha)
{
    switch (function) {
    case GRULET_FUNCTION_RELU: return vf_max(x, vf_set(0.0f));
#if GRULET_WITH_LEAKY_RELU
    case GRULET_FUNCTION_LEAKY_RELU: return vf_less(x, vf_set(0.0f), to_finite(vf_mul(x, vf_set(alpha))), x);
#endif
#if GRULET_WITH_SIGMOID
    case GRULET_FUNCTION_SIGMOID: return one_sigmoid(x);
#endif
#if GRULET_WITH_TANH
    case GRULET_FUNCTION_TANH: return one_tanh(x);
#endif
    default: (void)alpha; return x;
    }
}

KERNEL_SMALL void apply(float *y, const float *x, uint32_t n, uint32_t function, float alpha)
{
    for (uint32_t i = 0; i < n; i += LANES)
        store_some(y + i, function_of_vector(load_some(x + i, n - i), function, alpha), n - i);
}

/* The largest is subtracted first; the sum runs in order. */
KERNEL_SMALL void softmax(float *y, uint32_t n)
{
    float top = y[0], sum = 0.0f;
    for (uint32_t i = 1; i < n; i++) top = y[i] > top ? y[i] : top;
    for (uint32_t i = 0; i < n; i += LANES)
        store_some(y + i, exponential(vf_sub(load_some(y + i, n - i), vf_set(top))), n - i);
    for (uint32_t i = 0; i < n; i++) sum += y[i];
    for (uint32_t i = 0; i < n; i += LANES)
        store_some(y + i, vf_div(load_some(y + i, n - i), vf_set(sum)), n - i);
}

/* ---- gates --------------------------------------------------------------------------------------------------------- */

/* What goes into the gate `gate` of the units u..., but for biases: (A_x S_x) level and A_h S_h. */
KERNEL_INLINE void gate_parts(const grulet_job *job, uint32_t gate, uint32_t u, uint32_t width, vf *from_x, vf *from_h)
{
    const vf x_scale = load_some(job->x_scales + gate * width + u, width - u);
    const vf h_scale = load_some(job->h_scales + gate * width + u, width - u);
    *from_x = vf_mul(vf_mul(vf_load(job->from_x + gate * GRULET_BLOCK_ROWS + u), x_scale), vf_set(job->x_level));
    *from_h = vf_mul(vf_load(job->from_h + gate * GRULET_BLOCK_ROWS + u), h_scale);
}

KERNEL_INLINE vf gate_bias(const grulet_job *job, uint32_t bias, uint32_t u, uint32_t width)
{
    return load_some(job->biases + bias * width + u, width - u);
}

/* (a_x + a_h) + b */
KERNEL_INLINE vf gate_sum(const grulet_job *job, uint32_t gate, uint32_t u, uint32_t width)
{
    vf from_x, from_h;
    gate_parts(job, gate, u, width, &from_x, &from_h);
    return vf_add(vf_add(from_x, from_h), gate_bias(job, gate, u, width));
}

/* Below 2^-64 a state is flushed to zero, so that a silent stream never computes with subnormals. */
KERNEL_INLINE vf flushed(vf state)
{
    return vf_less(vf_abs(state), vf_set(5.421010862e-20f), vf_set(0.0f), state); /* 2^-64 */
}

/* What n is the tanh of: (a_x + b_x) + r (a_h + b_h). */
enum { GRU_Z, GRU_R, GRU_N, GRU_BIAS_N_H };
KERNEL_INLINE vf gru_candidate(const grulet_job *job, vf r, uint32_t u, uint32_t width)
{
    vf from_x, from_h;
    gate_parts(job, GRU_N, u, width, &from_x, &from_h);
    from_x = vf_add(from_x, gate_bias(job, GRU_N, u, width));
    from_h = vf_add(from_h, gate_bias(job, GRU_BIAS_N_H, u, width));
    return vf_add(from_x, vf_mul(r, from_h));
}

/* h' = n + z (h - n) stays in [-1, 1]. */
KERNEL_INLINE void gru_blend(const grulet_job *job, vf z, vf n, uint32_t u, uint32_t rows)
{
    const vf h = flushed(vf_add(n, vf_mul(z, vf_sub(load_some(job->h + u, rows - u), n))));
    store_some(job->h + u, h, rows - u);
    store_some(job->y + u, h, rows - u);
}

/* Full blocks, one for each chain, in step.  n waits for r, so z is computed between them. */
KERNEL_SHARED void gru_in_step(const grulet_job *jobs)
{
    enum { WIDTH = GRULET_BLOCK_ROWS, chains = CHAINS };
    for (uint32_t u = 0; u < WIDTH; u += LANES) {
        vf r[CHAINS], z[CHAINS], n[CHAINS];
        EACH_CHAIN(c) r[c] = gate_sum(&jobs[c], GRU_R, u, WIDTH);
        sigmoids(r, chains);
        EACH_CHAIN(c) z[c] = gate_sum(&jobs[c], GRU_Z, u, WIDTH);
        sigmoids(z, chains);
        EACH_CHAIN(c) n[c] = gru_candidate(&jobs[c], r[c], u, WIDTH);
        tanhs(n, chains);
        EACH_CHAIN(c) gru_blend(&jobs[c], z[c], n[c], u, WIDTH);
    }
}

KERNEL_SHARED void gru_alone(const grulet_job *job, uint32_t width, uint32_t rows)
{
    for (uint32_t u = 0; u < rows; u += LANES) {
        const vf r = one_sigmoid(gate_sum(job, GRU_R, u, width)), z = one_sigmoid(gate_sum(job, GRU_Z, u, width));
        gru_blend(job, z, one_tanh(gru_candidate(job, r, u, width)), u, rows);
    }
}

/* What is left, and narrow blocks, one by one. */
static void gru_cell(const grulet_job *jobs, uint32_t count, uint32_t width, uint32_t rows)
{
    if (CHAINS > 1 && rows == GRULET_BLOCK_ROWS)
        for (; count >= CHAINS; count -= CHAINS, jobs += CHAINS) gru_in_step(jobs);
    for (; count > 0; count--, jobs++) gru_alone(jobs, width, rows);
}

/* c' = f c + i g and h' = o tanh(c'). */
enum { LSTM_I, LSTM_F, LSTM_G, LSTM_O };
static void lstm_cell(const grulet_job *jobs, uint32_t count, uint32_t width, uint32_t rows)
{
    for (; count > 0; count--, jobs++)
        for (uint32_t u = 0; u < rows; u += LANES) {
            float *const c_state = jobs->h + jobs->to_c + u;
            const vf f = one_sigmoid(gate_sum(jobs, LSTM_F, u, width)), i = one_sigmoid(gate_sum(jobs, LSTM_I, u, width));
            const vf g = one_tanh(gate_sum(jobs, LSTM_G, u, width)), o = one_sigmoid(gate_sum(jobs, LSTM_O, u, width));
            const vf c = flushed(vf_add(vf_mul(f, load_some(c_state, rows - u)), vf_mul(i, g)));
            const vf h = flushed(vf_mul(o, one_tanh(c)));
            store_some(c_state, c, rows - u);
            store_some(jobs->h + u, h, rows - u);
            store_some(jobs->y + u, h, rows - u);
        }
}

KERNEL_SMALL void rnn_cell(const grulet_job *jobs, uint32_t count, uint32_t width, uint32_t rows)
{
    for (; count > 0; count--, jobs++)
        for (uint32_t u = 0; u < rows; u += LANES) {
            const vf h = flushed(one_tanh(gate_sum(jobs, 0, u, width)));
            store_some(jobs->h + u, h, rows - u);
            store_some(jobs->y + u, h, rows - u);
        }
}

/* ---- dense layers, frames, reading --------------------------------------------------------------------------------- */

static void dense_outputs(float *y, const float *sums, const float *scale, const float *bias, float level, uint32_t width,
                          uint32_t rows)
{
    for (uint32_t u = 0; u < rows; u += LANES) {
        const vf sum = vf_mul(vf_mul(vf_load(sums + u), load_some(scale + u, width - u)), vf_set(level));
        store_some(y + u, to_finite(vf_add(sum, load_some(bias + u, width - u))), rows - u);
    }
}

/* A subnormal (or -0) is read as +0.  The bits of magnitudes are integers in the same order, those of NaNs the largest, and
 * integers are compared faster.  The loop runs to the end whatever it meets. */
static float take_floats(float *to, const float *x, uint32_t n)
{
    vi top = vf_bits(vf_set(0.0f));
    for (uint32_t i = 0; i < n; i += LANES) {
        const vf v = load_upto(x + i, n - i), magnitude = vf_abs(v);
        top = vi_max(top, vf_bits(magnitude));
        store_upto(to + i, vf_less(magnitude, vf_set(FLT_MIN), vf_set(0.0f), v), n - i);
    }
    return float_of_bits((uint32_t)vi_largest(top));
}

/* Floats are operands as they are. */
KERNEL_SMALL float prepare_floats(void *operand, const float *x, uint32_t n, float peak)
{
    float *const to = (float *)operand;
    (void)peak;
    for (uint32_t i = 0; i < grulet_round_up(n, GRULET_GROUP); i += LANES) vf_store(to + i, load_upto(x + i, i < n ? n - i : 0));
    return 1.0f;
}

/* As fast as this ISA can read: vectors in four sums; single lanes in the last loop, which compilers vectorize (GCC 12 gets
 * several interleaved sums of them wrong at -O3 -mavx2).  No array of sums: GCC leaves it in memory. */
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

/* ---- the table ----------------------------------------------------------------------------------------------------- */

#define BESIDE_f32
#define BESIDE_f16
SUM_FORMS(f32, 16, MANY_BY_SET(f32, 16))
SUM_FORMS(f16, 8, MANY_BY_SET(f16, 8))
#ifdef TWO_BLOCKS
BLOCK_FORM(f32)
#define F32_BLOCKS f32_blocks
#else
#define F32_BLOCKS NULL
#endif
#define FLOAT_ENTRIES(kind, with, blocks) SUM_ENTRIES(kind, with, prepare_floats, MANY_BY_SET_ENTRIES(kind, with), blocks)

const grulet_floats FLOATS_TABLE = {
    take_floats,
    IF_WITH(GRULET_WITH_GRU, gru_cell),
    IF_WITH(GRULET_WITH_LSTM, lstm_cell),
    IF_WITH(GRULET_WITH_RNN, rnn_cell),
    IF_WITH(GRULET_WITH_DENSE, dense_outputs),
    apply,
    IF_WITH(GRULET_WITH_SOFTMAX, softmax),
    read_lines,
    {FLOAT_ENTRIES(f32, GRULET_WITH_F32, F32_BLOCKS), FLOAT_ENTRIES(f16, GRULET_WITH_F16, NULL)},
};
