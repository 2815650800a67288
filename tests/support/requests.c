/*
 * requests.c - a tiny model's requests, and comparing what they got.
 */
#include "support/requests.h"
#include "support/numbers.h"

#include <stdio.h>

struct engine *open_engine(const struct setting *s, size_t max_live, size_t kv_bytes,
                           size_t prefill_rows)
{
    struct engine_options opt = engine_defaults(s->m);
    struct engine *e = NULL;
    struct error err = {0};

    opt.max_live = max_live > 0 ? max_live : opt.max_live;
    opt.kv_bytes = kv_bytes > 0 ? kv_bytes : opt.kv_bytes;
    opt.prefill_rows = prefill_rows > 0 ? prefill_rows : opt.prefill_rows;
    opt.draft = 0; /* a token a turn */
    ASSERT_OK(engine_open(s->m, s->t, &opt, &e, &err));
    return e;
}

token_id *tokens_of(struct setting *s, const char *text, size_t *n)
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

struct sample_request request_of(struct setting *s, const char *prompt, size_t n_samples,
                                 size_t max_tokens)
{
    struct sample_request q = {.n_samples = n_samples,
                               .max_tokens = max_tokens,
                               .pick = pick_defaults(),
                               .seed = 1,
                               .purpose = PHILOX_TEST};

    q.prompt = tokens_of(s, prompt, &q.n_prompt);
    return q;
}

/* A copy of a run's answers that outlives the next run. */
struct sample **keep_samples(struct setting *s, struct sample **samples,
                             const struct sample_request *q, size_t n)
{
    struct arena *a = &s->rig.arena;
    struct sample **kept = ARENA_ARRAY(a, struct sample *, n);

    for (size_t i = 0; i < n; i++) {
        kept[i] = ARENA_ARRAY(a, struct sample, q[i].n_samples);
        for (size_t k = 0; k < q[i].n_samples; k++) {
            struct sample *c = &kept[i][k];

            *c = samples[i][k];
            c->tokens = ARENA_ARRAY(a, token_id, c->n);
            c->logprobs = ARENA_ARRAY(a, float, c->n);
            c->injected = ARENA_ARRAY(a, bool, c->n);
            memcpy(c->tokens, samples[i][k].tokens, c->n * sizeof *c->tokens);
            memcpy(c->logprobs, samples[i][k].logprobs, c->n * sizeof *c->logprobs);
            memcpy(c->injected, samples[i][k].injected, c->n * sizeof *c->injected);
        }
    }
    return kept;
}

void assert_same_sample(const char *what, const struct sample *got, const struct sample *want)
{
    char text[160];

    snprintf(text, sizeof text, "%s: log-probabilities", what);
    if (got->n != want->n)
        fail_msg("%s: %zu tokens, expected %zu", what, got->n, want->n);
    for (size_t i = 0; i < want->n; i++)
        if (got->tokens[i] != want->tokens[i])
            fail_msg("%s: token %zu is %d, expected %d", what, i, got->tokens[i], want->tokens[i]);
    ASSERT_SAME(text, want->n, got->logprobs, want->logprobs);
    assert_memory_equal(got->injected, want->injected, want->n);
    assert_int_equal(got->end, want->end);
    assert_int_equal(got->n_thinking, want->n_thinking);
    assert_int_equal(got->n_drawn, want->n_drawn);
    assert_true(float_same(got->entropy_sum, want->entropy_sum));
    assert_true(got->stop_bytes == want->stop_bytes);
}

void mixed_requests(struct setting *s, struct sample_request q[N_MIXED])
{
    static struct str stop[] = {{"e", 1}, {" t", 2}};
    static token_id close_ids[3];
    size_t n;

    memcpy(close_ids, tokens_of(s, "</t", &n), 3 * sizeof *close_ids);
    q[0] = request_of(s, COMMON "A", 6, 40);
    q[1] = request_of(s, COMMON "A fever.", 3, 30);
    q[1].pick.temperature = 0.6f;
    q[1].want_entropy = true;
    q[2] = request_of(s, COMMON "A", 4, 25);
    q[2].pick.temperature = 0;
    q[3] = request_of(s, COMMON "Long fingers", 5, 35);
    q[3].pick = (struct pick_options){.temperature = 1.3f,
                                      .top_p = 0.9f,
                                      .top_k = 50,
                                      .min_p = 0.01f,
                                      .frequency_penalty = 0.5f,
                                      .presence_penalty = 0.2f,
                                      .repetition_penalty = 1.1f};
    q[4] = request_of(s, COMMON "one", 1, 20);
    q[5] = request_of(s, COMMON "think", 4, 30);
    q[5].thinking = (struct thinking_options){
        .on = true, .close = STR("</t"), .close_ids = close_ids, .n_close_ids = n, .budget = 7};
    q[6] = request_of(s, COMMON "stop", 8, 60);
    q[6].stop = stop;
    q[6].n_stop = 2;
    q[7] = request_of(s, COMMON "eight", 12, 1);
    q[8] = request_of(s, COMMON COMMON COMMON COMMON COMMON "a longer prompt", 3, 20);
    q[9] = request_of(s, COMMON, 40,
                      30); /* what the others begin with; and answers that stay together for long */
    q[9].pick.temperature = 0.15f;
    q[10] = request_of(s, COMMON "A", 12, 25);
    q[10].pick.temperature = 0.3f;
    q[11] = q[9];
    q[11].n_samples = 4;
    for (uint32_t i = 0; i < N_MIXED; i++)
        q[i].item = i;
}
