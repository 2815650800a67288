/*
 * check_json.c - every figure by its name.
 */
#include "cli/check_json.h"

#include <math.h>
#include <stdio.h>

static json_t *with_plan(json_t *o, const struct memory_plan *p)
{
    json_object_set_new(o, "memory_plan", memory_plan_json(p));
    return o;
}

static json_t *reinforcement_json(const struct check_report *r, const struct grader *g)
{
    json_t *shadows = json_array();

    for (size_t i = 0; i < grader_count(g); i++)
        if (grader_is_shadow(g, i))
            json_array_append_new(
                shadows,
                json_pack("{s:s, s:s, s:o, s:f}", "name", grader_name(g, i), "type",
                          grader_type(g, i), "reward_mean",
                          isfinite(r->shadow_mean[i]) ? json_real(r->shadow_mean[i]) : json_null(),
                          "error_share", r->shadow_failed[i]));
    return json_pack(
        "{s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o}",
        "can_learn", r->can_learn, "verdict", r->verdict, "rows_train", (json_int_t)r->n_rows_train,
        "rows_valid", (json_int_t)r->n_rows_valid, "rows_checked", (json_int_t)r->n_rows_checked,
        "samples", (json_int_t)r->n_samples, "max_tokens", (json_int_t)r->max_tokens, "reward_mean",
        r->reward_mean, "any_reward", r->any_reward, "pass_at_k", r->pass_at_k, "flat_share",
        r->flat_share, "flat_share_low", r->flat_share_low, "flat_share_high", r->flat_share_high,
        "best_mean", r->best_mean, "best_low", r->best_low, "best_high", r->best_high,
        "truncated_share", r->truncated_share, "reward_distinct", r->reward_distinct,
        "grader_error_share", r->grader_error_share, "better_share", r->better_share, "tokens_mean",
        r->tokens_mean, "better_a_step", r->better_a_step, "seconds_per_step", r->seconds_per_step,
        "seconds_total", r->seconds_total, "memory_bytes", r->memory_bytes, "shadow_graders",
        shadows);
}

json_t *check_json(const struct check_report *r, const struct grader *g)
{
    return with_plan(reinforcement_json(r, g), &r->plan);
}

const char *check_fit_verdict(const struct fit_report *r, char words[80])
{
    snprintf(words, 80, "Every row can be learned by method %s.", train_method_name(r->method));
    return words;
}

static json_t *fit_json(const struct fit_report *r)
{
    char words[80];

    return json_pack(
        "{s:b, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f}",
        "can_learn", 1, "verdict", check_fit_verdict(r, words), "method",
        train_method_name(r->method), "rows_train", (json_int_t)r->n_rows_train, "rows_valid",
        (json_int_t)r->n_rows_valid, "tokens", (json_int_t)r->tokens, "learned_tokens",
        (json_int_t)r->learned, "longest_row_tokens", (json_int_t)r->longest, "longest_row_line",
        (json_int_t)r->longest_line, "batch_size", (json_int_t)r->batch_size, "n_epochs",
        (json_int_t)r->n_epochs, "steps", (json_int_t)r->steps, "first_loss", r->first.loss,
        "first_mean_token_accuracy", r->first.token_accuracy, "seconds_per_step",
        r->seconds_per_step, "seconds_total", r->seconds_total, "memory_bytes", r->memory_bytes);
}

json_t *check_fit_json(const struct fit_report *r)
{
    return with_plan(fit_json(r), &r->plan);
}
