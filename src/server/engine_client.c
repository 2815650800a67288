/*
 * engine_client.c - one thread keeps the process alive, writes what was asked, and tells what is answered.
 *
 *     ask ---> outbox ---> [ the client's thread ] <---> socket <---> hone engine
 *                                 |
 *                                 '--> listeners
 *
 * The process is this thread's child: it starts it, so that the kernel ends the one with the other (PR_SET_PDEATHSIG looks at
 * the thread), and waits for it by its number, for the program has other children.
 *
 * After a death all open requests are asked anew. Events of one choice come in a fixed order, whatever else is computed, so
 * counting them a choice says which were told already.
 */
#include "server/engine_client.h"
#include "base/clock.h"
#include "base/condition.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/size.h"
#include "base/utf8.h"
#include "server/engine_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENGINE_FD 3       /* where the process finds its socket */
#define MOST_DEATHS 2     /* that one request may be part of */
#define LONGEST_PAUSE 5.0 /* seconds between two starts */
#define PATIENCE 5.0      /* seconds that the process has to end by itself */
#define N_FIXED 12        /* arguments of the process but extra */
#define DEFAULT_MAX_OPEN ((size_t)256)

/* One request, from asking to its last event. */
struct asked {
    struct asked *next;
    uint64_t ticket;
    struct engine_listener listener;
    struct buf lines; /* as sent, and sent again */
    bool sent;        /* to the process that runs now */
    bool left;        /* cancelled from within its own event, or while it was told one */
    bool over;        /* its last event is being told: it counts as open no more */
    int deaths;
    uint32_t
        *told; /* [n_slots] events told: of slot 0 those of the whole, of 1 + i those of choice i */
    uint32_t *come; /* [n_slots] events that came from the process that runs now */
    size_t n_slots;
};

struct engine_client {
    struct engine_client_options opt;
    char *program;
    char **argv, **environ;
    int wake; /* an eventfd: there is something in the outbox, or it is time to end */
    pthread_t thread;
    bool has_thread;

    pthread_mutex_t lock; /* guards all below, and every struct asked */
    pthread_cond_t changed;
    struct asked *first, **last;
    size_t n_open, held_bytes;
    uint64_t next_ticket;
    struct buf
        outbox; /* for the process that runs; empty while none does: start() asks all that is open */
    struct asked *telling; /* whose listener is called at this moment */
    bool started, closing;
    struct error start_error;
    struct engine_figures now, before; /* of the process that runs, and of all before it */
    uint64_t n_starts, n_asked;
    bool alive;

    /* the thread's own */
    struct wire wire;
    pid_t pid;
    int quick_deaths; /* one after the other, with nothing answered between */
    double start_at;  /* not before */
};

static void poke(const struct engine_client *c)
{
    const uint64_t one = 1;

    if (write(c->wake, &one, sizeof one) < 0)
        return; /* full: it is awake */
}

/* ---- requests ---- */

static struct asked *find(struct engine_client *c, uint64_t ticket)
{
    struct asked *r = c->first;

    while (r != NULL && r->ticket != ticket)
        r = r->next;
    return r;
}

static void asked_free(struct asked *r)
{
    buf_release(&r->lines);
    free(r->told);
    free(r->come);
    free(r);
}

/* Under the lock. */
static void drop(struct engine_client *c, struct asked *r)
{
    struct asked **at = &c->first;

    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    if (r->next == NULL)
        c->last = at;
    c->n_open -= !r->over;
    c->held_bytes -= r->lines.len;
    asked_free(r);
}

static size_t slot_of(const json_t *event)
{
    const json_t *choice = json_object_get(event, "choice");
    const json_int_t i = json_is_integer(choice) ? json_integer_value(choice) : -1;

    return i < 0 || (size_t)i >= LIMIT_ENGINE_CHOICES ? 0 : 1 + (size_t)i;
}

/* Under the lock: counts an event; whether it has not been told yet. */
static bool is_news(struct asked *r, const json_t *event)
{
    const size_t slot = slot_of(event);

    if (slot >= r->n_slots) {
        const size_t n = size_max(slot + 1, 2 * r->n_slots);
        uint32_t *told = realloc(r->told, n * sizeof *told),
                 *come = realloc(r->come, n * sizeof *come);

        if (told == NULL || come == NULL)
            abort(); /* a few kilobytes */
        memset(told + r->n_slots, 0, (n - r->n_slots) * sizeof *told);
        memset(come + r->n_slots, 0, (n - r->n_slots) * sizeof *come);
        r->told = told;
        r->come = come;
        r->n_slots = n;
    }
    if (++r->come[slot] <= r->told[slot])
        return false;
    r->told[slot]++;
    return true;
}

/* Under the lock, which is let go meanwhile; the thread alone. After its last event r is gone. */
static void tell(struct engine_client *c, struct asked *r, const json_t *event)
{
    const bool last = wire_is_last(event);

    c->telling = r;
    r->over = last;
    c->n_open -= last;
    pthread_mutex_unlock(&c->lock);
    r->listener.event(r->listener.ctx, event);
    pthread_mutex_lock(&c->lock);
    c->telling = NULL;
    if (r->left && !last && r->sent) {
        wire_put_cancel(&c->outbox, r->ticket);
        poke(c);
    }
    if (last || r->left)
        drop(c, r);
    pthread_cond_broadcast(&c->changed);
}

static void tell_error(struct engine_client *c, struct asked *r, const struct error *err)
{
    json_t *event = wire_error(err);

    tell(c, r, event);
    json_decref(event);
}

/* ---- the process ---- */

/* What the process is given of our environment: no keys, no addresses of databases. */
static const char *const passed_on[] = {
    "PATH",         "HOME",           "TMPDIR",
    "LANG",         "LC_ALL",         "LD_LIBRARY_PATH",
    "HONE_HOME",    "HONE_KERNELS",   "HONE_CONTEXT",
    "HONE_DEVICE",  "HONE_PRECISION", "ASAN_OPTIONS",
    "LSAN_OPTIONS", "TSAN_OPTIONS",   "UBSAN_OPTIONS",
};

static char **make_environ(void)
{
    char **list = calloc(COUNT_OF(passed_on) + 1, sizeof *list);
    size_t n = 0;

    for (size_t i = 0; i < COUNT_OF(passed_on) && list != NULL; i++) {
        const char *value = getenv(passed_on[i]);

        if (value != NULL && asprintf(&list[n], "%s=%s", passed_on[i], value) >= 0)
            n++;
    }
    return list;
}

static char **make_argv(const struct engine_client_options *o)
{
    size_t n_extra = 0, n = 0;

    while (o->extra != NULL && o->extra[n_extra] != NULL)
        n_extra++;
    char **argv = calloc(N_FIXED + n_extra, sizeof *argv);
    if (argv == NULL)
        return NULL;
    argv[n++] = strdup("hone");
    argv[n++] = strdup("engine");
    argv[n++] = strdup("--threads");
    n += asprintf(&argv[n], "%d", o->threads) >= 0;
    argv[n++] = strdup("--memory");
    n += asprintf(&argv[n], "%lld", (long long)((o->memory_bytes >> 20) + 1)) >= 0;
    for (size_t i = 0; i < n_extra; i++)
        argv[n++] = strdup(o->extra[i]);
    return argv;
}

static void free_list(char **list)
{
    for (size_t i = 0; list != NULL && list[i] != NULL; i++)
        free(list[i]);
    free(list);
}

static bool spawn_with(struct engine_client *c, int theirs, struct error *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, all;
    int rc;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_adddup2(&actions, theirs, ENGINE_FD);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions, ENGINE_FD + 1);
    /* a group of its own: Ctrl-C is for the server, which ends the process when it has ended its answers */
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                        POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    rc = posix_spawn(&c->pid, c->program, &actions, &attr, c->argv, c->environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    errno = rc;
    return rc == 0 || fail_errno(err, "starting the engine process %s", c->program);
}

/* The thread alone. */
static bool start(struct engine_client *c, struct error *err)
{
    int sock[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) != 0)
        return fail_errno(err, "making a socket for the engine process");
    const bool ok = spawn_with(c, sock[1], err);
    close(sock[1]);
    if (!ok) {
        close(sock[0]);
        return false;
    }
    wire_init(&c->wire, sock[0], LIMIT_ENGINE_EVENT);
    pthread_mutex_lock(&c->lock);
    c->n_starts++;
    c->alive = true;
    buf_clear(
        &c->outbox); /* all that is open is asked anew, and what was cancelled is not there any more */
    for (struct asked *r = c->first; r != NULL; r = r->next) {
        buf_str(&c->wire.out, buf_view(&r->lines));
        r->sent = true;
        for (size_t i = 0; i < r->n_slots; i++)
            r->come[i] = 0;
    }
    pthread_mutex_unlock(&c->lock);
    return true;
}

/* Waits for the process, which must have been told to end. How it did, in words. */
static void reap(struct engine_client *c, char *how, size_t size)
{
    siginfo_t info = {0};

    while (waitid(P_PID, (id_t)c->pid, &info, WEXITED) != 0 && errno == EINTR)
        continue;
    if (info.si_code == CLD_EXITED)
        snprintf(how, size, "exit status %d", info.si_status);
    else
        snprintf(how, size, "signal %d", info.si_status);
    c->pid = 0;
}

/* Requests that were under way, one death later: those that have had their share are told so. */
static void count_deaths(struct engine_client *c, const char *how)
{
    struct error err = {0};

    fail(&err, ERR_IO,
         "the engine process ended twice while it worked on this request (%s), so it was given up",
         how);
    for (struct asked *r = c->first; r != NULL; r = r->next)
        if (r->sent) {
            r->deaths++;
            r->sent = false;
        }
    for (struct asked *r = c->first; r != NULL;) {
        if (r->deaths < MOST_DEATHS) {
            r = r->next;
            continue;
        }
        tell_error(c, r, &err); /* the list may be another now */
        r = c->first;
    }
}

static void plan_start(struct engine_client *c)
{
    double pause = 0.05;

    for (int i = 0; i < c->quick_deaths && pause < LONGEST_PAUSE; i++)
        pause *= 2;
    c->start_at = clock_seconds() + (c->quick_deaths == 0 ? 0 : pause);
    c->quick_deaths++;
}

/* The socket is closed, or says what nobody understands. */
static void bury(struct engine_client *c)
{
    char how[64];

    kill(c->pid, SIGKILL); /* our child until it is waited for: nobody else has its number */
    reap(c, how, sizeof how);
    wire_release(&c->wire);
    plan_start(c);
    pthread_mutex_lock(&c->lock);
    c->alive = false;
    buf_clear(&c->outbox);
    c->before.tokens_sampled += c->now.tokens_sampled;
    c->before.tokens_prompt += c->now.tokens_prompt;
    c->before.tokens_cached += c->now.tokens_cached;
    c->now = (struct engine_figures){0};
    count_deaths(c, how);
    pthread_mutex_unlock(&c->lock);
}

/* ---- the thread ---- */

static void on_event(struct engine_client *c, const struct wire_message *m)
{
    pthread_mutex_lock(&c->lock);
    struct asked *r = find(c, m->id);
    if (wire_is_last(m->event))
        c->quick_deaths = 0;
    if (r != NULL && is_news(r, m->event)) /* one that was cancelled is not there */
        tell(c, r, m->event);
    pthread_mutex_unlock(&c->lock);
}

static bool take_lines(struct engine_client *c)
{
    struct str line;

    while (wire_line(&c->wire, &line)) {
        struct wire_message m;

        if (!wire_read(line, &m, NULL))
            return false;
        if (m.kind == WIRE_EVENT) {
            on_event(c, &m);
        } else if (m.kind == WIRE_FIGURES) {
            pthread_mutex_lock(&c->lock);
            c->now = m.figures;
            pthread_mutex_unlock(&c->lock);
        }
        const bool ours = m.kind == WIRE_EVENT || m.kind == WIRE_FIGURES;
        wire_message_release(&m);
        if (!ours)
            return false;
    }
    return true;
}

/* What is to be said, since last time; whether it is time to end. */
static bool take_outbox(struct engine_client *c)
{
    pthread_mutex_lock(&c->lock);
    if (c->pid != 0) {
        buf_str(&c->wire.out, buf_view(&c->outbox));
        buf_clear(&c->outbox);
        for (struct asked *r = c->first; r != NULL; r = r->next)
            r->sent = true;
    }
    const bool closing = c->closing;
    pthread_mutex_unlock(&c->lock);
    return closing;
}

/* Sleeps until something happens; false: the process is gone. */
static bool exchange(struct engine_client *c)
{
    struct pollfd p[2] = {{.fd = c->wake, .events = POLLIN},
                          {.fd = c->pid != 0 ? c->wire.fd : -1,
                           .events = (short)(POLLIN | (wire_sending(&c->wire) ? POLLOUT : 0))}};
    const double left = c->start_at - clock_seconds();
    uint64_t ignored;

    if (poll(p, 2, c->pid != 0 ? -1 : left > 0 ? (int)(left * 1000) + 1 : 0) < 0)
        return true;
    if (p[0].revents != 0 && read(c->wake, &ignored, sizeof ignored) < 0)
        return true;
    if (c->pid == 0)
        return true;
    if (p[1].revents & (POLLIN | POLLHUP | POLLERR)) {
        const bool open = wire_receive(&c->wire);

        if (!take_lines(c) || !open)
            return false;
    }
    return true;
}

/* The process has had its last word to say: it ends, or is ended. */
static void end_process(struct engine_client *c)
{
    const double until = clock_seconds() + PATIENCE;
    char how[64], rest[4096];

    if (c->pid == 0)
        return;
    shutdown(c->wire.fd, SHUT_WR);
    for (double left; (left = until - clock_seconds()) > 0;) {
        struct pollfd p = {.fd = c->wire.fd, .events = POLLIN};

        if (poll(&p, 1, (int)(left * 1000) + 1) > 0 && recv(c->wire.fd, rest, sizeof rest, 0) <= 0)
            break;
    }
    if (clock_seconds() >= until)
        kill(c->pid, SIGKILL);
    reap(c, how, sizeof how);
}

static void *client_main(void *arg)
{
    struct engine_client *c = arg;
    struct error err = {0}, closed = {0};
    bool ok = start(c, &err);

    pthread_mutex_lock(&c->lock);
    c->started = true;
    c->start_error = err;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    while (ok && !take_outbox(c)) {
        if (c->pid != 0 && (!wire_send(&c->wire) || !exchange(c)))
            bury(c);
        else if (c->pid == 0 && c->start_at > clock_seconds())
            (void)exchange(c);
        else if (c->pid == 0 && !start(c, &err))
            plan_start(c);
    }
    end_process(c);
    wire_release(&c->wire);
    fail(&closed, ERR_CANCELLED, "the server ends, and this request with it");
    pthread_mutex_lock(&c->lock);
    c->alive = false;
    while (c->first != NULL)
        tell_error(c, c->first, &closed);
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* ---- opening ---- */

bool engine_client_open(const struct engine_client_options *opt, struct engine_client **out,
                        struct error *err)
{
    struct engine_client *c = calloc(1, sizeof *c);

    if (c == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for an engine process");
    c->opt = *opt;
    if (c->opt.max_open == 0)
        c->opt.max_open = DEFAULT_MAX_OPEN;
    if (c->opt.memory_bytes <= 0)
        c->opt.memory_bytes = (int64_t)(0.6 * memory_total());
    c->last = &c->first;
    c->wire.fd = -1;
    buf_init(&c->outbox, SIZE_MAX / 2);
    pthread_mutex_init(&c->lock, NULL);
    condition_init(&c->changed);
    c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    c->argv = make_argv(&c->opt);
    c->environ = make_environ();
    /* the link leads to this very program, also when another has taken its place meanwhile */
    c->program = strdup(opt->program != NULL ? opt->program : "/proc/self/exe");
    bool ok = c->wake >= 0 && c->argv != NULL && c->environ != NULL && c->program != NULL
                  ? true
                  : fail(err, ERR_NO_MEMORY, "no room to keep an engine process");
    if (ok) {
        c->has_thread = pthread_create(&c->thread, NULL, client_main, c) == 0;
        ok = c->has_thread || fail(err, ERR_IO, "no thread can be started for the engine process");
    }
    pthread_mutex_lock(&c->lock);
    while (ok && !c->started)
        pthread_cond_wait(&c->changed, &c->lock);
    if (ok && c->start_error.kind != ERR_NONE) {
        *err = c->start_error;
        ok = false;
    }
    pthread_mutex_unlock(&c->lock);
    if (ok)
        *out = c;
    else
        engine_client_close(c);
    return ok;
}

void engine_client_stop(struct engine_client *c)
{
    if (c == NULL || !c->has_thread)
        return;
    pthread_mutex_lock(&c->lock);
    c->closing = true;
    pthread_mutex_unlock(&c->lock);
    poke(c);
    pthread_join(c->thread, NULL);
    c->has_thread = false;
}

void engine_client_close(struct engine_client *c)
{
    if (c == NULL)
        return;
    engine_client_stop(c);
    if (c->wake >= 0)
        close(c->wake);
    free_list(c->argv);
    free_list(c->environ);
    free(c->program);
    buf_release(&c->outbox);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* ---- asking ---- */

static bool is_text(const char *text)
{
    return text == NULL || utf8_valid(str_of(text)) == strlen(text);
}

/* The body with a seed of its own, so that it can be asked again. A new tree. */
static json_t *with_seed(const json_t *body)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)body);
    uint32_t seed = 0;

    if (json_is_object(copy)) {
        const json_t *given = json_object_get(copy, "seed");

        if (given == NULL || json_is_null(given)) {
            if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
                seed = (uint32_t)clock_unix();
            json_object_set_new(copy, "seed", json_integer((json_int_t)(seed >> 1)));
        }
    }
    return copy;
}

static bool write_lines(struct asked *r, enum engine_op op, const struct engine_model *m,
                        const json_t *body, bool stream, struct error *err)
{
    json_t *seeded = op == ENGINE_EMBED ? NULL : with_seed(body);

    if (m->name == NULL || m->path == NULL || !is_text(m->name) || !is_text(m->path) ||
        !is_text(m->adapter) || !is_text(m->run)) {
        json_decref(seeded);
        return fail_param(err, ERR_INVALID, "model",
                          "the model's name or place is missing, or no UTF-8");
    }
    buf_init(&r->lines, LIMIT_ENGINE_ASK);
    wire_put_ask(&r->lines, r->ticket, op, stream, m);
    wire_put_body(&r->lines, seeded != NULL ? seeded : body);
    json_decref(seeded);
    return buf_ok(&r->lines, "the request", err);
}

bool engine_client_ask(struct engine_client *c, enum engine_op op, const struct engine_model *m,
                       const json_t *body, bool stream, const struct engine_listener *l,
                       uint64_t *ticket, struct error *err)
{
    struct asked *r = calloc(1, sizeof *r);

    if (r == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a request");
    pthread_mutex_lock(&c->lock);
    r->ticket = ++c->next_ticket;
    pthread_mutex_unlock(&c->lock);
    r->listener = *l;
    if (!write_lines(r, op, m, body, stream, err)) {
        asked_free(r);
        return false;
    }
    pthread_mutex_lock(&c->lock);
    const bool ok =
        c->closing ? fail(err, ERR_CANCELLED, "the server ends, and takes no more requests")
        : c->n_open >= c->opt.max_open || r->lines.len > LIMIT_ENGINE_HELD - c->held_bytes
            ? fail(err, ERR_LIMIT,
                   "%zu requests are being answered, and no more can be taken now; try again later",
                   c->n_open)
            : true;
    if (ok) {
        if (ticket != NULL)
            *ticket = r->ticket; /* before the first event */
        *c->last = r;
        c->last = &r->next;
        c->n_open++;
        c->n_asked++;
        c->held_bytes += r->lines.len;
        if (c->alive)
            buf_str(&c->outbox, buf_view(&r->lines));
    }
    pthread_mutex_unlock(&c->lock);
    if (ok)
        poke(c);
    else
        asked_free(r);
    return ok;
}

void engine_client_cancel(struct engine_client *c, uint64_t ticket)
{
    pthread_mutex_lock(&c->lock);
    struct asked *r = find(c, ticket);
    if (r != NULL && c->telling == r) {
        r->left = true;
        if (!pthread_equal(pthread_self(), c->thread))
            while (find(c, ticket) != NULL)
                pthread_cond_wait(&c->changed, &c->lock);
    } else if (r != NULL) {
        if (c->alive)
            wire_put_cancel(&c->outbox, ticket); /* behind what asks for it */
        drop(c, r);
        poke(c);
    }
    pthread_mutex_unlock(&c->lock);
}

/* ---- asking and waiting ---- */

struct waiting {
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t done;
    json_t *choices, *last;
};

static void on_answer(void *ctx, const json_t *event)
{
    struct waiting *w = ctx;
    json_t *copy = json_deep_copy(event); /* the tree is the other thread's */

    pthread_mutex_lock(&w->lock);
    if (wire_is_last(event)) {
        w->last = copy;
        pthread_cond_signal(&w->done);
    } else if (str_is(json_str(json_object_get(event, "type")), "choice")) {
        json_array_append_new(w->choices, copy);
    } else {
        json_decref(copy);
    }
    pthread_mutex_unlock(&w->lock);
}

/* In the order of their numbers. */
static void put_choices(struct waiting *w)
{
    const size_t n = json_array_size(w->choices);
    json_t *sorted = json_array(), *choice;
    size_t i;

    for (size_t k = 0; k < n; k++)
        json_array_append_new(sorted, json_null());
    json_array_foreach(w->choices, i, choice)
        json_array_set(sorted, slot_of(choice) - 1 < n ? slot_of(choice) - 1 : i, choice);
    if (n > 0)
        json_object_set(w->last, "choices", sorted);
    json_decref(sorted);
}

static bool is_set(const atomic_bool *stop)
{
    return stop != NULL && atomic_load(stop);
}

/* Under w->lock, which is let go meanwhile. */
static void wait_for_last(struct waiting *w, double deadline, const atomic_bool *stop)
{
    const double longest = stop != NULL ? 0.1 : 3600;
    double left = 1;

    while (w->last == NULL && left > 0 && !is_set(stop)) {
        left = deadline > 0 ? deadline - clock_seconds() : longest;
        if (left > 0)
            condition_wait_for(&w->done, &w->lock, left < longest ? left : longest);
    }
}

bool engine_client_answer_unless(struct engine_client *c, enum engine_op op,
                                 const struct engine_model *m, const json_t *body, double deadline,
                                 const atomic_bool *stop, json_t **out, struct error *err)
{
    struct waiting w = {.lock = PTHREAD_MUTEX_INITIALIZER, .choices = json_array()};
    const struct engine_listener l = {&w, on_answer};
    uint64_t ticket;

    condition_init(&w.done);
    bool ok = engine_client_ask(c, op, m, body, false, &l, &ticket, err);
    if (ok) {
        pthread_mutex_lock(&w.lock);
        wait_for_last(&w, deadline, stop);
        pthread_mutex_unlock(&w.lock);
        engine_client_cancel(c, ticket); /* no event comes from here on */
        ok = w.last != NULL ? wire_is_no_error(w.last, err)
             : is_set(stop)
                 ? fail(err, ERR_CANCELLED, "the question was taken back")
                 : fail(err, ERR_TIMEOUT, "the model did not answer in the time that it had");
    }
    if (ok) {
        put_choices(&w);
        *out = json_incref(w.last);
    }
    json_decref(w.last);
    json_decref(w.choices);
    pthread_cond_destroy(&w.done);
    pthread_mutex_destroy(&w.lock);
    return ok;
}

bool engine_client_answer(struct engine_client *c, enum engine_op op, const struct engine_model *m,
                          const json_t *body, double deadline, json_t **out, struct error *err)
{
    return engine_client_answer_unless(c, op, m, body, deadline, NULL, out, err);
}

struct engine_figures engine_client_figures(const struct engine_client *client)
{
    struct engine_client *c = (struct engine_client *)(uintptr_t)client;

    pthread_mutex_lock(&c->lock);
    const struct engine_figures f = {
        .alive = c->alive,
        .starts = c->n_starts,
        .open = c->n_open,
        .asked = c->n_asked,
        .tokens_sampled = c->before.tokens_sampled + c->now.tokens_sampled,
        .tokens_prompt = c->before.tokens_prompt + c->now.tokens_prompt,
        .tokens_cached = c->before.tokens_cached + c->now.tokens_cached,
        .resident_bytes = c->now.resident_bytes,
    };
    pthread_mutex_unlock(&c->lock);
    return f;
}
