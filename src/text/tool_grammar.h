/*
 * tool_grammar.h - tools become a grammar of answers that call them, each with arguments by its schema.
 *
 *     <tool_call>\n{"name": "f", "arguments": VALUE OF F'S SCHEMA}\n</tool_call>
 *
 * What stands around the arguments is the model's own way of writing (tool_format.h), byte for byte as it was trained to;
 * arguments are what json_schema.h says of "parameters", {} where there are none. A schema that is not offered there, of a
 * function that is not "strict", asks for an object and nothing more; of one that is, it is an error.
 *
 * Of Python's form a value is one of its parameter's schema, with True, False and None (as JSON where the same answer may be a
 * value of `said`: the parser reads both); keywords come in the order of "properties", and no others.
 *
 * Of the xml form a parameter's value is any text up to its closing where its type is string (one of the texts where it has
 * an "enum"; lengths are not held), and a JSON value by its schema elsewhere.
 */
#ifndef HONE_TEXT_TOOL_GRAMMAR_H
#define HONE_TEXT_TOOL_GRAMMAR_H

#include "text/grammar.h"
#include "text/tool_format.h"

struct tool_grammar_options {
    const struct tool_format *format;
    const json_t *tools; /* those that may be called: at least one */
    bool
        required; /* the answer is a call; otherwise it may be text (of a byte or more), and call as well */
    bool many; /* more than one call, if the format knows such */
    const json_t *
        said; /* not required: what an answer that calls nothing is by this schema; NULL: text of any kind */
};

/*
 * Fails with ERR_UNSUPPORTED, ERR_INVALID and ERR_LIMIT as json_schema_grammar, naming "tools[2].function.parameters/...";
 * with ERR_UNSUPPORTED for a bare format (Llama's) that is not required: text may begin as a call does.
 */
MUST_CHECK bool tool_grammar(const struct tool_grammar_options *o, struct grammar **out,
                             struct error *err);
#endif
