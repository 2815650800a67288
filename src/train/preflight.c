/*
 * preflight.c - what a job leaves open, measured on the base model.
 */
#include "train/preflight.h"
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

struct probe {
    size_t longest;
    size_t n_lengths;
    size_t length[16];
    double reward[16]; /* mean, at each length */
};

static bool grade_cut(const struct reinforce_inputs *in, struct grade_queue *queue,
                      const struct answers *x, size_t length, struct arena *a, double *mean)
{
    const size_t n = x->n_rows * x->n_samples;
    struct answer_slot *slots = ARENA_ARRAY(a, struct answer_slot, n);

    for (size_t i = 0; i < n; i++) {
        const struct sample s = cut(x->slots[i].sample, length);
        struct answer_slot *slot = &slots[i];

        prompter_answer(in->prompter, &s, a, &slot->answer);
        slot->input = (struct grade_sample){.output_text = slot->answer.text,
                                            .truncated = s.end == SAMPLE_LENGTH};
        grade_queue_put(queue, in->train->rows[x->items[i / x->n_samples]].item, &slot->input,
                        &slot->grade);
    }
    grade_queue_wait(queue);
    *mean = 0;
    for (size_t i = 0; i < n; i++)
        *mean += slots[i].grade.reward / (double)n;
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
    *out = (struct probe){.longest = longest};
    bool ok = grade_queue_open(in->grader, parallel_threads(), &queue, err) &&
              answers_get(e, NULL, in->prompter, in->train, items, n_rows, queue, &opt, in->sink,
                          &a, &x, err);
    for (size_t length = SHORTEST; ok && length <= longest; length *= 2) {
        out->length[out->n_lengths] = length;
        ok = grade_cut(in, queue, &x, length, &a, &out->reward[out->n_lengths++]);
    }
    grade_queue_close(queue);
    arena_release(&a);
    return ok;
}

/* The shortest length that earns nearly what the best earns, or 0 where none earns anything. */
static size_t shortest_good(const struct probe *p)
{
    double best = 0;

    for (size_t i = 0; i < p->n_lengths; i++)
        best = fmax(best, p->reward[i]);
    for (size_t i = 0; i < p->n_lengths; i++)
        if (best > 0 && p->reward[i] >= 0.9 * best)
            return p->length[i];
    return 0;
}

static bool say(const struct reinforce_inputs *in, const char *text, struct error *err)
{
    return in->sink == NULL || in->sink->event == NULL ||
           in->sink->event(in->sink->ctx, EVENT_INFO, text, err);
}

static bool settle_length(struct engine *e, const struct reinforce_inputs *in, struct recipe *r,
                          struct error *err)
{
    static const size_t probes[] = {32, 256};
    const size_t room = in->model->max_positions / 2;
    char text[256];

    for (size_t i = 0; i < COUNT_OF(probes); i++) {
        struct probe p;

        if (!probe_lengths(e, in, r, size_min(probes[i], room), &p, err))
            return false;
        const size_t good = shortest_good(&p);
        if (good > 0 && (good < p.longest || i + 1 == COUNT_OF(probes))) {
            r->max_tokens = size_min(room, 2 * good);
            snprintf(
                text, sizeof text,
                "Answers may have %zu tokens: on the base model those cut after %zu earn most of what longer ones do.",
                r->max_tokens, good);
            return say(in, text, err);
        }
    }
    r->max_tokens = size_min(room, probes[COUNT_OF(probes) - 1]);
    snprintf(text, sizeof text,
             "Answers may have %zu tokens: the base model's earn nothing at any length up to that.",
             r->max_tokens);
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
