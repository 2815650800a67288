/*
 * measure.c - listens to an evaluation.
 */
#include "cli/measure.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/size.h"
#include "job/rollout_line.h"

#include <math.h>

struct listening {
    const struct measure_options *o;
    struct measured *m;
    struct meter meter;
    size_t done, total; /* answers */
    double reward_sum;
    struct metrics_graders graders;
    struct rollout_tokens tokens;
    struct file *file; /* of --save-answers, or NULL */
    struct buf line;
    struct arena scratch;
};

/* ---- before ---- */

static bool check_row(const struct session *s, const struct measure_options *o,
                      const struct dataset_row *row, struct arena *a, struct error *err)
{
    const char *what = arena_printf(a, "%s, line %zu", o->data->path, row->line);
    struct prompt p;

    if (!grader_check_item(o->grader, row->item, what, err) ||
        !ranking_check_item(&o->ranking, row->item, what, err))
        return false;
    if (!prompter_render(s->prompter, row->messages, row->tools, NULL, a, &p, err))
        return fail_while(err, "rendering %s", what);
    const size_t answer =
        o->evaluate.max_tokens + (o->evaluate.tools != NULL ? o->evaluate.tools->max_given : 0);
    if (p.n + answer > session_context(s))
        return fail_param(
            err, ERR_LIMIT, "messages",
            "%s: the prompt has %zu tokens, and with %zu more for the answer that is past the %zu "
            "positions available",
            what, p.n, answer, session_context(s));
    return true;
}

bool measure_check(const struct session *s, const struct measure_options *o, struct error *err)
{
    struct arena a = {0};
    bool ok = true;

    for (size_t i = 0; ok && i < o->data->n_rows; i++) {
        arena_reset(&a);
        ok = check_row(s, o, &o->data->rows[i], &a, err);
    }
    arena_release(&a);
    return ok;
}

/* ---- while ---- */

static struct str token_text(void *ctx, int32_t id)
{
    return tokenizer_bytes(ctx, id);
}

static bool save_answer(struct listening *l, const struct rollout *r, struct error *err)
{
    struct rollout alone = *r; /* each answer has a line of its own: others may have to read it */

    alone.n_alike = 0;
    rollout_line(&l->line, &alone, &l->graders, &l->tokens);
    return buf_ok(&l->line, "an answer", err) && file_write(l->file, l->line.ptr, l->line.len, err);
}

static bool on_rollout(void *ctx, const struct rollout *r, struct error *err)
{
    struct listening *l = ctx;

    l->m->n_solved[r->item] += r->grade->reward >= 1 - 1e-9;
    l->reward_sum += r->grade->reward;
    l->done++;
    if (l->o->ranking.ranked != NULL) {
        arena_reset(&l->scratch);
        const size_t place = ranking_place(&l->o->ranking, r->row, r->answer, &l->scratch);

        l->m->top_1 += place == 1;
        l->m->top_5 += place >= 1 && place <= 5;
        l->m->top_max += place >= 1;
    }
    return l->file == NULL || save_answer(l, r, err);
}

static void on_tick(void *ctx, const char *phase, size_t done, size_t total)
{
    struct listening *l = ctx;
    char note[64] = "";

    (void)total;
    if (l->done > 0)
        snprintf(note, sizeof note, "mean reward so far %.3f", l->reward_sum / (double)l->done);
    meter_show(&l->meter, l->done + (strcmp(phase, "sampling") == 0 ? done : 0), l->total, note);
}

static void name_graders(struct listening *l, struct arena *a)
{
    const size_t n = grader_count(l->o->grader);
    const char **names = ARENA_ARRAY(a, const char *, n), **types = ARENA_ARRAY(a, const char *, n);
    bool *shadow = ARENA_ARRAY(a, bool, n);

    for (size_t i = 0; i < n; i++) {
        names[i] = grader_name(l->o->grader, i);
        types[i] = grader_type(l->o->grader, i);
        shadow[i] = grader_is_shadow(l->o->grader, i);
    }
    l->graders = (struct metrics_graders){.n = n, .name = names, .type = types, .shadow = shadow};
}

static const struct tokenizer *tokenizer_of(const struct session *s)
{
    return model_files_tokenizer(s->model->files);
}

bool measure(const struct session *s, const struct measure_options *o, struct arena *a,
             struct measured *out, struct error *err)
{
    struct measured m = {.n_solved = ARENA_ARRAY(a, size_t, o->data->n_rows)};
    struct listening l = {
        .o = o,
        .m = &m,
        .meter = meter_start("answers"),
        .total = o->data->n_rows * (o->evaluate.greedy ? 1 : o->evaluate.n_samples),
        .tokens = {.text = token_text, .ctx = (void *)(uintptr_t)tokenizer_of(s)}};
    const struct progress_sink sink = {.ctx = &l, .rollout = on_rollout, .tick = on_tick};
    bool ok = true;

    name_graders(&l, a);
    buf_init(&l.line, LIMIT_LINE_BYTES);
    if (o->save_answers != NULL)
        ok = file_create_beside(o->save_answers, &l.file, err);
    ok = ok && evaluate(s->engine, s->adapter, s->prompter, o->data, o->grader, &o->evaluate, &sink,
                        a, &m.result, err);
    if (ok && m.result.n_lost > 0)
        ok = fail(err, ERR_IO, "tools did not answer in %zu of %zu answers, the first: %s",
                  m.result.n_lost, l.total, m.result.first_lost);
    if (ok && l.file != NULL)
        ok = file_commit(l.file, err);
    file_close(l.file);
    meter_end(&l.meter);
    buf_release(&l.line);
    arena_release(&l.scratch);
    if (!ok)
        return false;
    m.top_1 /= (double)l.total;
    m.top_5 /= (double)l.total;
    m.top_max /= (double)l.total;
    *out = m;
    return true;
}

/* ---- after ---- */

double measured_pass_at(const struct measured *m, size_t k)
{
    const size_t n = m->result.n_samples;
    double sum = 0;

    for (size_t i = 0; i < m->result.n_rows; i++) {
        double none =
            1; /* the chance that k of the n answers are all among the n - c that failed */

        for (size_t j = 0; j < k; j++)
            none *= n - m->n_solved[i] > j ? (double)(n - m->n_solved[i] - j) / (double)(n - j) : 0;
        sum += 1 - none;
    }
    return sum / (double)m->result.n_rows;
}

static json_t *pass_json(const struct measured *m)
{
    json_t *o = json_object();
    const size_t n = m->result.n_samples;
    char key[32];

    for (size_t k = 1; k <= n; k = k < n && 2 * k > n ? n : 2 * k) {
        snprintf(key, sizeof key, "%zu", k);
        json_object_set_new(o, key, json_real(measured_pass_at(m, k)));
    }
    return o;
}

static json_t *graders_json(const struct measured *m, const struct grader *g)
{
    json_t *list = json_array();

    for (size_t i = 0; i < m->result.n_parts; i++) {
        const double mean = m->result.part_mean[i];
        json_t *e =
            json_pack("{s:s, s:s, s:o, s:f}", "name", grader_name(g, i), "type", grader_type(g, i),
                      "reward_mean", isfinite(mean) ? json_real(mean) : json_null(), "seconds_mean",
                      m->result.part_seconds[i]);

        if (grader_is_shadow(g, i)) {
            json_object_set_new(e, "shadow", json_true());
            json_object_set_new(e, "failed", json_integer((json_int_t)m->result.part_failed[i]));
        }
        json_array_append_new(list, e);
    }
    return list;
}

static json_t *errors_json(const struct measured *m)
{
    json_t *o = json_object();

    for (size_t b = 0; grade_flag_name(b) != NULL; b++)
        if (m->result.grader_errors[b] > 0)
            json_object_set_new(o, grade_flag_name(b),
                                json_integer((json_int_t)m->result.grader_errors[b]));
    return o;
}

json_t *measured_json(const struct measured *m, const struct session *s,
                      const struct measure_options *o)
{
    const struct evaluate_result *r = &m->result;
    json_t *j = json_object();

    json_object_set_new(j, "model", json_string(s->ref.name));
    json_object_set_new(j, "adapter",
                        s->ref.adapter != NULL ? json_string(s->ref.adapter) : json_null());
    json_object_set_new(j, "data", json_string(o->data->path));
    json_object_set_new(j, "n", json_integer((json_int_t)r->n_rows));
    json_object_set_new(j, "samples", json_integer((json_int_t)r->n_samples));
    json_object_set_new(j, "reward_mean", json_real(r->reward_mean));
    json_object_set_new(
        j, "reward_ci95",
        json_pack("[f, f]", r->reward_mean - r->reward_ci95, r->reward_mean + r->reward_ci95));
    if (isfinite(r->passed_share)) {
        json_object_set_new(j, "pass_threshold", json_real(grader_pass_threshold(o->grader)));
        json_object_set_new(j, "passed", json_real(r->passed_share));
    }
    json_object_set_new(j, "graders", graders_json(m, o->grader));
    json_object_set_new(j, "pass_at_k", pass_json(m));
    if (o->ranking.ranked != NULL) {
        json_object_set_new(j, "top_1", json_real(m->top_1));
        json_object_set_new(j, "top_5", json_real(m->top_5));
        json_object_set_new(j, "top_max", json_real(m->top_max));
    }
    json_object_set_new(j, "any_reward", json_real(r->any_reward));
    json_object_set_new(j, "flat_share", json_real(r->flat_share));
    json_object_set_new(j, "truncated_share", json_real(r->truncated_share));
    json_object_set_new(j, "completion_tokens_mean", json_real(r->completion_tokens_mean));
    json_object_set_new(j, "reasoning_tokens_mean", json_real(r->reasoning_tokens_mean));
    json_object_set_new(j, "grader_errors", errors_json(m));
    json_object_set_new(j, "greedy", json_boolean(o->evaluate.greedy));
    json_object_set_new(j, "temperature",
                        json_real((double)(o->evaluate.greedy ? 0 : o->evaluate.pick.temperature)));
    json_object_set_new(j, "max_tokens", json_integer((json_int_t)o->evaluate.max_tokens));
    json_object_set_new(j, "seed", json_integer((json_int_t)o->evaluate.seed));
    json_object_set_new(j, "seconds", json_real(r->seconds));
    return j;
}
