/*
 * report_settings.c - what happened, and with what settings.
 */
#include "base/utf8.h"
#include "job/report_internal.h"

#include <math.h>

/* ---- events ---- */

void report_events(struct report_page *p, struct buf *out)
{
    for (size_t i = 0; i < p->d->n_events; i++) {
        const struct report_event *e = &p->d->event[i];
        const char *level = e->level.ptr;

        buf_printf(out, "<tr><td>%zu", e->first_step);
        if (e->last_step != e->first_step)
            buf_printf(out, "\xE2\x80\x93%zu", e->last_step);
        buf_printf(out, "</td><td><span class=\"kind %s\">%s</span></td><td><bdi>", level,
                   level[0] == 'w'   ? "warning"
                   : level[0] == 'e' ? "error"
                                     : "note");
        html_text(out, e->message);
        buf_text(out, "</bdi></td>");
        report_cell(out, (double)e->n, CHART_COUNT);
        buf_text(out, "</tr>");
    }
}

/* ---- settings ---- */

static void setting(struct buf *out, const char *name, const json_t *value)
{
    struct buf text;

    buf_init(&text, 1 << 20);
    if (json_is_string(value))
        buf_str(&text, json_str(value));
    else
        json_write(&text, value, NULL);
    const struct str s = buf_view(&text);
    buf_text(out, "<tr><th scope=\"row\">");
    html_text(out, str_of(name));
    buf_text(out, "</th><td>");
    html_text(out, utf8_cut(s, 300));
    if (s.len > 300)
        buf_text(out, "\xE2\x80\xA6");
    buf_text(out, "</td></tr>");
    buf_release(&text);
}

/* v without the values of endpoints' headers, wherever a grader may stand in it: keys are there. */
static void hide_headers(json_t *v)
{
    json_t *value, *headers = json_object_get(v, "headers");
    const char *key;
    void *next;
    size_t i;

    if (str_is(json_str(json_object_get(v, "type")), "endpoint"))
        json_object_foreach_safe(headers, next, key, value)
            json_object_set_new(headers, key, json_string("(not shown)"));
    json_object_foreach(v, key, value) hide_headers(value);
    json_array_foreach(v, i, value) hide_headers(value);
}

/* Each value that is no object, under its path; the grader is shown with the job. */
static void settings_of(struct arena *a, struct buf *out, const json_t *v, const char *path,
                        int depth)
{
    json_t *value;
    const char *key;

    if (!json_is_object(v) || depth == 6) {
        if (!json_is_null(v))
            setting(out, path, v);
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)v, key, value)
    {
        if (strcmp(key, "grader") == 0 && json_is_object(value)) {
            setting(out, "grader",
                    json_object_get(value, "name") != NULL ? json_object_get(value, "name")
                                                           : json_object_get(value, "type"));
            continue;
        }
        const bool plain = strcmp(key, "method") == 0 || strcmp(key, "reinforcement") == 0 ||
                           strcmp(key, "hyperparameters") == 0;
        const char *below = path[0] == '\0' || strcmp(path, "job") == 0
                                ? key
                                : arena_printf(a, "%s.%.80s", path, key);
        settings_of(a, out, value, plain && json_is_object(value) ? path : below, depth + 1);
    }
}

/* "auto" in the job, a number in what it became: one row with the number. */
static json_t *with_resolved(const json_t *job, const json_t *resolved)
{
    json_t *copy = json_deep_copy(job), *hyper, *value;
    const char *key;

    hyper = json_object_get(json_object_get(json_object_get(copy, "method"), "reinforcement"),
                            "hyperparameters");
    json_object_foreach((json_t *)(uintptr_t)resolved, key, value)
    {
        json_t *into = json_object_get(hyper, key) != NULL ? hyper : copy;

        if (json_is_object(into))
            json_object_set(into, key, value);
    }
    return copy;
}

void report_settings(struct report_page *p, struct buf *out)
{
    const json_t *file = p->d->job_file, *job = json_object_get(file, "job");
    json_t *all =
        with_resolved(json_is_object(job) ? job : file, json_object_get(file, "resolved"));

    hide_headers(all);
    settings_of(p->d->arena, out, all, "", 0);
    json_decref(all);
}

void report_job(struct report_page *p, struct buf *out)
{
    static const struct json_format readable = {.style = JSON_STYLE_COMPACT, .indent = 2};
    json_t *job = json_deep_copy(json_object_get(p->d->job_file, "job"));
    struct buf text;

    hide_headers(job);
    buf_init(&text, 1 << 20);
    json_write(&text, job, &readable);
    json_decref(job);
    if (text.overflowed)
        buf_text(out,
                 "(longer than can be shown: it is in job.json of the run\xE2\x80\x99s folder)");
    else
        html_text(out, buf_view(&text));
    buf_release(&text);
}

void report_checkpoints(struct report_page *p, struct buf *out)
{
    const struct report_data *d = p->d;

    if (d->n_checkpoints == 0)
        return;
    buf_text(
        out,
        "<thead><tr><th scope=\"col\">Folder</th><th scope=\"col\" class=\"num\">Validation reward</th><th "
        "scope=\"col\">Rank</th></tr></thead><tbody>");
    for (size_t i = 0; i < d->n_checkpoints && i < 50; i++) {
        const struct run_checkpoint *c = &d->checkpoint[i];

        buf_printf(out, "<tr><th scope=\"row\"><code>checkpoints/step-%zu</code></th>", c->step);
        report_cell(out, c->valid_mean_reward, CHART_SCORE);
        buf_printf(out, "<td>%s%s</td></tr>", c->best ? "among the best three" : "",
                   i == 0 ? (c->best ? ", newest" : "newest") : "");
    }
    buf_text(out, "</tbody>");
}
