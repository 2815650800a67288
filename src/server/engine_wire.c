/*
 * engine_wire.c - lines in, lines out, and each kind of line once.
 */
#include "server/engine_wire.h"
#include "base/limits.h"
#include "base/size.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK ((size_t)64 << 10)

void wire_init(struct wire *w, int fd, size_t max_line)
{
    *w = (struct wire){.fd = fd, .max_line = max_line};
    buf_init(&w->in, max_line + 2 * CHUNK);
    buf_init(&w->out, SIZE_MAX / 2);
}

void wire_release(struct wire *w)
{
    buf_release(&w->in);
    buf_release(&w->out);
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
    w->at = w->seen = w->sent = 0;
}

/* ---- lines in ---- */

/* Forgets the lines that were taken. */
static void settle(struct wire *w)
{
    if (w->at == 0)
        return;
    const size_t left = w->in.len - w->at;

    memmove(w->in.ptr, w->in.ptr + w->at, left);
    w->in.len = left;
    w->seen -= w->at;
    w->at = 0;
}

bool wire_put(struct wire *w, struct str bytes)
{
    settle(w);
    buf_str(&w->in, bytes);
    return !w->in.overflowed;
}

bool wire_line(struct wire *w, struct str *line)
{
    const char *end =
        w->seen < w->in.len ? memchr(w->in.ptr + w->seen, '\n', w->in.len - w->seen) : NULL;

    if (end == NULL) {
        w->seen = w->in.len;
        return false;
    }
    *line = (struct str){w->in.ptr + w->at, (size_t)(end - w->in.ptr) - w->at};
    w->at += line->len + 1;
    w->seen = w->at;
    return true;
}

static bool can_wait(ssize_t n)
{
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

bool wire_receive(struct wire *w)
{
    char chunk[CHUNK];

    const ssize_t n = recv(w->fd, chunk, sizeof chunk, MSG_DONTWAIT);
    if (n <= 0)
        return can_wait(n);
    if (!wire_put(w, (struct str){chunk, (size_t)n}))
        return false;
    /* a line that never ends is found before it fills the memory it may take */
    return w->in.len <= w->max_line ||
           memchr(w->in.ptr + w->seen, '\n', w->in.len - w->seen) != NULL;
}

/* ---- lines out ---- */

bool wire_send(struct wire *w)
{
    if (w->out.overflowed)
        return false; /* half a line would be worse */
    while (w->sent < w->out.len) {
        const ssize_t n =
            send(w->fd, w->out.ptr + w->sent, w->out.len - w->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0)
            return can_wait(n);
        w->sent += (size_t)n;
    }
    if (w->out.cap > 16 * CHUNK) /* a large body's room is not kept */
        buf_release(&w->out);
    buf_clear(&w->out);
    w->sent = 0;
    return true;
}

static const char *const op_names[] = {
    [ENGINE_CHAT] = "chat",   [ENGINE_COMPLETE] = "complete", [ENGINE_EMBED] = "embed",
    [ENGINE_COUNT] = "count", [ENGINE_SCORE] = "score",
};

static void put_line(struct buf *b, json_t *value)
{
    json_write(b, value, NULL);
    buf_char(b, '\n');
    json_decref(value);
}

/* File names need not be UTF-8: what cannot be said is not asked (engine_client_ask checks). */
static void set_text(json_t *o, const char *key, const char *text)
{
    if (text != NULL)
        json_object_set_new(o, key, json_string(text));
}

void wire_put_ask(struct buf *b, uint64_t id, enum engine_op op, bool stream,
                  const struct engine_model *m)
{
    json_t *model = json_object();

    set_text(model, "name", m->name);
    set_text(model, "path", m->path);
    set_text(model, "adapter", m->adapter);
    set_text(model, "run", m->run);
    put_line(b, json_pack("{s:I, s:s, s:b, s:o}", "ask", (json_int_t)id, "op", op_names[op],
                          "stream", (int)stream, "model", model));
}

void wire_put_body(struct buf *b, const json_t *body)
{
    json_write(b, body, NULL);
    buf_char(b, '\n');
}

void wire_put_cancel(struct buf *b, uint64_t id)
{
    buf_printf(b, "{\"cancel\":%llu}\n", (unsigned long long)id);
}

void wire_put_event(struct buf *b, uint64_t id, const json_t *event)
{
    buf_printf(b, "{\"id\":%llu,\"event\":", (unsigned long long)id);
    json_write(b, event, NULL);
    buf_text(b, "}\n");
}

static const char *const figure_names[] = {"tokens_sampled", "tokens_prompt", "tokens_cached",
                                           "resident_bytes"};

void wire_put_figures(struct buf *b, const struct engine_figures *f)
{
    const uint64_t values[] = {f->tokens_sampled, f->tokens_prompt, f->tokens_cached,
                               (uint64_t)f->resident_bytes};

    buf_text(b, "{\"figures\":{");
    for (size_t i = 0; i < COUNT_OF(values); i++)
        buf_printf(b, "%s\"%s\":%llu", i > 0 ? "," : "", figure_names[i],
                   (unsigned long long)values[i]);
    buf_text(b, "}}\n");
}

/* ---- reading a line ---- */

static const char what[] = "the engine's wire";

static bool get_id(const json_t *tree, const char *key, uint64_t *out, struct error *err)
{
    int64_t id = 0;

    if (!json_get_int(tree, key, what, 0, 1, INT64_MAX, &id, err))
        return false;
    if (id == 0)
        return fail(err, ERR_CORRUPT, "%s: \"%s\" is missing", what, key);
    *out = (uint64_t)id;
    return true;
}

static bool get_text(const json_t *o, const char *key, const char **out)
{
    const json_t *v = json_object_get(o, key);

    *out = json_string_value(v);
    return v == NULL || (json_is_string(v) && strlen(*out) == json_string_length(v));
}

static bool read_ask(struct wire_message *m, struct error *err)
{
    const json_t *model = json_object_get(m->tree, "model");
    struct str op = json_str(json_object_get(m->tree, "op"));
    size_t i = 0;

    while (i < COUNT_OF(op_names) && !str_is(op, op_names[i]))
        i++;
    if (i == COUNT_OF(op_names))
        return fail(err, ERR_CORRUPT, "%s: \"op\" is none of ours", what);
    m->kind = WIRE_ASK;
    m->op = (enum engine_op)i;
    if (!get_text(model, "name", &m->model.name) || !get_text(model, "path", &m->model.path) ||
        !get_text(model, "adapter", &m->model.adapter) || !get_text(model, "run", &m->model.run) ||
        m->model.name == NULL || m->model.path == NULL)
        return fail(err, ERR_CORRUPT, "%s: \"model\" is not as it should be", what);
    return get_id(m->tree, "ask", &m->id, err) &&
           json_get_bool(m->tree, "stream", what, false, &m->stream, err);
}

static bool read_figures(struct wire_message *m, struct error *err)
{
    int64_t v[COUNT_OF(figure_names)] = {0};

    m->kind = WIRE_FIGURES;
    for (size_t i = 0; i < COUNT_OF(figure_names); i++)
        if (!json_get_int(json_object_get(m->tree, "figures"), figure_names[i], what, 0, 0,
                          INT64_MAX, &v[i], err))
            return false;
    m->figures = (struct engine_figures){.tokens_sampled = (uint64_t)v[0],
                                         .tokens_prompt = (uint64_t)v[1],
                                         .tokens_cached = (uint64_t)v[2],
                                         .resident_bytes = v[3]};
    return true;
}

static bool read_tree(struct wire_message *m, struct error *err)
{
    if (json_object_get(m->tree, "ask") != NULL)
        return read_ask(m, err);
    if (json_object_get(m->tree, "cancel") != NULL) {
        m->kind = WIRE_CANCEL;
        return get_id(m->tree, "cancel", &m->id, err);
    }
    if (json_is_object(json_object_get(m->tree, "figures")))
        return read_figures(m, err);
    m->kind = WIRE_EVENT;
    m->event = json_object_get(m->tree, "event");
    if (!json_is_string(json_object_get(m->event, "type")))
        return fail(err, ERR_CORRUPT, "%s: a line is none of ours", what);
    return get_id(m->tree, "id", &m->id, err);
}

bool wire_read(struct str line, struct wire_message *out, struct error *err)
{
    struct wire_message m = {0};

    if (!json_parse(line, what, &m.tree, err) || !read_tree(&m, err)) {
        wire_message_release(&m);
        if (err != NULL)
            err->kind = ERR_CORRUPT;
        return false;
    }
    *out = m;
    return true;
}

void wire_message_release(struct wire_message *m)
{
    json_decref(m->tree);
    *m = (struct wire_message){0};
}

/* ---- errors ---- */

json_t *wire_error(const struct error *err)
{
    struct buf text;

    /* a message may quote bytes that are no UTF-8 or are cut within a character */
    buf_init(&text, 8 * sizeof err->message);
    json_write_string(&text, str_of(err->message), false);
    json_t *message = json_loadb(text.ptr, text.len, JSON_DECODE_ANY, NULL);
    buf_clear(&text);
    json_write_string(&text, str_of(err->param), false);
    json_t *param = json_loadb(text.ptr, text.len, JSON_DECODE_ANY, NULL);
    buf_release(&text);
    return json_pack("{s:s, s:s, s:o, s:o}", "type", "error", "kind", error_kind_name(err->kind),
                     "message", message, "param", param);
}

bool wire_is_no_error(const json_t *event, struct error *err)
{
    const char *kind = json_string_value(json_object_get(event, "kind")),
               *message = json_string_value(json_object_get(event, "message")),
               *param = json_string_value(json_object_get(event, "param"));
    enum error_kind k = ERR_IO;

    if (!str_is(json_str(json_object_get(event, "type")), "error"))
        return true;
    for (enum error_kind i = ERR_INVALID; i <= ERR_UNSUPPORTED; i++)
        if (kind != NULL && strcmp(kind, error_kind_name(i)) == 0)
            k = i;
    return fail_param(err, k, param != NULL ? param : "", "%s", message != NULL ? message : "");
}

bool wire_is_last(const json_t *event)
{
    const struct str type = json_str(json_object_get(event, "type"));

    return str_is(type, "done") || str_is(type, "result") || str_is(type, "error");
}
