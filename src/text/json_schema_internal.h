/*
 * json_schema_internal.h - schemas as parts of a larger grammar: what stands around their values is the caller's.
 */
#ifndef HONE_TEXT_JSON_SCHEMA_INTERNAL_H
#define HONE_TEXT_JSON_SCHEMA_INTERNAL_H

#include "text/grammar_internal.h"
#include "text/json.h"

struct json_compiler;
MUST_CHECK bool json_compiler_open(struct json_compiler **out, struct error *err);
void json_compiler_close(struct json_compiler *c); /* NULL is fine */
/* From now on values are written as Python does: True, False and None are all that it has otherwise. */
void json_compiler_python(struct json_compiler *c);
struct grammar_builder *json_compiler_builder(struct json_compiler *c);
/*
 * The union of a schema's values, filled by json_compiler_grammar. schema is the document or a part of it, path its place
 * for errors; what names the document. All must live until then.
 */
uint32_t json_compiler_value(struct json_compiler *c, const json_t *document, const char *what,
                             const json_t *schema, const char *path);
/* A grammar of the values of root, and the end of the compiler's use. Fails as json_schema_grammar. */
MUST_CHECK bool json_compiler_grammar(struct json_compiler *c, uint32_t root, struct grammar **out,
                                      struct error *err);
#endif
