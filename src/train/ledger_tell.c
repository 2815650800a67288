/*
 * ledger_tell.c - a step's answers become a page, and a verdict becomes a sentence with three answers that show it.
 */
#include "base/size.h"
#include "train/ledger.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <utf8proc.h>

#define N_EXAMPLES 3
#define EXAMPLE_CHARACTERS ((size_t)200)
#define NAME_CHARACTERS ((size_t)64)
#define MESSAGE_BYTES 16384
#define TOLD_SHADOWS 2 /* whose scores stand with an example */

/* A step's answers as they were read. */
struct reading {
    const struct ledger_inputs *in;
    const struct groups *g;
    size_t size;                  /* answers of a group */
    size_t *items;                /* [n] rows of the dataset */
    double (*of_group)[N_HABITS]; /* [n] */
    double *of_answer;            /* [n, size, N_ANSWER_HABITS] */
    uint64_t common;              /* the answer that is given most */
};

static const struct answer_slot *slot_of(const struct reading *r, size_t group, size_t sample)
{
    const struct group *g = &r->g->all[group];

    return &g->x->slots[g->row * r->size + sample];
}

/* ---- the page ---- */

static void read_answers(struct reading *r, struct step_metrics *m, struct arena *a)
{
    const size_t n = r->g->n;
    struct common_answers common;

    r->size = r->g->all[0].x->n_samples;
    r->items = ARENA_ARRAY(a, size_t, n);
    r->of_group = arena_alloc(a, n * sizeof *r->of_group);
    r->of_answer = ARENA_ARRAY(a, double, n * r->size * N_ANSWER_HABITS);
    common_answers_init(&common, n * r->size, a);
    for (size_t i = 0; i < n; i++) {
        const struct group *g = &r->g->all[i];

        r->items[i] = g->x->items[g->row];
        habits_of_row(g->x, g->row, r->of_answer + i * r->size * N_ANSWER_HABITS, r->of_group[i]);
        common_answers_put(&common, g->x, g->row);
        for (size_t h = 0; h < HABIT_COMMON; h++)
            m->train_habit[h] += r->of_group[i][h] / (double)n;
    }
    r->common = common_answers_most(&common, &m->train_habit[HABIT_COMMON]);
    m->train_same_reference = references_alike(r->in->references, n, r->items);
    for (size_t i = 0; i < n; i++)
        r->of_group[i][HABIT_COMMON] =
            common_answers_share(r->common, r->g->all[i].x, r->g->all[i].row) -
            m->train_same_reference;
}

static void fill_page(const struct reading *r, struct ledger_page *page)
{
    const size_t n_parts = grader_count(r->in->grader);

    *page = (struct ledger_page){0};
    for (size_t i = 0; i < r->g->n; i++) {
        double reward = 0;

        for (size_t s = 0; s < r->size; s++)
            reward += slot_of(r, i, s)->grade.reward;
        ledger_put(&page->reward, reward / (double)r->size);
        for (size_t h = 0; h < N_HABITS; h++)
            ledger_put(&page->habit[h], r->of_group[i][h]);
        for (size_t k = 0; k < n_parts; k++) {
            double sum = 0, n = 0;

            for (size_t s = 0; s < r->size; s++) {
                const struct grade_result *grade = &slot_of(r, i, s)->grade;

                if (!grade_part_measured(grade, k))
                    continue;
                sum += grade->part[k];
                n++;
            }
            if (n > 0)
                ledger_put(&page->part[k], sum / n);
        }
    }
}

/* ---- text from outside, made visible ---- */

/* What changes how a line looks without being seen itself. */
static bool is_unseen(utf8proc_int32_t c)
{
    const utf8proc_category_t k = utf8proc_category(c);

    return k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF || k == UTF8PROC_CATEGORY_ZL ||
           k == UTF8PROC_CATEGORY_ZP || k == UTF8PROC_CATEGORY_CO || k == UTF8PROC_CATEGORY_CN;
}

static void put_visible(struct buf *out, struct str s, size_t most)
{
    size_t at = 0;

    for (size_t n = 0; at < s.len && n < most; n++) {
        utf8proc_int32_t c;
        const utf8proc_ssize_t size = utf8proc_iterate((const utf8proc_uint8_t *)s.ptr + at,
                                                       (utf8proc_ssize_t)(s.len - at), &c);

        if (size <= 0)
            buf_printf(out, "\\x%02x", (unsigned char)s.ptr[at]);
        else if (c == '\n' || c == '\t' || c == '\r')
            buf_printf(out, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
        else if (c == '\\' || c == '"')
            buf_printf(out, "\\%c", (char)c);
        else if (is_unseen(c))
            buf_printf(out, c > 0xFFFF ? "\\U%08x" : "\\u%04x", (unsigned)c);
        else
            buf_put(out, s.ptr + at, (size_t)size);
        at += size > 0 ? (size_t)size : 1;
    }
    if (at < s.len)
        buf_text(out, "...");
}

static void put_name(struct buf *out, const struct grader *g, size_t part)
{
    put_visible(out, str_of(grader_name(g, part)), NAME_CHARACTERS);
}

/* ---- which answers show it ---- */

/* What an event is about. */
struct topic {
    enum ledger_kind kind; /* N_LEDGER_KINDS: a part that falls */
    enum habit habit;
    size_t part;
    double sign;                                           /* of the shift */
    double reward_low, reward_width, part_low, part_width; /* in this step */
};

static bool is_scored(const struct reading *r, size_t group, size_t sample, size_t part)
{
    return grade_part_measured(&slot_of(r, group, sample)->grade, part);
}

/* How well an answer shows it; -HUGE_VAL: not at all. */
static double shows(const struct reading *r, const struct topic *t, size_t group, size_t sample)
{
    const struct grade_result *grade = &slot_of(r, group, sample)->grade;

    if (t->kind == N_LEDGER_KINDS) { /* earns much and is liked little: each on the step's scale */
        const double x = (grade->reward - t->reward_low) / t->reward_width -
                         (grade->part[t->part] - t->part_low) / t->part_width;

        return is_scored(r, group, sample, t->part) && x > 0 ? x : -HUGE_VAL;
    }
    if (t->kind == LEDGER_ALIKE)
        return answer_hash(slot_of(r, group, sample)->answer.text) == r->common ? 1 : -HUGE_VAL;
    return t->sign * r->of_answer[(group * r->size + sample) * N_ANSWER_HABITS + t->habit];
}

static void find_scales(const struct reading *r, struct topic *t)
{
    double low[2] = {HUGE_VAL, HUGE_VAL}, high[2] = {-HUGE_VAL, -HUGE_VAL};

    for (size_t i = 0; i < r->g->n * r->size; i++) {
        const struct grade_result *grade = &slot_of(r, i / r->size, i % r->size)->grade;

        low[0] = fmin(low[0], grade->reward);
        high[0] = fmax(high[0], grade->reward);
        if (is_scored(r, i / r->size, i % r->size, t->part)) {
            low[1] = fmin(low[1], grade->part[t->part]);
            high[1] = fmax(high[1], grade->part[t->part]);
        }
    }
    t->reward_low = low[0];
    t->reward_width = high[0] > low[0] ? high[0] - low[0] : 1;
    t->part_low = low[1];
    t->part_width = high[1] > low[1] ? high[1] - low[1] : 1;
}

struct example {
    size_t group, sample;
};

static bool same_reference(const struct reading *r, size_t a, size_t b)
{
    const struct references *f = r->in->references;

    for (size_t k = 0; k < f->n_keys; k++)
        if (f->value[r->items[a] * f->n_keys + k] != f->value[r->items[b] * f->n_keys + k])
            return false;
    return true;
}

#define CHOSEN 3 /* itself is */

/* How near an answer is to those chosen: other prompts are better, where answers turn alike those that want others best. */
static int nearness(const struct reading *r, const struct topic *t, const struct example *chosen,
                    size_t n, const struct example *e)
{
    int near = 0;

    for (size_t i = 0; i < n; i++) {
        if (chosen[i].group == e->group && chosen[i].sample == e->sample)
            return CHOSEN;
        if (chosen[i].group == e->group)
            near = 2;
        else if (near < 1 && t->kind == LEDGER_ALIKE &&
                 same_reference(r, chosen[i].group, e->group))
            near = 1;
    }
    return near;
}

/* One after another: the farthest from those chosen, of them the one that shows it best, of equal ones the first. */
static size_t choose(const struct reading *r, const struct topic *t, struct example *out)
{
    const size_t all = r->g->n * r->size, wanted = size_min(N_EXAMPLES, all);

    for (size_t n = 0; n < wanted; n++) {
        double best = -HUGE_VAL;
        int best_near = INT_MAX;

        for (size_t i = 0; i < all; i++) {
            const struct example e = {i / r->size, i % r->size};
            const double x = shows(r, t, e.group, e.sample);
            const int near = nearness(r, t, out, n, &e),
                      rank = isinf(x) ? near + CHOSEN + 1
                                      : near; /* what does not show it comes last */

            if (near != CHOSEN && (rank < best_near || (rank == best_near && x > best))) {
                out[n] = e;
                best = x;
                best_near = rank;
            }
        }
    }
    return wanted;
}

static void put_scores(struct buf *out, const struct reading *r, const struct topic *t,
                       const struct example *e)
{
    const struct grader *g = r->in->grader;
    size_t n = 0;

    for (size_t k = 0; k < grader_count(g) && n < TOLD_SHADOWS; k++) {
        if (t->kind == N_LEDGER_KINDS ? k != t->part : !grader_is_shadow(g, k))
            continue;
        buf_text(out, ", ");
        put_name(out, g, k);
        if (is_scored(r, e->group, e->sample, k))
            buf_printf(out, " %.2f", slot_of(r, e->group, e->sample)->grade.part[k]);
        else
            buf_text(out, " failed");
        n++;
    }
}

static void put_examples(struct buf *out, const struct reading *r, const struct topic *t,
                         size_t step)
{
    struct example e[N_EXAMPLES];
    const size_t n = choose(r, t, e);

    for (size_t i = 0; i < n; i++) {
        const struct answer_slot *slot = slot_of(r, e[i].group, e[i].sample);

        buf_printf(out, " (%zu) step %zu, item %zu, sample %zu, reward %.2f", i + 1, step,
                   r->items[e[i].group], e[i].sample, slot->grade.reward);
        put_scores(out, r, t, &e[i]);
        buf_text(out, ": \"");
        put_visible(out, slot->answer.text, EXAMPLE_CHARACTERS);
        buf_text(out, "\"");
    }
}

/* ---- sentences ---- */

static bool tell(const struct progress_sink *sink, enum event_level level, const struct buf *text,
                 struct error *err)
{
    return sink == NULL || sink->event == NULL ||
           sink->event(sink->ctx, level, buf_view(text).ptr, err);
}

static void put_sold(struct buf *out, const struct ledger_verdict *v, const struct reading *r,
                     size_t part)
{
    const struct grader *g = r->in->grader;
    const struct ledger_shift reward = ledger_shift_of(&v->first.reward, &v->last.reward),
                              score = ledger_shift_of(&v->first.part[part], &v->last.part[part]);

    buf_printf(out, "the reward rises while %s \"",
               grader_is_shadow(g, part) ? "the shadow grader" : "one of its parts, the grader");
    put_name(out, g, part);
    buf_printf(
        out,
        "\"%s. Answers of the last %zu steps earn %.3f (%.3f in the first %zu), and get %.3f from it (%.3f). "
        "What earns most and it likes least:",
        grader_is_shadow(g, part) ? " falls: the reward may be being gamed"
                                  : ", falls: it is being sold for the others",
        v->window, reward.to, reward.from, v->window, score.to, score.from);
}

static void put_drift(struct buf *out, const struct ledger_verdict *v, const struct topic *t,
                      const struct step_metrics *m)
{
    static const char *const forms[N_HABITS] = {
        [HABIT_JSON] = "JSON objects and lists are",
        [HABIT_MARKUP] = "those with Markdown are",
        [HABIT_SYMBOLS] = "of their characters no letters are",
        [HABIT_ENDED] = "those that end by themselves are",
        [HABIT_EMPTY] = "empty ones are",
    };
    const struct ledger_shift x =
        ledger_shift_of(&v->first.habit[t->habit], &v->last.habit[t->habit]);
    const char *more = x.by > 0 ? "grown" : "shrunk", *most = x.by > 0 ? "most" : "least";

    switch (t->kind) {
    case LEDGER_ALIKE:
        buf_printf(
            out,
            "answers turn alike: %.0f %% of this step's are the same, where the right ones need "
            "not be the same for more than %.0f %% of its prompts. Prompts that got it:",
            100 * m->train_habit[HABIT_COMMON], 100 * m->train_same_reference);
        break;
    case LEDGER_LENGTH:
        buf_printf(
            out,
            "%s has %s to %.1f tokens (%.1f in the first %zu steps), and the reward has not risen. "
            "Where it is %s:",
            t->habit == HABIT_ANSWER_TOKENS ? "an answer" : "the thinking", more, x.to, x.from,
            v->window, most);
        break;
    case LEDGER_FORM:
        if (t->habit == HABIT_LINES)
            buf_printf(out, "the form of answers drifts: they have %s to %.1f lines (%.1f", more,
                       x.to, x.from);
        else
            buf_printf(out, "the form of answers drifts: %s %.0f %% (%.0f %%", forms[t->habit],
                       100 * x.to, 100 * x.from);
        buf_printf(out,
                   " in the first %zu steps), and the reward has not risen. Those that are %s so:",
                   v->window, most);
        break;
    default:
        buf_printf(
            out,
            "answers repeat themselves: %.0f %% of their runs of four tokens they have said before "
            "(%.0f %% in the first %zu steps). Those that do it most:",
            100 * x.to, 100 * x.from, v->window);
    }
}

static bool tell_part(const struct ledger_verdict *v, const struct reading *r, size_t part,
                      const struct step_metrics *m, const struct progress_sink *sink,
                      struct buf *out, struct error *err)
{
    struct topic t = {.kind = N_LEDGER_KINDS, .part = part};

    buf_clear(out);
    buf_printf(out, "Step %zu: ", m->step);
    if (v->part[part] == LEDGER_ENDS) {
        buf_text(out, "it is no longer so that the reward rises while the grader \"");
        put_name(out, r->in->grader, part);
        buf_text(out, "\" falls.");
        return tell(sink, EVENT_INFO, out, err);
    }
    find_scales(r, &t);
    put_sold(out, v, r, part);
    put_examples(out, r, &t, m->step);
    return tell(sink, EVENT_WARN, out, err);
}

static bool tell_kind(const struct ledger_verdict *v, const struct reading *r,
                      enum ledger_kind kind, const struct step_metrics *m,
                      const struct progress_sink *sink, struct buf *out, struct error *err)
{
    static const char *const ends[N_LEDGER_KINDS] = {
        [LEDGER_ALIKE] = "the answers differ again, as far as they should.",
        [LEDGER_LENGTH] = "the length of answers no longer drifts apart from the reward.",
        [LEDGER_FORM] = "the form of answers no longer drifts apart from the reward.",
        [LEDGER_REPETITION] = "the answers no longer repeat themselves.",
    };
    struct topic t = {.kind = kind, .habit = v->habit[kind], .sign = 1};

    buf_clear(out);
    buf_printf(out, "Step %zu: ", m->step);
    if (v->kind[kind] == LEDGER_ENDS) {
        buf_text(out, ends[kind]);
        return tell(sink, EVENT_INFO, out, err);
    }
    if (ledger_shift_of(&v->first.habit[t.habit], &v->last.habit[t.habit]).by < 0)
        t.sign = -1;
    put_drift(out, v, &t, m);
    put_examples(out, r, &t, m->step);
    return tell(sink, EVENT_WARN, out, err);
}

/* As for graders that are rewarded (explain.c), but that nothing is learned from it. */
static bool tell_failures(const struct reading *r, const struct step_metrics *m,
                          const struct progress_sink *sink, struct buf *out, struct error *err)
{
    const struct grader *g = r->in->grader;

    for (size_t k = 0; k < grader_count(g); k++) {
        const char *cause = "";
        size_t n = 0;

        for (size_t i = 0; grader_is_shadow(g, k) && i < r->g->n * r->size; i++) {
            const struct grade_result *grade = &slot_of(r, i / r->size, i % r->size)->grade;

            if (!grade_was_asked(grade) || grade_part_measured(grade, k))
                continue;
            if (n++ == 0)
                cause = grade->shadow_details;
        }
        if (n * 20 <= m->n_samples)
            continue;
        buf_clear(out);
        buf_printf(out, "Step %zu: the shadow grader \"", m->step);
        put_name(out, g, k);
        buf_printf(
            out,
            "\" failed on %zu of %zu answers; they are not in its mean, and the reward is as it "
            "was. The first time: ",
            n, m->n_samples);
        put_visible(out, str_of(cause), sizeof((struct grade_result *)0)->shadow_details);
        if (!tell(sink, EVENT_WARN, out, err))
            return false;
    }
    return true;
}

bool ledger_step(struct ledger_state *s, const struct ledger_inputs *in, struct step_metrics *m,
                 const struct progress_sink *sink, struct arena *a, struct error *err)
{
    struct reading r = {.in = in, .g = in->groups};
    struct ledger_page page;
    struct ledger_verdict v;
    struct buf text;
    bool ok;

    if (r.g->n == 0)
        return true;
    read_answers(&r, m, a);
    fill_page(&r, &page);
    ledger_turn(s, &page, grader_count(in->grader), &v);
    buf_init(&text, MESSAGE_BYTES);
    ok = tell_failures(&r, m, sink, &text, err);
    for (size_t k = 0; ok && k < grader_count(in->grader); k++)
        if (v.part[k] != LEDGER_AS_BEFORE)
            ok = tell_part(&v, &r, k, m, sink, &text, err);
    for (enum ledger_kind k = 0; ok && k < N_LEDGER_KINDS; k++)
        if (v.kind[k] != LEDGER_AS_BEFORE)
            ok = tell_kind(&v, &r, k, m, sink, &text, err);
    buf_release(&text);
    return ok;
}
