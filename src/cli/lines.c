/*
 * lines.c - its own buffer over read(), so that waiting for a line ends when the program is asked to stop.
 */
#include "cli/lines.h"
#include "base/limits.h"
#include "base/size.h"
#include "cli/output.h"
#include "server/api_error.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define READ_BYTES ((size_t)64 << 10)

bool line_reader_open(struct line_reader *r, const char *path, const atomic_bool *stop,
                      struct error *err)
{
    const int fd = path == NULL ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return fail_errno(err, "cannot open %s", path);
    *r = (struct line_reader){
        .name = path != NULL ? path : "standard input", .fd_plus_1 = fd + 1, .stop = stop};
    buf_init(&r->held, LIMIT_LINE_BYTES + READ_BYTES);
    return true;
}

void line_reader_close(struct line_reader *r)
{
    if (r->fd_plus_1 > STDIN_FILENO + 1)
        close(r->fd_plus_1 - 1);
    if (r->fd_plus_1 != 0)
        buf_release(&r->held);
    *r = (struct line_reader){0};
}

/* Waits for bytes, and takes what is there. */
static bool fill(struct line_reader *r, struct error *err)
{
    char bytes[READ_BYTES];
    struct pollfd p = {.fd = r->fd_plus_1 - 1, .events = POLLIN};
    ssize_t n;

    for (;;) {
        if (r->stop != NULL && atomic_load(r->stop))
            return fail(err, ERR_CANCELLED, "stopped on request");
        /* a signal between the look at the flag and the wait must not be slept through */
        const int ready = poll(&p, 1, 500);
        if (ready == 0 || (ready < 0 && errno == EINTR))
            continue;
        n = read(p.fd, bytes, sizeof bytes);
        if (n >= 0 || errno != EINTR)
            break;
    }
    if (n < 0)
        return fail_errno(err, "cannot read %s", r->name);
    r->ended = n == 0;
    buf_put(&r->held, bytes, (size_t)n);
    return true;
}

/* Forgets the lines given out. */
static void drop_given(struct line_reader *r)
{
    if (r->at > 0)
        memmove(r->held.ptr, r->held.ptr + r->at, r->held.len - r->at);
    r->held.len -= r->at;
    r->at = 0;
}

bool line_reader_next(struct line_reader *r, struct str *line, bool *too_long, bool *more,
                      struct error *err)
{
    size_t looked = 0;

    *too_long = false;
    for (;;) {
        const struct str rest = str_from(buf_view(&r->held), r->at);
        const size_t end = rest.len > looked ? str_find(rest, STR("\n"), looked) : rest.len;

        if (end < rest.len || (r->ended && (rest.len > 0 || *too_long))) {
            *line = (struct str){rest.ptr, end};
            if (line->len > 0 && line->ptr[line->len - 1] == '\r')
                line->len--;
            r->at += size_min(end + 1, rest.len);
            r->number++;
            *more = true;
            return true;
        }
        if (r->ended) {
            *more = false;
            return true;
        }
        looked = rest.len;
        drop_given(r);
        if (r->held.len >= LIMIT_LINE_BYTES) {
            *too_long = true;
            buf_clear(&r->held);
            looked = 0;
        }
        if (!fill(r, err))
            return false;
    }
}

struct answering {
    line_answer_fn *fn;
    void *ctx;
    const char *name;
    size_t number;
    struct arena arena;
};

/* Puts the line in front of what does not name it. */
static bool say_where(const char *what, struct error *err)
{
    struct error inner = *err;

    if (strstr(err->message, what) == NULL)
        snprintf(err->message, sizeof err->message, "%s: %s", what, inner.message);
    return false;
}

static bool answer_line(struct answering *x, struct str line, bool too_long, json_t **out,
                        struct error *err)
{
    const char *what = arena_printf(&x->arena, "%s, line %zu", x->name, x->number);
    json_t *in = NULL;
    bool ok = too_long ? fail(err, ERR_LIMIT, "%s is longer than %zu bytes", what, LIMIT_LINE_BYTES)
                       : json_parse(line, what, &in, err);

    if (ok && !json_is_object(in))
        ok = fail(err, ERR_INVALID, "%s is %s, an object was expected", what, json_kind(in));
    if (ok) {
        const struct input_line l = {.value = in, .number = x->number, .what = what};

        ok = x->fn(x->ctx, &l, &x->arena, out, err) || say_where(what, err);
    }
    json_decref(in);
    return ok;
}

bool lines_answer(struct cli *c, line_answer_fn *fn, void *ctx, struct error *err)
{
    struct answering x = {.fn = fn, .ctx = ctx};
    struct line_reader r = {0};
    struct str line;
    bool too_long, more = true;
    bool ok = line_reader_open(&r, option_text(c->options, OPT_IN), c->stop, err);

    x.name = r.name;
    while (ok && (ok = line_reader_next(&r, &line, &too_long, &more, err)) && more) {
        struct error bad = {0};
        json_t *out = NULL;

        arena_reset(&x.arena);
        x.number = r.number;
        if (!answer_line(&x, line, too_long, &out, &bad)) {
            if (bad.kind == ERR_CANCELLED) {
                *err = bad;
                ok = false;
                break;
            }
            out = api_error_body(&bad);
        }
        ok = out_json_new(out, err);
    }
    line_reader_close(&r);
    arena_release(&x.arena);
    return ok;
}

bool read_input(struct cli *c, struct str *out, struct error *err)
{
    struct line_reader r = {0};
    struct buf all;
    bool ok = line_reader_open(&r, option_text(c->options, OPT_IN), c->stop, err);

    buf_init(&all, LIMIT_RENDER_BYTES);
    while (ok && !r.ended) {
        ok = fill(&r, err);
        buf_str(&all, buf_view(&r.held));
        if (ok)
            buf_clear(&r.held);
    }
    ok = ok && buf_ok(&all, r.name, err);
    if (ok)
        *out = arena_str(c->arena, buf_view(&all));
    buf_release(&all);
    line_reader_close(&r);
    return ok;
}
