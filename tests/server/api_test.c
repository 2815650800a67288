/*
 * api_test.c - what happens around a route's function, over a real server and a real store: keys, scopes, limits, paths.
 */
#include "base/clock.h"
#include "base/size.h"
#include "server/api.h"
#include "support/http_client.h"
#include "support/stores.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct rig {
    struct test_store *t;
    struct arena arena;
    struct api *api;
    struct http_server *http;
    int port;
};

static void begin(struct rig *r, void **state, bool anonymous)
{
    struct error err = {0};

    *r = (struct rig){.t = test_store_open(state)};
    const struct api_options ao = {
        .store = r->t->s, .home = r->t->home, .anonymous = anonymous, .quiet = true};
    ASSERT_OK(api_open(&ao, &r->api, &err));
    const struct http_options ho = {.host = "127.0.0.1",
                                    .ctx = r->api,
                                    .begin = api_begin,
                                    .handle = api_handle,
                                    .answered = api_answered,
                                    .done = api_done,
                                    .refusal = api_refusal};
    ASSERT_OK(http_server_open(&ho, &r->http, &err));
    r->port = http_server_port(r->http);
}

static void end(struct rig *r)
{
    http_server_drain(r->http, clock_seconds() + 5);
    api_stop(r->api);
    http_server_close(r->http);
    api_close(r->api);
    test_store_close(r->t);
    arena_release(&r->arena);
}

static char *key_of(struct rig *r, const char *project, unsigned scopes, int64_t per_minute,
                    int64_t at_once)
{
    const struct new_key k = {.project_id = project,
                              .name = "test",
                              .scopes = scopes,
                              .requests_per_minute = per_minute,
                              .concurrent_requests = at_once};
    struct api_key made;
    struct error err = {0};
    char *secret;

    ASSERT_OK(access_new_key(r->t->s, &k, &r->arena, &made, &secret, &err));
    return secret;
}

/* key NULL: no header. more: headers, each ended by "\r\n". */
static struct reply call(struct rig *r, const char *method, const char *target, const char *key,
                         const char *more, const char *body)
{
    const char *headers =
        arena_printf(&r->arena, "%s%s%s%s", key != NULL ? "Authorization: Bearer " : "",
                     key != NULL ? key : "", key != NULL ? "\r\n" : "", more);

    return client_once(r->port, &r->arena, method, target, headers, str_of(body));
}

static const char *member(struct rig *r, struct reply reply, const char *name)
{
    struct error err = {0};
    json_t *v = NULL;

    ASSERT_OK(json_parse(reply.body, "the reply", &v, &err));
    json_t *error = json_object_get(v, "error");
    assert_int_equal(json_object_size(error), 4);
    const char *text = json_string_value(json_object_get(error, name));
    text = arena_text(&r->arena, str_of(text != NULL ? text : ""));
    json_decref(v);
    return text;
}

static void refused(struct rig *r, struct reply reply, int status, const char *code)
{
    if (reply.status != status)
        fail_msg("status %d, expected %d: " STR_FMT, reply.status, status, STR_ARG(reply.body));
    assert_string_equal(member(r, reply, "code"), code);
    assert_true(strncmp(reply_header(&reply, "x-request-id", &r->arena), "req_", 4) == 0);
}

static void a_key_is_asked_for_and_never_told(void **state)
{
    struct rig r;

    begin(&r, state, false);
    const char *key = key_of(&r, "proj_a", SCOPE_TRAIN, 0, 0);
    const char *wrong = "sk-wrongwrongwrongwrongwrongwrongwrongwrong1234";
    const struct reply ok = call(&r, "GET", "/v1/files", key, "", "");
    assert_int_equal(ok.status, 200);
    assert_string_equal(reply_header(&ok, "openai-organization", &r.arena), "org-a");
    assert_string_equal(reply_header(&ok, "openai-version", &r.arena), "2020-10-01");
    assert_string_not_equal(reply_header(&ok, "openai-processing-ms", &r.arena), "");
    assert_string_equal(reply_header(&ok, "x-ratelimit-limit-requests", &r.arena), "");
    const char *azure = arena_printf(&r.arena, "api-key: %s\r\n", key);
    assert_int_equal(call(&r, "GET", "/v1/files?api-version=2025-01-01", NULL, azure, "").status,
                     200);
    refused(&r, call(&r, "GET", "/v1/files", NULL, "", ""), 401, "invalid_api_key");
    refused(&r, call(&r, "GET", "/v1/files", NULL, "Authorization: Basic abc\r\n", ""), 401,
            "invalid_api_key");
    const struct reply no = call(&r, "GET", "/v1/files", wrong, "", "");
    refused(&r, no, 401, "invalid_api_key");
    assert_string_equal(member(&r, no, "type"), "invalid_request_error");
    assert_non_null(strstr(member(&r, no, "message"), "...1234"));
    assert_null(strstr(member(&r, no, "message"), "wrong1234"));
    const struct reply tiny = call(&r, "GET", "/v1/files", "sk-secret", "", "");
    refused(&r, tiny, 401, "invalid_api_key");
    assert_null(strstr(member(&r, tiny, "message"), "cret"));
    end(&r);
}

static void a_revoked_key_is_forgotten(void **state)
{
    struct rig r;
    struct error err = {0};
    struct api_key *keys;
    size_t n;

    begin(&r, state, false);
    const char *key = key_of(&r, "proj_a", SCOPE_TRAIN, 0, 0);
    assert_int_equal(call(&r, "GET", "/v1/files", key, "", "").status, 200);
    ASSERT_OK(access_keys(r.t->s, "proj_a", &r.arena, &keys, &n, &err));
    ASSERT_OK(access_revoke_key(r.t->s, "proj_a", keys[0].id, &err));
    api_forget_keys(r.api);
    refused(&r, call(&r, "GET", "/v1/files", key, "", ""), 401, "invalid_api_key");
    end(&r);
}

static void scopes_hold(void **state)
{
    struct rig r;

    begin(&r, state, false);
    const char *use = key_of(&r, "proj_a", SCOPE_USE, 0, 0),
               *train = key_of(&r, "proj_a", SCOPE_TRAIN, 0, 0),
               *admin = key_of(&r, "proj_a", SCOPE_ADMIN, 0, 0);
    const char *permissions = "/v1/fine_tuning/checkpoints/ft:a:b::c/permissions";
    assert_int_equal(call(&r, "GET", "/v1/models", use, "", "").status, 200);
    refused(&r, call(&r, "GET", "/v1/files", use, "", ""), 403, "missing_scope");
    refused(&r,
            call(&r, "POST", "/v1/files", use, "Content-Type: multipart/form-data; boundary=x\r\n",
                 "--x--"),
            403, "missing_scope");
    assert_int_equal(call(&r, "GET", "/v1/models", train, "", "").status, 200);
    refused(&r, call(&r, "GET", permissions, train, "", ""), 403, "missing_scope");
    refused(&r, call(&r, "GET", permissions, admin, "", ""), 404, "not_found");
    end(&r);
}

static void organisations_and_projects(void **state)
{
    struct rig r;

    begin(&r, state, false);
    const char *train = key_of(&r, "proj_a", SCOPE_TRAIN, 0, 0),
               *admin = key_of(&r, "proj_a", SCOPE_ADMIN, 0, 0);
#define ORG(id) "OpenAI-Organization: " id "\r\n"
#define PROJECT(id) "OpenAI-Project: " id "\r\n"
    assert_int_equal(call(&r, "GET", "/v1/files", train, ORG("org-a") PROJECT("proj_a"), "").status,
                     200);
    refused(&r, call(&r, "GET", "/v1/files", train, ORG("org-b"), ""), 401,
            "mismatched_organization");
    refused(&r, call(&r, "GET", "/v1/files", train, PROJECT("proj_b"), ""), 401,
            "mismatched_project");
    assert_int_equal(call(&r, "GET", "/v1/files", admin, PROJECT("proj_b"), "").status, 200);
    refused(&r, call(&r, "GET", "/v1/files", admin, PROJECT("proj_c"), ""), 401,
            "mismatched_project");
    refused(&r, call(&r, "GET", "/v1/files", admin, PROJECT("none"), ""), 401,
            "mismatched_project");
    end(&r);
}

static void anothers_things_are_as_none(void **state)
{
    struct rig r;
    struct error err = {0};
    struct stored_file f = {.project_id = (char *)(uintptr_t) "proj_a",
                            .filename = (char *)(uintptr_t) "a",
                            .purpose = (char *)(uintptr_t) "fine-tune",
                            .status = (char *)(uintptr_t) "processed",
                            .created_at = 1};
    char *path;

    begin(&r, state, false);
    ASSERT_OK(files_incoming(r.t->s, &r.arena, &path, &err));
    ASSERT_OK(files_add(r.t->s, path, &f, &r.arena, &err));
    const char *target = arena_printf(&r.arena, "/v1/files/%s", f.id);
    const char *a = key_of(&r, "proj_a", SCOPE_TRAIN, 0, 0),
               *b = key_of(&r, "proj_b", SCOPE_TRAIN, 0, 0);
    assert_int_equal(call(&r, "GET", target, a, "", "").status, 200);
    refused(&r, call(&r, "GET", target, b, "", ""), 404, "not_found");
    refused(&r, call(&r, "DELETE", target, b, "", ""), 404, "not_found");
    refused(&r, call(&r, "GET", arena_printf(&r.arena, "%s/content", target), b, "", ""), 404,
            "not_found");
    assert_int_equal(call(&r, "GET", target, a, "", "").status, 200);
    end(&r);
}

static void requests_a_minute(void **state)
{
    struct rig r;

    begin(&r, state, false);
    const char *key = key_of(&r, "proj_a", SCOPE_TRAIN, 3, 0);
    for (int i = 0; i < 3; i++) {
        const struct reply ok = call(&r, "GET", "/v1/files", key, "", "");
        assert_int_equal(ok.status, 200);
        assert_string_equal(reply_header(&ok, "x-ratelimit-limit-requests", &r.arena), "3");
        assert_int_equal(atoi(reply_header(&ok, "x-ratelimit-remaining-requests", &r.arena)),
                         2 - i);
        assert_string_not_equal(reply_header(&ok, "x-ratelimit-reset-requests", &r.arena), "");
    }
    const struct reply no = call(&r, "GET", "/v1/files", key, "", "");
    refused(&r, no, 429, "rate_limit_exceeded");
    assert_string_equal(member(&r, no, "type"), "requests");
    assert_true(atoi(reply_header(&no, "retry-after", &r.arena)) >= 1);
    assert_true(atoi(reply_header(&no, "retry-after-ms", &r.arena)) >= 1000);
    assert_string_equal(reply_header(&no, "x-ratelimit-remaining-requests", &r.arena), "0");
    const char *other = key_of(&r, "proj_a", SCOPE_TRAIN, 3, 0);
    assert_int_equal(call(&r, "GET", "/v1/files", other, "", "").status, 200);
    end(&r);
}

static void requests_at_once(void **state)
{
    struct rig r;

    begin(&r, state, false);
    const char *key = key_of(&r, "proj_a", SCOPE_TRAIN, 0, 1);
    /* a body that does not come: the request is under way */
    struct client slow = client_open(r.port);
    assert_true(client_text(&slow,
                            "POST /v1/uploads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
                            "Content-Length: 2\r\n\r\n{",
                            key));
    struct reply again = {0};
    for (int i = 0; i < 200 && again.status != 429; i++) {
        clock_sleep_until(clock_seconds() + 0.02);
        again = call(&r, "GET", "/v1/files", key, "", "");
    }
    refused(&r, again, 429, "rate_limit_exceeded");
    assert_true(client_text(&slow, "}"));
    assert_int_equal(client_reply(&slow, &r.arena, true, 10).status, 400);
    client_close(&slow);
    assert_int_equal(call(&r, "GET", "/v1/files", key, "", "").status, 200);
    end(&r);
}

/* Whoever has read the answer has its place back. */
static void one_after_the_other_is_never_two_at_once(void **state)
{
    static const struct {
        const char *method, *path, *body;
        int status;
    } calls[] = {{"GET", "/v1/files", "", 200},
                 {"GET", "/v1/files/file-none", "", 404},
                 {"POST", "/v1/uploads", "{", 400},
                 {"HEAD", "/v1/files", "", 200}};
    struct rig r;

    begin(&r, state, false);
    const char *key = key_of(&r, "proj_a", SCOPE_TRAIN, 0, 1);
    const char *header = arena_printf(&r.arena, "Authorization: Bearer %s\r\n", key);
    struct client c = client_open(r.port);
    for (int i = 0; i < 600; i++) {
        const size_t k = (size_t)i % COUNT_OF(calls);

        assert_true(client_text(&c, "%s %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %zu\r\n\r\n%s",
                                calls[k].method, calls[k].path, header, strlen(calls[k].body),
                                calls[k].body));
        const bool is_head = strcmp(calls[k].method, "HEAD") == 0;
        assert_int_equal(client_reply(&c, &r.arena, !is_head, 10).status, calls[k].status);
    }
    client_close(&c);
    for (int i = 0; i < 600; i++) {
        const size_t k = (size_t)i % COUNT_OF(calls);

        assert_int_equal(call(&r, calls[k].method, calls[k].path, key, "", calls[k].body).status,
                         calls[k].status);
    }
    end(&r);
}

/* What a path offers is told exactly: of the pattern that is meant, not of others that it has the form of, too. */
static void methods(void **state)
{
    static const struct {
        const char *path, *allow;
    } offered[] = {
        {"/v1/files", "GET, HEAD, POST, OPTIONS"},
        {"/v1/files/file-x", "GET, HEAD, DELETE, OPTIONS"},
        {"/v1/embeddings", "POST, OPTIONS"},
        {"/v1/responses/input_tokens", "POST, OPTIONS"},
        {"/v1/responses/resp_x", "GET, HEAD, DELETE, OPTIONS"},
        {"/v1/feedback/export", "GET, HEAD, OPTIONS"},
        {"/v1/organization/invites/accept", "POST, OPTIONS"},
        {"/v1/fine_tuning/checkpoints/a/permissions/b", "DELETE, OPTIONS"},
        {"/healthz", "GET, HEAD, OPTIONS"},
    };
    struct rig r;

    begin(&r, state, false);
    const char *key = key_of(&r, "proj_a", SCOPE_ADMIN, 0, 0);
    for (size_t i = 0; i < COUNT_OF(offered); i++) {
        const char *path = offered[i].path;
        struct reply no = call(&r, "TRACE", path, "", "", "");

        refused(&r, no, 405, "method_not_allowed");
        assert_string_equal(reply_header(&no, "allow", &r.arena), offered[i].allow);
        assert_true(str_find(no.body, STR("\"TRACE is not offered"), 0) < no.body.len);
        no = call(&r, "OPTIONS", path, "", "", "");
        assert_int_equal(no.status, 204);
        assert_int_equal(no.body.len, 0);
        assert_string_equal(reply_header(&no, "allow", &r.arena), offered[i].allow);
        no = call(&r, "OPTIONS", path, "", "Content-Type: application/json\r\n", "{}");
        assert_int_equal(no.status, 204);
    }
    refused(&r, call(&r, "GET", "/v1/responses/input_tokens", key, "", ""), 405,
            "method_not_allowed");
    refused(&r, call(&r, "OPTIONS", "/v1/none", "", "", ""), 404, "unknown_url");
    const struct reply get = call(&r, "GET", "/v1/files", key, "", ""),
                       head = call(&r, "HEAD", "/v1/files", key, "", "");
    assert_int_equal(head.status, 200);
    assert_int_equal(head.body.len, 0);
    assert_string_equal(reply_header(&head, "content-length", &r.arena),
                        reply_header(&get, "content-length", &r.arena));
    assert_int_equal(call(&r, "HEAD", "/v1/files", "", "", "").status, 401);
    assert_int_equal(call(&r, "HEAD", "/v1/files/file-none", key, "", "").status, 404);
    assert_int_equal(call(&r, "HEAD", "/v1/embeddings", key, "", "").status, 405);
    end(&r);
}

static void paths(void **state)
{
    struct rig r;

    begin(&r, state, false);
    const char *key = key_of(&r, "proj_a", SCOPE_ADMIN, 0, 0);
    static const char *const nothing[] = {"//",         "/v1",        "/v1/",
                                          "/v1/files/", "/v2/files",  "/v1/files/a/b",
                                          "/V1/files",  "/v1//files", "/v1/files/a/content/"};
    for (size_t i = 0; i < COUNT_OF(nothing); i++)
        refused(&r, call(&r, "GET", nothing[i], key, "", ""), 404, "unknown_url");
    const struct reply no = call(&r, "PUT", "/v1/files", key, "", "");
    refused(&r, no, 405, "method_not_allowed");
    const char *allow = reply_header(&no, "allow", &r.arena);
    assert_non_null(strstr(allow, "GET"));
    assert_non_null(strstr(allow, "POST"));
    assert_null(strstr(allow, "DELETE"));
    /* an id is what it is after the path was parted */
    refused(&r, call(&r, "GET", "/v1/files/a%2Fcontent", key, "", ""), 404, "not_found");
    refused(&r, call(&r, "GET", "/v1/files/%2e%2e%2f%2e%2e%2fhone.db/content", key, "", ""), 404,
            "not_found");
    refused(&r, call(&r, "GET", "/v1/models/..%2F..%2Fhone.db", key, "", ""), 404,
            "model_not_found");
    refused(&r, call(&r, "GET", "/v1/models/ft:a%20b:o::x", key, "", ""), 404, "model_not_found");
    refused(&r, call(&r, "GET", "/v1/files/%ff", key, "", ""), 400, "invalid_value");
    refused(&r, call(&r, "GET", "/v1/files/%00", key, "", ""), 400, "invalid_value");
    refused(&r, call(&r, "GET", "/v1/files/%zz", key, "", ""), 400, "invalid_value");
    refused(&r, call(&r, "GET", "/v1/files/a%0Ab", key, "", ""), 400, "invalid_value");
    char longer[700] = "/v1/files/";
    memset(longer + 10, 'a', 600);
    longer[610] = '\0';
    refused(&r, call(&r, "GET", longer, key, "", ""), 400, "invalid_value");
    end(&r);
}

static void without_a_key_on_this_machine_alone(void **state)
{
    struct rig r;

    begin(&r, state, true);
#define HOST(h) "Host: " h "\r\n"
    /* client_once says Host itself: localhost, or whatever; so these go out by hand */
    static const struct {
        const char *headers;
        int status;
    } cases[] = {
        {HOST("127.0.0.1:1"), 200},
        {HOST("localhost"), 200},
        {HOST("[::1]:80"), 200},
        {HOST("127.0.0.1:1") "Origin: http://127.0.0.1:1\r\n", 200},
        {HOST("127.0.0.1:1") "Origin: http://127.0.0.1:2\r\n", 401},
        {HOST("127.0.0.1:1") "Origin: null\r\n", 401},
        {HOST("evil.example"), 401}, /* a name that leads to 127.0.0.1 */
        {HOST("127.0.0.1.evil.example") "Origin: http://127.0.0.1.evil.example\r\n", 401},
        {HOST("localhost.evil.example"), 401},
        {HOST("127.0.0.1:1") "Authorization: Bearer any\r\n", 200},
        {HOST("127.0.0.1:1") "X-Forwarded-For: 192.0.2.1\r\n", 401}, /* a proxy that runs here */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct client c = client_open(r.port);
        assert_true(client_text(&c, "GET /v1/models HTTP/1.1\r\n%s\r\n", cases[i].headers));
        const struct reply reply = client_reply(&c, &r.arena, true, 10);
        client_close(&c);
        if (reply.status != cases[i].status)
            fail_msg("%s: status %d", cases[i].headers, reply.status);
    }
    end(&r);
}

static void what_is_done_is_written_down(void **state)
{
    struct rig r;
    struct error err = {0};
    struct audit_entry *e;
    size_t n;

    begin(&r, state, false);
    const char *key = key_of(&r, "proj_a", SCOPE_TRAIN, 0, 0);
    const char *body = "{\"name\":\"secret text\",\"url\":\"https://x.example/\","
                       "\"event_types\":[\"fine_tuning.job.failed\"]}";
    assert_int_equal(call(&r, "POST", "/v1/webhook_endpoints", key, "", body).status, 200);
    assert_int_equal(call(&r, "DELETE", "/v1/files/file-nothing", key, "", "").status, 404);
    assert_int_equal(
        call(&r, "DELETE", "/v1/models/some%20body:wrote%3Cthis%3E", key, "", "").status, 404);
    ASSERT_OK(audit_list(r.t->s, "org-a", 0, 100, &r.arena, &e, &n, &err));
    bool made = false, refused_file = false;
    for (size_t i = 0; i < n; i++) {
        assert_null(strstr(e[i].target, "wrote"));
        made = made || (strcmp(e[i].action, "webhook_endpoint.create") == 0 &&
                        strcmp(e[i].outcome, "ok") == 0 && strncmp(e[i].target, "whe_", 4) == 0);
        refused_file = refused_file || (strcmp(e[i].action, "file.delete") == 0 &&
                                        strcmp(e[i].outcome, "not_found") == 0 &&
                                        strcmp(e[i].target, "file-nothing") == 0);
    }
    assert_true(made);
    assert_true(refused_file);
    end(&r);
}

/* A 500 in place of what anybody is told would say that the guess was right. */
static void a_home_that_the_caller_names_is_answered_as_any_other_path(void **state)
{
    struct rig r;

    begin(&r, state, false);
    const char *key = key_of(&r, "proj_a", SCOPE_TRAIN, 0, 0);
    const char *home = r.t->home;
    refused(&r, call(&r, "GET", arena_printf(&r.arena, "%s/x", home), key, "", ""), 404,
            "unknown_url");
    refused(&r, call(&r, "GET", "/nowhere/at/all", key, "", ""), 404, "unknown_url");
    refused(&r,
            call(&r, "POST", "/v1/uploads", key, "Content-Type: application/json\r\n",
                 arena_printf(&r.arena,
                              "{\"filename\":\"a\",\"mime_type\":\"b\",\"bytes\":1,\"purpose\":"
                              "\"%s/\"}",
                              home)),
            400, "invalid_value");
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(a_key_is_asked_for_and_never_told),
        ON_SQLITE(a_home_that_the_caller_names_is_answered_as_any_other_path),
        ON_SQLITE(a_revoked_key_is_forgotten),
        ON_SQLITE(scopes_hold),
        ON_SQLITE(organisations_and_projects),
        ON_SQLITE(anothers_things_are_as_none),
        ON_SQLITE(requests_a_minute),
        ON_SQLITE(requests_at_once),
        ON_SQLITE(one_after_the_other_is_never_two_at_once),
        ON_SQLITE(methods),
        ON_SQLITE(paths),
        ON_SQLITE(without_a_key_on_this_machine_alone),
        ON_BOTH(what_is_done_is_written_down),
    };

    return cmocka_run_group_tests(tests, NULL, postgres_stop);
}
