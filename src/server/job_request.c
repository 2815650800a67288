/*
 * job_request.c - one table of hyperparameters for all methods; everything else by hand.
 */
#include "server/job_request.h"
#include "base/size.h"
#include "server/api.h"
#include "text/json_schema.h"
#include "train/recipe.h"
#include "train/tool_servers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_SUFFIX 64
#define MAX_SEED 2147483647

/* ---- hyperparameters ---- */

enum { SFT = 1, DPO = 2, RFT = 4 };
static const struct method {
    const char *name;
    unsigned bit;
} methods[] = {{"supervised", SFT}, {"dpo", DPO}, {"reinforcement", RFT}};

static const struct hyperparameter {
    const char *name;
    unsigned methods;
    bool whole;
    double above, most; /* above < value <= most */
} hyperparameters[] = {
    {"batch_size", SFT | DPO | RFT, true, 0, 256},
    {"learning_rate_multiplier", SFT | DPO | RFT, false, 0, 1e6},
    {"n_epochs", SFT | DPO | RFT, true, 0, 50},
    {"beta", DPO, false, 0, 2},
    {"compute_multiplier", RFT, false, 1e-5, 10},
    {"eval_interval", RFT, true, 0, 1e6},
    {"eval_samples", RFT, true, 0, 1024},
};
static const char *const efforts[] = {"default", "low", "medium", "high"};

static bool wrong_type(const json_t *v, const char *param, const char *want, struct error *err)
{
    return fail_code(err, ERR_INVALID, "invalid_type", param, "\"%s\" is %s, %s was expected",
                     param, json_kind(v), want);
}

static bool missing(const char *param, struct error *err)
{
    return fail_code(err, ERR_INVALID, "missing_required_parameter", param, "\"%s\" is missing",
                     param);
}

static bool check_number(const struct hyperparameter *h, const json_t *v, const char *param,
                         struct error *err)
{
    if (recipe_is_auto(v))
        return true;
    if (!json_is_number(v))
        return wrong_type(v, param, "a number or \"auto\"", err);
    const double x = json_number_value(v);
    if (h->whole && x != floor(x))
        return fail_code(err, ERR_INVALID, "invalid_type", param,
                         "\"%s\" is %g, a whole number or \"auto\" was expected", param, x);
    return (x > h->above && x <= h->most) ||
           fail_param(err, ERR_INVALID, param, "\"%s\" is %g, expected %s%g to %g", param, x,
                      h->whole ? "" : "more than ", h->whole ? h->above + 1 : h->above, h->most);
}

static bool check_effort(const json_t *v, const char *param, struct error *err)
{
    if (json_absent(v))
        return true;
    for (size_t i = 0; i < COUNT_OF(efforts); i++)
        if (str_is(json_str(v), efforts[i]))
            return true;
    return fail_param(err, ERR_INVALID, param,
                      "\"%s\" is %.40s, expected \"default\", \"low\", \"medium\" or \"high\"",
                      param, json_is_string(v) ? json_string_value(v) : json_kind(v));
}

static bool check_hyperparameters(const json_t *h, unsigned method, const char *where,
                                  struct error *err)
{
    char param[64];

    if (json_absent(h))
        return true;
    if (!json_is_object(h))
        return wrong_type(h, where, "an object", err);
    for (size_t i = 0; i < COUNT_OF(hyperparameters); i++) {
        snprintf(param, sizeof param, "%s.%s", where, hyperparameters[i].name);
        if ((hyperparameters[i].methods & method) != 0 &&
            !check_number(&hyperparameters[i], json_object_get(h, hyperparameters[i].name), param,
                          err))
            return false;
    }
    snprintf(param, sizeof param, "%s.reasoning_effort", where);
    return method != RFT || check_effort(json_object_get(h, "reasoning_effort"), param, err);
}

/* ---- method ---- */

#define FORMAT_PARAM "method.reinforcement.response_format"

/* The form of chat completions, or the flat one: {"type":"json_schema","name","schema","strict"}. */
static bool check_format(const json_t *f, struct error *err)
{
    struct grammar *g = NULL;

    if (json_absent(f))
        return true;
    if (!json_is_object(f))
        return wrong_type(f, FORMAT_PARAM, "an object", err);
    const struct str type = json_str(json_object_get(f, "type"));
    if (str_is(type, "text") || str_is(type, "json_object"))
        return true;
    if (!str_is(type, "json_schema"))
        return fail_param(err, ERR_INVALID, FORMAT_PARAM,
                          "of \"response_format\" the types text, json_object and json_schema are "
                          "offered");
    const json_t *inner = json_object_get(f, "json_schema");
    if (inner != NULL && !json_is_object(inner))
        return wrong_type(inner, FORMAT_PARAM ".json_schema", "an object", err);
    const json_t *schema = json_object_get(inner != NULL ? inner : f, "schema");
    if (schema == NULL)
        return missing(inner != NULL ? FORMAT_PARAM ".json_schema.schema" : FORMAT_PARAM ".schema",
                       err);
    if (!json_schema_grammar(schema, "response_format", &g, err)) {
        snprintf(err->param, sizeof err->param, "%s", FORMAT_PARAM);
        return false;
    }
    grammar_close(g);
    return true;
}

/* A config to check "hone" by before a model is opened: of the numbers only defaults depend on it. */
static bool check_recipe(const json_t *body, struct error *err)
{
    const struct model_config any = {.width = 1024};
    struct recipe r;

    return recipe_from_job(body, &any, &r, err);
}

static bool check_reinforcement(const json_t *m, struct job_request *out, struct error *err)
{
    out->grader = json_object_get(m, "grader");
    if (json_absent(out->grader))
        return missing("method.reinforcement.grader", err);
    if (!json_is_object(out->grader))
        return wrong_type(out->grader, "method.reinforcement.grader", "an object", err);
    out->has_tools = json_array_size(json_object_get(m, "tools")) > 0;
    return tool_servers_check(m, err) && check_format(json_object_get(m, "response_format"), err);
}

/* ---- addresses ---- */

#define DEEPEST_GRADER 8

static bool stays_here(const json_t *spec, int depth, const char *param, struct error *err)
{
    const char *key;
    size_t i;
    json_t *v;

    if (depth == 0)
        return true; /* grader_open allows no such depth */
    if (str_is(json_str(json_object_get(spec, "type")), "endpoint"))
        return fail_code(err, ERR_UNSUPPORTED, "unsupported_value", param,
                         "this server sends nothing to addresses that requests name, so graders of "
                         "the type endpoint are not offered; whoever runs it may allow them with "
                         "--allow-request-addresses");
    json_object_foreach((json_t *)(uintptr_t)spec, key, v)
    {
        if (!stays_here(v, depth - 1, param, err))
            return false;
    }
    json_array_foreach((json_t *)(uintptr_t)spec, i, v)
    {
        if (!stays_here(v, depth - 1, param, err))
            return false;
    }
    return true;
}

bool job_grader_stays_here(const json_t *spec, const char *param, struct error *err)
{
    return stays_here(spec, DEEPEST_GRADER, param, err);
}

bool job_stays_here(const json_t *body, struct error *err)
{
    const json_t *hone = json_object_get(body, "hone");
    const json_t *m = recipe_reinforcement(body);

    if (!json_absent(json_object_get(hone, "judges")))
        return fail_code(err, ERR_UNSUPPORTED, "unsupported_parameter", "hone.judges",
                         "who answers for a grader's model is set where the server runs, not in a "
                         "job; whoever runs it may allow \"hone.judges\" with "
                         "--allow-request-addresses");
    return job_grader_stays_here(json_object_get(m, "grader"), "method.reinforcement.grader",
                                 err) &&
           job_grader_stays_here(json_object_get(hone, "shadow_graders"), "hone.shadow_graders",
                                 err);
}

/* ---- method ---- */

static bool read_method(const json_t *body, struct job_request *out, struct error *err)
{
    const json_t *method = json_object_get(body, "method"),
                 *old = json_object_get(body, "hyperparameters");
    const struct method *found = NULL;
    char where[48];

    if (json_absent(method)) {
        out->method = "supervised";
        return check_hyperparameters(old, SFT, "hyperparameters", err) && check_recipe(body, err);
    }
    if (!json_is_object(method))
        return wrong_type(method, "method", "an object", err);
    const json_t *type = json_object_get(method, "type");
    if (json_absent(type))
        return missing("method.type", err);
    if (!json_is_string(type))
        return wrong_type(type, "method.type", "a text", err);
    for (size_t i = 0; i < COUNT_OF(methods); i++)
        if (str_is(json_str(type), methods[i].name))
            found = &methods[i];
    if (found == NULL)
        return fail_param(err, ERR_INVALID, "method.type",
                          "\"method.type\" is \"%.64s\", expected \"supervised\", \"dpo\" or "
                          "\"reinforcement\"",
                          json_string_value(type));
    out->method = found->name;
    const json_t *m = json_object_get(method, found->name);
    if (json_object_size(old) > 0 &&
        (found->bit != SFT || !json_absent(json_object_get(m, "hyperparameters"))))
        return fail_param(err, ERR_INVALID, "hyperparameters",
                          "\"hyperparameters\" stands beside \"method\": they belong into "
                          "\"method.%s.hyperparameters\"",
                          found->name);
    snprintf(where, sizeof where, "method.%s", found->name);
    if (!json_absent(m) && !json_is_object(m))
        return wrong_type(m, where, "an object", err);
    if (json_absent(m) && found->bit == RFT)
        return missing("method.reinforcement", err);
    snprintf(where, sizeof where, "method.%s.hyperparameters", found->name);
    return check_hyperparameters(json_object_get(m, "hyperparameters"), found->bit, where, err) &&
           check_hyperparameters(old, SFT, "hyperparameters", err) &&
           (found->bit != RFT || check_reinforcement(m, out, err)) && check_recipe(body, err);
}

/* ---- the rest ---- */

static bool text_of(const json_t *body, const char *key, bool needed, size_t most, struct str *out,
                    struct error *err)
{
    const json_t *v = json_object_get(body, key);

    *out = (struct str){0};
    if (json_absent(v))
        return !needed || missing(key, err);
    if (!json_is_string(v))
        return wrong_type(v, key, "a text", err);
    *out = json_str(v);
    if (out->len == 0 || out->len > most)
        return fail_param(err, ERR_INVALID, key, "\"%s\" has %zu bytes, 1 to %zu are possible", key,
                          out->len, most);
    for (size_t i = 0; i < out->len; i++)
        if ((unsigned char)out->ptr[i] < 0x20 || out->ptr[i] == 0x7f)
            return fail_param(err, ERR_INVALID, key, "\"%s\" holds a control character", key);
    return true;
}

/* It becomes a part of ft:BASE:ORG:SUFFIX:ID, which stands in paths of the API and in folders' names. */
static bool read_suffix(const json_t *body, struct arena *a, const char **out, struct error *err)
{
    struct str s;

    *out = NULL;
    if (!text_of(body, "suffix", false, MAX_SUFFIX, &s, err))
        return false;
    if (s.ptr == NULL)
        return true;
    for (size_t i = 0; i < s.len; i++) {
        const char ch = s.ptr[i];

        if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
              strchr("-_. ", ch) != NULL))
            return fail_param(err, ERR_INVALID, "suffix",
                              "\"suffix\" may have letters (a to z), digits, '-', '_', '.' and "
                              "blanks, for it becomes a part of the model's name");
    }
    *out = arena_text(a, s);
    return true;
}

static bool read_seed(const json_t *body, int64_t *out, struct error *err)
{
    const json_t *v = json_object_get(body, "seed");

    *out = -1;
    if (json_absent(v))
        return true;
    if (!json_is_integer(v))
        return wrong_type(v, "seed", "a whole number", err);
    *out = json_integer_value(v);
    return (*out >= 0 && *out <= MAX_SEED) ||
           fail_param(err, ERR_INVALID, "seed", "\"seed\" is %lld, expected 0 to %d",
                      (long long)*out, MAX_SEED);
}

static bool read_integrations(const json_t *body, struct job_request *out, struct error *err)
{
    const json_t *list = json_object_get(body, "integrations");
    size_t i;
    json_t *v;

    if (json_absent(list))
        return true;
    if (!json_is_array(list))
        return wrong_type(list, "integrations", "a list", err);
    if (json_array_size(list) > JOB_MOST_INTEGRATIONS)
        return fail_param(err, ERR_INVALID, "integrations",
                          "\"integrations\" has %zu members, %d are possible",
                          json_array_size(list), JOB_MOST_INTEGRATIONS);
    json_array_foreach((json_t *)(uintptr_t)list, i, v)
    {
        const json_t *wandb = json_object_get(v, "wandb");

        if (!str_is(json_str(json_object_get(v, "type")), "wandb"))
            return fail_code(err, ERR_UNSUPPORTED, "unsupported_value", "integrations",
                             "of \"integrations\" the type \"wandb\" is known, this is another");
        if (!json_is_object(wandb) || !json_is_string(json_object_get(wandb, "project")))
            return missing("integrations.wandb.project", err);
        out->has_wandb = true;
    }
    return true;
}

static bool at_most(const json_t *hone, const char *key, double most, struct error *err)
{
    const json_t *v = json_object_get(hone, key);
    char param[48];

    snprintf(param, sizeof param, "hone.%s", key);
    return !json_is_number(v) || json_number_value(v) <= most ||
           fail_param(err, ERR_INVALID, param, "\"%s\" is %g, through the API %g is the most",
                      param, json_number_value(v), most);
}

bool job_judge_is_address(const char *who)
{
    return strncmp(who, "http://", 7) == 0 || strncmp(who, "https://", 8) == 0;
}

bool job_may_send(const char *names, const char *variable)
{
    const size_t len = strlen(variable);

    for (const char *at = names; at != NULL && *at != '\0';) {
        at += strspn(at, ", ");
        const size_t n = strcspn(at, ", ");

        if (n > 0 && n == len && memcmp(at, variable, n) == 0)
            return true;
        at += n;
    }
    return false;
}

bool job_key_refused(const char *variable, struct error *err)
{
    return fail_code(err, ERR_UNSUPPORTED, "unsupported_value", "hone.judges",
                     "\"api_key_env\" names the variable %.64s, whose value jobs may not send: "
                     "whoever runs this server may allow it with --request-key-env",
                     variable);
}

static bool check_keys(const json_t *judges, const struct job_rules *rules, struct error *err)
{
    const char *name;
    json_t *who;

    json_object_foreach((json_t *)(uintptr_t)judges, name, who)
    {
        const char *variable = json_string_value(json_object_get(who, "api_key_env"));

        if (variable != NULL && !job_may_send(rules->request_keys, variable))
            return job_key_refused(variable, err);
    }
    return true;
}

static bool read_hone(const json_t *body, const struct job_rules *rules, struct arena *a,
                      struct job_request *out, struct error *err)
{
    const json_t *hone = json_object_get(body, "hone");
    const json_t *rank = json_object_get(hone, "lora_rank"),
                 *embedding = json_object_get(hone, "embedding_model");

    if (json_absent(hone))
        return true;
    if (!json_is_object(hone))
        return wrong_type(hone, "hone", "an object", err);
    if (!check_keys(json_object_get(hone, "judges"), rules, err))
        return false;
    if (!json_absent(embedding)) {
        if (!json_is_string(embedding))
            return wrong_type(embedding, "hone.embedding_model", "a model's name", err);
        out->embedding_model = arena_text(a, json_str(embedding));
    }
    if (json_is_number(rank) && json_number_value(rank) == 0)
        return fail_code(
            err, ERR_UNSUPPORTED, "unsupported_value", "hone.lora_rank",
            "\"hone.lora_rank\" is 0, which trains every weight: such a model cannot be "
            "served; train it with hone train, or give a rank");
    return at_most(hone, "lora_rank", JOB_MOST_RANK, err) &&
           at_most(hone, "memory_bytes", JOB_MOST_MEMORY, err) &&
           at_most(hone, "pass_rows", JOB_MOST_PASS_ROWS, err) &&
           at_most(hone, "max_live", JOB_MOST_LIVE, err);
}

bool job_request_read(const json_t *body, const struct job_rules *rules, struct arena *a,
                      struct job_request *out, struct error *err)
{
    struct job_request r = {.seed = -1};

    if (!text_of(body, "model", true, 512, &r.model, err) ||
        !text_of(body, "training_file", true, 128, &r.training_file, err) ||
        !text_of(body, "validation_file", false, 128, &r.validation_file, err) ||
        !read_suffix(body, a, &r.suffix, err) || !read_seed(body, &r.seed, err) ||
        !api_metadata(body, a, &r.labels, &r.n_labels, err) || !read_integrations(body, &r, err) ||
        !(rules->request_addresses || job_stays_here(body, err)) ||
        !read_hone(body, rules, a, &r, err) || !read_method(body, &r, err))
        return false;
    *out = r;
    return true;
}

/* ---- shown again ---- */

static json_t *shown_hyperparameters(const json_t *given, unsigned method, const json_t *resolved)
{
    json_t *o = json_is_object(given) ? json_copy((json_t *)(uintptr_t)given) : json_object();

    for (size_t i = 0; i < COUNT_OF(hyperparameters); i++) {
        const char *name = hyperparameters[i].name;
        const json_t *v = json_object_get(o, name);
        json_t *found = json_object_get(resolved, name);

        if ((hyperparameters[i].methods & method) == 0 || !recipe_is_auto(v))
            continue;
        if (json_is_number(found))
            json_object_set(o, name, found);
        else
            json_object_set_new(o, name, json_string("auto"));
    }
    if (method == RFT && json_absent(json_object_get(o, "reasoning_effort")))
        json_object_set_new(o, "reasoning_effort", json_string("default"));
    return o;
}

json_t *job_method_shown(const json_t *body, const char *method, const json_t *resolved)
{
    const json_t *given = json_object_get(json_object_get(body, "method"), method);
    const json_t *h = json_object_get(given, "hyperparameters");
    json_t *inner = json_is_object(given) ? json_copy((json_t *)(uintptr_t)given) : json_object();
    unsigned bit = SFT;

    for (size_t i = 0; i < COUNT_OF(methods); i++)
        if (strcmp(methods[i].name, method) == 0)
            bit = methods[i].bit;
    if (json_absent(h) && bit == SFT)
        h = json_object_get(body, "hyperparameters");
    if (bit == RFT && json_object_get(inner, "response_format") == NULL)
        json_object_set_new(inner, "response_format", json_null());
    json_object_set_new(inner, "hyperparameters", shown_hyperparameters(h, bit, resolved));
    return json_pack("{s:s, s:o}", "type", method, method, inner);
}
