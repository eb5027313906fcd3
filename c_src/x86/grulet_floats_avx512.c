/* Floats of the kernel avx512vnni: 16 lanes. */
#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512DQ__) || !defined(__AVX512VL__)
#error "this file needs -mavx512f -mavx512bw -mavx512dq -mavx512vl"
#endif
#include "x86/grulet_avx512_lanes.h"
#include "x86/grulet_far.h"

#define FLOATS_TABLE grulet_floats_avx512

#define TWO_BLOCKS

/* Sixteen weights, or `width` of them: floats, or halves. */
KERNEL_INLINE vf load_floats(const unsigned char *at, uint32_t width, const int halves)
{
    if (halves)
        return _mm512_cvtph_ps(width == GRULET_BLOCK_ROWS ? _mm256_loadu_si256((const __m256i *)(const void *)at)
                                                          : _mm256_maskz_loadu_epi16(first_lanes(width), at));
    return width == GRULET_BLOCK_ROWS ? vf_load((const float *)(const void *)at)
                                      : vf_load_part((const float *)(const void *)at, width);
}

/* One frame and one block: three sets of four partial sums are twelve independent chains.  Two blocks, the second `next` bytes
 * further, share what is read of the operand, and their weights come in two streams: 3-6 % from 32 to 128 units.
 * Far weights are asked for early (halves: 10 %), but those of two streams do without.
 * Several frames come set by set: their partial sums fit the registers.  `rows`: of a group of the panel, of which this takes
 * `sets` sets. */
KERNEL_INLINE void float_sums(float *const *sums, uint32_t next_sums, const unsigned char *weights, ptrdiff_t next,
                              const void *const *operands, const int frames, const int blocks, uint32_t inputs,
                              uint32_t width, const int sets, uint32_t rows, const int halves)
{
    const uint32_t size = halves ? 2 : 4, line_bytes = width * size, group_bytes = GRULET_GROUP * rows * size;
    const int far = halves && frames == 1 && inputs >= FAR_INPUTS;
    vf partial[FRAMES * 3][GRULET_GROUP]; /* [frame or block][set] */
    const float *x[FRAMES];
    UNROLL for (int frame = 0; frame < frames; frame++) x[frame] = (const float *)operands[frame];
    UNROLL for (int chain = 0; chain < frames * blocks * sets; chain++)
        UNROLL for (int j = 0; j < GRULET_GROUP; j++) partial[chain][j] = vf_set(0.0f);
    for (uint32_t i = 0; i < inputs; i += GRULET_GROUP, weights += group_bytes) {
        if (far) ask_for_far(weights, (uint32_t)sets * GRULET_GROUP * line_bytes);
        UNROLL for (int chain = 0; chain < blocks * sets; chain++)
            UNROLL for (int j = 0; j < GRULET_GROUP; j++) {
                const unsigned char *const line = weights + chain / sets * next;
                const vf w = load_floats(line + (uint32_t)(chain % sets * GRULET_GROUP + j) * line_bytes, width, halves);
                UNROLL for (int frame = 0; frame < frames; frame++) {
                    vf *sum = &partial[frame * sets + chain][j];
                    *sum = vf_add(*sum, vf_mul(w, vf_set(x[frame][j])));
                    if (blocks > 1) KEEP_IN_REGISTER(*sum);
                }
            }
        UNROLL for (int frame = 0; frame < frames; frame++) x[frame] += GRULET_GROUP; /* an index would cost more */
    }
    UNROLL for (int chain = 0; chain < frames * blocks * sets; chain++) {
        const vf *sum = partial[chain];
        float *const to = blocks > 1 ? sums[0] + (uint32_t)(chain / sets) * next_sums : sums[chain / sets];
        vf_store(to + chain % sets * GRULET_BLOCK_ROWS, vf_add(vf_add(sum[0], sum[1]), vf_add(sum[2], sum[3])));
    }
}

#define FLOAT_SUMS(name, halves)                                                                                       \
    KERNEL_INLINE void name(float *const *sums, const unsigned char *panel, const void *const *operands,               \
                            const int frames, uint32_t inputs, uint32_t width, const int sets, uint32_t rows)          \
    {                                                                                                                  \
        float_sums(sums, 0, panel, 0, operands, frames, 1, inputs, width, sets, rows, halves);                         \
    }
FLOAT_SUMS(sum_f32, 0)
FLOAT_SUMS(sum_f16, 1)

KERNEL_INLINE void sum_blocks_f32(float *sums, uint32_t next_sums, const unsigned char *panel, ptrdiff_t next,
                                  const void *operand, uint32_t inputs)
{
    float_sums(&sums, next_sums, panel, next, &operand, 1, 2, inputs, GRULET_BLOCK_ROWS, GRULET_PANEL_SETS,
               GRULET_PANEL_SETS * GRULET_BLOCK_ROWS, 0);
}

#include "grulet_floats_body.h"
