/*
 * pull.c - from what is named to a model in its place.
 *
 *     already there? -> listing -> choice -> config, tokenizer, index -> check of the config -> weights -> check of the whole -> rename
 */
#include "job/pull.h"
#include "base/buf.h"
#include "base/sha256.h"
#include "base/size.h"
#include "job/model_store.h"
#include "job/pull_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_LISTING_BYTES ((size_t)32 << 20) /* of one page */
#define MAX_PAGES 1000
#define MAX_RECORD_BYTES ((size_t)64 << 20)
#define MAX_CHANGES 3 /* a file that is another one each time it is looked at does not get done */

struct call {
    const struct pull_request *rq;
    struct arena *a;
    struct pull_source source;
    struct http *http;
    const char *models; /* HOME/models */
    const char *name;   /* in the store */
    const char *commit; /* of a hub's */
    const char *dir;    /* .pull-NAME */
    int lock_fd;        /* -1: not locked */
    bool begun;         /* there may be something in dir */
    uint64_t fetched_bytes;
};

/* ---- what is there already ---- */

static const char *note_path(struct call *c, const char *name)
{
    return arena_printf(c->a, "%s/.pulled/%s.json", c->models, name);
}

static const char *place_of(struct call *c, const char *name, bool gguf)
{
    const bool bare = gguf && !str_ends(str_of(name), STR(".gguf"));

    return arena_printf(c->a, "%s/%s%s", c->models, name, bare ? ".gguf" : "");
}

static bool same_text(const json_t *object, const char *key, const char *text)
{
    const json_t *v = json_object_get(object, key);

    return text == NULL ? v == NULL || json_is_null(v) : str_is(json_str(v), text);
}

/* Whether the files that a note tells of are there in their lengths. */
static bool note_holds(struct call *c, const json_t *note, const char *place)
{
    const json_t *files = json_object_get(note, "files"), *file;
    size_t i;

    json_array_foreach(files, i, file)
    {
        const struct str name = json_str(json_object_get(file, "name"));
        const char *path =
            file_is_dir(place) ? file_join(c->a, place, arena_text(c->a, name)) : place;
        struct stat st;

        if (stat(path, &st) != 0 ||
            (json_int_t)st.st_size != json_integer_value(json_object_get(file, "size")))
            return false;
    }
    return json_array_size(files) > 0;
}

static void fill_result(struct call *c, const json_t *note, const char *name, const char *place,
                        struct pull_result *out)
{
    const struct str commit = json_str(json_object_get(note, "commit"));

    *out = (struct pull_result){.name = arena_text(c->a, str_of(name)),
                                .place = place,
                                .revision = commit.len > 0 ? arena_text(c->a, commit) : NULL,
                                .n_files = json_array_size(json_object_get(note, "files")),
                                .size_bytes = model_store_bytes(place, c->a),
                                .verified = json_is_true(json_object_get(note, "verified")),
                                .was_there = true};
}

/* Is this note of what is asked for, and is that still there? */
static bool is_noted(struct call *c, const char *name, struct pull_result *out)
{
    const struct pull_source *s = &c->source;
    struct error ignored;
    json_t *note = NULL;
    bool is = false;

    if (!json_read_file(note_path(c, name), &note, &ignored))
        return false;
    const char *place = place_of(c, name, json_is_true(json_object_get(note, "gguf")));
    if (same_text(note, "source", s->kind == PULL_HUB ? s->repo : s->url) &&
        same_text(note, "revision", s->revision) && same_text(note, "file", s->file) &&
        same_text(note, "endpoint", s->kind == PULL_HUB ? s->endpoint : NULL))
        is = note_holds(c, note, place);
    if (is)
        fill_result(c, note, name, place, out);
    json_decref(note);
    return is;
}

static bool is_there(struct call *c, struct pull_result *out)
{
    const char *dir = file_join(c->a, c->models, ".pulled");
    bool found = false;

    if (c->rq->name != NULL)
        return is_noted(c, c->rq->name, out);
    DIR *d = opendir(dir);
    for (struct dirent *e; d != NULL && !found && (e = readdir(d)) != NULL;) {
        const struct str name = str_of(e->d_name);

        if (str_ends(name, STR(".json")))
            found = is_noted(c, arena_text(c->a, (struct str){name.ptr, name.len - 5}), out);
    }
    if (d != NULL)
        closedir(d);
    return found;
}

/* ---- the listing ---- */

static bool parse(struct str text, const char *what, json_t **out, struct error *err)
{
    if (json_has_more(text, LIMIT_JSON_VALUES))
        return fail(err, ERR_LIMIT, "%s has too many values", what);
    return json_parse(text, what, out, err);
}

/* The commit that a revision is now, so that all files are of one. */
static bool find_commit(struct call *c, struct error *err)
{
    const struct pull_source *s = &c->source;
    const char *url = arena_printf(c->a, "%s/api/models/%s/revision/%s", s->endpoint, s->repo,
                                   pull_encode(s->revision, false, c->a));
    struct download_reply r = {0};
    json_t *root = NULL;

    if (!pull_get_text(c->rq, s, c->http, url, MAX_LISTING_BYTES, c->a, &r, err) ||
        !parse(r.reply.body, "the hub's answer", &root, err))
        return false;
    const struct str sha = json_str(json_object_get(root, "sha"));
    bool ok = sha.len >= 7 && sha.len <= 64;
    for (size_t i = 0; ok && i < sha.len; i++)
        ok = (sha.ptr[i] >= '0' && sha.ptr[i] <= '9') || (sha.ptr[i] >= 'a' && sha.ptr[i] <= 'f');
    if (ok)
        c->commit = arena_text(c->a, sha);
    json_decref(root);
    return ok || fail(err, ERR_CORRUPT, "%s: the hub's answer has no commit in \"sha\"", s->shown);
}

/* The files of the page at *url, which becomes that of the next one, or NULL. */
static bool list_page(struct call *c, const char **url, const char *what, struct pull_list *all,
                      struct error *err)
{
    struct arena page = {0}; /* what is large is gone when the next one comes */
    struct download_reply r = {0};
    json_t *root = NULL;
    struct str next;
    bool ok = pull_get_text(c->rq, &c->source, c->http, *url, MAX_LISTING_BYTES, &page, &r, err) &&
              parse(r.reply.body, what, &root, err) && pull_list_page(all, root, what, c->a, err);

    json_decref(root);
    if (ok) {
        *url = pull_next_page(r.reply.head, &next) ? download_resolve(*url, next, c->a) : NULL;
        if (*url != NULL && !download_same_origin(*url, c->source.endpoint))
            ok = fail(err, ERR_INVALID, "%s goes on at another host, which is not asked", what);
    }
    arena_release(&page);
    return ok;
}

static bool list_hub(struct call *c, struct pull_list *all, struct error *err)
{
    const struct pull_source *s = &c->source;
    const char *what = arena_printf(c->a, "the hub's listing of %s", s->shown);
    const char *url;

    if (!find_commit(c, err))
        return false;
    url = arena_printf(c->a, "%s/api/models/%s/tree/%s?recursive=true", s->endpoint, s->repo,
                       c->commit);
    for (int page = 0; url != NULL; page++) {
        if (page == MAX_PAGES)
            return fail(err, ERR_LIMIT, "%s has more than %d pages", what, MAX_PAGES);
        if (!list_page(c, &url, what, all, err))
            return false;
    }
    for (size_t i = 0; i < all->n; i++)
        all->file[i].url = pull_url_of(s, c->commit, all->file[i].path, c->a);
    return true;
}

/* One name of a folder, where it is there. */
static bool probe_name(struct call *c, struct pull_list *all, const char *name, bool optional,
                       struct error *err)
{
    struct pull_file f = {.path = name, .name = name};
    bool there;

    f.url = pull_url_of(&c->source, NULL, name, c->a);
    if (!pull_probe(c->rq, &c->source, c->http, &f, optional, &there, c->a, err))
        return false;
    if (there)
        *pull_list_add(all, c->a) = f;
    return true;
}

/* A folder has no listing: the names that may be there are asked for. */
static bool list_folder(struct call *c, struct pull_list *all, struct error *err)
{
    for (size_t i = 0; i < n_pull_small_names; i++) {
        if (strchr(pull_small_names[i], '/') != NULL && pull_list_find(all, "modules.json") == NULL)
            continue;
        if (!probe_name(c, all, pull_small_names[i], i > 0, err))
            return false;
    }
    return pull_list_find(all, "model.safetensors.index.json") != NULL ||
           probe_name(c, all, "model.safetensors", false, err);
}

static bool list_file(struct call *c, struct pull_choice *out, struct error *err)
{
    struct pull_file *f = pull_list_add(&out->files, c->a);
    const char *name = arena_printf(c->a, "%s.gguf", c->source.own_name);
    bool there;

    *f = (struct pull_file){.path = name, .name = name, .url = c->source.url};
    out->gguf = true;
    if (!pull_path_is_safe(str_of(name)) || strchr(name, '/') != NULL)
        return fail(err, ERR_INVALID, "\"%s\" cannot be the name of a file here", name);
    return pull_probe(c->rq, &c->source, c->http, f, false, &there, c->a, err);
}

static bool list_and_choose(struct call *c, struct pull_list *all, struct pull_choice *out,
                            struct error *err)
{
    *all = (struct pull_list){0};
    *out = (struct pull_choice){0};
    switch (c->source.kind) {
    case PULL_URL_FILE:
        return list_file(c, out, err);
    case PULL_URL_FOLDER:
        return list_folder(c, all, err) && pull_choose(&c->source, all, c->rq, c->a, out, err);
    case PULL_HUB:
        break;
    }
    return list_hub(c, all, err) && pull_choose(&c->source, all, c->rq, c->a, out, err);
}

/* ---- the folder beside the models ---- */

static bool lock(struct call *c, struct error *err)
{
    const char *path = file_join(c->a, c->dir, "lock");

    if (!file_make_dirs(c->dir, err))
        return false;
    c->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (c->lock_fd < 0)
        return fail_errno(err, "cannot open %s", path);
    if (flock(c->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return fail(err, ERR_INVALID, "another hone pull is fetching %s right now", c->name);
    return true;
}

static bool is_below(const char *name, const char *entry)
{
    const size_t n = strlen(entry);

    return strncmp(name, entry, n) == 0 && (name[n] == '\0' || name[n] == '/');
}

/* What is in files/ and does not belong to what is fetched now: of an earlier revision, or another choice. */
static bool sweep(struct call *c, const struct pull_choice *choice, struct error *err)
{
    const char *dir = file_join(c->a, c->dir, "files");
    const struct pull_list *lists[] = {&choice->files, &choice->weights};
    DIR *d = opendir(dir);
    bool ok = true;

    for (struct dirent *e; d != NULL && ok && (e = readdir(d)) != NULL;) {
        bool wanted = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;

        for (size_t l = 0; l < COUNT_OF(lists); l++)
            for (size_t i = 0; !wanted && i < lists[l]->n; i++)
                wanted = is_below(lists[l]->file[i].name, e->d_name);
        if (!wanted)
            ok = file_remove_tree(file_join(c->a, dir, e->d_name), err);
    }
    if (d != NULL)
        closedir(d);
    return ok;
}

static bool fetch_list(struct call *c, const struct pull_list *files, struct error *err)
{
    struct pull_fetch f = {.rq = c->rq, .source = &c->source, .http = c->http, .dir = c->dir};
    bool ok;

    if (files->n == 0)
        return true;
    c->begun = true;
    ok = pull_fetch_all(&f, files, c->a, err);
    c->fetched_bytes += f.fetched_bytes;
    return ok;
}

/* The shards that an index names, found in the listing or asked for. */
static bool weights_of_index(struct call *c, struct pull_list *all, struct pull_choice *choice,
                             struct error *err)
{
    const char *files = file_join(c->a, c->dir, "files");
    const char *path = file_join(c->a, files, "model.safetensors.index.json");
    json_t *index = NULL;
    const char **names;
    size_t n;
    bool ok = json_read_file(path, &index, err) &&
              pull_index_names(index, "model.safetensors.index.json", c->a, &names, &n, err);

    for (size_t i = 0; ok && i < n; i++) {
        if (c->source.kind == PULL_URL_FOLDER)
            ok = probe_name(c, all, names[i], false, err);
        const struct pull_file *f = ok ? pull_list_find(all, names[i]) : NULL;
        if (ok && f == NULL)
            ok = fail(err, ERR_NOT_FOUND,
                      "%s: model.safetensors.index.json names %s, which is not in the listing",
                      c->source.shown, names[i]);
        if (ok)
            *pull_list_add(&choice->weights, c->a) = *f;
    }
    json_decref(index);
    return ok;
}

/* All files of the choice, checked, in dir/files. */
static bool fetch_choice(struct call *c, struct pull_list *all, struct pull_choice *choice,
                         struct error *err)
{
    const char *files = file_join(c->a, c->dir, "files");

    return fetch_list(c, &choice->files, err) &&
           (choice->gguf || c->rq->check(c->rq->ctx, files, false, err)) &&
           (!choice->indexed || weights_of_index(c, all, choice, err)) && sweep(c, choice, err) &&
           fetch_list(c, &choice->weights, err);
}

/* ---- its place ---- */

static json_t *note_files(const struct pull_list *l, json_t *into)
{
    for (size_t i = 0; i < l->n; i++) {
        const struct pull_file *f = &l->file[i];

        json_array_append_new(into, json_pack("{s:s, s:I, s:s*, s:s*}", "name", f->name, "size",
                                              (json_int_t)f->size, "sha256",
                                              f->sha256[0] != '\0' ? f->sha256 : NULL, "git_sha1",
                                              f->git_sha1[0] != '\0' ? f->git_sha1 : NULL));
    }
    return into;
}

static bool put_note(struct call *c, const struct pull_choice *choice, struct error *err)
{
    const struct pull_source *s = &c->source;
    json_t *files = note_files(&choice->weights, note_files(&choice->files, json_array()));
    json_t *note = json_pack("{s:s, s:s*, s:s*, s:s*, s:s*, s:b, s:b, s:o}", "source",
                             s->kind == PULL_HUB ? s->repo : s->url, "endpoint",
                             s->kind == PULL_HUB ? s->endpoint : NULL, "revision", s->revision,
                             "file", s->file, "commit", c->commit, "gguf", choice->gguf, "verified",
                             s->kind == PULL_HUB, "files", files);
    struct buf b;

    buf_init(&b, MAX_RECORD_BYTES);
    json_write(&b, note, &(struct json_format){.indent = 2});
    buf_char(&b, '\n');
    const bool ok = file_make_dirs(file_join(c->a, c->models, ".pulled"), err) &&
                    buf_ok(&b, "the note of a model", err) &&
                    file_put(note_path(c, c->name), buf_view(&b), err);
    buf_release(&b);
    json_decref(note);
    return ok;
}

/* A place that something else has taken is no failure of the network: it is said before anything is fetched. */
static bool is_free(struct call *c, bool gguf, struct error *err)
{
    const char *place = place_of(c, c->name, gguf), *other = place_of(c, c->name, !gguf);

    if (file_exists(place) || file_exists(other))
        return fail(err, ERR_INVALID,
                    "%s is there already, and is not what this would fetch: give another --name",
                    file_exists(place) ? place : other);
    return true;
}

static bool settle(struct call *c, const struct pull_choice *choice, struct pull_result *out,
                   struct error *err)
{
    const char *files = file_join(c->a, c->dir, "files");
    const char *whole = choice->gguf ? file_join(c->a, files, choice->files.file[0].name) : files;
    const char *place = place_of(c, c->name, choice->gguf);
    struct error ignored;

    if (!c->rq->check(c->rq->ctx, whole, true, err)) {
        if (c->source.kind !=
            PULL_HUB) { /* no hash says that it is what it should be: not to be gone on with */
            (void)!file_remove_tree(c->dir, &ignored);
            c->begun = false;
        }
        return false;
    }
    if (!is_free(c, choice->gguf, err) || !put_note(c, choice, err) ||
        !file_rename(whole, place, err))
        return false;
    (void)!file_remove_tree(c->dir, &ignored); /* what is left of it harms nobody */
    *out = (struct pull_result){.name = model_plain_name(place, c->a),
                                .place = place,
                                .revision = c->commit,
                                .n_files = choice->files.n + choice->weights.n,
                                .size_bytes = model_store_bytes(place, c->a),
                                .fetched_bytes = c->fetched_bytes,
                                .verified = c->source.kind == PULL_HUB};
    return true;
}

/* ---- all of it ---- */

static bool open_dir(struct call *c, const struct pull_choice *choice, struct error *err)
{
    c->name = c->rq->name != NULL ? c->rq->name
              : choice->gguf      ? model_plain_name(choice->files.file[0].name, c->a)
                                  : c->source.own_name;
    if (!model_store_is_name(c->name))
        return fail(
            err, ERR_INVALID,
            "\"%s\" can be no name in the store: give another --name without \"/\" and with "
            "no dot at the front",
            c->name);
    c->dir = arena_printf(c->a, "%s/.pull-%s", c->models, c->name);
    return is_free(c, choice->gguf, err) && (c->lock_fd >= 0 || lock(c, err));
}

static bool fetch_model(struct call *c, struct pull_result *out, struct error *err)
{
    struct pull_list all;
    struct pull_choice choice;

    for (int i = 1;; i++) {
        if (list_and_choose(c, &all, &choice, err) && open_dir(c, &choice, err) &&
            fetch_choice(c, &all, &choice, err))
            return settle(c, &choice, out, err);
        if (err->code == NULL || strcmp(err->code, "changed") != 0 || i == MAX_CHANGES)
            return false;
        *err = (struct error){0};
    }
}

static bool offline(const struct pull_source *s, struct error *err)
{
    return fail(
        err, ERR_CANCELLED,
        "%s is not in the store, and HF_HUB_OFFLINE is set, so nothing is fetched: unset it, or "
        "copy the model here by other means and hone import it",
        s->shown);
}

/* What a failure means for what is there, behind its sentence. */
static void tell_rest(const struct call *c, struct error *err)
{
    const size_t n = strlen(err->message);
    const char *rest = "";

    if (c->begun)
        rest = "; what is there of it is kept, and the same call goes on from it";
    else if (err->kind == ERR_IO || err->kind == ERR_TIMEOUT)
        rest = "; without a network, copy the model here by other means and hone import it";
    snprintf(err->message + n, sizeof err->message - n, "%s", rest);
}

bool pull(const struct pull_request *rq, struct arena *a, struct pull_result *out,
          struct error *err)
{
    struct call c = {.rq = rq, .a = a, .models = file_join(a, rq->home, "models"), .lock_fd = -1};
    bool ok;

    if (rq->name != NULL && !model_store_is_name(rq->name))
        return fail(err, ERR_INVALID,
                    "\"%s\" can be no name in the store: it may not be empty, begin with a dot or "
                    "\"ft:\", or hold a \"/\"",
                    rq->name);
    if (!pull_source_read(rq, a, &c.source, err))
        return false;
    if (is_there(&c, out)) { /* a kill may have come between the last two steps */
        struct error ignored;

        (void)!file_remove_tree(arena_printf(a, "%s/.pull-%s", c.models, out->name), &ignored);
        return true;
    }
    if (rq->offline)
        return offline(&c.source, err);
    ok = http_open(&c.http, err) && file_make_dirs(c.models, err) && fetch_model(&c, out, err);
    if (!ok)
        tell_rest(&c, err);
    http_close(c.http);
    if (c.lock_fd >= 0)
        close(c.lock_fd);
    return ok;
}
