/*
 * replay.c - two folders side by side: equal bytes are passed over, different lines are taken apart.
 */
#include "job/replay.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/size.h"
#include "base/utf8.h"
#include "job/run_read.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* What was found first stands. Always false. */
static bool differs(struct replay *r, size_t step, const char *what, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
static bool differs(struct replay *r, size_t step, const char *what, const char *fmt, ...)
{
    va_list ap;

    if (r->end == REPLAY_DIFFERS)
        return false;
    va_start(ap, fmt);
    vsnprintf(r->text, sizeof r->text, fmt, ap);
    va_end(ap);
    r->end = REPLAY_DIFFERS;
    r->step = step;
    r->what = what;
    return false;
}

static bool same_json(const json_t *a, const json_t *b)
{
    return a == b ||
           (a != NULL && b != NULL && json_equal((json_t *)(uintptr_t)a, (json_t *)(uintptr_t)b));
}

struct shown {
    char text[160];
};

static struct shown shown(const json_t *v)
{
    struct shown out;
    struct buf b;

    buf_init(&b, LIMIT_JSON_BYTES);
    if (v == NULL)
        buf_text(&b, "nothing");
    else
        json_write(&b, v, NULL);
    const struct str all = buf_view(&b), cut = utf8_cut(all, 120);
    snprintf(out.text, sizeof out.text, STR_FMT "%s", STR_ARG(cut), cut.len < all.len ? "..." : "");
    buf_release(&b);
    return out;
}

/* ---- one line of rollouts/ ---- */

/* Which file and which answer, for messages. */
struct answer_place {
    struct replay *r;
    size_t step;
    bool valid;
    const char *file; /* "rollouts/step-3.jsonl" */
    const json_t *was, *is;
};

static struct shown answer_name(const struct answer_place *p)
{
    struct shown out;

    snprintf(out.text, sizeof out.text,
             "item %" JSON_INTEGER_FORMAT ", sample %" JSON_INTEGER_FORMAT " of %s",
             json_integer_value(json_object_get(p->was, "item")),
             json_integer_value(json_object_get(p->was, "sample")), p->file);
    return out;
}

static bool same_place(const struct answer_place *p)
{
    static const char *const keys[] = {"step", "item", "sample", "samples"};

    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (!same_json(json_object_get(p->was, keys[i]), json_object_get(p->is, keys[i])))
            return differs(p->r, p->step, "answer",
                           "another answer stands in the place of %s: its \"%s\" was %s, and is %s",
                           answer_name(p).text, keys[i],
                           shown(json_object_get(p->was, keys[i])).text,
                           shown(json_object_get(p->is, keys[i])).text);
    return true;
}

/* What came from the data and the template: where these are others, the rest follows. */
static bool same_row(const struct answer_place *p)
{
    static const char *const keys[] = {"prompt", "reference"};

    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        const json_t *was = json_object_get(p->was, keys[i]), *is = json_object_get(p->is, keys[i]);

        if (!same_json(was, is))
            return differs(p->r, p->step, "row", "%s has another \"%s\": it was %s, and is %s",
                           answer_name(p).text, keys[i], shown(was).text, shown(is).text);
    }
    return true;
}

/* The text of a token where it was written down. */
static struct shown token_text(const json_t *line, size_t at)
{
    const json_t *pieces = json_object_get(line, "pieces");
    const json_t *id = json_array_get(json_object_get(line, "tokens"), at);
    struct shown out = shown(id);

    if (id == NULL)
        snprintf(out.text, sizeof out.text, "no token");
    else if (json_array_get(pieces, at) != NULL)
        snprintf(out.text, sizeof out.text, "%s (%.100s)", shown(id).text,
                 shown(json_array_get(pieces, at)).text);
    return out;
}

/* The first place where two lists differ; their length where they do not. */
static size_t first_difference(const json_t *a, const json_t *b, bool *differ)
{
    const size_t n = size_max(json_array_size(a), json_array_size(b));
    size_t i = 0;

    while (i < n && same_json(json_array_get(a, i), json_array_get(b, i)))
        i++;
    *differ = i < n;
    return i;
}

static bool same_tokens(const struct answer_place *p)
{
    const json_t *was = json_object_get(p->was, "tokens"), *is = json_object_get(p->is, "tokens");
    bool differ;
    const size_t at = first_difference(was, is, &differ);

    if (!differ)
        return true;
    return differs(p->r, p->step, "tokens",
                   "another token in %s: token %zu of %zu was %s, and is %s", answer_name(p).text,
                   at + 1, json_array_size(was), token_text(p->was, at).text,
                   token_text(p->is, at).text);
}

static bool same_logprobs(const struct answer_place *p)
{
    const json_t *was = json_object_get(p->was, "logprobs"),
                 *is = json_object_get(p->is, "logprobs");
    bool differ;
    const size_t at = first_difference(was, is, &differ);

    return !differ ||
           differs(p->r, p->step, "logprobs",
                   "another log-probability in %s: of token %zu (%s) it was %s, and is %s",
                   answer_name(p).text, at + 1, token_text(p->was, at).text,
                   shown(json_array_get(was, at)).text, shown(json_array_get(is, at)).text);
}

static bool same_text(const struct answer_place *p)
{
    static const char *const keys[] = {"truncated", "thinking", "answer", "tool_calls"};

    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        const json_t *was = json_object_get(p->was, keys[i]), *is = json_object_get(p->is, keys[i]);

        if (!same_json(was, is))
            return differs(p->r, p->step, "text", "%s has another \"%s\": it was %s, and is %s",
                           answer_name(p).text, keys[i], shown(was).text, shown(is).text);
    }
    return true;
}

#define NOT_AGAIN                                                                                  \
    "a grader that draws lots, looks at the clock or asks others may not say the same again: "     \
    "--recorded-grades checks everything else"

static bool same_scores(const struct answer_place *p, const char *key)
{
    const json_t *was = json_object_get(p->was, key), *is = json_object_get(p->is, key);
    const json_t *answer = json_object_get(p->was, "answer");
    const char *name;
    json_t *score;

    json_object_foreach((json_t *)(uintptr_t)is, name, score)
    {
        const json_t *before = json_object_get(was, name);

        if (!same_json(before, score))
            return differs(p->r, p->step, "grades",
                           "the grader \"%.64s\" scored %s otherwise: it gave %s, and now gives "
                           "%s, for the answer %s; " NOT_AGAIN,
                           name, answer_name(p).text, shown(before).text, shown(score).text,
                           shown(answer).text);
    }
    return true;
}

static bool same_grade(const struct answer_place *p)
{
    static const char *const keys[] = {"scores", "shadow_scores", "errors", "reward"};

    if (!same_scores(p, "scores") || !same_scores(p, "shadow_scores"))
        return false;
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        const json_t *was = json_object_get(p->was, keys[i]), *is = json_object_get(p->is, keys[i]);

        if (!same_json(was, is))
            return differs(p->r, p->step, "grades",
                           "%s was graded otherwise: its \"%s\" was %s, and is %s, for the answer "
                           "%s; " NOT_AGAIN,
                           answer_name(p).text, keys[i], shown(was).text, shown(is).text,
                           shown(json_object_get(p->was, "answer")).text);
    }
    return true;
}

static bool same_advantage(const struct answer_place *p)
{
    static const char *const keys[] = {"advantage", "trained"};

    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        const json_t *was = json_object_get(p->was, keys[i]), *is = json_object_get(p->is, keys[i]);

        if (!same_json(was, is))
            return differs(p->r, p->step, "advantages", "%s: its \"%s\" was %s, and is %s",
                           answer_name(p).text, keys[i], shown(was).text, shown(is).text);
    }
    return true;
}

/* ---- the answers of a step ---- */

/* The next line of a file from *at on; false at its end. */
static bool next_line(const struct file_map *m, size_t *at, struct str *out)
{
    const char *from = (const char *)m->ptr + *at;
    const char *end = *at < m->len ? memchr(from, '\n', m->len - *at) : NULL;

    if (end == NULL)
        return false;
    *out = (struct str){from, (size_t)(end - from)};
    *at += out->len + 1;
    return true;
}

static bool parse_line(struct str text, json_t **out)
{
    struct error ignored;

    return !json_has_more(text, LIMIT_JSON_VALUES) && json_parse(text, "a line", out, &ignored) &&
           json_is_object(*out);
}

typedef bool line_check_fn(const struct answer_place *p);

static bool compare_line(struct answer_place *p, struct str was, struct str is, size_t n,
                         line_check_fn *const *checks, size_t n_checks)
{
    json_t *a = NULL, *b = NULL;
    bool same = true;

    if (str_eq(was, is))
        return true;
    if (!parse_line(was, &a))
        same = differs(p->r, p->step, "answer", "line %zu of %s is no answer", n, p->file);
    else if (parse_line(is, &b)) {
        p->was = a;
        p->is = b;
        for (size_t i = 0; same && i < n_checks; i++)
            same = checks[i](p);
    }
    json_decref(a);
    json_decref(b);
    return same;
}

static bool compare_lines(struct answer_place *p, const struct file_map *was,
                          const struct file_map *is, line_check_fn *const *checks, size_t n_checks)
{
    size_t at_was = 0, at_is = 0, n = 0;

    for (;;) {
        struct str a, b;
        const bool more_was = next_line(was, &at_was, &a), more_is = next_line(is, &at_is, &b);

        if (more_was != more_is)
            return differs(p->r, p->step, "answer",
                           "%s %s after line %zu, where what was done again %s", p->file,
                           more_was ? "goes on" : "ends", n, more_was ? "ends" : "goes on");
        if (!more_was)
            return true;
        if (!compare_line(p, a, b, ++n, checks, n_checks))
            return false;
    }
}

/* Hashes of the step in both certificates: of "train" or "valid", or NULL. */
static const json_t *hashes_was(const struct replay *r, size_t step, bool valid)
{
    const json_t *line = r->opt.certified != NULL ? certified_step(r->opt.certified, step) : NULL;

    return json_object_get(line, valid ? "valid" : "train");
}

static const char *const hash_of[][2] = {{"tokens", "answers"},
                                         {"answer", "answers"},
                                         {"logprobs", "logprobs"},
                                         {"grades", "grades"},
                                         {"advantages", "advantages"}};

/* Whether the run's certificate has what was done again, and so the file had it once. */
static bool certificate_agrees(const struct replay *r, const json_t *was, const json_t *is)
{
    const char *key = NULL;

    for (size_t i = 0; i < COUNT_OF(hash_of); i++)
        if (strcmp(hash_of[i][0], r->what) == 0)
            key = hash_of[i][1];
    if (was == NULL || is == NULL)
        return false;
    return key != NULL ? same_json(json_object_get(was, key), json_object_get(is, key))
                       : same_json(was, is); /* a text: it follows from all the rest */
}

/* Those of the parts from first on, n of them. */
static bool compare_hashes(struct replay *r, size_t step, const char *file, const json_t *was,
                           const json_t *is, size_t first, size_t n)
{
    static const char *const keys[] = {"answers", "logprobs", "grades", "advantages"};

    for (size_t i = first; was != NULL && is != NULL && i < first + n; i++) {
        if (same_json(json_object_get(was, keys[i]), json_object_get(is, keys[i])))
            continue;
        if (r->opt.known_grades && strcmp(keys[i], "grades") == 0)
            return differs(r, step, keys[i],
                           "the grades in %s are not those that the run's certificate was made of",
                           file);
        return differs(r, step, i == 0 ? "tokens" : keys[i],
                       "the run's certificate has another hash of the %s of step %zu (%s) than "
                       "what was done again has",
                       keys[i], step, file);
    }
    return true;
}

/* Opened where it is there. */
static bool open_answers(const char *dir, const char *file, struct file_map *m, bool *there,
                         struct error *err)
{
    struct arena a = {0};
    const char *path = file_join(&a, dir, file);

    *there = file_exists(path);
    const bool ok = !*there || file_map_open(path, m, err);
    arena_release(&a);
    return ok;
}

static bool compare_files(struct answer_place *p, line_check_fn *const *checks, size_t n_checks,
                          struct error *err)
{
    struct file_map was = {0}, is = {0};
    bool has_was = false, has_is = false;
    bool ok = open_answers(p->r->opt.was, p->file, &was, &has_was, err) &&
              open_answers(run_folder_dir(p->r->opt.now), p->file, &is, &has_is, err);

    if (ok && has_was && !has_is)
        (void)differs(p->r, p->step, "answer", "there is no %s any more: the run had answers there",
                      p->file);
    else if (ok && has_was && (was.len != is.len || memcmp(was.ptr, is.ptr, was.len) != 0))
        (void)compare_lines(p, &was, &is, checks, n_checks);
    file_map_close(&was);
    file_map_close(&is);
    return ok;
}

/*
 * What was drawn and graded first, then what follows from all of it. now: the line of the step in the new certificate, or NULL.
 */
static bool compare_answers(struct replay *r, size_t step, bool valid, const json_t *now,
                            struct error *err)
{
    static line_check_fn *const drawn[] = {same_place,    same_row,  same_tokens,
                                           same_logprobs, same_text, same_grade};
    static line_check_fn *const weighed[] = {same_advantage};
    const json_t *was = hashes_was(r, step, valid);
    const json_t *is = json_object_get(now, valid ? "valid" : "train");
    char file[64];
    struct answer_place p = {.r = r, .step = step, .valid = valid, .file = file};

    snprintf(file, sizeof file, "rollouts/%s-%zu.jsonl", valid ? "valid" : "step", step);
    if (r->end != REPLAY_DIFFERS && r->opt.certified != NULL &&
        certified_step(r->opt.certified, step) != NULL && now != NULL &&
        (was == NULL) != (is == NULL)) {
        (void)differs(r, step, "answer", "%s: by its certificate the run had %s there", file,
                      was == NULL ? "no answers" : "answers");
        return true;
    }
    for (int round = 0; r->end != REPLAY_DIFFERS && round < 2; round++) {
        if (!compare_files(&p, round == 0 ? drawn : weighed,
                           round == 0 ? COUNT_OF(drawn) : COUNT_OF(weighed), err))
            return false;
        if (r->end == REPLAY_DIFFERS)
            r->record_changed = certificate_agrees(r, was, is);
        else
            (void)compare_hashes(r, step, file, was, is, round == 0 ? 0 : 3, round == 0 ? 3 : 1);
    }
    return true;
}

/* ---- metrics and adapter ---- */

struct row_search {
    size_t step;
    struct arena *arena;
    struct str header, row; /* {NULL, 0}: not found */
};

static bool find_row(void *ctx, struct str line, size_t offset)
{
    struct row_search *s = ctx;

    if (offset == 0)
        s->header = arena_str(s->arena, line);
    else if (line.len > 0 && line.len < LIMIT_LINE_BYTES &&
             strtod(line.ptr, NULL) == (double)s->step) /* NOLINT: whole numbers */
        s->row = arena_str(s->arena, line);
    return s->row.ptr == NULL;
}

static bool read_row(const char *dir, size_t step, struct arena *a, struct row_search *out,
                     struct error *err)
{
    const char *path = file_join(a, dir, "metrics.csv");

    *out = (struct row_search){.step = step, .arena = a};
    return !file_exists(path) || lines_each(path, find_row, out, err);
}

/* The cell of a column, or NULL where there is no such column. */
static const char *cell_of(const struct row_search *s, const char *column, struct arena *a)
{
    struct str name, cell;
    size_t at = 0, from = 0;

    while (run_csv_next(s->header, &at, a, &name) && run_csv_next(s->row, &from, a, &cell))
        if (str_is(name, column))
            return arena_text(a, cell);
    return NULL;
}

/* Whether it can be the same: with recorded grades nobody counts a grader's errors, and the likeliest answers are not graded. */
static bool is_compared(const struct replay *r, const char *column)
{
    return metrics_repeats(column) &&
           (!r->opt.known_grades || (strncmp(column, "errors/", 7) != 0 &&
                                     strcmp(column, "full_valid_greedy_reward") != 0));
}

static void compare_rows(struct replay *r, size_t step, const struct row_search *was,
                         const struct row_search *is, struct arena *a)
{
    struct str name, cell;
    size_t at = 0, from = 0;

    while (run_csv_next(is->header, &at, a, &name) && run_csv_next(is->row, &from, a, &cell)) {
        const char *column = arena_text(a, name), *before = cell_of(was, column, a);

        if (before == NULL || !is_compared(r, column) || str_is(cell, before))
            continue;
        (void)differs(r, step, "metrics", "metrics.csv: %.100s was %.80s, and is " STR_FMT, column,
                      before[0] != '\0' ? before : "empty", STR_ARG(utf8_cut(cell, 80)));
        return;
    }
}

static bool compare_metrics(struct replay *r, size_t step, const json_t *line, const json_t *now,
                            struct error *err)
{
    const json_t *hash = json_object_get(line, "metrics"), *own = json_object_get(now, "metrics");
    struct row_search was, is;
    struct arena a = {0};
    bool ok = true;

    if (r->end == REPLAY_DIFFERS)
        return true;
    ok = read_row(r->opt.was, step, &a, &was, err) &&
         read_row(run_folder_dir(r->opt.now), step, &a, &is, err);
    if (ok && was.header.ptr != NULL && was.row.ptr == NULL)
        (void)differs(r, step, "metrics", "metrics.csv has no row of step %zu", step);
    else if (ok && was.row.ptr != NULL)
        compare_rows(r, step, &was, &is, &a);
    if (r->end == REPLAY_DIFFERS)
        r->record_changed = hash != NULL && same_json(hash, own);
    else if (ok && hash != NULL && own != NULL && !r->opt.known_grades &&
             (was.header.ptr == NULL || str_eq(was.header, is.header)) && !same_json(hash, own))
        (void)differs(r, step, "metrics",
                      "the run's certificate has another hash of the metrics of step %zu than what "
                      "was done again has",
                      step);
    arena_release(&a);
    return ok;
}

/* "adapter_sha256" of the steps' events, by step: of folders without a certificate. */
static bool take_adapter(void *ctx, const json_t *event)
{
    const json_t *data = json_object_get(event, "data");
    json_t *sum = json_object_get(data, "adapter_sha256");
    char step[32];

    snprintf(step, sizeof step, "%" JSON_INTEGER_FORMAT,
             json_integer_value(json_object_get(data, "step")));
    return !json_is_string(sum) || json_object_set(ctx, step, sum) == 0;
}

static bool find_adapter(struct replay *r, size_t step, const json_t **out, struct error *err)
{
    char key[32];
    size_t n_bad = 0;

    if (r->adapters == NULL) {
        r->adapters = json_object();
        if (!run_read_events(r->opt.was, take_adapter, r->adapters, &n_bad, err))
            return false;
    }
    snprintf(key, sizeof key, "%zu", step);
    *out = json_object_get(r->adapters, key);
    return true;
}

static bool compare_adapter(struct replay *r, size_t step, const json_t *line, const char *sha256,
                            struct error *err)
{
    const json_t *was = json_object_get(line, "adapter");

    if (r->end == REPLAY_DIFFERS)
        return true;
    if (!json_is_string(was) && !find_adapter(r, step, &was, err))
        return false;
    if (json_is_string(was) && !str_is(json_str(was), sha256))
        (void)differs(r, step, "adapter",
                      "the update made other values: the adapter's SHA-256 was %.64s, and is %s",
                      json_string_value(was), sha256);
    return true;
}

/* ---- what the loop tells ---- */

static bool stop(struct replay *r, struct error *err)
{
    if (r->end == REPLAY_GOES_ON)
        r->end = REPLAY_SAME;
    return fail(err, ERR_CANCELLED, "the replay has ended at step %zu", r->step);
}

/* A checkpoint of it was kept in the run; it will be written again right after the step. */
static bool has_checkpoint(const struct replay *r, size_t step)
{
    char path[PATH_MAX];

    return (size_t)snprintf(path, sizeof path, "%s/checkpoints/step-%zu", r->opt.was, step) <
               sizeof path &&
           file_is_dir(path);
}

static bool compare_step(struct replay *r, size_t step, const char *sha256, struct error *err)
{
    const json_t *line = r->opt.certified != NULL ? certified_step(r->opt.certified, step) : NULL;
    const json_t *now = run_folder_certificate(r->opt.now)->newest;

    if (step > r->opt.last)
        return stop(r, err);
    if (!compare_answers(r, step, false, now, err) ||
        !compare_adapter(r, step, line, sha256, err) || !compare_answers(r, step, true, now, err) ||
        !compare_metrics(r, step, line, now, err))
        return false;
    if (r->end == REPLAY_DIFFERS)
        return stop(r, err);
    r->step = step;
    snprintf(r->adapter_sha256, sizeof r->adapter_sha256, "%s", sha256);
    if (r->opt.same != NULL)
        r->opt.same(r->opt.ctx, step);
    if (step < r->opt.last)
        return true;
    r->waits = has_checkpoint(r, step);
    return r->waits || stop(r, err);
}

static bool on_step(void *ctx, const struct step_metrics *m, struct error *err)
{
    return compare_step(ctx, m->step, m->adapter_sha256, err);
}

static bool on_fit_step(void *ctx, const struct fit_metrics *m, struct error *err)
{
    return compare_step(ctx, m->step, m->adapter_sha256, err);
}

/* The validation before the first step is told of when its answers are followed by those of the first. */
static bool on_rollout(void *ctx, const struct rollout *told, struct error *err)
{
    struct replay *r = ctx;
    const json_t *now = run_folder_certificate(r->opt.now)->newest;

    if (r->waits)
        return stop(r, err);
    if (told->step != 1 || told->sample != 0 || r->end != REPLAY_GOES_ON || now == NULL)
        return true;
    if (json_integer_value(json_object_get(now, "step")) != 0)
        return true;
    return compare_answers(r, 0, true, now, err) && (r->end == REPLAY_GOES_ON || stop(r, err));
}

static bool on_settled(void *ctx, const json_t *values, struct error *err)
{
    struct replay *r = ctx;
    json_t *file = NULL, *value;
    const json_t *was = r->opt.certified != NULL ? r->opt.certified->settled : NULL;
    const char *key;

    if (was == NULL) {
        if (!run_read_job(r->opt.was, &file, err))
            return false;
        was = json_object_get(file, "resolved");
    }
    json_object_foreach((json_t *)(uintptr_t)values, key, value)
    {
        const json_t *before = json_object_get(was, key);

        if (before != NULL && strcmp(key, "memory_bytes") != 0 && !same_json(before, value))
            (void)differs(r, 0, "setting",
                          "what the job leaves open was settled otherwise: %.64s was %s, and is %s",
                          key, shown(before).text, shown(value).text);
    }
    json_decref(file);
    return r->end == REPLAY_GOES_ON || stop(r, err);
}

static bool same_bytes(const char *was, const char *is, bool *same, struct error *err)
{
    struct file_map a = {0}, b = {0};
    const bool ok = file_map_open(was, &a, err) && file_map_open(is, &b, err);

    *same = ok && a.len == b.len && memcmp(a.ptr, b.ptr, a.len) == 0;
    file_map_close(&a);
    file_map_close(&b);
    return ok;
}

/* What is used in the end is the file: it must hold what the step made. */
static bool on_checkpoint(void *ctx, const struct checkpoint_info *c, struct error *err)
{
    static const char *const names[] = {"adapter_model.safetensors", "model.safetensors"};
    struct replay *r = ctx;
    struct arena a = {0};
    bool ok = true;

    for (size_t i = 0; ok && r->end == REPLAY_GOES_ON && i < COUNT_OF(names); i++) {
        const char *file = arena_printf(&a, "checkpoints/step-%zu/%s", c->step, names[i]);
        const char *was = file_join(&a, r->opt.was, file), *is = file_join(&a, c->dir, names[i]);
        bool same = true;

        if (!file_exists(was) || !file_exists(is))
            continue;
        ok = same_bytes(was, is, &same, err);
        if (ok && !same) {
            (void)differs(r, c->step, "checkpoint", "%s is not what step %zu made", file, c->step);
            r->record_changed = r->opt.certified != NULL;
        }
    }
    arena_release(&a);
    return ok && ((r->end == REPLAY_GOES_ON && !r->waits) || stop(r, err));
}

void replay_release(struct replay *r)
{
    json_decref(r->adapters);
    r->adapters = NULL;
}

struct progress_sink replay_sink(struct replay *r)
{
    return (struct progress_sink){.ctx = r,
                                  .rollout = on_rollout,
                                  .step = on_step,
                                  .fit_step = on_fit_step,
                                  .checkpoint = on_checkpoint,
                                  .settled = on_settled};
}
