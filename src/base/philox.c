/*
 * philox.c - Philox 4x32-10, from the paper; the test holds the authors' known answers.
 */
#include "base/philox.h"

static void round_once(uint32_t c[4], const uint32_t k[2])
{
    const uint64_t p0 = (uint64_t)0xD2511F53u * c[0];
    const uint64_t p1 = (uint64_t)0xCD9E8D57u * c[2];
    const uint32_t c1 = c[1], c3 = c[3];

    c[0] = (uint32_t)(p1 >> 32) ^ c1 ^ k[0];
    c[1] = (uint32_t)p1;
    c[2] = (uint32_t)(p0 >> 32) ^ c3 ^ k[1];
    c[3] = (uint32_t)p0;
}

struct philox_block philox(uint64_t key, const uint32_t counter[4])
{
    struct philox_block out = {{counter[0], counter[1], counter[2], counter[3]}};
    uint32_t k[2] = {(uint32_t)key, (uint32_t)(key >> 32)};

    for (int i = 0; i < 10; i++) {
        round_once(out.v, k);
        k[0] += 0x9E3779B9u;
        k[1] += 0xBB67AE85u;
    }
    return out;
}

/* The purpose is folded into the key through one more block: the four counters stay free. */
static uint64_t key_of(uint64_t seed, enum philox_purpose purpose)
{
    const uint32_t counter[4] = {(uint32_t)purpose, 0x686f6e65u, 0, 0};
    const struct philox_block b = philox(seed, counter);

    return (uint64_t)b.v[1] << 32 | b.v[0];
}

float philox_uniform(uint64_t seed, enum philox_purpose purpose, uint32_t a, uint32_t b, uint32_t c,
                     uint32_t d)
{
    const uint32_t counter[4] = {a, b, c, d};
    const struct philox_block block = philox(key_of(seed, purpose), counter);

    /* 23 bits and a half: (2v + 1) / 2^24 is exact in a float and lies inside (0, 1) */
    return (float)((block.v[0] >> 9) * 2 + 1) * 0x1p-24f;
}

uint32_t philox_below(uint64_t seed, enum philox_purpose purpose, uint32_t a, uint32_t b,
                      uint32_t n)
{
    const uint32_t counter[4] = {a, b, 0, 0};
    const struct philox_block block = philox(key_of(seed, purpose), counter);
    return (uint32_t)(((uint64_t)block.v[0] * n) >> 32);
}
