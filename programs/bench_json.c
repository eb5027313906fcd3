/* The report for programs: the keys of `grulet bench --json` (docs/bench.md; runtime/grulet/measuring/schema.py). */
#include "bench.h"

#include <unistd.h>

/* A JSON string.  Bytes that no text in UTF-8 has become question marks: paths and systems may have any. */
static void put_text(FILE *to, const char *text)
{
    fputc('"', to);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        const int more = *c < 0x80 ? 0 : *c < 0xC2 ? -1 : *c < 0xE0 ? 1 : *c < 0xF0 ? 2 : *c < 0xF5 ? 3 : -1;
        int whole = more;
        for (int i = 1; i <= more && whole >= 0; i++) if ((c[i] & 0xC0) != 0x80) whole = -1;
        if (*c == '"' || *c == '\\') fprintf(to, "\\%c", *c);
        else if (*c < ' ') fprintf(to, "\\u%04x", *c);
        else if (whole < 0) fputc('?', to);
        else {
            fprintf(to, "%.*s", whole + 1, (const char *)c);
            c += whole;
        }
    }
    fputc('"', to);
}

static void put_latency_keys(FILE *to, latency l)
{
    fprintf(to, "\"p50\": %.9g, \"p99\": %.9g, \"p999\": %.9g, \"worst\": %.9g, \"steps\": %zu, \"jitter\": %.9g",
            l.p50, l.p99, l.p999, l.worst, l.steps, l.p999 - l.p50);
}

static void put_distribution(FILE *to, times measured)
{
    static uint32_t counts[MOST_BINS];
    size_t first;
    const size_t bins = histogram_of(measured, &first, counts);
    fputc('{', to);
    put_latency_keys(to, latency_of(measured));
    fprintf(to, ", \"histogram\": {\"first\": %zu, \"counts\": [", first);
    for (size_t i = 0; i < bins; i++) fprintf(to, "%s%u", i ? ", " : "", (unsigned)counts[i]);
    fprintf(to, "], \"bins_per_doubling\": %d}}", BINS_PER_DOUBLING);
}

static void put_megahertz(FILE *to, const char *key, double megahertz)
{
    if (megahertz > 0) fprintf(to, "\"%s\": %.9g", key, megahertz);
    else fprintf(to, "\"%s\": null", key);
}

static void put_text_or_null(FILE *to, const char *text)
{
    if (text[0]) put_text(to, text);
    else fputs("null", to);
}

static void put_machine(FILE *to, const bench_machine *m)
{
    fputs(" \"machine\": {\n  \"cpu\": ", to);
    put_text(to, m->cpu);
    fputs(",\n  \"system\": ", to);
    put_text(to, m->system);
    fputs(",\n  \"python\": null,\n  \"numpy\": null,\n  \"grulet\": ", to);
    put_text(to, grulet_version());
    fputs(",\n  \"isa\": ", to);
    put_text(to, grulet_isa_used());
    fputs(",\n  \"program\": \"grulet-bench\",\n  \"release\": ", to);
    put_text(to, m->release);
    fprintf(to, ",\n  \"page_bytes\": %ld,\n  \"pinned_to_cpu\": %d,\n  \"scheduler\": ", sysconf(_SC_PAGESIZE), m->pinned);
    put_text(to, m->scheduler);
    fprintf(to, ",\n  \"memory_locked\": %s,\n  \"refused\": [", m->locked ? "true" : "false");
    for (size_t i = 0; i < m->refusals; i++) {
        if (i) fputs(", ", to);
        put_text(to, m->refused[i]);
    }
    fputs("],\n  \"emulator\": ", to);
    put_text_or_null(to, m->emulator);
    fputs(",\n  \"frequency_mhz\": {", to);
    put_megahertz(to, "before", m->before.megahertz);
    fputs(", ", to);
    put_megahertz(to, "after", m->after.megahertz);
    fputs("},\n  \"governor\": {\"before\": ", to);
    put_text_or_null(to, m->before.governor);
    fputs(", \"after\": ", to);
    put_text_or_null(to, m->after.governor);
    fputs("}\n },\n", to);
}

static void put_operator(FILE *to, const bench *b, size_t index)
{
    const grulet_op *op = &b->model.tables.ops[index];
    const operator_cost *cost = &b->costs[index];
    fputs("  {\"name\": ", to);
    put_text(to, b->model.names[index]);
    fprintf(to, ", \"kind\": \"%s\", \"inputs\": %u, \"units\": %u, \"weights\": \"%s\", "
            "\"activations\": \"%s\", \"function\": \"%s\", \"weight_bytes\": %zu, "
            "\"parameter\": %u,\n   \"microseconds\": {",
            kind_name(op->kind), (unsigned)op->inputs, (unsigned)op->units,
            weights_name(op->weights), activations_name(op->activations), function_name(op->function), operator_bytes(op),
            (unsigned)op->parameter);
    put_latency_keys(to, cost->latency);
    fprintf(to, "}, \"share\": %.9g, \"times_its_read\": ", cost->share);
    if (cost->reads >= 0) fprintf(to, "%.9g}", cost->reads);
    else fputs("null}", to);
}

static void put_paced(FILE *to, const bench *b)
{
    const paced_times *paced = &b->paced;
    const double period = (double)b->options.period;
    const int order[] = {READ, STEP};
    fprintf(to, ",\n \"paced\": {\n  \"period_seconds\": %.9g,\n  \"between_bytes\": %zu,\n  \"touched_bytes\": %.0f,\n"
            "  \"contestants\": {", period / 1e9, b->options.between_bytes, median_of(paced->touched));
    for (size_t i = 0; i < 2; i++) {
        const int who = order[i];
        fprintf(to, "%s\n   \"%s\": {\n    \"compute_microseconds\": ", i ? "," : "", contestant_names[who]);
        put_distribution(to, paced->compute[who]);
        fputs(",\n    \"late_microseconds\": ", to);
        put_distribution(to, paced->late[who]);
        fputs(",\n    \"answer_microseconds\": ", to);
        put_distribution(to, answer_times(paced->late[who], paced->compute[who]));
        fprintf(to, ",\n    \"deadline_misses\": %zu,\n    \"real_time_factor\": %.9g,\n    "
                "\"real_time_factor_hot\": %.9g\n   }",
                misses_of(paced->late[who], paced->compute[who], b->options.period),
                median_of(paced->compute[who]) / period, median_of(b->hot[who]) / period);
    }
    fputs("\n  }\n }", to);
}

void write_json(const bench *b, FILE *to)
{
    const bench_model *model = &b->model;
    fputs("{\n \"model\": ", to);
    put_text(to, model->path);
    fprintf(to, ",\n \"model_crc32\": \"%08x\",\n \"weight_bytes\": %zu,\n", (unsigned)model->tables.header->crc32,
            grulet_weight_bytes(&model->opened));
    put_machine(to, &b->machine);
    fprintf(to, " \"answers\": {\"frames\": %zu, \"inputs_crc32\": \"%08x\", \"outputs_crc32\": \"%08x\"},\n",
            model->frame_count, (unsigned)model->inputs_crc32, (unsigned)model->outputs_crc32);
    fputs(" \"microseconds\": {", to);
    for (int c = 0; c < CONTESTANTS; c++) {
        fprintf(to, "%s\n  \"%s\": ", c ? "," : "", contestant_names[c]);
        put_distribution(to, b->hot[c]);
    }
    fputs("\n },\n \"operators\": [", to);
    for (size_t o = 0; o < b->operators.count; o++) {
        fputs(o ? ",\n" : "\n", to);
        put_operator(to, b, o);
    }
    fprintf(to, "\n ],\n \"rest\": {\"microseconds\": %.9g, \"share\": %.9g}", b->rest,
            1e3 * b->rest / median_of(b->hot[TICK]));
    if (b->options.period) put_paced(to, b);
    fputs("\n}\n", to);
}
