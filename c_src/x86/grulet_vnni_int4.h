/* The panel sums of int4 weights with VPDPBUSD, for registers of 8 or of 16 rows.
 *
 * A byte of weights is two of them as q + 8, in 0..15: the unsigned factor.  Levels are the signed one: 8-bit levels as they
 * are, a 16-bit level v as the bytes v >> 8 and (v & 255) - 128, so that a sum is 256 high + low + 128 (row sum).  What the 8
 * adds, 8 times the sum of a group's levels, depends on the frame alone: it is computed once (finish_int4), and the sums of
 * each group of 32 inputs start from minus that.
 *
 * The 16 products of low nibbles and the 16 of high ones then add up to at most 16 * 8 * 128 = 16384 each, so they fit the
 * 16-bit factors of VPDPWSSD, which multiplies them by the row's multiplier and adds them to the total at once.  High nibbles
 * stay where they are, 16 times too large, until their sum is shifted.
 *
 * The kernel defines before: its lanes; vi_and, vi_xor, vi_shift_right(v, bits); one_group(x); store_bytes(to, v), the low byte
 * of each lane; load_part(rows, part, width), LANES rows of 4 bytes (zeros, or none, beyond the
 * width); load_multipliers(bytes, part, width), LANES words, each
 * with a zero above; DOT(sum, unsigned bytes, signed bytes), DOT_256 for 8 lanes, DOT_WORDS(sum, words, words). */
#ifndef GRULET_VNNI_INT4_H
#define GRULET_VNNI_INT4_H

enum {
    PARTS = GRULET_BLOCK_ROWS / LANES, /* registers that hold a block's rows */
    GROUP_PAIRS = GRULET_MULTIPLIER_INPUTS / GRULET_PAIR,
    SPAN_PAIRS = GRULET_SPAN / GRULET_PAIR,
    INT4_SETS = LANES == 16 ? 3 : 1, /* whose sums the registers hold */
    MOST_INT4_SUMS = INT4_SETS * 2 * PARTS
};

/* High bytes first, `stride` bytes further the low bytes; 8-bit levels have no high bytes. */
KERNEL_INLINE void put_int4(void *operand, uint32_t stride, uint32_t i, vi level, const int planes)
{
    unsigned char *plane = (unsigned char *)operand + i;
    if (planes == 1) store_bytes(plane, level);
    else {
        store_bytes(plane, vi_shift_right(level, 8));
        store_bytes(plane + stride, vi_xor(level, vi_set(128))); /* (v & 255) - 128 is v with bit 7 turned */
    }
}

/* Behind the planes, int32 [group][plane][nibble]: -8 times the sum of the levels that the nibbles of a group meet, and for
 * high nibbles that 16 times. */
KERNEL_INLINE const int32_t *group_starts(const void *operand, uint32_t stride)
{
    return (const int32_t *)(const void *)((const unsigned char *)operand + 2 * (size_t)stride);
}
KERNEL_INLINE void finish_int4(void *operand, uint32_t stride, uint32_t n, const int planes)
{
    const __m128i shifts = _mm_setr_epi32(3, 7, 0, 0);
    const uint32_t end = grulet_round_up(n, GRULET_MULTIPLIER_INPUTS);
    int32_t *start = (int32_t *)(void *)((unsigned char *)operand + 2 * (size_t)stride);
    for (int plane = 0; plane < planes; plane++)
        memset((unsigned char *)operand + (uint32_t)plane * stride + n, 0, end - n); /* pairs that do not exist add nothing */
    for (uint32_t i = 0; i < end; i += GRULET_MULTIPLIER_INPUTS)
        for (int plane = 0; plane < planes; plane++, start += 2) {
            const void *levels = (const unsigned char *)operand + (uint32_t)plane * stride + i;
            const __m256i fours = DOT_256(_mm256_setzero_si256(), _mm256_set1_epi8(1), _mm256_loadu_si256((const __m256i *)levels));
            const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256(fours, 1));
            const __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four)); /* of low nibbles, of high ones */
            _mm_storel_epi64((__m128i *)(void *)start, _mm_sub_epi32(_mm_setzero_si128(), _mm_sllv_epi32(two, shifts)));
        }
}

/* One pair of groups. */
KERNEL_INLINE void int4_pair(vi *low, vi *high, const unsigned char *weights, const unsigned char *x, uint32_t stride,
                             uint32_t width, const int sets, const int planes)
{
    const vi low_nibbles = vi_set(0x0F0F0F0F), high_nibbles = vi_set((int32_t)0xF0F0F0F0);
    UNROLL for (int line = 0; line < sets * PARTS; line++) {
        const vi w = load_part(weights + (uint32_t)(line / PARTS) * width * GRULET_GROUP, line % PARTS, width);
        const vi w_low = vi_and(w, low_nibbles), w_high = vi_and(w, high_nibbles);
        UNROLL for (int plane = 0; plane < planes; plane++) {
            const unsigned char *levels = x + (uint32_t)plane * stride;
            vi *const sum = &low[line * planes + plane], *const high_sum = &high[line * planes + plane];
            *sum = DOT(*sum, w_low, one_group(levels));
            *high_sum = DOT(*high_sum, w_high, one_group(levels + GRULET_GROUP));
            KEEP_IN_REGISTER(*sum);
            KEEP_IN_REGISTER(*high_sum);
        }
    }
}

/* What `sets` sets' `pairs` pairs of groups, which share multipliers, add to the totals.  Sums and totals lie
 * [set][part][plane].  `unrolled`: there are GROUP_PAIRS of them, as nearly always; worth its code for one plane of 16 rows
 * (3-6 %). */
KERNEL_INLINE void int4_group(vi *totals, const unsigned char *weights, uint32_t pair_bytes, const unsigned char *x,
                              uint32_t stride, const int32_t *start, uint32_t pairs, const int unrolled, uint32_t width,
                              const int8_t *multipliers, const int sets, const int planes)
{
    vi low[MOST_INT4_SUMS], high[MOST_INT4_SUMS];
    UNROLL for (int k = 0; k < sets * PARTS * planes; k++) {
        low[k] = vi_set(start[k % planes * 2]);
        high[k] = vi_set(start[k % planes * 2 + 1]);
    }
    if (unrolled)
        UNROLL for (uint32_t pair = 0; pair < GROUP_PAIRS; pair++)
            int4_pair(low, high, weights + pair * pair_bytes, x + pair * GRULET_PAIR, stride, width, sets, planes);
    else
        for (uint32_t pair = 0; pair < pairs; pair++, weights += pair_bytes, x += GRULET_PAIR)
            int4_pair(low, high, weights, x, stride, width, sets, planes);
    UNROLL for (int line = 0; line < sets * PARTS; line++) {
        const vi m = load_multipliers(multipliers + (uint32_t)(line / PARTS) * width, line % PARTS, width);
        UNROLL for (int k = line * planes; k < (line + 1) * planes; k++) {
            totals[k] = DOT_WORDS(totals[k], low[k], m);
            totals[k] = DOT_WORDS(totals[k], vi_shift_right(high[k], 4), m);
            KEEP_IN_REGISTER(totals[k]);
        }
    }
}

/* One span of `sets` sets, whose totals the registers hold. */
KERNEL_INLINE void int4_span(float *sums, const unsigned char *weights, const unsigned char *x, uint32_t stride,
                             const int32_t *start, uint32_t pairs, uint32_t width, uint32_t rows, const int32_t *row_sums,
                             const int8_t *multipliers, const int sets, const int planes, const int add)
{
    const uint32_t pair_bytes = rows * GRULET_GROUP;
    vi totals[MOST_INT4_SUMS];
    UNROLL for (int k = 0; k < sets * PARTS * planes; k++) totals[k] = vi_set(0);
    for (uint32_t now; pairs > 0; pairs -= now) {
        now = pairs < GROUP_PAIRS ? pairs : (uint32_t)GROUP_PAIRS;
        if (now == GROUP_PAIRS)
            int4_group(totals, weights, pair_bytes, x, stride, start, GROUP_PAIRS, LANES == 16 && planes == 1 && sets > 1, width,
                       multipliers, sets, planes);
        else int4_group(totals, weights, pair_bytes, x, stride, start, now, 0, width, multipliers, sets, planes);
        weights += now * pair_bytes;
        multipliers += rows;
        x += GRULET_MULTIPLIER_INPUTS;
        start += 2 * planes;
    }
    UNROLL for (int line = 0; line < sets * PARTS; line++) {
        const vi *total = &totals[line * planes];
        const uint32_t set = (uint32_t)(line / PARTS);
        vi exact = total[0];
        if (planes == 2) /* 256 high + low + 128 (row sum) */
            exact = vi_add(vi_add(vi_shift_left(exact, 8), total[1]),
                           vi_shift_left(load_part(row_sums + set * width, line % PARTS, width), 7));
        put_span(sums + set * GRULET_BLOCK_ROWS + line % PARTS * LANES, exact, add);
    }
}

/* `chunks` times `sets` sets, which are all that the panel has, one after another in every span. */
KERNEL_INLINE void int4_sums(float *sums, const unsigned char *weights, const unsigned char *x, uint32_t inputs,
                             uint32_t width, uint32_t chunks, uint32_t rows, const int32_t *row_sums,
                             const int8_t *multipliers, const int sets, const int planes)
{
    const uint32_t chunk_rows = (uint32_t)sets * width, stride = grulet_round_up(inputs, 64);
    const int32_t *start = group_starts(x, stride);
    uint32_t pairs = (inputs + GRULET_PAIR - 1) / GRULET_PAIR;
    for (int add = 0; pairs > 0; add = 1) {
        const uint32_t span = pairs < SPAN_PAIRS ? pairs : (uint32_t)SPAN_PAIRS;
        for (uint32_t chunk = 0; chunk < chunks; chunk++)
            int4_span(sums + chunk * (uint32_t)sets * GRULET_BLOCK_ROWS, weights + chunk * chunk_rows * GRULET_GROUP, x,
                      stride, start, span, width, rows, row_sums + chunk * chunk_rows, multipliers + chunk * chunk_rows,
                      sets, planes, add);
        pairs -= span; /* of all spans but the last these are whole ones */
        weights += (size_t)GRULET_SPAN / 2 * rows;
        x += GRULET_SPAN;
        start += GRULET_SPAN / GRULET_MULTIPLIER_INPUTS * 2 * planes;
        multipliers += GRULET_SPAN / GRULET_MULTIPLIER_INPUTS * rows;
        row_sums += rows;
    }
}

/* Of full blocks, where the registers hold the sums of three sets, three sets at once; else one after another.  Several
 * frames follow each other: the first leaves the panel in the nearest cache. */
#define INT4_FUNCTION(shared, name, at_once, chunks, planes, constant_width)                                           \
    shared void name(float *sums, const unsigned char *panel, const void *operand, uint32_t inputs,                    \
                            uint32_t width, uint32_t sets, uint32_t rows, const int32_t *row_sums,                     \
                            const int8_t *multipliers)                                                                 \
    {                                                                                                                  \
        (void)width, (void)sets;                                                                                       \
        int4_sums(sums, panel, (const unsigned char *)operand, inputs, constant_width, chunks, rows, row_sums,         \
                  multipliers, at_once, planes);                                                                       \
    }
#define SUM_INT4(levels, planes)                                                                                       \
    INT4_FUNCTION(KERNEL_SHARED, int4_##levels##_full, INT4_SETS, (LANES == 16 ? 1 : sets), planes, GRULET_BLOCK_ROWS)                \
    INT4_FUNCTION(KERNEL_SMALL, int4_##levels##_any, 1, sets, planes, width)                                           \
    KERNEL_INLINE void sum_int4_##levels(float *const *sums, const unsigned char *panel, const void *const *operands,  \
                                         const int frames, uint32_t inputs, uint32_t width, const int sets,            \
                                         uint32_t rows, const int32_t *row_sums, const int8_t *multipliers)            \
    {                                                                                                                  \
        const int full = width == GRULET_BLOCK_ROWS && sets % INT4_SETS == 0;                                          \
        for (int frame = 0; frame < frames; frame++)                                                                   \
            (full ? int4_##levels##_full : int4_##levels##_any)(sums[frame], panel, operands[frame], inputs, width,    \
                                                                (uint32_t)sets, rows, row_sums, multipliers);          \
    }
SUM_INT4(int16, 2)
SUM_INT4(int8, 1)

#endif
