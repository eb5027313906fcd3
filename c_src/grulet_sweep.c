/* Operands and panels: what the sweeps of cells and of dense layers have in common. */
#include "grulet_sweep.h"

#define SIXTEEN_ONES 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1
const float grulet_ones[GRULET_MAX_SETS * GRULET_BLOCK_ROWS] = {SIXTEEN_ONES, SIXTEEN_ONES, SIXTEEN_ONES, SIXTEEN_ONES};

void grulet_prepare_x(const grulet_task *task, const grulet_sums *sums, grulet_stream *const *streams, size_t count)
{
    const grulet_op *op = task->op;
    const int frame = op->beta == 0.0f && op->input == 0 && op->inputs == streams[0]->input_width; /* all of it is value 0 */
    for (size_t s = 0; s < count; s++)
        streams[s]->x_level = sums->prepare(streams[s]->x_operand, streams[s]->arena + task->x, op->inputs,
                                            frame ? streams[s]->frame_peak : op->beta);
}

void grulet_panel_sums(const grulet_sums *functions, float *const *sums, const unsigned char *block,
                       const grulet_panel *panel, const void *const *operands, uint32_t frames, uint32_t width,
                       uint32_t sets)
{
    const int full = width == GRULET_BLOCK_ROWS, three = sets > 1;
    const grulet_sum one = full ? functions->one_frame[three] : functions->narrow;
    uint32_t f = 0;
    if (GRULET_WITH_BLOCKS && full && functions->frames > 1)
        for (; f + functions->frames <= frames; f += functions->frames)
            functions->many_frames[three](sums + f, block, panel, operands + f, width, sets);
    for (; f < frames; f++) one(sums + f, block, panel, operands + f, width, sets);
}
