/*
 * watch_read.c - names of keys and members of structs, side by side.
 */
#include "cli/watch_read.h"
#include "base/size.h"

#include <math.h>
#include <stdio.h>

static double number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);

    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

/* A count that may have been written by anyone: 0 where it is none. */
static size_t count(const json_t *o, const char *key)
{
    const double x = number(o, key);

    return x >= 0 && x < 1e15 ? (size_t)x : 0;
}

/* 0 where it was not measured. */
static double number_or_0(const json_t *o, const char *key)
{
    const double x = number(o, key);

    return isfinite(x) ? x : 0;
}

bool watch_is_fit(const json_t *data)
{
    return json_object_get(data, "train_loss") != NULL;
}

enum event_level watch_level(const json_t *event)
{
    const struct str level = json_str(json_object_get(event, "level"));

    return str_starts(level, STR("err"))    ? EVENT_ERROR
           : str_starts(level, STR("warn")) ? EVENT_WARN
                                            : EVENT_INFO;
}

struct step_metrics watch_step(const json_t *data)
{
    const json_t *step = json_object_get(json_object_get(data, "timing"), "step");
    const size_t n = count(data, "samples");

    return (struct step_metrics){
        .step = count(data, "step"),
        .total_steps = count(data, "total_steps"),
        .epoch = count(data, "epoch"),
        .n_samples = n,
        .n_groups = count(data, "groups"),
        .n_flat_groups = count(data, "flat_groups"),
        .n_groups_all_zero = count(data, "flat_groups_all_zero"),
        .n_groups_all_one = count(data, "flat_groups_all_one"),
        .train_mean_reward = number(data, "train_mean_reward"),
        .reward_std = number(data, "reward_std"),
        .completion_tokens_mean = number_or_0(data, "completion_tokens_mean"),
        .reasoning_tokens_mean = number_or_0(data, "reasoning_tokens_mean"),
        .truncated_share = number_or_0(data, "truncated_share"),
        .entropy = number_or_0(data, "entropy"),
        .kl = number_or_0(data, "kl"),
        .max_dlogp = number_or_0(data, "max_dlogp"),
        .grad_norm = number_or_0(data, "grad_norm"),
        .learning_rate = number_or_0(data, "learning_rate"),
        .loss = number_or_0(data, "loss"),
        .temperature = number_or_0(data, "temperature"),
        .rolled_back = number_or_0(data, "rolled_back") > 0,
        .has_valid = isfinite(number(data, "full_valid_mean_reward")),
        .valid_mean_reward = number(data, "full_valid_mean_reward"),
        .valid_ci95 = number_or_0(data, "full_valid_reward_ci95"),
        .valid_greedy_reward = number(data, "full_valid_greedy_reward"),
        .seconds_sampling = number_or_0(step, "sampling"),
        .seconds_grading_wait = number_or_0(step, "grading_wait"),
        .seconds_training = number_or_0(step, "training"),
        .seconds_eval = number_or_0(step, "eval"),
        .seconds_total = number_or_0(step, "full_iteration"),
        .tokens_sampled = count(data, "tokens_sampled"),
        .tokens_prompt = count(data, "tokens_prompt"),
        .tokens_trained = count(data, "tokens_trained"),
        .seconds_left = number_or_0(data, "seconds_left"),
        .peak_rss_bytes = count(data, "peak_rss_bytes"),
    };
}

static struct fit_measure measure(const json_t *data, const char *part, const char *rewards)
{
    char loss[64], accuracy[64], margin[64], pairs[64];

    snprintf(loss, sizeof loss, "%s_loss", part);
    snprintf(accuracy, sizeof accuracy, "%s_mean_token_accuracy", part);
    snprintf(margin, sizeof margin, "%srewards/margins", rewards);
    snprintf(pairs, sizeof pairs, "%srewards/accuracies", rewards);
    return (struct fit_measure){.loss = number(data, loss),
                                .token_accuracy = number(data, accuracy),
                                .reward_margin = number_or_0(data, margin),
                                .reward_accuracy = number_or_0(data, pairs)};
}

struct fit_metrics watch_fit_step(const json_t *data)
{
    struct fit_metrics m = {
        .step = count(data, "step"),
        .total_steps = count(data, "total_steps"),
        .epoch = count(data, "epoch"),
        .train = measure(data, "train", ""),
        .valid = measure(data, "valid", ""),
        .full_valid = measure(data, "full_valid", "full_valid_"),
        .seconds_total =
            number_or_0(json_object_get(json_object_get(data, "timing"), "step"), "full_iteration"),
    };

    m.has_valid = isfinite(m.valid.loss);
    m.has_full_valid = isfinite(m.full_valid.loss);
    if (m.total_steps > m.step) /* it is not written down: as the last step took */
        m.seconds_left = (double)(m.total_steps - m.step) * m.seconds_total;
    return m;
}

struct rollout watch_rollout(const json_t *line, bool valid, struct buf *prompt,
                             struct grade_result *grade)
{
    const struct str own = json_str(json_object_get(line, "prompt"));

    *grade = (struct grade_result){.reward = number_or_0(line, "reward")};
    if (own.len > 0) {
        buf_clear(prompt);
        buf_str(prompt, own);
    }
    return (struct rollout){
        .step = count(line, "step"),
        .valid = valid,
        .item = count(line, "item"),
        /* whoever has the prompt is the first of its group: of a server's few lines it may be any */
        .sample = own.len > 0 ? 0 : count(line, "sample"),
        .prompt = buf_view(prompt),
        .answer = json_str(json_object_get(line, "answer")),
        .thinking = json_str(json_object_get(line, "thinking")),
        .grade = grade,
        .advantage = (float)number_or_0(line, "advantage")};
}
