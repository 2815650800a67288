/*
 * backward_test.c - gradients are the reference's, and the derivative of our own forward pass; no thread, no sharing and
 * no saving of memory changes them.
 */
#include "base/file.h"
#include "base/parallel.h"
#include "base/size.h"
#include "support/graded.h"
#include "support/numbers.h"
#include "tensor/cpu/kernels.h"
#include "tensor/ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The README of the golden files: a test should allow 5e-5 in a log-probability, 2e-5 of a tensor's largest entry. */
#define LOGPROB_BOUND 5e-5
#define GRADIENT_BOUND 2e-5

struct setting {
    struct rig rig;
    struct adapter *ad; /* tests/golden/tiny/adapter, with gradients */
    struct graded batch;
};

static struct adapter *golden_adapter(struct rig *r)
{
    struct adapter *a = NULL;
    struct error err = {0};

    ASSERT_OK(adapter_load(&r->model->config, golden_path(&r->arena, "tiny/adapter"), &a, &err));
    ASSERT_OK(adapter_want_grads(a, &err));
    return a;
}

static int with_adapter(void **state)
{
    static struct setting s;

    rig_open_tiny(&s.rig);
    s.ad = golden_adapter(&s.rig);
    s.batch = graded_open("tiny/adapter-batch.json", &s.rig.arena);
    *state = &s;
    return 0;
}

static int unfrozen(void **state)
{
    static struct setting s;
    struct error err = {0};

    rig_open_tiny(&s.rig);
    ASSERT_OK(model_unfreeze(s.rig.model, &err));
    s.ad = NULL;
    s.batch = graded_open("tiny/full-batch.json", &s.rig.arena);
    *state = &s;
    return 0;
}

static int done(void **state)
{
    struct setting *s = *state;

    graded_close(&s->batch);
    adapter_close(s->ad);
    rig_close(&s->rig);
    return 0;
}

/* Values and gradients of what is trained in a setting. */
static float *values_of(const struct setting *s, size_t *n)
{
    *n = s->ad != NULL ? s->ad->n_values : s->rig.model->full->n_values;
    return s->ad != NULL ? s->ad->values : s->rig.model->full->values;
}

static float *grads_of(const struct setting *s)
{
    return s->ad != NULL ? s->ad->grads : s->rig.model->full->grads;
}

static void clear(const struct setting *s)
{
    size_t n;

    (void)values_of(s, &n);
    memset(grads_of(s), 0, n * sizeof(float));
}

static void changed(const struct setting *s)
{
    if (s->ad != NULL)
        adapter_changed(s->ad);
    else
        model_changed(s->rig.model);
}

/* A copy of the gradients of the whole batch. */
static float *gradients(struct setting *s, enum layout layout, bool keep_all)
{
    size_t n;

    (void)values_of(s, &n);
    float *copy = ARENA_ARRAY(&s->rig.arena, float, n);
    clear(s);
    graded_pass(&s->batch, 0, s->batch.n_prompts, layout, &s->rig, s->ad, keep_all, NULL);
    memcpy(copy, grads_of(s), n * sizeof *copy);
    return copy;
}

/* fn(ctx, name, value, gradient, n) for every trained tensor, by its name in the golden files. */
typedef void tensor_fn(void *ctx, const char *name, const float *value, const float *grad,
                       size_t n);

static void each_adapter_tensor(const struct adapter *a, tensor_fn *fn, void *ctx)
{
    char name[128];

    for (size_t l = 0; l < a->n_layers; l++) {
        for (size_t p = 0; p < N_PROJECTIONS; p++) {
            const struct lora *w = &a->layers[l][p];

            snprintf(name, sizeof name, "base_model.model.model.layers.%zu.%s.lora_A.weight", l,
                     projection_hf_name((enum projection)p));
            fn(ctx, name, w->a, w->da, a->rank * w->k);
            snprintf(name, sizeof name, "base_model.model.model.layers.%zu.%s.lora_B.weight", l,
                     projection_hf_name((enum projection)p));
            fn(ctx, name, w->b, w->db, a->rank * w->n);
        }
    }
}

static void each_full_tensor(const struct model *m, tensor_fn *fn, void *ctx)
{
    const struct full_weights *f = m->full;
    const size_t c = m->config.width;
    char name[128];

    fn(ctx, "model.embed_tokens.weight", f->embed, f->d_embed, m->config.vocab * c);
    fn(ctx, "model.norm.weight", m->final_norm, f->d_final_norm, c);
    for (size_t l = 0; l < m->config.n_layers; l++) {
        const struct full_layer *w = &f->layers[l];

        snprintf(name, sizeof name, "model.layers.%zu.input_layernorm.weight", l);
        fn(ctx, name, m->layers[l].attn_norm, w->d_attn_norm, c);
        snprintf(name, sizeof name, "model.layers.%zu.post_attention_layernorm.weight", l);
        fn(ctx, name, m->layers[l].ffn_norm, w->d_ffn_norm, c);
        for (size_t p = 0; p < N_PROJECTIONS; p++) {
            size_t n, k;

            projection_shape(&m->config, (enum projection)p, &n, &k);
            snprintf(name, sizeof name, "model.layers.%zu.%s.weight", l,
                     projection_hf_name((enum projection)p));
            fn(ctx, name, w->proj[p], w->d_proj[p], n * k);
        }
    }
}

static void each_tensor(const struct setting *s, tensor_fn *fn, void *ctx)
{
    if (s->ad != NULL)
        each_adapter_tensor(s->ad, fn, ctx);
    else
        each_full_tensor(s->rig.model, fn, ctx);
}

struct comparison {
    struct golden golden;
    size_t n_tensors;
    double worst;
};

static void compare_gradient(void *ctx, const char *name, const float *value, const float *grad,
                             size_t n)
{
    struct comparison *c = ctx;
    size_t n_golden;
    const float *want = golden_floats(&c->golden, name, &n_golden);

    (void)value;
    assert_int_equal(n, n_golden);
    const double d = relative_difference(n, grad, want);
    if (!(d <= GRADIENT_BOUND))
        fail_msg("the gradient of %s is off by %g of its largest entry", name, d);
    c->worst = fmax(c->worst, d);
    c->n_tensors++;
}

static double norm_of(const float *x, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

static void every_gradient_is_the_reference_s(void **state)
{
    struct setting *s = *state;
    struct comparison c = {0};
    double worst = 0;
    size_t n;

    golden_open(&c.golden, s->ad != NULL ? "tiny/adapter-gradients.safetensors"
                                         : "tiny/full-gradients.safetensors");
    clear(s);
    const double loss =
        graded_pass(&s->batch, 0, s->batch.n_prompts, LAYOUT_SHARED, &s->rig, s->ad, true, &worst);
    ASSERT_NEAR(loss, json_number_at(s->batch.json, "loss"), 1e-4);
    assert_true(worst <= LOGPROB_BOUND);
    each_tensor(s, compare_gradient, &c);
    assert_int_equal(c.n_tensors, s->ad != NULL ? 42 : 29);
    assert_int_equal(json_object_size(c.golden.header), c.n_tensors);
    (void)values_of(s, &n);
    const json_t *first = json_array_get(json_object_get(s->batch.json, "steps"), 0);
    const double norm = json_number_at(first, "grad_norm");
    ASSERT_NEAR(norm_of(grads_of(s), n), norm, 1e-5 * norm);
    print_message(
        "             largest difference: log-probabilities %.2g, gradients %.2g of the tensor's largest\n",
        worst, c.worst);
    golden_close(&c.golden);
}

struct probe { /* one tensor's direction: its own gradient's sign, which gives the steepest slope */
    struct setting *s;
    double worst;
    size_t n_tensors;
};

/* Along the gradient the loss's slope is the gradient's length; measured over a step that FP32 can see. */
static void check_slope(void *ctx, const char *name, const float *value, const float *grad,
                        size_t n)
{
    struct probe *p = ctx;
    float *x = (float *)(uintptr_t)value;
    float *was = malloc(n * sizeof *was), *along = malloc(n * sizeof *along);
    const double length = norm_of(grad, n);

    assert_true(length > 0);
    /* the loss moves by some 0.1: large beside its rounding of 1e-5, small enough for the third derivative */
    const double h = fmin(0.05 / length, 2e-3);
    memcpy(was, value, n * sizeof *was);
    for (size_t i = 0; i < n; i++)
        along[i] = (float)((double)grad[i] / length);
    double loss[2], moved = 0;
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < n; i++)
            x[i] = was[i] + (float)(side == 0 ? h : -h) * along[i];
        changed(p->s);
        loss[side] = graded_loss(&p->s->batch, &p->s->rig, p->s->ad);
        for (size_t i = 0; i < n; i++) /* what rounding left of the step */
            moved += ((side == 0 ? 1 : -1) * ((double)x[i] - (double)was[i])) * (double)grad[i];
    }
    memcpy(x, was, n * sizeof *was);
    changed(p->s);
    const double off = fabs((loss[0] - loss[1]) / moved - 1);
    if (!(off < 2e-3))
        fail_msg("%s: along its gradient the loss changes by %.9g, expected %.9g", name,
                 loss[0] - loss[1], moved);
    p->worst = fmax(p->worst, off);
    p->n_tensors++;
    free(was);
    free(along);
}

static void along_every_tensor_s_gradient_the_loss_has_its_slope(void **state)
{
    struct setting *s = *state;
    struct probe p = {.s = s};

    clear(s);
    graded_pass(&s->batch, 0, s->batch.n_prompts, LAYOUT_SHARED, &s->rig, s->ad, true, NULL);
    each_tensor(s, check_slope, &p);
    print_message(
        "             largest difference from central differences: %.2g of the slope, %zu tensors\n",
        p.worst, p.n_tensors);
}

static void saving_memory_changes_no_bit(void **state)
{
    struct setting *s = *state;
    size_t n;
    const enum layout layouts[] = {LAYOUT_SHARED, LAYOUT_SEPARATE};

    (void)values_of(s, &n);
    for (size_t i = 0; i < COUNT_OF(layouts); i++) {
        const float *all = gradients(s, layouts[i], true), *lean = gradients(s, layouts[i], false);

        ASSERT_SAME("gradients", n, lean, all);
    }
}

static void neither_threads_nor_machine_change_a_bit(void **state)
{
    static const int threads[] = {1, 2, 3, 8};
    struct setting *s = *state;
    const struct kernels *const *all;
    const size_t n_tables = kernels_available(&all);
    const float *want = NULL;
    size_t n;

    (void)values_of(s, &n);
    for (size_t k = 0; k < n_tables; k++) {
        assert_true(ops_choose_machine(all[k]->name));
        for (size_t t = 0; t < COUNT_OF(threads); t++) {
            parallel_set_threads(threads[t]);
            const float *got = gradients(s, LAYOUT_SHARED, t % 2 == 0);
            want = want == NULL ? got : want;
            ASSERT_SAME(all[k]->name, n, got, want);
        }
    }
    parallel_set_threads(0);
    assert_true(ops_choose_machine(NULL));
}

static void a_shared_prompt_gives_the_gradient_of_separate_sequences(void **state)
{
    struct setting *s = *state;
    size_t n;
    const float *shared = gradients(s, LAYOUT_SHARED, true),
                *separate = gradients(s, LAYOUT_SEPARATE, true);

    (void)values_of(s, &n);
    assert_true(relative_difference(n, shared, separate) < 2e-6);
}

static void passes_over_parts_of_a_batch_add_up_to_the_whole(void **state)
{
    struct setting *s = *state;
    size_t n;
    const float *whole = gradients(s, LAYOUT_SHARED, true);
    double loss = 0;

    (void)values_of(s, &n);
    clear(s);
    for (size_t i = 0; i < s->batch.n_prompts; i++)
        loss += graded_pass(&s->batch, i, 1, LAYOUT_SHARED, &s->rig, s->ad, true, NULL);
    assert_true(relative_difference(n, grads_of(s), whole) < 2e-6);
    ASSERT_NEAR(loss, json_number_at(s->batch.json, "loss"), 1e-4);
    /* and once more on top: twice as much */
    graded_pass(&s->batch, 0, s->batch.n_prompts, LAYOUT_SHARED, &s->rig, s->ad, true, NULL);
    float *half = ARENA_ARRAY(&s->rig.arena, float, n);
    for (size_t i = 0; i < n; i++)
        half[i] = grads_of(s)[i] / 2;
    assert_true(relative_difference(n, half, whole) < 2e-6);
}

/* torch's AdamW with its clipping, by the kernel: the product's own optimizer is tested beside it. */
static void step(const struct setting *s, float *m, float *v, int t)
{
    const json_t *o = json_object_get(s->batch.json, "adamw");
    const double beta1 = json_number_value(json_array_get(json_object_get(o, "betas"), 0)),
                 beta2 = json_number_value(json_array_get(json_object_get(o, "betas"), 1));
    size_t n;
    float *values = values_of(s, &n);
    const double norm = norm_of(grads_of(s), n),
                 clip = fmin(1, json_number_at(o, "max_grad_norm") / (norm + 1e-6));
    const struct adamw_numbers a = {.lr = (float)json_number_at(o, "lr"),
                                    .beta1 = (float)beta1,
                                    .beta2 = (float)beta2,
                                    .eps = (float)json_number_at(o, "eps"),
                                    .wd = (float)json_number_at(o, "weight_decay"),
                                    .clip = (float)clip,
                                    .c1 = (float)(1 / (1 - pow(beta1, t))),
                                    .c2 = (float)(1 / (1 - pow(beta2, t)))};

    kernels()->adamw(n, &a, grads_of(s), m, v, values);
    changed(s);
}

/* An entry with a tiny gradient may move anywhere within the rate: a share of them, and never further. */
static void compare_values(void *ctx, const char *name, const float *value, const float *grad,
                           size_t n)
{
    struct comparison *c = ctx;
    size_t n_golden;

    (void)grad;
    if (json_object_get(c->golden.header, name) == NULL)
        return; /* not all are kept */
    const float *want = golden_floats(&c->golden, name, &n_golden);
    assert_int_equal(n, n_golden);
    c->worst = fmax(c->worst, largest_difference(n, value, want));
    c->n_tensors++;
}

static void steps_lead_where_the_reference_s_led(void **state)
{
    struct setting *s = *state;
    const json_t *steps = json_object_get(s->batch.json, "steps");
    size_t n;
    float *values = values_of(s, &n), *was = ARENA_ARRAY(&s->rig.arena, float, n);
    float *m = ARENA_ARRAY(&s->rig.arena, float, n), *v = ARENA_ARRAY(&s->rig.arena, float, n);
    char file[64];

    memcpy(was, values, n * sizeof *was);
    for (size_t k = 0; k < json_array_size(steps); k++) {
        const double norm = json_number_at(json_array_get(steps, k), "grad_norm");

        clear(s);
        const double loss = graded_pass(&s->batch, 0, s->batch.n_prompts, LAYOUT_SHARED, &s->rig,
                                        s->ad, true, NULL);
        ASSERT_NEAR(loss, json_number_at(json_array_get(steps, k), "loss"), 2e-4);
        ASSERT_NEAR(norm_of(grads_of(s), n), norm, 2e-5 * norm);
        step(s, m, v, (int)k + 1);
        if (k == 1)
            continue; /* the values after the second step are not kept */
        struct comparison c = {0};
        snprintf(file, sizeof file, "tiny/%s-step%zu.safetensors",
                 s->ad != NULL ? "adapter" : "full", k + 1);
        golden_open(&c.golden, file);
        each_tensor(s, compare_values, &c);
        assert_int_equal(c.n_tensors, json_object_size(c.golden.header));
        print_message("             largest difference of a value after %zu steps: %.2g\n", k + 1,
                      c.worst);
        assert_true(c.worst < 5e-6);
        golden_close(&c.golden);
    }
    memcpy(values, was, n * sizeof *was);
    changed(s);
}

static void a_gguf_with_its_rows_in_another_order_has_the_folder_s_gradients(void **state)
{
    struct setting *s = *state;
    struct rig other = {0};
    struct error err = {0};
    size_t n;
    const float *want = gradients(s, LAYOUT_SHARED, true);

    rig_open(&other, golden_path(&other.arena, "tiny/tiny-f32.gguf"));
    ASSERT_OK(model_unfreeze(other.model, &err));
    graded_pass(&s->batch, 0, s->batch.n_prompts, LAYOUT_SHARED, &other, NULL, true, NULL);
    (void)values_of(s, &n);
    assert_int_equal(other.model->full->n_values, n);
    ASSERT_SAME("values", n, other.model->full->values, s->rig.model->full->values);
    ASSERT_SAME("gradients", n, other.model->full->grads, want);
    rig_close(&other);
}

static void unfreezing_changes_no_bit_of_the_forward_pass(void **state)
{
    struct setting *s = *state;
    struct rig frozen;
    const struct graded_prompt *p = &s->batch.prompts[1];

    rig_open_tiny(&frozen);
    ASSERT_SAME("hidden", p->n * frozen.model->config.width, rig_read(&s->rig, NULL, p->ids, p->n),
                rig_read(&frozen, NULL, p->ids, p->n));
    rig_close(&frozen);
}

static void unfrozen_weights_are_saved_and_read_back_alike(void **state)
{
    struct setting *s = *state;
    struct arena *a = &s->rig.arena;
    struct rig again = {0};
    struct error err = {0};
    const struct graded_prompt *p = &s->batch.prompts[0];
    char *dir = test_dir_make(a);
    static const char *const rest[] = {"config.json", "tokenizer.json", "tokenizer_config.json"};
    struct dice d = {1};
    size_t n;
    float *values = values_of(s, &n), *was = ARENA_ARRAY(a, float, n);

    memcpy(was, values, n * sizeof *was);
    for (size_t i = 0; i < n; i++)
        values[i] *= dice_float(&d, 0.9f, 1.1f);
    changed(s);
    ASSERT_OK(model_full_save(s->rig.model, dir, &err));
    for (size_t i = 0; i < COUNT_OF(rest); i++) {
        struct str text;

        ASSERT_OK(file_read(golden_path(a, arena_printf(a, "tiny/hf/%s", rest[i])), 1 << 20, a,
                            &text, &err));
        ASSERT_OK(file_put(file_join(a, dir, rest[i]), text, &err));
    }
    rig_open(&again, dir);
    ASSERT_SAME("hidden", p->n * again.model->config.width, rig_read(&again, NULL, p->ids, p->n),
                rig_read(&s->rig, NULL, p->ids, p->n));
    rig_close(&again);
    test_dir_remove(dir);
    memcpy(values, was, n * sizeof *was);
    changed(s);
}

#define WITH(setup, test) cmocka_unit_test_setup_teardown(test, setup, done)

int main(void)
{
    const struct CMUnitTest adapter[] = {
        WITH(with_adapter, every_gradient_is_the_reference_s),
        WITH(with_adapter, along_every_tensor_s_gradient_the_loss_has_its_slope),
        WITH(with_adapter, saving_memory_changes_no_bit),
        WITH(with_adapter, neither_threads_nor_machine_change_a_bit),
        WITH(with_adapter, a_shared_prompt_gives_the_gradient_of_separate_sequences),
        WITH(with_adapter, passes_over_parts_of_a_batch_add_up_to_the_whole),
        WITH(with_adapter, steps_lead_where_the_reference_s_led),
    };
    const struct CMUnitTest full[] = {
        WITH(unfrozen, every_gradient_is_the_reference_s),
        WITH(unfrozen, along_every_tensor_s_gradient_the_loss_has_its_slope),
        WITH(unfrozen, saving_memory_changes_no_bit),
        WITH(unfrozen, neither_threads_nor_machine_change_a_bit),
        WITH(unfrozen, a_shared_prompt_gives_the_gradient_of_separate_sequences),
        WITH(unfrozen, passes_over_parts_of_a_batch_add_up_to_the_whole),
        WITH(unfrozen, steps_lead_where_the_reference_s_led),
        WITH(unfrozen, a_gguf_with_its_rows_in_another_order_has_the_folder_s_gradients),
        WITH(unfrozen, unfreezing_changes_no_bit_of_the_forward_pass),
        WITH(unfrozen, unfrozen_weights_are_saved_and_read_back_alike),
    };
    const int failed = cmocka_run_group_tests_name("adapter", adapter, NULL, NULL);

    return failed + cmocka_run_group_tests_name("all weights", full, NULL, NULL);
}
