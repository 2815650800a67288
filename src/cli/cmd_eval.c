/*
 * cmd_eval.c - how well a model does, and how much better than another.
 */
#include "base/file.h"
#include "base/limits.h"
#include "base/mean.h"
#include "base/size.h"
#include "cli/commands.h"
#include "cli/grader_file.h"
#include "cli/measure.h"
#include "cli/served_grader.h"
#include "job/metrics.h"
#include "train/recipe.h"

#include <math.h>

#define DEFAULT_MAX_TOKENS ((size_t)256)

struct evaluation {
    struct cli *c;
    struct dataset data;
    struct served_grader grader;
    struct session base;     /* of the first model, where graders ask it */
    struct tools tools;      /* of the job in --grader's file, where it names some */
    int64_t max_tool_tokens; /* as the job says, or 0 */
    json_t *grader_file;     /* a grader, or a job that has one and may say more of its answers */
    struct measure_options o;
    struct measured first;
    json_t *format; /* "response_format" of all answers; NULL: none */
    json_t *result;
};

static struct ranking_options ranking_of(const struct options *o)
{
    const char *reference = option_text(o, OPT_REFERENCE);

    return (struct ranking_options){.ranked = option_text(o, OPT_RANKED),
                                    .reference = reference != NULL ? reference : "item.answer",
                                    .among = option_text(o, OPT_AMONG)};
}

static struct evaluate_options evaluate_of(struct cli *c)
{
    const struct options *o = c->options;
    struct evaluate_options e = {.n_samples = (size_t)option_int(o, OPT_SAMPLES),
                                 .greedy = option_on(o, OPT_GREEDY),
                                 .pick = pick_defaults(),
                                 .seed = (uint64_t)option_int(o, OPT_SEED),
                                 .purpose = PHILOX_EVAL,
                                 .stop = c->stop};

    e.pick.temperature = (float)option_real(o, OPT_TEMPERATURE);
    e.pick.top_p = (float)option_real(o, OPT_TOP_P);
    e.pick.top_k = (size_t)option_int(o, OPT_TOP_K);
    return e;
}

/* Of the i-th model that is compared with the first. One that cannot be found will be told of when it is opened. */
static void habits_of_other(const struct evaluation *x, size_t i, struct run_habits *out)
{
    struct model_ref ref;
    struct error ignored;
    const char *name = x->c->options->value[OPT_COMPARE].list[i];

    run_habits_read(model_store_find(x->c->home, name, x->c->arena, &ref, &ignored)
                        ? model_ref_run(&ref)
                        : NULL,
                    out);
}

/*
 * How long answers may be: as asked; else as the run that made the adapter settled it, this one's or that of a model
 * compared with it; else 256, or what fits.
 */
static size_t max_tokens_of(const struct evaluation *x, const struct session *s)
{
    const struct options *o = x->c->options;

    if (option_given(o, OPT_MAX_TOKENS))
        return (size_t)option_int(o, OPT_MAX_TOKENS);
    if (s->habits.max_tokens > 0)
        return s->habits.max_tokens;
    for (size_t i = 0; i < o->value[OPT_COMPARE].n; i++) {
        struct run_habits habits;

        habits_of_other(x, i, &habits);
        const size_t n = habits.max_tokens;
        run_habits_release(&habits);
        if (n > 0)
            return n;
    }
    return size_min(DEFAULT_MAX_TOKENS, size_max(1, session_context(s) / 2));
}

/* ---- for people ---- */

static bool tell_share(const char *name, double share, const char *what, struct error *err)
{
    return out_printf(err, "  %-12s %5.1f %%  %s\n", name, 100 * share, what);
}

static bool tell_errors(const struct evaluate_result *r, struct error *err)
{
    size_t n = 0;
    bool ok = true;

    for (size_t b = 0; b < 16; b++)
        n += r->grader_errors[b];
    if (n == 0)
        return true;
    ok = out_printf(err, "  Answers that could not be graded count as 0:");
    for (size_t b = 0; ok && grade_flag_name(b) != NULL; b++)
        if (r->grader_errors[b] > 0)
            ok = out_printf(err, " %s %zu", grade_flag_name(b), r->grader_errors[b]);
    return ok && out_printf(err, "\n  The first of them: %s\n", r->first_error);
}

static bool tell(const struct evaluation *x, const struct session *s, const struct measured *m,
                 struct error *err)
{
    const struct evaluate_result *r = &m->result;
    bool ok =
        out_printf(err, "%s%s%s: %zu rows, ", s->ref.name, s->ref.adapter != NULL ? " with " : "",
                   s->ref.adapter != NULL ? s->ref.adapter : "", r->n_rows);

    if (ok && x->o.evaluate.greedy)
        ok = out_printf(err, "the likeliest answer, up to %zu tokens\n", x->o.evaluate.max_tokens);
    else
        ok = ok && out_printf(err, "%zu answer%s each, up to %zu tokens, seed %llu\n", r->n_samples,
                              r->n_samples == 1 ? "" : "s", x->o.evaluate.max_tokens,
                              (unsigned long long)x->o.evaluate.seed);
    ok = ok && out_printf(err, "  %-12s %7.4f  95 %% interval %.4f to %.4f\n", "mean reward",
                          r->reward_mean, r->reward_mean - r->reward_ci95,
                          r->reward_mean + r->reward_ci95);
    if (ok && isfinite(r->passed_share))
        ok = out_printf(err, "  %-12s %7.4f  of the answers earn %g or more (pass_threshold)\n",
                        "passed", r->passed_share, grader_pass_threshold(x->grader.grader));
    for (size_t i = 0; ok && r->n_parts > 1 && i < r->n_parts; i++) {
        const bool shadow = grader_is_shadow(x->grader.grader, i);

        if (isfinite(r->part_mean[i]))
            ok = out_printf(err, "    %-10s %7.4f%s", grader_name(x->grader.grader, i),
                            r->part_mean[i], shadow ? "  shadow: not in the reward" : "");
        else
            ok = out_printf(err, "    %-10s       -  shadow", grader_name(x->grader.grader, i));
        if (ok && r->part_failed[i] > 0)
            ok = out_printf(err, "; it failed on %zu answers", r->part_failed[i]);
        ok = ok && out_printf(err, "\n");
    }
    if (ok && x->o.ranking.ranked != NULL)
        ok = tell_share("top 1", m->top_1, "of the answers rank the right one first", err) &&
             tell_share("top 5", m->top_5, "among the first five", err) &&
             tell_share("anywhere", m->top_max, "anywhere", err);
    ok = ok && tell_share("pass@1", measured_pass_at(m, 1), "of the answers earn full reward", err);
    if (ok && r->n_samples > 1) {
        char name[32];

        snprintf(name, sizeof name, "pass@%zu", r->n_samples);
        ok = tell_share(name, measured_pass_at(m, r->n_samples), "of the rows have one that does",
                        err);
    }
    ok = ok &&
         tell_share("cut off", r->truncated_share, "of the answers met the longest length", err) &&
         out_printf(err, "  %-12s %7.1f  an answer\n", "tokens", r->completion_tokens_mean);
    return ok && tell_errors(r, err);
}

/* ---- what answers are held to ---- */

/* In --response-format's file, or in the job that the grader comes from. */
static bool format_given(struct evaluation *x, struct error *err)
{
    const char *path = option_text(x->c->options, OPT_RESPONSE_FORMAT);
    json_t *file = NULL;

    if (path != NULL && !json_read_file(path, &file, err))
        return false;
    const json_t *spec = recipe_reinforcement(path != NULL ? file : x->grader_file),
                 *of_job = json_object_get(spec, "response_format");
    if (spec == NULL && path != NULL)
        x->format = json_incref(file);
    else if (!json_absent(of_job))
        x->format = json_incref((json_t *)(uintptr_t)of_job);
    json_decref(file);
    return x->format != NULL || path == NULL ||
           fail(err, ERR_INVALID, "%s is a job without \"response_format\"", path);
}

/* Unless one was found there, that of a run: this model's, or that of the first compared with it that has one. */
static void format_of_run(struct evaluation *x, const struct session *s)
{
    const struct options *o = x->c->options;

    if (x->format != NULL)
        return;
    x->format = json_incref((json_t *)(uintptr_t)s->habits.response_format);
    for (size_t i = 0; i < o->value[OPT_COMPARE].n && x->format == NULL; i++) {
        struct run_habits habits;

        habits_of_other(x, i, &habits);
        x->format = json_incref((json_t *)(uintptr_t)habits.response_format);
        run_habits_release(&habits);
    }
}

/* ---- one model after another ---- */

/* A job's tools answer here as they did in training. */
static bool open_tools(struct evaluation *x, const char *path, struct error *err)
{
    struct tool_servers_options opt = {0};
    int64_t threads = 0;

    const json_t *spec = recipe_reinforcement(x->grader_file),
                 *hone = json_object_get(x->grader_file, "hone");
    const bool ok = json_get_double(hone, "tool_timeout_s", "\"hone\"", 0, &opt.timeout_s, err) &&
                    json_get_int(hone, "tools_at_once", "\"hone\"", 0, 0, 256, &threads, err) &&
                    json_get_int(hone, "max_tool_tokens", "\"hone\"", 0, 0, (int64_t)LIMIT_CONTEXT,
                                 &x->max_tool_tokens, err);
    opt.n_threads = (size_t)threads;
    return (ok && (spec == NULL || tool_servers_open(spec, &opt, &x->tools.servers, err))) ||
           fail_while(err, "reading the tools in %s", path);
}

/* How much of them an answer may be given, where one of this model's is measured. */
static void take_tools(struct evaluation *x, const struct session *s)
{
    if (x->tools.servers == NULL)
        return;
    x->tools.max_given = tools_room((size_t)x->max_tool_tokens, session_context(s));
    x->o.evaluate.tools = &x->tools;
}

static bool measure_first(struct evaluation *x, struct error *err)
{
    struct cli *c = x->c;
    struct session s = {0};
    bool ok = session_open_options(c, true, &s, err);

    if (ok) {
        x->o.evaluate.max_tokens = max_tokens_of(x, &s);
        take_tools(x, &s);
        format_of_run(x, &s);
        ok = prompter_hold(s.prompter, x->format, err) &&
             services_lend_base(x->grader.services, s.model, s.prompter, false, err);
    }
    x->o.save_answers = option_text(c->options, OPT_SAVE_ANSWERS);
    ok = ok && measure_check(&s, &x->o, err) && measure(&s, &x->o, c->arena, &x->first, err);
    if (ok) {
        x->result = measured_json(&x->first, &s, &x->o);
        ok = c->json || tell(x, &s, &x->first, err);
    }
    if (services_asks_base(x->grader.services))
        x->base = s; /* it judges the others, too */
    else
        session_close(&s);
    return ok;
}

static bool measure_other(struct evaluation *x, const char *name, json_t *list, struct error *err)
{
    struct session s = {0};
    struct measured m;
    bool ok = session_open(x->c, name, NULL, true, &s, err);

    x->o.save_answers = NULL;
    ok = ok && prompter_hold(s.prompter, x->format, err) && measure_check(&s, &x->o, err) &&
         measure(&s, &x->o, x->c->arena, &m, err);
    if (ok) {
        json_t *j = measured_json(&m, &s, &x->o);

        const struct evaluate_result *first = &x->first.result;
        const struct mean d =
            mean_of_differences(first->n_rows, first->row_mean, m.result.row_mean);
        const double low = d.mean - d.ci95, high = d.mean + d.ci95;

        json_object_set_new(j, "difference", json_real(d.mean));
        json_object_set_new(j, "difference_ci95", json_pack("[f, f]", low, high));
        json_array_append_new(list, j);
        ok = x->c->json ||
             (out_printf(err, "\n") && tell(x, &s, &m, err) &&
              out_printf(err, "  %-12s %+7.4f  95 %% interval %+.4f to %+.4f%s\n", "difference",
                         d.mean, low, high, fabs(d.mean) > d.ci95 ? "" : ": no clear difference"));
    }
    session_close(&s);
    return ok || fail_while(err, "measuring %s", name);
}

static bool measure_all(struct evaluation *x, struct error *err)
{
    const struct option_value *others = &x->c->options->value[OPT_COMPARE];
    json_t *list;
    bool ok = measure_first(x, err);

    if (!ok || others->n == 0)
        return ok;
    list = json_array();
    for (size_t i = 0; ok && i < others->n; i++)
        ok = measure_other(x, others->list[i], list, err);
    json_object_set_new(x->result, "compare", list);
    return ok;
}

static bool put_result(const char *path, const json_t *result, struct error *err)
{
    static const struct json_format readable = {.style = JSON_STYLE_COMPACT, .indent = 2};
    struct buf b;

    buf_init(&b, LIMIT_JSON_BYTES);
    json_write(&b, result, &readable);
    buf_char(&b, '\n');
    const bool ok = buf_ok(&b, path, err) && file_put(path, buf_view(&b), err);
    buf_release(&b);
    return ok;
}

static bool run(struct cli *c, struct error *err)
{
    struct evaluation x = {.c = c};
    const char *model, *data, *grader, *out = option_text(c->options, OPT_OUT);
    struct error ranked = {0};
    bool ok = need_option(c, OPT_MODEL, &model, err) && need_option(c, OPT_DATA, &data, err) &&
              need_option(c, OPT_GRADER, &grader, err);

    x.o = (struct measure_options){
        .data = &x.data, .ranking = ranking_of(c->options), .evaluate = evaluate_of(c)};
    if (ok && !ranking_check(&x.o.ranking, &ranked))
        ok = misuse(c, err, "%s", ranked.message);
    ok = ok && grader_file_read(grader, &x.grader_file, err) && format_given(&x, err) &&
         dataset_open(data, &x.data, err) && served_grader_option(c, true, &x.grader, err) &&
         open_tools(&x, grader, err);
    x.o.grader = x.grader.grader;

    ok = ok && measure_all(&x, err);
    if (ok && out != NULL)
        ok = put_result(out, x.result, err);
    if (ok && c->json)
        ok = out_json(x.result, err);
    json_decref(x.result);
    tool_servers_close(x.tools.servers);
    json_decref(x.format);
    json_decref(x.grader_file);
    served_grader_close(&x.grader);
    session_close(&x.base);
    dataset_close(&x.data);
    return ok;
}

static const enum option_id ids[] = {
    OPT_MODEL,   OPT_ADAPTER,      OPT_DATA,       OPT_SAMPLES,     OPT_GREEDY,
    OPT_COMPARE, OPT_RANKED,       OPT_REFERENCE,  OPT_AMONG,       OPT_RESPONSE_FORMAT,
    OPT_OUT,     OPT_SAVE_ANSWERS, OPT_MAX_TOKENS, OPT_TEMPERATURE, OPT_TOP_P,
    OPT_TOP_K,   OPT_SEED,         OPT_TEMPLATE,   GRADER_OPTIONS,  OPT_DEVICE,
    OPT_THREADS, OPT_PRECISION,    OPT_KV_CACHE,   OPT_CONTEXT,     OPT_KERNELS,
    OPT_HOME,
};

const struct command cmd_eval = {
    .set =
        {.command = "eval",
         .args = "",
         .summary = "measure a model on a dataset with a grader",
         .details =
             "Answers may be as long as in the run that made the adapter, else 256 "
             "tokens, unless --max-tokens says otherwise; models that are compared are "
             "all measured alike, on the same rows with the same seed, and held to the "
             "\"response_format\" of their run, unless --response-format says otherwise. --out "
             "writes what --json prints to a file.",
         .examples =
             "  hone eval --model smol --data test.jsonl --grader grader.json --samples 8\n"
             "  hone eval --model smol --adapter runs/demo --data test.jsonl --grader grader.json "
             "--compare smol\n"
             "  hone eval --model smol --data cases.jsonl --grader rank.json --ranked "
             "sample.output_json.genes \\\n            --reference item.gene --json\n",
         .ids = ids,
         .n_ids = COUNT_OF(ids)},
    .run = run,
};
