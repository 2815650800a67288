/*
 * live_view.h - what a training run tells becomes a picture of some lines of text.
 *
 * Nothing is drawn here: live.h puts the picture on a terminal. Lines are never wider than asked for, in columns of a
 * terminal, whatever an answer holds; control characters and the like are made harmless.
 */
#ifndef HONE_CLI_LIVE_VIEW_H
#define HONE_CLI_LIVE_VIEW_H

#include "base/buf.h"
#include "job/run_read.h"
#include "train/progress.h"

#define LIVE_EVENTS 6
#define LIVE_TEXT 600 /* bytes kept of an answer, a prompt or a message */

struct live_point {
    double step, train, valid, entropy, kl; /* NaN: not measured */
};

struct live_answer {
    bool any;
    double reward, advantage;
    size_t item;
    char prompt[LIVE_TEXT], text[LIVE_TEXT];
    size_t prompt_len, text_len;
};

struct live_event {
    enum event_level level;
    size_t step, times;
    char text[LIVE_TEXT];
};

/* All zeros but for title and grader is a run of which nothing was told. */
struct live_view {
    const char *title;
    const struct grader *grader; /* names shadows; NULL: there are none */
    struct arena arena;
    struct live_point *point; /* [n_points], steps rising */
    size_t n_points, cap_points;
    struct step_metrics last; /* newest step's */
    bool has_last;
    double last_at;    /* when it was told, as clock_seconds tells */
    double base_valid; /* reward of the validation before training; n_base answers */
    size_t n_base;
    struct live_answer best, worst; /* of training step answers_step */
    size_t answers_step;
    char first_prompt
        [4 * LIVE_TEXT]; /* what prompts have in common is not shown: front and back bytes of it */
    size_t first_prompt_len, front, back;
    struct live_event event[LIVE_EVENTS]; /* the newest last */
    size_t n_events;
    char phase[32];
    size_t done, total; /* of the phase */
};

void live_view_release(struct live_view *v);

void live_view_event(struct live_view *v, enum event_level level, const char *message);
void live_view_rollout(struct live_view *v, const struct rollout *r);
void live_view_step(struct live_view *v, const struct step_metrics *m, double now);
void live_view_tick(struct live_view *v, const char *phase, size_t done, size_t total);
/* Forgets the steps after one; m fills in those up to it, as of a run that goes on, or is NULL. */
void live_view_rewind(struct live_view *v, size_t step, const struct run_metrics *m);

struct live_frame {
    int width, height; /* at most so many columns and lines */
    bool ascii;        /* no characters past ASCII */
    bool color;
    double now; /* as clock_seconds tells */
};
/* Appends the lines, each ended by a line break; returns how many. */
size_t live_view_render(const struct live_view *v, const struct live_frame *frame, struct buf *out);

/* The reward's curve alone, with a line that says what it shows; nothing (0) before the second step. */
size_t live_view_curve(const struct live_view *v, const struct live_frame *frame, struct buf *out);

/* One line for a log, line break included: of a step, and of an event. */
/* A step of supervised fine-tuning or dpo, in a line. */
void live_view_fit_line(const struct fit_metrics *m, struct buf *out);
void live_view_step_line(const struct step_metrics *m, struct buf *out);
void live_view_event_line(enum event_level level, const char *message, struct buf *out);

/*
 * Appends at most columns columns of a text as one line: white space becomes single spaces, control characters a dot, what is no
 * UTF-8 U+FFFD, and where it is cut an ellipsis stands. Returns the columns.
 */
int live_text(struct buf *out, struct str s, int columns, bool ascii);
#endif
