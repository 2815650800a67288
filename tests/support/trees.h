/*
 * trees.h - random trees of tokens, and computing them in pieces.
 */
#ifndef HONE_TESTS_TREES_H
#define HONE_TESTS_TREES_H

#include "model/attention.h"
#include "support/numbers.h"
#include "text/tokenizer.h"

#define NO_PARENT ((size_t)-1)

struct tree_segment { /* a run of rows without a fork */
    size_t parent;    /* an earlier one, or NO_PARENT */
    size_t row, n;    /* its rows among all */
    size_t start;     /* position of the first */
};

struct
    trees { /* several; depth first, so each tree's segments lie together and parents come before children */
    size_t n_segments, m;
    struct tree_segment *segments;
    token_id *tokens; /* [m] */
    uint32_t *before; /* [m] the row that a row follows; its own number for a first one */
};
/* About max_rows rows in all; ids below vocab. */
struct trees trees_make(struct dice *d, size_t max_rows, size_t vocab, struct arena *a);

/* The path of a segment from the root as rows; returns their number. */
size_t trees_path(const struct trees *t, size_t segment, uint32_t *rows);

/*
 * What is still to be computed of some trees. Each step takes rows at random and in any order of segments, or all that is
 * left in theirs, so that parents are always computed before their children, or with them.
 */
struct growth {
    const struct trees *trees;
    struct kv_pool *pool;
    struct kv_segment **segs; /* [n_segments]; NULL: not begun */
    size_t *done;             /* [n_segments] */
    size_t *order;            /* [n_segments] parents before children */
    struct span *spans;       /* of the coming step */
    size_t n_spans, m;
    uint32_t *rows;   /* [m] which rows of the trees they are */
    token_id *tokens; /* [m] */
};
struct growth growth_begin(const struct trees *t, struct kv_pool *pool, struct arena *a);
/* False where nothing is left. d NULL: everything in one step. Rooms are reserved. */
bool growth_step(struct growth *g, struct dice *d);
bool growth_row(struct growth *g); /* the next row alone */
void growth_end(struct growth *g);
#endif
