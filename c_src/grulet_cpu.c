/* Which kernels this library has, and which of them this machine runs.  Compiled without ISA flags. */
#include "arm/grulet_arm.h"
#include "grulet_kernel.h"
#include "x86/grulet_x86.h"

#include <string.h>

static int on_any_cpu(void) { return 1; }

/* Best first; adding an ISA is one line here, one or two in grulet_kernel.h, one or two in CMakeLists.txt. */
static const grulet_kernel KERNELS[] = {
#ifdef GRULET_HAVE_AVX512VNNI
    {"avx512vnni", grulet_x86_has_avx512vnni, &grulet_floats_avx512, &grulet_products_avx512vnni},
#endif
#ifdef GRULET_HAVE_AVXVNNI
    {"avxvnni", grulet_x86_has_avxvnni, &grulet_floats_avx2, &grulet_products_avxvnni},
#endif
#ifdef GRULET_HAVE_AVX2
    {"avx2", grulet_x86_has_avx2, &grulet_floats_avx2, &grulet_products_avx2},
#endif
#ifdef GRULET_HAVE_I8MM
    {"i8mm", grulet_arm_has_i8mm, &grulet_floats_neon, &grulet_products_i8mm},
#endif
#ifdef GRULET_HAVE_DOTPROD
    {"dotprod", grulet_arm_has_dotprod, &grulet_floats_neon, &grulet_products_dotprod},
#endif
#ifdef GRULET_HAVE_NEON
    {"neon", grulet_arm_has_neon, &grulet_floats_neon, &grulet_products_neon},
#endif
#ifdef GRULET_HAVE_ARMV7NEON
    {"armv7neon", grulet_arm_has_neon, &grulet_floats_armv7, &grulet_products_armv7neon},
#endif
#ifdef GRULET_HAVE_HELIUM /* this and the next: the compiler was told so */
    {"helium", on_any_cpu, &grulet_floats_generic, &grulet_products_helium},
#endif
#ifdef GRULET_HAVE_DSP
    {"dsp", on_any_cpu, &grulet_floats_generic, &grulet_products_dsp},
#endif
#ifdef GRULET_HAVE_SIMD128 /* a module cannot ask: an engine without vectors refuses to load it */
    {"simd128", on_any_cpu, &grulet_floats_simd128, &grulet_products_simd128},
#endif
    {"generic", on_any_cpu, &grulet_floats_generic, &grulet_products_generic},
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
        if (KERNELS[k].usable() && i-- == 0) return &KERNELS[k];
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
