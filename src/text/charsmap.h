/*
 * charsmap.h - SentencePiece's precompiled normaliser: a table of character sequences and what stands for them.
 *
 * The table is a double array (Yata et al.; darts-clone's layout) over UTF-8, followed by the replacements, each ended by a
 * zero byte. `tokenizers` looks a grapheme cluster of up to five bytes up as a whole, then, or where it is longer, each
 * character by itself; of several entries that a lookup begins with, the shortest counts. That is done here alike.
 */
#ifndef HONE_TEXT_CHARSMAP_H
#define HONE_TEXT_CHARSMAP_H

#include "base/arena.h"
#include "base/buf.h"

#include <stdint.h>

#define LIMIT_CHARSMAP_BYTES ((size_t)16 << 20)

struct charsmap { /* read-only once built: any number of threads */
    const uint32_t *units;
    size_t n_units;
    struct str texts; /* valid UTF-8 */
};

/* Of the map's bytes, copied into the arena; ERR_CORRUPT or ERR_LIMIT. */
MUST_CHECK bool charsmap_build(struct charsmap *m, struct str bytes, struct arena *a,
                               struct error *err);
/* The same of its bytes in base64, as tokenizer.json has them. */
MUST_CHECK bool charsmap_build_base64(struct charsmap *m, struct str base64, struct arena *a,
                                      struct error *err);

/* Appends in (valid UTF-8), normalised. */
void charsmap_apply(const struct charsmap *m, struct str in, struct buf *out);
#endif
