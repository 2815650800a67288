/*
 * route_uploads.c - large files, in parts that may come in any order and at once.
 */
#include "base/clock.h"
#include "base/size.h"
#include "server/file_json.h"
#include "server/routes.h"

#include <inttypes.h>
#include <stdlib.h>

#define UPLOAD_SECONDS 3600
#define MOST_PARTS 10000

static json_t *upload_json(const struct upload *u, json_t *file)
{
    json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:I, s:s, s:s, s:s}", "id", u->id, "object",
                          "upload", "bytes", (json_int_t)u->bytes, "created_at",
                          (json_int_t)u->created_at, "expires_at", (json_int_t)u->expires_at,
                          "filename", u->filename, "purpose", u->purpose, "status", u->status);

    json_object_set_new(o, "file", file != NULL ? file : json_null());
    return o;
}

static bool read_expiry(const json_t *body, struct upload *u, struct error *err)
{
    const json_t *e = json_object_get(body, "expires_after");
    const json_t *seconds = json_object_get(e, "seconds");

    if (strcmp(u->purpose, "batch") == 0)
        u->file_expires_after = FILE_MOST_EXPIRY;
    if (e == NULL || json_is_null(e))
        return true;
    if (!json_is_object(e) || !json_is_integer(seconds))
        return fail_code(err, ERR_INVALID, "invalid_type", "expires_after",
                         "\"expires_after\" is an object of \"anchor\" and \"seconds\"");
    u->file_expires_after = json_integer_value(seconds);
    return file_expiry_check(json_str(json_object_get(e, "anchor")), u->file_expires_after, err);
}

static bool create(struct api_call *c, struct error *err)
{
    const uint64_t most = c->opt->max_file_bytes != 0 ? c->opt->max_file_bytes : API_FILE_BYTES;
    const char *filename, *mime, *purpose;
    struct upload u = {.project_id = c->who.project_id, .created_at = clock_unix()};

    if (!api_need_body(c, err) ||
        !api_text(c->body, "filename", true, 255, c->arena, &filename, err) ||
        !api_text(c->body, "mime_type", true, 255, c->arena, &mime, err) ||
        !api_text(c->body, "purpose", true, 64, c->arena, &purpose, err) ||
        !file_purpose_check(str_of(purpose), err))
        return false;
    const json_t *bytes = json_object_get(c->body, "bytes");
    if (bytes == NULL)
        return fail_code(err, ERR_INVALID, "missing_required_parameter", "bytes",
                         "\"bytes\" is missing");
    if (!json_is_integer(bytes))
        return fail_code(err, ERR_INVALID, "invalid_type", "bytes",
                         "\"bytes\" is %s, a whole number was expected", json_kind(bytes));
    u.bytes = json_integer_value(bytes);
    if (u.bytes < 1 || (uint64_t)u.bytes > most)
        return fail_param(err, ERR_INVALID, "bytes",
                          "\"bytes\" is %" PRId64 ", expected 1 to %" PRIu64, u.bytes, most);
    u.filename = arena_text(c->arena, str_of(filename));
    u.mime_type = arena_text(c->arena, str_of(mime));
    u.purpose = arena_text(c->arena, str_of(purpose));
    u.status = arena_text(c->arena, STR("pending"));
    u.expires_at = u.created_at + UPLOAD_SECONDS;
    if (!read_expiry(c->body, &u, err))
        return false;
    if (!uploads_new(c->store, &u, c->arena, err))
        return file_quota_code(err);
    return api_reply(c, 200, upload_json(&u, NULL));
}

static bool add_part(struct api_call *c, struct error *err)
{
    const struct http_part *part = file_part(c->x, "data");
    char *id;
    int64_t created_at;

    if (part == NULL || part->path == NULL)
        return fail_code(err, ERR_INVALID, "missing_required_parameter", "data",
                         "\"data\" is missing: a multipart form with this one part was expected");
    if (!uploads_part(c->store, c->who.project_id, c->id[0], part->path, c->arena, &id, &created_at,
                      err))
        return file_quota_code(err);
    return api_reply(c, 200,
                     json_pack("{s:s, s:s, s:I, s:s%}", "id", id, "object", "upload.part",
                               "created_at", (json_int_t)created_at, "upload_id", c->id[0].ptr,
                               c->id[0].len));
}

static bool complete(struct api_call *c, struct error *err)
{
    const json_t *ids = json_object_get(c->body, "part_ids");
    const size_t n = json_array_size(ids);
    struct str *parts = ARENA_ARRAY(c->arena, struct str, size_min(n, MOST_PARTS) + 1);
    const char *md5;
    struct upload u;
    struct stored_file f;

    if (!api_need_body(c, err) || !api_text(c->body, "md5", false, 32, c->arena, &md5, err))
        return false;
    if (!json_is_array(ids) || n == 0 || n > MOST_PARTS)
        return fail_param(err, ERR_INVALID, "part_ids",
                          "\"part_ids\" is a list of 1 to %d ids of parts, in their order",
                          MOST_PARTS);
    for (size_t i = 0; i < n; i++) {
        parts[i] = json_str(json_array_get(ids, i));
        if (!store_id_is(parts[i], "part_"))
            return fail_param(err, ERR_INVALID, "part_ids",
                              "member %zu of \"part_ids\" is no id of a part", i);
    }
    if (!uploads_complete(c->store, c->who.project_id, c->id[0], parts, n,
                          md5 != NULL && md5[0] != '\0' ? str_of(md5) : (struct str){0}, c->arena,
                          &u, &f, err))
        return file_quota_code(err);
    return api_reply(c, 200, upload_json(&u, file_json(&f)));
}

static bool cancel(struct api_call *c, struct error *err)
{
    struct upload u;

    return uploads_cancel(c->store, c->who.project_id, c->id[0], c->arena, &u, err) &&
           api_reply(c, 200, upload_json(&u, NULL));
}

static const struct api_route routes[] = {
    {HTTP_POST, "/v1/uploads", SCOPE_TRAIN, HTTP_BODY_MEMORY, create, "upload.create", 0},
    {HTTP_POST, "/v1/uploads/{}/parts", SCOPE_TRAIN, HTTP_BODY_MULTIPART, add_part, NULL,
     API_PART_BYTES + ((uint64_t)1 << 20)},
    {HTTP_POST, "/v1/uploads/{}/complete", SCOPE_TRAIN, HTTP_BODY_MEMORY, complete,
     "upload.complete", 0},
    {HTTP_POST, "/v1/uploads/{}/cancel", SCOPE_TRAIN, HTTP_BODY_MEMORY, cancel, "upload.cancel", 0},
};
const struct api_table uploads_routes = {routes, COUNT_OF(routes)};
