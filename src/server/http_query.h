/*
 * http_query.h - what the request line says, read: the target into a path and a query, the query into pairs.
 */
#ifndef HONE_SERVER_HTTP_QUERY_H
#define HONE_SERVER_HTTP_QUERY_H

#include "server/http.h"

/*
 * "/v1/files?limit=2" into "/v1/files" and "limit=2", views of it. An absolute target (http://host/path) loses its beginning
 * (RFC 9112, section 3.2.2); "*" stays, for OPTIONS. False: it is none of these, or has a byte that may not be in one.
 */
MUST_CHECK bool http_split_target(struct str target, struct str *path, struct str *query);
/* Pairs in order, decoded, in the arena; at most max of them. False: one is broken, or there are more. */
MUST_CHECK bool http_split_query(struct str query, size_t max, struct arena *a,
                                 struct http_pair **pairs, size_t *n);
/* Whether all of s is a token (RFC 9110, section 5.6.2): what a header's name and a method consist of. */
bool http_is_token(struct str s);
/* A Content-Length: digits, and nothing else, that fit. */
MUST_CHECK bool http_read_length(struct str s, uint64_t *out);
#endif
