/*
 * api_grading.c - what graders ask in a server: a model of this server, a judge of the operator's, the embedding model.
 *
 * Which addresses are asked only the operator says: what a request holds never becomes one.
 */
#include "base/clock.h"
#include "base/size.h"
#include "grade/ask_remote.h"
#include "grade/grader.h"
#include "server/api_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_JUDGES 64
#define KEY_VARIABLE "HONE_JUDGE_KEY"

struct operator_judge {
    const char *name;  /* as graders say it; "*": any */
    const char *model; /* of this server, where remote is NULL */
    struct ask_remote *remote;
};
struct judges {
    struct arena arena;
    size_t n;
    struct operator_judge judge[MAX_JUDGES];
};

/* ---- the operator's ---- */

static bool is_address(const char *text)
{
    return strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0;
}

static bool open_judge(struct judges *j, const char *name, const json_t *who, struct error *err)
{
    const char *url = json_string_value(json_object_get(who, "base_url")),
               *model = json_string_value(json_object_get(who, "model")),
               *variable = json_string_value(json_object_get(who, "api_key_env"));
    struct operator_judge *x = &j->judge[j->n];

    if (json_is_string(who)) {
        const char *text = json_string_value(who);

        *(is_address(text) ? &url : &model) = text;
    }
    if (url == NULL && model == NULL)
        return fail_param(err, ERR_INVALID, "judge",
                          "the judge \"%.64s\" is neither an address nor a model of this server",
                          name);
    *x = (struct operator_judge){.name = arena_text(&j->arena, str_of(name))};
    if (url == NULL) {
        x->model = arena_text(&j->arena, str_of(model));
    } else {
        const struct ask_remote_settings settings = {
            .base_url = url,
            .api_key = getenv(variable != NULL ? variable : KEY_VARIABLE),
            .model = model};

        if (!ask_remote_open(&settings, &x->remote, err))
            return fail_while(err, "opening the judge \"%.64s\"", name);
    }
    j->n++;
    return true;
}

bool judges_open(const struct api_options *opt, struct judges **out, struct error *err)
{
    struct judges *j = calloc(1, sizeof *j);
    bool ok = true;

    if (j == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for the judges");
    if (json_object_size(opt->judges) > MAX_JUDGES)
        ok = fail_param(err, ERR_LIMIT, "judge", "more than %d judges are set", MAX_JUDGES);
    for (void *it = json_object_iter((json_t *)(uintptr_t)opt->judges); ok && it != NULL;
         it = json_object_iter_next((json_t *)(uintptr_t)opt->judges, it))
        ok = open_judge(j, json_object_iter_key(it), json_object_iter_value(it), err);
    if (!ok) {
        judges_close(j);
        return false;
    }
    *out = j;
    return true;
}

void judges_close(struct judges *j)
{
    if (j == NULL)
        return;
    for (size_t i = 0; i < j->n; i++)
        ask_remote_close(j->judge[i].remote);
    arena_release(&j->arena);
    free(j);
}

static const struct operator_judge *find_judge(const struct judges *j, const char *name)
{
    const struct operator_judge *any = NULL;

    for (size_t i = 0; i < j->n; i++) {
        if (strcmp(j->judge[i].name, name) == 0)
            return &j->judge[i];
        if (strcmp(j->judge[i].name, "*") == 0)
            any = &j->judge[i];
    }
    return any;
}

/* ---- what graders call; ctx is of one project and lives in an arena ---- */

struct serving {
    struct api *api;
    const char *project_id;
    /* Of the job that is to be made, or NULL: its worker asks its judges, and embeds with its model, so here they have only to be there. */
    const json_t *hone;
};

static bool has_own_judge(const struct serving *s, const char *model)
{
    const json_t *judges = json_object_get(s->hone, "judges");

    return json_object_get(judges, model) != NULL || json_object_get(judges, "*") != NULL;
}

static bool have_engine(const struct serving *s, struct error *err)
{
    return s->api->opt.engine != NULL ||
           fail(err, ERR_UNSUPPORTED,
                "this server runs without an engine, so no model of its own can be asked");
}

static bool find_model(const struct serving *s, const char *name, struct arena *a,
                       struct engine_model *out, struct error *err)
{
    const struct operator_judge *j = find_judge(s->api->judges, name);

    return have_engine(s, err) &&
           api_model_of(s->api, s->project_id, str_of(j != NULL ? j->model : name), a, out, err);
}

static bool can_ask(void *ctx, const char *model, struct error *err)
{
    const struct serving *s = ctx;
    const struct operator_judge *j = find_judge(s->api->judges, model);
    struct engine_model found;
    struct arena a = {0};

    if (has_own_judge(s, model) || (j != NULL && j->remote != NULL))
        return true;
    const bool ok = find_model(s, model, &a, &found, err);
    arena_release(&a);
    return ok;
}

/* As the API of chat completions spells it; what is null is left out. */
static json_t *body_of(const struct grade_question *q, const char *model)
{
    json_t *body = json_object();

    json_object_set_new(body, "model", json_string(model));
    json_object_set(body, "messages", (json_t *)(uintptr_t)q->messages);
    json_object_set(body, "response_format", (json_t *)(uintptr_t)q->response_format);
    for (void *it = json_object_iter((json_t *)(uintptr_t)q->sampling); it != NULL;
         it = json_object_iter_next((json_t *)(uintptr_t)q->sampling, it)) {
        const char *key = json_object_iter_key(it);

        if (!json_is_null(json_object_iter_value(it)))
            json_object_set(
                body, strcmp(key, "max_completions_tokens") == 0 ? "max_completion_tokens" : key,
                json_object_iter_value(it));
    }
    return body;
}

static uint32_t count_of(const json_t *usage, const char *key)
{
    const json_int_t n = json_integer_value(json_object_get(usage, key));

    return n > 0 && n < UINT32_MAX ? (uint32_t)n : 0;
}

static bool read_answer(const json_t *answer, const char *model, struct arena *a,
                        struct grade_reply *out, struct error *err)
{
    const json_t *choice = json_array_get(json_object_get(answer, "choices"), 0);
    const json_t *message = json_object_get(choice, "message"),
                 *usage = json_object_get(answer, "usage");
    const struct str text = json_str(json_object_get(message, "content"));

    if (str_is(json_str(json_object_get(choice, "finish_reason")), "length"))
        return fail(err, ERR_LIMIT,
                    "the judge's reply was cut at the token limit: allow it more with "
                    "max_completions_tokens");
    *out = (struct grade_reply){
        .text = arena_str(a, text),
        .usage = {.prompt = count_of(usage, "prompt_tokens"),
                  .completion = count_of(usage, "completion_tokens"),
                  .cached =
                      count_of(json_object_get(usage, "prompt_tokens_details"), "cached_tokens")}};
    snprintf(out->model, sizeof out->model, "%s", model);
    return true;
}

static bool ask(void *ctx, const struct grade_question *q, struct arena *a, struct grade_reply *out,
                struct error *err)
{
    const struct serving *s = ctx;
    const struct operator_judge *j = find_judge(s->api->judges, q->model);
    struct engine_model m;
    json_t *answer = NULL;

    if (j != NULL && j->remote != NULL)
        return ask_remote_ask(j->remote, q, a, out, err);
    if (!find_model(s, q->model, a, &m, err))
        return false;
    json_t *body = body_of(q, m.name);
    bool ok = engine_client_answer_unless(s->api->opt.engine, ENGINE_CHAT, &m, body, q->deadline,
                                          q->stop, &answer, err) &&
              read_answer(answer, m.name, a, out, err);
    json_decref(answer);
    json_decref(body);
    return ok;
}

static bool embedding_model(const struct serving *s, struct arena *a, struct engine_model *out,
                            struct error *err)
{
    const char *own = json_string_value(json_object_get(s->hone, "embedding_model"));
    const char *name = s->api->opt.embedding_model != NULL ? s->api->opt.embedding_model : own;

    if (name == NULL)
        return fail(err, ERR_NOT_FOUND,
                    "this server has no embedding model: whoever runs it names one with "
                    "--embedding-model");
    return have_engine(s, err) && api_model_of(s->api, s->project_id, str_of(name), a, out, err);
}

static bool can_embed(void *ctx, struct error *err)
{
    struct arena a = {0};
    struct engine_model m;
    const bool ok = embedding_model(ctx, &a, &m, err);

    arena_release(&a);
    return ok;
}

static bool read_vector(const json_t *result, struct arena *a, const float **vector, size_t *n,
                        struct error *err)
{
    const json_t *v = json_array_get(json_object_get(result, "embeddings"), 0);

    *n = json_array_size(v);
    if (*n == 0)
        return fail(err, ERR_CORRUPT, "the engine gave no embedding");
    float *x = ARENA_ARRAY(a, float, *n);
    for (size_t i = 0; i < *n; i++)
        x[i] = (float)json_number_value(json_array_get(v, i));
    *vector = x;
    return true;
}

#define EMBED_SECONDS 120.0

static bool embed(void *ctx, struct str text, struct arena *a, const float **vector, size_t *n,
                  struct error *err)
{
    const struct serving *s = ctx;
    struct engine_model m;
    json_t *result = NULL;

    if (!embedding_model(s, a, &m, err))
        return false;
    json_t *body = json_pack("{s:[s%]}", "input", text.ptr, text.len);
    bool ok = (body != NULL || fail(err, ERR_INVALID, "the text to embed is no UTF-8")) &&
              engine_client_answer_unless(s->api->opt.engine, ENGINE_EMBED, &m, body,
                                          clock_seconds() + EMBED_SECONDS, &s->api->stopping,
                                          &result, err) &&
              read_vector(result, a, vector, n, err);
    json_decref(result);
    json_decref(body);
    return ok;
}

static void set_options(struct api *a, const char *project_id, const json_t *hone,
                        struct arena *arena, struct grade_options *out)
{
    struct grade_services *services = ARENA_NEW(arena, struct grade_services);
    struct serving *s = ARENA_NEW(arena, struct serving);

    *s = (struct serving){a, arena_text(arena, str_of(project_id)), hone};
    *services = (struct grade_services){.ask_ctx = s,
                                        .ask = ask,
                                        .can_ask = can_ask,
                                        .embed_ctx = s,
                                        .embed = embed,
                                        .can_embed = can_embed};
    *out = grade_defaults();
    out->python = a->opt.python;
    out->services = services;
}

void api_grade_options(struct api *a, const char *project_id, struct arena *arena,
                       struct grade_options *out)
{
    set_options(a, project_id, NULL, arena, out);
}

#define ASK_TIMEOUT_S 300.0 /* for a judge or an endpoint */

bool api_open_grader(struct api_call *c, const json_t *spec, const json_t *hone, double timeout_s,
                     const char *where, struct grader **out, struct error *err)
{
    struct grade_options opt;
    char param[sizeof err->param];

    const json_t *shadows = json_object_get(hone, "shadow_graders");

    set_options(c->api, c->who.project_id, hone, c->arena, &opt);
    opt.timeout_s = timeout_s;
    opt.ask_timeout_s = ASK_TIMEOUT_S;
    opt.n_workers = 1;
    opt.cache_bytes = 0;
    opt.shadows = json_is_null(shadows) ? NULL : shadows;
    opt.stop = &c->gone;
    if (grader_open(spec, &opt, out, err))
        return true;
    snprintf(param, sizeof param, "%s%s%s", where, err->param[0] != '\0' ? "." : "", err->param);
    snprintf(err->param, sizeof err->param, "%s", param);
    /* of something in the request, not of what it is for; a source that never loads will not the next time, so no 503 */
    if (err->kind == ERR_NOT_FOUND || (err->kind == ERR_TIMEOUT && !atomic_load(&c->gone))) {
        err->kind = ERR_INVALID;
        err->code = NULL;
    }
    return false;
}
