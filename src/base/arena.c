/*
 * arena.c - blocks of at least 64 KiB in a list; requests larger than a quarter of a block get their own.
 */
#include "base/arena.h"
#include "base/memory.h"
#include "base/size.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define ALIGN 64
#define BLOCK_MIN ((size_t)64 << 10)

struct arena_block {
    struct arena_block *next;
    size_t size; /* bytes after the header */
    size_t used;
};
#define HEADER size_round_up(sizeof(struct arena_block), ALIGN)

struct arena_end {
    void (*release)(void *what);
    void *what;
    struct arena_end *next;
};

static struct arena_block *block_new(size_t size)
{
    struct arena_block *b = memory_take(size_round_up(HEADER + size, ALIGN));

    if (b != NULL)
        *b = (struct arena_block){.size = size};
    return b;
}

static void end_all(struct arena *a)
{
    for (const struct arena_end *e = a->ends; e != NULL; e = e->next)
        e->release(e->what);
    a->ends = NULL;
}

void arena_init(struct arena *a)
{
    *a = (struct arena){0};
}

void arena_release(struct arena *a)
{
    end_all(a);
    for (struct arena_block *b = a->head, *next; b != NULL; b = next) {
        next = b->next;
        free(b);
    }
    arena_init(a);
}

/*
 * Several blocks become one that holds what was in use, so that a lifetime that repeats soon allocates nothing. Their rests are
 * given back: where pages are huge, the system may fill them at any time.
 */
void arena_reset(struct arena *a)
{
    struct arena_block *keep = a->head;

    end_all(a);
    if (keep != NULL && keep->next != NULL) {
        const size_t size = size_max(BLOCK_MIN, a->used_bytes);

        arena_release(a);
        keep = block_new(size);
        if (keep == NULL)
            return; /* empty: the next use asks again */
    }
    *a = (struct arena){.head = keep};
    if (keep != NULL) {
        keep->used = 0;
        a->taken_bytes = keep->size;
    }
}

static void *take(struct arena *a, size_t size)
{
    size_t need = size_round_up(size > 0 ? size : 1, ALIGN);
    struct arena_block *b = a->head;

    if (need < size)
        return NULL;
    if (b == NULL || b->size - b->used < need) {
        size_t block =
            size_max(size_max(BLOCK_MIN, need), size_min(a->taken_bytes, (size_t)16 << 20));
        struct arena_block *fresh = block_new(block);

        if (fresh == NULL)
            return NULL;
        fresh->next = b;
        a->head = b = fresh;
        a->taken_bytes += block;
    }
    void *p = (char *)b + HEADER + b->used;
    b->used += need;
    a->used_bytes += need;
    return p;
}

static void *take_or_stop(struct arena *a, size_t size)
{
    void *p = take(a, size);

    if (p == NULL) {
        fprintf(stderr,
                "hone: out of memory (%zu bytes); a running job resumes from its last checkpoint\n",
                size);
        abort();
    }
    return p;
}

void *arena_alloc(struct arena *a, size_t size)
{
    return memset(take_or_stop(a, size), 0, size);
}

void *arena_room(struct arena *a, size_t size)
{
    void *p = take_or_stop(a, size);

#ifdef HONE_SANITIZED
    memset(p, 0xff, size); /* NaN as a float */
#endif
    return p;
}

void *arena_try(struct arena *a, size_t count, size_t size, const char *what, struct error *err)
{
    size_t bytes;
    void *p = NULL;

    if (size_mul(count, size, &bytes) && bytes < SIZE_MAX / 2)
        p = take(a, bytes);
    if (p == NULL) {
        fail(err, ERR_NO_MEMORY, "no memory for %s: %zu times %zu bytes cannot be had", what, count,
             size);
        return NULL;
    }
    return memset(p, 0, bytes);
}

void arena_defer(struct arena *a, void (*release)(void *what), void *what)
{
    struct arena_end *e = ARENA_NEW(a, struct arena_end);

    *e = (struct arena_end){.release = release, .what = what, .next = a->ends};
    a->ends = e;
}

char *arena_text(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.len + 1);

    if (s.len > 0)
        memcpy(p, s.ptr, s.len);
    return p;
}

struct str arena_str(struct arena *a, struct str s)
{
    return (struct str){arena_text(a, s), s.len};
}

struct str arena_percent_decoded(struct arena *a, struct str s)
{
    char *out = arena_alloc(a, s.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        const bool may = s.ptr[i] == '%' && s.len - i > 2;
        const int high = may ? hex_digit(s.ptr[i + 1]) : -1,
                  low = may ? hex_digit(s.ptr[i + 2]) : -1;
        const bool is = high >= 0 && low >= 0;

        out[n++] = is ? (char)(16 * high + low) : s.ptr[i];
        i += is ? 2 : 0;
    }
    return (struct str){out, n};
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;

    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *p = arena_alloc(a, (size_t)(n < 0 ? 0 : n) + 1);
    if (n > 0)
        vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    va_end(ap);
    return p;
}
