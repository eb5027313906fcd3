/* What is timed, hot and in real time. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

const char *const contestant_names[CONTESTANTS] = {"a call of nothing", "reading the weights",
                                                   "grulet tick (held buffers)", "grulet step"};

/* ---- contestants ---------------------------------------------------------------------------------------------------- */

static volatile uint32_t sum_without_meaning;

static const float *frame_of(const bench *b, size_t step)
{
    return b->model.frames + step % b->model.frame_count * b->model.inputs;
}

static void nothing(bench *b, size_t step) { (void)b, (void)step; }

static void read_weights(bench *b, size_t step)
{
    (void)step;
    sum_without_meaning = grulet_read_weights(&b->model.opened);
}

static void tick(bench *b, size_t step)
{
    (void)step;
    grulet_step(b->model.streams[TICK], b->model.output, b->model.frames);
}

static void step_once(bench *b, size_t step)
{
    grulet_step(b->model.streams[STEP], b->model.output, frame_of(b, step));
}

static void (*const calls[CONTESTANTS])(bench *b, size_t step) = {nothing, read_weights, tick, step_once};

/* A stream steps, so that the operators find a frame to work on and the caches as a stream leaves them; then its operators
 * go one by one.  The call for an operator behind the last costs what a call costs. */
static void step_operators(bench *b, size_t step, int counted)
{
    grulet_stream *stream = b->model.streams[CONTESTANTS];
    operator_times *to = &b->operators;
    grulet_step(stream, b->model.output, b->model.frames);
    for (size_t o = 0; o <= to->count; o++) {
        const int64_t begin = now();
        grulet_step_operator(stream, (uint32_t)o);
        const int64_t taken = now() - begin;
        if (counted) (o < to->count ? to->of[o] : to->empty).of[step] = taken;
    }
}

/* ---- hot ------------------------------------------------------------------------------------------------------------ */

/* Linux stops a thread of SCHED_FIFO that never sleeps for 50 ms of every second: who sleeps a tenth is not stopped. */
static void rest_a_tenth(const bench *b, int64_t round_begun)
{
    if (b->options.priority) sleep_until(now() + (now() - round_begun) / 9);
}

void measure_hot(bench *b)
{
    const size_t steps = b->options.steps;
    /* The first round of each warms up and is not counted. */
    for (size_t start = 0, warm = 1; start < steps; start += warm ? 0 : ROUND, warm = 0) {
        const size_t stop = warm || steps - start > ROUND ? start + ROUND : steps;
        const int64_t begun = now();
        for (int c = 0; c < CONTESTANTS; c++) {
            for (size_t step = start; step < stop; step++) {
                const int64_t begin = now();
                calls[c](b, step);
                const int64_t taken = now() - begin;
                if (!warm) b->hot[c].of[step] = taken;
            }
        }
        for (size_t step = start; step < stop; step++) step_operators(b, step, !warm);
        rest_a_tenth(b, begun);
    }
}

/* ---- in real time --------------------------------------------------------------------------------------------------- */

/* Something else that wants the caches: it changes every line of a buffer, a slice at a time, as far as time allows. */
static size_t other_work(unsigned char *buffer, size_t bytes, size_t *at, int64_t until)
{
    const size_t slice = (size_t)4096 * GRULET_ALIGN;
    size_t touched = 0;
    while (touched < bytes && now() < until) {
        const size_t end = bytes - *at > slice ? *at + slice : bytes;
        for (size_t line = *at; line < end; line += GRULET_ALIGN) buffer[line]++;
        touched += end - *at;
        *at = end < bytes ? end : 0;
    }
    return touched;
}

/* Whose frame is which: STEP's, and before each READ_PART of those one of READ. */
static int turn_of(size_t frame) { return frame % (READ_PART + 1) == 0 ? READ : STEP; }

void measure_paced(bench *b)
{
    const size_t bytes = b->options.between_bytes / GRULET_ALIGN * GRULET_ALIGN;
    unsigned char *buffer = (unsigned char *)memory_of(bytes, 1);
    const int64_t period = b->options.period;
    paced_times *to = &b->paced;
    size_t at = 0, done[CONTESTANTS] = {0};
    int64_t due = now() + period;
    for (size_t i = 0; i < WARM_UP + to->frames; i++) {
        const size_t frame = i < WARM_UP ? i : i - WARM_UP;
        const int who = turn_of(frame);
        const size_t used = other_work(buffer, bytes, &at, due - period / SLEEP_PART);
        while (now() < due) sleep_until(due);
        const int64_t begin = now();
        calls[who](b, frame);
        const int64_t taken = now() - begin;
        if (i >= WARM_UP) {
            to->late[who].of[done[who]] = begin - due;
            to->compute[who].of[done[who]++] = taken;
            to->touched.of[frame] = (int64_t)used;
        }
        due += period;
    }
    free(buffer);
}

/* ---- memory --------------------------------------------------------------------------------------------------------- */

void make_room(bench *b)
{
    const size_t steps = b->options.steps;
    for (int c = 0; c < CONTESTANTS; c++) b->hot[c] = times_of(steps);
    b->operators.count = b->model.tables.header->ops;
    b->operators.of = (times *)memory_of(b->operators.count, sizeof *b->operators.of);
    for (size_t o = 0; o < b->operators.count; o++) b->operators.of[o] = times_of(steps);
    b->operators.empty = times_of(steps);
    if (b->options.period == 0) return;

    size_t paced = (size_t)(b->options.seconds / b->options.period) * READ_PART / (READ_PART + 1);
    if (paced > 100000) paced = 100000;
    if (paced < 1) paced = 1;
    const size_t reads = (paced + READ_PART - 1) / READ_PART;
    b->paced.frames = paced + reads;
    b->paced.touched = times_of(paced + reads);
    b->paced.late[READ] = times_of(reads);
    b->paced.compute[READ] = times_of(reads);
    b->paced.late[STEP] = times_of(paced);
    b->paced.compute[STEP] = times_of(paced);
}
