/*
 * certificate_origin.c - what a run is made of, as hashes, and whether that is what another was made of.
 */
#include "base/file.h"
#include "base/size.h"
#include "job/certificate.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- reading the files ---- */

static bool hash_file(const char *path, json_t **out, struct error *err)
{
    struct file_map map = {0};

    if (!file_map_open(path, &map, err))
        return false;
    const struct sha256_text sum = sha256_of(map.ptr, map.len);
    *out = json_pack("{s:I, s:s}", "bytes", (json_int_t)map.len, "sha256", sum.hex);
    file_map_forget(&map);
    file_map_close(&map);
    return true;
}

static bool put_file(json_t *to, const char *key, const char *path, struct error *err)
{
    json_t *of = NULL;

    return hash_file(path, &of, err) && json_object_set_new(to, key, of) == 0;
}

/* The files that a model in Hugging Face's layout is read from, and others of their kinds. */
static bool is_of_model(const char *name)
{
    static const char *const ends[] = {".json", ".safetensors", ".jinja", ".txt", ".model"};

    for (size_t i = 0; name[0] != '.' && i < COUNT_OF(ends); i++)
        if (str_ends(str_of(name), str_of(ends[i])))
            return true;
    return false;
}

static bool hash_folder(const char *dir, json_t *to, struct error *err)
{
    struct dirent **names = NULL;
    struct arena a = {0};
    const int n = scandir(dir, &names, NULL, alphasort);
    bool ok = n >= 0 || fail_errno(err, "cannot read the folder %s", dir);

    for (int i = 0; i < n; i++) {
        const char *path = file_join(&a, dir, names[i]->d_name);

        if (ok && is_of_model(names[i]->d_name) && !file_is_dir(path))
            ok = put_file(to, names[i]->d_name, path, err);
        free(names[i]);
    }
    free(names);
    arena_release(&a);
    return ok;
}

static bool hash_model(const char *path, json_t *head, struct error *err)
{
    const char *slash = strrchr(path, '/');
    json_t *files = json_object();

    json_object_set_new(head, "model", files);
    return file_is_dir(path) ? hash_folder(path, files, err)
                             : put_file(files, slash != NULL ? slash + 1 : path, path, err);
}

/* A checkpoint's folder holds more than its adapter, and not for ever. */
static bool hash_start(const char *dir, json_t *head, struct error *err)
{
    static const char *const names[] = {"adapter_config.json", "adapter_model.safetensors"};
    json_t *files = json_object();
    struct arena a = {0};
    bool ok = true;

    json_object_set_new(head, "start", files);
    for (size_t i = 0; ok && i < COUNT_OF(names); i++)
        ok = put_file(files, names[i], file_join(&a, dir, names[i]), err);
    arena_release(&a);
    return ok;
}

bool certificate_head(const struct certificate_origin *o, json_t **out, struct error *err)
{
    json_t *h = json_object();
    bool ok;

    json_object_set_new(h, "certificate", json_integer(1));
    json_object_set_new(h, "job", json_deep_copy(o->job));
    ok = hash_model(o->model, h, err) && (o->start == NULL || hash_start(o->start, h, err)) &&
         put_file(h, "training_file", o->train, err) &&
         (o->valid == NULL || put_file(h, "validation_file", o->valid, err));
    if (!ok) {
        json_decref(h);
        return fail_while(err, "hashing what the run is made of");
    }
    if (o->template != NULL)
        json_object_set_new(h, "template",
                            json_string(sha256_of(o->template, strlen(o->template)).hex));
    json_object_set_new(h, "context", json_integer((json_int_t)o->context));
    json_object_set_new(h, "hone", json_string(HONE_VERSION));
    json_object_set_new(h, "kernels", json_string(o->kernels));
    *out = h;
    return true;
}

/* ---- the same, or another one ---- */

static bool job_differs(const struct json_difference *d, struct error *err)
{
    return fail_param(err, ERR_INVALID, d->path,
                      "the job is another one: its certificate says that \"%s\" was %s, and now %s",
                      d->path, json_show(d->was).text, json_show(d->is).text);
}

static const char *sha256_in(const json_t *file)
{
    const char *text = json_string_value(json_object_get(file, "sha256"));

    return text != NULL ? text : "missing";
}

static bool file_differs(const char *what, const json_t *was, const json_t *is, struct error *err)
{
    if (was == NULL || is == NULL)
        return fail(err, ERR_INVALID, "%s: the run %s one, and now there is %s", what,
                    was != NULL ? "had" : "did not have", is != NULL ? "one" : "none");
    return fail(err, ERR_INVALID,
                "%s is another one: its SHA-256 is %.64s, and that of the run's was %.64s", what,
                sha256_in(is), sha256_in(was));
}

/* Files by their names; a single one may be called anything. */
static bool same_files(const char *what, const json_t *was, const json_t *is, struct error *err)
{
    json_t *value;
    const char *key;
    char name[200];

    if (json_same(was, is))
        return true; /* both may be missing */
    if (json_object_size(was) == 1 && json_object_size(is) == 1) {
        const json_t *a = json_object_iter_value(json_object_iter((json_t *)(uintptr_t)was));
        const json_t *b = json_object_iter_value(json_object_iter((json_t *)(uintptr_t)is));

        return json_same(a, b) || file_differs(what, a, b, err);
    }
    for (int side = 0; side < 2; side++) {
        json_object_foreach((json_t *)(uintptr_t)(side == 0 ? was : is), key, value)
        {
            const json_t *other = json_object_get(side == 0 ? is : was, key);

            snprintf(name, sizeof name, "%s's file %.100s", what, key);
            if (!json_same(value, other))
                return file_differs(name, side == 0 ? value : other, side == 0 ? other : value,
                                    err);
        }
    }
    return file_differs(what, was, is, err);
}

static bool same_file(const char *what, const json_t *was, const json_t *is, const char *key,
                      struct error *err)
{
    const json_t *a = json_object_get(was, key), *b = json_object_get(is, key);

    return json_same(a, b) || file_differs(what, a, b, err);
}

bool certificate_same_origin(const json_t *was, const json_t *made, struct error *err)
{
    struct json_difference d;
    const struct str before = json_str(json_object_get(was, "template")),
                     template = json_str(json_object_get(made, "template"));

    return (!json_difference(json_object_get(was, "job"), json_object_get(made, "job"), &d) ||
            job_differs(&d, err)) &&
           same_files("the model", json_object_get(was, "model"), json_object_get(made, "model"),
                      err) &&
           same_files("the adapter that training begins with", json_object_get(was, "start"),
                      json_object_get(made, "start"), err) &&
           same_file("the training file", was, made, "training_file", err) &&
           same_file("the validation file", was, made, "validation_file", err) &&
           (str_eq(before, template) ||
            fail(err, ERR_INVALID, "the chat template is another one than the run's"));
}
