/*
 * golden.c - safetensors files read by their own little reader.
 */
#include "support/golden.h"
#include "base/file.h"
#include "base/reader.h"
#include "text/json.h"

#include <math.h>
#include <zlib.h>

void golden_open(struct golden *g, const char *name)
{
    struct error err = {0};
    struct str file;

    *g = (struct golden){.name = name};
    ASSERT_OK(file_read(golden_path(&g->arena, name), 1 << 26, &g->arena, &file, &err));
    struct reader r = reader_of(file.ptr, file.len);
    const struct str header = reader_str64(&r);
    assert_false(r.failed);
    ASSERT_OK(json_parse(header, name, &g->header, &err));
    g->data = str_from(file, r.pos);
}

void golden_close(struct golden *g)
{
    json_decref(g->header);
    arena_release(&g->arena);
}

static const json_t *entry_of(const struct golden *g, const char *tensor)
{
    const json_t *entry = json_object_get(g->header, tensor);

    if (entry == NULL)
        fail_msg("%s has no tensor \"%s\"", g->name, tensor);
    return entry;
}

size_t golden_dim(const struct golden *g, const char *tensor, size_t dim)
{
    const json_t *size = json_array_get(json_object_get(entry_of(g, tensor), "shape"), dim);

    assert_true(json_is_integer(size));
    return (size_t)json_integer_value(size);
}

/* A copy, for in the file a tensor may stand at any address. */
static const void *copy_of(struct golden *g, const char *tensor, const char *type, size_t *bytes)
{
    const json_t *entry = entry_of(g, tensor), *offsets = json_object_get(entry, "data_offsets");
    const size_t from = (size_t)json_integer_value(json_array_get(offsets, 0)),
                 to = (size_t)json_integer_value(json_array_get(offsets, 1));

    assert_string_equal(json_string_value(json_object_get(entry, "dtype")), type);
    assert_true(from <= to && to <= g->data.len);
    *bytes = to - from;
    return arena_text(&g->arena, (struct str){g->data.ptr + from, to - from});
}

const float *golden_floats(struct golden *g, const char *tensor, size_t *n)
{
    size_t bytes;
    const float *x = copy_of(g, tensor, "F32", &bytes);

    *n = bytes / sizeof *x;
    return x;
}

const int32_t *golden_ints(struct golden *g, const char *tensor, size_t *n)
{
    size_t bytes;
    const int32_t *x = copy_of(g, tensor, "I32", &bytes);

    *n = bytes / sizeof *x;
    return x;
}

const unsigned char *golden_bytes(struct golden *g, const char *tensor, size_t *n)
{
    return copy_of(g, tensor, "U8", n);
}

json_t *golden_json(const char *name)
{
    struct arena a = {0};
    struct error err = {0};
    json_t *j = NULL;

    ASSERT_OK(json_read_file(golden_path(&a, name), &j, &err));
    arena_release(&a);
    return j;
}

const int32_t *json_ids(const json_t *array, struct arena *a, size_t *n)
{
    assert_true(json_is_array(array));
    *n = json_array_size(array);
    int32_t *ids = ARENA_ARRAY(a, int32_t, *n);
    for (size_t i = 0; i < *n; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(array, i));
    return ids;
}

const float *json_floats(const json_t *array, struct arena *a, size_t *n)
{
    assert_true(json_is_array(array));
    *n = json_array_size(array);
    float *x = ARENA_ARRAY(a, float, *n);
    for (size_t i = 0; i < *n; i++) {
        const json_t *v = json_array_get(array, i);

        x[i] = json_is_null(v) ? NAN : (float)json_number_value(v);
    }
    return x;
}

double json_number_at(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);

    if (!json_is_number(v))
        fail_msg("\"%s\" is no number", key);
    return json_number_value(v);
}

struct golden_lines golden_lines_open(struct arena *a, const char *name)
{
    struct golden_lines g = {.path = golden_path(a, name), .line = arena_alloc(a, 1 << 20)};

    g.file = gzopen(g.path, "rb");
    if (g.file == NULL)
        fail_msg("cannot open %s", g.path);
    return g;
}

json_t *golden_lines_next(struct golden_lines *g)
{
    struct error err;
    json_t *value = NULL;

    if (gzgets(g->file, g->line, 1 << 20) == NULL) {
        gzclose(g->file);
        return NULL;
    }
    ASSERT_OK(json_parse(str_of(g->line), g->path, &value, &err));
    return value;
}
