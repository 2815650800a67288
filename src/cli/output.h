/*
 * output.h - results on standard output, checked; progress on standard error.
 */
#ifndef HONE_CLI_OUTPUT_H
#define HONE_CLI_OUTPUT_H

#include "base/buf.h"
#include "text/json.h"

/* Fail with ERR_IO where the reader has gone or the disk is full. */
MUST_CHECK bool out_str(struct str s, struct error *err);
MUST_CHECK bool out_printf(struct error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
MUST_CHECK bool out_json(const json_t *value, struct error *err); /* one line, passed on at once */
MUST_CHECK bool out_json_new(json_t *value, struct error *err);   /* the same, and gives value up */
MUST_CHECK bool out_flush(struct error *err);

/* The double that is written with the fewest digits that read back to x, which is a 32-bit number. */
double digits_of(float x);

/*
 * Text as it can stand on a line: line breaks, control characters and changes of direction as escapes, bytes that are
 * no UTF-8 as U+FFFD.
 */
void put_visible(struct buf *b, struct str s);
/* The same between quotes and in at most so many columns (6 or more); "..." behind it where it was cut. Returns the columns. */
int put_quoted(struct buf *b, struct str s, int columns);
/* "2 min 05 s", "1.2 GB" */
void put_seconds(struct buf *b, double seconds);
void put_bytes(struct buf *b, double bytes);

/*
 * How far something is: on a terminal one line that is written anew, in a log a line every quarter of a minute, with the
 * time left.
 */
struct meter {
    const char *what; /* "rows" */
    double began, told;
    size_t total; /* another one than before: something else has begun */
    bool terminal, shown;
};
struct meter meter_start(const char *what);
void meter_show(struct meter *m, size_t done, size_t total, const char *note); /* note may be "" */
void meter_end(struct meter *m); /* takes the line away */
#endif
