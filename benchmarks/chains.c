/* The shortest way through one step, and the gates alone, made of one kernel's own functions: compiled with CHAINS_FLOATS and
 * CHAINS_PRODUCTS its two files, their flags, and their tables renamed so that they do not meet the library's. */
#define _POSIX_C_SOURCE 200112L
#include CHAINS_FLOATS
#include CHAINS_PRODUCTS

#include "chains.h"
#include "timing.h"

enum { UNITS = GRULET_BLOCK_ROWS, MANY = 16, LINE = 64 };

/* One block, its operand and its state, on lines of their own.  Weights and sums are 0; scales and biases are not, or the
 * state would fade into a silence that takes a shorter way. */
typedef struct {
    unsigned char panel[4 * 3 * LINE], operand[4 * LINE];
    float parameters[10 * UNITS], sums[2][3 * UNITS], h[UNITS], y[UNITS];
    int32_t row_sums[3 * UNITS];
} unit_block;

static union { unit_block block; unsigned char line[sizeof(unit_block) + LINE]; } memory[MANY];

static unit_block *block_of(int number)
{
    unsigned char *at = memory[number].line;
    return (unit_block *)(void *)(at + (LINE - (uintptr_t)at % LINE) % LINE);
}

static grulet_job job_of(unit_block *b)
{
    for (int i = 0; i < 10 * UNITS; i++) b->parameters[i] = 0.01f * (float)(i % UNITS + 1);
    const float *scales = b->parameters;
    const grulet_job job = {b->sums[0], b->sums[1], scales, scales + 3 * UNITS, scales + 6 * UNITS, b->h, b->y, 0, 1.0f};
    return job;
}

/* `peak` as in prepare: 1 for a state, 0 to find the largest magnitude of a frame. */
KERNEL_INLINE double one_chain(size_t count, float peak, const grulet_mode m)
{
    unit_block *b = block_of(0);
    const void *operand = b->operand;
    float *from_h = b->sums[1];
    const grulet_job job = job_of(b);
    for (int u = 0; u < UNITS; u++) b->h[u] = 0.01f * (float)(u + 1);
    const double begin = nanoseconds();
    for (size_t i = 0; i < count; i++) {
        if (m == MODE_F32) (void)prepare_floats(b->operand, b->h, UNITS, peak);
        if (m == MODE_INT8_INT16) (void)prepare_int8_int16(b->operand, b->h, UNITS, peak);
        if (m == MODE_INT8_INT8) (void)prepare_int8_int8(b->operand, b->h, UNITS, peak);
        if (m == MODE_F32) sum_f32(&from_h, b->panel, &operand, 1, GRULET_GROUP, UNITS, 3, 3 * UNITS);
        if (m == MODE_INT8_INT16) sum_int8_int16(&from_h, b->panel, &operand, 1, GRULET_GROUP, UNITS, 3, 3 * UNITS,
                                                    b->row_sums);
        if (m == MODE_INT8_INT8) sum_int8_int8(&from_h, b->panel, &operand, 1, GRULET_GROUP, UNITS, 3, 3 * UNITS,
                                                    b->row_sums);
        gru_alone(&job, UNITS, UNITS);
    }
    return (nanoseconds() - begin) / (double)count;
}

double state_chain(int format, size_t count)
{
    switch (format) {
    case CHAIN_F32: return one_chain(count, 1.0f, MODE_F32);
    case CHAIN_INT8_INT16: return one_chain(count, 1.0f, MODE_INT8_INT16);
    default: return one_chain(count, 1.0f, MODE_INT8_INT8);
    }
}

double frame_chain(int format, size_t count)
{
    switch (format) {
    case CHAIN_F32: return one_chain(count, 0.0f, MODE_F32);
    case CHAIN_INT8_INT16: return one_chain(count, 0.0f, MODE_INT8_INT16);
    default: return one_chain(count, 0.0f, MODE_INT8_INT8);
    }
}

double gates_alone(int format, size_t count)
{
    (void)format; /* all formats share one code for the gates */
    grulet_job jobs[MANY];
    for (int k = 0; k < MANY; k++) jobs[k] = job_of(block_of(k));
    const double begin = nanoseconds();
    for (size_t i = 0; i < count; i += MANY)
        gru_cell(jobs, MANY, UNITS, UNITS);
    return (nanoseconds() - begin) / (double)((count + MANY - 1) / MANY * MANY);
}
