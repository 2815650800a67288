/*
 * rig.h - a model with all that a forward pass needs, and the models that tests open.
 */
#ifndef HONE_TESTS_RIG_H
#define HONE_TESTS_RIG_H

#include "model/forward.h"
#include "support/support.h"

struct rig {
    struct arena arena; /* for the test's own arrays; goes with the rig */
    struct model *model;
    struct kv_pool *pool;
    struct workspace *work;
};
void rig_open(struct rig *r, const char *path); /* a failure fails the test */
void rig_open_tiny(struct rig *r);              /* the F32 folder */
void rig_round_tiny(
    void); /* from now on rig_open_tiny opens the Q4_1 file, to compute with rounded rows */
void rig_cache_tiny(enum kv_cache k); /* what it keeps keys and values in from now on */
void rig_close(struct rig *r);        /* fails the test where pages were not given back */

/* SOURCE_DIR/models/SmolLM2-135M-Instruct.Q4_1.gguf; fails the test, saying what to do, where it is missing. */
const char *demo_model_path(struct arena *a);

/* hidden [b->m, C] from the rig's arena. */
float *rig_forward(struct rig *r, const struct adapter *ad, const struct batch *b);
/* The same for tokens that are read in one pass as a sequence of their own. */
float *rig_read(struct rig *r, const struct adapter *ad, const token_id *tokens, size_t n);

/* An adapter that does something: A and B random. Close it. */
struct adapter *random_adapter(const struct model_config *c, size_t rank, uint64_t seed);
#endif
