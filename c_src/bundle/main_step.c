/* Streams the golden frames through the model, one by one, and compares every answer, bit for bit, with the one that grulet
 * computed when it made this bundle.  Also the shortest complete example of how to use the library: no memory but static
 * memory, no call of the system in grulet_step. */
#include "golden.h"
#include "grulet.h"
#include "model.h"

#include <stdio.h>
#include <string.h>

static unsigned char memory[GRULET_STREAM_BYTES]; /* the stream: state and scratch of one voice */
static float y[GRULET_OUTPUT_WIDTH];

static int refused(const char *call, grulet_status status)
{
    printf("%s: %s\n", call, grulet_status_text(status));
    return 1;
}

static int differs(unsigned frame)
{
    unsigned i = 0;
    while (memcmp(&y[i], &golden_output[frame][i], sizeof y[i]) == 0) i++;
    printf("frame %u of %u differs: output %u is %.9g and should be %.9g\n", frame, GOLDEN_FRAMES, i, (double)y[i],
           (double)golden_output[frame][i]);
    return 1;
}

int main(void)
{
    grulet_model model;
    grulet_stream *stream;
    grulet_status status = grulet_model_open(&model, grulet_file, sizeof grulet_file);
    if (status != GRULET_OK) return refused("grulet_model_open", status);
    status = grulet_stream_init(&stream, memory, sizeof memory, &model, GRULET_BLOCK);
    if (status != GRULET_OK) return refused("grulet_stream_init", status);
    for (unsigned frame = 0; frame < GOLDEN_FRAMES; frame++) {
        status = grulet_step(stream, y, golden_input[frame]);
        if (status != GRULET_OK) return refused("grulet_step", status);
        if (memcmp(y, golden_output[frame], sizeof y) != 0) return differs(frame);
    }
    printf("OK: %u frames, the golden bits\n", GOLDEN_FRAMES);
    return 0;
}
