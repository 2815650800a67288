/*
 * gguf_test.c - the reference's files are read whole, and no lie in the head of one gets through.
 */
#include "model/gguf.h"
#include "model/gguf_bytes.h"
#include "support/support.h"

#include <stdlib.h>

static struct arena arena;
static struct error err;

/* Opens what w makes and says what came of it. */
static bool opens(struct gguf_bytes *w, struct gguf **g)
{
    const struct str file = gguf_bytes_finish(w, &arena);

    return gguf_open_bytes(file.ptr, file.len, "test.gguf", g, &err);
}

#define ASSERT_REFUSED(w, kind, text)                                                              \
    do {                                                                                           \
        struct gguf *g_ = NULL;                                                                    \
        ASSERT_FAILS(opens(&(w), &g_), kind, text);                                                \
        assert_null(g_);                                                                           \
    } while (0)

/* A small right file: something to spoil. */
static struct gguf_bytes small(void)
{
    static const char *const words[] = {"one", "", "three"};
    struct gguf_bytes w = gguf_bytes_new(3);

    gguf_bytes_text(&w, "general.architecture", "llama");
    gguf_bytes_u32(&w, "number", 7);
    gguf_bytes_texts(&w, "words", 3, words);
    gguf_bytes_tensor(&w, "a.weight", 0, 2, (uint64_t[]){3, 5}, 60);
    gguf_bytes_tensor(&w, "b.weight", 8, 2, (uint64_t[]){32, 2}, 68);
    return w;
}

static void the_reference_s_file_is_read_whole(void **state)
{
    (void)state;
    struct gguf *g = NULL;
    int64_t number = 0;
    double eps = 0;
    bool add_bos = true;
    struct str text = {0}, *tokens = NULL;
    int32_t *types = NULL;
    size_t n = 0;

    ASSERT_OK(gguf_open(golden_path(&arena, "tiny/tiny-q4_1.gguf"), &g, &err));
    assert_int_equal(gguf_count(g), 29);
    ASSERT_OK(gguf_get_str(g, "general.architecture", &text, &err));
    ASSERT_STR(text, "llama");
    ASSERT_OK(gguf_get_int(g, "llama.embedding_length", 0, 1000, &number, &err));
    assert_int_equal(number, 64);
    ASSERT_OK(gguf_get_double(g, "llama.attention.layer_norm_rms_epsilon", &eps, &err));
    ASSERT_NEAR(eps, 1e-5, 1e-12);
    ASSERT_OK(gguf_get_bool(g, "tokenizer.ggml.add_bos_token", &add_bos, &err));
    assert_false(add_bos);
    ASSERT_OK(gguf_get_strs(g, "tokenizer.ggml.tokens", &arena, &tokens, &n, &err));
    assert_int_equal(n, 320);
    ASSERT_STR(tokens[2], "<|im_end|>");
    ASSERT_OK(gguf_get_i32s(g, "tokenizer.ggml.token_type", &arena, &types, &n, &err));
    assert_int_equal(n, 320);
    assert_int_equal(types[2], 3);
    assert_int_equal(types[3], 1);

    const struct gguf_tensor *down = gguf_find(g, "blk.2.ffn_down.weight"),
                             *embed = gguf_find(g, "token_embd.weight");
    assert_int_equal(down->dtype, DTYPE_Q4_1);
    assert_int_equal(down->n_dims, 2);
    assert_int_equal(down->dims[0], 64); /* rows first */
    assert_int_equal(down->dims[1], 96);
    assert_int_equal(down->size_bytes, 64 * 96 / 32 * 20);
    assert_int_equal(embed->dtype, DTYPE_Q8_0);
    assert_int_equal((uintptr_t)embed->data % 32, 0);
    assert_null(gguf_find(g, "token_embd"));
    assert_null(gguf_get(g, "llama.embedding"));
    gguf_close(g);
    gguf_close(NULL);
}

static void every_type_of_value_is_read(void **state)
{
    (void)state;
    struct gguf_bytes w = gguf_bytes_new(3);
    struct gguf *g = NULL;
    int64_t v = 0;
    double x = 0;
    bool yes = false;
    int32_t *list = NULL;
    size_t n = 0;

    buf_put(gguf_bytes_key(&w, "u8", GGUF_U8), &(uint8_t){200}, 1);
    buf_put(gguf_bytes_key(&w, "i8", GGUF_I8), &(int8_t){-100}, 1);
    buf_put(gguf_bytes_key(&w, "u16", GGUF_U16), &(uint16_t){60000}, 2);
    buf_put(gguf_bytes_key(&w, "i16", GGUF_I16), &(int16_t){-30000}, 2);
    buf_put(gguf_bytes_key(&w, "u32", GGUF_U32), &(uint32_t){4000000000}, 4);
    buf_put(gguf_bytes_key(&w, "i32", GGUF_I32), &(int32_t){-2000000000}, 4);
    buf_put(gguf_bytes_key(&w, "u64", GGUF_U64), &(uint64_t){1ull << 40}, 8);
    buf_put(gguf_bytes_key(&w, "vast", GGUF_U64), &(uint64_t){~0ull}, 8);
    buf_put(gguf_bytes_key(&w, "i64", GGUF_I64), &(int64_t){-(1ll << 40)}, 8);
    buf_put(gguf_bytes_key(&w, "f64", GGUF_F64), &(double){0.1}, 8);
    gguf_bytes_f32(&w, "f32", 0.5f);
    gguf_bytes_bool(&w, "yes", 1);
    buf_put(gguf_bytes_array(&w, "list", GGUF_I32, 3), (int32_t[]){-1, 0, 1}, 12);
    gguf_bytes_array(&w, "empty", GGUF_I32, 0);
    struct buf *b = gguf_bytes_array(&w, "nested", GGUF_ARRAY, 2); /* [[5], ["x", ""]] */
    gguf_bytes_put_u32(b, GGUF_U8);
    gguf_bytes_put_u64(b, 1);
    buf_char(b, 5);
    gguf_bytes_put_u32(b, GGUF_STR);
    gguf_bytes_put_u64(b, 2);
    gguf_bytes_put_str(b, STR("x"));
    gguf_bytes_put_str(b, STR(""));
    gguf_bytes_text(&w, "after", "all of that");
    ASSERT_OK(opens(&w, &g));

    static const struct {
        const char *key;
        int64_t value;
    } want[] = {{"u8", 200},        {"i8", -100},         {"u16", 60000},
                {"i16", -30000},    {"u32", 4000000000},  {"i32", -2000000000},
                {"u64", 1ll << 40}, {"i64", -(1ll << 40)}};
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        ASSERT_OK(gguf_get_int(g, want[i].key, INT64_MIN, INT64_MAX, &v, &err));
        assert_int_equal(v, want[i].value);
    }
    ASSERT_FAILS(gguf_get_int(g, "vast", 0, 1 << 20, &v, &err), ERR_INVALID,
                 "expected 0 to 1048576");
    ASSERT_OK(gguf_get_double(g, "f32", &x, &err));
    assert_true(x == 0.5);
    ASSERT_OK(gguf_get_double(g, "f64", &x, &err));
    assert_true(x == 0.1);
    ASSERT_OK(gguf_get_bool(g, "yes", &yes, &err));
    assert_true(yes);
    ASSERT_OK(gguf_get_i32s(g, "list", &arena, &list, &n, &err));
    assert_int_equal(n, 3);
    assert_int_equal(list[0], -1);
    ASSERT_OK(gguf_get_i32s(g, "empty", &arena, &list, &n, &err));
    assert_int_equal(n, 0);
    assert_int_equal(gguf_get(g, "nested")->n_items, 2);
    ASSERT_STR(gguf_get(g, "after")->bytes, "all of that");
    gguf_close(g);
}

static void a_missing_key_leaves_the_default(void **state)
{
    (void)state;
    struct gguf_bytes w = small();
    struct gguf *g = NULL;
    int64_t number = 42;

    ASSERT_OK(opens(&w, &g));
    ASSERT_OK(gguf_get_int(g, "other", 0, 1, &number, &err));
    assert_int_equal(number, 42);
    ASSERT_FAILS(gguf_need(g, "other", &err), ERR_INVALID, "test.gguf: the key other is missing");
    assert_string_equal(err.param, "other");
    ASSERT_OK(gguf_need(g, "number", &err));
    gguf_close(g);
}

static void a_value_of_another_type_is_told(void **state)
{
    (void)state;
    struct gguf_bytes w = small();
    struct gguf *g = NULL;
    int64_t number = 42;
    double x = 42;
    bool yes = true;
    struct str text = STR("before"), *texts = NULL;
    int32_t *list = NULL;
    size_t n = 42;

    ASSERT_OK(opens(&w, &g));
    ASSERT_FAILS(
        gguf_get_int(g, "words", 0, 9, &number, &err), ERR_INVALID,
        "test.gguf: the key words is of type array of string, a whole number was expected");
    ASSERT_FAILS(gguf_get_int(g, "number", 0, 6, &number, &err), ERR_INVALID,
                 "the key number is 7, expected 0 to 6");
    ASSERT_FAILS(gguf_get_double(g, "number", &x, &err), ERR_INVALID,
                 "of type u32, f32 or f64 was expected");
    ASSERT_FAILS(gguf_get_bool(g, "number", &yes, &err), ERR_INVALID, "bool was expected");
    ASSERT_FAILS(gguf_get_str(g, "number", &text, &err), ERR_INVALID, "a string was expected");
    ASSERT_FAILS(gguf_get_strs(g, "number", &arena, &texts, &n, &err), ERR_INVALID,
                 "an array of strings was expected");
    ASSERT_FAILS(gguf_get_i32s(g, "words", &arena, &list, &n, &err), ERR_INVALID,
                 "an array of i32 was expected");
    assert_int_equal(number, 42); /* outputs are as they were */
    assert_int_equal(n, 42);
    ASSERT_STR(text, "before");
    gguf_close(g);
}

static void versions_2_and_3_are_read_and_others_named(void **state)
{
    (void)state;
    struct gguf *g = NULL;
    struct gguf_bytes w = small();

    w.version = 2;
    ASSERT_OK(opens(&w, &g));
    gguf_close(g);
    w = small();
    w.version = 1;
    ASSERT_REFUSED(w, ERR_UNSUPPORTED, "version 1 of GGUF; 2 and 3 are read");
    w = small();
    w.version = 4;
    ASSERT_REFUSED(w, ERR_UNSUPPORTED, "version 4");
    w = small();
    w.version = 3u << 24;
    ASSERT_REFUSED(w, ERR_UNSUPPORTED, "big-endian");
    ASSERT_FAILS(gguf_open_bytes("GGML....", 8, "x", &g, &err), ERR_CORRUPT,
                 "does not begin with GGUF");
}

static void a_file_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct gguf_bytes w = small();
    const struct str file = gguf_bytes_finish(&w, &arena);

    /* the last tensor ends at 68 of 96: what follows is only padding */
    for (size_t len = 0; len < file.len - 28; len++) {
        char *cut = malloc(len + 1);
        struct gguf *g = NULL;

        memcpy(cut, file.ptr, len);
        err = (struct error){0};
        if (gguf_open_bytes(cut, len, "cut.gguf", &g, &err))
            fail_msg("%zu of %zu bytes were taken for a whole file", len, file.len);
        assert_true(err.kind == ERR_CORRUPT);
        if (strstr(err.message, "cut.gguf") == NULL)
            fail_msg("\"%s\" does not name the file", err.message);
        free(cut);
    }
}

static void what_is_there_twice_is_refused(void **state)
{
    (void)state;
    struct gguf_bytes w = small();

    gguf_bytes_u32(&w, "number", 7);
    ASSERT_REFUSED(w, ERR_CORRUPT, "the key number is there twice");
    w = small();
    gguf_bytes_tensor(&w, "a.weight", 0, 1, (uint64_t[]){4}, 16);
    ASSERT_REFUSED(w, ERR_CORRUPT, "the tensor a.weight is there twice");
}

static void a_type_that_is_not_read_is_named_with_its_tensor(void **state)
{
    (void)state;
    struct gguf_bytes w = small();

    gguf_bytes_tensor(&w, "blk.0.attn_q.weight", 19, 1, (uint64_t[]){256}, 50);
    ASSERT_REFUSED(w, ERR_UNSUPPORTED,
                   "the tensor blk.0.attn_q.weight has the type IQ1_S, which is not read");
    assert_non_null(strstr(err.message,
                           "to one of F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, "
                           "Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, BF16, MXFP4"));
    w = small();
    gguf_bytes_tensor(&w, "c", 1000, 1, (uint64_t[]){256}, 176);
    ASSERT_REFUSED(w, ERR_UNSUPPORTED, "the tensor c has the type number 1000");
    w = small();
    gguf_bytes_key(&w, "odd", 13);
    ASSERT_REFUSED(w, ERR_CORRUPT, "the key odd has the unknown type 13");
    w = small();
    gguf_bytes_array(&w, "odd", 99, 0);
    ASSERT_REFUSED(w, ERR_CORRUPT, "the key odd is an array of the unknown type 99");
}

static void every_readable_type_has_the_format_s_number(void **state)
{
    (void)state;
    static const struct {
        uint32_t number;
        enum dtype dtype;
    } types[] = {{0, DTYPE_F32},   {1, DTYPE_F16},     {2, DTYPE_Q4_0},    {3, DTYPE_Q4_1},
                 {8, DTYPE_Q8_0},  {12, DTYPE_Q4_K},   {14, DTYPE_Q6_K},   {30, DTYPE_BF16},
                 {6, DTYPE_Q5_0},  {7, DTYPE_Q5_1},    {10, DTYPE_Q2_K},   {11, DTYPE_Q3_K},
                 {13, DTYPE_Q5_K}, {20, DTYPE_IQ4_NL}, {23, DTYPE_IQ4_XS}, {39, DTYPE_MXFP4}};
    struct gguf_bytes w = gguf_bytes_new(3);
    struct gguf *g = NULL;

    for (size_t i = 0; i < COUNT_OF(types); i++)
        gguf_bytes_tensor(&w, dtype_info(types[i].dtype)->name, types[i].number, 1,
                          (uint64_t[]){256}, dtype_bytes(types[i].dtype, 256));
    ASSERT_OK(opens(&w, &g));
    for (size_t i = 0; i < COUNT_OF(types); i++)
        assert_int_equal(gguf_find(g, dtype_info(types[i].dtype)->name)->dtype, types[i].dtype);
    gguf_close(g);
}

static void tensors_lie_in_the_file_aligned_and_apart(void **state)
{
    (void)state;
    struct gguf_bytes w = small();

    gguf_bytes_tensor_at(&w, "c", 0, 1, (uint64_t[]){4}, w.data_bytes);
    ASSERT_REFUSED(w, ERR_CORRUPT, "the tensor c has 16 bytes at");
    w = small();
    gguf_bytes_tensor_at(&w, "c", 0, 1, (uint64_t[]){4}, UINT64_MAX - 31);
    ASSERT_REFUSED(w, ERR_CORRUPT, "but the file ends at byte");
    w = small();
    gguf_bytes_tensor_at(&w, "c", 0, 1, (uint64_t[]){4}, 4);
    ASSERT_REFUSED(w, ERR_CORRUPT, "is at 4, no multiple of the alignment 32");
    w = small();
    gguf_bytes_tensor_at(&w, "c", 0, 1, (uint64_t[]){4}, 32); /* a.weight goes to 60 */
    ASSERT_REFUSED(w, ERR_CORRUPT, "the tensors a.weight and c overlap");
}

static void the_file_s_alignment_is_used(void **state)
{
    (void)state;
    struct gguf *g = NULL;
    struct gguf_bytes w = gguf_bytes_new(3);

    w.alignment = 128;
    gguf_bytes_u32(&w, "general.alignment", 128);
    gguf_bytes_tensor(&w, "a", 0, 1, (uint64_t[]){1}, 4);
    gguf_bytes_tensor(&w, "b", 0, 1, (uint64_t[]){1}, 4);
    ASSERT_OK(opens(&w, &g));
    assert_int_equal((const char *)gguf_find(g, "b")->data - (const char *)gguf_find(g, "a")->data,
                     128);
    gguf_close(g);
    w = small();
    gguf_bytes_u32(&w, "general.alignment", 24);
    ASSERT_REFUSED(w, ERR_CORRUPT, "general.alignment is 24, a power of two was expected");
    w = small();
    gguf_bytes_u32(&w, "general.alignment", 0);
    ASSERT_REFUSED(w, ERR_INVALID, "general.alignment is 0");
}

static void shapes_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct gguf_bytes w = small();

    gguf_bytes_tensor(&w, "c", 0, 2, (uint64_t[]){4, 0}, 0);
    ASSERT_REFUSED(w, ERR_CORRUPT, "dimension 1 of the tensor c is 0");
    w = small();
    gguf_bytes_tensor(&w, "c", 0, 0, NULL, 0);
    gguf_bytes_put_u64(&w.tensors, 0); /* as long as a row of the table must be */
    ASSERT_REFUSED(w, ERR_CORRUPT, "the tensor c has 0 dimensions, 1 to 4 were expected");
    w = small();
    gguf_bytes_tensor(&w, "c", 0, 5, (uint64_t[]){1, 1, 1, 1, 1}, 4);
    ASSERT_REFUSED(w, ERR_CORRUPT, "the tensor c has 5 dimensions");
    w = small();
    gguf_bytes_tensor(&w, "c", 0, 2, (uint64_t[]){1ull << 33, 1ull << 33}, 0);
    ASSERT_REFUSED(w, ERR_CORRUPT, "of the tensor c is 8589934592");
    w = small();
    gguf_bytes_tensor(&w, "c", 0, 1, (uint64_t[]){1ull << 62}, 0); /* times four wraps */
    ASSERT_REFUSED(w, ERR_CORRUPT, "the tensor c has 4611686018427387904 values");
    w = small();
    gguf_bytes_tensor(&w, "c", 8, 2, (uint64_t[]){48, 2}, 102);
    ASSERT_REFUSED(w, ERR_CORRUPT, "the tensor c has rows of 48 values, no multiple of Q8_0's 32");
}

static void counts_beyond_the_file_cost_no_memory(void **state)
{
    (void)state;
    struct gguf_bytes w = small();

    w.n_keys = 1ull << 60;
    ASSERT_REFUSED(w, ERR_LIMIT, "keys are more than the 65536 allowed");
    w = small();
    w.n_keys = 60000;
    ASSERT_REFUSED(w, ERR_CORRUPT, "60000 keys do not fit into a file of");
    w = small();
    w.n_tensors = 1ull << 60;
    ASSERT_REFUSED(w, ERR_LIMIT, "tensors are more than the 131072 allowed");
    w = small();
    w.n_tensors = 100000;
    ASSERT_REFUSED(w, ERR_CORRUPT, "100000 tensors do not fit into a file of");
    w = small();
    gguf_bytes_array(&w, "long", GGUF_U64, 1ull << 61); /* times eight wraps */
    ASSERT_REFUSED(w, ERR_CORRUPT,
                   "the key long claims an array of 2305843009213693952 values, but only");
    w = small();
    gguf_bytes_array(&w, "long", GGUF_STR, 1000);
    ASSERT_REFUSED(w, ERR_CORRUPT, "the key long claims an array of 1000 values");
    w = small();
    gguf_bytes_put_u64(gguf_bytes_key(&w, "text", GGUF_STR), UINT64_MAX);
    ASSERT_REFUSED(w, ERR_CORRUPT, "the metadata is cut short");
}

static void arrays_nest_only_so_deep(void **state)
{
    (void)state;
    struct gguf *g = NULL;

    for (int depth = GGUF_MAX_DEPTH; depth <= 1000; depth += depth == GGUF_MAX_DEPTH ? 1 : 995) {
        struct gguf_bytes w = small();
        struct buf *b = gguf_bytes_array(&w, "nest", GGUF_ARRAY, 1);

        for (int i = 1; i < depth; i++) {
            gguf_bytes_put_u32(b, i + 1 < depth ? GGUF_ARRAY : GGUF_U8);
            gguf_bytes_put_u64(b, i + 1 < depth);
        }
        if (depth > GGUF_MAX_DEPTH) {
            ASSERT_REFUSED(w, ERR_LIMIT, "the key nest has arrays nested more than 4 deep");
            continue;
        }
        ASSERT_OK(opens(&w, &g));
        gguf_close(g);
    }
}

static void names_are_fit_for_a_message(void **state)
{
    (void)state;
    struct gguf_bytes w = small();
    struct buf *b = &w.keys;

    gguf_bytes_put_str(b, STR("zero\0byte"));
    gguf_bytes_put_u32(b, GGUF_U8);
    buf_char(b, 0);
    w.n_keys++;
    ASSERT_REFUSED(w, ERR_CORRUPT, "the metadata has a zero byte in the name \"zero?byte\"");

    char *name = arena_alloc(&arena, GGUF_MAX_NAME + 2);
    memset(name, 'n', GGUF_MAX_NAME + 1);
    w = small();
    gguf_bytes_u32(&w, name, 1);
    ASSERT_REFUSED(w, ERR_LIMIT, "has a name of 65536 bytes, at most 65535 are allowed");
    w = small();
    gguf_bytes_bool(
        &w,
        "a line\nand \"more\" than can be shown of any name, however long it may turn out to be",
        7);
    ASSERT_REFUSED(
        w, ERR_CORRUPT,
        "the key a line?and ?more? than can be shown of any name, however long it may...");
}

static void a_bool_is_0_or_1(void **state)
{
    (void)state;
    struct gguf_bytes w = small();

    gguf_bytes_bool(&w, "yes", 2);
    ASSERT_REFUSED(w, ERR_CORRUPT, "the key yes is a bool of 2, 0 or 1 was expected");
}

static void a_file_that_is_not_there_is_not_found(void **state)
{
    (void)state;
    struct gguf *g = NULL;

    ASSERT_FAILS(gguf_open("no/such.gguf", &g, &err), ERR_NOT_FOUND, "cannot open no/such.gguf");
    assert_null(g);
}

/* A part of a model: number no of count, 0 the first, with one tensor; total: in all parts, -1 to say nothing of it. */
static struct gguf *part(uint16_t no, uint16_t count, int32_t total, const char *tensor)
{
    struct gguf_bytes w = gguf_bytes_new(3);
    struct gguf *g = NULL;

    buf_put(gguf_bytes_key(&w, "split.no", GGUF_U16), &no, sizeof no);
    buf_put(gguf_bytes_key(&w, "split.count", GGUF_U16), &count, sizeof count);
    if (total >= 0)
        buf_put(gguf_bytes_key(&w, "split.tensors.count", GGUF_I32), &total, sizeof total);
    gguf_bytes_tensor(&w, tensor, 0, 1, (uint64_t[]){4}, 16);
    const struct str file = gguf_bytes_finish(&w, &arena);
    ASSERT_OK(gguf_open_bytes(
        file.ptr, file.len, arena_printf(&arena, "m-%05d-of-%05d.gguf", no + 1, count), &g, &err));
    return g;
}

static void parts_become_one(void **state)
{
    struct gguf *first = part(0, 3, 3, "b"), *others[] = {part(1, 3, -1, "c"), part(2, 3, -1, "a")};

    (void)state;
    ASSERT_OK(gguf_join(first, others, 2, &err));
    assert_int_equal(gguf_count(first), 3);
    assert_int_equal(gguf_n_files(first), 3);
    assert_string_equal(gguf_at(first, 0)->name, "b"); /* part after part */
    assert_string_equal(gguf_at(first, 2)->name, "a");
    for (size_t i = 0; i < 3; i++) {
        const struct gguf_tensor *t = gguf_at(first, i);
        const char *data = t->data, *file = (const char *)gguf_file(first, i).ptr;

        assert_ptr_equal(gguf_find(first, t->name), t);
        assert_true(data > file && data + 16 <= file + gguf_file(first, i).len);
    }
    gguf_close(first);
}

#define ASSERT_NO_JOIN(first, other, kind, text)                                                   \
    do {                                                                                           \
        struct gguf *first_ = first, *others_[] = {other};                                         \
        ASSERT_FAILS(gguf_join(first_, others_, 1, &err), kind, text);                             \
        gguf_close(first_);                                                                        \
    } while (0)

static void parts_that_do_not_belong_together_are_refused(void **state)
{
    (void)state;
    ASSERT_NO_JOIN(part(0, 2, 2, "a"), part(0, 2, 2, "b"), ERR_INVALID,
                   "m-00001-of-00002.gguf says that it is part 1 of 2, part 2 of 2 was expected");
    ASSERT_NO_JOIN(part(0, 2, 2, "a"), part(1, 3, 2, "b"), ERR_INVALID,
                   "m-00002-of-00003.gguf says that it is part 2 of 3, part 2 of 2 was expected");
    ASSERT_NO_JOIN(part(1, 2, 2, "a"), part(1, 2, 2, "b"), ERR_INVALID, "part 1 of 2 was expected");
    ASSERT_NO_JOIN(part(0, 2, 7, "a"), part(1, 2, 7, "b"), ERR_INVALID,
                   "m-00001-of-00002.gguf: split.tensors.count is 7, but the 2 parts have 2");
    ASSERT_NO_JOIN(part(0, 2, 2, "a"), part(1, 2, 2, "a"), ERR_CORRUPT,
                   "the tensor a is there twice");
    struct gguf_bytes w = small();
    struct gguf *g = NULL;
    ASSERT_OK(opens(&w, &g));
    ASSERT_NO_JOIN(part(0, 2, -1, "a"), g, ERR_INVALID, "test.gguf: the key split.no is missing");
}

static void put_file(const char *path, struct str bytes)
{
    ASSERT_OK(file_put(path, bytes, &err));
}

/* The reference's three parts, spoiled one after another. */
static void parts_lie_beside_the_first(void **state)
{
    char *dir = test_dir_make(&arena);
    const char *path[3];
    struct str bytes[3];
    struct gguf *g = NULL;

    (void)state;
    for (int i = 0; i < 3; i++) {
        const char *name = arena_printf(&arena, "mixed-%05d-of-00003.gguf", i + 1);

        ASSERT_OK(file_read(golden_path(&arena, arena_printf(&arena, "formats/%s", name)), 1 << 20,
                            &arena, &bytes[i], &err));
        path[i] = file_join(&arena, dir, name);
        put_file(path[i], bytes[i]);
    }
    ASSERT_OK(gguf_open(path[0], &g, &err));
    assert_int_equal(gguf_n_files(g), 3);
    assert_int_equal(gguf_count(g), 20);
    gguf_close(g);
    g = NULL;
    ASSERT_FAILS(gguf_open(path[1], &g, &err), ERR_INVALID,
                 "is part 2 of 3; give the first, whose name ends in -00001-of-00003.gguf");
    put_file(path[2], (struct str){bytes[2].ptr, bytes[2].len / 2});
    ASSERT_FAILS(gguf_open(path[0], &g, &err), ERR_CORRUPT, "while opening part 3 of 3: ");
    assert_non_null(strstr(err.message, path[2])); /* the one that is cut short is named */
    put_file(path[2], bytes[1]);
    ASSERT_FAILS(gguf_open(path[0], &g, &err), ERR_INVALID,
                 "mixed-00003-of-00003.gguf says that it is part 2 of 3");
    ASSERT_OK(file_remove_tree(path[1], &err));
    ASSERT_FAILS(gguf_open(path[0], &g, &err), ERR_NOT_FOUND, "mixed-00002-of-00003.gguf");
    const char *other = file_join(&arena, dir, "other.gguf");
    put_file(other, bytes[0]);
    ASSERT_FAILS(gguf_open(other, &g, &err), ERR_INVALID,
                 "other.gguf is the first of 3 parts, but its name does not end in "
                 "-00001-of-00003.gguf");
    assert_null(g);
    test_dir_remove(dir);
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
        cmocka_unit_test(the_reference_s_file_is_read_whole),
        cmocka_unit_test(every_type_of_value_is_read),
        cmocka_unit_test(a_missing_key_leaves_the_default),
        cmocka_unit_test(a_value_of_another_type_is_told),
        cmocka_unit_test(versions_2_and_3_are_read_and_others_named),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(what_is_there_twice_is_refused),
        cmocka_unit_test(a_type_that_is_not_read_is_named_with_its_tensor),
        cmocka_unit_test(every_readable_type_has_the_format_s_number),
        cmocka_unit_test(tensors_lie_in_the_file_aligned_and_apart),
        cmocka_unit_test(the_file_s_alignment_is_used),
        cmocka_unit_test(shapes_that_cannot_be_are_refused),
        cmocka_unit_test(counts_beyond_the_file_cost_no_memory),
        cmocka_unit_test(arrays_nest_only_so_deep),
        cmocka_unit_test(names_are_fit_for_a_message),
        cmocka_unit_test(a_bool_is_0_or_1),
        cmocka_unit_test(a_file_that_is_not_there_is_not_found),
        cmocka_unit_test(parts_become_one),
        cmocka_unit_test(parts_that_do_not_belong_together_are_refused),
        cmocka_unit_test(parts_lie_beside_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
