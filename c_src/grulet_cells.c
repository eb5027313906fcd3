/* Recurrent cells: the sweep over a layer's blocks of rows. */
#include "grulet_inline.h"
#include "grulet_sweep.h"

/* ---- layouts ------------------------------------------------------------------------------------------------------- */

/* A block of `width` stored rows.  Each matrix, of the input and of the hidden state, has a panel of up to three sets of rows
 * and, where there is a fourth set, one of that: panels[matrix][panel], in the order of the file. */
enum { OF_INPUT, OF_STATE };
typedef struct {
    uint32_t width;
    grulet_panel panels[2][2];
    uint32_t parameters, end;
} cell_layout;

/* The layout of full blocks, and that of the last one if it is narrow. */
typedef struct { cell_layout full, narrow; } cell_layouts;

/* What does not change while a cell is swept, in the stream's memory; and its jobs. */
typedef struct {
    const grulet_task *task;
    const grulet_op *op;        /* whose sweep the rest is made for: NULL, or the cell of the last one, */
    const grulet_kernel *kernel; /* and with which kernel */
    const grulet_sums *sums;
    grulet_gates gates;
    uint32_t sets, scales;      /* `scales`: 1 if the weights are integers */
    cell_layouts layouts;
    grulet_job jobs[GRULET_TILE]; /* blocks or frames whose gates are computed next */
} sweep;

size_t grulet_sweep_bytes(void) { return sizeof(sweep); }

KERNEL_INLINE uint32_t panels_of(uint32_t sets) { return sets > GRULET_PANEL_SETS ? 2 : 1; }
KERNEL_INLINE uint32_t panel_sets(uint32_t sets, uint32_t panel)
{
    return sets <= GRULET_PANEL_SETS ? sets : panel ? sets - GRULET_PANEL_SETS : (uint32_t)GRULET_PANEL_SETS;
}

/* Floats of a block's sums from one matrix. */
KERNEL_INLINE uint32_t matrix_sums(uint32_t sets) { return sets * GRULET_BLOCK_ROWS; }

/* `biases`: vectors of them in a block. */
KERNEL_INLINE void find_layout_of(cell_layout *at, const grulet_op *op, uint32_t width, grulet_mode m, const uint32_t sets,
                                  const uint32_t biases)
{
    const uint32_t inputs[2] = {op->inputs, op->units};
    uint32_t end = 0;
    for (uint32_t matrix = OF_INPUT; matrix <= OF_STATE; matrix++)
        for (uint32_t i = 0; i < panels_of(sets); i++) {
            grulet_panel *panel = &at->panels[matrix][i];
            panel->weights = end;
            panel->inputs = inputs[matrix];
            panel->sums = matrix * matrix_sums(sets) + i * GRULET_PANEL_SETS * GRULET_BLOCK_ROWS;
            end += grulet_panel_bytes(inputs[matrix], panel_sets(sets, i) * width, m);
        }
    at->width = width;
    at->parameters = end;
    end += (is_float(m) ? biases : 2 * sets + biases) * width * (uint32_t)sizeof(float);
    if (!is_float(m))
        for (uint32_t matrix = OF_INPUT; matrix <= OF_STATE; matrix++)
            for (uint32_t i = 0; i < panels_of(sets); i++) {
                at->panels[matrix][i].row_sums = end;
                end += grulet_row_sum_bytes(inputs[matrix], panel_sets(sets, i) * width);
            }
    if (is_int4(m))
        for (uint32_t matrix = OF_INPUT; matrix <= OF_STATE; matrix++)
            for (uint32_t i = 0; i < panels_of(sets); i++) {
                at->panels[matrix][i].multipliers = end;
                end += grulet_multiplier_bytes(inputs[matrix], panel_sets(sets, i) * width);
            }
    at->end = grulet_round_up(end, GRULET_ALIGN);
}

/* A GRU's candidate has a bias of its own for the hidden state. */
static void find_layout(cell_layout *at, const grulet_op *op, uint32_t width, grulet_mode m)
{
    if (GRULET_WITH_GRU && op->kind == GRULET_OP_GRU) find_layout_of(at, op, width, m, 3, 4);
    else if (GRULET_WITH_LSTM || GRULET_WITH_RNN) find_layout_of(at, op, width, m, grulet_sets(op), grulet_sets(op));
}

/* Layouts are written in place and never copied: x86 CPUs wait when a wide load follows the narrow stores that made its bytes. */
KERNEL_SMALL void prepare_sweep(sweep *s, const grulet_kernel *kernel, const grulet_op *op)
{
    const grulet_mode m = grulet_mode_of(op);
    const grulet_floats *floats = kernel->floats;
    const uint32_t rest = op->units % GRULET_BLOCK_ROWS;
    s->op = op;
    s->kernel = kernel;
    s->sums = grulet_sums_of(kernel, m);
    s->gates = op->kind == GRULET_OP_GRU ? floats->gru : op->kind == GRULET_OP_LSTM ? floats->lstm : floats->rnn;
    s->sets = grulet_sets(op);
    s->scales = !is_float(m);
    find_layout(&s->layouts.full, op, GRULET_BLOCK_ROWS, m);
    if (GRULET_WITH_NARROW && rest) find_layout(&s->layouts.narrow, op, grulet_round_up(rest, GRULET_GROUP), m);
}

/* Once where a model has one cell: the smallest of those notice it. */
static void start_sweep(sweep *s, const grulet_task *task)
{
    const grulet_op *op = task->op;
    s->task = task;
    if (s->op != op || s->kernel != task->kernel) prepare_sweep(s, task->kernel, op);
}

static const cell_layout *layout_of(const sweep *s, uint32_t index)
{
    return index < s->task->op->units / GRULET_BLOCK_ROWS ? &s->layouts.full : &s->layouts.narrow;
}

static const unsigned char *block_at(const sweep *s, uint32_t index)
{
    return s->task->data + (size_t)index * s->layouts.full.end;
}

/* |h| <= 1; what a level is worth, 1 / 32767 or 1 / 127, is part of the stored scales. */
static void prepare_h(const sweep *s, const grulet_stream *stream)
{
    (void)s->sums->prepare(stream->h_operand, stream->state + s->task->h, s->task->op->units, 1.0f);
}

/* ---- blocks -------------------------------------------------------------------------------------------------------- */

/* The sums of the block `index` and up to GRULET_TILE frames from one matrix. */
static void tile_sums(const sweep *s, uint32_t index, uint32_t matrix, float *const *block_sums,
                      const void *const *operands, uint32_t frames)
{
    const cell_layout *at = layout_of(s, index);
    for (uint32_t i = 0; i < panels_of(s->sets); i++) {
        const grulet_panel *panel = &at->panels[matrix][i];
        float *sums[GRULET_TILE];
        for (uint32_t f = 0; f < frames; f++) sums[f] = block_sums[f] + panel->sums;
        grulet_panel_sums(s->sums, sums, block_at(s, index), panel, operands, frames, at->width, panel_sets(s->sets, i));
    }
}

/* What the gates of a block need: its `parameters`, `scales` floats of scales for each matrix (0: weights without) and its biases.
 * Everything comes by value: stores to a job could change what pointers lead to, for all that the compiler knows. */
KERNEL_INLINE void set_job(grulet_job *job, const unsigned char *parameters, uint32_t scales, const float *from_x,
                           const float *from_h, float *h, float *y, uint32_t to_c, float x_level)
{
    const float *const floats = (const float *)(const void *)parameters;
    job->from_x = from_x;
    job->from_h = from_h;
    job->x_scales = scales ? floats : grulet_ones;
    job->h_scales = scales ? floats + scales : grulet_ones;
    job->biases = floats + 2 * scales;
    job->h = h;
    job->y = y;
    job->to_c = to_c;
    job->x_level = x_level;
}

/* That of a block and of any frame. */
KERNEL_SHARED void set_any_job(grulet_job *job, const sweep *s, const cell_layout *at, const unsigned char *block,
                        const grulet_stream *stream, uint32_t index, const float *from_x, const float *from_h)
{
    const uint32_t unit = index * GRULET_BLOCK_ROWS;
    set_job(job, block + at->parameters, s->scales ? s->sets * at->width : 0, from_x, from_h,
            stream->state + s->task->h + unit, stream->arena + s->task->y + unit, s->task->op->units, stream->x_level);
}

/* ---- one frame ----------------------------------------------------------------------------------------------------- */

/* The sums of one frame from `count` full blocks, one or two, the second of which lies `next` bytes from the first (less than 0
 * in a backward sweep), from the matrix `first` and the one behind it.  A backward sweep of floats takes them, too, the other way
 * round: of the blocks with which it begins the nearest cache holds what was read last (3 % of a step of 64 units).  Integers of
 * that size all stay there, and would wait for the state's levels, which are made last. */
KERNEL_INLINE void sums_of_blocks(const sweep *s, const unsigned char *block, ptrdiff_t next, uint32_t count, uint32_t first,
                                  const grulet_stream *stream, const uint32_t sets)
{
    const uint32_t next_sums = 2 * matrix_sums(sets);
    const uint32_t turned = first == OF_INPUT && !s->scales ? s->task->backwards : 0;
    for (uint32_t number = first; number <= OF_STATE; number++)
        for (uint32_t i = 0; i < panels_of(sets); i++) {
            const uint32_t matrix = number ^ turned;
            const grulet_panel *panel = &s->layouts.full.panels[matrix][i];
            const void *operand = matrix == OF_STATE ? stream->h_operand : stream->x_operand;
            const uint32_t of_panel = panel_sets(sets, i);
            float *sums = stream->sums + panel->sums;
            if (of_panel > 1 && count > 1 && s->sums->blocks) s->sums->blocks(sums, next_sums, block, next, panel, operand);
            else
                for (uint32_t k = 0; k < count; k++, sums += next_sums)
                    s->sums->one_frame[of_panel > 1](&sums, block + (ptrdiff_t)k * next, panel, &operand, GRULET_BLOCK_ROWS,
                                                     of_panel);
        }
}

enum { BLOCKS_IN_STEP = GRULET_TILE < 2 ? GRULET_TILE : 2 }; /* whose gates are computed together: more gain nothing */

/* All full blocks, of which there is one at least.  `projected`: the sums from the input panels, if they are there. */
KERNEL_INLINE void full_blocks_of(sweep *s, const grulet_stream *stream, const float *projected, const uint32_t sets)
{
    const grulet_task *const task = s->task;
    const uint32_t sums = matrix_sums(sets), backwards = task->backwards, units = task->op->units;
    const uint32_t scales = s->scales ? sums : 0, first = projected ? OF_STATE : OF_INPUT;
    const ptrdiff_t end = (ptrdiff_t)s->layouts.full.end, next = backwards ? -end : end;
    const ptrdiff_t next_unit = backwards ? -GRULET_BLOCK_ROWS : GRULET_BLOCK_ROWS;
    uint32_t left = units / GRULET_BLOCK_ROWS;
    const uint32_t index = backwards ? left - 1 : 0;
    const unsigned char *block = block_at(s, index);
    ptrdiff_t unit = (ptrdiff_t)index * GRULET_BLOCK_ROWS;
    float *const h = stream->state + task->h, *const y = stream->arena + task->y;
    for (uint32_t count; left > 0; left -= count) {
        count = left < BLOCKS_IN_STEP ? left : (uint32_t)BLOCKS_IN_STEP;
        sums_of_blocks(s, block, next, count, first, stream, sets);
        const float *from = stream->sums;
        for (uint32_t k = 0; k < count; k++, block += next, unit += next_unit, from += 2 * sums) {
            const float *from_x = projected ? projected + unit * (ptrdiff_t)sets : from;
            set_job(&s->jobs[k], block + s->layouts.full.parameters, scales, from_x, from + sums, h + unit, y + unit, units,
                    stream->x_level);
        }
        s->gates(s->jobs, count, GRULET_BLOCK_ROWS, GRULET_BLOCK_ROWS);
    }
}

/* Small layers are fast enough to notice looking up what to call: the GRU has a loop of its own. */
KERNEL_SHARED void full_gru_blocks(sweep *s, const grulet_stream *stream, const float *projected)
{
    full_blocks_of(s, stream, projected, 3);
}
KERNEL_SHARED void full_other_blocks(sweep *s, const grulet_stream *stream, const float *projected)
{
    full_blocks_of(s, stream, projected, s->sets);
}
static void full_blocks(sweep *s, const grulet_stream *stream, const float *projected)
{
    if (GRULET_WITH_GRU && s->sets == 3) full_gru_blocks(s, stream, projected);
    else if (GRULET_WITH_LSTM || GRULET_WITH_RNN) full_other_blocks(s, stream, projected);
}

/* The last block, if it is narrow: fewer than 16 units, though with 13 to 15 still 16 rows. */
KERNEL_SHARED void narrow_block(sweep *s, const grulet_stream *stream, const float *projected)
{
    const grulet_op *op = s->task->op;
    const cell_layout *at = &s->layouts.narrow;
    const uint32_t index = op->units / GRULET_BLOCK_ROWS, rows = op->units % GRULET_BLOCK_ROWS, sets = s->sets;
    const unsigned char *block = block_at(s, index);
    float *const from_x = stream->sums, *const from_h = from_x + matrix_sums(sets);
    for (uint32_t matrix = projected ? OF_STATE : OF_INPUT; matrix <= OF_STATE; matrix++)
        for (uint32_t i = 0; i < panels_of(sets); i++) {
            const void *const operand = matrix == OF_STATE ? stream->h_operand : stream->x_operand;
            float *const sums = from_x + at->panels[matrix][i].sums;
            const uint32_t of_panel = panel_sets(sets, i);
            const grulet_sum sum = at->width < GRULET_BLOCK_ROWS ? s->sums->narrow : s->sums->one_frame[of_panel > 1];
            sum(&sums, block, &at->panels[matrix][i], &operand, at->width, of_panel);
        }
    set_any_job(&s->jobs[0], s, at, block, stream, index, projected ? projected + index * matrix_sums(sets) : from_x, from_h);
    s->gates(s->jobs, 1, at->width, rows);
}

/* All blocks, in the order of the sweep. */
static void cell_frame(sweep *s, const grulet_stream *stream, const float *projected)
{
    const int narrow = GRULET_WITH_NARROW && s->task->op->units % GRULET_BLOCK_ROWS != 0;
    if (narrow && s->task->backwards) narrow_block(s, stream, projected);
    if (s->task->op->units >= GRULET_BLOCK_ROWS) full_blocks(s, stream, projected);
    if (narrow && !s->task->backwards) narrow_block(s, stream, projected);
}

/* ---- many frames --------------------------------------------------------------------------------------------------- */

/* One block of all streams, GRULET_TILE at a time: the block's weights are read once, and then from the nearest cache. */
KERNEL_SHARED void block_of_streams(sweep *s, uint32_t index, grulet_stream *const *streams, size_t count)
{
    const cell_layout *layout = layout_of(s, index);
    const void *x_operands[GRULET_TILE], *h_operands[GRULET_TILE];
    float *sums[GRULET_TILE];
    for (size_t at = 0; at < count; at += GRULET_TILE) {
        const uint32_t frames = count - at < GRULET_TILE ? (uint32_t)(count - at) : (uint32_t)GRULET_TILE;
        for (uint32_t k = 0; k < frames; k++) {
            x_operands[k] = streams[at + k]->x_operand;
            h_operands[k] = streams[at + k]->h_operand;
            sums[k] = streams[0]->sums + k * 2 * matrix_sums(s->sets);
            set_any_job(&s->jobs[k], s, layout, block_at(s, index), streams[at + k], index, sums[k],
                        sums[k] + matrix_sums(s->sets));
        }
        tile_sums(s, index, OF_INPUT, sums, x_operands, frames);
        tile_sums(s, index, OF_STATE, sums, h_operands, frames);
        s->gates(s->jobs, frames, layout->width, grulet_block_rows(s->task->op, index));
    }
}

void grulet_cell(const grulet_task *task, grulet_stream *const *streams, size_t count)
{
    const uint32_t blocks = grulet_block_count(task->op);
    sweep *const s = (sweep *)streams[0]->sweep;
    start_sweep(s, task);
    grulet_prepare_x(task, s->sums, streams, count);
    for (size_t k = 0; k < count; k++) prepare_h(s, streams[k]);
    if (!GRULET_WITH_BLOCKS || count == 1) cell_frame(s, streams[0], NULL);
    else
        for (uint32_t i = 0; i < blocks; i++) block_of_streams(s, task->backwards ? blocks - 1 - i : i, streams, count);
}

/* The input panels for all frames at once; then frame by frame only the recurrent panels. */
void grulet_cell_sequence(const grulet_task *task, grulet_stream *const *lanes, size_t count)
{
    const grulet_op *op = task->op;
    grulet_task step = *task;
    sweep *const s = (sweep *)lanes[0]->sweep;
    start_sweep(s, &step);
    grulet_prepare_x(task, s->sums, lanes, count);
    for (uint32_t index = 0; index < grulet_block_count(op); index++)
        for (size_t f = 0; f < count; f += GRULET_TILE) {
            const uint32_t frames = count - f < GRULET_TILE ? (uint32_t)(count - f) : (uint32_t)GRULET_TILE;
            const void *operands[GRULET_TILE];
            float *sums[GRULET_TILE];
            for (uint32_t k = 0; k < frames; k++) {
                operands[k] = lanes[f + k]->x_operand;
                sums[k] = lanes[f + k]->projected + index * matrix_sums(s->sets);
            }
            tile_sums(s, index, OF_INPUT, sums, operands, frames);
        }
    for (size_t f = 0; f < count; f++, step.backwards ^= 1) {
        prepare_h(s, lanes[f]);
        cell_frame(s, lanes[f], lanes[f]->projected);
    }
}
