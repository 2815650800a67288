/*
 * rollout_index.h - where the answers of a run are, and what can be asked of them without reading them.
 *
 *     rollouts/step-3.jsonl, line 17  <->  "step-3-17", reward 0.5, 210 tokens, truncated, ...
 *
 * 48 bytes a line in memory. The index grows as the run does: each update looks at which files are longer or others than they
 * were, and reads what is new, the newest first, for as long as it is allowed. What was read is kept in DIR/rollouts.index, so that
 * a server that starts need not read it again. That file is a help and no more: one that is cut, older than a file that it speaks of, or
 * not what it should be is made again, and a line that is read by it is held against what the index says of it.
 *
 * One thread at a time.
 */
#ifndef HONE_JOB_ROLLOUT_INDEX_H
#define HONE_JOB_ROLLOUT_INDEX_H

#include "base/arena.h"
#include "job/rollout_scan.h"

#define ROLLOUT_INDEX_LINES ((size_t)8000000) /* that one holds at most; the rest is left out */

struct rollout_entry {
    uint64_t at;    /* of its file: where the line begins */
    uint32_t bytes; /* without the line break */
    struct rollout_figures is;
};

struct rollout_index;
/* Of a run's folder, which need not be there yet. */
struct rollout_index *rollout_index_open(const char *dir);
/* What took long to read is kept in the run's folder, where that can be written. NULL is fine. */
void rollout_index_close(struct rollout_index *ix);
/* All is read anew, also what was kept. */
void rollout_index_forget(struct rollout_index *ix);
/* Reads what is new for about so many seconds; *whole: nothing is left to be read. */
MUST_CHECK bool rollout_index_update(struct rollout_index *ix, double seconds, bool *whole,
                                     struct error *err);
struct rollout_index_size {
    size_t n_lines;                   /* each of one answer or several */
    uint64_t read_bytes, total_bytes; /* of the files */
    size_t memory_bytes;
};
struct rollout_index_size rollout_index_size(const struct rollout_index *ix);

/* ---- one line ---- */

/* A place in the index, until the next update. */
struct rollout_ref {
    uint32_t file, line;
};
struct rollout_id { /* "step-3-17", "valid-10-0" */
    char text[48];
};
struct rollout_id rollout_index_id(const struct rollout_index *ix, struct rollout_ref ref);
bool rollout_index_find(const struct rollout_index *ix, struct str id, struct rollout_ref *out);
/* The line of a sample: its own, or that of the one it equals; line_has says of those that stand for several which. */
typedef bool rollout_line_has(void *ctx, struct rollout_ref ref, size_t sample);
bool rollout_index_find_sample(const struct rollout_index *ix, bool valid, size_t step, size_t item,
                               size_t sample, rollout_line_has *has, void *ctx,
                               struct rollout_ref *out);
const struct rollout_entry *rollout_index_entry(const struct rollout_index *ix,
                                                struct rollout_ref ref);
bool rollout_index_is_valid(const struct rollout_index *ix, struct rollout_ref ref);
/* The line of its group where prompt and reference stand; false: there is none. */
bool rollout_index_prompt(const struct rollout_index *ix, struct rollout_ref ref,
                          struct rollout_ref *out);
/* Into out, which is cleared. ERR_CORRUPT: the line is not what the index says: rollout_index_forget, and again. */
MUST_CHECK bool rollout_index_read(struct rollout_index *ix, struct rollout_ref ref,
                                   struct buf *out, struct error *err);
/* Whether answer, thinking or a grader's details say it, as rollout_scan_says. Of a line that is not there: no. */
bool rollout_index_says(struct rollout_index *ix, struct rollout_ref ref, struct str needle,
                        struct buf *scratch);

/* ---- many of them ---- */

enum rollout_order {
    ROLLOUT_NEWEST,
    ROLLOUT_OLDEST,
    ROLLOUT_BEST,
    ROLLOUT_WORST,
    ROLLOUT_STRENGTHENED, /* highest advantage first */
    ROLLOUT_WEAKENED,
    ROLLOUT_LONGEST,
    ROLLOUT_SHORTEST,
    ROLLOUT_MOST_THINKING,
    N_ROLLOUT_ORDERS
};
/* What each is called; NULL past the last one. */
const char *rollout_order_name(size_t i);

struct rollout_query {
    bool train, valid; /* which files */
    bool has_step, has_item;
    size_t step, item;
    double min_reward, max_reward;                              /* -HUGE_VAL and HUGE_VAL: any */
    bool truncated, error, flat, odd, empty, trained, thinking; /* each that is set must hold */
    enum rollout_order order;
    bool has_after;
    struct rollout_ref after; /* what comes behind it in this order */
};
struct rollout_query rollout_query_all(void);
/* The next ones, most at most, into out; *n_matching: how many there are in all, those before `after` among them. */
size_t rollout_index_page(const struct rollout_index *ix, const struct rollout_query *q,
                          size_t most, struct rollout_ref *out, size_t *n_matching);

/* Answers to one row at one step. */
struct rollout_group {
    struct rollout_ref first; /* its lines stand together, */
    uint32_t n_lines;         /* so many */
    uint32_t n;               /* answers */
    double reward;            /* their sum */
};
/* Of the training or the validation, by item, then by step; in the arena. */
void rollout_index_groups(const struct rollout_index *ix, bool valid, struct arena *a,
                          struct rollout_group **out, size_t *n);
#endif
