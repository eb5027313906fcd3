/* Float weights of layers so wide that they come from the last cache or from memory. */
#ifndef GRULET_FAR_H
#define GRULET_FAR_H

#include "grulet_inline.h"

#include <immintrin.h>

/* From FAR_INPUTS on, asking for weights FAR_BYTES early is worth its load slots; nearer ones lose by it (AVX2 on Zen 4: a fifth of
 * a step of 512 units). */
enum { FAR_INPUTS = 768, FAR_BYTES = 4096, FAR_LINE = 64 };

/* Asks for `bytes` of what will be read soon; beyond the end of the weights that does nothing.  Rolled by measurement, not
 * by theory: unrolled, AVX2 gained next to nothing on Zen 4, and AVX-512 as much. */
KERNEL_INLINE void ask_for_far(const unsigned char *weights, uint32_t bytes)
{
    ROLLED for (uint32_t at = 0; at < bytes; at += FAR_LINE)
        _mm_prefetch((const char *)weights + FAR_BYTES + at, _MM_HINT_T0);
}

#endif
