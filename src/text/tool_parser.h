/*
 * tool_parser.h - an answer that may call tools becomes its text and its calls, as it comes in.
 *
 *     "Let me see.\n<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>"   ->   "Let me see.",  f {"x": 1}
 *
 * A call is one of the tools that were offered, with arguments that are a JSON object; both are given as they were written,
 * but for arguments in a text ("arguments": "{\"x\": 1}"), which are taken out of it, and for the xml form, whose parameters
 * become JSON by the tool's schema (a parameter of type string is a text, any other is JSON where it can be read so), and
 * Python's, which become JSON as json.dumps would make it of them; these two are told when they are whole.
 * Missing arguments are {}. Read leniently: white space as it likes, keys in any order, a list of calls where one was
 * expected, a closing tag that is missing.
 *
 * What looks like a call and is none (an unknown name, no JSON, cut at the token limit) stays text, marker and all: nothing
 * of an answer is lost but the marks of real calls and white space beside them. So does any call past max_calls.
 *
 * Of harmony what comes in begins behind the role that the prompt ends with, or behind the first message of thinking
 * (sample/prompt.h). Headers and ends of messages are no text; what is said in the channels commentary and final is, with a line
 * break between two; a further message of analysis is thinking. What begins with no header is text as it is.
 *
 * eager: the pieces of a call are told while it is written, as soon as its name is known and its arguments have begun. Then
 * it cannot be taken back: where it turns out to be none after all, the call ends unfinished (whole false) with the
 * arguments that came, and what follows is text. Otherwise a call is told when it is whole. For an answer all of whose calls
 * are whole both tell the same, and in either case it does not matter how the bytes were cut.
 */
#ifndef HONE_TEXT_TOOL_PARSER_H
#define HONE_TEXT_TOOL_PARSER_H

#include "text/json_scan.h"
#include "text/tool_format.h"

struct tool_options {
    const struct tool_format *format; /* NULL: an answer is text */
    const json_t
        *tools; /* a list: these may be called; not changed, and read while the parser lives */
    size_t max_calls; /* 0: any number */
    bool eager;
};

/* What is told; a call's arguments come in pieces, and calls one after the other. Views until the function returns. */
struct tool_sink {
    void *ctx;
    void (*text)(void *ctx, struct str piece);
    void (*thinking)(void *ctx, struct str piece); /* harmony; NULL: it is left out */
    void (*call)(void *ctx, size_t index, struct str name);
    void (*arguments)(void *ctx, size_t index, struct str piece);
    void (*end)(void *ctx, size_t index, bool whole);
};

struct tool_range {
    size_t from, to; /* to 0: not there, or not yet */
};

/* How far the arguments of a call in Python are read. */
struct tool_python {
    size_t depth;
    char quote;           /* that the string is in; 0: none */
    bool opening, triple; /* quotes so far, and nothing else; there were three */
    bool escaped;
    uint8_t run; /* quotes one after the other */
};

struct tool_parser {
    struct tool_options opt;
    struct tool_sink sink;
    struct buf held; /* what is not decided */
    uint8_t step;
    bool plain;   /* text from here on */
    bool in_list; /* of calls */
    bool said;    /* some text is out */
    bool gap;     /* and a call or a message's end behind it */
    bool thinks;  /* harmony: the message is one of thinking */
    bool thought; /* and some of it is out */
    size_t n_calls;
    /* of the call that is being read; all that follow are places in held */
    size_t blank, at; /* white space before its marker; where it is read on */
    struct json_scan scan;
    struct tool_range key, name, arguments;
    bool told; /* eager: the call is out, and of its arguments what is before given */
    size_t
        given; /* xml: where the end of a parameter is looked for; python: where arguments begin */
    json_t *xml; /* its parameters so far; python: all of them */
    struct tool_python python;
};
void tool_parser_init(struct tool_parser *p, const struct tool_options *opt,
                      const struct tool_sink *sink);
void tool_parser_release(struct tool_parser *p); /* all zeros is fine */
/* UTF-8; a character may be cut. */
void tool_parser_put(struct tool_parser *p, struct str bytes);
void tool_parser_end(struct tool_parser *p); /* the answer is over: what is held is decided */

/* ---- a whole answer ---- */

struct tool_call {
    struct str name, arguments; /* JSON */
    bool whole;
};
struct tool_calls {
    struct str text;
    struct str thinking;     /* harmony: a line break and what a message of it says, for each */
    struct tool_call *calls; /* [n] */
    size_t n;
};
/* In the arena. */
void tool_calls_read(const struct tool_options *opt, struct str answer, struct arena *a,
                     struct tool_calls *out);

/* "call_" and 24 letters, the same for the same request, answer and index. */
#define TOOL_ID_BYTES 30
void tool_call_id(struct str request, size_t answer, size_t index, char out[TOOL_ID_BYTES]);
/* The list as chat completions have it, [{"id", "type": "function", "function": {"name", "arguments"}}]; a new tree. */
json_t *tool_calls_json(const struct tool_calls *c, struct str request, size_t answer);
#endif
