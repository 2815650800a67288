/*
 * valid_evals.c - written the moment they are known, so that a run that is killed has them, too.
 */
#include "cli/valid_evals.h"
#include "base/mean.h"
#include "base/size.h"
#include "job/run_folder.h"
#include "job/run_read.h"

#include <math.h>

void valid_evals_init(struct valid_evals *v, const char *run_dir, const char *data, size_t n_rows,
                      struct arena *a)
{
    struct run_checkpoint *c;
    struct error ignored;
    size_t n = 0;

    *v = (struct valid_evals){.run_dir = run_dir,
                              .data = data,
                              .n_rows = n_rows,
                              .best = -HUGE_VAL,
                              .sum = ARENA_ARRAY(a, double, n_rows + 1),
                              .mean = ARENA_ARRAY(a, double, n_rows + 1),
                              .n_answers = ARENA_ARRAY(a, size_t, n_rows + 1)};
    if (run_read_checkpoints(run_dir, a, &c, &n, &ignored))
        for (size_t i = 0; i < n; i++)
            if (c[i].valid_mean_reward > v->best) /* false for NaN */
                v->best = c[i].valid_mean_reward;
}

static bool write_eval(const struct valid_evals *v, const char *name, struct error *err)
{
    size_t answers = 0;
    json_t *j;

    if (v->n_rows == 0)
        return true;
    for (size_t i = 0; i < v->n_rows; i++) {
        if (v->n_answers[i] == 0)
            return true; /* not all of it was told: nothing to say */
        v->mean[i] = v->sum[i] / (double)v->n_answers[i];
        answers += v->n_answers[i];
    }
    const struct mean m = mean_of(v->n_rows, v->mean);
    j = json_pack("{s:I, s:I, s:f, s:[f, f], s:I, s:s}", "n", (json_int_t)v->n_rows, "samples",
                  (json_int_t)(answers / v->n_rows), "reward_mean", m.mean, "reward_ci95",
                  m.mean - m.ci95, m.mean + m.ci95, "step", (json_int_t)v->step, "data", v->data);
    const bool ok = j != NULL
                        ? run_folder_put_eval(v->run_dir, name, j, err)
                        : fail(err, ERR_INVALID, "the path of the validation file is not UTF-8");
    json_decref(j);
    return ok;
}

static bool on_rollout(void *ctx, const struct rollout *r, struct error *err)
{
    struct valid_evals *v = ctx;

    if (!r->valid || r->item >= v->n_rows) {
        if (!v->base_unwritten)
            return true;
        v->base_unwritten = false;
        return write_eval(v, "before", err);
    }
    if (r->step != v->step || (r->item == 0 && r->sample == 0)) {
        v->step = r->step;
        memset(v->sum, 0, v->n_rows * sizeof *v->sum);
        memset(v->n_answers, 0, v->n_rows * sizeof *v->n_answers);
    }
    v->base_unwritten = r->step == 0;
    v->sum[r->item] += r->grade->reward;
    v->n_answers[r->item]++;
    return true;
}

static bool on_step(void *ctx, const struct step_metrics *m, struct error *err)
{
    struct valid_evals *v = ctx;

    if (!m->has_valid || v->step != m->step || m->valid_mean_reward <= v->best)
        return true;
    v->best = m->valid_mean_reward;
    return write_eval(v, "after", err);
}

struct progress_sink valid_evals_sink(struct valid_evals *v)
{
    return (struct progress_sink){.ctx = v, .rollout = on_rollout, .step = on_step};
}
