/*
 * model_import.c - a model on disk becomes one of the store: what the loader reads of it is copied, read back, opened, and renamed.
 *
 * Of a folder that is its files, the folders that sentence-transformers' modules.json names, and no weights in other forms (PyTorch's,
 * ONNX's, Meta's own), which lie beside in many repositories and may be larger than all the rest. Parts of a GGUF file become one.
 */
#include "base/file.h"
#include "base/sha256.h"
#include "base/size.h"
#include "job/model_store.h"
#include "model/encoder.h"
#include "model/gguf_writer.h"
#include "model/model_files.h"
#include "text/json.h"

#include <dirent.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#define PIECE_BYTES ((size_t)64 << 20)

/* ---- is it a model? ---- */

/* Whether it says of itself that it is an encoder, however it fails to be one. */
static bool is_called_encoder(const char *path)
{
    struct arena a = {0};
    struct gguf *g = NULL;
    struct str type = STR("");
    struct error ignored;
    json_t *config = NULL;

    if (file_is_dir(path)) {
        if (json_read_file(file_join(&a, path, "config.json"), &config, &ignored))
            type = json_str(json_object_get(config, "model_type"));
    } else if (gguf_open(path, &g, &ignored)) {
        (void)!gguf_get_str(g, "general.architecture", &type, &ignored);
    }
    const bool is = str_is(type, "bert");
    json_decref(config);
    gguf_close(g);
    arena_release(&a);
    return is;
}

bool model_store_opens(const char *path, struct model_kind *out, struct error *err)
{
    struct model_files *files = NULL;
    struct encoder *encoder = NULL;
    struct error of_encoder;

    if (model_files_open(path, &files, err)) {
        const struct model_config *c = model_files_config(files);

        *out = (struct model_kind){.n_layers = c->n_layers, .width = c->width};
        memcpy(out->family, c->family, sizeof out->family);
        model_files_close(files);
        return true;
    }
    if (encoder_open(path, &encoder, &of_encoder)) {
        *out =
            (struct model_kind){.family = "bert", .embeds = true, .width = encoder_width(encoder)};
        encoder_close(encoder);
        return true;
    }
    if (is_called_encoder(path) && err != NULL)
        *err = of_encoder;
    return false;
}

/* ---- copying ---- */

static struct sha256_text sha256_of_map(const struct file_map *m)
{
    struct sha256_ctx ctx;

    sha256_init(&ctx);
    for (size_t at = 0; at < m->len; at += PIECE_BYTES)
        sha256_update(&ctx, size_min(PIECE_BYTES, m->len - at), m->ptr + at);
    return sha256_finish(&ctx);
}

/* What was written is read again from where it is. */
static bool same_file(const struct sha256_text *want, const char *from, const char *to,
                      struct error *err)
{
    struct file_map m = {0};

    if (!file_map_open(to, &m, err))
        return false;
    file_map_forget(&m);
    const struct sha256_text is = sha256_of_map(&m);
    file_map_close(&m);
    return strcmp(is.hex, want->hex) == 0 ||
           fail(err, ERR_CORRUPT,
                "%s was copied to %s and reads back with another SHA-256 (%.12s..., %.12s... was "
                "expected): is the disk sound, and did nobody write to the source meanwhile?",
                from, to, is.hex, want->hex);
}

static bool copy_file(const char *from, const char *to, struct error *err)
{
    struct file_map m = {0};
    struct file *f = NULL;
    struct sha256_ctx ctx;
    bool ok = file_map_open(from, &m, err) && file_create_beside(to, &f, err);

    sha256_init(&ctx);
    for (size_t at = 0; ok && at < m.len; at += PIECE_BYTES) {
        const size_t n = size_min(PIECE_BYTES, m.len - at);

        sha256_update(&ctx, n, m.ptr + at);
        ok = file_write(f, m.ptr + at, n, err);
    }
    const struct sha256_text sum = sha256_finish(&ctx);
    ok = ok && file_commit(f, err);
    file_close(f);
    file_map_close(&m);
    return ok && same_file(&sum, from, to, err);
}

static bool is_of_other_programs(const char *name)
{
    static const char *const patterns[] = {
        "*.bin",  "*.bin.index.json", "*.pth",    "*.pt", "*.ckpt", "*.h5",
        "*.onnx", "*.msgpack",        "*.tflite", "*.ot", "*.gguf", "consolidated*"};

    for (size_t i = 0; i < COUNT_OF(patterns); i++)
        if (fnmatch(patterns[i], name, 0) == 0)
            return true;
    return false;
}

/* Its files; those in folders of it are copy_modules's to choose. */
static bool copy_files(const char *from, const char *to, struct arena *a, struct error *err)
{
    DIR *d = opendir(from);
    bool ok =
        d != NULL ? file_make_dirs(to, err) : fail_errno(err, "cannot read the folder %s", from);

    for (struct dirent *e; ok && (e = readdir(d)) != NULL;) {
        const char *path = file_join(a, from, e->d_name);

        if (e->d_name[0] != '.' && !file_is_dir(path) && !is_of_other_programs(e->d_name))
            ok = copy_file(path, file_join(a, to, e->d_name), err);
    }
    if (d != NULL)
        closedir(d);
    return ok;
}

static bool copy_modules(const char *from, const char *to, struct arena *a, struct error *err)
{
    const char *list = file_join(a, from, "modules.json");
    json_t *modules = NULL;
    bool ok = !file_exists(list) || json_read_file(list, &modules, err);

    for (size_t i = 0; ok && i < json_array_size(modules); i++) {
        const struct str name = json_str(json_object_get(json_array_get(modules, i), "path"));
        const char *dir = file_join(a, from, arena_text(a, name)),
                   *copy = file_join(a, to, arena_text(a, name));

        if (name.len == 0 || name.ptr[0] == '.' || !file_is_dir(dir) || file_exists(copy))
            continue;
        ok = memchr(name.ptr, '/', name.len) == NULL
                 ? copy_files(dir, copy, a, err)
                 : fail(err, ERR_UNSUPPORTED,
                        "%s names the module " STR_FMT ", which lies deeper than a folder of the "
                        "model's own",
                        list, (int)size_min(name.len, 100), name.ptr);
    }
    json_decref(modules);
    return ok;
}

/* All parts as one file, and read back. */
static bool join_parts(const char *from, const char *to, struct error *err)
{
    struct gguf *parts = NULL, *one = NULL;
    bool ok = gguf_open(from, &parts, err) && gguf_write_joined(parts, to, err) &&
              gguf_open(to, &one, err);

    for (size_t i = 0; ok && i < gguf_count(parts); i++) {
        const struct gguf_tensor *x = gguf_at(parts, i), *y = gguf_find(one, x->name);

        if (y == NULL || y->size_bytes != x->size_bytes ||
            memcmp(x->data, y->data, x->size_bytes) != 0)
            ok = fail(err, ERR_CORRUPT,
                      "the tensor %s of %s reads back otherwise: is the disk sound?", x->name, to);
    }
    gguf_close(one);
    gguf_close(parts);
    return ok;
}

bool model_store_is_name(const char *name)
{
    return name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL &&
           strncmp(name, "ft:", 3) != 0;
}

/* "name-00001-of-00003.gguf" -> "name"; NULL: no part. */
static const char *name_of_parts(const char *path, struct arena *a)
{
    static const char form[] = "-[0-9][0-9][0-9][0-9][0-9]-of-[0-9][0-9][0-9][0-9][0-9].gguf";
    const size_t n = sizeof "-00001-of-00003.gguf" - 1, len = strlen(path);

    return len > n && fnmatch(form, path + len - n, 0) == 0
               ? model_plain_name(arena_text(a, (struct str){path, len - n}), a)
               : NULL;
}

/* ---- its place ---- */

static bool fill(const struct model_import *what, const char *full, bool parts, const char *to,
                 struct arena *a, struct error *err)
{
    struct model_kind kind;

    if (what->link)
        return symlink(full, to) == 0 || fail_errno(err, "cannot link %s", to);
    return (file_is_dir(full) ? copy_files(full, to, a, err) && copy_modules(full, to, a, err)
            : parts           ? join_parts(full, to, err)
                              : copy_file(full, to, err)) &&
           (model_store_opens(to, &kind, err) || fail_while(err, "opening the copy of %s", full));
}

bool model_store_import(const char *home, const struct model_import *what, struct arena *a,
                        const char **place, struct error *err)
{
    const char *dir = file_join(a, home, "models"), *name = what->name;
    const bool folder = file_is_dir(what->path);
    char full[PATH_MAX];

    if (realpath(what->path, full) == NULL)
        return fail_errno(err, "cannot open %s", what->path);
    /* of a link the name counts: the hub's cache has hashes behind it, but parts are found by the name of the first */
    const char *of_parts = folder ? NULL : name_of_parts(what->path, a);
    if (name == NULL)
        name = of_parts != NULL ? of_parts : model_plain_name(what->path, a);
    if (!model_store_is_name(name))
        return fail(err, ERR_INVALID,
                    "\"%s\" can be no name in the store: it may not be empty, begin with a dot or "
                    "\"ft:\", or hold a \"/\"",
                    name);
    if (of_parts != NULL && what->link)
        return fail(err, ERR_UNSUPPORTED,
                    "%s is one of several parts, and a link leads to one file: import it without "
                    "--link, which joins them, or give this path wherever a model is asked for",
                    what->path);
    const char *to = arena_printf(a, "%s/%s%s", dir, name,
                                  folder || str_ends(str_of(name), STR(".gguf")) ? "" : ".gguf");
    const char *beside = arena_printf(a, "%s/.%s.part-%ld", dir, name, (long)getpid());
    if (!file_make_dirs(dir, err))
        return false;
    if (file_exists(to))
        return fail(err, ERR_INVALID, "%s is there already: give another --name", to);
    if (!fill(what, of_parts != NULL ? what->path : full, of_parts != NULL, beside, a, err) ||
        !file_rename(beside, to, err)) {
        struct error ignored;

        (void)!file_remove_tree(beside, &ignored);
        return false;
    }
    *place = to;
    return true;
}
