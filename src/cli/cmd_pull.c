/*
 * cmd_pull.c - a model of the hub or of an address is put into the store.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/size.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "job/pull.h"
#include "model/encoder.h"
#include "model/model_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#define HUB "https://huggingface.co"
#define TERMINAL_SECONDS 0.2
#define JSON_SECONDS 1.0
#define LOG_SECONDS 15.0

struct teller {
    bool json, terminal, shown;
    double told; /* when progress was */
};

/* ---- what is told on the way ---- */

static void put_size(struct buf *b, double bytes)
{
    if (bytes < 1e6)
        buf_printf(b, "%.1f kB", bytes / 1e3);
    else if (bytes < 1e8)
        buf_printf(b, "%.1f MB", bytes / 1e6);
    else
        put_bytes(b, bytes);
}

static json_t *items_json(const struct pull_news *news)
{
    json_t *list = json_array();

    for (size_t i = 0; i < news->n_items; i++)
        json_array_append_new(list, json_pack("{s:s, s:I}", "name", news->items[i].name,
                                              "size_bytes", (json_int_t)news->items[i].size_bytes));
    return list;
}

static json_t *event_json(const struct pull_news *news)
{
    const json_int_t bytes = (json_int_t)news->bytes, total = (json_int_t)news->total_bytes;

    switch (news->event) {
    case PULL_CHOICES:
        return json_pack("{s:s, s:o}", "event", "choices", "files", items_json(news));
    case PULL_PLAN:
        return json_pack("{s:s, s:o, s:I, s:I}", "event", "plan", "files", items_json(news),
                         "bytes", bytes, "total_bytes", total);
    case PULL_PROGRESS:
        return json_pack(
            "{s:s, s:I, s:I, s:I, s:o}", "event", "progress", "bytes", bytes, "total_bytes", total,
            "bytes_per_second", (json_int_t)news->bytes_per_s, "seconds_left",
            news->seconds_left < 0 ? json_null() : json_integer((json_int_t)news->seconds_left));
    case PULL_CHECKED:
        return json_pack("{s:s, s:s}", "event", "file", "name", news->name);
    case PULL_WAITS:
        break;
    }
    return json_pack("{s:s, s:s}", "event", "waits", "message", news->text);
}

static void put_progress(struct buf *b, const struct pull_news *news)
{
    put_size(b, (double)news->bytes);
    buf_text(b, " of ");
    put_size(b, (double)news->total_bytes);
    if (news->bytes == news->total_bytes) {
        buf_text(b, ", checking");
    } else if (news->bytes_per_s > 0) {
        buf_text(b, ", ");
        put_size(b, news->bytes_per_s);
        buf_text(b, "/s, ");
        put_seconds(b, news->seconds_left);
        buf_text(b, " left");
    }
}

static void put_event(struct buf *b, const struct pull_news *news)
{
    switch (news->event) {
    case PULL_CHOICES:
        for (size_t i = 0; i < news->n_items; i++) {
            buf_text(b, i > 0 ? "\n  " : "  ");
            put_visible(b, str_of(news->items[i].name));
            buf_text(b, "  ");
            put_size(b, (double)news->items[i].size_bytes);
        }
        break;
    case PULL_PLAN:
        buf_printf(b, "%zu file%s, ", news->n_items, news->n_items == 1 ? "" : "s");
        put_size(b, (double)news->total_bytes);
        if (news->bytes > 0) {
            buf_text(b, ", of which ");
            put_size(b, (double)news->bytes);
            buf_text(b, " are there");
        }
        break;
    case PULL_PROGRESS:
        put_progress(b, news);
        break;
    case PULL_CHECKED:
        put_visible(b, str_of(news->name));
        buf_text(b, " is there");
        break;
    case PULL_WAITS:
        put_visible(b, str_of(news->text));
        buf_text(b, "; trying again");
        break;
    }
}

/* Whether it is time for another line of progress. */
static bool is_due(struct teller *t)
{
    const double now = clock_seconds();
    const double every = t->json ? JSON_SECONDS : t->terminal ? TERMINAL_SECONDS : LOG_SECONDS;

    if (now < t->told + every)
        return false;
    t->told = now;
    return true;
}

static void on_news(void *ctx, const struct pull_news *news)
{
    struct teller *t = ctx;
    const bool progress = news->event == PULL_PROGRESS;
    struct error ignored;
    struct buf b;

    if (progress && !is_due(t))
        return;
    if (t->json) {
        (void)!out_json_new(event_json(news), &ignored);
        return;
    }
    buf_init(&b, 1 << 22);
    put_event(&b, news);
    if (b.len > 0)
        fprintf(stderr, "%s%s" STR_FMT "%s", t->shown ? "\r\033[K" : "",
                t->terminal || news->event == PULL_CHOICES ? "" : "hone: ", STR_ARG(buf_view(&b)),
                progress && t->terminal ? "" : "\n");
    fflush(stderr);
    t->shown = progress && t->terminal;
    buf_release(&b);
}

/* ---- what hone can use ---- */

static bool on_check(void *ctx, const char *path, bool whole, struct error *err)
{
    struct arena a = {0};
    struct model_config config;
    const struct family *family;
    struct model_kind kind;
    json_t *root = NULL;
    bool ok;

    (void)ctx;
    if (whole) {
        ok = model_store_opens(path, &kind, err);
    } else {
        ok = json_read_file(file_join(&a, path, "config.json"), &root, err) &&
             (str_is(json_str(json_object_get(root, "model_type")), "bert") ||
              config_from_json(root, "config.json", &config, &family, err));
        json_decref(root);
    }
    arena_release(&a);
    return ok || fail_while(err, whole ? "opening what was fetched"
                                       : "looking whether hone can use this model");
}

/* ---- the command ---- */

/* A variable that is set to something, or NULL. */
static const char *variable(const char *name, struct arena *a)
{
    const struct str s = str_trim(str_of(getenv(name)), STR_SPACE);

    return s.len > 0 ? arena_text(a, s) : NULL;
}

static bool is_yes(const char *text)
{
    static const char *const yes[] = {"1", "on", "yes", "true"};

    for (size_t i = 0; text != NULL && i < COUNT_OF(yes); i++)
        if (strcasecmp(text, yes[i]) == 0)
            return true;
    return false;
}

static bool tell_result(struct cli *c, const struct pull_result *r, struct error *err)
{
    struct buf size;

    if (c->json)
        return out_json_new(json_pack("{s:s, s:s, s:s, s:s*, s:I, s:I, s:I, s:b, s:b}", "id",
                                      r->name, "object", "model", "path", r->place, "revision",
                                      r->revision, "n_files", (json_int_t)r->n_files, "size_bytes",
                                      (json_int_t)r->size_bytes, "fetched_bytes",
                                      (json_int_t)r->fetched_bytes, "verified", r->verified,
                                      "was_there", r->was_there),
                            err);
    buf_init(&size, 128);
    put_size(&size, (double)r->size_bytes);
    const bool ok =
        out_printf(err, "%s %s: %s (%s%s%s%s; %s)\n", r->name,
                   r->was_there ? "is there already" : "is in the store", r->place, size.ptr,
                   r->revision != NULL ? ", revision " : "", r->revision != NULL ? r->revision : "",
                   r->was_there ? ", nothing was fetched" : "",
                   r->verified ? "every hash is the one that the hub tells"
                               : "its server tells no hash: the length is right, and it opens");
    buf_release(&size);
    return ok;
}

#define MAX_TOKEN_BYTES 4096

/* Where huggingface_hub keeps what `hf auth login` was given. */
static const char *token_path(struct arena *a)
{
    const char *path = variable("HF_TOKEN_PATH", a), *home = variable("HF_HOME", a),
               *cache = variable("XDG_CACHE_HOME", a), *user = variable("HOME", a);

    if (path == NULL && home != NULL)
        path = file_join(a, home, "token");
    if (path == NULL && cache != NULL)
        path = file_join(a, cache, "huggingface/token");
    if (path == NULL)
        path = "~/.cache/huggingface/token";
    return path[0] == '~' && path[1] == '/' && user != NULL ? file_join(a, user, path + 2) : path;
}

/* As huggingface_hub: a variable, else the file, and none where that is said. *out stays NULL where there is none. */
static bool hub_token(struct arena *a, const char **out, const char **from, struct error *err)
{
    static const char *const names[] = {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"};
    struct str text;
    struct buf b;

    if (is_yes(variable("HF_HUB_DISABLE_IMPLICIT_TOKEN", a)))
        return true;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        *from = names[i];
        if ((*out = variable(names[i], a)) != NULL)
            return true;
    }
    *from = token_path(a);
    if (!file_exists(*from))
        return true;
    if (!file_read(*from, MAX_TOKEN_BYTES, a, &text, err))
        return fail_while(err, "reading the hub's token (HF_HUB_DISABLE_IMPLICIT_TOKEN=1 goes "
                               "without one)");
    buf_init(&b, MAX_TOKEN_BYTES + 1);
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != '\r' && text.ptr[i] != '\n')
            buf_char(&b, text.ptr[i]);
    const struct str token = str_trim(buf_view(&b), STR_SPACE);
    if (token.len > 0)
        *out = arena_text(a, token);
    buf_release(&b);
    return true;
}

static bool run(struct cli *c, struct error *err)
{
    const char *token = NULL, *token_from = NULL;
    struct teller t = {.json = c->json, .terminal = !c->json && isatty(2) == 1};
    const char *endpoint = variable("HF_ENDPOINT", c->arena);

    if (!hub_token(c->arena, &token, &token_from, err))
        return false;
    const struct pull_request rq = {
        .home = c->home,
        .source = c->options->args[0],
        .file = option_text(c->options, OPT_FILE),
        .name = option_text(c->options, OPT_NAME),
        .endpoint = endpoint != NULL ? endpoint : HUB,
        .token = token,
        .token_from = token_from,
        .offline = is_yes(variable("HF_HUB_OFFLINE", c->arena)),
        .n_connections = (size_t)option_int(c->options, OPT_CONNECTIONS),
        .piece_bytes = (uint64_t)option_int(c->options, OPT_PIECE),
        .stop = c->stop,
        .tell = on_news,
        .check = on_check,
        .ctx = &t,
    };
    struct pull_result r;

    t.told = t.terminal || t.json ? 0 : clock_seconds();
    const bool ok = pull(&rq, c->arena, &r, err);
    if (t.shown)
        fputs("\r\033[K", stderr);
    return ok && tell_result(c, &r, err);
}

static const enum option_id ids[] = {OPT_FILE, OPT_NAME, OPT_CONNECTIONS, OPT_PIECE, OPT_HOME};

const struct command cmd_pull = {
    .set =
        {.command = "pull",
         .args = "ORG/NAME[@REVISION] | URL",
         .min_args = 1,
         .max_args = 1,
         .summary = "fetch a model from the Hugging Face hub or an address into the store",
         .details =
             "Of a repository what hone needs is fetched: the safetensors with config, tokenizer "
             "and template, or one GGUF file. URL is that of a .gguf file or of a folder with "
             "config.json. What is fetched is checked by the hub's hashes, and is in the store only "
             "when all of it is there. After a break or Ctrl-C the same call goes on from what is "
             "there. HF_ENDPOINT names another hub, HF_TOKEN, or what hf auth login keeps, is for gated "
             "and private models and sent to the hub's own host alone; with HF_HUB_OFFLINE=1 nothing is fetched.",
         .examples = "  hone pull HuggingFaceTB/SmolLM2-135M-Instruct\n"
                     "  hone pull bartowski/SmolLM2-135M-Instruct-GGUF --file Q8_0\n"
                     "  hone pull https://example.org/models/x.gguf --name x\n",
         .ids = ids,
         .n_ids = COUNT_OF(ids)},
    .run = run,
};
