/* Private to c_src: what the sweeps of cells and of dense layers have in common. */
#ifndef GRULET_SWEEP_H
#define GRULET_SWEEP_H

#include "grulet_config.h"
#include "grulet_kernel.h"

/* Scales of float weights, so that all formats share one code: a product with 1 is exact. */
extern const float grulet_ones[GRULET_MAX_SETS * GRULET_BLOCK_ROWS];

static inline grulet_mode grulet_mode_of(const grulet_op *op)
{
    const int int8 = op->activations == GRULET_ACTIVATIONS_INT8;
    switch (op->weights) {
    case GRULET_WEIGHTS_F32: return MODE_F32;
    case GRULET_WEIGHTS_F16: return MODE_F16;
    case GRULET_WEIGHTS_INT8: return int8 ? MODE_INT8_INT8 : MODE_INT8_INT16;
    default: return int8 ? MODE_INT4_INT8 : MODE_INT4_INT16;
    }
}

/* Bytes of a panel; of the row sums of integer weights; of the multipliers of int4 weights. */
static inline uint32_t grulet_panel_bytes(uint32_t inputs, uint32_t rows, grulet_mode m)
{
    uint32_t bytes = grulet_round_up(inputs, is_int4(m) ? GRULET_PAIR : GRULET_GROUP) * rows;
    if (m == MODE_F32) bytes *= 4;
    else if (m == MODE_F16) bytes *= 2;
    else if (is_int4(m)) bytes /= 2;
    return grulet_round_up(bytes, GRULET_ALIGN);
}
static inline uint32_t grulet_row_sum_bytes(uint32_t inputs, uint32_t rows)
{
    return (inputs + GRULET_SPAN - 1) / GRULET_SPAN * rows * (uint32_t)sizeof(int32_t);
}
static inline uint32_t grulet_multiplier_bytes(uint32_t inputs, uint32_t rows)
{
    return (inputs + GRULET_MULTIPLIER_INPUTS - 1) / GRULET_MULTIPLIER_INPUTS * rows;
}

/* Make the operand of each stream's input. */
void grulet_prepare_x(const grulet_task *task, const grulet_sums *sums, grulet_stream *const *streams, size_t count);

/* A panel times the operands of up to GRULET_TILE frames. */
void grulet_panel_sums(const grulet_sums *functions, float *const *sums, const unsigned char *block,
                       const grulet_panel *panel, const void *const *operands, uint32_t frames, uint32_t width,
                       uint32_t sets);

static inline uint32_t grulet_block_count(const grulet_op *op)
{
    return (op->units + GRULET_BLOCK_ROWS - 1) / GRULET_BLOCK_ROWS;
}

/* Rows of a block that are real. */
static inline uint32_t grulet_block_rows(const grulet_op *op, uint32_t index)
{
    const uint32_t left = op->units - index * GRULET_BLOCK_ROWS;
    return left < GRULET_BLOCK_ROWS ? left : (uint32_t)GRULET_BLOCK_ROWS;
}

#endif
