/* AVX-512 with VNNI: 16 lanes; one 64-byte weight group is one register and one dot instruction per byte plane.
 *
 * VPDPBUSD multiplies unsigned by signed bytes.  A 16-bit level v is stored as the two bytes of v + 32768, an 8-bit level as
 * v + 128; the surplus, 32768 or 128 times the sum of the weights, is taken off again with the file's row sums.  All of
 * that is int32 arithmetic modulo 2^32 whose final value fits, so the sums are exact. */
#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512VL__) || !defined(__AVX512VNNI__)
#error "this file needs -mavx512f -mavx512bw -mavx512vl -mavx512vnni"
#endif
#include "grulet_impl.h"
#include "grulet_inline.h"
#include "x86/grulet_x86.h"

#include <immintrin.h>
#include <string.h>

#define KERNEL_TABLE grulet_kernel_avx512vnni
#define KERNEL_NAME "avx512vnni"
#define KERNEL_USABLE grulet_x86_has_avx512vnni
#define LANES 16

typedef __m512 vf;
typedef __m512i vi;

KERNEL_INLINE __mmask16 first_lanes(uint32_t n) { return (__mmask16)((1u << n) - 1); }
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
KERNEL_INLINE vi vi_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
KERNEL_INLINE vi vi_sub(vi a, vi b) { return _mm512_sub_epi32(a, b); }
KERNEL_INLINE vi vi_shift_left_23(vi v) { return _mm512_slli_epi32(v, 23); }

/* High bytes first, `stride` bytes further the low bytes. */
KERNEL_INLINE void put_int16(void *operand, uint32_t stride, uint32_t i, vi level)
{
    const vi shifted = _mm512_add_epi32(level, _mm512_set1_epi32(32768));
    unsigned char *plane = (unsigned char *)operand + i;
    _mm_storeu_si128((__m128i *)(void *)plane, _mm512_cvtepi32_epi8(_mm512_srli_epi32(shifted, 8)));
    _mm_storeu_si128((__m128i *)(void *)(plane + stride), _mm512_cvtepi32_epi8(shifted));
}
KERNEL_INLINE void put_int8(void *operand, uint32_t i, vi level)
{
    _mm_storeu_si128((__m128i *)(void *)((unsigned char *)operand + i),
                     _mm512_cvtepi32_epi8(_mm512_add_epi32(level, _mm512_set1_epi32(128))));
}

KERNEL_INLINE vi broadcast_group(const unsigned char *plane, uint32_t group)
{
    int32_t four;
    memcpy(&four, plane + group * GRULET_GROUP, sizeof four);
    return _mm512_set1_epi32(four);
}

/* One group of all sets, all planes.  `width` 16: whole registers; narrower (the last block): masked loads. */
KERNEL_INLINE void dot_group(vi sums[3][2], const unsigned char *weights, const unsigned char *operand, uint32_t stride,
                             uint32_t group, uint32_t width, const int sets, const int planes)
{
    const vi x_first = broadcast_group(operand, group);
    const vi x_second = planes == 2 ? broadcast_group(operand + stride, group) : x_first;
    for (int set = 0; set < sets; set++, weights += GRULET_GROUP * width) {
        const vi w = width == GRULET_BLOCK_ROWS ? _mm512_loadu_si512(weights)
                                                : _mm512_maskz_loadu_epi32(first_lanes(width), weights);
        sums[set][0] = _mm512_dpbusd_epi32(sums[set][0], x_first, w);
        if (planes == 2) sums[set][1] = _mm512_dpbusd_epi32(sums[set][1], x_second, w);
    }
}

/* The dot instruction takes 4-5 cycles and two start per cycle: CHAINS groups are summed apart to keep it fed.  Weights
 * that come from L2 or further are asked for AHEAD bytes early. */
enum { CHAINS = 4, AHEAD = 1536 };

KERNEL_INLINE void integer_sums(float *sums, const unsigned char *weights, const unsigned char *operand, uint32_t inputs,
                                uint32_t width, const int sets, const int32_t *row_sums, const int planes)
{
    const uint32_t stride = grulet_round_up(inputs, 64), group_bytes = GRULET_GROUP * width * (uint32_t)sets;
    const uint32_t groups = (inputs + GRULET_GROUP - 1) / GRULET_GROUP, span = GRULET_SPAN / GRULET_GROUP;
    uint32_t first = 0;
    do {
        const uint32_t end = groups - first > span ? first + span : groups;
        const int chains = sets * planes >= 6 ? 2 : CHAINS;
        vi chain[CHAINS][3][2];
        for (int c = 0; c < chains; c++)
            for (int set = 0; set < sets; set++) chain[c][set][0] = chain[c][set][1] = _mm512_setzero_si512();
        uint32_t group = first;
        for (; group + (uint32_t)chains <= end; group += (uint32_t)chains)
            for (int c = 0; c < chains; c++, weights += group_bytes) {
                for (uint32_t line = 0; line < group_bytes; line += 64)
                    _mm_prefetch((const char *)weights + AHEAD + line, _MM_HINT_T0);
                dot_group(chain[c], weights, operand, stride, group + (uint32_t)c, width, sets, planes);
            }
        for (; group < end; group++, weights += group_bytes)
            dot_group(chain[0], weights, operand, stride, group, width, sets, planes);
        for (int set = 0; set < sets; set++, row_sums += width) {
            vi total[2] = {chain[0][set][0], chain[0][set][1]};
            for (int c = 1; c < chains; c++)
                for (int p = 0; p < planes; p++) total[p] = _mm512_add_epi32(total[p], chain[c][set][p]);
            const vi surplus = _mm512_maskz_loadu_epi32(first_lanes(width), row_sums);
            const vi exact = planes == 2 ? _mm512_sub_epi32(_mm512_add_epi32(_mm512_slli_epi32(total[0], 8), total[1]),
                                                            _mm512_slli_epi32(surplus, 15))
                                         : _mm512_sub_epi32(total[0], _mm512_slli_epi32(surplus, 7));
            const vf sum = _mm512_cvt_roundepi32_ps(exact, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
            float *to = sums + set * GRULET_BLOCK_ROWS;
            vf_store(to, first ? vf_add(vf_load(to), sum) : sum);
        }
    } while ((first += span) < groups);
}

KERNEL_INLINE void sum_int16(float *sums, const unsigned char *panel, const void *operand, uint32_t inputs, uint32_t width,
                             const int sets, const int32_t *row_sums)
{
    integer_sums(sums, panel, operand, inputs, width, sets, row_sums, 2);
}

KERNEL_INLINE void sum_int8(float *sums, const unsigned char *panel, const void *operand, uint32_t inputs, uint32_t width,
                            const int sets, const int32_t *row_sums)
{
    integer_sums(sums, panel, operand, inputs, width, sets, row_sums, 1);
}

/* Three sets of four partial sums are twelve independent chains. */
KERNEL_INLINE void sum_f32(float *sums, const unsigned char *panel, const void *operand, uint32_t inputs, uint32_t width,
                           const int sets, const int32_t *row_sums)
{
    const float *weights = (const float *)(const void *)panel, *x = operand;
    vf partial[3][GRULET_GROUP];
    (void)row_sums;
    for (int set = 0; set < sets; set++)
        for (int j = 0; j < GRULET_GROUP; j++) partial[set][j] = vf_set(0.0f);
    for (uint32_t i = 0; i < inputs; i += GRULET_GROUP)
        for (int set = 0; set < sets; set++)
            for (int j = 0; j < GRULET_GROUP; j++, weights += width) {
                const vf w = width == GRULET_BLOCK_ROWS ? vf_load(weights) : vf_load_part(weights, width);
                _mm_prefetch((const char *)weights + AHEAD, _MM_HINT_T0);
                partial[set][j] = vf_add(partial[set][j], vf_mul(w, vf_set(x[i + (uint32_t)j])));
            }
    for (int set = 0; set < sets; set++)
        vf_store(sums + set * GRULET_BLOCK_ROWS,
                 vf_add(vf_add(partial[set][0], partial[set][1]), vf_add(partial[set][2], partial[set][3])));
}

#include "grulet_kernel_body.h"
