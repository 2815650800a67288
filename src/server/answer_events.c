/*
 * answer_events.c - token -> stop texts -> thinking or text -> delta.
 */
#include "server/answer_events.h"
#include "base/limits.h"
#include "base/size.h"

#include <stdio.h>
#include <stdlib.h>

struct held_token {
    struct str bytes;
    bool special;
    json_t *entry; /* NULL: none is wanted */
};

static bool feeds(const struct answer_events_options *o)
{
    return o->chat != NULL && o->deltas;
}

/* Whether tokens are held here: the feed has its own way of holding them. */
static bool holds(const struct answer_events_options *o)
{
    return o->chat == NULL || o->logprobs;
}

void answer_events_init(struct answer_events *x, const struct answer_events_options *opt,
                        size_t choice)
{
    *x = (struct answer_events){.opt = opt, .choice = choice};
    if (feeds(opt))
        chat_feed_init(&x->feed, opt->chat, opt->prompter, opt->id, choice);
    if (opt->chat != NULL)
        chat_stream_init(&x->chat, opt->prompter, opt->chat->prompt.thinking,
                         opt->chat->tools.callable != NULL);
    buf_init(&x->text, LIMIT_RENDER_BYTES);
    buf_init(&x->all, LIMIT_RENDER_BYTES);
    if (opt->logprobs) {
        x->undecided = json_array();
        x->news = json_array();
        x->entries = json_array();
    }
}

void answer_events_release(struct answer_events *x)
{
    if (x->opt == NULL)
        return;
    if (feeds(x->opt))
        chat_feed_release(&x->feed);
    if (x->opt->chat != NULL)
        chat_stream_release(&x->chat);
    json_decref(x->fed);
    for (size_t i = 0; i < x->n_held; i++)
        json_decref(x->held[i].entry);
    free(x->held);
    buf_release(&x->text);
    buf_release(&x->all);
    json_decref(x->undecided);
    json_decref(x->news);
    json_decref(x->entries);
    *x = (struct answer_events){0};
}

/* ---- log-probabilities ---- */

json_t *json_float(float x)
{
    char digits[32];

    snprintf(digits, sizeof digits, "%.9g", (double)x);
    return json_real(strtod(digits, NULL));
}

json_t *token_entry(const struct tokenizer *t, token_id id, const float *logp, size_t n_top,
                    const token_id *top_ids, const float *top_logps)
{
    const struct str bytes = tokenizer_bytes(t, id);
    json_t *list = json_array(), *entry;
    struct buf text;

    for (size_t i = 0; i < bytes.len; i++)
        json_array_append_new(list, json_integer((unsigned char)bytes.ptr[i]));
    buf_init(&text, (size_t)1 << 24);
    tokenizer_decode(t, &id, 1, false, &text);
    entry = json_pack("{s:o, s:o, s:o}", "token", json_stringn(buf_view(&text).ptr, text.len),
                      "logprob", logp != NULL ? json_float(*logp) : json_null(), "bytes", list);
    buf_release(&text);
    if (top_ids != NULL || n_top == 0) {
        json_t *top = json_array();

        for (size_t i = 0; i < n_top; i++) {
            json_t *one = token_entry(t, top_ids[i], &top_logps[i], 0, NULL, NULL);

            json_object_del(one, "top_logprobs");
            json_array_append_new(top, one);
        }
        json_object_set_new(entry, "top_logprobs", top);
    }
    return entry;
}

static void put_entry(struct answer_events *x, json_t *entry)
{
    json_array_append(x->news, entry);
    json_array_append(x->entries, entry);
}

/* Entries are those of the answer: what was thought, the tags included, has none. was: the state before the token. */
static void sort_entry(struct answer_events *x, enum chat_state was, json_t *entry)
{
    if (x->opt->chat == NULL || was == CHAT_ANSWERING) {
        put_entry(x, entry);
        return;
    }
    json_array_append(x->undecided, entry);
    if (x->chat.state == CHAT_UNDECIDED)
        return;
    const bool thought = was == CHAT_THINKING || x->chat.state == CHAT_THINKING || x->chat.trim;
    json_t *one;
    size_t i;

    json_array_foreach(x->undecided, i, one) if (!thought) put_entry(x, one);
    json_array_clear(x->undecided);
}

/* ---- text ---- */

static void put_text(struct answer_events *x, struct str bytes, bool special)
{
    if (x->opt->chat != NULL) {
        chat_stream_put(&x->chat, bytes, special, &x->text, &x->text);
        buf_clear(&x->text); /* the feed tells it */
    } else if (!special) {
        const size_t from = x->text.len;

        utf8_stream_put(&x->utf8, bytes, &x->text);
        buf_str(&x->all, str_from(buf_view(&x->text), from));
    }
}

/* The first held token, or its first n bytes, is certainly part of the answer. */
static void let_go(struct answer_events *x, size_t n)
{
    struct held_token *h = &x->held[0];
    const enum chat_state was = x->chat.state;

    put_text(x, (struct str){h->bytes.ptr, size_min(n, h->bytes.len)}, h->special);
    x->n_bytes += size_min(n, h->bytes.len);
    if (h->entry != NULL)
        sort_entry(x, was, h->entry);
    json_decref(h->entry);
    memmove(x->held, x->held + 1, --x->n_held * sizeof *h);
}

/* How many bytes of text are before all stop texts, those that only begin at its end included. */
static size_t before_stop(const struct answer_events_options *o, struct str text)
{
    size_t certain = text.len;

    for (size_t i = 0; i < o->n_stop; i++) {
        certain = size_min(certain, str_find(text, o->stop[i], 0));
        for (size_t n = size_min(text.len, o->stop[i].len - 1); n > text.len - certain; n--)
            if (memcmp(text.ptr + text.len - n, o->stop[i].ptr, n) == 0)
                certain = text.len - n;
    }
    return certain;
}

static void release_certain(struct answer_events *x)
{
    struct buf b;

    buf_init(&b, LIMIT_RENDER_BYTES);
    for (size_t i = 0; i < x->n_held; i++)
        buf_str(&b, x->held[i].bytes);
    size_t certain = before_stop(x->opt, buf_view(&b));
    buf_release(&b);
    while (x->n_held > 0 && x->held[0].bytes.len <= certain) {
        certain -= x->held[0].bytes.len;
        let_go(x, SIZE_MAX);
    }
}

static void hold(struct answer_events *x, const struct token_told *t)
{
    const struct answer_events_options *o = x->opt;

    if (config_is_end(o->config, t->id))
        return;
    if (x->n_held == x->cap_held) {
        x->cap_held = size_max(8, 2 * x->cap_held);
        x->held = realloc(x->held, x->cap_held * sizeof *x->held);
        if (x->held == NULL)
            abort(); /* a few kilobytes */
    }
    x->held[x->n_held++] = (struct held_token){
        .bytes = tokenizer_bytes(o->tokenizer, t->id),
        .special = tokenizer_is_special(o->tokenizer, t->id),
        .entry = o->logprobs ? token_entry(o->tokenizer, t->id, &t->logp, t->n_top, t->top_ids,
                                           t->top_logps)
                             : NULL,
    };
    if (o->n_stop > 0)
        release_certain(x);
    else
        let_go(x, SIZE_MAX);
}

void answer_events_token(struct answer_events *x, const struct token_told *t)
{
    x->logp_sum += (double)t->logp;
    x->n_tokens++;
    if (feeds(x->opt)) {
        json_decref(x->fed); /* NULL: each is told before the next token */
        x->fed = chat_feed_put(&x->feed, t->id);
    }
    if (holds(x->opt))
        hold(x, t);
}

void answer_events_end(struct answer_events *x, size_t stop_bytes)
{
    json_t *one;
    size_t i;

    if (feeds(x->opt)) {
        json_decref(x->fed);
        x->fed = chat_feed_end(&x->feed);
    }
    while (x->n_held > 0 && x->n_bytes < stop_bytes)
        let_go(x, stop_bytes - x->n_bytes);
    if (x->opt->chat == NULL) {
        const size_t from = x->text.len;

        utf8_stream_end(&x->utf8, &x->text);
        buf_str(&x->all, str_from(buf_view(&x->text), from));
    }
    json_array_foreach(x->undecided, i, one) if (
        !x->chat.inside) /* it never said what it is: inside a span it was thought, else said */
        put_entry(x, one);
    json_array_clear(x->undecided);
    x->ended = true;
}

void answer_events_echo(struct answer_events *x, struct str text, json_t *entries)
{
    json_t *one;
    size_t i;

    buf_str(&x->text, text);
    buf_str(&x->all, text);
    if (x->opt->logprobs)
        json_array_foreach(entries, i, one) put_entry(x, one);
    json_decref(entries);
}

static size_t characters(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.ptr[i] & 0xC0) != 0x80;
    return n;
}

/* What is new of a completion. */
static json_t *text_delta(struct answer_events *x)
{
    json_t *d = json_pack("{s:o, s:I}", "text", json_stringn(buf_view(&x->text).ptr, x->text.len),
                          "text_offset", (json_int_t)x->n_told);

    x->n_told += characters(buf_view(&x->text));
    buf_clear(&x->text);
    return d;
}

json_t *answer_events_delta(struct answer_events *x)
{
    const bool last =
        x->ended && json_array_size(x->news) > 0; /* entries go with a text, if any comes */
    json_t *d = x->fed;

    x->fed = NULL;
    if (x->opt->chat == NULL && (x->text.len > 0 || last))
        d = text_delta(x);
    if (d == NULL && last)
        d = json_object();
    if (d == NULL)
        return NULL;
    json_object_set_new(d, "type", json_string("delta"));
    json_object_set_new(d, "choice", json_integer((json_int_t)x->choice));
    if (json_array_size(x->news) > 0) {
        json_object_set(d, "logprobs", x->news);
        json_decref(x->news);
        x->news = json_array();
    }
    return d;
}

json_t *answer_events_logprobs(const struct answer_events *x)
{
    return x->opt->logprobs ? json_pack("{s:O, s:n}", "content", x->entries, "refusal")
                            : json_null();
}
