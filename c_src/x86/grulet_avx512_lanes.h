/* Sixteen lanes of AVX-512, for both halves of the kernel avx512vnni. */
#ifndef GRULET_AVX512_LANES_H
#define GRULET_AVX512_LANES_H

#include "grulet_impl.h"
#include "grulet_inline.h"

#include <immintrin.h>
#include <string.h>

#define LANES 16
#define FRAMES 4
#define MASKED_LANES

typedef __m512 vf;
typedef __m512i vi;

KERNEL_INLINE __mmask16 first_lanes(uint32_t n) { return (__mmask16)(n >= LANES ? 0xFFFF : (1u << n) - 1); }
KERNEL_INLINE vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
KERNEL_INLINE void vf_store(float *p, vf v) { _mm512_storeu_ps(p, v); }
KERNEL_INLINE vf vf_load_part(const float *p, uint32_t n) { return _mm512_maskz_loadu_ps(first_lanes(n), p); }
KERNEL_INLINE void vf_store_part(float *p, vf v, uint32_t n) { _mm512_mask_storeu_ps(p, first_lanes(n), v); }
KERNEL_INLINE vf vf_set(float v) { return _mm512_set1_ps(v); }
KERNEL_INLINE vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
KERNEL_INLINE vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
KERNEL_INLINE vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
KERNEL_INLINE vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
KERNEL_INLINE vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); } /* MINPS gives b when a is NaN */
KERNEL_INLINE vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
KERNEL_INLINE vf vf_less(vf a, vf b, vf t, vf e)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), e, t);
}
KERNEL_INLINE vi vf_bits(vf v) { return _mm512_castps_si512(v); }
KERNEL_INLINE vf vi_float(vi v) { return _mm512_castsi512_ps(v); }
KERNEL_INLINE vf vf_abs(vf v) { return vi_float(_mm512_and_si512(vf_bits(v), _mm512_set1_epi32(0x7FFFFFFF))); }
KERNEL_INLINE vf vf_copysign(vf magnitude, vf sign) /* 0xF8: a | (b & c) */
{
    return vi_float(_mm512_ternarylogic_epi32(vf_bits(magnitude), vf_bits(sign), _mm512_set1_epi32((int)0x80000000), 0xF8));
}
#define VF_FRACTION
KERNEL_INLINE vf vf_fraction(vf v) { return _mm512_reduce_ps(v, 0); } /* v minus the nearest integer, ties to even */
KERNEL_INLINE vi vi_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
KERNEL_INLINE vi vi_shift_left_23(vi v) { return _mm512_slli_epi32(v, 23); }

KERNEL_INLINE vi vi_round(vf v)
{
    return _mm512_cvt_roundps_epi32(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
KERNEL_INLINE vi vi_max(vi a, vi b) { return _mm512_max_epi32(a, b); }
KERNEL_INLINE int32_t vi_largest(vi v)
{
    const __m256i eight = _mm256_max_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    const __m128i four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    const __m128i two = _mm_max_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 1)));
}

KERNEL_INLINE vi vi_set(int32_t v) { return _mm512_set1_epi32(v); }
KERNEL_INLINE vi vi_and(vi a, vi b) { return _mm512_and_si512(a, b); }
KERNEL_INLINE vi vi_xor(vi a, vi b) { return _mm512_xor_si512(a, b); }
KERNEL_INLINE vi vi_shift_left(vi v, const int bits) { return _mm512_slli_epi32(v, (unsigned)bits); }
KERNEL_INLINE vi vi_shift_right(vi v, const int bits) { return _mm512_srai_epi32(v, (unsigned)bits); }

/* The low bytes of sixteen integers. */
KERNEL_INLINE void store_bytes(void *to, vi v) { _mm_storeu_si128((__m128i *)to, _mm512_cvtepi32_epi8(v)); }

#endif
