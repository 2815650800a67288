/*
 * prompt.h - a dataset row or a chat becomes the tokens that a model continues, and its answer becomes text again.
 */
#ifndef HONE_SAMPLE_PROMPT_H
#define HONE_SAMPLE_PROMPT_H

#include "model/model.h"
#include "sample/engine.h"
#include "sample/form.h"
#include "sample/rules.h"
#include "text/chat_template.h"
#include "text/tool_parser.h"

/*
 * How a model thinks: from the job ("reasoning"), or from its template. An answer's span is opened by us at the end of the
 * prompt (forced_open), by the template there (struct prompt says so), or by the model as the first text of its answer.
 */
struct reasoning {
    bool on;
    bool forced_open;            /* the opening is written by us, where the template did not */
    struct str open, close;      /* "<think>", "</think>" */
    struct str skip;             /* what begins an answer without a span, and is no text; or "" */
    size_t budget;               /* tokens; 0: no end of its own */
    struct token_list close_ids; /* what is written at the budget's end */
};

struct prompter; /* a model's tokenizer and template, ready to use */
/* template_override: NULL, or a Jinja text in place of the model's own. Fails when the model has none and none is given. */
MUST_CHECK bool prompter_open(const struct model *m, const char *template_override,
                              struct prompter **out, struct error *err);
/* The same of files that are not opened for computing, which live longer. */
MUST_CHECK bool prompter_open_files(const struct model_files *files, const char *template_override,
                                    struct prompter **out, struct error *err);
void prompter_close(struct prompter *p);
const struct tokenizer *prompter_tokenizer(const struct prompter *p);
bool prompter_is_end(const struct prompter *p, token_id id); /* it ends answers, and is no text */

/*
 * Sets how answers think. reasoning: {"open": "...", "close": "...", "budget": n} as a job gives it, or NULL to look at the
 * template; without "open" and "close", the template's own tags with this budget.
 *
 * Fails with ERR_INVALID and "reasoning" where that is not what it is, or the template has no tags to take.
 */
MUST_CHECK bool prompter_reason(struct prompter *p, const json_t *reasoning, struct error *err);
/* Whether texts like special tokens in messages are these tokens, as in the reference; false unless set. What tools answer never is. */
void prompter_parse_special(struct prompter *p, bool parse);
const struct reasoning *prompter_reasoning(const struct prompter *p);
/*
 * The same of answers that may call tools. In harmony the message behind the thinking may then be any, and its header is read with
 * the calls (text/tool_parser.h): the span ends with that of its message.
 */
const struct reasoning *prompter_reasoning_of(const struct prompter *p, bool tools);

struct prompt {
    struct str text;
    token_id *tokens;
    size_t n;
    bool
        thinking; /* it ends with the opening, white space aside: the answer begins inside the span */
    bool tools;   /* it offers some */
};
/*
 * messages with the generation prompt, turned as text/chat_messages.h says; tools NULL or empty: none; extra (may be NULL):
 * further template variables. In the arena.
 */
MUST_CHECK bool prompter_render(const struct prompter *p, const json_t *messages,
                                const json_t *tools, const json_t *extra, struct arena *a,
                                struct prompt *out, struct error *err);

/* How an answer to this prompt thinks, as the engine wants it. */
struct thinking_options prompter_thinking(const struct prompter *p, const struct prompt *to);
/* The same of one that must be a call: where the budget ends, one may still begin. */
struct thinking_options prompter_thinking_before_call(const struct prompter *p,
                                                      const struct prompt *to);

/*
 * How this model writes calls of tools: its template was asked to render some. Where it offers tools to the model and writes
 * calls in a way that is known, that way; otherwise the hermes form by text, for which prompter_render puts everything into
 * the messages (text/tool_format.h): so every model has one.
 */
const struct tool_format *prompter_tool_format(const struct prompter *p);
bool prompter_tools_as_text(const struct prompter *p);
/* Whether the template reads a variable of its caller's. */
bool prompter_reads(const struct prompter *p, const char *variable);
/* Whether the template renders a question without raising where a variable is this text. */
bool prompter_renders(const struct prompter *p, const char *variable, const char *text);

/* The forms of form.h; a constraint is the caller's, and closed before the prompter. Any thread. */
struct forms *prompter_forms(const struct prompter *p);
/* What "response_format" holds an answer to. */
MUST_CHECK bool prompter_form(const struct prompter *p, const json_t *format,
                              struct constraint **out, struct error *err);

/*
 * Holds answers of a job to its "response_format" from now on: sampled, trained on and measured. NULL or {"type": "text"}: to
 * nothing. Fails as prompter_form.
 */
MUST_CHECK bool prompter_hold(struct prompter *p, const json_t *format, struct error *err);
const struct constraint *prompter_held(const struct prompter *p); /* NULL: to nothing */
/* What the tokens of an answer that is held so say, for going over it once more: see answer_rules_of. */
struct answer_rules prompter_rules(const struct prompter *p,
                                   const struct thinking_options *thinking,
                                   const struct answer_rules *like,
                                   struct constraint_scratch *scratch, struct arena *a);

struct answer {
    struct str thinking, text; /* text: the final answer, special tokens left out */
};
/* What a sample says, in the arena. Its n_thinking tells whether it has a span; one that never closes leaves no text. */
void prompter_answer(const struct prompter *p, const struct sample *s, struct arena *a,
                     struct answer *out);
/*
 * The same of an answer that may call tools: out->text is what is no call, and thinking that comes later in it stands behind
 * the first. tools: a list, or NULL (then as above); max_calls:
 * 0 or the most that are taken as calls.
 */
void prompter_answer_tools(const struct prompter *p, const struct sample *s, const json_t *tools,
                           size_t max_calls, struct arena *a, struct answer *out,
                           struct tool_calls *calls);
#endif
