/*
 * constraint.c - the tree of tokens, walked and remembered.
 */
#include "sample/constraint.h"
#include "base/limits.h"
#include "base/size.h"
#include "sample/thinking.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define MOST_TOKEN_BYTES 256
#define KEPT_BYTES ((size_t)64 << 20) /* masks of one constraint */

/*
 * A node of the tree of tokens, in preorder: a node's first child, if it has one, is the next node. Tokens are in the same
 * order, so that those which begin with a node's text are a range, and those which are that text its beginning.
 */
struct token_node {
    uint32_t behind; /* the first node that is not below this one */
    uint32_t tokens; /* its first token, in ids[]; where the next node's begin, its own end */
    uint16_t depth;  /* bytes from the root, 1 and more */
    uint8_t byte;
};

struct vocabulary {
    struct arena arena;
    const struct tokenizer *tokenizer;
    size_t n_ids, n_nodes;
    struct token_node *nodes; /* [n_nodes + 1] the last one only ends ranges */
    token_id *ids;
    size_t n_ends, n_specials;
    token_id *ends, *specials; /* specials: in no tree, but a span's tags may be some */
    size_t n_written;
    token_id *written; /* special tokens that are in the tree */
    bool has[256];     /* bytes that are a token by themselves */
    uint32_t longest;
};

/* ---- the tree ---- */

static int by_bytes(const void *a, const void *b, void *tokenizer)
{
    const struct str x = tokenizer_bytes(tokenizer, *(const token_id *)a),
                     y = tokenizer_bytes(tokenizer, *(const token_id *)b);
    const int order = memcmp(x.ptr, y.ptr, size_min(x.len, y.len));

    return order != 0 ? order : (x.len > y.len) - (x.len < y.len);
}

static bool is_end(const struct vocabulary *v, token_id id)
{
    for (size_t i = 0; i < v->n_ends; i++)
        if (v->ends[i] == id)
            return true;
    return false;
}

/* Whether a token is never part of an answer. */
static bool is_kept_out(const struct vocabulary *v, token_id id)
{
    for (size_t i = 0; i < v->n_written; i++)
        if (v->written[i] == id)
            return false;
    return tokenizer_is_special(v->tokenizer, id);
}

/* Tokens that may be part of an answer, in the order of their bytes; *n_bytes: of all of them. */
static size_t sort_tokens(struct vocabulary *v, size_t *n_bytes)
{
    const size_t n_known = size_min(v->n_ids, tokenizer_size(v->tokenizer));
    size_t n = 0;

    *n_bytes = 0;
    for (size_t i = 0; i < n_known; i++) {
        const token_id id = (token_id)i;
        const struct str bytes = tokenizer_bytes(v->tokenizer, id);

        if (bytes.len == 0 || bytes.len > MOST_TOKEN_BYTES || is_end(v, id))
            continue;
        if (is_kept_out(v, id)) {
            v->specials[v->n_specials++] = id;
            continue;
        }
        v->ids[n++] = id;
        *n_bytes += bytes.len;
        v->longest = (uint32_t)size_max(v->longest, bytes.len);
        if (bytes.len == 1)
            v->has[(unsigned char)bytes.ptr[0]] = true;
    }
    qsort_r(v->ids, n, sizeof *v->ids, by_bytes, (void *)(uintptr_t)v->tokenizer);
    return n;
}

static void plant(struct vocabulary *v, size_t n_tokens)
{
    uint32_t open[MOST_TOKEN_BYTES]; /* nodes of the last token's bytes */
    struct str last = {"", 0};
    uint32_t n = 0;

    for (size_t t = 0; t <= n_tokens; t++) {
        const struct str bytes =
            t < n_tokens ? tokenizer_bytes(v->tokenizer, v->ids[t]) : (struct str){"", 0};
        size_t common = 0;

        while (common < last.len && common < bytes.len && last.ptr[common] == bytes.ptr[common])
            common++;
        for (size_t d = common; d < last.len; d++)
            v->nodes[open[d]].behind = n;
        for (size_t d = common; d < bytes.len; d++) {
            v->nodes[n] = (struct token_node){
                .tokens = (uint32_t)t, .depth = (uint16_t)(d + 1), .byte = (uint8_t)bytes.ptr[d]};
            open[d] = n++;
        }
        last = bytes;
    }
    v->nodes[n] = (struct token_node){.behind = n + 1, .tokens = (uint32_t)n_tokens};
    v->n_nodes = n;
}

static bool build(struct vocabulary *v, const int *ends, size_t n_ends, const token_id *written,
                  size_t n_written, struct error *err)
{
    static const char what[] = "the tree of tokens";
    struct arena scratch = {0};
    size_t n_bytes;

    v->ids = arena_try(&v->arena, v->n_ids + 1, sizeof *v->ids, what, err);
    v->ends = arena_try(&v->arena, n_ends + 1, sizeof *v->ends, what, err);
    v->specials = arena_try(&v->arena, v->n_ids + 1, sizeof *v->specials, what, err);
    v->written = arena_try(&v->arena, n_written + 1, sizeof *v->written, what, err);
    if (v->ids == NULL || v->ends == NULL || v->specials == NULL || v->written == NULL)
        return false;
    for (size_t i = 0; i < n_written; i++)
        v->written[v->n_written++] = written[i];
    for (size_t i = 0; i < n_ends; i++)
        v->ends[v->n_ends++] = ends[i];
    const size_t n = sort_tokens(v, &n_bytes);
    v->nodes = arena_try(&scratch, n_bytes + 1, sizeof *v->nodes, what, err); /* at most so many */
    bool ok = v->nodes != NULL;
    if (ok) {
        plant(v, n);
        struct token_node *kept = arena_try(&v->arena, v->n_nodes + 1, sizeof *kept, what, err);

        ok = kept != NULL;
        if (ok)
            memcpy(kept, v->nodes, (v->n_nodes + 1) * sizeof *kept);
        v->nodes = kept;
    }
    arena_release(&scratch);
    return ok;
}

bool vocabulary_open(const struct tokenizer *t, size_t n_ids, const int *ends, size_t n_ends,
                     struct vocabulary **out, struct error *err)
{
    return vocabulary_open_with(t, n_ids, ends, n_ends, NULL, 0, out, err);
}

bool vocabulary_open_with(const struct tokenizer *t, size_t n_ids, const int *ends, size_t n_ends,
                          const token_id *written, size_t n_written, struct vocabulary **out,
                          struct error *err)
{
    struct vocabulary *v = calloc(1, sizeof *v);

    if (v == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for the tree of tokens");
    v->tokenizer = t;
    v->n_ids = n_ids;
    if (!build(v, ends, n_ends, written, n_written, err)) {
        vocabulary_close(v);
        return false;
    }
    *out = v;
    return true;
}

void vocabulary_close(struct vocabulary *v)
{
    if (v == NULL)
        return;
    arena_release(&v->arena);
    free(v);
}

size_t vocabulary_bytes(const struct vocabulary *v)
{
    return sizeof *v + v->arena.taken_bytes;
}

size_t vocabulary_words(const struct vocabulary *v)
{
    return (v->n_ids + 63) / 64;
}

/* ---- what is kept ---- */

#define AT_ONCE UINT32_MAX /* the value is complete before any byte */

/* What else than its state a token can tell of an item: counts and depth, as far as a token goes. */
struct likeness {
    uint32_t missing, left, slack;
};

/* What an item allows until its value ends, and where in the tree that is. */
struct kept {
    struct kept *next; /* of the same state */
    struct likeness like;
    uint32_t n_ends;
    uint32_t *ends; /* [n_ends] nodes, or AT_ONCE */
    uint64_t set[]; /* [words] */
};

static void kept_free(struct kept *k)
{
    if (k != NULL)
        free(k->ends);
    free(k);
}

struct shelf {
    pthread_mutex_t lock; /* guards the rest; what hangs here is read-only */
    struct kept **by_state;
    size_t used_bytes;
};

struct constraint {
    struct grammar *grammar;
    const struct vocabulary *vocabulary;
    size_t words;
    uint32_t reach; /* levels that a token can matter to, on top of the one it begins on */
    struct shelf *shelf;
    atomic_uint n_owners;
};

/* A token grows the stack by the values in values that it begins, and one scalar; and what it begins must be completed. */
static uint32_t reach_of(const struct grammar *g, const struct vocabulary *v)
{
    uint32_t most = 0, so_far[MOST_TOKEN_BYTES + 1] = {0};

    for (size_t i = 0; i < v->n_nodes; i++) {
        const struct token_node *n = &v->nodes[i];

        so_far[n->depth] = so_far[n->depth - 1] + grammar_nests(g, n->byte);
        most = so_far[n->depth] > most ? so_far[n->depth] : most;
    }
    return most + 1 + grammar_most_needed(g);
}

bool constraint_open(struct grammar *g, const struct vocabulary *v, struct constraint **out,
                     struct error *err)
{
    const int lacking = grammar_needs_byte(g, v->has);
    struct constraint *c = calloc(1, sizeof *c);
    bool ok = c != NULL;

    if (!ok) {
        grammar_close(g);
        return fail(err, ERR_NO_MEMORY, "no memory for a constraint");
    }
    atomic_init(&c->n_owners, 1);
    c->grammar = g;
    c->vocabulary = v;
    c->words = vocabulary_words(v);
    c->reach = reach_of(g, v);
    c->shelf = calloc(1, sizeof *c->shelf);
    if (c->shelf != NULL) {
        pthread_mutex_init(&c->shelf->lock, NULL);
        c->shelf->by_state = calloc(grammar_n_states(g), sizeof(struct kept *));
    }
    if (c->shelf == NULL || c->shelf->by_state == NULL)
        ok = fail(err, ERR_NO_MEMORY, "no memory for a constraint");
    else if (v->n_ends == 0)
        ok = fail(err, ERR_UNSUPPORTED,
                  "the model has no token that ends an answer, and a constrained one needs it");
    else if (lacking >= 0)
        ok = fail(
            err, ERR_UNSUPPORTED,
            "the model's tokenizer has no token for the byte %02X alone, which a constrained answer may need",
            (unsigned)lacking);
    if (!ok) {
        constraint_close(c);
        return false;
    }
    *out = c;
    return true;
}

struct constraint *constraint_share(struct constraint *c)
{
    atomic_fetch_add(&c->n_owners, 1);
    return c;
}

void constraint_close(struct constraint *c)
{
    if (c == NULL || atomic_fetch_sub(&c->n_owners, 1) > 1)
        return;
    if (c->shelf != NULL) {
        for (size_t s = 0; c->shelf->by_state != NULL && s < grammar_n_states(c->grammar); s++) {
            for (struct kept *k = c->shelf->by_state[s], *next; k != NULL; k = next) {
                next = k->next;
                kept_free(k);
            }
        }
        free(c->shelf->by_state);
        pthread_mutex_destroy(&c->shelf->lock);
        free(c->shelf);
    }
    grammar_close(c->grammar);
    free(c);
}

size_t constraint_bytes(const struct constraint *c)
{
    pthread_mutex_lock(&c->shelf->lock);
    const size_t kept = c->shelf->used_bytes;
    pthread_mutex_unlock(&c->shelf->lock);
    return sizeof *c + sizeof *c->shelf + grammar_n_states(c->grammar) * sizeof(struct kept *) +
           grammar_bytes(c->grammar) + kept;
}

bool constraint_scratch_open(struct constraint_scratch *s, const struct constraint *c,
                             struct error *err)
{
    *s = (struct constraint_scratch){.words = c->words};
    if (!grammar_walk_open(&s->walk, err))
        return false;
    s->set = calloc(c->words, sizeof *s->set);
    if (s->set == NULL) {
        constraint_scratch_close(s);
        return fail(err, ERR_NO_MEMORY, "no memory for a set of tokens");
    }
    return true;
}

void constraint_scratch_close(struct constraint_scratch *s)
{
    grammar_walk_close(&s->walk);
    free(s->set);
    *s = (struct constraint_scratch){0};
}

/* ---- walking ---- */

static inline void put(uint64_t *set, token_id id)
{
    set[(size_t)id / 64] |= (uint64_t)1 << (size_t)id % 64;
}

struct ends { /* where a value ends; grows */
    uint32_t *nodes;
    uint32_t n, cap;
    bool lost; /* no memory */
};

static void put_end(struct ends *e, uint32_t node)
{
    if (e->n == e->cap) {
        const uint32_t cap = e->cap == 0 ? 64 : 2 * e->cap;
        uint32_t *more = realloc(e->nodes, cap * sizeof *more);

        if (more == NULL) {
            e->lost = true;
            return;
        }
        e->nodes = more;
        e->cap = cap;
    }
    e->nodes[e->n++] = node;
}

/* Puts into set the tokens among nodes from .. behind that may follow on top. */
static void walk(const struct constraint *c, struct grammar_walk *w, uint32_t from, uint32_t behind,
                 const struct grammar_level *top, uint64_t *set)
{
    const struct token_node *nodes = c->vocabulary->nodes;
    const struct grammar_level *at[MOST_TOKEN_BYTES + 1]; /* by depth from here */
    size_t marks[MOST_TOKEN_BYTES + 1];

    if (from >= behind)
        return;
    const unsigned base = nodes[from].depth - 1u;
    at[0] = top;
    marks[0] = w->used;
    for (uint32_t i = from; i < behind;) {
        const struct token_node *n = &nodes[i];
        const unsigned depth = n->depth - base;

        grammar_rewind(w, marks[depth - 1]);
        at[depth] = grammar_step(c->grammar, w, at[depth - 1], n->byte);
        if (at[depth] == NULL) {
            i = n->behind;
            continue;
        }
        marks[depth] = w->used;
        for (uint32_t t = n->tokens; t < n[1].tokens; t++)
            put(set, c->vocabulary->ids[t]);
        i++;
    }
    grammar_rewind(w, marks[0]);
}

/* A place on the walk of an item alone: the item, or where a value stands on it or it was left, the level of that. */
struct place {
    struct grammar_item item;
    const struct grammar_level *level; /* NULL: the item alone */
    size_t mark;
};

/* An item, and the level that it stands on; NULL: none that is known. */
struct alone {
    struct grammar_item item;
    const struct grammar_level *below;
    unsigned depth;
};

/* false: the byte may not come. */
static bool place_after(const struct constraint *c, struct grammar_walk *w, const struct alone *on,
                        const struct place *p, unsigned char byte, struct place *out)
{
    const struct grammar_level *level = p->level;
    bool calls = false;

    if (level == NULL &&
        grammar_step_item(c->grammar, &p->item, on->depth, byte, &out->item, &calls)) {
        out->level = NULL;
        out->mark = w->used;
        return true;
    }
    if (level == NULL && (calls || (on->below != NULL && grammar_item_ends(c->grammar, &p->item))))
        level = grammar_alone(w, &p->item, on->below, (uint16_t)on->depth);
    out->level = level != NULL ? grammar_step(c->grammar, w, level, byte) : NULL;
    if (out->level == NULL)
        return false;
    if (out->level->below == on->below && out->level->n == 1) { /* back from the value */
        out->item = out->level->items[0];
        out->level = NULL;
    }
    out->mark = w->used;
    return true;
}

/* The whole tree for an item: what it allows, and where its value ends; ends NULL: and what may follow below. */
static void walk_alone(const struct constraint *c, struct grammar_walk *w, const struct alone *on,
                       uint64_t *set, struct ends *ends)
{
    const struct vocabulary *v = c->vocabulary;
    struct place at[MOST_TOKEN_BYTES + 1];

    at[0] = (struct place){.item = on->item, .mark = w->used};
    if (ends != NULL && grammar_item_ends(c->grammar, &on->item))
        put_end(ends, AT_ONCE);
    for (uint32_t i = 0; i < v->n_nodes;) {
        const struct token_node *n = &v->nodes[i];
        struct place *here = &at[n->depth];

        grammar_rewind(w, here[-1].mark);
        if (!place_after(c, w, on, &here[-1], n->byte, here)) {
            i = n->behind;
            continue;
        }
        for (uint32_t t = n->tokens; t < n[1].tokens; t++)
            put(set, v->ids[t]);
        if (ends != NULL && here->level == NULL && n->behind > i + 1 &&
            grammar_item_ends(c->grammar, &here->item))
            put_end(ends, i);
        i++;
    }
    grammar_rewind(w, at[0].mark);
}

/* What a state's item is like, as far as a token can tell. */
static struct likeness likeness_of(const struct constraint *c, const struct grammar_item *item,
                                   unsigned depth)
{
    const uint32_t far = c->vocabulary->longest + 1;
    struct likeness like = {.slack = GRAMMAR_DEPTH - depth};

    grammar_counts(c->grammar, item, far, &like.missing, &like.left);
    like.slack = like.slack > c->reach ? c->reach : like.slack;
    return like;
}

static const struct kept *find(const struct constraint *c, uint32_t state,
                               const struct likeness *like)
{
    const struct kept *k;

    pthread_mutex_lock(&c->shelf->lock);
    for (k = c->shelf->by_state[state]; k != NULL; k = k->next)
        if (k->like.missing == like->missing && k->like.left == like->left &&
            k->like.slack == like->slack)
            break;
    pthread_mutex_unlock(&c->shelf->lock);
    return k;
}

/* Hangs k on the shelf while there is room: whether it is the shelf's now. (The same twice would do no harm.) */
static bool keep(const struct constraint *c, uint32_t state, struct kept *k)
{
    const size_t size = sizeof *k + c->words * sizeof *k->set + k->n_ends * sizeof *k->ends;

    pthread_mutex_lock(&c->shelf->lock);
    const bool room = c->shelf->used_bytes + size <= KEPT_BYTES;
    if (room) {
        k->next = c->shelf->by_state[state];
        c->shelf->by_state[state] = k;
        c->shelf->used_bytes += size;
    }
    pthread_mutex_unlock(&c->shelf->lock);
    return room;
}

/* NULL: no memory. */
static struct kept *explore(const struct constraint *c, struct grammar_walk *w,
                            const struct grammar_item *item, const struct likeness *like)
{
    struct kept *k = calloc(1, sizeof *k + c->words * sizeof *k->set);
    struct ends ends = {0};

    if (k == NULL)
        return NULL;
    k->like = *like;
    walk_alone(c, w, &(struct alone){.item = *item, .depth = GRAMMAR_DEPTH - like->slack}, k->set,
               &ends);
    k->n_ends = ends.n;
    k->ends = ends.nodes;
    if (ends.lost) {
        kept_free(k);
        return NULL;
    }
    return k;
}

/* What an item allows until its value ends, from the shelf or found now: *ours, to be freed; NULL: no memory. */
static const struct kept *kept_of(const struct constraint *c, struct grammar_walk *w,
                                  const struct grammar_item *item, unsigned depth,
                                  struct kept **ours)
{
    const struct likeness like = likeness_of(c, item, depth);
    const struct kept *k = find(c, item->state, &like);

    *ours = NULL;
    if (k != NULL)
        return k;
    *ours = explore(c, w, item, &like);
    k = *ours;
    if (k != NULL && keep(c, item->state, *ours))
        *ours = NULL;
    return k;
}

/* Puts into s->set what may follow on top. */
static void put_level(const struct constraint *c, struct constraint_scratch *s,
                      const struct grammar_level *top)
{
    const struct token_node *nodes = c->vocabulary->nodes;
    const size_t mark = s->walk.used;

    for (size_t i = 0; i < top->n; i++) {
        struct kept *ours = NULL;
        const struct kept *k = grammar_is_once(c->grammar, &top->items[i])
                                   ? NULL
                                   : kept_of(c, &s->walk, &top->items[i], top->depth, &ours);

        if (k == NULL) { /* not to be kept, or no memory to: found here and now */
            const struct alone on = {
                .item = top->items[i], .below = top->below, .depth = top->depth};

            walk_alone(c, &s->walk, &on, s->set, NULL);
            continue;
        }
        for (size_t word = 0; word < c->words; word++)
            s->set[word] |= k->set[word];
        const struct grammar_level *caller = grammar_leave(c->grammar, &s->walk, top, i);
        for (uint32_t e = 0; caller != NULL && e < k->n_ends; e++) {
            if (k->ends[e] == AT_ONCE)
                put_level(c, s, caller);
            else
                walk(c, &s->walk, k->ends[e] + 1, nodes[k->ends[e]].behind, caller, s->set);
        }
        grammar_rewind(&s->walk, mark);
        kept_free(ours);
    }
}

/* ---- sets of tokens ---- */

bool constraint_accepts(const struct constraint *c, struct constraint_scratch *s,
                        struct grammar_state *state, token_id id)
{
    if (is_end(c->vocabulary, id))
        return grammar_complete(c->grammar, state);
    const struct str bytes = tokenizer_bytes(c->vocabulary->tokenizer, id);
    return bytes.len > 0 && bytes.len <= MOST_TOKEN_BYTES && !is_kept_out(c->vocabulary, id) &&
           grammar_advance(c->grammar, &s->walk, state, bytes);
}

const uint64_t *constraint_allowed(const struct constraint *c, struct constraint_scratch *s,
                                   const struct grammar_state *state)
{
    memset(s->set, 0, c->words * sizeof *s->set);
    const struct grammar_level *top = grammar_load(&s->walk, state);
    if (top != NULL)
        put_level(c, s, top);
    grammar_rewind(&s->walk, 0);
    if (grammar_complete(c->grammar, state))
        for (size_t i = 0; i < c->vocabulary->n_ends; i++)
            put(s->set, c->vocabulary->ends[i]);
    return s->set;
}

static void mask(const struct constraint *c, const uint64_t *set, float *logits)
{
    const size_t v = c->vocabulary->n_ids;

    for (size_t word = 0; word < c->words; word++) {
        const size_t n = size_min(64, v - 64 * word);
        float *x = logits + 64 * word;

        if (set[word] == UINT64_MAX)
            continue;
        for (size_t i = 0; i < n; i++)
            x[i] = (set[word] >> i & 1) != 0 ? x[i] : CONSTRAINT_NEVER;
    }
}

void constraint_mask(const struct constraint *c, struct constraint_scratch *s,
                     const struct grammar_state *state, float *logits)
{
    mask(c, constraint_allowed(c, s, state), logits);
}

/* ---- around a span of thinking ---- */

bool constraint_begins(const struct constraint *c, struct constraint_scratch *s,
                       struct grammar_state *state, struct str rest)
{
    grammar_begin(state);
    return grammar_advance(c->grammar, &s->walk, state, thinking_trim_begin(rest));
}

/* n_matched after a byte; SIZE_MAX: it is none of the opening. Once that is whole anything may follow. */
static size_t match(struct str open, size_t n_matched, bool space, char byte)
{
    if (n_matched == open.len || (n_matched == 0 && space && thinking_is_space(byte)))
        return n_matched;
    return byte == open.ptr[n_matched] ? n_matched + 1 : SIZE_MAX;
}

void constraint_mask_opening(const struct constraint *c, struct constraint_scratch *s,
                             const struct grammar_state *state, struct str open, size_t n_matched,
                             bool space, float *logits)
{
    const struct vocabulary *v = c->vocabulary;
    size_t matched[MOST_TOKEN_BYTES + 1] = {n_matched};

    if (state != NULL)
        constraint_allowed(c, s, state);
    else
        memset(s->set, 0, c->words * sizeof *s->set);
    for (uint32_t i = 0; i < v->n_nodes;) {
        const struct token_node *n = &v->nodes[i];

        matched[n->depth] = match(open, matched[n->depth - 1], space, (char)n->byte);
        if (matched[n->depth] == SIZE_MAX) {
            i = n->behind;
            continue;
        }
        for (uint32_t t = n->tokens; t < n[1].tokens; t++)
            put(s->set, v->ids[t]);
        i++;
    }
    for (size_t i = 0; i < v->n_specials; i++) {
        const struct str bytes = tokenizer_bytes(v->tokenizer, v->specials[i]);
        size_t at = n_matched;

        for (size_t k = 0; k < bytes.len && at != SIZE_MAX; k++)
            at = match(open, at, space, bytes.ptr[k]);
        if (at != SIZE_MAX)
            put(s->set, v->specials[i]);
    }
    mask(c, s->set, logits);
}

/* Whether a token that completes a closing with all but its last bytes may come. */
static bool may_go_on(const struct constraint *c, struct constraint_scratch *s, struct str rest)
{
    struct grammar_state state;

    return constraint_begins(c, s, &state, rest);
}

void constraint_closing_find(const struct constraint *c, struct constraint_scratch *s,
                             struct str close, struct arena *a, struct constraint_closing *out)
{
    const struct vocabulary *v = c->vocabulary;
    const size_t n_tokens = v->nodes[v->n_nodes].tokens;
    struct token_list list = {0};

    *out =
        (struct constraint_closing){.close = close, .from = ARENA_ARRAY(a, size_t, close.len + 1)};
    for (size_t k = 0; k < close.len; k++) {
        const struct str tail = str_from(close, k);

        out->from[k] = list.n;
        for (size_t t = 0; t < n_tokens; t++) {
            const struct str bytes = tokenizer_bytes(v->tokenizer, v->ids[t]);
            const size_t at = k == 0 ? str_find(bytes, tail, 0) : 0;

            if (bytes.len > at + tail.len && str_starts(str_from(bytes, at), tail) &&
                !may_go_on(c, s, str_from(bytes, at + tail.len)))
                token_list_put(&list, v->ids[t]);
        }
    }
    out->from[close.len] = list.n;
    out->ids = ARENA_ARRAY(a, token_id, list.n + 1);
    if (list.n > 0)
        memcpy(out->ids, list.ids, list.n * sizeof *list.ids);
    token_list_release(&list);
}

void constraint_mask_closing(const struct constraint *c, const struct constraint_closing *closing,
                             struct str before, float *logits)
{
    for (size_t i = 0; i < c->vocabulary->n_ends; i++)
        logits[c->vocabulary->ends[i]] = CONSTRAINT_NEVER;
    for (size_t k = 0; k < closing->close.len && k <= before.len; k++)
        if (str_ends(before, (struct str){closing->close.ptr, k}))
            for (size_t i = closing->from[k]; i < closing->from[k + 1]; i++)
                logits[closing->ids[i]] = CONSTRAINT_NEVER;
}
