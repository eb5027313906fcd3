/* Work to be counted by valgrind: a model's `step`, `many` (streams in one step) or `run` (a block of frames), repeated.
 *
 *     instructions ISA FILE step|many|run WIDTH COUNT
 *
 * WIDTH: streams of `many`, frames of `run`.  The set-up is the same for any COUNT, so that two counts make it drop out. */
#define _POSIX_C_SOURCE 200112L
#include "program.h"

static grulet_status once(const bench *b, const char *work, size_t width, size_t turn)
{
    const float *frames = b->frames + turn % FRAMES * width * b->inputs;
    if (strcmp(work, "step") == 0) return grulet_step(b->streams[0], b->outputs, frames);
    if (strcmp(work, "many") == 0) return grulet_step_many(b->streams, width, b->outputs, frames);
    return grulet_run(b->streams[0], b->outputs, frames, width);
}

int main(int count, char **words)
{
    if (count != 6) fail("instructions", "ISA FILE step|many|run WIDTH COUNT wanted");
    size_t width = (size_t)strtoul(words[4], NULL, 10), turns = (size_t)strtoul(words[5], NULL, 10);
    int many = strcmp(words[3], "many") == 0;
    bench b = bench_of(words[2], words[1], many ? width : 1, many ? 1 : width);
    for (size_t turn = 0; turn < turns; turn++) {
        grulet_status status = once(&b, words[3], width, turn);
        if (status != GRULET_OK) fail(words[3], grulet_status_text(status));
    }
    return 0;
}
