/*
 * json_formats.h - the formats of strings that a schema may ask for, as patterns.
 */
#ifndef HONE_TEXT_JSON_FORMATS_H
#define HONE_TEXT_JSON_FORMATS_H

#include "text/automaton.h"

/* Whether JSON Schema has no such format, nor one that it may be a slip of: it says nothing about a text then. */
bool json_format_is_foreign(const char *name);

/*
 * The texts of a format: date-time, date, time, duration, email, hostname, ipv4, ipv6, uri, uri-reference, json-pointer,
 * relative-json-pointer, uuid; those of them of *longest characters at most. Memory is a's. ERR_UNSUPPORTED for any other name.
 */
MUST_CHECK bool json_format_texts(struct arena *a, struct str name, struct automaton *out,
                                  uint32_t *longest, struct error *err);
#endif
