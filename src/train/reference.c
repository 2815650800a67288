/*
 * reference.c - a forward pass over all rows, and a file of sums.
 */
#include "train/reference.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/sha256.h"
#include "text/json.h"

#include <stdio.h>
#include <string.h>

/* Of the rows of both files and the model. */
static struct sha256_text name_of(const struct fit_rows *train, const struct fit_rows *valid,
                                  const char *model_sha256)
{
    struct sha256_ctx h;

    sha256_init(&h);
    sha256_update(&h, 64, (const uint8_t *)train->sha256);
    if (valid != NULL)
        sha256_update(&h, 64, (const uint8_t *)valid->sha256);
    sha256_update(&h, strlen(model_sha256), (const uint8_t *)model_sha256);
    return sha256_finish(&h);
}

static bool compute(const struct gradient *x, const struct fit_rows *rows, struct arena *a,
                    double **out, struct error *err)
{
    const size_t n = rows->first_answer[rows->n];
    struct answer_logp *answers = ARENA_ARRAY(a, struct answer_logp, n);

    *out = ARENA_ARRAY(a, double, n);
    if (!gradient_look(x, rows->groups, rows->n, 1, answers, err))
        return false;
    for (size_t i = 0; i < n; i++)
        (*out)[i] = answers[i].logp;
    return true;
}

static json_t *list_of(const double *x, size_t n)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_real(x[i]));
    return list;
}

static bool keep(const char *path, const char *name, const struct reference *r,
                 const struct fit_rows *train, const struct fit_rows *valid, struct error *err)
{
    json_t *j = json_pack("{s:s, s:o, s:o}", "sha256", name, "train",
                          list_of(r->train, train->first_answer[train->n]), "valid",
                          list_of(r->valid, valid != NULL ? valid->first_answer[valid->n] : 0));
    struct buf b;

    buf_init(&b, LIMIT_JSON_BYTES);
    json_write(&b, j, NULL);
    buf_char(&b, '\n');
    const bool ok = buf_ok(&b, path, err) && file_put(path, buf_view(&b), err);
    buf_release(&b);
    json_decref(j);
    return ok;
}

static bool read_list(const json_t *j, const char *key, size_t n, const char *path, struct arena *a,
                      double **out, struct error *err)
{
    const json_t *list = json_object_get(j, key);

    if (json_array_size(list) != n)
        return fail(err, ERR_CORRUPT, "%s: \"%s\" has %zu numbers, %zu were expected", path, key,
                    json_array_size(list), n);
    *out = ARENA_ARRAY(a, double, n);
    for (size_t i = 0; i < n; i++) {
        const json_t *x = json_array_get(list, i);

        if (!json_is_number(x))
            return fail(err, ERR_CORRUPT, "%s: \"%s\" holds %s, a number was expected", path, key,
                        json_kind(x));
        (*out)[i] = json_number_value(x);
    }
    return true;
}

static bool take(const char *path, const char *name, const struct fit_rows *train,
                 const struct fit_rows *valid, struct arena *a, struct reference *out,
                 struct error *err)
{
    json_t *j = NULL;
    bool ok = json_read_file(path, &j, err);

    if (ok && !str_is(json_str(json_object_get(j, "sha256")), name))
        ok = fail(err, ERR_INVALID,
                  "%s is of other rows, or of another model: a run goes on only as it was started",
                  path);
    ok = ok && read_list(j, "train", train->first_answer[train->n], path, a, &out->train, err) &&
         (valid == NULL ||
          read_list(j, "valid", valid->first_answer[valid->n], path, a, &out->valid, err));
    json_decref(j);
    return ok;
}

bool reference_get(const struct gradient *x, const char *run_dir, const struct fit_rows *train,
                   const struct fit_rows *valid, const char *model_sha256, bool resume,
                   struct arena *a, struct reference *out, struct error *err)
{
    const struct sha256_text name = name_of(train, valid, model_sha256);
    const char *path = file_join(a, run_dir, "reference.json");
    struct reference r = {0};
    bool ok;

    if (resume && file_exists(path))
        ok = take(path, name.hex, train, valid, a, &r, err);
    else
        ok = compute(x, train, a, &r.train, err) &&
             (valid == NULL || compute(x, valid, a, &r.valid, err)) &&
             keep(path, name.hex, &r, train, valid, err);
    if (!ok)
        return false;
    *out = r;
    return true;
}
