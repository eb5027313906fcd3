/* Four lanes of WebAssembly, for both halves of the kernel simd128. */
#ifndef GRULET_SIMD128_LANES_H
#define GRULET_SIMD128_LANES_H

#include "grulet_impl.h"
#include "grulet_inline.h"

#include <string.h>
#include <wasm_simd128.h>

#define LANES 4
#define FRAMES 1

typedef v128_t vf;
typedef v128_t vi;

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
KERNEL_INLINE vi vi_max(vi a, vi b) { return wasm_i32x4_max(a, b); }
KERNEL_INLINE int32_t vi_largest(vi v)
{
    const vi two = vi_max(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
    return wasm_i32x4_extract_lane(vi_max(two, wasm_i32x4_shuffle(two, two, 1, 0, 3, 2)), 0);
}

/* An empty instruction that reads and writes a pointer.  Without it Clang loses, in loops, that pointers do not wrap,
 * and then adds the constant part of every address by an instruction instead of naming it in the load. */
#if defined(__GNUC__)
#define OPAQUE(pointer) __asm__("" : "+r"(pointer))
#else
#define OPAQUE(pointer) ((void)0)
#endif

#endif
