/*
 * gguf.h - reads GGUF, llama.cpp's model file: metadata by key, and where each tensor lies.
 *
 *     "GGUF", version u32, n tensors u64, n keys u64, then each key with its value, then each tensor's name, shape,
 *     type and offset, then, aligned, the tensors
 *
 * Versions 2 and 3, little-endian. The file is mapped; everything is checked on opening, so that whatever is handed out
 * later lies in the file: counts against the bytes that are there, names against their like, tensors against the end
 * and against each other. Read-only after _open: any number of threads may use it.
 *
 * A model may come in parts, name-00001-of-00003.gguf and so on: the first has the keys, each has tensors, and split.no,
 * split.count and split.tensors.count say that they belong together. Opening the first opens all, and finds their tensors.
 */
#ifndef HONE_MODEL_GGUF_H
#define HONE_MODEL_GGUF_H

#include "base/arena.h"
#include "base/file.h"
#include "tensor/dtype.h"

/* What the format itself bounds, or no honest file comes near to. */
#define GGUF_MAX_KEYS 65536
#define GGUF_MAX_NAME 65535 /* bytes of a key or a tensor's name */
#define GGUF_MAX_DEPTH 4    /* arrays in arrays */
#define GGUF_MAX_DIMS 4
#define GGUF_MAX_PARTS 1024

enum gguf_type { /* the numbers of the format */
                 GGUF_U8,
                 GGUF_I8,
                 GGUF_U16,
                 GGUF_I16,
                 GGUF_U32,
                 GGUF_I32,
                 GGUF_F32,
                 GGUF_BOOL,
                 GGUF_STR,
                 GGUF_ARRAY,
                 GGUF_U64,
                 GGUF_I64,
                 GGUF_F64,
                 N_GGUF_TYPES
};

struct gguf_value {
    enum gguf_type type;
    enum gguf_type item; /* of an array */
    size_t n_items;      /* of an array */
    struct str bytes;    /* a number's, a string's text, an array's items one after another */
};

struct gguf_tensor {
    const char *name;
    enum dtype dtype;
    size_t n_dims,
        dims[GGUF_MAX_DIMS]; /* rows first, as in [rows, cols]; the file has them the other way round */
    const void *data;
    size_t size_bytes;
};

struct gguf;
/* With all parts, which lie beside the first. */
MUST_CHECK bool gguf_open(const char *path, struct gguf **out, struct error *err);
/* One file's bytes, which outlive it and stay the caller's; what names them in errors. */
MUST_CHECK bool gguf_open_bytes(const void *bytes, size_t len, const char *what, struct gguf **out,
                                struct error *err);
/*
 * Adds the tensors of others[0..n), parts 2 to n + 1, to those of the first. Fails with ERR_INVALID where they are not what
 * the first says they are, ERR_CORRUPT for a tensor in two of them. The others are closed with the first, also if it fails.
 */
MUST_CHECK bool gguf_join(struct gguf *first, struct gguf *const *others, size_t n,
                          struct error *err);
void gguf_close(struct gguf *g);

const char *gguf_name(const struct gguf *g); /* the path, for errors */
size_t gguf_n_files(const struct gguf *g);
struct file_map gguf_file(const struct gguf *g, size_t i); /* in the order of the parts */
size_t gguf_count(const struct gguf *g);
const struct gguf_tensor *gguf_at(const struct gguf *g,
                                  size_t i); /* i in 0..count-1, in the file's order */
const struct gguf_tensor *gguf_find(const struct gguf *g, const char *name); /* NULL: not there */

/* NULL: no such key. The getters below leave *out alone then, and succeed. */
const struct gguf_value *gguf_get(const struct gguf *g, const char *key);
/* Each of these fails with ERR_INVALID, naming file and key, where the value has another type or is out of range. */
MUST_CHECK bool gguf_get_int(const struct gguf *g, const char *key, int64_t min, int64_t max,
                             int64_t *out, struct error *err);
MUST_CHECK bool gguf_get_double(const struct gguf *g, const char *key, double *out,
                                struct error *err);
MUST_CHECK bool gguf_get_bool(const struct gguf *g, const char *key, bool *out, struct error *err);
MUST_CHECK bool gguf_get_str(const struct gguf *g, const char *key, struct str *out,
                             struct error *err);
/* The views point into the file. */
MUST_CHECK bool gguf_get_strs(const struct gguf *g, const char *key, struct arena *a,
                              struct str **out, size_t *n, struct error *err);
MUST_CHECK bool gguf_get_i32s(const struct gguf *g, const char *key, struct arena *a, int32_t **out,
                              size_t *n, struct error *err);
MUST_CHECK bool gguf_get_f32s(const struct gguf *g, const char *key, struct arena *a, float **out,
                              size_t *n, struct error *err);
/* Every key of the first file, i in 0..n_keys-1 in alphabetical order. */
size_t gguf_n_keys(const struct gguf *g);
const char *gguf_key_at(const struct gguf *g, size_t i, const struct gguf_value **value);
/* ggml's number of a tensor type, as files have it; every dtype but FP8 has one. */
uint32_t gguf_type_number(enum dtype t);
/* Fails with ERR_INVALID unless the key is there. */
MUST_CHECK bool gguf_need(const struct gguf *g, const char *key, struct error *err);
#endif
