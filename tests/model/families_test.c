/*
 * families_test.c - each family's logits, log-probabilities and adapter gradients are those of transformers, from a folder and from
 * GGUF; and each thing that a family has besides Llama is seen by this test: without it the logits are others.
 *
 * docs/MODELS.md names these cases.
 */
#include "base/file.h"
#include "base/size.h"
#include "support/graded.h"
#include "support/numbers.h"
#include "tensor/cpu/kernels.h"
#include "text/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* tests/golden/families/README.md: what transformers' rotary angles in float32 cost, and its order of summation. */
#define LOGIT 1e-4
#define LOGPROB 1e-4
#define GRADIENT 1e-4 /* of the tensor's largest entry */
#define WITHOUT                                                                                    \
    1e-2 /* the least that leaving something out moves a logit: a hundred times what is allowed */

#define FROM 30 /* the position that the kept logits begin with */

/* ---- what a model may have: each takes it away from one that is open ---- */

typedef void without_fn(struct model *m);

#define EACH_LAYER(m, l)                                                                           \
    for (struct layer_weights *l = (m)->layers; l < (m)->layers + (m)->config.n_layers; l++)

#define TAKE_AWAY(name, weights)                                                                   \
    static void without_##name(struct model *m)                                                    \
    {                                                                                              \
        EACH_LAYER(m, l)                                                                           \
        l->weights = NULL;                                                                         \
    }
TAKE_AWAY(q_bias, q_bias)
TAKE_AWAY(k_bias, k_bias)
TAKE_AWAY(v_bias, v_bias)
TAKE_AWAY(o_bias, o_bias)
TAKE_AWAY(sinks, sinks)
TAKE_AWAY(router_bias, router_bias)
TAKE_AWAY(bias_of_gates, expert_bias[EXPERT_GATE])
TAKE_AWAY(bias_of_ups, expert_bias[EXPERT_UP])
TAKE_AWAY(bias_of_downs, expert_bias[EXPERT_DOWN])
TAKE_AWAY(q_norm, q_norm)
TAKE_AWAY(k_norm, k_norm)
TAKE_AWAY(norm_behind_attention, attn_post_norm)
TAKE_AWAY(norm_behind_feed_forward, ffn_post_norm)
TAKE_AWAY(norm_before_attention, attn_norm)

static void with_norms_of_heads(struct model *m)
{
    m->config.qk_norm = QK_NORM_HEAD;
}

static void without_ones_in_norms(struct model *m)
{
    EACH_LAYER(m, l)
    for (size_t i = 0; i < m->config.width; i++)
        l->attn_norm[i] -= 1;
}

static void with_silu(struct model *m)
{
    m->config.activation = ACT_SILU;
}

static void without_windows(struct model *m)
{
    for (size_t l = 0; l < m->config.n_layers; l++)
        m->config.layers[l].windowed = false;
}

static void with_a_window_one_longer(struct model *m)
{
    m->config.window++;
}

static void with_windows_everywhere(struct model *m)
{
    for (size_t l = 0; l < m->config.n_layers; l++)
        m->config.layers[l].windowed = true;
}

static void turn_anew(struct model *m)
{
    struct error err = {0};

    ASSERT_OK(model_make_rope(m, &err));
}

/* Layers that have none, or another, turn as all others do. */
static void with_one_rotation(struct model *m)
{
    for (size_t l = 0; l < m->config.n_layers; l++)
        m->config.layers[l].rope = 0;
    turn_anew(m);
}

static void without_scaling(struct model *m)
{
    m->config.rope[0].attention_factor =
        rope_frequencies(&m->config.rope[0], config_rotary_width(&m->config), m->max_positions,
                         ARENA_ARRAY(&m->arena, double, m->config.head_width));
    m->config.rope[0].scaling = ROPE_PLAIN;
    turn_anew(m);
}

static void without_attention_factor(struct model *m)
{
    m->config.rope[0].attention_factor = 1;
    turn_anew(m);
}

static void with_whole_pairs(struct model *m)
{
    m->config.rope[0].whole_pairs = true;
    turn_anew(m);
}

static void with_factors_of_short_texts(struct model *m)
{
    m->config.rope[0].original = 1e9;
    turn_anew(m);
}

static void with_whole_heads_turned(struct model *m)
{
    m->config.rotary_width = 0;
    m->config.rope[0].scaling = ROPE_PLAIN;
    turn_anew(m);
}

static void without_embedding_scale(struct model *m)
{
    m->config.embedding_scale = 0;
}

static void without_residual_scale(struct model *m)
{
    m->config.residual_scale = 0;
}

static void without_attention_scale(struct model *m)
{
    m->config.attention_scale = 0;
}

static void without_logit_divisor(struct model *m)
{
    for (size_t i = 0; i < m->config.width; i++)
        m->final_norm[i] *= (float)m->config.logit_divisor;
}

static void without_query_growth(struct model *m)
{
    m->config.query_growth = 0;
    turn_anew(m);
}

static void without_score_cap(struct model *m)
{
    m->config.score_cap = 0;
}

static void without_logit_cap(struct model *m)
{
    m->config.logit_cap = 0;
}

static void with_shares_of_all(struct model *m)
{
    m->config.shares_of_all = true;
}

static void with_shares_of_its_own(struct model *m)
{
    m->config.shares_of_all = false;
}

/* Every expert is the layer's first. */
static void with_one_expert(struct model *m)
{
    EACH_LAYER(m, l)
    for (size_t e = 1; e < m->config.n_experts; e++)
        l->experts[e] = l->experts[0];
}

static void with_an_expert_less(struct model *m)
{
    m->config.n_chosen--;
}

/* ---- the cases ---- */

#define WITHOUT_MOST 12

static const struct family_case {
    const char *name;
    bool folder, gguf;
    without_fn *without[WITHOUT_MOST];
} cases[] = {
    {"llama3", true, true, {without_scaling}},
    {"smollm3", true, true, {with_one_rotation}},
    {"qwen2", true, true, {without_q_bias, without_k_bias, without_v_bias}},
    {"qwen2-window",
     true,
     false,
     {without_windows, with_a_window_one_longer, with_windows_everywhere, without_scaling,
      without_attention_factor}},
    {"qwen3", true, true, {without_q_norm, without_k_norm}},
    {"mistral", true, false, {without_windows, with_a_window_one_longer}},
    {"mistral-yarn", true, true, {without_scaling, without_attention_factor}},
    {"ministral", true, false, {without_windows, with_windows_everywhere}},
    {"phi3",
     true,
     true,
     {without_scaling, without_attention_factor, with_factors_of_short_texts,
      with_whole_heads_turned, without_windows, with_a_window_one_longer}},
    {"granite",
     true,
     true,
     {without_embedding_scale, without_residual_scale, without_attention_scale,
      without_logit_divisor}},
    {"olmo2",
     true,
     true,
     {without_q_norm, without_k_norm, with_norms_of_heads, without_norm_behind_attention,
      without_norm_behind_feed_forward}},
    {"olmo3",
     true,
     true,
     {without_windows, with_windows_everywhere, with_one_rotation, without_scaling,
      without_attention_factor}},
    {"gemma3",
     true,
     false,
     {without_q_norm, without_norm_before_attention, without_norm_behind_feed_forward,
      without_ones_in_norms, with_silu, without_windows, with_one_rotation,
      without_attention_scale}},
    {"gemma3-heads",
     false,
     true,
     {without_scaling, without_embedding_scale, without_k_norm, without_norm_behind_attention,
      with_a_window_one_longer, with_windows_everywhere, with_one_rotation}},
    {"ministral3", true, true, {without_query_growth, without_scaling}},
    {"qwen3-moe",
     true,
     true,
     {without_q_norm, without_k_norm, with_shares_of_all, with_one_expert, with_an_expert_less}},
    {"gemma2",
     true,
     true,
     {without_score_cap, without_logit_cap, without_windows, without_embedding_scale,
      without_norm_behind_attention}},
    {"gpt-oss",
     true,
     true,
     {without_sinks, without_o_bias, without_router_bias, without_bias_of_gates,
      without_bias_of_ups, without_bias_of_downs, with_silu, without_windows,
      with_windows_everywhere, without_scaling, with_an_expert_less, without_k_bias}},
    {"gpt-oss-plain",
     true,
     false,
     {without_bias_of_gates, without_bias_of_ups, without_bias_of_downs, with_one_expert,
      with_whole_pairs}},
    {"gpt-oss-blocks", true, true, {with_one_expert, without_bias_of_ups, without_windows}},
    {"qwen3-moe-shares", true, false, {with_shares_of_its_own, with_one_expert}},
};

static const char *in_case(struct arena *a, const char *name, const char *file)
{
    return arena_printf(a, "families/%s/%s", name, file);
}

struct text { /* that the reference read */
    json_t *json;
    const token_id *ids;
    size_t n;
    const float *logprobs;
};

static struct text text_open(struct arena *a, const char *name)
{
    struct text t = {.json = golden_json(in_case(a, name, "batch.json"))};
    size_t n;

    t.ids = json_ids(json_object_get(t.json, "ids"), a, &t.n);
    t.logprobs = json_floats(json_object_get(t.json, "logprobs"), a, &n);
    assert_int_equal(n, t.n);
    return t;
}

static float *logits_of_text(struct rig *r, const struct text *t)
{
    const size_t v = r->model->config.vocab;
    float *logits = ARENA_ARRAY(&r->arena, float, t->n *v);

    logits_of(r->model, t->n, rig_read(r, NULL, t->ids, t->n), logits, v);
    return logits;
}

static double worst_logprob(struct rig *r, const struct text *t, const float *logits)
{
    const size_t v = r->model->config.vocab;
    float *sums = ARENA_ARRAY(&r->arena, float, softmax_blocks(v));
    double worst = 0;

    for (size_t i = 1; i < t->n; i++) {
        const float *row = logits + (i - 1) * v;
        const struct softmax_row s = softmax_row_of(v, row, 1, sums);
        const double got = (double)softmax_logp(&s, row[t->ids[i]], 1);

        worst = fmax(worst, fabs(got - (double)t->logprobs[i]));
    }
    return worst;
}

/* Largest distance from the reference's gradients, of each tensor's largest entry. */
static double worst_gradient(const struct adapter *ad, struct golden *g)
{
    double worst = 0;
    char name[160];
    size_t n;

    for (size_t l = 0; l < ad->n_layers; l++) {
        for (size_t p = 0; p < ad->n_projections; p++) {
            const struct lora *w = &ad->layers[l][p];

            for (int b = 0; b < 2; b++) {
                snprintf(name, sizeof name, "base_model.model.model.layers.%zu.%s.lora_%c.weight",
                         l, projection_hf_name((enum projection)p), "AB"[b]);
                const float *want = golden_floats(g, name, &n), *got = b ? w->db : w->da;
                double largest = 0;

                assert_int_equal(n, ad->rank * (b ? w->n : w->k));
                for (size_t i = 0; i < n; i++)
                    largest = fmax(largest, fabs((double)want[i]));
                assert_true(largest > 0);
                worst = fmax(worst, largest_difference(n, got, want) / largest);
            }
        }
    }
    return worst;
}

/* A file's logits, log-probabilities and gradients against the reference's. */
static void compare(const struct family_case *c, const char *file)
{
    struct rig r = {0};
    struct golden g;
    struct adapter *ad = NULL;
    struct error err = {0};
    double worst_with_adapter = 0;
    size_t n;

    rig_open(&r, golden_path(&r.arena, in_case(&r.arena, c->name, file)));
    const struct text t = text_open(&r.arena, c->name);
    golden_open(&g, in_case(&r.arena, c->name, "reference.safetensors"));
    const float *logits = logits_of_text(&r, &t), *want = golden_floats(&g, "logits", &n);
    assert_int_equal(n, (t.n - FROM) * r.model->config.vocab);
    const double logit = largest_difference(n, logits + FROM * r.model->config.vocab, want),
                 logprob = worst_logprob(&r, &t, logits);

    ASSERT_OK(adapter_load(&r.model->config,
                           golden_path(&r.arena, in_case(&r.arena, c->name, "adapter")), &ad,
                           &err) &&
              adapter_want_grads(ad, &err));
    struct graded batch = graded_open(in_case(&r.arena, c->name, "batch.json"), &r.arena);
    const double loss = graded_pass(&batch, 0, batch.n_prompts, LAYOUT_SHARED, &r, ad, true,
                                    &worst_with_adapter),
                 gradient = worst_gradient(ad, &g);
    print_message(
        "             %-14s %-10s logits %.1e, log-probabilities %.1e, with adapter %.1e, "
        "gradients %.1e\n",
        c->name, file, logit, logprob, worst_with_adapter, gradient);
    assert_true(logit <= LOGIT);
    assert_true(fmax(logprob, worst_with_adapter) <= LOGPROB);
    ASSERT_NEAR(loss, json_number_at(batch.json, "loss"), 1e-3);
    assert_true(gradient <= GRADIENT);
    graded_close(&batch);
    json_decref(t.json);
    golden_close(&g);
    adapter_close(ad);
    rig_close(&r);
}

static void logits_and_gradients_from_a_folder_are_the_reference_s(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (cases[i].folder)
            compare(&cases[i], "hf");
}

static void logits_and_gradients_from_gguf_are_the_reference_s(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (cases[i].gguf)
            compare(&cases[i], "model.gguf");
}

/* Were it overlooked, the tests above would fail by far. */
static void nothing_that_a_family_has_could_be_left_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct family_case *c = &cases[i];

        for (size_t k = 0; k < WITHOUT_MOST && c->without[k] != NULL; k++) {
            struct rig r = {0};
            struct golden g;
            size_t n;

            rig_open(&r, golden_path(&r.arena,
                                     in_case(&r.arena, c->name, c->folder ? "hf" : "model.gguf")));
            const struct text t = text_open(&r.arena, c->name);
            golden_open(&g, in_case(&r.arena, c->name, "reference.safetensors"));
            c->without[k](r.model);
            const float *want = golden_floats(&g, "logits", &n);
            const double moved =
                largest_difference(n, logits_of_text(&r, &t) + FROM * r.model->config.vocab, want);
            print_message("             %-14s without its %zu: logits move by %.1e\n", c->name, k,
                          moved);
            assert_true(moved >= WITHOUT);
            json_decref(t.json);
            golden_close(&g);
            rig_close(&r);
        }
    }
}

/* LongRoPE: transformers takes the short factors for a short text, hone for a model that is opened for short texts. */
static void a_model_opened_for_short_texts_has_their_factors(void **state)
{
    struct rig r = {0};
    struct golden g;
    struct error err = {0};
    size_t n;

    (void)state;
    rig_open(&r, golden_path(&r.arena, "families/phi3/hf"));
    const struct text t = text_open(&r.arena, "phi3");
    golden_open(&g, "families/phi3/reference.safetensors");
    const float *want = golden_floats(&g, "short", &n);
    const size_t rows = n / r.model->config.vocab;
    for (int is_short = 0; is_short < 2; is_short++) {
        float *logits = ARENA_ARRAY(&r.arena, float, n);

        r.model->max_positions = is_short ? 32 : 128;
        ASSERT_OK(model_make_rope(r.model, &err));
        logits_of(r.model, rows, rig_read(&r, NULL, t.ids, rows), logits, r.model->config.vocab);
        const double off = largest_difference(n, logits, want);
        assert_true(is_short ? off <= LOGIT : off >= WITHOUT);
    }
    json_decref(t.json);
    golden_close(&g);
    rig_close(&r);
}

static void only_what_is_trained_as_in_llama_trains_every_weight(void **state)
{
    static const struct {
        const char *name;
        bool all;
    } of[] = {{"llama3", true},  {"smollm3", true},    {"mistral", true},   {"qwen2", false},
              {"qwen3", false},  {"phi3", false},      {"granite", false},  {"olmo2", false},
              {"gemma3", false}, {"ministral3", true}, {"qwen3-moe", false}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(of); i++) {
        struct rig r = {0};
        struct error err = {0};

        rig_open(&r, golden_path(&r.arena, in_case(&r.arena, of[i].name, "hf")));
        assert_int_equal(model_unfreeze(r.model, &err), of[i].all);
        if (!of[i].all) {
            assert_int_equal(err.kind, ERR_UNSUPPORTED);
            assert_non_null(strstr(err.message, "train an adapter"));
        }
        rig_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_and_gradients_from_a_folder_are_the_reference_s),
        cmocka_unit_test(logits_and_gradients_from_gguf_are_the_reference_s),
        cmocka_unit_test(nothing_that_a_family_has_could_be_left_out),
        cmocka_unit_test(a_model_opened_for_short_texts_has_their_factors),
        cmocka_unit_test(only_what_is_trained_as_in_llama_trains_every_weight),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
