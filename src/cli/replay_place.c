/*
 * replay_place.c - a new folder, and in it what going on from a checkpoint takes.
 */
#include "cli/replay_place.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/size.h"
#include "job/certificate.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool copy_file(const char *from, const char *to, struct error *err)
{
    struct file_map map = {0};
    const bool ok = file_map_open(from, &map, err) &&
                    file_put(to, (struct str){(const char *)map.ptr, map.len}, err);

    file_map_close(&map);
    return ok;
}

/* Of a checkpoint nothing is written in place, so a second name does. */
static bool link_or_copy(const char *from, const char *to, struct error *err)
{
    return link(from, to) == 0 || copy_file(from, to, err);
}

static bool take_checkpoint(const struct replay_source *s, const char *dir, struct arena *a,
                            struct error *err)
{
    static const char *const names[] = {"adapter_config.json", "adapter_model.safetensors",
                                        "model.safetensors", "optimizer.safetensors", "state.json"};
    const char *step = arena_printf(a, "checkpoints/step-%zu", s->from);
    const char *from = file_join(a, s->dir, step), *to = file_join(a, dir, step);
    bool ok = file_make_dirs(to, err);

    for (size_t i = 0; ok && i < COUNT_OF(names); i++) {
        const char *one = file_join(a, from, names[i]);

        ok = !file_exists(one) || link_or_copy(one, file_join(a, to, names[i]), err);
    }
    return ok;
}

static bool put_job(const struct replay_source *s, const char *path, struct error *err)
{
    json_t *file = json_copy((json_t *)(uintptr_t)s->job_file);
    struct buf b;

    json_object_set(file, "job", (json_t *)(uintptr_t)s->body);
    buf_init(&b, LIMIT_JSON_BYTES);
    json_write(&b, file, NULL);
    const bool ok = buf_ok(&b, path, err) && file_put(path, buf_view(&b), err);
    buf_release(&b);
    json_decref(file);
    return ok;
}

static bool fill(const struct replay_source *s, const char *dir, struct arena *a, struct error *err)
{
    return take_checkpoint(s, dir, a, err) && put_job(s, file_join(a, dir, "job.json"), err) &&
           (!s->certified || copy_file(file_join(a, s->dir, CERTIFICATE_FILE),
                                       file_join(a, dir, CERTIFICATE_FILE), err));
}

bool replay_place_make(struct cli *c, const struct replay_source *s, struct replay_place *out,
                       struct error *err)
{
    const char *dir = option_text(c->options, OPT_OUT), *tmp = getenv("TMPDIR");
    struct replay_place p = {.dir = dir};

    if (dir == NULL) {
        char *name = arena_printf(c->arena, "%s/hone-replay-XXXXXX",
                                  tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp");

        if (mkdtemp(name) == NULL)
            return fail_errno(err, "cannot make a folder to do the run again in (%s)", name);
        p = (struct replay_place){.dir = name, .ours = true};
    } else if (file_exists(file_join(c->arena, dir, "job.json"))) {
        return fail(err, ERR_INVALID, "%s holds a run already: choose another folder for --out",
                    dir);
    }
    *out = p;
    return s->from == 0 || fill(s, p.dir, c->arena, err);
}

void replay_place_remove(struct replay_place *p)
{
    struct error ignored;

    if (p->ours)
        (void)!file_remove_tree(p->dir, &ignored);
    *p = (struct replay_place){0};
}
