/* Floats of WebAssembly with 128-bit vectors (all browsers since 2023): IEEE arithmetic with subnormals, nothing fused.
 * Relaxed SIMD is not used: its results may differ from engine to engine. */
#ifndef __wasm_simd128__
#error "this file needs -msimd128"
#endif
#include "wasm/grulet_simd128_lanes.h"

#define FLOATS_TABLE grulet_floats_simd128

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
                            const int frames, uint32_t inputs, uint32_t width, const int sets, uint32_t rows)          \
    {                                                                                                                  \
        const uint32_t set_bytes = GRULET_GROUP * width * bytes, group_bytes = GRULET_GROUP * rows * bytes;            \
        (void)frames;                                                                                                  \
        for (uint32_t set = 0; set < (uint32_t)sets; set++) {                                                          \
            const unsigned char *weights = panel + set * set_bytes;                                                    \
            float *to = sums[0] + set * GRULET_BLOCK_ROWS;                                                             \
            if (width == GRULET_BLOCK_ROWS) float_rows(to, weights, group_bytes, width, (const float *)operands[0], inputs, 4,     \
                                                     bytes);                                                           \
            else                                                                                                       \
                for (uint32_t row = 0; row < width; row += 4)                                                          \
                    float_rows(to + row, weights + row * bytes, group_bytes, width, (const float *)operands[0], inputs, 1, \
                               bytes);                                                                                 \
        }                                                                                                              \
    }
FLOAT_SUMS(sum_f32, 4)
FLOAT_SUMS(sum_f16, 2)

#include "grulet_floats_body.h"
