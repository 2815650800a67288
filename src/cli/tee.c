/*
 * tee.c - each call passed on.
 */
#include "cli/tee.h"

static bool on_event(void *ctx, enum event_level level, const char *message, struct error *err)
{
    const struct tee *t = ctx;

    for (size_t i = 0; i < t->n; i++)
        if (t->sinks[i].event != NULL && !t->sinks[i].event(t->sinks[i].ctx, level, message, err))
            return false;
    return true;
}

static bool on_rollout(void *ctx, const struct rollout *r, struct error *err)
{
    const struct tee *t = ctx;

    for (size_t i = 0; i < t->n; i++)
        if (t->sinks[i].rollout != NULL && !t->sinks[i].rollout(t->sinks[i].ctx, r, err))
            return false;
    return true;
}

static bool on_step(void *ctx, const struct step_metrics *m, struct error *err)
{
    const struct tee *t = ctx;

    for (size_t i = 0; i < t->n; i++)
        if (t->sinks[i].step != NULL && !t->sinks[i].step(t->sinks[i].ctx, m, err))
            return false;
    return true;
}

static bool on_fit_step(void *ctx, const struct fit_metrics *m, struct error *err)
{
    const struct tee *t = ctx;

    for (size_t i = 0; i < t->n; i++)
        if (t->sinks[i].fit_step != NULL && !t->sinks[i].fit_step(t->sinks[i].ctx, m, err))
            return false;
    return true;
}

static bool on_before_checkpoint(void *ctx, size_t step, struct error *err)
{
    const struct tee *t = ctx;

    for (size_t i = 0; i < t->n; i++)
        if (t->sinks[i].before_checkpoint != NULL &&
            !t->sinks[i].before_checkpoint(t->sinks[i].ctx, step, err))
            return false;
    return true;
}

static bool on_checkpoint(void *ctx, const struct checkpoint_info *c, struct error *err)
{
    const struct tee *t = ctx;

    for (size_t i = 0; i < t->n; i++)
        if (t->sinks[i].checkpoint != NULL && !t->sinks[i].checkpoint(t->sinks[i].ctx, c, err))
            return false;
    return true;
}

static bool on_rewind(void *ctx, size_t step, struct error *err)
{
    const struct tee *t = ctx;

    for (size_t i = 0; i < t->n; i++)
        if (t->sinks[i].rewind != NULL && !t->sinks[i].rewind(t->sinks[i].ctx, step, err))
            return false;
    return true;
}

static bool on_settled(void *ctx, const json_t *values, struct error *err)
{
    const struct tee *t = ctx;

    for (size_t i = 0; i < t->n; i++)
        if (t->sinks[i].settled != NULL && !t->sinks[i].settled(t->sinks[i].ctx, values, err))
            return false;
    return true;
}

static void on_tick(void *ctx, const char *phase, size_t done, size_t total)
{
    const struct tee *t = ctx;

    for (size_t i = 0; i < t->n; i++)
        if (t->sinks[i].tick != NULL)
            t->sinks[i].tick(t->sinks[i].ctx, phase, done, total);
}

struct progress_sink tee_sink(struct tee *t)
{
    return (struct progress_sink){.ctx = t,
                                  .event = on_event,
                                  .rollout = on_rollout,
                                  .step = on_step,
                                  .fit_step = on_fit_step,
                                  .before_checkpoint = on_before_checkpoint,
                                  .checkpoint = on_checkpoint,
                                  .rewind = on_rewind,
                                  .settled = on_settled,
                                  .tick = on_tick};
}
