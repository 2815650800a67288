/*
 * json_scan.h - a JSON object that comes byte by byte: where it ends, and where it ceases to be one.
 *
 * As strict as RFC 8259, up to LIMIT_JSON_DEPTH deep; whether bytes are UTF-8 is not looked at, nor are keys compared. Plain
 * memory: a copy is a second scan from the same place.
 */
#ifndef HONE_TEXT_JSON_SCAN_H
#define HONE_TEXT_JSON_SCAN_H

#include "base/error.h"
#include "base/limits.h"

#include <stdint.h>

enum json_event {
    JSON_NOTHING,
    JSON_KEY_BEGINS, /* this byte is the opening quote of a key */
    JSON_KEY_ENDS,   /* this byte is its closing quote */
    JSON_VALUE_BEGINS,
    JSON_VALUE_ENDS /* of a text, object or array: this byte is its last */
};

struct json_scan { /* all zeros: an object is about to begin */
    uint8_t state, hex;
    uint8_t at;                                 /* of literal */
    const char *literal;                        /* "true", ... */
    bool key, done;                             /* done: the object is whole */
    uint16_t depth;                             /* objects and arrays that are open */
    uint64_t arrays[LIMIT_JSON_DEPTH / 64 + 1]; /* bit d: what is open at depth d is an array */
};

/*
 * Takes one more byte; false where no object goes on so (the scan is of no use then). Not after done. level: how many
 * objects and arrays the key or value of the event stands in; 0 is the object itself.
 */
bool json_scan_put(struct json_scan *s, unsigned char c, enum json_event *event, size_t *level);
#endif
