/*
 * reinforce_test.c - laws of the whole loop, on a model of a few thousand weights and a task of counting letters.
 */
#include "base/file.h"
#include "base/parallel.h"
#include "base/size.h"
#include "support/support.h"
#include "tensor/cpu/kernels.h"
#include "train/checkpoint.h"
#include "train/explain.h"
#include "train/reinforce.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct world {
    struct arena arena;
    char *dir;
    struct model *model;
    struct prompter *prompter;
    struct dataset train, valid;
    struct grader *grader;
    struct recipe recipe;
};

struct seen { /* what the loop told */
    size_t n_steps, last_step, n_warnings, n_before, n_checkpoints;
    const char *run_dir;
    double first_reward, last_reward, max_dlogp;
    size_t kill_at; /* SIGKILL to ourselves when this step is told; 0: never */
    atomic_bool stop;
    size_t stop_at;
    char last_event[256];
    size_t n_short;         /* events that memory is short */
    bool planned, measured; /* the plan and the peak were told */
    bool recomputes;        /* so it was planned */
    size_t limit_at;        /* from this step on the process may take nothing more; 0: never */
    size_t n_whole,
        n_formed; /* answers that were not cut off; of these "yes", "no" or "maybe" in JSON */
};

#ifndef HONE_SANITIZED /* it takes memory of its own as it likes */
#define BALLAST                                                                                    \
    ((size_t)256                                                                                   \
     << 20) /* never touched: so that a quarter of the limit is more than what is left */

/* RLIMIT_DATA: a little more than the process has now, or what it was. */
static void limit_memory(bool on)
{
    static struct rlimit was;
    static void *ballast;
    struct rlimit now;
    char line[256];
    double has = 0;

    if (!on) {
        assert_int_equal(setrlimit(RLIMIT_DATA, &was), 0);
        assert_int_equal(munmap(ballast, BALLAST), 0);
        return;
    }
    ballast = mmap(NULL, BALLAST, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(ballast != MAP_FAILED);
    FILE *f = fopen("/proc/self/status", "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "VmData:", 7) == 0)
            has = strtod(line + 7, NULL) * 1024;
    fclose(f);
    assert_true(has > 0);
    assert_int_equal(getrlimit(RLIMIT_DATA, &was), 0);
    now = was;
    now.rlim_cur = (rlim_t)has + (64 << 20); /* less than what a plan leaves to the machine */
    assert_int_equal(setrlimit(RLIMIT_DATA, &now), 0);
}

#else
static void limit_memory(bool on)
{
    (void)on;
}
#endif

static bool on_event(void *ctx, enum event_level level, const char *message, struct error *err)
{
    struct seen *s = ctx;

    (void)err;
    s->n_warnings += level != EVENT_INFO;
    snprintf(s->last_event, sizeof s->last_event, "%s", message);
    s->n_short += strncmp(message, "Memory is short", 15) == 0;
    if (strncmp(message, "Memory: at most", 15) == 0) {
        s->planned = true;
        s->recomputes = strstr(message, "the rest is computed again") != NULL;
    }
    s->measured = s->measured || strstr(message, "was the most that it had") != NULL;
    return true;
}

static bool on_step(void *ctx, const struct step_metrics *m, struct error *err)
{
    struct seen *s = ctx;

    (void)err;
    if (s->n_steps++ == 0)
        s->first_reward = m->train_mean_reward;
    s->last_step = m->step;
    s->last_reward = m->train_mean_reward;
    s->max_dlogp = fmax(s->max_dlogp, m->max_dlogp);
    if (s->limit_at == m->step)
        limit_memory(true);
    if (s->kill_at == m->step)
        kill(getpid(), SIGKILL);
    if (s->stop_at == m->step)
        atomic_store(&s->stop, true);
    return true;
}

static bool on_before_checkpoint(void *ctx, size_t step, struct error *err)
{
    struct seen *s = ctx;

    (void)err;
    assert_int_equal(step, s->last_step); /* all of it was told */
    assert_true(s->run_dir == NULL || checkpoint_last(s->run_dir) < step);
    s->n_before++;
    return true;
}

static bool on_checkpoint(void *ctx, const struct checkpoint_info *c, struct error *err)
{
    struct seen *s = ctx;

    (void)c;
    (void)err;
    s->n_checkpoints++;
    assert_int_equal(s->n_before, s->n_checkpoints);
    return true;
}

static bool count_formed(void *ctx, const struct rollout *r, struct error *err)
{
    struct seen *s = ctx;
    struct error none;
    json_t *value = NULL;

    (void)err;
    if (r->truncated)
        return true;
    s->n_whole++;
    if (json_parse(r->answer, "an answer", &value, &none)) {
        const struct str text = json_str(value);

        s->n_formed += str_is(text, "yes") || str_is(text, "no") || str_is(text, "maybe");
    }
    json_decref(value);
    return true;
}

static void write_rows(const char *path, int from, int n)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    for (int i = from; i < from + n; i++)
        fprintf(
            f,
            "{\"messages\":[{\"role\":\"user\",\"content\":\"case %d of many\"}],\"want\":\"e\"}\n",
            i);
    fclose(f);
}

static int open_world_of(const char *model, void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct error err;
    json_t *spec = NULL;

    w->dir = test_dir_make(&w->arena);
    write_rows(file_join(&w->arena, w->dir, "train.jsonl"), 0, 24);
    write_rows(file_join(&w->arena, w->dir, "valid.jsonl"), 100, 6);
    ASSERT_OK(model_open(golden_path(&w->arena, model), 128, &w->model, &err));
    ASSERT_OK(prompter_open(w->model, NULL, &w->prompter, &err));
    ASSERT_OK(dataset_open(file_join(&w->arena, w->dir, "train.jsonl"), &w->train, &err));
    ASSERT_OK(dataset_open(file_join(&w->arena, w->dir, "valid.jsonl"), &w->valid, &err));
    ASSERT_OK(json_parse(
        STR("{\"type\":\"string_check\",\"name\":\"has\",\"input\":\"{{sample.output_text}}\","
            "\"reference\":\"{{item.want}}\",\"operation\":\"ilike\"}"),
        "the grader", &spec, &err));
    ASSERT_OK(grader_open(spec, &(struct grade_options){.n_workers = 1}, &w->grader, &err));
    json_decref(spec);
    w->recipe = recipe_defaults(&w->model->config);
    w->recipe.batch_size = 4;
    w->recipe.group_size = 8;
    w->recipe.max_tokens = 6;
    w->recipe.max_steps = 6;
    w->recipe.lora_rank = 4;
    w->recipe.learning_rate = 5e-3;
    w->recipe.kl_slow = w->recipe.kl_undo = 1e9;
    w->recipe.eval_interval = 3;
    w->recipe.checkpoint_interval = 2;
    *state = w;
    return 0;
}

static int open_world(void **state)
{
    return open_world_of("tiny/hf", state);
}

static int open_rounded_world(void **state)
{
    const int failed = open_world_of("tiny/tiny-q4_1.gguf", state);

    if (failed == 0)
        ((struct world *)*state)->model->precision = PRECISION_INT8;
    return failed;
}

static int open_cached_world(enum kv_cache k, void **state)
{
    const int failed = open_world(state);

    if (failed == 0)
        ((struct world *)*state)->model->config.kv_cache = k;
    return failed;
}

static int open_f16_world(void **state)
{
    return open_cached_world(KV_CACHE_F16, state);
}

static int open_q8_world(void **state)
{
    return open_cached_world(KV_CACHE_Q8_0, state);
}

static int close_world(void **state)
{
    struct world *w = *state;

    grader_close(w->grader);
    dataset_close(&w->train);
    dataset_close(&w->valid);
    prompter_close(w->prompter);
    model_close(w->model);
    test_dir_remove(w->dir);
    arena_release(&w->arena);
    free(w);
    return 0;
}

static struct progress_sink sink_of(struct seen *s)
{
    return (struct progress_sink){.ctx = s,
                                  .event = on_event,
                                  .step = on_step,
                                  .rollout = count_formed,
                                  .before_checkpoint = on_before_checkpoint,
                                  .checkpoint = on_checkpoint};
}

/* A run of that name in the world's folder. */
static struct reinforce_inputs inputs_of(struct world *w, const char *name,
                                         const struct progress_sink *sink)
{
    return (struct reinforce_inputs){.model = w->model,
                                     .prompter = w->prompter,
                                     .train = &w->train,
                                     .valid = &w->valid,
                                     .grader = w->grader,
                                     .recipe = &w->recipe,
                                     .run_dir = file_join(&w->arena, w->dir, name),
                                     .base_name = "tiny",
                                     .sink = sink};
}

static bool run(struct world *w, const char *name, bool resume, struct seen *s,
                struct reinforce_result *out, struct error *err)
{
    const struct progress_sink sink = sink_of(s);
    struct reinforce_inputs in = inputs_of(w, name, &sink);

    s->run_dir = in.run_dir;
    in.resume = resume;
    in.stop = &s->stop;
    return file_make_dirs(in.run_dir, err) && reinforce(&in, out, err);
}

static void the_reward_rises_on_a_toy_task(void **state)
{
    struct world *w = *state;
    struct reinforce_result r;
    struct seen s = {0};
    struct error err;

    w->recipe.max_steps = 25;
    ASSERT_OK(run(w, "rise", false, &s, &r, &err));
    assert_true(s.last_reward > s.first_reward + 0.3);
    assert_true(r.best_valid_reward > r.base_valid_reward + 0.2);
    assert_true(s.max_dlogp == 0);
    assert_true(r.max_dlogp == 0);
}

/*
 * Answers that may only be one of three: from the first step on all are, and what was drawn from what the form allows is trained
 * on as drawn from that. Likewise behind a span of thinking that a budget ends.
 */
static void a_form_holds_in_sampling_and_training_alike(void **state)
{
    static const char *const reasonings[] = {NULL,
                                             "{\"open\":\"<t>\",\"close\":\"</t>\",\"budget\":4}"};
    struct world *w = *state;
    struct error err;
    json_t *format = NULL;

    ASSERT_OK(
        json_parse(STR("{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"one\",\"schema\":"
                       "{\"enum\":[\"yes\",\"no\",\"maybe\"]}}}"),
                   "a format", &format, &err));
    w->recipe.max_tokens = 24;
    w->recipe.entropy_floor = 10; /* its bonus is of what is allowed, too */
    for (size_t i = 0; i < COUNT_OF(reasonings); i++) {
        struct reinforce_result r;
        struct seen s = {0};
        json_t *reasoning = NULL;

        if (reasonings[i] != NULL)
            ASSERT_OK(json_parse(str_of(reasonings[i]), "reasoning", &reasoning, &err));
        ASSERT_OK(prompter_reason(w->prompter, reasoning, &err));
        ASSERT_OK(prompter_hold(w->prompter, format, &err));
        ASSERT_OK(run(w, i == 0 ? "held" : "held-thinking", false, &s, &r, &err));
        assert_int_equal(s.n_steps, 6);
        assert_true(r.trained_tokens > 0);
        assert_true(s.max_dlogp == 0 && r.max_dlogp == 0);
        assert_true(s.n_whole > 6 * 4 * 8 / 2);
        assert_int_equal(s.n_formed, s.n_whole);
        json_decref(reasoning);
    }
    json_decref(format);
}

static void threads_and_memory_change_no_bit(void **state)
{
    struct world *w = *state;
    struct reinforce_result one, three, small;
    struct seen s = {0};
    struct error err;

    parallel_set_threads(1);
    ASSERT_OK(run(w, "one", false, &s, &one, &err));
    parallel_set_threads(3);
    ASSERT_OK(run(w, "three", false, &s, &three, &err));
    assert_string_equal(one.adapter_sha256, three.adapter_sha256);
    /* nothing is kept; of some rows the layers' inputs; of all those, of some everything */
    for (double bytes = 1; bytes < 1e6; bytes = fmax(3e4, bytes * 6)) {
        w->recipe.memory_bytes = bytes;
        ASSERT_OK(run(w, arena_printf(&w->arena, "small-%.0f", bytes), false, &s, &small, &err));
        assert_string_equal(one.adapter_sha256, small.adapter_sha256);
    }
    parallel_set_threads(0);
    w->recipe.seed++;
    ASSERT_OK(run(w, "other", false, &s, &three, &err));
    assert_string_not_equal(one.adapter_sha256, three.adapter_sha256);
}

#ifndef HONE_SANITIZED /* it takes ten times as long there; sample/speculation_test drafts under them */
/* ---- drafts and refill change no sample ---- */

struct heard { /* of every answer of a run, in the order told */
    uint64_t hash;
    size_t n_rollouts, n_steps, n_passes, n_drafted, n_accepted, n_groups;
};

static void hear(struct heard *h, const void *what, size_t n)
{
    const unsigned char *bytes = what;

    for (size_t i = 0; i < n; i++)
        h->hash = (h->hash ^ bytes[i]) * UINT64_C(0x100000001b3);
}

static bool on_heard_rollout(void *ctx, const struct rollout *r, struct error *err)
{
    struct heard *h = ctx;
    const size_t numbers[] = {r->step,      r->valid,   r->item,    r->sample,         r->n_tokens,
                              r->truncated, r->trained, r->n_alike, r->grade->n_cached};

    (void)err;
    hear(h, numbers, sizeof numbers);
    hear(h, r->tokens, r->n_tokens * sizeof *r->tokens);
    hear(h, r->logprobs, r->n_tokens * sizeof *r->logprobs);
    hear(h, &r->advantage, sizeof r->advantage);
    hear(h, &r->grade->reward, sizeof r->grade->reward);
    h->n_rollouts++;
    return true;
}

static bool on_heard_step(void *ctx, const struct step_metrics *m, struct error *err)
{
    struct heard *h = ctx;
    const double numbers[] = {
        m->train_mean_reward,    m->entropy, m->loss, m->grad_norm, (double)m->n_groups,
        (double)m->rows_sampled, m->kl};

    (void)err;
    hear(h, numbers, sizeof numbers);
    hear(h, m->adapter_sha256, 64);
    h->n_steps++;
    h->n_groups += m->n_groups;
    h->n_passes += m->passes_sampled;
    h->n_drafted += m->rows_drafted;
    h->n_accepted += m->rows_accepted;
    return m->max_dlogp == 0;
}

static struct heard run_heard(struct world *w, const char *name, size_t draft, bool late)
{
    struct heard h = {0};
    const struct progress_sink sink = {
        .ctx = &h, .rollout = on_heard_rollout, .step = on_heard_step};
    struct reinforce_inputs in = inputs_of(w, name, &sink);
    struct reinforce_result r;
    struct error err;

    in.draft = &draft;
    in.late_refill = late;
    ASSERT_OK(file_make_dirs(in.run_dir, &err));
    ASSERT_OK(reinforce(&in, &r, &err));
    return h;
}

/* Every sample of a run: its tokens, log-probabilities, grade and weight; and the adapter after each step. */
static void a_run_s_samples_are_the_same_however_they_are_come_by(void **state)
{
    static const size_t drafts[] = {3, 8, DRAFT_AUTO};
    struct world *w = *state;
    char name[40];
    size_t n_sooner = 0, n_accepted = 0;

    w->recipe.max_steps = 8; /* a second epoch begins: there is a history */
    w->recipe.max_tokens = 12;
    for (int sized = 0; sized < 2; sized++) {
        w->recipe.group_size = sized ? 8 : 4;
        w->recipe.group_auto = sized;
        w->recipe.max_live = 12; /* three groups of four at a time: the fourth has company or not */
        snprintf(name, sizeof name, "plain-%d", sized);
        const struct heard want = run_heard(w, name, 0, true);

        assert_int_equal(want.n_drafted, 0);
        assert_true(want.n_groups > want.n_steps * w->recipe.batch_size); /* some were refilled */
        for (size_t i = 0; i <= COUNT_OF(drafts); i++) {
            for (int late = 0; late < 2; late++) {
                const size_t draft = i == 0 ? 0 : drafts[i - 1];

                snprintf(name, sizeof name, "way-%d-%zu-%d", sized, i, late);
                const struct heard got = run_heard(w, name, draft, late != 0);
                assert_int_equal(got.n_rollouts, want.n_rollouts);
                assert_int_equal(got.n_steps, want.n_steps);
                assert_true(got.hash == want.hash);
                /* a refill that is late by a grade may cost a pass; drafts never do */
                assert_true(!late || got.n_passes <= want.n_passes);
                assert_true(draft == 0 || draft == DRAFT_AUTO || got.n_drafted > 20);
                n_accepted += got.n_accepted;
                n_sooner += got.n_passes < want.n_passes;
            }
        }
    }
    print_message("             %zu guesses right, %zu ways with fewer passes\n", n_accepted,
                  n_sooner);
    assert_true(n_sooner > 4 && n_accepted > 500);
}

/* From the first step on, and from the third: what is kept is given back, which is told once, and the result is the same. */
static void little_memory_changes_no_bit(void **state)
{
    struct world *w = *state;
    struct reinforce_result plenty, little, less;
    struct seen s = {0}, tight = {0}, tighter = {.limit_at = 2};
    struct error err;

    ASSERT_OK(run(w, "plenty", false, &s, &plenty, &err));
    assert_true(s.planned && s.measured);
    assert_int_equal(s.n_short, 0);
    limit_memory(true);
    const bool ok = run(w, "little", false, &tight, &little, &err);
    limit_memory(false);
    ASSERT_OK(ok);
    assert_string_equal(little.adapter_sha256, plenty.adapter_sha256);
    assert_true(!s.recomputes && tight.recomputes);

    const bool then = run(w, "less", false, &tighter, &less, &err);
    limit_memory(false);
    ASSERT_OK(then);
    assert_int_equal(tighter.n_short, 1);
    assert_string_equal(less.adapter_sha256, plenty.adapter_sha256);
    assert_true(less.planned_bytes >= plenty.planned_bytes * 0.99);
}

/* The process itself has more than this model's training: so much of the peak is no part of a plan. */
#define PROCESS_SLACK 10e6

static void a_run_has_no_more_memory_than_was_planned(void **state)
{
    struct world *w = *state;
    struct reinforce_result r;
    struct error err;
    const double bytes[] = {0, 1};

    w->recipe.max_tokens = 40;
    w->recipe.group_size = 32;
    w->recipe.max_steps = 3;
    w->recipe.temperature = 2; /* answers as long as they may be */
    for (size_t i = 0; i < COUNT_OF(bytes); i++) {
        struct seen s = {0};

        w->recipe.memory_bytes = bytes[i];
        ASSERT_OK(run(w, i == 0 ? "kept" : "lean", false, &s, &r, &err));
        assert_true(r.peak_bytes <= 1.05 * r.planned_bytes + PROCESS_SLACK);
        assert_true(r.peak_bytes >= 0.95 * r.planned_bytes - PROCESS_SLACK);
    }
}
#endif

/* What six steps end with, on any machine, with any kernels and any compiler. Who changes these changes bits: a new recipe
   may, a faster one may not. */
static void ends_everywhere_with(struct world *w, const char *sha256)
{
    const struct kernels *const *tables;
    const size_t n = kernels_available(&tables);
    struct reinforce_result r;
    struct seen s = {0};
    struct error err;

    for (size_t i = 0; i < n; i++) {
        assert_true(kernels_choose(tables[i]->name));
        ASSERT_OK(run(w, tables[i]->name, false, &s, &r, &err));
        assert_string_equal(r.adapter_sha256, sha256);
    }
    assert_true(kernels_choose(NULL));
}

static void the_adapter_is_the_same_on_every_machine(void **state)
{
    ends_everywhere_with(*state,
                         "0794305c991757ce4fa35b34d3191b996cde97abd10e0affb18d372dd80914d4");
}

static void the_adapter_of_rounded_rows_is_the_same_on_every_machine(void **state)
{
    ends_everywhere_with(*state,
                         "62b5e02123166f8e4b3a73ba474238ae8670e58be797ed096f2158b33a580474");
}

static void the_adapter_of_f16_keys_and_values_is_the_same_on_every_machine(void **state)
{
    ends_everywhere_with(*state,
                         "f1a49c09141450b1febf77dff76e0957e2009e52343ffc35693eabac04181f9d");
}

static void the_adapter_of_q8_keys_and_values_is_the_same_on_every_machine(void **state)
{
    ends_everywhere_with(*state,
                         "872f1f630947ee6ef52f0fae1ae4565c512b44a167e090d0578cab28e9ad7329");
}

static void the_weights_are_the_same_on_every_machine(void **state)
{
    struct world *w = *state;

    w->recipe.lora_rank = 0;
    w->recipe.learning_rate = 2e-3;
    ends_everywhere_with(w, "c266b22d8fc104964462b5a1a9c9c3cc78b0cdc2f374ed25f0f878acc4cd3485");
}

static void a_killed_run_resumes_to_the_same_adapter(void **state)
{
    struct world *w = *state;
    struct reinforce_result unbroken, resumed;
    struct error err;

    for (size_t at = 1; at <= w->recipe.max_steps; at++) {
        struct seen s = {0};
        char name[32];
        int status;

        if (at == 1)
            ASSERT_OK(run(w, "unbroken", false, &s, &unbroken, &err));
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
    }
}

static void a_stop_writes_a_checkpoint_and_resumes_to_the_same_adapter(void **state)
{
    struct world *w = *state;
    struct reinforce_result unbroken, resumed;
    struct seen s = {0}, stopped = {.stop_at = 3}, again = {0};
    struct error err;

    ASSERT_OK(run(w, "whole", false, &s, &unbroken, &err));
    ASSERT_FAILS(run(w, "stopped", false, &stopped, &resumed, &err), ERR_CANCELLED, "step 3");
    assert_int_equal(checkpoint_last(file_join(&w->arena, w->dir, "stopped")), 3);
    assert_int_equal(stopped.n_checkpoints, 2); /* 2, and 3, one of the best, once */
    assert_true(checkpoint_stays(file_join(&w->arena, w->dir, "stopped"), 3));
    ASSERT_OK(run(w, "stopped", true, &again, &resumed, &err));
    assert_string_equal(unbroken.adapter_sha256, resumed.adapter_sha256);
    assert_int_equal(again.n_steps, w->recipe.max_steps - 3);
}

static void stop_in_sampling(void *ctx, const char *phase, size_t done, size_t total)
{
    struct seen *s = ctx;

    (void)done;
    (void)total;
    if (strcmp(phase, "sampling") == 0 && s->n_steps == 3) /* in the middle of step 4 */
        atomic_store(&s->stop, true);
}

static void a_stop_while_sampling_keeps_the_steps_that_are_done(void **state)
{
    struct world *w = *state;
    struct reinforce_result unbroken, resumed;
    struct seen s = {0}, stopped = {0}, again = {0};
    struct progress_sink sink = sink_of(&stopped);
    struct error err;

    w->recipe.checkpoint_interval = 100;
    ASSERT_OK(run(w, "unstopped", false, &s, &unbroken, &err));
    sink.tick = stop_in_sampling;
    struct reinforce_inputs in = inputs_of(w, "midway", &sink);
    in.stop = &stopped.stop;
    ASSERT_OK(file_make_dirs(in.run_dir, &err));
    ASSERT_FAILS(reinforce(&in, &resumed, &err), ERR_CANCELLED, "stopped");
    assert_int_equal(checkpoint_last(in.run_dir), 3);
    ASSERT_OK(run(w, "midway", true, &again, &resumed, &err));
    assert_string_equal(unbroken.adapter_sha256, resumed.adapter_sha256);
}

struct deaf {
    size_t left; /* events until one cannot be told, that one included */
    size_t n_told;
    bool failed;
    size_t n_steps_after;
};

static bool event_or_not(void *ctx, enum event_level level, const char *message, struct error *err)
{
    struct deaf *d = ctx;

    (void)level;
    (void)message;
    d->n_told++;
    if (d->left-- > 1)
        return true;
    d->failed = true;
    return fail(err, ERR_IO, "cannot write events.jsonl: make room");
}

static bool step_or_not(void *ctx, const struct step_metrics *m, struct error *err)
{
    struct deaf *d = ctx;

    (void)m;
    (void)err;
    d->n_steps_after += d->failed;
    return true;
}

static bool run_deaf(struct world *w, const char *name, struct deaf *d, struct error *err)
{
    const struct progress_sink sink = {.ctx = d, .event = event_or_not, .step = step_or_not};
    const struct reinforce_inputs in = inputs_of(w, name, &sink);
    struct reinforce_result r;

    return file_make_dirs(in.run_dir, err) && reinforce(&in, &r, err);
}

/* Of whatever kind it is: from the loop, from what measures the job, from what explains a step. */
static void an_event_that_cannot_be_told_ends_the_run_with_its_error(void **state)
{
    struct world *w = *state;
    struct deaf all = {.left = SIZE_MAX};
    struct error err;

    w->recipe.max_tokens = 0; /* it is measured, and told */
    w->recipe.group_size = 4;
    w->recipe.max_steps = 2;
    w->recipe.kl_undo = 1e-12; /* every update is undone, and told */
    ASSERT_OK(run_deaf(w, "all", &all, &err));
    assert_true(all.n_told >= 6);
    for (size_t at = 1; at <= all.n_told; at++) {
        struct deaf d = {.left = at};

        ASSERT_FAILS(run_deaf(w, arena_printf(&w->arena, "deaf-%zu", at), &d, &err), ERR_IO, "");
        assert_string_equal(err.message, "cannot write events.jsonl: make room");
        assert_int_equal(d.n_told, at); /* nothing else was told */
        assert_int_equal(d.n_steps_after, 0);
    }
}

struct settled {
    size_t n, n_steps;
    json_t *values;
    atomic_bool stop;
    size_t stop_at;
};

static bool on_settled(void *ctx, const json_t *values, struct error *err)
{
    struct settled *s = ctx;

    (void)err;
    assert_int_equal(s->n_steps, 0);
    s->n++;
    s->values = json_deep_copy(values);
    return true;
}

static bool on_step_after(void *ctx, const struct step_metrics *m, struct error *err)
{
    struct settled *s = ctx;

    (void)err;
    s->n_steps++;
    if (s->stop_at == m->step)
        atomic_store(&s->stop, true);
    return true;
}

static bool run_settling(struct world *w, const char *name, bool resume, struct settled *s,
                         struct error *err)
{
    const struct progress_sink sink = {.ctx = s, .step = on_step_after, .settled = on_settled};
    struct reinforce_inputs in = inputs_of(w, name, &sink);
    struct reinforce_result r;

    in.resume = resume;
    in.stop = &s->stop;
    return file_make_dirs(in.run_dir, err) && reinforce(&in, &r, err);
}

static json_int_t count_in(const json_t *values, const char *key)
{
    assert_true(json_is_integer(json_object_get(values, key)));
    return json_integer_value(json_object_get(values, key));
}

static void what_the_job_leaves_open_is_told_once_it_is_settled(void **state)
{
    struct world *w = *state;
    struct settled s = {0};
    struct error err;

    w->recipe.max_tokens = w->recipe.group_size = w->recipe.eval_interval = 0;
    w->recipe.max_steps = 2;
    ASSERT_OK(run_settling(w, "settled", false, &s, &err));
    assert_int_equal(s.n, 1);
    assert_int_equal(s.n_steps, 2);
    assert_true(count_in(s.values, "max_tokens") > 0);
    assert_true(count_in(s.values, "group_size") >= 8 && count_in(s.values, "group_size") <= 64);
    assert_int_equal(count_in(s.values, "total_steps"), 2);
    assert_int_equal(count_in(s.values, "n_epochs"), 1);
    assert_int_equal(count_in(s.values, "eval_interval"), 1);
    assert_int_equal(count_in(s.values, "batch_size"), 4);
    assert_true(json_number_value(json_object_get(s.values, "memory_bytes")) > 1e6);
    assert_true(count_in(json_object_get(s.values, "memory_plan"), "peak") > 1000000);
    json_decref(s.values);
}

/* Whatever the group's size is by then. */
static void a_run_that_goes_on_is_settled_as_it_was(void **state)
{
    struct world *w = *state;
    struct settled first = {.stop_at = 4}, again = {0};
    json_t *at_stop = NULL;
    struct error err;

    w->recipe.max_tokens = 1; /* cheap answers: the group grows */
    w->recipe.group_size = w->recipe.max_steps = 0;
    w->recipe.n_epochs = 1;
    ASSERT_FAILS(run_settling(w, "fitted", false, &first, &err), ERR_CANCELLED, "after step 4");
    assert_int_equal(first.n, 1);
    assert_int_equal(count_in(first.values, "total_steps"), 6);
    assert_int_equal(count_in(first.values, "group_size"), 64);
    ASSERT_OK(
        json_read_file(arena_printf(&w->arena, "%s/fitted/checkpoints/step-4/state.json", w->dir),
                       &at_stop, &err));
    assert_true(count_in(at_stop, "group_size") > 64);
    json_decref(at_stop);

    ASSERT_OK(run_settling(w, "fitted", true, &again, &err));
    assert_int_equal(again.n, 1);
    assert_int_equal(again.n_steps, 2);
    json_object_del(first.values, "memory_bytes"); /* what is free now */
    json_object_del(again.values, "memory_bytes");
    json_object_del(first.values, "memory_plan");
    json_object_del(again.values, "memory_plan");
    assert_true(json_equal(first.values, again.values));
    json_decref(first.values);
    json_decref(again.values);
}

struct told { /* of one group, which is told without a break */
    struct arena arena;
    struct rollout group[16];
    size_t n, n_alone, n_shared;
};

static const void *copied(struct arena *a, const void *from, size_t size)
{
    return memcpy(arena_alloc(a, size), from, size);
}

static bool same_tokens(const struct rollout *a, const struct rollout *b)
{
    return a->n_tokens == b->n_tokens &&
           memcmp(a->tokens, b->tokens, a->n_tokens * sizeof *a->tokens) == 0;
}

/* What is said to be alike are the same tokens, all of them, and equal in all that is told. */
static bool compare_with_the_group(void *ctx, const struct rollout *r, struct error *err)
{
    struct told *t = ctx;
    size_t k = 0;

    (void)err;
    if (r->sample == 0) {
        arena_reset(&t->arena);
        t->n = 0;
    }
    assert_int_equal(r->sample, t->n);
    t->group[t->n] = *r;
    t->group[t->n].tokens = copied(&t->arena, r->tokens, r->n_tokens * sizeof *r->tokens);
    t->group[t->n].logprobs = copied(&t->arena, r->logprobs, r->n_tokens * sizeof *r->logprobs);
    t->group[t->n].grade = copied(&t->arena, r->grade, sizeof *r->grade);
    t->n++;
    for (size_t i = 0; i < t->n; i++) {
        const struct rollout *x = &t->group[i];

        if (!same_tokens(x, r)) {
            assert_ptr_not_equal(x->alike, r->alike);
            continue;
        }
        assert_ptr_equal(x->alike, r->alike);
        assert_int_equal(x->n_alike, r->n_alike);
        assert_int_equal(r->alike[k++], i);
        assert_memory_equal(x->logprobs, r->logprobs, r->n_tokens * sizeof *r->logprobs);
        assert_true(x->grade->reward == r->grade->reward && x->grade->flags == r->grade->flags);
        assert_string_equal(x->grade->details, r->grade->details);
        assert_memory_equal(&x->advantage, &r->advantage, sizeof r->advantage);
        assert_true(x->trained == r->trained && x->truncated == r->truncated);
        assert_int_equal(x->n_thinking_tokens, r->n_thinking_tokens);
    }
    if (r->alike[r->n_alike - 1] == r->sample)
        assert_int_equal(k, r->n_alike);
    t->n_alone += r->n_alike == 1;
    t->n_shared += r->n_alike > 1;
    return true;
}

static void samples_of_the_same_tokens_are_told_to_be_alike(void **state)
{
    struct world *w = *state;
    struct reinforce_result r;
    struct seen s = {0};
    struct told t = {0};
    struct error err;
    const struct progress_sink sink = {.ctx = &t, .rollout = compare_with_the_group};
    struct reinforce_inputs in = inputs_of(w, "alike", &sink);

    in.stop = &s.stop;
    w->recipe.group_size = 16;
    w->recipe.max_tokens = 2;
    w->recipe.temperature = 0.4;
    ASSERT_OK(file_make_dirs(in.run_dir, &err));
    ASSERT_OK(reinforce(&in, &r, &err));
    assert_true(t.n_alone > 20 && t.n_shared > 20);
    arena_release(&t.arena);
}

static void full_fine_tuning_learns(void **state)
{
    struct world *w = *state;
    struct reinforce_result r;
    struct seen s = {0};
    struct error err;

    w->recipe.lora_rank = 0;
    w->recipe.learning_rate = 2e-3;
    w->recipe.max_steps = 20;
    ASSERT_OK(run(w, "full", false, &s, &r, &err));
    assert_true(s.max_dlogp == 0);
    assert_true(s.last_reward > s.first_reward + 0.2);
    const char *file =
        arena_printf(&w->arena, "%s/full/checkpoints/step-%zu/model.safetensors", w->dir, r.steps);
    assert_true(file_exists(file));
}

static void full_fine_tuning_resumes_to_the_same_weights(void **state)
{
    struct world *w = *state;
    struct reinforce_result unbroken, resumed;
    struct seen s = {0}, stopped = {.stop_at = 3}, again = {0};
    struct error err;

    w->recipe.lora_rank = 0;
    w->recipe.learning_rate = 1e-3;
    ASSERT_OK(run(w, "full-whole", false, &s, &unbroken, &err));
    ASSERT_FAILS(run(w, "full-stopped", false, &stopped, &resumed, &err), ERR_CANCELLED, "step 3");
    ASSERT_OK(run(w, "full-stopped", true, &again, &resumed, &err));
    assert_string_equal(unbroken.adapter_sha256, resumed.adapter_sha256);
}

static void an_update_that_goes_too_far_is_undone(void **state)
{
    struct world *w = *state;
    struct reinforce_result r;
    struct seen s = {0};
    struct error err;
    char before[65];
    struct adapter *fresh;

    w->recipe.kl_undo = 1e-12; /* any move at all */
    w->recipe.max_steps = 2;
    ASSERT_OK(run(w, "undone", false, &s, &r, &err));
    ASSERT_OK(adapter_new(&w->model->config, 4, (float)w->recipe.lora_alpha, w->recipe.seed, &fresh,
                          &err));
    adapter_sha256(fresh, before);
    adapter_close(fresh);
    assert_true(s.n_warnings >= 2);
    assert_string_equal(r.adapter_sha256, before);
}

static void a_prompt_that_cannot_fit_is_named_before_anything_is_spent(void **state)
{
    struct world *w = *state;
    struct reinforce_result r;
    struct seen s = {0};
    struct error err;

    w->recipe.max_prompt_tokens = 5;
    ASSERT_FAILS(run(w, "long", false, &s, &r, &err), ERR_LIMIT, "train.jsonl, line 1");
    assert_int_equal(s.n_steps, 0);
}

static void a_collapse_is_told_once_in_plain_words(void **state)
{
    struct world *w = *state;
    struct train_state t = {0};
    struct seen s = {0};
    const struct progress_sink sink = sink_of(&s);
    struct error err;

    for (size_t step = 1; step <= 5; step++)
        ASSERT_OK(explain_step(
            &(struct step_metrics){.step = step, .n_groups = 8, .n_samples = 64, .entropy = 2},
            &w->recipe, &t, &sink, &err));
    assert_int_equal(s.n_warnings, 0);
    for (size_t step = 6; step <= 9; step++) {
        struct step_metrics m = {.step = step,
                                 .n_groups = 8,
                                 .n_samples = 64,
                                 .entropy = 0.1,
                                 .n_flat_groups = 7,
                                 .n_groups_all_zero = 4,
                                 .n_groups_all_one = 3,
                                 .train_mean_reward = 0.2};
        const size_t before = s.n_warnings;

        ASSERT_OK(explain_step(&m, &w->recipe, &t, &sink, &err));
        assert_int_equal(s.n_warnings - before,
                         step == 6 ? 2 : 1); /* the flat groups each time, the collapse once */
    }
    assert_true(t.collapse_told);
}

static bool keep_event(void *ctx, enum event_level level, const char *message, struct error *err)
{
    (void)level, (void)err;
    snprintf(ctx, 1024, "%s", message);
    return true;
}

static void graders_that_fail_are_told_with_the_first_cause(void **state)
{
    struct world *w = *state;
    struct train_state t = {0};
    char told[1024] = "";
    const struct progress_sink sink = {.ctx = told, .event = keep_event};
    struct step_metrics m = {.step = 1, .n_groups = 8, .n_samples = 64, .n_grader_failed = 3};
    struct error err;

    ASSERT_OK(explain_step(&m, &w->recipe, &t, &sink, &err));
    assert_string_equal(told, ""); /* one in twenty is not worth an event */
    m.n_grader_failed = 4;
    snprintf(
        m.grader_failure, sizeof m.grader_failure,
        "Traceback (most recent call last):\n  File \"grader.py\", line 3\nValueError: broken\n");
    ASSERT_OK(explain_step(&m, &w->recipe, &t, &sink, &err));
    assert_string_equal(told,
                        "Step 1: the grader failed on 4 of 64 answers; they count as 0. The first "
                        "time: ValueError: broken. All details stand in the rollouts.");
}

int main(void)
{
#define LAW(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
#define F16(name) cmocka_unit_test_setup_teardown(name, open_f16_world, close_world)
#define Q8(name) cmocka_unit_test_setup_teardown(name, open_q8_world, close_world)
#define ROUNDED(name) cmocka_unit_test_setup_teardown(name, open_rounded_world, close_world)
    const struct CMUnitTest tests[] = {
        LAW(the_reward_rises_on_a_toy_task),
        LAW(a_form_holds_in_sampling_and_training_alike),
        ROUNDED(a_form_holds_in_sampling_and_training_alike),
        LAW(threads_and_memory_change_no_bit),
#ifndef HONE_SANITIZED
        LAW(a_run_s_samples_are_the_same_however_they_are_come_by),
        LAW(little_memory_changes_no_bit),
        LAW(a_run_has_no_more_memory_than_was_planned),
#endif
        LAW(the_adapter_is_the_same_on_every_machine),
        LAW(the_weights_are_the_same_on_every_machine),
        ROUNDED(threads_and_memory_change_no_bit),
        ROUNDED(the_adapter_of_rounded_rows_is_the_same_on_every_machine),
        F16(the_adapter_of_f16_keys_and_values_is_the_same_on_every_machine),
        Q8(threads_and_memory_change_no_bit),
        Q8(the_adapter_of_q8_keys_and_values_is_the_same_on_every_machine),
#ifndef HONE_SANITIZED /* it takes ten times as long there */
        ROUNDED(the_reward_rises_on_a_toy_task),
        ROUNDED(a_killed_run_resumes_to_the_same_adapter),
        F16(the_reward_rises_on_a_toy_task),
        F16(threads_and_memory_change_no_bit),
        F16(a_killed_run_resumes_to_the_same_adapter),
        F16(full_fine_tuning_learns),
        Q8(the_reward_rises_on_a_toy_task),
        Q8(a_killed_run_resumes_to_the_same_adapter),
        Q8(full_fine_tuning_learns),
#endif
        LAW(a_killed_run_resumes_to_the_same_adapter),
        LAW(a_stop_writes_a_checkpoint_and_resumes_to_the_same_adapter),
        LAW(a_stop_while_sampling_keeps_the_steps_that_are_done),
        LAW(an_event_that_cannot_be_told_ends_the_run_with_its_error),
        LAW(what_the_job_leaves_open_is_told_once_it_is_settled),
        LAW(a_run_that_goes_on_is_settled_as_it_was),
        LAW(samples_of_the_same_tokens_are_told_to_be_alike),
        LAW(full_fine_tuning_learns),
        LAW(full_fine_tuning_resumes_to_the_same_weights),
        LAW(an_update_that_goes_too_far_is_undone),
        LAW(a_prompt_that_cannot_fit_is_named_before_anything_is_spent),
        LAW(a_collapse_is_told_once_in_plain_words),
        LAW(graders_that_fail_are_told_with_the_first_cause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
