/*
 * grade_files.c - rows that stand with answers are told apart by the hash of what they say.
 */
#include "cli/grade_files.h"
#include "base/limits.h"
#include "base/sha256.h"
#include "base/size.h"
#include "job/rollout_line.h"
#include "text/dataset.h"

#include <math.h>
#include <stdint.h>

struct inline_row { /* a slot of the table; number 0: empty */
    unsigned char hash[SHA256_DIGEST_SIZE];
    size_t number; /* of its row, plus 1 */
};

struct reading {
    struct grade_files f;
    const struct grader *grader;
    const char *data; /* or NULL */
    size_t cap_rows, cap;
    struct inline_row *table; /* [cap_table], a power of two, at most half full */
    size_t n_inline, cap_table;
    struct buf text;
};

/* ---- one sample ---- */

static void take_sample(const json_t *sample, struct str text, struct grade_sample *out)
{
    *out = (struct grade_sample){.output_text = text,
                                 .output_json = json_object_get(sample, "output_json"),
                                 .output_tools = json_object_get(sample, "output_tools")};
    if (!json_is_array(out->output_tools))
        out->output_tools = NULL;
    if (json_is_null(out->output_json))
        out->output_json = NULL;
}

bool grade_sample_read(const json_t *line, const char *what, struct grade_sample *out,
                       struct error *err)
{
    const json_t *sample = json_object_get(line, "sample");
    const json_t *text = json_object_get(line, "model_sample");

    if (sample == NULL && text == NULL)
        return fail_param(err, ERR_INVALID, "sample",
                          "%s: \"sample\" is missing, an object with \"output_text\"", what);
    if (sample != NULL && !json_is_object(sample))
        return fail_param(err, ERR_INVALID, "sample",
                          "%s: \"sample\" is %s, an object was expected", what, json_kind(sample));
    if (sample != NULL)
        text = json_object_get(sample, "output_text");
    if (text != NULL && !json_is_string(text) && !json_is_null(text))
        return fail_param(err, ERR_INVALID, "sample.output_text",
                          "%s: \"output_text\" is %s, a text was expected", what, json_kind(text));
    take_sample(sample, json_str(text), out);
    out->unanswered = !json_is_string(text) && out->output_json == NULL;
    return true;
}

/* ---- rows ---- */

static void *grown(struct arena *a, void *old, size_t n, size_t cap, size_t size)
{
    void *p = arena_alloc(a, cap * size);

    if (n > 0)
        memcpy(p, old, n * size);
    return p;
}

static bool add_row(struct reading *r, json_t *value, const char *what, size_t line,
                    struct error *err)
{
    struct grade_files *f = &r->f;

    if (f->n_rows == LIMIT_DATA_ROWS)
        return fail(err, ERR_LIMIT, "%s: more than the %zu rows allowed", what, LIMIT_DATA_ROWS);
    if (!grader_check_item(r->grader, value, what, err))
        return false;
    if (f->n_rows == r->cap_rows) {
        r->cap_rows = size_max(256, 2 * r->cap_rows);
        f->rows = grown(&f->arena, f->rows, f->n_rows, r->cap_rows, sizeof *f->rows);
        f->row_lines = grown(&f->arena, f->row_lines, f->n_rows, r->cap_rows, sizeof *f->row_lines);
    }
    f->rows[f->n_rows] = json_incref(value);
    f->row_lines[f->n_rows++] = line;
    return true;
}

static bool take_row(void *ctx, json_t *value, const char *what, size_t line, struct error *err)
{
    return add_row(ctx, value, what, line, err);
}

static struct inline_row *slot_of(struct inline_row *table, size_t cap, const unsigned char *hash)
{
    size_t at;

    memcpy(&at, hash, sizeof at);
    for (at &= cap - 1; table[at].number != 0; at = (at + 1) & (cap - 1))
        if (memcmp(table[at].hash, hash, SHA256_DIGEST_SIZE) == 0)
            break;
    return &table[at];
}

static void widen_table(struct reading *r)
{
    const size_t cap = size_max(256, 2 * r->cap_table);
    struct inline_row *table = ARENA_ARRAY(&r->f.arena, struct inline_row, cap);

    for (size_t i = 0; i < r->cap_table; i++)
        if (r->table[i].number != 0)
            *slot_of(table, cap, r->table[i].hash) = r->table[i];
    r->table = table;
    r->cap_table = cap;
}

/* The number of the row that stands with an answer. */
static bool inline_row(struct reading *r, json_t *item, const char *what, size_t *row,
                       struct error *err)
{
    static const struct json_format sorted = {.style = JSON_STYLE_COMPACT, .sort_keys = true};
    unsigned char hash[SHA256_DIGEST_SIZE];
    struct sha256_ctx sha;

    buf_clear(&r->text);
    json_write(&r->text, item, &sorted);
    if (!buf_ok(&r->text, what, err))
        return false;
    sha256_init(&sha);
    sha256_update(&sha, r->text.len, (const uint8_t *)r->text.ptr);
    sha256_digest(&sha, sizeof hash, hash);
    if (2 * r->n_inline >= r->cap_table)
        widen_table(r);
    struct inline_row *slot = slot_of(r->table, r->cap_table, hash);
    if (slot->number == 0) {
        if (!add_row(r, item, what, 0, err))
            return false;
        r->n_inline++;
        slot->number = r->f.n_rows;
        memcpy(slot->hash, hash, sizeof hash);
    }
    *row = slot->number - 1;
    return true;
}

/* ---- answers ---- */

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

static bool row_of(struct reading *r, const json_t *value, const char *what, size_t *row,
                   struct error *err)
{
    json_t *item = json_object_get(value, "item");
    int64_t number = (int64_t)r->f.n;

    if (json_is_object(item))
        return inline_row(r, item, what, row, err);
    if (r->data == NULL)
        return fail_param(err, ERR_INVALID, "item",
                          "%s: no \"item\", the row that it answers, and no --data has it", what);
    if (json_is_object(value) &&
        !json_get_int(value, "item", what, number, 0, INT64_MAX, &number, err))
        return false;
    const size_t n = r->f.n_rows - r->n_inline; /* those of the data are the first */
    if ((uint64_t)number >= n)
        return fail_param(err, ERR_INVALID, "item",
                          "%s is for row %lld (0 is the first), and the data has %zu rows", what,
                          (long long)number, n);
    *row = (size_t)number;
    return true;
}

/* As in the run that wrote the line: the model thought, ended by itself, and said nothing. */
static bool was_unanswered(const json_t *value, struct str text)
{
    return text.len == 0 && json_array_size(json_object_get(value, "tool_calls")) == 0 &&
           !json_is_true(json_object_get(value, "truncated")) &&
           json_integer_value(json_object_get(value, "thinking_tokens")) > 0;
}

static void make_room(struct reading *r)
{
    struct grade_files *f = &r->f;

    if (f->n < r->cap)
        return;
    r->cap = size_max(256, 2 * r->cap);
    f->answers = grown(&f->arena, f->answers, f->n, r->cap, sizeof *f->answers);
    f->samples = grown(&f->arena, f->samples, f->n, r->cap, sizeof *f->samples);
    f->kept = grown(&f->arena, f->kept, f->n, r->cap, sizeof *f->kept);
}

static bool take_answer(void *ctx, json_t *value, const char *what, size_t line, struct error *err)
{
    struct reading *r = ctx;
    struct grade_files *f = &r->f;
    const json_t *text = text_in(value), *reward = json_object_get(value, "reward");
    size_t row = 0;

    if (text == NULL)
        return fail_param(
            err, ERR_INVALID, "output_text",
            "%s: no answer; a text, or an object with \"output_text\" or \"answer\" was expected",
            what);
    if (json_is_true(json_object_get(value, "cut")))
        return fail_param(err, ERR_INVALID, "cut",
                          "%s: the run kept only the beginning of this answer, which was too long "
                          "(\"cut\"): it cannot be graded again; leave the line out",
                          what);
    if (!row_of(r, value, what, &row, err))
        return false;
    make_room(r);
    take_sample(json_object_get(value, "sample"), json_str(text), &f->samples[f->n]);
    if (f->samples[f->n].output_tools == NULL &&
        json_is_array(json_object_get(value, "tool_calls")))
        f->samples[f->n].output_tools = json_object_get(value, "tool_calls");
    f->kept[f->n] = json_incref(value);
    f->samples[f->n].truncated = json_is_true(json_object_get(value, "truncated"));
    f->samples[f->n].unanswered = was_unanswered(value, json_str(text));
    f->answers[f->n++] = (struct grade_answer){
        .row = row,
        .line = line,
        .row_line = f->row_lines[row],
        .count = rollout_line_samples(value),
        .text = json_str(text),
        .item = f->rows[row],
        .recorded = json_is_number(reward) ? json_number_value(reward) : (double)NAN};
    return true;
}

bool grade_files_read(const char *data, const char *answers, const struct grader *g,
                      struct grade_files *out, struct error *err)
{
    struct reading r = {.grader = g, .data = data};
    bool ok;

    buf_init(&r.text, LIMIT_RENDER_BYTES);
    ok = (data == NULL || jsonl_each(data, take_row, &r, err)) &&
         jsonl_each(answers, take_answer, &r, err);
    buf_release(&r.text);
    if (ok)
        *out = r.f;
    else
        grade_files_release(&r.f);
    return ok;
}

void grade_files_release(struct grade_files *f)
{
    for (size_t i = 0; i < f->n; i++)
        json_decref(f->kept[i]);
    for (size_t i = 0; i < f->n_rows; i++)
        json_decref(f->rows[i]);
    arena_release(&f->arena);
    *f = (struct grade_files){0};
}
