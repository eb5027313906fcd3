/* The report for people: the tables of `grulet bench`. */
#include "bench.h"

#include <string.h>
#include <unistd.h>

#define REST "the call, the frame in, the answer out"

typedef struct { char text[32]; } word;

/* 1,234,567 */
static word commas(uint64_t number)
{
    char digits[24];
    word with;
    size_t to = 0;
    const int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0) with.text[to++] = ',';
        with.text[to++] = digits[i];
    }
    with.text[to] = 0;
    return with;
}

/* 10 ms */
static word duration(double seconds)
{
    word with;
    if (seconds >= 1) snprintf(with.text, sizeof with.text, "%g s", seconds);
    else if (seconds >= 1e-3) snprintf(with.text, sizeof with.text, "%g ms", seconds / 1e-3);
    else snprintf(with.text, sizeof with.text, "%g us", seconds / 1e-6);
    return with;
}

static const char headings[] = "      p50       p99     p99.9     worst    jitter";

static void print_row(latency l)
{
    printf("%9.2f %9.2f %9.2f %9.2f %9.2f", l.p50, l.p99, l.p999, l.worst, l.p999 - l.p50);
}

static void print_head(const bench *b)
{
    const bench_machine *m = &b->machine;
    const bench_model *model = &b->model;
    const grulet_tables *t = &model->tables;
    printf("<grulet.Model %zu -> %zu: ", model->inputs, model->outputs);
    for (uint32_t o = 0; o < t->header->ops; o++)
        printf("%s%s %u", o ? ", " : "", kind_name(t->ops[o].kind), (unsigned)t->ops[o].units);
    printf("; %zu weight bytes>\n", grulet_weight_bytes(&model->opened));
    printf("%s, %s, called from C, kernel %s, one thread, pinned to CPU %d\n", m->cpu, m->system, grulet_isa_used(),
           m->pinned);
    printf("grulet %s, release %s, pages of %s bytes, %s, memory %s\n", grulet_version(), m->release,
           commas((uint64_t)sysconf(_SC_PAGESIZE)).text, m->scheduler, m->locked ? "locked" : "not locked");
    if (m->before.governor[0] == 0 && m->before.megahertz <= 0) {
        printf("governor and frequency unknown\n");
    } else {
        printf("governor %s", m->before.governor);
        if (strcmp(m->before.governor, m->after.governor) != 0) printf(", then %s", m->after.governor);
        if (m->before.megahertz > 0) printf(", %.0f MHz before, %.0f after\n", m->before.megahertz, m->after.megahertz);
        else printf(", frequency unknown\n");
    }
    for (size_t i = 0; i < m->refusals; i++) printf("%s%s", i ? "; " : "refused by the system: ", m->refused[i]);
    if (m->refusals) printf("\n");
    if (m->emulator[0]) printf("UNDER AN EMULATOR (%s): the answers are right, the times mean nothing\n", m->emulator);
    printf("model %08x, answers to %zu frames (%08x): %08x (CRC-32; the same on every machine)\n",
           (unsigned)t->header->crc32, model->frame_count, (unsigned)model->inputs_crc32, (unsigned)model->outputs_crc32);
}

static void print_hot(const bench *b)
{
    const size_t bytes = grulet_weight_bytes(&b->model.opened);
    const double step = median_of(b->hot[STEP]);
    printf("\nHot: microseconds of a frame, weights in the caches, %s steps each, in turn\n", commas(b->options.steps).text);
    printf("(a step reads %s bytes of weights; merely reading them goes at %.1f GB/s)\n", commas(bytes).text,
           (double)bytes / median_of(b->hot[READ]));
    printf("%-28s %s %10s\n", "", headings, "p50 ratio");
    for (int c = 0; c < CONTESTANTS; c++) {
        printf("%-28s ", contestant_names[c]);
        print_row(latency_of(b->hot[c]));
        printf(" %10.2f\n", median_of(b->hot[c]) / step);
    }
}

/* dense + relu */
static word kind_of(const grulet_op *op)
{
    word kind;
    const char *name = kind_name(op->kind), *function = function_name(op->function);
    if (op->kind == GRULET_OP_ACTIVATION) snprintf(kind.text, sizeof kind.text, "%s", function);
    else if (op->function == GRULET_FUNCTION_NONE) snprintf(kind.text, sizeof kind.text, "%s", name);
    else snprintf(kind.text, sizeof kind.text, "%s + %s", name, function);
    return kind;
}

static void print_operators(const bench *b)
{
    printf("\nOperators: microseconds of each, hot, one by one in order, an empty call taken off\n");
    printf("%-24s %-16s %13s  %-14s %10s %9s %6s %10s\n", "", "", "size", "weights x act.", "bytes", "p50", "share",
           "x its read");
    for (size_t o = 0; o < b->operators.count; o++) {
        const grulet_op *op = &b->model.tables.ops[o];
        const operator_cost *cost = &b->costs[o];
        char size[32], formats[32] = "", reads[32] = "";
        snprintf(size, sizeof size, "%u -> %u", (unsigned)op->inputs, (unsigned)op->units);
        if (operator_bytes(op))
            snprintf(formats, sizeof formats, "%s x %s", weights_name(op->weights), activations_name(op->activations));
        if (cost->reads >= 0) snprintf(reads, sizeof reads, "%.2f", cost->reads);
        printf("%-24s %-16s %13s  %-14s %10s %9.2f %5.1f%% %10s\n", b->model.names[o], kind_of(op).text, size, formats,
               commas(operator_bytes(op)).text, cost->latency.p50, 100 * cost->share, reads);
    }
    printf("%-81s %9.2f %5.1f%%\n", REST, b->rest, 1e5 * b->rest / median_of(b->hot[TICK]));
}

static void print_paced(const bench *b)
{
    const paced_times *paced = &b->paced;
    const double period = (double)b->options.period;
    const int order[] = {READ, STEP};
    printf("\nPaced: a frame every %s for %.3g s, something else touches %.1f MB in between; microseconds\n",
           duration(period / 1e9).text, (double)paced->frames * period / 1e9, median_of(paced->touched) / (1 << 20));
    printf("%-28s %-13s %s %10s %8s\n", "", "", headings, "p50 / hot", "steps");
    for (size_t i = 0; i < 2; i++) {
        const int who = order[i];
        const latency compute = latency_of(paced->compute[who]);
        printf("%-28s %-13s ", contestant_names[who], "compute");
        print_row(compute);
        printf(" %10.2f %8s\n", compute.p50 * 1e3 / median_of(b->hot[who]), commas(compute.steps).text);
    }
    printf("%-28s %-13s ", "", "begun late");
    print_row(latency_of(paced->late[STEP]));
    printf("\n%-28s %-13s ", "", "due to answer");
    print_row(latency_of(answer_times(paced->late[STEP], paced->compute[STEP])));
    printf("\n%s: %s of %s deadlines missed; real-time factor %.2g in real time, %.2g hot (p50 / period)\n",
           contestant_names[STEP], commas(misses_of(paced->late[STEP], paced->compute[STEP], b->options.period)).text,
           commas(paced->late[STEP].count).text, median_of(paced->compute[STEP]) / period,
           median_of(b->hot[STEP]) / period);
}

void print_tables(const bench *b)
{
    print_head(b);
    print_hot(b);
    print_operators(b);
    if (b->options.period) print_paced(b);
}
