/* WebAssembly with 128-bit vectors (all browsers since 2023): four lanes, IEEE arithmetic with subnormals, nothing
 * fused.  Relaxed SIMD is not used: its results may differ from engine to engine.
 *
 * Levels of 8 and of 16 bits are both stored as int16.  i32x4.dot_i16x8_s multiplies them by sign-extended weights and
 * adds pairs to int32, exactly: one instruction on x86, where it is PMADDWD, as is the extending load, PMOVSXBW. */
#ifndef __wasm_simd128__
#error "this file needs -msimd128"
#endif
#include "grulet_impl.h"
#include "grulet_inline.h"

#include <string.h>
#include <wasm_simd128.h>

#define KERNEL_TABLE grulet_kernel_simd128
#define KERNEL_NAME "simd128"
#define KERNEL_USABLE usable
#define LANES 4
#define FRAMES 1

typedef v128_t vf;
typedef v128_t vi;

/* A module cannot ask: with one vector instruction in it, an engine without vectors refuses to load it. */
static int usable(void) { return 1; }

KERNEL_INLINE vf vf_load(const float *p) { return wasm_v128_load(p); }
KERNEL_INLINE void vf_store(float *p, vf v) { wasm_v128_store(p, v); }
KERNEL_INLINE vf vf_load_part(const float *p, uint32_t n)
{
    if (n == 0) return wasm_f32x4_const_splat(0.0f);
    if (n == 1) return wasm_v128_load32_zero(p);
    const vf two = wasm_v128_load64_zero(p);
    return n == 2 ? two : wasm_v128_load32_lane(p + 2, two, 2);
}
KERNEL_INLINE void vf_store_part(float *p, vf v, uint32_t n)
{
    if (n > 0) wasm_v128_store32_lane(p, v, 0);
    if (n > 1) wasm_v128_store32_lane(p + 1, v, 1);
    if (n > 2) wasm_v128_store32_lane(p + 2, v, 2);
}
KERNEL_INLINE vf vf_set(float v) { return wasm_f32x4_splat(v); }
KERNEL_INLINE vf vf_add(vf a, vf b) { return wasm_f32x4_add(a, b); }
KERNEL_INLINE vf vf_sub(vf a, vf b) { return wasm_f32x4_sub(a, b); }
KERNEL_INLINE vf vf_mul(vf a, vf b) { return wasm_f32x4_mul(a, b); }
KERNEL_INLINE vf vf_div(vf a, vf b) { return wasm_f32x4_div(a, b); }
KERNEL_INLINE vf vf_min(vf a, vf b) { return wasm_f32x4_pmin(b, a); } /* pmin(x, y) is y < x ? y : x */
KERNEL_INLINE vf vf_max(vf a, vf b) { return wasm_f32x4_pmax(b, a); } /* pmax(x, y) is x < y ? y : x */
KERNEL_INLINE vf vf_less(vf a, vf b, vf t, vf e) { return wasm_v128_bitselect(t, e, wasm_f32x4_lt(a, b)); }
KERNEL_INLINE vi vf_bits(vf v) { return v; }
KERNEL_INLINE vf vi_float(vi v) { return v; }
KERNEL_INLINE vf vf_abs(vf v) { return wasm_f32x4_abs(v); }
KERNEL_INLINE vf vf_copysign(vf magnitude, vf sign)
{
    return wasm_v128_bitselect(sign, magnitude, wasm_i32x4_const_splat(INT32_MIN));
}
KERNEL_INLINE vi vi_add(vi a, vi b) { return wasm_i32x4_add(a, b); }
KERNEL_INLINE vi vi_shift_left_23(vi v) { return wasm_i32x4_shl(v, 23); }

/* 1.5 * 2^23, see docs/numerics.md; the conversion of WebAssembly checks for overflow, which costs more. */
KERNEL_INLINE vi vi_round(vf v)
{
    const vf magic = wasm_f32x4_const_splat(12582912.0f);
    return wasm_i32x4_sub(wasm_f32x4_add(v, magic), magic);
}
KERNEL_INLINE float vf_largest(vf v)
{
    const vf two = vf_max(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
    return wasm_f32x4_extract_lane(vf_max(two, wasm_i32x4_shuffle(two, two, 1, 0, 3, 2)), 0);
}

/* Levels fit, so the saturating narrow only drops bytes. */
KERNEL_INLINE void put_int16(void *operand, uint32_t stride, uint32_t i, vi level)
{
    (void)stride;
    wasm_v128_store64_lane((int16_t *)operand + i, wasm_i16x8_narrow_i32x4(level, level), 0);
}
KERNEL_INLINE void put_int8(void *operand, uint32_t i, vi level) { put_int16(operand, 0, i, level); }

/* An empty instruction that reads and writes a pointer.  Without it Clang loses, in loops, that pointers do not wrap,
 * and then adds the constant part of every address by an instruction instead of naming it in the load. */
#if defined(__GNUC__)
#define OPAQUE(pointer) __asm__("" : "+r"(pointer))
#else
#define OPAQUE(pointer) ((void)0)
#endif

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
                                uint32_t width, const int sets)
{
    const uint32_t group_bytes = GRULET_GROUP * width * (uint32_t)sets;
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
                            const int frames, uint32_t inputs, uint32_t width, const int sets,                         \
                            const int32_t *row_sums)                                                                   \
    {                                                                                                                  \
        (void)frames, (void)row_sums;                                                                                  \
        integer_sums(sums[0], panel, operands[0], inputs, width, sets);                                                \
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
    int16_t *levels = operand;
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
                                  const int32_t *row_sums, const int8_t *multipliers)
{
    const int16_t *x = operands[0];
    const int32_t *offsets = (const int32_t *)(const void *)(x + grulet_round_up(inputs, 64));
    const uint32_t rows = width * (uint32_t)sets, pair_bytes = GRULET_GROUP * rows;
    (void)frames, (void)row_sums;
    for (uint32_t first = 0; first < inputs; first += GRULET_SPAN) {
        const uint32_t left = inputs - first, span = left > GRULET_SPAN ? GRULET_SPAN : left;
        const uint32_t pairs = (span + GRULET_PAIR - 1) / GRULET_PAIR;
        const int pass_rows = width == GRULET_BLOCK_ROWS ? GRULET_BLOCK_ROWS : 4;
        for (uint32_t row = 0; row < rows; row += (uint32_t)pass_rows)
            int4_span_sums(sums[0] + row / width * GRULET_BLOCK_ROWS + row % width, panel + row * GRULET_GROUP,
                           pair_bytes, x + first, offsets + first / GRULET_MULTIPLIER_INPUTS, pairs, multipliers + row,
                           rows, pass_rows, first != 0);
        panel += GRULET_SPAN / GRULET_PAIR * pair_bytes;
        multipliers += GRULET_SPAN / GRULET_MULTIPLIER_INPUTS * rows;
    }
}
#define sum_int4_int8 sum_int4_int16 /* the levels of both widths are int16 */
#define HAS_INT4_SUMS

/* Four weights of `bytes` 4, or 2: halves.  Their bits in the places of a float's make 2^-112 times the number, a float
 * subnormal if the half is one; WebAssembly never flushes those, so the product is exact.  x86 CPUs are slow with them,
 * but weights below 2^-14 are rare, and a choice between normal and subnormal is four times slower for all. */
KERNEL_INLINE vf load_weights(const unsigned char *weights, const uint32_t bytes)
{
    if (bytes == sizeof(float)) return vf_load((const float *)(const void *)weights);
    const v128_t bits = wasm_i32x4_shl(wasm_i32x4_load16x4(weights), 13); /* the sign in all of the upper bits */
    return vf_mul(wasm_v128_and(bits, wasm_i32x4_const_splat((int32_t)0x8FFFE000)), vf_set(5.192296858534828e33f));
}

/* The partial sums j and j + 1 of one set: a line of weights belongs to one input, so each is read by one of two
 * passes, again with 8 vectors of sums. */
KERNEL_INLINE void partial_sums(vf partial[2][4], const unsigned char *weights, uint32_t group_bytes, uint32_t width,
                                const float *x, uint32_t inputs, const int quads, const uint32_t bytes)
{
    UNROLL
    for (int q = 0; q < quads; q++) partial[0][q] = partial[1][q] = wasm_f32x4_const_splat(0.0f);
    for (uint32_t i = 0; i < inputs; i += GRULET_GROUP, weights += group_bytes) {
        OPAQUE(weights);
        const vf x0 = wasm_v128_load32_splat(x + i), x1 = wasm_v128_load32_splat(x + i + 1);
        UNROLL
        for (uint32_t q = 0; q < (uint32_t)quads; q++) {
            const unsigned char *first = weights + 4 * q * bytes;
            partial[0][q] = vf_add(partial[0][q], vf_mul(load_weights(first, bytes), x0));
            partial[1][q] = vf_add(partial[1][q], vf_mul(load_weights(first + width * bytes, bytes), x1));
        }
    }
}

KERNEL_INLINE void float_rows(float *sums, const unsigned char *weights, uint32_t group_bytes, uint32_t width,
                              const float *x, uint32_t inputs, const int quads, const uint32_t bytes)
{
    vf first[2][4], second[2][4];
    partial_sums(first, weights, group_bytes, width, x, inputs, quads, bytes);
    partial_sums(second, weights + 2 * width * bytes, group_bytes, width, x + 2, inputs, quads, bytes);
    UNROLL
    for (int q = 0; q < quads; q++)
        vf_store(sums + 4 * q, vf_add(vf_add(first[0][q], first[1][q]), vf_add(second[0][q], second[1][q])));
}

#define FLOAT_SUMS(name, bytes)                                                                                        \
    KERNEL_INLINE void name(float *const *sums, const unsigned char *panel, const void *const *operands,               \
                            const int frames, uint32_t inputs, uint32_t width, const int sets)                         \
    {                                                                                                                  \
        const uint32_t set_bytes = GRULET_GROUP * width * bytes, group_bytes = set_bytes * (uint32_t)sets;             \
        (void)frames;                                                                                                  \
        for (uint32_t set = 0; set < (uint32_t)sets; set++) {                                                          \
            const unsigned char *weights = panel + set * set_bytes;                                                    \
            float *to = sums[0] + set * GRULET_BLOCK_ROWS;                                                             \
            if (width == GRULET_BLOCK_ROWS) float_rows(to, weights, group_bytes, width, operands[0], inputs, 4, bytes);\
            else                                                                                                       \
                for (uint32_t row = 0; row < width; row += 4)                                                          \
                    float_rows(to + row, weights + row * bytes, group_bytes, width, operands[0], inputs, 1, bytes);    \
        }                                                                                                              \
    }
FLOAT_SUMS(sum_f32, 4)
FLOAT_SUMS(sum_f16, 2)
#define HAS_F16_SUMS

#include "grulet_kernel_body.h"
