/*
 * export_test.c - a folder that is parted says what one in one piece does, and an export can be stopped.
 */
#include "base/file.h"
#include "base/size.h"
#include "model/export.h"
#include "model/safetensors.h"
#include "support/graded.h"

struct setting {
    struct rig rig;
    struct model_files *files;
    struct adapter *adapter;
    char *dir; /* goes away with the test */
};

static int open_tiny(void **state)
{
    static struct setting s;
    struct error err = {0};

    rig_open_tiny(&s.rig);
    ASSERT_OK(model_files_open(TEST_DIR "/golden/tiny/hf", &s.files, &err));
    ASSERT_OK(adapter_load(model_files_config(s.files), TEST_DIR "/golden/tiny/adapter", &s.adapter,
                           &err));
    s.dir = test_dir_make(&s.rig.arena);
    *state = &s;
    return 0;
}

static int close_tiny(void **state)
{
    struct setting *s = *state;

    test_dir_remove(s->dir);
    adapter_close(s->adapter);
    model_files_close(s->files);
    rig_close(&s->rig);
    return 0;
}

static const char *exported(struct setting *s, const char *name, size_t shard_bytes)
{
    char *dir = file_join(&s->rig.arena, s->dir, name);
    const struct export_options o = {
        .files = s->files, .adapter = s->adapter, .dtype = DTYPE_F16, .shard_bytes = shard_bytes};
    struct error err = {0};

    ASSERT_OK(file_make_dirs(dir, &err));
    ASSERT_OK(export_folder(&o, dir, &err));
    return dir;
}

static void parts_hold_what_one_file_does(void **state)
{
    struct setting *s = *state;
    const char *one = exported(s, "one", EXPORT_SHARD_BYTES), *many = exported(s, "many", 30000);
    struct model_files *files = NULL;
    struct safetensors *a = NULL, *b = NULL;
    struct error err = {0};

    assert_false(file_exists(file_join(&s->rig.arena, many, "model.safetensors")));
    assert_false(file_exists(file_join(&s->rig.arena, one, "model.safetensors.index.json")));
    ASSERT_OK(model_files_open(many, &files, &err)); /* the index names every tensor */
    model_files_close(files);
    ASSERT_OK(safetensors_open(file_join(&s->rig.arena, one, "model.safetensors"), &a, &err));
    ASSERT_OK(safetensors_open(file_join(&s->rig.arena, many, "model.safetensors"), &b, &err));
    assert_true(safetensors_n_files(b) > 3);
    assert_int_equal(safetensors_count(a), safetensors_count(b));
    for (size_t i = 0; i < safetensors_count(a); i++) {
        const struct safetensor *x = safetensors_at(a, i), *y = safetensors_find(b, x->name);
        size_t n = 1;

        assert_non_null(y);
        assert_int_equal(x->n_dims, y->n_dims);
        for (size_t d = 0; d < x->n_dims; d++) {
            assert_int_equal(x->dims[d], y->dims[d]);
            n *= x->dims[d];
        }
        assert_memory_equal(x->data, y->data, dtype_bytes(DTYPE_F16, n));
    }
    safetensors_close(a);
    safetensors_close(b);
}

static void an_export_is_stopped(void **state)
{
    struct setting *s = *state;
    const atomic_bool stop = true;
    const struct export_options o = {.files = s->files,
                                     .adapter = s->adapter,
                                     .dtype = DTYPE_F32,
                                     .shard_bytes = EXPORT_SHARD_BYTES,
                                     .stop = &stop};
    struct error err = {0};

    assert_false(export_folder(&o, s->dir, &err));
    assert_int_equal(err.kind, ERR_CANCELLED);
    assert_false(file_exists(file_join(&s->rig.arena, s->dir, "model.safetensors")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(parts_hold_what_one_file_does, open_tiny, close_tiny),
        cmocka_unit_test_setup_teardown(an_export_is_stopped, open_tiny, close_tiny),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
