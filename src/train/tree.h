/*
 * tree.h - graded answers become the tree that a training pass computes: every shared beginning once.
 *
 *     trunk (what all prompts begin with) -> prompts -> answers, parting where their tokens part
 *
 * A row is a token with a place; a target says that after a row some answers went on with a token, with the sum of
 * their coefficients. Equal answers cost as much as one. The order of rows and of every sum is that of the answers.
 */
#ifndef HONE_TRAIN_TREE_H
#define HONE_TRAIN_TREE_H

#include "model/forward.h"

struct answer_rules;

struct tree_answer {
    const token_id *tokens; /* [n] */
    const float *logprobs;  /* [n] as sampled */
    const bool *masked;     /* [n] no gradient (injected tokens); NULL: none */
    size_t n;
    float coefficient;       /* the advantage: the same for all of its tokens */
    struct saved_row **rows; /* [n] the tokens' rows as far as they were kept; NULL: none */
};

struct tree_group {
    const token_id *prompt;
    size_t n_prompt;
    const struct tree_answer *answers;
    size_t n_answers;
    struct saved_row **prompt_rows;   /* [n_prompt]; NULL: none */
    const struct answer_rules *rules; /* what its answers were held to (retrace.h); NULL: nothing */
    const struct tree_answer
        *anew; /* one that is computed again, prompt and all, whatever was kept; NULL: none */
};

struct target {
    uint32_t row;
    token_id id;
    uint32_t count;      /* answers that went this way */
    uint32_t answer, at; /* the first of them, among its group's, and at which of its tokens */
    const struct tree_group *group;
    float coefficient; /* the sum of theirs */
    float sampled;     /* log-probability when it was drawn */
    float logp;        /* filled by the loss: log-probability now */
    bool top;          /* filled by the loss: no token is likelier */
};

#define NO_TARGET UINT32_MAX

struct train_tree {
    size_t m;                 /* rows */
    token_id *tokens;         /* [m] */
    struct saved_row **known; /* [m] NULL where a row was not kept */
    struct span *spans;
    size_t n_spans;
    struct target *targets; /* those of a row together, in the order of the answers */
    size_t n_targets;
    size_t n_tokens; /* drawn tokens that the targets stand for: the sum of their counts */
    uint32_t *path;  /* of each answer's tokens, one after another: their target, or NO_TARGET */
};

/*
 * Segments come from the pool and go back with tree_release. Everything else lives in the arena, but for the groups, which outlive
 * the tree.
 */
MUST_CHECK bool tree_build(const struct tree_group *groups, size_t n_groups, struct kv_pool *pool,
                           struct arena *a, struct train_tree *out, struct error *err);
void tree_release(struct train_tree *t, struct kv_pool *pool);
/* Its rows as a forward pass takes them. */
struct batch tree_batch(const struct train_tree *t);

/* What a forward pass says of an answer: of its tokens that are not masked. */
struct answer_logp {
    double logp;     /* their sum, in the order of the tokens */
    size_t n, n_top; /* tokens; those that no other was likelier than */
};
/* answers[]: of all groups, one after another. After the targets were filled. */
void tree_measure(const struct train_tree *t, const struct tree_group *groups, size_t n_groups,
                  struct answer_logp *answers);
/* Gives the targets the coefficients that tree_build would give them, were these the answers'. */
void tree_weigh(struct train_tree *t, const struct tree_group *groups, size_t n_groups,
                const float *coefficients);
/* Rows that tree_build would make: to cut a step into passes. */
size_t tree_rows(const struct tree_group *groups, size_t n_groups, struct arena *a);
#endif
