/*
 * report_look.c - what the index of a run's answers (rollout_index.h) knows of the whole run: what stands out, and what became of each row.
 */
#include "base/limits.h"
#include "base/size.h"
#include "job/report_internal.h"
#include "job/rollout_items.h"

#include <stdlib.h>

#define LOOK_SECONDS                                                                               \
    60.0 /* for an index that nobody has made yet; what is not read then is not looked at */
#define LIST_ANSWERS 5
#define LIST_SEARCH 100 /* of these the first with different prompts */
#define ROWS_SHOWN 6    /* that gained, and that lost */

struct look {
    struct report_data *d;
    struct rollout_index *ix;
    struct buf line;
};

/* ---- one answer ---- */

static bool read_line(struct look *l, struct rollout_ref ref, struct report_answer *out)
{
    struct error ignored;
    json_t *line = NULL;

    const bool ok = rollout_index_read(l->ix, ref, &l->line, &ignored) &&
                    json_parse(buf_view(&l->line), "an answer", &line, &ignored);
    if (ok)
        report_answer_read(l->d->arena, line, rollout_index_is_valid(l->ix, ref), out);
    json_decref(line);
    return ok;
}

/* With the prompt and the reference of its group. */
static bool read_ref(struct look *l, struct rollout_ref ref, struct report_answer *out)
{
    struct rollout_ref first;
    struct report_answer other;

    if (!read_line(l, ref, out))
        return false;
    if (out->prompt.text.len == 0 && rollout_index_prompt(l->ix, ref, &first) &&
        read_line(l, first, &other)) {
        out->prompt = other.prompt;
        out->reference = other.reference;
    }
    return true;
}

/* ---- what stands out ---- */

static void add_list(struct look *l, const char *title, const struct rollout_query *q)
{
    struct report_data *d = l->d;
    struct rollout_ref found[LIST_SEARCH];
    struct report_list list = {.title = title};
    struct report_answer *answer = ARENA_ARRAY(d->arena, struct report_answer, LIST_ANSWERS);
    const size_t n = rollout_index_page(l->ix, q, LIST_SEARCH, found, &list.n_all);

    for (size_t i = 0; i < n && list.n < LIST_ANSWERS; i++) {
        const size_t item = rollout_index_entry(l->ix, found[i])->is.item;
        bool known = false;

        for (size_t j = 0; j < list.n && !known; j++)
            known = answer[j].item == item &&
                    answer[j].valid == rollout_index_is_valid(l->ix, found[i]);
        if (!known && read_ref(l, found[i], &answer[list.n]))
            list.n++;
    }
    list.answer = answer;
    if (list.n > 0)
        d->list[d->n_lists++] = list;
}

static void add_lists(struct look *l)
{
    struct rollout_query q = rollout_query_all();

    q.valid = false; /* only what was trained on was strengthened or weakened */
    q.trained = true;
    q.order = ROLLOUT_STRENGTHENED;
    add_list(l, "Most strengthened", &q);
    q.order = ROLLOUT_WEAKENED;
    add_list(l, "Most weakened", &q);
    q = rollout_query_all();
    q.odd = true;
    add_list(l, "Oddities", &q);
    q = rollout_query_all();
    q.error = true;
    add_list(l, "Grader errors", &q);
    q = rollout_query_all();
    q.truncated = true;
    add_list(l, "Cut off", &q);
    q = rollout_query_all();
    q.thinking = true;
    q.order = ROLLOUT_MOST_THINKING;
    add_list(l, "Most thinking", &q);
}

/* ---- rows ---- */

static struct report_curve curve_of(const struct look *l, const struct rollout_item *x)
{
    double *step = ARENA_ARRAY(l->d->arena, double, x->n),
           *mean = ARENA_ARRAY(l->d->arena, double, x->n);
    struct report_curve c = {.step = step, .mean = mean, .n = x->n};

    for (size_t i = 0; i < x->n; i++) {
        step[i] = rollout_index_entry(l->ix, x->group[i].first)->is.step;
        mean[i] = rollout_group_mean(&x->group[i]);
        c.n_answers += x->group[i].n;
    }
    return c;
}

/* 1, or 0 where it cannot be read. */
static size_t add_row(struct look *l, const struct rollout_item *x, struct report_row *out)
{
    *out = (struct report_row){.curve = curve_of(l, x), .first = x->first, .last = x->last};
    return read_ref(l, x->group[0].first, &out->shown) ? 1 : 0;
}

/* items: sorted by gain */
static void choose_rows(struct look *l, const struct rollout_item *items, size_t n,
                        struct report_rows *out)
{
    out->gained = ARENA_ARRAY(l->d->arena, struct report_row, ROWS_SHOWN);
    out->lost = ARENA_ARRAY(l->d->arena, struct report_row, ROWS_SHOWN);
    out->n = n;
    for (size_t i = 0; i < n; i++) {
        out->n_gained += items[i].last > items[i].first;
        out->n_lost += items[i].last < items[i].first;
    }
    for (size_t i = 0; i < out->n_gained && out->n_shown_gained < ROWS_SHOWN; i++)
        out->n_shown_gained += add_row(l, &items[i], &out->gained[out->n_shown_gained]);
    for (size_t i = 0; i < out->n_lost && out->n_shown_lost < ROWS_SHOWN; i++)
        out->n_shown_lost += add_row(l, &items[n - 1 - i], &out->lost[out->n_shown_lost]);
}

static void add_curves(struct look *l, const struct rollout_item *items, size_t n)
{
    for (size_t p = 0; p < l->d->n_pairs; p++)
        for (size_t i = 0; i < n; i++)
            if (items[i].number == l->d->pair[p].before->item)
                l->d->pair[p].curve = curve_of(l, &items[i]);
}

static void add_rows(struct look *l, bool valid)
{
    struct report_data *d = l->d;
    struct rollout_item *items;
    size_t n_all, n = 0;

    rollout_items_find(l->ix, valid, d->arena, &items, &n_all);
    if (d->pairs_are_valid == valid)
        add_curves(l, items, n_all);
    for (size_t i = 0; i < n_all; i++)
        if (items[i].n > 1)
            items[n++] = items[i];
    if (n == 0)
        return;
    qsort(items, n, sizeof *items, rollout_items_by_gain);
    choose_rows(l, items, n, &d->rows[valid]);
}

bool report_look(const char *dir, struct report_data *d, struct error *err)
{
    struct look l = {.d = d, .ix = rollout_index_open(dir)};
    bool whole;

    buf_init(&l.line, LIMIT_LINE_BYTES);
    const bool ok = rollout_index_update(l.ix, LOOK_SECONDS, &whole, err);
    if (ok) {
        add_lists(&l);
        add_rows(&l, false);
        add_rows(&l, true);
    }
    buf_release(&l.line);
    rollout_index_close(l.ix);
    return ok;
}
