/*
 * tool_parser_internal.h - the steps of reading calls, for the files that have some of them.
 */
#ifndef HONE_TEXT_TOOL_PARSER_INTERNAL_H
#define HONE_TEXT_TOOL_PARSER_INTERNAL_H

#include "text/tool_parser.h"

#define TOOL_SPACES " \t\n\r"

enum tool_step {
    STEP_TEXT,
    STEP_OPEN,
    STEP_BODY, /* JSON: a list or an object; NAMED: up to the arguments; XML: <function=NAME> */
    STEP_SCAN, /* an object */
    STEP_PARAMETERS, /* xml */
    STEP_BEHIND,     /* a call within a list, or the only one */
    STEP_CLOSE,
    STEP_AFTER,
    STEP_HEADER,  /* harmony: of a message, behind its role */
    STEP_MESSAGE, /* what one says that is no call */
    STEP_NEXT,    /* behind a message */
    STEP_NAME,    /* python: and what opens the arguments */
    STEP_ARGUMENTS,
};

enum found { FOUND_NO, FOUND_YES, FOUND_MORE /* that is not known yet */ };

static inline bool tool_in_channels(const struct tool_parser *p)
{
    return p->opt.format != NULL && p->opt.format->body == TOOL_BODY_CHANNELS;
}

bool tool_is_name_byte(char c);
struct str tool_rest(const struct tool_parser *p); /* what is held from p->at on */
void tool_skip_space(struct tool_parser *p);
void tool_drop(struct tool_parser *p, size_t n); /* the first n bytes that are held */
/* Moves behind a text and the white space before it; its own at the ends does not matter. */
enum found tool_take(struct tool_parser *p, struct str text);
/* Gives out the first n bytes that are held. */
void tool_say(struct tool_parser *p, size_t n);
/* How many bytes at the end of s may begin the marker. */
size_t tool_beginning_of(struct str s, struct str marker);

bool tool_known(const struct tool_parser *p, struct str name);
void tool_tell_call(struct tool_parser *p);
void tool_end_call(struct tool_parser *p, bool whole);
void tool_forget_call(struct tool_parser *p);
/* What is held is no call: its marker is text, and the rest is looked at anew. */
bool tool_no_call(struct tool_parser *p);
/* A whole call stands before p->at. */
bool tool_whole_call(struct tool_parser *p);

/* ---- tool_channels.c ---- */

bool tool_channels_no_call(struct tool_parser *p);
bool tool_step_header(struct tool_parser *p, bool end);
bool tool_step_message(struct tool_parser *p, bool end);
bool tool_step_next(struct tool_parser *p, bool end);

/* ---- tool_python.c ---- */

bool tool_step_arguments(struct tool_parser *p, bool end);
#endif
