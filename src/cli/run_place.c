/*
 * run_place.c - names that are safe as folders, counted up.
 */
#include "cli/run_place.h"
#include "base/file.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>

#define MAX_RUNS 100000

/* Letters, digits, '.', '_' and '-'; everything else becomes a '-'. */
static const char *folder_name(const char *name, struct arena *a)
{
    char *safe = arena_text(a, str_of(name));

    for (char *p = safe; *p != '\0'; p++)
        if (!isalnum((unsigned char)*p) && strchr("._-", *p) == NULL)
            *p = '-';
    while (*safe == '.' || *safe == '-')
        safe++;
    return *safe != '\0' ? safe : "run";
}

static const char *without_ending(const char *path, const char *ending, struct arena *a)
{
    struct str s = str_of(model_plain_name(path, a));

    if (str_ends(s, str_of(ending)))
        s.len -= strlen(ending);
    return arena_text(a, s);
}

static const char *name_of(const struct job_file *j, struct arena *a)
{
    const char *suffix = json_string_value(json_object_get(j->body, "suffix"));

    if (suffix != NULL && suffix[0] != '\0')
        return folder_name(suffix, a);
    if (j->file != NULL && strcmp(without_ending(j->file, ".json", a), "job") != 0)
        return folder_name(without_ending(j->file, ".json", a), a);
    return folder_name(without_ending(j->train, ".jsonl", a), a);
}

static const char *numbered(const char *dir, int i, struct arena *a)
{
    return i == 1 ? dir : arena_printf(a, "%s-%d", dir, i);
}

bool run_place(struct cli *c, const struct job_file *j, bool resume, const char **out,
               struct error *err)
{
    const char *given = option_text(c->options, OPT_OUT);
    const char *dir;
    int i = 1;

    if (given != NULL) {
        *out = given;
        return true;
    }
    dir = file_join(c->arena, file_join(c->arena, c->home, "runs"), name_of(j, c->arena));
    while (i < MAX_RUNS && file_exists(numbered(dir, i, c->arena)))
        i++;
    if (resume && i == 1)
        return fail(err, ERR_NOT_FOUND,
                    "there is no run in %s to go on with; --out says where it is", dir);
    *out = numbered(dir, resume ? i - 1 : i, c->arena);
    return true;
}

const char *path_from(const char *dir, const char *path, struct arena *a)
{
    char from[PATH_MAX], to[PATH_MAX];
    const char *up = "";
    size_t same = 0;

    if (realpath(dir, from) == NULL || realpath(path, to) == NULL)
        return arena_text(a, str_of(path));
    for (size_t i = 0;; i++) { /* both begin with the same folders up to same */
        const bool from_ends = from[i] == '\0' || from[i] == '/',
                   to_ends = to[i] == '\0' || to[i] == '/';

        if (from_ends && to_ends)
            same = i;
        if (from[i] != to[i] || from[i] == '\0')
            break;
    }
    for (const char *p = from + same; *p != '\0'; p++)
        if (*p == '/' && p[1] != '\0')
            up = arena_printf(a, "../%s", up);
    return arena_printf(a, "%s%s", up, to[same] == '/' ? to + same + 1 : to + same);
}
