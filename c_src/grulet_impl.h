/* Private to c_src: the file's records as they lie in memory, the stream, and what an ISA file provides. */
#ifndef GRULET_IMPL_H
#define GRULET_IMPL_H

#include "grulet.h"
#include "grulet_config.h"

#include <string.h>

enum {
    GRULET_FORMAT_VERSION = 1,
    GRULET_ALIGN = 64,          /* bytes: weights, panels, the parts of a stream */
    GRULET_BLOCK_ROWS = 16,     /* rows of a full weight block */
    GRULET_GROUP = 4,           /* inputs of a weight group */
    GRULET_PAIR = 8,            /* inputs of a pair of groups, which share bytes where weights are int4 */
    GRULET_MULTIPLIER_INPUTS = 32, /* inputs of an int4 row that share a multiplier */
    GRULET_MAX_MULTIPLIER = 15, /* so that an int4 weight times its multiplier is an int8 weight: at most 120 */
    GRULET_SPAN = 512,          /* inputs whose products are summed as exact int32: 512 * 127 * 32767 < 2^31 */
    GRULET_TILE = GRULET_WITH_BLOCKS ? 4 : 1, /* blocks or frames whose gates are computed together; FRAMES is no larger */
    GRULET_MAX_SETS = 4,        /* sets of rows of a recurrent cell: an LSTM's gates */
    GRULET_MAX_WIDTH = 65536,   /* elements of any vector */
    GRULET_MAX_TOKENS = 1 << 24, /* floats are exact so far: the largest limit of a token port, the longest history */
    GRULET_MAX_RECORDS = 1024   /* ports, values, states, operators: each */
};
#define GRULET_NONE 0xFFFFFFFFu

enum {
    GRULET_OP_GRU = 1,
    GRULET_OP_DENSE = 2,
    GRULET_OP_ACTIVATION = 3,
    GRULET_OP_LSTM = 4,
    GRULET_OP_RNN = 5,
    GRULET_OP_BINARY = 6,
    GRULET_OP_AFFINE = 7,
    GRULET_OP_PRELU = 8,
    GRULET_OP_CONCAT = 9,
    GRULET_OP_SLICE = 10,
    GRULET_OP_SELECT = 11,
    GRULET_OP_EMBEDDING = 12,
    GRULET_OP_LAYER_NORM = 13,
    GRULET_OP_HISTORY = 14,
    GRULET_OP_DEPTHWISE = 15,
    GRULET_OP_STATE_READ = 16,
    GRULET_OP_STATE_WRITE = 17,
    GRULET_OP_FIRST_FRAME = 18,
    GRULET_OP_KINDS
};
enum { GRULET_PORT_NUMBERS = 0, GRULET_PORT_TOKENS = 1 };
enum {
    GRULET_WEIGHTS_NONE = 0,
    GRULET_WEIGHTS_F32 = 1,
    GRULET_WEIGHTS_INT8 = 2,
    GRULET_WEIGHTS_INT4 = 3,
    GRULET_WEIGHTS_F16 = 4,
    GRULET_WEIGHTS_FORMATS
};
enum { GRULET_ACTIVATIONS_F32 = 0, GRULET_ACTIVATIONS_INT16 = 1, GRULET_ACTIVATIONS_INT8 = 2 };
enum {
    GRULET_FUNCTION_NONE = 0,
    GRULET_FUNCTION_RELU = 1,
    GRULET_FUNCTION_LEAKY_RELU = 2,
    GRULET_FUNCTION_SIGMOID = 3,
    GRULET_FUNCTION_TANH = 4,
    GRULET_FUNCTION_SOFTMAX = 5, /* those so far are the kernels' */
    GRULET_FUNCTION_CLIP = 6,
    GRULET_FUNCTION_ELU = 7,
    GRULET_FUNCTION_HARD_SIGMOID = 8,
    GRULET_FUNCTION_SOFTPLUS = 9,
    GRULET_FUNCTION_SOFTSIGN = 10,
    GRULET_FUNCTION_THRESHOLDED_RELU = 11,
    GRULET_FUNCTION_EXP = 12,
    GRULET_FUNCTION_LOG = 13,
    GRULET_FUNCTION_SQRT = 14,
    GRULET_FUNCTION_ABS = 15,
    GRULET_FUNCTION_RECIPROCAL = 16, /* those so far have one argument */
    GRULET_FUNCTION_ADD = 17,
    GRULET_FUNCTION_SUB = 18,
    GRULET_FUNCTION_MUL = 19,
    GRULET_FUNCTION_DIV = 20,
    GRULET_FUNCTION_MIN = 21,
    GRULET_FUNCTION_MAX = 22
};

/* The records of the file, read in place (docs/format.md).  All members are 4 bytes, so there is no padding. */
typedef struct { uint32_t offset, width; } grulet_value;
typedef struct { uint32_t value, kind, limit; char name[52]; } grulet_port;
typedef struct { uint32_t op, offset, width, initial; } grulet_state;
typedef struct {
    uint32_t kind, input, output, second_input;
    uint32_t weights, activations, inputs, units;
    uint32_t function;
    float alpha, beta;          /* beta of operators with int8 panels: the static range of the input */
    uint32_t state, data, data_bytes;
    uint32_t parameter;         /* by kind */
    uint32_t schedule;          /* GRULET_REVERSE or 0, and the number of the loop (0: none) << GRULET_LOOP_SHIFT */
} grulet_op;
enum { GRULET_REVERSE = 1, GRULET_LOOP_SHIFT = 1 }; /* reverse: from the last frame of the sequence to the first */
typedef struct {
    unsigned char magic[8];
    uint32_t version, crc32, file_bytes;
    uint32_t inputs, outputs, values, ops, states;
    uint32_t arena_floats, state_floats, text_bytes, data, data_bytes, reserved;
} grulet_header;

/* Where the tables lie: fixed by the header's counts, so never stored.  Shared by the checker and the stream. */
typedef struct {
    const grulet_header *header;
    const grulet_port *ports;   /* inputs, then outputs */
    const grulet_op *ops;
    const grulet_state *states;
    const grulet_value *values;
    const unsigned char *file;
} grulet_tables;

grulet_tables grulet_tables_of(const void *file);

/* Sets of rows in an operator's weight blocks; 0: it has none.  Up to three sets share a panel, a fourth has its own. */
static inline uint32_t grulet_sets(const grulet_op *op)
{
    switch (op->kind) {
    case GRULET_OP_GRU: return 3;
    case GRULET_OP_LSTM: return 4;
    case GRULET_OP_RNN:
    case GRULET_OP_DENSE: return 1;
    default: return 0;
    }
}
enum { GRULET_PANEL_SETS = 3 };

/* A recurrent cell has two matrices of that many sets, for its input and for its hidden state, and its own state. */
static inline int grulet_is_cell(const grulet_op *op)
{
    return op->kind == GRULET_OP_GRU || op->kind == GRULET_OP_LSTM || op->kind == GRULET_OP_RNN;
}

/* Are its weights integers with scales (and its activations, where they are multiplied)? */
static inline int grulet_is_quantized(const grulet_op *op)
{
    return op->weights == GRULET_WEIGHTS_INT8 || op->weights == GRULET_WEIGHTS_INT4;
}

/* Bytes of `inputs` weights of one row, rounded up to what the format stores together. */
static inline uint64_t grulet_weight_bytes_of(uint32_t weights, uint64_t inputs)
{
    switch (weights) {
    case GRULET_WEIGHTS_F32: return 4 * inputs;
    case GRULET_WEIGHTS_F16: return 2 * inputs;
    case GRULET_WEIGHTS_INT4: return (inputs + 1) / 2;
    default: return inputs;
    }
}

static inline float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The number that an IEEE half holds, which must be finite.  A subnormal one becomes a normal float: nothing here depends on
 * whether a CPU flushes.  No branches: signs of weights cannot be predicted. */
static inline float grulet_half(uint16_t half)
{
    const uint32_t magnitude = half & 0x7FFFu;
    const float subnormal = (float)magnitude * 5.960464478e-8f; /* 2^-24 */
    uint32_t bits, subnormal_bits;
    memcpy(&subnormal_bits, &subnormal, sizeof subnormal_bits);
    bits = magnitude < 0x400u ? subnormal_bits : (magnitude << 13) + (112u << 23);
    return float_of_bits(bits | (half & 0x8000u) << 16);
}

/* Spelled by its bits: INFINITY of <math.h> may be an expression that overflows. */
static inline float infinite_float(void) { return float_of_bits(0x7F800000u); }

/* Bytes of one operator's weights.  64-bit: sizes come from the file and must not wrap. */
uint64_t grulet_op_data_bytes(const grulet_op *op);

grulet_status grulet_check_file(const void *file, size_t bytes);
/* Are these numbers in the file, as large as grulet_op_data_bytes, such that no step can go wrong? */
int grulet_data_allowed(const grulet_op *op, const unsigned char *data);
/* May the state that this operator owns hold these floats (at any address)? */
int grulet_state_allowed(const grulet_op *op, const void *floats);
uint64_t grulet_state_floats(const grulet_op *op); /* 0: it owns none */
int grulet_all_zero(const void *data, uint64_t bytes);
int grulet_same_bytes(const void *a, const void *b, size_t bytes); /* memcmp is not among what the library needs */
uint32_t grulet_crc32(uint32_t crc, const void *data, size_t bytes);

static inline uint32_t grulet_round_up(uint32_t n, uint32_t to) { return (n + to - 1) / to * to; }

/* An operand: a vector as the dot products want it, up to 4 bytes an element, zero-padded to whole 64-byte lines.  Integers
 * take at most two: behind them is room for what an ISA computes once a frame. */
static inline size_t grulet_operand_bytes(uint32_t n) { return (size_t)grulet_round_up(n, 64) * 4; }

/* In the caller's memory.  The first part belongs to one frame in flight.  A stream made for blocks of frames has `block`
 * lanes, all with the stream's own state: frame f of a block runs in lane f, and lane 0 is the stream itself. */
struct grulet_stream {
    float *arena;               /* all values of the frame */
    float *state;               /* of all operators, next to each other */
    void *x_operand;            /* the current operator's input, prepared */
    void *h_operand;            /* and its hidden state */
    float x_level;              /* what one level of x_operand is worth */
    float frame_peak;           /* the largest magnitude of the frame, as it was copied */
    float *projected;           /* a cell's sums from its input panels, [block of rows][set][16]; NULL if block is 1 */
    void *sweep;                /* what a cell keeps while it is swept: not on the stack, which boards have little of */
    float *sums;                /* [GRULET_TILE][2][set][16]: sums that wait for their gates */

    uint32_t backwards;         /* 1 on every second frame: see grulet_task */
    grulet_tables tables;
    size_t block, input_width, output_width;
    struct grulet_stream **lanes;
    uint32_t needs_sequence;    /* of the model */
};

/* One operator and where its vectors lie: x, x2 and y in the arenas, h in the states (offsets in floats).
 * `backwards`: sweep the blocks of rows from the last to the first.  Every second step does so, because the end of the
 * weights is what the caches still hold of a model larger than they are.  Blocks are independent: same bits. */
typedef struct grulet_kernel grulet_kernel; /* grulet_kernel.h */
typedef struct {
    const grulet_kernel *kernel;
    const grulet_op *op;
    const unsigned char *data;
    uint32_t x, x2, y, h;
    uint32_t backwards;
} grulet_task;

/* Runs one frame of each of `count` streams, over one read of the weights. */
typedef void (*grulet_op_function)(const grulet_task *task, grulet_stream *const *streams, size_t count);

void grulet_cell(const grulet_task *task, grulet_stream *const *streams, size_t count);  /* gru, lstm, rnn */
void grulet_dense(const grulet_task *task, grulet_stream *const *streams, size_t count);
void grulet_activation(const grulet_task *task, grulet_stream *const *streams, size_t count); /* up to softmax */
void grulet_vector_op(const grulet_task *task, grulet_stream *const *streams, size_t count);  /* all the others */

size_t grulet_sweep_bytes(void);

/* `count` frames of one stream, one in each of its lanes. */
void grulet_cell_sequence(const grulet_task *task, grulet_stream *const *lanes, size_t count);

/* Never NULL after grulet_model_open has succeeded once. */
const grulet_kernel *grulet_kernel_used(void);

#endif
