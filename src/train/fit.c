/*
 * fit.c - one step after another: the next rows of the epoch, gradient, update, validation, told, saved.
 */
#include "train/fit.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/size.h"
#include "train/checkpoint.h"
#include "train/epoch.h"
#include "train/fit_rows.h"
#include "train/gradient.h"
#include "train/memory_need.h"
#include "train/preference.h"
#include "train/reference.h"
#include "train/supervised.h"
#include "train/trained.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define LEAST_VALID 8 /* rows of a validation batch: a batch of training may be one */

struct loop {
    const struct fit_inputs *in;
    struct recipe recipe; /* nothing in it is open */
    struct engine *engine;
    struct saved_pool *saved;
    struct trained trained;
    char rank_note[256];
    struct train_state state;
    struct fit_rows train, valid; /* valid.n is 0 without a validation file */
    struct reference reference;   /* of dpo */
    struct arena run, step;
    struct epoch epoch;
    uint64_t steps_an_epoch, total_steps;
    struct memory_work memory;
    struct memory_plan plan;
    struct memory_watch watch;
    double began;
    uint64_t began_at_step;
};

MUST_CHECK static bool tell(const struct loop *l, struct error *err, enum event_level level,
                            const char *fmt, ...) PRINTF_LIKE(4, 5);
static bool tell(const struct loop *l, struct error *err, enum event_level level, const char *fmt,
                 ...)
{
    const struct progress_sink *sink = l->in->sink;
    char text[1024];
    va_list ap;

    if (sink == NULL || sink->event == NULL)
        return true;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return sink->event(sink->ctx, level, text, err);
}

static bool is_dpo(const struct loop *l)
{
    return l->recipe.method == METHOD_DPO;
}

/* ---- some rows: which, and what the model makes of them ---- */

struct rows_of {
    const struct loop *l;
    size_t n;
    struct tree_group *groups;   /* [n] */
    struct answer_logp *answers; /* [n_answers] */
    double *reference;           /* [n_answers] of dpo; else NULL */
    size_t n_answers, n_learned;
    const char *phase; /* for tick */
};

static struct rows_of rows_take(struct loop *l, const struct fit_rows *from,
                                const double *reference, const size_t *items, size_t n,
                                const char *phase)
{
    struct rows_of r = {
        .l = l, .n = n, .groups = ARENA_ARRAY(&l->step, struct tree_group, n), .phase = phase};

    for (size_t i = 0; i < n; i++) {
        r.groups[i] = from->groups[items[i]];
        r.n_answers += r.groups[i].n_answers;
        r.n_learned += from->n_learned[items[i]];
    }
    r.answers = ARENA_ARRAY(&l->step, struct answer_logp, r.n_answers);
    if (reference != NULL) {
        double *to = r.reference = ARENA_ARRAY(&l->step, double, r.n_answers);

        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < r.groups[i].n_answers; k++)
                *to++ = reference[from->first_answer[items[i]] + k];
    }
    return r;
}

static struct fit_measure rows_measure(const struct rows_of *r)
{
    return r->reference != NULL
               ? preference_measure(r->l->recipe.beta, r->reference, r->answers, r->n_answers)
               : supervised_measure(r->answers, r->n_answers, r->n);
}

static void on_weigh(void *ctx, size_t first, size_t n, const struct answer_logp *answers,
                     float *coefficients)
{
    const struct rows_of *r = ctx;

    preference_weigh(r->l->recipe.beta, r->reference + first, answers, n, coefficients);
}

static bool on_passed(void *ctx, size_t first, size_t n, struct error *err)
{
    const struct rows_of *r = ctx;
    const struct fit_inputs *in = r->l->in;

    if (in->sink != NULL && in->sink->tick != NULL)
        in->sink->tick(in->sink->ctx, r->phase, first + n, r->n);
    if (in->stop != NULL && atomic_load(in->stop) && first + n < r->n)
        return fail(err, ERR_CANCELLED, "stopped on request in step %" PRIu64,
                    r->l->state.step + 1);
    return true;
}

static struct gradient gradient_of(const struct loop *l, struct rows_of *r)
{
    return (struct gradient){.model = l->in->model,
                             .adapter = l->trained.adapter,
                             .engine = l->engine,
                             .saved = l->saved,
                             .pass_rows = l->recipe.pass_rows,
                             .passed = on_passed,
                             .ctx = r,
                             .weigh = r->reference != NULL ? on_weigh : NULL,
                             .answers = r->answers};
}

/* Adds the gradient of the rows' loss; *rows: computed. */
static bool rows_differentiate(const struct loop *l, struct rows_of *r, size_t *rows,
                               struct error *err)
{
    const struct gradient x = gradient_of(l, r);
    const struct loss_options opt = {.inv_t = 1, .n = (double)(is_dpo(l) ? r->n : r->n_learned)};
    struct loss_sums sums = {0};

    return gradient_add(&x, r->groups, r->n, &opt, &sums, rows, err);
}

static bool rows_look(const struct loop *l, struct rows_of *r, struct error *err)
{
    const struct gradient x = gradient_of(l, r);

    return gradient_look(&x, r->groups, r->n, 1, r->answers, err);
}

/* ---- validation ---- */

/* Rows of the batch that is measured at a step: each time the next ones, round and round. */
static size_t valid_batch(struct loop *l, size_t step, size_t **items)
{
    const size_t all = l->valid.n, n = size_min(all, size_max(LEAST_VALID, l->recipe.batch_size));
    const size_t turn = step / l->recipe.eval_interval;

    *items = ARENA_ARRAY(&l->step, size_t, n);
    for (size_t i = 0; i < n; i++)
        (*items)[i] = (turn * n + i) % all;
    return n;
}

static bool measure_valid(struct loop *l, const size_t *items, size_t n, struct fit_measure *out,
                          struct error *err)
{
    struct rows_of r = rows_take(l, &l->valid, l->reference.valid, items, n, "validating");

    if (!rows_look(l, &r, err))
        return false;
    *out = rows_measure(&r);
    return true;
}

static bool measure_all_valid(struct loop *l, struct fit_measure *out, struct error *err)
{
    size_t *items = ARENA_ARRAY(&l->step, size_t, l->valid.n);

    for (size_t i = 0; i < l->valid.n; i++)
        items[i] = i;
    return measure_valid(l, items, l->valid.n, out, err);
}

static bool validate(struct loop *l, struct fit_metrics *m, struct error *err)
{
    const bool last = m->step == m->total_steps;
    const double began = clock_seconds();
    size_t *items;

    if (l->valid.n == 0)
        return true;
    if (m->step % l->recipe.eval_interval == 0 || m->epoch_ends || last) {
        const size_t n = valid_batch(l, m->step, &items);

        m->has_valid = true;
        if (!measure_valid(l, items, n, &m->valid, err))
            return false;
    }
    if (m->epoch_ends || last) {
        m->has_full_valid = true;
        if (!measure_all_valid(l, &m->full_valid, err))
            return false;
        l->state.fit.valid = m->full_valid;
    }
    m->seconds_eval = clock_seconds() - began;
    return true;
}

/* ---- checkpoints ---- */

/* An epoch's end goes in front of those that are kept. */
static void keep_epoch(struct loop *l, uint64_t step)
{
    struct train_state *s = &l->state;
    const size_t n = size_min(s->n_best + 1, size_min(l->recipe.keep_best, CHECKPOINT_BEST));

    for (size_t i = n - 1; i > 0; i--)
        s->best_step[i] = s->best_step[i - 1];
    s->best_step[0] = step;
    s->n_best = n;
}

static bool save(struct loop *l, const struct fit_metrics *m, struct error *err)
{
    const bool stays = m != NULL && (m->epoch_ends || m->step == m->total_steps);
    const struct checkpoint_parts parts = {.adapter = l->trained.adapter,
                                           .model = l->in->model,
                                           .optimizer = &l->trained.optimizer,
                                           .state = &l->state,
                                           .stays = stays};
    const struct progress_sink *sink = l->in->sink;
    const char *dir = NULL;

    if (sink != NULL && sink->before_checkpoint != NULL &&
        !sink->before_checkpoint(sink->ctx, (size_t)l->state.step, err))
        return false;
    if (!checkpoint_save(l->in->run_dir, &parts, &l->step, &dir, err) ||
        !checkpoint_prune(l->in->run_dir, &l->state, l->recipe.keep_best, l->recipe.keep_optimizer,
                          err))
        return false;
    const struct checkpoint_info info = {.step = (size_t)l->state.step,
                                         .best = m != NULL && m->epoch_ends,
                                         .stays = stays,
                                         .dir = dir,
                                         .valid_mean_reward = (double)NAN,
                                         .fit = m};
    return sink == NULL || sink->checkpoint == NULL || sink->checkpoint(sink->ctx, &info, err);
}

/* ---- one step ---- */

static double learning_rate(const struct loop *l)
{
    const double full = l->recipe.learning_rate * l->recipe.learning_rate_multiplier;
    const double t = (double)l->state.step + 1, warm = (double)l->recipe.warmup_steps,
                 all = (double)l->total_steps;

    if (t < warm)
        return full * t / warm;
    return l->recipe.schedule == RATE_LINEAR ? full * (all - t + 1) / (all - warm + 1) : full;
}

/* The rows of the next step; n at most. */
static size_t next_rows(struct loop *l, size_t **items)
{
    const size_t n = l->train.n, b = l->recipe.batch_size;
    const size_t at = (size_t)(l->state.step % l->steps_an_epoch) * b, k = size_min(b, n - at);
    const uint32_t *order =
        epoch_rows(&l->epoch, l->recipe.seed, l->state.step / l->steps_an_epoch, n, &l->run);

    *items = ARENA_ARRAY(&l->step, size_t, k);
    for (size_t i = 0; i < k; i++)
        (*items)[i] = order[at + i];
    return k;
}

static bool update(struct loop *l, struct fit_metrics *m, struct error *err)
{
    const double began = clock_seconds();
    size_t *items;
    const size_t n = next_rows(l, &items);
    struct rows_of r = rows_take(l, &l->train, l->reference.train, items, n, "training");

    if (!rows_differentiate(l, &r, &m->rows_trained, err))
        return false;
    m->train = rows_measure(&r);
    m->learning_rate = learning_rate(l);
    m->grad_norm = optimizer_step(&l->trained.optimizer, m->learning_rate, l->trained.values,
                                  l->trained.grads);
    trained_changed(&l->trained);
    l->state.trained_tokens += r.n_learned;
    l->state.cursor += n;
    m->seconds_training = clock_seconds() - began;
    return isfinite(m->grad_norm) ||
           tell(l, err, EVENT_WARN,
                "Step %zu: the gradient is not a finite number; nothing was changed.", m->step);
}

/* A step that is given up has not happened: the steps before are not done twice. */
static bool give_up(struct loop *l, const struct train_state *before, struct error *err)
{
    struct error ignored;

    l->state = *before;
    if (err->kind == ERR_CANCELLED && before->step > checkpoint_last(l->in->run_dir))
        (void)!save(l, NULL, &ignored);
    return false;
}

static bool one_step(struct loop *l, struct error *err)
{
    const uint64_t step = l->state.step + 1;
    struct fit_metrics m = {.step = (size_t)step,
                            .total_steps = (size_t)l->total_steps,
                            .epoch = (size_t)(l->state.step / l->steps_an_epoch) + 1,
                            .epoch_ends = step % l->steps_an_epoch == 0};
    const struct progress_sink *sink = l->in->sink;
    const struct train_state before = l->state;
    const double began = clock_seconds();
    struct rusage usage;

    arena_reset(&l->step);
    if (!memory_watch_step(&l->watch, err))
        return false;
    if (!update(l, &m, err))
        return give_up(l, &before, err);
    l->state.step = step;
    l->state.fit.last_loss = m.train.loss;
    if (step == 1)
        l->state.fit.first_loss = m.train.loss;
    if (!validate(l, &m, err))
        return false;
    trained_sha256(&l->trained, m.adapter_sha256);
    getrusage(RUSAGE_SELF, &usage);
    m.peak_rss_bytes = (size_t)usage.ru_maxrss * 1024;
    m.seconds_total = clock_seconds() - began;
    m.seconds_left = (clock_seconds() - l->began) / (double)(step - l->began_at_step) *
                     (double)(l->total_steps - step);
    if (sink != NULL && sink->fit_step != NULL && !sink->fit_step(sink->ctx, &m, err))
        return false;
    if (m.epoch_ends || step == l->total_steps)
        keep_epoch(l, step);
    if (m.epoch_ends || step == l->total_steps || step % l->recipe.checkpoint_interval == 0)
        return save(l, &m, err);
    return true;
}

/* ---- the whole ---- */

/* What the job leaves open: by the number of rows, then by that of the steps. */
static void settle(struct loop *l)
{
    struct recipe *r = &l->recipe;
    const size_t n = l->train.n;

    if (r->batch_size == 0)
        r->batch_size = size_min(256, size_max(1, (n + 250) / 500)); /* 0.2 % */
    r->batch_size = size_min(r->batch_size, n);
    l->steps_an_epoch = (n + r->batch_size - 1) / r->batch_size;
    if (r->n_epochs == 0 && r->max_steps == 0)
        r->n_epochs = 3;
    l->total_steps = r->max_steps > 0 ? r->max_steps : r->n_epochs * l->steps_an_epoch;
    r->n_epochs = (size_t)((l->total_steps + l->steps_an_epoch - 1) / l->steps_an_epoch);
    r->max_steps = (size_t)l->total_steps;
    if (r->warmup_steps == RECIPE_AUTO)
        r->warmup_steps = size_min(100, r->max_steps / 20);
    r->warmup_steps = size_min(r->warmup_steps, r->max_steps);
    if (r->eval_interval == 0)
        r->eval_interval = size_max(1, r->max_steps / 10);
    if (r->checkpoint_interval == 0)
        r->checkpoint_interval = size_min(100, size_max(10, r->max_steps / 10));
}

static bool tell_settled(const struct loop *l, struct error *err)
{
    const struct progress_sink *sink = l->in->sink;

    if (sink == NULL || sink->settled == NULL)
        return true;
    json_t *values = recipe_all(&l->recipe), *more = recipe_hyperparameters(&l->recipe);
    json_object_update_missing(values, more);
    json_decref(more);
    json_object_set_new(values, "total_steps", json_integer((json_int_t)l->total_steps));
    json_object_set_new(values, "memory_plan", memory_plan_json(&l->plan));
    const bool ok = sink->settled(sink->ctx, values, err);
    json_decref(values);
    return ok;
}

/* The rows are there, and nothing else of the job. */
static bool plan_memory(struct loop *l, struct error *err)
{
    const struct fit_inputs *in = l->in;
    const size_t longest = size_max(l->train.longest, l->valid.longest);

    memory_peak_forget();
    l->memory = (struct memory_work){
        .model = in->model, .recipe = &l->recipe, .n_valid = l->valid.n, .longest = longest};
    memory_work_look(&l->memory);
    l->plan = memory_plan_of(&l->memory);
    return memory_need_fits_here(in->model, &l->recipe, longest, l->memory.process, memory_total(),
                                 err);
}

static bool set_up(struct loop *l, struct error *err)
{
    const struct fit_inputs *in = l->in;
    const struct engine_options eo = engine_defaults(in->model);
    const size_t room = in->model->max_positions;

    if (!fit_rows_make(in->prompter, in->train, l->recipe.method, room, &l->run, &l->train, err) ||
        (in->valid != NULL &&
         !fit_rows_make(in->prompter, in->valid, l->recipe.method, room, &l->run, &l->valid, err)))
        return false;
    trained_take_rank(in->start, &l->recipe, l->rank_note, sizeof l->rank_note);
    settle(l);
    const struct trained_options opt = {
        .recipe = &l->recipe, .start = in->start, .base_name = in->base_name};
    l->recipe.memory_bytes = recipe_memory_bytes(&l->recipe);
    if (!plan_memory(l, err) ||
        !engine_open(in->model, prompter_tokenizer(in->prompter), &eo, &l->engine, err) ||
        !trained_open(in->model, &opt, &l->run, &l->trained, err) ||
        !memory_plan_open_saved(&l->plan, &in->model->config, l->recipe.lora_rank, &l->saved, err))
        return false;
    l->watch = (struct memory_watch){.plan = &l->plan, .saved = l->saved, .sink = in->sink};
    return true;
}

static void close_loop(struct loop *l)
{
    engine_close(l->engine);
    saved_pool_close(l->saved);
    trained_close(&l->trained);
    arena_release(&l->step);
    arena_release(&l->run);
}

/* What dpo compares with: the model before the first update, which is the one in trained now. */
static bool get_reference(struct loop *l, bool resume, struct error *err)
{
    const struct fit_inputs *in = l->in;
    struct rows_of all = {.l = l, .n = l->train.n, .phase = "reference"};
    const struct gradient x = gradient_of(l, &all);
    char model[65 + 256] = "";

    if (!is_dpo(l))
        return true;
    if (in->start != NULL)
        adapter_sha256(in->start, model);
    snprintf(model + strlen(model), sizeof model - strlen(model), " %.255s", in->base_name);
    return reference_get(&x, in->run_dir, &l->train, in->valid != NULL ? &l->valid : NULL, model,
                         resume, &l->run, &l->reference, err);
}

static bool rewind_to(const struct loop *l, uint64_t step, struct error *err)
{
    const struct progress_sink *sink = l->in->sink;

    return sink == NULL || sink->rewind == NULL || sink->rewind(sink->ctx, (size_t)step, err);
}

static bool tell_start(const struct loop *l, struct error *err)
{
    return tell(l, err, EVENT_INFO,
                "Fine-tuning job started: %zu rows with %zu tokens to learn, %zu rows a step, "
                "%" PRIu64 " steps in %zu epochs.",
                l->train.n, l->train.total_learned, l->recipe.batch_size, l->total_steps,
                l->recipe.n_epochs) &&
           (l->rank_note[0] == '\0' || tell(l, err, EVENT_INFO, "%s", l->rank_note)) &&
           (!is_dpo(l) ||
            tell(l, err, EVENT_INFO,
                 "First the model as it is scores all %zu answers: training compares with that.",
                 l->train.first_answer[l->train.n] +
                     (l->valid.n > 0 ? l->valid.first_answer[l->valid.n] : 0))) &&
           memory_plan_tell(&l->plan, l->in->sink, err) && tell_settled(l, err);
}

static bool begin(struct loop *l, struct error *err)
{
    const struct fit_inputs *in = l->in;
    const uint64_t at = in->resume ? checkpoint_last(in->run_dir) : 0;
    struct fit_measure *base = &l->state.fit.base_valid;

    l->state = (struct train_state){.rate_scale = 1};
    if (at > 0) {
        /* the reference first: it is of the model without the checkpoint's values */
        if (!get_reference(l, true, err) ||
            !checkpoint_load(in->run_dir, at, in->model, l->trained.adapter, &l->trained.optimizer,
                             &l->state, err) ||
            !checkpoint_prune(in->run_dir, &l->state, l->recipe.keep_best, l->recipe.keep_optimizer,
                              err))
            return false;
        trained_changed(&l->trained);
        return rewind_to(l, at, err) &&
               tell(l, err, EVENT_INFO, "Resumed after step %" PRIu64 ".", at) &&
               memory_plan_tell(&l->plan, in->sink, err) && tell_settled(l, err);
    }
    l->state.fit = (struct fit_state){.on = true, .has_valid = l->valid.n > 0};
    if ((in->resume && !rewind_to(l, 0, err)) || !tell_start(l, err) ||
        !get_reference(l, false, err))
        return false;
    if (l->valid.n == 0)
        return true;
    if (!measure_all_valid(l, base, err))
        return false;
    l->state.fit.valid = *base;
    return tell(l, err, EVENT_INFO,
                "Before training, the loss on the validation file is %.4f, and %.1f %% of its "
                "tokens are the likeliest ones.",
                base->loss, 100 * base->token_accuracy);
}

static void result_of(const struct loop *l, struct fit_result *out)
{
    const struct fit_state *s = &l->state.fit;

    *out = (struct fit_result){.steps = (size_t)l->state.step,
                               .n_epochs = l->recipe.n_epochs,
                               .first_loss = s->first_loss,
                               .last_loss = s->last_loss,
                               .has_valid = s->has_valid,
                               .base_valid = s->base_valid,
                               .valid = s->valid,
                               .trained_tokens = (size_t)l->state.trained_tokens};
    out->planned_bytes = l->plan.peak;
    out->peak_bytes = memory_peak();
    trained_sha256(&l->trained, out->adapter_sha256);
}

bool fit(const struct fit_inputs *in, struct fit_result *out, struct error *err)
{
    struct loop l = {.in = in, .recipe = *in->recipe};
    bool ok = set_up(&l, err) && begin(&l, err);

    l.began = clock_seconds();
    l.began_at_step = l.state.step;
    while (ok && l.state.step < l.total_steps) {
        ok = one_step(&l, err);
        if (ok && in->stop != NULL && atomic_load(in->stop) && l.state.step < l.total_steps)
            ok = (checkpoint_last(in->run_dir) == l.state.step || save(&l, NULL, err)) &&
                 fail(err, ERR_CANCELLED, "stopped on request after step %" PRIu64, l.state.step);
    }
    ok = ok && memory_watch_end(&l.watch, err);
    if (ok)
        result_of(&l, out);
    close_loop(&l);
    return ok;
}

/* ---- before it starts ---- */

static void foretell(const struct loop *l, double step_seconds, double valid_row_seconds,
                     struct fit_report *out)
{
    const struct recipe *r = &l->recipe;
    const double batch = (double)size_min(l->valid.n, size_max(LEAST_VALID, r->batch_size));
    const double row_looks = (double)(r->n_epochs + 1) * (double)l->valid.n +
                             (double)(l->total_steps / r->eval_interval) * batch;

    out->seconds_per_step = step_seconds;
    out->seconds_total =
        step_seconds * (double)l->total_steps + valid_row_seconds * row_looks +
        (is_dpo(l) ? step_seconds / (double)r->batch_size / 3 * (double)l->train.n : 0);
    out->plan = l->plan;
    out->memory_bytes = l->plan.peak;
}

/* A third of a step is its forward: the reference of the first batch is computed for the report too. */
static bool first_batch(struct loop *l, struct fit_report *out, struct error *err)
{
    size_t *items;
    const size_t n = next_rows(l, &items);
    struct rows_of r = rows_take(l, &l->train, NULL, items, n, "training");
    size_t rows = 0;

    if (is_dpo(l)) {
        r.reference = ARENA_ARRAY(&l->step, double, r.n_answers);
        if (!rows_look(l, &r, err))
            return false;
        for (size_t i = 0; i < r.n_answers; i++)
            r.reference[i] = r.answers[i].logp;
    }
    const double began = clock_seconds();
    if (!rows_differentiate(l, &r, &rows, err))
        return false;
    const double seconds = clock_seconds() - began;
    out->first = rows_measure(&r);
    foretell(l, seconds, l->valid.n > 0 ? seconds / (double)n / 3 : 0, out);
    return true;
}

bool fit_check(const struct fit_inputs *in, struct fit_report *out, struct error *err)
{
    struct loop l = {.in = in, .recipe = *in->recipe};
    struct fit_report r = {0};
    bool ok = set_up(&l, err);

    if (ok) {
        r = (struct fit_report){.method = l.recipe.method,
                                .n_rows_train = l.train.n,
                                .n_rows_valid = l.valid.n,
                                .tokens = l.train.total_tokens,
                                .learned = l.train.total_learned,
                                .longest = l.train.longest,
                                .longest_line = l.train.longest_line,
                                .batch_size = l.recipe.batch_size,
                                .n_epochs = l.recipe.n_epochs,
                                .steps = (size_t)l.total_steps};
        ok = first_batch(&l, &r, err);
    }
    close_loop(&l);
    if (ok)
        *out = r;
    return ok;
}
