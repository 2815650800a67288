/*
 * certificate.c - hashes on lines, each line bound to the one before.
 */
#include "job/certificate.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/size.h"
#include "job/run_read.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- hashes of what is told ---- */

enum { ANSWERS, LOGPROBS, GRADES, ADVANTAGES, N_PARTS };
static const char *const part_names[N_PARTS] = {"answers", "logprobs", "grades", "advantages"};

static void put_u64(struct sha256_ctx *h, uint64_t x)
{
    uint8_t bytes[8];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(x >> (8 * i));
    sha256_update(h, sizeof bytes, bytes);
}

static void put_u32(struct sha256_ctx *h, uint32_t x)
{
    const uint8_t bytes[4] = {(uint8_t)x, (uint8_t)(x >> 8), (uint8_t)(x >> 16),
                              (uint8_t)(x >> 24)};

    sha256_update(h, sizeof bytes, bytes);
}

static void put_u8(struct sha256_ctx *h, bool x)
{
    const uint8_t byte = x;

    sha256_update(h, 1, &byte);
}

static void put_double(struct sha256_ctx *h, double x)
{
    uint64_t bits = UINT64_C(0x7FF8000000000000);

    if (isfinite(x))
        memcpy(&bits, &x, sizeof bits);
    put_u64(h, bits);
}

static void put_float(struct sha256_ctx *h, float x)
{
    uint32_t bits = 0x7FC00000;

    if (isfinite(x))
        memcpy(&bits, &x, sizeof bits);
    put_u32(h, bits);
}

static void put_answer(struct sha256_ctx *h, const struct rollout *r)
{
    put_u64(h, r->item);
    put_u64(h, size_max(1, r->n_alike));
    if (r->n_alike == 0)
        put_u64(h, r->sample);
    for (size_t i = 0; i < r->n_alike; i++)
        put_u64(h, r->alike[i]);
    put_u64(h, r->n_tokens);
    for (size_t i = 0; i < r->n_tokens; i++)
        put_u32(h, (uint32_t)r->tokens[i]);
    put_u8(h, r->truncated);
}

static void put_grade(struct sha256_ctx *h, const struct grade_result *g,
                      const struct metrics_graders *graders)
{
    const size_t n = size_min(g->n_parts, graders->n);

    put_double(h, g->reward);
    put_u64(h, n);
    for (int shadows = 0; shadows < 2; shadows++)
        for (size_t i = 0; i < n; i++)
            if ((graders->shadow != NULL && graders->shadow[i]) == (shadows == 1))
                put_double(h, shadows && !grade_part_measured(g, i) ? (double)NAN : g->part[i]);
    for (size_t bit = 0; grade_flag_name(bit) != NULL; bit++) {
        if (((g->flags >> bit) & 1) == 0)
            continue;
        sha256_update(h, strlen(grade_flag_name(bit)), (const uint8_t *)grade_flag_name(bit));
        sha256_update(h, 1, (const uint8_t *)"\n");
    }
    put_u8(h, false);
}

static void answers_hash_put(struct answers_hash *h, const struct rollout *r,
                             const struct metrics_graders *graders)
{
    for (size_t i = 0; !h->any && i < N_PARTS; i++)
        sha256_init(&h->part[i]);
    h->any = true;
    put_answer(&h->part[ANSWERS], r);
    for (size_t i = 0; i < r->n_tokens; i++)
        put_float(&h->part[LOGPROBS], r->logprobs[i]);
    put_grade(&h->part[GRADES], r->grade, graders);
    put_float(&h->part[ADVANTAGES], r->advantage);
    put_u8(&h->part[ADVANTAGES], r->trained);
}

/* Puts them under key, where there are any. */
static void answers_hash_finish(struct answers_hash *h, json_t *line, const char *key)
{
    if (!h->any)
        return;
    json_t *o = json_object();
    for (size_t i = 0; i < N_PARTS; i++)
        json_object_set_new(o, part_names[i], json_string(sha256_finish(&h->part[i]).hex));
    json_object_set_new(line, key, o);
    h->any = false;
}

struct sha256_text metrics_hash(struct str header, struct str row)
{
    size_t at = 0, from = 0;
    struct str name, cell;
    struct arena a = {0};
    struct sha256_ctx h;

    sha256_init(&h);
    while (run_csv_next(header, &at, &a, &name) && run_csv_next(row, &from, &a, &cell)) {
        if (!metrics_repeats(arena_text(&a, name)))
            continue;
        sha256_update(&h, name.len, (const uint8_t *)name.ptr);
        sha256_update(&h, 1, (const uint8_t *)"=");
        sha256_update(&h, cell.len, (const uint8_t *)cell.ptr);
        sha256_update(&h, 1, (const uint8_t *)"\n");
    }
    arena_release(&a);
    return sha256_finish(&h);
}

/* ---- writing ---- */

static const char chain_key[] = ",\"chain\":\"";

static struct sha256_text chain_of(const char *before, struct str line)
{
    struct sha256_ctx h;

    sha256_init(&h);
    sha256_update(&h, strlen(before), (const uint8_t *)before);
    sha256_update(&h, line.len, (const uint8_t *)line.ptr);
    return sha256_finish(&h);
}

static bool put_line(struct certificate *c, const json_t *value, struct error *err)
{
    buf_clear(&c->line);
    json_write(&c->line, value, NULL);
    if (!buf_ok(&c->line, c->file.path, err))
        return false;
    c->line.len--; /* its brace */
    const struct sha256_text chain = chain_of(c->chain, buf_view(&c->line));
    buf_printf(&c->line, "%s%s\"}\n", chain_key, chain.hex);
    if (!buf_ok(&c->line, c->file.path, err) || !line_file_put(&c->file, buf_view(&c->line), err))
        return false;
    memcpy(c->chain, chain.hex, sizeof c->chain);
    return true;
}

/* value is given up. */
static bool put_line_new(struct certificate *c, json_t *value, struct error *err)
{
    const bool ok = put_line(c, value, err);

    json_decref(value);
    return ok;
}

bool certificate_begin(struct certificate *c, const char *path, const json_t *head,
                       struct error *err)
{
    *c = (struct certificate){0};
    buf_init(&c->line, LIMIT_JSON_BYTES);
    if (line_file_open(&c->file, path, true, err) && put_line(c, head, err))
        return true;
    certificate_close(c);
    return false;
}

static bool is_on(const struct certificate *c)
{
    return line_file_is_open(&c->file);
}

bool certificate_leaves_out(const char *setting)
{
    return strcmp(setting, "memory_bytes") == 0 || strcmp(setting, "memory_plan") == 0;
}

bool certificate_settled(struct certificate *c, const json_t *values, struct error *err)
{
    if (!is_on(c) || c->settled)
        return true;
    json_t *own = json_object(), *value;
    const char *key;

    json_object_foreach((json_t *)(uintptr_t)values, key, value)
    {
        if (!certificate_leaves_out(key))
            json_object_set(own, key, value);
    }
    c->settled = true;
    return put_line_new(c, json_pack("{s:o}", "settled", own), err);
}

static bool put_step(struct certificate *c, const struct sha256_text *metrics, const char *adapter,
                     struct error *err)
{
    json_t *line = json_pack("{s:I}", "step", (json_int_t)c->step);

    answers_hash_finish(&c->train, line, "train");
    answers_hash_finish(&c->valid, line, "valid");
    if (metrics != NULL)
        json_object_set_new(line, "metrics", json_string(metrics->hex));
    if (adapter != NULL)
        json_object_set_new(line, "adapter", json_string(adapter));
    json_decref(c->newest);
    c->newest = line;
    return put_line(c, line, err);
}

/* What was told of the step before: only the validation before the first step ends without figures. */
static bool begin_step(struct certificate *c, size_t step, struct error *err)
{
    if (step == c->step)
        return true;
    if (c->step == 0 && c->valid.any && !put_step(c, NULL, NULL, err))
        return false;
    c->train.any = c->valid.any = false;
    c->step = step;
    return true;
}

bool certificate_rollout(struct certificate *c, const struct rollout *r,
                         const struct metrics_graders *graders, struct error *err)
{
    if (!is_on(c))
        return true;
    if (!begin_step(c, r->step, err))
        return false;
    answers_hash_put(r->valid ? &c->valid : &c->train, r, graders);
    return true;
}

bool certificate_step(struct certificate *c, size_t step, const struct sha256_text *metrics,
                      const char *adapter, struct error *err)
{
    return !is_on(c) || (begin_step(c, step, err) && put_step(c, metrics, adapter, err));
}

bool certificate_end(struct certificate *c, struct error *err)
{
    json_t *adapter = json_object_get(c->newest, "adapter");

    return !is_on(c) || adapter == NULL ||
           put_line_new(c, json_pack("{s:I, s:O}", "end", (json_int_t)c->step, "adapter", adapter),
                        err);
}

void certificate_close(struct certificate *c)
{
    line_file_close(&c->file);
    buf_release(&c->line);
    json_decref(c->newest);
    *c = (struct certificate){0};
}

/* ---- reading ---- */

struct reading {
    struct certified *out;
    const char *path;
    size_t n_lines;
    char chain[65]; /* of the line before */
    bool ok;
    struct error *err;
};

static bool bad_line(struct reading *r, const char *why)
{
    r->ok = fail(r->err, ERR_CORRUPT, "%s, line %zu: %s", r->path, r->n_lines, why);
    return false;
}

/* The line as it was hashed, and its chain: where the text ends as put_line makes it end. */
static bool split_chain(struct str line, struct str *hashed, char chain[65])
{
    const size_t tail = strlen(chain_key) + 64 + strlen("\"}");

    if (line.len < tail || memcmp(line.ptr + line.len - tail, chain_key, strlen(chain_key)) != 0)
        return false;
    memcpy(chain, line.ptr + line.len - 66, 64);
    chain[64] = '\0';
    *hashed = (struct str){line.ptr, line.len - tail};
    return strspn(chain, "0123456789abcdef") == 64;
}

static bool is_whole(const json_t *v)
{
    return json_is_integer(v) && json_integer_value(v) >= 0;
}

static bool is_head(const json_t *line)
{
    const json_t *version = json_object_get(line, "certificate");

    return is_whole(version) && json_integer_value(version) == 1 &&
           json_is_object(json_object_get(line, "job")) &&
           json_is_object(json_object_get(line, "model"));
}

/* false: the line is not what may stand there */
static bool take_line(struct reading *r, json_t *line)
{
    struct certified *c = r->out;
    json_t *step = json_object_get(line, "step"), *end = json_object_get(line, "end"),
           *settled = json_object_get(line, "settled");
    const size_t n = json_array_size(c->steps), last = certified_last(c);

    if (r->n_lines == 1) {
        c->head = json_incref(line);
        return is_head(line);
    }
    if (c->end != NULL)
        return false;
    if (json_is_object(settled)) {
        const bool first = c->settled == NULL && n == 0;

        c->settled = first ? json_incref(settled) : c->settled;
        return first;
    }
    if (is_whole(step)) {
        const uint64_t s = (uint64_t)json_integer_value(step);

        return (n == 0 ? s <= 1 : s == last + 1) && json_array_append(c->steps, line) == 0;
    }
    if (is_whole(end)) {
        c->end = json_incref(line);
        return (uint64_t)json_integer_value(end) == last;
    }
    return is_whole(json_object_get(line, "resumed")) && json_array_append(c->resumed, line) == 0;
}

static bool read_line(void *ctx, struct str text, size_t offset)
{
    struct reading *r = ctx;
    struct error ignored;
    json_t *line = NULL;
    struct str hashed;
    char chain[65];

    (void)offset;
    r->n_lines++;
    if (json_has_more(text, LIMIT_JSON_VALUES) || !json_parse(text, r->path, &line, &ignored) ||
        !json_is_object(line) || !split_chain(text, &hashed, chain)) {
        json_decref(line);
        return bad_line(r, "this is no line of a certificate");
    }
    const bool chained = strcmp(chain_of(r->chain, hashed).hex, chain) == 0;
    const bool good = take_line(r, line);
    json_decref(line);
    memcpy(r->chain, chain, sizeof r->chain);
    if (!chained)
        return bad_line(r, "the chain of hashes breaks here: this line was changed, or what stood "
                           "before it");
    return good || bad_line(r, "this line cannot stand here in a certificate");
}

bool certified_read(const char *path, struct certified *out, struct error *err)
{
    struct certified c = {.steps = json_array(), .resumed = json_array()};
    struct reading r = {.out = &c, .path = path, .ok = true, .err = err};
    bool ok = lines_each(path, read_line, &r, err) && r.ok;

    if (ok && c.head == NULL)
        ok = fail(err, ERR_CORRUPT, "%s is empty, a certificate has a line at least", path);
    if (!ok) {
        certified_release(&c);
        return false;
    }
    *out = c;
    return true;
}

void certified_release(struct certified *c)
{
    json_decref(c->head);
    json_decref(c->settled);
    json_decref(c->steps);
    json_decref(c->end);
    json_decref(c->resumed);
    *c = (struct certified){0};
}

static size_t step_of(const json_t *line)
{
    return (size_t)json_integer_value(json_object_get(line, "step"));
}

const json_t *certified_step(const struct certified *c, size_t step)
{
    const size_t first = step_of(json_array_get(c->steps, 0));

    return step >= first ? json_array_get(c->steps, step - first) : NULL;
}

size_t certified_last(const struct certified *c)
{
    const size_t n = json_array_size(c->steps);

    return n > 0 ? step_of(json_array_get(c->steps, n - 1)) : 0;
}

/* ---- going on ---- */

struct place {
    size_t step;
    size_t end; /* where the line of step ends; 0: not found */
    const char *path;
    struct certificate *c;
};

/* What stands after the line of step is told again. */
static bool find_step(void *ctx, struct str text, size_t offset)
{
    struct place *p = ctx;
    struct error ignored;
    json_t *line = NULL;
    struct str hashed;

    if (!json_parse(text, p->path, &line, &ignored))
        return true;
    if (is_whole(json_object_get(line, "step")) && step_of(line) == p->step &&
        split_chain(text, &hashed, p->c->chain)) {
        p->end = offset + text.len + 1;
        json_object_del(line, "chain");
        p->c->newest = json_incref(line);
    }
    json_decref(line);
    return p->end == 0;
}

/* The version and the kernels that the steps up to step ended with. */
static const json_t *machine_of(const struct certified *was, size_t step)
{
    const json_t *of = was->head;
    json_t *line;
    size_t i;

    json_array_foreach(was->resumed, i, line) if ((size_t)json_integer_value(json_object_get(
                                                      line, "resumed")) < step) of = line;
    return of;
}

static bool same_text(const json_t *a, const json_t *b, const char *key)
{
    return str_eq(json_str(json_object_get(a, key)), json_str(json_object_get(b, key)));
}

static bool put_resumed(struct certificate *c, const struct certified *was, const json_t *head,
                        struct error *err)
{
    const json_t *before = machine_of(was, c->step);

    return (same_text(before, head, "hone") && same_text(before, head, "kernels")) ||
           put_line_new(c,
                        json_pack("{s:I, s:O*, s:O*}", "resumed", (json_int_t)c->step, "hone",
                                  json_object_get(head, "hone"), "kernels",
                                  json_object_get(head, "kernels")),
                        err);
}

bool certificate_resume(struct certificate *c, const char *path, const json_t *head, size_t step,
                        char gap[256], struct error *err)
{
    struct place p = {.step = step, .path = path, .c = c};
    struct certified was = {0};
    struct error why;
    bool ok = true;

    *c = (struct certificate){.step = step, .settled = true};
    gap[0] = '\0';
    if (!file_exists(path))
        return true; /* of a time before there were certificates */
    if (!certified_read(path, &was, &why)) {
        snprintf(gap, 256, "%.255s", why.message);
        return true;
    }
    ok = certificate_same_origin(was.head, head, err);
    if (ok && certified_last(&was) < step)
        snprintf(gap, 256, "%.150s ends at step %zu, before the checkpoint of step %zu", path,
                 certified_last(&was), step);
    else if (ok)
        ok = lines_each(path, find_step, &p, err);
    if (ok && p.end > 0) {
        buf_init(&c->line, LIMIT_JSON_BYTES);
        ok = line_file_open(&c->file, path, false, err) && line_file_cut(&c->file, p.end, err) &&
             put_resumed(c, &was, head, err);
    }
    certified_release(&was);
    if (!ok)
        certificate_close(c);
    return ok;
}
