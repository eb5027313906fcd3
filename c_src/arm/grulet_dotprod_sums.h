/* The products of 64-bit ARM with dot product: passes over the spans, sets and rows of a panel.  A file defines PRODUCTS_TABLE
 * and MANY_FRAMES_PASS, which sums up a pass of FRAMES frames as dot_pass does, and includes this. */
#include "arm/grulet_dotprod_pass.h"

#include <string.h>

KERNEL_INLINE void integer_sums(float *const *sums, const unsigned char *panel, const void *const *operands,
                                const int frames, uint32_t inputs, uint32_t width, const int sets, uint32_t rows,
                                const int32_t *row_sums, const int planes, const int full)
{
    const int pass_sets = full && frames == 1 ? sets : 1;
    const int quads = !full ? 1 : frames == 1 ? 4 : 4 / planes; /* of several frames, what the registers hold */
    const int count = pass_sets * frames * planes * quads, chains = count <= 4 ? 4 : count <= 8 ? 2 : 1;
    const shape s = {pass_sets, quads, frames, planes, chains};
    const uint32_t stride = grulet_round_up(inputs, 64); /* of the planes */
    const uint32_t group_bytes = GRULET_GROUP * rows, pass_rows = 4 * (uint32_t)quads;
    uint32_t first = 0;
    do {
        const uint32_t left = inputs - first, span = left > GRULET_SPAN ? GRULET_SPAN : left;
        const uint32_t groups = (span + GRULET_GROUP - 1) / GRULET_GROUP;
        const int8_t *x[FRAMES * 2];
        for (int i = 0; i < frames * planes; i++)
            x[i] = (const int8_t *)operands[i / planes] + (uint32_t)(i % planes) * stride + first;
        for (int set = 0; set < sets; set += pass_sets)
            for (uint32_t row = 0; row < width; row += pass_rows) {
                const unsigned char *weights = panel + ((uint32_t)set * width + row) * GRULET_GROUP;
                int32x4_t exact[FRAMES * 4];
                if (frames == 1) dot_pass(exact, weights, group_bytes, x, groups, s);
                else MANY_FRAMES_PASS(exact, weights, group_bytes, x, groups, s);
                UNROLL
                for (int i = 0; i < frames * pass_sets * quads; i++) {
                    const int frame = i / (pass_sets * quads), t = set + i / quads % pass_sets;
                    const uint32_t at = row + 4 * (uint32_t)(i % quads);
                    const int32x4_t surplus = vld1q_s32(row_sums + (uint32_t)t * width + at);
                    if (planes == 2) exact[i] = vaddq_s32(exact[i], vshlq_n_s32(surplus, 7));
                    add_span(sums[frame] + t * GRULET_BLOCK_ROWS + at, exact[i], first);
                }
            }
        panel += GRULET_SPAN / GRULET_GROUP * group_bytes;
        row_sums += rows;
    } while ((first += GRULET_SPAN) < inputs);
}

/* A narrow block (the last) goes by one set and four rows. */
#define SUMS(name, planes)                                                                                             \
    KERNEL_INLINE void name(float *const *sums, const unsigned char *panel, const void *const *operands,               \
                            const int frames, uint32_t inputs, uint32_t width, const int sets, uint32_t rows,          \
                            const int32_t *row_sums)                                                                   \
    {                                                                                                                  \
        if (width == GRULET_BLOCK_ROWS)                                                                                \
            integer_sums(sums, panel, operands, frames, inputs, width, sets, rows, row_sums, planes, 1);               \
        else integer_sums(sums, panel, operands, frames, inputs, width, sets, rows, row_sums, planes, 0);              \
    }
SUMS(sum_int8_int16, 2)
SUMS(sum_int8_int8, 1)

/* Nibbles are bytes from 0 to 15, so SDOT takes them as they are. */
enum { INT4_QUADS = 4, INT4_FRAMES = 2 };
typedef int32x4_t products;
KERNEL_INLINE products products_from(int32x4_t v) { return v; }
KERNEL_INLINE products add_products(products sum, int8x16_t u, const int8_t *x, const int high)
{
    return high ? vdotq_lane_s32(sum, u, vld1_s8(x), 1) : vdotq_lane_s32(sum, u, vld1_s8(x), 0);
}
KERNEL_INLINE int32x4_t row_products(products sum) { return sum; }

#include "arm/grulet_neon_int4.h"

#include "grulet_products_body.h"
