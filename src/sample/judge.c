#include "sample/judge.h"
#include "sample/effort.h"

#include "base/clock.h"
#include "base/condition.h"
#include "base/limits.h"
#include "base/sha256.h"
#include "base/size.h"
#include "base/utf8.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_SECONDS 0.1 /* how often a waiting thread looks for a stop */

/* A question on its way: its thread may leave it behind when its time is up, so it owns what it points to. */
struct question {
    struct question *next;
    struct engine_ticket *ticket; /* while it is being answered */
    struct sample_request request;
    struct constraint *constraint; /* the request's; NULL: the reply may be any text */
    token_id *prompt;
    struct sample
        reply;     /* its tokens are a copy; of the rest only what prompter_answer reads is there */
    bool answered; /* the judge's thread's: there is a reply, or err says why not */
    bool begun, done, left; /* under the judge's lock */
    struct error err;       /* kind 0: it was answered */
};

struct judge {
    const struct model *model;
    const struct prompter *prompter;
    const char *name;
    struct judge_options options;
    struct engine *engine; /* the judge's thread's */
    struct arena arena;
    struct str *special; /* [n_special] texts of the tokenizer's special tokens */
    size_t n_special;
    pthread_t thread;
    bool has_thread;

    pthread_mutex_t lock; /* guards all below, and begun, done, left of every question */
    pthread_cond_t asked, answered;
    struct question *first, **last;
    bool closing;
};

struct judge_options judge_defaults(void)
{
    return (struct judge_options){
        .max_tokens = 1024, .max_live = 16, .kv_bytes = (size_t)256 << 20};
}

static void question_free(struct question *q)
{
    constraint_close(q->constraint);
    free(q->prompt);
    free(q->reply.tokens);
    free(q);
}

/* ---- the judge's thread ---- */

static void on_done(void *ctx, size_t sample, const struct sample *s)
{
    struct question *q = ctx;

    (void)sample;
    q->answered = true;
    q->reply = (struct sample){.n = s->n,
                               .n_thinking = s->n_thinking,
                               .n_drawn = s->n_drawn,
                               .end = s->end,
                               .stop_bytes = s->stop_bytes};
    q->reply.tokens = calloc(s->n + 1, sizeof *s->tokens);
    if (q->reply.tokens == NULL)
        fail(&q->err, ERR_NO_MEMORY, "no memory for a judge's reply");
    else
        memcpy(q->reply.tokens, s->tokens, s->n * sizeof *s->tokens);
}

/* Under the lock: all that wait. */
static struct question *take(struct judge *j)
{
    struct question *all = j->first;

    for (struct question *q = all; q != NULL; q = q->next)
        q->begun = true;
    j->first = NULL;
    j->last = &j->first;
    return all;
}

static void begin(struct judge *j, struct question *q)
{
    const struct engine_calls calls = {.ctx = q, .done = on_done};

    if (!engine_submit(j->engine, j->options.adapter, &q->request, &calls, &q->ticket, &q->err))
        q->answered = true;
}

/* A token on with every question. Where that fails, there is no reply to any. */
static void go_on(struct judge *j, struct question *going)
{
    struct error err = {0};
    size_t n_live;
    const bool ok = engine_turn(j->engine, &n_live, &err);

    for (struct question *q = going; q != NULL; q = q->next) {
        if (!ok && !q->answered) {
            q->answered = true;
            q->err = err;
        }
        if (q->answered) {
            engine_release(q->ticket);
            q->ticket = NULL;
        }
    }
}

/* Under the lock: those that are answered become their askers' again. Returns those that nobody waits for. */
static struct question *settle(struct judge *j, struct question **going)
{
    struct question *left = NULL;
    bool any = false;

    while (*going != NULL) {
        struct question *q = *going;

        if (!q->answered && !q->left) {
            going = &q->next;
            continue;
        }
        *going = q->next;
        if (q->left) {
            q->next = left;
            left = q;
        } else {
            q->done = any = true;
        }
    }
    if (any)
        pthread_cond_broadcast(&j->answered);
    return left;
}

static void drop(struct question *left)
{
    for (struct question *q = left, *next; q != NULL; q = next) {
        next = q->next;
        engine_release(q->ticket);
        question_free(q);
    }
}

static void *judge_main(void *arg)
{
    struct judge *j = arg;
    struct question *going = NULL;

    pthread_mutex_lock(&j->lock);
    for (;;) {
        while (j->first == NULL && going == NULL && !j->closing)
            pthread_cond_wait(&j->asked, &j->lock);
        if (j->closing)
            break;
        struct question *new = take(j), *next;
        pthread_mutex_unlock(&j->lock);
        for (; new != NULL; new = next) {
            next = new->next;
            new->next = going;
            going = new;
            begin(j, new);
        }
        go_on(j, going);
        pthread_mutex_lock(&j->lock);
        struct question *left = settle(j, &going);
        pthread_mutex_unlock(&j->lock);
        drop(left);
        pthread_mutex_lock(&j->lock);
    }
    pthread_mutex_unlock(&j->lock);
    drop(going); /* nobody waits for these: judge_close says so */
    return NULL;
}

/* ---- opening ---- */

static void find_special(struct judge *j)
{
    const struct tokenizer *t = prompter_tokenizer(j->prompter);
    const size_t n = tokenizer_size(t);

    j->special = ARENA_ARRAY(&j->arena, struct str, n);
    for (token_id id = 0; (size_t)id < n; id++) {
        const struct str text = tokenizer_bytes(t, id);

        if (tokenizer_is_special(t, id) && text.len > 1)
            j->special[j->n_special++] = text;
    }
}

bool judge_open(const struct model *m, const struct prompter *p, const char *name,
                const struct judge_options *opt, struct judge **out, struct error *err)
{
    struct judge *j = calloc(1, sizeof *j);

    if (j == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a judge");
    j->model = m;
    j->prompter = p;
    j->name = name;
    j->options = opt == NULL ? judge_defaults() : *opt;
    j->last = &j->first;
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->asked, NULL);
    condition_init(&j->answered);

    find_special(j);
    struct engine_options engine = engine_defaults(m);
    engine.max_live = j->options.max_live;
    engine.prefix_bytes = j->options.kv_bytes / 4; /* what a grader's questions begin with */
    engine.kv_bytes = j->options.kv_bytes - engine.prefix_bytes;
    bool ok =
        m->full == NULL
            ? engine_open(m, prompter_tokenizer(p), &engine, &j->engine, err)
            : fail(
                  err, ERR_UNSUPPORTED,
                  "a model whose own weights are trained cannot judge: it changes with every step");
    if (ok) {
        j->has_thread = pthread_create(&j->thread, NULL, judge_main, j) == 0;
        ok = j->has_thread ? true : fail(err, ERR_IO, "no thread can be started for a judge");
    }
    if (ok)
        *out = j;
    else
        judge_close(j);
    return ok;
}

void judge_close(struct judge *j)
{
    if (j == NULL)
        return;
    if (j->has_thread) {
        pthread_mutex_lock(&j->lock);
        j->closing = true;
        pthread_cond_signal(&j->asked);
        pthread_mutex_unlock(&j->lock);
        pthread_join(j->thread, NULL);
    }
    engine_close(j->engine);
    arena_release(&j->arena);
    pthread_cond_destroy(&j->answered);
    pthread_cond_destroy(&j->asked);
    pthread_mutex_destroy(&j->lock);
    free(j);
}

/* ---- one question, in its asker's thread ---- */

/* Appends text with a zero-width space after the first character of each special token's text: it is text, then. */
static void put_disarmed(const struct judge *j, struct str text, struct buf *b)
{
    for (size_t at = 0; at < text.len;) {
        const size_t begin = at;
        bool special = false;

        for (size_t i = 0; i < j->n_special && !special; i++)
            special = str_starts(str_from(text, at), j->special[i]);
        utf8_next(text, &at);
        buf_put(b, text.ptr + begin, at - begin);
        if (special)
            buf_text(b, "\xe2\x80\x8b");
    }
}

/*
 * The text of a message's content: a string, or parts of text one after the other. It is disarmed as a whole: what two
 * parts put together may be a special token.
 */
static bool put_content(const struct judge *j, const json_t *content, struct buf *b,
                        struct error *err)
{
    const json_t *part;
    struct buf whole;
    size_t i;
    bool ok = true;

    buf_init(&whole, LIMIT_RENDER_BYTES);
    buf_str(&whole, json_str(content));
    json_array_foreach(content, i, part)
    {
        const json_t *text = json_object_get(part, "text"), *type = json_object_get(part, "type");

        if (ok && !json_is_string(text))
            ok = fail_param(
                err, ERR_UNSUPPORTED, "messages",
                "the judge %s reads text alone, and a part of the question is of the type \"%.64s\"",
                j->name, json_is_string(type) ? json_string_value(type) : "");
        buf_str(&whole, json_str(text));
    }
    ok = ok && buf_ok(&whole, "a question to the judge", err);
    if (ok)
        put_disarmed(j, buf_view(&whole), b);
    buf_release(&whole);
    return ok;
}

/* Messages as chat templates know them: the roles system, user, assistant, and one text each. */
static bool plain_messages(const struct judge *j, const json_t *messages, json_t **out,
                           struct error *err)
{
    json_t *plain = json_array();
    const json_t *m;
    size_t i;
    bool ok = true;

    json_array_foreach(messages, i, m)
    {
        const char *role = json_string_value(json_object_get(m, "role"));
        struct buf text;

        if (role != NULL && strcmp(role, "developer") == 0)
            role = "system";
        buf_init(&text, LIMIT_RENDER_BYTES);
        ok = ok && put_content(j, json_object_get(m, "content"), &text, err) &&
             buf_ok(&text, "a question to the judge", err);
        if (ok)
            json_array_append_new(plain,
                                  json_pack("{s:s, s:o}", "role", role != NULL ? role : "user",
                                            "content", json_stringn(text.ptr, text.len)));
        buf_release(&text);
    }
    *out = plain;
    return ok;
}

static double setting(const json_t *sampling, const char *key, double usual)
{
    const json_t *v = json_object_get(sampling, key);

    return json_is_number(v) ? json_number_value(v) : usual;
}

/*
 * The most tokens of a reply, under the names that ask_remote.c takes for one another, too. Who says none has as many as ever
 * behind what the effort lets the judge think; room: where that has no end.
 */
static double max_tokens_of(const struct judge *j, const json_t *sampling, enum effort effort,
                            const struct thinking_options *thinking, size_t room)
{
    const bool thinks = effort != EFFORT_DEFAULT && prompter_reasoning(j->prompter)->on;
    const size_t usual = !thinks                ? j->options.max_tokens
                         : thinking->budget > 0 ? j->options.max_tokens + thinking->budget
                                                : room;
    double most = setting(sampling, "max_tokens", (double)usual);

    most = setting(sampling, "max_completion_tokens", most);
    return setting(sampling, "max_completions_tokens", most);
}

/*
 * A form in which a judge comes to its end: texts and lists that have no bound get one. A small model that takes the
 * likeliest token every time may otherwise repeat a sentence until it is cut off.
 */
#define MOST_CHARACTERS 160
#define MOST_MEMBERS 4

static void bound(json_t *schema)
{
    const json_t *type = json_object_get(schema, "type");
    const char *key;
    json_t *value;
    size_t i;

    if (json_is_object(schema) && json_is_string(type)) {
        if (str_is(json_str(type), "string") && json_object_get(schema, "enum") == NULL &&
            json_object_get(schema, "const") == NULL &&
            json_object_get(schema, "maxLength") == NULL)
            json_object_set_new(schema, "maxLength", json_integer(MOST_CHARACTERS));
        if (str_is(json_str(type), "array") && json_object_get(schema, "maxItems") == NULL)
            json_object_set_new(schema, "maxItems", json_integer(MOST_MEMBERS));
    }
    json_object_foreach(schema, key, value) bound(value);
    json_array_foreach(schema, i, value) bound(value);
}

static bool form_of(const struct judge *j, const json_t *format, struct constraint **out,
                    struct error *err)
{
    json_t *bounded = json_deep_copy(format);
    bool ok;

    bound(json_object_get(json_object_get(bounded, "json_schema"), "schema"));
    ok = prompter_form(j->prompter, bounded, out, err);
    json_decref(bounded);
    return ok;
}

/* Two questions with the same text are drawn with the same numbers, two others with others. */
static uint64_t seed_of(const json_t *sampling, struct str prompt)
{
    const struct sha256_text name = sha256_of(prompt.ptr, prompt.len);
    const json_t *seed = json_object_get(sampling, "seed");
    char first[17];

    memcpy(first, name.hex, 16);
    first[16] = '\0';
    return strtoull(first, NULL, 16) ^ (uint64_t)json_integer_value(seed);
}

static bool request_of(const struct judge *j, const struct grade_question *q, enum effort effort,
                       const struct prompt *prompt, struct sample_request *out, struct error *err)
{
    const struct effort_budgets budgets = effort_budgets_default();
    const json_t *s = q->sampling;
    struct thinking_options thinking = prompter_thinking(j->prompter, prompt);
    const size_t room = j->model->max_positions - size_min(j->model->max_positions, prompt->n);

    if (room < 16)
        return fail_param(err, ERR_LIMIT, "messages",
                          "the question has %zu tokens, and the judge %s reads %zu with its reply",
                          prompt->n, j->name, j->model->max_positions);
    effort_apply(effort, &budgets, j->prompter, &thinking);
    const double most = max_tokens_of(j, s, effort, &thinking, room);
    *out = (struct sample_request){
        .prompt = prompt->tokens,
        .n_prompt = prompt->n,
        .n_samples = 1,
        .max_tokens = size_min(room, size_max(1, (size_t)most)),
        .pick = {.temperature = (float)setting(s, "temperature", 0),
                 .top_p = (float)setting(s, "top_p", 1),
                 .repetition_penalty = 1},
        .thinking = thinking,
        .seed = seed_of(s, prompt->text),
        .purpose = PHILOX_JUDGE,
    };
    return true;
}

/* Under the lock: takes a question that was not begun out of the row. */
static void take_back(struct judge *j, struct question *q)
{
    struct question **at = &j->first;

    while (*at != q)
        at = &(*at)->next;
    *at = q->next;
    if (q->next == NULL)
        j->last = at;
}

/* Puts q in the row and waits. False: its time was up, or *stop set, and q is no longer ours. */
static bool wait_for(struct judge *j, struct question *q, double deadline, const atomic_bool *stop)
{
    bool done;

    pthread_mutex_lock(&j->lock);
    *j->last = q;
    j->last = &q->next;
    pthread_cond_signal(&j->asked);
    while (!q->done && clock_seconds() < deadline && !(stop != NULL && atomic_load(stop)))
        condition_wait_for(&j->answered, &j->lock, fmin(LOOK_SECONDS, deadline - clock_seconds()));
    done = q->done;
    if (!done && q->begun) {
        q->left = true; /* the judge's thread frees it */
    } else if (!done) {
        take_back(j, q);
        question_free(q);
    }
    pthread_mutex_unlock(&j->lock);
    return done;
}

static bool read_reply(const struct judge *j, const struct question *q, struct arena *a,
                       struct grade_reply *out, struct error *err)
{
    struct answer said;

    if (q->reply.end == SAMPLE_LENGTH)
        return fail(
            err, ERR_LIMIT,
            "the judge %s was cut off after %zu tokens: \"max_completions_tokens\" may be larger",
            j->name, q->reply.n);
    prompter_answer(j->prompter, &q->reply, a, &said);
    *out = (struct grade_reply){
        .text = said.text,
        .usage = {.prompt = (uint32_t)q->request.n_prompt, .completion = (uint32_t)q->reply.n}};
    snprintf(out->model, sizeof out->model, "%s", j->name);
    return true;
}

bool judge_ask(void *ctx, const struct grade_question *asked, struct arena *a,
               struct grade_reply *out, struct error *err)
{
    struct judge *j = ctx;
    struct question *q = calloc(1, sizeof *q);
    json_t *messages = NULL, *vars = NULL;
    enum effort effort = EFFORT_DEFAULT;
    struct prompt prompt;

    if (q == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a question");
    bool ok = effort_read(asked->sampling, &effort, err) &&
              plain_messages(j, asked->messages, &messages, err);
    if (ok)
        vars = effort_variables(effort, j->prompter, NULL);
    ok = ok && prompter_render(j->prompter, messages, NULL, vars, a, &prompt, err) &&
         request_of(j, asked, effort, &prompt, &q->request, err) &&
         form_of(j, asked->response_format, &q->constraint, err);
    json_decref(messages);
    json_decref(vars);
    if (ok) {
        q->prompt = calloc(prompt.n, sizeof *q->prompt);
        ok = q->prompt != NULL ? true : fail(err, ERR_NO_MEMORY, "no memory for a question");
    }
    if (ok) {
        memcpy(q->prompt, prompt.tokens, prompt.n * sizeof *q->prompt);
        q->request.prompt = q->prompt;
        q->request.constraint = q->constraint;
        if (!wait_for(j, q, asked->deadline, asked->stop))
            return fail(err, ERR_TIMEOUT, "the judge %s had not replied when the time was up",
                        j->name);
        ok = q->err.kind == 0 ? read_reply(j, q, a, out, err) : (*err = q->err, false);
    }
    question_free(q);
    return ok;
}
