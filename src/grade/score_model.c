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
    const char *form; /* "a number from 0 to 1" */
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

static bool open_part(struct grader *g, struct grader_part *part, struct error *err)
{
    struct state *st = ARENA_NEW(&g->arena, struct state);

    if (!open_range(g, part, st, err) || !model_grader_open(g, part, &st->judge, err))
        return false;
    st->form = arena_printf(&g->arena, "a number from %g to %g", st->low, st->high);
    st->judge.response_format = model_grader_form(json_pack("{s:s}", "type", "number"));
    part->state = st;
    return true;
}

static bool verdict(const void *state, struct str reply, double *score, struct error *err)
{
    const struct state *st = state;
    double x;

    if (!verdict_number(reply, &x, err))
        return false;
    *score = fmin(fmax(x, st->low), st->high);
    return true;
}

static void run_part(struct grader *g, const struct grader_part *part, struct grade_scope *s,
                     struct part_result *out)
{
    const struct state *st = part->state;

    model_grader_run(g, &st->judge, verdict, st, st->form, s, out);
}

static bool check_item(const struct grader *g, const struct grader_part *part, const json_t *item,
                       const char *what, struct error *err)
{
    const struct state *st = part->state;

    (void)g;
    return model_grader_check_item(&st->judge, item, what, err);
}

static bool is_deterministic(const struct grader_part *part)
{
    const struct state *st = part->state;

    return model_grader_deterministic(&st->judge);
}

static void close_part(const struct grader_part *part)
{
    const struct state *st = part->state;

    json_decref(st->judge.response_format);
}

const struct grader_type grader_score_model = {.name = "score_model",
                                               .needs_name = true,
                                               .asks = true,
                                               .open = open_part,
                                               .run = run_part,
                                               .check_item = check_item,
                                               .deterministic = is_deterministic,
                                               .close = close_part};
