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

/*
 * A tree whose edges lie in a hash table: equal sequences of symbols lead from the root, 0, to one node, whose number
 * then stands for them. Made for so many edges, which the caller knows; it does not grow.
 */
struct word_tree {
    uint64_t *edge; /* [mask + 1] from a node by a symbol */
    uint32_t *node; /* [mask + 1] where it leads; 0: the slot is free */
    size_t mask; /* slots - 1; slots are a power of two, at least twice the edges: short probes */
    uint32_t n_nodes; /* numbers 1 to n_nodes are given out */
};
MUST_CHECK bool word_tree_init(struct word_tree *t, size_t n_edges, struct arena *a,
                               struct error *err);
void word_tree_clear(struct word_tree *t);
/* The node that symbol leads to from a node, a new one where there is none. */
uint32_t word_tree_follow(struct word_tree *t, uint32_t from, uint32_t symbol);
/* The same, 0 where there is none. */
uint32_t word_tree_find(const struct word_tree *t, uint32_t from, uint32_t symbol);

/* The words of bleu, gleu and meteor, Python's \w+|[^\w\s]+, are the longest rows of one kind other than blanks. */
enum word_kind { WORD_BLANK, WORD_LETTER, WORD_PUNCTUATION };
enum word_kind word_kind_of(uint32_t c);

/* The metrics of words: ngrams.c. */
MUST_CHECK similarity_fn similarity_bleu, similarity_gleu, similarity_rouge_1, similarity_rouge_2,
    similarity_rouge_3, similarity_rouge_4, similarity_rouge_5, similarity_rouge_l;

/* meteor.c */
MUST_CHECK similarity_fn similarity_meteor;
MUST_CHECK bool similarity_meteor_prepare(struct error *err);
#endif
