/*
 * text_table.c - a hash of eight bytes at a time, and linear probing.
 */
#include "text/text_table.h"

#define MAX_PROBES 512 /* as in bpe.c: a table that needs more was made to */

static uint64_t mix(uint64_t h, uint64_t word)
{
    h = (h ^ word) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 32;
}

static uint64_t hash_of(struct str s)
{
    const char *p = s.ptr;
    size_t n = s.len;
    uint64_t h = n, word;

    for (; n >= sizeof word; p += sizeof word, n -= sizeof word) {
        memcpy(&word, p, sizeof word);
        h = mix(h, word);
    }
    word = 0;
    if (n >= 4) {
        uint32_t head, tail; /* they overlap: any 4 to 7 bytes are covered without a loop */

        memcpy(&head, p, 4);
        memcpy(&tail, p + n - 4, 4);
        word = (uint64_t)head << 32 | tail;
    } else if (n > 0) {
        word = (uint64_t)(unsigned char)p[0] << 16 | (uint64_t)(unsigned char)p[n / 2] << 8 |
               (unsigned char)p[n - 1];
    }
    return mix(mix(h, word), 0xD6E8FEB86659FD93u);
}

bool text_table_init(struct text_table *t, const struct str *texts, size_t n, struct arena *a,
                     struct error *err)
{
    size_t n_slots = 64;

    while (n_slots < 2 * n)
        n_slots *= 2;
    *t = (struct text_table){.texts = texts, .mask = n_slots - 1};
    t->slots = arena_try(a, n_slots, sizeof *t->slots, "the tokenizer's vocabulary", err);
    for (size_t i = 0; t->slots != NULL && i < n_slots; i++)
        t->slots[i].id = -1;
    return t->slots != NULL;
}

token_id text_table_find(const struct text_table *t, struct str s)
{
    const uint64_t h = hash_of(s);

    for (size_t at = (size_t)h;; at++) {
        const struct text_slot *slot = &t->slots[at & t->mask];

        if (slot->id < 0)
            return -1;
        if (slot->tag == h >> 32 && str_eq(t->texts[slot->id], s))
            return slot->id;
    }
}

bool text_table_put(struct text_table *t, token_id id, token_id *before, struct error *err)
{
    const uint64_t h = hash_of(t->texts[id]);
    size_t at = (size_t)h & t->mask;

    for (size_t probes = 0; t->slots[at].id >= 0; at = (at + 1) & t->mask) {
        if (t->slots[at].tag == h >> 32 && str_eq(t->texts[t->slots[at].id], t->texts[id])) {
            *before = t->slots[at].id;
            return true;
        }
        if (++probes > MAX_PROBES)
            return fail(err, ERR_LIMIT,
                        "the tokenizer's tokens all fall into one place of the table of tokens");
    }
    t->slots[at] = (struct text_slot){.tag = (uint32_t)(h >> 32), .id = id};
    *before = -1;
    return true;
}
