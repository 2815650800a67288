/*
 * grade_notes.c - what needs a result's details is looked at when it is noted; numbers wait for the sum.
 */
#include "grade/grade_notes.h"
#include "base/size.h"

#include <stdio.h>

bool grade_notes_init(struct grade_notes *notes, const struct grader *g,
                      const struct grade_answer *answers, size_t n, size_t n_rows, size_t n_repeats,
                      size_t keep_prints, struct error *err)
{
    struct grade_notes x = {.grader = g,
                            .answers = answers,
                            .n = n,
                            .n_rows = n_rows,
                            .n_repeats = n_repeats,
                            .n_parts = grader_count(g)};
    size_t n_all = 0;
    bool ok = size_mul(n, n_repeats, &n_all) ||
              fail(err, ERR_NO_MEMORY, "no memory for %zu answers, %zu times each", n, n_repeats);

    ok = ok &&
         (x.reward = arena_try(&x.arena, n_all, sizeof(double), "the rewards", err)) != NULL &&
         (x.is_failed = arena_try(&x.arena, n_all, 1, "the rewards", err)) != NULL;
    for (size_t p = 0; ok && p < x.n_parts; p++)
        ok = (x.part[p].score = arena_try(&x.arena, n_all, sizeof(double), "the scores", err)) !=
                 NULL &&
             (x.part[p].is_failed = arena_try(&x.arena, n_all, 1, "the scores", err)) != NULL;
    x.keep_prints = size_min(keep_prints, n_all);
    ok = ok && (x.print = arena_try(&x.arena, x.keep_prints, sizeof *x.print, "what is printed",
                                    err)) != NULL;
    if (ok)
        *notes = x;
    else
        arena_release(&x.arena);
    return ok;
}

void grade_notes_release(struct grade_notes *notes)
{
    arena_release(&notes->arena);
    *notes = (struct grade_notes){0};
}

/* ---- causes ---- */

/* Copies a text without what is between quotes and with # for numbers: the words of a message that are its own. */
static size_t without_values(const char *text, char *key)
{
    size_t n = 0;

    for (const char *c = text; *c != '\0'; c++) {
        const char *end = *c == '\'' || *c == '"' ? strchr(c + 1, *c) : NULL;

        if (end != NULL) {
            key[n++] = *c;
            c = end;
        } else if (*c >= '0' && *c <= '9') {
            if (n == 0 || key[n - 1] != '#')
                key[n++] = '#';
        } else {
            key[n++] = *c;
        }
    }
    return n;
}

/* Where the exception is named: behind the frames, which are indented. NULL: no traceback. */
static const char *exception_of(const char *details)
{
    const char *line = strchr(details, '\n');

    while (line != NULL && line[1] == ' ')
        line = strchr(line + 1, '\n');
    return line == NULL ? NULL : line + 1;
}

/*
 * What makes failures alike. Of a traceback the frames and the exception's name, without what it says; else all of it
 * without the values.
 */
static void key_of(const char *details, char *key)
{
    const char *exception = exception_of(details);
    size_t n;

    if (exception == NULL) {
        n = without_values(details, key);
    } else {
        n = (size_t)(exception - details) + strcspn(exception, ":\n");
        memcpy(key, details, n);
    }
    key[n] = '\0';
}

static void note_cause(struct grade_notes *notes, size_t answer, const struct grade_result *r)
{
    const size_t count = notes->answers[answer].count;
    struct grade_cause *c = NULL;
    char key[sizeof r->details];

    key_of(r->details, key);
    for (size_t i = 0; i < notes->n_causes && c == NULL; i++)
        if (notes->cause[i].flags == r->flags && strcmp(notes->cause[i].key, key) == 0)
            c = &notes->cause[i];
    if (c == NULL && notes->n_causes == GRADE_CAUSES) {
        notes->n_other += count;
        return;
    }
    if (c == NULL) {
        c = &notes->cause[notes->n_causes++];
        *c = (struct grade_cause){.flags = r->flags,
                                  .grader_failed = grade_grader_failed(r),
                                  .details = arena_text(&notes->arena, str_of(r->details)),
                                  .key = arena_text(&notes->arena, str_of(key))};
    }
    c->n += count;
    for (size_t i = 0; i < c->n_shown; i++)
        if (c->shown[i] == answer) /* graded again */
            return;
    c->has_more = c->n_shown == GRADE_SHOWN;
    if (!c->has_more)
        c->shown[c->n_shown++] = answer;
}

static void note_failure(struct grade_notes *notes, size_t answer, const struct grade_result *r)
{
    const size_t count = notes->answers[answer].count;

    if (r->flags == 0)
        return;
    notes->n_failed += count;
    notes->n_grader_failed += grade_grader_failed(r) ? count : 0;
    for (size_t b = 0; b < COUNT_OF(notes->n_flag); b++)
        notes->n_flag[b] += (r->flags >> b & 1u) * count;
    note_cause(notes, answer, r);
}

/* ---- time ---- */

static void note_time(struct grade_notes *notes, size_t answer, const struct grade_result *r)
{
    struct grade_call call = {.answer = answer, .seconds = r->seconds};
    size_t at;

    for (size_t p = 0; p < notes->n_parts; p++) {
        notes->part[p].seconds += r->part_seconds[p];
        if (r->part_seconds[p] > call.part_seconds) {
            call.part = p;
            call.part_seconds = r->part_seconds[p];
        }
    }
    for (at = notes->n_slowest; at > 0 && notes->slowest[at - 1].seconds < call.seconds; at--)
        if (at < GRADE_SHOWN)
            notes->slowest[at] = notes->slowest[at - 1];
    if (at < GRADE_SHOWN) {
        notes->slowest[at] = call;
        notes->n_slowest = size_min(notes->n_slowest + 1, GRADE_SHOWN);
    }
}

/* ---- all of it ---- */

void grade_notes_add(struct grade_notes *notes, size_t answer, size_t repeat,
                     const struct grade_result *r, const char *printed)
{
    const size_t at = answer * notes->n_repeats + repeat;
    const bool never_ran =
        (r->flags & (GRADE_TRUNCATED_OBSERVATION_ERROR | GRADE_UNRESPONSIVE_REWARD_ERROR)) != 0;

    notes->reward[at] = r->reward;
    notes->is_failed[at] = r->flags != 0;
    for (size_t p = 0; p < notes->n_parts; p++) {
        notes->part[p].score[at] = r->part[p];
        notes->part[p].is_failed[at] = never_ran || r->part_flags[p] != 0;
    }
    note_failure(notes, answer, r);
    note_time(notes, answer, r);
    if (printed == NULL || printed[0] == '\0')
        return;
    notes->n_printed++;
    if (notes->n_prints < notes->keep_prints)
        notes->print[notes->n_prints++] =
            (struct grade_print){answer, arena_str(&notes->arena, str_of(printed))};
}

double grade_notes_reward(const struct grade_notes *notes, size_t answer)
{
    double sum = 0;

    for (size_t k = 0; k < notes->n_repeats; k++)
        sum += notes->reward[answer * notes->n_repeats + k];
    return sum / (double)notes->n_repeats;
}

bool grade_notes_failed(const struct grade_notes *notes, size_t answer)
{
    for (size_t k = 0; k < notes->n_repeats; k++)
        if (notes->is_failed[answer * notes->n_repeats + k])
            return true;
    return false;
}
