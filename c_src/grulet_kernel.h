/* Private to c_src: what a kernel is.  The sweeps over the weights (grulet_cells.c, grulet_dense.c) are compiled once, for any
 * CPU; what they call is made for one instruction set, in two parts:
 *
 *   floats     vectors of float32: gates, functions, the sums of float weights (grulet_floats_body.h)
 *   products   integer weights times quantized vectors (grulet_products_body.h)
 *
 * CPUs that differ in their dot products alone share their floats.  All kernels give the same bits. */
#ifndef GRULET_KERNEL_H
#define GRULET_KERNEL_H

#include "grulet_impl.h"

/* ---- panels -------------------------------------------------------------------------------------------------------- */

/* Weights, and the levels that integer weights are multiplied by. */
typedef enum { MODE_F32, MODE_F16, MODE_INT8_INT16, MODE_INT8_INT8, MODE_INT4_INT16, MODE_INT4_INT8 } grulet_mode;
enum { FLOAT_MODES = 2, INTEGER_MODES = 4 };

static inline int is_float(grulet_mode m) { return m == MODE_F32 || m == MODE_F16; }
static inline int is_int4(grulet_mode m) { return m == MODE_INT4_INT16 || m == MODE_INT4_INT8; }
static inline int is_int16(grulet_mode m) { return m == MODE_INT8_INT16 || m == MODE_INT4_INT16; }

/* A panel and what belongs to it: bytes from its block's beginning; and floats from where the block's sums begin to its
 * own. */
typedef struct { uint32_t weights, row_sums, multipliers, inputs, sums; } grulet_panel;

/* A panel times the operands of one frame, or of several: sums[frame][set * 16 + row] for row < width.  `width` is that of
 * the block, 16 or 4, 8, 12; `sets` the panel's sets of rows. */
typedef void (*grulet_sum)(float *const *sums, const unsigned char *block, const grulet_panel *panel,
                           const void *const *operands, uint32_t width, uint32_t sets);

/* One frame's operand times the panels of three sets of two full blocks, the second `next` bytes from the first:
 * sums[block * next_sums + set * 16 + row]. */
typedef void (*grulet_block_sum)(float *sums, uint32_t next_sums, const unsigned char *block, ptrdiff_t next,
                                 const grulet_panel *panel, const void *operand);

/* Make the operand of n floats that the sums want, zero-padded to whole groups: for integer weights quantized for the range
 * [-peak, peak]; peak 0: the frame's own largest magnitude.  Returns the value of one level. */
typedef float (*grulet_prepare)(void *operand, const float *x, uint32_t n, float peak);

/* The sums of one mode.  [0]: of panels of one set, [1]: of three. */
typedef struct {
    grulet_prepare prepare;
    grulet_sum one_frame[2];    /* of full blocks */
    grulet_sum many_frames[2];  /* the same for `frames` frames at once; NULL if `frames` is 1 */
    grulet_sum narrow;          /* one frame, any width, any sets */
    grulet_block_sum blocks;    /* of two full blocks; NULL: one by one is as fast */
    uint32_t frames;
} grulet_sums;

/* ---- cells --------------------------------------------------------------------------------------------------------- */

/* One block of one frame, its products summed ([set][16] each), its gates still to be computed. */
typedef struct {
    const float *from_x, *from_h;
    const float *x_scales, *h_scales, *biases; /* [set][width] */
    float *h, *y;
    uint32_t to_c;              /* floats from h to an LSTM's second state */
    float x_level;
} grulet_job;

/* The gates of `count` blocks, all of `width` stored rows, of which `rows` are units. */
typedef void (*grulet_gates)(const grulet_job *jobs, uint32_t count, uint32_t width, uint32_t rows);

/* ---- the two parts ------------------------------------------------------------------------------------------------- */

typedef struct {
    /* Copy a frame, subnormals as zero.  Returns its largest magnitude: infinity or a NaN if it holds one. */
    float (*take_frame)(float *to, const float *x, uint32_t n);
    grulet_gates gru, lstm, rnn;
    /* y = (sums scale) level + bias, made finite.  scale and bias have `width` floats, `rows` of them are real. */
    void (*dense_outputs)(float *y, const float *sums, const float *scale, const float *bias, float level, uint32_t width,
                          uint32_t rows);
    /* One of the functions up to tanh, element by element; y may be x. */
    void (*apply)(float *y, const float *x, uint32_t n, uint32_t function, float alpha);
    void (*softmax)(float *y, uint32_t n); /* in place */
    /* Whole 64-byte lines, added up. */
    uint32_t (*read_lines)(const unsigned char *lines, size_t bytes);
    grulet_sums sums[FLOAT_MODES];
} grulet_floats;

typedef struct {
    grulet_sums sums[INTEGER_MODES];
} grulet_products;

struct grulet_kernel {
    const char *name;
    int (*usable)(void);        /* does this CPU, under this operating system, run it? */
    const grulet_floats *floats;
    const grulet_products *products;
};

static inline const grulet_sums *grulet_sums_of(const grulet_kernel *kernel, grulet_mode m)
{
    return is_float(m) ? &kernel->floats->sums[m] : &kernel->products->sums[(int)m - FLOAT_MODES];
}

extern const grulet_floats grulet_floats_generic;
extern const grulet_floats grulet_floats_avx2;
extern const grulet_floats grulet_floats_avx512;
extern const grulet_floats grulet_floats_neon;
extern const grulet_floats grulet_floats_armv7;
extern const grulet_floats grulet_floats_simd128;

extern const grulet_products grulet_products_generic;
extern const grulet_products grulet_products_avx2;
extern const grulet_products grulet_products_avxvnni;
extern const grulet_products grulet_products_avx512vnni;
extern const grulet_products grulet_products_neon;
extern const grulet_products grulet_products_dotprod;
extern const grulet_products grulet_products_i8mm;
extern const grulet_products grulet_products_armv7neon;
extern const grulet_products grulet_products_dsp;
extern const grulet_products grulet_products_helium;
extern const grulet_products grulet_products_simd128;

#endif
