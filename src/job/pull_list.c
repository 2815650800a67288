/*
 * pull_list.c - the files of a repository, and which of them hone needs.
 */
#include "base/buf.h"
#include "base/size.h"
#include "job/pull_internal.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <strings.h>

#define MAX_FILES ((size_t)100000) /* of a repository */
#define MAX_PATH_BYTES ((size_t)1024)
#define MAX_SHARDS ((size_t)400) /* each keeps two files open */

const char *const pull_small_names[] = {
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "tekken.json",
    "chat_template.jinja",
    "chat_template.json",
    "model.safetensors.index.json",
    "modules.json", /* of sentence-transformers, like the next two */
    "sentence_bert_config.json",
    "1_Pooling/config.json",
};
const size_t n_pull_small_names = COUNT_OF(pull_small_names);

#define INDEX "model.safetensors.index.json"
#define WEIGHTS "model.safetensors"

struct pull_file *pull_list_add(struct pull_list *l, struct arena *a)
{
    if (l->n == l->cap) {
        struct pull_file *grown =
            ARENA_ARRAY(a, struct pull_file, l->cap = size_max(32, 2 * l->cap));

        if (l->n > 0)
            memcpy(grown, l->file, l->n * sizeof *grown);
        l->file = grown;
    }
    l->file[l->n] = (struct pull_file){0};
    return &l->file[l->n++];
}

struct pull_file *pull_list_find(const struct pull_list *l, const char *path)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->file[i].path, path) == 0)
            return &l->file[i];
    return NULL;
}

bool pull_path_is_safe(struct str path)
{
    size_t begin = 0;

    if (path.len == 0 || path.len > MAX_PATH_BYTES)
        return false;
    for (size_t i = 0; i <= path.len; i++) {
        const struct str part = {path.ptr + begin, i - begin};

        if (i < path.len &&
            ((unsigned char)path.ptr[i] < 0x20 || path.ptr[i] == 0x7f || path.ptr[i] == '\\'))
            return false;
        if (i < path.len && path.ptr[i] != '/')
            continue;
        if (part.len == 0 || part.len > 200 || str_is(part, ".") || str_is(part, ".."))
            return false;
        begin = i + 1;
    }
    return true;
}

static bool is_hex(struct str s, size_t n)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.ptr[i] >= '0' && s.ptr[i] <= '9') || (s.ptr[i] >= 'a' && s.ptr[i] <= 'f')))
            return false;
    return s.len == n;
}

/* ---- the hub's listing ---- */

static bool entry(struct pull_list *l, const json_t *e, const char *what, struct arena *a,
                  struct error *err)
{
    const json_t *lfs = json_object_get(e, "lfs");
    const struct str path = json_str(json_object_get(e, "path"));
    struct str oid = json_str(json_object_get(e, "oid"));
    struct buf shown;
    int64_t size;

    if (!str_is(json_str(json_object_get(e, "type")), "file"))
        return true;
    if (!pull_path_is_safe(path)) {
        buf_init(&shown, 1 << 14);
        json_write_string(&shown, (struct str){path.ptr, size_min(path.len, 200)}, true);
        fail(
            err, ERR_INVALID,
            "%s names a file %.240s, which would leave the model's folder: nothing is fetched from "
            "there",
            what, shown.len > 0 ? shown.ptr : "\"\"");
        buf_release(&shown);
        return false;
    }
    if (lfs != NULL && !json_is_null(lfs)) {
        oid = json_str(json_object_get(lfs, "oid"));
        if (!is_hex(oid, 64))
            return fail(err, ERR_CORRUPT, "%s, " STR_FMT ": its \"lfs\" has no SHA-256 in \"oid\"",
                        what, STR_ARG(path));
    } else if (!is_hex(oid, 40)) {
        return fail(err, ERR_CORRUPT, "%s, " STR_FMT ": \"oid\" is no SHA-1 of git's", what,
                    STR_ARG(path));
    }
    if (!json_get_int(json_is_object(lfs) ? lfs : e, "size", what, -1, 0, (int64_t)1 << 50, &size,
                      err))
        return false;
    if (size < 0)
        return fail(err, ERR_CORRUPT, "%s, " STR_FMT ": \"size\" is missing", what, STR_ARG(path));
    if (l->n == MAX_FILES)
        return fail(err, ERR_LIMIT, "%s has more than the %zu files allowed", what, MAX_FILES);
    struct pull_file *f = pull_list_add(l, a);
    f->path = f->name = arena_text(a, path);
    f->size = (uint64_t)size;
    memcpy(oid.len == 64 ? f->sha256 : f->git_sha1, oid.ptr, oid.len);
    return true;
}

bool pull_list_page(struct pull_list *l, const json_t *page, const char *what, struct arena *a,
                    struct error *err)
{
    if (!json_is_array(page))
        return fail(err, ERR_CORRUPT, "%s is %s, a list of files was expected", what,
                    json_kind(page));
    for (size_t i = 0; i < json_array_size(page); i++)
        if (!entry(l, json_array_get(page, i), what, a, err))
            return false;
    return true;
}

bool pull_next_page(struct str head, struct str *url)
{
    struct str s;

    if (!http_head_value(head, "link", &s))
        return false;
    for (size_t at = 0; at < s.len;) { /* <address>; rel="next", <address>; ... */
        const size_t open = str_find(s, STR("<"), at), close = str_find(s, STR(">"), open);
        const size_t next = str_find(s, STR("<"), close);

        if (close >= s.len)
            return false;
        const struct str told = {s.ptr + close, next - close};
        if (str_find(told, STR("rel=\"next\""), 0) < told.len ||
            str_find(told, STR("rel=next"), 0) < told.len) {
            *url = (struct str){s.ptr + open + 1, close - open - 1};
            return true;
        }
        at = next;
    }
    return false;
}

/* ---- an index ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool pull_index_names(const json_t *index, const char *what, struct arena *a, const char ***out,
                      size_t *n, struct error *err)
{
    const json_t *map = json_object_get(index, "weight_map"), *value;
    const size_t most = json_object_size(map);
    const char **names, *key;
    size_t count = 0, kept = 0;

    if (!json_is_object(map) || most == 0 || most > LIMIT_TENSORS)
        return fail(err, ERR_CORRUPT, "%s has no usable \"weight_map\"", what);
    names = ARENA_ARRAY(a, const char *, most);
    json_object_foreach((json_t *)(uintptr_t)map, key, value)
    {
        const struct str name = json_str(value);

        if (!pull_path_is_safe(name) || memchr(name.ptr, '/', name.len) != NULL)
            return fail(err, ERR_INVALID,
                        "%s names a file that would leave the model's folder: nothing more is "
                        "fetched from there",
                        what);
        names[count++] = arena_text(a, name);
    }
    qsort(names, count, sizeof *names, by_text);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(names[i], names[kept - 1]) != 0)
            names[kept++] = names[i];
    if (kept > MAX_SHARDS)
        return fail(err, ERR_LIMIT, "%s names %zu files, at most %zu are allowed", what, kept,
                    MAX_SHARDS);
    *out = names;
    *n = kept;
    return true;
}

/* ---- the choice ---- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* One of several files: "x-00001-of-00003.gguf". */
static bool is_split(const char *name)
{
    return fnmatch("*-[0-9][0-9][0-9][0-9][0-9]-of-[0-9][0-9][0-9][0-9][0-9].gguf", name, 0) == 0;
}

/* A model; not what belongs to one (a vision tower, statistics of quantisation). */
static bool is_gguf(const char *path)
{
    const char *name = base_name(path);

    return fnmatch("*.gguf", name, FNM_CASEFOLD) == 0 && strncasecmp(name, "mmproj", 6) != 0 &&
           strcasestr(name, "imatrix") == NULL;
}

static bool matches(const char *path, const char *pattern)
{
    if (strpbrk(pattern, "*?[") != NULL)
        return fnmatch(pattern, path, FNM_CASEFOLD) == 0 ||
               fnmatch(pattern, base_name(path), FNM_CASEFOLD) == 0;
    return strcasestr(path, pattern) != NULL;
}

static bool is_exactly(const char *path, const char *pattern)
{
    return strcmp(path, pattern) == 0 || strcmp(base_name(path), pattern) == 0;
}

static void tell_choices(const struct pull_request *rq, const struct pull_list *l, struct arena *a)
{
    struct pull_item *items = ARENA_ARRAY(a, struct pull_item, l->n);

    for (size_t i = 0; i < l->n; i++)
        items[i] = (struct pull_item){l->file[i].path, l->file[i].size};
    rq->tell(rq->ctx, &(struct pull_news){.event = PULL_CHOICES, .n_items = l->n, .items = items});
}

/* One GGUF of those that match; all where pattern is NULL. */
static bool choose_gguf(const struct pull_source *s, const struct pull_list *all,
                        const struct pull_request *rq, struct arena *a, struct pull_choice *out,
                        struct error *err)
{
    struct pull_list found = {0}, exact = {0}, whole = {0};

    for (size_t i = 0; i < all->n; i++) {
        const struct pull_file *f = &all->file[i];

        if (!is_gguf(f->path))
            continue;
        *pull_list_add(&whole, a) = *f;
        if (s->file == NULL || matches(f->path, s->file))
            *pull_list_add(&found, a) = *f;
        if (s->file != NULL && is_exactly(f->path, s->file))
            *pull_list_add(&exact, a) = *f;
    }
    if (exact.n == 1)
        found = exact;
    if (found.n == 0) {
        tell_choices(rq, &whole, a);
        return fail(err, ERR_NOT_FOUND, "%s has no GGUF file that matches --file %s", s->shown,
                    s->file);
    }
    if (found.n > 1 && !(is_split(found.file[0].path) && s->file != NULL)) {
        tell_choices(rq, &found, a);
        return fail(err, ERR_INVALID,
                    "%s has %zu GGUF files%s%s: choose one with --file, which may be a part of its "
                    "name",
                    s->shown, found.n, s->file != NULL ? " that match --file " : "",
                    s->file != NULL ? s->file : "");
    }
    if (is_split(found.file[0].path))
        return fail(err, ERR_UNSUPPORTED,
                    "%s of %s is one of several parts, which hone does not read: choose another "
                    "--file, or fetch them by hand, join them with llama-gguf-split --merge and "
                    "hone import the result",
                    found.file[0].path, s->shown);
    struct pull_file *f = pull_list_add(&out->files, a);
    *f = found.file[0];
    f->name = base_name(f->path);
    out->gguf = true;
    return true;
}

static bool no_model(const struct pull_source *s, const struct pull_list *all, struct error *err)
{
    const bool torch = pull_list_find(all, "pytorch_model.bin") != NULL ||
                       pull_list_find(all, "pytorch_model.bin.index.json") != NULL;

    return fail(
        err, ERR_UNSUPPORTED,
        "%s has neither config.json with model.safetensors (or its index) nor a GGUF file%s",
        s->shown,
        pull_list_find(all, "adapter_config.json") != NULL
            ? "; it is an adapter"
            : (torch ? "; pytorch_model.bin is not read: convert it, or look for a "
                       "repository that has safetensors"
                     : ""));
}

bool pull_choose(const struct pull_source *s, const struct pull_list *all,
                 const struct pull_request *rq, struct arena *a, struct pull_choice *out,
                 struct error *err)
{
    const bool folder =
        pull_list_find(all, "config.json") != NULL &&
        (pull_list_find(all, WEIGHTS) != NULL || pull_list_find(all, INDEX) != NULL);
    size_t n_gguf = 0;

    for (size_t i = 0; i < all->n; i++)
        n_gguf += is_gguf(all->file[i].path);
    *out = (struct pull_choice){0};
    if (n_gguf > 0 && (s->file != NULL ? !folder || !matches(WEIGHTS, s->file) : !folder))
        return choose_gguf(s, all, rq, a, out, err);
    if (!folder)
        return no_model(s, all, err);
    if (s->file != NULL && !matches(WEIGHTS, s->file))
        return fail(err, ERR_NOT_FOUND,
                    "%s has no GGUF file: it is a folder of safetensors, all of which is needed, "
                    "so --file has nothing to choose",
                    s->shown);
    for (size_t i = 0; i < n_pull_small_names; i++) {
        const struct pull_file *f = pull_list_find(all, pull_small_names[i]);

        if (f != NULL)
            *pull_list_add(&out->files, a) = *f;
    }
    out->indexed = pull_list_find(all, INDEX) != NULL;
    if (!out->indexed)
        *pull_list_add(&out->weights, a) = *pull_list_find(all, WEIGHTS);
    return true;
}
