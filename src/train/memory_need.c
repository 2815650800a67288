/*
 * memory_need.c - four sums and a sentence.
 */
#include "train/memory_need.h"
#include "base/size.h"
#include "model/kv.h"
#include "model/training_pass.h"
#include "train/trained.h"

#include <stdio.h>

#define FEWEST_ANSWERS 4 /* of a group whose size is left open */

struct memory_need memory_need_of(const struct model *m, const struct adapter *start,
                                  const struct recipe *r, size_t longest)
{
    const size_t rank = start != NULL && r->lora_rank > 0 ? start->rank : r->lora_rank;
    const size_t rows = size_max(longest, 1) * size_max(r->batch_size, 1);
    const size_t answers = r->group_size > 0 ? r->group_size : FEWEST_ANSWERS;
    /* values, gradients, two moments, and the three arrays that an update is undone from */
    const double copies = r->kl_undo > 0 ? 7 : 4;
    const double page = (double)kv_page_bytes(&m->config);
    struct memory_need n = {
        .model = (double)model_bytes(m),
        .trained = (double)trained_values(&m->config, rank) * sizeof(float) * copies,
        .pass = (double)training_pass_bytes(m, rank, size_min(rows, r->pass_rows), true)};

    if (r->method == METHOD_REINFORCEMENT) /* each answer has a page of its own */
        n.answers = page * (double)((longest + KV_PAGE - 1) / KV_PAGE + answers);
    return n;
}

double memory_need_sum(const struct memory_need *n)
{
    return n->model + n->trained + n->pass + n->answers;
}

/* "12.3 GB", or megabytes where that says more */
static const char *in_words(double bytes, char text[32])
{
    if (bytes >= 1e9)
        snprintf(text, 32, "%.1f GB", bytes / 1e9);
    else
        snprintf(text, 32, "%.1f MB", bytes / 1e6);
    return text;
}

bool memory_need_fits(enum train_method method, double need, double model_bytes, double most,
                      struct error *err)
{
    char needs[32], has[32], model[32];

    if (need <= most)
        return true;
    (void)in_words(need, needs);
    (void)in_words(most, has);
    if (model_bytes > most)
        return fail(
            err, ERR_NO_MEMORY,
            "the job needs at least %s of memory, %s of it for its model, and a job may have "
            "%s: a smaller model would fit, or a larger --job-memory of hone serve and hone "
            "worker",
            needs, in_words(model_bytes, model), has);
    return fail(
        err, ERR_NO_MEMORY,
        "the job needs at least %s of memory, and a job may have %s: a smaller model would fit, "
        "%sa smaller \"batch_size\", \"hone.pass_rows\" or \"hone.lora_rank\", or a larger "
        "--job-memory of hone serve and hone worker",
        needs, has,
        method == METHOD_REINFORCEMENT ? "fewer answers at once (\"hone.group_size\"), " : "");
}
