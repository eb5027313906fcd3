/* What this build of the library can run: everything, unless told otherwise.
 *
 * A build for one model is smaller.  It defines GRULET_WITH_DEFAULT 0 and 1 for what the model needs, in a header that
 * GRULET_CONFIG names (cc -DGRULET_CONFIG='"my_model_config.h"') or, in a bundle, at the top of the one source file.
 * A file that needs more is refused when it is opened: GRULET_LEFT_OUT. */
#ifndef GRULET_CONFIG_H
#define GRULET_CONFIG_H

#ifdef GRULET_CONFIG
#include GRULET_CONFIG
#endif

#ifndef GRULET_WITH_DEFAULT
#define GRULET_WITH_DEFAULT 1
#endif

/* Weight formats, with the activations that they are multiplied by. */
#ifndef GRULET_WITH_F32
#define GRULET_WITH_F32 GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_F16
#define GRULET_WITH_F16 GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_INT8_INT16
#define GRULET_WITH_INT8_INT16 GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_INT8_INT8
#define GRULET_WITH_INT8_INT8 GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_INT4_INT16
#define GRULET_WITH_INT4_INT16 GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_INT4_INT8
#define GRULET_WITH_INT4_INT8 GRULET_WITH_DEFAULT
#endif

/* Operators. */
#ifndef GRULET_WITH_GRU
#define GRULET_WITH_GRU GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_LSTM
#define GRULET_WITH_LSTM GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_RNN
#define GRULET_WITH_RNN GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_DENSE
#define GRULET_WITH_DENSE GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_BINARY
#define GRULET_WITH_BINARY GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_AFFINE
#define GRULET_WITH_AFFINE GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_PRELU
#define GRULET_WITH_PRELU GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_CONCAT
#define GRULET_WITH_CONCAT GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_SLICE
#define GRULET_WITH_SLICE GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_SELECT
#define GRULET_WITH_SELECT GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_EMBEDDING
#define GRULET_WITH_EMBEDDING GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_LAYER_NORM
#define GRULET_WITH_LAYER_NORM GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_HISTORY
#define GRULET_WITH_HISTORY GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_DEPTHWISE
#define GRULET_WITH_DEPTHWISE GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_STATES
#define GRULET_WITH_STATES GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_FIRST_FRAME
#define GRULET_WITH_FIRST_FRAME GRULET_WITH_DEFAULT
#endif

/* Functions, alone (an operator of its own) or behind a dense layer.  Cells bring their own sigmoid and tanh; ReLU is
 * always there. */
#ifndef GRULET_WITH_LEAKY_RELU
#define GRULET_WITH_LEAKY_RELU GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_SIGMOID
#define GRULET_WITH_SIGMOID GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_TANH
#define GRULET_WITH_TANH GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_SOFTMAX
#define GRULET_WITH_SOFTMAX GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_CLIP
#define GRULET_WITH_CLIP GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_ELU
#define GRULET_WITH_ELU GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_HARD_SIGMOID
#define GRULET_WITH_HARD_SIGMOID GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_SOFTPLUS
#define GRULET_WITH_SOFTPLUS GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_SOFTSIGN
#define GRULET_WITH_SOFTSIGN GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_THRESHOLDED_RELU
#define GRULET_WITH_THRESHOLDED_RELU GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_EXP
#define GRULET_WITH_EXP GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_LOG
#define GRULET_WITH_LOG GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_SQRT
#define GRULET_WITH_SQRT GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_ABS
#define GRULET_WITH_ABS GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_RECIPROCAL
#define GRULET_WITH_RECIPROCAL GRULET_WITH_DEFAULT
#endif

/* Blocks of full width only (units a multiple of 16) need no code for NARROW ones.  BLOCKS: streams of several frames and
 * grulet_step_many over one read of the weights; without, both are loops over steps.  SEQUENCES: layers that run backwards.
 * LOOPS: operators that run together, frame by frame.  SAVE: grulet_save and grulet_restore. */
#ifndef GRULET_WITH_NARROW
#define GRULET_WITH_NARROW GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_BLOCKS
#define GRULET_WITH_BLOCKS GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_SEQUENCES
#define GRULET_WITH_SEQUENCES GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_LOOPS
#define GRULET_WITH_LOOPS GRULET_WITH_DEFAULT
#endif
#ifndef GRULET_WITH_SAVE
#define GRULET_WITH_SAVE GRULET_WITH_DEFAULT
#endif

/* What follows from these.  ELEMENTWISE: functions that kernels do not have;
 * VECTOR_OPS: any part of grulet_vector_ops.c. */
#define GRULET_HAS_CELLS (GRULET_WITH_GRU || GRULET_WITH_LSTM || GRULET_WITH_RNN)
#define GRULET_HAS_INT8 (GRULET_WITH_INT8_INT16 || GRULET_WITH_INT8_INT8)
#define GRULET_HAS_INT4 (GRULET_WITH_INT4_INT16 || GRULET_WITH_INT4_INT8)
#define GRULET_HAS_ELEMENTWISE                                                                                         \
    (GRULET_WITH_CLIP || GRULET_WITH_ELU || GRULET_WITH_HARD_SIGMOID || GRULET_WITH_SOFTPLUS ||                        \
     GRULET_WITH_SOFTSIGN || GRULET_WITH_THRESHOLDED_RELU || GRULET_WITH_EXP || GRULET_WITH_LOG || GRULET_WITH_SQRT || \
     GRULET_WITH_ABS || GRULET_WITH_RECIPROCAL)
#define GRULET_HAS_VECTOR_OPS                                                                                          \
    (GRULET_HAS_ELEMENTWISE || GRULET_WITH_BINARY || GRULET_WITH_AFFINE || GRULET_WITH_PRELU || GRULET_WITH_CONCAT ||  \
     GRULET_WITH_SLICE || GRULET_WITH_SELECT || GRULET_WITH_EMBEDDING || GRULET_WITH_LAYER_NORM ||                     \
     GRULET_WITH_HISTORY || GRULET_WITH_DEPTHWISE || GRULET_WITH_STATES || GRULET_WITH_FIRST_FRAME)

#endif
