/*
 * sha256.c - hexadecimal digits around nettle's SHA-256.
 */
#include "base/sha256.h"

#include <stdint.h>
#include <stdio.h>

struct sha256_text sha256_finish(struct sha256_ctx *ctx)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t d[SHA256_DIGEST_SIZE];
    struct sha256_text out;

    sha256_digest(ctx, sizeof d, d);
    for (size_t i = 0; i < sizeof d; i++) {
        out.hex[2 * i] = digits[d[i] >> 4];
        out.hex[2 * i + 1] = digits[d[i] & 15];
    }
    out.hex[64] = '\0';
    return out;
}

struct sha256_text sha256_of(const void *bytes, size_t n)
{
    struct sha256_ctx ctx;

    sha256_init(&ctx);
    sha256_update(&ctx, n, bytes);
    return sha256_finish(&ctx);
}
