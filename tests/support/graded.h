/*
 * graded.h - the golden batches of prompts and graded continuations, as rows of a training pass; and a loss of its own.
 *
 *     loss = sum over i, j, t of coefficients[t] * -ln p(ids[t] | prompt, ids before t)
 *
 * The head is differentiated here in double precision, row by row: slow, and independent of src/train/loss.c.
 */
#ifndef HONE_TESTS_GRADED_H
#define HONE_TESTS_GRADED_H

#include "support/golden.h"
#include "support/rig.h"

struct graded_answer {
    const token_id *ids;
    const float *coefficients, *logprobs; /* [n] */
    size_t n;
};

struct graded_prompt {
    const token_id *ids;
    size_t n, n_answers;
    struct graded_answer *answers;
};

struct graded {
    json_t *json; /* the whole file, for what else it says */
    size_t n_prompts;
    struct graded_prompt *prompts;
};
struct graded graded_open(const char *name, struct arena *a); /* "tiny/adapter-batch.json" */
void graded_close(struct graded *g);

enum layout {
    LAYOUT_SHARED,   /* a prompt is computed once, its continuations hang on it */
    LAYOUT_SEPARATE, /* each continuation is a sequence of its own, prompt and all */
};

struct graded_target {
    size_t row;
    token_id id;
    float coefficient, expected; /* the reference's log-probability */
    double logprob;              /* ours */
};

struct laid {
    size_t m, n_spans, n_targets;
    token_id *tokens;
    struct span *spans;
    struct graded_target *targets;
};

/* Forward, loss and backward over prompts first .. first + n - 1; gradients are added as training_backward adds them.
   Returns the loss; worst, where not NULL, is raised to the largest distance from the reference's log-probabilities. */
double graded_pass(const struct graded *g, size_t first, size_t n, enum layout layout,
                   struct rig *r, struct adapter *ad, bool keep_all, double *worst);
/* The loss alone. */
double graded_loss(const struct graded *g, struct rig *r, const struct adapter *ad);
#endif
