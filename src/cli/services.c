#include "cli/services.h"

#include "cli/session.h"
#include "grade/ask_remote.h"
#include "job/model_store.h"
#include "sample/embedder.h"
#include "sample/judge.h"
#include "server/job_request.h"

#include <stdlib.h>

#define KEY_VARIABLE "HONE_JUDGE_KEY"
#define MAX_JUDGES 64

enum judge_kind { JUDGE_REMOTE, JUDGE_BASE, JUDGE_LOCAL };

/* Who is asked under one name. */
struct asked {
    const char *name; /* as graders say it */
    enum judge_kind kind;
    struct ask_remote *remote;
    struct model *model; /* of a model of hone's */
    struct adapter *adapter;
    struct prompter *prompter;
    struct judge *judge; /* that model's, or the base's; NULL until it is lent */
};

struct services {
    struct cli *c;
    json_t *judges; /* of the job, or NULL */
    bool has_base;
    struct grade_services for_graders;
    const char *embedding_model; /* a name or a path, or NULL */
    bool embedding_of_job;       /* not of an option */
    struct embedder *embedder;   /* opened when a grader needs it */
    size_t n_asked;              /* added while graders are opened, read-only while they run */
    struct asked asked[MAX_JUDGES];
};

/* ---- who it is ---- */

/* A tenant's address is sent no secret of the operator's, unless he said so; whose machine and file it is may send what he likes. */
static bool may_send(const struct services *s, const char *variable)
{
    return s->c->requester == NULL ||
           job_may_send(option_text(s->c->options, OPT_REQUEST_KEY_ENV), variable);
}

/* variable NULL: no key is sent. */
static bool open_remote(struct asked *x, const char *url, const char *model, const char *variable,
                        struct error *err)
{
    const struct ask_remote_settings settings = {
        .base_url = url, .api_key = variable != NULL ? getenv(variable) : NULL, .model = model};

    x->kind = JUDGE_REMOTE;
    return ask_remote_open(&settings, &x->remote, err);
}

/* of_job: the job says so, and one that came by a request has no paths and no runs of others; else the caller does. */
static bool find_model(const struct services *s, const char *name, bool of_job,
                       struct model_ref *out, struct error *err)
{
    return of_job && s->c->requester != NULL
               ? project_model_find(s->c->requester, str_of(name), s->c->arena, out, err)
               : model_store_find(s->c->home, name, s->c->arena, out, err);
}

static bool open_local(struct services *s, struct asked *x, const char *name, bool of_job,
                       struct error *err)
{
    struct judge_options opt = judge_defaults();
    struct run_habits habits;
    struct model_ref ref;

    x->kind = JUDGE_LOCAL;
    if (!machine_setup(s->c, err) || !find_model(s, name, of_job, &ref, err) ||
        !model_open(ref.path, 0, &x->model, err))
        return false;
    run_habits_read(model_ref_run(&ref), &habits);
    machine_arithmetic(s->c, &habits, x->model);
    run_habits_release(&habits);
    if ((ref.adapter != NULL && !adapter_load(&x->model->config, ref.adapter, &x->adapter, err)) ||
        !prompter_open(x->model, NULL, &x->prompter, err) ||
        !prompter_reason(x->prompter, NULL, err))
        return false;
    opt.adapter = x->adapter;
    return judge_open(x->model, x->prompter, x->name, &opt, &x->judge, err);
}

static bool open_text(struct services *s, struct asked *x, const char *who, bool of_job,
                      struct error *err)
{
    if (job_judge_is_address(who))
        return open_remote(x, who, NULL, !of_job || may_send(s, KEY_VARIABLE) ? KEY_VARIABLE : NULL,
                           err);
    if (strcmp(who, "base") != 0)
        return open_local(s, x, who, of_job, err);
    x->kind = JUDGE_BASE;
    return s->has_base ||
           fail(
               err, ERR_INVALID,
               "\"base\" is the model that is trained or measured, and hone %s does neither: name a model or an address",
               s->c->set->command);
}

/* A text under key, or NULL where it is not there. */
static bool text_of(const json_t *who, const char *key, const char **out, struct error *err)
{
    const json_t *v = json_object_get(who, key);

    *out = json_string_value(v);
    return v == NULL || json_is_null(v) || *out != NULL ||
           fail_param(err, ERR_INVALID, "hone.judges", "\"%s\" is %s, a text was expected", key,
                      json_kind(v));
}

static bool open_object(struct services *s, struct asked *x, const json_t *who, struct error *err)
{
    const char *url, *model, *variable, *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)who, key, value)
    {
        if (strcmp(key, "base_url") != 0 && strcmp(key, "model") != 0 &&
            strcmp(key, "api_key_env") != 0)
            return fail_param(
                err, ERR_INVALID, "hone.judges",
                "\"%.64s\" is no setting of a judge: there are base_url, model, api_key_env", key);
    }
    if (!text_of(who, "base_url", &url, err) || !text_of(who, "model", &model, err) ||
        !text_of(who, "api_key_env", &variable, err))
        return false;
    if (variable != NULL && !may_send(s, variable))
        return job_key_refused(variable, err);
    if (variable != NULL && getenv(variable) == NULL)
        return fail_param(err, ERR_NOT_FOUND, "hone.judges",
                          "\"api_key_env\" names the variable %.64s, and it is not set", variable);
    if (url != NULL)
        return open_remote(x, url, model,
                           variable != NULL            ? variable
                           : may_send(s, KEY_VARIABLE) ? KEY_VARIABLE
                                                       : NULL,
                           err);
    return model != NULL
               ? open_text(s, x, model, true, err)
               : fail_param(err, ERR_INVALID, "hone.judges",
                            "a judge is an address (\"base_url\") or a \"model\" of hone's");
}

/* What the settings say of name, or NULL. */
static const json_t *said_of(const struct services *s, const char *name)
{
    const json_t *own = json_object_get(s->judges, name);

    return own != NULL ? own : json_object_get(s->judges, "*");
}

static bool open_asked(struct services *s, struct asked *x, struct error *err)
{
    const json_t *who = said_of(s, x->name);
    const char *option = option_text(s->c->options, OPT_JUDGE);
    struct model_ref ref;
    struct error unheard;

    if (who != NULL)
        return (json_is_string(who) ? open_text(s, x, json_string_value(who), true, err)
                : json_is_object(who)
                    ? open_object(s, x, who, err)
                    : fail_param(err, ERR_INVALID, "hone.judges",
                                 "expected an address, a model or an object, found %s",
                                 json_kind(who))) ||
               fail_while(err, "reading hone.judges for the model \"%.64s\"", x->name);
    if (option != NULL)
        return open_text(s, x, option, false, err) ||
               fail_while(err, "opening --judge for \"%.64s\"", x->name);
    if (find_model(s, x->name, true, &ref, &unheard))
        return open_local(s, x, x->name, true, err);
    return fail(
        err, ERR_NOT_FOUND,
        "the grader asks the model \"%.64s\", and nobody is set to answer for it: give --judge "
        "with a model of hone's, \"base\" or an address such as https://host/v1, or hone.judges "
        "in the job",
        x->name);
}

static void asked_release(struct asked *x)
{
    judge_close(x->judge);
    prompter_close(x->prompter);
    adapter_close(x->adapter);
    model_close(x->model);
    ask_remote_close(x->remote);
}

static struct asked *find(struct services *s, const char *name)
{
    for (size_t i = 0; i < s->n_asked; i++)
        if (strcmp(s->asked[i].name, name) == 0)
            return &s->asked[i];
    return NULL;
}

/* ---- what graders call ---- */

static bool can_ask(void *ctx, const char *model, struct error *err)
{
    struct services *s = ctx;
    struct asked x = {.name = model};

    if (find(s, model) != NULL)
        return true;
    if (s->n_asked == MAX_JUDGES)
        return fail(err, ERR_LIMIT, "graders name more than %d models", MAX_JUDGES);
    x.name = arena_text(s->c->arena, str_of(model));
    if (!open_asked(s, &x, err)) {
        asked_release(&x);
        return false;
    }
    s->asked[s->n_asked++] = x;
    return true;
}

static bool ask(void *ctx, const struct grade_question *q, struct arena *a, struct grade_reply *out,
                struct error *err)
{
    struct asked *x = find(ctx, q->model);

    if (x == NULL || (x->remote == NULL && x->judge == NULL))
        return fail(err, ERR_NOT_FOUND, "the judge \"%.64s\" is not open", q->model);
    return x->remote != NULL ? ask_remote_ask(x->remote, q, a, out, err)
                             : judge_ask(x->judge, q, a, out, err);
}

static bool can_embed(void *ctx, struct error *err)
{
    struct services *s = ctx;
    struct model_ref ref;

    if (s->embedder != NULL)
        return true;
    if (s->embedding_model == NULL)
        return fail(
            err, ERR_NOT_FOUND,
            "no embedding model is named: give --embedding-model with a model of BERT's type, "
            "or hone.embedding_model in the job");
    return machine_setup(s->c, err) &&
           find_model(s, s->embedding_model, s->embedding_of_job, &ref, err) &&
           embedder_open(ref.path, EMBEDDER_CACHE_BYTES, &s->embedder, err);
}

static bool embed(void *ctx, struct str text, struct arena *a, const float **vector, size_t *n,
                  struct error *err)
{
    const struct services *s = ctx;

    return embedder_embed(s->embedder, text, a, vector, n, err);
}

/* ---- the whole ---- */

bool services_open(struct cli *c, const json_t *hone, bool has_base, struct services **out,
                   struct error *err)
{
    const json_t *judges = json_object_get(hone, "judges"),
                 *model = json_object_get(hone, "embedding_model");
    struct services *s;

    if (judges != NULL && !json_is_null(judges) && !json_is_object(judges))
        return fail_param(err, ERR_INVALID, "hone.judges",
                          "\"hone.judges\" is %s, an object of names and judges was expected",
                          json_kind(judges));
    if (model != NULL && !json_is_null(model) && !json_is_string(model))
        return fail_param(err, ERR_INVALID, "hone.embedding_model",
                          "\"hone.embedding_model\" is %s, a name or a path was expected",
                          json_kind(model));
    s = calloc(1, sizeof *s);
    if (s == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for the graders' models");
    s->c = c;
    s->judges = json_deep_copy(judges);
    s->has_base = has_base;
    s->embedding_model = option_text(c->options, OPT_EMBEDDING_MODEL);
    s->embedding_of_job = s->embedding_model == NULL;
    if (s->embedding_of_job && json_is_string(model))
        s->embedding_model = arena_text(c->arena, json_str(model));
    s->for_graders = (struct grade_services){.ask_ctx = s,
                                             .ask = ask,
                                             .can_ask = can_ask,
                                             .embed_ctx = s,
                                             .embed = embed,
                                             .can_embed = can_embed};
    *out = s;
    return true;
}

void services_close(struct services *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->n_asked; i++)
        asked_release(&s->asked[i]);
    embedder_close(s->embedder);
    json_decref(s->judges);
    free(s);
}

const struct grade_services *services_for_graders(const struct services *s)
{
    return &s->for_graders;
}

bool services_asks_base(const struct services *s)
{
    for (size_t i = 0; s != NULL && i < s->n_asked; i++)
        if (s->asked[i].kind == JUDGE_BASE)
            return true;
    return false;
}

bool services_lend_base(struct services *s, const struct model *m, const struct prompter *p,
                        bool changes, struct error *err)
{
    for (size_t i = 0; i < s->n_asked; i++) {
        struct asked *x = &s->asked[i];

        if (x->kind != JUDGE_BASE || x->judge != NULL)
            continue;
        if (changes)
            return fail_param(
                err, ERR_UNSUPPORTED, "hone.judges",
                "the model \"base\" cannot judge where all its weights are trained (lora_rank 0): it "
                "would change with every step");
        if (!judge_open(m, p, x->name, NULL, &x->judge, err))
            return false;
    }
    return true;
}
