/* WebAssembly with 128-bit vectors (all browsers since 2023): four lanes, IEEE arithmetic with subnormals, nothing
 * fused.  Relaxed SIMD is not used: its results may differ from engine to engine.
 *
 * Levels of 8 and of 16 bits are both stored as int16.  i32x4.dot_i16x8_s multiplies them by sign-extended weights and
 * adds pairs to int32, exactly: one instruction on x86, where it is PMADDWD, as is the extending load, PMOVSXBW. */
#ifndef __wasm_simd128__
#error "this file needs -msimd128"
#endif
#include "wasm/grulet_simd128_lanes.h"

#define PRODUCTS_TABLE grulet_products_simd128

/* Levels fit, so the saturating narrow only drops bytes. */
KERNEL_INLINE void put_int16(void *operand, uint32_t stride, uint32_t i, vi level)
{
    (void)stride;
    wasm_v128_store64_lane((int16_t *)operand + i, wasm_i16x8_narrow_i32x4(level, level), 0);
}
KERNEL_INLINE void put_int8(void *operand, uint32_t i, vi level) { put_int16(operand, 0, i, level); }

/* Sums of neighbours: a0 + a1, a2 + a3, b0 + b1, b2 + b3. */
KERNEL_INLINE vi neighbours(vi a, vi b)
{
    return wasm_i32x4_add(wasm_i32x4_shuffle(a, b, 0, 2, 4, 6), wasm_i32x4_shuffle(a, b, 1, 3, 5, 7));
}

/* The exact sums of four rows, converted, and added to what stands in `sums` if `add`. */
KERNEL_INLINE void add_span(float *sums, vi exact, const int add)
{
    const vf sum = wasm_f32x4_convert_i32x4(exact);
    vf_store(sums, add ? vf_add(vf_load(sums), sum) : sum);
}

/* `groups` groups of `rows` rows, a constant of at most 16: 8 vectors of sums, as CPUs with 16 registers hold.  Each
 * is two rows of two pair sums. */
KERNEL_INLINE void span_sums(float *sums, const unsigned char *weights, uint32_t group_bytes, const int16_t *x,
                             uint32_t groups, const int rows, const int add)
{
    v128_t pairs[GRULET_BLOCK_ROWS / 2];
    UNROLL
    for (int k = 0; k < rows / 2; k++) pairs[k] = wasm_i32x4_const_splat(0);
    for (; groups > 0; groups--, weights += group_bytes, x += GRULET_GROUP) {
        const v128_t levels = wasm_v128_load64_splat(x);
        OPAQUE(weights);
        UNROLL
        for (int k = 0; k < rows / 2; k++)
            pairs[k] = wasm_i32x4_add(pairs[k], wasm_i32x4_dot_i16x8(wasm_i16x8_load8x8(weights + 8 * k), levels));
    }
    UNROLL
    for (int q = 0; q < rows / 4; q++) add_span(sums + 4 * q, neighbours(pairs[2 * q], pairs[2 * q + 1]), add);
}

/* A narrow block (the last) goes by four rows. */
KERNEL_INLINE void integer_sums(float *sums, const unsigned char *panel, const int16_t *x, uint32_t inputs,
                                uint32_t width, const int sets, uint32_t rows)
{
    const uint32_t group_bytes = GRULET_GROUP * rows;
    for (uint32_t first = 0; first < inputs; first += GRULET_SPAN) {
        const uint32_t left = inputs - first, span = left > GRULET_SPAN ? GRULET_SPAN : left;
        const uint32_t groups = (span + GRULET_GROUP - 1) / GRULET_GROUP;
        for (int set = 0; set < sets; set++) {
            const unsigned char *weights = panel + (uint32_t)set * GRULET_GROUP * width;
            float *to = sums + set * GRULET_BLOCK_ROWS;
            if (width == GRULET_BLOCK_ROWS)
                span_sums(to, weights, group_bytes, x + first, groups, GRULET_BLOCK_ROWS, first != 0);
            else
                for (uint32_t row = 0; row < width; row += 4)
                    span_sums(to + row, weights + row * GRULET_GROUP, group_bytes, x + first, groups, 4, first != 0);
        }
        panel += GRULET_SPAN / GRULET_GROUP * group_bytes;
    }
}

#define SUMS(name)                                                                                                     \
    KERNEL_INLINE void name(float *const *sums, const unsigned char *panel, const void *const *operands,               \
                            const int frames, uint32_t inputs, uint32_t width, const int sets, uint32_t rows,          \
                            const int32_t *row_sums)                                                                   \
    {                                                                                                                  \
        (void)frames, (void)row_sums;                                                                                  \
        integer_sums(sums[0], panel, (const int16_t *)operands[0], inputs, width, sets, rows);                         \
    }
SUMS(sum_int8_int16)
SUMS(sum_int8_int8)

/* int4 weights are multiplied as they are stored, u = q + 8: the sum of q v is (sum of u v) - 8 (sum of v), and the
 * last term is the same for all rows.  Behind the operand is half of it for each group of 32 inputs, because a row has
 * two lanes of sums. */
KERNEL_INLINE void put_int4(void *operand, uint32_t stride, uint32_t i, vi level, const int planes)
{
    (void)planes;
    put_int16(operand, stride, i, level);
}
KERNEL_INLINE void finish_int4(void *operand, uint32_t stride, uint32_t n, const int planes)
{
    int16_t *levels = (int16_t *)operand;
    int32_t *offsets = (int32_t *)(void *)(levels + stride);
    (void)planes;
    memset(levels + n, 0, (grulet_round_up(n, GRULET_MULTIPLIER_INPUTS) - n) * sizeof *levels);
    for (uint32_t i = 0; i < n; i += GRULET_MULTIPLIER_INPUTS) {
        int32_t sum = 0;
        for (uint32_t j = 0; j < GRULET_MULTIPLIER_INPUTS; j++) sum += levels[i + j];
        offsets[i / GRULET_MULTIPLIER_INPUTS] = -4 * sum;
    }
}

/* As span_sums, of `pairs` pairs of groups; every four pairs the sums are multiplied. */
KERNEL_INLINE void int4_span_sums(float *sums, const unsigned char *weights, uint32_t pair_bytes, const int16_t *x,
                                  const int32_t *offsets, uint32_t pairs, const int8_t *multipliers,
                                  uint32_t next_multipliers, const int rows, const int add)
{
    enum { GROUP_PAIRS = GRULET_MULTIPLIER_INPUTS / GRULET_PAIR };
    v128_t exact[GRULET_BLOCK_ROWS / 4];
    UNROLL
    for (int q = 0; q < rows / 4; q++) exact[q] = wasm_i32x4_const_splat(0);
    for (; pairs > 0; multipliers += next_multipliers) {
        v128_t partial[GRULET_BLOCK_ROWS / 2];
        uint32_t now = pairs < GROUP_PAIRS ? pairs : GROUP_PAIRS;
        const v128_t offset = wasm_v128_load32_splat(offsets++);
        pairs -= now;
        UNROLL
        for (int k = 0; k < rows / 2; k++) partial[k] = offset;
        for (; now > 0; now--, weights += pair_bytes, x += GRULET_PAIR) {
            const v128_t first = wasm_v128_load64_splat(x), second = wasm_v128_load64_splat(x + GRULET_GROUP);
            OPAQUE(weights);
            UNROLL
            for (int k = 0; k < rows / 2; k++) {
                const v128_t w = wasm_u16x8_load8x8(weights + 8 * k);
                const v128_t low = wasm_v128_and(w, wasm_i16x8_const_splat(15)), high = wasm_u16x8_shr(w, 4);
                partial[k] = wasm_i32x4_add(partial[k], wasm_i32x4_dot_i16x8(low, first));
                partial[k] = wasm_i32x4_add(partial[k], wasm_i32x4_dot_i16x8(high, second));
            }
        }
        UNROLL
        for (int q = 0; q < rows / 4; q++) {
            const v128_t four = wasm_i16x8_extend_low_i8x16(wasm_v128_load32_zero(multipliers + 4 * q));
            const v128_t sum = neighbours(partial[2 * q], partial[2 * q + 1]);
            exact[q] = wasm_i32x4_add(exact[q], wasm_i32x4_mul(sum, wasm_i32x4_extend_low_i16x8(four)));
        }
    }
    UNROLL
    for (int q = 0; q < rows / 4; q++) add_span(sums + 4 * q, exact[q], add);
}

KERNEL_INLINE void sum_int4_int16(float *const *sums, const unsigned char *panel, const void *const *operands,
                                  const int frames, uint32_t inputs, uint32_t width, const int sets,
                                  uint32_t rows, const int32_t *row_sums, const int8_t *multipliers)
{
    const int16_t *x = (const int16_t *)operands[0];
    const int32_t *offsets = (const int32_t *)(const void *)(x + grulet_round_up(inputs, 64));
    const uint32_t taken = width * (uint32_t)sets, pair_bytes = GRULET_GROUP * rows;
    (void)frames, (void)row_sums;
    for (uint32_t first = 0; first < inputs; first += GRULET_SPAN) {
        const uint32_t left = inputs - first, span = left > GRULET_SPAN ? GRULET_SPAN : left;
        const uint32_t pairs = (span + GRULET_PAIR - 1) / GRULET_PAIR;
        const int pass_rows = width == GRULET_BLOCK_ROWS ? GRULET_BLOCK_ROWS : 4;
        for (uint32_t row = 0; row < taken; row += (uint32_t)pass_rows)
            int4_span_sums(sums[0] + row / width * GRULET_BLOCK_ROWS + row % width, panel + row * GRULET_GROUP,
                           pair_bytes, x + first, offsets + first / GRULET_MULTIPLIER_INPUTS, pairs, multipliers + row,
                           rows, pass_rows, first != 0);
        panel += GRULET_SPAN / GRULET_PAIR * pair_bytes;
        multipliers += GRULET_SPAN / GRULET_MULTIPLIER_INPUTS * rows;
    }
}
#define sum_int4_int8 sum_int4_int16 /* the levels of both widths are int16 */

#include "grulet_products_body.h"
