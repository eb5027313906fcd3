/* sigmoid, tanh, exp, log and their kin over the floats: gates [STRIDE | exhaustive].
 *
 * Every STRIDE-th of all 2^32 bit patterns, NaNs included (default 257; `exhaustive` is 1 and takes minutes): error against
 * double, range, order, oddness, and equal bits of every instruction set.  docs/numerics.md quotes the exhaustive run. */
#include "arm/grulet_arm.h"
#include "check.h"
#include "gates.h"
#include "x86/grulet_x86.h"

#include <float.h>
#include <math.h>

/* The first has every function; the others are compared with it.  `usable`: on this CPU. */
static int always(void) { return 1; }
static const struct {
    const gates_table *table;
    const char *name;
    int (*usable)(void);
} TABLES[] = {
    {&gates_plain, "plain", always},
    {&gates_generic, "generic", always},
#ifdef GRULET_FLOATS_AVX2
    {&gates_avx2, "avx2", grulet_x86_has_avx2},
#endif
#ifdef GRULET_FLOATS_AVX512
    {&gates_avx512, "avx512", grulet_x86_has_avx512vnni},
#endif
#ifdef GRULET_FLOATS_NEON
    {&gates_neon, "neon", always},
#endif
#ifdef GRULET_FLOATS_ARMV7
    {&gates_armv7, "armv7", grulet_arm_has_neon},
#endif
#ifdef GRULET_FLOATS_SIMD128
    {&gates_simd128, "simd128", always},
#endif
};

enum { BATCH = 4096 };

/* What is promised of a function: the range of its values; and the largest errors over all floats, rounded up: absolute
 * ones, relative ones of normal values, and ulps (spacings of floats at the exact value), of x in two ranges.  `rises`: it
 * never decreases where x increases. */
typedef struct {
    const char *name;
    double lowest, highest;
    struct { float from, to; } absolute_range, relative_range;
    double absolute, relative, ulps;
    int rises;
} promise;
#define ALL {-INFINITY, INFINITY}
#define POSITIVE {FLT_MIN, FLT_MAX}
static const promise PROMISED[GATES_FUNCTIONS] = {
    [GATES_SIGMOID] = {"sigmoid", 1.6e-38, 1.0, ALL, {-87.0f, INFINITY}, 9.54e-8, 3.90e-6, 64.5, 1},
    [GATES_TANH] = {"tanh", -1.0, 1.0, ALL, ALL, 1.52e-7, 2.71e-7, 3.49, 1},
    [GATES_EXP] = {"exp", 1.6e-38, 2.5e38, {-INFINITY, 0.0f}, {-87.0f, 88.375f}, 7.42e-8, 3.88e-6, 64.1, 1},
    [GATES_FINITE] = {"to_finite", -(double)FLT_MAX, (double)FLT_MAX, ALL, ALL, 0.0, 0.0, 0.0, 1},
    [GATES_LOG] = {"log", -87.4, 88.8, POSITIVE, POSITIVE, 3.88e-6, 1.76e-7, 1.97, 1},
    [GATES_SQRT] = {"sqrt", 0.0, 1.9e19, {-INFINITY, 1.0f}, POSITIVE, 4.48e-8, 8.94e-8, 0.751, 1},
    [GATES_SOFTPLUS] = {"softplus", 0.0, (double)FLT_MAX, {-INFINITY, 1.0f}, {0.0f, FLT_MAX}, 1.59e-7, 1.55e-7, 2.32, 0},
    [GATES_ELU] = {"elu", -1.0, (double)FLT_MAX, {-INFINITY, 1.0f}, {-FLT_MAX, FLT_MAX}, 6.28e-8, 1.81e-7, 2.24, 1},
};

typedef struct { double error; float x; } worst;
static struct { worst absolute, relative, ulps; float lowest, highest, x_before, y_before; } seen[GATES_FUNCTIONS];

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Arithmetic gives quiet NaNs only, and compilers count on it: Clang makes `a < b ? a : b` one instruction on 64-bit ARM,
 * which takes b for a quiet NaN but not for a signaling one. */
static uint32_t quiet(uint32_t bits) { return (bits & 0x7FFFFFFFu) > 0x7F800000u ? bits | 0x00400000u : bits; }

static void keep_worst(worst *w, double error, float x)
{
    if (error <= w->error) return;
    w->error = error;
    w->x = x;
}

/* The distance of neighbouring floats around a double. */
static double spacing(double value)
{
    int exponent;
    frexp(value, &exponent);
    return ldexp(1.0, (exponent < -125 ? -125 : exponent) - 24);
}

static double exact(int function, double x)
{
    switch (function) {
    case GATES_SIGMOID: return 1.0 / (1.0 + exp(-x));
    case GATES_TANH: return tanh(x);
    case GATES_EXP: return exp(x);
    case GATES_LOG: return log(x);
    case GATES_SQRT: return x < 0.0 ? 0.0 : sqrt(x);
    case GATES_SOFTPLUS: return (x > 0.0 ? x : 0.0) + log1p(exp(-fabs(x)));
    default: return x < 0.0 ? expm1(x) : x; /* elu */
    }
}

/* Batches come in the order of the bits: x rises from 0 to infinity, then NaNs, then falls from -0, then NaNs. */
static void check_function(int function, const float *x, const float *y, uint32_t n)
{
    const promise *p = &PROMISED[function];
    for (uint32_t i = 0; i < n; i++) {
        const int negative = bits_of(x[i]) >> 31 != 0;
        if (function > GATES_FINITE && !(fabsf(x[i]) <= FLT_MAX)) continue; /* what reaches the others is finite */
        CHECK((double)y[i] >= p->lowest && (double)y[i] <= p->highest, "%s(%g) is %g", p->name, (double)x[i], (double)y[i]);
        if (y[i] < seen[function].lowest) seen[function].lowest = y[i];
        if (y[i] > seen[function].highest) seen[function].highest = y[i];
        if (isnan(x[i])) {
            CHECK(function == GATES_EXP || y[i] == 1.0f, "%s(NaN) is %g", p->name, (double)y[i]);
            continue;
        }
        if (p->rises && negative == (bits_of(seen[function].x_before) >> 31 != 0))
            CHECK(negative ? y[i] <= seen[function].y_before : y[i] >= seen[function].y_before, "%s falls at %.9g", p->name,
                  (double)x[i]);
        seen[function].x_before = x[i];
        seen[function].y_before = y[i];
        const double expected = exact(function, (double)x[i]), error = fabs((double)y[i] - expected);
        if (x[i] >= p->absolute_range.from && x[i] <= p->absolute_range.to)
            keep_worst(&seen[function].absolute, error, x[i]);
        if (!(x[i] >= p->relative_range.from && x[i] <= p->relative_range.to)) continue;
        if (fabs(expected) >= (double)FLT_MIN) keep_worst(&seen[function].relative, error / fabs(expected), x[i]);
        if (error > 0.0) keep_worst(&seen[function].ulps, error / spacing(expected), x[i]);
    }
}

static void check_to_finite(const float *x, const float *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const float expected = isnan(x[i]) || x[i] > FLT_MAX ? FLT_MAX : x[i] < -FLT_MAX ? -FLT_MAX : x[i];
        CHECK(bits_of(y[i]) == bits_of(expected), "to_finite(%g) is %g", (double)x[i], (double)y[i]);
    }
}

static void check_odd(const float *x, const float *y, uint32_t n)
{
    float negative[BATCH], answer[BATCH];
    for (uint32_t i = 0; i < n; i++) negative[i] = -x[i];
    TABLES[0].table->function[GATES_TANH](answer, negative, n);
    for (uint32_t i = 0; i < n; i++)
        CHECK(isnan(x[i]) || bits_of(answer[i]) == (bits_of(y[i]) ^ 0x80000000u), "tanh(%g) is not -tanh(%g)",
              (double)negative[i], (double)x[i]);
}

static void check_batch(const float *x, uint32_t n)
{
    float expected[BATCH], y[BATCH];
    for (int function = 0; function < GATES_FUNCTIONS; function++) {
        TABLES[0].table->function[function](expected, x, n);
        if (function == GATES_FINITE) check_to_finite(x, expected, n);
        else check_function(function, x, expected, n);
        if (function == GATES_TANH) check_odd(x, expected, n);
        for (size_t t = 1; t < sizeof TABLES / sizeof *TABLES; t++) {
            if (!TABLES[t].usable() || TABLES[t].table->function[function] == NULL) continue;
            TABLES[t].table->function[function](y, x, n);
            if (memcmp(y, expected, n * sizeof *y) == 0) continue;
            for (uint32_t i = 0; i < n; i++)
                CHECK(bits_of(y[i]) == bits_of(expected[i]), "%s(%08lx) on %s is %08lx, not %08lx",
                      PROMISED[function].name, (unsigned long)bits_of(x[i]), TABLES[t].name, (unsigned long)bits_of(y[i]),
                      (unsigned long)bits_of(expected[i]));
        }
    }
}

static void report(int function)
{
    const promise *p = &PROMISED[function];
    const worst *absolute = &seen[function].absolute, *relative = &seen[function].relative, *ulps = &seen[function].ulps;
    printf("%-8s absolute %.4g at %.9g, relative %.4g at %.9g, %.4g ulps at %.9g, values [%.9g, %.9g]\n", p->name,
           absolute->error, (double)absolute->x, relative->error, (double)relative->x, ulps->error, (double)ulps->x,
           (double)seen[function].lowest, (double)seen[function].highest);
    CHECK(absolute->error <= p->absolute, "%s: absolute error", p->name);
    CHECK(relative->error <= p->relative, "%s: relative error", p->name);
    CHECK(ulps->error <= p->ulps, "%s: ulps", p->name);
}

int main(int count, char **arguments)
{
    const int all = count > 1 && strcmp(arguments[1], "exhaustive") == 0;
    const unsigned long stride = all ? 1 : count > 1 ? strtoul(arguments[1], NULL, 10) : 257;
    REQUIRE(stride > 0 && stride < 0xFFFFFFFFul, "usage: gates [STRIDE | exhaustive]");
    float x[BATCH];
    uint32_t n = 0;
    unsigned long long floats = 0;
    for (int function = 0; function < GATES_FUNCTIONS; function++) {
        seen[function].lowest = INFINITY;
        seen[function].highest = seen[function].y_before = -INFINITY;
    }
    for (uint64_t bits = 0; bits <= 0xFFFFFFFFu; bits += stride) {
        const uint32_t pattern = quiet((uint32_t)bits);
        memcpy(&x[n++], &pattern, sizeof pattern);
        if (n == BATCH || bits + stride > 0xFFFFFFFFu) {
            check_batch(x, n);
            floats += n;
            n = 0;
        }
    }
    for (size_t t = 0; t < sizeof TABLES / sizeof *TABLES; t++)
        printf("%s%s", TABLES[t].name, TABLES[t].usable() ? " " : " (SKIPPED: not on this CPU) ");
    printf("over %llu floats\n", floats);
    for (int function = 0; function < GATES_FUNCTIONS; function++)
        if (function != GATES_FINITE) report(function);
    return finish("gates");
}
