/*
 * arrivals.h - the bytes of files that are on their way to a project, counted against its quota before there is a row of them.
 *
 * All uploads of a project that are running share one count of what they have brought so far. Each knows what the store held when
 * it began, so those that run never hold more than the quota leaves, however many there are and whether they tell their lengths
 * or not. What one of them left in the store when it ended, those that began before it do not know: what the store takes in is
 * checked there once more, to the byte.
 */
#ifndef HONE_SERVER_ARRIVALS_H
#define HONE_SERVER_ARRIVALS_H

#include "store/figures.h"

struct arrivals;
struct arrivals *arrivals_open(void);
void arrivals_close(struct arrivals *all); /* nothing is on its way; NULL is fine */

/* One upload. Of one thread at a time; all zeros: none. */
struct arrival {
    struct arrivals *all;
    struct arriving *project;
    struct store_room room; /* set by who began it, once it has begun */
    int64_t bytes;          /* that it has brought */
};
void arrival_begin(struct arrivals *all, const char *project_id, struct arrival *out);
/* Whether so many bytes more would fit, now. ERR_LIMIT, in the store's words. */
MUST_CHECK bool arrival_fits(const struct arrival *a, int64_t bytes, struct error *err);
/* The same, and counts them where they do. */
MUST_CHECK bool arrival_take(struct arrival *a, int64_t bytes, struct error *err);
void arrival_end(struct arrival *a); /* its bytes are the store's, or gone; again is fine */
size_t arrivals_n_projects(struct arrivals *all);
#endif
