/*
 * trained.h - what a job moves: a new adapter's values or the model's own weights, with their optimizer.
 */
#ifndef HONE_TRAIN_TRAINED_H
#define HONE_TRAIN_TRAINED_H

#include "model/adapter.h"
#include "model/model.h"
#include "train/optimizer.h"
#include "train/recipe.h"

struct trained_options {
    const struct recipe *recipe;
    const struct adapter
        *start; /* of a fine-tuned model: the new adapter begins with its values; or NULL */
    const char *base_name; /* for adapter_config.json; start's own goes before it */
    bool keep_old;         /* an update can be undone */
};

struct trained {
    struct model *model;
    struct adapter *adapter; /* NULL: full fine-tuning */
    float *values, *grads;   /* what the optimizer moves */
    struct optimizer optimizer;
};
/* Memory from the arena but for the adapter's. Fails with ERR_UNSUPPORTED for full fine-tuning from an adapter. */
MUST_CHECK bool trained_open(struct model *m, const struct trained_options *opt, struct arena *a,
                             struct trained *out, struct error *err);
void trained_close(struct trained *t);         /* all zeros is fine */
void trained_changed(const struct trained *t); /* after values changed */
void trained_sha256(const struct trained *t, char hex[65]);
/* How many values a job moves. */
size_t trained_values(const struct model_config *c, size_t rank);
/*
 * The new adapter has the rank of the one that it begins with: puts rank and alpha into the recipe, and says in why (a
 * sentence, or "") where the job wanted another.
 */
void trained_take_rank(const struct adapter *start, struct recipe *recipe, char *why, size_t size);
#endif
