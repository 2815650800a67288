/*
 * route_files.c - files: uploaded whole, listed, told about, read, deleted.
 */
#include "base/clock.h"
#include "base/size.h"
#include "server/file_json.h"
#include "server/routes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST_LISTED 10000

json_t *file_json(const struct stored_file *f)
{
    json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:s, s:s, s:s}", "id", f->id, "object", "file",
                          "bytes", (json_int_t)f->bytes, "created_at", (json_int_t)f->created_at,
                          "filename", f->filename, "purpose", f->purpose, "status", "processed");

    if (f->expires_at != 0)
        json_object_set_new(o, "expires_at", json_integer(f->expires_at));
    return o;
}

bool file_purpose_check(struct str purpose, struct error *err)
{
    static const char *const known[] = {"fine-tune", "evals",  "batch",
                                        "user_data", "vision", "assistants"};

    if (purpose.ptr == NULL)
        return fail_code(err, ERR_INVALID, "missing_required_parameter", "purpose",
                         "\"purpose\" is missing: \"fine-tune\" for a file to train on");
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (str_is(purpose, known[i]))
            return true;
    return fail_param(err, ERR_INVALID, "purpose",
                      "\"purpose\" is \"" STR_FMT
                      "\", expected fine-tune, evals, batch, user_data, "
                      "vision or assistants",
                      (int)size_min(purpose.len, 64), purpose.ptr);
}

bool file_expiry_check(struct str anchor, int64_t seconds, struct error *err)
{
    if (!str_is(anchor, "created_at"))
        return fail_param(err, ERR_INVALID, "expires_after.anchor",
                          "\"expires_after.anchor\" is \"" STR_FMT "\", expected \"created_at\"",
                          (int)size_min(anchor.len, 64), anchor.ptr);
    return (seconds >= FILE_LEAST_EXPIRY && seconds <= FILE_MOST_EXPIRY) ||
           fail_param(err, ERR_INVALID, "expires_after.seconds",
                      "\"expires_after.seconds\" is %" PRId64 ", expected %d to %d", seconds,
                      FILE_LEAST_EXPIRY, FILE_MOST_EXPIRY);
}

bool file_name_check(struct str name, struct error *err)
{
    if (name.len == 0 || name.len > 255)
        return fail_param(err, ERR_INVALID, "filename",
                          "the file's name has %zu bytes, 1 to 255 are possible", name.len);
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.ptr[i] < 0x20 || name.ptr[i] == 0x7f)
            return fail_param(err, ERR_INVALID, "filename",
                              "the file's name holds a control character");
    return true;
}

const struct http_part *file_part(const struct http_exchange *x, const char *name)
{
    for (size_t i = 0; i < x->n_parts; i++)
        if (str_is(x->parts[i].name, name))
            return &x->parts[i];
    return NULL;
}

static struct str part_text(const struct http_exchange *x, const char *name)
{
    const struct http_part *p = file_part(x, name);

    return p != NULL && p->path == NULL ? p->value : (struct str){0};
}

/* A number without sign; -1: it is none. */
static int64_t number_of(struct str text)
{
    int64_t n = 0;

    if (text.len == 0 || text.len > 12)
        return -1;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return -1;
        n = 10 * n + (text.ptr[i] - '0');
    }
    return n;
}

static bool read_expiry(const struct http_exchange *x, struct str purpose, int64_t now,
                        int64_t *out, struct error *err)
{
    const struct str anchor = part_text(x, "expires_after[anchor]"),
                     seconds = part_text(x, "expires_after[seconds]");

    *out = str_is(purpose, "batch") ? now + FILE_MOST_EXPIRY : 0;
    if (anchor.ptr == NULL && seconds.ptr == NULL)
        return true;
    const int64_t after = number_of(seconds);
    if (!file_expiry_check(anchor.ptr != NULL ? anchor : STR(""), after, err))
        return false;
    *out = now + after;
    return true;
}

bool file_quota_code(struct error *err)
{
    if (err->kind == ERR_LIMIT) /* asking again would not help: no 429 */
        return fail_code(err, ERR_LIMIT, "storage_quota_exceeded", "file", "%s", err->message);
    return false;
}

static bool create(struct api_call *c, struct error *err)
{
    const struct http_part *part = file_part(c->x, "file");
    const struct str purpose = part_text(c->x, "purpose");
    struct stored_file f = {.created_at = clock_unix()};

    if (part == NULL || part->path == NULL)
        return fail_code(err, ERR_INVALID, "missing_required_parameter", "file",
                         "\"file\" is missing: a multipart form with the fields purpose and file "
                         "was expected");
    if (!file_purpose_check(purpose, err) || !file_name_check(part->filename, err) ||
        !read_expiry(c->x, purpose, f.created_at, &f.expires_at, err))
        return false;
    f.project_id = c->who.project_id;
    f.filename = arena_text(c->arena, part->filename);
    f.purpose = arena_text(c->arena, purpose);
    f.status = arena_text(c->arena, STR("processed"));
    f.sha256 = arena_text(c->arena, str_of(part->sha256));
    f.bytes = (int64_t)part->bytes;
    if (!files_add(c->store, part->path, &f, c->arena, err))
        return file_quota_code(err);
    return api_reply(c, 200, file_json(&f));
}

static bool list(struct api_call *c, struct error *err)
{
    const struct str purpose = http_query(c->x, "purpose");
    struct store_page page;
    struct stored_file *files;
    size_t n;
    bool more;

    if (!api_page(c, MOST_LISTED, MOST_LISTED, false, &page, err) ||
        !files_list(c->store, c->who.project_id,
                    purpose.len > 0 ? arena_text(c->arena, purpose) : NULL, &page, c->arena, &files,
                    &n, &more, err))
        return false;
    json_t *data = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(data, file_json(&files[i]));
    return api_reply_list(c, data, more);
}

static bool retrieve(struct api_call *c, struct error *err)
{
    struct stored_file f;

    return files_get(c->store, c->who.project_id, c->id[0], c->arena, &f, err) &&
           api_reply(c, 200, file_json(&f));
}

static bool delete_file(struct api_call *c, struct error *err)
{
    if (!files_delete(c->store, c->who.project_id, c->id[0], err))
        return false;
    return api_reply(c, 200,
                     json_pack("{s:s%, s:s, s:b}", "id", c->id[0].ptr, c->id[0].len, "object",
                               "file", "deleted", 1));
}

/* What a browser may do with it: save it. Never text/html, which would run as a page of this server. */
static const char *content_type(struct str name)
{
    return str_ends(name, STR(".jsonl"))  ? "application/jsonl"
           : str_ends(name, STR(".json")) ? "application/json"
           : str_ends(name, STR(".csv"))  ? "text/csv; charset=utf-8"
           : str_ends(name, STR(".txt"))  ? "text/plain; charset=utf-8"
                                          : "application/octet-stream";
}

/* RFC 6266: a plain name for old programs, and the exact one percent-encoded. */
static const char *disposition(struct str name, struct arena *a)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    struct buf b;

    buf_init(&b, 4 << 10);
    buf_text(&b, "attachment; filename=\"");
    for (size_t i = 0; i < name.len; i++)
        buf_char(&b, strchr(plain, name.ptr[i]) != NULL ? name.ptr[i] : '_');
    buf_text(&b, "\"; filename*=UTF-8''");
    for (size_t i = 0; i < name.len; i++) {
        if (strchr(plain, name.ptr[i]) != NULL)
            buf_char(&b, name.ptr[i]);
        else
            buf_printf(&b, "%%%02X", (unsigned)(unsigned char)name.ptr[i]);
    }
    const char *text = arena_text(a, buf_view(&b));
    buf_release(&b);
    return text;
}

static bool content(struct api_call *c, struct error *err)
{
    struct http_pair headers[API_MAX_HEADERS + 2];
    struct stored_file f;

    if (!files_get(c->store, c->who.project_id, c->id[0], c->arena, &f, err))
        return false;
    const struct str name = str_of(f.filename);
    size_t n = api_headers(c, headers);
    headers[n++] =
        (struct http_pair){STR("content-disposition"), str_of(disposition(name, c->arena))};
    headers[n++] = (struct http_pair){STR("x-content-type-options"), STR("nosniff")};
    http_answer_file(c->x, files_path(c->store, f.id, c->arena), content_type(name), headers, n);
    return true;
}

static const struct api_route routes[] = {
    {HTTP_POST, "/v1/files", SCOPE_TRAIN, HTTP_BODY_MULTIPART, create, "file.create", 0},
    {HTTP_GET, "/v1/files", SCOPE_TRAIN, HTTP_BODY_NONE, list, NULL, 0},
    {HTTP_GET, "/v1/files/{}", SCOPE_TRAIN, HTTP_BODY_NONE, retrieve, NULL, 0},
    {HTTP_DELETE, "/v1/files/{}", SCOPE_TRAIN, HTTP_BODY_NONE, delete_file, "file.delete", 0},
    {HTTP_GET, "/v1/files/{}/content", SCOPE_TRAIN, HTTP_BODY_NONE, content, NULL, 0},
};
const struct api_table files_routes = {routes, COUNT_OF(routes)};
