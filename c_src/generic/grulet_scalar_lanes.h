/* One lane, plain C99: floats for any CPU, also for those whose vectors do not keep IEEE arithmetic. */
#ifndef GRULET_SCALAR_LANES_H
#define GRULET_SCALAR_LANES_H

#include "grulet_impl.h"
#include "grulet_inline.h"

#include <string.h>

#define LANES 1
#define FRAMES 1

typedef float vf;
typedef int32_t vi;

KERNEL_INLINE vi vf_bits(vf v)
{
    vi bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}
KERNEL_INLINE vf vi_float(vi bits)
{
    vf v;
    memcpy(&v, &bits, sizeof v);
    return v;
}
KERNEL_INLINE vf vf_load(const float *p) { return *p; }
KERNEL_INLINE void vf_store(float *p, vf v) { *p = v; }
KERNEL_INLINE vf vf_load_part(const float *p, uint32_t n) { return n ? *p : 0.0f; }
KERNEL_INLINE void vf_store_part(float *p, vf v, uint32_t n) { if (n) *p = v; }
KERNEL_INLINE vf vf_set(float v) { return v; }
KERNEL_INLINE vf vf_add(vf a, vf b) { return a + b; }
KERNEL_INLINE vf vf_sub(vf a, vf b) { return a - b; }
KERNEL_INLINE vf vf_mul(vf a, vf b) { return a * b; }
KERNEL_INLINE vf vf_div(vf a, vf b) { return a / b; }
KERNEL_INLINE vf vf_min(vf a, vf b) { return a < b ? a : b; }
KERNEL_INLINE vf vf_max(vf a, vf b) { return a > b ? a : b; }
KERNEL_INLINE vf vf_less(vf a, vf b, vf t, vf e) { return a < b ? t : e; }
KERNEL_INLINE vf vf_abs(vf a) { return vi_float(vf_bits(a) & 0x7FFFFFFF); }
KERNEL_INLINE vf vf_copysign(vf magnitude, vf sign)
{
    return vi_float((vi)((uint32_t)vf_bits(magnitude) | ((uint32_t)vf_bits(sign) & 0x80000000u)));
}
KERNEL_INLINE vi vi_add(vi a, vi b) { return (vi)((uint32_t)a + (uint32_t)b); }
KERNEL_INLINE vi vi_sub(vi a, vi b) { return (vi)((uint32_t)a - (uint32_t)b); }
KERNEL_INLINE vi vi_shift_left_23(vi a) { return (vi)((uint32_t)a << 23); }

/* 1.5 * 2^23: at that size floats are the integers, and the low bits of the sum are the nearest one. */
KERNEL_INLINE vi vi_round(vf v) { return vi_sub(vf_bits(v + 12582912.0f), vf_bits(12582912.0f)); }
KERNEL_INLINE vi vi_max(vi a, vi b) { return a > b ? a : b; }
KERNEL_INLINE int32_t vi_largest(vi v) { return v; }

KERNEL_INLINE void put_int16(void *operand, uint32_t stride, uint32_t i, vi level)
{
    (void)stride; /* bytes between the two byte planes of ISAs that split an element */
    ((int16_t *)operand)[i] = (int16_t)level;
}
KERNEL_INLINE void put_int8(void *operand, uint32_t i, vi level) { ((int8_t *)operand)[i] = (int8_t)level; }

#endif
