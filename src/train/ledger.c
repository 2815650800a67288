/*
 * ledger.c - pages of sums, and what has shifted between the first and the newest.
 */
#include "train/ledger.h"
#include "base/size.h"

#include <inttypes.h>
#include <math.h>

/* ---- statistics ---- */

/* Beyond it scores are all alike, so that the squares of windows stay finite: JSON has no infinity to read back. */
#define LEDGER_MOST 1e100

void ledger_put(struct ledger_sums *s, double x)
{
    x = fmax(-LEDGER_MOST, fmin(x, LEDGER_MOST));
    s->n++;
    s->sum += x;
    s->squares += x * x;
}

static void add_sums(struct ledger_sums *to, const struct ledger_sums *more)
{
    to->n += more->n;
    to->sum += more->sum;
    to->squares += more->squares;
}

static void add_page(struct ledger_page *to, const struct ledger_page *more)
{
    add_sums(&to->reward, &more->reward);
    for (size_t h = 0; h < N_HABITS; h++)
        add_sums(&to->habit[h], &more->habit[h]);
    for (size_t k = 0; k < GRADE_MAX_PARTS; k++)
        add_sums(&to->part[k], &more->part[k]);
}

static double variance(const struct ledger_sums *s)
{
    return fmax(0, (s->squares - s->sum * s->sum / s->n) / (s->n - 1));
}

double ledger_quantile(double z, double freedom)
{
    const double z2 = z * z;

    return z + z * (z2 + 1) / (4 * freedom) +
           z * ((5 * z2 + 16) * z2 + 3) / (96 * freedom * freedom);
}

struct ledger_shift ledger_shift_of(const struct ledger_sums *first, const struct ledger_sums *last)
{
    struct ledger_shift x = {.known = first->n >= 2 && last->n >= 2};

    if (!x.known)
        return x;
    const double v0 = variance(first), v1 = variance(last);
    x.from = first->sum / first->n;
    x.to = last->sum / last->n;
    x.by = x.to - x.from;
    if (fabs(x.by) <= 1e-9 * (fabs(x.from) + fabs(x.to))) /* rounding */
        x.by = 0;
    const double e0 = v0 / first->n, e1 = v1 / last->n; /* squared errors of the means */
    x.error = sqrt(e0 + e1);
    x.freedom = e0 + e1 > 0
                    ? (e0 + e1) * (e0 + e1) / (e0 * e0 / (first->n - 1) + e1 * e1 / (last->n - 1))
                    : first->n + last->n - 2;
    x.deviation = sqrt((v0 + v1) / 2);
    return x;
}

/* ---- what is an alarm ---- */

/* Beginning is harder than going on: an alarm at the edge is told once. */
struct bar {
    double errors, flat_errors; /* that are a shift; up to which the reward is flat */
    double share;               /* of what is worth a warning */
};
static const struct bar to_begin = {LEDGER_BEGIN, LEDGER_END, 1},
                        to_go_on = {LEDGER_END, LEDGER_BEGIN, 0.5};

/* Surely, and by as much as matters. */
static bool is_past(double by, const struct ledger_shift *x, double least, const struct bar *bar)
{
    return by > 0 && by > ledger_quantile(bar->errors, x->freedom) * x->error &&
           by >= least * bar->share;
}

static bool score_moves(const struct ledger_shift *x, double sign, const struct bar *bar)
{
    return x->known && is_past(sign * x->by, x, LEDGER_LEAST_SCORE * x->deviation, bar);
}

static bool share_moves(const struct ledger_shift *x, double least, const struct bar *bar)
{
    return x->known && is_past(fabs(x->by), x, least, bar);
}

static bool length_moves(const struct ledger_shift *x, double least, const struct bar *bar)
{
    const double factor = pow(LEDGER_LEAST_FACTOR, bar->share);

    return share_moves(x, least, bar) &&
           fmax(x->from, x->to) >= factor * fmax(0, fmin(x->from, x->to));
}

static bool habit_moves(enum ledger_kind kind, enum habit h, const struct ledger_shift *x,
                        const struct bar *bar)
{
    switch (kind) {
    case LEDGER_ALIKE: /* "to" is what the references do not explain */
        return h == HABIT_COMMON && x->known && x->to >= LEDGER_LEAST_ALIKE * bar->share &&
               is_past(x->by, x, 0, bar);
    case LEDGER_LENGTH:
        return (h == HABIT_ANSWER_TOKENS || h == HABIT_THINKING_TOKENS) &&
               length_moves(x, LEDGER_LEAST_TOKENS, bar);
    case LEDGER_FORM:
        return h == HABIT_LINES ? length_moves(x, LEDGER_LEAST_LINES, bar)
               : h == HABIT_JSON || h == HABIT_MARKUP || h == HABIT_SYMBOLS || h == HABIT_ENDED ||
                       h == HABIT_EMPTY
                   ? share_moves(x, LEDGER_LEAST_FORM, bar)
                   : false;
    case LEDGER_REPETITION:
        return h == HABIT_REPETITION && x->known && is_past(x->by, x, LEDGER_LEAST_REPETITION, bar);
    default:
        return false;
    }
}

/* Whether a kind of drift is there, and in which habit most. */
static bool kind_holds(enum ledger_kind kind, const struct ledger_page *first,
                       const struct ledger_page *last, const struct bar *bar, enum habit *which)
{
    const struct ledger_shift reward = ledger_shift_of(&first->reward, &last->reward);
    double most = 0;

    if ((kind == LEDGER_LENGTH || kind == LEDGER_FORM) &&
        reward.by > bar->flat_errors * reward.error)
        return false;
    for (enum habit h = 0; h < N_HABITS; h++) {
        const struct ledger_shift x = ledger_shift_of(&first->habit[h], &last->habit[h]);
        const double z = x.error > 0 ? fabs(x.by) / x.error : HUGE_VAL;

        if (habit_moves(kind, h, &x, bar) && z > most) {
            most = z;
            *which = h;
        }
    }
    return most > 0;
}

static enum ledger_turn turn(bool *told, bool begins, bool goes_on)
{
    const bool before = *told;

    *told = before ? goes_on : begins;
    return *told == before ? LEDGER_AS_BEFORE : *told ? LEDGER_BEGINS : LEDGER_ENDS;
}

static bool part_is_sold(const struct ledger_page *first, const struct ledger_page *last, size_t k,
                         const struct bar *bar)
{
    const struct ledger_shift reward = ledger_shift_of(&first->reward, &last->reward),
                              part = ledger_shift_of(&first->part[k], &last->part[k]);

    return score_moves(&reward, 1, bar) && score_moves(&part, -1, bar);
}

void ledger_turn(struct ledger_state *s, const struct ledger_page *page, size_t n_parts,
                 struct ledger_verdict *out)
{
    const size_t n = (size_t)s->n_steps + 1;

    *out = (struct ledger_verdict){0};
    s->n_parts = n_parts;
    if (n <= LEDGER_WINDOW)
        s->first[n - 1] = *page;
    s->last[(n - 1) % LEDGER_WINDOW] = *page;
    s->n_steps = n;
    if (n < 2 * LEDGER_LEAST_WINDOW)
        return;
    out->window = size_min(n / 2, LEDGER_WINDOW);
    for (size_t i = 0; i < out->window; i++) {
        add_page(&out->first, &s->first[i]);
        add_page(&out->last, &s->last[(n - out->window + i) % LEDGER_WINDOW]);
    }
    for (enum ledger_kind k = 0; k < N_LEDGER_KINDS; k++) {
        enum habit ignored;

        out->kind[k] =
            turn(&s->told[k], kind_holds(k, &out->first, &out->last, &to_begin, &out->habit[k]),
                 kind_holds(k, &out->first, &out->last, &to_go_on, &ignored));
    }
    for (size_t k = 0; k < n_parts; k++)
        out->part[k] = turn(&s->told_part[k], part_is_sold(&out->first, &out->last, k, &to_begin),
                            part_is_sold(&out->first, &out->last, k, &to_go_on));
}

/* ---- what survives ---- */

static json_t *page_json(const struct ledger_page *p, size_t n_parts)
{
    const struct ledger_sums *all[1 + N_HABITS + GRADE_MAX_PARTS] = {&p->reward};
    json_t *list = json_array();
    size_t n = 1;

    for (size_t h = 0; h < N_HABITS; h++)
        all[n++] = &p->habit[h];
    for (size_t k = 0; k < n_parts; k++)
        all[n++] = &p->part[k];
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(list, json_real(all[i]->n));
        json_array_append_new(list, json_real(all[i]->sum));
        json_array_append_new(list, json_real(all[i]->squares));
    }
    return list;
}

static bool page_read(const json_t *list, const char *what, struct ledger_page *p,
                      struct error *err)
{
    const size_t n = json_array_size(list) / 3, fixed = 1 + N_HABITS;

    if (json_array_size(list) % 3 != 0 || n < fixed || n > fixed + GRADE_MAX_PARTS)
        return fail(err, ERR_CORRUPT, "%s: a page of \"ledger\" has %zu numbers", what,
                    json_array_size(list));
    for (size_t i = 0; i < n; i++) {
        struct ledger_sums *s = i == 0      ? &p->reward
                                : i < fixed ? &p->habit[i - 1]
                                            : &p->part[i - fixed];

        s->n = json_number_value(json_array_get(list, 3 * i));
        s->sum = json_number_value(json_array_get(list, 3 * i + 1));
        s->squares = json_number_value(json_array_get(list, 3 * i + 2));
    }
    return true;
}

static json_t *flags_json(const bool *flag, size_t n)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_boolean(flag[i]));
    return list;
}

static json_t *pages_json(const struct ledger_page *pages, const struct ledger_state *s)
{
    json_t *list = json_array();

    for (size_t i = 0; i < LEDGER_WINDOW && i < s->n_steps; i++)
        json_array_append_new(list, page_json(&pages[i], (size_t)s->n_parts));
    return list;
}

json_t *ledger_state_json(const struct ledger_state *s)
{
    json_t *j = json_object();

    json_object_set_new(j, "n_steps", json_integer((json_int_t)s->n_steps));
    json_object_set_new(j, "first", pages_json(s->first, s));
    json_object_set_new(j, "last", pages_json(s->last, s));
    json_object_set_new(j, "told", flags_json(s->told, N_LEDGER_KINDS));
    json_object_set_new(j, "told_part", flags_json(s->told_part, (size_t)s->n_parts));
    return j;
}

static bool pages_read(const json_t *list, const char *what, uint64_t n_steps,
                       struct ledger_page *out, struct error *err)
{
    const size_t n = json_array_size(list);

    if (!json_is_array(list) || n != (n_steps < LEDGER_WINDOW ? n_steps : LEDGER_WINDOW))
        return fail(err, ERR_CORRUPT, "%s: \"ledger\" has %zu pages after %" PRIu64 " steps", what,
                    n, n_steps);
    for (size_t i = 0; i < n; i++)
        if (!page_read(json_array_get(list, i), what, &out[i], err))
            return false;
    return true;
}

bool ledger_state_read(const json_t *j, const char *what, struct ledger_state *out,
                       struct error *err)
{
    const json_t *told = json_object_get(j, "told"), *told_part = json_object_get(j, "told_part");
    struct ledger_state s = {0};
    int64_t n = 0;

    if (j == NULL) {
        *out = s;
        return true;
    }
    if (!json_get_int(j, "n_steps", what, 0, 0, INT64_MAX, &n, err))
        return false;
    s.n_steps = (uint64_t)n;
    s.n_parts = size_min(json_array_size(told_part), GRADE_MAX_PARTS);
    if (!pages_read(json_object_get(j, "first"), what, s.n_steps, s.first, err) ||
        !pages_read(json_object_get(j, "last"), what, s.n_steps, s.last, err))
        return false;
    for (size_t i = 0; i < N_LEDGER_KINDS; i++)
        s.told[i] = json_is_true(json_array_get(told, i));
    for (size_t i = 0; i < GRADE_MAX_PARTS; i++)
        s.told_part[i] = json_is_true(json_array_get(told_part, i));
    *out = s;
    return true;
}

/* ---- which answers are wanted ---- */

static uint64_t json_hash(const json_t *v)
{
    struct buf b;

    buf_init(&b, SIZE_MAX / 2);
    if (v != NULL)
        json_write(&b, v, &(struct json_format){.sort_keys = true});
    const uint64_t h = answer_hash(buf_view(&b));
    buf_release(&b);
    return h;
}

static bool is_read(const struct grader *g, const json_t *item, const char *key)
{
    json_t *without = json_copy((json_t *)(uintptr_t)item);
    struct error ignored;

    json_object_del(without, key);
    const bool read = !grader_check_item(g, without, "", &ignored);
    json_decref(without);
    return read;
}

static bool differs(const struct dataset *d, const char *key)
{
    const json_t *first = json_object_get(d->rows[0].item, key);

    for (size_t i = 1; i < d->n_rows; i++) {
        json_t *v = json_object_get(d->rows[i].item, key);

        if (v == NULL || !json_equal(v, first))
            return true;
    }
    return false;
}

void references_find(const struct dataset *d, const struct grader *g, struct arena *a,
                     struct references *out)
{
    json_t *item = d->rows[0].item, *value;
    const char **keys = ARENA_ARRAY(a, const char *, json_object_size(item) + 1), *key;
    size_t n = 0;

    for (int all = 0; all < 2 && n == 0; all++) {
        json_object_foreach(item, key, value)
        {
            if (strcmp(key, "messages") != 0 && strcmp(key, "tools") != 0 && differs(d, key) &&
                (all || is_read(g, item, key)))
                keys[n++] = key;
        }
    }
    if (n == 0 && differs(d, "messages"))
        keys[n++] = "messages";
    uint64_t *hashes = ARENA_ARRAY(a, uint64_t, d->n_rows * n + 1);
    for (size_t i = 0; i < d->n_rows; i++)
        for (size_t k = 0; k < n; k++)
            hashes[i * n + k] = json_hash(json_object_get(d->rows[i].item, keys[k]));
    *out = (struct references){.n_keys = n, .value = hashes};
}

double references_alike(const struct references *r, size_t n, const size_t *items)
{
    size_t most = r->n_keys == 0 ? n : 0;

    for (size_t k = 0; k < r->n_keys; k++)
        for (size_t i = 0; i < n; i++) {
            size_t same = 0;

            for (size_t j = 0; j < n; j++)
                same += r->value[items[j] * r->n_keys + k] == r->value[items[i] * r->n_keys + k];
            most = size_max(most, same);
        }
    return n > 0 ? (double)most / (double)n : 0;
}
