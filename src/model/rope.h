/*
 * rope.h - the angles of rotary positions (RoPE, arXiv:2104.09864), and how models stretch them to longer texts.
 *
 * At position p the pair i of a head turns by p * f[i]; plain: f[i] = base^(-2 i / width). Cosines and sines are multiplied by an
 * attention factor, for what is far away is otherwise weighed too evenly.
 *
 *     ROPE_LINEAR   f / factor (arXiv:2306.15595)
 *     ROPE_LLAMA3   f / factor where fewer than `low` turns fit into the original context, f where more than `high` do, and between
 *                   the two something between (Llama 3.1)
 *     ROPE_YARN     the same with pairs counted evenly between `high` and `low` turns, and an attention factor of
 *                   0.1 ln(factor) + 1 unless another is given (arXiv:2309.00071)
 *     ROPE_FACTORS  f[i] / short_factor[i], or long_factor[i] where the model is opened for more than `original` positions
 *                   (LongRoPE, arXiv:2402.13753). transformers decides by each text's length: there a row's numbers depend
 *                   on what follows it, which they never do here.
 */
#ifndef HONE_MODEL_ROPE_H
#define HONE_MODEL_ROPE_H

#include <stdbool.h>
#include <stddef.h>

#define ROPE_MAX_FACTORS 256 /* pairs */

enum rope_scaling { ROPE_PLAIN, ROPE_LINEAR, ROPE_LLAMA3, ROPE_YARN, ROPE_FACTORS };

struct rope_spec {
    enum rope_scaling scaling;
    double base;   /* theta, >= 1; 0: there is no such rotation */
    double factor; /* > 0 */
    double original;
    double low, high;        /* turns; of YaRN its beta_slow and beta_fast */
    bool whole_pairs;        /* YaRN: the ends of the ramp are whole pairs */
    double attention_factor; /* 0: as the scaling has it */
    size_t n_factors;        /* width / 2 with ROPE_FACTORS */
    float short_factor[ROPE_MAX_FACTORS], long_factor[ROPE_MAX_FACTORS];
};

/* f[width / 2], for a model opened for so many positions; returns the attention factor. */
double rope_frequencies(const struct rope_spec *r, size_t width, size_t max_positions, double *f);
#endif
