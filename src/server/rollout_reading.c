/*
 * rollout_reading.c - the index is made longer for a short while before a call answers.
 */
#include "server/rollout_reading.h"
#include "base/clock.h"
#include "base/limits.h"
#include "server/api_internal.h"
#include "server/rollout_json.h"
#include "server/run_indexes.h"

#include <math.h>

#define WAIT_MS 400 /* that a call reads or searches, unless it says otherwise */
#define MOST_WAIT_MS 5000
#define TRIES 3 /* a run may go back to a checkpoint while it is read */

static bool reading_begin(struct api_call *c, struct rollout_reading *r, struct error *err)
{
    size_t wait_ms = WAIT_MS;
    bool there;

    *r = (struct rollout_reading){.c = c};
    if (!job_run_get(c, &r->run, err) ||
        !query_count(c, "wait_ms", MOST_WAIT_MS, &there, &wait_ms, err))
        return false;
    r->until = clock_seconds() + 1e-3 * (double)wait_ms;
    buf_init(&r->line, LIMIT_LINE_BYTES);
    buf_init(&r->prompt, LIMIT_LINE_BYTES);
    buf_init(&r->scratch, LIMIT_LINE_BYTES);
    r->ix = run_indexes_take(c->api->runs, r->run.dir);
    return true;
}

static void reading_end(struct rollout_reading *r)
{
    if (r->ix != NULL)
        run_indexes_give(r->c->api->runs, r->ix);
    r->ix = NULL;
    buf_release(&r->line);
    buf_release(&r->prompt);
    buf_release(&r->scratch);
}

bool rollout_reading_run(struct api_call *c, rollout_reading_fn *fn, json_t **out,
                         struct error *err)
{
    struct rollout_reading r;
    bool ok = reading_begin(c, &r, err);

    for (int i = 0; ok; i++) {
        ok = rollout_index_update(r.ix, fmax(0.005, r.until - clock_seconds()), &r.whole, err) &&
             fn(&r, out, err);
        if (ok || err->kind != ERR_CORRUPT || i + 1 == TRIES)
            break;
        rollout_index_forget(r.ix);
        r.has_prompt = false;
        ok = true;
    }
    reading_end(&r);
    return ok;
}

bool rollout_reading_reply(struct api_call *c, rollout_reading_fn *fn, struct error *err)
{
    json_t *body = NULL;

    return rollout_reading_run(c, fn, &body, err) && api_reply(c, 200, body);
}

bool rollout_reading_prompt(struct rollout_reading *r, struct rollout_ref ref, struct error *err)
{
    struct rollout_ref at;

    if (!rollout_index_prompt(r->ix, ref, &at)) {
        r->has_prompt = false;
        return true;
    }
    if (r->has_prompt && at.file == r->prompt_ref.file && at.line == r->prompt_ref.line)
        return true;
    r->has_prompt = false;
    if (!rollout_index_read(r->ix, at, &r->prompt, err))
        return false;
    r->prompt_ref = at;
    r->has_prompt = true;
    return true;
}

bool rollout_reading_json(struct rollout_reading *r, struct rollout_ref ref, bool whole,
                          json_t **out, struct error *err)
{
    const struct rollout_id id = rollout_index_id(r->ix, ref);

    if (!rollout_reading_prompt(r, ref, err))
        return false;
    const struct rollout_shown s = {.id = id.text,
                                    .valid = rollout_index_is_valid(r->ix, ref),
                                    .line = buf_view(&r->line),
                                    .prompt_line =
                                        r->has_prompt ? buf_view(&r->prompt) : (struct str){0},
                                    .whole = whole};
    *out = rollout_json(&s);
    return true;
}

bool rollout_reading_find(struct rollout_reading *r, struct rollout_ref *out, struct error *err)
{
    return rollout_index_find(r->ix, r->c->id[1], out) ||
           fail(err, ERR_NOT_FOUND,
                "this job has no rollout of this id (step-N-LINE or valid-N-LINE)%s",
                r->whole ? "" : ", or it has not been read yet: try again in a moment");
}

bool rollout_reading_split(struct api_call *c, bool *train, bool *valid, struct error *err)
{
    const struct str text = http_query(c->x, "split");

    if (text.ptr == NULL || text.len == 0)
        return true;
    *train = str_is(text, "train");
    *valid = str_is(text, "valid");
    return *train || *valid ||
           fail_param(err, ERR_INVALID, "split", "\"split\" is neither \"train\" nor \"valid\"");
}

void rollout_reading_progress(const struct rollout_reading *r, json_t *body)
{
    const struct rollout_index_size s = rollout_index_size(r->ix);

    json_object_set_new(body, "complete", json_boolean(r->whole));
    json_object_set_new(body, "read_bytes", json_integer((json_int_t)s.read_bytes));
    json_object_set_new(body, "total_bytes", json_integer((json_int_t)s.total_bytes));
}
