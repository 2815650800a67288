/*
 * live_view.c - keeps what was told, and lays it out from the most important line down, as far as there is room.
 */
#include "cli/live_view.h"
#include "base/size.h"
#include "cli/live_chart.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>

void live_view_release(struct live_view *v)
{
    arena_release(&v->arena);
    v->point = NULL;
    v->n_points = v->cap_points = 0;
}

/* ---- what is told ---- */

/* Whether two messages are the same but for their numbers. */
static bool same_kind(const char *a, const char *b)
{
    static const char numbers[] = "0123456789.-+";

    for (;;) {
        a += strspn(a, numbers);
        b += strspn(b, numbers);
        if (*a != *b)
            return false;
        if (*a == '\0')
            return true;
        a++;
        b++;
    }
}

/* The place of the new event; the one of its kind, or the oldest, makes room. */
static size_t make_room(struct live_view *v, const char *message, size_t *times)
{
    size_t out = v->n_events == LIVE_EVENTS ? 0 : v->n_events;

    *times = 1;
    for (size_t i = 0; i < v->n_events; i++)
        if (same_kind(v->event[i].text, message)) {
            out = i;
            *times = v->event[i].times + 1;
        }
    if (out < v->n_events) {
        memmove(&v->event[out], &v->event[out + 1], (v->n_events - out - 1) * sizeof v->event[0]);
        v->n_events--;
    }
    return v->n_events++;
}

void live_view_event(struct live_view *v, enum event_level level, const char *message)
{
    unsigned long long named = v->has_last ? v->last.step : 0;
    char text[LIVE_TEXT];
    size_t times;
    int prefix = 0;

    if (sscanf(message, "Step %llu: %n", &named, &prefix) == 1 && prefix > 0)
        message += prefix;
    snprintf(text, sizeof text, "%s", message);
    struct live_event *e = &v->event[make_room(v, text, &times)];
    *e = (struct live_event){.level = level, .step = (size_t)named, .times = times};
    memcpy(e->text, text, sizeof text);
}

static size_t keep(char *to, size_t room, struct str s)
{
    const size_t n = size_min(s.len, room);

    memcpy(to, s.ptr, n);
    return n;
}

/* What all prompts begin and end with. */
static void compare_prompt(struct live_view *v, struct str prompt)
{
    size_t n = 0;

    if (v->first_prompt_len == 0) {
        v->first_prompt_len = keep(v->first_prompt, sizeof v->first_prompt, prompt);
        v->front = v->back = v->first_prompt_len;
        return;
    }
    while (n < v->front && n < prompt.len && prompt.ptr[n] == v->first_prompt[n])
        n++;
    v->front = n;
    for (n = 0; n < v->back && n < prompt.len &&
                prompt.ptr[prompt.len - 1 - n] == v->first_prompt[v->first_prompt_len - 1 - n];)
        n++;
    v->back = n;
}

static void keep_answer(struct live_answer *a, const struct live_view *v, const struct rollout *r)
{
    const struct str whole = r->prompt;
    size_t front = v->front, back = v->back;

    /* not in the middle of a word */
    while (front > 0 && front < whole.len && whole.ptr[front - 1] != ' ' &&
           whole.ptr[front - 1] != '\n')
        front--;
    while (back > 0 && back <= whole.len && whole.ptr[whole.len - back] != ' ' &&
           whole.ptr[whole.len - back] != '\n' && whole.ptr[whole.len - back] != ':')
        back--;
    const bool differs = front + back < whole.len;
    const struct str part =
        differs ? (struct str){whole.ptr + front, whole.len - front - back} : whole;
    *a = (struct live_answer){.any = true,
                              .reward = r->grade->reward,
                              .advantage = (double)r->advantage,
                              .item = r->item};
    a->prompt_len = keep(a->prompt, sizeof a->prompt, part);
    a->text_len = keep(a->text, sizeof a->text, r->answer);
}

/* Above 0 where r is better than what is kept, below where it is worse. */
static int compare(const struct rollout *r, const struct live_answer *kept)
{
    const double a = r->grade->reward, b = kept->reward, x = (double)r->advantage,
                 y = kept->advantage;

    return a > b ? 1 : a < b ? -1 : x > y ? 1 : x < y ? -1 : 0;
}

void live_view_rollout(struct live_view *v, const struct rollout *r)
{
    if (r->valid && r->step == 0) {
        v->base_valid += (r->grade->reward - v->base_valid) / (double)++v->n_base;
        return;
    }
    if (r->valid)
        return;
    if (r->step != v->answers_step) {
        v->best.any = v->worst.any = false;
        v->answers_step = r->step;
    }
    if (r->sample == 0)
        compare_prompt(v, r->prompt);
    if (!v->best.any || compare(r, &v->best) > 0)
        keep_answer(&v->best, v, r);
    if (!v->worst.any || compare(r, &v->worst) < 0)
        keep_answer(&v->worst, v, r);
}

static void add_point(struct live_view *v, struct live_point p)
{
    if (v->n_points == v->cap_points) {
        const size_t cap = v->cap_points == 0 ? 256 : v->cap_points * 2;
        struct live_point *more = ARENA_ARRAY(&v->arena, struct live_point, cap);

        if (v->n_points > 0)
            memcpy(more, v->point, v->n_points * sizeof *more);
        v->point = more;
        v->cap_points = cap;
    }
    v->point[v->n_points++] = p;
}

void live_view_step(struct live_view *v, const struct step_metrics *m, double now)
{
    const bool trained = m->n_samples > 0;
    const double none = (double)NAN;

    v->last = *m;
    v->has_last = true;
    v->last_at = now;
    v->phase[0] = '\0';
    add_point(v, (struct live_point){.step = (double)m->step,
                                     .train = trained ? m->train_mean_reward : none,
                                     .valid = m->has_valid ? m->valid_mean_reward : none,
                                     .entropy = trained ? m->entropy : none,
                                     .kl = trained ? m->kl : none});
}

void live_view_tick(struct live_view *v, const char *phase, size_t done, size_t total)
{
    snprintf(v->phase, sizeof v->phase, "%s", phase);
    v->done = done;
    v->total = total;
}

void live_view_rewind(struct live_view *v, size_t step, const struct run_metrics *m)
{
    v->n_points = 0;
    v->has_last = false;
    v->best.any = v->worst.any = false;
    if (m == NULL || m->n_rows == 0)
        return;
    static const char *const names[] = {
        "step", "train_mean_reward", "full_valid_mean_reward", "entropy", "kl", "total_steps"};
    size_t column[COUNT_OF(names)];
    for (size_t i = 0; i < COUNT_OF(names); i++)
        column[i] = run_metrics_find(m, names[i]);
    for (size_t row = 0; row < m->n_rows; row++) {
        double value[COUNT_OF(names)];

        for (size_t i = 0; i < COUNT_OF(names); i++)
            value[i] =
                column[i] < m->n_columns ? m->cell[row * m->n_columns + column[i]] : (double)NAN;
        if (!(value[0] >= 0 && value[0] <= (double)step))
            continue;
        add_point(v, (struct live_point){value[0], value[1], value[2], value[3], value[4]});
        v->last = (struct step_metrics){.step = (size_t)value[0],
                                        .total_steps = value[5] > 0 ? (size_t)value[5] : 0};
    }
}

/* ---- lines ---- */

struct line {
    struct buf *out;
    const struct live_frame *frame;
    int used;
};

static void style(const struct line *l, const char *code)
{
    if (l->frame->color)
        buf_printf(l->out, "\x1b[%sm", code);
}

/* Adds text in a style ("" for none) as far as there is room. */
static void put(struct line *l, const char *code, struct str text)
{
    const int room = l->frame->width - l->used;

    if (room <= 0)
        return;
    if (code[0] != '\0')
        style(l, code);
    l->used += live_text(l->out, text, room, l->frame->ascii);
    if (code[0] != '\0')
        style(l, "0");
}

static void pad_to(struct line *l, int column)
{
    for (; l->used < column && l->used < l->frame->width; l->used++)
        buf_char(l->out, ' ');
}

static void gap(struct line *l, int columns)
{
    pad_to(l, l->used + columns);
}

static void putf(struct line *l, const char *code, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void putf(struct line *l, const char *code, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    put(l, code, str_of(text));
}

#define DIM "2"
#define BOLD "1"
#define ACCENT "1;36"
#define WARN "33"
#define ERROR "1;31"

/* At most 12 columns: "7 min left" */
static void time_text(char *out, size_t size, double seconds)
{
    if (seconds < 60)
        snprintf(out, size, "%.0f s", fmax(0, seconds));
    else if (seconds < 3600)
        snprintf(out, size, "%.0f min", ceil(seconds / 60));
    else
        snprintf(out, size, "%.0f h %02.0f min", floor(seconds / 3600),
                 floor(fmod(seconds, 3600) / 60));
}

static void end_line(struct line *l, size_t *n)
{
    buf_char(l->out, '\n');
    l->used = 0;
    ++*n;
}

/* A right part where it fits beside the left one, which is written already. */
static void put_right(struct line *l, const char *code, const char *text)
{
    const int width = (int)strlen(text);

    if (l->used + 2 + width > l->frame->width)
        return;
    pad_to(l, l->frame->width - width);
    put(l, code, str_of(text));
}

static void write_title(const struct live_view *v, struct line *l, size_t *n)
{
    char steps[64] = "starting";

    if (v->last.total_steps > 0)
        snprintf(steps, sizeof steps, "step %zu of %zu", v->last.step, v->last.total_steps);
    if (l->frame->width < 24) {
        putf(l, BOLD, "%s", steps);
    } else {
        struct live_frame left = *l->frame;
        struct line title = {.out = l->out, .frame = &left};

        left.width -= (int)strlen(steps) + 2;
        put(&title, BOLD, str_of(v->title));
        l->used = title.used;
        put_right(l, BOLD, steps);
    }
    end_line(l, n);
}

/* How much of a step is done: sampling first, then training. */
static double part_of_step(const struct live_view *v)
{
    const double done = v->total > 0 ? fmin(1, (double)v->done / (double)v->total) : 0;

    if (strcmp(v->phase, "sampling") == 0)
        return v->has_last || v->n_base > 0 ? done / 2 : 0;
    if (strcmp(v->phase, "training") == 0)
        return 0.5 + done / 2;
    return strcmp(v->phase, "evaluating") == 0 && v->has_last ? 1 : 0;
}

static void write_bar(const struct live_view *v, struct line *l, size_t *n)
{
    static const char *const eighths[] = {"",
                                          "\xE2\x96\x8F",
                                          "\xE2\x96\x8E",
                                          "\xE2\x96\x8D",
                                          "\xE2\x96\x8C",
                                          "\xE2\x96\x8B",
                                          "\xE2\x96\x8A",
                                          "\xE2\x96\x89"};
    const double total = v->last.total_steps > 0 ? (double)v->last.total_steps : 1;
    const double share = fmin(1, ((double)v->last.step + part_of_step(v)) / total);
    const int width = l->frame->width, parts = (int)(share * width * 8);

    style(l, "36");
    for (int i = 0; i < parts / 8; i++)
        buf_text(l->out, l->frame->ascii ? "#" : "\xE2\x96\x88");
    l->used = parts / 8;
    if (!l->frame->ascii && parts % 8 > 0) {
        buf_text(l->out, eighths[parts % 8]);
        l->used++;
    }
    style(l, "0");
    style(l, DIM);
    for (; l->used < width; l->used++)
        buf_text(l->out, l->frame->ascii ? "." : "\xE2\x94\x88");
    style(l, "0");
    end_line(l, n);
}

static void write_phase(const struct live_view *v, struct line *l, size_t *n)
{
    char text[64], left[40];

    if (v->phase[0] != '\0')
        putf(l, DIM, v->total > 0 ? "%s %zu of %zu" : "%s", v->phase, v->done, v->total);
    else if (v->has_last && v->last.step >= v->last.total_steps)
        putf(l, DIM, "done");
    if (v->has_last && v->last.step < v->last.total_steps) {
        time_text(left, sizeof left, v->last.seconds_left - fmax(0, l->frame->now - v->last_at));
        snprintf(text, sizeof text, "%s left", left);
        put_right(l, DIM, text);
    }
    end_line(l, n);
}

static void write_reward(const struct live_view *v, struct line *l, size_t *n)
{
    const struct live_point *valid = NULL;

    for (size_t i = v->n_points; i-- > 0 && valid == NULL;)
        if (isfinite(v->point[i].valid))
            valid = &v->point[i];
    put(l, "", STR("reward"));
    if (v->n_points > 0 && isfinite(v->point[v->n_points - 1].train)) {
        gap(l, 1);
        putf(l, BOLD, "%.2f", v->point[v->n_points - 1].train);
        gap(l, 1);
        put(l, DIM, STR("in training"));
    }
    if (valid != NULL) {
        gap(l, 2);
        putf(l, ACCENT, "%.2f", valid->valid);
        gap(l, 1);
        putf(l, DIM, "in validation, step %.0f", valid->step);
    }
    if (v->n_base > 0) {
        gap(l, 2);
        putf(l, ACCENT, "%.2f", v->base_valid);
        gap(l, 1);
        put(l, DIM, STR("before training"));
    }
    end_line(l, n);
}

static void write_chart(const struct live_view *v, struct line *l, int rows, size_t *n)
{
    char last[24];

    live_chart(v, l->frame->width, rows, l->frame, l->out);
    *n += (size_t)rows;
    snprintf(last, sizeof last, "%zu", v->last.total_steps);
    gap(l, 6);
    put(l, DIM, STR("0"));
    put_right(l, DIM, last);
    end_line(l, n);
}

/* ---- figures, as many a line as fit ---- */

static void start_item(struct line *l, int width, size_t *n)
{
    if (l->used > 0 && l->used + 3 + width > l->frame->width)
        end_line(l, n);
    else if (l->used > 0)
        gap(l, 3);
}

static void item(struct line *l, size_t *n, const char *name, const char *value)
{
    start_item(l, (int)(strlen(name) + 1 + strlen(value)), n);
    put(l, DIM, str_of(name));
    gap(l, 1);
    put(l, "", str_of(value));
}

static void write_shadows(const struct live_view *v, struct line *l, size_t *n)
{
    const struct step_metrics *m = &v->last;

    for (size_t i = 0; v->grader != NULL && i < m->n_graders; i++) {
        struct buf name;
        char value[32];

        if (!grader_is_shadow(v->grader, i) || !isfinite(m->grader_train_mean[i]))
            continue;
        buf_init(&name, 1 << 12);
        snprintf(value, sizeof value, "%.2f", m->grader_train_mean[i]);
        const int width = live_text(&name, str_of(grader_name(v->grader, i)), 24, l->frame->ascii);
        start_item(l, (int)strlen("shadow ") + width + 1 + (int)strlen(value), n);
        put(l, DIM, STR("shadow"));
        gap(l, 1);
        put(l, DIM, buf_view(&name));
        gap(l, 1);
        put(l, "", str_of(value));
        buf_release(&name);
    }
}

static void write_figures(const struct live_view *v, struct line *l, size_t *n)
{
    const struct step_metrics *m = &v->last;
    const int spark = 16;
    char text[64];

    snprintf(text, sizeof text, "%.2f", m->entropy);
    start_item(l, 8 + (int)strlen(text) + 1 + (int)size_min(v->n_points, (size_t)spark), n);
    put(l, DIM, STR("entropy"));
    gap(l, 1);
    put(l, "", str_of(text));
    gap(l, 1);
    l->used += live_spark(v, offsetof(struct live_point, entropy),
                          spark < l->frame->width - l->used ? spark : l->frame->width - l->used,
                          l->frame->ascii, l->out);
    snprintf(text, sizeof text, "%.4f", m->kl);
    item(l, n, "KL", text);
    snprintf(text, sizeof text, "%zu of %zu prompts", m->n_flat_groups, m->n_groups);
    item(l, n, "no signal", text);
    snprintf(text, sizeof text, "%.0f %%", 100 * m->truncated_share);
    item(l, n, "cut off", text);
    snprintf(text, sizeof text, "%.0f tokens", m->completion_tokens_mean);
    item(l, n, "length", text);
    if (m->seconds_sampling > 0) {
        snprintf(text, sizeof text, "%.0f tokens/s",
                 (double)m->tokens_sampled / m->seconds_sampling);
        item(l, n, "speed", text);
    }
    write_shadows(v, l, n);
    if (m->max_dlogp > 0) {
        start_item(l, 24, n);
        putf(l, ERROR, "max|dlogp| %.2g, not 0", m->max_dlogp);
    }
    end_line(l, n);
}

static void write_answer(const struct live_answer *a, const char *name, struct line *l, size_t *n)
{
    const struct live_frame *whole = l->frame;
    struct live_frame part = *whole;

    if (!a->any)
        return;
    put(l, DIM, str_of(name));
    pad_to(l, 6);
    putf(l, BOLD, "%.2f", a->reward);
    gap(l, 2);
    if (whole->width >= 60) { /* the prompt has a third of the line */
        part.width = l->used + (whole->width - l->used) / 3;
        l->frame = &part;
        put(l, DIM, (struct str){a->prompt, a->prompt_len});
        l->frame = whole;
        gap(l, 1);
        put(l, DIM, whole->ascii ? STR(">") : STR("\xE2\x86\x92"));
        gap(l, 1);
    }
    if (a->text_len > 0)
        put(l, "", (struct str){a->text, a->text_len});
    else
        put(l, DIM, STR("(no answer)"));
    end_line(l, n);
}

static void write_event(const struct live_event *e, struct line *l, size_t *n)
{
    const char *code = e->level == EVENT_INFO ? DIM : e->level == EVENT_WARN ? WARN : ERROR;

    putf(l, DIM, "step %zu", e->step);
    pad_to(l, 10);
    if (e->level != EVENT_INFO)
        put(l, code, e->level == EVENT_WARN ? STR("! ") : STR("error: "));
    if (e->level == EVENT_WARN)
        gap(l, 1);
    const struct live_frame *whole = l->frame;
    struct live_frame part = *whole;
    char times[40] = "";
    if (e->times > 1)
        snprintf(times, sizeof times, " (%zu times)", e->times);
    part.width -= (int)strlen(times);
    l->frame = &part;
    put(l, code, str_of(e->text));
    l->frame = whole;
    if (times[0] != '\0') {
        gap(l, 1);
        put(l, DIM, str_of(times));
    }
    end_line(l, n);
}

size_t live_view_render(const struct live_view *v, const struct live_frame *frame, struct buf *out)
{
    struct line l = {.out = out, .frame = frame};
    const int height = frame->height;
    size_t n = 0;

    write_title(v, &l, &n);
    if (height >= 3) {
        write_bar(v, &l, &n);
        write_phase(v, &l, &n);
    }
    if (height >= 5)
        write_reward(v, &l, &n);
    if (height >= 16 && frame->width >= 40 && v->n_points > 0)
        write_chart(v, &l, height >= 24 ? 8 : height >= 20 ? 6 : 4, &n);
    if (v->has_last && v->last.n_samples > 0 && height >= 9) {
        struct buf figures;
        struct line f = {.out = &figures, .frame = frame};
        size_t lines = 0;

        buf_init(&figures, 1 << 16);
        write_figures(v, &f, &lines);
        if (n + lines <= (size_t)height) {
            buf_str(out, buf_view(&figures));
            n += lines;
        }
        buf_release(&figures);
    }
    if (n + 2 <= (size_t)height) {
        write_answer(&v->best, "best", &l, &n);
        if (v->worst.reward < v->best.reward)
            write_answer(&v->worst, "worst", &l, &n);
    }
    const size_t room = n < (size_t)height ? (size_t)height - n : 0,
                 shown = size_min(room, v->n_events);
    for (size_t i = v->n_events - shown; i < v->n_events; i++)
        write_event(&v->event[i], &l, &n);
    return n;
}

size_t live_view_curve(const struct live_view *v, const struct live_frame *frame, struct buf *out)
{
    struct line l = {.out = out, .frame = frame};
    size_t n = 0;

    if (v->n_points < 2)
        return 0;
    end_line(&l, &n);
    put(&l, "", STR("the reward by steps: in training the line, in validation the"));
    gap(&l, 1);
    put(&l, "", frame->ascii ? STR("o") : STR("\xE2\x97\x8F"));
    end_line(&l, &n);
    write_chart(v, &l, 8, &n);
    return n;
}

/* ---- lines of a log ---- */

void live_view_step_line(const struct step_metrics *m, struct buf *out)
{
    char left[40];

    buf_printf(out, "step %zu/%zu", m->step, m->total_steps);
    if (m->n_samples > 0)
        buf_printf(out, "  reward %.3f", m->train_mean_reward);
    if (m->has_valid)
        buf_printf(out, "  validation %.3f +- %.3f", m->valid_mean_reward, m->valid_ci95);
    if (m->n_samples > 0)
        buf_printf(out, "  entropy %.3f  kl %.4f  no signal %zu/%zu  cut off %.0f %%", m->entropy,
                   m->kl, m->n_flat_groups, m->n_groups, 100 * m->truncated_share);
    if (m->seconds_sampling > 0 && m->tokens_sampled > 0)
        buf_printf(out, "  %.0f tokens/s", (double)m->tokens_sampled / m->seconds_sampling);
    if (m->max_dlogp > 0)
        buf_printf(out, "  max|dlogp| %.2g", m->max_dlogp);
    if (m->step < m->total_steps) {
        time_text(left, sizeof left, m->seconds_left);
        buf_printf(out, "  %s left", left);
    }
    buf_char(out, '\n');
}

void live_view_fit_line(const struct fit_metrics *m, struct buf *out)
{
    char left[40];

    buf_printf(out, "step %zu/%zu  epoch %zu  loss %.4f  right tokens %.1f %%", m->step,
               m->total_steps, m->epoch, m->train.loss, 100 * m->train.token_accuracy);
    if (m->train.reward_margin != 0) /* NOLINT: of dpo, from its second step on */
        buf_printf(out, "  margin %.3f  pairs right %.0f %%", m->train.reward_margin,
                   100 * m->train.reward_accuracy);
    if (m->has_full_valid)
        buf_printf(out, "  validation %.4f, right tokens %.1f %%", m->full_valid.loss,
                   100 * m->full_valid.token_accuracy);
    else if (m->has_valid)
        buf_printf(out, "  validation of %zu rows %.4f", m->valid.n_rows, m->valid.loss);
    if (m->step < m->total_steps) {
        time_text(left, sizeof left, m->seconds_left);
        buf_printf(out, "  %s left", left);
    }
    buf_char(out, '\n');
}

void live_view_event_line(enum event_level level, const char *message, struct buf *out)
{
    buf_text(out, level == EVENT_INFO ? "" : level == EVENT_WARN ? "warning: " : "error: ");
    (void)live_text(out, str_of(message), 4000, false);
    buf_char(out, '\n');
}
