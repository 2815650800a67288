/*
 * model_files.c - what the two forms have in common: which tensor is which weight, and what ends an answer. Experts are in
 * model_files_experts.c.
 */
#include "model/model_files.h"
#include "base/limits.h"
#include "base/sha256.h"
#include "base/size.h"
#include "model/gguf.h"
#include "model/model_files_internal.h"
#include "model/safetensors.h"
#include "model/shown.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/* The three weights of the whole model come first, then the others, a layer at a time. */
size_t weight_index(enum weight_name name, size_t layer)
{
    return name < W_ATTN_NORM
               ? name
               : W_ATTN_NORM + layer * (N_WEIGHT_NAMES - W_ATTN_NORM) + (name - W_ATTN_NORM);
}

void weight_shape(const struct model_files *f, const struct shape_words *words,
                  enum weight_name name, struct dimension *rows, struct dimension *cols)
{
    const struct model_config *c = &f->config;
    const struct dimension one = {1, NULL}, width = {c->width, words->width},
                           hidden = {c->hidden, words->hidden};
    const struct dimension vocab = {c->vocab, words->vocab};
    const struct dimension heads = {c->n_heads * c->head_width, words->heads};
    const struct dimension kv_heads = {c->n_kv_heads * c->head_width, words->kv_heads};
    const struct dimension head = {c->head_width, words->head};
    const struct dimension experts = {c->n_experts, words->experts};
    const bool per_head = c->qk_norm == QK_NORM_HEAD;
    const struct dimension shapes[N_WEIGHT_NAMES][2] = {
        [W_EMBED] = {vocab, width},
        [W_HEAD] = {vocab, width},
        [W_FINAL_NORM] = {one, width},
        [W_ATTN_NORM] = {one, width},
        [W_Q] = {heads, width},
        [W_K] = {kv_heads, width},
        [W_V] = {kv_heads, width},
        [W_O] = {width, heads},
        [W_FFN_NORM] = {one, width},
        [W_GATE] = {hidden, width},
        [W_UP] = {hidden, width},
        [W_DOWN] = {width, hidden},
        [W_ROUTER] = {experts, width},
        [W_GATE_BIASES] = {experts, hidden},
        [W_UP_BIASES] = {experts, hidden},
        [W_DOWN_BIASES] = {experts, width},
        [W_O_BIAS] = {one, width},
        [W_ROUTER_BIAS] = {one, experts},
        [W_SINKS] = {one, {c->n_heads, words->heads}},
        [W_Q_BIAS] = {one, heads},
        [W_K_BIAS] = {one, kv_heads},
        [W_V_BIAS] = {one, kv_heads},
        [W_Q_NORM] = {one, per_head ? head : heads},
        [W_K_NORM] = {one, per_head ? head : kv_heads},
        [W_ATTN_POST_NORM] = {one, width},
        [W_FFN_POST_NORM] = {one, width},
    };

    *rows = shapes[name][0];
    *cols = shapes[name][1];
}

/* Whether this model has it; where it has not, nothing may be there. */
static bool weight_is_there(const struct model_config *c, enum weight_name name)
{
    switch (name) {
    case W_ATTN_NORM:
    case W_FFN_NORM:
        return c->norm_place != NORM_BEHIND;
    case W_ATTN_POST_NORM:
    case W_FFN_POST_NORM:
        return c->norm_place != NORM_BEFORE;
    case W_GATE:
    case W_UP:
    case W_DOWN:
        return c->n_experts == 0;
    case W_ROUTER:
        return c->n_experts > 0;
    case W_Q_BIAS:
    case W_K_BIAS:
    case W_V_BIAS:
        return c->qkv_bias;
    case W_O_BIAS:
        return c->out_bias;
    case W_GATE_BIASES:
    case W_UP_BIASES:
    case W_DOWN_BIASES:
    case W_ROUTER_BIAS:
        return c->n_experts > 0 && c->expert_bias;
    case W_SINKS:
        return c->sinks;
    case W_Q_NORM:
    case W_K_NORM:
        return c->qk_norm != QK_NORM_NONE;
    default:
        return true;
    }
}

static bool is_vector(enum weight_name name)
{
    return name == W_FINAL_NORM || name == W_ATTN_NORM || name == W_FFN_NORM || name >= W_Q_BIAS;
}

/* What a tensor is called behind its pattern. */
static const char *suffix_of(const struct model_files *f, enum weight_name name)
{
    switch (name) {
    case W_Q_BIAS:
    case W_K_BIAS:
    case W_V_BIAS:
    case W_O_BIAS:
    case W_ROUTER_BIAS:
    case W_GATE_BIASES:
    case W_UP_BIASES:
    case W_DOWN_BIASES:
        return ".bias";
    case W_SINKS:
        return f->gguf != NULL ? ".weight" : ""; /* in folders they have no more of a name */
    default:
        return ".weight";
    }
}

/* Where gate and up are in one tensor, their biases are, too: model_files_experts.c finds them. */
static bool is_beside_experts(const struct model_files *f, enum weight_name name)
{
    return f->gguf == NULL && f->family->hf_experts_paired && name >= W_GATE_BIASES &&
           name <= W_DOWN_BIASES;
}

static int tensor_order(const void *a, const void *b)
{
    return strcmp(((const struct file_tensor *)a)->name, ((const struct file_tensor *)b)->name);
}

struct file_tensor *file_tensor_find(const struct model_files *f, const char *name)
{
    const struct file_tensor key = {.name = name};

    return f->n_tensors == 0
               ? NULL
               : bsearch(&key, f->tensors, f->n_tensors, sizeof *f->tensors, tensor_order);
}

/* Rows of one tensor that weights share, in the order of their names: those before name's, and all. */
struct shared_rows {
    size_t before, all;
};

static struct shared_rows shared_rows(const struct model_files *f,
                                      const char *const patterns[N_WEIGHT_NAMES],
                                      const struct shape_words *words, enum weight_name name)
{
    struct shared_rows n = {0};
    struct dimension rows, cols;

    for (int i = W_ATTN_NORM; i < W_Q_BIAS; i++) {
        if (patterns[i] == NULL || strcmp(patterns[i], patterns[name]) != 0)
            continue;
        weight_shape(f, words, (enum weight_name)i, &rows, &cols);
        n.all += rows.size;
        if (i < (int)name)
            n.before += rows.size;
    }
    return n;
}

static bool shape_fits(const struct model_files *f, const struct file_tensor *t,
                       const char *const patterns[N_WEIGHT_NAMES], const struct shape_words *words,
                       enum weight_name name, struct matrix_view *out, struct error *err)
{
    struct dimension want[2];
    const size_t n_dims = is_vector(name) ? 1 : 2;
    size_t before = 0;

    weight_shape(f, words, name, &want[0], &want[1]);
    const size_t rows = want[0].size;
    if (n_dims == 2 && name >= W_ATTN_NORM) {
        const struct shared_rows shared = shared_rows(f, patterns, words, name);

        before = shared.before;
        want[0].size = shared.all;
    }
    if (t->n_dims != n_dims)
        return fail(err, ERR_INVALID, "%s: the tensor %s has %zu dimensions, %zu were expected",
                    f->path, shown(str_of(t->name)).text, t->n_dims, n_dims);
    for (size_t d = 0; d < n_dims; d++) {
        const struct dimension *w = &want[2 - n_dims + d];

        if (t->dims[d] != w->size)
            return fail_param(err, ERR_INVALID, w->word,
                              "%s: %s is %zu, but the tensor %s has %zu %s", words->file, w->word,
                              w->size, shown(str_of(t->name)).text, t->dims[d],
                              d + 1 == n_dims ? "columns" : "rows");
    }
    /* GGUF checks this against the whole tensor; a folder has no block types */
    assert(want[1].size % dtype_info(t->dtype)->block == 0);
    *out = (struct matrix_view){.dtype = t->dtype,
                                .rows = rows,
                                .cols = want[1].size,
                                .data = (const char *)t->data +
                                        before * dtype_bytes(t->dtype, want[1].size),
                                .scale = t->scale,
                                .scale_row = before};
    return true;
}

/*
 * The row of the file that holds row i: the converter has written row j of the first half of a head to 2j and that of
 * the second half to 2j + 1. K's heads are ordered as Q's first ones, so one list serves both.
 */
static uint32_t *interleaved_rows(struct model_files *f, struct error *err)
{
    const size_t D = f->config.head_width, H = f->config.n_heads;
    uint32_t *order = arena_try(&f->arena, H * D, sizeof *order, "the order of rows", err);

    for (size_t i = 0; order != NULL && i < H * D; i++) {
        const size_t head = i / D, half = i % D / (D / 2), j = i % D % (D / 2);

        order[i] = (uint32_t)(head * D + 2 * j + half);
    }
    return order;
}

static bool left_over(const struct model_files *f, const struct file_tensor *t, struct error *err)
{
    return fail(
        err, ERR_UNSUPPORTED,
        "%s: the tensor %s is none of a plain %s model's (other biases and scalings are not supported)",
        f->path, shown(str_of(t->name)).text, f->family->name);
}

bool model_files_bind(struct model_files *f, const char *const patterns[N_WEIGHT_NAMES],
                      bool interleaved, const struct shape_words *words, struct error *err)
{
    const size_t n = weight_index(W_ATTN_NORM, f->config.n_layers);
    uint32_t *order = NULL;

    f->weights = arena_try(&f->arena, n, sizeof *f->weights, "the list of weights", err);
    if (f->weights == NULL || (interleaved && (order = interleaved_rows(f, err)) == NULL))
        return false;
    f->n_weights = n;
    qsort(f->tensors, f->n_tensors, sizeof *f->tensors, tensor_order);
    for (size_t layer = 0; layer < f->config.n_layers; layer++) {
        for (int name = layer == 0 ? 0 : W_ATTN_NORM; name < N_WEIGHT_NAMES; name++) {
            struct matrix_view *w = &f->weights[weight_index((enum weight_name)name, layer)];
            char text[128];

            if (!weight_is_there(&f->config, (enum weight_name)name) ||
                is_beside_experts(f, (enum weight_name)name))
                continue;
            family_tensor_name(patterns[name], layer, suffix_of(f, (enum weight_name)name), text,
                               sizeof text);
            struct file_tensor *t = file_tensor_find(f, text);
            if (name == W_HEAD && f->config.tied_head) {
                if (t != NULL)
                    t->used = true; /* a copy of the embedding, as some folders have it */
                continue;
            }
            if (t == NULL)
                return fail(err, ERR_INVALID, "%s: the tensor %s is missing", f->path, text);
            if (!shape_fits(f, t, patterns, words, (enum weight_name)name, w, err))
                return false;
            if (name == W_Q || name == W_K)
                w->row_order = order;
            t->used = true;
        }
    }
    if (!model_files_bind_experts(f, words, err))
        return false;
    for (size_t i = 0; i < f->n_tensors; i++)
        if (!f->tensors[i].used)
            return left_over(f, &f->tensors[i], err);
    return true;
}

/*
 * Tokens that end a turn, or a document, in the chat formats that are about. "<|end|>" is Phi's end of a turn, but in
 * the harmony format, known by its "<|return|>", it ends only one message of several (after the thinking, say).
 */
static const char *const turn_ends[] = {
    "<|im_end|>",            /* ChatML: SmolLM, Qwen, ... */
    "<|eot_id|>",            /* Llama 3: end of a turn */
    "<|eom_id|>",            /* Llama 3: end of a message that calls a tool */
    "<|eot|>",               /* Llama 4 */
    "<end_of_turn>",         /* Gemma */
    "<|end_of_turn|>",       /* OpenChat */
    "<|end|>",               /* Phi */
    "<|return|>",            /* harmony: end of the answer */
    "<|call|>",              /* harmony: a tool is called */
    "<turn|>",               /* Gemma 4 */
    "<|END_OF_TURN_TOKEN|>", /* Command */
    "[|endofturn|]",         /* EXAONE */
    "[e~[",                  /* MiniMax */
    "<|role_end|>",          /* Ling */
    "<end_of_utterance>",    /* SmolVLM */
    "<|endoftext|>",         /* end of a document: GPT-2's line, Qwen, SmolLM */
    "<|end_of_text|>",       /* end of a document: Llama 3 */
};

static token_id special_token(const struct tokenizer *t, const char *text)
{
    const token_id id = tokenizer_find(t, str_of(text));

    return id >= 0 && tokenizer_is_special(t, id) ? id : -1;
}

bool model_files_fit_tokenizer(struct model_files *f, struct error *err)
{
    const size_t n = tokenizer_size(f->tokenizer);
    const bool harmony = special_token(f->tokenizer, "<|return|>") >= 0;

    if (n > f->config.vocab)
        return fail(err, ERR_INVALID,
                    "%s: the tokenizer has %zu ids, but the embedding only %zu rows", f->path, n,
                    f->config.vocab);
    if (!tokenizer_keeps_text(f->tokenizer))
        return fail(
            err, ERR_UNSUPPORTED,
            "%s: the tokenizer is WordPiece, which an encoder reads by; a model that writes needs one that gives the text back",
            f->path);
    for (size_t i = 0; i < COUNT_OF(turn_ends); i++) {
        const token_id id = special_token(f->tokenizer, turn_ends[i]);

        if (id < 0 || (harmony && strcmp(turn_ends[i], "<|end|>") == 0))
            continue;
        if (!config_add_eos(&f->config, id, turn_ends[i], err))
            return false;
    }
    return true;
}

static size_t n_weight_files(const struct model_files *f)
{
    return f->gguf != NULL          ? gguf_n_files(f->gguf)
           : f->safetensors != NULL ? safetensors_n_files(f->safetensors)
                                    : 0;
}

static struct file_map weight_file(const struct model_files *f, size_t i)
{
    return f->gguf != NULL ? gguf_file(f->gguf, i) : safetensors_file(f->safetensors, i);
}

/* Weights are read soon, and all of them: let the system begin while the rest is being prepared. */
static void expect_soon(struct file_map map)
{
    if (map.ptr != NULL)
        (void)madvise((void *)(uintptr_t)map.ptr, map.len, MADV_WILLNEED);
}

bool model_files_open(const char *path, struct model_files **out, struct error *err)
{
    struct arena a = {0};

    if (!file_exists(path))
        return fail_errno(err, "cannot find a model at %s", path);
    struct model_files *f = ARENA_NEW(&a, struct model_files);
    f->path = arena_text(&a, str_of(path));
    f->arena = a; /* it holds f itself, too */
    if (!(file_is_dir(path) ? model_files_read_folder(f, err) : model_files_read_gguf(f, err))) {
        model_files_close(f);
        return false;
    }
    for (size_t i = 0; i < n_weight_files(f); i++)
        expect_soon(weight_file(f, i));
    *out = f;
    return true;
}

void model_files_forget(const struct model_files *f)
{
    for (size_t i = 0; i < n_weight_files(f); i++) {
        const struct file_map map = weight_file(f, i);

        file_map_forget(&map);
    }
}

void model_files_close(struct model_files *f)
{
    if (f == NULL)
        return;
    tokenizer_close(f->tokenizer);
    safetensors_close(f->safetensors);
    gguf_close(f->gguf);
    struct arena a = f->arena; /* f lies in it */
    arena_release(&a);
}

const struct model_config *model_files_config(const struct model_files *f)
{
    return &f->config;
}

struct matrix_view model_files_weight(const struct model_files *f, enum weight_name name,
                                      size_t layer)
{
    const size_t i = weight_index(name, layer);

    assert(i < f->n_weights);
    return f->weights[i];
}

struct matrix_view model_files_expert(const struct model_files *f, enum weight_name name,
                                      size_t layer, size_t expert)
{
    assert(f->experts != NULL && layer < f->config.n_layers && expert < f->config.n_experts);
    return f->experts[layer * f->config.n_experts + expert][name - W_GATE];
}

const struct tokenizer *model_files_tokenizer(const struct model_files *f)
{
    return f->tokenizer;
}

struct str model_files_template(const struct model_files *f)
{
    return f->chat_template;
}

bool model_files_sha256(struct model_files *f, char out[65], struct error *err)
{
    struct sha256_ctx ctx;

    (void)err; /* a mapped file does not fail by returning */
    if (f->sha256[0] == '\0') {
        sha256_init(&ctx);
        for (size_t i = 0; i < n_weight_files(f); i++) {
            const struct file_map map = weight_file(f, i);

            sha256_update(&ctx, map.len, map.ptr);
        }
        memcpy(f->sha256, sha256_finish(&ctx).hex, sizeof f->sha256);
    }
    memcpy(out, f->sha256, sizeof f->sha256);
    return true;
}

void weight_hf_name(enum weight_name name, size_t layer, char out[96])
{
    /* an adapter is one of Llama's projections, whatever tensors a family's files keep them in; the rest is others' */
    const char *const patterns[] = {family_llama.hf_tensor[name], family_qwen2.hf_tensor[name],
                                    family_gemma3.hf_tensor[name], family_qwen3_moe.hf_tensor[name],
                                    family_gpt_oss.hf_tensor[name]};
    size_t i = 0;

    while (patterns[i] == NULL)
        i++;
    family_tensor_name(patterns[i], layer, "", out, 96);
}
