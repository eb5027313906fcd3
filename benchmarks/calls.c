/* The C call alone: a step of a model, and merely reading its weights, in turn.
 *
 *     calls ISA READING_ISA ROUNDS FILE...
 *
 * prints for every file one line: nanoseconds of a step, nanoseconds of reading, the ratio, each the median of the rounds.
 * A round is a burst of steps and a burst of reads, each short, so that what disturbs the machine meets both.  The floor is
 * the same for all kernels if the best one, READING_ISA, reads.  A model that wants tokens gets small whole numbers. */
#define _POSIX_C_SOURCE 200112L
#include "program.h"
#include "timing.h"

enum { MOST_ROUNDS = 2001 };
static const double WHOLE = 200e6; /* nanoseconds for a file; what is slow gets fewer rounds */

static volatile uint32_t sink;
static const char *isa, *reading_isa;

/* `count` calls after one that is not timed: the burst before may have emptied the caches. */
static double steps(const bench *b, size_t count)
{
    double begin = 0;
    (void)grulet_isa_use(isa);
    for (size_t i = 0; i <= count; i++) {
        if (i == 1) begin = nanoseconds();
        if (grulet_step(b->streams[0], b->outputs, b->frames + i % FRAMES * b->inputs) != GRULET_OK) fail("step", "refused");
    }
    return (nanoseconds() - begin) / (double)count;
}

static double reads(const bench *b, size_t count)
{
    double begin = 0;
    (void)grulet_isa_use(reading_isa);
    for (size_t i = 0; i <= count; i++) {
        if (i == 1) begin = nanoseconds();
        sink += grulet_read_weights(&b->model);
    }
    return (nanoseconds() - begin) / (double)count;
}

/* Whoever refuses fractions wants tokens: 0 to 7 in turn instead. */
static void frames_for_tokens(bench *b)
{
    if (grulet_step(b->streams[0], b->outputs, b->frames) != GRULET_BAD_FRAME) return;
    for (size_t i = 0; i < FRAMES * b->inputs; i++) b->frames[i] = (float)(i % FRAMES);
}

static void measure(const char *path, size_t rounds)
{
    static double step[MOST_ROUNDS], read[MOST_ROUNDS], ratio[MOST_ROUNDS];
    bench b = bench_of(path, isa, 1, 1);
    frames_for_tokens(&b);
    double one_step = steps(&b, 20), one_read = reads(&b, 20);
    size_t step_burst = burst_of(one_step), read_burst = burst_of(one_read);
    double round = one_step * (double)step_burst + one_read * (double)read_burst;
    if (rounds * round > WHOLE) rounds = (size_t)(WHOLE / round) | 1;
    for (size_t i = 0; i < rounds; i++) {
        step[i] = steps(&b, step_burst);
        read[i] = reads(&b, read_burst);
        ratio[i] = step[i] / read[i];
    }
    printf("%.2f %.2f %.4f\n", median(step, rounds), median(read, rounds), median(ratio, rounds));
}

int main(int count, char **words)
{
    if (count < 5) fail("calls", "ISA READING_ISA ROUNDS FILE... wanted");
    size_t rounds = (size_t)strtoul(words[3], NULL, 10);
    if (rounds < 1 || rounds > MOST_ROUNDS) fail(words[3], "not a number of rounds");
    isa = words[1];
    reading_isa = words[2];
    if (grulet_isa_use(reading_isa) != GRULET_OK) fail(reading_isa, "not an instruction set of this machine");
    for (int i = 4; i < count; i++) measure(words[i], rounds);
    return 0;
}
