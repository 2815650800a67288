/*
 * log.h - one line a thing that happened, as JSON on standard error: for whoever runs the server.
 *
 *     {"time":"2026-11-29T12:00:00Z","level":"info","module":"workers","event":"worker started","message":"..."}
 *
 * No user's text and no key goes here.
 */
#ifndef HONE_SERVER_LOG_H
#define HONE_SERVER_LOG_H

#include "base/error.h"

enum log_level { LOG_INFO, LOG_WARN, LOG_ERROR };
void log_line(enum log_level level, const char *module, const char *event, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
#endif
