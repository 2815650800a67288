/*
 * export_gguf_folder.c - a merged GGUF file of a base in a Hugging Face folder: names, rows and keys as llama.cpp's converter makes them
 * (conversion/ in its sources, for each class of models).
 *
 * Matrices have the type that is asked for, where Q8_0's blocks do not divide a row F16; vectors are F32. That the keys say what the
 * folder's config says is not taken for granted: they are read back and compared, and what they cannot say is refused.
 */
#include "base/size.h"
#include "model/export_internal.h"
#include "model/gguf.h"

#include <math.h>
#include <stdio.h>

/* The family whose names and order of rows the file has; NULL: none is made. */
static const struct family *gguf_family(const struct model_files *f)
{
    return f->family == &family_mistral ? &family_llama
           : f->family == &family_olmo3 ? &family_olmo2
           : f->family->gguf_arch       ? f->family
                                        : NULL;
}

/* ---- keys ---- */

struct keys {
    struct gguf_head *h;
    const char *arch;
    char key[128];
};

static const char *key_of(struct keys *k, const char *name)
{
    snprintf(k->key, sizeof k->key, "%s.%s", k->arch, name);
    return k->key;
}

static void put_size(struct keys *k, const char *name, size_t value)
{
    gguf_put_u32(k->h, key_of(k, name), (uint32_t)value);
}

static void put_number(struct keys *k, const char *name, double value)
{
    if (value > 0)
        gguf_put_f32(k->h, key_of(k, name), (float)value);
}

/* The m of 0.1 m ln(factor) + 1, which (0.1 ln(factor) + 1) / attention_factor is; 0: there is none. */
static double log_multiplier(const struct rope_spec *r)
{
    const double log_factor = 0.1 * log(r->factor);

    return r->attention_factor > 0 && log_factor > 0
               ? ((1 + log_factor) / r->attention_factor - 1) / log_factor
               : 0;
}

static void rope_put(struct keys *k, const struct model_config *c)
{
    const struct rope_spec *r = &c->rope[0];
    const bool yarn = r->scaling == ROPE_YARN;

    if (yarn || r->scaling == ROPE_LINEAR) {
        gguf_put_str(k->h, key_of(k, "rope.scaling.type"), yarn ? STR("yarn") : STR("linear"));
        put_number(k, "rope.scaling.factor", r->factor);
    }
    if (yarn) {
        put_size(k, "rope.scaling.original_context_length", (size_t)r->original);
        if (strcmp(k->arch, "mistral3") == 0)
            put_number(k, "rope.scaling.yarn_log_multiplier", log_multiplier(r));
        else
            put_number(k, "rope.scaling.yarn_attn_factor", r->attention_factor);
        put_number(k, "rope.scaling.yarn_beta_fast", r->high);
        put_number(k, "rope.scaling.yarn_beta_slow", r->low);
    }
    if (r->scaling == ROPE_FACTORS) {
        put_size(k, "rope.scaling.original_context_length", (size_t)r->original);
        put_number(k, "rope.scaling.attn_factor", r->attention_factor);
    }
    put_number(k, "rope.freq_base", r->base);
    for (size_t l = 0; l < c->n_layers; l++) {
        if (c->layers[l].rope == 1) {
            put_number(k, "rope.freq_base_swa", c->rope[1].base);
            break;
        }
    }
}

/* As the converter says it of a file with experts in MXFP4. */
static uint32_t file_type(const struct export_options *o)
{
    const bool mxfp4 = o->files->config.n_experts > 0 &&
                       model_files_expert(o->files, W_GATE, 0, 0).dtype == DTYPE_MXFP4;

    return mxfp4 && o->dtype != DTYPE_Q8_0 ? 38 : gguf_file_type(o->dtype);
}

/* Which layers have one. */
static void put_windows(struct keys *k, const struct model_config *c)
{
    char list[LIMIT_LAYERS];

    for (size_t l = 0; l < c->n_layers; l++)
        list[l] = c->layers[l].windowed;
    gguf_put_value(k->h, key_of(k, "attention.sliding_window_pattern"),
                   &(struct gguf_value){.type = GGUF_ARRAY,
                                        .item = GGUF_BOOL,
                                        .n_items = c->n_layers,
                                        .bytes = {list, c->n_layers}});
}

static void config_put(const struct export_options *o, struct keys *k)
{
    const struct model_config *c = &o->files->config;

    put_size(k, "block_count", c->n_layers);
    put_size(k, "context_length", c->context);
    put_size(k, "embedding_length", c->width);
    put_size(k, "feed_forward_length", c->hidden_of_dense);
    put_size(k, "attention.head_count", c->n_heads);
    put_size(k, "attention.head_count_kv", c->n_kv_heads);
    rope_put(k, c);
    put_number(k, "attention.layer_norm_rms_epsilon", c->rms_eps);
    if (c->n_experts > 0) {
        put_size(k, "expert_count", c->n_experts);
        put_size(k, "expert_used_count", c->n_chosen);
        put_size(k, "expert_feed_forward_length", c->hidden);
    }
    put_size(k, "attention.key_length", c->head_width);
    put_size(k, "attention.value_length", c->head_width);
    if (gguf_family(o->files)->gguf_interleaves) { /* what the converter's LlamaModel adds */
        put_size(k, "vocab_size", c->vocab);
        put_size(k, "rope.dimension_count", config_rotary_width(c));
    }
    if (o->files->family == &family_phi3)
        put_size(k, "rope.dimension_count", config_rotary_width(c));
    /* the converter tells no window of Mistral's, and Phi-3's also where there is none */
    if (o->files->family == &family_phi3 || (c->window > 0 && o->files->family != &family_mistral))
        put_size(k, "attention.sliding_window", c->window);
    if (o->files->family == &family_olmo3)
        put_windows(k, c);
    put_number(k, "attn_logit_softcapping", c->score_cap);
    put_number(k, "final_logit_softcapping", c->logit_cap);
    put_number(k, "attention.temperature_scale", c->query_growth);
    if (o->files->family == &family_granite) {
        put_number(k, "attention.scale", c->attention_scale);
        put_number(k, "embedding_scale", c->embedding_scale);
        put_number(k, "residual_scale", c->residual_scale);
        put_number(k, "logit_scale", c->logit_divisor);
    }
}

/* ---- do they say what the folder's config says? ---- */

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-6 * fmax(fabs(a), fabs(b)); /* keys are of single precision */
}

static double scale_of(const struct model_config *c)
{
    return c->attention_scale > 0 ? c->attention_scale : 1 / sqrt((double)c->head_width);
}

static bool rotations_same(const struct rope_spec *x, const struct rope_spec *y)
{
    if (x->scaling == ROPE_LLAMA3 || x->scaling == ROPE_FACTORS) /* tensors have it */
        return near(x->base, y->base);
    return x->scaling == y->scaling && near(x->base, y->base) &&
           (x->scaling == ROPE_PLAIN || near(x->factor, y->factor)) &&
           (x->scaling != ROPE_YARN ||
            (near(x->original, y->original) && near(x->low, y->low) && near(x->high, y->high) &&
             near(x->attention_factor, y->attention_factor) && x->whole_pairs == y->whole_pairs));
}

/* A window that holds the whole context is none. */
static bool has_window(const struct model_config *c, size_t layer)
{
    return c->layers[layer].windowed && c->window < c->context;
}

bool export_gguf_rounds_pairs(const struct model_files *f)
{
    return f->gguf == NULL && f->family == &family_gpt_oss &&
           f->config.rope[0].scaling == ROPE_YARN && !f->config.rope[0].whole_pairs;
}

static bool layers_same(const struct model_config *x, const struct model_config *y)
{
    for (size_t l = 0; l < x->n_layers; l++)
        if (has_window(x, l) != has_window(y, l) || x->layers[l].rope != y->layers[l].rope ||
            (has_window(x, l) && x->window != y->window))
            return false;
    return true;
}

/* What y, of the keys, has otherwise than the folder's x; NULL: nothing. */
static const char *difference(const struct model_config *x, const struct model_config *y)
{
    const bool grows = x->query_growth > 0;
    const struct {
        bool same;
        const char *what;
    } parts[] = {
        {layers_same(x, y), "which layers have a window or a rotation"},
        {x->head_width == y->head_width && x->n_heads == y->n_heads &&
             x->n_kv_heads == y->n_kv_heads && x->vocab == y->vocab && x->tied_head == y->tied_head,
         "the shape of heads or vocabulary"},
        {config_rotary_width(x) == config_rotary_width(y), "the rotated part of heads"},
        {rotations_same(&x->rope[0], &y->rope[0]), "the rotation"},
        {x->rope[1].base == 0 || rotations_same(&x->rope[1], &y->rope[1]),
         "the rotation of layers with a window"},
        {x->n_experts == y->n_experts && x->n_chosen == y->n_chosen && x->hidden == y->hidden,
         "the experts"},
        {x->n_experts == 0 || x->shares_of_all == y->shares_of_all,
         "the shares of experts, which are of a softmax over all (\"norm_topk_prob\" false),"},
        {x->qkv_bias == y->qkv_bias && x->qk_norm == y->qk_norm && x->norm_place == y->norm_place &&
             x->activation == y->activation,
         "norms, biases or the activation"},
        {near(scale_of(x), scale_of(y)), "the scale of attention"},
        {near(x->rms_eps, y->rms_eps) && near(x->embedding_scale, y->embedding_scale) &&
             near(x->residual_scale, y->residual_scale) && near(x->logit_divisor, y->logit_divisor),
         "a scale"},
        {near(x->score_cap, y->score_cap) && near(x->logit_cap, y->logit_cap), "the soft-caps"},
        {near(x->query_growth, y->query_growth) && (!grows || near(x->query_span, y->query_span)),
         "how queries grow with the position"},
    };

    for (size_t i = 0; i < COUNT_OF(parts); i++)
        if (!parts[i].same)
            return parts[i].what;
    return NULL;
}

/* A file of these keys alone, with as much of an embedding and a head as a reader of keys looks at. */
static void put_stand_in(const struct gguf_head *h, const struct model_config *c, struct buf *out)
{
    static const char zeros[4096];
    const struct gguf_tensor tensors[] = {
        {.name = "token_embd.weight", .n_dims = 2, .dims = {c->vocab, 1}},
        {.name = "output.weight", .n_dims = 1, .dims = {1}}};

    gguf_head_put(h, tensors, c->tied_head ? 1 : 2, out);
    for (size_t left = 2 * GGUF_WRITER_ALIGNMENT + c->vocab * sizeof(float); left > 0;) {
        const size_t n = size_min(left, sizeof zeros);

        buf_put(out, zeros, n);
        left -= n;
    }
}

static bool config_says_the_same(const struct export_options *o, const struct gguf_head *h,
                                 struct error *err)
{
    const struct model_files *f = o->files;
    const struct family *family;
    struct gguf *g = NULL;
    struct model_config c;
    struct buf b;

    buf_init(&b, 2 * GGUF_MAX_HEAD);
    put_stand_in(h, &f->config, &b);
    bool ok = buf_ok(&b, "the keys of a GGUF file", err) &&
              gguf_open_bytes(b.ptr, b.len, "the keys that are made", &g, err) &&
              config_from_gguf(g, &c, &family, err);
    if (ok && export_gguf_rounds_pairs(f))
        c.rope[0].whole_pairs = f->config.rope[0].whole_pairs;
    const char *other = ok ? difference(&f->config, &c) : NULL;

    if (other != NULL)
        ok = fail(
            err, ERR_UNSUPPORTED,
            "%s: a GGUF file of the architecture %s cannot have %s of this model: export --format "
            "safetensors or gguf-lora",
            f->path, gguf_family(f)->gguf_arch, other);
    gguf_close(g);
    buf_release(&b);
    return ok;
}

/* ---- tensors ---- */

struct making {
    const struct export_options *o;
    const struct family *family;
    struct arena *a;
    struct gguf_plan *plan;
    const uint32_t *order; /* of q's and k's rows, or NULL */
};

/* Row r of the file is which of Hugging Face's: the two halves of a head become neighbours. */
static uint32_t *row_order(const struct model_config *c, struct arena *a, struct error *err)
{
    const size_t D = c->head_width, n = c->n_heads * D;
    uint32_t *order = arena_try(a, n, sizeof *order, "the order of rows", err);

    for (size_t r = 0; order != NULL && r < n; r++)
        order[r] = (uint32_t)(r - r % D + r % 2 * (D / 2) + r % D / 2);
    return order;
}

static void tensor_add(struct making *m, const struct merged_tensor *t, enum dtype dtype)
{
    const size_t n = m->plan->n++;

    m->plan->merged[n] = *t;
    m->plan->tensors[n] =
        (struct gguf_tensor){.name = t->name, .dtype = dtype, .n_dims = t->n_dims};
    memcpy(m->plan->tensors[n].dims, t->dims, t->n_dims * sizeof *t->dims);
}

/* The type that is asked for, or where its blocks do not divide a row F16. */
static enum dtype matrix_dtype(const struct making *m, size_t cols)
{
    return cols % dtype_info(m->o->dtype)->block == 0 ? m->o->dtype : DTYPE_F16;
}

/* A vector, in F32; norms that are to be added to 1 are. */
static bool vector_add(struct making *m, const char *name, const struct matrix_view *from,
                       bool is_norm, struct error *err)
{
    float *x = arena_try(m->a, from->cols, sizeof *x, "a vector of weights", err);

    if (x == NULL)
        return false;
    matrix_row_to_f32(from, 0, x);
    for (size_t i = 0; is_norm && m->o->files->config.norms_add_one && i < from->cols; i++)
        x[i] += 1.0f;
    m->plan->tensors[m->plan->n++] = (struct gguf_tensor){.name = name,
                                                          .dtype = DTYPE_F32,
                                                          .n_dims = 1,
                                                          .dims = {from->cols},
                                                          .data = x,
                                                          .size_bytes = from->cols * sizeof *x};
    return true;
}

/* The experts of a layer, whichever way they lie in the folder: a tensor of gate, of up and of down. What is MXFP4 stays so. */
static bool experts_add(struct making *m, size_t layer, struct error *err)
{
    const struct model_files *f = m->o->files;
    const size_t n = f->config.n_experts;

    for (size_t p = 0; n > 0 && p < 3; p++) {
        struct matrix_view *parts = arena_try(m->a, n, sizeof *parts, "the list of experts", err);
        char *name = arena_alloc(m->a, 128);

        if (parts == NULL)
            return false;
        for (size_t e = 0; e < n; e++)
            parts[e] = model_files_expert(f, (enum weight_name)((size_t)W_GATE + p), layer, e);
        struct merged_tensor t = {.name = name,
                                  .n_dims = 3,
                                  .dims = {n, parts->rows, parts->cols},
                                  .from = parts[0],
                                  .parts = parts,
                                  .part_rows = parts->rows};
        t.from.rows *= n;
        family_tensor_name(m->family->gguf_experts[p], layer, ".weight", name, 128);
        tensor_add(m, &t, parts->dtype == DTYPE_MXFP4 ? DTYPE_MXFP4 : matrix_dtype(m, parts->cols));
    }
    return true;
}

static bool is_vector(enum weight_name w)
{
    return w == W_FINAL_NORM || w == W_ATTN_NORM || w == W_FFN_NORM || w >= W_Q_BIAS;
}

static bool is_bias(enum weight_name w)
{
    return (w >= W_GATE_BIASES && w <= W_V_BIAS) || w == W_O_BIAS || w == W_ROUTER_BIAS;
}

/* pattern: NULL where the family has no such weight. */
static bool is_named(const char *pattern, const char *name)
{
    return pattern != NULL && strcmp(pattern, name) == 0;
}

/* A part, but the first, of a fused tensor. */
static bool is_in_another(const char *const *patterns, enum weight_name w)
{
    for (int first = W_Q; w <= W_UP && first < (int)w; first++)
        if (is_named(patterns[first], patterns[w]))
            return true;
    return false;
}

static bool weight_add(struct making *m, enum weight_name w, size_t layer,
                       const struct lora_group *groups, size_t n_groups, struct error *err)
{
    const char *const *patterns = m->family->gguf_tensor;
    struct matrix_view from = model_files_weight(m->o->files, w, layer);
    struct merged_tensor t = {.n_dims = 2};
    char *name = arena_alloc(m->a, 128);

    if (from.data == NULL || is_in_another(patterns, w))
        return true;
    family_tensor_name(patterns[w], layer, is_bias(w) ? ".bias" : ".weight", name, 128);
    if (is_vector(w))
        return vector_add(m, name, &from, !is_bias(w) && w != W_SINKS, err);
    for (size_t i = 0; i < n_groups; i++)
        if (strcmp(groups[i].pattern, patterns[w]) == 0)
            t.group = groups[i];
    /* the parts of a fused tensor lie behind each other in the folder, too */
    for (int part = (int)w + 1; part <= W_UP; part++)
        if (is_named(patterns[part], patterns[w]))
            from.rows += model_files_weight(m->o->files, (enum weight_name)part, layer).rows;
    if (w == W_Q || w == W_K)
        from.row_order = m->order;
    t.name = name;
    t.dims[0] = from.rows;
    t.dims[1] = from.cols;
    t.from = from;
    /* routers and biases are small, and F32 as vectors are */
    tensor_add(m, &t, w == W_ROUTER || is_bias(w) ? DTYPE_F32 : matrix_dtype(m, from.cols));
    return true;
}

static void factors_add(struct making *m, const char *name, const float *factors, size_t n)
{
    m->plan->tensors[m->plan->n++] = (struct gguf_tensor){.name = name,
                                                          .dtype = DTYPE_F32,
                                                          .n_dims = 1,
                                                          .dims = {n},
                                                          .data = factors,
                                                          .size_bytes = n * sizeof *factors};
}

/* What each pair's frequency is divided by: Phi's two lists, or Llama 3's stretching as one. */
static bool rope_factors_add(struct making *m, struct error *err)
{
    const struct rope_spec *r = &m->o->files->config.rope[0];
    const size_t width = config_rotary_width(&m->o->files->config), n = width / 2;
    struct rope_spec plain = {.base = r->base};

    if (r->scaling == ROPE_FACTORS) {
        factors_add(m, "rope_factors_long.weight", r->long_factor, n);
        factors_add(m, "rope_factors_short.weight", r->short_factor, n);
    }
    if (r->scaling != ROPE_LLAMA3)
        return true;
    double *f = arena_try(m->a, n, 2 * sizeof *f, "factors of rotations", err);
    float *x = arena_try(m->a, n, sizeof *x, "factors of rotations", err);
    if (f == NULL || x == NULL)
        return false;
    (void)rope_frequencies(&plain, width, 1, f);
    (void)rope_frequencies(r, width, 1, f + n);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(f[i] / f[n + i]);
    factors_add(m, "rope_freqs.weight", x, n);
    return true;
}

static bool tensors_add(struct making *m, struct error *err)
{
    const struct model_files *f = m->o->files;
    struct lora_group groups[N_PROJECTIONS];
    const size_t most =
        f->n_weights + 2 + 3 * f->config.n_layers; /* factors of rotations; experts */
    size_t n_groups = 0;

    m->plan->tensors = arena_try(m->a, most, sizeof *m->plan->tensors, "the list of tensors", err);
    m->plan->merged = arena_try(m->a, most, sizeof *m->plan->merged, "the list of tensors", err);
    bool ok =
        m->plan->tensors != NULL && m->plan->merged != NULL &&
        (!m->family->gguf_interleaves || (m->order = row_order(&f->config, m->a, err)) != NULL) &&
        rope_factors_add(m, err);

    for (size_t l = 0; ok && l < f->config.n_layers; l++) {
        if (m->o->adapter != NULL)
            n_groups = lora_groups(m->family->gguf_tensor, m->o->adapter, l,
                                   m->family->gguf_interleaves, groups);
        for (int w = l == 0 ? 0 : W_ATTN_NORM; ok && w < N_WEIGHT_NAMES; w++)
            ok = weight_add(m, (enum weight_name)w, l, groups, n_groups, err);
        ok = ok && experts_add(m, l, err);
    }
    return ok;
}

bool gguf_plan_of_folder(const struct export_options *o, struct arena *a, struct gguf_plan *out,
                         struct error *err)
{
    const struct model_files *f = o->files;
    struct making m = {.o = o, .family = gguf_family(f), .a = a, .plan = out};

    gguf_head_init(&out->head);
    if (m.family == NULL)
        return fail(err, ERR_UNSUPPORTED,
                    "%s is a folder of the family %s, which no GGUF file is made of: export "
                    "--format safetensors, or --format gguf-lora",
                    f->path, f->family->name);
    struct keys k = {.h = &out->head, .arch = m.family->gguf_arch};
    gguf_put_str(k.h, "general.architecture", str_of(k.arch));
    gguf_put_str(k.h, "general.type", STR("model"));
    if (o->name != NULL)
        gguf_put_str(k.h, "general.name", str_of(o->name));
    config_put(o, &k);
    gguf_put_u32(k.h, "general.file_type", file_type(o));
    gguf_put_u32(k.h, "general.quantization_version", 2);
    return vocab_put(o, a, k.h, err) && config_says_the_same(o, k.h, err) && tensors_add(&m, err);
}
