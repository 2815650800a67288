/*
 * file_json.h - what the routes of files and of uploads share.
 */
#ifndef HONE_SERVER_FILE_JSON_H
#define HONE_SERVER_FILE_JSON_H

#include "server/api.h"

#define FILE_LEAST_EXPIRY 3600
#define FILE_MOST_EXPIRY 2592000 /* seconds: 30 days */

json_t *file_json(const struct stored_file *f);
/* purpose.ptr NULL: it is missing. */
MUST_CHECK bool file_purpose_check(struct str purpose, struct error *err);
MUST_CHECK bool file_expiry_check(struct str anchor, int64_t seconds, struct error *err);
MUST_CHECK bool file_name_check(struct str name, struct error *err);
/* Gives a failure of the store the code of a quota that is used up, where it is one; always false. */
bool file_quota_code(struct error *err);
const struct http_part *file_part(const struct http_exchange *x, const char *name); /* or NULL */
#endif
