/*
 * graded.c - rows, targets, and the gradient at the head.
 */
#include "support/graded.h"
#include "base/size.h"
#include "model/training_pass.h"

#include <math.h>

struct graded graded_open(const char *name, struct arena *a)
{
    struct graded g = {.json = golden_json(name)};
    const json_t *prompts = json_object_get(g.json, "prompts");

    g.n_prompts = json_array_size(prompts);
    assert_true(g.n_prompts > 0);
    g.prompts = ARENA_ARRAY(a, struct graded_prompt, g.n_prompts);
    for (size_t i = 0; i < g.n_prompts; i++) {
        const json_t *prompt = json_array_get(prompts, i),
                     *answers = json_object_get(prompt, "continuations");
        struct graded_prompt *p = &g.prompts[i];

        p->ids = json_ids(json_object_get(prompt, "ids"), a, &p->n);
        p->n_answers = json_array_size(answers);
        p->answers = ARENA_ARRAY(a, struct graded_answer, p->n_answers);
        for (size_t j = 0; j < p->n_answers; j++) {
            const json_t *answer = json_array_get(answers, j);
            struct graded_answer *s = &p->answers[j];
            size_t n_coefficients, n_logprobs;

            s->ids = json_ids(json_object_get(answer, "ids"), a, &s->n);
            s->coefficients =
                json_floats(json_object_get(answer, "coefficients"), a, &n_coefficients);
            s->logprobs = json_floats(json_object_get(answer, "logprobs"), a, &n_logprobs);
            assert_int_equal(n_coefficients, s->n);
            assert_int_equal(n_logprobs, s->n);
        }
    }
    return g;
}

void graded_close(struct graded *g)
{
    json_decref(g->json);
}

/* n tokens as the rows of a new segment. */
static struct kv_segment *put_rows(struct laid *b, struct kv_pool *pool, struct kv_segment *parent,
                                   size_t start, const token_id *ids, size_t n)
{
    struct kv_segment *seg = kv_segment_new_at(pool, parent, start);
    struct error err = {0};

    ASSERT_OK(kv_segment_reserve(pool, seg, n, &err));
    memcpy(b->tokens + b->m, ids, n * sizeof *ids);
    b->m += n;
    b->spans[b->n_spans++] = (struct span){.seg = seg, .n_rows = n};
    return seg;
}

/* The rows after which the tokens of an answer are asked for: before is the prompt's last, own the answer's first. */
static void put_targets(struct laid *b, const struct graded_answer *s, size_t before, size_t own)
{
    for (size_t t = 0; t < s->n; t++)
        b->targets[b->n_targets++] = (struct graded_target){.row = t == 0 ? before : own + t - 1,
                                                            .id = s->ids[t],
                                                            .coefficient = s->coefficients[t],
                                                            .expected = s->logprobs[t]};
}

static struct laid lay(const struct graded *g, size_t first, size_t n, enum layout layout,
                       struct rig *r)
{
    struct laid b = {0};
    size_t most = 0, answers = 0;

    for (size_t i = 0; i < g->n_prompts; i++) {
        for (size_t j = 0; j < g->prompts[i].n_answers; j++)
            most += g->prompts[i].n + g->prompts[i].answers[j].n;
        answers += 1 + g->prompts[i].n_answers;
    }
    b.tokens = ARENA_ARRAY(&r->arena, token_id, most);
    b.targets = ARENA_ARRAY(&r->arena, struct graded_target, most);
    b.spans = ARENA_ARRAY(&r->arena, struct span, 2 * answers);
    for (size_t i = first; i < first + n; i++) {
        const struct graded_prompt *p = &g->prompts[i];
        struct kv_segment *trunk = NULL;
        size_t last = 0;

        if (layout == LAYOUT_SHARED) {
            trunk = put_rows(&b, r->pool, NULL, 0, p->ids, p->n);
            last = b.m - 1;
        }
        for (size_t j = 0; j < p->n_answers; j++) {
            const struct graded_answer *s = &p->answers[j];

            if (layout == LAYOUT_SHARED) {
                put_targets(&b, s, last, b.m);
                if (s->n > 1) /* after the last token nothing is asked */
                    put_rows(&b, r->pool, trunk, p->n, s->ids, s->n - 1);
                continue;
            }
            token_id *whole = ARENA_ARRAY(&r->arena, token_id, p->n + s->n);

            memcpy(whole, p->ids, p->n * sizeof *whole);
            memcpy(whole + p->n, s->ids, s->n * sizeof *whole);
            put_targets(&b, s, b.m + p->n - 1, b.m + p->n);
            put_rows(&b, r->pool, NULL, 0, whole, p->n + s->n - 1);
        }
    }
    return b;
}

static void unlay(struct laid *b, struct kv_pool *pool)
{
    for (size_t i = 0; i < b->n_spans; i++)
        kv_segment_release(pool, b->spans[i].seg);
}

/* One row: logits become d loss / d logits, those before their cap; returns the loss of its targets. */
static double row_loss(struct laid *b, size_t row, size_t v, double cap, float *logits)
{
    double most = -(double)INFINITY, total = 0, sum = 0, loss = 0;
    float *capped = malloc(v * sizeof *capped);

    if (capped == NULL)
        abort();
    memcpy(capped, logits, v * sizeof *capped);

    for (size_t i = 0; i < v; i++)
        most = fmax(most, (double)logits[i]);
    for (size_t i = 0; i < v; i++)
        total += exp((double)logits[i] - most);
    for (size_t t = 0; t < b->n_targets; t++) {
        struct graded_target *x = &b->targets[t];

        if (x->row != row)
            continue;
        x->logprob = (double)logits[x->id] - most - log(total);
        loss -= (double)x->coefficient * x->logprob;
        sum += (double)x->coefficient;
    }
    for (size_t i = 0; i < v; i++)
        logits[i] = (float)(sum * exp((double)logits[i] - most) / total);
    for (size_t t = 0; t < b->n_targets; t++)
        if (b->targets[t].row == row)
            logits[b->targets[t].id] -= b->targets[t].coefficient;
    for (size_t i = 0; cap > 0 && i < v; i++)
        logits[i] *= (float)(1 - (double)capped[i] / cap * (double)capped[i] / cap);
    free(capped);
    return loss;
}

#define ROWS 32

static double head_back(const struct model *m, struct laid *b, const float *hidden, bool train_head,
                        float *d_hidden)
{
    const size_t v = m->config.vocab, c = m->config.width;
    struct arena a = {0};
    float *logits = ARENA_ARRAY(&a, float, ROWS *v + 16);
    double loss = 0;

    for (size_t from = 0; from < b->m; from += ROWS) {
        const size_t n = size_min(ROWS, b->m - from);

        logits_of(m, n, hidden + from * c, logits, v);
        for (size_t i = 0; i < n; i++)
            loss += row_loss(b, from + i, v, m->config.logit_cap, logits + i * v);
        matmul_back_x(&m->head, n, logits, v, d_hidden + from * c, c, false);
        for (size_t i = 0; train_head && i < n; i++)
            for (size_t id = 0; id < v; id++)
                for (size_t j = 0; j < c; j++)
                    m->full->d_head[id * c + j] += logits[i * v + id] * hidden[(from + i) * c + j];
    }
    arena_release(&a);
    return loss;
}

double graded_pass(const struct graded *g, size_t first, size_t n, enum layout layout,
                   struct rig *r, struct adapter *ad, bool keep_all, double *worst)
{
    const size_t c = r->model->config.width;
    struct laid b = lay(g, first, n, layout, r);
    const struct batch batch = {
        .m = b.m, .tokens = b.tokens, .spans = b.spans, .n_spans = b.n_spans};
    float *hidden = ARENA_ARRAY(&r->arena, float, b.m *c + 16),
          *d_hidden = ARENA_ARRAY(&r->arena, float, b.m *c + 16);
    struct training_pass *pass = NULL;
    struct saved_pool *saved = NULL;
    struct error err = {0};

    if (keep_all)
        ASSERT_OK(saved_pool_open(&r->model->config, ad != NULL ? ad->rank : 0, (size_t)4 << 30,
                                  &saved, &err));
    ASSERT_OK(training_forward(r->model, ad, r->work, &batch, saved, NULL, hidden, &pass, &err));
    const double loss =
        head_back(r->model, &b, hidden, ad == NULL && r->model->full != NULL, d_hidden);
    training_backward(pass, d_hidden);
    training_pass_release(pass);
    saved_pool_close(saved);
    for (size_t t = 0; worst != NULL && t < b.n_targets; t++)
        *worst = fmax(*worst, fabs(b.targets[t].logprob - (double)b.targets[t].expected));
    unlay(&b, r->pool);
    return loss;
}

double graded_loss(const struct graded *g, struct rig *r, const struct adapter *ad)
{
    struct laid b = lay(g, 0, g->n_prompts, LAYOUT_SHARED, r);
    const struct batch batch = {
        .m = b.m, .tokens = b.tokens, .spans = b.spans, .n_spans = b.n_spans};
    const float *hidden = rig_forward(r, ad, &batch);
    float *d_hidden = ARENA_ARRAY(&r->arena, float, b.m * r->model->config.width);
    const double loss = head_back(r->model, &b, hidden, false, d_hidden);

    unlay(&b, r->pool);
    return loss;
}
