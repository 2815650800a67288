/*
 * engine_request.c - one request in the engine process: its body read, its prompts given to the engine, its events told.
 */
#include "base/limits.h"
#include "base/parallel.h"
#include "base/sha256.h"
#include "base/size.h"
#include "server/engine_host_internal.h"
#include "server/request_fields.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- telling ---- */

void request_tell(struct request *r, json_t *event)
{
    const bool last = wire_is_last(event);
    struct buf line;

    if (!atomic_load(&r->cancelled) && r->in_runner) {
        wire_put_event(&r->base->out, r->lead.id, event);
        r->base->out_ends = r->base->out_ends || last;
    } else if (!atomic_load(&r->cancelled)) {
        buf_init(&line, SIZE_MAX / 2);
        wire_put_event(&line, r->lead.id, event);
        host_post(r->host, buf_view(&line), last, r->base != NULL);
        buf_release(&line);
    }
    json_decref(event);
}

void request_tell_error(struct request *r, const struct error *err)
{
    request_tell(r, wire_error(err));
}

/* Known of each part once it is let in: all of it at the end, of the first parts when the answer begins. */
static json_int_t n_cached(const struct request *r)
{
    size_t n = 0;

    for (size_t i = 0; i < r->n_parts; i++)
        if (r->parts[i].ticket != NULL)
            n += engine_cached_tokens(r->parts[i].ticket);
    return (json_int_t)n;
}

static void tell_begin(struct request *r)
{
    if (r->begun)
        return;
    r->begun = true;
    request_tell(r, json_pack("{s:s, s:I, s:I}", "type", "begin", "prompt_tokens",
                              (json_int_t)r->n_prompt, "cached_tokens", n_cached(r)));
}

static void tell_done(struct request *r)
{
    const json_int_t prompt = (json_int_t)r->n_prompt, sampled = (json_int_t)r->n_sampled;

    request_tell(r, json_pack("{s:s, s:{s:I, s:I, s:I, s:{s:I}, s:{s:I}}}", "type", "done", "usage",
                              "prompt_tokens", prompt, "completion_tokens", sampled, "total_tokens",
                              prompt + sampled, "prompt_tokens_details", "cached_tokens",
                              n_cached(r), "completion_tokens_details", "reasoning_tokens",
                              (json_int_t)r->n_thinking));
}

/* ---- reading: the reader's part ---- */

static bool make_parts(struct request *r, size_t n)
{
    r->parts = ARENA_ARRAY(&r->arena, struct part, n);
    r->n_parts = n;
    for (size_t i = 0; i < n; i++)
        r->parts[i].request = r;
    return true;
}

static void make_events(struct request *r, struct part *p)
{
    p->events = ARENA_ARRAY(&r->arena, struct answer_events, p->sample.n_samples);
    for (size_t i = 0; i < p->sample.n_samples; i++)
        answer_events_init(&p->events[i], &r->look, p->first + i);
}

/* What chat_request_read leaves to us. */
static const char *const read_here[] = {"stream", "stream_options", "top_logprobs"};

static bool read_chat(struct request *r, struct error *err)
{
    const struct model *m = r->base->model;
    const struct chat_defaults def = {
        .model = r->lead.model.name,
        .pick = pick_defaults(),
        .max_positions = r->lead.op == ENGINE_COUNT ? SIZE_MAX / 2 : m->max_positions,
    };
    json_t *body = json_copy(r->tree);
    size_t n_top = 0;

    for (size_t i = 0; i < COUNT_OF(read_here) && json_is_object(body); i++)
        json_object_del(body, read_here[i]);
    bool ok = chat_request_read(body, r->tuned->prompter, &def, &r->arena, &r->chat, err) &&
              field_size(r->tree, "top_logprobs", 0, PICK_MAX_TOP, &n_top, err);
    json_decref(body); /* what the request points to is r->tree's, too */
    if (ok && n_top > 0 && !r->chat.logprobs)
        ok = fail_param(err, ERR_INVALID, "top_logprobs",
                        "the request: \"top_logprobs\" is told with \"logprobs\" alone, which is "
                        "not on");
    r->chat.sample.n_top = n_top;
    return ok;
}

static bool prepare_chat(struct request *r, struct error *err)
{
    if (!read_chat(r, err))
        return false;
    const struct sha256_text name = sha256_of(r->body.ptr, r->body.len);
    r->look = (struct answer_events_options){
        .chat = &r->chat,
        .prompter = r->tuned->prompter,
        .id = arena_printf(&r->arena, "chatcmpl-%.24s",
                           name.hex), /* calls get the same ids when asked anew */
        .config = &r->base->model->config,
        .tokenizer = prompter_tokenizer(r->tuned->prompter),
        .stop = r->chat.stop,
        .n_stop = r->chat.sample.n_stop,
        .logprobs = r->chat.logprobs,
        .deltas = r->lead.stream,
    };
    r->n_prompt = r->chat.prompt.n;
    make_parts(r, 1);
    r->parts[0].sample = r->chat.sample;
    make_events(r, &r->parts[0]);
    return true;
}

static bool answer_count(struct request *r, struct error *err)
{
    if (!read_chat(r, err))
        return false;
    request_tell(r, json_pack("{s:s, s:I}", "type", "result", "prompt_tokens",
                              (json_int_t)r->chat.prompt.n));
    return true;
}

static bool prepare_completion(struct request *r, struct error *err)
{
    const struct model *m = r->base->model;
    struct completion_request *c = &r->completion;

    if (!completion_read(r->tree, m, r->lead.stream, &r->arena, c, err))
        return false;
    r->look = (struct answer_events_options){.config = &m->config,
                                             .tokenizer = model_files_tokenizer(m->files),
                                             .stop = c->stop,
                                             .n_stop = c->n_stop,
                                             .logprobs = c->logprobs,
                                             .deltas = r->lead.stream};
    make_parts(r, c->n_prompts);
    for (size_t i = 0; i < c->n_prompts; i++) {
        struct part *p = &r->parts[i];

        p->first = i * c->n;
        p->sample = (struct sample_request){
            .prompt = c->prompts[i].tokens,
            .n_prompt = c->prompts[i].n,
            .n_samples = c->best_of,
            .max_tokens = size_min(c->max_tokens, m->max_positions - c->prompts[i].n),
            .pick = c->pick,
            .stop = c->stop,
            .n_stop = c->n_stop,
            .n_top = c->n_top,
            .seed = c->seed,
            .purpose = PHILOX_EVAL,
            .item = (uint32_t)i,
        };
        r->n_prompt += c->prompts[i].n;
        make_events(r, p);
        if (c->best_of > c->n)
            p->choices = ARENA_ARRAY(&r->arena, json_t *, c->best_of);
    }
    return true;
}

/* ---- vectors ---- */

struct token_input {
    int32_t *tokens; /* [n]; NULL: it is a text */
    size_t n;
};

struct embedding {
    const struct encoder *encoder;
    const json_t *texts;     /* or lists of tokens */
    struct token_input *ids; /* [n] of those that are lists */
    size_t width, cut;
    float *vectors; /* [n, width] */
    size_t *n_tokens;
    struct error *errors;
    const atomic_bool *cancelled;
};

static void embed_one(void *ctx, size_t i, int thread)
{
    const struct embedding *e = ctx;
    const struct token_input *ids = &e->ids[i];
    float *v = e->vectors + i * e->width;
    double sum = 0;

    (void)thread;
    if (atomic_load(e->cancelled))
        return;
    if (ids->tokens == NULL ? !encoder_embed(e->encoder, json_str(json_array_get(e->texts, i)), v,
                                             &e->n_tokens[i], NULL, &e->errors[i])
                            : !encoder_embed_tokens(e->encoder, ids->tokens, ids->n, v,
                                                    &e->n_tokens[i], NULL, &e->errors[i]))
        return;
    for (size_t k = 0; k < e->cut; k++)
        sum += (double)v[k] * (double)v[k];
    for (size_t k = 0; e->cut < e->width && sum > 0 && k < e->cut; k++)
        v[k] = (float)((double)v[k] / sqrt(sum)); /* a shorter one has length 1, too */
}

static json_t *vectors_json(const struct embedding *e)
{
    json_t *all = json_array();

    for (size_t i = 0; i < json_array_size(e->texts); i++) {
        json_t *one = json_array();

        for (size_t k = 0; k < e->cut; k++)
            json_array_append_new(one, json_float(e->vectors[i * e->width + k]));
        json_array_append_new(all, one);
    }
    return all;
}

static bool read_tokens(const json_t *list, struct arena *a, struct token_input *out,
                        struct error *err)
{
    out->n = json_array_size(list);
    if (out->n == 0 || out->n > LIMIT_EMBED_TOKENS)
        return fail_param(
            err, ERR_INVALID, "input",
            "the request: \"input\" holds a list of %zu tokens, 1 to %zu are possible", out->n,
            LIMIT_EMBED_TOKENS);
    out->tokens = ARENA_ARRAY(a, int32_t, out->n);
    for (size_t i = 0; i < out->n; i++) {
        const json_t *v = json_array_get(list, i);
        const json_int_t id = json_integer_value(v);

        if (!json_is_integer(v) || id < 0 || id > INT32_MAX)
            return fail_param(
                err, ERR_INVALID, "input",
                "the request: \"input\" holds %s in a list of tokens, which are whole "
                "numbers from 0",
                json_is_integer(v) ? "a number that is none" : json_kind(v));
        out->tokens[i] = (int32_t)id;
    }
    return true;
}

static bool read_input(const json_t *texts, struct arena *a, struct token_input **out,
                       struct error *err)
{
    const size_t n = json_array_size(texts);

    if (!json_is_array(texts) || n == 0 || n > LIMIT_EMBED_INPUTS)
        return fail_param(err, ERR_INVALID, "input",
                          "the request: \"input\" must be a text or a list of 1 to %zu texts, or "
                          "tokens of the model in place of each",
                          LIMIT_EMBED_INPUTS);
    *out = ARENA_ARRAY(a, struct token_input, n);
    memset(*out, 0, n * sizeof **out);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(texts, i);

        if (json_is_array(v)) {
            if (!read_tokens(v, a, &(*out)[i], err))
                return false;
            continue;
        }
        if (!json_is_string(v) || json_string_length(v) == 0)
            return fail_param(err, ERR_INVALID, "input",
                              "the request: \"input\" holds %s, a text was expected",
                              json_is_string(v) ? "an empty text" : json_kind(v));
    }
    return true;
}

static bool embed(struct request *r, const json_t *texts, struct error *err)
{
    const size_t n = json_array_size(texts), width = encoder_width(r->base->encoder);
    struct embedding e = {.encoder = r->base->encoder,
                          .texts = texts,
                          .width = width,
                          .cut = width,
                          .cancelled = &r->cancelled};
    size_t sum = 0;

    if (!read_input(texts, &r->arena, &e.ids, err) ||
        !field_size(r->tree, "dimensions", 1, width, &e.cut, err))
        return false;
    e.vectors = ARENA_ARRAY(&r->arena, float, n *width);
    e.n_tokens = ARENA_ARRAY(&r->arena, size_t, n);
    e.errors = ARENA_ARRAY(&r->arena, struct error, n);
    parallel_for(n, embed_one, &e);
    for (size_t i = 0; i < n; i++) {
        if (e.errors[i].kind != ERR_NONE) {
            *err = e.errors[i];
            if (e.ids[i].tokens != NULL)
                snprintf(err->param, sizeof err->param, "input");
            return false;
        }
        sum += e.n_tokens[i];
    }
    request_tell(r, json_pack("{s:s, s:o, s:I}", "type", "result", "embeddings", vectors_json(&e),
                              "prompt_tokens", (json_int_t)sum));
    return true;
}

static bool answer_embed(struct request *r, struct error *err)
{
    json_t *input = json_object_get(r->tree, "input");
    const bool is_one = json_is_string(input) || json_is_integer(json_array_get(input, 0));
    json_t *texts = is_one ? json_pack("[O]", input) : json_incref(input);
    const bool ok = embed(r, texts, err);

    json_decref(texts);
    return ok;
}

bool request_read(struct request *r, struct error *err)
{
    if (!json_parse(r->body, "the request", &r->tree, err))
        return false;
    if (!json_is_object(r->tree))
        return fail(err, ERR_INVALID, "the request is %s, an object was expected",
                    json_kind(r->tree));
    switch (r->lead.op) {
    case ENGINE_CHAT:
        return prepare_chat(r, err);
    case ENGINE_COMPLETE:
        return prepare_completion(r, err);
    case ENGINE_EMBED:
        return answer_embed(r, err);
    case ENGINE_COUNT:
        return answer_count(r, err);
    case ENGINE_SCORE:
        return make_parts(r, 1) && score_read(r, err);
    }
    return fail(err, ERR_INVALID, "nothing of this kind can be asked");
}

/* ---- running: the runner's part ---- */

static void tell_news(struct part *p, size_t sample)
{
    json_t *delta = p->request->lead.stream ? answer_events_delta(&p->events[sample]) : NULL;

    if (delta != NULL)
        request_tell(p->request, delta);
}

static void on_token(void *ctx, size_t sample, const struct token_told *t)
{
    struct part *p = ctx;
    struct request *r = p->request;

    tell_begin(r);
    answer_events_token(&p->events[sample], t);
    tell_news(p, sample);
}

static const char *end_name(const struct sample *s)
{
    return s->end == SAMPLE_LENGTH ? "length" : "stop";
}

static json_t *chat_choice(const struct part *p, size_t sample, const struct sample *s)
{
    const struct request *r = p->request;
    const char *finish_reason;
    struct arena a = {0};

    json_t *message = chat_message(&r->chat, r->tuned->prompter, s, p->first + sample, r->look.id,
                                   &a, &finish_reason);
    arena_release(&a);
    return json_pack("{s:s, s:I, s:s, s:o, s:o}", "type", "choice", "choice",
                     (json_int_t)(p->first + sample), "finish_reason", finish_reason, "message",
                     message, "logprobs", answer_events_logprobs(&p->events[sample]));
}

static json_t *text_choice(const struct part *p, size_t sample, const char *end)
{
    const struct answer_events *e = &p->events[sample];

    return json_pack("{s:s, s:I, s:s, s:o, s:o}", "type", "choice", "choice",
                     (json_int_t)(p->first + sample), "finish_reason", end, "text",
                     json_stringn(buf_view(&e->all).ptr, e->all.len), "logprobs",
                     answer_events_logprobs(e));
}

/* Of all that were sampled, the n whose tokens are likeliest on average, the best first. */
static void tell_best(struct part *p)
{
    struct request *r = p->request;
    bool *told = ARENA_ARRAY(&r->arena, bool, p->sample.n_samples);

    for (size_t k = 0; k < r->completion.n; k++) {
        size_t best = SIZE_MAX;
        double most = 0;

        for (size_t i = 0; i < p->sample.n_samples; i++) {
            const struct answer_events *e = &p->events[i];
            const double mean = e->n_tokens > 0 ? e->logp_sum / (double)e->n_tokens : 0;

            if (!told[i] && (best == SIZE_MAX || mean > most)) {
                best = i;
                most = mean;
            }
        }
        told[best] = true;
        json_object_set_new(p->choices[best], "choice", json_integer((json_int_t)(p->first + k)));
        request_tell(r, json_incref(p->choices[best]));
    }
}

/* One answer of p is whole. */
static void end_choice(struct part *p, size_t sample, json_t *choice)
{
    struct request *r = p->request;

    if (p->choices != NULL)
        p->choices[sample] = choice;
    else
        request_tell(r, choice);
    if (++p->n_done < p->sample.n_samples)
        return;
    if (p->choices != NULL)
        tell_best(p);
    if (++r->n_ended == r->n_parts)
        tell_done(r);
}

static void on_done(void *ctx, size_t sample, const struct sample *s)
{
    struct part *p = ctx;
    struct request *r = p->request;

    tell_begin(r);
    answer_events_end(&p->events[sample], s->stop_bytes);
    tell_news(p, sample);
    r->n_sampled += s->n;
    r->n_thinking += s->n_thinking;
    json_t *choice =
        r->lead.op == ENGINE_CHAT ? chat_choice(p, sample, s) : text_choice(p, sample, end_name(s));
    json_object_set_new(choice, "completion_tokens", json_integer((json_int_t)s->n));
    json_object_set_new(choice, "reasoning_tokens", json_integer((json_int_t)s->n_thinking));
    end_choice(p, sample, choice);
}

/* The prompt's own entries; the first token follows nothing, so nothing is known of it. */
static bool prompt_entries(struct request *r, const struct completion_prompt *c, json_t **out,
                           struct error *err)
{
    float *logps = ARENA_ARRAY(&r->arena, float, c->n);

    if (!engine_score(r->base->engine, r->tuned->adapter, c->tokens, c->n, 1, logps, err))
        return false;
    *out = json_array();
    for (size_t i = c->n_bos; i < c->n; i++)
        json_array_append_new(*out,
                              token_entry(r->look.tokenizer, c->tokens[i], i > 0 ? &logps[i] : NULL,
                                          r->completion.n_top, NULL, NULL));
    return true;
}

static bool echo(struct part *p, const struct completion_prompt *c, struct error *err)
{
    struct request *r = p->request;
    json_t *entries = NULL;
    struct buf text;

    if (r->look.logprobs && !prompt_entries(r, c, &entries, err))
        return false;
    buf_init(&text, LIMIT_RENDER_BYTES);
    tokenizer_decode(r->look.tokenizer, c->tokens + c->n_bos, c->n - c->n_bos, false, &text);
    for (size_t i = 0; i < p->sample.n_samples; i++) {
        answer_events_echo(&p->events[i], buf_view(&text), json_incref(entries));
        if (p->sample.max_tokens > 0)
            continue;
        tell_begin(r);
        answer_events_end(&p->events[i], SIZE_MAX);
        tell_news(p, i);
        json_t *choice = text_choice(p, i, "length");
        json_object_set_new(choice, "completion_tokens", json_integer(0));
        json_object_set_new(choice, "reasoning_tokens", json_integer(0));
        end_choice(p, i, choice);
    }
    buf_release(&text);
    json_decref(entries);
    return true;
}

bool request_submit(struct request *r, struct error *err)
{
    bool ok = true;

    if (r->lead.op == ENGINE_SCORE) {
        r->n_ended = r->n_parts;
        return score_tell(r, err);
    }
    for (size_t i = 0; ok && i < r->n_parts; i++) {
        struct part *p = &r->parts[i];
        const struct engine_calls calls = {.ctx = p, .token = on_token, .done = on_done};

        if (r->lead.op == ENGINE_COMPLETE && r->completion.echo)
            ok = echo(p, &r->completion.prompts[i], err);
        if (ok && p->sample.max_tokens > 0)
            ok = engine_submit(r->base->engine, r->tuned->adapter, &p->sample, &calls, &p->ticket,
                               err);
    }
    return ok;
}

bool request_is_over(const struct request *r)
{
    return r->n_ended == r->n_parts;
}

void request_release(struct request *r)
{
    for (size_t i = 0; i < r->n_parts; i++) {
        struct part *p = &r->parts[i];

        engine_release(p->ticket);
        p->ticket = NULL;
        for (size_t k = 0; k < p->sample.n_samples; k++) {
            answer_events_release(&p->events[k]);
            if (p->choices != NULL)
                json_decref(p->choices[k]);
        }
    }
    r->n_parts = 0;
    chat_request_release(&r->chat);
}
