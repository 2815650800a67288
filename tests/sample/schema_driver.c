/*
 * schema_driver.c - what a schema's grammar and the masks made of it let through: what schema_test.py judges by Python's
 * jsonschema. argv[1 ...]: models, whose tokenizers are used.
 *
 *     {"schema": S, "texts": ["...", ...], "walks": 5, "seed": 1}    becomes
 *     {"texts": [{"bytes": 7, "ends": true, "tokens": [true, ...]}, ...], "walks": ["...", ...]}    or    {"error": WHY}
 *
 * bytes: how many of the text's may come; ends: whether it may end behind them. tokens, for a text that may come: by
 * tokenizer and then by spelling (as it encodes the text, and byte by byte), whether each mask allows the next token, and
 * the last an end. walks: values drawn by bytes, then by each tokenizer's tokens, among all that may come; one that does not
 * end by chance is led to an end that is searched for. null for one of which none was found, false for one that came to a dead
 * end.
 */
#include "base/size.h"
#include "model/model_files.h"
#include "sample/constraint.h"
#include "text/json_schema.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_MODELS 4
#define SHORT_BYTES 160   /* from here on a walk prefers what ends values, */
#define LONG_BYTES 320    /* and from here on it is led to an end */
#define MAX_SEARCH 30000  /* states that are looked at for that */
#define MAX_STRAIGHT 2000 /* where the search goes straight on first */

struct speaker {
    struct model_files *files;
    const struct tokenizer *t;
    const struct model_config *config;
    struct vocabulary *v;
    token_id of_byte[256];
    token_id *among; /* [vocab] scratch */
};

static struct speaker speakers[MAX_MODELS];
static size_t n_speakers;
static struct grammar_walk walk;
static uint64_t dice;

static uint32_t below(uint32_t n)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(dice >> 33) % n;
}

static void stop(const struct error *err)
{
    fprintf(stderr, "schema_driver: %s\n", err->message);
    exit(2);
}

static void open_speaker(const char *path)
{
    struct speaker *s = &speakers[n_speakers++];
    struct error err = {0};

    if (!model_files_open(path, &s->files, &err))
        stop(&err);
    s->t = model_files_tokenizer(s->files);
    s->config = model_files_config(s->files);
    if (!vocabulary_open(s->t, s->config->vocab, s->config->eos, s->config->n_eos, &s->v, &err))
        stop(&err);
    s->among = calloc(s->config->vocab, sizeof *s->among);
    memset(s->of_byte, -1, sizeof s->of_byte);
    for (size_t id = 0; id < s->config->vocab && id < tokenizer_size(s->t); id++) {
        const struct str b = tokenizer_bytes(s->t, (token_id)id);

        if (b.len == 1 && !tokenizer_is_special(s->t, (token_id)id))
            s->of_byte[(unsigned char)b.ptr[0]] = (token_id)id;
    }
}

static bool is_in(const uint64_t *set, token_id id)
{
    return id >= 0 && (set[id / 64] >> (id % 64) & 1) != 0;
}

/* ---- a text that is given ---- */

static bool tokens_pass(const struct speaker *s, const struct constraint *c,
                        struct constraint_scratch *scratch, const token_id *ids, size_t n)
{
    struct grammar_state at;

    grammar_begin(&at);
    for (size_t i = 0; i <= n; i++) {
        const token_id id = i < n ? ids[i] : s->config->eos[0];

        if (!is_in(constraint_allowed(c, scratch, &at), id) ||
            !constraint_accepts(c, scratch, &at, id))
            return false;
    }
    return true;
}

static void try_tokens(const struct speaker *s, const struct constraint *c,
                       struct constraint_scratch *scratch, struct str text, json_t *out)
{
    struct token_list list = {0};
    struct error err = {0};
    token_id *ids = malloc((text.len + 1) * sizeof *ids);

    if (ids == NULL || !tokenizer_encode(s->t, text, false, &list, &err))
        stop(&err);
    for (size_t i = 0; i < text.len; i++)
        ids[i] = s->of_byte[(unsigned char)text.ptr[i]];
    json_array_append_new(out, json_boolean(tokens_pass(s, c, scratch, list.ids, list.n)));
    json_array_append_new(out, json_boolean(tokens_pass(s, c, scratch, ids, text.len)));
    token_list_release(&list);
    free(ids);
}

static json_t *try_text(const struct grammar *g, struct constraint *const *c,
                        struct constraint_scratch *scratch, struct str text)
{
    struct grammar_state at;
    json_t *out = json_object(), *tokens = json_array();
    size_t n = 0;

    grammar_begin(&at);
    while (n < text.len && grammar_advance(g, &walk, &at, (struct str){text.ptr + n, 1}))
        n++;
    const bool ends = grammar_complete(g, &at);
    for (size_t i = 0; i < n_speakers && n == text.len && ends; i++)
        try_tokens(&speakers[i], c[i], &scratch[i], text, tokens);
    json_object_set_new(out, "bytes", json_integer((json_int_t)n));
    json_object_set_new(out, "ends", json_boolean(ends));
    json_object_set_new(out, "tokens", tokens);
    return out;
}

/* ---- a text that is drawn ---- */

/* The bytes that end a value soonest, first: a quote ends a string, where a bracket would be one more of its characters. */
static const char closing[] = "\"]}:,n0123456789tf";

static bool wants_end(size_t n)
{
    return n > SHORT_BYTES ? below(16) > 0 : below(3) == 0;
}

enum draw { DEAD_END, NO_END, ENDED };

/* ---- the way to an end ---- */

struct reached {
    struct grammar_state at;
    size_t from, length; /* whence, and by how many bytes */
    char byte;
    size_t hash, next; /* of those with its hash; 0: no other */
    bool done;
};

static struct reached *reached; /* [MAX_SEARCH] */
static size_t n_reached, most_reached;
static size_t by_hash[MAX_SEARCH]; /* the newest of them, + 1 */

static bool is_same(const struct grammar_state *x, const struct grammar_state *y)
{
    const size_t n = x->n_levels;

    return n == y->n_levels && memcmp(x->end, y->end, n * sizeof *x->end) == 0 &&
           memcmp(x->items, y->items, x->end[n - 1] * sizeof *x->items) == 0;
}

/* FNV-1a */
static size_t hash_of(const struct grammar_state *x)
{
    const struct str parts[] = {
        {(const char *)x->end, x->n_levels * sizeof *x->end},
        {(const char *)x->items, x->end[x->n_levels - 1] * sizeof *x->items}};
    uint64_t h = 0xcbf29ce484222325;

    for (size_t p = 0; p < 2; p++)
        for (size_t i = 0; i < parts[p].len; i++)
            h = (h ^ (unsigned char)parts[p].ptr[i]) * 0x100000001b3;
    return (size_t)h;
}

static void reach(const struct grammar_state *at, size_t from, char byte)
{
    const size_t hash = hash_of(at);
    size_t *first = &by_hash[hash % MAX_SEARCH];

    for (size_t i = *first; i != 0; i = reached[i - 1].next)
        if (reached[i - 1].hash == hash && is_same(&reached[i - 1].at, at))
            return;
    if (n_reached == most_reached)
        return;
    struct reached *const r = &reached[n_reached++];
    *r = (struct reached){.from = from,
                          .length = n_reached == 1 ? 0 : reached[from].length + 1,
                          .byte = byte,
                          .hash = hash,
                          .next = *first};
    *first = n_reached;
    grammar_copy(&r->at, at);
}

/*
 * What is looked at next. STRAIGHT: the newest, which goes on where much is required. AROUND: of two, one is of the fewest levels, so that
 * values are left before others begin, and the other is what is near: a number may have more states than there is room for, where the end
 * is behind a text that is to be begun.
 */
enum search { STRAIGHT, AROUND };

static bool is_before(const struct reached *x, const struct reached *y, enum search how,
                      bool few_levels)
{
    if (how == STRAIGHT)
        return x > y;
    if (few_levels && x->at.n_levels != y->at.n_levels)
        return x->at.n_levels < y->at.n_levels;
    return x->length < y->length;
}

static size_t next_of(enum search how, bool few_levels)
{
    size_t best = n_reached;

    for (size_t i = 0; i < n_reached; i++)
        if (!reached[i].done &&
            (best == n_reached || is_before(&reached[i], &reached[best], how, few_levels)))
            best = i;
    return best;
}

/* All bytes, those that end a value soonest last: what they lead to is newest, and is looked at first. */
static void fill_bytes(char all[256])
{
    size_t n = 0;

    for (unsigned b = 0; b < 256; b++)
        if (b == 0 || strchr(closing, (char)b) == NULL)
            all[n++] = (char)b;
    for (size_t i = sizeof closing - 1; i-- > 0;)
        all[n++] = closing[i];
}

static bool search_end(const struct grammar *g, const struct grammar_state *from,
                       const token_id *usable, enum search how, struct buf *out)
{
    size_t i, turn = 0;
    char all[256];

    fill_bytes(all);
    memset(by_hash, 0, sizeof by_hash);
    n_reached = 0;
    most_reached = how == STRAIGHT ? MAX_STRAIGHT : MAX_SEARCH;
    reach(from, 0, '\0');
    while ((i = next_of(how, turn++ % 2 == 0)) < n_reached) {
        struct grammar_state next;

        reached[i].done = true;
        if (grammar_complete(g, &reached[i].at)) {
            char bytes[MAX_SEARCH];
            size_t n = 0;

            for (; i != 0; i = reached[i].from)
                bytes[n++] = reached[i].byte;
            while (n > 0)
                buf_char(out, bytes[--n]);
            return true;
        }
        for (size_t b = 0; b < 256; b++) {
            const char byte = all[b];

            grammar_copy(&next, &reached[i].at);
            if ((usable == NULL || usable[(unsigned char)byte] >= 0) &&
                grammar_advance(g, &walk, &next, (struct str){&byte, 1}))
                reach(&next, i, byte);
        }
    }
    return false;
}

/* Puts the bytes of a way to an end into out; usable: those that may be used, or NULL. false: none was found. */
static bool find_end(const struct grammar *g, const struct grammar_state *from,
                     const token_id *usable, struct buf *out)
{
    return search_end(g, from, usable, STRAIGHT, out) || search_end(g, from, usable, AROUND, out);
}

static enum draw draw_bytes(const struct grammar *g, struct buf *out)
{
    struct grammar_state at, next;

    grammar_begin(&at);
    while (out->len < LONG_BYTES) {
        char can[256];
        bool may[256] = {0};
        uint32_t n = 0;

        if (grammar_complete(g, &at) && wants_end(out->len))
            return ENDED;
        for (unsigned b = 0; b < 256; b++) {
            const char byte = (char)b;

            grammar_copy(&next, &at);
            may[b] = grammar_advance(g, &walk, &next, (struct str){&byte, 1});
            if (may[b])
                can[n++] = byte;
        }
        if (n == 0)
            return grammar_complete(g, &at) ? ENDED : DEAD_END;
        char byte = can[below(n)];
        if (wants_end(out->len))
            for (size_t i = sizeof closing - 1; i-- > 0;)
                byte = may[(unsigned char)closing[i]] ? closing[i] : byte;
        if (!grammar_advance(g, &walk, &at, (struct str){&byte, 1}))
            return DEAD_END;
        buf_char(out, byte);
    }
    return find_end(g, &at, NULL, out) ? ENDED : NO_END;
}

static token_id draw_token(const struct speaker *s, const uint64_t *set, size_t len)
{
    uint32_t n = 0;

    if (wants_end(len)) {
        if (is_in(set, s->config->eos[0]))
            return s->config->eos[0];
        for (size_t i = 0; i + 1 < sizeof closing; i++)
            if (is_in(set, s->of_byte[(unsigned char)closing[i]]))
                return s->of_byte[(unsigned char)closing[i]];
    }
    for (size_t id = 0; id < s->config->vocab; id++)
        if (is_in(set, (token_id)id))
            s->among[n++] = (token_id)id;
    return n > 0 ? s->among[below(n)] : -1;
}

/* The end, one byte a token: each must be allowed. */
static enum draw lead_tokens(const struct speaker *s, const struct grammar *g,
                             const struct constraint *c, struct constraint_scratch *scratch,
                             struct grammar_state *at, struct buf *out)
{
    size_t i = out->len;

    if (!find_end(g, at, s->of_byte, out))
        return NO_END;
    for (; i <= out->len; i++) {
        const token_id id =
            i < out->len ? s->of_byte[(unsigned char)out->ptr[i]] : s->config->eos[0];

        if (!is_in(constraint_allowed(c, scratch, at), id) ||
            !constraint_accepts(c, scratch, at, id))
            return DEAD_END;
    }
    return ENDED;
}

static enum draw draw_tokens(const struct speaker *s, const struct grammar *g,
                             const struct constraint *c, struct constraint_scratch *scratch,
                             struct buf *out)
{
    struct grammar_state at;

    grammar_begin(&at);
    while (out->len < LONG_BYTES) {
        const token_id id = draw_token(s, constraint_allowed(c, scratch, &at), out->len);

        if (id < 0 || !constraint_accepts(c, scratch, &at, id))
            return DEAD_END;
        if (tokenizer_is_special(s->t, id))
            return ENDED;
        buf_str(out, tokenizer_bytes(s->t, id));
    }
    return lead_tokens(s, g, c, scratch, &at, out);
}

static json_t *draw_all(const struct grammar *g, struct constraint *const *c,
                        struct constraint_scratch *scratch, size_t walks)
{
    json_t *out = json_array();
    struct buf text;

    buf_init(&text, 1 << 24);
    for (size_t k = 0; k <= n_speakers; k++)
        for (size_t i = 0; i < walks; i++) {
            buf_clear(&text);
            const enum draw how =
                k == 0 ? draw_bytes(g, &text)
                       : draw_tokens(&speakers[k - 1], g, c[k - 1], &scratch[k - 1], &text);
            json_array_append_new(out, how == ENDED      ? json_stringn(text.ptr, text.len)
                                       : how == DEAD_END ? json_false()
                                                         : json_null());
        }
    buf_release(&text);
    return out;
}

static json_t *answer_with(const struct grammar *g, struct constraint *const *c, const json_t *line)
{
    struct constraint_scratch scratch[MAX_MODELS] = {0};
    struct error err = {0};
    json_t *out = json_object(), *texts = json_array(), *text;
    size_t i;

    for (i = 0; i < n_speakers; i++)
        if (!constraint_scratch_open(&scratch[i], c[i], &err))
            stop(&err);
    json_array_foreach(json_object_get(line, "texts"), i, text)
        json_array_append_new(texts, try_text(g, c, scratch, json_str(text)));
    dice = (uint64_t)json_integer_value(json_object_get(line, "seed"));
    json_object_set_new(out, "texts", texts);
    json_object_set_new(
        out, "walks",
        draw_all(g, c, scratch, (size_t)json_integer_value(json_object_get(line, "walks"))));
    for (i = 0; i < n_speakers; i++)
        constraint_scratch_close(&scratch[i]);
    return out;
}

/* A constraint takes its grammar over, so each gets one of its own. */
static json_t *answer(const json_t *line)
{
    const json_t *schema = json_object_get(line, "schema");
    struct grammar *g = NULL;
    struct constraint *c[MAX_MODELS] = {0};
    struct error err = {0};

    if (!json_schema_grammar(schema, "schema", &g, &err))
        return json_pack("{s:s}", "error", err.message);
    for (size_t i = 0; i < n_speakers; i++) {
        struct grammar *own = NULL;

        if (!json_schema_grammar(schema, "schema", &own, &err) ||
            !constraint_open(own, speakers[i].v, &c[i], &err))
            stop(&err);
    }
    json_t *out = answer_with(g, c, line);
    for (size_t i = 0; i < n_speakers; i++)
        constraint_close(c[i]);
    grammar_close(g);
    return out;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;

    for (int i = 1; i < argc && n_speakers < MAX_MODELS; i++)
        open_speaker(argv[i]);
    reached = calloc(MAX_SEARCH, sizeof *reached);
    if (reached == NULL || !grammar_walk_open(&walk, &err))
        stop(&err);
    while ((n = getline(&line, &cap, stdin)) > 0) {
        json_t *v = NULL, *out;

        if (json_parse((struct str){line, (size_t)n}, "a line", &v, &err))
            out = answer(v);
        else
            out = json_pack("{s:s}", "error", err.message);
        json_dumpf(out, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(out);
        json_decref(v);
    }
    free(line);
    free(reached);
    grammar_walk_close(&walk);
    for (size_t i = 0; i < n_speakers; i++) {
        vocabulary_close(speakers[i].v);
        model_files_close(speakers[i].files);
        free(speakers[i].among);
    }
    return 0;
}
