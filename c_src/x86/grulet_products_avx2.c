/* Integer products with AVX2; a weight group of 16 rows is two registers.
 *
 * 8-bit levels: VPMADDUBSW multiplies unsigned by signed bytes and adds pairs with saturation to 16 bits.  The operand's
 * magnitude is the unsigned factor and the weight takes the operand's sign (VPSIGNB; no weight is -128), so a pair is at
 * most 2 * 127 * 127 = 32258 and never saturates.
 * 16-bit levels: VPMADDWD multiplies them by sign-extended weights and adds pairs to int32, exactly.
 *
 * int4 weights: VPMADDUBSW of q + 8, unsigned, and bytes of levels, as in grulet_vnni_int4.h.  Two products are at most
 * 2 * 15 * 128 = 3840, and those of a group of 32 inputs are added up in 16 bits.  On the way that may wrap around; the sum
 * itself is at most 16 * 8 * 128 = 16384, because it starts from -8 times the sum of the levels.  One VPMADDWD by the multiplier
 * adds the pairs to int32. */
#ifndef __AVX2__
#error "this file needs -mavx2"
#endif
#include "x86/grulet_avx2_lanes.h"

#define PRODUCTS_TABLE grulet_products_avx2

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

KERNEL_INLINE uint32_t span_groups(uint32_t inputs, uint32_t first)
{
    const uint32_t rest = inputs - first;
    return ((rest < GRULET_SPAN ? rest : GRULET_SPAN) + GRULET_GROUP - 1) / GRULET_GROUP;
}

/* *sum += v.  Of the twelve sums of a loop GCC would keep four in registers or, made to keep them all, move each after its
 * addition, which takes a tenth longer. */
KERNEL_INLINE void add_to(vi *sum, vi v)
{
#if defined(__GNUC__) && !defined(__clang__)
    __asm__("vpaddd %1, %0, %0" : "+x"(*sum) : "x"(v));
#else
    *sum = vi_add(*sum, v);
#endif
}

/* A register holds 4 rows x 2 pair sums; four registers a set. */
KERNEL_INLINE void int16_sums(float *sums, const unsigned char *weights, const int16_t *x, uint32_t inputs, uint32_t width,
                              const int sets, uint32_t rows)
{
    const int quads = (int)width / 4;
    uint32_t first = 0;
    do {
        vi pairs[3][4];
        UNROLL for (int set = 0; set < sets; set++)
            UNROLL for (int q = 0; q < 4; q++) pairs[set][q] = _mm256_setzero_si256();
        for (uint32_t groups = span_groups(inputs, first); groups > 0;
             groups--, x += GRULET_GROUP, weights += GRULET_GROUP * (rows - (uint32_t)sets * width)) {
            int64_t four;
            memcpy(&four, x, sizeof four);
            const vi levels = _mm256_set1_epi64x(four);
            UNROLL for (int set = 0; set < sets; set++)
                UNROLL for (int q = 0; q < quads; q++, weights += 16) {
                    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)weights);
                    add_to(&pairs[set][q], _mm256_madd_epi16(_mm256_cvtepi8_epi16(bytes), levels));
                }
        }
        UNROLL for (int set = 0; set < sets; set++)
            UNROLL for (int half = 0; half < 2; half++) {
                const vi quads_of_rows = _mm256_hadd_epi32(pairs[set][2 * half], pairs[set][2 * half + 1]);
                put_span(sums + set * GRULET_BLOCK_ROWS + half * LANES, _mm256_permute4x64_epi64(quads_of_rows, 0xD8), first != 0);
            }
    } while ((first += GRULET_SPAN) < inputs);
}

/* One group: a register holds 8 rows, two registers a set. */
KERNEL_INLINE void int8_group(vi exact[3][2], const unsigned char *weights, vi levels, vi magnitudes, uint32_t width,
                              const int sets)
{
    const vi ones = _mm256_set1_epi16(1);
    UNROLL for (int set = 0; set < sets; set++, weights += GRULET_GROUP * width)
        UNROLL for (int half = 0; half < 2; half++) {
            const vi w = load_part(weights, half, width);
            const vi pairs = _mm256_maddubs_epi16(magnitudes, _mm256_sign_epi8(w, levels));
            add_to(&exact[set][half], _mm256_madd_epi16(pairs, ones));
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
                             const int sets, uint32_t rows)
{
    const uint32_t group_bytes = GRULET_GROUP * rows;
    uint32_t first = 0;
    do {
        const uint32_t groups = span_groups(inputs, first);
        vi exact[3][2];
        UNROLL for (int set = 0; set < sets; set++) exact[set][0] = exact[set][1] = _mm256_setzero_si256();
        for (uint32_t fours = groups / 4; fours > 0; fours--, weights += 4 * group_bytes, x += 4 * GRULET_GROUP) {
            const vi levels = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)x));
            const vi magnitudes = _mm256_abs_epi8(levels);
            UNROLL for (int g = 0; g < 4; g++)
                int8_group(exact, weights + (uint32_t)g * group_bytes, group_of(levels, g), group_of(magnitudes, g), width,
                           sets);
        }
        for (uint32_t rest = groups % 4; rest > 0; rest--, weights += group_bytes, x += GRULET_GROUP) {
            const vi levels = one_group(x);
            int8_group(exact, weights, levels, _mm256_abs_epi8(levels), width, sets);
        }
        UNROLL for (int set = 0; set < sets; set++)
            UNROLL for (int half = 0; half < 2; half++)
                put_span(sums + set * GRULET_BLOCK_ROWS + half * LANES, exact[set][half], first != 0);
    } while ((first += GRULET_SPAN) < inputs);
}

/* Called with a constant width for full blocks, so that loops over quads unroll and sums stay in registers. */
#define SUMS(name, element)                                                                                            \
    KERNEL_INLINE void sum_int8_##name(float *const *sums, const unsigned char *panel, const void *const *operands,         \
                                  const int frames, uint32_t inputs, uint32_t width, const int sets,                   \
                                  uint32_t rows, const int32_t *row_sums)                                                             \
    {                                                                                                                  \
        (void)frames, (void)row_sums;                                                                                  \
        name##_sums(sums[0], panel, (const element *)operands[0], inputs, width, sets, rows);                          \
    }
SUMS(int16, int16_t)
SUMS(int8, int8_t)

/* High bytes first, `stride` bytes further (v & 255) - 128, which is v with bit 7 turned; 8-bit levels as they are. */
KERNEL_INLINE void put_int4(void *operand, uint32_t stride, uint32_t i, vi level, const int planes)
{
    unsigned char *plane = (unsigned char *)operand + i;
    if (planes == 1) store_bytes(plane, level);
    else {
        store_bytes(plane, vi_shift_right(level, 8));
        store_bytes(plane + stride, vi_xor(level, vi_set(128)));
    }
}

/* From 2 `stride` on int16 [group][plane][2]: -8 times the sums of the levels 0 and 1, and 2 and 3, of every four. */
KERNEL_INLINE const unsigned char *group_starts(const void *operand, uint32_t stride)
{
    return (const unsigned char *)operand + 2 * (size_t)stride;
}
KERNEL_INLINE void finish_int4(void *operand, uint32_t stride, uint32_t n, const int planes)
{
    const uint32_t end = grulet_round_up(n, GRULET_MULTIPLIER_INPUTS);
    unsigned char *start = (unsigned char *)operand + 2 * (size_t)stride;
    for (int plane = 0; plane < planes; plane++)
        memset((unsigned char *)operand + (uint32_t)plane * stride + n, 0, end - n); /* pairs that do not exist add nothing */
    for (uint32_t i = 0; i < end; i += GRULET_MULTIPLIER_INPUTS)
        for (int plane = 0; plane < planes; plane++, start += 4) {
            const void *levels = (const unsigned char *)operand + (uint32_t)plane * stride + i;
            const vi pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(8), _mm256_loadu_si256((const __m256i *)levels));
            const __m128i eight = _mm_add_epi16(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
            const __m128i four = _mm_add_epi16(eight, _mm_unpackhi_epi64(eight, eight));
            const __m128i two = _mm_add_epi16(four, _mm_shuffle_epi32(four, 0x55));
            const int32_t both = _mm_cvtsi128_si32(_mm_sub_epi16(_mm_setzero_si128(), two));
            memcpy(start, &both, sizeof both);
        }
}

/* `pairs` pairs of groups, which share multipliers, of one set: added to totals [plane][half]. */
KERNEL_INLINE void int4_group(vi totals[4], const unsigned char *weights, uint32_t pair_bytes, const unsigned char *x,
                              uint32_t stride, const unsigned char *start, uint32_t pairs, uint32_t width,
                              const int8_t *multipliers, const int planes)
{
    const vi nibbles = vi_set(0x0F0F0F0F);
    vi sums[4];
    UNROLL for (int k = 0; k < 2 * planes; k++) sums[k] = one_group(start + k / 2 * 4);
    for (uint32_t pair = 0; pair < pairs; pair++, weights += pair_bytes, x += GRULET_PAIR)
        UNROLL for (int half = 0; half < 2; half++) {
            const vi w = load_part(weights, half, width);
            const vi low = vi_and(w, nibbles), high = vi_and(_mm256_srli_epi16(w, 4), nibbles);
            UNROLL for (int plane = 0; plane < planes; plane++) {
                const unsigned char *levels = x + (uint32_t)plane * stride;
                vi *const sum = &sums[2 * plane + half];
                *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(low, one_group(levels)));
                *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(high, one_group(levels + GRULET_GROUP)));
            }
        }
    UNROLL for (int half = 0; half < 2; half++) { /* a multiplier as both words of its lane */
        const vi m = part_multipliers(multipliers, half, width);
        const vi both = _mm256_or_si256(vi_and(m, vi_set(0xFFFF)), vi_shift_left(m, 16));
        UNROLL for (int k = half; k < 2 * planes; k += 2)
            totals[k] = vi_add(totals[k], _mm256_madd_epi16(sums[k], both));
    }
}

/* One span of one set, whose totals the registers hold. */
KERNEL_INLINE void int4_span(float *sums, const unsigned char *weights, const unsigned char *x, uint32_t stride,
                             const unsigned char *start, uint32_t pairs, uint32_t width, uint32_t rows,
                             const int32_t *row_sums, const int8_t *multipliers, const int planes, const int add)
{
    enum { GROUP_PAIRS = GRULET_MULTIPLIER_INPUTS / GRULET_PAIR };
    const uint32_t pair_bytes = rows * GRULET_GROUP;
    vi totals[4];
    UNROLL for (int k = 0; k < 4; k++) totals[k] = vi_set(0);
    for (uint32_t now; pairs > 0; pairs -= now) {
        now = pairs < GROUP_PAIRS ? pairs : (uint32_t)GROUP_PAIRS;
        if (now == GROUP_PAIRS)
            int4_group(totals, weights, pair_bytes, x, stride, start, GROUP_PAIRS, width, multipliers, planes);
        else int4_group(totals, weights, pair_bytes, x, stride, start, now, width, multipliers, planes);
        weights += now * pair_bytes;
        multipliers += rows;
        x += GRULET_MULTIPLIER_INPUTS;
        start += 4 * planes;
    }
    UNROLL for (int half = 0; half < 2; half++) {
        vi exact = totals[half];
        if (planes == 2) /* 256 high + low + 128 (row sum) */
            exact = vi_add(vi_add(vi_shift_left(exact, 8), totals[2 + half]),
                           vi_shift_left(load_part(row_sums, half, width), 7));
        put_span(sums + (uint32_t)half * LANES, exact, add);
    }
}

/* One frame, set by set in every span. */
KERNEL_INLINE void int4_sums(float *sums, const unsigned char *weights, const unsigned char *x, uint32_t inputs,
                             uint32_t width, uint32_t sets, uint32_t rows, const int32_t *row_sums,
                             const int8_t *multipliers, const int planes)
{
    const uint32_t stride = grulet_round_up(inputs, 64);
    const unsigned char *start = group_starts(x, stride);
    for (uint32_t first = 0; first < inputs; first += GRULET_SPAN) {
        const uint32_t left = inputs - first, span = left > GRULET_SPAN ? (uint32_t)GRULET_SPAN : left;
        for (uint32_t set = 0; set < sets; set++)
            int4_span(sums + set * GRULET_BLOCK_ROWS, weights + set * width * GRULET_GROUP, x, stride, start,
                      (span + GRULET_PAIR - 1) / GRULET_PAIR, width, rows, row_sums + set * width,
                      multipliers + set * width, planes, first != 0);
        weights += (size_t)GRULET_SPAN / 2 * rows;
        x += GRULET_SPAN;
        start += GRULET_SPAN / GRULET_MULTIPLIER_INPUTS * 4 * planes;
        multipliers += GRULET_SPAN / GRULET_MULTIPLIER_INPUTS * rows;
        row_sums += rows;
    }
}

/* Functions of their own, for panels of one set and of three. */
#define SUM_INT4(levels, planes)                                                                                       \
    KERNEL_SHARED void int4_##levels##_full(float *sums, const unsigned char *panel, const void *x, uint32_t inputs,   \
                                            uint32_t sets, uint32_t rows, const int32_t *row_sums,                     \
                                            const int8_t *multipliers)                                                 \
    {                                                                                                                  \
        int4_sums(sums, panel, (const unsigned char *)x, inputs, GRULET_BLOCK_ROWS, sets, rows, row_sums, multipliers, \
                  planes);                                                                                             \
    }                                                                                                                  \
    KERNEL_INLINE void sum_int4_##levels(float *const *sums, const unsigned char *panel, const void *const *operands,  \
                                         const int frames, uint32_t inputs, uint32_t width, const int sets,            \
                                         uint32_t rows, const int32_t *row_sums, const int8_t *multipliers)            \
    {                                                                                                                  \
        (void)frames;                                                                                                  \
        if (width == GRULET_BLOCK_ROWS)                                                                                \
            int4_##levels##_full(sums[0], panel, operands[0], inputs, (uint32_t)sets, rows, row_sums, multipliers);    \
        else                                                                                                           \
            int4_sums(sums[0], panel, (const unsigned char *)operands[0], inputs, width, (uint32_t)sets, rows,         \
                      row_sums, multipliers, planes);                                                                  \
    }
SUM_INT4(int16, 2)
SUM_INT4(int8, 1)

#include "grulet_products_body.h"
