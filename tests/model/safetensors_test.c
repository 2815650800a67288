/*
 * safetensors_test.c - what is written is read back, the reference's files too, and no broken one gets through.
 */
#include "base/file.h"
#include "base/reader.h"
#include "base/size.h"
#include "model/safetensors.h"
#include "support/support.h"

#include <dirent.h>
#include <stdlib.h>

static struct arena arena;
static struct error err;

/* A file of this header and so many bytes of data, in a block of its own. */
static struct str file_of(struct str header, size_t n_data)
{
    const uint64_t len = header.len;
    char *p = arena_alloc(&arena, sizeof len + header.len + n_data);

    memcpy(p, &len, sizeof len);
    memcpy(p + sizeof len, header.ptr, header.len);
    return (struct str){p, sizeof len + header.len + n_data};
}

static bool opens(const char *header, size_t n_data, struct safetensors **s)
{
    const struct str file = file_of(str_of(header), n_data);

    return safetensors_open_bytes(file.ptr, file.len, "test.safetensors", s, &err);
}

#define ASSERT_REFUSED(header, n_data, kind, text)                                                 \
    do {                                                                                           \
        struct safetensors *s_ = NULL;                                                             \
        ASSERT_FAILS(opens(header, n_data, &s_), kind, text);                                      \
        assert_null(s_);                                                                           \
    } while (0)

static void the_reference_s_file_is_read(void **state)
{
    (void)state;
    struct safetensors *s = NULL;

    ASSERT_OK(safetensors_open(golden_path(&arena, "tiny/hf/model.safetensors"), &s, &err));
    assert_int_equal(safetensors_count(s), 29);
    assert_int_equal(safetensors_n_files(s), 1);
    const struct safetensor *t = safetensors_find(s, "model.layers.2.mlp.down_proj.weight");
    assert_non_null(t);
    assert_int_equal(t->dtype, DTYPE_F32);
    assert_int_equal(t->n_dims, 2);
    assert_int_equal(t->dims[0], 64);
    assert_int_equal(t->dims[1], 96);
    assert_null(safetensors_find(s, "lm_head.weight"));
    for (size_t i = 1; i < safetensors_count(s); i++) /* in the order of the data */
        assert_true((uintptr_t)safetensors_at(s, i - 1)->data <
                    (uintptr_t)safetensors_at(s, i)->data);
    safetensors_close(s);
    safetensors_close(NULL);
}

static void shards_are_read_as_one(void **state)
{
    (void)state;
    struct safetensors *s = NULL;

    /* there is no such file, but its index */
    ASSERT_OK(
        safetensors_open(golden_path(&arena, "tiny/hf-bf16-sharded/model.safetensors"), &s, &err));
    assert_int_equal(safetensors_count(s), 29);
    assert_int_equal(safetensors_n_files(s), 2);
    assert_int_equal(safetensors_find(s, "model.embed_tokens.weight")->dtype, DTYPE_BF16);
    assert_non_null(safetensors_find(s, "model.norm.weight"));
    safetensors_close(s);
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    static const float a[6] = {1, -2, 0.5f, 1e-38f, 3, 4}, one = 42;
    static const uint16_t b[3] = {0x3c00, 0x7bff, 1};
    static const char *const metadata[][2] = {{"format", "pt"}, {"made \"by\"", "a test\n"}};
    const struct safetensor tensors[] = {
        {.name = "b.weight", .dtype = DTYPE_F32, .n_dims = 2, .dims = {2, 3}, .data = a},
        {.name = "scalar", .dtype = DTYPE_F32, .n_dims = 0, .data = &one},
        {.name = "nothing", .dtype = DTYPE_F32, .n_dims = 2, .dims = {0, 7}, .data = a},
        {.name = "a", .dtype = DTYPE_F16, .n_dims = 1, .dims = {3}, .data = b},
    };
    char *dir = test_dir_make(&arena), *path = file_join(&arena, dir, "x.safetensors");
    struct safetensors *s = NULL;
    struct str first, second;

    ASSERT_OK(
        safetensors_write(path, tensors, COUNT_OF(tensors), metadata, COUNT_OF(metadata), &err));
    ASSERT_OK(safetensors_open(path, &s, &err));
    assert_int_equal(safetensors_count(s), 4);
    for (size_t i = 0; i < COUNT_OF(tensors); i++) {
        const struct safetensor *t = safetensors_find(s, tensors[i].name);
        size_t n = 1;

        assert_non_null(t);
        assert_int_equal(t->dtype, tensors[i].dtype);
        assert_int_equal(t->n_dims, tensors[i].n_dims);
        for (size_t d = 0; d < t->n_dims; d++) {
            assert_int_equal(t->dims[d], tensors[i].dims[d]);
            n *= t->dims[d];
        }
        assert_memory_equal(t->data, tensors[i].data, dtype_bytes(t->dtype, n));
    }
    assert_string_equal(safetensors_at(s, 0)->name, "b.weight"); /* in the order given */
    assert_string_equal(safetensors_at(s, 3)->name, "a");
    safetensors_close(s);

    /* the same input, the same bytes; and the header ends where a multiple of 8 does */
    ASSERT_OK(file_read(path, 1 << 20, &arena, &first, &err));
    ASSERT_OK(
        safetensors_write(path, tensors, COUNT_OF(tensors), metadata, COUNT_OF(metadata), &err));
    ASSERT_OK(file_read(path, 1 << 20, &arena, &second, &err));
    assert_true(str_eq(first, second));
    struct reader r = reader_of(first.ptr, first.len);
    const struct str header = reader_str64(&r);
    assert_int_equal(header.len % 8, 0);
    assert_true(str_starts(
        header, STR("{\"__metadata__\":{\"format\":\"pt\",\"made \\\"by\\\"\":\"a test\\n\"},"
                    "\"b.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
                    "\"scalar\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[24,28]},")));
    test_dir_remove(dir);
}

static void the_reference_s_tensors_survive_a_rewrite(void **state)
{
    (void)state;
    char *dir = test_dir_make(&arena), *path = file_join(&arena, dir, "again.safetensors");
    struct safetensors *s = NULL, *again = NULL;

    ASSERT_OK(
        safetensors_open(golden_path(&arena, "tiny/adapter/adapter_model.safetensors"), &s, &err));
    const size_t n = safetensors_count(s);
    struct safetensor *list = ARENA_ARRAY(&arena, struct safetensor, n);
    for (size_t i = 0; i < n; i++)
        list[i] = *safetensors_at(s, i);
    ASSERT_OK(safetensors_write(path, list, n, NULL, 0, &err));
    ASSERT_OK(safetensors_open(path, &again, &err));
    assert_int_equal(safetensors_count(again), n);
    for (size_t i = 0; i < n; i++) {
        const struct safetensor *t = safetensors_at(again, i);

        assert_string_equal(t->name, list[i].name);
        assert_memory_equal(t->data, list[i].data, t->dims[0] * t->dims[1] * sizeof(float));
    }
    safetensors_close(again);
    safetensors_close(s);
    test_dir_remove(dir);
}

static size_t files_in(const char *path)
{
    DIR *dir = opendir(path);
    size_t n = 0;

    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void what_cannot_be_written_leaves_nothing_behind(void **state)
{
    (void)state;
    static const float x[256] = {1};
    char *dir = test_dir_make(&arena), *path = file_join(&arena, dir, "x.safetensors");
    const struct safetensor twice[] = {
        {"a", DTYPE_F32, 1, {1}, x}, {"b", DTYPE_F32, 1, {1}, x}, {"a", DTYPE_F32, 1, {1}, x}};
    const struct safetensor block[] = {{"q", DTYPE_Q8_0, 1, {32}, x}};
    const struct safetensor reserved[] = {{"__metadata__", DTYPE_F32, 1, {1}, x}};
    const struct safetensor nameless[] = {{"", DTYPE_F32, 1, {1}, x}};

    ASSERT_FAILS(safetensors_write(path, twice, 3, NULL, 0, &err), ERR_INVALID,
                 "the name \"a\" of a tensor is there twice");
    ASSERT_FAILS(safetensors_write(path, block, 1, NULL, 0, &err), ERR_UNSUPPORTED,
                 "the tensor \"q\" is Q8_0");
    ASSERT_FAILS(safetensors_write(path, reserved, 1, NULL, 0, &err), ERR_INVALID, "not usable");
    ASSERT_FAILS(safetensors_write(path, nameless, 1, NULL, 0, &err), ERR_INVALID, "not usable");
    ASSERT_FAILS(safetensors_write(file_join(&arena, dir, "no/x"), twice, 2, NULL, 0, &err),
                 ERR_NOT_FOUND, "cannot create");
    assert_int_equal(files_in(dir), 0);
    ASSERT_OK(safetensors_write(path, twice, 0, NULL, 0, &err)); /* no tensor is a file, too */
    assert_int_equal(files_in(dir), 1);
    test_dir_remove(dir);
}

static void a_file_cut_anywhere_is_refused(void **state)
{
    (void)state;
    const struct str file =
        file_of(STR("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}"), 8);
    struct safetensors *s = NULL;

    ASSERT_OK(safetensors_open_bytes(file.ptr, file.len, "x", &s, &err));
    safetensors_close(s);
    for (size_t len = 0; len < file.len; len++) {
        char *cut = malloc(len + 1);

        memcpy(cut, file.ptr, len);
        s = NULL;
        err = (struct error){0};
        if (safetensors_open_bytes(cut, len, "cut.safetensors", &s, &err))
            fail_msg("%zu of %zu bytes were taken for a whole file", len, file.len);
        assert_int_equal(err.kind, ERR_CORRUPT);
        free(cut);
    }
}

static void a_header_that_is_none_is_refused(void **state)
{
    (void)state;
    struct safetensors *s = NULL;
    const uint64_t lies[] = {1ull << 63, 16};

    ASSERT_REFUSED("[1]", 0, ERR_CORRUPT, "the header does not begin with {");
    ASSERT_REFUSED("{\"a\":", 0, ERR_INVALID, "test.safetensors: not valid JSON");
    ASSERT_REFUSED("{\"a\":1}", 0, ERR_CORRUPT, "the tensor \"a\" has no \"dtype\"");
    ASSERT_REFUSED("{\"a\":{},\"a\":{}}", 0, ERR_INVALID, "duplicate");
    ASSERT_FAILS(safetensors_open_bytes(lies, 16, "x", &s, &err), ERR_CORRUPT,
                 "the header claims 9223372036854775808 bytes");
    ASSERT_FAILS(safetensors_open_bytes("", 0, "x", &s, &err), ERR_CORRUPT,
                 "x has 0 bytes, too few");
}

static void position_ids_have_their_place_and_are_not_handed_out(void **state)
{
    (void)state;
    struct safetensors *s = NULL;
#define IDS(type, offsets)                                                                         \
    "{\"a.position_ids\":{\"dtype\":" type ",\"shape\":[1,2],\"data_offsets\":" offsets            \
    "},\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[16,20]}}"

    ASSERT_OK(opens(IDS("\"I64\"", "[0,16]"), 20, &s));
    assert_int_equal(safetensors_count(s), 1);
    assert_string_equal(safetensors_at(s, 0)->name, "t");
    assert_null(safetensors_find(s, "a.position_ids"));
    safetensors_close(s);
    ASSERT_REFUSED(IDS("\"I64\"", "[0,8]"), 20, ERR_CORRUPT,
                   "has 8 bytes, its shape and type make 16");
    ASSERT_REFUSED(IDS("\"I64\"", "[4,20]"), 20, ERR_CORRUPT, "nothing fills the gap");
    ASSERT_REFUSED(IDS("\"I32\"", "[0,8]"), 20, ERR_UNSUPPORTED, "has the type I32");
}

static void a_tensor_s_row_of_the_table_must_fit(void **state)
{
    (void)state;
#define ROW(type, shape, offsets)                                                                  \
    "{\"t\":{\"dtype\":" type ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
    ASSERT_REFUSED(
        ROW("\"U8\"", "[4]", "[0,4]"), 4, ERR_UNSUPPORTED,
        "the tensor \"t\" has the type U8; F32, F16, BF16, F8_E4M3 and F8_E5M2 are read");
    ASSERT_REFUSED(ROW("7", "[4]", "[0,4]"), 4, ERR_CORRUPT, "no \"dtype\"");
    ASSERT_REFUSED(ROW("\"F32\"", "7", "[0,4]"), 4, ERR_CORRUPT, "no \"dtype\", \"shape\"");
    ASSERT_REFUSED(ROW("\"F32\"", "[1]", "[0]"), 4, ERR_CORRUPT, "two \"data_offsets\"");
    ASSERT_REFUSED(ROW("\"F32\"", "[-1]", "[0,4]"), 4, ERR_CORRUPT,
                   "an impossible shape at dimension 0");
    ASSERT_REFUSED(ROW("\"F32\"", "[1,1.5]", "[0,4]"), 4, ERR_CORRUPT,
                   "an impossible shape at dimension 1");
    ASSERT_REFUSED(ROW("\"F32\"", "[4294967296,4294967296]", "[0,4]"), 4, ERR_CORRUPT,
                   "an impossible shape");
    ASSERT_REFUSED(ROW("\"F32\"", "[4611686018427387904]", "[0,0]"), 0, ERR_CORRUPT,
                   "has 4611686018427387904 values");
    ASSERT_REFUSED(ROW("\"F32\"", "[1,1,1,1,1]", "[0,4]"), 4, ERR_LIMIT,
                   "has 5 dimensions, at most 4 are read");
    ASSERT_REFUSED(ROW("\"F32\"", "[1]", "[4,0]"), 4, ERR_CORRUPT, "impossible data_offsets");
    ASSERT_REFUSED(ROW("\"F32\"", "[1]", "[-4,0]"), 4, ERR_CORRUPT, "impossible data_offsets");
    ASSERT_REFUSED(ROW("\"F32\"", "[2]", "[0,8]"), 4, ERR_CORRUPT,
                   "ends at byte 8 of the data, which has 4: the file is cut short");
    ASSERT_REFUSED(ROW("\"F32\"", "[2]", "[0,4]"), 4, ERR_CORRUPT,
                   "the tensor \"t\" has 4 bytes, its shape and type make 8");
    ASSERT_REFUSED(ROW("\"F32\"", "[1]", "[0,4]"), 8, ERR_CORRUPT,
                   "the last tensor ends at byte 4 of the data, which has 8");
#undef ROW
}

static void tensors_neither_overlap_nor_leave_gaps(void **state)
{
    (void)state;
#define TWO(from, to)                                                                              \
    "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"                             \
    "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[" from "," to "]}}"
    struct safetensors *s = NULL;

    ASSERT_OK(opens(TWO("8", "16"), 16, &s));
    safetensors_close(s);
    ASSERT_REFUSED(TWO("4", "12"), 12, ERR_CORRUPT,
                   "the tensor \"b\" begins at byte 4 of the data, inside of another");
    ASSERT_REFUSED(TWO("0", "8"), 8, ERR_CORRUPT, "inside of another");
    ASSERT_REFUSED(TWO("12", "20"), 20, ERR_CORRUPT,
                   "the tensor \"b\" begins at byte 12 of the data, and nothing fills the gap");
#undef TWO
}

/* A folder with two shards, one tensor each, and this index. */
static const char *sharded(char *dir, const char *second_name, const char *index)
{
    static const float x = 1;
    const struct safetensor a = {"a", DTYPE_F32, 1, {1}, &x},
                            b = {second_name, DTYPE_F32, 1, {1}, &x};

    ASSERT_OK(safetensors_write(file_join(&arena, dir, "1.safetensors"), &a, 1, NULL, 0, &err));
    ASSERT_OK(safetensors_write(file_join(&arena, dir, "2.safetensors"), &b, 1, NULL, 0, &err));
    ASSERT_OK(file_put(file_join(&arena, dir, "m.safetensors.index.json"), str_of(index), &err));
    return file_join(&arena, dir, "m.safetensors");
}

static void an_index_and_its_shards_must_agree(void **state)
{
    (void)state;
    char *dir = test_dir_make(&arena);
    struct safetensors *s = NULL;
    const char *right = "{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}";

    ASSERT_OK(safetensors_open(sharded(dir, "b", right), &s, &err));
    assert_int_equal(safetensors_count(s), 2);
    safetensors_close(s);
    s = NULL;
    const char *indexed = sharded(dir, "b",
                                  "{\"weight_map\":{\"a\":\"1.safetensors\","
                                  "\"x.position_ids\":\"2.safetensors\"}}");
    ASSERT_OK(file_put(file_join(&arena, dir, "2.safetensors"),
                       file_of(STR("{\"x.position_ids\":{\"dtype\":\"I64\",\"shape\":[2],"
                                   "\"data_offsets\":[0,16]}}"),
                               16),
                       &err));
    ASSERT_OK(safetensors_open(indexed, &s, &err)); /* the index names it, nobody gets it */
    assert_int_equal(safetensors_count(s), 1);
    assert_null(safetensors_find(s, "x.position_ids"));
    safetensors_close(s);
    s = NULL;
    ASSERT_FAILS(safetensors_open(sharded(dir, "a", right), &s, &err), ERR_CORRUPT,
                 "the tensor \"a\" is both in");
    ASSERT_FAILS(safetensors_open(sharded(dir, "c", right), &s, &err), ERR_INVALID,
                 "the tensor \"b\" is not in 2.safetensors, where it is said to be");
    const char *path =
        sharded(dir, "b", "{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"1.safetensors\"}}");
    ASSERT_FAILS(safetensors_open(path, &s, &err), ERR_INVALID,
                 "the tensor \"b\" is not in 1.safetensors");
    path = sharded(dir, "b", "{\"weight_map\":{\"a\":\"2.safetensors\",\"b\":\"1.safetensors\"}}");
    ASSERT_FAILS(safetensors_open(path, &s, &err), ERR_INVALID,
                 "the tensor \"a\" is not in 2.safetensors");
    path = sharded(dir, "b", "{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"3.safetensors\"}}");
    ASSERT_FAILS(safetensors_open(path, &s, &err), ERR_NOT_FOUND, "3.safetensors");
    path = sharded(dir, "b", "{\"weight_map\":{\"a\":\"../1.safetensors\"}}");
    ASSERT_FAILS(safetensors_open(path, &s, &err), ERR_INVALID,
                 "the name of a file in the same folder was expected");
    path = sharded(dir, "b", "{\"weight_map\":{\"a\":7}}");
    ASSERT_FAILS(safetensors_open(path, &s, &err), ERR_INVALID, "\"a\" leads to \"\"");
    path = sharded(dir, "b", "{\"weight_map\":{}}");
    ASSERT_FAILS(safetensors_open(path, &s, &err), ERR_LIMIT, "\"weight_map\" names 0 files");
    path = sharded(dir, "b", "{\"weights\":{}}");
    ASSERT_FAILS(safetensors_open(path, &s, &err), ERR_INVALID,
                 "\"weight_map\" is nothing, an object was expected");
    path = sharded(dir, "b", "{");
    ASSERT_FAILS(safetensors_open(path, &s, &err), ERR_INVALID,
                 "m.safetensors.index.json: not valid JSON");
    ASSERT_FAILS(safetensors_open(file_join(&arena, dir, "other"), &s, &err), ERR_NOT_FOUND,
                 "cannot open");
    assert_null(s);
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
        cmocka_unit_test(the_reference_s_file_is_read),
        cmocka_unit_test(shards_are_read_as_one),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(the_reference_s_tensors_survive_a_rewrite),
        cmocka_unit_test(what_cannot_be_written_leaves_nothing_behind),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(a_header_that_is_none_is_refused),
        cmocka_unit_test(position_ids_have_their_place_and_are_not_handed_out),
        cmocka_unit_test(a_tensor_s_row_of_the_table_must_fit),
        cmocka_unit_test(tensors_neither_overlap_nor_leave_gaps),
        cmocka_unit_test(an_index_and_its_shards_must_agree),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
