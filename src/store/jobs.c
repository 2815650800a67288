/*
 * jobs.c - the rows of jobs: added, found, listed, and asked to stop, to pause, to go on.
 */
#include "base/size.h"
#include "store/jobs_internal.h"

#include <stdio.h>

void job_state_fill(const struct db_row *row, struct arena *a, void *item)
{
    struct job_state *to = item;

    to->row = (struct job_row){
        .seq = db_row_int(row, 0),
        .id = db_row_text(row, 1, a),
        .project_id = db_row_text(row, 2, a),
        .method = db_row_text(row, 3, a),
        .status = db_row_text(row, 4, a),
        .model = db_row_text(row, 5, a),
        .suffix = db_row_text(row, 6, a),
        .training_file = db_row_text(row, 7, a),
        .validation_file = db_row_text(row, 8, a),
        .body = db_row_text(row, 9, a),
        .resolved = db_row_text(row, 10, a),
        .fine_tuned_model = db_row_text(row, 11, a),
        .eval_id = db_row_text(row, 12, a),
        .result_files = db_row_text(row, 13, a),
        .error_code = db_row_text(row, 14, a),
        .error_message = db_row_text(row, 15, a),
        .error_param = db_row_text(row, 16, a),
        .usage = db_row_text(row, 17, a),
        .created_at = db_row_int(row, 18),
        .started_at = db_row_int(row, 19),
        .finished_at = db_row_int(row, 20),
        .estimated_finish = db_row_int(row, 21),
        .trained_tokens = db_row_int(row, 22),
        .seed = db_row_int(row, 23),
        .run_dir = db_row_text(row, 24, a),
        .worker = db_row_text(row, 25, a),
        .lease_until = db_row_int(row, 26),
        .attempt = db_row_int(row, 27),
        .tries = db_row_int(row, 33),
        .ask = db_row_text(row, 28, a),
        .memory_bytes = db_row_int(row, 29),
        .step = db_row_int(row, 30),
        .total_steps = db_row_int(row, 31),
    };
    to->lease = db_row_int(row, 32);
    if (to->lease == LEASE_NONE)
        to->row.worker = NULL;
}

static void job_fill(const struct db_row *row, struct arena *a, void *item)
{
    struct job_state state;

    job_state_fill(row, a, &state);
    *(struct job_row *)item = state.row;
}

bool job_has_ended(const char *status)
{
    return strcmp(status, "succeeded") == 0 || strcmp(status, "failed") == 0 ||
           strcmp(status, "cancelled") == 0;
}

/* ---- added ---- */

struct adding {
    struct job_row j;
    const struct label *labels;
    size_t n;
    struct arena *a;
};

static bool insert_job(struct db *db, struct job_row *j, struct error *err)
{
    const struct db_value params[] = {
        db_text(j->id),
        db_text(j->project_id),
        db_text(j->method),
        db_text(j->model),
        db_text(j->suffix),
        db_text(j->training_file),
        db_text(j->validation_file),
        db_text(j->body),
        db_text(j->resolved),
        db_text(j->fine_tuned_model),
        db_text(j->eval_id),
        db_text(j->result_files),
        db_int(j->created_at),
        db_int(j->trained_tokens),
        db_int(j->seed),
        db_text(j->run_dir),
        db_int(j->memory_bytes),
        db_int(j->total_steps),
    };

    return rows_int(
        db,
        "INSERT INTO jobs (id, project_id, method, status, model, suffix, training_file, "
        "validation_file, body, resolved, fine_tuned_model, eval_id, result_files, created_at, "
        "started_at, finished_at, estimated_finish, trained_tokens, seed, run_dir, lease, "
        "lease_until, attempt, ask, memory_bytes, step, total_steps, model_deleted, tries) "
        "VALUES (?1, ?2, ?3, 'validating_files', ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 0, 0, "
        "0, ?14, ?15, ?16, 0, 0, 0, '', ?17, 0, ?18, 0, 0) RETURNING seq",
        params, COUNT_OF(params), &j->seq, NULL, err);
}

static bool add_job(struct db *db, void *ctx, struct error *err)
{
    struct adding *add = ctx;
    struct job_row j = add->j;
    struct job_event created = {
        .key = "created",
        .level = "info",
        .type = "message",
        .message = arena_printf(add->a, "Created fine-tuning job: %s", j.id),
    };
    int64_t now;

    if (!rows_now(db, &now, err))
        return false;
    if (j.created_at == 0)
        j.created_at = now;
    if (!insert_job(db, &j, err))
        return false;

    const struct labelled of = {JOB_LABELS, j.id, j.project_id, j.seq};

    if (!labels_put(db, &of, add->labels, add->n, err) ||
        !events_put(db, j.id, &created, 1, j.created_at, add->a, err))
        return false;
    add->j = j;
    return true;
}

static bool job_is_valid(const struct job_row *j, struct error *err)
{
    if (j->id != NULL && !store_id_is(str_of(j->id), "ftjob-"))
        return fail(err, ERR_INVALID, "the id of a job begins with \"ftjob-\"");
    if (j->model == NULL || !text_is_sane(str_of(j->model), 1024))
        return fail_param(err, ERR_INVALID, "model",
                          "the name of the model is missing, longer than 1024 bytes or not UTF-8");
    if (j->suffix != NULL && !text_is_sane(str_of(j->suffix), 512))
        return fail_param(err, ERR_INVALID, "suffix",
                          "the suffix is longer than 512 bytes or not UTF-8");
    if (j->training_file == NULL || !store_id_is(str_of(j->training_file), "file-"))
        return fail_param(err, ERR_INVALID, "training_file",
                          "\"training_file\" takes the id of a file, \"file-...\"");
    if (j->validation_file != NULL && !store_id_is(str_of(j->validation_file), "file-"))
        return fail_param(err, ERR_INVALID, "validation_file",
                          "\"validation_file\" takes the id of a file, \"file-...\"");
    if (j->run_dir != NULL && !id_is_sane(str_of(j->run_dir)))
        return fail(err, ERR_INVALID, "the name of a run's folder is of letters, digits, - and _");
    return true;
}

bool jobs_add(struct store *s, struct job_row *j, const struct label *labels, size_t n,
              struct arena *a, struct error *err)
{
    struct adding add = {.j = *j, .labels = labels, .n = n, .a = a};

    if (!job_is_valid(j, err))
        return false;
    if (add.j.id == NULL)
        add.j.id = store_new_id("ftjob-", a);
    if (add.j.run_dir == NULL)
        add.j.run_dir = add.j.id;
    add.j.status = arena_text(a, STR("validating_files"));
    add.j.ask = arena_text(a, STR(""));
    add.j.trained_tokens = -1;
    add.j.started_at = add.j.finished_at = add.j.estimated_finish = 0;
    add.j.worker = NULL;
    add.j.lease_until = add.j.attempt = add.j.step = 0;
    if (!db_write(store_db(s), add_job, &add, err))
        return false;
    *j = add.j;
    return true;
}

/* ---- found ---- */

struct finding {
    const char *project_id;
    struct str id;
    struct arena *a;
    bool found;
    struct job_row j;
};

static bool read_job(struct db *db, void *ctx, struct error *err)
{
    struct finding *f = ctx;
    const struct db_value params[] = {db_str(f->id), db_text(f->project_id)};

    return rows_one(db,
                    "SELECT " JOB_COLUMNS " FROM jobs t WHERE t.id = ?1 AND "
                    "(CAST(?2 AS TEXT) IS NULL OR t.project_id = ?2)",
                    params, COUNT_OF(params), job_fill, f->a, &f->j, &f->found, err);
}

bool jobs_get(struct store *s, const char *project_id, struct str id, struct arena *a,
              struct job_row *out, struct error *err)
{
    struct finding f = {.project_id = project_id, .id = id, .a = a};

    if (store_id_is(id, "ftjob-") && !db_read(store_db(s), read_job, &f, err))
        return false;
    if (!f.found)
        return fail_no_such(err, "fine-tuning job", id);
    *out = f.j;
    return true;
}

bool jobs_labels(struct store *s, const char *job_id, struct arena *a, struct label **out,
                 size_t *n, struct error *err)
{
    return labels_of(s, JOB_LABELS, job_id, a, out, n, err);
}

#define LABELLED                                                                                   \
    "l.kind = '" JOB_LABELS "' AND l.project_id = ?1 AND l.label_key = ?4 AND l.value = ?5"
#define UNLABELLED                                                                                 \
    "t.project_id = ?1 AND NOT EXISTS "                                                            \
    "(SELECT 1 FROM labels l WHERE l.kind = '" JOB_LABELS "' AND l.id = t.id)"
static const struct page_sql jobs_pages = {
    .find = "SELECT seq FROM jobs WHERE project_id = ?1 AND id = ?2",
    .all = PAGE_SQL(JOB_COLUMNS, "jobs t", "t.project_id = ?1", "t.seq", "?2", "?3"),
    .labelled = PAGE_SQL(JOB_COLUMNS, "labels l JOIN jobs t ON t.seq = l.seq", LABELLED, "l.seq",
                         "?2", "?3"),
    .bare = PAGE_SQL(JOB_COLUMNS, "jobs t", UNLABELLED, "t.seq", "?2", "?3"),
    .large = true,
};

bool jobs_list(struct store *s, const char *project_id, const struct store_page *page,
               struct arena *a, struct job_row **out, size_t *n, bool *has_more, struct error *err)
{
    const struct page_query q = {.sql = &jobs_pages,
                                 .page = page,
                                 .params = {db_text(project_id)},
                                 .n_params = 1,
                                 .n_scope = 1};
    struct rows rows;

    if (!page_run(s, &q, (struct row_kind){job_fill, sizeof **out}, a, &rows, err))
        return false;
    *out = rows.items;
    *n = rows.n;
    *has_more = rows.more;
    return true;
}

/* ---- asked ---- */

struct asking {
    const char *project_id;
    struct str id;
    enum job_ask ask;
    struct arena *a;
    struct job_row j;
};

static const struct {
    const char *verb, *allowed;
} asks[] = {
    [JOB_CANCEL] = {"cancelled", "one that has not ended"},
    [JOB_PAUSE] = {"paused", "one that is validating_files, queued or running"},
    [JOB_RESUME] = {"resumed", "a paused one"},
};

/* The state that a job comes to; NULL: not from this one. */
static const char *state_after(const struct job_state *job, enum job_ask ask, int64_t now)
{
    const char *status = job->row.status;
    const bool somebody_works = job->lease != LEASE_NONE && job->row.lease_until > now;

    switch (ask) {
    case JOB_CANCEL:
        return job_has_ended(status) ? NULL : "cancelled";
    case JOB_PAUSE:
        if (strcmp(status, "running") == 0)
            return somebody_works ? "pausing" : "paused";
        return strcmp(status, "validating_files") == 0 || strcmp(status, "queued") == 0 ? "paused"
                                                                                        : NULL;
    case JOB_RESUME:
        return strcmp(status, "paused") == 0 ? "queued" : NULL;
    }
    return NULL;
}

static const char *told_of(const char *status)
{
    return strcmp(status, "cancelled") == 0 ? "The job was cancelled"
           : strcmp(status, "pausing") == 0 ? "The job is pausing: it stops once it has saved a "
                                              "checkpoint"
           : strcmp(status, "paused") == 0  ? "The job was paused"
                                            : "The job was resumed, moving job to queued state";
}

/* A lease that goes on while the job does not: its worker learns of it when it writes or renews. A job that rests is woken. */
static bool write_state(struct db *db, struct asking *ask, const struct job_state *was,
                        const char *status, int64_t now, struct error *err)
{
    const bool pausing = strcmp(status, "pausing") == 0, ended = job_has_ended(status);
    const struct db_value params[] = {
        db_text(was->row.id),
        db_text(status),
        db_text(pausing ? "pause" : ""),
        db_int(was->lease == LEASE_HELD && !pausing ? LEASE_REVOKED : was->lease),
        db_int(ended ? now : was->row.finished_at),
        db_int(was->lease == LEASE_NONE ? 0 : was->row.lease_until)};
    const struct job_event event = {.level = "info", .type = "message", .message = told_of(status)};

    return db_run(db,
                  "UPDATE jobs SET status = ?2, ask = ?3, lease = ?4, finished_at = ?5, "
                  "lease_until = ?6, estimated_finish = 0 WHERE id = ?1",
                  params, COUNT_OF(params), NULL, NULL, NULL, err) &&
           (!ended ||
            job_tell_end(db, was->row.project_id, was->row.id, status, now, ask->a, err)) &&
           events_put(db, was->row.id, &event, 1, now, ask->a, err);
}

static bool ask_job(struct db *db, void *ctx, struct error *err)
{
    struct asking *ask = ctx;
    const struct db_value params[] = {db_str(ask->id), db_text(ask->project_id)};
    struct job_state job;
    const char *status;
    bool found = false;
    int64_t now;

    if (!rows_one(db,
                  FOR_UPDATE(db, "SELECT " JOB_COLUMNS
                                 " FROM jobs t WHERE t.id = ?1 AND t.project_id = ?2"),
                  params, COUNT_OF(params), job_state_fill, ask->a, &job, &found, err) ||
        !rows_now(db, &now, err))
        return false;
    if (!found)
        return fail_no_such(err, "fine-tuning job", ask->id);
    status = state_after(&job, ask->ask, now);
    if (status == NULL)
        return fail(err, ERR_INVALID, "the job %s is %s and cannot be %s; only %s can", job.row.id,
                    job.row.status, asks[ask->ask].verb, asks[ask->ask].allowed);
    if (!write_state(db, ask, &job, status, now, err))
        return false;
    return rows_one(db, "SELECT " JOB_COLUMNS " FROM jobs t WHERE t.id = ?1", params, 1, job_fill,
                    ask->a, &ask->j, &found, err);
}

bool jobs_ask(struct store *s, const char *project_id, struct str id, enum job_ask ask,
              struct arena *a, struct job_row *out, struct error *err)
{
    struct asking call = {.project_id = project_id, .id = id, .ask = ask, .a = a};

    if (!store_id_is(id, "ftjob-"))
        return fail_no_such(err, "fine-tuning job", id);
    if (!db_write(store_db(s), ask_job, &call, err))
        return false;
    *out = call.j;
    return true;
}

bool job_tell_end(struct db *db, const char *project_id, const char *job_id, const char *status,
                  int64_t now, struct arena *a, struct error *err)
{
    const char *type = arena_printf(a, "fine_tuning.job.%s", status);
    const char *id = store_id_of("evt_", str_of(arena_printf(a, "%s %s", job_id, status)), a);
    const char *body = arena_printf(a,
                                    "{\"object\":\"event\",\"id\":\"%s\",\"type\":\"%s\","
                                    "\"created_at\":%lld,\"data\":{\"id\":\"%s\"}}",
                                    id, type, (long long)now, job_id); /* ids need no escapes */

    return outbox_put_in(db, project_id, id, type, body, now, a, err);
}
