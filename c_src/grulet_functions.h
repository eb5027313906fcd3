/* Functions of vectors from + - * / alone: exp, sigmoid, tanh; docs/numerics.md has each operation and why it is so.
 *
 * Who includes this has defined before: LANES, vf, vi, vf_set, vf_add, vf_sub, vf_mul, vf_div, vf_min, vf_max, vf_abs,
 * vf_copysign, vf_bits, vi_float, vi_add, vi_shift_left_23 (the head of grulet_floats_body.h says what they are). */
#ifndef GRULET_FUNCTIONS_H
#define GRULET_FUNCTIONS_H

#include <float.h>

#include "grulet_inline.h"

#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16 /* 16 is of _Float16 alone */
#error "float expressions must be computed in float: on 32-bit x86 compile with -msse2 -mfpmath=sse"
#endif
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "-ffast-math changes results: grulet promises the same bits everywhere"
#endif

/* A function is a chain of some 25 operations, each waiting for the one before.  CPUs look only some hundred operations
 * ahead, so two independent chains advance in step, one operation of each in turn.  (Four are 2-6 % faster with AVX-512, but
 * take 4 KB of code and 1.2 KB of stack more.) */
enum { CHAINS = LANES == 1 ? 1 : 2 };
#define EACH_CHAIN(c) UNROLL for (int c = 0; c < chains; c++)

static const float LOG2_E = 1.44269504f, LN_2 = 0.693147182f;

/* With t = k + f, |f| <= 1/2: p = (2^f - 1) / ln 2, and k << 23, which added to the bits of a float multiplies it by 2^k.
 * Adding 1.5 * 2^23 rounds to an integer whose bits are then the low bits of the float; f is exact, however an ISA finds it.
 * Divided by ln 2 the polynomial begins with f itself.  Coefficients: tools/derive_exp2.py, relative error 1.4e-8 in exact
 * arithmetic. */
KERNEL_INLINE void exp2_parts(const vf *t, vf *p, vi *power, const int chains)
{
    const vf magic = vf_set(12582912.0f);
    vf shifted[CHAINS], f[CHAINS], f2[CHAINS], low[CHAINS], high[CHAINS];
    EACH_CHAIN(c) shifted[c] = vf_add(t[c], magic);
#ifdef VF_FRACTION
    EACH_CHAIN(c) f[c] = vf_fraction(t[c]);
#else
    EACH_CHAIN(c) f[c] = vf_sub(shifted[c], magic);
    EACH_CHAIN(c) f[c] = vf_sub(t[c], f[c]);
#endif
    EACH_CHAIN(c) power[c] = vi_shift_left_23(vf_bits(shifted[c]));
    EACH_CHAIN(c) f2[c] = vf_mul(f[c], f[c]);
    EACH_CHAIN(c) low[c] = vf_mul(f[c], vf_set(8.007489145e-02f));
    EACH_CHAIN(c) high[c] = vf_mul(f[c], vf_set(1.931316336e-03f));
    EACH_CHAIN(c) low[c] = vf_add(vf_set(3.465735912e-01f), low[c]);
    EACH_CHAIN(c) high[c] = vf_add(vf_set(1.387606654e-02f), high[c]);
    EACH_CHAIN(c) high[c] = vf_add(high[c], vf_mul(f2[c], vf_set(2.224400960e-04f)));
    EACH_CHAIN(c) high[c] = vf_mul(f2[c], high[c]);
    EACH_CHAIN(c) low[c] = vf_add(low[c], high[c]);
    EACH_CHAIN(c) low[c] = vf_mul(f2[c], low[c]);
    EACH_CHAIN(c) p[c] = vf_add(f[c], low[c]);
}

/* v * 2^k, both normal; `power` is k << 23. */
KERNEL_INLINE vf times_power(vf v, vi power) { return vi_float(vi_add(vf_bits(v), power)); }

/* e^x; above 88.375, which gives 2.4e38, and below -87 as there. */
KERNEL_INLINE vf exponential(vf x)
{
    const vf bounded = vf_max(vf_min(x, vf_set(88.375f)), vf_set(-87.0f));
    const vf t = vf_mul(bounded, vf_set(LOG2_E));
    vf p;
    vi power;
    exp2_parts(&t, &p, &power, 1);
    return times_power(vf_add(vf_set(1.0f), vf_mul(p, vf_set(LN_2))), power);
}

/* 1 / (1 + e^-x) in place, in [0, 1]; a NaN counts as 87.  Numerator and denominator are divided by ln 2, like p. */
KERNEL_INLINE void sigmoids(vf *x, const int chains)
{
    const vf one = vf_set(LOG2_E);
    vf p[CHAINS];
    vi power[CHAINS];
    EACH_CHAIN(c) x[c] = vf_min(x[c], vf_set(87.0f));
    EACH_CHAIN(c) x[c] = vf_max(x[c], vf_set(-87.0f));
    EACH_CHAIN(c) x[c] = vf_mul(x[c], vf_set(-LOG2_E));
    exp2_parts(x, p, power, chains);
    EACH_CHAIN(c) p[c] = vf_add(one, p[c]);
    EACH_CHAIN(c) p[c] = vf_add(one, times_power(p[c], power[c]));
    EACH_CHAIN(c) x[c] = vf_div(one, p[c]);
}

KERNEL_INLINE vf sigmoid(vf x)
{
    sigmoids(&x, 1);
    return x;
}

/* In place, with w = 1 - e^(-2|x|): |tanh x| = w / (2 - w), exact in relative terms near 0, in [-1, 1], odd; a NaN counts
 * as 10. */
KERNEL_INLINE void tanhs(vf *x, const int chains)
{
    const vf one = vf_set(1.0f);
    vf p[CHAINS], w[CHAINS];
    vi power[CHAINS];
    EACH_CHAIN(c) x[c] = vf_min(x[c], vf_set(10.0f));
    EACH_CHAIN(c) x[c] = vf_max(x[c], vf_set(-10.0f));
    EACH_CHAIN(c) w[c] = vf_mul(vf_abs(x[c]), vf_set(-2.0f * LOG2_E));
    exp2_parts(w, p, power, chains);
    EACH_CHAIN(c) w[c] = vf_sub(one, times_power(one, power[c]));
    EACH_CHAIN(c) p[c] = vf_mul(times_power(vf_set(LN_2), power[c]), p[c]);
    EACH_CHAIN(c) w[c] = vf_sub(w[c], p[c]);
    EACH_CHAIN(c) p[c] = vf_sub(vf_set(2.0f), w[c]);
    EACH_CHAIN(c) w[c] = vf_div(w[c], p[c]);
    EACH_CHAIN(c) x[c] = vf_copysign(w[c], x[c]);
}

KERNEL_INLINE vf tanh_gate(vf x)
{
    tanhs(&x, 1);
    return x;
}

/* An overflowed sum becomes the largest float, a NaN (infinities of both signs met) the largest positive. */
KERNEL_INLINE vf to_finite(vf x)
{
    const vf largest = vf_set(3.40282347e+38f);
    return vf_max(vf_min(x, largest), vf_set(-3.40282347e+38f));
}

#endif
