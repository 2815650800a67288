/*
 * replay_answers.c - two files of answers side by side: equal lines are passed over, different ones taken apart.
 */
#include "base/limits.h"
#include "base/size.h"
#include "job/replay_internal.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- one line of rollouts/ ---- */

/* Which file and which answer, for messages. */
struct answer_place {
    struct replay *r;
    size_t step;
    const char *file; /* "rollouts/step-3.jsonl" */
    const json_t *was, *is;
};

static struct json_shown answer_name(const struct answer_place *p)
{
    struct json_shown out;

    snprintf(out.text, sizeof out.text,
             "item %" JSON_INTEGER_FORMAT ", sample %" JSON_INTEGER_FORMAT " of %s",
             json_integer_value(json_object_get(p->was, "item")),
             json_integer_value(json_object_get(p->was, "sample")), p->file);
    return out;
}

static bool same_place(const struct answer_place *p)
{
    static const char *const keys[] = {"step", "item", "sample", "samples"};

    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (!json_same(json_object_get(p->was, keys[i]), json_object_get(p->is, keys[i])))
            return replay_differs(
                p->r, p->step, "answer",
                "another answer stands in the place of %s: its \"%s\" was %s, and is %s",
                answer_name(p).text, keys[i], json_show(json_object_get(p->was, keys[i])).text,
                json_show(json_object_get(p->is, keys[i])).text);
    return true;
}

/* What came from the data and the template: where these are others, the rest follows. */
static bool same_row(const struct answer_place *p)
{
    static const char *const keys[] = {"prompt", "reference"};

    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        const json_t *was = json_object_get(p->was, keys[i]), *is = json_object_get(p->is, keys[i]);

        if (!json_same(was, is))
            return replay_differs(
                p->r, p->step, "row", "%s has another \"%s\": it was %s, and is %s",
                answer_name(p).text, keys[i], json_show(was).text, json_show(is).text);
    }
    return true;
}

/* The text of a token where it was written down. */
static struct json_shown token_text(const json_t *line, size_t at)
{
    const json_t *pieces = json_object_get(line, "pieces");
    const json_t *id = json_array_get(json_object_get(line, "tokens"), at);
    struct json_shown out = json_show(id);

    if (id == NULL)
        snprintf(out.text, sizeof out.text, "no token");
    else if (json_array_get(pieces, at) != NULL)
        snprintf(out.text, sizeof out.text, "%s (%.100s)", json_show(id).text,
                 json_show(json_array_get(pieces, at)).text);
    return out;
}

/* The first place where two lists differ; their length where they do not. */
static size_t first_difference(const json_t *a, const json_t *b, bool *differ)
{
    const size_t n = size_max(json_array_size(a), json_array_size(b));
    size_t i = 0;

    while (i < n && json_same(json_array_get(a, i), json_array_get(b, i)))
        i++;
    *differ = i < n;
    return i;
}

static bool same_tokens(const struct answer_place *p)
{
    const json_t *was = json_object_get(p->was, "tokens"), *is = json_object_get(p->is, "tokens");
    bool differ;
    const size_t at = first_difference(was, is, &differ);

    if (!differ)
        return true;
    return replay_differs(p->r, p->step, "tokens",
                          "another token in %s: token %zu of %zu was %s, and is %s",
                          answer_name(p).text, at + 1, json_array_size(was),
                          token_text(p->was, at).text, token_text(p->is, at).text);
}

static bool same_logprobs(const struct answer_place *p)
{
    const json_t *was = json_object_get(p->was, "logprobs"),
                 *is = json_object_get(p->is, "logprobs");
    bool differ;
    const size_t at = first_difference(was, is, &differ);

    return !differ ||
           replay_differs(p->r, p->step, "logprobs",
                          "another log-probability in %s: of token %zu (%s) it was %s, and is %s",
                          answer_name(p).text, at + 1, token_text(p->was, at).text,
                          json_show(json_array_get(was, at)).text,
                          json_show(json_array_get(is, at)).text);
}

static bool same_text(const struct answer_place *p)
{
    static const char *const keys[] = {"truncated", "thinking", "answer", "tool_calls"};

    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        const json_t *was = json_object_get(p->was, keys[i]), *is = json_object_get(p->is, keys[i]);

        if (!json_same(was, is))
            return replay_differs(
                p->r, p->step, "text", "%s has another \"%s\": it was %s, and is %s",
                answer_name(p).text, keys[i], json_show(was).text, json_show(is).text);
    }
    return true;
}

#define NOT_AGAIN                                                                                  \
    "a grader that draws lots, looks at the clock or asks others may not say the same again: "     \
    "--recorded-grades checks everything else"

static bool same_scores(const struct answer_place *p, const char *key)
{
    const json_t *was = json_object_get(p->was, key), *is = json_object_get(p->is, key);
    const json_t *answer = json_object_get(p->was, "answer");
    const char *name;
    json_t *score;

    json_object_foreach((json_t *)(uintptr_t)is, name, score)
    {
        const json_t *before = json_object_get(was, name);

        if (!json_same(before, score))
            return replay_differs(
                p->r, p->step, "grades",
                "the grader \"%.64s\" scored %s otherwise: it gave %s, and now gives "
                "%s, for the answer %s; " NOT_AGAIN,
                name, answer_name(p).text, json_show(before).text, json_show(score).text,
                json_show(answer).text);
    }
    return true;
}

static bool same_grade(const struct answer_place *p)
{
    static const char *const keys[] = {"scores", "shadow_scores", "errors", "reward"};

    if (!same_scores(p, "scores") || !same_scores(p, "shadow_scores"))
        return false;
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        const json_t *was = json_object_get(p->was, keys[i]), *is = json_object_get(p->is, keys[i]);

        if (!json_same(was, is))
            return replay_differs(
                p->r, p->step, "grades",
                "%s was graded otherwise: its \"%s\" was %s, and is %s, for the answer "
                "%s; " NOT_AGAIN,
                answer_name(p).text, keys[i], json_show(was).text, json_show(is).text,
                json_show(json_object_get(p->was, "answer")).text);
    }
    return true;
}

static bool same_advantage(const struct answer_place *p)
{
    static const char *const keys[] = {"advantage", "trained"};

    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        const json_t *was = json_object_get(p->was, keys[i]), *is = json_object_get(p->is, keys[i]);

        if (!json_same(was, is))
            return replay_differs(p->r, p->step, "advantages", "%s: its \"%s\" was %s, and is %s",
                                  answer_name(p).text, keys[i], json_show(was).text,
                                  json_show(is).text);
    }
    return true;
}

/* ---- the answers of a step ---- */

/* The next line of a file from *at on; false at its end. */
static bool next_line(const struct file_map *m, size_t *at, struct str *out)
{
    const char *from = *at < m->len ? (const char *)m->ptr + *at : NULL; /* of nothing: no file */
    const char *end = from != NULL ? memchr(from, '\n', m->len - *at) : NULL;

    if (end == NULL)
        return false;
    *out = (struct str){from, (size_t)(end - from)};
    *at += out->len + 1;
    return true;
}

static bool parse_line(struct str text, json_t **out)
{
    struct error ignored;

    return !json_has_more(text, LIMIT_JSON_VALUES) && json_parse(text, "a line", out, &ignored) &&
           json_is_object(*out);
}

typedef bool line_check_fn(const struct answer_place *p);

static bool compare_line(struct answer_place *p, struct str was, struct str is, size_t n,
                         line_check_fn *const *checks, size_t n_checks)
{
    json_t *a = NULL, *b = NULL;
    bool same = true;

    if (str_eq(was, is))
        return true;
    if (!parse_line(was, &a))
        same = replay_differs(p->r, p->step, "answer", "line %zu of %s is no answer", n, p->file);
    else if (parse_line(is, &b)) {
        p->was = a;
        p->is = b;
        for (size_t i = 0; same && i < n_checks; i++)
            same = checks[i](p);
    }
    json_decref(a);
    json_decref(b);
    return same;
}

static bool compare_lines(struct answer_place *p, const struct file_map *was,
                          const struct file_map *is, line_check_fn *const *checks, size_t n_checks)
{
    size_t at_was = 0, at_is = 0, n = 0;

    for (;;) {
        struct str a, b;
        const bool more_was = next_line(was, &at_was, &a), more_is = next_line(is, &at_is, &b);

        if (more_was != more_is)
            return replay_differs(p->r, p->step, "answer",
                                  "%s %s after line %zu, where what was done again %s", p->file,
                                  more_was ? "goes on" : "ends", n, more_was ? "ends" : "goes on");
        if (!more_was)
            return true;
        if (!compare_line(p, a, b, ++n, checks, n_checks))
            return false;
    }
}

/* Hashes of the step in both certificates: of "train" or "valid", or NULL. */
static const json_t *hashes_was(const struct replay *r, size_t step, bool valid)
{
    const json_t *line = r->opt.certified != NULL ? certified_step(r->opt.certified, step) : NULL;

    return json_object_get(line, valid ? "valid" : "train");
}

static const char *const hash_of[][2] = {{"tokens", "answers"},
                                         {"answer", "answers"},
                                         {"logprobs", "logprobs"},
                                         {"grades", "grades"},
                                         {"advantages", "advantages"}};

/* Whether the run's certificate has what was done again, and so the file had it once. */
static bool certificate_agrees(const struct replay *r, const json_t *was, const json_t *is)
{
    const char *key = NULL;

    for (size_t i = 0; i < COUNT_OF(hash_of); i++)
        if (strcmp(hash_of[i][0], r->what) == 0)
            key = hash_of[i][1];
    if (was == NULL || is == NULL)
        return false;
    return key != NULL ? json_same(json_object_get(was, key), json_object_get(is, key))
                       : json_same(was, is); /* a text: it follows from all the rest */
}

/* Those of the parts from first on, n of them. */
static bool compare_hashes(struct replay *r, size_t step, const char *file, const json_t *was,
                           const json_t *is, size_t first, size_t n)
{
    static const char *const keys[] = {"answers", "logprobs", "grades", "advantages"};

    for (size_t i = first; was != NULL && is != NULL && i < first + n; i++) {
        if (json_same(json_object_get(was, keys[i]), json_object_get(is, keys[i])))
            continue;
        if (r->opt.known_grades && strcmp(keys[i], "grades") == 0)
            return replay_differs(
                r, step, keys[i],
                "the grades in %s are not those that the run's certificate was made of", file);
        return replay_differs(
            r, step, i == 0 ? "tokens" : keys[i],
            "the run's certificate has another hash of the %s of step %zu (%s) than "
            "what was done again has",
            keys[i], step, file);
    }
    return true;
}

/* Opened where it is there. */
static bool open_answers(const char *dir, const char *file, struct file_map *m, bool *there,
                         struct error *err)
{
    struct arena a = {0};
    const char *path = file_join(&a, dir, file);

    *there = file_exists(path);
    const bool ok = !*there || file_map_open(path, m, err);
    arena_release(&a);
    return ok;
}

static bool compare_files(struct answer_place *p, line_check_fn *const *checks, size_t n_checks,
                          struct error *err)
{
    struct file_map was = {0}, is = {0};
    bool has_was = false, has_is = false;
    bool ok = open_answers(p->r->opt.was, p->file, &was, &has_was, err) &&
              open_answers(run_folder_dir(p->r->opt.now), p->file, &is, &has_is, err);

    if (ok && has_was && !has_is)
        (void)replay_differs(p->r, p->step, "answer",
                             "there is no %s any more: the run had answers there", p->file);
    else if (ok && has_was && !replay_same_bytes(&was, &is))
        (void)compare_lines(p, &was, &is, checks, n_checks);
    file_map_close(&was);
    file_map_close(&is);
    return ok;
}

/*
 * What was drawn and graded first, then what follows from all of it. now: the line of the step in the new certificate, or NULL.
 */
bool replay_answers(struct replay *r, size_t step, bool valid, const json_t *now, struct error *err)
{
    static line_check_fn *const drawn[] = {same_place,    same_row,  same_tokens,
                                           same_logprobs, same_text, same_grade};
    static line_check_fn *const weighed[] = {same_advantage};
    const json_t *was = hashes_was(r, step, valid);
    const json_t *is = json_object_get(now, valid ? "valid" : "train");
    char file[64];
    struct answer_place p = {.r = r, .step = step, .file = file};

    snprintf(file, sizeof file, "rollouts/%s-%zu.jsonl", valid ? "valid" : "step", step);
    if (r->end != REPLAY_DIFFERS && r->opt.certified != NULL &&
        certified_step(r->opt.certified, step) != NULL && now != NULL &&
        (was == NULL) != (is == NULL)) {
        (void)replay_differs(r, step, "answer", "%s: by its certificate the run had %s there", file,
                             was == NULL ? "no answers" : "answers");
        return true;
    }
    for (int round = 0; r->end != REPLAY_DIFFERS && round < 2; round++) {
        if (!compare_files(&p, round == 0 ? drawn : weighed,
                           round == 0 ? COUNT_OF(drawn) : COUNT_OF(weighed), err))
            return false;
        if (r->end == REPLAY_DIFFERS)
            r->record_changed = certificate_agrees(r, was, is);
        else
            (void)compare_hashes(r, step, file, was, is, round == 0 ? 0 : 3, round == 0 ? 3 : 1);
    }
    return true;
}
