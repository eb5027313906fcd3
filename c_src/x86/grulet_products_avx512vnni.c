/* Integer products with AVX-512 VNNI: one 64-byte weight group is one register and one dot instruction per byte plane.
 *
 * VPDPBUSD multiplies unsigned by signed bytes.  A 16-bit level v is stored as the two bytes of v + 32768, an 8-bit level as
 * v + 128; the surplus, 32768 or 128 times the sum of the weights, is taken off again with the file's row sums.  All of
 * that is int32 arithmetic modulo 2^32 whose final value fits, so the sums are exact. */
#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512DQ__) || !defined(__AVX512VL__) ||                  \
    !defined(__AVX512VNNI__)
#error "this file needs -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni"
#endif
#include "x86/grulet_avx512_lanes.h"

#define PRODUCTS_TABLE grulet_products_avx512vnni
#define TWO_BLOCKS

/* High bytes first, `stride` bytes further the low bytes. */
KERNEL_INLINE void put_int16(void *operand, uint32_t stride, uint32_t i, vi level)
{
    const vi shifted = _mm512_add_epi32(level, _mm512_set1_epi32(32768));
    unsigned char *plane = (unsigned char *)operand + i;
    store_bytes(plane, vi_shift_right(shifted, 8));
    store_bytes(plane + stride, shifted);
}
KERNEL_INLINE void put_int8(void *operand, uint32_t i, vi level)
{
    store_bytes((unsigned char *)operand + i, vi_add(level, vi_set(128)));
}

/* Four groups of an operand, four times over; and one of them in all lanes. */
KERNEL_INLINE vi four_groups(const unsigned char *x)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)x));
}
KERNEL_INLINE vi group_of(vi four, int group)
{
    switch (group) {
    case 0: return _mm512_shuffle_epi32(four, 0x00);
    case 1: return _mm512_shuffle_epi32(four, 0x55);
    case 2: return _mm512_shuffle_epi32(four, 0xAA);
    default: return _mm512_shuffle_epi32(four, 0xFF);
    }
}
KERNEL_INLINE vi one_group(const unsigned char *x)
{
    int32_t four;
    memcpy(&four, x, sizeof four);
    return _mm512_set1_epi32(four);
}

/* Four bytes of each row; `width` 16: whole registers; narrower (the last block): masked. */
KERNEL_INLINE vi load_rows(const void *rows, uint32_t width)
{
    return width == GRULET_BLOCK_ROWS ? _mm512_loadu_si512(rows) : _mm512_maskz_loadu_epi32(first_lanes(width), rows);
}

/* The weights of one group. */
KERNEL_INLINE void load_weights(vi w[3], const unsigned char *weights, uint32_t width, const int sets)
{
    UNROLL for (int set = 0; set < sets; set++, weights += GRULET_GROUP * width) w[set] = load_rows(weights, width);
}

/* The empty instruction makes GCC keep every sum in its register; otherwise it moves them about in the loop. */
KERNEL_INLINE void dots(vi sums[3], const vi w[3], vi x, const int sets)
{
    UNROLL for (int set = 0; set < sets; set++) {
        sums[set] = _mm512_dpbusd_epi32(sums[set], x, w[set]);
        KEEP_IN_REGISTER(sums[set]);
    }
}

/* Exact sums to floats.  `add`: to what stands there from the spans before. */
KERNEL_INLINE void put_span(float *sums, vi exact, const int add)
{
    const vf sum = _mm512_cvt_roundepi32_ps(exact, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    vf_store(sums, add ? vf_add(vf_load(sums), sum) : sum);
}
KERNEL_INLINE void put_sums(float *sums, const vi exact[3], const int sets, const int add)
{
    UNROLL for (int set = 0; set < sets; set++) put_span(sums + set * GRULET_BLOCK_ROWS, exact[set], add);
}

/* What the sums start from: minus the surplus of the levels' offset; the high plane of two starts from 0. */
KERNEL_INLINE void start(vi sums[3], const int32_t *row_sums, uint32_t width, const int sets, const int shift)
{
    UNROLL for (int set = 0; set < sets; set++, row_sums += width) {
        const vi row_sum = load_rows(row_sums, width);
        sums[set] = shift ? _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(row_sum, (unsigned)shift))
                          : _mm512_setzero_si512();
    }
}

KERNEL_INLINE void add_sums(vi sums[3], const vi others[3], const int sets)
{
    UNROLL for (int set = 0; set < sets; set++) sums[set] = _mm512_add_epi32(sums[set], others[set]);
}

KERNEL_INLINE void add_planes(vi low[3], const vi high[3], const int sets)
{
    UNROLL for (int set = 0; set < sets; set++) low[set] = _mm512_add_epi32(_mm512_slli_epi32(high[set], 8), low[set]);
}

/* One span of one frame and of one block, or two, of which the second lies `next` bytes further: bound by loads and
 * shuffles, so the operand comes four groups at a time and serves both blocks.  The dot instruction takes 4-5 cycles and two
 * start per cycle: three sets of rows are summed in four chains each, of blocks, byte planes and groups together; a single set in
 * four of each plane of each block.  What two planes multiply is loaded once: GCC would load it again for the second, and at 128
 * units take 9 % longer. */
KERNEL_INLINE void one_frame(float *sums, uint32_t next_sums, const unsigned char *weights, ptrdiff_t next, const unsigned char *x,
                             uint32_t stride, uint32_t groups, uint32_t width, const int sets, uint32_t rows,
                             const int32_t *row_sums, const int planes, const int blocks, const int add)
{
    const uint32_t group_bytes = GRULET_GROUP * rows;
    const int chains = sets == 1 ? 4 : 4 / (planes * blocks); /* of one plane of one block */
    vi low[8][3], high[8][3], w[3];                           /* [block * chains + chain]; one plane is low */
    UNROLL for (int chain = 0; chain < blocks * chains; chain++) {
        const int32_t *of_block = (const int32_t *)(const void *)((const unsigned char *)row_sums + chain / chains * next);
        start(low[chain], of_block, width, sets, chain % chains ? 0 : planes == 2 ? 15 : 7);
        start(high[chain], of_block, width, sets, 0);
    }
    for (; groups >= 4; groups -= 4, weights += 4 * group_bytes, x += 4 * GRULET_GROUP) {
        const vi first = four_groups(x), second = planes == 2 ? four_groups(x + stride) : first;
        UNROLL for (int group = 0; group < 4; group++)
            UNROLL for (int block = 0; block < blocks; block++) {
                const int chain = block * chains + group % chains;
                load_weights(w, weights + block * next + (uint32_t)group * group_bytes, width, sets);
                if (planes == 2) UNROLL for (int set = 0; set < sets; set++) KEEP_IN_REGISTER(w[set]);
                dots(low[chain], w, group_of(second, group), sets);
                if (planes == 2) dots(high[chain], w, group_of(first, group), sets);
            }
    }
    for (; groups > 0; groups--, weights += group_bytes, x += GRULET_GROUP)
        UNROLL for (int block = 0; block < blocks; block++) {
            load_weights(w, weights + block * next, width, sets);
            dots(low[block * chains], w, one_group(planes == 2 ? x + stride : x), sets);
            if (planes == 2) dots(high[block * chains], w, one_group(x), sets);
        }
    UNROLL for (int block = 0; block < blocks; block++) {
        vi *sum = low[block * chains], *sum_high = high[block * chains];
        UNROLL for (int chain = 1; chain < chains; chain++) {
            add_sums(sum, low[block * chains + chain], sets);
            if (planes == 2) add_sums(sum_high, high[block * chains + chain], sets);
        }
        if (planes == 2) add_planes(sum, sum_high, sets);
        put_sums(sums + (uint32_t)block * next_sums, sum, sets, add);
    }
}

KERNEL_INLINE void dots_of_four(vi a[3], vi b[3], vi c[3], vi d[3], const vi w[3], const unsigned char *const *x, size_t at,
                                const int sets)
{
    dots(a, w, one_group(x[0] + at), sets);
    dots(b, w, one_group(x[1] + at), sets);
    dots(c, w, one_group(x[2] + at), sets);
    dots(d, w, one_group(x[3] + at), sets);
}

/* One span of four frames, bound by the dots: the load units spread each group. */
KERNEL_INLINE void four_frames(float *const *sums, const unsigned char *weights, const unsigned char *const *x,
                               uint32_t stride, uint32_t groups, uint32_t width, const int sets, uint32_t rows,
                               const int32_t *row_sums, const int planes, const int add)
{
    const uint32_t group_bytes = GRULET_GROUP * rows;
    vi a[3], b[3], c[3], d[3], a_high[3], b_high[3], c_high[3], d_high[3], w[3];
    start(a, row_sums, width, sets, planes == 2 ? 15 : 7);
    start(b, row_sums, width, sets, planes == 2 ? 15 : 7);
    start(c, row_sums, width, sets, planes == 2 ? 15 : 7);
    start(d, row_sums, width, sets, planes == 2 ? 15 : 7);
    start(a_high, row_sums, width, sets, 0);
    start(b_high, row_sums, width, sets, 0);
    start(c_high, row_sums, width, sets, 0);
    start(d_high, row_sums, width, sets, 0);
    for (size_t at = 0; groups > 0; groups--, weights += group_bytes, at += GRULET_GROUP) {
        load_weights(w, weights, width, sets);
        dots_of_four(a, b, c, d, w, x, at + (planes == 2 ? stride : 0), sets);
        if (planes == 2) dots_of_four(a_high, b_high, c_high, d_high, w, x, at, sets);
        if (planes == 1 && groups > 1) { /* two groups a round: less of the loop */
            groups--, weights += group_bytes, at += GRULET_GROUP;
            load_weights(w, weights, width, sets);
            dots_of_four(a, b, c, d, w, x, at, sets);
        }
    }
    if (planes == 2) {
        add_planes(a, a_high, sets);
        add_planes(b, b_high, sets);
        add_planes(c, c_high, sets);
        add_planes(d, d_high, sets);
    }
    put_sums(sums[0], a, sets, add);
    put_sums(sums[1], b, sets, add);
    put_sums(sums[2], c, sets, add);
    put_sums(sums[3], d, sets, add);
}

/* All spans.  `planes`: bytes of a level. */
KERNEL_INLINE void integer_sums(float *const *sums, const unsigned char *weights, const void *const *operands,
                                const int frames, uint32_t inputs, uint32_t width, const int sets, uint32_t rows,
                                const int32_t *row_sums, const int planes, const int blocks, ptrdiff_t next,
                                uint32_t next_sums)
{
    enum { SPAN_GROUPS = GRULET_SPAN / GRULET_GROUP };
    const uint32_t stride = grulet_round_up(inputs, 64);
    uint32_t groups = (inputs + GRULET_GROUP - 1) / GRULET_GROUP;
    const unsigned char *x[FRAMES];
    for (int frame = 0; frame < frames; frame++) x[frame] = (const unsigned char *)operands[frame];
    for (int add = 0;; add = 1) {
        const uint32_t now = groups < SPAN_GROUPS ? groups : SPAN_GROUPS;
        if (frames == 1)
            one_frame(sums[0], next_sums, weights, next, x[0], stride, now, width, sets, rows, row_sums, planes, blocks,
                      add);
        else four_frames(sums, weights, x, stride, now, width, sets, rows, row_sums, planes, add);
        groups -= now;
        if (groups == 0) return;
        weights += (size_t)GRULET_SPAN * rows;
        row_sums += rows;
        for (int frame = 0; frame < frames; frame++) x[frame] += GRULET_SPAN;
    }
}

KERNEL_INLINE void sum_int8_int16(float *const *sums, const unsigned char *panel, const void *const *operands,
                             const int frames, uint32_t inputs, uint32_t width, const int sets, uint32_t rows,
                                  const int32_t *row_sums)
{
    integer_sums(sums, panel, operands, frames, inputs, width, sets, rows, row_sums, 2, 1, 0, 0);
}

KERNEL_INLINE void sum_int8_int8(float *const *sums, const unsigned char *panel, const void *const *operands,
                            const int frames, uint32_t inputs, uint32_t width, const int sets, uint32_t rows,
                                  const int32_t *row_sums)
{
    integer_sums(sums, panel, operands, frames, inputs, width, sets, rows, row_sums, 1, 1, 0, 0);
}

KERNEL_INLINE void sum_blocks_int8_int16(float *sums, uint32_t next_sums, const unsigned char *panel, ptrdiff_t next,
                                    const void *operand, uint32_t inputs, const int32_t *row_sums)
{
    const uint32_t rows = GRULET_BLOCK_ROWS * GRULET_PANEL_SETS;
    integer_sums(&sums, panel, &operand, 1, inputs, GRULET_BLOCK_ROWS, GRULET_PANEL_SETS, rows, row_sums, 2, 2, next,
                 next_sums);
}

KERNEL_INLINE void sum_blocks_int8_int8(float *sums, uint32_t next_sums, const unsigned char *panel, ptrdiff_t next,
                                   const void *operand, uint32_t inputs, const int32_t *row_sums)
{
    const uint32_t rows = GRULET_BLOCK_ROWS * GRULET_PANEL_SETS;
    integer_sums(&sums, panel, &operand, 1, inputs, GRULET_BLOCK_ROWS, GRULET_PANEL_SETS, rows, row_sums, 1, 2, next,
                 next_sums);
}

/* For grulet_vnni_int4.h, whose width is no constant.  There is one part, and masks cost nothing. */
KERNEL_INLINE vi load_part(const void *rows, int part, uint32_t width)
{
    (void)part;
    return load_rows(rows, width);
}
KERNEL_INLINE vi load_multipliers(const int8_t *multipliers, int part, uint32_t width)
{
    (void)part;
    const __m128i bytes = _mm_maskz_loadu_epi8(first_lanes(width), multipliers);
    return vi_and(_mm512_cvtepi8_epi32(bytes), vi_set(0xFFFF));
}

#define DOT _mm512_dpbusd_epi32
#define DOT_256 _mm256_dpbusd_epi32
#define DOT_WORDS _mm512_dpwssd_epi32
#include "x86/grulet_vnni_int4.h"

#include "grulet_products_body.h"
