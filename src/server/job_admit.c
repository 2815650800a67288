/*
 * job_admit.c - the body by itself, then what it names.
 */
#include "server/job_admit.h"
#include "base/clock.h"
#include "grade/grader.h"
#include "train/recipe.h"

#include <stdio.h>
#include <sys/random.h>

#define CHECK_TIMEOUT_S 20.0 /* for Python to load a grader */

static bool check_file(struct api_call *c, struct str id, const char *param, struct error *err)
{
    struct stored_file f;

    if (!store_id_is(id, "file-"))
        return fail_code(err, ERR_INVALID, "invalid_value", param,
                         "\"%s\" is no id of a file (file-...)", param);
    if (!files_get(c->store, c->who.project_id, id, c->arena, &f, err))
        return err->kind == ERR_NOT_FOUND &&
               fail_code(err, ERR_INVALID, "file_not_found", param,
                         "the file " STR_FMT " does not exist in this project", STR_ARG(id));
    if (strcmp(f.purpose, "fine-tune") != 0)
        return fail_code(err, ERR_INVALID, "invalid_file_purpose", param,
                         "the file %s has the purpose \"%s\", \"fine-tune\" was expected", f.id,
                         f.purpose);
    return f.bytes > 0 ||
           fail_code(err, ERR_INVALID, "invalid_file", param, "the file %s is empty", f.id);
}

/* Who judges by the job's own settings: an address, "base", or a model that this project may use. */
static bool check_judges(struct api_call *c, struct error *err)
{
    const char *name;
    json_t *who;

    json_object_foreach(json_object_get(json_object_get(c->body, "hone"), "judges"), name, who)
    {
        const json_t *model =
            json_is_object(who) && !json_is_string(json_object_get(who, "base_url"))
                ? json_object_get(who, "model")
                : who;
        struct engine_model found;

        if (json_is_string(model) && !job_judge_is_address(json_string_value(model)) &&
            strcmp(json_string_value(model), "base") != 0 &&
            !api_model(c, json_str(model), &found, err)) {
            snprintf(err->param, sizeof err->param, "hone.judges");
            return false;
        }
    }
    return true;
}

static bool check_grader(struct api_call *c, const struct job_request *r, struct error *err)
{
    struct grader *g = NULL;
    struct engine_model embedding;

    if (r->grader == NULL)
        return true;
    if (r->embedding_model != NULL && !api_model(c, str_of(r->embedding_model), &embedding, err)) {
        snprintf(err->param, sizeof err->param, "hone.embedding_model");
        return false;
    }
    if (!api_open_grader(c, r->grader, json_object_get(c->body, "hone"), CHECK_TIMEOUT_S,
                         "method.reinforcement.grader", &g, err))
        return false;
    grader_close(g);
    return true;
}

static int64_t random_seed(void)
{
    uint32_t x = 0;

    if (getrandom(&x, sizeof x, 0) != (ssize_t)sizeof x)
        x = (uint32_t)clock_unix();
    return (int64_t)(x >> 1);
}

static void add_ours(json_t *body, const char *key, const char *value)
{
    json_t *hone = json_object_get(body, "hone");

    if (value == NULL || !recipe_is_auto(json_object_get(hone, key)))
        return;
    if (!json_is_object(hone)) {
        hone = json_object();
        json_object_set_new(body, "hone", hone);
    }
    json_object_set_new(hone, key, json_string(value));
}

bool job_admit(struct api_call *c, struct job_request *out, struct error *err)
{
    const struct job_rules rules = {.request_addresses = c->opt->request_addresses,
                                    .request_keys = c->opt->request_keys};
    struct job_request r;
    struct engine_model model;

    if (!job_request_read(c->body, &rules, c->arena, &r, err) ||
        !api_model(c, r.model, &model, err) ||
        !check_file(c, r.training_file, "training_file", err) ||
        (r.validation_file.ptr != NULL &&
         !check_file(c, r.validation_file, "validation_file", err)) ||
        !check_judges(c, err) || !check_grader(c, &r, err))
        return false;
    add_ours(c->body, "precision", c->opt->precision);
    add_ours(c->body, "kv_cache", c->opt->kv_cache);
    if (r.seed < 0)
        r.seed = random_seed();
    *out = r;
    return true;
}
