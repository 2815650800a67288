/*
 * figures.h - how much there is in the store, for whoever watches over it.
 */
#ifndef HONE_STORE_FIGURES_H
#define HONE_STORE_FIGURES_H

#include "store/store.h"

/* In the order of the states' life. */
enum { FIGURE_STATES = 8 };
extern const char *const figure_states[FIGURE_STATES];

struct store_figures {
    int64_t jobs[FIGURE_STATES]; /* by state */
    int64_t files, file_bytes;
    int64_t webhooks_due; /* told to nobody yet */
    int64_t workers;      /* seen within two minutes, on any machine */
};
MUST_CHECK bool store_count(struct store *s, struct store_figures *out, struct error *err);
/* What a project's files take of its quota: their bytes, and what its uploads in progress announce. */
struct store_room {
    int64_t quota, files, uploads; /* quota 0: none, and nothing is counted */
};
MUST_CHECK bool store_room_of(struct store *s, const char *project_id, struct store_room *out,
                              struct error *err);
/* Whether so many bytes more are within it. ERR_LIMIT. */
MUST_CHECK bool store_room_fits(const struct store_room *r, int64_t bytes, struct error *err);
#endif
