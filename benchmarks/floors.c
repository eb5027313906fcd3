/* What a step cannot go below, beside the step itself: one GRU layer's call, the reading of its weights, and the chains of
 * benchmarks/chains.c, in turn, so that what disturbs the machine meets all of them.
 *
 *     floors ISA ROUNDS FORMAT:FILE...
 *
 * prints for every file one line of nanoseconds, each the median of the rounds: a step, reading, the chain from state to
 * state, the chain from frame to answer, the gates of 16 units.  FORMAT as in chains.h. */
#define _POSIX_C_SOURCE 200112L
#include "chains.h"
#include "program.h"
#include "timing.h"

enum { MOST_ROUNDS = 2001 };
static const double WHOLE = 400e6; /* nanoseconds for a file; what is slow gets fewer rounds */
static volatile uint32_t sink;

/* `count` calls after one that is not timed: the burst before may have emptied the caches. */
static double steps(const bench *b, size_t count)
{
    double begin = 0;
    for (size_t i = 0; i <= count; i++) {
        if (i == 1) begin = nanoseconds();
        if (grulet_step(b->streams[0], b->outputs, b->frames + i % FRAMES * b->inputs) != GRULET_OK) fail("step", "refused");
    }
    return (nanoseconds() - begin) / (double)count;
}

static double reads(const bench *b, size_t count)
{
    double begin = 0;
    for (size_t i = 0; i <= count; i++) {
        if (i == 1) begin = nanoseconds();
        sink += grulet_read_weights(&b->model);
    }
    return (nanoseconds() - begin) / (double)count;
}

static void measure(const char *isa, size_t rounds, int format, const char *path)
{
    static chain *const CHAINS[] = {state_chain, frame_chain, gates_alone};
    enum { CHAIN_KINDS = sizeof CHAINS / sizeof *CHAINS };
    static double step[MOST_ROUNDS], read[MOST_ROUNDS], times[CHAIN_KINDS][MOST_ROUNDS];
    const bench b = bench_of(path, isa, 1, 1);
    const double one_step = steps(&b, 20), one_read = reads(&b, 20);
    const size_t step_burst = burst_of(one_step), read_burst = burst_of(one_read);
    const double round = one_step * (double)step_burst + one_read * (double)read_burst + CHAIN_KINDS * BURST;
    if ((double)rounds * round > WHOLE) rounds = (size_t)(WHOLE / round) | 1;
    for (size_t i = 0; i < rounds; i++) {
        step[i] = steps(&b, step_burst);
        read[i] = reads(&b, read_burst);
        for (int kind = 0; kind < CHAIN_KINDS; kind++) times[kind][i] = CHAINS[kind](format, burst_of(100));
    }
    printf("%.2f %.2f", median(step, rounds), median(read, rounds));
    for (int kind = 0; kind < CHAIN_KINDS; kind++) printf(" %.2f", median(times[kind], rounds));
    printf("\n");
}

int main(int count, char **words)
{
    if (count < 4) fail("floors", "ISA ROUNDS FORMAT:FILE... wanted");
    const size_t rounds = (size_t)strtoul(words[2], NULL, 10);
    if (rounds < 1 || rounds > MOST_ROUNDS) fail(words[2], "not a number of rounds");
    for (int i = 3; i < count; i++) {
        char *colon;
        const long format = strtol(words[i], &colon, 10);
        if (*colon != ':' || format < 0 || format > 2) fail(words[i], "FORMAT:FILE wanted");
        measure(words[1], rounds, (int)format, colon + 1);
    }
    return 0;
}
