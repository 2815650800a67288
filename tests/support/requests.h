/*
 * requests.h - requests of every kind for the tiny model, and comparing what they got, to the bit.
 */
#ifndef HONE_TESTS_REQUESTS_H
#define HONE_TESTS_REQUESTS_H

#include "sample/engine.h"
#include "support/rig.h"

struct setting {
    struct rig rig;
    const struct model *m;
    const struct tokenizer *t;
    struct adapter *ad;
    struct engine *e; /* with the default options */
};

/* 0: as the defaults have it. Nothing is drafted until engine_set_draft says so. */
struct engine *open_engine(const struct setting *s, size_t max_live, size_t kv_bytes,
                           size_t prefill_rows);
/* In the rig's arena. */
token_id *tokens_of(struct setting *s, const char *text, size_t *n);
/* At temperature 1, from the counters of seed 1. */
struct sample_request request_of(struct setting *s, const char *prompt, size_t n_samples,
                                 size_t max_tokens);
/* A copy of a run's answers that outlives the next run. */
struct sample **keep_samples(struct setting *s, struct sample **samples,
                             const struct sample_request *q, size_t n);
void assert_same_sample(const char *what, const struct sample *got, const struct sample *want);

#define N_MIXED 12
#define COMMON "<|im_start|>user\nName one gene behind a rare disease, and why.<|im_end|>\n"

/* Requests of every kind: long and short, with a common beginning or not, plain, greedy, filtered, thinking, stopped. */
void mixed_requests(struct setting *s, struct sample_request q[N_MIXED]);
#endif
