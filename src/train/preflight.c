/*
 * preflight.c - what a job leaves open, measured on the base model.
 */
#include "train/preflight.h"
#include "base/mean.h"
#include "base/parallel.h"
#include "base/size.h"
#include "train/answers.h"

#include <math.h>
#include <stdio.h>

/* A probe draws up to 16 answers to each of 24 prompts, and fewer of each where they are long. */
#define PROBE_ROWS 24
#define PROBE_SAMPLES 16
#define PROBE_TOKENS 16384
#define SHORTEST 1
#define LONG_PROBE 256

/* A sample cut after n tokens, as it would have been with that limit. */
static struct sample cut(const struct sample *s, size_t n)
{
    struct sample c = *s;

    if (s->n > n) {
        c.n = n;
        c.end = SAMPLE_LENGTH;
        c.n_thinking = size_min(c.n_thinking, n);
    }
    return c;
}

/* What the answers of a probe earn when cut at each length: [lengths][rows], the mean of each row's. */
struct probe {
    size_t longest, n_rows, n_lengths;
    size_t length[16];
    double reward[16];
    double of_row[16][PROBE_ROWS];
};

static bool grade_cut(const struct reinforce_inputs *in, struct grade_queue *queue,
                      const struct answers *x, size_t length, struct arena *a, struct probe *out,
                      struct error *err)
{
    const size_t n = x->n_rows * x->n_samples, at = out->n_lengths++;
    struct answer_slot *slots = ARENA_ARRAY(a, struct answer_slot, n);

    for (size_t i = 0; i < n; i++) {
        const struct sample s = cut(x->slots[i].sample, length);
        struct answer_slot *slot = &slots[i];

        const struct dataset_row *row = &in->train->rows[x->items[i / x->n_samples]];

        slot->input = answers_input(in->prompter, row, &s, NULL, a, &slot->answer);
        grade_queue_put(queue, row->item, &slot->input, &slot->grade);
    }
    if (!answers_wait(queue, in->sink, in->stop))
        return fail(err, ERR_CANCELLED, "stopped on request while answers were being graded");
    out->length[at] = length;
    for (size_t i = 0; i < n; i++) {
        out->reward[at] += slots[i].grade.reward / (double)n;
        out->of_row[at][i / x->n_samples] += slots[i].grade.reward / (double)x->n_samples;
    }
    return true;
}

static bool probe_lengths(struct engine *e, const struct reinforce_inputs *in,
                          const struct recipe *r, size_t longest, struct probe *out,
                          struct error *err)
{
    const bool wide = PROBE_ROWS * PROBE_SAMPLES * longest <= PROBE_TOKENS;
    const size_t n_rows = size_min(wide ? PROBE_ROWS : PROBE_ROWS / 3, in->train->n_rows);
    struct answers_options opt = answers_of_step(r, 0, in->stop);
    struct arena a = {0};
    struct grade_queue *queue = NULL;
    struct answers x;
    size_t *items = ARENA_ARRAY(&a, size_t, n_rows);

    opt.n_samples = wide ? PROBE_SAMPLES : PROBE_SAMPLES / 2;
    opt.max_tokens = longest;
    for (size_t i = 0; i < n_rows; i++)
        items[i] = i * in->train->n_rows / n_rows;
    *out = (struct probe){.longest = longest, .n_rows = n_rows};
    bool ok = grade_queue_open(in->grader, 0, &queue, err) &&
              answers_get(e, in->start, in->prompter, in->train, items, n_rows, queue, &opt,
                          in->sink, &a, &x, err);
    for (size_t length = SHORTEST; ok && length <= longest; length *= 2)
        ok = grade_cut(in, queue, &x, length, &a, out, err);
    grade_queue_close(queue);
    arena_release(&a);
    return ok;
}

/* Which is the shortest length that earns nearly what the best earns; -1 where none earns anything. */
static int shortest_good(const struct probe *p)
{
    double best = 0;

    for (size_t i = 0; i < p->n_lengths; i++)
        best = fmax(best, p->reward[i]);
    for (size_t i = 0; i < p->n_lengths; i++)
        if (best > 0 && p->reward[i] >= 0.9 * best)
            return (int)i;
    return -1;
}

/*
 * Whether answers of the b-th length earn more than those cut after the a-th, by three standard errors over the prompts:
 * rare finds among eight prompts are far from normal, and three errors are a find in five of the eight, which is what
 * the sign test asks for at 5 %, too.
 */
static bool surely_earns_more(const struct probe *p, int a, int b)
{
    const struct mean more = mean_of_differences(p->n_rows, p->of_row[a], p->of_row[b]);

    return p->n_rows > 1 && more.mean > 3 * more.error;
}

static bool say(const struct reinforce_inputs *in, const char *text, struct error *err)
{
    return in->sink == NULL || in->sink->event == NULL ||
           in->sink->event(in->sink->ctx, EVENT_INFO, text, err);
}

/*
 * Many short answers first. Only where the longest of them earn most, or none anything, fewer long ones are drawn; what
 * the many said stands unless the few are sure of better.
 */
static bool settle_length(struct engine *e, const struct reinforce_inputs *in, struct recipe *r,
                          struct error *err)
{
    const size_t room = in->model->max_positions / 2;
    bool doubtful = false;
    struct probe p;
    char text[256];

    if (!probe_lengths(e, in, r, size_min(PREFLIGHT_TOKENS, room), &p, err))
        return false;
    int good = shortest_good(&p);
    if ((good < 0 || p.length[good] == p.longest) && room > p.longest) {
        const int first = good; /* the lengths of both probes are 1, 2, 4, 8, ... */

        if (!probe_lengths(e, in, r, size_min(LONG_PROBE, room), &p, err))
            return false;
        good = shortest_good(&p);
        doubtful = first >= 0 && (good < 0 || !surely_earns_more(&p, first, good));
        if (doubtful)
            good = first;
    }
    const size_t length = good < 0 ? 0 : p.length[good];

    r->max_tokens = size_min(room, good < 0 ? LONG_PROBE : 2 * length);
    if (good < 0)
        snprintf(
            text, sizeof text,
            "Answers may have %zu tokens: the base model's earn nothing at any length up to that.",
            r->max_tokens);
    else if (doubtful)
        snprintf(
            text, sizeof text,
            "Answers may have %zu tokens: on the base model longer ones than %zu do not surely earn more.",
            r->max_tokens, length);
    else
        snprintf(
            text, sizeof text,
            "Answers may have %zu tokens: on the base model those cut after %zu earn most of what longer ones do.",
            r->max_tokens, length);
    return say(in, text, err);
}

#define MOST_ANSWERS 128 /* of a group that is fitted, times the multiplier */

/* 256 tokens a prompt, 8 to 64 answers, times the multiplier. */
static size_t first_group_size(const struct recipe *r)
{
    const double k = r->compute_multiplier, g = k * 256.0 / (double)r->max_tokens;

    return (size_t)fmax(4, fmin(64 * k, fmax(8 * k, g)));
}

size_t preflight_group_size(const struct recipe *r, size_t g)
{
    return (size_t)fmax((double)first_group_size(r),
                        fmin((double)g, floor(MOST_ANSWERS * r->compute_multiplier)));
}

bool preflight_settle(struct engine *e, const struct reinforce_inputs *in, struct recipe *r,
                      struct error *err)
{
    if (r->max_tokens == 0 && !settle_length(e, in, r, err))
        return false;
    if (r->group_size == 0) {
        r->group_auto = true;
        r->group_size = first_group_size(r);
    }
    return true;
}
