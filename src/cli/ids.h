/*
 * ids.h - token ids between JSON and memory.
 */
#ifndef HONE_CLI_IDS_H
#define HONE_CLI_IDS_H

#include "text/json.h"
#include "text/tokenizer.h"

struct tokenizing {
    const struct tokenizer *tokenizer;
    bool special; /* texts of special tokens become their ids */
};

json_t *ids_to_json(const token_id *ids, size_t n);
/* The text of each token; a character that several tokens make stands with the last of them, and joined they are the text. */
json_t *pieces_to_json(const struct tokenizer *t, const token_id *ids, size_t n);
/* Appends; fails with ERR_INVALID and param "ids" where v is no list of ids below n_tokens. */
MUST_CHECK bool ids_from_json(const json_t *v, size_t n_tokens, struct token_list *out,
                              struct error *err);
#endif
