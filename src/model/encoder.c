/*
 * encoder.c - finds an encoder's weights in its file, packs them for the kernels, and runs them over one text.
 *
 * The weights are the same for all threads, and a call's numbers lie in an arena of its own. A product begins with its
 * bias where others begin with zero: the chain over k goes on from there. It does not begin with the residual, which is
 * larger than the sum, so that every step of the chain would round to the residual's last place.
 */
#include "base/file.h"
#include "base/limits.h"
#include "base/parallel.h"
#include "base/size.h"
#include "model/encoder_internal.h"
#include "model/gguf.h"
#include "model/safetensors.h"
#include "model/shown.h"
#include "tensor/cpu/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define QUERY_BLOCK 64 /* tokens whose attention is computed at a time */

/* --- the weights: what each is called, and its shape */

enum size_name { ONE, WIDTH, HIDDEN, VOCAB, POSITIONS, TYPES };

struct name_row { /* %zu is the layer; in a file, ".weight" or ".bias" follows */
    const char *hf, *gguf;
    enum size_name rows, cols;
};
static const struct name_row embeddings[] = {
    {"embeddings.word_embeddings", "token_embd", VOCAB, WIDTH},
    {"embeddings.position_embeddings", "position_embd", POSITIONS, WIDTH},
    {"embeddings.token_type_embeddings", "token_types", TYPES, WIDTH},
};
static const struct name_row first_norm = {"embeddings.LayerNorm", "token_embd_norm", ONE, WIDTH};
static const struct name_row matrices[N_ENC_MATRICES] = {
    [ENC_Q] = {"encoder.layer.%zu.attention.self.query", "blk.%zu.attn_q", WIDTH, WIDTH},
    [ENC_K] = {"encoder.layer.%zu.attention.self.key", "blk.%zu.attn_k", WIDTH, WIDTH},
    [ENC_V] = {"encoder.layer.%zu.attention.self.value", "blk.%zu.attn_v", WIDTH, WIDTH},
    [ENC_O] = {"encoder.layer.%zu.attention.output.dense", "blk.%zu.attn_output", WIDTH, WIDTH},
    [ENC_UP] = {"encoder.layer.%zu.intermediate.dense", "blk.%zu.ffn_up", HIDDEN, WIDTH},
    [ENC_DOWN] = {"encoder.layer.%zu.output.dense", "blk.%zu.ffn_down", WIDTH, HIDDEN},
};
static const struct name_row norms[N_ENC_NORMS] = {
    [ENC_ATTN_NORM] = {"encoder.layer.%zu.attention.output.LayerNorm", "blk.%zu.attn_output_norm",
                       ONE, WIDTH},
    [ENC_FFN_NORM] = {"encoder.layer.%zu.output.LayerNorm", "blk.%zu.layer_output_norm", ONE,
                      WIDTH},
};

/* What a BERT may carry beside its encoder: the heads that it was pretrained with. Nothing else may be left over. */
static const char *const heads[] = {"pooler.", "cls."};

struct binding {
    struct encoder *e;
    const char *prefix; /* of Hugging Face's names: "" or "bert." */
    size_t n_bound;
    struct error *err;
};

static size_t size_of(const struct encoder_config *c, enum size_name s)
{
    switch (s) {
    case WIDTH:
        return c->width;
    case HIDDEN:
        return c->hidden;
    case VOCAB:
        return c->vocab;
    case POSITIONS:
        return c->positions;
    case TYPES:
        return c->types;
    case ONE:
        break;
    }
    return 1;
}

/* The tensor of that whole name as a matrix; data is NULL where the file has none. n_dims 1 is one row. */
static struct matrix_view find(const struct encoder *e, const char *name, size_t *n_dims)
{
    const struct gguf_tensor *g = e->gguf == NULL ? NULL : gguf_find(e->gguf, name);
    const struct safetensor *s =
        e->safetensors == NULL ? NULL : safetensors_find(e->safetensors, name);
    struct matrix_view v = {.data = NULL};

    if (g == NULL && s == NULL)
        return v;
    const size_t *dims = g != NULL ? g->dims : s->dims;
    *n_dims = g != NULL ? g->n_dims : s->n_dims;
    v.dtype = g != NULL ? g->dtype : s->dtype;
    v.data = g != NULL ? g->data : s->data;
    v.rows = *n_dims == 2 ? dims[0] : 1;
    v.cols = *n_dims == 2 ? dims[1] : *n_dims == 1 ? dims[0] : 0;
    return v;
}

/* As old checkpoints call LayerNorm's. */
static const char *old_ending(const char *ending)
{
    return strcmp(ending, ".weight") == 0 ? ".gamma" : ".beta";
}

static bool bind(struct binding *b, const struct name_row *row, size_t layer, const char *ending,
                 enum size_name rows, enum size_name cols, struct matrix_view *out)
{
    const struct encoder *e = b->e;
    const size_t want_rows = size_of(&e->config, rows), want_cols = size_of(&e->config, cols);
    const size_t want_dims = rows == ONE ? 1 : 2;
    char stem[96], name[128];
    size_t n_dims = 0;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the patterns above, all of one kind */
    snprintf(stem, sizeof stem, e->gguf != NULL ? row->gguf : row->hf, layer);
#pragma GCC diagnostic pop
    snprintf(name, sizeof name, "%s%s%s", b->prefix, stem, ending);
    struct matrix_view v = find(e, name, &n_dims);
    if (v.data == NULL && e->gguf == NULL && rows == ONE) {
        char old[128];

        snprintf(old, sizeof old, "%s%s%s", b->prefix, stem, old_ending(ending));
        v = find(e, old, &n_dims);
    }
    if (v.data == NULL)
        return fail(b->err, ERR_INVALID, "%s: the tensor %s is missing", e->path, name);
    if (n_dims != want_dims || v.rows != want_rows || v.cols != want_cols)
        return fail(b->err, ERR_INVALID,
                    "%s: the tensor %s is %zu by %zu, %zu by %zu was expected by the config",
                    e->path, name, v.rows, v.cols, want_rows, want_cols);
    b->n_bound++;
    *out = v;
    return true;
}

/* All its values as floats, rows one after another. */
static bool floats_of(struct binding *b, const struct matrix_view *w, const float **out)
{
    float *p =
        arena_try(&b->e->arena, w->rows * w->cols, sizeof *p, "an encoder's weights", b->err);

    for (size_t r = 0; p != NULL && r < w->rows; r++)
        matrix_row_to_f32(w, r, p + r * w->cols);
    *out = p;
    return p != NULL;
}

static bool bind_vector(struct binding *b, const struct name_row *row, size_t layer,
                        const char *ending, enum size_name size, const float **out)
{
    struct matrix_view w;

    return bind(b, row, layer, ending, ONE, size, &w) && floats_of(b, &w, out);
}

static bool bind_norm(struct binding *b, const struct name_row *row, size_t layer,
                      struct norm_weights *out)
{
    return bind_vector(b, row, layer, ".weight", WIDTH, &out->w) &&
           bind_vector(b, row, layer, ".bias", WIDTH, &out->b);
}

static bool bind_layer(struct binding *b, size_t l)
{
    struct encoder_layer *layer = &b->e->layers[l];

    for (size_t i = 0; i < N_ENC_MATRICES; i++) {
        struct matrix_view w;

        if (!bind(b, &matrices[i], l, ".weight", matrices[i].rows, matrices[i].cols, &w) ||
            !pack_matrix(&w, &b->e->arena, &layer->matrix[i], "an encoder's weights", b->err) ||
            !bind_vector(b, &matrices[i], l, ".bias", matrices[i].rows, &layer->bias[i]))
            return false;
    }
    for (size_t i = 0; i < N_ENC_NORMS; i++)
        if (!bind_norm(b, &norms[i], l, &layer->norm[i]))
            return false;
    return true;
}

/* A text is all of type 0, so its vector is added to those of the positions once and for all. */
static bool bind_embeddings(struct binding *b)
{
    struct encoder *e = b->e;
    const size_t width = e->config.width;
    struct matrix_view w[COUNT_OF(embeddings)];
    const float *positions, *types;

    for (size_t i = 0; i < COUNT_OF(embeddings); i++)
        if (!bind(b, &embeddings[i], 0, ".weight", embeddings[i].rows, embeddings[i].cols, &w[i]))
            return false;
    w[2].rows = 1;
    if (!floats_of(b, &w[1], &positions) || !floats_of(b, &w[2], &types))
        return false;
    float *sums = arena_try(&e->arena, e->config.positions * width, sizeof *sums,
                            "an encoder's weights", b->err);
    if (sums == NULL)
        return false;
    for (size_t i = 0; i < e->config.positions * width; i++)
        sums[i] = positions[i] + types[i % width];
    e->positions = sums;
    e->words = w[0];
    return bind_norm(b, &first_norm, 0, &e->first_norm);
}

static const char *tensor_name(const struct encoder *e, size_t i)
{
    return e->gguf != NULL ? gguf_at(e->gguf, i)->name : safetensors_at(e->safetensors, i)->name;
}

static bool is_of_a_head(const struct binding *b, const char *name)
{
    struct str s = str_of(name);

    if (str_starts(s, str_of(b->prefix)))
        s = str_from(s, strlen(b->prefix));
    for (size_t i = 0; i < COUNT_OF(heads); i++)
        if (str_starts(s, str_of(heads[i])) || str_starts(str_of(name), str_of(heads[i])))
            return true;
    return false;
}

/* No two tensors have one name, so counting tells. */
static bool nothing_is_left(struct binding *b)
{
    const struct encoder *e = b->e;
    const size_t n = e->gguf != NULL ? gguf_count(e->gguf) : safetensors_count(e->safetensors);
    size_t n_heads = 0;

    for (size_t i = 0; i < n; i++)
        n_heads += is_of_a_head(b, tensor_name(e, i));
    return n - n_heads == b->n_bound ||
           fail(b->err, ERR_UNSUPPORTED,
                "%s has %zu tensors beside the %zu of a BERT encoder: its vectors would be others",
                e->path, n - n_heads - b->n_bound, b->n_bound);
}

bool encoder_bind(struct encoder *e, struct error *err)
{
    struct binding b = {.e = e, .prefix = "", .err = err};
    size_t n_dims;

    if (e->gguf == NULL && find(e, "bert.embeddings.word_embeddings.weight", &n_dims).data != NULL)
        b.prefix = "bert.";
    e->layers = arena_try(&e->arena, e->config.n_layers, sizeof *e->layers, "the layers", err);
    if (e->layers == NULL || !bind_embeddings(&b))
        return false;
    for (size_t l = 0; l < e->config.n_layers; l++)
        if (!bind_layer(&b, l))
            return false;
    return nothing_is_left(&b);
}

static bool tokenizer_fits(const struct encoder *e, struct error *err)
{
    const struct token_ends ends = tokenizer_ends(e->tokenizer);
    const size_t n = tokenizer_size(e->tokenizer);

    if (n > e->config.vocab)
        return fail(err, ERR_INVALID, "%s: the tokenizer has %zu tokens, the model vectors for %zu",
                    e->path, n, e->config.vocab);
    return (ends.first >= 0 && ends.last >= 0) ||
           fail(err, ERR_UNSUPPORTED,
                "%s: the tokenizer puts no token %s a text; [CLS] and [SEP] were expected", e->path,
                ends.first < 0 ? "before" : "behind");
}

/* An encoder of path, of which g is the file where it is one. */
static bool open_with(const char *path, struct gguf *g, struct encoder **out, struct error *err)
{
    struct arena a = {0};
    struct encoder *e = ARENA_NEW(&a, struct encoder);
    const bool was_alone = parallel_alone(true);

    e->path = arena_text(&a, str_of(path));
    e->gguf = g;
    e->arena = a; /* it holds e itself, too */
    const bool ok = (g != NULL ? encoder_read_gguf(e, err) : encoder_read_folder(e, err)) &&
                    tokenizer_fits(e, err) && encoder_bind(e, err);
    parallel_alone(was_alone);
    if (ok)
        *out = e;
    else
        encoder_close(e);
    return ok;
}

bool encoder_of_gguf(struct gguf *g, const char *path, struct encoder **out, struct error *err)
{
    return open_with(path, g, out, err);
}

bool encoder_open(const char *path, struct encoder **out, struct error *err)
{
    struct gguf *g = NULL;

    if (!file_exists(path))
        return fail_errno(err, "cannot find an embedding model at %s", path);
    return (file_is_dir(path) || gguf_open(path, &g, err)) && open_with(path, g, out, err);
}

void encoder_close(struct encoder *e)
{
    if (e == NULL)
        return;
    tokenizer_close(e->tokenizer);
    safetensors_close(e->safetensors);
    gguf_close(e->gguf);
    struct arena a = e->arena; /* e lies in it */
    arena_release(&a);
}

size_t encoder_width(const struct encoder *e)
{
    return e->config.width;
}

size_t encoder_max_tokens(const struct encoder *e)
{
    return e->config.max_tokens;
}

/* --- one text */

struct pass {
    const struct encoder *e;
    size_t n, keys;       /* tokens, and the same rounded up to whole vectors */
    float *x, *y;         /* [n, C] */
    float *q, *k, *v, *o; /* [n, C] */
    float *h;             /* [n, F] */
    float *k_across;      /* [D, keys]: one head's keys, turned over */
    float *p;             /* [QUERY_BLOCK, keys]: attention of one head */
};

/* Rows that a product reads beyond their end have a vector's room behind them. */
static bool room(struct arena *a, size_t rows, size_t cols, float **out, struct error *err)
{
    size_t n;

    if (!size_mul(rows, cols, &n) || !size_add(n, PANEL, &n))
        return fail(err, ERR_NO_MEMORY, "no memory to embed a text of %zu tokens", rows);
    *out = arena_try(a, n, sizeof **out, "embedding a text", err);
    return *out != NULL;
}

static bool pass_room(struct pass *s, struct arena *a, struct error *err)
{
    const struct encoder_config *c = &s->e->config;
    float **const rows[] = {&s->x, &s->y, &s->q, &s->k, &s->v, &s->o};

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (!room(a, s->n, c->width, rows[i], err))
            return false;
    return room(a, s->n, c->hidden, &s->h, err) &&
           room(a, c->width / c->n_heads, s->keys, &s->k_across, err) &&
           room(a, QUERY_BLOCK, s->keys, &s->p, err);
}

/* y[n, N] = bias + x W^T */
static void project(const struct pass *s, const struct encoder_layer *layer, enum encoder_matrix m,
                    const float *x, float *y)
{
    const struct packed *w = &layer->matrix[m];

    for (size_t i = 0; i < s->n; i++)
        memcpy(y + i * w->n, layer->bias[m], w->n * sizeof *y);
    matmul(w, s->n, x, w->k, y, w->n, true);
}

static void norm(const struct pass *s, const struct norm_weights *w, const float *x, float *y)
{
    const size_t width = s->e->config.width;

    layer_norm(s->n, width, x, width, w->w, w->b, (float)s->e->config.eps, y, width);
}

/* o[n, D] of head h: each token's values, weighted by the softmax of q k / sqrt(D) over all tokens */
static void attend(const struct pass *s, size_t h)
{
    const struct kernels *kern = kernels();
    const size_t width = s->e->config.width, d = width / s->e->config.n_heads, at = h * d;
    const float scale = 1.0f / sqrtf((float)d);

    for (size_t t = 0; t < s->n; t++)
        for (size_t j = 0; j < d; j++)
            s->k_across[j * s->keys + t] = s->k[t * width + at + j];
    for (size_t from = 0; from < s->n; from += QUERY_BLOCK) {
        const size_t m = size_min(QUERY_BLOCK, s->n - from);

        matmul_floats(m, s->n, d, s->q + from * width + at, width, 1, s->k_across, s->keys, s->p,
                      s->keys, false);
        for (size_t i = 0; i < m; i++) {
            float *row = s->p + i * s->keys;

            kern->scale(s->n, 1.0f / kern->exp_sum(s->n, kern->max(s->n, row), scale, row), row);
        }
        matmul_floats(m, d, s->n, s->p, s->keys, 1, s->v + at, width, s->o + from * width + at,
                      width, false);
    }
}

static void run_layer(const struct pass *s, const struct encoder_layer *layer)
{
    const struct encoder_config *c = &s->e->config;

    project(s, layer, ENC_Q, s->x, s->q);
    project(s, layer, ENC_K, s->x, s->k);
    project(s, layer, ENC_V, s->x, s->v);
    for (size_t h = 0; h < c->n_heads; h++)
        attend(s, h);
    project(s, layer, ENC_O, s->o, s->y);
    add_rows(s->n, c->width, s->x, c->width, s->y, c->width);
    norm(s, &layer->norm[ENC_ATTN_NORM], s->y, s->x);
    project(s, layer, ENC_UP, s->x, s->h);
    gelu(s->n, c->hidden, s->h, s->h);
    project(s, layer, ENC_DOWN, s->h, s->y);
    add_rows(s->n, c->width, s->x, c->width, s->y, c->width);
    norm(s, &layer->norm[ENC_FFN_NORM], s->y, s->x);
}

static void run_layers(const struct pass *s, const token_id *ids)
{
    const struct encoder *e = s->e;
    const size_t width = e->config.width;

    for (size_t i = 0; i < s->n; i++) {
        matrix_row_to_f32(&e->words, (size_t)ids[i], s->y + i * width);
        kernels()->add(width, e->positions + i * width, s->y + i * width);
    }
    norm(s, &e->first_norm, s->y, s->x);
    for (size_t l = 0; l < e->config.n_layers; l++)
        run_layer(s, &e->layers[l]);
}

/* The mean's division by n is left to the one by the length. */
static void pool(const struct pass *s, float *out)
{
    const size_t width = s->e->config.width;

    memcpy(out, s->x, width * sizeof *out);
    for (size_t i = 1; s->e->config.pooling == POOL_MEAN && i < s->n; i++)
        kernels()->add(width, s->x + i * width, out);
    const float length = sqrtf(kernels()->dot(width, out, out));
    if (length > 0)
        kernels()->scale(width, 1.0f / length, out);
}

/* What is embedded: a text, or, where it has none, the tokens of one. */
struct embedded {
    struct str text;
    const int32_t *tokens;
    size_t n;
};

static bool put_tokens(const struct encoder *e, const struct embedded *what, struct token_list *ids,
                       struct error *err)
{
    const size_t n_vocab = tokenizer_size(e->tokenizer);

    if (what->text.ptr != NULL)
        return tokenizer_encode(e->tokenizer, what->text, false, ids, err);
    for (size_t i = 0; i < what->n; i++) {
        if (what->tokens[i] < 0 || (size_t)what->tokens[i] >= n_vocab)
            return fail(err, ERR_INVALID, "%d is no token of this model: they are 0 to %zu",
                        what->tokens[i], n_vocab - 1);
        token_list_put(ids, what->tokens[i]);
    }
    return true;
}

/* [CLS], the text, [SEP], at most max_tokens of them. */
static bool take_tokens(const struct encoder *e, const struct embedded *what,
                        struct token_list *ids, bool *truncated, struct error *err)
{
    const struct token_ends ends = tokenizer_ends(e->tokenizer);

    token_list_put(ids, ends.first);
    if (!put_tokens(e, what, ids, err))
        return false;
    *truncated = ids->n + 1 > e->config.max_tokens;
    ids->n = size_min(ids->n, e->config.max_tokens - 1);
    token_list_put(ids, ends.last);
    return true;
}

static bool embed(const struct encoder *e, const struct embedded *what, float *out,
                  size_t *n_tokens, bool *truncated, struct error *err)
{
    struct arena a = {0};
    struct token_list ids = {0};
    struct pass s = {.e = e};
    const bool was_alone = parallel_alone(true);
    bool cut = false, ok = take_tokens(e, what, &ids, &cut, err);

    s.n = ids.n;
    s.keys = size_round_up(s.n, PANEL);
    ok = ok && pass_room(&s, &a, err);
    if (ok) {
        run_layers(&s, ids.ids);
        pool(&s, out);
        if (n_tokens != NULL)
            *n_tokens = s.n;
        if (truncated != NULL)
            *truncated = cut;
    }
    parallel_alone(was_alone);
    token_list_release(&ids);
    arena_release(&a);
    return ok;
}

bool encoder_embed(const struct encoder *e, struct str text, float *out, size_t *n_tokens,
                   bool *truncated, struct error *err)
{
    const struct embedded what = {.text = text.ptr != NULL ? text : STR("")};

    return embed(e, &what, out, n_tokens, truncated, err);
}

bool encoder_embed_tokens(const struct encoder *e, const int32_t *tokens, size_t n, float *out,
                          size_t *n_tokens, bool *truncated, struct error *err)
{
    const struct embedded what = {.tokens = tokens, .n = n};

    return embed(e, &what, out, n_tokens, truncated, err);
}
