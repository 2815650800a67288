/*
 * grade_support.h - graders and rows from JSON texts.
 */
#ifndef HONE_TESTS_GRADE_SUPPORT_H
#define HONE_TESTS_GRADE_SUPPORT_H

#include "grade/grader.h"
#include "support/support.h"

#include <string.h>

/* JSON with ' for ", so that C strings stay readable. */
static inline json_t *json_of(const char *text)
{
    struct arena a = {0};
    struct error err = {0};
    char *copy = arena_text(&a, str_of(text));
    json_t *out = NULL;

    for (char *c = copy; *c != '\0'; c++)
        *c = *c == '\'' ? '"' : *c;
    ASSERT_OK(json_parse(str_of(copy), "a test's JSON", &out, &err));
    arena_release(&a);
    return out;
}

/* A Python grader with this source. */
static inline json_t *python_spec(const char *source)
{
    return json_pack("{s:s, s:s, s:s}", "type", "python", "name", "test", "source", source);
}

/* Opens spec, which it takes over. */
static inline struct grader *grader_of(json_t *spec, const struct grade_options *opt)
{
    struct error err = {0};
    struct grader *g = NULL;

    ASSERT_OK(grader_open(spec, opt, &g, &err));
    json_decref(spec);
    return g;
}

/* Opens spec, which it takes over, and expects that to fail; err tells. */
static inline void refuse(json_t *spec, struct error *err)
{
    struct grader *g = NULL;

    *err = (struct error){0};
    assert_false(grader_open(spec, NULL, &g, err));
    assert_null(g);
    json_decref(spec);
}

#define ASSERT_REFUSED(spec, want_kind, want_param, text)                                          \
    do {                                                                                           \
        struct error refused_;                                                                     \
        refuse((spec), &refused_);                                                                 \
        assert_int_equal(refused_.kind, want_kind);                                                \
        assert_string_equal(refused_.param, want_param);                                           \
        if (strstr(refused_.message, text) == NULL)                                                \
            fail_msg("\"%s\" does not say \"%s\"", refused_.message, text);                        \
    } while (0)

/* Grades text for the item (JSON with ' for "). */
static inline struct grade_result grade_text(struct grader *g, const char *item, const char *text)
{
    json_t *row = json_of(item);
    const struct grade_sample sample = {.output_text = str_of(text)};
    struct grade_result r;

    grader_run(g, row, &sample, &r);
    json_decref(row);
    return r;
}

#define ASSERT_SAYS(result, text)                                                                  \
    do {                                                                                           \
        if (strstr((result).details, text) == NULL)                                                \
            fail_msg("\"%s\" does not say \"%s\"", (result).details, text);                        \
    } while (0)
#endif
