/*
 * route_evals.c - evals: made, listed, renamed, deleted. Their runs: route_eval_runs.c.
 */
#include "base/clock.h"
#include "base/size.h"
#include "grade/grader.h"
#include "server/api_internal.h"
#include "server/eval_list.h"
#include "server/eval_run.h"
#include "server/eval_schema.h"
#include "server/job_request.h"
#include "server/routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define CHECK_TIMEOUT_S 20.0 /* for Python to load a grader */
#define MOST_SORTED 10000

/* ---- data_source_config ---- */

static json_t *sample_schema(void)
{
    return json_pack("{s:s, s:{s:{s:s}, s:{}, s:{s:s}, s:{s:s}}}", "type", "object", "properties",
                     "output_text", "type", "string", "output_json", "output_tools", "type",
                     "array", "choices", "type", "array");
}

static json_t *shown_schema(json_t *item, bool sample)
{
    json_t *schema = json_pack("{s:s, s:{s:O}, s:[s]}", "type", "object", "properties", "item",
                               item, "required", "item");

    if (sample) {
        json_object_set_new(json_object_get(schema, "properties"), "sample", sample_schema());
        json_array_append_new(json_object_get(schema, "required"), json_string("sample"));
    }
    return schema;
}

static bool read_custom(const json_t *config, json_t **out, struct error *err)
{
    json_t *item = json_object_get(config, "item_schema");
    bool sample;

    if (item == NULL)
        return fail_code(err, ERR_INVALID, "missing_required_parameter",
                         "data_source_config.item_schema", "\"item_schema\" is missing");
    if (!eval_schema_is_sane(item, "data_source_config.item_schema", err) ||
        !json_get_bool(config, "include_sample_schema", "\"data_source_config\"", false, &sample,
                       err))
        return false;
    *out = json_pack("{s:s, s:o}", "type", "custom", "schema", shown_schema(item, sample));
    return true;
}

static bool read_config(const json_t *config, json_t **out, struct error *err)
{
    const struct str type = json_str(json_object_get(config, "type"));

    if (config == NULL)
        return fail_code(err, ERR_INVALID, "missing_required_parameter", "data_source_config",
                         "\"data_source_config\" is missing");
    if (str_is(type, "custom"))
        return read_custom(config, out, err);
    if (!str_is(type, "logs") && !str_is(type, "stored_completions"))
        return fail_param(err, ERR_INVALID, "data_source_config.type",
                          "\"data_source_config\" has a \"type\": custom, logs or "
                          "stored_completions");
    json_t *metadata = json_object_get(config, "metadata"),
           *item = json_pack("{s:s}", "type", "object");
    *out = json_pack("{s:s%, s:o, s:o}", "type", type.ptr, type.len, "metadata",
                     metadata != NULL ? json_incref(metadata) : json_null(), "schema",
                     shown_schema(item, true));
    json_decref(item);
    return true;
}

/* ---- testing_criteria ---- */

/* "My grader-2f0b2a3e-..." */
static json_t *new_id(const char *name)
{
    uint8_t x[16] = {0};
    char id[48];

    if (getrandom(x, sizeof x, 0) != (ssize_t)sizeof x)
        memset(x, (int)(clock_unix() & 0xff), sizeof x);
    x[6] = (uint8_t)((x[6] & 0x0f) | 0x40);
    x[8] = (uint8_t)((x[8] & 0x3f) | 0x80);
    snprintf(id, sizeof id, "-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8], x[9], x[10], x[11], x[12], x[13],
             x[14], x[15]);
    return json_sprintf("%s%s", name, id);
}

static bool check_criterion(struct api_call *c, const json_t *one, const char *where,
                            struct error *err)
{
    static const char *const types[] = {"string_check", "text_similarity", "python", "score_model",
                                        "label_model"};
    const struct str type = json_str(json_object_get(one, "type"));
    const json_t *threshold = json_object_get(one, "pass_threshold");
    struct grader *g;
    bool known = false;

    if (!json_is_object(one))
        return fail_code(err, ERR_INVALID, "invalid_type", where,
                         "%s is %s, a grader (an object) was expected", where, json_kind(one));
    for (size_t i = 0; i < COUNT_OF(types); i++)
        known = known || str_is(type, types[i]);
    if (!known)
        return fail_param(err, ERR_INVALID, arena_printf(c->arena, "%s.type", where),
                          "%s: \"type\" is none of string_check, text_similarity, python, "
                          "score_model, label_model",
                          where);
    const char *param = arena_printf(c->arena, "%s.pass_threshold", where);
    if (threshold != NULL && !json_is_null(threshold) && !json_is_number(threshold))
        return fail_code(err, ERR_INVALID, "invalid_type", param, "%s is %s, a number was expected",
                         param, json_kind(threshold));
    if (str_is(type, "text_similarity") && !json_is_number(threshold))
        return fail_code(err, ERR_INVALID, "missing_required_parameter", param,
                         "%s is missing: the score from which on an item passes", param);
    if (!api_open_grader(c, one, NULL, CHECK_TIMEOUT_S, where, &g, err))
        return false;
    grader_close(g);
    return true;
}

static bool read_criteria(struct api_call *c, json_t **out, struct error *err)
{
    const json_t *list = json_object_get(c->body, "testing_criteria");
    const size_t n = json_array_size(list);
    json_t *criteria = json_array();
    bool ok =
        (n > 0 && n <= EVAL_MAX_CRITERIA) ||
        fail_code(err, ERR_INVALID, list == NULL ? "missing_required_parameter" : "invalid_value",
                  "testing_criteria", "\"testing_criteria\" is a list of 1 to %d graders",
                  EVAL_MAX_CRITERIA);

    for (size_t i = 0; ok && i < n; i++) {
        const json_t *one = json_array_get(list, i);

        ok = check_criterion(c, one, arena_printf(c->arena, "testing_criteria[%zu]", i), err);
        if (!ok)
            break;
        json_t *stored = json_copy((json_t *)(uintptr_t)one);
        if (!json_is_string(json_object_get(stored, "name")))
            json_object_set(stored, "name", json_object_get(stored, "type"));
        json_object_set_new(stored, "id",
                            new_id(json_string_value(json_object_get(stored, "name"))));
        json_array_append_new(criteria, stored);
    }
    if (ok)
        *out = criteria;
    else
        json_decref(criteria);
    return ok;
}

/* ---- made ---- */

static bool make(struct api_call *c, json_t **answer, struct error *err)
{
    struct label *labels;
    size_t n_labels;
    const char *name;
    json_t *config = NULL, *criteria = NULL;

    if (!api_text(c->body, "name", false, 512, c->arena, &name, err) ||
        !api_metadata(c->body, c->arena, &labels, &n_labels, err) ||
        !read_config(json_object_get(c->body, "data_source_config"), &config, err))
        return false;
    if (!read_criteria(c, &criteria, err)) {
        json_decref(config);
        return false;
    }
    struct document d = {.kind = EVAL_KIND,
                         .id = c->new_id,
                         .project_id = c->who.project_id,
                         .created_at = c->new_at};
    json_t *body =
        json_pack("{s:s, s:s, s:s, s:I, s:o, s:o, s:o}", "object", "eval", "id", d.id, "name",
                  name != NULL ? name : d.id, "created_at", (json_int_t)d.created_at, "metadata",
                  api_json_of_labels(labels, n_labels), "data_source_config", config,
                  "testing_criteria", criteria);
    d.body = api_text_of(body, c->arena);
    d.updated_at = d.created_at;
    if (!documents_add(c->store, &d, labels, n_labels, err)) {
        json_decref(body);
        return false;
    }
    *answer = body;
    return true;
}

static bool find_made(struct api_call *c, struct str id, json_t **answer, struct error *err)
{
    struct document d;

    if (!documents_get(c->store, EVAL_KIND, c->who.project_id, id, c->arena, &d, err))
        return err->kind == ERR_NOT_FOUND;
    *answer = api_json_of(d.body);
    return true;
}

static bool create(struct api_call *c, struct error *err)
{
    static const struct api_maker eval = {
        .prefix = "eval_", .status = 201, .find = find_made, .make = make};

    return api_need_body(c, err) && api_make_once(c, &eval, err);
}

/* ---- looked up ---- */

bool eval_reply_page(struct api_call *c, json_t *all, const struct store_page *page,
                     struct error *err)
{
    const size_t n = json_array_size(all);
    json_t *data = json_array();
    bool found = page->after == NULL;
    size_t k = 0;

    for (; k < n && !found; k++)
        found = str_is(
            json_str(json_object_get(json_array_get(all, page->ascending ? k : n - 1 - k), "id")),
            page->after);
    for (; found && k < n && json_array_size(data) < page->limit; k++)
        json_array_append(data, json_array_get(all, page->ascending ? k : n - 1 - k));
    json_decref(all);
    if (!found) {
        json_decref(data);
        return fail_param(err, ERR_NOT_FOUND, "after", "there is nothing of this id in this list");
    }
    return api_reply_list(c, data, k < n);
}

static int by_update(const void *a, const void *b)
{
    const struct document *x = a, *y = b;

    if (x->updated_at != y->updated_at)
        return (x->updated_at > y->updated_at) - (x->updated_at < y->updated_at);
    return (x->seq > y->seq) - (x->seq < y->seq);
}

static bool list(struct api_call *c, struct error *err)
{
    const struct document_filter f = {.kind = EVAL_KIND, .project_id = c->who.project_id};
    const struct str order_by = http_query(c->x, "order_by");
    const bool updated = str_is(order_by, "updated_at");
    struct store_page page;
    struct document *all;
    size_t n;
    bool more;

    if (order_by.len > 0 && !updated && !str_is(order_by, "created_at"))
        return fail_param(err, ERR_INVALID, "order_by",
                          "\"order_by\" is neither created_at nor updated_at");
    if (!api_page(c, 20, 100, true, &page, err))
        return false;
    struct store_page whole = page;
    if (updated)
        whole = (struct store_page){.limit = MOST_SORTED,
                                    .ascending = true,
                                    .key = page.key,
                                    .value = page.value,
                                    .without_labels = page.without_labels};
    if (!documents_list(c->store, &f, &whole, c->arena, &all, &n, &more, err))
        return false;
    if (updated && n > 0)
        qsort(all, n, sizeof *all, by_update);
    json_t *data = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(data, api_json_of(all[i].body));
    return updated ? eval_reply_page(c, data, &page, err) : api_reply_list(c, data, more);
}

static bool find(struct api_call *c, struct document *d, struct error *err)
{
    if (documents_get(c->store, EVAL_KIND, c->who.project_id, c->id[0], c->arena, d, err))
        return true;
    return err->kind == ERR_NOT_FOUND &&
           fail_param(err, ERR_NOT_FOUND, "eval_id", "there is no eval of this id in this project");
}

static bool retrieve(struct api_call *c, struct error *err)
{
    struct document d;

    return find(c, &d, err) && api_reply(c, 200, api_json_of(d.body));
}

/* ---- changed ---- */

struct renaming {
    const char *name; /* NULL: as it was */
    struct label *labels;
    size_t n_labels;
    bool set_labels;
};

static bool change(void *ctx, const struct document *was, struct arena *a,
                   struct document_change *to, struct error *err)
{
    const struct renaming *r = ctx;
    json_t *body = api_json_of(was->body);

    (void)err;
    if (r->name != NULL)
        json_object_set_new(body, "name", json_string(r->name));
    if (r->set_labels)
        json_object_set_new(body, "metadata", api_json_of_labels(r->labels, r->n_labels));
    *to = (struct document_change){.body = api_text_of(body, a),
                                   .labels = r->labels,
                                   .n_labels = r->n_labels,
                                   .set_labels = r->set_labels};
    json_decref(body);
    return true;
}

static bool update(struct api_call *c, struct error *err)
{
    struct renaming r = {.set_labels = json_object_get(c->body, "metadata") != NULL};
    struct document d;

    return api_need_body(c, err) && find(c, &d, err) &&
           api_text(c->body, "name", false, 512, c->arena, &r.name, err) &&
           api_metadata(c->body, c->arena, &r.labels, &r.n_labels, err) &&
           documents_change(c->store, EVAL_KIND, c->who.project_id, c->id[0], change, &r, err) &&
           retrieve(c, err);
}

static bool delete_eval(struct api_call *c, struct error *err)
{
    struct document d;

    return find(c, &d, err) &&
           documents_delete(c->store, EVAL_KIND, c->who.project_id, c->id[0], err) &&
           api_reply(c, 200,
                     json_pack("{s:s, s:b, s:s}", "object", "eval.deleted", "deleted", 1, "eval_id",
                               d.id));
}

static const struct api_route routes[] = {
    {HTTP_POST, "/v1/evals", SCOPE_TRAIN, HTTP_BODY_MEMORY, create, "eval.create", 0},
    {HTTP_GET, "/v1/evals", SCOPE_TRAIN, HTTP_BODY_NONE, list, NULL, 0},
    {HTTP_GET, "/v1/evals/{}", SCOPE_TRAIN, HTTP_BODY_NONE, retrieve, NULL, 0},
    {HTTP_POST, "/v1/evals/{}", SCOPE_TRAIN, HTTP_BODY_MEMORY, update, "eval.update", 0},
    {HTTP_DELETE, "/v1/evals/{}", SCOPE_TRAIN, HTTP_BODY_NONE, delete_eval, "eval.delete", 0},
};
const struct api_table evals_routes = {routes, COUNT_OF(routes)};
