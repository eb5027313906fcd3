/* CPUID and XGETBV.  Compiled without ISA flags: it runs before anything is known of the CPU. */
#include "x86/grulet_x86.h"

#include <stdint.h>

#if defined(_MSC_VER)
#include <immintrin.h>
#include <intrin.h>
static void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]) { __cpuidex((int *)out, (int)leaf, (int)subleaf); }
static uint32_t enabled_registers(void) { return (uint32_t)_xgetbv(0); }
#else
#include <cpuid.h>
static void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    __cpuid_count(leaf, subleaf, out[0], out[1], out[2], out[3]);
}
static uint32_t enabled_registers(void)
{
    uint32_t low, high; /* XGETBV needs a target flag as an intrinsic, none as an instruction */
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}
#endif

enum { EAX, EBX, ECX, EDX };

/* OSXSAVE (leaf 1, ECX bit 27) must be set before XGETBV may be used.  XCR0: bits 1, 2: XMM, YMM; 5, 6, 7: mask
 * registers and the two parts of ZMM.  (Intel SDM volume 1, 14.3 and 15.2.) */
static int has(uint32_t xcr0_bits, uint32_t leaf7_ebx, uint32_t leaf7_ecx)
{
    uint32_t r[4];
    cpuid(0, 0, r);
    if (r[EAX] < 7) return 0;
    cpuid(1, 0, r);
    if (!(r[ECX] & 1u << 27) || (enabled_registers() & xcr0_bits) != xcr0_bits) return 0;
    cpuid(7, 0, r);
    return (r[EBX] & leaf7_ebx) == leaf7_ebx && (r[ECX] & leaf7_ecx) == leaf7_ecx;
}

/* EBX 5: AVX2; leaf 1, ECX 29: F16C, halves to floats. */
int grulet_x86_has_avx2(void)
{
    uint32_t r[4];
    if (!has(0x06, 1u << 5, 0)) return 0;
    cpuid(1, 0, r);
    return (r[ECX] & 1u << 29) != 0;
}

/* Leaf 7.1, EAX bit 4; leaf 7 itself says in EAX whether it has a 7.1. */
int grulet_x86_has_avxvnni(void)
{
#ifdef GRULET_AVXVNNI_AS_AVX512
    return grulet_x86_has_avx512vnni();
#else
    uint32_t r[4];
    if (!grulet_x86_has_avx2()) return 0;
    cpuid(7, 0, r);
    if (r[EAX] < 1) return 0;
    cpuid(7, 1, r);
    return (r[EAX] & 1u << 4) != 0;
#endif
}

/* EBX 16: AVX512F, 17: AVX512DQ, 30: AVX512BW, 31: AVX512VL; ECX 11: VNNI.  No CPU has the last without the others. */
int grulet_x86_has_avx512vnni(void) { return has(0xE6, 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31, 1u << 11); }
