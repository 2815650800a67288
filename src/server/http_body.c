/*
 * http_body.c - the bytes of a body as they come, into memory or into the parts of a form, whose files go to the disk.
 *
 * All of it runs on the network's threads: a piece is at most what a connection's memory holds (some 16 KiB), so one upload
 * holds up others by no more than its hash and one write into the page cache.
 */
#include "server/http_internal.h"

#include "base/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

static bool refused(struct exchange *e, int status)
{
    e->in.status = status;
    return false;
}

static bool too_large(struct exchange *e)
{
    (void)fail(&e->in.err, ERR_LIMIT,
               "the body is larger than the %" PRIu64 " bytes that are taken here",
               e->plan.max_bytes);
    return refused(e, 413);
}

static struct http_part *new_part(struct exchange *e, struct error *err)
{
    struct http_exchange *x = &e->x;

    if (x->n_parts == HTTP_MAX_PARTS) {
        (void)fail(err, ERR_LIMIT, "the multipart body has more than %d parts", HTTP_MAX_PARTS);
        return NULL;
    }
    if (x->n_parts == e->in.cap_parts) {
        const size_t cap = e->in.cap_parts == 0 ? 8 : 2 * e->in.cap_parts;
        struct http_part *parts = ARENA_ARRAY(&x->arena, struct http_part, cap);

        if (x->n_parts > 0)
            memcpy(parts, x->parts, x->n_parts * sizeof *parts);
        x->parts = parts;
        e->in.cap_parts = cap;
    }
    return &x->parts[x->n_parts];
}

static struct str kept(struct arena *a, struct str s)
{
    return s.ptr == NULL ? s : arena_str(a, s);
}

static bool begin_part(void *ctx, const struct multipart_head *head, struct error *err)
{
    struct exchange *e = ctx;
    struct http_part *p = new_part(e, err);

    if (p == NULL)
        return refused(e, 400);
    *p = (struct http_part){.name = kept(&e->x.arena, head->name),
                            .filename = kept(&e->x.arena, head->filename),
                            .content_type = kept(&e->x.arena, head->content_type)};
    buf_clear(&e->in.field);
    if (head->filename.ptr != NULL) {
        const char *path = NULL;

        if (e->plan.incoming == NULL)
            (void)fail(err, ERR_INVALID, "no file is taken here");
        else
            path = e->plan.incoming(e->server->opt.ctx, &e->x, err);
        if (path == NULL)
            return refused(e, err->kind == ERR_IO || err->kind == ERR_NO_MEMORY ? 500 : 400);
        path = arena_text(&e->x.arena, str_of(path));
        e->in.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (e->in.fd < 0) {
            (void)fail_errno(err, "the file that was sent cannot be kept");
            return refused(e, 500);
        }
        p->path = path;
        sha256_init(&e->in.sha256);
    }
    e->x.n_parts++;
    return true;
}

static bool write_all(struct exchange *e, struct str bytes, struct error *err)
{
    while (bytes.len > 0) {
        const ssize_t n = write(e->in.fd, bytes.ptr, bytes.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                errno = ENOSPC;
            (void)fail_errno(err, "the file that was sent cannot be kept");
            return refused(e, 500);
        }
        bytes = str_from(bytes, (size_t)n);
    }
    return true;
}

static bool part_data(void *ctx, struct str bytes, struct error *err)
{
    struct exchange *e = ctx;
    struct http_part *p = &e->x.parts[e->x.n_parts - 1];

    p->bytes += bytes.len;
    if (p->path != NULL) {
        if (e->plan.take != NULL && bytes.len > 0 &&
            !e->plan.take(e->server->opt.ctx, &e->x, bytes.len, err)) {
            e->in.is_refused_by_plan = true;
            return refused(e, 400);
        }
        sha256_update(&e->in.sha256, bytes.len, (const uint8_t *)bytes.ptr);
        return write_all(e, bytes, err);
    }
    e->in.field_bytes += bytes.len;
    if (e->in.field_bytes > HTTP_MAX_FIELD_BYTES) {
        (void)fail(err, ERR_LIMIT,
                   "the fields of the form that are no files have more than %zu bytes",
                   HTTP_MAX_FIELD_BYTES);
        return refused(e, 413);
    }
    buf_str(&e->in.field, bytes);
    return true;
}

static bool end_part(void *ctx, struct error *err)
{
    struct exchange *e = ctx;
    struct http_part *p = &e->x.parts[e->x.n_parts - 1];

    if (p->path == NULL) {
        p->value = arena_str(&e->x.arena, buf_view(&e->in.field));
        return true;
    }
    const int closed = close(e->in.fd);
    e->in.fd = -1;
    if (closed != 0) {
        (void)fail_errno(err, "the file that was sent cannot be kept");
        return refused(e, 500);
    }
    p->sha256 = arena_text(&e->x.arena, str_of(sha256_finish(&e->in.sha256).hex));
    return true;
}

bool http_body_open(struct exchange *e)
{
    struct http_incoming *in = &e->in;
    struct str boundary;

    if (e->plan.body == HTTP_BODY_NONE && e->plan.max_bytes == 0)
        e->plan.max_bytes = HTTP_READ_OVER_BYTES;
    if (!e->is_chunked && e->content_length > e->plan.max_bytes)
        return too_large(e);
    if (e->plan.body == HTTP_BODY_MULTIPART) {
        const struct multipart_sink sink = {
            .ctx = e, .begin = begin_part, .data = part_data, .end = end_part};

        if (!multipart_boundary(http_header(&e->x, "content-type"), &e->x.arena, &boundary,
                                &in->err))
            return refused(e, 400);
        in->form = multipart_new(&e->x.arena, boundary, &sink);
        buf_init(&in->field, HTTP_MAX_FIELD_BYTES);
    } else {
        buf_init(&in->memory, (size_t)e->plan.max_bytes);
    }
    return true;
}

bool http_body_take(struct exchange *e, struct str bytes)
{
    struct http_incoming *in = &e->in;
    const uint64_t n = atomic_fetch_add(&e->body_bytes, bytes.len) + bytes.len;

    if (n > e->plan.max_bytes)
        return too_large(e);
    if (e->plan.body == HTTP_BODY_MULTIPART) {
        in->status = 400;
        if (!multipart_feed(in->form, bytes, &in->err))
            return false;
        in->status = 0;
    } else if (e->plan.body == HTTP_BODY_MEMORY) {
        buf_str(&in->memory, bytes);
    }
    return true;
}

bool http_body_end(struct exchange *e)
{
    struct http_incoming *in = &e->in;

    if (e->plan.body == HTTP_BODY_MULTIPART) {
        if (!multipart_finish(in->form, &in->err))
            return refused(e, 400);
    } else if (e->plan.body == HTTP_BODY_MEMORY) {
        e->x.body = buf_view(&in->memory);
    }
    return true;
}

void http_body_release(struct exchange *e)
{
    if (e->in.fd >= 0)
        close(e->in.fd);
    e->in.fd = -1;
    for (size_t i = 0; i < e->x.n_parts; i++)
        if (e->x.parts[i].path != NULL)
            unlink(e->x.parts[i].path);
    multipart_release(e->in.form);
    e->in.form = NULL;
    buf_release(&e->in.memory);
    e->x.body = (struct str){0};
    buf_release(&e->in.field);
}
