/*
 * similarity_internal.h - what the metrics share: texts as numbers, and how much of their order is common.
 */
#ifndef HONE_GRADE_SIMILARITY_INTERNAL_H
#define HONE_GRADE_SIMILARITY_INTERNAL_H

#include "grade/similarity.h"

#include <stdint.h>

/* The code points of s; NULL where memory is out or there are more than LIMIT_SIMILARITY. */
MUST_CHECK const uint32_t *similarity_code_points(struct str s, struct arena *a, size_t *n,
                                                  struct error *err);

/* Length of the longest common subsequence of x and y, at most LIMIT_SIMILARITY numbers each. */
size_t similarity_common_length(const uint32_t *x, size_t n_x, const uint32_t *y, size_t n_y,
                                struct arena *a);

/* The metrics of words: ngrams.c. */
MUST_CHECK similarity_fn similarity_bleu, similarity_gleu, similarity_rouge_1, similarity_rouge_2,
    similarity_rouge_3, similarity_rouge_4, similarity_rouge_5, similarity_rouge_l;
#endif
