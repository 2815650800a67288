/*
 * recipe.c - one table of our own settings, the API's hyperparameters by hand.
 */
#include "train/recipe.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/size.h"
#include "model/kv.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/*
 * 2e-4 at a width of 576, where it was measured; 4e-5 at 2048, where published runs agree; a power of the width through
 * both. The guard on each update's KL takes back what is too much.
 */
static double default_rate(size_t width)
{
    return 4e-5 * pow(2048.0 / (double)width, 1.27);
}

struct recipe recipe_defaults(const struct model_config *c)
{
    return (struct recipe){
        .batch_size = 8,
        .learning_rate_multiplier = 1,
        .compute_multiplier = 1,
        .eval_samples = 1,
        .reasoning_effort = "default",
        .seed = 1,
        .temperature = 1,
        .tool_timeout_s = 600,
        .tools_at_once = 16,
        .lora_rank = 32,
        .lora_alpha = 32,
        .learning_rate = default_rate(c->width),
        .warmup_steps = 5,
        .beta1 = 0.9,
        .beta2 = 0.95,
        .eps = 1e-8,
        .max_grad_norm = 1,
        .advantage = advantage_defaults(),
        .refill = 3,
        .max_negatives = 8,
        .mask_truncated_below = 0.05,
        .max_grader_errors = 0.5,
        .kl_slow = 0.03,
        .kl_undo = 0.1,
        .checkpoint_interval = 10,
        .keep_best = 3,
        .pass_rows = 512,
        .precision = PRECISION_DEFAULT,
        .kv_cache = precision_kv_cache(PRECISION_DEFAULT),
        .max_live = 512,
    };
}

static const char *const method_names[] = {[METHOD_REINFORCEMENT] = "reinforcement",
                                           [METHOD_SUPERVISED] = "supervised",
                                           [METHOD_DPO] = "dpo"};

const char *train_method_name(enum train_method method)
{
    return method_names[method];
}

/*
 * Rows say what to answer, so there is no noise of chance in the gradient but that of the batch, and the rate falls on a line.
 * dpo moves a model that answers well already: a tenth of the rate.
 */
struct recipe recipe_defaults_of(enum train_method method, const struct model_config *c)
{
    struct recipe r = recipe_defaults(c);

    r.method = method;
    if (method == METHOD_REINFORCEMENT)
        return r;
    r.batch_size = 0;
    r.beta = 0.1;
    r.warmup_steps = RECIPE_AUTO;
    r.schedule = RATE_LINEAR;
    r.checkpoint_interval = 0;
    r.kl_slow = r.kl_undo = 0;
    if (method == METHOD_DPO)
        r.learning_rate /= 10;
    return r;
}

/* In the order of enum rate_schedule. */
static const char *const schedules[] = {"constant", "linear"};
/* In the order of enum advantage_scale. */
static const char *const scales[] = {"mean", "batch", "group", "none"};

enum setting_type { SETTING_COUNT, SETTING_NUMBER };

struct setting {
    const char *name;
    enum setting_type type;
    size_t at; /* in struct recipe */
    double least, most;
};

/* What stands under "hone" in a job. */
#define COUNT(name, least, most)                                                                   \
    {                                                                                              \
#name, SETTING_COUNT, offsetof(struct recipe, name), least, most                           \
    }
#define NUMBER(name, least, most)                                                                  \
    {                                                                                              \
#name, SETTING_NUMBER, offsetof(struct recipe, name), least, most                          \
    }
static const struct setting settings[] = {
    COUNT(max_steps, 1, 1e6),
    COUNT(group_size, 2, 256),
    COUNT(max_tokens, 1, LIMIT_CONTEXT),
    COUNT(max_tool_tokens, 0, LIMIT_CONTEXT),
    NUMBER(tool_timeout_s, 0.01, 3600),
    COUNT(tools_at_once, 1, 256),
    COUNT(max_prompt_tokens, 1, LIMIT_CONTEXT),
    NUMBER(temperature, 0.05, 5),
    COUNT(lora_rank, 0, 1024),
    NUMBER(lora_alpha, 1e-3, 1e4),
    NUMBER(learning_rate, 0, 1),
    COUNT(warmup_steps, 0, 1e6),
    NUMBER(beta1, 0, 0.99999),
    NUMBER(beta2, 0, 0.99999),
    NUMBER(eps, 1e-20, 1),
    NUMBER(weight_decay, 0, 10),
    NUMBER(max_grad_norm, 0, 1e9),
    COUNT(refill, 1, 100),
    COUNT(max_negatives, 0, 4096),
    NUMBER(entropy_floor, 0, 20),
    NUMBER(entropy_bonus, 0, 10),
    NUMBER(mask_truncated_below, 0, 1),
    NUMBER(max_grader_errors, 0, 1),
    NUMBER(kl_slow, 0, 1e9),
    NUMBER(kl_undo, 0, 1e9),
    COUNT(checkpoint_interval, 1, 1e6),
    COUNT(keep_best, 1, 100),
    COUNT(keep_optimizer, 0, 1),
    COUNT(parse_special, 0, 1),
    COUNT(pass_rows, 16, 1e6),
    NUMBER(memory_bytes, 0, 1e15),
    COUNT(max_live, 2, 4096),
};

/* Those of supervised and dpo. */
static const struct setting fit_settings[] = {
    COUNT(max_steps, 1, 1e6),      COUNT(lora_rank, 0, 1024),    NUMBER(lora_alpha, 1e-3, 1e4),
    NUMBER(learning_rate, 0, 1),   COUNT(warmup_steps, 0, 1e6),  NUMBER(beta1, 0, 0.99999),
    NUMBER(beta2, 0, 0.99999),     NUMBER(eps, 1e-20, 1),        NUMBER(weight_decay, 0, 10),
    NUMBER(max_grad_norm, 0, 1e9), COUNT(eval_interval, 1, 1e6), COUNT(checkpoint_interval, 1, 1e6),
    COUNT(keep_best, 1, 100),      COUNT(keep_optimizer, 0, 1),  COUNT(pass_rows, 16, 1e6),
    NUMBER(memory_bytes, 0, 1e15), COUNT(parse_special, 0, 1),
};

struct settings {
    const struct setting *all;
    size_t n;
};

static struct settings settings_of(enum train_method method)
{
    return method == METHOD_REINFORCEMENT ? (struct settings){settings, COUNT_OF(settings)}
                                          : (struct settings){fit_settings, COUNT_OF(fit_settings)};
}

bool recipe_is_auto(const json_t *v)
{
    return v == NULL || json_is_null(v) || (json_is_string(v) && str_is(json_str(v), "auto"));
}

static bool read_setting(const struct setting *s, const char *where, const json_t *v,
                         struct recipe *r, struct error *err)
{
    char path[64];

    snprintf(path, sizeof path, "%s.%s", where, s->name);
    if (recipe_is_auto(v))
        return true;
    if (!json_is_number(v))
        return fail_param(err, ERR_INVALID, path, "\"%s\" is %s, a number or \"auto\" was expected",
                          path, json_kind(v));
    const double x = json_number_value(v);
    if (!(x >= s->least && x <= s->most))
        return fail_param(err, ERR_INVALID, path, "\"%s\" is %g, expected %g to %g", path, x,
                          s->least, s->most);
    if (s->type == SETTING_COUNT && x != floor(x))
        return fail_param(err, ERR_INVALID, path, "\"%s\" is %g, a whole number was expected", path,
                          x);
    if (s->type == SETTING_COUNT)
        *(size_t *)(void *)((char *)r + s->at) = (size_t)x;
    else
        *(double *)(void *)((char *)r + s->at) = x;
    return true;
}

/* The API's hyperparameters: openai-api 5.1. */
static const struct setting hyperparameters[] = {
    COUNT(batch_size, 1, 256),    NUMBER(learning_rate_multiplier, 1e-9, 1e6),
    COUNT(n_epochs, 1, 50),       NUMBER(compute_multiplier, 1e-5, 10),
    COUNT(eval_interval, 1, 1e6), COUNT(eval_samples, 1, 1024),
};
static const struct setting fit_hyperparameters[] = {
    COUNT(batch_size, 1, 256), NUMBER(learning_rate_multiplier, 1e-9, 1e6), COUNT(n_epochs, 1, 50),
    NUMBER(beta, 1e-9, 2), /* the last: of dpo alone */
};

static struct settings hyperparameters_of(enum train_method method)
{
    return method == METHOD_REINFORCEMENT
               ? (struct settings){hyperparameters, COUNT_OF(hyperparameters)}
               : (struct settings){fit_hyperparameters,
                                   COUNT_OF(fit_hyperparameters) - (method != METHOD_DPO)};
}

static const struct setting *find_setting(struct settings of, const char *name)
{
    for (size_t i = 0; i < of.n; i++)
        if (strcmp(of.all[i].name, name) == 0)
            return &of.all[i];
    return NULL;
}

static bool read_effort(const json_t *h, struct recipe *r, struct error *err)
{
    const json_t *effort = json_object_get(h, "reasoning_effort");

    if (!recipe_is_auto(effort)) {
        static const char *const efforts[] = {"default", "low", "medium", "high"};
        bool known = false;

        for (size_t i = 0; i < COUNT_OF(efforts); i++)
            known = known || str_is(json_str(effort), efforts[i]);
        if (!known)
            return fail_param(
                err, ERR_INVALID, "reasoning_effort",
                "\"reasoning_effort\" is %s, expected \"default\", \"low\", \"medium\" or \"high\"",
                json_is_string(effort) ? json_string_value(effort) : json_kind(effort));
        snprintf(r->reasoning_effort, sizeof r->reasoning_effort, "%s", json_string_value(effort));
    }
    return true;
}

/* where: the place of h in the job */
static bool read_hyperparameters(const json_t *h, const char *where, struct recipe *r,
                                 struct error *err)
{
    const struct settings known = hyperparameters_of(r->method);

    if (h == NULL || json_is_null(h))
        return true;
    if (!json_is_object(h))
        return fail_param(err, ERR_INVALID, where,
                          "\"hyperparameters\" is %s, an object was expected", json_kind(h));
    for (size_t i = 0; i < known.n; i++)
        if (!read_setting(&known.all[i], where, json_object_get(h, known.all[i].name), r, err))
            return false;
    if (r->method == METHOD_REINFORCEMENT)
        return read_effort(h, r, err);
    for (void *it = json_object_iter((json_t *)(uintptr_t)h); it != NULL;
         it = json_object_iter_next((json_t *)(uintptr_t)h, it))
        if (find_setting(known, json_object_iter_key(it)) == NULL)
            return fail_param(err, ERR_INVALID, where,
                              "\"%s.%.64s\" is no hyperparameter of method %s", where,
                              json_object_iter_key(it), train_method_name(r->method));
    return true;
}

/* *out: the name's place among n; false for one that is not there. */
static bool find_name(const json_t *v, const char *const *names, size_t n, size_t *out)
{
    for (size_t k = 0; k < n; k++)
        if (str_is(json_str(v), names[k])) {
            *out = k;
            return true;
        }
    return false;
}

/* A setting of reinforcement that is no number; *taken: it was one. */
static bool read_reinforcement(const char *key, const json_t *v, struct recipe *r, bool *taken,
                               struct error *err)
{
    size_t k;

    *taken = true;
    if (strcmp(key, "reasoning") == 0) {
        r->reasoning = (json_t *)(uintptr_t)v;
    } else if (strcmp(key, "advantage_scale") == 0) {
        if (!find_name(v, scales, COUNT_OF(scales), &k))
            return fail_param(err, ERR_INVALID, "hone.advantage_scale",
                              "\"hone.advantage_scale\" must be \"mean\", \"batch\", "
                              "\"group\" or \"none\"");
        r->advantage.scale = (enum advantage_scale)k;
    } else if (strcmp(key, "shadow_graders") != 0 && strcmp(key, "judges") != 0 &&
               strcmp(key, "embedding_model") != 0) { /* whoever opens the grader reads those */
        *taken = false;
    }
    return true;
}

static bool read_ours(const json_t *hone, struct recipe *r, struct error *err)
{
    for (void *it = json_object_iter((json_t *)(uintptr_t)hone); it != NULL;
         it = json_object_iter_next((json_t *)(uintptr_t)hone, it)) {
        const char *key = json_object_iter_key(it);
        const json_t *v = json_object_iter_value(it);
        const struct setting *found = find_setting(settings_of(r->method), key);
        bool taken = false;
        size_t k = 0;

        if (strcmp(key, "precision") == 0) {
            if (!recipe_is_auto(v) && !precision_named(json_str(v), &r->precision))
                return fail_param(err, ERR_INVALID, "hone.precision",
                                  "\"hone.precision\" must be \"f32\" or \"int8\"");
            continue;
        }
        if (strcmp(key, "kv_cache") == 0) {
            if (!recipe_is_auto(v) && !kv_cache_named(json_str(v), &r->kv_cache))
                return fail_param(err, ERR_INVALID, "hone.kv_cache",
                                  "\"hone.kv_cache\" must be \"f32\", \"f16\" or \"q8_0\"");
            continue;
        }
        if (r->method == METHOD_REINFORCEMENT && !read_reinforcement(key, v, r, &taken, err))
            return false;
        if (taken)
            continue;
        if (r->method != METHOD_REINFORCEMENT && strcmp(key, "schedule") == 0) {
            if (!recipe_is_auto(v) && !find_name(v, schedules, COUNT_OF(schedules), &k))
                return fail_param(err, ERR_INVALID, "hone.schedule",
                                  "\"hone.schedule\" must be \"linear\" or \"constant\"");
            r->schedule = recipe_is_auto(v) ? r->schedule : (enum rate_schedule)k;
        } else if (found == NULL) {
            return fail_param(err, ERR_INVALID, "hone",
                              "\"hone.%s\" is no setting of a %s job; docs/TRAINING.md lists them",
                              key, train_method_name(r->method));
        } else if (!read_setting(found, "hone", v, r, err)) {
            return false;
        }
    }
    return true;
}

bool recipe_method(const json_t *job, enum train_method *out, struct error *err)
{
    const json_t *method = json_object_get(job, "method");
    struct str type;
    size_t k;

    if (!json_is_object(job))
        return fail(err, ERR_INVALID, "a job is a JSON object, this is %s", json_kind(job));
    if (method == NULL || json_is_null(method)) {
        *out = METHOD_SUPERVISED;
        return true;
    }
    if (!json_is_object(method))
        return fail_param(
            err, ERR_INVALID, "method",
            "the job's \"method\" is %s, an object with \"type\": \"reinforcement\" was expected",
            json_kind(method));
    if (!json_get_str(method, "type", "the job's \"method\"", &type, err))
        return false;
    if (!find_name(json_object_get(method, "type"), method_names, COUNT_OF(method_names), &k))
        return fail_param(err, ERR_UNSUPPORTED, "method.type",
                          "\"method.type\" is \"" STR_FMT
                          "\", \"reinforcement\", \"supervised\" and \"dpo\" are offered",
                          STR_ARG(type));
    *out = (enum train_method)k;
    return true;
}

/* The hyperparameters under the method, or of a job without method at its top. */
static bool read_method(const json_t *job, struct recipe *r, struct error *err)
{
    const char *name = train_method_name(r->method);
    const json_t *method = json_object_get(job, "method"), *spec = json_object_get(method, name);
    const json_t *top = json_object_get(job, "hyperparameters");
    char where[64];

    if (r->method == METHOD_REINFORCEMENT && !json_is_object(spec))
        return fail_param(err, ERR_INVALID, "method.reinforcement",
                          "\"method.reinforcement\" is %s, an object with \"grader\" was expected",
                          json_kind(spec));
    if (r->method == METHOD_REINFORCEMENT)
        r->response_format = json_object_get(spec, "response_format");
    snprintf(where, sizeof where, "method.%s", name);
    if (spec != NULL && !json_is_null(spec) && !json_is_object(spec))
        return fail_param(err, ERR_INVALID, where, "\"%s\" is %s, an object was expected", where,
                          json_kind(spec));
    if (r->method == METHOD_SUPERVISED && json_object_get(spec, "hyperparameters") == NULL)
        return read_hyperparameters(top, "hyperparameters", r, err);
    snprintf(where, sizeof where, "method.%s.hyperparameters", name);
    return read_hyperparameters(json_object_get(spec, "hyperparameters"), where, r, err);
}

const json_t *recipe_reinforcement(const json_t *job)
{
    return json_object_get(json_object_get(job, "method"), "reinforcement");
}

bool recipe_from_job(const json_t *job, const struct model_config *c, struct recipe *out,
                     struct error *err)
{
    const json_t *hone = json_object_get(job, "hone");
    enum train_method method;
    struct str suffix;
    int64_t seed = 0;

    if (!recipe_method(job, &method, err))
        return false;
    struct recipe r = recipe_defaults_of(method, c);
    if (hone != NULL && json_is_null(hone))
        hone = NULL;
    if (hone != NULL && !json_is_object(hone))
        return fail_param(err, ERR_INVALID, "hone", "\"hone\" is %s, an object was expected",
                          json_kind(hone));
    if (!read_method(job, &r, err) ||
        !json_get_int(job, "seed", "the job", 1, 0, 2147483647, &seed, err) ||
        !read_ours(hone, &r, err))
        return false;
    if (json_object_get(job, "suffix") != NULL && !json_is_null(json_object_get(job, "suffix"))) {
        if (!json_get_str(job, "suffix", "the job", &suffix, err))
            return false;
        if (suffix.len < 1 || suffix.len > 64)
            return fail_param(err, ERR_INVALID, "suffix",
                              "\"suffix\" has %zu characters, 1 to 64 are possible", suffix.len);
        memcpy(r.suffix, suffix.ptr, suffix.len);
    }
    r.seed = (uint64_t)seed;
    if (recipe_is_auto(json_object_get(hone, "kv_cache")))
        r.kv_cache = precision_kv_cache(r.precision);
    if (r.lora_rank == 0 && json_object_get(hone, "learning_rate") == NULL)
        r.learning_rate = method == METHOD_SUPERVISED ? recipe_defaults(c).learning_rate / 10
                                                      : 1e-6; /* every weight moves */
    *out = r;
    return true;
}

#define LEAST_MEMORY 256e6 /* however little is free */
#define MOST_MEMORY 2e9    /* or a sixteenth of what is free, where that is more and known */

double recipe_memory_bytes(const struct recipe *r)
{
    const double free = memory_available();

    if (r->memory_bytes > 0)
        return r->memory_bytes;
    if (!isfinite(free))
        return MOST_MEMORY;
    return fmax(LEAST_MEMORY, fmin(free / 4, fmax(MOST_MEMORY, free / 16)));
}

static void show(json_t *o, const struct setting *s, const struct recipe *r)
{
    const char *at = (const char *)r + s->at;

    if (s->type == SETTING_COUNT)
        json_object_set_new(o, s->name,
                            json_integer((json_int_t) * (const size_t *)(const void *)at));
    else
        json_object_set_new(o, s->name, json_real(*(const double *)(const void *)at));
}

json_t *recipe_hyperparameters(const struct recipe *r)
{
    const struct settings known = hyperparameters_of(r->method);
    json_t *o = json_object();

    for (size_t i = 0; i < known.n; i++)
        show(o, &known.all[i], r);
    if (r->method == METHOD_REINFORCEMENT)
        json_object_set_new(o, "reasoning_effort", json_string(r->reasoning_effort));
    return o;
}

json_t *recipe_all(const struct recipe *r)
{
    const struct settings known = settings_of(r->method);
    json_t *o = json_object();

    for (size_t i = 0; i < known.n; i++)
        show(o, &known.all[i], r);
    if (r->method == METHOD_REINFORCEMENT)
        json_object_set_new(o, "advantage_scale", json_string(scales[r->advantage.scale]));
    else
        json_object_set_new(o, "schedule", json_string(schedules[r->schedule]));
    json_object_set_new(o, "precision", json_string(precision_name(r->precision)));
    json_object_set_new(o, "kv_cache", json_string(kv_cache_name(r->kv_cache)));
    if (r->reasoning != NULL)
        json_object_set(o, "reasoning", r->reasoning);
    return o;
}
