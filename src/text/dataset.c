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

/* A file that is open, and the line that comes next. */
struct lines {
    struct file_map map;
    const char *name; /* in messages */
    struct str text;
    size_t at, line, forget_at;
};

static bool lines_open(const char *path, const char *name, struct lines *out, struct error *err)
{
    struct lines l = {.name = name, .forget_at = FORGET_BYTES};
    bool ok = true;

    if (!file_map_open(path, &l.map, err))
        return false;
    l.text = (struct str){(const char *)l.map.ptr, l.map.len};
    if (l.map.len > LIMIT_DATA_BYTES)
        ok = fail(err, ERR_LIMIT, "%s: %zu bytes are more than the %zu allowed", name, l.map.len,
                  LIMIT_DATA_BYTES);
    else if (str_starts(l.text, STR("\xFF\xFE")) || str_starts(l.text, STR("\xFE\xFF")))
        ok = fail(err, ERR_INVALID, "%s: the file is UTF-16, UTF-8 was expected", name);
    else if (str_starts(l.text, STR("\xEF\xBB\xBF")))
        l.text = str_from(l.text, 3);
    if (ok)
        *out = l;
    else
        file_map_close(&l.map);
    return ok;
}

/* The next line that is not blank, its number in l->line; false: there is none. */
static bool lines_next(struct lines *l, struct str *out)
{
    while (l->at < l->text.len) {
        const char *begin = l->text.ptr + l->at, *end = memchr(begin, '\n', l->text.len - l->at);
        const struct str s = {begin, end == NULL ? l->text.len - l->at : (size_t)(end - begin)};

        if (l->at >= l->forget_at) {
            file_map_forget(&l->map);
            l->forget_at = l->at + FORGET_BYTES;
        }
        l->at += s.len + 1;
        l->line++;
        if (!is_blank(s)) {
            *out = s;
            return true;
        }
    }
    return false;
}

/* A path that could be opened is no longer. */
#define WHAT_BYTES (4096 + 64)

static bool line_parse(const struct lines *l, struct str s, char what[WHAT_BYTES], json_t **out,
                       struct error *err)
{
    snprintf(what, WHAT_BYTES, "%s, line %zu", l->name, l->line);
    if (s.len > LIMIT_LINE_BYTES)
        return fail(err, ERR_LIMIT, "%s: %zu bytes are more than the %zu allowed in a line", what,
                    s.len, LIMIT_LINE_BYTES);
    if (json_has_more(s, LIMIT_JSON_VALUES))
        return fail(err, ERR_LIMIT, "%s: more than the %zu values allowed in a line", what,
                    LIMIT_JSON_VALUES);
    return json_parse(s, what, out, err);
}

static bool each_row(const char *path, dataset_line_fn *fn, void *ctx, size_t *size_bytes,
                     struct error *err)
{
    char what[WHAT_BYTES];
    struct lines l;
    struct str s;
    bool ok = true;

    if (!lines_open(path, path, &l, err))
        return false;
    *size_bytes = l.map.len;
    while (ok && lines_next(&l, &s)) {
        json_t *value = NULL;

        ok = line_parse(&l, s, what, &value, err) && fn(ctx, value, what, l.line, err);
        json_decref(value);
    }
    file_map_close(&l.map);
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

bool dataset_look(const char *path, const char *name, enum dataset_format format,
                  dataset_look_fn *fn, void *ctx, struct error *err)
{
    char what[WHAT_BYTES];
    struct lines l;
    struct str s;
    bool more = true;

    if (!lines_open(path, name, &l, err))
        return false;
    while (more && lines_next(&l, &s)) {
        struct error why = {0};
        struct dataset_row row = {.line = l.line};
        struct dataset_line line = {.text = s, .line = l.line, .why = &why};

        if (line_parse(&l, s, what, &row.item, &why) &&
            dataset_check_row(row.item, format, what, &row, &why))
            line.row = &row;
        more = fn(ctx, &line);
        json_decref(row.item);
    }
    file_map_close(&l.map);
    return true;
}

static bool guess_line(void *ctx, const struct dataset_line *line)
{
    json_t *value = NULL;
    struct error ignored;

    if (line->text.len <= LIMIT_LINE_BYTES && !json_has_more(line->text, LIMIT_JSON_VALUES) &&
        json_parse(line->text, "a row", &value, &ignored))
        (void)!dataset_recognize(value, ctx);
    json_decref(value);
    return false;
}

enum dataset_format dataset_guess(const char *path)
{
    enum dataset_format format = DATASET_PROMPTS;
    struct error ignored;

    (void)!dataset_look(path, path, format, guess_line, &format, &ignored);
    return format;
}
