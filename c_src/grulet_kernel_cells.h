/* Recurrent cells: GRU, LSTM, RNN.  A part of grulet_kernel_body.h, which includes it once it has operands and panels. */

/* ---- layouts ------------------------------------------------------------------------------------------------------- */

/* A block of `width` stored rows.  Each matrix, of the input and of the hidden state, has a panel of up to three sets of rows
 * and, where there is a fourth set, one of that: panels[matrix][panel], in the order of the file. */
enum { OF_INPUT, OF_STATE };
typedef struct {
    uint32_t width;
    panel_layout panels[2][2];
    size_t parameters, end;
} cell_layout;

/* Panels of a matrix of `sets` sets, and sets of the panel `panel`. */
KERNEL_INLINE uint32_t panels_of(uint32_t sets) { return sets > GRULET_PANEL_SETS ? 2 : 1; }
KERNEL_INLINE uint32_t panel_sets(uint32_t sets, uint32_t panel)
{
    return sets <= GRULET_PANEL_SETS ? sets : panel ? sets - GRULET_PANEL_SETS : GRULET_PANEL_SETS;
}

/* Floats of a block's sums from one matrix. */
KERNEL_INLINE uint32_t matrix_sums(uint32_t sets) { return sets * GRULET_BLOCK_ROWS; }

KERNEL_INLINE void find_layout_of(cell_layout *at, const grulet_op *op, uint32_t width, const uint32_t sets,
                                  const uint32_t biases)
{
    const mode m = mode_of(op);
    const uint32_t inputs[2] = {op->inputs, op->units};
    size_t end = 0;
    UNROLL for (uint32_t matrix = OF_INPUT; matrix <= OF_STATE; matrix++)
        UNROLL for (uint32_t i = 0; i < panels_of(sets); i++) {
            panel_layout *panel = &at->panels[matrix][i];
            panel->weights = end;
            panel->inputs = inputs[matrix];
            panel->sums = matrix * matrix_sums(sets) + i * GRULET_PANEL_SETS * GRULET_BLOCK_ROWS;
            end += panel_bytes(inputs[matrix], width, panel_sets(sets, i), m);
        }
    at->width = width;
    at->parameters = end;
    end += ((is_float(m) ? 0 : 2 * sets) + biases) * width * sizeof(float);
    UNROLL for (uint32_t matrix = OF_INPUT; matrix <= OF_STATE; matrix++)
        UNROLL for (uint32_t i = 0; i < panels_of(sets); i++) {
            at->panels[matrix][i].row_sums = end;
            end += row_sum_bytes(inputs[matrix], panel_sets(sets, i) * width, m);
        }
    if (is_int4(m))
        for (uint32_t matrix = OF_INPUT; matrix <= OF_STATE; matrix++)
            for (uint32_t i = 0; i < panels_of(sets); i++) {
                at->panels[matrix][i].multipliers = end;
                end += multiplier_bytes(inputs[matrix], panel_sets(sets, i) * width, m);
            }
    at->end = (end + GRULET_ALIGN - 1) / GRULET_ALIGN * GRULET_ALIGN;
}

static void find_cell_layout(cell_layout *at, const grulet_op *op, uint32_t width)
{
    switch (op->kind) {
    case GRULET_OP_GRU: find_layout_of(at, op, width, 3, 4); break;
    case GRULET_OP_LSTM: find_layout_of(at, op, width, 4, 4); break;
    default: find_layout_of(at, op, width, 1, 1);
    }
}

/* The layout of full blocks, and that of the last one if it is narrower.  Written in place and never copied: x86 CPUs wait
 * when a wide load follows the narrow stores that made its bytes, 20 ns in every step. */
typedef struct { cell_layout full, narrow; } cell_layouts;

static void find_cell_layouts(cell_layouts *layouts, const grulet_op *op)
{
    const uint32_t rest = op->units % GRULET_BLOCK_ROWS;
    find_cell_layout(&layouts->full, op, GRULET_BLOCK_ROWS);
    if (rest) find_cell_layout(&layouts->narrow, op, grulet_round_up(rest, GRULET_GROUP));
}

static const cell_layout *layout_of(const cell_layouts *layouts, const grulet_op *op, uint32_t index)
{
    return index < op->units / GRULET_BLOCK_ROWS ? &layouts->full : &layouts->narrow;
}

/* ---- sums ---------------------------------------------------------------------------------------------------------- */

/* The sums of one block and up to GRULET_TILE frames from one matrix. */
KERNEL_SHARED void tile_sums(const grulet_op *op, const cell_layout *at, const unsigned char *block, uint32_t matrix,
                      float *const *block_sums, const void *const *operands, uint32_t frames)
{
    const uint32_t sets = grulet_sets(op);
    for (uint32_t i = 0; i < panels_of(sets); i++) {
        const panel_layout *panel = &at->panels[matrix][i];
        float *sums[GRULET_TILE];
        for (uint32_t f = 0; f < frames; f++) sums[f] = block_sums[f] + panel->sums;
        panel_sums((panel_sets(sets, i) == 1 ? SUMS_OF_1 : SUMS_OF_3)[mode_of(op)], sums, block, panel, operands, frames,
                   at->width);
    }
}

/* The sums of one frame from `count` full blocks, which lie `next` bytes apart (less than 0 in a backward sweep), from the
 * matrix `first` and the one behind it. */
KERNEL_INLINE void sums_of_blocks(const cell_layout *at, const unsigned char *block, ptrdiff_t next, uint32_t count,
                                  uint32_t first, const grulet_stream *stream, const mode m, const uint32_t sets)
{
    const uint32_t next_sums = 2 * matrix_sums(sets);
    float *block_sums = stream->sums;
    for (uint32_t now; count > 0; count -= now, block += (ptrdiff_t)now * next, block_sums += now * next_sums) {
        now = takes_blocks(m) && count >= BLOCKS ? BLOCKS : 1;
        for (uint32_t matrix = first; matrix <= OF_STATE; matrix++)
            for (uint32_t i = 0; i < panels_of(sets); i++) {
                const panel_layout *panel = &at->panels[matrix][i];
                const void *operand = matrix == OF_STATE ? stream->h_operand : stream->x_operand;
                const int single = panel_sets(sets, i) == 1;
                float *sums = block_sums + panel->sums;
                if (now == 1)
                    (single ? SUMS_OF_1 : SUMS_OF_3)[m][ONE_FRAME](&sums, block, panel, &operand, GRULET_BLOCK_ROWS);
                else (single ? BLOCKS_OF_1 : BLOCKS_OF_3)[m](sums, next_sums, block, next, panel, operand);
            }
    }
}

/* ---- gates --------------------------------------------------------------------------------------------------------- */

/* The scales of float weights, so that all formats share one code for the gates: a product with 1 is exact. */
#define SIXTEEN_ONES 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1
static const float ONES[GRULET_MAX_SETS * GRULET_BLOCK_ROWS] = {SIXTEEN_ONES, SIXTEEN_ONES, SIXTEEN_ONES, SIXTEEN_ONES};

/* One block of one frame, its products summed ([set][16] each), its gates still to be computed. */
typedef struct {
    const float *from_x, *from_h;
    const float *x_scales, *h_scales, *biases; /* [set][width] */
    float *h, *y;
    uint32_t to_c;              /* floats from h to an LSTM's second state */
    float x_level;
} cell_job;

/* `parameters`: scales of x, of h (not of float weights), biases. */
KERNEL_INLINE void set_job(cell_job *job, const grulet_task *task, const grulet_stream *stream, uint32_t index,
                           const unsigned char *parameters, uint32_t scales, const float *from_x, const float *from_h)
{
    const float *const floats = (const float *)(const void *)parameters;
    job->from_x = from_x;
    job->from_h = from_h;
    job->x_scales = scales ? floats : ONES;
    job->h_scales = scales ? floats + scales : ONES;
    job->biases = floats + 2 * scales;
    job->h = stream->state + task->h + index * GRULET_BLOCK_ROWS;
    job->y = stream->arena + task->y + index * GRULET_BLOCK_ROWS;
    job->to_c = task->op->units;
    job->x_level = stream->x_level;
}

/* Scales of one matrix in a block: none of float weights. */
KERNEL_INLINE uint32_t scale_count(const mode m, uint32_t sets, uint32_t width) { return is_float(m) ? 0 : sets * width; }

/* What goes into the gate `gate` of the units u..., but for biases: (A_x S_x) level and A_h S_h. */
KERNEL_INLINE void gate_parts(const cell_job *job, uint32_t gate, uint32_t u, uint32_t width, vf *from_x, vf *from_h)
{
    const vf x_scale = load_upto(job->x_scales + gate * width + u, width - u);
    const vf h_scale = load_upto(job->h_scales + gate * width + u, width - u);
    *from_x = vf_mul(vf_mul(vf_load(job->from_x + gate * GRULET_BLOCK_ROWS + u), x_scale), vf_set(job->x_level));
    *from_h = vf_mul(vf_load(job->from_h + gate * GRULET_BLOCK_ROWS + u), h_scale);
}

KERNEL_INLINE vf gate_bias(const cell_job *job, uint32_t bias, uint32_t u, uint32_t width)
{
    return load_upto(job->biases + bias * width + u, width - u);
}

/* (a_x + a_h) + b */
KERNEL_INLINE vf gate_sum(const cell_job *job, uint32_t gate, uint32_t u, uint32_t width)
{
    vf from_x, from_h;
    gate_parts(job, gate, u, width, &from_x, &from_h);
    return vf_add(vf_add(from_x, from_h), gate_bias(job, gate, u, width));
}

/* Below 2^-64 a state is flushed to zero, so that a silent stream never computes with subnormals. */
KERNEL_INLINE vf flushed(vf state)
{
    return vf_less(vf_abs(state), vf_set(5.421010862e-20f), vf_set(0.0f), state); /* 2^-64 */
}

/* Each cell: the units u... of `chains` jobs of equal width in step. */

/* What n is the tanh of: (a_x + b_x) + r (a_h + b_h). */
enum { GRU_Z, GRU_R, GRU_N, GRU_SETS, GRU_BIAS_N_H = 3 };
KERNEL_INLINE vf gru_candidate(const cell_job *job, vf r, uint32_t u, uint32_t width)
{
    vf from_x, from_h;
    gate_parts(job, GRU_N, u, width, &from_x, &from_h);
    from_x = vf_add(from_x, gate_bias(job, GRU_N, u, width));
    from_h = vf_add(from_h, gate_bias(job, GRU_BIAS_N_H, u, width));
    return vf_add(from_x, vf_mul(r, from_h));
}

/* n waits for r, so z is computed between them.  h' = n + z (h - n) stays in [-1, 1]. */
KERNEL_INLINE void gru_gates(const cell_job *jobs, uint32_t u, uint32_t width, uint32_t rows, const int chains)
{
    vf r[CHAINS], z[CHAINS], n[CHAINS];
    EACH_CHAIN(c) r[c] = gate_sum(&jobs[c], GRU_R, u, width);
    sigmoids(r, chains);
    EACH_CHAIN(c) z[c] = gate_sum(&jobs[c], GRU_Z, u, width);
    sigmoids(z, chains);
    EACH_CHAIN(c) n[c] = gru_candidate(&jobs[c], r[c], u, width);
    tanhs(n, chains);
    EACH_CHAIN(c) {
        const vf h = flushed(vf_add(n[c], vf_mul(z[c], vf_sub(load_upto(jobs[c].h + u, rows - u), n[c]))));
        store_upto(jobs[c].h + u, h, rows - u);
        store_upto(jobs[c].y + u, h, rows - u);
    }
}

/* c' = f c + i g and h' = o tanh(c'), which waits for c', so o is computed between them. */
enum { LSTM_I, LSTM_F, LSTM_G, LSTM_O, LSTM_SETS };
KERNEL_INLINE void lstm_gates(const cell_job *jobs, uint32_t u, uint32_t width, uint32_t rows, const int chains)
{
    vf state[CHAINS], gate[CHAINS], g[CHAINS];
    EACH_CHAIN(c) state[c] = gate_sum(&jobs[c], LSTM_F, u, width);
    sigmoids(state, chains);
    EACH_CHAIN(c) state[c] = vf_mul(state[c], load_upto(jobs[c].h + jobs[c].to_c + u, rows - u));
    EACH_CHAIN(c) gate[c] = gate_sum(&jobs[c], LSTM_I, u, width);
    sigmoids(gate, chains);
    EACH_CHAIN(c) g[c] = gate_sum(&jobs[c], LSTM_G, u, width);
    tanhs(g, chains);
    EACH_CHAIN(c) {
        state[c] = flushed(vf_add(state[c], vf_mul(gate[c], g[c])));
        store_upto(jobs[c].h + jobs[c].to_c + u, state[c], rows - u);
    }
    EACH_CHAIN(c) gate[c] = gate_sum(&jobs[c], LSTM_O, u, width);
    sigmoids(gate, chains);
    tanhs(state, chains);
    EACH_CHAIN(c) {
        const vf h = flushed(vf_mul(gate[c], state[c]));
        store_upto(jobs[c].h + u, h, rows - u);
        store_upto(jobs[c].y + u, h, rows - u);
    }
}

KERNEL_INLINE void rnn_gates(const cell_job *jobs, uint32_t u, uint32_t width, uint32_t rows, const int chains)
{
    vf h[CHAINS];
    EACH_CHAIN(c) h[c] = gate_sum(&jobs[c], 0, u, width);
    tanhs(h, chains);
    EACH_CHAIN(c) {
        h[c] = flushed(h[c]);
        store_upto(jobs[c].h + u, h[c], rows - u);
        store_upto(jobs[c].y + u, h[c], rows - u);
    }
}

/* Each cell's gates as functions of their own: of full blocks; and of narrow ones, one by one: there is at most one in a
 * sweep. */
typedef void (*gate_function)(const cell_job *jobs, uint32_t count, uint32_t rows);
enum { FULL_GATES, NARROW_GATES, GATE_FUNCTIONS };
enum { HALF_OF_CHAINS = CHAINS > 1 ? CHAINS / 2 : 1 };

#define GATES_IN_STEP(cell, chains)                                                                                    \
    for (; count >= chains; count -= chains, jobs += chains)                                                           \
        for (uint32_t u = 0; u < GRULET_BLOCK_ROWS; u += LANES)                                                        \
            cell##_gates(jobs, u, GRULET_BLOCK_ROWS, GRULET_BLOCK_ROWS, chains);
#define CELL_FUNCTIONS(cell)                                                                                           \
    static void cell##_full(const cell_job *jobs, uint32_t count, uint32_t rows)                                       \
    {                                                                                                                  \
        (void)rows;                                                                                                    \
        GATES_IN_STEP(cell, CHAINS)                                                                                    \
        if (HALF_OF_CHAINS > 1) GATES_IN_STEP(cell, HALF_OF_CHAINS)                                                    \
        if (CHAINS > 1) GATES_IN_STEP(cell, 1)                                                                         \
    }                                                                                                                  \
    static void cell##_narrow(const cell_job *jobs, uint32_t count, uint32_t rows)                                     \
    {                                                                                                                  \
        for (; count > 0; count--, jobs++)                                                                             \
            for (uint32_t u = 0; u < rows; u += LANES)                                                                 \
                cell##_gates(jobs, u, grulet_round_up(rows, GRULET_GROUP), rows, 1);                                   \
    }                                                                                                                  \
    static const gate_function cell##_table[GATE_FUNCTIONS] = {cell##_full, cell##_narrow};
CELL_FUNCTIONS(gru)
CELL_FUNCTIONS(lstm)
CELL_FUNCTIONS(rnn)

/* Which of them, for blocks of `rows` rows of a cell of `sets` sets. */
KERNEL_INLINE gate_function gates_of(uint32_t sets, uint32_t rows)
{
    const int form = rows < GRULET_BLOCK_ROWS ? NARROW_GATES : FULL_GATES;
    return sets == GRU_SETS ? gru_table[form] : sets == LSTM_SETS ? lstm_table[form] : rnn_table[form];
}

/* ---- sweeps -------------------------------------------------------------------------------------------------------- */

/* |h| <= 1; what a level is worth, 1 / 32767 or 1 / 127, is part of the stored scales. */
static void prepare_h(const grulet_task *task, const grulet_stream *stream)
{
    prepare(stream->h_operand, stream->state + task->h, task->op->units, 1.0f, mode_of(task->op));
}

/* All full blocks of one frame, in tiles.  `projected`: the sums from the input panels, if they are there. */
KERNEL_INLINE void full_blocks_of(const grulet_task *task, const grulet_stream *stream, const cell_layout *at,
                                  const float *projected, const mode m, const uint32_t sets)
{
    const gate_function gates = gates_of(sets, GRULET_BLOCK_ROWS);
    const ptrdiff_t end = (ptrdiff_t)at->end, direction = task->backwards ? -1 : 1;
    uint32_t left = task->op->units / GRULET_BLOCK_ROWS, count;
    ptrdiff_t index = task->backwards ? (ptrdiff_t)left - 1 : 0;
    cell_job jobs[GRULET_TILE];
    for (; left > 0; left -= count) {
        const float *from_h = stream->sums + matrix_sums(sets);
        count = left < GRULET_TILE ? left : GRULET_TILE;
        sums_of_blocks(at, task->data + index * end, direction * end, count, projected ? OF_STATE : OF_INPUT, stream, m,
                       sets);
        for (uint32_t k = 0; k < count; k++, index += direction, from_h += 2 * matrix_sums(sets))
            set_job(&jobs[k], task, stream, (uint32_t)index, task->data + index * end + at->parameters,
                    scale_count(m, sets, GRULET_BLOCK_ROWS),
                    projected ? projected + (uint32_t)index * matrix_sums(sets) : from_h - matrix_sums(sets), from_h);
        gates(jobs, count, GRULET_BLOCK_ROWS);
    }
}

/* Small layers are fast enough to notice looking up what to call: the GRU has a loop of its own, and where an ISA takes
 * several blocks at once, so has each of its integer modes. */
static void full_blocks(const grulet_task *task, const grulet_stream *stream, const cell_layout *at,
                        const float *projected)
{
    const mode m = mode_of(task->op);
    const uint32_t sets = grulet_sets(task->op);
    if (sets != GRU_SETS) full_blocks_of(task, stream, at, projected, m, sets);
    else if (BLOCKS > 1 && m == MODE_INT8_INT8)
        full_blocks_of(task, stream, at, projected, MODE_INT8_INT8, GRU_SETS);
    else if (BLOCKS > 1 && m == MODE_INT8_INT16)
        full_blocks_of(task, stream, at, projected, MODE_INT8_INT16, GRU_SETS);
    else full_blocks_of(task, stream, at, projected, m, GRU_SETS);
}

/* The last block, if it is narrow. */
KERNEL_SHARED void narrow_block(const grulet_task *task, const grulet_stream *stream, const cell_layouts *layouts,
                         const float *projected)
{
    const grulet_op *op = task->op;
    const cell_layout *at = &layouts->narrow;
    const mode m = mode_of(op);
    const uint32_t index = op->units / GRULET_BLOCK_ROWS, rows = op->units % GRULET_BLOCK_ROWS, sets = grulet_sets(op);
    const unsigned char *block = task->data + index * layouts->full.end;
    const void *const x_operand = stream->x_operand, *const h_operand = stream->h_operand;
    float *from_x = stream->sums, *from_h = from_x + matrix_sums(sets);
    cell_job job;
    if (!projected) tile_sums(op, at, block, OF_INPUT, &from_x, &x_operand, 1);
    tile_sums(op, at, block, OF_STATE, &from_x, &h_operand, 1);
    set_job(&job, task, stream, index, block + at->parameters, scale_count(m, sets, at->width),
            projected ? projected + index * matrix_sums(sets) : from_x, from_h);
    gates_of(sets, rows)(&job, 1, rows);
}

/* All blocks of one frame, in the order of the sweep. */
static void cell_frame(const grulet_task *task, const grulet_stream *stream, const cell_layouts *layouts,
                       const float *projected)
{
    const int narrow = task->op->units % GRULET_BLOCK_ROWS != 0;
    if (narrow && task->backwards) narrow_block(task, stream, layouts, projected);
    full_blocks(task, stream, &layouts->full, projected);
    if (narrow && !task->backwards) narrow_block(task, stream, layouts, projected);
}

/* One block of all streams, GRULET_TILE at a time: the block's weights are read once, and then from the nearest cache. */
static void cell_block_of_streams(const grulet_task *task, const cell_layout *at, uint32_t index,
                                  const unsigned char *block, grulet_stream *const *streams, size_t count)
{
    const mode m = mode_of(task->op);
    const uint32_t rows = block_rows(task->op, index), sets = grulet_sets(task->op);
    const gate_function gates = gates_of(sets, rows);
    const void *x_operands[GRULET_TILE], *h_operands[GRULET_TILE];
    float *sums[GRULET_TILE];
    cell_job jobs[GRULET_TILE];
    for (size_t s = 0; s < count; s += GRULET_TILE) {
        const uint32_t frames = count - s < GRULET_TILE ? (uint32_t)(count - s) : GRULET_TILE;
        for (uint32_t k = 0; k < frames; k++) {
            x_operands[k] = streams[s + k]->x_operand;
            h_operands[k] = streams[s + k]->h_operand;
            sums[k] = streams[0]->sums + k * 2 * matrix_sums(sets);
            set_job(&jobs[k], task, streams[s + k], index, block + at->parameters, scale_count(m, sets, at->width), sums[k],
                    sums[k] + matrix_sums(sets));
        }
        tile_sums(task->op, at, block, OF_INPUT, sums, x_operands, frames);
        tile_sums(task->op, at, block, OF_STATE, sums, h_operands, frames);
        gates(jobs, frames, rows);
    }
}

static void cell(const grulet_task *task, grulet_stream *const *streams, size_t count)
{
    cell_layouts layouts;
    find_cell_layouts(&layouts, task->op);
    prepare_x(task, streams, count);
    for (size_t s = 0; s < count; s++) prepare_h(task, streams[s]);
    if (count == 1) {
        cell_frame(task, streams[0], &layouts, NULL);
        return;
    }
    for (uint32_t i = 0; i < block_count(task->op); i++) {
        const uint32_t index = block_index(task, i);
        cell_block_of_streams(task, layout_of(&layouts, task->op, index), index, task->data + index * layouts.full.end,
                              streams, count);
    }
}

/* The input panels for all frames at once; then frame by frame only the recurrent panels. */
static void cell_sequence(const grulet_task *task, grulet_stream *const *lanes, size_t count)
{
    const grulet_op *op = task->op;
    cell_layouts layouts;
    grulet_task step = *task;
    find_cell_layouts(&layouts, op);
    prepare_x(task, lanes, count);
    for (uint32_t index = 0; index < block_count(op); index++) {
        const cell_layout *at = layout_of(&layouts, op, index);
        for (size_t f = 0; f < count; f += GRULET_TILE) {
            const uint32_t frames = count - f < GRULET_TILE ? (uint32_t)(count - f) : GRULET_TILE;
            const void *operands[GRULET_TILE];
            float *sums[GRULET_TILE];
            for (uint32_t k = 0; k < frames; k++) {
                operands[k] = lanes[f + k]->x_operand;
                sums[k] = lanes[f + k]->projected + index * matrix_sums(grulet_sets(op));
            }
            tile_sums(op, at, task->data + index * layouts.full.end, OF_INPUT, sums, operands, frames);
        }
    }
    for (size_t f = 0; f < count; f++, step.backwards ^= 1) {
        prepare_h(&step, lanes[f]);
        cell_frame(&step, lanes[f], &layouts, lanes[f]->projected);
    }
}
