/*
 * sha256.h - the name of some bytes: 64 hexadecimal digits of their SHA-256 (by nettle).
 */
#ifndef HONE_BASE_SHA256_H
#define HONE_BASE_SHA256_H

#include "base/error.h"

#include <nettle/sha2.h>

struct sha256_text {
    char hex[65];
};

/* Feed with sha256_update(&ctx, n, bytes) from nettle, then this. */
struct sha256_text sha256_finish(struct sha256_ctx *ctx);
struct sha256_text sha256_of(const void *bytes, size_t n);
#endif
