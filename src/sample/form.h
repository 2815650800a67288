/*
 * form.h - the "response_format" of a request becomes what the engine holds its answer to.
 *
 *     {"type": "text"}                                                       anything
 *     {"type": "json_object"}                                                any JSON object
 *     {"type": "json_schema", "json_schema": {"name": "...", "schema": ...}}  what text/json_schema.h says; "strict" or not
 *
 * and the "tools" of one, where they must be called or are "strict", likewise (text/tool_grammar.h).
 *
 * The forms asked for last are kept, with what was found out about them: the same schema again costs a look. Any number of
 * threads may ask.
 */
#ifndef HONE_SAMPLE_FORM_H
#define HONE_SAMPLE_FORM_H

#include "model/model.h"
#include "sample/constraint.h"
#include "text/json.h"
#include "text/tool_grammar.h"

struct forms; /* of a model's vocabulary */
MUST_CHECK bool forms_open(const struct model *m, struct forms **out, struct error *err);
void forms_close(struct forms *f); /* NULL is fine; every constraint was closed before */

/*
 * format NULL or null: text. *out is the caller's (constraint_close); NULL for text. Fails with "response_format" and the
 * place in it: ERR_INVALID, ERR_UNSUPPORTED or ERR_LIMIT.
 */
MUST_CHECK bool forms_get(struct forms *f, const json_t *format, struct constraint **out,
                          struct error *err);
/*
 * Whose schema an answer has that calls no tool: that of a format; NULL for text. Fails as forms_get; *out is format's, but
 * for json_object, whose schema lives as long as the forms.
 */
MUST_CHECK bool forms_schema(struct forms *f, const json_t *format, const json_t **out,
                             struct error *err);
/* *out is the caller's. Fails as tool_grammar and constraint_open, with "tools". */
MUST_CHECK bool forms_tools(struct forms *f, const struct tool_grammar_options *o,
                            struct constraint **out, struct error *err);
#endif
