/*
 * draft.c - tables of pairs and fives of tokens, and of whole beginnings, over the texts of one request.
 */
#include "sample/draft.h"
#include "base/size.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LOOK 16           /* tokens that are compared before a place */
#define TRIES 16          /* places of one pair or five that are compared, the latest first */
#define LONG_GRAM 5       /* a pair is common: the five before it tells more */
#define MAX_PLACES 200000 /* of one request; what comes later is not looked up */
#define MAX_TOLD 8192 /* tokens of texts given that are looked at, of the first texts: a megabyte */

uint64_t draft_hash(const token_id *tokens, size_t n)
{
    uint64_t h = UINT64_C(0x9E3779B97F4A7C15);

    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint32_t)tokens[i]) * UINT64_C(0xFF51AFD7ED558CCD) + (h >> 29);
    return h;
}

static uint64_t hash_on(uint64_t h, token_id id)
{
    return (h ^ (uint32_t)id) * UINT64_C(0xFF51AFD7ED558CCD) + (h >> 29);
}

/* Where a token stands: what follows it is at `at + 1` of the text. */
struct place {
    uint32_t text, at;
    uint32_t next_pair, next_five; /* the place before with the same hash, from 1 on; 0: none */
};

/* What the texts go on with after a beginning: the likeliest of them. */
struct beginning {
    uint64_t key; /* 0: none */
    uint32_t text, at;
    float logp;
};

struct draft_index {
    const token_id *prompt;
    size_t n_prompt;
    const struct draft_text *texts;
    size_t n_texts;
    const struct draft_own *own;
    struct place *places;
    size_t n_places, cap_places;
    uint32_t *pairs, *fives; /* [n_slots] */
    size_t n_slots;
    struct beginning *beginnings; /* [n_beginnings] a power of two, or 0 */
    size_t n_beginnings;
};

/* Texts are numbered: the prompt, those given, the request's own. */
static size_t length_of(const struct draft_index *x, size_t text)
{
    return text == 0            ? x->n_prompt
           : text <= x->n_texts ? x->texts[text - 1].n
                                : *x->own[text - 1 - x->n_texts].n;
}

static const token_id *tokens_of(const struct draft_index *x, size_t text)
{
    return text == 0            ? x->prompt
           : text <= x->n_texts ? x->texts[text - 1].tokens
                                : x->own[text - 1 - x->n_texts].tokens;
}

static const float *logprobs_of(const struct draft_index *x, size_t text)
{
    return text == 0            ? NULL
           : text <= x->n_texts ? x->texts[text - 1].logprobs
                                : x->own[text - 1 - x->n_texts].logprobs;
}

/* The token `back` before the one at `at`; an answer follows the prompt. False: there is none. */
static bool token_before(const struct draft_index *x, size_t text, size_t at, size_t back,
                         token_id *id)
{
    if (back <= at) {
        *id = tokens_of(x, text)[at - back];
        return true;
    }
    back -= at + 1;
    if (text == 0 || back >= x->n_prompt)
        return false;
    *id = x->prompt[x->n_prompt - 1 - back];
    return true;
}

static size_t slot_of(const struct draft_index *x, const token_id *newest_first, size_t n)
{
    return draft_hash(newest_first, n) % x->n_slots;
}

static void put_place(struct draft_index *x, size_t text, size_t at)
{
    token_id gram[LONG_GRAM];
    size_t n = 0;

    if (x->n_places == MAX_PLACES)
        return;
    while (n < LONG_GRAM && token_before(x, text, at, n, &gram[n]))
        n++;
    if (n < 2)
        return;
    if (x->n_places == x->cap_places) {
        const size_t cap = size_max(256, 2 * x->cap_places);
        struct place *grown = realloc(x->places, cap * sizeof *grown);

        if (grown == NULL)
            return;
        x->places = grown;
        x->cap_places = cap;
    }
    struct place *p = &x->places[x->n_places++];
    uint32_t *pair = &x->pairs[slot_of(x, gram, 2)];

    *p = (struct place){.text = (uint32_t)text, .at = (uint32_t)at, .next_pair = *pair};
    *pair = (uint32_t)x->n_places;
    if (n == LONG_GRAM) {
        uint32_t *five = &x->fives[slot_of(x, gram, LONG_GRAM)];

        p->next_five = *five;
        *five = (uint32_t)x->n_places;
    }
}

static struct beginning *beginning_of(const struct draft_index *x, uint64_t key)
{
    size_t i = key & (x->n_beginnings - 1);

    while (x->beginnings[i].key != 0 && x->beginnings[i].key != key)
        i = (i + 1) & (x->n_beginnings - 1);
    return &x->beginnings[i];
}

static void put_beginnings(struct draft_index *x, size_t text)
{
    const struct draft_text *t = &x->texts[text - 1];
    uint64_t h = draft_hash(NULL, 0);

    for (size_t i = 0; i < t->n; i++, h = hash_on(h, t->tokens[i - 1])) {
        struct beginning *b = beginning_of(x, h | 1);
        const float logp = t->logprobs != NULL ? t->logprobs[i] : 0;

        if (b->key == 0 || logp > b->logp)
            *b = (struct beginning){
                .key = h | 1, .text = (uint32_t)text, .at = (uint32_t)i, .logp = logp};
    }
}

struct draft_index *draft_index_open(const token_id *prompt, size_t n_prompt,
                                     const struct draft_text *texts, size_t n_texts,
                                     const struct draft_own *own, size_t n_own)
{
    struct draft_index *x = calloc(1, sizeof *x);
    size_t n_tokens = 0;

    if (x == NULL)
        return NULL;
    *x = (struct draft_index){
        .prompt = prompt, .n_prompt = n_prompt, .texts = texts, .own = own, .n_slots = 256};
    while (x->n_texts < n_texts && n_tokens + texts[x->n_texts].n <= MAX_TOLD)
        n_tokens += texts[x->n_texts++].n;
    while (x->n_slots < size_min(MAX_PLACES, n_prompt + n_tokens + 256 * n_own))
        x->n_slots *= 2;
    x->pairs = calloc(x->n_slots, sizeof *x->pairs);
    x->fives = calloc(x->n_slots, sizeof *x->fives);
    for (x->n_beginnings = 16; x->n_beginnings < 2 * n_tokens + 2;)
        x->n_beginnings *= 2;
    x->beginnings = calloc(x->n_beginnings, sizeof *x->beginnings);
    if (x->pairs == NULL || x->fives == NULL || x->beginnings == NULL) {
        draft_index_close(x);
        return NULL;
    }
    for (size_t i = 0; i < n_prompt; i++)
        put_place(x, 0, i);
    for (size_t t = x->n_texts; t > 0; t--) { /* the latest is found first */
        put_beginnings(x, t);
        for (size_t i = 0; i < texts[t - 1].n; i++)
            put_place(x, t, i);
    }
    return x;
}

void draft_index_close(struct draft_index *x)
{
    if (x == NULL)
        return;
    free(x->places);
    free(x->pairs);
    free(x->fives);
    free(x->beginnings);
    free(x);
}

void draft_index_grown(struct draft_index *x, size_t i)
{
    put_place(x, 1 + x->n_texts + i, *x->own[i].n - 1);
}

/* ---- guessing ---- */

struct trail { /* a text that goes on as the answer does: n tokens before `at` and it agree */
    size_t text, at, n;
};

/* recent [n_recent], the newest first. The longest agreement among the latest places in a list. */
static void look(const struct draft_index *x, uint32_t place, bool fives, const token_id *recent,
                 size_t n_recent, struct trail *best)
{
    for (size_t tries = 0; place != 0 && tries < TRIES; tries++) {
        const struct place *p = &x->places[place - 1];
        size_t n = 0;
        token_id id;

        while (n < n_recent && token_before(x, p->text, p->at, n, &id) && id == recent[n])
            n++;
        if (n >= 2 && n > best->n && p->at + 1 < length_of(x, p->text))
            *best = (struct trail){p->text, p->at, n};
        place = fives ? p->next_five : p->next_pair;
    }
}

static struct trail find(const struct draft_index *x, const token_id *recent, size_t n)
{
    struct trail best = {0};

    if (n >= LONG_GRAM)
        look(x, x->fives[slot_of(x, recent, LONG_GRAM)], true, recent, n, &best);
    if (best.n == 0 && n >= 2)
        look(x, x->pairs[slot_of(x, recent, 2)], false, recent, n, &best);
    return best;
}

/* Class 0: the answer began like the text. Else who wrote it, and how much agrees. */
static uint8_t kind_of(const struct draft_index *x, size_t text, size_t at, bool aligned,
                       size_t n_agree)
{
    const float *logprobs = logprobs_of(x, text);
    const double p = logprobs != NULL ? exp((double)logprobs[at]) : 0;
    const size_t likely = logprobs == NULL ? 0 : p < 0.3 ? 1 : p < 0.7 ? 2 : p < 0.95 ? 3 : 4;
    const size_t from = text == 0            ? 2
                        : text <= x->n_texts ? 0
                                             : 1,
                 much = n_agree < LONG_GRAM ? 0
                        : n_agree < 10      ? 1
                                            : 2;

    return (uint8_t)((aligned ? 0 : 1 + 3 * from + much) * DRAFT_LIKELY + likely);
}

static void push(token_id *recent, size_t *n, token_id id)
{
    *n = size_min(*n + 1, LOOK);
    memmove(recent + 1, recent, (*n - 1) * sizeof *recent);
    recent[0] = id;
}

size_t draft_guess(const struct draft_index *x, size_t i, size_t most, struct drafted *out)
{
    const size_t own = 1 + x->n_texts + i, n = length_of(x, own);
    uint64_t h = draft_hash(tokens_of(x, own), n);
    token_id recent[LOOK];
    struct trail trail = {0};
    size_t n_recent = 0, k = 0;

    while (n_recent < LOOK && token_before(x, own, n - 1, n_recent, &recent[n_recent]))
        n_recent++;
    for (; k < most; k++) {
        const struct beginning *b = beginning_of(x, h | 1);
        const bool aligned = b->key != 0;

        if (aligned)
            trail = (struct trail){b->text, b->at, LOOK};
        else if (trail.n > 0 && trail.at + 1 < length_of(x, trail.text))
            trail = (struct trail){trail.text, trail.at + 1, trail.n + 1};
        else {
            trail = find(x, recent, n_recent);
            if (trail.n == 0)
                break;
            trail.at++;
        }
        out[k] = (struct drafted){.id = tokens_of(x, trail.text)[trail.at],
                                  .kind = kind_of(x, trail.text, trail.at, aligned, trail.n)};
        h = hash_on(h, out[k].id);
        push(recent, &n_recent, out[k].id);
    }
    return k;
}
