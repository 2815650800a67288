/*
 * http_query_fuzz.c - all that we read of a request ourselves: its target and query, lengths, and multipart bodies, whole and in
 * pieces, which must give the same parts.
 *
 * The first byte says what the rest is; of a multipart body the second one how it is cut.
 */
#include "fuzz.h"

#include "base/utf8.h"
#include "server/http_multipart.h"
#include "server/http_query.h"

#include "base/sha256.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void target(struct str in)
{
    struct arena a = {0};
    struct str path, query, decoded;
    struct http_pair *pairs = NULL;
    size_t n = 0;

    if (http_split_target(in, &path, &query)) {
        check(path.len > 0 && (path.ptr[0] == '/' || str_is(path, "*")));
        check(path.len + query.len <= in.len + 1);
        if (http_split_query(query, 16, &a, &pairs, &n)) {
            check(n <= 16);
            for (size_t i = 0; i < n; i++)
                check(utf8_valid(pairs[i].name) == pairs[i].name.len &&
                      utf8_valid(pairs[i].value) == pairs[i].value.len);
        }
    }
    if (http_decode(in, false, &a, &decoded))
        check(decoded.len <= in.len && utf8_valid(decoded) == decoded.len &&
              (decoded.len == 0 || memchr(decoded.ptr, '\0', decoded.len) == NULL));
    uint64_t length;
    if (http_read_length(in, &length))
        check(http_is_token(in));
    arena_release(&a);
}

struct heard {
    struct sha256_ctx all;
    bool is_open;
    size_t n_parts, n_bytes;
};

static void hear(struct heard *h, struct str s)
{
    const uint8_t len[4] = {(uint8_t)s.len, (uint8_t)(s.len >> 8), (uint8_t)(s.len >> 16),
                            s.ptr == NULL};

    sha256_update(&h->all, sizeof len, len);
    sha256_update(&h->all, s.len, (const uint8_t *)s.ptr);
}

static bool begin(void *ctx, const struct multipart_head *head, struct error *err)
{
    struct heard *h = ctx;

    (void)err;
    check(!h->is_open && head->name.ptr != NULL);
    h->is_open = true;
    h->n_parts++;
    hear(h, head->name);
    hear(h, head->filename);
    hear(h, head->content_type);
    return true;
}

static bool data_came(void *ctx, struct str bytes, struct error *err)
{
    struct heard *h = ctx;

    (void)err;
    check(h->is_open && bytes.len > 0);
    h->n_bytes += bytes.len;
    sha256_update(&h->all, bytes.len, (const uint8_t *)bytes.ptr);
    return true;
}

static bool end(void *ctx, struct error *err)
{
    struct heard *h = ctx;

    (void)err;
    check(h->is_open);
    h->is_open = false;
    hear(h, STR("end"));
    return true;
}

static bool read_form(struct str in, size_t piece, struct sha256_text *out)
{
    struct arena a = {0};
    struct heard h = {0};
    struct error err = {0};
    const struct multipart_sink sink = {.ctx = &h, .begin = begin, .data = data_came, .end = end};
    struct multipart *m = multipart_new(&a, STR("b-b"), &sink);
    bool ok = true;

    sha256_init(&h.all);
    for (size_t at = 0; at < in.len && ok; at += piece)
        ok = multipart_feed(m, (struct str){in.ptr + at, in.len - at < piece ? in.len - at : piece},
                            &err);
    ok = ok && multipart_finish(m, &err);
    check(ok ? !h.is_open : err.message[0] != '\0');
    check(h.n_bytes <= in.len);
    multipart_release(m);
    arena_release(&a);
    *out = sha256_finish(&h.all);
    return ok;
}

static void form(struct str in)
{
    struct sha256_text whole, pieces;

    if (in.len == 0)
        return;
    const size_t piece = 1 + (uint8_t)in.ptr[0] % 40;
    in = str_from(in, 1);
    const bool ok = read_form(in, in.len + 1, &whole);
    check(read_form(in, piece, &pieces) == ok);
    if (ok)
        check(strcmp(whole.hex, pieces.hex) == 0);
}

static void header(struct str in)
{
    struct arena a = {0};
    struct error err = {0};
    struct str out;

    if (in.len > 0 && header_parameter(in, "name", &a, &out))
        check(out.len <= in.len);
    if (multipart_boundary(in, &a, &out, &err))
        check(out.len >= 1 && out.len <= 70);
    else
        check(err.message[0] != '\0');
    arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct str in = {(const char *)data + 1, size - 1};

    switch (data[0]) {
    case 'm':
        form(in);
        break;
    case 'h':
        header(in);
        break;
    default:
        target(in);
    }
    return 0;
}
