/*
 * dataset.c - the file is mapped and cut at line ends; each line becomes a tree and is checked before the next is read.
 */
#include "text/dataset.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/size.h"

#include <stdio.h>
#include <stdlib.h>

#define FORGET_BYTES                                                                               \
    ((size_t)64 << 20) /* lines read so far leave the page cache to others at this step */

static bool is_blank(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] != ' ' && s.ptr[i] != '\t' && s.ptr[i] != '\r')
            return false;
    return true;
}

static bool each_line(const char *path, struct str text, const struct file_map *map,
                      dataset_line_fn *fn, void *ctx, struct error *err)
{
    char what[4096 + 64]; /* a path that could be opened is no longer */
    size_t forget_at = FORGET_BYTES;

    for (size_t at = 0, line = 1; at < text.len; line++) {
        const char *end = memchr(text.ptr + at, '\n', text.len - at);
        const struct str s = {text.ptr + at,
                              end == NULL ? text.len - at : (size_t)(end - text.ptr) - at};
        json_t *value = NULL;
        bool ok;

        at += s.len + 1;
        if (is_blank(s))
            continue;
        snprintf(what, sizeof what, "%s, line %zu", path, line);
        if (s.len > LIMIT_LINE_BYTES)
            return fail(err, ERR_LIMIT, "%s: %zu bytes are more than the %zu allowed in a line",
                        what, s.len, LIMIT_LINE_BYTES);
        if (!json_parse(s, what, &value, err))
            return false;
        ok = fn(ctx, value, what, line, err);
        json_decref(value);
        if (!ok)
            return false;
        if (at >= forget_at) {
            file_map_forget(map);
            forget_at = at + FORGET_BYTES;
        }
    }
    return true;
}

static bool each_row(const char *path, dataset_line_fn *fn, void *ctx, size_t *size_bytes,
                     struct error *err)
{
    struct file_map map = {0};
    bool ok;

    if (!file_map_open(path, &map, err))
        return false;
    struct str text = {(const char *)map.ptr, map.len};
    *size_bytes = map.len;
    if (map.len > LIMIT_DATA_BYTES) {
        ok = fail(err, ERR_LIMIT, "%s: %zu bytes are more than the %zu allowed", path, map.len,
                  LIMIT_DATA_BYTES);
    } else if (str_starts(text, STR("\xFF\xFE")) || str_starts(text, STR("\xFE\xFF"))) {
        ok = fail(err, ERR_INVALID, "%s: the file is UTF-16, UTF-8 was expected", path);
    } else {
        if (str_starts(text, STR("\xEF\xBB\xBF")))
            text = str_from(text, 3);
        ok = each_line(path, text, &map, fn, ctx, err);
    }
    file_map_close(&map);
    return ok;
}

bool jsonl_each(const char *path, dataset_line_fn *fn, void *ctx, struct error *err)
{
    size_t size_bytes;

    return each_row(path, fn, ctx, &size_bytes, err);
}

static bool is_role(struct str s)
{
    static const char *const roles[] = {"system", "developer", "user", "assistant", "tool"};

    for (size_t i = 0; i < COUNT_OF(roles); i++)
        if (str_is(s, roles[i]))
            return true;
    return false;
}

/* Content that is a list: of {"type": "text", "text": "..."} alone. */
static bool check_parts(const json_t *parts, const char *param, const char *what, struct error *err)
{
    if (json_array_size(parts) == 0)
        return fail_param(err, ERR_INVALID, param, "%s: %s is an empty list", what, param);
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *part = json_array_get(parts, i), *type = json_object_get(part, "type");

        if (!json_is_object(part) || !json_is_string(type))
            return fail_param(err, ERR_INVALID, param,
                              "%s: part %zu of %s is %s, an object with a type was expected", what,
                              i, param, json_kind(part));
        if (!str_is(json_str(type), "text"))
            return fail_param(
                err, ERR_UNSUPPORTED, param,
                "%s: part %zu of %s is of type \"" STR_FMT "\", only \"text\" is offered", what, i,
                param, (int)size_min(json_str(type).len, 100), json_str(type).ptr);
        if (!json_is_string(json_object_get(part, "text")))
            return fail_param(err, ERR_INVALID, param,
                              "%s: the text of part %zu of %s is %s, a string was expected", what,
                              i, param, json_kind(json_object_get(part, "text")));
    }
    return true;
}

static bool check_message(const json_t *m, size_t i, const char *what, struct error *err)
{
    const json_t *role = json_object_get(m, "role"), *content = json_object_get(m, "content");
    char param[64];

    snprintf(param, sizeof param, "messages[%zu]", i);
    if (!json_is_object(m))
        return fail_param(err, ERR_INVALID, param, "%s: %s is %s, an object was expected", what,
                          param, json_kind(m));
    snprintf(param, sizeof param, "messages[%zu].role", i);
    if (!json_is_string(role))
        return fail_param(err, ERR_INVALID, param, "%s: %s is %s, a string was expected", what,
                          param, json_kind(role));
    if (!is_role(json_str(role)))
        return fail_param(err, ERR_INVALID, param,
                          "%s: %s is \"" STR_FMT
                          "\", expected is system, developer, user, assistant or tool",
                          what, param, (int)size_min(json_str(role).len, 100), json_str(role).ptr);
    snprintf(param, sizeof param, "messages[%zu].content", i);
    if (json_is_array(content))
        return check_parts(content, param, what, err);
    if (json_is_string(content))
        return true;
    if ((content == NULL || json_is_null(content)) && str_is(json_str(role), "assistant") &&
        json_array_size(json_object_get(m, "tool_calls")) > 0)
        return true;
    return fail_param(err, ERR_INVALID, param,
                      "%s: %s is %s, a string or a list of text parts was expected", what, param,
                      json_kind(content));
}

static bool check_tools(const json_t *tools, const char *what, struct error *err)
{
    if (!json_is_array(tools))
        return fail_param(err, ERR_INVALID, "tools", "%s: \"tools\" is %s, a list was expected",
                          what, json_kind(tools));
    for (size_t i = 0; i < json_array_size(tools); i++)
        if (!json_is_object(json_array_get(tools, i)))
            return fail_param(err, ERR_INVALID, "tools",
                              "%s: tools[%zu] is %s, an object was expected", what, i,
                              json_kind(json_array_get(tools, i)));
    return true;
}

static bool check_row(const json_t *item, const char *what, struct dataset_row *row,
                      struct error *err)
{
    const json_t *messages = json_object_get(item, "messages"),
                 *tools = json_object_get(item, "tools");
    const size_t n = json_array_size(messages);

    if (!json_is_object(item))
        return fail(err, ERR_INVALID, "%s: the line is %s, an object was expected", what,
                    json_kind(item));
    if (messages == NULL)
        return fail_param(err, ERR_INVALID, "messages", "%s: \"messages\" is missing", what);
    if (!json_is_array(messages))
        return fail_param(err, ERR_INVALID, "messages",
                          "%s: \"messages\" is %s, a list was expected", what, json_kind(messages));
    if (n == 0)
        return fail_param(err, ERR_INVALID, "messages", "%s: \"messages\" is empty", what);
    for (size_t i = 0; i < n; i++)
        if (!check_message(json_array_get(messages, i), i, what, err))
            return false;
    const struct str last = json_str(json_object_get(json_array_get(messages, n - 1), "role"));
    if (!str_is(last, "user"))
        return fail_param(err, ERR_INVALID, "messages",
                          "%s: the last message is of role \"" STR_FMT
                          "\", \"user\" was expected: the model answers it",
                          what, STR_ARG(last));
    if (tools != NULL && json_is_null(tools))
        tools = NULL;
    if (tools != NULL && !check_tools(tools, what, err))
        return false;
    row->messages = messages;
    row->tools = tools;
    return true;
}

struct filling {
    struct dataset *d;
    size_t cap;
};

static bool add_row(void *ctx, json_t *value, const char *what, size_t line, struct error *err)
{
    struct filling *f = ctx;
    struct dataset_row row = {.item = value, .line = line};

    if (!check_row(value, what, &row, err))
        return false;
    if (f->d->n_rows == LIMIT_DATA_ROWS)
        return fail(err, ERR_LIMIT, "%s: more than the %zu rows allowed", what, LIMIT_DATA_ROWS);
    if (f->d->n_rows == f->cap) {
        const size_t cap = size_min(f->cap * 2 + 256, LIMIT_DATA_ROWS);
        struct dataset_row *rows = realloc(f->d->rows, cap * sizeof *rows);

        if (rows == NULL)
            return fail(err, ERR_NO_MEMORY, "%s: no memory for %zu rows", what, cap);
        f->d->rows = rows;
        f->cap = cap;
    }
    json_incref(value);
    f->d->rows[f->d->n_rows++] = row;
    return true;
}

bool dataset_open(const char *path, struct dataset *out, struct error *err)
{
    struct dataset d = {.path = strdup(path)};
    struct filling f = {.d = &d};
    bool ok = d.path != NULL || fail(err, ERR_NO_MEMORY, "%s: no memory to read it", path);

    ok = ok && each_row(path, add_row, &f, &d.size_bytes, err) &&
         (d.n_rows > 0 || fail(err, ERR_INVALID, "%s: the file has no rows", path));
    if (ok)
        *out = d;
    else
        dataset_close(&d);
    return ok;
}

void dataset_close(struct dataset *d)
{
    for (size_t i = 0; i < d->n_rows; i++)
        json_decref(d->rows[i].item);
    free(d->rows);
    free(d->path);
    *d = (struct dataset){0};
}
