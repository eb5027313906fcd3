/* Eight lanes of AVX2, for the kernels avx2 and avxvnni. */
#ifndef GRULET_AVX2_LANES_H
#define GRULET_AVX2_LANES_H

#include "grulet_impl.h"
#include "grulet_inline.h"

#include <immintrin.h>
#include <string.h>

#define LANES 8
#define FRAMES 1
#define MASKED_LANES

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
KERNEL_INLINE vi vi_set(int32_t v) { return _mm256_set1_epi32(v); }
KERNEL_INLINE vi vi_and(vi a, vi b) { return _mm256_and_si256(a, b); }
KERNEL_INLINE vi vi_xor(vi a, vi b) { return _mm256_xor_si256(a, b); }
KERNEL_INLINE vi vi_shift_left(vi v, const int bits) { return _mm256_slli_epi32(v, bits); }
KERNEL_INLINE vi vi_shift_right(vi v, const int bits) { return _mm256_srai_epi32(v, bits); }
KERNEL_INLINE vi vi_shift_left_23(vi v) { return vi_shift_left(v, 23); }

KERNEL_INLINE vi vi_round(vf v) { return _mm256_cvtps_epi32(v); }
KERNEL_INLINE vi vi_max(vi a, vi b) { return _mm256_max_epi32(a, b); }
KERNEL_INLINE int32_t vi_largest(vi v)
{
    const __m128i four = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    const __m128i two = _mm_max_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 1)));
}

/* Eight rows of four bytes; `half` 1: the other eight; of narrow blocks what there is. */
KERNEL_INLINE vi load_part(const void *rows, int half, uint32_t width)
{
    const int *at = (const int *)rows + half * LANES;
    const uint32_t left = width > (uint32_t)(half * LANES) ? width - (uint32_t)(half * LANES) : 0;
    return width == GRULET_BLOCK_ROWS ? _mm256_loadu_si256((const vi *)(const void *)at)
                                      : _mm256_maskload_epi32(at, first_lanes(left));
}

/* Levels of one group, in all lanes. */
KERNEL_INLINE vi one_group(const void *x)
{
    int32_t four;
    memcpy(&four, x, sizeof four);
    return vi_set(four);
}

/* The low bytes of eight integers. */
KERNEL_INLINE void store_bytes(void *to, vi v)
{
    const vi low = vi_and(v, vi_set(255));
    const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
    _mm_storel_epi64((__m128i *)to, _mm_packus_epi16(words, words));
}

/* The exact sums of eight rows, converted.  `add`: to what stands in `sums` from the spans before. */
KERNEL_INLINE void put_span(float *sums, vi exact, const int add)
{
    const vf sum = _mm256_cvtepi32_ps(exact);
    vf_store(sums, add ? vf_add(vf_load(sums), sum) : sum);
}

/* The multipliers of eight rows, or of fewer. */
KERNEL_INLINE vi part_multipliers(const int8_t *multipliers, int half, uint32_t width)
{
    const uint32_t first = (uint32_t)(half * LANES), left = width > first ? width - first : 0;
    int64_t eight = 0;
    if (left >= LANES) memcpy(&eight, multipliers + first, LANES);
    else if (left) memcpy(&eight, multipliers + first, GRULET_GROUP);
    return _mm256_cvtepi8_epi32(_mm_cvtsi64_si128(eight));
}

#endif
