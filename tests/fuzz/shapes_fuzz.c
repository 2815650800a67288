/*
 * shapes_fuzz.c - no division of work changes a bit, whatever the shape of the model, its formats and the tree of rows.
 *
 * The input draws a model, an adapter, a tree of segments, and what the model has beside Llama; where it ends, its sum goes on
 * drawing. Then four laws hold, each by memcmp:
 *
 *   rows      computed at once, one by one, or in pieces in any order: the same hidden states and logits   (model/forward.h)
 *   threads   any number of them                                                                           (tensor/ops.h)
 *   machines  every table of kernels that this machine runs                                                (tensor/cpu/kernels.h)
 *   training  whichever rows were known, as a whole or lean: hidden states of the forward pass, and the adapter's gradients,
 *             on any number of threads and any table                                                       (model/training_pass.h)
 */
#include "fuzz.h"

#include "base/parallel.h"
#include "base/size.h"
#include "model/training_pass.h"
#include "support/models.h"
#include "support/rig.h"
#include "support/trees.h"
#include "tensor/cpu/kernels.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define POOL_BYTES (16 << 20) /* of keys and values */

/* ---- drawing ---- */

struct source {
    const uint8_t *at;
    size_t left;
    struct dice dice; /* goes on where the bytes end */
};

static struct source source_of(const uint8_t *data, size_t size)
{
    struct source s = {.at = data, .left = size};

    for (size_t i = 0; i < size; i++)
        s.dice.state = (s.dice.state ^ data[i]) * 0x100000001B3u;
    return s;
}

/* 0..n-1, n at most 65536 */
static size_t below(struct source *s, size_t n)
{
    size_t x = 0;

    if (s->left < 2)
        return dice_below(&s->dice, n);
    for (size_t most = 1; most < n; most *= 256, s->at++, s->left--)
        x = x * 256 + *s->at;
    return x % n;
}

static size_t between(struct source *s, size_t least, size_t most)
{
    return least + below(s, most - least + 1);
}

/* What is drawn is at most so large: some ten milliseconds for all laws. */
struct size {
    size_t layers, head_width, all_heads, width, hidden, vocab, least_rows, rows;
};
/* around the 192 that a block of rows of a product has at most */
static const struct size many_rows = {1, 16, 32, 32, 32, 40, 185, 260};
static const struct size middle = {3, 48, 64, 64, 80, 80, 1, 60};
/* whole blocks of every format, and a k of two pieces */
static const struct size wide = {1, 80, 256, 256, 400, 400, 1, 12};

struct shape {
    struct model_config config;
    struct model_formats formats;
    enum precision precision;
    size_t rank; /* of the adapter; 0: there is none */
    size_t n_rows;
};

/* Inputs of a linear layer: any number, or whole blocks of one of the formats. */
static size_t draw_width(struct source *s, size_t most)
{
    switch (below(s, 4)) {
    case 0:
        return between(s, 1, most);
    case 1:
        return 16 * between(s, 1, most / 16);
    case 2:
        return 32 * between(s, 1, most / 32);
    default:
        return most < 256 ? 32 : 256;
    }
}

/* One whose blocks rows of k values can have. */
static enum dtype draw_format(struct source *s, size_t k)
{
    enum dtype fits[N_DTYPES];
    size_t n = 0;

    for (int t = 0; t < N_DTYPES; t++)
        if (k % dtype_info((enum dtype)t)->block == 0)
            fits[n++] = (enum dtype)t;
    return fits[below(s, n)];
}

/* What families have beside Llama, each now and then, from the bytes behind all others: without any it is a Llama. */
static void draw_family(struct source *s, struct model_config *c)
{
    if (s->left < 2)
        return;
    c->qkv_bias = below(s, 3) == 0;
    c->qk_norm = (enum qk_norm)below(s, 3);
    c->norm_place = (enum norm_place)below(s, 3);
    c->activation = (enum activation)below(s, 2);
    c->window = between(s, 1, 40);
    c->rope[1] = (struct rope_spec){.base = 100, .scaling = ROPE_LINEAR, .factor = 4};
    for (size_t l = 0; l < c->n_layers; l++)
        c->layers[l] = (struct layer_kind){.windowed = below(s, 2) == 0,
                                           .rope = (unsigned char)below(s, ROPE_NONE + 1)};
    if (below(s, 3) == 0)
        c->rotary_width = 2 * between(s, 1, c->head_width / 2);
    if (below(s, 3) == 0)
        c->embedding_scale = 3;
    if (below(s, 3) == 0)
        c->residual_scale = 0.4;
    if (below(s, 3) == 0)
        c->attention_scale = 0.3;
    if (below(s, 3) == 0) {
        c->query_growth = 0.4;
        c->query_span = 7;
    }
    if (below(s, 3) == 0) {
        c->n_experts = between(s, 1, 6);
        c->n_chosen = between(s, 1, size_min(c->n_experts, 3));
        c->shares_of_all = below(s, 2) == 0;
    }
    if (below(s, 3) == 0)
        c->score_cap = 2;
    if (below(s, 3) == 0)
        c->logit_cap = 3;
    if (below(s, 4) == 0)
        c->activation = ACT_CLAMPED;
    c->out_bias = below(s, 3) == 0;
    c->expert_bias = below(s, 3) == 0;
    c->sinks = below(s, 3) == 0;
}

/* Many rows of a small model, a few of a wide one, or something between. */
static struct shape draw_shape(struct source *s)
{
    const size_t which = below(s, 8);
    const struct size *most = which == 0 ? &many_rows : which < 6 ? &middle : &wide;
    struct shape x = {.precision = below(s, 2) == 0 ? PRECISION_INT8 : PRECISION_F32,
                      .rank = below(s, 4) == 0 ? 0 : between(s, 1, 20)};
    struct model_config *c = &x.config;
    size_t n, k;

    *c = (struct model_config){.family = "llama",
                               .n_layers = between(s, 1, most->layers),
                               .head_width = PANEL * between(s, 1, most->head_width / PANEL),
                               .width = draw_width(s, most->width),
                               .hidden = draw_width(s, most->hidden),
                               .vocab = between(s, 17, most->vocab),
                               .context = most->rows,
                               .rms_eps = 1e-5,
                               .rope = {{.base = 10000}},
                               .kv_cache = (enum kv_cache)below(s, 3),
                               .tied_head = below(s, 2) == 0};
    const size_t heads = most->all_heads / c->head_width, group = between(s, 1, size_min(4, heads));
    c->n_kv_heads = between(s, 1, heads / group);
    c->n_heads = group * c->n_kv_heads;
    for (size_t p = 0; p < N_PROJECTIONS; p++) {
        projection_shape(c, (enum projection)p, &n, &k);
        x.formats.proj[p] = draw_format(s, k);
    }
    x.formats.embed = draw_format(s, c->width);
    x.formats.head = draw_format(s, c->width);
    x.n_rows = between(s, most->least_rows, most->rows);
    return x;
}

/* A few rows, about one page or two of them, or any number. */
static size_t draw_length(struct source *s)
{
    switch (below(s, 6)) {
    case 0:
        return between(s, 15, 17);
    case 1:
        return between(s, 31, 33);
    case 2:
        return between(s, 1, 60);
    default:
        return between(s, 1, 4);
    }
}

/* A beginning, groups that hang on it, their answers, and what those part into. */
static void draw_segments(struct source *s, struct trees *t, size_t parent, size_t depth,
                          size_t max_rows, size_t vocab)
{
    const size_t me = t->n_segments++;
    struct tree_segment *x = &t->segments[me];

    *x = (struct tree_segment){
        .parent = parent, .row = t->m, .n = size_min(draw_length(s), max_rows - t->m)};
    if (parent != NO_PARENT)
        x->start = t->segments[parent].start + t->segments[parent].n;
    for (size_t i = 0; i < x->n; i++)
        t->tokens[t->m++] = (token_id)dice_below(&s->dice, vocab);
    for (size_t n = below(s, 5); depth < 3 && n > 0 && t->m < max_rows; n--)
        draw_segments(s, t, me, depth + 1, max_rows, vocab);
}

static struct trees draw_trees(struct source *s, size_t n_rows, size_t vocab, struct arena *a)
{
    struct trees t = {.segments = ARENA_ARRAY(a, struct tree_segment, n_rows),
                      .tokens = ARENA_ARRAY(a, token_id, n_rows)};

    while (t.m < n_rows)
        draw_segments(s, &t, NO_PARENT, 0, n_rows, vocab);
    return t;
}

/* ---- what is computed ---- */

struct world {
    struct shape shape;
    struct rig rig;
    struct adapter *ad; /* or NULL */
    struct trees trees;
    struct dice dice;
    float *want; /* [M, C + V]: hidden states and logits, at once on one thread */
};

static void world_open(struct world *w, struct source *s)
{
    struct rig *r = &w->rig;
    struct error err = {0};

    w->shape = draw_shape(s);
    const struct model_config *c = &w->shape.config;
    w->trees = draw_trees(s, w->shape.n_rows, c->vocab, &r->arena);
    draw_family(s, &w->shape.config);
    w->dice = s->dice;
    r->model = random_model(&w->dice, c, &w->shape.formats, w->shape.precision);
    must(kv_pool_open(c, POOL_BYTES, &r->pool, &err) && workspace_open(r->model, &r->work, &err),
         &err);
    if (w->shape.rank > 0) {
        w->ad = random_adapter(c, w->shape.rank, dice_roll(&w->dice));
        must(adapter_want_grads(w->ad, &err), &err);
    }
}

static void world_close(struct world *w)
{
    adapter_close(w->ad);
    rig_close(&w->rig);
}

static void print_shape(const struct shape *s, const struct trees *t)
{
    const struct model_config *c = &s->config;

    fprintf(
        stderr,
        "%zu layers, width %zu, %zu/%zu heads of %zu, hidden %zu, vocabulary %zu, cache %s, precision %s, rank %zu\n"
        "formats q k v o gate up down:",
        c->n_layers, c->width, c->n_heads, c->n_kv_heads, c->head_width, c->hidden, c->vocab,
        kv_cache_name(c->kv_cache), precision_name(s->precision), s->rank);
    for (size_t p = 0; p < N_PROJECTIONS; p++)
        fprintf(stderr, " %s", dtype_info(s->formats.proj[p])->name);
    fprintf(
        stderr,
        "\nbiases %d, of outputs %d, of experts %d, sinks %d, norms of q and k %d, norms' place %d, activation %d, rotary width %zu, scales %g %g %g, queries growing by %g, "
        "experts %zu of %zu, caps %g %g, window %zu (layers:",
        c->qkv_bias, c->out_bias, c->expert_bias, c->sinks, (int)c->qk_norm, (int)c->norm_place,
        (int)c->activation, config_rotary_width(c), c->embedding_scale, c->residual_scale,
        c->attention_scale, c->query_growth, c->n_chosen, c->n_experts, c->score_cap, c->logit_cap,
        c->window);
    for (size_t l = 0; l < c->n_layers; l++)
        fprintf(stderr, " %d%s", c->layers[l].rope, c->layers[l].windowed ? "w" : "");
    fprintf(stderr, "), embedding %s, head %s\n%zu rows in segments (parent: length)",
            dtype_info(s->formats.embed)->name,
            c->tied_head ? "tied" : dtype_info(s->formats.head)->name, t->m);
    for (size_t i = 0; i < t->n_segments; i++)
        fprintf(stderr, " %zd: %zu,", (ssize_t)t->segments[i].parent, t->segments[i].n);
    fputc('\n', stderr);
}

/* got = want, n bytes for bytes; per: values of a row. */
static void same(const struct world *w, const char *law, size_t n, size_t per, const float *got,
                 const float *want)
{
    size_t i = 0;

    if (memcmp(got, want, n * sizeof *got) == 0)
        return;
    while (float_bits(got[i]) == float_bits(want[i]))
        i++;
    fprintf(stderr,
            "%s (%s, %d threads): row %zu, value %zu of %zu: %.9g (%08x), not %.9g (%08x)\n", law,
            ops_machine(), parallel_threads(), i / per, i % per, per, (double)got[i],
            float_bits(got[i]), (double)want[i], float_bits(want[i]));
    print_shape(&w->shape, &w->trees);
    abort();
}

static void compute_with(int threads, const char *machine)
{
    parallel_set_threads(threads);
    check(ops_choose_machine(machine));
}

/* Some number of threads and, now and then, another table than the best: plain C takes long. */
static void compute_anyhow(struct world *w)
{
    const struct kernels *const *tables;
    const size_t n = kernels_available(&tables);

    compute_with(1 + (int)dice_below(&w->dice, 4),
                 dice_below(&w->dice, 4) > 0 ? NULL : tables[dice_below(&w->dice, n)]->name);
}

static struct batch batch_of(const struct growth *g)
{
    return (struct batch){.m = g->m, .tokens = g->tokens, .spans = g->spans, .n_spans = g->n_spans};
}

enum cut { AT_ONCE, ONE_BY_ONE, IN_PIECES };

/* [M, C + V] */
static float *computed(struct world *w, enum cut how)
{
    struct rig *r = &w->rig;
    const size_t c = w->shape.config.width, v = w->shape.config.vocab;
    struct growth g = growth_begin(&w->trees, r->pool, &r->arena);
    float *out = ARENA_ARRAY(&r->arena, float, w->trees.m *(c + v)),
          *logits = ARENA_ARRAY(&r->arena, float, w->trees.m *v);

    while (how == ONE_BY_ONE ? growth_row(&g) : growth_step(&g, how == AT_ONCE ? NULL : &w->dice)) {
        const struct batch b = batch_of(&g);
        const float *hidden = rig_forward(r, w->ad, &b);

        logits_of(r->model, g.m, hidden, logits, v);
        for (size_t i = 0; i < g.m; i++) {
            float *row = out + g.rows[i] * (c + v);

            memcpy(row, hidden + i * c, c * sizeof *row);
            memcpy(row + c, logits + i * v, v * sizeof *row);
        }
    }
    growth_end(&g);
    return out;
}

/* ---- laws ---- */

static void same_rows(const struct world *w, const char *law, const float *got)
{
    const size_t per = w->shape.config.width + w->shape.config.vocab;

    same(w, law, w->trees.m * per, per, got, w->want);
}

static void rows_are_as_if_alone(struct world *w)
{
    compute_with(1, NULL);
    same_rows(w, "one row at a time", computed(w, ONE_BY_ONE));
    same_rows(w, "in pieces", computed(w, IN_PIECES));
    compute_anyhow(w);
    same_rows(w, "in pieces", computed(w, IN_PIECES));
}

static void threads_change_nothing(struct world *w)
{
    for (int n = 2; n <= 4; n++) {
        compute_with(n, NULL);
        same_rows(w, "threads", computed(w, AT_ONCE));
    }
}

static void machines_change_nothing(struct world *w)
{
    const struct kernels *const *tables;
    const size_t n = kernels_available(&tables);

    for (size_t i = 0; i < n; i++) {
        compute_with(1, tables[i]->name);
        same_rows(w, "machines", computed(w, AT_ONCE));
    }
}

/* Computed in pieces; what was kept of each row: of one in `leave_out` nothing (0: of all something). */
static struct saved_row **kept(struct world *w, struct saved_pool *pool, size_t leave_out)
{
    struct rig *r = &w->rig;
    struct saved_row **known = ARENA_ARRAY(&r->arena, struct saved_row *, w->trees.m),
                     **to = ARENA_ARRAY(&r->arena, struct saved_row *, w->trees.m);
    float *hidden = ARENA_ARRAY(&r->arena, float, w->trees.m * w->shape.config.width);
    struct growth g = growth_begin(&w->trees, r->pool, &r->arena);
    struct error err = {0};

    saved_clear(pool);
    compute_anyhow(w);
    while (growth_step(&g, &w->dice)) {
        const struct batch b = batch_of(&g);

        for (size_t i = 0; i < g.m; i++)
            to[i] = leave_out > 0 && dice_below(&w->dice, leave_out) == 0 ? NULL
                                                                          : saved_take_any(pool, 0);
        must(forward_saving(r->model, w->ad, r->work, &b, to, hidden, &err), &err);
        for (size_t i = 0; i < g.m; i++)
            known[g.rows[i]] = to[i];
    }
    growth_end(&g);
    return known;
}

/* A pass over all rows, anyhow: the adapter's gradients; its hidden states are those of forward. */
static float *gradients(struct world *w, struct saved_pool *pool, struct saved_row *const *known,
                        const char *law)
{
    struct rig *r = &w->rig;
    const size_t c = w->shape.config.width, v = w->shape.config.vocab, m = w->trees.m,
                 n_grads = w->ad != NULL ? w->ad->n_values : 0;
    float *hidden = ARENA_ARRAY(&r->arena, float, m *c + PANEL),
          *d_hidden = ARENA_ARRAY(&r->arena, float, m *c + PANEL),
          *grads = ARENA_ARRAY(&r->arena, float, n_grads + 1);
    struct growth g = growth_begin(&w->trees, r->pool, &r->arena);
    struct training_pass *p = NULL;
    struct dice d = {1};
    struct error err = {0};

    compute_anyhow(w);
    check(growth_step(&g, NULL));
    const struct batch b = batch_of(&g);
    must(training_forward(r->model, w->ad, r->work, &b, pool, known, hidden, &p, &err), &err);
    for (size_t i = 0; i < m; i++)
        same(w, law, c, c, hidden + i * c, w->want + i * (c + v));
    dice_fill(&d, ORDINARY, d_hidden, m * c);
    if (w->ad != NULL)
        memset(w->ad->grads, 0, n_grads * sizeof *grads);
    training_backward(p, d_hidden);
    training_pass_release(p);
    if (w->ad != NULL)
        memcpy(grads, w->ad->grads, n_grads * sizeof *grads);
    growth_end(&g);
    return grads;
}

static void what_was_known_changes_nothing(struct world *w)
{
    const struct model_config *c = &w->shape.config;
    const size_t m = w->trees.m, n = w->ad != NULL ? w->ad->n_values : 0,
                 n_whole[] = {m, 0, dice_below(&w->dice, m + 1)}; /* the others lean */
    static const char *const names[][2] = {
        {"whole rows known", "whole rows known, some not"},
        {"lean rows known", "lean rows known, some not"},
        {"some lean rows known", "some lean rows known, some not"}};
    struct saved_pool *room = NULL;
    struct error err = {0};

    must(saved_pool_open(c, w->shape.rank, m * saved_row_bytes(c, w->shape.rank), &room, &err),
         &err);
    const float *want = gradients(w, NULL, NULL, "none known");
    same(w, "gradients, none known, with room", n, n, gradients(w, room, NULL, "with room"), want);
    for (size_t i = 0; i < COUNT_OF(n_whole); i++) {
        const size_t leave_out = 2 + dice_below(&w->dice, 20);
        struct saved_pool *pool = NULL;

        must(saved_pool_open(c, w->shape.rank, n_whole[i] * saved_row_bytes(c, w->shape.rank),
                             &pool, &err) &&
                 saved_pool_add_lean(pool, c, m * saved_lean_bytes(c), &err),
             &err);
        same(w, names[i][0], n, n, gradients(w, NULL, kept(w, pool, 0), names[i][0]), want);
        struct saved_row **known = kept(w, pool, leave_out);
        same(w, names[i][1], n, n,
             gradients(w, dice_below(&w->dice, 2) == 0 ? room : NULL, known, names[i][1]), want);
        saved_pool_close(pool);
    }
    check(saved_pool_free(room) == m);
    saved_pool_close(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct source s = source_of(data, size);
    struct world w = {0};

    compute_with(1, NULL);
    world_open(&w, &s);
    w.want = computed(&w, AT_ONCE);
    rows_are_as_if_alone(&w);
    threads_change_nothing(&w);
    machines_change_nothing(&w);
    what_was_known_changes_nothing(&w);
    world_close(&w);
    return 0;
}
