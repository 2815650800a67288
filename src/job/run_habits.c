#include "job/run_habits.h"

#include "base/limits.h"
#include "job/run_read.h"
#include "model/kv.h"
#include "train/recipe.h"

static size_t max_tokens_in(const json_t *job_file)
{
    const json_int_t n =
        json_integer_value(json_object_get(json_object_get(job_file, "resolved"), "max_tokens"));

    return n > 0 && (size_t)n <= LIMIT_CONTEXT ? (size_t)n : 0;
}

static enum precision precision_in(const json_t *job_file)
{
    enum precision p = PRECISION_F32; /* of runs from before there was a choice */

    (void)precision_named(
        json_str(json_object_get(json_object_get(job_file, "resolved"), "precision")), &p);
    return p;
}

static enum kv_cache kv_cache_in(const json_t *job_file)
{
    enum kv_cache k = KV_CACHE_F32; /* as above */

    (void)kv_cache_named(
        json_str(json_object_get(json_object_get(job_file, "resolved"), "kv_cache")), &k);
    return k;
}

void run_habits_read(const char *run, struct run_habits *out)
{
    struct error ignored;
    json_t *file = NULL;

    *out = (struct run_habits){.precision = PRECISION_DEFAULT,
                               .kv_cache = precision_kv_cache(PRECISION_DEFAULT)};
    if (run == NULL || !run_read_job(run, &file, &ignored))
        return;
    *out = (struct run_habits){
        .max_tokens = max_tokens_in(file),
        .precision = precision_in(file),
        .kv_cache = kv_cache_in(file),
        .reasoning =
            json_object_get(json_object_get(json_object_get(file, "job"), "hone"), "reasoning"),
        .response_format =
            json_object_get(recipe_reinforcement(json_object_get(file, "job")), "response_format"),
        .template =
            json_string_value(json_object_get(json_object_get(file, "resolved"), "template")),
        .job_file = file,
    };
}

void run_habits_override(struct run_habits *h, const char *precision, const char *kv_cache)
{
    if (precision != NULL)
        (void)precision_named(str_of(precision), &h->precision);
    if (precision != NULL && h->job_file == NULL)
        h->kv_cache = precision_kv_cache(h->precision);
    if (kv_cache != NULL)
        (void)kv_cache_named(str_of(kv_cache), &h->kv_cache); /* "auto" is none */
}

void run_habits_release(struct run_habits *h)
{
    json_decref(h->job_file);
    *h = (struct run_habits){0};
}

bool run_habits_prompter(const struct run_habits *h, const struct model *m, const char *template,
                         struct prompter **out, struct error *err)
{
    struct prompter *p = NULL;

    if (!prompter_open(m, template != NULL ? template : h->template, &p, err))
        return false;
    if (!prompter_reason(p, h->reasoning, err)) {
        prompter_close(p);
        return false;
    }
    *out = p;
    return true;
}
