/* The forms of a sum that a kernel's tables hold (grulet_sums), each made from one function, sum_<kind>.  Who includes this has
 * defined FRAMES, and defines BESIDE_<kind>: the arguments behind those that all kinds have. */
#ifndef GRULET_SUM_FORMS_H
#define GRULET_SUM_FORMS_H

/* A table's entry, or nothing in a build without it. */
#define IF_WITH(with, entry) ((with) ? entry : NULL)
#define WITH_ONE_SET (GRULET_WITH_DENSE || GRULET_WITH_LSTM || GRULET_WITH_RNN)
#define WITH_THREE_SETS (GRULET_WITH_GRU || GRULET_WITH_LSTM)

/* Of full blocks. */
#define SUM_FORM(name, kind, frames, sets)                                                                             \
    static void name(float *const *sums, const unsigned char *block, const grulet_panel *at,                           \
                     const void *const *operands, uint32_t width, uint32_t all_sets)                                   \
    {                                                                                                                  \
        const uint32_t first_row = 0, rows = (sets) * GRULET_BLOCK_ROWS;                                               \
        (void)width, (void)all_sets, (void)first_row;                                                                  \
        sum_##kind(sums, block + at->weights, operands, frames, at->inputs, GRULET_BLOCK_ROWS, sets,                   \
                   rows BESIDE_##kind);                                                                                \
    }

/* Set by set: at most one block of a sweep is narrow.  The mask shows the compiler that the width is not 16. */
#define NARROW_FORM(kind, row_bytes)                                                                                   \
    KERNEL_SMALL void kind##_narrow(float *const *sums, const unsigned char *block, const grulet_panel *at,            \
                              const void *const *operands, uint32_t width, uint32_t sets)                              \
    {                                                                                                                  \
        const uint32_t rows = sets * width;                                                                            \
        float *to = sums[0];                                                                                           \
        for (uint32_t first_row = 0; first_row < rows; first_row += width, to += GRULET_BLOCK_ROWS)                    \
            sum_##kind(&to, block + at->weights + first_row * (row_bytes), operands, 1, at->inputs, width & 12, 1,     \
                       rows BESIDE_##kind);                                                                            \
    }

/* FRAMES frames and any sets, set by set, where that is as fast. */
#define MANY_BY_SET_FORM(kind, row_bytes)                                                                              \
    static void kind##_many_frames(float *const *sums, const unsigned char *block, const grulet_panel *at,             \
                                   const void *const *operands, uint32_t width, uint32_t sets)                         \
    {                                                                                                                  \
        const uint32_t rows = sets * GRULET_BLOCK_ROWS;                                                                \
        (void)width;                                                                                                   \
        for (uint32_t first_row = 0; first_row < rows; first_row += GRULET_BLOCK_ROWS) {                               \
            float *to[FRAMES];                                                                                         \
            for (int frame = 0; frame < FRAMES; frame++) to[frame] = sums[frame] + first_row;                          \
            sum_##kind(to, block + at->weights + first_row * (row_bytes), operands, FRAMES, at->inputs,                \
                       GRULET_BLOCK_ROWS, 1, rows BESIDE_##kind);                                                      \
        }                                                                                                              \
    }

#if FRAMES > 1
#define MANY_BY_SET(kind, row_bytes) MANY_BY_SET_FORM(kind, row_bytes)
#define MANY_BY_SET_ENTRIES(kind, with)                                                                                \
    {IF_WITH(with && GRULET_WITH_BLOCKS, kind##_many_frames), IF_WITH(with && GRULET_WITH_BLOCKS, kind##_many_frames)}
#define MANY_FORMS(kind)                                                                                               \
    SUM_FORM(kind##_many_frames_1, kind, FRAMES, 1)                                                                    \
    SUM_FORM(kind##_many_frames_3, kind, FRAMES, 3)
#define MANY_ENTRIES(kind, with)                                                                                       \
    {IF_WITH(with && GRULET_WITH_BLOCKS && WITH_ONE_SET, kind##_many_frames_1),                                        \
     IF_WITH(with && GRULET_WITH_BLOCKS && WITH_THREE_SETS, kind##_many_frames_3)}
#else
#define MANY_BY_SET(kind, row_bytes)
#define MANY_BY_SET_ENTRIES(kind, with) {NULL, NULL}
#define MANY_FORMS(kind)
#define MANY_ENTRIES(kind, with) {NULL, NULL}
#endif

/* Two full blocks of three sets over one read of the operand. */
#define BLOCK_FORM(kind)                                                                                               \
    static void kind##_blocks(float *sums, uint32_t next_sums, const unsigned char *block, ptrdiff_t next,             \
                              const grulet_panel *at, const void *operand)                                             \
    {                                                                                                                  \
        const uint32_t first_row = 0;                                                                                  \
        (void)first_row;                                                                                               \
        sum_blocks_##kind(sums, next_sums, block + at->weights, next, operand, at->inputs BESIDE_##kind);              \
    }

/* `row_bytes`: of the weights of one row in a group (int4: in a pair of groups); `many`: MANY_FORMS(kind) or
 * MANY_BY_SET(kind, row_bytes), or nothing. */
#define SUM_FORMS(kind, row_bytes, many)                                                                               \
    SUM_FORM(kind##_one_frame_1, kind, 1, 1)                                                                           \
    SUM_FORM(kind##_one_frame_3, kind, 1, 3)                                                                           \
    many                                                                                                               \
    NARROW_FORM(kind, row_bytes)

/* `many`: the entries of many frames; `blocks`: what takes two blocks, or NULL. */
#define SUM_ENTRIES(kind, with, prepare, many, blocks)                                                                 \
    {                                                                                                                  \
        IF_WITH(with, prepare),                                                                                        \
            {IF_WITH(with && WITH_ONE_SET, kind##_one_frame_1), IF_WITH(with && WITH_THREE_SETS, kind##_one_frame_3)}, \
            many, IF_WITH(with && GRULET_WITH_NARROW, kind##_narrow), blocks, FRAMES                                   \
    }

#endif
