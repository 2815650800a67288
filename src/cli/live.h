/*
 * live.h - a training run watched on a terminal, or line by line in a log.
 *
 * On a terminal a picture (live_view.h) is drawn anew in its place. Between two drawings the terminal is as it was found: the
 * cursor is shown and stands below the picture, nothing is switched off. So there is nothing to restore, however the
 * process ends, and what is printed next stands below.
 */
#ifndef HONE_CLI_LIVE_H
#define HONE_CLI_LIVE_H

#include "train/progress.h"

struct live_options {
    int fd;                      /* where to draw or to write lines */
    bool plain;                  /* lines, even on a terminal; always for supervised and dpo */
    const char *title;           /* "organ, SmolLM2-135M-Instruct"; must stay */
    const struct grader *grader; /* whose shadows are shown; NULL: none; must stay */
    const char *run_dir;         /* of a run that goes on: its earlier curve; or NULL; must stay */
    bool curve; /* where lines are written: the reward's curve behind the last of them */
    const struct progress_sink
        *next; /* told everything first; NULL: nobody. The sinks that it has are copied */
};

struct live;
/*
 * Lines are written instead of a picture where plain is set, fd is no terminal, TERM is dumb or NO_COLOR is set. Where the locale
 * is not UTF-8 the picture is of ASCII characters.
 */
MUST_CHECK bool live_open(const struct live_options *opt, struct live **out, struct error *err);
/* Fails where next fails; what cannot be drawn is no failure. Valid until close, for one thread. */
struct progress_sink live_sink(struct live *l);
/* While it is on nothing is drawn: for what is told at once, because it is long past. Lines are written all the same. */
bool live_draws(const struct live *l); /* a picture, not lines */
void live_hold(struct live *l, bool on);
void live_close(struct live *l); /* the last picture stays; NULL is fine */
#endif
