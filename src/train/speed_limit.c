/*
 * speed_limit.c - the passes of a measured part, as rows.
 */
#include "train/speed_limit.h"

struct passes { /* added up */
    const struct model *m;
    const struct roof *roof;
    struct speed_limit sum;
    double multiplying, reading;
};

static void add(struct passes *p, struct work one, double n)
{
    const struct work all = work_times(one, n);

    p->sum.work = work_sum(p->sum.work, all);
    p->sum.seconds += work_seconds(&all, p->roof);
    p->multiplying += work_multiply_seconds(&all, p->roof);
    p->reading += work_read_seconds(&all, p->roof);
}

static double prompt_rows(const struct speed_case *k)
{
    return (double)(k->n_prompts * k->prompt_tokens);
}

/* A prompt's rows see 1, 2, ... positions. */
static double prompts_see(const struct speed_case *k)
{
    return prompt_rows(k) * (double)(k->prompt_tokens + 1) / 2;
}

static void add_prefill(struct passes *p, const struct speed_case *k, size_t rank)
{
    const struct work_rows r = {.rows = prompt_rows(k),
                                .seen = prompts_see(k),
                                .logits = (double)k->n_prompts,
                                .rank = rank};

    add(p, work_forward(p->m, &r), 1);
}

/* rows: of all answers. One that follows i of its own answer's tokens sees its prompt and i more, i = 1 .. n - 1. */
static void add_sample(struct passes *p, const struct speed_case *k, double rows, size_t rank)
{
    const double steps = (double)k->answer_tokens - 1, each = rows / steps;
    const struct work_rows r = {.rows = each,
                                .seen = each *
                                        ((double)k->prompt_tokens + (double)k->answer_tokens / 2),
                                .logits = each,
                                .read = prompt_rows(k) + each * (steps - 1) / 2,
                                .rank = rank};

    add(p, work_forward(p->m, &r), steps);
}

/* Of rows_of_all that there would be, did no two answers begin alike. */
static struct work_rows tree_rows_of_case(const struct speed_case *k)
{
    const double answers = (double)(k->n_prompts * k->n_answers),
                 rows = answers * ((double)k->answer_tokens - 1);

    return (struct work_rows){
        .rows = prompt_rows(k) + rows,
        .seen = prompts_see(k) + rows * ((double)k->prompt_tokens + (double)k->answer_tokens / 2),
        .logits = (double)k->n_prompts + rows,
        .rank = SPEED_RANK};
}

/* share: of the rows that were really there. */
static struct work_rows so_many(struct work_rows r, double share)
{
    r.rows *= share;
    r.seen *= share;
    r.logits *= share;
    return r;
}

static void add_step(struct passes *p, const struct speed_case *k, const struct speed_time *t)
{
    const struct work_rows whole = tree_rows_of_case(k);
    const double share = (double)t->rows / (2 * whole.rows); /* sampled, and trained on */
    const struct work_rows r = so_many(whole, share), logits = {.logits = r.logits};

    add_prefill(p, k, SPEED_RANK);
    if (k->answer_tokens > 1)
        add_sample(p, k, r.rows - prompt_rows(k), SPEED_RANK);
    add(p, work_forward(p->m, &logits), 1);
    add(p, work_backward(p->m, &r), 1);
}

struct speed_limit speed_limit_of(const struct model *m, enum speed_part part,
                                  const struct speed_case *k, size_t rank,
                                  const struct speed_time *t, const struct roof *roof)
{
    struct passes p = {.m = m, .roof = roof};

    if (part == SPEED_PREFILL)
        add_prefill(&p, k, rank);
    if (part == SPEED_SAMPLE)
        add_sample(&p, k, (double)t->rows - prompt_rows(k), rank);
    if (part == SPEED_TRAIN) {
        const struct work_rows whole = tree_rows_of_case(k),
                               r = so_many(whole, (double)t->rows / whole.rows);

        add(&p, work_forward(m, &r), 1);
        add(&p, work_backward(m, &r), 1);
    }
    if (part == SPEED_STEP)
        add_step(&p, k, t);
    p.sum.reads = p.reading > p.multiplying;
    return p.sum;
}

size_t speed_limit_buffer(const struct model *m)
{
    const struct work_rows one = {.rows = 1, .logits = 1};

    return (size_t)work_forward(m, &one).bytes;
}
