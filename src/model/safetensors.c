/*
 * safetensors.c - the header through the JSON reader, the data through the map; and the writer.
 */
#include "model/safetensors.h"
#include "base/limits.h"
#include "base/reader.h"
#include "base/size.h"
#include "model/shown.h"
#include "text/json.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "tensors are mapped and written as they lie");

static const enum dtype readable[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_F8_E4M3,
                                      DTYPE_F8_E5M2};

struct entry {
    struct safetensor t;
    size_t from, to; /* in the data of its file */
    size_t file;
    bool is_index; /* position_ids: has its place in the data, and is not handed out */
};

struct shard {
    const char *path, *name; /* name: as the index has it; NULL for a file alone */
    struct file_map map;
    bool map_is_ours;
    struct entry *entries; /* [n] in the order of their data */
    size_t n;
};

struct safetensors {
    struct arena arena; /* everything here, and this */
    struct shard *shards;
    size_t n_shards, n;
    const struct entry **entries; /* [n] shard after shard */
    const struct entry **by_name; /* [n] */
};

/* One whole number from 0 on; false where v is none. */
static bool size_of_json(const json_t *v, size_t *out)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return false;
    *out = (size_t)json_integer_value(v);
    return true;
}

/* Bytes are MXFP4's blocks or exponents, by these names. */
static bool is_mxfp4_part(const char *name)
{
    return str_ends(str_of(name), STR("_blocks")) || str_ends(str_of(name), STR("_scales"));
}

static bool dtype_of_json(const json_t *v, const char *name, enum dtype *out)
{
    if (str_is(json_str(v), dtype_info(DTYPE_U8)->name) && is_mxfp4_part(name)) {
        *out = DTYPE_U8;
        return true;
    }
    for (size_t i = 0; i < COUNT_OF(readable); i++) {
        if (str_is(json_str(v), dtype_info(readable[i])->name)) {
            *out = readable[i];
            return true;
        }
    }
    return false;
}

static bool entry_read(const struct shard *s, const char *key, const json_t *v, struct str data,
                       struct entry *out, struct error *err)
{
    const struct shown name = shown(str_of(key));
    const json_t *shape = json_object_get(v, "shape"),
                 *offsets = json_object_get(v, "data_offsets");
    const json_t *dtype = json_object_get(v, "dtype");
    struct entry e = {.t = {.name = key}};
    size_t count = 1, size;

    if (!json_is_string(dtype) || !json_is_array(shape) || !json_is_array(offsets) ||
        json_array_size(offsets) != 2)
        return fail(
            err, ERR_CORRUPT,
            "%s: the tensor \"%s\" has no \"dtype\", \"shape\" and two \"data_offsets\" as they should be",
            s->path, name.text);
    e.is_index = str_ends(str_of(key), STR("position_ids")) && str_is(json_str(dtype), "I64");
    if (!e.is_index && !dtype_of_json(dtype, key, &e.t.dtype))
        return fail(
            err, ERR_UNSUPPORTED,
            "%s: the tensor \"%s\" has the type %s; F32, F16, BF16, F8_E4M3 and F8_E5M2 are read, and "
            "U8 of MXFP4's ..._blocks and ..._scales",
            s->path, name.text, shown(json_str(dtype)).text);
    e.t.n_dims = json_array_size(shape);
    if (e.t.n_dims > SAFETENSORS_MAX_DIMS)
        return fail(err, ERR_LIMIT, "%s: the tensor \"%s\" has %zu dimensions, at most %d are read",
                    s->path, name.text, e.t.n_dims, SAFETENSORS_MAX_DIMS);
    for (size_t d = 0; d < e.t.n_dims; d++)
        if (!size_of_json(json_array_get(shape, d), &e.t.dims[d]) ||
            !size_mul(count, e.t.dims[d], &count))
            return fail(err, ERR_CORRUPT,
                        "%s: the tensor \"%s\" has an impossible shape at dimension %zu", s->path,
                        name.text, d);
    if (!size_mul(count, e.is_index ? sizeof(int64_t) : dtype_info(e.t.dtype)->block_bytes, &size))
        return fail(err, ERR_CORRUPT, "%s: the tensor \"%s\" has %zu values", s->path, name.text,
                    count);
    if (!size_of_json(json_array_get(offsets, 0), &e.from) ||
        !size_of_json(json_array_get(offsets, 1), &e.to) || e.from > e.to)
        return fail(err, ERR_CORRUPT, "%s: the tensor \"%s\" has impossible data_offsets", s->path,
                    name.text);
    if (e.to > data.len)
        return fail(
            err, ERR_CORRUPT,
            "%s: the tensor \"%s\" ends at byte %zu of the data, which has %zu: the file is cut short",
            s->path, name.text, e.to, data.len);
    if (e.to - e.from != size)
        return fail(err, ERR_CORRUPT,
                    "%s: the tensor \"%s\" has %zu bytes, its shape and type make %zu", s->path,
                    name.text, e.to - e.from, size);
    e.t.data = data.ptr + e.from;
    *out = e;
    return true;
}

static int data_order(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    if (x->to != y->to)
        return x->to < y->to ? -1 : 1;
    return strcmp(x->t.name, y->t.name); /* empty ones at one place: any fixed order */
}

/* Every byte of the data belongs to one tensor. */
static bool data_is_covered(const struct shard *s, size_t len, struct error *err)
{
    size_t end = 0;

    for (size_t i = 0; i < s->n; i++) {
        const struct entry *e = &s->entries[i];

        if (e->from != end)
            return fail(
                err, ERR_CORRUPT, "%s: the tensor \"%s\" begins at byte %zu of the data, %s",
                s->path, shown(str_of(e->t.name)).text, e->from,
                e->from < end ? "inside of another" : "and nothing fills the gap before it");
        end = e->to;
    }
    if (end != len)
        return fail(err, ERR_CORRUPT,
                    "%s: the last tensor ends at byte %zu of the data, which has %zu", s->path, end,
                    len);
    return true;
}

static bool header_read(struct arena *a, struct shard *s, json_t *header, struct str data,
                        struct error *err)
{
    if (!json_is_object(header))
        return fail(err, ERR_CORRUPT, "%s: the header is %s, an object was expected", s->path,
                    json_kind(header));
    const size_t n = json_object_size(header);
    if (n > LIMIT_TENSORS)
        return fail(err, ERR_LIMIT, "%s: %zu tensors are more than the %zu allowed", s->path, n,
                    LIMIT_TENSORS);
    s->entries = arena_try(a, n, sizeof *s->entries, "the tensor table", err);
    if (s->entries == NULL)
        return false;
    for (void *it = json_object_iter(header); it != NULL; it = json_object_iter_next(header, it)) {
        const struct str key = {json_object_iter_key(it), json_object_iter_key_len(it)};

        if (str_is(key, "__metadata__"))
            continue;
        if (memchr(key.ptr, '\0', key.len) != NULL)
            return fail(err, ERR_CORRUPT, "%s: a zero byte is in the name \"%s\"", s->path,
                        shown(key).text);
        if (!entry_read(s, arena_text(a, key), json_object_iter_value(it), data, &s->entries[s->n],
                        err))
            return false;
        s->n++;
    }
    qsort(s->entries, s->n, sizeof *s->entries, data_order);
    return data_is_covered(s, data.len, err);
}

static bool shard_read(struct arena *a, struct shard *s, struct error *err)
{
    struct reader r = reader_of(s->map.ptr, s->map.len);
    const uint64_t len = reader_u64(&r);
    json_t *header = NULL;

    if (r.failed)
        return fail(err, ERR_CORRUPT, "%s has %zu bytes, too few for a .safetensors file", s->path,
                    s->map.len);
    if (len > r.len - r.pos)
        return fail(err, ERR_CORRUPT,
                    "%s: the header claims %" PRIu64
                    " bytes, but the file has %zu: it is cut short or something else",
                    s->path, len, s->map.len);
    if (len > SAFETENSORS_MAX_HEADER)
        return fail(err, ERR_LIMIT, "%s: the header has %" PRIu64 " bytes, at most %zu are allowed",
                    s->path, len, SAFETENSORS_MAX_HEADER);
    const struct str text = {reader_bytes(&r, len), (size_t)len};
    if (text.len == 0 || text.ptr[0] != '{')
        return fail(err, ERR_CORRUPT,
                    "%s: the header does not begin with {, so this is no .safetensors file",
                    s->path);
    if (!json_parse(text, s->path, &header, err))
        return false;
    const struct str data = {(const char *)r.ptr + r.pos, r.len - r.pos};
    const bool ok = header_read(a, s, header, data, err);
    json_decref(header);
    return ok;
}

static int name_order(const void *a, const void *b)
{
    const struct entry *const *x = a, *const *y = b;

    return strcmp((*x)->t.name, (*y)->t.name);
}

/* Once all shards are read: one list, and the same by name. */
static bool entries_gather(struct safetensors *s, struct error *err)
{
    for (size_t i = 0; i < s->n_shards; i++)
        s->n += s->shards[i].n;
    s->entries = arena_try(&s->arena, s->n, sizeof *s->entries, "the tensor table", err);
    s->by_name = arena_try(&s->arena, s->n, sizeof *s->by_name, "the tensor table", err);
    if (s->entries == NULL || s->by_name == NULL)
        return false;
    for (size_t i = 0, k = 0; i < s->n_shards; i++) {
        for (size_t j = 0; j < s->shards[i].n; j++, k++) {
            s->shards[i].entries[j].file = i;
            s->entries[k] = s->by_name[k] = &s->shards[i].entries[j];
        }
    }
    qsort(s->by_name, s->n, sizeof *s->by_name, name_order);
    for (size_t i = 1; i < s->n; i++)
        if (name_order(&s->by_name[i - 1], &s->by_name[i]) == 0)
            return fail(err, ERR_CORRUPT, "the tensor \"%s\" is both in %s and in %s",
                        shown(str_of(s->by_name[i]->t.name)).text,
                        s->shards[s->by_name[i - 1]->file].path,
                        s->shards[s->by_name[i]->file].path);
    return true;
}

static const struct entry *entry_find(const struct safetensors *s, const char *name)
{
    const struct entry key = {.t = {.name = name}}, *p = &key;
    const struct entry **hit =
        s->n == 0 ? NULL : bsearch(&p, s->by_name, s->n, sizeof *s->by_name, name_order);

    return hit == NULL ? NULL : *hit;
}

static int text_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A file beside the index: a plain name, so that no index leads out of its folder. */
static bool is_plain_name(struct str s)
{
    return s.len > 0 && s.ptr[0] != '.' && memchr(s.ptr, '/', s.len) == NULL &&
           memchr(s.ptr, '\0', s.len) == NULL;
}

/* The different files that the index names, in order. */
static bool index_files(struct safetensors *s, const char *index, json_t *map, const char ***files,
                        struct error *err)
{
    const char **all =
        arena_try(&s->arena, json_object_size(map), sizeof *all, "the list of shards", err);
    size_t n = 0, n_files = 0;

    if (all == NULL)
        return false;
    for (void *it = json_object_iter(map); it != NULL; it = json_object_iter_next(map, it)) {
        const struct str name = json_str(json_object_iter_value(it));

        if (!is_plain_name(name))
            return fail(
                err, ERR_INVALID,
                "%s: \"%s\" leads to \"%s\", the name of a file in the same folder was expected",
                index, shown(str_of(json_object_iter_key(it))).text, shown(name).text);
        all[n++] = json_string_value(json_object_iter_value(it)); /* lives as long as map */
    }
    qsort(all, n, sizeof *all, text_order);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(all[i - 1], all[i]) != 0)
            all[n_files++] = all[i];
    if (n_files == 0 || n_files > SAFETENSORS_MAX_SHARDS)
        return fail(err, ERR_LIMIT, "%s: \"weight_map\" names %zu files, 1 to %d were expected",
                    index, n_files, SAFETENSORS_MAX_SHARDS);
    s->n_shards = n_files;
    *files = all;
    return true;
}

static bool index_holds(const struct safetensors *s, const char *index, json_t *map,
                        struct error *err)
{
    for (void *it = json_object_iter(map); it != NULL; it = json_object_iter_next(map, it)) {
        const struct entry *e = entry_find(s, json_object_iter_key(it));
        const char *file = json_string_value(json_object_iter_value(it));

        if (e == NULL || strcmp(s->shards[e->file].name, file) != 0)
            return fail(err, ERR_INVALID,
                        "%s: the tensor \"%s\" is not in %s, where it is said to be", index,
                        shown(str_of(json_object_iter_key(it))).text, shown(str_of(file)).text);
    }
    return true;
}

static bool shards_open(struct safetensors *s, struct error *err)
{
    for (size_t i = 0; i < s->n_shards; i++) {
        if (!file_map_open(s->shards[i].path, &s->shards[i].map, err))
            return false;
        s->shards[i].map_is_ours = true;
        if (!shard_read(&s->arena, &s->shards[i], err))
            return false;
    }
    return entries_gather(s, err);
}

static bool index_open(struct safetensors *s, const char *path, const char *index,
                       struct error *err)
{
    const char *slash = strrchr(path, '/'), **files = NULL;
    json_t *root = NULL;
    bool ok = false;

    if (!json_read_file(index, &root, err))
        return false;
    json_t *map = json_object_get(root, "weight_map");
    if (!json_is_object(map)) {
        fail_param(err, ERR_INVALID, "weight_map",
                   "%s: \"weight_map\" is %s, an object was expected", index, json_kind(map));
        goto done;
    }
    if (!index_files(s, index, map, &files, err))
        goto done;
    assert(files != NULL);
    s->shards = arena_try(&s->arena, s->n_shards, sizeof *s->shards, "the list of shards", err);
    if (s->shards == NULL) {
        s->n_shards = 0;
        goto done;
    }
    for (size_t i = 0; i < s->n_shards; i++) {
        s->shards[i].name = arena_text(&s->arena, str_of(files[i]));
        s->shards[i].path = arena_printf(
            &s->arena, "%.*s%s", slash == NULL ? 0 : (int)(slash - path + 1), path, files[i]);
    }
    ok = shards_open(s, err) && index_holds(s, index, map, err);
done:
    json_decref(root);
    return ok;
}

static struct safetensors *start(void)
{
    struct arena a = {0};
    struct safetensors *s = ARENA_NEW(&a, struct safetensors);

    s->arena = a; /* it holds s itself, too */
    return s;
}

static struct shard *one_shard(struct safetensors *s, const char *path)
{
    s->n_shards = 1;
    s->shards = ARENA_NEW(&s->arena, struct shard);
    s->shards->path = arena_text(&s->arena, str_of(path));
    return s->shards;
}

/* At the end: the index of shards names them, too. */
static void leave_out_indices(struct safetensors *s)
{
    size_t n = 0, n_named = 0;

    for (size_t i = 0; i < s->n; i++) {
        if (!s->entries[i]->is_index)
            s->entries[n++] = s->entries[i];
        if (!s->by_name[i]->is_index)
            s->by_name[n_named++] = s->by_name[i];
    }
    s->n = n;
}

bool safetensors_open(const char *path, struct safetensors **out, struct error *err)
{
    struct safetensors *s = start();
    const char *index = arena_printf(&s->arena, "%s.index.json", path);
    bool ok;

    if (file_exists(path) || !file_exists(index)) {
        one_shard(s, path);
        ok = shards_open(s, err);
    } else {
        ok = index_open(s, path, index, err);
    }
    if (!ok) {
        safetensors_close(s);
        return false;
    }
    leave_out_indices(s);
    *out = s;
    return true;
}

bool safetensors_open_bytes(const void *bytes, size_t len, const char *what,
                            struct safetensors **out, struct error *err)
{
    struct safetensors *s = start();
    struct shard *shard = one_shard(s, what);

    shard->map = (struct file_map){.ptr = bytes, .len = len};
    if (!shard_read(&s->arena, shard, err) || !entries_gather(s, err)) {
        safetensors_close(s);
        return false;
    }
    leave_out_indices(s);
    *out = s;
    return true;
}

void safetensors_close(struct safetensors *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->n_shards; i++)
        if (s->shards[i].map_is_ours)
            file_map_close(&s->shards[i].map);
    struct arena a = s->arena; /* s lies in it */
    arena_release(&a);
}

size_t safetensors_count(const struct safetensors *s)
{
    return s->n;
}

const struct safetensor *safetensors_at(const struct safetensors *s, size_t i)
{
    assert(i < s->n);
    return &s->entries[i]->t;
}

const struct safetensor *safetensors_find(const struct safetensors *s, const char *name)
{
    const struct entry *e = entry_find(s, name);

    return e == NULL ? NULL : &e->t;
}

size_t safetensors_n_files(const struct safetensors *s)
{
    return s->n_shards;
}

struct file_map safetensors_file(const struct safetensors *s, size_t i)
{
    assert(i < s->n_shards);
    return s->shards[i].map;
}

/* --- writing */

static size_t tensor_bytes(const struct safetensor *t)
{
    size_t n = 1;

    for (size_t d = 0; d < t->n_dims; d++)
        n *= t->dims[d]; /* it lies in memory, so this fits */
    return dtype_bytes(t->dtype, n);
}

static bool names_differ(const struct safetensor *tensors, size_t n, struct error *err)
{
    struct arena a = {0};
    const char **names = arena_try(&a, n, sizeof *names, "the names of tensors", err);
    bool ok = names != NULL;

    for (size_t i = 0; ok && i < n; i++)
        names[i] = tensors[i].name;
    if (ok)
        qsort(names, n, sizeof *names, text_order);
    for (size_t i = 0; ok && i < n; i++)
        if (names[i][0] == '\0' || strcmp(names[i], "__metadata__") == 0 ||
            (i > 0 && strcmp(names[i - 1], names[i]) == 0))
            ok = fail(err, ERR_INVALID, "the name \"%s\" of a tensor is %s", names[i],
                      i > 0 && strcmp(names[i - 1], names[i]) == 0 ? "there twice" : "not usable");
    arena_release(&a);
    return ok;
}

static bool header_write(const struct safetensor *tensors, size_t n,
                         const char *const (*metadata)[2], size_t n_metadata, struct buf *b,
                         struct error *err)
{
    size_t at = 0;

    buf_char(b, '{');
    if (n_metadata > 0) {
        buf_text(b, "\"__metadata__\":{");
        for (size_t i = 0; i < n_metadata; i++) {
            if (i > 0)
                buf_char(b, ',');
            json_write_string(b, str_of(metadata[i][0]), false);
            buf_char(b, ':');
            json_write_string(b, str_of(metadata[i][1]), false);
        }
        buf_char(b, '}');
    }
    for (size_t i = 0; i < n; i++) {
        const struct safetensor *t = &tensors[i];

        if (dtype_info(t->dtype)->block > 1)
            return fail(err, ERR_UNSUPPORTED,
                        "the tensor \"%s\" is %s, which a .safetensors file cannot hold", t->name,
                        dtype_info(t->dtype)->name);
        if (b->len > 1)
            buf_char(b, ',');
        json_write_string(b, str_of(t->name), false);
        buf_printf(b, ":{\"dtype\":\"%s\",\"shape\":[", dtype_info(t->dtype)->name);
        for (size_t d = 0; d < t->n_dims; d++)
            buf_printf(b, "%s%zu", d > 0 ? "," : "", t->dims[d]);
        buf_printf(b, "],\"data_offsets\":[%zu,%zu]}", at, at + tensor_bytes(t));
        at += tensor_bytes(t);
    }
    buf_char(b, '}');
    while (b->len % 8 != 0 && !b->overflowed)
        buf_char(b, ' '); /* so that the data begins at a multiple of 8 */
    return buf_ok(b, "the header of a .safetensors file", err);
}

bool safetensors_write_from(const char *path, const struct safetensor *tensors, size_t n,
                            const char *const (*metadata)[2], size_t n_metadata,
                            const struct safetensors_source *source, struct error *err)
{
    struct file *f = NULL;
    struct buf b;
    bool ok = names_differ(tensors, n, err);

    buf_init(&b, SAFETENSORS_MAX_HEADER);
    ok = ok && header_write(tensors, n, metadata, n_metadata, &b, err) &&
         file_create_beside(path, &f, err);
    const uint64_t len = b.len;
    ok = ok && file_write(f, &len, sizeof len, err) && file_write(f, b.ptr, b.len, err);
    for (size_t i = 0; ok && i < n; i++)
        ok = source->fill(source->ctx, i, f, err);
    ok = ok && file_commit(f, err);
    file_close(f);
    buf_release(&b);
    return ok;
}

static bool fill_from_memory(void *ctx, size_t i, struct file *f, struct error *err)
{
    const struct safetensor *tensors = *(const struct safetensor *const *)ctx;

    return file_write(f, tensors[i].data, tensor_bytes(&tensors[i]), err);
}

bool safetensors_write(const char *path, const struct safetensor *tensors, size_t n,
                       const char *const (*metadata)[2], size_t n_metadata, struct error *err)
{
    const struct safetensors_source source = {.ctx = &tensors, .fill = fill_from_memory};

    return safetensors_write_from(path, tensors, n, metadata, n_metadata, &source, err);
}
