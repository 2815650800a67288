/*
 * route_file_rows.c - a file as a job would read it: its first rows, and its first mistakes in the job's own words.
 *
 * The file is read from the beginning, whatever page is asked for, and nothing of it is kept but what is answered: so the answer is
 * bounded, and so is the time that it takes.
 */
#include "base/clock.h"
#include "base/size.h"
#include "base/utf8.h"
#include "server/api_error.h"
#include "server/routes.h"
#include "text/dataset.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST_ROWS 100
#define MOST_MISTAKES 100
#define MOST_BYTES ((size_t)8 << 20)       /* of rows in an answer */
#define MOST_ROW_BYTES ((size_t)256 << 10) /* of one that is shown whole */
#define SHOWN_BYTES 2000                   /* of one that is not, and of a mistake's line */
#define SECONDS 10.0                       /* then the rest of the file is not looked at */

struct look {
    struct api_call *call;
    int64_t after; /* rows of later lines are shown */
    size_t most_rows, most_mistakes;
    double until;

    json_t *rows, *mistakes;
    size_t n_rows, n_mistakes, row_bytes;
    uint64_t bytes_read;
    bool has_more, cut_short;
};

/* The beginning of a line, whatever bytes it has. */
static json_t *beginning(struct str text)
{
    const struct str s = utf8_cut(text, SHOWN_BYTES);
    struct buf b;

    buf_init(&b, (size_t)SHOWN_BYTES * 8);
    json_write_string(&b, s, false);
    json_t *out = json_loadb(b.ptr, b.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    buf_release(&b);
    return out;
}

static void add_mistake(struct look *k, const struct dataset_line *line)
{
    k->n_mistakes++;
    if (json_array_size(k->mistakes) >= k->most_mistakes)
        return;
    /* the message and param of the error envelope, which are fit to be shown */
    json_t *body = api_error_body(line->why), *error = json_object_get(body, "error");
    json_array_append_new(
        k->mistakes, json_pack("{s:o, s:O, s:O, s:o}", "line",
                               line->line > 0 ? json_integer((json_int_t)line->line) : json_null(),
                               "message", json_object_get(error, "message"), "param",
                               json_object_get(error, "param"), "text", beginning(line->text)));
    json_decref(body);
}

static void add_row(struct look *k, const struct dataset_line *line)
{
    const bool whole = line->text.len <= MOST_ROW_BYTES;

    k->n_rows++;
    if ((int64_t)line->line <= k->after)
        return;
    if (json_array_size(k->rows) >= k->most_rows || k->row_bytes >= MOST_BYTES) {
        k->has_more = true;
        return;
    }
    k->row_bytes += line->text.len;
    json_array_append_new(k->rows,
                          json_pack("{s:s, s:o, s:I, s:I, s:o, s:o}", "object", "file.row", "id",
                                    json_sprintf("%zu", line->line), "line", (json_int_t)line->line,
                                    "bytes", (json_int_t)line->text.len, "row",
                                    whole ? json_incref(line->row->item) : json_null(), "text",
                                    whole ? json_null() : beginning(line->text)));
}

static bool look(void *ctx, const struct dataset_line *line)
{
    struct look *k = ctx;

    if (line->row != NULL)
        add_row(k, line);
    else
        add_mistake(k, line);
    k->bytes_read += line->text.len + 1;
    k->cut_short = clock_seconds() > k->until || atomic_load(&k->call->gone);
    return !k->cut_short;
}

/* ---- the call ---- */

static bool read_number(struct api_call *c, const char *key, int64_t def, int64_t least,
                        int64_t most, int64_t *out, struct error *err)
{
    const struct str text = http_query(c->x, key);
    char *end;

    *out = def;
    if (text.ptr == NULL)
        return true;
    const char *digits = arena_text(c->arena, text);
    *out = strtoll(digits, &end, 10);
    if (text.len == 0 || text.len > 15 || *end != '\0' || *out < least)
        return fail_param(err, ERR_INVALID, key,
                          "\"%s\" is \"%.32s\", a whole number from %" PRId64 " on was expected",
                          key, digits, least);
    *out = *out < most ? *out : most;
    return true;
}

static bool read_method(struct api_call *c, const char *path, enum dataset_format *out,
                        struct error *err)
{
    static const enum dataset_format all[] = {DATASET_PROMPTS, DATASET_SUPERVISED,
                                              DATASET_PREFERENCE};
    const struct str text = http_query(c->x, "method");

    if (text.len == 0) {
        *out = dataset_guess(path);
        return true;
    }
    for (size_t i = 0; i < COUNT_OF(all); i++)
        if (str_is(text, dataset_method(all[i]))) {
            *out = all[i];
            return true;
        }
    return fail_param(err, ERR_INVALID, "method",
                      "\"method\" is \"" STR_FMT
                      "\", expected reinforcement, supervised or dpo, or nothing, which asks the "
                      "file's first row",
                      (int)size_min(text.len, 64), text.ptr);
}

/* A mistake of the file as a whole. */
static void add_whole(struct look *k, const struct error *why)
{
    add_mistake(k, &(struct dataset_line){.text = STR(""), .why = why});
}

static bool reply(struct look *k, const struct stored_file *f, enum dataset_format format)
{
    const size_t n = json_array_size(k->rows);
    json_t *first = json_object_get(json_array_get(k->rows, 0), "id"),
           *last = json_object_get(json_array_get(k->rows, n - 1), "id");
    json_t *o = json_pack("{s:s, s:s, s:s, s:o, s:O*, s:O*, s:b, s:o, s:I, s:I, s:b, s:I, s:I}",
                          "object", "list", "file_id", f->id, "method", dataset_method(format),
                          "data", k->rows, "first_id", first, "last_id", last, "has_more",
                          k->has_more || k->cut_short, "mistakes", k->mistakes, "n_rows",
                          (json_int_t)k->n_rows, "n_mistakes", (json_int_t)k->n_mistakes,
                          "complete", !k->cut_short, "bytes", (json_int_t)f->bytes, "bytes_read",
                          (json_int_t)(k->cut_short ? k->bytes_read : (uint64_t)f->bytes));

    if (n == 0) {
        json_object_set_new(o, "first_id", json_null());
        json_object_set_new(o, "last_id", json_null());
    }
    return api_reply(k->call, 200, o);
}

static bool look_at(struct look *k, const char *path, const char *name, enum dataset_format format,
                    struct error *err)
{
    if (!dataset_look(path, name, format, look, k, err)) {
        if (err->kind != ERR_INVALID && err->kind != ERR_LIMIT)
            return false;
        add_whole(k, err);
    } else if (!k->cut_short && k->n_rows + k->n_mistakes == 0) {
        (void)!fail(err, ERR_INVALID, "%s: the file has no rows", name);
        add_whole(k, err);
    }
    *err = (struct error){0};
    return true;
}

static bool rows_of(struct api_call *c, struct error *err)
{
    struct look k = {.call = c, .until = clock_seconds() + SECONDS};
    int64_t most_rows, most_mistakes;
    enum dataset_format format = DATASET_PROMPTS;
    struct stored_file f;

    if (!files_get(c->store, c->who.project_id, c->id[0], c->arena, &f, err) ||
        !read_number(c, "limit", 20, 1, MOST_ROWS, &most_rows, err) ||
        !read_number(c, "mistakes", 20, 1, MOST_MISTAKES, &most_mistakes, err) ||
        !read_number(c, "after", 0, 0, INT64_MAX, &k.after, err))
        return false;
    const char *path = files_path(c->store, f.id, c->arena);
    if (!read_method(c, path, &format, err))
        return false;
    k.most_rows = (size_t)most_rows;
    k.most_mistakes = (size_t)most_mistakes;
    k.rows = json_array();
    k.mistakes = json_array();
    if (!look_at(&k, path, f.id, format, err)) {
        json_decref(k.rows);
        json_decref(k.mistakes);
        return false;
    }
    return reply(&k, &f, format);
}

static bool rows(struct api_call *c, struct error *err)
{
    return api_later(c, rows_of, err);
}

static const struct api_route routes[] = {
    {HTTP_GET, "/v1/files/{}/rows", SCOPE_TRAIN, HTTP_BODY_NONE, rows, NULL, 0},
};
const struct api_table file_rows_routes = {routes, COUNT_OF(routes)};
