/* The clock, and what is made of times. */
#include "bench.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const int64_t SECOND = 1000000000;

int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * SECOND + time.tv_nsec;
}

void sleep_until(int64_t due)
{
    struct timespec time;
    time.tv_sec = (time_t)(due / SECOND);
    time.tv_nsec = (long)(due % SECOND);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR) continue;
}

times times_of(size_t count)
{
    times t;
    t.of = (int64_t *)memory_of(count, sizeof *t.of);
    t.count = count;
    return t;
}

static int ascending(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static times sorted(times measured)
{
    times copy = times_of(measured.count);
    memcpy(copy.of, measured.of, measured.count * sizeof *copy.of);
    qsort(copy.of, copy.count, sizeof *copy.of, ascending);
    return copy;
}

/* Between the two nearest times, as numpy.percentile does it. */
static double quantile(times ascended, double part)
{
    const double place = part * (double)(ascended.count - 1);
    const size_t below = (size_t)place, above = below + 1 < ascended.count ? below + 1 : below;
    const double low = (double)ascended.of[below], high = (double)ascended.of[above];
    return low + (high - low) * (place - (double)below);
}

double median_of(times measured)
{
    times ascended = sorted(measured);
    const double median = quantile(ascended, 0.5);
    free(ascended.of);
    return median;
}

latency latency_of(times measured)
{
    times ascended = sorted(measured);
    latency found;
    found.p50 = quantile(ascended, 0.5) / 1e3;
    found.p99 = quantile(ascended, 0.99) / 1e3;
    found.p999 = quantile(ascended, 0.999) / 1e3;
    found.worst = (double)ascended.of[ascended.count - 1] / 1e3;
    found.steps = measured.count;
    free(ascended.of);
    return found;
}

latency latency_without(times measured, double nanoseconds)
{
    times less = times_of(measured.count);
    const int64_t off = (int64_t)rint(nanoseconds);
    for (size_t i = 0; i < less.count; i++) less.of[i] = measured.of[i] > off ? measured.of[i] - off : 0;
    const latency found = latency_of(less);
    free(less.of);
    return found;
}

times answer_times(times late, times compute)
{
    times answers = times_of(late.count);
    for (size_t i = 0; i < late.count; i++) answers.of[i] = late.of[i] + compute.of[i];
    return answers;
}

size_t misses_of(times late, times compute, int64_t period)
{
    size_t misses = 0;
    for (size_t i = 0; i < late.count; i++) misses += late.of[i] + compute.of[i] > period;
    return misses;
}

static size_t bin_of(int64_t nanoseconds)
{
    return (size_t)floor(BINS_PER_DOUBLING * log2(nanoseconds > 1 ? (double)nanoseconds : 1.0));
}

size_t histogram_of(times measured, size_t *first, uint32_t *counts)
{
    times ascended = sorted(measured);
    *first = bin_of(ascended.of[0]);
    const size_t bins = bin_of(ascended.of[ascended.count - 1]) - *first + 1;
    memset(counts, 0, bins * sizeof *counts);
    for (size_t i = 0; i < ascended.count; i++) counts[bin_of(ascended.of[i]) - *first]++;
    free(ascended.of);
    return bins;
}

void count_costs(bench *b)
{
    const grulet_op *ops = b->model.tables.ops;
    const size_t count = b->operators.count;
    const double tick = median_of(b->hot[TICK]), read = median_of(b->hot[READ]), empty = median_of(b->operators.empty);
    double all = 0;
    for (size_t o = 0; o < count; o++) all += (double)operator_bytes(&ops[o]);
    const double read_of_byte = (read > empty ? read - empty : 0) / (all > 1 ? all : 1);
    b->costs = (operator_cost *)memory_of(count, sizeof *b->costs);
    b->rest = tick / 1e3;
    for (size_t o = 0; o < count; o++) {
        operator_cost *cost = &b->costs[o];
        const double read_cost = read_of_byte * (double)operator_bytes(&ops[o]) / 1e3;
        cost->latency = latency_without(b->operators.of[o], empty);
        cost->share = 1e3 * cost->latency.p50 / tick;
        cost->reads = read_cost > 0 ? cost->latency.p50 / read_cost : -1;
        b->rest -= cost->latency.p50;
    }
}
