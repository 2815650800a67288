/*
 * fake_run.h - a training run that never took place, told to a progress_sink: for the run folder, the report and the
 * terminal view to be tried against without a model.
 *
 * The task is the demo's: which organ does a sign concern? What is told is a function of (seed, step) alone, so any stretch of
 * steps can be told again. The curve is that of a real run: first prose that is cut off, then the form is learned, then the
 * matter.
 */
#ifndef HONE_TESTS_JOB_FAKE_RUN_H
#define HONE_TESTS_JOB_FAKE_RUN_H

#include "base/buf.h"
#include "base/file.h"
#include "base/philox.h"
#include "base/sha256.h"
#include "job/run_folder.h"

#include <math.h>
#include <stdio.h>

struct fake_run {
    size_t n_steps, n_groups, n_samples; /* per step: groups, and samples in each */
    size_t n_valid, eval_interval;       /* answers of a validation; every so many steps */
    size_t n_graders;                    /* 1: "organ"; 2: and "form" */
    size_t n_thinking;                   /* words of thinking before an answer; 0: none */
    bool hostile;                        /* answers that try to break out of a page */
    bool collapses;                      /* from half way on every answer is the same */
    bool lone;                           /* equal answers are not told to be equal */
    const char *dir;                     /* where checkpoints/step-N are made, or NULL */
};

static inline struct fake_run fake_run_defaults(void)
{
    return (struct fake_run){.n_steps = 150,
                             .n_groups = 8,
                             .n_samples = 16,
                             .n_valid = 60,
                             .eval_interval = 10,
                             .n_graders = 2,
                             .n_thinking = 0};
}

static const struct {
    const char *sign, *organ;
} fake_rows[] = {
    {"Renal tubular acidosis", "kidney"},
    {"Nephrocalcinosis", "kidney"},
    {"Proteinuria", "kidney"},
    {"Multicystic dysplasia", "kidney"},
    {"Horseshoe malformation", "kidney"},
    {"Retinal dystrophy", "eye"},
    {"Anterior polar cataract", "eye"},
    {"Iris coloboma", "eye"},
    {"Nystagmus", "eye"},
    {"Keratoconus", "eye"},
    {"Bicuspid aortic valve", "heart"},
    {"Vasovagal syncope", "heart"},
    {"Tetralogy of Fallot", "heart"},
    {"Mitral regurgitation", "heart"},
    {"Prolonged QT interval", "heart"},
    {"Café-au-lait spot", "skin"},
    {"Palmoplantar hyperkeratosis", "skin"},
    {"Ichthyosis", "skin"},
    {"Hypopigmented macule", "skin"},
    {"Blistering after friction", "skin"},
    {"Short femoral neck", "bone"},
    {"Osteopenia", "bone"},
    {"Coxa valga", "bone"},
    {"Delayed closure of the fontanelle", "bone"},
    {"Craniosynostosis", "bone"},
    {"Pachygyria", "brain"},
    {"Infantile spasms", "brain"},
    {"Cerebellar hypoplasia", "brain"},
    {"Agenesis of the corpus callosum", "brain"},
    {"Ventriculomegaly", "brain"},
};
#define FAKE_ROWS (sizeof fake_rows / sizeof *fake_rows)
static const char *const fake_organs[] = {"eye", "heart", "skin", "bone", "brain", "kidney"};

static inline double fake_uniform(size_t step, size_t a, size_t b, size_t c)
{
    return (double)philox_uniform(7, PHILOX_TEST, (uint32_t)step, (uint32_t)a, (uint32_t)b,
                                  (uint32_t)c);
}

/* 0..1: how far the run has come after a step, with some unrest. */
static inline double fake_skill(const struct fake_run *f, size_t step, double midpoint,
                                double width)
{
    const double t = (double)step / (double)f->n_steps;

    return 1 / (1 + exp(-(t - midpoint) / width));
}

/* Writes thinking and answer of one sample; true where the answer is the right one. */
static inline bool fake_answer(const struct fake_run *f, size_t step, size_t row, size_t a,
                               size_t b, struct buf *thinking, struct buf *answer, bool *truncated)
{
    static const char *const hostile[] = {
        "<script>document.title='broken'</script>",
        "</script><img src=x onerror=alert(1)>",
        "--> ]]> <!-- ",
        "line\xE2\x80\xA8separator\xE2\x80\xA9 \x1b[31mred\x07 {{7*7}} ${1}",
        "\" onmouseover=\"alert(1)",
    };
    const double form = 0.08 + 0.91 * fake_skill(f, step, 0.12, 0.035);
    const double knows =
        0.2 + 0.68 * fake_skill(f, step, 0.33, 0.12) - 0.1 * fake_uniform(0, row, 1, 1);
    const bool right = fake_uniform(step, a, b, 1) < knows;
    const char *organ =
        right ? fake_rows[row].organ : fake_organs[(size_t)(fake_uniform(step, a, b, 2) * 6)];

    buf_clear(thinking);
    buf_clear(answer);
    *truncated = false;
    for (size_t i = 0; i < f->n_thinking; i++)
        buf_printf(thinking, "%s%s", i == 0 ? "" : " ",
                   i % 9 == 0   ? fake_rows[row].sign
                   : i % 9 == 4 ? "so it concerns the"
                   : i % 9 == 5 ? organ
                                : "and we recall that");
    if (f->hostile && fake_uniform(step, a, b, 3) < 0.3) {
        buf_text(answer, hostile[(size_t)(fake_uniform(step, a, b, 4) * 5)]);
        return false;
    }
    if (f->collapses && step > f->n_steps / 2)
        organ = "eye";
    if (fake_uniform(step, a, b, 5) >= form) {
        buf_printf(answer, "The sign \"%s\" is a medical term that refers to a condition of the",
                   fake_rows[row].sign);
        *truncated = true;
        return false;
    }
    buf_printf(answer, "%c%s%s", organ[0] - ('a' - 'A') * (fake_uniform(step, a, b, 6) < 0.7),
               organ + 1, fake_uniform(step, a, b, 7) < 0.2 ? "." : "");
    return strcmp(organ, fake_rows[row].organ) == 0;
}

/* Words as tokens: an id is a place in this table, which grows. */
struct fake_words {
    char text[4096][48];
    size_t n;
};

static inline int32_t fake_token(struct fake_words *w, struct str word)
{
    char text[48];

    snprintf(text, sizeof text, STR_FMT, (int)(word.len < 47 ? word.len : 47), word.ptr);
    for (size_t i = 0; i < w->n; i++)
        if (strcmp(w->text[i], text) == 0)
            return (int32_t)i;
    if (w->n + 1 >= 4096)
        return 0;
    memcpy(w->text[w->n], text, sizeof text);
    return (int32_t)w->n++;
}

static inline struct str fake_token_text(void *ctx, int32_t id)
{
    const struct fake_words *w = ctx;

    return id >= 0 && (size_t)id < w->n ? str_of(w->text[id]) : STR("");
}

static inline size_t fake_tokens(struct fake_words *w, struct str text, int32_t *out, size_t max)
{
    size_t n = 0;

    for (size_t i = 0; i < text.len && n < max; n++) {
        size_t end = i + 1;

        while (end < text.len && text.ptr[end] != ' ' && end - i < 7)
            end++;
        out[n] = fake_token(w, (struct str){text.ptr + i, end - i});
        i = end;
    }
    return n;
}

struct fake_teller {
    const struct fake_run *f;
    struct progress_sink sink;
    struct fake_words *words;
    struct buf thinking, answer, prompt;
    struct buf mine; /* what the sample says that others are compared with */
    struct step_metrics m;
    bool quiet; /* answers are counted, and not told */
    double reward_sum, reward_squares, entropy_sum;
};

static inline bool fake_tell_rollout(struct fake_teller *t, size_t step, bool valid, size_t item,
                                     size_t sample, size_t n_in_group, size_t a, struct error *err)
{
    const size_t row = item % FAKE_ROWS;
    struct grade_result g = {.n_parts = t->f->n_graders, .seconds = 0.0004};
    int32_t tokens[512];
    float logprobs[512];
    bool truncated;
    bool right = fake_answer(t->f, step, row, a, sample, &t->thinking, &t->answer, &truncated);
    size_t n_right = 0, alike[256], n_alike = 0;

    buf_clear(&t->mine);
    buf_str(&t->mine, buf_view(&t->thinking));
    buf_str(&t->mine, buf_view(&t->answer));
    for (size_t s = 0; s < n_in_group; s++) { /* leave-one-out, as the loop does it */
        bool cut;

        n_right += fake_answer(t->f, step, row, a, s, &t->thinking, &t->answer, &cut);
        buf_str(&t->thinking, buf_view(&t->answer));
        if (str_eq(buf_view(&t->thinking), buf_view(&t->mine)))
            alike[n_alike++] = s;
    }
    right = fake_answer(t->f, step, row, a, sample, &t->thinking, &t->answer, &truncated);
    const double others = n_in_group > 1 ? (double)(n_right - right) / (double)(n_in_group - 1) : 0;
    const bool flat = n_right == 0 || n_right == n_in_group;

    g.reward = g.part[0] = right;
    g.part[1] = !truncated;
    g.part_seconds[0] = g.part_seconds[1] = 0.0004;
    if (fake_uniform(step, a, alike[0], 8) < 0.01) {
        g.flags = g.part_flags[0] = GRADE_PYTHON_RUNTIME_ERROR;
        g.reward = g.part[0] = 0;
        snprintf(g.details, sizeof g.details,
                 "Traceback (most recent call last):\n  File \"grader.py\", line 6, in grade\n"
                 "KeyError: 'answer'");
    }
    buf_clear(&t->prompt);
    buf_printf(
        &t->prompt,
        "<|im_start|>user\n%s: is it a sign of the eye, heart, skin, bone, brain or kidney? Answer with one "
        "word.<|im_end|>\n<|im_start|>assistant\n",
        fake_rows[row].sign);
    const size_t n_thinking = fake_tokens(t->words, buf_view(&t->thinking), tokens, 400);
    size_t n = n_thinking + fake_tokens(t->words, buf_view(&t->answer), tokens + n_thinking, 100);
    tokens[n++] = fake_token(t->words, STR("<|im_end|>"));
    const double certain = fake_skill(t->f, step, 0.25, 0.1);
    for (size_t i = 0; i < n; i++) {
        const double u = fake_uniform(step, a * 64 + alike[0], i, 9);

        logprobs[i] = (float)(-3.2 * u * u * (1.05 - 0.85 * certain));
        t->entropy_sum += valid ? 0 : -(double)logprobs[i];
    }
    json_t *item_row =
        json_pack("{s:[{s:s,s:s}],s:s,s:s}", "messages", "role", "user", "content", "(as above)",
                  "answer", fake_rows[row].organ, "sign", fake_rows[row].sign);
    const struct rollout r = {.step = step,
                              .valid = valid,
                              .item = item,
                              .sample = sample,
                              .alike = alike,
                              .n_alike = t->f->lone ? 0 : n_alike,
                              .prompt = buf_view(&t->prompt),
                              .row = item_row,
                              .n_tokens = n,
                              .tokens = tokens,
                              .logprobs = logprobs,
                              .thinking = buf_view(&t->thinking),
                              .answer = buf_view(&t->answer),
                              .n_thinking_tokens = n_thinking,
                              .truncated = truncated,
                              .grade = &g,
                              .advantage =
                                  valid || flat ? 0 : (float)(((double)right - others) / 0.45),
                              .trained = !valid && !flat};
    const bool ok = t->quiet || t->sink.rollout(t->sink.ctx, &r, err);
    json_decref(item_row);
    struct step_metrics *m = &t->m;
    if (valid) {
        m->valid_mean_reward += g.reward / (double)t->f->n_valid;
        m->grader_valid_mean[0] += g.part[0] / (double)t->f->n_valid;
        m->grader_valid_mean[1] += g.part[1] / (double)t->f->n_valid;
        m->valid_completion_tokens_mean += (double)n / (double)t->f->n_valid;
        m->valid_reasoning_tokens_mean += (double)n_thinking / (double)t->f->n_valid;
        return ok;
    }
    const double share = 1 / (double)(t->f->n_groups * t->f->n_samples);
    m->train_mean_reward += g.reward * share;
    t->reward_squares += g.reward * g.reward * share;
    m->grader_train_mean[0] += g.part[0] * share;
    m->grader_train_mean[1] += g.part[1] * share;
    m->completion_tokens_mean += (double)n * share;
    m->reasoning_tokens_mean += (double)n_thinking * share;
    m->truncated_share += truncated * share;
    m->tokens_sampled += n;
    m->tokens_trained += flat ? 0 : n;
    m->grader_errors[7] += g.flags != 0;
    if (sample == 0) {
        m->n_flat_groups += flat;
        m->n_groups_all_zero += n_right == 0;
        m->n_groups_all_one += n_right == n_in_group;
        m->tokens_prompt += 38;
    }
    return ok;
}

/* All answers of a step's prompts: counted, and told unless quiet. */
static inline bool fake_tell_answers(struct fake_teller *t, size_t step, bool quiet,
                                     struct error *err)
{
    const struct fake_run *f = t->f;

    t->quiet = quiet;
    for (size_t g = 0; g < f->n_groups; g++) {
        const size_t item = (step * f->n_groups + g) * 7 % (FAKE_ROWS * 16);

        for (size_t s = 0; s < f->n_samples; s++) {
            if (quiet && t->sink.tick != NULL)
                t->sink.tick(t->sink.ctx, "sampling", g * f->n_samples + s,
                             f->n_groups * f->n_samples);
            if (!fake_tell_rollout(t, step, false, item, s, f->n_samples, g, err))
                return false;
        }
        if (!quiet && t->sink.tick != NULL)
            t->sink.tick(t->sink.ctx, "training", g, f->n_groups);
    }
    return true;
}

static inline bool fake_validate(struct fake_teller *t, size_t step, struct error *err)
{
    const struct fake_run *f = t->f;

    t->quiet = false;
    t->m.has_valid = true;
    for (size_t i = 0; i < f->n_valid; i++) {
        if (!fake_tell_rollout(t, step, true, i, 0, 1, 1000 + i, err))
            return false;
        if (t->sink.tick != NULL)
            t->sink.tick(t->sink.ctx, "evaluating", i, f->n_valid);
    }
    return true;
}

/* What is measured of a step beside its answers. */
static inline void fake_measure(struct fake_teller *t, size_t step)
{
    const struct fake_run *f = t->f;
    struct step_metrics *m = &t->m;
    const double p = m->train_mean_reward, n = (double)m->n_samples;
    m->epoch = step * f->n_groups / (FAKE_ROWS * 16) + 1;
    m->reward_std = sqrt(fmax(0, t->reward_squares - p * p));
    m->entropy = n > 0 ? t->entropy_sum / fmax(1, m->completion_tokens_mean * n) : 0;
    m->kl =
        0.002 + 0.02 * fake_uniform(step, 1, 1, 20) * (1 - 0.7 * (double)step / (double)f->n_steps);
    m->grad_norm = 0.2 + fake_uniform(step, 1, 1, 21) * 0.8;
    m->learning_rate = 2e-4 * fmin(1, (double)step / 5);
    m->loss = -0.02 + 0.04 * fake_uniform(step, 1, 1, 22);
    m->temperature = 1;
    m->rolled_back = step == 47;
    m->valid_ci95 = 1.96 * sqrt(fmax(0.0001, m->valid_mean_reward * (1 - m->valid_mean_reward)) /
                                (double)f->n_valid);
    m->valid_greedy_reward = fmin(1, m->valid_mean_reward * 1.06);
    m->seconds_sampling =
        1.1 + 0.05 * m->completion_tokens_mean + 0.2 * fake_uniform(step, 1, 1, 23);
    m->seconds_grading_wait = 0.02 + 0.02 * fake_uniform(step, 1, 1, 24);
    m->seconds_training =
        1.6 + 0.07 * m->completion_tokens_mean + 0.2 * fake_uniform(step, 1, 1, 25);
    m->seconds_eval = m->has_valid ? 3.4 : 0;
    m->seconds_total = m->seconds_sampling + m->seconds_grading_wait + m->seconds_training +
                       m->seconds_eval + 0.03;
    m->seconds_left = (double)(f->n_steps - step) * 3.5;
    m->peak_rss_bytes = (size_t)900 << 20;
    for (size_t i = 0; i < f->n_graders; i++)
        m->grader_seconds_mean[i] = 0.0004;
    snprintf(m->adapter_sha256, sizeof m->adapter_sha256, "%s", sha256_of(&step, sizeof step).hex);
}

static inline bool fake_explain(struct fake_teller *t, struct error *err)
{
    const struct step_metrics *m = &t->m;
    char text[256];

    snprintf(text, sizeof text, "Step %zu: %zu of %zu prompts carry no signal: every answer got 0.",
             m->step, m->n_groups_all_zero, m->n_groups);
    if (m->n_groups_all_zero * 2 > m->n_groups &&
        !t->sink.event(t->sink.ctx, EVENT_WARN, text, err))
        return false;
    snprintf(text, sizeof text,
             "Step %zu: the update moved the model too far (KL 0.31, allowed 0.10) and was undone.",
             m->step);
    return !m->rolled_back || t->sink.event(t->sink.ctx, EVENT_WARN, text, err);
}

static inline bool fake_save(struct fake_teller *t, struct error *err)
{
    const struct fake_run *f = t->f;
    char text[256];

    if (t->sink.before_checkpoint != NULL &&
        !t->sink.before_checkpoint(t->sink.ctx, t->m.step, err))
        return false;
    snprintf(text, sizeof text, "%s/checkpoints/step-%zu", f->dir == NULL ? "" : f->dir, t->m.step);
    if (f->dir != NULL && !file_make_dirs(text, err)) /* the trainer saves, then tells */
        return false;
    snprintf(text, sizeof text, "checkpoints/step-%zu", t->m.step);
    const struct checkpoint_info c = {.step = t->m.step,
                                      .valid_mean_reward = t->m.valid_mean_reward,
                                      .best = true,
                                      .stays = true,
                                      .dir = text};
    return t->sink.checkpoint(t->sink.ctx, &c, err);
}

/* In the order of the loop: validation, explanations, answers, step, checkpoint. */
static inline bool fake_tell_step(struct fake_teller *t, size_t step, struct error *err)
{
    const struct fake_run *f = t->f;
    struct step_metrics *m = &t->m;
    const bool has_valid = f->n_valid > 0 && (step % f->eval_interval == 0 || step == f->n_steps);

    *m = (struct step_metrics){.step = step,
                               .total_steps = f->n_steps,
                               .n_graders = f->n_graders,
                               .n_groups = f->n_groups,
                               .n_samples = f->n_groups * f->n_samples};
    t->reward_squares = t->entropy_sum = 0;
    if (step == 0)
        return !has_valid || (fake_validate(t, 0, err) &&
                              t->sink.event(t->sink.ctx, EVENT_INFO,
                                            "Before training, the validation was measured.", err));
    if (!fake_tell_answers(t, step, true, err) || (has_valid && !fake_validate(t, step, err)))
        return false;
    fake_measure(t, step);
    const struct step_metrics measured = *m;
    if (!fake_explain(t, err) || !fake_tell_answers(t, step, false, err))
        return false;
    *m = measured;
    return t->sink.step(t->sink.ctx, m, err) && (!has_valid || fake_save(t, err));
}

/* Tells steps first..last (0: the validation before training), and what is said before and after a run. */
static inline bool fake_run_tell(const struct fake_run *f, struct progress_sink sink,
                                 struct fake_words *words, size_t first, size_t last,
                                 struct error *err)
{
    struct fake_teller t = {.f = f, .sink = sink, .words = words};
    bool ok = true;

    buf_init(&t.thinking, 1 << 20);
    buf_init(&t.answer, 1 << 20);
    buf_init(&t.prompt, 1 << 20);
    buf_init(&t.mine, 1 << 20);
    if (first == 0)
        ok = sink.event(sink.ctx, EVENT_INFO, "Fine-tuning job started", err);
    for (size_t step = first; ok && step <= last; step++)
        ok = fake_tell_step(&t, step, err);
    if (ok && last == f->n_steps)
        ok = sink.event(sink.ctx, EVENT_INFO, "The job has successfully completed", err);
    buf_release(&t.thinking);
    buf_release(&t.answer);
    buf_release(&t.prompt);
    buf_release(&t.mine);
    return ok;
}

static const char *const fake_grader_names[] = {"organ", "form"};
static const char *const fake_grader_types[] = {"python", "string_check"};

static inline json_t *fake_job(void)
{
    return json_pack(
        "{s:s,s:s,s:s,s:s,s:i,s:{s:s,s:{s:{s:s,s:s,s:s},s:{s:s,s:s,s:s}}}}", "model",
        "SmolLM2-135M-Instruct.Q4_1.gguf", "training_file", "organ/train.jsonl", "validation_file",
        "organ/valid.jsonl", "suffix", "organ", "seed", 1, "method", "type", "reinforcement",
        "reinforcement", "grader", "type", "python", "name", "organ", "source",
        "def grade(sample, item):\n    return float(sample[\"output_text\"] == item[\"answer\"])\n",
        "hyperparameters", "n_epochs", "auto", "batch_size", "auto", "learning_rate_multiplier",
        "auto");
}

static struct run_listener fake_listener; /* of every folder opened below */

/* Opens DIR for such a run. */
static inline bool fake_folder_open(const char *dir, const struct fake_run *f,
                                    struct fake_words *words, bool resume, struct run_folder **out,
                                    struct error *err)
{
    json_t *job = fake_job();
    json_t *resolved =
        json_pack("{s:i,s:i,s:f,s:i,s:i}", "batch_size", (int)f->n_groups, "samples_per_prompt",
                  (int)f->n_samples, "learning_rate", 2e-4, "eval_interval", (int)f->eval_interval,
                  "n_steps", (int)f->n_steps);
    const struct run_folder_options opt = {.job = job,
                                           .resolved = resolved,
                                           .n_graders = f->n_graders,
                                           .grader_names = fake_grader_names,
                                           .grader_types = fake_grader_types,
                                           .resume = resume,
                                           .listener = fake_listener,
                                           .tokens = {.text = fake_token_text, .ctx = words}};
    const bool ok = run_folder_open(dir, &opt, out, err);

    json_decref(job);
    json_decref(resolved);
    return ok;
}
#endif
