/*
 * report_score.c - answer by answer, each under all models, so that what is there when the time is over is whole.
 */
#include "job/report_score.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/size.h"
#include "job/report_internal.h"
#include "job/run_series.h"
#include "sample/rescore.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST_MODELS 3
#define KV_BYTES ((size_t)256 << 20)

struct scored_model {
    const char *name; /* "base", "step-12" */
    const char *dir;  /* of its adapter; NULL: the base */
    struct adapter *adapter;
};

struct scoring {
    const char *dir;
    const struct report_scorer *s;
    struct report_data d;
    struct scored_model model[MOST_MODELS];
    size_t n_models;
    const struct model *base;
    struct engine *engine;
    struct arena *arena;
    double deadline;
};

/* ---- what is missing ---- */

static void add_checkpoint(struct scoring *x, const struct run_checkpoint *c)
{
    const char *name = arena_printf(x->arena, "step-%zu", c->step);

    for (size_t i = 0; i < x->n_models; i++)
        if (strcmp(x->model[i].name, name) == 0)
            return;
    if (file_exists(file_join(x->arena, c->dir, "adapter_config.json")))
        x->model[x->n_models++] = (struct scored_model){.name = name, .dir = c->dir};
}

/* The base, the best checkpoint and the last. */
static void find_models(struct scoring *x)
{
    const struct report_data *d = &x->d;

    x->model[x->n_models++] = (struct scored_model){.name = "base"};
    for (size_t i = 0; i < d->n_checkpoints; i++)
        if (i == 0 || d->checkpoint[i].step == d->best_step)
            add_checkpoint(x, &d->checkpoint[i]);
}

/* Its figures under a model, or NULL. */
static const float *known(const struct scoring *x, const struct report_changed *c, const char *name)
{
    for (size_t i = 1; i < x->d.n_models; i++)
        if (strcmp(x->d.model[i], name) == 0)
            return c->logprob[i];
    return NULL;
}

static bool can_be_scored(const struct report_changed *c)
{
    return c->n > 0 && c->prompt.len > 0;
}

static bool is_missing(const struct scoring *x, const struct report_changed *c)
{
    for (size_t i = 0; i < x->n_models && can_be_scored(c); i++)
        if (known(x, c, x->model[i].name) == NULL)
            return true;
    return false;
}

static size_t count_missing(const struct scoring *x)
{
    size_t n = 0;

    for (size_t i = 0; i < x->d.n_changed; i++)
        n += is_missing(x, &x->d.changed[i]);
    return n;
}

/* ---- the models ---- */

static bool open_models(struct scoring *x, struct error *err)
{
    if (!x->s->model(x->s->ctx, &x->base, err))
        return false;
    struct engine_options opt = engine_defaults(x->base);
    opt.kv_bytes = size_min(opt.kv_bytes, KV_BYTES);
    opt.prefix_bytes = 0;
    opt.draft = 0;
    for (size_t i = 0; i < x->n_models; i++)
        if (x->model[i].dir != NULL &&
            !adapter_load(&x->base->config, x->model[i].dir, &x->model[i].adapter, err))
            return false;
    return engine_open(x->base, model_files_tokenizer(x->base->files), &opt, &x->engine, err);
}

static void close_models(struct scoring *x)
{
    engine_close(x->engine);
    for (size_t i = 0; i < x->n_models; i++)
        adapter_close(x->model[i].adapter);
}

/* ---- the figures ---- */

static bool is_over(const struct scoring *x)
{
    return clock_seconds() > x->deadline || (x->s->stop != NULL && atomic_load(x->s->stop));
}

/* out[i]: under model i, as it was known or is computed now. */
static bool score_one(struct scoring *x, const struct report_changed *c, const float **out,
                      struct error *err)
{
    struct drawn_tokens drawn;
    double temperature;

    if (!run_temperature(x->dir, c->answer->step, x->arena, &temperature, err) ||
        !drawn_tokens_read(x->base, c->prompt, c->ids, c->n, temperature, "an answer of the run",
                           x->arena, &drawn, err))
        return false;
    for (size_t i = 0; i < x->n_models; i++) {
        float *computed = ARENA_ARRAY(x->arena, float, c->n);

        out[i] = known(x, c, x->model[i].name);
        if (out[i] == NULL &&
            !drawn_tokens_score(x->engine, x->model[i].adapter, &drawn, x->arena, computed, err))
            return false;
        out[i] = out[i] != NULL ? out[i] : computed;
    }
    return true;
}

static json_t *figures_json(const float *logprob, size_t n)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++) {
        char digits[32];

        snprintf(digits, sizeof digits, "%.5g", (double)logprob[i]);
        json_array_append_new(list,
                              isfinite(logprob[i]) ? json_real(strtod(digits, NULL)) : json_null());
    }
    return list;
}

static void put_line(struct buf *out, const struct report_changed *c, json_t *logprobs)
{
    const struct report_answer *r = c->answer;
    json_t *line =
        json_pack("{s:s, s:I, s:I, s:I, s:O, s:o}", "split", r->valid ? "valid" : "train", "step",
                  (json_int_t)r->step, "item", (json_int_t)r->item, "sample", (json_int_t)r->sample,
                  "tokens", c->ids, "logprobs", logprobs);

    json_write(out, line, NULL);
    buf_char(out, '\n');
    json_decref(line);
}

/* What was known of these models. */
static void put_known(const struct scoring *x, struct buf *out, const struct report_changed *c)
{
    json_t *logprobs = json_object();

    for (size_t i = 0; c->n > 0 && i < x->n_models; i++) {
        const float *figures = known(x, c, x->model[i].name);

        if (figures != NULL)
            json_object_set_new(logprobs, x->model[i].name, figures_json(figures, c->n));
    }
    if (json_object_size(logprobs) > 0)
        put_line(out, c, logprobs);
    else
        json_decref(logprobs);
}

static void put_scored(const struct scoring *x, struct buf *out, const struct report_changed *c,
                       const float *const *figures)
{
    json_t *logprobs = json_object();

    for (size_t i = 0; i < x->n_models; i++)
        json_object_set_new(logprobs, x->model[i].name, figures_json(figures[i], c->n));
    put_line(out, c, logprobs);
}

/* One that cannot be computed, since it is too long or of another tokenizer, is left out; the others are not. */
static bool score_all(struct scoring *x, size_t *n_left, struct error *err)
{
    const char *path = file_join(x->arena, x->dir, TOKEN_CHANGES_FILE);
    struct buf out;

    buf_init(&out, (size_t)64 << 20);
    *n_left = 0;
    for (size_t i = 0; i < x->d.n_changed; i++) {
        const struct report_changed *c = &x->d.changed[i];
        const float *figures[MOST_MODELS] = {0};
        struct error ignored;

        if (!is_missing(x, c)) {
            put_known(x, &out, c);
        } else if (!is_over(x) && score_one(x, c, figures, &ignored)) {
            put_scored(x, &out, c, figures);
        } else {
            put_known(x, &out, c);
            ++*n_left;
        }
    }
    const bool ok =
        buf_ok(&out, "what the report keeps", err) && file_put(path, buf_view(&out), err);
    buf_release(&out);
    return ok;
}

bool report_score(const char *run_dir, const struct report_scorer *s, size_t *n_left,
                  struct error *err)
{
    struct arena a = {0};
    struct scoring x = {
        .dir = run_dir, .s = s, .arena = &a, .deadline = clock_seconds() + s->seconds};
    bool ok = report_data_read(run_dir, &a, &x.d, err);

    *n_left = 0;
    if (ok)
        find_models(&x);
    if (ok && x.n_models > 1 && (*n_left = count_missing(&x)) > 0) {
        ok = open_models(&x, err) && score_all(&x, n_left, err);
        close_models(&x);
    }
    report_data_release(&x.d);
    arena_release(&a);
    return ok || fail_while(err, "asking the model about the answers of %s", run_dir);
}
