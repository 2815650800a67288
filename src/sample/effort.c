/*
 * effort.c - a name becomes a number.
 */
#include "sample/effort.h"

static const struct {
    const char *name;
    size_t tokens;
} efforts[N_EFFORTS] = {
    [EFFORT_DEFAULT] = {"", 0},          [EFFORT_NONE] = {"none", 1},
    [EFFORT_MINIMAL] = {"minimal", 256}, [EFFORT_LOW] = {"low", 1024},
    [EFFORT_MEDIUM] = {"medium", 4096},  [EFFORT_HIGH] = {"high", 16384},
    [EFFORT_XHIGH] = {"xhigh", 32768},   [EFFORT_MAX] = {"max", 0},
};

struct effort_budgets effort_budgets_default(void)
{
    struct effort_budgets b;

    for (size_t i = 0; i < N_EFFORTS; i++)
        b.tokens[i] = efforts[i].tokens;
    return b;
}

enum effort effort_of(struct str name)
{
    for (size_t i = EFFORT_NONE; i < N_EFFORTS; i++)
        if (str_is(name, efforts[i].name))
            return (enum effort)i;
    return EFFORT_DEFAULT;
}

bool effort_read(const json_t *body, enum effort *out, struct error *err)
{
    const json_t *told = json_object_get(body, "reasoning_effort");

    *out = EFFORT_DEFAULT;
    if (told == NULL || json_is_null(told))
        return true;
    *out = effort_of(json_str(told));
    return *out != EFFORT_DEFAULT ||
           fail_param(err, ERR_INVALID, "reasoning_effort",
                      "\"reasoning_effort\" is none of none, minimal, low, medium, high, xhigh and "
                      "max");
}

static const char toggle[] = "enable_thinking";

json_t *effort_variables(enum effort e, const struct prompter *p, const json_t *extra)
{
    json_t *vars = json_is_object(extra) ? json_copy((json_t *)(uintptr_t)extra) : NULL;

    if (e == EFFORT_DEFAULT)
        return vars;
    if (vars == NULL)
        vars = json_object();
    if (json_object_get(vars, "reasoning_effort") == NULL)
        json_object_set_new(vars, "reasoning_effort", json_string(efforts[e].name));
    if (prompter_knows(p, toggle) && json_object_get(vars, toggle) == NULL)
        json_object_set_new(vars, toggle, json_boolean(e != EFFORT_NONE));
    return vars;
}

void effort_apply(enum effort e, const struct effort_budgets *b, const struct prompter *p,
                  struct thinking_options *thinking)
{
    if (e != EFFORT_DEFAULT && prompter_reasoning(p)->on)
        thinking->budget = b->tokens[e];
}
