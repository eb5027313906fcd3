/* Steps and runs: a frame, or many, through all operators. */
#include "grulet_config.h"
#include "grulet_inline.h"
#include "grulet_kernel.h"

#include <string.h>

/* What runs an operator.  The kernels' functions are those up to softmax. */
static grulet_op_function function_of(const grulet_op *op, int sequence)
{
    if (GRULET_HAS_CELLS && grulet_is_cell(op))
        return GRULET_WITH_BLOCKS && sequence ? grulet_cell_sequence : grulet_cell;
    if (GRULET_WITH_DENSE && op->kind == GRULET_OP_DENSE) return grulet_dense;
    if (op->kind == GRULET_OP_ACTIVATION && op->function <= GRULET_FUNCTION_SOFTMAX) return grulet_activation;
    return GRULET_HAS_VECTOR_OPS ? grulet_vector_op : NULL;
}

/* One operator for one frame of each of `count` streams, or (`sequence`) for `count` frames of one.  Inlined into the step of one
 * stream alone, for the sake of the smallest layers: elsewhere run_op. */
KERNEL_INLINE void run_op_here(const grulet_kernel *kernel, const grulet_op *op, grulet_stream *const *streams, size_t count,
                   int sequence, uint32_t backwards)
{
    const grulet_tables *t = &streams[0]->tables;
    grulet_task task = {kernel, op, t->file + op->data, 0, 0, t->values[op->output].offset, 0, backwards};
    if (op->input != GRULET_NONE) task.x = t->values[op->input].offset;
    if (op->second_input != GRULET_NONE) task.x2 = t->values[op->second_input].offset;
    if (op->state != GRULET_NONE) task.h = t->states[op->state].offset;
    function_of(op, sequence)(&task, streams, count);
}

KERNEL_SHARED void run_op(const grulet_kernel *kernel, const grulet_op *op, grulet_stream *const *streams, size_t count,
                          int sequence, uint32_t backwards)
{
    run_op_here(kernel, op, streams, count, sequence, backwards);
}

/* Exchange the first and the last of `count` lanes, the second and the last but one, ... */
KERNEL_SMALL void reverse(grulet_stream **lanes, size_t count)
{
    for (size_t f = 0; f < count / 2; f++) {
        grulet_stream *const other = lanes[f];
        lanes[f] = lanes[count - 1 - f];
        lanes[count - 1 - f] = other;
    }
}

static uint32_t loop_of(const grulet_op *op) { return op->schedule >> GRULET_LOOP_SHIFT; }

/* All operators for `count` frames of one stream, frame f in lane f.  An operator alone runs over all frames at once, so
 * that what it reads stays in cache; those of a loop run together, frame by frame, because what one of them writes in a
 * frame another reads in the next.  What goes backwards in time gets the lanes in reverse order. */
KERNEL_SMALL void run_frames(const grulet_kernel *kernel, grulet_stream **lanes, size_t count)
{
    const grulet_op *op = lanes[0]->tables.ops, *const end = op + lanes[0]->tables.header->ops;
    const uint32_t backwards = lanes[0]->backwards;
    while (op < end) {
        const grulet_op *const first = op++;
        if (first->schedule & GRULET_REVERSE) reverse(lanes, count);
        if (loop_of(first) == 0) run_op(kernel, first, lanes, count, count > 1, backwards);
        else {
            while (op < end && loop_of(op) == loop_of(first)) op++;
            for (size_t f = 0; f < count; f++)
                for (const grulet_op *o = first; o < op; o++) run_op(kernel, o, &lanes[f], 1, 0, (backwards + f) & 1);
        }
        if (first->schedule & GRULET_REVERSE) reverse(lanes, count);
    }
}

/* All operators for one frame of each of `count` streams: of one, in a build without blocks. */
static void step_streams(const grulet_kernel *kernel, grulet_stream *const *streams, size_t count)
{
    const grulet_tables *t = &streams[0]->tables;
    for (uint32_t o = 0; o < t->header->ops; o++) run_op(kernel, &t->ops[o], streams, count, 0, streams[0]->backwards);
    streams[0]->backwards ^= 1;
}

static int tokens_allowed(const float *x, uint32_t n, uint32_t limit)
{
    for (uint32_t i = 0; i < n; i++)
        if (!(x[i] >= 0.0f && x[i] < (float)limit) || x[i] != (float)(uint32_t)x[i]) return 0;
    return 1;
}

/* Copy a frame into the arena; 0 if it is a bad one. */
static int accept_frame(const grulet_kernel *kernel, grulet_stream *stream, const float *x)
{
    const grulet_tables *t = &stream->tables;
    stream->frame_peak = kernel->floats->take_frame(stream->arena, x, (uint32_t)stream->input_width);
    if (!(stream->frame_peak < infinite_float())) return 0;
    for (uint32_t p = 0; p < t->header->inputs; p++) { /* input port p is value p */
        const grulet_value *value = &t->values[p];
        if (t->ports[p].kind == GRULET_PORT_TOKENS &&
            !tokens_allowed(stream->arena + value->offset, value->width, t->ports[p].limit))
            return 0;
    }
    return 1;
}

static void give_outputs(const grulet_stream *stream, float *y)
{
    const grulet_tables *t = &stream->tables;
    const grulet_port *outputs = t->ports + t->header->inputs;
    for (uint32_t p = 0; p < t->header->outputs; p++) {
        const grulet_value *value = &t->values[outputs[p].value];
        memcpy(y, stream->arena + value->offset, value->width * sizeof(float));
        y += value->width;
    }
}

grulet_status grulet_step(grulet_stream *s, float *y, const float *x)
{
    const grulet_kernel *kernel = grulet_kernel_used();
    if (s->needs_sequence) return GRULET_NEEDS_SEQUENCE;
    if (!accept_frame(kernel, s, x)) return GRULET_BAD_FRAME;
    const grulet_op *op = s->tables.ops, *const end = op + s->tables.header->ops;
    for (; op < end; op++) run_op_here(kernel, op, &s, 1, 0, s->backwards);
    s->backwards ^= 1;
    give_outputs(s, y);
    return GRULET_OK;
}

grulet_status grulet_step_operator(grulet_stream *s, uint32_t index)
{
    if (index >= s->tables.header->ops) return GRULET_NO_OPERATOR;
    run_op(grulet_kernel_used(), &s->tables.ops[index], &s, 1, 0, s->backwards);
    return GRULET_OK;
}

grulet_status grulet_step_many(grulet_stream *const *streams, size_t count, float *y, const float *x)
{
    const grulet_kernel *kernel = grulet_kernel_used();
    if (count == 0) return GRULET_OK;
    for (size_t s = 0; s < count; s++)
        if (streams[s]->tables.file != streams[0]->tables.file) return GRULET_OTHER_MODEL;
    if (streams[0]->needs_sequence) return GRULET_NEEDS_SEQUENCE;
    for (size_t s = 0; s < count; s++)
        if (!accept_frame(kernel, streams[s], x + s * streams[s]->input_width)) return GRULET_BAD_FRAME;
    const size_t together = GRULET_WITH_BLOCKS ? count : 1;
    for (size_t s = 0; s < count; s += together) step_streams(kernel, streams + s, together);
    for (size_t s = 0; s < count; s++) give_outputs(streams[s], y + s * streams[s]->output_width);
    return GRULET_OK;
}

/* Up to `block` frames. */
KERNEL_SMALL void run_block(const grulet_kernel *kernel, grulet_stream *s, float *y, const float *x, size_t frames)
{
    if (!GRULET_WITH_BLOCKS) {
        (void)grulet_step(s, y, x);
        return;
    }
    for (size_t f = 0; f < frames; f++) (void)accept_frame(kernel, s->lanes[f], x + f * s->input_width);
    run_frames(kernel, s->lanes, frames);
    for (size_t f = 0; f < frames; f++) give_outputs(s->lanes[f], y + f * s->output_width);
}

grulet_status grulet_run(grulet_stream *s, float *y, const float *x, size_t frames)
{
    const grulet_kernel *kernel = grulet_kernel_used();
    if (s->needs_sequence && frames > s->block) return GRULET_LONG_SEQUENCE;
    for (size_t f = 0; f < frames; f++)
        if (!accept_frame(kernel, s, x + f * s->input_width)) return GRULET_BAD_FRAME;
    if (s->needs_sequence && frames > 0) grulet_stream_reset(s);
    for (size_t f = 0; f < frames; f += s->block) {
        const size_t count = frames - f < s->block ? frames - f : s->block;
        run_block(kernel, s, y + f * s->output_width, x + f * s->input_width, count);
    }
    return GRULET_OK;
}
