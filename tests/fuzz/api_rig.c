#include "api_rig.h"
#include "fuzz.h"

#include "base/file.h"
#include "base/http.h"
#include "base/sha256.h"
#include "base/size.h"
#include "base/utf8.h"
#include "server/api_internal.h"
#include "server/http_multipart.h"
#include "server/http_query.h"
#include "server/runner.h"
#include "server/webhook.h"
#include "server/webhook_sender.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* ---- one of everything ---- */

#define KEY "sk-admin-fuzzfuzzfuzzfuzzfuzzfuzzfuzzfuzzfuzzfuzz"
#define FILE_TEXT "{\"messages\":[{\"role\":\"user\",\"content\":\"2+2?\"}],\"answer\":\"4\"}\n"
#define PART_TEXT "ab"
#define CHAT                                                                                       \
    "{\"request\":{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"},"       \
    "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"}]}],\"tools\":null},"       \
    "\"response\":{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1,"            \
    "\"model\":\"tiny\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","            \
    "\"content\":\"Yes.\",\"tool_calls\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],"    \
    "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1,\"total_tokens\":2}},"                 \
    "\"metadata\":{\"team\":\"bio\"}}"
#define RESPONSE                                                                                                         \
    "{\"request\":{\"model\":\"tiny\",\"input\":\"Hi\",\"background\":true},\"input\":["                                 \
    "{\"type\":\"message\",\"id\":\"msg_1_i0\",\"role\":\"user\",\"status\":\"completed\","                              \
    "\"content\":[{\"type\":\"input_text\",\"text\":\"Hi\"}]}],\"response\":{\"id\":\"resp_1\","                         \
    "\"object\":\"response\",\"status\":\"completed\",\"background\":true,\"created_at\":9999999999,\"model\":\"tiny\"," \
    "\"previous_response_id\":null,\"output\":[{\"type\":\"message\",\"id\":\"msg_1_o0\","                               \
    "\"role\":\"assistant\",\"status\":\"completed\",\"content\":[{\"type\":\"output_text\","                            \
    "\"text\":\"Yes.\",\"annotations\":[],\"logprobs\":[]}]}]}}"
#define EVAL                                                                                       \
    "{\"object\":\"eval\",\"id\":\"eval_1\",\"name\":\"e\",\"created_at\":1,\"metadata\":null,"    \
    "\"data_source_config\":{\"type\":\"custom\",\"schema\":{\"type\":\"object\",\"properties\":"  \
    "{\"item\":{\"type\":\"object\"}}}},\"testing_criteria\":[{\"type\":\"string_check\","         \
    "\"name\":\"c\",\"id\":\"c-1\",\"input\":\"{{item.a}}\",\"reference\":\"x\","                  \
    "\"operation\":\"eq\"}]}"
#define RUN                                                                                         \
    "{\"run\":{\"object\":\"eval.run\",\"id\":\"evalrun_1\",\"eval_id\":\"eval_1\",\"name\":\"r\"," \
    "\"model\":\"\",\"status\":\"completed\",\"created_at\":1,\"metadata\":null,\"error\":null,"    \
    "\"result_counts\":{\"total\":1,\"passed\":1,\"failed\":0,\"errored\":0},"                      \
    "\"data_source\":{\"type\":\"jsonl\",\"source\":{\"type\":\"file_content\",\"content\":"        \
    "[{\"item\":{\"a\":\"x\"}}]}}},\"picked\":null}"
#define ITEM                                                                                       \
    "{\"item\":{\"object\":\"eval.run.output_item\",\"id\":\"outputitem_1\",\"run_id\":"           \
    "\"evalrun_1\",\"eval_id\":\"eval_1\",\"created_at\":1,\"status\":\"pass\","                   \
    "\"datasource_item_id\":0,\"datasource_item\":{\"a\":\"x\"},\"results\":[{\"name\":\"c-1\","   \
    "\"score\":1,\"passed\":true}],\"sample\":null}}"
#define FEEDBACK                                                                                   \
    "{\"object_id\":\"chatcmpl-1\",\"model\":\"tiny\",\"rating\":\"up\",\"correction\":\"No.\","   \
    "\"comment\":\"c\",\"prompt\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"tools\":null,"        \
    "\"answer\":{\"role\":\"assistant\",\"content\":\"Yes.\"},\"metadata\":null}"
#define HOOK                                                                                       \
    "{\"name\":\"n\",\"url\":\"https://example.org/x\",\"event_types\":"                           \
    "[\"fine_tuning.job.succeeded\"],\"secret\":\"whsec_MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw\"}"
#define JOB                                                                                        \
    "{\"model\":\"tiny\",\"training_file\":\"file-1\",\"method\":{\"type\":\"supervised\","        \
    "\"supervised\":{\"hyperparameters\":{\"n_epochs\":1}}},\"metadata\":{\"team\":\"bio\"},"      \
    "\"seed\":7}"
#define EVENTS                                                                                     \
    "[{\"type\":\"response.created\",\"sequence_number\":0,\"response\":{}},"                      \
    "{\"type\":\"response.completed\",\"sequence_number\":1}]"
#define JOB_EVAL                                                                                   \
    "{\"object\":\"eval\",\"id\":\"eval_2\",\"name\":\"of a job\",\"testing_criteria\":"           \
    "[{\"type\":\"string_check\",\"name\":\"g\",\"id\":\"g\",\"pass_threshold\":1}]}"
#define ROLLOUT                                                                                    \
    "{\"step\":0,\"item\":0,\"sample\":0,\"prompt\":\"2+2?\",\"answer\":\"4\","                    \
    "\"reference\":{\"a\":\"4\"},\"reward\":1,\"scores\":{\"g\":1},\"tokens\":[1,2]}\n"
#define DOCUMENT(kind, id, parent, state, body)                                                    \
    "INSERT INTO documents (kind, id, project_id, parent, state, model, body, created_at, "        \
    "updated_at, expires_at, lease_until) VALUES ('" kind "', '" id "', 'proj_1', " parent         \
    ", " state ", 'tiny', '" body "', 1, 1, 0, 0)"

static const char *const rows[] = {
    "INSERT INTO orgs (id, name, slug, created_at) VALUES ('org-1', 'O', 'o', 1)",
    "INSERT INTO projects (id, org_id, name, quota_bytes, created_at) "
    "VALUES ('proj_1', 'org-1', 'p', 0, 1), ('proj_2', 'org-1', 'q', 10, 1)",
    "INSERT INTO api_keys (id, project_id, name, hint, hash, scopes, requests_per_minute, "
    "concurrent_requests, created_at, last_used_at, revoked_at) "
    "VALUES ('key_1', 'proj_1', 'k', 'sk-...1', 'x', 2, 0, 0, 1, 0, 0)",
    "INSERT INTO invitations (id, hash, name, note, created_at, expires_at, used_at) "
    "VALUES ('invite-1', 'x', 'n', '', 1, 9999999999, 0)",
    "INSERT INTO audit (at, org_id, project_id, key_id, action, target, outcome, address) "
    "VALUES (1, 'org-1', 'proj_1', 'key_1', 'file.create', 'file-1', 'ok', '127.0.0.1')",
    "INSERT INTO files (id, project_id, filename, purpose, status, sha256, bytes, created_at, "
    "expires_at) VALUES ('file-1', 'proj_1', 'a.jsonl', 'fine-tune', 'processed', 'x', 67, 1, 0)",
    "INSERT INTO uploads (id, project_id, filename, purpose, mime_type, status, bytes, "
    "created_at, expires_at, file_expires_after) VALUES ('upload_1', 'proj_1', 'u.jsonl', "
    "'fine-tune', 'text/jsonl', 'pending', 2, 1, 9999999999, 0)",
    "INSERT INTO upload_parts (id, upload_id, sha256, bytes, created_at) "
    "VALUES ('part_1', 'upload_1', 'x', 2, 1)",
    "INSERT INTO jobs (id, project_id, method, status, model, training_file, body, resolved, "
    "fine_tuned_model, eval_id, usage, result_files, created_at, started_at, finished_at, estimated_finish, "
    "trained_tokens, seed, run_dir, lease, lease_until, attempt, tries, ask, memory_bytes, step, "
    "total_steps, model_deleted) VALUES ('ftjob-1', 'proj_1', 'supervised', 'succeeded', 'tiny', "
    "'file-1', '" JOB "', '{\"batch_size\":1}', 'ft:tiny:o::1', 'eval_1', '{\"total_tokens\":2}', "
    "'file-1', 1, 1, 2, 0, 2, 7, 'ftjob-1', 0, 0, 1, 0, '', 0, 1, 1, 0)",
    "INSERT INTO jobs (id, project_id, method, status, model, training_file, body, created_at, "
    "started_at, finished_at, estimated_finish, trained_tokens, seed, run_dir, lease, lease_until, "
    "attempt, tries, ask, memory_bytes, step, total_steps, model_deleted) VALUES ('ftjob-2', "
    "'proj_1', 'supervised', 'queued', 'tiny', 'file-1', '" JOB "', 1, 0, 0, 0, -1, 7, 'ftjob-2', "
    "0, 0, 0, 0, '', 0, 0, 0, 0)",
    "INSERT INTO events (id, job_id, level, type, message, data, created_at) VALUES "
    "('ftevent-1', 'ftjob-1', 'info', 'metrics', 'Step 1', '{\"step\":1}', 1), "
    "('ftevent-2', 'ftjob-1', 'info', 'message', 'Done', NULL, 2)",
    "INSERT INTO checkpoints (id, job_id, step, name, metrics, dir, kept, deleted, created_at) "
    "VALUES ('ftckpt_1', 'ftjob-1', 1, 'ft:tiny:o::1', '{\"step\":1,\"train_loss\":1.5}', "
    "'step-1', 1, 0, 1)",
    "INSERT INTO permissions (id, checkpoint, owner_id, project_id, created_at) "
    "VALUES ('cp_1', 'ft:tiny:o::1', 'proj_1', 'proj_2', 1)",
    DOCUMENT("chat.completion", "chatcmpl-1", "NULL", "NULL", CHAT),
    DOCUMENT("response", "resp_1", "NULL", "'completed'", RESPONSE),
    DOCUMENT("eval", "eval_1", "NULL", "NULL", EVAL),
    DOCUMENT("eval.run", "evalrun_1", "'eval_1'", "'completed'", RUN),
    DOCUMENT("eval.run.output_item", "outputitem_1", "'evalrun_1'", "'pass'", ITEM),
    DOCUMENT("feedback", "feedback_1", "NULL", "'chatcmpl-1'", FEEDBACK),
    DOCUMENT("webhook_endpoint", "whe_1", "NULL", "NULL", HOOK),
    DOCUMENT("response.events", "respev_1", "'resp_1'", "NULL", EVENTS),
    DOCUMENT("eval", "eval_2", "'ftjob-1'", "NULL", JOB_EVAL),
    "INSERT INTO labels (kind, id, label_key, value, project_id, seq) "
    "VALUES ('chat.completion', 'chatcmpl-1', 'team', 'bio', 'proj_1', 1)",
};

static struct store *store;
static struct api *api;
static struct arena kept; /* the process's */
static const char *home;

static bool add_rows(struct db *db, void *ctx, struct error *err)
{
    const struct sha256_text hash = sha256_of(KEY, strlen(KEY));
    const struct db_value key[] = {db_text(hash.hex)};

    (void)ctx;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (!db_run(db, rows[i], NULL, 0, NULL, NULL, NULL, err))
            return false;
    return db_run(db,
                  "INSERT INTO api_keys (id, project_id, name, hint, hash, scopes, "
                  "requests_per_minute, concurrent_requests, created_at, last_used_at, revoked_at) "
                  "VALUES ('key_2', 'proj_1', 'a', 'sk-...2', ?1, 4, 0, 0, 1, 0, 0)",
                  key, 1, NULL, NULL, NULL, err);
}

/* ---- and all of it again ---- */

#define MOST_TABLES 64
static const char *tables[MOST_TABLES]; /* parents first */
static size_t n_tables;

static bool note_table(void *ctx, const struct db_row *row, struct error *err)
{
    (void)ctx;
    (void)err;
    check(n_tables < MOST_TABLES);
    tables[n_tables++] = db_row_text(row, 0, &kept);
    return true;
}

static bool copy_rows(struct db *db, void *ctx, struct error *err)
{
    (void)ctx;
    if (!db_run(db,
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' "
                "AND name <> 'identity' AND name <> 'schema_migrations' ORDER BY rowid",
                NULL, 0, note_table, NULL, NULL, err))
        return false;
    for (size_t i = 0; i < n_tables; i++)
        if (!db_run(db,
                    arena_printf(&kept, "CREATE TABLE kept_%s AS SELECT * FROM %s", tables[i],
                                 tables[i]),
                    NULL, 0, NULL, NULL, NULL, err))
            return false;
    return true;
}

static bool put_back(struct db *db, void *ctx, struct error *err)
{
    struct arena *a = ctx;

    for (size_t i = n_tables; i > 0; i--)
        if (!db_run(db, arena_printf(a, "DELETE FROM %s", tables[i - 1]), NULL, 0, NULL, NULL, NULL,
                    err))
            return false;
    for (size_t i = 0; i < n_tables; i++)
        if (!db_run(db,
                    arena_printf(a, "INSERT INTO %s SELECT * FROM kept_%s", tables[i], tables[i]),
                    NULL, 0, NULL, NULL, NULL, err))
            return false;
    return true;
}

static void put_files(void)
{
    struct arena a = {0};
    struct error err = {0};
    const char *files = file_join(&a, home, "files"), *parts = file_join(&a, files, "uploads"),
               *rollouts = file_join(&a, home, "runs/ftjob-1/rollouts");

    must(file_remove_tree(files, &err) && file_make_dirs(file_join(&a, parts, "upload_1"), &err) &&
             file_make_dirs(rollouts, &err) &&
             file_put(file_join(&a, rollouts, "valid-0.jsonl"), STR(ROLLOUT), &err) &&
             file_put(file_join(&a, files, "file-1"), STR(FILE_TEXT), &err) &&
             file_put(file_join(&a, file_join(&a, parts, "upload_1"), "part_1"), STR(PART_TEXT),
                      &err),
         &err);
    arena_release(&a);
}

void api_rig_restore(void)
{
    struct arena a = {0};
    struct error err = {0};

    must(db_write(store_db(store), put_back, &a, &err), &err);
    put_files();
    api_forget_keys(api);
    arena_release(&a);
}

struct setting {
    const char *sql;
    struct db_value value;
    int64_t row;
};

static bool set_value(struct db *db, void *ctx, struct error *err)
{
    const struct setting *s = ctx;
    const struct db_value params[] = {s->value, db_int(s->row)};

    return db_run(db, s->sql, params, COUNT_OF(params), NULL, NULL, NULL, err);
}

static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((s.ptr[i] < 'a' || s.ptr[i] > 'z') && s.ptr[i] != '_')
            return false;
    return s.len > 0 && s.len < 40;
}

bool api_rig_set(struct str table, struct str column, int64_t row, struct db_value value)
{
    struct arena a = {0};
    struct error err = {0};
    bool known = false;

    for (size_t i = 0; i < n_tables; i++)
        known = known || str_is(table, tables[i]);
    if (!known || !is_name(column) || str_is(column, "seq"))
        return false;
    const struct setting s = {
        .sql = arena_printf(&a,
                            "UPDATE %.*s SET %.*s = ?1 WHERE rowid = "
                            "(SELECT rowid FROM %.*s ORDER BY rowid LIMIT 1 OFFSET ?2)",
                            (int)table.len, table.ptr, (int)column.len, column.ptr, (int)table.len,
                            table.ptr),
        .value = value,
        .row = row};
    const bool ok = db_write(store_db(store), set_value, (void *)(uintptr_t)&s, &err);
    arena_release(&a);
    return ok;
}

/* ---- opening ---- */

static void let_go(void)
{
    api_stop(api);
    api_close(api);
    store_close(store);
    arena_release(&kept);
}

void api_rig_open(void)
{
    struct error err = {0};

    if (api != NULL)
        return;
    home = fuzz_dir();
    const char *models = file_join(&kept, home, "models");
    must(file_make_dirs(models, &err), &err);
    check(symlink(TEST_DIR "/golden/tiny/hf", file_join(&kept, models, "tiny")) == 0);
    const struct store_options so = {.home = home, .n_connections = 4};
    must(store_open(&so, &store, &err), &err);
    must(db_write(store_db(store), add_rows, NULL, &err), &err);
    must(db_write(store_db(store), copy_rows, NULL, &err), &err);
    put_files();
    const struct api_options ao = {
        .store = store, .home = home, .python = "/nonexistent/python", .quiet = true};
    must(api_open(&ao, &api, &err), &err);
    runner_stop(api->runner); /* nobody works on what an input puts there */
    atexit(let_go);
}

/* ---- an exchange ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all below */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct http_exchange *now;
static bool answered, streams, telling;
static pthread_t teller;
static void (*gone)(void *ctx, struct http_exchange *x);
static void *gone_ctx;
static int status;
static struct buf answer;
static bool answer_is_json;

static void check_headers(const struct http_pair *headers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        check(http_is_token(headers[i].name) && headers[i].value.len < 4096);
        for (size_t k = 0; k < headers[i].value.len; k++)
            check((unsigned char)headers[i].value.ptr[k] >= ' ' && headers[i].value.ptr[k] != 0x7f);
    }
}

static bool is_json(const char *content_type)
{
    return content_type != NULL && strcmp(content_type, "application/json") == 0;
}

/* Who is told that the client has left is through with it first. Under the lock, which is let go meanwhile. */
static void await_teller(void)
{
    while (telling && !pthread_equal(teller, pthread_self()))
        pthread_cond_wait(&changed, &lock);
}

static void end_exchange(struct http_exchange *x, int with)
{
    api_answered(api, x);
    pthread_mutex_lock(&lock);
    await_teller();
    check(x == now && !answered && with >= 200 && with <= 599);
    status = with;
    answered = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

void http_answer(struct http_exchange *x, int with, const char *content_type, struct str body,
                 const struct http_pair *headers, size_t n_headers)
{
    check_headers(headers, n_headers);
    check(!streams);
    answer_is_json = is_json(content_type);
    buf_str(&answer, body);
    end_exchange(x, with);
}

void http_answer_file(struct http_exchange *x, const char *path, const char *content_type,
                      const struct http_pair *headers, size_t n_headers)
{
    check_headers(headers, n_headers);
    check(!streams && content_type != NULL && str_starts(str_of(path), str_of(home)) &&
          strstr(path, "..") == NULL);
    end_exchange(x, file_exists(path) ? 200 : 404);
}

void http_keep(struct http_exchange *x, void (*fn)(void *ctx, struct http_exchange *x), void *ctx)
{
    (void)ctx;
    (void)fn; /* its client stays */
    check(x == now);
}

void http_stream_begin(struct http_exchange *x, const struct http_stream_options *opt)
{
    check_headers(opt->headers, opt->n_headers);
    pthread_mutex_lock(&lock);
    check(x == now && !answered && !streams);
    streams = true;
    gone = opt->gone;
    gone_ctx = opt->ctx;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

bool http_stream_put(struct http_exchange *x, struct str bytes)
{
    check(x == now && streams && utf8_valid(bytes) == bytes.len);
    return true;
}

void http_stream_end(struct http_exchange *x)
{
    end_exchange(x, 200);
}

void http_stream_end_with(struct http_exchange *x, struct str last)
{
    (void)http_stream_put(x, last);
    end_exchange(x, 200);
}

size_t http_stream_waiting(struct http_exchange *x)
{
    (void)x;
    return 0;
}

int http_server_port(const struct http_server *s)
{
    (void)s;
    return 0;
}

struct http_counts http_server_counts(struct http_server *s)
{
    (void)s;
    return (struct http_counts){0};
}

/* The client leaves a stream as soon as it is open; any other answer it waits for. */
static void await_answer(struct http_exchange *x)
{
    pthread_mutex_lock(&lock);
    while (!answered && !streams)
        pthread_cond_wait(&changed, &lock);
    if (!answered && gone != NULL) {
        telling = true;
        teller = pthread_self();
        pthread_mutex_unlock(&lock);
        gone(gone_ctx, x);
        pthread_mutex_lock(&lock);
        telling = false;
        pthread_cond_broadcast(&changed);
    }
    while (!answered)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

/* ---- nothing is sent to webhooks ---- */

bool webhook_sender_open(const struct webhook_sender_options *opt, struct webhook_sender **out,
                         struct error *err)
{
    (void)opt;
    (void)err;
    *out = NULL;
    return true;
}

void webhook_sender_close(struct webhook_sender *w)
{
    (void)w;
}

/* All that is read of an endpoint is read. */
bool webhook_send(struct webhook_sender *w, const json_t *endpoint, const char *event_id,
                  struct str body, struct arena *a, int *got, struct error *err)
{
    const char *url = json_string_value(json_object_get(endpoint, "url")), *signature;

    (void)w;
    (void)got;
    check(store_id_is(str_of(event_id), "evt_") && utf8_valid(body) == body.len);
    if (url == NULL)
        return fail(err, ERR_CORRUPT, "the webhook endpoint has no address");
    if (!webhook_signature(endpoint, event_id, 1, body, 1, a, &signature, err))
        return false;
    return http_check_header("webhook-signature", signature, "", err) &&
           fail(err, ERR_IO, "nobody listens there");
}

/* ---- a call ---- */

struct form {
    struct http_exchange *x;
    const struct http_plan *plan;
    struct buf bytes;
};

static struct str copied(struct arena *a, struct str s)
{
    return s.ptr == NULL ? s : arena_str(a, s);
}

static bool begin_part(void *ctx, const struct multipart_head *head, struct error *err)
{
    struct form *f = ctx;
    struct arena *a = &f->x->arena;
    struct http_part *p;

    if (f->x->n_parts == 16)
        return fail(err, ERR_LIMIT, "the form has more than 16 parts");
    p = &f->x->parts[f->x->n_parts++];
    *p = (struct http_part){.name = copied(a, head->name),
                            .filename = copied(a, head->filename),
                            .content_type = copied(a, head->content_type)};
    buf_clear(&f->bytes);
    if (head->filename.ptr != NULL)
        p->path = f->plan->incoming(api, f->x, err);
    return head->filename.ptr == NULL || p->path != NULL;
}

static bool part_data(void *ctx, struct str bytes, struct error *err)
{
    (void)err;
    buf_str(&((struct form *)ctx)->bytes, bytes);
    return true;
}

static bool end_part(void *ctx, struct error *err)
{
    struct form *f = ctx;
    struct http_part *p = &f->x->parts[f->x->n_parts - 1];
    const struct str s = buf_view(&f->bytes);

    p->bytes = s.len;
    p->value = p->path == NULL ? arena_str(&f->x->arena, s) : (struct str){0};
    p->sha256 = arena_text(&f->x->arena, str_of(sha256_of(s.ptr, s.len).hex));
    return p->path == NULL || file_put(p->path, s, err);
}

/* False: http_body.c would have refused it. */
static bool take_form(struct http_exchange *x, const struct http_plan *plan, struct str body)
{
    struct form f = {.x = x, .plan = plan};
    const struct multipart_sink sink = {
        .ctx = &f, .begin = begin_part, .data = part_data, .end = end_part};
    struct multipart *m = multipart_new(&x->arena, STR("b"), &sink);
    struct error err = {0};

    buf_init(&f.bytes, 1 << 20);
    x->parts = ARENA_ARRAY(&x->arena, struct http_part, 16);
    const bool ok = multipart_feed(m, body, &err) && multipart_finish(m, &err);
    multipart_release(m);
    buf_release(&f.bytes);
    return ok;
}

static void run_call(struct http_exchange *x, struct str body)
{
    struct http_plan plan = {0};

    if (api_begin(api, x, &plan)) {
        check(!answered);
        if (plan.body == HTTP_BODY_MULTIPART && !take_form(x, &plan, body)) {
            http_answer(x, 400, NULL, (struct str){0}, NULL, 0);
            return;
        }
        x->body = plan.body == HTTP_BODY_MEMORY ? body : (struct str){0};
        api_handle(api, x);
    }
    await_answer(x);
}

static void release_json(void *v)
{
    json_decref(v);
}

static void look(struct arena *a, struct api_answer *out)
{
    struct error err = {0};

    *out = (struct api_answer){.status = status};
    if (!answer_is_json)
        return;
    must(json_parse(buf_view(&answer), "the answer", &out->json, &err), &err);
    arena_defer(a, release_json, out->json);
    if (status < 400)
        return;
    const json_t *e = json_object_get(out->json, "error"), *param = json_object_get(e, "param");
    check(json_string_length(json_object_get(e, "message")) > 0 &&
          json_is_string(json_object_get(e, "type")) &&
          (json_is_string(param) || json_is_null(param)));
}

void api_rig_call(enum http_method method, struct str target, struct str body, struct arena *a,
                  struct api_answer *out)
{
    struct http_pair headers[] = {{STR("host"), STR("127.0.0.1")},
                                  {STR("authorization"), STR("Bearer " KEY)}};
    struct http_exchange x = {.method = method,
                              .method_name = method == HTTP_GET    ? STR("GET")
                                             : method == HTTP_POST ? STR("POST")
                                                                   : STR("DELETE"),
                              .headers = headers,
                              .n_headers = COUNT_OF(headers),
                              .address = "127.0.0.1",
                              .loopback = true,
                              .request_id = "req_1"};
    struct str query;

    *out = (struct api_answer){.status = 400};
    if (!http_split_target(target, &x.path, &query) || x.path.ptr[0] != '/' ||
        !http_split_query(query, 16, &x.arena, &x.query, &x.n_query)) {
        arena_release(&x.arena); /* http_head.c would have refused it */
        return;
    }
    now = &x;
    answered = streams = answer_is_json = false;
    gone = NULL;
    buf_init(&answer, (size_t)64 << 20);
    run_call(&x, body);
    look(a, out);
    for (size_t i = 0; i < x.n_parts; i++)
        if (x.parts[i].path != NULL)
            unlink(x.parts[i].path);
    api_done(api, &x, status, answer.len);
    buf_release(&answer);
    arena_release(&x.arena);
}

bool api_rig_line(struct str line, enum http_method *method, struct str *target)
{
    static const struct {
        const char *name;
        enum http_method method;
    } known[] = {{"GET ", HTTP_GET}, {"POST ", HTTP_POST}, {"DELETE ", HTTP_DELETE}};

    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (str_starts(line, str_of(known[i].name))) {
            *method = known[i].method;
            *target = str_from(line, strlen(known[i].name));
            return target->len > 0;
        }
    return false;
}
