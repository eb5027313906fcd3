/* What every kernel file includes first, before any other code.
 *
 * KERNEL_INLINE: small functions whose constant arguments must be seen by the compiler (mode, sets, width).
 * KERNEL_SHARED: large ones that exist once, whatever they are called with.
 * KERNEL_SMALL: those that should rather be small than fast.
 * The pragmas: no fused multiply-add, also where these files are compiled without this project's flags; some compilers
 * fuse even intrinsics (docs/numerics.md). */
#ifndef GRULET_INLINE_H
#define GRULET_INLINE_H

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 2) /* Cortex-M55: its vectors flush subnormals, its FPU does not */
#pragma GCC optimize("no-tree-vectorize")
#endif
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif

/* Before a loop of constant count: unroll it early, so that arrays of vectors become registers. */
#if defined(__clang__)
#if __has_feature(address_sanitizer)
#define UNROLL /* sanitized and unrolled code takes Clang minutes */
#else
#define UNROLL _Pragma("clang loop unroll(full)") /* "unroll" comes too late for that */
#endif
#elif defined(__GNUC__)
#define UNROLL _Pragma("GCC unroll 16")
#else
#define UNROLL
#endif

/* Before a loop of constant count that is better not unrolled; compilers vectorize some only then. */
#if defined(__clang__)
#define ROLLED _Pragma("clang loop unroll(disable)")
#elif defined(__GNUC__)
#define ROLLED _Pragma("GCC unroll 1")
#else
#define ROLLED
#endif

/* GCC copies the sums of a long loop from register to register; an empty instruction that reads and writes `v` stops it. */
#if defined(__GNUC__) && !defined(__clang__) && (defined(__AVX2__))
#define KEEP_IN_REGISTER(v) __asm__("" : "+v"(v))
#elif defined(__GNUC__) && !defined(__clang__) && defined(__aarch64__)
#define KEEP_IN_REGISTER(v) __asm__("" : "+w"(v))
#else
#define KEEP_IN_REGISTER(v) ((void)0)
#endif

#if defined(__GNUC__)
#define KERNEL_SMALL static __attribute__((cold))
#else
#define KERNEL_SMALL static
#endif

#if defined(__GNUC__)
#define KERNEL_INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define KERNEL_SHARED static __attribute__((noinline))
#else
#define KERNEL_SHARED static __attribute__((noinline, noclone))
#endif
#elif defined(_MSC_VER)
#define KERNEL_INLINE static __forceinline
#define KERNEL_SHARED static __declspec(noinline)
#else
#define KERNEL_INLINE static inline
#define KERNEL_SHARED static
#endif

#endif
