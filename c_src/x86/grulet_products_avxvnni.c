/* Integer products with AVX-VNNI, the dot instruction of CPUs without AVX-512: registers of eight rows.
 *
 * VPDPBUSD multiplies unsigned by signed bytes: levels are stored and taken off again as in grulet_products_avx512vnni.c.
 * GRULET_AVXVNNI_AS_AVX512: the same file with the EVEX form of the same instruction, so that a CPU with AVX-512 VNNI but
 * without AVX-VNNI can prove it. */
#if !defined(__AVX2__) || !(defined(__AVXVNNI__) || defined(GRULET_AVXVNNI_AS_AVX512))
#error "this file needs -mavx2 -mavxvnni"
#endif
#include "x86/grulet_avx2_lanes.h"

#define PRODUCTS_TABLE grulet_products_avxvnni

#ifdef GRULET_AVXVNNI_AS_AVX512
#define DOT _mm256_dpbusd_epi32
#define DOT_WORDS _mm256_dpwssd_epi32
#else
#define DOT _mm256_dpbusd_avx_epi32
#define DOT_WORDS _mm256_dpwssd_avx_epi32
#endif
#define DOT_256 DOT

/* High bytes first, `stride` bytes further the low bytes. */
KERNEL_INLINE void put_int16(void *operand, uint32_t stride, uint32_t i, vi level)
{
    const vi shifted = vi_add(level, _mm256_set1_epi32(32768));
    unsigned char *plane = (unsigned char *)operand + i;
    store_bytes(plane, _mm256_srli_epi32(shifted, 8));
    store_bytes(plane + stride, shifted);
}
KERNEL_INLINE void put_int8(void *operand, uint32_t i, vi level)
{
    store_bytes((unsigned char *)operand + i, vi_add(level, _mm256_set1_epi32(128)));
}

/* One span of `planes` bytes a level: 256 high + low - 32768 (row sum), or level - 128 (row sum). */
KERNEL_INLINE void span_sums(float *sums, const unsigned char *weights, const unsigned char *x, uint32_t stride,
                             uint32_t groups, uint32_t width, const int sets, uint32_t rows, const int32_t *row_sums,
                             const int planes, const int add)
{
    vi low[6], high[6]; /* [set][half] */
    UNROLL for (int k = 0; k < 2 * sets; k++) {
        const vi row_sum = load_part(row_sums + (uint32_t)(k / 2) * width, k % 2, width);
        low[k] = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(row_sum, planes == 2 ? 15 : 7));
        high[k] = _mm256_setzero_si256();
    }
    for (; groups > 0; groups--, weights += GRULET_GROUP * rows, x += GRULET_GROUP) {
        const vi first = one_group(x), second = planes == 2 ? one_group(x + stride) : first;
        UNROLL for (int k = 0; k < 2 * sets; k++) {
            const vi w = load_part(weights + (uint32_t)(k / 2) * GRULET_GROUP * width, k % 2, width);
            low[k] = DOT(low[k], second, w);
            KEEP_IN_REGISTER(low[k]);
            if (planes == 1) continue;
            high[k] = DOT(high[k], first, w);
            KEEP_IN_REGISTER(high[k]);
        }
    }
    UNROLL for (int k = 0; k < 2 * sets; k++)
        put_span(sums + k / 2 * GRULET_BLOCK_ROWS + k % 2 * LANES,
                 planes == 2 ? vi_add(vi_shift_left(high[k], 8), low[k]) : low[k], add);
}

KERNEL_INLINE void integer_sums(float *sums, const unsigned char *weights, const unsigned char *x, uint32_t inputs,
                                uint32_t width, const int sets, uint32_t rows, const int32_t *row_sums,
                                const int planes)
{
    enum { SPAN_GROUPS = GRULET_SPAN / GRULET_GROUP };
    const uint32_t stride = grulet_round_up(inputs, 64);
    uint32_t groups = (inputs + GRULET_GROUP - 1) / GRULET_GROUP;
    for (int add = 0;; add = 1) {
        const uint32_t now = groups < SPAN_GROUPS ? groups : SPAN_GROUPS;
        span_sums(sums, weights, x, stride, now, width, sets, rows, row_sums, planes, add);
        groups -= now;
        if (groups == 0) return;
        weights += (size_t)GRULET_SPAN * rows;
        row_sums += rows;
        x += GRULET_SPAN;
    }
}

KERNEL_INLINE void sum_int8_int16(float *const *sums, const unsigned char *panel, const void *const *operands,
                             const int frames, uint32_t inputs, uint32_t width, const int sets, uint32_t rows,
                                  const int32_t *row_sums)
{
    (void)frames;
    integer_sums(sums[0], panel, (const unsigned char *)operands[0], inputs, width, sets, rows, row_sums, 2);
}

KERNEL_INLINE void sum_int8_int8(float *const *sums, const unsigned char *panel, const void *const *operands, const int frames,
                            uint32_t inputs, uint32_t width, const int sets, uint32_t rows, const int32_t *row_sums)
{
    (void)frames;
    integer_sums(sums[0], panel, (const unsigned char *)operands[0], inputs, width, sets, rows, row_sums, 1);
}

/* Words with zeros above them. */
KERNEL_INLINE vi load_multipliers(const int8_t *multipliers, int part, uint32_t width)
{
    return vi_and(part_multipliers(multipliers, part, width), vi_set(0xFFFF));
}
#include "x86/grulet_vnni_int4.h"

#include "grulet_products_body.h"
