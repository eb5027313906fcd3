/* Eight lanes of AVX2: the float arithmetic of the avx2 and avxvnni kernels. */
#ifndef GRULET_AVX2_LANES_H
#define GRULET_AVX2_LANES_H

#include "grulet_impl.h"
#include "grulet_inline.h"

#include <immintrin.h>
#include <string.h>

#define LANES 8

typedef __m256 vf;
typedef __m256i vi;

KERNEL_INLINE vi first_lanes(uint32_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
KERNEL_INLINE vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
KERNEL_INLINE void vf_store(float *p, vf v) { _mm256_storeu_ps(p, v); }
KERNEL_INLINE vf vf_load_part(const float *p, uint32_t n) { return _mm256_maskload_ps(p, first_lanes(n)); }
KERNEL_INLINE void vf_store_part(float *p, vf v, uint32_t n) { _mm256_maskstore_ps(p, first_lanes(n), v); }
KERNEL_INLINE vf vf_set(float v) { return _mm256_set1_ps(v); }
KERNEL_INLINE vf vf_add(vf a, vf b) { return _mm256_add_ps(a, b); }
KERNEL_INLINE vf vf_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
KERNEL_INLINE vf vf_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
KERNEL_INLINE vf vf_div(vf a, vf b) { return _mm256_div_ps(a, b); }
KERNEL_INLINE vf vf_min(vf a, vf b) { return _mm256_min_ps(a, b); } /* MINPS gives b when a is NaN */
KERNEL_INLINE vf vf_max(vf a, vf b) { return _mm256_max_ps(a, b); }
KERNEL_INLINE vf vf_less(vf a, vf b, vf t, vf e) { return _mm256_blendv_ps(e, t, _mm256_cmp_ps(a, b, _CMP_LT_OQ)); }
KERNEL_INLINE vi vf_bits(vf v) { return _mm256_castps_si256(v); }
KERNEL_INLINE vf vi_float(vi v) { return _mm256_castsi256_ps(v); }
KERNEL_INLINE vf vf_abs(vf v) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v); }
KERNEL_INLINE vf vf_copysign(vf magnitude, vf sign)
{
    return _mm256_or_ps(magnitude, _mm256_and_ps(sign, _mm256_set1_ps(-0.0f)));
}
KERNEL_INLINE vi vi_add(vi a, vi b) { return _mm256_add_epi32(a, b); }
KERNEL_INLINE vi vi_shift_left_23(vi v) { return _mm256_slli_epi32(v, 23); }

KERNEL_INLINE vi vi_round(vf v) { return _mm256_cvtps_epi32(v); }
KERNEL_INLINE float vf_largest(vf v)
{
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/* Set by set and half by half: eight partial sums at a time fit the sixteen registers. */
KERNEL_INLINE void sum_f32(float *const *sums, const unsigned char *panel, const void *const *operands,
                           const int frames, uint32_t inputs, uint32_t width, const int sets, const int32_t *row_sums)
{
    const float *x = operands[0];
    const uint32_t group_floats = GRULET_GROUP * width * (uint32_t)sets;
    const vi lanes[2] = {first_lanes(width), first_lanes(width > LANES ? width - LANES : 0)};
    (void)frames, (void)row_sums;
    for (int set = 0; set < sets; set++) {
        const float *weights = (const float *)(const void *)panel + (uint32_t)set * GRULET_GROUP * width;
        vf partial[2][GRULET_GROUP];
        for (int j = 0; j < GRULET_GROUP; j++) partial[0][j] = partial[1][j] = vf_set(0.0f);
        for (uint32_t i = 0; i < inputs; i += GRULET_GROUP, weights += group_floats)
            for (int j = 0; j < GRULET_GROUP; j++)
                for (int half = 0; half < 2; half++) {
                    const float *at = weights + (uint32_t)j * width + half * LANES;
                    const vf w = width == GRULET_BLOCK_ROWS ? vf_load(at) : _mm256_maskload_ps(at, lanes[half]);
                    partial[half][j] = vf_add(partial[half][j], vf_mul(w, vf_set(x[i + (uint32_t)j])));
                }
        for (int half = 0; half < 2; half++)
            vf_store(sums[0] + set * GRULET_BLOCK_ROWS + half * LANES,
                     vf_add(vf_add(partial[half][0], partial[half][1]), vf_add(partial[half][2], partial[half][3])));
    }
}

#endif
