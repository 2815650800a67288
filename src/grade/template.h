/*
 * template.h - "{{ item.answer }}" and a row become text.
 *
 *     {{ namespace.path }}     namespace: item, sample     path: key, .key, [index]     blanks inside the braces are free
 *
 * Strings go in as they are, numbers, booleans, null, lists and objects as compact JSON. The arguments of a tool call
 * are JSON in a string, and a path may go on within: sample.output_tools[0].function.arguments.symbols. A template is
 * checked when it is compiled: braces, namespace, the fields that a sample has. What a row has is known only when it is
 * rendered.
 */
#ifndef HONE_GRADE_TEMPLATE_H
#define HONE_GRADE_TEMPLATE_H

#include "base/arena.h"
#include "grade/grader.h"

/* What one answer is graded with: the row, the sample, and what had to be made of them, in an arena of the call. */
struct grade_scope {
    const json_t *item; /* an object or NULL */
    const struct grade_sample *sample;
    struct str output_text; /* sample->output_text as valid UTF-8 */
    struct arena *arena;
    json_t *choices; /* made when first asked for; scope_release gives it back */
    json_t *parsed;  /* so is this: the answer read as JSON */
    bool was_parsed;
    bool has_key; /* of the cache: grade_cache.h */
    unsigned char key[32];
};
void scope_init(struct grade_scope *s, const json_t *item, const struct grade_sample *sample,
                struct arena *a);
void scope_release(struct grade_scope *s);
struct str
grade_utf8(struct arena *a,
           struct str text); /* text, or a copy with U+FFFD for each byte that is not UTF-8 */
const json_t *
scope_choices(struct grade_scope *s); /* as a chat completion's choices: a list of one */

/* The sample's output_json: what the caller gave, else the answer where it is JSON; else NULL. */
const json_t *scope_json(struct grade_scope *s);

struct template;
/*
 * Compiles text; t and what it points to live in a, which must outlive t, as must text. Fails with ERR_INVALID and
 * param at a brace that is not closed, an empty or broken path, another namespace, a field that no sample has.
 */
MUST_CHECK bool template_compile(struct arena *a, struct str text, const char *param,
                                 const struct template **out, struct error *err);

/*
 * The text, which lives as long as the arena, the item and the sample do. Where a path leads nowhere *flag says how
 * (GRADE_INVALID_VARIABLE_ERROR, GRADE_SAMPLE_PARSE_ERROR for a field of an answer that is not JSON) and err names it.
 */
MUST_CHECK bool template_render(const struct template *t, struct grade_scope *s, struct str *out,
                                unsigned *flag, struct error *err);

/* Fails naming the first path of item that the row lacks. */
MUST_CHECK bool template_check_item(const struct template *t, const json_t *item, const char *what,
                                    struct error *err);
#endif
