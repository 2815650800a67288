/*
 * golden_test.c - logits, log-probabilities, greedy continuations and gradients are those of transformers: on a tiny model
 * in every file format, and on the demo model.
 */
#include "base/file.h"
#include "base/size.h"
#include "sample/engine.h"
#include "support/graded.h"
#include "support/numbers.h"
#include "tensor/cpu/kernels.h"
#include "text/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* tests/golden/tiny/README.md and smollm2/README.md say how exact the reference is, and what a test should allow. */
#define TINY_LOGIT 1e-4
#define TINY_LOGPROB 5e-5
#define DEMO_LOGIT 1e-3
#define DEMO_LOGPROB 1e-3
#define DEMO_GRADIENT 1e-3
#define ROUNDED_KL 1e-3
#define F16_CACHE_KL 2e-6
#define Q8_CACHE_KL 1e-3

/* Under a sanitizer the demo model is ten times slower: every fifth text then, and a quarter of its continuation. */
#ifdef HONE_SANITIZED
#define TEXT_STEP 5
#define CONTINUATION 16
#else
#define TEXT_STEP 1
#define CONTINUATION 64
#endif
#define N_TEXTS 20

static float *logits_of_tokens(struct rig *r, const token_id *ids, size_t n)
{
    const size_t v = r->model->config.vocab;
    float *logits = ARENA_ARRAY(&r->arena, float, n *v);

    logits_of(r->model, n, rig_read(r, NULL, ids, n), logits, v);
    return logits;
}

/* ln p of ids[t] given those before, for t in 1..n-1. */
static float logprob_at(struct rig *r, const float *logits, const token_id *ids, size_t t)
{
    const size_t v = r->model->config.vocab;
    const float *row = logits + (t - 1) * v;
    float *sums = ARENA_ARRAY(&r->arena, float, softmax_blocks(v));
    const struct softmax_row s = softmax_row_of(v, row, 1, sums);

    return softmax_logp(&s, row[ids[t]], 1);
}

/* The reference's log-probabilities; the first is null. */
static double compare_logprobs(struct rig *r, const json_t *want, const float *logits,
                               const token_id *ids, size_t n)
{
    size_t n_want;
    const float *w = json_floats(want, &r->arena, &n_want);
    double worst = 0;

    assert_int_equal(n_want, n);
    assert_true(isnan(w[0]));
    for (size_t t = 1; t < n; t++)
        worst = fmax(worst, fabs((double)logprob_at(r, logits, ids, t) - (double)w[t]));
    return worst;
}

/* The cases of a folder of goldens under a model whose logits have the name kind; n_kept of the cases have all of theirs there. */
static void compare_with_reference(const char *folder, const char *path, const char *kind,
                                   size_t n_kept)
{
    struct rig r = {0};
    struct golden g;
    char name[80];
    double worst = 0, worst_logprob = 0;
    size_t n_compared = 0;

    snprintf(name, sizeof name, "%s/logits.json", folder);
    json_t *json = golden_json(name);
    const json_t *cases = json_object_get(json, "cases");
    assert_int_equal(json_array_size(cases), 6);
    snprintf(name, sizeof name, "%s/logits.safetensors", folder);
    golden_open(&g, name);
    rig_open(&r, golden_path(&r.arena, path));
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        size_t n, n_want;
        const token_id *ids = json_ids(json_object_get(c, "ids"), &r.arena, &n);
        const float *logits = logits_of_tokens(&r, ids, n);
        const json_t *logprobs = json_object_get(json_object_get(c, "logprobs"), kind);

        worst_logprob = fmax(worst_logprob, compare_logprobs(&r, logprobs, logits, ids, n));
        snprintf(name, sizeof name, "%zu.%s", i, kind);
        if (json_object_get(g.header, name) == NULL)
            continue; /* not all are kept */
        const float *want = golden_floats(&g, name, &n_want);
        assert_int_equal(n_want, n * r.model->config.vocab);
        worst = fmax(worst, largest_difference(n_want, logits, want));
        n_compared++;
    }
    print_message("             %-30s largest difference: logits %.2g, log-probabilities %.2g\n",
                  path, worst, worst_logprob);
    assert_int_equal(n_compared, n_kept);
    assert_true(worst <= TINY_LOGIT);
    assert_true(worst_logprob <= TINY_LOGPROB);
    rig_close(&r);
    golden_close(&g);
    json_decref(json);
}

static void the_tiny_model_has_the_reference_s_logits_in_every_format(void **state)
{
    (void)state;
    compare_with_reference("tiny", "tiny/hf", "F32", 6);
    compare_with_reference("tiny", "tiny/tiny-f32.gguf", "F32", 6);
    compare_with_reference("tiny", "tiny/tiny-f16.gguf", "F16", 1);
    compare_with_reference("tiny", "tiny/hf-bf16-sharded", "BF16", 1);
    compare_with_reference("tiny", "tiny/tiny-q8_0.gguf", "Q8_0", 1);
    compare_with_reference("tiny", "tiny/tiny-q4_0.gguf", "Q4_0", 1);
    compare_with_reference("tiny", "tiny/tiny-q4_1.gguf", "Q4_1", 1);
    compare_with_reference("formats", "formats/mixed-00001-of-00003.gguf", "mixed", 1);
    compare_with_reference("formats", "formats/fp8", "fp8", 1);
}

static void a_text_s_ids_and_logits_are_the_same_bits_from_folder_and_gguf(void **state)
{
    json_t *json = golden_json("tiny/logits.json");
    struct rig folder, gguf = {0};
    struct error err = {0};

    (void)state;
    rig_open_tiny(&folder);
    rig_open(&gguf, golden_path(&gguf.arena, "tiny/tiny-f32.gguf"));
    for (size_t i = 0; i < json_array_size(json_object_get(json, "cases")); i++) {
        const json_t *c = json_array_get(json_object_get(json, "cases"), i);
        size_t n;
        const token_id *ids = json_ids(json_object_get(c, "ids"), &folder.arena, &n);

        ASSERT_SAME("logits", n * folder.model->config.vocab, logits_of_tokens(&gguf, ids, n),
                    logits_of_tokens(&folder, ids, n));
        struct rig *both[] = {&folder, &gguf};
        for (size_t k = 0; k < 2 && json_is_string(json_object_get(c, "text")); k++) {
            struct token_list got = {0};

            ASSERT_OK(tokenizer_encode(model_files_tokenizer(both[k]->model->files),
                                       json_str(json_object_get(c, "text")), true, &got, &err));
            assert_int_equal(got.n, n);
            assert_memory_equal(got.ids, ids, n * sizeof *ids);
            token_list_release(&got);
        }
    }
    rig_close(&folder);
    rig_close(&gguf);
    json_decref(json);
}

/* The demo model, opened once; tests/golden/smollm2/cases.jsonl as one JSON array. */
struct demo {
    struct rig rig;
    json_t *cases;
};
static struct demo demo;

static int demo_open(void **state)
{
    struct error err = {0};
    struct str text;
    struct arena *a = &demo.rig.arena;

    rig_open(&demo.rig, demo_model_path(a));
    ASSERT_OK(file_read(golden_path(a, "smollm2/cases.jsonl"), 1 << 20, a, &text, &err));
    demo.cases = json_array();
    for (size_t at = 0; at < text.len;) {
        const size_t end = str_find(text, STR("\n"), at);
        json_t *line = NULL;

        ASSERT_OK(json_parse((struct str){text.ptr + at, end - at}, "cases.jsonl", &line, &err));
        json_array_append_new(demo.cases, line);
        at = end + 1;
    }
    assert_int_equal(json_array_size(demo.cases), N_TEXTS);
    *state = &demo;
    return 0;
}

static int demo_close(void **state)
{
    if (*state == NULL) /* it was not there to be opened */
        return 0;
    json_decref(demo.cases);
    rig_close(&demo.rig);
    return 0;
}

/* A row's eight largest logits by id; another id may not stand above the eighth by more than the bound. */
static double compare_top(const float *row, size_t v, const int32_t *ids, const float *logits)
{
    double worst = 0;

    for (size_t i = 0; i < 8; i++)
        worst = fmax(worst, fabs((double)row[ids[i]] - (double)logits[i]));
    for (size_t id = 0; id < v; id++) {
        bool among = false;

        for (size_t i = 0; i < 8; i++)
            among = among || (size_t)ids[i] == id;
        if (!among && row[id] > logits[7])
            worst = fmax(worst, (double)row[id] - (double)logits[7]);
    }
    return worst;
}

static double log_sum_exp(const float *row, size_t v)
{
    double most = -(double)INFINITY, total = 0;

    for (size_t i = 0; i < v; i++)
        most = fmax(most, (double)row[i]);
    for (size_t i = 0; i < v; i++)
        total += exp((double)row[i] - most);
    return most + log(total);
}

static void the_demo_model_finds_twenty_texts_as_likely_as_the_reference_does(void **state)
{
    struct rig *r = &((struct demo *)*state)->rig;
    const size_t v = r->model->config.vocab;
    double worst_logprob = 0, worst_top = 0, worst_sum = 0, worst_row = 0;
    struct golden g;
    char name[40];

    golden_open(&g, "smollm2/logits.safetensors");
    for (size_t i = 0; i < N_TEXTS; i += TEXT_STEP) {
        const json_t *c = json_array_get(demo.cases, i);
        size_t n, n_ids, n_top, n_sums, n_row;

        arena_reset(&r->arena);
        const token_id *ids = json_ids(json_object_get(c, "ids"), &r->arena, &n);
        const float *logits = logits_of_tokens(r, ids, n);

        worst_logprob = fmax(worst_logprob,
                             compare_logprobs(r, json_object_get(c, "logprobs"), logits, ids, n));
        snprintf(name, sizeof name, "%zu.top_ids", i);
        const int32_t *top_ids = golden_ints(&g, name, &n_ids);
        snprintf(name, sizeof name, "%zu.top_logits", i);
        const float *top = golden_floats(&g, name, &n_top);
        snprintf(name, sizeof name, "%zu.logsumexp", i);
        const float *sums = golden_floats(&g, name, &n_sums);
        assert_true(n_ids == 8 * n && n_top == 8 * n && n_sums == n);
        for (size_t t = 0; t < n; t++) {
            const float *row = logits + t * v;

            worst_top = fmax(worst_top, compare_top(row, v, top_ids + 8 * t, top + 8 * t));
            worst_sum = fmax(worst_sum, fabs(log_sum_exp(row, v) - (double)sums[t]));
        }
        if (i == 16) {
            const float *row = golden_floats(&g, "16.last_logits", &n_row);

            assert_int_equal(n_row, v);
            worst_row = largest_difference(v, logits + (n - 1) * v, row);
        }
    }
    print_message(
        "             largest difference: log-probabilities %.2g, top-8 logits %.2g, logsumexp %.2g, "
        "a whole row %.2g\n",
        worst_logprob, worst_top, worst_sum, worst_row);
    assert_true(worst_logprob <= DEMO_LOGPROB);
    assert_true(worst_top <= DEMO_LOGIT);
    assert_true(worst_sum <= DEMO_LOGIT);
    assert_true(worst_row <= DEMO_LOGIT);
    golden_close(&g);
}

/* KL(p || q) in nats of two rows of logits. */
static double divergence(const float *p, const float *q, size_t v)
{
    const double of_p = log_sum_exp(p, v), of_q = log_sum_exp(q, v);
    double sum = 0;

    for (size_t i = 0; i < v; i++)
        sum += exp((double)p[i] - of_p) * ((double)p[i] - of_p - ((double)q[i] - of_q));
    return sum;
}

/* What rounding rows to bytes changes of what the model says next, over all places of the twenty texts. */
static void the_demo_model_rounded_says_nearly_the_same(void **state)
{
    struct rig *r = &((struct demo *)*state)->rig;
    const size_t v = r->model->config.vocab;
    double sum = 0, worst = 0;
    size_t places = 0;

    for (size_t i = 0; i < N_TEXTS; i += TEXT_STEP) {
        size_t n;

        arena_reset(&r->arena);
        const token_id *ids =
            json_ids(json_object_get(json_array_get(demo.cases, i), "ids"), &r->arena, &n);
        const float *exact = logits_of_tokens(r, ids, n);
        r->model->precision = PRECISION_INT8;
        const float *rounded = logits_of_tokens(r, ids, n);
        r->model->precision = PRECISION_F32;
        for (size_t t = 0; t < n; t++) {
            const double kl = divergence(exact + t * v, rounded + t * v, v);

            sum += kl;
            worst = fmax(worst, kl);
        }
        places += n;
    }
    print_message(
        "             KL from F32 to rounded rows: mean %.2g, largest %.2g of %zu places\n",
        sum / (double)places, worst, places);
    assert_true(sum > 0 && sum / (double)places < ROUNDED_KL);
    arena_reset(&r->arena);
}

/* The same of what is kept of keys and values. */
static void the_demo_model_with_rounded_keys_and_values_says_nearly_the_same(void **state)
{
    static const double bound[] = {[KV_CACHE_F16] = F16_CACHE_KL, [KV_CACHE_Q8_0] = Q8_CACHE_KL};
    struct rig *exact = &((struct demo *)*state)->rig;
    const size_t v = exact->model->config.vocab;

    for (enum kv_cache k = KV_CACHE_F16; k <= KV_CACHE_Q8_0; k++) {
        struct rig r = {.model = exact->model, .work = exact->work};
        struct error err = {0};
        double sum = 0, worst = 0;
        size_t places = 0;

        r.model->config.kv_cache = k;
        ASSERT_OK(kv_pool_open(&r.model->config, (size_t)256 << 20, &r.pool, &err));
        for (size_t i = 0; i < N_TEXTS; i += TEXT_STEP) {
            size_t n;

            arena_reset(&r.arena);
            arena_reset(&exact->arena);
            const token_id *ids =
                json_ids(json_object_get(json_array_get(demo.cases, i), "ids"), &r.arena, &n);
            const float *rounded = logits_of_tokens(&r, ids, n);
            r.model->config.kv_cache = KV_CACHE_F32;
            const float *want = logits_of_tokens(exact, ids, n);
            r.model->config.kv_cache = k;
            for (size_t t = 0; t < n; t++) {
                const double kl = divergence(want + t * v, rounded + t * v, v);

                sum += kl;
                worst = fmax(worst, kl);
            }
            places += n;
        }
        print_message("             KL from F32 to keys and values in %s: mean %.2g, largest %.2g "
                      "of %zu places\n",
                      kv_cache_name(k), sum / (double)places, worst, places);
        assert_true(sum > 0 && sum / (double)places < bound[k]);
        r.model->config.kv_cache = KV_CACHE_F32;
        kv_pool_close(r.pool);
        arena_release(&r.arena);
    }
    arena_reset(&exact->arena);
}

static void the_demo_model_continues_twenty_texts_as_the_reference_does(void **state)
{
    const struct rig *r = &((struct demo *)*state)->rig;
    const struct engine_options opt = engine_defaults(r->model);
    struct sample_request requests[N_TEXTS];
    struct engine *e = NULL;
    struct sample **samples;
    struct error err = {0};
    struct arena a = {0};
    size_t n_texts = 0, n_compared = 0, n_ties = 0;

    ASSERT_OK(engine_open(r->model, model_files_tokenizer(r->model->files), &opt, &e, &err));
    for (size_t i = 0; i < N_TEXTS; i += TEXT_STEP) {
        struct sample_request *q = &requests[n_texts++];

        *q = (struct sample_request){.n_samples = 1,
                                     .max_tokens = CONTINUATION,
                                     .pick = pick_defaults(),
                                     .purpose = PHILOX_TEST};
        q->pick.temperature = 0;
        q->prompt =
            json_ids(json_object_get(json_array_get(demo.cases, i), "ids"), &a, &q->n_prompt);
    }
    ASSERT_OK(engine_run(e, NULL, requests, n_texts, NULL, &samples, &err));
    for (size_t i = 0; i < n_texts; i++) {
        const json_t *c = json_array_get(demo.cases, i * TEXT_STEP),
                     *greedy = json_object_get(c, "greedy");
        size_t n, n_margins, t = 0;
        const token_id *want = json_ids(json_object_get(greedy, "ids"), &a, &n);
        const float *margins = json_floats(json_object_get(greedy, "margins"), &a, &n_margins);
        const struct sample *s = &samples[i][0];

        assert_int_equal(n, n_margins);
        const bool ends = n < 64 && n <= CONTINUATION;
        n = size_min(n, CONTINUATION);
        while (t < n && margins[t] >= 1e-3f) {
            if (t >= s->n || s->tokens[t] != want[t])
                fail_msg("%s, token %zu: %d, expected %d",
                         json_string_value(json_object_get(c, "name")), t,
                         t < s->n ? s->tokens[t] : -1, want[t]);
            t++;
        }
        n_compared += t;
        n_ties += t < n; /* nearly a tie: from there on another rounding may go elsewhere */
        if (t == n) {
            assert_int_equal(s->n, n);
            assert_int_equal(s->end, ends ? SAMPLE_STOP : SAMPLE_LENGTH);
        }
    }
    print_message("             %zu tokens compared, %zu texts to a tie only\n", n_compared,
                  n_ties);
    assert_true(n_ties <= 1);
    engine_close(e);
    arena_release(&a);
}

/* Element e of tensor k, as the README of the golden files counts it. */
static float counted(uint64_t k, uint64_t e, double scale)
{
    uint64_t z = (k << 32) + e + 0x9E3779B97F4A7C15u;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    z = (z ^ z >> 31) >> 40;
    return (float)(((double)z - 0x1p23) / 0x1p23 * scale);
}

struct demo_tensor {
    float *value, *grad;
    size_t n;
};

/* The tensors in the order of their ordinals, from their names. */
static struct demo_tensor *demo_tensors(struct adapter *ad, const json_t *names, struct arena *a)
{
    struct demo_tensor *t = ARENA_ARRAY(a, struct demo_tensor, json_array_size(names));
    char name[128];

    assert_int_equal(json_array_size(names), ad->n_layers * N_PROJECTIONS * 2);
    for (size_t k = 0; k < json_array_size(names); k++) {
        const char *want = json_string_value(json_array_get(names, k));

        for (size_t l = 0; l < ad->n_layers; l++) {
            for (size_t p = 0; p < N_PROJECTIONS; p++) {
                const struct lora *w = &ad->layers[l][p];

                for (int b = 0; b < 2; b++) {
                    snprintf(name, sizeof name, "layers.%zu.%s.lora_%c", l,
                             projection_hf_name((enum projection)p), "AB"[b]);
                    if (strstr(want, name) != NULL)
                        t[k] = (struct demo_tensor){b ? w->b : w->a, b ? w->db : w->da,
                                                    ad->rank * (b ? w->n : w->k)};
                }
            }
        }
        if (t[k].value == NULL)
            fail_msg("which tensor is %s?", want);
    }
    return t;
}

static double norm_of(const float *x, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

static void the_demo_model_s_gradients_are_the_reference_s(void **state)
{
    struct rig *r = &((struct demo *)*state)->rig;
    struct graded batch = graded_open("smollm2/batch.json", &r->arena);
    const json_t *lora = json_object_get(batch.json, "lora"),
                 *adamw = json_object_get(batch.json, "adamw");
    const size_t entries = (size_t)json_number_at(lora, "entries");
    struct adapter *ad = NULL;
    struct error err = {0};
    struct golden g;
    size_t n, n_index;

    golden_open(&g, "smollm2/gradients.safetensors");
    ASSERT_OK(adapter_new(&r->model->config, (size_t)json_number_at(lora, "rank"),
                          (float)json_number_at(lora, "alpha"), 0, &ad, &err));
    ASSERT_OK(adapter_want_grads(ad, &err));
    const struct demo_tensor *tensors =
        demo_tensors(ad, json_object_get(batch.json, "tensors"), &r->arena);
    const size_t n_tensors = ad->n_layers * N_PROJECTIONS * 2;
    for (size_t k = 0; k < n_tensors; k++)
        for (size_t e = 0; e < tensors[k].n; e++)
            tensors[k].value[e] =
                counted(k, e, json_number_at(lora, k % 2 == 0 ? "scale_a" : "scale_b"));
    adapter_changed(ad);
    double worst_logprob = 0, worst_norm = 0, worst_entry = 0, worst_step = 0;
    const double loss =
        graded_pass(&batch, 0, batch.n_prompts, LAYOUT_SHARED, r, ad, false, &worst_logprob);
    const float *norms = golden_floats(&g, "norm", &n), *largest = golden_floats(&g, "largest", &n),
                *gradient = golden_floats(&g, "gradient", &n),
                *stepped = golden_floats(&g, "stepped", &n);
    const int32_t *index = golden_ints(&g, "index", &n_index);
    assert_int_equal(n_index, n_tensors * entries);
    for (size_t k = 0; k < n_tensors; k++) {
        const double norm = norm_of(tensors[k].grad, tensors[k].n);

        worst_norm = fmax(worst_norm, fabs(norm / (double)norms[k] - 1));
        for (size_t i = k * entries; i < (k + 1) * entries; i++) {
            const double off = (double)tensors[k].grad[index[i]] - (double)gradient[i];

            worst_entry = fmax(worst_entry, fabs(off) / (double)largest[k]);
        }
    }
    const double norm = norm_of(ad->grads, ad->n_values),
                 want_norm = json_number_at(batch.json, "grad_norm");
    print_message(
        "             loss %.6f (%.6f), largest difference: log-probabilities %.2g, norms %.2g, "
        "entries %.2g of the largest\n",
        loss, json_number_at(batch.json, "loss"), worst_logprob, worst_norm, worst_entry);
    ASSERT_NEAR(loss, json_number_at(batch.json, "loss"), 1e-3);
    ASSERT_NEAR(norm, want_norm, DEMO_GRADIENT * want_norm);
    assert_true(worst_logprob <= DEMO_LOGPROB);
    assert_true(worst_norm <= DEMO_GRADIENT);
    assert_true(worst_entry <= DEMO_GRADIENT);

    const json_t *betas = json_object_get(adamw, "betas");
    const double beta1 = json_number_value(json_array_get(betas, 0)),
                 beta2 = json_number_value(json_array_get(betas, 1));
    const struct adamw_numbers step = {
        .lr = (float)json_number_at(adamw, "lr"),
        .beta1 = (float)beta1,
        .beta2 = (float)beta2,
        .eps = (float)json_number_at(adamw, "eps"),
        .clip = (float)fmin(1, json_number_at(adamw, "max_grad_norm") / (norm + 1e-6)),
        .c1 = (float)(1 / (1 - beta1)),
        .c2 = (float)(1 / (1 - beta2))};
    kernels()->adamw(ad->n_values, &step, ad->grads, ARENA_ARRAY(&r->arena, float, ad->n_values),
                     ARENA_ARRAY(&r->arena, float, ad->n_values), ad->values);
    adapter_changed(ad);
    size_t n_steps = 0;
    for (size_t k = 0; k < n_tensors; k++) {
        for (size_t i = k * entries; i < (k + 1) * entries; i++) {
            if (fabs((double)gradient[i]) * (double)step.clip < 100 * (double)step.eps)
                continue; /* a step divides by the gradient's own size: where that is nothing, anything may come */
            const double off = (double)tensors[k].value[index[i]] - (double)stepped[i];

            worst_step = fmax(worst_step, fabs(off));
            n_steps++;
        }
    }
    const double after = graded_loss(&batch, r, ad);
    print_message(
        "             after a step: loss %.6f (%.6f), largest difference of %zu values %.2g\n",
        after, json_number_at(batch.json, "loss_after_step"), n_steps, worst_step);
    ASSERT_NEAR(after, json_number_at(batch.json, "loss_after_step"), 2e-3);
    assert_true(worst_step <= 2e-6); /* of a rate of 1e-4 */
    golden_close(&g);
    graded_close(&batch);
    adapter_close(ad);
}

int main(void)
{
    const struct CMUnitTest tiny[] = {
        cmocka_unit_test(the_tiny_model_has_the_reference_s_logits_in_every_format),
        cmocka_unit_test(a_text_s_ids_and_logits_are_the_same_bits_from_folder_and_gguf),
    };
    const struct CMUnitTest on_demo_model[] = {
        cmocka_unit_test(the_demo_model_finds_twenty_texts_as_likely_as_the_reference_does),
        cmocka_unit_test(the_demo_model_rounded_says_nearly_the_same),
        cmocka_unit_test(the_demo_model_with_rounded_keys_and_values_says_nearly_the_same),
        cmocka_unit_test(the_demo_model_continues_twenty_texts_as_the_reference_does),
        cmocka_unit_test(the_demo_model_s_gradients_are_the_reference_s),
    };
    const int failed = cmocka_run_group_tests_name("tiny model", tiny, NULL, NULL);

    return failed + cmocka_run_group_tests_name("demo model", on_demo_model, demo_open, demo_close);
}
