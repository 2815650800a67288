/*
 * gguf.c - one pass over the head of the file with the bounded reader; lookups go through arrays sorted by name.
 *
 * A count is held against the bytes that are left before anything is allocated for it, so a file of a few bytes cannot
 * ask for much memory.
 */
#include "model/gguf.h"
#include "base/limits.h"
#include "base/reader.h"
#include "base/size.h"
#include "model/shown.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are read as they lie");

#define KEY_LEAST_BYTES (8 + 4 + 1)            /* an empty name, a type, one byte */
#define TENSOR_LEAST_BYTES (8 + 4 + 8 + 4 + 8) /* an empty name, one dimension */
#define DEFAULT_ALIGNMENT 32

struct key {
    const char *name;
    struct gguf_value value;
};

struct gguf {
    struct arena arena;
    struct file_map map;
    bool map_is_ours;
    const char *what;
    size_t n_keys, n_tensors;
    struct key *keys; /* [n_keys], sorted by name */
    struct gguf_tensor *tensors;
    const struct gguf_tensor **by_name; /* [n_tensors] */
    struct gguf *const *parts;          /* [n_parts] those behind the first; closed with it */
    size_t n_parts;
};

static const struct {
    const char *name;
    size_t size; /* 0: it differs */
} types[N_GGUF_TYPES] = {
    [GGUF_U8] = {"u8", 1},       [GGUF_I8] = {"i8", 1},     [GGUF_U16] = {"u16", 2},
    [GGUF_I16] = {"i16", 2},     [GGUF_U32] = {"u32", 4},   [GGUF_I32] = {"i32", 4},
    [GGUF_F32] = {"f32", 4},     [GGUF_BOOL] = {"bool", 1}, [GGUF_STR] = {"string", 0},
    [GGUF_ARRAY] = {"array", 0}, [GGUF_U64] = {"u64", 8},   [GGUF_I64] = {"i64", 8},
    [GGUF_F64] = {"f64", 8},
};

/* ggml's numbers for tensor types; those that have no dtype are known by name, to be told. */
static const char *const tensor_types[] = {
    "F32",   "F16",        "Q4_0",       "Q4_1",       "Q4_2",     "Q4_3",     "Q5_0",
    "Q5_1",  "Q8_0",       "Q8_1",       "Q2_K",       "Q3_K",     "Q4_K",     "Q5_K",
    "Q6_K",  "Q8_K",       "IQ2_XXS",    "IQ2_XS",     "IQ3_XXS",  "IQ1_S",    "IQ4_NL",
    "IQ3_S", "IQ2_S",      "IQ4_XS",     "I8",         "I16",      "I32",      "I64",
    "F64",   "IQ1_M",      "BF16",       "Q4_0_4_4",   "Q4_0_4_8", "Q4_0_8_8", "TQ1_0",
    "TQ2_0", "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "MXFP4",    "NVFP4",    "Q1_0",
};

static bool cut_short(const struct gguf *g, const struct reader *r, const char *part,
                      struct error *err)
{
    return fail(err, ERR_CORRUPT, "%s: %s is cut short: the file ends at byte %zu", g->what, part,
                r->len);
}

/* A name, as a text of its own. Names with a zero byte are refused: they would not be what they seem. */
static bool name_read(const struct gguf *g, struct reader *r, struct arena *a, const char *part,
                      const char **out, struct error *err)
{
    const struct str s = reader_str64(r);

    if (r->failed)
        return cut_short(g, r, part, err);
    if (s.len > GGUF_MAX_NAME)
        return fail(err, ERR_LIMIT, "%s: %s has a name of %zu bytes, at most %d are allowed",
                    g->what, part, s.len, GGUF_MAX_NAME);
    if (s.len > 0 && memchr(s.ptr, '\0', s.len) != NULL)
        return fail(err, ERR_CORRUPT, "%s: %s has a zero byte in the name \"%s\"", g->what, part,
                    shown(s).text);
    *out = arena_text(a, s);
    return true;
}

static bool value_read(const struct gguf *g, struct reader *r, const char *key, uint32_t type,
                       int depth, struct gguf_value *out, struct error *err);

/* Steps over an array. Each item costs bytes of the file, so that bounds the work. */
static bool array_read(const struct gguf *g, struct reader *r, const char *key, int depth,
                       struct gguf_value *out, struct error *err)
{
    const uint32_t item = reader_u32(r);
    const uint64_t n = reader_u64(r);
    const size_t start = r->pos;
    size_t size;

    if (r->failed)
        return cut_short(g, r, "the metadata", err);
    if (item >= N_GGUF_TYPES)
        return fail(err, ERR_CORRUPT, "%s: the key %s is an array of the unknown type %" PRIu32,
                    g->what, shown(str_of(key)).text, item);
    if (depth >= GGUF_MAX_DEPTH)
        return fail(err, ERR_LIMIT, "%s: the key %s has arrays nested more than %d deep", g->what,
                    shown(str_of(key)).text, GGUF_MAX_DEPTH);
    const size_t least = types[item].size > 0 ? types[item].size : item == GGUF_STR ? 8 : 12;
    if (!size_mul(n, least, &size) || size > r->len - r->pos)
        return fail(err, ERR_CORRUPT,
                    "%s: the key %s claims an array of %" PRIu64
                    " values, but only %zu bytes follow",
                    g->what, shown(str_of(key)).text, n, r->len - r->pos);
    if (types[item].size > 0)
        reader_bytes(r, size);
    for (uint64_t i = 0; item == GGUF_STR && i < n && !r->failed; i++)
        reader_str64(r);
    for (uint64_t i = 0; item == GGUF_ARRAY && i < n; i++) {
        struct gguf_value inner;

        if (!value_read(g, r, key, item, depth + 1, &inner, err))
            return false;
    }
    out->item = (enum gguf_type)item;
    out->n_items = (size_t)n;
    out->bytes = (struct str){(const char *)r->ptr + start, r->pos - start};
    return true;
}

static bool value_read(const struct gguf *g, struct reader *r, const char *key, uint32_t type,
                       int depth, struct gguf_value *out, struct error *err)
{
    struct gguf_value v = {.type = (enum gguf_type)type};

    if (type >= N_GGUF_TYPES)
        return fail(err, ERR_CORRUPT, "%s: the key %s has the unknown type %" PRIu32, g->what,
                    shown(str_of(key)).text, type);
    if (type == GGUF_STR)
        v.bytes = reader_str64(r);
    else if (type != GGUF_ARRAY)
        v.bytes = (struct str){reader_bytes(r, types[type].size), types[type].size};
    else if (!array_read(g, r, key, depth, &v, err))
        return false;
    if (r->failed)
        return cut_short(g, r, "the metadata", err);
    if (type == GGUF_BOOL && (unsigned char)v.bytes.ptr[0] > 1)
        return fail(err, ERR_CORRUPT, "%s: the key %s is a bool of %d, 0 or 1 was expected",
                    g->what, shown(str_of(key)).text, (unsigned char)v.bytes.ptr[0]);
    *out = v;
    return true;
}

static int key_order(const void *a, const void *b)
{
    return strcmp(((const struct key *)a)->name, ((const struct key *)b)->name);
}

static bool keys_read(struct gguf *g, struct reader *r, uint64_t n, struct error *err)
{
    if (n > GGUF_MAX_KEYS)
        return fail(err, ERR_LIMIT, "%s: %" PRIu64 " keys are more than the %d allowed", g->what, n,
                    GGUF_MAX_KEYS);
    if (n > (r->len - r->pos) / KEY_LEAST_BYTES)
        return fail(err, ERR_CORRUPT, "%s: %" PRIu64 " keys do not fit into a file of %zu bytes",
                    g->what, n, r->len);
    g->n_keys = (size_t)n;
    g->keys = arena_try(&g->arena, g->n_keys, sizeof *g->keys, "the keys of a model file", err);
    if (g->keys == NULL)
        return false;
    for (size_t i = 0; i < g->n_keys; i++) {
        struct key *k = &g->keys[i];

        if (!name_read(g, r, &g->arena, "the metadata", &k->name, err))
            return false;
        const uint32_t type = reader_u32(r);
        if (r->failed)
            return cut_short(g, r, "the metadata", err);
        if (!value_read(g, r, k->name, type, 0, &k->value, err))
            return false;
    }
    qsort(g->keys, g->n_keys, sizeof *g->keys, key_order);
    for (size_t i = 1; i < g->n_keys; i++)
        if (strcmp(g->keys[i - 1].name, g->keys[i].name) == 0)
            return fail(err, ERR_CORRUPT, "%s: the key %s is there twice", g->what,
                        shown(str_of(g->keys[i].name)).text);
    return true;
}

static bool dtype_named(const char *name, enum dtype *out)
{
    for (int t = 0; t < N_DTYPES; t++) {
        if (strcmp(dtype_info((enum dtype)t)->name, name) == 0) {
            *out = (enum dtype)t;
            return true;
        }
    }
    return false;
}

uint32_t gguf_type_number(enum dtype t)
{
    uint32_t n = 0;

    while (strcmp(tensor_types[n], dtype_info(t)->name) != 0) {
        n++;
        assert(n < COUNT_OF(tensor_types));
    }
    return n;
}

static bool dtype_read(const struct gguf *g, const char *tensor, uint32_t type, enum dtype *out,
                       struct error *err)
{
    const char *name = type < COUNT_OF(tensor_types) ? tensor_types[type] : NULL;
    char readable[200] = "", number[32];
    enum dtype other;

    if (name != NULL && dtype_named(name, out))
        return true;
    for (size_t t = 0, at = 0; t < COUNT_OF(tensor_types) && at < sizeof readable; t++)
        if (dtype_named(tensor_types[t], &other))
            at += (size_t)snprintf(readable + at, sizeof readable - at, "%s%s", t == 0 ? "" : ", ",
                                   tensor_types[t]);
    snprintf(number, sizeof number, "number %" PRIu32, type);
    return fail(
        err, ERR_UNSUPPORTED,
        "%s: the tensor %s has the type %s, which is not read; convert the model to one of %s",
        g->what, shown(str_of(tensor)).text, name != NULL ? name : number, readable);
}

/* One row of the table; offset is the place in the data part, which begins later. */
static bool tensor_read(const struct gguf *g, struct reader *r, struct arena *a,
                        struct gguf_tensor *t, uint64_t *offset, struct error *err)
{
    uint64_t dims[GGUF_MAX_DIMS] = {0};
    size_t count = 1, size;

    if (!name_read(g, r, a, "the tensor table", &t->name, err))
        return false;
    const struct shown name = shown(str_of(t->name));
    const uint32_t n_dims = reader_u32(r);
    if (!r->failed && (n_dims == 0 || n_dims > GGUF_MAX_DIMS))
        return fail(err, ERR_CORRUPT,
                    "%s: the tensor %s has %" PRIu32 " dimensions, 1 to %d were expected", g->what,
                    name.text, n_dims, GGUF_MAX_DIMS);
    for (uint32_t d = 0; d < n_dims && d < GGUF_MAX_DIMS; d++)
        dims[d] = reader_u64(r);
    const uint32_t type = reader_u32(r);
    *offset = reader_u64(r);
    if (r->failed)
        return cut_short(g, r, "the tensor table", err);
    if (!dtype_read(g, t->name, type, &t->dtype, err))
        return false;
    const struct dtype_info *info = dtype_info(t->dtype);
    t->n_dims = n_dims;
    for (uint32_t d = 0; d < n_dims; d++) {
        if (dims[d] == 0 || !size_mul(count, dims[d], &count))
            return fail(err, ERR_CORRUPT, "%s: dimension %" PRIu32 " of the tensor %s is %" PRIu64,
                        g->what, d, name.text, dims[d]);
        t->dims[n_dims - 1 - d] = (size_t)dims[d];
    }
    if (dims[0] % info->block != 0)
        return fail(err, ERR_CORRUPT,
                    "%s: the tensor %s has rows of %" PRIu64 " values, no multiple of %s's %zu",
                    g->what, name.text, dims[0], info->name, info->block);
    if (!size_mul(count / info->block, info->block_bytes, &size))
        return fail(err, ERR_CORRUPT, "%s: the tensor %s has %zu values", g->what, name.text,
                    count);
    t->size_bytes = size;
    return true;
}

static int tensor_name_order(const void *a, const void *b)
{
    const struct gguf_tensor *const *x = a, *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

static int tensor_data_order(const void *a, const void *b)
{
    const struct gguf_tensor *const *x = a, *const *y = b;
    const uintptr_t p = (uintptr_t)(*x)->data, q = (uintptr_t)(*y)->data;

    return p < q ? -1 : p > q;
}

/* Each tensor lies in the file, at a multiple of the alignment; start is where their part begins. */
static bool tensors_place(struct gguf *g, const struct reader *r, size_t alignment,
                          const uint64_t *offsets, struct error *err)
{
    const size_t start = size_round_up(r->pos, alignment); /* pos is a file's: no wrap */

    for (size_t i = 0; i < g->n_tensors; i++) {
        struct gguf_tensor *t = &g->tensors[i];

        if (offsets[i] % alignment != 0)
            return fail(err, ERR_CORRUPT,
                        "%s: the tensor %s is at %" PRIu64 ", no multiple of the alignment %zu",
                        g->what, shown(str_of(t->name)).text, offsets[i], alignment);
        if (start > r->len || offsets[i] > r->len - start ||
            t->size_bytes > r->len - start - offsets[i])
            return fail(err, ERR_CORRUPT,
                        "%s: the tensor %s has %zu bytes at %zu + %" PRIu64
                        ", but the file ends at byte %zu: it is cut short",
                        g->what, shown(str_of(t->name)).text, t->size_bytes, start, offsets[i],
                        r->len);
        t->data = r->ptr + start + offsets[i];
    }
    return true;
}

/* No two overlap, no two have one name; by_name is sorted when this succeeds. */
static bool tensors_differ(struct gguf *g, struct error *err)
{
    qsort(g->by_name, g->n_tensors, sizeof *g->by_name, tensor_data_order);
    for (size_t i = 1; i < g->n_tensors; i++) {
        const struct gguf_tensor *low = g->by_name[i - 1], *high = g->by_name[i];

        if (low->size_bytes > (size_t)((const char *)high->data - (const char *)low->data))
            return fail(err, ERR_CORRUPT, "%s: the tensors %s and %s overlap", g->what,
                        shown(str_of(low->name)).text, shown(str_of(high->name)).text);
    }
    qsort(g->by_name, g->n_tensors, sizeof *g->by_name, tensor_name_order);
    for (size_t i = 1; i < g->n_tensors; i++)
        if (strcmp(g->by_name[i - 1]->name, g->by_name[i]->name) == 0)
            return fail(err, ERR_CORRUPT, "%s: the tensor %s is there twice", g->what,
                        shown(str_of(g->by_name[i]->name)).text);
    return true;
}

static bool tensors_read(struct gguf *g, struct reader *r, uint64_t n, struct error *err)
{
    int64_t alignment = DEFAULT_ALIGNMENT;
    struct arena scratch = {0};
    bool ok = false;

    if (n > LIMIT_TENSORS)
        return fail(err, ERR_LIMIT, "%s: %" PRIu64 " tensors are more than the %zu allowed",
                    g->what, n, LIMIT_TENSORS);
    if (n > (r->len - r->pos) / TENSOR_LEAST_BYTES)
        return fail(err, ERR_CORRUPT, "%s: %" PRIu64 " tensors do not fit into a file of %zu bytes",
                    g->what, n, r->len);
    if (!gguf_get_int(g, "general.alignment", 1, 1 << 20, &alignment, err))
        return false;
    if ((alignment & (alignment - 1)) != 0)
        return fail(err, ERR_CORRUPT,
                    "%s: general.alignment is %" PRId64 ", a power of two was expected", g->what,
                    alignment);
    g->n_tensors = (size_t)n;
    g->tensors = arena_try(&g->arena, g->n_tensors, sizeof *g->tensors, "the tensor table", err);
    g->by_name = arena_try(&g->arena, g->n_tensors, sizeof *g->by_name, "the tensor table", err);
    uint64_t *offsets = arena_try(&scratch, g->n_tensors, sizeof *offsets, "the tensor table", err);
    if (g->tensors == NULL || g->by_name == NULL || offsets == NULL)
        goto done;
    for (size_t i = 0; i < g->n_tensors; i++) {
        if (!tensor_read(g, r, &g->arena, &g->tensors[i], &offsets[i], err))
            goto done;
        g->by_name[i] = &g->tensors[i];
    }
    ok = tensors_place(g, r, (size_t)alignment, offsets, err) && tensors_differ(g, err);
done:
    arena_release(&scratch);
    return ok;
}

static bool file_read_whole(struct gguf *g, struct error *err)
{
    struct reader r = reader_of(g->map.ptr, g->map.len);
    const char *magic = reader_bytes(&r, 4);
    const uint32_t version = reader_u32(&r);

    if (magic == NULL || memcmp(magic, "GGUF", 4) != 0)
        return fail(err, ERR_CORRUPT, "%s does not begin with GGUF", g->what);
    if (!r.failed && version > 0 && (version & 0xffff) == 0)
        return fail(err, ERR_UNSUPPORTED,
                    "%s is a big-endian GGUF file; only little-endian ones are read", g->what);
    if (!r.failed && version != 2 && version != 3)
        return fail(err, ERR_UNSUPPORTED, "%s has version %" PRIu32 " of GGUF; 2 and 3 are read",
                    g->what, version);
    const uint64_t n_tensors = reader_u64(&r), n_keys = reader_u64(&r);
    if (r.failed)
        return cut_short(g, &r, "the head", err);
    return keys_read(g, &r, n_keys, err) && tensors_read(g, &r, n_tensors, err);
}

/* Takes the map when it succeeds. */
static bool open_map(struct file_map map, bool ours, const char *what, struct gguf **out,
                     struct error *err)
{
    struct arena a = {0};
    struct gguf *g = ARENA_NEW(&a, struct gguf);

    g->map = map;
    g->what = arena_text(&a, str_of(what));
    g->arena = a; /* it holds g itself, too */
    if (!file_read_whole(g, err)) {
        gguf_close(g);
        return false;
    }
    g->map_is_ours = ours;
    *out = g;
    return true;
}

bool gguf_open_bytes(const void *bytes, size_t len, const char *what, struct gguf **out,
                     struct error *err)
{
    return open_map((struct file_map){.ptr = bytes, .len = len}, false, what, out, err);
}

static bool open_one(const char *path, struct gguf **out, struct error *err)
{
    struct file_map map = {0};

    if (!file_map_open(path, &map, err))
        return false;
    if (!open_map(map, true, path, out, err)) {
        file_map_close(&map);
        return false;
    }
    return true;
}

/* --- parts */

/* What a part says of itself must be what is expected of number no (0 the first) of count. */
static bool part_check(const struct gguf *g, size_t no, size_t count, struct error *err)
{
    int64_t is = -1, of = 0;

    if (!gguf_need(g, "split.no", err) || !gguf_need(g, "split.count", err) ||
        !gguf_get_int(g, "split.no", 0, UINT16_MAX, &is, err) ||
        !gguf_get_int(g, "split.count", 0, UINT16_MAX, &of, err))
        return false;
    return ((size_t)is == no && (size_t)of == count) ||
           fail_param(err, ERR_INVALID, "split.no",
                      "%s says that it is part %" PRId64 " of %" PRId64
                      ", part %zu of %zu was expected",
                      g->what, is + 1, of, no + 1, count);
}

/* As many tensors as the first part says, and not too many. */
static bool tensors_count(const struct gguf *g, size_t *n, struct error *err)
{
    int64_t said;

    *n = g->n_tensors;
    for (size_t p = 0; p < g->n_parts; p++)
        *n += g->parts[p]->n_tensors;
    if (*n > LIMIT_TENSORS)
        return fail(err, ERR_LIMIT, "%s: %zu tensors in all parts are more than the %zu allowed",
                    g->what, *n, LIMIT_TENSORS);
    said = (int64_t)*n;
    if (!gguf_get_int(g, "split.tensors.count", 0, INT64_MAX, &said, err))
        return false;
    return (size_t)said == *n ||
           fail_param(err, ERR_INVALID, "split.tensors.count",
                      "%s: split.tensors.count is %" PRId64 ", but the %zu parts have %zu", g->what,
                      said, g->n_parts + 1, *n);
}

/* One list of all parts' tensors, in their order. */
static bool tensors_gather(struct gguf *g, struct error *err)
{
    size_t n, at = g->n_tensors;

    if (!tensors_count(g, &n, err))
        return false;
    struct gguf_tensor *all = arena_try(&g->arena, n, sizeof *all, "the tensor table", err);
    const struct gguf_tensor **by_name =
        arena_try(&g->arena, n, sizeof *by_name, "the tensor table", err);
    if (all == NULL || by_name == NULL)
        return false;
    for (size_t i = 0; i < g->n_tensors; i++)
        all[i] = g->tensors[i];
    for (size_t p = 0; p < g->n_parts; p++)
        for (size_t i = 0; i < g->parts[p]->n_tensors; i++)
            all[at++] = g->parts[p]->tensors[i];
    for (size_t i = 0; i < n; i++)
        by_name[i] = &all[i];
    g->tensors = all;
    g->by_name = by_name;
    g->n_tensors = n;
    return tensors_differ(g, err);
}

bool gguf_join(struct gguf *first, struct gguf *const *others, size_t n, struct error *err)
{
    assert(first->n_parts == 0);
    struct gguf **parts = ARENA_ARRAY(&first->arena, struct gguf *, n + 1);

    for (size_t i = 0; i < n; i++)
        parts[i] = others[i];
    first->parts = parts;
    first->n_parts = n;
    if (!part_check(first, 0, n + 1, err))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!part_check(others[i], i + 1, n + 1, err))
            return false;
    return tensors_gather(first, err);
}

/* Opens the parts that are named as the first is, up to one that fails; *n of them. */
static bool others_open(const struct gguf *first, size_t count, struct arena *a,
                        struct gguf **others, size_t *n, struct error *err)
{
    const struct str path = str_of(first->what),
                     end = str_of(arena_printf(a, "-00001-of-%05zu.gguf", count));

    if (!str_ends(path, end))
        return fail_param(err, ERR_INVALID, "split.count",
                          "%s is the first of %zu parts, but its name does not end in %s, so the "
                          "others cannot be found",
                          first->what, count, end.ptr);
    for (*n = 0; *n + 1 < count; (*n)++) {
        const char *other = arena_printf(a, "%.*s-%05zu-of-%05zu.gguf", (int)(path.len - end.len),
                                         path.ptr, *n + 2, count);

        if (!open_one(other, &others[*n], err))
            return fail_while(err, "opening part %zu of %zu", *n + 2, count);
    }
    return true;
}

static bool parts_open(struct gguf *g, struct error *err)
{
    int64_t count = 1, no = 0;
    struct arena a = {0};
    size_t n = 0;

    if (!gguf_get_int(g, "split.count", 0, GGUF_MAX_PARTS, &count, err) ||
        !gguf_get_int(g, "split.no", 0, UINT16_MAX, &no, err))
        return false;
    if (count <= 1)
        return true;
    if (no != 0)
        return fail_param(err, ERR_INVALID, "split.no",
                          "%s is part %" PRId64 " of %" PRId64
                          "; give the first, whose name ends in -00001-of-%05" PRId64 ".gguf",
                          g->what, no + 1, count, count);
    struct gguf **others = ARENA_ARRAY(&a, struct gguf *, (size_t)count);
    const bool opened = others_open(g, (size_t)count, &a, others, &n, err);
    for (size_t i = 0; !opened && i < n; i++)
        gguf_close(others[i]);
    const bool ok = opened && gguf_join(g, others, n, err);
    arena_release(&a);
    return ok;
}

bool gguf_open(const char *path, struct gguf **out, struct error *err)
{
    struct gguf *g = NULL;

    if (!open_one(path, &g, err))
        return false;
    if (!parts_open(g, err)) {
        gguf_close(g);
        return false;
    }
    *out = g;
    return true;
}

void gguf_close(struct gguf *g)
{
    if (g == NULL)
        return;
    for (size_t i = 0; i < g->n_parts; i++)
        gguf_close(g->parts[i]); /* none has parts of its own */
    if (g->map_is_ours)
        file_map_close(&g->map);
    struct arena a = g->arena; /* g lies in it */
    arena_release(&a);
}

const char *gguf_name(const struct gguf *g)
{
    return g->what;
}

size_t gguf_n_files(const struct gguf *g)
{
    return 1 + g->n_parts;
}

struct file_map gguf_file(const struct gguf *g, size_t i)
{
    assert(i <= g->n_parts);
    return i == 0 ? g->map : g->parts[i - 1]->map;
}

size_t gguf_count(const struct gguf *g)
{
    return g->n_tensors;
}

const struct gguf_tensor *gguf_at(const struct gguf *g, size_t i)
{
    assert(i < g->n_tensors);
    return &g->tensors[i];
}

const struct gguf_tensor *gguf_find(const struct gguf *g, const char *name)
{
    const struct gguf_tensor key = {.name = name}, *p = &key;
    const struct gguf_tensor **hit =
        g->n_tensors == 0
            ? NULL
            : bsearch(&p, g->by_name, g->n_tensors, sizeof *g->by_name, tensor_name_order);

    return hit == NULL ? NULL : *hit;
}

size_t gguf_n_keys(const struct gguf *g)
{
    return g->n_keys;
}

const char *gguf_key_at(const struct gguf *g, size_t i, const struct gguf_value **value)
{
    assert(i < g->n_keys);
    *value = &g->keys[i].value;
    return g->keys[i].name;
}

const struct gguf_value *gguf_get(const struct gguf *g, const char *key)
{
    const struct key k = {.name = key};
    const struct key *hit =
        g->n_keys == 0 ? NULL : bsearch(&k, g->keys, g->n_keys, sizeof *g->keys, key_order);

    return hit == NULL ? NULL : &hit->value;
}

bool gguf_need(const struct gguf *g, const char *key, struct error *err)
{
    return gguf_get(g, key) != NULL ||
           fail_param(err, ERR_INVALID, key, "%s: the key %s is missing", g->what, key);
}

static bool wrong_type(const struct gguf *g, const char *key, const struct gguf_value *v,
                       const char *want, struct error *err)
{
    const bool array = v->type == GGUF_ARRAY;

    return fail_param(err, ERR_INVALID, key, "%s: the key %s is of type %s%s, %s was expected",
                      g->what, key, array ? "array of " : "", types[array ? v->item : v->type].name,
                      want);
}

/* The whole number at p; false where it is none, or beyond 63 bits. */
static bool number_at(enum gguf_type type, const char *p, int64_t *out)
{
    struct reader r = reader_of(p, types[type].size);

    switch (type) {
    case GGUF_U8:
        *out = reader_u8(&r);
        return true;
    case GGUF_I8:
        *out = reader_i8(&r);
        return true;
    case GGUF_U16:
        *out = reader_u16(&r);
        return true;
    case GGUF_I16:
        *out = reader_i16(&r);
        return true;
    case GGUF_U32:
        *out = reader_u32(&r);
        return true;
    case GGUF_I32:
        *out = reader_i32(&r);
        return true;
    case GGUF_I64:
        *out = reader_i64(&r);
        return true;
    case GGUF_U64: {
        const uint64_t u = reader_u64(&r);

        *out = u > INT64_MAX ? INT64_MAX : (int64_t)u; /* out of any range that is asked for */
        return true;
    }
    default:
        return false;
    }
}

bool gguf_get_int(const struct gguf *g, const char *key, int64_t min, int64_t max, int64_t *out,
                  struct error *err)
{
    const struct gguf_value *v = gguf_get(g, key);
    int64_t number;

    if (v == NULL)
        return true;
    if (!number_at(v->type, v->bytes.ptr, &number))
        return wrong_type(g, key, v, "a whole number", err);
    if (number < min || number > max)
        return fail_param(err, ERR_INVALID, key,
                          "%s: the key %s is %" PRId64 ", expected %" PRId64 " to %" PRId64,
                          g->what, key, number, min, max);
    *out = number;
    return true;
}

bool gguf_get_double(const struct gguf *g, const char *key, double *out, struct error *err)
{
    const struct gguf_value *v = gguf_get(g, key);
    struct reader r;

    if (v == NULL)
        return true;
    r = reader_of(v->bytes.ptr, v->bytes.len);
    if (v->type == GGUF_F32)
        *out = (double)reader_f32(&r);
    else if (v->type == GGUF_F64)
        *out = reader_f64(&r);
    else
        return wrong_type(g, key, v, "f32 or f64", err);
    return true;
}

bool gguf_get_bool(const struct gguf *g, const char *key, bool *out, struct error *err)
{
    const struct gguf_value *v = gguf_get(g, key);

    if (v == NULL)
        return true;
    if (v->type != GGUF_BOOL)
        return wrong_type(g, key, v, "bool", err);
    *out = v->bytes.ptr[0] != 0;
    return true;
}

bool gguf_get_str(const struct gguf *g, const char *key, struct str *out, struct error *err)
{
    const struct gguf_value *v = gguf_get(g, key);

    if (v == NULL)
        return true;
    if (v->type != GGUF_STR)
        return wrong_type(g, key, v, "a string", err);
    *out = v->bytes;
    return true;
}

bool gguf_get_strs(const struct gguf *g, const char *key, struct arena *a, struct str **out,
                   size_t *n, struct error *err)
{
    const struct gguf_value *v = gguf_get(g, key);

    if (v == NULL)
        return true;
    if (v->type != GGUF_ARRAY || v->item != GGUF_STR)
        return wrong_type(g, key, v, "an array of strings", err);
    struct str *list = arena_try(a, v->n_items, sizeof *list, key, err);
    if (list == NULL)
        return false;
    struct reader r = reader_of(v->bytes.ptr, v->bytes.len);
    for (size_t i = 0; i < v->n_items; i++)
        list[i] = reader_str64(&r);
    assert(!r.failed); /* walked when it was opened */
    *out = list;
    *n = v->n_items;
    return true;
}

bool gguf_get_i32s(const struct gguf *g, const char *key, struct arena *a, int32_t **out, size_t *n,
                   struct error *err)
{
    const struct gguf_value *v = gguf_get(g, key);

    if (v == NULL)
        return true;
    if (v->type != GGUF_ARRAY || (v->item != GGUF_I32 && v->item != GGUF_U32))
        return wrong_type(g, key, v, "an array of i32", err);
    int32_t *list = arena_try(a, v->n_items, sizeof *list, key, err);
    if (list == NULL)
        return false;
    if (v->n_items > 0)
        memcpy(list, v->bytes.ptr, v->n_items * sizeof *list);
    *out = list;
    *n = v->n_items;
    return true;
}

bool gguf_get_f32s(const struct gguf *g, const char *key, struct arena *a, float **out, size_t *n,
                   struct error *err)
{
    const struct gguf_value *v = gguf_get(g, key);

    if (v == NULL)
        return true;
    if (v->type != GGUF_ARRAY || v->item != GGUF_F32)
        return wrong_type(g, key, v, "an array of f32", err);
    float *list = arena_try(a, v->n_items, sizeof *list, key, err);
    if (list == NULL)
        return false;
    if (v->n_items > 0)
        memcpy(list, v->bytes.ptr, v->n_items * sizeof *list);
    *out = list;
    *n = v->n_items;
    return true;
}
