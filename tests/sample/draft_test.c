/*
 * draft_test.c - what is guessed from which texts, what is counted, which guesses pay; and what is remembered.
 */
#include "sample/draft.h"
#include "support/numbers.h"
#include "support/support.h"

#include <math.h>

static struct arena arena;

/* ---- guesses ---- */

struct growing {
    token_id tokens[64];
    float logprobs[64];
    size_t n;
};

static struct draft_own own_of(const struct growing *g)
{
    return (struct draft_own){.tokens = g->tokens, .logprobs = g->logprobs, .n = &g->n};
}

static void put(struct draft_index *x, struct growing *g, size_t i, token_id id)
{
    g[i].tokens[g[i].n++] = id;
    draft_index_grown(x, i);
}

static void assert_guess(const struct draft_index *x, size_t i, size_t most, const token_id *want,
                         size_t n)
{
    struct drafted got[DRAFT_MOST];

    assert_int_equal(draft_guess(x, i, most, got), n);
    for (size_t k = 0; k < n; k++) {
        assert_int_equal(got[k].id, want[k]);
        assert_true(got[k].kind < DRAFT_WRITTEN);
    }
}

static void an_answer_that_began_like_an_earlier_one_goes_on_like_it(void **state)
{
    static const token_id prompt[] = {1, 2, 3}, a[] = {10, 11, 12, 13, 14}, b[] = {10, 11, 20, 21};
    static const float la[] = {-1, -1, -0.1f, -1, -1}, lb[] = {-1, -1, -2, -1};
    const struct draft_text texts[] = {{b, lb, 4}, {a, la, 5}};
    struct growing g[1] = {0};
    const struct draft_own own = own_of(g);
    struct draft_index *x = draft_index_open(prompt, 3, texts, 2, &own, 1);

    (void)state;
    put(x, g, 0, 10);
    assert_guess(x, 0, 9, (token_id[]){11, 12, 13, 14}, 4); /* 12 was likelier than 20 */
    assert_guess(x, 0, 2, (token_id[]){11, 12}, 2);
    put(x, g, 0, 11);
    put(x, g, 0, 20);
    assert_guess(x, 0, 9, (token_id[]){21}, 1);
    put(x, g, 0, 21);
    assert_guess(x, 0, 9, NULL, 0); /* the text is at its end */
    put(x, g, 0, 12);               /* nothing had these two before */
    assert_guess(x, 0, 9, NULL, 0);
    draft_index_close(x);
}

static void a_pair_that_came_before_goes_on_as_it_did(void **state)
{
    static const token_id prompt[] = {5, 6, 7, 8, 9, 5, 6, 30};
    struct growing g[2] = {0};
    const struct draft_own own[2] = {own_of(&g[0]), own_of(&g[1])};
    struct draft_index *x = draft_index_open(prompt, 8, NULL, 0, own, 2);

    (void)state;
    put(x, g, 0, 5);
    assert_guess(x, 0, 4, NULL, 0); /* 30 5 is new */
    put(x, g, 0, 6);
    assert_guess(x, 0, 2, (token_id[]){30}, 1); /* the latest place of 5 6 */
    put(x, g, 0, 7);
    assert_guess(x, 0, 4, (token_id[]){8, 9, 5, 6}, 4);
    put(x, g, 0, 40);
    put(x, g, 0, 41);
    put(x, g, 0, 42);
    put(x, g, 1, 77);
    put(x, g, 1, 40);
    put(x, g, 1, 41);
    assert_guess(x, 1, 3, (token_id[]){42}, 1); /* as another answer of the group did */
    draft_index_close(x);
}

static void the_longest_agreement_counts(void **state)
{
    static const token_id prompt[] = {1, 2, 3, 4, 5, 6, 50, 9, 9, 5, 6, 60, 0};
    struct growing g[1] = {0};
    const struct draft_own own = own_of(g);
    struct draft_index *x = draft_index_open(prompt, 13, NULL, 0, &own, 1);

    (void)state;
    for (token_id id = 2; id <= 6; id++)
        put(x, g, 0, id);
    assert_guess(x, 0, 1, (token_id[]){50}, 1); /* not 60, which came later behind 5 6 alone */
    draft_index_close(x);
    draft_index_close(NULL);
}

static void long_texts_are_looked_at_as_far_as_there_is_room(void **state)
{
    enum { LONG = 5000 };
    static token_id first[LONG], second[LONG];
    static const token_id prompt[] = {1};
    struct growing g[1] = {0};
    const struct draft_own own = own_of(g);
    const struct draft_text texts[] = {{first, NULL, LONG}, {second, NULL, LONG}};

    (void)state;
    for (token_id i = 0; i < LONG; i++) {
        first[i] = 10 + i;
        second[i] = 20000 + i;
    }
    struct draft_index *x = draft_index_open(prompt, 1, texts, 2, &own, 1);
    put(x, g, 0, 20000);
    put(x, g, 0, 20001);
    assert_guess(x, 0, 2, NULL, 0);
    put(x, g, 0, 4000);
    put(x, g, 0, 4001);
    assert_guess(x, 0, 2, (token_id[]){4002, 4003}, 2);
    draft_index_close(x);
}

/* Against a search through all texts: every guess continues what a place behind the same two tokens goes on with. */
static void a_guess_follows_the_same_two_tokens_somewhere(void **state)
{
    struct dice d = {12};
    size_t n_guesses = 0;

    (void)state;
    for (int round = 0; round < 200; round++) {
        token_id all[3][64];
        struct draft_text texts[2];
        struct growing g[1] = {0};
        const struct draft_own own = own_of(g);
        size_t n[3];

        for (size_t t = 0; t < 3; t++) {
            n[t] = 2 + dice_below(&d, 60);
            for (size_t i = 0; i < n[t]; i++)
                all[t][i] = (token_id)dice_below(&d, 6);
        }
        for (size_t t = 0; t < 2; t++)
            texts[t] = (struct draft_text){.tokens = all[t + 1], .n = n[t + 1]};
        struct draft_index *x = draft_index_open(all[0], n[0], texts, 2, &own, 1);
        for (size_t i = 0; i < 20; i++) {
            struct drafted got[4];

            put(x, g, 0, (token_id)dice_below(&d, 6));
            token_id before = i == 0 ? all[0][n[0] - 1] : g[0].tokens[i - 1], last = g[0].tokens[i];
            const size_t k = draft_guess(x, 0, 4, got);
            for (size_t j = 0; j < k; j++) {
                bool found = false;

                for (size_t t = 0; t < 3; t++)
                    for (size_t at = 0; at < n[t]; at++) {
                        const token_id one = at >= 1 ? all[t][at - 1] : all[0][n[0] - 1],
                                       two = at >= 2   ? all[t][at - 2]
                                             : at == 1 ? all[0][n[0] - 1]
                                                       : all[0][n[0] - 2];

                        found = found || (all[t][at] == got[j].id && one == last && two == before &&
                                          (t > 0 || at >= 2));
                    }
                for (size_t at = 0; at + 1 <= i + 1; at++) { /* or in the answer itself */
                    const token_id one = at >= 1 ? g[0].tokens[at - 1] : all[0][n[0] - 1],
                                   two = at >= 2   ? g[0].tokens[at - 2]
                                         : at == 1 ? all[0][n[0] - 1]
                                                   : all[0][n[0] - 2];
                    found = found || (g[0].tokens[at] == got[j].id && one == last && two == before);
                }
                assert_true(found);
                before = last;
                last = got[j].id;
                n_guesses++;
            }
        }
        draft_index_close(x);
    }
    assert_true(n_guesses > 5000);
}

/* ---- which pay ---- */

static void odds_follow_what_was_seen_and_forget_it(void **state)
{
    struct draft_odds o = {0};
    const float prior = draft_odds_of(&o, false, 3);

    (void)state;
    assert_true(prior > 0.5f && prior < 1);
    assert_true(draft_odds_of(&o, false, DRAFT_WRITTEN) == 1);
    for (int i = 0; i < 1000; i++)
        draft_odds_add(&o, false, 3, i % 4 == 0);
    ASSERT_NEAR(draft_odds_of(&o, false, 3), 0.25, 0.03);
    assert_true(draft_odds_of(&o, true, 3) == prior); /* counted apart */
    for (int i = 0; i < 40000; i++)
        draft_odds_age(&o);
    ASSERT_NEAR(draft_odds_of(&o, false, 3), (double)prior, 0.01);
}

/* Passes whose time is that of `more` rows and their own, on a machine whose speed wanders. */
static void the_cost_of_a_pass_is_learned_beside_other_work(void **state)
{
    static const double truths[] = {3, 10, 40};
    struct dice d = {4};

    (void)state;
    for (size_t i = 0; i < sizeof truths / sizeof *truths; i++) {
        struct pace p;
        double speed = 1;

        pace_begin(&p);
        for (int k = 0; k < 4000; k++) {
            const size_t m = 1 + dice_below(&d, 30);

            speed *= exp(0.1 * ((double)dice_float(&d, 0, 1) - 0.5));
            pace_add(&p, m,
                     speed * (truths[i] + (double)m) *
                         (dice_below(&d, 20) == 0 ? 9 : 1 + (double)dice_float(&d, 0, 0.3f)));
            if (dice_below(&d, 50) == 0)
                pace_break(&p);
        }
        assert_true(pace_of(&p, 0) > truths[i] * 0.6 && pace_of(&p, 0) < truths[i] * 1.7);
        ASSERT_NEAR(pace_of(&p, 7) - pace_of(&p, 0), 7, 1e-9);
    }
}

static void a_node_that_is_not_the_last_saves_nothing(void **state)
{
    (void)state;
    assert_true(draft_worth_of_last(1, 5, 0.1) == 1); /* alone */
    for (size_t m = 2; m < 40; m += 3) {
        ASSERT_NEAR(draft_worth_of_last(m, 100000, 0.01), 1 / (double)m, 1e-3); /* any may be it */
        assert_true(draft_worth_of_last(m, 3, 0.001) < 0.01f); /* all go on until the same limit */
    }
    ASSERT_NEAR(draft_worth_of_last(2, 1, 0.5), 0.5 * 0.5 / 2 + 0.5 * 0.5, 1e-6);
}

/* Against all choices of beginnings, for a few nodes. */
static void no_other_choice_costs_less(void **state)
{
    struct dice d = {5};
    size_t n_some = 0;

    (void)state;
    for (int round = 0; round < 300; round++) {
        struct drafted guesses[3][4];
        struct draft_offer offers[3];
        struct draft_odds o = {0};
        struct pace p;
        double best = (double)INFINITY, got = 0;

        arena_reset(&arena);
        pace_begin(&p);
        for (size_t i = 0; i < 3; i++) {
            for (size_t k = 0; k < 4; k++)
                guesses[i][k].kind = (uint8_t)dice_below(&d, DRAFT_KINDS);
            offers[i] = (struct draft_offer){guesses[i], dice_below(&d, 5), i == 1,
                                             dice_float(&d, 0, 0.3f)};
        }
        const struct draft_offer all[3] = {offers[0], offers[1], offers[2]};
        draft_choose(&o, &p, 100, offers, 3, &arena);
        for (size_t code = 0; code < 125; code++) {
            const size_t n[3] = {code % 5, code / 5 % 5, code / 25};
            double cost = pace_of(&p, 0), passes = 1;
            bool can = true;

            for (size_t i = 0; i < 3; i++) {
                double q = 1;

                can = can && n[i] <= all[i].n;
                for (size_t k = 0; k < n[i]; k++) {
                    q *= (double)draft_odds_of(&o, i == 1, guesses[i][k].kind);
                    cost += 1 - q;
                    passes += q * (double)all[i].worth;
                }
            }
            const double rate = cost / passes;
            best = can ? fmin(best, rate) : best;
            if (n[0] == offers[0].n && n[1] == offers[1].n && n[2] == offers[2].n)
                got = rate;
        }
        ASSERT_NEAR(got, best, best * 1e-6);
        n_some += offers[0].n > 0;
        for (size_t i = 0; i < 3; i++)
            offers[i] = all[i];
        draft_choose(&o, &p, 2, offers, 3, &arena);
        assert_true(offers[0].n + offers[1].n + offers[2].n <= 2);
    }
    assert_true(n_some > 50 && n_some < 280);
}

/* ---- history ---- */

static void add(struct history *h, token_id prompt, token_id first, size_t n)
{
    token_id tokens[40];
    float logprobs[40];

    for (size_t i = 0; i < n; i++) {
        tokens[i] = first + (token_id)i;
        logprobs[i] = -(float)i;
    }
    history_add(h, &prompt, 1, &(struct draft_text){tokens, logprobs, n});
}

static void the_latest_answers_to_a_prompt_are_remembered(void **state)
{
    struct history *h = history_open(1 << 20);
    const token_id one = 1, two = 2;
    const struct draft_text *t;
    size_t n;

    (void)state;
    assert_null(history_find(NULL, &one, 1, &n));
    assert_int_equal(n, 0);
    for (token_id i = 0; i < HISTORY_TEXTS + 5; i++)
        add(h, one, 100 * i, 3);
    add(h, two, 7, 4);
    add(h, one, 100 * 20, 3); /* known: it is the latest now */
    t = history_find(h, &one, 1, &n);
    assert_int_equal(n, HISTORY_TEXTS);
    assert_int_equal(t[0].tokens[0], 2000);
    assert_int_equal(t[1].tokens[0], 100 * (HISTORY_TEXTS + 4));
    assert_true(t[0].logprobs[2] == -2);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(t[i].tokens[0], t[k].tokens[0]);
    t = history_find(h, &two, 1, &n);
    assert_int_equal(n, 1);
    assert_int_equal(t[0].n, 4);
    history_close(h);
    history_close(NULL);
}

static void what_is_remembered_stays_within_its_bytes(void **state)
{
    const size_t most = 20000;
    struct history *h = history_open(most);
    struct dice d = {8};
    size_t n;

    (void)state;
    for (token_id i = 0; i < 3000; i++) {
        const token_id prompt = (token_id)dice_below(&d, 200);

        add(h, prompt, i, 1 + dice_below(&d, 40));
        assert_true(history_bytes(h) <= most);
        const struct draft_text *t = history_find(h, &prompt, 1, &n);
        assert_true(n > 0 && t[0].tokens[0] == i); /* the latest is there in any case */
    }
    history_add(h, (token_id[]){5}, 1, &(struct draft_text){.n = 0});
    history_close(h);
    h = history_open(10); /* too small for anything */
    add(h, 1, 1, 5);
    assert_int_equal(history_bytes(h), 0);
    history_close(h);
}

static int leave(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_that_began_like_an_earlier_one_goes_on_like_it),
        cmocka_unit_test(a_pair_that_came_before_goes_on_as_it_did),
        cmocka_unit_test(the_longest_agreement_counts),
        cmocka_unit_test(long_texts_are_looked_at_as_far_as_there_is_room),
        cmocka_unit_test(a_guess_follows_the_same_two_tokens_somewhere),
        cmocka_unit_test(odds_follow_what_was_seen_and_forget_it),
        cmocka_unit_test(the_cost_of_a_pass_is_learned_beside_other_work),
        cmocka_unit_test(a_node_that_is_not_the_last_saves_nothing),
        cmocka_unit_test(no_other_choice_costs_less),
        cmocka_unit_test(the_latest_answers_to_a_prompt_are_remembered),
        cmocka_unit_test(what_is_remembered_stays_within_its_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, leave);
}
