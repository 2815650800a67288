/*
 * http_multipart.h - bytes of a multipart/form-data body, as they come, into parts.
 *
 * RFC 2046, section 5.1, and RFC 7578. Bytes may come in pieces of any size; what is held back is at most a delimiter
 * and a part's headers. Ours, and not libmicrohttpd's: that one cannot tell an empty part from the beginning of a longer one of
 * the same name, and takes a part without a name.
 */
#ifndef HONE_SERVER_HTTP_MULTIPART_H
#define HONE_SERVER_HTTP_MULTIPART_H

#include "base/arena.h"

struct multipart_head {
    struct str name, filename, content_type; /* ptr NULL: there is none */
};
struct multipart_sink {
    void *ctx;
    /* Views live until the call returns. Any of them may fail, and then is the last to be called. */
    bool (*begin)(void *ctx, const struct multipart_head *head, struct error *err);
    bool (*data)(void *ctx, struct str bytes, struct error *err);
    bool (*end)(void *ctx, struct error *err);
};
struct multipart;

/* The boundary of a Content-Type of multipart/form-data. ERR_INVALID for any other, or one without. */
MUST_CHECK bool multipart_boundary(struct str content_type, struct arena *a, struct str *out,
                                   struct error *err);
/* boundary: 1 to 70 bytes, and copied. The parser is the arena's. */
struct multipart *multipart_new(struct arena *a, struct str boundary,
                                const struct multipart_sink *sink);
MUST_CHECK bool multipart_feed(struct multipart *m, struct str bytes, struct error *err);
MUST_CHECK bool multipart_finish(struct multipart *m,
                                 struct error *err); /* ERR_INVALID: it is cut short */

void multipart_release(struct multipart *m); /* before its arena; NULL is fine */

/*
 * The value of a parameter of a header: form-data; name="file"; filename="a b.jsonl". In quotes or not; \" and \\ in quotes stand for
 * themselves, and %22, %0D and %0A, which browsers write for what cannot stand there. ptr NULL: it is not there. False: it is broken.
 */
MUST_CHECK bool header_parameter(struct str header, const char *name, struct arena *a,
                                 struct str *out);
#endif
