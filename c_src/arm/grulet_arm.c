/* Compiled without ISA flags: it runs before anything is known of the CPU.  ARM CPUs tell programs nothing of
 * themselves, the operating system does; where there is none, or none known here, what the compiler was told counts. */
#include "arm/grulet_arm.h"

#if defined(__linux__)
#include <sys/auxv.h>
/* Bits of AT_HWCAP, from Linux's asm/hwcap.h: part of its user interface, different on 32 and 64 bits. */
#define HWCAP_32_NEON (1ul << 12)
#define HWCAP_64_ASIMDDP (1ul << 20)
#define HWCAP2_64_I8MM (1ul << 13)
#elif defined(__APPLE__)
#include <stddef.h>
#include <sys/sysctl.h>
#endif

/* Advanced SIMD is part of 64-bit ARM and an option of ARMv7. */
int grulet_arm_has_neon(void)
{
#if defined(__aarch64__) || defined(_M_ARM64) || defined(__ARM_NEON)
    return 1;
#elif defined(__linux__)
    return (getauxval(AT_HWCAP) & HWCAP_32_NEON) != 0;
#else
    return 0;
#endif
}

int grulet_arm_has_dotprod(void)
{
#if defined(__ARM_FEATURE_DOTPROD)
    return 1;
#elif defined(__linux__) && defined(__aarch64__)
    return (getauxval(AT_HWCAP) & HWCAP_64_ASIMDDP) != 0;
#elif defined(__APPLE__)
    int has = 0;
    size_t bytes = sizeof has;
    return sysctlbyname("hw.optional.arm.FEAT_DotProd", &has, &bytes, NULL, 0) == 0 && has;
#else
    return 0;
#endif
}

/* Apple's cores have it (M2 and later), but there SMMLA gains nothing over SDOT (docs/kernels.md). */
int grulet_arm_has_i8mm(void)
{
#if defined(__APPLE__)
    return 0;
#elif defined(__ARM_FEATURE_MATMUL_INT8)
    return grulet_arm_has_dotprod();
#elif defined(__linux__) && defined(__aarch64__)
    return grulet_arm_has_dotprod() && (getauxval(AT_HWCAP2) & HWCAP2_64_I8MM) != 0;
#else
    return 0;
#endif
}
