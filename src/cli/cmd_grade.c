/*
 * cmd_grade.c - a grader, run on answers that are there already.
 */
#include "base/limits.h"
#include "base/parallel.h"
#include "base/size.h"
#include "cli/commands.h"
#include "cli/lines.h"
#include "cli/output.h"
#include "cli/session.h"
#include "grade/grade_queue.h"
#include "job/rollout_line.h"
#include "text/dataset.h"

/* What the grader is given of a text: JSON, too, where it is JSON, as graders/run does. */
static json_t *json_of_text(struct str text)
{
    return json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
}

/* ---- JSON lines ---- */

/* {"item": {...}, "sample": {"output_text": "..."}}, or as in the API {"item": {...}, "model_sample": "..."} */
static bool read_sample(const struct input_line *in, struct grade_sample *out, json_t **parsed,
                        struct error *err)
{
    const json_t *sample = json_object_get(in->value, "sample");
    const json_t *text = json_object_get(in->value, "model_sample");

    if (sample == NULL && text == NULL)
        return fail_param(err, ERR_INVALID, "sample",
                          "%s: \"sample\" is missing, an object with \"output_text\"", in->what);
    if (sample != NULL && !json_is_object(sample))
        return fail_param(err, ERR_INVALID, "sample",
                          "%s: \"sample\" is %s, an object was expected", in->what,
                          json_kind(sample));
    if (sample != NULL)
        text = json_object_get(sample, "output_text");
    if (text != NULL && !json_is_string(text) && !json_is_null(text))
        return fail_param(err, ERR_INVALID, "sample.output_text",
                          "%s: \"output_text\" is %s, a text was expected", in->what,
                          json_kind(text));
    *out = (struct grade_sample){.output_text = json_str(text),
                                 .output_json = json_object_get(sample, "output_json"),
                                 .output_tools = json_object_get(sample, "output_tools")};
    if (out->output_tools != NULL && !json_is_array(out->output_tools))
        out->output_tools = NULL;
    if (out->output_json == NULL || json_is_null(out->output_json))
        out->output_json = *parsed = json_of_text(out->output_text);
    return true;
}

static bool answer(void *ctx, const struct input_line *in, struct arena *a, json_t **out,
                   struct error *err)
{
    struct grader *g = ctx;
    const json_t *item = json_object_get(in->value, "item");
    json_t *parsed = NULL, *nothing = NULL;
    struct grade_sample sample;
    struct grade_result r;

    (void)a;
    if (item != NULL && !json_is_null(item) && !json_is_object(item))
        return fail_param(err, ERR_INVALID, "item", "%s: \"item\" is %s, an object was expected",
                          in->what, json_kind(item));
    if (!read_sample(in, &sample, &parsed, err))
        return false;
    if (!json_is_object(item))
        item = nothing = json_object();
    grader_run(g, item, &sample, &r);
    *out = grade_response(g, &r);
    json_decref(parsed);
    json_decref(nothing);
    return true;
}

/* ---- files ---- */

struct given { /* an answer */
    size_t n;  /* how many samples gave it */
    json_t *value, *parsed;
    struct grade_sample sample;
    size_t row;
    struct grade_result result;
};

struct files {
    struct grader *grader;
    struct arena *arena;
    json_t **rows;
    struct given *given;
    size_t n_rows, n_given, cap;
};

static void *grown(struct arena *a, void *old, size_t n, size_t size, size_t *cap)
{
    void *p;

    if (n < *cap)
        return old;
    *cap = size_max(256, 2 * n);
    p = arena_alloc(a, *cap * size);
    if (n > 0)
        memcpy(p, old, n * size);
    return p;
}

static bool take_row(void *ctx, json_t *value, const char *what, struct error *err)
{
    struct files *f = ctx;

    if (!grader_check_item(f->grader, value, what, err))
        return false;
    f->rows = grown(f->arena, f->rows, f->n_rows, sizeof(json_t *), &f->cap);
    f->rows[f->n_rows++] = json_incref(value);
    return true;
}

/* A text; or an object with it under output_text, answer, sample.output_text or model_sample. */
static const json_t *text_in(const json_t *value)
{
    static const char *const keys[] = {"output_text", "answer", "model_sample"};
    const json_t *inner = json_object_get(json_object_get(value, "sample"), "output_text");

    if (json_is_string(value))
        return value;
    for (size_t i = 0; i < COUNT_OF(keys) && !json_is_string(inner); i++)
        inner = json_object_get(value, keys[i]);
    return json_is_string(inner) ? inner : NULL;
}

static bool take_answer(void *ctx, json_t *value, const char *what, struct error *err)
{
    struct files *f = ctx;
    const json_t *text = text_in(value);
    int64_t row = (int64_t)f->n_given;

    if (text == NULL)
        return fail_param(
            err, ERR_INVALID, "output_text",
            "%s: no answer; a text, or an object with \"output_text\" or \"answer\" was expected",
            what);
    if (json_is_object(value) && !json_get_int(value, "item", what, row, 0, INT64_MAX, &row, err))
        return false;
    if ((size_t)row >= f->n_rows)
        return fail_param(err, ERR_INVALID, "item",
                          "%s is for row %lld (0 is the first), and the data has %zu rows", what,
                          (long long)row, f->n_rows);
    f->given = grown(f->arena, f->given, f->n_given, sizeof *f->given, &f->cap);
    struct given *g = &f->given[f->n_given++];
    g->n = rollout_line_samples(value);
    g->value = json_incref(value);
    g->parsed = json_of_text(json_str(text));
    g->row = (size_t)row;
    g->sample = (struct grade_sample){.output_text = json_str(text), .output_json = g->parsed};
    return true;
}

static bool grade_all(struct cli *c, struct files *f, struct error *err)
{
    struct grade_queue *q = NULL;
    struct meter meter = meter_start("answers");
    bool ok = grade_queue_open(f->grader, 0, &q, err);

    for (size_t i = 0; ok && i < f->n_given; i++) {
        struct given *g = &f->given[i];

        grade_queue_put(q, f->rows[g->row], &g->sample, &g->result);
        meter_show(&meter, i, f->n_given, "");
        if (atomic_load(c->stop))
            ok = fail(err, ERR_CANCELLED, "stopped on request after %zu answers", i);
    }
    if (ok && !grade_queue_wait(q, &(struct grade_waiter){.stop = c->stop}))
        ok = fail(err, ERR_CANCELLED, "stopped on request while answers were being graded");
    grade_queue_close(q);
    meter_end(&meter);
    return ok;
}

static bool tell_errors(const struct files *f, struct error *err)
{
    size_t n_failed = 0, counts[16] = {0};
    const char *first = "";
    bool ok = true;

    for (size_t i = 0; i < f->n_given; i++) {
        const struct grade_result *r = &f->given[i].result;

        n_failed += r->flags != 0 ? f->given[i].n : 0;
        for (size_t b = 0; b < COUNT_OF(counts); b++)
            counts[b] += (r->flags >> b & 1u) * f->given[i].n;
        if (first[0] == '\0')
            first = r->details;
    }
    if (n_failed == 0)
        return true;
    ok = out_printf(err, "%zu answers could not be graded and count as 0:", n_failed);
    for (size_t b = 0; ok && grade_flag_name(b) != NULL; b++)
        if (counts[b] > 0)
            ok = out_printf(err, " %s %zu", grade_flag_name(b), counts[b]);
    return ok && out_printf(err, "\n%s%s", first, first[0] != '\0' ? "\n" : "");
}

static bool tell(const struct files *f, struct error *err)
{
    struct buf line;
    double sum = 0;
    size_t n = 0;
    bool ok = true;

    buf_init(&line, (size_t)1 << 28);
    for (size_t i = 0; ok && i < f->n_given; i++) {
        const struct given *g = &f->given[i];
        struct str text = g->sample.output_text;
        size_t shown = size_min(text.len, 70);

        while (shown > 0 && shown < text.len && ((unsigned char)text.ptr[shown] & 0xC0) == 0x80)
            shown--;
        buf_clear(&line);
        buf_printf(&line, "%6zu  %8.4f  ", g->row, g->result.reward);
        put_visible(&line, (struct str){text.ptr, shown});
        buf_text(&line, shown < text.len ? "..." : "");
        if (g->n > 1)
            buf_printf(&line, "   (%zu times)", g->n);
        buf_text(&line, g->result.flags != 0 ? "   (not graded)\n" : "\n");
        sum += g->result.reward * (double)g->n;
        n += g->n;
        ok = out_str(buf_view(&line), err);
    }
    buf_release(&line);
    return ok &&
           out_printf(err, "%zu answers, mean reward %.4f\n", n, sum / (double)size_max(1, n)) &&
           tell_errors(f, err);
}

static bool grade_files(struct cli *c, struct grader *g, struct error *err)
{
    struct files f = {.grader = g, .arena = c->arena};
    const char *data, *answers;
    bool ok = need_option(c, OPT_DATA, &data, err) && need_option(c, OPT_ANSWERS, &answers, err) &&
              jsonl_each(data, take_row, &f, err);

    f.cap = 0;
    ok = ok && jsonl_each(answers, take_answer, &f, err) && grade_all(c, &f, err);
    if (ok && c->json) {
        for (size_t i = 0; ok && i < f.n_given; i++)
            ok = out_json_new(grade_response(g, &f.given[i].result), err);
    } else if (ok) {
        ok = tell(&f, err);
    }
    for (size_t i = 0; i < f.n_given; i++) {
        json_decref(f.given[i].value);
        json_decref(f.given[i].parsed);
    }
    for (size_t i = 0; i < f.n_rows; i++)
        json_decref(f.rows[i]);
    return ok;
}

static bool run(struct cli *c, struct error *err)
{
    struct grader *g = NULL;
    const bool files = option_given(c->options, OPT_DATA) || option_given(c->options, OPT_ANSWERS);
    bool ok = true;

    parallel_set_threads((int)option_int(c->options, OPT_THREADS));
    ok = grader_option(c, &g, err) &&
         (c->json && !files ? lines_answer(c, answer, g, err) : grade_files(c, g, err));
    grader_close(g);
    return ok;
}

static const enum option_id ids[] = {
    OPT_GRADER,        OPT_DATA,           OPT_ANSWERS, OPT_IN,      OPT_GRADER_TIMEOUT,
    OPT_GRADER_MEMORY, OPT_GRADER_WORKERS, OPT_PYTHON,  OPT_SANDBOX, OPT_THREADS,
};

const struct command cmd_grade = {
    .set =
        {.command = "grade",
         .args = "",
         .summary = "run a grader on given answers",
         .details = "Answers belong to the rows of the data in order, unless they name their "
                    "row; a line of a run's rollouts/ counts as often as it was given. "
                    "With --json and no --data, a line {\"item\": {...}, \"sample\": "
                    "{\"output_text\": \"...\"}} becomes the body of graders/run's response. An "
                    "answer that cannot be graded is no failure: it gets reward 0, and flags "
                    "say why.",
         .examples =
             "  hone grade --grader grader.json --data test.jsonl --answers answers.jsonl\n"
             "  echo '{\"item\": {\"answer\": \"eye\"}, \"sample\": {\"output_text\": \"eye\"}}' | \\\n        "
             "hone grade --grader grader.json --json\n",
         .ids = ids,
         .n_ids = COUNT_OF(ids)},
    .run = run,
};
