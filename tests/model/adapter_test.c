/*
 * adapter_test.c - a new adapter does nothing yet, a saved one comes back bit for bit, and PEFT's files are understood.
 */
#include "base/file.h"
#include "base/sha256.h"
#include "base/size.h"
#include "model/adapter.h"
#include "model/safetensors.h"
#include "support/graded.h"
#include "support/numbers.h"
#include "text/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct setting {
    struct rig rig;
    const struct model_config *c;
    char *dir; /* goes away with the test */
};

static int open_tiny(void **state)
{
    static struct setting s;

    rig_open_tiny(&s.rig);
    s.c = &s.rig.model->config;
    s.dir = test_dir_make(&s.rig.arena);
    *state = &s;
    return 0;
}

static int close_tiny(void **state)
{
    struct setting *s = *state;

    test_dir_remove(s->dir);
    rig_close(&s->rig);
    return 0;
}

static struct adapter *new_adapter(const struct setting *s, size_t rank, uint64_t seed)
{
    struct adapter *a = NULL;
    struct error err = {0};

    ASSERT_OK(adapter_new(s->c, rank, 2 * (float)rank, seed, &a, &err));
    return a;
}

static void a_new_adapter_has_a_uniform_a_and_an_empty_b(void **state)
{
    const struct setting *s = *state;
    struct adapter *a = new_adapter(s, 8, 1);

    assert_int_equal(a->rank, 8);
    assert_true(a->alpha == 16 && a->scale == 2);
    for (size_t l = 0; l < a->n_layers; l++) {
        for (size_t p = 0; p < N_PROJECTIONS; p++) {
            const struct lora *w = &a->layers[l][p];
            const double bound = 1 / sqrt((double)w->k);
            double sum = 0, squares = 0, most = 0;
            const size_t n = 8 * w->k;

            for (size_t i = 0; i < n; i++) {
                sum += (double)w->a[i];
                squares += (double)w->a[i] * (double)w->a[i];
                most = fmax(most, fabs((double)w->a[i]));
            }
            assert_true(most <= bound && most > 0.95 * bound);
            ASSERT_NEAR(sum / (double)n, 0, 0.15 * bound);
            ASSERT_NEAR(squares / (double)n, bound * bound / 3, 0.1 * bound * bound);
            for (size_t i = 0; i < 8 * w->n; i++)
                assert_int_equal(float_bits(w->b[i]), 0);
        }
    }
    adapter_close(a);
    adapter_close(NULL);
}

static void values_lie_in_one_array_in_the_order_of_the_header(void **state)
{
    const struct setting *s = *state;
    struct adapter *a = new_adapter(s, 5, 1);
    struct error err = {0};
    const float *at = a->values;

    ASSERT_OK(adapter_want_grads(a, &err));
    for (size_t l = 0; l < s->c->n_layers; l++) {
        for (size_t p = 0; p < N_PROJECTIONS; p++) {
            const struct lora *w = &a->layers[l][p];
            size_t n, k;

            projection_shape(s->c, (enum projection)p, &n, &k);
            assert_true(w->n == n && w->k == k);
            assert_ptr_equal(w->a, at);
            assert_ptr_equal(w->b, at + 5 * k);
            assert_int_equal(w->da - a->grads, w->a - a->values);
            assert_int_equal(w->db - a->grads, w->b - a->values);
            at = w->b + 5 * n;
        }
    }
    assert_int_equal(at - a->values, a->n_values);
    for (size_t i = 0; i < a->n_values; i++)
        assert_true(a->grads[i] == 0);
    a->grads[3] = 1;
    ASSERT_OK(adapter_want_grads(a, &err)); /* has them already */
    assert_true(a->grads[3] == 1);
    adapter_close(a);
}

static void every_projection_has_the_shape_of_its_weight(void **state)
{
    const struct setting *s = *state;

    for (size_t p = 0; p < N_PROJECTIONS; p++) {
        size_t n, k;

        projection_shape(s->c, (enum projection)p, &n, &k);
        assert_int_equal(n, s->rig.model->layers[0].proj[p].n);
        assert_int_equal(k, s->rig.model->layers[0].proj[p].k);
    }
}

static void a_seed_makes_the_same_adapter_and_another_one_another(void **state)
{
    const struct setting *s = *state;
    struct adapter *a = new_adapter(s, 4, 11), *same = new_adapter(s, 4, 11),
                   *other = new_adapter(s, 4, 12);

    ASSERT_SAME("values", a->n_values, same->values, a->values);
    assert_true(first_difference(a->n_values, other->values, a->values) < a->n_values);
    /* no tensor repeats another */
    assert_true(first_difference(4 * 64, a->layers[0][PROJ_Q].a, a->layers[0][PROJ_K].a) == 0);
    assert_true(first_difference(4 * 64, a->layers[0][PROJ_Q].a, a->layers[1][PROJ_Q].a) == 0);
    adapter_close(a);
    adapter_close(same);
    adapter_close(other);
}

static void one_changed_bit_changes_the_sum(void **state)
{
    const struct setting *s = *state;
    struct adapter *a = random_adapter(s->c, 4, 1);
    char first[65], second[65];

    adapter_sha256(a, first);
    assert_string_equal(first, sha256_of(a->values, a->n_values * sizeof(float)).hex);
    assert_int_equal(strlen(first), 64);
    a->values[a->n_values - 1] = float_of_bits(float_bits(a->values[a->n_values - 1]) ^ 1);
    adapter_sha256(a, second);
    assert_string_not_equal(first, second);
    a->values[a->n_values - 1] = float_of_bits(float_bits(a->values[a->n_values - 1]) ^ 1);
    adapter_sha256(a, second);
    assert_string_equal(first, second);
    adapter_close(a);
}

static void what_is_saved_comes_back_bit_for_bit(void **state)
{
    struct setting *s = *state;
    struct adapter *a = random_adapter(s->c, 7, 3), *back = NULL;
    struct error err = {0};
    struct dice d = {1};
    char was[65], is[65];

    dice_fill(&d, WIDE, a->values, a->n_values / 2); /* any finite float at all */
    a->alpha = 11.3f;
    snprintf(a->base_name, sizeof a->base_name, "a \"quoted\" model\\");
    ASSERT_OK(adapter_save(a, s->dir, &err));
    ASSERT_OK(adapter_load(s->c, s->dir, &back, &err));
    assert_int_equal(back->rank, 7);
    assert_string_equal(back->base_name, "a \"quoted\" model\\");
    assert_true(float_same(back->alpha, 11.3f) && float_same(back->scale, 11.3f / 7));
    assert_int_equal(back->n_values, a->n_values);
    ASSERT_SAME("values", a->n_values, back->values, a->values);
    adapter_sha256(a, was);
    adapter_sha256(back, is);
    assert_string_equal(is, was);
    adapter_close(a);
    adapter_close(back);
}

static void a_loaded_adapter_computes_what_the_saved_one_did(void **state)
{
    struct setting *s = *state;
    struct adapter *a = random_adapter(s->c, 4, 5), *back = NULL;
    struct error err = {0};
    static const token_id tokens[] = {1, 87, 85, 263, 201, 48, 287, 71};
    const size_t n = COUNT_OF(tokens), c = s->c->width;

    ASSERT_OK(adapter_save(a, s->dir, &err));
    ASSERT_OK(adapter_load(s->c, s->dir, &back, &err));
    ASSERT_SAME("hidden", n * c, rig_read(&s->rig, back, tokens, n),
                rig_read(&s->rig, a, tokens, n));
    adapter_close(a);
    adapter_close(back);
}

static void values_take_effect_once_they_are_said_to_have_changed(void **state)
{
    struct setting *s = *state;
    struct adapter *a = new_adapter(s, 4, 1), *other = random_adapter(s->c, 4, 6);
    static const token_id tokens[] = {5, 6, 7};
    const size_t c = s->c->width;

    memcpy(a->values, other->values, a->n_values * sizeof(float));
    adapter_changed(a);
    ASSERT_SAME("hidden", 3 * c, rig_read(&s->rig, a, tokens, 3),
                rig_read(&s->rig, other, tokens, 3));
    adapter_close(a);
    adapter_close(other);
}

static void peft_s_own_files_give_the_reference_s_loss(void **state)
{
    struct setting *s = *state;
    struct graded batch = graded_open("tiny/adapter-batch.json", &s->rig.arena);
    struct adapter *a = NULL;
    struct error err = {0};

    ASSERT_OK(adapter_load(s->c, golden_path(&s->rig.arena, "tiny/adapter"), &a, &err));
    assert_int_equal(a->rank, 4);
    assert_true(a->alpha == 8);
    ASSERT_NEAR(graded_loss(&batch, &s->rig, a), json_number_at(batch.json, "loss"), 1e-4);
    graded_close(&batch);
    adapter_close(a);
}

static void what_we_save_has_peft_s_names_shapes_and_bytes(void **state)
{
    struct setting *s = *state;
    struct arena *arena = &s->rig.arena;
    struct adapter *a = NULL;
    struct safetensors *ours = NULL, *theirs = NULL;
    struct error err = {0};
    json_t *config = NULL;
    const char *golden = golden_path(arena, "tiny/adapter");

    ASSERT_OK(adapter_load(s->c, golden, &a, &err));
    ASSERT_OK(adapter_save(a, s->dir, &err));
    ASSERT_OK(
        safetensors_open(file_join(arena, golden, "adapter_model.safetensors"), &theirs, &err));
    ASSERT_OK(safetensors_open(file_join(arena, s->dir, "adapter_model.safetensors"), &ours, &err));
    assert_int_equal(safetensors_count(ours), safetensors_count(theirs));
    for (size_t i = 0; i < safetensors_count(theirs); i++) {
        const struct safetensor *want = safetensors_at(theirs, i),
                                *got = safetensors_find(ours, want->name);

        assert_non_null(got);
        assert_int_equal(got->dtype, want->dtype);
        assert_int_equal(got->n_dims, 2);
        assert_true(got->dims[0] == want->dims[0] && got->dims[1] == want->dims[1]);
        assert_memory_equal(got->data, want->data, got->dims[0] * got->dims[1] * sizeof(float));
    }
    ASSERT_OK(json_read_file(file_join(arena, s->dir, "adapter_config.json"), &config, &err));
    json_t *reference = golden_json("tiny/adapter/adapter_config.json");
    static const char *const keys[] = {
        "r", "peft_type", "task_type", "bias", "base_model_name_or_path", "fan_in_fan_out"};
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        assert_true(
            json_equal(json_object_get(config, keys[i]), json_object_get(reference, keys[i])));
    ASSERT_NEAR(json_number_at(config, "lora_alpha"), 8, 0);
    assert_int_equal(json_array_size(json_object_get(config, "target_modules")), N_PROJECTIONS);
    json_decref(config);
    json_decref(reference);
    safetensors_close(ours);
    safetensors_close(theirs);
    adapter_close(a);
}

/* The golden adapter's files in the test's folder, with one key of the configuration set to a JSON text (or gone). */
static void put_files(struct setting *s, const char *key, const char *json)
{
    struct arena *a = &s->rig.arena;
    struct error err = {0};
    struct str bytes;
    json_t *config = golden_json("tiny/adapter/adapter_config.json");
    char *text;

    if (json != NULL)
        json_object_set_new(config, key, json_loads(json, JSON_DECODE_ANY, NULL));
    else if (key != NULL)
        json_object_del(config, key);
    text = json_dumps(config, 0);
    ASSERT_OK(file_put(file_join(a, s->dir, "adapter_config.json"), str_of(text), &err));
    free(text);
    json_decref(config);
    ASSERT_OK(file_read(golden_path(a, "tiny/adapter/adapter_model.safetensors"), 1 << 20, a,
                        &bytes, &err));
    ASSERT_OK(file_put(file_join(a, s->dir, "adapter_model.safetensors"), bytes, &err));
}

static void a_configuration_that_means_something_else_is_refused_by_its_key(void **state)
{
    static const struct {
        const char *key, *json; /* NULL: taken away */
        enum error_kind kind;
        const char *says;
    } cases[] = {
        {"r", NULL, ERR_INVALID, "\"r\""},
        {"r", "0", ERR_INVALID, "r"},
        {"r", "5000", ERR_INVALID, "r"},
        {"r", "\"four\"", ERR_INVALID, "r"},
        {"lora_alpha", NULL, ERR_INVALID, "lora_alpha"},
        {"lora_alpha", "-1", ERR_INVALID, "lora_alpha"},
        {"use_dora", "true", ERR_UNSUPPORTED, "use_dora"},
        {"use_qalora", "true", ERR_UNSUPPORTED, "use_qalora"},
        {"fan_in_fan_out", "true", ERR_UNSUPPORTED, "fan_in_fan_out"},
        {"lora_bias", "true", ERR_UNSUPPORTED, "lora_bias"},
        {"alpha_pattern", "{\"q_proj\": 32}", ERR_UNSUPPORTED, "alpha_pattern"},
        {"rank_pattern", "{\"q_proj\": 2}", ERR_UNSUPPORTED, "rank_pattern"},
        {"modules_to_save", "[\"lm_head\"]", ERR_UNSUPPORTED, "modules_to_save"},
        {"alora_invocation_tokens", "[1, 2]", ERR_UNSUPPORTED, "alora_invocation_tokens"},
        {"layer_replication", "[[0, 2]]", ERR_UNSUPPORTED, "layer_replication"},
        {"target_parameters", "[\"x\"]", ERR_UNSUPPORTED, "target_parameters"},
        {"peft_type", "\"IA3\"", ERR_UNSUPPORTED, "peft_type"},
    };
    struct setting *s = *state;
    struct adapter *a = NULL;
    struct error err = {0};

    put_files(s, NULL, NULL);
    ASSERT_OK(adapter_load(s->c, s->dir, &a, &err)); /* as it is it loads */
    adapter_close(a);
    a = NULL;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        put_files(s, cases[i].key, cases[i].json);
        ASSERT_FAILS(adapter_load(s->c, s->dir, &a, &err), cases[i].kind, cases[i].says);
        assert_non_null(strstr(err.message, s->dir));
        assert_null(a);
    }
    static const char *const harmless[][2] = {{"alpha_pattern", "{}"},
                                              {"rank_pattern", "null"},
                                              {"modules_to_save", "[]"},
                                              {"use_dora", "false"}};
    for (size_t i = 0; i < COUNT_OF(harmless); i++) {
        put_files(s, harmless[i][0], harmless[i][1]);
        ASSERT_OK(adapter_load(s->c, s->dir, &a, &err));
        adapter_close(a);
        a = NULL;
    }
}

static void the_name_of_the_base_model_is_kept_where_there_is_one(void **state)
{
    struct setting *s = *state;
    struct arena *arena = &s->rig.arena;
    char *folder = arena_alloc(arena, 3001), *path; /* as long as a path may be */
    const char *long_path, *config = file_join(arena, s->dir, "adapter_config.json");

    memset(folder, 'x', 3000);
    folder[3000] = '\0';
    long_path = arena_printf(arena, "\"/models/%s/caf\xC3\xA9\"", folder);
    path = arena_printf(arena, "\"%s%s\"", folder, folder);
    const struct {
        const char *json, *kept; /* NULL: taken away */
    } cases[] = {{"\"someone/a-model\"", "\"someone/a-model\""},
                 {long_path, long_path},
                 {"null", "null"},
                 {NULL, "null"},
                 {"7", "null"},
                 {path, "null"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        json_t *want = json_loads(cases[i].kept, JSON_DECODE_ANY, NULL), *saved = NULL;
        struct adapter *a = NULL;
        struct error err = {0};

        put_files(s, "base_model_name_or_path", cases[i].json);
        ASSERT_OK(adapter_load(s->c, s->dir, &a, &err));
        ASSERT_OK(adapter_save(a, s->dir, &err));
        ASSERT_OK(json_read_file(config, &saved, &err));
        assert_true(json_equal(json_object_get(saved, "base_model_name_or_path"), want));
        json_decref(saved);
        json_decref(want);
        adapter_close(a);
    }
}

static void a_rank_stabilised_adapter_is_scaled_by_the_root_of_its_rank(void **state)
{
    struct setting *s = *state;
    struct adapter *a = NULL;
    struct error err = {0};

    put_files(s, "use_rslora", "true");
    ASSERT_OK(adapter_load(s->c, s->dir, &a, &err));
    ASSERT_NEAR(a->scale, 8 / sqrt(4), 1e-6);
    adapter_close(a);
}

/* The golden adapter's tensors, all of one type. */
static void put_tensors_as(struct setting *s, enum dtype t)
{
    struct arena *a = &s->rig.arena;
    struct safetensors *golden = NULL;
    struct safetensor tensors[42];
    struct error err = {0};

    put_files(s, NULL, NULL);
    ASSERT_OK(
        safetensors_open(golden_path(a, "tiny/adapter/adapter_model.safetensors"), &golden, &err));
    assert_int_equal(safetensors_count(golden), 42);
    for (size_t i = 0; i < 42; i++) {
        tensors[i] = *safetensors_at(golden, i);
        const size_t n = tensors[i].dims[0] * tensors[i].dims[1];
        uint16_t *half = ARENA_ARRAY(a, uint16_t, n);
        float x;

        for (size_t e = 0; e < n; e++) {
            memcpy(&x, (const char *)tensors[i].data + e * sizeof x, sizeof x);
            half[e] = t == DTYPE_F16 ? f32_to_f16(x) : f32_to_bf16(x);
        }
        tensors[i].dtype = t;
        tensors[i].data = half;
    }
    ASSERT_OK(safetensors_write(file_join(a, s->dir, "adapter_model.safetensors"), tensors, 42,
                                NULL, 0, &err));
    safetensors_close(golden);
}

static void halves_are_widened(void **state)
{
    static const struct {
        enum dtype type;
        double step;
    } kinds[] = {{DTYPE_F16, 0x1p-11}, {DTYPE_BF16, 0x1p-8}};
    struct setting *s = *state;
    struct adapter *whole = NULL, *halves = NULL;
    struct error err = {0};

    ASSERT_OK(adapter_load(s->c, golden_path(&s->rig.arena, "tiny/adapter"), &whole, &err));
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        put_tensors_as(s, kinds[i].type);
        ASSERT_OK(adapter_load(s->c, s->dir, &halves, &err));
        for (size_t e = 0; e < whole->n_values; e++)
            ASSERT_NEAR(halves->values[e], whole->values[e],
                        kinds[i].step * fabs((double)whole->values[e]) + 1e-7);
        assert_true(first_difference(whole->n_values, halves->values, whole->values) <
                    whole->n_values);
        adapter_close(halves);
        halves = NULL;
    }
    adapter_close(whole);
}

static void an_adapter_of_another_model_is_refused_with_both_shapes(void **state)
{
    struct setting *s = *state;
    struct model_config wider = *s->c, deeper = *s->c, fewer = *s->c;
    struct adapter *a = NULL;
    struct error err = {0};
    const char *dir = golden_path(&s->rig.arena, "tiny/adapter");

    wider.width = 80;
    ASSERT_FAILS(adapter_load(&wider, dir, &a, &err), ERR_INVALID,
                 "is 4 by 64, this model needs 4 by 80");
    deeper.n_layers = 4;
    ASSERT_FAILS(adapter_load(&deeper, dir, &a, &err), ERR_INVALID, "has 42 tensors");
    fewer.n_layers = 2;
    ASSERT_FAILS(adapter_load(&fewer, dir, &a, &err), ERR_INVALID, "has 42 tensors");
    assert_null(a);
}

static void a_tensor_under_another_name_is_missed_by_name(void **state)
{
    struct setting *s = *state;
    struct arena *arena = &s->rig.arena;
    struct adapter *a = NULL;
    struct error err = {0};
    struct str bytes;
    static const char name[] = "layers.2.mlp.up_proj.lora_B";

    put_files(s, NULL, NULL);
    char *path = file_join(arena, s->dir, "adapter_model.safetensors");
    ASSERT_OK(file_read(path, 1 << 20, arena, &bytes, &err));
    const size_t at = str_find(bytes, STR(name), 0);
    assert_true(at < bytes.len);
    char *copy = arena_text(arena, bytes);
    copy[at + 7] = '7'; /* layers.7 */
    ASSERT_OK(file_put(path, (struct str){copy, bytes.len}, &err));
    ASSERT_FAILS(adapter_load(s->c, s->dir, &a, &err), ERR_INVALID, name);
}

static void files_that_are_missing_or_broken_are_told(void **state)
{
    struct setting *s = *state;
    struct arena *arena = &s->rig.arena;
    struct adapter *a = NULL;
    struct error err = {0};

    ASSERT_FAILS(adapter_load(s->c, file_join(arena, s->dir, "nowhere"), &a, &err), ERR_NOT_FOUND,
                 "nowhere");
    put_files(s, NULL, NULL);
    ASSERT_OK(file_put(file_join(arena, s->dir, "adapter_config.json"), STR("{\"r\": "), &err));
    ASSERT_FAILS(adapter_load(s->c, s->dir, &a, &err), ERR_INVALID, "adapter_config.json");
    put_files(s, NULL, NULL);
    ASSERT_OK(file_cut(file_join(arena, s->dir, "adapter_model.safetensors"), 1000, &err));
    ASSERT_FAILS(adapter_load(s->c, s->dir, &a, &err), ERR_CORRUPT, "adapter_model.safetensors");
    assert_null(a);
    a = new_adapter(s, 2, 1);
    ASSERT_FAILS(adapter_save(a, file_join(arena, s->dir, "nowhere"), &err), ERR_NOT_FOUND,
                 "while saving the adapter");
    adapter_close(a);
}

static void a_rank_that_is_none_is_refused(void **state)
{
    const struct setting *s = *state;
    struct adapter *a = NULL;
    struct error err = {0};

    ASSERT_FAILS(adapter_new(s->c, 0, 1, 1, &a, &err), ERR_INVALID, "rank 0");
    assert_string_equal(err.param, "lora_rank");
    ASSERT_FAILS(adapter_new(s->c, 1025, 1, 1, &a, &err), ERR_INVALID, "rank 1025");
    assert_null(a);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_tiny, close_tiny)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_adapter_has_a_uniform_a_and_an_empty_b),
        TEST(values_lie_in_one_array_in_the_order_of_the_header),
        TEST(every_projection_has_the_shape_of_its_weight),
        TEST(a_seed_makes_the_same_adapter_and_another_one_another),
        TEST(one_changed_bit_changes_the_sum),
        TEST(what_is_saved_comes_back_bit_for_bit),
        TEST(a_loaded_adapter_computes_what_the_saved_one_did),
        TEST(values_take_effect_once_they_are_said_to_have_changed),
        TEST(peft_s_own_files_give_the_reference_s_loss),
        TEST(what_we_save_has_peft_s_names_shapes_and_bytes),
        TEST(a_configuration_that_means_something_else_is_refused_by_its_key),
        TEST(the_name_of_the_base_model_is_kept_where_there_is_one),
        TEST(a_rank_stabilised_adapter_is_scaled_by_the_root_of_its_rank),
        TEST(halves_are_widened),
        TEST(an_adapter_of_another_model_is_refused_with_both_shapes),
        TEST(a_tensor_under_another_name_is_missed_by_name),
        TEST(files_that_are_missing_or_broken_are_told),
        TEST(a_rank_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
