/*
 * effort.h - reasoning_effort: how long a model may think before it answers, in chat, in training and as a judge.
 *
 *                  none   minimal     low   medium     high    xhigh   max
 *     tokens          1       256   1,024    4,096   16,384   32,768   no limit but max_tokens
 *
 * At the budget's end the span is closed for the model (sample/thinking.h), and it answers. What the template is given is
 * found from the variables that it reads:
 *
 *     reasoning_effort, thinking_effort, reasoning_strength   the word, or the nearest that it takes without raising
 *     enable_thinking, thinking                               false for none, else true
 *     thinking_option, thinking_mode                          off and on, disabled and enabled
 *     thinking_budget                                         tokens
 *
 * A template that reads none of them but looks for "/no_think" in messages finds it in the system message for none. A model
 * that is switched off has no span, so that none costs nothing there. Who asks for nothing gets what the template and the
 * job say. For a model without any of this effort has no effect.
 */
#ifndef HONE_SAMPLE_EFFORT_H
#define HONE_SAMPLE_EFFORT_H

#include "sample/prompt.h"

enum effort {
    EFFORT_DEFAULT, /* not asked for */
    EFFORT_NONE,
    EFFORT_MINIMAL,
    EFFORT_LOW,
    EFFORT_MEDIUM,
    EFFORT_HIGH,
    EFFORT_XHIGH,
    EFFORT_MAX,
    N_EFFORTS
};
/* By effort; 0: no limit. That of EFFORT_DEFAULT is not looked at. */
struct effort_budgets {
    size_t tokens[N_EFFORTS];
};
struct effort_budgets effort_budgets_default(void);

/* "reasoning_effort" of a request; null is EFFORT_DEFAULT. */
MUST_CHECK bool effort_read(const json_t *body, enum effort *out, struct error *err);
/* By its name; EFFORT_DEFAULT for "default" and what is none. */
enum effort effort_of(struct str name);
/* Variables of a template, a new tree: extra (or NULL) has the last word. NULL where there are none. */
json_t *effort_variables(enum effort e, const struct prompter *p, const json_t *extra);
/* Sets the budget of an answer. */
void effort_apply(enum effort e, const struct effort_budgets *b, const struct prompter *p,
                  struct thinking_options *thinking);
#endif
