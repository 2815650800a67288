/*
 * jinja_dict.c - hashes, and dictionaries in order of insertion.
 *
 * Equal values have equal hashes, whatever their types: 1, 1.0 and true are one key. A lookup charges each entry that
 * it looks at, so that keys made to collide meet the limit of steps.
 */
#include "base/size.h"
#include "text/jinja_value.h"

#define INDEXED_FROM 8 /* entries; fewer are found by looking at each */

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

static uint64_t hash_bytes(struct str s)
{
    uint64_t h = s.len;
    size_t i = 0;

    for (; i + 8 <= s.len; i += 8) {
        uint64_t word;

        memcpy(&word, s.ptr + i, 8);
        h = mix(h, word);
    }
    for (; i < s.len; i++)
        h = mix(h, (unsigned char)s.ptr[i]);
    return h;
}

static bool hash_tuple(struct jinja_render *r, const struct jinja_seq *seq, uint64_t *out)
{
    *out = seq->n;
    if (!jinja_enter_value(r))
        return false;
    for (size_t i = 0; i < seq->n; i++) {
        uint64_t h;

        if (!jinja_hash(r, seq->items[i], &h))
            return false;
        *out = mix(*out, h);
    }
    r->depth--;
    return true;
}

bool jinja_hash(struct jinja_render *r, struct jinja_value v, uint64_t *out)
{
    double d;

    if (!jinja_charge(r, 1))
        return false;
    switch ((enum jinja_type)v.type) {
    case JINJA_STR:
        *out = hash_bytes((struct str){v.text->ptr, v.text->len});
        return jinja_charge(r, v.text->len / 64);
    case JINJA_BOOL:
    case JINJA_INT:
    case JINJA_FLOAT: /* equal numbers of different types must have equal hashes */
        jinja_as_double(v, &d);
        d = d == 0 ? 0 : d; /* -0.0 is 0 */
        memcpy(out, &d, sizeof *out);
        *out = mix(mix(1, *out >> 32), *out); /* a whole number's low bits are all zero */
        return true;
    case JINJA_TUPLE:
        return hash_tuple(r, v.seq, out);
    case JINJA_UNDEFINED:
    case JINJA_NONE:
        *out = mix(2, v.type);
        return true;
    case JINJA_LIST:
    case JINJA_DICT:
    case JINJA_VIEW:
        return jinja_raise(r, "unhashable type: '%s'", jinja_type_name(v));
    default:
        *out = mix(3, (uint64_t)(uintptr_t)v.seq);
        return true;
    }
}

struct jinja_dict *jinja_dict_new(struct jinja_render *r, size_t expected)
{
    struct jinja_dict *d = jinja_alloc(r, 1, sizeof *d);

    if (d == NULL || expected == 0)
        return d;
    d->entries = jinja_alloc(r, expected, sizeof *d->entries);
    d->cap = expected;
    return d->entries == NULL ? NULL : d;
}

/* The entry of an equal key, or d->n. */
static bool find_entry(struct jinja_render *r, const struct jinja_dict *d, struct jinja_value key,
                       uint64_t hash, size_t *out)
{
    size_t at = hash & d->mask;

    for (size_t i = 0;; i++) {
        const size_t entry = d->index == NULL ? i : (size_t)d->index[at] - 1;
        bool same;

        if (d->index == NULL ? i == d->n : d->index[at] == 0) {
            *out = d->n;
            return true;
        }
        at = (at + 1) & d->mask;
        if (!jinja_charge(r, 1))
            return false;
        if (d->entries[entry].hash != hash)
            continue;
        same = jinja_same(d->entries[entry].key, key);
        if (!same && !jinja_equal(r, d->entries[entry].key, key, &same))
            return false;
        if (same) {
            *out = entry;
            return true;
        }
    }
}

static void index_put(struct jinja_dict *d, size_t entry)
{
    size_t at = d->entries[entry].hash & d->mask;

    while (d->index[at] != 0)
        at = (at + 1) & d->mask;
    d->index[at] = (uint32_t)(entry + 1);
}

static bool grow(struct jinja_render *r, struct jinja_dict *d)
{
    const size_t cap = d->cap == 0 ? 4 : d->cap * 2;
    struct jinja_entry *entries = jinja_alloc(r, cap, sizeof *entries);

    if (entries == NULL)
        return false;
    if (d->n > 0)
        memcpy(entries, d->entries, d->n * sizeof *entries);
    d->entries = entries;
    d->cap = cap;
    return true;
}

static bool reindex(struct jinja_render *r, struct jinja_dict *d)
{
    size_t size = 32;

    while (size < d->n * 4)
        size *= 2;
    uint32_t *index = jinja_alloc(r, size, sizeof *index);
    if (index == NULL)
        return false;
    d->index = index;
    d->mask = size - 1;
    for (size_t i = 0; i < d->n; i++)
        index_put(d, i);
    return true;
}

bool jinja_dict_set(struct jinja_render *r, struct jinja_dict *d, struct jinja_value key,
                    struct jinja_value value)
{
    uint64_t hash;
    size_t at;

    if (!jinja_hash(r, key, &hash) || !find_entry(r, d, key, hash, &at))
        return false;
    if (at < d->n) {
        d->entries[at].value = value;
        return true;
    }
    if (d->n == d->cap && !grow(r, d))
        return false;
    d->entries[d->n++] = (struct jinja_entry){key, value, hash};
    if (d->index != NULL && d->n * 2 <= d->mask)
        index_put(d, d->n - 1);
    else if (d->n >= INDEXED_FROM)
        return reindex(r, d);
    return true;
}

bool jinja_dict_get(struct jinja_render *r, const struct jinja_dict *d, struct jinja_value key,
                    const struct jinja_value **out)
{
    uint64_t hash;
    size_t at;

    if (!jinja_hash(r, key, &hash) || !find_entry(r, d, key, hash, &at))
        return false;
    *out = at < d->n ? &d->entries[at].value : NULL;
    return true;
}

const struct jinja_value *jinja_dict_find(const struct jinja_dict *d, struct str key)
{
    const uint64_t hash = hash_bytes(key);
    size_t at = hash & d->mask;

    for (size_t i = 0; d->index == NULL ? i < d->n : d->index[at] != 0; i++) {
        const struct jinja_entry *e = &d->entries[d->index == NULL ? i : (size_t)d->index[at] - 1];

        at = (at + 1) & d->mask;
        if (e->hash == hash && e->key.type == JINJA_STR &&
            str_eq((struct str){e->key.text->ptr, e->key.text->len}, key))
            return &e->value;
    }
    return NULL;
}

/* strict: keys without an order are an error; otherwise their types' names decide, as Python 2 had it. */
static bool key_before(struct jinja_render *r, bool strict, struct jinja_value a,
                       struct jinja_value b, bool *out)
{
    const bool orderly =
        (jinja_is_number(a) && jinja_is_number(b)) || (a.type == JINJA_STR && b.type == JINJA_STR);

    if (strict || orderly)
        return jinja_order(r, JINJA_LT, a, b, out);
    *out = strcmp(jinja_type_name(a), jinja_type_name(b)) < 0;
    return true;
}

bool jinja_dict_sorted(struct jinja_render *r, const struct jinja_dict *d, bool strict,
                       struct jinja_entry **out)
{
    struct jinja_entry *sorted = *out = jinja_alloc(r, d->n, sizeof *sorted);

    if (sorted == NULL)
        return false;
    for (size_t i = 0; i < d->n; i++) { /* insertion by binary search: equal keys cannot be */
        size_t low = 0, high = i;

        while (low < high) {
            const size_t mid = (low + high) / 2;
            bool before;

            if (!key_before(r, strict, d->entries[i].key, sorted[mid].key, &before))
                return false;
            if (before)
                high = mid;
            else
                low = mid + 1;
        }
        if (!jinja_charge(r, (i - low) / 16))
            return false;
        memmove(sorted + low + 1, sorted + low, (i - low) * sizeof *sorted);
        sorted[low] = d->entries[i];
    }
    return true;
}
