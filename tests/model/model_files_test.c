/*
 * model_files_test.c - a model is the same whichever form it has, and what is no model is told for what it is.
 */
#include "base/file.h"
#include "base/sha256.h"
#include "model/gguf_bytes.h"
#include "model/model_files.h"
#include "model/safetensors.h"
#include "support/support.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static struct arena arena;
static struct error err;
static char *dir; /* a fresh one for each test */

static int make_dir(void **state)
{
    (void)state;
    dir = test_dir_make(&arena);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    test_dir_remove(dir);
    arena_release(&arena);
    return 0;
}

static struct model_files *open_golden(const char *name)
{
    struct model_files *f = NULL;

    ASSERT_OK(model_files_open(golden_path(&arena, name), &f, &err));
    return f;
}

#define ASSERT_REFUSED(path, kind, text)                                                           \
    do {                                                                                           \
        struct model_files *f_ = NULL;                                                             \
        ASSERT_FAILS(model_files_open(path, &f_, &err), kind, text);                               \
        assert_null(f_);                                                                           \
    } while (0)

/* --- the same model in every form */

static void the_config_is_the_same_in_every_form(void **state)
{
    (void)state;
    static const char *const names[] = {"tiny/hf",
                                        "tiny/hf-bf16-sharded",
                                        "tiny/tiny-f32.gguf",
                                        "tiny/tiny-f16.gguf",
                                        "tiny/tiny-q8_0.gguf",
                                        "tiny/tiny-q4_0.gguf",
                                        "tiny/tiny-q4_1.gguf"};

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct model_files *f = open_golden(names[i]);
        const struct model_config *c = model_files_config(f);

        assert_string_equal(c->family, "llama");
        assert_int_equal(c->n_layers, 3);
        assert_int_equal(c->width, 64);
        assert_int_equal(c->n_heads, 4);
        assert_int_equal(c->n_kv_heads, 2);
        assert_int_equal(c->head_width, 16);
        assert_int_equal(c->hidden, 96);
        assert_int_equal(c->vocab, 320);
        assert_int_equal(c->context, 512);
        ASSERT_NEAR(c->rms_eps, 1e-5, 1e-11);
        assert_true(c->rope[0].base == 100000);
        assert_true(c->tied_head);
        assert_int_equal(c->bos, 1);
        assert_false(c->add_bos);
        assert_int_equal(c->n_eos, 2);
        assert_int_equal(c->eos[0], 2); /* <|im_end|>, as every file says */
        assert_int_equal(c->eos[1], 0); /* <|endoftext|>, as the vocabulary does */
        assert_int_equal(tokenizer_size(model_files_tokenizer(f)), 320);
        assert_true(str_starts(model_files_template(f), STR("{% for message in messages %}")));
        assert_int_equal(model_files_template(f).len, 198);
        model_files_close(f);
    }
    model_files_close(NULL);
}

/* Row by row in the order of the views; bound is relative to the largest entry of the row, 0 for equal bits. */
static void assert_same_weights(const char *name, float bound)
{
    struct model_files *want = open_golden("tiny/hf"), *got = open_golden(name);
    float a[96], b[96];

    for (int w = 0; w < N_WEIGHT_NAMES; w++) {
        for (size_t layer = 0; layer < 3; layer++) {
            const struct matrix_view x = model_files_weight(want, (enum weight_name)w, layer);
            const struct matrix_view y = model_files_weight(got, (enum weight_name)w, layer);

            assert_int_equal(x.rows, y.rows);
            assert_int_equal(x.cols, y.cols);
            if (w == W_HEAD) {
                assert_null(x.data);
                assert_null(y.data);
                continue;
            }
            for (size_t row = 0; row < x.rows; row++) {
                float most = 0;

                dtype_to_f32(x.dtype, matrix_row(&x, row), x.cols, a);
                dtype_to_f32(y.dtype, matrix_row(&y, row), y.cols, b);
                if (bound == 0) {
                    assert_memory_equal(a, b, x.cols * sizeof *a);
                    continue;
                }
                for (size_t i = 0; i < x.cols; i++)
                    most = fmaxf(most, fabsf(a[i]));
                for (size_t i = 0; i < x.cols; i++)
                    ASSERT_NEAR(b[i], a[i], bound * most);
            }
        }
    }
    model_files_close(want);
    model_files_close(got);
}

static void weights_are_in_hugging_face_s_row_order_in_every_form(void **state)
{
    (void)state;
    assert_same_weights("tiny/tiny-f32.gguf", 0);
    assert_same_weights("tiny/tiny-f16.gguf", 0x1p-11f);
    assert_same_weights("tiny/hf-bf16-sharded", 0x1p-8f);
    assert_same_weights("tiny/tiny-q8_0.gguf", 0.005f);
    assert_same_weights("tiny/tiny-q4_1.gguf", 0.08f);
    assert_same_weights("tiny/tiny-q4_0.gguf", 0.14f);
}

static void only_q_and_k_of_gguf_are_reordered(void **state)
{
    (void)state;
    struct model_files *f = open_golden("tiny/tiny-f32.gguf"), *hf = open_golden("tiny/hf");

    for (int w = 0; w < N_WEIGHT_NAMES; w++) {
        const struct matrix_view x = model_files_weight(f, (enum weight_name)w, 1);

        assert_int_equal(x.row_order != NULL, w == W_Q || w == W_K);
        assert_null(model_files_weight(hf, (enum weight_name)w, 1).row_order);
    }
    const uint32_t *order = model_files_weight(f, W_Q, 2).row_order;
    assert_int_equal(order[0], 0); /* D = 16: the first half's 0, 1, ... */
    assert_int_equal(order[1], 2);
    assert_int_equal(order[8], 1); /* the second half's 0 */
    assert_int_equal(order[15], 15);
    assert_int_equal(order[16 + 1], 16 + 2); /* the next head */
    model_files_close(f);
    model_files_close(hf);
}

static void weights_have_hugging_face_s_names(void **state)
{
    (void)state;
    char name[96];
    struct safetensors *s = NULL;
    size_t n = 0;

    weight_hf_name(W_Q, 3, name);
    assert_string_equal(name, "model.layers.3.self_attn.q_proj");
    weight_hf_name(W_HEAD, 0, name);
    assert_string_equal(name, "lm_head");
    ASSERT_OK(safetensors_open(golden_path(&arena, "tiny/hf/model.safetensors"), &s, &err));
    for (int w = 0; w < W_Q_BIAS; w++) { /* what follows a Llama has not */
        for (size_t layer = 0; layer < (w < W_ATTN_NORM ? 1 : 3); layer++) {
            weight_hf_name((enum weight_name)w, layer, name);
            n += safetensors_find(s, arena_printf(&arena, "%s.weight", name)) != NULL;
        }
    }
    assert_int_equal(n, safetensors_count(s)); /* each name is one of the file's */
    safetensors_close(s);
}

static void the_sum_is_that_of_the_weights_files(void **state)
{
    (void)state;
    static const char *const names[] = {"tiny/tiny-q8_0.gguf", "tiny/hf"};
    char sum[65], again[65];
    struct str one, two;

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const char *file = i == 0 ? names[i] : "tiny/hf/model.safetensors";
        struct model_files *f = open_golden(names[i]);

        ASSERT_OK(file_read(golden_path(&arena, file), 1 << 24, &arena, &one, &err));
        ASSERT_OK(model_files_sha256(f, sum, &err));
        ASSERT_OK(model_files_sha256(f, again, &err));
        assert_string_equal(sum, sha256_of(one.ptr, one.len).hex);
        assert_string_equal(sum, again);
        model_files_close(f);
    }
    struct model_files *f = open_golden("tiny/hf-bf16-sharded");
    ASSERT_OK(
        file_read(golden_path(&arena, "tiny/hf-bf16-sharded/model-00001-of-00002.safetensors"),
                  1 << 24, &arena, &one, &err));
    ASSERT_OK(
        file_read(golden_path(&arena, "tiny/hf-bf16-sharded/model-00002-of-00002.safetensors"),
                  1 << 24, &arena, &two, &err));
    const char *both = arena_alloc(&arena, one.len + two.len);
    memcpy((char *)(uintptr_t)both, one.ptr, one.len);
    memcpy((char *)(uintptr_t)both + one.len, two.ptr, two.len);
    ASSERT_OK(model_files_sha256(f, sum, &err));
    assert_string_equal(sum, sha256_of(both, one.len + two.len).hex);
    model_files_close(f);
}

/* --- what is no model */

static const char *put(const char *name, struct str bytes)
{
    const char *path = file_join(&arena, dir, name);

    ASSERT_OK(file_put(path, bytes, &err));
    return path;
}

static void a_path_that_leads_nowhere_is_told(void **state)
{
    (void)state;
    ASSERT_REFUSED("no/such/model.gguf", ERR_NOT_FOUND,
                   "cannot find a model at no/such/model.gguf: No such file");
    ASSERT_REFUSED(dir, ERR_NOT_FOUND, "is a folder without config.json");
    put("some.gguf", STR("GGUF"));
    ASSERT_REFUSED(dir, ERR_NOT_FOUND, "it has some.gguf, which may be given instead");
    ASSERT_REFUSED("/dev/null", ERR_INVALID, "/dev/null is not a file");
}

static void what_is_not_gguf_is_told_for_what_it_looks_like(void **state)
{
    (void)state;
    static const struct {
        struct str bytes;
        const char *text;
    } cases[] = {
        {{"", 0}, "is empty"},
        {{"GG", 2}, "begins with \"GG\""},
        {{"hello, world", 12}, "is not a GGUF file: it begins with \"hello, w\""},
        {{"\0\1\2\3\4\5\6\7\10", 9}, "begins with \"\\x00\\x01\\x02\\x03\\x04\\x05\\x06\\x07\""},
        {{"PK\3\4....", 8}, "begins with \"PK\\x03\\x04....\" and looks like a zip archive"},
        {{"version https://git-lfs.github.com/spec/v1\n", 43}, "looks like a Git LFS pointer"},
        {{"\x1f\x8b\10\0", 4}, "looks like compressed by gzip"},
        {{"<!DOCTYPE html>", 15}, "looks like a web page"},
        {{"{\"model_type\": 1}", 17}, "looks like JSON; if it belongs to a model's folder"},
        {{"tjgg\3\0\0\0", 8}, "looks like llama.cpp's format before GGUF"},
        {{"\20\0\0\0\0\0\0\0{\"a\":1}", 15}, "looks like a .safetensors file; give the folder"},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++)
        ASSERT_REFUSED(put("x.gguf", cases[i].bytes), ERR_CORRUPT, cases[i].text);
}

static void a_truncated_gguf_is_refused_wherever_it_ends(void **state)
{
    (void)state;
    struct str whole;

    ASSERT_OK(file_read(golden_path(&arena, "tiny/tiny-q4_0.gguf"), 1 << 24, &arena, &whole, &err));
    for (size_t len = 4; len < whole.len; len += 997)
        ASSERT_REFUSED(put("cut.gguf", (struct str){whole.ptr, len}), ERR_CORRUPT, "cut.gguf: ");
    ASSERT_REFUSED(put("cut.gguf", (struct str){whole.ptr, whole.len - 1}), ERR_CORRUPT,
                   "it is cut short");
}

/* --- GGUF files that contradict themselves */

struct tiny {
    const char *without; /* this tensor is left out */
    const char *narrow;  /* this one has a row too few */
    size_t n_tokens;     /* 0: all 320 */
    bool no_types, no_merges, no_tokenizer;
};

/* The golden model's tokenizer around weights of one layer: C 32, H 2, K 1, D 16, F 64, V 320. */
static struct gguf_bytes tiny_gguf(const struct tiny *t)
{
    static const struct {
        const char *key;
        uint32_t value;
    } numbers[] = {{"llama.block_count", 1},          {"llama.embedding_length", 32},
                   {"llama.feed_forward_length", 64}, {"llama.context_length", 128},
                   {"llama.attention.head_count", 2}, {"llama.attention.head_count_kv", 1}};
    static const struct {
        const char *name;
        uint64_t cols, rows; /* rows 0: one dimension */
    } tensors[] = {{"token_embd.weight", 32, 320},       {"output_norm.weight", 32, 0},
                   {"blk.0.attn_norm.weight", 32, 0},    {"blk.0.attn_q.weight", 32, 32},
                   {"blk.0.attn_k.weight", 32, 16},      {"blk.0.attn_v.weight", 32, 16},
                   {"blk.0.attn_output.weight", 32, 32}, {"blk.0.ffn_norm.weight", 32, 0},
                   {"blk.0.ffn_gate.weight", 32, 64},    {"blk.0.ffn_up.weight", 32, 64},
                   {"blk.0.ffn_down.weight", 64, 32}};
    struct gguf_bytes w = gguf_bytes_new(3);
    struct gguf *g = NULL;
    struct str *texts;
    size_t n;

    gguf_bytes_text(&w, "general.architecture", "llama");
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        gguf_bytes_u32(&w, numbers[i].key, numbers[i].value);
    gguf_bytes_f32(&w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);

    ASSERT_OK(gguf_open(golden_path(&arena, "tiny/tiny-f32.gguf"), &g, &err));
    if (!t->no_tokenizer) {
        gguf_bytes_text(&w, "tokenizer.ggml.model", "gpt2");
        gguf_bytes_text(&w, "tokenizer.ggml.pre", "smollm");
        ASSERT_OK(gguf_get_strs(g, "tokenizer.ggml.tokens", &arena, &texts, &n, &err));
        n = t->n_tokens == 0 ? n : t->n_tokens;
        struct buf *b = gguf_bytes_array(&w, "tokenizer.ggml.tokens", GGUF_STR, n);
        for (size_t i = 0; i < n; i++)
            gguf_bytes_put_str(b, i < 320 ? texts[i] : str_of(arena_printf(&arena, "more%zu", i)));
        b = gguf_bytes_array(&w, "tokenizer.ggml.token_type", GGUF_I32, t->no_types ? 7 : n);
        for (size_t i = 0; i < (t->no_types ? 7 : n); i++)
            gguf_bytes_put_u32(b, i < 3 ? 3 : 1);
    }
    if (!t->no_tokenizer && !t->no_merges) {
        ASSERT_OK(gguf_get_strs(g, "tokenizer.ggml.merges", &arena, &texts, &n, &err));
        struct buf *b = gguf_bytes_array(&w, "tokenizer.ggml.merges", GGUF_STR, n);
        for (size_t i = 0; i < n; i++)
            gguf_bytes_put_str(b, texts[i]);
    }
    gguf_close(g);
    for (size_t i = 0; i < COUNT_OF(tensors); i++) {
        const bool narrow = t->narrow != NULL && strcmp(t->narrow, tensors[i].name) == 0;
        const uint64_t rows = tensors[i].rows - narrow;

        if (t->without == NULL || strcmp(t->without, tensors[i].name) != 0)
            gguf_bytes_tensor(&w, tensors[i].name, 0, tensors[i].rows > 0 ? 2 : 1,
                              (uint64_t[]){tensors[i].cols, rows},
                              tensors[i].cols * (rows > 0 ? rows : 1) * sizeof(float));
    }
    return w;
}

static const char *put_gguf(struct gguf_bytes w)
{
    return put("tiny.gguf", gguf_bytes_finish(&w, &arena));
}

static void a_made_gguf_opens(void **state)
{
    (void)state;
    struct model_files *f = NULL;

    ASSERT_OK(model_files_open(put_gguf(tiny_gguf(&(struct tiny){0})), &f, &err));
    assert_int_equal(model_files_config(f)->n_eos,
                     2); /* by the vocabulary alone, in the order of the list */
    assert_int_equal(model_files_config(f)->eos[0], 2);
    assert_int_equal(model_files_template(f).len, 0);
    model_files_close(f);
}

static void a_gguf_without_all_its_weights_is_refused(void **state)
{
    (void)state;
    const char *down = "blk.0.ffn_down.weight", *k = "blk.0.attn_k.weight",
               *gate = "blk.0.ffn_gate.weight";

    ASSERT_REFUSED(put_gguf(tiny_gguf(&(struct tiny){.without = down})), ERR_INVALID,
                   "tiny.gguf: the tensor blk.0.ffn_down.weight is missing");
    ASSERT_REFUSED(
        put_gguf(tiny_gguf(&(struct tiny){.narrow = k})), ERR_INVALID,
        "tiny.gguf: llama.attention.head_count_kv * llama.attention.key_length is 16, but the tensor "
        "blk.0.attn_k.weight has 15 rows");
    ASSERT_REFUSED(
        put_gguf(tiny_gguf(&(struct tiny){.narrow = gate})), ERR_INVALID,
        "llama.feed_forward_length is 64, but the tensor blk.0.ffn_gate.weight has 63 rows");

    struct gguf_bytes w = tiny_gguf(&(struct tiny){.without = "output_norm.weight"});
    gguf_bytes_tensor(&w, "output_norm.weight", 0, 2, (uint64_t[]){32, 1}, 128);
    ASSERT_REFUSED(put_gguf(w), ERR_INVALID,
                   "the tensor output_norm.weight has 2 dimensions, 1 were expected");
}

static void a_tensor_that_no_weight_is_refuses_the_model(void **state)
{
    (void)state;
    struct gguf_bytes w = tiny_gguf(&(struct tiny){0});

    gguf_bytes_tensor(&w, "blk.0.attn_q.bias", 0, 1, (uint64_t[]){32}, 128);
    ASSERT_REFUSED(put_gguf(w), ERR_UNSUPPORTED,
                   "the tensor blk.0.attn_q.bias is none of a plain llama model's");
    w = tiny_gguf(&(struct tiny){0});
    gguf_bytes_tensor(&w, "blk.1.attn_norm.weight", 0, 1, (uint64_t[]){32}, 128);
    ASSERT_REFUSED(put_gguf(w), ERR_UNSUPPORTED, "the tensor blk.1.attn_norm.weight is none");
    w = tiny_gguf(&(struct tiny){0});
    gguf_bytes_tensor(&w, "rope_freqs.weight", 0, 1, (uint64_t[]){9}, 36);
    ASSERT_REFUSED(put_gguf(w), ERR_INVALID, "the tensor rope_freqs.weight is not F32 [");
    w = tiny_gguf(&(struct tiny){0});
    gguf_bytes_text(&w, "llama.rope.scaling.type", "longrope");
    ASSERT_REFUSED(put_gguf(w), ERR_INVALID, "rope_factors_long.weight are missing");
    w = tiny_gguf(&(struct tiny){0});
    gguf_bytes_f32(&w, "llama.rope.scaling.attn_factor", 1.5f);
    ASSERT_REFUSED(put_gguf(w), ERR_UNSUPPORTED,
                   "llama.rope.scaling.attn_factor is 1.5, only 1 is supported without");
    w = tiny_gguf(&(struct tiny){0});
    gguf_bytes_tensor(&w, "rope_factors_long.weight", 0, 1, (uint64_t[]){8}, 32);
    ASSERT_REFUSED(put_gguf(w), ERR_UNSUPPORTED, "one of rope_factors_short.weight and");
    w = tiny_gguf(&(struct tiny){0});
    buf_put(gguf_bytes_key(&w, "split.count", GGUF_U16), &(uint16_t){3}, 2);
    ASSERT_REFUSED(put_gguf(w), ERR_INVALID, "is the first of 3 parts, but its name does not end");
}

static void a_gguf_s_own_head_is_used(void **state)
{
    (void)state;
    struct gguf_bytes w = tiny_gguf(&(struct tiny){0});
    struct model_files *f = NULL;

    gguf_bytes_tensor(&w, "output.weight", 0, 2, (uint64_t[]){32, 320}, 32 * 320 * 4);
    ASSERT_OK(model_files_open(put_gguf(w), &f, &err));
    assert_false(model_files_config(f)->tied_head);
    assert_non_null(model_files_weight(f, W_HEAD, 0).data);
    assert_true(model_files_weight(f, W_HEAD, 0).data != model_files_weight(f, W_EMBED, 0).data);
    model_files_close(f);
}

static void a_gguf_whose_tokenizer_does_not_fit_is_refused(void **state)
{
    (void)state;
    ASSERT_REFUSED(put_gguf(tiny_gguf(&(struct tiny){.no_tokenizer = true})), ERR_INVALID,
                   "tiny.gguf: the key tokenizer.ggml.model is missing");
    ASSERT_REFUSED(put_gguf(tiny_gguf(&(struct tiny){.n_tokens = 321})), ERR_INVALID,
                   "the tokenizer has 321 ids, but the embedding only 320 rows");
    ASSERT_REFUSED(put_gguf(tiny_gguf(&(struct tiny){.no_types = true})), ERR_INVALID,
                   "tokenizer.ggml.token_type has 7 entries, but tokenizer.ggml.tokens has 320");

    ASSERT_REFUSED(put_gguf(tiny_gguf(&(struct tiny){.no_merges = true})), ERR_INVALID,
                   "tiny.gguf: the key tokenizer.ggml.merges is missing");

    struct gguf_bytes w = tiny_gguf(&(struct tiny){.no_tokenizer = true});
    gguf_bytes_text(&w, "tokenizer.ggml.model", "t5");
    gguf_bytes_texts(&w, "tokenizer.ggml.tokens", 1, (const char *const[]){"a"});
    ASSERT_REFUSED(put_gguf(w), ERR_UNSUPPORTED, "while reading the tokenizer of ");
    assert_non_null(strstr(err.message, "t5"));

    w = tiny_gguf(&(struct tiny){.no_tokenizer = true});
    gguf_bytes_text(&w, "tokenizer.ggml.model", "bert");
    gguf_bytes_texts(&w, "tokenizer.ggml.tokens", 3,
                     (const char *const[]){"[UNK]", "[CLS]", "[SEP]"});
    ASSERT_REFUSED(put_gguf(w), ERR_UNSUPPORTED, "the tokenizer is WordPiece");

    w = tiny_gguf(&(struct tiny){0});
    gguf_bytes_u32(&w, "tokenizer.chat_template", 7);
    ASSERT_REFUSED(put_gguf(w), ERR_INVALID,
                   "the key tokenizer.chat_template is of type u32, a string was expected");
}

/* --- folders */

/* A folder that leads to the golden one's files, but for those that are put there by other. */
static const char *folder(const char *const (*other)[2], size_t n)
{
    static const char *const names[] = {"config.json", "generation_config.json", "tokenizer.json",
                                        "tokenizer_config.json", "model.safetensors"};
    const char *path = file_join(&arena, dir, "hf");

    ASSERT_OK(file_remove_tree(path, &err));
    ASSERT_OK(file_make_dirs(path, &err));
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        bool replaced = false;

        for (size_t j = 0; j < n; j++)
            replaced = replaced || strcmp(other[j][0], names[i]) == 0;
        if (!replaced)
            assert_int_equal(
                symlink(golden_path(&arena, arena_printf(&arena, "tiny/hf/%s", names[i])),
                        file_join(&arena, path, names[i])),
                0);
    }
    for (size_t j = 0; j < n; j++) /* NULL: it is just not there */
        if (other[j][1] != NULL)
            ASSERT_OK(file_put(file_join(&arena, path, other[j][0]), str_of(other[j][1]), &err));
    return path;
}
#define FOLDER(...)                                                                                \
    folder((const char *const[][2]){__VA_ARGS__},                                                  \
           sizeof(const char *[][2]){__VA_ARGS__} / sizeof(char *[2]))

/* The golden config.json with one member more, or another. */
static const char *config_with(const char *key, const char *value)
{
    return arena_printf(
        &arena,
        "{\"model_type\":\"llama\",\"hidden_size\":%s,\"num_hidden_layers\":%s,"
        "\"num_attention_heads\":4,\"num_key_value_heads\":%s,\"intermediate_size\":96,"
        "\"vocab_size\":%s,\"head_dim\":16,\"tie_word_embeddings\":%s,\"eos_token_id\":%s}",
        strcmp(key, "hidden_size") == 0 ? value : "64",
        strcmp(key, "num_hidden_layers") == 0 ? value : "3",
        strcmp(key, "num_key_value_heads") == 0 ? value : "2",
        strcmp(key, "vocab_size") == 0 ? value : "320",
        strcmp(key, "tie_word_embeddings") == 0 ? value : "true",
        strcmp(key, "eos_token_id") == 0 ? value : "null");
}

static void a_folder_needs_config_weights_and_tokenizer(void **state)
{
    (void)state;
    struct model_files *f = NULL;

    ASSERT_OK(model_files_open(
        FOLDER({"generation_config.json", NULL}, {"tokenizer_config.json", NULL}), &f, &err));
    assert_int_equal(model_files_template(f).len, 0); /* the two others it can do without */
    model_files_close(f);
    ASSERT_REFUSED(FOLDER({"config.json", NULL}), ERR_NOT_FOUND, "is a folder without config.json");
    ASSERT_REFUSED(FOLDER({"tokenizer.json", NULL}), ERR_NOT_FOUND, "hf has no tokenizer.json");
    ASSERT_REFUSED(FOLDER({"tokenizer.json", NULL}, {"tokenizer.model", "x"}), ERR_NOT_FOUND,
                   "only SentencePiece's tokenizer.model");
    ASSERT_REFUSED(FOLDER({"model.safetensors", NULL}), ERR_NOT_FOUND,
                   "hf has neither model.safetensors nor model.safetensors.index.json");
    ASSERT_REFUSED(FOLDER({"model.safetensors", NULL}, {"pytorch_model.bin", "x"}), ERR_NOT_FOUND,
                   "only pytorch_model.bin, which is not read");
}

/* The golden folder of FP8, read with another config. */
static void fp8_needs_a_config_that_tells_of_it(void **state)
{
    const char *path = file_join(&arena, dir, "fp8");
    static const char *const names[] = {"tokenizer.json", "model.safetensors.index.json",
                                        "model-00001-of-00002.safetensors",
                                        "model-00002-of-00002.safetensors"};

    (void)state;
    ASSERT_OK(file_make_dirs(path, &err));
    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_int_equal(
            symlink(golden_path(&arena, arena_printf(&arena, "formats/fp8/%s", names[i])),
                    file_join(&arena, path, names[i])),
            0);
    const char *config = file_join(&arena, path, "config.json");
    ASSERT_OK(file_put(config, str_of(config_with("", "")), &err));
    ASSERT_REFUSED(path, ERR_UNSUPPORTED, "weight_scale_inv is none of a plain llama model's");
    const char *with = arena_printf(
        &arena, "%.*s,\"quantization_config\":{\"quant_method\":\"fp8\",\"weight_block_size\":%s}}",
        (int)strlen(config_with("", "")) - 1, config_with("", ""), "[128,128]");
    ASSERT_OK(file_put(config, str_of(with), &err));
    ASSERT_REFUSED(path, ERR_INVALID,
                   "fp8: the tensor model.layers.0.mlp.down_proj.weight_scale_inv has the shape "
                   "[2, 2], but its weight has 64 by 96 values and one for each block of 128 by "
                   "128 was expected");
}

static void a_broken_file_of_a_folder_is_named(void **state)
{
    (void)state;
    ASSERT_REFUSED(FOLDER({"config.json", "{\"model_type\""}), ERR_INVALID,
                   "hf/config.json: not valid JSON at line 1");
    ASSERT_REFUSED(FOLDER({"config.json", "[]"}), ERR_INVALID,
                   "hf/config.json is a list, an object was expected");
    ASSERT_REFUSED(FOLDER({"config.json", "{}"}), ERR_INVALID,
                   "hf/config.json: \"model_type\" is missing");
    ASSERT_REFUSED(FOLDER({"generation_config.json", "7"}), ERR_INVALID,
                   "hf/generation_config.json is a number");
    ASSERT_REFUSED(
        FOLDER({"generation_config.json", "{\"eos_token_id\":999}"}), ERR_INVALID,
        "hf/generation_config.json: \"eos_token_id\" is 999, an id from 0 to 319 was expected");
    ASSERT_REFUSED(FOLDER({"tokenizer.json", "{"}), ERR_INVALID, "hf/tokenizer.json");
    ASSERT_REFUSED(FOLDER({"tokenizer_config.json", "nope"}), ERR_INVALID,
                   "hf/tokenizer_config.json: not valid JSON");
    ASSERT_REFUSED(
        FOLDER({"tokenizer_config.json", "{\"eos_token\":\"<end>\"}"}), ERR_INVALID,
        "hf/tokenizer_config.json: \"eos_token\" is \"<end>\", which is not in tokenizer.json");
    ASSERT_REFUSED(FOLDER({"tokenizer_config.json", "{\"bos_token\":7}"}), ERR_INVALID,
                   "hf/tokenizer_config.json: \"bos_token\" is a number, a string was expected");
    ASSERT_REFUSED(FOLDER({"tokenizer_config.json", "{\"chat_template\":7}"}), ERR_INVALID,
                   "hf/tokenizer_config.json: \"chat_template\" is neither a string nor a list");
    ASSERT_REFUSED(FOLDER({"model.safetensors", "short"}), ERR_CORRUPT,
                   "hf/model.safetensors has 5 bytes");
}

static void a_config_that_contradicts_a_tensor_names_both(void **state)
{
    (void)state;
    ASSERT_REFUSED(
        FOLDER({"config.json", config_with("hidden_size", "128")}), ERR_INVALID,
        "hf/config.json: hidden_size is 128, but the tensor model.embed_tokens.weight has 64 columns");
    assert_string_equal(err.param, "hidden_size");
    ASSERT_REFUSED(
        FOLDER({"config.json", config_with("vocab_size", "321")}), ERR_INVALID,
        "hf/config.json: vocab_size is 321, but the tensor model.embed_tokens.weight has 320 rows");
    ASSERT_REFUSED(FOLDER({"config.json", config_with("num_key_value_heads", "4")}), ERR_INVALID,
                   "hf/config.json: num_key_value_heads * head_dim is 64, but the tensor "
                   "model.layers.0.self_attn.k_proj.weight has 32 rows");
    ASSERT_REFUSED(FOLDER({"config.json", config_with("num_hidden_layers", "4")}), ERR_INVALID,
                   "hf: the tensor model.layers.3.input_layernorm.weight is missing");
    ASSERT_REFUSED(
        FOLDER({"config.json", config_with("num_hidden_layers", "2")}), ERR_UNSUPPORTED,
        "hf: the tensor model.layers.2.input_layernorm.weight is none of a plain llama model's");
    ASSERT_REFUSED(FOLDER({"config.json", config_with("tie_word_embeddings", "false")}),
                   ERR_INVALID, "hf: the tensor lm_head.weight is missing");
}

/* The golden folder with one tensor more. */
static const char *folder_with_tensor(const char *name, const char *tied)
{
    static float zeros[320 * 64];
    const char *path = FOLDER({"config.json", config_with("tie_word_embeddings", tied)},
                              {"model.safetensors", NULL});
    struct safetensors *s = NULL;

    ASSERT_OK(safetensors_open(golden_path(&arena, "tiny/hf/model.safetensors"), &s, &err));
    const size_t n = safetensors_count(s);
    struct safetensor *list = ARENA_ARRAY(&arena, struct safetensor, n + 1);
    for (size_t i = 0; i < n; i++)
        list[i] = *safetensors_at(s, i);
    list[n] = (struct safetensor){.name = name, .n_dims = 2, .dims = {320, 64}, .data = zeros};
    ASSERT_OK(safetensors_write(file_join(&arena, path, "model.safetensors"), list, n + 1, NULL, 0,
                                &err));
    safetensors_close(s);
    return path;
}

static void a_folder_s_head_is_used_unless_it_is_tied(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        struct model_files *f = NULL;

        ASSERT_OK(model_files_open(folder_with_tensor("lm_head.weight", tied ? "true" : "false"),
                                   &f, &err));
        assert_int_equal(model_files_config(f)->tied_head, tied);
        assert_int_equal(model_files_weight(f, W_HEAD, 0).data == NULL, tied);
        model_files_close(f);
    }
}

static void a_folder_s_unknown_tensors_are_refused_but_for_old_frequencies(void **state)
{
    (void)state;
    struct model_files *f = NULL;

    ASSERT_OK(model_files_open(
        folder_with_tensor("model.layers.0.self_attn.rotary_emb.inv_freq", "true"), &f, &err));
    model_files_close(f);
    ASSERT_REFUSED(
        folder_with_tensor("model.layers.0.self_attn.q_proj.bias", "true"), ERR_UNSUPPORTED,
        "the tensor model.layers.0.self_attn.q_proj.bias is none of a plain llama model's");
}

static void ends_of_an_answer_come_from_every_file_in_order(void **state)
{
    (void)state;
    static const int want[] = {7, 5, 9, 2, 0};
    struct model_files *f = NULL;

    ASSERT_OK(model_files_open(
        FOLDER({"generation_config.json", "{\"eos_token_id\":[7,5]}"},
               {"config.json", config_with("eos_token_id", "[9,7]")},
               {"tokenizer_config.json", "{\"eos_token\":{\"content\":\"<|im_end|>\"}}"}),
        &f, &err));
    const struct model_config *c = model_files_config(f);
    assert_int_equal(c->n_eos, COUNT_OF(want)); /* and <|endoftext|> from the vocabulary */
    for (size_t i = 0; i < c->n_eos; i++)
        assert_int_equal(c->eos[i], want[i]);
    model_files_close(f);
}

static void bos_is_put_in_front_where_the_tokenizer_s_files_say_so(void **state)
{
    (void)state;
    static const struct {
        const char *config;
        int bos;
        bool add_bos;
    } cases[] = {
        {"{\"bos_token\":\"<|im_start|>\",\"add_bos_token\":true}", 1, true},
        {"{\"bos_token\":\"<|im_start|>\",\"add_bos_token\":false}", 1, false},
        {"{\"bos_token\":{\"content\":\"<|endoftext|>\"},\"add_bos_token\":true}", 0, true},
        {"{\"bos_token\":null,\"add_bos_token\":true}", -1, false},
        {"{\"bos_token\":\"<|im_start|>\"}", 1, false},
        {"{}", -1, false}, /* config.json names none here */
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct model_files *f = NULL;

        ASSERT_OK(model_files_open(FOLDER({"config.json", config_with("", "")},
                                          {"tokenizer_config.json", cases[i].config}),
                                   &f, &err));
        assert_int_equal(model_files_config(f)->bos, cases[i].bos);
        assert_int_equal(model_files_config(f)->add_bos, cases[i].add_bos);
        model_files_close(f);
    }
}

static void bos_is_put_in_front_where_the_post_processor_does(void **state)
{
    (void)state;
    static const char from[] = "\"single\": [\n      {\n        \"Sequence\"";
    struct str text;

    ASSERT_OK(
        file_read(golden_path(&arena, "tiny/hf/tokenizer.json"), 1 << 24, &arena, &text, &err));
    const size_t at = str_find(text, str_of(from), 0);
    assert_true(at < text.len); /* else the golden file looks different now */
    for (int same = 0; same < 2; same++) {
        const char *json = arena_printf(
            &arena,
            STR_FMT
            "\"single\": [{\"SpecialToken\": {\"id\": \"%s\", \"type_id\": 0}}, {\"Sequence\"" STR_FMT,
            (int)at, text.ptr, same ? "<|im_start|>" : "<|im_end|>",
            STR_ARG(str_from(text, at + strlen(from))));
        struct model_files *f = NULL;

        ASSERT_OK(model_files_open(FOLDER({"tokenizer.json", json}), &f, &err));
        assert_int_equal(model_files_config(f)->add_bos, same);
        model_files_close(f);
    }
}

static void the_template_s_own_file_beats_the_config(void **state)
{
    (void)state;
    static const struct {
        const char *config, *jinja, *want;
    } cases[] = {
        {"{\"chat_template\":\"inline\"}", NULL, "inline"},
        {"{\"chat_template\":\"inline\"}", "file\n", "file\n"},
        {"{}", "file", "file"},
        {"{\"chat_template\":null}", NULL, ""},
        {"{\"chat_template\":[]}", NULL, ""},
        {"{\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"t\"},{\"name\":\"default\",\"template\":\"d\"}]}",
         NULL, "d"},
        {"{\"chat_template\":[{\"name\":\"only\",\"template\":\"o\"}]}", NULL, "o"},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct model_files *f = NULL;

        ASSERT_OK(model_files_open(FOLDER({"tokenizer_config.json", cases[i].config},
                                          {"chat_template.jinja", cases[i].jinja}),
                                   &f, &err));
        ASSERT_STR(model_files_template(f), cases[i].want);
        model_files_close(f);
    }
    ASSERT_REFUSED(
        FOLDER(
            {"tokenizer_config.json",
             "{\"chat_template\":[{\"name\":\"a\",\"template\":\"\"},{\"name\":\"b\",\"template\":\"\"}]}"}),
        ERR_INVALID, "neither a string nor a list with one called \"default\"");
    char *long_text = arena_alloc(&arena, (1 << 20) + 2);
    memset(long_text, ' ', (1 << 20) + 1);
    ASSERT_REFUSED(FOLDER({"chat_template.jinja", long_text}), ERR_LIMIT,
                   "chat_template.jinja has 1048577 bytes");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        TEST(the_config_is_the_same_in_every_form),
        TEST(weights_are_in_hugging_face_s_row_order_in_every_form),
        TEST(only_q_and_k_of_gguf_are_reordered),
        TEST(weights_have_hugging_face_s_names),
        TEST(the_sum_is_that_of_the_weights_files),
        TEST(a_path_that_leads_nowhere_is_told),
        TEST(what_is_not_gguf_is_told_for_what_it_looks_like),
        TEST(a_truncated_gguf_is_refused_wherever_it_ends),
        TEST(a_made_gguf_opens),
        TEST(a_gguf_without_all_its_weights_is_refused),
        TEST(a_tensor_that_no_weight_is_refuses_the_model),
        TEST(a_gguf_s_own_head_is_used),
        TEST(a_gguf_whose_tokenizer_does_not_fit_is_refused),
        TEST(a_folder_needs_config_weights_and_tokenizer),
        TEST(fp8_needs_a_config_that_tells_of_it),
        TEST(a_broken_file_of_a_folder_is_named),
        TEST(a_config_that_contradicts_a_tensor_names_both),
        TEST(a_folder_s_head_is_used_unless_it_is_tied),
        TEST(a_folder_s_unknown_tensors_are_refused_but_for_old_frequencies),
        TEST(ends_of_an_answer_come_from_every_file_in_order),
        TEST(bos_is_put_in_front_where_the_tokenizer_s_files_say_so),
        TEST(bos_is_put_in_front_where_the_post_processor_does),
        TEST(the_template_s_own_file_beats_the_config),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
