/*
 * dataset.c - the file is mapped and cut at line ends; each line becomes a tree and is checked before the next is read.
 */
#include "text/dataset.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/size.h"
#include "text/dataset_internal.h"

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
        if (json_has_more(s, LIMIT_JSON_VALUES))
            return fail(err, ERR_LIMIT, "%s: more than the %zu values allowed in a line", what,
                        LIMIT_JSON_VALUES);
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

struct filling {
    struct dataset *d;
    enum dataset_format format;
    size_t cap;
};

static bool add_row(void *ctx, json_t *value, const char *what, size_t line, struct error *err)
{
    struct filling *f = ctx;
    struct dataset_row row = {.item = value, .line = line};

    if (!dataset_check_row(value, f->format, what, &row, err))
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
    return dataset_open_as(path, DATASET_PROMPTS, out, err);
}

bool dataset_open_as(const char *path, enum dataset_format format, struct dataset *out,
                     struct error *err)
{
    struct dataset d = {.path = strdup(path)};
    struct filling f = {.d = &d, .format = format};
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
