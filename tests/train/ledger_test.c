/*
 * ledger_test.c - each statistic by hand, each alarm on a drift that was put there, silence where there is only noise.
 */
#include "base/philox.h"
#include "base/size.h"
#include "support/support.h"
#include "train/ledger.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- habits of one answer ---- */

static double habit_of(enum habit h, const char *text)
{
    const int32_t tokens[] = {1, 2, 3, 4};
    double out[N_ANSWER_HABITS];

    habits_of_answer(str_of(text), tokens, COUNT_OF(tokens), 1, true, out);
    return out[h];
}

static void the_form_of_an_answer_is_seen(void **state)
{
    (void)state;
    assert_true(habit_of(HABIT_JSON, " {\"a\": 1}\n") == 1);
    assert_true(habit_of(HABIT_JSON, "[1, 2]") == 1);
    assert_true(habit_of(HABIT_JSON, "12") == 0); /* parses, and is no structure */
    assert_true(habit_of(HABIT_JSON, "{\"a\": 1} said I") == 0);
    assert_true(habit_of(HABIT_MARKUP, "see:\n- one\n- two") == 1);
    assert_true(habit_of(HABIT_MARKUP, "1. one") == 1);
    assert_true(habit_of(HABIT_MARKUP, "## So") == 1);
    assert_true(habit_of(HABIT_MARKUP, "a\n```c\nint i;\n```") == 1);
    assert_true(habit_of(HABIT_MARKUP, "-1 is #1, 1.5 is not") == 0);
    assert_true(habit_of(HABIT_LINES, "a\n\nb\n") == 3);
    assert_true(habit_of(HABIT_LINES, " \n ") == 0);
    assert_true(habit_of(HABIT_EMPTY, " \n ") == 1);
    assert_true(habit_of(HABIT_EMPTY, ".") == 0);
    assert_true(habit_of(HABIT_SYMBOLS, "a b 1 !") == 0.5);
    assert_true(habit_of(HABIT_SYMBOLS, "\xC3\xA9t\xC3\xA9") == 0); /* three letters */
    assert_true(habit_of(HABIT_SYMBOLS, "e\xCC\x81\xFF") ==
                1.0 / 3); /* e, an accent on it, no UTF-8 */
    assert_true(habit_of(HABIT_ANSWER_TOKENS, "") == 3);
    assert_true(habit_of(HABIT_THINKING_TOKENS, "") == 1);
    assert_true(habit_of(HABIT_ENDED, "") == 1);
}

static double repetition_of(size_t n, const int32_t *tokens, size_t n_thinking)
{
    double out[N_ANSWER_HABITS];

    habits_of_answer(STR("x"), tokens, n, n_thinking, false, out);
    return out[HABIT_REPETITION];
}

static void repetition_is_the_share_of_runs_said_before(void **state)
{
    const int32_t different[] = {1, 2, 3, 4, 5, 6}, loop[] = {7, 7, 7, 7, 7, 7, 7, 7},
                  twice[] = {1, 2, 3, 4, 9, 1, 2, 3, 4};

    (void)state;
    assert_true(repetition_of(6, different, 0) == 0);
    assert_true(repetition_of(3, loop, 0) == 0);   /* too short to have one */
    assert_true(repetition_of(8, loop, 0) == 0.8); /* five runs, one of them new */
    assert_true(repetition_of(9, twice, 0) == 1 - 5.0 / 6);
    assert_true(repetition_of(8, loop, 4) == 0); /* thinking is not counted: one run is left */
}

/* ---- answers made by hand ---- */

#define MOST_ROWS 12
#define MOST_SAMPLES 4

/* A step's answers: text, reward and the scores of up to two graders. */
struct made {
    struct arena arena;
    struct answers x;
    struct group all[MOST_ROWS];
    struct groups groups;
    size_t items[MOST_ROWS];
};

static void make(struct made *m, size_t n_rows, size_t n_samples)
{
    *m = (struct made){0};
    m->x =
        (struct answers){.n_rows = n_rows,
                         .n_samples = n_samples,
                         .items = m->items,
                         .slots = ARENA_ARRAY(&m->arena, struct answer_slot, n_rows * n_samples)};
    m->groups = (struct groups){.all = m->all, .n = n_rows};
    for (size_t i = 0; i < n_rows; i++) {
        m->items[i] = i;
        m->all[i] = (struct group){.row = i, .x = &m->x};
    }
}

static void put(struct made *m, size_t row, size_t s, const char *text, double reward, double part0,
                double part1)
{
    struct sample *sample = ARENA_NEW(&m->arena, struct sample);
    struct answer_slot *slot = &m->x.slots[row * m->x.n_samples + s];

    sample->n = strlen(text); /* a token a byte */
    sample->tokens = ARENA_ARRAY(&m->arena, token_id, sample->n + 1);
    for (size_t i = 0; i < sample->n; i++)
        sample->tokens[i] = (unsigned char)text[i];
    *slot = (struct answer_slot){.sample = sample,
                                 .answer = {.text = arena_str(&m->arena, str_of(text))},
                                 .same_as = s,
                                 .grade = {.reward = reward, .n_parts = 2, .part = {part0, part1}}};
}

static void what_is_said_most_is_counted_over_prompts(void **state)
{
    struct common_answers c;
    struct made m;
    double share, habit[N_HABITS];

    (void)state;
    make(&m, 2, 4);
    for (size_t s = 0; s < 4; s++)
        put(&m, 0, s, s < 3 ? "yes" : "no", 0, 0, 0);
    put(&m, 1, 0, "maybe", 0, 0, 0);
    put(&m, 1, 1, "no", 0, 0, 0);
    put(&m, 1, 2, "yes", 0, 0, 0);
    put(&m, 1, 3, "who knows", 0, 0, 0);
    common_answers_init(&c, 8, &m.arena);
    common_answers_put(&c, &m.x, 0);
    common_answers_put(&c, &m.x, 1);
    assert_true(common_answers_most(&c, &share) == answer_hash(STR("yes")));
    assert_true(share == 0.5);
    assert_int_equal(c.n_different, 4);
    assert_true(common_answers_share(answer_hash(STR("yes")), &m.x, 0) == 0.75);
    habits_of_row(&m.x, 0, NULL, habit);
    assert_true(habit[HABIT_DISTINCT] == 0.5);
    assert_true(habit[HABIT_ANSWER_TOKENS] == 2.75);
    arena_release(&m.arena);
}

/* ---- references ---- */

static void open_rows(struct dataset *d, struct dataset_row *rows, size_t n,
                      const char *const *items)
{
    *d = (struct dataset){.n_rows = n, .rows = rows};
    for (size_t i = 0; i < n; i++) {
        struct error err;

        rows[i] = (struct dataset_row){.line = i + 1};
        ASSERT_OK(json_parse(str_of(items[i]), "a row", &rows[i].item, &err));
    }
}

static void close_rows(struct dataset *d)
{
    for (size_t i = 0; i < d->n_rows; i++)
        json_decref(d->rows[i].item);
}

static struct grader *open_grader(const char *text, const char *shadows)
{
    struct grade_options opt = grade_defaults();
    struct grader *g;
    struct error err;
    json_t *spec, *more = NULL;

    ASSERT_OK(json_parse(str_of(text), "the grader", &spec, &err));
    if (shadows != NULL)
        ASSERT_OK(json_parse(str_of(shadows), "the shadows", &more, &err));
    opt.shadows = more;
    ASSERT_OK(grader_open(spec, &opt, &g, &err));
    json_decref(spec);
    json_decref(more);
    return g;
}

#define CHECK(name, reference)                                                                     \
    "{\"type\":\"string_check\",\"name\":\"" name                                                  \
    "\",\"input\":\"{{sample.output_text}}\",\"operation\":\"eq\",\"reference\":\"" reference      \
    "\"}"

static void the_references_explain_as_much_as_one_key_agrees(void **state)
{
    static const char *const items[] = {
        "{\"messages\":[1],\"id\":1,\"set\":\"x\",\"answer\":\"yes\"}",
        "{\"messages\":[2],\"id\":2,\"set\":\"x\",\"answer\":\"no\"}",
        "{\"messages\":[3],\"id\":3,\"set\":\"x\",\"answer\":\"yes\"}",
        "{\"messages\":[4],\"id\":4,\"set\":\"x\",\"answer\":\"yes\"}"};
    const size_t all[] = {0, 1, 2, 3}, two[] = {0, 1};
    struct dataset_row rows[4];
    struct dataset d;
    struct arena a = {0};
    struct references r;
    struct grader *by_answer = open_grader(CHECK("g", "{{item.answer}}"), NULL),
                  *by_set = open_grader(CHECK("g", "{{item.set}}"), NULL),
                  *by_nothing = open_grader(CHECK("g", "no"), NULL);

    (void)state;
    open_rows(&d, rows, 4, items);
    references_find(&d, by_answer, &a, &r); /* the id, which no grader reads, tells nothing */
    assert_int_equal(r.n_keys, 1);
    assert_true(references_alike(&r, 4, all) == 0.75);
    assert_true(references_alike(&r, 2, two) == 0.5);
    references_find(&d, by_set, &a, &r); /* what is the same everywhere tells nothing either */
    assert_int_equal(r.n_keys, 2);       /* so all that differ are looked at: id and answer */
    assert_true(references_alike(&r, 4, all) == 0.75);
    references_find(&d, by_nothing, &a, &r);
    assert_int_equal(r.n_keys, 2);
    for (size_t i = 0; i < 4; i++) {
        json_object_del(rows[i].item, "id");
        json_object_del(rows[i].item, "answer");
    }
    references_find(&d, by_nothing, &a, &r); /* the messages are left */
    assert_true(references_alike(&r, 4, all) == 0.25);
    for (size_t i = 0; i < 4; i++)
        json_object_del(rows[i].item, "messages");
    references_find(&d, by_nothing, &a, &r); /* rows that are all the same explain everything */
    assert_true(references_alike(&r, 4, all) == 1);
    close_rows(&d);
    arena_release(&a);
    grader_close(by_answer);
    grader_close(by_set);
    grader_close(by_nothing);
}

/* ---- statistics ---- */

static void a_shift_is_the_difference_and_its_standard_error(void **state)
{
    struct ledger_sums first = {0}, last = {0};

    (void)state;
    assert_false(ledger_shift_of(&first, &last).known);
    for (int i = 1; i <= 4; i++)
        ledger_put(&first, i); /* mean 2.5, variance 5/3 */
    ledger_put(&last, 4);
    assert_false(ledger_shift_of(&first, &last).known);
    ledger_put(&last, 6); /* mean 5, variance 2 */
    const struct ledger_shift x = ledger_shift_of(&first, &last);
    assert_true(x.known);
    assert_true(x.from == 2.5 && x.to == 5 && x.by == 2.5);
    assert_true(fabs(x.error - sqrt(5.0 / 3 / 4 + 2.0 / 2)) < 1e-12);
    assert_true(fabs(x.deviation - sqrt((5.0 / 3 + 2) / 2)) < 1e-12);
}

/* ---- runs that are made up ---- */

#define RUN_STEPS 150

#define RUN_ANSWERS 8
#define N_MADE_PARTS 4 /* as many graders as a job may well have */

/* What a run's answers are like at a time from 0 to 1; a prompt is easier or harder by up to `spread`. */
struct world {
    uint32_t n_prompts;                                                      /* a step */
    double reward[2], part[2], tokens[2], json[2], repetition[2], common[2]; /* at 0 and at 1 */
};
static const struct world still = {.n_prompts = 8,
                                   .reward = {0.4, 0.4},
                                   .part = {0.6, 0.6},
                                   .tokens = {80, 80},
                                   .json = {0.05, 0.05},
                                   .repetition = {0.1, 0.1},
                                   .common = {0, 0}};

struct dice {
    uint32_t run, step, prompt, at;
};

static double roll(struct dice *d)
{
    return (double)philox_uniform(d->run, PHILOX_TEST, d->step, d->prompt, d->at++, 0);
}

/* The mean of so many answers to a prompt, each 0 or 1, where the prompt's own chance is p, more or less. */
static double share(struct dice *d, double p)
{
    const double own = fmin(1, fmax(0, p + 0.8 * fmin(p, 1 - p) * (2 * roll(d) - 1)));
    double n = 0;

    for (size_t i = 0; i < RUN_ANSWERS; i++)
        n += roll(d) < own;
    return n / RUN_ANSWERS;
}

static double at(const double ends[2], double t)
{
    return ends[0] + (ends[1] - ends[0]) * t;
}

static void make_page(const struct world *w, uint32_t run, uint32_t step, struct ledger_page *out)
{
    const double t = fmin(1, (double)step / 100);

    *out = (struct ledger_page){0};
    for (uint32_t i = 0; i < w->n_prompts; i++) {
        struct dice d = {.run = run + 1, .step = step, .prompt = i};
        const double length = exp(0.5 * (roll(&d) + roll(&d) + roll(&d) - 1.5) * 2);

        ledger_put(&out->reward, share(&d, at(w->reward, t)));
        ledger_put(&out->part[0], share(&d, at(w->part, t)));
        for (size_t k = 1; k < N_MADE_PARTS; k++)
            ledger_put(&out->part[k], share(&d, 0.2 * (double)k));
        ledger_put(&out->habit[HABIT_ANSWER_TOKENS], at(w->tokens, t) * length);
        ledger_put(&out->habit[HABIT_THINKING_TOKENS], at(w->tokens, t) * length * (1 + roll(&d)));
        ledger_put(&out->habit[HABIT_LINES], ceil(at(w->tokens, t) * length / 20));
        ledger_put(&out->habit[HABIT_JSON], share(&d, at(w->json, t)));
        ledger_put(&out->habit[HABIT_MARKUP], share(&d, 0.3));
        ledger_put(&out->habit[HABIT_SYMBOLS], 0.2 * roll(&d));
        ledger_put(&out->habit[HABIT_ENDED], share(&d, 0.95));
        ledger_put(&out->habit[HABIT_EMPTY], share(&d, 0.02));
        ledger_put(&out->habit[HABIT_REPETITION], at(w->repetition, t) * 2 * roll(&d));
        ledger_put(&out->habit[HABIT_COMMON], share(&d, 0.3 + at(w->common, t)) - 0.3);
    }
}

struct heard {
    size_t kind[N_LEDGER_KINDS], part[N_MADE_PARTS], all; /* the step at which it began, 0: never */
};

static struct heard run_through(const struct world *w, uint32_t run)
{
    struct ledger_state *s = calloc(1, sizeof *s);
    struct heard h = {0};

    assert_non_null(s);
    for (uint32_t step = 1; step <= RUN_STEPS; step++) {
        struct ledger_page page;
        struct ledger_verdict v;

        make_page(w, run, step, &page);
        ledger_turn(s, &page, N_MADE_PARTS, &v);
        for (size_t k = 0; k < N_LEDGER_KINDS; k++)
            if (v.kind[k] == LEDGER_BEGINS) {
                h.kind[k] = h.kind[k] > 0 ? h.kind[k] : step;
                h.all++;
            }
        for (size_t k = 0; k < N_MADE_PARTS; k++)
            if (v.part[k] == LEDGER_BEGINS) {
                h.part[k] = h.part[k] > 0 ? h.part[k] : step;
                h.all++;
            }
    }
    free(s);
    return h;
}

/* Of n runs, in how many something was heard; and of each part and kind. */
struct rate {
    size_t n, any, kind[N_LEDGER_KINDS], part[N_MADE_PARTS];
    double step; /* at which what was heard began, mean */
};

static struct rate rate_of(const struct world *w, size_t n)
{
    struct rate r = {.n = n};
    size_t n_begun = 0;

    for (uint32_t run = 0; run < n; run++) {
        const struct heard h = run_through(w, run);

        r.any += h.all > 0;
        for (size_t k = 0; k < N_LEDGER_KINDS; k++) {
            r.kind[k] += h.kind[k] > 0;
            r.step += (double)h.kind[k];
            n_begun += h.kind[k] > 0;
        }
        for (size_t k = 0; k < N_MADE_PARTS; k++) {
            r.part[k] += h.part[k] > 0;
            r.step += (double)h.part[k];
            n_begun += h.part[k] > 0;
        }
    }
    r.step /= fmax(1, (double)n_begun);
    print_message(
        "%zu of %zu runs: alike %zu, length %zu, form %zu, repetition %zu, graders %zu %zu %zu %zu; step %.0f\n",
        r.any, n, r.kind[0], r.kind[1], r.kind[2], r.kind[3], r.part[0], r.part[1], r.part[2],
        r.part[3], r.step);
    return r;
}

/* HONE_LEDGER_RUNS=2000: so many, for figures; what is asserted is of 200 */
static size_t n_runs(void)
{
    const char *n = getenv("HONE_LEDGER_RUNS");

    return n != NULL ? (size_t)strtoul(n, NULL, 10) : 200;
}
#define RUNS n_runs()

/* None of 200: with 95 % confidence fewer than 1.5 % of such runs (3 / n, Hanley and Lippman-Hand, JAMA 249, 1983). */
static void noise_alone_raises_no_alarm(void **state)
{
    (void)state;
    assert_int_equal(rate_of(&still, RUNS).any, 0);
}

static void nor_does_it_with_few_prompts_or_many(void **state)
{
    struct world few = still, many = still;

    (void)state;
    few.n_prompts = 2;
    many.n_prompts = 24;
    assert_in_range(rate_of(&few, RUNS).any, 0, RUNS / 100);
    assert_int_equal(rate_of(&many, RUNS / 4).any, 0);
    few.reward[1] = 0.8;
    assert_in_range(rate_of(&few, RUNS).any, 0, RUNS / 40);
}

/* The reward of a run that learns moves, so that one fall by chance is enough: it was in 4 of 1000 such runs. */
static void a_reward_that_rises_by_merit_raises_hardly_any(void **state)
{
    struct world w = still;

    (void)state;
    w.reward[1] = 0.8;
    assert_in_range(rate_of(&w, RUNS).any, 0, RUNS / 50);
}

static void a_shadow_that_falls_is_found(void **state)
{
    struct world w = still;
    struct rate r;

    (void)state;
    w.reward[1] = 0.8;
    w.part[1] = 0.3;
    r = rate_of(&w, RUNS);
    assert_int_equal(r.part[0], RUNS);
    assert_in_range((size_t)r.step, 20, 75); /* it has fallen by two thirds of the way then */
    w.part[1] = 0.4;
    assert_in_range(rate_of(&w, RUNS).part[0], RUNS * 95 / 100, RUNS);
}

static void each_drift_has_its_alarm(void **state)
{
    struct world longer = still, json = still, loops = still, alike = still, merit = still;
    struct rate r;

    (void)state;
    longer.tokens[1] = 160;
    json.json[1] = 0.6;
    loops.repetition[1] = 0.4;
    alike.common[1] = 0.4;
    assert_int_equal(rate_of(&longer, RUNS).kind[LEDGER_LENGTH], RUNS);
    assert_int_equal(rate_of(&json, RUNS).kind[LEDGER_FORM], RUNS);
    assert_int_equal(rate_of(&loops, RUNS).kind[LEDGER_REPETITION], RUNS);
    assert_int_equal(rate_of(&alike, RUNS).kind[LEDGER_ALIKE], RUNS);
    merit.tokens[1] = 160; /* longer and better: no drift apart from the reward */
    merit.json[1] = 0.6;
    merit.reward[1] = 0.9;
    r = rate_of(&merit, RUNS);
    assert_in_range(r.kind[LEDGER_LENGTH] + r.kind[LEDGER_FORM], 0, RUNS / 20);
}

/* ---- resuming ---- */

static char *text_of(const struct ledger_state *s, struct arena *a)
{
    json_t *j = ledger_state_json(s);
    struct buf b;

    buf_init(&b, 1 << 20);
    json_write(&b, j, NULL);
    char *text = arena_text(a, buf_view(&b));
    buf_release(&b);
    json_decref(j);
    return text;
}

/* A job that is solved in five steps, and ends ten steps later. */
static void a_reward_that_is_gamed_at_once_is_found_before_the_run_ends(void **state)
{
    size_t n_found = 0;

    (void)state;
    for (uint32_t run = 0; run < 50; run++) {
        struct ledger_state *s = calloc(1, sizeof *s);
        bool found = false;

        assert_non_null(s);
        for (uint32_t step = 1; step <= 15; step++) {
            const double t = fmin(1, (double)step / 5), paid = 0.3 + 0.7 * t;
            const struct world w = {.n_prompts = 8,
                                    .reward = {paid, paid},
                                    .part = {1 - paid, 1 - paid},
                                    .tokens = {9, 9}};
            struct ledger_page page;
            struct ledger_verdict v;

            make_page(&w, run, step, &page);
            ledger_turn(s, &page, N_MADE_PARTS, &v);
            found = found || v.part[0] == LEDGER_BEGINS;
        }
        n_found += found;
        free(s);
    }
    assert_in_range(n_found, 45, 50);
}

static void a_quantile_of_student_s_is_that_of_the_tables(void **state)
{
    (void)state;
    ASSERT_NEAR(ledger_quantile(1.959964, 10), 2.228139, 0.01);
    ASSERT_NEAR(ledger_quantile(1.959964, 60), 2.000298, 1e-4);
    ASSERT_NEAR(ledger_quantile(3.090232, 30), 3.385185, 0.01);
    assert_true(ledger_quantile(4, 1e12) - 4 < 1e-9);
}

static void a_ledger_read_back_goes_on_bit_for_bit(void **state)
{
    struct arena a = {0};
    struct ledger_state *whole = ARENA_NEW(&a, struct ledger_state),
                        *again = ARENA_NEW(&a, struct ledger_state);
    struct world w = still;
    size_t n_turns = 0;

    (void)state;
    w.reward[1] = 0.9;
    w.part[1] = 0.1;
    for (uint32_t step = 1; step <= 80; step++) {
        struct ledger_page page;
        struct ledger_verdict x, y;
        struct error err;
        json_t *j;

        ASSERT_OK(json_parse(str_of(text_of(again, &a)), "the ledger", &j, &err));
        memset(again, 0xA5, sizeof *again);
        ASSERT_OK(ledger_state_read(j, "state.json", again, &err));
        json_decref(j);
        make_page(&w, 1, step, &page);
        ledger_turn(whole, &page, N_MADE_PARTS, &x);
        ledger_turn(again, &page, N_MADE_PARTS, &y);
        for (size_t k = 0; k < N_MADE_PARTS; k++) {
            assert_int_equal(x.part[k], y.part[k]);
            n_turns += x.part[k] != LEDGER_AS_BEFORE;
        }
        assert_string_equal(text_of(whole, &a), text_of(again, &a));
    }
    assert_true(n_turns > 0);
    arena_release(&a);
}

/* A shadow may score on any scale, and what is written must be read again. */
static void the_largest_scores_are_no_noise_and_can_be_read_back(void **state)
{
    static const double scores[] = {1e200, -DBL_MAX, DBL_MAX};
    struct arena a = {0};
    struct ledger_state *s = ARENA_NEW(&a, struct ledger_state);
    struct error err;
    json_t *j;

    (void)state;
    for (size_t step = 1; step <= 2 * LEDGER_WINDOW; step++) {
        struct ledger_page page = {0};
        struct ledger_verdict v;

        for (size_t i = 0; i < COUNT_OF(scores); i++)
            ledger_put(&page.part[0], scores[i]);
        ledger_turn(s, &page, 1, &v);
        const struct ledger_shift x = ledger_shift_of(&v.first.part[0], &v.last.part[0]);
        assert_true(!x.known || (isfinite(x.error) && x.error > 0));
    }
    ASSERT_OK(json_parse(str_of(text_of(s, &a)), "the ledger", &j, &err));
    ASSERT_OK(ledger_state_read(j, "state.json", s, &err));
    json_decref(j);
    arena_release(&a);
}

static void a_ledger_that_is_none_is_refused(void **state)
{
    static const char *const bad[] = {
        "{\"n_steps\":1,\"first\":[[1,2]],\"last\":[[1,2]]}",
        "{\"n_steps\":1,\"first\":[[1,2,3]],\"last\":[[1,2,3]]}",
        "{\"n_steps\":2,\"first\":[],\"last\":[]}",
        "{\"n_steps\":-1}",
        "{}",
    };
    struct ledger_state *s = calloc(1, sizeof *s);
    struct error err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        json_t *j;

        ASSERT_OK(json_parse(str_of(bad[i]), "the ledger", &j, &err));
        assert_false(ledger_state_read(j, "state.json", s, &err));
        assert_non_null(strstr(err.message, "state.json"));
        json_decref(j);
    }
    ASSERT_OK(ledger_state_read(NULL, "state.json", s, &err)); /* of an older version */
    assert_int_equal(s->n_steps, 0);
    free(s);
}

/* ---- what is told ---- */

struct told {
    size_t n_warnings, n_infos;
    char last[8192];
};

static bool on_event(void *ctx, enum event_level level, const char *message, struct error *err)
{
    struct told *t = ctx;

    (void)err;
    t->n_warnings += level == EVENT_WARN;
    t->n_infos += level == EVENT_INFO;
    snprintf(t->last, sizeof t->last, "%s", message);
    return true;
}

/* A job that goes step by step. */
struct job {
    struct dataset_row rows[MOST_ROWS];
    struct dataset data;
    struct grader *grader;
    struct references references;
    struct arena arena;
    struct ledger_state state;
    struct told told;
};

static struct job *open_job(const char *grader, const char *shadows)
{
    static const char *const wants[MOST_ROWS] = {"a", "a", "b", "c", "d", "e",
                                                 "f", "g", "h", "i", "j", "k"};
    struct job *j = calloc(1, sizeof *j);
    const char *items[MOST_ROWS];

    assert_non_null(j);
    for (size_t i = 0; i < MOST_ROWS; i++)
        items[i] = arena_printf(&j->arena, "{\"answer\":\"%s\"}", wants[i]);
    open_rows(&j->data, j->rows, MOST_ROWS, items);
    j->grader = open_grader(grader, shadows);
    references_find(&j->data, j->grader, &j->arena, &j->references);
    return j;
}

static void close_job(struct job *j)
{
    close_rows(&j->data);
    grader_close(j->grader);
    arena_release(&j->arena);
    free(j);
}

static struct step_metrics tell_step(struct job *j, struct made *m)
{
    const struct ledger_inputs in = {
        .groups = &m->groups, .grader = j->grader, .references = &j->references};
    const struct progress_sink sink = {.ctx = &j->told, .event = on_event};
    struct step_metrics metrics = {.step = (size_t)j->state.n_steps + 1,
                                   .n_samples = m->groups.n * m->x.n_samples};
    struct error err;

    ASSERT_OK(ledger_step(&j->state, &in, &metrics, &sink, &m->arena, &err));
    return metrics;
}

/* n steps of twelve prompts and four answers each, all worth the same; same: they all say so, else each its own. */
static void go(struct job *j, size_t n, double reward, double part0, double part1, const char *same)
{
    for (size_t step = 0; step < n; step++) {
        struct made m;

        make(&m, MOST_ROWS, MOST_SAMPLES);
        for (size_t i = 0; i < MOST_ROWS * MOST_SAMPLES; i++)
            put(&m, i / MOST_SAMPLES, i % MOST_SAMPLES,
                same != NULL ? same : arena_printf(&m.arena, "answer %c", (char)('A' + i)), reward,
                part0, part1);
        (void)tell_step(j, &m);
        arena_release(&m.arena);
    }
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;

    for (; (text = strstr(text, what)) != NULL; text++)
        n++;
    return n;
}

static void assert_says(const struct job *j, const char *what)
{
    if (strstr(j->told.last, what) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", j->told.last, what);
}

static void a_falling_shadow_is_told_once_with_the_three_answers_that_show_it(void **state)
{
    struct job *j =
        open_job(CHECK("paid", "{{item.answer}}"), "{\"judge\":" CHECK("x", "{{item.answer}}") "}");
    struct made m;

    (void)state;
    go(j, 20, 0.1, 0.1, 0.9, NULL);
    go(j, 1, 0.8, 0.8, 0.3, NULL);
    assert_int_equal(j->told.n_warnings, 0); /* 3.6 standard errors */
    make(&m, MOST_ROWS, MOST_SAMPLES);
    for (size_t i = 0; i < MOST_ROWS * MOST_SAMPLES; i++)
        put(&m, i / MOST_SAMPLES, i % MOST_SAMPLES,
            arena_printf(&m.arena, "answer %c", (char)('A' + i)), 0.8, 0.8, 0.3);
    put(&m, 2, 1, "gamed\x1b[31m\n\"\xE2\x80\xAE\xC3\xA9\xFF", 1, 1, 0);
    put(&m, 2, 2, "gamed nearly as well", 1, 1, 0.05);
    put(&m, 7, 0, "gamed too", 1, 1, 0.1);
    char *text = arena_text(&m.arena, STR("gamed at length "));
    while (strlen(text) < 300)
        text = arena_printf(&m.arena, "%smore ", text);
    put(&m, 5, 3, text, 1, 1, 0.2);
    put(&m, 9, 0, "good and liked", 1, 1, 1);
    (void)tell_step(j, &m);
    arena_release(&m.arena);
    assert_int_equal(j->told.n_warnings, 1);
    assert_says(j, "Step 22: the reward rises while the shadow grader \"judge\" falls");
    assert_says(j, "Answers of the last 10 steps earn 0.24");
    assert_says(j, "(0.100 in the first 10)");
    assert_says(j, "(0.900).");
    assert_says(j, " (1) step 22, item 2, sample 1, reward 1.00, judge 0.00: "
                   "\"gamed\\u001b[31m\\n\\\"\\u202e\xC3\xA9\\xff\"");
    assert_says(j, " (2) step 22, item 7, sample 0, reward 1.00, judge 0.10: \"gamed too\"");
    assert_says(j,
                " (3) step 22, item 5, sample 3, reward 1.00, judge 0.20: \"gamed at length more");
    assert_says(j, "more...\"");
    assert_int_equal(count(j->told.last, "reward 1.00"), 3);
    const char *third = strstr(j->told.last, "\"gamed at length");
    assert_int_equal(strlen(third), 1 + 200 + 3 + 1); /* 200 characters of it */

    go(j, 15, 0.8, 0.8, 0.3, NULL);
    assert_int_equal(j->told.n_warnings, 1); /* it goes on: told once */
    assert_int_equal(j->told.n_infos, 0);
    go(j, 15, 0.1, 0.1, 0.9, NULL);
    assert_int_equal(j->told.n_infos, 1);
    assert_says(j, "no longer so that the reward rises while the grader \"judge\" falls");
    go(j, 15, 0.8, 0.8, 0.3, NULL);
    assert_int_equal(j->told.n_warnings, 2); /* it began anew */
    close_job(j);
}

static void a_part_that_is_sold_for_another_is_told(void **state)
{
    struct job *j =
        open_job("{\"type\":\"multi\",\"name\":\"both\",\"calculate_output\":\"long + right\","
                 "\"graders\":{\"long\":" CHECK("x", "{{item.answer}}") ",\"right\":" CHECK(
                     "y", "{{item.answer}}") "}}",
                 NULL);

    (void)state;
    go(j, 20, 0.6, 0.1, 0.5, NULL);
    go(j, 2, 1.1, 0.9, 0.2, NULL);
    assert_int_equal(j->told.n_warnings, 1);
    assert_says(
        j, "Step 22: the reward rises while one of its parts, the grader \"right\", falls: it is "
           "being sold for the others");
    assert_int_equal(count(j->told.last, ", right 0.20: \"answer "), 3);
    close_job(j);
}

static void answers_that_turn_alike_are_told_with_prompts_that_want_different_ones(void **state)
{
    struct job *j = open_job(CHECK("paid", "{{item.answer}}"), NULL);
    struct made m;

    (void)state;
    go(j, 20, 0.5, 0.5, 0, NULL);
    go(j, 4, 0.5, 0.5, 0, "I am right");
    assert_int_equal(j->told.n_warnings, 1);
    assert_says(j,
                "Step 24: answers turn alike: 100 % of this step's are the same, where the right "
                "ones need not be the same for more than 17 % of its prompts");
    assert_says(j, "(1) step 24, item 0,");
    assert_says(j, "(2) step 24, item 2,"); /* item 1 wants what item 0 wants */
    assert_says(j, "(3) step 24, item 3,");
    assert_int_equal(count(j->told.last, "\"I am right\""), 3);
    make(&m, MOST_ROWS, MOST_SAMPLES);
    for (size_t i = 0; i < MOST_ROWS * MOST_SAMPLES; i++)
        put(&m, i / MOST_SAMPLES, i % MOST_SAMPLES, i < 12 ? "x" : "", 0, 0, 0);
    const struct step_metrics x = tell_step(j, &m);
    ASSERT_NEAR(x.train_habit[HABIT_COMMON], 0.75, 1e-12);
    ASSERT_NEAR(x.train_habit[HABIT_EMPTY], 0.75, 1e-12);
    ASSERT_NEAR(x.train_habit[HABIT_DISTINCT], 0.25, 1e-12);
    ASSERT_NEAR(x.train_same_reference, 2.0 / 12, 1e-12);
    arena_release(&m.arena);
    close_job(j);
}

/* Half the rows want yes, half no: a model that is right says each to half of them. */
static void two_classes_answered_rightly_are_no_drift(void **state)
{
    struct job *j = open_job(CHECK("paid", "{{item.answer}}"), NULL);

    (void)state;
    for (size_t i = 0; i < MOST_ROWS; i++)
        json_object_set_new(j->rows[i].item, "answer", json_string(i % 2 ? "yes" : "no"));
    references_find(&j->data, j->grader, &j->arena, &j->references);
    go(j, 10, 0.5, 0.5, 0, NULL);
    for (size_t step = 0; step < 20; step++) {
        struct made m;

        make(&m, MOST_ROWS, MOST_SAMPLES);
        for (size_t i = 0; i < MOST_ROWS * MOST_SAMPLES; i++)
            put(&m, i / MOST_SAMPLES, i % MOST_SAMPLES,
                i / MOST_SAMPLES % 2 ? "answer: yes" : "answer: no", 1, 1, 0);
        const struct step_metrics x = tell_step(j, &m);
        assert_true(x.train_habit[HABIT_COMMON] == 0.5);
        assert_true(x.train_same_reference == 0.5);
        arena_release(&m.arena);
    }
    assert_int_equal(j->told.n_warnings, 0);
    go(j, 10, 0.5, 0.5, 0, "answer: no"); /* and one that says no to all of them drifts */
    assert_int_equal(j->told.n_warnings, 1);
    assert_says(j, "answers turn alike: 100 %");
    close_job(j);
}

static void longer_answers_for_the_same_reward_are_told(void **state)
{
    struct job *j = open_job(CHECK("paid", "{{item.answer}}"), NULL);
    struct made m;

    (void)state;
    go(j, 20, 0.5, 0.5, 0, NULL);
    for (size_t step = 0; step < 4; step++) {
        make(&m, MOST_ROWS, MOST_SAMPLES);
        for (size_t i = 0; i < MOST_ROWS * MOST_SAMPLES; i++) {
            char text[64];

            for (size_t k = 0; k < sizeof text; k++) /* nothing is said twice */
                text[k] = (char)('A' + (i * 7 + k * k + k / 5) % 50);
            text[20 + (i == 17 ? 12 : i % 3)] = '\0';
            put(&m, i / MOST_SAMPLES, i % MOST_SAMPLES, arena_text(&m.arena, str_of(text)), 0.5,
                0.5, 0);
        }
        (void)tell_step(j, &m);
        arena_release(&m.arena);
    }
    assert_int_equal(j->told.n_warnings, 1);
    assert_says(j,
                "Step 24: an answer has grown to 13.3 tokens (8.0 in the first 10 steps), and the "
                "reward has not risen. Where it is most: (1) step 24, item 4, sample 1,");
    assert_int_equal(count(j->told.last, ") step 24, item "), 3);
    close_job(j);
}

static void a_step_with_fewer_answers_has_fewer_examples(void **state)
{
    struct job *j =
        open_job(CHECK("paid", "{{item.answer}}"), "{\"judge\":" CHECK("x", "{{item.answer}}") "}");

    (void)state;
    for (size_t step = 1; step <= 8; step++) {
        const double paid = step <= 4 ? 0 : 1;
        struct made m;

        make(&m, 1, 2);
        put(&m, 0, 0, "one", paid, paid, 1 - paid);
        put(&m, 0, 1, "two", paid, paid, 1 - paid);
        assert_int_equal(j->told.n_warnings, 0);
        (void)tell_step(j, &m);
        arena_release(&m.arena);
    }
    assert_int_equal(j->told.n_warnings, 1);
    assert_int_equal(count(j->told.last, ") step 8, item 0"), 2);
    close_job(j);
}

static void a_shadow_that_fails_is_told_and_does_not_fall(void **state)
{
    struct job *j =
        open_job(CHECK("paid", "{{item.answer}}"), "{\"judge\":" CHECK("x", "{{item.answer}}") "}");

    (void)state;
    go(j, 10, 0.1, 0.1, 0.9, NULL);
    for (size_t step = 0; step < 10; step++) {
        struct made m;

        make(&m, MOST_ROWS, MOST_SAMPLES);
        for (size_t i = 0; i < MOST_ROWS * MOST_SAMPLES; i++) {
            put(&m, i / MOST_SAMPLES, i % MOST_SAMPLES,
                arena_printf(&m.arena, "answer %c", (char)('A' + i)), 0.9, 0.9, 0.9);
            if (i % 2 == 0) {
                struct grade_result *g = &m.x.slots[i].grade;

                g->part[1] = 0;
                g->part_flags[1] = GRADE_PYTHON_RUNTIME_ERROR;
                snprintf(g->shadow_details, sizeof g->shadow_details, "judge: it\nbroke");
            }
        }
        (void)tell_step(j, &m);
        arena_release(&m.arena);
        assert_says(
            j, "the shadow grader \"judge\" failed on 24 of 48 answers; they are not in its mean, "
               "and the reward is as it was. The first time: judge: it\\nbroke");
        assert_int_equal(j->told.n_warnings, step + 1); /* and of nothing else */
    }
    close_job(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_form_of_an_answer_is_seen),
        cmocka_unit_test(repetition_is_the_share_of_runs_said_before),
        cmocka_unit_test(what_is_said_most_is_counted_over_prompts),
        cmocka_unit_test(the_references_explain_as_much_as_one_key_agrees),
        cmocka_unit_test(a_shift_is_the_difference_and_its_standard_error),
        cmocka_unit_test(noise_alone_raises_no_alarm),
        cmocka_unit_test(nor_does_it_with_few_prompts_or_many),
        cmocka_unit_test(a_reward_that_rises_by_merit_raises_hardly_any),
        cmocka_unit_test(a_shadow_that_falls_is_found),
        cmocka_unit_test(each_drift_has_its_alarm),
        cmocka_unit_test(a_reward_that_is_gamed_at_once_is_found_before_the_run_ends),
        cmocka_unit_test(a_quantile_of_student_s_is_that_of_the_tables),
        cmocka_unit_test(a_ledger_read_back_goes_on_bit_for_bit),
        cmocka_unit_test(the_largest_scores_are_no_noise_and_can_be_read_back),
        cmocka_unit_test(a_ledger_that_is_none_is_refused),
        cmocka_unit_test(a_falling_shadow_is_told_once_with_the_three_answers_that_show_it),
        cmocka_unit_test(a_part_that_is_sold_for_another_is_told),
        cmocka_unit_test(answers_that_turn_alike_are_told_with_prompts_that_want_different_ones),
        cmocka_unit_test(two_classes_answered_rightly_are_no_drift),
        cmocka_unit_test(longer_answers_for_the_same_reward_are_told),
        cmocka_unit_test(a_step_with_fewer_answers_has_fewer_examples),
        cmocka_unit_test(a_shadow_that_fails_is_told_and_does_not_fall),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
