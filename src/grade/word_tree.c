/*
 * word_tree.c - words as numbers: the metrics of words compare one number a word, not its letters.
 */
#include "grade/similarity_internal.h"

#include "text/jinja_unicode.h"

bool word_tree_init(struct word_tree *t, size_t n_edges, struct arena *a, struct error *err)
{
    size_t slots = 16;

    while (slots < 2 * n_edges)
        slots *= 2;
    *t = (struct word_tree){.mask = slots - 1};
    t->edge = arena_try(a, slots, sizeof *t->edge, "a table of words", err);
    t->node =
        t->edge == NULL ? NULL : arena_try(a, slots, sizeof *t->node, "a table of words", err);
    return t->node != NULL;
}

void word_tree_clear(struct word_tree *t)
{
    memset(t->node, 0, (t->mask + 1) * sizeof *t->node);
    t->n_nodes = 0;
}

/* The slot of the edge from a node by a symbol, or the free one where it would be. */
static size_t slot_of(const struct word_tree *t, uint64_t edge)
{
    const uint64_t h = (edge ^ edge >> 29) * 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(h ^ h >> 32) & t->mask;

    while (t->node[i] != 0 && t->edge[i] != edge)
        i = (i + 1) & t->mask;
    return i;
}

uint32_t word_tree_follow(struct word_tree *t, uint32_t from, uint32_t symbol)
{
    const uint64_t edge = (uint64_t)from << 32 | symbol;
    const size_t i = slot_of(t, edge);

    if (t->node[i] == 0) {
        t->edge[i] = edge;
        t->node[i] = ++t->n_nodes;
    }
    return t->node[i];
}

uint32_t word_tree_find(const struct word_tree *t, uint32_t from, uint32_t symbol)
{
    return t->node[slot_of(t, (uint64_t)from << 32 | symbol)];
}

enum word_kind word_kind_of(uint32_t c)
{
    if (jinja_is_space(c))
        return WORD_BLANK;
    return c == '_' || jinja_is_alnum(c) ? WORD_LETTER : WORD_PUNCTUATION;
}
