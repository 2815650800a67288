/*
 * metrics.c - builds the tree once; the event, its sentence and the row are read off it, so that they cannot differ.
 */
#include "job/metrics.h"
#include "base/size.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

static void put_tool_errors(struct metrics_tally *t, const struct metrics_graders *g,
                            const struct rollout *r)
{
    for (size_t i = 0; i < json_array_size(r->tool_steps); i++) {
        const json_t *call = json_array_get(r->tool_steps, i);
        const struct str name = json_str(json_object_get(call, "name"));

        if (str_is(json_str(json_object_get(call, "end")), tool_end_name(TOOL_SAID)))
            continue;
        for (size_t k = 0; k < g->n_tools; k++)
            t->tool_errors[k] += str_is(name, g->tool[k]);
    }
}

void metrics_tally_put(struct metrics_tally *t, const struct metrics_graders *graders,
                       const struct rollout *r)
{
    struct metrics_sums *s = r->valid ? &t->valid : &t->train;

    s->n++;
    if (!r->valid)
        put_tool_errors(t, graders, r);
    s->n_parse_errors += (r->grade->flags & GRADE_SAMPLE_PARSE_ERROR) != 0;
    s->n_asked_cache += r->grade->n_asked_cache;
    s->n_cached += r->grade->n_cached;
    for (size_t g = 0; g < r->grade->n_parts && g < GRADE_MAX_PARTS; g++) {
        s->seconds[g] += r->grade->part_seconds[g];
        s->usage[g].prompt += r->grade->part_usage[g].prompt;
        s->usage[g].completion += r->grade->part_usage[g].completion;
        s->usage[g].cached += r->grade->part_usage[g].cached;
        for (size_t bit = 0; bit < COUNT_OF(s->n_flags[g]); bit++)
            s->n_flags[g][bit] += (r->grade->part_flags[g] >> bit) & 1;
    }
}

static void put(json_t *obj, const char *key, json_t *value)
{
    const int rc = json_object_set_new(obj, key, value);

    assert(rc == 0);
    (void)rc;
}

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *number_if(bool measured, double x)
{
    return measured ? number(x) : json_null();
}

static json_t *count(size_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *mean(double sum, size_t n)
{
    return n > 0 ? number(sum / (double)n) : json_null();
}

static json_t *grader_entry(const struct metrics_graders *g, size_t i)
{
    json_t *e = json_object(), *name = json_string(g->name[i]);

    put(e, "name", name != NULL ? name : json_string("grader")); /* NULL: not UTF-8 */
    put(e, "type", json_string(g->type[i]));
    return e;
}

static bool is_shadow(const struct metrics_graders *g, size_t i)
{
    return g->shadow != NULL && g->shadow[i];
}

/*
 * The graders of one part of the tree, an entry each: those that are rewarded where the API has them, shadows, where
 * there are any, in a list beside.
 */
struct grader_lists {
    json_t *graders, *shadows;
};

static struct grader_lists put_lists(json_t *to, const struct metrics_graders *g)
{
    struct grader_lists l = {.graders = json_array()};

    put(to, "graders", l.graders);
    for (size_t i = 0; i < g->n && l.shadows == NULL; i++)
        if (is_shadow(g, i)) {
            l.shadows = json_array();
            put(to, "shadow_graders", l.shadows);
        }
    return l;
}

static json_t *add_entry(const struct grader_lists *l, const struct metrics_graders *g, size_t i)
{
    json_t *e = grader_entry(g, i);

    json_array_append_new(is_shadow(g, i) ? l->shadows : l->graders, e);
    return e;
}

static json_t *scores_of(const struct step_metrics *m, const struct metrics_graders *g)
{
    json_t *scores = json_object();

    put(scores, "train_reward_mean", number_if(m->n_samples > 0, m->train_mean_reward));
    put(scores, "valid_reward_mean", number_if(m->has_valid, m->valid_mean_reward));
    const struct grader_lists lists = put_lists(scores, g);
    for (size_t i = 0; i < g->n; i++) {
        json_t *e = add_entry(&lists, g, i);

        put(e, "train_reward_mean", number_if(m->n_samples > 0, m->grader_train_mean[i]));
        put(e, "valid_reward_mean", number_if(m->has_valid, m->grader_valid_mean[i]));
    }
    return scores;
}

static const char *model_of(const struct metrics_graders *g, size_t i)
{
    return g->model != NULL ? g->model[i] : NULL;
}

static void put_tokens(json_t *e, const char *key, bool measured, size_t tokens, size_t n)
{
    char name[64];

    snprintf(name, sizeof name, "%s_mean", key);
    put(e, name, number_if(measured && n > 0, (double)tokens / (double)n));
    snprintf(name, sizeof name, "%s_count", key);
    put(e, name, number_if(measured, (double)tokens));
}

/* The tokens of a grader that asks a model, an answer on average and in all. */
static void put_usage(json_t *e, const struct step_metrics *m, const struct metrics_tally *t,
                      size_t i)
{
    const bool trained = m->n_samples > 0, valid = m->has_valid;

    put_tokens(e, "train_prompt_tokens", trained, t->train.usage[i].prompt, t->train.n);
    put_tokens(e, "train_completion_tokens", trained, t->train.usage[i].completion, t->train.n);
    put_tokens(e, "valid_prompt_tokens", valid, t->valid.usage[i].prompt, t->valid.n);
    put_tokens(e, "valid_completion_tokens", valid, t->valid.usage[i].completion, t->valid.n);
}

static json_t *usage_of(const struct step_metrics *m, const struct metrics_tally *t,
                        const struct metrics_graders *g)
{
    json_t *usage = json_object(), *samples = json_object();
    const bool trained = m->n_samples > 0, valid = m->has_valid;
    const double train_mean = m->reasoning_tokens_mean, valid_mean = m->valid_reasoning_tokens_mean;

    put(samples, "train_reasoning_tokens_mean", number_if(trained, train_mean));
    put(samples, "train_reasoning_tokens_count",
        number_if(trained, round(train_mean * (double)m->n_samples)));
    put(samples, "valid_reasoning_tokens_mean", number_if(valid, valid_mean));
    put(samples, "valid_reasoning_tokens_count",
        number_if(valid && t->valid.n > 0, round(valid_mean * (double)t->valid.n)));
    put(usage, "samples", samples);
    const struct grader_lists lists = put_lists(usage, g);
    for (size_t i = 0; i < g->n; i++) {
        if (model_of(g, i) == NULL)
            continue;
        json_t *e = add_entry(&lists, g, i);

        put(e, "model", json_string(model_of(g, i)));
        put_usage(e, m, t, i);
    }
    return usage;
}

/* Which errors a grader of a type can have, with the API's names. */
struct error_column {
    const char *name;
    unsigned flags;
    const char *type; /* of graders that have it; NULL: all */
};
static const struct error_column error_columns[] = {
    {"sample_parse_error", GRADE_SAMPLE_PARSE_ERROR, NULL},
    {"invalid_variable_error", GRADE_INVALID_VARIABLE_ERROR, NULL},
    {"other_error", GRADE_OTHER_ERROR | GRADE_TRUNCATED_OBSERVATION_ERROR, NULL},
    {"python_grader_server_error", GRADE_PYTHON_SERVER_ERROR, "python"},
    {"python_grader_runtime_error", GRADE_PYTHON_RUNTIME_ERROR, "python"},
    {"model_grader_server_error",
     GRADE_MODEL_SERVER_ERROR | GRADE_MODEL_REFUSAL_ERROR | GRADE_MODEL_PARSE_ERROR, "score_model"},
};

static void put_errors(json_t *e, const char *file, const struct metrics_sums *s, size_t grader,
                       const char *type)
{
    for (size_t c = 0; c < COUNT_OF(error_columns); c++) {
        const struct error_column *col = &error_columns[c];
        char key[96];
        size_t n = 0;

        if (col->type != NULL && strcmp(col->type, type) != 0)
            continue;
        for (size_t bit = 0; bit < COUNT_OF(s->n_flags[grader]); bit++)
            n += (col->flags >> bit) & 1 ? s->n_flags[grader][bit] : 0;
        snprintf(key, sizeof key, "%s_%s_mean", file, col->name);
        put(e, key, mean((double)n, s->n));
        snprintf(key, sizeof key, "%s_%s_count", file, col->name);
        put(e, key, number_if(s->n > 0, (double)n)); /* the API counts in floating point */
    }
}

static void add_tokens(json_t *to, const char *key, size_t tokens)
{
    put(to, key, json_integer(json_integer_value(json_object_get(to, key)) + (json_int_t)tokens));
}

/* The tokens of each model that graders ask, whichever ask it. */
static json_t *models_of(const struct metrics_tally *t, const struct metrics_graders *g)
{
    json_t *models = json_object();

    for (size_t i = 0; i < g->n; i++) {
        const char *name = model_of(g, i);
        json_t *e = name != NULL ? json_object_get(models, name) : NULL;

        if (name == NULL)
            continue;
        if (e == NULL) {
            e = json_object();
            put(models, name, e);
        }
        add_tokens(e, "train_prompt_tokens", t->train.usage[i].prompt);
        add_tokens(e, "train_completion_tokens", t->train.usage[i].completion);
        add_tokens(e, "train_cached_tokens", t->train.usage[i].cached);
        add_tokens(e, "eval_prompt_tokens", t->valid.usage[i].prompt);
        add_tokens(e, "eval_completion_tokens", t->valid.usage[i].completion);
        add_tokens(e, "eval_cached_tokens", t->valid.usage[i].cached);
    }
    return models;
}

static json_t *errors_of(const struct metrics_tally *t, const struct metrics_graders *g)
{
    json_t *errors = json_object();
    const struct grader_lists lists = put_lists(errors, g);

    for (size_t i = 0; i < g->n; i++) {
        json_t *e = add_entry(&lists, g, i);

        put_errors(e, "train", &t->train, i, g->type[i]);
        put_errors(e, "valid", &t->valid, i, g->type[i]);
    }
    return errors;
}

static json_t *timing_of(const struct step_metrics *m, const struct metrics_tally *t,
                         const struct metrics_graders *g)
{
    json_t *timing = json_object(), *step = json_object(), *passes = json_object();

    /* they depend on what pays at the time, and change no result: so they are told with the times */
    put(passes, "sampling", count(m->passes_sampled));
    put(passes, "rows_drafted", count(m->rows_drafted));
    put(passes, "rows_accepted", count(m->rows_accepted));
    put(step, "sampling", number(m->seconds_sampling));
    put(step, "grading_wait", number(m->seconds_grading_wait));
    put(step, "training", number(m->seconds_training));
    put(step, "eval", number(m->seconds_eval));
    put(step, "full_iteration", number(m->seconds_total));
    put(timing, "step", step);
    put(timing, "passes", passes);
    if (g->n_tools > 0)
        put(timing, "train_tool_latency_mean", mean(m->tool_seconds, m->n_tool_calls));
    const struct grader_lists lists = put_lists(timing, g);
    for (size_t i = 0; i < g->n; i++) {
        json_t *e = add_entry(&lists, g, i);

        put(e, "train_execution_latency_mean",
            number_if(m->n_samples > 0, m->grader_seconds_mean[i]));
        put(e, "valid_execution_latency_mean", mean(t->valid.seconds[i], t->valid.n));
    }
    return timing;
}

/* What answers look like: train/habits.h. */
static json_t *ledger_of(const struct step_metrics *m)
{
    json_t *ledger = json_object();
    char key[64];

    for (enum habit h = 0; h < N_HABITS; h++) {
        snprintf(key, sizeof key, "train_%s", habit_name(h));
        put(ledger, key, number_if(m->n_samples > 0, m->train_habit[h]));
    }
    put(ledger, "train_same_reference_share", number_if(m->n_samples > 0, m->train_same_reference));
    for (enum habit h = 0; h < N_HABITS; h++) {
        snprintf(key, sizeof key, "valid_%s", habit_name(h));
        put(ledger, key, number_if(m->has_valid, m->valid_habit[h]));
    }
    return ledger;
}

static void put_own(json_t *d, const struct step_metrics *m, const struct metrics_tally *t)
{
    const bool trained = m->n_samples > 0;
    const double seconds = m->seconds_sampling;

    put(d, "epoch", count(m->epoch));
    put(d, "valid_completion_tokens_mean",
        number_if(m->has_valid, m->valid_completion_tokens_mean));
    put(d, "full_valid_reward_ci95", number_if(m->has_valid, m->valid_ci95));
    put(d, "full_valid_greedy_reward", number_if(m->has_valid, m->valid_greedy_reward));
    put(d, "reward_std", number_if(trained, m->reward_std));
    put(d, "grader_cache_hit_rate", mean((double)t->train.n_cached, t->train.n_asked_cache));
    put(d, "entropy", number_if(trained, m->entropy));
    put(d, "kl", number_if(trained, m->kl));
    put(d, "max_dlogp", number_if(trained, m->max_dlogp));
    put(d, "samples", count(m->n_samples));
    put(d, "groups", count(m->n_groups));
    put(d, "flat_groups", count(m->n_flat_groups));
    put(d, "flat_groups_all_zero", count(m->n_groups_all_zero));
    put(d, "flat_groups_all_one", count(m->n_groups_all_one));
    put(d, "truncated_share", number_if(trained, m->truncated_share));
    put(d, "learning_rate", number_if(trained, m->learning_rate));
    put(d, "grad_norm", number_if(trained, m->grad_norm));
    put(d, "loss", number_if(trained, m->loss));
    put(d, "temperature", number_if(trained, m->temperature));
    put(d, "rolled_back", json_integer(m->rolled_back));
    put(d, "tokens_sampled", count(m->tokens_sampled));
    put(d, "tokens_trained", count(m->tokens_trained));
    put(d, "tokens_prompt", count(m->tokens_prompt));
    put(d, "tokens_per_second",
        number_if(trained && seconds > 0, (double)m->tokens_sampled / seconds));
    put(d, "seconds_left", number(m->seconds_left));
    put(d, "peak_rss_bytes", count(m->peak_rss_bytes));
    put(d, "adapter_sha256",
        m->adapter_sha256[0] != '\0' ? json_string(m->adapter_sha256) : json_null());
}

/* Of the step's answers; how long calls took stands with the times. */
static void put_tools(json_t *d, const struct step_metrics *m, const struct metrics_tally *t,
                      const struct metrics_graders *g)
{
    json_t *tools = json_object();
    const bool trained = m->n_samples > 0;
    char key[96];

    put(tools, "train_calls_mean", mean((double)m->n_tool_calls, m->n_samples));
    put(tools, "train_tokens_per_call_mean", mean((double)m->n_tool_tokens, m->n_tool_calls));
    put(tools, "train_refused_calls_count", number_if(trained, (double)m->n_tool_refused));
    put(tools, "train_lost_samples_count", number_if(trained, (double)m->n_tool_lost));
    put(d, "tools", tools);
    for (size_t i = 0; i < g->n_tools; i++) { /* the API's own name */
        snprintf(key, sizeof key, "train_error_count_%s", g->tool[i]);
        put(d, key, number_if(trained, (double)t->tool_errors[i]));
    }
}

json_t *metrics_tree(const struct step_metrics *m, const struct metrics_tally *t,
                     const struct metrics_graders *g)
{
    json_t *d = json_object();
    const bool trained = m->n_samples > 0, valid = m->has_valid;
    size_t bit_unresponsive = 0;

    while ((1u << bit_unresponsive) != GRADE_UNRESPONSIVE_REWARD_ERROR)
        bit_unresponsive++;
    put(d, "step", count(m->step));
    put(d, "total_steps", count(m->total_steps));
    put(d, "train_mean_reward", number_if(trained, m->train_mean_reward));
    put(d, "full_valid_mean_reward", number_if(valid, m->valid_mean_reward));
    put(d, "reasoning_tokens_mean", number_if(trained, m->reasoning_tokens_mean));
    put(d, "completion_tokens_mean", number_if(trained, m->completion_tokens_mean));
    put(d, "valid_reasoning_tokens_mean", number_if(valid, m->valid_reasoning_tokens_mean));
    put(d, "mean_unresponsive_rewards",
        mean((double)m->grader_errors[bit_unresponsive], m->n_samples));
    put(d, "full_valid_mean_parse_error",
        valid ? mean((double)t->valid.n_parse_errors, t->valid.n) : json_null());
    put_own(d, m, t);
    put(d, "scores", scores_of(m, g));
    put(d, "usage", usage_of(m, t, g));
    put(d, "errors", errors_of(t, g));
    put(d, "timing", timing_of(m, t, g));
    if (g->n_tools > 0)
        put_tools(d, m, t, g);
    put(d, "model_graders_token_usage", models_of(t, g));
    put(d, "ledger", ledger_of(m));
    return d;
}

/* A copy without the members that tell of the validation. */
static json_t *without_valid(const json_t *v)
{
    json_t *copy, *value;
    const char *key;
    size_t i;

    if (json_is_array(v)) {
        copy = json_array();
        json_array_foreach(v, i, value) json_array_append_new(copy, without_valid(value));
        return copy;
    }
    if (!json_is_object(v))
        return json_deep_copy(v);
    copy = json_object();
    json_object_foreach((json_t *)(uintptr_t)v, key, value)
    {
        if (strncmp(key, "valid_", 6) != 0 && strncmp(key, "full_valid_", 11) != 0)
            put(copy, key, without_valid(value));
    }
    return copy;
}

json_t *metrics_event_data(const json_t *tree)
{
    const bool valid = json_is_number(json_object_get(tree, "full_valid_mean_reward"));

    return valid ? json_deep_copy(tree) : without_valid(tree);
}

void metrics_message(struct buf *out, const json_t *tree)
{
    static const struct {
        const char *key, *text;
    } parts[] = {
        {"train_mean_reward", "train mean reward"},
        {"full_valid_mean_reward", "full validation mean reward"},
        {"full_valid_mean_parse_error", "full validation mean parse error"},
    };

    /* the space before the first comma is the API's */
    buf_printf(out, "Step %lld/%lld ", (long long)json_integer_value(json_object_get(tree, "step")),
               (long long)json_integer_value(json_object_get(tree, "total_steps")));
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        const json_t *v = json_object_get(tree, parts[i].key);

        if (json_is_number(v))
            buf_printf(out, ", %s=%.2f", parts[i].text, json_number_value(v));
    }
}

/* ---- supervised and dpo ---- */

/* Of the training batch, a batch of the validation file and all of it. */
static const char *const fit_parts[] = {"train", "valid", "full_valid"};

static void put_measure(json_t *tree, const char *part, bool measured, const struct fit_measure *m)
{
    char key[64];

    snprintf(key, sizeof key, "%s_loss", part);
    put(tree, key, number_if(measured, m->loss));
    snprintf(key, sizeof key, "%s_mean_token_accuracy", part);
    put(tree, key, number_if(measured, m->token_accuracy));
}

/* prefix: "" of the training batch, "valid_" or "full_valid_" */
static void put_rewards(json_t *tree, const char *prefix, bool measured,
                        const struct fit_measure *m)
{
    const struct {
        const char *name;
        double value;
    } rewards[] = {{"chosen", m->reward_chosen},
                   {"rejected", m->reward_rejected},
                   {"accuracies", m->reward_accuracy},
                   {"margins", m->reward_margin}};
    char key[64];

    for (size_t i = 0; i < COUNT_OF(rewards); i++) {
        snprintf(key, sizeof key, "%srewards/%s", prefix, rewards[i].name);
        put(tree, key, number_if(measured, rewards[i].value));
    }
}

json_t *metrics_fit_tree(const struct fit_metrics *m, enum train_method method)
{
    json_t *tree = json_object();

    put(tree, "step", count(m->step));
    put_measure(tree, fit_parts[0], true, &m->train);
    put_measure(tree, fit_parts[1], m->has_valid, &m->valid);
    put_measure(tree, fit_parts[2], m->has_full_valid, &m->full_valid);
    if (method == METHOD_DPO) {
        put_rewards(tree, "", true, &m->train);
        put_rewards(tree, "full_valid_", m->has_full_valid, &m->full_valid);
    }
    return tree;
}

json_t *metrics_fit_data(const struct fit_metrics *m, const json_t *tree)
{
    json_t *data = json_object(), *value;
    const char *key;

    put(data, "step", count(m->step));
    put(data, "total_steps", count(m->total_steps));
    json_object_foreach((json_t *)(uintptr_t)tree, key, value)
    {
        if (!json_is_null(value))
            put(data, key, json_incref(value));
    }
    put(data, "epoch", count(m->epoch));
    put(data, "train_tokens", count(m->train.n_tokens));
    put(data, "learning_rate", number(m->learning_rate));
    put(data, "grad_norm", number(m->grad_norm));
    put(data, "adapter_sha256", json_string(m->adapter_sha256));
    put(data, "timing",
        json_pack("{s:{s:o, s:o, s:o}}", "step", "training", number(m->seconds_training), "eval",
                  number(m->seconds_eval), "full_iteration", number(m->seconds_total)));
    put(data, "peak_rss_bytes", count(m->peak_rss_bytes));
    return data;
}

void metrics_fit_message(struct buf *out, const json_t *data)
{
    static const struct {
        const char *key, *text;
    } parts[] = {
        {"train_loss", ": training loss"},
        {"valid_loss", ", validation loss"},
        {"full_valid_loss", ", full validation loss"},
    };

    buf_printf(out, "Step %lld/%lld", (long long)json_integer_value(json_object_get(data, "step")),
               (long long)json_integer_value(json_object_get(data, "total_steps")));
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        const json_t *v = json_object_get(data, parts[i].key);

        if (json_is_number(v))
            buf_printf(out, "%s=%.2f", parts[i].text, json_number_value(v));
    }
}

json_t *metrics_fit_checkpoint(const json_t *data)
{
    json_t *out = json_object();

    put(out, "step", json_incref(json_object_get(data, "step")));
    for (size_t i = 0; i < COUNT_OF(fit_parts); i++) {
        static const char *const kinds[] = {"loss", "mean_token_accuracy"};

        for (size_t k = 0; k < COUNT_OF(kinds); k++) {
            char key[64];

            snprintf(key, sizeof key, "%s_%s", fit_parts[i], kinds[k]);
            const json_t *v = json_object_get(data, key);
            if (json_is_number(v))
                put(out, key, json_incref((json_t *)(uintptr_t)v));
        }
    }
    return out;
}

/* ---- CSV ---- */

bool metrics_repeats(const char *column)
{
    static const char *const beginnings[] = {"timing/", "usage/graders/", "usage/shadow_graders/",
                                             "model_graders_token_usage/"};
    static const char *const names[] = {"tokens_per_second", "seconds_left", "peak_rss_bytes",
                                        "grader_cache_hit_rate"};

    for (size_t i = 0; i < COUNT_OF(beginnings); i++)
        if (strncmp(column, beginnings[i], strlen(beginnings[i])) == 0)
            return false;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (strcmp(column, names[i]) == 0)
            return false;
    return true;
}

static void csv_cell(struct buf *out, const char *text)
{
    if (text[strcspn(text, "\",\r\n")] == '\0') {
        buf_text(out, text);
        return;
    }
    buf_char(out, '"');
    for (; *text != '\0'; text++) {
        if (*text == '"')
            buf_char(out, '"');
        buf_char(out, *text == '\n' || *text == '\r' ? ' ' : *text); /* a row stays a line */
    }
    buf_char(out, '"');
}

static void csv_value(struct buf *out, const json_t *v)
{
    if (json_is_string(v))
        csv_cell(out, json_string_value(v));
    else if (!json_is_null(v))
        json_write(out, v, NULL);
}

/* Each leaf of the tree as one cell: its path or its value. */
static void csv_cells(struct buf *out, const json_t *v, const char *path, bool names, bool *first)
{
    json_t *value;
    const char *key;
    char below[512];
    size_t i;

    if (json_is_array(v)) {
        json_array_foreach(v, i, value)
        { /* lists are of graders, which have names */
            snprintf(below, sizeof below, "%s/%s", path,
                     json_string_value(json_object_get(value, "name")));
            csv_cells(out, value, below, names, first);
        }
    } else if (json_is_object(v)) {
        const bool is_grader = json_object_get(v, "name") != NULL;

        json_object_foreach((json_t *)(uintptr_t)v, key, value)
        {
            if (is_grader &&
                (strcmp(key, "name") == 0 || strcmp(key, "type") == 0 || strcmp(key, "model") == 0))
                continue;
            snprintf(below, sizeof below, "%s%s%s", path, path[0] == '\0' ? "" : "/", key);
            csv_cells(out, value, below, names, first);
        }
    } else {
        if (!*first)
            buf_char(out, ',');
        *first = false;
        if (names)
            csv_cell(out, path);
        else
            csv_value(out, v);
    }
}

void metrics_csv_header(struct buf *out, const json_t *tree)
{
    bool first = true;

    csv_cells(out, tree, "", true, &first);
    buf_char(out, '\n');
}

void metrics_csv_row(struct buf *out, const json_t *tree)
{
    bool first = true;

    csv_cells(out, tree, "", false, &first);
    buf_char(out, '\n');
}
