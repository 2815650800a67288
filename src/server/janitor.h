/*
 * janitor.h - a thread that removes what has expired: files, uploads, stored answers, and bytes that no row names.
 */
#ifndef HONE_SERVER_JANITOR_H
#define HONE_SERVER_JANITOR_H

#include "store/store.h"

struct janitor;
/* Every so many seconds; 0: 60. Any number of servers on one store may have one. */
MUST_CHECK bool janitor_open(struct store *s, double seconds, struct janitor **out,
                             struct error *err);
void janitor_close(struct janitor *j); /* NULL is fine */
#endif
