/* 64-bit ARM with dot product (Cortex-A55, A75, A76 and later, Neoverse, Apple): SDOT for all. */
#if !defined(__aarch64__) || !defined(__ARM_FEATURE_DOTPROD)
#error "this file needs -march=armv8.2-a+dotprod"
#endif
#include "arm/grulet_dotprod_pass.h"

#define PRODUCTS_TABLE grulet_products_dotprod
#define MANY_FRAMES_PASS dot_pass
#include "arm/grulet_dotprod_sums.h"
