#include "cli/grader_file.h"
#include "base/file.h"
#include "base/limits.h"

static bool python_read(const char *path, json_t **out, struct error *err)
{
    const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
    struct arena a = {0};
    struct str source;
    bool ok = file_read(path, LIMIT_GRADER_SOURCE, &a, &source, err);

    if (ok) {
        json_t *text = json_stringn(source.ptr, source.len),
               *stem = json_stringn(name, strlen(name) - strlen(".py"));

        *out = json_pack("{s:s, s:o*, s:o}", "type", "python", "name", stem, "source", text);
        ok = *out != NULL ||
             fail(err, ERR_INVALID, "%s is not UTF-8, and Python source was expected", path);
    }
    arena_release(&a);
    return ok;
}

bool grader_file_read(const char *path, json_t **out, struct error *err)
{
    return str_ends(str_of(path), STR(".py")) ? python_read(path, out, err)
                                              : json_read_file(path, out, err);
}
