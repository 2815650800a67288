/*
 * job_run.c - a job's folder, and the query read strictly: what is misspelt is told, not guessed.
 */
#include "server/job_run.h"
#include "base/file.h"
#include "base/size.h"

#include <math.h>
#include <stdlib.h>

bool job_run_get(struct api_call *c, struct job_run *out, struct error *err)
{
    if (!jobs_get(c->store, c->who.project_id, c->id[0], c->arena, &out->job, err))
        return false;
    out->dir = file_join(c->arena, file_join(c->arena, c->opt->home, "runs"), out->job.run_dir);
    return true;
}

bool query_count(struct api_call *c, const char *name, size_t most, bool *there, size_t *out,
                 struct error *err)
{
    const struct str text = http_query(c->x, name);
    size_t n = 0;

    *there = text.ptr != NULL && text.len > 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || n > most)
            return fail_param(err, ERR_INVALID, name, "\"%s\" is no whole number from 0 to %zu",
                              name, most);
        n = 10 * n + (size_t)(text.ptr[i] - '0');
    }
    if (n > most)
        return fail_param(err, ERR_INVALID, name, "\"%s\" is no whole number from 0 to %zu", name,
                          most);
    if (*there)
        *out = n;
    return true;
}

bool query_number(struct api_call *c, const char *name, double *out, struct error *err)
{
    const struct str text = http_query(c->x, name);
    char *end;

    if (text.ptr == NULL || text.len == 0)
        return true;
    const char *copy = arena_text(c->arena, text);
    const double x = strtod(copy, &end);
    if (*end != '\0' || end != copy + text.len || !isfinite(x))
        return fail_param(err, ERR_INVALID, name, "\"%s\" is no number", name);
    *out = x;
    return true;
}

bool query_list(struct api_call *c, const char *name, size_t most, struct str **out, size_t *n,
                struct error *err)
{
    struct str rest = http_query(c->x, name);

    *out = ARENA_ARRAY(c->arena, struct str, most);
    *n = 0;
    while (rest.len > 0) {
        const size_t comma = str_find(rest, STR(","), 0);
        const struct str one = str_trim((struct str){rest.ptr, comma}, " ");

        rest = comma < rest.len ? str_from(rest, comma + 1) : (struct str){0};
        if (one.len == 0)
            continue;
        if (*n == most)
            return fail_param(err, ERR_INVALID, name, "\"%s\" names more than %zu", name, most);
        (*out)[(*n)++] = one;
    }
    return true;
}

bool query_limit(struct api_call *c, size_t def, size_t most, size_t *out, struct error *err)
{
    size_t n = def;
    bool there;

    if (!query_count(c, "limit", SIZE_MAX / 100, &there, &n, err))
        return false;
    if (n == 0)
        return fail_param(err, ERR_INVALID, "limit", "\"limit\" is 0, expected 1 to %zu", most);
    *out = size_min(n, most);
    return true;
}
