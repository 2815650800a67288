/*
 * text_table.h - finds a token by its text.
 *
 * Open addressing with the hash's upper half beside each place, so that most looks do without the text itself. The
 * texts belong to the caller, and the table's memory to the arena. Read-only once filled: any number of threads.
 */
#ifndef HONE_TEXT_TEXT_TABLE_H
#define HONE_TEXT_TEXT_TABLE_H

#include "text/tokenizer.h"

struct text_slot {
    uint32_t tag; /* upper half of the hash: saves most looks at the text */
    token_id id;  /* -1: empty */
};

struct text_table { /* texts of tokens; open addressing, a power of two, at most half full */
    const struct str *texts; /* [n_tokens] */
    struct text_slot *slots;
    size_t mask;
};

/* Room for n texts, none of them in it yet; ERR_NO_MEMORY. texts may be NULL for n = 0. */
MUST_CHECK bool text_table_init(struct text_table *t, const struct str *texts, size_t n,
                                struct arena *a, struct error *err);
/*
 * Puts texts[id] in; *before is who has that text already (and stays), or -1. ERR_LIMIT where the texts were made to
 * fall into one place.
 */
MUST_CHECK bool text_table_put(struct text_table *t, token_id id, token_id *before,
                               struct error *err);
token_id text_table_find(const struct text_table *t, struct str s); /* -1: not there */
#endif
