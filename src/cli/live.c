/*
 * live.c - writes pictures over each other.
 *
 * A picture goes out in one write: up by the lines of the last one, every line with the rest of its row cleared, then all below
 * cleared. Lines are kept shorter than the terminal, and wrapping is off while they are written, so that a line of the picture is a
 * row of the terminal. The size is asked for before each drawing; no signal is needed to notice a change.
 */
#include "cli/live.h"
#include "base/clock.h"
#include "cli/live_view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MAX_PICTURE ((size_t)1 << 20)
#define SECONDS_BETWEEN 0.1 /* drawings while a step goes on */

struct live {
    struct live_options opt;
    struct progress_sink next;
    struct live_view view;
    struct buf picture, bytes;
    bool plain, ascii, held;
    size_t n_lines; /* of the last picture; 0: none is there to be drawn over */
    int width;      /* that it was drawn for */
    double drawn_at;
};

static bool is_set(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && value[0] != '\0';
}

/* As setlocale would decide, without changing how numbers are read and written. */
static bool is_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};

    for (size_t i = 0; i < 3; i++) {
        const char *value = getenv(names[i]);

        if (value != NULL && value[0] != '\0')
            return strcasestr(value, "utf-8") != NULL || strcasestr(value, "utf8") != NULL;
    }
    return false;
}

bool live_open(const struct live_options *opt, struct live **out, struct error *err)
{
    struct live *l = calloc(1, sizeof *l);
    const char *term = getenv("TERM");

    if (l == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory to show the progress");
    l->opt = *opt;
    if (opt->next != NULL)
        l->next = *opt->next;
    l->view.title = opt->title;
    l->view.grader = opt->grader;
    l->plain = opt->plain || !isatty(opt->fd) || is_set("NO_COLOR") || term == NULL ||
               strcmp(term, "dumb") == 0;
    l->ascii = !is_utf8();
    buf_init(&l->picture, MAX_PICTURE);
    buf_init(&l->bytes, MAX_PICTURE);
    *out = l;
    return true;
}

static void write_out(int fd, struct str s)
{
    while (s.len > 0) {
        const ssize_t n = write(fd, s.ptr, s.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* nobody is watching */
        s = str_from(s, (size_t)n);
    }
}

/* Rows that the last picture takes after the width has changed. */
static size_t rows_to_go_up(const struct live *l, int width)
{
    return width >= l->width || width <= 0 ? l->n_lines
                                           : l->n_lines * (size_t)((l->width + width - 1) / width);
}

static void draw(struct live *l)
{
    struct winsize size;
    struct live_frame frame = {
        .width = 80, .height = 24, .ascii = l->ascii, .color = true, .now = clock_seconds()};

    if (l->held)
        return;
    const pid_t foreground = tcgetpgrp(l->opt.fd);    /* -1: not the terminal that started us */
    if (foreground >= 0 && foreground != getpgrp()) { /* in the background: it is someone else's */
        l->n_lines = 0;
        return;
    }
    if (ioctl(l->opt.fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
        frame.width = size.ws_col;
        frame.height = size.ws_row;
    }
    const int columns = frame.width;
    frame.width = columns > 200 ? 200 : columns - 1;
    frame.height -= 1; /* the cursor's */
    if (frame.width < 10 || frame.height < 1)
        return;
    buf_clear(&l->picture);
    buf_clear(&l->bytes);
    const size_t n = live_view_render(&l->view, &frame, &l->picture);
    buf_text(&l->bytes,
             "\x1b[?2026h\x1b[?7l"); /* shown at once, where the terminal can; no wrapping */
    if (l->n_lines > 0)
        buf_printf(&l->bytes, "\r\x1b[%zuA", rows_to_go_up(l, columns));
    else
        buf_text(&l->bytes, "\r");
    const struct str p = buf_view(&l->picture);
    for (size_t at = 0; at < p.len;) {
        const size_t end = str_find(p, STR("\n"), at);

        buf_put(&l->bytes, p.ptr + at, end - at);
        buf_text(&l->bytes, "\x1b[K\r\n");
        at = end + 1;
    }
    buf_text(&l->bytes, "\x1b[J\x1b[?7h\x1b[?2026l");
    if (!l->bytes.overflowed)
        write_out(l->opt.fd, buf_view(&l->bytes));
    l->n_lines = n;
    l->width = columns;
    l->drawn_at = frame.now;
}

static bool sink_event(void *ctx, enum event_level level, const char *message, struct error *err)
{
    struct live *l = ctx;

    if (l->next.event != NULL && !l->next.event(l->next.ctx, level, message, err))
        return false;
    if (l->plain) {
        buf_clear(&l->bytes);
        live_view_event_line(level, message, &l->bytes);
        write_out(l->opt.fd, buf_view(&l->bytes));
    } else {
        live_view_event(&l->view, level, message);
        draw(l);
    }
    return true;
}

static bool sink_rollout(void *ctx, const struct rollout *r, struct error *err)
{
    struct live *l = ctx;

    if (l->next.rollout != NULL && !l->next.rollout(l->next.ctx, r, err))
        return false;
    if (!l->plain)
        live_view_rollout(&l->view, r);
    return true;
}

static bool sink_step(void *ctx, const struct step_metrics *m, struct error *err)
{
    struct live *l = ctx;

    if (l->next.step != NULL && !l->next.step(l->next.ctx, m, err))
        return false;
    if (l->plain) {
        buf_clear(&l->bytes);
        live_view_step_line(m, &l->bytes);
        write_out(l->opt.fd, buf_view(&l->bytes));
        if (l->opt.curve)
            live_view_step(&l->view, m, clock_seconds());
    } else {
        live_view_step(&l->view, m, clock_seconds());
        draw(l);
    }
    return true;
}

/* Always a line: live_open was asked for lines. */
static bool sink_fit_step(void *ctx, const struct fit_metrics *m, struct error *err)
{
    struct live *l = ctx;

    if (l->next.fit_step != NULL && !l->next.fit_step(l->next.ctx, m, err))
        return false;
    buf_clear(&l->bytes);
    live_view_fit_line(m, &l->bytes);
    write_out(l->opt.fd, buf_view(&l->bytes));
    return true;
}

static bool sink_before_checkpoint(void *ctx, size_t step, struct error *err)
{
    struct live *l = ctx;

    return l->next.before_checkpoint == NULL || l->next.before_checkpoint(l->next.ctx, step, err);
}

static bool sink_checkpoint(void *ctx, const struct checkpoint_info *c, struct error *err)
{
    struct live *l = ctx;

    return l->next.checkpoint == NULL || l->next.checkpoint(l->next.ctx, c, err);
}

static bool sink_rewind(void *ctx, size_t step, struct error *err)
{
    struct live *l = ctx;
    struct arena a = {0};
    struct run_metrics m = {0};
    struct error ignored;

    if (l->next.rewind != NULL && !l->next.rewind(l->next.ctx, step, err))
        return false;
    if (l->opt.run_dir != NULL && !run_read_metrics(l->opt.run_dir, &a, &m, NULL, &ignored))
        m = (struct run_metrics){0};
    live_view_rewind(&l->view, step, &m);
    arena_release(&a);
    return true;
}

static bool sink_settled(void *ctx, const json_t *values, struct error *err)
{
    struct live *l = ctx;

    return l->next.settled == NULL || l->next.settled(l->next.ctx, values, err);
}

static void sink_tick(void *ctx, const char *phase, size_t done, size_t total)
{
    struct live *l = ctx;

    if (l->next.tick != NULL)
        l->next.tick(l->next.ctx, phase, done, total);
    if (l->plain)
        return;
    live_view_tick(&l->view, phase, done, total);
    if (clock_seconds() - l->drawn_at >= SECONDS_BETWEEN)
        draw(l);
}

struct progress_sink live_sink(struct live *l)
{
    return (struct progress_sink){.ctx = l,
                                  .event = sink_event,
                                  .rollout = sink_rollout,
                                  .step = sink_step,
                                  .fit_step = sink_fit_step,
                                  .before_checkpoint = sink_before_checkpoint,
                                  .checkpoint = sink_checkpoint,
                                  .rewind = sink_rewind,
                                  .settled = sink_settled,
                                  .tick = sink_tick};
}

bool live_draws(const struct live *l)
{
    return !l->plain;
}

void live_hold(struct live *l, bool on)
{
    const bool ends = l->held && !on;

    l->held = on;
    if (ends && !l->plain)
        draw(l);
}

static void write_curve(struct live *l)
{
    const struct live_frame frame = {.width = 78, .height = 10, .ascii = l->ascii};

    buf_clear(&l->bytes);
    if (live_view_curve(&l->view, &frame, &l->bytes) > 0)
        write_out(l->opt.fd, buf_view(&l->bytes));
}

void live_close(struct live *l)
{
    if (l == NULL)
        return;
    if (!l->plain) {
        l->view.phase[0] = '\0';
        l->held = false;
        draw(l);
    } else if (l->opt.curve) {
        write_curve(l);
    }
    buf_release(&l->picture);
    buf_release(&l->bytes);
    live_view_release(&l->view);
    free(l);
}
