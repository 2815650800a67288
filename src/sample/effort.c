/*
 * effort.c - a name becomes a number.
 */
#include "sample/effort.h"
#include "base/size.h"
#include "sample/prompt_internal.h"

#include <stdio.h>
#include <string.h>

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

/* ---- each family's own form ---- */

/* Variables that switch thinking; without words true and false. */
static const struct {
    const char *name, *off, *on;
} switches[] = {
    {"enable_thinking", NULL, NULL},
    {"thinking", NULL, NULL},
    {"thinking_option", "off", "on"},
    {"thinking_mode", "disabled", "enabled"},
};

/* Variables that take a word for the effort. */
static const char *const scales[] = {"reasoning_effort", "thinking_effort", "reasoning_strength"};

/* The word itself, and those that come nearest. */
static const char *const words[N_EFFORTS][4] = {
    [EFFORT_NONE] = {"none", "no_think", "minimal", "low"},
    [EFFORT_MINIMAL] = {"minimal", "low"},
    [EFFORT_LOW] = {"low", "minimal"},
    [EFFORT_MEDIUM] = {"medium", "high", "low"},
    [EFFORT_HIGH] = {"high", "max", "medium"},
    [EFFORT_XHIGH] = {"xhigh", "max", "high"},
    [EFFORT_MAX] = {"max", "xhigh", "high"},
};

/* Whether a template that reads a scale knows a word: low, medium and high need not be told, others stand in quotes there. */
static bool knows_word(const struct prompter *p, const char *scale, const char *word)
{
    static const char *const usual[] = {"low", "medium", "high"};
    char quoted[2][32];
    bool named = false;

    for (size_t i = 0; i < COUNT_OF(usual); i++)
        named = named || strcmp(word, usual[i]) == 0;
    snprintf(quoted[0], sizeof quoted[0], "'%s'", word);
    snprintf(quoted[1], sizeof quoted[1], "\"%s\"", word);
    for (size_t i = 0; i < 2; i++)
        named = named || str_find(p->source, str_of(quoted[i]), 0) < p->source.len;
    return named && prompter_renders(p, scale, word);
}

static void put_words(enum effort e, const struct prompter *p, json_t *vars)
{
    json_object_set_new(vars, "reasoning_effort", json_string(efforts[e].name));
    for (size_t i = 0; i < COUNT_OF(scales); i++)
        for (size_t k = 0; prompter_reads(p, scales[i]) && k < COUNT_OF(words[e]); k++)
            if (words[e][k] != NULL && knows_word(p, scales[i], words[e][k])) {
                json_object_set_new(vars, scales[i], json_string(words[e][k]));
                break;
            }
}

static void put_switches(enum effort e, const struct prompter *p, json_t *vars)
{
    const bool on = e != EFFORT_NONE;

    for (size_t i = 0; i < COUNT_OF(switches); i++)
        if (prompter_reads(p, switches[i].name))
            json_object_set_new(vars, switches[i].name,
                                switches[i].on == NULL
                                    ? json_boolean(on)
                                    : json_string(on ? switches[i].on : switches[i].off));
    if (prompter_reads(p, "thinking_budget")) /* tokens; below 0: no end */
        json_object_set_new(vars, "thinking_budget",
                            json_integer(e == EFFORT_NONE  ? 0
                                         : e == EFFORT_MAX ? -1
                                                           : (json_int_t)efforts[e].tokens));
}

json_t *effort_variables(enum effort e, const struct prompter *p, const json_t *extra)
{
    json_t *vars;

    if (e == EFFORT_DEFAULT)
        return json_is_object(extra) ? json_copy((json_t *)(uintptr_t)extra) : NULL;
    vars = json_object();
    put_words(e, p, vars);
    put_switches(e, p, vars);
    if (json_is_object(extra))
        json_object_update(vars, (json_t *)(uintptr_t)extra);
    return vars;
}

void effort_apply(enum effort e, const struct effort_budgets *b, const struct prompter *p,
                  struct thinking_options *thinking)
{
    if (e != EFFORT_DEFAULT && prompter_reasoning(p)->on)
        thinking->budget = b->tokens[e];
}
