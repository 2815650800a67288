/*
 * score_model.c - the grader that asks a model for a number, which is clamped to "range" ([0, 1] unless given).
 *
 * The range is not scaled: with [0, 5] the reward is a number from 0 to 5.
 */
#include "grade/model_grader.h"
#include "grade/verdict.h"

#include <math.h>

struct state {
    struct model_grader judge;
    double low, high;
};

static bool open_range(struct grader *g, struct grader_part *part, struct state *st,
                       struct error *err)
{
    const json_t *range = json_object_get(part->spec, "range"), *low = json_array_get(range, 0),
                 *high = json_array_get(range, 1);
    const char *param = part_param(g, part, "range");

    st->low = 0;
    st->high = 1;
    if (range == NULL || json_is_null(range))
        return true;
    if (json_array_size(range) != 2 || !json_is_number(low) || !json_is_number(high))
        return fail_param(err, ERR_INVALID, param, "%s: expected two numbers such as [0, 1]",
                          param);
    st->low = json_number_value(low); /* JSON has no infinity */
    st->high = json_number_value(high);
    if (!(st->low < st->high))
        return fail_param(err, ERR_INVALID, param,
                          "%s: the first number must be less than the second, and these are %g and "
                          "%g",
                          param, st->low, st->high);
    return true;
}

static bool verdict(const struct model_grader *m, struct str reply, double *score,
                    struct error *err)
{
    const struct state *st = (const void *)m; /* its first member */
    double x;

    if (!verdict_number(reply, &x, err))
        return false;
    *score = fmin(fmax(x, st->low), st->high);
    return true;
}

static bool open_part(struct grader *g, struct grader_part *part, struct error *err)
{
    struct state *st = ARENA_NEW(&g->arena, struct state);

    if (!open_range(g, part, st, err) || !model_grader_open(g, part, &st->judge, err))
        return false;
    st->judge.form = arena_printf(&g->arena, "a number from %g to %g", st->low, st->high);
    st->judge.response_format = model_grader_form(json_pack("{s:s}", "type", "number"));
    st->judge.verdict = verdict;
    part->state = st;
    return true;
}

const struct grader_type grader_score_model = {.name = "score_model",
                                               .needs_name = true,
                                               .asks = true,
                                               .open = open_part,
                                               .run = model_grader_run,
                                               .check_item = model_grader_check_item,
                                               .deterministic = model_grader_deterministic,
                                               .close = model_grader_close};
