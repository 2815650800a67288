/*
 * cmd_grade.c - a grader, run on answers that are there already: the bench on which graders are made.
 */
#include "base/clock.h"
#include "base/parallel.h"
#include "base/size.h"
#include "cli/commands.h"
#include "cli/grade_files.h"
#include "cli/grade_view.h"
#include "cli/grade_watch.h"
#include "cli/lines.h"
#include "cli/output.h"
#include "cli/served_grader.h"
#include "cli/session.h"
#include "grade/grade_queue.h"
#include "server/api_error.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CHUNK ((size_t)4096)  /* results at a time: each takes kilobytes */
#define LISTEN ((size_t)1024) /* answers whose prints are heard in any case */
#define LOOK_SECONDS 0.2      /* of waiting, before it is said how far it is */
#define VIEW_BYTES ((size_t)1 << 30)

/* ---- JSON lines ---- */

/* {"item": {...}, "sample": {"output_text": "..."}}, or as in the API {"item": {...}, "model_sample": "..."} */
static bool answer(void *ctx, const struct input_line *in, struct arena *a, json_t **out,
                   struct error *err)
{
    struct grader *g = ctx;
    const json_t *item = json_object_get(in->value, "item");
    json_t *nothing = NULL;
    struct grade_sample sample;
    struct grade_result r;

    (void)a;
    if (item != NULL && !json_is_null(item) && !json_is_object(item))
        return fail_param(err, ERR_INVALID, "item", "%s: \"item\" is %s, an object was expected",
                          in->what, json_kind(item));
    if (!grade_sample_read(in->value, in->what, &sample, err))
        return false;
    if (!json_is_object(item))
        item = nothing = json_object();
    grader_run(g, item, &sample, &r);
    *out = grade_response(g, &r);
    json_decref(nothing);
    return true;
}

/* ---- files ---- */

struct bench {
    struct cli *c;
    const char *path, *data, *answers; /* of the grader, of its rows (or NULL), of the answers */
    size_t n_repeats;
    bool lines; /* --json without --summary: a line an answer */
    struct served_grader served;
    struct grader *grader; /* its; NULL: not open */
    struct grade_past past;
};

struct grading {
    struct grade_files files;
    struct grade_notes notes;
    struct arena arena; /* of the summary */
    struct grade_summary summary;
    double seconds;
    struct grade_result *results; /* [CHUNK at most] of the chunk in work */
    size_t print_bytes;           /* room for what one call prints; 0: nothing here does */
    char *printed;                /* [CHUNK at most, print_bytes] */
};

static void grading_release(struct grading *x)
{
    free(x->results);
    free(x->printed);
    arena_release(&x->arena);
    grade_notes_release(&x->notes);
    grade_files_release(&x->files);
}

static char *printed_by(const struct grading *x, size_t at)
{
    return x->print_bytes > 0 ? x->printed + at * x->print_bytes : NULL;
}

/* Room for results, and for what is printed where a part can. */
static bool take_room(const struct bench *b, struct grading *x, size_t chunk, struct error *err)
{
    for (size_t p = 0; !b->lines && p < grader_count(b->grader); p++)
        if (strcmp(grader_type(b->grader, p), "python") == 0)
            x->print_bytes += GRADE_PRINTED_BYTES;
    x->results = calloc(chunk + 1, sizeof *x->results);
    x->printed = malloc(chunk * x->print_bytes + 1);
    return (x->results != NULL && x->printed != NULL) ||
           fail(err, ERR_NO_MEMORY, "no memory for %zu answers", chunk);
}

/* How far it is while the last of some answers are waited for. */
struct progress {
    struct meter meter;
    size_t put, total; /* gradings */
};

static void on_waiting(void *ctx, const struct grade_wait *w)
{
    struct progress *p = ctx;

    meter_show(&p->meter, p->put - w->n_open, p->total, "");
}

/*
 * Whether what answer i's grading prints is heard: that costs a Python call a tenth of its time, and a grader that has
 * said nothing in the first LISTEN answers is taken to be silent.
 */
static bool listens(const struct bench *b, const struct grading *x, size_t i)
{
    return i < LISTEN || x->notes.n_printed > 0 || option_on(b->c->options, OPT_PRINTS);
}

/* Grades answers first to end - 1. Where it was stopped, some may still be under way. */
static bool grade_chunk(const struct bench *b, struct grading *x, struct grade_queue *q,
                        size_t first, size_t end, struct progress *p, struct error *err)
{
    const struct grade_waiter waiter = {.ctx = p,
                                        .waiting = on_waiting,
                                        .first_s = LOOK_SECONDS,
                                        .steady = true,
                                        .stop = b->c->stop};
    bool ok = true;

    for (size_t i = first; ok && i < end; i++) {
        struct grade_sample sample = x->files.samples[i];

        if (x->print_bytes > 0)
            printed_by(x, i - first)[0] = '\0';
        if (x->print_bytes > 0 && listens(b, x, i)) {
            sample.printed = printed_by(x, i - first);
            sample.printed_size = x->print_bytes;
        }
        grade_queue_put(q, x->files.rows[x->files.answers[i].row], &sample, &x->results[i - first]);
        p->put++;
        if (atomic_load(b->c->stop))
            ok = fail(err, ERR_CANCELLED, "stopped on request after %zu answers", p->put);
    }
    if (ok && !grade_queue_wait(q, &waiter))
        ok = fail(err, ERR_CANCELLED, "stopped on request while answers were being graded");
    return ok;
}

static bool note_chunk(const struct bench *b, struct grading *x, size_t first, size_t end, size_t k,
                       struct error *err)
{
    bool ok = true;

    for (size_t i = first; ok && i < end; i++) {
        const struct grade_result *r = &x->results[i - first];

        grade_notes_add(&x->notes, i, k, r, printed_by(x, i - first));
        if (b->lines)
            ok = out_json_new(grade_response(b->grader, r), err);
    }
    return ok;
}

static bool grade_all(const struct bench *b, struct grading *x, struct error *err)
{
    const double start = clock_seconds();
    const size_t n = x->files.n;
    struct progress p = {.meter = meter_start("answers"), .total = n * b->n_repeats};
    struct grade_queue *q = NULL;
    bool ok = take_room(b, x, size_min(n, CHUNK), err) && grade_queue_open(b->grader, 0, &q, err);

    for (size_t first = 0, end; ok && first < n; first = end) {
        end = size_min(n, first == 0 ? LISTEN : first + CHUNK);

        for (size_t k = 0; ok && k < b->n_repeats; k++)
            ok = grade_chunk(b, x, q, first, end, &p, err) && note_chunk(b, x, first, end, k, err);
    }
    grade_queue_close(q);
    meter_end(&p.meter);
    x->seconds = clock_seconds() - start;
    return ok;
}

/* ---- telling ---- */

static bool is_terminal(void)
{
    const char *term = getenv("TERM");

    return isatty(STDOUT_FILENO) == 1 && term != NULL && strcmp(term, "dumb") != 0;
}

static int columns(void)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return 80;
    return size.ws_col < 80 ? 80 : size.ws_col > 160 ? 160 : size.ws_col;
}

static bool tell(const struct bench *b, const struct grading *x, struct error *err)
{
    const char *no_color = getenv("NO_COLOR");
    const struct grade_view view = {
        .data = b->data,
        .answers = b->answers,
        .seconds = x->seconds,
        .list_all = option_on(b->c->options, OPT_ALL),
        .prints_all = option_on(b->c->options, OPT_PRINTS),
        .color = is_terminal() && (no_color == NULL || no_color[0] == '\0'),
        .columns = columns(),
        .past = &b->past,
    };
    struct buf text;

    buf_init(&text, VIEW_BYTES);
    grade_view_render(&text, &view, &x->summary, &x->notes);
    const bool ok = buf_ok(&text, "what is to be shown", err) && out_str(buf_view(&text), err) &&
                    out_flush(err);
    buf_release(&text);
    return ok;
}

/* Every grading is a call: what is asked again is to be answered again, and a call's time is its own. */
static bool open_grader(struct bench *b, struct error *err)
{
    if (b->grader != NULL)
        return true;
    if (!served_grader_option(b->c, false, &b->served, err))
        return false;
    b->grader = b->served.grader;
    grader_drop_cache(b->grader);
    return true;
}

/* Reads, grades and tells. */
static bool grade_once(struct bench *b, struct error *err)
{
    const size_t keep_prints = option_on(b->c->options, OPT_PRINTS) ? SIZE_MAX : GRADE_SHOWN;
    struct grading x = {0};
    bool ok = open_grader(b, err) &&
              grade_files_read(b->data, b->answers, b->grader, &x.files, err) &&
              grade_notes_init(&x.notes, b->grader, x.files.answers, x.files.n, x.files.n_rows,
                               b->n_repeats, keep_prints, err) &&
              grade_all(b, &x, err);

    if (ok && !b->lines)
        ok = grade_summarize(&x.notes, &x.arena, &x.summary, err) &&
             (b->c->json ? out_json_new(grade_summary_json(&x.summary, &x.notes, x.seconds), err)
                         : tell(b, &x, err));
    if (ok && !b->lines)
        grade_past_keep(&b->past, &x.summary, &x.notes);
    grading_release(&x);
    return ok;
}

/* ---- watching ---- */

/* A run that failed is told and no reason to end: the file is being edited. */
static bool tell_failure(const struct bench *b, const struct error *what, struct error *err)
{
    fflush(stdout);
    if (b->c->json)
        return out_json_new(api_error_body(what), err);
    fprintf(stderr, "hone: %s\n", what->message);
    return true;
}

static bool tell_waiting(const struct bench *b, const struct watch *w, struct error *err)
{
    bool ok = b->c->json || out_printf(err, "\nWatching");

    for (size_t i = 0; ok && !b->c->json && i < w->n; i++)
        ok = out_printf(err, "%s %s", i > 0 ? "," : "", w->path[i]);
    return ok && (b->c->json || out_printf(err, "; Ctrl-C ends\n")) && out_flush(err);
}

static bool begin_anew(const struct bench *b, const struct watch *w, struct error *err)
{
    bool ok = true;

    if (b->c->json)
        return true;
    if (is_terminal())
        return out_printf(err, "\x1b[H\x1b[2J");
    for (size_t i = 0; ok && i < w->n; i++)
        if (w->is_changed[i])
            ok = out_printf(err, "\n---- %s has changed ----\n", w->path[i]);
    return ok;
}

static bool watch(struct bench *b, struct error *err)
{
    struct watch w = {.n = 2, .path = {b->path, b->answers, b->data}};
    bool ok = true;

    w.n += b->data != NULL;
    watch_look(&w);
    if (!b->c->json && is_terminal())
        ok = out_printf(err, "\x1b[H\x1b[2J");
    while (ok) {
        struct error failed = {0};
        const bool graded = grade_once(b, &failed);

        if (!graded && atomic_load(b->c->stop))
            break;
        ok = (graded || tell_failure(b, &failed, err)) && tell_waiting(b, &w, err);
        if (!ok || !watch_wait(&w, b->c->stop))
            break;
        if (w.is_changed[0]) {
            served_grader_close(&b->served);
            b->grader = NULL;
        }
        ok = begin_anew(b, &w, err);
    }
    return ok;
}

/* ---- the command ---- */

/* What makes no sense together. */
static bool check_options(struct bench *b, struct error *err)
{
    const struct options *o = b->c->options;
    static const enum option_id with_files[] = {OPT_REPEAT, OPT_WATCH, OPT_SUMMARY, OPT_ALL,
                                                OPT_PRINTS};

    if (!need_option(b->c, OPT_GRADER, &b->path, err))
        return false;
    for (size_t i = 0; i < COUNT_OF(with_files) && b->answers == NULL; i++)
        if (option_given(o, with_files[i]))
            return misuse(b->c, err, "--%s needs --answers F", option_row(with_files[i])->name);
    if (option_on(o, OPT_SUMMARY) && !b->c->json)
        return misuse(b->c, err,
                      "--summary goes with --json; without it a summary is what is told");
    if (b->lines && option_on(o, OPT_WATCH))
        return misuse(b->c, err, "--watch with --json needs --summary: one document a run");
    if (b->lines && b->n_repeats > 1)
        return misuse(b->c, err, "--repeat with --json needs --summary");
    return true;
}

static bool run(struct cli *c, struct error *err)
{
    struct bench b = {.c = c,
                      .data = option_text(c->options, OPT_DATA),
                      .answers = option_text(c->options, OPT_ANSWERS),
                      .n_repeats = (size_t)option_int(c->options, OPT_REPEAT)};
    const bool files = b.data != NULL || b.answers != NULL || !c->json;
    bool ok;

    b.lines = c->json && !option_on(c->options, OPT_SUMMARY);
    parallel_set_threads((int)option_int(c->options, OPT_THREADS));
    ok = check_options(&b, err);
    if (ok && !files)
        ok = served_grader_option(c, false, &b.served, err) &&
             lines_answer(c, answer, b.served.grader, err);
    else if (ok)
        ok = need_option(c, OPT_ANSWERS, &b.answers, err) &&
             (option_on(c->options, OPT_WATCH) ? watch(&b, err) : grade_once(&b, err));
    grade_past_release(&b.past);
    served_grader_close(&b.served);
    return ok;
}

static const enum option_id ids[] = {
    GRADER_OPTIONS, OPT_DATA,  OPT_ANSWERS, OPT_IN,   OPT_ALL,     OPT_PRINTS,
    OPT_REPEAT,     OPT_WATCH, OPT_SUMMARY, OPT_HOME, OPT_THREADS,
};

const struct command cmd_grade = {
    .set =
        {.command = "grade",
         .args = "",
         .summary = "run a grader on given answers, and see what it is worth",
         .details = "Tells how the rewards spread, what failed and why, what is slow, and whether "
                    "training could learn from them. Answers belong to the rows of the data in "
                    "order, unless they name their row or carry it: {\"item\": {...}, \"answer\": "
                    "\"...\"} needs no --data. A line of a run's rollouts/ counts as often as it "
                    "was given. An answer that cannot be graded is no failure: it gets reward 0, "
                    "and flags say why. With --json every answer becomes the body of graders/run's "
                    "response; without --answers, lines {\"item\": {...}, \"sample\": "
                    "{\"output_text\": \"...\"}} are read from standard input.",
         .examples =
             "  hone grade --grader grader.json --data test.jsonl --answers answers.jsonl --watch\n"
             "  hone grade --grader grader.json --data train.jsonl --answers "
             "runs/demo/rollouts/step-3.jsonl\n"
             "  echo '{\"item\": {\"answer\": \"eye\"}, \"sample\": {\"output_text\": \"eye\"}}' | \\\n        "
             "hone grade --grader grader.json --json\n",
         .ids = ids,
         .n_ids = COUNT_OF(ids)},
    .run = run,
};
