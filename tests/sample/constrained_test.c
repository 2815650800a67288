/*
 * constrained_test.c - constrained answers of the engine: valid, the same in any company, with log-probabilities that a
 * second look finds again.
 */
#include "base/parallel.h"
#include "base/size.h"
#include "sample/engine.h"
#include "support/numbers.h"
#include "support/rig.h"
#include "text/json_schema.h"

#include <stdio.h>

#define MAX_TOKENS 120

struct setting {
    struct rig rig;
    const struct model *m;
    const struct tokenizer *t;
    struct engine *e;
    struct vocabulary *v;
    struct constraint *verdict, *object, *any;
};

static struct constraint *open_constraint(const struct vocabulary *v, const char *text)
{
    struct constraint *c = NULL;
    struct grammar *g = NULL;
    struct error err = {0};
    json_t *schema = NULL;

    ASSERT_OK(json_parse(str_of(text), "a test's schema", &schema, &err));
    ASSERT_OK(json_schema_grammar(schema, "schema", &g, &err));
    json_decref(schema);
    ASSERT_OK(constraint_open(g, v, &c, &err));
    return c;
}

static struct engine *open_engine(const struct setting *s, size_t max_live, size_t prefill_rows)
{
    struct engine_options opt = engine_defaults(s->m);
    struct engine *e = NULL;
    struct error err = {0};

    opt.max_live = max_live > 0 ? max_live : opt.max_live;
    opt.prefill_rows = prefill_rows > 0 ? prefill_rows : opt.prefill_rows;
    opt.draft = 0;
    ASSERT_OK(engine_open(s->m, s->t, &opt, &e, &err));
    return e;
}

static int set_up(void **state)
{
    static struct setting s;
    struct error err = {0};

    rig_open_tiny(&s.rig);
    s.m = s.rig.model;
    s.t = model_files_tokenizer(s.m->files);
    parallel_set_threads(3);
    s.e = open_engine(&s, 0, 0);
    ASSERT_OK(
        vocabulary_open(s.t, s.m->config.vocab, s.m->config.eos, s.m->config.n_eos, &s.v, &err));
    s.verdict = open_constraint(
        s.v,
        "{\"type\":\"object\",\"properties\":{\"why\":{\"type\":\"string\",\"maxLength\":15},"
        "\"score\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1},\"label\":{\"enum\":[\"good\",\"bad\",null]}},"
        "\"required\":[\"why\",\"score\",\"label\"],\"additionalProperties\":false}");
    s.object = open_constraint(s.v, "{\"type\":\"object\"}");
    s.any = open_constraint(
        s.v, "{\"type\":\"array\",\"items\":{\"type\":[\"integer\",\"boolean\"]},\"maxItems\":3}");
    *state = &s;
    return 0;
}

static int tear_down(void **state)
{
    struct setting *s = *state;

    assert_int_equal(kv_pool_pages_in_use(engine_pool(s->e)), 0);
    constraint_close(s->verdict);
    constraint_close(s->object);
    constraint_close(s->any);
    vocabulary_close(s->v);
    engine_close(s->e);
    rig_close(&s->rig);
    parallel_set_threads(0);
    return 0;
}

static token_id *tokens_of(struct setting *s, const char *text, size_t *n)
{
    struct token_list list = {0};
    struct error err = {0};

    ASSERT_OK(tokenizer_encode(s->t, str_of(text), true, &list, &err));
    token_id *ids = ARENA_ARRAY(&s->rig.arena, token_id, list.n + 1);
    memcpy(ids, list.ids, list.n * sizeof *ids);
    *n = list.n;
    token_list_release(&list);
    return ids;
}

static struct sample_request request(struct setting *s, const struct constraint *c,
                                     size_t n_samples, uint64_t seed)
{
    struct sample_request q = {.n_samples = n_samples,
                               .max_tokens = MAX_TOKENS,
                               .pick = pick_defaults(),
                               .constraint = c,
                               .seed = seed,
                               .purpose = PHILOX_TEST};

    q.prompt = tokens_of(s, "<|im_start|>user\nName one gene.<|im_end|>\n", &q.n_prompt);
    return q;
}

static struct sample **run(struct engine *e, const struct sample_request *q, size_t n)
{
    struct sample **samples;
    struct error err = {0};

    ASSERT_OK(engine_run(e, NULL, q, n, NULL, &samples, &err));
    return samples;
}

static struct str text_of(struct setting *s, const struct sample *x)
{
    struct buf b;

    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < x->n; i++)
        if (!config_is_end(&s->m->config, x->tokens[i]))
            buf_str(&b, tokenizer_bytes(s->t, x->tokens[i]));
    const struct str text = arena_str(&s->rig.arena, buf_view(&b));
    buf_release(&b);
    return text;
}

/* A whole verdict where the answer ended by itself. */
static void assert_verdict(struct str text)
{
    json_error_t e;
    json_t *v = json_loadb(text.ptr, text.len, 0, &e);
    const json_t *label = json_object_get(v, "label");
    size_t at = 0, n = 0;

    if (v == NULL)
        fail_msg("%s: " STR_FMT, e.text, STR_ARG(text));
    assert_int_equal(json_object_size(v), 3);
    assert_true(json_is_number(json_object_get(v, "score")));
    const double score = json_number_value(json_object_get(v, "score"));
    assert_true(score >= 0 && score <= 1);
    assert_true(json_is_null(label) || str_is(json_str(label), "good") ||
                str_is(json_str(label), "bad"));
    assert_true(json_is_string(json_object_get(v, "why")));
    for (const struct str why = json_str(json_object_get(v, "why")); at < why.len; n++)
        utf8_next(why, &at);
    assert_true(n <= 15);
    json_decref(v);
}

static void answers_are_values(void **state)
{
    struct setting *s = *state;
    size_t n_whole = 0, n_cut = 0;

    for (uint64_t seed = 0; seed < 50; seed++) {
        struct sample_request q = request(s, s->verdict, 8, seed);

        q.pick.temperature = seed % 3 == 0 ? 1.0f : seed % 3 == 1 ? 0.7f : 1.5f;
        if (seed % 4 == 1) {
            q.pick.top_p = 0.9f;
            q.pick.frequency_penalty = 0.5f;
            q.pick.repetition_penalty = 1.2f;
        }
        if (seed % 8 == 7)
            q.pick.temperature = 0;
        q.want_entropy = seed % 2 == 0;
        struct sample **got = run(s->e, &q, 1);
        for (size_t k = 0; k < q.n_samples; k++) {
            const struct sample *x = &got[0][k];

            for (size_t i = 0; i < x->n; i++)
                assert_true(x->logprobs[i] > -1000 && x->logprobs[i] <= 0);
            assert_true(x->entropy_sum >= -1e-3f && x->entropy_sum < 1000);
            if (x->end == SAMPLE_STOP)
                assert_verdict(text_of(s, x));
            n_whole += x->end == SAMPLE_STOP;
            n_cut += x->end != SAMPLE_STOP;
        }
    }
    print_message("             %zu whole, %zu cut\n", n_whole, n_cut);
    assert_true(n_whole > 350);
}

/* What engine.h says of log-probabilities: the answer's tokens through the constraint, each row masked before its token. */
static void log_probabilities_are_those_of_the_masked_rows(void **state)
{
    struct setting *s = *state;
    struct sample_request q = request(s, s->verdict, 6, 5);
    const size_t v = s->m->config.vocab;
    struct constraint_scratch scratch;
    struct picker picker = {0};
    struct error err = {0};
    size_t n_compared = 0;

    q.pick.temperature = 0.8f;
    ASSERT_OK(constraint_scratch_open(&scratch, s->verdict, &err));
    struct sample **got = run(s->e, &q, 1);
    for (uint32_t k = 0; k < q.n_samples; k++) {
        const struct sample *x = &got[0][k];
        const size_t n = q.n_prompt + x->n;
        token_id *text = ARENA_ARRAY(&s->rig.arena, token_id, n);
        float *logits = ARENA_ARRAY(&s->rig.arena, float, n *v);
        struct grammar_state at;

        memcpy(text, q.prompt, q.n_prompt * sizeof *text);
        memcpy(text + q.n_prompt, x->tokens, x->n * sizeof *text);
        logits_of(s->m, n, rig_read(&s->rig, NULL, text, n), logits, v);
        grammar_begin(&at);
        for (uint32_t t = 0; t < x->n; t++) {
            float *row = logits + (q.n_prompt - 1 + t) * v;

            constraint_mask(s->verdict, &scratch, &at, row);
            const struct picked_row picked = pick_row(&picker, row, v, pick_inv_t(&q.pick), false);
            assert_true(float_same(pick_logp(&picked, x->tokens[t]), x->logprobs[t]));
            assert_int_equal(pick_plain(&picked, philox_uniform(5, PHILOX_TEST, 0, 0, k, t)),
                             x->tokens[t]);
            assert_true(constraint_accepts(s->verdict, &scratch, &at, x->tokens[t]));
            n_compared++;
        }
    }
    assert_true(n_compared > 60);
    picker_release(&picker);
    constraint_scratch_close(&scratch);
}

static void assert_same(const struct sample *a, const struct sample *b)
{
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->tokens, b->tokens, a->n * sizeof *a->tokens);
    ASSERT_SAME("log-probabilities", a->n, a->logprobs, b->logprobs);
    assert_memory_equal(a->injected, b->injected, a->n);
    assert_int_equal(a->end, b->end);
    assert_int_equal(a->n_thinking, b->n_thinking);
}

/* Requests with and without constraints side by side. */
static void an_answer_does_not_depend_on_its_company(void **state)
{
    static const struct {
        size_t max_live, prefill_rows;
        int threads;
        size_t draft;
    } ways[] = {{0, 0, 1, 0},   {1, 0, 2, 1},          {7, 5, 3, 8},
                {40, 17, 3, 3}, {0, 0, 2, DRAFT_AUTO}, {3, 0, 2, 32}};
    enum { N = 6 };
    struct setting *s = *state;
    struct sample_request q[N];
    struct sample *alone[N];
    size_t n_close;
    const token_id *close_ids = tokens_of(s, "</t", &n_close);

    q[0] = request(s, s->verdict, 9, 1);
    q[1] = request(s, NULL, 9, 1);
    q[2] = request(s, s->object, 5, 2);
    q[2].max_tokens = 40;
    q[3] = request(s, s->any, 20, 3);
    q[3].pick.temperature = 0.3f;
    q[4] = request(s, s->verdict, 4, 4);
    q[4].thinking = (struct thinking_options){.on = true,
                                              .close = STR("</t"),
                                              .close_ids = close_ids,
                                              .n_close_ids = n_close,
                                              .budget = 6};
    q[5] = request(s, s->any, 1, 5);
    q[5].pick.temperature = 0;
    for (size_t i = 0; i < N; i++) {
        struct sample **got = run(s->e, &q[i], 1);

        alone[i] = ARENA_ARRAY(&s->rig.arena, struct sample, q[i].n_samples);
        for (size_t k = 0; k < q[i].n_samples; k++) {
            struct sample *x = &alone[i][k];

            *x = got[0][k];
            x->tokens = ARENA_ARRAY(&s->rig.arena, token_id, x->n);
            x->logprobs = ARENA_ARRAY(&s->rig.arena, float, x->n);
            x->injected = ARENA_ARRAY(&s->rig.arena, bool, x->n);
            memcpy(x->tokens, got[0][k].tokens, x->n * sizeof *x->tokens);
            memcpy(x->logprobs, got[0][k].logprobs, x->n * sizeof *x->logprobs);
            memcpy(x->injected, got[0][k].injected, x->n * sizeof *x->injected);
        }
    }
    for (size_t w = 0; w < COUNT_OF(ways); w++) {
        struct engine *e = open_engine(s, ways[w].max_live, ways[w].prefill_rows);
        struct sample_request turned[N];

        for (size_t i = 0; i < N; i++)
            turned[i] = q[(i + w) % N];
        parallel_set_threads(ways[w].threads);
        engine_set_draft(e, ways[w].draft);
        struct sample **got = run(e, turned, N);
        for (size_t i = 0; i < N; i++)
            for (size_t k = 0; k < turned[i].n_samples; k++)
                assert_same(&got[i][k], &alone[(i + w) % N][k]);
        engine_close(e);
        parallel_set_threads(3);
    }
}

/* The span is as free as without a constraint, but for its end; behind its closing stands a value. */
static void a_span_of_thinking_is_free(void **state)
{
    struct setting *s = *state;
    size_t n_close, n_values = 0, n_same = 0;
    const token_id *close_ids = tokens_of(s, "</think>", &n_close);

    for (uint64_t seed = 0; seed < 40; seed++) {
        struct sample_request q = request(s, s->verdict, 5, seed), bare = q;
        const size_t budget = 1 + seed % 9;

        q.thinking = (struct thinking_options){.on = true,
                                               .close = STR("</think>"),
                                               .close_ids = close_ids,
                                               .n_close_ids = n_close,
                                               .budget = budget};
        bare.constraint = NULL;
        bare.max_tokens = budget;
        struct str thoughts[5];
        struct sample **got = run(s->e, &bare, 1);
        for (size_t k = 0; k < 5; k++)
            thoughts[k] =
                got[0][k].end == SAMPLE_LENGTH ? text_of(s, &got[0][k]) : (struct str){NULL, 0};
        got = run(s->e, &q, 1);
        for (size_t k = 0; k < 5; k++) {
            const struct sample *x = &got[0][k];
            const struct str text = text_of(s, x);
            const size_t at = str_find(text, STR("</think>"), 0);

            for (size_t i = 0; i < budget; i++)
                assert_false(config_is_end(&s->m->config, x->tokens[i]));
            assert_int_equal(x->n_thinking, budget + n_close);
            assert_true(at < text.len);
            n_same += thoughts[k].ptr != NULL && str_eq((struct str){text.ptr, at}, thoughts[k]);
            if (x->end == SAMPLE_STOP)
                assert_verdict(str_from(text, at + 8));
            n_values += x->end == SAMPLE_STOP;
        }
    }
    print_message("             %zu thoughts as without the constraint\n", n_same);
    assert_true(n_values > 150 && n_same > 150); /* an end that may not come moves some draws */
}

/* Whatever the closing is, and wherever in a token it ends: what comes behind it is a value. */
static void what_closes_a_span_may_be_any_text(void **state)
{
    struct setting *s = *state;
    static const char *const closings[] = {"e", " t", "th", "an", "\n", "t"};
    size_t n_values = 0;

    for (size_t c = 0; c < COUNT_OF(closings); c++) {
        for (uint64_t seed = 0; seed < 12; seed++) {
            struct sample_request q = request(s, s->verdict, 5, seed);

            q.thinking = (struct thinking_options){.on = true, .close = str_of(closings[c])};
            struct sample **got = run(s->e, &q, 1);
            for (size_t k = 0; k < 5; k++) {
                const struct sample *x = &got[0][k];
                const struct str text = text_of(s, x);
                const size_t at = str_find(text, str_of(closings[c]), 0);

                if (x->end != SAMPLE_STOP)
                    continue;
                assert_true(x->n_thinking > 0 && x->n_thinking < x->n);
                assert_verdict(thinking_trim_begin(str_from(text, at + strlen(closings[c]))));
                n_values++;
            }
        }
    }
    print_message("             %zu values\n", n_values);
    assert_true(n_values > 100);
}

/* An answer may open a span itself, with its first text, or be the value. */
static void a_span_may_be_opened_by_the_answer(void **state)
{
    struct setting *s = *state;
    size_t n_close, n_spans = 0, n_plain = 0;
    const token_id *close_ids = tokens_of(s, "</t>", &n_close);
    static const char *const openings[] = {"<t>", "{think}", "{\"think", "t"};

    for (size_t o = 0; o < COUNT_OF(openings); o++) {
        for (uint64_t seed = 0; seed < 12; seed++) {
            struct sample_request q = request(s, s->verdict, 8, seed);

            q.pick.temperature = 2;
            q.thinking = (struct thinking_options){.open = str_of(openings[o]),
                                                   .close = STR("</t>"),
                                                   .close_ids = close_ids,
                                                   .n_close_ids = n_close,
                                                   .budget = 9};
            struct sample **got = run(s->e, &q, 1);
            for (size_t k = 0; k < 8; k++) {
                const struct sample *x = &got[0][k];
                const struct str text = text_of(s, x), trimmed = thinking_trim_begin(text);
                const bool span = str_starts(trimmed, str_of(openings[o]));

                assert_int_equal(x->n_thinking > 0, span);
                n_spans += span;
                n_plain += !span;
                if (x->end == SAMPLE_STOP)
                    assert_verdict(span ? str_from(text, str_find(text, STR("</t>"), 0) + 4)
                                        : text);
            }
        }
    }
    print_message("             %zu spans, %zu without\n", n_spans, n_plain);
    assert_true(n_spans > 20 && n_plain > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_values),
        cmocka_unit_test(log_probabilities_are_those_of_the_masked_rows),
        cmocka_unit_test(an_answer_does_not_depend_on_its_company),
        cmocka_unit_test(a_span_of_thinking_is_free),
        cmocka_unit_test(what_closes_a_span_may_be_any_text),
        cmocka_unit_test(a_span_may_be_opened_by_the_answer),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
