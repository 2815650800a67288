#include "grade/python_pool.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/size.h"
#include "base/utf8.h"
#include "grade/python_worker.h"
#include "grade/template.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_WORKERS 256
#define START_SECONDS 60 /* for the interpreter alone: the machine may be busy */
#define MAX_CALL_BYTES ((size_t)256 << 20)

extern const char asset_probe_py[];
extern const uint64_t asset_probe_py_size;

struct slot {
    struct python_worker worker; /* its user's alone while busy */
    bool busy;
};

/* A wish that the starter thread fulfils. */
struct start {
    struct slot *slot;
    bool done, ok;
    struct error err;
};

struct python_pool {
    struct sandbox sandbox;
    struct grade_options options;
    struct buf config; /* the first frame of every worker */
    json_t *loaded;    /* its answer: a list of {"keys": [...]} */
    int n_slots;

    pthread_mutex_t lock; /* guards the slots' busy, wish, closing */
    pthread_cond_t freed; /* a slot is free, or the starter has time for a wish */
    pthread_cond_t asked, answered;
    struct slot slots[MAX_WORKERS];
    struct start *wish;
    bool closing;
    bool has_starter;
    pthread_t starter;
};

/* ---- starting one worker ---- */

static void *starter_main(void *arg)
{
    struct python_pool *p = arg;

    pthread_mutex_lock(&p->lock);
    for (;;) {
        struct start *wish;

        while (p->wish == NULL && !p->closing)
            pthread_cond_wait(&p->asked, &p->lock);
        if (p->closing)
            break;
        wish = p->wish;
        pthread_mutex_unlock(&p->lock);
        wish->ok = worker_spawn(&wish->slot->worker, &p->sandbox, (unsigned)(wish->slot - p->slots),
                                &wish->err);
        pthread_mutex_lock(&p->lock);
        p->wish = NULL;
        wish->done = true;
        pthread_cond_broadcast(&p->answered);
        pthread_cond_broadcast(&p->freed);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static bool ask_starter(struct python_pool *p, struct slot *slot, struct error *err)
{
    struct start wish = {.slot = slot};

    pthread_mutex_lock(&p->lock);
    while (p->wish != NULL)
        pthread_cond_wait(&p->freed, &p->lock);
    p->wish = &wish;
    pthread_cond_signal(&p->asked);
    while (!wish.done)
        pthread_cond_wait(&p->answered, &p->lock);
    pthread_mutex_unlock(&p->lock);
    if (!wish.ok && err != NULL)
        *err = wish.err;
    return wish.ok;
}

/* Sends the sources; *loaded is the worker's list. Where a source is at fault, *at_fault is its number. */
static bool load(struct python_worker *w, const struct buf *config, double timeout_s,
                 json_t **loaded, size_t *at_fault, struct error *err)
{
    struct buf reply;
    json_t *tree = NULL;
    bool ok;

    buf_init(&reply, (size_t)4 << 20);
    switch (
        worker_exchange(w, buf_view(config), clock_seconds() + START_SECONDS + timeout_s, &reply)) {
    case WORKER_TIMED_OUT:
        *at_fault = 0;
        ok = w->stop != NULL && atomic_load(w->stop)
                 ? fail(err, ERR_CANCELLED, "loading the source was given up")
                 : fail(err, ERR_TIMEOUT, "the source was still loading after %g s",
                        START_SECONDS + timeout_s);
        break;
    case WORKER_GONE:
        *at_fault = 0;
        ok = fail(err, ERR_INVALID, "the source ended the Python process that loads it");
        break;
    default:
        ok = json_parse(buf_view(&reply), "a Python worker's answer", &tree, err);
    }
    buf_release(&reply);
    const json_t *failed = json_object_get(tree, "failed");
    if (ok && failed != NULL) {
        *at_fault = (size_t)json_integer_value(failed);
        ok = fail(err, ERR_INVALID, "%.480s", json_string_value(json_object_get(tree, "error")));
    }
    if (ok && !json_is_array(json_object_get(tree, "loaded")))
        ok = fail(err, ERR_IO, "a Python worker's answer is not understood");
    if (ok)
        *loaded = json_incref(json_object_get(tree, "loaded"));
    json_decref(tree);
    return ok;
}

/* Starts the slot's worker and loads the sources in it. The pool's lists of keys come from the first worker. */
static bool slot_start(struct python_pool *p, struct slot *slot, size_t *at_fault,
                       struct error *err)
{
    json_t *loaded = NULL;
    bool ok = ask_starter(p, slot, err);

    slot->worker.stop = p->options.stop;
    ok = ok && worker_ready(&slot->worker, clock_seconds() + START_SECONDS, err) &&
         load(&slot->worker, &p->config, p->options.timeout_s, &loaded, at_fault, err);

    if (!ok)
        worker_stop(&slot->worker, &p->sandbox);
    if (ok && p->loaded == NULL)
        p->loaded = json_incref(loaded);
    json_decref(loaded);
    return ok;
}

/* ---- the tier ---- */

static bool config_write(struct buf *b, const struct sandbox *s, size_t n, const struct str *source,
                         struct error *err)
{
    json_t *sources = json_array(), *config;
    char *hex = calloc(2, s->inner.len + 1);

    if (hex == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a system-call filter");
    for (size_t i = 0; i < s->inner.len; i++)
        snprintf(hex + 2 * i, 3, "%02x", (unsigned char)s->inner.ptr[i]);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(sources, json_stringn(source[i].ptr, source[i].len));
    config = json_pack("{s:o, s:i, s:s, s:s}", "sources", sources, "processes",
                       (int)sandbox_processes(s), "tmp", sandbox_tmp(s), "filter", hex);
    buf_init(b, (size_t)64 << 20);
    json_write(b, config, NULL);
    free(hex);
    json_decref(config);
    return buf_ok(b, "the graders' sources", err);
}

/* What a call's frame holds. */
static bool frame_write(struct buf *b, size_t i, bool hear, struct str call)
{
    const char order[4] = {(char)(i & 255), (char)(i >> 8 & 255), (char)hear, 0};

    buf_init(b, MAX_CALL_BYTES);
    buf_put(b, order, sizeof order);
    buf_str(b, call);
    return !b->overflowed;
}

/* The last line of a reply that tells of an exception. */
static const char *exception_of(const struct buf *reply)
{
    const char *line = reply->len > 0 ? memrchr(reply->ptr, '\n', reply->len) : NULL;

    return line != NULL ? line + 1 : reply->len > 0 ? reply->ptr + 1 : "";
}

/* Runs the attacks in a sandbox of this tier; fails with what got through. */
static bool attack(const struct sandbox *s, struct error *err)
{
    const struct str source = {asset_probe_py, (size_t)asset_probe_py_size};
    struct python_worker w = {0};
    struct buf config = {0}, frame = {0}, reply;
    json_t *loaded = NULL;
    size_t at_fault;
    char call[96];
    bool ok = config_write(&config, s, 1, &source, err) && worker_spawn(&w, s, MAX_WORKERS, err) &&
              worker_ready(&w, clock_seconds() + START_SECONDS, err) &&
              load(&w, &config, 10, &loaded, &at_fault, err);

    buf_init(&reply, 65536);
    snprintf(call, sizeof call, "{\"sample\":{},\"item\":{\"pid\":%d}}", (int)getpid());
    if (ok) {
        ok = frame_write(&frame, 0, false, str_of(call)) &&
             worker_exchange(&w, buf_view(&frame), clock_seconds() + START_SECONDS, &reply) ==
                 WORKER_ANSWERED;
        if (!ok)
            fail(err, ERR_UNSUPPORTED, "the attacks ended the worker");
        else if (reply.len == 0 || reply.ptr[0] != 'R')
            ok = fail(err, ERR_UNSUPPORTED, "an attack got through: %.300s", exception_of(&reply));
    }
    worker_stop(&w, s);
    json_decref(loaded);
    buf_release(&config);
    buf_release(&frame);
    buf_release(&reply);
    return ok;
}

/*
 * What this host allows does not change while we run: the last tier that held is kept, with what was asked for. What
 * failed is tried again, for it may have been a machine out of processes.
 */
static struct {
    pthread_mutex_t lock;   /* guards the rest; held during the attacks, so that they run once */
    enum sandbox_tier tier; /* 0: none held yet */
    int wanted;
    char python[PATH_MAX];
} answer = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Tries the tiers from the strongest on. */
static bool try_tiers(const struct grade_options *opt, enum sandbox_tier *out, struct error *err)
{
    char why[400] = "";

    if (!sandbox_check_python(opt, err))
        return false;
    for (int tier = SANDBOX_T1; tier <= SANDBOX_N_TIERS; tier++) {
        struct sandbox s = {0};
        struct error e = {0};

        if (opt->sandbox_tier != 0 && opt->sandbox_tier != tier)
            continue;
        const bool ok = sandbox_init(&s, (enum sandbox_tier)tier, opt, &e) && attack(&s, &e);
        sandbox_release(&s);
        if (ok) {
            *out = (enum sandbox_tier)tier;
            return true;
        }
        const size_t n = strlen(why);
        snprintf(why + n, sizeof why - n, "%sT%d: %.120s", n > 0 ? "; " : "", tier, e.message);
    }
    return fail(err, ERR_UNSUPPORTED,
                "Python graders are refused: no sandbox holds on this host (%s)", why);
}

static bool choose_tier(const struct grade_options *opt, enum sandbox_tier *out, struct error *err)
{
    const char *python = opt->python == NULL ? "" : opt->python;
    struct grade_options probe = grade_defaults();
    bool ok = true;

    probe.python = opt->python;
    probe.sandbox_tier = opt->sandbox_tier;
    pthread_mutex_lock(&answer.lock);
    if (answer.tier == 0 || answer.wanted != opt->sandbox_tier ||
        strcmp(answer.python, python) != 0) {
        answer.tier = 0;
        ok = try_tiers(&probe, &answer.tier, err);
        answer.wanted = opt->sandbox_tier;
        snprintf(answer.python, sizeof answer.python, "%s", python);
    }
    if (ok)
        *out = answer.tier;
    pthread_mutex_unlock(&answer.lock);
    return ok;
}

bool grade_sandbox_describe(const struct grade_options *opt, char *out, size_t size,
                            struct error *err)
{
    const struct grade_options usual = grade_defaults();
    enum sandbox_tier tier;

    if (!choose_tier(opt == NULL ? &usual : opt, &tier, err))
        return false;
    snprintf(out, size, "%s", sandbox_tier_text(tier));
    return true;
}

/* ---- the pool ---- */

static int slots_wanted(const struct grade_options *opt)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const int n = opt->n_workers > 0 ? opt->n_workers : cores > 0 ? (int)cores : 1;

    return n < MAX_WORKERS ? n : MAX_WORKERS;
}

bool python_pool_open(const struct grade_options *opt, size_t n, const struct str *source,
                      struct python_pool **out, size_t *at_fault, struct error *err)
{
    struct python_pool *p = calloc(1, sizeof *p);
    enum sandbox_tier tier;
    bool ok;

    if (p == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for the graders' workers");
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->freed, NULL);
    pthread_cond_init(&p->asked, NULL);
    pthread_cond_init(&p->answered, NULL);
    p->options = *opt;
    p->n_slots = slots_wanted(opt);
    ok = choose_tier(opt, &tier, err) && sandbox_init(&p->sandbox, tier, opt, err) &&
         config_write(&p->config, &p->sandbox, n, source, err);
    if (ok) {
        p->has_starter = pthread_create(&p->starter, NULL, starter_main, p) == 0;
        ok = p->has_starter ? true : fail(err, ERR_IO, "no thread can be started");
    }
    ok = ok && slot_start(p, &p->slots[0], at_fault, err);
    if (ok)
        *out = p;
    else
        python_pool_close(p);
    return ok;
}

void python_pool_close(struct python_pool *p)
{
    if (p == NULL)
        return;
    for (int i = 0; i < p->n_slots; i++)
        worker_stop(&p->slots[i].worker, &p->sandbox);
    if (p->has_starter) {
        pthread_mutex_lock(&p->lock);
        p->closing = true;
        pthread_cond_signal(&p->asked);
        pthread_mutex_unlock(&p->lock);
        pthread_join(p->starter, NULL);
    }
    pthread_cond_destroy(&p->answered);
    pthread_cond_destroy(&p->asked);
    pthread_cond_destroy(&p->freed);
    pthread_mutex_destroy(&p->lock);
    json_decref(p->loaded);
    buf_release(&p->config);
    sandbox_release(&p->sandbox);
    free(p);
}

const json_t *python_pool_keys(const struct python_pool *p, size_t i)
{
    return json_object_get(json_array_get(p->loaded, i), "keys");
}

/* A free slot, one whose worker runs if there is one. */
static struct slot *slot_take(struct python_pool *p)
{
    struct slot *found = NULL;

    pthread_mutex_lock(&p->lock);
    while (found == NULL) {
        for (int i = 0; i < p->n_slots && (found == NULL || found->worker.pid == 0); i++)
            if (!p->slots[i].busy && (found == NULL || p->slots[i].worker.pid != 0))
                found = &p->slots[i];
        if (found == NULL)
            pthread_cond_wait(&p->freed, &p->lock);
    }
    found->busy = true;
    pthread_mutex_unlock(&p->lock);
    return found;
}

static void slot_give(struct python_pool *p, struct slot *slot)
{
    pthread_mutex_lock(&p->lock);
    slot->busy = false;
    pthread_cond_broadcast(&p->freed);
    pthread_mutex_unlock(&p->lock);
}

/* ---- a call ---- */

/* text as valid UTF-8, cut to the room there is. */
static enum python_outcome tell(enum python_outcome outcome, struct str text,
                                struct python_reply *out)
{
    struct arena a = {0};
    struct str valid = grade_utf8(&a, text);
    size_t n = size_min(valid.len, out->details_size - 1);

    while (n > 0 && n < valid.len && ((unsigned char)valid.ptr[n] & 0xc0) == 0x80)
        n--;
    memcpy(out->details, valid.ptr, n);
    out->details[n] = '\0';
    arena_release(&a);
    return outcome;
}

/* How many bytes at the start of s are one character or, with *valid false, belong to none. */
static size_t character(struct str s, bool *valid)
{
    const struct str four = {s.ptr, size_min(s.len, 4)};

    for (size_t n = 1; n <= four.len; n++) {
        if (utf8_valid((struct str){four.ptr, n}) > 0) {
            *valid = s.ptr[0] != '\0';
            return n;
        }
    }
    *valid = false;
    return 1;
}

/*
 * What the worker heard, as valid UTF-8 without zero bytes; where that is not all there was or is more than the room,
 * the last line says how many bytes there were besides.
 */
static void tell_printed(const struct python_worker *w, struct python_reply *out)
{
    const struct str said = {w->said, w->n_said};
    const size_t for_last_line = 40;
    size_t at = 0, n = 0;

    if (out->printed == NULL || out->printed_size == 0)
        return;
    out->printed[0] = '\0';
    if (out->printed_size <= for_last_line)
        return;
    while (at < said.len) {
        const size_t room = out->printed_size - for_last_line - n;
        bool valid;
        const size_t k = character(str_from(said, at), &valid);

        if ((valid ? k : 3) > room || (!valid && said.len - at < 4 && w->n_written > said.len))
            break; /* no room, or a character of which the rest was not kept */
        memcpy(out->printed + n, valid ? said.ptr + at : "\xef\xbf\xbd", valid ? k : 3);
        n += valid ? k : 3;
        at += k;
    }
    out->printed[n] = '\0';
    if (at < w->n_written)
        snprintf(out->printed + n, out->printed_size - n, "%s... (%llu bytes more)\n",
                 n > 0 && out->printed[n - 1] != '\n' ? "\n" : "",
                 (unsigned long long)(w->n_written - at));
}

static const char *signal_hint(int number)
{
    switch (number) {
    case SIGKILL:
        return " (SIGKILL): the system may have been out of memory";
    case SIGSEGV:
        return " (SIGSEGV): a recursion without end, or a fault in an extension module";
    case SIGXCPU:
        return " (SIGXCPU): it used more processor time than a call may";
    case SIGABRT:
        return " (SIGABRT)";
    default:
        return "";
    }
}

static enum python_outcome tell_death(unsigned status, struct python_reply *out)
{
    if (WIFSIGNALED((int)status))
        snprintf(out->details, out->details_size, "the grader's process was ended by signal %d%s",
                 WTERMSIG((int)status), signal_hint(WTERMSIG((int)status)));
    else
        snprintf(out->details, out->details_size,
                 "the grader ended its own process (exit status %d) and gave no reward",
                 WEXITSTATUS((int)status));
    return PYTHON_RUNTIME_ERROR;
}

static enum python_outcome read_reply(const struct buf *reply, struct python_reply *out)
{
    const struct str rest = {reply->ptr + 1, reply->len - 1};
    uint32_t status;
    double value;

    switch (reply->ptr[0]) {
    case 'R':
        if (rest.len != sizeof value)
            break;
        memcpy(&value, rest.ptr, sizeof value);
        if (!isfinite(value))
            break;
        out->reward = value;
        return PYTHON_REWARD;
    case 'E':
        return tell(PYTHON_RUNTIME_ERROR, rest, out);
    case 'F':
        return tell(PYTHON_RUNTIME_ERROR, STR("the grader made more files than it may"), out);
    case 'D':
        if (rest.len != sizeof status)
            break;
        memcpy(&status, rest.ptr, sizeof status);
        return tell_death(status, out);
    case 'S':
        return tell(PYTHON_SERVER_ERROR, rest, out);
    default:
        break;
    }
    return tell(PYTHON_RUNTIME_ERROR,
                STR("the grader's process wrote something else than a reward to the reply"), out);
}

/* One try. PYTHON_SERVER_ERROR with *again set: the worker is gone, and a new one may do better. */
static enum python_outcome call_once(struct python_pool *p, struct slot *slot, struct str frame,
                                     struct python_reply *out, bool *again)
{
    enum python_outcome outcome = PYTHON_SERVER_ERROR;
    struct error err = {0};
    struct buf reply;
    size_t at_fault;

    *again = false;
    if (slot->worker.pid == 0 && !slot_start(p, slot, &at_fault, &err)) {
        *again = true;
        return tell(PYTHON_SERVER_ERROR, str_of(err.message), out);
    }
    buf_init(&reply, 65536);
    slot->worker.stop = p->options.stop;
    const enum worker_answer got =
        worker_exchange(&slot->worker, frame, clock_seconds() + p->options.timeout_s, &reply);
    tell_printed(&slot->worker, out);
    switch (got) {
    case WORKER_ANSWERED:
        if (reply.len > 0) {
            outcome = read_reply(&reply, out);
            break;
        }
        /* fall through */
    case WORKER_GONE:
        *again = true;
        tell(outcome, STR("the grader's worker ended during the call"), out);
        worker_stop(&slot->worker, &p->sandbox);
        break;
    case WORKER_TIMED_OUT:
        snprintf(out->details, out->details_size,
                 "grade() was still running after %g s and was stopped", p->options.timeout_s);
        outcome = PYTHON_RUNTIME_ERROR;
        worker_stop(&slot->worker, &p->sandbox);
        break;
    }
    buf_release(&reply);
    return outcome;
}

enum python_outcome python_pool_call(struct python_pool *p, size_t i, struct str call,
                                     struct python_reply *out)
{
    enum python_outcome outcome;
    struct buf frame = {0};
    bool again = false;

    if (out->printed != NULL && out->printed_size > 0)
        out->printed[0] = '\0';
    if (!frame_write(&frame, i, out->printed != NULL, call)) {
        buf_release(&frame);
        return tell(PYTHON_RUNTIME_ERROR,
                    STR("the sample and its row are too large for a Python grader"), out);
    }
    struct slot *slot = slot_take(p);
    outcome = call_once(p, slot, buf_view(&frame), out, &again);
    if (outcome == PYTHON_SERVER_ERROR && again)
        outcome = call_once(p, slot, buf_view(&frame), out, &again);
    slot_give(p, slot);
    buf_release(&frame);
    if (outcome == PYTHON_REWARD)
        out->details[0] = '\0'; /* of a first try that failed */
    return outcome;
}
