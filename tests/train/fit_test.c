/*
 * fit_test.c - laws of supervised fine-tuning and dpo, on a model of a few thousand weights: the losses are what their
 * formulas say, gradients are derivatives, and threads, kernels, kills and shared beginnings change no bit.
 */
#include "base/file.h"
#include "base/parallel.h"
#include "base/size.h"
#include "support/rig.h"
#include "support/support.h"
#include "tensor/cpu/kernels.h"
#include "train/checkpoint.h"
#include "train/fit.h"
#include "train/fit_rows.h"
#include "train/gradient.h"
#include "train/preference.h"
#include "train/supervised.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROWS 10

struct world {
    struct arena arena;
    char *dir;
    struct model *model;
    struct prompter *prompter;
    struct dataset train, valid;
    struct recipe recipe;
    const struct adapter *start;
};

struct seen {
    size_t n_steps, kill_at, stop_at;
    struct fit_metrics first, last;
    bool epoch_told[64], valid_told[64], full_told[64];
    char events[4096];
    atomic_bool stop;
};

static bool on_event(void *ctx, enum event_level level, const char *message, struct error *err)
{
    struct seen *s = ctx;
    const size_t at = strlen(s->events);

    (void)level;
    (void)err;
    snprintf(s->events + at, sizeof s->events - at, "%s\n", message);
    return true;
}

static bool on_fit_step(void *ctx, const struct fit_metrics *m, struct error *err)
{
    struct seen *s = ctx;

    (void)err;
    if (s->n_steps++ == 0)
        s->first = *m;
    s->last = *m;
    s->epoch_told[m->step] = m->epoch_ends;
    s->valid_told[m->step] = m->has_valid;
    s->full_told[m->step] = m->has_full_valid;
    if (s->kill_at == m->step)
        kill(getpid(), SIGKILL);
    if (s->stop_at == m->step)
        atomic_store(&s->stop, true);
    return true;
}

static const char *put(struct world *w, const char *name, const char *text)
{
    const char *path = file_join(&w->arena, w->dir, name);
    struct error err;

    ASSERT_OK(file_put(path, str_of(text), &err));
    return path;
}

#define ASK(i) "{\"role\":\"user\",\"content\":\"case " i "\"}"

static void write_rows(struct world *w, const char *name, enum train_method method, int from)
{
    const char *text = "";

    for (int i = from; i < from + ROWS; i++)
        text = arena_printf(
            &w->arena,
            method == METHOD_DPO
                ? "%s{\"input\":{\"messages\":[" ASK(
                      "%d") "]},\"preferred_output\":[{\"role\":\"assistant\",\"content\":\"all %c\"}],"
                            "\"non_preferred_output\":[{\"role\":\"assistant\",\"content\":\"all of x\"}]}\n"
                : "%s{\"messages\":[" ASK("%d") ",{\"role\":\"assistant\",\"content\":\"%c said\"}," ASK(
                      "more") ",{\"role\":"
                              "\"assistant\",\"content\":\"no\"}]}\n",
            text, i, "abc"[i % 3]);
    put(w, name, text);
}

static int open_world(void **state, enum train_method method)
{
    struct world *w = calloc(1, sizeof *w);
    struct error err;

    w->dir = test_dir_make(&w->arena);
    write_rows(w, "train.jsonl", method, 0);
    write_rows(w, "valid.jsonl", method, 40);
    ASSERT_OK(model_open(golden_path(&w->arena, "tiny/hf"), 128, &w->model, &err));
    ASSERT_OK(prompter_open(w->model, NULL, &w->prompter, &err));
    ASSERT_OK(dataset_open_as(file_join(&w->arena, w->dir, "train.jsonl"), fit_format(method),
                              &w->train, &err));
    ASSERT_OK(dataset_open_as(file_join(&w->arena, w->dir, "valid.jsonl"), fit_format(method),
                              &w->valid, &err));
    w->recipe = recipe_defaults_of(method, &w->model->config);
    w->recipe.batch_size = 4;
    w->recipe.n_epochs = 3;
    w->recipe.lora_rank = 4;
    w->recipe.learning_rate = 5e-3;
    w->recipe.checkpoint_interval = 2;
    *state = w;
    return 0;
}

static int open_supervised(void **state)
{
    return open_world(state, METHOD_SUPERVISED);
}

static int open_dpo(void **state)
{
    return open_world(state, METHOD_DPO);
}

static int close_world(void **state)
{
    struct world *w = *state;

    dataset_close(&w->train);
    dataset_close(&w->valid);
    prompter_close(w->prompter);
    model_close(w->model);
    test_dir_remove(w->dir);
    arena_release(&w->arena);
    free(w);
    return 0;
}

static bool run(struct world *w, const char *name, bool resume, struct seen *s,
                struct fit_result *out, struct error *err)
{
    const struct progress_sink sink = {.ctx = s, .event = on_event, .fit_step = on_fit_step};
    const struct fit_inputs in = {.model = w->model,
                                  .prompter = w->prompter,
                                  .train = &w->train,
                                  .valid = w->valid.n_rows > 0 ? &w->valid : NULL,
                                  .recipe = &w->recipe,
                                  .run_dir = file_join(&w->arena, w->dir, name),
                                  .base_name = "tiny",
                                  .start = w->start,
                                  .resume = resume,
                                  .sink = &sink,
                                  .stop = &s->stop};

    return file_make_dirs(in.run_dir, err) && fit(&in, out, err);
}

static struct fit_rows rows_of(struct world *w)
{
    struct fit_rows rows = {0};
    struct error err;

    ASSERT_OK(fit_rows_make(w->prompter, &w->train, w->recipe.method, w->model->max_positions,
                            &w->arena, &rows, &err));
    return rows;
}

/* ---- what the numbers are ---- */

/* A whole sequence scored from its first token on, and the learned tokens of it added up. */
static double scored(struct world *w, struct engine *e, const struct adapter *ad,
                     const struct tree_group *g, size_t answer, size_t *n)
{
    const struct tree_answer *s = &g->answers[answer];
    const size_t all = g->n_prompt + s->n;
    token_id *ids = ARENA_ARRAY(&w->arena, token_id, all);
    float *logprobs = ARENA_ARRAY(&w->arena, float, all);
    struct error err;
    double sum = 0;

    memcpy(ids, g->prompt, g->n_prompt * sizeof *ids);
    memcpy(ids + g->n_prompt, s->tokens, s->n * sizeof *ids);
    ASSERT_OK(engine_score(e, ad, ids, all, 1, logprobs, &err));
    *n = 0;
    for (size_t k = 0; k < s->n; k++)
        if (s->masked == NULL || !s->masked[k]) {
            sum += (double)logprobs[g->n_prompt + k];
            ++*n;
        }
    return sum;
}

static struct engine *open_engine(struct world *w)
{
    const struct engine_options eo = engine_defaults(w->model);
    struct engine *e = NULL;
    struct error err;

    ASSERT_OK(engine_open(w->model, prompter_tokenizer(w->prompter), &eo, &e, &err));
    return e;
}

static void the_first_loss_is_the_mean_of_what_score_says(void **state)
{
    struct world *w = *state;
    const struct fit_rows rows = rows_of(w);
    struct engine *e = open_engine(w);
    struct fit_result r;
    struct seen s = {0};
    struct error err;
    double sum = 0;
    size_t tokens = 0, n;

    w->recipe.batch_size = ROWS; /* the whole file is the first batch, in whatever order */
    ASSERT_OK(run(w, "run", false, &s, &r, &err));
    for (size_t i = 0; i < rows.n; i++)
        for (size_t k = 0; k < rows.groups[i].n_answers; k++) {
            sum += scored(w, e, NULL, &rows.groups[i], k, &n);
            tokens += n;
        }
    assert_int_equal(tokens, rows.total_learned);
    assert_int_equal(s.first.train.n_tokens, tokens);
    ASSERT_NEAR(s.first.train.loss, -sum / (double)tokens, 1e-12); /* the order of the sum apart */
    assert_true(r.first_loss == s.first.train.loss);
    engine_close(e);
}

static void each_answer_is_worth_the_very_bits_that_score_says(void **state)
{
    struct world *w = *state;
    const struct fit_rows rows = rows_of(w);
    struct engine *e = open_engine(w);
    struct adapter *ad = random_adapter(&w->model->config, 4, 5);
    const struct gradient x = {.model = w->model, .adapter = ad, .engine = e, .pass_rows = 100};
    const size_t n_answers = rows.first_answer[rows.n];
    struct answer_logp *answers = ARENA_ARRAY(&w->arena, struct answer_logp, n_answers);
    struct error err;
    size_t at = 0, n;

    ASSERT_OK(gradient_look(&x, rows.groups, rows.n, 1, answers, &err));
    for (size_t i = 0; i < rows.n; i++) {
        assert_int_equal(rows.first_answer[i], at);
        for (size_t k = 0; k < rows.groups[i].n_answers; k++, at++) {
            assert_true(scored(w, e, ad, &rows.groups[i], k, &n) == answers[at].logp);
            assert_int_equal(n, answers[at].n);
            assert_true(answers[at].n_top <= n);
        }
    }
    adapter_close(ad);
    engine_close(e);
}

static void dpo_begins_at_ln_2_exactly(void **state)
{
    struct world *w = *state;
    struct fit_result r;
    struct seen s = {0};
    struct error err;

    ASSERT_OK(run(w, "run", false, &s, &r, &err));
    assert_true(s.first.train.reward_chosen == 0 && s.first.train.reward_rejected == 0);
    ASSERT_NEAR(s.first.train.loss, log(2), 1e-15);
    assert_true(r.valid.reward_accuracy == 1);
    assert_true(r.valid.reward_margin > 0.5);
    assert_true(r.valid.loss < 0.5);
}

/* ---- gradients ---- */

struct objective {
    struct world *w;
    const struct fit_rows *rows;
    struct gradient x;
    const double *reference; /* NULL: supervised */
};

static void weigh(void *ctx, size_t first, size_t n, const struct answer_logp *answers,
                  float *coefficients)
{
    const struct objective *o = ctx;

    preference_weigh(o->w->recipe.beta, o->reference + first, answers, n, coefficients);
}

static double loss_at(const struct objective *o)
{
    const size_t n = o->rows->first_answer[o->rows->n];
    struct answer_logp *answers = ARENA_ARRAY(&o->w->arena, struct answer_logp, n);
    struct error err;

    adapter_changed(o->x.adapter);
    ASSERT_OK(gradient_look(&o->x, o->rows->groups, o->rows->n, 1, answers, &err));
    return o->reference != NULL
               ? preference_measure(o->w->recipe.beta, o->reference, answers, n).loss
               : supervised_measure(answers, n, o->rows->n).loss;
}

/* Along random directions: a single entry moves the loss by less than a float resolves. */
static void assert_gradient(struct world *w, bool dpo, size_t pass_rows)
{
    const struct fit_rows rows = rows_of(w);
    struct engine *e = open_engine(w);
    struct adapter *ad = random_adapter(&w->model->config, 4, 5);
    struct saved_pool *saved = NULL;
    struct objective o = {.w = w, .rows = &rows};
    const size_t n_answers = rows.first_answer[rows.n];
    double *reference = ARENA_ARRAY(&w->arena, double, n_answers);
    struct loss_sums sums = {0};
    struct error err;
    size_t computed = 0, n;

    ASSERT_OK(adapter_want_grads(ad, &err));
    ASSERT_OK(saved_pool_open(&w->model->config, 4, 1 << 24, &saved, &err));
    for (size_t i = 0, at = 0; i < rows.n; i++)
        for (size_t k = 0; k < rows.groups[i].n_answers; k++)
            reference[at++] = scored(w, e, NULL, &rows.groups[i], k, &n);
    o.reference = dpo ? reference : NULL;
    o.x = (struct gradient){.model = w->model,
                            .adapter = ad,
                            .engine = e,
                            .saved = saved,
                            .pass_rows = pass_rows,
                            .ctx = &o,
                            .weigh = dpo ? weigh : NULL};
    const struct loss_options opt = {.inv_t = 1,
                                     .n = dpo ? (double)rows.n : (double)rows.total_learned};
    ASSERT_OK(gradient_add(&o.x, rows.groups, rows.n, &opt, &sums, &computed, &err));
    float *at = ARENA_ARRAY(&w->arena, float, ad->n_values);
    memcpy(at, ad->values, ad->n_values * sizeof *at);
    for (uint32_t d = 0; d < 4; d++) {
        const float h = 2e-3f;
        double along = 0, moved[2], size = 0;

        for (int side = 0; side < 2; side++) {
            for (size_t i = 0; i < ad->n_values; i++) {
                const float v = 2 * philox_uniform(1, PHILOX_TEST, d, (uint32_t)i, 0, 0) - 1;

                ad->values[i] = at[i] + (side == 0 ? h : -h) * v;
                along += side == 0 ? (double)(v * ad->grads[i]) : 0;
                size += side == 0 ? (double)(ad->grads[i] * ad->grads[i]) : 0;
            }
            moved[side] = loss_at(&o);
        }
        ASSERT_NEAR((moved[0] - moved[1]) / (2 * (double)h), along,
                    2e-3 * sqrt(size) + 2e-3 * fabs(along));
        assert_true(fabs(along) > 0.02 * sqrt(size)); /* the direction says something */
    }
    saved_pool_close(saved);
    adapter_close(ad);
    engine_close(e);
}

static void the_supervised_gradient_is_the_derivative(void **state)
{
    assert_gradient(*state, false, 512);
    assert_gradient(*state, false, 30); /* in several passes */
}

static void the_gradient_of_dpo_is_the_derivative(void **state)
{
    assert_gradient(*state, true, 512);
    assert_gradient(*state, true, 30);
}

/* numbers by hand, with numpy: beta 0.5, pairs (-3, -5) and (-7, -4), reference (-4, -4.5) and (-6, -6) */
static void the_loss_of_dpo_is_that_of_the_paper(void **state)
{
    (void)state;
    const struct answer_logp answers[] = {{.logp = -3, .n = 2, .n_top = 1},
                                          {.logp = -5, .n = 9},
                                          {.logp = -7, .n = 3, .n_top = 3},
                                          {.logp = -4, .n = 9}};
    const double reference[] = {-4, -4.5, -6, -6};
    const struct fit_measure m = preference_measure(0.5, reference, answers, 4);
    float c[4];

    ASSERT_NEAR(m.loss, (0.38687101 + 1.70141328) / 2, 1e-8);
    ASSERT_NEAR(m.reward_chosen, 0, 1e-12);
    ASSERT_NEAR(m.reward_rejected, 0.375, 1e-12);
    ASSERT_NEAR(m.reward_margin, -0.375, 1e-12);
    ASSERT_NEAR(m.reward_accuracy, 0.5, 1e-12);
    ASSERT_NEAR(m.token_accuracy, 0.8, 1e-12);
    preference_weigh(0.5, reference, answers, 4, c);
    ASSERT_NEAR(c[0], 0.5 * 0.32082130, 1e-7);
    ASSERT_NEAR(c[2], 0.5 * 0.81757448, 1e-7);
    assert_true(c[1] == -c[0] && c[3] == -c[2]);
    /* far out nothing overflows */
    const struct answer_logp far[] = {{.logp = -1e5, .n = 1}, {.logp = 0, .n = 1}};
    const double none[] = {0, 0};
    ASSERT_NEAR(preference_measure(1, none, far, 2).loss, 1e5, 1e-6);
    preference_weigh(1, none, far, 2, c);
    assert_true(c[0] == 1 && c[1] == -1);
}

/* ---- which rows, when ---- */

static void a_turn_is_learned_as_a_row_of_its_own_would_be(void **state)
{
    struct world *w = *state;
    const struct fit_rows together = rows_of(w);
    const char *text = "";
    struct dataset apart = {0};
    struct fit_rows split;
    struct error err;

    for (int i = 0; i < ROWS; i++)
        text = arena_printf(
            &w->arena,
            "%s{\"messages\":[" ASK(
                "%d") ",{\"role\":\"assistant\",\"content\":\"%c said\"}]}\n"
                      "{\"messages\":[" ASK(
                          "%d") ",{\"role\":\"assistant\",\"content\":\"%c said\","
                                "\"weight\":0}," ASK(
                                    "more") ",{\"role\":\"assistant\",\"content\":\"no\"}]}\n",
            text, i, "abc"[i % 3], i, "abc"[i % 3]);
    ASSERT_OK(dataset_open_as(put(w, "apart.jsonl", text), DATASET_SUPERVISED, &apart, &err));
    ASSERT_OK(fit_rows_make(w->prompter, &apart, METHOD_SUPERVISED, 128, &w->arena, &split, &err));
    assert_int_equal(together.total_learned, split.total_learned);
    assert_int_equal(together.first_answer[together.n], split.first_answer[split.n]);
    for (size_t i = 0; i < together.n; i++) { /* and costs no row more */
        assert_int_equal(together.groups[i].n_answers, 2);
        assert_int_equal(tree_rows(&together.groups[i], 1, &w->arena),
                         tree_rows(&split.groups[2 * i], 2, &w->arena));
    }
    dataset_close(&apart);
}

static void every_row_is_learned_once_an_epoch_and_ends_are_measured(void **state)
{
    struct world *w = *state;
    const struct fit_rows rows = rows_of(w);
    struct fit_result r;
    struct seen s = {0};
    struct error err;

    w->recipe.n_epochs = 5;
    w->recipe.eval_interval = 2;
    w->recipe.checkpoint_interval = 100;
    ASSERT_OK(run(w, "run", false, &s, &r, &err)); /* 4, 4 and 2 rows */
    assert_int_equal(r.steps, 15);
    assert_int_equal(r.n_epochs, 5);
    assert_int_equal(r.trained_tokens, 5 * rows.total_learned);
    assert_int_equal(s.first.train.n_rows, 4);
    assert_int_equal(s.last.train.n_rows, 2);
    assert_int_equal(s.last.epoch, 5);
    for (size_t i = 1; i <= 15; i++) {
        assert_int_equal(s.epoch_told[i], i % 3 == 0);
        assert_int_equal(s.full_told[i], i % 3 == 0);
        assert_int_equal(s.valid_told[i], i % 3 == 0 || i % 2 == 0);
    }
    assert_true(r.has_valid && r.valid.loss < 0.5 * r.base_valid.loss);
    assert_int_equal(r.valid.n_rows, ROWS);
    assert_true(r.valid.token_accuracy > r.base_valid.token_accuracy);
    const char *kept[] = {"step-9", "step-12", "step-15"}, *gone[] = {"step-3", "step-6"};
    const char *run_dir = file_join(&w->arena, w->dir, "run/checkpoints");
    for (size_t i = 0; i < COUNT_OF(kept); i++)
        assert_true(file_exists(file_join(&w->arena, run_dir, kept[i])));
    for (size_t i = 0; i < COUNT_OF(gone); i++)
        assert_false(file_exists(file_join(&w->arena, run_dir, gone[i])));
}

static void what_is_left_open_follows_from_the_number_of_rows(void **state)
{
    struct world *w = *state;
    struct fit_result r;
    struct seen s = {0};
    struct error err;

    w->recipe.batch_size = w->recipe.n_epochs = 0;
    ASSERT_OK(run(w, "run", false, &s, &r, &err));
    assert_int_equal(s.first.train.n_rows, 1);
    assert_int_equal(r.n_epochs, 3);
    assert_int_equal(r.steps, 3 * ROWS);
    w->recipe.batch_size = 256;
    w->recipe.max_steps = 2;
    s = (struct seen){0};
    ASSERT_OK(run(w, "short", false, &s, &r, &err));
    assert_int_equal(s.first.train.n_rows, ROWS);
    assert_int_equal(r.steps, 2);
    assert_int_equal(r.n_epochs, 2);
}

static void a_row_that_does_not_fit_is_refused(void **state)
{
    struct world *w = *state;
    struct fit_result r;
    struct seen s = {0};
    struct error err;

    dataset_close(&w->valid);
    ASSERT_OK(dataset_open_as(
        put(w, "long.jsonl",
            arena_printf(&w->arena,
                         "{\"messages\":[" ASK("1") ",{\"role\":\"assistant\",\"content\":"
                                                    "\"x\"}]}\n\n{\"messages\":[" ASK(
                                                        "1") ",{\"role\":\"assistant\","
                                                             "\"content\":\"%0150d\"}]}\n",
                         7)),
        DATASET_SUPERVISED, &w->valid, &err));
    ASSERT_FAILS(run(w, "run", false, &s, &r, &err), ERR_LIMIT, "long.jsonl, line 3: the row has");
    assert_int_equal(s.n_steps, 0);
    assert_false(file_exists(file_join(&w->arena, w->dir, "run/checkpoints")));
}

/* ---- no bit changes ---- */

static void threads_memory_and_kernels_change_no_bit(void **state)
{
    struct world *w = *state;
    const struct kernels *const *tables;
    const size_t n = kernels_available(&tables);
    struct fit_result one, other;
    struct seen s = {0};
    struct error err;

    parallel_set_threads(1);
    ASSERT_OK(run(w, "one", false, &s, &one, &err));
    parallel_set_threads(3);
    ASSERT_OK(run(w, "three", false, &s, &other, &err));
    parallel_set_threads(0);
    assert_string_equal(one.adapter_sha256, other.adapter_sha256);
    assert_true(one.valid.loss == other.valid.loss);
    w->recipe.memory_bytes = 1; /* nothing but the layers' inputs is kept */
    ASSERT_OK(run(w, "small", false, &s, &other, &err));
    assert_string_equal(one.adapter_sha256, other.adapter_sha256);
    for (size_t i = 0; i < n; i++) {
        assert_true(kernels_choose(tables[i]->name));
        ASSERT_OK(run(w, tables[i]->name, false, &s, &other, &err));
        assert_string_equal(one.adapter_sha256, other.adapter_sha256);
    }
    assert_true(kernels_choose(NULL));
    w->recipe.seed++;
    ASSERT_OK(run(w, "other", false, &s, &other, &err));
    assert_string_not_equal(one.adapter_sha256, other.adapter_sha256);
}

static void a_killed_run_resumes_to_the_same_adapter(void **state)
{
    struct world *w = *state;
    struct fit_result unbroken, resumed;
    struct seen s = {0};
    struct error err;

    ASSERT_OK(run(w, "unbroken", false, &s, &unbroken, &err));
    for (size_t at = 1; at <= unbroken.steps; at++) {
        char name[32];
        int status;

        snprintf(name, sizeof name, "killed-%zu", at);
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct seen mine = {.kill_at = at};

            _exit(run(w, name, false, &mine, &resumed, &err) ? 0 : 1); /* never comes so far */
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        s = (struct seen){0};
        ASSERT_OK(run(w, name, true, &s, &resumed, &err));
        assert_string_equal(unbroken.adapter_sha256, resumed.adapter_sha256);
        assert_int_equal(unbroken.trained_tokens, resumed.trained_tokens);
        assert_true(unbroken.first_loss == resumed.first_loss);
        assert_true(unbroken.last_loss == resumed.last_loss);
        assert_true(unbroken.valid.loss == resumed.valid.loss);
        assert_true(unbroken.base_valid.loss == resumed.base_valid.loss);
    }
}

static void a_stop_writes_a_checkpoint_and_resumes_to_the_same_adapter(void **state)
{
    struct world *w = *state;
    struct fit_result unbroken, resumed;
    struct seen s = {0}, stopped = {.stop_at = 5}, again = {0};
    struct error err;

    w->recipe.checkpoint_interval = 100;
    ASSERT_OK(run(w, "whole", false, &s, &unbroken, &err));
    ASSERT_FAILS(run(w, "stopped", false, &stopped, &resumed, &err), ERR_CANCELLED, "step 5");
    assert_int_equal(checkpoint_last(file_join(&w->arena, w->dir, "stopped")), 5);
    ASSERT_OK(run(w, "stopped", true, &again, &resumed, &err));
    assert_string_equal(unbroken.adapter_sha256, resumed.adapter_sha256);
    assert_int_equal(again.n_steps, unbroken.steps - 5);
}

static void every_weight_can_be_moved(void **state)
{
    struct world *w = *state;
    struct fit_result r, killed;
    struct seen s = {0};
    struct error err;
    int status;

    w->recipe.lora_rank = 0;
    w->recipe.learning_rate = 2e-3;
    const pid_t child = fork(); /* the weights stay moved in the process that moves them */
    assert_true(child >= 0);
    if (child == 0) {
        struct seen mine = {.kill_at = 5};

        _exit(run(w, "killed", false, &mine, &killed, &err) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    ASSERT_OK(run(w, "killed", true, &s, &killed, &err));
    model_close(w->model);
    prompter_close(w->prompter);
    ASSERT_OK(model_open(golden_path(&w->arena, "tiny/hf"), 128, &w->model, &err));
    ASSERT_OK(prompter_open(w->model, NULL, &w->prompter, &err));
    ASSERT_OK(run(w, "whole", false, &s, &r, &err));
    assert_string_equal(r.adapter_sha256, killed.adapter_sha256);
    assert_true(r.valid.loss < r.base_valid.loss);
}

/* ---- fine-tuned models ---- */

static void training_goes_on_from_a_fine_tuned_model(void **state)
{
    struct world *w = *state;
    struct adapter *start = random_adapter(&w->model->config, 3, 9);
    const struct fit_rows rows = rows_of(w);
    struct engine *e = open_engine(w);
    struct fit_result r;
    struct seen s = {0};
    struct error err;
    double sum = 0;
    size_t tokens = 0, n;

    w->start = start;
    w->recipe.batch_size = ROWS;
    ASSERT_OK(run(w, "run", false, &s, &r, &err));
    assert_non_null(strstr(s.events, "has rank 3, so the new one has it too; the job's is 4"));
    if (w->recipe.method == METHOD_DPO) { /* the reference is the model that training began with */
        assert_true(s.first.train.reward_chosen == 0);
    } else {
        for (size_t i = 0; i < rows.n; i++)
            for (size_t k = 0; k < rows.groups[i].n_answers; k++) {
                sum += scored(w, e, start, &rows.groups[i], k, &n);
                tokens += n;
            }
        ASSERT_NEAR(s.first.train.loss, -sum / (double)tokens, 1e-12);
    }
    w->recipe.lora_rank = 0;
    ASSERT_FAILS(run(w, "full", false, &s, &r, &err), ERR_UNSUPPORTED, "hone.lora_rank");
    adapter_close(start);
    engine_close(e);
}

static void a_reference_of_other_rows_is_refused(void **state)
{
    struct world *w = *state;
    struct fit_result r;
    struct seen s = {.stop_at = 4};
    struct error err;

    ASSERT_FAILS(run(w, "run", false, &s, &r, &err), ERR_CANCELLED, "step 4");
    dataset_close(&w->train);
    write_rows(w, "train.jsonl", METHOD_DPO, 5);
    ASSERT_OK(dataset_open_as(file_join(&w->arena, w->dir, "train.jsonl"), DATASET_PREFERENCE,
                              &w->train, &err));
    s = (struct seen){0};
    ASSERT_FAILS(run(w, "run", true, &s, &r, &err), ERR_INVALID,
                 "reference.json is of other rows, or of another model");
}

/* ---- before it starts ---- */

static void a_check_tells_what_a_run_would_do(void **state)
{
    struct world *w = *state;
    const struct fit_rows rows = rows_of(w);
    const struct fit_inputs in = {.model = w->model,
                                  .prompter = w->prompter,
                                  .train = &w->train,
                                  .valid = &w->valid,
                                  .recipe = &w->recipe,
                                  .run_dir = "",
                                  .base_name = "tiny"};
    struct fit_report c;
    struct fit_result r;
    struct seen s = {0};
    struct error err;

    ASSERT_OK(fit_check(&in, &c, &err));
    ASSERT_OK(run(w, "run", false, &s, &r, &err));
    assert_int_equal(c.steps, r.steps);
    assert_int_equal(c.n_epochs, r.n_epochs);
    assert_int_equal(c.learned, rows.total_learned);
    assert_int_equal(c.longest, rows.longest);
    assert_true(c.first.loss == r.first_loss);
    assert_true(c.memory_bytes > 0 && c.seconds_per_step > 0);
}

#define LAW(name, open) cmocka_unit_test_setup_teardown(name, open, close_world)

int main(void)
{
    const struct CMUnitTest supervised[] = {
        LAW(the_first_loss_is_the_mean_of_what_score_says, open_supervised),
        LAW(each_answer_is_worth_the_very_bits_that_score_says, open_supervised),
        LAW(the_supervised_gradient_is_the_derivative, open_supervised),
        LAW(a_turn_is_learned_as_a_row_of_its_own_would_be, open_supervised),
        LAW(every_row_is_learned_once_an_epoch_and_ends_are_measured, open_supervised),
        LAW(what_is_left_open_follows_from_the_number_of_rows, open_supervised),
        LAW(a_row_that_does_not_fit_is_refused, open_supervised),
        LAW(threads_memory_and_kernels_change_no_bit, open_supervised),
        LAW(a_killed_run_resumes_to_the_same_adapter, open_supervised),
        LAW(a_stop_writes_a_checkpoint_and_resumes_to_the_same_adapter, open_supervised),
        LAW(every_weight_can_be_moved, open_supervised),
        LAW(training_goes_on_from_a_fine_tuned_model, open_supervised),
        LAW(a_check_tells_what_a_run_would_do, open_supervised),
    };
    const struct CMUnitTest dpo[] = {
        cmocka_unit_test(the_loss_of_dpo_is_that_of_the_paper),
        LAW(dpo_begins_at_ln_2_exactly, open_dpo),
        LAW(each_answer_is_worth_the_very_bits_that_score_says, open_dpo),
        LAW(the_gradient_of_dpo_is_the_derivative, open_dpo),
        LAW(threads_memory_and_kernels_change_no_bit, open_dpo),
        LAW(a_killed_run_resumes_to_the_same_adapter, open_dpo),
        LAW(a_stop_writes_a_checkpoint_and_resumes_to_the_same_adapter, open_dpo),
        LAW(every_weight_can_be_moved, open_dpo),
        LAW(training_goes_on_from_a_fine_tuned_model, open_dpo),
        LAW(a_reference_of_other_rows_is_refused, open_dpo),
        LAW(a_check_tells_what_a_run_would_do, open_dpo),
    };
    const int failed = cmocka_run_group_tests(supervised, NULL, NULL);

    return failed + cmocka_run_group_tests(dpo, NULL, NULL);
}
