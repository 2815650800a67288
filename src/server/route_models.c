/*
 * route_models.c - the models of this server as a project sees them: bases, and what its jobs made.
 */
#include "base/size.h"
#include "server/project_model.h"
#include "server/routes.h"

#include <stdlib.h>

static json_t *base_json(const struct api_base *b)
{
    return json_pack("{s:s, s:s, s:I, s:s}", "id", b->name, "object", "model", "created",
                     (json_int_t)b->created_at, "owned_by", "system");
}

static json_t *tuned_json(const struct tuned_model *t, const char *org)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:s}", "id", t->name, "object", "model", "created",
                     (json_int_t)t->created_at, "owned_by", org, "parent", t->base, "job",
                     t->job_id);
}

static bool list(struct api_call *c, struct error *err)
{
    struct api_base *bases;
    struct tuned_model *tuned;
    size_t n_bases, n_tuned;

    if (!api_bases(c->api, c->arena, &bases, &n_bases, err) ||
        !models_list(c->store, c->who.project_id, c->arena, &tuned, &n_tuned, err))
        return false;
    json_t *data = json_array();
    for (size_t i = 0; i < n_bases; i++)
        json_array_append_new(data, base_json(&bases[i]));
    for (size_t i = 0; i < n_tuned; i++)
        json_array_append_new(data, tuned_json(&tuned[i], c->who.org_id));
    return api_reply(c, 200, json_pack("{s:s, s:o}", "object", "list", "data", data));
}

/* The base of this name, or NULL. */
static const struct api_base *find_base(struct str name, const struct api_base *all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_is(name, all[i].name))
            return &all[i];
    return NULL;
}

static bool retrieve(struct api_call *c, struct error *err)
{
    struct api_base *bases;
    struct tuned_model tuned;
    size_t n;

    if (!api_bases(c->api, c->arena, &bases, &n, err))
        return false;
    const struct api_base *b = find_base(c->id[0], bases, n);
    if (b != NULL)
        return api_reply(c, 200, base_json(b));
    if (!models_get(c->store, c->who.project_id, c->id[0], c->arena, &tuned, err))
        return err->kind == ERR_NOT_FOUND ? project_model_missing(c->id[0], err) : false;
    return api_reply(c, 200, tuned_json(&tuned, c->who.org_id));
}

static bool delete_model(struct api_call *c, struct error *err)
{
    struct api_base *bases;
    size_t n;

    if (!api_bases(c->api, c->arena, &bases, &n, err))
        return false;
    if (find_base(c->id[0], bases, n) != NULL)
        return fail_code(err, ERR_INVALID, "forbidden", "model",
                         "this is a base model of the server's: only fine-tuned models can be "
                         "deleted here");
    if (!models_delete(c->store, c->who.project_id, c->id[0], err))
        return err->kind == ERR_NOT_FOUND ? project_model_missing(c->id[0], err) : false;
    return api_reply(c, 200,
                     json_pack("{s:s%, s:s, s:b}", "id", c->id[0].ptr, c->id[0].len, "object",
                               "model", "deleted", 1));
}

static const struct api_route routes[] = {
    {HTTP_GET, "/v1/models", SCOPE_USE, HTTP_BODY_NONE, list, NULL, 0},
    {HTTP_GET, "/v1/models/{}", SCOPE_USE, HTTP_BODY_NONE, retrieve, NULL, 0},
    {HTTP_DELETE, "/v1/models/{}", SCOPE_TRAIN, HTTP_BODY_NONE, delete_model, "model.delete", 0},
};
const struct api_table models_routes = {routes, COUNT_OF(routes)};
