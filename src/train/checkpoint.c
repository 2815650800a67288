/*
 * checkpoint.c - a folder beside, then a rename.
 */
#include "train/checkpoint.h"
#include "base/file.h"
#include "base/size.h"
#include "model/safetensors.h"
#include "text/json.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *dir_of(struct arena *a, const char *run_dir, uint64_t step)
{
    return arena_printf(a, "%s/checkpoints/step-%" PRIu64, run_dir, step);
}

struct field {
    const char *name;
    size_t at;
    bool is_real;
};
#define WHOLE(name)                                                                                \
    {                                                                                              \
#name, offsetof(struct train_state, name), false                                           \
    }
#define REAL(name)                                                                                 \
    {                                                                                              \
#name, offsetof(struct train_state, name), true                                            \
    }
static const struct field fields[] = {
    WHOLE(step),           WHOLE(cursor),       WHOLE(max_tokens),  WHOLE(group_size),
    WHOLE(trained_tokens), WHOLE(solved_steps), REAL(rate_scale),   REAL(entropy_start),
    REAL(entropy_bonus),   REAL(max_dlogp),     REAL(first_reward), REAL(base_valid_reward),
};

/* ---- of supervised and dpo ---- */

static const struct {
    const char *name;
    size_t at;
} measured[] = {
    {"loss", offsetof(struct fit_measure, loss)},
    {"token_accuracy", offsetof(struct fit_measure, token_accuracy)},
    {"reward_chosen", offsetof(struct fit_measure, reward_chosen)},
    {"reward_rejected", offsetof(struct fit_measure, reward_rejected)},
    {"reward_accuracy", offsetof(struct fit_measure, reward_accuracy)},
    {"reward_margin", offsetof(struct fit_measure, reward_margin)},
};

static json_t *measure_to_json(const struct fit_measure *m)
{
    json_t *j = json_pack("{s:I, s:I}", "n_rows", (json_int_t)m->n_rows, "n_tokens",
                          (json_int_t)m->n_tokens);

    for (size_t i = 0; i < COUNT_OF(measured); i++)
        json_object_set_new(
            j, measured[i].name,
            json_real(*(const double *)(const void *)((const char *)m + measured[i].at)));
    return j;
}

/* What is not a finite number is not in the file, and reads as 0. */
static struct fit_measure measure_from_json(const json_t *j)
{
    struct fit_measure m = {.n_rows = (size_t)json_integer_value(json_object_get(j, "n_rows")),
                            .n_tokens = (size_t)json_integer_value(json_object_get(j, "n_tokens"))};

    for (size_t i = 0; i < COUNT_OF(measured); i++)
        *(double *)(void *)((char *)&m + measured[i].at) =
            json_number_value(json_object_get(j, measured[i].name));
    return m;
}

static json_t *fit_to_json(const struct fit_state *s)
{
    json_t *j = json_object();

    json_object_set_new(j, "first_loss", json_real(s->first_loss));
    json_object_set_new(j, "last_loss", json_real(s->last_loss));
    if (s->has_valid) {
        json_object_set_new(j, "base_valid", measure_to_json(&s->base_valid));
        json_object_set_new(j, "valid", measure_to_json(&s->valid));
    }
    return j;
}

static struct fit_state fit_from_json(const json_t *j)
{
    return (struct fit_state){.on = json_is_object(j),
                              .first_loss = json_number_value(json_object_get(j, "first_loss")),
                              .last_loss = json_number_value(json_object_get(j, "last_loss")),
                              .has_valid = json_is_object(json_object_get(j, "valid")),
                              .base_valid = measure_from_json(json_object_get(j, "base_valid")),
                              .valid = measure_from_json(json_object_get(j, "valid"))};
}

/* ---- the whole state ---- */

static json_t *state_to_json(const struct train_state *s, const struct optimizer *o)
{
    json_t *j = json_object(), *best = json_array();

    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        const void *at = (const char *)s + fields[i].at;

        if (fields[i].is_real)
            json_object_set_new(j, fields[i].name, json_real(*(const double *)at));
        else
            json_object_set_new(j, fields[i].name,
                                json_integer((json_int_t) * (const uint64_t *)at));
    }
    json_object_set_new(j, "collapse_told", json_boolean(s->collapse_told));
    json_object_set_new(j, "group_auto", json_boolean(s->group_auto));
    json_object_set_new(j, "optimizer_updates", json_integer((json_int_t)o->t));
    for (size_t i = 0; i < s->n_best; i++)
        json_array_append_new(best, json_pack("{s:I, s:f}", "step", (json_int_t)s->best_step[i],
                                              "reward", s->best_reward[i]));
    json_object_set_new(j, "best", best);
    if (s->fit.on)
        json_object_set_new(j, "fit", fit_to_json(&s->fit));
    else
        json_object_set_new(j, "ledger", ledger_state_json(&s->ledger));
    return j;
}

static bool state_from_json(const json_t *j, const char *what, struct train_state *s,
                            struct optimizer *o, struct error *err)
{
    const json_t *best = json_object_get(j, "best");
    int64_t whole = 0;

    *s = (struct train_state){0};
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        void *at = (char *)s + fields[i].at;

        if (!json_is_number(json_object_get(j, fields[i].name)))
            return fail(err, ERR_CORRUPT, "%s: \"%s\" is missing", what, fields[i].name);
        if (fields[i].is_real) {
            *(double *)at = json_number_value(json_object_get(j, fields[i].name));
        } else {
            if (!json_get_int(j, fields[i].name, what, 0, 0, INT64_MAX, &whole, err))
                return false;
            *(uint64_t *)at = (uint64_t)whole;
        }
    }
    s->collapse_told = json_is_true(json_object_get(j, "collapse_told"));
    s->group_auto = json_is_true(json_object_get(j, "group_auto"));
    s->fit = fit_from_json(json_object_get(j, "fit"));
    if (!json_get_int(j, "optimizer_updates", what, 0, 0, INT64_MAX, &whole, err))
        return false;
    o->t = (uint64_t)whole;
    if (!ledger_state_read(json_object_get(j, "ledger"), what, &s->ledger, err))
        return false;
    for (size_t i = 0; i < json_array_size(best) && i < CHECKPOINT_BEST; i++) {
        const json_t *b = json_array_get(best, i);

        s->best_step[i] = (uint64_t)json_integer_value(json_object_get(b, "step"));
        s->best_reward[i] = json_number_value(json_object_get(b, "reward"));
        s->n_best++;
    }
    return true;
}

static bool save_state(const struct checkpoint_parts *p, const char *path, struct error *err)
{
    json_t *j = state_to_json(p->state, p->optimizer);
    struct buf b;

    json_object_set_new(j, "stays", json_boolean(p->stays));
    buf_init(&b, 1 << 20);
    json_write(&b, j, &(struct json_format){.indent = 2});
    buf_char(&b, '\n');
    const bool ok = buf_ok(&b, "state.json", err) && file_put(path, buf_view(&b), err);
    buf_release(&b);
    json_decref(j);
    return ok;
}

static bool save_moments(const struct optimizer *o, const char *path, struct error *err)
{
    const struct safetensor t[] = {
        {.name = "exp_avg", .dtype = DTYPE_F32, .n_dims = 1, .dims = {o->n}, .data = o->m},
        {.name = "exp_avg_sq", .dtype = DTYPE_F32, .n_dims = 1, .dims = {o->n}, .data = o->v},
    };

    return safetensors_write(path, t, COUNT_OF(t), NULL, 0, err);
}

bool checkpoint_save(const char *run_dir, const struct checkpoint_parts *p, struct arena *a,
                     const char **dir, struct error *err)
{
    const char *all = file_join(a, run_dir, "checkpoints");
    const char *place = dir_of(a, run_dir, p->state->step);
    const char *beside = arena_printf(a, "%s/.step-%" PRIu64 ".part", all, p->state->step);
    bool ok =
        file_make_dirs(all, err) && file_remove_tree(beside, err) && file_make_dirs(beside, err);

    ok = ok && (p->adapter != NULL ? adapter_save(p->adapter, beside, err)
                                   : model_full_save(p->model, beside, err));
    ok = ok && save_moments(p->optimizer, file_join(a, beside, "optimizer.safetensors"), err) &&
         save_state(p, file_join(a, beside, "state.json"), err);
    ok = ok && file_remove_tree(place, err) && file_rename(beside, place, err);
    if (!ok) {
        struct error ignored;

        (void)!file_remove_tree(beside, &ignored);
        return fail_while(err, "writing the checkpoint of step %" PRIu64, p->state->step);
    }
    *dir = place;
    return true;
}

bool checkpoint_is_whole(const char *run_dir, uint64_t step)
{
    struct arena a = {0};
    const char *dir = dir_of(&a, run_dir, step);
    const bool whole = file_exists(file_join(&a, dir, "state.json")) &&
                       file_exists(file_join(&a, dir, "optimizer.safetensors"));

    arena_release(&a);
    return whole;
}

typedef bool each_step_fn(void *ctx, uint64_t step, struct error *err);

static bool each_step(const char *run_dir, each_step_fn *fn, void *ctx, struct error *err)
{
    struct arena a = {0};
    DIR *d = opendir(file_join(&a, run_dir, "checkpoints"));
    bool ok = true;

    for (struct dirent *e; ok && d != NULL && (e = readdir(d)) != NULL;) {
        uint64_t step;
        int end = 0;

        if (sscanf(e->d_name, "step-%" SCNu64 "%n", &step, &end) == 1 && e->d_name[end] == '\0')
            ok = fn(ctx, step, err);
    }
    if (d != NULL)
        closedir(d);
    arena_release(&a);
    return ok;
}

struct newest {
    const char *run_dir;
    uint64_t step;
};

static bool look_for_newest(void *ctx, uint64_t step, struct error *err)
{
    struct newest *n = ctx;

    (void)err;
    if (step > n->step && checkpoint_is_whole(n->run_dir, step))
        n->step = step;
    return true;
}

uint64_t checkpoint_last(const char *run_dir)
{
    struct newest n = {.run_dir = run_dir};

    (void)!each_step(run_dir, look_for_newest, &n, NULL);
    return n.step;
}

static bool load_floats(const struct safetensors *s, const char *path, const char *name, size_t n,
                        float *out, struct error *err)
{
    const struct safetensor *t = safetensors_find(s, name);

    if (t == NULL || t->dtype != DTYPE_F32 || t->n_dims != 1 || t->dims[0] != n)
        return fail(err, ERR_CORRUPT, "%s: \"%s\" is not there with %zu values", path, name, n);
    memcpy(out, t->data, n * sizeof *out);
    return true;
}

bool checkpoint_load(const char *run_dir, uint64_t step, struct model *model,
                     struct adapter *adapter, struct optimizer *o, struct train_state *state,
                     struct error *err)
{
    struct arena a = {0};
    const char *dir = dir_of(&a, run_dir, step);
    const char *moments = file_join(&a, dir, "optimizer.safetensors"),
               *path = file_join(&a, dir, "state.json");
    struct safetensors *s = NULL;
    struct adapter *saved = NULL;
    json_t *j = NULL;
    bool ok = json_read_file(path, &j, err) && state_from_json(j, path, state, o, err) &&
              safetensors_open(moments, &s, err) &&
              load_floats(s, moments, "exp_avg", o->n, o->m, err) &&
              load_floats(s, moments, "exp_avg_sq", o->n, o->v, err);

    if (ok && adapter != NULL) {
        ok = adapter_load(&model->config, dir, &saved, err);
        if (ok && saved->n_values != adapter->n_values)
            ok = fail(err, ERR_INVALID, "%s holds an adapter of rank %zu, the job says %zu", dir,
                      saved->rank, adapter->rank);
        if (ok)
            memcpy(adapter->values, saved->values, adapter->n_values * sizeof *adapter->values);
    } else if (ok) {
        ok = model_full_load(model, dir, err);
    }
    adapter_close(saved);
    safetensors_close(s);
    json_decref(j);
    arena_release(&a);
    return ok || fail_while(err, "resuming from step %" PRIu64, step);
}

bool checkpoint_stays(const char *run_dir, uint64_t step)
{
    struct arena a = {0};
    struct error ignored;
    json_t *j = NULL;
    const bool stays =
        !json_read_file(file_join(&a, dir_of(&a, run_dir, step), "state.json"), &j, &ignored) ||
        !json_is_false(json_object_get(j, "stays"));

    json_decref(j);
    arena_release(&a);
    return stays;
}

bool checkpoint_pin(const char *run_dir, uint64_t step, struct error *err)
{
    struct arena a = {0};
    const bool ok = file_put(file_join(&a, dir_of(&a, run_dir, step), "pinned"), STR(""), err) ||
                    fail_while(err, "keeping the checkpoint of step %" PRIu64, step);

    arena_release(&a);
    return ok;
}

struct pruning {
    const char *run_dir;
    const struct train_state *state;
    size_t keep_best;
    bool keep_optimizer;
};

static bool prune_one(void *ctx, uint64_t step, struct error *err)
{
    const struct pruning *p = ctx;
    struct arena a = {0};
    const char *dir = dir_of(&a, p->run_dir, step);
    bool best = file_exists(file_join(&a, dir, "pinned")), ok;

    for (size_t i = 0; i < p->state->n_best && i < p->keep_best; i++)
        best = best || p->state->best_step[i] == step;
    if (step == p->state->step)
        ok = true;
    else if (best)
        ok =
            p->keep_optimizer || file_remove_tree(file_join(&a, dir, "optimizer.safetensors"), err);
    else
        ok = file_remove_tree(dir, err);
    arena_release(&a);
    return ok;
}

bool checkpoint_prune(const char *run_dir, const struct train_state *state, size_t keep_best,
                      bool keep_optimizer, struct error *err)
{
    struct pruning p = {.run_dir = run_dir,
                        .state = state,
                        .keep_best = keep_best,
                        .keep_optimizer = keep_optimizer};

    return each_step(run_dir, prune_one, &p, err);
}
