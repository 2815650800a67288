/*
 * trained.c - an adapter or the unfrozen model behind one pair of arrays.
 */
#include "train/trained.h"

#include <stdio.h>
#include <string.h>

static bool new_adapter(struct model *m, const struct trained_options *opt, struct adapter **out,
                        struct error *err)
{
    const struct recipe *r = opt->recipe;
    const struct adapter *start = opt->start;
    struct adapter *a = NULL;

    if (!adapter_new(&m->config, start != NULL ? start->rank : r->lora_rank,
                     start != NULL ? start->alpha : (float)r->lora_alpha, r->seed, &a, err))
        return false;
    if (!adapter_want_grads(a, err)) {
        adapter_close(a);
        return false;
    }
    const char *name =
        start != NULL && start->base_name[0] != '\0' ? start->base_name : opt->base_name;
    snprintf(a->base_name, sizeof a->base_name, "%s", name);
    if (start != NULL) {
        memcpy(a->values, start->values, a->n_values * sizeof *a->values);
        adapter_changed(a);
    }
    *out = a;
    return true;
}

bool trained_open(struct model *m, const struct trained_options *opt, struct arena *a,
                  struct trained *out, struct error *err)
{
    const struct recipe *r = opt->recipe;
    const struct optimizer_options oo = {.beta1 = r->beta1,
                                         .beta2 = r->beta2,
                                         .eps = r->eps,
                                         .weight_decay = r->weight_decay,
                                         .max_grad_norm = r->max_grad_norm};
    struct trained t = {.model = m};
    size_t n;

    if (r->lora_rank == 0 && opt->start != NULL)
        return fail_param(err, ERR_UNSUPPORTED, "hone.lora_rank",
                          "\"hone.lora_rank\" is 0, full fine-tuning, which cannot go on from an "
                          "adapter: leave it out, or begin with the base model");
    if (r->lora_rank > 0) {
        if (!new_adapter(m, opt, &t.adapter, err))
            return false;
        t.values = t.adapter->values;
        t.grads = t.adapter->grads;
        n = t.adapter->n_values;
    } else {
        if (!model_unfreeze(m, err))
            return false;
        t.values = m->full->values;
        t.grads = m->full->grads;
        n = m->full->n_values;
    }
    if (!optimizer_init(&t.optimizer, &oo, n, opt->keep_old, a, err)) {
        trained_close(&t);
        return false;
    }
    *out = t;
    return true;
}

void trained_close(struct trained *t)
{
    adapter_close(t->adapter);
    *t = (struct trained){0};
}

void trained_changed(const struct trained *t)
{
    if (t->adapter != NULL)
        adapter_changed(t->adapter);
    else
        model_changed(t->model);
}

void trained_sha256(const struct trained *t, char hex[65])
{
    if (t->adapter != NULL)
        adapter_sha256(t->adapter, hex);
    else
        values_sha256(t->values, t->optimizer.n, hex);
}

size_t trained_values(const struct model_config *c, size_t rank)
{
    size_t per_layer = 0, n, k;

    for (size_t p = 0; p < projections_of(c); p++) {
        projection_shape(c, (enum projection)p, &n, &k);
        per_layer += rank > 0 ? rank * (n + k) : n * k;
    }
    return c->n_layers * per_layer + (rank > 0 ? 0 : c->vocab * c->width);
}

void trained_take_rank(const struct adapter *start, struct recipe *recipe, char *why, size_t size)
{
    why[0] = '\0';
    if (start == NULL || recipe->lora_rank == 0)
        return;
    if (recipe->lora_rank != start->rank)
        snprintf(why, size,
                 "The adapter that training goes on from has rank %zu, so the new one has it too; "
                 "the job's is %zu.",
                 start->rank, recipe->lora_rank);
    recipe->lora_rank = start->rank;
    recipe->lora_alpha = (double)start->alpha;
}
