/*
 * added_tokens.c - a trie, walked from every place whose byte begins some token.
 */
#include "text/added_tokens.h"
#include "base/size.h"
#include "base/utf8.h"
#include "text/characters.h"

/* The child of node (0: the root) by byte, made if there is none. */
static uint32_t child_made(struct added_cutter *c, uint32_t node, unsigned char byte)
{
    uint32_t *link = node == 0 ? &c->first[byte] : &c->nodes[node].child;

    while (*link != 0 && c->nodes[*link].byte != byte)
        link = &c->nodes[*link].sibling;
    if (*link == 0) {
        *link = (uint32_t)c->n_nodes++;
        c->nodes[*link] = (struct trie_node){.token = -1, .byte = byte};
    }
    return *link;
}

bool added_cutter_build(struct added_cutter *c, const struct added_token *tokens, size_t n,
                        struct arena *a, struct error *err)
{
    size_t n_bytes = 1;

    *c = (struct added_cutter){.tokens = tokens, .n_nodes = 1};
    for (size_t i = 0; i < n; i++)
        if (!size_add(n_bytes, tokens[i].text.len, &n_bytes) || n_bytes > INT32_MAX)
            return fail(err, ERR_LIMIT, "the added tokens have more than %d bytes", INT32_MAX);
    c->nodes = arena_try(a, n_bytes, sizeof *c->nodes, "the added tokens", err);
    if (c->nodes == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        uint32_t node = 0;

        for (size_t k = 0; k < tokens[i].text.len; k++)
            node = child_made(c, node, (unsigned char)tokens[i].text.ptr[k]);
        if (node != 0 && c->nodes[node].token < 0)
            c->nodes[node].token = (int32_t)i;
    }
    return true;
}

/* The longest token at text.ptr[at], or NULL. */
static const struct added_token *longest_at(const struct added_cutter *c, struct str text,
                                            size_t at)
{
    const struct added_token *best = NULL;
    uint32_t node = c->first[(unsigned char)text.ptr[at]];

    while (node != 0) {
        if (c->nodes[node].token >= 0)
            best = &c->tokens[c->nodes[node].token];
        if (++at == text.len)
            break;
        node = c->nodes[node].child;
        while (node != 0 && c->nodes[node].byte != (unsigned char)text.ptr[at])
            node = c->nodes[node].sibling;
    }
    return best;
}

static bool stands_alone(struct str text, size_t from, size_t to)
{
    if (from > 0) {
        size_t at = utf8_before(text, from);

        if (char_is_word(utf8_next(text, &at)))
            return false;
    }
    return to == text.len || !char_is_word(utf8_next(text, &(size_t){to}));
}

/* Where the white space before from begins, at least back to least. */
static size_t white_before(struct str text, size_t from, size_t least)
{
    while (from > least) {
        const size_t before = utf8_before(text, from);

        if (!char_is_white(utf8_next(text, &(size_t){before})))
            break;
        from = before;
    }
    return size_max(from, least);
}

/* Where the white space from to on ends; a run of it is gone through once, however many tokens lie in it. */
static size_t white_behind(struct str text, size_t to, struct cutter_place *place)
{
    if (to >= place->white_from && to < place->white_to)
        return place->white_to;
    place->white_from = to;
    for (size_t next = to; to < text.len && char_is_white(utf8_next(text, &next)); to = next)
        ;
    place->white_to = to;
    return to;
}

/* Whether what looks like a token at from is plain text. */
static bool is_plain(struct cutter_place *place, const struct added_token *t, size_t from)
{
    const size_t to = from + t->text.len;

    while (place->plain_at < place->n_plain && place->plain[place->plain_at].to <= from)
        place->plain_at++;
    return (place->no_special && t->special) ||
           (place->plain_at < place->n_plain && place->plain[place->plain_at].from < to);
}

/* Looks on from place->at; a token goes into place->next_*. */
static bool find_token(const struct added_cutter *c, struct str text, struct cutter_place *place)
{
    size_t at = place->at;

    while (at < text.len) {
        const struct added_token *t;

        if (c->first[(unsigned char)text.ptr[at]] == 0 || (t = longest_at(c, text, at)) == NULL ||
            is_plain(place, t, at)) {
            at++;
            continue;
        }
        size_t from = at, to = at + t->text.len;

        at = to; /* whatever becomes of it, its text is not looked at again */
        if (t->single_word && !stands_alone(text, from, to))
            continue;
        if (t->lstrip)
            from = white_before(text, from, place->emitted);
        if (t->rstrip)
            to = white_behind(text, to, place);
        if (to <= from) { /* the token before has taken it along */
            place->emitted = size_max(place->emitted, to);
            continue;
        }
        place->at = at;
        place->next_from = from;
        place->next_to = to;
        place->next_id = t->id;
        return true;
    }
    place->at = at;
    return false;
}

static void give_token(struct cutter_place *place, struct str text, struct str *part, token_id *id)
{
    place->has_next = false;
    place->emitted = place->next_to;
    *part = (struct str){text.ptr + place->next_from, place->next_to - place->next_from};
    *id = place->next_id;
}

bool added_cutter_next(const struct added_cutter *c, struct str text, struct cutter_place *place,
                       struct str *part, token_id *id)
{
    if (place->has_next) {
        give_token(place, text, part, id);
        return true;
    }
    if (c->n_nodes > 1 && find_token(c, text, place)) {
        if (place->next_from <= place->emitted) {
            give_token(place, text, part, id);
            return true;
        }
        place->has_next = true;
        *part = (struct str){text.ptr + place->emitted, place->next_from - place->emitted};
        place->emitted = place->next_from;
        *id = -1;
        return true;
    }
    if (place->emitted >= text.len)
        return false;
    *part = str_from(text, place->emitted);
    place->emitted = text.len;
    place->at = text.len;
    *id = -1;
    return true;
}
