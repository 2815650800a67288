/*
 * replay_grades.c - the grades on the lines of rollouts/, found by step, item and sample.
 */
#include "base/size.h"
#include "job/replay.h"
#include "job/run_read.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct recorded {
    size_t item, sample, at; /* at: of its line in the file */
    const json_t *line;
    bool taken;
};

/* The answers of one file; the newest that was asked for. */
struct recorded_step {
    bool loaded;
    size_t step;
    json_t *lines;
    struct arena arena;
    struct recorded *all; /* [n] by item, sample and place */
    size_t n;
};

struct replay_grades {
    struct arena arena;
    const char *dir;
    size_t n_parts;
    const char *names[GRADE_MAX_PARTS];
    bool shadow[GRADE_MAX_PARTS];
    struct recorded_step train, valid;
};

struct replay_grades *replay_grades_open(const char *dir, const json_t *job_file)
{
    struct replay_grades *g = calloc(1, sizeof *g);
    json_t *grader;
    size_t i;

    if (g == NULL)
        abort(); /* some kilobytes */
    g->dir = arena_text(&g->arena, str_of(dir));
    json_array_foreach(json_object_get(job_file, "graders"), i, grader)
    {
        if (i == GRADE_MAX_PARTS)
            break;
        g->names[i] = arena_text(&g->arena, json_str(json_object_get(grader, "name")));
        g->shadow[i] = json_is_true(json_object_get(grader, "shadow"));
        g->n_parts = i + 1;
    }
    return g;
}

static void forget(struct recorded_step *s)
{
    json_decref(s->lines);
    arena_release(&s->arena);
    *s = (struct recorded_step){0};
}

void replay_grades_close(struct replay_grades *g)
{
    if (g == NULL)
        return;
    forget(&g->train);
    forget(&g->valid);
    arena_release(&g->arena);
    free(g);
}

static bool keep_line(void *ctx, const json_t *line)
{
    return json_array_append(ctx, (json_t *)(uintptr_t)line) == 0;
}

static int by_answer(const void *a, const void *b)
{
    const struct recorded *x = a, *y = b;

    if (x->item != y->item)
        return x->item < y->item ? -1 : 1;
    return x->sample < y->sample ? -1 : x->sample > y->sample;
}

static int by_place(const void *a, const void *b)
{
    const struct recorded *x = a, *y = b;
    const int order = by_answer(a, b);

    return order != 0 ? order : x->at < y->at ? -1 : x->at > y->at;
}

/*
 * Of a small file a row can come twice in a step, with the same answers, and grades of its own each time: they are handed out in their order.
 */
static struct recorded *take(const struct recorded_step *s, size_t item, size_t sample)
{
    const struct recorded key = {.item = item, .sample = sample};
    struct recorded *found =
        s->n > 0 ? bsearch(&key, s->all, s->n, sizeof *s->all, by_answer) : NULL;

    if (found == NULL)
        return NULL;
    while (found > s->all && by_answer(found - 1, &key) == 0)
        found--;
    while (found->taken && found + 1 < s->all + s->n && by_answer(found + 1, &key) == 0)
        found++;
    found->taken = true;
    return found;
}

static void load(const struct replay_grades *g, size_t step, bool valid, struct recorded_step *s)
{
    struct error ignored;
    size_t n_bad = 0, n = 0, i;
    json_t *line;

    forget(s);
    s->loaded = true;
    s->step = step;
    s->lines = json_array();
    if (!run_read_rollouts(g->dir, step, valid, keep_line, s->lines, &n_bad, &ignored))
        return;
    json_array_foreach(s->lines, i, line) n += rollout_line_samples(line);
    s->all = ARENA_ARRAY(&s->arena, struct recorded, n);
    json_array_foreach(s->lines, i, line)
    {
        const json_t *samples = json_object_get(line, "samples");

        for (size_t k = 0; k < rollout_line_samples(line); k++) {
            const json_t *sample =
                samples != NULL ? json_array_get(samples, k) : json_object_get(line, "sample");

            s->all[s->n++] =
                (struct recorded){.item = (size_t)json_integer_value(json_object_get(line, "item")),
                                  .sample = (size_t)json_integer_value(sample),
                                  .at = i,
                                  .line = line};
        }
    }
    qsort(s->all, s->n, sizeof *s->all, by_place);
}

static unsigned flags_of(const json_t *line)
{
    unsigned flags = 0;
    json_t *name;
    size_t i;

    json_array_foreach(json_object_get(line, "errors"), i, name)
    {
        for (size_t bit = 0; grade_flag_name(bit) != NULL; bit++)
            flags |= str_is(json_str(name), grade_flag_name(bit)) ? 1u << bit : 0;
    }
    return flags;
}

static void take_text(const json_t *line, const char *key, char *out, size_t size)
{
    const struct str text = json_str(json_object_get(line, key));

    snprintf(out, size, "%.*s", (int)size_min(text.len, size - 1), text.len > 0 ? text.ptr : "");
}

static struct grade_result grade_of(const struct replay_grades *g, const json_t *line)
{
    struct grade_result r = {.reward = json_number_value(json_object_get(line, "reward")),
                             .flags = flags_of(line),
                             .n_parts = g->n_parts};

    for (size_t i = 0; i < g->n_parts; i++) {
        const json_t *score = json_object_get(
            json_object_get(line, g->shadow[i] ? "shadow_scores" : "scores"), g->names[i]);

        r.part[i] = json_number_value(score);
        if (g->shadow[i] && !json_is_number(score))
            r.part_flags[i] = GRADE_OTHER_ERROR; /* it failed, in whichever way */
    }
    take_text(line, "details", r.details, sizeof r.details);
    take_text(line, "shadow_details", r.shadow_details, sizeof r.shadow_details);
    return r;
}

static bool get(void *ctx, size_t step, bool valid, size_t item, size_t sample,
                struct grade_result *out)
{
    struct replay_grades *g = ctx;
    struct recorded_step *s = valid ? &g->valid : &g->train;

    if (!s->loaded || s->step != step)
        load(g, step, valid, s);
    const struct recorded *found = take(s, item, sample);
    if (found == NULL)
        return false;
    *out = grade_of(g, found->line);
    return true;
}

struct known_grades replay_grades_known(struct replay_grades *g)
{
    return (struct known_grades){.ctx = g, .get = get};
}
