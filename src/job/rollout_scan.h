/*
 * rollout_scan.h - a line of rollouts/ (run_folder.h) looked through without a tree: most of it is numbers of tokens.
 *
 *     {"step":3,"item":17,...,"tokens":[...],...}  ->  its members, one after another, as views of the line
 *                                                  ->  the few figures that an index keeps
 *
 * The line may be anything: what is no object, or ends within a member, ends the members. What a member's value holds is not
 * checked here; whoever shows one parses it.
 */
#ifndef HONE_JOB_ROLLOUT_SCAN_H
#define HONE_JOB_ROLLOUT_SCAN_H

#include "base/buf.h"

#include <stdint.h>

struct rollout_member {
    struct str key;   /* as it is written, without its quotes */
    struct str value; /* as it is written, with its quotes or brackets */
    size_t n;         /* of a list: its values; else 0 */
};
/* The next member from *at on, 0 at first; false after the last one. */
bool rollout_scan_next(struct str line, size_t *at, struct rollout_member *out);
/* The value of one member; ptr NULL: there is none. */
struct str rollout_scan_find(struct str line, const char *key);
/* What a value that is a text says: its escapes undone. Anything else, and a broken escape, leaves what was read so far. */
void rollout_scan_text(struct str value, struct buf *out);
/* Whether a text says needle somewhere; letters of ASCII in either case. scratch is for texts with escapes. */
bool rollout_scan_says(struct str value, struct str needle, struct buf *scratch);
/* False: no text of the line says it. True: one may. Looks at the bytes alone, where the text stands in a line as it is. */
bool rollout_scan_may_say(struct str line, struct str needle);

enum rollout_flag {
    ROLLOUT_TRUNCATED = 1,
    ROLLOUT_TRAINED = 2,
    ROLLOUT_EMPTY = 4,   /* the answer is nothing but white space */
    ROLLOUT_CUT = 8,     /* the line was not kept whole */
    ROLLOUT_LOST = 16,   /* a tool did not answer */
    ROLLOUT_PROMPT = 32, /* the prompt stands here */
    ROLLOUT_BAD = 64,    /* the line is none of ours: only its length is known */
    ROLLOUT_FLAT = 128,  /* all of its group got the same: from here on what the group says */
    ROLLOUT_LONG = 256,  /* ROLLOUT_LONG_FACTOR times as long as its group is on average */
};
#define ROLLOUT_LONG_FACTOR 3

struct rollout_figures {
    uint32_t step, item, sample;
    uint32_t count; /* samples of the group that are these very tokens */
    float reward, advantage;
    uint32_t n_tokens, n_thinking;
    uint16_t errors; /* by bit of enum grade_flag */
    uint16_t flags;  /* enum rollout_flag, those of the line alone */
};
/* False: it is no line of answers. */
bool rollout_scan_figures(struct str line, struct rollout_figures *out);
#endif
