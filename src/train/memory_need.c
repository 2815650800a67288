/*
 * memory_need.c - four sums and a sentence.
 */
#include "train/memory_need.h"
#include "base/parallel.h"
#include "base/size.h"
#include "model/kv.h"
#include "model/training_pass.h"
#include "sample/engine.h"
#include "tensor/cpu/kernels.h"
#include "train/trained.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define FEWEST_ANSWERS 4 /* of a group whose size is left open */

static size_t panels_of(size_t n)
{
    return size_round_up(n, PANEL);
}

/* Weights that full fine-tuning moves, and the floats they are packed into. */
static void full_values(const struct model *m, size_t *values, size_t *packed)
{
    const struct model_config *c = &m->config;
    const bool tied = model_files_weight(m->files, W_HEAD, 0).data == NULL;
    size_t n, k;

    *values = c->vocab * c->width * (tied ? 1 : 2) + c->width + 2 * c->width * c->n_layers;
    *packed = panels_of(c->vocab) * c->width;
    for (size_t p = 0; p < projections_of(c); p++) {
        projection_shape(c, (enum projection)p, &n, &k);
        *values += c->n_layers * n * k;
        *packed += c->n_layers * panels_of(n) * k;
    }
}

static void lora_values(const struct model_config *c, size_t rank, size_t *values, size_t *packed)
{
    size_t n, k;

    *values = trained_values(c, rank);
    *packed = 0;
    for (size_t p = 0; p < projections_of(c); p++) {
        projection_shape(c, (enum projection)p, &n, &k);
        *packed += c->n_layers * (panels_of(rank) * k + panels_of(n) * rank);
    }
}

static double trained_bytes(const struct model *m, size_t rank, bool undo)
{
    size_t values, packed;

    if (rank > 0)
        lora_values(&m->config, rank, &values, &packed);
    else
        full_values(m, &values, &packed);
    /* values, gradients, two moments, and the three arrays that an update is undone from */
    return sizeof(float) * ((double)values * (undo ? 7 : 4) + (double)packed);
}

/*
 * The frozen weights, and what tokens are looked up in: that lies in the model's file and comes into memory page by page, as far as its
 * tokens occur. Texts use a part of a vocabulary, but their words lie all over it: half of the pages.
 */
static double frozen_bytes(const struct model *m)
{
    size_t values, packed;

    if (m->full == NULL)
        return (double)model_bytes(m) +
               (double)dtype_bytes(m->embed.dtype, m->embed.cols) * (double)m->embed.rows / 2;
    full_values(m, &values, &packed); /* model_unfreeze added them: they are what is trained */
    return (double)model_bytes(m) - sizeof(float) * (double)(2 * values + packed);
}

size_t memory_group_rows(const struct recipe *r, size_t longest)
{
    if (r->method != METHOD_REINFORCEMENT)
        return size_max(longest, 1) * (r->method == METHOD_DPO ? 2 : 1);
    /* behind an answer's last token nothing is asked */
    return size_max(longest, 1) + (r->group_size > 0 ? r->group_size : FEWEST_ANSWERS) *
                                      (size_max(r->max_tokens, 2) - 1 + r->max_tool_tokens);
}

size_t memory_pass_rows(const struct recipe *r, size_t longest)
{
    const size_t group = memory_group_rows(r, longest);

    return size_max(group, size_min(group * size_max(r->batch_size, 1), r->pass_rows));
}

double memory_pass_bytes(const struct model *m, size_t rank, size_t rows, size_t lean_rows)
{
    const struct model_config *c = &m->config;
    const size_t kept = saved_row_bytes(c, rank);
    /* hidden states and their gradients; tokens, nodes and targets of the tree */
    const size_t around = 2 * c->width * sizeof(float) + 256;

    return (double)(rows * (around + training_pass_bytes(m, rank, 1, false) - kept)) +
           (double)lean_rows * (double)(training_pass_bytes(m, rank, 1, true) + kept -
                                        training_pass_bytes(m, rank, 1, false));
}

double memory_logits_bytes(const struct model *m)
{
    const size_t v = panels_of(m->config.vocab) + PANEL;

    return sizeof(float) *
           ((double)ENGINE_LOGIT_ROWS * ((double)v + 2 * (double)m->config.width) +
            4 * (double)v *
                parallel_threads()); /* each thread's probabilities, and those in order */
}

struct memory_need memory_need_of(const struct model *m, const struct adapter *start,
                                  const struct recipe *r, size_t longest)
{
    const size_t rank = start != NULL && r->lora_rank > 0 ? start->rank : r->lora_rank;
    const size_t rows = memory_pass_rows(r, longest);
    const bool reinforcement = r->method == METHOD_REINFORCEMENT;
    const size_t pages = (memory_group_rows(r, longest) + KV_PAGE - 1) / KV_PAGE +
                         (reinforcement ? r->group_size > 0 ? r->group_size : FEWEST_ANSWERS : 2);

    return (struct memory_need){.model = frozen_bytes(m),
                                .trained = trained_bytes(m, rank, reinforcement && r->kl_undo > 0),
                                .pass = (double)workspace_bytes_of(m, rank, rows) +
                                        memory_pass_bytes(m, rank, rows, rows) +
                                        memory_logits_bytes(m),
                                .answers = (double)kv_page_bytes(&m->config) * (double)pages};
}

double memory_need_sum(const struct memory_need *n)
{
    return n->model + n->trained + n->pass + n->answers;
}

const char *memory_words(double bytes, char text[32])
{
    if (bytes >= 1e9)
        snprintf(text, 32, "%.2f GB", bytes / 1e9);
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
    (void)memory_words(need, needs);
    (void)memory_words(most, has);
    if (model_bytes > most)
        return fail(
            err, ERR_NO_MEMORY,
            "the job needs at least %s of memory, %s of it for its model, and a job may have "
            "%s: a smaller model would fit, or a larger --job-memory of hone serve and hone "
            "worker",
            needs, memory_words(model_bytes, model), has);
    return fail(
        err, ERR_NO_MEMORY,
        "the job needs at least %s of memory, and a job may have %s: a smaller model would fit, "
        "%sa smaller \"batch_size\", \"hone.pass_rows\" or \"hone.lora_rank\", or a larger "
        "--job-memory of hone serve and hone worker",
        needs, has,
        method == METHOD_REINFORCEMENT
            ? "fewer or shorter answers (\"hone.group_size\", \"hone.max_tokens\"), "
            : "");
}

/* ---- what would fit ---- */

struct change { /* of one number */
    const char *name;
    size_t at;    /* in the recipe */
    size_t least; /* it is halved down to */
};

static double sum_of(const struct model *m, const struct recipe *r, size_t longest)
{
    const struct memory_need n = memory_need_of(m, NULL, r, longest);

    return memory_need_sum(&n);
}

/* The largest value, halved and halved again, with which it fits; 0: there is none. */
static size_t fitting(const struct model *m, const struct recipe *r, size_t longest,
                      const struct change *c, double most)
{
    struct recipe less = *r;
    size_t *x = (size_t *)(void *)((char *)&less + c->at);

    while (*x / 2 >= c->least) {
        *x /= 2;
        if (sum_of(m, &less, longest) <= most)
            return *x;
    }
    return 0;
}

static void propose(char *text, size_t size, const char *name, size_t value)
{
    snprintf(text + strlen(text), size - strlen(text), "%s\"%s\": %zu",
             text[0] == '\0' ? "" : " or ", name, value);
}

bool memory_need_fits_here(const struct model *m, const struct recipe *r, size_t longest,
                           double process, double most, struct error *err)
{
    static const struct change changes[] = {
        {"hone.group_size", offsetof(struct recipe, group_size), 2},
        {"hone.max_tokens", offsetof(struct recipe, max_tokens), 1},
        {"hone.pass_rows", offsetof(struct recipe, pass_rows), 16},
        {"hone.lora_rank", offsetof(struct recipe, lora_rank), 1},
    };
    const struct memory_need n = memory_need_of(m, NULL, r, longest);
    const double need = memory_need_sum(&n) + process;
    char needs[32], has[32], text[256] = "";
    struct recipe lora = *r;

    if (need <= most)
        return true;
    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        const size_t x = fitting(m, r, longest, &changes[i], most - process);

        if (x > 0)
            propose(text, sizeof text, changes[i].name, x);
    }
    lora.lora_rank = 16;
    if (r->lora_rank == 0 && sum_of(m, &lora, longest) + process <= most)
        propose(text, sizeof text, "hone.lora_rank", lora.lora_rank);
    return fail(err, ERR_NO_MEMORY,
                "the job needs at least %s of memory, and there are %s: %s%s would make it fit%s",
                memory_words(need, needs), memory_words(most, has), text[0] != '\0' ? text : "only",
                text[0] != '\0' ? "" : " a smaller model or more memory",
                longest > r->pass_rows / 2 ? ", shorter prompts too" : "");
}
