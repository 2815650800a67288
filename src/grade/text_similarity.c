/*
 * text_similarity.c - the grader that compares input with reference by a metric of similarity.h.
 */
#include "grade/cosine.h"
#include "grade/grader_internal.h"
#include "grade/similarity.h"

struct state {
    const struct template *input, *reference;
    const struct similarity_metric *metric;
};

static bool can_embed(const struct grader *g, struct error *err)
{
    const struct grade_services *services = g->options.services;

    if (services == NULL || services->embed == NULL)
        return fail(err, ERR_UNSUPPORTED,
                    "it compares texts by an embedding model, and none is there");
    return services->can_embed == NULL || services->can_embed(services->embed_ctx, err);
}

/* The similarity of two texts by their vectors. */
static bool cosine(const struct grader *g, struct str input, struct str reference, struct arena *a,
                   double *out, struct error *err)
{
    const struct grade_services *services = g->options.services;
    const float *x, *y;
    size_t n, n_y;

    if (!services->embed(services->embed_ctx, input, a, &x, &n, err) ||
        !services->embed(services->embed_ctx, reference, a, &y, &n_y, err))
        return false;
    if (n != n_y)
        return fail(err, ERR_IO, "the embedding model gave vectors of %zu and %zu numbers", n, n_y);
    *out = cosine_similarity(n, x, y);
    return true;
}

static bool open_part(struct grader *g, struct grader_part *part, struct error *err)
{
    struct state *st = ARENA_NEW(&g->arena, struct state);
    struct str metric;
    struct error why = {0};
    const char *param = part_param(g, part, "evaluation_metric");

    if (!part_template(g, part, "input", &st->input, err) ||
        !part_template(g, part, "reference", &st->reference, err) ||
        !part_str(g, part, "evaluation_metric", &metric, err))
        return false;
    st->metric = similarity_find(metric);
    if (st->metric == NULL)
        return fail_param(
            err, ERR_INVALID, param,
            "%s: \"%.*s\" is no metric; there are fuzzy_match, bleu, gleu, meteor, cosine, rouge_1 to "
            "rouge_5, rouge_l",
            param, (int)(metric.len < 64 ? metric.len : 64), metric.ptr);
    if (!(st->metric->fn == NULL ? can_embed(g, &why)
                                 : st->metric->prepare == NULL || st->metric->prepare(&why)))
        return fail_param(
            err, why.kind, param,
            "%s: %s cannot be computed here: %s; the other metrics need no such thing", param,
            st->metric->name, why.message);
    part->state = st;
    return true;
}

static void run_part(struct grader *g, const struct grader_part *part, struct grade_scope *s,
                     struct part_result *out)
{
    const struct state *st = part->state;
    struct error err = {0};
    struct str input, reference;
    unsigned flag = GRADE_OTHER_ERROR;

    if (!template_render(st->input, s, &input, &flag, &err) ||
        !template_render(st->reference, s, &reference, &flag, &err)) {
        part_fail(out, flag, err.message);
        return;
    }
    if (!(st->metric->fn != NULL ? st->metric->fn(input, reference, s->arena, &out->score, &err)
                                 : cosine(g, input, reference, s->arena, &out->score, &err)))
        part_fail(out, GRADE_OTHER_ERROR, err.message);
}

static bool check_item(const struct grader *g, const struct grader_part *part, const json_t *item,
                       const char *what, struct error *err)
{
    const struct state *st = part->state;

    (void)g;
    return template_check_item(st->input, item, what, err) &&
           template_check_item(st->reference, item, what, err);
}

const struct grader_type grader_text_similarity = {.name = "text_similarity",
                                                   .needs_name = true,
                                                   .open = open_part,
                                                   .run = run_part,
                                                   .check_item = check_item};
