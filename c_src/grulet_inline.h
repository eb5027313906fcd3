/* KERNEL_INLINE: small functions whose constant arguments must be seen by the compiler (mode, sets, width). */
#ifndef GRULET_INLINE_H
#define GRULET_INLINE_H

#if defined(__GNUC__)
#define KERNEL_INLINE static inline __attribute__((always_inline))
#elif defined(_MSC_VER)
#define KERNEL_INLINE static __forceinline
#else
#define KERNEL_INLINE static inline
#endif

#endif
