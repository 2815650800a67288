/*
 * support.c - folders and golden paths for the tests.
 */
#include "support/support.h"
#include "base/file.h"

#include <stdlib.h>

const char *golden_path(struct arena *a, const char *name)
{
    return arena_printf(a, "%s/golden/%s", TEST_DIR, name);
}

char *test_dir_make(struct arena *a)
{
    const char *tmp = getenv("TMPDIR");
    char *dir = arena_printf(a, "%s/hone-test-XXXXXX", tmp != NULL ? tmp : "/tmp");

    assert_non_null(mkdtemp(dir));
    return dir;
}

void test_dir_remove(const char *dir)
{
    struct error err;

    if (!file_remove_tree(dir, &err))
        fail_msg("%s", err.message);
}

size_t count_lines(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += s.ptr[i] == '\n';
    return n;
}
