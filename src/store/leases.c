/*
 * leases.c - who works on a job: taken, renewed, changed, given up; and the workers.
 */
#include "base/size.h"
#include "store/jobs_internal.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- taken ---- */

struct taking {
    const struct worker_offer *w;
    struct arena *a;
    bool found;
    struct job_state job;
};

/* Two workers of one machine that count at the same moment do not both go by it: transactions are serializable. */
static bool memory_in_use(struct db *db, const char *machine, int64_t now, int64_t *bytes,
                          struct error *err)
{
    const struct db_value params[] = {db_text(machine), db_int(now)};

    return rows_int(db,
                    "SELECT CAST(COALESCE(SUM(memory_bytes), 0) AS BIGINT) FROM jobs "
                    "WHERE machine = ?1 AND lease <> 0 AND lease_until > ?2",
                    params, COUNT_OF(params), bytes, NULL, err);
}

/*
 * What a worker may take of a machine's memory. The oldest job that waits for memory here has a reservation: younger ones are
 * taken only where it fits beside all of them that run here. So it is begun at the latest when those that are older than it have
 * ended, however many keep coming, and what it does not need is used meanwhile.
 */
struct room {
    int64_t now;
    int64_t left;     /* free now */
    int64_t reserved; /* seq of the job that waits; INT64_MAX: none */
    int64_t behind;   /* for one that is younger */
    int64_t most;     /* what needs more fits nowhere */
};

#define WAITING                                                                                    \
    "FROM jobs t WHERE t.status IN ('validating_files', 'queued', 'running', 'pausing') "          \
    "AND t.lease_until <= ?1 "

struct reservation {
    int64_t seq, bytes;
};

static void reservation_fill(const struct db_row *row, struct arena *a, void *item)
{
    (void)a;
    *(struct reservation *)item =
        (struct reservation){.seq = db_row_int(row, 0), .bytes = db_row_int(row, 1)};
}

static bool find_reservation(struct db *db, const struct worker_offer *w, struct arena *a,
                             struct room *room, struct error *err)
{
    const struct db_value find[] = {db_int(room->now), db_int(room->left),
                                    db_int(w->machine_bytes)};
    struct reservation first;
    int64_t younger;
    bool found = false;

    room->reserved = INT64_MAX;
    room->behind = room->left;
    if (!rows_one(db,
                  "SELECT t.seq, t.memory_bytes " WAITING
                  "AND t.memory_bytes > ?2 AND t.memory_bytes <= ?3 ORDER BY t.seq LIMIT 1",
                  find, COUNT_OF(find), reservation_fill, a, &first, &found, err))
        return false;
    if (!found)
        return true;

    const struct db_value behind[] = {db_text(w->machine), db_int(room->now), db_int(first.seq)};

    if (!rows_int(db,
                  "SELECT CAST(COALESCE(SUM(memory_bytes), 0) AS BIGINT) FROM jobs "
                  "WHERE machine = ?1 AND lease <> 0 AND lease_until > ?2 AND seq > ?3",
                  behind, COUNT_OF(behind), &younger, NULL, err))
        return false;
    room->reserved = first.seq;
    room->behind = w->machine_bytes - first.bytes - younger;
    room->behind = room->behind > 0 ? room->behind : 0;
    return true;
}

/* Long enough for a machine to be started anew: until then its jobs wait for it. */
#define AWAY_SECONDS 600

static bool most_bytes(struct db *db, const char *machine, int64_t machine_bytes, int64_t now,
                       int64_t *out, struct error *err)
{
    const struct db_value params[] = {db_text(machine), db_int(now - AWAY_SECONDS)};

    if (!rows_int(db,
                  "SELECT CAST(COALESCE(MAX(memory_bytes), 0) AS BIGINT) FROM workers "
                  "WHERE machine <> ?1 AND seen_at > ?2",
                  params, COUNT_OF(params), out, NULL, err))
        return false;
    *out = *out > machine_bytes ? *out : machine_bytes;
    return true;
}

static bool room_find(struct db *db, const struct worker_offer *w, struct arena *a,
                      struct room *out, struct error *err)
{
    int64_t in_use;

    if (!rows_now(db, &out->now, err) || !memory_in_use(db, w->machine, out->now, &in_use, err))
        return false;
    out->left = w->machine_bytes > in_use ? w->machine_bytes - in_use : 0;
    return find_reservation(db, w, a, out, err) &&
           most_bytes(db, w->machine, w->machine_bytes, out->now, &out->most, err);
}

/* One that fits nowhere is given to whoever asks: it will say so, which waiting does not. */
#define TAKEABLE                                                                                   \
    "SELECT " JOB_COLUMNS " " WAITING "AND (t.memory_bytes = 0 OR t.memory_bytes > ?5 OR "         \
    "(t.memory_bytes <= ?2 AND (t.seq <= ?3 OR t.memory_bytes <= ?4))) "                           \
    "ORDER BY t.seq LIMIT 1"

static bool take_job(struct db *db, void *ctx, struct error *err)
{
    struct taking *take = ctx;
    struct room room;

    take->found = false;
    if (!room_find(db, take->w, take->a, &room, err))
        return false;

    const struct db_value find[] = {db_int(room.now), db_int(room.left), db_int(room.reserved),
                                    db_int(room.behind), db_int(room.most)};

    if (!rows_one(db, SKIP_LOCKED(db, TAKEABLE), find, COUNT_OF(find), job_state_fill, take->a,
                  &take->job, &take->found, err))
        return false;
    if (!take->found)
        return true;

    struct job_row *j = &take->job.row;

    j->attempt++;
    j->tries++;
    j->lease_until = room.now + take->w->lease_seconds;
    j->worker = arena_text(take->a, str_of(take->w->worker));

    const struct db_value params[] = {db_text(j->id), db_text(j->worker), db_text(take->w->machine),
                                      db_int(j->lease_until), db_int(j->attempt)};

    return db_run(db,
                  "UPDATE jobs SET worker = ?2, machine = ?3, lease = 1, lease_until = ?4, "
                  "attempt = ?5, tries = tries + 1 WHERE id = ?1",
                  params, COUNT_OF(params), NULL, NULL, NULL, err);
}

bool jobs_take(struct store *s, const struct worker_offer *w, struct arena *a, bool *found,
               struct job_row *out, struct lease *lease, struct error *err)
{
    struct taking take = {.w = w, .a = a};
    struct lease l = {0};

    if (w->worker == NULL || strlen(w->worker) == 0 || strlen(w->worker) >= sizeof l.worker ||
        w->machine == NULL)
        return fail(err, ERR_INVALID, "a worker needs a machine and a name of 1 to %zu bytes",
                    sizeof l.worker - 1);
    if (!db_write(store_db(s), take_job, &take, err))
        return false;
    *found = take.found;
    if (!take.found)
        return true;
    snprintf(l.job_id, sizeof l.job_id, "%s", take.job.row.id);
    snprintf(l.worker, sizeof l.worker, "%s", w->worker);
    l.attempt = take.job.row.attempt;
    *out = take.job.row;
    *lease = l;
    return true;
}

/* ---- held ---- */

bool job_of_lease(struct db *db, const struct lease *l, struct arena *a, struct job_state *out,
                  struct error *err)
{
    const struct db_value params[] = {db_text(l->job_id)};
    bool found = false;

    if (!rows_one(db, FOR_UPDATE(db, "SELECT " JOB_COLUMNS " FROM jobs t WHERE t.id = ?1"), params,
                  COUNT_OF(params), job_state_fill, a, out, &found, err))
        return false;
    if (!found)
        return fail(err, ERR_CANCELLED, "the job %s is no longer there", l->job_id);
    if (out->row.attempt != l->attempt)
        return fail(err, ERR_CANCELLED,
                    "the job %s was taken by another worker (attempt %" PRId64 ", this is %" PRId64
                    ")",
                    l->job_id, out->row.attempt, l->attempt);
    if (out->lease != LEASE_HELD || strcmp(out->row.worker, l->worker) != 0)
        return fail(err, ERR_CANCELLED, "the job %s is %s, and its lease was ended", l->job_id,
                    out->row.status);
    return true;
}

struct renewing {
    const struct lease *l;
    int64_t seconds;
    char ask[16];
};

static bool renew_job(struct db *db, void *ctx, struct error *err)
{
    struct renewing *r = ctx;
    struct arena a = {0};
    struct job_state job;
    int64_t now;
    bool ok = job_of_lease(db, r->l, &a, &job, err) && rows_now(db, &now, err);

    if (ok) {
        const struct db_value params[] = {db_text(r->l->job_id), db_int(now + r->seconds)};

        snprintf(r->ask, sizeof r->ask, "%s", job.row.ask);
        ok = db_run(db, "UPDATE jobs SET lease_until = ?2 WHERE id = ?1", params, COUNT_OF(params),
                    NULL, NULL, NULL, err);
    }
    arena_release(&a);
    return ok;
}

bool jobs_renew(struct store *s, const struct lease *l, int64_t lease_seconds, char ask[16],
                struct error *err)
{
    struct renewing r = {.l = l, .seconds = lease_seconds};

    if (!db_write(store_db(s), renew_job, &r, err))
        return false;
    memcpy(ask, r.ask, sizeof r.ask);
    return true;
}

static bool release_job(struct db *db, void *ctx, struct error *err)
{
    const struct lease *l = ctx;
    const struct db_value params[] = {db_text(l->job_id), db_text(l->worker), db_int(l->attempt)};

    return db_run(db,
                  "UPDATE jobs SET lease = 0, lease_until = 0 "
                  "WHERE id = ?1 AND worker = ?2 AND attempt = ?3 AND lease <> 0",
                  params, COUNT_OF(params), NULL, NULL, NULL, err);
}

bool jobs_release(struct store *s, const struct lease *l, struct error *err)
{
    struct lease copy = *l;

    return db_write(store_db(s), release_job, &copy, err);
}

static bool release_worker(struct db *db, void *ctx, struct error *err)
{
    const char *const *worker = ctx;
    const struct db_value name = db_text(*worker);
    int64_t now;

    if (!rows_now(db, &now, err) ||
        !db_run(db, "UPDATE jobs SET lease = 0, lease_until = 0 WHERE worker = ?1 AND lease <> 0",
                &name, 1, NULL, NULL, NULL, err))
        return false;

    const struct db_value params[] = {name, db_int(now)};

    /* its row stays: a machine that is started anew is not one that is gone (most_bytes) */
    return db_run(db, "UPDATE workers SET ended_at = ?2, job_id = NULL WHERE name = ?1", params,
                  COUNT_OF(params), NULL, NULL, NULL, err);
}

bool jobs_release_worker(struct store *s, const char *worker, struct error *err)
{
    return db_write(store_db(s), release_worker, &worker, err);
}

/* ---- changed ---- */

struct job_change job_change_none(void)
{
    return (struct job_change){.estimated_finish = INT64_MIN,
                               .trained_tokens = INT64_MIN,
                               .memory_bytes = INT64_MIN,
                               .step = INT64_MIN,
                               .total_steps = INT64_MIN};
}

/* What a worker may do to a state; to stay in it is always allowed. */
static const struct {
    const char *from, *to;
} steps[] = {
    {"validating_files", "queued"}, {"validating_files", "running"},
    {"validating_files", "failed"}, {"queued", "running"},
    {"queued", "failed"},           {"running", "queued"},
    {"running", "succeeded"},       {"running", "failed"},
    {"running", "paused"},          {"pausing", "paused"},
    {"pausing", "succeeded"},       {"pausing", "failed"},
};

static bool may_become(const char *from, const char *to)
{
    if (strcmp(from, to) == 0)
        return true;
    for (size_t i = 0; i < COUNT_OF(steps); i++)
        if (strcmp(steps[i].from, from) == 0 && strcmp(steps[i].to, to) == 0)
            return true;
    return false;
}

struct changing {
    const struct lease *l;
    const struct job_change *c;
    const struct job_event *events;
    size_t n;
};

static struct db_value number(int64_t n) /* INT64_MIN: null, which stays */
{
    return n != INT64_MIN ? db_int(n) : (struct db_value){.type = DB_NULL};
}

/* A worker that leaves does not know that its job was asked to pause: whoever takes it next pauses it. */
static bool leaves_a_pause(const char *from, const struct job_change *c)
{
    return c->end_lease && c->status != NULL && strcmp(c->status, "queued") == 0 &&
           strcmp(from, "pausing") == 0;
}

/* What comes of a change: whoever makes it may not have heard yet that somebody asked for a pause. */
static const char *state_to_be(const char *from, const struct job_change *c)
{
    if (c->status == NULL || leaves_a_pause(from, c))
        return from;
    return c->or_paused && strcmp(from, "pausing") == 0 ? "paused" : c->status;
}

static bool write_change(struct db *db, const struct job_state *was, const struct job_change *c,
                         int64_t now, struct error *err)
{
    const char *status = state_to_be(was->row.status, c);
    const bool ended = job_has_ended(status), paused = strcmp(status, "paused") == 0;
    const bool starts = strcmp(status, "running") == 0 && was->row.started_at == 0;
    const bool leave = c->end_lease || ended || paused;
    /* a run that goes back to a checkpoint tells steps again: what counts is one that was never done before */
    const bool goes_on = (c->step != INT64_MIN && c->step > was->row.step) || paused ||
                         (strcmp(was->row.status, "validating_files") == 0 &&
                          strcmp(status, "validating_files") != 0);
    const struct db_value params[] = {
        db_text(was->row.id),
        db_text(status),
        db_text(c->resolved),
        db_text(c->fine_tuned_model),
        db_text(c->usage),
        db_text(c->result_files),
        db_text(paused ? NULL : c->error_code),
        db_text(paused ? NULL : c->error_message),
        db_text(paused ? NULL : c->error_param),
        number(ended || paused ? 0 : c->estimated_finish),
        number(c->trained_tokens),
        number(c->memory_bytes),
        number(goes_on && c->step > was->row.step ? c->step : INT64_MIN),
        number(c->total_steps),
        number(ended ? now : INT64_MIN),
        number(starts ? now : INT64_MIN),
        db_int(leave ? LEASE_NONE : LEASE_HELD),
        db_int(!leave                ? was->row.lease_until
               : c->rest_seconds > 0 ? now + c->rest_seconds
                                     : 0),
        db_text(strcmp(status, "pausing") == 0 ? was->row.ask : ""),
        db_int(goes_on ? 0 : was->row.tries),
    };

    return db_run(
        db,
        "UPDATE jobs SET status = ?2, resolved = COALESCE(?3, resolved), "
        "fine_tuned_model = COALESCE(?4, fine_tuned_model), usage = COALESCE(?5, usage), "
        "result_files = COALESCE(?6, result_files), error_code = COALESCE(?7, error_code), "
        "error_message = COALESCE(?8, error_message), error_param = COALESCE(?9, error_param), "
        "estimated_finish = COALESCE(?10, estimated_finish), "
        "trained_tokens = COALESCE(?11, trained_tokens), "
        "memory_bytes = COALESCE(?12, memory_bytes), step = COALESCE(?13, step), "
        "total_steps = COALESCE(?14, total_steps), finished_at = COALESCE(?15, finished_at), "
        "started_at = COALESCE(?16, started_at), lease = ?17, lease_until = ?18, ask = ?19, "
        "tries = ?20 WHERE id = ?1",
        params, COUNT_OF(params), NULL, NULL, NULL, err);
}

/*
 * The model of a job that ends is its last checkpoint, under a name of its own: never one without the other. Where somebody has
 * deleted that checkpoint, none is called so, and the name stands for the trainer's last state (models.c), not for an older one.
 */
static bool name_last_checkpoint(struct db *db, const char *job_id, const char *name,
                                 struct error *err)
{
    const struct db_value params[] = {db_text(job_id), db_text(name)};

    return name == NULL ||
           db_run(db,
                  "UPDATE checkpoints SET name = ?2 WHERE job_id = ?1 AND deleted = 0 AND step = "
                  "(SELECT MAX(step) FROM checkpoints WHERE job_id = ?1 AND kept = 1)",
                  params, COUNT_OF(params), NULL, NULL, NULL, err);
}

/* The answer to the commit of this very change was lost: the lease that it ended is ended, the state is the one it set. */
static bool was_done(const struct lease *l, const struct job_change *c, const struct job_state *is)
{
    return c->status != NULL && is->row.id != NULL && is->row.attempt == l->attempt &&
           is->lease == LEASE_NONE &&
           (strcmp(is->row.status, c->status) == 0 || leaves_a_pause(is->row.status, c) ||
            (c->or_paused && strcmp(is->row.status, "paused") == 0)) &&
           (c->end_lease || job_has_ended(c->status) || strcmp(c->status, "paused") == 0);
}

static bool change(struct db *db, const struct changing *ch, struct arena *a, struct error *err)
{
    struct job_state job = {0};
    struct error why = {0};
    int64_t now;

    if (!job_of_lease(db, ch->l, a, &job, &why))
        return (why.kind == ERR_CANCELLED && was_done(ch->l, ch->c, &job)) ||
               fail(err, why.kind, "%s", why.message);
    const char *status = state_to_be(job.row.status, ch->c);

    if (!may_become(job.row.status, status))
        return fail(err, ERR_INVALID,
                    "the job %s is %s, and a worker cannot make it %.32s from there", ch->l->job_id,
                    job.row.status, status);
    if (!rows_now(db, &now, err) || !write_change(db, &job, ch->c, now, err) ||
        !name_last_checkpoint(db, job.row.id, ch->c->last_checkpoint, err))
        return false;
    if (ch->c->status != NULL && job_has_ended(status) &&
        !job_tell_end(db, job.row.project_id, job.row.id, status, now, a, err))
        return false;
    return events_put(db, job.row.id, ch->events, ch->n, now, a, err);
}

static bool change_job(struct db *db, void *ctx, struct error *err)
{
    struct arena a = {0};
    const bool ok = change(db, ctx, &a, err);

    arena_release(&a);
    return ok;
}

bool jobs_change(struct store *s, const struct lease *l, const struct job_change *c,
                 const struct job_event *events, size_t n_events, struct error *err)
{
    struct changing ch = {.l = l, .c = c, .events = events, .n = n_events};

    return db_write(store_db(s), change_job, &ch, err);
}

/* ---- workers ---- */

#define FORGET_SECONDS 86400

static bool see_worker(struct db *db, void *ctx, struct error *err)
{
    const struct worker_row *w = *(const struct worker_row *const *)ctx;
    int64_t now;

    if (!rows_now(db, &now, err))
        return false;

    const struct db_value params[] = {db_text(w->name),
                                      db_text(w->machine),
                                      db_text(w->version),
                                      db_text(w->job_id),
                                      db_int(w->started_at != 0 ? w->started_at : now),
                                      db_int(now),
                                      db_int(w->memory_bytes)};

    return db_run(db,
                  "INSERT INTO workers (name, machine, version, job_id, started_at, seen_at, "
                  "memory_bytes, ended_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0) "
                  "ON CONFLICT (name) DO UPDATE SET machine = excluded.machine, "
                  "version = excluded.version, job_id = excluded.job_id, ended_at = 0, "
                  "seen_at = excluded.seen_at, memory_bytes = excluded.memory_bytes",
                  params, COUNT_OF(params), NULL, NULL, NULL, err);
}

bool workers_seen(struct store *s, const struct worker_row *w, struct error *err)
{
    return db_write(store_db(s), see_worker, &w, err);
}

static bool sweep_workers(struct db *db, void *ctx, struct error *err)
{
    int64_t now = *(const int64_t *)ctx;

    if (now == 0 && !rows_now(db, &now, err))
        return false;

    const struct db_value old = db_int(now - FORGET_SECONDS);

    return db_run(db, "DELETE FROM workers WHERE seen_at < ?1", &old, 1, NULL, NULL, NULL, err);
}

bool workers_sweep(struct store *s, int64_t now, struct error *err)
{
    return db_write(store_db(s), sweep_workers, &now, err);
}

static void worker_fill(const struct db_row *row, struct arena *a, void *item)
{
    *(struct worker_row *)item = (struct worker_row){.name = db_row_text(row, 0, a),
                                                     .machine = db_row_text(row, 1, a),
                                                     .version = db_row_text(row, 2, a),
                                                     .job_id = db_row_text(row, 3, a),
                                                     .started_at = db_row_int(row, 4),
                                                     .seen_at = db_row_int(row, 5),
                                                     .memory_bytes = db_row_int(row, 6)};
}

struct worker_reading {
    struct arena *a;
    struct rows rows;
};

static bool read_workers(struct db *db, void *ctx, struct error *err)
{
    struct worker_reading *r = ctx;
    int64_t now;

    if (!rows_now(db, &now, err))
        return false;

    const struct db_value since = db_int(now - WORKER_SILENT_SECONDS);

    return rows_all(db,
                    "SELECT name, machine, version, job_id, started_at, seen_at, memory_bytes "
                    "FROM workers WHERE ended_at = 0 AND seen_at >= ?1 ORDER BY started_at, name",
                    &since, 1, (struct row_kind){worker_fill, sizeof(struct worker_row)}, SIZE_MAX,
                    r->a, &r->rows, err);
}

bool workers_list(struct store *s, struct arena *a, struct worker_row **out, size_t *n,
                  struct error *err)
{
    struct worker_reading r = {.a = a};

    if (!db_read(store_db(s), read_workers, &r, err))
        return false;
    *out = r.rows.items;
    *n = r.rows.n;
    return true;
}

struct most_reading {
    const char *machine;
    int64_t machine_bytes, out;
};

static bool read_most(struct db *db, void *ctx, struct error *err)
{
    struct most_reading *r = ctx;
    int64_t now;

    return rows_now(db, &now, err) &&
           most_bytes(db, r->machine, r->machine_bytes, now, &r->out, err);
}

bool workers_most_bytes(struct store *s, const char *machine, int64_t machine_bytes, int64_t *out,
                        struct error *err)
{
    struct most_reading r = {.machine = machine, .machine_bytes = machine_bytes};

    if (!db_read(store_db(s), read_most, &r, err))
        return false;
    *out = r.out;
    return true;
}

static bool read_left(struct db *db, void *ctx, struct error *err)
{
    struct most_reading *r = ctx;
    int64_t now, in_use;

    if (!rows_now(db, &now, err) || !memory_in_use(db, r->machine, now, &in_use, err))
        return false;
    r->out = r->machine_bytes > in_use ? r->machine_bytes - in_use : 0;
    return true;
}

bool workers_bytes_left(struct store *s, const char *machine, int64_t machine_bytes, int64_t *out,
                        struct error *err)
{
    struct most_reading r = {.machine = machine, .machine_bytes = machine_bytes};

    if (!db_read(store_db(s), read_left, &r, err))
        return false;
    *out = r.out;
    return true;
}
