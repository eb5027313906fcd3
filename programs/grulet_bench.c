/* grulet-bench: the latency of a model on a board; the report of `grulet bench` without Python (docs/boards.md). */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The whole file or none: written beside its place, then moved there. */
static void save_json(const bench *b, const char *path)
{
    const size_t room = strlen(path) + sizeof ".part";
    char *part = (char *)memory_of(room, 1);
    snprintf(part, room, "%s.part", path);
    FILE *file = fopen(part, "w");
    if (file == NULL) fail("%s: cannot be written: %s", path, strerror(errno));
    write_json(b, file);
    const int wrong = ferror(file) | fclose(file);
    if (wrong || rename(part, path) != 0) {
        const char *reason = strerror(errno);
        unlink(part);
        fail("%s: cannot be written: %s", path, reason);
    }
    free(part);
}

int main(int count, char **arguments)
{
    bench b;
    memset(&b, 0, sizeof b);
    b.options = options_of(count, arguments);
    open_model(&b.model, &b.options);
    answer_frames(&b.model);
    make_room(&b);
    pin(&b.machine, b.options.cpu);
    lock_memory(&b.machine);
    if (b.options.priority) use_fifo(&b.machine, b.options.priority);
    look_around(&b.machine);

    b.machine.before = clock_of(b.machine.pinned);
    measure_hot(&b);
    if (b.options.period) measure_paced(&b);
    b.machine.after = clock_of(b.machine.pinned);
    count_costs(&b);

    const int to_output = b.options.json != NULL && strcmp(b.options.json, "-") == 0;
    if (to_output) write_json(&b, stdout);
    else print_tables(&b);
    if (fflush(stdout) != 0) fail("the output cannot be written: %s", strerror(errno));
    if (b.options.json != NULL && !to_output) save_json(&b, b.options.json);
    return 0;
}
