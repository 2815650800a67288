/*
 * explain.c - sentences with their thresholds.
 */
#include "train/explain.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>

MUST_CHECK static bool say(const struct progress_sink *sink, struct error *err,
                           enum event_level level, const char *fmt, ...) PRINTF_LIKE(4, 5);
static bool say(const struct progress_sink *sink, struct error *err, enum event_level level,
                const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    if (sink == NULL || sink->event == NULL)
        return true;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return sink->event(sink->ctx, level, text, err);
}

static bool explain_flat(const struct step_metrics *m, const struct progress_sink *sink,
                         struct error *err)
{
    const size_t other = m->n_flat_groups - m->n_groups_all_zero - m->n_groups_all_one;

    if (m->n_flat_groups * 2 <= m->n_groups)
        return true;
    if (m->n_groups_all_zero == m->n_flat_groups)
        return say(sink, err, EVENT_WARN,
                   "Step %zu: %zu of %zu prompts carry no signal: every answer got 0.", m->step,
                   m->n_flat_groups, m->n_groups);
    if (m->n_groups_all_one == m->n_flat_groups)
        return say(sink, err, EVENT_INFO,
                   "Step %zu: %zu of %zu prompts carry no signal: every answer was right.", m->step,
                   m->n_flat_groups, m->n_groups);
    return say(
        sink, err, EVENT_WARN,
        "Step %zu: %zu of %zu prompts carry no signal: %zu got only 0, %zu were always right, %zu got the same otherwise.",
        m->step, m->n_flat_groups, m->n_groups, m->n_groups_all_zero, m->n_groups_all_one, other);
}

/* The last line of a traceback is the one that says what happened. */
static struct str last_line(const char *details)
{
    struct str s = str_of(details);
    size_t begin;

    while (s.len > 0 && s.ptr[s.len - 1] == '\n')
        s.len--;
    for (begin = s.len; begin > 0 && s.ptr[begin - 1] != '\n';)
        begin--;
    return str_from(s, begin);
}

static bool explain_graders(const struct step_metrics *m, const struct progress_sink *sink,
                            struct error *err)
{
    const struct str cause = last_line(m->grader_failure);

    if (m->n_grader_failed * 20 <= m->n_samples)
        return true;
    return say(
        sink, err, EVENT_WARN,
        "Step %zu: the grader failed on %zu of %zu answers; they count as 0. The first time: " STR_FMT
        ". All details stand in the rollouts.",
        m->step, m->n_grader_failed, m->n_samples, STR_ARG(cause));
}

#define FIRST_STEPS 5

static bool explain_collapse(const struct step_metrics *m, struct train_state *s,
                             const struct progress_sink *sink, struct error *err)
{
    const bool flat = m->n_flat_groups * 10 >= m->n_groups * 6;

    if (m->step <= FIRST_STEPS) {
        s->entropy_start += (m->entropy - s->entropy_start) / (double)m->step;
        return true;
    }
    if (!s->collapse_told && flat && m->entropy < 0.25 * s->entropy_start &&
        m->train_mean_reward < 0.8) {
        s->collapse_told = true;
        return say(
            sink, err, EVENT_WARN,
            "Step %zu: the answers have collapsed: nearly the same answer whatever the prompt (entropy %.2f, %.2f at the "
            "start; %zu of %zu prompts without signal). Groups without signal cannot undo this. Go back to the best "
            "checkpoint, and try a lower learning_rate_multiplier, a larger group or an entropy_floor.",
            m->step, m->entropy, s->entropy_start, m->n_flat_groups, m->n_groups);
    }
    if (s->collapse_told && m->entropy > 0.5 * s->entropy_start) {
        s->collapse_told = false;
        return say(sink, err, EVENT_INFO, "Step %zu: the answers vary again (entropy %.2f).",
                   m->step, m->entropy);
    }
    return true;
}

static bool explain_length(const struct step_metrics *m, const struct recipe *r,
                           const struct progress_sink *sink, struct error *err)
{
    if (m->truncated_share <= 0.3 || (m->step != 1 && m->step % 25 != 0))
        return true;
    return say(sink, err, EVENT_WARN,
               "Step %zu: %.0f %% of the answers met the limit of %zu tokens before they ended.",
               m->step, 100 * m->truncated_share, r->max_tokens);
}

bool explain_step(const struct step_metrics *m, const struct recipe *r, struct train_state *state,
                  const struct progress_sink *sink, struct error *err)
{
    return explain_flat(m, sink, err) && explain_graders(m, sink, err) &&
           explain_collapse(m, state, sink, err) && explain_length(m, r, sink, err);
}
