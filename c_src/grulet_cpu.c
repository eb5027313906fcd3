/* Which kernels this library has, and which of them this machine runs.  Compiled without ISA flags. */
#include "grulet_impl.h"

#include <string.h>

/* Best first; adding an ISA is one line here, one in grulet_impl.h, one in CMakeLists.txt. */
static const grulet_kernel *const KERNELS[] = {
#ifdef GRULET_HAVE_AVX512VNNI
    &grulet_kernel_avx512vnni,
#endif
#ifdef GRULET_HAVE_AVXVNNI
    &grulet_kernel_avxvnni,
#endif
#ifdef GRULET_HAVE_AVX2
    &grulet_kernel_avx2,
#endif
#ifdef GRULET_HAVE_DOTPROD
    &grulet_kernel_dotprod,
#endif
#ifdef GRULET_HAVE_NEON
    &grulet_kernel_neon,
#endif
#ifdef GRULET_HAVE_ARMV7NEON
    &grulet_kernel_armv7neon,
#endif
#ifdef GRULET_HAVE_SIMD128
    &grulet_kernel_simd128,
#endif
    &grulet_kernel_generic,
};

/* The one global.  Threads may race to fill it: all write the same pointer. */
static const grulet_kernel *chosen;

#if defined(__GNUC__)
#define LOAD_CHOSEN() __atomic_load_n(&chosen, __ATOMIC_RELAXED)
#define STORE_CHOSEN(kernel) __atomic_store_n(&chosen, (kernel), __ATOMIC_RELAXED)
#else
#define LOAD_CHOSEN() (*(const grulet_kernel *volatile *)&chosen)
#define STORE_CHOSEN(kernel) (*(const grulet_kernel *volatile *)&chosen = (kernel))
#endif

static const grulet_kernel *usable_kernel(size_t i)
{
    for (size_t k = 0; k < sizeof KERNELS / sizeof *KERNELS; k++)
        if (KERNELS[k]->usable() && i-- == 0) return KERNELS[k];
    return NULL;
}

const grulet_kernel *grulet_kernel_used(void)
{
    const grulet_kernel *kernel = LOAD_CHOSEN();
    if (kernel == NULL) {
        kernel = usable_kernel(0);
        STORE_CHOSEN(kernel);
    }
    return kernel;
}

const char *grulet_isa_name(size_t i)
{
    const grulet_kernel *kernel = usable_kernel(i);
    return kernel ? kernel->name : NULL;
}

const char *grulet_isa_used(void) { return grulet_kernel_used()->name; }

grulet_status grulet_isa_use(const char *name)
{
    const grulet_kernel *kernel;
    for (size_t i = 0; (kernel = usable_kernel(i)) != NULL; i++) {
        const char *a = kernel->name, *b = name;
        while (*a && *a == *b) a++, b++;
        if (*a == *b) {
            STORE_CHOSEN(kernel);
            return GRULET_OK;
        }
    }
    return GRULET_UNKNOWN_ISA;
}
