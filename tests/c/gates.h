/* What gates_floats.c and gates_plain.c give gates.c. */
#ifndef GRULET_TESTS_GATES_H
#define GRULET_TESTS_GATES_H

#include <stdint.h>

/* Floats have the functions up to to_finite; grulet_vector_ops.c has all, elu with an alpha of 1. */
enum {
    GATES_SIGMOID,
    GATES_TANH,
    GATES_EXP,
    GATES_FINITE,
    GATES_LOG,
    GATES_SQRT,
    GATES_SOFTPLUS,
    GATES_ELU,
    GATES_FUNCTIONS
};

typedef struct {
    void (*function[GATES_FUNCTIONS])(float *y, const float *x, uint32_t n); /* NULL: it has no such function */
} gates_table;

extern const gates_table gates_plain;
extern const gates_table gates_generic;
extern const gates_table gates_avx2;
extern const gates_table gates_avx512;
extern const gates_table gates_neon;
extern const gates_table gates_armv7;
extern const gates_table gates_simd128;

#endif
