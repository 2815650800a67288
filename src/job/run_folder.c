/*
 * run_folder.c - the files of a run, written line by line and cut back line by line.
 */
#include "job/run_folder.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/sha256.h"
#include "base/size.h"
#include "base/utf8.h"
#include "job/line_file.h"
#include "job/metrics.h"
#include "job/rollout_line.h"
#include "job/run_read.h"
#include "store/store.h"
#include "train/checkpoint.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

struct run_folder {
    struct arena arena; /* as long as the folder is open */
    char *dir;
    char id[40];
    int lock_fd;
    json_t *job_file; /* job.json */
    const char *fine_tuned_model;
    enum train_method method;
    struct metrics_graders graders;
    struct rollout_tokens tokens;
    struct run_listener listener;
    json_t *origin; /* or NULL */
    struct certificate certificate;

    struct line_file events, metrics, train, valid; /* the last two: of step now */
    size_t now;                                     /* the newest step that was told of */
    size_t unsynced;            /* the first step whose answers may not be on the disk yet */
    struct metrics_tally tally; /* of step now */
    struct buf line;
};

static char *path_of(struct run_folder *f, const char *name)
{
    return file_join(&f->arena, f->dir, name);
}

/* ---- job.json ---- */

static bool write_json(const char *path, const json_t *value, struct error *err)
{
    static const struct json_format readable = {.style = JSON_STYLE_COMPACT, .indent = 2};
    struct buf b;

    buf_init(&b, LIMIT_JSON_BYTES);
    json_write(&b, value, &readable);
    buf_char(&b, '\n');
    const bool ok = buf_ok(&b, path, err) && file_put(path, buf_view(&b), err);
    buf_release(&b);
    return ok;
}

static bool fail_differs(const struct run_folder *f, const struct json_difference *d,
                         struct error *err)
{
    return fail_param(
        err, ERR_INVALID, d->path,
        "%s was started with \"%s\" %s, and now it is %s: a run goes on only as it was started",
        f->dir, d->path, json_show(d->was).text, json_show(d->is).text);
}

static json_t *json_of_graders(const struct metrics_graders *g)
{
    json_t *list = json_array();

    for (size_t i = 0; i < g->n; i++) {
        json_t *e = json_pack("{s:s?,s:s?}", "name", g->name[i], "type", g->type[i]);

        if (g->shadow != NULL && g->shadow[i])
            json_object_set_new(e, "shadow", json_true());
        json_array_append_new(list, e);
    }
    return list;
}

static bool job_start(struct run_folder *f, const struct run_folder_options *opt, const char *path,
                      struct error *err)
{
    json_t *file = json_object();

    snprintf(f->id, sizeof f->id, "%s",
             opt->id != NULL ? opt->id : store_new_id("ftjob-", &f->arena));
    json_object_set_new(file, "id", json_string(f->id));
    json_object_set_new(file, "created_at", json_integer(clock_unix()));
    json_object_set_new(file, "version", json_string(HONE_VERSION));
    json_object_set_new(file, "job", opt->job != NULL ? json_deep_copy(opt->job) : json_object());
    json_object_set_new(file, "resolved",
                        opt->resolved != NULL ? json_deep_copy(opt->resolved) : json_object());
    json_object_set_new(file, "graders", json_of_graders(&f->graders));
    f->job_file = file;
    return write_json(path, file, err);
}

static bool job_resume(struct run_folder *f, const struct run_folder_options *opt, const char *path,
                       struct error *err)
{
    struct json_difference d;

    if (!json_read_file(path, &f->job_file, err))
        return fail_while(err, "resuming %s", f->dir);
    const json_t *id = json_object_get(f->job_file, "id");
    json_t *was = json_object_get(f->job_file, "job");
    if (!json_is_string(id) || json_string_length(id) >= sizeof f->id || !json_is_object(was))
        return fail(err, ERR_CORRUPT, "%s is no job file of a run: \"id\" or \"job\" is missing",
                    path);
    snprintf(f->id, sizeof f->id, "%s", json_string_value(id));
    return opt->job == NULL || !json_difference(was, opt->job, &d) || fail_differs(f, &d, err);
}

static bool sink_settled(void *ctx, const json_t *values, struct error *err)
{
    struct run_folder *f = ctx;
    json_t *resolved = json_object_get(f->job_file, "resolved");

    if (!json_is_object(resolved)) {
        resolved = json_object();
        json_object_set_new(f->job_file, "resolved", resolved);
    }
    json_object_update(resolved, (json_t *)(uintptr_t)values);
    return certificate_settled(&f->certificate, values, err) &&
           (f->listener.settled == NULL || f->listener.settled(f->listener.ctx, resolved, err)) &&
           write_json(path_of(f, "job.json"), f->job_file, err);
}

/* ---- opening ---- */

static bool lock_folder(struct run_folder *f, struct error *err)
{
    f->lock_fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->lock_fd < 0)
        return fail_errno(err, "cannot open the folder %s", f->dir);
    if (flock(f->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return fail(err, ERR_TIMEOUT,
                    "another process is writing the run in %s: choose another folder", f->dir);
    return true;
}

bool run_folder_is_written(const char *dir)
{
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool is = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;

    if (fd >= 0)
        close(fd);
    return is;
}

static bool make_folders(struct run_folder *f, struct error *err)
{
    static const char *const names[] = {"rollouts", "evals", "checkpoints"};

    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (!file_make_dirs(path_of(f, names[i]), err))
            return false;
    return true;
}

static bool start_afresh(struct run_folder *f, struct error *err)
{
    static const char *const names[] = {"events.jsonl", "metrics.csv",      "rollouts",
                                        "evals",        "checkpoints.json", CERTIFICATE_FILE};

    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (!file_remove_tree(path_of(f, names[i]), err))
            return false;
    return make_folders(f, err);
}

/* The header of metrics.csv: written into an empty file, compared with that of another. */
static bool open_metrics(struct run_folder *f, struct error *err)
{
    const struct step_metrics nothing = {0};
    const struct fit_metrics none = {0};
    json_t *tree = f->method == METHOD_REINFORCEMENT
                       ? metrics_tree(&nothing, &f->tally, &f->graders)
                       : metrics_fit_tree(&none, f->method);
    struct arena a = {0};
    struct str text;
    bool ok = line_file_open(&f->metrics, path_of(f, "metrics.csv"), false, err);

    buf_clear(&f->line);
    metrics_csv_header(&f->line, tree);
    json_decref(tree);
    if (ok && f->metrics.len == 0)
        return line_file_put(&f->metrics, buf_view(&f->line), err);
    ok = ok && file_read(f->metrics.path, LIMIT_DATA_BYTES, &a, &text, err);
    if (ok && !str_starts(text, buf_view(&f->line)))
        ok = fail(err, ERR_CORRUPT,
                  "%s has other columns than this version of hone and this grader write",
                  f->metrics.path);
    arena_release(&a);
    return ok;
}

static bool begin_certificate(struct run_folder *f, struct error *err)
{
    return f->origin == NULL ||
           certificate_begin(&f->certificate, path_of(f, CERTIFICATE_FILE), f->origin, err);
}

static bool open_files(struct run_folder *f, const struct run_folder_options *opt,
                       struct error *err)
{
    const char *job = path_of(f, "job.json");
    bool has_checkpoint = false;

    if (!opt->resume)
        return (file_exists(job) ? fail(err, ERR_INVALID,
                                        "%s holds a run already: go on with it by --resume, or "
                                        "choose another folder",
                                        f->dir)
                                 : true) &&
               make_folders(f, err) && job_start(f, opt, job, err) && begin_certificate(f, err);
    if (!job_resume(f, opt, job, err) || !run_has_checkpoint(f->dir, &has_checkpoint, err))
        return false;
    return has_checkpoint ? make_folders(f, err) : start_afresh(f, err);
}

static bool is_among(const char *const *names, size_t n, const char *name)
{
    while (n > 0)
        if (strcmp(names[--n], name) == 0)
            return true;
    return false;
}

/* Copies of the names; of equal ones the later get a number, for they are keys of objects and columns. */
static void copy_graders(struct run_folder *f, const struct run_folder_options *opt)
{
    const char **names = ARENA_ARRAY(&f->arena, const char *, opt->n_graders);
    const char **types = ARENA_ARRAY(&f->arena, const char *, opt->n_graders);
    const char **models = ARENA_ARRAY(&f->arena, const char *, opt->n_graders);
    bool *shadow = ARENA_ARRAY(&f->arena, bool, opt->n_graders);

    for (size_t i = 0; i < opt->n_graders; i++) {
        size_t n = 1;

        names[i] = arena_text(&f->arena, str_of(opt->grader_names[i]));
        types[i] = arena_text(&f->arena, str_of(opt->grader_types[i]));
        if (opt->grader_models != NULL && opt->grader_models[i] != NULL)
            models[i] = arena_text(&f->arena, str_of(opt->grader_models[i]));
        shadow[i] = opt->grader_shadows != NULL && opt->grader_shadows[i];
        while (is_among(names, i, names[i]))
            names[i] = arena_printf(&f->arena, "%s (%zu)", opt->grader_names[i], ++n);
    }
    f->graders = (struct metrics_graders){
        .n = opt->n_graders, .name = names, .type = types, .model = models, .shadow = shadow};
    names = ARENA_ARRAY(&f->arena, const char *, opt->n_tools);
    for (size_t i = 0; i < opt->n_tools; i++)
        names[i] = arena_text(&f->arena, str_of(opt->tool_names[i]));
    f->graders.n_tools = opt->n_tools;
    f->graders.tool = names;
}

bool run_folder_open(const char *dir, const struct run_folder_options *opt, struct run_folder **out,
                     struct error *err)
{
    assert(opt->method != METHOD_REINFORCEMENT ||
           (opt->n_graders >= 1 && opt->n_graders <= GRADE_MAX_PARTS));
    struct run_folder *f = calloc(1, sizeof *f);
    if (f == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory to open the run in %s", dir);
    f->lock_fd = -1;
    f->dir = arena_text(&f->arena, str_of(dir));
    f->tokens = opt->tokens;
    f->listener = opt->listener;
    f->method = opt->method;
    f->origin = json_incref((json_t *)(uintptr_t)opt->origin);
    if (opt->fine_tuned_model != NULL)
        f->fine_tuned_model = arena_text(&f->arena, str_of(opt->fine_tuned_model));
    buf_init(&f->line, LIMIT_LINE_BYTES);
    copy_graders(f, opt);
    if (!(opt->resume || file_make_dirs(dir, err)) || !lock_folder(f, err) ||
        !open_files(f, opt, err) ||
        !line_file_open(&f->events, path_of(f, "events.jsonl"), false, err) ||
        !open_metrics(f, err)) {
        run_folder_close(f);
        return false;
    }
    *out = f;
    return true;
}

static void close_rollouts(struct run_folder *f)
{
    line_file_close(&f->train);
    line_file_close(&f->valid);
}

void run_folder_close(struct run_folder *f)
{
    if (f == NULL)
        return;
    close_rollouts(f);
    line_file_close(&f->events);
    line_file_close(&f->metrics);
    certificate_close(&f->certificate);
    json_decref(f->origin);
    json_decref(f->job_file);
    buf_release(&f->line);
    if (f->lock_fd >= 0)
        close(f->lock_fd);
    arena_release(&f->arena);
    free(f);
}

bool run_folder_end(struct run_folder *f, struct error *err)
{
    return certificate_end(&f->certificate, err);
}

const struct certificate *run_folder_certificate(const struct run_folder *f)
{
    return &f->certificate;
}

const char *run_folder_dir(const struct run_folder *f)
{
    return f->dir;
}

const char *run_folder_id(const struct run_folder *f)
{
    return f->id;
}

const json_t *run_folder_job(const struct run_folder *f)
{
    return json_object_get(f->job_file, "job");
}

/* ---- events ---- */

static bool put_line(struct run_folder *f, struct line_file *to, struct error *err)
{
    return buf_ok(&f->line, to->path, err) && line_file_put(to, buf_view(&f->line), err);
}

/* Valid UTF-8 of any bytes, as a JSON string. */
static json_t *json_of_bytes(struct str bytes)
{
    json_t *value = json_stringn(bytes.ptr, bytes.len), *parsed = NULL;
    struct error ignored;
    struct buf b;

    if (value != NULL)
        return value;
    buf_init(&b, LIMIT_LINE_BYTES);
    json_write_string(&b, bytes, false);
    (void)!json_parse(buf_view(&b), "a message", &parsed, &ignored);
    buf_release(&b);
    return parsed != NULL ? parsed : json_string("");
}

/* An id that the same thing has whenever it is told: made of the job's and what names it there. */
static const char *id_of(struct run_folder *f, const char *prefix, const char *key, struct arena *a)
{
    return store_id_of(prefix, str_of(arena_printf(a, "%s %s", f->id, key)), a);
}

#define MESSAGE_BYTES ((size_t)64 << 10) /* more is no sentence: the rest is left out */

static json_t *json_of_message(struct str message)
{
    struct arena a = {0};

    if (message.len > MESSAGE_BYTES) {
        const struct str begin = utf8_cut(message, MESSAGE_BYTES);

        message = str_of(
            arena_printf(&a, STR_FMT " ... (it has %zu bytes)", STR_ARG(begin), message.len));
    }
    json_t *value = json_of_bytes(message);
    arena_release(&a);
    return value;
}

/* The event as a line. Data that makes it longer than a line may be is left out but for the step: a part of it would be no JSON. */
static void write_event(struct run_folder *f, json_t *event)
{
    buf_clear(&f->line);
    json_write(&f->line, event, NULL);
    buf_char(&f->line, '\n');
    if (!f->line.overflowed)
        return;
    json_object_set_new(event, "message",
                        json_sprintf("%s (its data is left out: it has more than %zu bytes)",
                                     json_string_value(json_object_get(event, "message")),
                                     LIMIT_LINE_BYTES));
    json_object_set_new(
        event, "data",
        json_pack("{s:O*}", "step", json_object_get(json_object_get(event, "data"), "step")));
    buf_clear(&f->line);
    json_write(&f->line, event, NULL);
    buf_char(&f->line, '\n');
}

/* data is the event's own; message of any bytes; key: see struct run_listener */
static bool put_event(struct run_folder *f, const char *level, const char *type, const char *key,
                      struct str message, const json_t *data, struct error *err)
{
    struct arena a = {0};
    json_t *event =
        json_pack("{s:s, s:s, s:I, s:s, s:s, s:o, s:O}", "object", "fine_tuning.job.event", "id",
                  id_of(f, "ftevent-", key, &a), "created_at", (json_int_t)clock_unix(), "level",
                  level, "type", type, "message", json_of_message(message), "data", data);
    write_event(f, event);
    bool ok = f->listener.event == NULL || f->listener.event(f->listener.ctx, event, key, err);
    ok = ok && put_line(f, &f->events, err);
    json_decref(event);
    arena_release(&a);
    return ok;
}

/* A step is explained before its answers are told: "Step 7: ..." belongs to step 7. */
static size_t step_of(const struct run_folder *f, const char *message)
{
    size_t step;

    return sscanf(message, "Step %zu:", &step) == 1 && step == f->now + 1 ? step : f->now;
}

static bool sink_event(void *ctx, enum event_level level, const char *message, struct error *err)
{
    static const char *const levels[] = {
        [EVENT_INFO] = "info", [EVENT_WARN] = "warn", [EVENT_ERROR] = "error"};
    struct run_folder *f = ctx;
    const size_t step = step_of(f, message);
    const struct sha256_text sum = sha256_of(message, strlen(message));
    json_t *data = json_pack("{s:I}", "step", (json_int_t)step);
    char key[96];

    /* the same words of the same step are the same event */
    snprintf(key, sizeof key, "message %zu %.40s", step, sum.hex);
    const bool ok = put_event(f, levels[level], "message", key, str_of(message), data, err);
    json_decref(data);
    return ok;
}

/* ---- rollouts ---- */

static void rollouts_path(const struct run_folder *f, size_t step, bool valid, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s/rollouts/%s-%zu.jsonl", f->dir, valid ? "valid" : "step", step);
}

static bool sink_rollout(void *ctx, const struct rollout *r, struct error *err)
{
    struct run_folder *f = ctx;
    struct line_file *to = r->valid ? &f->valid : &f->train;

    if (r->step != f->now) {
        close_rollouts(f);
        f->tally = (struct metrics_tally){0};
        f->now = r->step;
    }
    if (!line_file_is_open(to)) {
        char path[PATH_MAX];

        /* afresh: a step that is told of is told of whole */
        rollouts_path(f, r->step, r->valid, path);
        if (!line_file_open(to, path, true, err))
            return false;
    }
    metrics_tally_put(&f->tally, &f->graders, r);
    if (r->n_alike > 0 && r->alike[0] != r->sample)
        return true; /* it stands on the first one's line */
    rollout_line(&f->line, r, &f->graders, &f->tokens);
    return put_line(f, to, err) && certificate_rollout(&f->certificate, r, &f->graders, err);
}

/* ---- steps ---- */

/* What was measured of a step, in the words of its method. */
struct step_told {
    size_t step, total_steps;
    double seconds_left;
    const char *adapter_sha256;
};

/* The line of metrics.csv in f->line becomes part of the step's certificate. */
static bool certify_step(struct run_folder *f, const struct step_told *m, const json_t *tree,
                         struct error *err)
{
    struct str row = buf_view(&f->line);
    struct buf header;

    buf_init(&header, LIMIT_LINE_BYTES);
    metrics_csv_header(&header, tree);
    const struct sha256_text sum =
        metrics_hash((struct str){header.ptr, header.len - 1}, (struct str){row.ptr, row.len - 1});
    buf_release(&header);
    return certificate_step(&f->certificate, m->step, &sum, m->adapter_sha256, err);
}

static bool put_step(struct run_folder *f, const struct step_told *m, const json_t *tree,
                     const json_t *data, struct str message, struct error *err)
{
    const struct run_listener *l = &f->listener;
    char key[40];

    snprintf(key, sizeof key, "metrics %zu", m->step);
    if (l->progress != NULL && !l->progress(l->ctx, m->step, m->total_steps, m->seconds_left, err))
        return false;
    buf_clear(&f->line);
    metrics_csv_row(&f->line, tree);
    return put_line(f, &f->metrics, err) && certify_step(f, m, tree, err) &&
           put_event(f, "info", "metrics", key, message, data, err);
}

static bool sink_step(void *ctx, const struct step_metrics *m, struct error *err)
{
    struct run_folder *f = ctx;
    struct buf message;

    if (m->step != f->now) { /* a step without answers */
        close_rollouts(f);
        f->tally = (struct metrics_tally){0};
        f->now = m->step;
    }
    json_t *tree = metrics_tree(m, &f->tally, &f->graders), *data = metrics_event_data(tree);
    buf_init(&message, 4096);
    metrics_message(&message, tree);
    const struct step_told told = {.step = m->step,
                                   .total_steps = m->total_steps,
                                   .seconds_left = m->seconds_left,
                                   .adapter_sha256 = m->adapter_sha256};
    const bool ok = put_step(f, &told, tree, data, buf_view(&message), err);
    buf_release(&message);
    json_decref(tree);
    json_decref(data);
    return ok;
}

static bool sink_fit_step(void *ctx, const struct fit_metrics *m, struct error *err)
{
    struct run_folder *f = ctx;
    json_t *tree = metrics_fit_tree(m, f->method), *data = metrics_fit_data(m, tree);
    struct buf message;

    f->now = m->step;
    buf_init(&message, 4096);
    metrics_fit_message(&message, data);
    const struct step_told told = {.step = m->step,
                                   .total_steps = m->total_steps,
                                   .seconds_left = m->seconds_left,
                                   .adapter_sha256 = m->adapter_sha256};
    const bool ok = put_step(f, &told, tree, data, buf_view(&message), err);
    buf_release(&message);
    json_decref(tree);
    json_decref(data);
    return ok;
}

/* ---- checkpoints ---- */

/* The list in checkpoints.json up to a step, the caller's. */
static json_t *checkpoints_until(struct run_folder *f, double last_step)
{
    json_t *list = NULL, *kept = json_array(), *value;
    struct error ignored;
    size_t i;

    if (json_read_file(path_of(f, "checkpoints.json"), &list, &ignored) && json_is_array(list)) {
        json_array_foreach(list, i,
                           value) if (json_number_value(json_object_get(value, "step_number")) <=
                                      last_step) json_array_append(kept, value);
    }
    json_decref(list);
    return kept;
}

static json_t *reward_metrics(size_t step, double reward)
{
    json_t *metrics = json_object();

    json_object_set_new(metrics, "step", json_integer((json_int_t)step));
    if (isfinite(reward))
        json_object_set_new(metrics, "full_valid_mean_reward", json_real(reward));
    return metrics;
}

#define CREATED "Checkpoint created at step "
#define SAVED "The run is saved at step " /* and may be gone later: nobody is told a name for it */

/* metrics is given up. */
static bool note_checkpoint(struct run_folder *f, size_t step, bool stays, json_t *metrics,
                            struct error *err)
{
    char key[40], dir[40], message[256], model[200] = "";
    json_t *list = checkpoints_until(f, (double)step - 0.5);
    struct arena a = {0};

    snprintf(key, sizeof key, "checkpoint %zu", step);
    snprintf(dir, sizeof dir, "step-%zu", step);
    if (f->fine_tuned_model != NULL)
        snprintf(model, sizeof model, "%s:", f->fine_tuned_model);
    snprintf(message, sizeof message, "%sckpt-step-%zu", model, step);
    json_t *c =
        json_pack("{s:s,s:s,s:I,s:s,s:s,s:o,s:I}", "object", "fine_tuning.job.checkpoint", "id",
                  id_of(f, "ftckpt_", key, &a), "created_at", (json_int_t)clock_unix(),
                  "fine_tuned_model_checkpoint", message, "fine_tuning_job_id", f->id, "metrics",
                  metrics, "step_number", (json_int_t)step);
    bool ok = !stays || f->listener.checkpoint == NULL ||
              f->listener.checkpoint(f->listener.ctx, c, dir, err);
    json_array_append_new(list, c);
    ok = ok && write_json(path_of(f, "checkpoints.json"), list, err);
    json_decref(list);
    arena_release(&a);
    if (stays)
        snprintf(message, sizeof message, CREATED "%zu with Snapshot ID: %sckpt-step-%zu", step,
                 model, step);
    else
        snprintf(message, sizeof message, SAVED "%zu, to go on from there", step);
    return ok && sink_event(f, EVENT_INFO, message, err) && line_file_sync(&f->events, err);
}

/* found: as it was where there are no such answers, which is no failure. */
static bool sync_answers(const struct run_folder *f, size_t step, bool valid, char path[PATH_MAX],
                         bool *found, struct error *err)
{
    rollouts_path(f, step, valid, path);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT || fail_errno(err, "cannot open %s", path);
    const bool ok = fdatasync(fd) == 0 || fail_errno(err, "cannot write %s", path);
    close(fd);
    *found = true;
    return ok;
}

/* A kill takes nothing from the system's memory; a power cut may. */
static bool sink_before_checkpoint(void *ctx, size_t step, struct error *err)
{
    struct run_folder *f = ctx;
    char path[PATH_MAX];
    bool found = false, ok = true;

    for (size_t i = f->unsynced; ok && i <= step; i++)
        ok = sync_answers(f, i, false, path, &found, err) &&
             sync_answers(f, i, true, path, &found, err);
    ok = ok && (!found || file_sync_name(path, err)) && line_file_sync(&f->metrics, err) &&
         line_file_sync(&f->certificate.file, err) && line_file_sync(&f->events, err);
    if (ok)
        f->unsynced = step + 1;
    return ok;
}

static bool sink_checkpoint(void *ctx, const struct checkpoint_info *c, struct error *err)
{
    struct run_folder *f = ctx;

    if (c->fit == NULL)
        return note_checkpoint(f, c->step, c->stays, reward_metrics(c->step, c->valid_mean_reward),
                               err);
    json_t *tree = metrics_fit_tree(c->fit, f->method), *metrics = metrics_fit_checkpoint(tree);
    json_decref(tree);
    return note_checkpoint(f, c->step, c->stays, metrics, err);
}

/* ---- going back ---- */

struct cut {
    size_t step;
    size_t at; /* where the first line of a later step starts */
    bool found, checkpoint_told, is_fit;
    double reward;   /* the validation's at step, NaN where there was none */
    json_t *metrics; /* of supervised and dpo: the step's, or NULL */
};

/* Right behind the event of the checkpoint, or at the first event of a later step. */
static bool cut_event(void *ctx, struct str line, size_t offset)
{
    struct cut *c = ctx;
    json_t *event = NULL;
    struct error ignored;

    if (c->checkpoint_told) {
        c->at = offset;
        c->found = true;
        return false;
    }
    if (!json_parse(line, "an event", &event, &ignored))
        return true;
    const json_t *data = json_object_get(event, "data");
    const double step = json_number_value(json_object_get(data, "step"));
    const struct str message = json_str(json_object_get(event, "message"));
    if (step > (double)c->step) {
        c->at = offset;
        c->found = true;
    } else if (step == (double)c->step) { /* NOLINT: whole numbers */
        const json_t *reward = json_object_get(data, "full_valid_mean_reward");

        c->checkpoint_told = str_starts(message, STR(CREATED)) || str_starts(message, STR(SAVED));
        c->reward = json_is_number(reward) ? json_number_value(reward) : c->reward;
        if (c->is_fit && json_object_get(data, "train_loss") != NULL) {
            json_decref(c->metrics);
            c->metrics = metrics_fit_checkpoint(data);
        }
    }
    json_decref(event);
    return !c->found;
}

static bool cut_row(void *ctx, struct str line, size_t offset)
{
    struct cut *c = ctx;

    /* the step is the first cell; the header's first cell counts as no number */
    if (offset > 0 && line.len > 0 && line.ptr[0] >= '0' && line.ptr[0] <= '9' &&
        strtod(line.ptr, NULL) > (double)c->step) {
        c->at = offset;
        c->found = true;
    }
    return !c->found;
}

static bool cut_file(struct line_file *f, line_fn *fn, struct cut *c, struct error *err)
{
    c->found = false;
    return lines_each(f->path, fn, c, err) && (!c->found || line_file_cut(f, c->at, err));
}

static bool remove_rollouts_after(struct run_folder *f, size_t step, struct error *err)
{
    const char *folder = path_of(f, "rollouts");
    DIR *dir = opendir(folder);
    bool ok = true;

    if (dir == NULL)
        return fail_errno(err, "cannot read the folder %s", folder);
    for (struct dirent *e; ok && (e = readdir(dir)) != NULL;) {
        size_t of = 0;
        bool valid;

        if (run_rollouts_name(e->d_name, &of, &valid) && of > step)
            ok = file_remove_tree(file_join(&f->arena, folder, e->d_name), err);
    }
    closedir(dir);
    return ok;
}

/*
 * What stands is told again: a listener may know less of the run than its folder does. Its rows are those of a backup, say, which
 * are older than the folders in it. Checkpoints come where they came, behind the metrics of their steps.
 */
struct retelling {
    struct run_folder *f;
    const json_t *checkpoints;
    bool ok;
    struct error *err;
};

static bool tell_checkpoint_again(const struct retelling *r, json_int_t step)
{
    const struct run_listener *l = &r->f->listener;
    char dir[40], path[PATH_MAX];
    json_t *value;
    size_t i;

    snprintf(dir, sizeof dir, "step-%lld", (long long)step);
    snprintf(path, sizeof path, "%s/checkpoints/%s", r->f->dir, dir);
    json_array_foreach((json_t *)(uintptr_t)r->checkpoints, i, value)
    {
        if (json_integer_value(json_object_get(value, "step_number")) == step &&
            file_is_dir(path) && checkpoint_stays(r->f->dir, (size_t)step) && l->checkpoint != NULL)
            return l->checkpoint(l->ctx, value, dir, r->err);
    }
    return true;
}

static bool tell_line_again(void *ctx, struct str line, size_t offset)
{
    struct retelling *r = ctx;
    const struct run_listener *l = &r->f->listener;
    struct error ignored;
    json_t *event = NULL;

    (void)offset;
    if (!json_parse(line, "an event", &event, &ignored))
        return true;
    const json_t *step = json_object_get(json_object_get(event, "data"), "step");
    r->ok = l->event(l->ctx, event, NULL, r->err);
    if (r->ok && str_is(json_str(json_object_get(event, "type")), "metrics"))
        r->ok = tell_checkpoint_again(r, json_integer_value(step));
    json_decref(event);
    return r->ok;
}

static bool tell_again(struct run_folder *f, const json_t *checkpoints, struct error *err)
{
    struct retelling r = {.f = f, .checkpoints = checkpoints, .ok = true, .err = err};

    return f->listener.event == NULL ||
           (lines_each(f->events.path, tell_line_again, &r, err) && r.ok);
}

/* The certificate first: what is another run's, or was changed, is not gone on with. */
static bool rewind_certificate(struct run_folder *f, size_t step, char gap[256], struct error *err)
{
    gap[0] = '\0';
    certificate_close(&f->certificate);
    if (step == 0)
        return begin_certificate(f, err);
    return f->origin == NULL ||
           certificate_resume(&f->certificate, path_of(f, CERTIFICATE_FILE), f->origin, step, gap,
                              err) ||
           fail_while(err, "going on with %s", f->dir);
}

static bool tell_gap(struct run_folder *f, const char *gap, struct error *err)
{
    struct arena a = {0};
    const bool ok =
        gap[0] == '\0' ||
        sink_event(f, EVENT_WARN,
                   arena_printf(&a, "The run's certificate is not carried on: %s.", gap), err);

    arena_release(&a);
    return ok;
}

static bool sink_rewind(void *ctx, size_t step, struct error *err)
{
    struct run_folder *f = ctx;
    struct cut c = {
        .step = step, .reward = (double)NAN, .is_fit = f->method != METHOD_REINFORCEMENT};

    char gap[256];

    if (!rewind_certificate(f, step, gap, err))
        return false;
    close_rollouts(f);
    f->tally = (struct metrics_tally){0};
    f->now = f->unsynced = step;
    if (!cut_file(&f->events, cut_event, &c, err) || !cut_file(&f->metrics, cut_row, &c, err) ||
        !remove_rollouts_after(f, step, err)) {
        json_decref(c.metrics);
        return fail_while(err, "going back to step %zu", step);
    }
    json_t *kept = checkpoints_until(f, (double)step);
    bool ok = write_json(path_of(f, "checkpoints.json"), kept, err) && tell_again(f, kept, err);
    json_decref(kept);
    /* killed between saving the checkpoint that we go back to and telling of it */
    if (ok && step > 0 && !c.checkpoint_told)
        ok = note_checkpoint(
            f, step, checkpoint_stays(f->dir, step),
            c.metrics != NULL ? json_incref(c.metrics) : reward_metrics(step, c.reward), err);
    json_decref(c.metrics);
    return ok && tell_gap(f, gap, err);
}

struct progress_sink run_folder_sink(struct run_folder *f)
{
    return (struct progress_sink){.ctx = f,
                                  .event = sink_event,
                                  .rollout = sink_rollout,
                                  .step = sink_step,
                                  .fit_step = sink_fit_step,
                                  .before_checkpoint = sink_before_checkpoint,
                                  .checkpoint = sink_checkpoint,
                                  .rewind = sink_rewind,
                                  .settled = sink_settled};
}

/* ---- evaluations ---- */

bool run_folder_put_eval(const char *dir, const char *name, const json_t *result, struct error *err)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    struct arena a = {0};

    if (name[0] == '\0' || name[0] == '.' || name[strspn(name, allowed)] != '\0' ||
        strlen(name) > 100)
        return fail(err, ERR_INVALID,
                    "\"%.100s\" is no name for an evaluation: letters, digits, '-', '_' and '.'",
                    name);
    const bool ok = file_make_dirs(file_join(&a, dir, "evals"), err) &&
                    write_json(arena_printf(&a, "%s/evals/%s.json", dir, name), result, err);
    arena_release(&a);
    return ok;
}
