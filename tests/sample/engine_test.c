/*
 * engine_test.c - an answer depends on its own prompt, options and counters alone, to the bit; and ends when it should.
 */
#include "base/parallel.h"
#include "base/size.h"
#include "sample/engine.h"
#include "support/numbers.h"
#include "support/requests.h"
#include "tensor/cpu/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static int set_up(void **state)
{
    static struct setting s;

    rig_open_tiny(&s.rig);
    s.m = s.rig.model;
    s.t = model_files_tokenizer(s.m->files);
    s.ad = random_adapter(&s.m->config, 4, 1);
    parallel_set_threads(3); /* more than the machine may have: an engine has scratch for so many */
    s.e = open_engine(&s, 0, 0, 0);
    *state = &s;
    return 0;
}

static int tear_down(void **state)
{
    struct setting *s = *state;

    assert_int_equal(kv_pool_pages_in_use(engine_pool(s->e)), 0);
    engine_close(s->e);
    adapter_close(s->ad);
    rig_close(&s->rig);
    parallel_set_threads(0);
    return 0;
}

static struct sample **run(struct setting *s, struct engine *e, const struct adapter *ad,
                           const struct sample_request *q, size_t n)
{
    struct sample **samples;
    struct error err = {0};

    ASSERT_OK(engine_run(e, ad, q, n, NULL, &samples, &err));
    assert_int_equal(kv_pool_pages_in_use(engine_pool(e)), 0);
    return keep_samples(s, samples, q, n);
}

/* Pairs that have two tokens in common or more, but not all: without them the tree is only a star. */
static size_t late_partings(const struct sample *x, size_t n)
{
    size_t n_pairs = 0;

    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            size_t common = 0;

            while (common < x[i].n && common < x[j].n && x[i].tokens[common] == x[j].tokens[common])
                common++;
            n_pairs += common >= 2 && common < x[i].n && common < x[j].n;
        }
    }
    return n_pairs;
}

static void an_answer_does_not_depend_on_what_is_sampled_beside_it(void **state)
{
    static const struct {
        size_t max_live, kv_pages, prefill_rows;
        int threads;
        size_t draft;
    } ways[] = {{0, 0, 0, 1, 0},
                {1, 0, 0, 2, 3},
                {5, 0, 1, 3, 1},
                {10, 0, 17, 8, 8},
                {0, 60, 0, 2, 32},
                {1000, 0, 64, 3, DRAFT_AUTO},
                {7, 12, 300, 1, DRAFT_AUTO},
                {0, 0, 0, 2, DRAFT_AUTO}};
    struct setting *s = *state;
    const struct kernels *const *all;
    const size_t n_tables = kernels_available(&all);
    struct sample_request q[N_MIXED], turned[N_MIXED];
    const struct sample *alone[N_MIXED];
    char what[120];
    struct dice d = {1};

    mixed_requests(s, q);
    for (int with = 0; with < 2; with++) {
        const struct adapter *ad = with ? s->ad : NULL;

        for (size_t i = 0; i < N_MIXED; i++)
            alone[i] = run(s, s->e, ad, &q[i], 1)[0];
        print_message("             %zu pairs of answers part after two tokens or more\n",
                      late_partings(alone[9], q[9].n_samples) +
                          late_partings(alone[10], q[10].n_samples));
        assert_true(late_partings(alone[9], q[9].n_samples) +
                        late_partings(alone[10], q[10].n_samples) >
                    20);
        for (size_t w = 0; w < COUNT_OF(ways); w++) {
            size_t order[N_MIXED];

            for (size_t i = 0; i < N_MIXED; i++)
                order[i] = i;
            for (size_t i = N_MIXED - 1; w > 0 && i > 0; i--) {
                const size_t j = dice_below(&d, i + 1), t = order[i];

                order[i] = order[j];
                order[j] = t;
            }
            for (size_t i = 0; i < N_MIXED; i++)
                turned[i] = q[order[i]];
            parallel_set_threads(ways[w].threads);
            assert_true(ops_choose_machine(all[w % n_tables]->name));
            struct engine *e =
                open_engine(s, ways[w].max_live, ways[w].kv_pages * kv_page_bytes(&s->m->config),
                            ways[w].prefill_rows);
            engine_set_draft(e, ways[w].draft);
            struct sample **got = run(s, e, ad, turned, N_MIXED);
            for (size_t i = 0; i < N_MIXED; i++) {
                for (size_t k = 0; k < q[order[i]].n_samples; k++) {
                    snprintf(what, sizeof what, "way %zu%s, request %zu, answer %zu", w,
                             with ? " with adapter" : "", order[i], k);
                    assert_same_sample(what, &got[i][k], &alone[order[i]][k]);
                }
            }
            engine_close(e);
        }
        parallel_set_threads(3);
        assert_true(ops_choose_machine(NULL));
    }
}

static void the_first_answers_are_the_same_however_many_are_wanted(void **state)
{
    struct setting *s = *state;
    struct sample_request many = request_of(s, COMMON, 30, 20), few = many;
    struct sample **all = run(s, s->e, NULL, &many, 1);

    few.n_samples = 4;
    struct sample **some = run(s, s->e, NULL, &few, 1);
    for (size_t k = 0; k < 4; k++)
        assert_same_sample("of four", &some[0][k], &all[0][k]);
    few = many;
    few.max_tokens = 9; /* and so is a beginning, however long it may go on */
    some = run(s, s->e, NULL, &few, 1);
    for (size_t k = 0; k < 30; k++) {
        assert_memory_equal(some[0][k].tokens, all[0][k].tokens, some[0][k].n * sizeof(token_id));
        ASSERT_SAME("beginning", some[0][k].n, some[0][k].logprobs, all[0][k].logprobs);
    }
}

static void other_counters_give_other_answers(void **state)
{
    struct setting *s = *state;
    struct sample_request q[6];

    for (size_t i = 0; i < COUNT_OF(q); i++)
        q[i] = request_of(s, COMMON, 2, 12);
    q[1].seed = 2;
    q[2].step = 1;
    q[3].item = 1;
    q[4].purpose = PHILOX_EVAL;
    struct sample **got = run(s, s->e, NULL, q, COUNT_OF(q));
    assert_same_sample("the same counters", &got[5][0], &got[0][0]);
    for (size_t i = 1; i < 5; i++)
        assert_memory_not_equal(got[i][0].tokens, got[0][0].tokens, 8 * sizeof(token_id));
    assert_memory_not_equal(got[0][1].tokens, got[0][0].tokens, 8 * sizeof(token_id));
}

/* What engine.h promises of every random number: token t of sample s has the counters (step, item, s, t). */
static void each_token_is_drawn_with_the_number_of_its_own_place(void **state)
{
    struct setting *s = *state;
    struct sample_request q = request_of(s, COMMON, 25, 12);
    const size_t v = s->m->config.vocab;
    struct picker picker = {0};

    q.pick.temperature =
        0.4f; /* so that answers part late, and places in the tree are not numbers of samples */
    q.seed = 99;
    q.step = 3;
    q.item = 8;
    struct sample **got = run(s, s->e, NULL, &q, 1);
    for (uint32_t k = 0; k < q.n_samples; k++) {
        const struct sample *x = &got[0][k];
        const size_t n = q.n_prompt + x->n;
        token_id *text = ARENA_ARRAY(&s->rig.arena, token_id, n);
        float *logits = ARENA_ARRAY(&s->rig.arena, float, n *v);

        memcpy(text, q.prompt, q.n_prompt * sizeof *text);
        memcpy(text + q.n_prompt, x->tokens, x->n * sizeof *text);
        logits_of(s->m, n, rig_read(&s->rig, NULL, text, n), logits, v);
        for (uint32_t t = 0; t < x->n; t++) {
            const struct picked_row row =
                pick_row(&picker, logits + (q.n_prompt - 1 + t) * v, v, 1 / 0.4f, false);
            const float u = philox_uniform(99, PHILOX_TEST, 3, 8, k, t);

            assert_int_equal(x->tokens[t], pick_plain(&row, u));
        }
    }
    picker_release(&picker);
}

/* Scoring reads a text in pieces of prefill_rows; sampling made it token by token, in company. */
static void a_token_s_log_probability_is_what_scoring_finds_to_the_bit(void **state)
{
    static const size_t pieces[] = {1, 7, 512};
    struct setting *s = *state;
    struct sample_request q[N_MIXED];
    struct error err = {0};
    size_t n_compared = 0;

    mixed_requests(s, q);
    for (int with = 0; with < 2; with++) {
        const struct adapter *ad = with ? s->ad : NULL;
        struct sample **got = run(s, s->e, ad, q, N_MIXED);

        for (size_t p = 0; p < COUNT_OF(pieces); p++) {
            struct engine *e = open_engine(s, 0, 0, pieces[p]);

            for (size_t i = 0; i < N_MIXED; i++) {
                for (size_t k = 0; k < q[i].n_samples; k += 2) {
                    const struct sample *x = &got[i][k];
                    const size_t n = q[i].n_prompt + x->n;
                    token_id *text = ARENA_ARRAY(&s->rig.arena, token_id, n);
                    float *logprobs = ARENA_ARRAY(&s->rig.arena, float, n);

                    memcpy(text, q[i].prompt, q[i].n_prompt * sizeof *text);
                    memcpy(text + q[i].n_prompt, x->tokens, x->n * sizeof *text);
                    ASSERT_OK(engine_score(e, ad, text, n, pick_inv_t(&q[i].pick), logprobs, &err));
                    ASSERT_SAME("log-probabilities", x->n, logprobs + q[i].n_prompt, x->logprobs);
                    assert_true(logprobs[0] == 0);
                    n_compared += x->n;
                }
            }
            assert_int_equal(kv_pool_pages_in_use(engine_pool(e)), 0);
            engine_close(e);
        }
    }
    print_message("             %zu log-probabilities compared\n", n_compared);
}

static void a_score_is_the_softmax_of_the_logits(void **state)
{
    struct setting *s = *state;
    size_t n;
    const token_id *text = tokens_of(s, COMMON COMMON COMMON, &n);
    const size_t v = s->m->config.vocab, c = s->m->config.width;
    const float *hidden = rig_read(&s->rig, NULL, text, n);
    float *logits = ARENA_ARRAY(&s->rig.arena, float, n *v),
          *got = ARENA_ARRAY(&s->rig.arena, float, n), *part = ARENA_ARRAY(&s->rig.arena, float, n);
    struct error err = {0};

    assert_true(n > 64 && c > 0); /* more than one piece of logits */
    logits_of(s->m, n, hidden, logits, v);
    ASSERT_OK(engine_score(s->e, NULL, text, n, 0.5f, got, &err));
    for (size_t t = 1; t < n; t++) {
        const float *row = logits + (t - 1) * v;
        double most = -(double)INFINITY, total = 0;

        for (size_t i = 0; i < v; i++)
            most = fmax(most, (double)row[i]);
        for (size_t i = 0; i < v; i++)
            total += exp(((double)row[i] - most) / 2);
        ASSERT_NEAR(got[t], ((double)row[text[t]] - most) / 2 - log(total), 1e-5);
    }
    for (size_t from = 1; from < n;
         from += 29) { /* of a part the same bits, and nothing before it */
        for (size_t t = 0; t < n; t++)
            part[t] = NAN;
        ASSERT_OK(engine_score_from(s->e, NULL, text, n, from, 0.5f, part, &err));
        assert_memory_equal(part + from, got + from, (n - from) * sizeof *got);
        assert_true(isnan(part[from - 1]));
    }
    got[0] = 5;
    ASSERT_OK(engine_score(s->e, NULL, text, 1, 1, got, &err));
    assert_true(got[0] == 0);
    ASSERT_OK(engine_score(s->e, NULL, text, 0, 1, got, &err));
}

static void an_answer_ends_with_an_end_token_or_at_its_length(void **state)
{
    struct setting *s = *state;
    struct sample_request q = request_of(s, "A gene", 400, 50);
    struct sample **got = run(s, s->e, NULL, &q, 1);
    size_t n_ended = 0;

    for (size_t k = 0; k < q.n_samples; k++) {
        const struct sample *x = &got[0][k];
        const bool ended = config_is_end(&s->m->config, x->tokens[x->n - 1]);

        for (size_t i = 0; i + 1 < x->n; i++)
            assert_false(config_is_end(&s->m->config, x->tokens[i]));
        assert_int_equal(x->end, ended ? SAMPLE_STOP : SAMPLE_LENGTH);
        assert_true(ended ? x->n <= 50 : x->n == 50);
        assert_int_equal(x->n_drawn, x->n);
        assert_int_equal(x->n_thinking, 0);
        assert_true(x->stop_bytes == SIZE_MAX);
        n_ended += ended;
    }
    assert_true(n_ended > 5 && n_ended < 395); /* both happen */
}

/* The bytes of tokens [0, n). */
static struct str text_of(struct setting *s, const struct sample *x, size_t n)
{
    struct buf b;

    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < n; i++)
        if (!config_is_end(&s->m->config, x->tokens[i]))
            buf_str(&b, tokenizer_bytes(s->t, x->tokens[i]));
    const struct str text = arena_str(&s->rig.arena, buf_view(&b));
    buf_release(&b);
    return text;
}

static void a_stop_text_ends_an_answer_where_its_last_byte_appears(void **state)
{
    struct setting *s = *state;
    struct sample_request q = request_of(s, COMMON, 10, 40);
    struct sample **free_run = run(s, s->e, NULL, &q, 1);
    struct dice d = {2};
    size_t n_stopped = 0, n_across = 0;

    for (size_t k = 0; k < 10; k++) {
        const struct sample *x = &free_run[0][k];
        const struct str text = text_of(s, x, x->n);

        if (text.len < 12)
            continue;
        for (int round = 0; round < 5;
             round++) { /* some bytes of it: within a token or across several */
            const size_t len = 1 + dice_below(&d, 6), from = dice_below(&d, text.len - len);
            struct str stops[2] = {{text.ptr + from, len}, STR("\x01never")};
            struct sample_request stopped = q;

            stopped.stop = stops;
            stopped.n_stop = 2;
            const struct sample *got = &run(s, s->e, NULL, &stopped, 1)[0][k];
            size_t want = 1; /* tokens until the text is there */
            while (str_find(text_of(s, x, want), stops[0], 0) == text_of(s, x, want).len)
                want++;
            assert_int_equal(got->n, want);
            assert_int_equal(got->end, SAMPLE_STOP);
            assert_memory_equal(got->tokens, x->tokens, want * sizeof(token_id));
            assert_int_equal(got->stop_bytes, str_find(text, stops[0], 0));
            n_stopped++;
            n_across += want > 1 && str_find(tokenizer_bytes(s->t, x->tokens[want - 1]), stops[0],
                                             0) == tokenizer_bytes(s->t, x->tokens[want - 1]).len;
        }
    }
    assert_true(n_stopped > 20 && n_across > 5);
}

static bool has(struct str text, struct str part)
{
    return str_find(text, part, 0) < text.len;
}

/* In whatever order the list has them; as the API does it. */
static void of_stop_texts_that_appear_together_the_one_that_begins_first_counts(void **state)
{
    struct setting *s = *state;
    struct sample_request q = request_of(s, COMMON, 10, 40);
    struct sample **free_run = run(s, s->e, NULL, &q, 1);
    struct dice d = {3};
    size_t n_together = 0;

    for (size_t k = 0; k < 10; k++) {
        const struct sample *x = &free_run[0][k];
        const struct str text = text_of(s, x, x->n);

        for (int round = 0; text.len >= 12 && round < 8; round++) {
            /* some bytes, and the last of them: where these did not come earlier, both are there at once */
            const size_t len = 2 + dice_below(&d, 5), from = dice_below(&d, text.len - len),
                         less = 1 + dice_below(&d, len - 1);
            struct str stops[2] = {{text.ptr + from, len}, {text.ptr + from + less, len - less}};
            struct sample_request stopped = q;
            size_t n = 1;

            while (!has(text_of(s, x, n), stops[0]) && !has(text_of(s, x, n), stops[1]))
                n++;
            const struct str until = text_of(s, x, n);
            const size_t first = str_find(until, stops[0], 0),
                         second = str_find(until, stops[1], 0);
            for (int order = 0; order < 2; order++) {
                const struct str one = stops[0];

                stopped.stop = stops;
                stopped.n_stop = 2;
                const struct sample *got = &run(s, s->e, NULL, &stopped, 1)[0][k];
                assert_int_equal(got->n, n);
                assert_int_equal(got->end, SAMPLE_STOP);
                assert_int_equal(got->stop_bytes, size_min(first, second));
                stops[0] = stops[1];
                stops[1] = one;
            }
            n_together += first < second && second < until.len;
        }
    }
    assert_true(n_together > 10);
}

static void a_budget_of_thinking_ends_with_the_closing_written_for_the_model(void **state)
{
    struct setting *s = *state;
    struct sample_request q = request_of(s, COMMON "<think>", 6, 30), thinking = q;
    size_t n_close;
    const token_id *close_ids = tokens_of(s, "</think>", &n_close);
    struct sample **free_run = run(s, s->e, s->ad, &q, 1);

    assert_true(n_close > 1);
    for (size_t budget = 1; budget < 30; budget += 4) {
        thinking.thinking = (struct thinking_options){.on = true,
                                                      .close = STR("</think>"),
                                                      .close_ids = close_ids,
                                                      .n_close_ids = n_close,
                                                      .budget = budget};
        struct sample **got = run(s, s->e, s->ad, &thinking, 1);
        for (size_t k = 0; k < 6; k++) {
            const struct sample *x = &got[0][k], *f = &free_run[0][k];

            assert_memory_equal(x->tokens, f->tokens, size_min(budget, f->n) * sizeof(token_id));
            if (f->n <= budget) { /* it ended while thinking */
                assert_int_equal(x->n, f->n);
                assert_int_equal(x->n_thinking, x->n);
                continue;
            }
            const size_t close_end = size_min(budget + n_close, 30);
            for (size_t i = 0; i < x->n; i++) {
                const bool ours = i >= budget && i < close_end;

                assert_int_equal(x->injected[i], ours);
                if (ours)
                    assert_int_equal(x->tokens[i], close_ids[i - budget]);
            }
            assert_true(x->n >= close_end);
            assert_int_equal(x->n_thinking, close_end);
            assert_int_equal(x->n_drawn, x->n - (close_end - budget));
            if (x->n == 30)
                assert_int_equal(x->end,
                                 config_is_end(&s->m->config, x->tokens[29]) && !x->injected[29]
                                     ? SAMPLE_STOP
                                     : SAMPLE_LENGTH);
        }
    }
    thinking.thinking.budget = 0; /* no end but its length */
    struct sample **got = run(s, s->e, s->ad, &thinking, 1);
    for (size_t k = 0; k < 6; k++) {
        assert_int_equal(got[0][k].n, free_run[0][k].n);
        assert_memory_equal(got[0][k].tokens, free_run[0][k].tokens,
                            got[0][k].n * sizeof(token_id));
        assert_int_equal(got[0][k].n_thinking, got[0][k].n);
        assert_int_equal(got[0][k].n_drawn, got[0][k].n);
    }
}

static void a_span_that_the_model_closes_itself_is_left_as_it_is(void **state)
{
    struct setting *s = *state;
    struct sample_request q = request_of(s, COMMON, 8, 30), thinking = q;
    static const token_id close_ids[] = {7, 8};
    struct sample **free_run = run(s, s->e, NULL, &q, 1);
    size_t n_closed = 0;

    for (size_t k = 0; k < 8; k++) {
        const struct sample *f = &free_run[0][k];

        if (f->n < 12)
            continue;
        /* what its sixth token wrote is said to be the closing */
        const struct str text = text_of(s, f, f->n), close = tokenizer_bytes(s->t, f->tokens[5]);
        if (close.len < 1)
            continue;
        size_t want = 1;
        while (str_find(text_of(s, f, want), close, 0) == text_of(s, f, want).len)
            want++;
        thinking.thinking = (struct thinking_options){
            .on = true, .close = close, .close_ids = close_ids, .n_close_ids = 2, .budget = 8};
        const struct sample *x = &run(s, s->e, NULL, &thinking, 1)[0][k];
        assert_int_equal(x->n, f->n);
        assert_memory_equal(x->tokens, f->tokens, f->n * sizeof(token_id));
        assert_int_equal(x->n_thinking, want);
        for (size_t i = 0; i < x->n; i++)
            assert_false(x->injected[i]);
        n_closed += text.len > 0;
    }
    assert_true(n_closed > 2);
}

/* Tokens until the text is there; n + 1 where it never is. */
static size_t tokens_until(struct setting *s, const struct sample *x, struct str text)
{
    size_t n = 1;

    while (n <= x->n && !has(text_of(s, x, n), text))
        n++;
    return n;
}

static struct str without_space(struct str text)
{
    while (text.len > 0 && thinking_is_space(text.ptr[0]))
        text = str_from(text, 1);
    return text;
}

/* What an answer begins with is said to be the opening: the others of its group begin otherwise, and have no span. */
static void a_span_that_the_model_opens_is_counted(void **state)
{
    struct setting *s = *state;
    struct sample_request q = request_of(s, COMMON, 8, 30), thinking = q;
    struct sample **free_run = run(s, s->e, NULL, &q, 1);
    size_t n_spans = 0, n_plain = 0, n_closed = 0;

    for (size_t k = 0; k < 8; k++) {
        const struct sample *f = &free_run[0][k];

        for (size_t len = 1; f->n >= 12 && len <= 9; len += 2) { /* also ends within a token */
            const struct str text = without_space(text_of(s, f, f->n)), open = {text.ptr, len};
            const struct str close = tokenizer_bytes(s->t, f->tokens[9]);

            if (text.len <= len || close.len == 0)
                continue;
            thinking.thinking = (struct thinking_options){.open = open, .close = close};
            struct sample **got = run(s, s->e, NULL, &thinking, 1);
            for (size_t i = 0; i < 8; i++) {
                const struct sample *x = &got[0][i], *g = &free_run[0][i];
                const bool spans = str_starts(without_space(text_of(s, g, g->n)), open);
                struct sample want = *g;

                if (spans) /* both texts are there, or it has no end */
                    want.n_thinking = size_min(
                        g->n, size_max(tokens_until(s, g, close), tokens_until(s, g, open)));
                assert_same_sample("a span of its own", x, &want);
                n_spans += spans;
                n_plain += !spans;
                n_closed += spans && want.n_thinking < g->n;
            }
        }
    }
    assert_true(n_spans > 10 && n_plain > 10 && n_closed > 5);
}

static void a_budget_ends_a_span_that_the_model_opened(void **state)
{
    struct setting *s = *state;
    struct sample_request q = request_of(s, COMMON, 8, 30), thinking = q;
    struct sample **free_run = run(s, s->e, NULL, &q, 1);
    size_t n_close, n_early = 0, n_on = 0;
    const token_id *close_ids = tokens_of(s, "</think>", &n_close);

    for (size_t k = 0; k < 8; k++) {
        const struct sample *f = &free_run[0][k];
        const struct str text = without_space(text_of(s, f, f->n));

        for (size_t budget = 1; f->n >= 12 && text.len > 5 && budget < 12; budget += 2) {
            const struct str open = {text.ptr, 5};
            const size_t opened = tokens_until(s, f, open), at = size_max(opened, budget);

            if (opened >= f->n || at >= f->n)
                continue;
            thinking.thinking = (struct thinking_options){.open = open,
                                                          .close = STR("</think>"),
                                                          .close_ids = close_ids,
                                                          .n_close_ids = n_close,
                                                          .budget = budget};
            const struct sample *x = &run(s, s->e, NULL, &thinking, 1)[0][k];
            const size_t close_end = size_min(at + n_close, 30);

            assert_memory_equal(x->tokens, f->tokens, at * sizeof(token_id));
            ASSERT_SAME("before the closing", at, x->logprobs, f->logprobs);
            assert_true(x->n >= close_end);
            for (size_t i = 0; i < x->n; i++) {
                const bool ours = i >= at && i < close_end;

                assert_int_equal(x->injected[i], ours);
                if (ours)
                    assert_int_equal(x->tokens[i], close_ids[i - at]);
            }
            assert_int_equal(x->n_thinking, close_end);
            assert_int_equal(x->n_drawn, x->n - (close_end - at));
            n_early += opened > budget;
            n_on += x->n > close_end;
        }
    }
    assert_true(n_early > 0 && n_on > 5);
}

/* What is written for the model closes the span and writes the opening once more. */
static void a_second_opening_opens_nothing(void **state)
{
    struct setting *s = *state;
    struct sample_request q = request_of(s, COMMON, 8, 30), thinking = q;
    struct sample **free_run = run(s, s->e, NULL, &q, 1);
    size_t n_close, n_on = 0;
    const token_id *close_ids = tokens_of(s, "</think>", &n_close);

    for (size_t k = 0; k < 8; k++) {
        const struct sample *f = &free_run[0][k];
        const struct str text = without_space(text_of(s, f, f->n));

        if (f->n < 12 || text.len < 4)
            continue;
        const struct str open = {text.ptr, 4};
        const size_t opened = tokens_until(s, f, open), n = n_close + opened;
        token_id *ids = ARENA_ARRAY(&s->rig.arena, token_id, n);

        memcpy(ids, close_ids, n_close * sizeof *ids);
        memcpy(ids + n_close, f->tokens, opened * sizeof *ids);
        thinking.thinking = (struct thinking_options){.open = open,
                                                      .close = STR("</think>"),
                                                      .close_ids = ids,
                                                      .n_close_ids = n,
                                                      .budget = opened};
        const struct sample *x = &run(s, s->e, NULL, &thinking, 1)[0][k];

        assert_int_equal(x->n_thinking, opened + n);
        for (size_t i = 0; i < x->n; i++)
            assert_int_equal(x->injected[i], i >= opened && i < opened + n);
        n_on += x->n > opened + n + 4;
    }
    assert_true(n_on > 2);
}

/* What ends an answer may complete its opening, and an end token is no part of it. */
static void an_opening_may_be_all_that_there_is(void **state)
{
    struct setting *s = *state;
    struct sample_request q = request_of(s, COMMON, 8, 3), thinking = q;
    struct sample **free_run = run(s, s->e, NULL, &q, 1);
    size_t n_whole = 0;

    for (size_t k = 0; k < 8; k++) {
        const struct sample *f = &free_run[0][k];
        const struct str text = without_space(text_of(s, f, f->n));

        if (text.len == 0)
            continue;
        thinking.thinking = (struct thinking_options){.open = text, .close = STR("</think>")};
        assert_int_equal(run(s, s->e, NULL, &thinking, 1)[0][k].n_thinking, f->n);
        thinking.thinking.open =
            str_of(arena_printf(&s->rig.arena, STR_FMT "<|im_end|>", STR_ARG(text)));
        assert_int_equal(run(s, s->e, NULL, &thinking, 1)[0][k].n_thinking, 0);
        n_whole++;
    }
    assert_true(n_whole > 4);
}

static void answers_that_are_equal_so_far_cost_one_row(void **state)
{
    struct setting *s = *state;
    struct sample_request q = request_of(s, COMMON, 64, 20);
    const struct engine_counts before = engine_counts(s->e);

    q.pick.temperature = 0;
    struct sample **got = run(s, s->e, NULL, &q, 1);
    const struct engine_counts after = engine_counts(s->e);
    for (size_t k = 1; k < 64; k++)
        assert_same_sample("greedy", &got[0][k], &got[0][0]);
    assert_int_equal(after.rows - before.rows, q.n_prompt + got[0][0].n - 1);
    assert_int_equal(after.sampled_tokens - before.sampled_tokens, 64 * got[0][0].n);
    assert_int_equal(after.prompt_tokens - before.prompt_tokens, q.n_prompt);
}

static void a_common_beginning_of_prompts_is_read_once(void **state)
{
    struct setting *s = *state;
    struct sample_request q[3] = {request_of(s, COMMON "one", 1, 1),
                                  request_of(s, COMMON "two", 1, 1),
                                  request_of(s, COMMON "three", 1, 1)};
    const struct engine_counts before = engine_counts(s->e);
    size_t common = 0, all = 0;

    run(s, s->e, NULL, q, 3);
    const struct engine_counts after = engine_counts(s->e);
    while (q[1].prompt[common] == q[0].prompt[common] && q[2].prompt[common] == q[0].prompt[common])
        common++;
    assert_true(common >= 16);
    for (size_t i = 0; i < 3; i++)
        all += q[i].n_prompt - common;
    assert_int_equal(after.rows - before.rows, common + all);
    assert_int_equal(after.prompt_tokens - before.prompt_tokens, common + all);
}

static void entropies_are_those_of_the_rows_that_were_drawn_from(void **state)
{
    struct setting *s = *state;
    struct sample_request q = request_of(s, COMMON, 3, 10);
    const size_t v = s->m->config.vocab;

    q.want_entropy = true;
    struct sample **got = run(s, s->e, NULL, &q, 1);
    for (size_t k = 0; k < 3; k++) {
        const struct sample *x = &got[0][k];
        const size_t n = q.n_prompt + x->n;
        token_id *text = ARENA_ARRAY(&s->rig.arena, token_id, n);
        float *logits = ARENA_ARRAY(&s->rig.arena, float, n *v);
        double sum = 0;

        memcpy(text, q.prompt, q.n_prompt * sizeof *text);
        memcpy(text + q.n_prompt, x->tokens, x->n * sizeof *text);
        logits_of(s->m, n, rig_read(&s->rig, NULL, text, n), logits, v);
        for (size_t t = q.n_prompt - 1; t + 1 < n; t++) {
            double total = 0, mean = 0, most = -(double)INFINITY;

            for (size_t i = 0; i < v; i++)
                most = fmax(most, (double)logits[t * v + i]);
            for (size_t i = 0; i < v; i++) {
                const double z = (double)logits[t * v + i] - most;

                total += exp(z);
                mean += exp(z) * z;
            }
            sum += log(total) - mean / total;
        }
        ASSERT_NEAR(x->entropy_sum, sum, 1e-4);
    }
}

/* The whole chain: prompt, forward, counted random numbers, inversion. */
static void first_tokens_come_as_often_as_the_model_finds_them_likely(void **state)
{
    struct setting *s = *state;
    struct sample_request q = request_of(s, "A gene", 20000, 1);
    const size_t v = s->m->config.vocab;
    float *logits = ARENA_ARRAY(&s->rig.arena, float, q.n_prompt *v);
    size_t *hits = ARENA_ARRAY(&s->rig.arena, size_t, v);
    struct sample **got = run(s, s->e, NULL, &q, 1);
    double total = 0, chi = 0, rest = 0, rest_hits = 0;
    size_t cells = 1;

    for (size_t k = 0; k < q.n_samples; k++)
        hits[got[0][k].tokens[0]]++;
    logits_of(s->m, q.n_prompt, rig_read(&s->rig, NULL, q.prompt, q.n_prompt), logits, v);
    const float *row = logits + (q.n_prompt - 1) * v;
    for (size_t i = 0; i < v; i++)
        total += exp((double)row[i]);
    for (size_t i = 0; i < v; i++) {
        const double expected = exp((double)row[i]) / total * (double)q.n_samples,
                     off = (double)hits[i] - expected;

        if (expected >= 5) {
            chi += off * off / expected;
            cells++;
        } else {
            rest += expected;
            rest_hits += (double)hits[i];
        }
    }
    chi += rest > 0 ? (rest_hits - rest) * (rest_hits - rest) / rest : 0;
    assert_true(cells > 20);
    assert_true(chi < (double)cells + 5 * sqrt(2 * (double)cells));
}

struct told { /* by the hooks */
    size_t n_done, n_tokens, n_ticks, last_done, last_total;
    token_id tokens[4][16][64];
    size_t n[4][16];
    bool done[4][16];
    atomic_bool stop;
    size_t stop_after; /* tokens */
};

static void on_done(void *ctx, size_t request, size_t sample, const struct sample *x)
{
    struct told *t = ctx;

    assert_false(t->done[request][sample]);
    t->done[request][sample] = true;
    assert_int_equal(x->n, t->n[request][sample]); /* every token was told before */
    t->n_done++;
}

static void on_token(void *ctx, size_t request, size_t sample, token_id id, float logp)
{
    struct told *t = ctx;

    assert_true(logp <= 0);
    assert_false(t->done[request][sample]);
    t->tokens[request][sample][t->n[request][sample]++] = id;
    if (++t->n_tokens == t->stop_after)
        atomic_store(&t->stop, true);
}

static void on_tick(void *ctx, size_t n_done, size_t n_total)
{
    struct told *t = ctx;

    assert_true(n_done >= t->last_done && n_done == t->n_done);
    t->last_done = n_done;
    t->last_total = n_total;
    t->n_ticks++;
}

static void hooks_hear_of_every_token_and_of_every_end_once(void **state)
{
    struct setting *s = *state;
    static struct told t;
    const struct engine_hooks hooks = {
        .ctx = &t, .done = on_done, .token = on_token, .tick = on_tick, .stop = &t.stop};
    struct sample_request q[] = {request_of(s, COMMON, 5, 30), request_of(s, "x", 3, 10),
                                 request_of(s, COMMON, 7, 20)};
    struct sample **got;
    struct error err = {0};

    t = (struct told){0};
    ASSERT_OK(engine_run(s->e, NULL, q, 3, &hooks, &got, &err));
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < q[i].n_samples; k++) {
            assert_true(t.done[i][k]);
            assert_int_equal(t.n[i][k], got[i][k].n);
            assert_memory_equal(t.tokens[i][k], got[i][k].tokens, got[i][k].n * sizeof(token_id));
        }
    }
    assert_int_equal(t.n_done, 15);
    assert_int_equal(t.last_done, 15);
    assert_int_equal(t.last_total, 15);
    assert_true(t.n_ticks >= 30);
}

static void a_run_can_be_stopped_at_any_token_and_leaves_nothing_behind(void **state)
{
    struct setting *s = *state;
    static struct told t;
    const struct engine_hooks hooks = {
        .ctx = &t, .done = on_done, .token = on_token, .tick = on_tick, .stop = &t.stop};
    struct sample_request q[] = {request_of(s, COMMON "a", 5, 30),
                                 request_of(s, COMMON "b", 3, 10)};
    struct sample **got;
    struct error err = {0};
    struct sample **want = run(s, s->e, NULL, q, 2);

    for (size_t after = 1; after < 60; after += 6) {
        t = (struct told){.stop_after = after};
        ASSERT_FAILS(engine_run(s->e, NULL, q, 2, &hooks, &got, &err), ERR_CANCELLED, "stopped");
        assert_int_equal(kv_pool_pages_in_use(engine_pool(s->e)), 0);
        assert_true(t.n_tokens >= after && t.n_tokens < after + 8); /* at the next token of all */
    }
    t = (struct told){0};
    atomic_store(&t.stop, true);
    ASSERT_FAILS(engine_run(s->e, NULL, q, 2, &hooks, &got, &err), ERR_CANCELLED, "stopped");
    assert_int_equal(t.n_tokens, 0);
    got = run(s, s->e, NULL, q, 2); /* and the engine goes on as if nothing had been */
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < q[i].n_samples; k++)
            assert_same_sample("after a stop", &got[i][k], &want[i][k]);
}

static void what_does_not_fit_the_model_s_positions_is_refused(void **state)
{
    struct setting *s = *state;
    struct sample_request q[2] = {request_of(s, COMMON, 2, 10), request_of(s, COMMON, 1, 10)};
    struct sample **got;
    struct error err = {0};
    const struct engine_counts before = engine_counts(s->e);

    q[1].max_tokens = s->m->max_positions - q[1].n_prompt + 1;
    ASSERT_FAILS(engine_run(s->e, NULL, q, 2, NULL, &got, &err), ERR_LIMIT, "do not fit");
    assert_int_equal(engine_counts(s->e).rows, before.rows); /* nothing was begun */
    q[1].max_tokens--;
    run(s, s->e, NULL, q, 2);
    token_id *text = ARENA_ARRAY(&s->rig.arena, token_id, s->m->max_positions + 2);
    float *logprobs = ARENA_ARRAY(&s->rig.arena, float, s->m->max_positions + 2);
    ASSERT_FAILS(engine_score(s->e, NULL, text, s->m->max_positions + 2, 1, logprobs, &err),
                 ERR_LIMIT, "positions");
    assert_int_equal(kv_pool_pages_in_use(engine_pool(s->e)), 0);
    ASSERT_OK(engine_score(s->e, NULL, text, s->m->max_positions + 1, 1, logprobs, &err));
}

static void no_requests_are_done_at_once(void **state)
{
    struct setting *s = *state;
    struct sample **got;
    struct error err = {0};

    ASSERT_OK(engine_run(s->e, NULL, NULL, 0, NULL, &got, &err));
    engine_close(NULL);
}

static void shared_logits_have_room_for_a_vocabulary_in_each_row(void **state)
{
    struct setting *s = *state;
    size_t rows = 0, ld = 0;
    float *logits = engine_logits(s->e, &rows, &ld);

    assert_non_null(logits);
    assert_true(rows >= 1 && ld >= s->m->config.vocab);
    assert_non_null(engine_workspace(s->e));
    memset(logits, 0, rows * ld * sizeof *logits);
    assert_true(engine_bytes(s->e) >= rows * ld * sizeof *logits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_does_not_depend_on_what_is_sampled_beside_it),
        cmocka_unit_test(the_first_answers_are_the_same_however_many_are_wanted),
        cmocka_unit_test(other_counters_give_other_answers),
        cmocka_unit_test(each_token_is_drawn_with_the_number_of_its_own_place),
        cmocka_unit_test(a_token_s_log_probability_is_what_scoring_finds_to_the_bit),
        cmocka_unit_test(a_score_is_the_softmax_of_the_logits),
        cmocka_unit_test(an_answer_ends_with_an_end_token_or_at_its_length),
        cmocka_unit_test(a_stop_text_ends_an_answer_where_its_last_byte_appears),
        cmocka_unit_test(of_stop_texts_that_appear_together_the_one_that_begins_first_counts),
        cmocka_unit_test(a_budget_of_thinking_ends_with_the_closing_written_for_the_model),
        cmocka_unit_test(a_span_that_the_model_closes_itself_is_left_as_it_is),
        cmocka_unit_test(a_span_that_the_model_opens_is_counted),
        cmocka_unit_test(a_budget_ends_a_span_that_the_model_opened),
        cmocka_unit_test(a_second_opening_opens_nothing),
        cmocka_unit_test(an_opening_may_be_all_that_there_is),
        cmocka_unit_test(answers_that_are_equal_so_far_cost_one_row),
        cmocka_unit_test(a_common_beginning_of_prompts_is_read_once),
        cmocka_unit_test(entropies_are_those_of_the_rows_that_were_drawn_from),
        cmocka_unit_test(first_tokens_come_as_often_as_the_model_finds_them_likely),
        cmocka_unit_test(hooks_hear_of_every_token_and_of_every_end_once),
        cmocka_unit_test(a_run_can_be_stopped_at_any_token_and_leaves_nothing_behind),
        cmocka_unit_test(what_does_not_fit_the_model_s_positions_is_refused),
        cmocka_unit_test(no_requests_are_done_at_once),
        cmocka_unit_test(shared_logits_have_room_for_a_vocabulary_in_each_row),
    };
    int failed = cmocka_run_group_tests_name("F32", tests, set_up, tear_down);

#ifdef HONE_SANITIZED /* all that is rounded at once: it takes ten times as long here */
    rig_cache_tiny(KV_CACHE_Q8_0);
#else
    rig_cache_tiny(KV_CACHE_F16);
    failed += cmocka_run_group_tests_name("F16 keys and values", tests, set_up, tear_down);
    rig_cache_tiny(KV_CACHE_Q8_0);
    failed += cmocka_run_group_tests_name("Q8_0 keys and values", tests, set_up, tear_down);
    rig_cache_tiny(KV_CACHE_F32);
#endif
    rig_round_tiny();
    return failed + cmocka_run_group_tests_name("rounded rows", tests, set_up, tear_down);
}
