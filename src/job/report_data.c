/*
 * report_data.c - curves, evaluations and events: all of them, the events folded where they repeat.
 */
#include "base/file.h"
#include "base/size.h"
#include "base/utf8.h"
#include "job/report_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_EVENTS 200

/* ---- texts ---- */

/* At most max bytes, and no character cut in two. */
struct report_text report_cut(struct arena *a, struct str s, size_t max)
{
    const struct str first = utf8_cut(s, max);

    return (struct report_text){.text = arena_str(a, first), .n_cut = s.len - first.len};
}

double report_number(const json_t *obj, const char *key)
{
    const json_t *v = json_object_get(obj, key);

    return json_is_number(v) && isfinite(json_number_value(v)) ? json_number_value(v) : (double)NAN;
}

size_t report_count(const json_t *obj, const char *key)
{
    const json_t *v = json_object_get(obj, key);

    return json_is_integer(v) && json_integer_value(v) > 0 ? (size_t)json_integer_value(v) : 0;
}

/* ---- events ---- */

struct event_fold {
    struct report_data *d;
    struct str *shape; /* [MAX_EVENTS] of each event */
};

/* The message without its numbers: events of one kind are told of once. */
static struct str shape_of(struct arena *a, struct str level, struct str message)
{
    char *text = arena_alloc(a, level.len + message.len + 1);
    size_t n = 0;

    memcpy(text, level.ptr, level.len);
    n = level.len;
    for (size_t i = 0; i < message.len; i++)
        if ((message.ptr[i] < '0' || message.ptr[i] > '9') && message.ptr[i] != '.')
            text[n++] = message.ptr[i];
    return (struct str){text, n};
}

/* "Step 7: ..." of step 7 -> "...": the page has a column for it. */
static struct str without_step(struct str message, size_t step)
{
    char start[40];
    const int n = snprintf(start, sizeof start, "Step %zu: ", step);
    const struct str prefix = {start, (size_t)n};

    return str_starts(message, prefix) && message.len > prefix.len ? str_from(message, prefix.len)
                                                                   : message;
}

static bool read_event(void *ctx, const json_t *v)
{
    struct event_fold *f = ctx;
    struct report_data *d = f->d;
    const struct str level = json_str(json_object_get(v, "level"));
    const json_t *at = json_object_get(v, "created_at");
    const size_t step = report_count(json_object_get(v, "data"), "step");
    struct run_warning told; /* without its examples, which stand with the warnings */

    run_warning_split(json_str(json_object_get(v, "message")), &told);
    const struct str message = report_cut(d->arena, without_step(told.message, step), 2400).text;
    size_t i = 0;

    if (json_is_integer(at)) {
        d->last_event_at = json_integer_value(at);
        if (d->first_event_at == 0)
            d->first_event_at = d->last_event_at;
    }
    if (str_is(json_str(json_object_get(v, "type")), "metrics") || message.len == 0)
        return true;
    d->completed |= str_is(message, "The job has successfully completed");
    const struct str shape = shape_of(d->arena, level, message);
    while (i < d->n_events && !str_eq(f->shape[i], shape))
        i++;
    if (i == MAX_EVENTS)
        return true;
    if (i == d->n_events) {
        f->shape[i] = shape;
        d->event[i] = (struct report_event){.first_step = step,
                                            .at = json_is_integer(at) ? json_integer_value(at) : 0};
        d->n_events++;
    }
    struct report_event *e = &d->event[i];
    e->level = str_is(level, "warn")    ? STR("warn")
               : str_is(level, "error") ? STR("error")
                                        : STR("info");
    e->message = message;
    e->last_step = step;
    e->n++;
    return true;
}

/* ---- evaluations ---- */

static void read_extras(struct arena *a, const json_t *v, struct report_eval *e)
{
    static const char *const known[] = {"top_1", "top_5", "top_max", "truncated_share",
                                        "completion_tokens_mean"};
    const json_t *pass = json_object_get(v, "pass_at_k");
    const size_t max = COUNT_OF(known) + size_min(json_object_size(pass), 8);
    const char **name = ARENA_ARRAY(a, const char *, max);
    double *value = ARENA_ARRAY(a, double, max);
    json_t *x;
    const char *key;
    size_t n = 0;

    json_object_foreach((json_t *)(uintptr_t)pass, key, x)
    {
        if (n + COUNT_OF(known) < max && json_is_number(x)) {
            name[n] = arena_printf(a, "pass@%.8s", key);
            value[n++] = json_number_value(x);
        }
    }
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (!isnan(report_number(v, known[i]))) {
            name[n] = known[i];
            value[n++] = report_number(v, known[i]);
        }
    e->n_extra = n;
    e->extra_name = name;
    e->extra = value;
}

static void read_eval(struct arena *a, const char *name, const json_t *v, struct report_eval *e)
{
    const json_t *ci = json_object_get(v, "reward_ci95");

    *e = (struct report_eval){
        .name = name, .n = report_count(v, "n"), .reward = report_number(v, "reward_mean")};
    e->low = e->high = (double)NAN;
    if (json_is_number(ci)) {
        e->low = e->reward - json_number_value(ci);
        e->high = e->reward + json_number_value(ci);
    } else if (json_is_number(json_array_get(ci, 0)) && json_is_number(json_array_get(ci, 1))) {
        e->low = json_number_value(json_array_get(ci, 0));
        e->high = json_number_value(json_array_get(ci, 1));
    }
    read_extras(a, v, e);
}

/* before first, then after, then the others by name */
static int eval_order(const void *a, const void *b)
{
    const char *x = ((const struct report_eval *)a)->name,
               *y = ((const struct report_eval *)b)->name;
    const int rx = strcmp(x, "before") == 0 ? 0 : strcmp(x, "after") == 0 ? 1 : 2;
    const int ry = strcmp(y, "before") == 0 ? 0 : strcmp(y, "after") == 0 ? 1 : 2;

    return rx != ry ? rx - ry : strcmp(x, y);
}

static bool read_evals(const char *dir, struct report_data *d, struct error *err)
{
    const char **names;
    size_t n;

    if (!run_list_evals(dir, d->arena, &names, &n, err))
        return false;
    n = size_min(n, 100);
    d->eval = ARENA_ARRAY(d->arena, struct report_eval, n + 1);
    for (size_t i = 0; i < n; i++) {
        json_t *v = NULL;
        struct error ignored;

        if (json_read_file(arena_printf(d->arena, "%s/evals/%s.json", dir, names[i]), &v,
                           &ignored) &&
            !isnan(report_number(v, "reward_mean")))
            read_eval(d->arena, names[i], v, &d->eval[d->n_evals++]);
        else
            d->n_bad++;
        json_decref(v);
    }
    if (d->n_evals > 0)
        qsort(d->eval, d->n_evals, sizeof *d->eval, eval_order);
    return true;
}

/* ---- all of it ---- */

double *report_column(const struct report_data *d, const char *name)
{
    const struct run_metrics *m = &d->metrics;
    const size_t column = run_metrics_find(m, name);

    if (column == m->n_columns)
        return NULL;
    double *values = ARENA_ARRAY(d->arena, double, m->n_rows + 1);
    for (size_t i = 0; i < m->n_rows; i++)
        values[i] = m->cell[i * m->n_columns + column];
    return values;
}

bool report_data_read(const char *dir, struct arena *a, struct report_data *out, struct error *err)
{
    struct report_data d = {.arena = a};
    struct event_fold fold = {.d = &d, .shape = ARENA_ARRAY(a, struct str, MAX_EVENTS)};

    d.event = ARENA_ARRAY(a, struct report_event, MAX_EVENTS);
    const bool ok = run_read_job(dir, &d.job_file, err) && run_last_metrics(dir, &d.last, err) &&
                    run_read_metrics(dir, a, &d.metrics, &d.n_bad, err) &&
                    run_read_checkpoints(dir, a, &d.checkpoint, &d.n_checkpoints, err) &&
                    run_read_events(dir, read_event, &fold, &d.n_bad, err) &&
                    read_evals(dir, &d, err) && report_pick(dir, &d, err);
    if (ok)
        *out = d;
    else
        report_data_release(&d);
    return ok;
}

void report_data_release(struct report_data *d)
{
    report_changes_release(d);
    json_decref(d->job_file);
    json_decref(d->last);
    d->job_file = d->last = NULL;
}
