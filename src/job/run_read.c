/*
 * run_read.c - the readers of a run's folder; everything in it may have been written by someone else.
 */
#include "job/run_read.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/size.h"
#include "job/line_file.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define MAX_COLUMNS ((size_t)16384)
#define MAX_ENTRIES ((size_t)1000000) /* files in a folder */

bool run_read_job(const char *dir, json_t **out, struct error *err)
{
    struct arena a = {0};
    json_t *job = NULL;
    const char *path = file_join(&a, dir, "job.json");
    bool ok = json_read_file(path, &job, err);

    if (!ok)
        fail_while(err, "looking for a run in %s", dir);
    else if (!json_is_object(job))
        ok = fail(err, ERR_CORRUPT, "%s is %s, an object was expected", path, json_kind(job));
    if (ok)
        *out = job;
    else
        json_decref(job);
    arena_release(&a);
    return ok;
}

/* ---- lines of JSON ---- */

struct json_lines {
    run_json_fn *fn;
    void *ctx;
    size_t n_bad;
};

static bool json_line(void *ctx, struct str line, size_t offset)
{
    struct json_lines *l = ctx;
    struct error ignored;
    json_t *value = NULL;
    bool more = true;

    (void)offset;
    if (line.len > LIMIT_LINE_BYTES || !json_parse(line, "a line", &value, &ignored) ||
        !json_is_object(value))
        l->n_bad++;
    else
        more = l->fn(l->ctx, value);
    json_decref(value);
    return more;
}

static bool read_json_lines(const char *path, run_json_fn *fn, void *ctx, size_t *n_bad,
                            struct error *err)
{
    struct json_lines l = {.fn = fn, .ctx = ctx};

    if (file_exists(path) && !lines_each(path, json_line, &l, err))
        return false;
    if (n_bad != NULL)
        *n_bad += l.n_bad;
    return true;
}

bool run_read_events(const char *dir, run_json_fn *fn, void *ctx, size_t *n_bad, struct error *err)
{
    struct arena a = {0};
    const bool ok = read_json_lines(file_join(&a, dir, "events.jsonl"), fn, ctx, n_bad, err);

    arena_release(&a);
    return ok;
}

bool run_read_rollouts(const char *dir, size_t step, bool valid, run_json_fn *fn, void *ctx,
                       size_t *n_bad, struct error *err)
{
    struct arena a = {0};
    const char *path =
        arena_printf(&a, "%s/rollouts/%s-%zu.jsonl", dir, valid ? "valid" : "step", step);
    const bool ok = read_json_lines(path, fn, ctx, n_bad, err);

    arena_release(&a);
    return ok;
}

/* From the end: the newest metrics event is among the last lines of a file that may be long. */
bool run_last_metrics(const char *dir, json_t **out, struct error *err)
{
    struct arena a = {0};
    struct file_map map = {0};
    const char *path = file_join(&a, dir, "events.jsonl");
    json_t *data = NULL;
    bool ok = !file_exists(path) || file_map_open(path, &map, err);
    size_t end = map.len;

    while (end > 0 && map.ptr[end - 1] != '\n')
        end--;
    while (end > 0 && data == NULL) {
        size_t start = end - 1;
        json_t *event = NULL;
        struct error ignored;

        while (start > 0 && map.ptr[start - 1] != '\n')
            start--;
        const struct str line = {(const char *)map.ptr + start, end - 1 - start};
        if (str_find(line, STR("\"metrics\""), 0) < line.len &&
            json_parse(line, "an event", &event, &ignored) &&
            str_is(json_str(json_object_get(event, "type")), "metrics") &&
            json_is_object(json_object_get(event, "data")))
            data = json_incref(json_object_get(event, "data"));
        json_decref(event);
        end = start;
    }
    if (ok)
        *out = data;
    file_map_close(&map);
    arena_release(&a);
    return ok;
}

/* ---- metrics.csv ---- */

struct csv {
    struct arena *arena;
    size_t n_columns, n_rows, cap_rows, n_bad;
    const char **column;
    double *cell;
    bool too_many;
};

bool run_csv_next(struct str line, size_t *at, struct arena *a, struct str *out)
{
    if (*at > line.len)
        return false;
    if (*at < line.len && line.ptr[*at] == '"') {
        char *text = arena_alloc(a, line.len - *at + 1);
        size_t n = 0, i = *at + 1;

        for (; i < line.len; i++) {
            if (line.ptr[i] == '"' && (i + 1 >= line.len || line.ptr[i + 1] != '"'))
                break;
            i += line.ptr[i] == '"';
            text[n++] = line.ptr[i];
        }
        *out = (struct str){text, n};
        *at = i + 2; /* past the quote and the comma */
        return true;
    }
    const size_t comma = str_find(line, STR(","), *at);
    *out = (struct str){line.ptr + *at, comma - *at};
    *at = comma + 1;
    return true;
}

double run_csv_number(struct str s)
{
    char text[64], *end;

    if (s.len == 0 || s.len >= sizeof text)
        return (double)NAN;
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    const double x = strtod(text, &end);
    return *end == '\0' && isfinite(x) ? x : (double)NAN;
}

static void csv_header(struct csv *c, struct str line)
{
    struct str cell;
    size_t n = 0;

    c->column = ARENA_ARRAY(c->arena, const char *, MAX_COLUMNS);
    for (size_t at = 0; n < MAX_COLUMNS && run_csv_next(line, &at, c->arena, &cell);)
        c->column[n++] = arena_text(c->arena, cell);
    c->n_columns = n;
}

static bool csv_line(void *ctx, struct str line, size_t offset)
{
    struct csv *c = ctx;
    struct arena scratch = {0};
    struct str cell;
    size_t n = 0;

    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    if (offset == 0) {
        csv_header(c, line);
        return true;
    }
    if (c->n_rows == c->cap_rows) {
        const size_t cap = c->cap_rows == 0 ? 64 : c->cap_rows * 2;
        double *cells = NULL;
        struct error ignored;
        size_t size;

        if (cap <= LIMIT_DATA_ROWS && size_mul(cap, c->n_columns, &size))
            cells = arena_try(c->arena, size, sizeof *cells, "metrics.csv", &ignored);
        if (cells == NULL) {
            c->too_many = true;
            return false;
        }
        if (c->n_rows > 0)
            memcpy(cells, c->cell, c->n_rows * c->n_columns * sizeof *cells);
        c->cell = cells;
        c->cap_rows = cap;
    }
    double *row = c->cell + c->n_rows * c->n_columns;
    for (size_t at = 0; n < c->n_columns && run_csv_next(line, &at, &scratch, &cell); n++)
        row[n] = run_csv_number(cell);
    arena_release(&scratch);
    /* the first column is the step: a row without one says nothing */
    if (n == c->n_columns && n > 0 && !isnan(row[0]))
        c->n_rows++;
    else
        c->n_bad++;
    return true;
}

bool run_read_metrics(const char *dir, struct arena *a, struct run_metrics *out, size_t *n_bad,
                      struct error *err)
{
    struct csv c = {.arena = a};
    const char *path = file_join(a, dir, "metrics.csv");

    if (file_exists(path) && !lines_each(path, csv_line, &c, err))
        return false;
    if (c.too_many)
        return fail(err, ERR_LIMIT, "%s has more than the %zu rows that can be read", path,
                    c.n_rows);
    *out = (struct run_metrics){
        .n_columns = c.n_columns, .n_rows = c.n_rows, .column = c.column, .cell = c.cell};
    if (n_bad != NULL)
        *n_bad += c.n_bad;
    return true;
}

size_t run_metrics_find(const struct run_metrics *m, const char *name)
{
    size_t i = 0;

    while (i < m->n_columns && strcmp(m->column[i], name) != 0)
        i++;
    return i;
}

/* ---- folders ---- */

/* "PREFIX12SUFFIX" -> 12; no sign, no leading zero */
static bool numbered(const char *name, const char *prefix, const char *suffix, size_t *out)
{
    const size_t n = strlen(prefix);
    char *end;

    if (strncmp(name, prefix, n) != 0 || name[n] < '0' || name[n] > '9' ||
        (name[n] == '0' && name[n + 1] != suffix[0]))
        return false;
    errno = 0;
    const unsigned long long value = strtoull(name + n, &end, 10);
    if (strcmp(end, suffix) != 0 || errno != 0 || value > SIZE_MAX / 2)
        return false;
    *out = (size_t)value;
    return true;
}

bool run_rollouts_name(const char *name, size_t *step, bool *valid)
{
    *valid = strncmp(name, "valid-", 6) == 0;
    return numbered(name, *valid ? "valid-" : "step-", ".jsonl", step);
}

typedef bool name_fn(void *ctx, const char *name); /* true: taken */

/* The names in a folder that fn takes, as a list of the arena's; a missing folder has none. */
static bool list_names(const char *folder, name_fn *fn, void *ctx, struct arena *a,
                       const char ***out, size_t *n, struct error *err)
{
    DIR *dir = opendir(folder);
    const char **names = NULL;
    size_t count = 0, cap = 0;

    if (dir == NULL && errno != ENOENT)
        return fail_errno(err, "cannot read the folder %s", folder);
    for (struct dirent *e; dir != NULL && count < MAX_ENTRIES && (e = readdir(dir)) != NULL;) {
        if (!fn(ctx, e->d_name))
            continue;
        if (count == cap) {
            cap = cap == 0 ? 64 : cap * 2;
            const char **more = ARENA_ARRAY(a, const char *, cap);
            if (count > 0)
                memcpy(more, names, count * sizeof *names);
            names = more;
        }
        names[count++] = arena_text(a, str_of(e->d_name));
    }
    if (dir != NULL)
        closedir(dir);
    *out = names;
    *n = count;
    return true;
}

static int by_number(const void *a, const void *b)
{
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;

    return (x > y) - (x < y);
}

static bool is_rollouts_of(void *ctx, const char *name)
{
    const bool *want = ctx;
    size_t step;
    bool valid;

    return run_rollouts_name(name, &step, &valid) && valid == *want;
}

bool run_list_rollouts(const char *dir, bool valid, struct arena *a, size_t **steps, size_t *n,
                       struct error *err)
{
    const char **names;
    size_t count;

    if (!list_names(file_join(a, dir, "rollouts"), is_rollouts_of, &valid, a, &names, &count, err))
        return false;
    size_t *list = ARENA_ARRAY(a, size_t, count + 1);
    for (size_t i = 0; i < count; i++)
        (void)run_rollouts_name(names[i], &list[i], &valid);
    qsort(list, count, sizeof *list, by_number);
    *steps = list;
    *n = count;
    return true;
}

static bool is_eval(void *ctx, const char *name)
{
    (void)ctx;
    return name[0] != '.' && strlen(name) > 5 && str_ends(str_of(name), STR(".json"));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool run_list_evals(const char *dir, struct arena *a, const char ***names, size_t *n,
                    struct error *err)
{
    const char **list;
    size_t count;

    if (!list_names(file_join(a, dir, "evals"), is_eval, NULL, a, &list, &count, err))
        return false;
    for (size_t i = 0; i < count; i++)
        list[i] = arena_text(a, (struct str){list[i], strlen(list[i]) - 5});
    if (count > 0)
        qsort(list, count, sizeof *list, by_name);
    *names = list;
    *n = count;
    return true;
}

/* ---- checkpoints ---- */

static bool is_checkpoint(void *ctx, const char *name)
{
    size_t step;

    (void)ctx;
    return numbered(name, "step-", "", &step);
}

size_t run_best_checkpoint(const struct run_checkpoint *all, size_t n)
{
    size_t best = 0;

    for (size_t i = 1; i < n; i++)
        if (isnan(all[best].valid_mean_reward)
                ? !isnan(all[i].valid_mean_reward)
                : all[i].valid_mean_reward > all[best].valid_mean_reward)
            best = i;
    return best;
}

bool run_has_checkpoint(const char *dir, bool *out, struct error *err)
{
    struct arena a = {0};
    const char **names;
    size_t n = 0;
    const bool ok =
        list_names(file_join(&a, dir, "checkpoints"), is_checkpoint, NULL, &a, &names, &n, err);

    if (ok)
        *out = n > 0;
    arena_release(&a);
    return ok;
}

static int newest_first(const void *a, const void *b)
{
    const size_t x = ((const struct run_checkpoint *)a)->step,
                 y = ((const struct run_checkpoint *)b)->step;

    return (x < y) - (x > y);
}

/* What checkpoints.json says of a checkpoint. */
static void describe(struct run_checkpoint *c, const json_t *list, struct arena *a)
{
    json_t *value;
    size_t i;

    json_array_foreach(list, i, value)
    {
        const json_t *step = json_object_get(value, "step_number");
        const json_t *reward =
            json_object_get(json_object_get(value, "metrics"), "full_valid_mean_reward");

        if (!json_is_integer(step) || json_integer_value(step) < 0 ||
            (size_t)json_integer_value(step) != c->step)
            continue;
        c->created_at = json_integer_value(json_object_get(value, "created_at"));
        c->id = arena_text(a, json_str(json_object_get(value, "id")));
        c->name = arena_text(a, json_str(json_object_get(value, "fine_tuned_model_checkpoint")));
        c->valid_mean_reward = json_is_number(reward) ? json_number_value(reward) : (double)NAN;
    }
}

bool run_read_checkpoints(const char *dir, struct arena *a, struct run_checkpoint **out, size_t *n,
                          struct error *err)
{
    const char *folder = file_join(a, dir, "checkpoints"), **names;
    json_t *list = NULL;
    struct error ignored;
    size_t count;

    if (!list_names(folder, is_checkpoint, NULL, a, &names, &count, err))
        return false;
    if (!json_read_file(file_join(a, dir, "checkpoints.json"), &list, &ignored))
        list = NULL;
    struct run_checkpoint *c = ARENA_ARRAY(a, struct run_checkpoint, count + 1);
    for (size_t i = 0; i < count; i++) {
        c[i] = (struct run_checkpoint){
            .id = "", .dir = file_join(a, folder, names[i]), .valid_mean_reward = (double)NAN};
        (void)numbered(names[i], "step-", "", &c[i].step);
        c[i].name = arena_printf(a, "ckpt-step-%zu", c[i].step);
        describe(&c[i], list, a);
    }
    json_decref(list);
    qsort(c, count, sizeof *c, newest_first);
    for (size_t i = 0; i < count; i++) {
        size_t n_better = 0;

        for (size_t j = 0; j < count;
             j++) /* of equal ones the earlier is better: it had to see less */
            n_better += c[j].valid_mean_reward > c[i].valid_mean_reward ||
                        (c[j].valid_mean_reward >= c[i].valid_mean_reward && c[j].step < c[i].step);
        c[i].best = !isnan(c[i].valid_mean_reward) && n_better < 3;
    }
    *out = c;
    *n = count;
    return true;
}
