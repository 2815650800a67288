/*
 * judge.h - a model that hone runs answers what model graders ask.
 *
 * Questions come from many threads, at any time; one thread of the judge's own has one engine answer them together, in the
 * form that each asks for (response_format), so that a reply always parses; texts and lists in it that have no bound get one,
 * so that it also ends. One that nobody waits for any more is dropped at the next token, and what questions begin with, a
 * grader's instructions, is computed once. Its weights may be those of the model that is being trained, with the
 * adapter off: they are only read, and the judge has a cache of its own.
 *
 * A reply is a function of the question alone, whatever is asked beside it: random numbers are counted from the question's
 * text and its "seed". Without a "temperature" the most likely tokens are taken: the same answer gets the same score, and a
 * judge's noise teaches nothing.
 *
 * What the graded model wrote stands in the judge's prompt. It cannot end its turn there: in the text of a message, what
 * would become a special token gets a zero-width space after its first character. That it may talk the judge into
 * something is another matter, which no form prevents.
 */
#ifndef HONE_SAMPLE_JUDGE_H
#define HONE_SAMPLE_JUDGE_H

#include "grade/grader.h"
#include "sample/prompt.h"

struct judge_options {
    size_t max_tokens; /* of a reply, where the question says no other number; default 1024 */
    size_t max_live;   /* questions answered together; default 16 */
    size_t kv_bytes; /* of their cache, a quarter of it for what they begin with; default 256 MiB */
    const struct adapter *adapter; /* as long as the judge; NULL: the base as it is */
};
struct judge_options judge_defaults(void);

struct judge;
/* name: as replies tell it. m, which must not be unfrozen, p and name stay the caller's and must outlive the judge. */
MUST_CHECK bool judge_open(const struct model *m, const struct prompter *p, const char *name,
                           const struct judge_options *opt, struct judge **out, struct error *err);
void judge_close(struct judge *j); /* no question may be open */

/* ctx: the judge. ERR_LIMIT where the question leaves no room for a reply, ERR_TIMEOUT past the deadline. */
MUST_CHECK bool judge_ask(void *ctx, const struct grade_question *q, struct arena *a,
                          struct grade_reply *out, struct error *err);
#endif
