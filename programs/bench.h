/* grulet-bench: what its parts share.
 *
 * The program measures as `grulet bench` does (runtime/grulet/measuring/), in the same order, with the same words and keys:
 * docs/bench.md describes both, tests/test_board_bench.py holds them together.  Its memory lives as long as it runs. */
#ifndef BENCH_H
#define BENCH_H

#include "grulet_impl.h"

#include <stdio.h>

enum {
    ROUND = 200,                /* steps of one contestant before the next has its turn */
    FRAMES = 64,                /* that a model is measured on, unless the user brings some */
    WARM_UP = 8,                /* frames in real time before the first that is counted */
    SLEEP_PART = 4,             /* of the time to the next frame, this part is left to sleep */
    READ_PART = 7,              /* before each so many steps in real time, one reading of the weights */
    BINS_PER_DOUBLING = 32,     /* of a histogram */
    MOST_BINS = 64 * BINS_PER_DOUBLING,
    MOST_REFUSALS = 2,
    LINE = 256                  /* room for a text from the system */
};

/* Everyone whose steps are timed, in turn. */
enum contestant { NOTHING, READ, TICK, STEP, CONTESTANTS };
extern const char *const contestant_names[CONTESTANTS];

typedef struct {
    const char *model, *isa, *json, *input; /* NULL: not given */
    size_t steps, between_bytes;
    int64_t period, seconds;    /* nanoseconds; period 0: not in real time */
    int cpu;                    /* -1: the last that we may use */
    int priority;               /* of SCHED_FIFO; 0: not asked for */
} bench_options;

/* A file with its streams and frames. */
typedef struct {
    const char *path;
    grulet_model opened;
    grulet_tables tables;
    size_t inputs, outputs, frame_count;
    float *frames;              /* [frame_count][inputs] */
    float *output;              /* [outputs] */
    grulet_stream *streams[CONTESTANTS + 1]; /* of TICK and STEP; the last steps operator by operator */
    char **names;               /* of the operators */
    uint32_t inputs_crc32, outputs_crc32;
} bench_model;

/* Where and how the program runs. */
typedef struct { char governor[LINE]; double megahertz; } cpu_clock; /* "" and 0: the system does not tell */
typedef struct {
    char cpu[LINE], system[LINE], release[LINE], scheduler[LINE], emulator[LINE]; /* emulator "": none is known of */
    char refused[MOST_REFUSALS][LINE];
    size_t refusals;
    int pinned, locked;
    cpu_clock before, after;
} bench_machine;

/* Nanoseconds of calls. */
typedef struct { int64_t *of; size_t count; } times;

/* One operator's times, and those of a call that runs none. */
typedef struct { times *of; size_t count; times empty; } operator_times;

/* Frames in real time: READ and STEP of the arrays are used. */
typedef struct {
    times late[CONTESTANTS], compute[CONTESTANTS], touched;
    size_t frames;
} paced_times;

/* Microseconds. */
typedef struct { double p50, p99, p999, worst; size_t steps; } latency;

/* One operator of a hot step: its share of a tick, and how often its weights could be read meanwhile (below 0: it has none,
 * or too few to measure). */
typedef struct { latency latency; double share, reads; } operator_cost;

typedef struct {
    bench_options options;
    bench_model model;
    bench_machine machine;
    times hot[CONTESTANTS];
    operator_times operators;
    operator_cost *costs;
    double rest;                /* what the operators leave of a tick, microseconds */
    paced_times paced;
} bench;

/* bench_options.c */
bench_options options_of(int count, char **arguments);
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn)); /* one line, exit status 2 */
void *memory_of(size_t count, size_t bytes); /* zeroed, on a 64-byte boundary; fails where there is none */

/* bench_model.c */
void open_model(bench_model *model, const bench_options *options);
void answer_frames(bench_model *model); /* from the initial state on; sets the checksums */
const char *kind_name(uint32_t kind);
const char *weights_name(uint32_t weights);
const char *activations_name(uint32_t activations);
const char *function_name(uint32_t function);
size_t operator_bytes(const grulet_op *op); /* that a step reads of its weights */

/* bench_machine.c */
void pin(bench_machine *machine, int cpu);
void lock_memory(bench_machine *machine);
void use_fifo(bench_machine *machine, int priority);
void look_around(bench_machine *machine); /* after the three above */
cpu_clock clock_of(int cpu);

/* bench_contestants.c */
void make_room(bench *b); /* for all times: nothing is allocated while measuring */
void measure_hot(bench *b);
void measure_paced(bench *b);

/* bench_times.c */
int64_t now(void);
void sleep_until(int64_t due);
times times_of(size_t count);
latency latency_of(times measured);
latency latency_without(times measured, double nanoseconds); /* each less so much, but not below 0 */
double median_of(times measured); /* nanoseconds */
times answer_times(times late, times compute);
size_t misses_of(times late, times compute, int64_t period);
/* Counts of the bins from *first on; returns how many.  `counts` has room for MOST_BINS. */
size_t histogram_of(times measured, size_t *first, uint32_t *counts);

void count_costs(bench *b); /* costs and rest, from the times */

/* bench_tables.c, bench_json.c */
void print_tables(const bench *b);
void write_json(const bench *b, FILE *to);

#endif
