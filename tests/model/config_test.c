/*
 * config_test.c - the shape of a model comes out of either file as it is, and what cannot be or is not offered is told.
 */
#include "model/config.h"
#include "model/family.h"
#include "model/gguf_bytes.h"
#include "support/golden.h"
#include "support/support.h"
#include "text/json.h"

#include <math.h>

static struct arena arena;
static struct error err;

/* --- config.json */

static const char right[] =
    "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_size\":64,"
    "\"num_hidden_layers\":3,\"num_attention_heads\":4,\"num_key_value_heads\":2,"
    "\"intermediate_size\":96,\"vocab_size\":320}";

/* The right one with members of change added, replaced, or with "drop": [...] taken away. */
static bool reads(const char *change, struct model_config *out)
{
    json_t *root = NULL, *more = NULL;
    const struct family *family = NULL;
    size_t i;
    json_t *key;

    if (!json_parse(STR(right), "right", &root, &err) ||
        !json_parse(str_of(change), "change", &more, &err))
        fail_msg("%s", err.message);
    json_object_update(root, more);
    json_array_foreach(json_object_get(more, "drop"), i, key)
        json_object_del(root, json_string_value(key));
    json_object_del(root, "drop");
    const bool ok = config_from_json(root, "m/config.json", out, &family, &err);
    assert_true(!ok || strcmp(family->name, out->family) == 0);
    json_decref(root);
    json_decref(more);
    return ok;
}

#define ASSERT_REFUSED(change, kind, text)                                                         \
    do {                                                                                           \
        struct model_config c_ = {.width = 4711};                                                  \
        ASSERT_FAILS(reads(change, &c_), kind, text);                                              \
        assert_int_equal(c_.width, 4711); /* as it was */                                          \
        if (strstr(err.message, "m/config.json") == NULL)                                          \
            fail_msg("\"%s\" does not name the file", err.message);                                \
    } while (0)

static void a_config_is_read_with_the_family_s_defaults(void **state)
{
    (void)state;
    struct model_config c;

    ASSERT_OK(reads("{}", &c));
    assert_string_equal(c.family, "llama");
    assert_int_equal(c.n_layers, 3);
    assert_int_equal(c.width, 64);
    assert_int_equal(c.n_heads, 4);
    assert_int_equal(c.n_kv_heads, 2);
    assert_int_equal(c.head_width, 16);
    assert_int_equal(c.hidden, 96);
    assert_int_equal(c.vocab, 320);
    assert_int_equal(c.context, 2048);
    assert_true(c.rms_eps == 1e-6);
    assert_true(c.rope[0].base == 10000);
    assert_false(c.tied_head);
    assert_int_equal(c.bos, -1);
    assert_int_equal(c.n_eos, 0);
    ASSERT_OK(reads("{\"drop\":[\"num_key_value_heads\",\"architectures\"]}", &c));
    assert_int_equal(c.n_kv_heads, 4);
}

/* A rotation against frequencies and, last, an attention factor. */
static void assert_rotation(const struct model_config *c, const struct rope_spec *r,
                            const json_t *want)
{
    const size_t width = config_rotary_width(c), n = width / 2;
    double *got = ARENA_ARRAY(&arena, double, n + 1);

    assert_int_equal(json_array_size(want), n + 1);
    got[n] = rope_frequencies(r, width, c->context, got);
    for (size_t i = 0; i <= n; i++) {
        const double x = json_number_value(json_array_get(want, i));

        ASSERT_NEAR(got[i], x, 2e-6 * x);
    }
}

static double or_one(double scale)
{
    return scale > 0 ? scale : 1;
}

static void assert_as_expected(const struct model_config *c, const json_t *want)
{
    const json_t *rotations = json_object_get(want, "rotations"),
                 *windows = json_object_get(want, "windows"),
                 *rotated = json_object_get(want, "rotated");
    const size_t n_rotations = json_array_size(rotations);

    for (size_t i = 0; i < n_rotations; i++)
        assert_rotation(c, &c->rope[i], json_array_get(rotations, i));
    assert_int_equal(json_array_size(windows), c->n_layers);
    for (size_t l = 0; l < c->n_layers; l++) {
        const struct layer_kind layer = c->layers[l];
        const bool is_rotated = json_integer_value(json_array_get(rotated, l)) != 0;

        assert_int_equal(layer.windowed ? c->window : 0,
                         json_integer_value(json_array_get(windows, l)));
        assert_int_equal(layer.rope, !is_rotated                         ? ROPE_NONE
                                     : layer.windowed && n_rotations > 1 ? 1
                                                                         : 0);
    }
    assert_int_equal(c->head_width, json_number_at(want, "head"));
    assert_int_equal(c->n_kv_heads, json_number_at(want, "kv_heads"));
    assert_int_equal(c->context, json_number_at(want, "context"));
    assert_true(c->rms_eps == json_number_at(want, "eps"));
    assert_int_equal(c->tied_head, json_is_true(json_object_get(want, "tied")));
    assert_int_equal(c->shares_of_all, json_is_true(json_object_get(want, "shares_of_all")));
    ASSERT_NEAR(c->attention_scale > 0 ? c->attention_scale : 1 / sqrt((double)c->head_width),
                json_number_at(want, "attention_scale"), 1e-7);
    assert_true(or_one(c->residual_scale) == json_number_at(want, "residual_scale"));
    assert_true(or_one(c->logit_divisor) == json_number_at(want, "logit_divisor"));
    assert_true(c->score_cap == json_number_at(want, "score_cap"));
    assert_true(c->logit_cap == json_number_at(want, "logit_cap"));
}

static void configs_are_understood_as_transformers_does(void **state)
{
    json_t *cases = golden_json("configs/cases.json");
    const struct family *family;
    const json_t *one;
    size_t i;

    (void)state;
    assert_true(json_array_size(cases) > 100);
    json_array_foreach(cases, i, one)
    {
        const json_t *config = json_object_get(one, "config");
        struct model_config c;

        print_message("             case %zu: %s\n", i, json_show(config).text);
        ASSERT_OK(config_from_json(config, "config.json", &c, &family, &err));
        assert_as_expected(&c, json_object_get(one, "expected"));
    }
    json_decref(cases);
}

static void what_a_config_says_beats_the_defaults(void **state)
{
    (void)state;
    struct model_config c;

    ASSERT_OK(reads(
        "{\"head_dim\":32,\"max_position_embeddings\":8192,\"rms_norm_eps\":1e-5,\"rope_theta\":5e5,"
        "\"tie_word_embeddings\":true,\"bos_token_id\":1,\"eos_token_id\":[2,0,2],\"attention_bias\":false,"
        "\"mlp_bias\":null,\"hidden_act\":\"silu\",\"rope_scaling\":null,\"partial_rotary_factor\":1.0}",
        &c));
    assert_int_equal(c.head_width, 32);
    assert_int_equal(c.context, 8192);
    assert_true(c.rms_eps == 1e-5);
    assert_true(c.rope[0].base == 5e5);
    assert_true(c.tied_head);
    assert_int_equal(c.bos, 1);
    assert_int_equal(c.n_eos, 2); /* none twice */
    assert_int_equal(c.eos[0], 2);
    assert_int_equal(c.eos[1], 0);
    ASSERT_OK(reads("{\"rope_parameters\":{\"rope_theta\":100000.0,\"rope_type\":\"default\"}}",
                    &c)); /* version 5's way */
    assert_true(c.rope[0].base == 100000);
    ASSERT_OK(reads("{\"rope_theta\":20000,\"rope_scaling\":{\"type\":\"default\"}}", &c));
    assert_true(c.rope[0].base == 20000);
}

static void a_missing_or_mistyped_key_is_named(void **state)
{
    (void)state;
    static const char *const needed[] = {"hidden_size", "num_hidden_layers", "num_attention_heads",
                                         "intermediate_size", "vocab_size"};

    for (size_t i = 0; i < COUNT_OF(needed); i++) {
        const char *missing =
            arena_printf(&arena, "\"%s\" is missing, a whole number was expected", needed[i]);
        const char *text =
            arena_printf(&arena, "\"%s\" is a string, a whole number was expected", needed[i]);
        const char *zero = arena_printf(&arena, "\"%s\" is 0, expected 1 to", needed[i]);

        ASSERT_REFUSED(arena_printf(&arena, "{\"drop\":[\"%s\"]}", needed[i]), ERR_INVALID,
                       missing);
        assert_string_equal(err.param, needed[i]);
        ASSERT_REFUSED(arena_printf(&arena, "{\"%s\":\"64\"}", needed[i]), ERR_INVALID, text);
        ASSERT_REFUSED(arena_printf(&arena, "{\"%s\":0}", needed[i]), ERR_INVALID, zero);
        ASSERT_REFUSED(arena_printf(&arena, "{\"%s\":4611686018427387904}", needed[i]), ERR_INVALID,
                       "expected 1 to");
    }
    ASSERT_REFUSED("{\"hidden_size\":null}", ERR_INVALID, "\"hidden_size\" is null");
    ASSERT_REFUSED("{\"hidden_size\":64.5}", ERR_INVALID,
                   "\"hidden_size\" is a number, a whole number was expected");
    ASSERT_REFUSED("{\"rms_norm_eps\":\"small\"}", ERR_INVALID,
                   "\"rms_norm_eps\" is a string, a number was expected");
    ASSERT_REFUSED("{\"tie_word_embeddings\":1}", ERR_INVALID,
                   "\"tie_word_embeddings\" is a number, true or false");
    ASSERT_REFUSED("{\"drop\":[\"model_type\"]}", ERR_INVALID, "\"model_type\" is missing");
    ASSERT_REFUSED("{\"rope_scaling\":7}", ERR_INVALID,
                   "\"rope_scaling\" is a number, an object or null was expected");
    ASSERT_REFUSED("{\"eos_token_id\":\"</s>\"}", ERR_INVALID,
                   "\"eos_token_id\" is \"</s>\", an id or a list of ids");
    ASSERT_REFUSED("{\"eos_token_id\":[2,null]}", ERR_INVALID,
                   "\"eos_token_id\" is [2,null], an id or a list of ids");

    json_t *list = json_array();
    const struct family *family;
    struct model_config c;
    ASSERT_FAILS(config_from_json(list, "c", &c, &family, &err), ERR_INVALID,
                 "c is a list, an object was expected");
    json_decref(list);
}

static void numbers_that_contradict_each_other_are_refused(void **state)
{
    (void)state;
    ASSERT_REFUSED("{\"num_key_value_heads\":3}", ERR_INVALID,
                   "num_key_value_heads is 3, which does not divide num_attention_heads = 4");
    ASSERT_REFUSED("{\"hidden_size\":66}", ERR_INVALID,
                   "\"num_attention_heads\" is 4, which does not divide \"hidden_size\" = 66");
    ASSERT_REFUSED("{\"head_dim\":15}", ERR_INVALID, "head_dim is 15, an even number was expected");
    ASSERT_REFUSED(
        "{\"num_attention_heads\":100000,\"num_key_value_heads\":100000,\"head_dim\":64}",
        ERR_LIMIT, "100000 heads of width 64 are wider than");
    ASSERT_REFUSED("{\"rms_norm_eps\":0}", ERR_INVALID,
                   "rms_norm_eps is 0, a number between 0 and 1");
    ASSERT_REFUSED("{\"rms_norm_eps\":-1e-5}", ERR_INVALID, "rms_norm_eps is -1e-05");
    ASSERT_REFUSED("{\"rope_theta\":0.5}", ERR_INVALID, "rope_theta is 0.5, a number of 1 or more");
    ASSERT_REFUSED("{\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":2},\"rope_parameters\":{"
                   "\"rope_type\":\"default\",\"rope_theta\":5e5}}",
                   ERR_INVALID, "but \"rope_parameters\" is another: one of them was expected");
    ASSERT_REFUSED(
        "{\"original_max_position_embeddings\":32,\"rope_scaling\":{\"rope_type\":\"yarn\","
        "\"factor\":2,\"original_max_position_embeddings\":64}}",
        ERR_INVALID, "is 32, but 64 in the rope scaling: one was expected");
    ASSERT_REFUSED("{\"model_type\":\"gemma3_text\",\"drop\":[\"architectures\"],"
                   "\"rope_parameters\":{\"rope_theta\":5e4}}",
                   ERR_INVALID, "\"full_attention\" was expected in it");
    ASSERT_REFUSED("{\"model_type\":\"smollm3\",\"drop\":[\"architectures\"],"
                   "\"no_rope_layers\":[1,true,0]}",
                   ERR_INVALID, "\"no_rope_layers\"[1] is true, 0 or 1 was expected");
    ASSERT_REFUSED("{\"eos_token_id\":320}", ERR_INVALID,
                   "\"eos_token_id\" is 320, an id from 0 to 319 was expected");
    ASSERT_REFUSED("{\"eos_token_id\":-1}", ERR_INVALID,
                   "\"eos_token_id\" is -1, an id from 0 to 319 was expected");
    ASSERT_REFUSED("{\"bos_token_id\":320}", ERR_INVALID,
                   "\"bos_token_id\" is 320, expected -1 to 319");
    ASSERT_REFUSED("{\"eos_token_id\":[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}", ERR_LIMIT,
                   "\"eos_token_id\" is one more than the 16 ids that may end an answer");
}

static void what_is_not_offered_is_refused_by_name(void **state)
{
    (void)state;
    ASSERT_REFUSED("{\"model_type\":\"mamba\"}", ERR_UNSUPPORTED,
                   "\"model_type\" is \"mamba\", which is not supported; these are: llama");
    assert_string_equal(err.param, "model_type");
    ASSERT_REFUSED("{\"architectures\":[\"LlamaForSequenceClassification\"]}", ERR_UNSUPPORTED,
                   "\"architectures\" is [\"LlamaForSequenceClassification\"]");
    ASSERT_REFUSED("{\"attention_bias\":true}", ERR_UNSUPPORTED,
                   "\"attention_bias\" is true, only false is supported");
    ASSERT_REFUSED("{\"mlp_bias\":true}", ERR_UNSUPPORTED,
                   "\"mlp_bias\" is true, only false is supported");
    ASSERT_REFUSED("{\"hidden_act\":\"gelu\"}", ERR_UNSUPPORTED,
                   "\"hidden_act\" is \"gelu\", only \"silu\" is supported");
    ASSERT_REFUSED("{\"partial_rotary_factor\":0.5}", ERR_UNSUPPORTED,
                   "\"partial_rotary_factor\" is 0.5");
    ASSERT_REFUSED("{\"sliding_window\":4096}", ERR_UNSUPPORTED,
                   "\"sliding_window\" is 4096, only null is supported");
    ASSERT_REFUSED(
        "{\"quantization_config\":{\"quant_method\":\"gptq\"}}", ERR_UNSUPPORTED,
        "\"quantization_config\" is {\"quant_method\":\"gptq\"}, only null is supported");
    ASSERT_REFUSED(
        "{\"rope_scaling\":{\"rope_type\":\"dynamic\",\"factor\":8.0}}", ERR_UNSUPPORTED,
        "\"rope_scaling\" is {\"rope_type\":\"dynamic\",\"factor\":8.0}: this rope scaling is not supported");
    ASSERT_REFUSED("{\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8.0}}", ERR_INVALID,
                   "\"low_freq_factor\" of the rope scaling is nothing, a number was expected");
    ASSERT_REFUSED("{\"rope_scaling\":{\"factor\":8.0}}", ERR_UNSUPPORTED,
                   "this rope scaling is not supported");
    ASSERT_REFUSED("{\"rope_parameters\":{\"rope_type\":\"yarn\"}}", ERR_INVALID,
                   "\"factor\" of the rope scaling is nothing, a number was expected");
    ASSERT_REFUSED("{\"rope_parameters\":{\"partial_rotary_factor\":0.25}}", ERR_UNSUPPORTED,
                   "a partial rotation");
    ASSERT_REFUSED("{\"rope_parameters\":{\"full_attention\":{\"rope_theta\":5.0}}}",
                   ERR_UNSUPPORTED, "\"rope_parameters\" has rotations for kinds of layers");
#define OF(family) "\"model_type\":\"" family "\",\"drop\":[\"architectures\"],"
    ASSERT_REFUSED("{" OF("smollm3") "\"use_sliding_window\":true,\"sliding_window\":9}",
                   ERR_UNSUPPORTED, "\"sliding_window\" is 9, only null is supported");
    ASSERT_REFUSED("{" OF("olmo2") "\"sliding_window\":9}", ERR_UNSUPPORTED,
                   "\"sliding_window\" is 9, only null is supported");
    ASSERT_REFUSED("{" OF("gemma2") "\"sliding_window_pattern\":3}", ERR_UNSUPPORTED,
                   "\"sliding_window_pattern\" is 3, only 2 is supported");
    ASSERT_REFUSED("{" OF("olmo3") "\"rope_parameters\":{\"sliding_attention\":{"
                                   "\"partial_rotary_factor\":0.5},\"full_attention\":{}}}",
                   ERR_UNSUPPORTED, "a partial rotation");
}

/* --- GGUF keys */

/* A right file of an architecture, without the key named by without, for more keys to be added. */
static struct gguf_bytes keys_of(const char *arch, const char *without)
{
    static const struct {
        const char *key;
        uint32_t value;
    } numbers[] = {{"block_count", 3},          {"embedding_length", 64},
                   {"feed_forward_length", 96}, {"context_length", 512},
                   {"attention.head_count", 4}, {"attention.head_count_kv", 2}};
    const char *eps = arena_printf(&arena, "%s.attention.layer_norm_rms_epsilon", arch);
    struct gguf_bytes w = gguf_bytes_new(3);

    if (strcmp(without, "general.architecture") != 0)
        gguf_bytes_text(&w, "general.architecture", arch);
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        const char *key = arena_printf(&arena, "%s.%s", arch, numbers[i].key);

        if (strcmp(without, key) != 0)
            gguf_bytes_u32(&w, key, numbers[i].value);
    }
    if (strcmp(without, eps) != 0)
        gguf_bytes_f32(&w, eps, 1e-5f);
    if (strcmp(without, "token_embd.weight") != 0)
        gguf_bytes_tensor(&w, "token_embd.weight", 0, 2, (uint64_t[]){64, 320}, 64 * 320 * 4);
    return w;
}

static struct gguf_bytes keys_but(const char *without)
{
    return keys_of("llama", without);
}

static bool reads_gguf(struct gguf_bytes *w, struct model_config *out)
{
    const struct str file = gguf_bytes_finish(w, &arena);
    const struct family *family = NULL;
    struct gguf *g = NULL;

    if (!gguf_open_bytes(file.ptr, file.len, "m.gguf", &g, &err))
        fail_msg("%s", err.message);
    const bool ok = config_from_gguf(g, out, &family, &err);
    assert_true(!ok || strcmp(family->name, out->family) == 0);
    gguf_close(g);
    return ok;
}

#define ASSERT_GGUF_REFUSED(w, kind, text)                                                         \
    do {                                                                                           \
        struct model_config c_ = {.width = 4711};                                                  \
        ASSERT_FAILS(reads_gguf(&(w), &c_), kind, text);                                           \
        assert_int_equal(c_.width, 4711);                                                          \
        if (strstr(err.message, "m.gguf") == NULL)                                                 \
            fail_msg("\"%s\" does not name the file", err.message);                                \
    } while (0)

static void gguf_s_keys_are_read(void **state)
{
    (void)state;
    struct gguf_bytes w = keys_but("");
    struct model_config c;

    ASSERT_OK(reads_gguf(&w, &c));
    assert_string_equal(c.family, "llama");
    assert_int_equal(c.n_layers, 3);
    assert_int_equal(c.width, 64);
    assert_int_equal(c.n_heads, 4);
    assert_int_equal(c.n_kv_heads, 2);
    assert_int_equal(c.head_width, 16);
    assert_int_equal(c.hidden, 96);
    assert_int_equal(c.vocab, 320); /* the embedding's rows */
    assert_int_equal(c.context, 512);
    ASSERT_NEAR(c.rms_eps, 1e-5, 1e-11);
    assert_true(c.rope[0].base == 10000);
    assert_true(c.tied_head); /* there is no output.weight */
    assert_int_equal(c.bos, -1);
    assert_false(c.add_bos);
    assert_int_equal(c.n_eos, 0);

    w = keys_but("llama.attention.head_count_kv");
    gguf_bytes_u32(&w, "llama.attention.key_length", 32);
    gguf_bytes_u32(&w, "llama.attention.value_length", 32);
    gguf_bytes_u32(&w, "llama.rope.dimension_count", 32);
    gguf_bytes_f32(&w, "llama.rope.freq_base", 5e5f);
    gguf_bytes_text(&w, "llama.rope.scaling.type", "none");
    gguf_bytes_f32(&w, "llama.rope.scaling.factor", 1);
    gguf_bytes_u32(&w, "tokenizer.ggml.bos_token_id", 1);
    gguf_bytes_u32(&w, "tokenizer.ggml.eos_token_id", 2);
    gguf_bytes_u32(&w, "tokenizer.ggml.eot_token_id", 4);
    gguf_bytes_u32(&w, "tokenizer.ggml.eom_token_id", 2);
    gguf_bytes_bool(&w, "tokenizer.ggml.add_bos_token", 1);
    gguf_bytes_tensor(&w, "output.weight", 0, 2, (uint64_t[]){64, 320}, 64 * 320 * 4);
    ASSERT_OK(reads_gguf(&w, &c));
    assert_int_equal(c.n_kv_heads, 4);
    assert_int_equal(c.head_width, 32);
    assert_true(c.rope[0].base == 5e5);
    assert_false(c.tied_head);
    assert_int_equal(c.bos, 1);
    assert_true(c.add_bos);
    assert_int_equal(c.n_eos, 2);
    assert_int_equal(c.eos[0], 2);
    assert_int_equal(c.eos[1], 4);
}

static void tokenizers_that_begin_with_bos_do_unless_told_otherwise(void **state)
{
    static const struct {
        const char *model, *pre;
        bool begins;
    } kinds[] = {{"gpt2", "llama-bpe", true},
                 {"gpt2", "tekken", true},
                 {"llama", "default", true}, /* SentencePiece's */
                 {"gpt2", "qwen2", false}};
    struct model_config c;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        for (int told = 0; told < 2; told++) {
            struct gguf_bytes w = keys_but("");

            gguf_bytes_text(&w, "tokenizer.ggml.model", kinds[i].model);
            gguf_bytes_text(&w, "tokenizer.ggml.pre", kinds[i].pre);
            gguf_bytes_u32(&w, "tokenizer.ggml.bos_token_id", 1);
            if (told)
                gguf_bytes_bool(&w, "tokenizer.ggml.add_bos_token", !kinds[i].begins);
            ASSERT_OK(reads_gguf(&w, &c));
            assert_int_equal(c.add_bos, kinds[i].begins != told);
        }
    }
}

/* Where transformers' classes have other values than llama.cpp, each counts for its own files. */
static void where_gguf_is_silent_llama_cpp_s_values_count(void **state)
{
    struct gguf_bytes w = keys_of("gemma3", "");
    struct model_config c;

    (void)state;
    ASSERT_OK(reads_gguf(&w, &c));
    assert_true(c.rope[0].base == 10000 && c.rope[1].base == 10000);
    assert_int_equal(c.window, 0);
    w = keys_of("gemma2", "");
    ASSERT_OK(reads_gguf(&w, &c));
    assert_int_equal(c.window, 4096);
    assert_true(c.layers[0].windowed && !c.layers[1].windowed);
    assert_true(c.score_cap == 50 && c.logit_cap == 30);
}

static void a_missing_or_mistyped_key_of_gguf_is_named(void **state)
{
    (void)state;
    static const char *const needed[] = {"general.architecture",
                                         "llama.block_count",
                                         "llama.embedding_length",
                                         "llama.feed_forward_length",
                                         "llama.context_length",
                                         "llama.attention.head_count",
                                         "llama.attention.layer_norm_rms_epsilon"};
    struct gguf_bytes w;

    for (size_t i = 0; i < COUNT_OF(needed); i++) {
        const char *missing = arena_printf(&arena, "the key %s is missing", needed[i]);

        w = keys_but(needed[i]);
        ASSERT_GGUF_REFUSED(w, ERR_INVALID, missing);
        w = keys_but(needed[i]);
        gguf_bytes_array(&w, needed[i], GGUF_I32, 0);
        ASSERT_GGUF_REFUSED(w, ERR_INVALID, "is of type array of i32");
        assert_string_equal(err.param, needed[i]);
    }
    w = keys_but("llama.block_count");
    gguf_bytes_u32(&w, "llama.block_count", 100000);
    ASSERT_GGUF_REFUSED(w, ERR_INVALID, "the key llama.block_count is 100000, expected 1 to 512");
    w = keys_but("token_embd.weight");
    ASSERT_GGUF_REFUSED(w, ERR_INVALID, "the tensor token_embd.weight is missing");
}

static void numbers_of_gguf_that_contradict_each_other_are_refused(void **state)
{
    (void)state;
    struct gguf_bytes w = keys_but("llama.attention.head_count_kv");

    gguf_bytes_u32(&w, "llama.attention.head_count_kv", 3);
    ASSERT_GGUF_REFUSED(
        w, ERR_INVALID,
        "llama.attention.head_count_kv is 3, which does not divide llama.attention.head_count = 4");
    w = keys_but("llama.embedding_length");
    gguf_bytes_u32(&w, "llama.embedding_length", 66);
    ASSERT_GGUF_REFUSED(w, ERR_INVALID,
                        "head_count is 4, which does not divide llama.embedding_length = 66");
    w = keys_but("");
    gguf_bytes_u32(&w, "tokenizer.ggml.eos_token_id", 320);
    ASSERT_GGUF_REFUSED(w, ERR_INVALID,
                        "the key tokenizer.ggml.eos_token_id is 320, expected 0 to 319");
    w = keys_but("");
    gguf_bytes_u32(&w, "tokenizer.ggml.bos_token_id", ~0u);
    ASSERT_GGUF_REFUSED(w, ERR_INVALID, "the key tokenizer.ggml.bos_token_id is 4294967295");
}

static void what_is_not_offered_in_gguf_is_refused_by_name(void **state)
{
    (void)state;
    struct gguf_bytes w = keys_but("general.architecture");

    gguf_bytes_text(&w, "general.architecture", "mamba");
    ASSERT_GGUF_REFUSED(
        w, ERR_UNSUPPORTED,
        "general.architecture is \"mamba\", which is not supported; these are: llama");
    w = keys_but("");
    gguf_bytes_text(&w, "llama.rope.scaling.type", "ntk");
    ASSERT_GGUF_REFUSED(w, ERR_UNSUPPORTED,
                        "llama.rope.scaling.type is \"ntk\": this rope scaling is not supported");
    w = keys_but("");
    gguf_bytes_text(&w, "llama.rope.scaling.type", "yarn");
    ASSERT_GGUF_REFUSED(w, ERR_INVALID, "llama.rope.scaling.factor");
    w = keys_but("");
    gguf_bytes_f32(&w, "llama.rope.scaling.factor", -8);
    ASSERT_GGUF_REFUSED(w, ERR_INVALID,
                        "llama.rope.scaling.factor is -8, a number above 0 was expected");
    w = keys_but("");
    gguf_bytes_u32(&w, "llama.expert_count", 8);
    ASSERT_GGUF_REFUSED(w, ERR_UNSUPPORTED, "llama.expert_count is 8");
    w = keys_but("");
    gguf_bytes_bool(&w, "llama.attention.causal", 0);
    ASSERT_GGUF_REFUSED(w, ERR_UNSUPPORTED,
                        "llama.attention.causal is false, only true is supported");
    w = keys_but("");
    gguf_bytes_array(&w, "llama.attention.sliding_window", GGUF_U32, 0);
    ASSERT_GGUF_REFUSED(w, ERR_UNSUPPORTED,
                        "llama.attention.sliding_window is an array, only 0 is supported");
    w = keys_but("");
    gguf_bytes_u32(&w, "llama.rope.dimension_count", 8);
    ASSERT_GGUF_REFUSED(
        w, ERR_UNSUPPORTED,
        "llama.rope.dimension_count is 8; only the width of keys, 16, is supported");
    for (uint32_t width = 15; width <= 18; width += 3) { /* odd, wider than a head */
        w = keys_of("phi3", "");
        gguf_bytes_u32(&w, "phi3.rope.dimension_count", width);
        ASSERT_GGUF_REFUSED(w, ERR_UNSUPPORTED, "phi3.rope.dimension_count is 1");
    }
    w = keys_of("gemma3", "");
    gguf_bytes_u32(&w, "gemma3.attention.sliding_window", 4);
    buf_put(gguf_bytes_array(&w, "gemma3.attention.sliding_window_pattern", GGUF_BOOL, 2), "\1\0",
            2);
    ASSERT_GGUF_REFUSED(w, ERR_INVALID, "sliding_window_pattern has 2 entries, 3 were expected");
    w = keys_but("");
    gguf_bytes_u32(&w, "llama.attention.value_length", 8);
    ASSERT_GGUF_REFUSED(w, ERR_UNSUPPORTED,
                        "llama.attention.value_length is 8; only the width of keys, 16");
}

/* A mixture of so many experts, and what else it says. */
#define MOE(n, of, more)                                                                           \
    "{\"model_type\":\"qwen3_moe\",\"drop\":[\"architectures\"],\"num_experts\":" #of              \
    ",\"num_experts_per_tok\":" #n ",\"moe_intermediate_size\":48" more "}"

static void experts_are_read_and_bounded(void **state)
{
    struct model_config c;

    (void)state;
    ASSERT_OK(reads(MOE(2, 8, ""), &c));
    assert_int_equal(c.n_experts, 8);
    assert_int_equal(c.n_chosen, 2);
    assert_int_equal(c.hidden, 48);
    assert_int_equal(config_inner_width(&c), 96);
    assert_true(c.shares_of_all);
    ASSERT_OK(reads(MOE(2, 8, ",\"norm_topk_prob\":true"), &c));
    assert_false(c.shares_of_all);
    ASSERT_REFUSED(MOE(9, 8, ""), ERR_INVALID, "\"num_experts_per_tok\" is 9, expected 1 to 8");
    ASSERT_REFUSED(MOE(2, 1025, ""), ERR_INVALID, "\"num_experts\" is 1025, expected 1 to 1024");
    ASSERT_REFUSED(MOE(2, 8, ",\"mlp_only_layers\":[1]"), ERR_UNSUPPORTED,
                   "\"mlp_only_layers\" is [1], only [] is supported: there are no layers without");
    ASSERT_REFUSED(MOE(2, 8, ",\"decoder_sparse_step\":2"), ERR_UNSUPPORTED,
                   "\"decoder_sparse_step\" is 2, only 1 is supported");
}

static void queries_that_grow_need_a_span(void **state)
{
    struct model_config c;

    (void)state;
#define MINISTRAL3 "\"model_type\":\"ministral3\",\"drop\":[\"architectures\",\"rope_theta\"],"
    ASSERT_OK(
        reads("{" MINISTRAL3
              "\"rope_parameters\":{\"rope_type\":\"yarn\",\"factor\":4.0,\"rope_theta\":1000.0,"
              "\"original_max_position_embeddings\":32,\"llama_4_scaling_beta\":0.1}}",
              &c));
    assert_true(c.query_growth == 0.1 && c.query_span == 32);
    ASSERT_REFUSED("{" MINISTRAL3
                   "\"rope_parameters\":{\"rope_theta\":1000.0,\"rope_type\":\"default\","
                   "\"llama_4_scaling_beta\":0.1}}",
                   ERR_INVALID, "\"original_max_position_embeddings\" is 0; beside");
    ASSERT_REFUSED("{" MINISTRAL3 "\"rope_parameters\":null}", ERR_INVALID,
                   "\"rope_parameters\" is null, an object was expected");
}

static int release(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_config_is_read_with_the_family_s_defaults),
        cmocka_unit_test(configs_are_understood_as_transformers_does),
        cmocka_unit_test(what_a_config_says_beats_the_defaults),
        cmocka_unit_test(a_missing_or_mistyped_key_is_named),
        cmocka_unit_test(numbers_that_contradict_each_other_are_refused),
        cmocka_unit_test(what_is_not_offered_is_refused_by_name),
        cmocka_unit_test(gguf_s_keys_are_read),
        cmocka_unit_test(tokenizers_that_begin_with_bos_do_unless_told_otherwise),
        cmocka_unit_test(where_gguf_is_silent_llama_cpp_s_values_count),
        cmocka_unit_test(a_missing_or_mistyped_key_of_gguf_is_named),
        cmocka_unit_test(numbers_of_gguf_that_contradict_each_other_are_refused),
        cmocka_unit_test(what_is_not_offered_in_gguf_is_refused_by_name),
        cmocka_unit_test(experts_are_read_and_bounded),
        cmocka_unit_test(queries_that_grow_need_a_span),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
