/* Floats of the kernels avx2 and avxvnni: 8 lanes.  F16C, which every CPU with AVX2 has, for f16. */
#if !defined(__AVX2__) || !defined(__F16C__)
#error "this file needs -mavx2 -mf16c"
#endif
#include "x86/grulet_avx2_lanes.h"
#include "x86/grulet_far.h"

#define FLOATS_TABLE grulet_floats_avx2

/* Eight weights: floats, or halves. */
KERNEL_INLINE vf load_weights(const unsigned char *at, uint32_t left, vi lanes, const int halves, const int full)
{
    if (halves) {
        if (full || left >= LANES) return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)at));
        return left ? _mm256_cvtph_ps(_mm_loadl_epi64((const __m128i *)(const void *)at)) : vf_set(0.0f);
    }
    return full ? vf_load((const float *)(const void *)at) : _mm256_maskload_ps((const float *)(const void *)at, lanes);
}

/* Set by set: eight partial sums at a time fit the sixteen registers.  So each of three sets is read in pieces with gaps, which no
 * CPU foresees: if they are far, the first set asks for all three early (Zen 4, 1,024 units: f32 1.5 to 2.7 times as fast,
 * f16 1.2 to 2.1). */
KERNEL_INLINE void float_sums(float *const *sums, const unsigned char *panel, const void *const *operands, uint32_t inputs,
                              uint32_t width, const int sets, uint32_t rows, const int halves)
{
    const uint32_t size = halves ? 2 : 4, set_bytes = GRULET_GROUP * width * size;
    const int full = width == GRULET_BLOCK_ROWS, far = sets > 1 && full && inputs >= FAR_INPUTS;
    const uint32_t left[2] = {width, width > LANES ? width - LANES : 0};
    const vi lanes[2] = {first_lanes(left[0]), first_lanes(left[1])};
    const float *x = operands[0];
    for (int set = 0; set < sets; set++) {
        const unsigned char *weights = panel + (uint32_t)set * set_bytes;
        vf partial[2][GRULET_GROUP];
        UNROLL for (int j = 0; j < GRULET_GROUP; j++) partial[0][j] = partial[1][j] = vf_set(0.0f);
        const int ask = far && set == 0;
        for (uint32_t i = 0, end; i < inputs;) {
            if (ask) ask_for_far(weights, (uint32_t)sets * set_bytes);
            end = ask ? i + GRULET_GROUP : inputs; /* near weights are read in a loop that asks nothing */
            for (; i < end; i += GRULET_GROUP, weights += GRULET_GROUP * rows * size)
                UNROLL for (int j = 0; j < GRULET_GROUP; j++)
                    UNROLL for (int half = 0; half < 2; half++) {
                        const unsigned char *at = weights + ((uint32_t)j * width + (uint32_t)half * LANES) * size;
                        const vf w = load_weights(at, left[half], lanes[half], halves, full);
                        partial[half][j] = vf_add(partial[half][j], vf_mul(w, vf_set(x[i + (uint32_t)j])));
                    }
        }
        UNROLL for (int half = 0; half < 2; half++)
            vf_store(sums[0] + set * GRULET_BLOCK_ROWS + half * LANES,
                     vf_add(vf_add(partial[half][0], partial[half][1]), vf_add(partial[half][2], partial[half][3])));
    }
}

#define FLOAT_SUMS(name, halves)                                                                                       \
    KERNEL_INLINE void name(float *const *sums, const unsigned char *panel, const void *const *operands,               \
                            const int frames, uint32_t inputs, uint32_t width, const int sets, uint32_t rows)          \
    {                                                                                                                  \
        (void)frames;                                                                                                  \
        float_sums(sums, panel, operands, inputs, width, sets, rows, halves);                                          \
    }
FLOAT_SUMS(sum_f32, 0)
FLOAT_SUMS(sum_f16, 1)

#include "grulet_floats_body.h"
