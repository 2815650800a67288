/*
 * arena.h - memory that lives and dies together.
 *
 * Memory is taken in blocks from the system and handed out in order; all of it goes back at once. A function that
 * returns memory takes the arena that it comes from, so its signature tells how long that lives. When a few kilobytes
 * cannot be had the process says so and stops; what a user or a file sizes is asked for with arena_try.
 * One thread at a time.
 */
#ifndef HONE_BASE_ARENA_H
#define HONE_BASE_ARENA_H

#include "base/error.h"
#include "base/str.h"

struct arena_block;
struct arena_end;
struct arena {
    struct arena_block *head;
    struct arena_end *ends; /* newest first */
    size_t used_bytes;      /* handed out since the last reset */
    size_t taken_bytes;     /* held from the system */
};

/* All zeros is an empty arena, too: struct arena a = {0}; */
void arena_init(struct arena *a);
void arena_release(struct arena *a); /* everything back to the system; a may be all zeros */
void arena_reset(struct arena *a);   /* nothing handed out any more, the largest block is kept */

/* size bytes, zeroed, aligned to 64. Never NULL: stops the process when memory is out. */
void *arena_alloc(struct arena *a, size_t size);

/* The same with whatever was there: for what is written before it is read. Sanitized builds put in what no result survives. */
void *arena_room(struct arena *a, size_t size);

/* count * size bytes for what was sized from outside; NULL with ERR_NO_MEMORY, names what. */
MUST_CHECK void *arena_try(struct arena *a, size_t count, size_t size, const char *what,
                           struct error *err);

#define ARENA_NEW(arena, type) ((type *)arena_alloc((arena), sizeof(type)))
#define ARENA_ARRAY(arena, type, n) ((type *)arena_alloc((arena), sizeof(type) * (n)))

/* release(what) is called when this goes back, by arena_reset or arena_release: for what has memory of its own, newest first. */
void arena_defer(struct arena *a, void (*release)(void *what), void *what);

/* Copies, ended by a zero byte. */
char *arena_text(struct arena *a, struct str s);
struct str arena_str(struct arena *a, struct str s);
/* "%20" becomes a blank, and so on (RFC 3986); what is no such triple stays. Ended by a zero byte beyond len. */
struct str arena_percent_decoded(struct arena *a, struct str s);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
#endif
