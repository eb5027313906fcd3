/* AVX2: 8 lanes; a weight group of 16 rows is two registers.
 *
 * 8-bit levels: VPMADDUBSW multiplies unsigned by signed bytes and adds pairs with saturation to 16 bits.  The operand's
 * magnitude is the unsigned factor and the weight takes the operand's sign (VPSIGNB; no weight is -128), so a pair is at
 * most 2 * 127 * 127 = 32258 and never saturates.
 * 16-bit levels: VPMADDWD multiplies them by sign-extended weights and adds pairs to int32, exactly. */
#ifndef __AVX2__
#error "this file needs -mavx2"
#endif
#include "x86/grulet_avx2_lanes.h"
#include "x86/grulet_x86.h"

#define KERNEL_TABLE grulet_kernel_avx2
#define KERNEL_NAME "avx2"
#define KERNEL_USABLE grulet_x86_has_avx2
#define FRAMES 1

/* Levels are stored as int16 or int8.  They fit, so the saturating packs only drop bytes. */
KERNEL_INLINE void put_int16(void *operand, uint32_t stride, uint32_t i, vi level)
{
    (void)stride;
    _mm_storeu_si128((__m128i *)(void *)((int16_t *)operand + i),
                     _mm_packs_epi32(_mm256_castsi256_si128(level), _mm256_extracti128_si256(level, 1)));
}
KERNEL_INLINE void put_int8(void *operand, uint32_t i, vi level)
{
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(level), _mm256_extracti128_si256(level, 1));
    _mm_storel_epi64((__m128i *)(void *)((int8_t *)operand + i), _mm_packs_epi16(words, words));
}

/* The exact sums of eight rows, converted; later spans are added to what stands in `sums`. */
KERNEL_INLINE void add_span(float *sums, vi exact, uint32_t first)
{
    const vf sum = _mm256_cvtepi32_ps(exact);
    vf_store(sums, first ? vf_add(vf_load(sums), sum) : sum);
}

KERNEL_INLINE uint32_t span_groups(uint32_t inputs, uint32_t first)
{
    const uint32_t rest = inputs - first;
    return ((rest < GRULET_SPAN ? rest : GRULET_SPAN) + GRULET_GROUP - 1) / GRULET_GROUP;
}

/* A register holds 4 rows x 2 pair sums; four registers a set. */
KERNEL_INLINE void int16_sums(float *sums, const unsigned char *weights, const int16_t *x, uint32_t inputs, uint32_t width,
                              const int sets)
{
    const int quads = (int)width / 4;
    uint32_t first = 0;
    do {
        vi pairs[3][4];
        for (int set = 0; set < sets; set++)
            for (int q = 0; q < 4; q++) pairs[set][q] = _mm256_setzero_si256();
        for (uint32_t groups = span_groups(inputs, first); groups > 0; groups--, x += GRULET_GROUP) {
            int64_t four;
            memcpy(&four, x, sizeof four);
            const vi levels = _mm256_set1_epi64x(four);
            for (int set = 0; set < sets; set++)
                for (int q = 0; q < quads; q++, weights += 16) {
                    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)weights);
                    pairs[set][q] = vi_add(pairs[set][q], _mm256_madd_epi16(_mm256_cvtepi8_epi16(bytes), levels));
                }
        }
        for (int set = 0; set < sets; set++)
            for (int half = 0; half < 2; half++) {
                const vi rows = _mm256_hadd_epi32(pairs[set][2 * half], pairs[set][2 * half + 1]);
                add_span(sums + set * GRULET_BLOCK_ROWS + half * LANES, _mm256_permute4x64_epi64(rows, 0xD8), first);
            }
    } while ((first += GRULET_SPAN) < inputs);
}

/* One group: a register holds 8 rows, two registers a set. */
KERNEL_INLINE void int8_group(vi exact[3][2], const unsigned char *weights, vi levels, vi magnitudes, uint32_t width,
                              const int sets)
{
    const vi ones = _mm256_set1_epi16(1);
    for (int set = 0; set < sets; set++, weights += GRULET_GROUP * width)
        for (int half = 0; half < 2; half++) {
            const int *at = (const int *)(const void *)weights + half * LANES;
            const uint32_t rows = width > (uint32_t)(half * LANES) ? width - (uint32_t)(half * LANES) : 0;
            const vi w = width == GRULET_BLOCK_ROWS ? _mm256_loadu_si256((const vi *)(const void *)at)
                                                    : _mm256_maskload_epi32(at, first_lanes(rows));
            const vi pairs = _mm256_maddubs_epi16(magnitudes, _mm256_sign_epi8(w, levels));
            exact[set][half] = vi_add(exact[set][half], _mm256_madd_epi16(pairs, ones));
            KEEP_IN_REGISTER(exact[set][half]);
        }
}

KERNEL_INLINE vi group_of(vi four, int group)
{
    switch (group) {
    case 0: return _mm256_shuffle_epi32(four, 0x00);
    case 1: return _mm256_shuffle_epi32(four, 0x55);
    case 2: return _mm256_shuffle_epi32(four, 0xAA);
    default: return _mm256_shuffle_epi32(four, 0xFF);
    }
}

KERNEL_INLINE void int8_sums(float *sums, const unsigned char *weights, const int8_t *x, uint32_t inputs, uint32_t width,
                             const int sets)
{
    const uint32_t group_bytes = GRULET_GROUP * width * (uint32_t)sets;
    uint32_t first = 0;
    do {
        const uint32_t groups = span_groups(inputs, first);
        vi exact[3][2];
        for (int set = 0; set < sets; set++) exact[set][0] = exact[set][1] = _mm256_setzero_si256();
        for (uint32_t fours = groups / 4; fours > 0; fours--, weights += 4 * group_bytes, x += 4 * GRULET_GROUP) {
            const vi levels = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)x));
            const vi magnitudes = _mm256_abs_epi8(levels);
            for (int g = 0; g < 4; g++)
                int8_group(exact, weights + (uint32_t)g * group_bytes, group_of(levels, g), group_of(magnitudes, g), width,
                           sets);
        }
        for (uint32_t rest = groups % 4; rest > 0; rest--, weights += group_bytes, x += GRULET_GROUP) {
            int32_t four;
            memcpy(&four, x, sizeof four);
            const vi levels = _mm256_set1_epi32(four);
            int8_group(exact, weights, levels, _mm256_abs_epi8(levels), width, sets);
        }
        for (int set = 0; set < sets; set++)
            for (int half = 0; half < 2; half++)
                add_span(sums + set * GRULET_BLOCK_ROWS + half * LANES, exact[set][half], first);
    } while ((first += GRULET_SPAN) < inputs);
}

/* Called with a constant width for full blocks, so that loops over quads unroll and sums stay in registers. */
#define SUMS(name, element)                                                                                            \
    KERNEL_INLINE void sum_##name(float *const *sums, const unsigned char *panel, const void *const *operands,         \
                                  const int frames, uint32_t inputs, uint32_t width, const int sets,                   \
                                  const int32_t *row_sums)                                                             \
    {                                                                                                                  \
        (void)frames, (void)row_sums;                                                                                  \
        name##_sums(sums[0], panel, (const element *)operands[0], inputs, width, sets);                                \
    }
SUMS(int16, int16_t)
SUMS(int8, int8_t)

#include "grulet_kernel_body.h"
