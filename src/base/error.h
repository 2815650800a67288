/*
 * error.h - how a failure is told: one kind for the program, one sentence for the person.
 *
 * A function that can fail returns bool (MUST_CHECK) and takes a struct error * last. On failure its outputs are as
 * they were. Telling of a failure allocates nothing. A mistake of ours is not an error but an assert.
 */
#ifndef HONE_BASE_ERROR_H
#define HONE_BASE_ERROR_H

#include <stdbool.h>
#include <stddef.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

enum error_kind {
    ERR_NONE = 0,
    ERR_INVALID,     /* the caller's or the user's input breaks a rule */
    ERR_NOT_FOUND,   /* what was named is not there */
    ERR_LIMIT,       /* a named limit of ours was met */
    ERR_CORRUPT,     /* bytes that do not form what they claim to be */
    ERR_IO,          /* the system said no: disk, pipe, permission */
    ERR_NO_MEMORY,   /* what a user or a file sized cannot be had */
    ERR_TIMEOUT,     /* a deadline passed */
    ERR_CANCELLED,   /* someone asked us to stop */
    ERR_UNSUPPORTED, /* understood, and not offered */
};

struct error {
    enum error_kind kind;
    const char *code;  /* a finer name than the kind's, for programs: a literal; NULL: none */
    char param[64];    /* the request field or file key at fault, or "" */
    char message[512]; /* one sentence: what was found, what was expected, where, what to do */
};

/* Sets kind and message; always false. err may be NULL: then nothing is told. */
bool fail(struct error *err, enum error_kind kind, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* As fail(), and names the field at fault. */
bool fail_param(struct error *err, enum error_kind kind, const char *param, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* As fail_param(), and gives the finer name: a literal such as "missing_required_parameter". */
bool fail_code(struct error *err, enum error_kind kind, const char *code, const char *param,
               const char *fmt, ...) PRINTF_LIKE(5, 6);

/* Puts "while <fmt>: " in front of what err already says; always false. */
bool fail_while(struct error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* fail() with the text of errno behind: "<fmt>: No such file or directory"; ENOENT is ERR_NOT_FOUND, the rest ERR_IO. */
bool fail_errno(struct error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

const char *error_kind_name(enum error_kind kind);

#ifdef __clang_analyzer__ /* it sees one file at a time: "always false", in its words */
#define fail(...) ((void)(fail)(__VA_ARGS__), false)
#define fail_param(...) ((void)(fail_param)(__VA_ARGS__), false)
#define fail_code(...) ((void)(fail_code)(__VA_ARGS__), false)
#define fail_while(...) ((void)(fail_while)(__VA_ARGS__), false)
#define fail_errno(...) ((void)(fail_errno)(__VA_ARGS__), false)
#endif
#endif
