/* Steps of a model, to be counted by count_instructions.c between marks, which are calls of getpriority().
 *
 *     step ISA FILE COUNT     marks, COUNT steps, a mark, 2 COUNT steps, a mark */
#define _DEFAULT_SOURCE
#include "program.h"

#include <sys/resource.h>

static void steps(const bench *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        grulet_status status = grulet_step(b->streams[0], b->outputs, b->frames + i % FRAMES * b->inputs);
        if (status != GRULET_OK) fail("step", grulet_status_text(status));
    }
    getpriority(PRIO_PROCESS, 0);
}

int main(int argc, char **words)
{
    if (argc != 4) fail("step", "ISA FILE COUNT wanted");
    size_t count = (size_t)strtoul(words[3], NULL, 10);
    bench b = bench_of(words[2], words[1], 1, 1);
    steps(&b, count);
    steps(&b, count);
    steps(&b, 2 * count);
    return 0;
}
