/*
 * api_reply.c - answers with the headers that all have, lists and their pages, and what bodies often hold.
 */
#include "base/clock.h"
#include "base/size.h"
#include "base/utf8.h"
#include "server/api.h"
#include "server/api_error.h"
#include "server/api_internal.h"
#include "text/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_REPLY_BYTES ((size_t)512 << 20)
#define MAX_LABELS 16
#define MAX_KEY 64 /* characters */
#define MAX_VALUE 512

/* ---- headers ---- */

/* "20ms", "1s", "6m0s", as the service writes them */
static const char *duration(double seconds, struct arena *a)
{
    const long whole = (long)seconds;

    if (seconds < 1)
        return arena_printf(a, "%.0fms", 1e3 * seconds);
    if (whole < 60)
        return arena_printf(a, "%.4gs", seconds);
    return arena_printf(a, "%ldm%lds", whole / 60, whole % 60);
}

static void put(struct http_pair *out, size_t *n, const char *name, const char *value)
{
    out[(*n)++] = (struct http_pair){str_of(name), str_of(value)};
}

size_t api_headers(struct api_call *c, struct http_pair out[API_MAX_HEADERS])
{
    struct arena *a = c->arena;
    const struct limit_state *l = c->limit;
    size_t n = 0;

    put(out, &n, "openai-processing-ms",
        arena_printf(a, "%.0f", 1e3 * (clock_seconds() - c->x->began)));
    put(out, &n, "openai-version", "2020-10-01");
    if (c->who.org_id != NULL)
        put(out, &n, "openai-organization", c->who.org_id);
    if (l != NULL && l->per_minute > 0) {
        put(out, &n, "x-ratelimit-limit-requests", arena_printf(a, "%" PRId64, l->per_minute));
        put(out, &n, "x-ratelimit-remaining-requests", arena_printf(a, "%" PRId64, l->remaining));
        put(out, &n, "x-ratelimit-reset-requests", duration(l->reset_s, a));
    }
    return n;
}

bool api_is_retry(const struct api_call *c)
{
    const struct str n = http_header(c->x, "x-stainless-retry-count");

    return n.len > 0 && !str_is(n, "0");
}

/* ---- this server's address ---- */

/* What a Host header says only where no character of it means anything in HTML. */
const char *api_base_url(const struct api_call *c)
{
    const struct str host = http_header(c->x, "host");
    const char *scheme = c->opt->tls ? "https" : "http";
    const struct http_server *http = atomic_load(&c->api->http);
    bool plain = host.len > 0 && host.len < 256;

    if (c->opt->public_url != NULL)
        return arena_printf(c->arena, "%s/v1", c->opt->public_url);
    for (size_t i = 0; plain && i < host.len; i++)
        plain = strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]",
                       host.ptr[i]) != NULL;
    if (plain)
        return arena_printf(c->arena, "%s://" STR_FMT "/v1", scheme, STR_ARG(host));
    return http != NULL
               ? arena_printf(c->arena, "%s://127.0.0.1:%d/v1", scheme, http_server_port(http))
               : "/v1";
}

/* ---- answers ---- */

void api_audit(struct api_call *c, const char *target, const char *outcome)
{
    struct error err;

    if (c->route == NULL || c->route->action == NULL || c->who.org_id == NULL)
        return;
    const struct audit_entry e = {.org_id = c->who.org_id,
                                  .project_id = c->who.project_id,
                                  .key_id = c->who.key_id,
                                  .action = c->route->action,
                                  .target = target,
                                  .outcome = outcome,
                                  .address = c->x->address};
    if (!audit_put(c->store, &e, &err))
        log_line(LOG_ERROR, "api", "audit", "%s: the audit log could not be written: %s",
                 c->x->request_id, err.message);
}

/* Only ids of ours go into the audit log: a name that somebody chose may be anything. */
static const char *audited(struct api_call *c, const json_t *body)
{
    if (c->target != NULL)
        return c->target;
    if (c->id[0].ptr != NULL && store_id_is(c->id[0], ""))
        return arena_text(c->arena, c->id[0]);
    const struct str id = json_str(json_object_get(body, "id"));
    return id.len > 0 && store_id_is(id, "") ? arena_text(c->arena, id) : "";
}

static bool send(struct api_call *c, int status, const json_t *body, double retry_after)
{
    struct http_pair headers[API_MAX_HEADERS + 3];
    size_t n = api_headers(c, headers);
    struct buf text;

    buf_init(&text, MAX_REPLY_BYTES);
    json_write(&text, body, NULL);
    if (status >= 500) /* nothing here knows whether doing it twice is harmless */
        put(headers, &n, "x-should-retry", status == 503 ? "true" : "false");
    if (retry_after > 0) {
        put(headers, &n, "retry-after", arena_printf(c->arena, "%.0f", retry_after + 0.999));
        put(headers, &n, "retry-after-ms", arena_printf(c->arena, "%.0f", 1e3 * retry_after));
    }
    if (text.overflowed)
        http_answer(c->x, 500, "application/json",
                    STR("{\"error\":{\"message\":\"the answer is too large: ask for less at "
                        "once\",\"type\":\"server_error\",\"param\":null,\"code\":null}}"),
                    headers, n);
    else
        http_answer(c->x, status, "application/json", buf_view(&text), headers, n);
    buf_release(&text);
    return true;
}

bool api_reply(struct api_call *c, int status, json_t *body)
{
    api_audit(c, audited(c, body), "ok");
    send(c, status, body, 0);
    json_decref(body);
    return true;
}

/* Whether text is in what the caller says, who may be told it again. */
static bool is_said(const struct api_call *c, struct str text)
{
    const struct http_exchange *x = c->x;
    bool said = str_find(x->path, text, 0) < x->path.len;

    for (size_t i = 0; i < COUNT_OF(c->id); i++)
        said = said || str_find(c->id[i], text, 0) < c->id[i].len;
    for (size_t i = 0; i < x->n_query; i++)
        said = said || str_find(x->query[i].value, text, 0) < x->query[i].value.len ||
               str_find(x->query[i].name, text, 0) < x->query[i].name.len;
    for (size_t i = 0; i < x->n_parts; i++)
        said = said || str_find(x->parts[i].filename, text, 0) < x->parts[i].filename.len ||
               str_find(x->parts[i].value, text, 0) < x->parts[i].value.len;
    if (!said && c->body != NULL) { /* as text again, in which no character is spelt another way */
        const struct str body = str_of(api_text_of(c->body, c->arena));

        said = str_find(body, text, 0) < body.len;
    }
    return said;
}

/*
 * Where our files are is nobody's business: a message that says so is of something that failed here, whatever its kind. One that
 * repeats the caller's own words tells nothing, and a failure of ours in its place would tell whoever guesses that the guess was right.
 */
static bool names_home(const struct api_call *c, const struct error *err)
{
    const char *home = c->opt->home;
    const size_t len = home != NULL ? strlen(home) : 0;

    for (const char *at = err->message; len > 1 && (at = strstr(at, home)) != NULL; at += len)
        if (at[len] == '/')
            return !is_said(c, str_of(home));
    return false;
}

bool api_reply_error(struct api_call *c, const struct error *err)
{
    const int status = names_home(c, err) ? 500 : api_error_status(err);
    const double wait =
        status == 429
            ? (c->limit != NULL && c->limit->retry_after_s > 0 ? c->limit->retry_after_s : 1)
        : status == 503 ? 1
                        : 0;
    struct error told = *err;

    if (status == 500) { /* it may name our files and addresses: for whoever runs the server */
        log_line(LOG_ERROR, "api", "failure", "%s: %s", c->x->request_id, err->message);
        (void)fail_code(&told, ERR_IO, "server_error", "",
                        "the server failed at this request (%s); its log says why",
                        c->x->request_id);
    }
    json_t *body = api_error_body(&told);
    api_audit(c, audited(c, NULL), api_error_code(&told));
    send(c, status, body, wait);
    json_decref(body);
    return true;
}

bool api_reply_list(struct api_call *c, json_t *data, bool has_more)
{
    const size_t n = json_array_size(data);
    json_t *first = json_object_get(json_array_get(data, 0), "id");
    json_t *last = n > 0 ? json_object_get(json_array_get(data, n - 1), "id") : NULL;
    json_t *body = json_object();

    json_object_set_new(body, "object", json_string("list"));
    json_object_set_new(body, "data", data);
    json_object_set_new(body, "first_id", first != NULL ? json_incref(first) : json_null());
    json_object_set_new(body, "last_id", last != NULL ? json_incref(last) : json_null());
    json_object_set_new(body, "has_more", json_boolean(has_more));
    return api_reply(c, 200, body);
}

bool api_reply_documents(struct api_call *c, const struct document_filter *f,
                         const struct store_page *page, api_document_fn *fn, struct error *err)
{
    struct document *all;
    size_t n;
    bool more;

    if (!documents_list(c->store, f, page, c->arena, &all, &n, &more, err))
        return false;
    json_t *data = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(data, fn(&all[i]));
    return api_reply_list(c, data, more);
}

/* ---- what a call says ---- */

bool api_need_body(const struct api_call *c, struct error *err)
{
    return c->body != NULL || fail_code(err, ERR_INVALID, "missing_required_parameter", "",
                                        "this request needs a body: a JSON object");
}

static bool read_limit(const struct http_exchange *x, size_t def, size_t most, size_t *out,
                       struct error *err)
{
    const struct str text = http_query(x, "limit");
    size_t n = 0;

    *out = def;
    if (text.ptr == NULL)
        return true;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return fail_code(err, ERR_INVALID, "invalid_type", "limit",
                             "\"limit\" is no whole number");
        n = n < most ? 10 * n + (size_t)(text.ptr[i] - '0') : most;
    }
    if (n == 0)
        return fail_param(err, ERR_INVALID, "limit", "\"limit\" is 0 or empty, expected 1 to %zu",
                          most);
    *out = n < most ? n : most;
    return true;
}

static bool read_order(const struct http_exchange *x, bool *ascending, struct error *err)
{
    const struct str text = http_query(x, "order");

    if (text.ptr == NULL || text.len == 0)
        return true;
    if (str_is(text, "asc") || str_is(text, "ascending"))
        *ascending = true;
    else if (str_is(text, "desc") || str_is(text, "descending"))
        *ascending = false;
    else
        return fail_param(err, ERR_INVALID, "order", "\"order\" is neither \"asc\" nor \"desc\"");
    return true;
}

static bool read_label(const struct http_exchange *x, struct store_page *out, struct error *err)
{
    for (size_t i = 0; i < x->n_query; i++) {
        const struct str name = x->query[i].name;

        if (str_is(name, "metadata")) {
            if (!str_is(x->query[i].value, "null"))
                return fail_param(err, ERR_INVALID, "metadata",
                                  "\"metadata\" is a filter of the form metadata[key]=value, or "
                                  "metadata=null");
            out->without_labels = true;
        } else if (str_starts(name, STR("metadata[")) && str_ends(name, STR("]"))) {
            if (out->key.ptr != NULL)
                return fail_param(err, ERR_UNSUPPORTED, "metadata",
                                  "one metadata[key] is offered as a filter, this asks for two");
            out->key = (struct str){name.ptr + 9, name.len - 10};
            out->value = x->query[i].value.ptr != NULL ? x->query[i].value : STR("");
        }
    }
    return !(out->without_labels && out->key.ptr != NULL) ||
           fail_param(err, ERR_INVALID, "metadata",
                      "metadata=null and metadata[key]=value cannot both hold");
}

bool api_page(struct api_call *c, size_t def, size_t most, bool ascending, struct store_page *out,
              struct error *err)
{
    struct store_page p = {.ascending = ascending};
    const struct str after = http_query(c->x, "after");

    if (!read_limit(c->x, def, most, &p.limit, err) || !read_order(c->x, &p.ascending, err) ||
        !read_label(c->x, &p, err))
        return false;
    if (after.ptr != NULL && after.len > 0) {
        if (!store_id_is(after, ""))
            return fail_param(err, ERR_INVALID, "after", "\"after\" is no id");
        p.after = arena_text(c->arena, after);
    }
    *out = p;
    return true;
}

static size_t characters(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.ptr[i] & 0xC0) != 0x80;
    return n;
}

bool api_metadata(const json_t *body, struct arena *a, struct label **out, size_t *n,
                  struct error *err)
{
    const json_t *m = json_object_get(body, "metadata");

    *out = NULL;
    *n = 0;
    if (m == NULL || json_is_null(m))
        return true;
    if (!json_is_object(m))
        return fail_code(err, ERR_INVALID, "invalid_type", "metadata",
                         "\"metadata\" is %s, an object of texts was expected", json_kind(m));
    if (json_object_size(m) > MAX_LABELS)
        return fail_param(err, ERR_INVALID, "metadata",
                          "\"metadata\" has %zu pairs, %d are possible", json_object_size(m),
                          MAX_LABELS);
    *out = ARENA_ARRAY(a, struct label, MAX_LABELS);
    for (void *it = json_object_iter((json_t *)(uintptr_t)m); it != NULL;
         it = json_object_iter_next((json_t *)(uintptr_t)m, it)) {
        const struct str key = {json_object_iter_key(it), json_object_iter_key_len(it)};
        const json_t *v = json_object_iter_value(it);

        if (key.len == 0 || characters(key) > MAX_KEY)
            return fail_param(err, ERR_INVALID, "metadata",
                              "a key of \"metadata\" has %zu characters, 1 to %d are possible",
                              characters(key), MAX_KEY);
        if (!json_is_string(v))
            return fail_code(err, ERR_INVALID, "invalid_type", "metadata",
                             "\"metadata\" has %s as a value, texts were expected", json_kind(v));
        if (characters(json_str(v)) > MAX_VALUE)
            return fail_param(err, ERR_INVALID, "metadata",
                              "a value of \"metadata\" has %zu characters, %d are possible",
                              characters(json_str(v)), MAX_VALUE);
        if (memchr(key.ptr, '\0', key.len) != NULL ||
            memchr(json_str(v).ptr, '\0', json_str(v).len) != NULL)
            return fail_param(err, ERR_INVALID, "metadata", "\"metadata\" holds a zero byte");
        (*out)[(*n)++] = (struct label){arena_str(a, key), arena_str(a, json_str(v))};
    }
    return true;
}

json_t *api_json_of_labels(const struct label *labels, size_t n)
{
    json_t *o = n > 0 ? json_object() : json_null();

    for (size_t i = 0; i < n; i++)
        json_object_setn_new(o, labels[i].key.ptr, labels[i].key.len,
                             json_stringn(labels[i].value.ptr, labels[i].value.len));
    return o;
}

json_t *api_json_of(const char *text)
{
    json_t *v = text != NULL ? json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : NULL;

    return v != NULL ? v : json_null();
}

char *api_text_of(const json_t *value, struct arena *a)
{
    struct buf b;

    buf_init(&b, MAX_REPLY_BYTES);
    json_write(&b, value, NULL);
    char *text = arena_text(a, buf_view(&b));
    buf_release(&b);
    return text;
}

json_t *api_or_null(const char *text)
{
    return text != NULL ? json_string(text) : json_null();
}

json_t *api_time_or_null(int64_t seconds)
{
    return seconds != 0 ? json_integer(seconds) : json_null();
}

bool api_text(const json_t *body, const char *key, bool needed, size_t most, struct arena *a,
              const char **out, struct error *err)
{
    const json_t *v = json_object_get(body, key);

    *out = NULL;
    if (v == NULL || json_is_null(v))
        return !needed || fail_code(err, ERR_INVALID, "missing_required_parameter", key,
                                    "\"%s\" is missing", key);
    if (!json_is_string(v))
        return fail_code(err, ERR_INVALID, "invalid_type", key, "\"%s\" is %s, a text was expected",
                         key, json_kind(v));
    const struct str s = json_str(v);
    if ((needed && s.len == 0) || s.len > most)
        return fail_param(err, ERR_INVALID, key, "\"%s\" has %zu bytes, %d to %zu are possible",
                          key, s.len, needed ? 1 : 0, most);
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return fail_param(err, ERR_INVALID, key, "\"%s\" holds a control character", key);
    *out = arena_text(a, s);
    return true;
}
