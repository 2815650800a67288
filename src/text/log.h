/*
 * log.h - one line a thing that happened, as JSON on standard error: for whoever runs the server or a worker.
 *
 *     {"time":"2026-11-29T12:00:00Z","level":"info","module":"workers","event":"started","pid":71,"message":"..."}
 *
 * Every line begins with these four keys; what follows is the event's. Values may hold any bytes: a line is ASCII, what forms no
 * character is U+FFFD, and a value that is too long is cut, so that a line is one write of at most LOG_LINE_BYTES, which pipes
 * never tear or mix with another process's. Keys, modules and events are literals of ours.
 *
 * No user's text and no key goes here.
 */
#ifndef HONE_TEXT_LOG_H
#define HONE_TEXT_LOG_H

#include "base/buf.h"
#include "base/error.h"

#include <stdint.h>

#define LOG_LINE_BYTES 4096 /* PIPE_BUF of Linux */
#define LOG_VALUE_BYTES 1024

enum log_level { LOG_INFO, LOG_WARN, LOG_ERROR };

/* The four keys and "message". */
void log_line(enum log_level level, const char *module, const char *event, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* A line with keys of its own: log_begin, then any of the others in the order that is to be read, then log_end. */
struct log_entry {
    struct buf b;
};
void log_begin(struct log_entry *e, enum log_level level, const char *module, const char *event);
void log_text(struct log_entry *e, const char *key, const char *value); /* NULL: no such key */
void log_int(struct log_entry *e, const char *key, int64_t value);
void log_double(struct log_entry *e, const char *key, double value); /* one digit past the point */
void log_end(struct log_entry *e); /* writes it; where nobody listens nothing happens */
#endif
