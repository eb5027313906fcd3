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
 *   vf_bits, vi_float    reinterpret;  vi_add, vi_shift_left_23
 *   vi_round(v)          the nearest integers of |v| <= 32767, ties to even
 *   vf_largest(v)        the largest of the lanes, none of which is a NaN
 *   put_int16(operand, stride, i, v), put_int8(operand, i, v)   store LANES integers as the operand's elements i...
 *   FRAMES               how many frames its products take over one read of the weights: 1 to GRULET_TILE
 *   sum_int16, sum_int8, sum_f32   a panel times the operands of 1 or FRAMES frames:
 *
 *   void sum_*(float *const *sums, const unsigned char *panel, const void *const *operands, const int frames,
 *              uint32_t inputs, uint32_t width, const int sets, const int32_t *row_sums)
 * gives sums[frame][set * 16 + row] for row < width; `frames` and `sets` are constants, `width` is 16 or 4, 8, 12 and
 * then a constant only if 16.  Integer kinds: the exact sum of every span of GRULET_SPAN inputs, converted to float, spans
 * added in order; `row_sums` [span][set][row] serve ISAs whose dot product wants an unsigned operand.  f32: four partial
 * sums, input i into sum i mod 4, in order; then (s0 + s1) + (s2 + s3).
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

static const float LOG2_E = 1.44269504f, LN_2 = 0.693147182f;

/* With t = k + f, |f| <= 1/2: (2^f - 1) / ln 2, and k << 23, which added to the bits of a float multiplies it by 2^k.
 * Adding 1.5 * 2^23 rounds to an integer whose bits are then the low bits of the float; f is exact.  Divided by ln 2 the
 * polynomial begins with f itself.  Coefficients: tools/derive_exp2.py, relative error 1.4e-8 in exact arithmetic. */
KERNEL_INLINE vf exp2_parts(vf t, vi *power)
{
    const vf magic = vf_set(12582912.0f);
    const vf shifted = vf_add(t, magic);
    const vf f = vf_sub(t, vf_sub(shifted, magic));
    const vf f2 = vf_mul(f, f);
    const vf low = vf_add(vf_set(3.465735912e-01f), vf_mul(f, vf_set(8.007489145e-02f)));
    const vf high = vf_add(vf_set(1.387606654e-02f), vf_mul(f, vf_set(1.931316336e-03f)));
    const vf q = vf_add(low, vf_mul(f2, vf_add(high, vf_mul(f2, vf_set(2.224400960e-04f)))));
    *power = vi_shift_left_23(vf_bits(shifted));
    return vf_add(f, vf_mul(f2, q));
}

/* v * 2^k, both normal; `power` is k << 23. */
KERNEL_INLINE vf times_power(vf v, vi power) { return vi_float(vi_add(vf_bits(v), power)); }

/* e^y for y <= 0; below -87 as at -87. */
KERNEL_INLINE vf exp_negative(vf y)
{
    vi power;
    const vf p = exp2_parts(vf_mul(vf_max(y, vf_set(-87.0f)), vf_set(LOG2_E)), &power);
    return times_power(vf_add(vf_set(1.0f), vf_mul(p, vf_set(LN_2))), power);
}

/* 1 / (1 + e^-x), in [0, 1]; a NaN counts as 87.  Numerator and denominator are divided by ln 2, like p. */
KERNEL_INLINE vf sigmoid(vf x)
{
    vi power;
    const vf one = vf_set(LOG2_E);
    const vf bounded = vf_max(vf_min(x, vf_set(87.0f)), vf_set(-87.0f));
    const vf p = exp2_parts(vf_mul(bounded, vf_set(-LOG2_E)), &power);
    return vf_div(one, vf_add(one, times_power(vf_add(one, p), power)));
}

/* With w = 1 - e^(-2|x|): |tanh x| = w / (2 - w), exact in relative terms near 0, in [-1, 1], odd; a NaN counts as 10. */
KERNEL_INLINE vf tanh_gate(vf x)
{
    vi power;
    const vf one = vf_set(1.0f);
    const vf bounded = vf_max(vf_min(x, vf_set(10.0f)), vf_set(-10.0f));
    const vf p = exp2_parts(vf_mul(vf_abs(bounded), vf_set(-2.0f * LOG2_E)), &power);
    const vf w = vf_sub(vf_sub(one, times_power(one, power)), vf_mul(times_power(vf_set(LN_2), power), p));
    return vf_copysign(vf_div(w, vf_sub(vf_set(2.0f), w)), bounded);
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
    vf top = vf_set(0.0f);
    for (uint32_t i = 0; i < n; i += LANES) top = vf_max(vf_abs(load_upto(x + i, n - i)), top);
    return vf_largest(top);
}

/* Quantize x to [-levels, levels] for the range [-peak, peak]; peak 0: the frame's own largest magnitude, of which less
 * than 2^-100 counts as silence.  Returns the value of one level.  Zero-pads to whole groups. */
KERNEL_INLINE float prepare_mode(void *operand, const float *x, uint32_t n, float peak, const mode m)
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
    const vf top = vf_set(levels), bottom = vf_set(-levels);
    for (uint32_t i = 0; i < n; i += LANES) {
        const vi level = vi_round(vf_max(vf_min(vf_mul(load_upto(x + i, n - i), inverse), top), bottom));
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

static float prepare(void *operand, const float *x, uint32_t n, float peak, mode m)
{
    switch (m) {
    case MODE_F32: return prepare_mode(operand, x, n, peak, MODE_F32);
    case MODE_INT16: return prepare_mode(operand, x, n, peak, MODE_INT16);
    default: return prepare_mode(operand, x, n, peak, MODE_INT8);
    }
}

/* ---- panels ------------------------------------------------------------------------------------------------------ */

static mode mode_of(const grulet_op *op)
{
    if (op->weights == GRULET_WEIGHTS_F32) return MODE_F32;
    return op->activations == GRULET_ACTIVATIONS_INT16 ? MODE_INT16 : MODE_INT8;
}

static uint32_t panel_bytes(uint32_t inputs, uint32_t width, uint32_t sets, mode m)
{
    const uint32_t weight = m == MODE_F32 ? 4 : 1;
    return grulet_round_up(grulet_round_up(inputs, GRULET_GROUP) * width * sets * weight, GRULET_ALIGN);
}

static uint32_t row_sum_count(uint32_t inputs, uint32_t rows, mode m)
{
    return m == MODE_F32 ? 0 : (inputs + GRULET_SPAN - 1) / GRULET_SPAN * rows;
}

/* The sums of every mode, of GRU (three sets of rows) and dense layers (one), each a function of its own: of one frame,
 * of FRAMES frames, and of one frame and a narrow block. */
typedef void (*sum_function)(float *const *sums, const unsigned char *panel, const void *const *operands, uint32_t inputs,
                             uint32_t width, const int32_t *row_sums);
enum { ONE_FRAME, MANY_FRAMES, NARROW };

#define SUM_FUNCTION(name, kind, frames, constant_width, sets)                                                         \
    static void name(float *const *sums, const unsigned char *panel, const void *const *operands, uint32_t inputs,     \
                     uint32_t width, const int32_t *row_sums)                                                          \
    {                                                                                                                  \
        (void)width;                                                                                                   \
        sum_##kind(sums, panel, operands, frames, inputs, constant_width, sets, row_sums);                             \
    }
#define SUM_FUNCTIONS(kind, sets)                                                                                      \
    SUM_FUNCTION(kind##_one_frame_##sets, kind, 1, GRULET_BLOCK_ROWS, sets)                                            \
    SUM_FUNCTION(kind##_many_frames_##sets, kind, FRAMES, GRULET_BLOCK_ROWS, sets)                                     \
    SUM_FUNCTION(kind##_narrow_##sets, kind, 1, width & 12, sets) /* which the compiler sees is not 16 */
#define SUM_TABLE(kind, sets) {kind##_one_frame_##sets, kind##_many_frames_##sets, kind##_narrow_##sets}

SUM_FUNCTIONS(f32, 1)
SUM_FUNCTIONS(f32, 3)
SUM_FUNCTIONS(int16, 1)
SUM_FUNCTIONS(int16, 3)
SUM_FUNCTIONS(int8, 1)
SUM_FUNCTIONS(int8, 3)
static const sum_function SUMS_OF_1[][3] = {SUM_TABLE(f32, 1), SUM_TABLE(int16, 1), SUM_TABLE(int8, 1)}; /* by mode */
static const sum_function SUMS_OF_3[][3] = {SUM_TABLE(f32, 3), SUM_TABLE(int16, 3), SUM_TABLE(int8, 3)};

/* A panel times the operands of up to GRULET_TILE frames. */
static void panel_sums(const sum_function functions[3], float *const *sums, const unsigned char *panel,
                       const void *const *operands, uint32_t frames, uint32_t inputs, uint32_t width,
                       const int32_t *row_sums)
{
    const sum_function one = functions[width == GRULET_BLOCK_ROWS ? ONE_FRAME : NARROW];
    uint32_t f = 0;
    if (FRAMES > 1 && width == GRULET_BLOCK_ROWS)
        for (; f + FRAMES <= frames; f += FRAMES)
            functions[MANY_FRAMES](sums + f, panel, operands + f, inputs, width, row_sums);
    for (; f < frames; f++) one(sums + f, panel, operands + f, inputs, width, row_sums);
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

/* ---- GRU ----------------------------------------------------------------------------------------------------------- */

/* Bytes from the beginning of a block of `width` stored rows to its other parts, and to the next block. */
typedef struct {
    uint32_t width;
    size_t h_panel, parameters, x_row_sums, h_row_sums, end;
} gru_layout;

static gru_layout gru_layout_of(const grulet_op *op, uint32_t width)
{
    const mode m = mode_of(op);
    const uint32_t scales = m == MODE_F32 ? 0 : 6 * width, biases = 4 * width;
    gru_layout at;
    at.width = width;
    at.h_panel = panel_bytes(op->inputs, width, 3, m);
    at.parameters = at.h_panel + panel_bytes(op->units, width, 3, m);
    at.x_row_sums = at.parameters + (scales + biases) * sizeof(float);
    at.h_row_sums = at.x_row_sums + row_sum_count(op->inputs, 3 * width, m) * sizeof(int32_t);
    at.end = at.h_row_sums + row_sum_count(op->units, 3 * width, m) * sizeof(int32_t);
    at.end = (at.end + GRULET_ALIGN - 1) / GRULET_ALIGN * GRULET_ALIGN;
    return at;
}

/* The layout of full blocks, and that of the last one if it is narrower. */
typedef struct { gru_layout full, last; } gru_layouts;

static gru_layouts gru_layouts_of(const grulet_op *op)
{
    const uint32_t rest = op->units % GRULET_BLOCK_ROWS;
    gru_layouts layouts;
    layouts.full = gru_layout_of(op, GRULET_BLOCK_ROWS);
    layouts.last = rest ? gru_layout_of(op, grulet_round_up(rest, GRULET_GROUP)) : layouts.full;
    return layouts;
}

static const gru_layout *layout_of(const gru_layouts *layouts, const grulet_op *op, uint32_t index)
{
    return index + 1 == block_count(op) ? &layouts->last : &layouts->full;
}

/* The sums of up to GRULET_TILE frames from a block's input panel, and from its recurrent panel. */
static void sum_x(const grulet_op *op, const gru_layout *at, const unsigned char *block, float *const *sums,
                  const void *const *operands, uint32_t frames)
{
    panel_sums(SUMS_OF_3[mode_of(op)], sums, block, operands, frames, op->inputs, at->width,
               (const int32_t *)(const void *)(block + at->x_row_sums));
}
static void sum_h(const grulet_op *op, const gru_layout *at, const unsigned char *block, float *const *sums,
                  const void *const *operands, uint32_t frames)
{
    panel_sums(SUMS_OF_3[mode_of(op)], sums, block + at->h_panel, operands, frames, op->units, at->width,
               (const int32_t *)(const void *)(block + at->h_row_sums));
}

/* One block of one frame, its products summed ([3][16] each), its gates still to be computed. */
typedef struct {
    const float *from_x;
    float *from_h;              /* z and r take the place of what they came from */
    const float *parameters;    /* [3][width] scales of x, of h (not for f32), then [4][width] biases */
    float *h, *y;
    float x_level;
} gru_job;

enum { GATE_Z, GATE_R, GATE_N, BIAS_N_H, GATE_SUMS = 3 * GRULET_BLOCK_ROWS };

/* What goes into the gate `gate` of the units u..., but for biases: (A_x S_x) level and A_h S_h. */
KERNEL_INLINE void gate_parts(const gru_job *job, uint32_t gate, uint32_t u, uint32_t width, const int scaled, vf *from_x,
                              vf *from_h)
{
    *from_x = vf_load(job->from_x + gate * GRULET_BLOCK_ROWS + u);
    *from_h = vf_load(job->from_h + gate * GRULET_BLOCK_ROWS + u);
    if (scaled) {
        const vf x_scale = load_upto(job->parameters + gate * width + u, width - u);
        const vf h_scale = load_upto(job->parameters + (3 + gate) * width + u, width - u);
        *from_x = vf_mul(vf_mul(*from_x, x_scale), vf_set(job->x_level));
        *from_h = vf_mul(*from_h, h_scale);
    }
}

/* The gates of jobs of equal width.  Each gate is a long chain of operations; the loops run over what is independent, so
 * that the CPU works on many chains at once: first all z and r, then all n.
 * h' = n + z (h - n) stays in [-1, 1]; below 2^-64 it is flushed to zero, so that a silent stream never computes with
 * subnormals. */
KERNEL_INLINE void gates(const gru_job *jobs, uint32_t count, uint32_t width, uint32_t rows, const int scaled)
{
    const uint32_t biases = scaled ? 6 * width : 0;
    for (uint32_t k = 0; k < count; k++)
        for (uint32_t u = 0; u < rows; u += LANES)
            for (uint32_t gate = GATE_Z; gate <= GATE_R; gate++) {
                vf from_x, from_h;
                gate_parts(&jobs[k], gate, u, width, scaled, &from_x, &from_h);
                const vf bias = load_upto(jobs[k].parameters + biases + gate * width + u, width - u);
                vf_store(jobs[k].from_h + gate * GRULET_BLOCK_ROWS + u, sigmoid(vf_add(vf_add(from_x, from_h), bias)));
            }
    for (uint32_t k = 0; k < count; k++)
        for (uint32_t u = 0; u < rows; u += LANES) {
            const gru_job *job = &jobs[k];
            vf from_x, from_h;
            gate_parts(job, GATE_N, u, width, scaled, &from_x, &from_h);
            from_x = vf_add(from_x, load_upto(job->parameters + biases + GATE_N * width + u, width - u));
            from_h = vf_add(from_h, load_upto(job->parameters + biases + BIAS_N_H * width + u, width - u));
            const vf z = vf_load(job->from_h + GATE_Z * GRULET_BLOCK_ROWS + u);
            const vf r = vf_load(job->from_h + GATE_R * GRULET_BLOCK_ROWS + u);
            const vf n = tanh_gate(vf_add(from_x, vf_mul(r, from_h)));
            const vf blended = vf_add(n, vf_mul(z, vf_sub(load_upto(job->h + u, rows - u), n)));
            const vf state = vf_less(vf_abs(blended), vf_set(5.421010862e-20f), vf_set(0.0f), blended); /* 2^-64 */
            store_upto(job->h + u, state, rows - u);
            store_upto(job->y + u, state, rows - u);
        }
}

static void scaled_gates(const gru_job *jobs, uint32_t count)
{
    gates(jobs, count, GRULET_BLOCK_ROWS, GRULET_BLOCK_ROWS, 1);
}
static void f32_gates(const gru_job *jobs, uint32_t count)
{
    gates(jobs, count, GRULET_BLOCK_ROWS, GRULET_BLOCK_ROWS, 0);
}
static void narrow_gates(const gru_job *jobs, uint32_t count, uint32_t rows, int scaled)
{
    const uint32_t width = grulet_round_up(rows, GRULET_GROUP);
    if (scaled) gates(jobs, count, width, rows, 1);
    else gates(jobs, count, width, rows, 0);
}

static void compute_gates(const grulet_op *op, const gru_job *jobs, uint32_t count, uint32_t rows)
{
    const int scaled = mode_of(op) != MODE_F32;
    if (rows < GRULET_BLOCK_ROWS) narrow_gates(jobs, count, rows, scaled);
    else if (scaled) scaled_gates(jobs, count);
    else f32_gates(jobs, count);
}

static void prepare_x(const grulet_task *task, grulet_stream *const *streams, size_t count)
{
    const grulet_op *op = task->op;
    for (size_t s = 0; s < count; s++)
        streams[s]->x_level = prepare(streams[s]->x_operand, streams[s]->arena + task->x, op->inputs, op->input_peak,
                                      mode_of(op));
}

/* |h| <= 1; what a level is worth, 1 / 32767 or 1 / 127, is part of the stored scales. */
static void prepare_h(const grulet_task *task, const grulet_stream *stream)
{
    prepare(stream->h_operand, stream->state + task->h, task->op->units, 1.0f, mode_of(task->op));
}

static void set_job(gru_job *job, const grulet_task *task, const grulet_stream *stream, uint32_t index,
                    const unsigned char *parameters, const float *from_x, float *from_h)
{
    job->from_x = from_x;
    job->from_h = from_h;
    job->parameters = (const float *)(const void *)parameters;
    job->h = stream->state + task->h + index * GRULET_BLOCK_ROWS;
    job->y = stream->arena + task->y + index * GRULET_BLOCK_ROWS;
    job->x_level = stream->x_level;
}

/* All blocks of one frame, in the order of the sweep.  `projected`: the sums from the input panels, if they are there. */
static void gru_frame(const grulet_task *task, const grulet_stream *stream, const gru_layouts *layouts,
                      const float *projected)
{
    const grulet_op *op = task->op;
    const uint32_t blocks = block_count(op);
    const void *const x_operand = stream->x_operand, *const h_operand = stream->h_operand;
    gru_job jobs[GRULET_TILE];
    for (uint32_t i = 0, count = 0; i < blocks; i++) {
        const uint32_t index = block_index(task, i);
        const gru_layout *at = layout_of(layouts, op, index);
        const unsigned char *block = task->data + index * layouts->full.end;
        float *from_x = stream->sums + count * 2 * GATE_SUMS, *from_h = from_x + GATE_SUMS;
        if (!projected) sum_x(op, at, block, &from_x, &x_operand, 1);
        sum_h(op, at, block, &from_h, &h_operand, 1);
        set_job(&jobs[count++], task, stream, index, block + at->parameters,
                projected ? projected + index * GATE_SUMS : from_x, from_h);
        if (count == GRULET_TILE || i + 1 == blocks || layout_of(layouts, op, block_index(task, i + 1)) != at) {
            compute_gates(op, jobs, count, block_rows(op, index));
            count = 0;
        }
    }
}

/* One block of all streams, GRULET_TILE at a time: the block's weights are read once, and then from the nearest cache. */
static void gru_block_of_streams(const grulet_task *task, const gru_layout *at, uint32_t index,
                                 const unsigned char *block, grulet_stream *const *streams, size_t count)
{
    const void *x_operands[GRULET_TILE], *h_operands[GRULET_TILE];
    float *from_x[GRULET_TILE], *from_h[GRULET_TILE];
    gru_job jobs[GRULET_TILE];
    for (size_t s = 0; s < count; s += GRULET_TILE) {
        const uint32_t frames = count - s < GRULET_TILE ? (uint32_t)(count - s) : GRULET_TILE;
        for (uint32_t k = 0; k < frames; k++) {
            x_operands[k] = streams[s + k]->x_operand;
            h_operands[k] = streams[s + k]->h_operand;
            from_x[k] = streams[0]->sums + k * 2 * GATE_SUMS;
            from_h[k] = from_x[k] + GATE_SUMS;
            set_job(&jobs[k], task, streams[s + k], index, block + at->parameters, from_x[k], from_h[k]);
        }
        sum_x(task->op, at, block, from_x, x_operands, frames);
        sum_h(task->op, at, block, from_h, h_operands, frames);
        compute_gates(task->op, jobs, frames, block_rows(task->op, index));
    }
}

static void gru(const grulet_task *task, grulet_stream *const *streams, size_t count)
{
    const gru_layouts layouts = gru_layouts_of(task->op);
    prepare_x(task, streams, count);
    for (size_t s = 0; s < count; s++) prepare_h(task, streams[s]);
    if (count == 1) {
        gru_frame(task, streams[0], &layouts, NULL);
        return;
    }
    for (uint32_t i = 0; i < block_count(task->op); i++) {
        const uint32_t index = block_index(task, i);
        gru_block_of_streams(task, layout_of(&layouts, task->op, index), index, task->data + index * layouts.full.end,
                             streams, count);
    }
}

/* The input panels for all frames at once; then frame by frame only the recurrent panels. */
static void gru_sequence(const grulet_task *task, grulet_stream *const *lanes, size_t count)
{
    const grulet_op *op = task->op;
    const gru_layouts layouts = gru_layouts_of(op);
    grulet_task step = *task;
    prepare_x(task, lanes, count);
    for (uint32_t index = 0; index < block_count(op); index++)
        for (size_t f = 0; f < count; f += GRULET_TILE) {
            const uint32_t frames = count - f < GRULET_TILE ? (uint32_t)(count - f) : GRULET_TILE;
            const void *operands[GRULET_TILE];
            float *sums[GRULET_TILE];
            for (uint32_t k = 0; k < frames; k++) {
                operands[k] = lanes[f + k]->x_operand;
                sums[k] = lanes[f + k]->projected + index * GATE_SUMS;
            }
            sum_x(op, layout_of(&layouts, op, index), task->data + index * layouts.full.end, sums, operands, frames);
        }
    for (size_t f = 0; f < count; f++, step.backwards ^= 1) {
        prepare_h(&step, lanes[f]);
        gru_frame(&step, lanes[f], &layouts, lanes[f]->projected);
    }
}

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
    const float *parameters = (const float *)(const void *)(block + panel_bytes(op->inputs, width, 1, m));
    const float *scale = m == MODE_F32 ? NULL : parameters;
    const float *bias = m == MODE_F32 ? parameters : parameters + width;
    const int32_t *row_sums = (const int32_t *)(const void *)(bias + width);
    const unsigned char *end = (const unsigned char *)(row_sums + row_sum_count(op->inputs, width, m));
    const void *operands[GRULET_TILE];
    float *sums[GRULET_TILE];
    for (uint32_t k = 0; k < GRULET_TILE; k++) sums[k] = streams[0]->sums + k * GRULET_BLOCK_ROWS;
    for (size_t s = 0; s < count; s += GRULET_TILE) {
        const uint32_t frames = count - s < GRULET_TILE ? (uint32_t)(count - s) : GRULET_TILE;
        for (uint32_t k = 0; k < frames; k++) operands[k] = streams[s + k]->x_operand;
        panel_sums(SUMS_OF_1[m], sums, block, operands, frames, op->inputs, width, row_sums);
        for (uint32_t k = 0; k < frames; k++)
            dense_outputs(op, streams[s + k]->arena + task->y + index * GRULET_BLOCK_ROWS, sums[k], scale, bias,
                          streams[s + k]->x_level, width, rows);
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

static void dense(const grulet_task *task, grulet_stream *const *streams, size_t count)
{
    const unsigned char *data = task->data;
    prepare_x(task, streams, count);
    for (uint32_t index = 0; index < block_count(task->op); index++)
        data = dense_block(task, data, index, streams, count);
    if (task->op->function == GRULET_FUNCTION_SOFTMAX)
        for (size_t s = 0; s < count; s++) softmax(streams[s]->arena + task->y, task->op->units);
}

static void activation(const grulet_task *task, grulet_stream *const *streams, size_t count)
{
    const grulet_op *op = task->op;
    for (size_t s = 0; s < count; s++) {
        const float *x = streams[s]->arena + task->x;
        float *y = streams[s]->arena + task->y;
        for (uint32_t i = 0; i < op->units; i += LANES)
            store_upto(y + i, apply_function(load_upto(x + i, op->units - i), op->function, op->alpha), op->units - i);
        if (op->function == GRULET_FUNCTION_SOFTMAX) softmax(y, op->units);
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

const grulet_kernel KERNEL_TABLE = {KERNEL_NAME, KERNEL_USABLE, take_frame, gru, dense, activation, gru_sequence,
                                    read_lines};
