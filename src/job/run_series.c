/*
 * run_series.c - metrics.csv is read rather than mapped, for a run that goes back to a checkpoint cuts it.
 */
#include "job/run_series.h"
#include "base/file.h"
#include "base/size.h"
#include "job/run_read.h"

#include <math.h>
#include <stdlib.h>

#define MOST_BYTES ((size_t)1 << 30)
#define MOST_COLUMNS ((size_t)16384)

struct series {
    const struct run_series_options *opt;
    struct arena *a;
    struct run_series out;
    size_t *place; /* [n_names] among the columns asked for, or SIZE_MAX */
    size_t cap;
    double *step;
    struct str *cell;
};

static bool is_wanted(const struct run_series_options *opt, const char *name)
{
    for (size_t i = 0; i < opt->n_wanted; i++)
        if (str_is(opt->wanted[i], name))
            return true;
    return opt->n_wanted == 0;
}

static void read_names(struct series *s, struct str line)
{
    const char **name = ARENA_ARRAY(s->a, const char *, MOST_COLUMNS);
    const char **column;
    struct str cell;
    size_t n = 0;

    for (size_t at = 0; n < MOST_COLUMNS && run_csv_next(line, &at, s->a, &cell);)
        name[n++] = arena_text(s->a, cell);
    column = ARENA_ARRAY(s->a, const char *, n + 1);
    s->place = ARENA_ARRAY(s->a, size_t, n + 1);
    for (size_t i = 0; i < n; i++) {
        s->place[i] = is_wanted(s->opt, name[i]) ? s->out.n_columns : SIZE_MAX;
        if (s->place[i] != SIZE_MAX)
            column[s->out.n_columns++] = name[i];
    }
    s->out.name = name;
    s->out.n_names = n;
    s->out.column = column;
}

static size_t digits(struct str s, size_t at)
{
    while (at < s.len && s.ptr[at] >= '0' && s.ptr[at] <= '9')
        at++;
    return at;
}

/* Whether it is a number as JSON has them (RFC 8259, section 6), so that it can stand in an answer as it is. */
static bool is_number(struct str s)
{
    size_t at = s.len > 0 && s.ptr[0] == '-', from = at;

    at = digits(s, at);
    if (s.len > 64 || at == from || (s.ptr[from] == '0' && at > from + 1))
        return false;
    if (at < s.len && s.ptr[at] == '.') {
        from = at + 1;
        at = digits(s, from);
        if (at == from)
            return false;
    }
    if (at < s.len && (s.ptr[at] == 'e' || s.ptr[at] == 'E')) {
        from = at + 1;
        from += from < s.len && (s.ptr[from] == '-' || s.ptr[from] == '+');
        at = digits(s, from);
        if (at == from)
            return false;
    }
    return at == s.len;
}

static bool make_room(struct series *s, struct error *err)
{
    const size_t cap = s->cap == 0 ? 256 : 2 * s->cap, n = s->out.n_columns;

    if (s->out.n_rows < s->cap)
        return true;
    double *step = arena_try(s->a, cap, sizeof *step, "the steps of a run", err);
    struct str *cell =
        step == NULL ? NULL
                     : arena_try(s->a, cap * (n + 1), sizeof *cell, "the metrics of a run", err);
    if (cell == NULL)
        return false;
    if (s->out.n_rows > 0) {
        memcpy(step, s->step, s->out.n_rows * sizeof *step);
        memcpy(cell, s->cell, s->out.n_rows * n * sizeof *cell);
    }
    s->step = step;
    s->cell = cell;
    s->cap = cap;
    return true;
}

/* A cell of the row: between commas, for ours have no quotes but in the first line. */
static struct str next_cell(struct str line, size_t *at)
{
    const char *comma = memchr(line.ptr + *at, ',', line.len - *at);
    const size_t end = comma == NULL ? line.len : (size_t)(comma - line.ptr);
    const struct str cell = {line.ptr + *at, end - *at};

    *at = end + 1;
    return cell;
}

static bool read_row(struct series *s, struct str line, struct error *err)
{
    const size_t n = s->out.n_columns;
    size_t at = 0, i = 0;

    const double step = run_csv_number(next_cell(line, &at));
    if (isnan(step) || step <= s->opt->after_step)
        return true;
    if (s->out.n_rows == s->opt->limit) {
        s->out.has_more = true;
        return true;
    }
    if (!make_room(s, err))
        return false;
    struct str *row = s->cell + s->out.n_rows * n;
    for (at = 0; at <= line.len && i < s->out.n_names; i++) {
        const struct str cell = next_cell(line, &at);

        if (s->place[i] != SIZE_MAX)
            row[s->place[i]] = is_number(cell) ? cell : STR("");
    }
    if (i == s->out.n_names && at > line.len)
        s->step[s->out.n_rows++] = step;
    return true;
}

bool run_series_read(const char *dir, const struct run_series_options *opt, struct arena *a,
                     struct run_series *out, struct error *err)
{
    struct series s = {.opt = opt, .a = a};
    const char *path = file_join(a, dir, "metrics.csv");
    struct str all = {0};
    bool ok = !file_exists(path) || file_read(path, MOST_BYTES, a, &all, err);

    for (size_t at = 0; ok && at < all.len && !s.out.has_more;) {
        const char *end = memchr(all.ptr + at, '\n', all.len - at);
        if (end == NULL)
            break;
        struct str line = {all.ptr + at, (size_t)(end - all.ptr) - at};

        at += line.len + 1;
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        if (s.out.n_names == 0)
            read_names(&s, line);
        else
            ok = read_row(&s, line, err);
    }
    s.out.step = s.step;
    s.out.cell = s.cell;
    if (ok)
        *out = s.out;
    return ok;
}

bool run_temperature(const char *dir, size_t step, struct arena *a, double *out, struct error *err)
{
    const struct str column = STR("temperature");
    const struct run_series_options opt = {
        .wanted = &column, .n_wanted = 1, .after_step = (double)step - 1, .limit = 1};
    struct run_series s;
    json_t *job = NULL;
    struct error ignored;

    *out = 1;
    if (!run_series_read(dir, &opt, a, &s, err))
        return false;
    if (s.n_rows == 1 && s.n_columns == 1 && run_csv_number(s.cell[0]) > 0) {
        *out = run_csv_number(s.cell[0]);
        return true;
    }
    if (run_read_job(dir, &job, &ignored)) {
        const json_t *t = json_object_get(json_object_get(job, "resolved"), "temperature");

        if (json_is_number(t) && json_number_value(t) > 0)
            *out = json_number_value(t);
        json_decref(job);
    }
    return true;
}
