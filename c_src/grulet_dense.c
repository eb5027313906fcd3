/* Dense layers, and the activations that kernels have. */
#include "grulet_sweep.h"

/* One block of rows for all frames; returns the end of the block. */
static const unsigned char *dense_block(const grulet_task *task, const unsigned char *block, uint32_t index,
                                        grulet_stream *const *streams, size_t count)
{
    const grulet_op *op = task->op;
    const grulet_floats *floats = task->kernel->floats;
    const grulet_mode m = grulet_mode_of(op);
    const uint32_t rows = grulet_block_rows(op, index), width = grulet_round_up(rows, GRULET_GROUP);
    const float *parameters = (const float *)(const void *)(block + grulet_panel_bytes(op->inputs, width, m));
    const float *scale = is_float(m) ? grulet_ones : parameters, *bias = is_float(m) ? parameters : parameters + width;
    const uint32_t row_sums = (uint32_t)((const unsigned char *)(bias + width) - block);
    const uint32_t multipliers = row_sums + (is_float(m) ? 0 : grulet_row_sum_bytes(op->inputs, width));
    const grulet_panel panel = {0, row_sums, multipliers, op->inputs, 0};
    const uint32_t bytes = multipliers + (is_int4(m) ? grulet_multiplier_bytes(op->inputs, width) : 0);
    const void *operands[GRULET_TILE];
    float *sums[GRULET_TILE];
    for (uint32_t k = 0; k < GRULET_TILE; k++) sums[k] = streams[0]->sums + k * GRULET_BLOCK_ROWS;
    for (size_t s = 0; s < count; s += GRULET_TILE) {
        const uint32_t frames = count - s < GRULET_TILE ? (uint32_t)(count - s) : (uint32_t)GRULET_TILE;
        for (uint32_t k = 0; k < frames; k++) operands[k] = streams[s + k]->x_operand;
        grulet_panel_sums(grulet_sums_of(task->kernel, m), sums, block, &panel, operands, frames, width, 1);
        for (uint32_t k = 0; k < frames; k++) {
            float *y = streams[s + k]->arena + task->y + index * GRULET_BLOCK_ROWS;
            floats->dense_outputs(y, sums[k], scale, bias, streams[s + k]->x_level, width, rows);
            if (op->function != GRULET_FUNCTION_NONE) floats->apply(y, y, rows, op->function, op->alpha);
        }
    }
    return block + grulet_round_up(bytes, GRULET_ALIGN);
}

void grulet_dense(const grulet_task *task, grulet_stream *const *streams, size_t count)
{
    const unsigned char *data = task->data;
    grulet_prepare_x(task, grulet_sums_of(task->kernel, grulet_mode_of(task->op)), streams, count);
    for (uint32_t index = 0; index < grulet_block_count(task->op); index++)
        data = dense_block(task, data, index, streams, count);
    if (GRULET_WITH_SOFTMAX && task->op->function == GRULET_FUNCTION_SOFTMAX)
        for (size_t s = 0; s < count; s++) task->kernel->floats->softmax(streams[s]->arena + task->y, task->op->units);
}

/* Elements that a softmax makes add up to 1. */
static uint32_t part_size(const grulet_op *op) { return op->parameter ? op->parameter : op->units; }

void grulet_activation(const grulet_task *task, grulet_stream *const *streams, size_t count)
{
    const grulet_op *op = task->op;
    const grulet_floats *floats = task->kernel->floats;
    for (size_t s = 0; s < count; s++) {
        float *y = streams[s]->arena + task->y;
        floats->apply(y, streams[s]->arena + task->x, op->units, op->function, op->alpha);
        if (GRULET_WITH_SOFTMAX && op->function == GRULET_FUNCTION_SOFTMAX)
            for (uint32_t part = 0; part < op->units; part += part_size(op)) floats->softmax(y + part, part_size(op));
    }
}
