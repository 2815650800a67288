/*
 * rig.c - opening and closing, and forward passes without ceremony.
 */
#include "support/rig.h"
#include "base/file.h"
#include "support/numbers.h"

#define POOL_BYTES ((size_t)256 << 20)

static bool rounds;
static enum kv_cache cache; /* of tiny models */

void rig_round_tiny(void)
{
    rounds = true;
}

void rig_cache_tiny(enum kv_cache k)
{
    cache = k;
}

static void open_with(struct rig *r, const char *path, enum kv_cache k)
{
    struct error err = {0};

    ASSERT_OK(model_open(path, 0, &r->model, &err));
    r->model->config.kv_cache = k;
    ASSERT_OK(kv_pool_open(&r->model->config, POOL_BYTES, &r->pool, &err));
    ASSERT_OK(workspace_open(r->model, &r->work, &err));
}

void rig_open(struct rig *r, const char *path)
{
    open_with(r, path, KV_CACHE_F32);
}

void rig_open_tiny(struct rig *r)
{
    *r = (struct rig){0};
    open_with(r, golden_path(&r->arena, rounds ? "tiny/tiny-q4_1.gguf" : "tiny/hf"), cache);
    if (rounds)
        r->model->precision = PRECISION_INT8;
}

void rig_close(struct rig *r)
{
    assert_int_equal(kv_pool_pages_in_use(r->pool), 0);
    workspace_close(r->work);
    kv_pool_close(r->pool);
    model_close(r->model);
    arena_release(&r->arena);
}

const char *demo_model_path(struct arena *a)
{
    char *path = file_join(a, SOURCE_DIR, "models/SmolLM2-135M-Instruct.Q4_1.gguf");

    if (!file_exists(path))
        fail_msg("the demo model is missing: run scripts/demo-model, which puts it at %s", path);
    return path;
}

float *rig_forward(struct rig *r, const struct adapter *ad, const struct batch *b)
{
    struct error err = {0};
    float *hidden = ARENA_ARRAY(&r->arena, float, b->m * r->model->config.width);

    for (size_t i = 0; i < b->n_spans; i++)
        ASSERT_OK(kv_segment_reserve(r->pool, b->spans[i].seg, b->spans[i].n_rows, &err));
    ASSERT_OK(forward(r->model, ad, r->work, b, hidden, &err));
    return hidden;
}

float *rig_read(struct rig *r, const struct adapter *ad, const token_id *tokens, size_t n)
{
    const struct span span = {.seg = kv_segment_new(r->pool, NULL), .n_rows = n};
    const struct batch b = {.m = n, .tokens = tokens, .spans = &span, .n_spans = 1};
    float *hidden = rig_forward(r, ad, &b);

    kv_segment_release(r->pool, span.seg);
    return hidden;
}

struct adapter *random_adapter(const struct model_config *c, size_t rank, uint64_t seed)
{
    struct adapter *a = NULL;
    struct error err = {0};
    struct dice d = {seed};

    ASSERT_OK(adapter_new(c, rank, 2 * (float)rank, seed, &a, &err));
    for (size_t i = 0; i < a->n_values; i++)
        a->values[i] = dice_float(&d, -0.1f, 0.1f);
    adapter_changed(a);
    return a;
}
