/*
 * grade_cache.h - what a deterministic grader said of an answer, so that it does not have to say it twice.
 *
 * A grader's own, as long as it lives. The key is the SHA-256 of the part's number, the row and the sample; where two
 * threads want the same at once, one computes and the other waits for it. A failure is not kept: its cause may have
 * been the machine (a time limit under load, a worker that died), and the next try may succeed. Those that waited for it
 * then try for themselves, all at once: one after another, a group of equal answers would take a time limit each.
 * Bounded in bytes: what was used longest ago goes first.
 */
#ifndef HONE_GRADE_GRADE_CACHE_H
#define HONE_GRADE_GRADE_CACHE_H

#include "grade/grader_internal.h"

/* Fills s->key, of everything that a grader sees of the row and the sample, whatever part of it it reads. */
void grade_scope_key(struct grade_scope *s);

struct grade_cache;
struct grade_cache *grade_cache_open(size_t max_bytes); /* NULL: no memory */
void grade_cache_close(struct grade_cache *c);          /* NULL is fine; no call may be under way */

/*
 * True: *out has the score (usage zero, for nothing was spent). False: nobody has it, and the caller must compute it and
 * call grade_cache_put, whatever comes of it. May wait for another thread that computes it. s has its key.
 */
MUST_CHECK bool grade_cache_get(struct grade_cache *c, const struct grade_scope *s, size_t part,
                                struct part_result *out);
void grade_cache_put(struct grade_cache *c, const struct grade_scope *s, size_t part,
                     const struct part_result *r);

size_t grade_cache_bytes(struct grade_cache *c); /* held now */
#endif
