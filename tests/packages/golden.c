/* golden MODEL INPUT OUTPUT: step through a golden vector and compare the bits; what a program in C needs, and no more. */
#include <grulet.h>

#include <stdio.h>
#include <string.h>

static _Alignas(64) unsigned char file[1 << 18], memory[1 << 18];
static float x[1 << 14], expected[1 << 14], y[1 << 14];

static size_t read_file(const char *path, void *to, size_t bytes)
{
    FILE *opened = fopen(path, "rb");
    const size_t got = opened ? fread(to, 1, bytes, opened) : 0;
    if (opened) fclose(opened);
    return got;
}

int main(int count, char **arguments)
{
    grulet_model model;
    grulet_stream *stream;
    if (count != 4 || strcmp(grulet_version(), GRULET_VERSION) != 0) return 2;
    grulet_status status = grulet_model_open(&model, file, read_file(arguments[1], file, sizeof file));
    if (status == GRULET_OK) status = grulet_stream_init(&stream, memory, sizeof memory, &model, 1);
    if (status != GRULET_OK) return printf("%s\n", grulet_status_text(status)), 2;

    const size_t in = grulet_input_width(&model), out = grulet_output_width(&model);
    const size_t frames = read_file(arguments[2], x, sizeof x) / sizeof *x / in;
    if (frames == 0 || read_file(arguments[3], expected, sizeof expected) != frames * out * sizeof *y) return 2;
    for (size_t f = 0; f < frames; f++)
        if (grulet_step(stream, y + f * out, x + f * in) != GRULET_OK) return 1;
    if (memcmp(y, expected, frames * out * sizeof *y) != 0) return puts("other bits"), 1;
    return printf("%zu frames: the same bits, %s\n", frames, grulet_isa_used()), 0;
}
