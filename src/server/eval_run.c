/*
 * eval_run.c - a few threads make items; whoever finishes the next one in order writes it, and all that wait behind it.
 */
#include "server/eval_run.h"
#include "base/clock.h"
#include "base/condition.h"
#include "base/size.h"
#include "server/api_internal.h"
#include "server/job_request.h"
#include "text/log.h"

#include <pthread.h>

#define PROGRESS_SECONDS 1.0
#define BEAT_SECONDS 0.2
#define GRADER_TIMEOUT_S 120.0
#define ASK_TIMEOUT_S 600.0

struct running {
    struct task *task;
    json_t *body; /* the run's document */
    json_t *eval; /* the eval */
    struct eval_source source;
    struct eval_work work;

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    size_t next, written;        /* rows: to be taken, and behind all that are written */
    json_t *waiting[EVAL_AHEAD]; /* [row % EVAL_AHEAD] made, and not yet written */
    bool writing;
    size_t n_threads;
    struct eval_tally tally; /* of what is written */
    struct error failure;    /* of the database */
};

const json_t *eval_item_schema(const json_t *eval)
{
    const json_t *config = json_object_get(eval, "data_source_config"),
                 *properties = json_object_get(json_object_get(config, "schema"), "properties");
    const json_t *schema = json_object_get(properties, "item");

    return str_is(json_str(json_object_get(config, "type")), "custom") && json_is_object(schema)
               ? schema
               : NULL;
}

/* ---- what is there already ---- */

static void tally_stored(struct running *r, const char *text)
{
    json_t *body = api_json_of(text);

    eval_tally_add(&r->tally, json_object_get(body, "item"),
                   json_is_true(json_object_get(body, "errored")), json_object_get(body, "usage"));
    json_decref(body);
}

static bool count_one(void *ctx, const struct document *d, struct arena *a, bool *enough,
                      struct error *err)
{
    struct running *r = ctx;

    (void)a;
    (void)enough;
    (void)err;
    tally_stored(r, d->body);
    r->written++;
    return true;
}

static bool count_written(struct running *r, struct error *err)
{
    const struct task *t = r->task;
    const struct document_filter f = {
        .kind = EVAL_ITEM_KIND, .project_id = t->doc.project_id, .parent = t->doc.id};
    const bool ok = documents_each(t->api->opt.store, &f, count_one, r, err);

    r->next = r->written;
    return ok;
}

/* ---- the threads ---- */

/* Where another wrote it meanwhile, who has lost the run now, its item stands. */
static bool write_item(struct running *r, size_t row, const json_t *made, struct arena *a,
                       const char **text, struct error *err)
{
    const struct task *t = r->task;
    struct document was,
        d = {.kind = EVAL_ITEM_KIND,
             .id = eval_item_id(t->doc.id, row, a),
             .project_id = t->doc.project_id,
             .parent = t->doc.id,
             .state = json_string_value(json_object_get(json_object_get(made, "item"), "status")),
             .body = api_text_of(made, a),
             .created_at = t->doc.created_at,
             .updated_at = t->doc.created_at};

    *text = d.body;
    if (documents_add(t->api->opt.store, &d, NULL, 0, err))
        return true;
    if (err->kind != ERR_INVALID || !documents_get(t->api->opt.store, EVAL_ITEM_KIND,
                                                   t->doc.project_id, str_of(d.id), a, &was, err))
        return false;
    *text = was.body;
    return true;
}

/* Under the lock, which is let go meanwhile. */
static void write_waiting(struct running *r)
{
    if (r->writing)
        return;
    r->writing = true;
    while (r->waiting[r->written % EVAL_AHEAD] != NULL && r->failure.kind == ERR_NONE) {
        json_t *made = r->waiting[r->written % EVAL_AHEAD];
        const size_t row = r->written;
        struct arena a = {0};
        const char *text;
        struct error err = {0};

        pthread_mutex_unlock(&r->lock);
        const bool ok = write_item(r, row, made, &a, &text, &err);
        pthread_mutex_lock(&r->lock);
        if (ok) {
            tally_stored(r, text);
            r->waiting[row % EVAL_AHEAD] = NULL;
            r->written++;
            json_decref(made);
        } else {
            r->failure = err;
        }
        arena_release(&a);
        pthread_cond_broadcast(&r->changed);
    }
    r->writing = false;
}

static bool is_over(const struct running *r)
{
    return atomic_load(&r->task->stop) || r->failure.kind != ERR_NONE ||
           r->next >= r->source.n_rows;
}

static void *make_items(void *ctx)
{
    struct running *r = ctx;

    pthread_mutex_lock(&r->lock);
    while (!is_over(r)) {
        struct error err = {0};
        json_t *made;

        if (r->next >= r->written + EVAL_AHEAD) {
            condition_wait_for(&r->changed, &r->lock, BEAT_SECONDS);
            continue;
        }
        const size_t row = r->next++;
        pthread_mutex_unlock(&r->lock);
        const bool ok = eval_item_make(&r->work, row, &made, &err);
        pthread_mutex_lock(&r->lock);
        if (!ok)
            break; /* stopped: run_items says so where nothing else has */
        r->waiting[row % EVAL_AHEAD] = made;
        write_waiting(r);
    }
    r->n_threads--;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* ---- the run's document ---- */

static bool put_begun(void *ctx, json_t *body)
{
    (void)ctx;
    json_object_set_new(json_object_get(body, "run"), "status", json_string("in_progress"));
    return true;
}

static bool put_progress(void *ctx, json_t *body)
{
    struct running *r = ctx;
    json_t *run = json_object_get(body, "run");

    pthread_mutex_lock(&r->lock);
    eval_tally_put(&r->tally, run);
    pthread_mutex_unlock(&r->lock);
    json_object_set_new(json_object_get(run, "result_counts"), "total",
                        json_integer((json_int_t)r->source.n_rows));
    return true;
}

static bool put_completed(void *ctx, json_t *body)
{
    put_progress(ctx, body);
    json_object_set_new(json_object_get(body, "run"), "status", json_string("completed"));
    return true;
}

static bool put_failed(void *ctx, json_t *body)
{
    const struct error *why = ctx;
    json_t *run = json_object_get(body, "run");

    json_object_set_new(run, "status", json_string("failed"));
    json_object_set_new(run, "error", eval_error(why));
    return true;
}

static bool end_run(struct task *t, const char *status, struct error *err)
{
    return work_end(t->api->opt.store, RUN_KIND, t->doc.project_id, t->doc.id, "eval.run", status,
                    err);
}

/* ---- the whole ---- */

static bool open_graders(struct running *r, struct error *err)
{
    const json_t *criteria = r->work.criteria;
    struct grade_options opt;

    api_grade_options(r->task->api, r->task->doc.project_id, r->task->arena, &opt);
    opt.timeout_s = GRADER_TIMEOUT_S;
    opt.ask_timeout_s = ASK_TIMEOUT_S;
    opt.stop = &r->task->stop;
    for (size_t i = 0; i < json_array_size(criteria) && i < EVAL_MAX_CRITERIA; i++) {
        const json_t *one = json_array_get(criteria, i);

        /* asked when the eval was made, but rows may be anybody's */
        if (!(r->task->api->opt.request_addresses ||
              job_grader_stays_here(one, "testing_criteria", err)) ||
            !grader_open(one, &opt, &r->work.grader[i], err))
            return fail_while(err, "opening testing criterion %zu", i + 1);
    }
    return true;
}

static bool get_eval(struct running *r, struct error *err)
{
    struct task *t = r->task;
    struct document d;

    if (!documents_get(t->api->opt.store, EVAL_KIND, t->doc.project_id, str_of(t->doc.parent),
                       t->arena, &d, err))
        return false;
    r->eval = api_json_of(d.body);
    return true;
}

/* What fails here fails for good. */
static bool prepare(struct running *r, struct error *err)
{
    struct task *t = r->task;
    const json_t *picked = json_object_get(r->body, "picked");

    r->tally.criteria = json_object_get(r->eval, "testing_criteria");
    r->work = (struct eval_work){.api = t->api,
                                 .run_id = t->doc.id,
                                 .eval_id = t->doc.parent,
                                 .created_at = t->doc.created_at,
                                 .source = &r->source,
                                 .criteria = r->tally.criteria,
                                 .stop = &t->stop};
    return eval_source_open(t->api, t->doc.project_id,
                            json_object_get(json_object_get(r->body, "run"), "data_source"),
                            eval_item_schema(r->eval), json_is_array(picked) ? picked : NULL,
                            t->arena, &r->source, err) &&
           open_graders(r, err);
}

/* Until all threads have ended. */
static void watch(struct running *r)
{
    const double pause = /* the whole body is written */
        PROGRESS_SECONDS * (1 + (double)strlen(r->task->doc.body) / (1 << 20));
    double told = clock_seconds();

    pthread_mutex_lock(&r->lock);
    size_t n_told = r->written; /* rows are being written already */
    while (r->n_threads > 0) {
        condition_wait_for(&r->changed, &r->lock, BEAT_SECONDS);
        const size_t written = r->written;

        pthread_mutex_unlock(&r->lock);
        (void)task_beat(r->task);
        if (written != n_told && clock_seconds() >= told + pause && !atomic_load(&r->task->stop)) {
            struct error err = {0};

            (void)!task_change(r->task, NULL, put_progress, r, &err); /* the next time, then */
            told = clock_seconds();
            n_told = written;
        }
        pthread_mutex_lock(&r->lock);
    }
    pthread_mutex_unlock(&r->lock);
}

static bool run_items(struct running *r, struct error *err)
{
    pthread_t threads[EVAL_AT_ONCE];
    size_t n = 0;

    if (!count_written(r, err))
        return false;
    pthread_mutex_lock(&r->lock);
    while (n < EVAL_AT_ONCE && pthread_create(&threads[n], NULL, make_items, r) == 0)
        n++;
    r->n_threads = n;
    pthread_mutex_unlock(&r->lock);
    if (n == 0)
        return fail(err, ERR_IO, "the system gives no thread for a run");
    watch(r);
    for (size_t i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    if (r->failure.kind != ERR_NONE) {
        *err = r->failure;
        return false;
    }
    /* what could not be made though nobody stopped it is made when the lease ends, here or elsewhere */
    return r->written >= r->source.n_rows || !task_beat(r->task) ||
           fail(err, ERR_IO, "%zu of the %zu rows could not be made", r->source.n_rows - r->written,
                r->source.n_rows);
}

static bool work(struct running *r, struct error *err)
{
    struct task *t = r->task;
    const struct str status = work_status(RUN_KIND, r->body);
    struct error why = {0};

    if (work_has_ended(status))
        return end_run(t, arena_text(t->arena, status), err);
    if (!get_eval(r, err) || !task_change(t, "in_progress", put_begun, NULL, err))
        return false;
    if (!prepare(r, &why))
        return task_change(t, NULL, put_failed, &why, err) && end_run(t, "failed", err);
    if (!run_items(r, err) || atomic_load(&t->stop))
        return err->kind == ERR_NONE;
    return task_change(t, NULL, put_completed, r, err) && end_run(t, "completed", err);
}

void eval_run_work(struct task *t)
{
    struct running r = {
        .task = t, .body = api_json_of(t->doc.body), .lock = PTHREAD_MUTEX_INITIALIZER};
    struct error err = {0};

    condition_init(&r.changed);
    if (!work(&r, &err) && err.kind != ERR_CANCELLED && err.kind != ERR_NOT_FOUND)
        log_line(LOG_ERROR, "runner", "run not finished", "%s: %s", t->doc.id, err.message);
    if (!t->ours)
        task_drop_orphans(t, EVAL_ITEM_KIND);
    for (size_t i = 0; i < EVAL_MAX_CRITERIA; i++)
        grader_close(r.work.grader[i]);
    for (size_t i = 0; i < EVAL_AHEAD; i++)
        json_decref(r.waiting[i]);
    eval_tally_release(&r.tally);
    eval_source_release(&r.source);
    json_decref(r.eval);
    json_decref(r.body);
    pthread_cond_destroy(&r.changed);
    pthread_mutex_destroy(&r.lock);
}
