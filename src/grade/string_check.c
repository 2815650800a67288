/*
 * string_check.c - the grader that gives 1 where two texts are equal, differ, or one contains the other; else 0.
 *
 * Nothing is trimmed. "ilike" compares case-folded text (Unicode's full folding: "Straße" contains "STRASSE").
 */
#include "grade/grader_internal.h"

#include <stdlib.h>
#include <utf8proc.h>

enum operation {
    OPERATION_EQ,
    OPERATION_NE,
    OPERATION_LIKE,
    OPERATION_ILIKE,
};
struct state {
    const struct template *input, *reference;
    enum operation operation;
};

static bool operation_of(struct str text, enum operation *out)
{
    static const struct {
        const char *name;
        enum operation operation;
    } names[] = {
        {"eq", OPERATION_EQ},     {"ne", OPERATION_NE},
        {"neq", OPERATION_NE}, /* the guide's spelling */
        {"like", OPERATION_LIKE}, {"ilike", OPERATION_ILIKE},
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_is(text, names[i].name)) {
            *out = names[i].operation;
            return true;
        }
    return false;
}

static bool open_part(struct grader *g, struct grader_part *part, struct error *err)
{
    struct state *st = ARENA_NEW(&g->arena, struct state);
    struct str operation;
    const char *param = part_param(g, part, "operation");

    if (!part_template(g, part, "input", &st->input, err) ||
        !part_template(g, part, "reference", &st->reference, err) ||
        !part_str(g, part, "operation", &operation, err))
        return false;
    if (!operation_of(operation, &st->operation))
        return fail_param(err, ERR_INVALID, param,
                          "%s: \"%.*s\" is no operation; there are eq, ne, like, ilike", param,
                          (int)(operation.len < 64 ? operation.len : 64), operation.ptr);
    part->state = st;
    return true;
}

/* Case-folded copy in a; s is valid UTF-8. */
static bool fold(struct str s, struct arena *a, struct str *out, struct error *err)
{
    utf8proc_uint8_t *folded = NULL;
    const utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)s.ptr,
                                            (utf8proc_ssize_t)s.len, &folded, UTF8PROC_CASEFOLD);

    if (n < 0)
        return fail(err, ERR_NO_MEMORY, "folding the case of %zu bytes: %s", s.len,
                    utf8proc_errmsg(n));
    *out = arena_str(a, (struct str){(const char *)folded, (size_t)n});
    free(folded);
    return true;
}

static bool contains(struct str input, struct str reference)
{
    return reference.len == 0 || str_find(input, reference, 0) < input.len;
}

static bool holds(enum operation op, struct str input, struct str reference)
{
    switch (op) {
    case OPERATION_EQ:
        return str_eq(input, reference);
    case OPERATION_NE:
        return !str_eq(input, reference);
    case OPERATION_LIKE:
    case OPERATION_ILIKE:
        break;
    }
    return contains(input, reference);
}

static void run_part(struct grader *g, const struct grader_part *part, struct grade_scope *s,
                     struct part_result *out)
{
    const struct state *st = part->state;
    struct error err = {0};
    struct str input, reference;
    unsigned flag = GRADE_OTHER_ERROR;

    (void)g;
    if (!template_render(st->input, s, &input, &flag, &err) ||
        !template_render(st->reference, s, &reference, &flag, &err)) {
        part_fail(out, flag, err.message);
        return;
    }
    if (st->operation == OPERATION_ILIKE &&
        (!fold(input, s->arena, &input, &err) || !fold(reference, s->arena, &reference, &err))) {
        part_fail(out, GRADE_OTHER_ERROR, err.message);
        return;
    }
    out->score = holds(st->operation, input, reference) ? 1 : 0;
}

static bool check_item(const struct grader *g, const struct grader_part *part, const json_t *item,
                       const char *what, struct error *err)
{
    const struct state *st = part->state;

    (void)g;
    return template_check_item(st->input, item, what, err) &&
           template_check_item(st->reference, item, what, err);
}

const struct grader_type grader_string_check = {.name = "string_check",
                                                .needs_name = true,
                                                .open = open_part,
                                                .run = run_part,
                                                .check_item = check_item};
