/*
 * api_rig.h - the API without a network: a call goes in as bytes, its answer comes out, over a store that has one of everything.
 *
 * The rows and files of the store are always the same, with ids that corpora can name (api_rig.c), and come back after each
 * input: what an input does depends on that input alone. It takes the place of http.c, so that an answer is looked at where it is given: an
 * answer of JSON is JSON, an error has a sentence, a header is one line. There is no engine, and nothing is sent to webhooks.
 */
#ifndef HONE_TESTS_FUZZ_API_RIG_H
#define HONE_TESTS_FUZZ_API_RIG_H

#include "server/api.h"

struct api_answer {
    int status;
    json_t *json; /* of an answer that is JSON: in the arena's keeping */
};

/* All here aborts where something is not as it must be. */
void api_rig_open(void); /* once; more calls do nothing */
/* target: "/v1/files?limit=1". body: bytes; of a form, parted by "--b". The arena may be kept for more calls. */
void api_rig_call(enum http_method method, struct str target, struct str body, struct arena *a,
                  struct api_answer *out);
/* "GET /v1/files?limit=1"; false: it is no call. */
bool api_rig_line(struct str line, enum http_method *method, struct str *target);
/* table.column of the row of this number = value; false: there is none, or the database refuses it. */
bool api_rig_set(struct str table, struct str column, int64_t row, struct db_value value);
/* All rows and files as they were. */
void api_rig_restore(void);
#endif
