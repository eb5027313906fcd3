/* Runs the golden frames, one whole sequence, through the model and compares every answer, bit for bit, with the one that grulet
 * computed when it made this bundle.  Also the shortest complete example of how to use the library: no memory but static
 * memory, no call of the system in grulet_run. */
#include "golden.h"
#include "grulet.h"
#include "model.h"

#include <stdio.h>
#include <string.h>

static unsigned char memory[GRULET_STREAM_BYTES]; /* the stream: scratch for a whole sequence */
static float y[GOLDEN_FRAMES][GRULET_OUTPUT_WIDTH];

static int refused(const char *call, grulet_status status)
{
    printf("%s: %s\n", call, grulet_status_text(status));
    return 1;
}

static int differs(unsigned frame)
{
    unsigned i = 0;
    while (memcmp(&y[frame][i], &golden_output[frame][i], sizeof y[frame][i]) == 0) i++;
    printf("frame %u of %u differs: output %u is %.9g and should be %.9g\n", frame, GOLDEN_FRAMES, i,
           (double)y[frame][i], (double)golden_output[frame][i]);
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
    status = grulet_run(stream, y[0], golden_input[0], GOLDEN_FRAMES);
    if (status != GRULET_OK) return refused("grulet_run", status);
    for (unsigned frame = 0; frame < GOLDEN_FRAMES; frame++)
        if (memcmp(y[frame], golden_output[frame], sizeof y[frame]) != 0) return differs(frame);
    printf("OK: %u frames, the golden bits\n", GOLDEN_FRAMES);
    return 0;
}
