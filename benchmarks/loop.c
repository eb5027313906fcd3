/* Calls of a step in a burst, for a process that is there already: benchmarks/floors.py times C in it on the very stream, weights
 * and frames that Python's calls have.  (In a process of its own the same step can take 5 % more or less: other addresses.) */
#define _POSIX_C_SOURCE 200112L
#include "timing.h"

/* Like grulet_step, which is 0 for a good frame. */
typedef int (*step_function)(void *stream, float *y, const float *x);

/* Nanoseconds of a step, of `steps` on `count` frames in turn; negative if one was refused. */
double loop(step_function step, void *stream, float *y, const float *const *frames, size_t count, size_t steps)
{
    int refused = 0;
    const double begin = nanoseconds();
    for (size_t i = 0; i < steps; i++) refused |= step(stream, y, frames[i % count]);
    const double time = (nanoseconds() - begin) / (double)steps;
    return refused ? -1.0 : time;
}
