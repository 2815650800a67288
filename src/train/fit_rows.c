/*
 * fit_rows.c - each turn as the model would be given it; then what the turns of a row share.
 */
#include "train/fit_rows.h"
#include "base/sha256.h"
#include "base/size.h"
#include "sample/turn.h"

#include <stdio.h>
#include <string.h>

enum dataset_format fit_format(enum train_method method)
{
    return method == METHOD_SUPERVISED ? DATASET_SUPERVISED
           : method == METHOD_DPO      ? DATASET_PREFERENCE
                                       : DATASET_PROMPTS;
}

/* ---- the turns of a row ---- */

struct turns {
    struct turn *all;
    size_t n;
};

static bool is_learned(const json_t *m)
{
    const json_t *weight = json_object_get(m, "weight");

    return str_is(json_str(json_object_get(m, "role")), "assistant") &&
           !(json_is_integer(weight) && json_integer_value(weight) == 0);
}

static bool conversation(const struct prompter *p, const struct dataset_row *row, struct arena *a,
                         struct turns *out, struct error *err)
{
    const size_t n = json_array_size(row->messages);

    out->all = ARENA_ARRAY(a, struct turn, n);
    for (size_t i = 0; i < n; i++)
        if (is_learned(json_array_get(row->messages, i)) &&
            !prompter_turn(p, row->messages, i, row->tools, a, &out->all[out->n++], err))
            return false;
    return true;
}

/* Both answers to the prompt. */
static bool pair(const struct prompter *p, const struct dataset_row *row, struct arena *a,
                 struct turns *out, struct error *err)
{
    const json_t *answers[] = {row->preferred, row->rejected};
    bool ok = true;

    out->all = ARENA_ARRAY(a, struct turn, 2);
    for (out->n = 0; ok && out->n < 2; out->n++) {
        json_t *messages = json_copy((json_t *)(uintptr_t)row->messages);

        json_array_append(messages, (json_t *)(uintptr_t)answers[out->n]);
        ok = prompter_turn(p, messages, json_array_size(messages) - 1, row->tools, a,
                           &out->all[out->n], err);
        json_decref(messages);
    }
    return ok;
}

static bool turns_of(const struct prompter *p, const struct dataset_row *row,
                     enum train_method method, struct arena *a, struct turns *out,
                     struct error *err)
{
    *out = (struct turns){0};
    if (method == METHOD_DPO)
        return pair(p, row, a, out, err);
    if (row->messages != NULL)
        return conversation(p, row, a, out, err);
    out->all = ARENA_ARRAY(a, struct turn, 1);
    out->n = 1;
    return prompter_completion(p, json_str(row->prompt), json_str(row->completion), a, out->all,
                               err);
}

/* ---- the group of a row ---- */

/* How many tokens all turns are given alike, from the first on. */
static size_t shared_prompt(const struct turns *t)
{
    size_t n = t->all[0].n_prompt;

    for (size_t i = 1; i < t->n; i++) {
        size_t k = 0;

        n = size_min(n, t->all[i].n_prompt);
        while (k < n && t->all[i].prompt[k] == t->all[0].prompt[k])
            k++;
        n = k;
    }
    return n;
}

/* One turn behind the first n_shared tokens of its prompt: what is given beyond them is masked. */
static struct tree_answer answer_of(const struct turn *t, size_t n_shared, const float *unset,
                                    struct arena *a)
{
    const size_t given = t->n_prompt - n_shared, n = given + t->n;
    struct tree_answer out = {
        .tokens = t->tokens, .masked = t->masked, .n = n, .coefficient = 1, .logprobs = unset};

    if (given > 0) {
        token_id *tokens = ARENA_ARRAY(a, token_id, n);
        bool *masked = ARENA_ARRAY(a, bool, n);

        memcpy(tokens, t->prompt + n_shared, given * sizeof *tokens);
        memcpy(tokens + given, t->tokens, t->n * sizeof *tokens);
        for (size_t i = 0; i < n; i++)
            masked[i] = i < given || (t->masked != NULL && t->masked[i - given]);
        out.tokens = tokens;
        out.masked = masked;
    }
    return out;
}

static void hash_answer(struct sha256_ctx *h, const struct tree_answer *s)
{
    for (size_t k = 0; k < s->n; k++) {
        const uint32_t v = (uint32_t)s->tokens[k] << 1 | (s->masked != NULL && s->masked[k]);
        const uint8_t bytes[] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16),
                                 (uint8_t)(v >> 24)};

        sha256_update(h, sizeof bytes, bytes);
    }
    sha256_update(h, 4, (const uint8_t *)"\xff\xff\xff\xff"); /* no token */
}

static bool make_row(const struct prompter *p, const struct dataset *d, size_t i,
                     enum train_method method, size_t max_positions, const float *unset,
                     struct arena *a, struct sha256_ctx *h, struct fit_rows *out, struct error *err)
{
    const struct dataset_row *row = &d->rows[i];
    struct tree_group *g = &out->groups[i];
    struct turns t;

    if (!turns_of(p, row, method, a, &t, err))
        return fail_while(err, "rendering %s, line %zu", d->path, row->line);
    struct tree_answer *answers = ARENA_ARRAY(a, struct tree_answer, t.n);
    const size_t n_shared = shared_prompt(&t);
    *g = (struct tree_group){
        .prompt = t.all[0].prompt, .n_prompt = n_shared, .answers = answers, .n_answers = t.n};
    hash_answer(h, &(struct tree_answer){.tokens = g->prompt, .n = n_shared});
    for (size_t k = 0; k < t.n; k++) {
        const size_t n = t.all[k].n_prompt + t.all[k].n;

        if (n > max_positions)
            return fail_param(err, ERR_LIMIT, "messages",
                              "%s, line %zu: the row has %zu tokens, more than the %zu positions "
                              "available (--context). It is not cut, for an answer without its end "
                              "would be learned: shorten it, or leave it out",
                              d->path, row->line, n, max_positions);
        if (n > out->longest) {
            out->longest = n;
            out->longest_line = row->line;
        }
        answers[k] = answer_of(&t.all[k], n_shared, unset, a);
        hash_answer(h, &answers[k]);
        out->n_learned[i] += t.all[k].n_learned;
        out->total_tokens += n;
    }
    out->total_learned += out->n_learned[i];
    out->first_answer[i + 1] = out->first_answer[i] + t.n;
    return true;
}

bool fit_rows_make(const struct prompter *p, const struct dataset *d, enum train_method method,
                   size_t max_positions, struct arena *a, struct fit_rows *out, struct error *err)
{
    struct fit_rows r = {.n = d->n_rows,
                         .groups = ARENA_ARRAY(a, struct tree_group, d->n_rows),
                         .n_learned = ARENA_ARRAY(a, size_t, d->n_rows),
                         .first_answer = ARENA_ARRAY(a, size_t, d->n_rows + 1)};
    float *unset = ARENA_ARRAY(a, float, max_positions); /* nothing was drawn */
    struct sha256_ctx h;

    sha256_init(&h);
    memset(unset, 0, max_positions * sizeof *unset);
    memset(r.n_learned, 0, r.n * sizeof *r.n_learned);
    r.first_answer[0] = 0;
    for (size_t i = 0; i < d->n_rows; i++)
        if (!make_row(p, d, i, method, max_positions, unset, a, &h, &r, err))
            return false;
    memcpy(r.sha256, sha256_finish(&h).hex, sizeof r.sha256);
    *out = r;
    return true;
}

bool fit_rows_check(const struct prompter *p, const struct dataset *d, enum train_method method,
                    size_t max_positions, struct error *err)
{
    struct arena a = {0};
    struct fit_rows rows;
    const bool ok = fit_rows_make(p, d, method, max_positions, &a, &rows, err);

    arena_release(&a);
    return ok;
}
