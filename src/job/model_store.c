/*
 * model_store.c - names are looked up where they may mean something, in a fixed order, and never guessed.
 */
#include "job/model_store.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/size.h"
#include "job/run_read.h"
#include "text/json.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_ENTRIES ((size_t)100000) /* files in a folder */

const char *home_default(struct arena *a)
{
    const char *home = getenv("HONE_HOME"), *user = getenv("HOME");

    if (home != NULL && home[0] != '\0')
        return arena_text(a, str_of(home));
    return file_join(a, user != NULL && user[0] != '\0' ? user : "/var/lib", ".local/share/hone");
}

const char *model_plain_name(const char *path, struct arena *a)
{
    struct str s = str_of(path);

    while (s.len > 1 && s.ptr[s.len - 1] == '/')
        s.len--;
    for (size_t i = s.len; i > 0; i--) {
        if (s.ptr[i - 1] == '/' && i < s.len) {
            s = str_from(s, i);
            break;
        }
    }
    if (str_ends(s, STR(".gguf")) && s.len > 5)
        s.len -= 5;
    return arena_text(a, s);
}

/* ---- folders ---- */

static bool holds(struct arena *a, const char *dir, const char *name)
{
    return file_exists(file_join(a, dir, name));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names in a folder in alphabetical order, hidden ones left out. No folder: none. */
static bool list_names(const char *dir, struct arena *a, const char ***out, size_t *n,
                       struct error *err)
{
    DIR *d = opendir(dir);
    size_t cap = 0;

    *out = NULL;
    *n = 0;
    if (d == NULL)
        return errno == ENOENT ? true : fail_errno(err, "cannot read the folder %s", dir);
    for (struct dirent *e; *n < MAX_ENTRIES && (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        if (*n == cap) {
            const char **grown = ARENA_ARRAY(a, const char *, cap = size_max(16, 2 * cap));

            if (*n > 0)
                memcpy(grown, *out, *n * sizeof *grown);
            *out = grown;
        }
        (*out)[(*n)++] = arena_text(a, str_of(e->d_name));
    }
    closedir(d);
    if (*n > 0)
        qsort(*out, *n, sizeof **out, by_name);
    return true;
}

/* ---- what a run says of itself ---- */

static const char *text_of(const json_t *object, const char *key, struct arena *a)
{
    const json_t *v = json_object_get(object, key);

    return json_is_string(v) && json_string_length(v) > 0 ? arena_text(a, json_str(v)) : NULL;
}

/* A base model by a name that stands in a run or an adapter; from: the folder it may be relative to. */
static const char *base_by_name(const char *home, const char *from, const char *name,
                                struct arena *a)
{
    const char *tried[] = {name, file_join(a, from, name),
                           file_join(a, file_join(a, home, "models"), name), NULL};

    tried[3] = arena_printf(a, "%s.gguf", tried[2]);
    for (size_t i = 0; i < COUNT_OF(tried); i++)
        if (file_exists(tried[i]) && (!file_is_dir(tried[i]) || holds(a, tried[i], "config.json")))
            return tried[i];
    return NULL;
}

static bool base_of_run(const char *home, const char *run, struct arena *a, struct model_ref *out,
                        struct error *err)
{
    json_t *file = NULL;

    if (!run_read_job(run, &file, err))
        return false;
    const char *path = text_of(json_object_get(file, "resolved"), "model_path", a);
    const char *name = text_of(json_object_get(file, "job"), "model", a);
    json_decref(file);
    if (path != NULL && path[0] != '/') /* as seen from the run */
        path = file_join(a, run, path);
    if (path == NULL || !file_exists(path))
        path = name != NULL ? base_by_name(home, run, name, a) : NULL;
    if (path == NULL)
        return fail(err, ERR_NOT_FOUND,
                    "the run in %s was trained from \"%s\", which is no longer there: give the "
                    "model and the adapter apart",
                    run, name != NULL ? name : "(no name)");
    out->path = path;
    out->run = arena_text(a, str_of(run));
    return true;
}

/* DIR/checkpoints/step-N -> DIR, where that is a run; else NULL. */
static const char *run_of_checkpoint(const char *dir, struct arena *a)
{
    char full[PATH_MAX];

    if (realpath(dir, full) == NULL)
        return NULL;
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(full, '/');

        if (slash == NULL || slash == full)
            return NULL;
        if (up == 1 && strcmp(slash, "/checkpoints") != 0)
            return NULL;
        *slash = '\0';
    }
    return holds(a, full, "job.json") ? arena_text(a, str_of(full)) : NULL;
}

static bool adapter_in(const char *home, const char *dir, struct arena *a, struct model_ref *out,
                       bool want_base, struct error *err)
{
    const char *path = file_join(a, dir, "adapter_config.json");
    json_t *config = NULL;

    out->adapter = arena_text(a, str_of(dir));
    out->run = run_of_checkpoint(dir, a);
    if (!want_base)
        return true;
    if (out->run != NULL)
        return base_of_run(home, out->run, a, out, err);
    if (!json_read_file(path, &config, err))
        return false;
    const char *name = text_of(config, "base_model_name_or_path", a);
    json_decref(config);
    if (name == NULL)
        return fail(err, ERR_INVALID,
                    "%s does not say which model it belongs to (\"base_model_name_or_path\"): give "
                    "the model and the adapter apart",
                    path);
    out->path = base_by_name(home, dir, name, a);
    if (out->path == NULL)
        return fail(
            err, ERR_NOT_FOUND,
            "%s belongs to the model \"%s\", which is neither a path nor in the store: give "
            "the model and the adapter apart",
            dir, name);
    return true;
}

static bool best_checkpoint(const char *run, struct arena *a, const struct run_checkpoint **out,
                            struct error *err)
{
    struct run_checkpoint *all;
    size_t n;

    if (!run_read_checkpoints(run, a, &all, &n, err))
        return false;
    if (n == 0)
        return fail(err, ERR_NOT_FOUND, "the run in %s has no checkpoint yet", run);
    *out = &all[run_best_checkpoint(all, n)];
    return true;
}

static bool run_in(const char *home, const char *dir, const char *checkpoint, struct arena *a,
                   struct model_ref *out, bool want_base, struct error *err)
{
    const struct run_checkpoint *c = NULL;

    if (checkpoint != NULL) {
        out->adapter = file_join(a, file_join(a, dir, "checkpoints"), checkpoint);
        if (!file_exists(out->adapter))
            return fail(err, ERR_NOT_FOUND, "the run in %s has no checkpoint %s", dir, checkpoint);
    } else {
        if (!best_checkpoint(dir, a, &c, err))
            return false;
        out->adapter = c->dir;
    }
    if (!holds(a, out->adapter, "adapter_config.json"))
        return fail(err, ERR_UNSUPPORTED,
                    "%s holds no adapter: a fully fine-tuned model cannot be opened from its "
                    "checkpoint yet",
                    out->adapter);
    out->run = arena_text(a, str_of(dir));
    return !want_base || base_of_run(home, dir, a, out, err);
}

/* ft:BASE:ORG:SUFFIX:ID[:ckpt-step-N] */
static bool fine_tuned(const char *home, const char *name, struct arena *a, struct model_ref *out,
                       bool want_base, struct error *err)
{
    const char *runs = file_join(a, home, "runs");
    const char *ckpt = strstr(name, ":ckpt-step-");
    const char *model =
        ckpt == NULL ? name : arena_text(a, (struct str){name, (size_t)(ckpt - name)});
    const char **names;
    size_t n;

    if (!list_names(runs, a, &names, &n, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        const char *dir = file_join(a, runs, names[i]);
        struct error ignored;
        json_t *file = NULL;

        if (!holds(a, dir, "job.json") || !run_read_job(dir, &file, &ignored))
            continue;
        const char *is = text_of(json_object_get(file, "resolved"), "fine_tuned_model", a);
        json_decref(file);
        if (is != NULL && strcmp(is, model) == 0)
            return run_in(home, dir, ckpt == NULL ? NULL : ckpt + strlen(":ckpt-"), a, out,
                          want_base, err);
    }
    return fail(err, ERR_NOT_FOUND, "no run in %s made \"%s\"", runs, model);
}

/* ---- finding ---- */

/* ORG/NAME, as a hub has it. */
static bool is_of_a_hub(const char *name)
{
    const char *slash = strchr(name, '/');

    return slash != NULL && slash != name && slash[1] != '\0' && strchr(slash + 1, '/') == NULL &&
           name[0] != '.' && !str_ends(str_of(name), STR(".gguf"));
}

static bool not_found(const char *home, const char *name, struct arena *a, struct error *err)
{
    const char *dir = file_join(a, home, "models"), *list = "";
    const char **names;
    size_t n;

    if (!list_names(dir, a, &names, &n, err))
        return false;
    for (size_t i = 0; i < n && i < 8; i++)
        list = arena_printf(a, "%s%s%s", list, i == 0 ? "" : ", ", names[i]);
    return fail_param(err, ERR_NOT_FOUND, "model",
                      "there is no model \"%s\": no file or folder of that name, and the store in "
                      "%s holds %s%s%s",
                      name, dir, n == 0 ? "nothing" : list, n > 8 ? ", ..." : "",
                      is_of_a_hub(name) ? "; hone pull fetches a model ORG/NAME of a hub" : "");
}

static bool find(const char *home, const char *name, struct arena *a, struct model_ref *out,
                 bool want_base, struct error *err)
{
    struct model_ref r = {.name = arena_text(a, str_of(name))};
    const char *path = r.name;

    if (strncmp(name, "ft:", 3) == 0) {
        if (!fine_tuned(home, name, a, &r, want_base, err))
            return false;
        *out = r;
        return true;
    }
    if (!file_exists(path) && strchr(name, '/') == NULL && name[0] != '\0') {
        const char *stored = file_join(a, file_join(a, home, "models"), name);

        path = file_exists(stored) ? stored : arena_printf(a, "%s.gguf", stored);
    }
    if (name[0] == '\0' || !file_exists(path))
        return not_found(home, name, a, err);
    r.path = path;
    if (file_is_dir(path)) {
        bool ok = true;

        if (holds(a, path, "adapter_config.json"))
            ok = adapter_in(home, path, a, &r, want_base, err);
        else if (holds(a, path, "job.json"))
            ok = run_in(home, path, NULL, a, &r, want_base, err);
        else if (!holds(a, path, "config.json"))
            ok = fail(err, ERR_INVALID,
                      "%s holds neither config.json (a model) nor adapter_config.json (an adapter) "
                      "nor job.json (a run)",
                      path);
        if (!ok)
            return false;
    }
    *out = r;
    return true;
}

bool model_store_find(const char *home, const char *name, struct arena *a, struct model_ref *out,
                      struct error *err)
{
    return find(home, name, a, out, true, err);
}

bool model_store_find_adapter(const char *home, const char *name, struct arena *a,
                              struct model_ref *out, struct error *err)
{
    struct model_ref r = {0};

    if (!find(home, name, a, &r, false, err))
        return fail_while(err, "looking for an adapter");
    if (r.adapter == NULL)
        return fail(err, ERR_INVALID,
                    "%s is a model: a folder with adapter_config.json, or a run, was expected",
                    name);
    *out = r;
    return true;
}

/* ---- listing ---- */

uint64_t model_store_bytes(const char *path, struct arena *a)
{
    struct stat st;
    const char **names;
    struct error ignored;
    size_t n;
    uint64_t sum = 0;

    if (stat(path, &st) != 0)
        return 0;
    if (!S_ISDIR(st.st_mode))
        return (uint64_t)st.st_size;
    if (!list_names(path, a, &names, &n, &ignored))
        return 0;
    for (size_t i = 0; i < n; i++)
        if (stat(file_join(a, path, names[i]), &st) == 0 && S_ISREG(st.st_mode))
            sum += (uint64_t)st.st_size;
    return sum;
}

static bool list_run(const char *dir, struct arena *a, struct model_entry *out)
{
    struct error ignored;
    const struct run_checkpoint *c;
    json_t *file = NULL;

    if (!holds(a, dir, "job.json") || !run_read_job(dir, &file, &ignored))
        return false;
    const char *name = text_of(json_object_get(file, "resolved"), "fine_tuned_model", a);
    const char *base = text_of(json_object_get(file, "job"), "model", a);
    const int64_t created = json_integer_value(json_object_get(file, "created_at"));
    json_decref(file);
    if (!best_checkpoint(dir, a, &c, &ignored))
        return false;
    *out = (struct model_entry){.name = name != NULL ? name : dir,
                                .path = dir,
                                .base = base != NULL ? base : "",
                                .size_bytes = model_store_bytes(c->dir, a),
                                .created_at = created};
    return true;
}

bool model_store_list(const char *home, struct arena *a, struct model_entry **out, size_t *n,
                      struct error *err)
{
    const char *models = file_join(a, home, "models"), *runs = file_join(a, home, "runs");
    const char **model, **run;
    size_t n_models, n_runs, count = 0;

    if (!list_names(models, a, &model, &n_models, err) || !list_names(runs, a, &run, &n_runs, err))
        return false;
    struct model_entry *all = ARENA_ARRAY(a, struct model_entry, n_models + n_runs + 1);
    for (size_t i = 0; i < n_models; i++) {
        const char *path = file_join(a, models, model[i]);
        struct stat st;

        if (stat(path, &st) != 0 || (S_ISDIR(st.st_mode) ? !holds(a, path, "config.json")
                                                         : !str_ends(str_of(path), STR(".gguf"))))
            continue;
        all[count++] = (struct model_entry){.name = model_plain_name(path, a),
                                            .path = path,
                                            .size_bytes = model_store_bytes(path, a),
                                            .created_at = st.st_mtime};
    }
    for (size_t i = 0; i < n_runs; i++)
        count += list_run(file_join(a, runs, run[i]), a, &all[count]);
    *out = all;
    *n = count;
    return true;
}
