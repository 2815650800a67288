/*
 * report_pick.c - which answers of a run its page shows, and what was pushed where: read from a dozen of its steps.
 */
#include "base/mean.h"
#include "base/size.h"
#include "job/line_file.h"
#include "job/report_internal.h"
#include "job/rollout_line.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_PAIRS 8
#define MAX_SIDE 3   /* answers shown on each side of a pair */
#define MAX_NEWEST 5 /* best, and worst, answers */
#define MAX_GROUP 4  /* answers of a token view */
#define MAX_WORDS 14
#define MAX_FAILED 5
#define WORD_STEPS 12   /* steps whose tokens are summed up */
#define SEARCH_STEPS 60 /* first steps that are searched for the prompts of the last ones */
#define FILE_TOKENS ((size_t)1 << 20) /* read of one step */
#define FILE_ANSWERS ((size_t)4096)
#define PROMPT_BYTES 1200
#define ANSWER_BYTES 1600
#define THINKING_BYTES 2400
#define DETAILS_BYTES 1000
#define SHOWN_TOKENS 160
#define SHOWN_THINKING 100 /* of those, where an answer follows */

/* {"answer":"kidney","line":3} -> answer: kidney · line: 3 */
static struct report_text reference_text(struct arena *a, const json_t *reference)
{
    struct buf b;
    json_t *value;
    const char *key;

    buf_init(&b, 8 * PROMPT_BYTES);
    json_object_foreach((json_t *)(uintptr_t)reference, key, value)
    {
        if (b.len > 0)
            buf_text(&b, " \xC2\xB7 ");
        buf_printf(&b, "%.100s: ", key);
        if (json_is_string(value))
            buf_str(&b, json_str(value));
        else
            json_write(&b, value, NULL);
        if (b.len > PROMPT_BYTES)
            break;
    }
    const struct report_text t = report_cut(a, buf_view(&b), PROMPT_BYTES / 2);
    buf_release(&b);
    return t;
}

/* ---- the sum of pushes ---- */

/* A table of words, open addressing. */
struct words {
    struct arena *arena;
    struct report_word *slot;
    size_t n_slots, n;
};

static struct report_word *word_slot(struct report_word *slot, size_t n_slots, struct str text)
{
    uint64_t h = 1469598103934665603u;

    for (size_t i = 0; i < text.len; i++)
        h = (h ^ (unsigned char)text.ptr[i]) * 1099511628211u;
    for (size_t i = (size_t)h & (n_slots - 1);; i = (i + 1) & (n_slots - 1))
        if (slot[i].n == 0 || str_eq(slot[i].text, text))
            return &slot[i];
}

/* A word that n samples have. */
static void words_add(struct words *w, struct str text, double push, size_t n)
{
    if (2 * (w->n + 1) > w->n_slots) {
        const size_t n_slots = w->n_slots == 0 ? 1024 : w->n_slots * 2;
        struct report_word *slot = ARENA_ARRAY(w->arena, struct report_word, n_slots);

        for (size_t i = 0; i < w->n_slots; i++)
            if (w->slot[i].n > 0)
                *word_slot(slot, n_slots, w->slot[i].text) = w->slot[i];
        w->slot = slot;
        w->n_slots = n_slots;
    }
    struct report_word *s = word_slot(w->slot, w->n_slots, text);
    if (s->n == 0) {
        s->text = arena_str(w->arena, text);
        w->n++;
    }
    s->n += n;
    s->push += push * (double)n;
}

static int by_push(const void *a, const void *b)
{
    const double x = ((const struct report_word *)a)->push,
                 y = ((const struct report_word *)b)->push;

    return (x < y) - (x > y);
}

static void words_rank(struct words *w, struct report_data *d)
{
    struct report_word *all = ARENA_ARRAY(w->arena, struct report_word, w->n + 1);
    size_t n = 0;

    for (size_t i = 0; i < w->n_slots; i++)
        if (w->slot[i].n > 0 && isfinite(w->slot[i].push))
            all[n++] = w->slot[i];
    qsort(all, n, sizeof *all, by_push);
    d->up = all;
    while (d->n_up < n && d->n_up < MAX_WORDS && all[d->n_up].push > 0.05)
        d->n_up++;
    d->down = ARENA_ARRAY(w->arena, struct report_word, MAX_WORDS);
    while (d->n_down < n && d->n_down < MAX_WORDS && all[n - 1 - d->n_down].push < -0.05) {
        d->down[d->n_down] = all[n - 1 - d->n_down];
        d->n_down++;
    }
}

/* ---- answers of one file ---- */

struct answers {
    struct arena *arena;
    struct report_answer *a;
    size_t n, cap, n_tokens;
    struct words *words; /* or NULL */
    bool valid;
};

/* Where there are several graders: what each gave, shadows by that name. */
static void read_scores(struct arena *a, const json_t *scores, const json_t *shadows,
                        struct report_answer *out)
{
    const size_t n_rewarded = size_min(json_object_size(scores), 64),
                 n = size_min(n_rewarded + json_object_size(shadows), 64);
    json_t *value;
    const char *key;
    size_t i = 0;

    if (n < 2)
        return;
    const char **name = ARENA_ARRAY(a, const char *, n);
    double *score = ARENA_ARRAY(a, double, n);
    for (int shadow = 0; shadow < 2; shadow++) {
        json_object_foreach((json_t *)(uintptr_t)(shadow ? shadows : scores), key, value)
        {
            if (i == n)
                break;
            const struct str shown = report_cut(a, str_of(key), 60).text;
            name[i] = arena_printf(a, STR_FMT "%s", STR_ARG(shown), shadow ? " (shadow)" : "");
            score[i++] = json_is_number(value) ? json_number_value(value) : (double)NAN;
        }
    }
    out->n_scores = n;
    out->score_name = name;
    out->score = score;
}

const bool *report_given(struct arena *a, const json_t *line, size_t n)
{
    const json_t *ranges = json_object_get(line, "injected");
    bool *given = json_is_array(ranges) ? ARENA_ARRAY(a, bool, n + 1) : NULL;

    for (size_t i = 0; i < json_array_size(ranges); i++) {
        const json_t *r = json_array_get(ranges, i);
        const json_int_t from = json_integer_value(json_array_get(r, 0)),
                         more = json_integer_value(json_array_get(r, 1));

        for (json_int_t k = 0; from >= 0 && k < more && (size_t)from + (size_t)k < n; k++)
            given[from + k] = true;
    }
    return given;
}

static void read_tokens(struct answers *to, const json_t *v, struct report_answer *out)
{
    const json_t *pieces = json_object_get(v, "pieces"), *logprobs = json_object_get(v, "logprobs");
    const size_t n = json_array_size(pieces);

    out->n_tokens = json_array_size(json_object_get(v, "tokens"));
    out->n_thinking_tokens = size_min(report_count(v, "thinking_tokens"), out->n_tokens);
    to->n_tokens += out->n_tokens;
    const bool *given = report_given(to->arena, v, n);
    if (given != NULL) /* each turn has a span of its own */
        out->n_thinking_tokens = 0;
    const size_t n_head = size_min(out->n_thinking_tokens, SHOWN_THINKING);
    struct report_token *shown =
        ARENA_ARRAY(to->arena, struct report_token, size_min(n, SHOWN_TOKENS) + 1);
    for (size_t i = 0; i < n; i++) {
        const json_t *x = json_array_get(logprobs, i);
        const bool is_given = given != NULL && given[i];
        const float logprob = json_is_number(x) && !is_given ? (float)json_number_value(x) : NAN;
        const struct str text = json_str(json_array_get(pieces, i));

        if ((i < n_head || i >= out->n_thinking_tokens) && out->n_shown_tokens < SHOWN_TOKENS)
            shown[out->n_shown_tokens++] =
                (struct report_token){.at = i,
                                      .text = report_cut(to->arena, text, 200).text,
                                      .logprob = logprob,
                                      .given = is_given};
        if (to->words != NULL && out->trained && text.len > 0 && text.len < 60 && !isnan(logprob))
            words_add(to->words, text, out->advantage * (1 - exp(fmin(0, (double)logprob))),
                      out->n);
    }
    out->token = shown;
}

static void fill(struct answers *to, const json_t *v, struct report_answer *r)
{
    struct buf errors;

    *r = (struct report_answer){.step = report_count(v, "step"),
                                .item = report_count(v, "item"),
                                .sample = report_count(v, "sample"),
                                .valid = to->valid,
                                .n = rollout_line_samples(v)};
    r->reward = report_number(v, "reward");
    r->advantage = report_number(v, "advantage");
    if (isnan(r->advantage))
        r->advantage = 0;
    r->truncated = json_is_true(json_object_get(v, "truncated"));
    r->trained = json_is_true(json_object_get(v, "trained"));
    r->thinking = report_cut(to->arena, json_str(json_object_get(v, "thinking")), THINKING_BYTES);
    r->answer = report_cut(to->arena, json_str(json_object_get(v, "answer")), ANSWER_BYTES);
    r->details = report_cut(to->arena, json_str(json_object_get(v, "details")), DETAILS_BYTES);
    r->prompt = report_cut(to->arena, json_str(json_object_get(v, "prompt")), PROMPT_BYTES);
    r->reference = reference_text(to->arena, json_object_get(v, "reference"));
    buf_init(&errors, 400);
    const json_t *flags = json_object_get(v, "errors");
    for (size_t i = 0; i < json_array_size(flags) && i < 11; i++)
        buf_printf(&errors, "%s%.40s", i > 0 ? ", " : "", json_str(json_array_get(flags, i)).ptr);
    r->errors = arena_str(to->arena, buf_view(&errors));
    buf_release(&errors);
    read_scores(to->arena, json_object_get(v, "scores"), json_object_get(v, "shadow_scores"), r);
    read_tokens(to, v, r);
}

void report_answer_read(struct arena *a, const json_t *line, bool valid, struct report_answer *out)
{
    struct answers to = {.arena = a, .valid = valid};

    fill(&to, line, out);
}

static bool read_answer(void *ctx, const json_t *v)
{
    struct answers *to = ctx;

    if (to->n == to->cap) {
        to->cap = to->cap == 0 ? 64 : to->cap * 2;
        struct report_answer *more = ARENA_ARRAY(to->arena, struct report_answer, to->cap);
        if (to->n > 0)
            memcpy(more, to->a, to->n * sizeof *more);
        to->a = more;
    }
    fill(to, v, &to->a[to->n++]);
    return to->n < FILE_ANSWERS && to->n_tokens < FILE_TOKENS;
}

static int by_item(const void *a, const void *b)
{
    const struct report_answer *x = a, *y = b;

    if (x->item != y->item)
        return x->item < y->item ? -1 : 1;
    return (x->sample > y->sample) - (x->sample < y->sample);
}

/* The answers of a step by item and sample, each with its group's prompt. */
static bool read_file(const char *dir, size_t step, bool valid, struct words *words,
                      struct report_data *d, struct answers *out, struct error *err)
{
    struct answers to = {.arena = d->arena, .words = words, .valid = valid};

    if (!run_read_rollouts(dir, step, valid, read_answer, &to, &d->n_bad, err))
        return false;
    if (to.n > 0)
        qsort(to.a, to.n, sizeof *to.a, by_item);
    for (size_t i = 1; i < to.n; i++)
        if (to.a[i].item == to.a[i - 1].item && to.a[i].prompt.text.len == 0) {
            to.a[i].prompt = to.a[i - 1].prompt;
            to.a[i].reference = to.a[i - 1].reference;
        }
    *out = to;
    return true;
}

/* How many of a[0..n) have the item of the first: the different answers of a group. */
static size_t group_size(const struct report_answer *a, size_t n)
{
    size_t k = 0;

    while (k < n && a[k].item == a[0].item)
        k++;
    return k;
}

/* Of how many samples a[0..n) are. */
static size_t count_samples(const struct report_answer *a, size_t n)
{
    size_t k = 0;

    for (size_t i = 0; i < n; i++)
        k += a[i].n;
    return k;
}

static double mean_reward(const struct report_answer *a, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += isnan(a[i].reward) ? 0 : a[i].reward * (double)a[i].n;
    return n > 0 ? sum / (double)count_samples(a, n) : 0;
}

/* ---- before and after ---- */

struct candidates {
    struct report_pair *p;
    size_t n, cap;
};

static void add_candidate(struct arena *a, struct candidates *c, const struct report_answer *before,
                          size_t n_before, const struct report_answer *after, size_t n_after)
{
    if (c->n == c->cap) {
        c->cap = c->cap == 0 ? 64 : c->cap * 2;
        struct report_pair *more = ARENA_ARRAY(a, struct report_pair, c->cap);
        if (c->n > 0)
            memcpy(more, c->p, c->n * sizeof *more);
        c->p = more;
    }
    c->p[c->n++] = (struct report_pair){.before = before,
                                        .after = after,
                                        .n_before = size_min(n_before, MAX_SIDE),
                                        .n_after = size_min(n_after, MAX_SIDE),
                                        .reward_before = mean_reward(before, n_before),
                                        .reward_after = mean_reward(after, n_after)};
}

/* Items that both lists have; both are sorted by item. */
static void match(struct arena *a, const struct answers *before, const struct answers *after,
                  struct candidates *c)
{
    for (size_t i = 0, j = 0; i < before->n && j < after->n;) {
        const struct report_answer *x = &before->a[i], *y = &after->a[j];
        const size_t nx = group_size(x, before->n - i), ny = group_size(y, after->n - j);

        if (x->item == y->item)
            add_candidate(a, c, x, nx, y, ny);
        i += x->item <= y->item ? nx : 0;
        j += y->item <= x->item ? ny : 0;
    }
}

static int by_gain(const void *a, const void *b)
{
    const struct report_pair *x = a, *y = b;
    const double gx = x->reward_after - x->reward_before, gy = y->reward_after - y->reward_before;

    if (gx < gy || gx > gy)
        return gx < gy ? 1 : -1;
    if (x->reward_after < y->reward_after || x->reward_after > y->reward_after)
        return x->reward_after < y->reward_after ? 1 : -1;
    /* equal ones in an order that has nothing to do with the file's */
    const uint32_t hx = (uint32_t)x->before->item * 2654435761u,
                   hy = (uint32_t)y->before->item * 2654435761u;
    return (hx > hy) - (hx < hy);
}

/* Half of those that gained most, then what shows the limits: those that lost most and those that stayed low. */
static void choose_pairs(struct report_data *d, struct candidates *c)
{
    const size_t n = size_min(c->n, MAX_PAIRS), n_gained = (n + 1) / 2, n_lost = (n - n_gained) / 2;
    bool *taken = ARENA_ARRAY(d->arena, bool, c->n + 1);

    if (n == 0)
        return;
    qsort(c->p, c->n, sizeof *c->p, by_gain);
    d->pair = ARENA_ARRAY(d->arena, struct report_pair, n);
    for (size_t i = 0; i < n_gained; i++) {
        d->pair[d->n_pairs++] = c->p[i];
        taken[i] = true;
    }
    while (d->n_pairs < n - n_lost) { /* the lowest reward after training */
        size_t worst = c->n;

        for (size_t i = 0; i < c->n; i++)
            if (!taken[i] && (worst == c->n || c->p[i].reward_after < c->p[worst].reward_after))
                worst = i;
        d->pair[d->n_pairs++] = c->p[worst];
        taken[worst] = true;
    }
    for (size_t i = c->n; i-- > 0 && d->n_pairs < n;)
        if (!taken[i])
            d->pair[d->n_pairs++] = c->p[i];
}

/* {"step":3,"item":17, at a line's start: whether the item is one of the answers'. */
struct search {
    const struct answers *after;
    bool found;
};

static bool line_has_item(void *ctx, struct str line, size_t offset)
{
    struct search *s = ctx;
    char start[64];
    unsigned long long step, item;

    (void)offset;
    snprintf(start, sizeof start, STR_FMT, (int)size_min(line.len, sizeof start - 1), line.ptr);
    if (sscanf(start, "{\"step\":%llu,\"item\":%llu,", &step, &item) == 2)
        for (size_t i = 0; i < s->after->n && !s->found; i++)
            s->found = s->after->a[i].item == item;
    return !s->found;
}

/* Without a validation: prompts of the last steps that stood among the first ones, too. */
static bool pairs_from_training(const char *dir, const size_t *steps, size_t n,
                                struct report_data *d, struct candidates *c, struct error *err)
{
    struct answers after, before;

    if (n < 2 || !read_file(dir, steps[n - 1], false, NULL, d, &after, err))
        return n < 2;
    d->after_step = steps[n - 1];
    for (size_t i = 0; i + 1 < n && i < SEARCH_STEPS && c->n < MAX_PAIRS; i++) {
        struct search s = {.after = &after};
        const char *path = arena_printf(d->arena, "%s/rollouts/step-%zu.jsonl", dir, steps[i]);

        if (!lines_each(path, line_has_item, &s, err))
            return false;
        if (!s.found)
            continue;
        if (!read_file(dir, steps[i], false, NULL, d, &before, err))
            return false;
        d->before_step = c->n == 0 ? steps[i] : d->before_step;
        match(d->arena, &before, &after, c);
    }
    return true;
}

/* A cell of a row that is being made. */
static void put_cell(const struct run_metrics *m, double *row, const char *name, double x)
{
    const size_t column = run_metrics_find(m, name);

    if (column < m->n_columns)
        row[column] = x;
}

/* The validation before training has answers, and a row of its own only where the loop told of a step 0: it is made here. */
static void add_baseline(struct report_data *d, const struct answers *before)
{
    struct run_metrics *m = &d->metrics;
    const size_t step = run_metrics_find(m, "step");
    double *row_mean = ARENA_ARRAY(d->arena, double, before->n + 1);
    double tokens = 0;
    size_t n = 0;

    if (step == m->n_columns || m->n_rows == 0 || !(m->cell[step] > 0) || before->n == 0)
        return;
    for (size_t i = 0; i < before->n; n++) { /* a case's answers are one measurement */
        const size_t size = group_size(&before->a[i], before->n - i);

        row_mean[n] = mean_reward(&before->a[i], size);
        i += size;
    }
    for (size_t i = 0; i < before->n; i++)
        tokens += (double)before->a[i].n_tokens * (double)before->a[i].n;
    const struct mean reward = mean_of(n, row_mean);
    double *cells = ARENA_ARRAY(d->arena, double, (m->n_rows + 1) * m->n_columns);
    for (size_t i = 0; i < m->n_columns; i++)
        cells[i] = (double)NAN;
    memcpy(cells + m->n_columns, m->cell, m->n_rows * m->n_columns * sizeof *cells);
    put_cell(m, cells, "step", 0);
    put_cell(m, cells, "full_valid_mean_reward", reward.mean);
    put_cell(m, cells, "full_valid_reward_ci95", reward.ci95);
    put_cell(m, cells, "valid_completion_tokens_mean",
             tokens / (double)count_samples(before->a, before->n));
    m->cell = cells;
    m->n_rows++;
}

static bool read_pairs(const char *dir, const size_t *train, size_t n_train, struct report_data *d,
                       struct error *err)
{
    struct candidates c = {0};
    struct answers before, after;
    size_t *valid, n;

    if (!run_list_rollouts(dir, true, d->arena, &valid, &n, err))
        return false;
    if (n > 0 && !read_file(dir, valid[0], true, NULL, d, &before, err))
        return false;
    if (n > 0 && valid[0] == 0)
        add_baseline(d, &before);
    if (n >= 2) {
        if (!read_file(dir, valid[n - 1], true, NULL, d, &after, err))
            return false;
        match(d->arena, &before, &after, &c);
        d->before_step = valid[0];
        d->after_step = valid[n - 1];
        d->pairs_are_valid = true;
    } else if (!pairs_from_training(dir, train, n_train, d, &c, err)) {
        return false;
    }
    choose_pairs(d, &c);
    return true;
}

/* ---- the newest answers, and the tokens of a few steps ---- */

static int by_quality(const void *a, const void *b)
{
    const struct report_answer *x = a, *y = b;
    const double rx = isnan(x->reward) ? -1e30 : x->reward,
                 ry = isnan(y->reward) ? -1e30 : y->reward;

    if (rx < ry || rx > ry)
        return rx < ry ? 1 : -1;
    if (x->advantage < y->advantage || x->advantage > y->advantage)
        return x->advantage < y->advantage ? 1 : -1;
    return by_item(a, b);
}

static bool is_new(const struct report_answer *list, size_t n, const struct report_answer *r)
{
    for (size_t i = 0; i < n; i++)
        if (list[i].item == r->item) /* one of each prompt: they are to differ */
            return false;
    return true;
}

static void choose_newest(struct report_data *d, const struct answers *from)
{
    struct report_answer *sorted = ARENA_ARRAY(d->arena, struct report_answer, from->n + 1);

    if (from->n == 0)
        return;
    memcpy(sorted, from->a, from->n * sizeof *sorted);
    qsort(sorted, from->n, sizeof *sorted, by_quality);
    d->best = ARENA_ARRAY(d->arena, struct report_answer, MAX_NEWEST);
    d->worst = ARENA_ARRAY(d->arena, struct report_answer, MAX_NEWEST);
    const double high = sorted[0].reward, low = sorted[from->n - 1].reward;
    for (size_t i = 0; i < from->n && d->n_best < MAX_NEWEST; i++)
        if ((sorted[i].reward > low || high <= low) && is_new(d->best, d->n_best, &sorted[i]))
            d->best[d->n_best++] = sorted[i];
    for (size_t i = from->n; i-- > 0 && d->n_worst < MAX_NEWEST;)
        if (sorted[i].reward < high && is_new(d->worst, d->n_worst, &sorted[i]))
            d->worst[d->n_worst++] = sorted[i];
    d->newest_step = from->a[0].step;
}

static int by_advantage(const void *a, const void *b)
{
    const struct report_answer *x = a, *y = b;

    return (x->advantage < y->advantage) - (x->advantage > y->advantage);
}

/* The group whose advantages are widest apart: its two best and its two worst answers. */
static void choose_group(struct report_data *d, const struct answers *from)
{
    const struct report_answer *widest = NULL;
    size_t n_widest = 0;
    double width = 0;

    for (size_t i = 0; i < from->n;) {
        const size_t n = group_size(&from->a[i], from->n - i);
        double low = 0, high = 0;

        for (size_t j = i; j < i + n; j++) {
            if (!from->a[j].trained || from->a[j].n_shown_tokens == 0)
                continue;
            low = fmin(low, from->a[j].advantage);
            high = fmax(high, from->a[j].advantage);
        }
        if (high - low > width) {
            width = high - low;
            widest = &from->a[i];
            n_widest = n;
        }
        i += n;
    }
    if (widest == NULL)
        return;
    struct report_answer *sorted = ARENA_ARRAY(d->arena, struct report_answer, n_widest);
    struct report_answer *shown = ARENA_ARRAY(d->arena, struct report_answer, MAX_GROUP);
    const size_t n = size_min(n_widest, MAX_GROUP);
    memcpy(sorted, widest, n_widest * sizeof *sorted);
    qsort(sorted, n_widest, sizeof *sorted, by_advantage);
    for (size_t i = 0; i < n; i++)
        shown[i] = i < (n + 1) / 2 ? sorted[i] : sorted[n_widest - n + i];
    d->group[d->n_groups++] = (struct report_group){
        .answer = shown, .n = n, .n_different = n_widest, .n_all = count_samples(widest, n_widest)};
}

static void note_failures(struct report_data *d, const struct answers *from)
{
    for (size_t i = 0; i < from->n && d->n_failed < MAX_FAILED; i++) {
        bool known = from->a[i].errors.len == 0;

        for (size_t j = 0; j < d->n_failed && !known; j++)
            known = str_eq(d->failed[j].details.text, from->a[i].details.text) &&
                    str_eq(d->failed[j].errors, from->a[i].errors);
        if (!known)
            d->failed[d->n_failed++] = from->a[i];
    }
}

static bool read_training(const char *dir, const size_t *steps, size_t n, struct report_data *d,
                          struct error *err)
{
    const size_t n_read = size_min(n, WORD_STEPS);
    struct words words = {.arena = d->arena};
    struct answers from = {0};

    d->group = ARENA_ARRAY(d->arena, struct report_group, 3);
    d->failed = ARENA_ARRAY(d->arena, struct report_answer, MAX_FAILED);
    for (size_t i = 0; i < n_read; i++) {
        const size_t at = n_read == 1 ? 0 : i * (n - 1) / (n_read - 1);

        if (!read_file(dir, steps[at], false, &words, d, &from, err))
            return false;
        if ((i == 0 && n_read > 1) || i == n_read / 2 || i + 1 == n_read)
            if (d->n_groups < 3)
                choose_group(d, &from);
        note_failures(d, &from);
    }
    d->n_word_steps = n_read;
    choose_newest(d, &from);
    words_rank(&words, d);
    return true;
}

bool report_pick(const char *dir, struct report_data *d, struct error *err)
{
    size_t *steps, n;

    return run_list_rollouts(dir, false, d->arena, &steps, &n, err) &&
           read_training(dir, steps, n, d, err) && read_pairs(dir, steps, n, d, err) &&
           report_changes_find(dir, d, err);
}
