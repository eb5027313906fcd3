/* What this CPU can do at most, on one thread: the clock, reading memory that is hot in the caches, int8 dot products, and
 * float32 multiplication and addition, not fused, as docs/numerics.md wants them.  Compiled for the CPU that runs it.
 *
 *     limits ROUNDS BYTES...
 *
 * prints one fact a line: `clock GHZ`, `int8 GIGA_MULTIPLY_ADDS NAME`, `f32 GIGA_MULTIPLY_ADDS NAME`, `read BYTES NANOSECONDS`,
 * `turns BYTES NANOSECONDS`: reading forwards and backwards in turn, which finds the end in a cache that cannot hold all. */
#define _POSIX_C_SOURCE 200112L
#include "timing.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

/* The widest registers. */
#if defined(__AVX512F__)
#define REGISTER_BYTES 64
#define REGISTER_NAME "AVX-512"
#elif defined(__AVX__)
#define REGISTER_BYTES 32
#define REGISTER_NAME "AVX"
#elif defined(__SSE2__)
#define REGISTER_BYTES 16
#define REGISTER_NAME "SSE2"
#elif defined(__ARM_NEON)
#define REGISTER_BYTES 16
#define REGISTER_NAME "NEON"
#else
#define REGISTER_BYTES 16
#define REGISTER_NAME "plain C"
#endif
typedef uint32_t words __attribute__((vector_size(REGISTER_BYTES)));
typedef float floats __attribute__((vector_size(REGISTER_BYTES)));

/* The compiler must take `v` for changed: neither computed before the loop nor left out. */
#if defined(__x86_64__)
#define TOUCH(v) __asm__ volatile("" : "+x"(v))
#elif defined(__aarch64__)
#define TOUCH(v) __asm__ volatile("" : "+w"(v))
#else
#define TOUCH(v) __asm__ volatile("" : "+m"(v))
#endif
#if defined(__AVX512F__)
#undef TOUCH
#define TOUCH(v) __asm__ volatile("" : "+v"(v))
#endif

enum { ROUNDS = 2001, TURNS = 4000 };
static volatile uint32_t sink;
static size_t rounds;

/* Sums that do not wait for each other, enough to hide what one instruction takes.  Not an array: that would live in
 * memory. */
enum { SUMS = 12 };
#define EACH_SUM(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)

/* ---- the clock ---------------------------------------------------------------------------------------------------- */

/* Additions of registers that wait for each other: one a cycle. */
static double clock_gigahertz(void)
{
    double times[ROUNDS];
    for (size_t round = 0; round < rounds; round++) {
        uint64_t sum = round, more = 3;
        double begin = nanoseconds();
        for (int turn = 0; turn < TURNS; turn++) {
            for (int i = 0; i < 16; i++) {
                __asm__ volatile("" : "+r"(more));
                sum += more;
                __asm__ volatile("" : "+r"(sum));
            }
        }
        times[round] = nanoseconds() - begin;
        sink += (uint32_t)sum;
    }
    return TURNS * 16 / median(times, rounds);
}

/* ---- int8 dot products -------------------------------------------------------------------------------------------- */

#if defined(__AVX512VNNI__) && defined(__AVX512F__)
#define DOT_NAME "AVX-512 VNNI"
typedef __m512i dots;
#define DOT(sum, a, b) _mm512_dpbusd_epi32(sum, a, b)
#elif defined(__AVXVNNI__)
#define DOT_NAME "AVX-VNNI"
typedef __m256i dots;
#define DOT(sum, a, b) _mm256_dpbusd_avx_epi32(sum, a, b)
#elif defined(__AVX2__)
#define DOT_NAME "AVX2"
typedef __m256i dots;
#define DOT(sum, a, b) _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1)))
#elif defined(__ARM_FEATURE_DOTPROD)
#define DOT_NAME "NEON dot product"
typedef int32x4_t dots;
#define DOT(sum, a, b) vdotq_s32(sum, vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b))
#elif defined(__aarch64__) && defined(__ARM_NEON)
#define DOT_NAME "NEON"
typedef int32x4_t dots;
static inline int32x4_t neon_dot(int32x4_t sum, int32x4_t a, int32x4_t b)
{
    int8x16_t x = vreinterpretq_s8_s32(a), w = vreinterpretq_s8_s32(b);
    sum = vpadalq_s16(sum, vmull_s8(vget_low_s8(x), vget_low_s8(w)));
    return vpadalq_s16(sum, vmull_high_s8(x, w));
}
#define DOT(sum, a, b) neon_dot(sum, a, b)
#endif

#ifdef DOT
#define START(i) dots sum##i = b;
#define ADD_PRODUCTS(i) TOUCH(a); sum##i = DOT(sum##i, a, b);
#define KEEP(i) TOUCH(sum##i);
static double multiply_adds_int8(void)
{
    double times[ROUNDS];
    dots ones, twos;
    memset(&ones, 1, sizeof ones);
    memset(&twos, 2, sizeof twos);
    dots a = ones, b = twos; /* in registers: what has an address would be stored in every turn */
    EACH_SUM(START)
    for (size_t round = 0; round < rounds; round++) {
        double begin = nanoseconds();
        for (int turn = 0; turn < TURNS; turn++) {
            EACH_SUM(ADD_PRODUCTS)
        }
        times[round] = nanoseconds() - begin;
    }
    EACH_SUM(KEEP)
    return (double)TURNS * SUMS * sizeof a / median(times, rounds);
}
#else
#define DOT_NAME "plain C"
static double multiply_adds_int8(void)
{
    enum { COUNT = 4096 };
    static int8_t a[COUNT], b[COUNT];
    double times[ROUNDS];
    for (size_t round = 0; round < rounds; round++) {
        int32_t sum = 0;
        double begin = nanoseconds();
        for (int turn = 0; turn < TURNS / 100; turn++) {
            __asm__ volatile("" : : "r"(a), "r"(b) : "memory"); /* both may have changed */
            for (int i = 0; i < COUNT; i++) sum += a[i] * b[i];
        }
        times[round] = nanoseconds() - begin;
        sink += (uint32_t)sum;
    }
    return (double)COUNT * (TURNS / 100) / median(times, rounds);
}
#endif

/* ---- float32 ------------------------------------------------------------------------------------------------------ */

#define START_F32(i) floats sum##i = half;
#define MULTIPLY(i) sum##i = sum##i * half; TOUCH(sum##i); /* so that no compiler fuses the two */
#define ADD(i) sum##i = sum##i + half;
#define KEEP_F32(i) TOUCH(sum##i);
static double multiply_adds_f32(void)
{
    double times[ROUNDS];
    floats half = {0};
    half += 0.5f;
    EACH_SUM(START_F32)
    for (size_t round = 0; round < rounds; round++) {
        double begin = nanoseconds();
        for (int turn = 0; turn < TURNS; turn++) {
            EACH_SUM(MULTIPLY)
            EACH_SUM(ADD)
        }
        times[round] = nanoseconds() - begin;
    }
    EACH_SUM(KEEP_F32)
    return (double)TURNS * SUMS * (sizeof half / sizeof(float)) / median(times, rounds);
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

/* One stream from front to back. */
static words read_forward(const words *p, size_t count)
{
    words a = {0}, b = {0}, c = {0}, d = {0};
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        a ^= p[i] ^ p[i + 4];
        b ^= p[i + 1] ^ p[i + 5];
        c ^= p[i + 2] ^ p[i + 6];
        d ^= p[i + 3] ^ p[i + 7];
    }
    for (; i < count; i++) a ^= p[i];
    return a ^ b ^ c ^ d;
}

/* Four streams, a quarter each: some memories feed these faster. */
static words read_quarters(const words *p, size_t count)
{
    words a = {0}, b = {0}, c = {0}, d = {0};
    size_t quarter = count / 4;
    for (size_t i = 0; i < quarter; i++) {
        a ^= p[i];
        b ^= p[quarter + i];
        c ^= p[2 * quarter + i];
        d ^= p[3 * quarter + i];
    }
    for (size_t i = 4 * quarter; i < count; i++) a ^= p[i];
    return a ^ b ^ c ^ d;
}

/* Pages in order or, every second time, from the last to the first, each forwards. */
static words read_in_turns(const words *p, size_t count)
{
    enum { PAGE = 4096 / sizeof(words) };
    static int backwards;
    const size_t pages = count / PAGE;
    words sum = read_forward(p + pages * PAGE, count % PAGE);
    for (size_t i = 0; i < pages; i++) sum ^= read_forward(p + (backwards ? pages - 1 - i : i) * PAGE, PAGE);
    backwards ^= 1;
    return sum;
}

typedef words (*reader)(const words *p, size_t count);

static double burst_of_reads(reader read, const words *p, size_t count, size_t times)
{
    words sum = read(p, count); /* warms the caches */
    double begin = nanoseconds();
    for (size_t i = 0; i < times; i++) {
        __asm__ volatile("" : : : "memory"); /* every pass reads again */
        sum ^= read(p, count);
    }
    double taken = (nanoseconds() - begin) / (double)times;
    sink += sum[0];
    return taken;
}

/* Prints how long reading `bytes` takes: the faster way, and in turns. */
static void print_reading(size_t bytes)
{
    static const reader READERS[] = {read_forward, read_quarters, read_in_turns};
    enum { WAYS = sizeof READERS / sizeof *READERS };
    double times[WAYS][ROUNDS];
    size_t count = bytes / sizeof(words);
    void *memory;
    if (posix_memalign(&memory, 4096, bytes) != 0) {
        fprintf(stderr, "limits: no memory\n");
        exit(1);
    }
    memset(memory, 1, bytes);
    size_t burst = burst_of(burst_of_reads(read_forward, memory, count, 20));
    for (size_t round = 0; round < rounds; round++)
        for (int way = 0; way < WAYS; way++) times[way][round] = burst_of_reads(READERS[way], memory, count, burst);
    double forward = median(times[0], rounds), quarters = median(times[1], rounds);
    free(memory);
    printf("read %zu %.3f\n", bytes, forward < quarters ? forward : quarters);
    printf("turns %zu %.3f\n", bytes, median(times[2], rounds));
}

int main(int count, char **arguments)
{
    if (count < 2) {
        fprintf(stderr, "limits: ROUNDS BYTES... wanted\n");
        return 1;
    }
    rounds = (size_t)strtoul(arguments[1], NULL, 10);
    if (rounds < 1 || rounds > ROUNDS) {
        fprintf(stderr, "limits: not a number of rounds: %s\n", arguments[1]);
        return 1;
    }
    printf("clock %.3f\n", clock_gigahertz());
    printf("int8 %.2f %s\n", multiply_adds_int8(), DOT_NAME);
    printf("f32 %.2f %s\n", multiply_adds_f32(), REGISTER_NAME);
    for (int i = 2; i < count; i++) print_reading((size_t)strtoul(arguments[i], NULL, 10));
    return 0;
}
