/*
 * encoder_test.c - vectors equal transformers' within 2e-6 from each form of file, whatever the machine and the thread;
 * what is no encoder of BERT's type is refused by name.
 */
#include "base/file.h"
#include "base/parallel.h"
#include "base/size.h"
#include "grade/cosine.h"
#include "model/encoder.h"
#include "model/gguf_bytes.h"
#include "support/golden.h"
#include "support/numbers.h"
#include "tensor/ops.h"
#include "text/json.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#define MAX_WIDTH 384
#define MAX_LINES 128

static struct encoder *open_golden(const char *name)
{
    struct arena a = {0};
    struct error err;
    struct encoder *e = NULL;

    ASSERT_OK(encoder_open(golden_path(&a, name), &e, &err));
    arena_release(&a);
    return e;
}

/* The lines of a .jsonl, one JSON value each; the text lives in the arena. */
static json_t *next_line(struct str *text, const char *name)
{
    struct error err;
    json_t *value = NULL;
    const size_t end = str_find(*text, STR("\n"), 0);

    if (text->len == 0)
        return NULL;
    ASSERT_OK(json_parse((struct str){text->ptr, end}, name, &value, &err));
    *text = str_from(*text, end + 1);
    return value;
}

static struct str golden_text(struct arena *a, const char *name)
{
    struct error err;
    struct str text = STR("");

    ASSERT_OK(file_read(golden_path(a, name), 1 << 20, a, &text, &err));
    return text;
}

static double dot_of(const float *a, const float *b, size_t n)
{
    double s = 0;

    for (size_t i = 0; i < n; i++)
        s += (double)a[i] * (double)b[i];
    return s;
}

/* Every line of the golden file; returns how many there were. */
static size_t check_vectors(const struct encoder *e, const char *name)
{
    struct arena a = {0};
    struct error err;
    struct str lines = golden_text(&a, name);
    const size_t width = encoder_width(e);
    float *all = ARENA_ARRAY(&a, float, (size_t)MAX_LINES *MAX_WIDTH); /* [MAX_LINES, MAX_WIDTH] */
    size_t n = 0, n_cut = 0;

    for (json_t *line; (line = next_line(&lines, name)) != NULL; n++) {
        const json_t *want = json_object_get(line, "vector"),
                     *cosines = json_object_get(line, "cosines"); /* to all lines before */
        const struct str text = json_str(json_object_get(line, "text"));
        float *v = all + n * MAX_WIDTH;
        size_t n_tokens = 0;
        bool cut = false;

        assert_true(n < MAX_LINES);
        ASSERT_OK(encoder_embed(e, text, v, &n_tokens, &cut, &err));
        assert_int_equal(n_tokens, json_integer_value(json_object_get(line, "tokens")));
        assert_int_equal(cut, json_is_true(json_object_get(line, "truncated")));
        assert_true(json_array_size(want) == (cosines == NULL ? width : 16));
        for (size_t i = 0; i < json_array_size(want); i++)
            if (fabs((double)v[i] - json_real_value(json_array_get(want, i))) > 2e-6)
                fail_msg("%s, line %zu, component %zu: %.9g, expected %.9g", name, n, i,
                         (double)v[i], json_real_value(json_array_get(want, i)));
        ASSERT_NEAR(dot_of(v, v, width), 1, 1e-6);
        assert_true(cosines == NULL || json_array_size(cosines) == n);
        for (size_t i = 0; i < json_array_size(cosines); i++) {
            const double cosine = json_number_value(json_array_get(cosines, i));

            ASSERT_NEAR(cosine_similarity(width, v, all + i * MAX_WIDTH), cosine > 0 ? cosine : 0,
                        1e-6);
        }
        n_cut += cut;
        json_decref(line);
    }
    assert_true(n_cut > 0 && n_cut < n);
    arena_release(&a);
    return n;
}

static void every_form_of_file_gives_the_reference_s_vectors(void **state)
{
    static const char *const forms[][2] = {
        {"encoder/mean", "encoder/mean.jsonl"},      {"encoder/cls", "encoder/cls.jsonl"},
        {"encoder/f32.gguf", "encoder/f32.jsonl"},   {"encoder/f16.gguf", "encoder/f16.jsonl"},
        {"encoder/q8_0.gguf", "encoder/q8_0.jsonl"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        struct encoder *e = open_golden(forms[i][0]);

        assert_int_equal(check_vectors(e, forms[i][1]), 32);
        encoder_close(e);
    }
}

static void minilm_gives_the_reference_s_vectors(void **state)
{
    static const char path[] = SOURCE_DIR "/models/all-MiniLM-L6-v2";
    struct error err;
    struct encoder *e = NULL;

    (void)state;
    if (!file_exists(path)) {
        print_message("%s is not there: scripts/embedding-model gets it\n", path);
        skip();
    }
    ASSERT_OK(encoder_open(path, &e, &err));
    assert_int_equal(encoder_width(e), 384);
    assert_int_equal(encoder_max_tokens(e), 256);
    assert_int_equal(check_vectors(e, "encoder/minilm.jsonl"), 65);
    encoder_close(e);
}

#define LONG_TEXT                                                                                  \
    "the gene explains the fever of the patient in this case, and what is the name of it?"

static void no_machine_changes_a_bit(void **state)
{
    static const char *const machines[] = {"plain", "avx2", "avx512"};
    struct encoder *const es[] = {open_golden("encoder/mean"), open_golden("encoder/cls"),
                                  open_golden("encoder/q8_0.gguf")};
    struct error err;

    (void)state;
    for (size_t k = 0; k < COUNT_OF(es); k++) {
        float want[MAX_WIDTH], got[MAX_WIDTH];

        assert_true(ops_choose_machine("plain"));
        ASSERT_OK(encoder_embed(es[k], STR(LONG_TEXT), want, NULL, NULL, &err));
        for (size_t i = 0; i < COUNT_OF(machines); i++) {
            if (!ops_choose_machine(machines[i]))
                continue;
            ASSERT_OK(encoder_embed(es[k], STR(LONG_TEXT), got, NULL, NULL, &err));
            ASSERT_SAME(machines[i], encoder_width(es[k]), got, want);
        }
        encoder_close(es[k]);
    }
    assert_true(ops_choose_machine(NULL));
}

/* Threads that embed while the pool works for another: nobody waits, and nothing changes. */
struct sharing {
    const struct encoder *e;
    const float *want;
    int n_wrong;
};

static void *embed_often(void *arg)
{
    struct sharing *s = arg;
    float got[MAX_WIDTH];

    for (int i = 0; i < 50; i++)
        if (!encoder_embed(s->e, STR(LONG_TEXT), got, NULL, NULL, NULL) ||
            first_difference(encoder_width(s->e), got, s->want) < encoder_width(s->e))
            s->n_wrong++;
    return NULL;
}

static void count_up(void *ctx, size_t unit, int thread)
{
    (void)thread;
    ((int *)ctx)[unit]++;
}

static void any_number_of_threads_may_embed_beside_the_pool(void **state)
{
    struct encoder *e = open_golden("encoder/mean");
    struct error err;
    float want[MAX_WIDTH];
    struct sharing s[4];
    pthread_t threads[COUNT_OF(s)];
    int count[64] = {0};

    (void)state;
    parallel_set_threads(3);
    ASSERT_OK(encoder_embed(e, STR(LONG_TEXT), want, NULL, NULL, &err));
    for (size_t i = 0; i < COUNT_OF(s); i++) {
        s[i] = (struct sharing){.e = e, .want = want};
        assert_int_equal(pthread_create(&threads[i], NULL, embed_often, &s[i]), 0);
    }
    for (int i = 0; i < 200; i++)
        parallel_for(COUNT_OF(count), count_up, count);
    for (size_t i = 0; i < COUNT_OF(s); i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(s[i].n_wrong, 0);
    }
    for (size_t i = 0; i < COUNT_OF(count); i++)
        assert_int_equal(count[i], 200);
    assert_int_equal(parallel_threads(), 3); /* the caller has its pool again */
    parallel_set_threads(0);
    encoder_close(e);
}

static void a_text_cannot_forge_the_end_of_itself(void **state)
{
    struct encoder *e = open_golden("encoder/mean");
    struct error err;
    float v[MAX_WIDTH];
    size_t n;

    (void)state;
    ASSERT_OK(encoder_embed(e, STR("[SEP]"), v, &n, NULL, &err));
    assert_true(n > 3); /* "[", "sep" in pieces, "]" */
    ASSERT_FAILS(encoder_embed(e, STR("a\xff"), v, &n, NULL, &err), ERR_INVALID, "not UTF-8");
    encoder_close(e);
}

/* --- folders and files that are wrong in one place */

static const char *const parts[] = {
    "config.json",           "model.safetensors", "vocab.txt",
    "tokenizer_config.json", "modules.json",      "sentence_bert_config.json",
    "1_Pooling/config.json",
};

/* A copy of encoder/cls in which one file has another text (NULL: is missing). */
static char *folder_with(struct arena *a, const char *name, const char *text)
{
    struct error err;
    char *dir = test_dir_make(a);

    ASSERT_OK(file_make_dirs(file_join(a, dir, "1_Pooling"), &err));
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        const bool other = strcmp(parts[i], name) == 0;

        if (other && text == NULL)
            continue;
        ASSERT_OK(file_put(file_join(a, dir, parts[i]),
                           other ? str_of(text)
                                 : golden_text(a, arena_printf(a, "encoder/cls/%s", parts[i])),
                           &err));
    }
    if (strchr(name, '/') == NULL && text != NULL)
        ASSERT_OK(file_put(file_join(a, dir, name), str_of(text), &err));
    return dir;
}

static void assert_folder_refused(const char *name, const char *text, enum error_kind kind,
                                  const char *says)
{
    struct arena a = {0};
    struct error err;
    struct encoder *e = NULL;
    const char *dir = folder_with(&a, name, text);

    ASSERT_FAILS(encoder_open(dir, &e, &err), kind, says);
    assert_null(e);
    test_dir_remove(dir);
    arena_release(&a);
}

/* config.json of encoder/cls with one key replaced or added. */
static char *config_with(struct arena *a, const char *key, const char *value)
{
    struct error err;
    json_t *root = NULL, *v = NULL;
    struct buf b;

    ASSERT_OK(json_parse(golden_text(a, "encoder/cls/config.json"), "config.json", &root, &err));
    if (value == NULL) {
        json_object_del(root, key);
    } else {
        ASSERT_OK(json_parse(str_of(value), "value", &v, &err));
        json_object_set_new(root, key, v);
    }
    buf_init(&b, 1 << 16);
    json_write(&b, root, NULL);
    char *text = arena_text(a, buf_view(&b));
    buf_release(&b);
    json_decref(root);
    return text;
}

static void a_config_that_is_no_encoder_s_is_refused_by_name(void **state)
{
    static const struct {
        const char *key, *value;
        enum error_kind kind;
        const char *says;
    } cases[] = {
        {"model_type", "\"llama\"", ERR_UNSUPPORTED,
         "the model is of the type \"llama\"; for embeddings an encoder of the type \"bert\" was expected"},
        {"model_type", NULL, ERR_INVALID, "\"model_type\" is"},
        {"hidden_act", "\"gelu_new\"", ERR_UNSUPPORTED,
         "\"hidden_act\" is \"gelu_new\", only \"gelu\""},
        {"position_embedding_type", "\"relative_key\"", ERR_UNSUPPORTED, "only \"absolute\""},
        {"is_decoder", "true", ERR_UNSUPPORTED, "this BERT decodes"},
        {"num_hidden_layers", NULL, ERR_INVALID, "\"num_hidden_layers\" is missing"},
        {"num_attention_heads", "null", ERR_INVALID, "\"num_attention_heads\" is null"},
        {"num_hidden_layers", "4", ERR_INVALID,
         "the tensor bert.encoder.layer.3.attention.self.query.weight is missing"},
        {"num_hidden_layers", "2", ERR_UNSUPPORTED, "16 tensors beside the 37 of a BERT encoder"},
        {"hidden_size", "\"40\"", ERR_INVALID, "hidden_size"},
        {"num_attention_heads", "7", ERR_INVALID, "7 heads do not divide the width of 40"},
        {"intermediate_size", "73", ERR_INVALID,
         "intermediate.dense.weight is 72 by 40, 73 by 40 was expected"},
        {"layer_norm_eps", "0", ERR_INVALID, "\"layer_norm_eps\" is 0"},
        {"max_position_embeddings", "1", ERR_INVALID, "no room for [CLS] and [SEP]"},
        {"vocab_size", "20", ERR_INVALID, "the model vectors for 20"},
        {"vocab_size", "1000000000", ERR_INVALID, "vocab_size"},
    };
    struct arena a = {0};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_folder_refused("config.json", config_with(&a, cases[i].key, cases[i].value),
                              cases[i].kind, cases[i].says);
    arena_release(&a);
}

static void a_folder_that_asks_for_more_is_refused_by_name(void **state)
{
    (void)state;
    assert_folder_refused("config.json", NULL, ERR_NOT_FOUND, "a folder without config.json");
    assert_folder_refused("vocab.txt", NULL, ERR_NOT_FOUND, "neither tokenizer.json nor vocab.txt");
    assert_folder_refused("model.safetensors", NULL, ERR_NOT_FOUND, "has no model.safetensors");
    assert_folder_refused("model.safetensors", "x", ERR_CORRUPT, "too few for a .safetensors file");
    assert_folder_refused("1_Pooling/config.json", "{\"pooling_mode_max_tokens\": true}",
                          ERR_UNSUPPORTED, "pooling by \"max_tokens\" is not offered");
    assert_folder_refused("1_Pooling/config.json",
                          "{\"pooling_mode_cls_token\": true, \"pooling_mode_mean_tokens\": true}",
                          ERR_UNSUPPORTED, "names 2 ways of pooling, one was expected");
    assert_folder_refused("1_Pooling/config.json", "{\"pooling_mode\": \"lasttoken\"}",
                          ERR_UNSUPPORTED, "pooling by \"lasttoken\"");
    assert_folder_refused(
        "modules.json",
        "[{\"type\": \"sentence_transformers.models.Dense\", \"path\": \"2_Dense\"}]",
        ERR_UNSUPPORTED, "the module \"sentence_transformers.models.Dense\" is not offered");
    assert_folder_refused(
        "modules.json",
        "[{\"type\": \"sentence_transformers.models.Pooling\", \"path\": \"../x\"}]", ERR_INVALID,
        "\"../x\" is no name of a folder");
    assert_folder_refused("modules.json", "{}", ERR_INVALID, "a list was expected");
    assert_folder_refused("sentence_bert_config.json", "{\"do_lower_case\": true}", ERR_UNSUPPORTED,
                          "\"do_lower_case\" is true");
    assert_folder_refused("sentence_bert_config.json", "{\"max_seq_length\": 1}", ERR_INVALID,
                          "max_seq_length");
    assert_folder_refused("tokenizer.json", "{\"model\": {\"type\": \"WordLevel\"}}",
                          ERR_UNSUPPORTED, "the model \"WordLevel\" is not offered");
}

static void what_a_folder_leaves_out_has_its_default(void **state)
{
    static const struct {
        const char *name, *text;
        size_t max_tokens;
    } cases[] = {
        {"sentence_bert_config.json", NULL, 40}, /* all positions */
        {"sentence_bert_config.json", "{\"max_seq_length\": null}", 40},
        {"sentence_bert_config.json", "{\"max_seq_length\": 512}", 40},
        {"modules.json", NULL, 24},
        {"tokenizer_config.json", NULL, 24},
        {"1_Pooling/config.json", NULL, 24},
    };
    struct arena a = {0};
    struct error err;
    float first[MAX_WIDTH], v[MAX_WIDTH];
    struct encoder *whole = open_golden("encoder/cls");

    (void)state;
    ASSERT_OK(encoder_embed(whole, STR("the fever"), first, NULL, NULL, &err));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct encoder *e = NULL;
        const char *dir = folder_with(&a, cases[i].name, cases[i].text);

        ASSERT_OK(encoder_open(dir, &e, &err));
        assert_int_equal(encoder_max_tokens(e), cases[i].max_tokens);
        ASSERT_OK(encoder_embed(e, STR("the fever"), v, NULL, NULL, &err));
        /* where nothing is said of pooling it is the mean, which is not the first token's vector */
        const bool is_first = first_difference(encoder_width(e), v, first) == encoder_width(e);
        assert_true(is_first == (i != COUNT_OF(cases) - 1));
        encoder_close(e);
        test_dir_remove(dir);
    }
    encoder_close(whole);
    arena_release(&a);
}

static void a_gguf_file_that_is_no_encoder_is_refused_by_name(void **state)
{
    struct arena a = {0};
    struct error err;
    struct encoder *e = NULL;
    char *dir = test_dir_make(&a), *path = file_join(&a, dir, "x.gguf");
    struct gguf_bytes w = gguf_bytes_new(3);

    (void)state;
    ASSERT_FAILS(
        encoder_open(golden_path(&a, "tiny/tiny-f32.gguf"), &e, &err), ERR_UNSUPPORTED,
        "the architecture \"llama\"; for embeddings an encoder of the architecture \"bert\" was expected");
    ASSERT_FAILS(encoder_open(file_join(&a, dir, "none"), &e, &err), ERR_NOT_FOUND,
                 "cannot find an embedding model at");
    gguf_bytes_put_str(gguf_bytes_key(&w, "general.architecture", GGUF_STR), STR("bert"));
    ASSERT_OK(file_put(path, gguf_bytes_finish(&w, &a), &err));
    ASSERT_FAILS(encoder_open(path, &e, &err), ERR_INVALID, "bert.block_count");
    assert_null(e);
    test_dir_remove(dir);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_of_file_gives_the_reference_s_vectors),
        cmocka_unit_test(minilm_gives_the_reference_s_vectors),
        cmocka_unit_test(no_machine_changes_a_bit),
        cmocka_unit_test(any_number_of_threads_may_embed_beside_the_pool),
        cmocka_unit_test(a_text_cannot_forge_the_end_of_itself),
        cmocka_unit_test(a_config_that_is_no_encoder_s_is_refused_by_name),
        cmocka_unit_test(a_folder_that_asks_for_more_is_refused_by_name),
        cmocka_unit_test(what_a_folder_leaves_out_has_its_default),
        cmocka_unit_test(a_gguf_file_that_is_no_encoder_is_refused_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
