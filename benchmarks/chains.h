/* What benchmarks/chains.c measures of one kernel's own arithmetic. */
#ifndef CHAINS_H
#define CHAINS_H

#include <stddef.h>

/* Each gives nanoseconds, of `count` turns. */
enum { CHAIN_F32, CHAIN_INT8_INT16, CHAIN_INT8_INT8 };
typedef double chain(int format, size_t count);

/* From a state to the next, by nothing but instructions that wait for each other: 16 units are quantized, multiply one group
 * of weights, and go through their gates.  A turn begins with what the one before ended with. */
chain state_chain;

/* The same from a frame to its answer: its largest magnitude and the division by it come before. */
chain frame_chain;

/* The gates of 16 units, where many are there that do not wait for each other. */
chain gates_alone;

#endif
