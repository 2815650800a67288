/*
 * engine_request_fuzz.c - any bytes as the body of a request in the engine process ('c' chat, 'n' a count of its tokens, 'p' a
 * completion, 'e' vectors, 's' what tokens are worth; in capitals: streamed): refused by a sentence, answered at once by lines that the server understands, or in parts
 * that the engine can run. 'l': any lines from the server, told to a whole host.
 */
#include "fuzz.h"

#include "base/limits.h"
#include "server/engine_host_internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct host host = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
static struct base base = {.host = &host};
static struct tuned tuned;

static void open_models(void)
{
    struct error err = {0};

    if (base.model != NULL)
        return;
    check(model_open(TEST_DIR "/golden/tiny/hf", 0, &base.model, &err) &&
          prompter_open(base.model, NULL, &tuned.prompter, &err) &&
          encoder_open(TEST_DIR "/golden/encoder/cls", &base.encoder, &err));
    host.poke = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    buf_init(&host.outbox, (size_t)1 << 30);
}

/* ---- one request ---- */

/* What was told: lines with the request's number, no more than one of them its last. */
static size_t read_events(void)
{
    const struct str all = buf_view(&host.outbox);
    size_t n_last = 0;

    for (size_t at = 0; at < all.len;) {
        const size_t end = str_find(all, STR("\n"), at);
        struct wire_message m = {0};
        struct error err = {0};

        check(end < all.len && wire_read((struct str){all.ptr + at, end - at}, &m, &err));
        check(m.kind == WIRE_FIGURES || (m.kind == WIRE_EVENT && m.id == 1));
        n_last += m.kind == WIRE_EVENT && wire_is_last(m.event);
        wire_message_release(&m);
        at = end + 1;
    }
    return n_last;
}

static void check_part(const struct part *p)
{
    const struct sample_request *s = &p->sample;

    check(s->n_prompt >= 1 && s->n_samples >= 1 && s->n_samples <= 128 && p->events != NULL);
    check(s->n_prompt + s->max_tokens <= base.model->max_positions);
    for (size_t i = 0; i < s->n_prompt; i++)
        check(s->prompt[i] >= 0 && (size_t)s->prompt[i] < base.model->config.vocab);
    for (size_t i = 0; i < s->n_stop; i++)
        check(s->stop[i].len > 0);
}

static void check_drawn(const struct drawn_tokens *d)
{
    check(d->n_prompt >= 1 && d->n_prompt < d->n && d->n <= base.model->max_positions);
    check(d->inv_t > 0);
    for (size_t i = 0; i < d->n; i++)
        check(d->ids[i] >= 0 && (size_t)d->ids[i] < base.model->config.vocab);
}

static void request(enum engine_op op, bool stream, struct str body)
{
    struct request r = {.host = &host, .base = &base, .body = body, .tuned = &tuned};
    struct error err = {0};

    r.lead = (struct wire_message){.kind = WIRE_ASK,
                                   .id = 1,
                                   .op = op,
                                   .stream = stream,
                                   .model = {.name = "tiny", .path = "tiny"}};
    buf_clear(&host.outbox);
    if (!request_read(&r, &err)) {
        check(err.kind != ERR_NONE && err.message[0] != '\0');
        request_tell_error(&r, &err); /* as its base does */
        r.n_parts = 0;
    }
    check(read_events() == (r.n_parts == 0));
    if (op == ENGINE_SCORE && r.n_parts > 0)
        check_drawn(&r.drawn);
    for (size_t i = 0; op != ENGINE_SCORE && i < r.n_parts; i++)
        check_part(&r.parts[i]);
    request_release(&r);
    json_decref(r.tree);
    arena_release(&r.arena);
}

/* ---- a host ---- */

/* Whether no line asks for a model that may be there: files of this machine are none of a fuzzer's. */
static bool opens_nothing(struct str lines)
{
    bool ok = true;

    for (size_t at = 0; ok && at < lines.len;) {
        const size_t end = str_find(lines, STR("\n"), at);
        struct wire_message m = {0};
        struct error err = {0};

        if (wire_read((struct str){lines.ptr + at, end - at}, &m, &err)) {
            ok = m.kind != WIRE_ASK || strcmp(m.model.path, "/nonexistent") == 0;
            wire_message_release(&m);
        }
        at = end + 1;
    }
    return ok;
}

static void lines_to_host(struct str lines)
{
    const struct engine_host_options opt = {0};
    struct error err = {0};
    int pair[2];

    if (lines.len > 4096 || !opens_nothing(lines))
        return;
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    check(lines.len == 0 || write(pair[0], lines.ptr, lines.len) == (ssize_t)lines.len);
    check(shutdown(pair[0], SHUT_WR) == 0);
    if (!engine_host_run(pair[1], &opt, &err))
        check(err.kind != ERR_NONE && err.message[0] != '\0');
    close(pair[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct {
        char name;
        enum engine_op op;
    } known[] = {{'c', ENGINE_CHAT},
                 {'n', ENGINE_COUNT},
                 {'p', ENGINE_COMPLETE},
                 {'e', ENGINE_EMBED},
                 {'s', ENGINE_SCORE}};

    if (size < 1 || size > 8192)
        return 0;
    const struct str rest = {(const char *)data + 1, size - 1};
    open_models();
    if (data[0] == 'l')
        lines_to_host(rest);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (tolower(data[0]) == known[i].name)
            request(known[i].op, isupper(data[0]) != 0, rest);
    return 0;
}
