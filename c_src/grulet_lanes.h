/* What both halves of a kernel want of its vectors; include it behind the primitives of grulet_floats_body.h. */
#ifndef GRULET_LANES_H
#define GRULET_LANES_H

#include "grulet_inline.h"

/* Loads and stores of the first n lanes, or of all if there are more. */
KERNEL_INLINE vf load_upto(const float *p, uint32_t n) { return n >= LANES ? vf_load(p) : vf_load_part(p, n); }
KERNEL_INLINE void store_upto(float *p, vf v, uint32_t n)
{
    if (n >= LANES) vf_store(p, v);
    else vf_store_part(p, v, n);
}

/* The same without a branch, where masks cost nothing: for code that should rather be small. */
#ifdef MASKED_LANES
#define load_some vf_load_part
#define store_some vf_store_part
#else
#define load_some load_upto
#define store_some store_upto
#endif

#endif
