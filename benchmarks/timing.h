/* The clock, the bursts and the median of the benchmarks' C programs. */
#ifndef TIMING_H
#define TIMING_H

#include <stdlib.h>
#include <time.h>

static double nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

enum { BURST = 20000 }; /* nanoseconds */

/* How many calls of `each` nanoseconds fill a burst.  An even number: every second step sweeps the weights backwards, and bursts of
 * one would time the same direction always. */
static inline size_t burst_of(double each) { return 2 * ((size_t)(BURST / (2 * (each + 1))) + 1); }

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, ascending);
    return values[count / 2];
}

#endif
