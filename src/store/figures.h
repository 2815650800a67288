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
/* Whether so many bytes more are within the project's quota, as far as can be said before they come. ERR_LIMIT. */
MUST_CHECK bool store_has_room(struct store *s, const char *project_id, int64_t bytes,
                               struct error *err);
#endif
