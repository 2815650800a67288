/*
 * encoder_gguf.c - an encoder in one .gguf file, as llama.cpp's converter writes BERT.
 */
#include "base/limits.h"
#include "base/size.h"
#include "model/encoder_internal.h"
#include "model/gguf.h"
#include "model/shown.h"

static bool arch_check(const struct gguf *g, struct error *err)
{
    struct str arch = STR("");

    if (!gguf_need(g, "general.architecture", err) ||
        !gguf_get_str(g, "general.architecture", &arch, err))
        return false;
    return str_is(arch, "bert") ||
           fail_param(
               err, ERR_UNSUPPORTED, "general.architecture",
               "%s: the model is of the architecture \"%s\"; for embeddings an encoder of the architecture \"bert\" was expected (MiniLM, BGE, E5, GTE and their like)",
               gguf_name(g), shown(arch).text);
}

static bool size_of_key(const struct gguf *g, const char *key, bool needed, int64_t min, size_t max,
                        size_t *out, struct error *err)
{
    int64_t v = (int64_t)*out;

    if ((needed && !gguf_need(g, key, err)) || !gguf_get_int(g, key, min, (int64_t)max, &v, err))
        return false;
    *out = (size_t)v;
    return true;
}

/* Numbers of llama.cpp's enum llama_pooling_type. */
static bool pooling_of_key(const struct gguf *g, enum pooling *out, struct error *err)
{
    static const char key[] = "bert.pooling_type";
    int64_t type = 1;

    if (!gguf_get_int(g, key, 0, 255, &type, err))
        return false;
    if (type > 2)
        return fail_param(err, ERR_UNSUPPORTED, key,
                          "%s: %s is %d; 1 (mean) and 2 (the first token) are offered",
                          gguf_name(g), key, (int)type);
    *out = type == 2 ? POOL_FIRST : POOL_MEAN; /* 0, none, is what says nothing */
    return true;
}

/* Rows of a tensor that decides a size; 0: it is not there, which encoder_bind tells. */
static size_t rows_of(const struct gguf *g, const char *name)
{
    const struct gguf_tensor *t = gguf_find(g, name);

    return t == NULL || t->n_dims != 2 ? 0 : t->dims[0];
}

bool encoder_config_from_gguf(const struct gguf *g, struct encoder_config *out, struct error *err)
{
    struct encoder_config c = {.types = rows_of(g, "token_types.weight"),
                               .vocab = rows_of(g, "token_embd.weight"),
                               .eps = 1e-12};
    bool causal = false;

    if (!arch_check(g, err) ||
        !size_of_key(g, "bert.block_count", true, 1, LIMIT_LAYERS, &c.n_layers, err) ||
        !size_of_key(g, "bert.embedding_length", true, 1, LIMIT_WIDTH, &c.width, err) ||
        !size_of_key(g, "bert.attention.head_count", true, 1, LIMIT_WIDTH, &c.n_heads, err) ||
        !size_of_key(g, "bert.feed_forward_length", true, 1, LIMIT_WIDTH, &c.hidden, err) ||
        !size_of_key(g, "bert.context_length", true, 2, LIMIT_CONTEXT, &c.positions, err) ||
        !gguf_get_double(g, "bert.attention.layer_norm_epsilon", &c.eps, err) ||
        !gguf_get_bool(g, "bert.attention.causal", &causal, err) ||
        !pooling_of_key(g, &c.pooling, err))
        return false;
    if (causal)
        return fail_param(
            err, ERR_UNSUPPORTED, "bert.attention.causal",
            "%s: bert.attention.causal is true: this BERT decodes, an encoder was expected",
            gguf_name(g));
    if (c.width % c.n_heads != 0)
        return fail_param(err, ERR_INVALID, "bert.attention.head_count",
                          "%s: %zu heads do not divide the width of %zu", gguf_name(g), c.n_heads,
                          c.width);
    if (!(c.eps > 0 && c.eps < 1))
        return fail_param(
            err, ERR_INVALID, "bert.attention.layer_norm_epsilon",
            "%s: bert.attention.layer_norm_epsilon is %g, a number between 0 and 1 was expected",
            gguf_name(g), c.eps);
    if (c.vocab > LIMIT_VOCAB)
        return fail(err, ERR_LIMIT, "%s: %zu tokens are more than the %zu allowed", gguf_name(g),
                    c.vocab, LIMIT_VOCAB);
    c.max_tokens = c.positions;
    *out = c;
    return true;
}

/* An id that the file may give; *at stays NULL where it does not. */
static bool id_of_key(const struct gguf *g, const char *key, token_id *value, const token_id **at,
                      struct error *err)
{
    int64_t v = 0;

    if (gguf_get(g, key) == NULL)
        return true;
    if (!gguf_get_int(g, key, 0, (int64_t)LIMIT_VOCAB - 1, &v, err))
        return false;
    *value = (token_id)v;
    *at = value;
    return true;
}

static bool tokenizer_read(struct encoder *e, struct error *err)
{
    const struct gguf *g = e->gguf;
    struct arena a = {0};
    struct str *tokens = NULL;
    int32_t *types = NULL;
    size_t n_types = 0;
    token_id first, last, unknown;
    struct tokenizer_spec spec = {.model = STR("")};
    bool ok = gguf_need(g, "tokenizer.ggml.model", err) &&
              gguf_get_str(g, "tokenizer.ggml.model", &spec.model, err) &&
              gguf_need(g, "tokenizer.ggml.tokens", err) &&
              gguf_get_strs(g, "tokenizer.ggml.tokens", &a, &tokens, &spec.n_tokens, err) &&
              gguf_get_i32s(g, "tokenizer.ggml.token_type", &a, &types, &n_types, err) &&
              id_of_key(g, "tokenizer.ggml.bos_token_id", &first, &spec.first, err) &&
              id_of_key(g, "tokenizer.ggml.cls_token_id", &first, &spec.first, err) &&
              id_of_key(g, "tokenizer.ggml.seperator_token_id", &last, &spec.last, err) && /* sic */
              id_of_key(g, "tokenizer.ggml.unknown_token_id", &unknown, &spec.unknown, err);

    if (ok && types != NULL && n_types != spec.n_tokens)
        ok =
            fail(err, ERR_INVALID,
                 "%s: tokenizer.ggml.token_type has %zu entries, but tokenizer.ggml.tokens has %zu",
                 e->path, n_types, spec.n_tokens);
    if (ok && !str_is(spec.model, "bert"))
        ok = fail_param(err, ERR_UNSUPPORTED, "tokenizer.ggml.model",
                        "%s: the tokenizer is \"%s\"; WordPiece (\"bert\") was expected", e->path,
                        shown(spec.model).text);
    spec.tokens = tokens;
    spec.types = types;
    ok = ok && (tokenizer_open(&spec, &e->tokenizer, err) ||
                fail_while(err, "reading the tokenizer of %s", e->path));
    arena_release(&a);
    return ok;
}

bool encoder_read_gguf(struct encoder *e, struct error *err)
{
    return encoder_config_from_gguf(e->gguf, &e->config, err) && tokenizer_read(e, err);
}
