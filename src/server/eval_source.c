/*
 * eval_source.c - reads a data source.
 */
#include "server/eval_source.h"
#include "base/philox.h"
#include "base/size.h"
#include "server/api_internal.h"
#include "server/chat_tools.h"
#include "server/eval_messages.h"
#include "server/eval_schema.h"
#include "server/eval_stored.h"
#include "server/response_input.h"
#include "text/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_SEED 42

/* ---- rows ---- */

struct reading {
    struct eval_source *s;
    const json_t *schema;
    size_t cap, bytes;
};

/* About what a tree takes of memory. */
static size_t tree_bytes(const json_t *v)
{
    size_t n = json_is_string(v) ? 64 + json_string_length(v) : json_is_object(v) ? 256 : 64;
    const char *key;
    json_t *one;
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)v, i, one) n += 8 + tree_bytes(one);
    json_object_foreach((json_t *)(uintptr_t)v, key, one) n += 64 + strlen(key) + tree_bytes(one);
    return n;
}

static bool add_row(struct reading *r, json_t *line, const char *what, struct error *err)
{
    struct eval_source *s = r->s;
    json_t *item = json_object_get(line, "item"), *sample = json_object_get(line, "sample");
    char name[160];

    if (!json_is_object(item))
        return fail_param(err, ERR_INVALID, "data_source.source",
                          "%s: an object with \"item\", an object, was expected", what);
    if (sample != NULL && !json_is_null(sample) && !json_is_object(sample))
        return fail_param(err, ERR_INVALID, "data_source.source",
                          "%s: \"sample\" is %s, an object was expected", what, json_kind(sample));
    snprintf(name, sizeof name, "%.140s: item", what);
    if (r->schema != NULL && !eval_schema_check(r->schema, item, name, err)) {
        snprintf(err->param, sizeof err->param, "data_source.source");
        return false;
    }
    if (s->n_rows == EVAL_MAX_ROWS)
        return fail_param(err, ERR_LIMIT, "data_source.source", "a run has at most %d rows",
                          EVAL_MAX_ROWS);
    r->bytes += tree_bytes(item) + tree_bytes(sample);
    if (r->bytes > EVAL_MAX_BYTES)
        return fail_param(err, ERR_LIMIT, "data_source.source",
                          "%s: the rows up to here take more than the %zu bytes of memory that a "
                          "run may have for its rows",
                          what, EVAL_MAX_BYTES);
    if (s->n_rows == r->cap) {
        const size_t cap = r->cap == 0 ? 64 : 2 * r->cap;
        struct eval_row *rows = realloc(s->rows, cap * sizeof *rows);

        if (rows == NULL)
            return fail(err, ERR_NO_MEMORY, "no memory for the rows of a run");
        s->rows = rows;
        r->cap = cap;
    }
    s->rows[s->n_rows++] =
        (struct eval_row){json_incref(item), json_is_object(sample) ? json_incref(sample) : NULL};
    return true;
}

/* A row of a training file is its own item: what is trained on is measured without a second copy of the file. */
static bool add_line(void *ctx, json_t *value, const char *what, size_t line, struct error *err)
{
    const bool whole =
        json_object_get(value, "item") == NULL && json_is_array(json_object_get(value, "messages"));
    json_t *row = whole ? json_pack("{s:O}", "item", value) : json_incref(value);
    char name[64];

    (void)what; /* the path of our copy of the file tells nobody anything */
    snprintf(name, sizeof name, "line %zu", line);
    const bool ok = add_row(ctx, row, name, err);
    json_decref(row);
    return ok;
}

static bool read_content(struct reading *r, const json_t *content, struct error *err)
{
    char name[64];
    bool ok =
        json_is_array(content) || fail_param(err, ERR_INVALID, "data_source.source.content",
                                             "\"content\" is %s, a list of rows was expected",
                                             content == NULL ? "missing" : json_kind(content));

    for (size_t i = 0; ok && i < json_array_size(content); i++) {
        snprintf(name, sizeof name, "content[%zu]", i);
        ok = add_row(r, json_array_get(content, i), name, err);
    }
    return ok;
}

static bool read_file(struct reading *r, struct api *api, const char *project_id,
                      const json_t *source, struct arena *a, struct error *err)
{
    const struct str id = json_str(json_object_get(source, "id"));
    struct stored_file f;

    if (!store_id_is(id, "file-") || !files_get(api->opt.store, project_id, id, a, &f, err))
        return fail_code(err, ERR_INVALID, "file_not_found", "data_source.source.id",
                         "the file " STR_FMT " does not exist in this project",
                         (int)size_min(id.len, 80), id.ptr);
    if (!jsonl_each(files_path(api->opt.store, f.id, a), add_line, r, err)) {
        if (err->param[0] == '\0')
            snprintf(err->param, sizeof err->param, "data_source.source");
        return false;
    }
    return true;
}

static bool read_stored(struct reading *r, struct api *api, const char *project_id,
                        const json_t *source, const json_t *picked, struct error *err)
{
    const bool responses = str_is(json_str(json_object_get(source, "type")), "responses");
    json_t *ids = picked != NULL ? json_incref((json_t *)(uintptr_t)picked) : NULL;
    bool ok = ids != NULL ||
              eval_stored_pick(api->opt.store, project_id, source, EVAL_MAX_ROWS, &ids, err);

    for (size_t i = 0; ok && i < json_array_size(ids); i++) {
        json_t *row;
        const struct str id = json_str(json_array_get(ids, i));

        ok = eval_stored_row(api->opt.store, project_id, responses, id, &row, err);
        if (ok) {
            ok = add_row(r, row, "a stored answer", err);
            json_decref(row);
        }
    }
    r->s->picked = ids;
    return ok;
}

static bool read_rows(struct reading *r, struct api *api, const char *project_id,
                      const json_t *source, const json_t *picked, struct arena *a,
                      struct error *err)
{
    const struct str type = json_str(json_object_get(source, "type"));

    if (str_is(type, "file_content"))
        return read_content(r, json_object_get(source, "content"), err);
    if (str_is(type, "file_id"))
        return read_file(r, api, project_id, source, a, err);
    if (str_is(type, "stored_completions") || str_is(type, "responses")) {
        r->schema = NULL; /* of rows that the user wrote */
        return read_stored(r, api, project_id, source, picked, err);
    }
    return fail_param(err, ERR_INVALID, "data_source.source.type",
                      "\"source\" has a \"type\": file_content, file_id, stored_completions or "
                      "responses");
}

/* ---- what is asked ---- */

static bool is_stored(const json_t *source)
{
    const struct str type = json_str(json_object_get(source, "type"));

    return str_is(type, "stored_completions") || str_is(type, "responses");
}

static bool check_params(const json_t *params, bool responses, struct error *err)
{
    static const char *const known[] = {
        "temperature", "top_p", "seed", "max_completion_tokens", "reasoning_effort", "tools"};
    const char *key;
    json_t *v;

    if (params != NULL && !json_is_object(params))
        return fail_param(err, ERR_INVALID, "data_source.sampling_params",
                          "\"sampling_params\" is %s, an object was expected", json_kind(params));
    json_object_foreach((json_t *)(uintptr_t)params, key, v)
    {
        bool ok = strcmp(key, responses ? "text" : "response_format") == 0;

        for (size_t i = 0; i < COUNT_OF(known); i++)
            ok = ok || strcmp(key, known[i]) == 0;
        if (!ok)
            return fail_param(err, ERR_INVALID, "data_source.sampling_params",
                              "\"sampling_params\" has no \"%.64s\" here", key);
    }
    return true;
}

/* As every row's request will be read: what is wrong is told at once, and not by each row. */
static bool check_tools(const json_t *params, bool responses, struct error *err)
{
    json_t *tools = json_object_get(params, "tools"), *body, *chat = NULL;
    struct chat_tools read = {0};
    char place[sizeof err->param];

    if (json_absent(tools))
        return true;
    body = json_pack("{s:O}", "tools", tools);
    const bool ok = (!responses || response_chat_body(body, json_pack("[{}]"), &chat, err)) &&
                    chat_tools_read(responses ? chat : body, &read, err);
    if (!ok) {
        memcpy(place, err->param, sizeof place);
        snprintf(err->param, sizeof err->param, "data_source.sampling_params.%.36s", place);
    }
    chat_tools_release(&read);
    json_decref(chat);
    json_decref(body);
    return ok;
}

static bool read_asking(struct api *api, const char *project_id, const json_t *ds,
                        struct eval_source *s, struct arena *a, struct error *err)
{
    const json_t *model = json_object_get(ds, "model"),
                 *messages = json_object_get(ds, "input_messages"),
                 *source = json_object_get(ds, "source");

    s->params = json_object_get(ds, "sampling_params");
    if (json_is_null(s->params))
        s->params = NULL;
    s->messages = messages != NULL && !json_is_null(messages) ? messages : NULL;
    s->asks = json_is_string(model) || s->messages != NULL || !is_stored(source);
    if (!s->asks)
        return true;
    if (!json_is_string(model))
        return fail_code(err, ERR_INVALID, "missing_required_parameter", "data_source.model",
                         "\"model\" is missing: the model that is asked");
    if (s->messages == NULL && !is_stored(source))
        return fail_code(err, ERR_INVALID, "missing_required_parameter",
                         "data_source.input_messages", "\"input_messages\" is missing");
    if (api->opt.engine == NULL)
        return fail_code(err, ERR_UNSUPPORTED, "unavailable", "",
                         "this server was started without an engine and answers for no model");
    if (!api_model_of(api, project_id, json_str(model), a, &s->model, err)) {
        snprintf(err->param, sizeof err->param, "data_source.model");
        return false;
    }
    return (s->messages == NULL || eval_messages_check(s->messages, err)) &&
           check_params(s->params, s->responses, err) &&
           check_tools(s->params, s->responses, err) &&
           json_get_int(s->params, "seed", "\"sampling_params\"", DEFAULT_SEED, INT64_MIN,
                        INT64_MAX, &s->seed, err);
}

bool eval_source_open(struct api *api, const char *project_id, const json_t *ds,
                      const json_t *schema, const json_t *picked, struct arena *a,
                      struct eval_source *out, struct error *err)
{
    struct eval_source s = {.seed = DEFAULT_SEED};
    struct reading r = {.s = &s, .schema = schema};
    const struct str type = json_str(json_object_get(ds, "type"));
    const bool jsonl = str_is(type, "jsonl");

    s.responses = str_is(type, "responses");
    if (!jsonl && !s.responses && !str_is(type, "completions"))
        return fail_param(err, ERR_INVALID, "data_source.type",
                          "\"data_source\" has a \"type\": jsonl, completions or responses");
    if (!json_is_object(json_object_get(ds, "source")))
        return fail_code(err, ERR_INVALID, "missing_required_parameter", "data_source.source",
                         "\"source\" is missing");
    const bool ok = (jsonl || read_asking(api, project_id, ds, &s, a, err)) &&
                    read_rows(&r, api, project_id, json_object_get(ds, "source"), picked, a, err) &&
                    (s.n_rows > 0 || fail_param(err, ERR_INVALID, "data_source.source",
                                                "there are no rows in this source"));
    if (ok)
        *out = s;
    else
        eval_source_release(&s);
    return ok;
}

void eval_source_release(struct eval_source *s)
{
    for (size_t i = 0; i < s->n_rows; i++) {
        json_decref(s->rows[i].item);
        json_decref(s->rows[i].sample);
    }
    free(s->rows);
    json_decref(s->picked);
    *s = (struct eval_source){0};
}

/* ---- one row ---- */

int64_t eval_seed(int64_t run_seed, size_t row)
{
    const uint32_t counter[4] = {(uint32_t)row, 0, 0, PHILOX_EVAL};

    return (int64_t)(philox((uint64_t)run_seed, counter).v[0] >> 1);
}

static void put(json_t *body, const json_t *params, const char *key)
{
    json_t *v = json_object_get(params, key);

    if (v != NULL && !json_is_null(v))
        json_object_set(body, key, v);
}

static bool chat_of_responses(const struct eval_source *s, json_t *messages, json_t **out,
                              struct error *err)
{
    static const char *const same[] = {"temperature", "top_p", "tools", "text"};
    json_t *body = json_object(), *effort = json_object_get(s->params, "reasoning_effort");

    for (size_t i = 0; i < COUNT_OF(same); i++)
        put(body, s->params, same[i]);
    if (json_is_string(effort))
        json_object_set_new(body, "reasoning", json_pack("{s:O}", "effort", effort));
    const bool ok = response_chat_body(body, messages, out, err);
    json_decref(body);
    return ok;
}

bool eval_source_chat(const struct eval_source *s, size_t row, struct arena *a, json_t **out,
                      struct error *err)
{
    static const char *const same[] = {"temperature", "top_p", "reasoning_effort",
                                       "response_format", "tools"};
    json_t *messages, *body;

    if (!eval_messages(s->messages, s->responses, s->rows[row].item, a, &messages, err))
        return false;
    if (!s->responses) {
        body = json_pack("{s:o}", "messages", messages);
        for (size_t i = 0; i < COUNT_OF(same); i++)
            put(body, s->params, same[i]);
    } else if (!chat_of_responses(s, messages, &body, err)) {
        return false;
    }
    put(body, s->params, "max_completion_tokens");
    json_object_set_new(body, "seed", json_integer((json_int_t)eval_seed(s->seed, row)));
    *out = body;
    return true;
}
