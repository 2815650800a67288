/*
 * history.c - a table from a prompt's hash to its latest answers, in a list by when they came.
 *
 * Two prompts with one hash of 64 bits would share their texts: that costs time and nothing else.
 */
#include "sample/history.h"
#include "sample/draft.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 4096 /* lists of prompts */

struct remembered { /* a prompt's answers */
    uint64_t key;
    struct remembered *next;          /* of its slot */
    struct remembered *older, *newer; /* by their latest answer */
    size_t n, bytes;
    struct draft_text
        texts[HISTORY_TEXTS]; /* the latest first; each one's tokens are a block of its own */
};

struct history {
    size_t max_bytes, bytes;
    struct remembered *slots[SLOTS];
    struct remembered *oldest, *newest;
};

struct history *history_open(size_t max_bytes)
{
    struct history *h = calloc(1, sizeof *h);

    if (h == NULL)
        abort(); /* a few kilobytes */
    h->max_bytes = max_bytes;
    return h;
}

static size_t bytes_of(size_t n)
{
    return n * (sizeof(token_id) + sizeof(float));
}

static struct remembered **place_of(const struct history *h, uint64_t key)
{
    struct remembered *const *at = &h->slots[key % SLOTS];

    while (*at != NULL && (*at)->key != key)
        at = &(*at)->next;
    return (struct remembered **)(uintptr_t)at;
}

static void unlink_age(struct history *h, struct remembered *x)
{
    *(x->older != NULL ? &x->older->newer : &h->oldest) = x->newer;
    *(x->newer != NULL ? &x->newer->older : &h->newest) = x->older;
}

static void link_newest(struct history *h, struct remembered *x)
{
    x->older = h->newest;
    x->newer = NULL;
    *(h->newest != NULL ? &h->newest->newer : &h->oldest) = x;
    h->newest = x;
}

static void drop_text(struct history *h, struct remembered *x, size_t i)
{
    h->bytes -= bytes_of(x->texts[i].n);
    x->bytes -= bytes_of(x->texts[i].n);
    free((void *)(uintptr_t)x->texts[i].tokens);
    x->n--;
    memmove(&x->texts[i], &x->texts[i + 1], (x->n - i) * sizeof *x->texts);
}

static void drop_prompt(struct history *h, struct remembered *x)
{
    while (x->n > 0)
        drop_text(h, x, x->n - 1);
    *place_of(h, x->key) = x->next;
    unlink_age(h, x);
    h->bytes -= sizeof *x;
    free(x);
}

void history_close(struct history *h)
{
    if (h == NULL)
        return;
    while (h->oldest != NULL)
        drop_prompt(h, h->oldest);
    assert(h->bytes == 0);
    free(h);
}

size_t history_bytes(const struct history *h)
{
    return h->bytes;
}

static struct remembered *of_prompt(struct history *h, uint64_t key)
{
    struct remembered **at = place_of(h, key), *x = *at;

    if (x != NULL) {
        unlink_age(h, x);
    } else {
        x = calloc(1, sizeof *x);
        if (x == NULL)
            return NULL;
        x->key = key;
        *at = x;
        h->bytes += sizeof *x;
    }
    link_newest(h, x);
    return x;
}

void history_add(struct history *h, const token_id *prompt, size_t n_prompt,
                 const struct draft_text *answer)
{
    const size_t n = answer->n;

    if (n == 0 || sizeof(struct remembered) + bytes_of(n) > h->max_bytes)
        return;
    token_id *tokens = malloc(bytes_of(n));
    struct remembered *x = tokens != NULL ? of_prompt(h, draft_hash(prompt, n_prompt)) : NULL;
    if (x == NULL) { /* no memory to be spared: what is not remembered is not missed */
        free(tokens);
        return;
    }
    float *logprobs = (float *)(void *)(tokens + n);

    memcpy(tokens, answer->tokens, n * sizeof *tokens);
    for (size_t i = 0; i < n; i++)
        logprobs[i] = answer->logprobs != NULL ? answer->logprobs[i] : 0;
    for (size_t i = 0; i < x->n; i++)
        if (x->texts[i].n == n && memcmp(x->texts[i].tokens, tokens, n * sizeof *tokens) == 0) {
            drop_text(h, x, i);
            break;
        }
    if (x->n == HISTORY_TEXTS)
        drop_text(h, x, x->n - 1);
    memmove(&x->texts[1], &x->texts[0], x->n * sizeof *x->texts);
    x->texts[0] = (struct draft_text){
        .tokens = tokens, .logprobs = answer->logprobs != NULL ? logprobs : NULL, .n = n};
    x->n++;
    x->bytes += bytes_of(n);
    h->bytes += bytes_of(n);
    while (h->bytes > h->max_bytes && h->oldest != x)
        drop_prompt(h, h->oldest);
    while (h->bytes > h->max_bytes && x->n > 1)
        drop_text(h, x, x->n - 1);
}

const struct draft_text *history_find(const struct history *h, const token_id *prompt,
                                      size_t n_prompt, size_t *n)
{
    const struct remembered *x = h != NULL ? *place_of(h, draft_hash(prompt, n_prompt)) : NULL;

    *n = x != NULL ? x->n : 0;
    return x != NULL ? x->texts : NULL;
}
