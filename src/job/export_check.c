/*
 * export_check.c - what was written has the weights that it must have, is opened as a user would, and says what the run's own model says.
 *
 * The first finds what was left out or changed, however small; the second what was written as it was meant, and means something else.
 * The run's model is measured first and closed, so that one model is in memory at a time. Both are computed in f32: how a run rounds
 * activations (--precision) is a way to compute, and no property of the files.
 */
#include "base/file.h"
#include "base/limits.h"
#include "base/size.h"
#include "job/export_internal.h"
#include "job/run_read.h"
#include "sample/engine.h"

#include <assert.h>
#include <math.h>

#define MAX_TEXTS 16
#define MAX_TOKENS ((size_t)1024) /* of a text */
#define N_GREEDY 4                /* of the texts are continued */
#define GREEDY_TOKENS 32

struct text {
    token_id *ids; /* [n] */
    size_t n, n_prompt;
    float *logprobs;  /* [n] as the run's model has them */
    token_id *greedy; /* [n_greedy] its answer to the prompt */
    float *greedy_logprobs;
    size_t n_greedy;
};

struct texts {
    struct text text[MAX_TEXTS];
    size_t n;
    bool of_run;
    const struct tokenizer *tokenizer;
    const struct model_config *config;
    struct arena *arena;
    struct str prompt; /* of the group whose lines are read */
};

/* ---- which texts ---- */

static bool text_add(struct texts *t, struct str prompt, const json_t *tokens, struct error *err)
{
    struct token_list ids = {0};
    bool ok = tokenizer_encode(t->tokenizer, prompt, true, &ids, err);
    const size_t n_prompt = ids.n;

    for (size_t i = 0; ok && i < json_array_size(tokens); i++) {
        const json_int_t id = json_integer_value(json_array_get(tokens, i));

        if (id < 0 || (size_t)id >= t->config->vocab)
            break;
        token_list_put(&ids, (token_id)id);
    }
    const size_t n = size_min(ids.n, MAX_TOKENS);
    if (ok && n_prompt > 0 && n_prompt < MAX_TOKENS && n > 1) {
        struct text *x = &t->text[t->n++];

        *x = (struct text){.n = n, .n_prompt = n_prompt};
        x->ids = ARENA_ARRAY(t->arena, token_id, n);
        memcpy(x->ids, ids.ids, n * sizeof *x->ids);
        x->logprobs = ARENA_ARRAY(t->arena, float, n);
    }
    token_list_release(&ids);
    return ok;
}

/* The first answer to each prompt; a prompt stands with sample 0. */
static bool line_take(void *ctx, const json_t *line)
{
    struct texts *t = ctx;
    const struct str prompt = json_str(json_object_get(line, "prompt"));
    struct error ignored;

    if (prompt.len > 0 && t->n < MAX_TEXTS)
        (void)!text_add(t, prompt, json_object_get(line, "tokens"), &ignored);
    return t->n < MAX_TEXTS;
}

/* Some of every script, with what tokenizers and templates trip over. */
static const char *const fixed[] = {
    "The capital of France is Paris, and the capital of Italy is Rome.",
    "def add(a, b):\n    return a + b\n\nprint(add(2, 3))  # 5\n",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. \xE6\xBC\xA2\xE5\xAD\x97 1234567890",
    "A B C D E F G, one two three four five six seven; abc abc abc abc abc?"};

static bool texts_find(const struct export_request *r, struct texts *t, struct error *err)
{
    size_t *steps = NULL, n = 0, n_bad;
    struct error ignored;
    bool ok = true;

    if (r->ref->run != NULL &&
        run_list_rollouts(r->ref->run, true, t->arena, &steps, &n, &ignored) && n > 0 &&
        run_read_rollouts(r->ref->run, steps[n - 1], true, line_take, t, &n_bad, &ignored))
        t->of_run = t->n > 0;
    for (size_t i = 0; ok && !t->of_run && i < COUNT_OF(fixed); i++)
        ok = text_add(t, str_of(fixed[i]), NULL, err);
    return ok;
}

/* ---- a model that is measured ---- */

struct side {
    struct model *model;
    struct adapter *adapter;
    struct engine *engine;
};

static void side_close(struct side *s)
{
    engine_close(s->engine);
    adapter_close(s->adapter);
    model_close(s->model);
}

/* lora: a folder in PEFT's layout, an adapter of llama.cpp's, or NULL. */
static bool side_open(const char *path, const char *lora, bool rounds_pairs, struct side *out,
                      struct error *err)
{
    struct side s = {0};
    bool ok = model_open(path, 0, &s.model, err);

    if (ok && rounds_pairs) {
        s.model->config.rope[0].whole_pairs = true;
        ok = model_make_rope(s.model, err);
    }
    if (ok && lora != NULL)
        ok = str_ends(str_of(lora), STR(".gguf"))
                 ? export_gguf_lora_read(s.model->files, lora, &s.adapter, err)
                 : adapter_load(&s.model->config, lora, &s.adapter, err);
    if (ok) {
        const struct engine_options opt = engine_defaults(s.model);

        ok = engine_open(s.model, model_files_tokenizer(s.model->files), &opt, &s.engine, err);
    }
    if (!ok) {
        side_close(&s);
        return false;
    }
    *out = s;
    return true;
}

/* The likeliest tokens behind the text's prompt; a fixed text is all prompt. */
static bool greedy(struct side *s, const struct text *t, const struct sample **out,
                   struct error *err)
{
    struct sample **samples;
    struct sample_request q = {.prompt = t->ids,
                               .n_prompt = t->n_prompt,
                               .n_samples = 1,
                               .max_tokens = GREEDY_TOKENS,
                               .pick = pick_defaults()};
    const struct engine_hooks hooks = {0};

    q.pick.temperature = 0;
    if (!engine_run(s->engine, s->adapter, &q, 1, &hooks, &samples, err))
        return false;
    *out = &samples[0][0];
    return true;
}

static size_t fitting(const struct side *s, const struct text *t)
{
    return size_min(t->n, s->model->max_positions);
}

static bool may_continue(const struct side *s, const struct text *t, size_t i)
{
    return i < N_GREEDY && t->n_prompt + GREEDY_TOKENS <= s->model->max_positions;
}

static bool measure(struct side *s, struct texts *all, struct error *err)
{
    bool ok = true;

    for (size_t i = 0; ok && i < all->n; i++) {
        struct text *t = &all->text[i];
        const struct sample *sample;

        t->n = fitting(s, t);
        ok = engine_score(s->engine, s->adapter, t->ids, t->n, 1.0f, t->logprobs, err);
        if (!ok || !may_continue(s, t, i))
            continue;
        ok = greedy(s, t, &sample, err);
        if (!ok)
            break;
        t->n_greedy = sample->n;
        t->greedy = ARENA_ARRAY(all->arena, token_id, sample->n + 1);
        t->greedy_logprobs = ARENA_ARRAY(all->arena, float, sample->n + 1);
        for (size_t k = 0; k < sample->n; k++) {
            t->greedy[k] = sample->tokens[k];
            t->greedy_logprobs[k] = sample->logprobs[k];
        }
    }
    return ok;
}

/* ---- comparing ---- */

/*
 * What rounding the weights may move a log-probability by. Measured on SmolLM2-135M (Q4_1) and the tiny models, and several times
 * that; a tensor that is another one moves some by whole nats.
 */
static void tolerances(enum dtype t, struct export_check *out)
{
    out->tolerance = t == DTYPE_F32 ? 0.002 : t == DTYPE_F16 ? 0.1 : 0.8;
    out->mean_tolerance = out->tolerance / 8;
}

static void add(struct export_check *c, double was, double is)
{
    const double d = fabs(was - is);

    c->n_tokens++;
    c->mean_difference += d;
    if (!(d <= c->max_difference)) /* a NaN is a difference, too */
        c->max_difference = d;
}

/*
 * Up to the first other token both have the same text before them. There the run's choice has to be as likely to the written model as
 * its own, within what both may be off.
 */
static bool same_answer(struct side *s, const struct text *t, const struct sample *now,
                        struct export_check *c, struct arena *a, struct error *err)
{
    size_t k = 0;

    while (k < t->n_greedy && k < now->n && t->greedy[k] == now->tokens[k])
        k++;
    c->n_greedy += k;
    if (k == t->n_greedy && k == now->n)
        return true;
    if (k == t->n_greedy || k == now->n) /* cannot be: an end token would have differed */
        return fail(err, ERR_CORRUPT, "an answer ends after %zu tokens, the run's after %zu",
                    now->n, t->n_greedy);
    const size_t n = t->n_prompt + k + 1;
    token_id *ids = ARENA_ARRAY(a, token_id, n);
    float *logprobs = ARENA_ARRAY(a, float, n);

    memcpy(ids, t->ids, t->n_prompt * sizeof *ids);
    memcpy(ids + t->n_prompt, t->greedy, (k + 1) * sizeof *ids);
    if (!engine_score(s->engine, s->adapter, ids, n, 1.0f, logprobs, err))
        return false;
    const double gap = (double)now->logprobs[k] - (double)logprobs[n - 1];
    c->tie = true;
    return gap <= 2 * c->tolerance ||
           fail(
               err, ERR_CORRUPT,
               "token %zu of an answer by the likeliest token is another one, and %.3g nats likelier "
               "than the run's own (%.3g may be rounding)",
               k + 1, gap, 2 * c->tolerance);
}

static bool compare(struct side *s, const struct texts *all, struct export_check *c,
                    struct error *err)
{
    float *now = ARENA_ARRAY(all->arena, float, MAX_TOKENS);
    bool ok = true;

    for (size_t i = 0; ok && i < all->n; i++) {
        const struct text *t = &all->text[i];

        ok = engine_score(s->engine, s->adapter, t->ids, t->n, 1.0f, now, err);
        for (size_t k = 1; ok && k < t->n; k++)
            add(c, (double)t->logprobs[k], (double)now[k]);
    }
    c->n_texts = all->n;
    c->mean_difference /= (double)size_max(1, c->n_tokens);
    if (ok && !(c->max_difference <= c->tolerance && c->mean_difference <= c->mean_tolerance))
        return fail(err, ERR_CORRUPT,
                    "log-probabilities of %zu tokens differ from the run's own by up to %.3g nats, "
                    "%.3g on average; rounding to this type explains %.3g and %.3g",
                    c->n_tokens, c->max_difference, c->mean_difference, c->tolerance,
                    c->mean_tolerance);
    for (size_t i = 0; ok && i < all->n; i++) {
        const struct text *t = &all->text[i];
        const struct sample *sample;

        if (t->n_greedy > 0)
            ok = greedy(s, t, &sample, err) && same_answer(s, t, sample, c, all->arena, err);
    }
    return ok;
}

/* Ids are compared, so the tokenizer has to be the same; the template, too. */
static bool same_words(const struct export_options *o, const struct model_files *now,
                       const struct texts *all, struct error *err)
{
    const struct str was = o->template.ptr != NULL ? o->template : model_files_template(o->files);
    const struct str is = model_files_template(now);

    if (!str_eq(was, is))
        return fail(err, ERR_CORRUPT, "its chat template is another one than the run's");
    for (size_t i = 0; i < COUNT_OF(fixed); i++) {
        struct token_list a = {0}, b = {0};
        bool ok = tokenizer_encode(all->tokenizer, str_of(fixed[i]), true, &a, err) &&
                  tokenizer_encode(model_files_tokenizer(now), str_of(fixed[i]), true, &b, err);

        if (ok && (a.n != b.n || memcmp(a.ids, b.ids, a.n * sizeof *a.ids) != 0))
            ok = fail(err, ERR_CORRUPT, "its tokenizer is another one than the run's");
        token_list_release(&a);
        token_list_release(&b);
        if (!ok)
            return false;
    }
    return true;
}

static bool same_weights(enum export_format f, const struct export_options *o, const char *dir,
                         struct error *err)
{
    switch (f) {
    case EXPORT_PEFT:
        return export_peft_same(o, dir, err);
    case EXPORT_SAFETENSORS:
        return export_folder_same(o, dir, err);
    case EXPORT_GGUF:
        return export_gguf_same(o, dir, err);
    case EXPORT_GGUF_LORA:
        return export_gguf_lora_same(o, dir, err);
    }
    assert(false);
    return false;
}

bool export_verify(const struct export_request *r, const struct export_options *o, const char *dir,
                   struct arena *a, struct export_check *out, struct error *err)
{
    const bool merged = r->format == EXPORT_SAFETENSORS || r->format == EXPORT_GGUF;
    const bool rounds_pairs = r->format == EXPORT_GGUF && export_gguf_rounds_pairs(o->files);
    const char *made = export_opened_by(r->format, dir, a);
    struct texts all = {.tokenizer = model_files_tokenizer(o->files),
                        .config = model_files_config(o->files),
                        .arena = a};
    struct side was = {0}, now = {0};

    *out = (struct export_check){0};
    tolerances(o->dtype, out);
    bool ok = (same_weights(r->format, o, dir, err) || fail_while(err, "verifying %s", r->out)) &&
              texts_find(r, &all, err) &&
              side_open(r->ref->path, r->ref->adapter, rounds_pairs, &was, err) &&
              measure(&was, &all, err);
    side_close(&was);
    out->of_run = all.of_run;
    ok = ok && ((side_open(merged ? made : r->ref->path, merged ? NULL : made, false, &now, err) &&
                 same_words(o, now.model->files, &all, err) && compare(&now, &all, out, err)) ||
                fail_while(err, "verifying %s", r->out));
    side_close(&now);
    return ok;
}
